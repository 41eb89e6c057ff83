/* SPDX-License-Identifier: Apache-2.0 */
/* berth-nva: joins the node (pure) with host. Each turn of the loop ends in step(): due
 * time is fed and outputs are pulled until there are none; what goes to one stream in a
 * turn leaves in one write, what goes by UDP in one call per 128. Map-Requests are
 * answered in the receive callback itself. Completions of the store come by its own
 * descriptor. */
#include "base/log.h"
#include "base/mem.h"
#include "host/control.h"
#include "host/loop.h"
#include "host/program.h"
#include "host/store.h"
#include "host/stream.h"
#include "host/udp.h"
#include "nva/main_conf.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define STREAM_BOUND 4194304 /* octets waiting for one NVE; blocked at half */
#define REPLY_MAX    1500

struct app;
struct conn {
    struct app *app;
    struct stream *stream;
    uint64_t id; /* a count above, the slot below */
    bool blocked;
};
struct write { /* a store operation whose end the node waits for */
    uint64_t op;
    uint32_t id;
};
struct app {
    struct main_conf conf;
    struct loop *loop;
    struct control *control;
    struct stream_server *server;
    struct udp *udp;
    struct store *store;
    struct loop_watch *stored;
    struct nva *nva;
    struct conn **conns;
    uint32_t n_slots;
    uint64_t n_conns;
    struct fifo writes;  /* of struct write, in order of op */
    struct fifo expired; /* of struct store_epoch: older than T_forget */
};

static void
feed(struct app *a, const struct nva_in *in)
{
    nva_input(a->nva, in, loop_now(a->loop));
}

static void
random_octets(void *p, size_t size)
{
    if (getrandom(p, size, 0) != (ssize_t)size)
        abort();
}

/* ---- streams ---- */

static void *
stream_accept(void *ctx, struct stream *s)
{
    struct app *a = ctx;
    struct conn *c = mem_alloc(sizeof *c);
    uint8_t nonce[32];
    uint32_t slot = 0;
    while (slot < a->n_slots && a->conns[slot])
        slot++;
    if (slot == a->n_slots) {
        a->conns = mem_grow(a->conns, (slot + 64) * sizeof(struct conn *));
        memset(a->conns + slot, 0, 64 * sizeof(struct conn *));
        a->n_slots += 64;
    }
    a->conns[slot] = c;
    c->app = a;
    c->stream = s;
    c->id = ++a->n_conns << 32 | slot;
    random_octets(nonce, sizeof nonce);
    struct nva_in in = {.type = NVA_IN_STREAM_OPEN,
        .conn = c->id,
        .p = nonce,
        .size = sizeof nonce,
        .from = stream_peer(s)->ip,
        .from_port = stream_peer(s)->port};
    feed(a, &in);
    return c;
}

static void
conn_free(struct conn *c)
{
    c->app->conns[(uint32_t)c->id] = NULL;
    mem_free(c);
}

static void
stream_data(void *ctx, struct stream *s, const uint8_t *data, size_t size)
{
    struct conn *c = ctx;
    struct nva_in in = {
        .type = NVA_IN_STREAM_DATA, .conn = c->id, .p = data, .size = (uint32_t)size};
    (void)s;
    feed(c->app, &in);
}

static void
stream_closed(void *ctx, struct stream *s, int code, const char *why)
{
    struct conn *c = ctx;
    struct nva_in in = {.type = NVA_IN_STREAM_CLOSED, .conn = c->id};
    (void)s;
    log_dbg(
        "nva", "stream=%llu closed code=%d %s", (unsigned long long)c->id, code, why);
    feed(c->app, &in);
    conn_free(c);
}

static void
stream_blocked(struct conn *c, bool blocked)
{
    struct nva_in in = {
        .type = blocked ? NVA_IN_STREAM_BLOCKED : NVA_IN_STREAM_DRAINED, .conn = c->id};
    c->blocked = blocked;
    stream_pause(c->stream, blocked); /* who does not read is not read either */
    feed(c->app, &in);
}

