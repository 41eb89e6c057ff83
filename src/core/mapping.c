/* SPDX-License-Identifier: Apache-2.0 */
/* One entry per (VN, MAC): resident here (LOCAL), at another NVE (REMOTE), or gone from
 * here with a licence to relay (TOMB, D1). An entry's epoch is the highest accepted
 * one, so E3 and E4 are comparisons at one place. Entries of a VN are one list, local
 * ones first (the ARP agent walks those), and carry the number of the last snapshot
 * that named them (K5). Tunnel endpoints are counted objects: an owner is an index, and
 * an endpoint is "known" (K11) as long as a mapping or a membership speaks of it. */
#include "core/mapping_int.h"

#include <string.h>

#include "core/arp.h"

const char *
mapping_verdict_str(uint8_t verdict)
{
    static const char *const names[] = {
        [MAPPING_ACCEPTED] = "accepted",
        [MAPPING_STALE] = "stale",
        [MAPPING_SAME] = "same",
        [MAPPING_CONFLICT] = "conflict",
        [MAPPING_TOOK_LOCAL] = "took-local",
        [MAPPING_FULL] = "full",
    };
    return verdict < sizeof names / sizeof *names ? names[verdict] : "?";
}

static bool
vn_eq(const void *ctx, uint32_t h, const void *key)
{
    const struct mapping_table *t = ctx;
    return ((struct mvn *)slab_at(&t->vns, h))->vni == *(const uint32_t *)key;
}

static bool
vtep_eq(const void *ctx, uint32_t h, const void *key)
{
    const struct mapping_table *t = ctx;
    return ip_equal(&vtep_at(t, h)->ip, key);
}

static bool
neg_eq(const void *ctx, uint32_t h, const void *key)
{
    const struct mapping_table *t = ctx;
    const struct neg *n = slab_at(&t->negs, h);
    const struct neg_key *k = key;
    return n->vni == k->vni && mac_equal(&n->mac, &k->mac) && ip_equal(&n->ip, &k->ip);
}

static bool
member_eq(const void *ctx, uint32_t h, const void *key)
{
    const struct mapping_table *t = ctx;
    const struct member *m = member_at(t, h);
    const uint32_t *k = key;
    return m->vn == k[0] && m->vtep == k[1];
}

void
mapping_open(struct edge *e)
{
    struct mapping_table *t = mem_alloc(sizeof *t);
    uint32_t max = (uint32_t)e->conf.settings[SET_MAX_MAPPINGS];
    uint32_t vns = (uint32_t)e->conf.settings[SET_MAX_VNS];
    keytab_init(&t->keys, sizeof(struct ent), max, edge_seed(e, 0x100));
    slab_init(&t->vns, sizeof(struct mvn), vns);
    slab_init(&t->members, sizeof(struct member), max);
    slab_init(&t->negs, sizeof(struct neg), NEGS_MAX);
    slab_init(&t->pushes, sizeof(struct push), PUSHES_MAX);
    pool_init(&t->vteps, sizeof(struct vtep), max);
    pool_init(&t->moves, sizeof(struct move), max);
    map_init(&t->by_vni, vn_eq, t, edge_seed(e, 0x101));
    map_init(&t->by_vtep, vtep_eq, t, edge_seed(e, 0x102));
    map_init(&t->by_neg, neg_eq, t, edge_seed(e, 0x103));
    map_init(&t->by_member, member_eq, t, edge_seed(e, 0x104));
    e->map = t;
}

void
mapping_close(struct edge *e)
{
    struct mapping_table *t = e->map;
    if (!t)
        return;
    timers_clear(&e->timers, &t->stale);
    for (uint32_t it = 0, h; (h = slab_each(&t->negs, &it));)
        timers_clear(&e->timers, &((struct neg *)slab_at(&t->negs, h))->timer);
    for (uint32_t it = 0, h; (h = slab_each(&t->pushes, &it));)
        timers_clear(&e->timers, &((struct push *)slab_at(&t->pushes, h))->timer);
    for (uint32_t it = 0, h; (h = keytab_each(&t->keys, &it));)
        if (ent_at(t, h)->move)
            timers_clear(&e->timers,
                &((struct move *)pool_at(&t->moves, ent_at(t, h)->move))->timer);
    keytab_done(&t->keys);
    slab_done(&t->vns);
    slab_done(&t->members);
    slab_done(&t->negs);
    slab_done(&t->pushes);
    pool_done(&t->vteps);
    pool_done(&t->moves);
    map_done(&t->by_vni);
    map_done(&t->by_vtep);
    map_done(&t->by_neg);
    map_done(&t->by_member);
    mem_free(t);
    e->map = NULL;
}

