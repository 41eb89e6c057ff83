/* SPDX-License-Identifier: Apache-2.0 */
/* How it works. Every request asks for an acknowledgement, so a reply ends with
 * NLMSG_ERROR (0 or -errno, with the kernel's own words by NETLINK_EXT_ACK) or, for a
 * dump, NLMSG_DONE. Dumps are collected before they are shown: one that was interrupted
 * by a change (NLM_F_DUMP_INTR) is repeated and nobody sees a row twice. */
#include "host/netlink_int.h"
#include "base/mem.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#define DUMP_TRIES 10

_Static_assert(NETLINK_NAME == IFNAMSIZ, "name size of the kernel");

/* ---- requests ---- */

struct nlmsghdr *
netlink_request_new(struct netlink *n, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *nlh = mnl_nlmsg_put_header(n->buf);
    nlh->nlmsg_type = type;
    nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    nlh->nlmsg_seq = ++n->seq;
    return nlh;
}

static void
keep_kernel_text(struct netlink *n, const struct nlmsghdr *nlh)
{
    const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);
    const struct nlattr *attr;
    size_t skip = sizeof(*e);

    if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
        return;
    if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
        skip += mnl_nlmsg_get_payload_len(&e->msg);
    mnl_attr_for_each(attr, nlh, skip)
    {
        if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG)
            snprintf(n->kernel_text, sizeof(n->kernel_text), " (%.*s)",
                (int)strnlen(
                    mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr)),
                (const char *)mnl_attr_get_payload(attr));
    }
}

int
netlink_request_run(
    struct netlink *n, void (*on)(void *, const struct nlmsghdr *), void *ctx)
{
    struct nlmsghdr *nlh = (struct nlmsghdr *)n->buf;
    uint32_t seq = nlh->nlmsg_seq;
    bool interrupted = false;

    n->kernel_text[0] = 0;
    if (mnl_socket_sendto(n->requests, nlh, nlh->nlmsg_len) < 0)
        return -errno;
    for (;;) {
        ssize_t got = mnl_socket_recvfrom(n->requests, n->buf, sizeof(n->buf));
        int left = (int)got;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        for (nlh = (struct nlmsghdr *)n->buf; mnl_nlmsg_ok(nlh, left);
             nlh = mnl_nlmsg_next(nlh, &left)) {
            if (nlh->nlmsg_seq != seq)
                continue;
            interrupted |= (nlh->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
            if (nlh->nlmsg_type == NLMSG_ERROR) {
                const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);
                keep_kernel_text(n, nlh);
                return e->error;
            }
            if (nlh->nlmsg_type == NLMSG_DONE)
                return interrupted ? -EAGAIN : 0;
            if (on)
                on(ctx, nlh);
        }
    }
}

