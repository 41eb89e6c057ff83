/* SPDX-License-Identifier: Apache-2.0 */
/* Time, the queue of events, and the course of one run: chaos, rest, the final
 * placement and the end of everything. */
#include "sim.h"
#include <stdlib.h>

const char *const ev_names[EV_N] = {"wake-nve", "wake-nva", "wake-server", "frame-nve",
    "frame-server", "data-nve", "data-server", "overlay", "dp", "dp-event", "journal",
    "tagged", "tes-journal", "store", "stream-nve", "stream-nva", "stream-open",
    "stream-fail", "closed-nve", "closed-nva", "blocked", "udp-nve", "udp-nva", "op",
    "start-nve", "start-nva", "start-server", "link", "mover", "probe", "final"};

#define RING 400

uint64_t
rnd(struct rng *r, uint64_t below)
{
    return below ? rng_next(r) % below : 0;
}

void
sim_hash(struct world *w, const void *p, size_t size)
{
    w->hash = hash_octets(w->hash, p, size);
}

void
sim_hash_u64(struct world *w, uint64_t v)
{
    w->hash = (w->hash ^ v ^ w->now) * 0x9e3779b97f4a7c15u;
    w->hash ^= w->hash >> 31;
}

void
sim_fail(struct world *w, const char *property, const char *fmt, ...)
{
    va_list ap;
    if (w->failed)
        return;
    w->failed = true;
    snprintf(w->property, sizeof(w->property), "%s", property);
    va_start(ap, fmt);
    vsnprintf(w->why, sizeof(w->why), fmt, ap);
    va_end(ap);
    TRACE(w, "FAILED %s: %s", w->property, w->why);
}

void
sim_trace(struct world *w, const char *fmt, ...)
{
    char text[700];
    int n = snprintf(text, sizeof(text), "%11.6f ", (double)w->now / 1e6);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
    va_end(ap);
    if (w->verbose) {
        puts(text);
        return;
    }
    if (!w->ring)
        w->ring = mem_alloc(RING * sizeof(*w->ring));
    mem_free(w->ring[w->at_ring]);
    w->ring[w->at_ring] = mem_strdup(text);
    w->at_ring = (w->at_ring + 1) % RING;
    w->n_ring = w->n_ring < RING ? w->n_ring + 1 : RING;
}

/* ---- the queue ---- */

static bool
before(const struct event *a, const struct event *b)
{
    return a->at < b->at || (a->at == b->at && a->seq < b->seq);
}

struct event *
world_push(struct world *w, uint8_t type, uint64_t at, uint32_t node, uint32_t inc)
{
    struct event e = {
        .at = at, .seq = ++w->seq, .type = type, .node = node, .inc = inc};
    uint32_t i = w->n_heap++;
    if (i == w->cap_heap) {
        w->cap_heap = w->cap_heap ? w->cap_heap * 2 : 1024;
        w->heap = mem_grow(w->heap, w->cap_heap * sizeof(*w->heap));
    }
    while (i && before(&e, &w->heap[(i - 1) / 2])) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = e;
    return &w->heap[i];
}

struct event *
world_push_octets(struct world *w, uint8_t type, uint64_t at, uint32_t node,
    uint32_t inc, const void *p, size_t size)
{
    struct event *e = world_push(w, type, at, node, inc);
    e->p = mem_alloc(size + 1);
    memcpy(e->p, p, size);
    e->size = (uint32_t)size;
    return e;
}

