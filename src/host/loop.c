/* SPDX-License-Identifier: Apache-2.0 */
/* How a turn maps onto libuv: prepare (arm the deadline, decide whether to wait), poll
 * (the callbacks of fds and signals), check (deferred calls, step, flushes), closing.
 * libuv runs its own timers at the head of the *next* turn, so a timer's callback asks
 * for a turn that does not wait: its effects meet a step at once. The deadline is a
 * timerfd, because libuv counts milliseconds; it is moved to later only after it has
 * fired, which saves the system call in the usual case of a deadline that is put off at
 * every step. */
#include "host/loop.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

struct loop {
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle; /* active = the next poll does not wait */
    uv_poll_t alarm;
    int alarm_fd;
    uint64_t armed_us; /* when alarm_fd fires */
    uint64_t deadline_us, until_us;
    uint64_t now_us;
    bool now_old, hurry, stop;
    loop_step_fn step;
    void *step_ctx;
    struct loop_call later, flush; /* list heads */
};

struct loop_watch {
    uv_poll_t h;
    int events;
    loop_fd_fn fn;
    void *ctx;
};

struct loop_timer {
    uv_timer_t h;
    loop_fn fn;
    void *ctx;
};

struct loop_sig {
    uv_signal_t h;
    loop_signal_fn fn;
    void *ctx;
};

static void
list_init(struct loop_call *head)
{
    head->prev = head->next = head;
}

static void
list_add(struct loop_call *head, struct loop_call *c)
{
    if (c->next)
        return;
    c->prev = head->prev;
    c->next = head;
    head->prev->next = c;
    head->prev = c;
}

void
loop_call_cancel(struct loop_call *c)
{
    if (!c->next)
        return;
    c->prev->next = c->next;
    c->next->prev = c->prev;
    c->prev = c->next = NULL;
}

/* Runs what is queued now; what the calls queue waits for the next time. A call may
 * cancel any other: the list is moved to a head of its own, and taken from its front.
 */
static void
list_run(struct loop_call *head)
{
    struct loop_call now;
    if (head->next == head)
        return;
    now = *head;
    now.next->prev = now.prev->next = &now;
    list_init(head);
    while (now.next != &now) {
        struct loop_call *c = now.next;
        loop_call_cancel(c);
        c->fn(c->ctx);
    }
}

uint64_t
loop_now_fresh(struct loop *l)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    l->now_us = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
    l->now_old = false;
    return l->now_us;
}

uint64_t
loop_wall_offset(void)
{
    struct timespec day, ts;
    clock_gettime(CLOCK_REALTIME, &day);
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)(day.tv_sec - ts.tv_sec) * 1000000 +
           (uint64_t)((day.tv_nsec - ts.tv_nsec) / 1000);
}

/* The first callback after a wait finds the clock of before it. */
static void
woke(struct loop *l)
{
    if (l->now_old)
        loop_now_fresh(l);
}

static void
on_idle(uv_idle_t *h)
{
    (void)h;
}

static void
on_alarm(uv_poll_t *h, int status, int events)
{
    struct loop *l = h->data;
    uint64_t n;
    (void)status;
    (void)events;
    woke(l);
    if (read(l->alarm_fd, &n, sizeof(n)) == sizeof(n))
        l->armed_us = LOOP_NEVER;
}

static void
on_prepare(uv_prepare_t *h)
{
    struct loop *l = h->data;
    uint64_t at = l->deadline_us < l->until_us ? l->deadline_us : l->until_us;
    if (l->hurry || l->later.next != &l->later || l->flush.next != &l->flush ||
        (at != LOOP_NEVER && at <= loop_now_fresh(l))) {
        uv_idle_start(&l->idle, on_idle);
    } else if (at < l->armed_us) {
        struct itimerspec its = {
            .it_value = {.tv_sec = (time_t)(at / 1000000),
                         .tv_nsec = (long)(at % 1000000) * 1000}
        };
        if (timerfd_settime(l->alarm_fd, TFD_TIMER_ABSTIME, &its, NULL) == 0)
            l->armed_us = at;
    }
    l->hurry = false;
    l->now_old = true;
}

