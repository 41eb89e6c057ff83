/* SPDX-License-Identifier: Apache-2.0 */
/* Two questions to each daemon: first by the VSI, which says under which (VN, MAC) the
 * VM is known; then by those, because far edges and mappings know no more. Rows are
 * kept as the daemons made them. */
#include "cli/note.h"
#include "cli/out.h"
#include "cli/trace.h"
#include "host/control.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROWS_MAX  100000
#define FILE_MAX  (64u << 20) /* octets of all files */
#define KEYS_MAX  64
#define LOOK_BACK 300 /* rows: a request is nearer to its answer */
#define BEFORE_S  0.2 /* told of before the last migration began */

enum { DONE, REFUSED, USAGE, UNREACHED }; /* exit status, as main.c's */

static const char *
text_of(const json_t *row, const char *key)
{
    return json_string_value(json_object_get(row, key));
}

double
trace_at(const json_t *row)
{
    return json_number_value(json_object_get(row, "at_s"));
}

/* Takes the reference. false: no row of a trace. */
static bool
row_add(struct trace_story *s, json_t *row)
{
    static const char *const programs[] = {"berth-tes", "berth-nve", "berth-nva"};
    const char *program = text_of(row, "program");
    size_t i = 0;
    while (program && i < 3 && strcmp(program, programs[i]) != 0)
        i++;
    if (!program || i == 3 || !text_of(row, "event") || s->n == ROWS_MAX) {
        json_decref(row);
        return false;
    }
    if (s->n == s->room) {
        s->room = 2 * s->room + 64;
        s->rows = realloc(s->rows, s->room * sizeof(json_t *));
        if (!s->rows)
            abort();
    }
    s->rows[s->n++] = row;
    return true;
}

static void
rows_drop(struct trace_story *s, size_t kept)
{
    while (s->n > kept)
        json_decref(s->rows[--s->n]);
}

/* ---- gathering ---- */

static bool
on_line(void *ctx, char *line, size_t size)
{
    struct trace_story *s = ctx;
    note_clear();
    row_add(s, json_loadb(line, size, 0, NULL));
    return s->n < ROWS_MAX;
}

/* Of another VM: the file holds more than this one's trace. */
static bool
another(json_t *row, const char *vsi)
{
    const char *whose = text_of(row, "vsi");
    return whose && strcmp(whose, vsi) != 0;
}

static int
file_fault(const char *path, const char *why)
{
    fprintf(stderr, "berth: %s: %s\n", path, why);
    return REFUSED;
}

/* Its octets, 0 at the end; CONTROL_LINE_MAX: it is longer. */
static size_t
line_of(FILE *f, char *line)
{
    size_t n = 0;
    for (int c; n < CONTROL_LINE_MAX && (c = getc_unlocked(f)) != EOF;) {
        line[n++] = (char)c;
        if (c == '\n')
            break;
    }
    return n;
}

/* Read once, and line by line: it may be a pipe, or anything at all. */
static int
from_file(struct trace_story *s, const char *path, const char *vsi, size_t *octets)
{
    FILE *f = fopen(path, "r");
    char *line = f ? malloc(CONTROL_LINE_MAX) : NULL;
    unsigned long number = 0, first_bad = 0, n_bad = 0, n_rows = 0;
    int rc = DONE;
    if (!f)
        return file_fault(path, strerror(errno));
    if (!line)
        abort();
    errno = 0;
    for (size_t n; rc == DONE && (n = line_of(f, line)) > 0;) {
        json_t *row = json_loadb(line, n, 0, NULL);
        number++;
        *octets += n;
        if (*octets > FILE_MAX || s->n == ROWS_MAX || n == CONTROL_LINE_MAX)
            rc = file_fault(path, "too much; give what `berth -j trace vm` printed");
        else if (!json_is_object(row) || !text_of(row, "event")) {
            n_bad++;
            first_bad = first_bad ? first_bad : number;
        } else {
            n_rows++;
            if (!another(row, vsi))
                row_add(s, json_incref(row));
        }
        json_decref(row);
    }
    if (rc == DONE && ferror(f))
        rc = file_fault(path, strerror(errno));
    else if (rc == DONE && !n_rows && number)
        rc = file_fault(
            path, "no row of a trace; give what `berth -j trace vm` printed");
    else if (rc == DONE && n_bad)
        fprintf(stderr,
            "berth: %s: left out %lu lines that are no rows, the first is "
            "line %lu\n",
            path, n_bad, first_bad);
    free(line);
    fclose(f);
    return rc;
}

