/* SPDX-License-Identifier: Apache-2.0 */
/* VDP, the station's side, for one uplink (802.1Q-2014 clause 41). Many VSIs per ECPDU, one
 * manager id per PDU; a keep-alive each T(RKA); answers, losses and the bridge's own
 * de-associations come out as events. Times in us. Pointers in outputs are valid until the
 * next call on the same station. */
#ifndef BERTH_PROTO_VDP_STATION_H
#define BERTH_PROTO_VDP_STATION_H
#include "proto/ecp_link.h"
#include "wire/berth_tlv.h"
#include "wire/lldp.h"
#include "wire/vdp.h"

struct vdp_station_conf {
    struct mac self, group, extra;
    struct evb_timers timers;            /* until vdp_station_set_peer */
    uint64_t gap_us;                     /* towards a bridge not known as ours */
    uint32_t oui;
    uint32_t max_vsis;
    uint8_t max_managers;
    uint8_t tries;                       /* response waits before a request has failed */
    uint64_t seed;
};
struct vdp_station_conf vdp_station_defaults(const struct mac *self);

struct vdp_station_request {             /* suspend .. terminate: see vdp_station_op */
    uint64_t cookie;                     /* comes back in the result */
    struct vdp_key key;
    uint8_t type;                        /* VDP_PREASSOC .. VDP_DEASSOC */
    bool m, s;
    uint8_t filter_format;               /* 0 = as in the last request of this VSI */
    uint16_t n_entries;
    const struct vdp_entry *entries;     /* tags already assigned are put in by the station */
    bool has_berth;
    struct berth_tlv berth;
};
/* Type, M, S and Berth's op and phase of an abstract operation (requirements 3.2): suspend =
 * Assoc S=1, resume = Assoc, emigrate = Assoc S=1 with target, immigrate = (Pre-)Assoc M=1. */
bool vdp_station_op(struct vdp_station_request *r, enum berth_op op, enum berth_phase phase);

enum vdp_station_event {
    VDP_STATION_FRAME,                   /* send .frame on the uplink, untagged */
    VDP_STATION_RESULT,                  /* answer to a request; code 0 = ok */
    VDP_STATION_TIMEOUT,                 /* no answer to a request: the VSI's state is unknown */
    VDP_STATION_SUPERSEDED,              /* a newer request took its place before an answer */
    VDP_STATION_LOST,                    /* keep-alive refused or without answer: VSI removed */
    VDP_STATION_DEASSOC,                 /* the bridge has de-associated the VSI */
};
struct vdp_station_out {
    enum vdp_station_event event;
    const uint8_t *frame;
    size_t frame_size;
    uint64_t cookie;                     /* of the VSI's last request */
    struct vdp_key key;
    uint8_t type, code;
    bool keep, hard;
    bool held;                           /* an earlier request of it is kept alive */
    uint8_t filter_format;
    uint16_t n_entries;
    const struct vdp_entry *entries;     /* with the tags assigned */
    bool has_berth;
    struct berth_tlv berth;
};
struct vdp_station_counters {
    uint64_t requests, results, timeouts, superseded, keepalives, lost, deassocs, refused_limit;
    uint64_t rx_pdus, rx_vsis, rx_malformed, rx_unmatched, rx_no_mgrid, tx_pdus, tx_vsis;
};
struct vdp_station;
struct vdp_station *vdp_station_new(const struct vdp_station_conf *conf, uint64_t now_us);
/* false: table full, or a request that VDP cannot carry (entries, formats, TLV size). */
bool vdp_station_request(struct vdp_station *s, const struct vdp_station_request *r,
    uint64_t now_us);
void vdp_station_input(struct vdp_station *s, const uint8_t *frame, size_t size,
    uint64_t now_us);
uint64_t vdp_station_deadline(const struct vdp_station *s);
bool vdp_station_output(struct vdp_station *s, uint64_t now_us, struct vdp_station_out *out);
/* What LLDP found out about the bridge. restarted: every VSI is signalled again at once. */
void vdp_station_set_peer(struct vdp_station *s, const struct evb_timers *timers, bool berth,
    bool restarted, uint64_t now_us);
void vdp_station_forget(struct vdp_station *s, const struct vdp_key *key);   /* silently */
uint32_t vdp_station_n_vsis(const struct vdp_station *s);
const struct vdp_station_counters *vdp_station_counters(const struct vdp_station *s);
void vdp_station_free(struct vdp_station *s);
uint64_t vdp_station_keepalive_us(const struct evb_timers *t);        /* T(RKA) */
/* 1.5 * ((1 + 2R) T(RTE) + T(RWD)), 41.5.5.9 */
uint64_t vdp_station_response_wait_us(const struct evb_timers *t);
#endif
