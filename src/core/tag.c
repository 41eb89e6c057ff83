/* SPDX-License-Identifier: Apache-2.0 */
/* A VID costs memory only once it was used. Per domain, VIDs above `fresh` were never
 * handed out, hence are the least recently used of all; when they are gone the free
 * list (in order of release) is taken from its head. DRAIN ends in the order it began,
 * so one list over all domains and one timer serve (1.6). */
#include "core/tag.h"

#include <string.h>

#include "core/edge_int.h"
#include "core/record.h"

#define VID_FIRST 2 /* 0 is "none", 1 the default VID of bridges */
#define DOMAINS   DP_PORT_MAX

struct tag {
    uint32_t domain, vni, refs, active;
    uint32_t prev, next;       /* in the free list of the domain, or in drain */
    uint32_t vn_prev, vn_next; /* VIDs of one VN in one domain */
    uint64_t since_us;
    uint16_t vid;
    uint8_t state;  /* enum tag_state */
    uint8_t unseen; /* no station was told of it since it was free */
};
struct list {
    uint32_t head, tail;
};
struct domain {
    uint32_t number;
    uint16_t fresh; /* lowest VID never handed out by choice */
    struct list free;
    uint64_t reserved[(VID_MAX + 1) / 64 + 1];
};
struct tags {
    struct pool pool, domains;
    struct map by_vid, by_vn, by_number;
    struct list drain;
    struct timer timer;
    uint32_t n_used; /* not FREE */
};
struct key {
    uint32_t domain, n; /* n: VID or VNI */
};

static bool
vid_eq(const void *ctx, uint32_t handle, const void *key)
{
    const struct tags *t = ctx;
    const struct tag *g = pool_at(&t->pool, handle);
    const struct key *k = key;
    return g->domain == k->domain && g->vid == k->n;
}

static bool
vn_eq(const void *ctx, uint32_t handle, const void *key)
{
    const struct tags *t = ctx;
    const struct tag *g = pool_at(&t->pool, handle);
    const struct key *k = key;
    return g->domain == k->domain && g->vni == k->n;
}

static bool
number_eq(const void *ctx, uint32_t handle, const void *key)
{
    const struct tags *t = ctx;
    const struct domain *d = pool_at(&t->domains, handle);
    return d->number == *(const uint32_t *)key;
}

void
tag_open(struct edge *e)
{
    struct tags *t = mem_alloc(sizeof *t);
    e->tag = t;
    pool_init(&t->pool, sizeof(struct tag), UINT32_MAX);
    pool_init(&t->domains, sizeof(struct domain), DOMAINS);
    map_init(&t->by_vid, vid_eq, t, edge_seed(e, 1));
    map_init(&t->by_vn, vn_eq, t, edge_seed(e, 2));
    map_init(&t->by_number, number_eq, t, edge_seed(e, 3));
}

void
tag_close(struct edge *e)
{
    struct tags *t = e->tag;
    map_done(&t->by_vid);
    map_done(&t->by_vn);
    map_done(&t->by_number);
    pool_done(&t->pool);
    pool_done(&t->domains);
    mem_free(t);
    e->tag = NULL;
}

uint32_t
tag_domain(struct edge *e, uint32_t number)
{
    struct tags *t = e->tag;
    uint32_t hash = map_hash(&t->by_number, &number, sizeof number);
    uint32_t h = map_find(&t->by_number, hash, &number);
    if (h)
        return h;
    h = pool_get(&t->domains);
    if (h == 0)
        return 0;
    struct domain *d = pool_at(&t->domains, h);
    d->number = number;
    d->fresh = VID_FIRST;
    map_add(&t->by_number, hash, h);
    return h;
}

void
tag_reserve(struct edge *e, uint32_t domain, uint16_t first, uint16_t last)
{
    struct domain *d = pool_at(&e->tag->domains, domain);
    for (uint32_t v = first; v <= last && v <= VID_MAX; v++)
        d->reserved[v / 64] |= UINT64_C(1) << (v % 64);
}

static bool
is_reserved(const struct domain *d, uint32_t vid)
{
    return vid < VID_FIRST || vid > VID_MAX ||
           (d->reserved[vid / 64] >> (vid % 64) & 1);
}

static void
list_append(struct pool *p, struct list *l, uint32_t h)
{
    struct tag *g = pool_at(p, h);
    g->next = 0;
    g->prev = l->tail;
    if (l->tail)
        ((struct tag *)pool_at(p, l->tail))->next = h;
    else
        l->head = h;
    l->tail = h;
}

