/* SPDX-License-Identifier: Apache-2.0 */
/* Life of the registry, sessions and look-up. How ownership is decided stands in
 * registry_own.c, how subscribers are told in registry_push.c.
 *
 * After a start the mappings are nowhere: they come back by registration (K7, F13).
 * Until every NVE that was known before has registered again, or T_recover has passed,
 * nothing is granted and nothing is denied (K4, K17): both would speak of what is not
 * known yet. */
#include "core/registry_int.h"

#include <string.h>

#include "base/log.h"

#define HWM_RETRY_US    1000000
#define ASKED_WAIT_US   300000   /* after WHO_HAS: how long silence is not an answer */
#define ASKED_REPEAT_US 10000000 /* ... and when it is asked again */
#define WHO_HAS_FILL_US 500      /* one WHO_HAS more per ... */
#define WHO_HAS_BURST   2000

const char *
registry_reason_str(uint8_t reason)
{
    static const char *const names[REG_N_REASONS] = {
        [REG_OK] = "ok",
        [REG_STALE] = "stale",
        [REG_CONFLICT] = "conflict",
        [REG_NO_VN] = "no-vn",
        [REG_FULL] = "full",
        [REG_NOT_READY] = "not-ready",
        [REG_NOT_OWNER] = "not-owner",
        [REG_POLICY] = "policy",
    };
    return reason < REG_N_REASONS ? names[reason] : "?";
}

/* ---- keys of the maps ---- */

static bool
vni_eq(const void *ctx, uint32_t h, const void *key)
{
    return reg_vn(ctx, h)->rec.vni == *(const uint32_t *)key;
}

static bool
name_eq(const void *ctx, uint32_t h, const void *key)
{
    return strcmp(reg_vn(ctx, h)->rec.name, key) == 0;
}

static bool
part_eq(const void *ctx, uint32_t h, const void *key)
{
    const struct reg_part *p = reg_part(ctx, h);
    const uint32_t *k = key; /* vn, nve */
    return p->vn == k[0] && p->nve == k[1];
}

static bool
nve_eq(const void *ctx, uint32_t h, const void *key)
{
    return strcmp(reg_nve(ctx, h)->name, key) == 0;
}

static bool
vtep_eq(const void *ctx, uint32_t h, const void *key)
{
    return ip_equal(&reg_nve(ctx, h)->vtep, key);
}

/* The layout that registry_push.c hashes: vni, mac, two octets of zero, ip. */
static bool
keysub_eq(const void *ctx, uint32_t h, const void *key)
{
    const struct registry *r = ctx;
    const struct reg_keysub *s = slab_at(&r->keysubs, h);
    const uint8_t *k = key;
    return memcmp(k, &s->vni, 4) == 0 && memcmp(k + 4, &s->mac, 6) == 0 &&
           memcmp(k + 12, &s->ip, 16) == 0;
}

static bool
resv_eq(const void *ctx, uint32_t h, const void *key)
{
    const struct registry *r = ctx;
    const struct reg_resv *v = slab_at(&r->resvs, h);
    const uint8_t *k = key;
    return memcmp(k, &v->vni, 4) == 0 && memcmp(k + 4, &v->mac, 6) == 0;
}

static uint32_t
or_else(uint32_t value, uint32_t other)
{
    return value ? value : other;
}

