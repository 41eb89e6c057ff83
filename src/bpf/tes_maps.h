/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Layout of the maps between tes.bpf.c and host/tes_bpf. Any change of a key or a value here
 * is a new TES_LAYOUT, whose number is in the pin path (K15). Keys have no unnamed padding.
 * MAC addresses are three 16-bit words in wire order. */
#ifndef BERTH_BPF_TES_MAPS_H
#define BERTH_BPF_TES_MAPS_H
#include <linux/types.h>

#define TES_LAYOUT  2
#define TES_UPLINKS 64
#define TES_VMS_MAX 65536
#define TES_MEMBERS 32                   /* VMs per chunk of a VLAN's list */
#define TES_CHUNKS  33                   /* tail calls end at 33: 1056 VMs per VLAN */

struct tes_uplink {                      /* uplinks: by ifindex */
    __u16 number, pad;
    char name[16];
};
struct tes_vm {                          /* vms: by ifindex of the VM's interface */
    __u16 uplink, vid;                   /* vid 0: no tag is known yet */
    __u16 mac[3];                        /* none: any source address */
    __u8 pcp, pass, reflect, peer;
    __u8 away, pad;
    char name[16];                       /* entries are matched by name at start (K15) */
};
struct tes_mac_key {                     /* macs -> ifindex; mac none: what no other VM has */
    __u16 uplink, vid;
    __u16 mac[3];
    __u16 pad;
};
struct tes_mac {
    __u32 ifindex;
    __u16 peer;                          /* deliver by bpf_redirect_peer */
    __u16 away;                          /* it runs elsewhere, or is about to: what other
                                          * VMs send to it is the edge's to keep or relay */
};
struct tes_group_key {                   /* groups: chunks 0, 1, ... of a VLAN */
    __u16 uplink, vid;
    __u32 chunk;
};
struct tes_group {
    __u32 n, more;                       /* more: chunk + 1 exists */
    __u32 ifindex[TES_MEMBERS];
};
enum tes_jump { TES_JUMP_FLOOD, TES_N_JUMPS };

/* X(symbol, name, help) */
#define TES_COUNTERS(X)                                                                   \
    X(VM_RX, "vm_rx", "frames that came from VMs")                                        \
    X(VM_TX, "vm_tx", "unicast frames delivered to VMs from an uplink")                   \
    X(LOCAL, "local", "unicast frames switched between two VMs of this server")           \
    X(UPLINK_TX, "uplink_tx", "frames sent on an uplink")                                 \
    X(UPLINK_PASS, "uplink_pass", "untagged frames on an uplink, left to the host")       \
    X(BUM_COPIES, "bum_copies", "copies of group frames delivered to VMs")                \
    X(OWN, "own", "copies not made because the reflected frame is the VM's own")          \
    X(DROP_CLOSED, "drop_closed", "from a VM that is not (yet) associated")               \
    X(DROP_TAGGED, "drop_tagged", "from a VM with a tag of its own")                      \
    X(DROP_SIGNALLING, "drop_signalling", "ECP or LLDP from a VM (K22)")                  \
    X(DROP_RESERVED, "drop_reserved", "from a VM to 01-80-C2-00-00-0X (K22)")             \
    X(DROP_SPOOF, "drop_spoof", "from a VM with another source address than its own")     \
    X(DROP_UNKNOWN, "drop_unknown", "from an uplink, tagged, for no VM of this server")   \
    X(DROP_TAGGED_SIGNALLING, "drop_tagged_signalling",                                   \
        "ECP or LLDP that came tagged on an uplink (K22)")                                \
    X(DROP_SECOND_TAG, "drop_second_tag", "from an uplink with a second tag")             \
    X(DROP_ERROR, "drop_error", "no such uplink now, or the kernel refused")
enum tes_counter {
#define X(sym, name, help) TESC_##sym,
    TES_COUNTERS(X)
#undef X
    TESC_N
};
struct tes_counters {
    __u64 c[TESC_N];
};
#endif
