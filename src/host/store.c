/* SPDX-License-Identifier: Apache-2.0 */
/* How it works. The caller's thread puts operations into a queue; the worker takes all
 * that wait, runs them in one transaction and commits with one flush of the WAL. An
 * operation that the data refuse (a name that is taken) fails alone; a failure of the
 * disk rolls the whole batch back and each of its operations is told so, so nothing is
 * half done and the owner can repeat. After store_open the database handle belongs to
 * the worker alone. */
#include "host/store_int.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include <sys/eventfd.h>

#define BATCH_MAX 10000 /* bounds how long one commit makes the next wait */

/* ---- the worker ---- */

/* With the mutex held: what a finished raise means for the grants. */
static void
raise_done(struct store *s, const struct op *op, int result)
{
    if (result == 0 && op->limit > s->limit)
        s->limit = op->limit;
    if (op->quiet && result < 0)
        s->raise_error = result;
    if (op->limit >= s->raise_wanted)
        s->raise_wanted = 0;
}

static void *
worker(void *arg)
{
    struct store *s = arg;
    struct op *ops = mem_alloc(BATCH_MAX * sizeof(*ops));
    struct store_done *done = mem_alloc(BATCH_MAX * sizeof(*done));

    pthread_mutex_lock(&s->mutex);
    for (;;) {
        uint32_t n = 0;
        while (s->queue.n == 0 && !s->stop)
            pthread_cond_wait(&s->cond, &s->mutex);
        if (s->queue.n == 0)
            break;
        while (n < BATCH_MAX && fifo_pop(&s->queue, &ops[n]))
            n++;
        pthread_mutex_unlock(&s->mutex);
        store_batch_run(s, ops, done, n);
        pthread_mutex_lock(&s->mutex);
        for (uint32_t i = 0; i < n; i++) {
            if (ops[i].type == OP_RAISE)
                raise_done(s, &ops[i], done[i].result);
            if (!ops[i].quiet)
                *(struct store_done *)fifo_push(&s->done) = done[i];
            mem_free(ops[i].extra);
        }
        eventfd_write(s->fd, 1);
    }
    pthread_mutex_unlock(&s->mutex);
    mem_free(done);
    mem_free(ops);
    return NULL;
}

