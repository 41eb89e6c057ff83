/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the baseline of the overlay benchmarks needs beside the kernel's bridge and
 * vxlan: the tag work that the bridge of a kernel without 802.1Q does not do, at the
 * ingress and the egress of its server port; and, on servers whose link is not tagged,
 * a wire between the VM's interface and the uplink. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

const volatile __u16 bench_vid;
const volatile __u32 bench_ifindex;

SEC("tc")
int
bench_in(struct __sk_buff *skb)
{
    if (!skb->vlan_present || (skb->vlan_tci & 0xfff) != bench_vid)
        return TC_ACT_SHOT;
    return bpf_skb_vlan_pop(skb) ? TC_ACT_SHOT : TC_ACT_OK;
}

SEC("tc")
int
bench_out(struct __sk_buff *skb)
{
    return bpf_skb_vlan_push(skb, bpf_htons(0x8100), bench_vid) ? TC_ACT_SHOT
                                                                : TC_ACT_OK;
}

SEC("tc")
int
bench_wire(struct __sk_buff *skb)
{
    (void)skb;
    return bpf_redirect(bench_ifindex, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
