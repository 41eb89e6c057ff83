/* SPDX-License-Identifier: Apache-2.0 */
/* What an entry says to the authority, and what comes back: registrations, by number or
 * to be given one (K4), reservations, withdrawals (E4). Answers come late, twice or to
 * what stands no more; each number that was granted is kept all the same. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "core/attach_int.h"

void
entry_ask(struct edge *e, uint32_t h)
{
    const struct entry *n = entry_at(e, h);
    struct edge_out *o = edge_emit(e, EDGE_QUERY);
    o->u.query.vni = n->vni;
    o->u.query.mac = n->mac;
    edge_count(e, EDGEC_QUERIES);
}

/* No answer of the authority concerns it any more. */
void
entry_unsay(struct edge *e, uint32_t h)
{
    struct entry *n = entry_at(e, h);
    edge_ticket_drop(e, n->reg);
    edge_ticket_drop(e, n->claim);
    n->reg = n->claim = 0;
}

void
entry_withdraw(struct edge *e, uint32_t h, bool tomb)
{
    struct entry *n = entry_at(e, h);
    struct mapping_rec rec = {0};
    uint32_t holder = 0;
    bool known = mapping_find(e, n->vni, &n->mac, NULL, &rec, &holder);
    bool ours = known && holder == h;
    bool asked = n->reg || n->claim;
    n->flags &= (uint16_t) ~(ENTRY_LOCAL | ENTRY_FRESH | ENTRY_TOOK | ENTRY_PUBLISHED);
    entry_unsay(e, h);
    if (ours) {
        struct mapping_rec to;
        mapping_local_clear(e, n->vni, &n->mac, h, tomb);
        if (tomb)
            n->flags |= ENTRY_TOMB;
        /* Its VM is on its way: whoever sends goes on sending to us, and we to the
         * target (F20). Should that never publish, entry_tomb_end withdraws. */
        if (tomb && mapping_target(e, n->vni, &n->mac, &to)) {
            n->owed = 1;
            return;
        }
    } else if (holder) {
        return; /* somebody here took over: nothing to withdraw */
    } else {
        /* Another NVE has it, and mapping relays for us: attach ends that, or nobody.
         */
        if (tomb)
            n->flags |= ENTRY_TOMB;
        else
            mapping_tomb_clear(e, n->vni, &n->mac);
        if (!asked)
            return;
        rec = (struct mapping_rec){.vni = n->vni, .mac = n->mac, .owner = e->conf.vtep};
    }
    /* An earlier registration may stand, or one without answer have arrived: it is said
     * in any case, and harms nobody who has the key (E4). */
    if (e->conf.authority && e->session_up)
        edge_emit(e, EDGE_WITHDRAW)->u.reg.rec = rec;
}

void
entry_tomb_end(struct edge *e, uint32_t h)
{
    const struct entry *n = entry_at(e, h);
    if (!(n->flags & ENTRY_TOMB))
        return;
    entry_tomb_stays(e, h);
    mapping_tomb_clear(e, n->vni, &n->mac);
}

void
entry_tomb_stays(struct edge *e, uint32_t h)
{
    struct entry *n = entry_at(e, h);
    bool owed = n->owed && !mapping_find(e, n->vni, &n->mac, NULL, NULL, NULL);
    n->owed = 0;
    if (owed && e->conf.authority && e->session_up)
        edge_emit(e, EDGE_WITHDRAW)->u.reg.rec = (struct mapping_rec){.vni = n->vni,
            .mac = n->mac,
            .owner = e->conf.vtep,
            .epoch = mapping_epoch(e, n->vni, &n->mac)};
}

/* The same question (by its migration id) gets the same number. */
void
entry_reserve(struct edge *e, uint32_t h, uint64_t known, uint64_t migration_id)
{
    struct entry *n = entry_at(e, h);
    edge_ticket_drop(e, n->resv);
    n->resv = edge_ticket(e, TICKET_RESERVE, h);
    n->reserves = 1;
    struct edge_out *o = edge_emit(e, EDGE_RESERVE);
    o->id = n->resv;
    struct mapping_rec *rec = &o->u.reg.rec;
    *rec = (struct mapping_rec){.vni = n->vni,
        .mac = n->mac,
        .owner = e->conf.vtep,
        .epoch = known,
        .migration_id = migration_id,
        .vsi = vsiid_print(&att_at(e, n->att)->id),
        .n_ips = n->n_ips};
    memcpy(rec->ips, entry_ips(n), n->n_ips * sizeof *rec->ips);
    o->u.reg.want_epoch = 1;
}

/* The old NVE sends frames here, or will at the pause: it hears that it should not.
 * Where no session stands, the end of the next one's registrations says the same. */
void
entry_unreserve(struct edge *e, uint32_t h)
{
    struct entry *n = entry_at(e, h);
    if (!n->reserves)
        return;
    n->reserves = 0;
    for (uint32_t t = entry_first(e, n->vni, &n->mac); t; t = entry_next(e, t))
        if (entry_at(e, t)->reserves)
            return; /* another port of ours, or the list that replaces this one */
    if (e->conf.authority && e->session_up)
        edge_emit(e, EDGE_WITHDRAW)->u.reg.rec = (struct mapping_rec){.vni = n->vni,
            .mac = n->mac,
            .owner = e->conf.vtep,
            .epoch = EPOCH_RESERVED};
}

