/* SPDX-License-Identifier: Apache-2.0 */
/* A naive surrounding of one edge for tests and the fuzz target: a data plane of plain
 * tables, a journal of live records, an authority of one table. Completions wait in a
 * bag and come in any order, late, or as failures, as the caller draws them. env_check
 * holds the invariants that must be true at any time, env_quiet those of a settled
 * edge. */
#ifndef BERTH_TEST_EDGE_ENV_H
#define BERTH_TEST_EDGE_ENV_H
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/rng.h"
#include "core/attach_int.h"
#include "core/edge.h"
#include "core/edge_int.h"
#include "core/record.h"
#include "core/tag.h"

#define ENV_CHECK(cond)                                                                \
    do {                                                                               \
        if (!(cond)) {                                                                 \
            fprintf(stderr, "%s:%d: not so: %s (seed %llu)\n", __FILE__, __LINE__,     \
                #cond, (unsigned long long)env_seed);                                  \
            abort();                                                                   \
        }                                                                              \
    } while (0)
static unsigned long long env_seed;

#define ENV_ROWS 4096
struct env_vap {
    uint32_t port, vni;
    uint16_t vid;
    uint8_t wildcard, flood, reflect, named;
};
struct env_vsi {
    uint32_t port, vni;
    uint16_t vid;
    struct mac mac;
    uint8_t active, pcp, named;
};
struct env_fdb {
    uint32_t vni, port;
    uint16_t vid;
    struct mac mac;
    uint8_t kind, named;
    struct ip vtep;
};
struct env_hold {
    uint32_t vni;
    struct mac mac;
    uint8_t named;
};
struct env_record {
    uint8_t kind, key[RECORD_KEY_MAX];
    uint16_t key_size, size;
    uint8_t *bytes;
};
struct env_own { /* the authority's knowledge */
    uint32_t vni;
    struct mac mac;
    uint64_t epoch, known, migration_id;
    uint64_t resv, resv_id; /* reserved by the edge under test; 0: nothing */
    uint8_t here;           /* owned by the edge under test */
};
struct env_pending {
    uint8_t type, fail;
    uint32_t id;
    struct mapping_rec rec;
    uint8_t want;
    struct vn_rec vn;
    struct env_record record; /* a journal record counts when it is done */
};
struct env_answer {
    struct tns_response r;
    struct tns_entry entries[TNS_ENTRIES_MAX];
    uint32_t times;
};
struct env {
    struct edge *e;
    struct edge_conf conf;
    uint64_t now;
    struct env_vap vap[ENV_ROWS];
    struct env_vsi vsi[ENV_ROWS];
    struct env_fdb fdb[ENV_ROWS];
    struct env_hold hold[ENV_ROWS];
    struct env_record record[ENV_ROWS];
    struct env_own own[ENV_ROWS];
    struct env_pending *pending;
    uint32_t vns[256]; /* with bit 31: named since DP_SYNC_BEGIN */
    uint32_t n_vap, n_vsi, n_fdb, n_hold, n_record, n_own, n_pending, cap_pending, n_vn;
    struct env_answer *answers; /* by cookie */
    uint32_t n_answers;
    uint32_t n_notices, n_acks, n_queries;
    uint32_t n_frames, frame_port; /* sent to VMs, and the last one */
    uint8_t frame[128];
    struct mapping_rec query; /* the last question: vni, mac, ips[0] */
    uint8_t subscribed[256];
    struct tns_notice notice;
    uint64_t epoch_source;
    uint32_t fail_dp, fail_journal; /* per million */
    struct rng *rng;                /* NULL: nothing fails */
    uint8_t session, syncing;
    uint8_t authority_mute;
};

static inline struct mac
env_mac(uint32_t n)
{
    return (struct mac){
        {2, 0, 0, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}
    };
}
static inline struct vsiid
env_vsi_id(uint32_t n)
{
    struct vsiid v = {.format = VSIID_UUID};
    memcpy(v.b + 12, &n, 4);
    return v;
}

#define ENV_DEL(table, n, i) ((table)[i] = (table)[--(n)])

static inline int
env_vap_find(const struct env *v, uint32_t port, uint16_t vid)
{
    for (uint32_t i = 0; i < v->n_vap; i++)
        if (v->vap[i].port == port && v->vap[i].vid == vid)
            return (int)i;
    return -1;
}
static inline int
env_vsi_find(const struct env *v, uint32_t port, uint16_t vid, const struct mac *mac)
{
    for (uint32_t i = 0; i < v->n_vsi; i++)
        if (v->vsi[i].port == port && v->vsi[i].vid == vid &&
            mac_equal(&v->vsi[i].mac, mac))
            return (int)i;
    return -1;
}
static inline int
env_fdb_find(const struct env *v, uint32_t vni, const struct mac *mac)
{
    for (uint32_t i = 0; i < v->n_fdb; i++)
        if (v->fdb[i].vni == vni && mac_equal(&v->fdb[i].mac, mac))
            return (int)i;
    return -1;
}
static inline int
env_hold_find(const struct env *v, uint32_t vni, const struct mac *mac)
{
    for (uint32_t i = 0; i < v->n_hold; i++)
        if (v->hold[i].vni == vni && mac_equal(&v->hold[i].mac, mac))
            return (int)i;
    return -1;
}
static inline int
env_vn_find(const struct env *v, uint32_t vni)
{
    for (uint32_t i = 0; i < v->n_vn; i++)
        if ((v->vns[i] & VNI_MAX) == vni)
            return (int)i;
    return -1;
}
static inline struct env_own *
env_own(struct env *v, uint32_t vni, const struct mac *mac)
{
    for (uint32_t i = 0; i < v->n_own; i++)
        if (v->own[i].vni == vni && mac_equal(&v->own[i].mac, mac))
            return &v->own[i];
    ENV_CHECK(v->n_own < ENV_ROWS);
    v->own[v->n_own] = (struct env_own){.vni = vni, .mac = *mac};
    return &v->own[v->n_own++];
}

/* The data plane takes operations in order, at once; only its word comes later. */
static inline void
env_dp(struct env *v, const struct dp_op *op)
{
    int i;
    switch ((enum dp_op_type)op->type) {
    case DP_SYNC_BEGIN:
        v->syncing = 1;
        for (uint32_t k = 0; k < v->n_vn; k++)
            v->vns[k] &= VNI_MAX;
        for (uint32_t k = 0; k < v->n_vap; k++)
            v->vap[k].named = 0;
        for (uint32_t k = 0; k < v->n_vsi; k++)
            v->vsi[k].named = 0;
        for (uint32_t k = 0; k < v->n_fdb; k++)
            v->fdb[k].named = 0;
        for (uint32_t k = 0; k < v->n_hold; k++)
            v->hold[k].named = 0;
        break;
    case DP_SYNC_END:
        v->syncing = 0;
        for (uint32_t k = 0; k < v->n_vn;)
            if (v->vns[k] >> 31)
                k++;
            else
                ENV_DEL(v->vns, v->n_vn, k);
        for (uint32_t k = 0; k < v->n_vap;)
            if (v->vap[k].named)
                k++;
            else
                ENV_DEL(v->vap, v->n_vap, k);
        for (uint32_t k = 0; k < v->n_vsi;)
            if (v->vsi[k].named)
                k++;
            else
                ENV_DEL(v->vsi, v->n_vsi, k);
        for (uint32_t k = 0; k < v->n_fdb;)
            if (v->fdb[k].named)
                k++;
            else
                ENV_DEL(v->fdb, v->n_fdb, k);
        for (uint32_t k = 0; k < v->n_hold;)
            if (v->hold[k].named)
                k++;
            else
                ENV_DEL(v->hold, v->n_hold, k);
        break;
    case DP_VN_SET:
        i = env_vn_find(v, op->u.vn.vni);
        if (i < 0)
            i = (int)v->n_vn++;
        v->vns[i] = op->u.vn.vni | 1u << 31;
        break;
    case DP_VN_DEL:
        i = env_vn_find(v, op->u.vn.vni);
        ENV_CHECK(i >= 0);
        ENV_DEL(v->vns, v->n_vn, i);
        break;
    case DP_VAP_SET:
        ENV_CHECK(env_vn_find(v, op->u.vap.vni) >= 0);
        i = env_vap_find(v, op->u.vap.port, op->u.vap.vid);
        if (i < 0)
            i = (int)v->n_vap++;
        else /* K18: a tag never changes its VN while it stands */
            ENV_CHECK(v->vap[i].vni == op->u.vap.vni);
        v->vap[i] = (struct env_vap){op->u.vap.port, op->u.vap.vni, op->u.vap.vid,
            op->u.vap.wildcard, op->u.vap.flood, op->u.vap.reflect, 1};
        break;
    case DP_VAP_DEL:
        i = env_vap_find(v, op->u.vap.port, op->u.vap.vid);
        ENV_CHECK(i >= 0);
        ENV_DEL(v->vap, v->n_vap, i);
        break;
    case DP_VSI_SET:
        ENV_CHECK(env_vap_find(v, op->u.vsi.port, op->u.vsi.vid) >= 0);
        i = env_vsi_find(v, op->u.vsi.port, op->u.vsi.vid, &op->u.vsi.mac);
        if (i < 0)
            i = (int)v->n_vsi++;
        v->vsi[i] = (struct env_vsi){op->u.vsi.port, op->u.vsi.vni, op->u.vsi.vid,
            op->u.vsi.mac, op->u.vsi.active, op->u.vsi.pcp, 1};
        break;
    case DP_VSI_DEL:
        i = env_vsi_find(v, op->u.vsi.port, op->u.vsi.vid, &op->u.vsi.mac);
        if (i >= 0)
            ENV_DEL(v->vsi, v->n_vsi, i);
        break;
    case DP_FDB_SET:
        i = env_fdb_find(v, op->u.fdb.vni, &op->u.fdb.mac);
        if (i < 0)
            i = (int)v->n_fdb++;
        v->fdb[i] = (struct env_fdb){op->u.fdb.vni, op->u.fdb.port, op->u.fdb.vid,
            op->u.fdb.mac, op->u.fdb.kind, 1, op->u.fdb.vtep};
        break;
    case DP_FDB_DEL:
        i = env_fdb_find(v, op->u.fdb.vni, &op->u.fdb.mac);
        if (i >= 0)
            ENV_DEL(v->fdb, v->n_fdb, i);
        break;
    case DP_PORT_SET:
    case DP_PORT_DEL:
    case DP_NEIGH_SET:
    case DP_NEIGH_DEL:
    case DP_MEMBER_SET:
    case DP_MEMBER_DEL:
    case DP_NEG_SET:
    case DP_NEG_DEL:
    case DP_N_OPS:
        break;
    case DP_HOLD_SET: /* K12: always bounded */
        ENV_CHECK(op->u.hold.frames && op->u.hold.octets && op->u.hold.max_us);
        i = env_hold_find(v, op->u.hold.vni, &op->u.hold.mac);
        if (i < 0)
            i = (int)v->n_hold++;
        ENV_CHECK(v->n_hold < ENV_ROWS);
        v->hold[i] = (struct env_hold){op->u.hold.vni, op->u.hold.mac, 1};
        break;
    case DP_HOLD_DEL:
        i = env_hold_find(v, op->u.hold.vni, &op->u.hold.mac);
        if (i >= 0)
            ENV_DEL(v->hold, v->n_hold, i);
        break;
    case DP_FRAME:
        v->n_frames++;
        v->frame_port = op->u.frame.port;
        memcpy(
            v->frame, op->u.frame.p, op->u.frame.size < 128 ? op->u.frame.size : 128);
        break;
    }
    ENV_CHECK(v->n_vap < ENV_ROWS && v->n_vsi < ENV_ROWS && v->n_fdb < ENV_ROWS);
}

static inline void
env_journal(struct env *v, struct env_record *r)
{
    for (uint32_t i = 0; i < v->n_record; i++) {
        struct env_record *o = &v->record[i];
        if (o->key_size != r->key_size || memcmp(o->key, r->key, r->key_size) != 0)
            continue;
        free(o->bytes);
        ENV_DEL(v->record, v->n_record, i);
        break;
    }
    if (r->size) {
        ENV_CHECK(v->n_record < ENV_ROWS);
        v->record[v->n_record++] = *r;
        r->bytes = NULL;
    }
    free(r->bytes);
    r->bytes = NULL;
}

static inline struct env_pending *
env_pend(struct env *v, uint8_t type, uint32_t id)
{
    if (v->n_pending == v->cap_pending) {
        v->cap_pending = v->cap_pending ? v->cap_pending * 2 : 64;
        v->pending = realloc(v->pending, v->cap_pending * sizeof *v->pending);
    }
    struct env_pending *p = &v->pending[v->n_pending++];
    memset(p, 0, sizeof *p);
    p->type = type;
    p->id = id;
    return p;
}

static inline void
env_take(struct env *v, const struct edge_out *o)
{
    struct env_pending *p;
    switch ((enum edge_out_type)o->type) {
    case EDGE_DP:
        env_dp(v, &o->u.dp);
        if (o->id) {
            p = env_pend(v, EDGE_DP, o->id);
            p->fail = v->rng && v->fail_dp && rng_chance(v->rng, v->fail_dp);
        }
        break;
    case EDGE_JOURNAL: {
        struct env_record r = {.kind = o->u.journal.kind,
            .key_size = o->u.journal.key_size,
            .size = o->u.journal.size};
        ENV_CHECK(r.key_size <= sizeof r.key);
        memcpy(r.key, o->u.journal.key, r.key_size);
        r.bytes = malloc(r.size ? r.size : 1);
        memcpy(r.bytes, o->u.journal.bytes, r.size);
        bool fails =
            o->id && v->rng && v->fail_journal && rng_chance(v->rng, v->fail_journal);
        if (fails)
            free(r.bytes);
        else
            env_journal(v, &r);
        if (o->id)
            env_pend(v, EDGE_JOURNAL, o->id)->fail = fails;
        break;
    }
    case EDGE_REGISTER:
    case EDGE_RESERVE:
        p = env_pend(v, o->type, o->id);
        p->rec = o->u.reg.rec;
        p->want = o->u.reg.want_epoch;
        break;
    case EDGE_WITHDRAW: {
        struct env_own *w = env_own(v, o->u.reg.rec.vni, &o->u.reg.rec.mac);
        if (o->u.reg.rec.epoch == EPOCH_RESERVED)
            w->resv = 0;
        if (w->here && w->epoch == o->u.reg.rec.epoch)
            w->here = 0;
        break;
    }
    case EDGE_VN_LOOKUP:
        env_pend(v, EDGE_VN_LOOKUP, 0)->vn = o->u.vn;
        break;
    case EDGE_ANSWER: {
        const struct tns_response *r = &o->u.answer;
        ENV_CHECK(r->cookie < v->n_answers);
        struct env_answer *a = &v->answers[r->cookie];
        a->times++;
        a->r = *r;
        ENV_CHECK(r->n_entries <= TNS_ENTRIES_MAX);
        if (r->n_entries)
            memcpy(a->entries, r->entries, r->n_entries * sizeof *r->entries);
        a->r.entries = a->entries;
        ENV_CHECK(a->times == 1);
        break;
    }
    case EDGE_NOTICE:
        v->n_notices++;
        v->notice = o->u.notice;
        break;
    case EDGE_SUBSCRIBE:
        v->subscribed[o->u.sub.vni] = !o->u.sub.members_only;
        break;
    case EDGE_UNSUBSCRIBE:
        v->subscribed[o->u.vni] = 0;
        break;
    case EDGE_MAP_ACK:
        v->n_acks++;
        break;
    case EDGE_QUERY:
        v->n_queries++;
        v->query = (struct mapping_rec){.vni = o->u.query.vni, .mac = o->u.query.mac};
        v->query.ips[0] = o->u.query.ip;
        break;
    case EDGE_SMR:
    case EDGE_N_OUTS:
        break;
    }
}

static inline void
env_pull(struct env *v)
{
    struct edge_out o;
    while (edge_output(v->e, &o))
        env_take(v, &o);
}

/* VNs 1 .. 99 exist, named vn1 .. vn99. VN 50 has a large MTU. */
static inline bool
env_vn_rec(const struct vn_rec *asked, struct vn_rec *rec)
{
    *rec = (struct vn_rec){.vni = asked->vni, .mtu = 1450};
    if (asked->vni == 0 && sscanf(asked->name, "vn%u", &rec->vni) != 1) {
        *rec = *asked;
        return false;
    }
    if (rec->vni == 50)
        rec->mtu = 9000;
    bool there = rec->vni >= 1 && rec->vni <= 99;
    snprintf(rec->name, sizeof rec->name, "vn%u", rec->vni);
    if (!there)
        *rec = *asked;
    return there;
}

/* Completes pending number i. */
static inline void
env_complete(struct env *v, uint32_t i)
{
    struct env_pending p = v->pending[i];
    ENV_DEL(v->pending, v->n_pending, i);
    switch ((enum edge_out_type)p.type) {
    case EDGE_DP:
        edge_done(v->e, p.id, p.fail ? -EIO : 0, v->now);
        break;
    case EDGE_JOURNAL:
        edge_done(v->e, p.id, p.fail ? -EIO : 0, v->now);
        break;
    case EDGE_REGISTER:
    case EDGE_RESERVE: {
        struct env_own *w = env_own(v, p.rec.vni, &p.rec.mac);
        uint64_t floor = w->known > p.rec.epoch ? w->known : p.rec.epoch;
        uint64_t epoch = p.want ? floor + 1 : p.rec.epoch;
        uint64_t id = p.want ? ++v->epoch_source : p.rec.migration_id;
        if (!p.want && p.rec.epoch < w->epoch) {
            edge_registered(v->e, p.id, 0, 0, -ESTALE, v->now);
            break;
        }
        if (p.rec.epoch == EPOCH_RESERVED && !w->resv) {
            edge_registered(v->e, p.id, 0, 0, -ESTALE, v->now);
            break;
        }
        if (p.rec.epoch == EPOCH_RESERVED) {
            epoch = w->resv;
            id = w->resv_id;
        }
        if (epoch > w->known)
            w->known = epoch;
        if (p.type == EDGE_RESERVE) {
            w->resv = epoch;
            w->resv_id = id;
        } else if (w->resv <= epoch) {
            w->resv = 0;
        }
        if (p.type == EDGE_REGISTER) {
            w->epoch = epoch;
            w->migration_id = id;
            w->here = 1;
        }
        edge_registered(v->e, p.id, epoch, id, 0, v->now);
        break;
    }
    case EDGE_VN_LOOKUP: {
        struct vn_rec rec;
        bool there = env_vn_rec(&p.vn, &rec);
        edge_vn(v->e, &rec, there ? 0 : -ENOENT, v->now);
        break;
    }
    case EDGE_WITHDRAW:
    case EDGE_QUERY:
    case EDGE_SUBSCRIBE:
    case EDGE_UNSUBSCRIBE:
    case EDGE_MAP_ACK:
    case EDGE_ANSWER:
    case EDGE_NOTICE:
    case EDGE_SMR:
    case EDGE_N_OUTS:
        break;
    }
    env_pull(v);
}

static inline bool
env_speaks(const struct env *v, uint32_t i)
{
    uint8_t t = v->pending[i].type;
    return !v->authority_mute || t == EDGE_DP || t == EDGE_JOURNAL;
}

/* Completes number i as if it were the last: the others keep their order. */
static inline void
env_complete_in_order(struct env *v, uint32_t i)
{
    struct env_pending p = v->pending[i];
    memmove(&v->pending[i], &v->pending[i + 1],
        (v->n_pending - i - 1) * sizeof *v->pending);
    v->pending[v->n_pending - 1] = p;
    env_complete(v, v->n_pending - 1);
}

/* All that can complete does, in the order it was asked, until nothing more comes. */
static inline void
env_run(struct env *v)
{
    env_pull(v);
    for (uint32_t i = 0; i < v->n_pending;) {
        if (env_speaks(v, i)) {
            env_complete_in_order(v, i);
            i = 0;
        } else {
            i++;
        }
    }
}

static inline void
env_tick(struct env *v, uint64_t us)
{
    uint64_t end = v->now + us;
    while (edge_deadline(v->e) <= end) {
        if (edge_deadline(v->e) > v->now)
            v->now = edge_deadline(v->e);
        edge_tick(v->e, v->now);
        env_pull(v);
    }
    v->now = end;
}

static inline void
env_ports(struct env *v)
{
    static const uint32_t ranges[] = {1, 60, 90, 99};
    static const uint16_t reserved[] = {10, 19};
    struct edge_port_conf c = {.name = "p1", .domain = 1};
    ENV_CHECK(edge_port_add(v->e, 1, &c, v->now));
    c = (struct edge_port_conf){.name = "p2", .domain = 1};
    ENV_CHECK(edge_port_add(v->e, 2, &c, v->now));
    c = (struct edge_port_conf){.name = "p3",
        .domain = 3,
        .vn_ranges = ranges,
        .n_vn_ranges = 2,
        .vid_reserved = reserved,
        .n_vid_reserved = 1};
    ENV_CHECK(edge_port_add(v->e, 3, &c, v->now));
    c = (struct edge_port_conf){
        .name = "p4", .domain = 4, .native = NATIVE_VN, .native_vni = 7};
    ENV_CHECK(edge_port_add(v->e, 4, &c, v->now));
    edge_vn_by_vid(v->e, 1, 77, 20);
    edge_vn_by_profile(v->e, 500, 1, 21);
}

/* ENV_LOG=1 in the environment: what the edge says, for the eyes of a person. */
static inline void
env_log(void *ctx, enum log_level level, const char *module, const char *line)
{
    (void)ctx, (void)level;
    fprintf(stderr, "%s: %s\n", module, line);
}

static inline struct env *
env_new(bool authority)
{
    struct env *v = calloc(1, sizeof *v);
    if (getenv("ENV_LOG")) {
        log_set_sink(env_log, NULL);
        log_set_level("*", LOG_DBG);
    }
    v->now = 1000000;
    v->conf = (struct edge_conf){.name = "nve1",
        .vtep = ip_v4(0x0a000001),
        .underlay_mtu = 1500,
        .seed = 42,
        .authority = authority};
    v->e = edge_new(&v->conf, v->now);
    env_ports(v);
    if (authority) {
        v->session = 1;
        edge_session(v->e, true, v->now);
    } else {
        for (uint32_t i = 1; i <= 99; i++) {
            struct vn_rec asked = {.vni = i}, rec;
            env_vn_rec(&asked, &rec);
            edge_vn(v->e, &rec, 0, v->now);
        }
    }
    env_run(v);
    return v;
}

static inline void
env_free(struct env *v)
{
    edge_free(v->e);
    for (uint32_t i = 0; i < v->n_record; i++)
        free(v->record[i].bytes);
    free(v->pending);
    free(v->answers);
    free(v);
}

/* SIGKILL and restart: what is under way is lost, the data plane and the journal stay.
 */
static inline void
env_restart(struct env *v)
{
    edge_free(v->e);
    v->n_pending = 0;
    memset(v->subscribed, 0, sizeof v->subscribed);
    v->e = edge_new(&v->conf, v->now);
    env_ports(v);
    env_pull(v);
    static const uint8_t kinds[] = {RECORD_VN, RECORD_TAG, RECORD_ATTACHMENT};
    for (size_t k = 0; k < sizeof kinds; k++) /* in the order of the daemon */
        for (uint32_t i = 0; i < v->n_record; i++)
            if (v->record[i].kind == kinds[k])
                edge_restore(v->e, v->record[i].kind, v->record[i].bytes,
                    v->record[i].size, v->now);
    if (!v->conf.authority)
        for (uint32_t i = 1; i <= 99; i++) {
            struct vn_rec asked = {.vni = i}, rec;
            env_vn_rec(&asked, &rec);
            edge_vn(v->e, &rec, 0, v->now);
        }
    edge_restored(v->e, v->now);
    if (v->conf.authority && v->session)
        edge_session(v->e, true, v->now);
    env_pull(v);
}

/* The authority's snapshot of every VN, empty: the sync after a restart may end. */
static inline void
env_snapshots(struct env *v)
{
    for (uint32_t vni = 1; vni <= 99; vni++) {
        edge_map_snapshot(v->e, vni, true, 0, v->now);
        edge_map_snapshot(v->e, vni, false, 0, v->now);
    }
    env_run(v);
}

static inline uint32_t
env_send(struct env *v, const struct tns_request *rq)
{
    uint32_t cookie = v->n_answers++;
    if ((cookie & (cookie - 1)) == 0) {
        size_t cap = cookie ? 2 * (size_t)cookie : 1;
        v->answers = realloc(v->answers, cap * sizeof *v->answers);
    }
    memset(&v->answers[cookie], 0, sizeof *v->answers);
    struct tns_request copy = *rq;
    copy.cookie = cookie;
    /* Borrowed for the call only: what is kept of it would be found out. */
    struct tns_entry *entries = malloc((rq->n_entries + 1) * sizeof *entries);
    if (rq->n_entries)
        memcpy(entries, rq->entries, rq->n_entries * sizeof *entries);
    copy.entries = entries;
    edge_request(v->e, &copy, v->now);
    free(entries);
    env_pull(v);
    return cookie;
}

/* A request with one MAC in one VN, the usual case. */
static inline struct tns_request
env_rq(uint8_t op, uint32_t port, uint32_t vsi, struct tns_entry *n, uint32_t vni,
    uint32_t mac)
{
    *n = (struct tns_entry){.vn_ref = VN_BY_VNI,
        .vni = vni,
        .has_mac = 1,
        .mac = env_mac(mac),
        .n_ips = 1,
        .ips = {ip_v4(0xc0a80000 + mac)}};
    return (struct tns_request){.op = op,
        .port = port,
        .id = env_vsi_id(vsi),
        .berth_station = 1,
        .n_entries = vni ? 1 : 0,
        .entries = n};
}
/* Sends it, lets everything complete, gives the answer. */
static inline struct env_answer *
env_do(
    struct env *v, uint8_t op, uint32_t port, uint32_t vsi, uint32_t vni, uint32_t mac)
{
    struct tns_entry n;
    struct tns_request rq = env_rq(op, port, vsi, &n, vni, mac);
    uint32_t c = env_send(v, &rq);
    env_run(v);
    return &v->answers[c];
}
static inline int
env_state(const struct env *v, uint32_t port, uint32_t vsi)
{
    struct edge_att_view a;
    struct vsiid id = env_vsi_id(vsi);
    for (uint32_t it = 0; edge_each_attachment(v->e, &it, &a, v->now);)
        if (a.port == port && vsiid_equal(&a.id, &id))
            return a.state;
    return ATT_NULL;
}

/* ---- what must be true ---- */

/* At any time: no two VNs on one tag of a domain; a VAP speaks of its tag's VN. */
static inline void
env_check(const struct env *v)
{
    struct edge_tag_view t;
    for (uint32_t it = 0; edge_each_tag(v->e, &it, &t, v->now);) {
        ENV_CHECK(t.vid >= 2 && t.vid <= VID_MAX && t.vni);
        for (uint32_t i = 0; i < v->n_vap; i++) {
            const struct edge_port *p = edge_port_at(v->e, v->vap[i].port);
            if (v->vap[i].vid == t.vid && p && tag_domain(v->e, t.domain) == p->domain)
                ENV_CHECK(v->vap[i].vni == t.vni || v->syncing);
        }
    }
    for (uint32_t i = 0; i < v->n_vsi; i++)
        for (uint32_t k = 0; k < i; k++)
            ENV_CHECK(
                !(v->vsi[i].port == v->vsi[k].port && v->vsi[i].vid == v->vsi[k].vid &&
                    mac_equal(&v->vsi[i].mac, &v->vsi[k].mac)));
}

/* Settled: every request answered, the data plane says what the states say. */
static inline void
env_quiet(const struct env *v)
{
    struct edge_att_view a;
    uint32_t n_vsi = 0;
    env_check(v);
    for (uint32_t i = 0; i < v->n_answers; i++)
        ENV_CHECK(v->answers[i].times == 1);
    ENV_CHECK(attach_in_flight(v->e) == 0);
    for (uint32_t it = 0; edge_each_attachment(v->e, &it, &a, v->now);) {
        ENV_CHECK(a.state != ATT_NULL);
        if (a.n_entries == 0 || a.state == ATT_TERM)
            continue;
        int vap = env_vap_find(v, a.port, a.vid);
        ENV_CHECK(vap >= 0 && v->vap[vap].vni == a.vni);
        ENV_CHECK(env_vn_find(v, a.vni) >= 0);
        if (a.state == ATT_ASSOC)
            ENV_CHECK(v->vap[vap].flood);
        if (a.wildcard || a.learned == 2)
            continue;
        int vsi = env_vsi_find(v, a.port, a.vid, &a.mac);
        if (getenv("ENV_LOG"))
            fprintf(stderr,
                "port=%u vsi=%02x%02x state=%s vni=%u vid=%u mac=..%02x %s\n", a.port,
                a.id.b[12], a.id.b[13], att_state_str(a.state), a.vni, a.vid,
                a.mac.b[5], a.learned ? "learned" : "");
        ENV_CHECK(vsi >= 0 && v->vsi[vsi].vni == a.vni);
        n_vsi++;
        int fdb = env_fdb_find(v, a.vni, &a.mac);
        if (a.state == ATT_ASSOC) { /* active: one place, here */
            ENV_CHECK(v->vsi[vsi].active);
            if (a.armed == 2) /* but its frames are not */
                continue;
            ENV_CHECK(env_hold_find(v, a.vni, &a.mac) < 0 || v->syncing ||
                      a.waiting & WAIT_TAG);
            ENV_CHECK(fdb >= 0 && v->fdb[fdb].kind == FDB_LOCAL &&
                      v->fdb[fdb].port == a.port && v->fdb[fdb].vid == a.vid);
        }
    }
    /* A key waits or is relayed, and never both. */
    struct edge_map_view m;
    uint32_t n_held = 0;
    for (uint32_t it = 0; edge_each_mapping(v->e, &it, &m);) {
        int hold = env_hold_find(v, m.rec.vni, &m.rec.mac);
        int fdb = env_fdb_find(v, m.rec.vni, &m.rec.mac);
        ENV_CHECK((hold >= 0) == m.held || v->syncing || v->fail_dp);
        n_held += hold >= 0;
        if (hold >= 0)
            ENV_CHECK(fdb < 0 || v->fdb[fdb].kind != FDB_RELAY || v->syncing);
        ENV_CHECK(ip_is_none(&m.target) || !m.held);
    }
    ENV_CHECK(n_held == v->n_hold || v->syncing || v->fail_dp);
    /* Nothing in the data plane that no state asks for. */
    uint32_t n_active = 0;
    for (uint32_t i = 0; i < v->n_vsi; i++)
        n_active += v->vsi[i].active;
    for (uint32_t it = 0; edge_each_attachment(v->e, &it, &a, v->now);)
        if (a.state == ATT_ASSOC && a.n_entries && !a.wildcard && a.learned != 2)
            n_active--;
    ENV_CHECK(n_active == 0 || v->syncing);
    for (uint32_t i = 0; i < v->n_vsi && v->n_vsi > n_vsi && !v->syncing; i++)
        fprintf(stderr, "there: port=%u vid=%u mac=..%02x active=%u\n", v->vsi[i].port,
            v->vsi[i].vid, v->vsi[i].mac.b[5], v->vsi[i].active);
    ENV_CHECK(v->n_vsi <= n_vsi || v->syncing);
    for (uint32_t i = 0; i < v->n_fdb; i++) {
        const struct env_fdb *f = &v->fdb[i];
        bool stands = f->kind != FDB_LOCAL || v->syncing ||
                      env_vsi_find(v, f->port, f->vid, &f->mac) >= 0;
        for (uint32_t it = 0; !stands && edge_each_attachment(v->e, &it, &a, v->now);)
            stands = a.learned == 2 && a.vni == f->vni && mac_equal(&a.mac, &f->mac);
        ENV_CHECK(stands);
    }
}

/* After the end of everything: nothing is left anywhere. */
static inline void
env_empty(const struct env *v)
{
    ENV_CHECK(attach_count(v->e) == 0);
    ENV_CHECK(tag_count(v->e) == 0);
    ENV_CHECK(v->n_vap == 0 && v->n_vsi == 0 && v->n_vn == 0 && v->n_hold == 0);
    for (uint32_t i = 0; i < v->n_fdb; i++)
        ENV_CHECK(v->fdb[i].kind != FDB_LOCAL);
    ENV_CHECK(v->n_record == 0);
    for (uint32_t i = 0; i < 256; i++)
        ENV_CHECK(!v->subscribed[i]);
    ENV_CHECK(v->e->awaited == 0);
}
#endif
