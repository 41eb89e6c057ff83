/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket's words (doc/protocol/control.md), one table row per command.
 * Several requests of one client may be open: each row and each last line repeats the
 * request's `id` if it had one. The last line begins with "ok". Long listings go out in
 * pieces. */
#include "node/trace.h"
#include "tes/virt.h"
#include "base/log.h"
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_AT_ONCE 128
#define JSON_FLAGS   (JSON_COMPACT | JSON_REAL_PRECISION(16))

struct call {
    struct tes *t;
    uint64_t conn;
    json_t *o;  /* the request */
    char *id;   /* owned; taken by who answers later */
    uint8_t op; /* vm commands */
};

/* --- lines --- */

static void
line(struct tes *t, uint64_t conn, json_t *o, bool last, bool more)
{
    size_t n = json_dumpb(o, NULL, 0, JSON_FLAGS);
    struct tes_out *out = tes_out_push(t, TES_OUT_CONTROL);
    char *text = arena_alloc(&t->arena, n + 1);
    json_dumpb(o, text, n, JSON_FLAGS);
    text[n] = '\0';
    out->conn = conn;
    out->last = last;
    out->more = more;
    out->p = (const uint8_t *)text;
    out->size = (uint32_t)n;
    json_decref(o);
}

static void
set(json_t *o, const char *key, json_t *value)
{
    json_object_set_new(o, key, value);
}

static void
set_id(json_t *o, const char *id)
{
    if (id)
        set(o, "id", json_loadb(id, strlen(id), JSON_DECODE_ANY, NULL));
}

static void
row(struct tes *t, uint64_t conn, const char *id, json_t *o, bool more)
{
    set_id(o, id);
    line(t, conn, o, false, more);
}

void
ctl_end(struct tes *t, uint64_t conn, const char *id)
{
    json_t *o = json_object();
    set(o, "ok", json_true());
    set_id(o, id);
    line(t, conn, o, true, false);
}

void
ctl_error(struct tes *t, uint64_t conn, const char *id, const char *code,
    const char *fmt, ...)
{
    json_t *o = json_object(), *s;
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    s = json_string(text);
    set(o, "ok", json_false());
    set(o, "error", s ? s : json_string("refused (the reason is no text)"));
    set(o, "code", json_string(code));
    set_id(o, id);
    line(t, conn, o, true, false);
}

/* --- arguments --- */

static const char *
arg_text(const struct call *c, const char *key)
{
    return json_string_value(json_object_get(c->o, key));
}

/* A number, or a string of digits. 1 good, 0 not there, -1 bad. */
static int
arg_number(const struct call *c, const char *key, uint64_t max, uint64_t *n)
{
    json_t *v = json_object_get(c->o, key);
    const char *s = json_string_value(v);
    char digits[24];
    if (!v || json_is_null(v))
        return 0;
    if (json_is_integer(v)) {
        if (json_integer_value(v) < 0)
            return -1;
        *n = (uint64_t)json_integer_value(v);
        return *n <= max ? 1 : -1;
    }
    if (!s || !*s || strlen(s) > 20 || strspn(s, "0123456789") != strlen(s))
        return -1;
    *n = strtoull(s, NULL, 10);
    snprintf(digits, sizeof(digits), "%llu", (unsigned long long)*n);
    while (*s == '0' && s[1])
        s++;
    return *n <= max && strcmp(digits, s) == 0 ? 1 : -1;
}

static const char *
arg_ips(const struct call *c, struct vm_command *m)
{
    json_t *v = json_object_get(c->o, "ips"), *e;
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    if (!v || json_is_null(v))
        return NULL;
    if (n > TNS_IPS_MAX)
        return "ips: at most 8 addresses";
    for (size_t i = 0; i < n; i++) {
        e = json_is_array(v) ? json_array_get(v, i) : v;
        if (!json_is_string(e) || !ip_parse(json_string_value(e), &m->par.ips[i]))
            return "ips: a list of IPv4 and IPv6 addresses";
    }
    m->par.n_ips = (uint8_t)n;
    m->given |= GIVE_IPS;
    return NULL;
}