static void
stream_room_again(void *ctx, struct stream *s)
{
    struct conn *c = ctx;
    (void)s;
    if (c->blocked)
        stream_blocked(c, false);
}

static void
out_stream(struct app *a, const struct nva_out *o)
{
    struct conn *c =
        (uint32_t)o->conn < a->n_slots ? a->conns[(uint32_t)o->conn] : NULL;
    if (!c || c->id != o->conn)
        return;
    if (o->type == NVA_OUT_STREAM_CLOSE) {
        stream_close(c->stream);
        conn_free(c);
        return;
    }
    /* Over the bound: on_close tells. */
    if (stream_write(c->stream, o->p, o->size) == 0 && !c->blocked &&
        stream_room(c->stream) < STREAM_BOUND / 2)
        stream_blocked(c, true);
}

/* ---- UDP ---- */

static void
udp_in(void *ctx, struct udp *u, const struct udp_msg *msgs, uint32_t n)
{
    struct app *a = ctx;
    uint8_t reply[REPLY_MAX];
    uint64_t now = loop_now(a->loop);
    struct ip to;
    uint16_t port;
    for (uint32_t i = 0; i < n; i++) {
        const struct udp_msg *m = &msgs[i];
        uint32_t size = nva_udp_fast(a->nva, m->data, m->size, &m->peer, m->peer_port,
            reply, sizeof reply, &to, &port, now);
        if (size) {
            udp_send(u, &m->local, &to, port, reply, size);
            continue;
        }
        struct nva_in in = {.type = NVA_IN_UDP,
            .p = m->data,
            .size = m->size,
            .from = m->peer,
            .from_port = m->peer_port};
        feed(a, &in);
    }
}

/* ---- control ---- */

static void
control_request(void *ctx, uint64_t conn, char *line, size_t size)
{
    struct nva_in in = {.type = NVA_IN_CONTROL,
        .conn = conn,
        .p = (uint8_t *)line,
        .size = (uint32_t)size};
    feed(ctx, &in);
}

static void
control_gone(void *ctx, uint64_t conn)
{
    struct nva_in in = {.type = NVA_IN_CONTROL_GONE, .conn = conn};
    feed(ctx, &in);
}

static void
control_more(struct app *a)
{
    struct nva_in in = {.type = NVA_IN_CONTROL_MORE};
    size_t room;
    while (control_turn(a->control, &in.conn, &room)) {
        in.size = (uint32_t)(room / 2);
        feed(a, &in);
    }
}

static void
out_control(struct app *a, const struct nva_out *o)
{
    if (o->last == 2) {
        control_end(a->control, o->conn, (const char *)o->p);
        return;
    }
    control_piece(a->control, o->conn, (const char *)o->p, o->size);
    if (o->last == 1)
        control_end(a->control, o->conn, NULL);
    else
        control_wait(a->control, o->conn);
}

/* ---- store ---- */

static uint64_t
wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

enum { FLAG_PULL = 1 }; /* of store_vn.flags */

static uint64_t
store_op(struct app *a, const struct nva_out *o, struct host_err *err)
{
    struct store_epoch e = {o->vni, o->mac, o->epoch, o->migration_id, wall_us()};
    struct store_vn vn = {.vni = o->vn.vni,
        .mtu = (uint16_t)o->vn.mtu,
        .arp_policy = o->vn.arp,
        .reply_mode = !o->vn.centralised,
        .flags = o->vn.pull ? FLAG_PULL : 0};
    switch ((enum nva_store_op)o->store) {
    case STORE_VN_PUT:
        snprintf(vn.name, sizeof vn.name, "%s", o->vn.name);
        return store_put_vn(a->store, &vn, err);
    case STORE_VN_DEL:
        return store_del_vn(a->store, o->vni, err);
    case STORE_EPOCH:
        return o->epoch ? store_put_epoch(a->store, &e, err)
                        : store_del_epoch(a->store, o->vni, &o->mac, err);
    case STORE_EPOCH_HWM:
        return store_epoch_raise(a->store, o->epoch, err);
    case STORE_NVE_PUT:
        return store_put_nve(a->store, o->name, err);
    case STORE_RESERVATION:
        return o->epoch ? store_put_reservation(a->store, &e, &o->target, err)
                        : store_del_reservation(
                              a->store, o->vni, &o->mac, &o->target, err);
    }
    return 0;
}

