/* SPDX-License-Identifier: Apache-2.0 */
/* The table of attachments, and what several rows of their state table share. Requests
 * and events go through that table (attach_table.c), from attach_request.c and
 * attach_event.c. */
#include "core/attach.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "core/attach_int.h"
#include "core/timing.h"

struct id_key {
    uint32_t port;
    const struct vsiid *id;
};

static bool
id_eq(const void *ctx, uint32_t h, const void *key)
{
    const struct att *a = pool_at(&((const struct attach *)ctx)->atts, h);
    const struct id_key *k = key;
    return a->port == k->port && vsiid_equal(&a->id, k->id);
}

static bool
key_eq(const void *ctx, uint32_t h, const void *key)
{
    const struct entry *n = pool_at(&((const struct attach *)ctx)->entries, h);
    const struct att_key *k = key;
    return n->vni == k->vni && mac_equal(&n->mac, &k->mac);
}

static bool
vap_eq(const void *ctx, uint32_t h, const void *key)
{
    const struct vap *v = pool_at(&((const struct attach *)ctx)->vaps, h);
    const uint32_t *k = key;
    return v->port == k[0] && v->vid == k[1];
}

void
attach_open(struct edge *e)
{
    struct attach *t = mem_alloc(sizeof *t);
    const char *why;
    uint32_t max = (uint32_t)edge_set(e, SET_MAX_ATTACHMENTS);
    e->att = t;
    pool_init(&t->atts, sizeof(struct att), max);
    pool_init(&t->entries, sizeof(struct entry),
        max + (uint32_t)edge_set(e, SET_MAX_MAPPINGS));
    pool_init(&t->vaps, sizeof(struct vap), UINT32_MAX);
    pool_init(&t->txns, sizeof(struct txn), UINT32_MAX);
    map_init(&t->by_id, id_eq, t, edge_seed(e, 20));
    map_init(&t->by_key, key_eq, t, edge_seed(e, 21));
    map_init(&t->by_vap, vap_eq, t, edge_seed(e, 22));
    if (!fsm_init(&t->fsm, &att_fsm, &why))
        log_err("attach", "state table: %s", why);
}

static void
list_free_ips(struct edge *e, uint32_t list)
{
    for (uint32_t h = list; h; h = entry_at(e, h)->next)
        entry_ips_set(entry_at(e, h), NULL, 0);
}

void
attach_close(struct edge *e)
{
    struct attach *t = e->att;
    for (uint32_t it = 0, h; (h = map_each(&t->by_id, &it));) {
        list_free_ips(e, att_at(e, h)->entries);
        list_free_ips(e, att_at(e, h)->learned);
        for (uint32_t x = att_at(e, h)->txn; x; x = txn_at(e, x)->queued) {
            list_free_ips(e, txn_at(e, x)->staged);
            mem_free(txn_at(e, x)->copy);
            mem_free(txn_at(e, x)->held);
        }
    }
    map_done(&t->by_id);
    map_done(&t->by_key);
    map_done(&t->by_vap);
    pool_done(&t->atts);
    pool_done(&t->entries);
    pool_done(&t->vaps);
    pool_done(&t->txns);
    fsm_done(&t->fsm);
    mem_free(t);
    e->att = NULL;
}

/* ---- the table of attachments ---- */

static uint32_t
id_hash(const struct edge *e, uint32_t port, const struct vsiid *id)
{
    uint8_t k[sizeof *id + 2];
    memcpy(k, id, sizeof *id);
    k[sizeof *id] = (uint8_t)(port >> 8);
    k[sizeof *id + 1] = (uint8_t)port;
    return map_hash(&e->att->by_id, k, sizeof k);
}

uint32_t
att_find(const struct edge *e, uint32_t port, const struct vsiid *id)
{
    return map_find(&e->att->by_id, id_hash(e, port, id), &(struct id_key){port, id});
}

