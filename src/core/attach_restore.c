/* SPDX-License-Identifier: Apache-2.0 */
/* Attachments to the journal and back (K7, K15), the walks of a restart and of a
 * session that came back, and the views for people. While the journal is read, the
 * tables are made by the same functions as ever with e->quiet set; then everything is
 * said once. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "core/attach_int.h"

static uint16_t
fill_list(const struct edge *e, const struct att *a, uint32_t list,
    struct record_entry *to, uint16_t n)
{
    for (uint32_t h = list; h && n < RECORD_ENTRIES_MAX; h = entry_at(e, h)->next) {
        const struct entry *f = entry_at(e, h);
        struct record_entry *r = &to[n++];
        struct mapping_rec rec;
        r->vni = f->vni;
        r->mac = f->mac;
        r->vid = f->vid;
        r->flags = (uint8_t)(f->flags & ENTRY_KEPT) |
                   (f->flags & ENTRY_WANT ? RECORD_ENTRY_WANT : 0);
        /* Who waits for the VM here ended it before the request is through (D4); what
         * is reserved since is no number that we ever had. */
        if (!mapping_tomb(e, f->vni, &f->mac))
            r->flags &= (uint8_t)~ENTRY_TOMB;
        r->pcp = f->pcp;
        r->n_ips = f->n_ips;
        r->low_trust = 0;
        memcpy(r->ips, entry_ips(f), f->n_ips * sizeof *r->ips);
        r->epoch = r->migration_id = 0;
        if (r->flags & ENTRY_TOMB) {
            r->epoch = a->epoch ? a->epoch : 1; /* ours, not the newer one (D1) */
        } else if (f->flags & ENTRY_LOCAL &&
                   mapping_find(e, f->vni, &f->mac, NULL, &rec, NULL)) {
            r->epoch = rec.epoch;
            r->migration_id = rec.migration_id;
            r->n_ips = rec.n_ips;
            r->low_trust = rec.low_trust;
            memcpy(r->ips, rec.ips, rec.n_ips * sizeof *r->ips);
        }
        if (r->epoch && mapping_target(e, f->vni, &f->mac, &rec)) {
            r->flags |= RECORD_ENTRY_TARGET;
            r->target = rec.owner;
            r->target_epoch = rec.epoch;
            r->target_migration_id = rec.migration_id;
        }
    }
    return n;
}

void
att_journal(struct edge *e, uint32_t h, uint32_t ticket)
{
    const struct att *a = att_at(e, h);
    const struct txn *x = a->txn ? txn_at(e, a->txn) : NULL;
    struct record_entry entries[RECORD_ENTRIES_MAX];
    uint8_t key[RECORD_KEY_MAX], bytes[RECORD_SIZE_MAX];
    uint16_t key_size = record_attachment_key(a->port, &a->id, key), size = 0;
    if (x && x->phase != TXN_JOURNAL)
        x = NULL;
    uint32_t list = x && x->replace ? x->staged : a->entries;
    if (a->state != ATT_NULL && (a->state != ATT_TERM || list)) {
        struct record_attachment r = {.id = a->id,
            .port = a->port,
            .cookie = a->cookie,
            .state = a->state,
            .prev = a->prev,
            .flags = a->flags,
            .op = a->op,
            .epoch = a->epoch,
            .migration_id = a->migration_id,
            .idle_us = (uint64_t)a->idle_ms * 1000,
            .profile = a->profile,
            .entries = entries};
        if (x) {
            r.cookie = x->rq.cookie;
            if (x->rq.idle_us)
                r.idle_us = x->rq.idle_us;
        }
        if (x && x->rq.n_entries) {
            r.op = x->rq.op;
            r.profile = x->rq.profile;
        }
        r.n_entries = fill_list(e, a, list, entries, 0);
        if (a->state != ATT_TERM)
            r.n_entries = fill_list(e, a, a->learned, entries, r.n_entries);
        for (uint16_t i = 0; i < r.n_entries; i++)
            if (!(entries[i].flags & ENTRY_LEARNED) && entries[i].epoch > r.epoch) {
                r.epoch = entries[i].epoch;
                r.migration_id = entries[i].migration_id;
            }
        size = record_attachment_encode(&r, bytes, sizeof bytes);
    }
    edge_journal(e, ticket, RECORD_ATTACHMENT, key, key_size, bytes, size);
}