/* ---- virtual networks, tunnel endpoints ---- */

uint32_t
mapping_vn_find(const struct mapping_table *t, uint32_t vni)
{
    return map_find(&t->by_vni, map_hash(&t->by_vni, &vni, sizeof vni), &vni);
}

uint32_t
mapping_vn_get(struct mapping_table *t, uint32_t vni)
{
    uint32_t h = mapping_vn_find(t, vni);
    if (h || !(h = slab_get(&t->vns)))
        return h;
    vn_at(t, h)->vni = vni;
    map_add(&t->by_vni, map_hash(&t->by_vni, &vni, sizeof vni), h);
    return h;
}

void
mapping_vn_put(struct mapping_table *t, uint32_t h)
{
    struct mvn *v = vn_at(t, h);
    if (v->n || v->members || v->wanted || v->watched)
        return;
    map_del(&t->by_vni, map_hash(&t->by_vni, &v->vni, sizeof v->vni), h);
    slab_put(&t->vns, h);
}

static void
ent_link(struct mapping_table *t, struct mvn *v, uint32_t h, bool first)
{
    struct ent *en = ent_at(t, h);
    en->next = first ? v->head : 0;
    en->prev = first ? 0 : v->tail;
    if (en->next)
        ent_at(t, en->next)->prev = h;
    else
        v->tail = h;
    if (en->prev)
        ent_at(t, en->prev)->next = h;
    else
        v->head = h;
    v->n++;
}

static void
ent_unlink(struct mapping_table *t, struct mvn *v, uint32_t h)
{
    struct ent *en = ent_at(t, h);
    if (en->next)
        ent_at(t, en->next)->prev = en->prev;
    else
        v->tail = en->prev;
    if (en->prev)
        ent_at(t, en->prev)->next = en->next;
    else
        v->head = en->next;
    v->n--;
}

uint32_t
mapping_vtep_get(struct mapping_table *t, const struct ip *ip)
{
    uint32_t hash = map_hash(&t->by_vtep, ip, sizeof *ip);
    uint32_t h = map_find(&t->by_vtep, hash, ip);
    if (h || !(h = pool_get(&t->vteps)))
        return h;
    vtep_at(t, h)->ip = *ip;
    map_add(&t->by_vtep, hash, h);
    return h;
}

void
mapping_vtep_put(struct mapping_table *t, uint32_t h)
{
    struct vtep *v = vtep_at(t, h);
    if (v->n_maps || v->n_members)
        return;
    map_del(&t->by_vtep, map_hash(&t->by_vtep, &v->ip, sizeof v->ip), h);
    pool_put(&t->vteps, h);
}

/* An endpoint must be known before a frame can be sent to it or taken from it (K11):
 * take the new one before the FDB speaks of it, drop the old one after. */
void
mapping_owner_take(struct edge *e, uint32_t vtep)
{
    if (vtep_at(e->map, vtep)->n_maps++ == 0)
        mapping_member_emit(e, DP_MEMBER_SET, 0, vtep);
}

void
mapping_owner_drop(struct edge *e, uint32_t vtep)
{
    if (vtep && --vtep_at(e->map, vtep)->n_maps == 0) {
        mapping_member_emit(e, DP_MEMBER_DEL, 0, vtep);
        mapping_vtep_put(e->map, vtep);
    }
}

/* ---- negative answers (K8) ---- */

struct neg_key
mapping_neg_key(uint32_t vni, const struct mac *mac, const struct ip *ip)
{
    struct neg_key k = {.vni = vni};
    if (ip && !ip_is_none(ip))
        k.ip = *ip;
    else if (mac)
        k.mac = *mac;
    return k;
}

void
mapping_neg_free(struct edge *e, uint32_t h, bool emit)
{
    struct mapping_table *t = e->map;
    struct neg *n = slab_at(&t->negs, h);
    struct neg_key k = mapping_neg_key(n->vni, &n->mac, &n->ip);
    if (emit) {
        struct dp_op *op = mapping_op(e, DP_NEG_DEL);
        op->u.neg.vni = n->vni;
        op->u.neg.mac = n->mac;
        op->u.neg.ip = n->ip;
    }
    timers_clear(&e->timers, &n->timer);
    map_del(&t->by_neg, map_hash(&t->by_neg, &k, sizeof k), h);
    slab_put(&t->negs, h);
}

