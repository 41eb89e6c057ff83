/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of the agent, and its uplinks: each has a VDP station and an LLDP speaker,
 * made when its address is known. After every input both are emptied: their frames
 * become outputs, their events go to the VMs. In follow mode LLDP is only listened to,
 * for the bridge's word on reflective relay (K10). */
#include "node/trace.h"
#include "tes/virt.h"
#include "base/log.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { RTE = 8, RETRIES = 3, RWD = 17, RKA = 20 }; /* what lldpad is used with */

struct tes *
tes_new(const struct tes_conf *conf, uint64_t now_us)
{
    struct tes *t = mem_alloc(sizeof(*t));
    const char *why = NULL;
    t->conf = *conf;
    t->start_us = t->now_us = now_us;
    snprintf(t->name, sizeof(t->name), "%s", conf->name ? conf->name : "");
    t->conf.name = t->name;
    t->conf.uplinks = NULL;
    if (t->conf.max_vms == 0 || t->conf.max_vms >= TES_VMS_LIMIT)
        t->conf.max_vms = TES_VMS_LIMIT - 1;
    t->n_up = conf->n_uplinks < TES_UPLINKS_MAX ? conf->n_uplinks : TES_UPLINKS_MAX;
    for (uint32_t i = 0; i < t->n_up; i++) {
        snprintf(t->up[i].name, sizeof(t->up[i].name), "%s", conf->uplinks[i]);
        t->up[i].reflect = conf->follow && conf->reflective_relay;
    }
    if (!fsm_init(&t->fsm, &vm_fsm_def, &why)) /* our own table: held by a test */
        log_err("vm", "table of states: %s", why);
    pool_init(&t->vms, sizeof(struct vm), t->conf.max_vms);
    pool_init(&t->reqs, sizeof(struct request), t->conf.max_vms);
    map_init(&t->by_id, vm_has_id, t, conf->seed);
    t->live = mem_alloc(t->conf.max_vms / 8 + 1);
    timers_init(&t->timers);
    rng_seed(&t->rng, conf->seed);
    json_object_seed((size_t)rng_next(&t->rng) | 1);
    fifo_init(&t->outs, sizeof(struct tes_out));
    fifo_init(&t->waiters, sizeof(struct waiter));
    virt_init(t);
    t->trace = trace_new(
        conf->trace_events ? conf->trace_events : TRACE_EVENTS, conf->wall_us);
    return t;
}

void
tes_free(struct tes *t)
{
    if (!t)
        return;
    ctl_free(t);
    virt_free(t);
    trace_free(t->trace);
    for (uint32_t h = t->first_vm; h; h = vm_at(t, h)->next)
        if (vm_at(t, h)->req)
            mem_free(((struct request *)pool_at(&t->reqs, vm_at(t, h)->req))->id);
    for (uint32_t i = 0; i < t->n_up; i++) {
        vdp_station_free(t->up[i].station);
        lldp_evb_free(t->up[i].lldp);
    }
    fifo_done(&t->waiters);
    fifo_done(&t->outs);
    arena_done(&t->arena);
    timers_done(&t->timers);
    map_done(&t->by_id);
    pool_done(&t->reqs);
    pool_done(&t->vms);
    fsm_done(&t->fsm);
    mem_free(t->live);
    mem_free(t);
}

uint32_t
tes_n_vms(const struct tes *t)
{
    return t->vms.n;
}

uint32_t
tes_uplink_find(const struct tes *t, const char *name)
{
    uint32_t i = 0;
    while (i < t->n_up && strcmp(t->up[i].name, name) != 0)
        i++;
    return i;
}

struct tes_out *
tes_out_push(struct tes *t, uint8_t type)
{
    struct tes_out *o = fifo_push(&t->outs);
    o->type = type;
    return o;
}

void *
tes_bytes(struct tes *t, const void *p, size_t size)
{
    return arena_copy(&t->arena, p, size);
}

/* --- uplinks --- */

static struct evb_timers
own_timers(const struct tes *t)
{
    return (struct evb_timers){
        .retries = t->conf.evb_retries ? t->conf.evb_retries : RETRIES,
        .rte = t->conf.evb_rte ? t->conf.evb_rte : RTE,
        .rwd = t->conf.evb_rwd ? t->conf.evb_rwd : RWD,
        .rka = t->conf.evb_rka ? t->conf.evb_rka : RKA};
}

