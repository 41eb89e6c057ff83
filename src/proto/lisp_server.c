/* SPDX-License-Identifier: Apache-2.0 */
/* The direct path is at the top: decode, let the node look up, encode; no state at all.
 * Below is the machine for registrations over UDP. It keeps per key the secret, per
 * (xTR-ID, site, key) the last nonce (RFC 9301 clause 5.6), and per unsolicited
 * notification its octets until they are acknowledged (clause 5.7). */
#include "proto/lisp_server.h"

#include "base/map.h"
#include "base/mem.h"

#include <string.h>

#define SECOND 1000000u
#define NOTIFY_STEADY                                                                  \
    3 /* repetitions at the same pause, then as many at doubled ones */
#define NOTIFY_TRIES (2 * NOTIFY_STEADY)
#define MESSAGE_MAX  65535
#define PACKET_MAX   1400 /* an unsolicited notification stays below any MTU */

const struct setting lisp_server_settings[LISP_SERVER_N_SETTINGS] = {
    {"server-max-xtrs",     16384,      16,     1048576,     "K19",
     "foreign xTRs whose nonces are kept"                                                                },
    {"server-max-keys",     1024,       1,      65536,       "K19",          "secrets by site and key id"},
    {"server-max-notifies", 1024,       1,      65536,       "K19",
     "notifications not yet acknowledged"                                                                },
    {"server-notify",       3 * SECOND, SECOND, 60 * SECOND, "RFC 9301 5.7",
     "pause before repeating one"                                                                        },
};

/* ---- the direct path ---- */

static enum lisp_server_kind
bad(struct lisp_query *q, enum lisp_err err)
{
    q->err = err;
    return LISP_SERVER_BAD;
}

/* Of the ITR-RLOCs the one that the question came from, else one of the same family. */
static bool
reply_address(const struct lisp_request *m, const struct ip *from, struct ip *to)
{
    int best = -1;
    for (int i = 0; i < m->n_itrs; i++) {
        if (ip_equal(&m->itrs[i], from)) {
            *to = *from;
            return true;
        }
        if (best < 0 && ip_is_v4(&m->itrs[i]) == ip_is_v4(from))
            best = i;
    }
    if (best >= 0)
        *to = m->itrs[best];
    return best >= 0;
}

enum lisp_server_kind
lisp_server_fast(const struct ip *from, uint16_t port, const uint8_t *in, size_t n,
    struct lisp_query *q)
{
    int type = lisp_type_of(in, n);
    enum lisp_err err;
    q->from = q->inner_src = q->inner_dst = *from;
    q->inner_sport = port;
    if (type == LISP_ECM) {
        struct lisp_ecm e;
        if ((err = lisp_ecm_decode(in, n, &e)))
            return bad(q, err);
        if (e.dport != LISP_PORT || e.ddt)
            return bad(q, LISP_ERR_UNSUPPORTED);
        q->inner_src = e.src;
        q->inner_dst = e.dst;
        q->inner_sport = e.sport;
        in = e.payload;
        n = e.size;
    } else if (type != LISP_MAP_REQUEST) {
        return LISP_SERVER_OTHER;
    }
    struct lisp_request m;
    if ((err = lisp_request_decode(in, n, &m)))
        return bad(q, err);
    /* Clause 5.2: a probe MUST be dropped here; an SMR is for ITRs, and D wants
     * silence. */
    if (m.probe || m.smr || m.no_reply)
        return bad(q, LISP_ERR_UNSUPPORTED);
    if (m.eids[0].kind != LISP_EID_IP && m.eids[0].kind != LISP_EID_MAC)
        return bad(q, LISP_ERR_EID);
    if (!reply_address(&m, from, &q->to))
        return bad(q, LISP_ERR_RLOC);
    q->eid = m.eids[0];
    q->nonce = m.nonce;
    q->port = q->inner_sport;
    q->probe = false;
    q->smr_invoked = m.smr_invoked;
    q->more = m.n_eids > 1;
    q->err = LISP_OK;
    q->request = in;
    q->request_size = n;
    return LISP_SERVER_QUERY;
}

size_t
lisp_server_reply(const struct lisp_query *q, const struct lisp_dialect *d,
    const struct lisp_record *record, uint8_t *out, size_t cap)
{
    struct lisp_reply m = {.nonce = q->nonce, .n_records = 1};
    return lisp_reply_encode(&m, record, d, out, cap);
}

