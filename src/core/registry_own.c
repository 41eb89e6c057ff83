/* SPDX-License-Identifier: Apache-2.0 */
/* Who owns a (VN, MAC), and at which epoch (K4, E1 to E7). One comparison decides: a
 * higher epoch wins, an equal one is heard only from the owner itself (E6), a lower one
 * is told who owns it now. Withdrawn keys stay as dead entries: they remember the
 * highest epoch for T_forget, and tell subscribers that the key is gone.
 *
 * Numbers are granted from one counter below a mark that is on the disk, so none is
 * granted twice, whatever is lost in a crash; a restart begins at the mark. Where a key
 * knows a higher number (chosen by an NVE that could not reach us, E5) the counter
 * leaps over it. */
#include "core/registry_int.h"

#include <string.h>

#include "base/log.h"

/* ---- dead entries ---- */

static uint64_t
dead_since(const struct reg_ent *en)
{
    uint64_t t;
    memcpy(&t, en->key.v6, sizeof t);
    return t;
}

static void
forget_arm(struct registry *r)
{
    if (r->dead.head)
        timers_set(&r->timers, &r->t_forget,
            dead_since(reg_ent(r, r->dead.head)) + r->conf.forget_us, REG_T_FORGET, 0);
    else
        timers_clear(&r->timers, &r->t_forget);
}

static void
dead_link(struct registry *r, uint32_t h)
{
    struct reg_ent *en = reg_ent(r, h);
    memcpy(en->key.v6, &r->now_us, sizeof r->now_us);
    en->oprev = r->dead.tail;
    en->onext = 0;
    if (en->oprev)
        reg_ent(r, en->oprev)->onext = h;
    else
        r->dead.head = h;
    r->dead.tail = h;
    if (r->dead.head == h)
        forget_arm(r);
}

static void
dead_unlink(struct registry *r, uint32_t h)
{
    struct reg_ent *en = reg_ent(r, h);
    if (en->onext)
        reg_ent(r, en->onext)->oprev = en->oprev;
    else
        r->dead.tail = en->oprev;
    if (en->oprev)
        reg_ent(r, en->oprev)->onext = en->onext;
    else
        r->dead.head = en->onext;
    en->onext = en->oprev = 0;
    forget_arm(r);
}

static void
store_epoch(struct registry *r, const struct reg_ent *en, uint64_t epoch)
{
    struct registry_out *o = reg_out(r, REG_STORE, 0);
    o->store = REG_STORE_EPOCH;
    o->rec.vni = en->key.vni;
    o->rec.mac = en->key.mac;
    o->rec.epoch = epoch;
    o->rec.migration_id = en->migration_id;
}

static void
dead_free(struct registry *r, uint32_t h)
{
    struct reg_ent *en = reg_ent(r, h);
    uint32_t vn = reg_vn_find(r, en->key.vni);
    if (en->flags & ENT_ROW)
        store_epoch(r, en, 0);
    dead_unlink(r, h);
    reg_ent_leave(r, h);
    memset(en->key.v6, 0, sizeof en->key.v6);
    keytab_del(&r->keys, h);
    reg_vn_release(r, vn);
}

void
reg_forget_due(struct registry *r)
{
    while (r->dead.head &&
           dead_since(reg_ent(r, r->dead.head)) + r->conf.forget_us <= r->now_us)
        dead_free(r, r->dead.head);
    forget_arm(r);
}

static uint32_t
ent_new(struct registry *r, uint32_t vni, const struct mac *mac)
{
    if (!reg_vn_get(r, vni))
        return 0;
    uint32_t h = keytab_add(&r->keys, vni, mac);
    if (!h && r->dead.head) {
        dead_free(r, r->dead.head);
        r->counters[REGC_EVICTED]++;
        /* The VN's slot may have gone with it. */
        h = reg_vn_get(r, vni) ? keytab_add(&r->keys, vni, mac) : 0;
    }
    return h;
}

