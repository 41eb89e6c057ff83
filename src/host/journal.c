/* SPDX-License-Identifier: Apache-2.0 */
/* How it works. The file is a header and records; each record's head is sealed by a
 * hash that also covers its offset, under the file's own random key
 * (doc/protocol/journal.md). So a record copied from elsewhere, or left in a re-used
 * disk block, is not taken for one of ours, and a damaged length cannot pass for an
 * unfinished write: an unfinished record has a good head and too few octets after it
 * (or not even a whole head), everything else that does not check is damage. Where in
 * doubt it is called damage, because then the octets are kept in a .bad copy before
 * they are cut.
 *
 * A file is made complete under another name and renamed, so its header is never torn.
 * The flusher thread only ever calls fdatasync; `fd` is changed under the mutex and not
 * while it flushes. */
#include "host/journal.h"
#include "base/mem.h"
#include "base/buf.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FRAMING     1 /* version of what this file writes */
#define HEADER_SIZE 48
#define HEAD_SIZE   24
#define SUM_SIZE    8
#define KEY_SIZE    16
#define BAD_MAX     100       /* .bad, .bad.1 ... .bad.99; the last is re-used */
#define WINDOW      (1 << 20) /* of reading and copying; above any record */

_Static_assert(SUM_SIZE == crypto_shorthash_BYTES, "hash of 8 octets");
_Static_assert(KEY_SIZE == crypto_shorthash_KEYBYTES, "key of 16 octets");
static const uint8_t magic[8] = "BERTHJNL";

struct journal {
    char *path;
    int fd, lock_fd, dir_fd;
    uint32_t layout;
    uint64_t sync_us;
    uint8_t key[KEY_SIZE];
    uint64_t generation, size, base_size, n_records, n_commits;
    uint8_t *stage; /* records not yet written */
    size_t stage_size, stage_cap;
    uint64_t n_staged;
    int broken; /* -errno: a failed write could not be undone */

    pthread_t thread;
    bool threaded;
    pthread_mutex_t mutex; /* what follows, and `fd` */
    pthread_cond_t cond;
    bool dirty, flushing, stop;
    int flush_error; /* -errno, told once by the next commit */
    uint64_t n_flushes;
};

/* ---- framing ---- */

static void
header_encode(
    uint8_t h[HEADER_SIZE], uint32_t layout, const uint8_t *key, uint64_t generation)
{
    struct wr w = wr_of(h, HEADER_SIZE);
    wr_bytes(&w, magic, sizeof(magic));
    wr_u16(&w, FRAMING);
    wr_u16(&w, 0);
    wr_u32(&w, layout);
    wr_bytes(&w, key, KEY_SIZE);
    wr_u64(&w, generation);
    crypto_shorthash(h + w.pos, h, w.pos, key);
}

static void
head_encode(uint8_t h[HEAD_SIZE], uint16_t type, const void *payload, size_t size,
    uint64_t offset, const uint8_t *key)
{
    struct wr w = wr_of(h, HEAD_SIZE);
    wr_u32(&w, (uint32_t)size);
    wr_u16(&w, type);
    wr_u16(&w, 0);
    crypto_shorthash(h + 8, payload, size, key);
    w.pos += SUM_SIZE;
    wr_u64(&w, offset); /* hashed here, then overwritten by the hash */
    uint8_t sum[SUM_SIZE];
    crypto_shorthash(sum, h, HEAD_SIZE, key);
    memcpy(h + 16, sum, SUM_SIZE);
}

/* Reads the head at p; false when its hash does not fit. */
static bool
head_decode(const uint8_t *p, uint64_t offset, const uint8_t *key, uint16_t *type,
    uint32_t *size)
{
    uint8_t sealed[HEAD_SIZE], sum[SUM_SIZE];
    struct rd r = rd_of(p, HEAD_SIZE);
    struct wr w = wr_of(sealed, HEAD_SIZE);
    wr_bytes(&w, p, 16);
    wr_u64(&w, offset);
    crypto_shorthash(sum, sealed, sizeof(sealed), key);
    *size = rd_u32(&r);
    *type = rd_u16(&r);
    return memcmp(sum, p + 16, SUM_SIZE) == 0 && rd_u16(&r) == 0 &&
           *size <= JOURNAL_RECORD_MAX;
}

