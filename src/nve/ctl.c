/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket's commands at an NVE (doc/protocol/control.md): what a row says. The
 * conversation is node/ctl_rows. Keys are stable: add, never rename. */
#include "node/ctl_rows.h"
#include "node/trace.h"
#include "nve/node_int.h"

struct ctl {
    struct ctl_rows *rows;
    struct fifo wait;                    /* of uint64_t: want fresh data-plane counters */
    bool ask;                            /* they must be asked for */
};

static json_t *
vn_name(struct nve *n, uint32_t vni)
{
    struct vn_rec vn;
    return edge_vn_get(n->edge, vni, &vn) && vn.name[0] ? json_string(vn.name) : json_null();
}

static const char *
port_name(struct nve *n, uint32_t port)
{
    const char *name = port >= 1 && port <= n->conf.n_ports ? n->port_names[port - 1] : NULL;
    return name ? name : "?";
}

/* ---- listings ---- */

static json_t *
next_attachment(void *node, struct ctl_reader *r)
{
    struct nve *n = node;
    static const char *const keys[] = {"port", "vni", "mac", "vsi", "state", NULL};
    struct edge_att_view v;
    while (edge_each_attachment(n->edge, &r->it, &v, n->now_us)) {
        char id[VSIID_STR];
        json_t *row = json_pack("{s:s,s:s,s:s,s:o,s:i,s:o,s:o,s:i,s:i,s:o,s:b,s:b,s:i,s:f,s:f,s:o,s:b,s:b,s:o,s:o}",
            "port", port_name(n, v.port), "vsi", vsiid_str(&v.id, id), "state",
            att_state_str(v.state), "vn", vn_name(n, v.vni), "vni", (int)v.vni, "mac",
            v.wildcard && mac_is_none(&v.mac) ? json_null() : ctl_rows_mac(&v.mac), "ips",
            ctl_rows_ips(v.ips, v.n_ips), "vid", (int)v.vid, "pcp", (int)v.pcp, "epoch",
            ctl_rows_epoch(v.epoch), "wildcard", (int)v.wildcard, "unpublished",
            (int)v.unpublished, "waiting", (int)v.waiting, "age_s", ctl_rows_seconds(v.age_us),
            "idle_left_s", ctl_rows_seconds(v.idle_left_us), "migration",
            ctl_rows_epoch(v.migration_id), "armed", v.armed != 0, "hold", v.armed == 2, "target",
            ctl_rows_ip(&v.target), "reserved",
            v.reserved ? ctl_rows_epoch(v.reserved) : json_null());
        if (ctl_rows_fits(r, row, keys))
            return row;
    }
    return NULL;
}

static json_t *
next_tag(void *node, struct ctl_reader *r)
{
    struct nve *n = node;
    static const char *const keys[] = {"port", "vni", "vid", "state", NULL};
    struct edge_tag_view v;
    while (edge_each_tag(n->edge, &r->it, &v, n->now_us)) {
        json_t *row = json_pack("{s:s,s:i,s:i,s:o,s:s,s:i,s:f}", "port",
            port_name(n, edge_domain_port(n->edge, v.domain)), "vid", (int)v.vid, "vni",
            (int)v.vni, "vn", vn_name(n, v.vni), "state", tag_state_str(v.state), "refs",
            (int)v.refs, "hold_left_s", ctl_rows_seconds(v.hold_left_us));
        if (ctl_rows_fits(r, row, keys))
            return row;
    }
    return NULL;
}

static json_t *
next_mapping(void *node, struct ctl_reader *r)
{
    struct nve *n = node;
    static const char *const keys[] = {"vni", "mac", "ip", "owner", NULL};
    struct edge_map_view v;
    char t[IP_STR];
    static const struct ip none;
    while (edge_each_mapping(n->edge, &r->it, &v)) {
        /* where its frames go on to: to who has published, or before that who reserved (D3) */
        const struct ip *relay = !ip_is_none(&v.target) ? &v.target
                                 : v.tomb && !v.local ? &v.rec.owner
                                                      : &none;
        json_t *row = json_pack("{s:i,s:o,s:o,s:o,s:s,s:b,s:o,s:b,s:b,s:b,s:o}", "vni",
            (int)v.rec.vni, "vn", vn_name(n, v.rec.vni), "mac", ctl_rows_mac(&v.rec.mac), "ips",
            ctl_rows_ips(v.rec.ips, v.rec.n_ips), "owner", ip_str(&v.rec.owner, t), "local",
            (int)v.local, "epoch", ctl_rows_epoch(v.rec.epoch), "stale", (int)v.stale, "tombstone",
            (int)v.tomb, "held", (int)v.held, "relay", ctl_rows_ip(relay));
        if (ctl_rows_fits(r, row, keys))
            return row;
    }
    return NULL;
}

