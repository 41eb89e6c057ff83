/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket's commands at an NVE (doc/protocol/control.md). A command is a table
 * row; a listing is a walk with a cursor, made in pieces as its reader takes them, so a
 * hundred thousand rows never stand in memory at once. Keys are stable: add, never rename. */
#include "nve/node_int.h"
#include "base/log.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define PIECE    32768                   /* octets of one output */
#define CLIENTS  256

struct reader;
typedef json_t *(*next_fn)(struct ctl *c, struct reader *r);
struct reader {
    uint64_t conn;
    next_fn next;
    json_t *args;
    uint32_t it, it2;
};
struct answer {
    uint64_t conn;
    uint8_t last;
    char *text;
    uint32_t size;
};
struct ctl {
    struct nve *n;
    struct reader readers[CLIENTS];
    uint32_t n_readers;
    struct fifo out;                     /* of struct answer */
    struct fifo wait;                    /* of uint64_t: want fresh data-plane counters */
    bool ask;                            /* counters must be asked for */
    char *lent;
};

static void
say(struct ctl *c, uint64_t conn, uint8_t last, char *text, uint32_t size)
{
    struct answer *a = fifo_push(&c->out);
    a->conn = conn;
    a->last = last;
    a->text = text;
    a->size = size;
}

static void
fail(struct ctl *c, uint64_t conn, const char *sentence)
{
    char *t = mem_strdup(sentence);
    say(c, conn, CONTROL_ERROR, t, (uint32_t)strlen(t));
}

static struct reader *
reader_of(struct ctl *c, uint64_t conn)
{
    for (uint32_t i = 0; i < c->n_readers; i++)
        if (c->readers[i].conn == conn)
            return &c->readers[i];
    return NULL;
}

static void
reader_end(struct ctl *c, struct reader *r)
{
    json_decref(r->args);
    *r = c->readers[--c->n_readers];
}

static void
piece(struct ctl *c, struct reader *r, uint32_t room)
{
    char *text = mem_alloc(PIECE);
    uint32_t size = 0, top = room && room < PIECE ? room : PIECE;
    json_t *row;
    while (size + 4096 <= top || !size) {
        row = r->next(c, r);
        if (!row) {
            uint64_t conn = r->conn;
            reader_end(c, r);
            say(c, conn, CONTROL_OK, text, size);
            return;
        }
        size_t got = json_dumpb(row, text + size, PIECE - size - 1, JSON_COMPACT);
        json_decref(row);
        if (got > PIECE - size - 1)
            continue;                    /* longer than any row can be: left out */
        text[size + got] = '\n';
        size += (uint32_t)got + 1;
    }
    say(c, r->conn, CONTROL_MORE, text, size);
}

static void
list(struct ctl *c, uint64_t conn, json_t *args, next_fn next)
{
    if (c->n_readers == CLIENTS) {
        fail(c, conn, "too many listings at once: try again");
        return;
    }
    struct reader *r = &c->readers[c->n_readers++];
    memset(r, 0, sizeof *r);
    r->conn = conn;
    r->next = next;
    r->args = json_incref(args);
    piece(c, r, PIECE);
}

/* ---- words of rows ---- */

static double
seconds(uint64_t us)
{
    return (double)us / 1e6;
}

static json_t *
epoch_json(uint64_t epoch)
{
    char t[24];
    snprintf(t, sizeof t, "%llu", (unsigned long long)epoch);
    return json_string(t);
}

static json_t *
mac_json(const struct mac *m)
{
    char t[MAC_STR];
    return json_string(mac_str(m, t));
}

static json_t *
ips_json(const struct ip *ips, uint8_t n)
{
    char t[IP_STR];
    json_t *a = json_array();
    for (uint8_t i = 0; i < n; i++)
        json_array_append_new(a, json_string(ip_str(&ips[i], t)));
    return a;
}

static json_t *
vn_name(struct ctl *c, uint32_t vni)
{
    struct vn_rec vn;
    return edge_vn_get(c->n->edge, vni, &vn) && vn.name[0] ? json_string(vn.name) : json_null();
}

static const char *
port_name(struct ctl *c, uint32_t port)
{
    const char *name = port >= 1 && port <= c->n->conf.n_ports ? c->n->port_names[port - 1] : NULL;
    return name ? name : "?";
}

