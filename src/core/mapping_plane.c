/* SPDX-License-Identifier: Apache-2.0 */
/* What the mapping plane says of others: records (E3), withdrawals (E4), denials (K8),
 * snapshots (K5), members, and the loss of its session (K11). Each goes through one
 * verdict on the entry's epoch; each with a number is acknowledged when its operations
 * are done, whatever the verdict. */
#include "core/mapping_int.h"

#include "base/log.h"

static void
vn_complete(struct mapping_table *t, struct mvn *v, bool complete)
{
    if ((v->wanted || v->watched) && v->complete != complete)
        t->n_incomplete += complete ? (uint32_t)-1 : 1;
    v->complete = complete;
}

/* A snapshot is due: of all (wanted), or of the members alone (watched). */
static void
vn_await(struct mapping_table *t, struct mvn *v, bool all)
{
    if (all ? v->wanted : v->watched)
        return;
    if (!(v->wanted || v->watched) || v->complete)
        t->n_incomplete++;
    v->wanted = all;
    v->watched = !all;
    v->complete = 0;
}

/* ---- the mapping plane ---- */

static enum mapping_verdict
remote_verdict(const struct edge *e, uint32_t h, const struct mapping_rec *rec)
{
    const struct ent *en = ent_at(e->map, h);
    bool owned = en->flags & (F_LOCAL | F_REMOTE);
    if (rec->epoch > en->epoch)
        return en->flags & F_LOCAL ? MAPPING_TOOK_LOCAL : MAPPING_ACCEPTED;
    /* It stands for nothing but a hold: its number is of somebody who has withdrawn,
     * and elsewhere it was forgotten with him. */
    if (!owned && !(en->flags & F_TOMB))
        return MAPPING_ACCEPTED;
    if (rec->epoch < en->epoch)
        return MAPPING_STALE;
    /* Nobody's: our own tombstone is not undone by its like, but a later owner whom we
     * heard of, and who was out of the list for a while, comes back with what he had
     * (E6).
     */
    if (!owned)
        return en->flags & F_THEIRS && en->migration_id == rec->migration_id
                   ? MAPPING_ACCEPTED
                   : MAPPING_STALE;
    if (en->flags & F_LOCAL)
        return MAPPING_CONFLICT;
    /* From the owner itself it is the same, by whatever id: between two of its ports, or
     * over its authority's end, that may get lost (E6, F15). */
    const struct vtep *v = vtep_at(e->map, en->owner);
    return ip_equal(&v->ip, &rec->owner) ? MAPPING_SAME : MAPPING_CONFLICT;
}

/* Subscribed, or somebody stands here: the local ones are first in the list. VN 0 is of
 * all: it lists the endpoints of every NVE (K11). */
static bool
in_use(const struct mapping_table *t, uint32_t vni)
{
    if (vni == 0)
        return true;
    uint32_t vn = mapping_vn_find(t, vni);
    const struct mvn *v = vn ? vn_at(t, vn) : NULL;
    return v && (v->wanted || v->watched ||
                    (v->head && ent_at(t, v->head)->flags & F_LOCAL));
}

static enum mapping_verdict
remote_apply(struct edge *e, const struct mapping_rec *rec, uint64_t seq, uint32_t *att)
{
    struct mapping_table *t = e->map;
    if (!mapping_key_valid(rec->vni, &rec->mac) || ip_is_none(&rec->owner))
        return MAPPING_STALE;
    uint32_t h = keytab_find(&t->keys, rec->vni, &rec->mac);
    if (ip_equal(&rec->owner, &e->conf.vtep)) /* our own words: we know better */
        return h && ent_at(t, h)->flags & F_LOCAL ? MAPPING_SAME : MAPPING_STALE;
    if (!h && seq && !in_use(t, rec->vni)) /* on its way when we unsubscribed */
        return MAPPING_STALE;
    if (!h && !(h = mapping_ent_get(e, rec->vni, &rec->mac)))
        return MAPPING_FULL;
    enum mapping_verdict verdict = remote_verdict(e, h, rec);
    struct mvn *v = vn_at(t, mapping_vn_find(t, rec->vni));
    if (verdict == MAPPING_STALE || verdict == MAPPING_CONFLICT) {
        ent_at(t, h)->gen = v->gen; /* the key was named, if by an older owner */
        return verdict;
    }
    uint32_t vtep = mapping_vtep_get(t, &rec->owner);
    struct ent *en = ent_at(t, h);
    if (!vtep) {
        if (!en->flags)
            mapping_ent_vacate(e, h);
        return MAPPING_FULL;
    }
    bool pulled =
        !v->wanted || (seq == 0 && (!(en->flags & F_REMOTE) || en->flags & F_PULLED));
    bool moved = verdict != MAPPING_SAME;
    if (verdict == MAPPING_TOOK_LOCAL) {
        if (att)
            *att = en->att;
        /* We were the owner in this incarnation (D1), and nobody waits for it (D4). */
        if (!mapping_waits(t, en) && !(en->flags & F_ASKED))
            en->flags |= F_TOMB;
    }
    en->flags = (uint8_t)((en->flags & F_TOMB) | F_REMOTE | (pulled ? F_PULLED : 0));
    en->att = 0;
    en->epoch = rec->epoch;
    en->migration_id = rec->migration_id;
    en->gen = v->gen;
    if (moved) {
        if (verdict == MAPPING_TOOK_LOCAL)
            mapping_ent_place(t, h, false);
        uint32_t old = en->owner;
        mapping_owner_take(e, vtep);
        en->owner = vtep;
        mapping_fdb_emit(e, h);
        mapping_owner_drop(e, old);
    }
    mapping_neg_clear(e, rec->vni, &rec->mac, NULL);
    if (moved && rec->n_ips == 0)
        mapping_neg_clear_ips(e, rec->vni);
    mapping_ips_replace(e, h, rec->ips, rec->n_ips, rec->low_trust);
    return verdict;
}