static json_t *
next_vn(void *node, struct ctl_reader *r)
{
    struct nve *n = node;
    struct vn_rec v;
    if (!edge_each_vn(n->edge, &r->it, &v))
        return NULL;
    return json_pack("{s:i,s:s,s:i,s:s,s:s,s:b}", "vni", (int)v.vni, "name", v.name, "mtu",
        (int)v.mtu, "arp", ctl_rows_arp_word(v.arp), "reply",
        v.centralised ? "centralised" : "distributed", "pull", (int)v.pull);
}

static json_t *
next_port(void *node, struct ctl_reader *r)
{
    struct nve *n = node;
    static const char *const natives[] = {"drop", "pass", "vn"};
    struct tns_vdp_view v;
    char t[MAC_STR];
    do {
        if (++r->it > n->conf.n_ports)
            return NULL;
    } while (!n->port_names[r->it - 1]);
    tns_vdp_view(n->vdp, r->it, &v);
    const struct edge_port_conf *p = &n->conf.ports[r->it - 1].edge;
    return json_pack("{s:i,s:s,s:b,s:s,s:s*,s:b,s:b,s:i,s:i,s:i}", "port", (int)r->it, "name",
        p->name, "up", (int)v.up, "native", natives[p->native], "station",
        v.station ? mac_str(&v.peer, t) : NULL, "berth", (int)v.berth, "reflective_relay",
        (int)v.reflective_relay, "rte", (int)v.rte, "rka", (int)v.rka, "attachments",
        (int)v.vsis);
}

static json_t *
next_counter(void *node, struct ctl_reader *r)
{
    struct nve *n = node;
    const char *group, *name;
    uint64_t value;
    if (r->it < DPC_N) {
        uint32_t i = r->it++;
        return ctl_rows_counter("data-plane", dp_counter_name(i), n->dp_counters[i],
            dp_counter_help(i));
    }
    if (r->it < DPC_N + EDGEC_N) {
        uint32_t i = r->it++ - DPC_N;
        return ctl_rows_counter("edge", edge_counter_name(i), edge_counter(n->edge, i), NULL);
    }
    if (r->it == DPC_N + EDGEC_N) {
        if (tns_vdp_counter(n->vdp, &r->it2, &group, &name, &value))
            return ctl_rows_counter(group, name, value, NULL);
        r->it++;
        r->it2 = 0;
    }
    if (n->lisp && map_lisp_counter(n->lisp, &r->it2, &group, &name, &value))
        return ctl_rows_counter(group, name, value, NULL);
    return NULL;
}

static json_t *
next_hold(void *node, struct ctl_reader *r)
{
    struct nve *n = node;
    static const char *const keys[] = {"vni", "mac", NULL};
    while (r->it < n->n_holds) {
        const struct nve_hold *h = &n->holds[r->it++];
        json_t *row = json_pack("{s:i,s:o,s:o,s:b,s:i,s:I,s:f,s:I,s:I,s:I}", "vni", (int)h->vni,
            "vn", vn_name(n, h->vni), "mac", ctl_rows_mac(&h->mac), "draining", (int)h->draining,
            "frames", (int)h->frames, "octets", (json_int_t)h->octets, "oldest_s",
            ctl_rows_seconds(h->oldest_us), "kept", (json_int_t)h->kept, "released",
            (json_int_t)h->released, "dropped", (json_int_t)h->dropped);
        if (ctl_rows_fits(r, row, keys))
            return row;
    }
    return NULL;
}

static json_t *
next_session(void *node, struct ctl_reader *r)
{
    struct nve *n = node;
    struct map_lisp_view v;
    if (r->it++ || !n->lisp)
        return NULL;
    map_lisp_view(n->lisp, &v);
    return json_pack("{s:s,s:s,s:f,s:I,s:I,s:I,s:I}", "peer", "authority", "state", v.state,
        "since_s", ctl_rows_seconds(n->now_us - v.since_us), "sent", (json_int_t)v.sent, "received",
        (json_int_t)v.received, "registered", (json_int_t)v.registered, "unacknowledged",
        (json_int_t)v.unacknowledged);
}