static const char *
arg_vn(const struct call *c, struct vm_command *m)
{
    json_t *vn = json_object_get(c->o, "vn");
    const char *name = json_string_value(vn);
    uint64_t n = 0;
    int got = arg_number(c, json_is_integer(vn) ? "vn" : "vni", VNI_MAX, &n);
    if (got < 0 || (got && !n))
        return "vni: a number from 1 to 16777215";
    if (vn && !json_is_integer(vn) && (!name || !*name || strlen(name) >= VN_NAME_SIZE))
        return "vn: a network's name of at most 63 octets";
    if (got || name)
        m->given |= GIVE_VN;
    m->par.has_vni = got > 0;
    m->par.vni = (uint32_t)n;
    if (name)
        snprintf(m->par.vn, sizeof(m->par.vn), "%s", name);
    return NULL;
}

static const char *
arg_tag(const struct call *c, struct vm_command *m)
{
    uint64_t n = 0;
    int got = arg_number(c, "vid", VID_MAX, &n), pcp;
    if (got < 0)
        return "vid: a number from 1 to 4094, or 0 for the edge's choice";
    m->par.vid = (uint16_t)n;
    n = 0;
    pcp = arg_number(c, "pcp", 7, &n);
    if (pcp < 0)
        return "pcp: a number from 0 to 7";
    m->par.pcp = (uint8_t)n;
    m->par.ps = pcp > 0;
    if (got || pcp)
        m->given |= GIVE_TAG;
    n = 0;
    got = arg_number(c, "format", 4, &n);
    if (got < 0 || (got && !n))
        return "format: 1 VID, 2 MAC, 3 network, 4 network and MAC";
    if (got)
        m->given |= GIVE_FORMAT;
    m->par.format = (uint8_t)n;
    return NULL;
}

static const char *
arg_place(const struct call *c, struct vm_command *m)
{
    const char *s = arg_text(c, "if");
    if (s) {
        if (!*s || strlen(s) >= sizeof(m->par.ifname) || strchr(s, '/') ||
            strchr(s, ' '))
            return "if: the name of the VM's interface on this server";
        memcpy(m->par.ifname, s, strlen(s));
        m->given |= GIVE_IF;
    }
    s = arg_text(c, "mac");
    if (s) {
        if (!mac_parse(s, &m->par.mac) || mac_is_group(&m->par.mac))
            return "mac: the VM's address, such as 02:00:00:00:00:01";
        m->given |= GIVE_MAC;
    }
    s = arg_text(c, "uplink");
    if (s) {
        m->par.uplink = tes_uplink_find(c->t, s);
        m->has_uplink = true;
        if (m->par.uplink == c->t->n_up)
            return "uplink: no such uplink is configured (see `berth show uplinks`)";
    }
    return NULL;
}

static const char *
arg_migration(const struct call *c, struct vm_command *m)
{
    const char *s;
    uint64_t n = 0;
    if (arg_number(c, "epoch", UINT64_MAX, &m->par.epoch) < 0)
        return "epoch: a 64-bit number, as digits";
    if (arg_number(c, "migration", UINT64_MAX, &m->par.migration) < 0)
        return "migration: a 64-bit number, as digits";
    s = arg_text(c, "target");
    if (s && !ip_parse(s, &m->par.target))
        return "target: the address of the edge to which the VM goes";
    s = arg_text(c, "source");
    if (s && !ip_parse(s, &m->par.source))
        return "source: the address of the edge from which the VM comes";
    if (arg_number(c, "type", 0xffffff, &n) < 0)
        return "type: a VSI type id of 24 bits";
    if (n)
        m->given |= GIVE_TYPE;
    m->par.type_id = (uint32_t)n;
    n = 0;
    if (arg_number(c, "type_version", 255, &n) < 0)
        return "type_version: a number from 0 to 255";
    m->par.type_version = (uint8_t)n;
    m->par.confirm = json_is_true(json_object_get(c->o, "confirm"));
    return NULL;
}