void
reg_dead_load(struct registry *r, uint32_t vni, const struct mac *mac, uint64_t epoch,
    uint64_t migration_id)
{
    uint32_t h = keytab_find(&r->keys, vni, mac);
    if (h)
        return;
    if (!(h = ent_new(r, vni, mac)))
        return;
    struct reg_ent *en = reg_ent(r, h);
    en->epoch = epoch;
    en->migration_id = migration_id;
    en->flags = ENT_ROW;
    dead_link(r, h);
    reg_ent_changed(r, h);
}

/* ---- living ones ---- */

static void
owner_link(struct registry *r, uint32_t h, uint32_t nve)
{
    struct reg_ent *en = reg_ent(r, h);
    struct reg_nve *n = reg_nve(r, nve);
    en->nve = nve;
    en->oprev = 0;
    en->onext = n->owned;
    if (en->onext)
        reg_ent(r, en->onext)->oprev = h;
    n->owned = h;
    n->n_maps++;
    uint32_t part = reg_part_find(r, reg_vn_find(r, en->key.vni), nve);
    reg_part(r, part)->n_maps++;
    reg_part_update(r, part);
}

/* The part it leaves, for the caller to update when nothing new needs to be in place.
 */
static uint32_t
owner_unlink(struct registry *r, uint32_t h)
{
    struct reg_ent *en = reg_ent(r, h);
    struct reg_nve *n = reg_nve(r, en->nve);
    if (en->onext)
        reg_ent(r, en->onext)->oprev = en->oprev;
    if (en->oprev)
        reg_ent(r, en->oprev)->onext = en->onext;
    else
        n->owned = en->onext;
    en->onext = en->oprev = 0;
    n->n_maps--;
    uint32_t part = reg_part_find(r, reg_vn_find(r, en->key.vni), en->nve);
    reg_part(r, part)->n_maps--;
    return part;
}

static void
count_families(struct registry *r, uint32_t h, uint32_t by)
{
    const struct reg_ent *en = reg_ent(r, h);
    struct reg_vn *v = reg_vn(r, reg_vn_find(r, en->key.vni));
    v->n_live += by;
    v->n_no4 += keytab_signalled(&r->keys, h, false) ? 0 : by;
    v->n_no6 += keytab_signalled(&r->keys, h, true) ? 0 : by;
}

/* Replaces the addresses; true when something changed. */
static bool
ips_replace(struct registry *r, uint32_t h, const struct mapping_rec *rec)
{
    struct mapping_rec old;
    bool changed = false;
    keytab_rec(&r->keys, h, &old);
    for (uint32_t i = 0; i < old.n_ips; i++) {
        uint32_t j = 0;
        while (j < rec->n_ips && !ip_equal(&rec->ips[j], &old.ips[i]))
            j++;
        if (j < rec->n_ips)
            continue;
        keytab_ip_del(&r->keys, h, &old.ips[i]);
        reg_key_touch(r, old.vni, NULL, &old.ips[i]);
        changed = true;
    }
    for (uint32_t i = 0; i < rec->n_ips && i < TNS_IPS_MAX; i++) {
        bool low = rec->low_trust >> i & 1, was_low = false;
        bool had = keytab_ip_has(&r->keys, h, &rec->ips[i], &was_low);
        if (ip_is_none(&rec->ips[i]) || (had && was_low == low))
            continue;
        if (keytab_ip_add(&r->keys, h, &rec->ips[i], low))
            changed = true;
    }
    return changed;
}

void
reg_kill(struct registry *r, uint32_t h)
{
    static const struct mapping_rec none;
    struct reg_ent *en = reg_ent(r, h);
    count_families(r, h, (uint32_t)-1);
    ips_replace(r, h, &none);
    en->flags = (uint8_t)((en->flags & ~ENT_LIVE) | ENT_ROW);
    reg_damp_killed(en);
    r->n_live--;
    store_epoch(r, en, en->epoch);
    reg_gate_open(r, reg_gate_find(r, h));
    reg_ent_changed(r, h);
    /* May let the part go, but not the VN: the entry stands in it. */
    reg_part_update(r, owner_unlink(r, h));
    dead_link(r, h);
}

