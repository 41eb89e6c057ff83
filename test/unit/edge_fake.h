/* SPDX-License-Identifier: Apache-2.0 */
/* An edge without attachments: just what mapping and arp lean on. Outputs are collected
 * in an array; a data plane made of small tables carries the operations out, so a test
 * asks where a frame would go instead of counting operations. One per program. */
#ifndef BERTH_TEST_EDGE_FAKE_H
#define BERTH_TEST_EDGE_FAKE_H
#include "core/arp.h"
#include "core/edge_int.h"
#include "core/mapping.h"
#include "test.h"

#define FAKE_OUTS 65536
#define FAKE_TAB  512

struct fake {
    struct edge e;
    struct edge_out outs[FAKE_OUTS];
    void *lent[FAKE_OUTS];
    uint32_t kind[FAKE_OUTS], ref[FAKE_OUTS];
    uint32_t n;
    int fail;   /* so many of the next operations fail */
    bool stall; /* operations are carried out, not reported done */
    uint32_t stalled[FAKE_OUTS], n_stalled;
    /* the data plane */
    struct dp_op fdb[FAKE_TAB], neigh[FAKE_TAB], member[FAKE_TAB], neg[FAKE_TAB];
    struct dp_op hold[FAKE_TAB];
    uint32_t n_fdb, n_neigh, n_member, n_neg, n_hold;
    uint8_t drain; /* of the last DP_HOLD_DEL */
    /* what came out since fake_clear */
    uint64_t ack;
    uint32_t n_queries, n_frames, n_acks;
    struct edge_out last_query;
    struct {
        uint32_t port, vni, size;
        uint16_t vid;
        uint8_t pcp, bytes[2048];
    } frames[256];
    struct edge_port port;
};
static struct fake F;

/* Nobody is attached. */
void attach_target(struct edge *e, uint32_t vni, const struct mac *mac);
void
attach_target(struct edge *e, uint32_t vni, const struct mac *mac)
{
    (void)e;
    (void)vni;
    (void)mac;
}

struct edge_out *
edge_emit(struct edge *e, uint8_t type)
{
    assert_ptr_equal(e, &F.e);
    assert_true(F.n < FAKE_OUTS);
    F.lent[F.n] = NULL;
    F.kind[F.n] = TICKET_DP;
    struct edge_out *o = &F.outs[F.n++];
    *o = (struct edge_out){.type = type};
    return o;
}

void *
edge_lend(struct edge *e, size_t size)
{
    (void)e;
    assert_null(F.lent[F.n - 1]);
    return F.lent[F.n - 1] = mem_alloc(size);
}

struct dp_op *
edge_dp(struct edge *e, uint8_t type, uint8_t kind, uint32_t ref)
{
    struct edge_out *o = edge_emit(e, EDGE_DP);
    F.kind[F.n - 1] = kind;
    F.ref[F.n - 1] = ref;
    o->id = kind == TICKET_DP ? 0 : F.n;
    o->u.dp.type = type;
    return &o->u.dp;
}

uint32_t
edge_ticket(struct edge *e, uint8_t kind, uint32_t ref)
{
    (void)e, (void)kind, (void)ref;
    return 1;
}

struct edge_port *
edge_port_at(const struct edge *e, uint32_t port)
{
    (void)e;
    return port == 1 ? &F.port : NULL;
}

uint64_t
edge_seed(const struct edge *e, uint32_t n)
{
    return e->conf.seed + n;
}

static bool
fake_same(const struct dp_op *a, const struct dp_op *b)
{
    switch ((enum dp_op_type)a->type) {
    case DP_FDB_SET:
    case DP_FDB_DEL:
        return a->u.fdb.vni == b->u.fdb.vni && mac_equal(&a->u.fdb.mac, &b->u.fdb.mac);
    case DP_NEIGH_SET:
    case DP_NEIGH_DEL:
        return a->u.neigh.vni == b->u.neigh.vni &&
               ip_equal(&a->u.neigh.ip, &b->u.neigh.ip);
    case DP_MEMBER_SET:
    case DP_MEMBER_DEL:
        return a->u.member.vni == b->u.member.vni &&
               ip_equal(&a->u.member.vtep, &b->u.member.vtep);
    case DP_NEG_SET:
    case DP_NEG_DEL:
        return a->u.neg.vni == b->u.neg.vni &&
               mac_equal(&a->u.neg.mac, &b->u.neg.mac) &&
               ip_equal(&a->u.neg.ip, &b->u.neg.ip);
    case DP_HOLD_SET:
    case DP_HOLD_DEL:
        return a->u.hold.vni == b->u.hold.vni &&
               mac_equal(&a->u.hold.mac, &b->u.hold.mac);
    default:
        return false;
    }
}

