/* SPDX-License-Identifier: Apache-2.0 */
/* Framing and messages of the NVE - authority session (K5): the frame of
 * draft-ietf-lisp-map-server-reliable-transport (type, length, message id, data, end
 * marker) around batches of entries. doc/protocol/mapping-session.md has every octet.
 * No state, no allocation: decoded entries are values, bodies point into the input. */
#ifndef BERTH_WIRE_LISP_RT_H
#define BERTH_WIRE_LISP_RT_H
#include <sodium/crypto_auth_hmacsha256.h>
#include "wire/lisp.h"

#define LISP_RT_MARKER 0x9facade9u
#define LISP_RT_HEAD 8                   /* type, length, message id */
#define LISP_RT_OVERHEAD 12              /* head and end marker */
#define LISP_RT_FRAME_MAX 16384          /* octets of the longest frame we send or take */
#define LISP_RT_VERSION 1
#define LISP_RT_NONCE 32
#define LISP_RT_MAC 32                   /* HMAC-SHA-256 of the handshake */
#define LISP_RT_TAG 16                   /* per frame once authenticated */
#define LISP_RT_NAME 63                  /* octets of an NVE id, a VN name, a reason text */

/* X-macro: name, number, least and most octets of data, who may send it */
#define LISP_RT_TYPES(X) \
    X(ERROR, 16, 12, 1024, BOTH) \
    X(HELLO, 0xfb01, 41, 128, NVE) \
    X(CHALLENGE, 0xfb02, 35, 128, NVA) \
    X(AUTH, 0xfb03, 32, 32, NVE) \
    X(WELCOME, 0xfb04, 48, 48, NVA) \
    X(REGISTER, 0xfb05, 25, 16384, NVE) \
    X(WITHDRAW, 0xfb06, 21, 16384, NVE) \
    X(REGISTER_END, 0xfb07, 0, 0, NVE) \
    X(ACK, 0xfb08, 24, 16384, NVA) \
    X(REJECT, 0xfb09, 27, 16384, NVA) \
    X(SUBSCRIBE, 0xfb0a, 4, 16384, NVE) \
    X(UNSUBSCRIBE, 0xfb0b, 4, 16384, NVE) \
    X(SNAPSHOT_BEGIN, 0xfb0c, 12, 12, NVA) \
    X(SNAPSHOT_END, 0xfb0d, 12, 12, NVA) \
    X(NOTIFY, 0xfb0e, 25, 16384, NVA) \
    X(SEQ_ACK, 0xfb0f, 8, 8, NVE) \
    X(RESERVE, 0xfb10, 34, 16384, NVE) \
    X(GRANT, 0xfb11, 24, 16384, NVA) \
    X(VN_LOOKUP, 0xfb12, 13, 16384, NVE) \
    X(VN_RECORD, 0xfb13, 20, 16384, NVA) \
    X(CONFIRM, 0xfb14, 11, 16384, NVA) \
    X(WHO_HAS, 0xfb15, 3, 16384, NVA) \
    X(KEEPALIVE, 0xfb16, 0, 0, BOTH) \
    X(GOODBYE, 0xfb17, 1, 1, BOTH) \
    X(MEMBER, 0xfb18, 19, 16384, NVA) \
    X(WATCH, 0xfb19, 4, 16384, NVE) \
    X(RESERVE_VSI, 0xfb1a, 42, 16384, NVE) \
    X(RESERVED, 0xfb1b, 26, 16384, NVA) \
    X(UNRESERVED, 0xfb1c, 32, 16384, NVA)
#define LISP_RT_ENUM(name, number, least, most, who) LISP_RT_##name = number,
enum lisp_rt_type { LISP_RT_TYPES(LISP_RT_ENUM) };
const char *lisp_rt_type_str(uint16_t type);
bool lisp_rt_known(uint16_t type);       /* else of a later version: to be skipped */

