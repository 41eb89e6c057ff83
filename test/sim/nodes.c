/* SPDX-License-Identifier: Apache-2.0 */
/* NVEs and the authority: configuration, inputs, outputs, crashes, and what survives
 * them (an NVE's journal and data plane; of the authority what its store has confirmed,
 * and maybe a little more). One node's inputs are recorded and given to a fresh one at
 * the end: the outputs must be the same, octet by octet. */
#include "sim.h"
#include "core/registry.h"
#include <errno.h>
#include <stdlib.h>

#define OUTS_MAX 200000 /* of one input: more is a node that never ends */
static const char secret[] = "the key of the simulator";

/* ---- what an output is, as octets ---- */

uint64_t
hash_octets(uint64_t h, const void *p, size_t size)
{
    const uint8_t *b = p;
    for (size_t i = 0; i < size; i++)
        h = (h ^ b[i]) * 0x100000001b3u;
    return h ^ h >> 29;
}

static uint64_t
mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

uint64_t
dp_op_hash(uint64_t h, const struct dp_op *op)
{
    h = mix(h, op->type);
    switch ((enum dp_op_type)op->type) {
    case DP_SYNC_BEGIN:
    case DP_SYNC_END:
    case DP_N_OPS:
        break;
    case DP_PORT_SET:
    case DP_PORT_DEL:
        h = mix(h, op->u.port.port);
        break;
    case DP_VN_SET:
    case DP_VN_DEL:
        h = mix(mix(h, op->u.vn.vni), op->type == DP_VN_SET ? op->u.vn.mtu : 0);
        break;
    case DP_VAP_SET:
    case DP_VAP_DEL:
        h = mix(mix(h, op->u.vap.port), op->u.vap.vid);
        if (op->type == DP_VAP_SET)
            h = mix(mix(h, op->u.vap.vni), (uint64_t)op->u.vap.wildcard << 16 |
                                               op->u.vap.reflect << 8 |
                                               op->u.vap.flood);
        break;
    case DP_VSI_SET:
    case DP_VSI_DEL:
        h = hash_octets(mix(mix(h, op->u.vsi.port), op->u.vsi.vid), &op->u.vsi.mac, 6);
        if (op->type == DP_VSI_SET)
            h = mix(mix(h, op->u.vsi.vni), op->u.vsi.active);
        break;
    case DP_FDB_SET:
    case DP_FDB_DEL:
        h = hash_octets(mix(h, op->u.fdb.vni), &op->u.fdb.mac, 6);
        if (op->type == DP_FDB_SET && op->u.fdb.kind == FDB_LOCAL)
            h = mix(h, (uint64_t)op->u.fdb.port << 32 | op->u.fdb.vid);
        else if (op->type == DP_FDB_SET)
            h = hash_octets(mix(h, op->u.fdb.kind), &op->u.fdb.vtep, 16);
        break;
    case DP_NEIGH_SET:
    case DP_NEIGH_DEL:
        h = hash_octets(mix(h, op->u.neigh.vni), &op->u.neigh.ip, 16);
        if (op->type == DP_NEIGH_SET)
            h = hash_octets(h, &op->u.neigh.mac, 6);
        break;
    case DP_MEMBER_SET:
    case DP_MEMBER_DEL:
        h = hash_octets(mix(h, op->u.member.vni), &op->u.member.vtep, 16);
        break;
    case DP_NEG_SET:
    case DP_NEG_DEL:
        h = hash_octets(mix(h, op->u.neg.vni), &op->u.neg.ip, 16);
        break;
    case DP_HOLD_SET:
    case DP_HOLD_DEL:
        h = hash_octets(mix(h, op->u.hold.vni), &op->u.hold.mac, 6);
        h = mix(h, op->u.hold.drain);
        break;
    case DP_FRAME:
        h = mix(mix(h, op->u.frame.port), op->u.frame.vid);
        h = hash_octets(mix(h, op->u.frame.vni), op->u.frame.p, op->u.frame.size);
        break;
    }
    return h;
}

