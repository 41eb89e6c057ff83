/* SPDX-License-Identifier: Apache-2.0 */
/* Rows keyed by octets, in a pool behind base/map; order of walks is that of handles.
 */
#include "sim.h"

struct lookup {
    const void *key;
    size_t size;
};

static bool
row_eq(const void *ctx, uint32_t h, const void *key)
{
    const struct tab *t = ctx;
    const struct tab_row *r = pool_at(&t->pool, h);
    const struct lookup *l = key;
    return r->key_size == l->size && memcmp(r->key, l->key, l->size) == 0;
}

void
tab_init(struct tab *t)
{
    memset(t, 0, sizeof(*t));
    pool_init(&t->pool, sizeof(struct tab_row), 1u << 24);
    map_init(&t->map, row_eq, t, 0x5eed);
}

/* Nobody chooses keys against us. */
static uint32_t
hash(const void *key, size_t size)
{
    return (uint32_t)(hash_octets(0x5eed, key, size) >> 16);
}

static uint32_t
find(const struct tab *t, const void *key, size_t size)
{
    struct lookup l = {key, size};
    return map_find(&t->map, hash(key, size), &l);
}

static void
val_free(struct tab_row *r)
{
    if (r->val != r->in)
        mem_free(r->val);
}

struct tab_row *
tab_find(const struct tab *t, const void *key, size_t size)
{
    uint32_t h = find(t, key, size);
    return h ? pool_at(&t->pool, h) : NULL;
}

struct tab_row *
tab_put(struct tab *t, const void *key, size_t size, const void *val, uint32_t val_size)
{
    uint32_t h = find(t, key, size);
    struct tab_row *r;
    if (!h) {
        h = pool_get(&t->pool);
        r = pool_at(&t->pool, h);
        r->key_size = (uint8_t)size;
        memcpy(r->key, key, size);
        map_add(&t->map, hash(key, size), h);
        if (h >= t->top) {
            uint32_t top = h * 2 + 64;
            t->live = mem_grow(t->live, top);
            memset(t->live + t->top, 0, top - t->top);
            t->top = top;
        }
        t->live[h] = 1;
        t->n++;
    }
    r = pool_at(&t->pool, h);
    if (r->val_size != val_size || !r->val) {
        val_free(r);
        r->val = val_size <= TAB_VAL ? r->in : mem_alloc(val_size);
    }
    if (val_size)
        memcpy(r->val, val, val_size);
    r->val_size = val_size;
    r->seq = ++t->seq;
    return r;
}

bool
tab_del(struct tab *t, const void *key, size_t size)
{
    uint32_t h = find(t, key, size);
    struct tab_row *r;
    if (!h)
        return false;
    r = pool_at(&t->pool, h);
    map_del(&t->map, hash(key, size), h);
    val_free(r);
    t->live[h] = 0;
    t->n--;
    pool_put(&t->pool, h);
    return true;
}

struct tab_row *
tab_each(const struct tab *t, uint32_t *it)
{
    while (++*it < t->top)
        if (t->live[*it])
            return pool_at(&t->pool, *it);
    return NULL;
}

void
tab_done(struct tab *t)
{
    struct tab_row *r;
    for (uint32_t it = 0; (r = tab_each(t, &it));)
        val_free(r);
    map_done(&t->map);
    pool_done(&t->pool);
    mem_free(t->live);
    memset(t, 0, sizeof(*t));
}
