/* SPDX-License-Identifier: Apache-2.0 */
/* What the registry decides and says, for the trace: written down where it passes. */
#include "node/trace.h"
#include "nva/node_int.h"

void
nva_seen(struct nva *n, const struct registry_out *o)
{
    static const uint8_t whats[] = {[REG_REGISTERED] = TRACE_REGISTERED,
        [REG_GRANT] = TRACE_GRANTED,
        [REG_REJECT] = TRACE_REFUSED,
        [REG_CONFIRM] = TRACE_CONFIRMED,
        [REG_NOTIFY] = TRACE_TOLD,
        [REG_RESERVED] = TRACE_RESERVED};
    if (o->type >= sizeof whats || !whats[o->type] || mac_is_none(&o->rec.mac))
        return;
    struct trace_event *ev =
        trace_rec(n->trace, (enum trace_what)whats[o->type], &o->rec, n->now_us);
    if (o->type != REG_NOTIFY && o->type != REG_RESERVED)
        ev->source = o->nve; /* it asked; what others are told of is its doing, too */
    if (o->type == REG_NOTIFY || o->type == REG_GRANT)
        ev->peer = sessions_vtep(n->sessions, o->nve);
    if (o->type == REG_REJECT)
        ev->word = registry_reason_str(o->reason);
    else if (o->type == REG_NOTIFY && o->del)
        ev->word = "gone";
    else if (o->type == REG_RESERVED && o->del)
        ev->word = "no longer";
}
