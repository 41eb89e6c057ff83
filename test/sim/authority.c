/* SPDX-License-Identifier: Apache-2.0 */
/* The authority: its configuration, inputs, outputs, crashes, and what its store has
 * confirmed when it dies (and maybe a little more). */
#include "nodes.h"
#include "core/registry.h"

struct nva *
nva_new_of(struct world *w, uint32_t inc, uint64_t now)
{
    struct nva_key key = {"*", SECRET};
    struct nva_conf c = {.name = "nva",
        .trace_events = 16,
        .keys = &key,
        .n_keys = 1,
        .seed = w->sc->seed * 77 + inc,
        .incarnation = inc + 1};
    c.settings[NVA_SET_RECOVER_US] = 4 * SEC;
    c.settings[NVA_SET_FORGET_US] = 20 * SEC;
    c.settings[NVA_SET_STALE_US] = 20 * SEC;
    c.settings[NVA_SET_NEGATIVE_US] = 2 * SEC;
    return nva_new(&c, now);
}

void
nva_make(struct world *w)
{
    tab_init(&w->nva.vns);
    tab_init(&w->nva.epochs);
    tab_init(&w->nva.resvs);
    tab_init(&w->nva.nves);
    tab_init(&w->nva.granted);
    for (uint32_t v = 0; v < w->sc->vns; v++) {
        uint32_t vni = vni_of(v);
        struct vn_rec r = {.vni = vni, .mtu = 1500, .arp = ARP_SUPPRESS};
        snprintf(r.name, sizeof(r.name), "vn%u", v);
        r.pull = rnd(&w->rng, 100) < w->sc->pull;
        r.centralised = rnd(&w->rng, 100) < w->sc->centralised;
        tab_put(&w->nva.vns, &vni, 4, &r, sizeof(r));
    }
}

/* ---- outputs ---- */

/* Epochs are granted once, and grow per key (K4). */
static void
check_grant(struct world *w, const struct nva_out *o)
{
    uint8_t key[10];
    struct tab_row *r;
    uint64_t now[2] = {o->epoch, o->migration_id}, *old;
    char text[MAC_STR];
    memcpy(key, &o->vni, 4);
    memcpy(key + 4, &o->mac, 6);
    if (!o->epoch) {
        tab_del(&w->nva.granted, key, 10);
        return;
    }
    r = tab_find(&w->nva.granted, key, 10);
    old = r ? r->val : NULL;
    if (old && (old[0] > now[0] || (old[0] == now[0] && old[1] != now[1])))
        sim_fail(w, "epoch-unique",
            "vni=%u mac=%s: epoch %llu migration %llx is stored after epoch %llu "
            "migration %llx",
            o->vni, mac_str(&o->mac, text), (unsigned long long)now[0],
            (unsigned long long)now[1], (unsigned long long)old[0],
            (unsigned long long)old[1]);
    tab_put(&w->nva.granted, key, 10, now, sizeof(now));
}

struct store_work {
    uint8_t store;
    uint32_t vni, id;
    struct mac mac;
    uint64_t epoch, migration_id;
    struct ip target;
    struct vn_rec vn;
    char name[80];
};

static void
store_out(struct world *w, const struct nva_out *o)
{
    struct nva_node *n = &w->nva;
    struct store_work s = {.store = o->store,
        .vni = o->vni,
        .id = o->id,
        .mac = o->mac,
        .epoch = o->epoch,
        .migration_id = o->migration_id,
        .target = o->target,
        .vn = o->vn};
    uint64_t at = w->now + 1 + slow_delay(w);
    if (o->name)
        snprintf(s.name, sizeof(s.name), "%s", o->name);
    if (o->store == STORE_EPOCH)
        check_grant(w, o);
    owners_stored(w, o);
    if (at < n->store_last)
        at = n->store_last;
    n->store_last = at;
    world_push_octets(w, EV_STORE, at, 0, n->inc, &s, sizeof(s));
}

