/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the pure libraries: the one place that calls malloc. An allocation
 * failure aborts (design: "Limits by configuration"); peers cannot reach it because
 * every table has a configured maximum. Sizes in bytes. */
#ifndef BERTH_BASE_MEM_H
#define BERTH_BASE_MEM_H
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

void *mem_alloc(size_t size);            /* zeroed; owner frees with mem_free */
void *mem_grow(void *p, size_t size);    /* realloc; new bytes are not zeroed */
char *mem_strdup(const char *s);
void mem_free(void *p);                  /* NULL is fine */

/* Pool: objects of one size in chunks that never move. A handle is a small number,
 * stable while the object lives; 0 is "none". */
struct pool {
    uint32_t item_size, shift, max, n, n_chunks, free_head, top;
    uint8_t **chunks;
};
void pool_init(struct pool *p, uint32_t item_size, uint32_t max);  /* max: objects */
uint32_t pool_get(struct pool *p);       /* zeroed object; 0 when max are in use */
void pool_put(struct pool *p, uint32_t handle);
void pool_done(struct pool *p);          /* frees all */
size_t pool_bytes(const struct pool *p); /* of its chunks */
static inline void *
pool_at(const struct pool *p, uint32_t handle)          /* handle must be live */
{
    uint32_t i = handle - 1;
    assert(i < p->top);
    return p->chunks[i >> p->shift] +
           (size_t)(i & ((1u << p->shift) - 1)) * p->item_size;
}

/* Fifo: growing ring of items of one size, copied in and out. */
struct fifo {
    uint8_t *items;
    uint32_t item_size, cap, head, n;
};
void fifo_init(struct fifo *f, uint32_t item_size);
void *fifo_push(struct fifo *f);         /* zeroed slot at the tail, valid until the next push */
void *fifo_peek(const struct fifo *f);   /* head or NULL */
int fifo_pop(struct fifo *f, void *item);/* 1 and the item copied, or 0 when empty */
void fifo_done(struct fifo *f);

/* Arena: everything made during one step, thrown away together. */
struct arena {
    struct arena_chunk *head;
    size_t used, total;
};
void *arena_alloc(struct arena *a, size_t size);   /* zeroed, 16-byte aligned */
void *arena_copy(struct arena *a, const void *src, size_t size);
void arena_reset(struct arena *a);       /* keeps one chunk */
void arena_done(struct arena *a);
#endif
