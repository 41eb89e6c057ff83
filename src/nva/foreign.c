/* SPDX-License-Identifier: Apache-2.0 */
/* Registrations of foreign routers (RFC 9301 clause 5.6): each lives as long as its TTL
 * says, three minutes unless the T bit is set. They carry no epoch, so the authority's
 * registry gives one (E5): the first registration of a key by a router is a claim. What
 * a router repeats is a keep-alive and claims nothing (K3): when somebody else has
 * become the owner, the router is told once, and its repetitions go unanswered until it
 * has been silent for a life time, withdraws, or sends another Map-Version.
 *
 * A router has a number in the registry like an NVE; an address of an NVE that is
 * connected is refused to it. An IP without a MAC fits no table of (VN, MAC): it stays
 * here. */
#include "nva/node_int.h"
#include "base/log.h"
#include "node/lisp_record.h"
#include <stdio.h>
#include <string.h>

#define TTL_MAX_MIN 1440

enum entry_state { ENTRY_NEW, ENTRY_ASKED, ENTRY_OWNED, ENTRY_LOST };
struct router {
    struct ip ip;
    uint32_t nve, entries; /* head of its entries */
};
struct entry_key { /* no padding: it is hashed */
    uint32_t vni;
    uint8_t kind, prefix_len;
    struct mac mac;
    struct ip ip, router;
};
struct entry {
    struct entry_key key;
    uint32_t router, next, prev; /* of the router */
    uint8_t state;
    bool proxy, touched, by_mac;
    uint16_t version, said; /* Map-Version: when last asked, and as said now */
    uint8_t key_id, n_ips;
    struct ip ips[TNS_IPS_MAX]; /* of a MAC; by records of their own */
    uint64_t site_id, ref, epoch, migration_id;
    struct ip from;
    struct lisp_record *record; /* of an IP without a MAC */
    struct timer timer;
};
struct foreign {
    struct nva *n;
    struct pool routers, entries;
    struct map by_router, by_key, by_ip;
    uint32_t prefixes[2][129]; /* entries by IP: how many of each length, v6 and v4 */
    struct timers timers;
    uint32_t *by_nve, n_by_nve; /* number in the registry -> router */
    /* the message in hand */
    uint64_t ref, first_ref;
    uint32_t touched[256], n_touched; /* (VN, MAC) that it speaks of */
    uint32_t n_waiting;
    bool refused;
};

static struct router *
router_at(const struct foreign *f, uint32_t h)
{
    return pool_at(&f->routers, h);
}

static struct entry *
entry_at(const struct foreign *f, uint32_t h)
{
    return pool_at(&f->entries, h);
}

static bool
router_eq(const void *ctx, uint32_t h, const void *key)
{
    return ip_equal(&router_at(ctx, h)->ip, key);
}

static bool
key_eq(const void *ctx, uint32_t h, const void *key)
{
    return memcmp(&entry_at(ctx, h)->key, key, sizeof(struct entry_key)) == 0;
}

/* Of by_ip: whoever registered it. */
#define ANY_ROUTER offsetof(struct entry_key, router)
static bool
ip_eq(const void *ctx, uint32_t h, const void *key)
{
    return memcmp(&entry_at(ctx, h)->key, key, ANY_ROUTER) == 0;
}

struct foreign *
foreign_new(struct nva *n)
{
    struct foreign *f = mem_alloc(sizeof *f);
    f->n = n;
    pool_init(&f->routers, sizeof(struct router), n->settings[NVA_SET_MAX_ROUTERS]);
    pool_init(&f->entries, sizeof(struct entry), n->settings[NVA_SET_MAX_FOREIGN]);
    map_init(&f->by_router, router_eq, f, rng_next(&n->rng));
    map_init(&f->by_key, key_eq, f, rng_next(&n->rng));
    map_init(&f->by_ip, ip_eq, f, rng_next(&n->rng));
    timers_init(&f->timers);
    return f;
}

