/* SPDX-License-Identifier: Apache-2.0 */
/* Four edges, one authority and one VM, for tests of migration. The edges are real;
 * their data planes carry out FDB, VSI and hold as core/dp.h says, so a test sends a
 * numbered frame and learns its fate. The authority grants, tells the owner of
 * reservations and pushes mappings, at once or when the test says so. Nothing waits but
 * what is told to. */
#ifndef BERTH_TEST_MOVE_RIG_H
#define BERTH_TEST_MOVE_RIG_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/attach_int.h"
#include "core/edge.h"
#include "core/record.h"

#define RIG_EDGES  4
#define RIG_FRAMES 256
#define RIG_VNI    7
enum { L, M, N, R }; /* places of the VM, and a remote NVE */

struct rig_hold {
    struct mac mac;
    uint32_t frames, n;
    uint16_t queue[RIG_FRAMES];
};
enum { PUSH_SET, PUSH_DEL, PUSH_RESERVED, PUSH_UNRESERVED };
struct rig_push {     /* on its way from the authority */
    uint8_t to, what; /* PUSH_ */
    struct mapping_rec rec;
};
struct rig_edge {
    struct edge *e;
    struct edge_conf conf;
    struct dp_op fdb[16], vsi[16], vap[16], member[16];
    uint32_t n_fdb, n_vsi, n_vap, n_member, n_record;
    struct rig_hold hold[8];
    uint32_t n_hold;
    uint8_t hold_named[8];
    struct {
        uint8_t kind, key[RECORD_KEY_MAX];
        uint16_t key_size, size;
        uint8_t bytes[4096];
    } record[64];
    uint32_t n_queries, n_smrs, n_notices, n_dropped;
    uint8_t deaf; /* pushes to it wait */
    uint8_t slow; /* what it says to the authority waits */
    struct edge_out said[16];
    uint32_t n_said;
    uint8_t fail_dp, fail_journal;
};
struct rig {
    struct rig_edge n[RIG_EDGES];
    uint64_t now;
    struct mac mac;
    uint64_t known, epoch, migration_id, ids;
    struct mapping_rec own;             /* what is registered; owner none: nobody */
    struct mapping_rec resv[RIG_EDGES]; /* what each has reserved; epoch 0: nothing */
    struct rig_push push[256];
    uint32_t n_push;
    uint8_t refuse;             /* the authority refuses to reserve */
    struct tns_response answer; /* the last one */
    uint32_t n_answers;
    int at, port;                    /* where the VM runs; at < 0: paused */
    uint16_t frame;                  /* the last number */
    uint16_t got[RIG_FRAMES];        /* frames that the VM had, in order */
    uint16_t port_queue[RIG_FRAMES]; /* in the port's queue until the VM starts there */
    uint32_t n_got, n_port, hops, hops_max;
    int queue_at, queue_port;
    char ops[4096]; /* what was asked of the data planes, in words */
};

static inline struct ip
rig_ip(int i)
{
    return ip_v4(0x0a000001u + (uint32_t)i);
}

static inline struct dp_op *
rig_find(struct dp_op *tab, uint32_t *n, const struct dp_op *op)
{
    for (uint32_t i = 0; i < *n; i++) {
        const struct dp_op *o = &tab[i];
        bool same = false;
        if (op->type == DP_FDB_SET || op->type == DP_FDB_DEL)
            same = mac_equal(&o->u.fdb.mac, &op->u.fdb.mac);
        else if (op->type == DP_VSI_SET || op->type == DP_VSI_DEL)
            same = o->u.vsi.port == op->u.vsi.port && o->u.vsi.vid == op->u.vsi.vid &&
                   mac_equal(&o->u.vsi.mac, &op->u.vsi.mac);
        else if (op->type == DP_VAP_SET || op->type == DP_VAP_DEL)
            same = o->u.vap.port == op->u.vap.port && o->u.vap.vid == op->u.vap.vid;
        else
            same = o->u.member.vni == op->u.member.vni &&
                   ip_equal(&o->u.member.vtep, &op->u.member.vtep);
        if (same)
            return &tab[i];
    }
    return NULL;
}

static inline void
rig_row(struct dp_op *tab, uint32_t *n, const struct dp_op *op, bool set)
{
    struct dp_op *o = rig_find(tab, n, op);
    if (set && !o)
        o = &tab[(*n)++];
    if (set)
        *o = *op;
    else if (o)
        *o = tab[--*n];
}

