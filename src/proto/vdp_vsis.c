/* SPDX-License-Identifier: Apache-2.0 */
/* The index is by VSIID; a record spells its manager id through the slot. */
#include "proto/vdp_vsis.h"

#include <string.h>

#define SAVE_VERSION 1

static bool
rec_has_id(const void *ctx, uint32_t handle, const void *id)
{
    const struct vdp_vsis *s = ctx;
    return vsiid_equal(&vdp_vsis_at(s, handle)->id, id);
}

static uint32_t
hash_id(const struct vdp_vsis *s, const struct vsiid *id)
{
    uint8_t b[sizeof id->b + 1];
    memcpy(b, id->b, sizeof id->b);
    b[sizeof id->b] = id->format;
    return map_hash(&s->map, b, sizeof b);
}

void
vdp_vsis_init(
    struct vdp_vsis *s, uint32_t max_vsis, uint8_t max_managers, uint64_t seed)
{
    pool_init(&s->pool, sizeof(struct vdp_vsi_rec), max_vsis);
    map_init(&s->map, rec_has_id, s, seed);
    vdp_managers_init(&s->managers, max_managers);
    s->n_entries = 0;
}

void
vdp_vsis_done(struct vdp_vsis *s)
{
    uint32_t it = 0, handle;
    while ((handle = map_each(&s->map, &it)))
        vdp_filter_clear(&vdp_vsis_at(s, handle)->filter);
    map_done(&s->map);
    pool_done(&s->pool);
    vdp_managers_done(&s->managers);
}

struct vdp_vsi_rec *
vdp_vsis_at(const struct vdp_vsis *s, uint32_t handle)
{
    return pool_at(&s->pool, handle);
}

uint32_t
vdp_vsis_find(const struct vdp_vsis *s, const struct vsiid *id)
{
    return map_find(&s->map, hash_id(s, id), id);
}

uint32_t
vdp_vsis_add(struct vdp_vsis *s, const struct vsiid *id, uint8_t manager)
{
    uint32_t handle = pool_get(&s->pool);
    if (handle == 0)
        return 0;
    struct vdp_vsi_rec *rec = vdp_vsis_at(s, handle);
    rec->id = *id;
    rec->manager = manager;
    s->managers.m[manager].refs++;
    map_add(&s->map, hash_id(s, id), handle);
    return handle;
}

void
vdp_vsis_remove(struct vdp_vsis *s, uint32_t handle)
{
    struct vdp_vsi_rec *rec = vdp_vsis_at(s, handle);
    map_del(&s->map, hash_id(s, &rec->id), handle);
    s->managers.m[rec->manager].refs--;
    s->n_entries -= rec->filter.n;
    vdp_filter_clear(&rec->filter);
    pool_put(&s->pool, handle);
}

bool
vdp_vsis_stands(const struct vdp_vsi_rec *rec, uint8_t manager, const struct vdp_vsi *v)
{
    return rec->type && rec->manager == manager && rec->type_id == v->type_id &&
           rec->type_version == v->type_version;
}

bool
vdp_vsis_is_repeat(const struct vdp_vsi_rec *rec, uint8_t manager,
    const struct vdp_vsi *v, uint64_t org_hash)
{
    uint8_t hints = v->status & (VDP_REQ_M | VDP_REQ_S);
    return vdp_vsis_stands(rec, manager, v) && rec->type == v->type &&
           rec->hints == hints && (org_hash == 0 || org_hash == rec->org_hash) &&
           vdp_filter_same(&rec->filter, v->filter_format, v->n_entries, v->filter);
}

void
vdp_vsis_accept(struct vdp_vsis *s, struct vdp_vsi_rec *rec, uint8_t manager,
    const struct vdp_vsi *v, const uint8_t *tagged, uint64_t org_hash)
{
    s->managers.m[manager].refs++;
    s->managers.m[rec->manager].refs--;
    rec->manager = manager;
    rec->type_id = v->type_id;
    rec->type_version = v->type_version;
    s->n_entries += v->n_entries;
    s->n_entries -= rec->filter.n;
    vdp_filter_set(&rec->filter, v->filter_format, v->n_entries, v->filter, tagged);
    rec->type = v->type;
    rec->hints = v->status & (VDP_REQ_M | VDP_REQ_S);
    rec->org_hash = org_hash;
}