void
foreign_free(struct foreign *f)
{
    uint32_t it = 0, h;
    if (!f)
        return;
    while ((h = map_each(&f->by_key, &it)))
        mem_free(entry_at(f, h)->record);
    map_done(&f->by_router);
    map_done(&f->by_key);
    map_done(&f->by_ip);
    pool_done(&f->routers);
    pool_done(&f->entries);
    timers_done(&f->timers);
    mem_free(f->by_nve);
    mem_free(f);
}

/* ---- routers ---- */

static uint32_t
router_get(struct foreign *f, const struct ip *ip)
{
    uint32_t hash = map_hash(&f->by_router, ip, sizeof *ip);
    uint32_t h = map_find(&f->by_router, hash, ip);
    if (h || ip_is_none(ip) || !(h = pool_get(&f->routers)))
        return h;
    /* Numbers of the registry go by name: slots of few names, not a name per address.
     */
    char name[32];
    snprintf(name, sizeof name, "lisp-router-%u", h);
    struct router *r = router_at(f, h);
    r->ip = *ip;
    r->nve = registry_nve_up(f->n->reg, name, ip, true, f->n->now_us);
    if (!r->nve) {
        pool_put(&f->routers, h);
        return 0;
    }
    map_add(&f->by_router, hash, h);
    if (r->nve >= f->n_by_nve) {
        uint32_t n = r->nve + 64;
        f->by_nve = mem_grow(f->by_nve, n * sizeof *f->by_nve);
        memset(f->by_nve + f->n_by_nve, 0, (n - f->n_by_nve) * sizeof *f->by_nve);
        f->n_by_nve = n;
    }
    f->by_nve[r->nve] = h;
    return h;
}

static void
router_release(struct foreign *f, uint32_t h)
{
    struct router *r = router_at(f, h);
    if (r->entries)
        return;
    f->by_nve[r->nve] = 0;
    registry_nve_bye(f->n->reg, r->nve, f->n->now_us);
    map_del(&f->by_router, map_hash(&f->by_router, &r->ip, sizeof r->ip), h);
    pool_put(&f->routers, h);
}

static uint32_t
router_of_nve(const struct foreign *f, uint32_t nve)
{
    return nve < f->n_by_nve ? f->by_nve[nve] : 0;
}

bool
foreign_is(const struct foreign *f, uint32_t nve)
{
    return router_of_nve(f, nve) != 0;
}

/* ---- entries ---- */

static uint32_t *
prefix_count(struct foreign *f, const struct entry_key *k)
{
    return &f->prefixes[ip_is_v4(&k->ip)][k->prefix_len];
}

static void
entry_del(struct foreign *f, uint32_t h)
{
    struct entry *e = entry_at(f, h);
    uint32_t router = e->router;
    if (e->state == ENTRY_OWNED && !e->record) {
        struct mapping_rec rec = {.vni = e->key.vni,
            .mac = e->key.mac,
            .owner = e->key.router,
            .epoch = e->epoch};
        registry_withdraw(f->n->reg, router_at(f, router)->nve, 0, &rec, f->n->now_us);
    }
    if (e->record) {
        --*prefix_count(f, &e->key);
        map_del(&f->by_ip, map_hash(&f->by_ip, &e->key, ANY_ROUTER), h);
        mem_free(e->record);
    }
    timers_clear(&f->timers, &e->timer);
    map_del(&f->by_key, map_hash(&f->by_key, &e->key, sizeof e->key), h);
    if (e->next)
        entry_at(f, e->next)->prev = e->prev;
    if (e->prev)
        entry_at(f, e->prev)->next = e->next;
    else
        router_at(f, router)->entries = e->next;
    pool_put(&f->entries, h);
    router_release(f, router);
}

static uint32_t
entry_of(const struct foreign *f, const struct entry_key *k)
{
    return map_find(&f->by_key, map_hash(&f->by_key, k, sizeof *k), k);
}

