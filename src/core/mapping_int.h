/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of core/mapping: mapping.c (tables, entries, local residence, look-up),
 * mapping_emit.c (operations, and pushes until they are acknowledged), mapping_plane.c
 * (what the mapping plane says), mapping_move.c (VMs on their way). The time is e->now_us; handles are pool handles. */
#ifndef BERTH_CORE_MAPPING_INT_H
#define BERTH_CORE_MAPPING_INT_H
#include "core/edge_int.h"
#include "core/keytab.h"
#include "core/mapping.h"

#define PUSHES_MAX 65536 /* more are acknowledged together with the last one */
#define NEGS_MAX   16384
#define PUSH_TRIES 3
#define VN_HOLDS   DP_HOLD_SHARE(DP_HOLD_MAX) /* nobody takes them all */
#define LATE_MAX   (DP_HOLD_MAX / 2) /* for VMs that ended and may come up elsewhere (F20) */
#define SMRS       1024 /* keys asked for within a second because somebody said so */

/* THEIRS, of a tombstone: its epoch is that of an owner after us. ASKED, of a residence: its
 * number may be granted and told to others before we hear of it: from then on nothing is
 * relayed here, as after a reservation (D4), until it is granted. */
enum { F_LOCAL = 1, F_REMOTE = 2, F_TOMB = 4, F_STALE = 8, F_PULLED = 16, F_THEIRS = 32,
    F_ASKED = 64 };
enum { TIMER_MAP_STALE = TIMER_MAP_FIRST, TIMER_MAP_NEG, TIMER_MAP_RETRY, TIMER_MAP_LATE };

struct ent {
    struct key_head key;
    uint8_t flags, gen, pcp;
    uint16_t port, vid;
    uint32_t att, owner; /* owner: handle in vteps */
    uint32_t next, prev; /* entries of the VN, local ones first */
    uint32_t move;       /* 0: its VM stays where it is */
    uint64_t epoch, migration_id;
};
struct move { /* beside an entry, while its VM is on its way */
    uint32_t ent;
    uint32_t target;  /* in vteps: who reserved `epoch`, which is above ours (D3) */
    uint32_t holder;  /* who waits for the VM here (attach's handle), or 0 */
    uint8_t away;     /* enum mapping_away, of the residence here */
    uint8_t late;     /* ended without an owner: frames wait for t_hold (F20) */
    uint8_t held;     /* the data plane was told to hold */
    uint8_t named;    /* target: a server said so, not the authority (X5) */
    uint8_t unsaid;   /* target: not told again in this session */
    uint64_t epoch, migration_id;
    struct timer timer;
};
struct mvn {
    uint32_t n_holds;
    uint32_t vni, head, tail, members, n;
    uint8_t gen, wanted, complete;
    uint8_t watched; /* not wanted, but its members are: mappings are pulled */
};
struct vtep {
    struct ip ip;
    uint32_t n_maps, n_members;
};
struct member {
    uint32_t vn, vtep, next, prev;
    uint8_t gen, stale;
};
struct neg {
    uint32_t vni;
    struct mac mac;
    struct ip ip;
    struct timer timer;
};
struct push {
    uint64_t seq; /* 0: its session is gone, nobody waits */
    uint32_t left, next, vni;
    struct mac mac;
    uint8_t failed, tries;
    struct timer timer;
};
struct mapping_table {
    struct keytab keys;
    struct slab vns, members, negs, pushes;
    struct pool vteps, moves;
    struct map by_vni, by_vtep, by_neg, by_member;
    uint32_t push_head, push_tail;
    uint32_t push;         /* whose operations are being emitted, 0: nobody waits */
    uint32_t n_incomplete; /* wanted or watched VNs without a snapshot of this session */
    uint32_t n_holds;
    struct timer stale;
    uint64_t smr_us[SMRS]; /* by entry: when it may be asked for again (D5) */
};
struct neg_key {                         /* of by_neg */
    uint32_t vni;
    struct mac mac;
    uint8_t zero[2];
    struct ip ip;
};

static inline struct ent *
ent_at(const struct mapping_table *t, uint32_t h)
{
    return keytab_at(&t->keys, h);
}

