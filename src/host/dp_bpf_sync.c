/* SPDX-License-Identifier: Apache-2.0 */
/* Reconciliation (K15). Between SYNC_BEGIN and SYNC_END every key that is named is
 * noted; at the end what the maps hold beyond that is deleted. The notes are the only
 * mirror of the state, they live for the length of the replay, and are sorted once.
 * Frames pass all the while: an entry that is wanted is never taken away. */
#include "host/dp_bpf_int.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "base/log.h"

struct note_table {
    uint8_t *keys;
    size_t n, cap;
};
struct dp_sync {
    struct note_table t[DP_N_TABLES];
    bool failed; /* out of memory: delete nothing at the end */
};

static const uint32_t key_sizes[DP_N_TABLES] = {
    [DP_T_PORT] = 4,
    [DP_T_VN] = 4,
    [DP_T_VAP] = sizeof(struct nve_vap_key),
    [DP_T_VSI] = sizeof(struct nve_vsi_key),
    [DP_T_FDB] = sizeof(struct nve_fdb_key),
    [DP_T_NEIGH] = sizeof(struct nve_neigh_key),
    [DP_T_MEMBER] = sizeof(struct dp_member_key),
    [DP_T_HOLD] = sizeof(struct nve_fdb_key),
};

void
dp_sync_free(struct dp_bpf *dp)
{
    if (!dp->sync)
        return;
    for (int t = 0; t < DP_N_TABLES; t++)
        free(dp->sync->t[t].keys);
    free(dp->sync);
    dp->sync = NULL;
}

/* A key that is taken back within the replay is simply noted no more: its entry is gone
 * already, and a stale note only spares what is not there. */
void
dp_sync_note(struct dp_bpf *dp, enum dp_table t, const void *key, bool wanted)
{
    struct note_table *n;

    if (!dp->sync || !wanted)
        return;
    n = &dp->sync->t[t];
    if (n->n == n->cap) {
        size_t cap = n->cap ? n->cap * 2 : 256;
        uint8_t *keys = realloc(n->keys, cap * key_sizes[t]);

        if (!keys) {
            dp->sync->failed = true;
            return;
        }
        n->keys = keys;
        n->cap = cap;
    }
    memcpy(n->keys + n->n++ * key_sizes[t], key, key_sizes[t]);
}

#define KEY_CMP(size)                                                                  \
    static int cmp_##size(const void *a, const void *b)                                \
    {                                                                                  \
        return memcmp(a, b, size);                                                     \
    }
KEY_CMP(4)
KEY_CMP(12)
KEY_CMP(20)

static int (*cmp_of(enum dp_table t))(const void *, const void *)
{
    return key_sizes[t] == 4 ? cmp_4 : key_sizes[t] == 12 ? cmp_12 : cmp_20;
}

bool
dp_sync_noted(const struct dp_bpf *dp, enum dp_table t, const void *key)
{
    const struct note_table *n = &dp->sync->t[t];

    return n->n && bsearch(key, n->keys, n->n, key_sizes[t], cmp_of(t));
}

static int
dump_one_by_one(int fd, uint32_t key_size, uint32_t val_size, uint8_t **keys,
    uint8_t **vals, uint32_t *n)
{
    uint32_t cap = 0;
    const void *prev = NULL;
    uint8_t key[64], *p;

    while (!bpf_map_get_next_key(fd, prev, key)) {
        if (*n == cap) {
            cap = cap ? cap * 2 : 256;
            p = realloc(*keys, (size_t)cap * key_size);
            if (!p)
                return -ENOMEM;
            *keys = p;
            if (vals) {
                p = realloc(*vals, (size_t)cap * val_size);
                if (!p)
                    return -ENOMEM;
                *vals = p;
            }
        }
        memcpy(*keys + (size_t)*n * key_size, key, key_size);
        prev = *keys + (size_t)*n * key_size;
        if (!vals || !bpf_map_lookup_elem(fd, key, *vals + (size_t)*n * val_size))
            (*n)++;
        else
            prev = NULL; /* it went away meanwhile: start over */
        if (!prev)
            *n = 0;
    }
    return 0;
}

int
dp_dump(int fd, uint32_t key_size, uint32_t val_size, uint8_t **keys, uint8_t **vals,
    uint32_t *n)
{
    uint32_t batch = 1024, in = 0, out = 0, count, cap = 0;
    uint8_t *k = NULL, *v = NULL, *p;
    bool first = true;
    int rc = 0, err;

    *keys = NULL;
    if (vals)
        *vals = NULL;
    *n = 0;
    for (;;) {
        if (*n + batch > cap) {
            cap = *n + batch * 2;
            p = realloc(k, (size_t)cap * key_size);
            if (!p)
                break;
            k = p;
            p = realloc(v, (size_t)cap * val_size);
            if (!p)
                break;
            v = p;
        }
        count = batch;
        rc = bpf_map_lookup_batch(fd, first ? NULL : &in, &out,
            k + (size_t)*n * key_size, v + (size_t)*n * val_size, &count, NULL);
        err = rc ? errno : 0;
        if (err == ENOSPC &&
            batch < 1u << 20) { /* one bucket is larger than the room */
            batch *= 2;
            continue;
        }
        if (err && err != ENOENT) {
            free(k);
            free(v);
            *n = 0;
            return dump_one_by_one(fd, key_size, val_size, keys, vals, n);
        }
        *n += count;
        in = out;
        first = false;
        if (err == ENOENT) {
            *keys = k;
            if (vals)
                *vals = v;
            else
                free(v);
            return 0;
        }
    }
    free(k);
    free(v);
    return -ENOMEM;
}

