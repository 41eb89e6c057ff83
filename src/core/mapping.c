/* SPDX-License-Identifier: Apache-2.0 */
/* One entry per (VN, MAC): resident here (LOCAL), at another NVE (REMOTE), or gone from
 * here with a licence to relay (TOMB, D1). An entry's epoch is the highest accepted
 * one, so E3 and E4 are comparisons at one place. Entries of a VN are one list, local
 * ones first (the ARP agent walks those), and carry the number of the last snapshot
 * that named them (K5). Tunnel endpoints are counted objects: an owner is an index, and
 * an endpoint is "known" (K11) as long as a mapping or a membership speaks of it.
 *
 * A push is acknowledged when the operations it caused are done. Pushes are
 * acknowledged cumulatively, so those under way stand in a queue; what fails is set
 * again a few times before the queue goes on without it. */
#include "core/mapping.h"

#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "core/arp.h"
#include "core/edge_int.h"
#include "core/keytab.h"

#define PUSHES_MAX 65536 /* more are acknowledged together with the last one */
#define NEGS_MAX   16384
#define PUSH_TRIES 3

enum { F_LOCAL = 1, F_REMOTE = 2, F_TOMB = 4, F_STALE = 8, F_PULLED = 16 };
enum { TIMER_MAP_STALE = TIMER_MAP_FIRST, TIMER_MAP_NEG, TIMER_MAP_RETRY };

struct ent {
    struct key_head key;
    uint8_t flags, gen, pcp;
    uint16_t port, vid;
    uint32_t att, owner; /* owner: handle in vteps */
    uint32_t next, prev; /* entries of the VN, local ones first */
    uint64_t epoch, migration_id;
};
struct mvn {
    uint32_t vni, head, tail, members, n;
    uint8_t gen, wanted, complete;
};
struct vtep {
    struct ip ip;
    uint32_t n_maps, n_members;
};
struct member {
    uint32_t vn, vtep, next;
    uint8_t gen, stale;
};
struct neg {
    uint32_t vni;
    struct mac mac;
    struct ip ip;
    struct timer timer;
};
struct push {
    uint64_t seq; /* 0: its session is gone, nobody waits */
    uint32_t left, next, vni;
    struct mac mac;
    uint8_t failed, tries;
    struct timer timer;
};
struct mapping_table {
    struct keytab keys;
    struct slab vns, members, negs, pushes;
    struct pool vteps;
    struct map by_vni, by_vtep, by_neg;
    uint32_t push_head, push_tail;
    uint32_t push;         /* whose operations are being emitted, 0: nobody waits */
    uint32_t n_incomplete; /* wanted VNs without a snapshot of this session */
    struct timer stale;
};
struct neg_key {
    uint32_t vni;
    struct mac mac;
    uint8_t zero[2];
    struct ip ip;
};

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

static struct ent *
ent_at(const struct mapping_table *t, uint32_t h)
{
    return keytab_at(&t->keys, h);
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
    return ip_equal(&((struct vtep *)pool_at(&t->vteps, h))->ip, key);
}

static bool
neg_eq(const void *ctx, uint32_t h, const void *key)
{
    const struct mapping_table *t = ctx;
    const struct neg *n = slab_at(&t->negs, h);
    const struct neg_key *k = key;
    return n->vni == k->vni && mac_equal(&n->mac, &k->mac) && ip_equal(&n->ip, &k->ip);
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
    map_init(&t->by_vni, vn_eq, t, edge_seed(e, 0x101));
    map_init(&t->by_vtep, vtep_eq, t, edge_seed(e, 0x102));
    map_init(&t->by_neg, neg_eq, t, edge_seed(e, 0x103));
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
    keytab_done(&t->keys);
    slab_done(&t->vns);
    slab_done(&t->members);
    slab_done(&t->negs);
    slab_done(&t->pushes);
    pool_done(&t->vteps);
    map_done(&t->by_vni);
    map_done(&t->by_vtep);
    map_done(&t->by_neg);
    mem_free(t);
    e->map = NULL;
}

/* ---- emitting: every operation of a push is counted towards its acknowledgement ----
 */

