/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that wait for a VM that is on its way, as core/dp.h says (K12, D6): bounded in
 * frames, octets and time, the oldest goes first, released in order. The entry outlives
 * the daemon like the other tables; what waits does not, and while the daemon is away
 * nobody takes what should wait. */
#include "sim.h"

struct kept {
    uint64_t at;
    uint32_t port, ttl, from, size; /* port 0: came from NVE `from` */
    uint8_t p[128];
};
struct holding {
    uint32_t vni, gen, frames, octets, n, bytes;
    struct mac mac;
    uint64_t max_us;
    struct kept *q; /* oldest first */
};

static struct holding *
find(const struct nve_node *n, uint32_t vni, const struct mac *mac)
{
    for (uint32_t i = 0; i < n->n_holds; i++)
        if (n->holds[i].vni == vni && mac_equal(&n->holds[i].mac, mac))
            return &n->holds[i];
    return NULL;
}

bool
hold_has(const struct nve_node *n, uint32_t vni, const struct mac *mac)
{
    return find(n, vni, mac) != NULL;
}

uint32_t
hold_count(const struct nve_node *n)
{
    return n->n_holds;
}

static void
lose_first(struct world *w, uint32_t nve, struct holding *h)
{
    w->nves[nve].counters[DPC_DROP_HELD]++;
    cover_fault(FAULT_21);
    TRACE(w, "  nve=%u drops what waited", nve);
    flight_lost(w, LOST_DROP, nve, DPC_DROP_HELD, h->q[0].p, h->q[0].size);
    h->bytes -= h->q[0].size;
    memmove(h->q, h->q + 1, --h->n * sizeof(*h->q));
}

static void
trim(struct world *w, uint32_t nve, struct holding *h)
{
    while (h->n && (h->n > h->frames || h->bytes > h->octets ||
                       h->q[0].at + h->max_us < w->now))
        lose_first(w, nve, h);
}

void
hold_set(struct world *w, uint32_t nve, const struct dp_op *op)
{
    struct nve_node *n = &w->nves[nve];
    struct holding *h = find(n, op->u.hold.vni, &op->u.hold.mac);
    if (!h) {
        n->holds = mem_grow(n->holds, (n->n_holds + 1) * sizeof(*n->holds));
        h = &n->holds[n->n_holds++];
        *h = (struct holding){.vni = op->u.hold.vni, .mac = op->u.hold.mac};
    }
    h->frames = op->u.hold.frames;
    h->octets = op->u.hold.octets;
    h->max_us = op->u.hold.max_us;
    h->gen = n->dp_gen;
    trim(w, nve, h);
}

static void
end(struct world *w, uint32_t nve, struct holding *h, bool drain)
{
    struct nve_node *n = &w->nves[nve];
    trim(w, nve, h);
    while (!drain && h->n)
        lose_first(w, nve, h);
    struct holding was = *h;
    *h = n->holds[--n->n_holds];
    for (uint32_t i = 0; i < was.n; i++) {
        n->counters[DPC_RELEASED]++;
        dp_release(w, nve, was.vni, was.q[i].port, was.q[i].ttl, was.q[i].from,
            was.q[i].p, was.q[i].size);
    }
    mem_free(was.q);
}

void
hold_del(struct world *w, uint32_t nve, const struct dp_op *op)
{
    struct holding *h = find(&w->nves[nve], op->u.hold.vni, &op->u.hold.mac);
    if (h)
        end(w, nve, h, op->u.hold.drain);
}

void
hold_trim(struct world *w, uint32_t nve)
{
    for (uint32_t i = 0; i < w->nves[nve].n_holds; i++)
        trim(w, nve, &w->nves[nve].holds[i]);
}

void
hold_sync(struct world *w, uint32_t nve, uint32_t gen)
{
    struct nve_node *n = &w->nves[nve];
    for (uint32_t i = n->n_holds; i-- > 0;)
        if (n->holds[i].gen != gen)
            end(w, nve, &n->holds[i], false);
}

void
hold_crash(struct world *w, uint32_t nve)
{
    struct nve_node *n = &w->nves[nve];
    for (uint32_t i = 0; i < n->n_holds; i++)
        while (n->holds[i].n)
            lose_first(w, nve, &n->holds[i]);
}

/* false: it does not wait here. */
bool
hold_take(struct world *w, uint32_t nve, uint32_t vni, const struct mac *mac,
    uint32_t port, uint32_t ttl, uint32_t from, const uint8_t *p, uint32_t size)
{
    struct nve_node *n = &w->nves[nve];
    struct holding *h = find(n, vni, mac);
    if (!h)
        return false;
    struct flight *f = flight_of(w, p, size);
    if (f)
        f->held = 1;
    if (!n->up || !h->frames || size > sizeof(h->q->p)) {
        n->counters[DPC_DROP_HELD]++;
        TRACE(w, "  nve=%u drops: nobody keeps what should wait", nve);
        flight_lost(w, LOST_DROP, nve, DPC_DROP_HELD, p, size);
        return true;
    }
    TRACE(w, "  nve=%u keeps a frame, %u wait", nve, h->n);
    n->counters[DPC_HELD]++;
    w->n_held++;
    h->q = mem_grow(h->q, (h->n + 1) * sizeof(*h->q));
    struct kept *k = &h->q[h->n++];
    *k = (struct kept){
        .at = w->now, .port = port, .ttl = ttl, .from = from, .size = size};
    memcpy(k->p, p, size);
    h->bytes += size;
    trim(w, nve, h);
    return true;
}

void
hold_done(struct nve_node *n)
{
    for (uint32_t i = 0; i < n->n_holds; i++)
        mem_free(n->holds[i].q);
    mem_free(n->holds);
    n->holds = NULL;
    n->n_holds = 0;
}
