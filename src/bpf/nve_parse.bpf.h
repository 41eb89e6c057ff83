/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Headers as the programs load them (16-bit words: an Ethernet header stands at an even
 * address), and the MTU check. */
#ifndef BERTH_BPF_NVE_PARSE_H
#define BERTH_BPF_NVE_PARSE_H
#include "bpf/nve_state.bpf.h"

#define ETH_IP       bpf_htons(0x0800)
#define ETH_ARP      bpf_htons(0x0806)
#define ETH_IP6      bpf_htons(0x86dd)
#define ETH_VLAN     bpf_htons(0x8100)
#define ETH_SVLAN    bpf_htons(0x88a8)
#define ETH_QINQ     bpf_htons(0x9100)
#define ETH_LLDP     bpf_htons(0x88cc)
#define ETH_ECP      bpf_htons(0x8940)
#define IP_TCP       6
#define IP_UDP       17
#define IP_ICMP6     58
#define IP_HOPOPTS   0 /* IPv6 extension headers */
#define IP_ROUTING   43
#define IP_FRAGMENT  44
#define IP_DSTOPTS   60
#define IP_EXT_MAX   5 /* that are looked behind */
#define ND_NS        135
#define ND_NA        136
#define ND_OPT_SLLA  1
#define ND_OPT_TLLA  2
#define ND_OPT_NONCE 14 /* RFC 3971; Linux sends it with DAD (RFC 7527) */

struct eth {
    __u16 dst[3], src[3];
    __u16 type;
};
struct arp {
    __u16 hrd, pro;
    __u8 hln, pln;
    __u16 op;
    __u16 sha[3], spa[2], tha[3], tpa[2];
};
struct ip6 {
    __u16 ver[2], plen;
    __u8 next, hops;
    __u16 src[8], dst[8];
};
struct nd {
    __u8 type, code;
    __u16 csum;
    __u16 flags[2];
    __u16 target[8];
};
struct nd_opt {
    __u8 type, len; /* len in units of 8 octets */
    __u16 mac[3];
};

static __always_inline bool
eth_is_group(const __u16 *mac)
{
    return mac[0] & bpf_htons(0x0100);
}

/* 01-80-C2-00-00-0X: never forwarded by a bridge (802.1Q table 8-1). */
static __always_inline bool
eth_is_reserved(const __u16 *mac)
{
    return mac[0] == bpf_htons(0x0180) && mac[1] == bpf_htons(0xc200) &&
           !(mac[2] & bpf_htons(0xfff0));
}

static __always_inline bool
ip6_is_ext(__u8 next)
{
    return next == IP_HOPOPTS || next == IP_ROUTING || next == IP_FRAGMENT ||
           next == IP_DSTOPTS;
}

static __always_inline bool
eth_is_vlan(__u16 type)
{
    return type == ETH_VLAN || type == ETH_SVLAN || type == ETH_QINQ;
}

/* Solicited-node multicast, 33-33-FF-xx-xx-xx. */
static __always_inline bool
eth_is_solicited(const __u16 *mac)
{
    return mac[0] == bpf_htons(0x3333) &&
           (mac[1] & bpf_htons(0xff00)) == bpf_htons(0xff00);
}

/* Length of the largest IP packet that a GSO frame will become: segments carry their
 * own copy of the IP and the transport header. 0: cannot be read, do not judge. */
static __always_inline __u32
gso_packet_size(struct __sk_buff *skb, __u32 gso_size)
{
    __u8 head[10], b, next;
    __u32 ip = 40;
    __u16 type;

    if (bpf_skb_load_bytes(skb, 12, &type, 2))
        return 0;
    if (type == ETH_IP) {
        if (bpf_skb_load_bytes(skb, 14, head, 10))
            return 0;
        ip = (head[0] & 0xf) * 4;
        next = head[9];
    } else if (type == ETH_IP6) {
        if (bpf_skb_load_bytes(skb, 14 + 6, &next, 1))
            return 0;
    } else {
        return 0;
    }
    if (next == IP_UDP)
        return gso_size + ip + 8;
    if (next != IP_TCP || bpf_skb_load_bytes(skb, 14 + ip + 12, &b, 1))
        return 0;
    return gso_size + ip + (b >> 4) * 4;
}

/* True: the frame, or one of its segments, is larger than its VN allows. The floor
 * saves the look-up of the VN for all that is small. */
static __always_inline bool
mtu_exceeded(struct __sk_buff *skb, __u32 vni, const struct nve_conf *c)
{
    __u32 gso_size = skb->gso_size;
    __u32 size = gso_size ? gso_size + 120 : skb->len - 14;
    struct nve_vn *vn;

    if (likely(size <= c->mtu_floor))
        return false;
    vn = bpf_map_lookup_elem(&vns, &vni);
    if (!vn || !vn->mtu || size <= vn->mtu)
        return false;
    if (gso_size)
        size = gso_packet_size(skb, gso_size);
    return size > vn->mtu;
}
#endif
