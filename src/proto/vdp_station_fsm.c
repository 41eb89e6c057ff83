/* SPDX-License-Identifier: Apache-2.0 */
/* NONE: nothing accepted. HELD: accepted, at rest. The others wait for the bridge;
 * BEATING for the answer to a keep-alive. */
#include "proto/vdp_station_fsm.h"

static const char *const state_names[] = {
    "NONE", "ASKING", "HELD", "REASKING", "BEATING", "LEAVING"};
static const char *const event_names[] = {"REQUEST", "LEAVE", "BEAT", "OK", "REFUSED",
    "REFUSED_KEEP", "TIMEOUT", "DEASSOC", "RESTART"};
static const char *const action_names[] = {"nothing", "send", "defer", "accept", "gone",
    "refuse", "refuse-keep", "beat", "beat-ok", "lost", "timeout", "deassoc",
    "deassoc-quiet", "again"};

static const struct fsm_row rows[] = {
    {ST_NONE,     EV_REQUEST,      ST_ASKING,   DO_SEND,          "S3-10, S3-20"                    },
    {ST_NONE,     EV_LEAVE,        ST_LEAVING,  DO_SEND,          "S3-70: idempotent"               },

    {ST_ASKING,   EV_REQUEST,      ST_ASKING,   DO_DEFER,         "one at a time"                   },
    {ST_ASKING,   EV_LEAVE,        ST_ASKING,   DO_DEFER,         "one at a time"                   },
    {ST_ASKING,   EV_OK,           ST_HELD,     DO_ACCEPT,        "S3-12"                           },
    {ST_ASKING,   EV_REFUSED,      ST_NONE,     DO_REFUSE,        "S3-12"                           },
    {ST_ASKING,   EV_TIMEOUT,      ST_NONE,     DO_TIMEOUT,       "41.5.5.9"                        },
    {ST_ASKING,   EV_DEASSOC,      ST_ASKING,   DO_NOTHING,       "about an earlier life of the VSI"},
    {ST_ASKING,   EV_RESTART,      ST_ASKING,   DO_AGAIN,         "E6"                              },

    {ST_HELD,     EV_REQUEST,      ST_REASKING, DO_SEND,          "S3-21, S3-22"                    },
    {ST_HELD,     EV_LEAVE,        ST_LEAVING,  DO_SEND,          "S3-70"                           },
    {ST_HELD,     EV_BEAT,         ST_BEATING,  DO_BEAT,          "S3-80"                           },
    {ST_HELD,     EV_DEASSOC,      ST_NONE,     DO_DEASSOC,       "RFC 8394 Req-6, Req-9"           },
    {ST_HELD,     EV_RESTART,      ST_BEATING,  DO_BEAT,          "E6"                              },

    {ST_REASKING, EV_REQUEST,      ST_REASKING, DO_DEFER,         "one at a time"                   },
    {ST_REASKING, EV_LEAVE,        ST_REASKING, DO_DEFER,         "one at a time"                   },
    {ST_REASKING, EV_OK,           ST_HELD,     DO_ACCEPT,        "S3-12"                           },
    {ST_REASKING, EV_REFUSED,      ST_NONE,     DO_REFUSE,        "S3-12"                           },
    {ST_REASKING, EV_REFUSED_KEEP, ST_HELD,     DO_REFUSE_KEEP,   "A9"                              },
    {ST_REASKING, EV_TIMEOUT,      ST_NONE,     DO_TIMEOUT,       "41.5.5.9"                        },
    {ST_REASKING, EV_DEASSOC,      ST_ASKING,   DO_DEASSOC,       "RFC 8394 Req-6, Req-9"           },
    {ST_REASKING, EV_RESTART,      ST_REASKING, DO_AGAIN,         "E6"                              },

    {ST_BEATING,  EV_REQUEST,      ST_BEATING,  DO_DEFER,         "one at a time"                   },
    {ST_BEATING,  EV_LEAVE,        ST_BEATING,  DO_DEFER,         "one at a time"                   },
    {ST_BEATING,  EV_OK,           ST_HELD,     DO_BEAT_OK,       "S3-80"                           },
    {ST_BEATING,  EV_REFUSED,      ST_NONE,     DO_LOST,          "S3-80"                           },
    {ST_BEATING,  EV_REFUSED_KEEP, ST_HELD,     DO_BEAT_OK,       "A9"                              },
    {ST_BEATING,  EV_TIMEOUT,      ST_NONE,     DO_LOST,          "41.5.5.9"                        },
    {ST_BEATING,  EV_DEASSOC,      ST_NONE,     DO_DEASSOC,       "RFC 8394 Req-6, Req-9"           },
    {ST_BEATING,  EV_RESTART,      ST_BEATING,  DO_AGAIN,         "E6"                              },

    {ST_LEAVING,  EV_REQUEST,      ST_LEAVING,  DO_DEFER,         "one at a time"                   },
    {ST_LEAVING,  EV_LEAVE,        ST_LEAVING,  DO_DEFER,         "one at a time"                   },
    {ST_LEAVING,  EV_OK,           ST_NONE,     DO_GONE,          "S3-70"                           },
    {ST_LEAVING,  EV_REFUSED,      ST_NONE,     DO_REFUSE,        "A19"                             },
    {ST_LEAVING,  EV_REFUSED_KEEP, ST_HELD,     DO_REFUSE_KEEP,   "A9, A19"                         },
    {ST_LEAVING,  EV_TIMEOUT,      ST_NONE,     DO_TIMEOUT,       "41.5.5.9"                        },
    {ST_LEAVING,  EV_DEASSOC,      ST_LEAVING,  DO_DEASSOC_QUIET, "it is leaving anyway"            },
    {ST_LEAVING,  EV_RESTART,      ST_LEAVING,  DO_AGAIN,         "E6"                              },
};
const struct fsm_def vdp_station_fsm = {"vdp-station", state_names, event_names,
    action_names, N_STATES, N_EVENTS, N_ACTIONS, rows, sizeof rows / sizeof rows[0]};
