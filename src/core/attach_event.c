/* SPDX-License-Identifier: Apache-2.0 */
/* Events from inside: timers, a newer owner, ports, virtual networks. What a row does
 * is done at once. Those that meet a request under way wait for its end: att_settle
 * then looks at how things stand, so nothing has to be queued for them. */
#include "core/attach.h"

#include <string.h>

#include "base/log.h"
#include "core/attach_int.h"

static void
age_out(struct edge *e, uint32_t h, uint8_t event)
{
    struct att *a = att_at(e, h);
    if (event == ATT_EV_TIMER)
        edge_count(e, EDGEC_AGED);
    att_notice(e, h, NOTICE_DISSOCIATED,
        event == ATT_EV_TIMER ? "aged out" : "its port or virtual network is gone");
    att_end_entries(e, h, 0);
    a->since_us = e->now_us;
    a->flags = 0;
    att_link(e, h, true);
    att_arm(e, h);
    att_journal(e, h, 0);
    if (a->n_entries == 0 && e->att->ending != h) /* else txn_end does it */
        att_event(e, h, ATT_EV_TIMER);
}

/* To another NVE: a claim on its way, or that has no session to go by, may come back
 * with a newer number than what was heard meanwhile. To another port here: what came
 * later has it, once it is through (K18), and until then may be taken back. */
static bool
lost_one(const struct edge *e, uint32_t h)
{
    const struct entry *n = entry_at(e, h);
    uint32_t holder = 0;
    if (!(n->flags & ENTRY_LOCAL))
        return false;
    mapping_find(e, n->vni, &n->mac, NULL, NULL, &holder);
    if (holder)
        return holder != h && !(entry_at(e, holder)->flags & ENTRY_FRESH);
    bool wants = n->flags & ENTRY_WANT;
    return !(n->claim || (wants && !e->session_up));
}

/* Implicit emigration (E3). Where the newer owner is another NVE, mapping relays (D1).
 */
static void
lose(struct edge *e, uint32_t h, uint8_t was)
{
    struct att *a = att_at(e, h);
    bool news = !(a->flags & ATT_LOST);
    for (uint32_t n = a->entries; n; n = entry_at(e, n)->next) {
        struct entry *t = entry_at(e, n);
        uint32_t holder = 0;
        if (!lost_one(e, n))
            continue;
        mapping_find(e, t->vni, &t->mac, NULL, NULL, &holder);
        t->flags &= (uint16_t) ~(ENTRY_LOCAL | ENTRY_PUBLISHED | ENTRY_WANT);
        entry_unsay(e, n);
        if (holder == 0 && mapping_tomb(e, t->vni, &t->mac))
            t->flags |= ENTRY_TOMB;
    }
    a->flags |= ATT_LOST;
    a->flags &= (uint8_t) ~(ATT_MOVES | ATT_DOWN | ATT_DOWN_ACTIVE);
    if (was != ATT_EMIG) {
        a->prev = was;
        a->since_us = e->now_us;
        att_inactive(e, h, 0);
        att_arm(e, h);
    }
    att_move(e, h);
    if (news)
        edge_count(e, EDGEC_MOVED_AWAY);
    if (news && !a->txn) /* else its own station says so */
        att_notice(e, h, NOTICE_MOVED, "a newer owner is known");
    att_journal(e, h, 0);
}

/* Carrier is gone: nothing passes, nobody is told to send here; tags stay (K9). */
static void
port_down(struct edge *e, uint32_t h, uint8_t was)
{
    struct att *a = att_at(e, h);
    a->flags |= ATT_DOWN | (was == ATT_ASSOC ? ATT_DOWN_ACTIVE : 0);
    att_inactive(e, h, 0);
    for (uint32_t n = a->entries; n; n = entry_at(e, n)->next)
        if (entry_at(e, n)->flags & ENTRY_LOCAL)
            entry_withdraw(e, n, false);
    for (uint32_t n = a->learned, next; n; n = next) {
        next = entry_at(e, n)->next;
        learn_drop(e, n);
    }
    att_arm(e, h);
    att_journal(e, h, 0);
}

