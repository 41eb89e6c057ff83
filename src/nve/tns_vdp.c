/* SPDX-License-Identifier: Apache-2.0 */
/* VDP as a TNS binding (requirements 3.2): one vdp_bridge and one lldp_evb per server port,
 * and the translation between their plain data and the abstract operations. It never
 * decides: what VDP cannot say (epochs, addresses, phases) comes from Berth's TLV (K20),
 * and where that is absent the plain meaning of 802.1Q holds (A18).
 *
 * What has to be remembered between request and answer is a `pending` (pool): its handle
 * is the cookie of the abstract request. What has to survive a restart is the accepted
 * request (K3), journaled as RECORD_VDP when the answer is known, before it is sent. */
#include "nve/seen.h"
#include "base/log.h"
#include "proto/lldp_evb.h"
#include "proto/vdp_bridge.h"
#include <stdio.h>
#include <string.h>

#define PENDING_MAX 65536                /* over all ports; each bridge has its own bound */

struct pending {
    uint64_t handle;                     /* of vdp_bridge */
    struct vsiid id;
    uint32_t port;
    uint8_t type, op, filter_format, keepalive, known, berth_op, berth_phase;
    uint16_t n_entries;
};
struct vdp_port {
    struct vdp_bridge *bridge;           /* NULL until the port's address is known */
    struct lldp_evb *evb;
    struct timer timer;
    bool up, dirty;
    struct mac mac;
};
struct saved {                           /* journal record waiting to be pulled */
    uint32_t port;
    struct vsiid id;
    bool gone;
};
struct tns_vdp {
    struct nve *n;
    struct vdp_port *ports;              /* [n_ports + 1], by number */
    struct pool pending;
    struct timers timers;
    struct fifo dirty;                   /* of uint32_t: ports that may have an output */
    struct fifo saves;                   /* of struct saved */
    struct fifo held;                    /* of restored records whose port has no bridge yet */
    uint8_t bytes[VDP_BRIDGE_SAVE_MAX + 4];
    uint8_t save_key[32];
};
struct held_record {
    uint32_t port, size;
    uint8_t *bytes;
};

struct tns_vdp *
tns_vdp_new(struct nve *n)
{
    struct tns_vdp *t = mem_alloc(sizeof *t);
    t->n = n;
    t->ports = mem_alloc((n->conf.n_ports + 1) * sizeof *t->ports);
    pool_init(&t->pending, sizeof(struct pending), PENDING_MAX);
    timers_init(&t->timers);
    fifo_init(&t->dirty, sizeof(uint32_t));
    fifo_init(&t->saves, sizeof(struct saved));
    fifo_init(&t->held, sizeof(struct held_record));
    return t;
}

void
tns_vdp_free(struct tns_vdp *t)
{
    struct held_record h;
    if (!t)
        return;
    for (uint32_t i = 1; i <= t->n->conf.n_ports; i++) {
        vdp_bridge_free(t->ports[i].bridge);
        lldp_evb_free(t->ports[i].evb);
    }
    while (fifo_pop(&t->held, &h))
        mem_free(h.bytes);
    pool_done(&t->pending);
    timers_done(&t->timers);
    fifo_done(&t->dirty);
    fifo_done(&t->saves);
    fifo_done(&t->held);
    mem_free(t->ports);
    mem_free(t);
}

static struct vdp_port *
port_at(const struct tns_vdp *t, uint32_t port)
{
    return port >= 1 && port <= t->n->conf.n_ports ? &t->ports[port] : NULL;
}

static void
port_touch(struct tns_vdp *t, uint32_t port)
{
    struct vdp_port *p = &t->ports[port];
    if (!p->dirty) {
        p->dirty = true;
        *(uint32_t *)fifo_push(&t->dirty) = port;
    }
}