void
mapping_neg_clear(
    struct edge *e, uint32_t vni, const struct mac *mac, const struct ip *ip)
{
    struct mapping_table *t = e->map;
    if (t->negs.pool.n == 0)
        return;
    struct neg_key k = mapping_neg_key(vni, mac, ip);
    uint32_t h = map_find(&t->by_neg, map_hash(&t->by_neg, &k, sizeof k), &k);
    if (h)
        mapping_neg_free(e, h, true);
}

void
mapping_neg_clear_all(struct edge *e, uint32_t vni)
{
    struct mapping_table *t = e->map;
    for (uint32_t it = 0, h; (h = slab_each(&t->negs, &it));)
        if (vni == 0 || ((struct neg *)slab_at(&t->negs, h))->vni == vni)
            mapping_neg_free(e, h, true);
}

/* A VM came whose addresses nobody knows (K8): any that was denied may be one of them.
 */
void
mapping_neg_clear_ips(struct edge *e, uint32_t vni)
{
    struct mapping_table *t = e->map;
    for (uint32_t it = 0, h; (h = slab_each(&t->negs, &it));) {
        const struct neg *n = slab_at(&t->negs, h);
        if (n->vni == vni && !ip_is_none(&n->ip))
            mapping_neg_free(e, h, true);
    }
}

/* ---- addresses of an entry ---- */

/* One claim made (add) or dropped. The data plane hears of it when the holder changes;
 * VMs that heard the old holder's MAC from us hear the new one (F18). */
bool
mapping_ip_change(struct edge *e, uint32_t h, const struct ip *ip, bool add, bool low)
{
    struct mapping_table *t = e->map;
    uint32_t vni = ent_at(t, h)->key.vni;
    uint32_t was = keytab_holder(&t->keys, vni, ip);
    if (!add)
        keytab_ip_del(&t->keys, h, ip);
    else if (!keytab_ip_add(&t->keys, h, ip, low))
        return false;
    uint32_t holder = keytab_holder(&t->keys, vni, ip);
    if (holder != was) {
        if (holder)
            mapping_neg_clear(e, vni, NULL, ip);
        mapping_neigh_emit(e, vni, ip, holder);
        if (was && holder)
            arp_announce(e, vni, ip, &ent_at(t, holder)->key.mac);
    }
    return true;
}

static bool
link_local(const struct ip *ip)
{
    return !ip_is_v4(ip) && ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80;
}

static bool
ip_usable(const struct ip *ip)
{
    if (ip_is_none(ip))
        return false;
    if (!ip_is_v4(ip))
        return ip->b[0] != 0xff; /* multicast */
    uint32_t v4 = ip_to_v4(ip);
    return v4 >> 24 != 0 && v4 >> 24 != 127 && v4 >> 28 != 14 && v4 != 0xffffffff;
}

void
mapping_ips_replace(
    struct edge *e, uint32_t h, const struct ip *ips, uint32_t n, uint8_t low_trust)
{
    struct mapping_table *t = e->map;
    struct mapping_rec old;
    keytab_rec(&t->keys, h, &old);
    for (uint32_t i = 0; i < old.n_ips; i++) {
        uint32_t j = 0;
        while (j < n && !ip_equal(&ips[j], &old.ips[i]))
            j++;
        if (j == n)
            mapping_ip_change(e, h, &old.ips[i], false, false);
    }
    for (uint32_t i = 0; i < n && i < TNS_IPS_MAX; i++)
        if (ip_usable(&ips[i]))
            mapping_ip_change(e, h, &ips[i], true, low_trust >> i & 1);
}

/* ---- entries ---- */

uint32_t
mapping_ent_get(struct edge *e, uint32_t vni, const struct mac *mac)
{
    struct mapping_table *t = e->map;
    uint32_t h = keytab_find(&t->keys, vni, mac);
    if (h)
        return h;
    uint32_t vn = mapping_vn_get(t, vni);
    if (!vn)
        return 0;
    if (!(h = keytab_add(&t->keys, vni, mac))) {
        mapping_vn_put(t, vn);
        return 0;
    }
    ent_link(t, vn_at(t, vn), h, false);
    return h;
}

/* Local entries stand first in their VN's list. */
void
mapping_ent_place(struct mapping_table *t, uint32_t h, bool local)
{
    struct mvn *v = vn_at(t, mapping_vn_find(t, ent_at(t, h)->key.vni));
    ent_unlink(t, v, h);
    ent_link(t, v, h, local);
}

