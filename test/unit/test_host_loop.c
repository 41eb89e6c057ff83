/* SPDX-License-Identifier: Apache-2.0 */
/* The order within a turn, deadlines to the microsecond, and callbacks that free
 * things. */
#include "test_host.h"
#include <signal.h>

struct trace {
    struct loop *l;
    char text[64];
    uint64_t step_us;
    int steps, fires;
};

static void
mark(struct trace *t, char c)
{
    size_t n = strlen(t->text);
    if (n + 1 < sizeof(t->text))
        t->text[n] = c;
}

static void
on_step(void *ctx, uint64_t now_us)
{
    struct trace *t = ctx;
    t->steps++;
    t->step_us = now_us;
    mark(t, 's');
}

static void
on_later(void *ctx)
{
    mark(ctx, 'l');
}

static void
on_flush(void *ctx)
{
    mark(ctx, 'f');
}

static void
on_readable(void *ctx, int events)
{
    struct trace *t = ctx;
    assert_int_equal(events & LOOP_IN, LOOP_IN);
    mark(t, 'r');
}

static void
test_order(void **state)
{
    int fds[2], before = count_fds();
    struct trace t = {.l = make_loop()};
    struct loop_call later = {.fn = on_later, .ctx = &t};
    struct loop_call flush = {.fn = on_flush, .ctx = &t};
    struct loop_watch *w;
    (void)state;
    assert_int_equal(pipe(fds), 0);
    loop_step(t.l, on_step, &t);
    assert_int_equal(loop_watch(t.l, fds[0], LOOP_IN, on_readable, &t, &w, NULL), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    loop_later(t.l, &later);
    loop_later(t.l, &later);
    loop_flush(t.l, &flush);
    loop_turn(t.l, 0);
    assert_string_equal(t.text, "rlsf");
    loop_watch_events(w, 0);
    loop_later(t.l, &later);
    loop_call_cancel(&later);
    loop_turn(t.l, 0);
    assert_string_equal(t.text, "rlsfs");
    loop_unwatch(w);
    close(fds[0]);
    close(fds[1]);
    loop_free(t.l);
    assert_int_equal(count_fds(), before);
}

static void
test_deadline(void **state)
{
    struct trace t = {.l = make_loop()};
    uint64_t worst = 0;
    (void)state;
    loop_step(t.l, on_step, &t);
    for (int i = 0; i < 50; i++) {
        uint64_t at = loop_now_fresh(t.l) + 300, late;
        loop_deadline(t.l, at);
        do
            loop_turn(t.l, at + 1000000);
        while (t.step_us < at && t.step_us + 1000000 > at);
        assert_true(t.step_us >= at); /* never early */
        late = t.step_us - at;
        if (i == 0 || late < worst)
            worst = late;
    }
    /* Milliseconds would be 700 late every time; a loaded machine may be late most
     * times. */
    assert_in_range(worst, 0, 500);
    loop_deadline(t.l, LOOP_NEVER);
    t.steps = 0;
    loop_turn(t.l, loop_now_fresh(t.l) + 2000);
    assert_in_range(t.steps, 1, 2);
    loop_deadline(t.l, 1); /* long past: no wait, a step per turn */
    t.steps = 0;
    loop_turn(t.l, LOOP_NEVER);
    assert_int_equal(t.steps, 1);
    loop_free(t.l);
}

static void
on_timer(void *ctx)
{
    struct trace *t = ctx;
    t->fires++;
    mark(t, 't');
}

static void
test_timer_meets_a_step(void **state)
{
    struct trace t = {.l = make_loop()};
    struct loop_timer *timer = loop_timer_new(t.l, on_timer, &t);
    uint64_t at = loop_now_fresh(t.l) + 3000;
    (void)state;
    loop_step(t.l, on_step, &t);
    loop_timer_set(timer, at);
    TURN_UNTIL(t.l, t.fires == 1);
    assert_true(loop_now(t.l) >= at);
    /* The step that follows the timer does not wait for another event. */
    loop_turn(t.l, LOOP_NEVER);
    assert_string_equal(strrchr(t.text, 't'), "ts");
    loop_timer_set(timer, loop_now(t.l) + 1000);
    loop_timer_set(timer, LOOP_NEVER);
    loop_turn(t.l, loop_now_fresh(t.l) + 5000);
    assert_int_equal(t.fires, 1);
    loop_timer_free(timer);
    loop_free(t.l);
}

struct suicide {
    struct loop_watch *self, *other;
    int fds[4], calls;
};

static void
on_suicide(void *ctx, int events)
{
    struct suicide *s = ctx;
    (void)events;
    s->calls++;
    loop_unwatch(s->self);
    loop_unwatch(s->other);
    for (int i = 0; i < 4; i++)
        close(s->fds[i]);
}

static void
test_unwatch_in_callback(void **state)
{
    struct loop *l = make_loop();
    struct suicide s = {0};
    (void)state;
    assert_int_equal(pipe(s.fds), 0);
    assert_int_equal(pipe(s.fds + 2), 0);
    assert_int_equal(
        loop_watch(l, s.fds[0], LOOP_IN, on_suicide, &s, &s.self, NULL), 0);
    assert_int_equal(
        loop_watch(l, s.fds[2], LOOP_IN, on_suicide, &s, &s.other, NULL), 0);
    assert_int_equal(write(s.fds[1], "x", 1), 1);
    assert_int_equal(write(s.fds[3], "x", 1), 1);
    loop_turn(l, 0);
    loop_turn(l, 0);
    assert_int_equal(s.calls, 1);
    loop_free(l);
}

static void
on_term(void *ctx, int signum)
{
    assert_int_equal(signum, SIGTERM);
    loop_stop(ctx);
}

static void
test_signal_stops_run(void **state)
{
    struct loop *l = make_loop();
    (void)state;
    assert_int_equal(loop_signal(l, SIGTERM, on_term, l, NULL), 0);
    raise(SIGTERM);
    loop_run(l);
    loop_free(l);
}

static void
test_bad_fd(void **state)
{
    struct loop *l = make_loop();
    struct loop_watch *w;
    struct host_err err;
    (void)state;
    assert_int_equal(loop_watch(l, 999, LOOP_IN, on_readable, NULL, &w, &err), -EBADF);
    assert_non_null(strstr(err.text, "999"));
    loop_free(l);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_timer_meets_a_step),
        cmocka_unit_test(test_unwatch_in_callback),
        cmocka_unit_test(test_signal_stops_run),
        cmocka_unit_test(test_bad_fd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
