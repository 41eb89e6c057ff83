/* SPDX-License-Identifier: Apache-2.0 */
/* Requests are matched against the node's table; a listing's reader stands in a small
 * array until its walk has ended. Answers wait in a queue that is drained by pulling; a
 * piece is made only when the reader has taken the one before. */
#include "node/ctl_rows.h"
#include "base/log.h"
#include "base/mem.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PIECE   32768 /* octets of one output */
#define ROW_MAX 4096  /* octets that a row may need */
#define CLIENTS 256   /* listings at once */

struct listing {
    struct ctl_reader r;
    ctl_next_fn next;
};
struct text {
    uint64_t conn;
    uint8_t last;
    char *p;
    uint32_t size;
};
struct ctl_rows {
    const char *program;
    const struct ctl_command *commands;
    void *node;
    struct listing listings[CLIENTS];
    uint32_t n_listings;
    struct fifo out; /* of struct text */
    char *lent;
};

struct ctl_rows *
ctl_rows_new(const char *program, const struct ctl_command *commands, void *node)
{
    struct ctl_rows *c = mem_alloc(sizeof *c);
    c->program = program;
    c->commands = commands;
    c->node = node;
    fifo_init(&c->out, sizeof(struct text));
    return c;
}

static void
say(struct ctl_rows *c, uint64_t conn, uint8_t last, char *p, uint32_t size)
{
    struct text *t = fifo_push(&c->out);
    t->conn = conn;
    t->last = last;
    t->p = p;
    t->size = size;
}

void
ctl_rows_ok(struct ctl_rows *c, uint64_t conn)
{
    say(c, conn, CTL_OK, NULL, 0);
}

void
ctl_rows_fail(struct ctl_rows *c, uint64_t conn, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    char *p = mem_strdup(text);
    say(c, conn, CTL_ERROR, p, (uint32_t)strlen(p));
}

/* Appends one line; false: longer than any row can be, left out. */
static bool
line(char *text, uint32_t *size, json_t *row)
{
    uint32_t room = PIECE - *size - 1;
    size_t got =
        json_dumpb(row, text + *size, room, JSON_COMPACT | JSON_REAL_PRECISION(16));
    json_decref(row);
    if (!got || got > room)
        return false;
    text[*size + got] = '\n';
    *size += (uint32_t)got + 1;
    return true;
}

void
ctl_rows_one(struct ctl_rows *c, uint64_t conn, json_t *row)
{
    char *text = mem_alloc(PIECE);
    uint32_t size = 0;
    line(text, &size, row);
    say(c, conn, CTL_OK, text, size);
}

/* ---- listings ---- */

static struct listing *
listing_of(struct ctl_rows *c, uint64_t conn)
{
    for (uint32_t i = 0; i < c->n_listings; i++)
        if (c->listings[i].r.conn == conn)
            return &c->listings[i];
    return NULL;
}

static void
listing_end(struct ctl_rows *c, struct listing *l)
{
    json_decref(l->r.args);
    *l = c->listings[--c->n_listings];
}

static void
piece(struct ctl_rows *c, struct listing *l, uint32_t room)
{
    char *text = mem_alloc(PIECE);
    uint32_t size = 0, top = room && room < PIECE ? room : PIECE;
    json_t *row;
    while (size + ROW_MAX <= top || !size) {
        row = l->next(c->node, &l->r);
        if (!row) {
            uint64_t conn = l->r.conn;
            listing_end(c, l);
            say(c, conn, CTL_OK, text, size);
            return;
        }
        line(text, &size, row);
    }
    say(c, l->r.conn, CTL_MORE, text, size);
}

bool
ctl_rows_list_later(struct ctl_rows *c, uint64_t conn, json_t *args, ctl_next_fn next)
{
    if (c->n_listings == CLIENTS || listing_of(c, conn)) {
        ctl_rows_fail(c, conn, "too many listings at once: try again");
        return false;
    }
    struct listing *l = &c->listings[c->n_listings++];
    *l = (struct listing){
        .r = {.conn = conn, .args = json_incref(args)},
          .next = next
    };
    return true;
}

void
ctl_rows_more(struct ctl_rows *c, uint64_t conn, uint32_t room)
{
    struct listing *l = listing_of(c, conn);
    if (l)
        piece(c, l, room);
}

void
ctl_rows_gone(struct ctl_rows *c, uint64_t conn)
{
    struct listing *l = listing_of(c, conn);
    if (l)
        listing_end(c, l);
}

/* ---- requests ---- */

static void
run_log(struct ctl_rows *c, uint64_t conn, json_t *args)
{
    const char *module = json_string_value(json_object_get(args, "module"));
    const char *word = json_string_value(json_object_get(args, "level"));
    enum log_level level;
    if (!word || !log_level_parse(word, &level))
        ctl_rows_fail(
            c, conn, "log: level is one of error, warning, notice, info, debug");
    else if (!log_set_level(module ? module : "*", level))
        ctl_rows_fail(c, conn, "log: too many modules have a level of their own");
    else
        ctl_rows_ok(c, conn);
}

void
ctl_rows_list(struct ctl_rows *c, uint64_t conn, json_t *args, ctl_next_fn next)
{
    if (ctl_rows_list_later(c, conn, args, next))
        ctl_rows_more(c, conn, PIECE);
}

