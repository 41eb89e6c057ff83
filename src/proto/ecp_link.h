/* SPDX-License-Identifier: Apache-2.0 */
/* ECP with one peer (802.1Q-2014 clause 43): stop and wait, one request outstanding in each
 * direction, R retries every RTE, immediate acks, duplicates acked and not delivered again.
 * Frames in and out are untagged Ethernet without FCS. Times in us. Owner frees. */
#ifndef BERTH_PROTO_ECP_LINK_H
#define BERTH_PROTO_ECP_LINK_H
#include "base/timers.h"
#include "wire/ecp.h"
#include "wire/eth.h"

#define ECP_LINK_GAP_US 10000            /* K13; lldpad reads one input buffer each 2 ms */
#define ECP_FRAME_MAX   (ETH_HEADER_SIZE + ECP_PDU_MAX)
struct ecp_link_conf {
    struct mac self;                     /* source address */
    struct mac group;                    /* destination, and accepted */
    struct mac extra;                    /* also accepted (and then answered to); none = zero */
    uint8_t retries;                     /* R: a request goes out R + 1 times at most */
    uint64_t rte_us;                     /* ECP retransmission timer */
    uint64_t gap_us;                     /* least time between new requests; 0 = none */
    uint32_t queue_max;                  /* requests waiting behind the outstanding one */
};
struct ecp_link_counters {
    uint64_t tx_new, tx_again, tx_ack, rx_new, rx_duplicate, rx_ack, rx_stray_ack, rx_refused;
    uint64_t lost;                       /* requests given up after R retries */
    uint64_t queue_full;
};
enum ecp_link_in {
    ECP_LINK_DELIVER,                    /* a new payload for the user; its ack is queued */
    ECP_LINK_DUPLICATE,                  /* acked again, not delivered */
    ECP_LINK_ACKED,                      /* the outstanding request is through */
    ECP_LINK_IGNORED,                    /* not for us, not ECP/VDP, stray ack: counted */
};
struct ecp_link;
struct ecp_link *ecp_link_new(const struct ecp_link_conf *conf, uint64_t now_us);
/* *payload points into `frame`. The first request after start or reset is always new. */
enum ecp_link_in ecp_link_input(struct ecp_link *l, const uint8_t *frame, size_t size,
    uint64_t now_us, const uint8_t **payload, size_t *payload_size);
/* A request could go out at once: nothing outstanding or queued, and the gap is over. */
bool ecp_link_ready(const struct ecp_link *l, uint64_t now_us);
/* When ecp_link_ready becomes true if no ack is missing; TIMER_NEVER while one is. */
uint64_t ecp_link_ready_at(const struct ecp_link *l);
/* Copies a payload of at most ECP_PAYLOAD_MAX; false: too long, or the queue is full. */
bool ecp_link_send(struct ecp_link *l, const uint8_t *payload, size_t size, uint64_t now_us);
uint64_t ecp_link_deadline(const struct ecp_link *l);   /* call ecp_link_output then */
/* Next frame (at most ECP_FRAME_MAX octets, padded to 60); 0 = none now. Acks first. */
size_t ecp_link_output(struct ecp_link *l, uint64_t now_us, uint8_t frame[ECP_FRAME_MAX]);
void ecp_link_set_timers(struct ecp_link *l, uint8_t retries, uint64_t rte_us);
void ecp_link_set_gap(struct ecp_link *l, uint64_t gap_us);
/* The peer is known to have started anew: forget its sequence; what is queued stays. */
void ecp_link_reset_peer(struct ecp_link *l);
const struct ecp_link_counters *ecp_link_counters(const struct ecp_link *l);
void ecp_link_free(struct ecp_link *l);
/* Source address and destination check without a link: which peer a frame belongs to. */
bool ecp_link_peek(const struct ecp_link_conf *conf, const uint8_t *frame, size_t size,
    struct mac *peer, struct ecp *ecp);
#endif