/* Back with the same epoch (E6): whoever took the VM meanwhile has a newer one. */
static void
port_up(struct edge *e, uint32_t h)
{
    struct att *a = att_at(e, h);
    a->flags &= (uint8_t) ~(ATT_DOWN | ATT_DOWN_ACTIVE);
    for (uint32_t n = a->entries; n; n = entry_at(e, n)->next) {
        struct entry *t = entry_at(e, n);
        entry_install(e, n, a->state == ATT_ASSOC, 0);
        if (!(t->flags & ENTRY_MAC))
            continue;
        /* Another port here claimed it meanwhile, with a number that may yet come. */
        uint32_t holder = 0;
        mapping_find(e, t->vni, &t->mac, NULL, NULL, &holder);
        enum mapping_verdict v =
            holder ? MAPPING_STALE : entry_claim(e, n, a->epoch, a->migration_id, 0);
        t->flags &= (uint16_t) ~(ENTRY_FRESH | ENTRY_TOOK);
        if (v == MAPPING_STALE || v == MAPPING_CONFLICT)
            t->flags |= ENTRY_LOCAL; /* att_settle finds that it is not resident */
        else
            entry_publish(e, n, true);
    }
    att_move(e, h);
    att_arm(e, h);
    att_journal(e, h, 0);
}

void
att_event(struct edge *e, uint32_t h, uint8_t event)
{
    struct att *a = att_at(e, h);
    uint8_t was = a->state, action;
    if (!att_step(e, h, event, &action))
        return;
    switch ((enum att_action)action) {
    case ATT_DO_AGE_OUT:
        age_out(e, h, event);
        break;
    case ATT_DO_FORGET:
        att_forget(e, h);
        break;
    case ATT_DO_LOSE:
        lose(e, h, was);
        break;
    case ATT_DO_NOTIFY:
        att_notice(e, h, NOTICE_LOCAL_CHANGE, "the virtual network has changed");
        break;
    case ATT_DO_PORT_DOWN:
        port_down(e, h, was);
        break;
    case ATT_DO_PORT_UP:
        port_up(e, h);
        break;
    case ATT_DO_NOTHING:
    case ATT_DO_OK:
    case ATT_DO_REFUSE_STATE:
    case ATT_DO_REFUSE_NO_STATE:
    case ATT_DO_REFUSE_MOVED:
    case ATT_DO_REFRESH:
    case ATT_DO_ARM:
    case ATT_DO_PREPARE:
    case ATT_DO_PREPARE_EPOCH:
    case ATT_DO_CLAIM:
    case ATT_DO_COMPARE:
    case ATT_DO_RAISE:
    case ATT_DO_CLAIM_SUSP:
    case ATT_DO_ROLLBACK_PRE:
    case ATT_DO_INACTIVATE:
    case ATT_DO_EMIGRATE:
    case ATT_DO_WAS_SUSP:
    case ATT_DO_TERMINATE:
    case ATT_DO_UNDO:
    case ATT_N_ACTIONS:
        break;
    }
}

static bool
lost_any(const struct edge *e, const struct att *a)
{
    for (uint32_t n = a->entries; n; n = entry_at(e, n)->next)
        if (lost_one(e, n))
            return true;
    return false;
}

static bool
vn_gone_any(const struct edge *e, const struct att *a)
{
    for (uint32_t n = a->entries; n; n = entry_at(e, n)->next) {
        uint32_t vn = vn_find(e, entry_at(e, n)->vni);
        if (vn && vn_at(e, vn)->deleted)
            return true;
    }
    return false;
}

/* What came in while a request was under way, or comes now: how things stand decides.
 */
void
att_settle(struct edge *e, uint32_t h)
{
    struct att *a = att_at(e, h);
    const struct edge_port *p = edge_port_at(e, a->port);
    if (a->txn || a->state == ATT_NULL || a->state == ATT_TERM)
        return;
    for (uint32_t n = a->learned, next; n; n = next) {
        next = entry_at(e, n)->next;
        if (entry_at(e, n)->flags & ENTRY_LOCAL && !entry_resident(e, n))
            learn_drop(e, n);
    }
    if (vn_gone_any(e, a)) {
        att_event(e, h, ATT_EV_GONE);
        return;
    }
    if (lost_any(e, a))
        att_event(e, h, ATT_EV_NEWER);
    bool placed = a->state == ATT_ASSOC || a->state == ATT_SUSP;
    if (placed && p->down && !(a->flags & ATT_DOWN)) {
        att_event(e, h, ATT_EV_PORT_DOWN);
    } else if (a->state == ATT_SUSP && !p->down && a->flags & ATT_DOWN) {
        att_event(e, h, a->flags & ATT_DOWN_ACTIVE ? ATT_EV_PORT_BACK : ATT_EV_PORT_UP);
        if (lost_any(e, a))
            att_event(e, h, ATT_EV_NEWER);
    }
}