void
ctl_rows_request(struct ctl_rows *c, uint64_t conn, const uint8_t *p, uint32_t size)
{
    json_error_t err;
    json_t *args = json_loadb((const char *)p, size, JSON_REJECT_DUPLICATES, &err);
    const char *cmd = json_string_value(json_object_get(args, "cmd"));
    const struct ctl_command *k = c->commands;
    if (!cmd) {
        ctl_rows_fail(c, conn, "a request is one JSON object with \"cmd\"%s%s",
            args ? "" : ": ", args ? "" : err.text);
        json_decref(args);
        return;
    }
    while (k->name && strcmp(cmd, k->name))
        k++;
    if (k->name && k->run)
        k->run(c->node, conn, args);
    else if (k->name)
        ctl_rows_list(c, conn, args, k->list);
    else if (!strcmp(cmd, "log"))
        run_log(c, conn, args);
    else
        ctl_rows_fail(
            c, conn, "%s does not know \"%.64s\"; see berth --help", c->program, cmd);
    json_decref(args);
}

bool
ctl_rows_output(struct ctl_rows *c, struct ctl_answer *out)
{
    struct text t;
    mem_free(c->lent);
    c->lent = NULL;
    if (!fifo_pop(&c->out, &t))
        return false;
    *out = (struct ctl_answer){t.conn, t.last, (const uint8_t *)t.p, t.size};
    c->lent = t.p;
    return true;
}

void
ctl_rows_free(struct ctl_rows *c)
{
    struct text t;
    if (!c)
        return;
    while (c->n_listings)
        listing_end(c, &c->listings[0]);
    while (fifo_pop(&c->out, &t))
        mem_free(t.p);
    mem_free(c->lent);
    fifo_done(&c->out);
    mem_free(c);
}

/* ---- words of rows ---- */

double
ctl_rows_seconds(uint64_t us)
{
    return (double)us / 1e6;
}

json_t *
ctl_rows_epoch(uint64_t epoch)
{
    char t[24];
    snprintf(t, sizeof t, "%llu", (unsigned long long)epoch);
    return json_string(t);
}

json_t *
ctl_rows_mac(const struct mac *m)
{
    char t[MAC_STR];
    return json_string(mac_str(m, t));
}

json_t *
ctl_rows_ip(const struct ip *ip)
{
    char t[IP_STR];
    return ip_is_none(ip) ? json_null() : json_string(ip_str(ip, t));
}

json_t *
ctl_rows_ips(const struct ip *ips, uint8_t n)
{
    json_t *a = json_array();
    for (uint8_t i = 0; i < n; i++)
        json_array_append_new(a, ctl_rows_ip(&ips[i]));
    return a;
}

/* In the order of enum dp_arp_policy. */
static const char *const arp_words[] = {"suppress", "flood", "own-mac", "translate"};

const char *
ctl_rows_arp_word(uint8_t arp)
{
    return arp < sizeof arp_words / sizeof arp_words[0] ? arp_words[arp] : "?";
}

int
ctl_rows_arp_parse(const char *word)
{
    for (int i = 0; i < (int)(sizeof arp_words / sizeof arp_words[0]); i++)
        if (!strcmp(word, arp_words[i]))
            return i;
    return -1;
}

static bool
holds(json_t *value, json_t *want)
{
    if (json_is_array(value)) {
        size_t i;
        json_t *v;
        json_array_foreach(value, i, v) if (json_equal(want, v)) return true;
        return false;
    }
    return json_equal(want, value);
}

bool
ctl_rows_fits(const struct ctl_reader *r, json_t *row, const char *const *keys)
{
    for (; *keys; keys++) {
        json_t *want = json_object_get(r->args, *keys);
        json_t *value = json_object_get(row, *keys);
        if (!value && !strcmp(*keys, "ip"))
            value = json_object_get(row, "ips");
        if (want && !(value && holds(value, want))) {
            json_decref(row);
            return false;
        }
    }
    return true;
}

json_t *
ctl_rows_counter(const char *group, const char *name, uint64_t value, const char *help)
{
    return json_pack("{s:s,s:s,s:I,s:s*}", "group", group, "name", name, "value",
        (json_int_t)value, "help", help);
}

json_t *
ctl_rows_setting(const struct setting *s, uint64_t value)
{
    uint64_t v = value == SETTING_ZERO ? 0 : value ? value : s->def;
    size_t n = strlen(s->name);
    const char *clause = s->clause ? s->clause : "";
    bool us = (n > 3 && !strcmp(s->name + n - 3, "_us")) || !strncmp(s->name, "t_", 2);
    if (us)
        return json_pack("{s:s,s:f,s:f,s:f,s:f,s:s,s:s}", "name", s->name, "value_s",
            ctl_rows_seconds(v), "default_s", ctl_rows_seconds(s->def), "min_s",
            ctl_rows_seconds(s->min), "max_s", ctl_rows_seconds(s->max), "clause",
            clause, "help", s->help);
    return json_pack("{s:s,s:I,s:I,s:I,s:I,s:s,s:s}", "name", s->name, "value",
        (json_int_t)v, "default", (json_int_t)s->def, "min", (json_int_t)s->min, "max",
        (json_int_t)s->max, "clause", clause, "help", s->help);
}

json_t *
ctl_rows_ping(const char *program, const char *name, uint64_t uptime_us)
{
    return json_pack("{s:s,s:s,s:s,s:f}", "program", program, "version", BERTH_VERSION,
        "name", name, "uptime_s", ctl_rows_seconds(uptime_us));
}