struct registry *
registry_new(const struct registry_conf *conf, uint64_t now_us)
{
    struct registry *r = mem_alloc(sizeof *r);
    struct registry_conf *c = &r->conf;
    *c = *conf;
    c->max_nves = or_else(c->max_nves, 4096);
    c->max_mappings = or_else(c->max_mappings, 1000000);
    c->max_vns = or_else(c->max_vns, 65536);
    c->max_key_subs = or_else(c->max_key_subs, 262144);
    c->max_reservations = or_else(c->max_reservations, 65536);
    c->max_talkers = or_else(c->max_talkers, 65536);
    c->max_waiting = or_else(c->max_waiting, 65536);
    c->window = or_else(c->window, 4096);
    c->recover_us = c->recover_us ? c->recover_us : 30 * 1000000ull;
    c->forget_us = c->forget_us ? c->forget_us : 86400 * 1000000ull;
    c->stale_us = c->stale_us ? c->stale_us : 120 * 1000000ull;
    c->damp_moves = or_else(c->damp_moves, 5); /* RFC 7432 clause 15.1 */
    c->damp_us = c->damp_us ? c->damp_us : 180 * 1000000ull;
    c->negative_us = c->negative_us ? c->negative_us : 60 * 1000000ull;
    r->now_us = now_us;
    fifo_init(&r->out, sizeof(struct registry_out));
    fifo_init(&r->claims, sizeof(struct reg_claim));
    timers_init(&r->timers);
    uint32_t dead =
        c->max_mappings > UINT32_MAX / 4 ? UINT32_MAX / 2 : c->max_mappings * 2;
    keytab_init(&r->keys, sizeof(struct reg_ent), dead, c->seed);
    slab_init(&r->vns, sizeof(struct reg_vn), c->max_vns + 1); /* and VN 0 */
    slab_init(&r->parts, sizeof(struct reg_part),
        c->max_mappings > 65536 ? c->max_mappings : 65536);
    slab_init(&r->nves, sizeof(struct reg_nve), c->max_nves);
    slab_init(&r->keysubs, sizeof(struct reg_keysub), c->max_key_subs);
    slab_init(&r->resvs, sizeof(struct reg_resv), c->max_reservations);
    slab_init(&r->waits, sizeof(struct reg_wait), c->max_waiting);
    map_init(&r->by_vni, vni_eq, r, c->seed + 1);
    map_init(&r->by_name, name_eq, r, c->seed + 2);
    map_init(&r->by_part, part_eq, r, c->seed + 3);
    map_init(&r->by_nve, nve_eq, r, c->seed + 4);
    map_init(&r->by_vtep, vtep_eq, r, c->seed + 5);
    map_init(&r->by_keysub, keysub_eq, r, c->seed + 6);
    map_init(&r->by_resv, resv_eq, r, c->seed + 7);
    reg_gates_init(r);
    reg_talks_open(r);
    r->all = slab_get(&r->vns);
    reg_vn(r, r->all)->rec.deleted = 1; /* nobody may name it */
    uint32_t none = 0;
    map_add(&r->by_vni, map_hash(&r->by_vni, &none, sizeof none), r->all);
    r->next_epoch = 1;
    return r;
}

void
registry_free(struct registry *r)
{
    if (!r)
        return;
    for (uint32_t it = 0, h; (h = slab_each(&r->nves, &it));)
        fifo_done(&reg_nve(r, h)->inflight);
    struct slab *slabs[] = {&r->vns, &r->parts, &r->nves, &r->keysubs, &r->resvs,
        &r->waits, &r->talks, &r->gates};
    struct map *maps[] = {&r->by_vni, &r->by_name, &r->by_part, &r->by_nve, &r->by_vtep,
        &r->by_keysub, &r->by_resv, &r->by_talk, &r->by_gate};
    for (size_t i = 0; i < sizeof slabs / sizeof *slabs; i++)
        slab_done(slabs[i]);
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        map_done(maps[i]);
    keytab_done(&r->keys);
    fifo_done(&r->out);
    fifo_done(&r->claims);
    timers_done(&r->timers);
    mem_free(r);
}

struct registry_out *
reg_out(struct registry *r, uint8_t type, uint32_t nve)
{
    struct registry_out *o = fifo_push(&r->out);
    o->type = type;
    o->nve = nve;
    return o;
}

bool
registry_output(struct registry *r, struct registry_out *out)
{
    /* Whoever had nothing to hear may have been the last one that a word waited for. */
    return fifo_pop(&r->out, out) || reg_push(r, out) || fifo_pop(&r->out, out);
}

/* ---- start and recovery ---- */

void
registry_load_epoch(struct registry *r, uint32_t vni, const struct mac *mac,
    uint64_t epoch, uint64_t migration_id, uint64_t now_us)
{
    r->now_us = now_us;
    if (vni) {
        reg_dead_load(r, vni, mac, epoch, migration_id);
    } else if (epoch > r->next_epoch) {
        r->next_epoch = r->epoch_limit = epoch;
    }
}

