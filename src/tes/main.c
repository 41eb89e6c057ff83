/* SPDX-License-Identifier: Apache-2.0 */
/* berth-tes: joins the agent (tes/node.h) with Linux. Callbacks feed inputs; the step
 * at the end of each turn feeds the tick, carries out the outputs until there are none,
 * writes the journal once for all of them, and so on until nothing is left; frames go
 * out at once. */
#include "tes/main_conf.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/control.h"
#include "host/keylog.h"
#include "host/libvirt.h"
#include "host/lldpad.h"
#include "host/loop.h"
#include "host/netlink.h"
#include "host/packet.h"
#include "host/program.h"
#include "host/tes_bpf.h"
#include <argp.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_LAYOUT 2
#define RECORD_VM      1     /* the node's */
#define RECORD_VSI     2     /* struct vsi_record: lldpad has it */
#define TAP_QUEUE      16384 /* hold_frames of an edge, as it is by default */
#define CHECK_US       5000000

/* --- the agent on this host --- */

/* A VSI of lldpad in the journal: by its id alone can more than some 20 be read again.
 */
struct vsi_record {
    char ifname[IF_NAMESIZE];
    uint8_t format, id[16], mac[6];
};

struct agent;
struct up {
    struct agent *a;
    struct packet *packet;
    uint32_t index, number; /* ours; of tes_bpf */
    bool up;
    struct mac mac;
};
struct agent {
    struct main_conf conf;
    int station; /* of the command line; -1: not given */
    struct tes *tes;
    struct loop *loop;
    struct control *control;
    struct keylog *keylog;
    struct netlink *nl;
    struct tes_bpf_plane *plane;
    struct lldpad *lldpad;
    struct libvirt *libvirt;
    struct loop_timer *check;
    struct loop_watch *monitor, *attached;
    struct up up[TES_UPLINKS_MAX];
    uint32_t n_up;
    struct fifo staged; /* of uint32_t: ids of records that wait for the commit */
    struct fifo vsis; /* of struct vsi_record: of the journal, until lldpad is opened */
    bool listed;
};

static void
input(struct agent *a, const struct tes_in *in)
{
    tes_input(a->tes, in, loop_now(a->loop));
}

/* --- outputs --- */

/* What waited for a VM comes at once, before it runs: its tap must have room for that,
 * and has some 1,000 places (K12). Not while it runs: the kernel drops what comes to an
 * interface whose queue it makes anew. */
static void
make_room(struct agent *a, const struct netlink_link *tap)
{
    struct host_err err;
    if (strcmp(tap->kind, "tun") == 0 && tap->queue < TAP_QUEUE &&
        netlink_set_queue(a->nl, tap->ifindex, TAP_QUEUE, &err))
        log_warn("tag", "%s", err.text);
}

static void
do_tag(struct agent *a, const struct tes_out *o)
{
    struct tes_in in = {.type = TES_IN_TAGGED, .id = o->id};
    struct host_err err;
    struct netlink_link link;
    bool known;
    struct tes_bpf_tag tag = {.ifname = o->tag.ifname,
        .mac = o->tag.mac,
        .vid = o->tag.vid,
        .pcp = o->tag.pcp,
        .pass = o->tag.pass,
        .reflect = o->tag.reflect,
        .away = o->tag.away};
    if (!a->plane) {
        in.status = -EOPNOTSUPP;
    } else {
        tag.uplink = a->up[o->tag.uplink].number;
        known = (a->conf.peer || tag.away) &&
                netlink_find(a->nl, tag.ifname, &link, &err) == 0;
        tag.peer = known && a->conf.peer && strcmp(link.kind, "veth") == 0 &&
                   link.netnsid >= 0;
        if (known && tag.away && !tag.pass)
            make_room(a, &link);
        in.status = tes_bpf_tag(a->plane, &tag, &err);
        if (in.status)
            log_warn("tag", "%s", err.text);
    }
    input(a, &in);
}

static void
do_control(struct agent *a, const struct tes_out *o)
{
    if (o->last)
        control_last(a->control, o->conn, (const char *)o->p);
    else
        control_reply(a->control, o->conn, (const char *)o->p);
    if (o->more)
        control_wait(a->control, o->conn);
}

static void
do_journal(struct agent *a, const struct tes_out *o)
{
    keylog_put(a->keylog, RECORD_VM, o->key, o->key_size, o->p, o->size);
    *(uint32_t *)fifo_push(&a->staged) = o->id;
}

