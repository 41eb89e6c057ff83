/* SPDX-License-Identifier: Apache-2.0 */
/* Reservations (K4): a migration has begun, its number is fixed, the key's owner is
 * still another. One per key: of two attempts the newest counts. The owner is told of
 * it, so that it knows where the VM goes to even if nobody names the target (X5). That
 * notice needs no number and no acknowledgement: a session loses nothing, and what a
 * new session must know is said again when all has been registered in it. */
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

void
reg_resv_free(struct registry *r, uint32_t h)
{
    struct reg_resv *v = reg_resv(r, h);
    struct resv_key k = {.vni = v->vni, .mac = v->mac};
    store(r, v, 0);
    timers_clear(&r->timers, &v->timer);
    map_del(&r->by_resv, map_hash(&r->by_resv, &k, sizeof k), h);
    slab_put(&r->resvs, h);
}

static struct reg_resv *
keep(struct registry *r, const struct mapping_rec *rec, const struct ip *target)
{
    uint32_t h = reg_resv_find(r, rec->vni, &rec->mac);
    if (!h) {
        struct resv_key k = {.vni = rec->vni, .mac = rec->mac};
        if (!(h = slab_get(&r->resvs)))
            return NULL;
        reg_resv(r, h)->vni = rec->vni;
        reg_resv(r, h)->mac = rec->mac;
        map_add(&r->by_resv, map_hash(&r->by_resv, &k, sizeof k), h);
    }
    struct reg_resv *v = reg_resv(r, h);
    v->epoch = rec->epoch;
    v->migration_id = rec->migration_id;
    v->target = *target;
    v->since_us = r->now_us;
    timers_set(&r->timers, &v->timer, r->now_us + r->conf.forget_us, REG_T_RESV, h);
    return v;
}

void
reg_resv_keep(struct registry *r, uint32_t nve, const struct mapping_rec *rec)
{
    const struct reg_resv *v = keep(r, rec, &reg_nve(r, nve)->vtep);
    if (v) /* there is room: claim_run looked */
        store(r, v, v->epoch);
}

void
registry_load_reservation(
    struct registry *r, const struct mapping_rec *rec, uint64_t now_us)
{
    r->now_us = now_us;
    keep(r, rec, &rec->owner);
}

static void
tell(struct registry *r, uint32_t h)
{
    const struct reg_resv *v = reg_resv(r, h);
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
    o->rec.epoch = v->epoch;
    o->rec.migration_id = v->migration_id;
    r->counters[REGC_RESERVED]++;
}

void
reg_resv_tell(struct registry *r, uint32_t vni, const struct mac *mac)
{
    uint32_t h = reg_resv_find(r, vni, mac);
    if (h)
        tell(r, h);
}

void
reg_resv_tell_owner(struct registry *r, uint32_t nve)
{
    for (uint32_t it = 0, h; (h = slab_each(&r->resvs, &it));) {
        const struct reg_resv *v = reg_resv(r, h);
        uint32_t ent = keytab_find(&r->keys, v->vni, &v->mac);
        if (ent && reg_ent(r, ent)->nve == nve)
            tell(r, h);
    }
}

void
reg_resv_void(struct registry *r, const struct ip *target)
{
    for (uint32_t it = 0, h; (h = slab_each(&r->resvs, &it));)
        if (ip_equal(&reg_resv(r, h)->target, target))
            reg_resv_free(r, h);
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