static void
on_check(uv_check_t *h)
{
    struct loop *l = h->data;
    uv_idle_stop(&l->idle);
    loop_now_fresh(l);
    list_run(&l->later);
    if (l->step)
        l->step(l->step_ctx, l->now_us);
    list_run(&l->flush);
}

static void
on_close_free(uv_handle_t *h)
{
    free(h); /* the handle is the first member */
}

static bool
is_own(const struct loop *l, const uv_handle_t *h)
{
    return (const void *)h == &l->prepare || (const void *)h == &l->check ||
           (const void *)h == &l->idle || (const void *)h == &l->alarm;
}

static void
close_handle(uv_handle_t *h, void *ctx)
{
    struct loop *l = ctx;
    if (!uv_is_closing(h))
        uv_close(h, is_own(l, h) ? NULL : on_close_free);
}

int
loop_new(struct loop **out, struct host_err *err)
{
    struct loop *l = calloc(1, sizeof(*l));
    int rc;
    *out = NULL;
    if (!l)
        return host_fail(err, -ENOMEM, "event loop: %m");
    rc = uv_loop_init(&l->uv);
    if (rc) {
        free(l);
        return host_fail(
            err, rc, "cannot create the event loop: %m; raise the limit of open files");
    }
    l->alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (l->alarm_fd < 0) {
        rc = -errno;
        uv_loop_close(&l->uv);
        free(l);
        return host_fail(err, rc,
            "cannot create the loop's timer: %m; raise the limit of open files");
    }
    l->uv.data = l;
    l->armed_us = l->deadline_us = l->until_us = LOOP_NEVER;
    list_init(&l->later);
    list_init(&l->flush);
    uv_prepare_init(&l->uv, &l->prepare);
    uv_check_init(&l->uv, &l->check);
    uv_idle_init(&l->uv, &l->idle);
    uv_poll_init(&l->uv, &l->alarm, l->alarm_fd);
    l->prepare.data = l->check.data = l->idle.data = l->alarm.data = l;
    uv_prepare_start(&l->prepare, on_prepare);
    uv_check_start(&l->check, on_check);
    uv_poll_start(&l->alarm, UV_READABLE, on_alarm);
    loop_now_fresh(l);
    *out = l;
    return 0;
}

void
loop_free(struct loop *l)
{
    if (!l)
        return;
    list_run(&l->later); /* modules free their last memory here */
    uv_check_stop(&l->check);
    uv_prepare_stop(&l->prepare);
    uv_walk(&l->uv, close_handle, l);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    close(l->alarm_fd);
    uv_loop_close(&l->uv);
    free(l);
}

void
loop_run(struct loop *l)
{
    l->hurry = true;
    l->stop = false;
    while (!l->stop)
        uv_run(&l->uv, UV_RUN_ONCE);
}

void
loop_turn(struct loop *l, uint64_t until_us)
{
    if (until_us == 0)
        l->hurry = true;
    l->until_us = until_us == 0 ? LOOP_NEVER : until_us;
    uv_run(&l->uv, UV_RUN_ONCE);
    l->until_us = LOOP_NEVER;
}

void
loop_stop(struct loop *l)
{
    l->stop = true;
    l->hurry = true;
}

uint64_t
loop_now(const struct loop *l)
{
    return l->now_us;
}

void
loop_step(struct loop *l, loop_step_fn fn, void *ctx)
{
    l->step = fn;
    l->step_ctx = ctx;
}

void
loop_deadline(struct loop *l, uint64_t deadline_us)
{
    l->deadline_us = deadline_us;
}

static void on_watch(uv_poll_t *h, int status, int events);

static int
watch_start(struct loop_watch *w)
{
    int uv = (w->events & LOOP_IN ? UV_READABLE : 0) |
             (w->events & LOOP_OUT ? UV_WRITABLE : 0);
    return uv ? uv_poll_start(&w->h, uv, on_watch) : uv_poll_stop(&w->h);
}