/* Does the row have what the request names? Absent = any. */
static bool
wanted(json_t *args, const char *key, json_t *value)
{
    json_t *w = json_object_get(args, key);
    if (!w)
        return true;
    if (json_is_integer(w) && json_is_integer(value))
        return json_integer_value(w) == json_integer_value(value);
    if (json_is_array(value)) {
        size_t i;
        json_t *v;
        json_array_foreach(value, i, v)
            if (json_equal(w, v))
                return true;
        return false;
    }
    return json_equal(w, value);
}

/* A row that does not fit the request is dropped, and the walk goes on. */
static bool
fits(struct reader *r, json_t *row, const char *const *keys)
{
    for (; *keys; keys++) {
        const char *in = strcmp(*keys, "ip") ? *keys : "ips";
        json_t *w = json_object_get(r->args, *keys);
        if (w && !json_object_get(row, in))
            continue;
        if (!wanted(r->args, *keys, json_object_get(row, in))) {
            json_decref(row);
            return false;
        }
    }
    return true;
}

/* ---- listings ---- */

static json_t *
next_attachment(struct ctl *c, struct reader *r)
{
    static const char *const keys[] = {"port", "vni", "mac", "vsi", "state", NULL};
    struct edge_att_view v;
    while (edge_each_attachment(c->n->edge, &r->it, &v, c->n->now_us)) {
        char id[VSIID_STR];
        json_t *row = json_pack("{s:s,s:s,s:s,s:o,s:i,s:o,s:o,s:i,s:i,s:o,s:b,s:b,s:i,s:f,s:f}",
            "port", port_name(c, v.port), "vsi", vsiid_str(&v.id, id), "state",
            att_state_str(v.state), "vn", vn_name(c, v.vni), "vni", (int)v.vni, "mac",
            v.wildcard && mac_is_none(&v.mac) ? json_null() : mac_json(&v.mac), "ips",
            ips_json(v.ips, v.n_ips), "vid", (int)v.vid, "pcp", (int)v.pcp, "epoch",
            epoch_json(v.epoch), "wildcard", (int)v.wildcard, "unpublished",
            (int)v.unpublished, "waiting", (int)v.waiting, "age_s", seconds(v.age_us),
            "idle_left_s", seconds(v.idle_left_us));
        if (fits(r, row, keys))
            return row;
    }
    return NULL;
}

static json_t *
next_tag(struct ctl *c, struct reader *r)
{
    static const char *const keys[] = {"port", "vni", "vid", "state", NULL};
    struct edge_tag_view v;
    while (edge_each_tag(c->n->edge, &r->it, &v, c->n->now_us)) {
        json_t *row = json_pack("{s:s,s:i,s:i,s:o,s:s,s:i,s:f}", "port",
            port_name(c, edge_domain_port(c->n->edge, v.domain)), "vid", (int)v.vid, "vni",
            (int)v.vni, "vn", vn_name(c, v.vni), "state", tag_state_str(v.state), "refs",
            (int)v.refs, "hold_left_s", seconds(v.hold_left_us));
        if (fits(r, row, keys))
            return row;
    }
    return NULL;
}

static json_t *
next_mapping(struct ctl *c, struct reader *r)
{
    static const char *const keys[] = {"vni", "mac", "ip", "owner", NULL};
    struct edge_map_view v;
    char t[IP_STR];
    while (edge_each_mapping(c->n->edge, &r->it, &v)) {
        json_t *row = json_pack("{s:i,s:o,s:o,s:o,s:s,s:b,s:o,s:b,s:b}", "vni",
            (int)v.rec.vni, "vn", vn_name(c, v.rec.vni), "mac", mac_json(&v.rec.mac), "ips",
            ips_json(v.rec.ips, v.rec.n_ips), "owner", ip_str(&v.rec.owner, t), "local",
            (int)v.local, "epoch", epoch_json(v.rec.epoch), "stale", (int)v.stale, "tombstone",
            (int)v.tomb);
        if (fits(r, row, keys))
            return row;
    }
    return NULL;
}

static const char *
arp_word(uint8_t arp)
{
    static const char *const words[] = {"suppress", "flood", "own-mac", "translate"};
    return arp < sizeof words / sizeof words[0] ? words[arp] : "?";
}

static json_t *
next_vn(struct ctl *c, struct reader *r)
{
    struct vn_rec v;
    if (!edge_each_vn(c->n->edge, &r->it, &v))
        return NULL;
    return json_pack("{s:i,s:s,s:i,s:s,s:s,s:b}", "vni", (int)v.vni, "name", v.name, "mtu",
        (int)v.mtu, "arp", arp_word(v.arp), "reply",
        v.centralised ? "centralised" : "distributed", "pull", (int)v.pull);
}

