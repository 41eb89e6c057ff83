/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: which event of the table they are, what is refused or answered at once, and
 * what is staged to begin (attach_txn.c). One is under way per attachment, one more may
 * wait behind it. */
#include "core/attach.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "core/attach_int.h"

/* ---- answers ---- */

static void
describe(const struct edge *e, const struct entry *n, struct tns_entry *to)
{
    *to = (struct tns_entry){.vn_ref = VN_BY_VNI,
        .has_mac = !!(n->flags & ENTRY_MAC),
        .ps = !!(n->flags & ENTRY_PS),
        .pcp = n->pcp,
        .vid = n->vid,
        .n_ips = n->n_ips,
        .untagged = !!(n->flags & ENTRY_UNTAGGED),
        .vni = n->vni,
        .mac = n->mac};
    memcpy(to->ips, entry_ips(n), n->n_ips * sizeof *to->ips);
    uint32_t vn = vn_find(e, n->vni);
    if (vn)
        snprintf(to->vn_name, sizeof to->vn_name, "%s", vn_at(e, vn)->name);
}

static void
answer(struct edge *e, const struct tns_request *rq, const struct att *a, uint8_t code,
    const char *reason)
{
    struct edge_out *o = edge_emit(e, EDGE_ANSWER);
    struct tns_response *r = &o->u.answer;
    r->op = rq->op;
    r->code = code;
    r->port = rq->port;
    r->cookie = rq->cookie;
    r->id = rq->id;
    r->nve = e->conf.vtep;
    snprintf(r->reason, sizeof r->reason, "%s", reason);
    edge_count(e, code == TNS_OK ? EDGEC_ANSWERED_OK : EDGEC_REFUSED);
    bool stands = a && a->state != ATT_NULL && a->state != ATT_TERM;
    if (a) {
        r->state = a->state;
        r->kept = code != TNS_OK && stands;
        r->epoch = a->epoch;
        r->migration_id = a->migration_id;
    }
    if (code != TNS_OK && rq->entries && rq->n_entries &&
        rq->n_entries <= TNS_ENTRIES_MAX) {
        size_t size = rq->n_entries * sizeof *rq->entries;
        r->entries = memcpy(edge_lend(e, size), rq->entries, size);
        r->n_entries = rq->n_entries;
        return;
    }
    if (!stands || a->n_entries == 0)
        return;
    struct tns_entry *to = edge_lend(e, a->n_entries * sizeof *to);
    r->entries = to;
    for (uint32_t h = a->entries; h; h = entry_at(e, h)->next) {
        const struct entry *n = entry_at(e, h);
        uint32_t vn = vn_find(e, n->vni), mtu = vn ? vn_at(e, vn)->mtu : 0;
        describe(e, n, &to[r->n_entries++]);
        if (mtu && (r->mtu == 0 || mtu < r->mtu))
            r->mtu = mtu;
        if (n->flags & ENTRY_LOCAL && !(n->flags & ENTRY_PUBLISHED))
            r->unpublished = 1;
        if (n->flags & ENTRY_LOCAL && !n->confirmed)
            r->unconfirmed = rq->confirm && code == TNS_OK;
    }
}

void
att_answer(struct edge *e, uint32_t txn, uint8_t code, const char *reason)
{
    const struct txn *x = txn_at(e, txn);
    answer(e, &x->rq, x->att ? att_at(e, x->att) : NULL, code, reason);
}

/* ---- requests ---- */

static const struct fsm_row *
row_of(const struct edge *e, uint8_t state, uint8_t event)
{
    const struct fsm *f = &e->att->fsm;
    int16_t i = f->index[state * f->def->n_events + event];
    return i < 0 ? NULL : &f->def->rows[i];
}

/* F4: a word of a migration before the one that brought the VM here. It would take off
 * the air what runs. Claims are held against all that is known (request_stale); signs
 * of life and requests without a number are taken at their word. */
static bool
of_the_past(const struct att *a, const struct tns_request *rq)
{
    bool ends = rq->op == TNS_SUSPEND || rq->op == TNS_EMIGRATE_PREPARE ||
                rq->op == TNS_EMIGRATE_COMMIT || rq->op == TNS_TERMINATE;
    return ends && rq->has_epoch && rq->epoch < a->epoch;
}

