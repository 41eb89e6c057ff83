/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of vdp_bridge: what it keeps (vdp_bridge_keep.c) of requests until they are
 * answered and sent, of stations, and of who refers to whom. For these two files alone.
 */
#ifndef BERTH_PROTO_VDP_BRIDGE_INT_H
#define BERTH_PROTO_VDP_BRIDGE_INT_H
#include "proto/vdp_bridge.h"
#include "proto/vdp_vsis.h"

enum pend_state { PEND_ASKED, PEND_WITH_NODE, PEND_ANSWERED, PEND_DEAD };
struct pend {
    uint32_t next;   /* in the list of its state */
    uint32_t vsi;    /* 0: none (any more) */
    uint32_t serial; /* high half of the node's handle */
    uint8_t state;   /* enum pend_state */
    uint8_t peer;    /* slots */
    uint8_t manager; /* a reference is held */
    uint8_t type;    /* of the TLV */
    uint8_t status;  /* as received; of the answer once answered */
    uint8_t version; /* VSI type version */
    uint8_t format;  /* of the filter */
    bool keepalive, has_berth;
    uint16_t n_entries, org_size, filter_size;
    uint32_t type_id;
    struct vsiid id;
    uint64_t org_hash;
    uint8_t *bytes; /* filter, then org TLVs: of the request, then of the answer */
};
struct queue {
    uint32_t head, tail;
};
struct peer {
    struct mac mac;
    bool used, berth;
    uint8_t turn;  /* manager slot to be served next */
    uint32_t refs; /* VSIs and pends */
    uint64_t seen_us;
    struct ecp_link *link;
    struct queue *queues; /* by manager slot */
};
struct vdp_bridge {
    struct vdp_bridge_conf conf;
    struct ecp_link_conf link_conf;
    struct vdp_bridge_counters counters;
    struct vdp_vsis vsis;
    struct peer *peers;
    struct pool pends;
    uint32_t *serials; /* of the pend with the node at each handle; 0 = none */
    uint32_t n_serials, serial;
    struct queue asked;
    /* what the last output points to */
    struct vdp_request request;
    struct vdp_entry entries[VDP_ENTRIES_MAX];
    uint8_t *request_org;
    uint8_t frame[ECP_FRAME_MAX];
};

/* Handles are of the pool; 0 = none. A pend refers to its station and its manager. */
struct pend *bridge_pend_at(const struct vdp_bridge *b, uint32_t h);
uint32_t bridge_pend_new(
    struct vdp_bridge *b, uint8_t peer, uint8_t manager); /* 0: full */
void bridge_pend_free(struct vdp_bridge *b, uint32_t h);
/* Nobody waits for its answer any more. In the list of asked ones it dies when pulled.
 */
void bridge_pend_withdraw(struct vdp_bridge *b, uint32_t h);
void bridge_pend_queue(struct vdp_bridge *b, uint32_t h); /* answered: to its station */
/* Keeps filter and org TLVs, copied, in one allocation. */
void bridge_pend_keep(struct pend *p, const uint8_t *filter, size_t filter_size,
    const uint8_t *org, size_t org_size);
struct vdp_vsi bridge_pend_vsi(const struct pend *p); /* points into it */
void bridge_push(struct vdp_bridge *b, struct queue *q, uint32_t h);
uint32_t bridge_pop(struct vdp_bridge *b, struct queue *q);

/* NULL: the table is full of stations that hold something here; counted. */
struct peer *bridge_peer_get(
    struct vdp_bridge *b, const struct mac *mac, uint64_t now_us);
void bridge_peer_release(struct peer *peer);

void bridge_rec_set_peer(struct vdp_bridge *b, struct vdp_vsi_rec *rec, uint8_t peer);
uint32_t bridge_rec_add(struct vdp_bridge *b, const struct vsiid *id,
    uint8_t manager, uint8_t peer); /* 0: full */
void bridge_rec_remove(struct vdp_bridge *b, uint32_t h);
#endif
