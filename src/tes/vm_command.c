/* SPDX-License-Identifier: Apache-2.0 */
/* Commands on their way: from the control socket to the edge, and back when the edge
 * has answered, the tag is installed and the journal is written. A VM has one command
 * at a time; a newer one takes the place of the older, whose client is told so. */
#include "tes/vm.h"
#include "base/log.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What an edge's refusal means to the operator. */
struct meaning {
    const char *code, *text;
};
static const struct meaning reasons[BERTH_N_REASONS] = {
    [BERTH_REASON_AUTHORIZATION] = {"not_authorised",
                                    "the edge does not allow this VM on this network: check its list of networks "
        "for "
        "the port, or the VM's proof"                                                                                                  },
    [BERTH_REASON_POLICY_CONFLICT] = {"conflict",
                                    "the VM's policies contradict each other: check its VSI type"                                      },
    [BERTH_REASON_RESOURCES] = {"no_resources",
                                    "the edge has no room for it: raise its limits or use another server"                              },
    [BERTH_REASON_BUSY] = {"busy",           "the edge is busy: signal again in a moment"                                     },
    [BERTH_REASON_BAD_MESSAGE] = {"bad_request",
                                    "the edge does not understand the request: check addresses and filter format"                      },
    [BERTH_REASON_NO_STATE] = {"no_state",
                                    "the edge does not know this VM: associate it"                                                     },
    [BERTH_REASON_INVALID_STATE] = {"invalid_state",
                                    "the VM's state at the edge does not allow this: see `berth show attachments`"                     },
    [BERTH_REASON_MOVED] = {"moved",
                                    "the VM lives at another edge with a newer epoch: terminate it here, or, if it "
        "does run here, associate it without an epoch"                                                                                 },
    [BERTH_REASON_UNKNOWN_VN] = {"unknown_vn",
                                    "the edge knows no such network: add it (berth vn add) or check its name"                          },
    [BERTH_REASON_ADDRESS_CONFLICT] = {"conflict",
                                    "another VM of the network has this address: terminate that one or change the "
        "address"                                                                                                                      },
    [BERTH_REASON_TAG_CONFLICT] = {"conflict",
                                    "another network has this tag on the port: ask for another one or none"                            },
    [BERTH_REASON_MTU] = {"no_resources",   "the underlay's MTU is too small for the "
                                          "network: raise it or lower the network's"},
    [BERTH_REASON_AUTHORITY] = {"no_authority",
                                    "the edge does not reach its authority: check that berth-nva runs"                                 },
    [BERTH_REASON_AGED] = {"aged",           "the edge heard nothing for too long"                                            },
    [BERTH_REASON_ADMIN] = {"admin",          "an administrator of the edge has refused it"                                    },
};
static const struct meaning codes[] = {
    [VDP_CODE_FORMAT] = {"bad_request",
                         "the edge does not understand the request: check addresses and filter format"},
    [VDP_CODE_RESOURCES] = {"no_resources",
                         "the edge has no room for it: raise its limits or use another server"        },
    [VDP_CODE_NO_MANAGER] = {"no_authority",
                         "the edge does not reach its authority: check that it runs"                  },
    [VDP_CODE_OTHER] = {"refused",      "the edge has refused: its log says why"                     },
    [VDP_CODE_VID] = {"conflict",
                         "the edge does not accept this tag, network or address on this port"         },
};

static struct meaning
meaning_of(const struct vdp_station_out *ev)
{
    if (ev->has_berth && ev->berth.reason < BERTH_N_REASONS &&
        reasons[ev->berth.reason].code)
        return reasons[ev->berth.reason];
    if (ev->code < sizeof(codes) / sizeof(codes[0]) && codes[ev->code].code)
        return codes[ev->code];
    return codes[VDP_CODE_OTHER];
}

/* --- clients --- */

static void
request_end(struct tes *t, struct vm *v)
{
    struct request *r = pool_at(&t->reqs, v->req);
    mem_free(r->id);
    pool_put(&t->reqs, v->req);
    v->req = 0;
}

