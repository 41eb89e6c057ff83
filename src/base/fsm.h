/* SPDX-License-Identifier: Apache-2.0 */
/* State machines as tables: one row per arrow of the specification's figure. fsm_step
 * is the only writer of a state; it logs every change; a pair without a row is counted
 * and refused, never asserted. Actions are numbers: the machine's owner runs them. */
#ifndef BERTH_BASE_FSM_H
#define BERTH_BASE_FSM_H
#include <stdbool.h>
#include <stdint.h>

struct fsm_row {
    uint8_t from, event, to, action;
    const char *clause;
};
struct fsm_def {
    const char *name;
    const char *const *states, *const *events, *const *actions;  /* names by number */
    uint8_t n_states, n_events, n_actions;
    const struct fsm_row *rows;
    uint16_t n_rows;
};
struct fsm {                             /* a def made ready; shared by all its instances */
    const struct fsm_def *def;
    int16_t *index;                      /* [state][event] -> row or -1 */
    uint64_t *hits;                      /* per row: coverage */
    uint64_t illegal;
};
/* false and *why when the table has two rows for a pair or a number out of range */
bool fsm_init(struct fsm *f, const struct fsm_def *def, const char **why);
/* The row taken, or NULL for an illegal pair. Writes *state, logs `name who: A -> B on E`. */
const struct fsm_row *fsm_step(struct fsm *f, uint8_t *state, uint8_t event,
    const char *who);
void fsm_done(struct fsm *f);
/* Graphviz text of the table, for the documents. Returns octets that were needed. */
int fsm_dot(const struct fsm_def *def, char *text, int size);
#endif
