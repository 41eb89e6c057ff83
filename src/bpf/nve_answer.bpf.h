/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ARP and Neighbor Discovery of admitted VSIs: answered here, in place, from the
 * neighbour table (K14, S4-30..34; RFC 9161 section 3). What is not answered is
 * absorbed, asked for, or handed to the daemon; in a suppress VN nothing of it is
 * flooded (K18). */
#ifndef BERTH_BPF_NVE_ANSWER_H
#define BERTH_BPF_NVE_ANSWER_H
#include "bpf/nve_forward.bpf.h"

#define ND_SIZE 86 /* Ethernet, IPv6, NS or NA with one option */

enum answer { ANSWER_NO, ANSWER_YES };

/* The sender's own claim of an address goes up when it is not what the table says (K8).
 * false: the table says that it is somebody else's. */
static __always_inline bool
snoop_claim(struct __sk_buff *skb, const struct from *f,
    const struct nve_neigh_key *key, const __u16 *mac)
{
    struct nve_neigh *known = bpf_map_lookup_elem(&neigh, key);
    struct nve_ask ask = {.vni = f->vni, .type = DP_EV_SNOOP};

    if (known && mac_same(known->mac, mac))
        return true;
    mac_copy(ask.mac, mac);
    __builtin_memcpy(ask.ip, key->ip, 16);
    if (ask_may(f, &ask, 1000 * MS, 1000 * MS))
        event_send(skb, f, &ask);
    return !known;
}

/* Told to one VM directly, the address of another would poison its cache: what is not
 * flooded must not get there this way either (K18). */
static __always_inline int
told_directly(struct __sk_buff *skb, struct nve_counters *n, const struct nve_conf *c,
    struct from *f, const struct nve_vn *vn, const __u16 *dst, bool own)
{
    if (!own && vn->arp != ARP_FLOOD)
        return drop(n, DPC_DROP_SPOOF);
    return forward_unicast(skb, n, c, f, dst);
}

static __always_inline int
unknown_ip(struct __sk_buff *skb, struct nve_counters *n, const struct from *f,
    const struct nve_neigh_key *key)
{
    struct nve_ask ask = {.vni = f->vni};

    __builtin_memcpy(ask.ip, key->ip, 16);
    if (neg_known(&ask))
        return drop(n, DPC_DROP_NEGATIVE);
    ask.type = DP_EV_MISS_IP;
    if (ask_may(f, &ask, 100 * MS, 300 * MS))
        event_send(skb, f, &ask);
    return drop(n, DPC_DROP_UNKNOWN_IP);
}

static __always_inline int
hand_up_nd(struct __sk_buff *skb, struct nve_counters *n, const struct from *f,
    const __u16 *mac, const __u16 *target)
{
    struct nve_ask ask = {.vni = f->vni, .type = DP_EV_ND};

    mac_copy(ask.mac, mac);
    __builtin_memcpy(ask.ip, target, 16);
    if (ask_may(f, &ask, 100 * MS, 300 * MS))
        event_send(skb, f, &ask);
    return drop(n, DPC_ABSORBED);
}

/* May we answer for this neighbour? Not to itself (DAD of its own address would fail),
 * and not where it stands: it hears the question itself unless the TES leaves all to us
 * (K10). */
static __always_inline enum answer
answer_may(struct nve_counters *n, const struct from *f, const struct nve_neigh *known,
    const __u16 *asker)
{
    struct nve_fdb_key key = {.vni = f->vni};
    struct nve_fdb *place;

    if (mac_same(known->mac, asker)) {
        n->c[DPC_ABSORBED]++;
        return ANSWER_NO;
    }
    mac_copy(key.mac, known->mac);
    place = bpf_map_lookup_elem(&fdb, &key);
    if (place && (place->kind & ~NVE_HELD) == FDB_LOCAL && place->port == f->port &&
        place->vid == f->vid && !vap_reflects(f)) {
        n->c[DPC_DROP_HAIRPIN]++;
        return ANSWER_NO;
    }
    return ANSWER_YES;
}

static __always_inline void
key_v4(struct nve_neigh_key *key, __u32 vni, const __u16 *ip)
{
    __u16 *w = (__u16 *)key->ip;

    key->vni = vni;
    w[0] = w[1] = w[2] = w[3] = w[4] = 0;
    w[5] = 0xffff;
    w[6] = ip[0];
    w[7] = ip[1];
}