static void
fake_set(struct dp_op *tab, uint32_t *n, const struct dp_op *op, bool set)
{
    uint32_t i = 0;
    while (i < *n && !fake_same(&tab[i], op))
        i++;
    if (set) {
        assert_true(i < FAKE_TAB);
        tab[i] = *op;
        *n += i == *n;
    } else if (i < *n) {
        tab[i] = tab[--*n];
    }
}

static void
fake_dp(const struct dp_op *op)
{
    switch ((enum dp_op_type)op->type) {
    case DP_FDB_SET:
    case DP_FDB_DEL:
        fake_set(F.fdb, &F.n_fdb, op, op->type == DP_FDB_SET);
        break;
    case DP_NEIGH_SET:
    case DP_NEIGH_DEL:
        fake_set(F.neigh, &F.n_neigh, op, op->type == DP_NEIGH_SET);
        break;
    case DP_MEMBER_SET:
    case DP_MEMBER_DEL:
        fake_set(F.member, &F.n_member, op, op->type == DP_MEMBER_SET);
        break;
    case DP_NEG_SET:
    case DP_NEG_DEL:
        fake_set(F.neg, &F.n_neg, op, op->type == DP_NEG_SET);
        break;
    case DP_HOLD_SET:
    case DP_HOLD_DEL:
        fake_set(F.hold, &F.n_hold, op, op->type == DP_HOLD_SET);
        if (op->type == DP_HOLD_DEL)
            F.drain = op->u.hold.drain;
        break;
    case DP_FRAME:
        assert_true(F.n_frames < 256 && op->u.frame.size <= 2048);
        F.frames[F.n_frames].port = op->u.frame.port;
        F.frames[F.n_frames].vid = op->u.frame.vid;
        F.frames[F.n_frames].pcp = op->u.frame.pcp;
        F.frames[F.n_frames].vni = op->u.frame.vni;
        F.frames[F.n_frames].size = op->u.frame.size;
        memcpy(F.frames[F.n_frames++].bytes, op->u.frame.p, op->u.frame.size);
        break;
    default:
        fail_msg("unexpected operation %u", op->type);
    }
}

/* Carries out everything that was emitted, and what that causes. */
static inline void
fake_run(void)
{
    for (uint32_t i = 0; i < F.n; i++) {
        struct edge_out o = F.outs[i];
        uint32_t kind = F.kind[i], ref = F.ref[i];
        if (o.type == EDGE_DP) {
            bool failed = F.fail > 0 && o.u.dp.type != DP_FRAME;
            if (failed)
                F.fail--;
            else
                fake_dp(&o.u.dp);
            if (kind == TICKET_MAP_DP && F.stall)
                F.stalled[F.n_stalled++] = ref;
            else if (kind == TICKET_MAP_DP)
                mapping_done(&F.e, ref, failed ? -28 : 0);
        } else if (o.type == EDGE_QUERY) {
            F.n_queries++;
            F.last_query = o;
        } else if (o.type == EDGE_MAP_ACK) {
            assert_true(o.u.seq > F.ack);
            F.ack = o.u.seq;
            F.n_acks++;
        }
        mem_free(F.lent[i]);
        F.lent[i] = NULL;
    }
    F.n = 0;
}

static inline void
fake_clear(void)
{
    fake_run();
    F.n_queries = F.n_frames = F.n_acks = 0;
}

