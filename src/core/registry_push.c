/* SPDX-License-Identifier: Apache-2.0 */
/* What each NVE is told, and when it has heard it. Nothing is queued per subscriber: a
 * part (an NVE's share in a VN) that has something to say stands in its NVE's work
 * list, an NVE that has work and room in its window stands in the ready list, and
 * reg_push finds the next thing to say behind the cursors. Ten changes of one key while
 * a subscriber was slow are one message. Snapshots are the same walk from the start
 * (K5, S4-14, S4-40). */
#include "core/registry_int.h"

#include <string.h>

/* ---- ready lists ---- */

void
reg_nve_ready(struct registry *r, uint32_t nve)
{
    struct reg_nve *n = reg_nve(r, nve);
    if (n->ready || !n->up || n->foreign || n->blocked || (!n->work && !n->dirty) ||
        n->inflight.n >= r->conf.window)
        return;
    n->ready = 1;
    n->rnext = 0;
    n->quantum = 0;
    if (r->ready_tail)
        reg_nve(r, r->ready_tail)->rnext = nve;
    else
        r->ready = nve;
    r->ready_tail = nve;
}

static void
ready_pop(struct registry *r)
{
    struct reg_nve *n = reg_nve(r, r->ready);
    n->ready = 0;
    r->ready = n->rnext;
    if (!r->ready)
        r->ready_tail = 0;
}

static void
part_work(struct registry *r, uint32_t h)
{
    struct reg_part *p = reg_part(r, h);
    if (!p->work) {
        struct reg_nve *n = reg_nve(r, p->nve);
        p->work = 1;
        p->wnext = 0;
        if (n->work_tail)
            reg_part(r, n->work_tail)->wnext = h;
        else
            n->work = h;
        n->work_tail = h;
    }
    reg_nve_ready(r, p->nve);
}

static void
work_remove(struct registry *r, uint32_t h)
{
    struct reg_part *p = reg_part(r, h);
    struct reg_nve *n = reg_nve(r, p->nve);
    if (!p->work)
        return;
    uint32_t prev = 0, at = n->work;
    while (at != h) {
        prev = at;
        at = reg_part(r, at)->wnext;
    }
    if (prev)
        reg_part(r, prev)->wnext = p->wnext;
    else
        n->work = p->wnext;
    if (n->work_tail == h)
        n->work_tail = prev;
    p->work = 0;
}

/* ---- the VN's lists of entries and of parts, in order of change ---- */

void
reg_vn_tell(struct registry *r, uint32_t vn)
{
    struct reg_vn *v = reg_vn(r, vn);
    if (v->n_subs == 0)
        return;
    for (uint32_t h = v->parts.head; h; h = reg_part(r, h)->next)
        if (reg_part(r, h)->subscribed)
            part_work(r, h);
}

/* Cursors on something that leaves its place step back to what stands before it. */
static void
ent_unanchor(struct registry *r, struct reg_vn *v, uint32_t h)
{
    struct reg_ent *en = reg_ent(r, h);
    if (!(en->flags & ENT_ANCHOR))
        return;
    en->flags &= (uint8_t)~ENT_ANCHOR;
    for (uint32_t i = v->parts.head; i; i = reg_part(r, i)->next) {
        struct reg_part *p = reg_part(r, i);
        if (p->subscribed && p->at == h) {
            p->at = en->prev;
            if (en->prev)
                reg_ent(r, en->prev)->flags |= ENT_ANCHOR;
        }
    }
}

static void
part_unanchor(struct registry *r, struct reg_vn *v, uint32_t h)
{
    struct reg_part *moved = reg_part(r, h);
    if (!moved->anchor)
        return;
    moved->anchor = 0;
    for (uint32_t i = v->parts.head; i; i = reg_part(r, i)->next) {
        struct reg_part *p = reg_part(r, i);
        if (p->subscribed && p->at_part == h) {
            p->at_part = moved->prev;
            if (moved->prev)
                reg_part(r, moved->prev)->anchor = 1;
        }
    }
}

