/* SPDX-License-Identifier: Apache-2.0 */
/* A binary heap by (deadline, order set). Each slot knows its timer and each timer its
 * slot, so that moving and clearing cost no search. */
#include "base/timers.h"

#include <stddef.h>

#include "base/mem.h"

struct timer_slot {
    uint64_t deadline_us, seq;
    struct timer *tm;
    uint32_t kind, ref;
};

void
timers_init(struct timers *t)
{
    *t = (struct timers){0};
}

static bool
slot_before(const struct timer_slot *a, const struct timer_slot *b)
{
    return a->deadline_us != b->deadline_us ? a->deadline_us < b->deadline_us
                                            : a->seq < b->seq;
}

static void
slot_place(struct timers *t, uint32_t i, const struct timer_slot *s)
{
    t->heap[i] = *s;
    s->tm->at = i + 1;
}

/* Puts s where it belongs, starting from the free place i. */
static void
heap_settle(struct timers *t, uint32_t i, struct timer_slot s)
{
    while (i > 0 && slot_before(&s, &t->heap[(i - 1) / 2])) {
        slot_place(t, i, &t->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child + 1 < t->n && slot_before(&t->heap[child + 1], &t->heap[child]))
            child++;
        if (child >= t->n || !slot_before(&t->heap[child], &s))
            break;
        slot_place(t, i, &t->heap[child]);
        i = child;
    }
    slot_place(t, i, &s);
}

void
timers_set(struct timers *t, struct timer *tm, uint64_t deadline_us, uint32_t kind,
    uint32_t ref)
{
    if (deadline_us == TIMER_NEVER) {
        timers_clear(t, tm);
        return;
    }
    struct timer_slot s = {deadline_us, t->seq++, tm, kind, ref};
    if (tm->at == 0) {
        if (t->n == t->cap) {
            t->cap = t->cap ? t->cap + t->cap / 2 : 8;
            t->heap = mem_grow(t->heap, (size_t)t->cap * sizeof *t->heap);
        }
        tm->at = ++t->n;
    }
    heap_settle(t, tm->at - 1, s);
}

void
timers_clear(struct timers *t, struct timer *tm)
{
    if (tm->at == 0)
        return;
    uint32_t i = tm->at - 1;
    tm->at = 0;
    struct timer_slot last = t->heap[--t->n];
    if (i < t->n)
        heap_settle(t, i, last);
}

uint64_t
timers_deadline(const struct timers *t)
{
    return t->n ? t->heap[0].deadline_us : TIMER_NEVER;
}

uint64_t
timers_when(const struct timers *t, const struct timer *tm)
{
    return tm->at ? t->heap[tm->at - 1].deadline_us : TIMER_NEVER;
}

bool
timers_pop(struct timers *t, uint64_t now_us, uint32_t *kind, uint32_t *ref)
{
    if (t->n == 0 || t->heap[0].deadline_us > now_us)
        return false;
    *kind = t->heap[0].kind;
    *ref = t->heap[0].ref;
    timers_clear(t, t->heap[0].tm);
    return true;
}

void
timers_done(struct timers *t)
{
    mem_free(t->heap);
    timers_init(t);
}