/* Back out of the port that asked, under the tag that it asked with. */
static __always_inline int
answer_send(struct __sk_buff *skb, struct nve_counters *n, const struct from *f,
    enum dp_counter what)
{
    n->c[what]++;
    return send_port(skb, n, f->tagged, f->port, f->vid, f->pcp);
}

static __always_inline int
flood(struct __sk_buff *skb, struct nve_counters *n, struct from *f, bool arp)
{
    f->arp = arp;
    from_save(skb, f, 0);
    bpf_tail_call(skb, &jumps, NVE_JUMP_FLOOD);
    return drop(n, DPC_DROP_ERROR);
}

static __always_inline int
answer_arp(struct __sk_buff *skb, struct nve_counters *n, const struct nve_conf *c,
    struct from *f, const struct nve_vn *vn)
{
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    struct eth head, *eth = data;
    struct arp arp, *in = data + sizeof(*eth);
    struct nve_neigh_key key = {};
    struct nve_neigh *known;
    bool own = true;

    if ((void *)(in + 1) > end)
        return drop(n, DPC_DROP_BAD_FRAME);
    head = *eth;
    arp = *in;
    if (arp.hrd != bpf_htons(1) || arp.pro != ETH_IP || arp.hln != 6 || arp.pln != 4)
        return drop(n, DPC_DROP_BAD_FRAME);
    if (vn->arp != ARP_FLOOD && !mac_same(arp.sha, head.src))
        return drop(n, DPC_DROP_SPOOF);
    if (arp.spa[0] | arp.spa[1]) {
        key_v4(&key, f->vni, arp.spa);
        own = snoop_claim(skb, f, &key, arp.sha);
    }
    if (!eth_is_group(head.dst))
        return told_directly(skb, n, c, f, vn, head.dst, own);
    if (vn->arp == ARP_FLOOD)
        return flood(skb, n, f, true);
    if (arp.op != bpf_htons(1) ||
        (arp.spa[0] == arp.tpa[0] && arp.spa[1] == arp.tpa[1]))
        return drop(n, DPC_ABSORBED); /* gratuitous: told, never flooded (K18) */
    key_v4(&key, f->vni, arp.tpa);
    known = bpf_map_lookup_elem(&neigh, &key);
    if (!known)
        return unknown_ip(skb, n, f, &key);
    if (answer_may(n, f, known, head.src) == ANSWER_NO)
        return TC_ACT_SHOT;

    mac_copy(head.dst, head.src);
    mac_copy(head.src, known->mac);
    arp.op = bpf_htons(2);
    mac_copy(arp.tha, arp.sha);
    mac_copy(arp.sha, known->mac);
    {
        __u16 spa[2] = {arp.spa[0], arp.spa[1]};

        arp.spa[0] = arp.tpa[0];
        arp.spa[1] = arp.tpa[1];
        arp.tpa[0] = spa[0];
        arp.tpa[1] = spa[1];
    }
    if (bpf_skb_store_bytes(skb, 0, &head, sizeof(head), 0) ||
        bpf_skb_store_bytes(skb, sizeof(head), &arp, sizeof(arp), BPF_F_RECOMPUTE_CSUM))
        return drop(n, DPC_DROP_ERROR);
    return answer_send(skb, n, f, DPC_ARP_ANSWERED);
}

/* Pseudo header and ICMPv6 message in the order of the checksum (RFC 8200 8.1). */
struct nd_sum {
    __u16 src[8], dst[8];
    __u32 size, next;
    struct nd nd;
    struct nd_opt opt;
};

/* The checksum to store; 0 when the right one stood inside already. */
static __always_inline __u16
nd_fold(struct nd_sum *sum, __u32 size)
{
    __u32 s = bpf_csum_diff(NULL, 0, (__be32 *)sum, size, 0);

    s = (s & 0xffff) + (s >> 16);
    s = (s & 0xffff) + (s >> 16);
    return ~s;
}

static __always_inline bool
ip6_is_none(const __u16 *a)
{
    return !(a[0] | a[1] | a[2] | a[3] | a[4] | a[5] | a[6] | a[7]);
}

/* ND behind extension headers or in fragments (RFC 6980): no honest sender does that,
 * and it would pass by all that is checked above. Later fragments are nothing without
 * the first one. */