size_t
lisp_server_negative(const struct lisp_query *q, const struct lisp_dialect *d,
    enum lisp_act act, uint32_t ttl_min, uint8_t *out, size_t cap)
{
    struct lisp_record rec;
    memset(&rec, 0, offsetof(struct lisp_record, rlocs));
    rec.eid = q->eid;
    rec.act = act;
    rec.ttl_min = ttl_min;
    return lisp_server_reply(q, d, &rec, out, cap);
}

size_t
lisp_server_forward(
    const struct lisp_query *q, const struct ip *owner, uint8_t *out, size_t cap)
{
    struct lisp_ecm e = {.src = q->inner_src,
        .dst = q->inner_dst,
        .sport = q->inner_sport,
        .dport = LISP_PORT,
        .payload = q->request,
        .size = q->request_size};
    /* A bare Map-Request has no inner destination of its own. */
    if (ip_equal(&e.src, &e.dst) && ip_is_v4(owner) == ip_is_v4(&e.src))
        e.dst = *owner;
    return lisp_ecm_encode(&e, out, cap);
}

/* ---- the machine ---- */

struct site_key {
    uint64_t site_id;
    struct lisp_key key;
};
struct xtr_name {
    uint8_t xtr_id[LISP_XTR_ID_SIZE];
    uint64_t site_id;
    uint64_t key_id; /* wide, so that there is no padding to hash */
};
struct xtr {
    struct xtr_name name;
    uint64_t nonce;
};
struct notice {
    uint64_t nonce, ref, site_id, pause_us;
    struct ip to;
    uint8_t key_id, tries;
    uint8_t *bytes;
    size_t size;
    struct timer timer;
};
struct lisp_server {
    struct lisp_server_conf conf;
    struct pool keys, xtrs, notices;
    struct map key_map, xtr_map, notice_map;
    struct timers timers;
    struct fifo outs;
    struct arena arena;
    /* the registration that waits for lisp_server_registered */
    struct lisp_server_register reg;
    bool reg_waits;
    uint8_t *in;
    size_t in_cap, in_n;
    uint64_t n_nonces;
    uint64_t counters[LISP_VC_N];
};

static bool
key_eq(const void *ctx, uint32_t handle, const void *key)
{
    const struct site_key *k =
        pool_at(&((const struct lisp_server *)ctx)->keys, handle);
    const uint64_t *want = key;
    return k->site_id == want[0] && k->key.id == want[1];
}

static bool
xtr_eq(const void *ctx, uint32_t handle, const void *key)
{
    const struct xtr *x = pool_at(&((const struct lisp_server *)ctx)->xtrs, handle);
    return memcmp(&x->name, key, sizeof x->name) == 0;
}

static bool
notice_eq(const void *ctx, uint32_t handle, const void *key)
{
    const struct notice *n =
        pool_at(&((const struct lisp_server *)ctx)->notices, handle);
    return n->nonce == *(const uint64_t *)key;
}

struct lisp_server *
lisp_server_new(const struct lisp_server_conf *conf, uint64_t now_us)
{
    (void)now_us;
    struct lisp_server *s = mem_alloc(sizeof *s);
    s->conf = *conf;
    uint64_t *set = s->conf.settings;
    for (unsigned i = 0; i < LISP_SERVER_N_SETTINGS; i++)
        if (!set[i])
            set[i] = lisp_server_settings[i].def;
    if (!s->conf.dialect.mac_afi)
        s->conf.dialect = lisp_dialect_default;
    pool_init(&s->keys, sizeof(struct site_key), set[LISP_SERVER_MAX_KEYS]);
    pool_init(&s->xtrs, sizeof(struct xtr), set[LISP_SERVER_MAX_XTRS]);
    pool_init(&s->notices, sizeof(struct notice), set[LISP_SERVER_MAX_NOTIFIES]);
    map_init(&s->key_map, key_eq, s, conf->seed);
    map_init(&s->xtr_map, xtr_eq, s, conf->seed + 1);
    map_init(&s->notice_map, notice_eq, s, conf->seed + 2);
    timers_init(&s->timers);
    fifo_init(&s->outs, sizeof(struct lisp_server_out));
    return s;
}

