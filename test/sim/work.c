/* SPDX-License-Identifier: Apache-2.0 */
/* What happens in a world: made from a seed, carried out, written and read as text:
 *   key value            the world
 *   op <us> <verb> a b c one operation; c may be left out
 * Lines that begin with # are comments. */
#include "sim.h"
#include <stddef.h>
#include <stdlib.h>

const char *const verb_names[V_N] = {"associate", "preassociate", "suspend", "resume",
    "terminate", "emigrate-prepare", "emigrate-commit", "immigrate-pre",
    "immigrate-asso", "send", "arp", "broadcast", "garp", "spoof", "garbage",
    "crash-nve", "crash-nva", "crash-tes", "flap", "partition", "cut", "vn-del",
    "vn-put", "emigrate-hold", "migrate", "raw", "immigrate-paused", "stop-nva",
    "stop-nve", "stranger"};
const char *const profile_names[PROFILE_N] = {"chaos", "migrate", "odd"};

/* ---- making ---- */

struct maker {
    struct scenario *s;
    struct rng rng;
    uint32_t *place; /* server + 1 per VM */
    uint32_t cap, n_servers;
    uint64_t authority_us; /* when it may fail again */
};

static void
add(struct maker *m, uint64_t at, uint8_t verb, uint32_t a, uint32_t b)
{
    struct scenario *s = m->s;
    if (s->n_ops == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 64;
        s->ops = mem_grow(s->ops, m->cap * sizeof(*s->ops));
    }
    s->ops[s->n_ops++] = (struct op){.at_us = at, .verb = verb, .a = a, .b = b};
}

/* The orders of requirements 4.1, and some that nobody should use. */
static void
migrate(struct maker *m, uint64_t at, uint32_t vm, uint32_t from, uint32_t to)
{
    uint64_t gap = 1 + rnd(&m->rng, rnd(&m->rng, 2) ? 20 * MS : 800 * MS);
    bool commit_late = rnd(&m->rng, 3) == 0;
    add(m, at, V_IMMP, vm, to);
    if (rnd(&m->rng, 4))
        add(m, at + gap, V_EMIGP, vm, from);
    if (!commit_late)
        add(m, at + 2 * gap, V_EMIGC, vm, from);
    if (rnd(&m->rng, 6) == 0) { /* it fails: roll back (E2, F6) */
        if (rnd(&m->rng, 2))
            add(m, at + 2 * gap + rnd(&m->rng, gap), V_IMMA, vm, to);
        add(m, at + 3 * gap, V_RESUME, vm, from);
        add(m, at + 4 * gap, V_TERM, vm, to);
        return;
    }
    add(m, at + 2 * gap + rnd(&m->rng, gap), V_IMMA, vm, to);
    if (commit_late)
        add(m, at + 3 * gap, V_EMIGC, vm, from);
    if (rnd(&m->rng, 5))
        add(m, at + 4 * gap, V_TERM, vm, from);
    m->place[vm] = to + 1;
}

static void
vm_op(struct maker *m, uint64_t at)
{
    uint32_t vm = (uint32_t)rnd(&m->rng, m->s->vms), place = m->place[vm];
    uint32_t to = (uint32_t)rnd(&m->rng, m->n_servers);
    uint32_t dice = (uint32_t)rnd(&m->rng, 100);
    if (!place || dice < 12) { /* attach; elsewhere: a move that nobody announced */
        if (rnd(&m->rng, 4) == 0)
            add(m, at, V_PRE, vm, to);
        add(m, at + rnd(&m->rng, 300 * MS), V_ASSOC, vm, to);
        m->place[vm] = to + 1;
    } else if (dice < 35) {
        migrate(m, at, vm, place - 1, to);
    } else if (dice < 45) {
        add(m, at, V_SUSPEND, vm, place - 1);
        if (rnd(&m->rng, 4))
            add(m, at + rnd(&m->rng, 3 * SEC), V_RESUME, vm, place - 1);
    } else if (dice < 55) {
        add(m, at, V_TERM, vm, place - 1);
        m->place[vm] = 0;
    } else if (dice < 60) {
        add(m, at, (uint8_t)(V_ASSOC + rnd(&m->rng, V_IMMA + 1)), vm, to);
    } else if (dice < 75) {
        add(m, at, V_SEND, vm, (uint32_t)rnd(&m->rng, m->s->vms));
    } else if (dice < 82) {
        add(m, at, V_ARP, vm, (uint32_t)rnd(&m->rng, m->s->vms));
    } else if (dice < 90) {
        add(m, at, V_GARP, vm, 0);
    } else {
        add(m, at, V_BCAST, vm, 0);
    }
}