static struct dp_op *
op_emit(struct edge *e, uint8_t type)
{
    struct mapping_table *t = e->map;
    if (!t->push)
        return edge_dp(e, type, TICKET_DP, 0);
    ((struct push *)slab_at(&t->pushes, t->push))->left++;
    return edge_dp(e, type, TICKET_MAP_DP, t->push);
}

static void
fdb_fill(const struct mapping_table *t, const struct ent *en, struct dp_op *op)
{
    op->u.fdb.vni = en->key.vni;
    op->u.fdb.mac = en->key.mac;
    if (en->flags & F_LOCAL) {
        op->u.fdb.kind = FDB_LOCAL;
        op->u.fdb.port = en->port;
        op->u.fdb.vid = en->vid;
        op->u.fdb.pcp = en->pcp;
    } else if (en->flags & F_REMOTE) {
        op->u.fdb.kind = en->flags & F_TOMB ? FDB_RELAY : FDB_REMOTE;
        op->u.fdb.vtep = ((struct vtep *)pool_at(&t->vteps, en->owner))->ip;
    }
}

static void
fdb_emit(struct edge *e, uint32_t h)
{
    const struct ent *en = ent_at(e->map, h);
    bool placed = en->flags & (F_LOCAL | F_REMOTE);
    fdb_fill(e->map, en, op_emit(e, placed ? DP_FDB_SET : DP_FDB_DEL));
}

static void
neigh_emit(struct edge *e, uint32_t vni, const struct ip *ip, uint32_t holder)
{
    struct dp_op *op = op_emit(e, holder ? DP_NEIGH_SET : DP_NEIGH_DEL);
    op->u.neigh.vni = vni;
    op->u.neigh.ip = *ip;
    if (holder)
        op->u.neigh.mac = ent_at(e->map, holder)->key.mac;
}

static void
member_emit(struct edge *e, uint8_t type, uint32_t vni, uint32_t vtep)
{
    struct dp_op *op = op_emit(e, type);
    op->u.member.vni = vni;
    op->u.member.vtep = ((struct vtep *)pool_at(&e->map->vteps, vtep))->ip;
}

/* ---- pushes and their acknowledgement (K5) ---- */

static void
push_ack(struct edge *e)
{
    struct mapping_table *t = e->map;
    uint64_t seq = 0;
    while (t->push_head) {
        uint32_t h = t->push_head;
        struct push *p = slab_at(&t->pushes, h);
        if (p->left || p->failed)
            break;
        if (p->seq)
            seq = p->seq;
        t->push_head = p->next;
        if (!t->push_head)
            t->push_tail = 0;
        slab_put(&t->pushes, h);
    }
    if (seq)
        edge_emit(e, EDGE_MAP_ACK)->u.seq = seq;
}

static void
push_begin(struct edge *e, uint64_t seq, uint32_t vni, const struct mac *mac)
{
    struct mapping_table *t = e->map;
    t->push = 0;
    if (seq == 0)
        return;
    uint32_t h = slab_get(&t->pushes);
    if (h == 0) {
        struct push *last = slab_at(&t->pushes, t->push_tail);
        last->seq = seq;
        t->push = t->push_tail;
        return;
    }
    struct push *p = slab_at(&t->pushes, h);
    p->seq = seq;
    p->vni = vni;
    if (mac)
        p->mac = *mac;
    if (t->push_tail)
        ((struct push *)slab_at(&t->pushes, t->push_tail))->next = h;
    else
        t->push_head = h;
    t->push_tail = t->push = h;
}

static void
push_end(struct edge *e)
{
    if (e->map->push) {
        e->map->push = 0;
        push_ack(e);
    }
}

/* Says again what the data plane should hold of a key. */
static void
key_emit(struct edge *e, uint32_t vni, const struct mac *mac)
{
    struct mapping_table *t = e->map;
    uint32_t h = keytab_find(&t->keys, vni, mac);
    if (!h) {
        struct dp_op *op = op_emit(e, DP_FDB_DEL);
        op->u.fdb.vni = vni;
        op->u.fdb.mac = *mac;
        return;
    }
    struct mapping_rec rec;
    keytab_rec(&t->keys, h, &rec);
    fdb_emit(e, h);
    for (uint32_t i = 0; i < rec.n_ips; i++)
        neigh_emit(e, vni, &rec.ips[i], keytab_holder(&t->keys, vni, &rec.ips[i]));
}