enum scan_end {
    SCAN_MORE,
    SCAN_BAD
}; /* ran out of octets, or met what does not check */

/* Whole good records at p, which is the file's octet `offset`; returns octets used. */
static size_t
scan_records(const uint8_t *p, size_t size, uint64_t offset, const uint8_t *key,
    journal_replay_fn fn, void *ctx, uint64_t *n_records, enum scan_end *end)
{
    size_t pos = 0;
    *end = SCAN_MORE;
    while (size - pos >= HEAD_SIZE) {
        uint16_t type;
        uint32_t len;
        uint8_t sum[SUM_SIZE];
        const uint8_t *payload = p + pos + HEAD_SIZE;
        if (!head_decode(p + pos, offset + pos, key, &type, &len)) {
            *end = SCAN_BAD;
            break;
        }
        if (size - pos - HEAD_SIZE < len)
            break;
        crypto_shorthash(sum, payload, len, key);
        if (memcmp(sum, p + pos + 8, SUM_SIZE) != 0) {
            *end = SCAN_BAD;
            break;
        }
        if (fn)
            fn(ctx, type, payload, len);
        ++*n_records;
        pos += HEAD_SIZE + len;
    }
    return pos;
}

static bool
all_zero(const uint8_t *p, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (p[i])
            return false;
    return true;
}

static bool
header_sum_good(const uint8_t h[HEADER_SIZE])
{
    uint8_t sum[SUM_SIZE];
    crypto_shorthash(sum, h, HEADER_SIZE - SUM_SIZE, h + 16);
    return memcmp(sum, h + HEADER_SIZE - SUM_SIZE, SUM_SIZE) == 0;
}

size_t
journal_scan(const void *p, size_t size, journal_replay_fn fn, void *ctx, bool *torn)
{
    const uint8_t *h = p;
    enum scan_end end;
    uint64_t n = 0;

    *torn = size < HEADER_SIZE;
    if (*torn || memcmp(h, magic, sizeof(magic)) != 0 || !header_sum_good(h))
        return 0;
    size_t good = HEADER_SIZE + scan_records(h + HEADER_SIZE, size - HEADER_SIZE,
                                    HEADER_SIZE, h + 16, fn, ctx, &n, &end);
    *torn = good < size && (end == SCAN_MORE || all_zero(h + good, size - good));
    return good;
}

/* ---- files ---- */

static char *
path_with(const struct journal *j, const char *suffix)
{
    size_t size = strlen(j->path) + strlen(suffix) + 1;
    char *s = mem_alloc(size);
    snprintf(s, size, "%s%s", j->path, suffix);
    return s;
}

