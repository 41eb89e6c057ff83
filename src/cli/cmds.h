/* SPDX-License-Identifier: Apache-2.0 */
/* The command table of berth. Dispatch, usage errors, `berth help`, the completion of
 * bash and the command list of berth(1) are all made from these rows: a new command is
 * one row in cmds.c (and the request in doc/protocol/control.md). All data is constant.
 */
#ifndef BERTH_CLI_CMDS_H
#define BERTH_CLI_CMDS_H
#include <stdbool.h>
#include <stdint.h>

enum cli_daemon { CLI_NVE, CLI_TES, CLI_NVA, CLI_N_DAEMONS, CLI_NONE = CLI_N_DAEMONS };
struct cli_daemon_row {
    const char *word, *program, *socket;
};
extern const struct cli_daemon_row cli_daemons[CLI_N_DAEMONS];

enum cli_type { /* how a value is checked and what it is in the request */
    CLI_STRING, /* text, not empty */
    CLI_UINT,   /* min..max; integer */
    CLI_U64,    /* epochs and ids: decimal or 0x...; text of decimal digits */
    CLI_MAC,    /* text in the daemon's form, so that its filters match */
    CLI_IP,     /* the same */
    CLI_VSI,    /* the same: UUID, IP, MAC or local:hex */
    CLI_WORD,   /* one of .words; text */
    CLI_FLAG    /* no value; true */
};
enum {
    CLI_PLACE = 1, /* may stand without its name, in the order of the table */
    CLI_MUST = 2,
    CLI_MANY = 4,  /* may be given again; an array in the request */
    CLI_LOCAL = 8, /* for berth itself, not in the request */
    CLI_ONE_OF =
        16 /* at least one argument of the command with this flag must be given */
};
struct cli_arg { /* --name VALUE, --name=VALUE or the word name=VALUE */
    const char *name;
    enum cli_type type;
    unsigned flags;
    const char *value; /* stands for the value in help; NULL: no value */
    const char *help;
    const char *const *words; /* WORD; NULL-terminated */
    uint64_t min, max;        /* UINT */
    const char *key;          /* in the request; NULL: name */
};

enum cli_format { CLI_TEXT, CLI_NUMBER, CLI_SECONDS, CLI_BOOL, CLI_WAITING };
struct cli_column {
    const char *key, *title;
    enum cli_format format;
    bool optional;       /* left out when no row has something to say in it */
    const char *instead; /* key of a plain number where `key` is absent */
};

struct cli_command {
    const char *noun, *verb;    /* verb NULL: the noun alone is the command */
    const char *request;        /* "cmd" of the request; NULL: berth does it itself */
    enum cli_daemon daemon;     /* which socket, unless told otherwise */
    const struct cli_arg *args; /* ends with name NULL; or NULL */
    const struct cli_column
        *columns;     /* ends with key NULL; NULL: no rows are expected */
    const char *sort; /* keys by blank, for listings that fit in memory */
    const char *help; /* one sentence */
};
extern const struct cli_command cli_commands[]; /* ends with noun NULL */
extern const struct cli_arg cli_options[];      /* of berth itself, before or after */
#define CLI_SHORT(arg_) ((char)(arg_)->min)     /* cli_options: the short form or 0 */
#endif
