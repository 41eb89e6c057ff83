/* SPDX-License-Identifier: Apache-2.0 */
/* The index by IP holds one slot per claim, handle = the claimant; the flag HOLDS in
 * the claimant's copy of the address says who answers for it. So a claim costs no
 * object. */
#include "core/keytab.h"

#include <assert.h>
#include <string.h>

enum { ADDR_SET = 1, ADDR_LOW = 2, ADDR_HOLDS = 4 };

struct addr_more {
    struct ip ip;
    uint32_t next;
    uint8_t flags;
};
struct mac_key {
    uint32_t vni;
    struct mac mac;
    uint8_t zero[2];
};
struct ip_key {
    uint32_t vni;
    struct ip ip;
};

void
slab_init(struct slab *s, uint32_t item_size, uint32_t max)
{
    *s = (struct slab){0};
    pool_init(&s->pool, item_size, max);
}

uint32_t
slab_get(struct slab *s)
{
    uint32_t h = pool_get(&s->pool);
    if (h == 0)
        return 0;
    if (h / 8 >= s->live_size) {
        uint32_t size = s->live_size ? s->live_size * 2 : 64;
        s->live = mem_grow(s->live, size);
        memset(s->live + s->live_size, 0, size - s->live_size);
        s->live_size = size;
    }
    s->live[h / 8] |= (uint8_t)(1u << h % 8);
    return h;
}

void
slab_put(struct slab *s, uint32_t h)
{
    s->live[h / 8] &= (uint8_t) ~(1u << h % 8);
    pool_put(&s->pool, h);
}

uint32_t
slab_each(const struct slab *s, uint32_t *it)
{
    while (*it < s->pool.top) {
        uint32_t h = ++*it;
        if (s->live[h / 8] & 1u << h % 8)
            return h;
    }
    return 0;
}

size_t
slab_bytes(const struct slab *s)
{
    return pool_bytes(&s->pool) + s->pool.n_chunks * sizeof(void *) + s->live_size;
}

void
slab_done(struct slab *s)
{
    mem_free(s->live);
    s->live = NULL;
    s->live_size = 0;
    pool_done(&s->pool);
}

static struct key_head *
head_of(const struct keytab *t, uint32_t h)
{
    return slab_at(&t->items, h);
}

/* The flags of one address of an object, NULL if it has not got it. */
static uint8_t *
addr_flags(const struct keytab *t, struct key_head *k, const struct ip *ip)
{
    if (ip_is_v4(ip)) {
        if (k->v4_flags && k->v4 == ip_to_v4(ip))
            return &k->v4_flags;
    } else if (k->v6_flags && memcmp(k->v6, ip->b, 16) == 0) {
        return &k->v6_flags;
    }
    for (uint32_t i = k->more; i;) {
        struct addr_more *a = pool_at(&t->more, i);
        if (ip_equal(&a->ip, ip))
            return &a->flags;
        i = a->next;
    }
    return NULL;
}

static bool
mac_eq(const void *ctx, uint32_t h, const void *key)
{
    const struct key_head *k = head_of(ctx, h);
    const struct mac_key *want = key;
    return k->vni == want->vni && mac_equal(&k->mac, &want->mac);
}

static bool
ip_eq(const void *ctx, uint32_t h, const void *key)
{
    const struct keytab *t = ctx;
    struct key_head *k = head_of(t, h);
    const struct ip_key *want = key;
    return k->vni == want->vni && addr_flags(t, k, &want->ip);
}

void
keytab_init(struct keytab *t, uint32_t item_size, uint32_t max, uint64_t seed)
{
    assert(item_size >= sizeof(struct key_head));
    slab_init(&t->items, item_size, max);
    pool_init(
        &t->more, sizeof(struct addr_more), max > UINT32_MAX / 2 ? max : 2 * max + 64);
    map_init(&t->by_mac, mac_eq, t, seed);
    map_init(&t->by_ip, ip_eq, t, seed ^ 0x69702d696e646578);
}

void
keytab_done(struct keytab *t)
{
    slab_done(&t->items);
    pool_done(&t->more);
    map_done(&t->by_mac);
    map_done(&t->by_ip);
}

