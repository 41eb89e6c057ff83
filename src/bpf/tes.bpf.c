/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The server's half of the tagged link, for kernels with or without 8021q: `vm` at the
 * ingress of each VM interface (frames that the VM sends), `uplink` at the ingress of each
 * uplink; `flood` is reached by tail call and copies a group frame to one chunk of the VMs
 * of a VLAN. Local copies are made untagged, before the one for the uplink gets its tag.
 * With reflective relay (K10) the edge switches everything, also between two VMs here. */
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "bpf/tes_maps.h"

#define unlikely(x) __builtin_expect(!!(x), 0)
#define ETH_VLAN bpf_htons(0x8100)
#define ETH_SVLAN bpf_htons(0x88a8)
#define ETH_QINQ bpf_htons(0x9100)
#define ETH_LLDP bpf_htons(0x88cc)
#define ETH_ECP bpf_htons(0x8940)

#define MAP(map_name, map_type, key_type, value_type, entries, map_flags_)                \
    struct {                                                                              \
        __uint(type, BPF_MAP_TYPE_##map_type);                                            \
        __uint(max_entries, entries);                                                     \
        __uint(map_flags, map_flags_);                                                    \
        __type(key, key_type);                                                            \
        __type(value, value_type);                                                        \
    } map_name SEC(".maps")

/* Empty hashes cost their buckets only, so the sizes are fixed: a pinned map always fits. */
MAP(uplinks, HASH, __u32, struct tes_uplink, TES_UPLINKS, 0);
MAP(ifindexes, ARRAY, __u32, __u32, TES_UPLINKS, 0);         /* by number of the uplink */
MAP(vms, HASH, __u32, struct tes_vm, TES_VMS_MAX, BPF_F_NO_PREALLOC);
MAP(macs, HASH, struct tes_mac_key, struct tes_mac, TES_VMS_MAX, BPF_F_NO_PREALLOC);
MAP(groups, HASH, struct tes_group_key, struct tes_group, TES_VMS_MAX, BPF_F_NO_PREALLOC);
MAP(counters, PERCPU_ARRAY, __u32, struct tes_counters, 1, 0);
MAP(jumps, PROG_ARRAY, __u32, __u32, TES_N_JUMPS, 0);

struct eth {
    __u16 dst[3], src[3];
    __u16 type;
};

static __always_inline int
drop(struct tes_counters *n, enum tes_counter why)
{
    n->c[why]++;
    return TC_ACT_SHOT;
}

static __always_inline bool
is_vlan(__u16 type)
{
    return type == ETH_VLAN || type == ETH_SVLAN || type == ETH_QINQ;
}

static __always_inline void
mac_copy(__u16 *dst, const __u16 *src)
{
    dst[0] = src[0];
    dst[1] = src[1];
    dst[2] = src[2];
}

static __always_inline int
to_uplink(struct __sk_buff *skb, struct tes_counters *n, __u32 uplink, __u16 tci)
{
    __u32 *ifindex = bpf_map_lookup_elem(&ifindexes, &uplink);

    if (!ifindex || !*ifindex || bpf_skb_vlan_push(skb, ETH_VLAN, tci))
        return drop(n, TESC_DROP_ERROR);
    n->c[TESC_UPLINK_TX]++;
    return bpf_redirect(*ifindex, 0);
}

static __always_inline int
to_vm(struct __sk_buff *skb, const struct tes_mac *to)
{
    if (!to->peer)
        return bpf_redirect(to->ifindex, 0);
    /* Kernels before 6.15 keep the verdict of the device it came in by: another host's. */
    if (skb->pkt_type != PACKET_HOST)
        bpf_skb_change_type(skb, PACKET_HOST);
    return bpf_redirect_peer(to->ifindex, 0);
}

/* What the flood needs, in skb->cb: it crosses tail calls. */
#define CB_UPLINK 0
#define CB_TCI 1                         /* and FLOOD_UP: then on to the uplink */
#define CB_CHUNK 2
#define CB_FROM 3                        /* ifindex of the sender's interface, 0 = none */
#define FLOOD_UP 0x10000u

static __always_inline void
flood_start(struct __sk_buff *skb, __u32 uplink, __u32 tci, __u32 from)
{
    skb->cb[CB_UPLINK] = uplink;
    skb->cb[CB_TCI] = tci;
    skb->cb[CB_CHUNK] = 0;
    skb->cb[CB_FROM] = from;
    bpf_tail_call(skb, &jumps, TES_JUMP_FLOOD);
}

SEC("tc")
int
flood(struct __sk_buff *skb)
{
    __u32 zero = 0, tci = skb->cb[CB_TCI], uplink = skb->cb[CB_UPLINK];
    __u32 from = skb->cb[CB_FROM], chunk = skb->cb[CB_CHUNK];
    struct tes_group_key key = {uplink, tci & 0xfff, chunk};
    struct tes_counters *n = bpf_map_lookup_elem(&counters, &zero);
    struct tes_group *g;
    __u32 i;

    if (!n)
        return TC_ACT_SHOT;
    g = bpf_map_lookup_elem(&groups, &key);
    if (g) {
        for (i = 0; i < TES_MEMBERS; i++) {
            __u32 ifindex;

            if (i >= g->n)
                break;
            ifindex = g->ifindex[i];
            if (ifindex == from) {
                if (!(tci & FLOOD_UP))
                    n->c[TESC_OWN]++;
                continue;
            }
            if (bpf_clone_redirect(skb, ifindex, 0))
                n->c[TESC_DROP_ERROR]++;
            else
                n->c[TESC_BUM_COPIES]++;
        }
        if (g->more) {
            skb->cb[CB_CHUNK] = chunk + 1;
            bpf_tail_call(skb, &jumps, TES_JUMP_FLOOD);
        }
    }
    return tci & FLOOD_UP ? to_uplink(skb, n, uplink, tci) : TC_ACT_SHOT;
}

SEC("tc")
int
vm(struct __sk_buff *skb)
{
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    __u32 zero = 0, ifindex = skb->ifindex;
    struct tes_counters *n = bpf_map_lookup_elem(&counters, &zero);
    struct tes_vm *v = bpf_map_lookup_elem(&vms, &ifindex);
    struct tes_mac_key key = {};
    struct eth *eth = data;
    struct tes_mac *to;
    __u16 tci;

    if (!n || !v)                        /* an interface that has left, or not ours: the host's */
        return TC_ACT_UNSPEC;
    n->c[TESC_VM_RX]++;
    if ((void *)(eth + 1) > end)
        return drop(n, TESC_DROP_ERROR);
    if (unlikely(skb->vlan_present || is_vlan(eth->type)))
        return drop(n, TESC_DROP_TAGGED);
    if (unlikely(eth->type == ETH_ECP || eth->type == ETH_LLDP))
        return drop(n, TESC_DROP_SIGNALLING);
    if (unlikely(eth->dst[0] == bpf_htons(0x0180) && eth->dst[1] == bpf_htons(0xc200) &&
            !(eth->dst[2] & bpf_htons(0xfff0))))
        return drop(n, TESC_DROP_RESERVED);
    if (!v->pass || !v->vid)
        return drop(n, TESC_DROP_CLOSED);
    if ((v->mac[0] | v->mac[1] | v->mac[2]) &&
        ((v->mac[0] ^ eth->src[0]) | (v->mac[1] ^ eth->src[1]) | (v->mac[2] ^ eth->src[2])))
        return drop(n, TESC_DROP_SPOOF);
    tci = v->vid | (__u16)v->pcp << 13;
    if (!v->reflect) {
        if (eth->dst[0] & bpf_htons(0x0100)) {
            flood_start(skb, v->uplink, tci | FLOOD_UP, ifindex);
            return drop(n, TESC_DROP_ERROR);
        }
        key.uplink = v->uplink;
        key.vid = v->vid;
        mac_copy(key.mac, eth->dst);
        to = bpf_map_lookup_elem(&macs, &key);
        if (to && !to->away) {
            if (to->ifindex == ifindex)
                return drop(n, TESC_DROP_UNKNOWN);
            n->c[TESC_LOCAL]++;
            return to_vm(skb, to);
        }
    }
    return to_uplink(skb, n, v->uplink, tci);
}

SEC("tc")
int
uplink(struct __sk_buff *skb)
{
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    __u32 zero = 0, ifindex = skb->ifindex;
    struct tes_counters *n = bpf_map_lookup_elem(&counters, &zero);
    struct tes_uplink *up = bpf_map_lookup_elem(&uplinks, &ifindex);
    struct tes_mac_key key = {};
    struct eth *eth = data;
    struct tes_mac *to;
    __u16 type;
    bool group;

    if (!n || !up)
        return TC_ACT_UNSPEC;
    if ((void *)(eth + 1) > end)
        return drop(n, TESC_DROP_ERROR);
    type = eth->type;
    if (!skb->vlan_present && !is_vlan(type)) {
        n->c[TESC_UPLINK_PASS]++;
        return TC_ACT_OK;
    }
    if (unlikely(type == ETH_ECP || type == ETH_LLDP))
        return drop(n, TESC_DROP_TAGGED_SIGNALLING);
    if (unlikely(is_vlan(type)))
        return drop(n, TESC_DROP_SECOND_TAG);
    key.uplink = up->number;
    key.vid = skb->vlan_tci & 0xfff;
    if (!key.vid) {                      /* a priority, no VLAN: the host's own */
        n->c[TESC_UPLINK_PASS]++;
        return TC_ACT_OK;
    }
    if (unlikely(skb->vlan_proto != ETH_VLAN))
        return drop(n, TESC_DROP_UNKNOWN);
    group = eth->dst[0] & bpf_htons(0x0100);
    mac_copy(key.mac, group ? eth->src : eth->dst);
    to = bpf_map_lookup_elem(&macs, &key);
    if (group) {
        __u32 from = to ? to->ifindex : 0;

        if (bpf_skb_vlan_pop(skb))
            return drop(n, TESC_DROP_ERROR);
        flood_start(skb, key.uplink, key.vid, from);
        return drop(n, TESC_DROP_ERROR);
    }
    if (!to) {
        key.mac[0] = key.mac[1] = key.mac[2] = 0;
        to = bpf_map_lookup_elem(&macs, &key);
        if (!to)
            return drop(n, TESC_DROP_UNKNOWN);
    }
    if (bpf_skb_vlan_pop(skb))
        return drop(n, TESC_DROP_ERROR);
    n->c[TESC_VM_TX]++;
    return to_vm(skb, to);
}

char _license[] SEC("license") = "Dual BSD/GPL";