/* The entry of that key, made when missing; 0: no room, or the address is an NVE's. */
static uint32_t
entry_get(struct foreign *f, const struct entry_key *k)
{
    uint32_t h = entry_of(f, k);
    if (h)
        return h;
    uint32_t router = router_get(f, &k->router);
    if (!router)
        return 0;
    h = pool_get(&f->entries);
    if (!h) {
        router_release(f, router);
        return 0;
    }
    struct entry *e = entry_at(f, h);
    e->key = *k;
    e->router = router;
    e->next = router_at(f, router)->entries;
    if (e->next)
        entry_at(f, e->next)->prev = h;
    router_at(f, router)->entries = h;
    map_add(&f->by_key, map_hash(&f->by_key, k, sizeof *k), h);
    return h;
}

bool
foreign_yield(struct foreign *f, const struct ip *vtep)
{
    uint32_t hash = map_hash(&f->by_router, vtep, sizeof *vtep);
    uint32_t router = map_find(&f->by_router, hash, vtep);
    char t[IP_STR];
    if (!router)
        return false;
    log_warn("nva", "router=%s gives way to the NVE at that address", ip_str(vtep, t));
    for (uint32_t h = router_at(f, router)->entries, next; h; h = next) {
        next = entry_at(f, h)->next; /* the last one takes the router with it */
        entry_del(f, h);
    }
    return true;
}

/* ---- a message ---- */

void
foreign_begin(struct foreign *f)
{
    f->first_ref = f->ref + 1;
    f->n_waiting = f->n_touched = 0;
    f->refused = false;
}

bool
foreign_waiting(const struct foreign *f)
{
    return f->n_waiting != 0;
}

bool
foreign_done(const struct foreign *f)
{
    return !f->n_waiting && !f->refused;
}

static void
mask(struct ip *ip, unsigned bits)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned keep = bits > i * 8 ? bits - i * 8 : 0;
        if (keep < 8)
            ip->b[i] &= (uint8_t)(0xff00 >> keep);
    }
}

static unsigned
bits_of(const struct ip *ip, uint8_t prefix_len)
{
    return prefix_len + (ip_is_v4(ip) ? 96u : 0u);
}

static struct entry_key
key_of(const struct foreign_from *from, const struct lisp_record *rec, bool has_mac,
    const struct mapping_rec *m)
{
    struct entry_key k;
    memset(&k, 0, sizeof k);
    k.vni = rec->eid.vni;
    k.router = rec->n_rlocs ? rec->rlocs[0].ip : from->from;
    if (has_mac) {
        k.kind = LISP_EID_MAC;
        k.prefix_len = 48;
        k.mac = m->mac;
    } else {
        k.kind = LISP_EID_IP;
        k.prefix_len = rec->eid.prefix_len;
        k.ip = rec->eid.ip;
        mask(&k.ip, bits_of(&k.ip, k.prefix_len));
    }
    return k;
}

static void
keep_ip(struct foreign *f, uint32_t h, const struct lisp_record *rec)
{
    struct entry *e = entry_at(f, h);
    if (!e->record) {
        e->record = mem_alloc(sizeof *e->record);
        ++*prefix_count(f, &e->key);
        map_add(&f->by_ip, map_hash(&f->by_ip, &e->key, ANY_ROUTER), h);
    }
    e->state = ENTRY_OWNED;
    *e->record = *rec;
    e->record->eid.ip = e->key.ip;
}

