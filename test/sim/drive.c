/* SPDX-License-Identifier: Apache-2.0 */
/* Migrations as a hypervisor and its manager make them: a list of steps, each of which
 * may wait for the answer to the one before it, with the frames of a third VM running
 * meanwhile. An answer that stays out, or a refusal, before the pause ends the
 * migration; after it the VM is started where it is, and whoever runs it repeats its
 * claim until it is granted, as an agent does. How one goes is a number, c of the
 * operation: */
/* clang-format off */
/*   bits  0-3  the order of p s l l' (requirements 4.1), 0..11
 *   bits  4-5  the words: two phases, one phase, suspend instead of commit, the old
 *              edge is not told
 *   bit   6    hold before the pause
 *   bit   7    steps do not wait for answers
 *   bit   8    no Terminate at the end
 *   bit   9    Terminate before the new edge is activated
 *   bits 10-13 cancelled after so many steps (0: not)
 *   bit  14    takes the place of a migration of the VM that is under way
 *   bit  15    the old number is used once more at the end
 *   bit  16    the old hypervisor goes on running the VM, and says so; both send
 *   bit  17    Resume at the old edge although nothing was wrong
 *   bit  18    the pause is longer than the idle times
 *   bits 20-21 length of the pause, bits 22-23 time between steps */
/* clang-format on */
#include "sim.h"

enum step {
    STEP_PRE,     /* Immigrate(pre) at the new edge */
    STEP_PREPARE, /* Emigrate(prepare) at the old one */
    STEP_HOLD,
    STEP_PAUSE,
    STEP_COMMIT,
    STEP_SUSPEND,
    STEP_ACTIVATE, /* Immigrate(asso) */
    STEP_START,
    STEP_END,   /* Terminate at the old edge */
    STEP_AGAIN, /* the old number once more */
    STEP_BOTH,
    STEP_RESUME,
    STEP_REST,
    STEP_N
};
static const char *const step_names[STEP_N] = {"pre", "prepare", "hold", "pause",
    "commit", "suspend", "activate", "start", "end", "again", "both", "resume", "rest"};
enum { WORDS_TWO, WORDS_ONE, WORDS_SUSPEND, WORDS_NONE };
enum phase { PHASE_WARM, PHASE_STEPS, PHASE_CLAIM, PHASE_TAIL, PHASE_DONE };
#define STEPS_MAX 16
#define STEP_WAIT (2 * SEC)
#define PROBES    400

struct mover {
    uint32_t vm, from, to, how, peer, peer_stop;
    uint8_t steps[STEPS_MAX], n, at, phase, tries;
    bool waits, ok, told, told_new, paused, started, cancelled, strict, replaced;
    uint64_t ask, gap_us, pause_us, told_us, active_us, claim_us, paused_us, started_us,
        deadline_us;
    uint32_t first, last, n_probes, gen, inc[2]; /* inc: incarnations of from and to */
};

static const char orders[12][5] = {"psln", "psnl", "plsn", "plns", "pnsl", "pnls",
    "lpsn", "lpns", "lnps", "npsl", "npls", "nlps"}; /* n: the new edge is told */

static void
add(struct mover *m, enum step s)
{
    if (m->n < STEPS_MAX)
        m->steps[m->n++] = (uint8_t)s;
}

static void
add_told(struct mover *m, uint32_t words)
{
    if (words == WORDS_SUSPEND)
        add(m, STEP_SUSPEND);
    else if (words != WORDS_NONE)
        add(m, STEP_COMMIT);
}

/* In two phases what comes before the pause only prepares, and the rest follows it at
 * once; in one phase every word is said where the order has it. */
static void
plan(struct mover *m)
{
    uint32_t words = m->how >> 4 & 3;
    bool one = words == WORDS_ONE, told = false, told_new = false;
    if (!one) {
        add(m, STEP_PRE);
        if (words != WORDS_NONE)
            add(m, STEP_PREPARE);
        if (m->how >> 6 & 1 && words != WORDS_NONE)
            add(m, STEP_HOLD);
    }
    for (const char *c = orders[m->how % 12]; *c; c++) {
        bool before = !memchr(m->steps, STEP_PAUSE, m->n);
        if (*c == 'p') {
            add(m, STEP_PAUSE);
            if (told && !one)
                add_told(m, words);
            if (told_new && !one)
                add(m, STEP_ACTIVATE);
        } else if (*c == 's') {
            add(m, STEP_START);
        } else if (*c == 'l') {
            told = true;
            if (one)
                add(m, STEP_COMMIT);
            else if (!before)
                add_told(m, words);
        } else {
            told_new = true;
            if (m->how >> 9 & 1 && (one || !before))
                add(m, STEP_END);
            if (one || !before)
                add(m, STEP_ACTIVATE);
        }
    }
    if (m->how >> 16 & 1) {
        add(m, STEP_BOTH);
        add(m, STEP_REST);
    }
    if (m->how >> 17 & 1)
        add(m, STEP_RESUME);
    if (!(m->how >> 8 & 1))
        add(m, STEP_END);
    if (m->how >> 15 & 1)
        add(m, STEP_AGAIN);
}

