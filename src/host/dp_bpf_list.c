/* SPDX-License-Identifier: Apache-2.0 */
/* Replication lists: chunks in a hash, all full but the last. The list is read from the
 * map and written back, so no copy of it stands in memory. A chunk is replaced as a
 * whole, hence a frame meets either the old or the new one. When an entry moves to fill
 * a gap it is written before the last chunk shrinks: one frame may be copied twice,
 * none is lost. */
#include "host/dp_bpf_int.h"
#include <errno.h>
#include <string.h>
#include <bpf/bpf.h>

struct chunk { /* both value types begin so */
    uint32_t n, more;
    uint8_t e[NVE_REMOTES * 16];
};
_Static_assert(sizeof(struct nve_remotes) == sizeof(struct chunk), "layout");
_Static_assert(sizeof(struct nve_locals) <= sizeof(struct chunk), "layout");

struct dp_list
dp_list_locals(const struct dp_bpf *dp)
{
    return (struct dp_list){dp->fd.locals, sizeof(struct nve_local), 4, NVE_LOCALS};
}

struct dp_list
dp_list_remotes(const struct dp_bpf *dp)
{
    return (struct dp_list){dp->fd.remotes, 16, 16, NVE_REMOTES};
}

bool
dp_list_chunk(const struct dp_list *l, uint32_t vni, uint32_t chunk, void *val)
{
    struct nve_chunk_key key = {vni, chunk};

    return !bpf_map_lookup_elem(l->fd, &key, val);
}

static int
chunk_write(
    const struct dp_list *l, uint32_t vni, uint32_t chunk, const struct chunk *c)
{
    struct nve_chunk_key key = {vni, chunk};

    if (bpf_map_update_elem(l->fd, &key, c, BPF_ANY))
        return errno == E2BIG ? -ENOSPC : -errno;
    return 0;
}

static int
chunk_find(const struct dp_list *l, const struct chunk *c, const void *entry)
{
    for (uint32_t i = 0; i < c->n && i < l->cap; i++)
        if (!memcmp(c->e + (size_t)i * l->entry_size, entry, l->key_size))
            return (int)i;
    return -1;
}

bool
dp_list_has(const struct dp_list *l, uint32_t vni, const void *entry)
{
    struct chunk c;

    for (uint32_t chunk = 0; chunk < NVE_CHUNKS; chunk++) {
        if (!dp_list_chunk(l, vni, chunk, &c))
            return false;
        if (chunk_find(l, &c, entry) >= 0)
            return true;
        if (!c.more)
            return false;
    }
    return false;
}

int
dp_list_put(const struct dp_list *l, uint32_t vni, const void *entry)
{
    struct chunk c, next = {.n = 1};
    uint32_t chunk;
    int at, rc;

    memcpy(next.e, entry, l->entry_size);
    for (chunk = 0; chunk < NVE_CHUNKS; chunk++) {
        if (!dp_list_chunk(
                l, vni, chunk, &c)) { /* an empty list, or a crash before this */
            rc = chunk_write(l, vni, chunk, &next);
            return rc ? rc : 1;
        }
        at = chunk_find(l, &c, entry);
        if (at >= 0) {
            uint8_t *e = c.e + (size_t)at * l->entry_size;

            if (!memcmp(e, entry, l->entry_size))
                return 0;
            memcpy(e, entry, l->entry_size);
            return chunk_write(l, vni, chunk, &c);
        }
        if (c.n < l->cap) {
            memcpy(c.e + (size_t)c.n++ * l->entry_size, entry, l->entry_size);
            c.more = 0;
            rc = chunk_write(l, vni, chunk, &c);
            return rc ? rc : 1;
        }
        if (!c.more) {
            if (chunk + 1 == NVE_CHUNKS)
                return -ENOSPC;
            rc = chunk_write(l, vni, chunk + 1, &next);
            if (rc)
                return rc;
            c.more = 1;
            rc = chunk_write(l, vni, chunk, &c);
            return rc ? rc : 1;
        }
    }
    return -ENOSPC;
}

int
dp_list_del(const struct dp_list *l, uint32_t vni, const void *entry)
{
    struct nve_chunk_key key = {vni, 0};
    struct chunk c, last, prev;
    uint32_t chunk, end;
    int at = -1, rc;

    for (chunk = 0; chunk < NVE_CHUNKS; chunk++) {
        if (!dp_list_chunk(l, vni, chunk, &c))
            return 0;
        at = chunk_find(l, &c, entry);
        if (at >= 0)
            break;
        if (!c.more)
            return 0;
    }
    if (at < 0)
        return 0;
    last = c;
    for (end = chunk; last.more && end + 1 < NVE_CHUNKS; end++)
        if (!dp_list_chunk(l, vni, end + 1, &last))
            break;
    if (!last.n)
        return -EIO;
    memcpy((end == chunk ? last.e : c.e) + (size_t)at * l->entry_size,
        last.e + (size_t)(last.n - 1) * l->entry_size, l->entry_size);
    last.n--;
    memset(last.e + (size_t)last.n * l->entry_size, 0, l->entry_size);
    if (end != chunk) {
        rc = chunk_write(l, vni, chunk, &c);
        if (rc)
            return rc;
    }
    if (last.n) {
        last.more = 0;
        rc = chunk_write(l, vni, end, &last);
        return rc ? rc : 1;
    }
    if (end) {
        if (!dp_list_chunk(l, vni, end - 1, &prev))
            return -EIO;
        prev.more = 0;
        rc = chunk_write(l, vni, end - 1, &prev);
        if (rc)
            return rc;
    }
    key.chunk = end;
    bpf_map_delete_elem(l->fd, &key);
    return 1;
}