/* The address is known, or another than before: then the edge sees another station, and
 * every VM is signalled again. */
static void
start_uplink(struct tes *t, struct uplink *u, const struct mac *mac)
{
    struct vdp_station_conf sc = vdp_station_defaults(mac);
    struct lldp_evb_conf lc = lldp_evb_defaults(LLDP_EVB_STATION, mac);
    uint64_t seed = rng_next(&t->rng);
    vdp_station_free(u->station);
    lldp_evb_free(u->lldp);
    u->mac = *mac;
    sc.timers = lc.timers = own_timers(t);
    sc.max_vsis = t->conf.max_vms;
    sc.seed = seed;
    if (t->conf.oui)
        sc.oui = lc.oui = t->conf.oui;
    if (t->conf.tries)
        sc.tries = t->conf.tries;
    if (t->conf.pace_us)
        sc.gap_us = t->conf.pace_us;
    lc.group_ids = true;
    lc.reflective_relay = t->conf.reflective_relay;
    lc.hello = true;
    lc.boot = (uint32_t)(seed >> 32) | 1;
    u->station = vdp_station_new(&sc, t->now_us);
    u->lldp = lldp_evb_new(&lc, t->now_us);
}

static void
set_uplink(struct tes *t, const struct tes_in *in)
{
    struct uplink *u;
    bool fresh;
    if (in->uplink >= t->n_up)
        return;
    u = &t->up[in->uplink];
    fresh = !u->known || !mac_equal(&u->mac, &in->mac);
    if (fresh && !mac_is_none(&in->mac)) {
        bool again = u->known;
        u->known = true;
        u->mac = in->mac;
        if (!t->conf.follow) {
            start_uplink(t, u, &in->mac);
            if (again)
                vm_new_station(t, in->uplink);
        }
    }
    if (u->lldp && (fresh || u->up != !!in->up))
        lldp_evb_set_carrier(u->lldp, in->up, t->now_us);
    if (u->up != !!in->up)
        log_note("uplink", "%s: carrier %s", u->name, in->up ? "up" : "down");
    u->up = in->up;
    if (u->up)
        vm_uplink_ready(t, in->uplink);
}

static void
set_reflect(struct tes *t, uint32_t uplink, bool reflect)
{
    if (t->up[uplink].reflect == reflect)
        return;
    t->up[uplink].reflect = reflect;
    log_note("uplink", "%s: %s switches between the VMs of this server",
        t->up[uplink].name, reflect ? "the edge" : "the server");
    vm_reflect(t, uplink);
}

/* Follow mode: what the bridge says in its EVB TLV; lldpad answers it. */
static void
listen_lldp(struct tes *t, uint32_t uplink, const uint8_t *p, uint32_t size)
{
    struct rd r = rd_of(p, size);
    struct eth eth;
    struct lldp lldp;
    if (!eth_decode(&r, &eth) || eth.n_tags || eth.type != ETH_TYPE_LLDP ||
        lldp_decode(&r, t->conf.oui ? t->conf.oui : BERTH_OUI, &lldp) != LLDP_GOOD ||
        !lldp.has_evb || lldp.evb.mode != LLDP_EVB_BRIDGE) {
        t->n.bad_frames++;
        return;
    }
    set_reflect(t, uplink, lldp.evb.bridge & LLDP_EVB_RRCTR);
}

static void
take_frame(struct tes *t, const struct tes_in *in)
{
    struct uplink *u = in->uplink < t->n_up ? &t->up[in->uplink] : NULL;
    uint16_t type;
    if (!u || in->size < ETH_HEADER_SIZE || (!u->station && !t->conf.follow)) {
        t->n.bad_frames++;
        return;
    }
    type = (uint16_t)(in->p[12] << 8 | in->p[13]);
    if (t->conf.follow)
        listen_lldp(t, in->uplink, in->p, in->size);
    else if (type == ETH_TYPE_LLDP)
        lldp_evb_input(u->lldp, in->p, in->size, t->now_us);
    else if (type == ETH_TYPE_ECP)
        vdp_station_input(u->station, in->p, in->size, t->now_us);
    else
        t->n.bad_frames++;
}