/* ---- back ---- */

static void
restore_target(struct edge *e, const struct record_entry *r)
{
    struct mapping_rec rec = {.vni = r->vni,
        .mac = r->mac,
        .owner = r->target,
        .epoch = r->target_epoch,
        .migration_id = r->target_migration_id};
    if (r->flags & RECORD_ENTRY_TARGET)
        mapping_reserved(e, &rec, false);
}

static const char *
restore_entry(
    struct edge *e, uint32_t att, const struct record_entry *r, uint32_t *tail)
{
    struct att *a = att_at(e, att);
    const struct edge_port *p = edge_port_at(e, a->port);
    /* The configuration may be another one now (K9). */
    if (a->state != ATT_TERM && !authz_may_join(&p->authz, r->vni))
        return "its port may no longer join the virtual network";
    if (a->state != ATT_TERM && r->flags & ENTRY_UNTAGGED &&
        (p->native != NATIVE_VN || p->native_vni != r->vni))
        return "untagged frames of its port are no longer the virtual network's";
    if (r->vni == 0 || !vn_need(e, r->vni))
        return "a virtual network without number or room";
    uint32_t h = entry_new(e, att, r->vni, r->flags & ENTRY_MAC ? &r->mac : NULL);
    if (h == 0)
        return "no room for its addresses";
    struct entry *n = entry_at(e, h);
    n->flags |= r->flags & ENTRY_KEPT;
    n->vid = r->vid;
    n->pcp = r->pcp;
    struct ip ips[TNS_IPS_MAX];
    uint8_t n_ips = 0;
    for (uint8_t i = 0; i < r->n_ips; i++)
        if (!(r->low_trust >> i & 1))
            ips[n_ips++] = r->ips[i];
    entry_ips_set(n, ips, n_ips);
    if (r->flags & ENTRY_LEARNED && a->state != ATT_TERM) {
        n->next = a->learned;
        a->learned = h;
        a->n_learned++;
        timers_set(&e->timers, &n->timer, e->now_us + edge_set(e, SET_LEARN_AGE_US),
            TIMER_ENTRY, h);
    } else {
        if (*tail)
            entry_at(e, *tail)->next = h;
        else
            a->entries = h;
        *tail = h;
        a->n_entries++;
    }
    if (a->state == ATT_TERM) {
        vn_ref(e, vn_find(e, r->vni), TICKET_DP, 0);
        n->flags |= ENTRY_VN;
    } else {
        if (!(r->flags & ENTRY_UNTAGGED)) {
            if (!tag_restore_ref(e, p->domain, r->vid, r->vni))
                return "its VID is another virtual network's";
            n->flags |= ENTRY_TAG;
        }
        entry_install(e, h, a->state == ATT_ASSOC, 0);
    }
    if (r->flags & ENTRY_TOMB) {
        mapping_tomb_set(e, r->vni, &r->mac, r->epoch);
        restore_target(e, r);
        n->owed = !!(r->flags & RECORD_ENTRY_TARGET);
        return NULL;
    }
    if (!(r->flags & ENTRY_MAC) || r->epoch == 0)
        return NULL;
    if (r->flags & RECORD_ENTRY_WANT)
        n->flags |= ENTRY_WANT;
    /* A number that was never granted gives way to what stands; another one that does
     * is lost, which attach_again finds. */
    enum mapping_verdict v = entry_claim(e, h, r->epoch, r->migration_id, 0);
    if (v == MAPPING_STALE && n->flags & ENTRY_WANT)
        v = entry_claim(e, h, 0, 0, 0);
    if (v == MAPPING_STALE || v == MAPPING_CONFLICT)
        n->flags |= ENTRY_LOCAL;
    for (uint8_t i = 0; i < r->n_ips; i++)
        if (r->low_trust >> i & 1)
            mapping_learn_ip(e, r->vni, &r->mac, &r->ips[i]);
    n->flags &= (uint16_t) ~(ENTRY_FRESH | ENTRY_TOOK);
    restore_target(e, r);
    return NULL;
}

