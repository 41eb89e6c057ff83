/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs come in here and go to the module that they concern; outputs leave in the
 * order they were made. An output id is a ticket: a handle in the lower bits and a
 * count in the upper ones, so a completion that comes twice or too late finds another
 * id and is ignored. */
#include "core/edge.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "core/arp.h"
#include "core/attach.h"
#include "core/edge_int.h"
#include "core/mapping.h"
#include "core/record.h"
#include "core/tag.h"
#include "core/timing.h"
#include "core/vn.h"

#define TICKET_BITS 20
#define QUEUE_KEEP                                                                     \
    1024 /* a longer queue (after a restart) is given back when empty                  \
          */

struct edge_slot {
    struct edge_out out;
    void *lent;
};

/* ---- emitting ---- */

struct edge_out *
edge_emit(struct edge *e, uint8_t type)
{
    struct edge_slot *s = fifo_push(&e->out);
    s->out.type = type;
    return &s->out;
}

void *
edge_lend(struct edge *e, size_t size)
{
    struct edge_slot *s =
        (struct edge_slot *)(e->out.items +
                             (size_t)((e->out.head + e->out.n - 1) & (e->out.cap - 1)) *
                                 e->out.item_size);
    s->lent = mem_alloc(size);
    return s->lent;
}

uint32_t
edge_ticket(struct edge *e, uint8_t kind, uint32_t ref)
{
    uint32_t h = e->ticket_free;
    if (h) {
        e->ticket_free = e->tickets[h].ref;
    } else {
        if (e->n_tickets + 1 >= e->cap_tickets) {
            e->cap_tickets = e->cap_tickets ? e->cap_tickets * 2 : 256;
            e->tickets = mem_grow(e->tickets, e->cap_tickets * sizeof *e->tickets);
        }
        if (e->n_tickets + 1 >= 1u << TICKET_BITS) {
            log_err("edge", "%u completions are awaited", e->n_tickets);
            return 0;
        }
        h = ++e->n_tickets;
    }
    struct ticket *t = &e->tickets[h];
    if (++e->ticket_seq >> (32 - TICKET_BITS))
        e->ticket_seq = 1;
    *t = (struct ticket){
        .kind = kind, .ref = ref, .id = e->ticket_seq << TICKET_BITS | h};
    e->awaited++;
    return t->id;
}

/* Takes the ticket of a completion out; false: nobody waits (any more). */
static bool
ticket_take(struct edge *e, uint32_t id, struct ticket *out)
{
    uint32_t h = id & ((1u << TICKET_BITS) - 1);
    if (id == 0 || h == 0 || h > e->n_tickets || e->tickets[h].id != id)
        return false;
    *out = e->tickets[h];
    e->tickets[h] = (struct ticket){.ref = e->ticket_free};
    e->ticket_free = h;
    e->awaited--;
    return true;
}

void
edge_ticket_drop(struct edge *e, uint32_t id)
{
    struct ticket t;
    ticket_take(e, id, &t);
}

struct dp_op *
edge_dp(struct edge *e, uint8_t type, uint8_t kind, uint32_t ref)
{
    if (e->quiet) {
        e->nowhere = (struct edge_out){.u.dp.type = type};
        return &e->nowhere.u.dp;
    }
    uint32_t id = edge_ticket(e, kind, ref);
    if (kind == TICKET_ATT_DP && id)
        attach_dp_sent(e, ref);
    struct edge_out *o = edge_emit(e, EDGE_DP);
    o->id = o->u.dp.id = id;
    o->u.dp.type = type;
    return &o->u.dp;
}

void
edge_journal(struct edge *e, uint32_t ticket, uint8_t kind, const uint8_t *key,
    uint16_t key_size, const uint8_t *bytes, uint16_t size)
{
    if (e->quiet)
        return;
    struct edge_out *o = edge_emit(e, EDGE_JOURNAL);
    uint8_t *p = edge_lend(e, (size_t)key_size + size);
    memcpy(p, key, key_size);
    if (size)
        memcpy(p + key_size, bytes, size);
    o->id = ticket;
    o->u.journal.kind = kind;
    o->u.journal.key = p;
    o->u.journal.key_size = key_size;
    o->u.journal.bytes = p + key_size;
    o->u.journal.size = size;
}

