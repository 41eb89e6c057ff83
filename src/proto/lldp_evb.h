/* SPDX-License-Identifier: Apache-2.0 */
/* LLDP between a bridge port and a station with the EVB TLV (802.1Q-2014 D.2.13): timers
 * are the larger of both sides, reflective relay (K10) and GroupIDs are agreed, and Berth's
 * hello tells that the other side is ours (K20). Sent each second until a neighbour is
 * seen, then at the normal interval. Times in us. */
#ifndef BERTH_PROTO_LLDP_EVB_H
#define BERTH_PROTO_LLDP_EVB_H
#include "base/timers.h"
#include "wire/eth.h"
#include "wire/lldp.h"

#define LLDP_FRAME_MAX 256               /* of those we send */
struct lldp_evb_conf {
    enum lldp_evb_mode role;
    struct mac self, group, extra;       /* group none = eth_mac_ncb */
    struct lldp_id chassis, port;        /* size 0 = self */
    uint64_t interval_us, fast_us;       /* 30 s, 1 s */
    uint16_t ttl_s;                      /* 120 */
    struct evb_timers timers;            /* ours */
    bool group_ids;                      /* GroupIDs understood */
    bool reflective_relay;               /* bridge: can; station: wants */
    bool hello;                          /* send Berth's TLV */
    uint32_t oui, boot;
};
struct lldp_evb_conf lldp_evb_defaults(enum lldp_evb_mode role, const struct mac *self);

struct lldp_evb_state {                  /* what was agreed */
    bool up;                             /* a neighbour with the other role is there */
    struct mac neighbour;
    struct evb_timers timers;            /* max(local, remote); local while not up */
    bool reflective_relay;               /* on (bridge: RRCTR; station: RRSTAT = 1) */
    bool group_ids;                      /* both */
    bool berth;                          /* the neighbour is ours */
    uint32_t boot;                       /* its boot number, if ours */
};
enum lldp_evb_event { LLDP_EVB_FRAME, LLDP_EVB_STATE };
struct lldp_evb_out {
    enum lldp_evb_event event;
    const uint8_t *frame;                /* FRAME */
    size_t frame_size;
    struct lldp_evb_state state;         /* STATE: something has changed */
    bool restarted;                      /* STATE: the neighbour has started anew */
};
struct lldp_evb_counters {
    uint64_t tx, rx, rx_bad, rx_other, aged, restarts, changes;
};
struct lldp_evb;
struct lldp_evb *lldp_evb_new(const struct lldp_evb_conf *conf, uint64_t now_us);
/* An untagged frame of Ethertype 0x88CC. Without an EVB TLV or hello it is only counted. */
void lldp_evb_input(struct lldp_evb *e, const uint8_t *frame, size_t size, uint64_t now_us);
uint64_t lldp_evb_deadline(const struct lldp_evb *e);
bool lldp_evb_output(struct lldp_evb *e, uint64_t now_us, struct lldp_evb_out *out);
/* Carrier: down forgets the neighbour, up sends fast again. */
void lldp_evb_set_carrier(struct lldp_evb *e, bool up, uint64_t now_us);
void lldp_evb_bye(struct lldp_evb *e);   /* queues the shutdown LLDPDU (TTL 0) */
const struct lldp_evb_state *lldp_evb_state(const struct lldp_evb *e);
const struct lldp_evb_counters *lldp_evb_counters(const struct lldp_evb *e);
void lldp_evb_free(struct lldp_evb *e);
#endif