void
att_unlink(struct edge *e, uint32_t h)
{
    struct att *a = att_at(e, h);
    struct edge_port *p = edge_port_at(e, a->port);
    if (a->listed == 0)
        return;
    if (a->list_prev)
        att_at(e, a->list_prev)->list_next = a->list_next;
    else if (a->listed == 1)
        p->atts = a->list_next;
    else
        e->att->term_head = a->list_next;
    if (a->list_next)
        att_at(e, a->list_next)->list_prev = a->list_prev;
    else if (a->listed == 2)
        e->att->term_tail = a->list_prev;
    if (a->listed == 1)
        p->n_atts--;
    a->listed = 0;
    a->list_prev = a->list_next = 0;
}

/* Into the list of its port, or, ended, to the tail of that of TERM. */
void
att_link(struct edge *e, uint32_t h, bool term)
{
    att_unlink(e, h);
    struct att *a = att_at(e, h);
    struct edge_port *p = edge_port_at(e, a->port);
    if (term) {
        a->listed = 2;
        a->list_prev = e->att->term_tail;
        if (a->list_prev)
            att_at(e, a->list_prev)->list_next = h;
        else
            e->att->term_head = h;
        e->att->term_tail = h;
        return;
    }
    a->listed = 1;
    a->list_next = p->atts;
    if (p->atts)
        att_at(e, p->atts)->list_prev = h;
    p->atts = h;
    p->n_atts++;
}

/* A place for one more; a tombstone gives way when there is no other. */
uint32_t
att_new(struct edge *e, uint32_t port, const struct vsiid *id)
{
    struct attach *t = e->att;
    struct edge_port *p = edge_port_at(e, port);
    if (p->n_atts >= edge_set(e, SET_MAX_PER_PORT))
        return 0;
    if (t->atts.n == t->atts.max && t->term_head && !att_at(e, t->term_head)->txn)
        att_event(e, t->term_head, ATT_EV_TIMER);
    uint32_t h = pool_get(&t->atts);
    if (h == 0)
        return 0;
    struct att *a = att_at(e, h);
    a->id = *id;
    a->port = (uint16_t)port;
    a->since_us = e->now_us;
    map_add(&t->by_id, id_hash(e, port, id), h);
    att_link(e, h, false);
    return h;
}

void
att_free(struct edge *e, uint32_t h)
{
    struct att *a = att_at(e, h);
    att_unlink(e, h);
    timers_clear(&e->timers, &a->timer);
    timers_clear(&e->timers, &a->hold);
    map_del(&e->att->by_id, id_hash(e, a->port, &a->id), h);
    pool_put(&e->att->atts, h);
}

uint64_t
att_nonce(struct edge *e)
{
    uint32_t n[2] = {++e->att->n_nonce, (uint32_t)e->now_us};
    return (uint64_t)map_hash(&e->att->by_id, n, sizeof n) << 32 |
           map_hash(&e->att->by_key, n, sizeof n);
}

void
att_arm(struct edge *e, uint32_t h)
{
    struct att *a = att_at(e, h);
    uint64_t idle_us =
        timing_idle(e->conf.settings, a->state, (uint64_t)a->idle_ms * 1000);
    timers_set(&e->timers, &a->timer,
        idle_us == TIMER_NEVER ? TIMER_NEVER : e->now_us + idle_us, TIMER_ATT, h);
}

/* The longest that frames of a VM wait that was said to pause at once, and still runs.
 */
void
att_arm_hold(struct edge *e, uint32_t h)
{
    timers_set(&e->timers, &att_at(e, h)->hold, e->now_us + edge_set(e, SET_HOLD_US),
        TIMER_HOLD, h);
}

bool
att_step(struct edge *e, uint32_t h, uint8_t event, uint8_t *action)
{
    struct att *a = att_at(e, h);
    char who[VSIID_STR + 16] = "";
    if (log_on(LOG_INF, "attach")) {
        char id[VSIID_STR];
        snprintf(who, sizeof who, "port=%u vsi=%s", a->port, vsiid_str(&a->id, id));
    }
    const struct fsm_row *row = fsm_step(&e->att->fsm, &a->state, event, who);
    if (!row) {
        edge_count(e, EDGEC_ILLEGAL);
        return false;
    }
    *action = row->action;
    return true;
}

