/* SPDX-License-Identifier: Apache-2.0 */
/* A request on its way (K6): installed in the data plane, then published (E7), then in
 * the journal with its epoch (K7), then answered, or when the far ends have it. The new
 * list stands beside the old one until the end, so a failure takes back only what was
 * new (A9). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "core/attach_int.h"

/* From an answer on until its tag is in use at the station: some milliseconds, and more
 * where the station is busy. */
#define TOLD_US 20000

/* What an action asks of the data plane and the authority. */
struct plan {
    uint8_t install, active, claim, reserve;
};
static const struct plan plans[ATT_N_ACTIONS] = {
    [ATT_DO_PREPARE] = {.install = 1},
    [ATT_DO_PREPARE_EPOCH] = {.install = 1, .reserve = 1},
    [ATT_DO_CLAIM] = {.install = 1,            .active = 1, .claim = 1},
    [ATT_DO_COMPARE] = {.install = 1,.active = 1, .claim = 1},
    [ATT_DO_RAISE] = {.install = 1,            .active = 1, .claim = 1},
    [ATT_DO_CLAIM_SUSP] = {.install = 1,            .claim = 1},
    [ATT_DO_INACTIVATE] = {.install = 1           },
    [ATT_DO_EMIGRATE] = {.install = 1},
};

static uint32_t
list_of(const struct edge *e, const struct txn *x)
{
    return x->replace ? x->staged : att_at(e, x->att)->entries;
}

bool
txn_reserves(const struct edge *e, uint32_t txn)
{
    return txn && plans[txn_at(e, txn)->action].reserve;
}

static void
fail_with(struct txn *x, int status)
{
    if (x->dp_status == 0)
        x->dp_status = status;
}

/* What stands until the data plane has the claim, and stands again should its number be
 * refused. */
static void
hold(struct txn *x, uint32_t holder, const struct entry *o,
    const struct mapping_rec *known)
{
    x->held = mem_grow(x->held, (x->n_held + 1) * sizeof *x->held);
    x->held[x->n_held++] = (struct held){.entry = holder,
        .want = !!(o->flags & ENTRY_WANT),
        .epoch = known->epoch,
        .migration_id = known->migration_id};
}

/* Others may still be relayed to from here, so the claim is not theirs to know yet. */
const struct held *
txn_before(const struct edge *e, uint32_t h)
{
    uint32_t txn = att_at(e, entry_at(e, h)->att)->txn;
    const struct txn *x = txn ? txn_at(e, txn) : NULL;
    for (uint32_t i = 0; x && x->phase == TXN_INSTALL && i < x->n_held; i++)
        if (x->held[i].entry == h)
            return &x->held[i];
    return NULL;
}

bool
txn_comes(const struct edge *e, uint32_t h)
{
    const struct entry *n = entry_at(e, h);
    uint32_t txn = att_at(e, n->att)->txn;
    const struct txn *x = txn ? txn_at(e, txn) : NULL;
    return x && x->phase == TXN_INSTALL && plans[x->action].claim &&
           !(n->flags & ENTRY_LEARNED) && !txn_before(e, h);
}

/* A claim by number if one was carried or reserved; else as held, to be granted (K4). A
 * changed request of the owner (S3-22) keeps the epoch of the addresses that stay. */
static void
claim(struct edge *e, uint32_t txn, uint32_t h)
{
    struct txn *x = txn_at(e, txn);
    struct entry *n = entry_at(e, h);
    uint64_t epoch = x->epoch, migration_id = x->migration_id;
    uint32_t holder = 0;
    struct mapping_rec known;
    mapping_find(e, n->vni, &n->mac, NULL, &known, &holder);
    bool ours = holder && entry_at(e, holder)->att == n->att;
    if (holder)
        hold(x, holder, entry_at(e, holder), &known);
    bool unheard = epoch && e->conf.authority &&
                   !(x->from_flags & ATT_GRANTED && epoch == x->from_epoch);
    if (holder && epoch == known.epoch) /* said again */
        unheard = entry_at(e, holder)->unheard;
    n->flags &= (uint16_t)~ENTRY_WANT;
    bool armed = x->from_flags & (ATT_ARMED | ATT_HOLD); /* a target may be told: E2 */
    if (epoch == 0 && ours && x->action == ATT_DO_COMPARE && !armed) {
        n->flags |= entry_at(e, holder)->flags & ENTRY_WANT;
        unheard = entry_at(e, holder)->unheard;
    } else if (epoch == 0 && e->conf.authority) {
        n->flags |= ENTRY_WANT;
    } else if (epoch == 0) {
        epoch = mapping_epoch(e, n->vni, &n->mac);
        if (epoch < att_at(e, x->att)->epoch)
            epoch = att_at(e, x->att)->epoch;
        epoch++;
        migration_id = att_nonce(e);
    }
    switch (entry_claim(e, h, epoch, migration_id, txn)) {
    case MAPPING_ACCEPTED:
    case MAPPING_SAME:
        n->unheard = unheard;
        entry_claims(e, h);
        break;
    case MAPPING_STALE:
    case MAPPING_TOOK_LOCAL:
        fail_with(x, -ESTALE);
        break;
    case MAPPING_CONFLICT:
        fail_with(x, -EEXIST);
        break;
    case MAPPING_FULL:
        fail_with(x, -ENOSPC);
        break;
    }
}