static void
store_apply(struct world *w, const struct store_work *s)
{
    struct nva_node *n = &w->nva;
    uint8_t key[10];
    memcpy(key, &s->vni, 4);
    memcpy(key + 4, &s->mac, 6);
    switch ((enum nva_store_op)s->store) {
    case STORE_VN_PUT:
        tab_put(&n->vns, &s->vn.vni, 4, &s->vn, sizeof(s->vn));
        break;
    case STORE_VN_DEL:
        tab_del(&n->vns, s->vn.vni ? &s->vn.vni : &s->vni, 4);
        break;
    case STORE_EPOCH:
        if (s->epoch)
            tab_put(&n->epochs, key, 10, (uint64_t[]){s->epoch, s->migration_id}, 16);
        else
            tab_del(&n->epochs, key, 10);
        break;
    case STORE_RESERVATION:
        if (s->epoch)
            tab_put(&n->resvs, key, 10, s, sizeof(*s));
        else
            tab_del(&n->resvs, key, 10);
        break;
    case STORE_EPOCH_HWM:
        n->hwm = s->epoch;
        break;
    case STORE_NVE_PUT:
        tab_put(&n->nves, s->name, strnlen(s->name, TAB_KEY), s->name, sizeof(s->name));
        break;
    }
}

void
nva_stored(struct world *w, const uint8_t *p)
{
    const struct store_work *s = (const void *)p;
    store_apply(w, s);
    if (s->id) {
        struct nva_in in = {.type = NVA_IN_STORED, .id = s->id};
        nva_feed(w, &in);
    }
}

static bool
pull(struct nva_node *n, struct nva_out *o)
{
    heap_enter(&n->heap);
    bool more = nva_output(n->nva, o);
    heap_enter(NULL);
    return more;
}

void
nva_feed(struct world *w, const struct nva_in *in)
{
    struct nva_node *n = &w->nva;
    struct nva_out o;
    uint32_t outs = 0;
    uint64_t h = 0;
    if (!n->up || w->failed)
        return;
    struct nva *node = n->nva;
    uint32_t at = record_nva(w, in);
    heap_enter(&n->heap);
    nva_input(node, in, w->now);
    while (pull(n, &o)) {
        h = nva_out_hash(h, &o);
        if (++outs > OUTS_MAX) {
            sim_fail(
                w, "endless", "authority: more than %u outputs of one input", outs);
            return;
        }
        switch ((enum nva_out_type)o.type) {
        case NVA_OUT_STREAM_DATA:
            net_write(w, o.conn, false, o.p, o.size);
            break;
        case NVA_OUT_STREAM_CLOSE:
            net_close(w, o.conn, true);
            break;
        case NVA_OUT_UDP: {
            uint32_t to = vtep_nve(w, &o.to);
            if (to)
                net_udp(w, w->sc->nves, to - 1, 4342, o.to_port, o.p, o.size);
            break;
        }
        case NVA_OUT_STORE:
            store_out(w, &o);
            break;
        case NVA_OUT_CONTROL:
            break;
        }
    }
    recorder_said(w, at, h);
    sim_hash_u64(w, h);
    bounds_nva(w);
    node_wake(w, EV_WAKE_NVA, 0, n->inc, nva_deadline(node), &n->wake_at);
}

/* ---- start and crash ---- */