bool
attach_restore(struct edge *e, const uint8_t *bytes, uint16_t size, const char **what,
    uint16_t *at)
{
    struct record_entry entries[RECORD_ENTRIES_MAX];
    struct record_attachment r = {.entries = entries};
    struct record_fault f = {0};
    if (!record_attachment_decode(&r, bytes, size, &f)) {
        *what = f.what;
        *at = f.at;
        return false;
    }
    *at = 0;
    *what = "its port is not configured";
    if (!edge_port_at(e, r.port))
        return false;
    *what = "a second record of the same VSI";
    if (att_find(e, r.port, &r.id))
        return false;
    *what = "too many attachments";
    uint32_t h = att_new(e, r.port, &r.id);
    if (h == 0)
        return false;
    struct att *a = att_at(e, h);
    a->state = r.state;
    a->prev = r.prev;
    a->flags = r.flags;
    a->op = r.op;
    a->cookie = r.cookie;
    a->epoch = r.epoch;
    a->migration_id = r.migration_id;
    a->idle_ms = (uint32_t)(r.idle_us / 1000);
    a->profile = r.profile;
    uint32_t tail = 0;
    for (uint16_t i = 0; i < r.n_entries; i++) {
        *what = restore_entry(e, h, &entries[i], &tail);
        if (*what) {
            att_end_entries(e, h, 0);
            a->state = ATT_NULL;
            att_tombs(e, h);
            e->quiet = false; /* the journal hears that it is not taken back */
            att_forget(e, h);
            e->quiet = true;
            return false;
        }
    }
    for (uint32_t n = a->entries; n; n = entry_at(e, n)->next)
        entry_at(e, n)->reserves =
            a->state == ATT_IMMIG && entry_at(e, n)->flags & ENTRY_MAC ? 1 : 0;
    att_move(e, h);
    if (a->flags & ATT_HOLD)
        att_arm_hold(e, h);
    if (a->state == ATT_TERM)
        att_link(e, h, true);
    att_arm(e, h);
    return true;
}

/* Everything attach wants in the data plane; then what changed while nobody looked. */
void
attach_restored(struct edge *e)
{
    struct attach *t = e->att;
    for (uint32_t it = 0, h; (h = map_each(&t->by_vap, &it));) {
        struct vap *v = pool_at(&t->vaps, h);
        v->said = 0;
        vap_say(e, v, TICKET_DP, 0);
    }
    for (uint32_t it = 0, h; (h = map_each(&t->by_key, &it));) {
        const struct entry *n = entry_at(e, h);
        if (n->flags & ENTRY_VAP && !(n->flags & ENTRY_QUIET))
            entry_install(e, h, n->flags & ENTRY_ACTIVE, 0);
    }
}

void
attach_again(struct edge *e)
{
    uint32_t n = e->att->by_id.n, *all = mem_alloc((n + 1) * sizeof *all), k = 0;
    for (uint32_t it = 0, h; (h = map_each(&e->att->by_id, &it));)
        all[k++] = h;
    for (uint32_t i = 0; i < k; i++)
        att_settle(e, all[i]);
    mem_free(all);
    if (!e->conf.authority || e->session_up)
        attach_session(e, true);
}

/* ---- a session came back: every residence again, with its epoch (E6), and what is
 * reserved: what is not named again has ended ---- */

static void
reserve_again(struct edge *e, uint32_t h)
{
    const struct entry *n = entry_at(e, h);
    const struct att *a = att_at(e, n->att);
    if (n->reserves && a->state == ATT_IMMIG && a->flags & ATT_GRANTED && !a->txn &&
        e->conf.authority)
        entry_reserve(e, h, EPOCH_RESERVED, 0);
}

void
attach_session(struct edge *e, bool up)
{
    struct attach *t = e->att;
    for (uint32_t it = 0, h; (h = map_each(&t->by_key, &it));) {
        struct entry *n = entry_at(e, h);
        if (n->flags & ENTRY_LOCAL && up)
            entry_publish(e, h, true);
        else if (up)
            reserve_again(e, h);
        else
            entry_unsay(e, h); /* nobody is left to grant it */
    }
}

void
attach_publish(struct edge *e, uint32_t entry)
{
    entry_publish(e, entry, true);
    uint32_t att = entry_at(e, entry)->att;
    if (att_at(e, att)->txn == 0)
        att_journal(e, att, 0);
}