bool
edge_output(struct edge *e, struct edge_out *out)
{
    struct edge_slot s;
    mem_free(e->lent);
    e->lent = NULL;
    if (!fifo_pop(&e->out, &s)) {
        if (e->out.cap > QUEUE_KEEP)
            fifo_done(&e->out);
        return false;
    }
    e->lent = s.lent;
    *out = s.out;
    return true;
}

/* ---- life ---- */

uint64_t
edge_seed(const struct edge *e, uint32_t n)
{
    return (e->conf.seed ^ n) * UINT64_C(0x9e3779b97f4a7c15) + n;
}

struct edge_port *
edge_port_at(const struct edge *e, uint32_t port)
{
    return port < DP_PORT_MAX ? e->ports[port] : NULL;
}

struct edge *
edge_new(const struct edge_conf *conf, uint64_t now_us)
{
    struct edge *e = mem_alloc(sizeof *e);
    e->conf = *conf;
    e->name = mem_strdup(conf->name ? conf->name : "");
    e->conf.name = e->name;
    timing_fill(e->conf.settings);
    e->now_us = now_us;
    fifo_init(&e->out, sizeof(struct edge_slot));
    timers_init(&e->timers);
    e->ports = mem_alloc(DP_PORT_MAX * sizeof(struct edge_port *));
    tag_open(e);
    vn_open(e);
    mapping_open(e);
    arp_open(e);
    attach_open(e);
    return e;
}

void
edge_free(struct edge *e)
{
    struct edge_slot s;
    if (!e)
        return;
    arp_close(e);     /* these two clear their timers one by one: */
    mapping_close(e); /* the owners of the others must still be there */
    attach_close(e);
    vn_close(e);
    tag_close(e);
    while (fifo_pop(&e->out, &s))
        mem_free(s.lent);
    mem_free(e->lent);
    fifo_done(&e->out);
    for (uint32_t i = 0; i < DP_PORT_MAX; i++)
        if (e->ports[i]) {
            authz_done(&e->ports[i]->authz);
            mem_free(e->ports[i]);
        }
    mem_free(e->ports);
    mem_free(e->tickets);
    mem_free(e->name);
    timers_done(&e->timers);
    mem_free(e);
}

/* DP_SYNC_END may remove what nobody named only when everything was named: after a
 * restart the authority's snapshots come first (K15), unless they stay out for T_stale.
 */
static void
sync_end(struct edge *e, bool whatever)
{
    if (!e->sync_open || (!whatever && e->conf.authority && !mapping_synced(e)))
        return;
    if (!whatever && e->conf.authority && !e->session_up)
        return;
    e->sync_open = false;
    timers_clear(&e->timers, &e->sync);
    edge_dp(e, DP_SYNC_END, TICKET_DP, 0);
}

uint64_t
edge_deadline(const struct edge *e)
{
    return timers_deadline(&e->timers);
}

static void
flap_end(struct edge *e, uint32_t port)
{
    struct edge_port *p = edge_port_at(e, port);
    if (!p->carrier && !p->down) {
        log_note("edge", "port=%s no carrier for t_flap, suspending", p->name);
        attach_port_down(e, p, true);
    }
}

void
edge_tick(struct edge *e, uint64_t now_us)
{
    uint32_t kind, ref;
    e->now_us = now_us;
    while (timers_pop(&e->timers, now_us, &kind, &ref)) {
        if (kind >= TIMER_ARP_FIRST)
            arp_timer(e, kind, ref);
        else if (kind >= TIMER_MAP_FIRST)
            mapping_timer(e, kind, ref);
        else if (kind == TIMER_FLAP)
            flap_end(e, ref);
        else if (kind == TIMER_SYNC)
            sync_end(e, true);
        else if (kind == TIMER_VN)
            vn_timer(e, ref);
        else if (kind == TIMER_TAG)
            tag_timer(e);
        else
            attach_timer(e, kind, ref);
    }
}

/* ---- ports ---- */

static void
port_emit(struct edge *e, const struct edge_port *p)
{
    struct dp_op *op = edge_dp(e, DP_PORT_SET, TICKET_DP, 0);
    op->u.port.port = p->number;
    op->u.port.native = p->native;
    op->u.port.native_vni = p->native_vni;
}