static void
list_remove(struct pool *p, struct list *l, uint32_t h)
{
    struct tag *g = pool_at(p, h);
    if (g->prev)
        ((struct tag *)pool_at(p, g->prev))->next = g->next;
    else
        l->head = g->next;
    if (g->next)
        ((struct tag *)pool_at(p, g->next))->prev = g->prev;
    else
        l->tail = g->prev;
    g->prev = g->next = 0;
}

static uint32_t
find_vid(const struct tags *t, uint32_t domain, uint16_t vid)
{
    struct key k = {domain, vid};
    return map_find(&t->by_vid, map_hash(&t->by_vid, &k, sizeof k), &k);
}

/* The VIDs of a VN in a domain form a list whose head stands in the index. */
static void
vn_link(struct tags *t, uint32_t h)
{
    struct tag *g = pool_at(&t->pool, h);
    struct key k = {g->domain, g->vni};
    uint32_t hash = map_hash(&t->by_vn, &k, sizeof k);
    uint32_t head = map_find(&t->by_vn, hash, &k);
    g->vn_prev = g->vn_next = 0;
    if (head == 0) {
        map_add(&t->by_vn, hash, h);
        return;
    }
    /* Behind the head: the first VID of a VN stays the one that is given out. */
    struct tag *first = pool_at(&t->pool, head);
    g->vn_prev = head;
    g->vn_next = first->vn_next;
    if (first->vn_next)
        ((struct tag *)pool_at(&t->pool, first->vn_next))->vn_prev = h;
    first->vn_next = h;
}

static void
vn_unlink(struct tags *t, uint32_t h)
{
    struct tag *g = pool_at(&t->pool, h);
    if (g->vn_next)
        ((struct tag *)pool_at(&t->pool, g->vn_next))->vn_prev = g->vn_prev;
    if (g->vn_prev) {
        ((struct tag *)pool_at(&t->pool, g->vn_prev))->vn_next = g->vn_next;
    } else {
        struct key k = {g->domain, g->vni};
        uint32_t hash = map_hash(&t->by_vn, &k, sizeof k);
        map_del(&t->by_vn, hash, h);
        if (g->vn_next)
            map_add(&t->by_vn, hash, g->vn_next);
    }
    g->vn_prev = g->vn_next = 0;
}

static void
journal(struct edge *e, const struct tag *g)
{
    const struct domain *d = pool_at(&e->tag->domains, g->domain);
    uint8_t key[RECORD_KEY_MAX], bytes[64];
    uint16_t key_size = record_tag_key(d->number, g->vid, key), size = 0;
    if (g->state != TAG_FREE) {
        struct record_tag r = {
            d->number, g->vni, g->vid, g->state == TAG_DRAIN ? TAG_DRAIN : TAG_HELD};
        size = record_tag_encode(&r, bytes, sizeof bytes);
    }
    edge_journal(e, 0, RECORD_TAG, key, key_size, bytes, size);
}

static void
timer_arm(struct edge *e)
{
    struct tags *t = e->tag;
    if (t->drain.head == 0) {
        timers_clear(&e->timers, &t->timer);
        return;
    }
    const struct tag *g = pool_at(&t->pool, t->drain.head);
    timers_set(&e->timers, &t->timer, g->since_us + edge_set(e, SET_TAG_HOLD_US),
        TIMER_TAG, 0);
}

/* A VID that had no object: made FREE, on no list. */
static uint32_t
tag_make(struct tags *t, uint32_t domain, uint16_t vid)
{
    uint32_t h = pool_get(&t->pool);
    struct tag *g = pool_at(&t->pool, h);
    g->domain = domain;
    g->vid = vid;
    struct key k = {domain, vid};
    map_add(&t->by_vid, map_hash(&t->by_vid, &k, sizeof k), h);
    return h;
}

/* Takes a FREE tag (off its list) for a VN. */
static void
tag_take(struct edge *e, uint32_t h, uint32_t vni)
{
    struct tag *g = pool_at(&e->tag->pool, h);
    g->vni = vni;
    g->state = TAG_HELD;
    g->unseen = 1;
    g->since_us = e->now_us;
    e->tag->n_used++;
    vn_link(e->tag, h);
}

