/* SPDX-License-Identifier: Apache-2.0 */
/* Programs on devices (tc_link does the attaching): which port stands on which device,
 * and the watchdog. Pins of a device that is gone are severed links; binding again
 * makes them anew (K21). */
#include "host/dp_bpf_int.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "base/log.h"
#include "host/netlink.h"
#include "host/tc_link.h"

/* A queue before the vxlan device would let frames take each other's tunnel keys, and
 * with them each other's VN. */
int
dp_link_check(struct dp_bpf *dp, uint32_t *ifindex, struct host_err *err)
{
    struct netlink_link link;
    int rc = netlink_find(dp->nl, dp->vxlan, &link, err);

    if (rc)
        return rc;
    if (strcmp(link.kind, "vxlan") || !link.vxlan_external)
        return host_fail(
            err, -ENOTSUP, "%s is not a vxlan device in external mode", dp->vxlan);
    *ifindex = link.ifindex;
    return netlink_check_noqueue(dp->nl, link.ifindex, NULL, err);
}

static void
pin_path(const struct dp_bpf *dp, const char *name, char *path, size_t size)
{
    char dir[PATH_MAX];

    snprintf(dir, sizeof(dir), "%s/links", dp->dir);
    tc_link_path(path, size, dir, "", name);
}

int
dp_attach(struct dp_bpf *dp, const char *name, uint32_t ifindex, int prog,
    struct host_err *err)
{
    char path[PATH_MAX];
    int rc;

    pin_path(dp, name, path, sizeof(path));
    rc = tc_link_attach(path, ifindex, prog, dp->no_tcx, err);
    return rc < 0 ? rc : 0;
}

void
dp_detach(struct dp_bpf *dp, const char *name, uint32_t ifindex)
{
    char path[PATH_MAX];

    pin_path(dp, name, path, sizeof(path));
    tc_link_detach(path, ifindex);
}

bool
dp_attached(struct dp_bpf *dp, const char *name, uint32_t ifindex)
{
    char path[PATH_MAX];

    pin_path(dp, name, path, sizeof(path));
    return tc_link_there(path, ifindex);
}

int
dp_attach_all(struct dp_bpf *dp)
{
    int rc = dp_attach(dp, dp->vxlan, dp->vxlan_ifindex, dp->prog_overlay, NULL), one;

    for (uint32_t i = 1; i < dp->max_ports; i++) {
        const struct dp_port *p = &dp->ports[i];

        if (!p->bound || !p->ifindex)
            continue;
        one = dp_attach(dp, p->name, p->ifindex, dp->prog_port, NULL);
        rc = rc ? rc : one;
    }
    return rc;
}

/* The policy of a port stands under the ifindex of its device. A device that was made
 * anew takes it over; the old entry goes, its number may come back as another device.
 */
static int
move_policy(struct dp_bpf *dp, uint32_t port, uint32_t ifindex)
{
    uint8_t *keys, *vals;
    uint32_t n, at;
    int rc = dp_dump(dp->fd.ports, 4, sizeof(struct nve_port), &keys, &vals, &n);

    for (uint32_t i = 0; !rc && i < n; i++) {
        const struct nve_port *p = (const void *)(vals + (size_t)i * sizeof(*p));

        memcpy(&at, keys + (size_t)i * 4, 4);
        if (p->port != port) {
            if (at == ifindex) /* that device is gone too */
                rc = dp_port_drop(dp, at);
            continue;
        }
        if (at == ifindex)
            continue;
        if (!dp->ports[port].known)
            rc = dp_port_put(dp, ifindex, p);
        if (!rc)
            rc = dp_port_drop(dp, at);
    }
    free(keys);
    free(vals);
    return rc ? rc : dp_port_write(dp, port);
}

int
dp_bpf_bind(struct dp_bpf *dp, uint32_t port, const char *name, struct host_err *err)
{
    uint32_t ifindex = if_nametoindex(name);
    struct dp_port *p;
    int rc;

    if (!port || port >= dp->max_ports || strlen(name) >= IF_NAMESIZE)
        return host_fail(err, -EINVAL, "%s: no port number %u", name, port);
    if (!ifindex)
        return host_fail(err, -ENODEV, "%s: %m", name);
    p = &dp->ports[port];
    if (name != p->name)
        snprintf(p->name, sizeof(p->name), "%s", name);
    p->ifindex = ifindex;
    p->bound = true;
    rc = netlink_set_promisc(dp->nl, ifindex, true, err);
    if (rc)
        return rc;
    rc = move_policy(dp, port, ifindex);
    if (!rc)
        rc = dp_put(dp->fd.ifindexes, &port, &ifindex, sizeof(ifindex));
    if (rc)
        return host_fail(err, rc, "%s: cannot write its port number: %m", name);
    return dp->waiting ? 0 : dp_attach(dp, name, ifindex, dp->prog_port, err);
}

int
dp_bpf_unbind(struct dp_bpf *dp, uint32_t port, const char *name)
{
    uint32_t none = 0;
    struct dp_port *p;

    if (!port || port >= dp->max_ports)
        return -EINVAL;
    p = &dp->ports[port];
    dp_detach(dp, name, if_nametoindex(name));
    if (p->ifindex)
        dp_port_drop(dp, p->ifindex);
    p->bound = false;
    p->ifindex = 0;
    return dp_put(dp->fd.ifindexes, &port, &none, sizeof(none));
}

int
dp_bpf_check(struct dp_bpf *dp, struct host_err *err)
{
    uint32_t ifindex;
    int repairs = 0, rc = dp_link_check(dp, &ifindex, err);

    if (rc == -EBUSY) { /* somebody shapes there: no VN is safe until that ends */
        log_err("dp", "dev=%s a queueing discipline there mixes tenants: taken off",
            dp->vxlan);
        rc = netlink_noqueue(dp->nl, ifindex, err);
        repairs++;
    }
    if (rc)
        return rc;
    if (ifindex != dp->vxlan_ifindex) { /* the device was made anew */
        dp->vxlan_ifindex = ifindex;
        rc = dp_floor_write(dp, dp->mtu_floor);
        repairs++;
    }
    if (dp->waiting)
        return rc ? rc : repairs;
    if (!rc && !dp_attached(dp, dp->vxlan, ifindex)) {
        rc = dp_attach(dp, dp->vxlan, ifindex, dp->prog_overlay, err);
        repairs++;
    }
    for (uint32_t i = 1; !rc && i < dp->max_ports; i++) {
        struct dp_port *p = &dp->ports[i];

        if (!p->bound)
            continue;
        ifindex = if_nametoindex(p->name);
        if (!ifindex) {
            if (p->ifindex) { /* gone: frames to it are dropped, not misled */
                p->ifindex = 0;
                rc = dp_put(dp->fd.ifindexes, &i, &ifindex, sizeof(ifindex));
            }
            continue;
        }
        if (ifindex == p->ifindex && dp_attached(dp, p->name, ifindex))
            continue;
        rc = dp_bpf_bind(dp, i, p->name, err);
        log_warn("dp", "dev=%s program put back rc=%d", p->name, rc);
        repairs++;
    }
    if (!rc) {
        rc = dp_hold_check(dp, err);
        repairs += rc > 0;
    }
    return rc < 0 ? rc : repairs;
}