static uint64_t
nve_out_hash(uint64_t h, const struct nve_out *o)
{
    h = mix(mix(mix(h, o->type), o->port), o->id);
    if (o->type == NVE_OUT_DP)
        return dp_op_hash(h, &o->dp);
    if (o->key_size)
        h = hash_octets(h, o->key, o->key_size);
    if (o->type == NVE_OUT_UDP)
        h = mix(hash_octets(h, &o->to, 16), o->to_port);
    return o->size ? hash_octets(h, o->p, o->size) : h;
}

static uint64_t
nva_out_hash(uint64_t h, const struct nva_out *o)
{
    h = mix(mix(mix(h, o->type), o->conn), o->id);
    if (o->type == NVA_OUT_STORE) {
        h = mix(mix(mix(mix(h, o->store), o->vni), o->epoch), o->migration_id);
        return hash_octets(h, &o->mac, 6);
    }
    if (o->type == NVA_OUT_UDP)
        h = mix(hash_octets(h, &o->to, 16), o->to_port);
    return o->size ? hash_octets(h, o->p, o->size) : h;
}

/* ---- the recording ---- */

struct recorded {
    union {
        struct nve_in nve;
        struct nva_in nva;
    } in;
    struct dp_event event;
    struct vn_rec vn;
    uint64_t now, hash;
    char *name;
    uint8_t *p, *frame;
};
struct recorder {
    struct recorded *rows;
    uint32_t n, cap;
    uint64_t started, hash;
};

static void
recorder_clear(struct recorder *r)
{
    for (uint32_t i = 0; i < r->n; i++) {
        mem_free(r->rows[i].p);
        mem_free(r->rows[i].frame);
        mem_free(r->rows[i].name);
    }
    r->n = 0;
    r->hash = 0;
}

static void
recorder_start(struct world *w, uint32_t kind, uint32_t node)
{
    if (w->rec_kind != kind || w->rec_node != node)
        return;
    if (!w->rec)
        w->rec = mem_alloc(sizeof(*w->rec));
    recorder_clear(w->rec); /* the last incarnation is what is replayed */
    w->rec->started = w->now;
}

static struct recorded *
recorder_row(struct world *w, uint32_t kind, uint32_t node)
{
    struct recorder *r = w->rec;
    if (!r || w->rec_kind != kind || w->rec_node != node)
        return NULL;
    if (r->n == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 256;
        r->rows = mem_grow(r->rows, r->cap * sizeof(*r->rows));
    }
    memset(&r->rows[r->n], 0, sizeof(*r->rows));
    r->rows[r->n].now = w->now;
    return &r->rows[r->n++];
}

static uint8_t *
copy(const void *p, size_t size)
{
    uint8_t *q = mem_alloc(size + 1);
    if (size)
        memcpy(q, p, size);
    return q;
}

static void
record_nve(struct world *w, uint32_t i, const struct nve_in *in)
{
    struct recorded *r = recorder_row(w, 1, i);
    if (!r)
        return;
    r->in.nve = *in;
    if (in->p)
        r->in.nve.p = r->p = copy(in->p, in->size);
    if (in->event) {
        r->event = *in->event;
        if (r->event.frame)
            r->event.frame = r->frame = copy(r->event.frame, r->event.size);
    }
}

static void
record_nva(struct world *w, const struct nva_in *in)
{
    struct recorded *r = recorder_row(w, 2, 0);
    if (!r)
        return;
    r->in.nva = *in;
    if (in->p)
        r->in.nva.p = r->p = copy(in->p, in->size);
    if (in->vn)
        r->vn = *in->vn;
    if (in->name)
        r->in.nva.name = r->name = mem_strdup(in->name);
}

void
recorder_done(struct world *w)
{
    if (!w->rec)
        return;
    recorder_clear(w->rec);
    mem_free(w->rec->rows);
    mem_free(w->rec);
    w->rec = NULL;
}

/* ---- configuration ---- */