static inline void
rig_vm_gets(struct rig *g, int at, int port, uint16_t frame)
{
    if (g->at == at && g->port == port) {
        g->got[g->n_got++] = frame;
    } else if (g->queue_at == at && g->queue_port == port) {
        g->port_queue[g->n_port++] = frame; /* the VM is about to start there */
    }
}

/* A frame for the VM inside the data plane of edge i: 0 drop, else it went somewhere.
 */
static inline void
rig_forward(struct rig *g, int i, uint16_t frame, bool overlay, bool released)
{
    struct rig_edge *n = &g->n[i];
    struct dp_op key = {.type = DP_FDB_SET, .u.fdb.mac = g->mac};
    const struct dp_op *f = rig_find(n->fdb, &n->n_fdb, &key);
    bool local = f && f->u.fdb.kind == FDB_LOCAL;
    for (uint32_t k = 0; k < n->n_hold && !released; k++) {
        struct rig_hold *h = &n->hold[k];
        if (!mac_equal(&h->mac, &g->mac) || !(overlay || local))
            continue;
        if (h->n == h->frames) {
            memmove(h->queue, h->queue + 1, --h->n * sizeof *h->queue);
            n->n_dropped++;
        }
        h->queue[h->n++] = frame;
        return;
    }
    if (!f)
        return;
    if (local) {
        struct dp_op v = {
            .type = DP_VSI_SET,
            .u.vsi = {.port = f->u.fdb.port, .vid = f->u.fdb.vid, .mac = g->mac}
        };
        const struct dp_op *o = rig_find(n->vsi, &n->n_vsi, &v);
        if (o && o->u.vsi.active)
            rig_vm_gets(g, i, (int)f->u.fdb.port, frame);
        return;
    }
    if (overlay && f->u.fdb.kind == FDB_REMOTE)
        return; /* split horizon (D1) */
    struct dp_op m = {.type = DP_MEMBER_SET, .u.member.vtep = f->u.fdb.vtep};
    assert_non_null(rig_find(n->member, &n->n_member, &m)); /* K11 */
    if (overlay && ++g->hops > g->hops_max)
        g->hops_max = g->hops;
    assert_true(g->hops < 8);
    for (int k = 0; k < RIG_EDGES; k++)
        if (ip_equal(&f->u.fdb.vtep, &g->n[k].conf.vtep))
            rig_forward(g, k, frame, true, false);
}

/* R sends a frame to the VM: its number. */
static inline uint16_t
rig_send(struct rig *g, int from)
{
    g->hops = 0;
    rig_forward(g, from, ++g->frame, false, false);
    return g->frame;
}

static inline bool
rig_got(const struct rig *g, uint16_t frame)
{
    for (uint32_t i = 0; i < g->n_got; i++)
        if (g->got[i] == frame)
            return true;
    return false;
}
static inline bool
rig_held(const struct rig *g, uint16_t frame)
{
    for (int i = 0; i < RIG_EDGES; i++)
        for (uint32_t k = 0; k < g->n[i].n_hold; k++)
            for (uint32_t j = 0; j < g->n[i].hold[k].n; j++)
                if (g->n[i].hold[k].queue[j] == frame)
                    return true;
    for (uint32_t i = 0; i < g->n_port; i++)
        if (g->port_queue[i] == frame)
            return true;
    return false;
}

static inline void
rig_hold_op(struct rig *g, int i, const struct dp_op *op)
{
    struct rig_edge *n = &g->n[i];
    uint32_t k = 0;
    while (k < n->n_hold && !mac_equal(&n->hold[k].mac, &op->u.hold.mac))
        k++;
    if (op->type == DP_HOLD_SET) {
        assert_true(
            op->u.hold.frames && op->u.hold.octets && op->u.hold.max_us); /* F21 */
        if (k == n->n_hold)
            n->hold[n->n_hold++] = (struct rig_hold){.mac = op->u.hold.mac};
        n->hold[k].frames =
            op->u.hold.frames > RIG_FRAMES ? RIG_FRAMES : op->u.hold.frames;
        n->hold_named[k] = 1;
        return;
    }
    if (k == n->n_hold)
        return;
    struct rig_hold h = n->hold[k];
    n->hold[k] = n->hold[--n->n_hold];
    for (uint32_t j = 0; j < h.n && op->u.hold.drain; j++) {
        g->hops = 0;
        rig_forward(g, i, h.queue[j], true, true);
    }
}

