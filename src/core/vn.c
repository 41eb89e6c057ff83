/* SPDX-License-Identifier: Apache-2.0 */
/* VNs nobody refers to stay as a cache while there is room, the longest unused go
 * first; with no authority they came from a file and stay. A look-up that failed stays
 * for T_retry as a negative answer, so a station that repeats itself costs no question.
 */
#include "core/vn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "core/arp.h"
#include "core/attach.h"
#include "core/edge_int.h"
#include "core/record.h"

#define ASKS_MAX   1024
#define STATIC_MAX 65536

enum sub { SUB_NOT, SUB_ALL, SUB_MEMBERS };
struct vn {
    struct vn_rec rec;
    uint32_t refs;
    uint32_t prev, next; /* list of those without reference */
    uint8_t described;   /* 0: only the VNI is known, from the journal */
    uint8_t subscribed;                  /* enum sub: to what */
    uint8_t written; /* a record of it stands in the journal */
};
enum ask_state { ASK_SENT, ASK_UNKNOWN, ASK_TIMEOUT };
struct ask {
    struct vn_rec what; /* vni, or name when vni = 0 */
    uint32_t *waiters, n_waiters, cap;
    struct timer timer;
    uint8_t state;
};
struct by_vid {
    uint32_t port, vid, vni;
};
struct by_profile {
    uint32_t type_id, version, vni;
};
struct vns {
    struct pool pool, asks, vids, profiles;
    struct map by_vni, by_name, asked, by_vid, by_profile;
    uint32_t idle_head, idle_tail;
};
struct ask_key {
    uint32_t vni;
    char name[VN_NAME_SIZE];
};

static struct vn *
at(const struct vns *v, uint32_t h)
{
    return pool_at(&v->pool, h);
}

static bool
vni_eq(const void *ctx, uint32_t h, const void *key)
{
    return at(ctx, h)->rec.vni == *(const uint32_t *)key;
}

static bool
name_eq(const void *ctx, uint32_t h, const void *key)
{
    return strcmp(at(ctx, h)->rec.name, key) == 0;
}

static bool
ask_eq(const void *ctx, uint32_t h, const void *key)
{
    const struct ask *a = pool_at(&((const struct vns *)ctx)->asks, h);
    const struct ask_key *k = key;
    return a->what.vni == k->vni && strcmp(a->what.name, k->name) == 0;
}

static bool
vid_eq(const void *ctx, uint32_t h, const void *key)
{
    return memcmp(pool_at(&((const struct vns *)ctx)->vids, h), key, 8) == 0;
}

static bool
profile_eq(const void *ctx, uint32_t h, const void *key)
{
    return memcmp(pool_at(&((const struct vns *)ctx)->profiles, h), key, 8) == 0;
}

void
vn_open(struct edge *e)
{
    struct vns *v = mem_alloc(sizeof *v);
    e->vn = v;
    pool_init(&v->pool, sizeof(struct vn), (uint32_t)edge_set(e, SET_MAX_VNS));
    pool_init(&v->asks, sizeof(struct ask), ASKS_MAX);
    pool_init(&v->vids, sizeof(struct by_vid), STATIC_MAX);
    pool_init(&v->profiles, sizeof(struct by_profile), STATIC_MAX);
    map_init(&v->by_vni, vni_eq, v, edge_seed(e, 10));
    map_init(&v->by_name, name_eq, v, edge_seed(e, 11));
    map_init(&v->asked, ask_eq, v, edge_seed(e, 12));
    map_init(&v->by_vid, vid_eq, v, edge_seed(e, 13));
    map_init(&v->by_profile, profile_eq, v, edge_seed(e, 14));
}

void
vn_close(struct edge *e)
{
    struct vns *v = e->vn;
    for (uint32_t it = 0, h; (h = map_each(&v->asked, &it));)
        mem_free(((struct ask *)pool_at(&v->asks, h))->waiters);
    map_done(&v->by_vni);
    map_done(&v->by_name);
    map_done(&v->asked);
    map_done(&v->by_vid);
    map_done(&v->by_profile);
    pool_done(&v->pool);
    pool_done(&v->asks);
    pool_done(&v->vids);
    pool_done(&v->profiles);
    mem_free(v);
    e->vn = NULL;
}

/* ---- the table ---- */

static uint32_t
vni_hash(const struct vns *v, uint32_t vni)
{
    return map_hash(&v->by_vni, &vni, sizeof vni);
}

uint32_t
vn_find(const struct edge *e, uint32_t vni)
{
    return map_find(&e->vn->by_vni, vni_hash(e->vn, vni), &vni);
}

