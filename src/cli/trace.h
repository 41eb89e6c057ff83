/* SPDX-License-Identifier: Apache-2.0 */
/* `berth trace`: what every daemon remembers of one VM, put together on one time line
 * (doc/protocol/control.md, command `trace`). Daemons of other hosts are read from
 * files that `berth -j trace vm` wrote there; times are times of day, so clocks must
 * agree as well as the picture should be true. */
#ifndef BERTH_CLI_TRACE_H
#define BERTH_CLI_TRACE_H
#include "cli/parse.h"
#include <stdio.h>

struct trace_lane { /* one daemon */
    char label[80]; /* "tes srv1", fit for a terminal */
    const char *program, *name,
        *self; /* self: its underlay address or NULL; of a row */
};
struct trace_story {
    json_t **rows; /* owned references, in the order of time */
    size_t n, room;
    size_t *lane;             /* of each row */
    struct trace_lane *lanes; /* servers, edges, authority */
    size_t n_lanes;
};
/* Lane from which (or to which) the row's message went, n_lanes when it was none; *in:
 * it came from there. */
size_t trace_other(const struct trace_story *s, size_t row, bool *in);
double trace_at(const json_t *row); /* seconds */
/* "immigrate-pre ok, epoch 7": what the row says beside its event, as the daemon wrote
 * it; cut at `size`. */
const char *trace_words(const json_t *row, char *text, size_t size);
/* Exit status of berth. */
int trace_run(const struct cli_call *call);
/* The picture. 0 or -errno. */
int trace_svg(const struct trace_story *s, const char *title, FILE *to);
#endif
