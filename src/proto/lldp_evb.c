/* SPDX-License-Identifier: Apache-2.0 */
/* The frame is made anew for each transmission from what is ours and what was last
 * heard. We announce our own timers and let each side take the larger: a side that
 * announced the agreed value would keep both from ever lowering it again. */
#include "proto/lldp_evb.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "wire/berth_tlv.h"

#define FAST_AFTER                                                                     \
    3 /* more fast ones once a neighbour is seen: it may have missed some */
#define RR_OFF       0
#define RR_ON        1
#define RR_NOT_KNOWN 3

struct lldp_evb {
    struct lldp_evb_conf conf;
    struct lldp_evb_counters counters;
    struct lldp_evb_state state;
    uint8_t remote_status; /* the neighbour's own octet */
    uint8_t heard_of_us;   /* the octet in which it repeats ours */
    uint64_t expire_us;    /* of the neighbour */
    uint64_t next_us;      /* transmission; TIMER_NEVER without carrier */
    uint8_t n_fast;        /* fast transmissions left */
    bool changed, restarted, bye;
    bool had; /* there was a neighbour before */
    uint8_t frame[LLDP_FRAME_MAX];
};

struct lldp_evb_conf
lldp_evb_defaults(enum lldp_evb_mode role, const struct mac *self)
{
    bool bridge = role == LLDP_EVB_BRIDGE;
    return (struct lldp_evb_conf){
        .role = role,
        .self = *self,
        .group = eth_mac_ncb,
        .interval_us = 30000000,
        .fast_us = 1000000,
        .ttl_s = 120,
        .timers = {.retries = 3, .rte = 8, .rwd = 20, .rka = bridge ? 24 : 20},
        .group_ids = true,
        .reflective_relay = bridge,
        .hello = true,
        .oui = BERTH_OUI,
    };
}

static void
reset_state(struct lldp_evb *e)
{
    e->state = (struct lldp_evb_state){.timers = e->conf.timers};
    e->remote_status = e->heard_of_us = 0;
    e->expire_us = TIMER_NEVER;
}

struct lldp_evb *
lldp_evb_new(const struct lldp_evb_conf *conf, uint64_t now_us)
{
    struct lldp_evb *e = mem_alloc(sizeof *e);
    e->conf = *conf;
    if (mac_is_none(&conf->group))
        e->conf.group = eth_mac_ncb;
    if (conf->oui == 0)
        e->conf.oui = BERTH_OUI;
    if (conf->chassis.size == 0) {
        e->conf.chassis = (struct lldp_id){.subtype = LLDP_CHASSIS_MAC, .size = 6};
        memcpy(e->conf.chassis.b, conf->self.b, sizeof conf->self.b);
    }
    if (conf->port.size == 0) {
        e->conf.port = (struct lldp_id){.subtype = LLDP_PORT_MAC, .size = 6};
        memcpy(e->conf.port.b, conf->self.b, sizeof conf->self.b);
    }
    reset_state(e);
    e->next_us = now_us;
    return e;
}

void
lldp_evb_free(struct lldp_evb *e)
{
    mem_free(e);
}

/* Our status octet: what we can do and what holds now (K10). */
static uint8_t
own_status(const struct lldp_evb *e)
{
    bool rr = e->conf.reflective_relay;
    if (e->conf.role == LLDP_EVB_BRIDGE)
        return (e->conf.group_ids ? LLDP_EVB_BGID : 0) | (rr ? LLDP_EVB_RRCAP : 0) |
               (e->state.reflective_relay ? LLDP_EVB_RRCTR : 0);
    uint8_t stat = !e->state.up                ? RR_NOT_KNOWN
                   : e->state.reflective_relay ? RR_ON
                                               : RR_OFF;
    return (e->conf.group_ids ? LLDP_EVB_SGID : 0) | (rr ? LLDP_EVB_RRREQ : 0) | stat;
}

