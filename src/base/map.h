/* SPDX-License-Identifier: Apache-2.0 */
/* Hash index: open addressing over {hash, handle} slots of 8 bytes; the objects live in
 * pools. The key is compared by a callback, so one object can stand in several maps.
 * The seed makes chosen keys harmless and runs repeatable (it is an argument). */
#ifndef BERTH_BASE_MAP_H
#define BERTH_BASE_MAP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef bool (*map_eq_fn)(const void *ctx, uint32_t handle, const void *key);
struct map_slot;
struct map {
    struct map_slot *slots;
    uint32_t cap, n;
    uint64_t seed;
    map_eq_fn eq;
    const void *ctx;
};
void map_init(struct map *m, map_eq_fn eq, const void *ctx, uint64_t seed);
uint32_t map_hash(const struct map *m, const void *key, size_t size);  /* keyed SipHash */
uint32_t map_find(const struct map *m, uint32_t hash, const void *key);  /* handle or 0 */
/* Several handles with equal keys may stand in the map: map_next goes on after `prev`. */
uint32_t map_next(const struct map *m, uint32_t hash, const void *key, uint32_t prev);
void map_add(struct map *m, uint32_t hash, uint32_t handle);
bool map_del(struct map *m, uint32_t hash, uint32_t handle);
void map_done(struct map *m);
/* Iterate in slot order: *it starts at 0; returns 0 at the end. No change meanwhile. */
uint32_t map_each(const struct map *m, uint32_t *it);
#endif