void
vm_fail(struct tes *t, uint32_t h, const char *code, const char *fmt, ...)
{
    struct vm *v = vm_at(t, h);
    struct request *r;
    char text[320];
    va_list ap;
    if (!v->req)
        return;
    t->n.rejected++;
    r = pool_at(&t->reqs, v->req);
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    vm_seen_result(t, v, code);
    if (r->virt)
        virt_ended(t, &v->id, r->op, r->wait, code, text);
    else
        ctl_error(t, r->conn, r->id, code, "%s", text);
    request_end(t, v);
}

/* --- to the edge --- */

struct vdp_key
vm_vdp_key(const struct tes *t, const struct vm *v)
{
    struct vdp_key key = {
        .type_id = v->par.type_id, .type_version = v->par.type_version, .id = v->id};
    memcpy(key.mgrid, t->conf.manager, sizeof(key.mgrid));
    return key;
}

static const struct {
    uint8_t op, phase;
} wire_op[TNS_N_OPS] = {
    [TNS_PREASSOC] = {BERTH_OP_PREASSOC,  0                  },
    [TNS_ASSOC] = {BERTH_OP_ASSOC,     0                  },
    [TNS_SUSPEND] = {BERTH_OP_SUSPEND,   0                  },
    [TNS_RESUME] = {BERTH_OP_RESUME,    0                  },
    [TNS_EMIGRATE_PREPARE] = {BERTH_OP_EMIGRATE,  BERTH_PHASE_PREPARE},
    [TNS_EMIGRATE_COMMIT] = {BERTH_OP_EMIGRATE,  BERTH_PHASE_COMMIT },
    [TNS_IMMIGRATE_PRE] = {BERTH_OP_IMMIGRATE, BERTH_PHASE_PRE    },
    [TNS_IMMIGRATE_ASSO] = {BERTH_OP_IMMIGRATE, BERTH_PHASE_ASSO   },
    [TNS_TERMINATE] = {BERTH_OP_TERMINATE, 0                  },
};

/* A lost VM that runs here again is associated: the edge may have nothing left that it
 * could resume, and would say ok to that (A6). So is one that was paused, and then or
 * before was to emigrate: a resume would only lead back to the pause (A2, A4). Where an
 * answer was not waited for, nobody here knows. */
static uint8_t
op_said(const struct vm *v)
{
    bool paused = v->state == VM_EMIG && v->prev == VM_SUSP;
    bool may = v->doubt & DOUBT_PAUSE ||
               (v->doubt && (v->state == VM_EMIG || v->state == VM_SUSP));
    return v->op == TNS_RESUME && (v->state == VM_LOST || paused || may) ? TNS_ASSOC
                                                                         : v->op;
}

bool
vm_send(struct tes *t, uint32_t h, bool again)
{
    struct vm *v = vm_at(t, h);
    const struct vm_params *p = &v->par;
    uint8_t op = op_said(v);
    struct vdp_station_request r = {
        .key = vm_vdp_key(t, v), .filter_format = p->format, .n_entries = 1};
    struct vdp_entry entry = {
        .group = p->vni, .mac = p->mac, .vid = p->vid, .pcp = p->pcp, .ps = p->ps};
    struct vdp_station *s = t->up[p->uplink].station;
    if (!s)
        return false;
    r.cookie = (uint64_t)++v->serial << 32 | h;
    r.entries = &entry;
    vdp_station_op(&r, wire_op[op].op,
        op == TNS_EMIGRATE_PREPARE && p->hold ? BERTH_PHASE_HOLD : wire_op[op].phase);
    if (op == TNS_IMMIGRATE_ASSO)
        r.s = p->suspended;
    r.berth.epoch = again && v->epoch ? v->epoch : p->epoch;
    r.berth.migration = p->migration;
    r.berth.target = p->target;
    r.berth.source = p->source;
    r.berth.n_ips = p->n_ips;
    for (uint8_t i = 0; i < p->n_ips; i++)
        r.berth.ips[i].ip = p->ips[i];
    if (p->ips_complete && !p->n_ips)
        r.berth.flags |= BERTH_FLAG_NO_IPS;
    if (p->confirm)
        r.berth.flags |= BERTH_FLAG_CONFIRM;
    memcpy(r.berth.vn_name, p->vn, sizeof(p->vn));
    return vdp_station_request(s, &r, t->now_us);
}

