/* SPDX-License-Identifier: Apache-2.0 */
/* Wires between servers and NVEs (frames are lost, doubled, late and overtake each
 * other), streams (in order, in random pieces, stalled by a partition, cut), datagrams.
 */
#include "sim.h"

#define BLOCK_OCTETS 65536

uint64_t
net_delay(struct world *w)
{
    const struct scenario *s = w->sc;
    if (w->calm)
        return 50 + rnd(&w->net, 400);
    if (rng_chance(&w->net, 20000)) /* a straggler */
        return rnd(&w->net, s->delay_us * 20 + 1);
    return 20 + rnd(&w->net, s->delay_us + 1);
}

uint64_t
slow_delay(struct world *w)
{
    return w->calm ? rnd(&w->net, 100) : rnd(&w->net, w->sc->slow_us + 1);
}

static bool
lost(struct world *w)
{
    return !w->calm && rng_chance(&w->net, w->sc->loss);
}

static uint32_t
copies(struct world *w)
{
    if (lost(w))
        return 0;
    return !w->calm && rng_chance(&w->net, w->sc->dup) ? 2 : 1;
}

void
net_link(struct world *w, uint32_t server, bool to_nve, const uint8_t *p, uint32_t size)
{
    struct server *s = &w->servers[server];
    if (!s->up)
        return;
    for (uint32_t n = copies(w); n; n--) {
        uint64_t at = w->now + net_delay(w);
        struct event *e = world_push_octets(w, to_nve ? EV_FRAME_NVE : EV_FRAME_SERVER,
            at, to_nve ? s->nve : server, 0, p, size);
        e->a = s->port;
        e->b = server;
    }
}

/* ---- streams ---- */

static struct conn *
conn_at(const struct world *w, uint64_t id)
{
    struct tab_row *r = tab_find(&w->conns, &id, sizeof(id));
    return r ? r->val : NULL;
}

static void
conn_drop(struct world *w, uint64_t id)
{
    tab_del(&w->conns, &id, sizeof(id));
}

void
net_connect(struct world *w, uint32_t nve)
{
    struct nve_node *n = &w->nves[nve];
    uint64_t id = ++w->next_conn;
    struct conn c = {.id = id, .nve = nve, .nve_inc = n->inc, .nva_inc = w->nva.inc};
    bool reachable = w->nva.up && n->part_until <= w->now &&
                     (w->calm || !rng_chance(&w->net, 50000));
    n->conn = id;
    tab_put(&w->conns, &id, sizeof(id), &c, sizeof(c));
    if (reachable)
        world_push(w, EV_STREAM_OPEN, w->now + net_delay(w) * 2, nve, n->inc)->c = id;
    else
        world_push(w, EV_STREAM_FAIL, w->now + 10 * MS + rnd(&w->net, SEC), nve, n->inc)
            ->c = id;
}

static void
conn_open(struct world *w, struct event *e)
{
    struct conn *c = conn_at(w, e->c);
    uint8_t nonce[64];
    if (!c || w->nves[c->nve].conn != c->id)
        return;
    if (!w->nva.up || c->nva_inc != w->nva.inc) {
        world_push(
            w, EV_STREAM_FAIL, w->now + rnd(&w->net, 100 * MS), c->nve, c->nve_inc)
            ->c = c->id;
        return;
    }
    c->open = true;
    c->nva_knows = true;
    rng_bytes(&w->net, nonce, sizeof(nonce));
    struct nva_in a = {.type = NVA_IN_STREAM_OPEN,
        .conn = c->id,
        .p = nonce,
        .size = 32,
        .from = w->nves[c->nve].vtep,
        .from_port = 40000};
    struct nve_in n = {.type = NVE_IN_STREAM_OPEN, .p = nonce + 32, .size = 32};
    uint32_t nve = c->nve;
    nva_feed(w, &a);
    nve_in(w, nve, &n);
}

void
net_write(struct world *w, uint64_t id, bool to_nva, const uint8_t *p, uint32_t size)
{
    struct conn *c = conn_at(w, id);
    if (!c || !c->open)
        return;
    while (size) {
        uint32_t part = w->calm || rng_chance(&w->net, 700000)
                            ? size
                            : 1 + (uint32_t)rnd(&w->net, size);
        uint64_t at = w->now + net_delay(w), part_end = w->nves[c->nve].part_until;
        struct event *e;
        if (at < part_end)
            at = part_end + net_delay(w);
        if (at < c->last[to_nva])
            at = c->last[to_nva];
        c->last[to_nva] = at;
        e = world_push_octets(w, to_nva ? EV_STREAM_NVA : EV_STREAM_NVE, at, c->nve,
            to_nva ? c->nva_inc : c->nve_inc, p, part);
        e->c = id;
        p += part;
        size -= part;
        if (!to_nva)
            c->in_flight += part;
    }
    if (!to_nva && c->in_flight > BLOCK_OCTETS && !c->blocked) {
        c->blocked = true;
        world_push(w, EV_BLOCKED, w->now, c->nve, c->nva_inc)->c = id;
    }
}

/* The other side hears of it behind what is still under way. */
void
net_close(struct world *w, uint64_t id, bool by_nva)
{
    struct conn *c = conn_at(w, id);
    uint64_t at;
    if (!c)
        return;
    if (!by_nva && w->nves[c->nve].conn == id)
        w->nves[c->nve].conn = 0;
    if (!c->open) {
        conn_drop(w, id);
        return;
    }
    at = c->last[!by_nva];
    if (at < w->now)
        at = w->now;
    at += net_delay(w);
    world_push(w, by_nva ? EV_CLOSED_NVE : EV_CLOSED_NVA, at, c->nve,
        by_nva ? c->nve_inc : c->nva_inc)
        ->c = id;
}