/* ---- answers ---- */

static void
answer(struct registry *r, uint32_t nve, uint64_t ref, uint8_t type,
    const struct mapping_rec *rec)
{
    if (ref == 0)
        return;
    struct registry_out *o = reg_out(r, type, nve);
    o->ref = ref;
    o->rec = *rec;
}

/* rec becomes what we know of the key: where it MOVED to. */
static void
reject(struct registry *r, uint32_t nve, uint64_t ref, enum registry_reason reason,
    const struct mapping_rec *asked)
{
    r->counters[REGC_REJECTED]++;
    if (ref == 0)
        return;
    uint32_t h = keytab_find(&r->keys, asked->vni, &asked->mac);
    struct registry_out *o = reg_out(r, REG_REJECT, nve);
    o->ref = ref;
    o->reason = reason;
    if (h) {
        reg_rec(r, h, &o->rec);
    } else {
        o->rec.vni = asked->vni;
        o->rec.mac = asked->mac;
    }
}

/* ---- numbers ---- */

void
reg_hwm_raise(struct registry *r, uint64_t at_least)
{
    uint64_t want = r->next_epoch > at_least ? r->next_epoch : at_least;
    want += REG_EPOCH_BLOCK;
    if (r->hwm_id || want <= r->epoch_limit || !r->loaded)
        return;
    struct registry_out *o = reg_out(r, REG_STORE, 0);
    o->id = r->hwm_id = ++r->store_id ? r->store_id : ++r->store_id;
    o->store = REG_STORE_HWM;
    o->rec.epoch = r->hwm_want = want;
}

/* false: the mark must reach the disk first. */
static bool
epoch_grant(struct registry *r, uint64_t above, uint64_t *epoch)
{
    uint64_t n = r->next_epoch > above ? r->next_epoch : above + 1;
    if (n >= r->epoch_limit) {
        reg_hwm_raise(r, n);
        return false;
    }
    r->next_epoch = n + 1;
    *epoch = n;
    r->counters[REGC_GRANTS]++;
    if (r->epoch_limit - r->next_epoch < REG_EPOCH_BLOCK / 2)
        reg_hwm_raise(r, r->next_epoch);
    return true;
}

/* Every reservation has an id; where the asker named none the number itself makes one.
 */
static uint64_t
migration_of(const struct registry *r, uint64_t asked, uint64_t epoch)
{
    if (asked)
        return asked;
    uint64_t x = (epoch ^ r->conf.seed) * 0x9e3779b97f4a7c15;
    return (x ^ x >> 32) | 1;
}

/* ---- registering ---- */

/* The owner itself, with a number below the one that we granted it last: to an earlier
 * claim at another of its ports, or before a crash ate the answer. It is the owner all
 * the same, and is told the number. Words of a router without a session may be that
 * old. */
static bool
owner_behind(
    const struct registry *r, uint32_t nve, uint32_t ent, const struct mapping_rec *rec)
{
    const struct reg_ent *en = reg_ent(r, ent);
    return en->flags & ENT_LIVE && en->nve == nve && !reg_nve(r, nve)->foreign &&
           rec->epoch < en->epoch;
}

/* Only newer, or the owner's own again (E3, E6, F9). */
static enum registry_reason
register_verdict(
    const struct registry *r, uint32_t nve, uint32_t ent, const struct mapping_rec *rec)
{
    uint32_t resv = reg_resv_find(r, rec->vni, &rec->mac);
    for (; resv; resv = reg_resv(r, resv)->next) {
        const struct reg_resv *v = reg_resv(r, resv);
        if (v->epoch == rec->epoch &&
            (v->migration_id != rec->migration_id ||
                !ip_equal(&v->target, &reg_nve(r, nve)->vtep)))
            return REG_CONFLICT; /* whose number it is not: ids can be overheard */
    }
    if (!ent)
        return REG_OK;
    const struct reg_ent *en = reg_ent(r, ent);
    if (owner_behind(r, nve, ent, rec))
        return REG_OK;
    if (rec->epoch != en->epoch)
        return rec->epoch > en->epoch ? REG_OK : REG_STALE;
    bool same_id = rec->migration_id == en->migration_id;
    if (en->flags & ENT_LIVE)
        return en->nve == nve && same_id ? REG_OK : REG_CONFLICT;
    /* Withdrawn: the owner may come back (E6), with the id of then; after a restart
     * nothing else tells it. */
    return (en->nve == nve || en->nve == 0) && same_id ? REG_OK : REG_STALE;
}