uint32_t
mover_random(struct rng *r, bool strict)
{
    uint32_t how = (uint32_t)rnd(r, 12);
    how |= (uint32_t)rnd(r, 4) << 20 | (uint32_t)rnd(r, 4) << 22;
    if (strict) {
        static const uint8_t words[] = {WORDS_TWO, WORDS_TWO, WORDS_TWO, WORDS_SUSPEND};
        how |= (uint32_t)words[rnd(r, 4)] << 4 | (uint32_t)rnd(r, 2) << 6;
        if (rnd(r, 6) == 0)
            how |= (1 + (uint32_t)rnd(r, 6)) << 10;
        return how;
    }
    how |= (uint32_t)rnd(r, 4) << 4;
    for (uint32_t bit = 6; bit <= 9; bit++)
        how |= (uint32_t)(rnd(r, 4) == 0) << bit;
    if (rnd(r, 4) == 0)
        how |= (1 + (uint32_t)rnd(r, 8)) << 10;
    for (uint32_t bit = 14; bit <= 17; bit++)
        how |= (uint32_t)(rnd(r, 8) == 0) << bit;
    how |= (uint32_t)(rnd(r, 24) == 0) << 18;
    return how;
}

static void
wake(struct world *w, uint32_t i, uint64_t in_us)
{
    struct event *e = world_push(w, EV_MOVER, w->now + in_us, i, w->movers[i].gen);
    (void)e;
}

/* Where the VM runs, or stands still, or nowhere; what queued at its vNIC goes with it
 * or is lost with the place. */
void
vm_wake(struct world *w, uint32_t vm, uint32_t server)
{
    struct vm *v = &w->vms[vm];
    v->run = server;
    v->here = 0;
    uint32_t n = v->n_wait;
    v->n_wait = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct waiting q = v->wait[i];
        if (q.server + 1 == server)
            server_data(w, q.server, q.vid, q.p, q.size);
        else
            flight_lost(
                w, LOST_ASLEEP, w->servers[q.server].nve, q.server, q.p, q.size);
    }
}

/* Some VM of its VN that runs behind neither server, else behind any other. */
static uint32_t
peer_of(struct world *w, uint32_t vm, uint32_t from, uint32_t to)
{
    uint32_t n = w->sc->vms, first = (uint32_t)rnd(&w->rng, n), any = 0;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t b = (first + k) % n;
        const struct vm *v = &w->vms[b];
        if (b == vm || !v->run || v->mover || v->vn != w->vms[vm].vn || v->wild ||
            v->run == from + 1 || v->run == to + 1) /* servers switch by themselves */
            continue;
        const struct attachment *a = server_att(w, v->run - 1, b, false);
        if (!a || !a->pass || !a->vid)
            continue;
        any = b + 1;
        uint32_t nve = w->servers[v->run - 1].nve;
        if (nve != w->servers[from].nve && nve != w->servers[to].nve)
            return b + 1;
    }
    return any;
}

static void
start_at(struct world *w, struct mover *m, uint32_t server)
{
    vm_wake(w, m->vm, server + 1);
    m->started = true;
    m->started_us = w->now;
}

static void
finish(struct world *w, struct mover *m)
{
    m->phase = PHASE_DONE;
    m->gen++;
    w->vms[m->vm].mover = 0;
    w->vms[m->vm].copy = 0;
    if (!m->replaced)
        w->n_moves_ok++;
}

/* ---- what may be lost ---- */

/* Its sender moves as well: what comes from there after the pause is no VM's, and one
 * that starts before it is activated is heard afterwards (A5). */