/* The target that an Emigrate names (X5) counts only with a number above ours: that it
 * could be known proves that the target has answered (D3). */
static void
take_target(struct edge *e, const struct txn *x)
{
    if (ip_is_none(&x->rq.peer_nve))
        return;
    bool used = false;
    for (uint32_t h = att_at(e, x->att)->entries; h; h = entry_at(e, h)->next) {
        struct mapping_rec rec = {.vni = entry_at(e, h)->vni,
            .mac = entry_at(e, h)->mac,
            .owner = x->rq.peer_nve,
            .epoch = x->rq.epoch,
            .migration_id = x->rq.migration_id};
        /* Of what stands here for this VSI alone: another's frames it does not move. */
        if (x->rq.has_epoch && entry_at(e, h)->flags & ENTRY_MAC &&
            entry_resident(e, h))
            used |= mapping_reserved(e, &rec, true);
    }
    edge_count(e, used ? EDGEC_TARGETS : EDGEC_TARGETS_IGNORED);
}

/* Before anything else of the request: frames wait, or go where the VM goes. The data
 * plane works in order, so what the request waits for says that this is done, too. */
static void
begin_move(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    struct att *a = att_at(e, x->att);
    bool emigrates = x->action == ATT_DO_EMIGRATE || x->action == ATT_DO_ARM;
    if (emigrates)
        take_target(e, x);
    if (x->event == ATT_EV_IMMIG_SUSP)
        a->flags |= ATT_AWAIT;
    if (x->action == ATT_DO_ARM && x->rq.hold) {
        a->flags |= ATT_HOLD;
        att_arm_hold(e, x->att);
    }
    if (emigrates || plans[x->action].reserve) {
        att_move(e, x->att);
        for (uint32_t h = x->staged; h; h = entry_at(e, h)->next)
            entry_move(e, h);
    }
    if (x->action == ATT_DO_ARM && x->rq.hold)
        for (uint32_t h = a->entries; h; h = entry_at(e, h)->next)
            entry_install(e, h, entry_at(e, h)->flags & ENTRY_ACTIVE, txn);
}

/* The VM lives elsewhere, and its station claims it in one phase. What waits for it at
 * the old place comes with the mapping, a moment before the station has its answer, and
 * with it the tag (4.1, column B). */
static bool
comes_untold(const struct edge *e, const struct txn *x)
{
    if (!plans[x->action].claim || (x->from != ATT_NULL && x->from != ATT_TERM))
        return false;
    for (uint32_t h = list_of(e, x); h; h = entry_at(e, h)->next)
        if (entry_at(e, h)->flags & ENTRY_MAC &&
            mapping_find(
                e, entry_at(e, h)->vni, &entry_at(e, h)->mac, NULL, NULL, NULL))
            return true;
    return false;
}

void
txn_told(struct edge *e, uint32_t h)
{
    struct att *a = att_at(e, h);
    if (!a->untold)
        return;
    a->untold = 0;
    timers_clear(&e->timers, &a->hold); /* another claim may follow at once */
    att_move(e, h);
}

void
txn_begin(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    const struct plan *plan = &plans[x->action];
    x->phase = TXN_INSTALL;
    txn_told(e, x->att); /* it speaks again: it has its answer */
    att_at(e, x->att)->untold = comes_untold(e, x);
    if (x->from == ATT_TERM) {
        att_tombs(e, x->att);
        att_link(e, x->att, false);
    }
    if (x->action == ATT_DO_TERMINATE)
        att_end_entries(e, x->att, txn);
    begin_move(e, txn);
    for (uint32_t h = list_of(e, x); plan->install && h; h = entry_at(e, h)->next) {
        entry_install(e, h, plan->active, txn);
        if (plan->claim && entry_at(e, h)->flags & ENTRY_MAC)
            claim(e, txn, h);
        if (x->event == ATT_EV_IMMIG_SUSP)
            entry_move(e, h);
    }
    if (plan->install)
        learn_active(e, x->att, plan->active, txn);
    txn_advance(e, txn);
}

