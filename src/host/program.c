/* SPDX-License-Identifier: Apache-2.0 */
/* The order matters: limits before anything is opened; privileges go when everything is
 * open; ready is told last. The loop outlives stop, which closes what it watches. */
#include "host/program.h"
#include "base/mem.h"
#include "host/daemon.h"
#include "host/loop.h"
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define N_FILES 65536

struct args {
    const struct program *program;
    void *ctx;
    const char *config, *log;
    bool check, example;
};
/* clang-format off */
static const struct argp_option options[] = {
    {"config", 'c', "FILE", 0, "Read this file", 0},
    {"check-config", 'C', NULL, 0, "Print the values in effect, or say what is wrong; end", 0},
    {"print-example-config", 'P', NULL, 0, "Print a commented configuration; end", 0},
    {"log", 'l', "LEVELS", 0, "In place of the configuration's: notice, or vdp=debug,info", 0},
    {0},
};
/* clang-format on */

static error_t
option(int key, char *arg, struct argp_state *state)
{
    struct args *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        if (a->program->more)
            state->child_inputs[0] = a->ctx;
        return 0;
    case 'c':
        a->config = arg;
        return 0;
    case 'C':
        a->check = true;
        return 0;
    case 'P':
        a->example = true;
        return 0;
    case 'l':
        a->log = arg;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "no argument is expected, but \"%s\" was given", arg);
        return EINVAL;
    }
    return ARGP_ERR_UNKNOWN;
}

static void
parse(struct args *a, int argc, char **argv)
{
    static char version[64];
    const struct program *p = a->program;
    char doc[512];
    const struct argp_child children[] = {
        {p->more, 0, NULL, 0},
        {0  }
    };
    const struct argp argp = {
        options, option, NULL, doc, p->more ? children : NULL, NULL, NULL};
    snprintf(version, sizeof version, "%s %s", p->name, BERTH_VERSION);
    snprintf(doc, sizeof doc, "%s\vThe configuration is %s by default. See %s(8).",
        p->about, a->config, p->name);
    argp_program_version = version;
    argp_parse(&argp, argc, argv, 0, NULL, a);
}

/* "notice,vdp=debug"; `from` is who said so. */
static int
log_levels(const char *words, const char *from, struct host_err *err)
{
    char *copy = mem_strdup(words), *at = copy, *word;
    int rc = 0;
    while (!rc && (word = strsep(&at, ", "))) {
        char *eq = strchr(word, '=');
        enum log_level level;
        if (!*word)
            continue;
        if (eq)
            *eq++ = '\0';
        if (!log_level_parse(eq ? eq : word, &level))
            rc = host_fail(err, -EINVAL,
                "%s: \"%s\" is no log level; choose of error, warning, notice, info, "
                "debug",
                from, eq ? eq : word);
        else if (!log_set_level(eq ? word : "*", level))
            rc = host_fail(err, -ENOSPC,
                "%s: too many modules have a log level of their own", from);
    }
    mem_free(copy);
    return rc;
}

static void
stop_signal(void *ctx, int signum)
{
    log_note("main", "ending: %s", strsignal(signum));
    daemon_stopping();
    loop_stop(ctx);
}

static int
start(const struct program *p, void *ctx, struct loop **l, struct host_err *err)
{
    int rc;
    if ((rc = daemon_limits(N_FILES, err)) || (rc = loop_new(l, err)) ||
        (rc = p->start(ctx, *l, err)) ||
        (rc = loop_signal(*l, SIGTERM, stop_signal, *l, err)) ||
        (rc = loop_signal(*l, SIGINT, stop_signal, *l, err)) ||
        (rc = daemon_caps(p->caps, p->n_caps, err)))
        return rc;
    return p->conf->seccomp ? daemon_seccomp(err) : 0;
}

static int
run(const struct program *p, void *ctx)
{
    struct daemon_log *log = daemon_log_open(STDERR_FILENO, 0);
    struct host_err err = {{0}};
    struct loop *l = NULL;
    log_set_sink(daemon_log_sink, log);
    int rc = start(p, ctx, &l, &err);
    if (rc) {
        log_err("main", "%s", err.text);
    } else {
        struct daemon_watchdog *dog = daemon_watchdog_new(l);
        log_note("main", "%s %s is ready, control=%s", p->name, BERTH_VERSION,
            p->conf->control);
        daemon_ready(p->status);
        loop_run(l);
        daemon_watchdog_free(dog);
    }
    p->stop(ctx);
    if (l)
        loop_free(l);
    log_set_sink(NULL, NULL);
    daemon_log_close(log);
    return rc ? 1 : 0;
}

int
program_main(const struct program *p, void *ctx, int argc, char **argv)
{
    char path[128];
    struct args args = {.program = p, .ctx = ctx, .config = path};
    struct host_err err = {{0}};
    snprintf(path, sizeof path, "/etc/berth/%s.conf", p->name);
    parse(&args, argc, argv);
    if (args.example) {
        config_print_example(p->rows, p->name, stdout);
        return 0;
    }
    int rc = p->load(ctx, args.config, &err);
    bool loaded = !rc;
    if (!rc)
        rc = args.log ? log_levels(args.log, "--log", &err)
                      : log_levels(p->conf->log, args.config, &err);
    if (!rc && args.check && p->check)
        rc = p->check(ctx, &err);
    if (rc) {
        fprintf(stderr, "%s: %s\n", p->name, err.text);
        rc = 2;
    } else if (args.check) {
        config_print(p->rows, p->conf, stdout);
    } else {
        rc = run(p, ctx);
    }
    if (loaded)
        config_free(p->rows, p->conf);
    return rc;
}