static json_t *
next_timer(void *node, struct ctl_reader *r)
{
    struct nve *n = node;
    if (r->it >= SET_N)
        return NULL;
    uint32_t i = r->it++;
    return ctl_rows_setting(&edge_settings[i], n->conf.edge.settings[i]);
}

/* What happened, then what has been relayed so far. */
static json_t *
next_event(void *node, struct ctl_reader *r)
{
    struct nve *n = node;
    json_t *row = trace_row(n->trace, r, "berth-nve", n->name, &n->conf.edge.vtep);
    while (!row && r->it2 < n->n_relays) {
        const struct nve_relay *relay = &n->relays[r->it2++];
        struct trace_event ev = {.what = TRACE_RELAYED, .at_us = n->now_us, .vni = relay->vni,
            .mac = relay->mac, .frames = relay->frames, .word = "so far"};
        row = trace_row_of(n->trace, r, &ev, "berth-nve", n->name, &n->conf.edge.vtep);
    }
    return row;
}

static json_t *
next_ping(void *node, struct ctl_reader *r)
{
    struct nve *n = node;
    if (r->it++)
        return NULL;
    return ctl_rows_ping("berth-nve", n->name, n->now_us - n->started_us);
}

/* ---- commands ---- */

/* The numbers are read afresh: the listing waits for main's answer. */
static void
list_fresh(struct nve *n, uint64_t conn, json_t *args, ctl_next_fn next)
{
    if (!ctl_rows_list_later(n->ctl->rows, conn, args, next))
        return;
    *(uint64_t *)fifo_push(&n->ctl->wait) = conn;
    n->ctl->ask = true;
}

static void
run_counters(void *node, uint64_t conn, json_t *args)
{
    list_fresh(node, conn, args, next_counter);
}

static void
run_holds(void *node, uint64_t conn, json_t *args)
{
    list_fresh(node, conn, args, next_hold);
}

static void
run_trace(void *node, uint64_t conn, json_t *args)
{
    struct nve *n = node;
    const char *fault = trace_fault(args);
    if (fault)
        ctl_rows_fail(n->ctl->rows, conn, "%s", fault);
    else
        list_fresh(node, conn, args, next_event);
}

static const struct ctl_command commands[] = {
    {"show attachments", next_attachment, NULL        },
    {"show tags",        next_tag,        NULL        },
    {"show mappings",    next_mapping,    NULL        },
    {"show vns",         next_vn,         NULL        },
    {"show ports",       next_port,       NULL        },
    {"show holds",       NULL,            run_holds   },
    {"show counters",    NULL,            run_counters},
    {"show sessions",    next_session,    NULL        },
    {"show timers",      next_timer,      NULL        },
    {"trace",            NULL,            run_trace   },
    {"ping",             next_ping,       NULL        },
    {0},
};

void
nve_ctl_request(struct ctl *c, uint64_t conn, const uint8_t *p, uint32_t size)
{
    ctl_rows_request(c->rows, conn, p, size);
}

void
nve_ctl_more(struct ctl *c, uint64_t conn, uint32_t room)
{
    ctl_rows_more(c->rows, conn, room);
}

void
nve_ctl_gone(struct ctl *c, uint64_t conn)
{
    ctl_rows_gone(c->rows, conn);
}

void
nve_ctl_counters(struct ctl *c)
{
    uint64_t conn;
    while (fifo_pop(&c->wait, &conn))
        ctl_rows_more(c->rows, conn, 0);
}

enum pulled
nve_ctl_output(struct ctl *c, struct nve_out *out)
{
    struct ctl_answer a;
    if (c->ask) {
        c->ask = false;
        out->type = NVE_OUT_COUNTERS;
        return PULLED_OUT;
    }
    if (!ctl_rows_output(c->rows, &a))
        return PULLED_NOTHING;
    out->type = NVE_OUT_CONTROL;
    out->conn = a.conn;
    out->last = a.last;
    out->p = a.p;
    out->size = a.size;
    return PULLED_OUT;
}

struct ctl *
nve_ctl_new(struct nve *n)
{
    struct ctl *c = mem_alloc(sizeof *c);
    c->rows = ctl_rows_new("berth-nve", commands, n);
    fifo_init(&c->wait, sizeof(uint64_t));
    return c;
}

void
nve_ctl_free(struct ctl *c)
{
    if (!c)
        return;
    ctl_rows_free(c->rows);
    fifo_done(&c->wait);
    mem_free(c);
}