static __always_inline bool
nd_hidden(struct __sk_buff *skb)
{
    __u8 head[4], next, type;
    __u32 at = 54;

    if (bpf_skb_load_bytes(skb, 20, &next, 1))
        return false;
    for (int i = 0; i < IP_EXT_MAX; i++) {
        if (next == IP_ICMP6)
            return !bpf_skb_load_bytes(skb, at, &type, 1) &&
                   (type == ND_NS || type == ND_NA);
        if (!ip6_is_ext(next) || bpf_skb_load_bytes(skb, at, head, 4))
            return false;
        if (next == IP_FRAGMENT && (head[2] | (head[3] & 0xf8)))
            return false;
        at += next == IP_FRAGMENT ? 8 : (head[1] + 1) * 8;
        next = head[0];
    }
    return true;
}

/* `sum` holds the solicitation; it becomes the advertisement. RFC 4861 7.2.4: to a DAD
 * probe (no source) all nodes are told, so that the prober gives the address up. */
static __always_inline int
answer_ns(struct __sk_buff *skb, struct nve_counters *n, struct from *f,
    struct nd_sum *sum, struct eth *head, const struct nve_neigh *known, bool dad)
{
    struct ip6 ip = {};

    if (skb->len != ND_SIZE && bpf_skb_change_tail(skb, ND_SIZE, 0))
        return drop(n, DPC_DROP_ERROR);
    head->dst[0] = dad ? bpf_htons(0x3333) : head->src[0];
    head->dst[1] = dad ? 0 : head->src[1];
    head->dst[2] = dad ? bpf_htons(1) : head->src[2];
    mac_copy(head->src, known->mac);

    ip.ver[0] = bpf_htons(0x6000);
    ip.plen = bpf_htons(sizeof(struct nd) + sizeof(struct nd_opt));
    ip.next = IP_ICMP6;
    ip.hops = 255;
    __builtin_memcpy(ip.src, sum->nd.target, 16);
    if (dad) {
        ip.dst[0] = bpf_htons(0xff02);
        ip.dst[7] = bpf_htons(1);
    } else {
        __builtin_memcpy(ip.dst, sum->src, 16);
    }
    __builtin_memcpy(sum->src, ip.src, 16);
    __builtin_memcpy(sum->dst, ip.dst, 16);
    sum->size = bpf_htonl(sizeof(struct nd) + sizeof(struct nd_opt));
    sum->nd.type = ND_NA;
    sum->nd.csum = 0;
    sum->nd.flags[0] =
        bpf_htons((known->router ? 0x8000 : 0) | (dad ? 0 : 0x4000) | 0x2000);
    sum->nd.flags[1] = 0;
    sum->opt.type = ND_OPT_TLLA;
    sum->opt.len = 1;
    mac_copy(sum->opt.mac, known->mac);
    sum->nd.csum = nd_fold(sum, sizeof(*sum));
    if (bpf_skb_store_bytes(skb, 0, head, sizeof(*head), 0) ||
        bpf_skb_store_bytes(skb, 14, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM) ||
        bpf_skb_store_bytes(skb, 54, &sum->nd, 32, BPF_F_RECOMPUTE_CSUM))
        return drop(n, DPC_DROP_ERROR);
    return answer_send(skb, n, f, DPC_ND_ANSWERED);
}

static __always_inline int
answer_nd(struct __sk_buff *skb, struct nve_counters *n, const struct nve_conf *c,
    struct from *f, const struct nve_vn *vn)
{
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    struct eth head, *eth = data;
    struct ip6 *ip = data + sizeof(*eth);
    struct nd *nd = (void *)(ip + 1);
    struct nve_neigh_key key = {};
    struct nve_neigh *known;
    struct nd_sum sum = {};
    bool dad, opt, own = true;
    __u32 plen;

