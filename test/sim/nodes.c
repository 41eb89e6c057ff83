/* SPDX-License-Identifier: Apache-2.0 */
/* NVEs: configuration, inputs, outputs, crashes, and what survives them (the journal
 * and the data plane); and the events of all nodes. */
#include "nodes.h"
#include <errno.h>
#include <stdlib.h>

struct nve *
nve_new_of(struct world *w, uint32_t i, uint32_t inc, uint64_t now)
{
    struct nve_node *n = &w->nves[i];
    struct nve_profile_vn *profiles = mem_alloc((w->sc->vns + 1) * sizeof(*profiles));
    struct nve_conf c = {.mapping = NVE_MAP_SESSION,
        .key = SECRET,
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
        if (o->dp.type == DP_FDB_SET && o->dp.u.fdb.kind == FDB_LOCAL)
            owners_said(w, i, o->dp.u.fdb.vni, &o->dp.u.fdb.mac);
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

void
node_wake(struct world *w, uint8_t type, uint32_t node, uint32_t inc, uint64_t deadline,
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

static bool
pull(struct nve_node *n, struct nve_out *o)
{
    heap_enter(&n->heap);
    bool more = nve_output(n->nve, o);
    heap_enter(NULL);
    return more;
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
    uint32_t at = record_nve(w, i, in);
    heap_enter(&n->heap);
    nve_input(node, in, w->now);
    while (pull(n, &o)) {
        h = nve_out_hash(h, &o);
        nve_out_do(w, i, &o);
        if (++outs > OUTS_MAX) {
            sim_fail(
                w, "endless", "nve=%u: more than %u outputs of one input", i, outs);
            return;
        }
    }
    recorder_said(w, at, h);
    sim_hash_u64(w, h);
    bounds_nve(w, i);
    node_wake(w, EV_WAKE_NVE, i, n->inc, nve_deadline(node), &n->wake_at);
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
    n->heap = (struct heap){0};
    heap_enter(&n->heap);
    n->nve = nve_new_of(w, i, n->inc, w->now);
    heap_enter(NULL);
    n->up = true;
    n->started = w->now;
    n->wake_at = TIMER_NEVER;
    TRACE(w, "nve=%u starts with %u records", i, n_rows);
    for (uint32_t k = 0; k < n_rows; k++) {
        struct nve_in in = {.type = NVE_IN_RESTORE,
            .kind = rows[k].row->key[0],
            .p = copy_octets(rows[k].row->val, rows[k].row->val_size),
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
    if (n->conn) /* else it has closed it, and what it said last arrives */
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
nve_stop(struct world *w, uint32_t i, uint64_t down_us)
{
    struct nve_in in = {.type = NVE_IN_STOP};
    nve_in(w, i, &in);
    nve_crash(w, i, down_us);
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
        if (w->nva.up && w->nva.inc == e->inc && e->size)
            nva_stored(w, e->p);
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
