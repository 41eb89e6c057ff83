/* SPDX-License-Identifier: Apache-2.0 */
/* A question lives in a pool and stands in two indexes: by EID (one question per key)
 * and by nonce (replies are matched in one step; a covering prefix is taken for the EID
 * that was asked). It keeps its place for a second after its last packet, so that a key
 * is never asked for twice within one (RFC 9301 clause 5.3). Nonces are SipHash of a
 * counter: who has seen some cannot guess the next. */
#include "proto/lisp_pull.h"

#include "base/map.h"
#include "base/mem.h"

#include <string.h>

#define SECOND         1000000u
#define BACKOFF_MAX_US 60000000u
#define PACKET_MAX     2048

const struct setting lisp_pull_settings[LISP_PULL_N_SETTINGS] = {
    {"pull-retry",   SECOND,     SECOND, 10 * SECOND,  "RFC 9301 5.3",
     "first pause before asking again"                                                                       },
    {"pull-tries",   4,          1,      16,           "RFC 9301 5.3", "packets for one question"            },
    {"pull-max",     4096,       16,     1048576,      "K19",          "questions open at once"              },
    {"pull-smr",     3 * SECOND, SECOND, 600 * SECOND, "RFC 9301 6.1",
     "least time between SMRs for one key and RLOC"                                                          },
    {"pull-smr-max", 1024,       16,     1048576,      "K19",          "keys and RLOCs remembered for that"  },
    {"pull-smr-in",  1000,       1,      1000000,      "D5",           "SMRs taken in a second of one sender"},
};

struct question {
    struct lisp_eid eid;
    uint64_t nonce, last_us, pause_us;
    uint32_t tries; /* packets sent; 0 = answered, the place is kept for a second */
    bool again;     /* once more when that second is over */
    struct timer timer;
};
struct smr_slot {
    struct lisp_eid eid;
    struct ip to;
    uint64_t until_us;
};
#define SMR_SENDERS 256 /* by hash */
#define INVOKED_N   64  /* keys remembered of which an SMR came lately */
struct invoked {
    struct lisp_eid eid;
    uint64_t until_us;
};
struct item { /* what output will tell; octets and record are in the arena */
    struct lisp_pull_out out;
    const struct lisp_record *record;
};
struct lisp_pull {
    struct lisp_pull_conf conf;
    struct pool pool;
    struct map by_eid, by_nonce;
    struct timers timers;
    struct smr_slot *smrs;
    struct invoked invoked[INVOKED_N];
    uint64_t smr_full_us[SMR_SENDERS]; /* when as many SMRs as fit into a second may
                                        * come again */
    struct fifo items;
    struct arena arena;
    uint64_t n_nonces;
    uint64_t counters[LISP_PC_N];
};

static bool
eid_eq(const void *ctx, uint32_t handle, const void *key)
{
    const struct question *q = pool_at(&((const struct lisp_pull *)ctx)->pool, handle);
    return lisp_eid_equal(&q->eid, key);
}

static bool
nonce_eq(const void *ctx, uint32_t handle, const void *key)
{
    const struct question *q = pool_at(&((const struct lisp_pull *)ctx)->pool, handle);
    return q->nonce == *(const uint64_t *)key;
}

/* A struct lisp_eid has padding; its parts have none. */
static uint32_t
eid_hash(const struct map *m, const struct lisp_eid *eid, const struct ip *also)
{
    uint8_t b[48];
    struct wr w = wr_of(b, sizeof b);
    wr_u32(&w, eid->vni);
    wr_u8(&w, eid->kind);
    wr_u8(&w, eid->prefix_len);
    wr_bytes(&w, eid->mac.b, sizeof eid->mac.b);
    wr_bytes(&w, eid->ip.b, sizeof eid->ip.b);
    if (also)
        wr_bytes(&w, also->b, sizeof also->b);
    return map_hash(m, b, w.pos);
}

static uint64_t
nonce_new(struct lisp_pull *p)
{
    uint64_t at[2] = {++p->n_nonces, 0};
    uint64_t high = map_hash(&p->by_eid, at, sizeof at);
    at[1] = 1;
    return high << 32 | map_hash(&p->by_eid, at, sizeof at);
}