enum lisp_rt_side { LISP_RT_NVE = 1, LISP_RT_NVA = 2, LISP_RT_BOTH = 3 };
enum lisp_rt_reason {                    /* of REJECT and GOODBYE */
    LISP_RT_R_NONE, LISP_RT_R_STALE,     /* STALE: a newer epoch is known; it is carried along */
    LISP_RT_R_CONFLICT,                  /* equal epochs, different migration ids (K4) */
    LISP_RT_R_NO_VN, LISP_RT_R_POLICY, LISP_RT_R_FULL, LISP_RT_R_NOT_READY,  /* T_recover, K4 */
    LISP_RT_R_NOT_OWNER,                 /* withdrawal by another than (owner, epoch): E4 */
    LISP_RT_R_MALFORMED, LISP_RT_R_AUTH, LISP_RT_R_VERSION, LISP_RT_R_LIVENESS,
    LISP_RT_R_SLOW,                      /* the peer did not read: stream cut */
    LISP_RT_R_SHUTDOWN, LISP_RT_R_REPLACED, /* a newer session of the same NVE */
    LISP_RT_R_PROTOCOL,                  /* right message at the wrong time, or a lie */
    LISP_RT_R_LOST,                      /* transport closed or refused (never on the wire) */
    LISP_RT_N_REASONS
};
const char *lisp_rt_reason_str(uint8_t reason);

struct lisp_rt_frame {
    uint16_t type;
    uint32_t id;
    const uint8_t *body;
    size_t size;                         /* octets of the body, a tag not taken off */
    size_t whole;                        /* octets of the frame */
};
/* 1: f filled, f->whole octets used; 0: more octets are needed; -1: not a frame. */
int lisp_rt_frame_get(const uint8_t *p, size_t n, struct lisp_rt_frame *f);
/* Checks a body's size (without its tag) and sender against the table of types. */
enum lisp_err lisp_rt_check(uint16_t type, size_t size, enum lisp_rt_side from);
size_t lisp_rt_frame_begin(struct wr *w, uint16_t type, uint32_t id);  /* where it starts */
void lisp_rt_frame_end(struct wr *w, size_t start);        /* sets length, writes the marker */

struct lisp_rt_hello {                   /* HELLO; CHALLENGE has id = the authority, no vtep */
    uint8_t version;
    uint8_t id_size;
    char id[LISP_RT_NAME + 1];           /* NUL added; no control characters */
    struct ip vtep;
    uint8_t nonce[LISP_RT_NONCE];
};
struct lisp_rt_welcome {
    uint64_t incarnation;                /* of the authority: changes when it restarts */
    uint32_t hold_ms, reserved;
    uint8_t mac[LISP_RT_MAC];
};
#define LISP_RT_F_CLAIM 0x01             /* reserve an epoch above all known, publish with it (K4) */
#define LISP_RT_F_REFRESH 0x02           /* registered before, told again to a new session */
struct lisp_rt_entry {                   /* REGISTER, NOTIFY (ref unused; ttl 0 = withdrawn) */
    uint64_t ref;                        /* chosen by the sender of the request, echoed */
    uint8_t flags;
    struct lisp_record record;
};
struct lisp_rt_withdraw {
    uint64_t ref, epoch;
    struct ip owner;
    struct lisp_eid eid;
};
struct lisp_rt_answer {                  /* ACK, GRANT: ref, epoch, id; REJECT: all */
    uint64_t ref, epoch, migration_id;
    uint8_t reason;
    struct ip owner;
};
struct lisp_rt_reserve {
    uint64_t ref, epoch, migration_id;   /* epoch: what was carried, 0 = nothing */
    uint32_t vni;
    struct mac mac;
    uint64_t vsi;                        /* RESERVE_VSI; RESERVE has none: 0 */
};
struct lisp_rt_reserved {                /* RESERVED: another NVE has reserved a number of one */
    uint64_t epoch, migration_id;        /* of yours; UNRESERVED: that is void */
    uint32_t vni;
    struct mac mac;
    struct ip target;                    /* its VTEP; none in a RESERVED: all that is reserved is void */
};
/* The numbers are the wire's; a receiver treats an unknown policy as SUPPRESS. */
enum lisp_vn_arp { LISP_VN_ARP_SUPPRESS, LISP_VN_ARP_FLOOD, LISP_VN_ARP_OWN_MAC,
    LISP_VN_ARP_TRANSLATE };
