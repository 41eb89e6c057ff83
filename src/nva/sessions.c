/* SPDX-License-Identifier: Apache-2.0 */
/* The sessions of NVEs (K5): one lisp_session server per accepted stream. Entries that
 * come in become verbs of the registry, what the registry has to say goes out in
 * frames; this file only translates. The registry numbers its pushes per NVE from 1 at
 * each session, as the session does: the difference is kept, so that neither depends on
 * it.
 *
 * A stream that takes no more octets is marked blocked: its machine is not pulled, the
 * registry holds back what it would push, and silence beyond the hold time ends it. */
#include "nva/node_int.h"
#include "base/log.h"
#include "node/lisp_record.h"
#include "proto/lisp_session.h"
#include <string.h>

struct session {
    uint64_t conn;
    struct lisp_session *machine;
    struct ip peer, vtep;
    char name[LISP_RT_NAME + 1];
    uint32_t nve; /* the registry's number; 0 before authentication and after the end */
    uint32_t next;
    uint64_t since_us;
    uint64_t
        ahead; /* number of the registry minus number of the session, modulo 2^64 */
    bool dirty, blocked, closed;
    struct timer timer;
};
struct sessions {
    struct nva *n;
    struct pool pool;
    struct map by_conn;
    uint32_t *by_nve, n_by_nve;
    uint32_t top; /* highest handle given so far: bound of walks */
    uint8_t *live;
    uint32_t live_size;
    uint32_t head, tail; /* to be pulled */
    struct timers timers;
    uint64_t counters[LISP_SC_N]; /* of sessions that are gone */
    uint64_t refused;
    struct fifo closing; /* of uint64_t: streams for which there was no room */
};

static struct session *
session_at(const struct sessions *s, uint32_t h)
{
    return pool_at(&s->pool, h);
}

static bool
conn_eq(const void *ctx, uint32_t h, const void *key)
{
    return session_at(ctx, h)->conn == *(const uint64_t *)key;
}

struct sessions *
sessions_new(struct nva *n)
{
    struct sessions *s = mem_alloc(sizeof *s);
    s->n = n;
    pool_init(&s->pool, sizeof(struct session), n->settings[NVA_SET_MAX_STREAMS]);
    map_init(&s->by_conn, conn_eq, s, rng_next(&n->rng));
    timers_init(&s->timers);
    fifo_init(&s->closing, sizeof(uint64_t));
    return s;
}

static uint32_t
session_of(const struct sessions *s, uint64_t conn)
{
    return map_find(&s->by_conn, map_hash(&s->by_conn, &conn, sizeof conn), &conn);
}

static uint32_t
session_of_nve(const struct sessions *s, uint32_t nve)
{
    return nve < s->n_by_nve ? s->by_nve[nve] : 0;
}

bool
sessions_is_up(const struct sessions *s, uint32_t nve)
{
    return session_of_nve(s, nve) != 0;
}

struct ip
sessions_vtep(const struct sessions *s, uint32_t nve)
{
    uint32_t h = session_of_nve(s, nve);
    return h ? session_at(s, h)->vtep : (struct ip){0};
}

static void
nve_set(struct sessions *s, uint32_t nve, uint32_t h)
{
    if (nve >= s->n_by_nve) {
        uint32_t n = nve + 64;
        s->by_nve = mem_grow(s->by_nve, n * sizeof *s->by_nve);
        memset(s->by_nve + s->n_by_nve, 0, (n - s->n_by_nve) * sizeof *s->by_nve);
        s->n_by_nve = n;
    }
    s->by_nve[nve] = h;
}

static void
dirty(struct sessions *s, uint32_t h)
{
    struct session *x = session_at(s, h);
    if (x->dirty)
        return;
    x->dirty = true;
    x->next = 0;
    if (s->tail)
        session_at(s, s->tail)->next = h;
    else
        s->head = h;
    s->tail = h;
}