/* Negative answers are core's to take back when the VM comes, and it begins without
 * any: those of an earlier life go, the next miss asks anew (K18). */
int
dp_sync_begin(struct dp_bpf *dp)
{
    uint8_t *keys;
    uint32_t n;
    int rc;

    dp_sync_free(dp);
    dp->sync = calloc(1, sizeof(*dp->sync));
    if (!dp->sync)
        return -ENOMEM;
    rc = dp_dump(dp->fd.neg, sizeof(struct nve_ask), sizeof(uint64_t), &keys, NULL, &n);
    for (uint32_t i = 0; !rc && i < n; i++)
        rc = dp_del(dp->fd.neg, keys + (size_t)i * sizeof(struct nve_ask));
    free(keys);
    return rc;
}

static int
prune(struct dp_bpf *dp, enum dp_table t, int fd, uint32_t val_size, uint32_t *gone)
{
    uint8_t *keys;
    uint32_t n;
    int rc = dp_dump(fd, key_sizes[t], val_size, &keys, NULL, &n);

    for (uint32_t i = 0; !rc && i < n; i++) {
        const void *key = keys + (size_t)i * key_sizes[t];

        if (dp_sync_noted(dp, t, key))
            continue;
        (*gone)++;
        if (t == DP_T_VAP) {
            const struct nve_vap_key *vap = key;

            rc = dp_vap_del(dp, vap->port, vap->vid);
        } else if (t == DP_T_FDB) {
            rc = dp_fdb_del(dp, key); /* may still be held */
        } else {
            rc = dp_del(fd, key);
        }
    }
    free(keys);
    return rc;
}

static int
prune_ports(struct dp_bpf *dp, uint32_t *gone)
{
    uint8_t *keys, *vals;
    uint32_t n;
    int rc = dp_dump(dp->fd.ports, 4, sizeof(struct nve_port), &keys, &vals, &n);

    for (uint32_t i = 0; !rc && i < n; i++) {
        const struct nve_port *p = (const void *)(vals + i * sizeof(*p));
        uint32_t port = p->port, ifindex;

        memcpy(&ifindex, keys + i * 4, 4);
        if (dp_sync_noted(dp, DP_T_PORT, &port) &&
            (!dp->ports[port].ifindex || dp->ports[port].ifindex == ifindex))
            continue;
        (*gone)++;
        rc = dp_port_drop(dp, ifindex);
    }
    free(keys);
    free(vals);
    return rc;
}

/* A crash between the VAP and its place in the list leaves one without the other. */
static int
prune_locals(struct dp_bpf *dp, uint32_t *gone)
{
    struct dp_list l = dp_list_locals(dp);
    uint8_t *keys, *vals;
    uint32_t n;
    int rc = dp_dump(l.fd, 8, sizeof(struct nve_locals), &keys, &vals, &n);

    for (uint32_t i = 0; !rc && i < n; i++) {
        const struct nve_chunk_key *key = (const void *)(keys + (size_t)i * 8);
        const struct nve_locals *c = (const void *)(vals + (size_t)i * sizeof(*c));

        for (uint32_t j = 0; j < c->n && j < NVE_LOCALS; j++) {
            struct nve_vap_key place = {c->e[j].port, c->e[j].vid};
            struct nve_vap vap;

            if (!bpf_map_lookup_elem(dp->fd.vaps, &place, &vap) && vap.flood &&
                vap.vni == key->vni)
                continue;
            (*gone)++;
            if (dp_list_del(&l, key->vni, &c->e[j]) < 0)
                rc = -EIO;
        }
    }
    free(keys);
    free(vals);
    return rc;
}

static int
prune_remotes(struct dp_bpf *dp, uint32_t *gone)
{
    struct dp_list l = dp_list_remotes(dp);
    uint8_t *keys, *vals;
    uint32_t n;
    int rc = dp_dump(l.fd, 8, sizeof(struct nve_remotes), &keys, &vals, &n);

    for (uint32_t i = 0; !rc && i < n; i++) {
        const struct nve_chunk_key *key = (const void *)(keys + (size_t)i * 8);
        const struct nve_remotes *c = (const void *)(vals + (size_t)i * sizeof(*c));

        for (uint32_t j = 0; j < c->n && j < NVE_REMOTES; j++) {
            struct dp_member_key m = {.vni = key->vni};

            memcpy(m.ip, c->e[j], 16);
            if (dp_sync_noted(dp, DP_T_MEMBER, &m))
                continue;
            (*gone)++;
            if (dp_list_del(&l, key->vni, c->e[j]) < 0)
                rc = -EIO;
        }
    }
    free(keys);
    free(vals);
    return rc;
}