static struct event
pop(struct world *w)
{
    struct event first = w->heap[0], last = w->heap[--w->n_heap];
    uint32_t i = 0, child;
    while ((child = 2 * i + 1) < w->n_heap) {
        if (child + 1 < w->n_heap && before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!before(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    if (w->n_heap)
        w->heap[i] = last;
    return first;
}

static void
dispatch(struct world *w, struct event *e)
{
    if (w->tracing && e->type != EV_WAKE_NVE && e->type != EV_WAKE_NVA &&
        e->type != EV_WAKE_SERVER && e->type != EV_OP && e->type != EV_MOVER &&
        e->type != EV_PROBE && e->type != EV_DP &&
        !((e->type == EV_STREAM_NVE || e->type == EV_STREAM_NVA) && e->size == 28))
        TRACE(w, "%s node=%u a=%u b=%u size=%u", ev_names[e->type], e->node, e->a, e->b,
            e->size);
    switch ((enum ev_type)e->type) {
    case EV_WAKE_NVE:
    case EV_WAKE_NVA:
    case EV_FRAME_NVE:
    case EV_DP:
    case EV_DP_EVENT:
    case EV_JOURNAL:
    case EV_STORE:
    case EV_START_NVE:
    case EV_START_NVA:
        nodes_event(w, e);
        break;
    case EV_WAKE_SERVER:
    case EV_FRAME_SERVER:
    case EV_DATA_SERVER:
    case EV_TAGGED:
    case EV_TES_JOURNAL:
    case EV_START_SERVER:
    case EV_LINK:
        server_event(w, e);
        break;
    case EV_DATA_NVE:
        dp_from_port(w, e->node, e->a, e->b, e->p, e->size);
        break;
    case EV_OVERLAY:
        dp_from_overlay(w, e->node, e->a, e->b, (uint32_t)e->c, e->p, e->size);
        break;
    case EV_STREAM_NVE:
    case EV_STREAM_NVA:
    case EV_STREAM_OPEN:
    case EV_STREAM_FAIL:
    case EV_CLOSED_NVE:
    case EV_CLOSED_NVA:
    case EV_BLOCKED:
    case EV_UDP_NVE:
    case EV_UDP_NVA:
        net_event(w, e);
        break;
    case EV_OP:
        work_op(w, &w->sc->ops[e->a]);
        break;
    case EV_MOVER:
    case EV_PROBE:
        mover_event(w, e);
        break;
    case EV_FINAL:
    case EV_N:
        break;
    }
}

void
world_advance(struct world *w, uint64_t until_us)
{
    while (!w->failed && w->n_heap && w->heap[0].at <= until_us) {
        struct event e = pop(w);
        w->now = e.at;
        w->steps++;
        dispatch(w, &e);
        mem_free(e.p);
    }
    if (!w->failed)
        w->now = until_us;
}

/* ---- a run ---- */

static void
vm_make(struct world *w, uint32_t i)
{
    struct vm *v = &w->vms[i];
    v->vn = i % w->sc->vns;
    v->k = i / w->sc->vns;
    v->mac = (struct mac){
        {2, 0, 0, 0, (uint8_t)(v->k >> 8), (uint8_t)v->k}
    };
    v->ip = ip_v4(0x0a000000 + 10 + v->k);
    v->id.format = VSIID_UUID;
    memset(v->id.b, 0x11, 8);
    memcpy(v->id.b + 12, &i, 4);
    v->wild = rnd(&w->rng, 100) < w->sc->wild;
    v->noip = rnd(&w->rng, 100) < w->sc->noips;
}

static void
build(struct world *w)
{
    const struct scenario *s = w->sc;
    rng_seed(&w->rng, s->seed);
    rng_seed(&w->net, s->seed ^ 0x9e3779b97f4a7c15u);
    rng_seed(&w->air, s->seed ^ 0xa1f);
    w->now = SEC;
    w->n_servers = s->nves * s->ports;
    w->nves = mem_alloc(s->nves * sizeof(*w->nves));
    w->servers = mem_alloc(w->n_servers * sizeof(*w->servers));
    w->vms = mem_alloc(s->vms * sizeof(*w->vms));
    tab_init(&w->conns);
    tab_init(&w->paths);
    owners_begin(w);
    for (uint32_t i = 0; i < s->nves; i++)
        nve_make(w, i);
    for (uint32_t i = 0; i < w->n_servers; i++)
        server_make(w, i);
    for (uint32_t i = 0; i < s->vms; i++)
        vm_make(w, i);
    nva_make(w);
    w->rec_kind = 1 + (uint32_t)rnd(&w->rng, 2);
    w->rec_node = w->rec_kind == 1 ? (uint32_t)rnd(&w->rng, s->nves) : 0;
    if (s->nves > 16)
        w->rec_kind = 0; /* too much to keep */
    world_push(w, EV_START_NVA, w->now + rnd(&w->rng, SEC), 0, 0);
    for (uint32_t i = 0; i < s->nves; i++)
        world_push(w, EV_START_NVE, w->now + rnd(&w->rng, SEC), i, 0);
    for (uint32_t i = 0; i < w->n_servers; i++)
        world_push(w, EV_START_SERVER, w->now + rnd(&w->rng, SEC), i, 0);
    for (uint32_t i = 0; i < s->n_ops; i++)
        world_push(w, EV_OP, w->now + s->ops[i].at_us, 0, 0)->a = i;
}

static void
heal(struct world *w)
{
    w->calm = true;
    for (uint32_t i = 0; i < w->sc->nves; i++)
        w->nves[i].part_until = 0;
    for (uint32_t i = 0; i < w->n_servers; i++) {
        w->servers[i].link_until = 0;
        if (!w->servers[i].up)
            server_link(w, i, true);
    }
}

bool
world_run(struct world *w, const struct scenario *s)
{
    uint64_t end = SEC + (uint64_t)s->chaos_s * SEC;
    w->sc = s;
    w->hash = 0xcbf29ce484222325u;
    build(w);
    world_advance(w, end);
    if (!w->failed) {
        heal(w);
        /* crashed nodes come back within 5 s, streams within their longest pause */
        world_advance(w, w->now + 60 * SEC);
    }
    if (!w->failed && s->profile != PROFILE_ODD)
        props_rest(w);
    if (!w->failed && s->profile != PROFILE_ODD)
        props_final(w);
    if (!w->failed)
        recorder_check(w);
    return !w->failed;
}

void
world_done(struct world *w)
{
    for (uint32_t i = 0; i < w->n_heap; i++)
        mem_free(w->heap[i].p);
    mem_free(w->heap);
    for (uint32_t i = 0; w->servers && i < w->n_servers; i++)
        server_done(w, i);
    nodes_done(w);
    recorder_done(w);
    tab_done(&w->conns);
    flights_done(w);
    owners_done(w);
    movers_done(w);
    for (uint32_t i = 0; w->vms && i < w->sc->vms; i++)
        mem_free(w->vms[i].wait);
    mem_free(w->nves);
    mem_free(w->servers);
    mem_free(w->vms);
    for (uint32_t i = 0; w->ring && i < RING; i++)
        mem_free(w->ring[i]);
    mem_free(w->ring);
}
