/* SPDX-License-Identifier: Apache-2.0 */
/* One authority (NVA) as a pure machine: core/registry composed with the session servers
 * and the UDP map server of proto. main.c joins it with host, the simulator with a seeded
 * network. Inputs and outputs are plain data; borrowed pointers: an input's for the call,
 * an output's until the next call. Pull nva_output until false after every input. */
#ifndef BERTH_NVA_NODE_H
#define BERTH_NVA_NODE_H
#include "base/timers.h"
#include "core/edge.h"

struct nva_key {                         /* who may connect */
    const char *nve;                     /* name of the NVE, or "*" for those not named */
    const char *secret;                  /* 1 to 64 octets */
};
struct nva_xtr_key {                     /* foreign routers that may register (RFC 9301) */
    uint64_t site_id;                    /* 0 also serves messages without a site */
    uint8_t key_id, alg;                 /* enum lisp_alg; 0: HMAC-SHA-256-128 */
    const char *secret;
};
/* Timers and limits (K19); nva_settings[] documents them. */
enum nva_setting { NVA_SET_RECOVER_US, NVA_SET_FORGET_US, NVA_SET_STALE_US,
    NVA_SET_NEGATIVE_US, NVA_SET_HOLD_US, NVA_SET_HANDSHAKE_US, NVA_SET_FOREIGN_TTL_US, NVA_SET_DAMP_US,
    NVA_SET_MAX_NVES, NVA_SET_MAX_STREAMS, NVA_SET_MAX_MAPPINGS, NVA_SET_MAX_VNS,
    NVA_SET_MAX_KEY_SUBS, NVA_SET_MAX_RESERVATIONS, NVA_SET_MAX_TALKERS,
    NVA_SET_MAX_WAITING, NVA_SET_MAX_ROUTERS, NVA_SET_MAX_FOREIGN, NVA_SET_WINDOW,
    NVA_SET_BACKLOG, NVA_SET_DAMP_MOVES, NVA_SET_N };
extern const struct setting nva_settings[NVA_SET_N];

struct nva_conf {
    const char *name;
    const struct nva_key *keys;
    uint32_t n_keys;
    const struct nva_xtr_key *xtr_keys;
    uint32_t n_xtr_keys;
    uint32_t oui;                        /* of the vendor LCAF; 0: the default */
    uint64_t seed;
    uint64_t incarnation;                /* another one at each start; 0: made of the seed */
    uint64_t settings[NVA_SET_N];        /* 0: the default */
    uint32_t trace_events;               /* kept for `trace`; 0: the default */
    uint64_t wall_us;                    /* time of day minus the clock of now_us, for `trace` */
};
enum nva_in_type {
    NVA_IN_TICK,
    NVA_IN_LOAD_VN, NVA_IN_LOAD_EPOCH, NVA_IN_LOAD_NVE, NVA_IN_LOAD_RESERVATION,
    NVA_IN_LOADED,                       /* these from the store, at start */
    NVA_IN_STORED,                       /* completion of NVA_OUT_STORE */
    NVA_IN_STREAM_OPEN, NVA_IN_STREAM_DATA, NVA_IN_STREAM_CLOSED,   /* conn */
    NVA_IN_STREAM_BLOCKED,               /* its reader is slow: no more until DRAINED */
    NVA_IN_STREAM_DRAINED,
    NVA_IN_UDP,
    NVA_IN_CONTROL, NVA_IN_CONTROL_MORE, NVA_IN_CONTROL_GONE,
    NVA_IN_STOP                          /* says goodbye to every session */
};
struct nva_in {
    uint8_t type;
    uint64_t conn;                       /* a stream's or a control client's number, never used twice */
    uint32_t id;
    int status;
    const struct vn_rec *vn;             /* LOAD_VN */
    uint32_t vni;                        /* LOAD_EPOCH: key and highest epoch; vni 0: global high water */
    struct mac mac;
    uint64_t epoch, migration_id;
    struct ip target;                    /* LOAD_RESERVATION, with all that LOAD_EPOCH has */
    const char *name;                    /* LOAD_NVE */
    const uint8_t *p;                    /* STREAM_OPEN: at least 32 octets nobody can guess */
    uint32_t size;                       /* CONTROL_MORE: octets the reader can take */
    struct ip from;                      /* STREAM_OPEN, UDP */
    uint16_t from_port;
};
enum nva_store_op { STORE_VN_PUT, STORE_VN_DEL, STORE_EPOCH /* epoch 0: delete */,
    STORE_EPOCH_HWM, STORE_NVE_PUT, STORE_RESERVATION /* epoch 0: delete */ };
enum nva_out_type {
    NVA_OUT_STREAM_DATA, NVA_OUT_STREAM_CLOSE,
    NVA_OUT_UDP,
    NVA_OUT_STORE,                       /* answered by STORED when id != 0 */
    NVA_OUT_CONTROL
};
struct nva_out {
    uint8_t type;
    uint8_t last;                        /* CONTROL: 0 more on CONTROL_MORE, 1 ok, 2 p is the error */
    uint8_t store;                       /* enum nva_store_op */
    uint64_t conn;
    uint32_t id;
    struct vn_rec vn;
    uint32_t vni;
    struct mac mac;
    uint64_t epoch, migration_id;
    struct ip target;                    /* STORE_RESERVATION */
    const char *name;
    const uint8_t *p;
    uint32_t size;
    struct ip to;
    uint16_t to_port;
};

struct nva;
struct nva *nva_new(const struct nva_conf *conf, uint64_t now_us);   /* conf is copied */
void nva_free(struct nva *n);
void nva_input(struct nva *n, const struct nva_in *in, uint64_t now_us);
uint64_t nva_deadline(const struct nva *n);
bool nva_output(struct nva *n, struct nva_out *out);
/* The fast path of a Map-Request (S4-31): answers into out without any queue; octets
 * written and where they go, or 0: nva_input must take the datagram. Outputs may follow. */
uint32_t nva_udp_fast(struct nva *n, const uint8_t *p, uint32_t size, const struct ip *from,
    uint16_t from_port, uint8_t *out, uint32_t out_size, struct ip *to, uint16_t *to_port,
    uint64_t now_us);
struct registry;
struct registry *nva_registry(struct nva *n);    /* for tests: the domain inside */
#endif