struct lisp_pull *
lisp_pull_new(const struct lisp_pull_conf *conf, uint64_t now_us)
{
    (void)now_us;
    struct lisp_pull *p = mem_alloc(sizeof *p);
    p->conf = *conf;
    for (unsigned i = 0; i < LISP_PULL_N_SETTINGS; i++)
        if (!p->conf.settings[i])
            p->conf.settings[i] = lisp_pull_settings[i].def;
    if (!p->conf.dialect.mac_afi)
        p->conf.dialect = lisp_dialect_default;
    if (!p->conf.server_port)
        p->conf.server_port = LISP_PORT;
    pool_init(&p->pool, sizeof(struct question), p->conf.settings[LISP_PULL_MAX]);
    map_init(&p->by_eid, eid_eq, p, conf->seed);
    map_init(&p->by_nonce, nonce_eq, p, conf->seed + 1);
    timers_init(&p->timers);
    p->smrs = mem_alloc(p->conf.settings[LISP_PULL_SMR_MAX] * sizeof *p->smrs);
    fifo_init(&p->items, sizeof(struct item));
    return p;
}

void
lisp_pull_free(struct lisp_pull *p)
{
    if (!p)
        return;
    map_done(&p->by_eid);
    map_done(&p->by_nonce);
    timers_done(&p->timers);
    pool_done(&p->pool);
    fifo_done(&p->items);
    arena_done(&p->arena);
    mem_free(p->smrs);
    mem_free(p);
}

/* ---- output ---- */

static struct lisp_pull_out *
tell(struct lisp_pull *p, uint8_t type, const struct lisp_record *record)
{
    struct item *it = fifo_push(&p->items);
    it->out.type = type;
    if (record)
        it->record = arena_copy(&p->arena, record, sizeof *record);
    return &it->out;
}

static void
send_to(
    struct lisp_pull *p, const struct ip *to, uint16_t port, const uint8_t *b, size_t n)
{
    struct lisp_pull_out *out = tell(p, LISP_POUT_SEND, NULL);
    out->to = *to;
    out->port = port;
    out->bytes = arena_copy(&p->arena, b, n);
    out->size = n;
}

bool
lisp_pull_output(struct lisp_pull *p, struct lisp_pull_out *out)
{
    struct item it;
    if (!fifo_pop(&p->items, &it)) {
        arena_reset(&p->arena);
        return false;
    }
    *out = it.out;
    if (it.record)
        out->record = *it.record;
    return true;
}

/* ---- questions ---- */

static struct invoked *
invoked_of(struct lisp_pull *p, const struct lisp_eid *eid)
{
    return &p->invoked[eid_hash(&p->by_eid, eid, NULL) % INVOKED_N];
}

/* The s bit: an SMR is why we ask (RFC 9301 clause 6.1). */
static bool
is_invoked(struct lisp_pull *p, const struct lisp_eid *eid, uint64_t now_us)
{
    const struct invoked *v = invoked_of(p, eid);
    if (now_us >= v->until_us || !lisp_eid_equal(&v->eid, eid))
        return false;
    p->counters[LISP_PC_SMR_INVOKED]++;
    return true;
}

static void
ask(struct lisp_pull *p, uint32_t handle, uint64_t now_us)
{
    struct question *q = pool_at(&p->pool, handle);
    const struct lisp_dialect *d = &p->conf.dialect;
    uint8_t bare[256], b[PACKET_MAX];
    struct lisp_request m = {.nonce = q->nonce,
        .n_itrs = 1,
        .n_eids = 1,
        .smr_invoked = is_invoked(p, &q->eid, now_us)};
    m.itrs[0] = p->conf.self;
    m.eids[0] = q->eid;
    /* The inner destination is the EID where that can be (clause 5.8), else the
     * resolver. */
    struct lisp_ecm e = {.src = p->conf.self,
        .dst = p->conf.server,
        .sport = p->conf.port,
        .dport = LISP_PORT,
        .payload = bare};
    if (q->eid.kind == LISP_EID_IP && ip_is_v4(&q->eid.ip) == ip_is_v4(&e.src))
        e.dst = q->eid.ip;
    e.size = lisp_request_encode(&m, d, bare, sizeof bare);
    size_t n = lisp_ecm_encode(&e, b, sizeof b);
    if (n)
        send_to(p, &p->conf.server, p->conf.server_port, b, n);
    q->tries++;
    q->last_us = now_us;
    timers_set(&p->timers, &q->timer, now_us + q->pause_us, 0, handle);
    q->pause_us = q->pause_us * 2 < BACKOFF_MAX_US ? q->pause_us * 2 : BACKOFF_MAX_US;
}