static void
do_counters(struct agent *a)
{
    const char *names[TESC_N], *helps[TESC_N];
    uint64_t values[TESC_N] = {0};
    struct tes_in in = {
        .type = TES_IN_COUNTERS, .names = names, .helps = helps, .values = values};
    if (a->plane && tes_bpf_counters(a->plane, values) == 0)
        in.n_values = TESC_N;
    for (unsigned i = 0; i < TESC_N; i++) {
        names[i] = tes_bpf_counter_name(i);
        helps[i] = tes_bpf_counter_help(i);
    }
    input(a, &in);
}

static void
do_output(struct agent *a, const struct tes_out *o)
{
    switch ((enum tes_out_type)o->type) {
    case TES_OUT_FRAME:
        if (a->up[o->uplink].packet)
            packet_send(a->up[o->uplink].packet, o->p, o->size);
        break;
    case TES_OUT_TAG:
        do_tag(a, o);
        break;
    case TES_OUT_UNTAG:
        if (a->plane)
            tes_bpf_untag(a->plane, o->tag.ifname);
        break;
    case TES_OUT_CONTROL:
        do_control(a, o);
        break;
    case TES_OUT_JOURNAL:
        do_journal(a, o);
        break;
    case TES_OUT_DOMAIN_LOOK:
        if (a->libvirt)
            libvirt_look(a->libvirt, (const char *)o->key);
        break;
    case TES_OUT_DOMAIN_WRITE:
        if (a->libvirt)
            libvirt_write(a->libvirt, (const char *)o->key, (const char *)o->p);
        break;
    case TES_OUT_COUNTERS:
        do_counters(a);
        break;
    }
}

/* One write for everything that the step has staged (K7). */
static bool
commit(struct agent *a)
{
    struct host_err err;
    struct tes_in in = {.type = TES_IN_JOURNAL_DONE};
    if (!keylog_staged(a->keylog))
        return false;
    in.status = keylog_commit(a->keylog, &err);
    if (in.status) {
        log_err("journal", "%s", err.text);
        keylog_discard(a->keylog);
    }
    while (fifo_pop(&a->staged, &in.id))
        input(a, &in);
    return true;
}

static bool
feed_listings(struct agent *a)
{
    struct tes_in in = {.type = TES_IN_CONTROL_MORE};
    size_t room;
    bool fed = false;
    while (a->control && control_turn(a->control, &in.conn, &room)) {
        input(a, &in);
        fed = true;
    }
    return fed;
}

static void
step(void *ctx, uint64_t now_us)
{
    struct agent *a = ctx;
    struct tes_out o;
    if (tes_deadline(a->tes) <= now_us)
        tes_input(a->tes, &(struct tes_in){.type = TES_IN_TICK}, now_us);
    do {
        while (tes_output(a->tes, &o))
            do_output(a, &o);
    } while (commit(a) || feed_listings(a));
    loop_deadline(a->loop, tes_deadline(a->tes));
}

/* --- inputs --- */

static void
on_request(void *ctx, uint64_t conn, char *line, size_t size)
{
    struct tes_in in = {.type = TES_IN_CONTROL,
        .conn = conn,
        .p = (const uint8_t *)line,
        .size = (uint32_t)size};
    input(ctx, &in);
}

static void
on_gone(void *ctx, uint64_t conn)
{
    struct agent *a = ctx;
    input(a, &(struct tes_in){.type = TES_IN_CONTROL_GONE, .conn = conn});
}

static void
on_frames(void *ctx, struct packet *p, const struct packet_frame *f, uint32_t n)
{
    struct up *u = ctx;
    (void)p;
    for (uint32_t i = 0; i < n; i++) {
        struct tes_in in = {.type = TES_IN_FRAME,
            .uplink = u->index,
            .p = f[i].data,
            .size = f[i].size};
        if (!f[i].tagged && !f[i].truncated)
            input(u->a, &in);
    }
}

static void
link_state(struct agent *a, struct up *u, const struct netlink_link *link)
{
    struct tes_in in = {.type = TES_IN_UPLINK,
        .uplink = u->index,
        .up = link->up && link->carrier,
        .mac = link->mac};
    if (in.up == u->up && mac_equal(&in.mac, &u->mac))
        return;
    u->up = in.up;
    u->mac = in.mac;
    input(a, &in);
}

static struct up *
up_named(struct agent *a, const char *name)
{
    const struct main_uplink *c = a->conf.uplinks.items;
    for (uint32_t i = 0; i < a->n_up; i++)
        if (strcmp(c[i].title, name) == 0)
            return &a->up[i];
    return NULL;
}