static void
on_watch(uv_poll_t *h, int status, int events)
{
    struct loop_watch *w = (struct loop_watch *)h;
    int ev =
        (events & UV_READABLE ? LOOP_IN : 0) | (events & UV_WRITABLE ? LOOP_OUT : 0);
    woke(h->loop->data);
    if (status < 0) {
        /* POLLERR: libuv has stopped the watch. The owner reads the error off the
         * socket (and unwatches if it must), the watch stays. */
        ev = LOOP_IN | w->events;
        watch_start(w);
    }
    if (ev)
        w->fn(w->ctx, ev);
}

int
loop_watch(struct loop *l, int fd, int events, loop_fd_fn fn, void *ctx,
    struct loop_watch **out, struct host_err *err)
{
    struct loop_watch *w = calloc(1, sizeof(*w));
    int rc;
    *out = NULL;
    if (!w)
        return host_fail(err, -ENOMEM, "watch of descriptor %d: %m", fd);
    rc = uv_poll_init(&l->uv, &w->h, fd);
    if (rc) {
        free(w);
        return host_fail(err, rc, "cannot watch descriptor %d: %m", fd);
    }
    w->events = events;
    w->fn = fn;
    w->ctx = ctx;
    rc = watch_start(w);
    if (rc) {
        loop_unwatch(w);
        return host_fail(err, rc, "cannot watch descriptor %d: %m", fd);
    }
    *out = w;
    return 0;
}

int
loop_watch_events(struct loop_watch *w, int events)
{
    if (w->events == events)
        return 0;
    w->events = events;
    return watch_start(w);
}

void
loop_unwatch(struct loop_watch *w)
{
    if (!w)
        return;
    uv_poll_stop(&w->h);
    uv_close((uv_handle_t *)&w->h, on_close_free);
}

static void
on_timer(uv_timer_t *h)
{
    struct loop_timer *t = (struct loop_timer *)h;
    struct loop *l = h->loop->data;
    loop_now_fresh(l);
    l->hurry = true;
    t->fn(t->ctx);
}

struct loop_timer *
loop_timer_new(struct loop *l, loop_fn fn, void *ctx)
{
    struct loop_timer *t = calloc(1, sizeof(*t));
    if (!t)
        abort();
    uv_timer_init(&l->uv, &t->h);
    t->fn = fn;
    t->ctx = ctx;
    return t;
}

void
loop_timer_set(struct loop_timer *t, uint64_t deadline_us)
{
    uint64_t at_ms, now_ms = uv_now(t->h.loop);
    if (deadline_us == LOOP_NEVER) {
        uv_timer_stop(&t->h);
        return;
    }
    at_ms = deadline_us / 1000 + (deadline_us % 1000 ? 1 : 0);
    uv_timer_start(&t->h, on_timer, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

void
loop_timer_free(struct loop_timer *t)
{
    if (t)
        uv_close((uv_handle_t *)&t->h, on_close_free);
}

static void
on_signal(uv_signal_t *h, int signum)
{
    struct loop_sig *s = (struct loop_sig *)h;
    woke(h->loop->data);
    s->fn(s->ctx, signum);
}

int
loop_signal(
    struct loop *l, int signum, loop_signal_fn fn, void *ctx, struct host_err *err)
{
    struct loop_sig *s = calloc(1, sizeof(*s));
    int rc;
    if (!s)
        return host_fail(err, -ENOMEM, "signal %d: %m", signum);
    rc = uv_signal_init(&l->uv, &s->h);
    if (rc) {
        free(s);
        return host_fail(err, rc, "cannot watch signal %d: %m", signum);
    }
    s->fn = fn;
    s->ctx = ctx;
    rc = uv_signal_start(&s->h, on_signal, signum);
    if (rc) {
        uv_close((uv_handle_t *)&s->h, on_close_free);
        return host_fail(err, rc, "cannot watch signal %d: %m", signum);
    }
    return 0;
}

void
loop_later(struct loop *l, struct loop_call *c)
{
    list_add(&l->later, c);
}

void
loop_flush(struct loop *l, struct loop_call *c)
{
    list_add(&l->flush, c);
}
