/* SPDX-License-Identifier: Apache-2.0 */
/* A question under way (struct ask) stands for one key, (VN, MAC) or (VN, IP), with at
 * most three frames that wait for its answer: tenant frames when a MAC is missing, the
 * ARP request or Neighbor Solicitation itself when an IP is missing. So one miss causes
 * one question however many frames follow, and what a VM can make us keep is bounded
 * per key, in keys, and in octets. The answer comes by mapping (arp_known), a refusal
 * by arp_unknown, silence by the timer.
 *
 * Plain VDP names no addresses (K8): an unknown IP is also asked of those local VSIs
 * whose addresses are not known, by an ARP probe (sender 0.0.0.0, RFC 5227: it enters
 * nobody's cache) or an NS from the agent's link-local address. Their answers are
 * snooped. */
#include "core/arp.h"

#include <string.h>

#include "base/log.h"
#include "core/edge_int.h"
#include "wire/arp.h"
#include "wire/eth.h"
#include "wire/nd.h"

#define HELD_FRAME_MAX 9234 /* jumbo frame with a tag's worth of slack */
#define REPLY_SIZE     96   /* ARP padded, or Ethernet + IPv6 + NA with one option */
#define PLACES_MAX     64   /* (port, vid) told or asked at a time */
#define BURST          200 /* frames that probes and announcements may send at once ... */
#define BURST_FILL_US  5000 /* ... and how long one takes to grow back */
#define PROBE_US       500000
#define LATE_US        5000000 /* who asked for an absent VM is told when it comes */
#define PROBED_N       64 /* probes remembered, to not repeat one within PROBE_US */

enum { TIMER_ARP_ASK = TIMER_ARP_FIRST };

struct ask {
    uint32_t vni, held, held_last;
    uint8_t n_held;
    uint8_t denied; /* the answer was no: only who asked is remembered */
    struct mac mac; /* when ip is none */
    struct ip ip;
    struct timer timer;
};
struct held {
    uint32_t next, port;
    uint16_t vid, size;
    uint8_t *p;
};
struct probed {
    uint32_t vni;
    struct ip ip;
    uint64_t until_us;
};
struct arp_agent {
    struct pool asks;
    struct pool held;
    struct map by_key;
    uint32_t held_bytes;
    uint64_t tokens_us; /* when the bucket of probes and announcements is full again */
    struct probed probed[PROBED_N];
    uint32_t n_probed;
    struct mac mac;
    struct ip link_local;
};
struct ask_key {
    uint32_t vni;
    struct mac mac;
    uint8_t zero[2];
    struct ip ip;
};

static struct ask *
ask_at(const struct arp_agent *a, uint32_t h)
{
    return pool_at(&a->asks, h);
}

static bool
ask_eq(const void *ctx, uint32_t h, const void *key)
{
    const struct ask *q = ask_at(ctx, h);
    const struct ask_key *k = key;
    return q->vni == k->vni && mac_equal(&q->mac, &k->mac) && ip_equal(&q->ip, &k->ip);
}

static struct ask_key
ask_key_of(uint32_t vni, const struct mac *mac, const struct ip *ip)
{
    struct ask_key k = {.vni = vni};
    if (ip && !ip_is_none(ip))
        k.ip = *ip;
    else if (mac)
        k.mac = *mac;
    return k;
}

static uint32_t
ask_find(const struct arp_agent *a, const struct ask_key *k)
{
    return map_find(&a->by_key, map_hash(&a->by_key, k, sizeof *k), k);
}

void
arp_open(struct edge *e)
{
    struct arp_agent *a = mem_alloc(sizeof *a);
    pool_init(&a->asks, sizeof(struct ask), ARP_PENDING_MAX);
    pool_init(&a->held, sizeof(struct held), ARP_PENDING_MAX * ARP_HELD_FRAMES);
    map_init(&a->by_key, ask_eq, a, edge_seed(e, 0x110));
    /* A MAC of our own for probes: locally administered, the NVE's address in it. */
    const uint8_t *v = e->conf.vtep.b + 12;
    a->mac = (struct mac){
        {0x02, 0xbe, v[0], v[1], v[2], v[3]}
    };
    a->link_local = (struct ip){
        {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x00, 0xbe, v[0], 0xff, 0xfe, v[1], v[2], v[3]}
    };
    e->arp = a;
}