/* (VN, MAC): the registry decides. */
static void
ask_registry(struct foreign *f, uint32_t h)
{
    struct entry *e = entry_at(f, h);
    e->touched = false;
    /* A keep-alive of who is no longer the owner; or its claim waits for recovery. */
    if ((e->state == ENTRY_LOST && e->said == e->version) || e->state == ENTRY_ASKED) {
        f->refused = true;
        return;
    }
    bool again = e->state == ENTRY_OWNED;
    struct mapping_rec m = {.vni = e->key.vni,
        .mac = e->key.mac,
        .owner = e->key.router,
        .n_ips = e->n_ips};
    memcpy(m.ips, e->ips, sizeof m.ips);
    m.epoch = again ? e->epoch : 0;
    m.migration_id = again ? e->migration_id : 0;
    if (!again)
        e->state = ENTRY_ASKED;
    e->version = e->said;
    e->ref = ++f->ref;
    f->n_waiting++;
    registry_register(f->n->reg, router_at(f, e->router)->nve, e->ref, &m, !again,
        again, f->n->now_us);
}

void
foreign_end(struct foreign *f)
{
    for (uint32_t i = 0; i < f->n_touched; i++)
        ask_registry(f, f->touched[i]);
}

static void
touch(struct foreign *f, uint32_t h)
{
    struct entry *e = entry_at(f, h);
    if (e->touched)
        return;
    if (f->n_touched == sizeof f->touched / sizeof f->touched[0]) {
        f->refused = true;
        return;
    }
    e->touched = true;
    f->touched[f->n_touched++] = h;
}

static void
untouch(struct foreign *f, uint32_t h)
{
    for (uint32_t i = 0; i < f->n_touched; i++)
        if (f->touched[i] == h)
            f->touched[i] = f->touched[--f->n_touched];
}

/* A MAC and its addresses may come in records of their own: they add up. */
static void
keep_ips(struct entry *e, const struct mapping_rec *m)
{
    for (uint8_t i = 0; i < m->n_ips; i++) {
        uint8_t j = 0;
        while (j < e->n_ips && !ip_equal(&e->ips[j], &m->ips[i]))
            j++;
        if (j == e->n_ips && j < TNS_IPS_MAX)
            e->ips[e->n_ips++] = m->ips[i];
    }
}

static void
withdraw(struct foreign *f, const struct entry_key *k, const struct lisp_record *rec)
{
    uint32_t h = entry_of(f, k);
    struct entry *e = h ? entry_at(f, h) : NULL;
    if (!e)
        return;
    if (e->record || rec->eid.kind == LISP_EID_MAC) {
        untouch(f, h);
        entry_del(f, h);
        return;
    }
    for (uint8_t i = 0; i < e->n_ips; i++)
        if (ip_equal(&e->ips[i], &rec->eid.ip))
            e->ips[i--] = e->ips[--e->n_ips];
    if (e->n_ips || e->by_mac) {
        touch(f, h);
    } else {
        untouch(f, h);
        entry_del(f, h);
    }
}

void
foreign_record(
    struct foreign *f, const struct foreign_from *from, const struct lisp_record *rec)
{
    struct mapping_rec m;
    const struct nva *n = f->n;
    bool has_mac = lisp_record_mapping(rec, &m);
    if ((rec->eid.kind != LISP_EID_IP && rec->eid.kind != LISP_EID_MAC) ||
        !registry_vn(n->reg, rec->eid.vni, NULL)) {
        f->refused = true;
        return;
    }
    struct entry_key k = key_of(from, rec, has_mac, &m);
    if (!rec->ttl_min || !rec->n_rlocs) {
        withdraw(f, &k, rec);
        return;
    }
    uint32_t h = entry_get(f, &k);
    if (!h) {
        f->refused = true;
        return;
    }
    struct entry *e = entry_at(f, h);
    e->proxy = from->proxy;
    e->from = from->from;
    e->site_id = from->site_id;
    e->key_id = from->key_id;
    e->said = rec->version;
    e->by_mac |= rec->eid.kind == LISP_EID_MAC;
    uint64_t ttl = n->settings[NVA_SET_FOREIGN_TTL_US];
    if (from->use_ttl)
        ttl = (rec->ttl_min < TTL_MAX_MIN ? rec->ttl_min : TTL_MAX_MIN) * 60000000ull;
    timers_set(&f->timers, &e->timer, n->now_us + ttl, 0, h);
    if (has_mac) {
        keep_ips(e, &m);
        touch(f, h);
    } else {
        keep_ip(f, h, rec);
    }
}

