/* SPDX-License-Identifier: Apache-2.0 */
/* Reservations (K4): a migration has begun, its number is fixed, the key's owner is
 * still another. One per key and NVE, the newest number of a key first: of two attempts
 * that one counts, and when it ends the other one does. The owner is told of it, so
 * that it knows where the VM goes to even if nobody names the target (X5), and told
 * when it is void. These notices need no number and no acknowledgement: a session loses
 * nothing, and what a new session must know is said again when all has been registered
 * in it. */
#include "core/registry_int.h"

struct resv_key {
    uint32_t vni;
    struct mac mac;
    uint8_t zero[2];
};

uint32_t
reg_resv_find(const struct registry *r, uint32_t vni, const struct mac *mac)
{
    if (r->by_resv.n == 0)
        return 0;
    struct resv_key k = {.vni = vni, .mac = *mac};
    return map_find(&r->by_resv, map_hash(&r->by_resv, &k, sizeof k), &k);
}

uint32_t
reg_resv_of(const struct registry *r, uint32_t vni, const struct mac *mac,
    const struct ip *target)
{
    uint32_t h = reg_resv_find(r, vni, mac);
    while (h && !ip_equal(&reg_resv(r, h)->target, target))
        h = reg_resv(r, h)->next;
    return h;
}

/* Kept over a restart (K7), but no grant waits for the disk: what is lost there is only
 * that the owner is told again. The number itself cannot be granted twice. */
static void
store(struct registry *r, const struct reg_resv *v, uint64_t epoch)
{
    struct registry_out *o = reg_out(r, REG_STORE, 0);
    o->store = REG_STORE_RESV;
    o->rec.vni = v->vni;
    o->rec.mac = v->mac;
    o->rec.owner = v->target;
    o->rec.epoch = epoch;
    o->rec.migration_id = v->migration_id;
}

/* Into the key's list, or out of it: the map knows the head. */
static void
place(struct registry *r, uint32_t h, bool in)
{
    struct reg_resv *v = reg_resv(r, h);
    struct resv_key k = {.vni = v->vni, .mac = v->mac};
    uint32_t hash = map_hash(&r->by_resv, &k, sizeof k);
    uint32_t head = map_find(&r->by_resv, hash, &k), *link = &head, was = head;
    while (*link && (in ? reg_resv(r, *link)->epoch > v->epoch : *link != h))
        link = &reg_resv(r, *link)->next;
    if (in) {
        v->next = *link;
        *link = h;
    } else {
        *link = v->next;
        v->next = 0;
    }
    if (head == was)
        return;
    if (was)
        map_del(&r->by_resv, hash, was);
    if (head)
        map_add(&r->by_resv, hash, head);
}

/* Whose it is is known by its session alone: one that the store gave waits for it. */
static void
count(struct registry *r, struct reg_resv *v, uint32_t nve)
{
    if (v->nve)
        reg_nve(r, v->nve)->n_resvs--;
    v->nve = nve;
    if (nve)
        reg_nve(r, nve)->n_resvs++;
}

void
reg_resv_free(struct registry *r, uint32_t h)
{
    struct reg_resv *v = reg_resv(r, h);
    store(r, v, 0);
    timers_clear(&r->timers, &v->timer);
    count(r, v, 0);
    place(r, h, false);
    slab_put(&r->resvs, h);
}

bool
reg_resv_room(const struct registry *r, uint32_t nve, const struct mapping_rec *rec)
{
    if (reg_resv_of(r, rec->vni, &rec->mac, &reg_nve(r, nve)->vtep))
        return true;
    return r->resvs.pool.n < r->resvs.pool.max &&
           reg_nve(r, nve)->n_resvs < r->resvs.pool.max / REG_RESV_SHARE;
}

static uint32_t
keep(struct registry *r, const struct mapping_rec *rec, const struct ip *target)
{
    uint32_t h = reg_resv_of(r, rec->vni, &rec->mac, target), n = 0;
    if (h) {
        place(r, h, false);
    } else {
        uint32_t last = 0;
        for (h = reg_resv_find(r, rec->vni, &rec->mac); h; h = reg_resv(r, h)->next) {
            last = h;
            n++;
        }
        if (n >=
            REG_RESV_KEY) /* so many attempts for one VM: the oldest counts least */
            reg_resv_free(r, last);
        if (!(h = slab_get(&r->resvs)))
            return 0;
        reg_resv(r, h)->vni = rec->vni;
        reg_resv(r, h)->mac = rec->mac;
    }
    struct reg_resv *v = reg_resv(r, h);
    v->epoch = rec->epoch;
    v->migration_id = rec->migration_id;
    v->target = *target;
    v->since_us = r->now_us;
    place(r, h, true);
    timers_set(&r->timers, &v->timer, r->now_us + r->conf.forget_us, REG_T_RESV, h);
    return h;
}