static json_t *
next_port(struct ctl *c, struct reader *r)
{
    static const char *const natives[] = {"drop", "pass", "vn"};
    struct tns_vdp_view v;
    char t[MAC_STR];
    do {
        if (++r->it > c->n->conf.n_ports)
            return NULL;
    } while (!c->n->port_names[r->it - 1]);
    tns_vdp_view(c->n->vdp, r->it, &v);
    const struct edge_port_conf *p = &c->n->conf.ports[r->it - 1].edge;
    return json_pack("{s:i,s:s,s:b,s:s,s:s*,s:b,s:b,s:i,s:i,s:i}", "port", (int)r->it, "name",
        p->name, "up", (int)v.up, "native", natives[p->native], "station",
        v.station ? mac_str(&v.peer, t) : NULL, "berth", (int)v.berth, "reflective_relay",
        (int)v.reflective_relay, "rte", (int)v.rte, "rka", (int)v.rka, "attachments",
        (int)v.vsis);
}

static json_t *
counter_row(const char *group, const char *name, uint64_t value, const char *help)
{
    return json_pack("{s:s,s:s,s:I,s:s*}", "group", group, "name", name, "value",
        (json_int_t)value, "help", help);
}

static json_t *
next_counter(struct ctl *c, struct reader *r)
{
    const char *group, *name;
    uint64_t value;
    if (r->it < DPC_N) {
        uint32_t i = r->it++;
        return counter_row("data-plane", dp_counter_name(i), c->n->dp_counters[i],
            dp_counter_help(i));
    }
    if (r->it < DPC_N + EDGEC_N) {
        uint32_t i = r->it++ - DPC_N;
        return counter_row("edge", edge_counter_name(i), edge_counter(c->n->edge, i), NULL);
    }
    if (tns_vdp_counter(c->n->vdp, &r->it2, &group, &name, &value))
        return counter_row(group, name, value, NULL);
    if (!(r->it & 0x80000000u)) {
        r->it |= 0x80000000u;
        r->it2 = 0;
    }
    if (c->n->lisp && map_lisp_counter(c->n->lisp, &r->it2, &group, &name, &value))
        return counter_row(group, name, value, NULL);
    return NULL;
}

static json_t *
next_session(struct ctl *c, struct reader *r)
{
    struct map_lisp_view v;
    if (r->it++ || !c->n->lisp)
        return NULL;
    map_lisp_view(c->n->lisp, &v);
    return json_pack("{s:s,s:s,s:f,s:I,s:I,s:I,s:I}", "peer", "authority", "state", v.state,
        "since_s", seconds(c->n->now_us - v.since_us), "sent", (json_int_t)v.sent, "received",
        (json_int_t)v.received, "registered", (json_int_t)v.registered, "unacknowledged",
        (json_int_t)v.unacknowledged);
}

static json_t *
next_timer(struct ctl *c, struct reader *r)
{
    if (r->it >= SET_N)
        return NULL;
    const struct setting *s = &edge_settings[r->it];
    uint64_t set = c->n->conf.edge.settings[r->it], v = set ? set : s->def;
    size_t len = strlen(s->name);
    bool us = len > 3 && !strcmp(s->name + len - 3, "_us");
    r->it++;
    if (us)
        return json_pack("{s:s,s:f,s:f,s:f,s:f,s:s,s:s}", "name", s->name, "value_s",
            seconds(v), "default_s", seconds(s->def), "min_s", seconds(s->min), "max_s",
            seconds(s->max), "clause", s->clause, "help", s->help);
    return json_pack("{s:s,s:I,s:I,s:I,s:I,s:s,s:s}", "name", s->name, "value", (json_int_t)v,
        "default", (json_int_t)s->def, "min", (json_int_t)s->min, "max", (json_int_t)s->max,
        "clause", s->clause, "help", s->help);
}

static json_t *
next_ping(struct ctl *c, struct reader *r)
{
    if (r->it++)
        return NULL;
    return json_pack("{s:s,s:s,s:s,s:f}", "program", "berth-nve", "version", BERTH_VERSION,
        "name", c->n->name, "uptime_s", seconds(c->n->now_us - c->n->started_us));
}

/* ---- commands ---- */