static void
out_store(struct app *a, const struct nva_out *o)
{
    struct host_err err = {{0}};
    struct write w = {store_op(a, o, &err), o->id};
    if (w.op) {
        *(struct write *)fifo_push(&a->writes) = w;
        return;
    }
    log_err("nva", "%s", err.text);
    struct nva_in in = {.type = NVA_IN_STORED, .id = o->id, .status = -EIO};
    if (o->id)
        feed(a, &in);
}

static void
stored(void *ctx, int events)
{
    struct app *a = ctx;
    struct store_done d;
    struct write w;
    (void)events;
    while (store_next_done(a->store, &d)) {
        const struct write *head;
        if (d.result)
            log_err("nva", "%s", d.err.text);
        while ((head = fifo_peek(&a->writes)) && head->op <= d.id) {
            fifo_pop(&a->writes, &w);
            struct nva_in in = {.type = NVA_IN_STORED, .id = w.id, .status = d.result};
            if (w.id)
                feed(a, &in);
        }
    }
}

static void
load_vn(void *ctx, const struct store_vn *s)
{
    struct vn_rec vn = {.vni = s->vni,
        .mtu = s->mtu,
        .arp = s->arp_policy,
        .centralised = !s->reply_mode,
        .pull = s->flags & FLAG_PULL};
    struct nva_in in = {.type = NVA_IN_LOAD_VN, .vn = &vn};
    snprintf(vn.name, sizeof vn.name, "%s", s->name);
    feed(ctx, &in);
}

static void
load_epoch(void *ctx, const struct store_epoch *e)
{
    struct app *a = ctx;
    uint64_t now = wall_us(), forget = a->conf.settings[NVA_SET_FORGET_US];
    struct nva_in in = {.type = NVA_IN_LOAD_EPOCH,
        .vni = e->vni,
        .mac = e->mac,
        .epoch = e->epoch,
        .migration_id = e->migration};
    if (now > e->t_us && now - e->t_us > forget)
        *(struct store_epoch *)fifo_push(&a->expired) = *e;
    else
        feed(a, &in);
}

static void
load_nve(void *ctx, const char *name)
{
    struct nva_in in = {.type = NVA_IN_LOAD_NVE, .name = name};
    feed(ctx, &in);
}

/* One that is too old is overwritten or outlived by its T_forget from now. */
static void
load_reservation(void *ctx, const struct store_epoch *e, const struct ip *target)
{
    struct nva_in in = {.type = NVA_IN_LOAD_RESERVATION,
        .vni = e->vni,
        .mac = e->mac,
        .epoch = e->epoch,
        .migration_id = e->migration,
        .target = *target};
    feed(ctx, &in);
}

static int
store_start(struct app *a, struct host_err *err)
{
    struct store_conf conf = {.path = a->conf.store};
    struct store_load load = {load_vn, load_epoch, load_nve, load_reservation, a};
    struct nva_in in = {.type = NVA_IN_LOAD_EPOCH};
    struct store_epoch e;
    uint64_t limit;
    int rc = store_open(&a->store, &conf, &load, err);
    if (rc)
        return rc;
    while (fifo_pop(&a->expired, &e))
        store_del_epoch(a->store, e.vni, &e.mac, NULL);
    store_epoch_range(a->store, &in.epoch, &limit);
    feed(a, &in);
    in = (struct nva_in){.type = NVA_IN_LOADED};
    feed(a, &in);
    return loop_watch(a->loop, store_fd(a->store), LOOP_IN, stored, a, &a->stored, err);
}

/* ---- the step ---- */

static void
out(struct app *a, const struct nva_out *o)
{
    switch ((enum nva_out_type)o->type) {
    case NVA_OUT_STREAM_DATA:
    case NVA_OUT_STREAM_CLOSE:
        out_stream(a, o);
        break;
    case NVA_OUT_UDP:
        udp_send(a->udp, NULL, &o->to, o->to_port, o->p, o->size);
        break;
    case NVA_OUT_STORE:
        out_store(a, o);
        break;
    case NVA_OUT_CONTROL:
        out_control(a, o);
        break;
    }
}

