/* SPDX-License-Identifier: Apache-2.0 */
/* A VM on its way. What a key's frames do meanwhile follows from three facts beside the
 * entry: an attachment here waits for the VM (holder), the residence here is paused or
 * gone (away, late), and another NVE has reserved a newer epoch (target). The data
 * plane hears of differences alone, a hold before the FDB that needs it and its end
 * after the FDB that it drains to (D6).
 *
 * Frames go to a target before it has published only where nothing waits here (D4) and
 * its number is above ours: along such a path epochs grow, as with published owners
 * (D2, D3). An entry can stand for nothing but a hold. */
#include "core/attach.h"
#include "core/mapping_int.h"

#define SMR_US 1000000

static struct move *
move_of(const struct mapping_table *t, const struct ent *en)
{
    return en->move ? pool_at(&t->moves, en->move) : NULL;
}

/* NULL: no room; then the VM moves without. */
static struct move *
move_get(struct mapping_table *t, uint32_t h)
{
    struct ent *en = ent_at(t, h);
    if (!en->move && (en->move = pool_get(&t->moves)))
        ((struct move *)pool_at(&t->moves, en->move))->ent = h;
    return move_of(t, en);
}

uint32_t
mapping_provisional(const struct mapping_table *t, const struct ent *en)
{
    const struct move *m = move_of(t, en);
    if (!m || !m->target || m->holder || m->epoch <= en->epoch)
        return 0;
    bool gone = en->flags & F_LOCAL ? m->away == MAPPING_AWAY
                                    : (en->flags & (F_TOMB | F_REMOTE)) == F_TOMB;
    return gone ? m->target : 0;
}

static bool
wants_hold(const struct mapping_table *t, const struct ent *en)
{
    const struct move *m = move_of(t, en);
    if (en->flags & F_LOCAL)
        return m->away && !mapping_provisional(t, en);
    if (en->flags & F_REMOTE)
        return m->holder && !(en->flags & F_TOMB);
    return m->holder || (m->late && !mapping_provisional(t, en));
}

bool
mapping_waits(const struct mapping_table *t, const struct ent *en)
{
    const struct move *m = move_of(t, en);
    return m && m->holder;
}

void
mapping_move_local(struct mapping_table *t, uint32_t h, const struct mapping_local *l)
{
    const struct ent *en = ent_at(t, h);
    struct move *m = l->hold ? move_get(t, h) : move_of(t, en);
    if (m && (l->hold || (l->wait && (m->held || m->away))))
        m->away = MAPPING_WAIT;
    else if (m && en->att != l->att)
        m->away = MAPPING_HERE; /* it was another one's that is paused (F15) */
}

void
mapping_hold_set(struct edge *e, uint32_t h)
{
    const struct ent *en = ent_at(e->map, h);
    struct dp_op *op = mapping_op(e, DP_HOLD_SET);
    op->u.hold.vni = en->key.vni;
    op->u.hold.mac = en->key.mac;
    op->u.hold.frames = (uint32_t)e->conf.settings[SET_HOLD_FRAMES];
    op->u.hold.octets = (uint32_t)e->conf.settings[SET_HOLD_OCTETS];
    op->u.hold.max_us = e->conf.settings[SET_HOLD_US];
}

bool
mapping_holds(const struct mapping_table *t, const struct ent *en)
{
    const struct move *m = move_of(t, en);
    return m && m->held;
}

/* Who allows no buffer gets none. Holds are few, and one port can ask for many: a VN
 * has its share, and what only may come has less. */
static bool
hold_room(const struct edge *e, const struct ent *en, const struct move *m)
{
    const struct mapping_table *t = e->map;
    const struct mvn *v = vn_at(t, mapping_vn_find(t, en->key.vni));
    if (!edge_set(e, SET_HOLD_FRAMES) || !edge_set(e, SET_HOLD_US))
        return false;
    uint32_t max = m->late ? LATE_MAX : DP_HOLD_MAX;
    return t->n_holds < max && v->n_holds < DP_HOLD_SHARE(max);
}

static void
hold_count(struct mapping_table *t, const struct ent *en, int by)
{
    t->n_holds += (uint32_t)by;
    vn_at(t, mapping_vn_find(t, en->key.vni))->n_holds += (uint32_t)by;
}

/* What no longer concerns the entry goes. Gives the endpoint to drop after the FDB. */
uint32_t
mapping_hold_begin(struct edge *e, uint32_t h)
{
    struct mapping_table *t = e->map;
    const struct ent *en = ent_at(t, h);
    struct move *m = move_of(t, en);
    uint32_t dropped = 0;
    if (!m)
        return 0;
    if (!(en->flags & F_LOCAL))
        m->away = MAPPING_HERE;
    if ((en->flags & (F_TOMB | F_LOCAL | F_REMOTE)) != F_TOMB) {
        m->late = 0;
        timers_clear(&e->timers, &m->timer);
    }
    bool may = en->flags & F_LOCAL || (en->flags & (F_TOMB | F_REMOTE)) == F_TOMB;
    if (m->target && (!may || m->holder || m->epoch <= en->epoch)) {
        dropped = m->target;
        m->target = 0;
    }
    if (!m->held && wants_hold(t, en) && hold_room(e, en, m)) {
        m->held = 1;
        hold_count(t, en, 1);
        mapping_hold_set(e, h);
    }
    return dropped;
}

