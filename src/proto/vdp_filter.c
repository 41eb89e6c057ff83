/* SPDX-License-Identifier: Apache-2.0 */
/* Layout: the n entries, then n TCIs. An entry's own TCI is its last two octets. */
#include "proto/vdp_filter.h"

#include <string.h>

#include "base/mem.h"

static size_t
stored_size(uint8_t format, uint16_t n)
{
    return (size_t)n * (vdp_entry_size(format) + 2);
}

const uint8_t *
vdp_filter_asked(const struct vdp_filter *f)
{
    return stored_size(f->format, f->n) <= VDP_FILTER_INLINE ? f->u.in : f->u.out;
}

void
vdp_filter_clear(struct vdp_filter *f)
{
    if (stored_size(f->format, f->n) > VDP_FILTER_INLINE)
        mem_free(f->u.out);
    memset(f, 0, sizeof *f);
}

void
vdp_filter_set(struct vdp_filter *f, uint8_t format, uint16_t n, const uint8_t *asked,
    const uint8_t *tagged)
{
    struct vdp_filter new = {.n = n, .format = format};
    size_t entry = vdp_entry_size(format), size = stored_size(format, n);
    uint8_t *p = new.u.in;
    if (size > VDP_FILTER_INLINE)
        p = new.u.out = mem_alloc(size);
    if (n)
        memcpy(p, asked, n * entry);
    for (uint16_t i = 0; i < n; i++)
        memcpy(p + n * entry + 2 * i, tagged + (i + 1) * entry - 2, 2);
    vdp_filter_clear(f); /* only now: `asked` may point into it */
    *f = new;
}

static const uint8_t *
tci_at(const struct vdp_filter *f, uint16_t i)
{
    return vdp_filter_asked(f) + f->n * vdp_entry_size(f->format) + 2 * i;
}

void
vdp_filter_tagged(const struct vdp_filter *f, uint8_t *wire)
{
    size_t entry = vdp_entry_size(f->format);
    if (f->n)
        memcpy(wire, vdp_filter_asked(f), f->n * entry);
    for (uint16_t i = 0; i < f->n; i++)
        memcpy(wire + (i + 1) * entry - 2, tci_at(f, i), 2);
}

bool
vdp_filter_same(
    const struct vdp_filter *f, uint8_t format, uint16_t n, const uint8_t *wire)
{
    if (f->format != format || f->n != n)
        return false;
    size_t entry = vdp_entry_size(format);
    const uint8_t *asked = vdp_filter_asked(f);
    for (uint16_t i = 0; i < n; i++) {
        const uint8_t *tci = wire + (i + 1) * entry - 2;
        if (memcmp(wire + i * entry, asked + i * entry, entry - 2) != 0)
            return false;
        if (memcmp(tci, asked + (i + 1) * entry - 2, 2) != 0 &&
            memcmp(tci, tci_at(f, i), 2) != 0)
            return false;
    }
    return true;
}

void
vdp_filter_retag(const struct vdp_filter *f, uint8_t format, uint16_t n, uint8_t *wire)
{
    if (f->format != format)
        return;
    size_t entry = vdp_entry_size(format), name = entry - 2;
    const uint8_t *asked = vdp_filter_asked(f);
    for (uint16_t i = 0; i < n; i++) {
        uint8_t *tci = wire + (i + 1) * entry - 2;
        if ((tci[0] & 0x0f) || tci[1]) /* names a VID */
            continue;
        for (uint16_t k = 0; k < f->n; k++) {
            /* Format VID has nothing but its place to tell entries apart. */
            bool match =
                name ? memcmp(wire + i * entry, asked + k * entry, name) == 0 : i == k;
            if (match) {
                memcpy(tci, tci_at(f, k), 2);
                break;
            }
        }
    }
}

bool
vdp_filter_alike(uint8_t format, uint16_t n, const uint8_t *a, const uint8_t *b)
{
    size_t entry = vdp_entry_size(format);
    for (uint16_t i = 0; i < n; i++)
        if (memcmp(a + i * entry, b + i * entry, entry - 2) != 0)
            return false;
    return true;
}