static void
push_frame(struct tes *t, uint32_t uplink, const uint8_t *frame, size_t size)
{
    struct tes_out *o;
    if (!t->up[uplink].up)
        return;
    o = tes_out_push(t, TES_OUT_FRAME);
    o->uplink = uplink;
    o->p = tes_bytes(t, frame, size);
    o->size = (uint32_t)size;
}

static void
pump_lldp(struct tes *t, uint32_t uplink)
{
    struct uplink *u = &t->up[uplink];
    struct lldp_evb_out out;
    while (lldp_evb_output(u->lldp, t->now_us, &out)) {
        if (out.event == LLDP_EVB_FRAME) {
            push_frame(t, uplink, out.frame, out.frame_size);
            continue;
        }
        vdp_station_set_peer(
            u->station, &out.state.timers, out.state.berth, out.restarted, t->now_us);
        set_reflect(t, uplink, out.state.up && out.state.reflective_relay);
    }
}

/* Frames first: the request is on the wire before anything else of the step happens. */
static void
pump(struct tes *t, uint32_t uplink)
{
    struct uplink *u = &t->up[uplink];
    struct vdp_station_out out;
    if (!u->station)
        return;
    pump_lldp(t, uplink);
    while (vdp_station_output(u->station, t->now_us, &out)) {
        if (out.event == VDP_STATION_FRAME)
            push_frame(t, uplink, out.frame, out.frame_size);
        else
            vm_station_event(t, uplink, &out);
    }
}

/* --- verbs --- */

void
tes_input(struct tes *t, const struct tes_in *in, uint64_t now_us)
{
    uint32_t kind, ref;
    t->now_us = now_us;
    switch ((enum tes_in_type)in->type) {
    case TES_IN_TICK:
        break;
    case TES_IN_FRAME:
        take_frame(t, in);
        break;
    case TES_IN_UPLINK:
        set_uplink(t, in);
        break;
    case TES_IN_TAGGED:
        vm_tagged(t, in->id, in->status);
        break;
    case TES_IN_CONTROL:
        ctl_request(t, in->conn, in->p, in->size);
        break;
    case TES_IN_CONTROL_MORE:
        ctl_more(t, in->conn);
        break;
    case TES_IN_CONTROL_GONE:
        ctl_gone(t, in->conn);
        break;
    case TES_IN_RESTORE:
        if (!vm_record_read(t, in->p, in->size))
            log_warn("vm", "the journal has a record that is not understood: skipped");
        break;
    case TES_IN_RESTORED:
        vm_restored(t);
        break;
    case TES_IN_JOURNAL_DONE:
        vm_journal_done(t, in->id, in->status);
        break;
    case TES_IN_FOLLOW:
        vm_follow(t, in);
        break;
    case TES_IN_DOMAIN:
        virt_input(t, in->p, in->size);
        break;
    case TES_IN_COUNTERS:
        ctl_counters(t, in);
        break;
    }
    while (timers_pop(&t->timers, now_us, &kind, &ref))
        if (kind == TIMER_VM)
            vm_timer(t, ref);
        else if (kind == TIMER_NEAR)
            vm_near(t, ref);
        else
            virt_timer(t, kind, ref);
    for (uint32_t i = 0; i < t->n_up; i++)
        pump(t, i);
    if (virt_pump(t)) /* it may have asked for more */
        for (uint32_t i = 0; i < t->n_up; i++)
            pump(t, i);
}

uint64_t
tes_deadline(const struct tes *t)
{
    uint64_t at = timers_deadline(&t->timers);
    for (uint32_t i = 0; i < t->n_up; i++) {
        const struct uplink *u = &t->up[i];
        uint64_t s = u->station ? vdp_station_deadline(u->station) : TIMER_NEVER;
        uint64_t l = u->station && u->up ? lldp_evb_deadline(u->lldp) : TIMER_NEVER;
        at = s < at ? s : at;
        at = l < at ? l : at;
    }
    return at;
}

bool
tes_output(struct tes *t, struct tes_out *out)
{
    if (fifo_pop(&t->outs, out))
        return true;
    arena_reset(&t->arena);
    return false;
}