/* Nobody owns it any more: addresses and owner go; the entry stays as a tombstone, or
 * because somebody waits for the VM here (then it is none, D4). */
void
mapping_ent_vacate(struct edge *e, uint32_t h)
{
    struct mapping_table *t = e->map;
    struct ent *en = ent_at(t, h);
    mapping_ips_replace(e, h, NULL, 0, 0);
    en->flags = en->flags & F_TOMB ? F_TOMB | (en->flags & F_REMOTE ? F_THEIRS : 0) : 0;
    en->att = 0;
    mapping_fdb_emit(e, h);
    mapping_owner_drop(e, en->owner);
    en->owner = 0;
    if (en->flags & F_TOMB || en->move) {
        mapping_ent_place(t, h, false);
        return;
    }
    uint32_t vn = mapping_vn_find(t, en->key.vni);
    ent_unlink(t, vn_at(t, vn), h);
    keytab_del(&t->keys, h);
    mapping_vn_put(t, vn);
}

bool
mapping_key_valid(uint32_t vni, const struct mac *mac)
{
    return vni > 0 && vni <= VNI_MAX && !mac_is_none(mac) && !mac_is_group(mac);
}

enum mapping_verdict
mapping_local_set(struct edge *e, const struct mapping_local *l, uint8_t ticket_kind,
    uint32_t ticket_ref)
{
    struct mapping_table *t = e->map;
    if (!mapping_key_valid(l->vni, &l->mac))
        return MAPPING_STALE;
    uint32_t h = keytab_find(&t->keys, l->vni, &l->mac);
    if (h) {
        const struct ent *en = ent_at(t, h);
        if (l->epoch < en->epoch)
            return MAPPING_STALE;
        if (l->epoch == en->epoch && en->migration_id != l->migration_id &&
            en->flags & F_LOCAL && en->att != l->att)
            return MAPPING_CONFLICT;
        if (l->epoch == en->epoch && en->flags & F_REMOTE)
            return MAPPING_CONFLICT;
    } else if (!(h = mapping_ent_get(e, l->vni, &l->mac))) {
        return MAPPING_FULL;
    }
    struct ent *en = ent_at(t, h);
    bool was_local = en->flags & F_LOCAL;
    enum mapping_verdict verdict =
        was_local && en->epoch == l->epoch && en->att == l->att ? MAPPING_SAME
                                                                : MAPPING_ACCEPTED;
    en->flags = F_LOCAL | (l->asked ? F_ASKED : 0);
    mapping_move_local(t, h, l);
    en->att = l->att;
    en->port = (uint16_t)l->port;
    en->vid = l->vid;
    en->pcp = l->pcp;
    en->epoch = l->epoch;
    en->migration_id = l->migration_id;
    if (!was_local)
        mapping_ent_place(t, h, true);
    if (en->owner) {
        mapping_fdb_emit(e, h);
        mapping_owner_drop(e, en->owner);
        en->owner = 0;
    }
    mapping_neg_clear(e, l->vni, &l->mac, NULL);
    if (!was_local && l->n_ips == 0)
        mapping_neg_clear_ips(e, l->vni);
    mapping_ips_replace(e, h, l->ips, l->n_ips, l->low_trust);
    uint32_t dropped = mapping_hold_begin(e, h);
    mapping_fdb_fill(t, en, edge_dp(e, DP_FDB_SET, ticket_kind, ticket_ref));
    mapping_hold_end(e, h);
    mapping_owner_drop(e, dropped);
    return verdict;
}

void
mapping_local_back(struct edge *e, uint32_t vni, const struct mac *mac, uint32_t att,
    uint64_t epoch, uint64_t migration_id)
{
    uint32_t h = keytab_find(&e->map->keys, vni, mac);
    if (!h)
        return;
    struct ent *en = ent_at(e->map, h);
    if (!(en->flags & F_LOCAL) || en->att != att)
        return;
    en->epoch = epoch;
    en->migration_id = migration_id;
}

void
mapping_local_clear(
    struct edge *e, uint32_t vni, const struct mac *mac, uint32_t att, bool tomb)
{
    struct mapping_table *t = e->map;
    uint32_t h = keytab_find(&t->keys, vni, mac);
    if (!h)
        return;
    struct ent *en = ent_at(t, h);
    if (!(en->flags & F_LOCAL) || en->att != att)
        return; /* another instance took over (F15), or a newer owner did */
    if (tomb && !mapping_waits(t, en) && !(en->flags & F_ASKED)) {
        en->flags |= F_TOMB;
        if (e->conf.authority) /* else nobody will say where it went */
            mapping_late(e, h);
    }
    mapping_ent_vacate(e, h);
}