static inline void
rig_dp(struct rig *g, int i, const struct dp_op *op)
{
    struct rig_edge *n = &g->n[i];
    size_t at = strlen(g->ops);
    if (op->type == DP_FDB_SET)
        snprintf(g->ops + at, sizeof g->ops - at, "%c:fdb-%s ", "LMNR"[i],
            op -> u.fdb.kind == FDB_LOCAL        ? "local"
                  : op->u.fdb.kind == FDB_REMOTE ? "remote"
                                                 : "relay");
    else if (op->type == DP_HOLD_SET || op->type == DP_HOLD_DEL)
        snprintf(g->ops + at, sizeof g->ops - at, "%c:hold-%s ", "LMNR"[i],
            op -> type == DP_HOLD_SET ? "set"
                  : op->u.hold.drain  ? "drain"
                                      : "drop");
    if (op->type == DP_SYNC_BEGIN)
        memset(n->hold_named, 0, sizeof n->hold_named);
    if (op->type == DP_SYNC_END)
        for (uint32_t k = n->n_hold; k-- > 0;)
            if (!n->hold_named[k])
                n->hold[k] = n->hold[--n->n_hold];
    if (op->type == DP_FDB_SET || op->type == DP_FDB_DEL) {
        assert_false(mac_is_group(&op->u.fdb.mac)); /* F17: BUM has no place to go to */
        rig_row(n->fdb, &n->n_fdb, op, op->type == DP_FDB_SET);
    } else if (op->type == DP_VSI_SET || op->type == DP_VSI_DEL) {
        rig_row(n->vsi, &n->n_vsi, op, op->type == DP_VSI_SET);
    } else if (op->type == DP_VAP_SET || op->type == DP_VAP_DEL) {
        rig_row(n->vap, &n->n_vap, op, op->type == DP_VAP_SET);
    } else if (op->type == DP_MEMBER_SET || op->type == DP_MEMBER_DEL) {
        rig_row(n->member, &n->n_member, op, op->type == DP_MEMBER_SET);
    } else if (op->type == DP_HOLD_SET || op->type == DP_HOLD_DEL) {
        rig_hold_op(g, i, op);
    }
}

static inline int
rig_index(const struct ip *vtep)
{
    return (int)(ip_to_v4(vtep) - 0x0a000001u);
}

static inline void
rig_push(struct rig *g, int to, uint8_t what, const struct mapping_rec *rec)
{
    assert_true(g->n_push < 256);
    g->push[g->n_push++] = (struct rig_push){(uint8_t)to, what, *rec};
}

/* Registrations and reservations as K4 and E3 have them. */
static inline void
rig_authority(struct rig *g, int i, const struct edge_out *o)
{
    struct mapping_rec rec = o->u.reg.rec;
    uint64_t epoch = rec.epoch, id = rec.migration_id;
    if (o->u.reg.rec.epoch == EPOCH_RESERVED && !g->resv[i].epoch) {
        edge_registered(g->n[i].e, o->id, 0, 0, -ESTALE, g->now);
        return;
    }
    if (o->u.reg.want_epoch) {
        epoch = (g->known > rec.epoch ? g->known : rec.epoch) + 1;
        id = ++g->ids;
        if (o->type == EDGE_RESERVE && g->resv[i].epoch &&
            (o->u.reg.rec.epoch == EPOCH_RESERVED ||
                (rec.migration_id &&
                    rec.migration_id ==
                        g->resv[i].migration_id))) { /* the same question */
            id = g->resv[i].migration_id;
            epoch = g->resv[i].epoch;
        }
    } else if (epoch < g->epoch) {
        edge_registered(g->n[i].e, o->id, 0, 0, -ESTALE, g->now);
        return;
    }
    if (o->type == EDGE_RESERVE && g->refuse) {
        edge_registered(g->n[i].e, o->id, 0, 0, -EACCES, g->now);
        return;
    }
    if (epoch > g->known)
        g->known = epoch;
    rec.epoch = epoch;
    rec.migration_id = id;
    if (o->type == EDGE_RESERVE) {
        g->resv[i] = rec;
        if (!ip_is_none(&g->own.owner) && !ip_equal(&g->own.owner, &rec.owner))
            rig_push(g, rig_index(&g->own.owner), PUSH_RESERVED, &rec);
    } else {
        g->own = rec;
        g->epoch = epoch;
        for (int k = 0; k < RIG_EDGES; k++)
            if (g->resv[k].epoch <= epoch)
                g->resv[k].epoch = 0;
        for (int k = 0; k < RIG_EDGES; k++)
            if (k != i)
                rig_push(g, k, PUSH_SET, &rec);
    }
    edge_registered(g->n[i].e, o->id, epoch, id, 0, g->now);
}

