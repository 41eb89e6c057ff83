/* SPDX-License-Identifier: Apache-2.0 */
/* Linear probing over slots of 8 octets; handle 0 marks an empty slot. Deletion shifts
 * the followers back instead of leaving a mark, so tables that churn for years
 * (mappings, learned addresses) probe no longer than fresh ones. Full at 4/5: with the
 * whole 32-bit hash in the slot a false comparison is rare, and a probe of a dozen
 * slots is two cache lines. */
#include "base/map.h"

#include <assert.h>
#include <sodium/crypto_shorthash.h>
#include <string.h>

#include "base/mem.h"

struct map_slot {
    uint32_t hash, handle;
};

void
map_init(struct map *m, map_eq_fn eq, const void *ctx, uint64_t seed)
{
    *m = (struct map){.eq = eq, .ctx = ctx, .seed = seed};
}

uint32_t
map_hash(const struct map *m, const void *key, size_t size)
{
    uint64_t k[2] = {m->seed, m->seed ^ 0x9e3779b97f4a7c15};
    unsigned char sip_key[crypto_shorthash_KEYBYTES], out[crypto_shorthash_BYTES];
    _Static_assert(sizeof k == sizeof sip_key, "SipHash-2-4 takes a key of 16 octets");
    memcpy(sip_key, k, sizeof sip_key);
    crypto_shorthash(out, key, size, sip_key);
    uint32_t hash;
    memcpy(&hash, out, sizeof hash);
    return hash;
}

/* First match at or after slot i of the probe sequence, or the empty slot that ends it.
 */
static uint32_t
map_seek(const struct map *m, uint32_t i, uint32_t hash, const void *key)
{
    uint32_t mask = m->cap - 1;
    for (i &= mask; m->slots[i].handle; i = (i + 1) & mask)
        if (m->slots[i].hash == hash && m->eq(m->ctx, m->slots[i].handle, key))
            break;
    return i;
}

/* The slot of a handle, or the empty slot that ends its probe sequence. An object may stand
 * in the map under several keys: its other slots can lie on the way, with another hash. */
static uint32_t
map_slot_of(const struct map *m, uint32_t hash, uint32_t handle)
{
    uint32_t mask = m->cap - 1, i = hash & mask;
    while (m->slots[i].handle &&
           (m->slots[i].handle != handle || m->slots[i].hash != hash))
        i = (i + 1) & mask;
    return i;
}

uint32_t
map_find(const struct map *m, uint32_t hash, const void *key)
{
    return m->n ? m->slots[map_seek(m, hash, hash, key)].handle : 0;
}

uint32_t
map_next(const struct map *m, uint32_t hash, const void *key, uint32_t prev)
{
    if (m->n == 0)
        return 0;
    uint32_t i = map_slot_of(m, hash, prev);
    if (m->slots[i].handle == 0)
        return 0;
    do /* two keys of one object may share all 32 bits of hash: it is found once */
        i = map_seek(m, i + 1, hash, key);
    while (m->slots[i].handle == prev);
    return m->slots[i].handle;
}

static void
map_put(struct map *m, uint32_t hash, uint32_t handle)
{
    uint32_t mask = m->cap - 1, i = hash & mask;
    while (m->slots[i].handle)
        i = (i + 1) & mask;
    m->slots[i] = (struct map_slot){hash, handle};
}

static void
map_grow(struct map *m)
{
    struct map_slot *old = m->slots;
    uint32_t old_cap = m->cap;
    m->cap = old_cap ? old_cap * 2 : 8;
    m->slots = mem_alloc((size_t)m->cap * sizeof *m->slots);
    for (uint32_t i = 0; i < old_cap; i++)
        if (old[i].handle)
            map_put(m, old[i].hash, old[i].handle);
    mem_free(old);
}

void
map_add(struct map *m, uint32_t hash, uint32_t handle)
{
    assert(handle != 0);
    if ((uint64_t)(m->n + 1) * 5 > (uint64_t)m->cap * 4)
        map_grow(m);
    map_put(m, hash, handle);
    m->n++;
}

bool
map_del(struct map *m, uint32_t hash, uint32_t handle)
{
    if (m->n == 0 || handle == 0)
        return false;
    uint32_t mask = m->cap - 1, hole = map_slot_of(m, hash, handle);
    if (m->slots[hole].handle == 0)
        return false;
    for (uint32_t i = (hole + 1) & mask; m->slots[i].handle; i = (i + 1) & mask) {
        /* A follower may fill the hole unless its home lies behind the hole. */
        uint32_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct map_slot){0, 0};
    m->n--;
    return true;
}

void
map_done(struct map *m)
{
    mem_free(m->slots);
    map_init(m, m->eq, m->ctx, m->seed);
}

uint32_t
map_each(const struct map *m, uint32_t *it)
{
    while (*it < m->cap) {
        uint32_t handle = m->slots[(*it)++].handle;
        if (handle)
            return handle;
    }
    return 0;
}
