/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* For tests only. bpf_prog_test_run can neither put a tag on a frame nor give it a
 * tunnel key, so these entries do that first, from skb->cb, and then run the very code
 * of nve.bpf.c. */
#include "bpf/nve.bpf.c"

static __always_inline void
test_clear(struct __sk_buff *skb)
{
    skb->cb[0] = skb->cb[1] = skb->cb[2] = skb->cb[3] = skb->cb[4] = 0;
}

static __always_inline int
test_tag(struct __sk_buff *skb, __u32 proto, __u32 tci)
{
    return proto ? bpf_skb_vlan_push(skb, bpf_htons(proto), tci) : 0;
}

/* cb: 0 TPID (0: untagged), 1 TCI */
SEC("tc")
int
test_port(struct __sk_buff *skb)
{
    if (test_tag(skb, skb->cb[0], skb->cb[1]))
        return -1;
    test_clear(skb);
    return port_ingress(skb);
}

/* The outer TTL and TOS that the frame would be sent with, to cb 0 and 1. */
static __always_inline void
test_key(struct __sk_buff *skb, __u64 flags)
{
    struct bpf_tunnel_key key = {};

    if (bpf_skb_get_tunnel_key(skb, &key, sizeof(key), flags))
        return;
    skb->cb[0] = key.tunnel_ttl;
    skb->cb[1] = key.tunnel_tos;
}

/* cb: 0 VNI, 1 remote IPv4 in host order (0: 2001:db8::1), 2 outer TTL, 3 TPID, 4 outer
 * TOS. What we set is the key of a frame going out: its local address is what the
 * receiver reads as remote. */
SEC("tc")
int
test_overlay(struct __sk_buff *skb)
{
    struct bpf_tunnel_key key = {};
    __u64 flags = 0;
    int rc;

    key.tunnel_id = skb->cb[0];
    key.tunnel_ttl = skb->cb[2];
    key.tunnel_tos = skb->cb[4];
    key.local_ipv4 = skb->cb[1];
    if (!key.local_ipv4) {
        key.local_ipv6[0] = bpf_htonl(0x20010db8);
        key.local_ipv6[3] = bpf_htonl(1);
        flags = BPF_F_TUNINFO_IPV6;
    }
    if (bpf_skb_set_tunnel_key(skb, &key, sizeof(key), flags) ||
        test_tag(skb, skb->cb[3], 5))
        return -1;
    test_clear(skb);
    rc = overlay_ingress(skb);
    test_key(skb, flags);
    return rc;
}

/* cb: 0 TCI: the slot */
SEC("tc")
int
test_hold(struct __sk_buff *skb)
{
    int rc;

    if (test_tag(skb, 0x8100, skb->cb[0]))
        return -1;
    test_clear(skb);
    rc = hold_release(skb);
    test_key(skb, 0);
    return rc;
}
