/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the data plane's counters and operations. */
#include "core/dp.h"

static const char *const counter_names[DPC_N] = {
#define X(sym, name, help) [DPC_##sym] = name,
    DP_COUNTERS(X)
#undef X
};
static const char *const counter_helps[DPC_N] = {
#define X(sym, name, help) [DPC_##sym] = help,
    DP_COUNTERS(X)
#undef X
};
static const char *const op_names[DP_N_OPS] = {
    [DP_SYNC_BEGIN] = "sync-begin",
    [DP_SYNC_END] = "sync-end",
    [DP_PORT_SET] = "port-set",
    [DP_PORT_DEL] = "port-del",
    [DP_VN_SET] = "vn-set",
    [DP_VN_DEL] = "vn-del",
    [DP_VAP_SET] = "vap-set",
    [DP_VAP_DEL] = "vap-del",
    [DP_VSI_SET] = "vsi-set",
    [DP_VSI_DEL] = "vsi-del",
    [DP_FDB_SET] = "fdb-set",
    [DP_FDB_DEL] = "fdb-del",
    [DP_NEIGH_SET] = "neigh-set",
    [DP_NEIGH_DEL] = "neigh-del",
    [DP_MEMBER_SET] = "member-set",
    [DP_MEMBER_DEL] = "member-del",
    [DP_NEG_SET] = "neg-set",
    [DP_NEG_DEL] = "neg-del",
    [DP_HOLD_SET] = "hold-set",
    [DP_HOLD_DEL] = "hold-del",
    [DP_FRAME] = "frame",
};

const char *
dp_counter_name(unsigned c)
{
    return c < DPC_N ? counter_names[c] : "?";
}

const char *
dp_counter_help(unsigned c)
{
    return c < DPC_N ? counter_helps[c] : "?";
}

const char *
dp_op_str(uint8_t type)
{
    return type < DP_N_OPS ? op_names[type] : "?";
}
