/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Layout of the maps between nve.bpf.c and host/dp_bpf. Any change of a key or a value
 * here is a new NVE_LAYOUT: the number is in the pin path, so an old daemon's maps are
 * never misread (K15). Keys have no padding that is not named. MAC addresses are three
 * 16-bit words in wire order, which the programs load without byte shuffling; IP
 * addresses are the 16 octets of struct ip. Ports are NVE port numbers, not ifindexes
 * (K15). */
#ifndef BERTH_BPF_NVE_MAPS_H
#define BERTH_BPF_NVE_MAPS_H
#include <linux/types.h>
#include "core/dp.h"

#define NVE_LAYOUT      3
#define NVE_LOCALS      32 /* VAPs per chunk of a replication list */
#define NVE_RELAYS      4096 /* keys whose relayed frames are counted, the latest */
#define NVE_REMOTES     64 /* tunnel endpoints per chunk */
#define NVE_CHUNKS      30 /* chunks per list: tail calls end at 33 */
#define NVE_FRAME_SMALL 128
#define NVE_FRAME_MAX   2048 /* longest frame copied into an event */
#define NVE_PORT_AT     4096 /* ifindexes below stand in an array too, for speed */
#define NVE_TTL         64
#define NVE_HOLDS       (DP_HOLD_MAX + 1)   /* a slot's number is a VLAN id, 0: none */
#define NVE_HOLD_QUEUE  65536               /* frames that the TAP keeps for the daemon */
#define NVE_HOLD_COST(size) (1 + ((size) >> 12)) /* of one, in the network's part of it */

struct nve_conf {
    __u32 vxlan_ifindex;
    __u32 mtu_floor;    /* no VN has a smaller MTU: no need to look */
    __u32 filled;       /* user space: these maps were complete once */
    __u32 hold_ifindex; /* the TAP of held frames; 0: nobody reads it now */
};
struct nve_port { /* ports: by ifindex */
    __u16 port;
    __u8 native; /* enum dp_native */
    __u8 pad;
};
struct nve_vsi_key {
    __u16 port, vid;
    __u16 mac[3];
    __u16 pad;
};
struct nve_vsi {
    __u32 vni;
    __u32 vsi;
    __u8 active, pcp;
    __u16 pad;
};
struct nve_vap_key {
    __u16 port, vid;
};
struct nve_vap {
    __u32 vni;
    __u8 wildcard, reflect, flood, pcp;
};
struct nve_fdb_key {
    __u32 vni;
    __u16 mac[3];
    __u16 pad;
};
/* `kind` of an entry whose frames are held has NVE_HELD set too: so the way of all
 * others costs nothing for it. Only then `hold` is the slot. */
#define NVE_HELD    0x80
#define NVE_NOWHERE 3 /* more enum dp_fdb_kind: there is a hold and nothing else */
struct nve_fdb {
    __u8 kind, pcp; /* enum dp_fdb_kind */
    __u16 vid;
    __u16 port, hold;
    __u32 vsi; /* for its counters; 0: not known */
    __u8 vtep[16];
};
/* What became of a slot's frames (K12). `in` is added to by the programs, the others
 * are the daemon's, which has the array mapped; in - out - dropped frames are on their
 * way through the TAP and its buffer. Slot 0 holds the sums of the slots that were
 * freed. Behind the NVE_HOLDS slots stands, for each network that has some, what the
 * TAP holds of it: the cost of what went in less that of what the daemon has read, so
 * that large frames do not take the host's memory. */
enum nve_hold_state {
    NVE_HOLD_FREE,   /* as PASS; what still arrives at the TAP is dropped */
    NVE_HOLD_KEEP,   /* all frames to the TAP */
    NVE_HOLD_REFUSE, /* all dropped: nothing may be kept */
    NVE_HOLD_DRAIN,  /* to the TAP as long as frames are on their way, else direct */
    NVE_HOLD_PASS,   /* all direct; the slot is not given out again for a moment */
};
struct nve_hold {
    __u64 in, out, dropped;
    __u64 max_us; /* limits, for the daemon alone */
    __u32 frames, octets;
    __u32 vni;
    __u16 mac[3];
    __u8 state, pad; /* enum nve_hold_state */
    __u16 share;     /* the network's, counted from NVE_HOLDS on */
    __u32 zero[2];
};
/* From the programs to the TAP and back a frame needs no destination address, which is
 * its slot's: there stands what else a frame that goes on must have. */
struct nve_held {
    __u8 local; /* 2: of no vendor's, and of one host */
    __u8 ttl;   /* of the outer header, where the VM is elsewhere; 0: it has gone too far */
    __u8 tos;
    __u8 zero[3];
};
struct nve_neigh_key {
    __u32 vni;
    __u8 ip[16];
};
struct nve_neigh {
    __u16 mac[3];
    __u8 router, pad;
};
struct nve_vn {
    __u32 mtu;         /* 0: any */
    __u8 arp, pad[3];  /* enum dp_arp_policy */
    __u64 bum_cost_ns; /* 1 s / rate; 0: no limit */
    __u64 bum_burst_ns;
};
struct nve_chunk_key { /* locals, remotes: chunks 0, 1, ... of a VN */
    __u32 vni, chunk;
};
struct nve_local {
    __u16 port, vid;
    __u8 pcp, reflect;
    __u16 pad;
};
struct nve_locals {
    __u32 n, more; /* more: chunk + 1 exists */
    struct nve_local e[NVE_LOCALS];
};
struct nve_remotes {
    __u32 n, more;
    __u8 e[NVE_REMOTES][16];
};
struct nve_vtep {
    __u32 refs;  /* VNs that replicate to it */
    __u32 known; /* named with VNI 0 */
};
struct nve_ask { /* asked and neg: what was asked for */
    __u32 vni;
    __u16 mac[3];
    __u16 type; /* enum dp_event_type; 0 in neg */
    __u8 ip[16];
};
struct nve_meter { /* theoretical arrival times, ns */
    __u64 bum, upcall;
};
struct nve_counters {
    __u64 c[DPC_N];
};
struct nve_vsi_counters {
    __u64 rx_frames, rx_octets, tx_frames, tx_octets;
};
struct nve_event {
    __u32 vni;
    __u16 port, vid;
    __u8 type, pad;
    __u16 size; /* of the frame; > NVE_FRAME_MAX: only 14 octets */
    __u8 ip[16];
    __u8 frame[];
};
enum nve_jump { NVE_JUMP_ANSWER, NVE_JUMP_FLOOD, NVE_JUMP_REMOTE, NVE_N_JUMPS };
#endif