enum mapping_verdict
mapping_remote_set(
    struct edge *e, const struct mapping_rec *rec, uint64_t seq, uint32_t *att)
{
    if (att)
        *att = 0;
    mapping_push_begin(e, seq, rec->vni, &rec->mac);
    enum mapping_verdict verdict = remote_apply(e, rec, seq, att);
    mapping_push_end(e);
    bool echo = ip_equal(&rec->owner, &e->conf.vtep);
    if (!echo && (verdict == MAPPING_STALE || verdict == MAPPING_CONFLICT)) {
        char mac[MAC_STR], ip[IP_STR];
        edge_count(e, EDGEC_STALE_MAPS);
        log_dbg("mapping", "vni=%u mac=%s owner=%s epoch=%llu %s", rec->vni,
            mac_str(&rec->mac, mac), ip_str(&rec->owner, ip),
            (unsigned long long)rec->epoch, mapping_verdict_str(verdict));
    }
    return verdict;
}

enum mapping_verdict
mapping_remote_del(struct edge *e, const struct mapping_rec *rec, uint64_t seq)
{
    struct mapping_table *t = e->map;
    enum mapping_verdict verdict = MAPPING_STALE;
    mapping_push_begin(e, seq, rec->vni, &rec->mac);
    uint32_t h = keytab_find(&t->keys, rec->vni, &rec->mac);
    if (h && ent_at(t, h)->flags & F_REMOTE) {
        const struct ent *en = ent_at(t, h);
        const struct vtep *v = vtep_at(t, en->owner);
        /* A withdrawal of a later residence than we know of ends this one too: what
         * came between was left out of the stream as overtaken (K5). */
        if (rec->epoch > en->epoch ||
            (rec->epoch == en->epoch && ip_equal(&v->ip, &rec->owner))) {
            mapping_ent_vacate(e, h);
            verdict = MAPPING_ACCEPTED;
        }
    }
    mapping_push_end(e);
    /* Our own coming back, or nothing but a number to acknowledge: nobody is late. */
    bool echo = ip_equal(&rec->owner, &e->conf.vtep) || mac_is_none(&rec->mac);
    if (verdict == MAPPING_STALE && !echo)
        edge_count(e, EDGEC_STALE_MAPS);
    return verdict;
}

void
mapping_negative(struct edge *e, uint32_t vni, const struct mac *mac,
    const struct ip *ip, uint64_t hold_us)
{
    struct mapping_table *t = e->map;
    bool by_ip = ip && !ip_is_none(ip);
    if (!by_ip && (!mac || mac_is_none(mac)))
        return;
    uint32_t h =
        by_ip ? keytab_holder(&t->keys, vni, ip) : keytab_find(&t->keys, vni, mac);
    if (h) {
        /* Pulled knowledge ends by a negative answer; pushed and local ones know
         * better. */
        if ((ent_at(t, h)->flags & (F_REMOTE | F_PULLED)) != (F_REMOTE | F_PULLED))
            return;
        struct mapping_rec left = {0};
        if (by_ip) {
            mapping_ip_change(e, h, ip, false, false);
            keytab_rec(&t->keys, h, &left);
        }
        if (left.n_ips == 0) /* found by its address, and told of by that alone */
            mapping_ent_vacate(e, h);
    }
    uint64_t max_us = e->conf.settings[SET_NEG_US];
    if (hold_us == 0 || hold_us > max_us)
        hold_us = max_us;
    struct neg_key k = mapping_neg_key(vni, mac, ip);
    uint32_t hash = map_hash(&t->by_neg, &k, sizeof k);
    uint32_t n = map_find(&t->by_neg, hash, &k);
    if (!n) {
        if (!(n = slab_get(&t->negs)))
            return; /* full: the data plane goes on asking, at its own bounded rate */
        struct neg *neg = slab_at(&t->negs, n);
        neg->vni = vni;
        neg->mac = k.mac;
        neg->ip = k.ip;
        map_add(&t->by_neg, hash, n);
        edge_count(e, EDGEC_NEGATIVES);
    }
    timers_set(&e->timers, &((struct neg *)slab_at(&t->negs, n))->timer,
        e->now_us + hold_us, TIMER_MAP_NEG, n);
    struct dp_op *op = mapping_op(e, DP_NEG_SET);
    op->u.neg.vni = vni;
    op->u.neg.mac = k.mac;
    op->u.neg.ip = k.ip;
    op->u.neg.hold_us = hold_us;
}