/* What was reserved is void: the owner hears so, and what counts instead. */
static inline void
rig_void(struct rig *g, int i)
{
    struct mapping_rec rec = g->resv[i], next = {0};
    g->resv[i].epoch = 0;
    for (int k = 0; k < RIG_EDGES; k++)
        if (g->resv[k].epoch > next.epoch)
            next = g->resv[k];
    if (rec.epoch == 0 || next.epoch > rec.epoch || ip_is_none(&g->own.owner) ||
        rig_index(&g->own.owner) == i)
        return;
    rig_push(g, rig_index(&g->own.owner), PUSH_UNRESERVED, &rec);
    if (next.epoch)
        rig_push(g, rig_index(&g->own.owner), PUSH_RESERVED, &next);
}

static inline void
rig_take(struct rig *g, int i, const struct edge_out *o)
{
    struct rig_edge *n = &g->n[i];
    struct vn_rec vn = {.vni = RIG_VNI, .name = "red", .mtu = 1400};
    if (n->slow && (o->type == EDGE_REGISTER || o->type == EDGE_RESERVE ||
                       o->type == EDGE_WITHDRAW || o->type == EDGE_SUBSCRIBE)) {
        assert_true(n->n_said < 16);
        n->said[n->n_said++] = *o;
        return;
    }
    switch ((enum edge_out_type)o->type) {
    case EDGE_DP:
        if (!n->fail_dp)
            rig_dp(g, i, &o->u.dp);
        edge_done(n->e, o->id, n->fail_dp ? -EIO : 0, g->now);
        break;
    case EDGE_JOURNAL: {
        uint32_t k = 0;
        while (k < n->n_record && (n->record[k].key_size != o->u.journal.key_size ||
                                      memcmp(n->record[k].key, o->u.journal.key,
                                          o->u.journal.key_size) != 0))
            k++;
        assert_true(k < 64 && o->u.journal.size <= sizeof n->record[k].bytes);
        bool fails = n->fail_journal && o->id;
        if (!fails && o->u.journal.size) {
            n->record[k].kind = o->u.journal.kind;
            n->record[k].key_size = o->u.journal.key_size;
            n->record[k].size = o->u.journal.size;
            memcpy(n->record[k].key, o->u.journal.key, o->u.journal.key_size);
            memcpy(n->record[k].bytes, o->u.journal.bytes, o->u.journal.size);
            n->n_record += k == n->n_record;
        } else if (!fails && k < n->n_record) {
            n->record[k] = n->record[--n->n_record];
        }
        if (o->id)
            edge_done(n->e, o->id, fails ? -EIO : 0, g->now);
        break;
    }
    case EDGE_REGISTER:
    case EDGE_RESERVE:
        rig_authority(g, i, o);
        break;
    case EDGE_WITHDRAW:
        if (o->u.reg.rec.epoch == EPOCH_RESERVED) {
            rig_void(g, i);
            break;
        }
        if (ip_equal(&g->own.owner, &n->conf.vtep) && o->u.reg.rec.epoch == g->epoch) {
            for (int k = 0; k < RIG_EDGES; k++)
                if (k != i)
                    rig_push(g, k, PUSH_DEL, &g->own);
            g->own = (struct mapping_rec){0};
        }
        break;
    case EDGE_QUERY:
        n->n_queries++;
        if (!ip_is_none(&g->own.owner))
            edge_map_set(n->e, &g->own, 0, g->now);
        break;
    case EDGE_VN_LOOKUP:
        edge_vn(n->e, &vn, 0, g->now);
        break;
    case EDGE_SUBSCRIBE:
        edge_map_snapshot(n->e, RIG_VNI, true, 0, g->now);
        if (!ip_is_none(&g->own.owner))
            edge_map_set(n->e, &g->own, 0, g->now);
        for (int k = 0; k < RIG_EDGES; k++)
            edge_member(n->e, RIG_VNI, &g->n[k].conf.vtep, true, 0, g->now);
        edge_map_snapshot(n->e, RIG_VNI, false, 0, g->now);
        break;
    case EDGE_SMR:
        n->n_smrs++;
        edge_smr(g->n[rig_index(&o->u.smr.to)].e, o->u.smr.vni, &o->u.smr.mac,
            &n->conf.vtep, g->now);
        break;
    case EDGE_ANSWER:
        g->answer = o->u.answer;
        g->answer.entries = NULL;
        g->n_answers++;
        break;
    case EDGE_NOTICE:
        n->n_notices++;
        break;
    case EDGE_UNSUBSCRIBE:
    case EDGE_MAP_ACK:
    case EDGE_N_OUTS:
        break;
    }
}