static void
port_open(struct tns_vdp *t, uint32_t port, const struct mac *mac)
{
    struct nve *n = t->n;
    struct vdp_port *p = &t->ports[port];
    struct vdp_bridge_conf b = vdp_bridge_defaults(mac);
    struct lldp_evb_conf l = lldp_evb_defaults(LLDP_EVB_BRIDGE, mac);
    struct evb_timers own = {n->conf.evb_retries, n->conf.evb_rte, n->conf.evb_rwd,
        n->conf.evb_rka};
    b.extra = l.extra = n->conf.ports[port - 1].extra_group;
    if (own.rte)
        b.timers = l.timers = own;
    if (n->conf.pace_us)
        b.gap_us = n->conf.pace_us;
    b.oui = l.oui = n->conf.oui ? n->conf.oui : BERTH_OUI;
    b.max_vsis = (uint32_t)n->conf.edge.settings[SET_MAX_PER_PORT];
    if (!b.max_vsis)
        b.max_vsis = (uint32_t)edge_settings[SET_MAX_PER_PORT].def;
    b.max_entries = 4 * b.max_vsis;
    b.seed = rng_next(&n->rng);
    l.group_ids = true;
    l.hello = true;
    l.reflective_relay = n->conf.reflective_relay;
    l.boot = (uint32_t)rng_next(&n->rng);
    p->mac = *mac;
    p->bridge = vdp_bridge_new(&b, n->now_us);
    p->evb = lldp_evb_new(&l, n->now_us);
}

static void
save(struct tns_vdp *t, uint32_t port, const struct vsiid *id, bool gone)
{
    struct saved *s = fifo_push(&t->saves);
    s->port = port;
    s->id = *id;
    s->gone = gone;
}

/* What the journal holds of ports that are open. A request whose attachment the journal
 * does not hold was on its way out: nobody would ever end it. */
static void
held_take(struct tns_vdp *t)
{
    struct held_record h;
    struct vsiid id;
    for (uint32_t left = t->held.n; left; left--) {
        fifo_pop(&t->held, &h);
        struct vdp_bridge *b = t->ports[h.port].bridge;
        if (!b) {
            *(struct held_record *)fifo_push(&t->held) = h;
            continue;
        }
        if (!vdp_bridge_saved_id(h.bytes, h.size, &id))
            log_err("vdp", "journal: record of port=%u is not understood", h.port);
        else if (edge_has(t->n->edge, h.port, &id))
            vdp_bridge_restore(b, h.bytes, h.size);
        else
            save(t, h.port, &id, true);
        mem_free(h.bytes);
    }
}

void
tns_vdp_restored(struct tns_vdp *t)
{
    held_take(t);
}

void
tns_vdp_port(struct tns_vdp *t, uint32_t port, bool up, const struct mac *mac)
{
    struct vdp_port *p = port_at(t, port);
    if (!p)
        return;
    if (!p->bridge && !mac_is_none(mac)) {
        port_open(t, port, mac);
        if (t->n->restored)
            held_take(t);
    }
    p->up = up;
    if (p->evb) {
        lldp_evb_set_carrier(p->evb, up, t->n->now_us);
        port_touch(t, port);
    }
}

void
tns_vdp_frame(struct tns_vdp *t, uint32_t port, const uint8_t *f, uint32_t size)
{
    struct vdp_port *p = port_at(t, port);
    if (!p || !p->bridge || size < ETH_HEADER_SIZE)
        return;
    if (f[12] == 0x88 && f[13] == 0xcc)
        lldp_evb_input(p->evb, f, size, t->n->now_us);
    else
        vdp_bridge_input(p->bridge, f, size, t->n->now_us);
    port_touch(t, port);
}

/* ---- requests ---- */

static uint8_t
op_of(const struct vdp_request *rq)
{
    if (rq->keepalive)
        return TNS_KEEPALIVE;            /* K3: in every state, a repeated RESUME included */
    if (rq->has_berth) {
        switch ((enum berth_op)rq->berth.op) {
        case BERTH_OP_SUSPEND:
            return TNS_SUSPEND;
        case BERTH_OP_RESUME:
            return TNS_RESUME;
        case BERTH_OP_EMIGRATE:
            return rq->berth.phase == BERTH_PHASE_PREPARE || rq->berth.phase == BERTH_PHASE_HOLD
                       ? TNS_EMIGRATE_PREPARE
                       : TNS_EMIGRATE_COMMIT;
        case BERTH_OP_IMMIGRATE:
            return rq->type == VDP_ASSOC ? TNS_IMMIGRATE_ASSO : TNS_IMMIGRATE_PRE;
        case BERTH_OP_NONE:
        case BERTH_OP_PREASSOC:
        case BERTH_OP_ASSOC:
        case BERTH_OP_TERMINATE:
        case BERTH_OP_KEEPALIVE:
        case BERTH_OP_ADDRESSES:
        case BERTH_OP_NOTIFY:
        case BERTH_N_OPS:
            break;
        }
    }
    if (rq->type == VDP_DEASSOC)
        return TNS_TERMINATE;
    if (rq->type == VDP_ASSOC)
        return rq->m ? TNS_IMMIGRATE_ASSO : TNS_ASSOC;
    return rq->m ? TNS_IMMIGRATE_PRE : TNS_PREASSOC;
}

