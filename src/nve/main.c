/* SPDX-License-Identifier: Apache-2.0 */
/* berth-nve: joins the node (pure) with host. Each turn of the loop ends in step(): due
 * time is fed, outputs are pulled until there are none, data plane operations are done as
 * they come, the journal is written once, its completions go back in. A frame never leaves
 * before the journal that it promises is written (K7). */
#include "base/log.h"
#include "base/mem.h"
#include "host/control.h"
#include "host/dp_bpf.h"
#include "host/keylog.h"
#include "host/loop.h"
#include "host/netlink.h"
#include "host/packet.h"
#include "host/program.h"
#include "host/stream.h"
#include "host/udp.h"
#include "nve/main_conf.h"
#include "nve/node_int.h"
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define RECORD_PORT 65                   /* name -> number, stable across reboots (K15) */
#define CHECK_US    2000000              /* watchdog of attachments and qdisc */
#define MTU_VXLAN   50
#define RELAYS_MAX  4096                /* told to people */

struct app;
struct app_port {
    struct app *app;
    struct packet *packet;
    uint32_t number, ifindex;
    bool carrier;
    char name[16];
};
struct app {
    struct main_conf conf;
    struct nve_conf node_conf;
    struct loop *loop;
    struct netlink *netlink;
    struct dp_bpf *dp;
    struct keylog *keylog;
    struct control *control;
    struct udp *udp;
    struct stream *stream;
    struct nve *nve;
    struct app_port *ports;
    uint32_t n_ports;
    struct fifo done;                    /* of struct done */
    struct loop_timer *check;
    int journal_rc;                      /* of the last commit */
    struct loop_watch *links, *events;
    /* restore */
    struct fifo restored;                /* of struct restored */
    uint32_t numbers_top;
};
struct done {
    uint32_t id;
    int status;
    bool journal;
};
struct restored {
    uint8_t kind;
    uint32_t size;
    uint8_t *bytes;
};

/* ---- control ---- */

static void
control_request(void *ctx, uint64_t conn, char *line, size_t size)
{
    struct app *a = ctx;
    struct nve_in in = {.type = NVE_IN_CONTROL, .conn = conn, .p = (uint8_t *)line,
        .size = (uint32_t)size};
    nve_input(a->nve, &in, loop_now(a->loop));
}

static void
control_gone(void *ctx, uint64_t conn)
{
    struct app *a = ctx;
    struct nve_in in = {.type = NVE_IN_CONTROL_GONE, .conn = conn};
    nve_input(a->nve, &in, loop_now(a->loop));
}

static void
control_more(struct app *a)
{
    struct nve_in in = {.type = NVE_IN_CONTROL_MORE};
    size_t room;
    while (control_turn(a->control, &in.conn, &room)) {
        in.size = (uint32_t)(room / 2);
        nve_input(a->nve, &in, loop_now(a->loop));
    }
}

static void
out_control(struct app *a, const struct nve_out *o)
{
    if (o->last == CONTROL_ERROR) {
        control_end(a->control, o->conn, (const char *)o->p);
        return;
    }
    control_piece(a->control, o->conn, (const char *)o->p, o->size);
    if (o->last == CONTROL_OK)
        control_end(a->control, o->conn, NULL);
    else
        control_wait(a->control, o->conn);
}

/* ---- authority ---- */

static void
stream_open(void *ctx, struct stream *s)
{
    struct app *a = ctx;
    uint8_t nonce[32];
    struct nve_in in = {.type = NVE_IN_STREAM_OPEN, .p = nonce, .size = sizeof nonce};
    (void)s;
    if (getrandom(nonce, sizeof nonce, 0) != sizeof nonce)
        abort();
    nve_input(a->nve, &in, loop_now(a->loop));
}

static void
stream_data(void *ctx, struct stream *s, const uint8_t *data, size_t size)
{
    struct app *a = ctx;
    struct nve_in in = {.type = NVE_IN_STREAM_DATA, .p = data, .size = (uint32_t)size};
    (void)s;
    nve_input(a->nve, &in, loop_now(a->loop));
}