void
mapping_done(struct edge *e, uint32_t ref, int status)
{
    struct mapping_table *t = e->map;
    struct push *p = slab_at(&t->pushes, ref);
    assert(p->left > 0);
    p->left--;
    if (status != 0) {
        edge_count(e, EDGEC_DP_ERRORS);
        p->failed = 1;
    }
    if (p->left > 0)
        return;
    if (p->failed && p->seq && !mac_is_none(&p->mac) && p->tries < PUSH_TRIES) {
        p->tries++;
        timers_set(&e->timers, &p->timer, e->now_us + e->conf.settings[SET_RETRY_US],
            TIMER_MAP_RETRY, ref);
        return;
    }
    if (p->failed)
        log_err("mapping", "vni=%u seq=%llu the data plane refused, going on", p->vni,
            (unsigned long long)p->seq);
    p->failed = 0;
    push_ack(e);
}

static void
push_retry(struct edge *e, uint32_t ref)
{
    struct mapping_table *t = e->map;
    struct push *p = slab_at(&t->pushes, ref);
    p->failed = 0;
    t->push = ref;
    key_emit(e, p->vni, &p->mac);
    t->push = 0;
}

/* The session is gone: nobody waits for acknowledgements of its numbers. What is on its
 * way in the data plane keeps its place until it comes back. */
static void
push_forget(struct edge *e)
{
    struct mapping_table *t = e->map;
    for (uint32_t it = 0, h; (h = slab_each(&t->pushes, &it));) {
        struct push *p = slab_at(&t->pushes, h);
        timers_clear(&e->timers, &p->timer);
        p->seq = 0;
        p->failed = 0;
    }
    push_ack(e);
}

/* ---- virtual networks, tunnel endpoints ---- */

static uint32_t
vn_find(const struct mapping_table *t, uint32_t vni)
{
    return map_find(&t->by_vni, map_hash(&t->by_vni, &vni, sizeof vni), &vni);
}

static struct mvn *
vn_at(const struct mapping_table *t, uint32_t h)
{
    return slab_at(&t->vns, h);
}

static uint32_t
vn_get(struct mapping_table *t, uint32_t vni)
{
    uint32_t h = vn_find(t, vni);
    if (h || !(h = slab_get(&t->vns)))
        return h;
    vn_at(t, h)->vni = vni;
    map_add(&t->by_vni, map_hash(&t->by_vni, &vni, sizeof vni), h);
    return h;
}

static void
vn_put(struct mapping_table *t, uint32_t h)
{
    struct mvn *v = vn_at(t, h);
    if (v->n || v->members || v->wanted)
        return;
    map_del(&t->by_vni, map_hash(&t->by_vni, &v->vni, sizeof v->vni), h);
    slab_put(&t->vns, h);
}