/* To where the FDB says by now: here, to the target, or as a tombstone relays. A remote
 * owner without a tombstone gets nothing of what came from the overlay (D1). */
void
mapping_hold_end(struct edge *e, uint32_t h)
{
    struct mapping_table *t = e->map;
    struct ent *en = ent_at(t, h);
    struct move *m = move_of(t, en);
    if (!m)
        return;
    if (m->held && !wants_hold(t, en)) {
        m->held = 0;
        hold_count(t, en, -1);
        struct dp_op *op = mapping_op(e, DP_HOLD_DEL);
        op->u.hold.vni = en->key.vni;
        op->u.hold.mac = en->key.mac;
        op->u.hold.drain = en->flags & F_LOCAL || mapping_provisional(t, en) ||
                           (en->flags & (F_TOMB | F_REMOTE)) == (F_TOMB | F_REMOTE);
    }
    if (m->held || m->holder || m->away || m->late || m->target)
        return;
    timers_clear(&e->timers, &m->timer);
    pool_put(&t->moves, en->move);
    en->move = 0;
}

/* After a change of the facts; `was` is mapping_provisional before it. */
static void
moved(struct edge *e, uint32_t h, uint32_t was)
{
    if (mapping_provisional(e->map, ent_at(e->map, h)) != was) {
        mapping_fdb_emit(e, h);
        return;
    }
    uint32_t dropped = mapping_hold_begin(e, h);
    mapping_hold_end(e, h);
    mapping_owner_drop(e, dropped);
}

void
mapping_hold(struct edge *e, uint32_t vni, const struct mac *mac, uint32_t att, bool on)
{
    struct mapping_table *t = e->map;
    uint32_t h = keytab_find(&t->keys, vni, mac);
    struct move *m;
    if (!on) {
        m = h ? move_of(t, ent_at(t, h)) : NULL;
        if (!m || m->holder != att)
            return;
        m->holder = 0;
        if (ent_at(t, h)->flags)
            moved(e, h, mapping_provisional(t, ent_at(t, h)));
        else
            mapping_ent_vacate(e, h);
        return;
    }
    if (!mapping_key_valid(vni, mac) || (!h && !(h = mapping_ent_get(e, vni, mac))))
        return;
    struct ent *en = ent_at(t, h);
    uint32_t was = mapping_provisional(t, en);
    uint8_t flags = en->flags;
    if ((m = move_get(t, h)))
        m->holder = att;
    en->flags &=
        (uint8_t) ~(F_TOMB | F_THEIRS); /* D4: nothing is relayed from now on */
    if (!en->flags && !m)
        mapping_ent_vacate(e, h);
    else if ((flags & (F_TOMB | F_REMOTE)) == (F_TOMB | F_REMOTE))
        mapping_fdb_emit(e, h);
    else if (m)
        moved(e, h, was);
}

void
mapping_local_away(struct edge *e, uint32_t vni, const struct mac *mac, uint32_t att,
    enum mapping_away away)
{
    struct mapping_table *t = e->map;
    uint32_t h = keytab_find(&t->keys, vni, mac);
    if (!h || !(ent_at(t, h)->flags & F_LOCAL) || ent_at(t, h)->att != att)
        return;
    uint32_t was = mapping_provisional(t, ent_at(t, h));
    struct move *m = away ? move_get(t, h) : move_of(t, ent_at(t, h));
    if (!m || m->away == away)
        return;
    m->away = (uint8_t)away;
    moved(e, h, was);
}

void
mapping_late(struct edge *e, uint32_t h)
{
    struct move *m = move_get(e->map, h);
    if (!m || m->holder)
        return;
    m->late = 1;
    timers_set(&e->timers, &m->timer, e->now_us + e->conf.settings[SET_HOLD_US],
        TIMER_MAP_LATE, ent_at(e->map, h)->move);
}

void
mapping_late_end(struct edge *e, uint32_t move)
{
    struct move *m = pool_at(&e->map->moves, move);
    m->late = 0;
    mapping_hold_end(e, m->ent);
}

/* Somebody we may send to: the authority or a mapping has named its endpoint. */
static bool
vtep_known(const struct mapping_table *t, const struct ip *ip)
{
    uint32_t h = map_find(&t->by_vtep, map_hash(&t->by_vtep, ip, sizeof *ip), ip);
    return h && (vtep_at(t, h)->n_maps || vtep_at(t, h)->n_members);
}

