/* SPDX-License-Identifier: Apache-2.0 */
/* The data plane as plain operations (K6, S0-8). Core emits struct dp_op with an id;
 * whoever drives a data plane (BPF, the simulator's, later a bridge) carries them out in order and
 * answers dp_done(id, status). Events come back as struct dp_event. Everything here is a
 * value: no pointers except the borrowed frame octets.
 *
 * Ownership of tables: attach speaks of ports, VAPs and VSIs (what a port may send);
 * mapping speaks of the FDB, neighbours and members (where frames go). Operations are
 * idempotent; SET replaces. Ports are small numbers of this NVE, not ifindexes (K15). */
#ifndef BERTH_CORE_DP_H
#define BERTH_CORE_DP_H
#include "wire/addr.h"

/* Of what there is for frames that wait (K12) a VN has at most a quarter, and at most so
 * many VMs at all wait: their numbers are VLAN tags. */
#define DP_HOLD_MAX 4094
#define DP_HOLD_SHARE(all) (((all) + 3) / 4)

#define DP_PORT_MAX 4096                 /* port numbers are 1 .. DP_PORT_MAX-1; 0 = none */

enum dp_op_type {
    DP_SYNC_BEGIN,                       /* what follows is the whole wanted state ... */
    DP_SYNC_END,                         /* ... delete what was not named since BEGIN (K15) */
    DP_PORT_SET, DP_PORT_DEL,
    DP_VN_SET, DP_VN_DEL,
    DP_VAP_SET, DP_VAP_DEL,
    DP_VSI_SET, DP_VSI_DEL,
    DP_FDB_SET, DP_FDB_DEL,
    DP_NEIGH_SET, DP_NEIGH_DEL,
    DP_MEMBER_SET, DP_MEMBER_DEL,
    DP_NEG_SET, DP_NEG_DEL,
    DP_HOLD_SET, DP_HOLD_DEL,            /* frames for a VM that is on its way (K12, D6) */
    DP_FRAME,
    DP_N_OPS
};
enum dp_native { NATIVE_DROP, NATIVE_PASS, NATIVE_VN };            /* K9 */
enum dp_arp_policy { ARP_SUPPRESS, ARP_FLOOD, ARP_OWN_MAC, ARP_TRANSLATE };  /* per VN */
enum dp_fdb_kind { FDB_LOCAL, FDB_REMOTE, FDB_RELAY };             /* RELAY: tombstone, D1 */

struct dp_op {
    uint8_t type;                        /* enum dp_op_type */
    uint32_t id;                         /* 0: nobody waits for completion */
    union {
        struct {                         /* a server port: program attached, K9 policies */
            uint32_t port;
            uint8_t native;              /* enum dp_native */
            uint32_t native_vni;         /* with NATIVE_VN: untagged frames belong to it */
        } port;
        struct {
            uint32_t vni;
            uint8_t arp;                 /* enum dp_arp_policy */
            uint32_t mtu;                /* largest tenant IP packet */
            uint32_t bum_pps, bum_burst; /* limit per VSI for BUM frames; 0: none */
        } vn;
        struct {                         /* (port, vid) -> VN */
            uint32_t port, vni;
            uint16_t vid;                /* 0 = untagged */
            uint8_t wildcard;            /* any source MAC is admitted and reported (K2) */
            uint8_t reflect;             /* reflective relay negotiated (K10) */
            uint8_t flood;               /* an active VSI stands here: send it BUM frames */
            uint8_t pcp;                 /* priority of BUM frames sent out of this VAP */
        } vap;
        struct {                         /* admission of (port, vid, source MAC) */
            uint32_t port, vni, vsi;     /* vsi: number for counters and limits */
            uint16_t vid;
            struct mac mac;
            uint8_t active;              /* 0: installed but nothing passes (PREASSOC, SUSP, EMIG) */
            uint8_t pcp;                 /* PCP of the frames sent to the VM */
        } vsi;
        struct {                         /* (vni, mac) -> place */
            uint32_t vni;
            struct mac mac;
            uint8_t kind;                /* enum dp_fdb_kind */
            uint8_t pcp;                 /* LOCAL */
            uint16_t vid;                /* LOCAL */
            uint32_t port;               /* LOCAL */
            struct ip vtep;              /* REMOTE, RELAY */
        } fdb;
        struct {                         /* (vni, ip) -> mac, for ARP and ND answers */
            uint32_t vni;
            struct ip ip;
            struct mac mac;
            uint8_t router;              /* NA is sent with the R flag (RFC 4861 7.2.4) */
        } neigh;
        struct {                         /* replication list of a VN; also the set of known VTEPs (K11) */
            uint32_t vni;                /* 0: known VTEP only */
            struct ip vtep;
        } member;
        struct {                         /* negative answer remembered; expires by itself */
            uint32_t vni;
            struct mac mac;              /* when ip is none */
            struct ip ip;
            uint64_t hold_us;
        } neg;
        struct {                         /* (vni, mac): from SET on, unicast frames for it that come
                                          * from the overlay, or that the FDB would send to a local
                                          * VAP or relay, wait in one queue; what the FDB sends to a
                                          * remote owner goes on. A full queue drops its oldest. */
            uint32_t vni;
            struct mac mac;
            uint8_t drain;               /* DEL: 1 = release in order to where the FDB says by then,
                                          * and later frames behind them (D6); 0 = drop what waits */
            uint32_t frames, octets;     /* SET: limits; frames 0 = nothing is kept, all dropped */
            uint64_t max_us;             /* SET: the longest that a frame waits */
        } hold;
        struct {                         /* send one Ethernet frame (without tag, without FCS) */
            uint32_t port;               /* != 0: out of (port, vid); else into the overlay ... */
            uint16_t vid;
            uint8_t pcp;
            uint32_t vni;                /* ... as if an admitted VSI of this VN had sent it */
            const uint8_t *p;
            uint16_t size;
        } frame;
    } u;
};