static void
session_free(struct sessions *s, uint32_t h)
{
    struct session *x = session_at(s, h);
    for (unsigned i = 0; i < LISP_SC_N; i++)
        s->counters[i] += lisp_session_counter(x->machine, i);
    lisp_session_free(x->machine);
    timers_clear(&s->timers, &x->timer);
    map_del(&s->by_conn, map_hash(&s->by_conn, &x->conn, sizeof x->conn), h);
    s->live[h] = 0;
    pool_put(&s->pool, h);
}

void
sessions_free(struct sessions *s)
{
    if (!s)
        return;
    for (uint32_t h = 1; h <= s->top; h++)
        if (s->live[h])
            session_free(s, h);
    map_done(&s->by_conn);
    pool_done(&s->pool);
    timers_done(&s->timers);
    fifo_done(&s->closing);
    mem_free(s->by_nve);
    mem_free(s->live);
    mem_free(s);
}

/* ---- streams ---- */

static void
open_stream(struct sessions *s, const struct nva_in *in)
{
    struct nva *n = s->n;
    uint32_t h = in->size >= LISP_RT_NONCE && !n->stopping ? pool_get(&s->pool) : 0;
    if (!h) {
        char t[IP_STR];
        s->refused++;
        log_warn("nva", "peer=%s refused: %u sessions stand already",
            ip_str(&in->from, t), s->pool.n);
        *(uint64_t *)fifo_push(&s->closing) = in->conn;
        return;
    }
    if (h >= s->live_size) {
        uint32_t size = h + 64;
        s->live = mem_grow(s->live, size);
        memset(s->live + s->live_size, 0, size - s->live_size);
        s->live_size = size;
    }
    s->live[h] = 1;
    s->top = h > s->top ? h : s->top;
    struct lisp_session_conf c = {.id = n->name,
        .incarnation = n->conf.incarnation,
        .seed = rng_next(&n->rng),
        .dialect = n->dialect};
    c.settings[LISP_SESSION_HOLD_US] = n->settings[NVA_SET_HOLD_US];
    c.settings[LISP_SESSION_HANDSHAKE_US] = n->settings[NVA_SET_HANDSHAKE_US];
    c.settings[LISP_SESSION_OUT_MAX] = n->settings[NVA_SET_BACKLOG];
    struct session *x = session_at(s, h);
    x->conn = in->conn;
    x->peer = in->from;
    x->since_us = n->now_us;
    x->machine = lisp_session_new_server(&c, in->p, n->now_us);
    map_add(&s->by_conn, map_hash(&s->by_conn, &x->conn, sizeof x->conn), h);
    timers_set(&s->timers, &x->timer, lisp_session_deadline(x->machine), 0, h);
}

static void
block(struct sessions *s, uint32_t h, bool blocked)
{
    struct session *x = session_at(s, h);
    if (x->blocked == blocked)
        return;
    x->blocked = blocked;
    if (x->nve)
        registry_nve_blocked(s->n->reg, x->nve, blocked);
    if (!blocked)
        dirty(s, h);
}

void
sessions_stream(struct sessions *s, const struct nva_in *in)
{
    if (in->type == NVA_IN_STREAM_OPEN) {
        open_stream(s, in);
        return;
    }
    uint32_t h = session_of(s, in->conn);
    if (!h)
        return; /* it ended a moment ago */
    struct session *x = session_at(s, h);
    switch ((enum nva_in_type)in->type) {
    case NVA_IN_STREAM_DATA:
        lisp_session_input(x->machine, in->p, in->size, s->n->now_us);
        break;
    case NVA_IN_STREAM_CLOSED:
        x->closed = true;
        x->blocked = false;
        lisp_session_closed(x->machine, s->n->now_us);
        break;
    case NVA_IN_STREAM_BLOCKED:
    case NVA_IN_STREAM_DRAINED:
        block(s, h, in->type == NVA_IN_STREAM_BLOCKED);
        return;
    default:
        return;
    }
    dirty(s, h);
}

void
sessions_stop(struct sessions *s)
{
    for (uint32_t h = 1; h <= s->top; h++)
        if (s->live[h]) {
            session_at(s, h)->blocked = false;
            lisp_session_stop(
                session_at(s, h)->machine, LISP_RT_R_SHUTDOWN, s->n->now_us);
            dirty(s, h);
        }
}