static void
fault_op(struct maker *m, uint64_t at)
{
    uint32_t down =
        (uint32_t)(10 * MS + rnd(&m->rng, rnd(&m->rng, 3) ? 500 * MS : 5 * SEC));
    uint32_t nve = (uint32_t)rnd(&m->rng, m->s->nves);
    uint32_t server = (uint32_t)rnd(&m->rng, m->n_servers);
    switch (rnd(&m->rng, 9)) {
    case 0:
        add(m, at, V_CRASH_NVE, nve, down);
        break;
    case 1:
        add(m, at, V_CRASH_NVA, 0, down);
        break;
    case 2:
        add(m, at, V_CRASH_TES, server, down);
        break;
    case 3:
    case 4:
        add(m, at, V_FLAP, server, down);
        break;
    case 5:
        add(m, at, V_PART, nve, down * 2);
        break;
    case 6:
        add(m, at, V_CUT, nve, 0);
        break;
    case 7:
        add(m, at, V_GARBAGE, server, 1 + (uint32_t)rnd(&m->rng, 20));
        break;
    case 8:
        add(m, at, V_SPOOF, server, (uint32_t)rnd(&m->rng, m->s->vms));
        break;
    }
}

static int
op_compare(const void *x, const void *y)
{
    const struct op *a = x, *b = y;
    return a->at_us < b->at_us ? -1 : a->at_us > b->at_us;
}

/* What may go wrong while a VM moves, near the moment `at`. */
static void
move_fault(struct maker *m, uint64_t at, uint32_t from, uint32_t to)
{
    uint32_t down =
        (uint32_t)(10 * MS + rnd(&m->rng, rnd(&m->rng, 4) ? 400 * MS : 3 * SEC));
    uint32_t server = rnd(&m->rng, 2) ? from : to, nve = server / m->s->ports;
    if (rnd(&m->rng, 4) == 0)
        nve = (uint32_t)rnd(&m->rng, m->s->nves);
    switch (rnd(&m->rng, 8)) {
    case 0:
    case 1:
        add(m, at, V_CRASH_NVE, nve, down);
        break;
    case 2:
        if (at < m->authority_us)
            break;
        add(m, at, V_CRASH_NVA, 0, down);
        if (m->s->vms > LARGE) /* however many move, there is one: it recovers */
            m->authority_us = at + 6 * SEC;
        break;
    case 3:
        add(m, at, V_CRASH_TES, server, down);
        break;
    case 4:
        add(m, at, V_FLAP, server, down);
        break;
    case 5:
    case 6:
        add(m, at, V_PART, nve, down * 2);
        break;
    case 7:
        add(m, at, V_CUT, nve, 0);
        break;
    }
}

/* Twenty migrations of a few VMs, and what goes wrong meanwhile; a quarter of the
 * worlds has no fault, and there every frame is accounted for. */