/* A new VM that did not come to be. The edge may have it nevertheless when it was
 * silent. */
static void
forget(struct tes *t, uint32_t h, bool tell)
{
    struct vm *v = vm_at(t, h);
    vm_set_tag(t, h, VM_ACT_DROP);
    v->state = VM_TERM;
    v->waits = 0;
    v->wanted = 0;
    v->op = TNS_TERMINATE;
    if (tell && vm_send(t, h, false))
        v->waits = WAIT_ANSWER;
    vm_progress(t, h);
}

/* No tag, no VM: a new one is taken back, one that was there before keeps its state. */
static void
tag_failed(struct tes *t, uint32_t h)
{
    struct vm *v = vm_at(t, h);
    struct request *r = pool_at(&t->reqs, v->req);
    bool fresh = r->was_new;
    if (v->tag_status == -ENODEV)
        vm_fail(t, h, "no_interface",
            "there is no interface %s on this server: make it, then associate again",
            v->par.ifname);
    else if (v->tag_status == -EEXIST)
        vm_fail(t, h, "conflict",
            "another VM of this server has this address on tag %u: terminate that one "
            "first",
            v->vid);
    else
        vm_fail(t, h, "no_tag",
            "the tag %u is not installed on %s (error %d): see the agent's log", v->vid,
            v->par.ifname, -v->tag_status);
    if (!fresh)
        return;
    vm_journal(t, h, false);
    forget(t, h, true);
}

void
vm_progress(struct tes *t, uint32_t h)
{
    struct vm *v = vm_at(t, h);
    struct request *r;
    if (v->req && v->tag_status && v->tag_sent && !(v->waits & WAIT_ANSWER)) {
        tag_failed(t, h);
        return;
    }
    if (v->waits)
        return;
    if (v->req) {
        t->n.accepted++;
        vm_seen_result(t, v, NULL);
        r = pool_at(&t->reqs, v->req);
        if (r->virt)
            virt_ended(t, &v->id, r->op, r->wait, NULL, NULL);
        else
            ctl_answer(t, r, v);
        request_end(t, v);
    }
    if (v->state == VM_TERM)
        vm_remove(t, h);
}

/* --- commands --- */

static bool
legal(const struct tes *t, uint8_t state, uint8_t event)
{
    return t->fsm.index[state * VM_N_EVENTS + event] >= 0;
}

static uint8_t
event_of(const struct vm *v)
{
    if (v->op == TNS_RESUME && v->state == VM_EMIG && v->prev == VM_PREASSOC)
        return VM_EV_BACK;
    return v->op == TNS_IMMIGRATE_ASSO && v->par.suspended ? VM_EV_PAUSED : v->op;
}

uint8_t
vm_state_soon(const struct tes *t, uint32_t h)
{
    const struct vm *v = vm_at(t, h);
    int row = v->waits & WAIT_ANSWER && v->op != TNS_TERMINATE
                  ? t->fsm.index[v->state * VM_N_EVENTS + event_of(v)]
                  : -1;
    return row < 0 ? v->state : t->fsm.def->rows[row].to;
}

static bool
creates(uint8_t op)
{
    return op == TNS_PREASSOC || op == TNS_ASSOC || op == TNS_IMMIGRATE_PRE ||
           op == TNS_IMMIGRATE_ASSO;
}

static uint8_t
format_of(const struct vm_params *p)
{
    if (mac_is_none(&p->mac))
        return p->has_vni ? VDP_FILTER_GROUP : VDP_FILTER_VID;
    return p->has_vni ? VDP_FILTER_GROUP_MAC : VDP_FILTER_MAC;
}

/* What the command names replaces what was known; what belongs to one command does not
 * stay. */