size_t
vdp_vsis_save(const struct vdp_vsis *s, uint32_t handle, const struct mac *peer,
    uint8_t *bytes, size_t cap)
{
    const struct vdp_vsi_rec *rec = vdp_vsis_at(s, handle);
    struct wr w = wr_of(bytes, cap);
    size_t size = (size_t)rec->filter.n * vdp_entry_size(rec->filter.format);
    uint8_t tagged[VDP_FILTER_SIZE_MAX];
    vdp_filter_tagged(&rec->filter, tagged);
    wr_u8(&w, SAVE_VERSION);
    wr_bytes(&w, s->managers.m[rec->manager].id, VDP_MGRID_SIZE);
    wr_u24(&w, rec->type_id);
    wr_u8(&w, rec->type_version);
    wr_u8(&w, rec->id.format);
    wr_bytes(&w, rec->id.b, sizeof rec->id.b);
    wr_bytes(&w, peer->b, sizeof peer->b);
    wr_u8(&w, rec->type);
    wr_u8(&w, rec->hints);
    wr_u64(&w, rec->org_hash);
    wr_u8(&w, rec->filter.format);
    wr_u16(&w, rec->filter.n);
    wr_bytes(&w, vdp_filter_asked(&rec->filter), size);
    wr_bytes(&w, tagged, size);
    return w.err ? 0 : w.pos;
}

/* What names it, and of what type it is. */
static bool
saved_key(struct rd *r, struct vdp_key *key)
{
    bool known = rd_u8(r) == SAVE_VERSION;
    memset(key, 0, sizeof *key);
    rd_bytes(r, key->mgrid, sizeof key->mgrid);
    key->type_id = rd_u24(r);
    key->type_version = rd_u8(r);
    key->id.format = rd_u8(r);
    rd_bytes(r, key->id.b, sizeof key->id.b);
    return known && !r->err;
}

bool
vdp_vsis_saved_id(const uint8_t *bytes, size_t size, struct vsiid *id)
{
    struct rd r = rd_of(bytes, size);
    struct vdp_key key;
    bool known = saved_key(&r, &key);
    *id = key.id;
    return known;
}

uint32_t
vdp_vsis_restore(
    struct vdp_vsis *s, const uint8_t *bytes, size_t size, struct mac *peer)
{
    struct rd r = rd_of(bytes, size);
    struct vdp_key key;
    bool known = saved_key(&r, &key);
    struct vdp_vsi v = {.type_id = key.type_id, .type_version = key.type_version};
    rd_bytes(&r, peer->b, sizeof peer->b);
    v.type = rd_u8(&r);
    v.status = rd_u8(&r);
    uint64_t org_hash = rd_u64(&r);
    v.filter_format = rd_u8(&r);
    v.n_entries = rd_u16(&r);
    size_t filter = (size_t)v.n_entries * vdp_entry_size(v.filter_format);
    v.filter = rd_ptr(&r, filter);
    const uint8_t *tagged = rd_ptr(&r, filter);
    if (!known || r.err || rd_left(&r) || vdp_entry_size(v.filter_format) == 0 ||
        v.n_entries > vdp_entries_max(v.filter_format) || v.type < VDP_PREASSOC ||
        v.type > VDP_ASSOC)
        return 0;
    uint8_t manager = vdp_managers_get(&s->managers, key.mgrid);
    if (manager == VDP_MANAGER_NONE)
        return 0;
    uint32_t handle = vdp_vsis_find(s, &key.id);
    if (handle == 0)
        handle = vdp_vsis_add(s, &key.id, manager);
    if (handle)
        vdp_vsis_accept(s, vdp_vsis_at(s, handle), manager, &v, tagged, org_hash);
    return handle;
}