static uint32_t
nve_get(struct registry *r, const char *name)
{
    uint32_t hash = map_hash(&r->by_nve, name, strlen(name));
    uint32_t h = map_find(&r->by_nve, hash, name);
    if (h || !*name || strlen(name) >= REG_NAME_SIZE)
        return h;
    if (!(h = slab_get(&r->nves)))
        return 0;
    struct reg_nve *n = reg_nve(r, h);
    strcpy(n->name, name);
    fifo_init(&n->inflight, sizeof(struct reg_inflight));
    map_add(&r->by_nve, hash, h);
    return h;
}

void
registry_load_nve(struct registry *r, const char *name)
{
    uint32_t h = nve_get(r, name);
    if (h && !reg_nve(r, h)->known) {
        reg_nve(r, h)->known = 1;
        r->n_known_left++;
    }
}

static void
recovered(struct registry *r)
{
    if (!r->recovering)
        return;
    r->recovering = false;
    timers_clear(&r->timers, &r->t_recover);
    log_note("registry", "recovered: mappings=%u known_nves_missing=%u", r->n_live,
        r->n_known_left);
    reg_claims_run(r);
    reg_key_owed(r);
    reg_snaps_owed(r);
}

void
registry_loaded(struct registry *r, uint64_t now_us)
{
    r->now_us = now_us;
    r->loaded = true;
    r->leap_from = r->next_epoch;
    r->leap_us = now_us;
    reg_hwm_raise(r, r->next_epoch);
    r->recovering = r->n_known_left > 0;
    if (r->recovering)
        timers_set(
            &r->timers, &r->t_recover, now_us + r->conf.recover_us, REG_T_RECOVER, 0);
}

bool
registry_recovering(const struct registry *r)
{
    return r->recovering;
}

void
registry_stored(struct registry *r, uint32_t id, int status, uint64_t now_us)
{
    r->now_us = now_us;
    if (id == 0 || id != r->hwm_id)
        return;
    if (status != 0) {
        log_err("registry", "high-water mark not stored: %d, no epochs are granted",
            status);
        timers_set(&r->timers, &r->t_hwm, now_us + HWM_RETRY_US, REG_T_HWM, 0);
        return;
    }
    r->hwm_id = 0;
    r->epoch_limit = r->hwm_want;
    reg_claims_run(r);
}

/* ---- sessions ---- */

struct reg_nve *
reg_nve_live(const struct registry *r, uint32_t nve)
{
    if (nve == 0 || nve > r->nves.pool.top || !(r->nves.live[nve / 8] & 1u << nve % 8))
        return NULL;
    struct reg_nve *n = reg_nve(r, nve);
    return n->up ? n : NULL;
}

uint32_t
registry_nve_of(const struct registry *r, const struct ip *vtep)
{
    uint32_t h = map_find(&r->by_vtep, map_hash(&r->by_vtep, vtep, sizeof *vtep), vtep);
    return h && reg_nve(r, h)->up ? h : 0;
}

static void
nve_place(struct registry *r, uint32_t h, const struct ip *vtep)
{
    struct reg_nve *n = reg_nve(r, h);
    if (!ip_is_none(&n->vtep))
        map_del(&r->by_vtep, map_hash(&r->by_vtep, &n->vtep, sizeof n->vtep), h);
    n->vtep = *vtep;
    if (!ip_is_none(vtep))
        map_add(&r->by_vtep, map_hash(&r->by_vtep, vtep, sizeof *vtep), h);
}

/* Ends its mappings (all, or those that this session has not named) and the memberships
 * that only lingered. */
static void
nve_expire(struct registry *r, uint32_t h, bool all)
{
    struct reg_nve *n = reg_nve(r, h);
    for (uint32_t i = n->owned, next; i; i = next) {
        next = reg_ent(r, i)->onext;
        if (all || reg_ent(r, i)->gen != n->gen) {
            reg_kill(r, i);
            r->counters[REGC_EXPIRED]++;
        }
    }
    if (all)
        reg_resv_void(r, &n->vtep, -1);
    for (uint32_t i = n->parts, next; i; i = next) {
        next = reg_part(r, i)->nnext;
        reg_part(r, i)->linger = 0;
        /* May sweep parts that left, but of this NVE only this one is in this VN. */
        reg_part_update(r, i);
    }
}