static bool
has_mac(uint8_t format)
{
    return format == VDP_FILTER_MAC || format == VDP_FILTER_GROUP_MAC;
}

static bool
has_group(uint8_t format)
{
    return format == VDP_FILTER_GROUP || format == VDP_FILTER_GROUP_MAC;
}

/* false: an entry that cannot be right anywhere; the reason is for the answer. */
static bool
entries_of(const struct vdp_request *rq, struct tns_entry *to, const char **why)
{
    for (uint16_t i = 0; i < rq->n_entries; i++) {
        const struct vdp_entry *e = &rq->entries[i];
        memset(&to[i], 0, sizeof to[i]);
        to[i].has_mac = has_mac(rq->filter_format);
        to[i].mac = e->mac;
        to[i].vid = e->vid;
        to[i].ps = e->ps;
        to[i].pcp = e->pcp;
        bool named = rq->has_berth && rq->berth.vn_name[0];
        if (has_group(rq->filter_format) && (e->group || !named)) {
            if (e->group > VNI_MAX || !e->group) {
                *why = "GroupID: the VNI stands in its low 24 bits, the upper octet is zero";
                return false;
            }
            to[i].vn_ref = VN_BY_VNI;
            to[i].vni = e->group;
        } else if (named) {
            to[i].vn_ref = VN_BY_NAME;
            snprintf(to[i].vn_name, sizeof to[i].vn_name, "%.63s", rq->berth.vn_name);
        }
        if (to[i].has_mac && (mac_is_group(&e->mac) || mac_is_none(&e->mac))) {
            *why = "a VM's MAC is neither zero nor a group address";
            return false;
        }
        if (e->vid > VID_MAX) {
            *why = "VID 4095 is reserved";
            return false;
        }
    }
    for (uint8_t i = 0; i < rq->berth.n_ips; i++) { /* Cisco's too (K8) */
        const struct berth_ip *a = &rq->berth.ips[i];
        struct tns_entry *e = a->entry < rq->n_entries ? &to[a->entry] : NULL;
        if (!e || e->n_ips == TNS_IPS_MAX) {
            *why = e ? "too many addresses for one MAC" : "address of an entry that is not there";
            return false;
        }
        e->ips[e->n_ips++] = a->ip;
    }
    return true;
}

static void
refuse(struct tns_vdp *t, uint32_t port, const struct vdp_request *rq, uint8_t code,
    uint8_t reason, const char *text)
{
    struct vdp_answer a = {.code = code, .has_berth = true};
    a.berth.reason = reason;
    snprintf(a.berth.reason_text, sizeof a.berth.reason_text, "%s", text);
    vdp_bridge_answer(t->ports[port].bridge, rq->handle, &a, t->n->now_us);
}

