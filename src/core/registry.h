/* SPDX-License-Identifier: Apache-2.0 */
/* The authority's mapping server (K4, K5, K8, K17): virtual networks, which NVE owns which
 * (VN, MAC) at which epoch, who subscribes to what, who asked for whom. A pure machine of
 * its own: berth-nva composes it with the session servers and the UDP map server.
 *
 * NVEs are small numbers (0 = a foreign router). Each has one ordered stream of pushes with
 * rising seq; it is not queued: a subscriber's place is a cursor in the VN's list of latest
 * changes, so a slow one costs nothing and gets only the newest state of each key. At most
 * `window` pushes are unacknowledged. Pull registry_output until false after every input. */
#ifndef BERTH_CORE_REGISTRY_H
#define BERTH_CORE_REGISTRY_H
#include "core/edge.h"

struct registry_conf {                   /* 0 in a maximum or time: the default */
    uint64_t seed;
    uint32_t max_nves, max_mappings, max_vns;
    uint32_t max_key_subs, max_reservations, max_talkers, max_waiting, window;
    uint64_t recover_us, forget_us, stale_us;    /* T_recover, T_forget (K4), T_stale (K11) */
    uint64_t negative_us;                /* how long a negative answer holds */
    uint32_t damp_moves;                 /* E5: more by plain claims within damp_us freeze a key */
    uint64_t damp_us;                    /* for as long; 255: never. Seconds count, parts do not. */
};
enum registry_reason { REG_OK, REG_STALE, REG_CONFLICT, REG_NO_VN, REG_FULL, REG_NOT_READY,
    REG_NOT_OWNER, REG_POLICY, REG_N_REASONS };
const char *registry_reason_str(uint8_t reason);

enum registry_out_type {
    REG_REGISTERED,                      /* nve, ref, rec: accepted at rec.epoch */
    REG_GRANT,                           /* nve, ref, rec: epoch reserved */
    REG_RESERVED,                        /* nve, rec, del: for a key of this NVE, by the NVE rec.owner;
                                          * never later than the GRANT of the same number */
    REG_REJECT,                          /* nve, ref, reason; rec: the current record (MOVED), owner none = nobody */
    REG_CONFIRM,                         /* nve, rec: every subscriber has acknowledged rec.epoch (K6 REMOTE) */
    REG_NOTIFY,                          /* nve, seq, rec, del */
    REG_NEGATIVE,                        /* nve, seq, rec.vni + rec.mac or rec.ips[0], hold_us: a pulled key is gone */
    REG_SNAPSHOT,                        /* nve, seq, rec.vni, del = end */
    REG_MEMBER,                          /* nve, seq, rec.vni, rec.owner, del */
    REG_VN,                              /* nve, ref, vn, reason */
    REG_WHO_HAS,                         /* nve, rec.vni, rec.ips[0] (K8) */
    REG_STORE                            /* id, store, key in rec, vn, name: answered by registry_stored */
};
enum registry_store { REG_STORE_VN_PUT, REG_STORE_VN_DEL, REG_STORE_EPOCH,  /* epoch 0: delete */
    REG_STORE_HWM, REG_STORE_NVE, REG_STORE_RESV };   /* RESV: by rec.owner; epoch 0: delete */
struct registry_out {
    uint8_t type, reason, store, del;
    uint32_t nve, id;
    uint64_t ref, seq, hold_us;
    struct mapping_rec rec;
    struct vn_rec vn;
    const char *name;                    /* REG_STORE_NVE; until the next call */
};

struct registry;
struct registry *registry_new(const struct registry_conf *conf, uint64_t now_us);
void registry_free(struct registry *r);
uint64_t registry_deadline(const struct registry *r);
void registry_tick(struct registry *r, uint64_t now_us);
bool registry_output(struct registry *r, struct registry_out *out);

/* The store's rows at start, then loaded: recovery begins when an NVE was known (K4). */
void registry_load_vn(struct registry *r, const struct vn_rec *vn);
void registry_load_epoch(struct registry *r, uint32_t vni, const struct mac *mac,
    uint64_t epoch, uint64_t migration_id, uint64_t now_us);   /* vni 0: high-water mark */
