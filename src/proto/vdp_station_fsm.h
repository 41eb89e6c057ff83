/* SPDX-License-Identifier: Apache-2.0 */
/* The states of one VSI at the station, as a table. */
#ifndef BERTH_PROTO_VDP_STATION_FSM_H
#define BERTH_PROTO_VDP_STATION_FSM_H
#include "base/fsm.h"

enum { ST_NONE, ST_ASKING, ST_HELD, ST_REASKING, ST_BEATING, ST_LEAVING, N_STATES };
enum {
    EV_REQUEST,
    EV_LEAVE,
    EV_BEAT,
    EV_OK,
    EV_REFUSED,
    EV_REFUSED_KEEP,
    EV_TIMEOUT,
    EV_DEASSOC,
    EV_RESTART,
    N_EVENTS
};
enum {
    DO_NOTHING,
    DO_SEND,
    DO_DEFER,
    DO_ACCEPT,
    DO_GONE,
    DO_REFUSE,
    DO_REFUSE_KEEP,
    DO_BEAT,
    DO_BEAT_OK,
    DO_LOST,
    DO_TIMEOUT,
    DO_DEASSOC,
    DO_DEASSOC_QUIET,
    DO_AGAIN,
    N_ACTIONS
};
extern const struct fsm_def vdp_station_fsm;
#endif
