/* SPDX-License-Identifier: Apache-2.0 */
/* Liveness at rest (requirements 4.3: after the last event, with fair links, packets of
 * R reach the VM), and that no frame vanished.
 *
 * Every VM that runs where its server holds an open tag for it is sent a frame by a VM
 * of its network behind another edge, or behind another server where there is no other
 * edge, and answers; of every network one VM is heard by all. Whoever does not hear is
 * named with what became of the frame. */
#include "sim.h"

struct ping {
    uint32_t from, to, seq;
};

/* What became of a frame, for people. */
static const char *
fate(const struct world *w, uint32_t seq, char *text, size_t size)
{
    const struct flight *f = seq < w->cap_flights ? &w->flights[seq] : NULL;
    if (!seq || !f || !f->used)
        snprintf(text, size, "cannot leave: no tag");
    else if (f->got)
        snprintf(text, size, "arrived");
    else if (f->lost == LOST_DROP)
        snprintf(
            text, size, "is dropped at nve=%u (%s)", f->nve, dp_counter_name(f->why));
    else if (f->lost == LOST_ASLEEP)
        snprintf(text, size, "comes to server=%u, where no such VM runs", f->why);
    else if (f->lost == LOST_WAITS)
        snprintf(text, size, "waits at server=%u for a VM that stands still", f->why);
    else
        snprintf(text, size, "%s at nve=%u",
            f->lost == LOST_NET ? "is lost on the wire" : "vanishes", f->nve);
    return text;
}

bool
vm_up(const struct world *w, uint32_t vm)
{
    const struct vm *v = &w->vms[vm];
    uint32_t vni = vni_of(v->vn);
    const struct attachment *a =
        v->run ? server_att((struct world *)w, v->run - 1, vm, false) : NULL;
    return a && a->pass && a->vid && !v->mover && w->servers[v->run - 1].alive &&
           tab_find(&w->nva.vns, &vni, sizeof(vni));
}

/* The next VM up of its network, behind another edge if there is one. */
static uint32_t
teller(const struct world *w, const uint8_t *up, uint32_t vm)
{
    uint32_t n = w->sc->vms, other = 0;
    const struct server *at = &w->servers[w->vms[vm].run - 1];
    for (uint32_t k = w->sc->vns; k < n; k += w->sc->vns) { /* those of its network */
        uint32_t b = (vm + k) % n;
        if (b % w->sc->vns != vm % w->sc->vns)
            b = (b / w->sc->vns * w->sc->vns + vm % w->sc->vns) % n;
        if (b == vm || b >= n || !up[b] || w->vms[b].vn != w->vms[vm].vn)
            continue;
        const struct server *s = &w->servers[w->vms[b].run - 1];
        if (s->nve != at->nve)
            return b + 1;
        if (s != at && !other)
            other = b + 1;
    }
    return other;
}

static void
pings_check(struct world *w, const struct ping *pings, uint32_t n, const char *what)
{
    char text[120];
    for (uint32_t i = 0; i < n && !w->failed; i++) {
        const struct ping *p = &pings[i];
        const struct flight *f = &w->flights[p->seq];
        if (p->seq && p->seq < w->cap_flights && f->used && f->got)
            continue;
        sim_fail(w, "live", "vm=%u at server=%u: %s of vm=%u at server=%u %s", p->to,
            w->vms[p->to].run - 1, what, p->from, w->vms[p->from].run - 1,
            fate(w, p->seq, text, sizeof(text)));
    }
}

static bool
pulled(const struct world *w, uint32_t vm)
{
    uint32_t vni = vni_of(w->vms[vm].vn);
    const struct tab_row *r = tab_find(&w->nva.vns, &vni, sizeof(vni));
    return r && ((const struct vn_rec *)r->val)->pull;
}