static inline void
fake_time(uint64_t now_us)
{
    uint32_t kind, ref;
    F.e.now_us = now_us;
    while (timers_pop(&F.e.timers, now_us, &kind, &ref)) {
        if (kind >= TIMER_ARP_FIRST)
            arp_timer(&F.e, kind, ref);
        else
            mapping_timer(&F.e, kind, ref);
    }
    fake_run();
}

static inline const struct dp_op *
fake_fdb(uint32_t vni, const struct mac *mac)
{
    struct dp_op op = {
        .type = DP_FDB_SET, .u.fdb = {.vni = vni, .mac = *mac}
    };
    for (uint32_t i = 0; i < F.n_fdb; i++)
        if (fake_same(&F.fdb[i], &op))
            return &F.fdb[i];
    return NULL;
}

static inline const struct mac *
fake_neigh(uint32_t vni, const struct ip *ip)
{
    struct dp_op op = {
        .type = DP_NEIGH_SET, .u.neigh = {.vni = vni, .ip = *ip}
    };
    for (uint32_t i = 0; i < F.n_neigh; i++)
        if (fake_same(&F.neigh[i], &op))
            return &F.neigh[i].u.neigh.mac;
    return NULL;
}

static inline bool
fake_member(uint32_t vni, struct ip vtep)
{
    struct dp_op op = {
        .type = DP_MEMBER_SET, .u.member = {.vni = vni, .vtep = vtep}
    };
    for (uint32_t i = 0; i < F.n_member; i++)
        if (fake_same(&F.member[i], &op))
            return true;
    return false;
}

static inline bool
fake_neg(uint32_t vni, const struct mac *mac, const struct ip *ip)
{
    struct dp_op op = {.type = DP_NEG_SET, .u.neg = {.vni = vni}};
    if (mac)
        op.u.neg.mac = *mac;
    if (ip)
        op.u.neg.ip = *ip;
    for (uint32_t i = 0; i < F.n_neg; i++)
        if (fake_same(&F.neg[i], &op))
            return true;
    return false;
}

static inline void
fake_open(uint32_t max_mappings)
{
    memset(&F, 0, sizeof F);
    F.e.conf.vtep = ip_v4(0x0a000001);
    F.e.conf.seed = 7;
    F.e.conf.authority = 1;
    F.e.conf.settings[SET_MAX_MAPPINGS] = max_mappings;
    F.e.conf.settings[SET_MAX_VNS] = 4096;
    F.e.conf.settings[SET_MAX_IPS] = TNS_IPS_MAX;
    F.e.conf.settings[SET_NEG_US] = 10000000;
    F.e.conf.settings[SET_MISS_WAIT_US] = 2000000;
    F.e.conf.settings[SET_STALE_US] = 60000000;
    F.e.conf.settings[SET_RETRY_US] = 1000000;
    F.e.conf.settings[SET_HOLD_FRAMES] = 1000;
    F.e.conf.settings[SET_HOLD_US] = 5000000;
    F.e.now_us = 1000;
    timers_init(&F.e.timers);
    mapping_open(&F.e);
    arp_open(&F.e);
}

static inline void
fake_close(void)
{
    fake_run();
    arp_close(&F.e);
    mapping_close(&F.e);
    timers_done(&F.e.timers);
}

static inline struct mac
mac_n(uint32_t n)
{
    return (struct mac){
        {0x52, 0x54, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
         (uint8_t)n}
    };
}

static inline struct ip
ip6_n(uint32_t n)
{
    return (struct ip){
        {0x20, 1, 0x0d, 0xb8, [12] = (uint8_t)(n >> 24), (uint8_t)(n >> 16),
         (uint8_t)(n >> 8), (uint8_t)n}
    };
}

/* The record of VM n of a VN, v4 and v6, at owner 10.0.0.x. */
static inline struct mapping_rec
rec_n(uint32_t vni, uint32_t n, uint8_t owner, uint64_t epoch)
{
    struct mapping_rec r = {.vni = vni,
        .mac = mac_n(n),
        .n_ips = 2,
        .owner = ip_v4(0x0a000000u + owner),
        .epoch = epoch,
        .migration_id = epoch * 1000 + 1};
    r.ips[0] = ip_v4(0xc0a80000u + n);
    r.ips[1] = ip6_n(n);
    return r;
}
#endif