static struct nve *
nve_new_of(struct world *w, uint32_t i, uint32_t inc, uint64_t now)
{
    struct nve_node *n = &w->nves[i];
    struct nve_profile_vn *profiles = mem_alloc((w->sc->vns + 1) * sizeof(*profiles));
    struct nve_conf c = {.mapping = NVE_MAP_SESSION,
        .key = secret,
        .authority_udp = ip_v4(0x0afe0001),
        .authority_udp_port = 4342,
        .lisp_port = 4342,
        .evb_rte = 8,
        .evb_retries = 3,
        .evb_rwd = 15,
        .evb_rka = (uint8_t)w->sc->rka,
        .trace_events = 16,
        .ports = n->ports,
        .n_ports = w->sc->ports,
        .profile_vns = profiles,
        .n_profile_vns = w->sc->vns};
    for (uint32_t v = 0; v < w->sc->vns; v++)
        profiles[v] = (struct nve_profile_vn){v + 1, vni_of(v), 1};
    c.edge = (struct edge_conf){.name = n->name,
        .vtep = n->vtep,
        .authority = 1,
        .seed = w->sc->seed * 1000 + i * 64 + inc};
    uint64_t *s = c.edge.settings;
    s[SET_SUSP_US] = 15 * SEC;
    s[SET_EMIG_US] = 8 * SEC;
    s[SET_IMMIG_US] = 8 * SEC;
    s[SET_TOMB_US] = 4 * SEC;
    s[SET_TAG_HOLD_US] = 3 * SEC;
    s[SET_FLAP_US] = SEC;
    s[SET_LEARN_AGE_US] = 10 * SEC;
    s[SET_NEG_US] = 2 * SEC;
    s[SET_MISS_WAIT_US] = SEC;
    s[SET_STALE_US] = 20 * SEC;
    s[SET_RETRY_US] = 500 * MS;
    s[SET_MAX_LEARNED] = 4;
    s[SET_HOLD_FRAMES] = w->sc->hold_frames;
    struct nve *made = nve_new(&c, now);
    mem_free(profiles);
    return made;
}