static void
stream_closed(void *ctx, struct stream *s, int code, const char *why)
{
    struct app *a = ctx;
    struct nve_in in = {.type = NVE_IN_STREAM_CLOSED};
    (void)s;
    (void)code;
    log_inf("map", "authority: %s", why);
    a->stream = NULL;
    nve_input(a->nve, &in, loop_now(a->loop));
}

static void
stream_start(struct app *a, uint32_t index)
{
    static const struct stream_calls calls = {
        .on_open = stream_open, .on_data = stream_data, .on_close = stream_closed};
    const struct main_authority *list = a->conf.authorities.items;
    const struct main_authority *w = &list[index % a->conf.authorities.n];
    struct stream_addr to = {.ip = w->address, .port = w->port};
    struct stream_conf conf = {.write_max = 32u << 20, .local = a->conf.vtep};
    struct host_err err;
    struct nve_in closed = {.type = NVE_IN_STREAM_CLOSED};
    if (a->stream)
        stream_close(a->stream);
    a->stream = NULL;
    if (stream_connect(&a->stream, a->loop, &to, &conf, &calls, a, &err)) {
        log_warn("map", "authority %s: %s", w->title, err.text);
        a->stream = NULL;
        nve_input(a->nve, &closed, loop_now(a->loop));
    }
}

static void
udp_received(void *ctx, struct udp *u, const struct udp_msg *m, uint32_t n)
{
    struct app *a = ctx;
    (void)u;
    for (uint32_t i = 0; i < n; i++) {
        struct nve_in in = {.type = NVE_IN_UDP, .p = m[i].data, .size = m[i].size,
            .from = m[i].peer, .from_port = m[i].peer_port};
        nve_input(a->nve, &in, loop_now(a->loop));
    }
}

/* ---- outputs ---- */

static struct app_port *
port_at(struct app *a, uint32_t number)
{
    for (uint32_t i = 0; i < a->n_ports; i++)
        if (a->ports[i].number == number)
            return &a->ports[i];
    return NULL;
}

static int
commit(struct app *a)
{
    struct host_err err;
    int rc = keylog_staged(a->keylog) ? keylog_commit(a->keylog, &err) : 0;
    if (rc && rc != a->journal_rc)
        log_err("journal", "%s; requests are refused until it can be written", err.text);
    else if (!rc && a->journal_rc)
        log_note("journal", "can be written again");
    a->journal_rc = rc;
    return rc;
}

static void
done_push(struct app *a, uint32_t id, int status, bool journal)
{
    if (id)
        *(struct done *)fifo_push(&a->done) = (struct done){id, status, journal};
}

/* The numbers for people: counters, and the queues of held frames. */
static void
out_counters(struct app *a)
{
    uint64_t counters[DPC_N] = {0};
    struct dp_bpf_hold h;
    struct fifo holds;
    struct nve_in in = {.type = NVE_IN_COUNTERS, .counters = counters};
    fifo_init(&holds, sizeof(struct nve_hold));
    dp_bpf_counters(a->dp, counters);
    for (uint32_t it = 0; dp_bpf_holds(a->dp, &it, &h); in.n_holds++)
        *(struct nve_hold *)fifo_push(&holds) = (struct nve_hold){.vni = h.vni, .mac = h.mac,
            .draining = h.draining, .frames = h.frames, .octets = h.octets,
            .oldest_us = h.oldest_us, .kept = h.kept, .released = h.released,
            .dropped = h.dropped};
    struct nve_hold *all = mem_alloc((in.n_holds + 1) * sizeof *all);
    for (uint32_t i = 0; i < in.n_holds; i++)
        fifo_pop(&holds, &all[i]);
    in.holds = all;
    struct dp_bpf_relay r = {0};
    struct nve_relay *relays = mem_alloc(RELAYS_MAX * sizeof *relays);
    while (in.n_relays < RELAYS_MAX && dp_bpf_relays(a->dp, &r))
        relays[in.n_relays++] = (struct nve_relay){r.vni, r.mac, r.frames};
    in.relays = relays;
    nve_input(a->nve, &in, loop_now(a->loop));
    mem_free(relays);
    mem_free(all);
    fifo_done(&holds);
}

