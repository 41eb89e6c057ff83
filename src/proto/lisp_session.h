/* SPDX-License-Identifier: Apache-2.0 */
/* The two ends of the NVE - authority session (K5) as machines over a byte stream:
 * handshake, framing, order, batching, liveness. They decide nothing and hold no mapping:
 * adapters turn core's outputs into verbs and events into core's inputs.
 *
 * Pull lisp_session_output until it is false after every input and every verb. An event's
 * contents live until the next call. After DOWN (client) or CLOSED (server) nothing that
 * was under way is answered: the adapter asks or registers again when UP comes. A peer
 * that does not read is cut off (SLOW) and takes a snapshot anew. Times in microseconds. */
#ifndef BERTH_PROTO_LISP_SESSION_H
#define BERTH_PROTO_LISP_SESSION_H
#include "base/timers.h"
#include "wire/lisp_rt.h"

enum lisp_session_setting { LISP_SESSION_HOLD_US, LISP_SESSION_HANDSHAKE_US,
    LISP_SESSION_BACKOFF_US, LISP_SESSION_BACKOFF_MAX_US, LISP_SESSION_OUT_MAX,
    LISP_SESSION_WINDOW, LISP_SESSION_N_SETTINGS };
extern const struct setting lisp_session_settings[LISP_SESSION_N_SETTINGS];   /* K19 */

struct lisp_session_conf {
    const char *id;                      /* NVE id, or the authority's; copied */
    struct ip vtep;                      /* client: its tunnel endpoint */
    const uint8_t *key;                  /* client: shared secret; copied */
    size_t key_size;                     /* 1 .. LISP_KEY_MAX */
    uint64_t incarnation;                /* server: differs after each start */
    uint64_t seed;                       /* jitter of the backoff */
    struct lisp_dialect dialect;
    uint64_t settings[LISP_SESSION_N_SETTINGS];  /* 0 = default */
};
enum lisp_session_event_type {
    /* client */
    LISP_SEV_UP,                         /* id, incarnation: register all, then register_end */
    LISP_SEV_DOWN,                       /* reason; also of a failed attempt; the next one follows
                                          * by itself */
    LISP_SEV_ACK,                        /* ref, epoch, migration_id: registered, withdrawn */
    LISP_SEV_REJECT,                     /* ref, reason; epoch, migration_id, owner as known there */
    LISP_SEV_GRANT,                      /* ref, epoch, migration_id */
    LISP_SEV_SNAPSHOT_BEGIN, LISP_SEV_SNAPSHOT_END,           /* vni, seq */
    LISP_SEV_NOTIFY,                     /* seq, flags, record; ttl_min 0 = withdrawn */
    LISP_SEV_MEMBER,                     /* seq, vni, vtep, gone */
    LISP_SEV_VN,                         /* vn; ref of the look-up or 0 */
    LISP_SEV_CONFIRM,                    /* eid, epoch: installed at every subscriber (K6 REMOTE) */
    LISP_SEV_WHO_HAS,                    /* eid: does anybody here answer to it? (K8) */
    LISP_SEV_RESERVED,                   /* vni, mac, epoch, migration_id: of a key of ours, by the
                                          * NVE owner (K4); gone: no longer */
    /* server */
    LISP_SEV_NEED_KEY,                   /* id, vtep: answer with lisp_session_key */
    LISP_SEV_AUTHENTICATED,              /* id, vtep */
    LISP_SEV_REGISTER,                   /* ref, flags, record: answer ack or reject */
    LISP_SEV_REGISTER_END,               /* all that the NVE has was registered (K4, K17) */
    LISP_SEV_WITHDRAW,                   /* ref, eid, owner, epoch (E4) */
    LISP_SEV_SUBSCRIBE, LISP_SEV_WATCH, LISP_SEV_UNSUBSCRIBE, /* vni */
    LISP_SEV_RESERVE,                    /* ref, vni, mac, vsi, epoch (carried), migration_id */
    LISP_SEV_SEQ_ACK,                    /* seq: all up to it is set at that NVE */
    LISP_SEV_VN_LOOKUP,                  /* ref, vn.vni or vn.name: answer vn_record or reject */
    LISP_SEV_CLOSED,                     /* reason: the machine is finished; free it */
    LISP_SEV_N
};
struct lisp_session_event {
    uint8_t type;                        /* enum lisp_session_event_type */
    uint8_t reason, flags;
    bool gone;
    uint32_t vni;
    uint64_t ref, seq, epoch, migration_id, incarnation, vsi;
    struct ip owner, vtep;
    struct mac mac;
    const char *id;
    struct lisp_eid eid;
    struct lisp_record record;
    struct lisp_rt_vn vn;
};
enum lisp_session_out_type { LISP_SOUT_CONNECT, LISP_SOUT_SEND, LISP_SOUT_CLOSE,
    LISP_SOUT_EVENT };
struct lisp_session_out {
    uint8_t type;                        /* enum lisp_session_out_type */
    const uint8_t *bytes;                /* SEND: copy or write before the next call, */
    size_t size;                         /* and report by lisp_session_written */
    struct lisp_session_event event;
};