static bool
sender_moves(const struct world *w, const struct flight *f)
{
    bool moves = false;
    for (uint32_t i = 0; i < w->n_movers; i++) {
        const struct mover *s = &w->movers[i];
        uint64_t end = s->active_us > s->claim_us ? s->active_us : s->claim_us;
        moves |= s->vm == f->from && s->paused && s->paused_us < f->sent_us + SEC &&
                 (end + 20 * MS > f->sent_us || s->phase != PHASE_DONE);
    }
    return moves && f->lost == LOST_DROP && f->why == DPC_DROP_INACTIVE;
}

/* Without faults: only what had left the old edge before it was told, and came to a VM
 * that stood still; nothing when the old edge was told to hold first (K12, 4.1). */
static void
judge(struct world *w, struct mover *m)
{
    uint32_t asleep = 0;
    /* Where nobody tells the old edge in time, the update does. */
    uint64_t by_update = m->active_us + 5 * w->sc->slow_us + 20 * MS,
             told_us = m->told_us;
    /* A commit that the update overtakes is answered by the agent, which has heard of
     * it; the edge's data plane is a moment behind. */
    if (m->active_us && m->active_us <= told_us)
        told_us += 5 * w->sc->slow_us;
    uint64_t known_us = told_us && told_us < by_update ? told_us : by_update;
    for (uint32_t s = m->first; m->strict && m->first && s <= m->last && !w->failed;
         s++) {
        const struct flight *f = &w->flights[s];
        if (s >= w->cap_flights || !f->used || f->to != m->vm || f->from + 1 != m->peer)
            continue;
        if (f->got)
            continue;
        bool slept = f->lost == LOST_ASLEEP && f->why == m->from;
        if (slept && !(m->how >> 6 & 1) && f->left_us <= known_us) {
            asleep++;
            continue;
        }
        if (sender_moves(w, f))
            continue;
        /* What had gone to the target of a migration that was called off. */
        if (m->cancelled && (f->relays || f->nve == w->servers[m->to].nve))
            continue;
        /* Back after it was lost, its station knows the tag with the answer only. */
        if (m->cancelled && slept && f->left_us <= m->claim_us)
            continue;
        sim_fail(w, "lost",
            "vm=%u from server=%u to server=%u (how %u): frame %u of vm=%u, sent at "
            "%llu "
            "us, is %s at nve=%u (%s); paused at %llu, told at %llu, started at %llu",
            m->vm, m->from, m->to, m->how, s, f->from, (unsigned long long)f->sent_us,
            f->lost == LOST_ASLEEP ? "lost asleep"
            : f->lost == LOST_DROP ? "dropped"
            : f->lost == LOST_NET  ? "lost on the way"
                                   : "not there",
            f->nve, f->lost == LOST_DROP ? dp_counter_name(f->why) : "",
            (unsigned long long)m->paused_us, (unsigned long long)m->told_us,
            (unsigned long long)m->started_us);
    }
    TRACE(w, "vm=%u moved, %u frames lost asleep", m->vm, asleep);
}

/* ---- steps ---- */

static void
say(struct world *w, struct mover *m, uint32_t server, uint8_t verb)
{
    m->waits = true;
    m->ok = false;
    m->deadline_us = w->now + STEP_WAIT;
    struct server *s = &w->servers[server];
    uint64_t before = s->next_ask;
    server_ask(w, server, m->vm, verb);
    m->ask = s->next_ask != before ? s->next_ask : 0;
    if (!m->ask) { /* nobody there, or no word for it */
        m->waits = false;
        m->ok = s->alive;
        return;
    }
    for (uint32_t k = 0; k < s->n_asks; k++)
        if (s->asks[k].id == m->ask && !s->asks[k].open) { /* answered at once */
            m->waits = false;
            m->ok = s->asks[k].granted;
        }
}

static uint8_t
claim_verb(const struct world *w, const struct mover *m)
{
    return m->cancelled && !m->started && w->servers[m->from].kind == SERVER_TES
               ? V_RESUME
               : V_ASSOC;
}

/* Another server may yet claim it: one that was asked to and has not answered, or one
 * that crashed and remembers. */
