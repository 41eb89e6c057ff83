/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's part of the trace (node/trace.h): commands, how they ended, and what the
 * VM's frames may do here. */
#include "node/trace.h"
#include "tes/vm.h"

static struct trace_event *
seen(struct tes *t, const struct vm *v, enum trace_what what)
{
    struct trace_event *ev = trace_add(t->trace, what, t->now_us);
    ev->id = v->id;
    ev->mac = v->par.mac;
    ev->vni = v->vni ? v->vni : v->par.has_vni ? v->par.vni : 0;
    return ev;
}

void
vm_seen_command(struct tes *t, const struct vm *v, const struct vm_command *c)
{
    struct trace_event *ev = seen(t, v, TRACE_COMMAND);
    ev->tns = 1;
    ev->op = c->op;
    ev->epoch = c->par.epoch;
    ev->migration_id = c->par.migration;
    ev->peer = c->par.target;
    ev->word = c->par.hold ? "hold" : NULL;
}

void
vm_seen_result(struct tes *t, const struct vm *v, const char *code)
{
    struct trace_event *ev = seen(t, v, TRACE_RESULT);
    ev->epoch = v->epoch;
    ev->migration_id = v->par.migration;
    ev->vid = v->vid;
    ev->word = code ? code : vm_state_name(v->state);
}

void
vm_seen_frames(struct tes *t, const struct vm *v, uint8_t action)
{
    static const char *const words[VM_N_ACTIONS] = {[VM_ACT_OPEN] = "pass",
        [VM_ACT_HOLD] = "to the VM only",
        [VM_ACT_BLOCK] = "blocked",
        [VM_ACT_DROP] = "untagged"};
    seen(t, v, TRACE_FRAMES)->word = words[action];
}