bool
edge_port_add(
    struct edge *e, uint32_t port, const struct edge_port_conf *conf, uint64_t now_us)
{
    e->now_us = now_us;
    if (port == 0 || port >= DP_PORT_MAX || e->ports[port])
        return false;
    struct authz authz;
    if (!authz_init(&authz, conf->vn_ranges, conf->n_vn_ranges))
        return false;
    struct edge_port *p = e->ports[port] = mem_alloc(sizeof *p);
    snprintf(p->name, sizeof p->name, "%s", conf->name ? conf->name : "");
    p->authz = authz;
    p->number = port;
    p->native = conf->native;
    p->native_vni = conf->native_vni;
    p->carrier = 1;
    p->domain = tag_domain(e, conf->domain);
    for (uint32_t i = 0; i < conf->n_vid_reserved; i++)
        tag_reserve(
            e, p->domain, conf->vid_reserved[2 * i], conf->vid_reserved[2 * i + 1]);
    port_emit(e, p);
    return true;
}

void
edge_port_link(struct edge *e, uint32_t port, bool up, uint64_t now_us)
{
    struct edge_port *p = edge_port_at(e, port);
    e->now_us = now_us;
    if (!p || p->carrier == up)
        return;
    p->carrier = up;
    if (!up) {
        timers_set(
            &e->timers, &p->flap, now_us + edge_set(e, SET_FLAP_US), TIMER_FLAP, port);
        return;
    }
    timers_clear(&e->timers, &p->flap);
    if (p->down)
        attach_port_down(e, p, false);
}

void
edge_port_reflect(struct edge *e, uint32_t port, bool on, uint64_t now_us)
{
    struct edge_port *p = edge_port_at(e, port);
    e->now_us = now_us;
    if (!p || p->reflect == on)
        return;
    p->reflect = on;
    attach_port_reflect(e, p);
}

void
edge_port_gone(struct edge *e, uint32_t port, uint64_t now_us)
{
    struct edge_port *p = edge_port_at(e, port);
    e->now_us = now_us;
    if (!p)
        return;
    attach_port_gone(e, p);
    timers_clear(&e->timers, &p->flap);
    edge_dp(e, DP_PORT_DEL, TICKET_DP, 0)->u.port.port = port;
    authz_done(&p->authz);
    mem_free(p);
    e->ports[port] = NULL;
}

/* ---- requests and completions ---- */

void
edge_request(struct edge *e, const struct tns_request *rq, uint64_t now_us)
{
    e->now_us = now_us;
    attach_request(e, rq);
}

void
edge_done(struct edge *e, uint32_t id, int status, uint64_t now_us)
{
    struct ticket t;
    e->now_us = now_us;
    if (!ticket_take(e, id, &t))
        return;
    switch ((enum ticket_kind)t.kind) {
    case TICKET_DP:
        if (status) {
            edge_count(e, EDGEC_DP_ERRORS);
            log_warn("edge", "the data plane refused an operation: error %d", -status);
        }
        break;
    case TICKET_ATT_DP:
    case TICKET_ATT_JOURNAL:
        attach_done(e, &t, status);
        break;
    case TICKET_MAP_DP:
        mapping_done(e, t.ref, status);
        break;
    case TICKET_REGISTER:
    case TICKET_RESERVE:
        attach_registered(
            e, &t, 0, 0, status ? status : -1); /* no epoch came with it */
        break;
    case TICKET_N:
        break;
    }
}

void
edge_registered(struct edge *e, uint32_t id, uint64_t epoch, uint64_t migration_id,
    int status, uint64_t now_us)
{
    struct ticket t;
    e->now_us = now_us;
    if (!ticket_take(e, id, &t))
        return;
    if (t.kind == TICKET_REGISTER || t.kind == TICKET_RESERVE)
        attach_registered(e, &t, epoch, migration_id, status);
}

void
edge_conflict(struct edge *e, uint32_t id, const struct ip *holder, uint64_t now_us)
{
    struct ticket t;
    e->now_us = now_us;
    if (!ticket_take(e, id, &t))
        return;
    if (t.kind == TICKET_REGISTER || t.kind == TICKET_RESERVE)
        attach_conflict(e, &t, holder);
}

void
edge_confirmed(struct edge *e, uint32_t vni, const struct mac *mac, uint64_t epoch,
    uint64_t now_us)
{
    e->now_us = now_us;
    attach_confirmed(e, vni, mac, epoch);
}