void
nva_boot(struct world *w)
{
    struct nva_node *n = &w->nva;
    struct tab_row *r;
    recorder_start(w, 2, 0);
    n->heap = (struct heap){0};
    heap_enter(&n->heap);
    n->nva = nva_new_of(w, n->inc, w->now);
    heap_enter(NULL);
    n->up = true;
    n->wake_at = TIMER_NEVER;
    TRACE(w, "authority starts: %u vns, %u epochs, %u nves", n->vns.n, n->epochs.n,
        n->nves.n);
    for (uint32_t it = 0; (r = tab_each(&n->vns, &it));) {
        struct nva_in in = {.type = NVA_IN_LOAD_VN, .vn = r->val};
        nva_feed(w, &in);
    }
    if (n->hwm) {
        struct nva_in in = {.type = NVA_IN_LOAD_EPOCH, .epoch = n->hwm};
        nva_feed(w, &in);
    }
    for (uint32_t it = 0; (r = tab_each(&n->epochs, &it));) {
        const uint64_t *v = r->val;
        struct nva_in in = {
            .type = NVA_IN_LOAD_EPOCH, .epoch = v[0], .migration_id = v[1]};
        memcpy(&in.vni, r->key, 4);
        memcpy(&in.mac, r->key + 4, 6);
        nva_feed(w, &in);
    }
    for (uint32_t it = 0; (r = tab_each(&n->resvs, &it));) {
        const struct store_work *v = r->val;
        struct nva_in in = {.type = NVA_IN_LOAD_RESERVATION,
            .vni = v->vni,
            .mac = v->mac,
            .epoch = v->epoch,
            .migration_id = v->migration_id,
            .target = v->target};
        nva_feed(w, &in);
    }
    for (uint32_t it = 0; (r = tab_each(&n->nves, &it));) {
        struct nva_in in = {.type = NVA_IN_LOAD_NVE, .name = r->val};
        nva_feed(w, &in);
    }
    struct nva_in done = {.type = NVA_IN_LOADED};
    nva_feed(w, &done);
}

/* As somebody at the authority says it. */
void
nva_vn(struct world *w, uint32_t vn, bool put, uint32_t mtu)
{
    char line[160];
    int n = put ? snprintf(line, sizeof(line),
                      "{\"cmd\":\"vn add\",\"vni\":%u,\"name\":\"vn%u\",\"mtu\":%u}",
                      vni_of(vn), vn, mtu)
                : snprintf(line, sizeof(line), "{\"cmd\":\"vn del\",\"vni\":%u}",
                      vni_of(vn));
    struct nva_in in = {.type = NVA_IN_CONTROL,
        .conn = 1,
        .p = (const uint8_t *)line,
        .size = (uint32_t)n};
    nva_feed(w, &in);
}

/* What was on its way to the disk is there, or not, in order. */
void
nva_crash(struct world *w, uint64_t down_us)
{
    struct nva_node *n = &w->nva;
    uint32_t left =
        rng_chance(&w->net, 500000) ? UINT32_MAX : (uint32_t)rnd(&w->net, 4);
    if (!n->up)
        return;
    if (movers_busy(w, w->sc->nves))
        cover_fault(FAULT_13);
    net_cut_all(w, 0, true);
    n->up = false;
    n->inc++;
    n->store_last = 0;
    nva_free(n->nva);
    n->nva = NULL;
    for (;;) { /* the queue is a heap: find them in their order */
        struct event *first = NULL;
        for (uint32_t i = 0; i < w->n_heap; i++) {
            struct event *e = &w->heap[i];
            if (e->type == EV_STORE && e->size &&
                (!first || e->at < first->at ||
                    (e->at == first->at && e->seq < first->seq)))
                first = e;
        }
        if (!first || left-- == 0)
            break;
        store_apply(w, (const void *)first->p);
        first->size = 0;
    }
    for (uint32_t i = 0; i < w->n_heap; i++)
        if (w->heap[i].type == EV_STORE)
            w->heap[i].size = 0;
    owners_crash(w);
    /* epochs that nobody was told of may be granted again */
    struct tab_row *r;
    tab_done(&n->granted);
    tab_init(&n->granted);
    for (uint32_t it = 0; (r = tab_each(&n->epochs, &it));)
        tab_put(&n->granted, r->key, r->key_size, r->val, r->val_size);
    world_push(w, EV_START_NVA, w->now + down_us, 0, 0);
}