static const char *
arg_phase(const struct call *c, struct vm_command *m)
{
    const char *s = arg_text(c, "phase");
    if (m->op == TNS_EMIGRATE_PREPARE) {
        m->par.hold = s && strcmp(s, "hold") == 0;
        if (s && strcmp(s, "commit") == 0)
            m->op = TNS_EMIGRATE_COMMIT;
        else if (s && strcmp(s, "prepare") != 0 && !m->par.hold)
            return "phase: prepare (still forwarding), hold (the pause follows at "
                   "once) "
                   "or commit (the VM is paused)";
    } else if (m->op == TNS_IMMIGRATE_PRE) {
        m->par.suspended = json_is_true(json_object_get(c->o, "suspended"));
        if (s && strcmp(s, "asso") == 0)
            m->op = TNS_IMMIGRATE_ASSO;
        else if (s && strcmp(s, "pre") != 0)
            return "phase: pre (before the VM comes) or asso (it is about to run)";
    }
    return NULL;
}

/* --- commands --- */

static void
cmd_vm(struct call *c)
{
    struct vm_command m = {.op = c->op, .conn = c->conn};
    const char *vsi = arg_text(c, "vsi"), *why = NULL;
    if (!vsi || !vsiid_parse(vsi, &m.id))
        why = "vsi: the VM interface's UUID";
    if (!why)
        why = arg_place(c, &m);
    if (!why)
        why = arg_vn(c, &m);
    if (!why)
        why = arg_ips(c, &m);
    if (!why)
        why = arg_tag(c, &m);
    if (!why)
        why = arg_migration(c, &m);
    if (!why)
        why = arg_phase(c, &m);
    if (why) {
        ctl_error(c->t, c->conn, c->id, "bad_request", "%s", why);
        return;
    }
    m.req_id = c->id;
    c->id = NULL;
    vm_command(c->t, &m);
}

static void
cmd_follow(struct call *c)
{
    struct vm_command m = {0};
    const char *why = arg_place(c, &m);
    if (!c->t->conf.follow)
        why = "this agent signals itself (station = berth): use `vm associate`";
    else if (!why && (m.given & (GIVE_IF | GIVE_MAC)) != (GIVE_IF | GIVE_MAC))
        why = "name the VM's interface (if) and its address (mac)";
    if (!why && vm_follow_add(c->t, m.par.ifname, &m.par.mac,
                    m.has_uplink ? m.par.uplink : 0, &why))
        ctl_end(c->t, c->conn, c->id);
    else
        ctl_error(c->t, c->conn, c->id, "bad_request", "%s", why);
}

static void
cmd_hook(struct call *c)
{
    virt_hook(c->t, c->conn, c->o, &c->id);
}

static json_t *
vni_json(const struct vm *v)
{
    uint32_t vni = v->par.has_vni ? v->par.vni : v->vni;
    return vni ? json_integer(vni) : json_null();
}

static void
set_vm(json_t *o, const struct tes *t, const struct vm *v)
{
    char text[VSIID_STR];
    const char *domain = virt_domain_of(t, v);
    set(o, "vsi", json_string(vsiid_str(&v->id, text)));
    set(o, "if", v->par.ifname[0] ? json_string(v->par.ifname) : json_null());
    set(o, "mac", mac_is_none(&v->par.mac) ? json_null() : ctl_rows_mac(&v->par.mac));
    set(o, "vn", v->par.vn[0] ? json_string(v->par.vn) : json_null());
    set(o, "vni", vni_json(v));
    set(o, "vid", json_integer(v->vid));
    set(o, "pcp", json_integer(v->pcp));
    set(o, "state", json_string(vm_state_name(v->state)));
    set(o, "uplink", json_string(t->up[v->par.uplink].name));
    set(o, "epoch", ctl_rows_epoch(v->epoch));
    set(o, "since_s", json_real(ctl_rows_seconds(t->now_us - v->since_us)));
    if (domain)
        set(o, "domain", json_string(domain));
    if (v->retrying)
        set(o, "unconfirmed", json_true());
    if (v->reason)
        set(o, "reason", json_string(berth_reason_str(v->reason)));
    if (v->tag_status)
        set(o, "tag_error", json_integer(-v->tag_status));
}

static void
list_vms(struct tes *t, struct listing *l)
{
    uint32_t n = 0;
    while (l->vm) {
        const struct vm *v = vm_at(t, l->vm);
        json_t *o = json_object();
        l->vm = v->next;
        set_vm(o, t, v);
        row(t, l->conn, l->id, o, l->vm && ++n == ROWS_AT_ONCE);
        if (n == ROWS_AT_ONCE && l->vm)
            return;
    }
    ctl_end(t, l->conn, l->id);
    mem_free(l->id);
    *l = t->listings[--t->n_listings];
}

