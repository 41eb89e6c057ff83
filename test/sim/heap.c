/* SPDX-License-Identifier: Apache-2.0 */
/* What each node has allocated. The linker puts this file in front of the one allocator
 * (base/mem.c); who allocates is the node whose function runs. */
#include "sim.h"
#include <malloc.h>

static struct heap *whose; /* NULL: the simulator's own */

void
heap_enter(struct heap *h)
{
    whose = h;
}

static void
count(void *p, int sign)
{
    if (!whose || !p)
        return;
    size_t size = malloc_usable_size(p);
    whose->octets += sign * (int64_t)size;
    whose->small += size <= HEAP_SMALL ? sign : 0;
}

void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);

void *
__wrap_calloc(size_t n, size_t size)
{
    void *p = __real_calloc(n, size);
    count(p, 1);
    return p;
}

void *
__wrap_realloc(void *p, size_t size)
{
    count(p, -1);
    void *q = __real_realloc(p, size);
    count(q, 1);
    return q;
}

void
__wrap_free(void *p)
{
    count(p, -1);
    __real_free(p);
}