static void
out(struct app *a, const struct nve_out *o)
{
    struct app_port *p;
    int rc;
    switch ((enum nve_out_type)o->type) {
    case NVE_OUT_FRAME:
        commit(a);                       /* what the frame promises is written first */
        if ((p = port_at(a, o->port)) && p->packet)
            packet_send(p->packet, o->p, o->size);
        break;
    case NVE_OUT_DP:
        rc = dp_bpf_apply(a->dp, &o->dp);
        if (rc)
            log_warn("dp", "%s refused: %s", dp_op_str(o->dp.type), strerror(-rc));
        done_push(a, o->id, rc, false);
        break;
    case NVE_OUT_JOURNAL:
        rc = keylog_put(a->keylog, o->kind, o->key, o->key_size, o->p, o->size);
        done_push(a, o->id, rc, true);
        break;
    case NVE_OUT_STREAM_CONNECT:
        stream_start(a, o->index);
        break;
    case NVE_OUT_STREAM_DATA:
        if (a->stream)
            stream_write(a->stream, o->p, o->size);
        break;
    case NVE_OUT_STREAM_CLOSE:
        if (a->stream)
            stream_close(a->stream);
        a->stream = NULL;
        break;
    case NVE_OUT_UDP:
        if (a->udp)
            udp_send(a->udp, &a->conf.vtep, &o->to, o->to_port, o->p, o->size);
        break;
    case NVE_OUT_CONTROL:
        out_control(a, o);
        break;
    case NVE_OUT_COUNTERS:
        out_counters(a);
        break;
    }
}

static void
step(void *ctx, uint64_t now_us)
{
    struct app *a = ctx;
    struct nve_in tick = {.type = NVE_IN_TICK};
    struct nve_out o;
    struct done d;
    int rc;
    if (!a->nve)
        return;
    do {
        if (nve_deadline(a->nve) <= now_us)
            nve_input(a->nve, &tick, now_us);
        while (nve_output(a->nve, &o))
            out(a, &o);
        rc = commit(a);
        control_more(a);
        while (fifo_pop(&a->done, &d)) {
            if (d.journal && rc)         /* staged is not written (K7) */
                d.status = rc;
            struct nve_in in = {.type = d.journal ? NVE_IN_JOURNAL_DONE : NVE_IN_DP_DONE,
                .id = d.id, .status = d.status};
            nve_input(a->nve, &in, now_us);
        }
    } while (nve_output(a->nve, &o) && (out(a, &o), true));
    loop_deadline(a->loop, nve_deadline(a->nve));
}

/* ---- ports and links ---- */

static void
frames(void *ctx, struct packet *pk, const struct packet_frame *f, uint32_t n)
{
    struct app_port *p = ctx;
    (void)pk;
    for (uint32_t i = 0; i < n; i++) {
        struct nve_in in = {.type = NVE_IN_FRAME, .port = p->number, .p = f[i].data,
            .size = f[i].size};
        if (f[i].tagged || f[i].truncated)
            continue;                    /* K9: signalling is taken untagged only */
        nve_input(p->app->nve, &in, loop_now(p->app->loop));
    }
}

static void
port_state(struct app_port *p, bool carrier, const struct mac *mac)
{
    struct nve_in in = {.type = NVE_IN_PORT, .port = p->number, .up = carrier, .mac = *mac};
    p->carrier = carrier;
    nve_input(p->app->nve, &in, loop_now(p->app->loop));
}

static void
port_link(struct app *a, const struct netlink_link *l)
{
    for (uint32_t i = 0; i < a->n_ports; i++) {
        struct app_port *p = &a->ports[i];
        if (strcmp(p->name, l->name))
            continue;
        if (p->ifindex != l->ifindex) {
            struct host_err err;
            if (dp_bpf_bind(a->dp, p->number, p->name, &err))
                log_err("port", "%s", err.text);
            else
                p->ifindex = l->ifindex;
            if (netlink_vlan_filter(a->netlink, p->name, true, &err) > 0)
                log_warn("port", "%s", err.text); /* K9: the edge gives out any VID */
            packet_check(p->packet);
        }
        if (p->carrier != (l->up && l->carrier))
            port_state(p, l->up && l->carrier, &l->mac);
    }
}