static void
cmd_vms(struct call *c)
{
    struct tes *t = c->t;
    struct listing *l;
    if (t->n_listings == LISTINGS_MAX) {
        ctl_error(t, c->conn, c->id, "busy", "too many listings at once: try again");
        return;
    }
    l = &t->listings[t->n_listings++];
    *l = (struct listing){.conn = c->conn, .id = c->id, .vm = t->first_vm};
    c->id = NULL;
    list_vms(t, l);
}

static void
cmd_uplinks(struct call *c)
{
    struct tes *t = c->t;
    for (uint32_t i = 0; i < t->n_up; i++) {
        const struct uplink *u = &t->up[i];
        const struct lldp_evb_state *s = u->lldp ? lldp_evb_state(u->lldp) : NULL;
        json_t *o = json_object();
        set(o, "name", json_string(u->name));
        set(o, "up", json_boolean(u->up));
        set(o, "mac", u->known ? ctl_rows_mac(&u->mac) : json_null());
        set(o, "bridge", s && s->up ? ctl_rows_mac(&s->neighbour) : json_null());
        set(o, "berth", json_boolean(s && s->up && s->berth));
        set(o, "reflective_relay", json_boolean(u->reflect));
        set(o, "rte", s ? json_integer(s->timers.rte) : json_null());
        set(o, "rka", s ? json_integer(s->timers.rka) : json_null());
        set(o, "vms", json_integer(u->station ? vdp_station_n_vsis(u->station) : 0));
        row(t, c->conn, c->id, o, false);
    }
    ctl_end(t, c->conn, c->id);
}

static void
counter(struct tes *t, const struct waiter *w, const char *group, const char *name,
    uint64_t value, const char *help)
{
    row(t, w->conn, w->id, ctl_rows_counter(group, name, value, help), false);
}