static enum registry_reason
register_apply(
    struct registry *r, uint32_t nve, const struct mapping_rec *rec, uint32_t *ent)
{
    uint32_t vn = reg_vn_find(r, rec->vni);
    uint32_t h = keytab_find(&r->keys, rec->vni, &rec->mac);
    enum registry_reason reason = register_verdict(r, nve, h, rec);
    if (reason != REG_OK)
        return reason;
    bool live = h && reg_ent(r, h)->flags & ENT_LIVE;
    if (!live && r->n_live >= r->conf.max_mappings)
        return REG_FULL;
    if (!reg_part_get(r, vn, nve) || (!h && !(h = ent_new(r, rec->vni, &rec->mac))))
        return REG_FULL;
    struct reg_ent *en = reg_ent(r, h);
    uint32_t old = live ? en->nve : 0;
    bool keep = h && owner_behind(r, nve, h, rec);
    bool changed = !live || old != nve || (en->epoch != rec->epoch && !keep);
    if (live) {
        count_families(r, h, (uint32_t)-1);
    } else {
        if (en->change) /* it was dead: its octets held the time */
            dead_unlink(r, h);
        memset(en->key.v6, 0, sizeof en->key.v6);
        r->n_live++;
    }
    en->flags |= ENT_LIVE;
    if (!keep) {
        en->epoch = rec->epoch;
        en->migration_id = rec->migration_id;
    }
    en->vsi = rec->vsi;
    en->gen = reg_nve(r, nve)->gen;
    changed |= ips_replace(r, h, rec);
    count_families(r, h, 1);
    if (old &&
        old != nve) /* the old owner is told, subscribed or not: it relays (D1) */
        reg_gate_shut(r, h, old);
    if (changed) {
        if (old != nve) {
            uint32_t left = old ? owner_unlink(r, h) : 0;
            owner_link(r, h, nve);
            if (left)
                reg_part_update(r, left);
        }
        reg_ent_changed(r, h);
        reg_ips_touch(r, h);
    }
    for (uint32_t v = reg_resv_find(r, rec->vni, &rec->mac), next; v; v = next) {
        next = reg_resv(r, v)->next;
        if (reg_resv(r, v)->epoch == rec->epoch)
            reg_damp_clear(en); /* a migration: somebody wanted it so (E5) */
        if (reg_resv(r, v)->epoch <= rec->epoch)
            reg_resv_free(r, v); /* who relays to it hears of a newer owner */
    }
    r->counters[REGC_ACCEPTED]++;
    *ent = h;
    return REG_OK;
}

static void
register_now(
    struct registry *r, uint32_t nve, uint64_t ref, const struct mapping_rec *rec)
{
    uint32_t ent = 0;
    enum registry_reason reason = register_apply(r, nve, rec, &ent);
    if (reason != REG_OK) {
        reject(r, nve, ref, reason, rec);
        return;
    }
    struct mapping_rec now;
    reg_rec(r, ent, &now);
    answer(r, nve, ref, REG_REGISTERED, &now);
    if (ref)
        reg_confirm(r, ent);
    /* An older migration ends here while a newer one is under way: this NVE is its
     * source. While it registers again, all is told at the end. */
    if (reg_nve(r, nve)->complete)
        reg_resv_tell(r, rec->vni, &rec->mac);
}