static void
ent_unlink(struct registry *r, struct reg_vn *v, uint32_t h)
{
    struct reg_ent *en = reg_ent(r, h);
    ent_unanchor(r, v, h);
    if (en->next)
        reg_ent(r, en->next)->prev = en->prev;
    else
        v->ents.tail = en->prev;
    if (en->prev)
        reg_ent(r, en->prev)->next = en->next;
    else
        v->ents.head = en->next;
    en->next = en->prev = 0;
}

static void
part_unlink(struct registry *r, struct reg_vn *v, uint32_t h)
{
    struct reg_part *p = reg_part(r, h);
    part_unanchor(r, v, h);
    if (p->next)
        reg_part(r, p->next)->prev = p->prev;
    else
        v->parts.tail = p->prev;
    if (p->prev)
        reg_part(r, p->prev)->next = p->next;
    else
        v->parts.head = p->next;
    p->next = p->prev = 0;
}

static void
part_link(struct registry *r, struct reg_vn *v, uint32_t h)
{
    struct reg_part *p = reg_part(r, h);
    p->change = ++r->change;
    p->prev = v->parts.tail;
    p->next = 0;
    if (p->prev)
        reg_part(r, p->prev)->next = h;
    else
        v->parts.head = h;
    v->parts.tail = h;
}

void
reg_ent_changed(struct registry *r, uint32_t h)
{
    struct reg_ent *en = reg_ent(r, h);
    uint32_t vn = reg_vn_find(r, en->key.vni);
    struct reg_vn *v = reg_vn(r, vn);
    if (en->change)
        ent_unlink(r, v, h);
    en->change = ++r->change;
    en->prev = v->ents.tail;
    if (en->prev)
        reg_ent(r, en->prev)->next = h;
    else
        v->ents.head = h;
    v->ents.tail = h;
    reg_vn_tell(r, vn);
    reg_key_touch(r, en->key.vni, &en->key.mac, NULL);
}

/* A remembered epoch is given up. Who has not heard yet of that withdrawal can only
 * learn it from a new snapshot. */
void
reg_ent_leave(struct registry *r, uint32_t h)
{
    struct reg_ent *en = reg_ent(r, h);
    struct reg_vn *v = reg_vn(r, reg_vn_find(r, en->key.vni));
    for (uint32_t i = v->n_subs ? v->parts.head : 0; i; i = reg_part(r, i)->next) {
        struct reg_part *p = reg_part(r, i);
        if (p->subscribed && p->snap != SNAP_DUE && p->sent < en->change &&
            !(p->snap == SNAP_RUNS && en->change <= p->snap_change)) {
            p->snap = SNAP_DUE;
            part_work(r, i);
        }
    }
    ent_unlink(r, v, h);
}

/* ---- parts ---- */

struct part_key {
    uint32_t vn, nve;
};

uint32_t
reg_part_find(const struct registry *r, uint32_t vn, uint32_t nve)
{
    struct part_key k = {vn, nve};
    return map_find(&r->by_part, map_hash(&r->by_part, &k, sizeof k), &k);
}

static void
part_free(struct registry *r, uint32_t h)
{
    struct reg_part *p = reg_part(r, h);
    struct reg_nve *n = reg_nve(r, p->nve);
    struct part_key k = {p->vn, p->nve};
    work_remove(r, h);
    part_unlink(r, reg_vn(r, p->vn), h);
    if (p->nnext)
        reg_part(r, p->nnext)->nprev = p->nprev;
    if (p->nprev)
        reg_part(r, p->nprev)->nnext = p->nnext;
    else
        n->parts = p->nnext;
    n->n_parts--;
    map_del(&r->by_part, map_hash(&r->by_part, &k, sizeof k), h);
    slab_put(&r->parts, h);
}

