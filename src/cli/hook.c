/* SPDX-License-Identifier: Apache-2.0 */
/* berth-hook: libvirt runs it as its qemu and network hook (berth-tes(8), LIBVIRT). It
 * hands what libvirt says on to the agent, waits for the answer, and exits 1 with a
 * sentence on standard error to stop a VM from starting or coming, when the agent says
 * so or is not there. It stops nothing that ends, and no VM that is none of ours. It
 * makes no call to libvirt: the hook's caller holds the domain, and waits; so all that
 * it does ends in time. Tenants choose names: what it says of them is one line of
 * visible ASCII. */
#include "host/control.h"
#include "host/virt_xml.h"
#include <argp.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define SOCKET    "/run/berth/tes.sock"
#define WAIT_S    10
#define WAIT_END  2 /* for an operation that goes on in any case */
#define WAIT_MOST 3600
#define WAIT_MORE 1 /* for all besides the agent's answer */
#define SAY_MAX   512

enum { GOES_ON, STOPS }; /* what our failure does to the operation */
static const struct {
    const char *name;
    int when_failed;
} operations[] = {
    {"migrate",      STOPS  },
    {"prepare",      STOPS  },
    {"start",        STOPS  },
    {"port-created", STOPS  },
    {"stopped",      GOES_ON},
    {"release",      GOES_ON},
    {"port-deleted", GOES_ON},
};

struct hook {
    const char *socket;
    char *words[4]; /* object, operation, sub-operation, extra */
    unsigned n_words, wait_s;
    size_t size;
    char *xml;
};

static error_t
option(int key, char *arg, struct argp_state *state)
{
    struct hook *h = state->input;
    unsigned long n;
    char *end;
    switch (key) {
    case 's':
        h->socket = arg;
        return 0;
    case 't':
        n = strtoul(arg, &end, 10);
        if (*end || n < 1 || n > WAIT_MOST)
            argp_error(state, "--timeout is a number of seconds from 1 to 3600");
        h->wait_s = (unsigned)n;
        return 0;
    case ARGP_KEY_ARG:
        if (h->n_words == 4)
            argp_usage(state);
        h->words[h->n_words++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (h->n_words < 2)
            argp_usage(state);
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

/* All of it is read, also what is too long: libvirt waits for that. */
static void
read_xml(struct hook *h)
{
    char rest[65536];
    ssize_t n = 1;
    h->xml = malloc(VIRT_XML_MAX + 1);
    if (!h->xml)
        abort();
    while (n) {
        size_t room = VIRT_XML_MAX + 1 - h->size;
        n = read(0, room ? h->xml + h->size : rest, room ? room : sizeof(rest));
        if (n < 0 && errno != EINTR)
            break;
        if (n > 0 && room)
            h->size += (size_t)n;
    }
}

/* Appends; what is not visible ASCII is \xNN. */
static void
clean(char *line, const char *text)
{
    size_t n = strlen(line);
    for (; *text && n + 8 < SAY_MAX; text++) {
        unsigned char c = (unsigned char)*text;
        n += (size_t)snprintf(line + n, 5, c >= 0x20 && c < 0x7f ? "%c" : "\\x%02x", c);
    }
    if (*text)
        memcpy(line + n, "...", 4);
}

static int
say(const struct hook *h, const char *text)
{
    char line[SAY_MAX] = "", who[128] = "";
    snprintf(who, sizeof(who), "%s", h->words[0]);
    clean(line, who);
    clean(line, " ");
    clean(line, h->words[1]);
    clean(line, ": ");
    clean(line, text);
    fprintf(stderr, "berth: %s\n", line);
    return 1;
}

/* ---- the end, in any case ---- */

static char late[SAY_MAX]; /* written before the timer is set */
static int late_status;

static void
give_up(int signum)
{
    (void)signum;
    if (write(2, late, strlen(late)) < 0) {
        /* nobody reads it: the status says enough */
    }
    _exit(late_status);
}

/* A description that does not end, or an agent that says a little now and then: until
 * it is known whose VM it is, it may be ours. */
static void
end_by(const struct hook *h, bool stops)
{
    struct sigaction sa = {.sa_handler = give_up};
    struct itimerval t = {.it_value = {.tv_sec = h->wait_s + WAIT_MORE}};
    snprintf(late, sizeof(late), "berth: not done within %u s: given up\n",
        h->wait_s + WAIT_MORE);
    late_status = stops;
    sigaction(SIGALRM, &sa, NULL);
    setitimer(ITIMER_REAL, &t, NULL);
}

static int
ask(const struct hook *h)
{
    struct host_err err;
    json_t *facts = virt_xml_facts(h->xml, h->size, &err);
    char *request;
    bool ours;
    int rc;
    if (!facts)
        return say(h, err.text);
    if (json_object_get(facts, "network") && !json_object_get(facts, "port")) {
        json_decref(facts); /* the network itself: its operations have the same names */
        return 0;
    }
    ours = virt_xml_ours(facts);
    late_status = late_status && ours;
    json_object_set_new(facts, "cmd", json_string("hook"));
    json_object_set_new(facts, "op", json_string(h->words[1]));
    request = json_dumps(facts, JSON_COMPACT);
    json_decref(facts);
    if (!request)
        return say(h, "the description is no text");
    rc = control_call(
        h->socket, request, NULL, NULL, (uint64_t)h->wait_s * 1000000, &err);
    free(request);
    /* Without the agent a VM of ours has no network; of others we know nothing. */
    return rc && (ours || rc == -EREMOTEIO) ? say(h, err.text) : 0;
}

int
main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"socket",                                    's', "SOCKET", 0, "Control socket of berth-tes (" SOCKET ")", 0},
        {"timeout",                                   't', "SECONDS", 0, "How long the agent may take to answer (10)", 0},
        {0}
    };
    static const struct argp argp = {options, option,
        "OBJECT OPERATION [SUB-OPERATION [EXTRA]]",
        "libvirt's qemu and network hook of Berth: reads a description from standard "
        "input.",
        NULL, NULL, NULL};
    struct hook h = {.socket = SOCKET, .wait_s = WAIT_S};
    int rc = 0, op = -1;
    argp_program_version = "berth-hook " BERTH_VERSION;
    argp_parse(&argp, argc, argv, 0, NULL, &h);
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
        if (strcmp(h.words[1], operations[i].name) == 0)
            op = (int)i;
    if (op >= 0 && operations[op].when_failed == GOES_ON && h.wait_s > WAIT_END)
        h.wait_s = WAIT_END;
    end_by(&h, op >= 0 && operations[op].when_failed == STOPS);
    read_xml(&h);
    virt_xml_init();
    if (op >= 0)
        rc = ask(&h) && operations[op].when_failed == STOPS;
    virt_xml_done();
    free(h.xml);
    return rc;
}
