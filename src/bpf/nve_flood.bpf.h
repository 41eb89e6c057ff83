/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Head-end replication. Two programs, each doing one chunk of a list and calling itself
 * for the next: 33 tail calls reach 30 chunks of remotes on any kernel, and the
 * verifier sees one chunk only. All local copies come before the first remote one: a
 * frame that has once carried a tunnel key must not go to a device that is no tunnel.
 */
#ifndef BERTH_BPF_NVE_FLOOD_H
#define BERTH_BPF_NVE_FLOOD_H
#include "bpf/nve_forward.bpf.h"

/* DHCP tells the addresses of a VM that plain VDP does not name (K8). */
static __always_inline void
snoop_dhcp(struct __sk_buff *skb, const struct from *f)
{
    struct nve_ask ask = {.vni = f->vni, .type = DP_EV_SNOOP};
    __u8 head[24];
    __u16 type;

    if (bpf_skb_load_bytes(skb, 12, &type, 2) || type != ETH_IP ||
        bpf_skb_load_bytes(skb, 14, head, sizeof(head)) || head[0] != 0x45 ||
        head[9] != IP_UDP || head[20] || head[21] != 68 || head[22] || head[23] != 67)
        return;
    bpf_skb_load_bytes(skb, 6, ask.mac, 6);
    if (ask_may(f, &ask, 1000 * MS, 3000 * MS))
        event_send(skb, f, &ask);
}

/* Is this VSI within the VN's limit? GSO frames count by their segments. */
static __always_inline bool
flood_may(struct __sk_buff *skb, const struct from *f, const struct nve_vn *vn)
{
    __u32 segs = skb->gso_segs;
    struct nve_meter *m;

    if (!vn->bum_cost_ns)
        return true;
    m = meter_of(f);
    return !m || meter_take(&m->bum, bpf_ktime_get_ns(),
                     vn->bum_cost_ns * (segs ? segs : 1), vn->bum_burst_ns);
}

static __always_inline void
flood_local(struct __sk_buff *skb, struct nve_counters *n, const struct from *f,
    const struct nve_local *e)
{
    __u32 port = e->port;
    __u16 vid = e->vid;
    __u32 *ifindex;

    if (port == f->port && vid == f->vid) {
        if (!e->reflect)
            return;
        n->c[DPC_REFLECTED]++;
    }
    ifindex = bpf_map_lookup_elem(&ifindexes, &port);
    if (!ifindex || !*ifindex)
        return;
    if (vid && bpf_skb_vlan_push(skb, ETH_VLAN, vid | (__u16)e->pcp << 13)) {
        n->c[DPC_DROP_ERROR]++;
        return;
    }
    if (bpf_clone_redirect(skb, *ifindex, 0)) {
        n->c[DPC_DROP_ERROR]++;
    } else {
        n->c[DPC_TX_PORT]++;
        n->c[DPC_BUM_COPIES]++;
    }
    if (vid)
        bpf_skb_vlan_pop(skb);
}

/* The tag is taken off once, before the first copy; what follows carries none. */
static __always_inline int
flood_locals(struct __sk_buff *skb)
{
    struct nve_chunk_key key = {};
    struct nve_locals *list;
    struct nve_counters *n;
    struct from f;
    __u32 chunk = from_load(skb, &f);

    n = counters_of(f.port);
    if (!n)
        return TC_ACT_SHOT;
    if (!chunk) {
        struct nve_vn *vn = bpf_map_lookup_elem(&vns, &f.vni);

        if (!vn)
            return drop(n, DPC_DROP_NO_VN);
        if (f.port) {
            if (!flood_may(skb, &f, vn))
                return drop(n, DPC_DROP_RATE);
            snoop_dhcp(skb, &f);
        }
        if (f.tagged && bpf_skb_vlan_pop(skb))
            return drop(n, DPC_DROP_ERROR);
        f.tagged = 0;
        n->c[f.arp ? DPC_ARP_FLOODED : DPC_BUM]++;
    }
    key.vni = f.vni;
    key.chunk = chunk;
    list = bpf_map_lookup_elem(&locals, &key);
    if (list) {
        for (__u32 i = 0; i < NVE_LOCALS; i++) {
            if (i >= list->n)
                break;
            flood_local(skb, n, &f, &list->e[i]);
        }
        if (list->more) {
            from_save(skb, &f, chunk + 1);
            bpf_tail_call(skb, &jumps, NVE_JUMP_FLOOD);
            return drop(n, DPC_DROP_ERROR);
        }
    }
    if (!f.port) /* split horizon: overlay to locals only, no relay (D4, F17) */
        return TC_ACT_SHOT;
    from_save(skb, &f, 0);
    bpf_tail_call(skb, &jumps, NVE_JUMP_REMOTE);
    return drop(n, DPC_DROP_ERROR);
}

static __always_inline int
flood_remotes(struct __sk_buff *skb)
{
    struct nve_chunk_key key = {};
    struct nve_remotes *list;
    struct nve_counters *n;
    struct nve_conf *c;
    struct from f;
    __u32 zero = 0;

    key.chunk = from_load(skb, &f);
    key.vni = f.vni;
    n = counters_of(f.port);
    c = bpf_map_lookup_elem(&conf, &zero);
    list = bpf_map_lookup_elem(&remotes, &key);
    if (!n || !c || !list)
        return TC_ACT_SHOT;
    for (__u32 i = 0; i < NVE_REMOTES; i++) {
        if (i >= list->n)
            break;
        if (tunnel_set(skb, f.vni, list->e[i], NVE_TTL, 0) ||
            bpf_clone_redirect(skb, c->vxlan_ifindex, 0)) {
            n->c[DPC_DROP_ERROR]++;
            continue;
        }
        n->c[DPC_TX_OVERLAY]++;
        n->c[DPC_BUM_COPIES]++;
    }
    if (list->more) {
        from_save(skb, &f, key.chunk + 1);
        bpf_tail_call(skb, &jumps, NVE_JUMP_REMOTE);
        return drop(n, DPC_DROP_ERROR);
    }
    return TC_ACT_SHOT; /* the original; its copies are on their way */
}
#endif