static int
from_socket(
    struct trace_story *s, const char *path, json_t *request, uint64_t timeout_us)
{
    struct host_err err = {{0}};
    char *text = json_dumps(request, JSON_COMPACT), why[512] = "";
    int rc;
    if (!text)
        abort();
    note_set("what listens", path);
    rc = control_call(path, text, on_line, s, timeout_us, &err);
    note_clear();
    free(text);
    out_clean(why, sizeof(why), err.text);
    if (rc)
        fprintf(stderr, "berth: %s: %s\n", path, why);
    return rc == 0 ? DONE : rc == -EREMOTEIO ? REFUSED : UNREACHED;
}

static void
keys_of(const struct trace_story *s, json_t *keys)
{
    for (size_t i = 0; i < s->n; i++) {
        const char *mac = text_of(s->rows[i], "mac");
        json_int_t vni = json_integer_value(json_object_get(s->rows[i], "vni"));
        char key[64];
        size_t k, n = json_array_size(keys);
        if (!mac || !vni)
            continue;
        snprintf(key, sizeof(key), "%lld/%s", (long long)vni, mac);
        for (k = 0; k < n; k++)
            if (strcmp(json_string_value(json_array_get(keys, k)), key) == 0)
                break;
        if (k == n && n < KEYS_MAX)
            json_array_append_new(keys, json_string(key));
    }
}

static int
by_time(const void *a, const void *b)
{
    double x = trace_at(*(json_t *const *)a), y = trace_at(*(json_t *const *)b);
    return (x > y) - (x < y);
}

/* Those that were named; else of the usual places those that exist. */
static json_t *
sockets_of(const struct cli_call *call, const char *socket)
{
    json_t *named = json_object_get(call->local, "at"), *all;
    if (named)
        return json_incref(named);
    all = json_array();
    if (socket)
        json_array_append_new(all, json_string(socket));
    for (int i = 0; !socket && i < CLI_N_DAEMONS; i++)
        if (access(cli_daemons[i].socket, F_OK) == 0)
            json_array_append_new(all, json_string(cli_daemons[i].socket));
    return all;
}

/* What a daemon does not say is missing, and said to be: the others are asked all the
 * same. */
static int
ask_all(const struct cli_call *call, struct trace_story *s, json_t *at)
{
    json_t *request = json_pack("{s:s,s:s}", "cmd", "trace", "vsi",
               json_string_value(json_object_get(call->local, "vsi"))),
           *keys = json_array(), *v;
    size_t i, given = s->n, n_at = json_array_size(at);
    int *said = calloc(n_at + 1, sizeof(*said)), rc = DONE;
    if (!said)
        abort();
    keys_of(s, keys);
    for (int turn = 0; turn < 2; turn++) {
        rows_drop(s, given);
        json_array_foreach(at, i, v)
        {
            if (said[i] == DONE)
                said[i] =
                    from_socket(s, json_string_value(v), request, call->timeout_us);
        }
        keys_of(s, keys);
        if (json_array_size(keys) == 0)
            break;
        json_object_set(request, "keys", keys);
    }
    for (i = 0; i < n_at; i++)
        rc = said[i] > rc ? said[i] : rc;
    free(said);
    json_decref(keys);
    json_decref(request);
    return rc;
}

static int
gather(const struct cli_call *call, const char *socket, struct trace_story *s)
{
    json_t *at = sockets_of(call, socket), *from = json_object_get(call->local, "from");
    const char *vsi = json_string_value(json_object_get(call->local, "vsi"));
    json_t *v;
    size_t i, octets = 0;
    int rc = DONE;
    json_array_foreach(from, i, v)
    {
        if (rc == DONE)
            rc = from_file(s, json_string_value(v), vsi, &octets);
    }
    if (rc == DONE)
        rc = ask_all(call, s, at);
    if (rc == DONE && json_array_size(at) + json_array_size(from) == 0) {
        fprintf(stderr,
            "berth: no daemon's socket is in /run/berth; name them with --at, "
            "or give files with --from\n");
        rc = UNREACHED;
    }
    if (s->n == ROWS_MAX)
        fprintf(stderr, "berth: more than %d events: the rest is left out\n", ROWS_MAX);
    json_decref(at);
    if (s->n)
        qsort(s->rows, s->n, sizeof(json_t *), by_time);
    return rc;
}