static void
step(void *ctx, uint64_t now_us)
{
    struct app *a = ctx;
    struct nva_in tick = {.type = NVA_IN_TICK};
    struct nva_out o;
    if (nva_deadline(a->nva) <= now_us)
        nva_input(a->nva, &tick, now_us);
    do {
        while (nva_output(a->nva, &o))
            out(a, &o);
        control_more(a);
    } while (nva_output(a->nva, &o) && (out(a, &o), true));
    loop_deadline(a->loop, nva_deadline(a->nva));
}

/* ---- start and stop ---- */

static int
load(void *ctx, const char *path, struct host_err *err)
{
    struct app *a = ctx;
    return main_conf_load(&a->conf, path, err);
}

static void
node_start(struct app *a)
{
    struct nva_conf nc;
    main_conf_node(&a->conf, &nc);
    random_octets(&nc.seed, sizeof nc.seed);
    nc.wall_us = loop_wall_offset();
    random_octets(&nc.incarnation, sizeof nc.incarnation);
    a->nva = nva_new(&nc, loop_now_fresh(a->loop));
    mem_free((void *)nc.keys);
    mem_free((void *)nc.xtr_keys);
}

static int
start(void *ctx, struct loop *l, struct host_err *err)
{
    static const struct control_calls control = {control_request, control_gone};
    static const struct stream_calls stream = {.on_accept = stream_accept,
        .on_data = stream_data,
        .on_room = stream_room_again,
        .on_close = stream_closed};
    struct app *a = ctx;
    struct control_conf cc = {.path = a->conf.program.control};
    struct stream_addr sa = {.ip = a->conf.address, .port = a->conf.port};
    struct stream_conf sc = {.write_max = STREAM_BOUND,
        .accept_max = (uint32_t)a->conf.settings[NVA_SET_MAX_STREAMS]};
    struct udp_conf uc = {.address = a->conf.address, .port = a->conf.udp_port};
    int rc;
    a->loop = l;
    fifo_init(&a->writes, sizeof(struct write));
    fifo_init(&a->expired, sizeof(struct store_epoch));
    node_start(a);
    /* The store first: nobody may ask before the virtual networks are there. */
    if ((rc = store_start(a, err)) ||
        (rc = control_open(&a->control, a->loop, &cc, &control, a, err)) ||
        (rc = udp_open(&a->udp, a->loop, &uc, udp_in, a, err)) ||
        (rc = stream_listen(&a->server, a->loop, &sa, &sc, &stream, a, err)))
        return rc;
    loop_step(l, step, a);
    return 0;
}

static void
stop(void *ctx)
{
    struct app *a = ctx;
    struct nva_in in = {.type = NVA_IN_STOP};
    struct nva_out o;
    if (a->server) { /* started whole: say goodbye */
        stream_server_close(a->server);
        feed(a, &in);
        while (nva_output(a->nva, &o))
            out(a, &o);
    }
    for (uint32_t i = 0; i < a->n_slots; i++)
        if (a->conns[i]) {
            stream_close(a->conns[i]->stream);
            conn_free(a->conns[i]);
        }
    if (a->control)
        control_close(a->control);
    udp_close(a->udp);
    if (a->stored)
        loop_unwatch(a->stored);
    store_close(a->store); /* commits what is queued */
    nva_free(a->nva);
    mem_free(a->conns);
    fifo_done(&a->writes);
    fifo_done(&a->expired);
}

int
main(int argc, char **argv)
{
    static struct app a;
    static const struct program program = {.name = "berth-nva",
        .about =
            "The network virtualization authority: virtual networks, epochs, and the "
            "mapping server that every edge is connected to.",
        .status = "serving",
        .rows = main_rows,
        .conf = &a.conf.program,
        .load = load,
        .start = start,
        .stop = stop};
    return program_main(&program, &a, argc, argv);
}