int
netlink_open(struct netlink **out, struct host_err *err)
{
    struct netlink *n = mem_alloc(sizeof(*n));
    int on = 1, size = 1 << 20, rc = 0;
    unsigned groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;

    *out = NULL;
    n->requests = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    n->monitor = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (!n->requests || !n->monitor ||
        mnl_socket_bind(n->requests, 0, MNL_SOCKET_AUTOPID) < 0 ||
        mnl_socket_bind(n->monitor, groups, MNL_SOCKET_AUTOPID) < 0) {
        rc = host_fail(err, -errno, "netlink: cannot open a socket: %m");
        netlink_close(n);
        return rc;
    }
    /* Both are comforts: shorter texts and an earlier resync without them. */
    mnl_socket_setsockopt(n->requests, NETLINK_EXT_ACK, &on, sizeof(on));
    setsockopt(
        mnl_socket_get_fd(n->monitor), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    *out = n;
    return 0;
}

void
netlink_close(struct netlink *n)
{
    if (!n)
        return;
    if (n->requests)
        mnl_socket_close(n->requests);
    if (n->monitor)
        mnl_socket_close(n->monitor);
    mem_free(n);
}

/* ---- decoding ---- */

static uint32_t
attr_u32(const struct nlattr *a)
{
    uint32_t v = 0;
    memcpy(&v, mnl_attr_get_payload(a),
        mnl_attr_get_payload_len(a) < 4 ? mnl_attr_get_payload_len(a) : 4);
    return v;
}

static void
attr_name(const struct nlattr *a, char name[NETLINK_NAME])
{
    size_t size = mnl_attr_get_payload_len(a);
    size = size < NETLINK_NAME - 1 ? size : NETLINK_NAME - 1;
    memcpy(name, mnl_attr_get_payload(a), size);
    name[size] = 0;
}

static bool
attr_ip(const struct nlattr *a, struct ip *ip)
{
    const uint8_t *p = mnl_attr_get_payload(a);
    uint16_t size = mnl_attr_get_payload_len(a);
    if (size == 4)
        *ip = ip_v4(
            (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]);
    else if (size == 16)
        memcpy(ip->b, p, 16);
    return size == 4 || size == 16;
}

static void
vxlan_decode(struct netlink_link *l, const struct nlattr *data)
{
    const struct nlattr *a;

    mnl_attr_for_each_nested(a, data)
    {
        const uint8_t *p = mnl_attr_get_payload(a);
        uint16_t size = mnl_attr_get_payload_len(a);
        switch (mnl_attr_get_type(a)) {
        case IFLA_VXLAN_ID:
            l->vxlan_vni = attr_u32(a);
            break;
        case IFLA_VXLAN_PORT:
            if (size == 2)
                l->vxlan_port = (uint16_t)(p[0] << 8 | p[1]);
            break;
        case IFLA_VXLAN_LEARNING:
            l->vxlan_learning = size && p[0];
            break;
        case IFLA_VXLAN_COLLECT_METADATA:
            l->vxlan_external = size && p[0];
            break;
        }
    }
}

static bool
link_decode(struct netlink_link *l, const struct nlmsghdr *nlh)
{
    const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
    const struct nlattr *a, *b, *info = NULL, *data = NULL;

    memset(l, 0, sizeof(*l));
    /* Other families tell of the port of a bridge: its DELLINK is no end of the device.
     */
    if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifi) || ifi->ifi_family != AF_UNSPEC)
        return false;
    l->ifindex = (uint32_t)ifi->ifi_index;
    l->flags = ifi->ifi_flags;
    l->up = ifi->ifi_flags & IFF_UP;
    l->carrier = ifi->ifi_flags & IFF_LOWER_UP;
    l->netnsid = -1;
    mnl_attr_for_each(a, nlh, sizeof(*ifi))
    {
        switch (mnl_attr_get_type(a)) {
        case IFLA_IFNAME:
            attr_name(a, l->name);
            break;
        case IFLA_QDISC:
            attr_name(a, l->qdisc);
            break;
        case IFLA_MTU:
            l->mtu = attr_u32(a);
            break;
        case IFLA_TXQLEN:
            l->queue = attr_u32(a);
            break;
        case IFLA_MASTER:
            l->master = attr_u32(a);
            break;
        case IFLA_LINK:
            l->lower = attr_u32(a);
            break;
        case IFLA_LINK_NETNSID:
            l->netnsid = (int32_t)attr_u32(a);
            break;
        case IFLA_PROMISCUITY:
            l->promiscuity = attr_u32(a);
            break;
        case IFLA_ADDRESS:
            if (mnl_attr_get_payload_len(a) == sizeof(l->mac))
                memcpy(&l->mac, mnl_attr_get_payload(a), sizeof(l->mac));
            break;
        case IFLA_LINKINFO:
            info = a;
            break;
        }
    }
    if (info) {
        mnl_attr_for_each_nested(b, info)
        {
            if (mnl_attr_get_type(b) == IFLA_INFO_KIND)
                attr_name(b, l->kind);
            else if (mnl_attr_get_type(b) == IFLA_INFO_DATA)
                data = b;
        }
    }
    if (data && strcmp(l->kind, "vxlan") == 0)
        vxlan_decode(l, data);
    return true;
}

static bool
addr_decode(struct netlink_addr *d, const struct nlmsghdr *nlh)
{
    const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
    const struct nlattr *a;
    bool have = false, local = false;

    memset(d, 0, sizeof(*d));
    if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifa))
        return false;
    d->ifindex = ifa->ifa_index;
    d->prefix_len = ifa->ifa_prefixlen;
    mnl_attr_for_each(a, nlh, sizeof(*ifa))
    {
        /* On a point-to-point link IFA_ADDRESS is the peer's and IFA_LOCAL ours. */
        if (mnl_attr_get_type(a) == IFA_LOCAL)
            have = local = attr_ip(a, &d->ip);
        else if (mnl_attr_get_type(a) == IFA_ADDRESS && !local)
            have = attr_ip(a, &d->ip);
    }
    return have;
}

/* ---- dumps ---- */

struct rows {
    void *items;
    size_t item_size;
    uint32_t n, cap;
};

static void *
rows_add(struct rows *r)
{
    if (r->n == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 16;
        r->items = mem_grow(r->items, r->cap * r->item_size);
    }
    return (uint8_t *)r->items + r->n++ * r->item_size;
}