static int
write_all(int fd, const uint8_t *p, size_t size, uint64_t offset)
{
    while (size > 0) {
        ssize_t n = pwrite(fd, p, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        p += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static ssize_t
read_full(int fd, uint8_t *p, size_t size, uint64_t offset)
{
    size_t got = 0;
    while (got < size) {
        ssize_t n = pread(fd, p + got, size - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

static int
lock_take(struct journal *j, struct host_err *err)
{
    char *lock = path_with(j, ".lock"), pid[24] = "";
    int rc = 0;

    j->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (j->lock_fd < 0) {
        rc = host_fail(err, -errno,
            "journal %s: cannot open its lock: %m; check that the directory exists and "
            "is writable",
            lock);
        goto out;
    }
    if (flock(j->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK) {
            rc = host_fail(err, -errno, "journal %s: cannot lock: %m", lock);
            goto out;
        }
        ssize_t n = pread(j->lock_fd, pid, sizeof(pid) - 1, 0);
        pid[n > 0 ? strcspn(pid, "\n") : 0] = 0;
        rc = host_fail(err, -EBUSY,
            "journal %s: in use by process %s; stop it, or give this one another "
            "journal",
            j->path, *pid ? pid : "?");
        goto out;
    }
    /* Only for the message above: a failure to write it harms nothing. */
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(j->lock_fd, 0) == 0 && pwrite(j->lock_fd, pid, (size_t)n, 0) < 0)
        pid[0] = 0;
out:
    mem_free(lock);
    return rc;
}

static int
dir_open(struct journal *j, struct host_err *err)
{
    char *dir = mem_strdup(j->path), *slash = strrchr(dir, '/');
    const char *name = slash == dir ? "/" : slash ? dir : ".";
    if (slash && slash != dir)
        *slash = 0;
    j->dir_fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = j->dir_fd >= 0
                 ? 0
                 : host_fail(err, -errno, "journal directory %s: %m; create it", name);
    mem_free(dir);
    return rc;
}

/* Makes the new file current: what follows is written to it. */
static void
adopt_fd(struct journal *j, int fd, const uint8_t *key, uint64_t generation,
    uint64_t size, uint64_t n_records)
{
    pthread_mutex_lock(&j->mutex);
    while (j->flushing)
        pthread_cond_wait(&j->cond, &j->mutex);
    if (j->fd >= 0)
        close(j->fd);
    j->fd = fd;
    j->dirty = false;
    j->flush_error = 0;
    pthread_mutex_unlock(&j->mutex);
    memcpy(j->key, key, KEY_SIZE);
    j->generation = generation;
    j->size = j->base_size = size;
    j->n_records = n_records;
    j->broken = 0;
}

/* A whole new file from `next` (NULL: no records) takes the place of the old one. */
static int
generation_write(struct journal *j, uint64_t generation, journal_live_fn next,
    void *ctx, struct host_err *err)
{
    char *name = path_with(j, ".new");
    uint8_t key[KEY_SIZE], *buf = mem_alloc(WINDOW + HEAD_SIZE + JOURNAL_RECORD_MAX);
    uint64_t offset = 0, n_records = 0;
    size_t fill = HEADER_SIZE;
    struct journal_record rec;
    int rc = 0, fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0) {
        rc = host_fail(err, -errno, "journal %s: cannot create: %m", name);
        goto out;
    }
    randombytes_buf(key, sizeof(key));
    header_encode(buf, j->layout, key, generation);
    while (next && next(ctx, &rec)) {
        if (rec.size > JOURNAL_RECORD_MAX) {
            rc = host_fail(err, -EMSGSIZE,
                "journal %s: a live record of type %u has %zu octets, the limit is %d",
                j->path, rec.type, rec.size, JOURNAL_RECORD_MAX);
            goto out;
        }
        head_encode(buf + fill, rec.type, rec.payload, rec.size, offset + fill, key);
        if (rec.size)
            memcpy(buf + fill + HEAD_SIZE, rec.payload, rec.size);
        fill += HEAD_SIZE + rec.size;
        n_records++;
        if (fill >= WINDOW) {
            rc = write_all(fd, buf, fill, offset);
            if (rc < 0)
                break;
            offset += fill;
            fill = 0;
        }
    }
    if (rc == 0)
        rc = write_all(fd, buf, fill, offset);
    if (rc == 0 && j->sync_us && fdatasync(fd) < 0)
        rc = -errno;
    if (rc == 0 && rename(name, j->path) < 0)
        rc = -errno;
    if (rc < 0) {
        host_fail(err, rc,
            "journal %s: cannot write a new generation: %m; the old one stays in use; "
            "free "
            "space on the disk",
            name);
        goto out;
    }
    adopt_fd(j, fd, key, generation, offset + fill, n_records);
    fd = -1;
    /* Until this returns a power loss may bring the old generation back, which is
     * whole. */
    if (j->sync_us && fsync(j->dir_fd) < 0)
        rc = host_fail(
            err, -errno, "journal %s: cannot flush its directory: %m", j->path);
out:
    if (fd >= 0) {
        close(fd);
        unlink(name);
    }
    mem_free(buf);
    mem_free(name);
    return rc;
}

/* Copies what follows `from` to a .bad file that did not exist, before it is cut. */
static int
keep_bad(struct journal *j, uint64_t from, uint64_t size, struct journal_report *report,
    struct host_err *err)
{
    uint8_t *buf = mem_alloc(WINDOW);
    int rc = 0, fd = -1;

    for (int i = 0; fd < 0 && rc == 0; i++) {
        bool last = i == BAD_MAX - 1;
        char suffix[24] = ".bad";
        if (i > 0)
            snprintf(suffix, sizeof(suffix), ".bad.%d", i);
        char *name = path_with(j, suffix);
        fd = open(
            name, O_WRONLY | O_CREAT | O_CLOEXEC | (last ? O_TRUNC : O_EXCL), 0600);
        if (fd < 0 && (last || errno != EEXIST))
            rc = -errno;
        snprintf(report->bad_path, sizeof(report->bad_path), "%s", name);
        mem_free(name);
    }
    for (uint64_t done = 0; rc == 0 && done < size;) {
        ssize_t n = read_full(j->fd, buf, WINDOW, from + done);
        if (n <= 0) {
            rc = n < 0 ? (int)n : -EIO;
            break;
        }
        rc = write_all(fd, buf, (size_t)n, done);
        done += (uint64_t)n;
    }
    if (rc == 0 && j->sync_us && fsync(fd) < 0)
        rc = -errno;
    if (rc < 0)
        host_fail(err, rc,
            "journal %s: damaged at octet %llu, and the copy %s of the damaged part "
            "could "
            "not be written: %m; free space on the disk and start again",
            j->path, (unsigned long long)from, report->bad_path);
    if (fd >= 0)
        close(fd);
    mem_free(buf);
    return rc;
}

/* ---- opening ---- */

/* Replays the records of j->fd; the end of the good part in *good, whether the rest is
 * damage (not an unfinished write) in *corrupt. */
static int
replay(struct journal *j, uint64_t file_size, journal_replay_fn fn, void *ctx,
    uint64_t *good, bool *corrupt)
{
    uint8_t *buf = mem_alloc(WINDOW);
    uint64_t at = HEADER_SIZE;
    ssize_t n;

    for (;;) {
        enum scan_end end;
        n = read_full(j->fd, buf, WINDOW, at);
        if (n < 0)
            break;
        size_t used =
            scan_records(buf, (size_t)n, at, j->key, fn, ctx, &j->n_records, &end);
        at += used;
        /* A window without one whole record is the end: WINDOW is above any record. */
        if (end == SCAN_BAD || used == 0 || at >= file_size) {
            *corrupt = end == SCAN_BAD;
            break;
        }
    }
    /* A crash of the machine may leave the tail as zeros that were never written. */
    for (uint64_t z = at; *corrupt && n >= 0;) {
        n = read_full(j->fd, buf, WINDOW, z);
        if (n <= 0)
            *corrupt = n < 0;
        else if (!all_zero(buf, (size_t)n))
            break;
        z += n > 0 ? (uint64_t)n : 0;
    }
    *good = at;
    mem_free(buf);
    return n < 0 ? (int)n : 0;
}

static int
cut(struct journal *j, uint64_t size, struct host_err *err)
{
    if (ftruncate(j->fd, (off_t)size) < 0 || (j->sync_us && fdatasync(j->fd) < 0))
        return host_fail(
            err, -errno, "journal %s: cannot cut its damaged tail: %m", j->path);
    return 0;
}

/* The file exists: checks the header, replays, cuts. */
static int
open_existing(struct journal *j, uint64_t file_size, journal_replay_fn fn, void *ctx,
    struct journal_report *report, struct host_err *err)
{
    uint8_t h[HEADER_SIZE] = {0};
    ssize_t n = read_full(j->fd, h, sizeof(h), 0);
    bool corrupt = false;
    uint64_t good = 0;
    int rc;

    if (n < 0)
        return host_fail(err, (int)n, "journal %s: cannot read: %m", j->path);
    if (n >= (ssize_t)sizeof(magic) && memcmp(h, magic, sizeof(magic)) != 0 &&
        !all_zero(h, (size_t)n))
        return host_fail(err, -EPROTO,
            "journal %s: not a journal of Berth; move it away or correct the path",
            j->path);
    struct rd r = rd_of(h + sizeof(magic), HEADER_SIZE - sizeof(magic));
    uint16_t framing = rd_u16(&r);
    rd_skip(&r, 2);
    uint32_t layout = rd_u32(&r);
    if (n < HEADER_SIZE || !header_sum_good(h)) {
        /* No key, so no record can be checked: all of it is set aside. */
        corrupt = file_size > 0 && !all_zero(h, (size_t)n);
    } else if (framing != FRAMING || layout != j->layout) {
        return host_fail(err, -EPROTO,
            "journal %s: framing %u layout %u, this program has %u and %u; start the "
            "version that wrote it, or move the file away (attachments will be "
            "signalled "
            "again)",
            j->path, framing, layout, FRAMING, j->layout);
    } else {
        memcpy(j->key, h + 16, KEY_SIZE);
        rd_skip(&r, KEY_SIZE);
        j->generation = rd_u64(&r);
        rc = replay(j, file_size, fn, ctx, &good, &corrupt);
        if (rc < 0)
            return host_fail(err, rc, "journal %s: cannot read: %m", j->path);
    }
    report->n_records = j->n_records;
    report->size = good;
    if (corrupt) {
        report->corrupt = true;
        report->corrupt_at = good;
        report->corrupt_size = file_size - good;
        rc = keep_bad(j, good, file_size - good, report, err);
        if (rc < 0)
            return rc;
        host_fail(err, 0,
            "journal %s: damaged at octet %llu: %llu records kept, %llu octets set "
            "aside "
            "in %s; check the disk",
            j->path, (unsigned long long)good, (unsigned long long)j->n_records,
            (unsigned long long)(file_size - good), report->bad_path);
    } else {
        report->torn = file_size - good;
    }
    if (good == 0)
        return generation_write(j, 1, NULL, NULL, corrupt ? NULL : err);
    j->size = j->base_size = good;
    return good < file_size ? cut(j, good, err) : 0;
}

static void *
flusher(void *arg)
{
    struct journal *j = arg;

    pthread_mutex_lock(&j->mutex);
    while (!j->stop) {
        if (!j->dirty) {
            pthread_cond_wait(&j->cond, &j->mutex);
            continue;
        }
        /* The batch: what is committed within sync_us goes with it. */
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        uint64_t ns = (uint64_t)until.tv_nsec + j->sync_us % 1000000 * 1000;
        until.tv_sec += (time_t)(j->sync_us / 1000000 + ns / 1000000000);
        until.tv_nsec = (long)(ns % 1000000000);
        while (!j->stop &&
               pthread_cond_timedwait(&j->cond, &j->mutex, &until) != ETIMEDOUT)
            ;
        if (!j->dirty || j->fd < 0) /* a compaction came in between */
            continue;
        int fd = j->fd;
        j->dirty = false;
        j->flushing = true;
        pthread_mutex_unlock(&j->mutex);
        int rc = fdatasync(fd) < 0 ? -errno : 0;
        pthread_mutex_lock(&j->mutex);
        j->flushing = false;
        j->n_flushes++;
        if (rc < 0)
            j->flush_error = rc;
        pthread_cond_broadcast(&j->cond);
    }
    pthread_mutex_unlock(&j->mutex);
    return NULL;
}

int
journal_open(struct journal **out, const struct journal_conf *conf,
    journal_replay_fn fn, void *ctx, struct journal_report *report,
    struct host_err *err)
{
    struct journal_report unused;
    struct journal *j = mem_alloc(sizeof(*j));
    pthread_condattr_t attr;
    struct stat st;
    int rc;

    if (!report)
        report = &unused;
    memset(report, 0, sizeof(*report));
    if (err)
        err->text[0] = 0;
    *out = NULL;
    j->path = mem_strdup(conf->path);
    j->fd = j->lock_fd = j->dir_fd = -1;
    j->layout = conf->layout;
    j->sync_us = conf->sync_us;
    pthread_mutex_init(&j->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&j->cond, &attr);
    pthread_condattr_destroy(&attr);

    if (sodium_init() < 0) {
        rc = host_fail(err, -EIO, "journal %s: libsodium cannot start", j->path);
        goto fail;
    }
    rc = dir_open(j, err);
    if (rc == 0)
        rc = lock_take(j, err);
    if (rc < 0)
        goto fail;
    /* Left by a crash in the middle of a compaction; the old generation is in force. */
    char *leftover = path_with(j, ".new");
    unlink(leftover);
    mem_free(leftover);
    j->fd = open(j->path, O_RDWR | O_CLOEXEC);
    if (j->fd < 0 && errno == ENOENT) {
        report->created = true;
        rc = generation_write(j, 1, NULL, NULL, err);
        report->size = j->size;
    } else if (j->fd < 0 || fstat(j->fd, &st) < 0) {
        rc = host_fail(err, -errno, "journal %s: cannot open: %m", j->path);
    } else if (!S_ISREG(st.st_mode)) {
        rc = host_fail(err, -EINVAL, "journal %s: not a regular file", j->path);
    } else {
        rc = open_existing(j, (uint64_t)st.st_size, fn, ctx, report, err);
    }
    if (rc < 0)
        goto fail;
    if (j->sync_us) {
        rc = -pthread_create(&j->thread, NULL, flusher, j);
        if (rc < 0) {
            host_fail(err, rc, "journal %s: cannot start its flusher: %m", j->path);
            goto fail;
        }
        j->threaded = true;
    }
    *out = j;
    return 0;
fail:
    journal_close(j);
    return rc;
}

/* ---- use ---- */

bool
journal_append(struct journal *j, uint16_t type, const void *payload, size_t size)
{
    if (size > JOURNAL_RECORD_MAX)
        return false;
    size_t need = j->stage_size + HEAD_SIZE + size;
    if (need > j->stage_cap) {
        j->stage_cap = need > 2 * j->stage_cap ? need : 2 * j->stage_cap;
        j->stage = mem_grow(j->stage, j->stage_cap);
    }
    uint8_t *p = j->stage + j->stage_size;
    head_encode(p, type, payload, size, j->size + j->stage_size, j->key);
    if (size)
        memcpy(p + HEAD_SIZE, payload, size);
    j->stage_size = need;
    j->n_staged++;
    return true;
}

int
journal_commit(struct journal *j, struct host_err *err)
{
    int rc = 0, flush_error = 0;

    if (j->broken)
        return host_fail(err, j->broken,
            "journal %s: an unfinished write could not be taken back (%m); compact it"
            " into a new file",
            j->path);
    if (!j->stage_size)
        return 0;
    rc = write_all(j->fd, j->stage, j->stage_size, j->size);
    if (rc < 0) {
        /* Octets left there could be read as records after a shorter, later write. */
        if (ftruncate(j->fd, (off_t)j->size) < 0)
            j->broken = -errno;
        return host_fail(err, rc,
            "journal %s: cannot write %zu octets: %m; free space on the disk", j->path,
            j->stage_size);
    }
    j->size += j->stage_size;
    j->n_records += j->n_staged;
    j->n_commits++;
    journal_discard(j);
    if (j->threaded) {
        pthread_mutex_lock(&j->mutex);
        flush_error = j->flush_error;
        j->flush_error = 0;
        if (!j->dirty) {
            j->dirty = true;
            pthread_cond_broadcast(&j->cond);
        }
        pthread_mutex_unlock(&j->mutex);
    }
    if (flush_error)
        return host_fail(err, -EIO,
            "journal %s: the disk refused a flush (%s): what was written is safe from "
            "a "
            "kill but not from power loss; check the disk",
            j->path, strerror(-flush_error));
    return 0;
}

void
journal_discard(struct journal *j)
{
    j->stage_size = 0;
    j->n_staged = 0;
}

int
journal_sync(struct journal *j, struct host_err *err)
{
    if (fdatasync(j->fd) < 0)
        return host_fail(
            err, -errno, "journal %s: cannot flush: %m; check the disk", j->path);
    return 0;
}

int
journal_compact(
    struct journal *j, journal_live_fn next, void *ctx, struct host_err *err)
{
    if (j->stage_size)
        return host_fail(err, -EBUSY, "journal %s: commit before compacting", j->path);
    return generation_write(j, j->generation + 1, next, ctx, err);
}

void
journal_stats(struct journal *j, struct journal_stats *st)
{
    *st = (struct journal_stats){
        .generation = j->generation,
        .size = j->size,
        .base_size = j->base_size,
        .n_records = j->n_records,
        .n_commits = j->n_commits,
    };
    pthread_mutex_lock(&j->mutex);
    st->n_flushes = j->n_flushes;
    pthread_mutex_unlock(&j->mutex);
}

void
journal_close(struct journal *j)
{
    if (!j)
        return;
    if (j->threaded) {
        pthread_mutex_lock(&j->mutex);
        j->stop = true;
        pthread_cond_broadcast(&j->cond);
        pthread_mutex_unlock(&j->mutex);
        pthread_join(j->thread, NULL);
        fdatasync(j->fd);
    }
    if (j->fd >= 0)
        close(j->fd);
    if (j->dir_fd >= 0)
        close(j->dir_fd);
    if (j->lock_fd >= 0)
        close(j->lock_fd); /* ends the lock; the file stays, harmless */
    pthread_cond_destroy(&j->cond);
    pthread_mutex_destroy(&j->mutex);
    mem_free(j->stage);
    mem_free(j->path);
    mem_free(j);
}