/* With a new nonce: an answer to what went before is none to this. */
static void
renew(struct lisp_pull *p, uint32_t handle)
{
    struct question *q = pool_at(&p->pool, handle);
    map_del(&p->by_nonce, map_hash(&p->by_nonce, &q->nonce, sizeof q->nonce), handle);
    q->nonce = nonce_new(p);
    map_add(&p->by_nonce, map_hash(&p->by_nonce, &q->nonce, sizeof q->nonce), handle);
    q->pause_us = p->conf.settings[LISP_PULL_RETRY_US];
    q->tries = 0;
    q->again = false;
}

static void
forget(struct lisp_pull *p, uint32_t handle)
{
    struct question *q = pool_at(&p->pool, handle);
    timers_clear(&p->timers, &q->timer);
    map_del(&p->by_eid, eid_hash(&p->by_eid, &q->eid, NULL), handle);
    map_del(&p->by_nonce, map_hash(&p->by_nonce, &q->nonce, sizeof q->nonce), handle);
    pool_put(&p->pool, handle);
}

/* Answered, or no longer of interest: the place stays until the key may be asked again.
 */
static void
settle(struct lisp_pull *p, uint32_t handle)
{
    struct question *q = pool_at(&p->pool, handle);
    q->tries = 0;
    timers_set(&p->timers, &q->timer, q->last_us + SECOND, 0, handle);
}

enum lisp_pull_verdict
lisp_pull_request(struct lisp_pull *p, const struct lisp_eid *eid, uint64_t now_us)
{
    uint32_t hash = eid_hash(&p->by_eid, eid, NULL);
    uint32_t handle = map_find(&p->by_eid, hash, eid);
    if (handle) {
        struct question *q = pool_at(&p->pool, handle);
        if (q->tries)
            return LISP_PULL_PENDING;
        if (now_us < q->last_us + SECOND) {
            p->counters[LISP_PC_LIMITED]++;
            return LISP_PULL_LIMITED;
        }
        forget(p, handle);
    }
    handle = pool_get(&p->pool);
    if (!handle) {
        p->counters[LISP_PC_FULL]++;
        return LISP_PULL_FULL;
    }
    struct question *q = pool_at(&p->pool, handle);
    q->eid = *eid;
    q->nonce = nonce_new(p);
    q->pause_us = p->conf.settings[LISP_PULL_RETRY_US];
    map_add(&p->by_eid, hash, handle);
    map_add(&p->by_nonce, map_hash(&p->by_nonce, &q->nonce, sizeof q->nonce), handle);
    p->counters[LISP_PC_ASKED]++;
    ask(p, handle, now_us);
    return LISP_PULL_ASKED;
}

void
lisp_pull_again(struct lisp_pull *p)
{
    for (uint32_t it = 0, handle; (handle = map_each(&p->by_eid, &it));)
        ((struct question *)pool_at(&p->pool, handle))->again = true;
}

void
lisp_pull_cancel(struct lisp_pull *p, const struct lisp_eid *eid)
{
    uint32_t handle = map_find(&p->by_eid, eid_hash(&p->by_eid, eid, NULL), eid);
    if (handle)
        settle(p, handle);
}

uint64_t
lisp_pull_deadline(const struct lisp_pull *p)
{
    return timers_deadline(&p->timers);
}

void
lisp_pull_tick(struct lisp_pull *p, uint64_t now_us)
{
    uint32_t kind, handle;
    while (timers_pop(&p->timers, now_us, &kind, &handle)) {
        struct question *q = pool_at(&p->pool, handle);
        if (q->tries && q->tries < p->conf.settings[LISP_PULL_TRIES]) {
            p->counters[LISP_PC_RETRIES]++;
            ask(p, handle, now_us);
            continue;
        }
        if (q->again && !q->tries) {
            renew(p, handle);
            p->counters[LISP_PC_ASKED]++;
            ask(p, handle, now_us);
            continue;
        }
        if (q->tries) {
            p->counters[LISP_PC_TIMEOUTS]++;
            tell(p, LISP_POUT_TIMEOUT, NULL)->eid = q->eid;
        }
        forget(p, handle);
    }
}