static void
make_moves(struct maker *m)
{
    struct scenario *s = m->s;
    uint32_t moves = s->vms > LARGE ? s->vms / 100 : 20;
    uint64_t begin = 2500 * MS, first = s->vms > LARGE ? 15 * SEC : 5 * SEC,
             span = (uint64_t)s->chaos_s * SEC - first - 2 * SEC;
    for (uint32_t vm = 0; vm < s->vms; vm++) {
        uint32_t to = (uint32_t)rnd(&m->rng, m->n_servers);
        m->place[vm] = to + 1;
        add(m, begin + rnd(&m->rng, first - 4 * SEC), V_ASSOC, vm, to);
    }
    for (uint32_t i = 0; i < moves; i++) {
        uint64_t at = first + span * i / moves + rnd(&m->rng, span / moves + 1);
        uint32_t vm = (uint32_t)rnd(&m->rng, s->vms), from = m->place[vm] - 1;
        uint32_t to = (uint32_t)rnd(&m->rng, m->n_servers);
        add(m, at, V_MOVE, vm, to);
        s->ops[s->n_ops - 1].c = mover_random(&m->rng, s->strict);
        m->place[vm] = to + 1;
        if (!s->strict && rnd(&m->rng, 3) == 0)
            move_fault(
                m, at + rnd(&m->rng, rnd(&m->rng, 2) ? 400 * MS : 3 * SEC), from, to);
        if (rnd(&m->rng, 3) == 0)
            add(m, at + rnd(&m->rng, SEC), (uint8_t)(V_SEND + rnd(&m->rng, 4)),
                (uint32_t)rnd(&m->rng, s->vms), (uint32_t)rnd(&m->rng, s->vms));
    }
}

static void
make_migrate(struct maker *m, uint32_t nves, uint32_t vms)
{
    struct scenario *s = m->s;
    s->nves = nves ? nves : 3 + (uint32_t)rnd(&m->rng, 2);
    s->ports = 1 + (uint32_t)rnd(&m->rng, 2);
    s->vns = 1 + (uint32_t)rnd(&m->rng, 2);
    s->vms = vms ? vms : 4 + (uint32_t)rnd(&m->rng, 4);
    s->chaos_s = 16;
    s->rka = 19;
    s->strict = rnd(&m->rng, 4) == 0;
    s->hold_frames = s->strict || rnd(&m->rng, 4) ? 1024 : 3;
    s->delay_us = 300;
    s->slow_us = rnd(&m->rng, 2 * MS);
    if (vms > LARGE) {
        s->vns = vms / 50;
        s->ports = 4;
        s->rka = 22;
        s->chaos_s = 25;
    }
    if (!s->strict) {
        if (rnd(&m->rng, 4)) {
            s->loss = (uint32_t)rnd(&m->rng, 100000);
            s->dup = (uint32_t)rnd(&m->rng, 100000);
            s->delay_us = rnd(&m->rng, 10 * MS);
        }
        if (rnd(&m->rng, 3) == 0)
            s->slow_us = rnd(&m->rng, 200 * MS);
        s->plain = rnd(&m->rng, 3) ? 0 : 40;
        s->domain_shared = rnd(&m->rng, 3) == 0;
        s->noips = rnd(&m->rng, 3) ? 0 : 50;
    }
    s->pull = rnd(&m->rng, 4) ? 0 : 60;
    m->n_servers = s->nves * s->ports;
    m->place = mem_alloc(s->vms * sizeof(*m->place));
    make_moves(m);
    qsort(s->ops, s->n_ops, sizeof(*s->ops), op_compare);
    mem_free(m->place);
}

/* What takes a few steps that nobody well behaved makes one after the other. */
static void
odd_story(struct maker *m, uint64_t at, uint32_t vm, uint32_t server)
{
    enum { ELSEWHERE = V_N };
    static const uint8_t stories[][5] = {
        {V_TERM,  V_PRE,     V_EMIGC, V_RESUME, V_TERM             }, /* it never ran */
        {V_ASSOC, V_EMIGC,   V_IMMP,  V_PRE,    ELSEWHERE + V_ASSOC}, /* and runs there */
        {V_ASSOC, V_EMIGP,   V_IMMP,  V_PAUSED, V_EMIGC            },
        {V_TERM,  V_PAUSED,  V_EMIGC, V_EMIGC,  V_IMMP             },
        {V_TERM,  V_IMMP,    V_IMMP,  V_IMMP,   V_PAUSED           },
        {V_ASSOC, V_SUSPEND, V_EMIGC, V_EMIGP,  V_PAUSED           },
    };
    const uint8_t *s = stories[rnd(&m->rng, sizeof(stories) / sizeof(stories[0]))];
    for (uint32_t k = 0; k < sizeof(stories[0]); k++)
        add(m, at += rnd(&m->rng, 100 * MS), s[k] % V_N, vm, server + s[k] / V_N);
}

