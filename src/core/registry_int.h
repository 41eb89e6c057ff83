/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of core/registry: registry.c (life, sessions, look-up), registry_vn.c (virtual
 * networks), registry_own.c (who owns what: registrations, grants, withdrawals),
 * registry_resv.c (what is reserved), registry_damp.c (who claims in turns), registry_push.c
 * (what each NVE is told), registry_gate.c (whom first), registry_keys.c (keys that it
 * pulled), registry_talkers.c.
 * Handles are slab handles, 0 = none.
 *
 * Every change of an entry or of a membership takes a number from one counter and moves to
 * the tail of its VN's list. A subscriber's cursor is the last one it was told; the list is
 * in order of change, so "has acknowledged change n" is one comparison. An entry on which a
 * cursor stands is flagged, and its cursors step back before it moves. */
#ifndef BERTH_CORE_REGISTRY_INT_H
#define BERTH_CORE_REGISTRY_INT_H
#include "base/timers.h"
#include "core/keytab.h"
#include "core/registry.h"

#define REG_EPOCH_BLOCK 100000           /* epochs granted per write of the high-water mark */
#define REG_EPOCH_LEAP  ((uint64_t)1 << 32)   /* carried numbers lead ahead by so much ... */
#define REG_LEAP_US     3600000000ull    /* ... per hour: 2^62 lasts for 100,000 years */
#define REG_NAME_SIZE   64
enum reg_sub { REG_SUB_NOT, REG_SUB_ALL, REG_SUB_MEMBERS };
#define REG_KEY_SUBS    64               /* subscribers of one pulled key */
#define REG_ASKED_N     1024             /* WHO_HAS questions remembered */
#define REG_SAID_N      16384            /* by handle of a key: a collision ends a claim early */
#define REG_QUANTUM     64               /* outputs of one NVE before the next one's turn */
#define REG_GATES       4096             /* keys whose former owner is told first, at a time ... */
#define REG_GATE_US     20000            /* ... and how long the others wait for it */

#define REG_RESV_KEY    8                /* NVEs that reserve one key at a time */
#define REG_RESV_SHARE  4                /* an NVE has at most this part of the table */
#define REG_DAMP_NEVER  255
enum { ENT_LIVE = 1, ENT_ANCHOR = 2, ENT_ROW = 4,      /* ROW: its epoch stands in the store */
    ENT_FROZEN = 8,                      /* claimed in turns (E5) */
    ENT_GATED = 16 };                    /* its former owner has not acknowledged */
struct reg_ent {
    struct key_head key;                 /* dead: key.v6 holds the time of death */
    uint8_t flags, gen;                  /* gen: session of the owner that named it last */
    uint8_t moves;                       /* by plain claims since moved_s (E5) */
    uint32_t nve;                        /* owner; dead: the last one, 0 = unknown */
    uint32_t next, prev;                 /* of the VN, in order of change */
    uint32_t onext, oprev;               /* of the owner; dead: by time of death */
    uint32_t moved_s;                    /* the first of the moves; frozen: since then */
    uint32_t home, rival;                /* NVEs: had it before the moves; refused last; 0 = none */
    uint64_t change, epoch, migration_id;
    uint64_t vsi;                        /* of the owner; 0 = nobody can tell (K18) */
};
struct reg_list {
    uint32_t head, tail;
};
struct reg_vn {
    struct vn_rec rec;                   /* deleted: kept for the epochs it remembers */
    struct reg_list ents, parts;
    uint32_t n_live, n_no4, n_no6;       /* live mappings, and those whose such
                                          * addresses are not all known */
    uint32_t n_subs;
    uint32_t waits, waits_tail;          /* confirmations, in order of change */
};
enum reg_snap { SNAP_NO, SNAP_DUE, SNAP_RUNS };
struct reg_part {                        /* an NVE's part in a VN */
    uint32_t vn, nve, uid;
    uint32_t next, prev;                 /* of the VN, in order of change */
    uint32_t nnext, nprev;               /* of the NVE */
    uint32_t wnext;                      /* parts of the NVE that have something to say */
    uint32_t n_maps;
    uint8_t member, linger, work, anchor, snap;
    uint8_t subscribed;                  /* enum reg_sub */
    uint64_t change;
    /* as a subscriber */
    uint32_t at, at_part, n_inflight;    /* cursors; pushes not acknowledged */
    uint64_t stamp;                      /* when it subscribed: which waits count it */
    uint64_t snap_change, sent, acked;   /* changes of entries */
    uint64_t sent_part;                  /* change of a membership */
};
struct reg_inflight {
    uint64_t seq, change;
    uint32_t part, uid;
};
struct reg_nve {
    char name[REG_NAME_SIZE];
    struct ip vtep;
    uint8_t up, foreign, known, complete, blocked, gen, ready;
    uint32_t n_maps, owned;              /* owned: head of its mappings */
    uint32_t n_resvs;
    uint32_t parts, n_parts;
    uint32_t work, work_tail;            /* parts */
    uint32_t dirty, dirty_tail;          /* key subscriptions */
    uint32_t key_subs, key_subs_tail, n_key_subs;     /* oldest first */
    uint32_t rnext, quantum;             /* the ring of NVEs that are ready */
    uint64_t seq, acked;
    struct fifo inflight;                /* of struct reg_inflight */
    struct timer stale;
};
struct reg_keysub {
    uint32_t vni, nve;
    struct mac mac;                      /* when ip is none */
    uint8_t dirty, owed;                 /* owed: an answer was put off by recovery */
    uint8_t first;                       /* had the key: told before its gate opens */
    struct ip ip;
    uint32_t dnext, next, prev;
};
struct reg_resv {
    uint32_t vni;
    struct mac mac;
    struct ip target;                    /* of the NVE that reserved */
    uint8_t gen;                         /* session of the NVE that named it last */
    uint32_t nve, next;                  /* nve: 0 until that session; next: of the key, older */
    uint64_t epoch, migration_id, since_us;
    struct timer timer;
};
struct reg_wait {
    uint32_t next, nve, n_left;
    struct mac mac;
    uint64_t epoch, change, stamp;
};
struct reg_gate {
    uint32_t ent, nve;                   /* nve: the former owner */
    uint64_t seq;                        /* of what it has to acknowledge; 0: not sent yet */
    struct timer timer;
};
struct reg_said {                        /* the last one of a key: by whom, which of all */
    uint32_t ent, nve, n;
};
struct reg_claim {                       /* waits for the end of recovery or for numbers */
    uint32_t nve;
    uint8_t gen, reserve;
    uint64_t ref;
    uint32_t said;                       /* n_said when it began to wait */
    struct mapping_rec rec;
};
struct reg_talk {
    uint32_t next, prev, vni;
    struct mac dst_mac;
    struct ip asker, src, dst;
    uint64_t count, last_us;
};
struct reg_asked {
    uint32_t vni;
    struct ip ip;
    uint64_t at_us;
};
enum reg_timer { REG_T_RECOVER, REG_T_FORGET, REG_T_STALE, REG_T_RESV, REG_T_HWM,
    REG_T_GATE };