static void
merge(struct vm_params *p, const struct vm_command *c)
{
    const struct vm_params *n = &c->par;
    if (c->given & GIVE_IF)
        memcpy(p->ifname, n->ifname, sizeof(p->ifname));
    if (c->given & GIVE_MAC)
        p->mac = n->mac;
    if (c->given & GIVE_VN) {
        p->has_vni = n->has_vni;
        p->vni = n->vni;
        memcpy(p->vn, n->vn, sizeof(p->vn));
    }
    if (c->given & GIVE_IPS) {
        p->n_ips = n->n_ips;
        p->ips_complete = 1;
        memcpy(p->ips, n->ips, sizeof(p->ips));
    }
    if (c->given & GIVE_TAG) {
        p->vid = n->vid;
        p->pcp = n->pcp;
        p->ps = n->ps;
    }
    if (c->given & GIVE_TYPE) {
        p->type_id = n->type_id;
        p->type_version = n->type_version;
    }
    p->epoch = n->epoch;
    p->migration = n->migration;
    p->target = n->target;
    p->source = n->source;
    p->confirm = n->confirm;
    p->hold = n->hold;
    p->suspended = n->suspended;
    if (c->given & GIVE_FORMAT)
        p->format = n->format;
    else if (!p->format || c->given & (GIVE_VN | GIVE_MAC))
        p->format = format_of(p);
}

/* Which uplink; n_up and *why when none will do. */
static uint32_t
choose_uplink(const struct tes *t, const struct vm_command *c, const struct vm *v,
    const char **why)
{
    uint32_t u = t->n_up == 1 ? 0 : t->n_up;
    if (c->has_uplink)
        u = c->par.uplink;
    else if (v && v->state != VM_NEW && v->state != VM_TERM)
        u = v->par.uplink;
    if (u >= t->n_up)
        *why = "there are several uplinks: name one (uplink)";
    else if (c->op != TNS_TERMINATE && (!t->up[u].up || !t->up[u].station))
        *why = "the uplink has no carrier: connect it, then signal again";
    else
        return u;
    return t->n_up;
}

static void
refuse(struct tes *t, struct vm_command *c, const char *code, const char *text)
{
    t->n.refused++;
    if (c->virt)
        virt_ended(t, &c->id, c->op, c->wait, code, text);
    else
        ctl_error(t, c->conn, c->req_id, code, "%s", text);
    mem_free(c->req_id);
    c->req_id = NULL;
}

static void
open_request(struct tes *t, struct vm *v, struct vm_command *c, uint32_t req)
{
    struct request *r = pool_at(&t->reqs, req);
    r->conn = c->conn;
    r->id = c->req_id;
    r->op = c->op;
    r->virt = c->virt;
    r->wait = c->wait;
    v->virt |= c->virt;
    r->start_us = t->now_us;
    r->was_new = v->state == VM_NEW || v->state == VM_TERM;
    r->before = v->par;
    v->req = req;
    v->op = c->op;
    v->chain = 0;
}

/* Gone here at once; the edge is told, and if it does not hear it, it ages the VM out.
 */
static void
terminate(struct tes *t, uint32_t h)
{
    struct vm *v = vm_at(t, h);
    char who[VSIID_STR];
    bool tell = !v->follow; /* also when lost: the edge may think otherwise */
    fsm_step(&t->fsm, &v->state, TNS_TERMINATE, vm_str(v, who));
    v->wanted = 0;
    v->retrying = 0;
    v->waits = 0;
    timers_clear(&t->timers, &v->timer);
    vm_set_tag(t, h, VM_ACT_DROP);
    vm_journal(t, h, false);
    if (tell && t->up[v->par.uplink].up && vm_send(t, h, false))
        v->waits |= WAIT_ANSWER;
    vm_progress(t, h);
}

/* The target's claim was faster than the source's commit: what that would do is done
 * (E3). */
static bool
overtaken(const struct vm *v, uint8_t op)
{
    return op == TNS_EMIGRATE_COMMIT && v->state == VM_LOST &&
           v->reason == BERTH_REASON_MOVED;
}

/* It was elsewhere since, by a number above ours, and nobody told us (E3). */
static bool
comes_back(const struct vm *v, const struct vm_command *c)
{
    return (v->state == VM_ASSOC || v->state == VM_SUSP) &&
           c->op == TNS_IMMIGRATE_PRE && v->epoch && c->par.epoch > v->epoch;
}

/* F4: the command of a migration before the one by which the VM runs here. What it
 * would end must not even lose its tag. Immigrate(pre) brings no claim: its number is
 * the one to be exceeded (K4). */
