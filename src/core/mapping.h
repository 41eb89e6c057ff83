/* SPDX-License-Identifier: Apache-2.0 */
/* What this NVE knows of "(VN, MAC, IPs) -> place" (S4-12), local and remote, with the
 * owner's epoch (K1, K4). The one place that decides who owns a key here (E3), hence the
 * only source of FDB, neighbour, negative and member operations (core/dp.h). It knows no
 * mapping protocol: adapters feed it records and pull what is to be asked or published. */
#ifndef BERTH_CORE_MAPPING_H
#define BERTH_CORE_MAPPING_H
#include "core/dp.h"
#include "core/tns.h"

/* One mapping as everybody exchanges it. */
struct mapping_rec {
    uint32_t vni;
    struct mac mac;
    uint8_t n_ips;
    uint8_t low_trust;                   /* bit i: ips[i] was snooped, not signalled (K8) */
    struct ip ips[TNS_IPS_MAX];
    struct ip owner;                     /* the NVE's VTEP */
    uint64_t epoch, migration_id;
    uint64_t vsi;                        /* vsiid_print of who was signalled with the MAC; 0: not
                                          * known, learned, or another router's (K18) */
};
#define EPOCH_MAX ((uint64_t)1 << 62)    /* no number is taken from outside from here on */
#define EPOCH_RESERVED UINT64_MAX        /* in a withdrawal: what was reserved of the key, or is
                                          * being asked for, and not a residence; in a
                                          * reservation: what was reserved before stands */
enum mapping_verdict {                   /* what became of a record (E3, K4) */
    MAPPING_ACCEPTED,
    MAPPING_STALE,                       /* lower epoch: ignored */
    MAPPING_SAME,                        /* known already */
    MAPPING_CONFLICT,                    /* equal epoch, other migration id or owner */
    MAPPING_TOOK_LOCAL,                  /* newer than our own: implicit emigration, caller tells attach */
    MAPPING_FULL
};
const char *mapping_verdict_str(uint8_t verdict);

/* Inside core from here on: called by edge, attach and arp. The table hangs at e->map, the
 * time is e->now_us, operations leave through edge_dp, timers are e->timers. */
struct edge;
struct edge_map_view;
void mapping_open(struct edge *e);
void mapping_close(struct edge *e);
void mapping_timer(struct edge *e, uint32_t kind, uint32_t ref);
void mapping_done(struct edge *e, uint32_t ref, int status);    /* of TICKET_MAP_DP */

/* Local residence, from attach. set: activate (or refresh, or move between ports of this
 * NVE: F15) at epoch; STALE, CONFLICT and FULL change and emit nothing. Otherwise exactly
 * one operation, the last one of the FDB, has the ticket (kind, ref). */
struct mapping_local {
    uint32_t vni, att, port;             /* att: attach's handle, handed back and compared */
    struct mac mac;
    uint16_t vid;
    uint8_t pcp, n_ips, low_trust;       /* low_trust: as in mapping_rec */
    uint8_t asked;                       /* the epoch is provisional: one was asked for (K4) */
    uint8_t wait;                        /* frames held or relayed go on waiting: HERE comes later */
    uint8_t hold;                        /* they wait from the first instant on (K12), the same */
    const struct ip *ips;
    uint64_t epoch, migration_id;
};
enum mapping_verdict mapping_local_set(struct edge *e, const struct mapping_local *l,
    uint8_t ticket_kind, uint32_t ticket_ref);
/* The number it had before one that was refused. */
void mapping_local_back(struct edge *e, uint32_t vni, const struct mac *mac, uint32_t att,
    uint64_t epoch, uint64_t migration_id);
/* Ends it if `att` still holds it. tomb: late packets are relayed to the newer owner as soon
 * as one is known (D1), until mapping_tomb_clear. */
void mapping_local_clear(struct edge *e, uint32_t vni, const struct mac *mac, uint32_t att,
    bool tomb);
/* A tombstone out of the journal: we owned it at `epoch`. */
void mapping_tomb_set(struct edge *e, uint32_t vni, const struct mac *mac, uint64_t epoch);
void mapping_tomb_clear(struct edge *e, uint32_t vni, const struct mac *mac);  /* T_tomb, D4 */
bool mapping_tomb(const struct edge *e, uint32_t vni, const struct mac *mac);

/* A VM on its way (section 4). hold: `att` waits for it here; a tombstone and a target end
 * at once (D4), and frames from the overlay wait (K12) until hold is off or a residence of
 * `att` is active. Of several waiters the last one counts. */
void mapping_hold(struct edge *e, uint32_t vni, const struct mac *mac, uint32_t att, bool on);
/* The residence of `att`: AWAY, its VM is paused here: frames go to the target where one is
 * known (provisional, D3), else they wait; WAIT: they wait in any case. */