void
edge_vn(struct edge *e, const struct vn_rec *vn, int status, uint64_t now_us)
{
    e->now_us = now_us;
    enum vn_news news = vn_set(e, vn, status);
    if (news != VN_NOTHING)
        attach_vn_changed(e, vn->vni, news == VN_DELETED);
}

/* ---- mapping plane ---- */

void
edge_session(struct edge *e, bool up, uint64_t now_us)
{
    e->now_us = now_us;
    e->session_up = up;
    mapping_session(e, up);
    vn_session(e, up);
    arp_session(e, up);
    attach_session(e, up);
    if (up)
        sync_end(e, false);
}

void
edge_map_set(
    struct edge *e, const struct mapping_rec *rec, uint64_t seq, uint64_t now_us)
{
    uint32_t entry = 0;
    e->now_us = now_us;
    enum mapping_verdict v = mapping_remote_set(e, rec, seq, &entry);
    if (v == MAPPING_ACCEPTED || v == MAPPING_SAME || v == MAPPING_TOOK_LOCAL)
        arp_known(e, rec);
    if (v == MAPPING_TOOK_LOCAL && entry)
        attach_lost(e, entry);
}

void
edge_map_del(
    struct edge *e, const struct mapping_rec *rec, uint64_t seq, uint64_t now_us)
{
    e->now_us = now_us;
    mapping_remote_del(e, rec, seq);
}

void
edge_map_negative(struct edge *e, uint32_t vni, const struct mac *mac,
    const struct ip *ip, uint64_t hold_us, uint64_t now_us)
{
    e->now_us = now_us;
    mapping_negative(e, vni, mac, ip, hold_us);
    arp_unknown(e, vni, mac, ip);
}

void
edge_map_snapshot(
    struct edge *e, uint32_t vni, bool begin, uint64_t seq, uint64_t now_us)
{
    e->now_us = now_us;
    mapping_snapshot(e, vni, begin, seq);
    if (!begin)
        sync_end(e, false);
}

void
edge_member(struct edge *e, uint32_t vni, const struct ip *vtep, bool add, uint64_t seq,
    uint64_t now_us)
{
    e->now_us = now_us;
    mapping_member(e, vni, vtep, add, seq);
}

bool
edge_answer_query(struct edge *e, uint32_t vni, const struct mac *mac,
    const struct ip *ip, struct mapping_rec *rec)
{
    uint32_t entry = 0;
    if (!mapping_find(e, vni, mac, ip, rec, &entry) || !entry)
        return false;
    if (!attach_owns(e, entry, rec))
        rec->epoch = 0;
    return true;
}

void
edge_who_has(struct edge *e, uint32_t vni, const struct ip *ip, uint64_t now_us)
{
    e->now_us = now_us;
    arp_probe(e, vni, ip);
}

void
edge_reserved(struct edge *e, const struct mapping_rec *rec, uint64_t now_us)
{
    e->now_us = now_us;
    if (mapping_reserved(e, rec, false))
        attach_target(e, rec->vni, &rec->mac);
}

void
edge_unreserved(struct edge *e, const struct mapping_rec *rec, uint64_t now_us)
{
    e->now_us = now_us;
    if (mapping_unreserved(e, rec))
        attach_target(e, rec->vni, &rec->mac);
}

bool
edge_smr(struct edge *e, uint32_t vni, const struct mac *mac, const struct ip *from,
    uint64_t now_us)
{
    e->now_us = now_us;
    if (!mapping_smr(e, vni, mac, from))
        return false;
    struct edge_out *o = edge_emit(e, EDGE_QUERY);
    o->u.query.vni = vni;
    o->u.query.mac = *mac;
    edge_count(e, EDGEC_QUERIES);
    return true;
}

static void
redirect(struct edge *e, const struct dp_event *ev)
{
    struct edge_out *o = edge_emit(e, EDGE_SMR);
    o->u.smr.vni = ev->vni;
    o->u.smr.mac = ev->dst;
    o->u.smr.to = ev->ip;
}

/* The data plane says so at most once a second per sender and VM. */
static void
relayed(struct edge *e, const struct dp_event *ev)
{
    if (!mapping_relays(e, ev->vni, &ev->dst, &ev->ip))
        return; /* only reserved yet: the authority would say that it is here */
    redirect(e, ev);
}

/* No such VM here, and no licence to relay (D1): whoever sends it has an old mapping
 * that we have forgotten, or lost in a crash (F11). */