static void
on_link(void *ctx, const struct nlmsghdr *nlh)
{
    struct rows *r = ctx;
    if (nlh->nlmsg_type == RTM_NEWLINK && !link_decode(rows_add(r), nlh))
        r->n--;
}

static void
on_addr(void *ctx, const struct nlmsghdr *nlh)
{
    struct rows *r = ctx;
    if (nlh->nlmsg_type == RTM_NEWADDR && !addr_decode(rows_add(r), nlh))
        r->n--;
}

struct nlmsghdr *
netlink_link_request(struct netlink *n, uint16_t type, uint16_t flags, uint32_t ifindex)
{
    struct nlmsghdr *nlh = netlink_request_new(n, type, flags);
    struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
    ifi->ifi_index = (int)ifindex;
    return nlh;
}

static int
dump(struct netlink *n, bool links, struct rows *rows, struct host_err *err)
{
    int rc, tries = 0;

    do {
        rows->n = 0;
        if (links) {
            struct nlmsghdr *nlh = netlink_link_request(n, RTM_GETLINK, NLM_F_DUMP, 0);
            mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        } else {
            struct nlmsghdr *nlh = netlink_request_new(n, RTM_GETADDR, NLM_F_DUMP);
            mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifaddrmsg));
        }
        rc = netlink_request_run(n, links ? on_link : on_addr, rows);
    } while (rc == -EAGAIN && ++tries < DUMP_TRIES);
    if (rc < 0)
        return host_fail(err, rc, "netlink: cannot list %s: %m%s",
            links ? "the links" : "the addresses", n->kernel_text);
    return 0;
}

int
netlink_each_link(struct netlink *n, bool (*each)(void *, const struct netlink_link *),
    void *ctx, struct host_err *err)
{
    struct rows rows = {.item_size = sizeof(struct netlink_link)};
    int rc = dump(n, true, &rows, err);
    struct netlink_link *l = rows.items;

    for (uint32_t i = 0; rc == 0 && i < rows.n; i++)
        if (!each(ctx, &l[i]))
            break;
    mem_free(rows.items);
    return rc;
}

int
netlink_each_addr(struct netlink *n, bool (*each)(void *, const struct netlink_addr *),
    void *ctx, struct host_err *err)
{
    struct rows rows = {.item_size = sizeof(struct netlink_addr)};
    int rc = dump(n, false, &rows, err);
    struct netlink_addr *a = rows.items;

    for (uint32_t i = 0; rc == 0 && i < rows.n; i++)
        if (!each(ctx, &a[i]))
            break;
    mem_free(rows.items);
    return rc;
}

int
netlink_get(
    struct netlink *n, const char *name, uint32_t ifindex, struct netlink_link *link)
{
    struct rows rows = {.item_size = sizeof(struct netlink_link)};
    struct nlmsghdr *nlh = netlink_link_request(n, RTM_GETLINK, 0, ifindex);
    if (name)
        mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
    mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    int rc = netlink_request_run(n, on_link, &rows);
    if (rc == 0 && rows.n == 0)
        rc = -ENODEV;
    if (rc == 0)
        *link = *(struct netlink_link *)rows.items;
    mem_free(rows.items);
    return rc;
}

int
netlink_find(struct netlink *n, const char *name, struct netlink_link *link,
    struct host_err *err)
{
    int rc =
        *name && strlen(name) < NETLINK_NAME ? netlink_get(n, name, 0, link) : -ENODEV;
    if (rc < 0)
        return host_fail(err, rc,
            "interface %s: %m%s; `ip link` shows what is there, in this network "
            "namespace",
            name, rc == -ENODEV ? "" : n->kernel_text);
    return 0;
}

int
netlink_find_index(struct netlink *n, uint32_t ifindex, struct netlink_link *link,
    struct host_err *err)
{
    int rc = ifindex ? netlink_get(n, NULL, ifindex, link) : -ENODEV;
    if (rc < 0)
        return host_fail(
            err, rc, "interface number %u: %m; it may have been re-created", ifindex);
    return 0;
}

int
netlink_is_local(
    struct netlink *n, const struct ip *ip, uint32_t *ifindex, struct host_err *err)
{
    struct rows rows = {.item_size = sizeof(struct netlink_addr)};
    int rc = dump(n, false, &rows, err);
    struct netlink_addr *a = rows.items;

    for (uint32_t i = 0; rc == 0 && i < rows.n; i++) {
        if (ip_equal(&a[i].ip, ip)) {
            if (ifindex)
                *ifindex = a[i].ifindex;
            rc = 1;
        }
    }
    mem_free(rows.items);
    return rc;
}

