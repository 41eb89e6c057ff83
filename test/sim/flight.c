/* SPDX-License-Identifier: Apache-2.0 */
/* Every unicast frame from one VM to another, from its sending to where it ended. Held
 * at every step: a frame arrives once (where no network doubled it), whoever runs its
 * VM as well; the frames of one place to another that took one path arrive in order,
 * those that waited before those that came later (D6, K12); along a path of relays the
 * epochs grow (D2, D3), so their number is bounded (P1). */
#include "sim.h"
#include "core/mapping.h"

#define RELAYS_MAX 16

void
flight_sent(struct world *w, uint32_t seq, uint32_t from, uint32_t to, uint32_t server)
{
    if (seq >= w->cap_flights) {
        uint32_t cap = w->cap_flights ? w->cap_flights : 1024;
        while (cap <= seq)
            cap *= 2;
        w->flights = mem_grow(w->flights, cap * sizeof(*w->flights));
        memset(w->flights + w->cap_flights, 0,
            (cap - w->cap_flights) * sizeof(*w->flights));
        w->cap_flights = cap;
    }
    w->flights[seq] = (struct flight){.from = from,
        .to = to,
        .path = (server + 1) * 0x85ebca6bu,
        .sent_us = w->now,
        .used = 1};
}

struct flight *
flight_of(struct world *w, const uint8_t *p, uint32_t size)
{
    uint32_t vn, seq;
    if (!frame_truth(p, size, &vn, &seq) || seq >= w->cap_flights)
        return NULL;
    return w->flights[seq].used ? &w->flights[seq] : NULL;
}

void
flight_at(struct world *w, uint32_t nve, const uint8_t *p, uint32_t size)
{
    struct flight *f = flight_of(w, p, size);
    if (f)
        f->path = (f->path ^ (nve + 1)) * 0x9e3779b1u;
}

/* Epoch of what an NVE relays by: of the owner that has published, or of the one that
 * has reserved. 0: its tables are being written. */
static uint64_t
relay_epoch(
    struct world *w, uint32_t nve, uint32_t to, uint32_t vni, const struct mac *mac)
{
    struct nve_node *n = &w->nves[nve];
    struct mapping_rec rec;
    if (!n->up || n->dpq.n)
        return 0;
    struct edge *e = nve_edge(n->nve);
    if (mapping_find(e, vni, mac, NULL, &rec, NULL) &&
        ip_equal(&rec.owner, &w->nves[to].vtep))
        return rec.epoch;
    if (mapping_target(e, vni, mac, &rec) && ip_equal(&rec.owner, &w->nves[to].vtep))
        return rec.epoch;
    return 0;
}

void
flight_relayed(struct world *w, uint32_t nve, uint32_t to, uint32_t vni,
    const struct mac *mac, const uint8_t *p, uint32_t size)
{
    struct flight *f = flight_of(w, p, size);
    uint64_t epoch = f ? relay_epoch(w, nve, to, vni, mac) : 0;
    uint32_t vn, seq = 0;
    if (!f || f->twice) /* which of its copies this is nobody knows */
        return;
    frame_truth(p, size, &vn, &seq);
    if (++f->relays > RELAYS_MAX)
        sim_fail(w, "P1", "nve=%u: frame %u is relayed for the %uth time", nve, seq,
            f->relays);
    if (epoch && f->relay_epoch && epoch <= f->relay_epoch)
        sim_fail(w, "P1",
            "nve=%u relays frame %u to nve=%u by epoch %llu, it came here by %llu", nve,
            seq, to, (unsigned long long)epoch, (unsigned long long)f->relay_epoch);
    if (epoch)
        f->relay_epoch = epoch;
}

void
flight_lost(struct world *w, enum lost_why lost, uint32_t nve, uint32_t why,
    const uint8_t *p, uint32_t size)
{
    struct flight *f = flight_of(w, p, size);
    if (!f || f->got)
        return;
    f->lost = (uint8_t)lost;
    f->nve = (uint16_t)nve;
    f->why = (uint16_t)why;
}

void
flight_taken(struct world *w, uint32_t seq, uint32_t server)
{
    struct flight *f = seq < w->cap_flights ? &w->flights[seq] : NULL;
    struct tab_row *r;
    if (!f || !f->used)
        return;
    if (f->got++ && !f->stray)
        sim_fail(
            w, "duplicate", "vm=%u takes frame %u of vm=%u twice", f->to, seq, f->from);
    f->lost = LOST_NOT;
    if (f->stray || f->got > 1)
        return;
    uint32_t key[4] = {f->from, f->to, f->path, server};
    r = tab_find(&w->paths, key, sizeof(key));
    if (r && *(uint32_t *)r->val > seq)
        sim_fail(w, "order",
            "vm=%u takes frame %u of vm=%u after frame %u, by the same path%s", f->to,
            seq, f->from, *(uint32_t *)r->val, f->held ? ", and it had waited" : "");
    tab_put(&w->paths, key, sizeof(key), &seq, sizeof(seq));
}

void
flights_done(struct world *w)
{
    mem_free(w->flights);
    tab_done(&w->paths);
}