static bool
of_the_past(const struct vm *v, const struct vm_command *c)
{
    bool stands = v->state != VM_NEW && v->state != VM_TERM && v->state != VM_LOST;
    return stands && c->op != TNS_IMMIGRATE_PRE && c->par.epoch &&
           c->par.epoch < v->epoch;
}

void
vm_command(struct tes *t, struct vm_command *c)
{
    uint32_t h = vm_find(t, &c->id), u, req;
    struct vm *v = h ? vm_at(t, h) : NULL;
    const char *why = NULL;
    bool done = v && overtaken(v, c->op);
    t->n.commands++;
    if (t->conf.follow && c->op != TNS_TERMINATE) {
        refuse(t, c, "follows",
            "lldpad signals for this server: use vdptool, and `vm follow` "
            "to name the VM's interface");
        return;
    }
    if ((!v || v->state == VM_TERM) && !creates(c->op)) {
        refuse(t, c, "unknown_vm",
            "this agent knows no such VM: see `berth show vms`, or associate it first");
        return;
    }
    if (v && !done && !legal(t, v->state, c->op) && v->state != VM_NEW) {
        char text[128];
        snprintf(text, sizeof(text), "the VM is %s, which does not allow %s: %s",
            vm_state_name(v->state), tns_op_str(c->op),
            v->state == VM_LOST ? "associate it again first" : "see `berth show vms`");
        refuse(t, c, "invalid_state", text);
        return;
    }
    if (v && of_the_past(v, c)) {
        char text[128];
        snprintf(text, sizeof(text),
            "the VM is here by epoch %llu, this command is of an earlier migration "
            "(see `berth show vms`)",
            (unsigned long long)v->epoch);
        refuse(t, c, "moved", text);
        return;
    }
    u = choose_uplink(t, c, v, &why);
    if (u == t->n_up) {
        refuse(t, c, "no_uplink", why);
        return;
    }
    if (v && v->state != VM_NEW && v->state != VM_TERM && v->par.uplink != u) {
        refuse(t, c, "conflict",
            "the VM is attached by another uplink: terminate it first");
        return;
    }
    if (!v)
        h = vm_add(t, &c->id);
    req = h ? pool_get(&t->reqs) : 0;
    if (!req) {
        refuse(t, c, "no_resources", "the agent's table of VMs is full: raise max_vms");
        if (h && !v)
            vm_remove(t, h);
        return;
    }
    v = vm_at(t, h);
    if (v->waits & WAIT_ANSWER)
        v->doubt |= v->op == TNS_SUSPEND ? DOUBT_PAUSE : DOUBT;
    if (v->req) {
        t->n.superseded++;
        vm_fail(t, h, "superseded", "a newer command for this VM has taken its place");
    }
    if (comes_back(v, c))
        vm_lost(t, h, true, BERTH_REASON_MOVED);
    open_request(t, v, c, req);
    vm_seen_command(t, v, c);
    if (c->op == TNS_TERMINATE) {
        terminate(t, h);
        return;
    }
    v->waits = 0;
    if (done) {
        vm_progress(t, h);
        return;
    }
    v->par.uplink = u;
    merge(&v->par, c);
    if (!vm_send(t, h, false)) {
        struct request *r = pool_at(&t->reqs, req);
        bool fresh = r->was_new;
        v->par = r->before;
        vm_fail(t, h, "bad_request",
            "the request does not fit into VDP (too many addresses, or a filter format "
            "that "
            "cannot carry it), or the station's table is full");
        if (fresh)
            vm_remove(t, h);
        return;
    }
    v->waits |= WAIT_ANSWER;
    timers_clear(&t->timers, &v->timer);
    if (v->state == VM_NEW && v->par.ifname[0])
        vm_set_tag(t, h, VM_ACT_BLOCK); /* nothing passes before the tag is known */
    else if ((v->state == VM_IMMIG && c->op == TNS_IMMIGRATE_ASSO &&
                 !v->par.suspended) ||
             (v->state == VM_EMIG && event_of(v) == TNS_RESUME))
        vm_set_tag(
            t, h, VM_ACT_OPEN); /* it may run; the edge admits when it is active */
}