void
lisp_server_free(struct lisp_server *s)
{
    if (!s)
        return;
    uint32_t it = 0, handle;
    while ((handle = map_each(&s->notice_map, &it)))
        mem_free(((struct notice *)pool_at(&s->notices, handle))->bytes);
    map_done(&s->key_map);
    map_done(&s->xtr_map);
    map_done(&s->notice_map);
    pool_done(&s->keys);
    pool_done(&s->xtrs);
    pool_done(&s->notices);
    timers_done(&s->timers);
    fifo_done(&s->outs);
    arena_done(&s->arena);
    mem_free(s->in);
    mem_free(s);
}

/* ---- keys and nonces ---- */

static uint32_t
key_find(const struct lisp_server *s, uint64_t site_id, uint8_t key_id, uint32_t *hash)
{
    uint64_t name[2] = {site_id, key_id};
    *hash = map_hash(&s->key_map, name, sizeof name);
    return map_find(&s->key_map, *hash, name);
}

static const struct lisp_key *
key_of(const struct lisp_server *s, uint64_t site_id, uint8_t key_id)
{
    uint32_t hash, handle = key_find(s, site_id, key_id, &hash);
    return handle ? &((const struct site_key *)pool_at(&s->keys, handle))->key : NULL;
}

bool
lisp_server_key_set(struct lisp_server *s, uint64_t site_id, const struct lisp_key *key)
{
    uint32_t hash, handle = key_find(s, site_id, key->id, &hash);
    bool fresh = !handle;
    if (fresh && !(handle = pool_get(&s->keys)))
        return false;
    struct site_key *k = pool_at(&s->keys, handle);
    k->site_id = site_id;
    k->key = *key;
    if (fresh)
        map_add(&s->key_map, hash, handle);
    return true;
}

bool
lisp_server_key_del(struct lisp_server *s, uint64_t site_id, uint8_t key_id)
{
    uint32_t hash, handle = key_find(s, site_id, key_id, &hash);
    if (!handle)
        return false;
    map_del(&s->key_map, hash, handle);
    pool_put(&s->keys, handle);
    return true;
}

/* The place of the last nonce; made with nonce 0 when new; NULL: the table is full. */
static struct xtr *
xtr_at(struct lisp_server *s, const struct xtr_name *name, bool *fresh)
{
    uint32_t hash = map_hash(&s->xtr_map, name, sizeof *name);
    uint32_t handle = map_find(&s->xtr_map, hash, name);
    *fresh = !handle;
    if (*fresh) {
        handle = pool_get(&s->xtrs);
        if (!handle)
            return NULL;
        struct xtr *x = pool_at(&s->xtrs, handle);
        x->name = *name;
        map_add(&s->xtr_map, hash, handle);
    }
    return pool_at(&s->xtrs, handle);
}

static struct xtr_name
xtr_name_of(const uint8_t *xtr_id, uint64_t site_id, uint8_t key_id)
{
    struct xtr_name name = {.site_id = site_id, .key_id = key_id};
    if (xtr_id)
        memcpy(name.xtr_id, xtr_id, sizeof name.xtr_id);
    return name;
}

bool
lisp_server_nonce_set(struct lisp_server *s, const uint8_t xtr_id[LISP_XTR_ID_SIZE],
    uint64_t site_id, uint8_t key_id, uint64_t nonce)
{
    struct xtr_name name = xtr_name_of(xtr_id, site_id, key_id);
    bool fresh;
    struct xtr *x = xtr_at(s, &name, &fresh);
    if (!x)
        return false;
    x->nonce = nonce;
    return true;
}

/* ---- output ---- */

static struct lisp_server_out *
tell(struct lisp_server *s, uint8_t type)
{
    struct lisp_server_out *out = fifo_push(&s->outs);
    out->type = type;
    return out;
}

static void
send_to(struct lisp_server *s, const struct ip *to, uint16_t port, const uint8_t *b,
    size_t n)
{
    struct lisp_server_out *out = tell(s, LISP_SVOUT_SEND);
    out->to = *to;
    out->port = port;
    out->bytes = arena_copy(&s->arena, b, n);
    out->size = n;
}

bool
lisp_server_output(struct lisp_server *s, struct lisp_server_out *out)
{
    if (fifo_pop(&s->outs, out))
        return true;
    arena_reset(&s->arena);
    return false;
}

/* ---- registrations ---- */