int
store_open(struct store **out, const struct store_conf *conf,
    const struct store_load *load, struct host_err *err)
{
    struct store *s = mem_alloc(sizeof(*s));
    int rc;

    *out = NULL;
    s->path = mem_strdup(conf->path);
    s->block = conf->epoch_block ? conf->epoch_block : STORE_EPOCH_BLOCK;
    fifo_init(&s->queue, sizeof(struct op));
    fifo_init(&s->done, sizeof(struct store_done));
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->cond, NULL);
    s->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    rc = s->fd >= 0 ? 0 : host_fail(err, -errno, "database %s: eventfd: %m", s->path);
    if (rc == 0)
        rc = store_db_open(s, load, err);
    if (rc == 0) {
        rc = -pthread_create(&s->thread, NULL, worker, s);
        if (rc < 0)
            host_fail(err, rc, "database %s: cannot start its thread: %m", s->path);
        s->threaded = rc == 0;
    }
    if (rc < 0) {
        /* What could not be used is left as it was, its WAL too. */
        if (s->db)
            sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        store_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void
store_close(struct store *s)
{
    if (!s)
        return;
    if (s->threaded) {
        pthread_mutex_lock(&s->mutex);
        s->stop = true;
        pthread_cond_signal(&s->cond);
        pthread_mutex_unlock(&s->mutex);
        pthread_join(s->thread, NULL);
    }
    for (int i = 0; i < SQL_N; i++)
        sqlite3_finalize(s->stmt[i]);
    sqlite3_close(s->db);
    if (s->fd >= 0)
        close(s->fd);
    fifo_done(&s->queue);
    fifo_done(&s->done);
    pthread_cond_destroy(&s->cond);
    pthread_mutex_destroy(&s->mutex);
    mem_free(s->path);
    mem_free(s);
}

/* ---- operations ---- */

/* With the mutex held. The id, or 0 when the queue is full. */
static uint64_t
enqueue_locked(struct store *s, const struct op *op)
{
    if (s->queue.n >= STORE_QUEUE_MAX)
        return 0;
    struct op *slot = fifo_push(&s->queue);
    *slot = *op;
    slot->id = ++s->last_id;
    if (s->queue.n == 1)
        pthread_cond_signal(&s->cond);
    return slot->id;
}

static uint64_t
enqueue(struct store *s, const struct op *op, struct host_err *err)
{
    pthread_mutex_lock(&s->mutex);
    uint64_t id = enqueue_locked(s, op);
    pthread_mutex_unlock(&s->mutex);
    if (!id) {
        mem_free(op->extra);
        host_fail(err, -ENOBUFS,
            "database %s: %d operations wait already; the disk is too slow", s->path,
            STORE_QUEUE_MAX);
    }
    return id;
}

uint64_t
store_put_vn(struct store *s, const struct store_vn *vn, struct host_err *err)
{
    struct op op = {.type = OP_PUT_VN, .vn = *vn};
    if (vn->vni > VNI_MAX || !vn->name[0] || !memchr(vn->name, 0, sizeof(vn->name))) {
        host_fail(err, -EINVAL,
            "VN %u: a VNI is at most %u, a name has 1 to %d characters", vn->vni,
            VNI_MAX, STORE_NAME - 1);
        return 0;
    }
    op.extra = vn->extra ? mem_strdup(vn->extra) : NULL;
    return enqueue(s, &op, err);
}

uint64_t
store_del_vn(struct store *s, uint32_t vni, struct host_err *err)
{
    struct op op = {.type = OP_DEL_VN, .vn.vni = vni};
    return enqueue(s, &op, err);
}

static uint64_t
put_epoch(struct store *s, enum op_type type, const struct store_epoch *e,
    const struct ip *target, struct host_err *err)
{
    struct op op = {.type = type, .epoch = *e};
    if (target)
        op.target = *target;
    if (e->epoch > STORE_EPOCH_MAX) {
        host_fail(err, -ERANGE, "VN %u: epoch %llu is above %llu; not stored", e->vni,
            (unsigned long long)e->epoch, (unsigned long long)STORE_EPOCH_MAX);
        return 0;
    }
    return enqueue(s, &op, err);
}

uint64_t
store_put_epoch(struct store *s, const struct store_epoch *e, struct host_err *err)
{
    return put_epoch(s, OP_PUT_EPOCH, e, NULL, err);
}

uint64_t
store_put_reservation(struct store *s, const struct store_epoch *e,
    const struct ip *target, struct host_err *err)
{
    return put_epoch(s, OP_PUT_RESV, e, target, err);
}

uint64_t
store_del_reservation(struct store *s, uint32_t vni, const struct mac *mac,
    const struct ip *target, struct host_err *err)
{
    struct op op = {
        .type = OP_DEL_RESV, .epoch = {.vni = vni, .mac = *mac},
             .target = *target
    };
    return enqueue(s, &op, err);
}

uint64_t
store_del_epoch(
    struct store *s, uint32_t vni, const struct mac *mac, struct host_err *err)
{
    struct op op = {
        .type = OP_DEL_EPOCH, .epoch = {.vni = vni, .mac = *mac}
    };
    return enqueue(s, &op, err);
}

uint64_t
store_put_nve(struct store *s, const char *name, struct host_err *err)
{
    struct op op = {.type = OP_PUT_NVE};
    if (!name[0] || strlen(name) >= sizeof(op.vn.name)) {
        host_fail(err, -EINVAL, "NVE %.80s: a name has 1 to %d characters", name,
            STORE_NAME - 1);
        return 0;
    }
    strcpy(op.vn.name, name);
    return enqueue(s, &op, err);
}

uint64_t
store_flush(struct store *s, struct host_err *err)
{
    struct op op = {.type = OP_FLUSH};
    return enqueue(s, &op, err);
}

int
store_fd(const struct store *s)
{
    return s->fd;
}

bool
store_next_done(struct store *s, struct store_done *done)
{
    eventfd_t unused;
    pthread_mutex_lock(&s->mutex);
    bool have = fifo_pop(&s->done, done);
    if (s->done.n == 0)
        (void)eventfd_read(s->fd, &unused);
    pthread_mutex_unlock(&s->mutex);
    return have;
}

bool
store_wait(struct store *s, uint64_t timeout_us)
{
    struct pollfd p = {.fd = s->fd, .events = POLLIN};
    return poll(&p, 1, (int)(timeout_us / 1000)) == 1;
}

/* ---- epochs ---- */

/* With the mutex held: asks for a limit of at least `want`, unless that is under way.
 */
static void
raise_locked(struct store *s, uint64_t want)
{
    struct op op = {.type = OP_RAISE, .quiet = true, .limit = want};
    if (s->raise_wanted < want && enqueue_locked(s, &op))
        s->raise_wanted = want;
}

int
store_epoch_grant(struct store *s, uint64_t above, uint64_t *epoch)
{
    int rc = 0;

    pthread_mutex_lock(&s->mutex);
    uint64_t number = above >= s->next ? above + 1 : s->next;
    if (above >= STORE_EPOCH_MAX || number - s->next > STORE_EPOCH_LEAP) {
        rc = -ERANGE;
    } else if (number < s->limit) {
        *epoch = number;
        s->next = number + 1;
        /* Ahead of need, so that the disk is behind us and never in front. */
        if (s->limit - s->next < s->block / 2)
            raise_locked(s, s->limit + s->block);
    } else {
        rc = s->raise_error ? s->raise_error : -EAGAIN;
        s->raise_error = 0;
        raise_locked(s, number + s->block);
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

void
store_epoch_range(struct store *s, uint64_t *next, uint64_t *limit)
{
    pthread_mutex_lock(&s->mutex);
    *next = s->next;
    *limit = s->limit;
    pthread_mutex_unlock(&s->mutex);
}

uint64_t
store_epoch_raise(struct store *s, uint64_t want, struct host_err *err)
{
    struct op op = {.type = OP_RAISE, .limit = want};
    if (want > STORE_EPOCH_MAX) {
        host_fail(err, -ERANGE, "epoch %llu is above %llu; refused",
            (unsigned long long)want, (unsigned long long)STORE_EPOCH_MAX);
        return 0;
    }
    return enqueue(s, &op, err);
}