static uint32_t
choose(struct tags *t, uint32_t domain)
{
    struct domain *d = pool_at(&t->domains, domain);
    for (; d->fresh <= VID_MAX; d->fresh++)
        if (!is_reserved(d, d->fresh) && find_vid(t, domain, d->fresh) == 0)
            return tag_make(t, domain, d->fresh++);
    /* Reserved after it was used: passed over, and never free again. */
    while (d->free.head) {
        uint32_t h = d->free.head;
        list_remove(&t->pool, &d->free, h);
        const struct tag *g = pool_at(&t->pool, h);
        if (!is_reserved(d, g->vid))
            return h;
        struct key k = {domain, g->vid};
        map_del(&t->by_vid, map_hash(&t->by_vid, &k, sizeof k), h);
        pool_put(&t->pool, h);
    }
    return 0;
}

/* Counts a reference; a draining tag of the same VN comes back to life: late frames
 * with it belong to this very VN. */
static void
hold(struct edge *e, uint32_t h)
{
    struct tags *t = e->tag;
    struct tag *g = pool_at(&t->pool, h);
    if (g->state == TAG_DRAIN) {
        list_remove(&t->pool, &t->drain, h);
        g->state = TAG_HELD;
        g->since_us = e->now_us;
        journal(e, g);
        timer_arm(e);
    }
    g->refs++;
}

static enum tag_verdict
get_asked(struct edge *e, uint32_t domain, uint32_t vni, uint16_t asked)
{
    struct tags *t = e->tag;
    struct domain *d = pool_at(&t->domains, domain);
    uint32_t h = find_vid(t, domain, asked);
    struct tag *g = h ? pool_at(&t->pool, h) : NULL;
    if (g && g->state != TAG_FREE) {
        if (g->vni != vni)
            return TAG_CONFLICT;
        hold(e, h);
        return TAG_OK;
    }
    if (is_reserved(d, asked))
        return TAG_RESERVED;
    if (g)
        list_remove(&t->pool, &d->free, h);
    else
        h = tag_make(t, domain, asked);
    tag_take(e, h, vni);
    hold(e, h);
    journal(e, pool_at(&t->pool, h));
    return TAG_OK;
}

enum tag_verdict
tag_get(struct edge *e, uint32_t domain, uint32_t vni, uint16_t asked, uint16_t *vid)
{
    struct tags *t = e->tag;
    *vid = asked;
    if (asked)
        return get_asked(e, domain, vni, asked);
    struct key k = {domain, vni};
    uint32_t h = map_find(&t->by_vn, map_hash(&t->by_vn, &k, sizeof k), &k);
    if (h) {
        hold(e, h);
    } else {
        h = choose(t, domain);
        if (h == 0)
            return TAG_EXHAUSTED;
        tag_take(e, h, vni);
        hold(e, h);
        journal(e, pool_at(&t->pool, h));
    }
    *vid = ((struct tag *)pool_at(&t->pool, h))->vid;
    return TAG_OK;
}

static void
drain(struct edge *e, uint32_t h)
{
    struct tags *t = e->tag;
    struct tag *g = pool_at(&t->pool, h);
    g->state = TAG_DRAIN;
    g->since_us = e->now_us;
    list_append(&t->pool, &t->drain, h);
    journal(e, g);
    timer_arm(e);
}

void
tag_put(struct edge *e, uint32_t domain, uint16_t vid)
{
    uint32_t h = find_vid(e->tag, domain, vid);
    struct tag *g = pool_at(&e->tag->pool, h);
    g->unseen = 0;
    if (--g->refs == 0)
        drain(e, h);
}

static void
release(struct edge *e, uint32_t h)
{
    struct tags *t = e->tag;
    struct tag *g = pool_at(&t->pool, h);
    struct domain *d = pool_at(&t->domains, g->domain);
    vn_unlink(t, h);
    g->state = TAG_FREE;
    journal(e, g);
    g->vni = 0;
    t->n_used--;
    list_append(&t->pool, &d->free, h);
}

void
tag_cancel(struct edge *e, uint32_t domain, uint16_t vid)
{
    uint32_t h = find_vid(e->tag, domain, vid);
    struct tag *g = pool_at(&e->tag->pool, h);
    if (--g->refs > 0)
        return;
    if (g->unseen)
        release(e, h);
    else
        drain(e, h);
}