/* Who carries numbers that nobody granted must not use all of them up. */
static uint64_t
leap_top(struct registry *r)
{
    if (r->now_us - r->leap_us >= REG_LEAP_US) {
        r->leap_from = r->next_epoch;
        r->leap_us = r->now_us;
    }
    uint64_t top = r->leap_from + REG_EPOCH_LEAP;
    return top < EPOCH_MAX ? top : EPOCH_MAX;
}

/* What nobody but a well-behaved NVE sends. */
static enum registry_reason
rec_check(struct registry *r, const struct mapping_rec *rec)
{
    if (mac_is_none(&rec->mac) || mac_is_group(&rec->mac) || rec->n_ips > TNS_IPS_MAX)
        return REG_POLICY;
    if (rec->epoch >= r->next_epoch && rec->epoch >= leap_top(r))
        return REG_POLICY;
    uint32_t vn = reg_vn_find(r, rec->vni);
    return vn && !reg_vn(r, vn)->rec.deleted ? REG_OK : REG_NO_VN;
}

static uint64_t
known_epoch(const struct registry *r, const struct mapping_rec *rec)
{
    uint64_t above = rec->epoch;
    uint32_t h = keytab_find(&r->keys, rec->vni, &rec->mac);
    if (h && reg_ent(r, h)->epoch > above)
        above = reg_ent(r, h)->epoch;
    uint32_t resv = reg_resv_find(r, rec->vni, &rec->mac);
    if (resv && reg_resv(r, resv)->epoch > above)
        above = reg_resv(r, resv)->epoch;
    return above;
}

/* A repeated question of one migration by one NVE is answered with the same number, and
 * so is the word of a new session that what was reserved still counts. */
static bool
reserve_again(struct registry *r, const struct reg_claim *c)
{
    uint32_t resv = reg_resv_of(r, c->rec.vni, &c->rec.mac, &reg_nve(r, c->nve)->vtep);
    const struct reg_resv *v = resv ? reg_resv(r, resv) : NULL;
    bool stands = c->rec.epoch == EPOCH_RESERVED;
    bool same = c->rec.migration_id && v && v->migration_id == c->rec.migration_id &&
                v->epoch >= c->rec.epoch;
    if (!v || !(stands || same))
        return false;
    reg_resv_said(r, c->nve, resv);
    struct mapping_rec rec = c->rec;
    rec.epoch = v->epoch;
    rec.migration_id = v->migration_id;
    answer(r, c->nve, c->ref, REG_GRANT, &rec);
    return true;
}

/* Another VSI was signalled with the key at another NVE, whose session stands or is
 * stale but not yet expired (K18). What was learned from frames, or comes from a router
 * that knows no VSIs, names none: it gives way to what was signalled, never the other
 * way round. Which of its own VSIs has it an NVE knows itself. */
static bool
key_taken(const struct registry *r, uint32_t nve, const struct mapping_rec *rec)
{
    uint32_t h = keytab_find(&r->keys, rec->vni, &rec->mac);
    const struct reg_ent *en = h ? reg_ent(r, h) : NULL;
    return en && en->flags & ENT_LIVE && en->nve != nve && en->vsi &&
           en->vsi != rec->vsi;
}

static uint32_t
owner_of(const struct registry *r, const struct mapping_rec *rec)
{
    uint32_t h = keytab_find(&r->keys, rec->vni, &rec->mac);
    return h && reg_ent(r, h)->flags & ENT_LIVE ? reg_ent(r, h)->nve : 0;
}

/* Would this registration by number take the key from its owner, with a number that its
 * NVE was not granted? A server may have made it up, so it is judged as a claim is; but
 * not while a session says what it has (K4, F13): then edges know more than we do,
 * whatever order they come in. Of a router that is not of ours there is no such end. */
static bool
takes_unasked(const struct registry *r, uint32_t nve, const struct mapping_rec *rec)
{
    uint32_t h = keytab_find(&r->keys, rec->vni, &rec->mac), owner = owner_of(r, rec);
    const struct reg_nve *n = reg_nve(r, nve);
    if (!owner || owner == nve)
        return false;
    if (n->foreign)
        return true;
    uint32_t resv = reg_resv_of(r, rec->vni, &rec->mac, &n->vtep);
    return n->complete && !r->recovering && rec->epoch > reg_ent(r, h)->epoch &&
           !(resv && reg_resv(r, resv)->epoch == rec->epoch);
}