static uint32_t
find_name(const struct vns *v, const char *name)
{
    return map_find(&v->by_name, map_hash(&v->by_name, name, strlen(name)), name);
}

const struct vn_rec *
vn_at(const struct edge *e, uint32_t vn)
{
    return &at(e->vn, vn)->rec;
}

static void
idle_add(struct vns *v, uint32_t h)
{
    struct vn *n = at(v, h);
    n->prev = v->idle_tail;
    n->next = 0;
    if (v->idle_tail)
        at(v, v->idle_tail)->next = h;
    else
        v->idle_head = h;
    v->idle_tail = h;
}

static void
idle_remove(struct vns *v, uint32_t h)
{
    struct vn *n = at(v, h);
    if (n->prev)
        at(v, n->prev)->next = n->next;
    else
        v->idle_head = n->next;
    if (n->next)
        at(v, n->next)->prev = n->prev;
    else
        v->idle_tail = n->prev;
    n->prev = n->next = 0;
}

static void
name_index(struct vns *v, uint32_t h, bool add)
{
    const char *name = at(v, h)->rec.name;
    if (!*name)
        return;
    uint32_t hash = map_hash(&v->by_name, name, strlen(name));
    if (add)
        map_add(&v->by_name, hash, h);
    else
        map_del(&v->by_name, hash, h);
}

/* Only of VNs without reference. */
static void
remove_vn(struct vns *v, uint32_t h)
{
    idle_remove(v, h);
    name_index(v, h, false);
    map_del(&v->by_vni, vni_hash(v, at(v, h)->rec.vni), h);
    pool_put(&v->pool, h);
}

static uint32_t
make_vn(struct edge *e, uint32_t vni)
{
    struct vns *v = e->vn;
    if (v->pool.n == v->pool.max && e->conf.authority && v->idle_head)
        remove_vn(v, v->idle_head);
    uint32_t h = pool_get(&v->pool);
    if (h == 0)
        return 0;
    at(v, h)->rec.vni = vni;
    map_add(&v->by_vni, vni_hash(v, vni), h);
    idle_add(v, h);
    return h;
}

/* ---- what it means to be referred to ---- */

static void
journal(struct edge *e, struct vn *n)
{
    uint8_t key[RECORD_KEY_MAX], bytes[128];
    uint16_t key_size = record_vn_key(n->rec.vni, key), size = 0;
    if (n->refs)
        size = record_vn_encode(&n->rec, bytes, sizeof bytes);
    n->written = size > 0;
    edge_journal(e, 0, RECORD_VN, key, key_size, bytes, size);
}

static void
dp_set(struct edge *e, const struct vn *n, uint8_t kind, uint32_t ref)
{
    struct dp_op *op = edge_dp(e, DP_VN_SET, kind, ref);
    op->u.vn.vni = n->rec.vni;
    op->u.vn.arp = n->rec.arp;
    op->u.vn.mtu = n->rec.mtu;
    op->u.vn.bum_pps = (uint32_t)edge_set(e, SET_BUM_PPS);
    op->u.vn.bum_burst = (uint32_t)edge_set(e, SET_BUM_BURST);
}

/* Subscribed: referred to, and somebody there to ask. Of a VN that is pulled the members
 * alone: frames of an edge that is not known are dropped (K11), and who is asked for by
 * another edge does not know that one. */
static void
subscribe(struct edge *e, struct vn *n)
{
    uint8_t want = !n->refs ? SUB_NOT : n->rec.pull ? SUB_MEMBERS : SUB_ALL;
    if (n->subscribed && n->subscribed != want) {
        n->subscribed = SUB_NOT;
        edge_emit(e, EDGE_UNSUBSCRIBE)->u.vni = n->rec.vni;
        mapping_vn(e, n->rec.vni, false);
    }
    if (want && !n->subscribed && (!e->conf.authority || e->session_up)) {
        n->subscribed = want;
        struct edge_out *o = edge_emit(e, EDGE_SUBSCRIBE);
        o->u.sub.vni = n->rec.vni;
        o->u.sub.members_only = want == SUB_MEMBERS;
        if (want == SUB_ALL)
            mapping_vn(e, n->rec.vni, true);
        else
            mapping_vn_watch(e, n->rec.vni);
    }
}

void
vn_ref(struct edge *e, uint32_t vn, uint8_t ticket_kind, uint32_t ticket_ref)
{
    struct vn *n = at(e->vn, vn);
    if (n->refs++ > 0)
        return;
    idle_remove(e->vn, vn);
    dp_set(e, n, ticket_kind, ticket_ref);
    journal(e, n);
    subscribe(e, n);
}