uint64_t
sessions_deadline(const struct sessions *s)
{
    return timers_deadline(&s->timers);
}

void
sessions_tick(struct sessions *s)
{
    uint32_t kind, h;
    while (timers_pop(&s->timers, s->n->now_us, &kind, &h)) {
        struct session *x = session_at(s, h);
        uint64_t due = lisp_session_deadline(x->machine);
        if (due > s->n->now_us) { /* something came in since: look again then */
            timers_set(&s->timers, &x->timer, due, 0, h);
            continue;
        }
        lisp_session_tick(x->machine, s->n->now_us);
        if (!lisp_session_is_up(x->machine))
            x->blocked = false; /* cut: let it say so */
        timers_set(&s->timers, &x->timer, lisp_session_deadline(x->machine), 0, h);
        dirty(s, h);
    }
}

/* ---- from the NVE ---- */

static uint8_t
reason_of(uint8_t registry_reason)
{
    switch ((enum registry_reason)registry_reason) {
    case REG_STALE:
        return LISP_RT_R_STALE;
    case REG_CONFLICT:
        return LISP_RT_R_CONFLICT;
    case REG_NO_VN:
        return LISP_RT_R_NO_VN;
    case REG_FULL:
        return LISP_RT_R_FULL;
    case REG_NOT_READY:
        return LISP_RT_R_NOT_READY;
    case REG_NOT_OWNER:
        return LISP_RT_R_NOT_OWNER;
    case REG_POLICY:
        return LISP_RT_R_POLICY;
    case REG_OK:
    case REG_N_REASONS:
        break;
    }
    return LISP_RT_R_NONE;
}

static void
reject(struct session *x, uint64_t ref, uint8_t reason)
{
    struct lisp_rt_answer a = {.ref = ref, .reason = reason};
    if (ref)
        lisp_session_reject(x->machine, &a);
}

/* A key that names the NVE goes before "*". */
static const char *
secret_of(const struct nva *n, const char *nve)
{
    const char *any = NULL;
    for (uint32_t i = 0; i < n->conf.n_keys; i++) {
        if (!strcmp(n->keys[i].nve, nve))
            return n->keys[i].secret;
        if (!strcmp(n->keys[i].nve, "*"))
            any = n->keys[i].secret;
    }
    return any;
}

static void
authenticated(struct sessions *s, uint32_t h, const struct lisp_session_event *ev)
{
    struct nva *n = s->n;
    struct session *x = session_at(s, h);
    char t[IP_STR], v[IP_STR];
    strncpy(x->name, ev->id, LISP_RT_NAME);
    x->vtep = ev->vtep;
    uint32_t nve = registry_nve_up(n->reg, x->name, &x->vtep, false, n->now_us);
    if (!nve && foreign_yield(n->foreign, &x->vtep))
        nve = registry_nve_up(n->reg, x->name, &x->vtep, false, n->now_us);
    if (!nve) {
        bool taken = registry_nve_of(n->reg, &x->vtep) != 0;
        log_err("nva", "nve=%s vtep=%s refused: %s", x->name, ip_str(&x->vtep, v),
            taken ? "another NVE with this tunnel endpoint is connected"
                  : "no room: raise max_nves");
        lisp_session_stop(
            x->machine, taken ? LISP_RT_R_CONFLICT : LISP_RT_R_FULL, n->now_us);
        return;
    }
    uint32_t old = session_of_nve(s, nve);
    if (old) { /* the newer one wins: the old is likely a stream that nobody reads */
        struct session *o = session_at(s, old);
        o->nve = 0;
        o->blocked = false;
        lisp_session_stop(o->machine, LISP_RT_R_REPLACED, n->now_us);
        dirty(s, old);
    }
    x->nve = nve;
    x->ahead = 0;
    x->since_us = n->now_us;
    nve_set(s, nve, h);
    log_note("nva", "nve=%s vtep=%s peer=%s connected", x->name, ip_str(&x->vtep, v),
        ip_str(&x->peer, t));
}