static struct nva *
nva_new_of(struct world *w, uint32_t inc, uint64_t now)
{
    struct nva_key key = {"*", secret};
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
nve_make(struct world *w, uint32_t i)
{
    struct nve_node *n = &w->nves[i];
    const struct scenario *s = w->sc;
    snprintf(n->name, sizeof(n->name), "nve%u", i);
    n->vtep = ip_v4(0x0aff0001 + i);
    tab_init(&n->journal);
    tab_init(&n->dp);
    tab_init(&n->asked);
    n->overlay_last = mem_alloc(s->nves * sizeof(*n->overlay_last));
    n->ports = mem_alloc(s->ports * sizeof(*n->ports));
    n->vid_reserved = mem_alloc(s->ports * sizeof(*n->vid_reserved));
    for (uint32_t p = 0; p < s->ports; p++) {
        char name[16];
        struct edge_port_conf *e = &n->ports[p].edge;
        snprintf(name, sizeof(name), "p%u", p);
        e->name = mem_strdup(name);
        e->domain = s->domain_shared ? 1 : p + 1;
        if (rnd(&w->rng, 100) < s->small_tags) {
            n->vid_reserved[p][0] = 4 + (uint32_t)rnd(&w->rng, 3);
            n->vid_reserved[p][1] = 4094;
            uint16_t *r = mem_alloc(2 * sizeof(*r));
            r[0] = (uint16_t)n->vid_reserved[p][0];
            r[1] = 4094;
            e->vid_reserved = r;
            e->n_vid_reserved = 1;
        }
    }
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

struct dp_work { /* an operation on its way */
    struct dp_op op;
    uint32_t frame;
};

static void
dp_out(struct world *w, uint32_t i, const struct nve_out *o)
{
    struct nve_node *n = &w->nves[i];
    uint8_t buf[sizeof(struct dp_op) + 10000];
    uint64_t at = w->now + slow_delay(w);
    uint32_t extra = o->dp.type == DP_FRAME ? o->dp.u.frame.size : 0;
    struct event *e;
    if (at < n->dpq.last)
        at = n->dpq.last; /* in order */
    n->dpq.last = at;
    n->dpq.n++;
    memcpy(buf, &o->dp, sizeof(o->dp));
    if (extra)
        memcpy(buf + sizeof(o->dp), o->dp.u.frame.p, extra);
    e = world_push_octets(w, EV_DP, at, i, n->inc, buf, sizeof(o->dp) + extra);
    e->a = o->id;
}

static void
journal_out(struct world *w, uint32_t i, const struct nve_out *o)
{
    struct nve_node *n = &w->nves[i];
    uint8_t key[TAB_KEY];
    uint64_t at = w->now + slow_delay(w);
    if (o->key_size + 1u >
        sizeof(key)) { /* a key longer than the row: its hash will do */
        uint64_t h = hash_octets(7, o->key, o->key_size);
        key[0] = o->kind;
        memcpy(key + 1, &h, 8);
        if (o->size)
            tab_put(&n->journal, key, 9, o->p, o->size);
        else
            tab_del(&n->journal, key, 9);
    } else {
        key[0] = o->kind;
        memcpy(key + 1, o->key, o->key_size);
        if (o->size)
            tab_put(&n->journal, key, o->key_size + 1u, o->p, o->size);
        else
            tab_del(&n->journal, key, o->key_size + 1u);
    }
    if (!o->id)
        return;
    if (at < n->journal_last)
        at = n->journal_last;
    n->journal_last = at;
    world_push(w, EV_JOURNAL, at, i, n->inc)->a = o->id;
}

static void
dp_trace(
    struct world *w, uint32_t i, const struct dp_op *op, uint32_t id, const char *how)
{
    char mac[MAC_STR];
    if (!w->tracing)
        return;
    if (op->type == DP_FDB_SET || op->type == DP_FDB_DEL)
        sim_trace(w, "  nve=%u %s %s id=%u vni=%u mac=%s %s %u", i, how,
            dp_op_str(op->type), id, op->u.fdb.vni, mac_str(&op->u.fdb.mac, mac),
            op->type == DP_FDB_DEL        ? ""
            : op->u.fdb.kind == FDB_LOCAL ? "local port"
            : op->u.fdb.kind == FDB_RELAY ? "relay to nve"
                                          : "at nve",
            op->u.fdb.kind == FDB_LOCAL ? op->u.fdb.port
                                        : vtep_nve(w, &op->u.fdb.vtep) - 1);
    else if (op->type == DP_HOLD_SET || op->type == DP_HOLD_DEL)
        sim_trace(w, "  nve=%u %s %s id=%u vni=%u mac=%s drain=%u", i, how,
            dp_op_str(op->type), id, op->u.hold.vni, mac_str(&op->u.hold.mac, mac),
            op->u.hold.drain);
    else
        sim_trace(w, "  nve=%u %s %s id=%u", i, how, dp_op_str(op->type), id);
}

static void
nve_out_do(struct world *w, uint32_t i, const struct nve_out *o)
{
    struct nve_node *n = &w->nves[i];
    switch ((enum nve_out_type)o->type) {
    case NVE_OUT_FRAME:
        if (o->port >= 1 && o->port <= w->sc->ports)
            net_link(w, i * w->sc->ports + o->port - 1, false, o->p, o->size);
        break;
    case NVE_OUT_DP:
        dp_trace(w, i, &o->dp, o->id, "says");
        dp_out(w, i, o);
        break;
    case NVE_OUT_JOURNAL:
        journal_out(w, i, o);
        break;
    case NVE_OUT_STREAM_CONNECT:
        if (n->conn)
            net_close(w, n->conn, false);
        net_connect(w, i);
        break;
    case NVE_OUT_STREAM_DATA:
        net_write(w, n->conn, true, o->p, o->size);
        break;
    case NVE_OUT_STREAM_CLOSE:
        net_close(w, n->conn, false);
        break;
    case NVE_OUT_UDP: {
        uint32_t to =
            ip_to_v4(&o->to) == 0x0afe0001 ? w->sc->nves + 1 : vtep_nve(w, &o->to);
        if (to)
            net_udp(w, i, to - 1, 4342, o->to_port, o->p, o->size);
        break;
    }
    case NVE_OUT_CONTROL:
    case NVE_OUT_COUNTERS:
        break;
    }
}

static void
wake(struct world *w, uint8_t type, uint32_t node, uint32_t inc, uint64_t deadline,
    uint64_t *wake_at)
{
    if (deadline == TIMER_NEVER || *wake_at <= deadline)
        return;
    *wake_at = deadline < w->now ? w->now : deadline;
    world_push(w, type, *wake_at, node, inc);
}

/* A node that asks to be woken again and again for the same moment hangs its daemon. */
static void
livelock(struct world *w, const char *who, uint32_t i)
{
    if (w->now != w->same_us) {
        w->same_us = w->now;
        w->same_n = 0;
    }
    if (++w->same_n > 200000)
        sim_fail(w, "livelock", "%s=%u: the deadline does not move", who, i);
}

void
nve_in(struct world *w, uint32_t i, const struct nve_in *in)
{
    struct nve_node *n = &w->nves[i];
    struct nve_out o;
    uint32_t outs = 0;
    uint64_t h = 0;
    if (!n->up || w->failed)
        return;
    struct nve *node = n->nve;
    record_nve(w, i, in);
    uint32_t at = w->rec && w->rec_kind == 1 && w->rec_node == i ? w->rec->n : 0;
    nve_input(node, in, w->now);
    while (nve_output(node, &o)) {
        h = nve_out_hash(h, &o);
        nve_out_do(w, i, &o);
        if (++outs > OUTS_MAX) {
            sim_fail(
                w, "endless", "nve=%u: more than %u outputs of one input", i, outs);
            return;
        }
    }
    if (at)
        w->rec->rows[at - 1].hash = h;
    sim_hash_u64(w, h);
    wake(w, EV_WAKE_NVE, i, n->inc, nve_deadline(node), &n->wake_at);
}

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
nva_feed(struct world *w, const struct nva_in *in)
{
    struct nva_node *n = &w->nva;
    struct nva_out o;
    uint32_t outs = 0;
    uint64_t h = 0;
    if (!n->up || w->failed)
        return;
    struct nva *node = n->nva;
    record_nva(w, in);
    uint32_t at = w->rec && w->rec_kind == 2 ? w->rec->n : 0;
    nva_input(node, in, w->now);
    while (nva_output(node, &o)) {
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
    if (at && w->rec && at <= w->rec->n)
        w->rec->rows[at - 1].hash = h;
    sim_hash_u64(w, h);
    wake(w, EV_WAKE_NVA, 0, n->inc, nva_deadline(node), &n->wake_at);
}

/* ---- start and crash ---- */

struct seq_row {
    uint8_t kind;
    uint64_t seq;
    const struct tab_row *row;
};

static int
seq_compare(const void *x, const void *y)
{
    const struct seq_row *a = x, *b = y;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

/* The order of berth-nve: VNs, tags, attachments, VDP; ports; then the end of it. */
void
nve_boot(struct world *w, uint32_t i)
{
    struct nve_node *n = &w->nves[i];
    static const uint8_t order[256] = {[3] = 1, [2] = 2, [1] = 3, [64] = 4};
    struct seq_row *rows = mem_alloc((n->journal.n + 1) * sizeof(*rows));
    uint32_t n_rows = 0;
    struct tab_row *r;
    for (uint32_t it = 0; (r = tab_each(&n->journal, &it));)
        rows[n_rows++] = (struct seq_row){order[r->key[0]], r->seq, r};
    qsort(rows, n_rows, sizeof(*rows), seq_compare);
    recorder_start(w, 1, i);
    n->nve = nve_new_of(w, i, n->inc, w->now);
    n->up = true;
    n->started = w->now;
    n->wake_at = TIMER_NEVER;
    TRACE(w, "nve=%u starts with %u records", i, n_rows);
    for (uint32_t k = 0; k < n_rows; k++) {
        struct nve_in in = {.type = NVE_IN_RESTORE,
            .kind = rows[k].row->key[0],
            .p = copy(rows[k].row->val, rows[k].row->val_size),
            .size = rows[k].row->val_size};
        nve_in(w, i, &in);
        mem_free((void *)in.p);
    }
    mem_free(rows);
    for (uint32_t p = 0; p < w->sc->ports; p++) {
        struct server *s = &w->servers[i * w->sc->ports + p];
        struct nve_in in = {.type = NVE_IN_PORT,
            .port = p + 1,
            .up = s->up,
            .mac = {{2, 0xee, 0, 0, (uint8_t)i, (uint8_t)(p + 1)}}};
        in.mac.b[3] = (uint8_t)(i >> 8);
        nve_in(w, i, &in);
    }
    struct nve_in done = {.type = NVE_IN_RESTORED};
    nve_in(w, i, &done);
}

static void
faults_of(struct world *w, uint32_t i)
{
    struct tab_row *r;
    if (edge_counter(nve_edge(w->nves[i].nve), EDGEC_STALE_MAPS))
        cover_fault(FAULT_2);
    for (uint32_t it = 0; (r = tab_each(&w->nves[i].dp, &it));) {
        const struct dp_fdb *f = r->val;
        if (r->key[0] == 'F' && f->kind == FDB_RELAY)
            cover_fault(FAULT_11);
        if (r->key[0] == 'F' && f->kind == FDB_LOCAL && movers_busy(w, i))
            cover_fault(FAULT_12);
    }
}

void
nve_crash(struct world *w, uint32_t i, uint64_t down_us)
{
    struct nve_node *n = &w->nves[i];
    if (!n->up)
        return;
    net_cut_all(w, i, false);
    n->conn = 0;
    n->up = false;
    n->inc++;
    n->dpq = (struct dp_queue){0};
    n->journal_last = 0;
    hold_crash(w, i);
    faults_of(w, i);
    nve_free(n->nve);
    n->nve = NULL;
    world_push(w, EV_START_NVE, w->now + down_us, i, 0);
}

void
nva_boot(struct world *w)
{
    struct nva_node *n = &w->nva;
    struct tab_row *r;
    recorder_start(w, 2, 0);
    n->nva = nva_new_of(w, n->inc, w->now);
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
    /* epochs that nobody was told of may be granted again */
    struct tab_row *r;
    tab_done(&n->granted);
    tab_init(&n->granted);
    for (uint32_t it = 0; (r = tab_each(&n->epochs, &it));)
        tab_put(&n->granted, r->key, r->key_size, r->val, r->val_size);
    world_push(w, EV_START_NVA, w->now + down_us, 0, 0);
}

/* ---- events ---- */

static void
dp_event(struct world *w, struct event *e)
{
    struct dp_event ev = {.type = (uint8_t)e->a,
        .port = e->b >> 16,
        .vid = (uint16_t)e->b,
        .vni = (uint32_t)e->c,
        .frame = e->p,
        .size = (uint16_t)e->size};
    memcpy(&ev.dst, e->p, 6);
    memcpy(&ev.src, e->p + 6, 6);
    if (e->status) {
        uint32_t be;
        memcpy(&be, &e->status, 4);
        ev.ip = ip_v4(__builtin_bswap32(be));
    }
    struct nve_in in = {.type = NVE_IN_DP_EVENT, .event = &ev};
    nve_in(w, e->node, &in);
}

void
nodes_event(struct world *w, struct event *e)
{
    struct nve_node *n = &w->nves[e->node];
    bool mine = n->up && n->inc == e->inc;
    switch (e->type) {
    case EV_WAKE_NVE:
        if (mine && n->wake_at == e->at) {
            struct nve_in in = {.type = NVE_IN_TICK};
            n->wake_at = TIMER_NEVER;
            livelock(w, "nve", e->node);
            nve_in(w, e->node, &in);
        }
        break;
    case EV_WAKE_NVA:
        if (w->nva.up && w->nva.inc == e->inc && w->nva.wake_at == e->at) {
            struct nva_in in = {.type = NVA_IN_TICK};
            w->nva.wake_at = TIMER_NEVER;
            livelock(w, "nva", 0);
            nva_feed(w, &in);
        }
        break;
    case EV_FRAME_NVE:
        if (n->up && w->servers[e->b].up) {
            struct nve_in in = {
                .type = NVE_IN_FRAME, .port = e->a, .p = e->p, .size = e->size};
            nve_in(w, e->node, &in);
        }
        break;
    case EV_DP:
        if (mine) {
            struct dp_op op;
            memcpy(&op, e->p, sizeof(op));
            if (op.type == DP_FRAME)
                op.u.frame.p = e->p + sizeof(op);
            n->dpq.n--;
            dp_trace(w, e->node, &op, e->a, "does");
            bool fails = e->a && !w->calm && w->sc->dp_fails &&
                         rng_chance(&w->air, w->sc->dp_fails);
            if (!fails)
                dp_apply(w, e->node, &op);
            if (e->a) {
                struct nve_in in = {
                    .type = NVE_IN_DP_DONE, .id = e->a, .status = fails ? -ENOSPC : 0};
                nve_in(w, e->node, &in);
            }
        }
        break;
    case EV_DP_EVENT:
        if (mine)
            dp_event(w, e);
        break;
    case EV_JOURNAL:
        if (mine) {
            bool fails = !w->calm && w->sc->journal_fails &&
                         rng_chance(&w->air, w->sc->journal_fails);
            struct nve_in in = {
                .type = NVE_IN_JOURNAL_DONE, .id = e->a, .status = fails ? -ENOSPC : 0};
            nve_in(w, e->node, &in);
        }
        break;
    case EV_STORE:
        if (w->nva.up && w->nva.inc == e->inc && e->size) {
            const struct store_work *s = (const void *)e->p;
            store_apply(w, s);
            if (s->id) {
                struct nva_in in = {.type = NVA_IN_STORED, .id = s->id};
                nva_feed(w, &in);
            }
        }
        break;
    case EV_START_NVE:
        if (!n->up)
            nve_boot(w, e->node);
        break;
    case EV_START_NVA:
        if (!w->nva.up)
            nva_boot(w);
        break;
    }
}

/* ---- the end ---- */

void
recorder_check(struct world *w)
{
    struct recorder *r = w->rec;
    if (!r || w->failed)
        return;
    if (w->rec_kind == 1) {
        struct nve *again =
            nve_new_of(w, w->rec_node, w->nves[w->rec_node].inc, r->started);
        struct nve_out o;
        for (uint32_t i = 0; i < r->n && !w->failed; i++) {
            struct recorded *x = &r->rows[i];
            uint64_t h = 0;
            if (x->in.nve.event)
                x->in.nve.event = &x->event;
            nve_input(again, &x->in.nve, x->now);
            while (nve_output(again, &o))
                h = nve_out_hash(h, &o);
            if (h != x->hash)
                sim_fail(w, "replay",
                    "nve=%u: input %u of %u (type %u) at %llu us gives other outputs",
                    w->rec_node, i, r->n, x->in.nve.type, (unsigned long long)x->now);
        }
        nve_free(again);
    } else {
        struct nva *again = nva_new_of(w, w->nva.inc, r->started);
        struct nva_out o;
        for (uint32_t i = 0; i < r->n && !w->failed; i++) {
            struct recorded *x = &r->rows[i];
            uint64_t h = 0;
            if (x->in.nva.vn)
                x->in.nva.vn = &x->vn;
            nva_input(again, &x->in.nva, x->now);
            while (nva_output(again, &o))
                h = nva_out_hash(h, &o);
            if (h != x->hash)
                sim_fail(w, "replay",
                    "authority: input %u of %u (type %u) gives other outputs", i, r->n,
                    x->in.nva.type);
        }
        nva_free(again);
    }
}

void
nodes_done(struct world *w)
{
    for (uint32_t i = 0; w->nves && i < w->sc->nves; i++) {
        struct nve_node *n = &w->nves[i];
        nve_free(n->nve);
        tab_done(&n->journal);
        tab_done(&n->dp);
        tab_done(&n->asked);
        for (uint32_t p = 0; n->ports && p < w->sc->ports; p++) {
            mem_free((void *)n->ports[p].edge.name);
            mem_free((void *)n->ports[p].edge.vid_reserved);
        }
        hold_done(n);
        mem_free(n->overlay_last);
        mem_free(n->ports);
        mem_free(n->vid_reserved);
    }
    nva_free(w->nva.nva);
    tab_done(&w->nva.vns);
    tab_done(&w->nva.epochs);
    tab_done(&w->nva.resvs);
    tab_done(&w->nva.nves);
    tab_done(&w->nva.granted);
}