/* The secret that signed m, or NULL (counted). */
static const struct lisp_key *
authentic(struct lisp_server *s, const uint8_t *bytes, size_t n,
    const struct lisp_register *m, bool *id_covered)
{
    const struct lisp_key *key = key_of(s, m->site_id, m->key_id);
    if (!key) {
        s->counters[LISP_VC_NO_KEY]++;
        return NULL;
    }
    if (!lisp_register_verify(bytes, n, m, key, id_covered)) {
        s->counters[LISP_VC_BAD_AUTH]++;
        return NULL;
    }
    return key;
}

static void
register_in(struct lisp_server *s, const struct ip *from, uint16_t port)
{
    struct lisp_register *m = &s->reg.message;
    bool covered, fresh;
    if (!authentic(s, s->in, s->in_n, m, &covered))
        return;
    struct xtr_name name =
        xtr_name_of(covered ? m->xtr_id : NULL, m->site_id, m->key_id);
    struct xtr *x = xtr_at(s, &name, &fresh);
    if (!x) {
        s->counters[LISP_VC_FULL]++;
        return;
    }
    if (!fresh && m->nonce <= x->nonce) {
        s->counters[LISP_VC_REPLAYS]++;
        return;
    }
    x->nonce = m->nonce;
    s->reg.from = *from;
    s->reg.port = port;
    s->reg.id_covered = covered;
    s->reg_waits = true;
    s->counters[LISP_VC_REGISTERS]++;
    tell(s, LISP_SVOUT_REGISTER)->reg = s->reg;
}

bool
lisp_server_registered(struct lisp_server *s)
{
    const struct lisp_register *m = &s->reg.message;
    if (!s->reg_waits)
        return false;
    s->reg_waits = false;
    const struct lisp_key *key = key_of(s, m->site_id, m->key_id);
    if (!m->want_notify || !key)
        return true;
    /* Clause 5.7: the fields are copied, the authentication is made anew. */
    uint8_t *b = arena_alloc(&s->arena, s->in_n + LISP_AUTH_SIZE);
    struct wr w = wr_of(b, s->in_n + LISP_AUTH_SIZE);
    wr_u32(&w, (uint32_t)LISP_MAP_NOTIFY << 28 | m->n_records);
    wr_u64(&w, m->nonce);
    wr_u16(&w, 0);
    wr_u16(&w, LISP_AUTH_SIZE);
    wr_zero(&w, LISP_AUTH_SIZE);
    wr_bytes(&w, m->records.p, m->records.size);
    size_t n_records = w.pos;
    if (m->has_id) {
        wr_bytes(&w, m->xtr_id, sizeof m->xtr_id);
        wr_u64(&w, m->site_id);
    }
    /* As far as the xTR has signed, so far it will check. */
    if (w.err || !lisp_register_sign(b, s->reg.id_covered ? w.pos : n_records, key))
        return false;
    s->counters[LISP_VC_NOTIFIES]++;
    send_to(s, &s->reg.from, s->reg.port, b, w.pos);
    return true;
}

/* ---- unsolicited notifications ---- */

static void
notice_send(struct lisp_server *s, uint32_t handle, uint64_t now_us)
{
    struct notice *n = pool_at(&s->notices, handle);
    send_to(s, &n->to, LISP_PORT, n->bytes, n->size);
    timers_set(&s->timers, &n->timer, now_us + n->pause_us, 0, handle);
}

static void
notice_end(struct lisp_server *s, uint32_t handle, uint8_t how)
{
    struct notice *n = pool_at(&s->notices, handle);
    tell(s, how)->ref = n->ref;
    timers_clear(&s->timers, &n->timer);
    map_del(
        &s->notice_map, map_hash(&s->notice_map, &n->nonce, sizeof n->nonce), handle);
    mem_free(n->bytes);
    pool_put(&s->notices, handle);
}