void
tag_activate(struct edge *e, uint32_t domain, uint16_t vid, bool on)
{
    struct tag *g = pool_at(&e->tag->pool, find_vid(e->tag, domain, vid));
    g->active += on ? 1 : -1;
    if (g->state == TAG_HELD || g->state == TAG_USED)
        g->state = g->active ? TAG_USED : TAG_HELD;
}

uint32_t
tag_vni(const struct edge *e, uint32_t domain, uint16_t vid)
{
    uint32_t h = find_vid(e->tag, domain, vid);
    const struct tag *g = h ? pool_at(&e->tag->pool, h) : NULL;
    return g && g->state != TAG_FREE ? g->vni : 0;
}

void
tag_timer(struct edge *e)
{
    struct tags *t = e->tag;
    uint64_t hold_us = edge_set(e, SET_TAG_HOLD_US);
    /* After a restart the data plane may hold VAPs that nobody knows of any more, until
     * DP_SYNC_END: no VID goes to another VN before. */
    if (e->sync_open) {
        timers_set(
            &e->timers, &t->timer, e->now_us + edge_set(e, SET_RETRY_US), TIMER_TAG, 0);
        return;
    }
    while (t->drain.head) {
        uint32_t h = t->drain.head;
        struct tag *g = pool_at(&t->pool, h);
        if (g->since_us + hold_us > e->now_us)
            break;
        list_remove(&t->pool, &t->drain, h);
        release(e, h);
    }
    timer_arm(e);
}

/* The tag of a journal's record, taken for its VN; 0: it contradicts what is there. */
static uint32_t
restored(struct edge *e, uint32_t domain, uint16_t vid, uint32_t vni)
{
    struct tags *t = e->tag;
    if (domain == 0 || vid < VID_FIRST || vid > VID_MAX)
        return 0;
    uint32_t h = find_vid(t, domain, vid);
    if (h == 0) {
        h = tag_make(t, domain, vid);
        tag_take(e, h, vni);
        return h;
    }
    struct tag *g = pool_at(&t->pool, h);
    if (g->state == TAG_FREE) {
        struct domain *d = pool_at(&t->domains, domain);
        list_remove(&t->pool, &d->free, h);
        tag_take(e, h, vni);
    }
    return g->vni == vni ? h : 0;
}

bool
tag_restore(
    struct edge *e, uint32_t domain_number, uint16_t vid, uint32_t vni, uint8_t state)
{
    /* Whether it drains follows from what refers to it: tag_restored looks at that. */
    (void)state;
    return restored(e, tag_domain(e, domain_number), vid, vni) != 0;
}

bool
tag_restore_ref(struct edge *e, uint32_t domain, uint16_t vid, uint32_t vni)
{
    uint32_t h = restored(e, domain, vid, vni);
    if (h == 0)
        return false;
    ((struct tag *)pool_at(&e->tag->pool, h))->refs++;
    return true;
}

void
tag_restored(struct edge *e)
{
    struct tags *t = e->tag;
    for (uint32_t it = 0, h; (h = map_each(&t->by_vid, &it));) {
        const struct tag *g = pool_at(&t->pool, h);
        if ((g->state == TAG_HELD || g->state == TAG_USED) && g->refs == 0)
            drain(e, h);
    }
}

uint32_t
tag_domain_number(const struct edge *e, uint32_t domain)
{
    const struct domain *d = pool_at(&e->tag->domains, domain);
    return d->number;
}

const char *
tag_state_str(uint8_t state)
{
    static const char *const names[] = {"FREE", "HELD", "USED", "DRAIN"};
    return state <= TAG_DRAIN ? names[state] : "?";
}

bool
tag_each(const struct edge *e, uint32_t *it, struct edge_tag_view *v)
{
    const struct tags *t = e->tag;
    uint32_t h;
    while ((h = map_each(&t->by_vid, it))) {
        const struct tag *g = pool_at(&t->pool, h);
        if (g->state == TAG_FREE)
            continue;
        const struct domain *d = pool_at(&t->domains, g->domain);
        *v = (struct edge_tag_view){.domain = d->number,
            .vni = g->vni,
            .refs = g->refs,
            .vid = g->vid,
            .state = g->state};
        uint64_t end_us = g->since_us + edge_set(e, SET_TAG_HOLD_US);
        if (g->state == TAG_DRAIN && end_us > e->now_us)
            v->hold_left_us = end_us - e->now_us;
        return true;
    }
    return false;
}

uint32_t
tag_count(const struct edge *e)
{
    return e->tag->n_used;
}