static int
cmp_ip(const void *a, const void *b)
{
    return memcmp((const uint8_t *)a + 4, (const uint8_t *)b + 4, 16);
}

/* Reference counts anew from the notes. Sorted by key with duplicates, so count each
 * once. */
static int
recount_vteps(struct dp_bpf *dp, uint32_t *gone)
{
    const struct note_table *t = &dp->sync->t[DP_T_MEMBER];
    struct dp_member_key *m = NULL;
    uint8_t *keys = NULL;
    uint32_t n, used = 0;
    int rc;

    rc = dp_dump(dp->fd.vteps, 16, sizeof(struct nve_vtep), &keys, NULL, &n);
    if (rc)
        return rc;
    m = malloc((t->n + 1) * sizeof(*m));
    if (!m) {
        free(keys);
        return -ENOMEM;
    }
    for (size_t i = 0; i < t->n; i++) {
        const uint8_t *key = t->keys + i * sizeof(*m);

        if (!used || memcmp(&m[used - 1], key, sizeof(*m)))
            memcpy(&m[used++], key, sizeof(*m));
    }
    qsort(m, used, sizeof(*m), cmp_ip);
    for (uint32_t i = 0, j; !rc && i < used; i = j) {
        struct nve_vtep v = {0, 0};

        for (j = i; j < used && !cmp_ip(&m[i], &m[j]); j++) {
            if (m[j].vni)
                v.refs++;
            else
                v.known = 1;
        }
        rc = dp_put(dp->fd.vteps, m[i].ip, &v, sizeof(v));
    }
    for (uint32_t i = 0; !rc && i < n; i++) {
        struct dp_member_key key = {0};

        memcpy(key.ip, keys + (size_t)i * 16, 16);
        if (used && bsearch(&key, m, used, sizeof(*m), cmp_ip))
            continue;
        (*gone)++;
        rc = dp_del(dp->fd.vteps, key.ip);
    }
    free(m);
    free(keys);
    return rc;
}

static int
recount_floor(struct dp_bpf *dp)
{
    uint8_t *keys, *vals;
    uint32_t n, floor = UINT32_MAX;
    int rc = dp_dump(dp->fd.vns, 4, sizeof(struct nve_vn), &keys, &vals, &n);

    for (uint32_t i = 0; !rc && i < n; i++) {
        const struct nve_vn *vn = (const void *)(vals + (size_t)i * sizeof(*vn));

        if (vn->mtu && vn->mtu < floor)
            floor = vn->mtu;
    }
    free(keys);
    free(vals);
    return rc ? rc : dp_floor_write(dp, floor);
}

/* Admission goes first: what may not send must not, even if the rest fails. */
int
dp_sync_end(struct dp_bpf *dp)
{
    uint32_t gone = 0;
    int rc = 0;

    if (!dp->sync)
        return -EINVAL;
    if (dp->sync->failed)
        rc = -ENOMEM;
    for (int t = 0; !rc && t < DP_N_TABLES; t++)
        if (dp->sync->t[t].n)
            qsort(dp->sync->t[t].keys, dp->sync->t[t].n, key_sizes[t], cmp_of(t));
    if (!rc)
        rc = prune(dp, DP_T_VSI, dp->fd.vsis, sizeof(struct nve_vsi), &gone);
    if (!rc)
        rc = prune(dp, DP_T_VAP, dp->fd.vaps, sizeof(struct nve_vap), &gone);
    if (!rc)
        rc = dp_hold_prune(dp, &gone);
    if (!rc)
        rc = prune(dp, DP_T_FDB, dp->fd.fdb, sizeof(struct nve_fdb), &gone);
    if (!rc)
        rc = prune(dp, DP_T_NEIGH, dp->fd.neigh, sizeof(struct nve_neigh), &gone);
    if (!rc)
        rc = prune_locals(dp, &gone);
    if (!rc)
        rc = prune_remotes(dp, &gone);
    if (!rc)
        rc = recount_vteps(dp, &gone);
    if (!rc)
        rc = prune(dp, DP_T_VN, dp->fd.vns, sizeof(struct nve_vn), &gone);
    if (!rc)
        rc = prune_ports(dp, &gone);
    dp_sync_free(dp);
    if (!rc && dp->waiting) {
        dp->waiting = false;
        rc = dp_attach_all(dp);
    }
    if (!rc)
        rc = dp_remove_old(dp);
    if (!rc)
        rc = recount_floor(dp);
    log_note("dp", "sync end stale=%u rc=%d", gone, rc);
    return rc;
}