uint32_t
keytab_find(const struct keytab *t, uint32_t vni, const struct mac *mac)
{
    struct mac_key key = {.vni = vni, .mac = *mac};
    return map_find(&t->by_mac, map_hash(&t->by_mac, &key, sizeof key), &key);
}

uint32_t
keytab_add(struct keytab *t, uint32_t vni, const struct mac *mac)
{
    struct mac_key key = {.vni = vni, .mac = *mac};
    uint32_t h = slab_get(&t->items);
    if (h == 0)
        return 0;
    struct key_head *k = head_of(t, h);
    k->vni = vni;
    k->mac = *mac;
    map_add(&t->by_mac, map_hash(&t->by_mac, &key, sizeof key), h);
    return h;
}

void
keytab_del(struct keytab *t, uint32_t h)
{
    struct key_head *k = head_of(t, h);
    assert(!k->v4_flags && !k->v6_flags && !k->more);
    struct mac_key key = {.vni = k->vni, .mac = k->mac};
    map_del(&t->by_mac, map_hash(&t->by_mac, &key, sizeof key), h);
    slab_put(&t->items, h);
}

uint32_t
keytab_each(const struct keytab *t, uint32_t *it)
{
    return slab_each(&t->items, it);
}

uint32_t
keytab_holder(const struct keytab *t, uint32_t vni, const struct ip *ip)
{
    struct ip_key key = {.vni = vni, .ip = *ip};
    uint32_t hash = map_hash(&t->by_ip, &key, sizeof key);
    uint32_t h = map_find(&t->by_ip, hash, &key);
    while (h && !(*addr_flags(t, head_of(t, h), ip) & ADDR_HOLDS))
        h = map_next(&t->by_ip, hash, &key, h);
    return h;
}

/* After a claim was made, changed or dropped: who holds the address now? `claimer` is
 * the one whose claim is the latest, 0 when one was dropped. */
static void
addr_elect(struct keytab *t, uint32_t hash, const struct ip_key *key, uint32_t claimer)
{
    uint32_t best = 0, holder = 0;
    for (uint32_t h = map_find(&t->by_ip, hash, key); h;
         h = map_next(&t->by_ip, hash, key, h)) {
        uint8_t *f = addr_flags(t, head_of(t, h), &key->ip);
        if (*f & ADDR_HOLDS)
            holder = h;
        bool high = !(*f & ADDR_LOW);
        bool best_high =
            best && !(*addr_flags(t, head_of(t, best), &key->ip) & ADDR_LOW);
        if (!best || (high && !best_high) ||
            (high == best_high && best != claimer &&
                (h == claimer || (*f & ADDR_HOLDS))))
            best = h;
    }
    if (holder == best)
        return;
    if (holder)
        *addr_flags(t, head_of(t, holder), &key->ip) &= (uint8_t)~ADDR_HOLDS;
    if (best)
        *addr_flags(t, head_of(t, best), &key->ip) |= ADDR_HOLDS;
}

static uint32_t
addr_count(const struct keytab *t, const struct key_head *k)
{
    uint32_t n = !!k->v4_flags + !!k->v6_flags;
    for (uint32_t i = k->more; i; n++)
        i = ((struct addr_more *)pool_at(&t->more, i))->next;
    return n;
}

/* A place for one address more; NULL when there is none. */
static uint8_t *
addr_place(struct keytab *t, struct key_head *k, const struct ip *ip)
{
    if (ip_is_v4(ip) && !k->v4_flags) {
        k->v4 = ip_to_v4(ip);
        return &k->v4_flags;
    }
    if (!ip_is_v4(ip) && !k->v6_flags) {
        memcpy(k->v6, ip->b, 16);
        return &k->v6_flags;
    }
    uint32_t i = pool_get(&t->more);
    if (i == 0)
        return NULL;
    struct addr_more *a = pool_at(&t->more, i);
    a->ip = *ip;
    a->next = k->more;
    k->more = i;
    return &a->flags;
}