static void
vn_complete(struct mapping_table *t, struct mvn *v, bool complete)
{
    if (v->wanted && v->complete != complete)
        t->n_incomplete += complete ? (uint32_t)-1 : 1;
    v->complete = complete;
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

static uint32_t
vtep_get(struct mapping_table *t, const struct ip *ip)
{
    uint32_t hash = map_hash(&t->by_vtep, ip, sizeof *ip);
    uint32_t h = map_find(&t->by_vtep, hash, ip);
    if (h || !(h = pool_get(&t->vteps)))
        return h;
    ((struct vtep *)pool_at(&t->vteps, h))->ip = *ip;
    map_add(&t->by_vtep, hash, h);
    return h;
}

static void
vtep_put(struct mapping_table *t, uint32_t h)
{
    struct vtep *v = pool_at(&t->vteps, h);
    if (v->n_maps || v->n_members)
        return;
    map_del(&t->by_vtep, map_hash(&t->by_vtep, &v->ip, sizeof v->ip), h);
    pool_put(&t->vteps, h);
}

/* An endpoint must be known before a frame can be sent to it or taken from it (K11):
 * take the new one before the FDB speaks of it, drop the old one after. */
static void
owner_take(struct edge *e, uint32_t vtep)
{
    if (((struct vtep *)pool_at(&e->map->vteps, vtep))->n_maps++ == 0)
        member_emit(e, DP_MEMBER_SET, 0, vtep);
}

static void
owner_drop(struct edge *e, uint32_t vtep)
{
    if (vtep && --((struct vtep *)pool_at(&e->map->vteps, vtep))->n_maps == 0) {
        member_emit(e, DP_MEMBER_DEL, 0, vtep);
        vtep_put(e->map, vtep);
    }
}

/* ---- negative answers (K8) ---- */

static struct neg_key
neg_key_of(uint32_t vni, const struct mac *mac, const struct ip *ip)
{
    struct neg_key k = {.vni = vni};
    if (ip && !ip_is_none(ip))
        k.ip = *ip;
    else if (mac)
        k.mac = *mac;
    return k;
}

static void
neg_free(struct edge *e, uint32_t h, bool emit)
{
    struct mapping_table *t = e->map;
    struct neg *n = slab_at(&t->negs, h);
    struct neg_key k = neg_key_of(n->vni, &n->mac, &n->ip);
    if (emit) {
        struct dp_op *op = op_emit(e, DP_NEG_DEL);
        op->u.neg.vni = n->vni;
        op->u.neg.mac = n->mac;
        op->u.neg.ip = n->ip;
    }
    timers_clear(&e->timers, &n->timer);
    map_del(&t->by_neg, map_hash(&t->by_neg, &k, sizeof k), h);
    slab_put(&t->negs, h);
}

static void
neg_clear(struct edge *e, uint32_t vni, const struct mac *mac, const struct ip *ip)
{
    struct mapping_table *t = e->map;
    if (t->negs.pool.n == 0)
        return;
    struct neg_key k = neg_key_of(vni, mac, ip);
    uint32_t h = map_find(&t->by_neg, map_hash(&t->by_neg, &k, sizeof k), &k);
    if (h)
        neg_free(e, h, true);
}

static void
neg_clear_all(struct edge *e, uint32_t vni)
{
    struct mapping_table *t = e->map;
    for (uint32_t it = 0, h; (h = slab_each(&t->negs, &it));)
        if (vni == 0 || ((struct neg *)slab_at(&t->negs, h))->vni == vni)
            neg_free(e, h, true);
}

/* ---- addresses of an entry ---- */

/* One claim made (add) or dropped. The data plane hears of it when the holder changes;
 * VMs that heard the old holder's MAC from us hear the new one (F18). */
static bool
ip_change(struct edge *e, uint32_t h, const struct ip *ip, bool add, bool low)
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
            neg_clear(e, vni, NULL, ip);
        neigh_emit(e, vni, ip, holder);
        if (was && holder)
            arp_announce(e, vni, ip, &ent_at(t, holder)->key.mac);
    }
    return true;
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

static void
ips_replace(
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
            ip_change(e, h, &old.ips[i], false, false);
    }
    for (uint32_t i = 0; i < n && i < TNS_IPS_MAX; i++)
        if (ip_usable(&ips[i]))
            ip_change(e, h, &ips[i], true, low_trust >> i & 1);
}

/* ---- entries ---- */

static uint32_t
ent_get(struct edge *e, uint32_t vni, const struct mac *mac)
{
    struct mapping_table *t = e->map;
    uint32_t h = keytab_find(&t->keys, vni, mac);
    if (h)
        return h;
    uint32_t vn = vn_get(t, vni);
    if (!vn)
        return 0;
    if (!(h = keytab_add(&t->keys, vni, mac))) {
        vn_put(t, vn);
        return 0;
    }
    ent_link(t, vn_at(t, vn), h, false);
    return h;
}

/* Local entries stand first in their VN's list. */
static void
ent_place(struct mapping_table *t, uint32_t h, bool local)
{
    struct mvn *v = vn_at(t, vn_find(t, ent_at(t, h)->key.vni));
    ent_unlink(t, v, h);
    ent_link(t, v, h, local);
}

/* Nobody owns it any more: addresses and owner go; the entry stays only as a tombstone.
 */
