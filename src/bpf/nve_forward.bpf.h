/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where admitted frames go: out of a VAP, into the overlay, up to the daemon. */
#ifndef BERTH_BPF_NVE_FORWARD_H
#define BERTH_BPF_NVE_FORWARD_H
#include "bpf/nve_parse.bpf.h"

#define KEY_SIZE_OLD __builtin_offsetof(struct bpf_tunnel_key, local_ipv4)

/* The key lives in one per-CPU structure of the kernel, so the redirect (or the clone)
 * to the vxlan device must follow at once, and that device must not queue. */
static __always_inline int
tunnel_set(struct __sk_buff *skb, __u32 vni, const __u8 *vtep, __u8 ttl, __u8 tos)
{
    const __u32 *w = (const __u32 *)vtep;
    struct bpf_tunnel_key key = {};

    key.tunnel_id = vni;
    key.tunnel_ttl = ttl;
    key.tunnel_tos = tos;
    if (likely(!(w[0] | w[1]) && w[2] == bpf_htonl(0xffff))) {
        key.remote_ipv4 = bpf_ntohl(w[3]);
        if (nve_local_v4) { /* 5.19 and later: see the loader */
            key.local_ipv4 = nve_local_v4;
            return bpf_skb_set_tunnel_key(skb, &key, sizeof(key), nve_key_flags);
        }
        return bpf_skb_set_tunnel_key(skb, &key, KEY_SIZE_OLD, nve_key_flags);
    }
    __builtin_memcpy(key.remote_ipv6, vtep, 16);
    if (nve_local_v6[0]) {
        __u16 *local = (__u16 *)key.local_ipv6;

#pragma unroll
        for (int i = 0; i < 8; i++)
            local[i] = nve_local_v6[i];
        return bpf_skb_set_tunnel_key(
            skb, &key, sizeof(key), nve_key_flags | BPF_F_TUNINFO_IPV6);
    }
    return bpf_skb_set_tunnel_key(
        skb, &key, KEY_SIZE_OLD, nve_key_flags | BPF_F_TUNINFO_IPV6);
}

static __always_inline int
send_overlay(struct __sk_buff *skb, struct nve_counters *n, const struct nve_conf *c,
    __u32 vni, const __u8 *vtep, __u8 ttl, __u8 tos)
{
    if (tunnel_set(skb, vni, vtep, ttl, tos))
        return drop(n, DPC_DROP_ERROR);
    n->c[DPC_TX_OVERLAY]++;
    return bpf_redirect(c->vxlan_ifindex, 0);
}

static __always_inline void
count_vsi(__u32 vsi, __u32 len, bool tx)
{
    struct nve_vsi_counters *n = bpf_map_lookup_elem(&vsi_counters, &vsi);

    if (!n)
        return;
    if (tx) {
        n->tx_frames++;
        n->tx_octets += len;
    } else {
        n->rx_frames++;
        n->rx_octets += len;
    }
}

/* Out of (port, vid); a tag on the frame is the one it came with. What a VM wrote into
 * the priority bits does not survive (S3-105). */
static __always_inline int
send_port(struct __sk_buff *skb, struct nve_counters *n, bool tagged, __u32 port,
    __u16 vid, __u8 pcp)
{
    __u32 *ifindex = bpf_map_lookup_elem(&ifindexes, &port);
    __u16 tci = vid | (__u16)pcp << 13;

    if (unlikely(!ifindex || !*ifindex))
        return drop(n, DPC_DROP_ERROR);
    if (tagged && bpf_skb_vlan_pop(skb))
        return drop(n, DPC_DROP_ERROR);
    if (likely(vid) && bpf_skb_vlan_push(skb, ETH_VLAN, tci))
        return drop(n, DPC_DROP_ERROR);
    n->c[DPC_TX_PORT]++;
    return bpf_redirect(*ifindex, 0);
}

