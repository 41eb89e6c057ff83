/* SPDX-License-Identifier: Apache-2.0 */
/* One authority (NVA) as a pure machine: core/registry composed with the session servers
 * and the UDP map server of proto. main.c joins it with host, the simulator with a seeded
 * network. Same rules for borrowed pointers as nve/node.h. */
#ifndef BERTH_NVA_NODE_H
#define BERTH_NVA_NODE_H
#include "core/edge.h"

struct nva_key {                         /* who may connect */
    const char *nve;                     /* name of the NVE, or "*" */
    const char *secret;
};
struct nva_conf {
    const char *name;
    struct ip address;                   /* own address in UDP answers */
    const struct nva_key *keys;
    uint32_t n_keys;
    uint32_t oui;
    uint64_t seed;
    uint32_t max_nves, max_mappings, max_vns;
    uint64_t recover_us, forget_us, stale_us;   /* T_recover, T_forget (K4), T_stale (K11) */
};
enum nva_in_type {
    NVA_IN_TICK,
    NVA_IN_LOAD_VN, NVA_IN_LOAD_EPOCH, NVA_IN_LOAD_NVE, NVA_IN_LOADED,  /* from the store, at start */
    NVA_IN_STORED,                       /* completion of NVA_OUT_STORE */
    NVA_IN_STREAM_OPEN, NVA_IN_STREAM_DATA, NVA_IN_STREAM_CLOSED,   /* conn */
    NVA_IN_STREAM_DRAINED,               /* a blocked connection takes octets again */
    NVA_IN_UDP,
    NVA_IN_CONTROL, NVA_IN_CONTROL_MORE, NVA_IN_CONTROL_GONE
};
struct nva_in {
    uint8_t type;
    uint64_t conn;                       /* a stream's or a control client's number */
    uint32_t id;
    int status;
    const struct vn_rec *vn;             /* LOAD_VN */
    uint32_t vni;                        /* LOAD_EPOCH: key and highest epoch; vni 0: global high water */
    struct mac mac;
    uint64_t epoch, migration_id;
    const char *name;                    /* LOAD_NVE */
    const uint8_t *p;                    /* STREAM_OPEN: at least 32 octets nobody can guess */
    uint32_t size;                       /* CONTROL_MORE: octets the reader can take */
    struct ip from;                      /* STREAM_OPEN, UDP */
    uint16_t from_port;
};
enum nva_store_op { STORE_VN_PUT, STORE_VN_DEL, STORE_EPOCH, STORE_EPOCH_HWM, STORE_NVE_PUT };
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
 * written, or 0 when nva_input must take the datagram. */
uint32_t nva_udp_fast(struct nva *n, const uint8_t *p, uint32_t size, const struct ip *from,
    uint16_t from_port, uint8_t *out, uint32_t out_size, uint64_t now_us);
#endif
