/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded memory, after every step: no table of a node above its configured maximum,
 * all outputs pulled, and no more octets than what the node has known at most explains
 * (tables keep their room). And at the end, when all has ended: no object is left of
 * any kind, seen through the tables that should be empty, and through the number of
 * small blocks, for what stands in no table. */
#include "core/attach.h"
#include "core/mapping_int.h"
#include "core/registry_int.h"
#include "sim.h"
#include "core/mapping.h"

/* Octets: of a node that knows nothing, and of what it may take for each thing that it
 * has known at once. Measured over 200 worlds: at most 562,000 octets, and 95 small
 * blocks at the end. */
#define BASE       (768 * 1024)
#define PER_THING  4096
#define SMALL_LEFT 128

struct table {
    const char *name;
    uint64_t n, max;
};

static void
tables_check(struct world *w, const char *who, uint32_t i, const struct table *t)
{
    for (; t->name; t++)
        if (t->n > t->max)
            sim_fail(w, "bounded", "%s=%u: %s: %llu, at most %llu", who, i, t->name,
                (unsigned long long)t->n, (unsigned long long)t->max);
}

static void
heap_check(
    struct world *w, const char *who, uint32_t i, struct heap *h, uint64_t things)
{
    if (things > h->things)
        h->things = things;
    if ((uint64_t)h->octets > BASE + h->things * PER_THING)
        sim_fail(w, "bounded",
            "%s=%u has %lld octets and never knew more than %llu things", who, i,
            (long long)h->octets, (unsigned long long)h->things);
}

void
bounds_nve(struct world *w, uint32_t i)
{
    struct nve_node *n = &w->nves[i];
    if (!n->up || w->failed)
        return;
    const struct edge *e = nve_edge(n->nve);
    const uint64_t *set = e->conf.settings;
    const struct mapping_table *m = e->map;
    struct att_counts a = att_counts(e);
    /* Every edge knows the endpoint of every other one (K11). */
    uint64_t maps = mapping_count(e), things = maps + a.entries + a.txns + w->sc->nves;
    struct table t[] = {
        {"attachments",           a.atts,           set[SET_MAX_ATTACHMENTS]},
        {"requests under way",    a.txns,           2ull * a.atts + 1       },
        {"mappings",              maps,             set[SET_MAX_MAPPINGS]   },
        {"VMs on their way",      m->moves.n,       maps                    },
        {"holds",                 m->n_holds,       DP_HOLD_MAX             },
        {"negative answers",      m->negs.pool.n,   NEGS_MAX                },
        {"pushes to acknowledge", m->pushes.pool.n, PUSHES_MAX              },
        {"virtual networks",      m->vns.pool.n,    set[SET_MAX_VNS]        },
        {"outputs not pulled",    e->out.n,         0                       },
        {"completions awaited",   e->awaited,       64 + 16 * things        },
        {NULL,                    0,                0                       },
    };
    tables_check(w, "nve", i, t);
    heap_check(w, "nve", i, &n->heap, things + m->negs.pool.n);
    for (uint32_t p = 1; p <= w->sc->ports && !w->failed; p++)
        if (e->ports[p] && e->ports[p]->n_atts > set[SET_MAX_PER_PORT])
            sim_fail(w, "bounded", "nve=%u port=%u: %u attachments", i, p,
                e->ports[p]->n_atts);
}

void
bounds_nva(struct world *w)
{
    struct nva_node *n = &w->nva;
    if (!n->up || w->failed)
        return;
    const struct registry *r = nva_registry(n->nva);
    const struct registry_conf *c = &r->conf;
    struct table t[] = {
        {"mappings",           r->n_live,         c->max_mappings    },
        {"virtual networks",   r->vns.pool.n,     2ull * c->max_vns  },
        {"NVEs",               r->nves.pool.n,    c->max_nves + 1ull },
        {"keys pulled",        r->keysubs.pool.n, c->max_key_subs    },
        {"reservations",       r->resvs.pool.n,   c->max_reservations},
        {"claims that wait",   r->claims.n,       c->max_waiting     },
        {"who talks to whom",  r->talks.pool.n,   c->max_talkers     },
        {"outputs not pulled", r->out.n,          0                  },
        {NULL,                 0,                 0                  },
    };
    tables_check(w, "authority", 0, t);
    heap_check(w, "authority", 0, &n->heap,
        r->keys.items.pool.n + r->parts.pool.n + r->keysubs.pool.n + r->resvs.pool.n +
            r->talks.pool.n + 16 * r->nves.pool.n);
    for (uint32_t it = 0, h; w->sc->vms <= LARGE && (h = slab_each(&r->nves, &it));)
        if (reg_nve(r, h)->inflight.n > c->window)
            sim_fail(w, "bounded", "authority: %u pushes to %s are not acknowledged",
                reg_nve(r, h)->inflight.n, reg_nve(r, h)->name);
}

static void
left(struct world *w, const char *who, uint32_t i, const struct table *t,
    const struct heap *h)
{
    for (; t->name; t++)
        if (t->n > t->max)
            sim_fail(w, "leak", "%s=%u: %s: %llu are left", who, i, t->name,
                (unsigned long long)t->n);
    if (h->small > SMALL_LEFT)
        sim_fail(w, "leak", "%s=%u: %lld small blocks are left, %lld octets in all",
            who, i, (long long)h->small, (long long)h->octets);
}

void
bounds_end(struct world *w)
{
    for (uint32_t i = 0; i < w->sc->nves && !w->failed; i++) {
        const struct edge *e = nve_edge(w->nves[i].nve);
        const struct mapping_table *m = e->map;
        struct att_counts a = att_counts(e);
        struct table t[] = {
            {"entries",                 a.entries,          0},
            {"VAPs",                    a.vaps,             0},
            {"requests under way",      a.txns,             0},
            {"VMs on their way",        m->moves.n,         0},
            {"holds",                   m->n_holds,         0},
            {"holds of the data plane", w->nves[i].n_holds, 0},
            {"pushes to acknowledge",   m->pushes.pool.n,   0},
            {"completions awaited",     e->awaited,         0},
            {NULL,                      0,                  0},
        };
        left(w, "nve", i, t, &w->nves[i].heap);
    }
    const struct registry *r = nva_registry(w->nva.nva);
    struct table t[] = {
        {"reservations",     r->resvs.pool.n,      0},
        {"confirmations",    r->waits.pool.n,      0},
        {"claims that wait", r->claims.n,          0},
        {"keys remembered",  r->keys.items.pool.n, 0},
        {NULL,               0,                    0},
    };
    if (!w->failed)
        left(w, "authority", 0, t, &w->nva.heap);
}
