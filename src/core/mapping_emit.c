/* SPDX-License-Identifier: Apache-2.0 */
/* Operations for the data plane, and the pushes that caused them.
 *
 * A push is acknowledged when the operations it caused are done. Pushes are
 * acknowledged cumulatively, so those under way stand in a queue; what fails is set
 * again a few times before the queue goes on without it. */
#include "core/mapping_int.h"

#include <assert.h>

#include "base/log.h"

/* ---- emitting: every operation of a push is counted towards its acknowledgement ----
 */

struct dp_op *
mapping_op(struct edge *e, uint8_t type)
{
    struct mapping_table *t = e->map;
    if (!t->push)
        return edge_dp(e, type, TICKET_DP, 0);
    ((struct push *)slab_at(&t->pushes, t->push))->left++;
    return edge_dp(e, type, TICKET_MAP_DP, t->push);
}

/* A relay needs both: it was ours, and somebody newer has published, or has reserved
 * and waits for it (D1-D3, S0-14). */
void
mapping_fdb_fill(const struct mapping_table *t, const struct ent *en, struct dp_op *op)
{
    op->u.fdb.vni = en->key.vni;
    op->u.fdb.mac = en->key.mac;
    uint32_t target = mapping_provisional(t, en);
    if (target) {
        op->u.fdb.kind = FDB_RELAY;
        op->u.fdb.vtep = vtep_at(t, target)->ip;
    } else if (en->flags & F_LOCAL) {
        op->u.fdb.kind = FDB_LOCAL;
        op->u.fdb.port = en->port;
        op->u.fdb.vid = en->vid;
        op->u.fdb.pcp = en->pcp;
    } else if (en->flags & F_REMOTE) {
        op->u.fdb.kind = en->flags & F_TOMB ? FDB_RELAY : FDB_REMOTE;
        op->u.fdb.vtep = vtep_at(t, en->owner)->ip;
    }
}

void
mapping_fdb_emit(struct edge *e, uint32_t h)
{
    const struct ent *en = ent_at(e->map, h);
    uint32_t dropped = mapping_hold_begin(e, h);
    bool placed = en->flags & (F_LOCAL | F_REMOTE) || mapping_provisional(e->map, en);
    mapping_fdb_fill(e->map, en, mapping_op(e, placed ? DP_FDB_SET : DP_FDB_DEL));
    mapping_hold_end(e, h);
    mapping_owner_drop(e, dropped);
}

void
mapping_neigh_emit(struct edge *e, uint32_t vni, const struct ip *ip, uint32_t holder)
{
    struct dp_op *op = mapping_op(e, holder ? DP_NEIGH_SET : DP_NEIGH_DEL);
    op->u.neigh.vni = vni;
    op->u.neigh.ip = *ip;
    if (!holder)
        return;
    op->u.neigh.mac = ent_at(e->map, holder)->key.mac;
    /* Nobody says whether a VM is a router. A host that hears R = 0 of its router drops
     * the default route (RFC 4861 7.2.5); R = 1 of a host makes no route by itself. */
    op->u.neigh.router = 1;
}

void
mapping_member_emit(struct edge *e, uint8_t type, uint32_t vni, uint32_t vtep)
{
    struct dp_op *op = mapping_op(e, type);
    op->u.member.vni = vni;
    op->u.member.vtep = vtep_at(e->map, vtep)->ip;
}

/* ---- pushes and their acknowledgement (K5) ---- */

static void
push_ack(struct edge *e)
{
    struct mapping_table *t = e->map;
    uint64_t seq = 0;
    while (t->push_head) {
        uint32_t h = t->push_head;
        struct push *p = slab_at(&t->pushes, h);
        if (p->left || p->failed)
            break;
        if (p->seq)
            seq = p->seq;
        t->push_head = p->next;
        if (!t->push_head)
            t->push_tail = 0;
        slab_put(&t->pushes, h);
    }
    if (seq)
        edge_emit(e, EDGE_MAP_ACK)->u.seq = seq;
}

void
mapping_push_begin(struct edge *e, uint64_t seq, uint32_t vni, const struct mac *mac)
{
    struct mapping_table *t = e->map;
    t->push = 0;
    if (seq == 0)
        return;
    uint32_t h = slab_get(&t->pushes);
    if (h == 0) {
        struct push *last = slab_at(&t->pushes, t->push_tail);
        last->seq = seq;
        t->push = t->push_tail;
        return;
    }
    struct push *p = slab_at(&t->pushes, h);
    p->seq = seq;
    p->vni = vni;
    if (mac)
        p->mac = *mac;
    if (t->push_tail)
        ((struct push *)slab_at(&t->pushes, t->push_tail))->next = h;
    else
        t->push_head = h;
    t->push_tail = t->push = h;
}

void
mapping_push_end(struct edge *e)
{
    if (e->map->push) {
        e->map->push = 0;
        push_ack(e);
    }
}

/* Says again what the data plane should hold of a key. */
void
mapping_key_emit(struct edge *e, uint32_t vni, const struct mac *mac)
{
    struct mapping_table *t = e->map;
    uint32_t h = keytab_find(&t->keys, vni, mac);
    if (!h) {
        struct dp_op *op = mapping_op(e, DP_FDB_DEL);
        op->u.fdb.vni = vni;
        op->u.fdb.mac = *mac;
        return;
    }
    struct mapping_rec rec;
    keytab_rec(&t->keys, h, &rec);
    mapping_fdb_emit(e, h);
    for (uint32_t i = 0; i < rec.n_ips; i++)
        mapping_neigh_emit(
            e, vni, &rec.ips[i], keytab_holder(&t->keys, vni, &rec.ips[i]));
}

void
mapping_done(struct edge *e, uint32_t ref, int status)
{
    struct mapping_table *t = e->map;
    struct push *p = slab_at(&t->pushes, ref);
    assert(p->left > 0);
    p->left--;
    if (status != 0) {
        edge_count(e, EDGEC_DP_ERRORS);
        p->failed = 1;
    }
    if (p->left > 0)
        return;
    if (p->failed && p->seq && !mac_is_none(&p->mac) && p->tries < PUSH_TRIES) {
        p->tries++;
        timers_set(&e->timers, &p->timer, e->now_us + e->conf.settings[SET_RETRY_US],
            TIMER_MAP_RETRY, ref);
        return;
    }
    if (p->failed)
        log_err("mapping", "vni=%u seq=%llu the data plane refused, going on", p->vni,
            (unsigned long long)p->seq);
    p->failed = 0;
    push_ack(e);
}

void
mapping_push_retry(struct edge *e, uint32_t ref)
{
    struct mapping_table *t = e->map;
    struct push *p = slab_at(&t->pushes, ref);
    p->failed = 0;
    t->push = ref;
    mapping_key_emit(e, p->vni, &p->mac);
    t->push = 0;
}

/* The session is gone: nobody waits for acknowledgements of its numbers. What is on its
 * way in the data plane keeps its place until it comes back. */
void
mapping_push_forget(struct edge *e)
{
    struct mapping_table *t = e->map;
    for (uint32_t it = 0, h; (h = slab_each(&t->pushes, &it));) {
        struct push *p = slab_at(&t->pushes, h);
        timers_clear(&e->timers, &p->timer);
        p->seq = 0;
        p->failed = 0;
    }
    push_ack(e);
}