static bool
contested(struct world *w, struct mover *m, uint32_t server)
{
    bool yes = false;
    for (uint32_t i = 0; i < w->n_servers; i++) {
        struct server *s = &w->servers[i];
        for (uint32_t k = 0; k < s->n_asks && i != server; k++)
            yes |=
                s->asks[k].open && s->asks[k].vm == m->vm && s->asks[k].verb != V_TERM;
    }
    uint32_t other = server == m->to ? m->from : m->to;
    struct server *o = &w->servers[other];
    if (o->inc != m->inc[other == m->to] && o->kind != SERVER_HOSTILE) {
        yes = true;
        if (o->alive) {
            server_ask(w, other, m->vm, V_TERM);
            m->inc[other == m->to] = o->inc;
        }
    }
    return yes;
}

/* From here on whoever runs the VM claims it until it has it. */
static void
claim(struct world *w, uint32_t i)
{
    struct mover *m = &w->movers[i];
    struct vm *v = &w->vms[m->vm];
    uint32_t server = m->cancelled ? m->from : m->to;
    m->phase = PHASE_CLAIM;
    if (m->tries++ > 40) {
        finish(w, m);
        return;
    }
    uint8_t verb = claim_verb(w, m);
    if (v->run != server + 1)
        start_at(w, m, server);
    if (!m->strict && contested(w, m, server)) {
        m->waits = m->ok = false;
        wake(w, i, 500 * MS);
        return;
    }
    say(w, m, server, verb);
    wake(w, i, m->waits ? STEP_WAIT : 500 * MS);
}

static void
tail(struct world *w, uint32_t i)
{
    struct mover *m = &w->movers[i];
    m->phase = PHASE_TAIL;
    m->peer_stop = 1;
    wake(w, i, 300 * MS);
}

static void
cancel(struct world *w, uint32_t i)
{
    struct mover *m = &w->movers[i];
    bool told_new = m->told_new;
    TRACE(w, "vm=%u stays at server=%u", m->vm, m->from);
    m->cancelled = true;
    if (m->told)
        cover_fault(FAULT_5);
    else if (memchr(m->steps, STEP_ACTIVATE, m->at))
        cover_fault(FAULT_6);
    m->started = false;
    claim(w, i);                /* Resume, always when a target was told (E2) */
    if (told_new && !m->strict) /* a careful manager waits for the answer to Resume */
        server_ask(w, m->to, m->vm, V_TERM);
}

static void
step(struct world *w, uint32_t i)
{
    struct mover *m = &w->movers[i];
    struct vm *v = &w->vms[m->vm];
    enum step s = m->steps[m->at++];
    uint64_t next = m->gap_us;
    TRACE(w, "vm=%u %u -> %u: %s", m->vm, m->from, m->to, step_names[s]);
    m->waits = false;
    m->ok = true;
    switch (s) {
    case STEP_PRE:
        v->migration = w->seq;
        v->epoch = 0;
        m->told_new = true;
        say(w, m, m->to, V_IMMP);
        break;
    case STEP_PREPARE:
        m->told = true;
        say(w, m, m->from, V_EMIGP);
        break;
    case STEP_HOLD:
        say(w, m, m->from, V_EMIGH);
        break;
    case STEP_PAUSE:
        v->run = 0;
        v->here = m->from + 1;
        m->paused = true;
        m->paused_us = w->now;
        next = m->pause_us / 2;
        if (m->pause_us > 10 * SEC)
            cover_fault(FAULT_19);
        break;
    case STEP_COMMIT:
    case STEP_SUSPEND:
        m->told = true;
        say(w, m, m->from, s == STEP_COMMIT ? V_EMIGC : V_SUSPEND);
        break;
    case STEP_ACTIVATE:
        m->told_new = true;
        say(w, m, m->to, V_IMMA);
        break;
    case STEP_START:
        start_at(w, m, m->to);
        break;
    case STEP_END:
        if (!memchr(m->steps, STEP_ACTIVATE, m->at))
            cover_fault(FAULT_20);
        if (m->active_us && !m->told_us)
            cover_fault(FAULT_3);
        v->copy = 0;
        server_ask(w, m->from, m->vm, V_TERM);
        break;
    case STEP_AGAIN:
        cover_fault(FAULT_4);
        server_ask(w, m->from, m->vm, V_IMMA);
        break;
    case STEP_BOTH:
        cover_fault(FAULT_9);
        v->copy = m->from + 1;
        v->copy_us = w->now + 3 * SEC; /* no tag is given to another before (1.6) */
        server_ask(w, m->from, m->vm, V_ASSOC);
        copies_send(w, m->vm, m->vm, FRAME_GARP);
        break;
    case STEP_RESUME:
        server_ask(w, m->from, m->vm, V_RESUME);
        break;
    case STEP_REST:
        next = SEC;
        break;
    case STEP_N:
        break;
    }
    bool gated = !(m->how >> 7 & 1);
    if (gated && m->waits)
        next = STEP_WAIT;
    if (s == STEP_HOLD)
        next += 8 * MS; /* what has left the edge still arrives */
    wake(w, i, next);
}