static void
own_counters(struct tes *t, const struct waiter *w)
{
    const struct tes_counts *n = &t->n;
    const struct {
        const char *name, *help;
        uint64_t value;
    } rows[] = {
        {"tes_commands",       "commands about VMs",                        n->commands      },
        {"tes_refused",        "commands refused here",                     n->refused       },
        {"tes_accepted",       "commands that succeeded",                   n->accepted      },
        {"tes_rejected",       "commands that failed after they were sent", n->rejected      },
        {"tes_timeouts",       "requests without an answer",                n->timeouts      },
        {"tes_superseded",     "commands whose place a newer one took",     n->superseded    },
        {"tes_lost",           "keep-alives refused or not answered",       n->lost          },
        {"tes_deassocs",       "de-associations by the edge",               n->deassocs      },
        {"tes_retries",        "associations repeated by ourselves",        n->retries       },
        {"tes_tag_errors",     "tags that could not be installed",          n->tag_errors    },
        {"tes_journal_errors", "journal writes that failed",                n->journal_errors},
        {"tes_follows",        "VSIs that lldpad told of",                  n->follows       },
        {"tes_bad_frames",     "frames that were not for us",               n->bad_frames    },
        {"tes_facts",          "facts that libvirt told",                   n->facts         },
        {"tes_hooks",          "hooks of libvirt",                          n->hooks         },
        {"tes_vetoes",         "hooks that were refused",                   n->vetoes        },
        {"tes_repeats",        "what an event asked for, done again",       n->repeats       },
        {"tes_vms",            "VMs in the table",                          t->vms.n         },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        counter(t, w, "vms", rows[i].name, rows[i].value, rows[i].help);
}

static void
vdp_counters(struct tes *t, const struct waiter *w)
{
    struct vdp_station_counters s = {0};
    uint64_t *sum = (uint64_t *)&s;
    static const char *const names[][2] = {
        {"vdp_requests",      "requests given to the station"          },
        {"vdp_results",       "answers"                                },
        {"vdp_timeouts",      "requests given up"                      },
        {"vdp_superseded",    "requests replaced before they were sent"},
        {"vdp_keepalives",    "keep-alives"                            },
        {"vdp_lost",          "associations lost"                      },
        {"vdp_deassocs",      "unsolicited de-associations"            },
        {"vdp_refused_limit", "requests beyond the table's size"       },
        {"vdp_rx_pdus",       "ECPDUs received"                        },
        {"vdp_rx_vsis",       "VSI TLVs received"                      },
        {"vdp_rx_malformed",  "VSI TLVs that break a rule"             },
        {"vdp_rx_unmatched",  "answers to nothing that was asked"      },
        {"vdp_rx_no_mgrid",   "ECPDUs without manager id"              },
        {"vdp_tx_pdus",       "ECPDUs sent"                            },
        {"vdp_tx_vsis",       "VSI TLVs sent"                          },
    };
    _Static_assert(sizeof(names) / sizeof(names[0]) == sizeof(s) / sizeof(uint64_t),
        "one name per counter");
    for (uint32_t u = 0; u < t->n_up; u++)
        if (t->up[u].station)
            for (size_t i = 0; i < sizeof(s) / sizeof(uint64_t); i++)
                sum[i] += ((const uint64_t *)vdp_station_counters(t->up[u].station))[i];
    for (size_t i = 0; i < sizeof(s) / sizeof(uint64_t); i++)
        counter(t, w, "vdp", names[i][0], sum[i], names[i][1]);
}

static void
cmd_counters(struct call *c)
{
    struct waiter *w = fifo_push(&c->t->waiters);
    w->conn = c->conn;
    w->id = c->id;
    c->id = NULL;
    tes_out_push(c->t, TES_OUT_COUNTERS);
}

void
ctl_counters(struct tes *t, const struct tes_in *in)
{
    struct waiter w;
    while (fifo_pop(&t->waiters, &w)) {
        for (uint32_t i = 0; i < in->n_values; i++)
            counter(t, &w, "data-plane", in->names[i], in->values[i], in->helps[i]);
        own_counters(t, &w);
        vdp_counters(t, &w);
        ctl_end(t, w.conn, w.id);
        mem_free(w.id);
    }
}

static void
cmd_trace(struct call *c)
{
    struct tes *t = c->t;
    struct ctl_reader r = {.args = c->o};
    json_t *o;
    if (!arg_text(c, "vsi")) {
        ctl_error(t, c->conn, c->id, "bad_request", "vsi: whose events are wanted?");
        return;
    }
    while ((o = trace_row(t->trace, &r, "berth-tes", t->name, NULL)))
        row(t, c->conn, c->id, o, false);
    ctl_end(t, c->conn, c->id);
}

static void
cmd_log(struct call *c)
{
    const char *module = arg_text(c, "module"), *word = arg_text(c, "level");
    enum log_level level;
    if (!word || !log_level_parse(word, &level))
        ctl_error(c->t, c->conn, c->id, "bad_request",
            "level: error, warning, notice, info or debug");
    else if (!log_set_level(module ? module : "*", level))
        ctl_error(c->t, c->conn, c->id, "no_resources",
            "too many modules have a level of their own: set one for all (*)");
    else
        ctl_end(c->t, c->conn, c->id);
}

static void
cmd_ping(struct call *c)
{
    json_t *o = ctl_rows_ping("berth-tes", c->t->name, c->t->now_us - c->t->start_us);
    set(o, "station", json_string(c->t->conf.follow ? "lldpad" : "berth"));
    if (c->t->conf.virt)
        set(o, "libvirt", json_boolean(virt_is_up(c->t)));
    row(c->t, c->conn, c->id, o, false);
    ctl_end(c->t, c->conn, c->id);
}

static const struct {
    const char *cmd;
    void (*fn)(struct call *c);
    uint8_t op;
} commands[] = {
    {"vm associate",    cmd_vm,       TNS_ASSOC           },
    {"vm preassociate", cmd_vm,       TNS_PREASSOC        },
    {"vm suspend",      cmd_vm,       TNS_SUSPEND         },
    {"vm resume",       cmd_vm,       TNS_RESUME          },
    {"vm emigrate",     cmd_vm,       TNS_EMIGRATE_PREPARE},
    {"vm immigrate",    cmd_vm,       TNS_IMMIGRATE_PRE   },
    {"vm terminate",    cmd_vm,       TNS_TERMINATE       },
    {"vm follow",       cmd_follow,   0                   },
    {"hook",            cmd_hook,     0                   },
    {"show vms",        cmd_vms,      0                   },
    {"show uplinks",    cmd_uplinks,  0                   },
    {"show counters",   cmd_counters, 0                   },
    {"trace",           cmd_trace,    0                   },
    {"log",             cmd_log,      0                   },
    {"ping",            cmd_ping,     0                   },
};

void
ctl_request(struct tes *t, uint64_t conn, const uint8_t *text, uint32_t size)
{
    struct call c = {.t = t, .conn = conn};
    json_error_t why;
    const char *cmd;
    json_t *id;
    c.o = json_loadb((const char *)text, size, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(c.o)) {
        ctl_error(t, conn, NULL, "bad_request", "the request is no JSON object: %s",
            c.o ? "give {\"cmd\": ...}" : why.text);
        json_decref(c.o);
        return;
    }
    id = json_object_get(c.o, "id");
    if (id) {
        size_t n = json_dumpb(id, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
        if (n && n < 256) {
            c.id = mem_alloc(n + 1);
            json_dumpb(id, c.id, n, JSON_COMPACT | JSON_ENCODE_ANY);
        }
    }
    cmd = arg_text(&c, "cmd");
    for (size_t i = 0; cmd && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].cmd, cmd) != 0)
            continue;
        c.op = commands[i].op;
        commands[i].fn(&c);
        cmd = NULL;
    }
    if (cmd || !arg_text(&c, "cmd"))
        ctl_error(t, conn, c.id, "unknown_command",
            "berth-tes has no such command; it has: vm ..., show vms|uplinks|counters, "
            "log, "
            "ping");
    mem_free(c.id);
    json_decref(c.o);
}