struct registry {
    struct registry_conf conf;
    uint64_t now_us;
    struct fifo out, claims;
    struct timers timers;
    struct timer t_recover, t_forget, t_hwm;
    struct keytab keys;
    struct slab vns, parts, nves, keysubs, resvs, waits, talks, gates;
    struct map by_vni, by_name, by_part, by_nve, by_vtep, by_keysub, by_resv, by_talk, by_gate;
    uint32_t n_live, n_known_left;
    struct reg_list dead;                /* oldest first */
    uint32_t ready, ready_tail;          /* NVEs */
    uint32_t talk_head, talk_tail;       /* least recent first */
    uint32_t uid, store_id, hwm_id;
    uint32_t all;                        /* VN 0, in nobody's list: every session takes part, for
                                          * its tunnel endpoint alone (K11) */
    uint64_t change, stamp;
    uint64_t next_epoch, epoch_limit, hwm_want;
    uint64_t leap_from, leap_us;         /* next_epoch when this hour began */
    bool loaded, recovering;
    struct reg_asked asked[REG_ASKED_N];
    struct reg_said said[REG_SAID_N];    /* registrations by number while claims wait */
    uint32_t n_said;
    uint64_t who_has_us;                 /* when the budget of WHO_HAS is full again */
    uint64_t counters[REGC_N];
};

static inline struct reg_ent *
reg_ent(const struct registry *r, uint32_t h)
{
    return keytab_at(&r->keys, h);
}
static inline struct reg_vn *
reg_vn(const struct registry *r, uint32_t h)
{
    return slab_at(&r->vns, h);
}
static inline struct reg_part *
reg_part(const struct registry *r, uint32_t h)
{
    return slab_at(&r->parts, h);
}
static inline struct reg_nve *
reg_nve(const struct registry *r, uint32_t h)
{
    return slab_at(&r->nves, h);
}
static inline struct reg_resv *
reg_resv(const struct registry *r, uint32_t h)
{
    return slab_at(&r->resvs, h);
}
/* An NVE number from outside that names one with a session (or a foreign router). */
struct reg_nve *reg_nve_live(const struct registry *r, uint32_t nve);
struct registry_out *reg_out(struct registry *r, uint8_t type, uint32_t nve);
void reg_rec(const struct registry *r, uint32_t ent, struct mapping_rec *rec);

/* registry_vn.c */
uint32_t reg_vn_find(const struct registry *r, uint32_t vni);
uint32_t reg_vn_get(struct registry *r, uint32_t vni);   /* made as deleted when new; 0 full */
void reg_vn_release(struct registry *r, uint32_t vn);    /* freed when deleted and empty */

