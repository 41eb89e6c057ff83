/* SPDX-License-Identifier: Apache-2.0 */
/* What the mains of the daemons share: the command line, the configuration's loading,
 * checking and printing, the log, signals, the giving up of privileges, the service
 * manager. A main fills one struct program, and program_main does the rest. */
#ifndef BERTH_HOST_PROGRAM_H
#define BERTH_HOST_PROGRAM_H
#include "host/config.h"
#include <stdbool.h>

struct argp;
struct loop;
/* The keys that every daemon has; begins the struct that its rows fill. */
struct program_conf {
    char *control, *log;
    bool seccomp;
};
/* Their rows; type: of the whole struct, member: its struct program_conf. */
#define PROGRAM_ROWS(type_, member_, socket_)                                          \
    {.name = "control",                                                                \
        .type = CONFIG_STRING,                                                         \
        CONFIG_AT(type_, member_.control),                                             \
        .def = (socket_),                                                              \
        .max = 107,                                                                    \
        .help = "path of the control socket"},                                         \
        {.name = "log",                                                                \
            .type = CONFIG_STRING,                                                     \
            CONFIG_AT(type_, member_.log),                                             \
            .def = "notice",                                                           \
            .help = "error, warning, notice, info or debug; also module=level, by "    \
                    "commas",                                                          \
            .example = "notice,vdp=debug"},                                            \
    {                                                                                  \
        .name = "seccomp", .type = CONFIG_BOOL, CONFIG_AT(type_, member_.seccomp),     \
        .def = "true", .help = "refuse system calls that the daemon never makes"       \
    }

struct program {
    const char *name;        /* "berth-nve"; reads /etc/berth/<name>.conf by default */
    const char *about;       /* what it is, a sentence for --help */
    const char *status;      /* told to the service manager when it is ready */
    const struct argp *more; /* further options, their input is ctx; NULL: none */
    const struct config_row *rows;
    struct program_conf *conf; /* filled by load; freed here, by the rows */
    const int *caps;           /* CAP_*: kept once started */
    uint32_t n_caps;
    /* Each 0 or -errno with a sentence. After a failed load nothing is to be freed. */
    int (*load)(void *ctx, const char *path, struct host_err *err);
    int (*check)(
        void *ctx, struct host_err *err); /* --check-config alone; may be NULL */
    int (*start)(void *ctx, struct loop *l, struct host_err *err);
    void (*stop)(void *ctx); /* also after a start that failed, or never was */
};

/* Runs the program; returns what main returns: 0, 1 when it could not start, 2 when the
 * configuration is wrong. */
int program_main(const struct program *p, void *ctx, int argc, char **argv);
#endif