static void
held_free(struct arp_agent *a, uint32_t h)
{
    struct held *f = pool_at(&a->held, h);
    a->held_bytes -= f->size;
    mem_free(f->p);
    pool_put(&a->held, h);
}

static void
ask_free(struct edge *e, uint32_t h)
{
    struct arp_agent *a = e->arp;
    struct ask *q = ask_at(a, h);
    for (uint32_t f = q->held, next; f; f = next) {
        next = ((struct held *)pool_at(&a->held, f))->next;
        held_free(a, f);
    }
    struct ask_key k = ask_key_of(q->vni, &q->mac, &q->ip);
    timers_clear(&e->timers, &q->timer);
    map_del(&a->by_key, map_hash(&a->by_key, &k, sizeof k), h);
    pool_put(&a->asks, h);
}

/* Frees the questions of one VN, or all (vni 0). */
static void
ask_free_all(struct edge *e, uint32_t vni)
{
    struct arp_agent *a = e->arp;
    uint32_t it = 0, h;
    while ((h = map_each(&a->by_key, &it)))
        if (vni == 0 || ask_at(a, h)->vni == vni) {
            ask_free(e, h);
            it = 0; /* the map closed its ranks */
        }
}

void
arp_close(struct edge *e)
{
    struct arp_agent *a = e->arp;
    if (!a)
        return;
    ask_free_all(e, 0);
    pool_done(&a->asks);
    pool_done(&a->held);
    map_done(&a->by_key);
    mem_free(a);
    e->arp = NULL;
}

/* ---- frames ---- */

static void
frame_emit(struct edge *e, uint32_t port, uint16_t vid, uint8_t pcp, uint32_t vni,
    const uint8_t *p, uint32_t size)
{
    struct dp_op *op = edge_dp(e, DP_FRAME, TICKET_DP, 0);
    op->u.frame.port = port;
    op->u.frame.vid = vid;
    op->u.frame.pcp = pcp;
    op->u.frame.vni = vni;
    op->u.frame.size = (uint16_t)size;
    uint8_t *copy = edge_lend(e, size);
    memcpy(copy, p, size);
    op->u.frame.p = copy;
}

/* A question in a frame: who asks for what. */
struct question {
    struct mac asker;
    struct ip asker_ip, target;
    bool nd, dad, announce;
};

static bool
question_read(const uint8_t *p, uint32_t size, struct question *q)
{
    struct rd r = rd_of(p, size);
    struct eth eth;
    *q = (struct question){0};
    if (!p || !eth_decode(&r, &eth) || eth.n_tags || mac_is_group(&eth.src))
        return false;
    q->asker = eth.src;
    if (eth.type == ETH_TYPE_ARP) {
        struct arp arp;
        if (!arp_decode(&r, &arp) || arp.op != ARP_REQUEST ||
            !mac_equal(&arp.sender_mac, &eth.src))
            return false;
        q->asker_ip = arp.sender_ip;
        q->target = arp.target_ip;
        q->announce = arp_is_announce(&arp);
        return true;
    }
    struct nd nd;
    if (eth.type != ETH_TYPE_IPV6 || nd_decode(&r, &nd) != ND_OK || nd.type != ND_NS)
        return false;
    if (nd.n_slla && !mac_equal(&nd.slla, &eth.src))
        return false; /* an answer would poison its neighbours, not itself */
    q->asker_ip = nd.src;
    q->target = nd.target;
    q->nd = true;
    q->dad = nd_is_dad(&nd);
    return true;
}