void
mapping_tomb_set(struct edge *e, uint32_t vni, const struct mac *mac, uint64_t epoch)
{
    struct mapping_table *t = e->map;
    uint32_t h = mapping_key_valid(vni, mac) ? mapping_ent_get(e, vni, mac) : 0;
    if (!h)
        return;
    struct ent *en = ent_at(t, h);
    if (en->flags & F_LOCAL || mapping_waits(t, en))
        return;
    en->flags |= F_TOMB;
    if (epoch >= en->epoch) {
        en->epoch = epoch;
        en->migration_id = 0;
        /* what we took for the owner is not newer than we were (D1) */
        mapping_ent_vacate(e, h);
        ent_at(t, h)->flags &= (uint8_t)~F_THEIRS;
    } else {
        mapping_fdb_emit(e, h);
    }
}

void
mapping_tomb_clear(struct edge *e, uint32_t vni, const struct mac *mac)
{
    struct mapping_table *t = e->map;
    uint32_t h = keytab_find(&t->keys, vni, mac);
    if (!h || !(ent_at(t, h)->flags & F_TOMB))
        return;
    struct ent *en = ent_at(t, h);
    en->flags &= (uint8_t)~F_TOMB;
    if (en->flags & (F_LOCAL | F_REMOTE))
        mapping_fdb_emit(e, h);
    else
        mapping_ent_vacate(e, h);
}

bool
mapping_tomb(const struct edge *e, uint32_t vni, const struct mac *mac)
{
    uint32_t h = keytab_find(&e->map->keys, vni, mac);
    return h && ent_at(e->map, h)->flags & F_TOMB;
}

bool
mapping_learn_ip(
    struct edge *e, uint32_t vni, const struct mac *mac, const struct ip *ip)
{
    struct mapping_table *t = e->map;
    uint32_t h = keytab_find(&t->keys, vni, mac);
    if (!h || !(ent_at(t, h)->flags & F_LOCAL))
        return false;
    uint32_t holder = keytab_holder(&t->keys, vni, ip);
    if (holder == h)
        return false;
    struct mapping_rec rec;
    keytab_rec(&t->keys, h, &rec);
    bool refused = !ip_usable(ip), low = true;
    /* Somebody else was signalled with it, or this one was signalled with others. */
    if (holder && keytab_ip_has(&t->keys, holder, ip, &low) && !low)
        refused = true;
    for (uint32_t i = 0; i < rec.n_ips && !link_local(ip); i++)
        if (!(rec.low_trust >> i & 1) && ip_is_v4(&rec.ips[i]) == ip_is_v4(ip) &&
            !link_local(&rec.ips[i]))
            refused = true;
    bool has = keytab_ip_has(&t->keys, h, ip, NULL);
    if (!has && rec.n_ips >= e->conf.settings[SET_MAX_IPS])
        refused = true;
    if (!refused && has)
        mapping_ip_change(
            e, h, ip, false, true); /* claimed anew: the latest one holds it (K1) */
    if (refused || !mapping_ip_change(e, h, ip, true, true)) {
        edge_count(e, EDGEC_LEARN_REFUSED);
        return false;
    }
    edge_count(e, EDGEC_LEARNED);
    return true;
}

/* ---- looking up ---- */

uint64_t
mapping_epoch(const struct edge *e, uint32_t vni, const struct mac *mac)
{
    uint32_t h = keytab_find(&e->map->keys, vni, mac);
    return h ? ent_at(e->map, h)->epoch : 0;
}

static void
rec_fill(const struct edge *e, uint32_t h, struct mapping_rec *rec)
{
    const struct ent *en = ent_at(e->map, h);
    *rec = (struct mapping_rec){
        .epoch = en->epoch,
        .migration_id = en->migration_id,
    };
    if (en->flags & F_LOCAL)
        rec->owner = e->conf.vtep;
    else if (en->owner)
        rec->owner = vtep_at(e->map, en->owner)->ip;
    keytab_rec(&e->map->keys, h, rec);
}

