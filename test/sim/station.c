/* SPDX-License-Identifier: Apache-2.0 */
/* A plain VDP station, as lldpad is one: it knows no words but VDP's own, and keeps
 * nothing. With Berth's TLV it may say anything, whatever it has said before. */
#include "servers.h"

static uint32_t
vm_of_id(struct world *w, const struct vsiid *id)
{
    uint32_t k;
    memcpy(&k, id->b + 12, 4);
    return k < w->sc->vms ? k : 0;
}

static void
plain_result(struct world *w, uint32_t i, const struct vdp_station_out *o)
{
    struct server *s = &w->servers[i];
    uint32_t vm = vm_of_id(w, &o->key.id);
    struct ask *a = ask_find(s, o->cookie);
    sim_hash_u64(w, (uint64_t)o->event << 32 | o->code << 16 | vm);
    switch (o->event) {
    case VDP_STATION_FRAME:
        break;
    case VDP_STATION_RESULT:
        if (o->type == VDP_DEASSOC && !o->keep)
            att_clear(w, i, vm);
        else if (o->code == VDP_CODE_OK && o->n_entries)
            att_set(w, i, vm, o->entries[0].vid, o->type == VDP_ASSOC);
        else if (o->code && !o->keep)
            att_clear(w, i, vm);
        if (a)
            asked(w, i, a, o->code == VDP_CODE_OK,
                o->has_berth && o->berth.flags & BERTH_FLAG_UNPUBLISHED,
                vdp_code_str(o->code));
        else if (o->type != VDP_DEASSOC)
            TRACE(w, "server=%u vm=%u: result again, code %u", i, vm, o->code);
        break;
    case VDP_STATION_TIMEOUT:
    case VDP_STATION_SUPERSEDED:
        if (a)
            asked(w, i, a, false, false,
                o->event == VDP_STATION_TIMEOUT ? "timeout" : "superseded");
        if (o->event == VDP_STATION_TIMEOUT)
            att_clear(w, i, vm);
        break;
    case VDP_STATION_LOST:
    case VDP_STATION_DEASSOC:
        att_clear(w, i, vm);
        if (a)
            asked(w, i, a, false, false, "lost");
        break;
    }
}

void
plain_pump(struct world *w, uint32_t i)
{
    struct server *s = &w->servers[i];
    struct vdp_station_out o;
    struct lldp_evb_out l;
    if (!s->alive || w->failed)
        return;
    while (lldp_evb_output(s->lldp, w->now, &l)) {
        if (l.event == LLDP_EVB_FRAME) {
            sim_hash(w, l.frame, l.frame_size);
            net_link(w, i, true, l.frame, (uint32_t)l.frame_size);
        } else {
            vdp_station_set_peer(
                s->station, &l.state.timers, l.state.berth, l.restarted, w->now);
        }
    }
    while (vdp_station_output(s->station, w->now, &o)) {
        if (o.event == VDP_STATION_FRAME) {
            sim_hash(w, o.frame, o.frame_size);
            if (o.frame_size < sizeof(s->sample)) {
                memcpy(s->sample, o.frame, o.frame_size);
                s->sample_size = (uint32_t)o.frame_size;
            }
            net_link(w, i, true, o.frame, (uint32_t)o.frame_size);
        } else {
            plain_result(w, i, &o);
        }
    }
    uint64_t a = vdp_station_deadline(s->station), b = lldp_evb_deadline(s->lldp);
    server_wake(w, i, a < b ? a : b);
}

void
plain_boot(struct world *w, uint32_t i)
{
    struct server *s = &w->servers[i];
    struct vdp_station_conf sc = vdp_station_defaults(&s->mac);
    struct lldp_evb_conf lc = lldp_evb_defaults(LLDP_EVB_STATION, &s->mac);
    sc.timers = lc.timers = (struct evb_timers){
        .retries = 3, .rte = 8, .rwd = 15, .rka = (uint8_t)w->sc->rka};
    sc.tries = 2;
    sc.max_vsis = 1024;
    sc.seed = w->sc->seed * 13 + i + s->inc * 1000;
    lc.group_ids = true;
    lc.hello = false;
    s->station = vdp_station_new(&sc, w->now);
    s->lldp = lldp_evb_new(&lc, w->now);
    lldp_evb_set_carrier(s->lldp, s->up, w->now);
    plain_pump(w, i);
}