static void
nve_stop(struct registry *r, uint32_t h, bool linger)
{
    struct reg_nve *n = reg_nve(r, h);
    for (uint32_t i = n->parts; i; i = reg_part(r, i)->nnext)
        reg_part(r, i)->linger = linger && reg_part(r, i)->member;
    reg_nve_quiet(r, h);
    n->up = n->complete = 0;
}

uint32_t
registry_nve_up(struct registry *r, const char *name, const struct ip *vtep,
    bool foreign, uint64_t now_us)
{
    r->now_us = now_us;
    uint32_t other =
        map_find(&r->by_vtep, map_hash(&r->by_vtep, vtep, sizeof *vtep), vtep);
    uint32_t h = nve_get(r, name);
    if (!h || ip_is_none(vtep) || (other && other != h && reg_nve(r, other)->up))
        return 0;
    if (other && other != h) { /* it was renamed: what the old name owned is gone */
        struct ip none = {{0}};
        nve_expire(r, other, true);
        nve_place(r, other, &none);
    }
    struct reg_nve *n = reg_nve(r, h);
    if (n->up)
        nve_stop(r, h, true);
    if (!ip_equal(&n->vtep, vtep)) {
        nve_expire(r, h, true); /* its mappings named a place where nobody is */
        reg_nve_moved(r, h);
        nve_place(r, h, vtep);
    }
    n->up = 1;
    n->foreign = foreign;
    n->complete = foreign;
    n->gen++;
    /* What this session does not name again by then is gone, end of registration or
     * not. */
    timers_set(&r->timers, &n->stale, now_us + r->conf.stale_us, REG_T_STALE, h);
    reg_nve_join(r, h);
    if (!n->known && !foreign) {
        n->known = 1;
        if (r->recovering)
            r->n_known_left++;
        struct registry_out *o = reg_out(r, REG_STORE, 0);
        o->store = REG_STORE_NVE;
        o->name = n->name;
    }
    return h;
}

void
registry_nve_down(struct registry *r, uint32_t nve, uint64_t now_us)
{
    r->now_us = now_us;
    struct reg_nve *n = reg_nve_live(r, nve);
    if (!n)
        return;
    nve_stop(r, nve, true);
    timers_set(&r->timers, &n->stale, now_us + r->conf.stale_us, REG_T_STALE, nve);
}

void
registry_nve_bye(struct registry *r, uint32_t nve, uint64_t now_us)
{
    r->now_us = now_us;
    if (!reg_nve_live(r, nve))
        return;
    nve_stop(r, nve, false);
    nve_expire(r, nve, true);
}

void
registry_nve_blocked(struct registry *r, uint32_t nve, bool blocked)
{
    struct reg_nve *n = reg_nve_live(r, nve);
    if (!n)
        return;
    n->blocked = blocked;
    reg_nve_ready(r, nve);
}

void
registry_register_end(struct registry *r, uint32_t nve, uint64_t now_us)
{
    r->now_us = now_us;
    struct reg_nve *n = reg_nve_live(r, nve);
    if (!n || n->complete)
        return;
    n->complete = 1;
    for (uint32_t h = n->owned, next; h; h = next) {
        next = reg_ent(r, h)->onext;
        if (reg_ent(r, h)->gen != n->gen) {
            reg_kill(r, h);
            r->counters[REGC_WITHDRAWN]++;
        }
    }
    reg_resv_void(r, &n->vtep, n->gen);
    reg_resv_tell_owner(r, nve);
    /* Memberships of before wait for this session's subscriptions until T_stale. */
    timers_set(&r->timers, &n->stale, now_us + r->conf.stale_us, REG_T_STALE, nve);
    if (r->recovering && n->known == 1) {
        n->known = 2; /* counted */
        if (--r->n_known_left == 0)
            recovered(r);
    }
}