void registry_load_nve(struct registry *r, const char *name);
void registry_load_reservation(struct registry *r, const struct mapping_rec *rec,
    uint64_t now_us);                    /* after the epochs; rec.owner: who reserved */
void registry_loaded(struct registry *r, uint64_t now_us);
void registry_stored(struct registry *r, uint32_t id, int status, uint64_t now_us);
bool registry_recovering(const struct registry *r);

/* Sessions. up: the number; 0 = full, or the endpoint belongs to another one that is up. A
 * second session of a name replaces the first. foreign: a router without a session (RFC
 * 9301): nothing is pushed to it, nothing remembered of it, its adapter withdraws by TTL. */
uint32_t registry_nve_up(struct registry *r, const char *name, const struct ip *vtep,
    bool foreign, uint64_t now_us);
void registry_nve_down(struct registry *r, uint32_t nve, uint64_t now_us);   /* stale: K11 */
void registry_nve_bye(struct registry *r, uint32_t nve, uint64_t now_us);    /* clean end: withdrawn now */
void registry_nve_blocked(struct registry *r, uint32_t nve, bool blocked);   /* its stream takes no more */
void registry_ack(struct registry *r, uint32_t nve, uint64_t seq, uint64_t now_us);
uint32_t registry_nve_of(const struct registry *r, const struct ip *vtep);   /* 0: none, not up */

/* Registrations. Each with a ref is answered once: REGISTERED, GRANT or REJECT. want_epoch:
 * max(carried, known, reserved)+1 or the next number of all, granted once ever (K4). That
 * and reserve are refused with CONFLICT, rec naming who has it, while another VSI (rec.vsi)
 * of another NVE has the key (K18); what carries an epoch or refreshes is not. vsi 0, learned
 * or another router's, gives way to every VSI; of a foreign router whatever it carries. */
void registry_register(struct registry *r, uint32_t nve, uint64_t ref,
    const struct mapping_rec *rec, bool want_epoch, bool refresh, uint64_t now_us);
void registry_reserve(struct registry *r, uint32_t nve, uint64_t ref,
    const struct mapping_rec *rec, uint64_t now_us);
void registry_withdraw(struct registry *r, uint32_t nve, uint64_t ref,
    const struct mapping_rec *rec, uint64_t now_us);    /* ref 0: no answer wanted (E4) */
/* Lifts what damping has frozen; false: the key is not. */
bool registry_thaw(struct registry *r, uint32_t vni, const struct mac *mac, uint64_t now_us);
/* All has been registered again after the session came up: what was not named goes, and
 * what is reserved by others is told again. */
void registry_register_end(struct registry *r, uint32_t nve, uint64_t now_us);

void registry_subscribe(struct registry *r, uint32_t nve, uint32_t vni, uint64_t now_us);
/* Members only, for a VN whose mappings this NVE pulls: whom it takes frames from (K11). */
void registry_watch(struct registry *r, uint32_t nve, uint32_t vni, uint64_t now_us);
void registry_unsubscribe(struct registry *r, uint32_t nve, uint32_t vni, uint64_t now_us);

/* Pull. An asker that is an NVE is subscribed to the key, whatever the answer (K8). */
enum registry_answer {
    REG_FOUND,                           /* *rec; *owner = its NVE: route there if the VN is distributed */
    REG_ABSENT,                          /* negative, for conf.negative_us */
    REG_LATER,                           /* recovering, or the VN's NVEs are asked: pushed when known */
    REG_UNKNOWN_VN
};
enum registry_answer registry_lookup(struct registry *r, uint32_t asker, uint32_t vni,
    const struct mac *mac, const struct ip *ip, struct mapping_rec *rec, uint32_t *owner,
    uint64_t now_us);
/* The same without any effect or allocation: the fast path of a Map-Request. */
enum registry_answer registry_peek(const struct registry *r, uint32_t vni,
    const struct mac *mac, const struct ip *ip, struct mapping_rec *rec, uint32_t *owner);
/* Who asked for whom (S4-13): bounded, the least recent goes. */
void registry_talk(struct registry *r, uint32_t vni, const struct ip *asker,
    const struct ip *src, const struct ip *dst, const struct mac *dst_mac, uint64_t now_us);

