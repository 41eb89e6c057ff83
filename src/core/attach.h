/* SPDX-License-Identifier: Apache-2.0 */
/* Attachments: one VSI at one port (K1), the state machine of requirements 1.3 and what
 * its arrows do. An attachment is a list of entries (VN, MAC, VID, IPs); a request in
 * flight is a transaction with its pending set (K6). attach owns the VAP and VSI
 * operations of the data plane; who owns a (VN, MAC) is decided in mapping.
 *
 * An answer leaves when the data plane, then the publication, then the journal are done;
 * then, where the request says so, the far ends.
 * Handles `entry`, `txn` are of attach's pools, 0 = none. The tables hang at e->att. */
#ifndef BERTH_CORE_ATTACH_H
#define BERTH_CORE_ATTACH_H
#include "base/fsm.h"
#include "core/edge_int.h"

/* Events of the table. Guards of a cell are events of their own: IMMIG_SUSP is Immigrate
 * with the S flag (A14), ROLLBACK_* a Resume in EMIG by what was before (A2), STALE a claim
 * with an epoch older than what is known (F4), UNDO_* take a failed request back (A9). */
#define ATT_EVENTS(X)                                                                    \
    X(PREASSOC) X(ASSOC) X(SUSPEND) X(RESUME) X(ROLLBACK_PRE) X(ROLLBACK_SUSP)           \
    X(EMIG_PREPARE) X(EMIGRATE) X(IMMIG_PRE) X(IMMIG_ASSO) X(IMMIG_SUSP) X(TERMINATE)    \
    X(KEEPALIVE) X(STALE) X(TIMER) X(NEWER) X(LOCAL_CHANGE) X(PORT_DOWN) X(PORT_UP)      \
    X(PORT_BACK) X(GONE) X(UNDO_NULL) X(UNDO_PREASSOC) X(UNDO_ASSOC) X(UNDO_SUSP)     \
    X(UNDO_EMIG) X(UNDO_IMMIG)
enum att_event {
#define X(name) ATT_EV_##name,
    ATT_EVENTS(X)
#undef X
    ATT_N_EVENTS
};
/* What a row does; "answer" is the reply of its cell. */
#define ATT_ACTIONS(X)                                                                   \
    X(NOTHING) X(OK) X(REFUSE_STATE) X(REFUSE_NO_STATE) X(REFUSE_MOVED) X(REFRESH)       \
    X(ARM) X(PREPARE) X(PREPARE_EPOCH) X(CLAIM) X(COMPARE) X(RAISE)           \
    X(CLAIM_SUSP) X(ROLLBACK_PRE) X(INACTIVATE) X(EMIGRATE) X(WAS_SUSP)      \
    X(TERMINATE) X(AGE_OUT) X(FORGET) X(LOSE) X(NOTIFY) X(PORT_DOWN) X(PORT_UP) X(UNDO)
enum att_action {
#define X(name) ATT_DO_##name,
    ATT_ACTIONS(X)
#undef X
    ATT_N_ACTIONS
};
extern const struct fsm_def att_fsm;     /* "attach": requirements 1.3, one row per cell */

void attach_open(struct edge *e);
void attach_close(struct edge *e);
void attach_request(struct edge *e, const struct tns_request *rq);
void attach_dp_sent(struct edge *e, uint32_t txn);            /* edge_dp took a ticket */
void attach_done(struct edge *e, const struct ticket *t, int status);
void attach_registered(struct edge *e, const struct ticket *t, uint64_t epoch,
    uint64_t migration_id, int status);
void attach_conflict(struct edge *e, const struct ticket *t, const struct ip *holder);
void attach_confirmed(struct edge *e, uint32_t vni, const struct mac *mac, uint64_t epoch);
void attach_timer(struct edge *e, uint32_t kind, uint32_t ref);
void attach_port_down(struct edge *e, struct edge_port *p, bool down);  /* after T_flap (K9) */
void attach_port_gone(struct edge *e, struct edge_port *p);
void attach_port_reflect(struct edge *e, struct edge_port *p);          /* K10 changed */
void attach_vn_answer(struct edge *e, uint32_t txn);          /* the look-up of vn_wait ended */
void attach_vn_changed(struct edge *e, uint32_t vni, bool deleted);
void attach_session(struct edge *e, bool up);                 /* up: registers again (E6) */

/* The mapping remembers where the VM goes (edge_reserved): so does the journal. */
void attach_target(struct edge *e, uint32_t vni, const struct mac *mac);
/* A newer owner was accepted for the key that `entry` held: implicit emigration (E3). */
void attach_lost(struct edge *e, uint32_t entry);
/* The key's local record changed by itself (snooped IPs, K8): publish and journal it. */
void attach_publish(struct edge *e, uint32_t entry);
/* DP_EV_LEARN behind a wildcard VAP (K2). */
void attach_learn(struct edge *e, const struct dp_event *ev);
/* A VM behind the port and tag of `ev` answered arp_ask: the MAC is learned there now. */
void attach_answered(struct edge *e, const struct dp_event *ev, const struct mac *mac,
    const struct ip *ip);

/* Restart: a record; what the records are then made of, in the data plane and mapping. */
bool attach_restore(struct edge *e, const uint8_t *bytes, uint16_t size,
    const char **what, uint16_t *at);
void attach_restored(struct edge *e);
void attach_again(struct edge *e);               /* what changed meanwhile; registers (E6) */
bool attach_has(const struct edge *e, uint32_t port, const struct vsiid *id);
/* May others be told that we own it? false: not yet (E7); else rec has the number. */
bool attach_owns(const struct edge *e, uint32_t entry, struct mapping_rec *rec);
uint32_t attach_count(const struct edge *e);
size_t attach_bytes(const struct edge *e);       /* memory of tables and indexes (K19) */
void attach_coverage(const struct edge *e, uint64_t *hits);   /* per row of att_fsm */
uint32_t attach_in_flight(const struct edge *e);              /* transactions */
#endif
