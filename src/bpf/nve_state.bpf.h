/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Maps of the NVE and the small things every program needs: counters, meters, upcalls.
 */
#ifndef BERTH_BPF_NVE_STATE_H
#define BERTH_BPF_NVE_STATE_H
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "bpf/nve_maps.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define MAP(map_name, map_type, key_type, value_type, entries, map_flags_)             \
    struct {                                                                           \
        __uint(type, BPF_MAP_TYPE_##map_type);                                         \
        __uint(max_entries, entries);                                                  \
        __uint(map_flags, map_flags_);                                                 \
        __type(key, key_type);                                                         \
        __type(value, value_type);                                                     \
    } map_name SEC(".maps")

/* Sizes are set by the loader. The tables of registered state are preallocated hashes:
 * an LRU would evict what the daemon believes to be installed. */
MAP(conf, ARRAY, __u32, struct nve_conf, 1, 0);
MAP(ports, HASH, __u32, struct nve_port, 256, 0);
MAP(port_at, ARRAY, __u32, struct nve_port, NVE_PORT_AT, 0);
MAP(ifindexes, ARRAY, __u32, __u32, 256, 0);
MAP(vsis, HASH, struct nve_vsi_key, struct nve_vsi, 1024, 0);
MAP(vaps, HASH, struct nve_vap_key, struct nve_vap, 1024, 0);
MAP(fdb, HASH, struct nve_fdb_key, struct nve_fdb, 1024, 0);
MAP(neigh, HASH, struct nve_neigh_key, struct nve_neigh, 1024, 0);
MAP(vns, HASH, __u32, struct nve_vn, 1024, 0);
MAP(locals, HASH, struct nve_chunk_key, struct nve_locals, 1024, BPF_F_NO_PREALLOC);
MAP(remotes, HASH, struct nve_chunk_key, struct nve_remotes, 1024, BPF_F_NO_PREALLOC);
MAP(vteps, HASH, struct ip, struct nve_vtep, 1024, 0);
MAP(neg, LRU_HASH, struct nve_ask, __u64, 1024, 0);
MAP(asked, LRU_HASH, struct nve_ask, __u64, 1024, 0);
MAP(relays, LRU_HASH, struct nve_fdb_key, __u64, NVE_RELAYS, 0);
MAP(meters, LRU_HASH, __u64, struct nve_meter, 1024, 0);
MAP(counters, PERCPU_ARRAY, __u32, struct nve_counters, 256, 0);
MAP(vsi_counters, PERCPU_ARRAY, __u32, struct nve_vsi_counters, 1024, 0);
MAP(holds, ARRAY, __u32, struct nve_hold, 2 * NVE_HOLDS, BPF_F_MMAPABLE);
MAP(jumps, PROG_ARRAY, __u32, __u32, NVE_N_JUMPS, 0);
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 20);
} events SEC(".maps");

/* Constants of one load; the verifier removes what they switch off. */
const volatile __u64 nve_key_flags; /* BPF_F_ZERO_CSUM_TX or 0 */
const volatile __u32 nve_local_v4;  /* host order; 0: the route decides */
const volatile __u16 nve_local_v6[8];

/* What is known of a frame once it is admitted. It crosses tail calls in skb->cb. */
struct from {
    __u32 vni, vsi;
    __u16 port, vid; /* port 0: it came from the overlay */
    __u8 pcp, tagged, arp;
};
#define FROM_TAGGED 1u
#define FROM_ARP    2u /* flood: counted as ARP */
#define FROM_CHUNK  16 /* shift */

static __always_inline void
from_save(struct __sk_buff *skb, const struct from *f, __u32 chunk)
{
    skb->cb[0] = f->vni;
    skb->cb[1] = f->vsi;
    skb->cb[2] = (__u32)f->port << 16 | f->vid;
    skb->cb[3] =
        (f->tagged ? FROM_TAGGED : 0) | (f->arp ? FROM_ARP : 0) | chunk << FROM_CHUNK;
    skb->cb[4] = f->pcp;
}

static __always_inline __u32
from_load(struct __sk_buff *skb, struct from *f)
{
    __u32 place = skb->cb[2], flags = skb->cb[3];

    f->vni = skb->cb[0];
    f->vsi = skb->cb[1];
    f->port = place >> 16;
    f->vid = place & 0xffff;
    f->tagged = !!(flags & FROM_TAGGED);
    f->arp = !!(flags & FROM_ARP);
    f->pcp = skb->cb[4] & 7;
    return flags >> FROM_CHUNK;
}

static __always_inline struct nve_counters *
counters_of(__u32 port)
{
    return bpf_map_lookup_elem(&counters, &port);
}

/* Array look-ups are a few instructions; the hash is for hosts that have made many
 * devices. */
static __always_inline struct nve_port *
port_of(__u32 ifindex)
{
    struct nve_port *p;

    if (likely(ifindex < NVE_PORT_AT)) {
        p = bpf_map_lookup_elem(&port_at, &ifindex);
        return p && p->port ? p : NULL;
    }
    return bpf_map_lookup_elem(&ports, &ifindex);
}

static __always_inline int
drop(struct nve_counters *n, enum dp_counter why)
{
    n->c[why]++;
    return TC_ACT_SHOT;
}

static __always_inline void
mac_copy(__u16 *dst, const __u16 *src)
{
    dst[0] = src[0];
    dst[1] = src[1];
    dst[2] = src[2];
}

static __always_inline bool
mac_same(const __u16 *a, const __u16 *b)
{
    return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]));
}

