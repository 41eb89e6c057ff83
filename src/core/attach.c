/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and events go through the table of attach_table.c; what a row does is here
 * when it is done at once, and in attach_txn.c when it takes time. Events from inside
 * that meet a request under way wait for its end: att_settle then looks at how things
 * stand, so nothing has to be queued for them. */
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

static void
att_free(struct edge *e, uint32_t h)
{
    struct att *a = att_at(e, h);
    att_unlink(e, h);
    timers_clear(&e->timers, &a->timer);
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

static const struct fsm_row *
row_of(const struct edge *e, uint8_t state, uint8_t event)
{
    const struct fsm *f = &e->att->fsm;
    int16_t i = f->index[state * f->def->n_events + event];
    return i < 0 ? NULL : &f->def->rows[i];
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

/* ---- answers ---- */

static void
describe(const struct edge *e, const struct entry *n, struct tns_entry *to)
{
    *to = (struct tns_entry){.vn_ref = VN_BY_VNI,
        .has_mac = !!(n->flags & ENTRY_MAC),
        .ps = !!(n->flags & ENTRY_PS),
        .pcp = n->pcp,
        .vid = n->vid,
        .n_ips = n->n_ips,
        .untagged = !!(n->flags & ENTRY_UNTAGGED),
        .vni = n->vni,
        .mac = n->mac};
    memcpy(to->ips, entry_ips(n), n->n_ips * sizeof *to->ips);
    uint32_t vn = vn_find(e, n->vni);
    if (vn)
        snprintf(to->vn_name, sizeof to->vn_name, "%s", vn_at(e, vn)->name);
}

static void
answer(struct edge *e, const struct tns_request *rq, const struct att *a, uint8_t code,
    const char *reason)
{
    struct edge_out *o = edge_emit(e, EDGE_ANSWER);
    struct tns_response *r = &o->u.answer;
    r->op = rq->op;
    r->code = code;
    r->port = rq->port;
    r->cookie = rq->cookie;
    r->id = rq->id;
    r->nve = e->conf.vtep;
    snprintf(r->reason, sizeof r->reason, "%s", reason);
    edge_count(e, code == TNS_OK ? EDGEC_ANSWERED_OK : EDGEC_REFUSED);
    bool stands = a && a->state != ATT_NULL && a->state != ATT_TERM;
    if (a) {
        r->state = a->state;
        r->kept = code != TNS_OK && stands;
        r->epoch = a->epoch;
        r->migration_id = a->migration_id;
    }
    if (code != TNS_OK && rq->entries && rq->n_entries &&
        rq->n_entries <= TNS_ENTRIES_MAX) {
        size_t size = rq->n_entries * sizeof *rq->entries;
        r->entries = memcpy(edge_lend(e, size), rq->entries, size);
        r->n_entries = rq->n_entries;
        return;
    }
    if (!stands || a->n_entries == 0)
        return;
    struct tns_entry *to = edge_lend(e, a->n_entries * sizeof *to);
    r->entries = to;
    for (uint32_t h = a->entries; h; h = entry_at(e, h)->next) {
        const struct entry *n = entry_at(e, h);
        uint32_t vn = vn_find(e, n->vni), mtu = vn ? vn_at(e, vn)->mtu : 0;
        describe(e, n, &to[r->n_entries++]);
        if (mtu && (r->mtu == 0 || mtu < r->mtu))
            r->mtu = mtu;
        if (n->flags & ENTRY_LOCAL && !(n->flags & ENTRY_PUBLISHED))
            r->unpublished = 1;
        if (n->flags & ENTRY_LOCAL && !n->confirmed)
            r->unconfirmed = rq->confirm && code == TNS_OK;
    }
}

void
att_answer(struct edge *e, uint32_t txn, uint8_t code, const char *reason)
{
    const struct txn *x = txn_at(e, txn);
    answer(e, &x->rq, x->att ? att_at(e, x->att) : NULL, code, reason);
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
    n->profile = a->profile;
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

static void
age_out(struct edge *e, uint32_t h, uint8_t event)
{
    struct att *a = att_at(e, h);
    if (event == ATT_EV_TIMER)
        edge_count(e, EDGEC_AGED);
    att_notice(e, h, NOTICE_DISSOCIATED,
        event == ATT_EV_TIMER ? "aged out" : "its port or virtual network is gone");
    att_end_entries(e, h, 0);
    a->since_us = e->now_us;
    a->flags = 0;
    att_link(e, h, true);
    att_arm(e, h);
    att_journal(e, h, 0);
    if (a->n_entries == 0)
        att_event(e, h, ATT_EV_TIMER);
}

/* To another NVE: a claim on its way may come back with a newer number than what was
 * heard meanwhile. To another port here: what came later has it, once it is through
 * (K18), and until then may be taken back. */
static bool
lost_one(const struct edge *e, uint32_t h)
{
    const struct entry *n = entry_at(e, h);
    uint32_t holder = 0;
    if (!(n->flags & ENTRY_LOCAL))
        return false;
    mapping_find(e, n->vni, &n->mac, NULL, NULL, &holder);
    if (holder)
        return holder != h && !(entry_at(e, holder)->flags & ENTRY_FRESH);
    return !(n->flags & ENTRY_WANT && n->reg);
}

/* Implicit emigration (E3). Where the newer owner is another NVE, mapping relays (D1).
 */
static void
lose(struct edge *e, uint32_t h, uint8_t was)
{
    struct att *a = att_at(e, h);
    bool news = !(a->flags & ATT_LOST);
    for (uint32_t n = a->entries; n; n = entry_at(e, n)->next) {
        struct entry *t = entry_at(e, n);
        uint32_t holder = 0;
        if (!lost_one(e, n))
            continue;
        mapping_find(e, t->vni, &t->mac, NULL, NULL, &holder);
        t->flags &= (uint16_t) ~(ENTRY_LOCAL | ENTRY_PUBLISHED | ENTRY_WANT);
        edge_ticket_drop(e, t->reg);
        t->reg = 0;
        if (holder == 0)
            t->flags |= ENTRY_TOMB;
    }
    a->flags |= ATT_LOST;
    a->flags &= (uint8_t) ~(ATT_MOVES | ATT_DOWN | ATT_DOWN_ACTIVE);
    if (was != ATT_EMIG) {
        a->prev = was;
        a->since_us = e->now_us;
        att_inactive(e, h, 0);
        att_arm(e, h);
    }
    att_move(e, h);
    if (news) {
        edge_count(e, EDGEC_MOVED_AWAY);
        att_notice(e, h, NOTICE_MOVED, "a newer owner is known");
    }
    att_journal(e, h, 0);
}

/* Carrier is gone: nothing passes, nobody is told to send here; tags stay (K9). */
static void
port_down(struct edge *e, uint32_t h, uint8_t was)
{
    struct att *a = att_at(e, h);
    a->flags |= ATT_DOWN | (was == ATT_ASSOC ? ATT_DOWN_ACTIVE : 0);
    att_inactive(e, h, 0);
    for (uint32_t n = a->entries; n; n = entry_at(e, n)->next)
        if (entry_at(e, n)->flags & ENTRY_LOCAL)
            entry_withdraw(e, n, false);
    for (uint32_t n = a->learned, next; n; n = next) {
        next = entry_at(e, n)->next;
        learn_drop(e, n);
    }
    att_arm(e, h);
    att_journal(e, h, 0);
}

/* Back with the same epoch (E6): whoever took the VM meanwhile has a newer one. */
static void
port_up(struct edge *e, uint32_t h)
{
    struct att *a = att_at(e, h);
    a->flags &= (uint8_t) ~(ATT_DOWN | ATT_DOWN_ACTIVE);
    for (uint32_t n = a->entries; n; n = entry_at(e, n)->next) {
        struct entry *t = entry_at(e, n);
        entry_install(e, n, a->state == ATT_ASSOC, 0);
        if (!(t->flags & ENTRY_MAC))
            continue;
        /* Another port here claimed it meanwhile, with a number that may yet come. */
        uint32_t holder = 0;
        mapping_find(e, t->vni, &t->mac, NULL, NULL, &holder);
        enum mapping_verdict v =
            holder ? MAPPING_STALE : entry_claim(e, n, a->epoch, a->migration_id, 0);
        t->flags &= (uint16_t) ~(ENTRY_FRESH | ENTRY_TOOK);
        if (v == MAPPING_STALE || v == MAPPING_CONFLICT)
            t->flags |= ENTRY_LOCAL; /* att_settle finds that it is not resident */
        else
            entry_publish(e, n, true);
    }
    att_move(e, h);
    att_arm(e, h);
    att_journal(e, h, 0);
}

void
att_event(struct edge *e, uint32_t h, uint8_t event)
{
    struct att *a = att_at(e, h);
    uint8_t was = a->state, action;
    if (!att_step(e, h, event, &action))
        return;
    switch ((enum att_action)action) {
    case ATT_DO_AGE_OUT:
        age_out(e, h, event);
        break;
    case ATT_DO_FORGET:
        att_forget(e, h);
        break;
    case ATT_DO_LOSE:
        lose(e, h, was);
        break;
    case ATT_DO_NOTIFY:
        att_notice(e, h, NOTICE_LOCAL_CHANGE, "the virtual network has changed");
        break;
    case ATT_DO_PORT_DOWN:
        port_down(e, h, was);
        break;
    case ATT_DO_PORT_UP:
        port_up(e, h);
        break;
    case ATT_DO_NOTHING:
    case ATT_DO_OK:
    case ATT_DO_REFUSE_STATE:
    case ATT_DO_REFUSE_NO_STATE:
    case ATT_DO_REFUSE_MOVED:
    case ATT_DO_REFRESH:
    case ATT_DO_ARM:
    case ATT_DO_PREPARE:
    case ATT_DO_PREPARE_EPOCH:
    case ATT_DO_CLAIM:
    case ATT_DO_COMPARE:
    case ATT_DO_RAISE:
    case ATT_DO_CLAIM_SUSP:
    case ATT_DO_ROLLBACK_PRE:
    case ATT_DO_INACTIVATE:
    case ATT_DO_EMIGRATE:
    case ATT_DO_WAS_SUSP:
    case ATT_DO_TERMINATE:
    case ATT_DO_UNDO:
    case ATT_N_ACTIONS:
        break;
    }
}

static bool
lost_any(const struct edge *e, const struct att *a)
{
    for (uint32_t n = a->entries; n; n = entry_at(e, n)->next)
        if (lost_one(e, n))
            return true;
    return false;
}

static bool
vn_gone_any(const struct edge *e, const struct att *a)
{
    for (uint32_t n = a->entries; n; n = entry_at(e, n)->next) {
        uint32_t vn = vn_find(e, entry_at(e, n)->vni);
        if (vn && vn_at(e, vn)->deleted)
            return true;
    }
    return false;
}

/* What came in while a request was under way, or comes now: how things stand decides.
 */
void
att_settle(struct edge *e, uint32_t h)
{
    struct att *a = att_at(e, h);
    const struct edge_port *p = edge_port_at(e, a->port);
    if (a->txn || a->state == ATT_NULL || a->state == ATT_TERM)
        return;
    for (uint32_t n = a->learned, next; n; n = next) {
        next = entry_at(e, n)->next;
        if (entry_at(e, n)->flags & ENTRY_LOCAL && !entry_resident(e, n))
            learn_drop(e, n);
    }
    if (vn_gone_any(e, a)) {
        att_event(e, h, ATT_EV_GONE);
        return;
    }
    if (lost_any(e, a))
        att_event(e, h, ATT_EV_NEWER);
    bool placed = a->state == ATT_ASSOC || a->state == ATT_SUSP;
    if (placed && p->down && !(a->flags & ATT_DOWN)) {
        att_event(e, h, ATT_EV_PORT_DOWN);
    } else if (a->state == ATT_SUSP && !p->down && a->flags & ATT_DOWN) {
        att_event(e, h, a->flags & ATT_DOWN_ACTIVE ? ATT_EV_PORT_BACK : ATT_EV_PORT_UP);
        if (lost_any(e, a))
            att_event(e, h, ATT_EV_NEWER);
    }
}

void
att_shaken(struct edge *e, uint32_t h)
{
    uint32_t txn = att_at(e, h)->txn;
    if (txn_waits_remote(e, txn))
        txn_remote_end(e, txn); /* settles */
    else
        att_settle(e, h);
}

/* ---- requests ---- */

static uint8_t
event_of(struct edge *e, const struct att *a, const struct tns_request *rq)
{
    bool newer = rq->has_epoch && rq->epoch > a->epoch;
    bool stands = a->state != ATT_NULL && a->state != ATT_TERM;
    if (stands && !rq->berth_station && rq->n_entries && !newer &&
        request_same(e, a, rq))
        return ATT_EV_KEEPALIVE; /* K3: whatever its M and S bits */
    switch ((enum tns_op)rq->op) {
    case TNS_PREASSOC:
        return ATT_EV_PREASSOC;
    case TNS_ASSOC:
        return ATT_EV_ASSOC;
    case TNS_SUSPEND: /* the pause that it was armed for (A5) */
        return a->state == ATT_ASSOC && a->flags & (ATT_ARMED | ATT_HOLD)
                   ? ATT_EV_EMIGRATE
                   : ATT_EV_SUSPEND;
    case TNS_RESUME:
        if (a->state == ATT_EMIG && a->prev == ATT_PREASSOC)
            return ATT_EV_ROLLBACK_PRE;
        if (a->state == ATT_EMIG && a->prev == ATT_SUSP)
            return ATT_EV_ROLLBACK_SUSP;
        return ATT_EV_RESUME;
    case TNS_EMIGRATE_PREPARE:
        return ATT_EV_EMIG_PREPARE;
    case TNS_EMIGRATE_COMMIT:
        return ATT_EV_EMIGRATE;
    case TNS_IMMIGRATE_PRE:
        return ATT_EV_IMMIG_PRE;
    case TNS_IMMIGRATE_ASSO:
        return rq->suspended ? ATT_EV_IMMIG_SUSP : ATT_EV_IMMIG_ASSO;
    case TNS_TERMINATE:
        return ATT_EV_TERMINATE;
    case TNS_KEEPALIVE:
    case TNS_N_OPS:
        break;
    }
    return ATT_EV_KEEPALIVE;
}

static void
done(struct edge *e, uint32_t txn, uint8_t code, const char *reason)
{
    att_answer(e, txn, code, reason);
    txn_end(e, txn);
}

/* A sign of life: nothing changes but the timer (and whom notices go to). A plain
 * station whose VM has moved away did not heed the notice: ok would say that the VM is
 * here (K3).
 */
static void
refresh(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    struct att *a = att_at(e, x->att);
    bool lost = a->state == ATT_EMIG && a->flags & ATT_LOST && !x->rq.berth_station;
    a->cookie = x->rq.cookie;
    if (x->rq.idle_us)
        a->idle_ms = (uint32_t)(x->rq.idle_us / 1000);
    if (x->event == ATT_EV_KEEPALIVE)
        edge_count(e, EDGEC_KEEPALIVES);
    att_arm(e, x->att);
    if (lost)
        done(e, txn, TNS_MOVED, "a newer owner is known");
    else if (x->event == ATT_EV_KEEPALIVE)
        done(e, txn, TNS_OK, "");
    else
        txn_done(e, txn);
}

static bool
is_claim(uint8_t action)
{
    return action == ATT_DO_CLAIM || action == ATT_DO_COMPARE ||
           action == ATT_DO_RAISE || action == ATT_DO_CLAIM_SUSP;
}

/* Another NVE has reserved a number above that of one of its entries. */
static bool
has_target(const struct edge *e, const struct att *a)
{
    struct mapping_rec to;
    for (uint32_t n = a->entries; n; n = entry_at(e, n)->next)
        if (entry_at(e, n)->flags & ENTRY_MAC &&
            mapping_target(e, entry_at(e, n)->vni, &entry_at(e, n)->mac, &to))
            return true;
    return false;
}

/* The same as what stands already, with nothing new to claim. */
static bool
nothing_new(const struct edge *e, const struct att *a, const struct txn *x)
{
    bool newer = x->rq.has_epoch && x->rq.epoch > a->epoch;
    if (is_claim(x->action) && a->flags & (ATT_ARMED | ATT_HOLD))
        return false; /* a target may have been told (E2) */
    if (x->action == ATT_DO_RAISE)
        return !newer && !has_target(e, a);
    if (x->replace)
        return false;
    return (x->action == ATT_DO_PREPARE && a->state == ATT_PREASSOC) ||
           (x->action == ATT_DO_PREPARE_EPOCH && a->state == ATT_IMMIG && !newer &&
               a->flags & ATT_GRANTED) ||
           (x->action == ATT_DO_COMPARE && !newer);
}

static bool
takes_entries(uint8_t action)
{
    return action == ATT_DO_PREPARE || action == ATT_DO_PREPARE_EPOCH ||
           action == ATT_DO_CLAIM || action == ATT_DO_COMPARE ||
           action == ATT_DO_CLAIM_SUSP;
}

static void
step_and_begin(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    struct att *a = att_at(e, x->att);
    x->from = a->state;
    x->from_prev = a->prev;
    x->from_flags = a->flags;
    x->from_epoch = a->epoch;
    x->from_migration_id = a->migration_id;
    if (is_claim(x->action) && x->rq.has_epoch) {
        x->epoch = x->rq.epoch;
        x->migration_id = x->rq.migration_id;
        /* The number that we reserved or hold ourselves: its id is known here (E6). */
        if (x->epoch == a->epoch && a->migration_id)
            x->migration_id = a->migration_id;
    } else if (is_claim(x->action) && a->state == ATT_IMMIG && a->flags & ATT_GRANTED) {
        x->epoch = a->epoch;
        x->migration_id = a->migration_id;
    }
    att_step(e, x->att, x->event, &x->action);
    if (!x->copy)
        x->rq.entries = NULL; /* they live only as long as the call */
    txn_begin(e, txn);
}

/* Requests that change something: what is asked for is checked and staged first. */
static void
start_change(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    struct att *a = att_at(e, x->att);
    bool empty = a->state == ATT_NULL || a->state == ATT_TERM;
    struct refusal why = {0};
    x->replace = 0;
    if (takes_entries(x->action)) {
        if (x->rq.n_entries == 0 && (empty || a->n_entries == 0)) {
            done(e, txn, TNS_BAD_MESSAGE, "no address, no virtual network");
            return;
        }
        switch (stage_entries(e, txn, &why)) {
        case STAGE_WAIT:
            x->phase = TXN_LOOKUP;
            if (!x->copy && x->rq.n_entries) {
                size_t size = x->rq.n_entries * sizeof *x->copy;
                x->copy = memcpy(mem_alloc(size), x->rq.entries, size);
                x->rq.entries = x->copy;
            }
            return;
        case STAGE_FAIL:
            done(e, txn, why.code, why.reason);
            return;
        case STAGE_OK:
            break;
        }
        x->replace = x->rq.n_entries > 0;
        if (x->replace && !empty && stage_same(e, a->entries, x->staged)) {
            stage_drop(e, txn);
            x->replace = 0;
        }
    }
    if (is_claim(x->action) &&
        request_stale(e, x->replace ? x->staged : a->entries, &x->rq)) {
        stage_drop(e, txn);
        att_step(e, x->att, ATT_EV_STALE, &x->action);
        done(e, txn, TNS_MOVED, "the epoch is older than what is known");
        return;
    }
    if (nothing_new(e, a, x)) {
        att_step(e, x->att, x->event, &x->action);
        refresh(e, txn);
        return;
    }
    step_and_begin(e, txn);
}

/* Rows that answer at once, with what they answer. */
static const struct {
    uint8_t code;
    const char *reason;
} replies[ATT_N_ACTIONS] = {
    [ATT_DO_OK] = {TNS_OK,            ""                      },
    [ATT_DO_NOTHING] = {TNS_INVALID_STATE, "not in this state"     },
    [ATT_DO_REFUSE_STATE] = {TNS_INVALID_STATE, "not in this state"     },
    [ATT_DO_REFUSE_NO_STATE] = {TNS_NO_STATE,      "no such VSI here"      },
    [ATT_DO_REFUSE_MOVED] = {TNS_MOVED,         "a newer owner is known"},
};

void
request_start(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    const struct att *a = att_at(e, x->att);
    x->event = event_of(e, a, &x->rq);
    const struct fsm_row *row = row_of(e, a->state, x->event);
    x->action = row ? row->action : ATT_DO_REFUSE_STATE;
    bool at_once = replies[x->action].reason != NULL;
    if (!at_once && x->action != ATT_DO_REFRESH) {
        start_change(e, txn);
        return;
    }
    att_step(e, x->att, x->event, &x->action);
    if (at_once)
        done(e, txn, replies[x->action].code, replies[x->action].reason);
    else
        refresh(e, txn);
}

void
txn_end(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    uint32_t h = x->att, queued = x->queued;
    struct att *a = att_at(e, h);
    timers_clear(&e->timers, &x->timer);
    mem_free(x->copy);
    mem_free(x->held);
    pool_put(&e->att->txns, txn);
    a->txn = 0;
    att_settle(e, h);
    if (a->state == ATT_TERM && a->n_entries == 0 && queued == 0) {
        att_event(e, h, ATT_EV_TIMER); /* nothing to remember: NULL via TERM (A11) */
        return;
    }
    if (queued) {
        a->txn = queued;
        request_start(e, queued);
    } else if (a->state == ATT_NULL) {
        att_free(e, h);
    }
}

/* Without its attachment: what is still on its way comes back to a txn with att = 0. */
static void
txn_orphan(struct edge *e, uint32_t txn)
{
    struct txn *x = txn_at(e, txn);
    vn_forget(e, txn);
    att_answer(e, txn, TNS_NO_RESOURCES, "the port is gone");
    for (uint32_t h = x->staged, next; h; h = next) {
        next = entry_at(e, h)->next;
        entry_end(e, h, false, 0);
        entry_free(e, h);
    }
    timers_clear(&e->timers, &x->timer);
    edge_ticket_drop(e, x->journal);
    mem_free(x->copy);
    mem_free(x->held);
    x->copy = NULL;
    x->held = NULL;
    x->staged = x->att = x->queued = 0;
    if (x->n_dp == 0)
        pool_put(&e->att->txns, txn);
}

static uint32_t
txn_new(struct edge *e, uint32_t att, const struct tns_request *rq)
{
    uint32_t h = pool_get(&e->att->txns);
    struct txn *x = txn_at(e, h);
    x->att = att;
    x->rq = *rq;
    return h;
}

/* Behind a request under way: a sign of life is answered at once, one more may wait. */
static void
request_behind(struct edge *e, uint32_t att, const struct tns_request *rq)
{
    struct att *a = att_at(e, att);
    struct txn *x = txn_at(e, a->txn);
    if (rq->op == TNS_KEEPALIVE && a->state != ATT_NULL && a->state != ATT_TERM) {
        edge_count(e, EDGEC_KEEPALIVES);
        a->cookie = rq->cookie;
        answer(e, rq, a, TNS_OK, "");
        return;
    }
    if (x->queued) {
        answer(e, rq, a, TNS_BUSY, "two requests for this VSI are under way");
        return;
    }
    uint32_t h = txn_new(e, att, rq);
    x = txn_at(e, a->txn);
    x->queued = h;
    struct txn *q = txn_at(e, h);
    if (rq->n_entries) {
        size_t size = rq->n_entries * sizeof *q->copy;
        q->copy = memcpy(mem_alloc(size), rq->entries, size);
    }
    q->rq.entries = q->copy;
}

void
attach_request(struct edge *e, const struct tns_request *rq)
{
    edge_count(e, EDGEC_REQUESTS);
    const char *fault = request_fault(rq);
    if (!fault && !edge_port_at(e, rq->port))
        fault = "no such port";
    if (fault) {
        answer(e, rq, NULL, TNS_BAD_MESSAGE, fault);
        return;
    }
    uint32_t h = att_find(e, rq->port, &rq->id);
    if (h && rq->op != TNS_KEEPALIVE && txn_waits_remote(e, att_at(e, h)->txn)) {
        txn_remote_end(e, att_at(e, h)->txn); /* whoever waited wants something else */
        h = att_find(e, rq->port, &rq->id);
    }
    if (h && att_at(e, h)->txn) {
        request_behind(e, h, rq);
        return;
    }
    if (h == 0)
        h = att_new(e, rq->port, &rq->id);
    if (h == 0) {
        answer(e, rq, NULL, TNS_NO_RESOURCES, "too many attachments");
        return;
    }
    att_at(e, h)->txn = txn_new(e, h, rq);
    request_start(e, att_at(e, h)->txn);
}

/* ---- events ---- */

void
attach_timer(struct edge *e, uint32_t kind, uint32_t ref)
{
    if (kind == TIMER_TXN) {
        txn_timer(e, ref);
    } else if (kind == TIMER_ENTRY) {
        if (entry_at(e, ref)->flags & ENTRY_LEARNED)
            learn_timer(e, ref);
        else
            entry_publish(e, ref, false);
    } else if (att_at(e, ref)->txn) {
        att_arm(e, ref); /* a request under way is a sign of life */
    } else {
        att_event(e, ref, ATT_EV_TIMER);
    }
}

void
attach_lost(struct edge *e, uint32_t entry)
{
    att_shaken(e, entry_at(e, entry)->att);
}

void
attach_target(struct edge *e, uint32_t vni, const struct mac *mac)
{
    uint32_t h = 0;
    if (mapping_find(e, vni, mac, NULL, NULL, &h) && h) {
        uint32_t att = entry_at(e, h)->att, txn = att_at(e, att)->txn;
        if (!txn || txn_at(e, txn)->phase >= TXN_JOURNAL)
            att_journal(e, att, 0); /* else that of the request says it */
    }
}

void
attach_vn_answer(struct edge *e, uint32_t txn)
{
    request_start(e, txn);
}

/* Walks that end or change attachments collect first: an event may free them. */
static void
for_all(struct edge *e, uint32_t vni, uint8_t event)
{
    uint32_t n = e->att->by_id.n, *all = mem_alloc((n + 1) * sizeof *all), k = 0;
    for (uint32_t it = 0, h; (h = map_each(&e->att->by_id, &it));)
        all[k++] = h;
    for (uint32_t i = 0; i < k; i++) {
        bool in = false;
        for (uint32_t t = att_at(e, all[i])->entries; t; t = entry_at(e, t)->next)
            in |= entry_at(e, t)->vni == vni;
        if (!in)
            continue;
        if (event == ATT_EV_GONE)
            att_shaken(e, all[i]);
        else
            att_event(e, all[i], event);
    }
    mem_free(all);
}

void
attach_vn_changed(struct edge *e, uint32_t vni, bool deleted)
{
    for_all(e, vni, deleted ? ATT_EV_GONE : ATT_EV_LOCAL_CHANGE);
}

void
attach_port_down(struct edge *e, struct edge_port *p, bool down)
{
    p->down = down;
    for (uint32_t h = p->atts, next; h; h = next) {
        next = att_at(e, h)->list_next;
        att_shaken(e, h);
    }
}

void
attach_port_gone(struct edge *e, struct edge_port *p)
{
    while (p->atts) {
        uint32_t h = p->atts;
        struct att *a = att_at(e, h);
        for (uint32_t x = a->txn, next; x; x = next) {
            next = txn_at(e, x)->queued;
            txn_orphan(e, x);
        }
        a->txn = 0;
        if (a->state == ATT_NULL)
            att_free(e, h);
        else
            att_event(e, h, ATT_EV_GONE);
    }
    for (uint32_t h = e->att->term_head, next; h; h = next) {
        next = att_at(e, h)->list_next;
        if (att_at(e, h)->port == p->number)
            att_event(e, h, ATT_EV_TIMER);
    }
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

static size_t
pool_bytes(const struct pool *p)
{
    return (size_t)p->n_chunks * p->per_chunk * p->item_size;
}

size_t
attach_bytes(const struct edge *e)
{
    const struct attach *t = e->att;
    return pool_bytes(&t->atts) + pool_bytes(&t->entries) + pool_bytes(&t->vaps) +
           pool_bytes(&t->txns) +
           ((size_t)t->by_id.cap + t->by_key.cap + t->by_vap.cap) * 8;
}