static uint32_t
arp_build(uint8_t *p, const struct mac *dst, uint16_t op, const struct mac *sender,
    const struct ip *sender_ip, const struct mac *target, const struct ip *target_ip)
{
    struct wr w = wr_of(p, REPLY_SIZE);
    struct eth eth = {.dst = *dst, .src = *sender, .type = ETH_TYPE_ARP};
    struct arp arp = {.op = op, .sender_mac = *sender, .sender_ip = *sender_ip};
    if (target)
        arp.target_mac = *target;
    arp.target_ip = *target_ip;
    eth_encode(&w, &eth);
    arp_encode(&w, &arp);
    eth_pad(&w);
    return w.err ? 0 : (uint32_t)w.pos;
}

/* Neighbor Advertisement of `mac` for `target`: to one neighbour, or to all when dst is
 * NULL (defence of an address, RFC 4862 5.4.4; announcement, RFC 4861 7.2.6). */
static uint32_t
na_build(uint8_t *p, const struct mac *mac, const struct ip *target,
    const struct mac *dst, const struct ip *dst_ip)
{
    static const struct ip all_nodes = {
        {0xff, 2, [15] = 1}
    };
    struct wr w = wr_of(p, REPLY_SIZE);
    struct eth eth = {.src = *mac, .type = ETH_TYPE_IPV6};
    eth.dst = dst ? *dst : nd_multicast_mac(&all_nodes);
    struct nd nd = {.type = ND_NA,
        .src = *target,
        .dst = dst ? *dst_ip : all_nodes,
        .target = *target,
        .flags = (uint8_t)(ND_NA_ROUTER | ND_NA_OVERRIDE | (dst ? ND_NA_SOLICITED : 0)),
        .hop_limit = 255,
        .n_tlla = 1,
        .tlla = *mac};
    eth_encode(&w, &eth);
    nd_encode(&w, &nd);
    return w.err ? 0 : (uint32_t)w.pos;
}

static uint32_t
ns_build(uint8_t *p, const struct arp_agent *a, const struct ip *target)
{
    struct wr w = wr_of(p, REPLY_SIZE);
    struct ip group = nd_solicited_node(target);
    struct eth eth = {
        .src = a->mac, .dst = nd_multicast_mac(&group), .type = ETH_TYPE_IPV6};
    struct nd nd = {.type = ND_NS,
        .src = a->link_local,
        .dst = group,
        .target = *target,
        .hop_limit = 255,
        .n_slla = 1,
        .slla = a->mac};
    eth_encode(&w, &eth);
    nd_encode(&w, &nd);
    return w.err ? 0 : (uint32_t)w.pos;
}

/* Does a frame from (port, vid) reach `p` without our help? */
static bool
same_link(
    const struct edge *e, const struct mapping_place *p, uint32_t port, uint16_t vid)
{
    const struct edge_port *ep = edge_port_at(e, port);
    return p->port == port && p->vid == vid && !(ep && ep->reflect);
}

/* S4-34: the agent's reply to the one that asked, behind (port, vid). */
static void
question_answer(struct edge *e, uint32_t vni, uint32_t port, uint16_t vid,
    const struct question *q, const struct mac *mac)
{
    uint8_t reply[REPLY_SIZE];
    struct mapping_place place;
    if (mac_equal(mac, &q->asker) || q->announce)
        return; /* a VM is never answered about its own address (K18) */
    if (mapping_place_of(e, vni, mac, &place) && same_link(e, &place, port, vid))
        return; /* it hears the question itself */
    uint32_t size;
    if (!q->nd)
        size = arp_build(
            reply, &q->asker, ARP_REPLY, mac, &q->target, &q->asker, &q->asker_ip);
    else if (q->dad)
        size = na_build(reply, mac, &q->target, NULL, NULL);
    else
        size = na_build(reply, mac, &q->target, &q->asker, &q->asker_ip);
    if (size == 0)
        return;
    uint8_t pcp = mapping_place_of(e, vni, &q->asker, &place) ? place.pcp : 0;
    frame_emit(e, port, vid, pcp, vni, reply, size);
    edge_count(e, EDGEC_ND_ANSWERED);
}

