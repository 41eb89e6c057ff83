/* SPDX-License-Identifier: Apache-2.0 */
/* The only file that calls malloc (held by tools/check-walls). Pools grow by one chunk
 * of a fixed count, never by copying: at 100,000 objects the slack is one chunk, and
 * addresses stay (timers and lists point into objects). Freed pool objects and thrown
 * away arena memory are poisoned under AddressSanitizer, which otherwise could not see
 * a use after pool_put or arena_reset. */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MEM_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define MEM_ASAN 1
#endif
#ifdef MEM_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#define POOL_CHUNK      16384 /* bytes at most: slack small against 100,000 objects */
#define ARENA_CHUNK_MIN 4096
#define ARENA_CHUNK_MAX (256 * 1024) /* a bigger one is not kept by arena_reset */

void *
mem_alloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    if (!p)
        abort();
    return p;
}

void *
mem_grow(void *p, size_t size)
{
    p = realloc(p, size ? size : 1);
    if (!p)
        abort();
    return p;
}

char *
mem_strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    return memcpy(mem_alloc(size), s, size);
}

void
mem_free(void *p)
{
    free(p);
}

/* A free object holds the handle of the next free one in its first four octets. */
void
pool_init(struct pool *p, uint32_t item_size, uint32_t max)
{
    uint32_t size = item_size < sizeof(uint32_t) ? sizeof(uint32_t) : item_size;
    *p = (struct pool){.item_size = size, .max = max};
    /* Objects of a chunk are a power of two: none is looked for by a division. */
    while ((size_t)size << (p->shift + 1) <= POOL_CHUNK && 1u << p->shift < max)
        p->shift++;
}

static void
pool_add_chunk(struct pool *p)
{
    /* The array of pointers grows in steps of a power of two. */
    if ((p->n_chunks & (p->n_chunks - 1)) == 0) {
        size_t cap = p->n_chunks ? (size_t)p->n_chunks * 2 : 1;
        p->chunks = mem_grow(p->chunks, cap * sizeof *p->chunks);
    }
    size_t size = (size_t)p->item_size << p->shift;
    p->chunks[p->n_chunks] = mem_alloc(size);
    ASAN_POISON_MEMORY_REGION(p->chunks[p->n_chunks], size);
    p->n_chunks++;
}

uint32_t
pool_get(struct pool *p)
{
    if (p->n >= p->max)
        return 0;
    uint32_t handle = p->free_head;
    if (handle == 0) {
        if (p->top >> p->shift == p->n_chunks)
            pool_add_chunk(p);
        handle = ++p->top;
    }
    uint8_t *item = pool_at(p, handle);
    ASAN_UNPOISON_MEMORY_REGION(item, p->item_size);
    if (p->free_head)
        memcpy(&p->free_head, item, sizeof p->free_head);
    memset(item, 0, p->item_size);
    p->n++;
    return handle;
}

void
pool_put(struct pool *p, uint32_t handle)
{
    assert(handle > 0 && handle <= p->top && p->n > 0);
    uint8_t *item = pool_at(p, handle);
    memcpy(item, &p->free_head, sizeof p->free_head);
    ASAN_POISON_MEMORY_REGION(item, p->item_size);
    p->free_head = handle;
    p->n--;
}

void
pool_done(struct pool *p)
{
    for (uint32_t i = 0; i < p->n_chunks; i++)
        mem_free(p->chunks[i]);
    mem_free(p->chunks);
    pool_init(p, p->item_size, p->max);
}

size_t
pool_bytes(const struct pool *p)
{
    return ((size_t)p->n_chunks << p->shift) * p->item_size;
}

void
fifo_init(struct fifo *f, uint32_t item_size)
{
    *f = (struct fifo){.item_size = item_size};
}

static uint8_t *
fifo_place(const struct fifo *f, uint32_t i)
{
    return f->items + (size_t)((f->head + i) & (f->cap - 1)) * f->item_size;
}

/* cap is a power of two. The old head stretch that wrapped is moved behind the old end.
 */
static void
fifo_grow(struct fifo *f)
{
    uint32_t old = f->cap;
    f->cap = old ? old * 2 : 8;
    f->items = mem_grow(f->items, (size_t)f->cap * f->item_size);
    if (f->head > 0)
        memcpy(f->items + (size_t)old * f->item_size, f->items,
            (size_t)f->head * f->item_size);
}

void *
fifo_push(struct fifo *f)
{
    if (f->n == f->cap)
        fifo_grow(f);
    uint8_t *slot = fifo_place(f, f->n++);
    return memset(slot, 0, f->item_size);
}

void *
fifo_peek(const struct fifo *f)
{
    return f->n ? fifo_place(f, 0) : NULL;
}

int
fifo_pop(struct fifo *f, void *item)
{
    if (f->n == 0)
        return 0;
    memcpy(item, fifo_place(f, 0), f->item_size);
    f->head = (f->head + 1) & (f->cap - 1);
    f->n--;
    return 1;
}

void
fifo_done(struct fifo *f)
{
    mem_free(f->items);
    fifo_init(f, f->item_size);
}

/* used: octets taken from the head chunk; total: octets of all chunks. */
struct arena_chunk {
    struct arena_chunk *next;
    size_t size;
    _Alignas(16) uint8_t bytes[];
};

static void
arena_add_chunk(struct arena *a, size_t need)
{
    size_t size = a->head ? a->head->size * 2 : ARENA_CHUNK_MIN;
    if (size > ARENA_CHUNK_MAX)
        size = ARENA_CHUNK_MAX;
    if (size < need)
        size = need;
    struct arena_chunk *c = mem_alloc(sizeof *c + size);
    ASAN_POISON_MEMORY_REGION(c->bytes, size);
    c->size = size;
    c->next = a->head;
    a->head = c;
    a->used = 0;
    a->total += size;
}

void *
arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX / 2)
        abort();
    size_t need = size ? (size + 15) & ~(size_t)15 : 16;
    if (!a->head || need > a->head->size - a->used)
        arena_add_chunk(a, need);
    uint8_t *p = a->head->bytes + a->used;
    a->used += need;
    ASAN_UNPOISON_MEMORY_REGION(p, size);
    return memset(p, 0, size);
}

void *
arena_copy(struct arena *a, const void *src, size_t size)
{
    void *p = arena_alloc(a, size);
    if (size > 0)
        memcpy(p, src, size);
    return p;
}

/* Keeps the largest chunk of ordinary size: a step that needed several gets one next
 * time, and one huge message does not hold its memory for ever. */
void
arena_reset(struct arena *a)
{
    struct arena_chunk *keep = NULL, *next;
    for (struct arena_chunk *c = a->head; c; c = c->next)
        if (c->size <= ARENA_CHUNK_MAX && (!keep || c->size > keep->size))
            keep = c;
    for (struct arena_chunk *c = a->head; c; c = next) {
        next = c->next;
        if (c != keep)
            mem_free(c);
    }
    *a = (struct arena){.head = keep, .total = keep ? keep->size : 0};
    if (keep) {
        keep->next = NULL;
        ASAN_POISON_MEMORY_REGION(keep->bytes, keep->size);
    }
}

void
arena_done(struct arena *a)
{
    struct arena_chunk *next;
    for (struct arena_chunk *c = a->head; c; c = next) {
        next = c->next;
        mem_free(c);
    }
    *a = (struct arena){0};
}