static void
bums(struct world *w, const uint8_t *up)
{
    uint32_t n = w->sc->vms, *seqs = mem_alloc(w->sc->vns * sizeof(*seqs)),
             *from = mem_alloc(w->sc->vns * sizeof(*from));
    for (uint32_t i = 0; i < n; i++)
        if (up[i] && !from[w->vms[i].vn] && !w->vms[i].wild) {
            from[w->vms[i].vn] = i + 1;
            seqs[w->vms[i].vn] = guest_send(w, i, i, FRAME_BROADCAST);
        }
    world_advance(w, w->now + 20 * MS);
    for (uint32_t i = 0; i < n && !w->failed; i++) {
        const struct vm *v = &w->vms[i];
        uint32_t a = from[v->vn];
        if (up[i] && a && v->run != w->vms[a - 1].run && v->got_seq < seqs[v->vn])
            sim_fail(w, "live",
                "vm=%u at server=%u misses a broadcast of vm=%u at server=%u", i,
                v->run - 1, a - 1, w->vms[a - 1].run - 1);
    }
    mem_free(seqs);
    mem_free(from);
}

void
props_live(struct world *w)
{
    uint32_t n = w->sc->vms, n_pings = 0;
    uint8_t *up = mem_alloc(n);
    struct ping *pings = mem_alloc(n * sizeof(*pings));
    for (uint32_t i = 0; i < n; i++)
        up[i] = vm_up(w, i);
    for (uint32_t i = 0; i < n; i++)
        if (up[i] && w->vms[i].wild) /* who is learned must have spoken (K2) */
            guest_send(w, i, i, FRAME_GARP);
    world_advance(w, w->now + SEC);
    for (uint32_t i = 0; i < n && !w->failed; i++) {
        uint32_t b = up[i] ? teller(w, up, i) : 0;
        if (b)
            pings[n_pings++] = (struct ping){b - 1, i, 0};
    }
    /* Where keys are pulled three first frames wait for the answer, others do not
     * (K18). */
    for (uint32_t i = 0; i < n_pings; i++)
        if (pulled(w, pings[i].to)) {
            guest_send(w, pings[i].from, pings[i].to, FRAME_UNICAST);
            guest_send(w, pings[i].to, pings[i].from, FRAME_UNICAST);
        }
    world_advance(w, w->now + 20 * MS);
    for (uint32_t i = 0; i < n_pings; i++)
        pings[i].seq = guest_send(w, pings[i].from, pings[i].to, FRAME_UNICAST);
    world_advance(w, w->now + 20 * MS);
    if (!w->failed)
        pings_check(w, pings, n_pings, "a frame");
    for (uint32_t i = 0; i < n_pings && !w->failed; i++) {
        struct ping *p = &pings[i];
        *p = (struct ping){p->to, p->from, 0};
        p->seq = guest_send(w, p->from, p->to, FRAME_UNICAST);
    }
    world_advance(w, w->now + 20 * MS);
    if (!w->failed)
        pings_check(w, pings, n_pings, "the answer");
    if (!w->failed)
        bums(w, up);
    mem_free(up);
    mem_free(pings);
}

/* Each frame between VMs is delivered, or dropped by a counted reason, or lost by a
 * wire of the simulated network, or came to where its VM did not run. Who waits in a
 * hold waits no longer than that allows. */
void
props_frames(struct world *w)
{
    char text[120];
    for (uint32_t i = 0; i < w->sc->nves && !w->failed; i++)
        hold_trim(w, i);
    uint32_t n = w->frame_seq < w->cap_flights ? w->frame_seq + 1 : w->cap_flights;
    for (uint32_t seq = 1; seq < n && !w->failed; seq++) {
        const struct flight *f = &w->flights[seq];
        if (f->used && !f->got && f->lost == LOST_NOT)
            sim_fail(w, "vanished", "frame %u of vm=%u to vm=%u, sent at %llu us, %s",
                seq, f->from, f->to, (unsigned long long)f->sent_us,
                fate(w, seq, text, sizeof(text)));
    }
}