static void
request(struct tns_vdp *t, uint32_t port, const struct vdp_request *rq)
{
    struct tns_entry entries[TNS_ENTRIES_MAX];
    struct tns_request q = {0};
    const char *why = NULL;
    if (rq->n_entries > TNS_ENTRIES_MAX) {
        refuse(t, port, rq, VDP_CODE_RESOURCES, BERTH_REASON_RESOURCES,
            "more than 64 filter entries in one request");
        return;
    }
    if (!entries_of(rq, entries, &why)) {
        refuse(t, port, rq, VDP_CODE_VID, BERTH_REASON_BAD_MESSAGE, why);
        return;
    }
    uint32_t cookie = pool_get(&t->pending);
    if (!cookie) {
        refuse(t, port, rq, VDP_CODE_RESOURCES, BERTH_REASON_BUSY, "too many requests wait");
        return;
    }
    struct pending *p = pool_at(&t->pending, cookie);
    p->handle = rq->handle;
    p->id = rq->key.id;
    p->port = port;
    p->type = rq->type;
    p->filter_format = rq->filter_format;
    p->n_entries = rq->n_entries;
    p->keepalive = rq->keepalive;
    p->known = rq->known;
    p->berth_op = rq->has_berth ? rq->berth.op : BERTH_OP_NONE;
    p->berth_phase = rq->has_berth ? rq->berth.phase : BERTH_PHASE_NONE;
    p->op = q.op = op_of(rq);
    q.reserve = rq->type == VDP_PREASSOC_RR;
    q.suspended = rq->s && q.op == TNS_IMMIGRATE_ASSO;
    q.port = port;
    q.cookie = cookie;
    q.id = rq->key.id;
    memcpy(q.profile.manager, rq->key.mgrid, sizeof q.profile.manager);
    q.profile.type_id = rq->key.type_id;
    q.profile.version = rq->key.type_version;
    if (rq->has_berth) {
        q.berth_station = rq->berth.op != BERTH_OP_NONE;
        q.confirm = rq->berth.flags & BERTH_FLAG_CONFIRM ? 1 : 0;
        q.has_epoch = rq->berth.epoch != 0;
        q.epoch = rq->berth.epoch;
        q.migration_id = rq->berth.migration;
        q.hold = q.op == TNS_EMIGRATE_PREPARE && rq->berth.phase == BERTH_PHASE_HOLD;
        /* the other end of the move (X5): where it goes to, or where it comes from */
        if (q.op == TNS_IMMIGRATE_PRE || q.op == TNS_IMMIGRATE_ASSO)
            q.peer_nve = rq->berth.source;
        else
            q.peer_nve = rq->berth.target;
    }
    /* S3-80: three keep-alives and the wait for an answer must fit */
    const struct evb_timers *tm = &lldp_evb_state(t->ports[port].evb)->timers;
    q.idle_us = vdp_bridge_lifetime_us(tm);
    if (q.idle_us < 3 * evb_exp_us(tm->rka) + evb_exp_us(tm->rwd))
        q.idle_us = 3 * evb_exp_us(tm->rka) + evb_exp_us(tm->rwd);
    q.n_entries = rq->n_entries;
    q.entries = entries;
    nve_seen_request(t->n, &q);
    edge_request(t->n->edge, &q, t->n->now_us);
}

/* ---- answers ---- */

static const struct {
    uint8_t code, reason;                /* VDP status, Berth's TLV (requirements 3.2) */
} answer_codes[TNS_N_CODES] = {
    [TNS_OK] = {VDP_CODE_OK, BERTH_REASON_NONE},
    [TNS_BAD_MESSAGE] = {VDP_CODE_FORMAT, BERTH_REASON_BAD_MESSAGE},
    [TNS_NO_RESOURCES] = {VDP_CODE_RESOURCES, BERTH_REASON_RESOURCES},
    [TNS_NO_AUTHORITY] = {VDP_CODE_NO_MANAGER, BERTH_REASON_AUTHORITY},
    [TNS_NOT_AUTHORISED] = {VDP_CODE_OTHER, BERTH_REASON_AUTHORIZATION},
    [TNS_CONFLICT] = {VDP_CODE_VID, BERTH_REASON_ADDRESS_CONFLICT},
    [TNS_UNKNOWN_VN] = {VDP_CODE_VID, BERTH_REASON_UNKNOWN_VN},
    [TNS_NO_STATE] = {VDP_CODE_OTHER, BERTH_REASON_NO_STATE},
    [TNS_INVALID_STATE] = {VDP_CODE_OTHER, BERTH_REASON_INVALID_STATE},
    [TNS_BUSY] = {VDP_CODE_OTHER, BERTH_REASON_BUSY},
    [TNS_MOVED] = {VDP_CODE_OTHER, BERTH_REASON_MOVED},
};