/* ---- what we ask or tell the VSIs of a VN ---- */

/* One frame's worth of the budget that probes and announcements share. */
static bool
token_take(struct edge *e)
{
    struct arp_agent *a = e->arp;
    uint64_t full = a->tokens_us > e->now_us ? a->tokens_us : e->now_us;
    if (full + BURST_FILL_US > e->now_us + (uint64_t)BURST * BURST_FILL_US)
        return false;
    a->tokens_us = full + BURST_FILL_US;
    return true;
}

enum place_filter { PLACE_ALL, PLACE_NO_V4, PLACE_NO_V6 };

/* The frame goes once to each (port, vid) of the VN that the filter names, but `skip`.
 */
static void
places_send(struct edge *e, uint32_t vni, enum place_filter filter, const uint8_t *p,
    uint32_t size, const struct mapping_place *skip)
{
    struct {
        uint32_t port;
        uint16_t vid;
    } sent[PLACES_MAX];
    uint32_t n = 0, it = 0;
    struct mapping_place place;
    while (n < PLACES_MAX && mapping_each_local(e, vni, &it, &place)) {
        if ((filter == PLACE_NO_V4 && place.has_v4) ||
            (filter == PLACE_NO_V6 && place.has_v6) ||
            (skip && skip->port == place.port && skip->vid == place.vid))
            continue;
        uint32_t i = 0;
        while (i < n && (sent[i].port != place.port || sent[i].vid != place.vid))
            i++;
        if (i < n)
            continue;
        if (!token_take(e))
            return;
        sent[n].port = place.port;
        sent[n++].vid = place.vid;
        frame_emit(e, place.port, place.vid, place.pcp, vni, p, size);
    }
}

static bool
probe_may(struct edge *e, uint32_t vni, const struct ip *ip)
{
    struct arp_agent *a = e->arp;
    for (uint32_t i = 0; i < PROBED_N; i++) {
        const struct probed *p = &a->probed[i];
        if (p->until_us > e->now_us && p->vni == vni && ip_equal(&p->ip, ip))
            return false;
    }
    a->probed[a->n_probed++ % PROBED_N] =
        (struct probed){.vni = vni, .ip = *ip, .until_us = e->now_us + PROBE_US};
    return true;
}