static uint32_t
member_hash(const struct mapping_table *t, uint32_t vn, uint32_t vtep)
{
    return map_hash(&t->by_member, (uint32_t[]){vn, vtep}, 8);
}

static uint32_t
member_find(const struct mapping_table *t, uint32_t vn, const struct ip *ip)
{
    uint32_t vtep = map_find(&t->by_vtep, map_hash(&t->by_vtep, ip, sizeof *ip), ip);
    if (!vtep)
        return 0;
    return map_find(&t->by_member, member_hash(t, vn, vtep), (uint32_t[]){vn, vtep});
}

static void
member_del(struct edge *e, uint32_t h)
{
    struct mapping_table *t = e->map;
    const struct member *m = member_at(t, h);
    struct mvn *v = vn_at(t, m->vn);
    map_del(&t->by_member, member_hash(t, m->vn, m->vtep), h);
    if (m->next)
        member_at(t, m->next)->prev = m->prev;
    if (m->prev)
        member_at(t, m->prev)->next = m->next;
    else
        v->members = m->next;
    vtep_at(t, m->vtep)->n_members--;
    if (v->vni == 0) {
        mapping_owner_drop(e, m->vtep);
    } else {
        mapping_member_emit(e, DP_MEMBER_DEL, v->vni, m->vtep);
        mapping_vtep_put(t, m->vtep);
    }
    slab_put(&t->members, h);
}

static uint32_t
member_new(struct edge *e, uint32_t vn, const struct ip *ip)
{
    struct mapping_table *t = e->map;
    struct mvn *v = vn_at(t, vn);
    uint32_t vtep = mapping_vtep_get(t, ip), h = vtep ? slab_get(&t->members) : 0;
    if (!h) {
        if (vtep)
            mapping_vtep_put(t, vtep);
        log_warn("mapping", "vni=%u no room for another member", v->vni);
        return 0;
    }
    struct member *m = member_at(t, h);
    m->vn = vn;
    m->vtep = vtep;
    m->next = v->members;
    if (m->next)
        member_at(t, m->next)->prev = h;
    v->members = h;
    map_add(&t->by_member, member_hash(t, vn, vtep), h);
    vtep_at(t, vtep)->n_members++;
    if (v->vni == 0) /* "known" has one count, whoever says it */
        mapping_owner_take(e, vtep);
    else
        mapping_member_emit(e, DP_MEMBER_SET, v->vni, vtep);
    return h;
}

static void
member_add(struct edge *e, uint32_t vn, const struct ip *ip)
{
    struct mapping_table *t = e->map;
    uint32_t h = member_find(t, vn, ip);
    if (!h && !(h = member_new(e, vn, ip)))
        return;
    struct member *m = member_at(t, h);
    m->gen = vn_at(t, vn)->gen;
    m->stale = 0;
}

void
mapping_member(
    struct edge *e, uint32_t vni, const struct ip *vtep, bool add, uint64_t seq)
{
    struct mapping_table *t = e->map;
    mapping_push_begin(e, seq, vni, NULL);
    bool usable = !ip_is_none(vtep) && !ip_equal(vtep, &e->conf.vtep) && vni <= VNI_MAX;
    if (add && seq && !in_use(t, vni))
        usable = false; /* on its way when we unsubscribed */
    uint32_t vn = !usable ? 0 : add ? mapping_vn_get(t, vni) : mapping_vn_find(t, vni);
    if (vn && add) {
        member_add(e, vn, vtep);
    } else if (vn) {
        uint32_t h = member_find(t, vn, vtep);
        if (h)
            member_del(e, h);
    }
    if (vn)
        mapping_vn_put(t, vn);
    mapping_push_end(e);
}

enum vn_sweep { SWEEP_UNNAMED, SWEEP_STALE, SWEEP_ALL };