static size_t
write_frame(struct lldp_evb *e, bool bye)
{
    struct lldp lldp = {.chassis = e->conf.chassis,
        .port = e->conf.port,
        .ttl_s = bye ? 0 : e->conf.ttl_s,
        .has_evb = !bye,
        .has_hello = e->conf.hello && !bye};
    bool bridge = e->conf.role == LLDP_EVB_BRIDGE;
    lldp.evb =
        (struct lldp_evb_tlv){.bridge = bridge ? own_status(e) : e->remote_status,
            .station = bridge ? e->remote_status : own_status(e),
            .mode = e->conf.role,
            .timers = e->conf.timers};
    lldp.hello = (struct lldp_hello){
        .version = BERTH_WIRE_VERSION, .role = e->conf.role, .boot = e->conf.boot};
    struct wr w = wr_of(e->frame, sizeof e->frame);
    struct eth eth = {.dst = e->conf.group, .src = e->conf.self, .type = ETH_TYPE_LLDP};
    eth_encode(&w, &eth);
    lldp_encode(&w, e->conf.oui, &lldp);
    eth_pad(&w);
    return w.err ? 0 : w.pos;
}

/* ---- receiving ---- */

static uint8_t
larger(uint8_t a, uint8_t b)
{
    return a > b ? a : b;
}

static struct evb_timers
agree(const struct evb_timers *a, const struct evb_timers *b)
{
    return (struct evb_timers){.retries = larger(a->retries, b->retries),
        .rte = larger(a->rte, b->rte),
        .rwd = larger(a->rwd, b->rwd),
        .rka = larger(a->rka, b->rka)};
}

static bool
same_state(const struct lldp_evb_state *a, const struct lldp_evb_state *b)
{
    return a->up == b->up && mac_equal(&a->neighbour, &b->neighbour) &&
           a->timers.retries == b->timers.retries && a->timers.rte == b->timers.rte &&
           a->timers.rwd == b->timers.rwd && a->timers.rka == b->timers.rka &&
           a->reflective_relay == b->reflective_relay && a->group_ids == b->group_ids &&
           a->berth == b->berth && a->boot == b->boot;
}

static void
send_soon(struct lldp_evb *e, uint64_t now_us)
{
    if (e->next_us != TIMER_NEVER)
        e->next_us = now_us;
    e->n_fast = FAST_AFTER;
}

static void
lose(struct lldp_evb *e, uint64_t now_us)
{
    if (!e->state.up)
        return;
    reset_state(e);
    e->changed = true;
    e->counters.changes++;
    send_soon(e, now_us);
}

static void
read_evb(struct lldp_evb *e, const struct lldp_evb_tlv *evb, struct lldp_evb_state *s)
{
    bool bridge = e->conf.role == LLDP_EVB_BRIDGE;
    e->remote_status = bridge ? evb->station : evb->bridge;
    e->heard_of_us = bridge ? evb->bridge : evb->station;
    s->timers = agree(&e->conf.timers, &evb->timers);
    if (bridge) {
        s->reflective_relay =
            e->conf.reflective_relay && e->remote_status & LLDP_EVB_RRREQ;
        s->group_ids = e->conf.group_ids && e->remote_status & LLDP_EVB_SGID;
    } else {
        s->reflective_relay =
            e->conf.reflective_relay && e->remote_status & LLDP_EVB_RRCTR;
        s->group_ids = e->conf.group_ids && e->remote_status & LLDP_EVB_BGID;
    }
}

/* A speaker of ours says so by its boot number; another one by having forgotten us. */
static bool
has_restarted(const struct lldp_evb *e, const struct lldp_evb_state *s, uint8_t heard)
{
    if (!e->state.up || !mac_equal(&e->state.neighbour, &s->neighbour))
        return false;
    if (e->state.berth && s->berth)
        return e->state.boot != s->boot;
    return heard != 0 && e->heard_of_us == 0;
}

static void
take(
    struct lldp_evb *e, const struct mac *src, const struct lldp *lldp, uint64_t now_us)
{
    uint8_t heard = e->heard_of_us, remote = e->remote_status;
    struct lldp_evb_state s = {.up = true, .neighbour = *src, .timers = e->conf.timers};
    s.berth = lldp->has_hello;
    s.boot = lldp->has_hello ? lldp->hello.boot : 0;
    if (lldp->has_evb)
        read_evb(e, &lldp->evb, &s);
    bool found = !e->state.up;
    bool restarted = has_restarted(e, &s, heard) || (found && e->had);
    e->had = true;
    e->expire_us = now_us + (uint64_t)lldp->ttl_s * 1000000;
    if (restarted) {
        e->counters.restarts++;
        e->restarted = true;
    }
    if (!restarted && same_state(&e->state, &s) && remote == e->remote_status)
        return;
    e->changed |= restarted || !same_state(&e->state, &s);
    e->state = s;
    e->counters.changes++;
    if (found || restarted)
        send_soon(e, now_us);
    else if (e->next_us > now_us + e->conf.fast_us && e->next_us != TIMER_NEVER)
        e->next_us = now_us + e->conf.fast_us; /* our echo of its octet has changed */
}