static uint8_t
event_of(struct edge *e, const struct att *a, const struct tns_request *rq)
{
    bool newer = rq->has_epoch && rq->epoch > a->epoch;
    bool stands = a->state != ATT_NULL && a->state != ATT_TERM;
    if (stands && of_the_past(a, rq))
        return ATT_EV_STALE;
    if (stands && !rq->berth_station && rq->n_entries && !newer &&
        request_same(e, a, rq))
        return ATT_EV_KEEPALIVE; /* K3: whatever its M and S bits */
    switch ((enum tns_op)rq->op) {
    case TNS_PREASSOC:
        return ATT_EV_PREASSOC;
    case TNS_ASSOC:
        return ATT_EV_ASSOC;
    case TNS_SUSPEND: /* the pause that it was armed for (A5) */
        return a->state == ATT_ASSOC && a->flags & (ATT_ARMED | ATT_HOLD)
                   ? ATT_EV_EMIGRATE
                   : ATT_EV_SUSPEND;
    case TNS_RESUME:
        if (a->state == ATT_EMIG && a->prev == ATT_PREASSOC)
            return ATT_EV_ROLLBACK_PRE;
        if (a->state == ATT_EMIG && a->prev == ATT_SUSP)
            return ATT_EV_ROLLBACK_SUSP;
        return ATT_EV_RESUME;
    case TNS_EMIGRATE_PREPARE:
        return ATT_EV_EMIG_PREPARE;
    case TNS_EMIGRATE_COMMIT:
        return ATT_EV_EMIGRATE;
    case TNS_IMMIGRATE_PRE:
        return ATT_EV_IMMIG_PRE;
    case TNS_IMMIGRATE_ASSO:
        return rq->suspended ? ATT_EV_IMMIG_SUSP : ATT_EV_IMMIG_ASSO;
    case TNS_TERMINATE:
        return ATT_EV_TERMINATE;
    case TNS_KEEPALIVE:
    case TNS_N_OPS:
        break;
    }
    return ATT_EV_KEEPALIVE;
}

static void
done(struct edge *e, uint32_t txn, uint8_t code, const char *reason)
{
    att_answer(e, txn, code, reason);
    txn_end(e, txn);
}

/* A sign of life: nothing changes but the timer (and whom notices go to). A plain
 * station whose VM has moved away did not heed the notice, and one that prepares to let
 * it go did not hear of it: ok would say that the VM is here (K3, F9).
 */
static void
refresh(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    struct att *a = att_at(e, x->att);
    bool lost = a->state == ATT_EMIG && a->flags & ATT_LOST &&
                (!x->rq.berth_station || x->event == ATT_EV_EMIG_PREPARE);
    a->cookie = x->rq.cookie;
    if (x->rq.idle_us)
        a->idle_ms = (uint32_t)(x->rq.idle_us / 1000);
    if (x->event == ATT_EV_KEEPALIVE)
        edge_count(e, EDGEC_KEEPALIVES);
    att_arm(e, x->att);
    if (lost)
        done(e, txn, TNS_MOVED, "a newer owner is known");
    else if (x->event == ATT_EV_KEEPALIVE)
        done(e, txn, TNS_OK, "");
    else
        txn_done(e, txn);
}

static bool
is_claim(uint8_t action)
{
    return action == ATT_DO_CLAIM || action == ATT_DO_COMPARE ||
           action == ATT_DO_RAISE || action == ATT_DO_CLAIM_SUSP;
}

/* Another NVE has reserved a number above that of one of its entries. */
static bool
has_target(const struct edge *e, const struct att *a)
{
    struct mapping_rec to;
    for (uint32_t n = a->entries; n; n = entry_at(e, n)->next)
        if (entry_at(e, n)->flags & ENTRY_MAC &&
            mapping_target(e, entry_at(e, n)->vni, &entry_at(e, n)->mac, &to))
            return true;
    return false;
}

/* The same as what stands already, with nothing new to claim. */
static bool
nothing_new(const struct edge *e, const struct att *a, const struct txn *x)
{
    bool newer = x->rq.has_epoch && x->rq.epoch > a->epoch;
    if (is_claim(x->action) && a->flags & (ATT_ARMED | ATT_HOLD))
        return false; /* a target may have been told (E2) */
    if (x->action == ATT_DO_RAISE)
        return !newer && !has_target(e, a);
    if (x->replace)
        return false;
    return (x->action == ATT_DO_PREPARE && a->state == ATT_PREASSOC) ||
           (x->action == ATT_DO_PREPARE_EPOCH && a->state == ATT_IMMIG && !newer &&
               a->flags & ATT_GRANTED) ||
           (x->action == ATT_DO_COMPARE && !newer);
}