void
net_cut(struct world *w, uint64_t id)
{
    struct conn *c = conn_at(w, id);
    if (!c)
        return;
    if (c->open) {
        world_push(
            w, EV_CLOSED_NVE, w->now + rnd(&w->net, 500 * MS), c->nve, c->nve_inc)
            ->c = id;
        world_push(
            w, EV_CLOSED_NVA, w->now + rnd(&w->net, 500 * MS), c->nve, c->nva_inc)
            ->c = id;
    }
    c->open = false;
}

/* A node died: its streams end. */
void
net_cut_all(struct world *w, uint32_t nve, bool all)
{
    struct tab_row *r;
    for (uint32_t it = 0; (r = tab_each(&w->conns, &it));) {
        struct conn *c = r->val;
        if (all || c->nve == nve)
            net_cut(w, c->id);
    }
}

static void
stream_octets(struct world *w, struct event *e)
{
    struct conn *c = conn_at(w, e->c);
    if (!c || !c->open)
        return;
    if (e->type == EV_STREAM_NVA) {
        struct nva_in in = {
            .type = NVA_IN_STREAM_DATA, .conn = e->c, .p = e->p, .size = e->size};
        if (w->nva.up && c->nva_inc == w->nva.inc)
            nva_feed(w, &in);
        return;
    }
    c->in_flight -= e->size;
    if (c->blocked && c->in_flight < BLOCK_OCTETS / 2) {
        c->blocked = false;
        struct nva_in in = {.type = NVA_IN_STREAM_DRAINED, .conn = e->c};
        if (w->nva.up && c->nva_inc == w->nva.inc)
            nva_feed(w, &in);
    }
    struct nve_in in = {.type = NVE_IN_STREAM_DATA, .p = e->p, .size = e->size};
    struct nve_node *n = &w->nves[e->node];
    if (n->up && n->inc == e->inc && n->conn == e->c)
        nve_in(w, e->node, &in);
}

static void
stream_closed(struct world *w, struct event *e)
{
    struct conn *c = conn_at(w, e->c);
    struct nve_node *n = &w->nves[e->node];
    if (e->type == EV_CLOSED_NVA) {
        struct nva_in in = {.type = NVA_IN_STREAM_CLOSED, .conn = e->c};
        bool knows = c && c->nva_knows;
        if (c)
            c->nva_knows = false;
        if (knows && w->nva.up && w->nva.inc == e->inc)
            nva_feed(w, &in);
        c = conn_at(w, e->c);
        if (c && n->conn != e->c)
            conn_drop(w, e->c);
        return;
    }
    if (n->up && n->inc == e->inc && n->conn == e->c) {
        struct nve_in in = {.type = NVE_IN_STREAM_CLOSED};
        n->conn = 0;
        nve_in(w, e->node, &in);
    }
    c = conn_at(w, e->c);
    if (c && !c->nva_knows)
        conn_drop(w, e->c);
}

/* ---- datagrams ---- */

/* from, dst: an NVE, or sc->nves for the authority. */
void
net_udp(struct world *w, uint32_t from, uint32_t dst, uint16_t from_port,
    uint16_t to_port, const uint8_t *p, uint32_t size)
{
    uint32_t nva = w->sc->nves, nve = from == nva ? dst : from;
    if ((from == nva || dst == nva) && w->nves[nve].part_until > w->now)
        return;
    for (uint32_t n = copies(w); n; n--) {
        struct event *e = world_push_octets(w, dst == nva ? EV_UDP_NVA : EV_UDP_NVE,
            w->now + net_delay(w), dst == nva ? 0 : dst, 0, p, size);
        e->a = from;
        e->b = (uint32_t)from_port << 16 | to_port;
    }
}

static void
datagram(struct world *w, struct event *e)
{
    struct ip from = e->a == w->sc->nves ? ip_v4(0x0afe0001) : w->nves[e->a].vtep;
    if (e->type == EV_UDP_NVA) {
        struct nva_in in = {.type = NVA_IN_UDP,
            .p = e->p,
            .size = e->size,
            .from = from,
            .from_port = (uint16_t)(e->b >> 16)};
        if (w->nva.up)
            nva_feed(w, &in);
        return;
    }
    struct nve_in in = {.type = NVE_IN_UDP,
        .p = e->p,
        .size = e->size,
        .from = from,
        .from_port = (uint16_t)(e->b >> 16)};
    if (w->nves[e->node].up)
        nve_in(w, e->node, &in);
}

void
net_event(struct world *w, struct event *e)
{
    struct nve_node *n = &w->nves[e->node];
    switch (e->type) {
    case EV_STREAM_OPEN:
        if (n->up && n->inc == e->inc && n->conn == e->c)
            conn_open(w, e);
        break;
    case EV_STREAM_FAIL:
        if (n->up && n->inc == e->inc && n->conn == e->c) {
            struct nve_in in = {.type = NVE_IN_STREAM_CLOSED};
            conn_drop(w, e->c);
            n->conn = 0;
            nve_in(w, e->node, &in);
        }
        break;
    case EV_STREAM_NVE:
    case EV_STREAM_NVA:
        stream_octets(w, e);
        break;
    case EV_CLOSED_NVE:
    case EV_CLOSED_NVA:
        stream_closed(w, e);
        break;
    case EV_BLOCKED:
        if (w->nva.up && w->nva.inc == e->inc) {
            struct nva_in in = {.type = NVA_IN_STREAM_BLOCKED, .conn = e->c};
            nva_feed(w, &in);
        }
        break;
    case EV_UDP_NVE:
    case EV_UDP_NVA:
        datagram(w, e);
        break;
    }
}
