/* SPDX-License-Identifier: Apache-2.0 */
/* A key that goes from one NVE to another: the former owner is told first, and the
 * others when it has acknowledged, that is when its data plane sends on what comes for
 * the key (D1, K5). Told together, a remote edge would send to the new place while what
 * it sent before still waits at a former owner that has not heard. Whoever cannot
 * answer in REG_GATE_US, counted from the first of several moves, is not waited for;
 * when the table is full nobody is. A subscriber's cursor stops before a gated entry,
 * so that the order of changes, confirmations and supersession are those of the list.
 */
#include "core/registry_int.h"

static struct reg_gate *
gate_at(const struct registry *r, uint32_t h)
{
    return slab_at(&r->gates, h);
}

static bool
gate_eq(const void *ctx, uint32_t h, const void *key)
{
    return gate_at(ctx, h)->ent == *(const uint32_t *)key;
}

void
reg_gates_init(struct registry *r)
{
    slab_init(&r->gates, sizeof(struct reg_gate), REG_GATES);
    map_init(&r->by_gate, gate_eq, r, r->conf.seed + 8);
}

uint32_t
reg_gate_find(const struct registry *r, uint32_t ent)
{
    if (!ent || !(reg_ent(r, ent)->flags & ENT_GATED))
        return 0;
    return map_find(&r->by_gate, map_hash(&r->by_gate, &ent, sizeof ent), &ent);
}

void
reg_gate_shut(struct registry *r, uint32_t ent, uint32_t old)
{
    struct reg_ent *en = reg_ent(r, ent);
    const struct reg_nve *n = reg_nve_live(r, old);
    uint32_t sub = reg_key_sub(r, old, en->key.vni, &en->key.mac, NULL, false);
    if (!sub || !n || n->foreign)
        return;
    uint32_t h = reg_gate_find(r, ent);
    if (!h && (h = slab_get(&r->gates))) {
        gate_at(r, h)->ent = ent;
        map_add(&r->by_gate, map_hash(&r->by_gate, &ent, sizeof ent), h);
        en->flags |= ENT_GATED;
        timers_set(
            &r->timers, &gate_at(r, h)->timer, r->now_us + REG_GATE_US, REG_T_GATE, h);
    }
    if (h) {
        gate_at(r, h)->nve = old;
        gate_at(r, h)->seq = 0;
        ((struct reg_keysub *)slab_at(&r->keysubs, sub))->first = 1;
    }
}

void
reg_gate_open(struct registry *r, uint32_t h)
{
    if (!h)
        return;
    uint32_t ent = gate_at(r, h)->ent;
    struct reg_ent *en = reg_ent(r, ent);
    en->flags &= (uint8_t)~ENT_GATED;
    timers_clear(&r->timers, &gate_at(r, h)->timer);
    map_del(&r->by_gate, map_hash(&r->by_gate, &ent, sizeof ent), h);
    slab_put(&r->gates, h);
    reg_vn_tell(r, reg_vn_find(r, en->key.vni));
    reg_key_opened(r, ent);
}

void
reg_gate_sent(struct registry *r, uint32_t h, uint32_t nve, uint64_t seq)
{
    if (h && gate_at(r, h)->nve == nve)
        gate_at(r, h)->seq = seq;
}

void
reg_gate_acked(struct registry *r, uint32_t h, uint32_t nve, uint64_t seq)
{
    bool live = r->gates.live[h / 8] & 1u << h % 8;
    if (live && gate_at(r, h)->nve == nve && gate_at(r, h)->seq == seq)
        reg_gate_open(r, h);
}
