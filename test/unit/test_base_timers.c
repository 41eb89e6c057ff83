/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "base/rng.h"
#include "base/timers.h"

#define N_TIMERS 200

static struct timer timers[N_TIMERS];
static struct {
    bool set;
    uint64_t when, order;
} model[N_TIMERS];

/* The one that must fire first, or -1. */
static int
model_first(void)
{
    int best = -1;
    for (int i = 0; i < N_TIMERS; i++)
        if (model[i].set && (best < 0 || model[i].when < model[best].when ||
                                (model[i].when == model[best].when &&
                                    model[i].order < model[best].order)))
            best = i;
    return best;
}

static void
against_model(void **state)
{
    (void)state;
    struct timers t;
    struct rng g;
    uint64_t now = 1000, order = 0;
    rng_seed(&g, 1);
    timers_init(&t);
    assert_true(timers_deadline(&t) == TIMER_NEVER);
    for (int step = 0; step < 30000; step++) {
        uint32_t i = rng_below(&g, N_TIMERS), kind, ref;
        switch (rng_below(&g, 4)) {
        case 0:
        case 1: /* few distinct deadlines: ties are common */
            model[i].when = now + rng_below(&g, 50);
            model[i].order = order++;
            model[i].set = true;
            timers_set(&t, &timers[i], model[i].when, i + 7, i);
            break;
        case 2:
            if (rng_chance(&g, 500000))
                timers_clear(&t, &timers[i]);
            else
                timers_set(&t, &timers[i], TIMER_NEVER, 0, 0);
            model[i].set = false;
            break;
        case 3:
            now += rng_below(&g, 10);
            while (timers_pop(&t, now, &kind, &ref)) {
                int first = model_first();
                assert_int_equal(ref, first);
                assert_int_equal(kind, first + 7);
                assert_true(model[first].when <= now);
                assert_int_equal(timers[ref].at, 0);
                model[first].set = false;
            }
            break;
        }
        int first = model_first();
        assert_true(
            timers_deadline(&t) == (first < 0 ? TIMER_NEVER : model[first].when));
        assert_true(timers_when(&t, &timers[i]) ==
                    (model[i].set ? model[i].when : TIMER_NEVER));
    }
    timers_done(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