void
vn_unref(struct edge *e, uint32_t vn)
{
    struct vn *n = at(e->vn, vn);
    if (--n->refs > 0)
        return;
    if (n->subscribed)
        subscribe(e, n);
    else
        mapping_vn(e, n->rec.vni, false); /* what was pulled goes too */
    arp_vn_gone(e, n->rec.vni);
    edge_dp(e, DP_VN_DEL, TICKET_DP, 0)->u.vn.vni = n->rec.vni;
    journal(e, n);
    idle_add(e->vn, vn);
    if (n->rec.deleted)
        remove_vn(e->vn, vn);
}

/* ---- look-ups ---- */

static uint32_t
ask_hash(const struct vns *v, const struct ask_key *k)
{
    uint64_t seed[2] = {k->vni, map_hash(&v->asked, k->name, strlen(k->name))};
    return map_hash(&v->asked, seed, sizeof seed);
}

static struct ask_key
ask_key(uint32_t vni, const char *name)
{
    struct ask_key k = {.vni = vni};
    if (vni == 0 && name)
        snprintf(k.name, sizeof k.name, "%s", name);
    return k;
}

static uint32_t
ask_find(const struct vns *v, const struct ask_key *k)
{
    return map_find(&v->asked, ask_hash(v, k), k);
}

static void
ask_send(struct edge *e, uint32_t h)
{
    const struct ask *a = pool_at(&e->vn->asks, h);
    edge_emit(e, EDGE_VN_LOOKUP)->u.vn = a->what;
}

/* Frees the look-up and tells who waited. attach_vn_answer may start new look-ups. */
static void
ask_end(struct edge *e, uint32_t h, uint8_t state)
{
    struct vns *v = e->vn;
    struct ask *a = pool_at(&v->asks, h);
    uint32_t *waiters = a->waiters, n = a->n_waiters;
    a->waiters = NULL;
    a->n_waiters = a->cap = 0;
    a->state = state;
    if (state == ASK_SENT) {
        struct ask_key k = ask_key(a->what.vni, a->what.name);
        timers_clear(&e->timers, &a->timer);
        map_del(&v->asked, ask_hash(v, &k), h);
        pool_put(&v->asks, h);
    } else {
        timers_set(
            &e->timers, &a->timer, e->now_us + edge_set(e, SET_RETRY_US), TIMER_VN, h);
    }
    for (uint32_t i = 0; i < n; i++)
        if (waiters[i])
            attach_vn_answer(e, waiters[i]);
    mem_free(waiters);
}

static enum vn_verdict
ask(struct edge *e, const struct ask_key *k)
{
    struct vns *v = e->vn;
    uint32_t h = ask_find(v, k);
    if (h) {
        switch ((enum ask_state)((struct ask *)pool_at(&v->asks, h))->state) {
        case ASK_SENT:
            return VN_ASKED;
        case ASK_UNKNOWN:
            return VN_UNKNOWN;
        case ASK_TIMEOUT:
            return VN_NO_AUTHORITY;
        }
    }
    if (!e->conf.authority)
        return VN_UNKNOWN;
    h = pool_get(&v->asks);
    if (h == 0)
        return VN_FULL;
    struct ask *a = pool_at(&v->asks, h);
    a->what.vni = k->vni;
    memcpy(a->what.name, k->name, sizeof a->what.name);
    map_add(&v->asked, ask_hash(v, k), h);
    timers_set(
        &e->timers, &a->timer, e->now_us + edge_set(e, SET_PUBLISH_US), TIMER_VN, h);
    if (e->session_up)
        ask_send(e, h);
    return VN_ASKED;
}

void
vn_timer(struct edge *e, uint32_t h)
{
    struct vns *v = e->vn;
    struct ask *a = pool_at(&v->asks, h);
    if (a->state == ASK_SENT)
        ask_end(e, h, ASK_TIMEOUT);
    else
        ask_end(e, h, ASK_SENT); /* the negative answer is forgotten */
}