static void
registered(struct sessions *s, struct session *x, const struct lisp_session_event *ev)
{
    struct mapping_rec rec;
    if (!lisp_record_mapping(&ev->record, &rec) || !ev->record.n_rlocs ||
        !ev->record.ttl_min) {
        reject(x, ev->ref, LISP_RT_R_MALFORMED);
    } else if (!ip_equal(&rec.owner, &x->vtep)) {
        reject(x, ev->ref, LISP_RT_R_POLICY); /* it speaks for itself alone */
    } else {
        registry_register(s->n->reg, x->nve, ev->ref, &rec, ev->flags & LISP_RT_F_CLAIM,
            ev->flags & LISP_RT_F_REFRESH, s->n->now_us);
    }
}

static void
withdrawn(struct sessions *s, struct session *x, const struct lisp_session_event *ev)
{
    struct mapping_rec rec = {
        .vni = ev->eid.vni, .mac = ev->eid.mac, .owner = ev->owner, .epoch = ev->epoch};
    if (ev->eid.kind != LISP_EID_MAC)
        reject(x, ev->ref, LISP_RT_R_MALFORMED);
    else if (!ip_equal(&ev->owner, &x->vtep))
        reject(x, ev->ref, LISP_RT_R_NOT_OWNER);
    else
        registry_withdraw(s->n->reg, x->nve, ev->ref, &rec, s->n->now_us);
}

static void
undirty(struct sessions *s, uint32_t h)
{
    struct session *x = session_at(s, h);
    s->head = x->next;
    if (!s->head)
        s->tail = 0;
    x->next = 0;
    x->dirty = false;
}

/* The machine is finished. It is the one that is being pulled: the first in line. */
static void
closed(struct sessions *s, uint32_t h, uint8_t reason)
{
    struct session *x = session_at(s, h);
    if (x->nve) {
        /* However it ended, its pinned data plane may forward on: stale, not gone
         * (K11). */
        log_note("nva", "nve=%s lost: %s", x->name, lisp_rt_reason_str(reason));
        nve_set(s, x->nve, 0);
        registry_nve_down(s->n->reg, x->nve, s->n->now_us);
    }
    undirty(s, h);
    session_free(s, h);
}

static void
event(struct sessions *s, uint32_t h, const struct lisp_session_event *ev)
{
    struct nva *n = s->n;
    struct session *x = session_at(s, h);
    enum lisp_session_event_type type = ev->type;
    if (type == LISP_SEV_NEED_KEY) {
        const char *secret = secret_of(n, ev->id);
        if (!secret)
            log_warn(
                "nva", "nve=%.63s refused: no key for it, and none for \"*\"", ev->id);
        lisp_session_key(x->machine, (const uint8_t *)secret,
            secret ? strlen(secret) : 0, n->now_us);
        return;
    }
    if (type == LISP_SEV_AUTHENTICATED) {
        authenticated(s, h, ev);
        return;
    }
    if (type == LISP_SEV_CLOSED) {
        closed(s, h, ev->reason);
        return;
    }
    if (!x->nve)
        return; /* refused or replaced: nothing of it counts any more */
    switch (type) {
    case LISP_SEV_REGISTER:
        registered(s, x, ev);
        break;
    case LISP_SEV_REGISTER_END:
        registry_register_end(n->reg, x->nve, n->now_us);
        break;
    case LISP_SEV_WITHDRAW:
        withdrawn(s, x, ev);
        break;
    case LISP_SEV_SUBSCRIBE:
        registry_subscribe(n->reg, x->nve, ev->vni, n->now_us);
        break;
    case LISP_SEV_WATCH:
        registry_watch(n->reg, x->nve, ev->vni, n->now_us);
        break;
    case LISP_SEV_UNSUBSCRIBE:
        registry_unsubscribe(n->reg, x->nve, ev->vni, n->now_us);
        break;
    case LISP_SEV_RESERVE: {
        struct mapping_rec rec = {.vni = ev->vni,
            .mac = ev->mac,
            .vsi = ev->vsi,
            .owner = x->vtep,
            .epoch = ev->epoch,
            .migration_id = ev->migration_id};
        registry_reserve(n->reg, x->nve, ev->ref, &rec, n->now_us);
        break;
    }
    case LISP_SEV_SEQ_ACK:
        registry_ack(n->reg, x->nve, ev->seq + x->ahead, n->now_us);
        break;
    case LISP_SEV_VN_LOOKUP:
        registry_vn_lookup(n->reg, x->nve, ev->ref, ev->vn.vni, ev->vn.name);
        break;
    case LISP_SEV_NEED_KEY:
    case LISP_SEV_AUTHENTICATED:
    case LISP_SEV_CLOSED:
    case LISP_SEV_UP:
    case LISP_SEV_DOWN:
    case LISP_SEV_ACK:
    case LISP_SEV_REJECT:
    case LISP_SEV_GRANT:
    case LISP_SEV_SNAPSHOT_BEGIN:
    case LISP_SEV_SNAPSHOT_END:
    case LISP_SEV_NOTIFY:
    case LISP_SEV_MEMBER:
    case LISP_SEV_VN:
    case LISP_SEV_CONFIRM:
    case LISP_SEV_WHO_HAS:
    case LISP_SEV_RESERVED:
    case LISP_SEV_N:
        break; /* the client's */
    }
}

