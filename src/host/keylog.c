/* SPDX-License-Identifier: Apache-2.0 */
/* A payload is: key size (2 octets, network order), key, bytes. The live records are found
 * by one pass over the records in a temporary index (base/map over a pool): at start from
 * the replay, at compaction from the file itself. */
#include "host/keylog.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMPACT_FLOOR (8u << 20)         /* octets of history that are worth nothing doing */
#define STUCK_MAX     (256u << 10)       /* staged while the disk takes nothing */

struct live {
    uint8_t kind;
    uint16_t key_size;
    uint32_t size;                       /* of the whole payload */
    uint64_t order;
    uint8_t *payload;
};
struct live_set {
    struct pool pool;
    struct map map;
    uint64_t order;
    bool copy;                           /* payloads are copied (the replay lends them) */
};
struct wanted {
    uint8_t kind;
    uint16_t key_size;
    const uint8_t *key;
};
struct keylog {
    struct journal *j;
    char path[256];
    size_t staged;                       /* octets, about */
    uint64_t compact_at;                 /* not before this size: the last one failed */
    bool stuck;                          /* the last commit failed */
};

static bool
live_eq(const void *ctx, uint32_t handle, const void *key)
{
    const struct live *l = pool_at(ctx, handle);
    const struct wanted *w = key;
    return l->kind == w->kind && l->key_size == w->key_size &&
           !memcmp(l->payload + 2, w->key, w->key_size);
}

static void
live_open(struct live_set *s, bool copy)
{
    memset(s, 0, sizeof *s);
    pool_init(&s->pool, sizeof(struct live), UINT32_MAX - 1);
    map_init(&s->map, live_eq, &s->pool, 0x6b65796c6f67);
    s->copy = copy;
}

static void
live_record(void *ctx, uint16_t type, const void *payload, size_t size)
{
    struct live_set *s = ctx;
    const uint8_t *p = payload;
    if (size < 2 || (size_t)2 + (p[0] << 8 | p[1]) > size)
        return;
    struct wanted w = {(uint8_t)type, (uint16_t)(p[0] << 8 | p[1]), p + 2};
    uint64_t key[64] = {0};
    size_t n = w.key_size < sizeof key - 1 ? w.key_size : sizeof key - 1;
    ((uint8_t *)key)[0] = w.kind;
    memcpy((uint8_t *)key + 1, w.key, n);
    uint32_t hash = map_hash(&s->map, key, n + 1), h = map_find(&s->map, hash, &w);
    if (h && s->copy)
        mem_free(((struct live *)pool_at(&s->pool, h))->payload);
    if (size == (size_t)2 + w.key_size) {   /* deleted */
        if (h) {
            map_del(&s->map, hash, h);
            pool_put(&s->pool, h);
        }
        return;
    }
    if (!h) {
        h = pool_get(&s->pool);
        map_add(&s->map, hash, h);
    }
    struct live *l = pool_at(&s->pool, h);
    l->kind = w.kind;
    l->key_size = w.key_size;
    l->size = (uint32_t)size;
    l->order = ++s->order;
    l->payload = (uint8_t *)payload;
    if (s->copy) {
        l->payload = mem_alloc(size);
        memcpy(l->payload, payload, size);
    }
}