/* Generic cell rate: the bucket is one 64-bit time, so that CPUs can share it without a
 * lock; a race lets at most one frame per CPU through. (Fetch-and-add without its
 * result is the one atomic that kernels before 5.12 have.) */
static __always_inline bool
meter_take(__u64 *tat, __u64 now, __u64 cost, __u64 burst)
{
    __u64 t = *(volatile __u64 *)tat;
    __u64 floor = now > burst ? now - burst : 0;

    if (cost > burst)
        cost = burst; /* a GSO frame larger than the bucket */
    if (t < floor) {
        *(volatile __u64 *)tat = floor;
        t = floor;
    }
    if (t + cost > now)
        return false;
    __sync_fetch_and_add(tat, cost);
    return true;
}

static __always_inline struct nve_meter *
meter_at(__u64 key)
{
    struct nve_meter *m = bpf_map_lookup_elem(&meters, &key);

    if (!m) {
        struct nve_meter fresh = {};

        bpf_map_update_elem(&meters, &key, &fresh, BPF_NOEXIST);
        m = bpf_map_lookup_elem(&meters, &key);
    }
    return m;
}

/* Whose it is: a VSI's, a wildcard VAP's, a tunnel endpoint's. */
static __always_inline __u64
meter_key(const struct from *f)
{
    return f->vsi ? f->vsi : 1ull << 32 | (__u64)f->port << 16 | f->vid;
}

static __always_inline __u64
meter_key_vtep(const __u32 *ip)
{
    return 2ull << 32 | (ip[0] ^ ip[1] ^ ip[2] ^ ip[3]);
}

static __always_inline struct nve_meter *
meter_of(const struct from *f)
{
    return meter_at(meter_key(f));
}

#define MS           1000000ull
#define UPCALL_COST  (10 * MS)  /* 100 events a second from one VSI ... */
#define UPCALL_BURST (500 * MS) /* ... 50 at once */

/* May an event of this kind about this key go up now? First the key, without making an
 * entry, then its author: a VM that asks for random addresses fills no table. */
static __always_inline bool
ask_may_at(__u64 meter, const struct nve_ask *ask, __u64 cost, __u64 burst)
{
    __u64 now = bpf_ktime_get_ns(), first;
    __u64 *tat = bpf_map_lookup_elem(&asked, ask);
    struct nve_meter *m;

    if (tat && *tat + cost > now)
        return false;
    m = meter_at(meter);
    if (m && !meter_take(&m->upcall, now, UPCALL_COST, UPCALL_BURST))
        return false;
    if (tat)
        return meter_take(tat, now, cost, burst);
    first = (now > burst ? now - burst : 0) + cost;
    bpf_map_update_elem(&asked, ask, &first, BPF_ANY);
    return true;
}

static __always_inline bool
ask_may(const struct from *f, const struct nve_ask *ask, __u64 cost, __u64 burst)
{
    return ask_may_at(meter_key(f), ask, cost, burst);
}

static __always_inline void
event_fill(
    struct nve_event *ev, const struct from *f, const struct nve_ask *ask, __u32 len)
{
    ev->vni = f->vni;
    ev->port = f->port;
    ev->vid = f->vid;
    ev->type = ask->type;
    ev->pad = 0;
    ev->size = len;
    __builtin_memcpy(ev->ip, ask->ip, 16);
}

/* The rest of the ring is for what is short: whoever fills it with long frames takes
 * from nobody the word of a move. */
static __always_inline bool
ring_crowded(void)
{
    return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >
           bpf_ringbuf_query(&events, BPF_RB_RING_SIZE) / 2;
}

/* The frame goes along where it fits: core holds the first ones (K18) and reads ARP, ND
 * and DHCP itself. Of a relayed one the addresses say all. A full ring loses the event;
 * the sender asks again. */
static __always_inline void
event_send(struct __sk_buff *skb, const struct from *f, const struct nve_ask *ask)
{
    struct nve_event *ev;
    __u32 len = skb->len, copy = len;
    bool head = skb->gso_size || ask->type == DP_EV_RELAYED || ask->type == DP_EV_ASTRAY;

    if (len > NVE_FRAME_MAX || head || (len > NVE_FRAME_SMALL && ring_crowded())) {
        len = NVE_FRAME_MAX + 1;
        copy = 14;
    }
    asm volatile("" : "+r"(copy));
    if (copy <= NVE_FRAME_SMALL) {
        ev = bpf_ringbuf_reserve(&events, sizeof(*ev) + NVE_FRAME_SMALL, 0);
        if (!ev)
            return;
        event_fill(ev, f, ask, len);
        if (copy < 14 || bpf_skb_load_bytes(skb, 0, ev->frame, copy)) {
            bpf_ringbuf_discard(ev, 0);
            return;
        }
        bpf_ringbuf_submit(ev, 0);
    } else if (copy <= NVE_FRAME_MAX) {
        ev = bpf_ringbuf_reserve(&events, sizeof(*ev) + NVE_FRAME_MAX, 0);
        if (!ev)
            return;
        event_fill(ev, f, ask, len);
        if (bpf_skb_load_bytes(skb, 0, ev->frame, copy)) {
            bpf_ringbuf_discard(ev, 0);
            return;
        }
        bpf_ringbuf_submit(ev, 0);
    }
}

/* A negative answer still valid? `ask` with type 0. */
static __always_inline bool
neg_known(const struct nve_ask *ask)
{
    __u64 *until = bpf_map_lookup_elem(&neg, ask);

    return until && bpf_ktime_get_ns() < *until;
}
#endif