/* Those that left and of whom every subscriber has been told. `keep` is in use. */
static void
vn_sweep_parts(struct registry *r, struct reg_vn *v, uint32_t keep)
{
    uint64_t told = UINT64_MAX;
    for (uint32_t h = v->parts.head; h; h = reg_part(r, h)->next) {
        const struct reg_part *p = reg_part(r, h);
        if (p->subscribed && p->sent_part < told)
            told = p->sent_part;
    }
    for (uint32_t h = v->parts.head, next; h; h = next) {
        const struct reg_part *p = reg_part(r, h);
        next = p->next;
        if (h != keep && !p->member && !p->subscribed && !p->n_maps &&
            p->change <= told)
            part_free(r, h);
    }
}

uint32_t
reg_part_get(struct registry *r, uint32_t vn, uint32_t nve)
{
    uint32_t h = reg_part_find(r, vn, nve);
    if (h)
        return h;
    if (r->parts.pool.n >= r->parts.pool.max)
        vn_sweep_parts(r, reg_vn(r, vn), 0);
    if (!(h = slab_get(&r->parts)))
        return 0;
    struct reg_part *p = reg_part(r, h);
    struct reg_nve *n = reg_nve(r, nve);
    struct part_key k = {vn, nve};
    p->vn = vn;
    p->nve = nve;
    p->uid = ++r->uid;
    p->nnext = n->parts;
    if (p->nnext)
        reg_part(r, p->nnext)->nprev = h;
    n->parts = h;
    n->n_parts++;
    map_add(&r->by_part, map_hash(&r->by_part, &k, sizeof k), h);
    part_link(r, reg_vn(r, vn), h);
    return h;
}

void
reg_part_update(struct registry *r, uint32_t h)
{
    struct reg_part *p = reg_part(r, h);
    struct reg_vn *v = reg_vn(r, p->vn);
    uint32_t vn = p->vn;
    bool member = p->subscribed || p->n_maps || p->linger;
    if (member == p->member && (member || p->subscribed))
        return;
    if (member != p->member) {
        p->member = member;
        part_unlink(r, v, h);
        part_link(r, v, h);
        reg_vn_tell(r, vn);
    }
    if (!member) {
        vn_sweep_parts(r, v, 0);
        reg_vn_release(r, vn);
    }
}

/* ---- acknowledgement and confirmation (K6 REMOTE) ---- */

static void
confirm_say(struct registry *r, uint32_t nve, uint32_t vni, const struct mac *mac,
    uint64_t epoch)
{
    if (!reg_nve_live(r, nve))
        return;
    struct registry_out *o = reg_out(r, REG_CONFIRM, nve);
    o->rec.vni = vni;
    o->rec.mac = *mac;
    o->rec.epoch = epoch;
    r->counters[REGC_CONFIRMS]++;
}

static void
wait_done(struct registry *r, struct reg_vn *v, uint32_t prev, uint32_t h)
{
    struct reg_wait *w = slab_at(&r->waits, h);
    confirm_say(r, w->nve, v->rec.vni, &w->mac, w->epoch);
    if (prev)
        ((struct reg_wait *)slab_at(&r->waits, prev))->next = w->next;
    else
        v->waits = w->next;
    if (v->waits_tail == h)
        v->waits_tail = prev;
    slab_put(&r->waits, h);
}

/* The part has acknowledged all up to `to`: one less to wait for. */
static void
part_acked(struct registry *r, struct reg_part *p, uint64_t to)
{
    if (to <= p->acked)
        return;
    struct reg_vn *v = reg_vn(r, p->vn);
    uint64_t from = p->acked;
    p->acked = to;
    for (uint32_t h = v->waits, prev = 0, next; h; h = next) {
        struct reg_wait *w = slab_at(&r->waits, h);
        next = w->next;
        if (w->change > to)
            break;
        if (w->change > from && p->stamp < w->stamp && p->nve != w->nve &&
            --w->n_left == 0)
            wait_done(r, v, prev, h);
        else
            prev = h;
    }
}