static __always_inline int
unknown_mac(struct __sk_buff *skb, struct nve_counters *n, const struct from *f,
    const __u16 *dst)
{
    struct nve_ask ask = {.vni = f->vni};

    mac_copy(ask.mac, dst);
    if (neg_known(&ask))
        return drop(n, DPC_DROP_NEGATIVE);
    ask.type = DP_EV_MISS_MAC;
    if (ask_may(f, &ask, 100 * MS, 300 * MS))
        event_send(skb, f, &ask);
    return drop(n, DPC_DROP_UNKNOWN_MAC);
}

static __always_inline bool
vap_reflects(const struct from *f)
{
    struct nve_vap_key key = {f->port, f->vid};
    struct nve_vap *vap = bpf_map_lookup_elem(&vaps, &key);

    return vap && vap->reflect;
}

/* The slot of a held key if this frame must wait there, else NULL. While it drains a
 * frame goes on by itself as soon as none is before it (K12). An entry whose slot was
 * freed meanwhile is the copy that an older frame read: it holds nobody. */
static __always_inline struct nve_hold *
hold_of(const struct nve_fdb *to)
{
    __u32 slot = to->hold;
    volatile struct nve_hold *h = bpf_map_lookup_elem(&holds, &slot);

    if (!h || h->state == NVE_HOLD_FREE || h->state == NVE_HOLD_PASS)
        return NULL;
    if (h->state == NVE_HOLD_DRAIN && (__s64)(h->in - h->out - h->dropped) <= 0)
        return NULL;
    return (struct nve_hold *)h;
}

/* To the TAP, with the slot for a VLAN id. The frame is counted as being on its way
 * before it is: who comes after it sees that. No network takes more of the queue than
 * its share, however it floods. */
static __always_inline int
hold_keep(struct __sk_buff *skb, struct nve_counters *n, const struct nve_conf *c,
    struct nve_hold *h, __u16 slot, bool tagged, __u8 ttl, __u8 tos)
{
    struct nve_held way = {.local = 2, .ttl = ttl, .tos = tos};
    __u32 at = NVE_HOLDS + h->share;
    volatile struct nve_hold *share = bpf_map_lookup_elem(&holds, &at);

    if (h->state == NVE_HOLD_REFUSE || !c->hold_ifindex || !share ||
        (__s64)(share->in - share->out) >= DP_HOLD_SHARE(NVE_HOLD_QUEUE))
        return drop(n, DPC_DROP_HELD);
    if ((tagged && bpf_skb_vlan_pop(skb)) ||
        bpf_skb_store_bytes(skb, 0, &way, sizeof(way), 0) ||
        bpf_skb_vlan_push(skb, ETH_VLAN, slot))
        return drop(n, DPC_DROP_ERROR);
    __sync_fetch_and_add(&share->in, NVE_HOLD_COST(skb->len));
    __sync_fetch_and_add(&h->in, 1);
    n->c[DPC_HELD]++;
    return bpf_redirect(c->hold_ifindex, 0);
}

/* Out of the TAP again: to where the FDB says by now, as if it had come this moment. To
 * be drained is the licence to go on into the overlay (D1); its hops bound it (D3). */
static __always_inline int
hold_release(struct __sk_buff *skb)
{
    __u32 zero = 0, slot = skb->vlan_tci & 0xfff;
    struct nve_counters *n = counters_of(0);
    struct nve_fdb_key key = {};
    struct nve_held way;
    struct nve_conf *c;
    struct nve_hold *h;
    struct nve_fdb *to;
    __u8 kind;

    c = bpf_map_lookup_elem(&conf, &zero);
    h = slot < NVE_HOLDS ? bpf_map_lookup_elem(&holds, &slot) : NULL;
    if (!n || !c || !h || !slot || !skb->vlan_present)
        return TC_ACT_SHOT;
    key.vni = h->vni;
    mac_copy(key.mac, h->mac);
    if (bpf_skb_load_bytes(skb, 0, &way, sizeof(way)) ||
        bpf_skb_store_bytes(skb, 0, key.mac, sizeof(key.mac), 0))
        return drop(n, DPC_DROP_ERROR);
    to = bpf_map_lookup_elem(&fdb, &key);
    kind = to ? to->kind & ~NVE_HELD : NVE_NOWHERE;
    if (!to || kind == NVE_NOWHERE)
        return drop(n, DPC_DROP_HELD);
    if (kind == FDB_LOCAL) {
        n->c[DPC_RELEASED]++;
        count_vsi(to->vsi, skb->len, true);
        return send_port(skb, n, true, to->port, to->vid, to->pcp);
    }
    if (!way.ttl)
        return drop(n, DPC_DROP_TTL);
    if (bpf_skb_vlan_pop(skb))
        return drop(n, DPC_DROP_ERROR);
    n->c[DPC_RELEASED]++;
    return send_overlay(skb, n, c, key.vni, to->vtep, way.ttl, way.tos);
}