void
tns_vdp_answer(struct tns_vdp *t, const struct tns_response *r)
{
    struct pending *p = pool_at(&t->pending, r->cookie);
    struct vdp_port *port = &t->ports[p->port];
    struct vdp_entry entries[TNS_ENTRIES_MAX];
    struct vdp_answer a = {0};
    if (p->keepalive && r->code == TNS_NO_STATE &&
        vdp_bridge_deassoc(port->bridge, &p->id, NULL, t->n->now_us)) {
        /* nothing is known of it any more: the station must associate again (A12) */
        save(t, p->port, &p->id, true);
        goto done;
    }
    a.code = answer_codes[r->code].code;
    a.keep = r->kept;
    a.n_entries = r->n_entries == p->n_entries ? r->n_entries : 0;
    for (uint16_t i = 0; i < a.n_entries; i++) {
        memset(&entries[i], 0, sizeof entries[i]);
        entries[i].vid = r->entries[i].untagged ? 0 : r->entries[i].vid;
        entries[i].pcp = r->entries[i].pcp;
        entries[i].ps = r->entries[i].ps;
    }
    a.entries = entries;
    a.has_berth = true;
    a.berth.op = p->berth_op;
    a.berth.phase = p->berth_phase;
    a.berth.flags = (r->unpublished ? BERTH_FLAG_UNPUBLISHED : 0) |
                    (r->unconfirmed ? BERTH_FLAG_UNCONFIRMED : 0);
    a.berth.epoch = r->epoch;
    a.berth.migration = r->migration_id;
    a.berth.target = r->nve;
    a.berth.mtu = r->mtu > UINT16_MAX ? UINT16_MAX : (uint16_t)r->mtu;
    if (a.n_entries)
        a.berth.vni = r->entries[0].vni;
    a.berth.reason = answer_codes[r->code].reason;
    snprintf(a.berth.reason_text, sizeof a.berth.reason_text, "%s", r->reason);
    if (!vdp_bridge_answer(port->bridge, p->handle, &a, t->n->now_us))
        goto done;
    /* A Resume that finds nothing is ok (A6), and leaves nothing to remember. */
    bool stands = r->state != ATT_NULL && r->state != ATT_TERM;
    if (r->code == TNS_OK ? !p->keepalive : p->known && !r->kept)
        save(t, p->port, &p->id,
            r->code != TNS_OK || p->type == VDP_DEASSOC || !stands);
done:
    port_touch(t, p->port);
    pool_put(&t->pending, r->cookie);
}

void
tns_vdp_notice(struct tns_vdp *t, const struct tns_notice *notice)
{
    struct vdp_port *p = port_at(t, notice->port);
    struct berth_tlv b = {.op = BERTH_OP_NOTIFY};
    if (!p || !p->bridge)
        return;
    b.reason = notice->type == NOTICE_MOVED ? BERTH_REASON_MOVED : BERTH_REASON_AGED;
    if (notice->type == NOTICE_LOCAL_CHANGE)
        b.reason = BERTH_REASON_ADMIN;
    snprintf(b.reason_text, sizeof b.reason_text, "%s", notice->reason);
    /* VDP has no other word for a change: the station associates again and gets the new
     * answer (requirements 3.2, NOTIFY_LOCAL) */
    if (vdp_bridge_deassoc(p->bridge, &notice->id, &b, t->n->now_us))
        save(t, notice->port, &notice->id, true);
    port_touch(t, notice->port);
}

void
tns_vdp_restore(struct tns_vdp *t, const uint8_t *bytes, uint32_t size)
{
    struct rd r = rd_of(bytes, size);
    uint32_t port = rd_u32(&r);
    if (r.err || !port_at(t, port)) {
        log_warn("vdp", "journal: record of port=%u that is not configured is skipped", port);
        return;
    }
    struct held_record *h = fifo_push(&t->held);
    h->port = port;
    h->size = size - 4;
    h->bytes = mem_alloc(size);
    memcpy(h->bytes, bytes + 4, size - 4);
}

/* ---- time and output ---- */

uint64_t
tns_vdp_deadline(const struct tns_vdp *t)
{
    return timers_deadline(&t->timers);
}

void
tns_vdp_tick(struct tns_vdp *t)
{
    uint32_t kind, port;
    while (timers_pop(&t->timers, t->n->now_us, &kind, &port))
        port_touch(t, port);
}

static bool
save_pull(struct tns_vdp *t, struct nve_out *out)
{
    struct saved s;
    if (!fifo_pop(&t->saves, &s))
        return false;
    struct wr k = wr_of(t->save_key, sizeof t->save_key);
    wr_u32(&k, s.port);
    wr_u8(&k, s.id.format);
    wr_bytes(&k, s.id.b, sizeof s.id.b);
    out->type = NVE_OUT_JOURNAL;
    out->kind = RECORD_VDP;
    out->key = t->save_key;
    out->key_size = (uint16_t)k.pos;
    out->p = t->bytes;
    if (!s.gone) {
        struct wr w = wr_of(t->bytes, sizeof t->bytes);
        wr_u32(&w, s.port);
        size_t n = vdp_bridge_save(t->ports[s.port].bridge, &s.id, t->bytes + w.pos);
        out->size = n ? (uint32_t)(w.pos + n) : 0;
    }
    return true;
}

static void
evb_changed(struct tns_vdp *t, uint32_t port, const struct lldp_evb_out *o)
{
    struct vdp_port *p = &t->ports[port];
    if (o->state.up)
        vdp_bridge_set_peer(p->bridge, &o->state.neighbour, &o->state.timers, o->state.berth,
            o->restarted, t->n->now_us);
    edge_port_reflect(t->n->edge, port, o->state.up && o->state.reflective_relay,
        t->n->now_us);
}