void
plain_ask(struct world *w, uint32_t i, uint32_t vm, uint8_t verb)
{
    struct server *s = &w->servers[i];
    struct vm *v = &w->vms[vm];
    struct vdp_entry e = {.group = vni_of(v->vn), .mac = v->mac};
    struct vdp_station_request r = {
        .key = {.id = v->id, .type_version = 1},
        .n_entries = 1,
        .entries = &e,
        .filter_format = VDP_FILTER_GROUP_MAC
    };
    struct ask *a;
    if (verb == V_EMIGP || verb == V_EMIGC || verb == V_EMIGH || verb == V_SUSPEND ||
        verb == V_RESUME || verb == V_PAUSED)
        return; /* it has no words for them */
    if (verb == V_TERM && !server_att(w, i, vm, false))
        return;
    r.type = verb == V_TERM                    ? VDP_DEASSOC
             : verb == V_PRE || verb == V_IMMP ? VDP_PREASSOC
                                               : VDP_ASSOC;
    r.m = verb == V_IMMP || verb == V_IMMA;
    if (v->wild)
        r.filter_format = VDP_FILTER_GROUP;
    else if (vm % 2) { /* the VN by its VSI type (K2) */
        r.filter_format = VDP_FILTER_MAC;
        r.key.type_id = v->vn + 1;
        e.group = 0;
    }
    if (r.filter_format == VDP_FILTER_GROUP)
        memset(&e.mac, 0, sizeof(e.mac));
    a = ask_new(w, i, vm, verb);
    r.cookie = a->id;
    if (!vdp_station_request(s->station, &r, w->now))
        asked(w, i, ask_find(s, r.cookie), false, false, "the station refuses");
    else if (r.type != VDP_DEASSOC)
        server_att(w, i, vm, true);
    else
        att_clear(w, i, vm);
    plain_pump(w, i);
}

/* Any operation of Berth's own TLV, without an agent that knows better. */
void
server_raw(struct world *w, uint32_t i, uint32_t vm, uint32_t how)
{
    static const struct {
        uint8_t op, phase;
    } ops[] = {
        {BERTH_OP_PREASSOC,  0                  },
        {BERTH_OP_ASSOC,     0                  },
        {BERTH_OP_SUSPEND,   0                  },
        {BERTH_OP_RESUME,    0                  },
        {BERTH_OP_EMIGRATE,  BERTH_PHASE_PREPARE},
        {BERTH_OP_EMIGRATE,  BERTH_PHASE_COMMIT },
        {BERTH_OP_EMIGRATE,  BERTH_PHASE_HOLD   },
        {BERTH_OP_IMMIGRATE, BERTH_PHASE_PRE    },
        {BERTH_OP_IMMIGRATE, BERTH_PHASE_ASSO   },
        {BERTH_OP_TERMINATE, 0                  },
        {BERTH_OP_KEEPALIVE, 0                  },
    };
    struct server *s = &w->servers[i];
    struct vm *v = &w->vms[vm];
    struct vdp_entry e = {.group = vni_of(v->vn), .mac = v->mac};
    uint32_t k = how % (sizeof(ops) / sizeof(ops[0]));
    struct vdp_station_request r = {
        .key = {.id = v->id, .type_version = 1},
        .n_entries = 1,
        .entries = &e,
        .filter_format = VDP_FILTER_GROUP_MAC,
        .has_berth = true
    };
    if (s->kind != SERVER_PLAIN || !s->alive ||
        !vdp_station_op(&r, ops[k].op, ops[k].phase))
        return;
    if (how / 16 % 5 == 2)
        e.mac.b[0] |= 1; /* nobody's: refused, and what was stays, also at its end */
    if (how / 16 % 5 == 1) {
        r.berth.epoch = 1 + how / 100;
        r.berth.migration = 7;
    }
    vdp_station_request(s->station, &r, w->now);
    plain_pump(w, i);
}