void
reg_confirm(struct registry *r, uint32_t ent)
{
    const struct reg_ent *en = reg_ent(r, ent);
    struct reg_vn *v = reg_vn(r, reg_vn_find(r, en->key.vni));
    uint32_t n_left = 0;
    for (uint32_t h = v->n_subs ? v->parts.head : 0; h; h = reg_part(r, h)->next) {
        const struct reg_part *p = reg_part(r, h);
        if (p->subscribed && p->nve != en->nve && p->acked < en->change)
            n_left++;
    }
    if (n_left == 0) {
        confirm_say(r, en->nve, v->rec.vni, &en->key.mac, en->epoch);
        return;
    }
    uint32_t h = slab_get(&r->waits);
    if (h == 0) {
        r->counters[REGC_EVICTED]++;
        return; /* who waits for the far ends waits in vain, and knows its own limit */
    }
    struct reg_wait *w = slab_at(&r->waits, h);
    w->nve = en->nve;
    w->mac = en->key.mac;
    w->epoch = en->epoch;
    w->change = en->change;
    w->stamp = ++r->stamp;
    w->n_left = n_left;
    uint32_t prev = v->waits_tail;
    if (prev && ((struct reg_wait *)slab_at(&r->waits, prev))->change > w->change) {
        /* Asked about an older change: find its place. */
        prev = 0;
        for (uint32_t i = v->waits; i;
             i = ((struct reg_wait *)slab_at(&r->waits, i))->next) {
            if (((struct reg_wait *)slab_at(&r->waits, i))->change > w->change)
                break;
            prev = i;
        }
    }
    uint32_t *link =
        prev ? &((struct reg_wait *)slab_at(&r->waits, prev))->next : &v->waits;
    w->next = *link;
    *link = h;
    if (!w->next)
        v->waits_tail = h;
}

void
registry_ack(struct registry *r, uint32_t nve, uint64_t seq, uint64_t now_us)
{
    r->now_us = now_us;
    struct reg_nve *n = reg_nve_live(r, nve);
    if (!n || seq <= n->acked || seq > n->seq)
        return;
    n->acked = seq;
    const struct reg_inflight *head;
    while ((head = fifo_peek(&n->inflight)) && head->seq <= seq) {
        struct reg_inflight f;
        fifo_pop(&n->inflight, &f);
        if (!f.part && f.change)
            reg_gate_acked(r, (uint32_t)f.change, nve, f.seq);
        if (!f.part || !(r->parts.live[f.part / 8] & 1u << f.part % 8))
            continue;
        struct reg_part *p = reg_part(r, f.part);
        if (p->uid != f.uid)
            continue;
        p->n_inflight--;
        /* What was left out behind the last push needs no acknowledgement. */
        part_acked(r, p, p->n_inflight ? f.change : p->sent);
    }
    reg_nve_ready(r, nve);
}

/* ---- subscriptions of a VN ---- */

static void
part_subscribe(struct registry *r, uint32_t nve, uint32_t vn, enum reg_sub what)
{
    struct reg_nve *n = reg_nve_live(r, nve);
    if (!n || n->foreign || !vn || (reg_vn(r, vn)->rec.deleted && vn != r->all))
        return;
    uint32_t h = reg_part_get(r, vn, nve);
    if (!h)
        return;
    struct reg_part *p = reg_part(r, h);
    if (p->subscribed != what)
        reg_part_unsubscribe(r, h);
    if (!p->subscribed) {
        p->subscribed = what;
        reg_vn(r, vn)->n_subs++;
        p->stamp = ++r->stamp;
        p->uid = ++r->uid;
        p->n_inflight = 0;
        p->acked = p->sent = p->sent_part = 0;
        p->at = p->at_part = 0;
    }
    p->linger = 0;
    p->snap = SNAP_DUE;
    reg_part_update(r, h);
    part_work(r, h);
}