/* Stations that say anything at any time, disks and data planes that fail, virtual
 * networks that come and go: for the rows that nobody well behaved reaches. */
static void
make_odd(struct maker *m)
{
    struct scenario *s = m->s;
    s->nves = 1 + (uint32_t)rnd(&m->rng, 3);
    s->ports = 1 + (uint32_t)rnd(&m->rng, 3);
    s->vns = 2;
    s->vms = 4;
    s->chaos_s = 24;
    s->delay_us = rnd(&m->rng, 3) ? 300 : rnd(&m->rng, 20 * MS);
    s->slow_us = rnd(&m->rng, 30 * MS);
    s->dp_fails = rnd(&m->rng, 2) ? 0 : (uint32_t)rnd(&m->rng, 40000);
    s->journal_fails = rnd(&m->rng, 2) ? 0 : (uint32_t)rnd(&m->rng, 200000);
    s->plain = rnd(&m->rng, 3) ? 70 : 0;
    m->n_servers = s->nves * s->ports;
    m->place = mem_alloc(s->vms * sizeof(*m->place));
    for (uint32_t i = 0; i < 400; i++) {
        uint64_t at = 2 * SEC + 20 * SEC * i / 400 + rnd(&m->rng, 40 * MS);
        uint32_t dice = (uint32_t)rnd(&m->rng, 100),
                 vm = (uint32_t)rnd(&m->rng, s->vms);
        uint32_t server = (uint32_t)rnd(&m->rng, m->n_servers);
        if (dice < 60) {
            add(m, at, V_RAW, vm, server);
            s->ops[s->n_ops - 1].c = (uint32_t)rnd(&m->rng, 1000);
        } else if (dice < 70) {
            add(m, at, V_PAUSED, vm, server);
        } else if (dice < 76) { /* begun again before its end is answered */
            static const uint8_t begins[] = {V_ASSOC, V_PRE, V_IMMP, V_IMMA, V_PAUSED};
            add(m, at, V_TERM, vm, server);
            add(m, at + rnd(&m->rng, 2 * MS), begins[rnd(&m->rng, 5)], vm, server);
        } else if (dice < 80) {
            odd_story(m, at, vm, server);
        } else if (dice < 88) {
            add(m, at, (uint8_t)rnd(&m->rng, V_IMMA + 1), vm, server);
        } else if (dice < 90) {
            add(m, at, V_VN_DEL, vm % s->vns, 0);
            for (uint32_t k = 0; k < 4; k++) /* before its server has heard of it */
                add(m, at + rnd(&m->rng, 40 * MS), V_BCAST, vm, 0);
            add(m, at + rnd(&m->rng, 3 * SEC), V_VN_PUT, vm % s->vns,
                1400 + (uint32_t)rnd(&m->rng, 100));
        } else if (dice < 91) {
            add(m, at - rnd(&m->rng, 2 * SEC), V_STRANGER, 0,
                (uint32_t)rnd(&m->rng, 8));
            add(m, at, V_STOP, 0, 100 * MS);
        } else if (dice < 94) {
            add(m, at, V_FLAP, server, (uint32_t)(SEC + rnd(&m->rng, 2 * SEC)));
        } else if (dice < 96) { /* and it ends while it connects again */
            uint32_t nve = server / s->ports;
            add(m, at, V_CRASH_NVE, nve, 50 * MS);
            if (rnd(&m->rng, 3) == 0)
                add(m, at + 50 * MS + rnd(&m->rng, 8 * s->delay_us), V_STOP_NVE, nve,
                    50 * MS);
        } else if (dice < 97) {
            add(m, at, V_CUT, server / s->ports, 0);
            add(m, at + rnd(&m->rng, SEC), V_STOP_NVE, server / s->ports, 50 * MS);
        } else {
            add(m, at, V_BCAST, vm, 0);
        }
    }
    qsort(s->ops, s->n_ops, sizeof(*s->ops), op_compare);
    mem_free(m->place);
}