static bool
takes_entries(uint8_t action)
{
    return action == ATT_DO_PREPARE || action == ATT_DO_PREPARE_EPOCH ||
           action == ATT_DO_CLAIM || action == ATT_DO_COMPARE ||
           action == ATT_DO_CLAIM_SUSP;
}

static void
step_and_begin(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    struct att *a = att_at(e, x->att);
    x->from = a->state;
    x->from_prev = a->prev;
    x->from_flags = a->flags;
    x->from_epoch = a->epoch;
    x->from_migration_id = a->migration_id;
    bool guess = a->flags & ATT_GUESS && x->rq.epoch == a->epoch;
    if (is_claim(x->action) && x->rq.has_epoch && !guess) {
        x->epoch = x->rq.epoch;
        x->migration_id = x->rq.migration_id;
        /* The number that we reserved or hold ourselves: its id is known here (E6). */
        if (x->epoch == a->epoch && a->migration_id)
            x->migration_id = a->migration_id;
    } else if (is_claim(x->action) && a->state == ATT_IMMIG && a->flags & ATT_GRANTED) {
        x->epoch = a->epoch;
        x->migration_id = a->migration_id;
    }
    att_step(e, x->att, x->event, &x->action);
    if (!x->copy)
        x->rq.entries = NULL; /* they live only as long as the call */
    txn_begin(e, txn);
}

/* Requests that change something: what is asked for is checked and staged first. */
static void
start_change(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    struct att *a = att_at(e, x->att);
    bool empty = a->state == ATT_NULL || a->state == ATT_TERM;
    struct refusal why = {0};
    x->replace = 0;
    if (takes_entries(x->action)) {
        if (x->rq.n_entries == 0 && (empty || a->n_entries == 0)) {
            done(e, txn, TNS_BAD_MESSAGE, "no address, no virtual network");
            return;
        }
        switch (stage_entries(e, txn, &why)) {
        case STAGE_WAIT:
            x->phase = TXN_LOOKUP;
            if (!x->copy && x->rq.n_entries) {
                size_t size = x->rq.n_entries * sizeof *x->copy;
                x->copy = memcpy(mem_alloc(size), x->rq.entries, size);
                x->rq.entries = x->copy;
            }
            return;
        case STAGE_FAIL:
            done(e, txn, why.code, why.reason);
            return;
        case STAGE_OK:
            break;
        }
        x->replace = x->rq.n_entries > 0;
        if (x->replace && !empty && stage_same(e, a->entries, x->staged)) {
            stage_drop(e, txn);
            x->replace = 0;
        }
    }
    if (is_claim(x->action) &&
        request_stale(e, x->replace ? x->staged : a->entries, &x->rq)) {
        stage_drop(e, txn);
        att_step(e, x->att, ATT_EV_STALE, &x->action);
        done(e, txn, TNS_MOVED, "the epoch is older than what is known");
        return;
    }
    if (nothing_new(e, a, x)) {
        att_step(e, x->att, x->event, &x->action);
        refresh(e, txn);
        return;
    }
    step_and_begin(e, txn);
}

/* Rows that answer at once, with what they answer. */
static const struct {
    uint8_t code;
    const char *reason;
} replies[ATT_N_ACTIONS] = {
    [ATT_DO_OK] = {TNS_OK,            ""                         },
    [ATT_DO_NOTHING] = {TNS_INVALID_STATE, "not in this state"        },
    [ATT_DO_REFUSE_STATE] = {TNS_INVALID_STATE, "not in this state"        },
    [ATT_DO_REFUSE_NO_STATE] = {TNS_NO_STATE,      "no such VSI here"         },
    [ATT_DO_REFUSE_MOVED] = {TNS_MOVED,         "the VSI has a newer epoch"},
};

/* An Immigrate(pre) by a number above ours: the VM was elsewhere since, and we did not
 * hear of it (E3, K4). One by no newer number is late, or repeated: nothing changes. */
static bool
comes_back(const struct att *a, const struct tns_request *rq)
{
    return (a->state == ATT_ASSOC || a->state == ATT_SUSP) &&
           rq->op == TNS_IMMIGRATE_PRE && rq->has_epoch && rq->epoch > a->epoch;
}