void
registry_subscribe(struct registry *r, uint32_t nve, uint32_t vni, uint64_t now_us)
{
    r->now_us = now_us;
    part_subscribe(r, nve, vni ? reg_vn_find(r, vni) : 0, REG_SUB_ALL);
}

void
registry_watch(struct registry *r, uint32_t nve, uint32_t vni, uint64_t now_us)
{
    r->now_us = now_us;
    part_subscribe(r, nve, vni ? reg_vn_find(r, vni) : 0, REG_SUB_MEMBERS);
}

void
reg_part_unsubscribe(struct registry *r, uint32_t h)
{
    struct reg_part *p = reg_part(r, h);
    if (!p->subscribed)
        return;
    part_acked(r, p, UINT64_MAX); /* nobody waits for it any longer */
    p->subscribed = REG_SUB_NOT;
    p->snap = SNAP_NO;
    p->at = p->at_part = 0;
    p->uid = ++r->uid;
    reg_vn(r, p->vn)->n_subs--;
    work_remove(r, h);
}

void
registry_unsubscribe(struct registry *r, uint32_t nve, uint32_t vni, uint64_t now_us)
{
    r->now_us = now_us;
    uint32_t vn = vni ? reg_vn_find(r, vni) : 0;
    uint32_t h = vn && reg_nve_live(r, nve) ? reg_part_find(r, vn, nve) : 0;
    if (!h)
        return;
    reg_part_unsubscribe(r, h);
    reg_part_update(r, h);
}

/* The first packet of an edge that is new in a VN may overtake the push that says so:
 * its endpoint is known to all from the beginning of its session (K11). Joined before
 * it can subscribe to anything, so this list is the first thing it hears. */
void
reg_nve_join(struct registry *r, uint32_t nve)
{
    part_subscribe(r, nve, r->all, REG_SUB_MEMBERS);
}

/* Pushes name the endpoint of the moment when they leave: who was told of the old one
 * forgets it at the end of a new list. */
void
reg_nve_moved(struct registry *r, uint32_t nve)
{
    for (uint32_t h = reg_nve(r, nve)->parts; h; h = reg_part(r, h)->nnext)
        for (uint32_t i = reg_vn(r, reg_part(r, h)->vn)->parts.head; i;
             i = reg_part(r, i)->next)
            if (reg_part(r, i)->subscribed) {
                reg_part(r, i)->snap = SNAP_DUE;
                part_work(r, i);
            }
}

/* ---- the session ends ---- */

void
reg_snaps_owed(struct registry *r)
{
    for (uint32_t it = 0, h; (h = slab_each(&r->parts, &it));)
        if (reg_part(r, h)->snap == SNAP_RUNS)
            part_work(r, h);
}

void
reg_nve_quiet(struct registry *r, uint32_t nve)
{
    struct reg_nve *n = reg_nve(r, nve);
    /* The list as a whole: taking one by one out of it would be quadratic. */
    for (uint32_t h = n->work; h; h = reg_part(r, h)->wnext)
        reg_part(r, h)->work = 0;
    n->work = n->work_tail = 0;
    reg_keys_quiet(r, nve);
    for (uint32_t h = n->parts; h; h = reg_part(r, h)->nnext)
        reg_part_unsubscribe(r, h);
    fifo_done(&n->inflight);
    n->seq = n->acked = 0;
    n->blocked = 0;
}

/* ---- saying it ---- */

uint64_t
reg_push_seq(struct registry *r, uint32_t nve, uint32_t part, uint64_t change)
{
    struct reg_nve *n = reg_nve(r, nve);
    struct reg_inflight *f = fifo_push(&n->inflight);
    f->seq = ++n->seq;
    f->part = part;
    f->change = change;
    if (part) {
        f->uid = reg_part(r, part)->uid;
        reg_part(r, part)->n_inflight++;
    }
    return f->seq;
}

