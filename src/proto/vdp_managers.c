/* SPDX-License-Identifier: Apache-2.0 */
/* A slot is free while nothing refers to it; a search is over a handful of slots. */
#include "proto/vdp_managers.h"

#include <string.h>

#include "base/mem.h"

void
vdp_managers_init(struct vdp_managers *s, uint8_t max)
{
    s->max = max == 0 ? 1 : max == VDP_MANAGER_NONE ? VDP_MANAGER_NONE - 1 : max;
    s->m = mem_alloc(s->max * sizeof *s->m);
}

void
vdp_managers_done(struct vdp_managers *s)
{
    mem_free(s->m);
    s->m = NULL;
}

uint8_t
vdp_managers_find(const struct vdp_managers *s, const uint8_t id[VDP_MGRID_SIZE])
{
    for (uint8_t i = 0; i < s->max; i++)
        if (s->m[i].refs && memcmp(s->m[i].id, id, VDP_MGRID_SIZE) == 0)
            return i;
    return VDP_MANAGER_NONE;
}

uint8_t
vdp_managers_get(struct vdp_managers *s, const uint8_t id[VDP_MGRID_SIZE])
{
    uint8_t slot = vdp_managers_find(s, id);
    if (slot != VDP_MANAGER_NONE)
        return slot;
    for (uint8_t i = 0; i < s->max; i++) {
        if (s->m[i].refs)
            continue;
        s->m[i] = (struct vdp_manager){.refs = 0};
        memcpy(s->m[i].id, id, VDP_MGRID_SIZE);
        return i;
    }
    return VDP_MANAGER_NONE;
}