static void
ent_vacate(struct edge *e, uint32_t h)
{
    struct mapping_table *t = e->map;
    struct ent *en = ent_at(t, h);
    ips_replace(e, h, NULL, 0, 0);
    en->flags &= F_TOMB;
    en->att = 0;
    fdb_emit(e, h);
    owner_drop(e, en->owner);
    en->owner = 0;
    if (en->flags & F_TOMB) {
        ent_place(t, h, false);
        return;
    }
    uint32_t vn = vn_find(t, en->key.vni);
    ent_unlink(t, vn_at(t, vn), h);
    keytab_del(&t->keys, h);
    vn_put(t, vn);
}

static bool
key_valid(uint32_t vni, const struct mac *mac)
{
    return vni > 0 && vni <= VNI_MAX && !mac_is_none(mac) && !mac_is_group(mac);
}

enum mapping_verdict
mapping_local_set(struct edge *e, const struct mapping_local *l, uint8_t ticket_kind,
    uint32_t ticket_ref)
{
    struct mapping_table *t = e->map;
    if (!key_valid(l->vni, &l->mac))
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
    } else if (!(h = ent_get(e, l->vni, &l->mac))) {
        return MAPPING_FULL;
    }
    struct ent *en = ent_at(t, h);
    bool was_local = en->flags & F_LOCAL;
    enum mapping_verdict verdict =
        was_local && en->epoch == l->epoch && en->att == l->att ? MAPPING_SAME
                                                                : MAPPING_ACCEPTED;
    en->flags = F_LOCAL;
    en->att = l->att;
    en->port = (uint16_t)l->port;
    en->vid = l->vid;
    en->pcp = l->pcp;
    en->epoch = l->epoch;
    en->migration_id = l->migration_id;
    if (!was_local)
        ent_place(t, h, true);
    if (en->owner) {
        fdb_emit(e, h);
        owner_drop(e, en->owner);
        en->owner = 0;
    }
    neg_clear(e, l->vni, &l->mac, NULL);
    ips_replace(e, h, l->ips, l->n_ips, l->low_trust);
    fdb_fill(t, en, edge_dp(e, DP_FDB_SET, ticket_kind, ticket_ref));
    return verdict;
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
    if (tomb)
        en->flags |= F_TOMB;
    ent_vacate(e, h);
}