void
ctl_answer(struct tes *t, const struct request *r, const struct vm *v)
{
    json_t *o = json_object();
    char text[VSIID_STR];
    set(o, "vsi", json_string(vsiid_str(&v->id, text)));
    if (r->op != TNS_TERMINATE) {
        set(o, "vid", json_integer(v->vid));
        set(o, "pcp", json_integer(v->pcp));
        set(o, "vni", vni_json(v));
        set(o, "mtu", v->mtu ? json_integer(v->mtu) : json_null());
        set(o, "epoch", ctl_rows_epoch(v->epoch));
        set(o, "migration", ctl_rows_epoch(v->par.migration));
        set(o, "nve", ctl_rows_ip(&v->nve));
    }
    set(o, "state",
        json_string(v->state == VM_TERM ? "terminated" : vm_state_name(v->state)));
    if (v->unpublished)
        set(o, "unpublished", json_true());
    if (v->par.confirm && r->op != TNS_TERMINATE)
        set(o, "confirmed", json_boolean(!v->unconfirmed));
    if (r->answer_us)
        set(o, "answer_s", json_real(ctl_rows_seconds(r->answer_us - r->start_us)));
    set(o, "done_s", json_real(ctl_rows_seconds(t->now_us - r->start_us)));
    row(t, r->conn, r->id, o, false);
    ctl_end(t, r->conn, r->id);
}

void
ctl_more(struct tes *t, uint64_t conn)
{
    for (uint32_t i = 0; i < t->n_listings; i++) {
        if (t->listings[i].conn != conn)
            continue;
        list_vms(t, &t->listings[i]);
        return;
    }
}

void
ctl_gone(struct tes *t, uint64_t conn)
{
    virt_client_gone(t, conn);
    for (uint32_t i = t->n_listings; i-- > 0;) {
        if (t->listings[i].conn != conn)
            continue;
        mem_free(t->listings[i].id);
        t->listings[i] = t->listings[--t->n_listings];
    }
}

void
ctl_vm_gone(struct tes *t, uint32_t h)
{
    for (uint32_t i = 0; i < t->n_listings; i++)
        if (t->listings[i].vm == h)
            t->listings[i].vm = vm_at(t, h)->next;
}

void
ctl_free(struct tes *t)
{
    struct waiter w;
    for (uint32_t i = 0; i < t->n_listings; i++)
        mem_free(t->listings[i].id);
    while (fifo_pop(&t->waiters, &w))
        mem_free(w.id);
}