static bool
on_link(void *ctx, const struct netlink_link *link)
{
    struct agent *a = ctx;
    struct up *u = up_named(a, link->name);
    struct host_err err;
    int rc = a->plane ? tes_bpf_link(a->plane, link->name, link->ifindex, &err) : 0;
    if (rc < 0)
        log_warn("tag", "%s", err.text);
    if (rc > 0)
        log_note(
            "tag", "interface %s is there again: its tag is installed", link->name);
    if (u) {
        if (rc > 0)
            netlink_set_promisc(a->nl, link->ifindex, true, &err);
        packet_check(u->packet);
        link_state(a, u, link);
    }
    return true;
}

static void
on_netlink(void *ctx, int events)
{
    struct agent *a = ctx;
    struct netlink_event ev;
    struct host_err err;
    int rc;
    (void)events;
    while ((rc = netlink_monitor_next(a->nl, &ev, &err)) > 0) {
        if (ev.type == NETLINK_LINK_SET) {
            on_link(a, &ev.link);
        } else if (ev.type == NETLINK_LINK_GONE) {
            ev.link.up = false;
            ev.link.ifindex = 0;
            on_link(a, &ev.link);
        } else if (ev.type == NETLINK_RESYNC) {
            netlink_each_link(a->nl, on_link, a, &err);
        }
    }
    if (rc < 0)
        log_warn("link", "%s", err.text);
}

static void
on_attached(void *ctx, int events)
{
    struct agent *a = ctx;
    (void)events;
    tes_bpf_poll(a->plane);
}

static void
on_check(void *ctx)
{
    struct agent *a = ctx;
    uint32_t n = tes_bpf_check(a->plane);
    if (n)
        log_warn("tag", "attached %u programs again that somebody had removed", n);
    loop_timer_set(a->check, loop_now(a->loop) + CHECK_US);
}

static void
on_vsi(void *ctx, const struct lldpad_vsi *v)
{
    struct agent *a = ctx;
    struct up *u = up_named(a, v->ifname);
    struct tes_in in = {.type = TES_IN_FOLLOW,
        .gone = v->gone,
        .mac = v->mac,
        .vsi = v->id,
        .tci = v->tci,
        .group = v->group};
    if (!u)
        return;
    in.uplink = u->index;
    input(a, &in);
    if (v->fresh || v->gone) {
        struct vsi_record r = {.format = v->id.format};
        memcpy(r.ifname, v->ifname, sizeof(r.ifname));
        memcpy(r.id, v->id.b, sizeof(r.id));
        memcpy(r.mac, v->mac.b, sizeof(r.mac));
        keylog_put(a->keylog, RECORD_VSI, &r, sizeof(r), &r, v->gone ? 0 : sizeof(r));
    }
}

static void
on_replay(void *ctx, uint8_t kind, const void *bytes, size_t size)
{
    struct agent *a = ctx;
    struct tes_in in = {.type = TES_IN_RESTORE, .p = bytes, .size = (uint32_t)size};
    if (kind == RECORD_VM)
        input(a, &in);
    else if (size == sizeof(struct vsi_record))
        memcpy(fifo_push(&a->vsis), bytes, size);
}

/* --- start --- */

static void
make_node(struct agent *a)
{
    const char *names[TES_UPLINKS_MAX];
    uint64_t now = loop_now_fresh(a->loop);
    struct tes_conf tc;
    main_conf_node(&a->conf, &tc, names);
    tc.wall_us = loop_wall_offset();
    if (getrandom(&tc.seed, sizeof(tc.seed), 0) != sizeof(tc.seed))
        tc.seed = now ^ (uint64_t)getpid() << 32;
    a->tes = tes_new(&tc, now);
}

static int
open_uplink(struct agent *a, uint32_t i, struct host_err *err)
{
    static const struct packet_calls calls = {.on_frames = on_frames};
    const char *name = ((struct main_uplink *)a->conf.uplinks.items)[i].title;
    struct packet_conf pc = {
        .types = {0x88cc, 0x8940},
        .n_types = a->conf.station ? 1 : 2,
        .may_wait = true
    };
    struct netlink_link link;
    struct up *u = &a->up[i];
    int rc;
    u->a = a;
    u->index = i;
    if (strlen(name) >= sizeof(pc.ifname))
        return host_fail(
            err, -EINVAL, "uplink %s: no interface has so long a name", name);
    memcpy(pc.ifname, name, strlen(name));
    rc = a->plane ? tes_bpf_uplink(a->plane, name, &u->number, err) : 0;
    if (!rc)
        rc = packet_open(&u->packet, a->loop, &pc, &calls, u, err);
    if (rc)
        return rc;
    rc = netlink_find(a->nl, name, &link, err);
    if (rc == -ENODEV) {
        log_warn("uplink", "%s: no such interface yet; it is waited for", name);
        return 0;
    }
    if (!rc)
        rc = netlink_set_promisc(a->nl, link.ifindex, true, err);
    if (!rc)
        link_state(a, u, &link);
    return rc;
}