enum mapping_away { MAPPING_HERE, MAPPING_AWAY, MAPPING_WAIT };
void mapping_local_away(struct edge *e, uint32_t vni, const struct mac *mac, uint32_t att,
    enum mapping_away away);
/* rec->owner has reserved rec->epoch (K4, X5): remembered beside our residence or tombstone
 * until our number is as high or somebody publishes. false: not newer, or nothing of ours.
 * named: a server says so, not the authority: of an NVE that is known, and until the
 * authority says otherwise. */
bool mapping_reserved(struct edge *e, const struct mapping_rec *rec, bool named);
/* What rec->owner (none: anybody) has reserved of the key up to rec->epoch is no longer:
 * frames wait here again. */
bool mapping_unreserved(struct edge *e, const struct mapping_rec *rec);
bool mapping_target(const struct edge *e, uint32_t vni, const struct mac *mac,
    struct mapping_rec *to);             /* what is remembered: owner, epoch, migration id */
/* The NVE `from` says that it relays for us: true when somebody is to be asked now (D5). */
bool mapping_smr(struct edge *e, uint32_t vni, const struct mac *mac, const struct ip *from);
/* We relay what `from` sends to the key, to an owner that has published: tell it (D5). */
/* Is the sender known, and nobody of that key here, nor on its way here (F11)? */
bool mapping_astray(const struct edge *e, uint32_t vni, const struct mac *mac,
    const struct ip *from);
bool mapping_relays(const struct edge *e, uint32_t vni, const struct mac *mac,
    const struct ip *from);
/* One snooped address (K8): true when it was added, the caller registers again. Refused and
 * counted: more than SET_MAX_IPS, none, group, or contradicting what was signalled. */
bool mapping_learn_ip(struct edge *e, uint32_t vni, const struct mac *mac,
    const struct ip *ip);
uint64_t mapping_epoch(const struct edge *e, uint32_t vni, const struct mac *mac);  /* E5 */

/* Look up by MAC, or by IP when mac is NULL. rec, att may be NULL; *att: local holder or 0. */
bool mapping_find(const struct edge *e, uint32_t vni, const struct mac *mac,
    const struct ip *ip, struct mapping_rec *rec, uint32_t *att);
struct mapping_place {                   /* local residences of a VN, for the ARP agent */
    struct mac mac;
    uint32_t port;
    uint16_t vid;
    uint8_t pcp, has_v4, has_v6;         /* signalled, so there are no others (K8) */
};
bool mapping_place_of(const struct edge *e, uint32_t vni, const struct mac *mac,
    struct mapping_place *p);            /* false: not local */
bool mapping_each_local(const struct edge *e, uint32_t vni, uint32_t *it,
    struct mapping_place *p);            /* *it starts at 0 */

/* The mapping plane. seq 0: a pull's answer, never acknowledged, kept by a snapshot's end.
 * TOOK_LOCAL: the record is in, a tombstone too, *att (may be NULL) is who lost it. */
enum mapping_verdict mapping_remote_set(struct edge *e, const struct mapping_rec *rec,
    uint64_t seq, uint32_t *att);
enum mapping_verdict mapping_remote_del(struct edge *e, const struct mapping_rec *rec,
    uint64_t seq);                       /* only of (owner, epoch): E4 */
void mapping_negative(struct edge *e, uint32_t vni, const struct mac *mac,
    const struct ip *ip, uint64_t hold_us);
void mapping_snapshot(struct edge *e, uint32_t vni, bool begin, uint64_t seq);  /* K5 */
void mapping_member(struct edge *e, uint32_t vni, const struct ip *vtep, bool add,
    uint64_t seq);
void mapping_session(struct edge *e, bool up);      /* K11: stale for T_stale; up: asks again */
/* wanted: EDGE_SUBSCRIBE was emitted. Not wanted: all remote knowledge of the VN goes. */
void mapping_vn(struct edge *e, uint32_t vni, bool wanted);
/* EDGE_SUBSCRIBE of the members alone: the first list of them is a snapshot, too. Ends by
 * mapping_vn, not wanted. */
void mapping_vn_watch(struct edge *e, uint32_t vni);
/* Every wanted VN has had its snapshot since the session came up: after a restart this is
 * when DP_SYNC_END may remove what nobody named (K15), else remote entries would gap. */
bool mapping_synced(const struct edge *e);
/* The wanted state between SYNC_BEGIN and END, one step per call; false at the end. */
bool mapping_emit_next(struct edge *e, uint32_t *it);
bool mapping_each(const struct edge *e, uint32_t *it, struct edge_map_view *v);
uint32_t mapping_count(const struct edge *e);
size_t mapping_bytes(const struct edge *e);         /* memory of tables and indexes (K19) */
#endif