/* REGISTERED or REJECT of one of ours. */
void
foreign_registry(struct foreign *f, const struct registry_out *o)
{
    uint32_t router = router_of_nve(f, o->nve);
    if (!o->ref || (o->type != REG_REGISTERED && o->type != REG_REJECT))
        return;
    if (o->ref >= f->first_ref && f->n_waiting) {
        f->n_waiting--;
        f->refused |= o->type != REG_REGISTERED;
    }
    if (!router)
        return;
    struct entry_key k;
    memset(&k, 0, sizeof k);
    k.vni = o->rec.vni;
    k.kind = LISP_EID_MAC;
    k.prefix_len = 48;
    k.mac = o->rec.mac;
    k.router = router_at(f, router)->ip;
    uint32_t h = entry_of(f, &k);
    struct entry *e = h ? entry_at(f, h) : NULL;
    if (!e || e->ref != o->ref) {
        if (o->type == REG_REGISTERED && !e) /* its life ended while the claim waited */
            registry_withdraw(f->n->reg, o->nve, 0, &o->rec, f->n->now_us);
        return;
    }
    if (o->type == REG_REGISTERED) {
        e->state = ENTRY_OWNED;
        e->epoch = o->rec.epoch;
        e->migration_id = o->rec.migration_id;
    } else if (o->reason == REG_STALE || o->reason == REG_CONFLICT) {
        e->state = ENTRY_LOST;
        if (!ip_is_none(&o->rec.owner))
            udp_map_lost(f->n->udp, &e->from, e->site_id, e->key_id, &o->rec);
    } else {
        e->state = ENTRY_NEW;
    }
}

/* ---- questions ---- */

bool
foreign_proxy(
    const struct foreign *f, uint32_t nve, uint32_t vni, const struct mac *mac)
{
    uint32_t router = router_of_nve(f, nve);
    struct entry_key k;
    memset(&k, 0, sizeof k);
    k.vni = vni;
    k.kind = LISP_EID_MAC;
    k.prefix_len = 48;
    k.mac = *mac;
    if (router)
        k.router = router_at(f, router)->ip;
    uint32_t h = router ? entry_of(f, &k) : 0;
    return !h || entry_at(f, h)->proxy;
}

const struct lisp_record *
foreign_find(const struct foreign *f, uint32_t vni, const struct ip *ip, bool *proxy)
{
    int v4 = ip_is_v4(ip);
    struct entry_key k;
    if (!f->by_ip.n)
        return NULL;
    memset(&k, 0, sizeof k);
    k.vni = vni;
    k.kind = LISP_EID_IP;
    for (int len = v4 ? 32 : 128; len >= 0; len--) {
        if (!f->prefixes[v4][len])
            continue;
        k.ip = *ip;
        k.prefix_len = (uint8_t)len;
        mask(&k.ip, bits_of(ip, k.prefix_len));
        uint32_t h = map_find(&f->by_ip, map_hash(&f->by_ip, &k, ANY_ROUTER), &k);
        if (h) {
            *proxy = entry_at(f, h)->proxy;
            return entry_at(f, h)->record;
        }
    }
    return NULL;
}

/* ---- time ---- */

uint64_t
foreign_deadline(const struct foreign *f)
{
    return timers_deadline(&f->timers);
}

void
foreign_tick(struct foreign *f)
{
    uint32_t kind, h;
    while (timers_pop(&f->timers, f->n->now_us, &kind, &h))
        entry_del(f, h);
}

bool
foreign_each(const struct foreign *f, uint32_t *it, struct foreign_view *v)
{
    uint32_t h = map_each(&f->by_ip, it);
    if (!h)
        return false;
    v->eid = entry_at(f, h)->record->eid;
    v->owner = entry_at(f, h)->key.router;
    return true;
}