bool
keytab_ip_add(struct keytab *t, uint32_t h, const struct ip *ip, bool low_trust)
{
    struct key_head *k = head_of(t, h);
    struct ip_key key = {.vni = k->vni, .ip = *ip};
    uint32_t hash = map_hash(&t->by_ip, &key, sizeof key);
    uint8_t *f = addr_flags(t, k, ip);
    if (f) {
        if (!!(*f & ADDR_LOW) == low_trust)
            return true; /* a refresh is no new claim */
        *f = (uint8_t)((*f & ~ADDR_LOW) | (low_trust ? ADDR_LOW : 0));
    } else {
        if (addr_count(t, k) >= TNS_IPS_MAX || !(f = addr_place(t, k, ip)))
            return false;
        *f = (uint8_t)(ADDR_SET | (low_trust ? ADDR_LOW : 0));
        map_add(&t->by_ip, hash, h);
    }
    addr_elect(t, hash, &key, h);
    return true;
}

void
keytab_ip_del(struct keytab *t, uint32_t h, const struct ip *ip)
{
    struct key_head *k = head_of(t, h);
    uint8_t *f = addr_flags(t, k, ip);
    if (!f)
        return;
    struct ip_key key = {.vni = k->vni, .ip = *ip};
    uint32_t hash = map_hash(&t->by_ip, &key, sizeof key);
    map_del(&t->by_ip, hash, h);
    if (f == &k->v4_flags || f == &k->v6_flags) {
        *f = 0;
    } else {
        uint32_t *link = &k->more;
        for (;;) {
            struct addr_more *a = pool_at(&t->more, *link);
            if (&a->flags == f) {
                uint32_t i = *link;
                *link = a->next;
                pool_put(&t->more, i);
                break;
            }
            link = &a->next;
        }
    }
    addr_elect(t, hash, &key, 0);
}

bool
keytab_ip_has(const struct keytab *t, uint32_t h, const struct ip *ip, bool *low_trust)
{
    const uint8_t *f = addr_flags(t, head_of(t, h), ip);
    if (f && low_trust)
        *low_trust = *f & ADDR_LOW;
    return f;
}

static bool
told(uint8_t flags, const uint8_t *v6)
{
    return flags && !(flags & ADDR_LOW) &&
           !(v6 && v6[0] == 0xfe && (v6[1] & 0xc0) == 0x80);
}

bool
keytab_signalled(const struct keytab *t, uint32_t h, bool v6)
{
    const struct key_head *k = head_of(t, h);
    if (v6 ? told(k->v6_flags, k->v6) : told(k->v4_flags, NULL))
        return true;
    for (uint32_t i = k->more; i;) {
        const struct addr_more *a = pool_at(&t->more, i);
        if (ip_is_v4(&a->ip) != v6 && told(a->flags, v6 ? a->ip.b : NULL))
            return true;
        i = a->next;
    }
    return false;
}

void
keytab_rec(const struct keytab *t, uint32_t h, struct mapping_rec *rec)
{
    const struct key_head *k = head_of(t, h);
    rec->vni = k->vni;
    rec->mac = k->mac;
    rec->n_ips = rec->low_trust = 0;
    if (k->v4_flags) {
        rec->ips[rec->n_ips++] = ip_v4(k->v4);
        rec->low_trust |= k->v4_flags & ADDR_LOW ? 1 : 0;
    }
    if (k->v6_flags) {
        rec->low_trust |= (uint8_t)((k->v6_flags & ADDR_LOW ? 1u : 0u) << rec->n_ips);
        memcpy(rec->ips[rec->n_ips++].b, k->v6, 16);
    }
    for (uint32_t i = k->more; i && rec->n_ips < TNS_IPS_MAX;) {
        const struct addr_more *a = pool_at(&t->more, i);
        rec->low_trust |= (uint8_t)((a->flags & ADDR_LOW ? 1u : 0u) << rec->n_ips);
        rec->ips[rec->n_ips++] = a->ip;
        i = a->next;
    }
}

size_t
keytab_bytes(const struct keytab *t)
{
    return slab_bytes(&t->items) + pool_bytes(&t->more) +
           ((size_t)t->by_mac.cap + t->by_ip.cap) * 8;
}