static bool
each_link(void *ctx, const struct netlink_link *l)
{
    port_link(ctx, l);
    return true;
}

static void
link_events(void *ctx, int events)
{
    struct app *a = ctx;
    struct netlink_event ev;
    struct host_err err;
    (void)events;
    while (netlink_monitor_next(a->netlink, &ev, &err) > 0) {
        switch (ev.type) {
        case NETLINK_LINK_SET:
            port_link(a, &ev.link);
            break;
        case NETLINK_LINK_GONE:
            for (uint32_t i = 0; i < a->n_ports; i++)
                if (a->ports[i].ifindex == ev.link.ifindex) {
                    a->ports[i].ifindex = 0;
                    port_state(&a->ports[i], false, &ev.link.mac);
                }
            if (!strcmp(ev.link.name, a->conf.overlay.device))
                log_err("dp", "device=%s was deleted: no frame reaches another edge; "
                    "restart berth-nve to make it anew", ev.link.name);
            break;
        case NETLINK_RESYNC:
            netlink_each_link(a->netlink, each_link, a, &err);
            break;
        case NETLINK_ADDR_ADDED:
        case NETLINK_ADDR_GONE:
            break;
        }
    }
}

static void
dp_event(void *ctx, const struct dp_event *ev)
{
    struct app *a = ctx;
    struct nve_in in = {.type = NVE_IN_DP_EVENT, .event = ev};
    nve_input(a->nve, &in, loop_now(a->loop));
}

static void
dp_events(void *ctx, int events)
{
    struct app *a = ctx;
    (void)events;
    dp_bpf_poll(a->dp, 256, dp_event, a);
}

static void
check(void *ctx)
{
    struct app *a = ctx;
    struct host_err err;
    int rc = dp_bpf_check(a->dp, &err);
    if (rc < 0)
        log_err("dp", "%s", err.text);
    else if (rc > 0)
        log_warn("dp", "%d attachments of programs were repaired", rc);
    loop_timer_set(a->check, loop_now(a->loop) + CHECK_US);
}

/* ---- start ---- */

static void
restore_record(void *ctx, uint8_t kind, const void *bytes, size_t size)
{
    struct app *a = ctx;
    if (kind == RECORD_PORT) {           /* number (4), name */
        const uint8_t *b = bytes;
        uint32_t number = size > 4 ? (uint32_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3] : 0;
        if (number > a->numbers_top)
            a->numbers_top = number;
        for (uint32_t i = 0; i < a->conf.ports.n; i++) {
            struct main_port *p = (struct main_port *)a->conf.ports.items + i;
            if (strlen(p->title) == size - 4 && !memcmp(p->title, b + 4, size - 4))
                p->number = number;
        }
        return;
    }
    struct restored *r = fifo_push(&a->restored);
    r->kind = kind;
    r->size = (uint32_t)size;
    r->bytes = mem_alloc(size + 1);
    memcpy(r->bytes, bytes, size);
}

static int
journal_start(struct app *a, struct host_err *err)
{
    static const uint8_t kinds[] = {RECORD_PORT, 3, 2, 1, RECORD_VDP, 0};
    char path[256];
    struct journal_report report;
    snprintf(path, sizeof path, "%s/nve.journal", a->conf.state);
    struct journal_conf conf = {.path = path, .layout = 1, .sync_us = a->conf.journal_sync_us};
    if (mkdir(a->conf.state, 0755) < 0 && errno != EEXIST)
        return host_fail(err, -errno, "state directory %s: %m; make its parent, or set state",
            a->conf.state);
    int rc = keylog_open(&a->keylog, &conf, kinds, restore_record, a, &report, err);
    if (rc)
        return rc;
    if (report.corrupt)
        log_err("journal", "%s", err->text);
    else if (report.torn)
        log_note("journal", "an unfinished last record of %llu octets was cut off",
            (unsigned long long)report.torn);
    return 0;
}