/* ---- input ---- */

/* Does the record speak of the EID that was asked for? Its prefix may be shorter. */
static bool
covers(const struct lisp_eid *rec, const struct lisp_eid *asked)
{
    if (rec->vni != asked->vni || rec->kind != asked->kind)
        return false;
    if (rec->kind != LISP_EID_IP)
        return mac_equal(&rec->mac, &asked->mac);
    bool v4 = ip_is_v4(&asked->ip);
    if (ip_is_v4(&rec->ip) != v4 || rec->prefix_len > asked->prefix_len)
        return false;
    unsigned bits = rec->prefix_len + (v4 ? 96 : 0);
    uint8_t mask = bits % 8 ? 0xff << (8 - bits % 8) & 0xff : 0;
    return memcmp(rec->ip.b, asked->ip.b, bits / 8) == 0 &&
           (bits % 8 == 0 ||
               ((rec->ip.b[bits / 8] ^ asked->ip.b[bits / 8]) & mask) == 0);
}

static void
reply_in(struct lisp_pull *p, const struct ip *from, const uint8_t *bytes, size_t n)
{
    struct lisp_reply m;
    struct lisp_record rec;
    if (lisp_reply_decode(bytes, n, &p->conf.dialect, &m) || m.probe || !m.n_records) {
        p->counters[LISP_PC_BAD]++;
        return;
    }
    uint32_t hash = map_hash(&p->by_nonce, &m.nonce, sizeof m.nonce);
    uint32_t handle = map_find(&p->by_nonce, hash, &m.nonce);
    struct question *q = handle ? pool_at(&p->pool, handle) : NULL;
    while (q && q->tries && m.n_records--) {
        lisp_record_get(&m.records, &p->conf.dialect, &rec);
        if (!covers(&rec.eid, &q->eid))
            continue;
        bool positive = rec.n_rlocs > 0;
        struct lisp_pull_out *out =
            tell(p, positive ? LISP_POUT_ANSWER : LISP_POUT_NEGATIVE, &rec);
        out->eid = q->eid;
        out->from = *from;
        p->counters[positive ? LISP_PC_ANSWERED : LISP_PC_NEGATIVE]++;
        settle(p, handle);
        return;
    }
    p->counters[LISP_PC_STRAY]++;
}

static bool
is_key(const struct lisp_eid *eid)
{
    return eid->kind == LISP_EID_IP || eid->kind == LISP_EID_MAC;
}

/* Anybody can send one. It says nothing but that we may ask, and that at a bounded rate
 * for each sender: who floods us is not heard, the others are. */
static void
smr_in(struct lisp_pull *p, const struct ip *from, const struct lisp_request *m,
    uint64_t now_us)
{
    uint64_t each_us = SECOND / p->conf.settings[LISP_PULL_SMR_IN];
    p->counters[LISP_PC_SMR_IN]++;
    uint64_t *full_us =
        &p->smr_full_us[map_hash(&p->by_eid, from, sizeof *from) % SMR_SENDERS];
    if (*full_us < now_us)
        *full_us = now_us;
    if (*full_us + each_us > now_us + SECOND) {
        p->counters[LISP_PC_SMR_LIMITED]++;
        return;
    }
    *full_us += each_us;
    struct lisp_pull_out *out = tell(p, LISP_POUT_SMR, NULL);
    out->from = *from;
    out->eid = is_key(&m->source) ? m->source : m->eids[0];
    *invoked_of(p, &out->eid) = (struct invoked){out->eid, now_us + SECOND};
}