static int
by_order(const void *a, const void *b)
{
    const struct live *x = *(struct live *const *)a, *y = *(struct live *const *)b;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* The live records in the order last written; the caller frees the array. */
static struct live **
live_sorted(const struct live_set *s)
{
    struct live **all = mem_alloc((s->map.n + 1) * sizeof *all);
    uint32_t it = 0, n = 0, h;
    while ((h = map_each(&s->map, &it)))
        all[n++] = pool_at(&s->pool, h);
    qsort(all, n, sizeof *all, by_order);
    return all;
}

static void
live_done(struct live_set *s)
{
    uint32_t it = 0, h;
    while (s->copy && (h = map_each(&s->map, &it)))
        mem_free(((struct live *)pool_at(&s->pool, h))->payload);
    map_done(&s->map);
    pool_done(&s->pool);
}

int
keylog_open(struct keylog **out, const struct journal_conf *conf, const uint8_t *kinds,
    keylog_record_fn fn, void *ctx, struct journal_report *report, struct host_err *err)
{
    struct keylog *k = mem_alloc(sizeof *k);
    struct live_set s;
    live_open(&s, true);
    snprintf(k->path, sizeof k->path, "%s", conf->path);
    int rc = journal_open(&k->j, conf, live_record, &s, report, err);
    if (rc) {
        live_done(&s);
        mem_free(k);
        return rc;
    }
    struct live **all = live_sorted(&s);
    for (; *kinds; kinds++)
        for (uint32_t i = 0; i < s.map.n; i++)
            if (all[i]->kind == *kinds)
                fn(ctx, all[i]->kind, all[i]->payload + 2 + all[i]->key_size,
                    all[i]->size - 2 - all[i]->key_size);
    mem_free(all);
    live_done(&s);
    *out = k;
    return 0;
}

int
keylog_put(struct keylog *k, uint8_t kind, const void *key, size_t key_size,
    const void *bytes, size_t size)
{
    uint8_t small[1024], *p = small;
    size_t n = 2 + key_size + size;
    if (n > JOURNAL_RECORD_MAX || key_size > 255)
        return -EMSGSIZE;
    if (k->stuck && k->staged + n > STUCK_MAX)
        return -ENOSPC;
    if (n > sizeof small)
        p = mem_alloc(n);
    p[0] = (uint8_t)(key_size >> 8);
    p[1] = (uint8_t)key_size;
    memcpy(p + 2, key, key_size);
    if (size)
        memcpy(p + 2 + key_size, bytes, size);
    bool ok = journal_append(k->j, kind, p, n);
    if (p != small)
        mem_free(p);
    k->staged += n;
    return ok ? 0 : -EMSGSIZE;
}

bool
keylog_staged(const struct keylog *k)
{
    return k->staged;
}

struct walk {
    struct live **all;
    uint32_t n, i;
};

static bool
walk_next(void *ctx, struct journal_record *rec)
{
    struct walk *w = ctx;
    if (w->i == w->n)
        return false;
    const struct live *l = w->all[w->i++];
    rec->type = l->kind;
    rec->payload = l->payload;
    rec->size = l->size;
    return true;
}

static int
compact(struct keylog *k, struct host_err *err)
{
    struct stat st;
    int fd = open(k->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !st.st_size) {
        int rc = host_fail(err, -errno, "journal %s: cannot be read for compaction: %m", k->path);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (p == MAP_FAILED)
        return host_fail(err, -errno, "journal %s: cannot be mapped for compaction: %m", k->path);
    struct live_set s;
    bool torn;
    live_open(&s, false);
    journal_scan(p, (size_t)st.st_size, live_record, &s, &torn);
    struct walk w = {live_sorted(&s), s.map.n, 0};
    int rc = journal_compact(k->j, walk_next, &w, err);
    mem_free(w.all);
    live_done(&s);
    munmap(p, (size_t)st.st_size);
    return rc;
}

int
keylog_commit(struct keylog *k, struct host_err *err)
{
    struct journal_stats st;
    int rc = journal_commit(k->j, err);
    if (rc == -EIO)
        rc = compact(k, err);            /* a flush failed: write everything anew */
    k->stuck = rc != 0;
    if (rc)
        return rc;
    k->staged = 0;
    journal_stats(k->j, &st);
    if (st.size <= COMPACT_FLOOR || st.size <= 4 * st.base_size || st.size < k->compact_at)
        return 0;
    k->compact_at = 0;
    if (compact(k, err)) {               /* what was staged is written nevertheless */
        log_warn("journal", "%s", err ? err->text : "not compacted");
        k->compact_at = st.size + COMPACT_FLOOR;
    }
    return 0;
}

void
keylog_discard(struct keylog *k)
{
    journal_discard(k->j);
    k->staged = false;
}

void
keylog_close(struct keylog *k)
{
    if (!k)
        return;
    if (k->staged)
        journal_commit(k->j, NULL);
    journal_close(k->j);
    mem_free(k);
}