/* Every configured port has a number, the same as ever. */
static int
numbers(struct app *a, struct host_err *err)
{
    for (uint32_t i = 0; i < a->conf.ports.n; i++) {
        struct main_port *p = (struct main_port *)a->conf.ports.items + i;
        uint8_t rec[4 + 16];
        size_t n = strlen(p->title);
        if (p->number)
            continue;
        if (++a->numbers_top >= DP_PORT_MAX)
            return host_fail(err, -ENOSPC, "port \"%s\": all port numbers are used; remove "
                "%s/nve.journal to start anew", p->title, a->conf.state);
        p->number = a->numbers_top;
        rec[0] = rec[1] = 0;
        rec[2] = (uint8_t)(p->number >> 8);
        rec[3] = (uint8_t)p->number;
        memcpy(rec + 4, p->title, n);
        keylog_put(a->keylog, RECORD_PORT, p->title, n, rec, n + 4);
    }
    return keylog_commit(a->keylog, err);
}

static int
underlay_start(struct app *a, struct netlink_link *vx, struct host_err *err)
{
    struct netlink_vxlan want = {a->conf.overlay.device, a->conf.overlay.port, 0};
    struct netlink_route route;
    bool adopted;
    int rc = netlink_open(&a->netlink, err);
    if (rc)
        return rc;
    rc = netlink_is_local(a->netlink, &a->conf.vtep, NULL, err);
    if (rc <= 0) {
        char text[IP_STR];
        return rc < 0 ? rc : host_fail(err, -EADDRNOTAVAIL, "vtep = %s is no address of this "
            "host; add it (ip addr add %s/32 dev lo) or set vtep", ip_str(&a->conf.vtep, text),
            text);
    }
    rc = netlink_vxlan_ensure(a->netlink, &want, vx, &adopted, err);
    if (rc)
        return rc;
    if (adopted)
        log_note("dp", "device=%s adopted", vx->name);
    const struct main_authority *w = a->conf.authorities.items;
    if (!a->conf.underlay_mtu && a->conf.authorities.n &&
        netlink_route_to(a->netlink, &w->address, &route, NULL) == 0 && !route.local)
        a->conf.underlay_mtu = route.mtu;
    return 0;
}

static int
dp_start(struct app *a, struct host_err *err)
{
    struct dp_bpf_conf conf = {.pin_dir = a->conf.pins, .mount = a->conf.overlay.mount,
        .vxlan = a->conf.overlay.device, .udp_port = a->conf.overlay.port,
        .local = a->conf.vtep, .zero_csum = !a->conf.overlay.checksum,
        .max_ports = a->conf.tables.ports, .max_vsis = a->conf.tables.attachments,
        .max_fdb = a->conf.tables.mappings, .max_neigh = 2 * a->conf.tables.mappings,
        .max_vns = a->conf.tables.vns, .max_vteps = a->conf.tables.vteps, .loop = a->loop, .held = dp_event, .held_ctx = a};
    return dp_bpf_open(&conf, &a->dp, err);
}

static int
ports_start(struct app *a, struct host_err *err)
{
    static const struct packet_calls calls = {.on_frames = frames};
    a->ports = mem_alloc((a->conf.ports.n + 1) * sizeof *a->ports);
    for (uint32_t i = 0; i < a->conf.ports.n; i++) {
        const struct main_port *c = (struct main_port *)a->conf.ports.items + i;
        struct app_port *p = &a->ports[a->n_ports++];
        struct packet_conf conf = {.types = {0x8940, 0x88cc}, .n_types = 2, .may_wait = true};
        p->app = a;
        p->number = c->number;
        snprintf(p->name, sizeof p->name, "%s", c->title);
        snprintf(conf.ifname, sizeof conf.ifname, "%s", c->title);
        if (!mac_is_none(&c->extra_group))
            conf.groups[conf.n_groups++] = c->extra_group;
        int rc = packet_open(&p->packet, a->loop, &conf, &calls, p, err);
        if (rc)
            return rc;
    }
    return 0;
}

static void
node_start(struct app *a, struct nve_conf *nc)
{
    struct nve_in in = {0};
    struct restored r;
    struct host_err err;
    a->nve = nve_new(nc, loop_now_fresh(a->loop));
    while (fifo_pop(&a->restored, &r)) {
        in = (struct nve_in){.type = NVE_IN_RESTORE, .kind = r.kind, .p = r.bytes,
            .size = r.size};
        nve_input(a->nve, &in, loop_now(a->loop));
        mem_free(r.bytes);
    }
    netlink_each_link(a->netlink, each_link, a, &err);
    in = (struct nve_in){.type = NVE_IN_RESTORED};
    nve_input(a->nve, &in, loop_now(a->loop));
}