void
request_start(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    const struct att *a = att_at(e, x->att);
    if (comes_back(a, &x->rq))
        att_event(e, x->att, ATT_EV_NEWER);
    x->event = event_of(e, a, &x->rq);
    const struct fsm_row *row = row_of(e, a->state, x->event);
    x->action = row ? row->action : ATT_DO_REFUSE_STATE;
    bool at_once = replies[x->action].reason != NULL;
    if (!at_once && x->action != ATT_DO_REFRESH) {
        start_change(e, txn);
        return;
    }
    att_step(e, x->att, x->event, &x->action);
    if (at_once)
        done(e, txn, replies[x->action].code, replies[x->action].reason);
    else
        refresh(e, txn);
}

void
txn_end(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    uint32_t h = x->att, queued = x->queued;
    struct att *a = att_at(e, h);
    timers_clear(&e->timers, &x->timer);
    mem_free(x->copy);
    mem_free(x->held);
    pool_put(&e->att->txns, txn);
    a->txn = 0;
    e->att->ending = h;
    att_settle(e, h);
    e->att->ending = 0;
    if (a->state == ATT_TERM && a->n_entries == 0 && queued == 0) {
        att_event(e, h, ATT_EV_TIMER); /* nothing to remember: NULL via TERM (A11) */
        return;
    }
    if (queued) {
        a->txn = queued;
        request_start(e, queued);
    } else if (a->state == ATT_NULL) {
        att_free(e, h);
    }
}

/* Without its attachment: what is still on its way comes back to a txn with att = 0. */
void
txn_orphan(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    vn_forget(e, txn);
    att_answer(e, txn, TNS_NO_RESOURCES, "the port is gone");
    for (uint32_t h = x->staged, next; h; h = next) {
        next = entry_at(e, h)->next;
        entry_end(e, h, false, 0);
        entry_free(e, h);
    }
    timers_clear(&e->timers, &x->timer);
    edge_ticket_drop(e, x->journal);
    mem_free(x->copy);
    mem_free(x->held);
    x->copy = NULL;
    x->held = NULL;
    x->staged = x->att = x->queued = 0;
    if (x->n_dp == 0)
        pool_put(&e->att->txns, txn);
}

static uint32_t
txn_new(struct edge *e, uint32_t att, const struct tns_request *rq)
{
    uint32_t h = pool_get(&e->att->txns);
    struct txn *x = txn_at(e, h);
    x->att = att;
    x->rq = *rq;
    return h;
}

/* Behind a request under way: a sign of life is answered at once, one more may wait. */
static void
request_behind(struct edge *e, uint32_t att, const struct tns_request *rq)
{
    struct att *a = att_at(e, att);
    struct txn *x = txn_at(e, a->txn);
    if (rq->op == TNS_KEEPALIVE && a->state != ATT_NULL && a->state != ATT_TERM) {
        edge_count(e, EDGEC_KEEPALIVES);
        a->cookie = rq->cookie;
        answer(e, rq, a, TNS_OK, "");
        return;
    }
    if (x->queued) {
        answer(e, rq, a, TNS_BUSY, "two requests for this VSI are under way");
        return;
    }
    uint32_t h = txn_new(e, att, rq);
    x = txn_at(e, a->txn);
    x->queued = h;
    struct txn *q = txn_at(e, h);
    if (rq->n_entries) {
        size_t size = rq->n_entries * sizeof *q->copy;
        q->copy = memcpy(mem_alloc(size), rq->entries, size);
    }
    q->rq.entries = q->copy;
}

void
attach_request(struct edge *e, const struct tns_request *rq)
{
    edge_count(e, EDGEC_REQUESTS);
    const char *fault = request_fault(rq);
    if (!fault && !edge_port_at(e, rq->port))
        fault = "no such port";
    uint32_t h = edge_port_at(e, rq->port) ? att_find(e, rq->port, &rq->id) : 0;
    if (fault) { /* what stands stays (A9) */
        answer(e, rq, h ? att_at(e, h) : NULL, TNS_BAD_MESSAGE, fault);
        return;
    }
    if (h && rq->op != TNS_KEEPALIVE && txn_waits_remote(e, att_at(e, h)->txn)) {
        txn_remote_end(e, att_at(e, h)->txn); /* whoever waited wants something else */
        h = att_find(e, rq->port, &rq->id);
    }
    if (h && att_at(e, h)->txn) {
        request_behind(e, h, rq);
        return;
    }
    if (h == 0)
        h = att_new(e, rq->port, &rq->id);
    if (h == 0) {
        answer(e, rq, NULL, TNS_NO_RESOURCES, "too many attachments");
        return;
    }
    att_at(e, h)->txn = txn_new(e, h, rq);
    request_start(e, att_at(e, h)->txn);
}