bool
lisp_server_notify(struct lisp_server *s, uint64_t ref, const struct ip *to,
    uint64_t site_id, uint8_t key_id, const struct lisp_record *records, uint8_t n,
    uint64_t now_us)
{
    const struct lisp_key *key = key_of(s, site_id, key_id);
    uint32_t handle = key ? pool_get(&s->notices) : 0;
    if (!handle) {
        s->counters[key ? LISP_VC_FULL : LISP_VC_NO_KEY]++;
        return false;
    }
    uint64_t at[2] = {++s->n_nonces, 0};
    uint64_t high = map_hash(&s->notice_map, at, sizeof at);
    at[1] = 1;
    struct lisp_register m = {.type = LISP_MAP_NOTIFY, .n_records = n};
    m.nonce = high << 32 | map_hash(&s->notice_map, at, sizeof at);
    uint8_t b[PACKET_MAX];
    size_t size = lisp_register_encode(&m, records, key, &s->conf.dialect, b, sizeof b);
    if (!size) {
        pool_put(&s->notices, handle);
        return false;
    }
    struct notice *note = pool_at(&s->notices, handle);
    *note = (struct notice){.nonce = m.nonce,
        .ref = ref,
        .site_id = site_id,
        .pause_us = s->conf.settings[LISP_SERVER_NOTIFY_US],
        .to = *to,
        .key_id = key_id,
        .size = size};
    note->bytes = mem_alloc(size);
    memcpy(note->bytes, b, size);
    map_add(&s->notice_map, map_hash(&s->notice_map, &m.nonce, sizeof m.nonce), handle);
    s->counters[LISP_VC_NOTIFIES]++;
    notice_send(s, handle, now_us);
    return true;
}

static void
ack_in(struct lisp_server *s, const struct ip *from, const uint8_t *bytes, size_t n,
    struct lisp_register *m)
{
    uint32_t hash = map_hash(&s->notice_map, &m->nonce, sizeof m->nonce);
    uint32_t handle = map_find(&s->notice_map, hash, &m->nonce);
    struct notice *note = handle ? pool_at(&s->notices, handle) : NULL;
    if (!note || !ip_equal(&note->to, from) || note->key_id != m->key_id) {
        s->counters[LISP_VC_STRAY]++;
        return;
    }
    bool covered;
    m->site_id =
        note->site_id; /* the secret we have signed with, whatever is claimed */
    if (!authentic(s, bytes, n, m, &covered))
        return;
    s->counters[LISP_VC_NOTIFY_ACKS]++;
    notice_end(s, handle, LISP_SVOUT_NOTIFIED);
}

uint64_t
lisp_server_deadline(const struct lisp_server *s)
{
    return timers_deadline(&s->timers);
}

void
lisp_server_tick(struct lisp_server *s, uint64_t now_us)
{
    uint32_t kind, handle;
    while (timers_pop(&s->timers, now_us, &kind, &handle)) {
        struct notice *n = pool_at(&s->notices, handle);
        if (n->tries == NOTIFY_TRIES) {
            s->counters[LISP_VC_NOTIFY_LOST]++;
            notice_end(s, handle, LISP_SVOUT_NOTIFY_LOST);
            continue;
        }
        if (++n->tries >= NOTIFY_STEADY)
            n->pause_us *= 2;
        s->counters[LISP_VC_NOTIFY_RETRIES]++;
        notice_send(s, handle, now_us);
    }
}

/* ---- input ---- */

void
lisp_server_input(struct lisp_server *s, const struct ip *from, uint16_t port,
    const uint8_t *bytes, size_t n, uint64_t now_us)
{
    (void)now_us;
    s->reg_waits = false;
    int type = lisp_type_of(bytes, n);
    if (type != LISP_MAP_REGISTER && type != LISP_MAP_NOTIFY_ACK) {
        s->counters[LISP_VC_UNKNOWN]++;
        return;
    }
    if (n > MESSAGE_MAX) {
        s->counters[LISP_VC_BAD]++;
        return;
    }
    if (n > s->in_cap) { /* kept: what output tells of points into it */
        s->in = mem_grow(s->in, n);
        s->in_cap = n;
    }
    memcpy(s->in, bytes, n);
    s->in_n = n;
    if (lisp_register_decode(s->in, n, &s->conf.dialect, &s->reg.message))
        s->counters[LISP_VC_BAD]++;
    else if (type == LISP_MAP_REGISTER)
        register_in(s, from, port);
    else
        ack_in(s, from, s->in, n, &s->reg.message);
}

/* ---- for people and tests ---- */

uint64_t
lisp_server_counter(const struct lisp_server *s, unsigned c)
{
    return c < LISP_VC_N ? s->counters[c] : 0;
}

const char *
lisp_server_counter_name(unsigned c)
{
#define X(sym, name) name,
    static const char *const names[] = {LISP_SERVER_COUNTERS(X)};
#undef X
    return c < LISP_VC_N ? names[c] : "?";
}