static void
vn_sweep(struct edge *e, uint32_t vn, enum vn_sweep what)
{
    struct mapping_table *t = e->map;
    struct mvn *v = vn_at(t, vn);
    v->wanted++; /* it must not go away under the walk */
    for (uint32_t h = v->head, next; h; h = next) {
        const struct ent *en = ent_at(t, h);
        next = en->next;
        if (!(en->flags & F_REMOTE))
            continue;
        if (what == SWEEP_ALL || (what == SWEEP_STALE && en->flags & F_STALE) ||
            (what == SWEEP_UNNAMED && !(en->flags & F_PULLED) && en->gen != v->gen)) {
            /* Leaving a tombstone moves it to the tail: it is no longer REMOTE there.
             */
            mapping_ent_vacate(e, h);
        }
    }
    for (uint32_t h = v->members, next; h; h = next) {
        const struct member *m = member_at(t, h);
        next = m->next;
        if (what == SWEEP_ALL || (what == SWEEP_STALE && m->stale) ||
            (what == SWEEP_UNNAMED && m->gen != v->gen))
            member_del(e, h);
    }
    v->wanted--;
    mapping_vn_put(t, vn);
}

void
mapping_snapshot(struct edge *e, uint32_t vni, bool begin, uint64_t seq)
{
    struct mapping_table *t = e->map;
    mapping_push_begin(e, seq, vni, NULL);
    uint32_t vn = vni <= VNI_MAX ? mapping_vn_get(t, vni) : 0;
    if (vn && begin) {
        vn_at(t, vn)->gen++;
        mapping_vn_put(t, vn);
    } else if (vn) {
        vn_complete(t, vn_at(t, vn), true);
        vn_sweep(e, vn, SWEEP_UNNAMED);
    }
    mapping_push_end(e);
}

void
mapping_vn(struct edge *e, uint32_t vni, bool wanted)
{
    struct mapping_table *t = e->map;
    uint32_t vn = wanted ? mapping_vn_get(t, vni) : mapping_vn_find(t, vni);
    if (!vn)
        return;
    struct mvn *v = vn_at(t, vn);
    if (wanted) {
        vn_await(t, v, true);
    } else {
        vn_complete(t, v, true);
        v->wanted = v->watched = 0;
        v->complete = 0;
        mapping_neg_clear_all(e, vni);
        vn_sweep(e, vn, SWEEP_ALL);
    }
}

void
mapping_vn_watch(struct edge *e, uint32_t vni)
{
    struct mapping_table *t = e->map;
    uint32_t vn = mapping_vn_get(t, vni);
    if (vn)
        vn_await(t, vn_at(t, vn), false);
}

void
mapping_session(struct edge *e, bool up)
{
    struct mapping_table *t = e->map;
    mapping_push_forget(e);
    for (uint32_t it = 0, h; (h = slab_each(&t->vns, &it));)
        vn_complete(t, vn_at(t, h), false);
    for (uint32_t it = 0, h; (h = keytab_each(&t->keys, &it));) {
        struct ent *en = ent_at(t, h);
        if (!(en->flags & F_REMOTE))
            continue;
        en->flags |= F_STALE;
        /* The authority may have lost that we look at this key (K8). */
        if (up && en->flags & F_PULLED) {
            struct edge_out *o = edge_emit(e, EDGE_QUERY);
            o->u.query.vni = en->key.vni;
            o->u.query.mac = en->key.mac;
            edge_count(e, EDGEC_QUERIES);
        }
    }
    for (uint32_t it = 0, h; (h = slab_each(&t->members, &it));)
        member_at(t, h)->stale = 1;
    if (up) {
        mapping_neg_clear_all(e, 0);
        mapping_targets_unsaid(e, false);
    }
    timers_set(&e->timers, &t->stale, e->now_us + e->conf.settings[SET_STALE_US],
        TIMER_MAP_STALE, 0);
}

void
mapping_timer(struct edge *e, uint32_t kind, uint32_t ref)
{
    struct mapping_table *t = e->map;
    if (kind == TIMER_MAP_NEG) {
        mapping_neg_free(e, ref, false); /* the data plane's copy expires by itself */
    } else if (kind == TIMER_MAP_RETRY) {
        mapping_push_retry(e, ref);
    } else if (kind == TIMER_MAP_LATE) {
        mapping_late_end(e, ref);
    } else if (kind == TIMER_MAP_STALE) {
        for (uint32_t it = 0, h; (h = slab_each(&t->vns, &it));)
            vn_sweep(e, h, SWEEP_STALE);
        if (e->session_up)
            mapping_targets_unsaid(e, true);
    }
}

bool
mapping_synced(const struct edge *e)
{
    return e->map->n_incomplete == 0;
}