enum pulled
tns_vdp_output(struct tns_vdp *t, struct nve_out *out)
{
    /* what an answer promises is in the journal before the answer is on the wire */
    if (save_pull(t, out))
        return PULLED_OUT;
    uint32_t *first = fifo_peek(&t->dirty);
    if (!first)
        return PULLED_NOTHING;
    uint32_t port = *first;
    struct vdp_port *p = &t->ports[port];
    struct vdp_bridge_out b;
    struct lldp_evb_out l;
    if (vdp_bridge_output(p->bridge, t->n->now_us, &b)) {
        if (b.kind == VDP_BRIDGE_REQUEST) {
            request(t, port, b.request);
            return PULLED_MORE;
        }
        out->type = NVE_OUT_FRAME;
        out->port = port;
        out->p = b.frame;
        out->size = (uint32_t)b.frame_size;
        return PULLED_OUT;
    }
    if (lldp_evb_output(p->evb, t->n->now_us, &l)) {
        if (l.event == LLDP_EVB_STATE) {
            evb_changed(t, port, &l);
            return PULLED_MORE;
        }
        out->type = NVE_OUT_FRAME;
        out->port = port;
        out->p = l.frame;
        out->size = (uint32_t)l.frame_size;
        return PULLED_OUT;
    }
    fifo_pop(&t->dirty, &port);
    p->dirty = false;
    uint64_t d = vdp_bridge_deadline(p->bridge), e = lldp_evb_deadline(p->evb);
    timers_set(&t->timers, &p->timer, d < e ? d : e, 0, port);
    return PULLED_MORE;
}

/* ---- for people ---- */

void
tns_vdp_view(const struct tns_vdp *t, uint32_t port, struct tns_vdp_view *v)
{
    const struct vdp_port *p = port_at(t, port);
    memset(v, 0, sizeof *v);
    if (!p || !p->bridge)
        return;
    const struct lldp_evb_state *s = lldp_evb_state(p->evb);
    v->up = p->up;
    v->station = s->up;
    v->berth = s->berth;
    v->reflective_relay = s->reflective_relay;
    v->peer = s->neighbour;
    v->rte = s->timers.rte;
    v->rka = s->timers.rka;
    v->rwd = s->timers.rwd;
    v->retries = s->timers.retries;
    v->vsis = vdp_bridge_n_vsis(p->bridge);
}

#define VDP_COUNTERS(X)                                                                   \
    X(rx_pdus) X(rx_vsis) X(rx_malformed) X(rx_nameless) X(rx_unknown_tlvs)                \
    X(rx_unknown_orgs) X(rx_bad_orgs) X(rx_no_mgrid) X(rx_two_mgrids) X(rx_bad_mgrid)      \
    X(requests) X(keepalives) X(repeated) X(superseded) X(answers) X(stale_answers)       \
    X(deassocs) X(refused_limit) X(refused_peers) X(refused_busy) X(refused_frames)        \
    X(tx_pdus) X(tx_vsis) X(tx_lost)
#define EVB_COUNTERS(X) X(tx) X(rx) X(rx_bad) X(rx_other) X(aged) X(restarts) X(changes)

bool
tns_vdp_counter(const struct tns_vdp *t, uint32_t *it, const char **group, const char **name,
    uint64_t *value)
{
#define X(f) {"vdp", #f, offsetof(struct vdp_bridge_counters, f)},
#define Y(f) {"lldp", #f, offsetof(struct lldp_evb_counters, f)},
    static const struct {
        const char *group, *name;
        size_t at;
    } rows[] = {VDP_COUNTERS(X) EVB_COUNTERS(Y)};
#undef X
#undef Y
    if (*it >= sizeof rows / sizeof rows[0])
        return false;
    *group = rows[*it].group;
    *name = rows[*it].name;
    *value = 0;
    for (uint32_t i = 1; i <= t->n->conf.n_ports; i++) {
        const struct vdp_port *p = &t->ports[i];
        if (!p->bridge)
            continue;
        const void *c = rows[*it].group[0] == 'v' ? (const void *)vdp_bridge_counters(p->bridge)
                                                  : (const void *)lldp_evb_counters(p->evb);
        *value += *(const uint64_t *)((const uint8_t *)c + rows[*it].at);
    }
    ++*it;
    return true;
}
