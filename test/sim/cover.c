/* SPDX-License-Identifier: Apache-2.0 */
/* What the worlds reached: every row of the state tables, whoever owns them (the linker
 * hands us fsm_done, at which a machine's hits are final), and the faults F1 to F21 of
 * requirements 4.2, counted where they happen. */
#include "sim.h"

struct coverage coverage;

static const char *const faults[FAULT_N] = {
    "an update or its session is lost while a VM moves",
    "an update that overtakes, or comes twice, is ignored",
    "a withdrawal of the old edge after the new one registered",
    "a command of an older migration comes after a newer one",
    "cancelled after the old edge was told",
    "cancelled after the new edge was activated, the old one not told",
    "the hypervisor of a paused VM dies",
    "the new edge refuses before the pause",
    "two hypervisors claim one VM",
    "a VM moves on, or back, before the move before has settled",
    "the old edge dies after the move",
    "the owner dies",
    "the authority dies while a VM moves",
    "an edge is cut off from the authority while a VM moves",
    "both servers are on one edge",
    "a late frame meets a tag that was given back",
    "a group frame comes to an edge that relays",
    "a VM asks for the address of one that moved",
    "a pause that is longer than the idle times",
    "ended at the old edge before the new one is activated",
    "a hold overflows, or is never drained",
};

void __real_fsm_done(struct fsm *f);
void __wrap_fsm_done(struct fsm *f);

static uint32_t
def_index(struct coverage *c, const struct fsm_def *def)
{
    uint32_t i = 0;
    while (i < COVER_DEFS && c->defs[i] && c->defs[i] != def)
        i++;
    if (i < COVER_DEFS)
        c->defs[i] = def;
    return i;
}

void
__wrap_fsm_done(struct fsm *f)
{
    uint32_t d = f->def && f->hits ? def_index(&coverage, f->def) : COVER_DEFS;
    for (uint32_t i = 0; d < COVER_DEFS && i < f->def->n_rows && i < COVER_ROWS; i++)
        coverage.rows[d][i] += f->hits[i];
    __real_fsm_done(f);
}

void
cover_fault(enum fault f)
{
    coverage.faults[f]++;
}

void
cover_add(struct coverage *to, const struct coverage *from)
{
    for (uint32_t d = 0; d < COVER_DEFS && from->defs[d]; d++) {
        uint32_t k = def_index(to, from->defs[d]);
        for (uint32_t i = 0; k < COVER_DEFS && i < COVER_ROWS; i++)
            to->rows[k][i] += from->rows[d][i];
    }
    for (uint32_t i = 0; i < FAULT_N; i++)
        to->faults[i] += from->faults[i];
}

static uint32_t
table_print(const struct coverage *c, uint32_t d, bool rows)
{
    const struct fsm_def *def = c->defs[d];
    uint32_t reached = 0;
    for (uint32_t i = 0; i < def->n_rows; i++)
        reached += c->rows[d][i] != 0;
    printf("coverage: %s: %u of %u rows\n", def->name, reached, def->n_rows);
    for (uint32_t i = 0; i < def->n_rows; i++) {
        const struct fsm_row *r = &def->rows[i];
        if (rows || !c->rows[d][i])
            printf("%12llu  %s: %s -> %s on %s\n", (unsigned long long)c->rows[d][i],
                def->name, def->states[r->from], def->states[r->to],
                def->events[r->event]);
    }
    return def->n_rows - reached;
}

uint32_t
cover_print(const struct coverage *c, bool rows)
{
    uint32_t missing = 0, reached = 0;
    for (uint32_t d = 0; d < COVER_DEFS && c->defs[d]; d++)
        missing += table_print(c, d, rows);
    for (uint32_t i = 0; i < FAULT_N; i++)
        reached += c->faults[i] != 0;
    printf("coverage: faults: %u of %u\n", reached, FAULT_N);
    for (uint32_t i = 0; i < FAULT_N; i++)
        if (rows || !c->faults[i])
            printf("%12llu  F%u: %s\n", (unsigned long long)c->faults[i], i + 1,
                faults[i]);
    return missing + FAULT_N - reached;
}