/* ---- pull (K8, S4-31 to S4-33) ---- */

void
reg_rec(const struct registry *r, uint32_t h, struct mapping_rec *rec)
{
    const struct reg_ent *en = reg_ent(r, h);
    keytab_rec(&r->keys, h, rec);
    rec->epoch = en->epoch;
    rec->migration_id = en->migration_id;
    rec->vsi = en->vsi;
    rec->owner = en->nve ? reg_nve(r, en->nve)->vtep : (struct ip){{0}};
}

enum registry_answer
registry_peek(const struct registry *r, uint32_t vni, const struct mac *mac,
    const struct ip *ip, struct mapping_rec *rec, uint32_t *owner)
{
    uint32_t h =
        mac ? keytab_find(&r->keys, vni, mac) : keytab_holder(&r->keys, vni, ip);
    if (h && reg_ent(r, h)->flags & ENT_LIVE) {
        reg_rec(r, h, rec);
        if (owner)
            *owner = reg_ent(r, h)->nve;
        return REG_FOUND;
    }
    uint32_t vn = reg_vn_find(r, vni);
    if (!vn || reg_vn(r, vn)->rec.deleted)
        return REG_UNKNOWN_VN;
    return r->recovering ? REG_LATER : REG_ABSENT;
}

static bool
who_has_token(struct registry *r)
{
    uint64_t full = r->who_has_us > r->now_us ? r->who_has_us : r->now_us;
    if (full + WHO_HAS_FILL_US > r->now_us + (uint64_t)WHO_HAS_BURST * WHO_HAS_FILL_US)
        return false;
    r->who_has_us = full + WHO_HAS_FILL_US;
    return true;
}

/* Some VSIs of the VN have no known addresses: one of them may be it (K8). Asks the
 * NVEs that hold such VSIs once in a while; true as long as their silence is not an
 * answer. */
static bool
who_has(struct registry *r, uint32_t vni, const struct ip *ip)
{
    const struct reg_vn *v = reg_vn(r, reg_vn_find(r, vni));
    if ((ip_is_v4(ip) ? v->n_no4 : v->n_no6) == 0)
        return false;
    struct {
        uint32_t vni;
        struct ip ip;
    } k = {vni, *ip};
    struct reg_asked *a = &r->asked[map_hash(&r->by_vni, &k, sizeof k) % REG_ASKED_N];
    bool same = a->vni == vni && ip_equal(&a->ip, ip);
    if (same && r->now_us - a->at_us < ASKED_WAIT_US)
        return true;
    if (same && r->now_us - a->at_us < ASKED_REPEAT_US)
        return false;
    *a = (struct reg_asked){.vni = vni, .ip = *ip, .at_us = r->now_us};
    for (uint32_t h = v->parts.head; h; h = reg_part(r, h)->next) {
        const struct reg_part *p = reg_part(r, h);
        const struct reg_nve *n = reg_nve(r, p->nve);
        if (!p->n_maps || !n->up || n->foreign || !who_has_token(r))
            continue;
        struct registry_out *o = reg_out(r, REG_WHO_HAS, p->nve);
        o->rec.vni = vni;
        o->rec.ips[0] = *ip;
        o->rec.n_ips = 1;
        r->counters[REGC_WHO_HAS]++;
    }
    return true;
}

enum registry_answer
registry_lookup(struct registry *r, uint32_t asker, uint32_t vni, const struct mac *mac,
    const struct ip *ip, struct mapping_rec *rec, uint32_t *owner, uint64_t now_us)
{
    r->now_us = now_us;
    r->counters[REGC_LOOKUPS]++;
    enum registry_answer a = registry_peek(r, vni, mac, ip, rec, owner);
    if (a == REG_UNKNOWN_VN)
        return a;
    if (a == REG_ABSENT && !mac && who_has(r, vni, ip))
        a = REG_LATER;
    const struct reg_nve *n = reg_nve_live(r, asker);
    if (n && !n->foreign) {
        /* A subscriber of the VN hears of all that appears; only an owed no is extra.
         */
        uint32_t part = reg_part_find(r, reg_vn_find(r, vni), asker);
        bool owed = a == REG_LATER && r->recovering;
        if (owed || !part || reg_part(r, part)->subscribed != REG_SUB_ALL)
            reg_key_sub(r, asker, vni, mac, ip, owed);
    }
    if (a == REG_ABSENT)
        r->counters[REGC_NEGATIVES]++;
    return a;
}

