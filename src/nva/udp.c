/* SPDX-License-Identifier: Apache-2.0 */
/* LISP over UDP. A question is answered in place: decode, look up, encode, without a
 * queue or an allocation (S4-31 to S4-33). Centralised: we answer. Distributed: the
 * question goes on to the NVE that owns the key, as long as that NVE is there to
 * answer. While the registry recovers, or asks the NVEs of a VN, there is no answer at
 * all (K17, K8).
 *
 * A question by an NVE subscribes it to the key, whatever the answer (K8), so its
 * answers live long; for others a minute. Who does not know our OUI would drop a record
 * with our epoch (RFC 9306 clause 4): routers without a session get plain records.
 *
 * Registrations of foreign routers go through the machine of proto/lisp_server; one
 * message is in hand at a time, until the registry has answered for all its records. */
#include "nva/node_int.h"
#include "base/log.h"
#include "node/lisp_record.h"
#include "proto/lisp_server.h"
#include <string.h>

#define REPLY_MAX       1500
#define FOREIGN_TTL_MIN 1 /* answers to who is not subscribed (9301 8.2) */

#define UDP_COUNTERS(X)                                                                \
    X(QUESTIONS, "questions", "Map-Requests taken")                                    \
    X(ANSWERED, "answered", "Map-Requests answered with a mapping")                    \
    X(NEGATIVE, "negative", "Map-Requests answered negatively")                        \
    X(FORWARDED, "forwarded", "Map-Requests routed to the owner (distributed)")        \
    X(SILENT, "silent", "Map-Requests not answered: not known yet")                    \
    X(MALFORMED, "bad_question", "Map-Requests that could not be read, probes, SMRs")
enum {
#define X(sym, name, help) UDPC_##sym,
    UDP_COUNTERS(X)
#undef X
        UDPC_N
};

struct datagram {
    struct ip to;
    uint16_t port;
    uint8_t *p;
    uint32_t size;
};
struct udp_map {
    struct nva *n;
    struct lisp_server *server;
    struct fifo out; /* of struct datagram */
    uint8_t *lent;
    bool in_hand; /* a registration waits for the registry */
    uint64_t counters[UDPC_N];
};

struct udp_map *
udp_map_new(struct nva *n)
{
    struct udp_map *u = mem_alloc(sizeof *u);
    struct lisp_server_conf c = {.seed = rng_next(&n->rng), .dialect = n->dialect};
    u->n = n;
    u->server = lisp_server_new(&c, n->now_us);
    fifo_init(&u->out, sizeof(struct datagram));
    for (uint32_t i = 0; i < n->conf.n_xtr_keys; i++) {
        const struct nva_xtr_key *x = &n->conf.xtr_keys[i];
        struct lisp_key k = {
            .id = x->key_id, .alg = x->alg ? x->alg : LISP_ALG_SHA256_128};
        size_t size = strlen(x->secret);
        k.size = (uint8_t)(size < LISP_KEY_MAX ? size : LISP_KEY_MAX);
        memcpy(k.secret, x->secret, k.size);
        if (!lisp_server_key_set(u->server, x->site_id, &k))
            log_err("nva", "site=%llu key_id=%u: too many keys, not taken",
                (unsigned long long)x->site_id, x->key_id);
    }
    return u;
}

void
udp_map_free(struct udp_map *u)
{
    struct datagram d;
    if (!u)
        return;
    while (fifo_pop(&u->out, &d))
        mem_free(d.p);
    mem_free(u->lent);
    fifo_done(&u->out);
    lisp_server_free(u->server);
    mem_free(u);
}

/* ---- questions ---- */

/* The address that a Map-Request says it asks for; none when it does not. */
static struct ip
source_of(const struct lisp_query *q)
{
    struct rd r = rd_of(q->request, q->request_size);
    struct lisp_eid eid;
    rd_skip(&r, 12);
    memset(&eid, 0, sizeof eid);
    if (lisp_eid_get(&r, -1, &eid) || eid.kind != LISP_EID_IP)
        memset(&eid.ip, 0, sizeof eid.ip);
    return eid.ip;
}

static uint32_t
forward(struct udp_map *u, const struct lisp_query *q, const struct ip *owner,
    uint8_t *out, uint32_t cap, struct ip *to, uint16_t *port)
{
    uint32_t size = (uint32_t)lisp_server_forward(q, owner, out, cap);
    if (size) {
        *to = *owner;
        *port = LISP_PORT;
        u->counters[UDPC_FORWARDED]++;
    }
    return size;
}