/* Since it began to wait, the NVE registered the key with a number from elsewhere: a
 * later claim of its own, which is told of here, too. */
static bool
claim_overtaken(struct registry *r, const struct reg_claim *c)
{
    uint32_t h = keytab_find(&r->keys, c->rec.vni, &c->rec.mac);
    const struct reg_ent *en = h ? reg_ent(r, h) : NULL;
    const struct reg_said *said = &r->said[h % REG_SAID_N];
    if (c->reserve || !en || !(en->flags & ENT_LIVE) || en->nve != c->nve ||
        said->n <= c->said || (said->ent == h && said->nve != c->nve))
        return false;
    struct mapping_rec now;
    reg_rec(r, h, &now);
    answer(r, c->nve, c->ref, REG_REGISTERED, &now);
    if (c->ref)
        reg_confirm(r, h);
    return true;
}

/* false: it has to wait for the high-water mark. */
static bool
claim_run(struct registry *r, const struct reg_claim *c)
{
    const struct reg_nve *n = reg_nve_live(r, c->nve);
    if (!n || n->gen != c->gen)
        return true; /* nobody is left to tell */
    if (claim_overtaken(r, c))
        return true;
    enum registry_reason reason = rec_check(r, &c->rec);
    if (reason == REG_OK && key_taken(r, c->nve, &c->rec))
        reason = REG_CONFLICT;
    if (reason == REG_OK && !c->reserve && reg_damp(r, c->nve, &c->rec))
        reason = REG_CONFLICT;
    if (reason == REG_OK && c->reserve) {
        if (reserve_again(r, c))
            return true;
        if (!reg_resv_room(r, c->nve, &c->rec))
            reason = REG_FULL;
    }
    uint64_t above = known_epoch(r, &c->rec);
    if (reason == REG_OK && above >= EPOCH_MAX)
        reason = REG_POLICY;
    if (reason != REG_OK) {
        reject(r, c->nve, c->ref, reason, &c->rec);
        return true;
    }
    struct mapping_rec rec = c->rec;
    if (!epoch_grant(r, above, &rec.epoch))
        return false;
    rec.migration_id = migration_of(r, rec.migration_id, rec.epoch);
    if (c->reserve) {
        reg_resv_keep(r, c->nve, &rec);
        reg_resv_tell(r, rec.vni, &rec.mac);
        answer(r, c->nve, c->ref, REG_GRANT, &rec);
    } else {
        uint32_t old = owner_of(r, &rec);
        register_now(r, c->nve, c->ref, &rec);
        reg_damp_moved(r, old, &rec);
    }
    return true;
}

void
reg_claims_run(struct registry *r)
{
    const struct reg_claim *head;
    while (!r->recovering && r->loaded && (head = fifo_peek(&r->claims))) {
        struct reg_claim c = *head;
        if (!claim_run(r, &c))
            return;
        fifo_pop(&r->claims, &c);
    }
}

static void
claim(struct registry *r, uint32_t nve, uint64_t ref, const struct mapping_rec *rec,
    bool reserve)
{
    if (r->claims.n >= r->conf.max_waiting) {
        reject(r, nve, ref, REG_NOT_READY, rec);
        return;
    }
    struct reg_claim *c = fifo_push(&r->claims);
    c->nve = nve;
    c->gen = reg_nve(r, nve)->gen;
    c->reserve = reserve;
    c->ref = ref;
    c->said = r->n_said;
    c->rec = *rec;
    reg_claims_run(r);
}