/* ---- routes ---- */

static void
on_route(void *ctx, const struct nlmsghdr *nlh)
{
    struct netlink_route *r = ctx;
    const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
    const struct nlattr *a, *m;

    if (nlh->nlmsg_type != RTM_NEWROUTE ||
        mnl_nlmsg_get_payload_len(nlh) < sizeof(*rtm))
        return;
    memset(r, 0, sizeof(*r));
    r->local = rtm->rtm_type == RTN_LOCAL;
    if (rtm->rtm_type != RTN_UNICAST && !r->local)
        return; /* unreachable, blackhole: ifindex stays 0 */
    mnl_attr_for_each(a, nlh, sizeof(*rtm))
    {
        switch (mnl_attr_get_type(a)) {
        case RTA_OIF:
            r->ifindex = attr_u32(a);
            break;
        case RTA_GATEWAY:
            attr_ip(a, &r->gateway);
            break;
        case RTA_PREFSRC:
            attr_ip(a, &r->source);
            break;
        case RTA_METRICS:
            mnl_attr_for_each_nested(m, a)
            {
                if (mnl_attr_get_type(m) == RTAX_MTU)
                    r->mtu = attr_u32(m);
            }
            break;
        }
    }
}

int
netlink_route_to(struct netlink *n, const struct ip *to, struct netlink_route *route,
    struct host_err *err)
{
    struct nlmsghdr *nlh = netlink_request_new(n, RTM_GETROUTE, 0);
    struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
    struct netlink_link link;
    char text[IP_STR];

    memset(route, 0, sizeof(*route));
    if (ip_is_v4(to)) {
        rtm->rtm_family = AF_INET;
        rtm->rtm_dst_len = 32;
        mnl_attr_put(nlh, RTA_DST, 4, to->b + 12);
    } else {
        rtm->rtm_family = AF_INET6;
        rtm->rtm_dst_len = 128;
        mnl_attr_put(nlh, RTA_DST, 16, to->b);
    }
    int rc = netlink_request_run(n, on_route, route);
    if (rc == 0 && route->ifindex == 0)
        rc = -EHOSTUNREACH;
    if (rc == 0)
        rc = netlink_get(n, NULL, route->ifindex, &link);
    if (rc < 0)
        return host_fail(err, rc, "no route to %s: %m%s; check the underlay's routing",
            ip_str(to, text), n->kernel_text);
    if (route->mtu == 0 || route->mtu > link.mtu)
        route->mtu = link.mtu;
    return 0;
}

/* ---- monitor ---- */

int
netlink_monitor_fd(const struct netlink *n)
{
    return mnl_socket_get_fd(n->monitor);
}

static bool
event_decode(struct netlink_event *ev, const struct nlmsghdr *nlh)
{
    memset(ev, 0, sizeof(*ev));
    switch (nlh->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
        ev->type =
            nlh->nlmsg_type == RTM_NEWLINK ? NETLINK_LINK_SET : NETLINK_LINK_GONE;
        return link_decode(&ev->link, nlh);
    case RTM_NEWADDR:
    case RTM_DELADDR:
        ev->type =
            nlh->nlmsg_type == RTM_NEWADDR ? NETLINK_ADDR_ADDED : NETLINK_ADDR_GONE;
        return addr_decode(&ev->addr, nlh);
    }
    return false;
}

int
netlink_monitor_next(struct netlink *n, struct netlink_event *ev, struct host_err *err)
{
    for (;;) {
        while (n->mon_left > 0 && mnl_nlmsg_ok(n->mon_next, n->mon_left)) {
            const struct nlmsghdr *nlh = n->mon_next;
            n->mon_next = mnl_nlmsg_next(n->mon_next, &n->mon_left);
            if (event_decode(ev, nlh))
                return 1;
        }
        ssize_t got = mnl_socket_recvfrom(n->monitor, n->mon_buf, sizeof(n->mon_buf));
        n->mon_left = got > 0 ? (int)got : 0;
        n->mon_next = (struct nlmsghdr *)n->mon_buf;
        if (got > 0 || (got < 0 && errno == EINTR))
            continue;
        if (got < 0 && (errno == ENOBUFS || errno == ENOSPC)) {
            memset(ev, 0, sizeof(*ev));
            ev->type = NETLINK_RESYNC;
            return 1;
        }
        if (got == 0 || errno == EAGAIN)
            return 0;
        return host_fail(err, -errno, "netlink: cannot read events: %m");
    }
}