bool
mapping_reserved(struct edge *e, const struct mapping_rec *rec, bool named)
{
    struct mapping_table *t = e->map;
    uint32_t h = keytab_find(&t->keys, rec->vni, &rec->mac);
    const struct ent *en = h ? ent_at(t, h) : NULL;
    if (!en || rec->epoch <= en->epoch || ip_is_none(&rec->owner) ||
        !(en->flags & F_LOCAL || (en->flags & (F_TOMB | F_REMOTE)) == F_TOMB))
        return false;
    struct move *m = move_of(t, en);
    bool over = m && m->target && m->named && !named; /* the authority knows better */
    if (m && m->target && rec->epoch == m->epoch)
        m->unsaid = 0;
    if (m && (m->holder || (rec->epoch <= m->epoch && !over)))
        return false;
    if (named && e->conf.authority && !vtep_known(t, &rec->owner))
        return false;
    bool here = ip_equal(&rec->owner, &e->conf.vtep); /* F15: to another port */
    uint32_t vtep = here ? 0 : mapping_vtep_get(t, &rec->owner);
    if ((!here && !vtep) || (here && !m) || !(m = move_get(t, h))) {
        if (vtep)
            mapping_vtep_put(t, vtep);
        return false;
    }
    uint32_t was = mapping_provisional(t, en), old = m->target;
    if (vtep)
        mapping_owner_take(e, vtep); /* known before a frame can go there (K11) */
    m->target = vtep;
    m->epoch = rec->epoch;
    m->migration_id = rec->migration_id;
    m->named = named;
    m->unsaid = 0;
    moved(e, h, was);
    mapping_owner_drop(e, old);
    return true;
}

/* What was on its way to the target is for the target to keep or to drop: it may have
 * been there only because the VM was. */
bool
mapping_unreserved(struct edge *e, const struct mapping_rec *rec)
{
    struct mapping_table *t = e->map;
    uint32_t h = keytab_find(&t->keys, rec->vni, &rec->mac);
    struct move *m = h ? move_of(t, ent_at(t, h)) : NULL;
    if (!m || !m->target || m->epoch > rec->epoch ||
        !(ip_is_none(&rec->owner) || ip_equal(&vtep_at(t, m->target)->ip, &rec->owner)))
        return false;
    uint32_t was = mapping_provisional(t, ent_at(t, h)), old = m->target;
    m->target = 0;
    m->epoch = m->migration_id = 0; /* another attempt may have an older number */
    moved(e, h, was);
    mapping_owner_drop(e, old);
    return true;
}

/* A new session repeats what is reserved (K4). What it has not said by T_stale ended
 * while nobody could tell us. */
void
mapping_targets_unsaid(struct edge *e, bool end)
{
    struct mapping_table *t = e->map;
    for (uint32_t it = 0, h; (h = keytab_each(&t->keys, &it));) {
        struct move *m = move_of(t, ent_at(t, h));
        if (!m || !m->target || (end && !m->unsaid))
            continue;
        m->unsaid = 1;
        struct mapping_rec rec = {.vni = ent_at(t, h)->key.vni,
            .mac = ent_at(t, h)->key.mac,
            .epoch = m->epoch};
        if (end && mapping_unreserved(e, &rec))
            attach_target(e, rec.vni, &rec.mac);
    }
}

bool
mapping_target(
    const struct edge *e, uint32_t vni, const struct mac *mac, struct mapping_rec *to)
{
    const struct mapping_table *t = e->map;
    uint32_t h = keytab_find(&t->keys, vni, mac);
    const struct move *m = h ? move_of(t, ent_at(t, h)) : NULL;
    if (!m || !m->target)
        return false;
    *to = (struct mapping_rec){.vni = vni,
        .mac = *mac,
        .owner = vtep_at(t, m->target)->ip,
        .epoch = m->epoch,
        .migration_id = m->migration_id};
    return true;
}

/* Only of those that we send to, and each at most once a second. */
bool
mapping_smr(struct edge *e, uint32_t vni, const struct mac *mac, const struct ip *from)
{
    struct mapping_table *t = e->map;
    uint32_t h = keytab_find(&t->keys, vni, mac);
    const struct ent *en = h ? ent_at(t, h) : NULL;
    if (!en || !(en->flags & F_REMOTE) || !ip_equal(&vtep_at(t, en->owner)->ip, from))
        return false;
    uint64_t *next_us = &t->smr_us[h % SMRS];
    if (e->now_us < *next_us)
        return false;
    *next_us = e->now_us + SMR_US;
    return true;
}

bool
mapping_relays(
    const struct edge *e, uint32_t vni, const struct mac *mac, const struct ip *from)
{
    const struct mapping_table *t = e->map;
    uint32_t h = keytab_find(&t->keys, vni, mac);
    uint32_t vtep =
        map_find(&t->by_vtep, map_hash(&t->by_vtep, from, sizeof *from), from);
    uint8_t both = F_TOMB | F_REMOTE;
    return h && vtep && (ent_at(t, h)->flags & both) == both;
}

bool
mapping_astray(
    const struct edge *e, uint32_t vni, const struct mac *mac, const struct ip *from)
{
    const struct mapping_table *t = e->map;
    uint32_t h = keytab_find(&t->keys, vni, mac);
    if (!map_find(&t->by_vtep, map_hash(&t->by_vtep, from, sizeof *from), from))
        return false;
    return !h || !(ent_at(t, h)->flags & F_LOCAL || mapping_waits(t, ent_at(t, h)));
}