void
lldp_evb_input(struct lldp_evb *e, const uint8_t *frame, size_t size, uint64_t now_us)
{
    struct rd r = rd_of(frame, size);
    struct eth eth;
    struct lldp lldp;
    bool sound = eth_decode(&r, &eth) && eth.type == ETH_TYPE_LLDP && eth.n_tags == 0;
    bool to_us = mac_equal(&eth.dst, &e->conf.group) ||
                 (!mac_is_none(&e->conf.extra) && mac_equal(&eth.dst, &e->conf.extra));
    if (!sound || !to_us || mac_is_group(&eth.src) ||
        mac_equal(&eth.src, &e->conf.self)) {
        e->counters.rx_other++;
        return;
    }
    enum lldp_reason reason = lldp_decode(&r, e->conf.oui, &lldp);
    if (reason != LLDP_GOOD) {
        e->counters.rx_bad++;
        log_dbg("lldp", "refused: %s", lldp_reason_str(reason));
        return;
    }
    e->counters.rx++;
    if (lldp.ttl_s == 0) { /* good-bye (802.1AB 9.2.7.7.1 f) */
        if (e->state.up && mac_equal(&e->state.neighbour, &eth.src))
            lose(e, now_us);
        return;
    }
    uint8_t other =
        e->conf.role == LLDP_EVB_BRIDGE ? LLDP_EVB_STATION : LLDP_EVB_BRIDGE;
    if (lldp.has_evb && lldp.evb.mode != other)
        lldp.has_evb = false;
    if (lldp.has_hello && lldp.hello.role != other)
        lldp.has_hello = false;
    if (lldp.has_evb || lldp.has_hello)
        take(e, &eth.src, &lldp, now_us);
    else
        e->counters.rx_other++;
}

/* ---- sending ---- */

void
lldp_evb_set_carrier(struct lldp_evb *e, bool up, uint64_t now_us)
{
    if (up) {
        e->next_us = now_us;
        e->n_fast = FAST_AFTER;
        return;
    }
    lose(e, now_us);
    e->next_us = TIMER_NEVER;
}

void
lldp_evb_bye(struct lldp_evb *e)
{
    e->bye = e->next_us != TIMER_NEVER;
    e->next_us = TIMER_NEVER;
}

uint64_t
lldp_evb_deadline(const struct lldp_evb *e)
{
    if (e->changed || e->bye)
        return 0;
    return e->expire_us < e->next_us ? e->expire_us : e->next_us;
}

static void
schedule(struct lldp_evb *e, uint64_t now_us)
{
    bool fast = !e->state.up || e->n_fast;
    if (e->state.up && e->n_fast)
        e->n_fast--;
    e->next_us = now_us + (fast ? e->conf.fast_us : e->conf.interval_us);
}

bool
lldp_evb_output(struct lldp_evb *e, uint64_t now_us, struct lldp_evb_out *out)
{
    memset(out, 0, sizeof *out);
    if (now_us >= e->expire_us) {
        e->counters.aged += e->state.up;
        lose(e, now_us);
    }
    if (e->changed) {
        out->event = LLDP_EVB_STATE;
        out->state = e->state;
        out->restarted = e->restarted;
        e->changed = e->restarted = false;
        return true;
    }
    if (!e->bye && now_us < e->next_us)
        return false;
    if (!e->bye)
        schedule(e, now_us);
    out->event = LLDP_EVB_FRAME;
    out->frame_size = write_frame(e, e->bye);
    out->frame = e->frame;
    e->bye = false;
    e->counters.tx++;
    return true;
}

const struct lldp_evb_state *
lldp_evb_state(const struct lldp_evb *e)
{
    return &e->state;
}

const struct lldp_evb_counters *
lldp_evb_counters(const struct lldp_evb *e)
{
    return &e->counters;
}