void
mapping_tomb_set(struct edge *e, uint32_t vni, const struct mac *mac, uint64_t epoch)
{
    struct mapping_table *t = e->map;
    uint32_t h = key_valid(vni, mac) ? ent_get(e, vni, mac) : 0;
    if (!h)
        return;
    struct ent *en = ent_at(t, h);
    if (en->flags & F_LOCAL)
        return;
    en->flags |= F_TOMB;
    if (epoch >= en->epoch) {
        en->epoch = epoch;
        ent_vacate(
            e, h); /* what we took for the owner is not newer than we were (D1) */
    } else {
        fdb_emit(e, h);
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
        fdb_emit(e, h);
    else
        ent_vacate(e, h);
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
    bool link_local = !ip_is_v4(ip) && ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80;
    bool refused = !ip_usable(ip), low = true;
    /* Somebody else was signalled with it, or this one was signalled with others. */
    if (holder && keytab_ip_has(&t->keys, holder, ip, &low) && !low)
        refused = true;
    for (uint32_t i = 0; i < rec.n_ips && !link_local; i++)
        if (!(rec.low_trust >> i & 1) && ip_is_v4(&rec.ips[i]) == ip_is_v4(ip) &&
            !(rec.ips[i].b[0] == 0xfe && (rec.ips[i].b[1] & 0xc0) == 0x80))
            refused = true;
    bool has = keytab_ip_has(&t->keys, h, ip, NULL);
    if (!has && rec.n_ips >= e->conf.settings[SET_MAX_IPS])
        refused = true;
    if (!refused && has)
        ip_change(
            e, h, ip, false, true); /* claimed anew: the latest one holds it (K1) */
    if (refused || !ip_change(e, h, ip, true, true)) {
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
        rec->owner = ((struct vtep *)pool_at(&e->map->vteps, en->owner))->ip;
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
place_fill(const struct ent *en, struct mapping_place *p)
{
    *p = (struct mapping_place){
        .mac = en->key.mac,
        .port = en->port,
        .vid = en->vid,
        .pcp = en->pcp,
        .has_v4 = en->key.v4_flags != 0,
        .has_v6 = en->key.v6_flags != 0,
    };
}

bool
mapping_place_of(
    const struct edge *e, uint32_t vni, const struct mac *mac, struct mapping_place *p)
{
    uint32_t h = keytab_find(&e->map->keys, vni, mac);
    if (!h || !(ent_at(e->map, h)->flags & F_LOCAL))
        return false;
    place_fill(ent_at(e->map, h), p);
    return true;
}

bool
mapping_each_local(
    const struct edge *e, uint32_t vni, uint32_t *it, struct mapping_place *p)
{
    const struct mapping_table *t = e->map;
    uint32_t vn = vn_find(t, vni);
    if (!vn)
        return false;
    uint32_t h = *it ? ent_at(t, *it)->next : vn_at(t, vn)->head;
    if (!h || !(ent_at(t, h)->flags & F_LOCAL))
        return false;
    *it = h;
    place_fill(ent_at(t, h), p);
    return true;
}

/* ---- the mapping plane ---- */

static enum mapping_verdict
remote_verdict(const struct edge *e, uint32_t h, const struct mapping_rec *rec)
{
    const struct ent *en = ent_at(e->map, h);
    bool owned = en->flags & (F_LOCAL | F_REMOTE);
    if (rec->epoch > en->epoch)
        return en->flags & F_LOCAL ? MAPPING_TOOK_LOCAL : MAPPING_ACCEPTED;
    if (rec->epoch < en->epoch)
        return MAPPING_STALE;
    if (!owned) /* our own tombstone, or nothing yet */
        return en->flags & F_TOMB ? MAPPING_STALE : MAPPING_ACCEPTED;
    if (en->flags & F_LOCAL || en->migration_id != rec->migration_id)
        return MAPPING_CONFLICT;
    const struct vtep *v = pool_at(&e->map->vteps, en->owner);
    return ip_equal(&v->ip, &rec->owner) ? MAPPING_SAME : MAPPING_CONFLICT;
}

static enum mapping_verdict
remote_apply(struct edge *e, const struct mapping_rec *rec, uint64_t seq, uint32_t *att)
{
    struct mapping_table *t = e->map;
    if (!key_valid(rec->vni, &rec->mac) || ip_is_none(&rec->owner))
        return MAPPING_STALE;
    uint32_t h = keytab_find(&t->keys, rec->vni, &rec->mac);
    if (ip_equal(&rec->owner, &e->conf.vtep)) /* our own words: we know better */
        return h && ent_at(t, h)->flags & F_LOCAL ? MAPPING_SAME : MAPPING_STALE;
    if (!h && !(h = ent_get(e, rec->vni, &rec->mac)))
        return MAPPING_FULL;
    enum mapping_verdict verdict = remote_verdict(e, h, rec);
    struct mvn *v = vn_at(t, vn_find(t, rec->vni));
    if (verdict == MAPPING_STALE || verdict == MAPPING_CONFLICT) {
        ent_at(t, h)->gen = v->gen; /* the key was named, if by an older owner */
        return verdict;
    }
    uint32_t vtep = vtep_get(t, &rec->owner);
    struct ent *en = ent_at(t, h);
    if (!vtep) {
        if (!en->flags)
            ent_vacate(e, h);
        return MAPPING_FULL;
    }
    bool pulled =
        !v->wanted || (seq == 0 && (!(en->flags & F_REMOTE) || en->flags & F_PULLED));
    bool moved = verdict != MAPPING_SAME;
    if (verdict == MAPPING_TOOK_LOCAL) {
        if (att)
            *att = en->att;
        en->flags |= F_TOMB; /* we were the owner in this incarnation (D1) */
    }
    en->flags = (uint8_t)((en->flags & F_TOMB) | F_REMOTE | (pulled ? F_PULLED : 0));
    en->att = 0;
    en->epoch = rec->epoch;
    en->migration_id = rec->migration_id;
    en->gen = v->gen;
    if (moved) {
        if (verdict == MAPPING_TOOK_LOCAL)
            ent_place(t, h, false);
        uint32_t old = en->owner;
        owner_take(e, vtep);
        en->owner = vtep;
        fdb_emit(e, h);
        owner_drop(e, old);
    }
    neg_clear(e, rec->vni, &rec->mac, NULL);
    ips_replace(e, h, rec->ips, rec->n_ips, rec->low_trust);
    return verdict;
}

enum mapping_verdict
mapping_remote_set(
    struct edge *e, const struct mapping_rec *rec, uint64_t seq, uint32_t *att)
{
    if (att)
        *att = 0;
    push_begin(e, seq, rec->vni, &rec->mac);
    enum mapping_verdict verdict = remote_apply(e, rec, seq, att);
    push_end(e);
    if (verdict == MAPPING_STALE || verdict == MAPPING_CONFLICT) {
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
    push_begin(e, seq, rec->vni, &rec->mac);
    uint32_t h = keytab_find(&t->keys, rec->vni, &rec->mac);
    if (h && ent_at(t, h)->flags & F_REMOTE) {
        const struct ent *en = ent_at(t, h);
        const struct vtep *v = pool_at(&t->vteps, en->owner);
        /* A withdrawal of a later residence than we know of ends this one too: what
         * came between was left out of the stream as overtaken (K5). */
        if (rec->epoch > en->epoch ||
            (rec->epoch == en->epoch && ip_equal(&v->ip, &rec->owner))) {
            ent_vacate(e, h);
            verdict = MAPPING_ACCEPTED;
        }
    }
    push_end(e);
    if (verdict == MAPPING_STALE)
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
        if (by_ip)
            ip_change(e, h, ip, false, false);
        else
            ent_vacate(e, h);
    }
    uint64_t max_us = e->conf.settings[SET_NEG_US];
    if (hold_us == 0 || hold_us > max_us)
        hold_us = max_us;
    struct neg_key k = neg_key_of(vni, mac, ip);
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
    struct dp_op *op = op_emit(e, DP_NEG_SET);
    op->u.neg.vni = vni;
    op->u.neg.mac = k.mac;
    op->u.neg.ip = k.ip;
    op->u.neg.hold_us = hold_us;
}

static void
member_del(struct edge *e, uint32_t *link)
{
    struct mapping_table *t = e->map;
    uint32_t h = *link;
    struct member *m = slab_at(&t->members, h);
    struct vtep *v = pool_at(&t->vteps, m->vtep);
    member_emit(e, DP_MEMBER_DEL, vn_at(t, m->vn)->vni, m->vtep);
    v->n_members--;
    vtep_put(t, m->vtep);
    *link = m->next;
    slab_put(&t->members, h);
}

static uint32_t *
member_link(const struct mapping_table *t, struct mvn *v, const struct ip *vtep)
{
    uint32_t *link = &v->members;
    while (*link) {
        struct member *m = slab_at(&t->members, *link);
        if (ip_equal(&((struct vtep *)pool_at(&t->vteps, m->vtep))->ip, vtep))
            break;
        link = &m->next;
    }
    return link;
}

static void
member_add(struct edge *e, uint32_t vn, const struct ip *ip)
{
    struct mapping_table *t = e->map;
    uint32_t *link = member_link(t, vn_at(t, vn), ip);
    if (!*link) {
        uint32_t vtep = vtep_get(t, ip);
        if (!vtep)
            return;
        uint32_t h = slab_get(&t->members);
        if (!h) {
            vtep_put(t, vtep);
            log_warn("mapping", "vni=%u no room for another member", vn_at(t, vn)->vni);
            return;
        }
        struct member *m = slab_at(&t->members, h);
        m->vn = vn;
        m->vtep = vtep;
        ((struct vtep *)pool_at(&t->vteps, vtep))->n_members++;
        *link = h;
        member_emit(e, DP_MEMBER_SET, vn_at(t, vn)->vni, vtep);
    }
    struct member *m = slab_at(&t->members, *link);
    m->gen = vn_at(t, vn)->gen;
    m->stale = 0;
}

void
mapping_member(
    struct edge *e, uint32_t vni, const struct ip *vtep, bool add, uint64_t seq)
{
    struct mapping_table *t = e->map;
    push_begin(e, seq, vni, NULL);
    bool usable =
        !ip_is_none(vtep) && !ip_equal(vtep, &e->conf.vtep) && vni && vni <= VNI_MAX;
    uint32_t vn = !usable ? 0 : add ? vn_get(t, vni) : vn_find(t, vni);
    if (vn && add) {
        member_add(e, vn, vtep);
    } else if (vn) {
        uint32_t *link = member_link(t, vn_at(t, vn), vtep);
        if (*link)
            member_del(e, link);
    }
    if (vn)
        vn_put(t, vn);
    push_end(e);
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
            ent_vacate(e, h);
        }
    }
    for (uint32_t *link = &v->members; *link;) {
        const struct member *m = slab_at(&t->members, *link);
        if (what == SWEEP_ALL || (what == SWEEP_STALE && m->stale) ||
            (what == SWEEP_UNNAMED && m->gen != v->gen))
            member_del(e, link);
        else
            link = &((struct member *)slab_at(&t->members, *link))->next;
    }
    v->wanted--;
    vn_put(t, vn);
}

void
mapping_snapshot(struct edge *e, uint32_t vni, bool begin, uint64_t seq)
{
    struct mapping_table *t = e->map;
    push_begin(e, seq, vni, NULL);
    uint32_t vn = vni && vni <= VNI_MAX ? vn_get(t, vni) : 0;
    if (vn && begin) {
        vn_at(t, vn)->gen++;
        vn_put(t, vn);
    } else if (vn) {
        vn_complete(t, vn_at(t, vn), true);
        vn_sweep(e, vn, SWEEP_UNNAMED);
    }
    push_end(e);
}

void
mapping_vn(struct edge *e, uint32_t vni, bool wanted)
{
    struct mapping_table *t = e->map;
    uint32_t vn = wanted ? vn_get(t, vni) : vn_find(t, vni);
    if (!vn)
        return;
    struct mvn *v = vn_at(t, vn);
    if (wanted && !v->wanted) {
        v->wanted = 1;
        v->complete = 0;
        t->n_incomplete++;
    } else if (!wanted) {
        vn_complete(t, v, true);
        v->wanted = 0;
        v->complete = 0;
        neg_clear_all(e, vni);
        vn_sweep(e, vn, SWEEP_ALL);
    }
}

void
mapping_session(struct edge *e, bool up)
{
    struct mapping_table *t = e->map;
    push_forget(e);
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
        ((struct member *)slab_at(&t->members, h))->stale = 1;
    if (up)
        neg_clear_all(e, 0);
    timers_set(&e->timers, &t->stale, e->now_us + e->conf.settings[SET_STALE_US],
        TIMER_MAP_STALE, 0);
}

void
mapping_timer(struct edge *e, uint32_t kind, uint32_t ref)
{
    struct mapping_table *t = e->map;
    if (kind == TIMER_MAP_NEG) {
        neg_free(e, ref, false); /* the data plane's copy expires by itself */
    } else if (kind == TIMER_MAP_RETRY) {
        push_retry(e, ref);
    } else if (kind == TIMER_MAP_STALE) {
        for (uint32_t it = 0, h; (h = slab_each(&t->vns, &it));)
            vn_sweep(e, h, SWEEP_STALE);
    }
}

bool
mapping_synced(const struct edge *e)
{
    return e->map->n_incomplete == 0;
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
        if (!(en->flags & (F_LOCAL | F_REMOTE)))
            return true;
        if (en->owner)
            member_emit(e, DP_MEMBER_SET, 0, en->owner);
        key_emit(e, en->key.vni, &en->key.mac);
        return true;
    }
    uint32_t at = *it & ~EMIT_MEMBERS;
    h = slab_each(&t->members, &at);
    *it = at | EMIT_MEMBERS;
    if (h) {
        const struct member *m = slab_at(&t->members, h);
        member_emit(e, DP_MEMBER_SET, vn_at(t, m->vn)->vni, m->vtep);
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
           slab_bytes(&t->negs) + slab_bytes(&t->pushes) +
           (size_t)t->vteps.n_chunks * t->vteps.per_chunk * t->vteps.item_size +
           ((size_t)t->by_vni.cap + t->by_vtep.cap + t->by_neg.cap) * 8;
}