static void
astray(struct edge *e, const struct dp_event *ev)
{
    if (mapping_astray(e, ev->vni, &ev->dst, &ev->ip))
        redirect(e, ev);
}

void
edge_dp_event(struct edge *e, const struct dp_event *ev, uint64_t now_us)
{
    struct arp_learned l = {0};
    e->now_us = now_us;
    if (ev->type == DP_EV_LEARN)
        attach_learn(e, ev);
    else if (ev->type == DP_EV_RELAYED)
        relayed(e, ev);
    else if (ev->type == DP_EV_ASTRAY)
        astray(e, ev);
    else if (arp_event(e, ev, &l) && l.att)
        attach_publish(e, l.att);
    else if (ev->type == DP_EV_MISS_MAC && !mac_is_none(&l.mac))
        attach_answered(e, ev, &l.mac, &l.ip);
}

/* ---- restart ---- */

void
edge_restore(
    struct edge *e, uint8_t kind, const uint8_t *bytes, uint16_t size, uint64_t now_us)
{
    struct record_fault f = {.what = "no such kind of record"};
    struct record_tag tag;
    struct vn_rec vn;
    bool ok = false;
    e->now_us = now_us;
    e->quiet = true;
    if (kind == RECORD_ATTACHMENT) {
        ok = attach_restore(e, bytes, size, &f.what, &f.at);
    } else if (kind == RECORD_TAG) {
        ok = record_tag_decode(&tag, bytes, size, &f);
        if (ok && !tag_restore(e, tag.domain, tag.vid, tag.vni, tag.state)) {
            f.what = "its VID is another virtual network's";
            ok = false;
        }
    } else if (kind == RECORD_VN) {
        ok = record_vn_decode(&vn, bytes, size, &f);
        if (ok && !vn_restore(e, &vn)) {
            f.what = "a virtual network that cannot be";
            ok = false;
        }
    }
    e->quiet = false;
    if (ok)
        return;
    e->corrupt++;
    log_err("edge", "journal record of kind %u skipped: %s, at octet %u of %u", kind,
        f.what, f.at, size);
}

void
edge_restored(struct edge *e, uint64_t now_us)
{
    e->now_us = now_us;
    edge_dp(e, DP_SYNC_BEGIN, TICKET_DP, 0);
    for (uint32_t i = 0; i < DP_PORT_MAX; i++)
        if (e->ports[i])
            port_emit(e, e->ports[i]);
    vn_emit_all(e);
    attach_restored(e);
    for (uint32_t it = 0; mapping_emit_next(e, &it);)
        ;
    tag_restored(e);
    vn_restored(e);
    attach_again(e);
    e->sync_open = true;
    timers_set(&e->timers, &e->sync, now_us + edge_set(e, SET_STALE_US), TIMER_SYNC, 0);
    sync_end(e, false);
}

/* ---- views ---- */

bool
edge_each_tag(
    const struct edge *e, uint32_t *it, struct edge_tag_view *v, uint64_t now_us)
{
    (void)now_us;
    return tag_each(e, it, v);
}

bool
edge_each_mapping(const struct edge *e, uint32_t *it, struct edge_map_view *v)
{
    return mapping_each(e, it, v);
}

bool
edge_each_vn(const struct edge *e, uint32_t *it, struct vn_rec *v)
{
    return vn_each(e, it, v);
}

bool
edge_vn_get(const struct edge *e, uint32_t vni, struct vn_rec *v)
{
    uint32_t vn = vn_find(e, vni);
    if (vn)
        *v = *vn_at(e, vn);
    return vn != 0;
}

uint32_t
edge_domain_port(const struct edge *e, uint32_t domain)
{
    for (uint32_t i = 0; i < DP_PORT_MAX; i++)
        if (e->ports[i] && tag_domain_number(e, e->ports[i]->domain) == domain)
            return i;
    return 0;
}

bool
edge_has(const struct edge *e, uint32_t port, const struct vsiid *id)
{
    return attach_has(e, port, id);
}

uint64_t
edge_counter(const struct edge *e, unsigned c)
{
    return c < EDGEC_N ? e->counters[c] : 0;
}

const char *
edge_counter_name(unsigned c)
{
    static const char *const names[EDGEC_N] = {
#define X(sym, name, help) [EDGEC_##sym] = name,
        EDGE_COUNTERS(X)
#undef X
    };
    return c < EDGEC_N ? names[c] : "?";
}