/* ---- taking it back ---- */

static uint8_t
undo_event(uint8_t from)
{
    switch ((enum att_state)from) {
    case ATT_PREASSOC:
        return ATT_EV_UNDO_PREASSOC;
    case ATT_ASSOC:
        return ATT_EV_UNDO_ASSOC;
    case ATT_SUSP:
        return ATT_EV_UNDO_SUSP;
    case ATT_EMIG:
        return ATT_EV_UNDO_EMIG;
    case ATT_IMMIG:
        return ATT_EV_UNDO_IMMIG;
    case ATT_NULL:
    case ATT_TERM:
    case ATT_N_STATES:
        break;
    }
    return ATT_EV_UNDO_NULL;
}

/* A number that was refused does not stay with what it was claimed over: that has its
 * own again. Asking for another instead would be a claim that nobody made (K3). */
static bool
number_back(struct edge *e, const struct txn *x, uint32_t h)
{
    struct entry *n = entry_at(e, h);
    if (!entry_resident(e, h) || mapping_epoch(e, n->vni, &n->mac) != x->epoch)
        return false;
    for (uint32_t i = 0; i < x->n_held; i++) {
        const struct held *was = &x->held[i];
        if (was->entry != h)
            continue;
        mapping_local_back(e, n->vni, &n->mac, h, was->epoch, was->migration_id);
        if (was->want)
            n->flags |= ENTRY_WANT;
        return true;
    }
    return false;
}

/* Whoever had the residence has it again: the old list, the VSI's other port, or
 * another NVE, of whom nothing is known here any more and who is asked for. */
static void
give_back(struct edge *e, const struct txn *x, uint32_t h)
{
    const struct entry *n = entry_at(e, h);
    if (!(n->flags & ENTRY_MAC) || !entry_resident(e, h))
        return;
    for (uint32_t t = entry_first(e, n->vni, &n->mac); t; t = entry_next(e, t)) {
        struct entry *o = entry_at(e, t);
        if (t == h || !(o->flags & ENTRY_LOCAL))
            continue;
        if (n->flags & ENTRY_WANT)
            o->flags |= ENTRY_WANT;
        entry_claim(e, t, 0, 0, 0);
        number_back(e, x, t);
        entry_move(e, t);
        entry_publish(e, t, false);
        return;
    }
    /* Its number is nobody's, and no reason to refuse an older one. */
    if (x->reg_status)
        mapping_local_back(e, n->vni, &n->mac, h, 0, 0);
    if (!(n->flags & ENTRY_TOOK) || !e->session_up)
        return;
    entry_ask(e, h);
}

static void
undo(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    struct att *a = att_at(e, x->att);
    bool active = x->from == ATT_ASSOC;
    /* The journal may hold the new record, or write it later when its disk has room
     * again; and its tombstone went when the request began. */
    bool tell = x->phase == TXN_JOURNAL || x->from == ATT_TERM;
    uint8_t action;
    x->phase = TXN_QUEUED; /* nothing of it counts any more */
    att_step(e, x->att, undo_event(x->from), &action);
    a->prev = x->from_prev;
    a->flags = x->from_flags;
    a->untold = 0;
    if (plans[x->action].reserve) {
        a->epoch = x->from_epoch;
        a->migration_id = x->from_migration_id;
    }
    for (uint32_t h = x->staged, next; h; h = next) {
        next = entry_at(e, h)->next;
        give_back(e, x, h);
        entry_end(e, h, false, 0);
        entry_free(e, h);
    }
    x->staged = 0;
    for (uint32_t h = a->entries; h; h = entry_at(e, h)->next) {
        entry_at(e, h)->flags &= (uint16_t)~ENTRY_WAITED;
        if (!x->replace && plans[x->action].reserve && x->from != ATT_IMMIG)
            entry_unreserve(e, h);
        if (!x->replace && entry_at(e, h)->flags & ENTRY_FRESH) {
            give_back(e, x, h);
            entry_withdraw(e, h, false);
        } else if (!x->replace && number_back(e, x, h)) {
            entry_publish(e, h, true);
        }
        entry_install(e, h, active, 0);
    }
    att_move(e, x->att);
    learn_check(e, x->att);
    learn_active(e, x->att, active, 0);
    if (tell)
        att_journal(e, x->att, 0);
}