/* registry_own.c */
void reg_dead_load(struct registry *r, uint32_t vni, const struct mac *mac, uint64_t epoch,
    uint64_t migration_id);
void reg_kill(struct registry *r, uint32_t ent);         /* live -> dead: withdrawn, remembered */
void reg_forget_due(struct registry *r);
void reg_hwm_raise(struct registry *r, uint64_t at_least);
void reg_claims_run(struct registry *r);                 /* those that can be granted now */

/* registry_resv.c */
uint32_t reg_resv_find(const struct registry *r, uint32_t vni, const struct mac *mac);  /* the newest */
uint32_t reg_resv_of(const struct registry *r, uint32_t vni, const struct mac *mac,
    const struct ip *target);
bool reg_resv_room(const struct registry *r, uint32_t nve, const struct mapping_rec *rec);
void reg_resv_said(struct registry *r, uint32_t nve, uint32_t resv);  /* in this session */
void reg_resv_end(struct registry *r, uint32_t resv);    /* the key's owner hears of it */
void reg_resv_keep(struct registry *r, uint32_t nve, const struct mapping_rec *rec);
void reg_resv_free(struct registry *r, uint32_t resv);
void reg_resv_tell(struct registry *r, uint32_t vni, const struct mac *mac);  /* the key's owner */
void reg_resv_tell_owner(struct registry *r, uint32_t nve);   /* of all that concerns its keys */
void reg_resv_void(struct registry *r, const struct ip *target, int gen);  /* that NVE is gone; gen
                                          * >= 0: what that session of it has not named */

/* registry_damp.c */
bool reg_damp(struct registry *r, uint32_t nve, const struct mapping_rec *rec);  /* refuse this claim? */
void reg_damp_moved(struct registry *r, uint32_t old, const struct mapping_rec *rec);
void reg_damp_clear(struct reg_ent *en);
void reg_damp_killed(struct reg_ent *en);
uint32_t reg_damp_frozen(const struct registry *r, uint32_t ent,
    struct ip *rival);                   /* for how many seconds yet; who else claims it */

/* registry_push.c */
uint32_t reg_part_find(const struct registry *r, uint32_t vn, uint32_t nve);
uint32_t reg_part_get(struct registry *r, uint32_t vn, uint32_t nve);  /* 0 = full */
void reg_part_update(struct registry *r, uint32_t part);  /* member or not? */
void reg_part_unsubscribe(struct registry *r, uint32_t part);
void reg_ent_changed(struct registry *r, uint32_t ent);   /* number, tail, everybody told */
void reg_vn_tell(struct registry *r, uint32_t vn);         /* there is something to say */
void reg_ent_leave(struct registry *r, uint32_t ent);     /* out of its VN's list */
void reg_snaps_owed(struct registry *r);                  /* recovery has ended */
void reg_nve_quiet(struct registry *r, uint32_t nve);     /* session gone: nothing in flight */
void reg_nve_ready(struct registry *r, uint32_t nve);
void reg_nve_join(struct registry *r, uint32_t nve);      /* told of every other endpoint, and they of it */
void reg_nve_moved(struct registry *r, uint32_t nve);     /* another endpoint: lists of members anew */
void reg_confirm(struct registry *r, uint32_t ent);       /* REG_CONFIRM now or later */
bool reg_push(struct registry *r, struct registry_out *out);
uint64_t reg_push_seq(struct registry *r, uint32_t nve, uint32_t part,
    uint64_t change);                                     /* in flight from now on; no part: a gate */

/* registry_gate.c */
void reg_gates_init(struct registry *r);
uint32_t reg_gate_find(const struct registry *r, uint32_t ent);   /* 0: none */
void reg_gate_shut(struct registry *r, uint32_t ent, uint32_t old);  /* taken from `old` */
void reg_gate_open(struct registry *r, uint32_t gate);
void reg_gate_sent(struct registry *r, uint32_t gate, uint32_t nve, uint64_t seq);
void reg_gate_acked(struct registry *r, uint32_t gate, uint32_t nve, uint64_t seq);

/* registry_keys.c */
void reg_key_touch(struct registry *r, uint32_t vni, const struct mac *mac,
    const struct ip *ip);                                 /* tell who pulled it */
uint32_t reg_key_sub(struct registry *r, uint32_t nve, uint32_t vni, const struct mac *mac,
    const struct ip *ip, bool owed);                      /* 0: full */
void reg_key_owed(struct registry *r);                    /* the same */
bool reg_key_push(struct registry *r, uint32_t nve, struct registry_out *out);
void reg_ips_touch(struct registry *r, uint32_t ent);
void reg_key_opened(struct registry *r, uint32_t ent);    /* tell who was not told first */
void reg_keys_quiet(struct registry *r, uint32_t nve);

/* registry_talkers.c */
void reg_talks_open(struct registry *r);
#endif