/* ---- time ---- */

uint64_t
registry_deadline(const struct registry *r)
{
    return timers_deadline(&r->timers);
}

void
registry_tick(struct registry *r, uint64_t now_us)
{
    uint32_t kind, ref;
    r->now_us = now_us;
    while (timers_pop(&r->timers, now_us, &kind, &ref)) {
        switch ((enum reg_timer)kind) {
        case REG_T_RECOVER:
            recovered(r);
            break;
        case REG_T_FORGET:
            reg_forget_due(r);
            break;
        case REG_T_STALE:
            nve_expire(r, ref, !reg_nve(r, ref)->up);
            break;
        case REG_T_RESV:
            reg_resv_end(r, ref);
            break;
        case REG_T_HWM:
            r->hwm_id = 0;
            reg_hwm_raise(r, r->hwm_want - REG_EPOCH_BLOCK);
            break;
        case REG_T_GATE:
            reg_gate_open(r, ref);
            break;
        }
    }
}

/* ---- walks ---- */

bool
registry_each_mapping(
    const struct registry *r, uint32_t *it, struct registry_map_view *v)
{
    uint32_t h;
    while ((h = keytab_each(&r->keys, it)) && !(reg_ent(r, h)->flags & ENT_LIVE))
        continue;
    if (!h)
        return false;
    const struct reg_ent *en = reg_ent(r, h);
    const struct reg_vn *vn = reg_vn(r, reg_vn_find(r, en->key.vni));
    reg_rec(r, h, &v->rec);
    v->nve = en->nve;
    v->stale = !reg_nve(r, en->nve)->up;
    v->unconfirmed = 0;
    v->rival = (struct ip){{0}};
    v->frozen_s = reg_damp_frozen(r, h, &v->rival);
    for (uint32_t i = vn->n_subs ? vn->parts.head : 0; i; i = reg_part(r, i)->next)
        if (reg_part(r, i)->subscribed && reg_part(r, i)->nve != en->nve &&
            reg_part(r, i)->acked < en->change)
            v->unconfirmed = 1;
    return true;
}

bool
registry_each_nve(const struct registry *r, uint32_t *it, struct registry_nve_view *v)
{
    uint32_t h = slab_each(&r->nves, it);
    if (!h)
        return false;
    const struct reg_nve *n = reg_nve(r, h);
    *v = (struct registry_nve_view){
        .name = n->name,
        .vtep = n->vtep,
        .number = h,
        .n_mappings = n->n_maps,
        .n_key_subs = n->n_key_subs,
        .n_unacked = n->inflight.n,
        .up = n->up,
        .complete = n->complete,
        .blocked = n->blocked,
        .seq = n->seq,
        .acked = n->acked,
    };
    for (uint32_t i = n->parts; i; i = reg_part(r, i)->nnext)
        v->n_vns += reg_part(r, i)->vn != r->all && reg_part(r, i)->member;
    return true;
}

const struct vn_rec *
registry_each_vn(const struct registry *r, uint32_t *it)
{
    uint32_t h;
    while ((h = slab_each(&r->vns, it)) && reg_vn(r, h)->rec.deleted)
        continue;
    return h ? &reg_vn(r, h)->rec : NULL;
}

uint64_t
registry_counter(const struct registry *r, unsigned c)
{
    return c < REGC_N ? r->counters[c] : 0;
}

const char *
registry_counter_name(unsigned c)
{
    static const char *const names[] = {
#define X(sym, name, help) name,
        REGISTRY_COUNTERS(X)
#undef X
    };
    return c < REGC_N ? names[c] : "?";
}

uint32_t
registry_count(const struct registry *r)
{
    return r->n_live;
}

size_t
registry_bytes(const struct registry *r)
{
    return keytab_bytes(&r->keys);
}
