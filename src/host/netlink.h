/* SPDX-License-Identifier: Apache-2.0 */
/* Links, addresses and routes of the kernel by rtnetlink (libmnl). Requests are
 * synchronous (they answer in microseconds; used at start and on events); changes come
 * by a second socket whose fd the loop watches. All in the network namespace of the
 * thread that called netlink_open. 0 or -errno; `err` says what, where and what to do
 * next. */
#ifndef BERTH_HOST_NETLINK_H
#define BERTH_HOST_NETLINK_H
#include "host/error.h"
#include "wire/addr.h"

#define NETLINK_NAME 16 /* IFNAMSIZ */
struct netlink_link {
    uint32_t ifindex, mtu;
    uint32_t queue;       /* frames that may wait to be sent; of a tap, to be read */
    uint32_t flags;       /* IFF_*; up: IFF_UP */
    uint32_t master;      /* ifindex of the bridge, bond, VRF; 0 = none */
    uint32_t lower;       /* IFLA_LINK; veth: the peer's ifindex */
    int32_t netnsid;      /* IFLA_LINK_NETNSID of the peer, -1 = none */
    uint32_t promiscuity; /* users of promiscuous mode */
    struct mac mac;
    bool up, carrier;
    bool vxlan_external, vxlan_learning; /* valid when kind is "vxlan" */
    uint16_t vxlan_port;                 /* UDP destination port, host order */
    uint32_t vxlan_vni;
    char name[NETLINK_NAME], kind[NETLINK_NAME], qdisc[NETLINK_NAME];
};
struct netlink_addr {
    struct ip ip;
    uint32_t ifindex;
    uint8_t prefix_len; /* of the family: 0..32 or 0..128 */
};
struct netlink_route {
    uint32_t ifindex, mtu;     /* egress; the smaller of link MTU and route MTU */
    bool local;                /* the address is one of this host */
    struct ip gateway, source; /* none when absent */
};
enum netlink_event_type {
    NETLINK_LINK_SET, /* .link is new or has changed */
    NETLINK_LINK_GONE,
    NETLINK_ADDR_ADDED,
    NETLINK_ADDR_GONE,
    NETLINK_RESYNC /* events were lost (ENOBUFS): dump again */
};
struct netlink_event {
    enum netlink_event_type type;
    struct netlink_link link;
    struct netlink_addr addr;
};
struct netlink_vxlan { /* the tunnel device wanted (K11, K21); serves IPv4 and IPv6 */
    const char *name;
    uint16_t port;
    uint32_t mtu; /* 0: leave the kernel's choice */
};

struct netlink;
int netlink_open(struct netlink **n, struct host_err *err);
void netlink_close(struct netlink *n);

/* Monitor: poll the fd for reading, then call next until it returns 0 (1 = an event).
 */
int netlink_monitor_fd(const struct netlink *n);
int netlink_monitor_next(
    struct netlink *n, struct netlink_event *ev, struct host_err *err);

/* `each` returns false to stop early. It sees a copy: other calls on `n` are fine. */
int netlink_each_link(struct netlink *n,
    bool (*each)(void *, const struct netlink_link *), void *ctx, struct host_err *err);
int netlink_each_addr(struct netlink *n,
    bool (*each)(void *, const struct netlink_addr *), void *ctx, struct host_err *err);
int netlink_find(struct netlink *n, const char *name, struct netlink_link *link,
    struct host_err *err); /* -ENODEV */
int netlink_find_index(struct netlink *n, uint32_t ifindex, struct netlink_link *link,
    struct host_err *err);
int netlink_is_local(struct netlink *n, const struct ip *ip, uint32_t *ifindex,
    struct host_err *err); /* 1 local (ifindex may be NULL), 0 not, -errno */
int netlink_route_to(struct netlink *n, const struct ip *to,
    struct netlink_route *route,
    struct host_err *err); /* -ENETUNREACH, -EHOSTUNREACH ... */

int netlink_set_up(struct netlink *n, uint32_t ifindex, bool up, struct host_err *err);
int netlink_set_mtu(
    struct netlink *n, uint32_t ifindex, uint32_t mtu, struct host_err *err);
int netlink_set_queue(
    struct netlink *n, uint32_t ifindex, uint32_t frames, struct host_err *err);
/* K9. A flag of the interface, as `ip link set promisc`: unlike a packet membership it
 * outlives the daemon, so that the pinned data plane goes on taking frames (K15). */
int netlink_set_promisc(
    struct netlink *n, uint32_t ifindex, bool on, struct host_err *err);
int netlink_delete(struct netlink *n, uint32_t ifindex, struct host_err *err);

/* Brings up an external, non-learning vxlan device. One with that name and port is
 * adopted
 * (*adopted), never made anew (K21); one with another name may be somebody else's, so
 * it is not taken but named (K11): -EADDRINUSE, and the text says how to adopt it.
 * -EEXIST: the name is taken by another kind of device. Ends with
 * netlink_check_noqueue. */
int netlink_vxlan_ensure(struct netlink *n, const struct netlink_vxlan *want,
    struct netlink_link *link, bool *adopted, struct host_err *err);
/* -EBUSY unless the root qdisc is noqueue: another mixes tenants, because
 * bpf_skb_set_tunnel_key keeps the key in one per-CPU object. `kind` (may be NULL) gets
 * the name found. */
int netlink_check_noqueue(
    struct netlink *n, uint32_t ifindex, char kind[NETLINK_NAME], struct host_err *err);
/* Takes the root qdisc off, so that the device has its own again; fails like
 * netlink_check_noqueue where that one queues, too. */
int netlink_noqueue(struct netlink *n, uint32_t ifindex, struct host_err *err);
/* Best effort (K9): 1 = the device filters foreign VLANs (text says how to stop it), 0
 * = not or unknown. With `off` it first asks the driver to stop. */
int netlink_vlan_filter(
    struct netlink *n, const char *name, bool off, struct host_err *err);
#endif
