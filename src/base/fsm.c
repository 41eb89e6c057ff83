/* SPDX-License-Identifier: Apache-2.0 */
/* The rows are indexed once by (state, event); a step is two loads. */
#include "base/fsm.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"

static const char *
table_fault(const struct fsm_def *d, const int16_t *index, const struct fsm_row *row)
{
    if (row->from >= d->n_states || row->to >= d->n_states)
        return "state out of range";
    if (row->event >= d->n_events)
        return "event out of range";
    if (row->action >= d->n_actions)
        return "action out of range";
    if (index[row->from * d->n_events + row->event] >= 0)
        return "two rows for one state and event";
    return NULL;
}

bool
fsm_init(struct fsm *f, const struct fsm_def *def, const char **why)
{
    *f = (struct fsm){.def = def};
    if (def->n_rows > INT16_MAX) {
        *why = "too many rows";
        return false;
    }
    size_t n_pairs = (size_t)def->n_states * def->n_events;
    f->index = mem_alloc(n_pairs * sizeof *f->index);
    f->hits = mem_alloc(def->n_rows * sizeof *f->hits);
    for (size_t i = 0; i < n_pairs; i++)
        f->index[i] = -1;
    for (uint16_t i = 0; i < def->n_rows; i++) {
        const struct fsm_row *row = &def->rows[i];
        const char *fault = table_fault(def, f->index, row);
        if (fault) {
            *why = fault;
            fsm_done(f);
            return false;
        }
        f->index[row->from * def->n_events + row->event] = i;
    }
    return true;
}

const struct fsm_row *
fsm_step(struct fsm *f, uint8_t *state, uint8_t event, const char *who)
{
    const struct fsm_def *d = f->def;
    int16_t i = -1;
    if (*state < d->n_states && event < d->n_events)
        i = f->index[*state * d->n_events + event];
    if (i < 0) {
        f->illegal++;
        log_inf(d->name, "%s %s: %s refuses %s", d->name, who,
            *state < d->n_states ? d->states[*state] : "?",
            event < d->n_events ? d->events[event] : "?");
        return NULL;
    }
    const struct fsm_row *row = &d->rows[i];
    f->hits[i]++;
    /* A row that stays in its state is no change: keep-alives would fill the log. */
    log_line(row->to == row->from ? LOG_DBG : LOG_INF, d->name, "%s %s: %s -> %s on %s",
        d->name, who, d->states[row->from], d->states[row->to], d->events[event]);
    *state = row->to;
    return row;
}

void
fsm_done(struct fsm *f)
{
    mem_free(f->index);
    mem_free(f->hits);
    *f = (struct fsm){0};
}

struct text {
    char *p;
    int size, pos;
};

static void __attribute__((format(printf, 2, 3)))
text_add(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int room = t->pos < t->size ? t->size - t->pos : 0;
    int n = vsnprintf(room ? t->p + t->pos : NULL, room, fmt, ap);
    va_end(ap);
    if (n > 0)
        t->pos += n;
}

int
fsm_dot(const struct fsm_def *def, char *text, int size)
{
    struct text t = {text, size, 0};
    text_add(&t, "digraph \"%s\" {\n", def->name);
    for (int i = 0; i < def->n_states; i++)
        text_add(&t, "  \"%s\";\n", def->states[i]);
    for (int i = 0; i < def->n_rows; i++) {
        const struct fsm_row *row = &def->rows[i];
        text_add(&t, "  \"%s\" -> \"%s\" [label=\"%s / %s\\n%s\"];\n",
            def->states[row->from], def->states[row->to], def->events[row->event],
            def->actions[row->action], row->clause ? row->clause : "");
    }
    text_add(&t, "}\n");
    return t.pos;
}