/* The answer to the last step is here, or will not come. */
static void
go_on(struct world *w, uint32_t i)
{
    struct mover *m = &w->movers[i];
    bool gated = !(m->how >> 7 & 1), bad = m->at && gated && !m->ok;
    uint8_t last = m->at ? m->steps[m->at - 1] : STEP_N;
    if (bad && last == STEP_PRE)
        cover_fault(FAULT_8);
    if ((bad && !m->started &&
            (last == STEP_PRE || last == STEP_PREPARE || last == STEP_ACTIVATE)) ||
        (m->how >> 10 & 15 && m->at == (m->how >> 10 & 15) && !m->started)) {
        cancel(w, i);
        return;
    }
    if (m->at < m->n) {
        step(w, i);
        return;
    }
    if (m->strict && m->ok) {
        w->vms[m->vm].sure = m->to + 1;
        tail(w, i);
        return;
    }
    claim(w, i); /* and be it once more: it may have been lost, or overtaken */
}

void
mover_answer(struct world *w, uint32_t server, const struct ask *a, bool ok)
{
    struct vm *v = &w->vms[a->vm];
    struct mover *m = v->mover ? &w->movers[v->mover - 1] : NULL;
    if (!m || !m->waits || a->id != m->ask || (server != m->from && server != m->to))
        return;
    m->waits = false;
    m->ok = ok;
    uint8_t last = m->at ? m->steps[m->at - 1] : STEP_N;
    if (ok && !m->told_us &&
        (last == STEP_COMMIT || last == STEP_SUSPEND || last == STEP_HOLD))
        m->told_us = w->now;
    if (m->phase == PHASE_CLAIM && ok)
        m->claim_us = w->now;
    if (ok && last == STEP_ACTIVATE)
        m->active_us = w->now;
    m->gen++;
    wake(w, v->mover - 1,
        m->phase == PHASE_CLAIM && !ok ? 700 * MS
        : last == STEP_HOLD            ? 8 * MS + m->gap_us
                                       : m->gap_us);
}

static void
warm(struct world *w, uint32_t i)
{
    struct mover *m = &w->movers[i];
    struct vm *v = &w->vms[m->vm];
    if (m->tries++ > 8) { /* nobody speaks to it; it moves all the same */
        m->peer = 0;
    } else {
        uint32_t seq = m->peer ? guest_send(w, m->peer - 1, m->vm, FRAME_UNICAST) : 0;
        (void)seq;
    }
    m->tries = m->peer ? m->tries : 9;
    bool warm_now = m->peer && v->n_got > m->first;
    if (m->tries < 9 && !warm_now) {
        wake(w, i, 60 * MS);
        return;
    }
    m->strict = m->strict && warm_now;
    m->tries = 0;
    m->first = 0;
    m->phase = PHASE_STEPS;
    if (m->peer)
        world_push(w, EV_PROBE, w->now + 20 * MS, i, 0);
    wake(w, i, 30 * MS);
}

static void
probe(struct world *w, uint32_t i)
{
    struct mover *m = &w->movers[i];
    if (m->phase == PHASE_DONE || m->peer_stop || m->n_probes++ >= PROBES)
        return;
    uint32_t at = w->vms[m->peer - 1].run;
    if (!at || at == m->from + 1 || at == m->to + 1) { /* it moves as well */
        m->peer_stop = 1;
        return;
    }
    uint32_t seq = guest_send(w, m->peer - 1, m->vm, FRAME_UNICAST);
    if (seq && !m->first)
        m->first = seq;
    if (seq)
        m->last = seq;
    copies_send(w, m->vm, m->peer - 1, FRAME_UNICAST);
    if (m->n_probes % 8 == 1)
        copies_send(w, m->vm, m->peer - 1, m->n_probes & 8 ? FRAME_ARP : FRAME_GARP);
    if (m->n_probes % 8 == 3) /* and the other way */
        guest_send(w, m->vm, m->peer - 1, FRAME_UNICAST);
    if (m->n_probes % 64 == 9) {
        cover_fault(FAULT_18);
        guest_send(w, m->peer - 1, m->vm, FRAME_ARP);
    }
    world_push(w, EV_PROBE, w->now + (m->strict ? 2 * MS : 25 * MS), i, 0);
}

