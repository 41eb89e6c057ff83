/* SPDX-License-Identifier: Apache-2.0 */
/* berth: one request to a daemon's control socket (doc/protocol/control.md), its rows
 * to standard output. Exit status: 0 done, 1 refused by the daemon, 2 wrong usage, 3
 * the daemon could not be reached or did not answer. */
#include "cli/help.h"
#include "cli/note.h"
#include "cli/out.h"
#include "cli/parse.h"
#include "cli/trace.h"
#include "host/control.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BERTH_OK, BERTH_REFUSED, BERTH_USAGE, BERTH_UNREACHED };

/* ---- the request ---- */

struct reply {
    struct out *out;
    bool garbled;
};

static bool
on_line(void *ctx, char *line, size_t size)
{
    struct reply *r = ctx;
    note_clear();
    r->garbled = !out_row(r->out, line, size);
    return !r->garbled;
}

static const struct cli_daemon_row *
daemon_of(const struct cli_call *call)
{
    const char *word = json_string_value(json_object_get(call->local, "daemon"));
    for (int i = 0; word && i < CLI_N_DAEMONS; i++)
        if (strcmp(cli_daemons[i].word, word) == 0)
            return &cli_daemons[i];
    return &cli_daemons[call->command->daemon];
}

static const char *
socket_of(const struct cli_call *call)
{
    const char *env = getenv("BERTH_SOCKET");
    if (call->socket)
        return call->socket;
    return env && *env ? env : daemon_of(call)->socket;
}

static int
unreached(const struct cli_call *call, int rc, const char *text)
{
    const char *program = daemon_of(call)->program;
    fprintf(stderr, "berth: %s\n", text);
    if (rc == -ENOENT || rc == -ECONNREFUSED)
        fprintf(stderr,
            "berth: start it (systemctl start %s), or name its socket with -s or "
            "BERTH_SOCKET\n",
            program);
    else if (rc == -ETIMEDOUT)
        fprintf(stderr,
            "berth: it may still do what was asked: look before asking again, or wait "
            "longer with --timeout\n");
    return BERTH_UNREACHED;
}

/* What a table leaves unsaid goes to stderr, so that stdout stays a table. */
static void
remark(const struct cli_call *call, const struct out_count *count)
{
    const char *what =
        strcmp(call->command->verb ? call->command->verb : "list", "list")
            ? call->command->verb
            : call->command->noun;
    if (call->json || !call->command->sort)
        return;
    if (!count->rows)
        fprintf(stderr, call->filtered ? "berth: no %s match\n" : "berth: no %s\n",
            strcmp(what, "vn") == 0   ? "virtual networks"
            : strcmp(what, "vm") == 0 ? "vms"
                                      : what);
    if (count->hidden)
        fprintf(stderr, "berth: %llu more are zero; --all shows them\n",
            (unsigned long long)count->hidden);
}

static int
ask(const struct cli_call *call)
{
    const char *path = socket_of(call);
    char *request = json_dumps(call->request, JSON_COMPACT);
    bool all = json_is_true(json_object_get(call->local, "all"));
    struct reply reply = {0};
    struct out_count count;
    struct host_err err = {{0}};
    int rc;
    if (!request)
        abort();
    reply.out = call->json ? out_json(stdout)
                           : out_text(stdout, call->command, all,
                                 isatty(1) && !getenv("NO_COLOR"));
    note_set(daemon_of(call)->program, path);
    rc = control_call(path, request, on_line, &reply, call->timeout_us, &err);
    note_clear();
    free(request);
    out_end(reply.out, &count);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "berth: cannot write the answer: %s\n", strerror(errno));
        return BERTH_REFUSED;
    }
    if (reply.garbled) {
        fprintf(stderr,
            "berth: what listens at %s does not speak as a daemon of Berth; is it the "
            "right socket?\n",
            path);
        return BERTH_UNREACHED;
    }
    if (rc == -EREMOTEIO) {
        fprintf(stderr, "berth: %s\n", err.text);
        return BERTH_REFUSED;
    }
    if (rc)
        return unreached(call, rc, err.text);
    remark(call, &count);
    return BERTH_OK;
}

static int
serve(const struct cli_call *call)
{
    const char *shell = json_string_value(json_object_get(call->local, "shell"));
    if (call->version) {
        puts("berth " BERTH_VERSION);
        return BERTH_OK;
    }
    if (call->help || strcmp(call->command->noun, "help") == 0)
        help_print(stdout, call->noun, call->verb);
    else if (call->command->request)
        return ask(call);
    else if (strcmp(call->command->noun, "trace") == 0)
        return trace_run(call);
    else if (strcmp(shell, "bash") == 0)
        help_bash(stdout);
    else
        help_mdoc(stdout);
    return fflush(stdout) ? BERTH_REFUSED : BERTH_OK;
}

int
main(int argc, char **argv)
{
    struct cli_call call;
    char why[1024] = "";
    int rc = BERTH_USAGE;
    if (cli_parse(argc, argv, &call, why, sizeof(why)))
        rc = serve(&call);
    else
        fprintf(stderr, "berth: %s\n", why);
    cli_call_free(&call);
    return rc;
}