void
att_shaken(struct edge *e, uint32_t h)
{
    uint32_t txn = att_at(e, h)->txn;
    if (txn_waits_remote(e, txn))
        txn_remote_end(e, txn); /* settles */
    else
        att_settle(e, h);
}

/* ---- events ---- */

/* The tag is in use where the answer came. Or no pause came: nobody may be there any
 * more who would say so. It stays armed. */
static void
hold_end(struct edge *e, uint32_t h)
{
    struct att *a = att_at(e, h);
    if (a->untold) {
        txn_told(e, h);
        return;
    }
    if (!(a->flags & ATT_HOLD))
        return;
    if (a->txn) {
        att_arm_hold(e, h);
        return;
    }
    log_warn("attach", "port=%u no pause followed, frames go to the VM again", a->port);
    a->flags &= (uint8_t)~ATT_HOLD;
    a->flags |= ATT_ARMED;
    att_move(e, h);
    att_journal(e, h, 0);
}

void
attach_timer(struct edge *e, uint32_t kind, uint32_t ref)
{
    if (kind == TIMER_HOLD) {
        hold_end(e, ref);
    } else if (kind == TIMER_TXN) {
        txn_timer(e, ref);
    } else if (kind == TIMER_ENTRY) {
        if (entry_at(e, ref)->flags & ENTRY_LEARNED)
            learn_timer(e, ref);
        else
            entry_publish(e, ref, false);
    } else if (att_at(e, ref)->txn) {
        att_arm(e, ref); /* a request under way is a sign of life */
    } else {
        att_event(e, ref, ATT_EV_TIMER);
    }
}

void
attach_lost(struct edge *e, uint32_t entry)
{
    att_shaken(e, entry_at(e, entry)->att);
}

void
attach_target(struct edge *e, uint32_t vni, const struct mac *mac)
{
    uint32_t h = 0;
    if (mapping_find(e, vni, mac, NULL, NULL, &h) && h) {
        uint32_t att = entry_at(e, h)->att, txn = att_at(e, att)->txn;
        if (!txn || txn_at(e, txn)->phase >= TXN_JOURNAL)
            att_journal(e, att, 0); /* else that of the request says it */
        return;
    }
    struct mapping_rec to;
    if (mapping_target(e, vni, mac, &to))
        return;
    for (h = entry_first(e, vni, mac); h; h = entry_next(e, h))
        if (entry_at(e, h)->flags & ENTRY_TOMB && entry_at(e, h)->owed) {
            entry_tomb_stays(e, h); /* nobody is to come to it */
            att_journal(e, entry_at(e, h)->att, 0);
        }
}

void
attach_vn_answer(struct edge *e, uint32_t txn)
{
    request_start(e, txn);
}

/* Walks that end or change attachments collect first: an event may free them. */
static void
for_all(struct edge *e, uint32_t vni, uint8_t event)
{
    uint32_t n = e->att->by_id.n, *all = mem_alloc((n + 1) * sizeof *all), k = 0;
    for (uint32_t it = 0, h; (h = map_each(&e->att->by_id, &it));)
        all[k++] = h;
    for (uint32_t i = 0; i < k; i++) {
        bool in = false;
        for (uint32_t t = att_at(e, all[i])->entries; t; t = entry_at(e, t)->next)
            in |= entry_at(e, t)->vni == vni;
        if (!in)
            continue;
        if (event == ATT_EV_GONE)
            att_shaken(e, all[i]);
        else
            att_event(e, all[i], event);
    }
    mem_free(all);
}

void
attach_vn_changed(struct edge *e, uint32_t vni, bool deleted)
{
    for_all(e, vni, deleted ? ATT_EV_GONE : ATT_EV_LOCAL_CHANGE);
}

void
attach_port_down(struct edge *e, struct edge_port *p, bool down)
{
    p->down = down;
    for (uint32_t h = p->atts, next; h; h = next) {
        next = att_at(e, h)->list_next;
        att_shaken(e, h);
    }
}

void
attach_port_gone(struct edge *e, struct edge_port *p)
{
    while (p->atts) {
        uint32_t h = p->atts;
        struct att *a = att_at(e, h);
        for (uint32_t x = a->txn, next; x; x = next) {
            next = txn_at(e, x)->queued;
            txn_orphan(e, x);
        }
        a->txn = 0;
        if (a->state == ATT_NULL)
            att_free(e, h);
        else
            att_event(e, h, ATT_EV_GONE);
    }
    for (uint32_t h = e->att->term_head, next; h; h = next) {
        next = att_at(e, h)->list_next;
        if (att_at(e, h)->port == p->number)
            att_event(e, h, ATT_EV_TIMER);
    }
}