void
scenario_make(struct scenario *s, uint64_t seed, uint32_t nves, uint32_t vms,
    enum profile profile)
{
    struct maker m = {.s = s};
    uint32_t n, faults;
    memset(s, 0, sizeof(*s));
    rng_seed(&m.rng, seed ^ 0x5ca1ab1e);
    s->seed = seed;
    s->profile = profile;
    s->rka = 17;
    if (profile == PROFILE_MIGRATE) {
        make_migrate(&m, nves, vms);
        return;
    }
    if (profile == PROFILE_ODD) {
        make_odd(&m);
        return;
    }
    s->nves = nves ? nves : 1 + (uint32_t)rnd(&m.rng, 4);
    s->ports = 1 + (uint32_t)rnd(&m.rng, 3);
    s->vns = 1 + (uint32_t)rnd(&m.rng, 3);
    s->vms = vms ? vms : 1 + (uint32_t)rnd(&m.rng, 8);
    s->chaos_s = 5 + (uint32_t)rnd(&m.rng, 25);
    if (vms > LARGE) { /* the scale mode: many VMs, few of them in trouble */
        s->vns = vms / 50;
        s->ports = 4;
        s->chaos_s = 10;
    }
    switch (rnd(&m.rng, 4)) { /* a quarter of the worlds has good wires */
    case 0:
        s->delay_us = 300;
        break;
    case 1:
        s->loss = s->dup = 10000;
        s->delay_us = 2 * MS;
        break;
    default:
        s->loss = (uint32_t)rnd(&m.rng, 200000);
        s->dup = (uint32_t)rnd(&m.rng, 200000);
        s->delay_us = rnd(&m.rng, 20 * MS);
        break;
    }
    s->slow_us = rnd(&m.rng, 3) ? rnd(&m.rng, 5 * MS) : rnd(&m.rng, 300 * MS);
    s->plain = rnd(&m.rng, 2) ? 0 : (uint32_t)rnd(&m.rng, 101);
    s->hostile = rnd(&m.rng, 3) ? 0 : 30;
    s->wild = rnd(&m.rng, 4) ? 0 : 30;
    s->small_tags = rnd(&m.rng, 4) ? 0 : 50;
    s->pull = rnd(&m.rng, 4) ? 0 : 60;
    s->centralised = rnd(&m.rng, 3) ? 0 : 60;
    s->noips = rnd(&m.rng, 2) ? 0 : 60;
    s->domain_shared = rnd(&m.rng, 3) == 0;
    m.n_servers = s->nves * s->ports;
    m.place = mem_alloc(s->vms * sizeof(*m.place));
    n = s->chaos_s * (1 + (uint32_t)rnd(&m.rng, 4)) + (vms > LARGE ? vms : 0);
    faults = rnd(&m.rng, 4) ? n / (3 + (uint32_t)rnd(&m.rng, 10)) : 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t at = SEC + ((uint64_t)s->chaos_s - 2) * SEC * i / n;
        vm_op(&m, at + rnd(&m.rng, 50 * MS));
    }
    for (uint32_t i = 0; i < faults; i++)
        fault_op(&m, SEC + rnd(&m.rng, ((uint64_t)s->chaos_s - 2) * SEC));
    qsort(s->ops, s->n_ops, sizeof(*s->ops), op_compare);
    mem_free(m.place);
}

void
scenario_done(struct scenario *s)
{
    mem_free(s->ops);
    s->ops = NULL;
    s->n_ops = 0;
}

