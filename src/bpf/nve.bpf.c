/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Data plane of an NVE: `port` at the ingress of each server port, `overlay` at the
 * ingress of the one external vxlan device, `hold` where held frames come back from the
 * daemon; the others are reached by tail call only.
 * Frames that are not admitted are counted by reason and dropped. TC_ACT_UNSPEC lets
 * other people's programs have what is not ours; TC_ACT_OK and TC_ACT_SHOT end it (tcx
 * knows no others). */
#include "bpf/nve_answer.bpf.h"
#include "bpf/nve_flood.bpf.h"

/* No VSI has this (port, vid, source): is there at least a wildcard (K2)? */
static __always_inline int
admit_wildcard(
    struct __sk_buff *skb, struct nve_counters *n, struct from *f, const __u16 *src)
{
    struct nve_vap_key key = {f->port, f->vid};
    struct nve_ask ask = {.type = DP_EV_LEARN};
    struct nve_vap *vap = bpf_map_lookup_elem(&vaps, &key);

    if (!vap)
        return drop(n, DPC_DROP_NO_VAP);
    if (!vap->wildcard || eth_is_group(src) || !(src[0] | src[1] | src[2]))
        return drop(n, DPC_DROP_SPOOF);
    f->vni = vap->vni;
    f->pcp = vap->pcp;
    ask.vni = vap->vni;
    mac_copy(ask.mac, src);
    ask.ip[0] = f->port >> 8; /* seen elsewhere = to be told again */
    ask.ip[1] = f->port;
    ask.ip[2] = f->vid >> 8;
    ask.ip[3] = f->vid;
    if (ask_may(f, &ask, 1000 * MS, 1000 * MS))
        event_send(skb, f, &ask);
    return TC_ACT_OK;
}

static __always_inline int
port_ingress(struct __sk_buff *skb)
{
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    __u32 zero = 0;
    struct nve_vsi_key key = {};
    struct eth *eth = data;
    struct nve_counters *n;
    struct nve_port *port;
    struct nve_conf *c;
    struct nve_vsi *vsi;
    struct from f = {};
    __u16 dst[3];
    __u16 type;

    f.tagged = skb->vlan_present;
    port = port_of(skb->ifindex);
    if (!port) /* not configured: the host's own, but see K22 */
        return f.tagged ? TC_ACT_SHOT : TC_ACT_UNSPEC;
    n = counters_of(port->port);
    c = bpf_map_lookup_elem(&conf, &zero);
    if (!n || !c)
        return TC_ACT_SHOT;
    n->c[DPC_RX_PORT]++;
    if ((void *)(eth + 1) > end)
        return drop(n, DPC_DROP_BAD_FRAME);
    mac_copy(dst, eth->dst);
    mac_copy(key.mac, eth->src);
    type = eth->type;
    f.port = port->port;
    f.vid = f.tagged ? skb->vlan_tci & 0xfff : 0;

    if (unlikely(type == ETH_ECP || type == ETH_LLDP)) {
        if (f.tagged) /* a VM must not speak for its hypervisor (K9) */
            return drop(n, DPC_DROP_SIGNALLING);
        n->c[DPC_SIGNALLING]++;
        return TC_ACT_OK;
    }
    if (unlikely(eth_is_vlan(type))) /* before native: the host would strip both */
        return drop(n, DPC_DROP_SECOND_TAG);
    if (unlikely(!f.vid && port->native != NATIVE_VN)) {
        if (port->native == NATIVE_PASS) {
            n->c[DPC_NATIVE_PASSED]++;
            return TC_ACT_UNSPEC;
        }
        return drop(n, eth_is_reserved(dst) ? DPC_DROP_RESERVED : DPC_DROP_NATIVE);
    }
    if (unlikely(eth_is_group(dst) && eth_is_reserved(dst)))
        return drop(n, DPC_DROP_RESERVED);
    if (unlikely(f.tagged && skb->vlan_proto != ETH_VLAN))
        return drop(n, DPC_DROP_NO_VAP); /* a service tag is no local tag here */

    /* One look-up admits, refuses spoofing (S3-5, P5); the second is for failures. */
    key.port = f.port;
    key.vid = f.vid;
    vsi = bpf_map_lookup_elem(&vsis, &key);
    if (likely(vsi)) {
        if (unlikely(!vsi->active))
            return drop(n, DPC_DROP_INACTIVE);
        f.vni = vsi->vni;
        f.vsi = vsi->vsi;
        f.pcp = vsi->pcp;
        count_vsi(f.vsi, skb->len, false);
    } else if (admit_wildcard(skb, n, &f, key.mac) != TC_ACT_OK) {
        return TC_ACT_SHOT;
    }
    if (unlikely(mtu_exceeded(skb, f.vni, c)))
        return drop(n, DPC_DROP_MTU);

    if (unlikely(type == ETH_ARP))
        goto answer;
    if (type == ETH_IP6) {
        /* Not readable here, or behind extension headers, counts as perhaps ND. */
        __u8 *next = data + 20, *icmp = data + 54;

        if (unlikely(eth_is_solicited(dst) || (void *)(icmp + 1) > end ||
                     (*next == IP_ICMP6 && (*icmp == ND_NS || *icmp == ND_NA)) ||
                     ip6_is_ext(*next)))
            goto answer;
    }
    if (likely(!eth_is_group(dst)))
        return forward_unicast(skb, n, c, &f, dst);
    return flood(skb, n, &f, false);

answer:
    from_save(skb, &f, 0);
    bpf_tail_call(skb, &jumps, NVE_JUMP_ANSWER);
    return drop(n, DPC_DROP_ERROR);
}