/* What the entry names: a VNI, or a name, or nothing. */
static struct ask_key
named(const struct edge *e, uint32_t port, const struct tns_profile *profile,
    const struct tns_entry *entry)
{
    const struct vns *v = e->vn;
    if (entry->vn_ref == VN_BY_VNI)
        return ask_key(entry->vni, NULL);
    if (entry->vn_ref == VN_BY_NAME)
        return ask_key(0, entry->vn_name);
    uint32_t h, key[2] = {profile->type_id, profile->version};
    h = map_find(&v->by_profile, map_hash(&v->by_profile, key, sizeof key), key);
    if (h)
        return ask_key(((struct by_profile *)pool_at(&v->profiles, h))->vni, NULL);
    uint32_t tag[2] = {port, entry->vid};
    h = map_find(&v->by_vid, map_hash(&v->by_vid, tag, sizeof tag), tag);
    if (h)
        return ask_key(((struct by_vid *)pool_at(&v->vids, h))->vni, NULL);
    const struct edge_port *p = edge_port_at(e, port);
    if (entry->vid == 0 && p && p->native == NATIVE_VN)
        return ask_key(p->native_vni, NULL);
    return ask_key(0, NULL);
}

enum vn_verdict
vn_resolve(struct edge *e, uint32_t port, const struct tns_profile *profile,
    const struct tns_entry *entry, uint32_t *vn)
{
    struct ask_key k = named(e, port, profile, entry);
    if (k.vni == 0 && k.name[0] == '\0')
        return VN_UNKNOWN;
    *vn = k.vni ? vn_find(e, k.vni) : find_name(e->vn, k.name);
    if (*vn && !at(e->vn, *vn)->rec.deleted && at(e->vn, *vn)->described)
        return VN_FOUND;
    return *vn && at(e->vn, *vn)->rec.deleted ? VN_UNKNOWN : ask(e, &k);
}

void
vn_wait(struct edge *e, uint32_t port, const struct tns_profile *profile,
    const struct tns_entry *entry, uint32_t txn)
{
    struct ask_key k = named(e, port, profile, entry);
    struct ask *a = pool_at(&e->vn->asks, ask_find(e->vn, &k));
    if (a->n_waiters == a->cap) {
        a->cap = a->cap ? a->cap * 2 : 4;
        a->waiters = mem_grow(a->waiters, a->cap * sizeof *a->waiters);
    }
    a->waiters[a->n_waiters++] = txn;
}

void
vn_forget(struct edge *e, uint32_t txn)
{
    struct vns *v = e->vn;
    for (uint32_t it = 0, h; (h = map_each(&v->asked, &it));) {
        struct ask *a = pool_at(&v->asks, h);
        for (uint32_t i = 0; i < a->n_waiters; i++)
            if (a->waiters[i] == txn)
                a->waiters[i] = 0;
    }
}

/* ---- records ---- */

static bool
rec_sane(const struct vn_rec *r)
{
    return r->vni > 0 && r->vni <= VNI_MAX && r->arp <= ARP_TRANSLATE &&
           memchr(r->name, '\0', sizeof r->name);
}

static enum vn_news
store(struct edge *e, const struct vn_rec *rec)
{
    struct vns *v = e->vn;
    uint32_t h = vn_find(e, rec->vni);
    if (h == 0) {
        if (rec->deleted)
            return VN_NOTHING;
        h = make_vn(e, rec->vni);
        if (h == 0) {
            log_warn("vn", "vni=%u no room for another virtual network", rec->vni);
            return VN_NOTHING;
        }
    }
    struct vn *n = at(v, h);
    if (rec->deleted) {
        n->rec.deleted = 1;
        if (n->refs)
            return VN_DELETED;
        remove_vn(v, h);
        return VN_NOTHING;
    }
    bool same = n->described && memcmp(&n->rec, rec, sizeof *rec) == 0;
    bool told = n->described && (n->rec.mtu != rec->mtu || n->rec.arp != rec->arp);
    name_index(v, h, false);
    n->rec = *rec;
    n->rec.deleted = 0;
    n->described = 1;
    name_index(v, h, true);
    if (same || n->refs == 0)
        return VN_NOTHING;
    dp_set(e, n, TICKET_DP, 0);
    journal(e, n);
    subscribe(e, n);
    return told ? VN_CHANGED : VN_NOTHING;
}

/* A record in which every octet is defined: records are compared whole. */
static struct vn_rec
tidy(const struct vn_rec *rec)
{
    struct vn_rec r;
    memset(&r, 0, sizeof r);
    r.vni = rec->vni;
    r.mtu = rec->mtu;
    r.arp = rec->arp;
    r.centralised = rec->centralised;
    r.pull = rec->pull;
    r.deleted = rec->deleted;
    snprintf(r.name, sizeof r.name, "%s", rec->name);
    return r;
}