/* The next membership behind the cursor that this subscriber should hear of. */
static bool
push_member(struct registry *r, uint32_t h, struct registry_out *o)
{
    struct reg_part *p = reg_part(r, h);
    struct reg_vn *v = reg_vn(r, p->vn);
    for (;;) {
        uint32_t next = p->at_part ? reg_part(r, p->at_part)->next : v->parts.head;
        if (!next)
            return false;
        struct reg_part *m = reg_part(r, next);
        p->at_part = next;
        p->sent_part = m->change;
        m->anchor = 1;
        if (m->nve == p->nve)
            continue;
        *o =
            (struct registry_out){.type = REG_MEMBER, .nve = p->nve, .del = !m->member};
        o->rec.vni = v->rec.vni;
        o->rec.owner = reg_nve(r, m->nve)->vtep;
        o->seq = reg_push_seq(r, p->nve, h, p->sent);
        return true;
    }
}

static bool
push_entry(struct registry *r, uint32_t h, struct registry_out *o)
{
    struct reg_part *p = reg_part(r, h);
    struct reg_vn *v = reg_vn(r, p->vn);
    for (;;) {
        uint32_t next = p->at ? reg_ent(r, p->at)->next : v->ents.head;
        if (!next)
            break;
        struct reg_ent *en = reg_ent(r, next);
        if (en->flags & ENT_GATED && p->snap == SNAP_NO)
            break; /* its former owner first; a snapshot tells what is */
        p->at = next;
        p->sent = en->change;
        en->flags |= ENT_ANCHOR;
        bool live = en->flags & ENT_LIVE;
        /* Its own; or gone before the snapshot began, whose end says so. That its own
         * is gone is said: it may have known another owner when it claimed the key. */
        bool passed = p->snap == SNAP_RUNS && en->change <= p->snap_change;
        if (p->subscribed != REG_SUB_ALL || (live ? en->nve == p->nve : passed))
            continue;
        *o = (struct registry_out){.type = REG_NOTIFY, .nve = p->nve, .del = !live};
        reg_rec(r, next, &o->rec);
        o->seq = reg_push_seq(r, p->nve, h, p->sent);
        r->counters[REGC_NOTIFIES]++;
        return true;
    }
    if (p->n_inflight == 0)
        part_acked(r, p, p->sent);
    return false;
}

static bool
push_part(struct registry *r, uint32_t h, struct registry_out *o)
{
    struct reg_part *p = reg_part(r, h);
    bool begin = p->snap == SNAP_DUE;
    if (begin) {
        p->snap = SNAP_RUNS;
        p->snap_change = r->change;
        p->at = p->at_part = 0;
        p->sent = p->sent_part = 0;
        r->counters[REGC_SNAPSHOTS]++;
    } else if (push_member(r, h, o) || push_entry(r, h, o)) {
        return true;
    } else if (p->snap == SNAP_RUNS && !r->recovering) {
        p->snap =
            SNAP_NO; /* before, what an NVE has not said again is not gone (F13) */
    } else {
        return false;
    }
    *o = (struct registry_out){.type = REG_SNAPSHOT, .nve = p->nve, .del = !begin};
    o->rec.vni = reg_vn(r, p->vn)->rec.vni;
    o->seq = reg_push_seq(r, p->nve, h, p->sent);
    return true;
}

bool
reg_push(struct registry *r, struct registry_out *o)
{
    while (r->ready) {
        uint32_t nve = r->ready;
        struct reg_nve *n = reg_nve(r, nve);
        bool room = n->up && !n->blocked && n->inflight.n < r->conf.window;
        if (room && reg_key_push(r, nve, o)) {
            n->quantum++;
        } else if (room && n->work) {
            if (!push_part(r, n->work, o)) {
                work_remove(r, n->work);
                continue;
            }
            n->quantum++;
        } else {
            ready_pop(r);
            continue;
        }
        if (n->quantum >= REG_QUANTUM) {
            ready_pop(r);
            reg_nve_ready(r, nve);
        }
        return true;
    }
    return false;
}