/* Which address another VSI has, and where (K18). */
static void
taken_text(const struct edge *e, const struct txn *x, char *text, size_t size)
{
    const struct entry *n = entry_at(e, x->taken);
    char mac[MAC_STR], ip[IP_STR];
    snprintf(text, size, "%s in VN %u is another VSI's or frozen, at NVE %s",
        mac_str(&n->mac, mac), n->vni, ip_str(&x->holder, ip));
}

static void
txn_fail(struct edge *e, uint32_t txn, int status)
{
    struct txn *x = txn_at(e, txn);
    bool pausing = x->action == ATT_DO_INACTIVATE || x->action == ATT_DO_EMIGRATE;
    uint8_t code = pausing ? TNS_BUSY : TNS_NO_RESOURCES;
    const char *reason = "the data plane or the journal refused";
    char taken[TNS_REASON_SIZE];
    if (status == -ESTALE) {
        code = TNS_MOVED;
        reason = "a newer owner is known";
    } else if (status == -EEXIST) {
        code = TNS_CONFLICT;
        reason = "another migration has the same epoch";
        edge_count(e, EDGEC_CONFLICTS);
    } else if (status == -EADDRINUSE) {
        code = TNS_CONFLICT;
        reason = taken;
        taken_text(e, x, taken, sizeof taken);
        edge_count(e, EDGEC_CONFLICTS);
    } else if (status == -EACCES) {
        code = TNS_NOT_AUTHORISED;
        reason = "the authority refused";
    } else if (status == -ENOENT) {
        code = TNS_UNKNOWN_VN;
        reason = "the authority knows no such virtual network";
    } else if (status == -ENOSPC) {
        code = TNS_NO_RESOURCES;
        reason = "a table is full";
    }
    undo(e, txn);
    if (status == -ESTALE || status == -EEXIST) /* its number is spent (F4) */
        att_at(e, x->att)->flags &= (uint8_t)~ATT_GRANTED;
    att_answer(e, txn, code, reason);
    txn_end(e, txn);
}

/* ---- publishing ---- */

static void
reserve(struct edge *e, uint32_t txn, uint32_t h)
{
    struct txn *x = txn_at(e, txn);
    struct entry *n = entry_at(e, h);
    struct att *a = att_at(e, x->att);
    uint64_t known = mapping_epoch(e, n->vni, &n->mac);
    if (x->rq.has_epoch && x->rq.epoch > known)
        known = x->rq.epoch;
    if (!e->conf.authority) {
        if (a->epoch <= known) {
            a->epoch = known + 1;
            a->migration_id = att_nonce(e);
        }
        return;
    }
    if (a->epoch <= known)
        a->epoch = known; /* the least it may become, should nobody answer */
    n->flags |= ENTRY_WAITED;
    x->n_reg++;
    if (!e->session_up)
        return;
    n->unsure = 1;
    entry_reserve(e, h, known, x->rq.migration_id);
}

static void
publish_all(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    const struct plan *plan = &plans[x->action];
    x->phase = TXN_PUBLISH;
    for (uint32_t h = list_of(e, x); h; h = entry_at(e, h)->next) {
        struct entry *n = entry_at(e, h);
        if (!(n->flags & ENTRY_MAC))
            continue;
        if (plan->reserve)
            reserve(e, txn, h);
        if (!plan->claim)
            continue;
        entry_publish(e, h, false);
        /* Another claim came while the data plane worked. */
        if (!entry_resident(e, h)) {
            x->reg_status = -ESTALE;
            continue;
        }
        if (!(n->flags & ENTRY_PUBLISHED)) {
            n->flags |= ENTRY_WAITED;
            x->n_reg++;
        }
    }
    if (x->n_reg)
        timers_set(&e->timers, &x->timer, e->now_us + edge_set(e, SET_PUBLISH_US),
            TIMER_TXN, txn);
}

/* T_publish (K17): the answer goes without the authority, which hears of it later. A
 * reservation that nobody granted is counted from what is known (E5), and somebody
 * should look. */