/* ---- text ---- */

#define WORDS(X)                                                                       \
    X(nves)                                                                            \
    X(ports)                                                                           \
    X(vns)                                                                             \
    X(vms) X(chaos_s) X(loss) X(dup) X(plain) X(hostile) X(wild) X(small_tags) X(pull) \
        X(centralised) X(noips) X(domain_shared) X(profile) X(rka) X(hold_frames)      \
            X(strict) X(dp_fails) X(journal_fails)

void
scenario_write(const struct scenario *s, FILE *f, const char *why)
{
    fprintf(f, "# %s\nseed %llu\n", why, (unsigned long long)s->seed);
#define X(word) fprintf(f, #word " %u\n", s->word);
    WORDS(X)
#undef X
    fprintf(f, "delay_us %llu\nslow_us %llu\n", (unsigned long long)s->delay_us,
        (unsigned long long)s->slow_us);
    for (uint32_t i = 0; i < s->n_ops; i++)
        fprintf(f, s->ops[i].c ? "op %llu %s %u %u %u\n" : "op %llu %s %u %u\n",
            (unsigned long long)s->ops[i].at_us, verb_names[s->ops[i].verb],
            s->ops[i].a, s->ops[i].b, s->ops[i].c);
}

static bool
read_op(struct maker *m, const char *line)
{
    unsigned long long at;
    unsigned a, b, c = 0;
    char verb[32];
    if (sscanf(line, "op %llu %31s %u %u %u", &at, verb, &a, &b, &c) < 4)
        return false;
    for (uint8_t v = 0; v < V_N; v++)
        if (strcmp(verb, verb_names[v]) == 0) {
            add(m, at, v, a, b);
            m->s->ops[m->s->n_ops - 1].c = c;
            return true;
        }
    return false;
}

bool
scenario_read(struct scenario *s, const char *path)
{
    FILE *f = fopen(path, "r");
    struct maker m = {.s = s};
    char line[256], word[32];
    unsigned long long value;
    bool good = f != NULL;
    memset(s, 0, sizeof(*s));
    s->rka = 17;
    while (good && fgets(line, sizeof(line), f)) {
        if (line[0] == '#' || line[0] == '\n')
            continue;
        if (strncmp(line, "op ", 3) == 0) {
            good = read_op(&m, line);
            continue;
        }
        good = sscanf(line, "%31s %llu", word, &value) == 2;
        if (strcmp(word, "seed") == 0)
            s->seed = value;
        else if (strcmp(word, "delay_us") == 0)
            s->delay_us = value;
        else if (strcmp(word, "slow_us") == 0)
            s->slow_us = value;
#define X(name) else if (strcmp(word, #name) == 0) s->name = (uint32_t)value;
        WORDS(X)
#undef X
        else good = false;
    }
    if (f)
        fclose(f);
    return good && s->nves && s->ports && s->vns && s->vms && s->chaos_s;
}

/* ---- carrying out ---- */

static uint32_t
honest(const struct world *w, uint32_t server)
{
    server %= w->n_servers;
    while (w->servers[server].kind == SERVER_HOSTILE)
        server = (server + 1) % w->n_servers;
    return server;
}

static void
spoof(struct world *w, uint32_t server, uint32_t vm)
{
    struct server *s = &w->servers[server];
    struct vm *v = &w->vms[vm], *t = &w->vms[rnd(&w->net, w->sc->vms)];
    uint8_t p[64];
    if (s->kind != SERVER_HOSTILE || !s->up)
        return;
    for (uint32_t vid = 0; vid < 10; vid++) {
        uint32_t size = frame_make(p, &t->mac, &v->mac, VN_HOSTILE, ++w->frame_seq);
        struct event *e = world_push_octets(
            w, EV_DATA_NVE, w->now + net_delay(w), s->nve, 0, p, size);
        e->a = s->port;
        e->b = vid;
        e->c = server;
    }
}