enum dp_event_type {
    DP_EV_MISS_MAC,                      /* unicast to an unknown MAC */
    DP_EV_MISS_IP,                       /* ARP request or NS for an unknown target */
    DP_EV_LEARN,                         /* new source MAC behind a wildcard VAP */
    DP_EV_SNOOP,                         /* ARP, ND or DHCP whose sender address is not known (K8) */
    DP_EV_ND,                            /* Neighbor Solicitation that needs a person in core (K14) */
    DP_EV_NATIVE,                        /* reserved for untagged policies */
    DP_EV_RELAYED,                       /* first frames relayed of (ip = sender's VTEP, vni, dst):
                                          * that NVE is to ask again (D5); rate limited */
    DP_EV_ASTRAY,                        /* the same of frames that have no place here and no
                                          * tombstone (F11): dropped, that NVE is to ask */
    DP_EV_HELD,                          /* the hold of (vni, dst) has ended: frames, dropped */
    DP_N_EVENTS
};
struct dp_event {
    uint8_t type;                        /* enum dp_event_type */
    uint32_t port, vni;
    uint16_t vid;
    struct mac src, dst;
    struct ip ip;                        /* target of MISS_IP */
    uint64_t frames, dropped;            /* HELD: sent on in order, and not */
    const uint8_t *frame;                /* the frame without tag, borrowed; may be NULL */
    uint16_t size;
};

/* Reasons of drops, the same in the data plane, the counters and the man page. */
#define DP_COUNTERS(X)                                                                  \
    X(RX_PORT, "rx_port", "frames taken from server ports")                             \
    X(RX_OVERLAY, "rx_overlay", "frames taken from the overlay")                        \
    X(TX_PORT, "tx_port", "frames sent to server ports")                                \
    X(TX_OVERLAY, "tx_overlay", "frames sent into the overlay")                         \
    X(LOCAL, "local", "frames switched between local VSIs")                             \
    X(REFLECTED, "reflected", "frames sent back to their port by reflective relay")     \
    X(ARP_ANSWERED, "arp_answered", "ARP requests answered at the edge")                \
    X(ND_ANSWERED, "nd_answered", "Neighbor Solicitations answered at the edge")        \
    X(ARP_FLOODED, "arp_flooded", "ARP requests and Neighbor Solicitations replicated") \
    X(BUM, "bum", "broadcast, unknown and multicast frames replicated")                 \
    X(BUM_COPIES, "bum_copies", "copies made by replication")                           \
    X(RELAYED, "relayed", "frames relayed to a VM's new NVE")                           \
    X(HELD, "held", "frames kept for a VM that is on its way (K12)")                    \
    X(RELEASED, "released", "kept frames sent on, in order")                            \
    X(NATIVE_PASSED, "native_passed", "untagged frames handed to this host's stack")    \
    X(SIGNALLING, "signalling", "ECP and LLDP frames handed to the daemon")             \
    X(ABSORBED, "absorbed", "ARP and ND that needed neither answer nor flooding (K18)") \
    X(DROP_NO_VAP, "drop_no_vap", "no VN behind this port and tag")                     \
    X(DROP_SPOOF, "drop_spoof", "source MAC not admitted behind this port and tag")     \
    X(DROP_INACTIVE, "drop_inactive", "VSI is not active")                              \
    X(DROP_SIGNALLING, "drop_signalling", "ECP or LLDP in a tagged frame (K9)")         \
    X(DROP_SECOND_TAG, "drop_second_tag", "second VLAN tag (K18)")                      \
    X(DROP_NATIVE, "drop_native", "untagged frame refused by the port's policy")        \
    X(DROP_UNKNOWN_MAC, "drop_unknown_mac", "destination MAC unknown, asked for")       \
    X(DROP_UNKNOWN_IP, "drop_unknown_ip", "ARP or ND target unknown, asked for")        \
    X(DROP_NEGATIVE, "drop_negative", "destination known not to exist")                 \
    X(DROP_VTEP, "drop_vtep", "tunnel endpoint not known (K11)")                        \
    X(DROP_NO_VN, "drop_no_vn", "VNI not known here")                                   \
    X(DROP_SPLIT, "drop_split", "overlay to overlay without a tombstone (D1)")          \
    X(DROP_HAIRPIN, "drop_hairpin", "would go back to its port, no reflective relay")   \
    X(DROP_HELD, "drop_held", "kept too long, too many, or for a VM that did not come") \
    X(DROP_TTL, "drop_ttl", "outer TTL used up by relaying")                            \
    X(DROP_MTU, "drop_mtu", "larger than the VN's MTU")                                 \
    X(DROP_RATE, "drop_rate", "BUM rate limit of the VSI")                              \
    X(DROP_BAD_FRAME, "drop_bad_frame", "frame too short or malformed")                 \
    X(DROP_RESERVED, "drop_reserved", "link-local group address (01-80-C2-00-00-0X)")   \
    X(DROP_ERROR, "drop_error", "kernel refused an operation")
enum dp_counter {
#define X(sym, name, help) DPC_##sym,
    DP_COUNTERS(X)
#undef X
    DPC_N
};
const char *dp_counter_name(unsigned c);
const char *dp_counter_help(unsigned c);
const char *dp_op_str(uint8_t type);
#endif