/* Until nobody has anything to say any more, but for pushes to the deaf. */
static inline void
rig_run(struct rig *g)
{
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < RIG_EDGES; i++)
            for (struct edge_out o; edge_output(g->n[i].e, &o); more = true)
                rig_take(g, i, &o);
        for (uint32_t k = 0; k < g->n_push; k++) {
            struct rig_push p = g->push[k];
            if (g->n[p.to].deaf)
                continue;
            memmove(
                &g->push[k], &g->push[k + 1], (--g->n_push - k) * sizeof g->push[0]);
            if (p.what == PUSH_RESERVED)
                edge_reserved(g->n[p.to].e, &p.rec, g->now);
            else if (p.what == PUSH_UNRESERVED)
                edge_unreserved(g->n[p.to].e, &p.rec, g->now);
            else if (p.what == PUSH_DEL)
                edge_map_del(g->n[p.to].e, &p.rec, 0, g->now);
            else
                edge_map_set(g->n[p.to].e, &p.rec, 0, g->now);
            more = true;
            break;
        }
    }
}

static inline void
rig_time(struct rig *g, uint64_t us)
{
    uint64_t end = g->now + us;
    for (;;) {
        uint64_t next = end;
        for (int i = 0; i < RIG_EDGES; i++)
            if (edge_deadline(g->n[i].e) < next)
                next = edge_deadline(g->n[i].e);
        g->now = next > g->now ? next : g->now;
        for (int i = 0; i < RIG_EDGES; i++)
            if (edge_deadline(g->n[i].e) <= g->now)
                edge_tick(g->n[i].e, g->now);
        rig_run(g);
        if (next >= end)
            break;
    }
    g->now = end;
}

/* The first thing that waited on its way to the authority arrives. */
static inline bool
rig_arrives(struct rig *g, int i)
{
    struct rig_edge *n = &g->n[i];
    if (n->n_said == 0)
        return false;
    struct edge_out o = n->said[0];
    memmove(n->said, n->said + 1, --n->n_said * sizeof o);
    n->slow = 0;
    rig_take(g, i, &o);
    n->slow = n->n_said > 0;
    rig_run(g);
    return true;
}

/* A request of the server behind (edge, port); rq may be NULL. The answer's code. */
static inline int
rig_ask(struct rig *g, int i, uint32_t port, uint8_t op, const struct tns_request *with)
{
    struct tns_entry n = {.vn_ref = VN_BY_VNI,
        .vni = RIG_VNI,
        .has_mac = 1,
        .mac = g->mac,
        .n_ips = 1,
        .ips = {ip_v4(0xc0a80005)}};
    struct tns_request rq = with ? *with : (struct tns_request){0};
    bool bare = op == TNS_SUSPEND || op == TNS_RESUME || op == TNS_EMIGRATE_PREPARE ||
                op == TNS_EMIGRATE_COMMIT || op == TNS_TERMINATE;
    rq.op = op;
    rq.port = port;
    rq.id = (struct vsiid){.format = VSIID_UUID, .b = {1}};
    rq.berth_station = 1;
    rq.n_entries = bare ? 0 : 1;
    rq.entries = &n;
    uint32_t before = g->n_answers;
    edge_request(g->n[i].e, &rq, g->now);
    rig_run(g);
    return g->n_answers > before ? g->answer.code : -1;
}
#define RIG_OK(g, i, port, op) assert_int_equal(rig_ask(g, i, port, op, NULL), TNS_OK)

static inline void
rig_pause(struct rig *g)
{
    g->at = -1;
}
/* From here on the port's queue at the new place keeps what comes for the VM. */
static inline void
rig_port_opens(struct rig *g, int at, int port)
{
    g->queue_at = at;
    g->queue_port = port;
}
/* What learned its tag by an answer uses it. */
static inline void
rig_tagged(struct rig *g)
{
    rig_time(g, 20000);
}

static inline void
rig_start(struct rig *g, int at, int port)
{
    rig_tagged(g);
    g->at = at;
    g->port = port;
    for (uint32_t i = 0; i < g->n_port; i++)
        if (g->queue_at == at && g->queue_port == port)
            g->got[g->n_got++] = g->port_queue[i];
    g->n_port = 0;
    g->queue_at = -1;
}