static int
open_plane(struct agent *a, struct host_err *err)
{
    struct tes_bpf_conf bc = {
        .pin_dir = a->conf.pins, .mount = a->conf.mount, .no_tcx = !a->conf.tcx};
    int rc;
    if (!a->conf.tagging)
        return 0;
    if (getrandom(&bc.seed, sizeof(bc.seed), 0) != sizeof(bc.seed))
        bc.seed = 1;
    rc = tes_bpf_open(&a->plane, &bc, err);
    if (rc)
        return rc;
    rc = loop_watch(
        a->loop, tes_bpf_fd(a->plane), LOOP_IN, on_attached, a, &a->attached, err);
    if (rc)
        return rc;
    a->check = loop_timer_new(a->loop, on_check, a);
    loop_timer_set(a->check, loop_now_fresh(a->loop) + CHECK_US);
    return 0;
}

static int
open_journal(struct agent *a, struct host_err *err)
{
    static const uint8_t kinds[] = {RECORD_VM, RECORD_VSI, 0};
    char path[512];
    struct journal_conf jc = {
        .path = path, .layout = JOURNAL_LAYOUT, .sync_us = a->conf.sync_us};
    struct journal_report report;
    int rc;
    for (char *p = a->conf.state + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        mkdir(a->conf.state, 0755);
        *p = '/';
    }
    if (mkdir(a->conf.state, 0700) && errno != EEXIST)
        return host_fail(
            err, -errno, "state directory %s: cannot make it: %m", a->conf.state);
    snprintf(path, sizeof(path), "%s/tes.journal", a->conf.state);
    rc = keylog_open(&a->keylog, &jc, kinds, on_replay, a, &report, err);
    if (rc)
        return rc;
    if (report.corrupt)
        log_err("journal", "%s", err->text);
    log_note("journal", "%s: %u VMs", path, tes_n_vms(a->tes));
    return 0;
}

/* The VMs of the configuration come as commands that nobody waits for. */
static void
follow_vms(struct agent *a)
{
    const struct main_vm *v = a->conf.vms.items;
    for (uint32_t i = 0; i < a->conf.vms.n; i++) {
        char text[256], mac[MAC_STR];
        struct tes_in in = {.type = TES_IN_CONTROL, .p = (const uint8_t *)text};
        int n = snprintf(text, sizeof(text),
            "{\"cmd\":\"vm follow\",\"if\":\"%.15s\",\"mac\":\"%s\"%s%.15s%s}",
            v[i].title, mac_str(&v[i].mac, mac), v[i].uplink ? ",\"uplink\":\"" : "",
            v[i].uplink ? v[i].uplink : "", v[i].uplink ? "\"" : "");
        in.size = (uint32_t)n;
        input(a, &in);
    }
}

static void
on_listed(void *ctx)
{
    struct agent *a = ctx;
    uint32_t n;
    if (a->listed)
        return;
    a->listed = true;
    input(a, &(struct tes_in){.type = TES_IN_RESTORED});
    step(a, loop_now(a->loop));
    n = a->plane ? tes_bpf_sweep(a->plane) : 0;
    if (n)
        log_note("tag", "removed the tags of %u VMs that nobody wants any more", n);
}

static int
open_lldpad(struct agent *a, struct host_err *err)
{
    static const struct lldpad_calls calls = {.on_vsi = on_vsi, .on_listed = on_listed};
    const char *names[TES_UPLINKS_MAX];
    struct lldpad_conf lc = {
        .ifnames = names, .n_ifnames = a->n_up, .poll_us = a->conf.poll_us};
    for (uint32_t i = 0; i < a->n_up; i++)
        names[i] = ((struct main_uplink *)a->conf.uplinks.items)[i].title;
    int rc = lldpad_open(&a->lldpad, a->loop, &lc, &calls, a, err);
    struct vsi_record r;
    while (!rc && fifo_pop(&a->vsis, &r)) {
        struct lldpad_vsi v = {.id = {.format = r.format}};
        memcpy(v.ifname, r.ifname, sizeof(v.ifname) - 1);
        memcpy(v.id.b, r.id, sizeof(v.id.b));
        memcpy(v.mac.b, r.mac, sizeof(v.mac.b));
        lldpad_know(a->lldpad, &v);
    }
    follow_vms(a);
    return rc;
}