enum vn_news
vn_set(struct edge *e, const struct vn_rec *rec, int status)
{
    enum vn_news news = VN_NOTHING;
    if (!memchr(rec->name, '\0', sizeof rec->name))
        return VN_NOTHING;
    if (status == 0) {
        if (!rec_sane(rec))
            return VN_NOTHING;
        struct vn_rec r = tidy(rec);
        news = store(e, &r);
    } else if (status == -ENOENT && e->conf.authority && rec->vni && rec->vni <= VNI_MAX) {
        news = store(e, &(struct vn_rec){.vni = rec->vni, .deleted = 1});
    }
    /* The question was by VNI or by name; an answer carries both. */
    uint8_t state = status == 0 && !rec->deleted ? ASK_SENT : ASK_UNKNOWN;
    struct ask_key by_vni = ask_key(rec->vni, NULL), by_name = ask_key(0, rec->name);
    uint32_t h = rec->vni ? ask_find(e->vn, &by_vni) : 0;
    if (h)
        ask_end(e, h, state);
    h = by_name.name[0] ? ask_find(e->vn, &by_name) : 0;
    if (h)
        ask_end(e, h, state);
    return news;
}

/* Nobody told us what became of the VNs while no session stood: those in use are asked
 * for, those that are only cached when somebody wants one. */
void
vn_session(struct edge *e, bool up)
{
    struct vns *v = e->vn;
    for (uint32_t it = 0, h; (h = map_each(&v->by_vni, &it));) {
        struct vn *n = at(v, h);
        if (!up)
            continue;
        if (!n->refs) {
            n->described = 0;
            continue;
        }
        n->subscribed = SUB_NOT;
        subscribe(e, n);
        edge_emit(e, EDGE_VN_LOOKUP)->u.vn = (struct vn_rec){.vni = n->rec.vni};
    }
    for (uint32_t it = 0, h; up && (h = map_each(&v->asked, &it));)
        if (((struct ask *)pool_at(&v->asks, h))->state == ASK_SENT)
            ask_send(e, h);
}

/* A static row: the key in front, the VNI behind it. */
static void
row_set(struct map *m, struct pool *p, const uint32_t key[2], uint32_t vni)
{
    uint32_t hash = map_hash(m, key, 2 * sizeof *key);
    uint32_t h = map_find(m, hash, key);
    if (h && vni == 0) {
        map_del(m, hash, h);
        pool_put(p, h);
        return;
    }
    if (vni == 0)
        return;
    if (h == 0) {
        h = pool_get(p);
        if (h == 0)
            return;
        memcpy(pool_at(p, h), key, 2 * sizeof *key);
        map_add(m, hash, h);
    }
    ((struct by_vid *)pool_at(p, h))->vni = vni;
}

void
edge_vn_by_vid(struct edge *e, uint32_t port, uint16_t vid, uint32_t vni)
{
    _Static_assert(sizeof(struct by_vid) == sizeof(struct by_profile), "one row_set");
    row_set(&e->vn->by_vid, &e->vn->vids, (uint32_t[2]){port, vid}, vni);
}

void
edge_vn_by_profile(struct edge *e, uint32_t type_id, uint8_t version, uint32_t vni)
{
    row_set(&e->vn->by_profile, &e->vn->profiles, (uint32_t[2]){type_id, version}, vni);
}

/* ---- restart ---- */

bool
vn_restore(struct edge *e, const struct vn_rec *rec)
{
    if (!rec_sane(rec))
        return false;
    struct vn_rec r = tidy(rec);
    r.deleted = 0;
    store(e, &r);
    uint32_t h = vn_find(e, r.vni);
    if (h)
        at(e->vn, h)->written = 1;
    return h != 0;
}

uint32_t
vn_need(struct edge *e, uint32_t vni)
{
    uint32_t h = vn_find(e, vni);
    return h ? h : make_vn(e, vni);
}

void
vn_restored(struct edge *e)
{
    struct vns *v = e->vn;
    for (uint32_t it = 0, h; (h = map_each(&v->by_vni, &it));) {
        struct vn *n = at(v, h);
        if (n->refs == 0) {
            if (n->written)
                journal(e, n); /* who referred to it was never answered */
            continue;
        }
        subscribe(e, n);
        if (!n->described)
            ask(e, &(struct ask_key){.vni = n->rec.vni});
    }
}

void
vn_emit_all(struct edge *e)
{
    struct vns *v = e->vn;
    for (uint32_t it = 0, h; (h = map_each(&v->by_vni, &it));)
        if (at(v, h)->refs)
            dp_set(e, at(v, h), TICKET_DP, 0);
}

bool
vn_each(const struct edge *e, uint32_t *it, struct vn_rec *rec)
{
    uint32_t h = map_each(&e->vn->by_vni, it);
    if (h)
        *rec = at(e->vn, h)->rec;
    return h != 0;
}