static void
cmd_counters(struct ctl *c, uint64_t conn, json_t *args)
{
    /* the numbers are read afresh: the listing waits for main's answer */
    if (c->n_readers == CLIENTS) {
        fail(c, conn, "too many listings at once: try again");
        return;
    }
    struct reader *r = &c->readers[c->n_readers++];
    memset(r, 0, sizeof *r);
    r->conn = conn;
    r->next = next_counter;
    r->args = json_incref(args);
    *(uint64_t *)fifo_push(&c->wait) = conn;
    c->ask = true;
}

static void
cmd_log(struct ctl *c, uint64_t conn, json_t *args)
{
    const char *module = json_string_value(json_object_get(args, "module"));
    const char *word = json_string_value(json_object_get(args, "level"));
    enum log_level level;
    if (!word || !log_level_parse(word, &level))
        fail(c, conn, "log: level is one of error, warning, notice, info, debug");
    else if (!log_set_level(module ? module : "*", level))
        fail(c, conn, "log: too many modules have a level of their own");
    else
        say(c, conn, CONTROL_OK, NULL, 0);
}

static const struct {
    const char *name;
    next_fn list;
    void (*run)(struct ctl *c, uint64_t conn, json_t *args);
} commands[] = {
    {"show attachments", next_attachment, NULL},
    {"show tags", next_tag, NULL},
    {"show mappings", next_mapping, NULL},
    {"show vns", next_vn, NULL},
    {"show ports", next_port, NULL},
    {"show counters", NULL, cmd_counters},
    {"show sessions", next_session, NULL},
    {"show timers", next_timer, NULL},
    {"log", NULL, cmd_log},
    {"ping", next_ping, NULL},
};

void
ctl_request(struct ctl *c, uint64_t conn, const uint8_t *p, uint32_t size)
{
    json_error_t err;
    char text[256];
    json_t *args = json_loadb((const char *)p, size, JSON_REJECT_DUPLICATES, &err);
    const char *cmd = json_string_value(json_object_get(args, "cmd"));
    if (!cmd) {
        snprintf(text, sizeof text, "a request is one JSON object with \"cmd\"%s%s",
            args ? "" : ": ", args ? "" : err.text);
        fail(c, conn, text);
        json_decref(args);
        return;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (!strcmp(cmd, commands[i].name)) {
            if (commands[i].list)
                list(c, conn, args, commands[i].list);
            else
                commands[i].run(c, conn, args);
            json_decref(args);
            return;
        }
    snprintf(text, sizeof text, "berth-nve does not know \"%.64s\"; see berth --help", cmd);
    fail(c, conn, text);
    json_decref(args);
}

void
ctl_more(struct ctl *c, uint64_t conn, uint32_t room)
{
    struct reader *r = reader_of(c, conn);
    if (r)
        piece(c, r, room);
}

void
ctl_gone(struct ctl *c, uint64_t conn)
{
    struct reader *r = reader_of(c, conn);
    if (r)
        reader_end(c, r);
}

void
ctl_counters(struct ctl *c)
{
    uint64_t conn;
    while (fifo_pop(&c->wait, &conn)) {
        struct reader *r = reader_of(c, conn);
        if (r)
            piece(c, r, PIECE);
    }
}

enum pulled
ctl_output(struct ctl *c, struct nve_out *out)
{
    struct answer a;
    mem_free(c->lent);
    c->lent = NULL;
    if (c->ask) {
        c->ask = false;
        out->type = NVE_OUT_COUNTERS;
        return PULLED_OUT;
    }
    if (!fifo_pop(&c->out, &a))
        return PULLED_NOTHING;
    out->type = NVE_OUT_CONTROL;
    out->conn = a.conn;
    out->last = a.last;
    out->p = (const uint8_t *)a.text;
    out->size = a.size;
    c->lent = a.text;
    return PULLED_OUT;
}

struct ctl *
ctl_new(struct nve *n)
{
    struct ctl *c = mem_alloc(sizeof *c);
    c->n = n;
    fifo_init(&c->out, sizeof(struct answer));
    fifo_init(&c->wait, sizeof(uint64_t));
    return c;
}

void
ctl_free(struct ctl *c)
{
    struct answer a;
    if (!c)
        return;
    while (c->n_readers)
        reader_end(c, &c->readers[0]);
    while (fifo_pop(&c->out, &a))
        mem_free(a.text);
    mem_free(c->lent);
    fifo_done(&c->out);
    fifo_done(&c->wait);
    mem_free(c);
}