/* --- from the edge --- */

/* An epoch goes with the id that it was granted to: without it a repetition is not
 * known as this VM's own (K4, E6). */
static void
take_id(struct vm *v, const struct vdp_station_out *ev)
{
    if (ev->has_berth && ev->berth.epoch && ev->berth.migration)
        v->par.migration = ev->berth.migration;
}

static void
take_answer(struct vm *v, const struct vdp_station_out *ev)
{
    if (ev->n_entries) {
        const struct vdp_entry *e = &ev->entries[0];
        v->vid = e->vid;
        v->pcp = e->ps || !v->par.ps ? e->pcp : v->par.pcp;
        if (ev->filter_format >= VDP_FILTER_GROUP && e->group) {
            v->par.vni = e->group & VNI_MAX;
            v->par.has_vni = 1;
        }
    }
    v->unpublished = ev->has_berth && ev->berth.flags & BERTH_FLAG_UNPUBLISHED;
    v->unconfirmed = !ev->has_berth || ev->berth.flags & BERTH_FLAG_UNCONFIRMED;
    if (ev->has_berth && ev->berth.vni)
        v->vni = ev->berth.vni;
    if (ev->has_berth && ev->berth.mtu)
        v->mtu = ev->berth.mtu;
    if (ev->has_berth && !ip_is_none(&ev->berth.target))
        v->nve = ev->berth.target;
    if (ev->has_berth && ev->berth.epoch)
        v->epoch = ev->berth.epoch;
    else if (v->par.epoch)
        v->epoch = v->par.epoch;
    take_id(v, ev);
}

/* After a restart our station keeps nothing alive of what stands at the edge: it is
 * asked for again, by the number that it was granted there meanwhile. */
static void
stands_unheld(struct tes *t, uint32_t h, const struct vdp_station_out *ev)
{
    struct vm *v = vm_at(t, h);
    if (ev->has_berth && ev->berth.epoch > v->epoch) {
        v->epoch = ev->berth.epoch;
        take_id(v, ev);
    }
    vm_retry(t, h);
}

static void
accepted(struct tes *t, uint32_t h, const struct vdp_station_out *ev)
{
    struct vm *v = vm_at(t, h);
    struct request *r = v->req ? pool_at(&t->reqs, v->req) : NULL;
    uint8_t was = v->state;
    const struct fsm_row *row;
    char who[VSIID_STR];
    v->waits &= (uint8_t)~WAIT_ANSWER;
    if (r && !r->answer_us)
        r->answer_us = t->now_us;
    if (v->op == TNS_TERMINATE || overtaken(v, v->op)) {
        vm_progress(t, h);
        return;
    }
    take_answer(v, ev);
    row = fsm_step(&t->fsm, &v->state, event_of(v), vm_str(v, who));
    if (!row) {
        vm_fail(t, h, "invalid_state", "the VM's state has changed meanwhile");
        return;
    }
    if (v->state != was) {
        v->since_us = t->now_us;
        if (v->state == VM_EMIG || v->state == VM_ARMED)
            v->prev = was != VM_ARMED && was != VM_ASSOC ? was
                      : v->doubt                         ? VM_SUSP
                                                         : VM_ASSOC;
    } else if (v->state == VM_EMIG && v->op == TNS_SUSPEND) {
        v->prev = VM_SUSP; /* A2 */
    }
    if (v->state != VM_SUSP) /* a pause leaves an emigration as it is (A2) */
        v->doubt = 0;
    v->wanted = 1;
    v->retrying = 0;
    v->retry_us = 0;
    v->reason = BERTH_REASON_NONE;
    vm_set_tag(t, h, v->chain ? VM_ACT_HOLD : (enum vm_action)row->action);
    if (v->chain) { /* it was suspended, and is to be so again */
        v->chain = 0;
        v->op = TNS_SUSPEND;
        if (vm_send(t, h, true)) {
            v->waits |= WAIT_ANSWER;
            return;
        }
    }
    virt_stays(t, h);
    vm_journal(t, h, true);
    vm_progress(t, h);
}