void
txn_timer(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    struct att *a = att_at(e, x->att);
    if (x->phase == TXN_REMOTE) {
        txn_remote_end(e, txn);
        return;
    }
    for (uint32_t h = list_of(e, x); h; h = entry_at(e, h)->next) {
        struct entry *n = entry_at(e, h);
        n->flags &= (uint16_t)~ENTRY_WAITED;
    }
    if (plans[x->action].reserve) {
        a->epoch++;
        a->migration_id = att_nonce(e);
        log_warn("attach",
            "port=%u the authority reserved no epoch in time, taking %llu", a->port,
            (unsigned long long)a->epoch);
    }
    x->unpublished = 1;
    x->n_reg = 0;
    edge_count(e, EDGEC_UNPUBLISHED);
    txn_advance(e, txn);
}

/* ---- the end ---- */

static void
remember(struct att *a, const struct txn *x)
{
    a->cookie = x->rq.cookie;
    a->berth = x->rq.berth_station;
    uint64_t ms = x->rq.idle_us / 1000;
    if (x->rq.idle_us)
        a->idle_ms = ms > UINT32_MAX ? UINT32_MAX : ms ? (uint32_t)ms : 1;
    /* A request without entries repeats none: what it would be compared with stays. */
    if (x->rq.n_entries) {
        a->op = x->rq.op;
        a->profile = x->rq.profile;
    }
}

static void
flags_after(struct att *a, const struct txn *x)
{
    const struct plan *plan = &plans[x->action];
    if (x->action == ATT_DO_ARM) {
        a->flags |= ATT_ARMED;
        return;
    }
    a->flags &= (uint8_t)~ATT_MOVES;
    if (x->event == ATT_EV_IMMIG_SUSP)
        a->flags |= ATT_AWAIT;
    if (x->action == ATT_DO_WAS_SUSP)
        a->prev = ATT_SUSP;
    if (x->action == ATT_DO_EMIGRATE)
        a->prev = x->from;
    if (plan->claim || plan->reserve || x->from == ATT_TERM)
        a->flags &= (uint8_t) ~(ATT_LOST | ATT_GRANTED | ATT_GUESS);
    if (plan->reserve) /* a guess is no claim: that asks again (E5) */
        a->flags |= x->unpublished ? ATT_GUESS : ATT_GRANTED;
    if (plan->claim || a->state == ATT_PREASSOC)
        a->flags &= (uint8_t) ~(ATT_DOWN | ATT_DOWN_ACTIVE | ATT_GRANTED);
}

static void
swap_lists(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    struct att *a = att_at(e, x->att);
    uint32_t old = a->entries;
    a->entries = x->staged;
    a->n_entries = (uint16_t)x->n_staged;
    x->staged = 0;
    for (uint32_t h = old, next; h; h = next) {
        next = entry_at(e, h)->next;
        entry_end(e, h, false, 0);
        entry_free(e, h);
    }
    learn_check(e, x->att);
}

/* Who stood here before with the same MAC has lost it now: the VSI's other port (K1),
 * or a VSI that was told so long ago. */
static void
oust(struct edge *e, uint32_t att)
{
    uint32_t losers[TNS_ENTRIES_MAX], n_losers = 0;
    for (uint32_t h = att_at(e, att)->entries; h; h = entry_at(e, h)->next) {
        const struct entry *n = entry_at(e, h);
        if (!(n->flags & ENTRY_LOCAL))
            continue;
        for (uint32_t t = entry_first(e, n->vni, &n->mac); t; t = entry_next(e, t))
            if (entry_at(e, t)->att != att && entry_at(e, t)->flags & ENTRY_LOCAL &&
                n_losers < TNS_ENTRIES_MAX)
                losers[n_losers++] = t;
    }
    for (uint32_t i = 0; i < n_losers; i++)
        attach_lost(e, losers[i]);
}

static void
commit(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    struct att *a = att_at(e, x->att);
    const struct plan *plan = &plans[x->action];
    if (x->replace)
        swap_lists(e, txn);
    for (uint32_t h = a->entries; h; h = entry_at(e, h)->next) {
        struct entry *n = entry_at(e, h);
        struct mapping_rec rec;
        uint32_t holder = 0;
        n->flags &= (uint16_t) ~(ENTRY_FRESH | ENTRY_TOOK);
        if (plan->claim && n->flags & ENTRY_LOCAL && !(n->flags & ENTRY_WANT) &&
            mapping_find(e, n->vni, &n->mac, NULL, &rec, &holder) && holder == h &&
            rec.epoch >= a->epoch) { /* not that of a later claim at another port */
            a->epoch = rec.epoch;
            a->migration_id = rec.migration_id;
        }
        if (plan->reserve)
            n->flags &= (uint16_t)~ENTRY_TOMB; /* mapping forgot it before (D4) */
        else if (plan->claim)
            n->reserves = 0; /* the registration ends it, too */
        else if (a->state != ATT_IMMIG)
            entry_unreserve(e, h); /* its VM is not awaited any more */
    }
    att_move(e, x->att);
    remember(a, x);
    if (a->state != x->from)
        a->since_us = e->now_us;
    if (a->state == ATT_TERM)
        att_link(e, x->att, true);
    att_arm(e, x->att);
    if (plan->claim)
        oust(e, x->att);
}