static void
probe_send(
    struct edge *e, uint32_t vni, const struct ip *ip, const struct mapping_place *skip)
{
    static const struct mac broadcast = {
        {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
    };
    uint8_t p[REPLY_SIZE];
    struct arp_agent *a = e->arp;
    struct ip none = ip_v4(0);
    if (!probe_may(e, vni, ip))
        return;
    if (ip_is_v4(ip))
        places_send(e, vni, PLACE_NO_V4, p,
            arp_build(p, &broadcast, ARP_REQUEST, &a->mac, &none, NULL, ip), skip);
    else
        places_send(e, vni, PLACE_NO_V6, p, ns_build(p, a, ip), skip);
}

void
arp_probe(struct edge *e, uint32_t vni, const struct ip *ip)
{
    if (!mapping_find(e, vni, NULL, ip, NULL, NULL))
        probe_send(e, vni, ip, NULL);
}

void
arp_ask(
    struct edge *e, const struct mapping_place *at, uint32_t vni, const struct ip *ip)
{
    uint8_t p[REPLY_SIZE];
    struct arp_agent *a = e->arp;
    struct ip none = ip_v4(0);
    if (!token_take(e))
        return;
    uint32_t size = ip_is_v4(ip)
                        ? arp_build(p, &at->mac, ARP_REQUEST, &a->mac, &none, NULL, ip)
                        : ns_build(p, a, ip);
    frame_emit(e, at->port, at->vid, at->pcp, vni, p, size);
}

void
arp_announce(struct edge *e, uint32_t vni, const struct ip *ip, const struct mac *mac)
{
    static const struct mac broadcast = {
        {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
    };
    uint8_t p[REPLY_SIZE];
    struct mapping_place place;
    bool local = mapping_place_of(e, vni, mac, &place);
    uint32_t size = ip_is_v4(ip)
                        ? arp_build(p, &broadcast, ARP_REQUEST, mac, ip, NULL, ip)
                        : na_build(p, mac, ip, NULL, NULL);
    places_send(e, vni, PLACE_ALL, p, size, local ? &place : NULL);
}

/* ---- questions ---- */

static void
query_emit(struct edge *e, const struct ask *q)
{
    struct edge_out *o = edge_emit(e, EDGE_QUERY);
    o->u.query.vni = q->vni;
    o->u.query.mac = q->mac;
    o->u.query.ip = q->ip;
    edge_count(e, EDGEC_QUERIES);
}

static void
frame_hold(struct edge *e, struct ask *q, const struct dp_event *ev)
{
    struct arp_agent *a = e->arp;
    if (!ev->frame || ev->size < ETH_HEADER_SIZE || ev->size > HELD_FRAME_MAX ||
        q->n_held >= ARP_HELD_FRAMES || a->held_bytes + ev->size > ARP_HELD_BYTES)
        return;
    uint32_t h = pool_get(&a->held);
    if (!h)
        return;
    struct held *f = pool_at(&a->held, h);
    f->port = ev->port;
    f->vid = ev->vid;
    f->size = ev->size;
    f->p = mem_alloc(ev->size);
    memcpy(f->p, ev->frame, ev->size);
    a->held_bytes += ev->size;
    if (q->held_last)
        ((struct held *)pool_at(&a->held, q->held_last))->next = h;
    else
        q->held = h;
    q->held_last = h;
    q->n_held++;
    edge_count(e, EDGEC_HELD_FRAMES);
}

/* The frame waits; the first one of a key asks. */
static void
ask(struct edge *e, const struct dp_event *ev, const struct mac *mac,
    const struct ip *ip)
{
    struct arp_agent *a = e->arp;
    struct ask_key k = ask_key_of(ev->vni, mac, ip);
    uint32_t h = ask_find(a, &k);
    if (!h) {
        if (!(h = pool_get(&a->asks)))
            return; /* as many as may be are under way: the frame is lost */
        struct ask *q = ask_at(a, h);
        q->vni = k.vni;
        q->mac = k.mac;
        q->ip = k.ip;
        map_add(&a->by_key, map_hash(&a->by_key, &k, sizeof k), h);
        timers_set(&e->timers, &q->timer,
            e->now_us + e->conf.settings[SET_MISS_WAIT_US], TIMER_ARP_ASK, h);
        query_emit(e, q);
    } else if (ask_at(a, h)->denied) {
        struct ask *q = ask_at(a, h);
        q->denied = 0;
        timers_set(&e->timers, &q->timer,
            e->now_us + e->conf.settings[SET_MISS_WAIT_US], TIMER_ARP_ASK, h);
        query_emit(e, q);
    }
    frame_hold(e, ask_at(a, h), ev);
}

static void
miss_ip(struct edge *e, const struct dp_event *ev)
{
    struct question q;
    struct mapping_rec rec;
    bool read = question_read(ev->frame, ev->size, &q);
    if (ev->frame && !read)
        return;
    const struct ip *target = read ? &q.target : &ev->ip;
    if (ip_is_none(target) || (read && q.announce))
        return;
    if (mapping_find(e, ev->vni, NULL, target, &rec, NULL)) {
        if (read)
            question_answer(e, ev->vni, ev->port, ev->vid, &q, &rec.mac);
        return;
    }
    ask(e, ev, NULL, target);
    struct mapping_place from = {.port = ev->port, .vid = ev->vid};
    bool heard = same_link(e, &from, ev->port, ev->vid);
    probe_send(e, ev->vni, target, heard ? &from : NULL);
}

static void
miss_mac(struct edge *e, const struct dp_event *ev)
{
    if (mac_is_group(&ev->dst) || mac_is_none(&ev->dst))
        return;
    if (!mapping_find(e, ev->vni, &ev->dst, NULL, NULL, NULL))
        ask(e, ev, &ev->dst, NULL);
    else if (ev->frame) /* the mapping overtook the report */
        frame_emit(e, 0, 0, 0, ev->vni, ev->frame, ev->size);
}

/* ---- learning (K8) ---- */

/* A DHCP client's own address: BOOTREQUEST with ciaddr, sent by the hardware it names.
 * What a server offers is no claim yet; the client announces it by ARP. */
static bool
dhcp_claim(struct rd *r, const struct mac *src, struct ip *ip)
{
    uint8_t vihl = rd_u8(r);
    rd_skip(r, 8);
    uint8_t proto = rd_u8(r);
    if (r->err || vihl >> 4 != 4 || (vihl & 15) < 5 || proto != 17)
        return false;
    rd_skip(r, (vihl & 15) * 4u - 10);
    uint16_t sport = rd_u16(r), dport = rd_u16(r);
    rd_skip(r, 4);
    uint8_t op = rd_u8(r), htype = rd_u8(r), hlen = rd_u8(r);
    rd_skip(r, 9);
    uint32_t ciaddr = rd_u32(r);
    rd_skip(r, 12);
    struct mac chaddr;
    rd_bytes(r, chaddr.b, sizeof chaddr.b);
    if (r->err || sport != 68 || dport != 67 || op != 1 || htype != 1 || hlen != 6 ||
        ciaddr == 0 || !mac_equal(&chaddr, src))
        return false;
    *ip = ip_v4(ciaddr);
    return true;
}

/* The address that the sender of a frame claims for itself. */
static bool
claim_read(const uint8_t *p, uint32_t size, struct mac *mac, struct ip *ip)
{
    struct rd r = rd_of(p, size);
    struct eth eth;
    if (!p || !eth_decode(&r, &eth) || eth.n_tags || mac_is_group(&eth.src))
        return false;
    *mac = eth.src;
    if (eth.type == ETH_TYPE_ARP) {
        struct arp arp;
        if (!arp_decode(&r, &arp) || arp_is_probe(&arp) ||
            !mac_equal(&arp.sender_mac, &eth.src))
            return false;
        *ip = arp.sender_ip;
        return true;
    }
    if (eth.type == ETH_TYPE_IPV4)
        return dhcp_claim(&r, &eth.src, ip);
    struct nd nd;
    if (eth.type != ETH_TYPE_IPV6 || nd_decode(&r, &nd) != ND_OK || nd_is_dad(&nd))
        return false;
    if (nd.type == ND_NA) {
        *ip = nd.target;
        return !nd.n_tlla || mac_equal(&nd.tlla, &eth.src);
    }
    *ip = nd.src;
    return !nd.n_slla || mac_equal(&nd.slla, &eth.src);
}

static bool
snoop(struct edge *e, const struct dp_event *ev, struct arp_learned *l)
{
    struct mapping_place place;
    struct mapping_rec rec;
    *l = (struct arp_learned){.vni = ev->vni};
    if (!claim_read(ev->frame, ev->size, &l->mac, &l->ip))
        return false;
    if (!mapping_place_of(e, ev->vni, &l->mac, &place))
        return false; /* not active here (yet) */
    if (place.port != ev->port || place.vid != ev->vid) {
        edge_count(e, EDGEC_LEARN_REFUSED);
        return false;
    }
    if (!mapping_learn_ip(e, ev->vni, &l->mac, &l->ip))
        return false;
    if (mapping_find(e, ev->vni, &l->mac, NULL, &rec, &l->att))
        arp_known(e, &rec);
    return true;
}

static bool
told_us(const struct dp_event *ev, struct arp_learned *l)
{
    *l = (struct arp_learned){.vni = ev->vni};
    return ev->port && claim_read(ev->frame, ev->size, &l->mac, &l->ip);
}

bool
arp_event(struct edge *e, const struct dp_event *ev, struct arp_learned *l)
{
    if (ev->vni == 0 || ev->vni > VNI_MAX)
        return false;
    switch ((enum dp_event_type)ev->type) {
    case DP_EV_MISS_MAC:
        edge_count(e, EDGEC_MISSES);
        if (mac_equal(&ev->dst, &e->arp->mac)) /* to a probe of ours; snooped already */
            return told_us(ev, l);
        miss_mac(e, ev);
        break;
    case DP_EV_MISS_IP:
    case DP_EV_ND:
        edge_count(e, EDGEC_MISSES);
        miss_ip(e, ev);
        break;
    case DP_EV_SNOOP:
        return snoop(e, ev, l);
    case DP_EV_LEARN:
    case DP_EV_NATIVE:
    case DP_EV_RELAYED:
    case DP_EV_ASTRAY:
    case DP_EV_HELD:
    case DP_N_EVENTS:
        break;
    }
    return false;
}

/* ---- answers ---- */

static void
ask_release(struct edge *e, const struct ask_key *k, const struct mac *mac)
{
    struct arp_agent *a = e->arp;
    uint32_t h = ask_find(a, k);
    if (!h)
        return;
    for (uint32_t i = ask_at(a, h)->held; i;) {
        const struct held *f = pool_at(&a->held, i);
        struct question q;
        if (ip_is_none(&k->ip))
            frame_emit(e, 0, 0, 0, k->vni, f->p, f->size);
        else if (question_read(f->p, f->size, &q))
            question_answer(e, k->vni, f->port, f->vid, &q, mac);
        i = f->next;
    }
    ask_free(e, h);
}

void
arp_known(struct edge *e, const struct mapping_rec *rec)
{
    if (e->arp->by_key.n == 0)
        return;
    struct ask_key k = ask_key_of(rec->vni, &rec->mac, NULL);
    ask_release(e, &k, &rec->mac);
    for (uint32_t i = 0; i < rec->n_ips; i++) {
        struct mapping_rec holder;
        k = ask_key_of(rec->vni, NULL, &rec->ips[i]);
        if (mapping_find(e, rec->vni, NULL, &rec->ips[i], &holder, NULL))
            ask_release(e, &k, &holder.mac);
    }
}

void
arp_unknown(struct edge *e, uint32_t vni, const struct mac *mac, const struct ip *ip)
{
    struct ask_key k = ask_key_of(vni, mac, ip);
    uint32_t h = ask_find(e->arp, &k);
    if (!h)
        return;
    /* A VM that comes up later would wait for its peer's next ARP retry, a second or
     * more: its question is kept a while, and answered when the address appears. */
    if (ip_is_none(&k.ip) || e->arp->asks.n > ARP_PENDING_MAX / 2) {
        ask_free(e, h);
        return;
    }
    ask_at(e->arp, h)->denied = 1;
    timers_set(
        &e->timers, &ask_at(e->arp, h)->timer, e->now_us + LATE_US, TIMER_ARP_ASK, h);
}

void
arp_session(struct edge *e, bool up)
{
    uint32_t it = 0, h;
    if (up)
        while ((h = map_each(&e->arp->by_key, &it)))
            if (!ask_at(e->arp, h)->denied)
                query_emit(e, ask_at(e->arp, h));
}

void
arp_vn_gone(struct edge *e, uint32_t vni)
{
    ask_free_all(e, vni);
}

void
arp_timer(struct edge *e, uint32_t kind, uint32_t ref)
{
    if (kind == TIMER_ARP_ASK)
        ask_free(e, ref); /* nobody answered: the next miss asks again */
}

void
arp_waiting(const struct edge *e, uint32_t *keys, uint32_t *frames, uint32_t *bytes)
{
    *keys = e->arp->by_key.n;
    *frames = e->arp->held.n;
    *bytes = e->arp->held_bytes;
}
