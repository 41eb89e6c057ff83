/* SPDX-License-Identifier: Apache-2.0 */
/* Where a reply's rows go: one interface, a table for people or the daemon's own lines
 * for programs. Memory is bounded however many rows come. */
#ifndef BERTH_CLI_OUT_H
#define BERTH_CLI_OUT_H
#include "cli/cmds.h"
#include <stddef.h>
#include <stdio.h>

/* A table looks at this many rows before it prints: it sorts them and takes the widths
 * of its columns from them. The rows of a longer listing follow in the daemon's order.
 */
#define OUT_SAMPLE 1000

struct out;
struct out *out_json(FILE *to);
/* all: counters that are zero are shown too; bold: the header line. `to` stays the
 * caller's, here as in out_json. */
struct out *out_text(FILE *to, const struct cli_command *command, bool all, bool bold);
/* One line of the reply, NUL ended. false: the line is not a JSON object. */
bool out_row(struct out *o, const char *line, size_t size);
struct out_count {
    uint64_t rows, hidden; /* hidden: zero counters that were left out */
};
/* Prints what is left; frees. */
void out_end(struct out *o, struct out_count *count);

/* Appends to `text` what a terminal may see of s, which is UTF-8; too long ends in
 * "...". */
void out_clean(char *text, size_t size, const char *s);
#define OUT_SECONDS_STR 48
const char *out_seconds(double s, char *text); /* "850us", "12.5s", "3m05s", "2d04h" */
#endif
