/* SPDX-License-Identifier: Apache-2.0 */
/* Two queues under one mutex; an eventfd tells the loop. The thread makes nothing but
 * system calls on what the job names. */
#include "host/tc_later.h"
#include "base/mem.h"
#include "host/tc_link.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct item {
    struct item *next;
    struct tc_job job;
};
struct tc_later {
    pthread_t thread;
    pthread_mutex_t mutex; /* what follows */
    pthread_cond_t more, idle;
    struct item *head, **tail; /* to do */
    uint32_t n_todo;
    struct fifo done;
    char hand[256]; /* path of the job in hand */
    struct timespec quiet_at;
    bool started, busy, stop, hurry;
    int fd;
};

static bool
quiet(const struct tc_later *l, const struct timespec *at)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return l->hurry || now.tv_sec > at->tv_sec ||
           (now.tv_sec == at->tv_sec && now.tv_nsec >= at->tv_nsec);
}

/* Under the mutex. */
static void
wait_for_quiet(struct tc_later *l)
{
    while (!l->stop) {
        struct timespec at = l->quiet_at;
        if (!l->n_todo)
            pthread_cond_wait(&l->more, &l->mutex);
        else if (quiet(l, &at))
            return;
        else
            pthread_cond_timedwait(&l->more, &l->mutex, &at);
    }
}

static struct tc_job
take(struct tc_later *l)
{
    struct item *i = l->head;
    struct tc_job job = i->job;
    l->head = i->next;
    if (!l->head)
        l->tail = &l->head;
    l->n_todo--;
    mem_free(i);
    return job;
}

static void *
work(void *ctx)
{
    struct tc_later *l = ctx;
    struct tc_job job;
    uint64_t one = 1;
    pthread_mutex_lock(&l->mutex);
    for (;;) {
        wait_for_quiet(l);
        if (l->stop)
            break;
        job = take(l);
        memcpy(l->hand, job.path, sizeof(l->hand));
        l->busy = true;
        pthread_mutex_unlock(&l->mutex);
        job.status = job.detach ? tc_link_detach(job.path, job.ifindex)
                                : tc_link_upgrade(job.path, job.ifindex, job.prog_fd);
        pthread_mutex_lock(&l->mutex);
        l->busy = false;
        *(struct tc_job *)fifo_push(&l->done) = job;
        pthread_cond_broadcast(&l->idle);
        if (write(l->fd, &one, sizeof(one)) < 0)
            continue; /* full: readable anyway */
    }
    pthread_mutex_unlock(&l->mutex);
    return NULL;
}

int
tc_later_new(struct tc_later **out, struct host_err *err)
{
    struct tc_later *l = mem_alloc(sizeof(*l));
    pthread_condattr_t attr;
    l->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->fd < 0) {
        mem_free(l);
        return host_fail(err, -errno, "cannot make an eventfd: %m");
    }
    pthread_mutex_init(&l->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->more, &attr);
    pthread_condattr_destroy(&attr);
    pthread_cond_init(&l->idle, NULL);
    l->tail = &l->head;
    fifo_init(&l->done, sizeof(struct tc_job));
    *out = l;
    return 0;
}

/* Signals are the loop's. Without a thread the filters simply stay. */
static void
start(struct tc_later *l)
{
    sigset_t all, old;
    if (l->started)
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    l->started = pthread_create(&l->thread, NULL, work, l) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void
tc_later_push(struct tc_later *l, const struct tc_job *job)
{
    struct item *i;
    start(l);
    if (!l->started)
        return;
    i = mem_alloc(sizeof(*i));
    i->job = *job;
    pthread_mutex_lock(&l->mutex);
    *l->tail = i;
    l->tail = &i->next;
    l->n_todo++;
    clock_gettime(CLOCK_MONOTONIC, &l->quiet_at);
    l->quiet_at.tv_sec += TC_LATER_QUIET_MS / 1000;
    pthread_cond_signal(&l->more);
    pthread_mutex_unlock(&l->mutex);
}

void
tc_later_cancel(struct tc_later *l, const char *path)
{
    struct item **at = &l->head, *i;
    pthread_mutex_lock(&l->mutex);
    while ((i = *at)) {
        if (strcmp(i->job.path, path) != 0) {
            at = &i->next;
            continue;
        }
        *at = i->next;
        l->n_todo--;
        mem_free(i);
    }
    l->tail = at;
    while (l->busy && strcmp(l->hand, path) == 0)
        pthread_cond_wait(&l->idle, &l->mutex);
    pthread_mutex_unlock(&l->mutex);
}

int
tc_later_fd(const struct tc_later *l)
{
    return l->fd;
}

bool
tc_later_pop(struct tc_later *l, struct tc_job *job)
{
    uint64_t n;
    bool got;
    pthread_mutex_lock(&l->mutex);
    got = fifo_pop(&l->done, job);
    if (!got && read(l->fd, &n, sizeof(n)) < 0)
        got = false; /* nothing was told */
    pthread_mutex_unlock(&l->mutex);
    return got;
}

void
tc_later_wait(struct tc_later *l)
{
    pthread_mutex_lock(&l->mutex);
    l->hurry = true;
    pthread_cond_signal(&l->more);
    while (l->n_todo || l->busy)
        pthread_cond_wait(&l->idle, &l->mutex);
    l->hurry = false;
    pthread_mutex_unlock(&l->mutex);
}

void
tc_later_free(struct tc_later *l)
{
    if (!l)
        return;
    if (l->started) {
        pthread_mutex_lock(&l->mutex);
        l->stop = true;
        pthread_cond_signal(&l->more);
        pthread_mutex_unlock(&l->mutex);
        pthread_join(l->thread, NULL);
    }
    while (l->n_todo)
        take(l);
    fifo_done(&l->done);
    pthread_cond_destroy(&l->more);
    pthread_cond_destroy(&l->idle);
    pthread_mutex_destroy(&l->mutex);
    close(l->fd);
    mem_free(l);
}