enum lisp_vn_reply { LISP_VN_CENTRAL, LISP_VN_DISTRIBUTED };          /* S4-32, S4-33 */
#define LISP_VN_F_DELETED 0x01
#define LISP_VN_F_PULL 0x02              /* no subscription: ask on a miss */
struct lisp_rt_vn {                      /* VN_RECORD; VN_LOOKUP: ref, vni or name */
    uint64_t ref;                        /* of the VN_LOOKUP, 0 = pushed */
    uint32_t vni, mtu;
    uint8_t arp_policy, reply_mode, flags, name_size;
    char name[LISP_RT_NAME + 1];
};
struct lisp_rt_member {                  /* an NVE takes part in a VN: BUM frames go to it */
    uint32_t vni;
    bool gone;
    struct ip vtep;
};
struct lisp_rt_confirm {                 /* every subscriber has acknowledged `epoch` of `eid` */
    uint64_t epoch;
    struct lisp_eid eid;
};
/* One entry at a time from or to a body. */
enum lisp_err lisp_rt_hello_get(struct rd *r, bool with_vtep, struct lisp_rt_hello *m);
void lisp_rt_hello_put(struct wr *w, bool with_vtep, const struct lisp_rt_hello *m);
enum lisp_err lisp_rt_welcome_get(struct rd *r, struct lisp_rt_welcome *m);
void lisp_rt_welcome_put(struct wr *w, const struct lisp_rt_welcome *m);
enum lisp_err lisp_rt_entry_get(struct rd *r, const struct lisp_dialect *d, bool with_ref,
    struct lisp_rt_entry *m);
void lisp_rt_entry_put(struct wr *w, const struct lisp_dialect *d, bool with_ref,
    const struct lisp_rt_entry *m);
enum lisp_err lisp_rt_withdraw_get(struct rd *r, struct lisp_rt_withdraw *m);
void lisp_rt_withdraw_put(struct wr *w, const struct lisp_dialect *d,
    const struct lisp_rt_withdraw *m);
enum lisp_err lisp_rt_answer_get(struct rd *r, bool reject, struct lisp_rt_answer *m);
void lisp_rt_answer_put(struct wr *w, bool reject, const struct lisp_rt_answer *m);
enum lisp_err lisp_rt_reserve_get(struct rd *r, bool with_vsi, struct lisp_rt_reserve *m);
void lisp_rt_reserve_put(struct wr *w, bool with_vsi, const struct lisp_rt_reserve *m);
enum lisp_err lisp_rt_reserved_get(struct rd *r, struct lisp_rt_reserved *m);
void lisp_rt_reserved_put(struct wr *w, const struct lisp_rt_reserved *m);
enum lisp_err lisp_rt_vn_get(struct rd *r, bool lookup, struct lisp_rt_vn *m);
void lisp_rt_vn_put(struct wr *w, bool lookup, const struct lisp_rt_vn *m);
enum lisp_err lisp_rt_member_get(struct rd *r, struct lisp_rt_member *m);
void lisp_rt_member_put(struct wr *w, const struct lisp_rt_member *m);
enum lisp_err lisp_rt_key_get(struct rd *r, struct lisp_eid *eid);     /* length, then EID */
void lisp_rt_key_put(struct wr *w, const struct lisp_dialect *d, const struct lisp_eid *eid);
enum lisp_err lisp_rt_confirm_get(struct rd *r, struct lisp_rt_confirm *m);
void lisp_rt_confirm_put(struct wr *w, const struct lisp_dialect *d,
    const struct lisp_rt_confirm *m);

/* Handshake and frame authentication with the NVE's key (HMAC-SHA-256). */
struct lisp_rt_key {                     /* ready to use: its two blocks are hashed once */
    crypto_auth_hmacsha256_state state;
};
struct lisp_rt_keys {                    /* of one session, one key per direction */
    struct lisp_rt_key nve, nva;
};
void lisp_rt_handshake_mac(const uint8_t *key, size_t key_size, enum lisp_rt_side who,
    const struct lisp_rt_hello *nve, const struct lisp_rt_hello *nva,
    uint8_t mac[LISP_RT_MAC]);
void lisp_rt_session_keys(const uint8_t *key, size_t key_size,
    const struct lisp_rt_hello *nve, const struct lisp_rt_hello *nva,
    struct lisp_rt_keys *keys);
/* Over the running number of the frame, its head and its body without the tag. */
void lisp_rt_tag(const struct lisp_rt_key *key, uint64_t number, const uint8_t *frame,
    size_t head_and_body, uint8_t tag[LISP_RT_TAG]);
bool lisp_rt_equal(const uint8_t *a, const uint8_t *b, size_t n);      /* constant time */
#endif