static void
on_fact(void *ctx, const char *line, size_t size)
{
    struct tes_in in = {
        .type = TES_IN_DOMAIN, .p = (const uint8_t *)line, .size = (uint32_t)size};
    input(ctx, &in);
}

/* The hypervisor may come later, and VMs of commands need none. */
static int
open_libvirt(struct agent *a, struct host_err *err)
{
    static const struct libvirt_calls calls = {.on_fact = on_fact};
    struct libvirt_conf lc = {.uri = a->conf.libvirt};
    if (!lc.uri || !lc.uri[0])
        return 0;
    return libvirt_open(&a->libvirt, a->loop, &lc, &calls, a, err);
}

static int
start(void *ctx, struct loop *l, struct host_err *err)
{
    static const struct control_calls calls = {
        .on_request = on_request, .on_gone = on_gone};
    struct agent *a = ctx;
    struct control_conf cc = {.path = a->conf.program.control,
        .pipeline = a->conf.pipeline,
        .write_max = 4u << 20};
    int rc;
    a->loop = l;
    fifo_init(&a->staged, sizeof(uint32_t));
    fifo_init(&a->vsis, sizeof(struct vsi_record));
    loop_step(l, step, a);
    make_node(a);
    if ((rc = netlink_open(&a->nl, err)) ||
        (rc = loop_watch(
             l, netlink_monitor_fd(a->nl), LOOP_IN, on_netlink, a, &a->monitor, err)) ||
        (rc = open_plane(a, err)) || (rc = open_journal(a, err)))
        return rc;
    for (uint32_t i = 0; i < a->n_up && !rc; i++)
        rc = open_uplink(a, i, err);
    if (!rc)
        rc = control_open(&a->control, l, &cc, &calls, a, err);
    if (!rc && a->conf.station == STATION_LLDPAD)
        rc = open_lldpad(a, err);
    else if (!rc)
        on_listed(a);
    return rc ? rc : open_libvirt(a, err);
}

static void
stop(void *ctx)
{
    struct agent *a = ctx;
    loop_unwatch(a->monitor);
    loop_unwatch(a->attached);
    lldpad_close(a->lldpad);
    libvirt_close(a->libvirt);
    control_close(a->control);
    for (uint32_t i = 0; i < a->n_up; i++)
        packet_close(a->up[i].packet);
    if (a->check)
        loop_timer_free(a->check);
    keylog_close(a->keylog);
    tes_bpf_close(a->plane);
    netlink_close(a->nl);
    tes_free(a->tes);
    fifo_done(&a->staged);
    fifo_done(&a->vsis);
}

/* --- the program --- */

static error_t
option(int key, char *arg, struct argp_state *state)
{
    struct agent *a = state->input;
    if (key != 'S')
        return ARGP_ERR_UNKNOWN;
    a->station = main_conf_station(arg);
    if (a->station < 0)
        argp_error(state, "--station is berth or lldpad, not '%s'", arg);
    return 0;
}

static int
load(void *ctx, const char *path, struct host_err *err)
{
    struct agent *a = ctx;
    int rc = main_conf_load(&a->conf, path, err);
    if (!rc && a->station >= 0)
        a->conf.station = (unsigned)a->station;
    if (!rc && a->conf.station == STATION_LLDPAD && a->conf.libvirt) {
        config_free(main_rows, &a->conf);
        return host_fail(err, -EINVAL,
            "%s: libvirt goes with station = berth alone: with lldpad, libvirt itself "
            "can ask it (802.1Qbg)",
            path);
    }
    a->n_up = a->conf.uplinks.n;
    return rc;
}

int
main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"station", 'S', "WHO", 0, "Who signals: berth (this agent), or lldpad", 0},
        {0   }
    };
    static const struct argp more = {options, option, NULL, NULL, NULL, NULL, NULL};
    static const int caps[] = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF};
    static struct agent a = {.station = -1};
    static const struct program program = {.name = "berth-tes",
        .about = "The agent of a server: signals to the network edge for the server's "
                 "virtual machines and tags their frames.",
        .status = "signalling for the VMs of this server",
        .more = &more,
        .rows = main_rows,
        .conf = &a.conf.program,
        .caps = caps,
        .n_caps = sizeof(caps) / sizeof(caps[0]),
        .load = load,
        .start = start,
        .stop = stop};
    return program_main(&program, &a, argc, argv);
}
