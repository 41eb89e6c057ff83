/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: a thin layer over libuv, single thread. Each turn: wait for events,
 * run their callbacks, run the deferred calls, then main's step (which feeds the node,
 * pulls its outputs and sets the deadline), then the flushes (which send what the step
 * queued). Times are CLOCK_MONOTONIC microseconds. Callbacks may free any watch, timer
 * or module. */
#ifndef BERTH_HOST_LOOP_H
#define BERTH_HOST_LOOP_H
#include "host/error.h"
#include <stdbool.h>
#include <stdint.h>

#define LOOP_NEVER UINT64_MAX
enum { LOOP_IN = 1, LOOP_OUT = 2 }; /* fd events; errors are reported as LOOP_IN */

struct loop;
typedef void (*loop_fn)(void *ctx);
typedef void (*loop_step_fn)(void *ctx, uint64_t now_us);
typedef void (*loop_fd_fn)(void *ctx, int events);
typedef void (*loop_signal_fn)(void *ctx, int signum);

int loop_new(struct loop **out, struct host_err *err);
/* Frees watches, timers and signals that are left too; close modules that use them
 * first. */
void loop_free(struct loop *l);
void loop_run(struct loop *l); /* until loop_stop; the first turn does not wait */
/* One turn, waiting for events until `until_us` at the latest (0: do not wait): tests.
 */
void loop_turn(struct loop *l, uint64_t until_us);
void loop_stop(struct loop *l);

uint64_t loop_now(const struct loop *l); /* read once per turn, after the wait */
uint64_t loop_now_fresh(struct loop *l); /* reads the clock now, and renews loop_now */
uint64_t loop_wall_offset(void);         /* time of day minus that clock, as of now */
void loop_step(struct loop *l, loop_step_fn fn, void *ctx);
/* The step runs at this time at the latest, never early, to the microsecond (a timerfd:
 * the loop's own timers count milliseconds). Set it in the step; LOOP_NEVER for none.
 */
void loop_deadline(struct loop *l, uint64_t deadline_us);

/* fd watch, level triggered; the fd stays the caller's, closed after loop_unwatch. */
struct loop_watch;
int loop_watch(struct loop *l, int fd, int events, loop_fd_fn fn, void *ctx,
    struct loop_watch **out, struct host_err *err);
int loop_watch_events(struct loop_watch *w, int events); /* 0 = none for now */
void loop_unwatch(struct loop_watch *w);                 /* NULL is fine */

/* One-shot timers of host modules, to the millisecond (reconnect, reopen, watchdog). */
struct loop_timer;
struct loop_timer *loop_timer_new(struct loop *l, loop_fn fn, void *ctx);
void loop_timer_set(
    struct loop_timer *t, uint64_t deadline_us); /* moves; LOOP_NEVER stops */
void loop_timer_free(struct loop_timer *t);

int loop_signal(
    struct loop *l, int signum, loop_signal_fn fn, void *ctx, struct host_err *err);

/* Embedded in a module's object. later: fn runs once, in the next turn before the step,
 * and that turn does not wait. flush: fn runs after the step of this turn (or of the
 * next). */
struct loop_call {
    loop_fn fn;
    void *ctx;
    struct loop_call *prev, *next; /* loop's; both NULL = not queued */
};
void loop_later(struct loop *l, struct loop_call *c); /* harmless when queued */
void loop_flush(struct loop *l, struct loop_call *c);
void loop_call_cancel(struct loop_call *c);
#endif