void
txn_advance(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    if (x->phase == TXN_INSTALL) {
        if (x->n_dp)
            return;
        if (x->dp_status && x->action != ATT_DO_TERMINATE) {
            txn_fail(e, txn, x->dp_status);
            return;
        }
        publish_all(e, txn);
    }
    if (x->phase == TXN_PUBLISH) {
        if (x->n_reg)
            return;
        timers_clear(&e->timers, &x->timer);
        if (x->reg_status) {
            txn_fail(e, txn, x->reg_status);
            return;
        }
        x->phase = TXN_JOURNAL;
        flags_after(att_at(e, x->att), x);
        x->journal = edge_ticket(e, TICKET_ATT_JOURNAL, txn);
        att_journal(e, x->att, x->journal);
    }
}

/* ---- the far ends (K6 REMOTE) ---- */

static bool
all_confirmed(const struct edge *e, const struct att *a)
{
    for (uint32_t h = a->entries; h; h = entry_at(e, h)->next) {
        const struct entry *n = entry_at(e, h);
        if (n->flags & ENTRY_LOCAL && !n->confirmed)
            return false;
    }
    return true;
}

bool
txn_waits_remote(const struct edge *e, uint32_t txn)
{
    return txn && txn_at(e, txn)->phase == TXN_REMOTE;
}

/* Everything stands here and is in the journal. What waits now is the answer alone: the
 * next request, or anything else that concerns the VSI, ends it. */
void
txn_done(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    if (!x->rq.confirm || x->queued || !e->conf.authority ||
        all_confirmed(e, att_at(e, x->att))) {
        txn_remote_end(e, txn);
        return;
    }
    x->phase = TXN_REMOTE;
    if (!x->copy)
        x->rq.entries = NULL; /* they live only as long as the call */
    timers_set(
        &e->timers, &x->timer, e->now_us + edge_set(e, SET_CONFIRM_US), TIMER_TXN, txn);
}

void
txn_remote_end(struct edge *e, uint32_t txn)
{
    struct att *a = att_at(e, txn_at(e, txn)->att);
    if (a->untold)
        timers_set(
            &e->timers, &a->hold, e->now_us + TOLD_US, TIMER_HOLD, txn_at(e, txn)->att);
    att_answer(e, txn, TNS_OK, "");
    txn_end(e, txn);
}

/* It speaks of what was published last: an older one names another epoch, or comes
 * before the acknowledgement that sets PUBLISHED. */
void
attach_confirmed(struct edge *e, uint32_t vni, const struct mac *mac, uint64_t epoch)
{
    struct mapping_rec rec;
    uint32_t h = 0;
    if (!mapping_find(e, vni, mac, NULL, &rec, &h) || h == 0 || rec.epoch != epoch ||
        !(entry_at(e, h)->flags & ENTRY_PUBLISHED))
        return;
    entry_at(e, h)->confirmed = 1;
    const struct att *a = att_at(e, entry_at(e, h)->att);
    if (txn_waits_remote(e, a->txn) && all_confirmed(e, a))
        txn_remote_end(e, a->txn);
}

void
attach_dp_sent(struct edge *e, uint32_t txn)
{
    txn_at(e, txn)->n_dp++;
}

void
attach_done(struct edge *e, const struct ticket *t, int status)
{
    struct txn *x = txn_at(e, t->ref);
    if (t->kind == TICKET_ATT_DP) {
        x->n_dp--;
        if (status) {
            edge_count(e, EDGEC_DP_ERRORS);
            fail_with(x, status);
        }
        if (x->att == 0 && x->n_dp == 0)
            pool_put(&e->att->txns, t->ref);
        else if (x->att && x->phase == TXN_INSTALL)
            txn_advance(e, t->ref);
        return;
    }
    if (status && x->action != ATT_DO_TERMINATE) {
        log_err("attach", "the journal refused a record: error %d", -status);
        txn_fail(e, t->ref, -EIO);
        return;
    }
    commit(e, t->ref);
    txn_done(e, t->ref);
}