static uint32_t
negative(struct udp_map *u, const struct lisp_query *q, enum lisp_act act, uint8_t *out,
    uint32_t cap)
{
    uint64_t hold = u->n->settings[NVA_SET_NEGATIVE_US];
    u->counters[UDPC_NEGATIVE]++;
    return (uint32_t)lisp_server_negative(
        q, &u->n->dialect, act, (uint32_t)((hold + 59999999) / 60000000), out, cap);
}

/* A key that the registry does not hold: perhaps a router's address without a MAC. */
static uint32_t
elsewhere(struct udp_map *u, const struct lisp_query *q, uint8_t *out, uint32_t cap,
    struct ip *to, uint16_t *port)
{
    bool proxy;
    const struct lisp_record *kept =
        q->eid.kind == LISP_EID_IP
            ? foreign_find(u->n->foreign, q->eid.vni, &q->eid.ip, &proxy)
            : NULL;
    if (!kept)
        return negative(u, q, LISP_ACT_DROP, out, cap);
    if (!proxy)
        return forward(u, q, &kept->rlocs[0].ip, out, cap, to, port);
    u->counters[UDPC_ANSWERED]++;
    return (uint32_t)lisp_server_reply(q, &u->n->dialect, kept, out, cap);
}

/* The answer to q; octets, 0 = silence. */
static uint32_t
answer(struct udp_map *u, const struct lisp_query *q, uint8_t *out, uint32_t cap,
    struct ip *to, uint16_t *port)
{
    struct nva *n = u->n;
    struct mapping_rec rec;
    struct lisp_record r;
    uint32_t owner = 0;
    bool by_ip = q->eid.kind == LISP_EID_IP;
    static const struct ip no_ip;
    static const struct mac no_mac;
    uint32_t asker = registry_nve_of(n->reg, &q->to);
    bool ours = asker && !foreign_is(n->foreign, asker);
    *to = q->to;
    *port = q->port;
    u->counters[UDPC_QUESTIONS]++;
    enum registry_answer a = registry_lookup(n->reg, ours ? asker : 0, q->eid.vni,
        by_ip ? NULL : &q->eid.mac, by_ip ? &q->eid.ip : &no_ip, &rec, &owner,
        n->now_us);
    if (a == REG_LATER) {
        u->counters[UDPC_SILENT]++;
        return 0;
    }
    if (a == REG_UNKNOWN_VN)
        return negative(u, q, LISP_ACT_DROP_POLICY, out, cap);
    struct ip src = source_of(q);
    registry_talk(n->reg, q->eid.vni, &q->to, &src, by_ip ? &q->eid.ip : &no_ip,
        a == REG_FOUND ? &rec.mac
        : by_ip        ? &no_mac
                       : &q->eid.mac,
        n->now_us);
    if (a == REG_ABSENT)
        return elsewhere(u, q, out, cap, to, port);
    bool route;
    if (foreign_is(n->foreign, owner)) {
        route = !foreign_proxy(n->foreign, owner, rec.vni, &rec.mac);
    } else {
        const struct vn_rec *vn = registry_vn(n->reg, rec.vni, NULL);
        route = vn && !vn->centralised && owner != asker &&
                sessions_is_up(n->sessions, owner);
    }
    if (route && !q->more)
        return forward(u, q, &rec.owner, out, cap, to, port);
    lisp_record_of(&rec, &q->eid, &r);
    if (!ours) {
        r.ttl_min = FOREIGN_TTL_MIN;
        lisp_record_plain(&r);
    }
    u->counters[UDPC_ANSWERED]++;
    return (uint32_t)lisp_server_reply(q, &n->dialect, &r, out, cap);
}

uint32_t
udp_map_fast(struct udp_map *u, const uint8_t *p, uint32_t size, const struct ip *from,
    uint16_t from_port, uint8_t *out, uint32_t cap, struct ip *to, uint16_t *to_port)
{
    struct lisp_query q;
    if (lisp_server_fast(from, from_port, p, size, &q) != LISP_SERVER_QUERY || q.more)
        return 0;
    return answer(u, &q, out, cap, to, to_port);
}

static void
send(struct udp_map *u, const struct ip *to, uint16_t port, const uint8_t *p,
    uint32_t size)
{
    struct datagram *d = fifo_push(&u->out);
    d->to = *to;
    d->port = port;
    d->p = mem_alloc(size);
    d->size = size;
    memcpy(d->p, p, size);
}