/* ---- views ---- */

static uint8_t
waiting(const struct edge *e, const struct att *a)
{
    const struct txn *x = a->txn ? txn_at(e, a->txn) : NULL;
    uint8_t w = a->untold ? WAIT_TAG : 0;
    for (uint32_t h = a->entries; h; h = entry_at(e, h)->next)
        if (entry_at(e, h)->flags & ENTRY_LOCAL &&
            !(entry_at(e, h)->flags & ENTRY_PUBLISHED) && entry_resident(e, h))
            w |= WAIT_PUBLISH; /* what a newer owner has is not published any more */
    if (!x)
        return w;
    switch ((enum txn_phase)x->phase) {
    case TXN_QUEUED:
        break;
    case TXN_LOOKUP:
        return w | WAIT_AUTH;
    case TXN_INSTALL:
        return w | WAIT_DATAPATH;
    case TXN_PUBLISH:
        return w | (x->action == ATT_DO_PREPARE_EPOCH ? WAIT_EPOCH : WAIT_PUBLISH);
    case TXN_JOURNAL:
        return w | WAIT_JOURNAL;
    case TXN_REMOTE:
        return w | WAIT_REMOTE;
    }
    return w;
}

static uint32_t
entry_number(const struct edge *e, const struct att *a, uint32_t i)
{
    uint32_t lists[2] = {a->entries, a->learned};
    for (int k = 0; k < 2; k++)
        for (uint32_t h = lists[k]; h; h = entry_at(e, h)->next)
            if (i-- == 0)
                return h;
    return 0;
}

/* One row per entry; the position is (slot of the attachment, entry). */
bool
edge_each_attachment(
    const struct edge *e, uint32_t *it, struct edge_att_view *v, uint64_t now_us)
{
    for (;;) {
        uint32_t slot = *it >> 8, i = *it & 255;
        uint32_t h = map_each(&e->att->by_id, &slot);
        if (h == 0)
            return false;
        const struct att *a = att_at(e, h);
        uint32_t n = a->n_entries;
        for (uint32_t l = a->learned; l; l = entry_at(e, l)->next)
            n++;
        if (i >= (n ? n : 1)) {
            *it = slot << 8;
            continue;
        }
        ++*it;
        *v = (struct edge_att_view){.port = a->port,
            .vsi = h,
            .state = a->state,
            .waiting = waiting(e, a),
            .id = a->id,
            .entry = (uint16_t)i,
            .n_entries = (uint16_t)n,
            .epoch = a->epoch,
            .migration_id = a->migration_id,
            .age_us = now_us - a->since_us};
        if (a->flags & (ATT_ARMED | ATT_HOLD))
            v->armed = a->flags & ATT_HOLD ? 2 : 1;
        uint64_t end_us = timers_when(&e->timers, &a->timer);
        v->idle_left_us = end_us == TIMER_NEVER ? TIMER_NEVER
                          : end_us > now_us     ? end_us - now_us
                                                : 0;
        uint32_t eh = n ? entry_number(e, a, i) : 0;
        if (eh == 0)
            return true;
        const struct entry *t = entry_at(e, eh);
        struct mapping_rec rec;
        v->vni = t->vni;
        v->vid = t->vid;
        v->pcp = t->pcp;
        v->wildcard = !(t->flags & ENTRY_MAC);
        v->mac = t->mac;
        if (t->flags & ENTRY_LEARNED)
            v->learned = t->flags & ENTRY_QUIET ? 2 : 1;
        v->unpublished = t->flags & ENTRY_LOCAL && !(t->flags & ENTRY_PUBLISHED);
        if (mapping_target(e, t->vni, &t->mac, &rec)) {
            v->target = rec.owner;
            v->reserved = rec.epoch;
        }
        v->n_ips = t->n_ips;
        memcpy(v->ips, entry_ips(t), t->n_ips * sizeof *v->ips);
        if (t->flags & ENTRY_LOCAL &&
            mapping_find(e, t->vni, &t->mac, NULL, &rec, NULL)) {
            v->n_ips = rec.n_ips;
            memcpy(v->ips, rec.ips, rec.n_ips * sizeof *v->ips);
        }
        return true;
    }
}