void
registry_register(struct registry *r, uint32_t nve, uint64_t ref,
    const struct mapping_rec *rec, bool want_epoch, bool refresh, uint64_t now_us)
{
    r->now_us = now_us;
    if (!reg_nve_live(r, nve))
        return;
    r->counters[REGC_REGISTERS]++;
    enum registry_reason reason = rec_check(r, rec);
    bool claims = want_epoch && !refresh; /* what was registered claims nothing (K3) */
    uint32_t old = reason == REG_OK && !claims && takes_unasked(r, nve, rec)
                       ? owner_of(r, rec)
                       : 0;
    if (old && (key_taken(r, nve, rec) || reg_damp(r, nve, rec)))
        reason = REG_CONFLICT;
    if (reason != REG_OK)
        reject(r, nve, ref, reason, rec);
    else if (claims)
        claim(r, nve, ref, rec, false);
    else {
        register_now(r, nve, ref, rec);
        uint32_t h = r->claims.n ? keytab_find(&r->keys, rec->vni, &rec->mac) : 0;
        if (h)
            r->said[h % REG_SAID_N] = (struct reg_said){h, nve, ++r->n_said};
        reg_damp_moved(r, old, rec);
    }
}

void
registry_reserve(struct registry *r, uint32_t nve, uint64_t ref,
    const struct mapping_rec *rec, uint64_t now_us)
{
    r->now_us = now_us;
    if (!reg_nve_live(r, nve))
        return;
    bool stands = rec->epoch == EPOCH_RESERVED; /* never a new number for it */
    enum registry_reason reason = stands ? REG_STALE : rec_check(r, rec);
    struct reg_claim c = {.nve = nve, .ref = ref, .reserve = 1, .rec = *rec};
    bool again = (stands || reason == REG_OK) && reserve_again(r, &c);
    if (again)
        return; /* no new number: it need not wait for one */
    if (reason != REG_OK)
        reject(r, nve, ref, reason, rec);
    else
        claim(r, nve, ref, rec, true);
}

/* What waits for its number is withdrawn as well. */
static void
claims_cancel(struct registry *r, uint32_t nve, const struct mapping_rec *rec)
{
    struct reg_claim c;
    bool reserves = rec->epoch == EPOCH_RESERVED;
    for (uint32_t n = r->claims.n; n; n--) {
        fifo_pop(&r->claims, &c);
        if (c.nve != nve || c.reserve != reserves || c.rec.vni != rec->vni ||
            !mac_equal(&c.rec.mac, &rec->mac))
            *(struct reg_claim *)fifo_push(&r->claims) = c;
    }
}

/* What is reserved ends by its own number or by EPOCH_RESERVED, which touches nothing
 * else. A residence only by the owner, however late it comes (E4, F3); of a router
 * without a session, whose words may overtake each other, also only of the epoch that
 * stands. */
void
registry_withdraw(struct registry *r, uint32_t nve, uint64_t ref,
    const struct mapping_rec *rec, uint64_t now_us)
{
    r->now_us = now_us;
    if (!reg_nve_live(r, nve))
        return;
    claims_cancel(r, nve, rec);
    uint32_t resv = reg_resv_of(r, rec->vni, &rec->mac, &reg_nve(r, nve)->vtep);
    if (resv &&
        (rec->epoch == EPOCH_RESERVED || reg_resv(r, resv)->epoch == rec->epoch))
        reg_resv_end(r, resv); /* the migration was given up before it came */
    if (rec->epoch == EPOCH_RESERVED) {
        answer(r, nve, ref, REG_REGISTERED, rec);
        return;
    }
    uint32_t h = keytab_find(&r->keys, rec->vni, &rec->mac);
    if (h && reg_ent(r, h)->flags & ENT_LIVE) {
        const struct reg_ent *en = reg_ent(r, h);
        /* E4. A session keeps the order of what an NVE says, so that of the owner ends
         * its residence whichever number it names: one that was granted and is not
         * heard of yet, or one that was refused here. */
        bool heard = rec->epoch == en->epoch || !reg_nve(r, nve)->foreign;
        if (en->nve != nve || !heard) {
            reject(r, nve, ref, REG_NOT_OWNER, rec);
            return;
        }
        reg_kill(r, h);
        r->counters[REGC_WITHDRAWN]++;
    }
    answer(r, nve, ref, REG_REGISTERED, rec);
}
