/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of vdp_station: the VSIs and their machine (vdp_station_vsi.c) beneath
 * requests, frames and time (vdp_station.c). For these two files alone. */
#ifndef BERTH_PROTO_VDP_STATION_INT_H
#define BERTH_PROTO_VDP_STATION_INT_H
#include "proto/vdp_station.h"

#include "base/fsm.h"
#include "base/map.h"
#include "base/mem.h"
#include "proto/vdp_filter.h"
#include "proto/vdp_managers.h"
#include "proto/vdp_station_fsm.h"

struct ask { /* one request of the user */
    uint64_t cookie;
    uint8_t type, hints, tries;
    uint16_t org_size;
    uint8_t *org;             /* Berth's TLV, encoded */
    char vn[BERTH_NAME_SIZE]; /* that it names; "": the filter says all */
    struct vdp_filter filter;
};
struct vsi {
    struct timer timer; /* response wait, or next keep-alive */
    uint8_t state, manager, type_version;
    bool queued, sent;      /* the request in `cur`, or the keep-alive of `held` */
    uint32_t prev, next_in; /* queue of the manager id */
    uint32_t type_id;
    struct vsiid id;
    struct ask *held, *cur, *next; /* accepted; with the bridge; waiting behind */
};
enum { TIMER_WAIT, TIMER_BEAT };
struct queue {
    uint32_t head, tail;
};
struct event {
    struct vdp_station_out out; /* without what points into bytes */
    uint16_t filter_size, org_size;
    uint8_t *bytes;
};
struct vdp_station {
    struct vdp_station_conf conf;
    struct vdp_station_counters counters;
    struct evb_timers timers;
    struct ecp_link *link;
    struct fsm fsm;
    struct pool pool;
    struct map map;
    struct timers heap;
    struct vdp_managers managers;
    struct queue *queues;
    uint8_t turn;
    struct fifo events;
    /* what the last output points to */
    uint8_t *last_bytes;
    struct vdp_entry entries[VDP_ENTRIES_MAX];
    uint8_t frame[ECP_FRAME_MAX];
};

/* Handles are of the pool; 0 = none. */
struct vsi *station_vsi_at(const struct vdp_station *s, uint32_t h);
uint32_t station_vsi_find(const struct vdp_station *s, const struct vdp_key *key);
uint32_t station_vsi_add(
    struct vdp_station *s, const struct vdp_key *key); /* 0: full */
void station_vsi_free(struct vdp_station *s, uint32_t h);
void station_ask_free(struct ask *a); /* NULL is fine */
bool station_vsi_has_key(const void *ctx, uint32_t handle, const void *key);
void station_enqueue(
    struct vdp_station *s, uint32_t h); /* its request, or keep-alive */
void station_dequeue(struct vdp_station *s, uint32_t h);

struct input {       /* of one step */
    struct ask *ask; /* EV_REQUEST, EV_LEAVE: owned by the VSI from then on */
    const struct vdp_vsi *answer;
};
/* One event, and then the request that waited for it. The VSI may be gone afterwards.
 */
void station_step(struct vdp_station *s, uint32_t h, uint8_t event,
    const struct input *in, uint64_t now_us);
#endif
