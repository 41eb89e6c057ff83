/* SPDX-License-Identifier: Apache-2.0 */
/* Words of the shell to one request, by the command table. */
#ifndef BERTH_CLI_PARSE_H
#define BERTH_CLI_PARSE_H
#include "cli/cmds.h"
#include <jansson.h>
#include <stddef.h>

struct cli_call {
    const struct cli_command *command; /* NULL: none was named (--help, --version) */
    json_t *request;                   /* owned; {} where the command has no request */
    json_t *local;                     /* owned; arguments for berth itself, by name */
    const char *socket;                /* -s, or NULL */
    const char *output;                /* -o, or NULL */
    const char *noun, *verb;           /* help: what about; or NULL */
    uint64_t timeout_us;               /* 0: wait for ever */
    bool json, help, version, filtered;
};
#define CLI_TIMEOUT_US 60000000u

/* false: `why` holds one sentence that says what is wrong and what to do. Free in both
 * cases by cli_call_free. */
bool cli_parse(int argc, char **argv, struct cli_call *call, char *why, size_t size);
void cli_call_free(struct cli_call *call);

/* The rows of one noun: first of them or NULL, and whether verbs follow the noun. */
const struct cli_command *cli_noun(const char *noun);
const struct cli_command *cli_find(const char *noun, const char *verb);
/* The candidate nearest to `word` by typing errors, NULL if none is near. */
const char *cli_nearest(const char *word, const char *const *candidates, size_t n);
#endif
