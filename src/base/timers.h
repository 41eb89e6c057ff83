/* SPDX-License-Identifier: Apache-2.0 */
/* Deadlines. (a) A heap of deadlines whose entries point at a struct timer embedded in
 * the owner (owners must not move: use a pool). (b) The row of a documented table of
 * timers and limits (K19). All times are uint64_t microseconds of the caller's clock. */
#ifndef BERTH_BASE_TIMERS_H
#define BERTH_BASE_TIMERS_H
#include <stdbool.h>
#include <stdint.h>

#define TIMER_NEVER UINT64_MAX
struct timer {
    uint32_t at;                         /* place in the heap + 1; 0 = not set */
};
struct timer_slot;
struct timers {
    struct timer_slot *heap;
    uint32_t n, cap;
    uint64_t seq;                        /* equal deadlines fire in the order set */
};
void timers_init(struct timers *t);
/* Sets or moves; TIMER_NEVER clears. kind and ref come back from timers_pop: what fired, and on which object. */
void timers_set(struct timers *t, struct timer *tm, uint64_t deadline_us, uint32_t kind,
    uint32_t ref);
void timers_clear(struct timers *t, struct timer *tm);      /* harmless when not set */
uint64_t timers_deadline(const struct timers *t);           /* earliest, or TIMER_NEVER */
uint64_t timers_when(const struct timers *t, const struct timer *tm);
bool timers_pop(struct timers *t, uint64_t now_us, uint32_t *kind, uint32_t *ref);
void timers_done(struct timers *t);

/* One row of a settings table: name as in the configuration file, unit us or count. */
struct setting {
    const char *name;
    uint64_t def, min, max;
    const char *clause;
    const char *help;
};
/* Where 0 in an array of values stands for the default: 0 itself, for who allows it. */
#define SETTING_ZERO UINT64_MAX
#endif