static __always_inline int
overlay_ingress(struct __sk_buff *skb)
{
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    struct bpf_tunnel_key tunnel = {};
    struct nve_fdb_key key = {};
    struct eth *eth = data;
    struct nve_counters *n;
    struct from f = {};
    struct nve_conf *c;
    struct nve_fdb *to;
    __u32 vtep[4] = {};
    __u32 zero = 0;
    __u16 type;
    __u8 kind;

    n = counters_of(0);
    c = bpf_map_lookup_elem(&conf, &zero);
    if (!n || !c)
        return TC_ACT_SHOT;
    n->c[DPC_RX_OVERLAY]++;
    if ((void *)(eth + 1) > end)
        return drop(n, DPC_DROP_BAD_FRAME);
    mac_copy(key.mac, eth->dst);
    type = eth->type;
    if (likely(!bpf_skb_get_tunnel_key(skb, &tunnel, KEY_SIZE_OLD, 0))) {
        vtep[2] = bpf_htonl(0xffff);
        vtep[3] = bpf_htonl(tunnel.remote_ipv4);
    } else if (!bpf_skb_get_tunnel_key(
                   skb, &tunnel, KEY_SIZE_OLD, BPF_F_TUNINFO_IPV6)) {
        __builtin_memcpy(vtep, tunnel.remote_ipv6, 16);
    } else {
        return drop(n, DPC_DROP_VTEP);
    }
    if (unlikely(!bpf_map_lookup_elem(&vteps, vtep)))
        return drop(n, DPC_DROP_VTEP); /* K11 */
    if (unlikely(skb->vlan_present || eth_is_vlan(type)))
        return drop(n, DPC_DROP_SECOND_TAG); /* RFC 7348 section 6.1 */
    key.vni = f.vni = tunnel.tunnel_id;

    if (unlikely(eth_is_group(key.mac))) {
        if (eth_is_reserved(key.mac))
            return drop(n, DPC_DROP_RESERVED);
        return flood(skb, n, &f, type == ETH_ARP);
    }
    to = bpf_map_lookup_elem(&fdb, &key);
    if (likely(to && to->kind == FDB_LOCAL)) {
        count_vsi(to->vsi, skb->len, true);
        return send_port(skb, n, false, to->port, to->vid, to->pcp);
    }
    if (!bpf_map_lookup_elem(&vns, &f.vni))
        return drop(n, DPC_DROP_NO_VN);
    kind = to ? to->kind : NVE_NOWHERE;
    if (kind & NVE_HELD) {
        struct nve_hold *h = hold_of(to);
        __u8 ttl = tunnel.tunnel_ttl;

        if (h)
            return hold_keep(skb, n, c, h, to->hold, false, ttl ? ttl - 1 : 0,
                tunnel.tunnel_tos);
        kind &= ~NVE_HELD;
        if (kind == FDB_LOCAL) {
            count_vsi(to->vsi, skb->len, true);
            return send_port(skb, n, false, to->port, to->vid, to->pcp);
        }
    }
    if (!to || kind != FDB_RELAY) { /* D1: knowledge alone is no licence */
        sender_tell(skb, &f, key.mac, vtep, DP_EV_ASTRAY);
        return drop(n, DPC_DROP_SPLIT);
    }
    if (tunnel.tunnel_ttl <= 1) /* D3: the last bound of a relay */
        return drop(n, DPC_DROP_TTL);
    n->c[DPC_RELAYED]++;
    relayed_count(&key);
    sender_tell(skb, &f, key.mac, vtep, DP_EV_RELAYED);
    return send_overlay(
        skb, n, c, f.vni, to->vtep, tunnel.tunnel_ttl - 1, tunnel.tunnel_tos);
}

SEC("tc")
int
nve_port(struct __sk_buff *skb)
{
    return port_ingress(skb);
}

SEC("tc")
int
nve_overlay(struct __sk_buff *skb)
{
    return overlay_ingress(skb);
}

SEC("tc")
int
nve_hold(struct __sk_buff *skb)
{
    return hold_release(skb);
}

SEC("tc")
int
nve_answer(struct __sk_buff *skb)
{
    return answer(skb);
}

SEC("tc")
int
nve_flood(struct __sk_buff *skb)
{
    return flood_locals(skb);
}

SEC("tc")
int
nve_remote(struct __sk_buff *skb)
{
    return flood_remotes(skb);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