static void
refused(struct tes *t, uint32_t h, const struct vdp_station_out *ev)
{
    struct vm *v = vm_at(t, h);
    struct meaning m = meaning_of(ev);
    struct request *r = v->req ? pool_at(&t->reqs, v->req) : NULL;
    bool fresh = r && r->was_new;
    v->waits &= (uint8_t)~WAIT_ANSWER;
    if (v->op == TNS_TERMINATE) {
        vm_fail(t, h, m.code, "%s (the VM is gone here; the edge ages it out)", m.text);
        vm_progress(t, h);
        return;
    }
    if (r && v->op == TNS_EMIGRATE_COMMIT && ev->has_berth &&
        ev->berth.reason == BERTH_REASON_MOVED)
        vm_lost(t, h, true, BERTH_REASON_MOVED);
    if (r && overtaken(v, v->op)) {
        vm_progress(t, h);
        return;
    }
    if (r) {
        v->par = r->before;
        if (ev->has_berth && ev->berth.reason_text[0])
            vm_fail(t, h, m.code, "%s (%s)", m.text, ev->berth.reason_text);
        else
            vm_fail(t, h, m.code, "%s", m.text);
    }
    if (fresh) {
        forget(t, h, ev->keep); /* an earlier request of it may stand there */
        return;
    }
    if (ev->keep) { /* A9: what was before still holds */
        v->retrying = 0;
        vm_tag_again(t, h);
        if (!ev->held)
            stands_unheld(t, h, ev);
        vm_progress(t, h);
        return;
    }
    vm_lost(t, h, ev->has_berth && ev->berth.reason == BERTH_REASON_MOVED,
        ev->has_berth ? ev->berth.reason : BERTH_REASON_OTHER);
}

static void
silent(struct tes *t, uint32_t h)
{
    struct vm *v = vm_at(t, h);
    struct request *r = v->req ? pool_at(&t->reqs, v->req) : NULL;
    bool fresh = r && r->was_new;
    t->n.timeouts++;
    v->waits &= (uint8_t)~WAIT_ANSWER;
    if (v->op == TNS_TERMINATE) {
        vm_fail(t, h, "timeout",
            "no answer from the edge: the VM is gone here, and the edge ages it out");
        vm_progress(t, h);
        return;
    }
    if (r) {
        v->par = r->before;
        vm_fail(t, h, "timeout",
            "no answer from the edge behind %s: check that berth-nve runs there and "
            "has "
            "this port (berth show ports)",
            t->up[v->par.uplink].name);
    }
    if (fresh) {
        forget(t, h, true);
        return;
    }
    vm_tag_again(t, h);
    vm_retry(t, h);
}

void
vm_station_event(struct tes *t, uint32_t uplink, const struct vdp_station_out *ev)
{
    uint32_t h = vm_find(t, &ev->key.id);
    struct vm *v = h ? vm_at(t, h) : NULL;
    bool current;
    if (!v || v->par.uplink != uplink)
        return;
    current = v->waits & WAIT_ANSWER && ev->cookie == ((uint64_t)v->serial << 32 | h);
    switch (ev->event) {
    case VDP_STATION_FRAME:
    case VDP_STATION_SUPERSEDED:
        break;
    case VDP_STATION_RESULT:
        if (current && ev->code == VDP_CODE_OK)
            accepted(t, h, ev);
        else if (current)
            refused(t, h, ev);
        break;
    case VDP_STATION_TIMEOUT:
        if (current)
            silent(t, h);
        break;
    case VDP_STATION_LOST:
        t->n.lost++;
        if (ev->code != VDP_CODE_OK)
            vm_lost(t, h, ev->has_berth && ev->berth.reason == BERTH_REASON_MOVED,
                ev->has_berth ? ev->berth.reason : BERTH_REASON_OTHER);
        else if (v->wanted)
            vm_retry(t, h); /* silence: the tag stays */
        break;
    case VDP_STATION_DEASSOC:
        t->n.deassocs++;
        vm_lost(t, h, ev->has_berth && ev->berth.reason == BERTH_REASON_MOVED,
            ev->has_berth ? ev->berth.reason : BERTH_REASON_NONE);
        break;
    }
}
