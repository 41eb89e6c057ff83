/* SPDX-License-Identifier: Apache-2.0 */
/* Two tables of data. The first: what an event or a hook means; names are libvirt's.
 * The second: what is done about an interface, by that meaning and the state its VM has
 * or, with a command in flight, is to have. */
#include "tes/virt.h"
#include <string.h>

/* clang-format off */
static const struct {
    const char *event, *detail;          /* detail NULL: any */
    enum virt_means means;
} events[] = {
    {"STARTED",   "MIGRATED",        VIRT_COMES},      /* created, not running */
    {"STARTED",   NULL,              VIRT_RUNS},       /* RESUMED was before it */
    {"MIGRATION", "completed",       VIRT_COMPLETE},   /* QEMU's; at the source, too */
    {"MIGRATION", "postcopy-active", VIRT_COMPLETE},   /* the same: memory follows */
    {"MIGRATION", "cancelling",      VIRT_BACK},       /* QEMU's; at the target, too */
    {"MIGRATION", "failed",          VIRT_BACK},
    {"RESUMED",   "MIGRATED",        VIRT_ARRIVED},
    {"RESUMED",   "POSTCOPY",        VIRT_ARRIVED},    /* runs, while memory follows */
    {"RESUMED",   "POSTCOPY_FAILED", VIRT_ARRIVED},    /* the same; it waits for a repair */
    {"RESUMED",   NULL,              VIRT_RUNS},       /* also: a migration has failed (E2) */
    {"SUSPENDED", "MIGRATED",        VIRT_LEAVES},     /* no proof of success */
    {"SUSPENDED", "POSTCOPY",        VIRT_LEAVES},
    {"SUSPENDED", "POSTCOPY_FAILED", VIRT_LEAVES},
    {"SUSPENDED", NULL,              VIRT_PAUSED},
    {"STOPPED",   NULL,              VIRT_GONE},
    {"DEVICE",    NULL,              VIRT_LOOK},
    {"METADATA",  NULL,              VIRT_LOOK},
};
static const struct {
    const char *op;
    enum virt_means means;
} hooks[] = {
    {"migrate",      VIRT_COMES},
    {"prepare",      VIRT_PREPARES},
    {"port-created", VIRT_PREPARES},
    {"start",        VIRT_STARTS},
    {"stopped",      VIRT_GONE},
    {"release",      VIRT_GONE},
    {"port-deleted", VIRT_GONE},
};

/* A dot is nothing to be done. */
#define DOT  VIRT_DO_NOTHING
#define PRE  VIRT_DO_PREASSOC
#define ASSO VIRT_DO_ASSOC
#define E6   VIRT_DO_REPEAT
#define SUSP VIRT_DO_SUSPEND
#define RES  VIRT_DO_RESUME
#define EMI  VIRT_DO_EMIGRATE
#define IPRE VIRT_DO_IMM_PRE
#define IASS VIRT_DO_IMM_ASSO
#define IPAU VIRT_DO_IMM_PAUSED
#define TERM VIRT_DO_TERMINATE
static const uint8_t deeds[VIRT_N_MEANS][VM_N_STATES] = {
    /*                   new   preas assoc susp  armed emig  immig lost  term */
    [VIRT_NOTHING]    = {DOT,  DOT,  DOT,  DOT,  DOT,  DOT,  DOT,  DOT,  DOT},
    [VIRT_PREPARES]   = {PRE,  DOT,  DOT,  DOT,  DOT,  PRE,  DOT,  PRE,  PRE},
    [VIRT_COMES]      = {IPRE, IPRE, DOT,  DOT,  DOT,  IPRE, DOT,  IPRE, IPRE},
    [VIRT_STARTS]     = {ASSO, ASSO, DOT,  DOT,  DOT,  ASSO, DOT,  ASSO, ASSO},
    [VIRT_RUNS]       = {ASSO, ASSO, DOT,  RES,  DOT,  RES,  IASS, ASSO, ASSO},
    [VIRT_COMPLETE]   = {DOT,  DOT,  DOT,  DOT,  DOT,  DOT,  IASS, DOT,  DOT},
    [VIRT_BACK]       = {DOT,  DOT,  DOT,  DOT,  DOT,  RES,  DOT,  DOT,  DOT},
    [VIRT_ARRIVED]    = {IASS, IASS, DOT,  RES,  DOT,  IASS, IASS, IASS, IASS},
    [VIRT_PAUSED]     = {PRE,  DOT,  SUSP, DOT,  SUSP, DOT,  IPAU, DOT,  PRE},
    [VIRT_CAME_PAUSED]= {IPAU, IPAU, IPAU, DOT,  IPAU, IPAU, IPAU, IPAU, IPAU},
    [VIRT_LEAVES]     = {DOT,  EMI,  EMI,  EMI,  EMI,  DOT,  DOT,  DOT,  DOT},
    [VIRT_GONE]       = {DOT,  TERM, TERM, TERM, TERM, TERM, TERM, TERM, DOT},
    [VIRT_LOOK]       = {DOT,  DOT,  DOT,  DOT,  DOT,  DOT,  DOT,  DOT,  DOT},
    [VIRT_IS_RUNNING] = {E6,   ASSO, DOT,  RES,  DOT,  RES,  IASS, ASSO, ASSO},
    [VIRT_IS_PAUSED]  = {PRE,  DOT,  SUSP, DOT,  SUSP, DOT,  DOT,  DOT,  PRE},
    [VIRT_IS_MOVING]  = {DOT,  DOT,  EMI,  DOT,  EMI,  DOT,  DOT,  DOT,  DOT},
};
/* clang-format on */

enum virt_means
virt_event_means(const char *event, const char *detail)
{
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        if (strcmp(events[i].event, event) == 0 &&
            (!events[i].detail || strcmp(events[i].detail, detail) == 0))
            return events[i].means;
    return VIRT_NOTHING;
}

enum virt_means
virt_hook_means(const char *op)
{
    for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++)
        if (strcmp(hooks[i].op, op) == 0)
            return hooks[i].means;
    return VIRT_NOTHING;
}

enum virt_means
virt_state_means(const char *state)
{
    if (strcmp(state, "running") == 0)
        return VIRT_IS_RUNNING;
    if (strcmp(state, "paused") == 0)
        return VIRT_IS_PAUSED;
    if (strcmp(state, "moving") == 0)
        return VIRT_IS_MOVING;
    return strcmp(state, "off") == 0 ? VIRT_GONE : VIRT_NOTHING;
}

enum virt_deed
virt_deed_of(enum virt_means means, uint8_t vm_state)
{
    return means < VIRT_N_MEANS && vm_state < VM_N_STATES ? deeds[means][vm_state]
                                                          : VIRT_DO_NOTHING;
}

const char *
virt_deed_str(enum virt_deed deed)
{
    static const char *const names[VIRT_N_DEEDS] = {"nothing", "preassociate",
        "associate", "associate again", "suspend", "resume", "emigrate",
        "immigrate (pre)", "immigrate (asso)", "immigrate (paused)", "terminate"};
    return deed < VIRT_N_DEEDS ? names[deed] : "?";
}

/* It comes before the fact, which settles it when it was refused. */
bool
virt_is_hint(enum virt_means means)
{
    return means == VIRT_COMPLETE || means == VIRT_BACK;
}