/* A comes after B among the operations. */
static inline void
rig_after(const struct rig *g, const char *a, const char *b)
{
    const char *p = strstr(g->ops, a), *q = strstr(g->ops, b);
    if (!p || !q || p < q)
        fail_msg("%s after %s? %s", a, b, g->ops);
}

/* The usual way, to the pause and from there on: at both places the first port. */
#define RIG_LEAVES(g, from, to)                                                        \
    do {                                                                               \
        RIG_OK(g, to, 1, TNS_IMMIGRATE_PRE);                                           \
        rig_pause(g);                                                                  \
        RIG_OK(g, from, 1, TNS_EMIGRATE_COMMIT);                                       \
    } while (0)
#define RIG_COMES(g, to)                                                               \
    do {                                                                               \
        RIG_OK(g, to, 1, TNS_IMMIGRATE_ASSO);                                          \
        rig_start(g, to, 1);                                                           \
    } while (0)

static inline int
rig_state(struct rig *g, int i, uint32_t port)
{
    struct edge_att_view a;
    for (uint32_t it = 0; edge_each_attachment(g->n[i].e, &it, &a, g->now);)
        if (a.port == port)
            return a.state;
    return ATT_NULL;
}
static inline int
rig_fdb(struct rig *g, int i)
{
    struct dp_op key = {.type = DP_FDB_SET, .u.fdb.mac = g->mac};
    const struct dp_op *f = rig_find(g->n[i].fdb, &g->n[i].n_fdb, &key);
    return f ? f->u.fdb.kind : -1;
}

static inline void
rig_edge_up(struct rig *g, int i)
{
    struct rig_edge *n = &g->n[i];
    struct edge_port_conf p1 = {.name = "p1", .domain = 1},
                          p2 = {.name = "p2", .domain = 2};
    n->e = edge_new(&n->conf, g->now);
    assert_true(edge_port_add(n->e, 1, &p1, g->now));
    assert_true(edge_port_add(n->e, 2, &p2, g->now));
}

/* SIGKILL and again: the journal and the data plane stay. */
static inline void
rig_restart(struct rig *g, int i)
{
    struct rig_edge *n = &g->n[i];
    static const uint8_t kinds[] = {RECORD_VN, RECORD_TAG, RECORD_ATTACHMENT};
    edge_free(n->e);
    rig_edge_up(g, i);
    for (struct edge_out o; edge_output(n->e, &o);)
        ; /* ports: the data plane has them */
    for (size_t k = 0; k < sizeof kinds; k++)
        for (uint32_t r = 0; r < n->n_record; r++)
            if (n->record[r].kind == kinds[k])
                edge_restore(n->e, n->record[r].kind, n->record[r].bytes,
                    n->record[r].size, g->now);
    edge_restored(n->e, g->now);
    edge_session(n->e, true, g->now);
    rig_run(g);
    rig_time(g, 1000);
}

static inline struct rig *
rig_new(void)
{
    struct rig *g = calloc(1, sizeof *g);
    static const struct vsiid other = {.format = VSIID_UUID, .b = {9}};
    g->now = 1000000;
    g->mac = (struct mac){
        {0x52, 0x54, 0, 0, 0, 5}
    };
    g->queue_at = -1;
    for (int i = 0; i < RIG_EDGES; i++) {
        g->n[i].conf = (struct edge_conf){
            .name = "n", .vtep = rig_ip(i), .seed = 5, .authority = 1};
        rig_edge_up(g, i);
        edge_session(g->n[i].e, true, g->now);
    }
    rig_run(g);
    /* The sender is a VM at R. */
    struct mac own = g->mac;
    struct tns_entry n = {
        .vn_ref = VN_BY_VNI, .vni = RIG_VNI, .has_mac = 1, .mac = own};
    n.mac.b[5] = 99;
    struct tns_request rq = {.op = TNS_PREASSOC,
        .port = 1,
        .id = other,
        .berth_station = 1,
        .n_entries = 1,
        .entries = &n};
    edge_request(g->n[R].e, &rq, g->now);
    rig_run(g);
    RIG_OK(g, L, 1, TNS_ASSOC);
    rig_start(g, L, 1);
    return g;
}

static inline void
rig_free(struct rig *g)
{
    for (int i = 0; i < RIG_EDGES; i++)
        edge_free(g->n[i].e);
    free(g);
}

static inline void
rig_forget_ops(struct rig *g)
{
    g->ops[0] = 0;
}
#endif