/* A claim that asks for its number counts on until it is answered, whatever is heard of
 * other NVEs meanwhile, and over the end of a session (K4, K17). One of another port
 * here is the later one. */
static void
claims_on(struct edge *e, uint32_t h)
{
    const struct entry *n = entry_at(e, h);
    const unsigned wants = ENTRY_LOCAL | ENTRY_WANT;
    uint8_t state = att_at(e, n->att)->state;
    uint32_t holder = 0;
    if ((n->flags & (wants | ENTRY_LEARNED)) != wants ||
        (state != ATT_ASSOC && state != ATT_SUSP))
        return;
    mapping_find(e, n->vni, &n->mac, NULL, NULL, &holder);
    if (holder == 0)
        entry_claim(e, h, 0, 0, 0);
}

/* E7: only what the data plane has; of a claim on its way there, what stood before (a
 * new session, a new address). Without an authority there is nobody to tell; without a
 * session attach_session does it when one is up. */
void
entry_publish(struct edge *e, uint32_t h, bool refresh)
{
    struct entry *n = entry_at(e, h);
    struct mapping_rec rec;
    uint32_t holder = 0;
    claims_on(e, h);
    if (!mapping_find(e, n->vni, &n->mac, NULL, &rec, &holder) || holder != h)
        return;
    if (!e->conf.authority) {
        n->flags |= ENTRY_PUBLISHED;
        n->flags &= (uint16_t)~ENTRY_WANT;
        return;
    }
    if (txn_comes(e, h))
        return; /* its request registers it, when the data plane has it */
    edge_ticket_drop(e, n->reg);
    n->reg = 0;
    n->flags &= (uint16_t)~ENTRY_PUBLISHED;
    n->confirmed = 0;
    if (!e->session_up)
        return;
    bool want = n->flags & ENTRY_WANT;
    const struct held *was = txn_before(e, h);
    if (was) {
        want = was->want;
        rec.epoch = was->epoch;
        rec.migration_id = was->migration_id;
    }
    if (want)
        rec.epoch--; /* what is known; ours is provisional until granted */
    if (!(n->flags & ENTRY_LEARNED)) /* frames are no proof of whose they are (K18) */
        rec.vsi = vsiid_print(&att_at(e, n->att)->id);
    uint32_t *ticket = want ? &n->claim : &n->reg;
    edge_ticket_drop(e, *ticket);
    *ticket = edge_ticket(e, TICKET_REGISTER, h);
    struct edge_out *o = edge_emit(e, EDGE_REGISTER);
    o->id = *ticket;
    o->u.reg.rec = rec;
    o->u.reg.want_epoch = want;
    o->u.reg.refresh = refresh && !want; /* what was never granted is a claim still */
}

/* The same to whoever asks us: a number of our own that was not granted, or that the
 * authority has not taken, may never be, and whoever took it for ours would keep it
 * against the older one of the owner. */
bool
attach_owns(const struct edge *e, uint32_t h, struct mapping_rec *rec)
{
    const struct entry *n = entry_at(e, h);
    const struct held *was = txn_before(e, h);
    if (was) {
        rec->epoch = was->epoch;
        rec->migration_id = was->migration_id;
        return !was->want;
    }
    return !txn_comes(e, h) && !(n->flags & ENTRY_WANT) && !n->unheard;
}

/* ---- what it answers ---- */

static bool
is_final(int status)
{
    return status == -ESTALE || status == -EEXIST || status == -EACCES ||
           status == -ENOENT || status == -ENOSPC || status == -EADDRINUSE;
}

/* A later claim of the same VSI at another port here waits for a number of its own. */
static bool
overtaken(const struct edge *e, uint32_t h)
{
    const struct entry *n = entry_at(e, h);
    uint32_t holder = 0;
    mapping_find(e, n->vni, &n->mac, NULL, NULL, &holder);
    return holder && holder != h && entry_at(e, holder)->flags & ENTRY_WANT;
}

/* The authority may have granted us more than we heard of: to an earlier claim here, or
 * before a crash. */
static bool
behind(const struct edge *e, uint32_t h, uint64_t epoch)
{
    const struct entry *n = entry_at(e, h);
    return entry_resident(e, h) && mapping_epoch(e, n->vni, &n->mac) < epoch;
}

/* The answer is to what stood before: the claim is still to ask for its number. */
static bool
said_again(const struct edge *e, uint32_t h)
{
    const struct held *was = txn_before(e, h);
    return was && !was->want;
}

/* Every number granted is kept, and told to the journal where no answer waits for it.
 */