/* ---- from the registry ---- */

static uint32_t
minutes(uint64_t us)
{
    uint64_t m = (us + 59999999) / 60000000;
    return m ? (uint32_t)m : 1;
}

static void
notify(struct session *x, const struct registry_out *o)
{
    struct lisp_record rec;
    uint64_t seq = 0;
    if (o->type == REG_NEGATIVE) {
        memset(&rec, 0, sizeof rec);
        rec.eid = lisp_record_key(o->rec.vni, &o->rec.mac, &o->rec.ips[0]);
        rec.act = LISP_ACT_DROP;
        rec.ttl_min = minutes(o->hold_us);
        rec.authoritative = true;
    } else {
        lisp_record_of(&o->rec, NULL, &rec);
        rec.rlocs[0].vsi = 0; /* the authority's business alone */
        if (o->del)
            rec.ttl_min = 0;
        if (ip_is_none(&o->rec.owner))
            rec.n_rlocs = 0; /* withdrawn before we started: nobody knows by whom */
    }
    if (lisp_session_notify(x->machine, 0, &rec, &seq))
        x->ahead = o->seq - seq;
}

void
sessions_registry(struct sessions *s, const struct registry_out *o)
{
    uint32_t h = session_of_nve(s, o->nve);
    if (!h)
        return;
    struct session *x = session_at(s, h);
    struct lisp_session *m = x->machine;
    uint64_t seq = 0;
    struct lisp_eid eid;
    switch ((enum registry_out_type)o->type) {
    case REG_REGISTERED:
        lisp_session_ack(m, o->ref, o->rec.epoch, o->rec.migration_id);
        break;
    case REG_GRANT:
        lisp_session_grant(m, o->ref, o->rec.epoch, o->rec.migration_id);
        break;
    case REG_REJECT: {
        struct lisp_rt_answer a = {.ref = o->ref,
            .epoch = o->rec.epoch,
            .migration_id = o->rec.migration_id,
            .reason = reason_of(o->reason),
            .owner = o->rec.owner};
        lisp_session_reject(m, &a);
        break;
    }
    case REG_CONFIRM:
        eid = lisp_eid_mac(o->rec.vni, &o->rec.mac);
        lisp_session_confirm(m, &eid, o->rec.epoch);
        break;
    case REG_NOTIFY:
    case REG_NEGATIVE:
        notify(x, o);
        break;
    case REG_SNAPSHOT:
        if (lisp_session_snapshot(m, o->rec.vni, !o->del, &seq))
            x->ahead = o->seq - seq;
        break;
    case REG_MEMBER:
        if (lisp_session_member(m, o->rec.vni, &o->rec.owner, o->del, &seq))
            x->ahead = o->seq - seq;
        break;
    case REG_VN: {
        struct lisp_rt_vn vn;
        if (o->ref && o->reason != REG_OK) {
            reject(x, o->ref, reason_of(o->reason));
            break;
        }
        lisp_record_vn_of(&o->vn, o->ref, &vn);
        lisp_session_vn_record(m, &vn);
        break;
    }
    case REG_WHO_HAS:
        eid = lisp_eid_ip(o->rec.vni, &o->rec.ips[0]);
        lisp_session_who_has(m, &eid);
        break;
    case REG_RESERVED: {
        struct lisp_rt_reserved v = {.epoch = o->rec.epoch,
            .migration_id = o->rec.migration_id,
            .vni = o->rec.vni,
            .mac = o->rec.mac,
            .target = o->rec.owner};
        lisp_session_reserved(m, &v, o->del);
        break;
    }
    case REG_STORE:
        break;
    }
    if (!lisp_session_is_up(m))
        x->blocked = false; /* cut, because it does not read: let it end */
    dirty(s, h);
}

