/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of netlink: requests and what they answer (netlink.c), beneath what changes
 * something (netlink_set.c). For these two files alone. */
#ifndef BERTH_HOST_NETLINK_INT_H
#define BERTH_HOST_NETLINK_INT_H
#include "host/netlink.h"
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>

#define BUF_SIZE 65536

struct netlink {
    struct mnl_socket *requests, *monitor;
    uint32_t seq;
    char kernel_text[128]; /* of the last refusal; empty when it gave none */
    char buf[BUF_SIZE];
    char mon_buf[BUF_SIZE]; /* events read and not yet given out */
    struct nlmsghdr *mon_next;
    int mon_left;
};

/* A request begins in n->buf, and asks to be acknowledged. */
struct nlmsghdr *netlink_request_new(struct netlink *n, uint16_t type, uint16_t flags);
struct nlmsghdr *netlink_link_request(
    struct netlink *n, uint16_t type, uint16_t flags, uint32_t ifindex);
/* Sends what stands in n->buf; `on` gets every message of the reply. 0 or -errno;
 * -EAGAIN: a dump was interrupted. */
int netlink_request_run(
    struct netlink *n, void (*on)(void *, const struct nlmsghdr *), void *ctx);
/* By name, or by index where that is NULL. 0 or -errno; no words are said about it. */
int netlink_get(
    struct netlink *n, const char *name, uint32_t ifindex, struct netlink_link *link);
#endif