void
att_notice(struct edge *e, uint32_t h, uint8_t type, const char *reason)
{
    const struct att *a = att_at(e, h);
    struct tns_notice *n = &edge_emit(e, EDGE_NOTICE)->u.notice;
    n->type = type;
    n->port = a->port;
    n->cookie = a->cookie;
    n->id = a->id;
    snprintf(n->reason, sizeof n->reason, "%s", reason);
}

/* ---- what rows do at once ---- */

void
att_inactive(struct edge *e, uint32_t h, uint32_t txn)
{
    for (uint32_t n = att_at(e, h)->entries; n; n = entry_at(e, n)->next)
        entry_install(e, n, false, txn);
    learn_active(e, h, false, txn);
}

void
att_move(struct edge *e, uint32_t h)
{
    for (uint32_t n = att_at(e, h)->entries; n; n = entry_at(e, n)->next)
        entry_move(e, n);
    for (uint32_t n = att_at(e, h)->learned; n; n = entry_at(e, n)->next)
        entry_move(e, n);
}

/* Everything out of the data plane and the mapping; what owned something leaves a
 * tombstone (D1), the rest is freed. */
void
att_end_entries(struct edge *e, uint32_t h, uint32_t txn)
{
    struct att *a = att_at(e, h);
    uint32_t lists[2] = {a->learned, a->entries}, kept = 0;
    a->learned = a->entries = 0;
    a->n_learned = a->n_entries = 0;
    for (int i = 0; i < 2; i++)
        for (uint32_t n = lists[i], next; n; n = next) {
            next = entry_at(e, n)->next;
            timers_clear(&e->timers, &entry_at(e, n)->timer);
            entry_end(e, n, entry_at(e, n)->flags & (ENTRY_LOCAL | ENTRY_TOMB), txn);
            if (!(entry_at(e, n)->flags & ENTRY_TOMB)) {
                entry_free(e, n);
                continue;
            }
            /* a tombstone is an entry like the others, however its MAC became known */
            entry_at(e, n)->flags &= (uint16_t) ~(ENTRY_LEARNED | ENTRY_QUIET);
            entry_at(e, n)->next = kept;
            kept = n;
            a->n_entries++;
        }
    a->entries = kept;
}

void
att_tombs(struct edge *e, uint32_t h)
{
    struct att *a = att_at(e, h);
    for (uint32_t n = a->entries, next; n; n = next) {
        next = entry_at(e, n)->next;
        entry_tomb_end(e, n);
        entry_free(e, n);
    }
    a->entries = 0;
    a->n_entries = 0;
    a->epoch = a->migration_id = 0;
}

void
att_forget(struct edge *e, uint32_t h)
{
    att_tombs(e, h);
    att_journal(e, h, 0);
    att_free(e, h);
}

void
attach_port_reflect(struct edge *e, struct edge_port *p)
{
    for (uint32_t it = 0, h; (h = map_each(&e->att->by_vap, &it));) {
        struct vap *v = pool_at(&e->att->vaps, h);
        if (v->port == p->number)
            vap_say(e, v, TICKET_DP, 0);
    }
}

bool
attach_has(const struct edge *e, uint32_t port, const struct vsiid *id)
{
    uint32_t h = att_find(e, port, id);
    return h && att_at(e, h)->state != ATT_TERM;
}

uint32_t
attach_count(const struct edge *e)
{
    return e->att->atts.n;
}

uint32_t
attach_in_flight(const struct edge *e)
{
    return e->att->txns.n;
}

void
attach_coverage(const struct edge *e, uint64_t *hits)
{
    memcpy(hits, e->att->fsm.hits, att_fsm.n_rows * sizeof *hits);
}

size_t
attach_bytes(const struct edge *e)
{
    const struct attach *t = e->att;
    return pool_bytes(&t->atts) + pool_bytes(&t->entries) + pool_bytes(&t->vaps) +
           pool_bytes(&t->txns) +
           ((size_t)t->by_id.cap + t->by_key.cap + t->by_vap.cap) * 8;
}