/* Virtual networks; false with *reason when refused. Pushed to every NVE, stored. */
bool registry_vn_put(struct registry *r, const struct vn_rec *vn, uint8_t *reason,
    uint64_t now_us);
bool registry_vn_del(struct registry *r, uint32_t vni, uint64_t now_us);
const struct vn_rec *registry_vn(const struct registry *r, uint32_t vni, const char *name);
/* Live mappings of a VN, and NVEs that take part in it. */
void registry_vn_count(const struct registry *r, uint32_t vni, uint32_t *mappings,
    uint32_t *members);
void registry_vn_lookup(struct registry *r, uint32_t nve, uint64_t ref, uint32_t vni,
    const char *name);                   /* answered by REG_VN */

/* Read-only walks; *it starts at 0, false at the end. */
struct registry_map_view {
    struct mapping_rec rec;
    uint32_t nve;
    uint8_t stale, unconfirmed;          /* owner's session lost; a subscriber has not acknowledged */
    uint32_t frozen_s;                   /* E5: claimed in turns, stays at its owner for so long; */
    struct ip rival;                     /* who else claims it */
};
struct registry_nve_view {
    const char *name;
    struct ip vtep;
    uint32_t number, n_mappings, n_vns, n_key_subs, n_unacked;
    uint8_t up, complete, blocked;       /* complete: registered all since it came up */
    uint64_t seq, acked;
};
struct registry_resv_view {
    uint32_t vni;
    struct mac mac;
    struct ip owner, target;             /* owner: none where nobody has registered the key */
    uint64_t epoch, migration_id, age_us;
};
struct registry_talk_view {
    uint32_t vni;
    struct ip asker, src, dst;
    struct mac dst_mac;
    uint64_t count, last_us;
};
bool registry_each_mapping(const struct registry *r, uint32_t *it, struct registry_map_view *v);
bool registry_each_nve(const struct registry *r, uint32_t *it, struct registry_nve_view *v);
bool registry_each_reservation(const struct registry *r, uint32_t *it,
    struct registry_resv_view *v);
bool registry_each_talk(const struct registry *r, uint32_t *it, struct registry_talk_view *v);
const struct vn_rec *registry_each_vn(const struct registry *r, uint32_t *it);
#define REGISTRY_COUNTERS(X)                                                            \
    X(REGISTERS, "registers", "registrations taken")                                    \
    X(ACCEPTED, "accepted", "registrations that changed or refreshed a mapping")        \
    X(REJECTED, "rejected", "registrations, reservations and withdrawals refused")      \
    X(GRANTS, "grants", "epochs granted")                                               \
    X(RESERVED, "reserved", "owners told that another NVE has reserved an epoch")       \
    X(WITHDRAWN, "withdrawn", "mappings withdrawn by their owner")                      \
    X(EXPIRED, "expired", "mappings of lost sessions removed after T_stale")            \
    X(NOTIFIES, "notifies", "changes pushed to subscribers")                            \
    X(SNAPSHOTS, "snapshots", "snapshots begun")                                        \
    X(LOOKUPS, "lookups", "pull questions")                                             \
    X(NEGATIVES, "negatives", "pull questions answered negatively")                     \
    X(WHO_HAS, "who_has", "unknown addresses asked of a VN's NVEs")                     \
    X(CONFIRMS, "confirms", "epochs acknowledged by every subscriber")                  \
    X(DAMPED, "damped", "claims refused because two NVEs claim a key in turns (E5)")    \
    X(EVICTED, "evicted", "remembered epochs, key subscriptions, talkers given up: table full")
enum registry_counter {
#define X(sym, name, help) REGC_##sym,
    REGISTRY_COUNTERS(X)
#undef X
    REGC_N
};
uint64_t registry_counter(const struct registry *r, unsigned c);
const char *registry_counter_name(unsigned c);
uint32_t registry_count(const struct registry *r);     /* mappings that have an owner */
size_t registry_bytes(const struct registry *r);       /* memory of mappings and their indexes (K19) */
#endif