/* port: where the asker waits for the answer. */
static void
request_in(struct lisp_pull *p, const struct ip *from, uint16_t port, bool bare,
    const uint8_t *bytes, size_t n, uint64_t now_us)
{
    struct lisp_request m;
    if (lisp_request_decode(bytes, n, &m) || !m.n_itrs || !is_key(&m.eids[0])) {
        p->counters[LISP_PC_BAD]++;
        return;
    }
    if (m.smr) {
        if (bare) /* comes from where it says, or from whom can forge that */
            smr_in(p, from, &m, now_us);
        else
            p->counters[LISP_PC_BAD]++;
        return;
    }
    if (m.no_reply)
        return;
    struct lisp_pull_question q = {
        .nonce = m.nonce, .to = m.itrs[0], .port = port, .probe = m.probe};
    for (unsigned i = m.n_itrs;
         i-- > 0;) /* one that we can reach from our own address */
        if (ip_is_v4(&m.itrs[i]) == ip_is_v4(&p->conf.self))
            q.to = m.itrs[i];
    for (unsigned i = 0; i < m.n_eids; i++) {
        if (!is_key(&m.eids[i]))
            continue;
        q.eid = m.eids[i];
        p->counters[LISP_PC_QUESTIONS]++;
        struct lisp_pull_out *out = tell(p, LISP_POUT_QUESTION, NULL);
        out->question = q;
        out->from = *from;
        out->eid = q.eid;
    }
}

void
lisp_pull_input(struct lisp_pull *p, const struct ip *from, uint16_t port,
    const uint8_t *bytes, size_t n, uint64_t now_us)
{
    struct lisp_ecm e;
    switch (lisp_type_of(bytes, n)) {
    case LISP_MAP_REPLY:
        reply_in(p, from, bytes, n);
        return;
    case LISP_MAP_REQUEST:
        request_in(p, from, port, true, bytes, n, now_us);
        return;
    case LISP_ECM:
        if (lisp_ecm_decode(bytes, n, &e) == LISP_OK) {
            request_in(p, &e.src, e.sport, false, e.payload, e.size, now_us);
            return;
        }
        break;
    default:
        break;
    }
    p->counters[LISP_PC_BAD]++;
}

bool
lisp_pull_reply(struct lisp_pull *p, const struct lisp_pull_question *q,
    const struct lisp_record *record)
{
    uint8_t b[PACKET_MAX];
    struct lisp_record none;
    if (!record) {
        memset(&none, 0, offsetof(struct lisp_record, rlocs));
        none.eid = q->eid;
        none.ttl_min = 1; /* requirements 3.3: a negative answer is soon forgotten */
        none.act = LISP_ACT_DROP;
        none.authoritative = true;
        record = &none;
    }
    struct lisp_reply m = {.nonce = q->nonce, .probe = q->probe, .n_records = 1};
    size_t n = lisp_reply_encode(&m, record, &p->conf.dialect, b, sizeof b);
    if (!n)
        return false;
    p->counters[LISP_PC_REPLIES]++;
    send_to(p, &q->to, q->port, b, n);
    return true;
}

bool
lisp_pull_smr(struct lisp_pull *p, const struct ip *to, const struct lisp_eid *eid,
    uint64_t now_us)
{
    /* One slot per hash: a collision forgets the older one, memory never grows. */
    uint64_t n_slots = p->conf.settings[LISP_PULL_SMR_MAX];
    struct smr_slot *slot = &p->smrs[eid_hash(&p->by_eid, eid, to) % n_slots];
    if (now_us < slot->until_us && lisp_eid_equal(&slot->eid, eid) &&
        ip_equal(&slot->to, to)) {
        p->counters[LISP_PC_LIMITED]++;
        return false;
    }
    *slot = (struct smr_slot){*eid, *to, now_us + p->conf.settings[LISP_PULL_SMR_US]};
    uint8_t b[256];
    struct lisp_request m = {.nonce = nonce_new(p),
        .smr = true,
        .no_reply = true,
        .n_itrs = 1,
        .n_eids = 1,
        .source = *eid};
    m.itrs[0] = p->conf.self;
    m.eids[0] = *eid;
    size_t n = lisp_request_encode(&m, &p->conf.dialect, b, sizeof b);
    if (!n)
        return false;
    p->counters[LISP_PC_SMR_OUT]++;
    send_to(p, to, LISP_PORT, b, n);
    return true;
}

/* ---- for people and tests ---- */

uint64_t
lisp_pull_counter(const struct lisp_pull *p, unsigned c)
{
    return c < LISP_PC_N ? p->counters[c] : 0;
}

const char *
lisp_pull_counter_name(unsigned c)
{
#define X(sym, name) name,
    static const char *const names[] = {LISP_PULL_COUNTERS(X)};
#undef X
    return c < LISP_PC_N ? names[c] : "?";
}