/* What the FDB sends to a remote owner goes there while the key is held: this VM still
 * runs where it was. Once it is drained, or when it is about to be drained to where we
 * relay, the frames of before come first. */
static __always_inline struct nve_hold *
hold_of_local(const struct nve_fdb *to, __u8 kind)
{
    struct nve_hold *h = hold_of(to);

    return h && kind == FDB_REMOTE && h->state != NVE_HOLD_DRAIN ? NULL : h;
}

/* Unicast of an admitted VSI (S4-42). */
static __always_inline int
forward_unicast(struct __sk_buff *skb, struct nve_counters *n, const struct nve_conf *c,
    const struct from *f, const __u16 *dst)
{
    struct nve_fdb_key key = {.vni = f->vni};
    struct nve_fdb *to;
    __u8 kind;

    mac_copy(key.mac, dst);
    to = bpf_map_lookup_elem(&fdb, &key);
    if (unlikely(!to))
        return unknown_mac(skb, n, f, dst);
    kind = to->kind;
    if (unlikely(kind & NVE_HELD)) {
        struct nve_hold *h;

        kind &= ~NVE_HELD;
        if (kind == NVE_NOWHERE)
            return unknown_mac(skb, n, f, dst);
        h = hold_of_local(to, kind);
        if (h)
            return hold_keep(skb, n, c, h, to->hold, f->tagged, NVE_TTL, 0);
    }
    if (kind == FDB_LOCAL) {
        /* The station of a VM that has just come may not yet switch to it by itself. */
        if (to->port == f->port && to->vid == f->vid && !(to->kind & NVE_HELD)) {
            if (!vap_reflects(f)) /* the TES has switched it already (K10) */
                return drop(n, DPC_DROP_HAIRPIN);
            n->c[DPC_REFLECTED]++;
        } else {
            n->c[DPC_LOCAL]++;
        }
        count_vsi(to->vsi, skb->len, true);
        return send_port(skb, n, f->tagged, to->port, to->vid, to->pcp);
    }
    if (f->tagged && bpf_skb_vlan_pop(skb))
        return drop(n, DPC_DROP_ERROR);
    return send_overlay(skb, n, c, f->vni, to->vtep, NVE_TTL, 0);
}

/* How many of this key, for people. */
static __always_inline void
relayed_count(const struct nve_fdb_key *key)
{
    __u64 *n = bpf_map_lookup_elem(&relays, key), one = 1;

    if (n)
        __sync_fetch_and_add(n, 1);
    else
        bpf_map_update_elem(&relays, key, &one, BPF_NOEXIST);
}

/* The sender is to learn where the VM is now (D5); the data plane tells of it about
 * once a second for each (sender, VM), whatever it relays, or drops (F11). */
static __always_inline void
sender_tell(struct __sk_buff *skb, const struct from *f, const __u16 *dst,
    const __u32 *vtep, __u16 type)
{
    struct nve_ask ask = {.vni = f->vni, .type = type};

    mac_copy(ask.mac, dst);
    __builtin_memcpy(ask.ip, vtep, 16);
    if (ask_may_at(meter_key_vtep(vtep), &ask, 1000 * MS, 1000 * MS))
        event_send(skb, f, &ask);
}
#endif