/* Only the last migration: from a moment before its epoch was asked for. */
static void
last_migration(struct trace_story *s)
{
    double start = 0;
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        const char *op = text_of(s->rows[i], "op");
        bool begins = op && strcmp(op, "immigrate-prepare") == 0;
        if (begins && strcmp(text_of(s->rows[i], "event"), "request") == 0)
            start = trace_at(s->rows[i]) - BEFORE_S;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (trace_at(s->rows[i]) < start)
            json_decref(s->rows[i]);
        else
            s->rows[kept++] = s->rows[i];
    }
    s->n = kept;
}

/* ---- lanes ---- */

static const char *const lane_order[] = {"berth-tes", "berth-nve", "berth-nva", NULL};

static size_t
lane_named(const struct trace_story *s, const char *program, const char *name)
{
    size_t i = 0;
    while (i < s->n_lanes && (strcmp(s->lanes[i].program, program) != 0 ||
                                 strcmp(s->lanes[i].name, name) != 0))
        i++;
    return i;
}

/* In the order in which they first spoke, servers first. */
static void
lanes_make(struct trace_story *s)
{
    s->lane = calloc(s->n, sizeof(*s->lane));
    if (!s->lane)
        abort();
    for (const char *const *kind = lane_order; *kind; kind++)
        for (size_t i = 0; i < s->n; i++) {
            const char *program = text_of(s->rows[i], "program");
            const char *name = text_of(s->rows[i], "name");
            struct trace_lane *l;
            if (strcmp(program, *kind) != 0)
                continue;
            name = name ? name : "";
            s->lane[i] = lane_named(s, program, name);
            if (s->lane[i] < s->n_lanes)
                continue;
            s->lanes = realloc(s->lanes, (s->n_lanes + 1) * sizeof(*s->lanes));
            if (!s->lanes)
                abort();
            l = &s->lanes[s->n_lanes++];
            *l = (struct trace_lane){.program = program, .name = name};
            l->self = text_of(s->rows[i], "self");
            out_clean(l->label, sizeof(l->label), program + strlen("berth-"));
            out_clean(l->label, sizeof(l->label), " ");
            out_clean(l->label, sizeof(l->label), name);
        }
}

static size_t
lane_with(const struct trace_story *s, const char *program, const char *self)
{
    size_t i = 0;
    while (i < s->n_lanes &&
           (strcmp(s->lanes[i].program, program) != 0 ||
               (self && (!s->lanes[i].self || strcmp(s->lanes[i].self, self) != 0))))
        i++;
    return i;
}

/* The server that spoke to this edge: the last one with a command before. */
static size_t
server_before(const struct trace_story *s, size_t row)
{
    for (size_t n = LOOK_BACK; n && row--; n--) {
        const char *event = text_of(s->rows[row], "event");
        if (strcmp(s->lanes[s->lane[row]].program, "berth-tes") == 0 &&
            (strcmp(event, "command") == 0 || strcmp(event, "hypervisor") == 0))
            return s->lane[row];
    }
    return s->n_lanes;
}

static size_t
asker_before(const struct trace_story *s, size_t row)
{
    size_t n = LOOK_BACK;
    const char *op = text_of(s->rows[row], "op");
    for (size_t i = row; n && i--; n--) {
        const char *was = text_of(s->rows[i], "op");
        if (s->lane[i] == s->lane[row] &&
            strcmp(text_of(s->rows[i], "event"), "request") == 0 &&
            (!op || (was && strcmp(op, was) == 0)))
            return server_before(s, i);
    }
    return s->n_lanes;
}

enum other { SERVER, ASKER, AUTHORITY, PEER };
static const struct {
    const char *event;
    enum other other;
    bool in;
} messages[] = {
    {"request",    SERVER,    true },
    {"answer",     ASKER,     false},
    {"notice",     ASKER,     false},
    {"reserve",    AUTHORITY, false},
    {"register",   AUTHORITY, false},
    {"withdraw",   AUTHORITY, false},
    {"granted",    AUTHORITY, true },
    {"reserved",   AUTHORITY, true },
    {"registered", AUTHORITY, true },
    {"refused",    AUTHORITY, true },
    {"mapped",     AUTHORITY, true },
    {"unmapped",   AUTHORITY, true },
    {"confirmed",  AUTHORITY, true },
    {"remote",     PEER,      false},
    {"relay",      PEER,      false},
    {"relayed",    PEER,      true },
    {"redirect",   PEER,      false},
    {"redirected", PEER,      true },
};

