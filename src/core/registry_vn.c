/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual networks: by identifier and by name, told to every NVE. A deleted one stays as
 * long as it remembers epochs, or an NVE must hear of it. */
#include "core/registry_int.h"

#include <string.h>

#include "base/log.h"

uint32_t
reg_vn_find(const struct registry *r, uint32_t vni)
{
    return map_find(&r->by_vni, map_hash(&r->by_vni, &vni, sizeof vni), &vni);
}

uint32_t
reg_vn_get(struct registry *r, uint32_t vni)
{
    uint32_t h = reg_vn_find(r, vni);
    if (h || vni == 0 || vni > VNI_MAX || !(h = slab_get(&r->vns)))
        return h;
    reg_vn(r, h)->rec.vni = vni;
    reg_vn(r, h)->rec.deleted = 1;
    map_add(&r->by_vni, map_hash(&r->by_vni, &vni, sizeof vni), h);
    return h;
}

void
reg_vn_release(struct registry *r, uint32_t h)
{
    const struct reg_vn *v = h ? reg_vn(r, h) : NULL;
    if (!v || h == r->all || !v->rec.deleted || v->ents.head || v->parts.head)
        return;
    uint32_t vni = v->rec.vni;
    map_del(&r->by_vni, map_hash(&r->by_vni, &vni, sizeof vni), h);
    slab_put(&r->vns, h);
}

static uint32_t
vn_by_name(const struct registry *r, const char *name)
{
    return *name
               ? map_find(&r->by_name, map_hash(&r->by_name, name, strlen(name)), name)
               : 0;
}

static void
vn_unname(struct registry *r, uint32_t h)
{
    const char *name = reg_vn(r, h)->rec.name;
    if (*name)
        map_del(&r->by_name, map_hash(&r->by_name, name, strlen(name)), h);
}

static enum registry_reason
vn_set(struct registry *r, const struct vn_rec *vn)
{
    if (vn->vni == 0 || vn->vni > VNI_MAX || !memchr(vn->name, 0, sizeof vn->name))
        return REG_POLICY;
    uint32_t named = vn_by_name(r, vn->name);
    if (named && reg_vn(r, named)->rec.vni != vn->vni)
        return REG_CONFLICT; /* a name is unique */
    uint32_t h = reg_vn_get(r, vn->vni);
    if (!h)
        return REG_FULL;
    vn_unname(r, h);
    reg_vn(r, h)->rec = *vn;
    reg_vn(r, h)->rec.deleted = 0;
    if (*vn->name)
        map_add(&r->by_name, map_hash(&r->by_name, vn->name, strlen(vn->name)), h);
    return REG_OK;
}

static void
vn_tell_all(struct registry *r, const struct vn_rec *vn)
{
    for (uint32_t it = 0, h; (h = slab_each(&r->nves, &it));)
        if (reg_nve(r, h)->up && !reg_nve(r, h)->foreign)
            reg_out(r, REG_VN, h)->vn = *vn;
}

bool
registry_vn_put(
    struct registry *r, const struct vn_rec *vn, uint8_t *reason, uint64_t now_us)
{
    r->now_us = now_us;
    *reason = (uint8_t)vn_set(r, vn);
    if (*reason != REG_OK)
        return false;
    const struct vn_rec *set = &reg_vn(r, reg_vn_find(r, vn->vni))->rec;
    struct registry_out *o = reg_out(r, REG_STORE, 0);
    o->id = ++r->store_id ? r->store_id : ++r->store_id;
    o->store = REG_STORE_VN_PUT;
    o->vn = *set;
    vn_tell_all(r, set);
    return true;
}

bool
registry_vn_del(struct registry *r, uint32_t vni, uint64_t now_us)
{
    r->now_us = now_us;
    uint32_t h = reg_vn_find(r, vni);
    if (!h || reg_vn(r, h)->rec.deleted)
        return false;
    struct reg_vn *v = reg_vn(r, h);
    struct registry_out *o = reg_out(r, REG_STORE, 0);
    o->id = ++r->store_id ? r->store_id : ++r->store_id;
    o->store = REG_STORE_VN_DEL;
    o->vn = v->rec;
    vn_unname(r, h);
    v->rec.deleted = 1;
    vn_tell_all(r, &v->rec);
    v->rec.name[0] = 0;
    /* Killing moves an entry behind the last one: stop at what was the last. */
    for (uint32_t i = v->ents.head, last = v->ents.tail, next; i; i = next) {
        next = i == last ? 0 : reg_ent(r, i)->next;
        if (reg_ent(r, i)->flags & ENT_LIVE)
            reg_kill(r, i);
    }
    for (uint32_t it = 0, i; (i = slab_each(&r->parts, &it));) {
        if (reg_part(r, i)->vn != h)
            continue;
        reg_part_unsubscribe(r, i);
        reg_part(r, i)->linger = 0;
        reg_part_update(r, i);
        if (reg_vn_find(r, vni) != h)
            break; /* that was the last of it */
    }
    reg_vn_release(r, reg_vn_find(r, vni));
    return true;
}

const struct vn_rec *
registry_vn(const struct registry *r, uint32_t vni, const char *name)
{
    uint32_t h = vni ? reg_vn_find(r, vni) : name ? vn_by_name(r, name) : 0;
    return h && !reg_vn(r, h)->rec.deleted ? &reg_vn(r, h)->rec : NULL;
}

void
registry_vn_count(
    const struct registry *r, uint32_t vni, uint32_t *mappings, uint32_t *members)
{
    uint32_t h = vni ? reg_vn_find(r, vni) : 0;
    *mappings = *members = 0;
    if (!h)
        return;
    *mappings = reg_vn(r, h)->n_live;
    for (uint32_t i = reg_vn(r, h)->parts.head; i; i = reg_part(r, i)->next)
        *members += reg_part(r, i)->member;
}

void
registry_vn_lookup(
    struct registry *r, uint32_t nve, uint64_t ref, uint32_t vni, const char *name)
{
    if (!reg_nve_live(r, nve))
        return;
    const struct vn_rec *vn = registry_vn(r, vni, name);
    struct registry_out *o = reg_out(r, REG_VN, nve);
    o->ref = ref;
    o->reason = vn ? REG_OK : REG_NO_VN;
    if (vn)
        o->vn = *vn;
    else
        o->vn.vni = vni;
    if (!vn && name)
        strncpy(o->vn.name, name, sizeof o->vn.name - 1);
}

void
registry_load_vn(struct registry *r, const struct vn_rec *vn)
{
    enum registry_reason reason = vn_set(r, vn);
    if (reason != REG_OK)
        log_err("registry", "vni=%u name=%s not loaded: %s", vn->vni, vn->name,
            registry_reason_str((uint8_t)reason));
}
