/* SPDX-License-Identifier: Apache-2.0 */
/* The table of K19, and nothing else that counts time. */
#include "core/timing.h"

#include <string.h>

#define MS  UINT64_C(1000)
#define SEC UINT64_C(1000000)
#define DAY (86400 * SEC)

const struct setting edge_settings[SET_N] = {
    [SET_ASSOC_US] = {"t_assoc",         60 * SEC,    SEC,      DAY,         "S3-80",
                      "idle time after which an associated VSI is removed, unless its binding "
        "negotiated one (three keep-alives and a response wait)"                                                                  },
    [SET_PREASSOC_US] = {"t_preassoc",      60 * SEC,    SEC,      DAY,         "S3-80",
                      "the same for a pre-associated VSI"                                                                         },
    [SET_SUSP_US] = {"t_susp",          600 * SEC,   SEC,      7 * DAY,     "S3-80, S3-40",
                      "the same for a suspended VSI; the time of resume is unpredictable"                                         },
    [SET_EMIG_US] = {"t_emig",          300 * SEC,   SEC,      DAY,         "A12, F7, F19",
                      "how long the old place is kept for a roll back"                                                            },
    [SET_IMMIG_US] = {"t_immig",         300 * SEC,   SEC,      DAY,         "A12, F19",
                      "how long the new place waits for its VM"                                                                   },
    [SET_TOMB_US] = {"t_tomb",          60 * SEC,    100 * MS, DAY,         "A10, F1",
                      "how long a place that lost its VM relays late frames; above the longest "
        "mapping update"                                                                                                          },
    [SET_TAG_HOLD_US] = {"t_tag_hold",      30 * SEC,    100 * MS, DAY,         "1.6, F16",
                      "how long a VID that nobody uses any more is kept from other VNs"                                           },
    [SET_PUBLISH_US] = {"t_publish",       200 * MS,    MS,       60 * SEC,    "K17",
                      "how long an answer waits for the authority"                                                                },
    [SET_FLAP_US] = {"t_flap",          3 * SEC,     MS,       DAY,         "K9",
                      "how long a port may be without carrier before its VSIs are suspended"                                      },
    [SET_LEARN_AGE_US] = {"t_learn_age",     300 * SEC,   SEC,      DAY,         "K2, K8",
                      "how long a learned MAC stays without being heard of again"                                                 },
    [SET_NEG_US] = {"t_negative",      10 * SEC,    100 * MS, DAY,         "K18",
                      "how long a negative answer is remembered where it names no time"                                           },
    [SET_MISS_WAIT_US] = {"t_miss_wait",     2 * SEC,     MS,       60 * SEC,    "K18",
                      "how long first frames wait for the answer of the mapping plane"                                            },
    [SET_BUM_PPS] = {"bum_pps",         1000,        1,        10000000,    "architecture: data plane",
                      "broadcast, unknown and multicast frames a VSI may send per second"                                         },
    [SET_BUM_BURST] = {"bum_burst",       1000,        1,        10000000,    "architecture: data plane",
                      "how many of those at once"                                                                                 },
    [SET_MAX_ATTACHMENTS] = {"max_attachments", 131072,      1,        1048575,
                      "architecture: limits",                                                            "attachments of this NVE"},
    [SET_MAX_PER_PORT] = {"max_per_port",    16384,       1,        1048575,     "architecture: limits",
                      "attachments of one server port"                                                                            },
    [SET_MAX_LEARNED] = {"max_learned",     16,          1,        128,         "K2",
                      "MACs learned behind one wildcard VSI"                                                                      },
    [SET_MAX_MAPPINGS] = {"max_mappings",    1048576,     1,        16777215,    "architecture: limits",
                      "mappings known, local and remote"                                                                          },
    [SET_MAX_VNS] = {"max_vns",         16384,       1,        1048575,     "architecture: limits",
                      "virtual networks known"                                                                                    },
    [SET_MAX_IPS] = {"max_ips",         TNS_IPS_MAX, 1,        TNS_IPS_MAX, "K8",
                      "addresses of one MAC"                                                                                      },
    [SET_STALE_US] = {"t_stale",         600 * SEC,   SEC,      DAY,         "K11",
                      "how long mappings of a lost session are kept"                                                              },
    [SET_RETRY_US] = {"t_retry",         SEC,         MS,       60 * SEC,    "K17, 3.3",
                      "after which a question or registration is tried again"                                                     },
    [SET_CONFIRM_US] = {"t_confirm",       2 * SEC,     MS,       60 * SEC,    "K6",
                      "how long an answer that was asked to waits for the far ends; below what "
        "its binding waits for answers"                                                                                           },
    [SET_HOLD_FRAMES] = {"hold_frames",     16384,       0,        1048576,     "K12, D6, F21",
                      "frames kept for one VM that is on its way; 0: nothing is held"                                                                 },
    [SET_HOLD_OCTETS] = {"hold_octets",     33554432,    65536,    1073741824,  "K12, D6, F21",
                      "octets kept for one VM that is on its way"                                                                 },
    [SET_HOLD_US] = {"t_hold",          5 * SEC,     0,        60 * SEC,    "K12, D6, F21",
                      "the longest that a frame is kept for a VM that is on its way; 0: nothing is held"                                              },
};

void
timing_fill(uint64_t settings[])
{
    for (unsigned i = 0; i < SET_N; i++) {
        const struct setting *s = &edge_settings[i];
        if (settings[i] == 0)
            settings[i] = s->def;
        else if (settings[i] == SETTING_ZERO)
            settings[i] = 0;
        if (settings[i] < s->min)
            settings[i] = s->min;
        if (settings[i] > s->max)
            settings[i] = s->max;
    }
}

const char *
timing_fault(unsigned setting, uint64_t value)
{
    if (setting >= SET_N)
        return "no such setting";
    if (value < edge_settings[setting].min)
        return "below its minimum";
    if (value > edge_settings[setting].max)
        return "above its maximum";
    return NULL;
}

int
timing_find(const char *name)
{
    for (int i = 0; i < SET_N; i++)
        if (strcmp(name, edge_settings[i].name) == 0)
            return i;
    return -1;
}

uint64_t
timing_idle(const uint64_t settings[], uint8_t state, uint64_t idle_us)
{
    uint64_t own = TIMER_NEVER;
    switch ((enum att_state)state) {
    case ATT_NULL:
    case ATT_N_STATES:
        return TIMER_NEVER;
    case ATT_PREASSOC:
        own = settings[SET_PREASSOC_US];
        break;
    case ATT_ASSOC:
        own = settings[SET_ASSOC_US];
        break;
    case ATT_SUSP:
        own = settings[SET_SUSP_US];
        break;
    case ATT_EMIG:
        own = settings[SET_EMIG_US];
        break;
    case ATT_IMMIG:
        own = settings[SET_IMMIG_US];
        break;
    case ATT_TERM:
        return settings[SET_TOMB_US];
    }
    if (idle_us == 0)
        return own;
    /* What was negotiated governs where the station speaks at that pace; a migration
     * and a pause last as long as they last (F19), so there it can only lengthen. */
    if (state == ATT_PREASSOC || state == ATT_ASSOC)
        return idle_us;
    return idle_us > own ? idle_us : own;
}