size_t
trace_other(const struct trace_story *s, size_t row, bool *in)
{
    const json_t *r = s->rows[row];
    const char *event = text_of(r, "event"), *peer = text_of(r, "peer");
    if (strcmp(text_of(r, "program"), "berth-nve") != 0)
        return s->n_lanes;
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        if (strcmp(messages[i].event, event) != 0)
            continue;
        *in = messages[i].in;
        switch (messages[i].other) {
        case SERVER:
            return server_before(s, row);
        case ASKER:
            return asker_before(s, row);
        case AUTHORITY:
            return lane_with(s, "berth-nva", NULL);
        case PEER:
            return peer ? lane_with(s, "berth-nve", peer) : s->n_lanes;
        }
    }
    return s->n_lanes;
}

/* ---- for people ---- */

const char *
trace_words(const json_t *row, char *text, size_t size)
{
    static const struct {
        const char *key, *before;
    } parts[] = {
        {"op",        " "           },
        {"word",      " "           },
        {"peer",      " "           },
        {"epoch",     ", epoch "    },
        {"migration", ", migration "},
        {"vid",       ", tag "      },
        {"frames",    ", frames "   },
        {"dropped",   ", dropped "  },
    };
    const char *code = text_of(row, "code");
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && at < size; i++) {
        const json_t *v = json_object_get(row, parts[i].key);
        if (json_is_string(v))
            at += (size_t)snprintf(
                text + at, size - at, "%s%s", parts[i].before, json_string_value(v));
        else if (json_is_integer(v))
            at += (size_t)snprintf(text + at, size - at, "%s%lld", parts[i].before,
                (long long)json_integer_value(v));
        if (i == 0 && code && strcmp(text_of(row, "event"), "answer") == 0 && at < size)
            at += (size_t)snprintf(text + at, size - at, " %s", code);
    }
    return text + strspn(text, ", ");
}

static void
print_text(const struct trace_story *s)
{
    int width = 8;
    char words[512], seen[640], event[64];
    for (size_t i = 0; i < s->n_lanes; i++)
        if ((int)strlen(s->lanes[i].label) > width)
            width = (int)strlen(s->lanes[i].label);
    printf("%12s  %-*s  %-10s  %s\n", "TIME", width, "WHERE", "EVENT", "WHAT");
    for (size_t i = 0; i < s->n; i++) {
        event[0] = seen[0] = '\0';
        out_clean(event, sizeof(event), text_of(s->rows[i], "event"));
        out_clean(seen, sizeof(seen), trace_words(s->rows[i], words, sizeof(words)));
        printf("%9.3f ms  %-*s  %-10s  %s\n",
            (trace_at(s->rows[i]) - trace_at(s->rows[0])) * 1e3, width,
            s->lanes[s->lane[i]].label, event, seen);
    }
}

static int
picture(const struct trace_story *s, const char *vsi, const char *path)
{
    FILE *f = fopen(path, "w");
    int rc;
    if (!f) {
        fprintf(stderr, "berth: %s: %s\n", path, strerror(errno));
        return REFUSED;
    }
    rc = trace_svg(s, vsi, f);
    if (fclose(f))
        rc = -errno;
    if (rc)
        fprintf(stderr, "berth: cannot write %s: %s\n", path, strerror(-rc));
    return rc ? REFUSED : DONE;
}

int
trace_run(const struct cli_call *call)
{
    const char *vsi = text_of(call->local, "vsi"), *env = getenv("BERTH_SOCKET");
    const char *path = call->output;
    struct trace_story s = {0};
    int rc, drawn = DONE;
    rc = gather(call, call->socket ? call->socket : env && *env ? env : NULL, &s);
    if (!json_is_true(json_object_get(call->local, "all")) && s.n)
        last_migration(&s);
    if (rc == DONE && !s.n)
        fprintf(stderr,
            "berth: no daemon remembers %s; look for it with `berth show "
            "attachments` or `berth show vms`\n",
            vsi);
    if (s.n) {
        lanes_make(&s);
        if (call->json)
            for (size_t i = 0; i < s.n; i++) {
                json_dumpf(s.rows[i], stdout, JSON_COMPACT | JSON_REAL_PRECISION(16));
                putchar('\n');
            }
        else if (!path)
            print_text(&s);
        if (path)
            drawn = picture(&s, vsi, path);
    }
    rows_drop(&s, 0);
    free(s.rows);
    free(s.lane);
    free(s.lanes);
    if (fflush(stdout) || ferror(stdout))
        return REFUSED;
    return drawn == DONE ? rc : drawn;
}
