/* SPDX-License-Identifier: Apache-2.0 */
/* Every access passes rd_take or wr_take: the two places where bounds are decided.
 * Comparisons are by what is left, so that no sum can wrap. */
#include "base/buf.h"

#include <string.h>

struct rd
rd_of(const void *p, size_t size)
{
    return (struct rd){.p = p, .size = size};
}

size_t
rd_left(const struct rd *r)
{
    return r->err ? 0 : r->size - r->pos;
}

/* n octets in place, or NULL and the sticky error. n = 0 may give NULL without one. */
static const uint8_t *
rd_take(struct rd *r, size_t n)
{
    if (r->err || n > r->size - r->pos) {
        r->err = true;
        return NULL;
    }
    const uint8_t *p = r->p ? r->p + r->pos : NULL;
    r->pos += n;
    return p;
}

static uint64_t
rd_uint(struct rd *r, size_t n)
{
    const uint8_t *p = rd_take(r, n);
    uint64_t v = 0;
    for (size_t i = 0; p && i < n; i++)
        v = v << 8 | p[i];
    return v;
}

uint8_t
rd_u8(struct rd *r)
{
    return rd_uint(r, 1);
}

uint16_t
rd_u16(struct rd *r)
{
    return rd_uint(r, 2);
}

uint32_t
rd_u24(struct rd *r)
{
    return rd_uint(r, 3);
}

uint32_t
rd_u32(struct rd *r)
{
    return rd_uint(r, 4);
}

uint64_t
rd_u64(struct rd *r)
{
    return rd_uint(r, 8);
}

void
rd_bytes(struct rd *r, void *dst, size_t n)
{
    const uint8_t *p = rd_take(r, n);
    if (n == 0)
        return;
    if (p)
        memcpy(dst, p, n);
    else
        memset(dst, 0, n);
}

const uint8_t *
rd_ptr(struct rd *r, size_t n)
{
    return rd_take(r, n);
}

struct rd
rd_sub(struct rd *r, size_t n)
{
    const uint8_t *p = rd_take(r, n);
    return (struct rd){.p = p, .size = r->err ? 0 : n, .err = r->err};
}

void
rd_skip(struct rd *r, size_t n)
{
    rd_take(r, n);
}

struct wr
wr_of(void *p, size_t cap)
{
    return (struct wr){.p = p, .cap = cap};
}

static uint8_t *
wr_take(struct wr *w, size_t n)
{
    if (w->err || n > w->cap - w->pos) {
        w->err = true;
        return NULL;
    }
    uint8_t *p = w->p ? w->p + w->pos : NULL;
    w->pos += n;
    return p;
}

static void
uint_put(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = n; p && i > 0; i--, v >>= 8)
        p[i - 1] = v & 0xff;
}

void
wr_u8(struct wr *w, uint8_t v)
{
    uint_put(wr_take(w, 1), v, 1);
}

void
wr_u16(struct wr *w, uint16_t v)
{
    uint_put(wr_take(w, 2), v, 2);
}

/* A VNI cut to 24 bits would name another tenant: an error, not a truncation. */
void
wr_u24(struct wr *w, uint32_t v)
{
    if (v > 0xffffff)
        w->err = true;
    uint_put(wr_take(w, 3), v, 3);
}

void
wr_u32(struct wr *w, uint32_t v)
{
    uint_put(wr_take(w, 4), v, 4);
}

void
wr_u64(struct wr *w, uint64_t v)
{
    uint_put(wr_take(w, 8), v, 8);
}

void
wr_bytes(struct wr *w, const void *src, size_t n)
{
    uint8_t *p = wr_take(w, n);
    if (p && n > 0)
        memcpy(p, src, n);
}

void
wr_zero(struct wr *w, size_t n)
{
    uint8_t *p = wr_take(w, n);
    if (p && n > 0)
        memset(p, 0, n);
}

static void
wr_patch(struct wr *w, size_t at, uint64_t v, size_t n)
{
    if (w->err || at > w->pos || n > w->pos - at)
        w->err = true;
    else
        uint_put(w->p + at, v, n);
}

void
wr_patch_u8(struct wr *w, size_t at, uint8_t v)
{
    wr_patch(w, at, v, 1);
}

void
wr_patch_u16(struct wr *w, size_t at, uint16_t v)
{
    wr_patch(w, at, v, 2);
}

void
wr_patch_u32(struct wr *w, size_t at, uint32_t v)
{
    wr_patch(w, at, v, 4);
}