/* ---- output ---- */

enum pulled
sessions_output(struct sessions *s, struct nva_out *out)
{
    struct lisp_session_out o;
    uint32_t h = s->head;
    if (fifo_pop(&s->closing, &out->conn)) {
        out->type = NVA_OUT_STREAM_CLOSE;
        return PULLED_OUT;
    }
    if (!h)
        return PULLED_NOTHING;
    struct session *x = session_at(s, h);
    if (x->blocked || !lisp_session_output(x->machine, &o)) {
        undirty(s, h);
        uint64_t due = lisp_session_deadline(x->machine);
        if (due < timers_when(&s->timers, &x->timer))
            timers_set(&s->timers, &x->timer, due, 0, h);
        return PULLED_MORE;
    }
    switch ((enum lisp_session_out_type)o.type) {
    case LISP_SOUT_SEND:
        lisp_session_written(x->machine, o.size, s->n->now_us);
        if (x->closed)
            return PULLED_MORE;
        out->type = NVA_OUT_STREAM_DATA;
        out->conn = x->conn;
        out->p = o.bytes;
        out->size = (uint32_t)o.size;
        return PULLED_OUT;
    case LISP_SOUT_CLOSE:
        if (x->closed)
            return PULLED_MORE;
        x->closed = true;
        out->type = NVA_OUT_STREAM_CLOSE;
        out->conn = x->conn;
        return PULLED_OUT;
    case LISP_SOUT_EVENT:
        event(s, h, &o.event);
        return PULLED_MORE;
    case LISP_SOUT_CONNECT:
        break; /* the client's */
    }
    return PULLED_MORE;
}

/* ---- for people ---- */

bool
sessions_each(const struct sessions *s, uint32_t *it, struct session_view *v)
{
    uint32_t h = *it + 1;
    while (h <= s->top && !s->live[h])
        h++;
    if (h > s->top)
        return false;
    const struct session *x = session_at(s, h);
    *it = h;
    *v = (struct session_view){x->name, lisp_session_state_str(x->machine), x->peer,
        x->vtep, x->nve, x->blocked, x->since_us, lisp_session_backlog(x->machine)};
    return true;
}

bool
sessions_counter(const struct sessions *s, uint32_t *it, const char **group,
    const char **name, uint64_t *value, const char **help)
{
    uint32_t i = *it;
    *group = "session";
    *help = NULL;
    if (i == LISP_SC_N) {
        *name = "refused";
        *help = "streams refused because too many stand";
        *value = s->refused;
    } else if (i < LISP_SC_N) {
        *name = lisp_session_counter_name(i);
        *value = s->counters[i];
        for (uint32_t h = 1; h <= s->top; h++)
            if (s->live[h])
                *value += lisp_session_counter(session_at(s, h)->machine, i);
    } else {
        return false;
    }
    ++*it;
    return true;
}
