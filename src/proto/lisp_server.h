/* SPDX-License-Identifier: Apache-2.0 */
/* The UDP side of the map server. Questions take a direct path without state, queue or
 * allocation (lisp_server_fast, then one of reply, negative, forward); registrations of
 * foreign xTRs and notifications to them go through a small machine that checks keys and
 * nonces (RFC 9301 clauses 5.6, 5.7, 8). Neither decides: the node asks the mapping table. */
#ifndef BERTH_PROTO_LISP_SERVER_H
#define BERTH_PROTO_LISP_SERVER_H
#include "base/timers.h"
#include "wire/lisp.h"

/* ---- the direct path ---- */
enum lisp_server_kind {
    LISP_SERVER_QUERY,                   /* q is filled: answer it */
    LISP_SERVER_OTHER,                   /* for lisp_server_input */
    LISP_SERVER_BAD                      /* drop; q->err says why */
};
struct lisp_query {
    struct lisp_eid eid;                 /* the first one asked for */
    uint64_t nonce;
    struct ip from;                      /* who sent it: the talker (S4-13) */
    struct ip to;                        /* the reply's address: an ITR-RLOC of from's family */
    uint16_t port;                       /* the reply's port */
    bool probe, smr_invoked, more;       /* more: q->request names more EIDs than one */
    enum lisp_err err;
    const uint8_t *request;              /* the bare Map-Request, inside the caller's octets */
    size_t request_size;
    struct ip inner_src, inner_dst;      /* of the ECM; of the datagram when it was bare */
    uint16_t inner_sport;
};
enum lisp_server_kind lisp_server_fast(const struct ip *from, uint16_t port,
    const uint8_t *in, size_t n, struct lisp_query *q);
/* Octets written; 0: no room. The record's EID may be a shorter prefix than was asked. */
size_t lisp_server_reply(const struct lisp_query *q, const struct lisp_dialect *d,
    const struct lisp_record *record, uint8_t *out, size_t cap);
size_t lisp_server_negative(const struct lisp_query *q, const struct lisp_dialect *d,
    enum lisp_act act, uint32_t ttl_min, uint8_t *out, size_t cap);
/* Distributed mode: the ECM that goes to the owner's RLOC, port LISP_PORT (S4-32). */
size_t lisp_server_forward(const struct lisp_query *q, const struct ip *owner, uint8_t *out,
    size_t cap);

/* ---- the machine ---- */
enum lisp_server_setting { LISP_SERVER_MAX_XTRS, LISP_SERVER_MAX_KEYS, LISP_SERVER_MAX_NOTIFIES,
    LISP_SERVER_NOTIFY_US, LISP_SERVER_N_SETTINGS };
extern const struct setting lisp_server_settings[LISP_SERVER_N_SETTINGS];  /* K19 */

struct lisp_server_conf {
    uint64_t seed;                       /* nonces of unsolicited notifications, hash */
    struct lisp_dialect dialect;
    uint64_t settings[LISP_SERVER_N_SETTINGS];   /* 0 = default */
};
struct lisp_server_register {            /* lives until the next call into the machine */
    struct ip from;
    uint16_t port;
    struct lisp_register message;        /* records: iterate with lisp_record_get */
    bool id_covered;                     /* else xtr_id is only a hint: see wire/lisp.h */
};
enum lisp_server_out_type {
    LISP_SVOUT_SEND,                     /* to, port, bytes */
    LISP_SVOUT_REGISTER,                 /* reg: authentic and fresh; keep its nonce (5.6) */
    LISP_SVOUT_NOTIFIED,                 /* ref: the xTR acknowledged */
    LISP_SVOUT_NOTIFY_LOST               /* ref: six tries went unanswered */
};
struct lisp_server_out {
    uint8_t type;                        /* enum lisp_server_out_type */
    struct ip to;
    uint16_t port;
    const uint8_t *bytes;
    size_t size;
    uint64_t ref;
    struct lisp_server_register reg;
};
struct lisp_server;
struct lisp_server *lisp_server_new(const struct lisp_server_conf *conf, uint64_t now_us);
void lisp_server_free(struct lisp_server *s);
uint64_t lisp_server_deadline(const struct lisp_server *s);
void lisp_server_tick(struct lisp_server *s, uint64_t now_us);
bool lisp_server_output(struct lisp_server *s, struct lisp_server_out *out);

/* Keys are per (site, key id); site 0 also serves messages without a site. false: full. */
bool lisp_server_key_set(struct lisp_server *s, uint64_t site_id, const struct lisp_key *key);
bool lisp_server_key_del(struct lisp_server *s, uint64_t site_id, uint8_t key_id);
/* From the store after a start: the last nonce of (xTR-ID, site, key). */
bool lisp_server_nonce_set(struct lisp_server *s, const uint8_t xtr_id[LISP_XTR_ID_SIZE],
    uint64_t site_id, uint8_t key_id, uint64_t nonce);
void lisp_server_input(struct lisp_server *s, const struct ip *from, uint16_t port,
    const uint8_t *bytes, size_t n, uint64_t now_us);
/* After LISP_SVOUT_REGISTER, before the next input: the registration stands. Sends the
 * Map-Notify when the M bit asked for one. Not called: the xTR hears nothing and retries. */
bool lisp_server_registered(struct lisp_server *s);
/* Unsolicited: repeated 3 times at 3 s, then 3 times doubling, until acknowledged (5.7). */
bool lisp_server_notify(struct lisp_server *s, uint64_t ref, const struct ip *to,
    uint64_t site_id, uint8_t key_id, const struct lisp_record *records, uint8_t n,
    uint64_t now_us);

#define LISP_SERVER_COUNTERS(X) \
    X(REGISTERS, "registers") X(BAD, "malformed") X(NO_KEY, "unknown_key") \
    X(BAD_AUTH, "bad_authentication") X(REPLAYS, "replays") X(FULL, "full") \
    X(NOTIFIES, "notifies") X(NOTIFY_RETRIES, "notify_retries") X(NOTIFY_LOST, "notify_lost") \
    X(NOTIFY_ACKS, "notify_acks") X(STRAY, "stray") X(UNKNOWN, "unknown_type")
enum lisp_server_counter {
#define X(sym, name) LISP_VC_##sym,
    LISP_SERVER_COUNTERS(X)
#undef X
    LISP_VC_N
};
uint64_t lisp_server_counter(const struct lisp_server *s, unsigned c);
const char *lisp_server_counter_name(unsigned c);
#endif