static void
granted(struct edge *e, uint32_t h, bool claimed, uint64_t epoch, uint64_t migration_id)
{
    struct entry *n = entry_at(e, h);
    bool again = said_again(e, h);
    bool asked =
        !again && (n->flags & ENTRY_WANT || (claimed && !entry_resident(e, h)));
    bool want = asked && epoch && !overtaken(e, h);
    if (!again)
        n->unheard = 0;
    if (epoch && !again)
        n->flags &= (uint16_t)~ENTRY_WANT;
    bool back = want && !entry_resident(e, h);
    if (want || behind(e, h, epoch))
        entry_claim(e, h, epoch, migration_id, 0);
    n->flags |= ENTRY_PUBLISHED;
    /* Another NVE was heard of in between. What it knew of addresses stands with us by
     * now, but not in what we asked for (K1). */
    if (back && n->n_ips == 0 && entry_resident(e, h))
        entry_publish(e, h, true);
    struct att *a = att_at(e, n->att);
    if (epoch > a->epoch && !(n->flags & ENTRY_LEARNED)) {
        a->epoch = epoch;
        a->migration_id = migration_id;
    }
}

void
attach_registered(struct edge *e, const struct ticket *t, uint64_t epoch,
    uint64_t migration_id, int status)
{
    uint32_t h = t->ref;
    struct entry *n = entry_at(e, h);
    uint32_t att = n->att, txn = att_at(e, att)->txn;
    bool late = t->kind == TICKET_RESERVE && !txn_reserves(e, txn);
    bool claimed = t->id == n->claim;
    late |=
        claimed && !(n->flags & ENTRY_WANT); /* a number from elsewhere came since */
    bool waited = n->flags & ENTRY_WAITED && !late;
    if (t->kind == TICKET_RESERVE) {
        n->resv = 0;
        const struct att *had = att_at(e, att); /* said again, it is what we knew */
        bool news = !(had->flags & ATT_GRANTED) || epoch > had->epoch;
        n->unsure =
            late && status == 0 && news && epoch > mapping_epoch(e, n->vni, &n->mac);
    } else {
        if (claimed)
            n->claim = 0;
        else
            n->reg = 0;
        if (n->resv == 0 && n->flags & ENTRY_WANT && status == 0 && !said_again(e, h))
            n->unsure = 0; /* what is granted now is above it */
    }
    if (!late)
        n->flags &= (uint16_t)~ENTRY_WAITED;
    if (status == 0 && t->kind == TICKET_REGISTER) {
        granted(e, h, claimed, epoch, migration_id);
    } else if (status == 0) {
        struct att *a = att_at(e, att);
        if (epoch >= a->epoch) {
            a->epoch = epoch;
            a->migration_id = migration_id;
        }
    } else if (n->flags & ENTRY_LEARNED) {
        learn_drop(e, h);
        return;
    } else if (t->kind == TICKET_REGISTER && !(claimed && late) &&
               (!is_final(status) || !waited)) {
        /* Nobody waits for the answer any more, and somebody else owns it: what is
         * known of the newer owner is asked for, and ends ours when it comes (E3). */
        if (status ==
            -EEXIST) /* another migration's number: its owner is the newer one */
            mapping_local_back(
                e, n->vni, &n->mac, h, mapping_epoch(e, n->vni, &n->mac) - 1, 0);
        if (status == -ESTALE || status == -EADDRINUSE || status == -EEXIST)
            entry_ask(e, h);
        timers_set(&e->timers, &n->timer, e->now_us + edge_set(e, SET_RETRY_US),
            TIMER_ENTRY, h);
    }
    entry_claims(e, h);
    if (waited) {
        struct txn *x = txn_at(e, txn);
        if (is_final(status)) {
            if (x->reg_status == 0)
                x->reg_status = status;
        } else if (status) {
            n->flags |=
                ENTRY_WAITED; /* T_publish decides; it is tried again meanwhile */
            return;
        }
        x->n_reg--;
        txn_advance(e, txn);
        return;
    }
    if (t->kind != TICKET_REGISTER || (txn && !txn_waits_remote(e, txn)))
        return;
    if (status == 0)
        att_journal(e, att, 0);
    att_settle(e, att);
}

/* In answer to a claim or a reservation only another VSI can be in the way (K18); else
 * two migrations have one epoch (K4). */
void
attach_conflict(struct edge *e, const struct ticket *t, const struct ip *holder)
{
    const struct entry *n = entry_at(e, t->ref);
    if (n->flags & ENTRY_LEARNED) {
        entry_ask(e, t->ref);
        learn_refused(e, t->ref, holder);
        return;
    }
    if (t->kind == TICKET_REGISTER && t->id != n->claim) {
        attach_registered(e, t, 0, 0, -EEXIST);
        return;
    }
    if (n->flags & ENTRY_WAITED) {
        struct txn *x = txn_at(e, att_at(e, n->att)->txn);
        x->holder = *holder;
        x->taken = t->ref;
    } else {
        char mac[MAC_STR], ip[IP_STR];
        edge_count(e, EDGEC_CONFLICTS);
        log_warn("attach",
            "vni=%u mac=%s not published: another VSI's or frozen, at NVE %s", n->vni,
            mac_str(&n->mac, mac), ip_str(holder, ip));
    }
    attach_registered(e, t, 0, 0, -EADDRINUSE);
}