static void
question(struct udp_map *u, struct lisp_query *q)
{
    uint8_t out[REPLY_MAX];
    struct lisp_request m;
    struct ip to;
    uint16_t port;
    if (lisp_request_decode(q->request, q->request_size, &m))
        return;
    for (uint8_t i = 0; i < m.n_eids; i++) {
        q->eid = m.eids[i];
        if (q->eid.kind != LISP_EID_IP && q->eid.kind != LISP_EID_MAC)
            continue;
        uint32_t size = answer(u, q, out, sizeof out, &to, &port);
        if (size)
            send(u, &to, port, out, size);
    }
}

void
udp_map_input(struct udp_map *u, const struct nva_in *in)
{
    struct lisp_query q;
    switch (lisp_server_fast(&in->from, in->from_port, in->p, in->size, &q)) {
    case LISP_SERVER_QUERY:
        question(u, &q);
        break;
    case LISP_SERVER_BAD:
        u->counters[UDPC_MALFORMED]++;
        log_dbg("nva", "question dropped: %s", lisp_err_str(q.err));
        break;
    case LISP_SERVER_OTHER:
        u->in_hand = false;
        lisp_server_input(
            u->server, &in->from, in->from_port, in->p, in->size, u->n->now_us);
        break;
    }
}

/* ---- registrations of foreign routers ---- */

static void
registration(struct udp_map *u, const struct lisp_server_register *reg)
{
    struct rd r = reg->message.records;
    struct lisp_record rec;
    struct foreign_from from = {.from = reg->from,
        .site_id = reg->message.site_id,
        .key_id = reg->message.key_id,
        .proxy = reg->message.proxy,
        .use_ttl = reg->message.use_ttl};
    foreign_begin(u->n->foreign);
    for (uint8_t i = 0; i < reg->message.n_records; i++)
        if (lisp_record_get(&r, &u->n->dialect, &rec) == LISP_OK)
            foreign_record(u->n->foreign, &from, &rec);
    foreign_end(u->n->foreign);
    u->in_hand = true;
}

void
udp_map_lost(struct udp_map *u, const struct ip *router, uint64_t site_id,
    uint8_t key_id, const struct mapping_rec *now)
{
    struct lisp_record r;
    lisp_record_of(now, NULL, &r);
    lisp_record_plain(&r);
    r.ttl_min = FOREIGN_TTL_MIN;
    lisp_server_notify(u->server, 0, router, site_id, key_id, &r, 1, u->n->now_us);
}

uint64_t
udp_map_deadline(const struct udp_map *u)
{
    return lisp_server_deadline(u->server);
}

void
udp_map_tick(struct udp_map *u)
{
    if (lisp_server_deadline(u->server) <= u->n->now_us)
        lisp_server_tick(u->server, u->n->now_us);
}

enum pulled
udp_map_output(struct udp_map *u, struct nva_out *out)
{
    struct lisp_server_out o;
    struct datagram d;
    mem_free(u->lent);
    u->lent = NULL;
    out->type = NVA_OUT_UDP;
    if (fifo_pop(&u->out, &d)) {
        out->to = d.to;
        out->to_port = d.port;
        out->p = u->lent = d.p;
        out->size = d.size;
        return PULLED_OUT;
    }
    if (u->in_hand) { /* the registry has been pulled until it was empty */
        u->in_hand = false;
        if (foreign_done(u->n->foreign))
            lisp_server_registered(u->server);
        return PULLED_MORE;
    }
    if (!lisp_server_output(u->server, &o))
        return PULLED_NOTHING;
    switch ((enum lisp_server_out_type)o.type) {
    case LISP_SVOUT_SEND:
        out->to = o.to;
        out->to_port = o.port;
        out->p = o.bytes;
        out->size = (uint32_t)o.size;
        return PULLED_OUT;
    case LISP_SVOUT_REGISTER:
        registration(u, &o.reg);
        break;
    case LISP_SVOUT_NOTIFIED:
    case LISP_SVOUT_NOTIFY_LOST:
        break;
    }
    return PULLED_MORE;
}

bool
udp_map_counter(const struct udp_map *u, uint32_t *it, const char **group,
    const char **name, uint64_t *value, const char **help)
{
#define X(sym, name, help) {name, help},
    static const struct {
        const char *name, *help;
    } own[] = {UDP_COUNTERS(X)};
#undef X
    uint32_t i = *it;
    *group = "lisp";
    *help = NULL;
    if (i < UDPC_N) {
        *name = own[i].name;
        *help = own[i].help;
        *value = u->counters[i];
    } else if (i < UDPC_N + LISP_VC_N) {
        *name = lisp_server_counter_name(i - UDPC_N);
        *value = lisp_server_counter(u->server, i - UDPC_N);
    } else {
        return false;
    }
    ++*it;
    return true;
}