void
reg_resv_keep(struct registry *r, uint32_t nve, const struct mapping_rec *rec)
{
    uint32_t h = keep(r, rec, &reg_nve(r, nve)->vtep);
    if (!h)
        return; /* there is room: claim_run looked */
    reg_resv_said(r, nve, h);
    store(r, reg_resv(r, h), rec->epoch);
}

void
reg_resv_said(struct registry *r, uint32_t nve, uint32_t h)
{
    struct reg_resv *v = reg_resv(r, h);
    if (!v->nve)
        timers_set(&r->timers, &v->timer, r->now_us + r->conf.forget_us, REG_T_RESV, h);
    count(r, v, nve);
    v->gen = reg_nve(r, nve)->gen;
}

void
registry_load_reservation(
    struct registry *r, const struct mapping_rec *rec, uint64_t now_us)
{
    r->now_us = now_us;
    uint32_t h = keep(r, rec, &rec->owner);
    /* Whoever reserved it says so again, or is gone (K11). */
    if (h)
        timers_set(&r->timers, &reg_resv(r, h)->timer,
            now_us + r->conf.recover_us + r->conf.stale_us, REG_T_RESV, h);
}

/* The number that counts for the key's owner. */
static void
tell(struct registry *r, const struct reg_resv *v, bool ended)
{
    uint32_t ent = keytab_find(&r->keys, v->vni, &v->mac);
    const struct reg_ent *en = ent ? reg_ent(r, ent) : NULL;
    if (!en || !(en->flags & ENT_LIVE) || en->epoch >= v->epoch)
        return;
    const struct reg_nve *n = reg_nve(r, en->nve);
    /* A router without a session keeps no tombstones. Within one NVE nothing moves. */
    if (!n->up || n->foreign || ip_equal(&n->vtep, &v->target))
        return;
    struct registry_out *o = reg_out(r, REG_RESERVED, en->nve);
    o->rec.vni = v->vni;
    o->rec.mac = v->mac;
    o->rec.owner = v->target;
    o->del = ended;
    o->rec.epoch = v->epoch;
    o->rec.migration_id = v->migration_id;
    r->counters[REGC_RESERVED]++;
}

void
reg_resv_tell(struct registry *r, uint32_t vni, const struct mac *mac)
{
    uint32_t h = reg_resv_find(r, vni, mac);
    if (h)
        tell(r, reg_resv(r, h), false);
}

void
reg_resv_end(struct registry *r, uint32_t h)
{
    struct reg_resv was = *reg_resv(r, h);
    bool counted = reg_resv_find(r, was.vni, &was.mac) == h;
    reg_resv_free(r, h);
    if (!counted)
        return; /* a newer attempt had been told instead */
    tell(r, &was, true);
    reg_resv_tell(r, was.vni, &was.mac);
}

void
reg_resv_tell_owner(struct registry *r, uint32_t nve)
{
    for (uint32_t it = 0, h; (h = slab_each(&r->resvs, &it));) {
        const struct reg_resv *v = reg_resv(r, h);
        uint32_t ent = keytab_find(&r->keys, v->vni, &v->mac);
        if (ent && reg_ent(r, ent)->nve == nve &&
            reg_resv_find(r, v->vni, &v->mac) == h)
            tell(r, v, false);
    }
}

void
reg_resv_void(struct registry *r, const struct ip *target, int gen)
{
    for (uint32_t it = 0, h; (h = slab_each(&r->resvs, &it));) {
        const struct reg_resv *v = reg_resv(r, h);
        if (ip_equal(&v->target, target) && (gen < 0 || !v->nve || v->gen != gen))
            reg_resv_end(r, h);
    }
}

bool
registry_each_reservation(
    const struct registry *r, uint32_t *it, struct registry_resv_view *v)
{
    uint32_t h = slab_each(&r->resvs, it);
    if (!h)
        return false;
    const struct reg_resv *x = reg_resv(r, h);
    *v = (struct registry_resv_view){.vni = x->vni,
        .mac = x->mac,
        .target = x->target,
        .epoch = x->epoch,
        .migration_id = x->migration_id,
        .age_us = r->now_us - x->since_us};
    uint32_t ent = keytab_find(&r->keys, x->vni, &x->mac);
    if (ent && reg_ent(r, ent)->flags & ENT_LIVE)
        v->owner = reg_nve(r, reg_ent(r, ent)->nve)->vtep;
    return true;
}