    if ((void *)(nd + 1) > end) {
        if ((void *)(eth + 1) > end)
            return drop(n, DPC_DROP_BAD_FRAME);
        head = *eth;
        goto other;
    }
    head = *eth;
    if (ip->next != IP_ICMP6 || (nd->type != ND_NS && nd->type != ND_NA))
        goto other;
    plen = bpf_ntohs(ip->plen);
    /* RFC 4861 7.1: silently discarded unless ... */
    if ((ip->ver[0] & bpf_htons(0xf000)) != bpf_htons(0x6000) || ip->hops != 255 ||
        nd->code || plen < sizeof(*nd) || 54 + plen > skb->len ||
        (nd->target[0] & bpf_htons(0xff00)) == bpf_htons(0xff00))
        return drop(n, DPC_DROP_BAD_FRAME);
    __builtin_memcpy(sum.src, ip->src, 16);
    __builtin_memcpy(sum.dst, ip->dst, 16);
    sum.size = bpf_htonl(plen);
    sum.next = bpf_htonl(IP_ICMP6);
    sum.nd = *nd;
    key.vni = f->vni;
    dad = ip6_is_none(sum.src);

    if (sum.nd.type == ND_NA) {
        __builtin_memcpy(key.ip, sum.nd.target, 16);
        own = snoop_claim(skb, f, &key, head.src);
        if (!eth_is_group(head.dst))
            return told_directly(skb, n, c, f, vn, head.dst, own);
        if (vn->arp == ARP_FLOOD)
            return flood(skb, n, f, true);
        return drop(n, DPC_ABSORBED);
    }
    if (!dad) {
        __builtin_memcpy(key.ip, sum.src, 16);
        own = snoop_claim(skb, f, &key, head.src);
    }
    if (!eth_is_group(head.dst))
        return told_directly(skb, n, c, f, vn, head.dst, own);
    if (vn->arp == ARP_FLOOD)
        return flood(skb, n, f, true);
    __builtin_memcpy(key.ip, sum.nd.target, 16);
    known = bpf_map_lookup_elem(&neigh, &key);
    if (!known)
        return unknown_ip(skb, n, f, &key);
    if (answer_may(n, f, known, head.src) == ANSWER_NO)
        return TC_ACT_SHOT;
    /* K14: exactly one option, the asker's own address; a DAD probe may have none, or
     * the nonce. Everything else is for the daemon to look at. */
    opt = plen == sizeof(*nd) + sizeof(struct nd_opt);
    if (opt) {
        if (bpf_skb_load_bytes(skb, 54 + sizeof(*nd), &sum.opt, sizeof(sum.opt)))
            return drop(n, DPC_DROP_BAD_FRAME);
    }
    if (opt ? sum.opt.len != 1 || sum.opt.type != (dad ? ND_OPT_NONCE : ND_OPT_SLLA)
            : !dad || plen != sizeof(*nd))
        return hand_up_nd(skb, n, f, head.src, sum.nd.target);
    if (!dad && !mac_same(sum.opt.mac, head.src))
        return drop(n, DPC_DROP_SPOOF);
    if (opt ? nd_fold(&sum, sizeof(sum)) : nd_fold(&sum, sizeof(sum) - sizeof(sum.opt)))
        return drop(n, DPC_DROP_BAD_FRAME);
    return answer_ns(skb, n, f, &sum, &head, known, dad);

other:
    if (vn->arp != ARP_FLOOD && nd_hidden(skb))
        return drop(n, DPC_DROP_SPOOF);
    if (!eth_is_group(head.dst))
        return forward_unicast(skb, n, c, f, head.dst);
    if (vn->arp != ARP_FLOOD && eth_is_solicited(head.dst))
        return hand_up_nd(skb, n, f, head.src, sum.nd.target);
    return flood(skb, n, f, false);
}

static __always_inline int
answer(struct __sk_buff *skb)
{
    __u32 size = skb->len, zero = 0;
    struct nve_counters *n;
    struct nve_conf *c;
    struct nve_vn *vn;
    struct from f;
    __u16 type;

    from_load(skb, &f);
    n = counters_of(f.port);
    c = bpf_map_lookup_elem(&conf, &zero);
    if (!n || !c)
        return TC_ACT_SHOT;
    vn = bpf_map_lookup_elem(&vns, &f.vni);
    if (!vn)
        return drop(n, DPC_DROP_NO_VN);
    if (bpf_skb_pull_data(skb, size < ND_SIZE ? size : ND_SIZE) ||
        bpf_skb_load_bytes(skb, 12, &type, 2))
        return drop(n, DPC_DROP_BAD_FRAME);
    if (type == ETH_ARP)
        return answer_arp(skb, n, c, &f, vn);
    return answer_nd(skb, n, c, &f, vn);
}
#endif