struct lisp_session;
struct lisp_session *lisp_session_new_client(const struct lisp_session_conf *conf,
    uint64_t now_us);                    /* asks to CONNECT at once */
struct lisp_session *lisp_session_new_server(const struct lisp_session_conf *conf,
    const uint8_t nonce[LISP_RT_NONCE], uint64_t now_us);  /* of an accepted connection */
void lisp_session_free(struct lisp_session *s);
uint64_t lisp_session_deadline(const struct lisp_session *s);
bool lisp_session_output(struct lisp_session *s, struct lisp_session_out *out);

/* Inputs. Nonces are random octets, fresh for each connection. */
void lisp_session_connected(struct lisp_session *s, const uint8_t nonce[LISP_RT_NONCE],
    uint64_t now_us);
void lisp_session_closed(struct lisp_session *s, uint64_t now_us);   /* or connect failed */
void lisp_session_input(struct lisp_session *s, const uint8_t *bytes, size_t n,
    uint64_t now_us);
void lisp_session_written(struct lisp_session *s, size_t n, uint64_t now_us);
void lisp_session_tick(struct lisp_session *s, uint64_t now_us);
void lisp_session_stop(struct lisp_session *s, uint8_t reason, uint64_t now_us);  /* GOODBYE, CLOSE */

/* Verbs. false: not up (any more); nothing was sent. Refs come back in the answer. */
bool lisp_session_is_up(const struct lisp_session *s);
bool lisp_session_register(struct lisp_session *s, uint64_t ref, uint8_t flags,
    const struct lisp_record *record);
bool lisp_session_register_end(struct lisp_session *s);
bool lisp_session_withdraw(struct lisp_session *s, uint64_t ref, const struct lisp_eid *eid,
    const struct ip *owner, uint64_t epoch);
bool lisp_session_subscribe(struct lisp_session *s, uint32_t vni);
bool lisp_session_watch(struct lisp_session *s, uint32_t vni);      /* members only: a VN that is pulled */
bool lisp_session_unsubscribe(struct lisp_session *s, uint32_t vni);
bool lisp_session_reserve(struct lisp_session *s, uint64_t ref, uint32_t vni,
    const struct mac *mac, uint64_t vsi, uint64_t carried_epoch, uint64_t migration_id);
bool lisp_session_seq_ack(struct lisp_session *s, uint64_t seq);     /* cumulative; after the maps are set */
bool lisp_session_vn_lookup(struct lisp_session *s, uint64_t ref, uint32_t vni,
    const char *name);
/* server side */
void lisp_session_key(struct lisp_session *s, const uint8_t *key, size_t key_size,
    uint64_t now_us);                    /* NULL: unknown NVE, refused */
bool lisp_session_ack(struct lisp_session *s, uint64_t ref, uint64_t epoch,
    uint64_t migration_id);
bool lisp_session_reject(struct lisp_session *s, const struct lisp_rt_answer *answer);
bool lisp_session_grant(struct lisp_session *s, uint64_t ref, uint64_t epoch,
    uint64_t migration_id);
/* The next four take a place in the sequence and tell its number. */
bool lisp_session_snapshot(struct lisp_session *s, uint32_t vni, bool begin, uint64_t *seq);
bool lisp_session_notify(struct lisp_session *s, uint8_t flags,
    const struct lisp_record *record, uint64_t *seq);
bool lisp_session_member(struct lisp_session *s, uint32_t vni, const struct ip *vtep,
    bool gone, uint64_t *seq);
bool lisp_session_vn_record(struct lisp_session *s, const struct lisp_rt_vn *vn);
bool lisp_session_confirm(struct lisp_session *s, const struct lisp_eid *eid, uint64_t epoch);
bool lisp_session_who_has(struct lisp_session *s, const struct lisp_eid *eid);
bool lisp_session_reserved(struct lisp_session *s, const struct lisp_rt_reserved *reserved,
    bool gone);

/* For people and tests. */
#define LISP_SESSION_COUNTERS(X) \
    X(FRAMES_IN, "frames_in") X(FRAMES_OUT, "frames_out") X(BYTES_IN, "bytes_in") \
    X(BYTES_OUT, "bytes_out") X(CONNECTS, "connects") X(DOWNS, "downs") \
    X(BAD_FRAME, "bad_frame") X(BAD_TAG, "bad_tag") X(BAD_TYPE, "bad_type") \
    X(BAD_ENTRY, "bad_entry") X(BAD_AUTH, "bad_auth") X(SLOW, "slow") X(DEAD, "dead") \
    X(SKIPPED, "skipped")                /* frames of types that we do not know */
enum lisp_session_counter {
#define X(sym, name) LISP_SC_##sym,
    LISP_SESSION_COUNTERS(X)
#undef X
    LISP_SC_N
};
uint64_t lisp_session_counter(const struct lisp_session *s, unsigned c);
const char *lisp_session_counter_name(unsigned c);
const char *lisp_session_state_str(const struct lisp_session *s);
/* Octets not yet written: whoever sends a snapshot waits while this is high. */
size_t lisp_session_backlog(const struct lisp_session *s);
uint64_t lisp_session_seq(const struct lisp_session *s);     /* last number given (server) or seen */
#endif