bool
mapping_find(const struct edge *e, uint32_t vni, const struct mac *mac,
    const struct ip *ip, struct mapping_rec *rec, uint32_t *att)
{
    const struct mapping_table *t = e->map;
    uint32_t h =
        mac ? keytab_find(&t->keys, vni, mac) : keytab_holder(&t->keys, vni, ip);
    if (att)
        *att = 0;
    if (!h || !(ent_at(t, h)->flags & (F_LOCAL | F_REMOTE)))
        return false;
    if (att && ent_at(t, h)->flags & F_LOCAL)
        *att = ent_at(t, h)->att;
    if (rec)
        rec_fill(e, h, rec);
    return true;
}

static void
place_fill(const struct mapping_table *t, uint32_t h, struct mapping_place *p)
{
    const struct ent *en = ent_at(t, h);
    *p = (struct mapping_place){
        .mac = en->key.mac,
        .port = en->port,
        .vid = en->vid,
        .pcp = en->pcp,
        .has_v4 = keytab_signalled(&t->keys, h, false),
        .has_v6 = keytab_signalled(&t->keys, h, true),
    };
}

bool
mapping_place_of(
    const struct edge *e, uint32_t vni, const struct mac *mac, struct mapping_place *p)
{
    uint32_t h = keytab_find(&e->map->keys, vni, mac);
    if (!h || !(ent_at(e->map, h)->flags & F_LOCAL))
        return false;
    place_fill(e->map, h, p);
    return true;
}

bool
mapping_each_local(
    const struct edge *e, uint32_t vni, uint32_t *it, struct mapping_place *p)
{
    const struct mapping_table *t = e->map;
    uint32_t vn = mapping_vn_find(t, vni);
    if (!vn)
        return false;
    uint32_t h = *it ? ent_at(t, *it)->next : vn_at(t, vn)->head;
    if (!h || !(ent_at(t, h)->flags & F_LOCAL))
        return false;
    *it = h;
    place_fill(t, h, p);
    return true;
}

/* ---- walks ---- */

/* Handles of entries first, then members above a mark that no pool reaches. */
#define EMIT_MEMBERS 0x80000000u

bool
mapping_emit_next(struct edge *e, uint32_t *it)
{
    struct mapping_table *t = e->map;
    uint32_t h = 0;
    if (!(*it & EMIT_MEMBERS)) {
        h = keytab_each(&t->keys, it);
        if (!h)
            *it = EMIT_MEMBERS;
    }
    if (h) {
        const struct ent *en = ent_at(t, h);
        const struct move *m = en->move ? pool_at(&t->moves, en->move) : NULL;
        if (m && m->target)
            mapping_member_emit(e, DP_MEMBER_SET, 0, m->target);
        if (m && m->held)
            mapping_hold_set(e, h);
        if (!(en->flags & (F_LOCAL | F_REMOTE)) && !mapping_provisional(t, en))
            return true;
        if (en->owner)
            mapping_member_emit(e, DP_MEMBER_SET, 0, en->owner);
        mapping_key_emit(e, en->key.vni, &en->key.mac);
        return true;
    }
    uint32_t at = *it & ~EMIT_MEMBERS;
    h = slab_each(&t->members, &at);
    *it = at | EMIT_MEMBERS;
    if (h) {
        const struct member *m = member_at(t, h);
        mapping_member_emit(e, DP_MEMBER_SET, vn_at(t, m->vn)->vni, m->vtep);
    }
    return h;
}

bool
mapping_each(const struct edge *e, uint32_t *it, struct edge_map_view *v)
{
    uint32_t h = keytab_each(&e->map->keys, it);
    if (!h)
        return false;
    const struct ent *en = ent_at(e->map, h);
    rec_fill(e, h, &v->rec);
    v->local = en->flags & F_LOCAL ? 1 : 0;
    v->stale = en->flags & F_STALE ? 1 : 0;
    v->tomb = en->flags & F_TOMB ? 1 : 0;
    v->held = mapping_holds(e->map, en);
    v->target = (struct ip){0};
    if (mapping_provisional(e->map, en))
        v->target = vtep_at(e->map, mapping_provisional(e->map, en))->ip;
    return true;
}

uint32_t
mapping_count(const struct edge *e)
{
    return e->map->keys.by_mac.n;
}

size_t
mapping_bytes(const struct edge *e)
{
    const struct mapping_table *t = e->map;
    return keytab_bytes(&t->keys) + slab_bytes(&t->vns) + slab_bytes(&t->members) +
           slab_bytes(&t->negs) + slab_bytes(&t->pushes) + pool_bytes(&t->vteps) +
           pool_bytes(&t->moves) +
           ((size_t)t->by_vni.cap + t->by_vtep.cap + t->by_neg.cap + t->by_member.cap) *
               8;
}
