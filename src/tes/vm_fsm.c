/* SPDX-License-Identifier: Apache-2.0 */
/* The hypervisor's half of the state machine (requirements 1.3, S3-106): what an
 * operation that the edge has accepted makes of a VM here. A pair without a row is
 * refused before anything is sent. The action says what the VM's frames may do from
 * then on. */
#include "tes/node_int.h"

static const char *const state_names[] = {"new", "preassociated", "associated",
    "suspended", "emigrating", "emigrated", "immigrating", "lost", "terminating"};
static const char *const event_names[] = {"PREASSOC", "ASSOC", "SUSPEND", "RESUME",
    "EMIGRATE_PREPARE", "EMIGRATE_COMMIT", "IMMIGRATE_PRE", "IMMIGRATE_ASSO",
    "TERMINATE", "LOST", "BACK", "IMMIGRATE_PAUSED"};
static const char *const action_names[] = {"open", "hold", "block", "drop"};

/* Down to TERMINATE the events are those of enum tns_op. */
_Static_assert(TNS_TERMINATE + 1 == TNS_KEEPALIVE, "VM_EV_LOST follows the operations");

/* clang-format off */
static const struct fsm_row rows[] = {
    {VM_NEW, TNS_PREASSOC, VM_PREASSOC, VM_ACT_HOLD, "S3-10"},
    {VM_NEW, TNS_ASSOC, VM_ASSOC, VM_ACT_OPEN, "S3-20"},
    {VM_NEW, TNS_IMMIGRATE_PRE, VM_IMMIG, VM_ACT_HOLD, "S3-60"},
    {VM_NEW, TNS_IMMIGRATE_ASSO, VM_ASSOC, VM_ACT_OPEN, "S3-60, A13"},
    {VM_NEW, VM_EV_PAUSED, VM_SUSP, VM_ACT_HOLD, "A14"},
    {VM_NEW, TNS_TERMINATE, VM_TERM, VM_ACT_DROP, "S3-70"},
    {VM_NEW, VM_EV_LOST, VM_LOST, VM_ACT_BLOCK, "S3-90"},

    {VM_PREASSOC, TNS_PREASSOC, VM_PREASSOC, VM_ACT_HOLD, "S3-10"},
    {VM_PREASSOC, TNS_ASSOC, VM_ASSOC, VM_ACT_OPEN, "S3-21"},
    {VM_PREASSOC, TNS_RESUME, VM_PREASSOC, VM_ACT_HOLD, "A6"},
    {VM_PREASSOC, TNS_EMIGRATE_PREPARE, VM_PREASSOC, VM_ACT_HOLD, "A5: armed at the edge"},
    {VM_PREASSOC, TNS_EMIGRATE_COMMIT, VM_EMIG, VM_ACT_HOLD, "A2"},
    {VM_PREASSOC, TNS_IMMIGRATE_PRE, VM_IMMIG, VM_ACT_HOLD, "S3-60"},
    {VM_PREASSOC, TNS_IMMIGRATE_ASSO, VM_ASSOC, VM_ACT_OPEN, "S3-60"},
    {VM_PREASSOC, VM_EV_PAUSED, VM_SUSP, VM_ACT_HOLD, "A14"},
    {VM_PREASSOC, TNS_TERMINATE, VM_TERM, VM_ACT_DROP, "A11"},
    {VM_PREASSOC, VM_EV_LOST, VM_LOST, VM_ACT_BLOCK, "S3-90"},

    {VM_ASSOC, TNS_ASSOC, VM_ASSOC, VM_ACT_OPEN, "S3-22"},
    {VM_ASSOC, TNS_SUSPEND, VM_SUSP, VM_ACT_HOLD, "S3-30"},
    {VM_ASSOC, TNS_RESUME, VM_ASSOC, VM_ACT_OPEN, "A6"},
    {VM_ASSOC, TNS_EMIGRATE_PREPARE, VM_ARMED, VM_ACT_OPEN, "A5"},
    {VM_ASSOC, TNS_EMIGRATE_COMMIT, VM_EMIG, VM_ACT_HOLD, "A5"},
    {VM_ASSOC, TNS_IMMIGRATE_PRE, VM_ASSOC, VM_ACT_OPEN, "idempotent"},
    {VM_ASSOC, TNS_IMMIGRATE_ASSO, VM_ASSOC, VM_ACT_OPEN, "newer epoch"},
    {VM_ASSOC, VM_EV_PAUSED, VM_SUSP, VM_ACT_HOLD, "A14"},
    {VM_ASSOC, TNS_TERMINATE, VM_TERM, VM_ACT_DROP, "S3-70"},
    {VM_ASSOC, VM_EV_LOST, VM_LOST, VM_ACT_BLOCK, "S3-90"},

    {VM_SUSP, TNS_PREASSOC, VM_SUSP, VM_ACT_HOLD, "refresh"},
    {VM_SUSP, TNS_ASSOC, VM_ASSOC, VM_ACT_OPEN, "as resume"},
    {VM_SUSP, TNS_SUSPEND, VM_SUSP, VM_ACT_HOLD, "idempotent"},
    {VM_SUSP, TNS_RESUME, VM_ASSOC, VM_ACT_OPEN, "S3-40"},
    {VM_SUSP, TNS_EMIGRATE_PREPARE, VM_SUSP, VM_ACT_HOLD, "A5: armed at the edge"},
    {VM_SUSP, TNS_EMIGRATE_COMMIT, VM_EMIG, VM_ACT_HOLD, "A2"},
    {VM_SUSP, TNS_IMMIGRATE_PRE, VM_SUSP, VM_ACT_HOLD, "idempotent"},
    {VM_SUSP, TNS_IMMIGRATE_ASSO, VM_ASSOC, VM_ACT_OPEN, "S3-60"},
    {VM_SUSP, VM_EV_PAUSED, VM_SUSP, VM_ACT_HOLD, "A14"},
    {VM_SUSP, TNS_TERMINATE, VM_TERM, VM_ACT_DROP, "S3-70"},
    {VM_SUSP, VM_EV_LOST, VM_LOST, VM_ACT_BLOCK, "S3-90"},

    {VM_ARMED, TNS_ASSOC, VM_ASSOC, VM_ACT_OPEN, "A4: roll back"},
    {VM_ARMED, TNS_SUSPEND, VM_EMIG, VM_ACT_HOLD, "A5"},
    {VM_ARMED, TNS_RESUME, VM_ASSOC, VM_ACT_OPEN, "A4: roll back"},
    {VM_ARMED, TNS_EMIGRATE_PREPARE, VM_ARMED, VM_ACT_OPEN, "idempotent"},
    {VM_ARMED, TNS_EMIGRATE_COMMIT, VM_EMIG, VM_ACT_HOLD, "A5"},
    {VM_ARMED, TNS_IMMIGRATE_PRE, VM_IMMIG, VM_ACT_HOLD, "it comes back"},
    {VM_ARMED, TNS_IMMIGRATE_ASSO, VM_ASSOC, VM_ACT_OPEN, "it comes back"},
    {VM_ARMED, VM_EV_PAUSED, VM_SUSP, VM_ACT_HOLD, "A14"},
    {VM_ARMED, TNS_TERMINATE, VM_TERM, VM_ACT_DROP, "S3-70"},
    {VM_ARMED, VM_EV_LOST, VM_LOST, VM_ACT_BLOCK, "E3"},

    {VM_EMIG, TNS_ASSOC, VM_ASSOC, VM_ACT_OPEN, "A4: roll back"},
    {VM_EMIG, TNS_SUSPEND, VM_EMIG, VM_ACT_HOLD, "prev := SUSP"},
    {VM_EMIG, TNS_RESUME, VM_ASSOC, VM_ACT_OPEN, "A4: roll back"},
    {VM_EMIG, VM_EV_BACK, VM_PREASSOC, VM_ACT_HOLD, "A2, A4"},
    {VM_EMIG, TNS_EMIGRATE_PREPARE, VM_EMIG, VM_ACT_HOLD, "idempotent"},
    {VM_EMIG, TNS_EMIGRATE_COMMIT, VM_EMIG, VM_ACT_HOLD, "idempotent"},
    {VM_EMIG, TNS_IMMIGRATE_PRE, VM_IMMIG, VM_ACT_HOLD, "it comes back"},
    {VM_EMIG, TNS_IMMIGRATE_ASSO, VM_ASSOC, VM_ACT_OPEN, "it comes back"},
    {VM_EMIG, VM_EV_PAUSED, VM_SUSP, VM_ACT_HOLD, "A14"},
    {VM_EMIG, TNS_TERMINATE, VM_TERM, VM_ACT_DROP, "A10"},
    {VM_EMIG, VM_EV_LOST, VM_LOST, VM_ACT_BLOCK, "E3"},

    {VM_IMMIG, TNS_PREASSOC, VM_PREASSOC, VM_ACT_HOLD, "clears the flag"},
    {VM_IMMIG, TNS_ASSOC, VM_ASSOC, VM_ACT_OPEN, "S3-60"},
    {VM_IMMIG, TNS_RESUME, VM_IMMIG, VM_ACT_HOLD, "A6"},
    {VM_IMMIG, TNS_IMMIGRATE_PRE, VM_IMMIG, VM_ACT_HOLD, "refresh"},
    {VM_IMMIG, TNS_IMMIGRATE_ASSO, VM_ASSOC, VM_ACT_OPEN, "S3-60"},
    {VM_IMMIG, VM_EV_PAUSED, VM_SUSP, VM_ACT_HOLD, "A14"},
    {VM_IMMIG, TNS_TERMINATE, VM_TERM, VM_ACT_DROP, "failed immigration"},
    {VM_IMMIG, VM_EV_LOST, VM_LOST, VM_ACT_BLOCK, "S3-90"},

    {VM_LOST, TNS_PREASSOC, VM_PREASSOC, VM_ACT_HOLD, "RFC 8394 Req-6"},
    {VM_LOST, TNS_ASSOC, VM_ASSOC, VM_ACT_OPEN, "RFC 8394 Req-6"},
    {VM_LOST, TNS_RESUME, VM_ASSOC, VM_ACT_OPEN, "E2, F6: it runs here again"},
    {VM_LOST, TNS_IMMIGRATE_PRE, VM_IMMIG, VM_ACT_HOLD, "S3-60"},
    {VM_LOST, TNS_IMMIGRATE_ASSO, VM_ASSOC, VM_ACT_OPEN, "S3-60"},
    {VM_LOST, VM_EV_PAUSED, VM_SUSP, VM_ACT_HOLD, "A14"},
    {VM_LOST, TNS_TERMINATE, VM_TERM, VM_ACT_DROP, "S3-70: idempotent"},
    {VM_LOST, VM_EV_LOST, VM_LOST, VM_ACT_BLOCK, "again"},

    {VM_TERM, TNS_PREASSOC, VM_PREASSOC, VM_ACT_HOLD, "S3-10"},
    {VM_TERM, TNS_ASSOC, VM_ASSOC, VM_ACT_OPEN, "S3-20"},
    {VM_TERM, TNS_IMMIGRATE_PRE, VM_IMMIG, VM_ACT_HOLD, "S3-60"},
    {VM_TERM, TNS_IMMIGRATE_ASSO, VM_ASSOC, VM_ACT_OPEN, "S3-60"},
    {VM_TERM, VM_EV_PAUSED, VM_SUSP, VM_ACT_HOLD, "A14"},
};
/* clang-format on */

const struct fsm_def vm_fsm_def = {"vm", state_names, event_names, action_names,
    VM_N_STATES, VM_N_EVENTS, VM_N_ACTIONS, rows, sizeof(rows) / sizeof(rows[0])};

const char *
vm_state_name(uint8_t state)
{
    return state < VM_N_STATES ? state_names[state] : "?";
}