static inline struct mvn *
vn_at(const struct mapping_table *t, uint32_t h)
{
    return slab_at(&t->vns, h);
}

static inline struct vtep *
vtep_at(const struct mapping_table *t, uint32_t h)
{
    return pool_at(&t->vteps, h);
}

static inline struct member *
member_at(const struct mapping_table *t, uint32_t h)
{
    return slab_at(&t->members, h);
}

/* mapping_emit.c. An operation emitted between push_begin and push_end counts towards the
 * acknowledgement of that push; seq 0: nobody waits. */
struct dp_op *mapping_op(struct edge *e, uint8_t type);
void mapping_fdb_fill(const struct mapping_table *t, const struct ent *en, struct dp_op *op);
void mapping_fdb_emit(struct edge *e, uint32_t ent);
void mapping_neigh_emit(struct edge *e, uint32_t vni, const struct ip *ip, uint32_t holder);
void mapping_member_emit(struct edge *e, uint8_t type, uint32_t vni, uint32_t vtep);
void mapping_key_emit(struct edge *e, uint32_t vni, const struct mac *mac);
void mapping_push_begin(struct edge *e, uint64_t seq, uint32_t vni, const struct mac *mac);
void mapping_push_end(struct edge *e);
void mapping_push_retry(struct edge *e, uint32_t push);
void mapping_push_forget(struct edge *e);                /* the session is gone */

/* mapping_move.c. The target that frames go to before it has published, or 0. */
uint32_t mapping_provisional(const struct mapping_table *t, const struct ent *en);
/* Somebody here waits for the VM: then nothing is relayed (D4). */
bool mapping_waits(const struct mapping_table *t, const struct ent *en);
/* The residence `l` begins or is said again: whether frames (go on to) wait. */
void mapping_move_local(struct mapping_table *t, uint32_t h, const struct mapping_local *l);
bool mapping_holds(const struct mapping_table *t, const struct ent *en);
void mapping_hold_set(struct edge *e, uint32_t ent);
/* Around every operation on the FDB: begin gives the endpoint to drop behind it. */
uint32_t mapping_hold_begin(struct edge *e, uint32_t ent);
void mapping_hold_end(struct edge *e, uint32_t ent);
void mapping_late(struct edge *e, uint32_t ent);         /* F20: a tombstone without owner */
void mapping_late_end(struct edge *e, uint32_t move);
void mapping_targets_unsaid(struct edge *e, bool end);   /* a new session; end: T_stale of it */

/* mapping.c */
uint32_t mapping_vn_find(const struct mapping_table *t, uint32_t vni);
uint32_t mapping_vn_get(struct mapping_table *t, uint32_t vni);
void mapping_vn_put(struct mapping_table *t, uint32_t vn);          /* freed when unused */
uint32_t mapping_vtep_get(struct mapping_table *t, const struct ip *ip);
void mapping_vtep_put(struct mapping_table *t, uint32_t vtep);      /* freed when unused */
void mapping_owner_take(struct edge *e, uint32_t vtep);
void mapping_owner_drop(struct edge *e, uint32_t vtep);
struct neg_key mapping_neg_key(uint32_t vni, const struct mac *mac, const struct ip *ip);
void mapping_neg_free(struct edge *e, uint32_t neg, bool emit);
void mapping_neg_clear(struct edge *e, uint32_t vni, const struct mac *mac,
    const struct ip *ip);
void mapping_neg_clear_ips(struct edge *e, uint32_t vni);
void mapping_neg_clear_all(struct edge *e, uint32_t vni);           /* 0: of every VN */
bool mapping_ip_change(struct edge *e, uint32_t ent, const struct ip *ip, bool add, bool low);
void mapping_ips_replace(struct edge *e, uint32_t ent, const struct ip *ips, uint32_t n,
    uint8_t low_trust);
bool mapping_key_valid(uint32_t vni, const struct mac *mac);
uint32_t mapping_ent_get(struct edge *e, uint32_t vni, const struct mac *mac);  /* 0 full */
void mapping_ent_place(struct mapping_table *t, uint32_t ent, bool local);
void mapping_ent_vacate(struct edge *e, uint32_t ent);   /* no owner; freed if nothing is left */
#endif