void
mover_event(struct world *w, struct event *e)
{
    struct mover *m = &w->movers[e->node];
    if (e->type == EV_PROBE) {
        probe(w, e->node);
        return;
    }
    if (m->phase == PHASE_DONE || m->gen != e->inc)
        return;
    m->gen++;
    switch ((enum phase)m->phase) {
    case PHASE_WARM:
        warm(w, e->node);
        break;
    case PHASE_STEPS:
        go_on(w, e->node);
        break;
    case PHASE_CLAIM:
        if (m->ok && !m->waits) {
            w->vms[m->vm].sure = (m->cancelled ? m->from : m->to) + 1;
            if (m->cancelled)
                server_ask(w, m->to, m->vm, V_TERM);
            tail(w, e->node);
        } else {
            claim(w, e->node);
        }
        break;
    case PHASE_TAIL:
        judge(w, m);
        finish(w, m);
        break;
    case PHASE_DONE:
        break;
    }
}

void
mover_start(struct world *w, const struct op *o)
{
    static const uint64_t pauses[] = {0, 5 * MS, 50 * MS, 500 * MS},
                          gaps[] = {200, 2 * MS, 10 * MS, 60 * MS};
    uint32_t vm = o->a % w->sc->vms, to = o->b % w->n_servers;
    struct vm *v = &w->vms[vm];
    while (w->servers[to].kind == SERVER_HOSTILE)
        to = (to + 1) % w->n_servers;
    struct mover *old = v->mover ? &w->movers[v->mover - 1] : NULL;
    if (old && !(o->c >> 14 & 1)) { /* one after the other */
        if (!w->calm) {
            cover_fault(FAULT_10);
            world_push(w, EV_OP, w->now + 300 * MS, 0, 0)->a =
                (uint32_t)(o - w->sc->ops);
        }
        return;
    }
    if (old) {
        old->replaced = true;
        cover_fault(FAULT_10);
        if (!v->run)
            vm_wake(w, vm, (old->started ? old->to : old->from) + 1);
        finish(w, old);
    }
    if (!v->run || v->run == to + 1)
        return;
    w->movers = mem_grow(w->movers, (w->n_movers + 1) * sizeof(*w->movers));
    struct mover *m = &w->movers[w->n_movers++];
    *m = (struct mover){
        .vm = vm,
        .from = v->run - 1,
        .to = to,
        .how = o->c,
        .gap_us = gaps[o->c >> 22 & 3],
        .pause_us = o->c >> 18 & 1 ? 18 * SEC : pauses[o->c >> 20 & 3],
        .first = v->n_got,
        .inc = {w->servers[v->run - 1].inc, w->servers[to].inc}
    };
    m->strict = w->sc->strict && w->servers[to].kind == SERVER_TES &&
                w->servers[m->from].kind == SERVER_TES && v->sure == v->run &&
                !(o->c >> 14 & 15) && !(o->c >> 7 & 7) && (o->c >> 4 & 3) % 2 == 0;
    if (w->servers[to].nve == w->servers[m->from].nve)
        cover_fault(FAULT_15);
    v->sure = 0;
    v->mover = w->n_movers;
    w->n_moves++;
    plan(m);
    m->peer = peer_of(w, vm, m->from, to);
    wake(w, w->n_movers - 1, 0);
}

bool
mover_comes(const struct world *w, uint32_t vm, uint32_t server)
{
    const struct vm *v = &w->vms[vm];
    const struct mover *m = v->mover ? &w->movers[v->mover - 1] : NULL;
    return m && m->to == server && !m->started && !m->cancelled;
}

/* Does a VM move, from or to a server of this edge? nves: of any. */
bool
movers_busy(const struct world *w, uint32_t nve)
{
    for (uint32_t i = 0; i < w->n_movers; i++) {
        const struct mover *m = &w->movers[i];
        if (m->phase != PHASE_DONE &&
            (nve == w->sc->nves || w->servers[m->from].nve == nve ||
                w->servers[m->to].nve == nve))
            return true;
    }
    return false;
}

void
movers_done(struct world *w)
{
    mem_free(w->movers);
}