static void
fault(struct world *w, const struct op *o)
{
    uint32_t server = o->a % w->n_servers, nve = o->a % w->sc->nves;
    switch ((enum verb)o->verb) {
    case V_CRASH_NVE:
        nve_crash(w, nve, o->b);
        break;
    case V_CRASH_NVA:
        nva_crash(w, o->b);
        break;
    case V_CRASH_TES:
        server_crash(w, server, o->b);
        break;
    case V_FLAP:
        if (w->servers[server].link_until < w->now + o->b)
            w->servers[server].link_until = w->now + o->b;
        world_push(w, EV_LINK, w->servers[server].link_until, server, 0);
        server_link(w, server, false);
        break;
    case V_PART:
        if (movers_busy(w, nve))
            cover_fault(FAULT_14);
        w->nves[nve].part_until = w->now + o->b;
        if (o->b % 2)
            net_cut_all(w, nve, false);
        break;
    case V_CUT:
        if (movers_busy(w, nve))
            cover_fault(FAULT_1);
        net_cut_all(w, nve, false);
        break;
    case V_GARBAGE:
        server_garbage(w, server, o->b % 100);
        break;
    case V_VN_DEL:
        nva_vn(w, o->a % w->sc->vns, false, 0);
        break;
    case V_VN_PUT:
        nva_vn(w, o->a % w->sc->vns, true, o->b);
        break;
    case V_STOP: {
        struct nva_in in = {.type = NVA_IN_STOP};
        nva_feed(w, &in);
        nva_crash(w, o->b);
        break;
    }
    case V_STOP_NVE:
        nve_stop(w, nve, o->b);
        break;
    case V_STRANGER:
        stranger_call(w, o->b);
        break;
    case V_SPOOF:
        spoof(w, server, o->b % w->sc->vms);
        break;
    default:
        break;
    }
}

void
work_op(struct world *w, const struct op *o)
{
    uint32_t vm = o->a % w->sc->vms, server;
    struct vm *v = &w->vms[vm];
    TRACE(w, "op %s %u %u", verb_names[o->verb], o->a, o->b);
    w->counts[o->verb] += o->verb > V_IMMA && o->verb != V_EMIGH && o->verb != V_PAUSED;
    if (o->verb <= V_IMMA || o->verb == V_EMIGH)
        v->sure = 0;
    switch ((enum verb)o->verb) {
    case V_ASSOC:
    case V_IMMA:
        server = honest(w, o->b);
        vm_wake(w, vm, server + 1);
        server_ask(w, server, vm, o->verb);
        break;
    case V_IMMP:
        v->migration = w->seq;
        v->epoch = 0;
        server_ask(w, honest(w, o->b), vm, o->verb);
        break;
    case V_RESUME:
        server = honest(w, o->b);
        v->run = server + 1;
        server_ask(w, server, vm, o->verb);
        break;
    case V_TERM:
        server = honest(w, o->b);
        if (v->run == server + 1)
            v->run = 0;
        server_ask(w, server, vm, o->verb);
        break;
    case V_MOVE:
        mover_start(w, o);
        break;
    case V_RAW:
        server_raw(w, honest(w, o->b), vm, o->c);
        break;
    case V_PAUSED:
        server_ask(w, honest(w, o->b), vm, o->verb);
        break;
    case V_PRE:
    case V_SUSPEND:
    case V_EMIGP:
    case V_EMIGC:
    case V_EMIGH:
        server_ask(w, honest(w, o->b), vm, o->verb);
        break;
    case V_SEND:
        guest_send(w, vm, o->b % w->sc->vms, FRAME_UNICAST);
        break;
    case V_ARP:
        guest_send(w, vm, o->b % w->sc->vms, FRAME_ARP);
        break;
    case V_BCAST:
        guest_send(w, vm, vm, FRAME_BROADCAST);
        break;
    case V_GARP:
        guest_send(w, vm, vm, FRAME_GARP);
        break;
    default:
        fault(w, o);
        break;
    }
}