static int
load(void *ctx, const char *path, struct host_err *err)
{
    struct app *a = ctx;
    return main_conf_load(&a->conf, path, err);
}

/* What the node would be given, with any numbers for the ports. */
static int
conf_check(void *ctx, struct host_err *err)
{
    struct app *a = ctx;
    for (uint32_t i = 0; i < a->conf.ports.n; i++)
        ((struct main_port *)a->conf.ports.items)[i].number = i + 1;
    return main_conf_node(&a->conf, &a->node_conf, err);
}

static int
start(void *ctx, struct loop *l, struct host_err *err)
{
    static const struct control_calls calls = {control_request, control_gone};
    struct app *a = ctx;
    struct nve_conf *nc = &a->node_conf;
    struct netlink_link vx;
    struct control_conf cc = {.path = a->conf.program.control};
    struct udp_conf uc = {.address = a->conf.vtep, .port = a->conf.lisp_port};
    int rc;
    a->loop = l;
    fifo_init(&a->done, sizeof(struct done));
    fifo_init(&a->restored, sizeof(struct restored));
    if ((rc = control_open(&a->control, l, &cc, &calls, a, err)) ||
        (rc = journal_start(a, err)) || (rc = numbers(a, err)) ||
        (rc = underlay_start(a, &vx, err)) || (rc = dp_start(a, err)) ||
        (rc = ports_start(a, err)))
        return rc;
    if (a->conf.authorities.n && a->conf.mapping != NVE_MAP_STATIC &&
        (rc = udp_open(&a->udp, l, &uc, udp_received, a, err)))
        return rc;
    if ((rc = main_conf_node(&a->conf, nc, err)))
        return rc;
    nc->wall_us = loop_wall_offset();
    if (getrandom(&nc->edge.seed, sizeof nc->edge.seed, 0) != sizeof nc->edge.seed)
        return host_fail(err, -EIO, "no random numbers from the kernel: %m");
    if ((rc = loop_watch(l, netlink_monitor_fd(a->netlink), LOOP_IN, link_events, a,
             &a->links, err)) ||
        (rc = loop_watch(l, dp_bpf_fd(a->dp), LOOP_IN, dp_events, a, &a->events, err)))
        return rc;
    node_start(a, nc);
    loop_step(l, step, a);
    a->check = loop_timer_new(l, check, a);
    loop_timer_set(a->check, loop_now(l) + CHECK_US);
    return 0;
}

static void
stop(void *ctx)
{
    struct app *a = ctx;
    struct nve_in in = {.type = NVE_IN_STOP};
    struct nve_out o;
    if (a->nve) {
        nve_input(a->nve, &in, loop_now(a->loop));
        while (nve_output(a->nve, &o))
            out(a, &o);
        commit(a);
    }
    loop_unwatch(a->links);
    loop_unwatch(a->events);
    for (uint32_t i = 0; i < a->n_ports; i++)
        packet_close(a->ports[i].packet);
    if (a->stream)
        stream_close(a->stream);
    udp_close(a->udp);
    if (a->control)
        control_close(a->control);
    nve_free(a->nve);
    keylog_close(a->keylog);
    dp_bpf_close(a->dp);
    if (a->netlink)
        netlink_close(a->netlink);
    fifo_done(&a->done);
    fifo_done(&a->restored);
    mem_free(a->ports);
}

int
main(int argc, char **argv)
{
    static const int caps[] = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON};
    static struct app a;
    static const struct program program = {.name = "berth-nve",
        .about = "The network virtualization edge: takes signals from servers, owns tags and "
                 "attachments, programs the data plane, exchanges mappings.",
        .status = "forwarding",
        .rows = main_rows,
        .conf = &a.conf.program,
        .caps = caps,
        .n_caps = sizeof caps / sizeof caps[0],
        .load = load,
        .check = conf_check,
        .start = start,
        .stop = stop};
    return program_main(&program, &a, argc, argv);
}
