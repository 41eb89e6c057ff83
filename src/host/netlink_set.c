/* SPDX-License-Identifier: Apache-2.0 */
/* What is changed in the kernel: links, the tunnel device, VLAN filters of cards. */
#include "host/netlink_int.h"
#include "base/mem.h"
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/sockios.h>

/* ---- changes ---- */

static const char *
name_of(struct netlink *n, uint32_t ifindex, char name[NETLINK_NAME])
{
    struct netlink_link l;
    char text[sizeof(n->kernel_text)]; /* the look-up must not lose the reason */
    memcpy(text, n->kernel_text, sizeof(text));
    snprintf(name, NETLINK_NAME, "%s",
        netlink_get(n, NULL, ifindex, &l) == 0 ? l.name : "(gone)");
    memcpy(n->kernel_text, text, sizeof(text));
    return name;
}

static int
set_flag(struct netlink *n, uint32_t ifindex, uint32_t flag, bool on)
{
    struct nlmsghdr *nlh = netlink_link_request(n, RTM_NEWLINK, 0, ifindex);
    struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
    ifi->ifi_change = flag;
    ifi->ifi_flags = on ? flag : 0;
    return netlink_request_run(n, NULL, NULL);
}

int
netlink_set_up(struct netlink *n, uint32_t ifindex, bool up, struct host_err *err)
{
    char name[NETLINK_NAME];
    int rc = set_flag(n, ifindex, IFF_UP, up);
    if (rc < 0)
        return host_fail(err, rc, "interface %s: cannot set it %s: %m%s",
            name_of(n, ifindex, name), up ? "up" : "down", n->kernel_text);
    return 0;
}

int
netlink_set_promisc(struct netlink *n, uint32_t ifindex, bool on, struct host_err *err)
{
    char name[NETLINK_NAME];
    int rc = set_flag(n, ifindex, IFF_PROMISC, on);
    if (rc < 0)
        return host_fail(err, rc, "interface %s: cannot set promiscuous mode: %m%s",
            name_of(n, ifindex, name), n->kernel_text);
    return 0;
}

int
netlink_set_mtu(struct netlink *n, uint32_t ifindex, uint32_t mtu, struct host_err *err)
{
    struct nlmsghdr *nlh = netlink_link_request(n, RTM_NEWLINK, 0, ifindex);
    char name[NETLINK_NAME];
    mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
    int rc = netlink_request_run(n, NULL, NULL);
    if (rc < 0)
        return host_fail(err, rc, "interface %s: cannot set MTU %u: %m%s",
            name_of(n, ifindex, name), mtu, n->kernel_text);
    return 0;
}

int
netlink_set_queue(
    struct netlink *n, uint32_t ifindex, uint32_t frames, struct host_err *err)
{
    struct nlmsghdr *nlh = netlink_link_request(n, RTM_NEWLINK, 0, ifindex);
    char name[NETLINK_NAME];
    mnl_attr_put_u32(nlh, IFLA_TXQLEN, frames);
    int rc = netlink_request_run(n, NULL, NULL);
    if (rc < 0)
        return host_fail(err, rc, "interface %s: cannot set a queue of %u frames: %m%s",
            name_of(n, ifindex, name), frames, n->kernel_text);
    return 0;
}

int
netlink_delete(struct netlink *n, uint32_t ifindex, struct host_err *err)
{
    char name[NETLINK_NAME];
    netlink_link_request(n, RTM_DELLINK, 0, ifindex);
    int rc = netlink_request_run(n, NULL, NULL);
    if (rc < 0)
        return host_fail(err, rc, "interface %s: cannot delete: %m%s",
            name_of(n, ifindex, name), n->kernel_text);
    return 0;
}

int
netlink_check_noqueue(
    struct netlink *n, uint32_t ifindex, char kind[NETLINK_NAME], struct host_err *err)
{
    struct netlink_link l;
    int rc = netlink_find_index(n, ifindex, &l, err);

    if (rc < 0)
        return rc;
    if (kind)
        memcpy(kind, l.qdisc, NETLINK_NAME);
    if (strcmp(l.qdisc, "noqueue") == 0 || !l.up) /* down: it shows "noop" */
        return 0;
    return host_fail(err, -EBUSY,
        "interface %s: queueing discipline %s would mix tenants; "
        "`tc qdisc replace dev %s root noqueue`, and shape on the uplink instead",
        l.name, l.qdisc, l.name);
}

int
netlink_noqueue(struct netlink *n, uint32_t ifindex, struct host_err *err)
{
    struct nlmsghdr *nlh = netlink_request_new(n, RTM_DELQDISC, 0);
    struct tcmsg *tc = mnl_nlmsg_put_extra_header(nlh, sizeof(*tc));
    char name[NETLINK_NAME];
    int rc;

    tc->tcm_ifindex = (int)ifindex;
    tc->tcm_parent = TC_H_ROOT;
    rc = netlink_request_run(n, NULL, NULL);
    if (rc < 0)
        return host_fail(err, rc,
            "interface %s: cannot remove its queueing discipline: %m%s",
            name_of(n, ifindex, name), n->kernel_text);
    return netlink_check_noqueue(n, ifindex, NULL, err);
}

/* ---- the tunnel device ---- */

static int
vxlan_create(struct netlink *n, const struct netlink_vxlan *want, bool change)
{
    struct nlmsghdr *nlh =
        netlink_link_request(n, RTM_NEWLINK, change ? 0 : NLM_F_CREATE | NLM_F_EXCL, 0);
    mnl_attr_put_strz(nlh, IFLA_IFNAME, want->name);
    if (want->mtu && !change)
        mnl_attr_put_u32(nlh, IFLA_MTU, want->mtu);
    struct nlattr *info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
    mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "vxlan");
    struct nlattr *data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
    if (!change) {
        uint8_t port[2] = {(uint8_t)(want->port >> 8), (uint8_t)want->port};
        mnl_attr_put_u8(nlh, IFLA_VXLAN_COLLECT_METADATA, 1);
        mnl_attr_put(nlh, IFLA_VXLAN_PORT, sizeof(port), port);
    }
    mnl_attr_put_u8(nlh, IFLA_VXLAN_LEARNING, 0);
    mnl_attr_nest_end(nlh, data);
    mnl_attr_nest_end(nlh, info);
    return netlink_request_run(n, NULL, NULL);
}

struct vxlan_scan {
    const struct netlink_vxlan *want;
    struct netlink_link same_name, same_port;
};

static bool
vxlan_scan_link(void *ctx, const struct netlink_link *l)
{
    struct vxlan_scan *s = ctx;
    if (strcmp(l->name, s->want->name) == 0)
        s->same_name = *l;
    else if (strcmp(l->kind, "vxlan") == 0 && l->vxlan_port == s->want->port)
        s->same_port = *l;
    return true;
}

/* Says who is in the way, and 0 when nobody is. */
static int
vxlan_conflict(const struct vxlan_scan *s, struct host_err *err)
{
    const struct netlink_link *l = &s->same_name, *p = &s->same_port;
    const struct netlink_vxlan *want = s->want;

    if (l->ifindex && strcmp(l->kind, "vxlan") != 0)
        return host_fail(err, -EEXIST,
            "tunnel device %s: the name belongs to a device of kind %s; configure "
            "another "
            "name",
            want->name, *l->kind ? l->kind : "physical");
    if (l->ifindex && (!l->vxlan_external || l->vxlan_port != want->port))
        return host_fail(err, -EEXIST,
            "tunnel device %s: exists%s on UDP port %u, wanted external on %u; delete "
            "it, or "
            "configure another name",
            want->name, l->vxlan_external ? " external" : " with a VNI of its own",
            l->vxlan_port, want->port);
    if (l->ifindex && l->up)
        return 0; /* ours has the port: the other one is not in the way */
    if (p->ifindex && p->vxlan_external)
        return host_fail(err, -EADDRINUSE,
            "tunnel device %s: UDP port %u belongs to the external vxlan device %s; "
            "configure that name to adopt it, or another port",
            want->name, want->port, p->name);
    if (p->ifindex)
        return host_fail(err, -EADDRINUSE,
            "tunnel device %s: UDP port %u belongs to the vxlan device %s (VNI %u); "
            "configure another port, or delete that device",
            want->name, want->port, p->name, p->vxlan_vni);
    return 0;
}

int
netlink_vxlan_ensure(struct netlink *n, const struct netlink_vxlan *want,
    struct netlink_link *link, bool *adopted, struct host_err *err)
{
    struct vxlan_scan s = {.want = want};
    bool made = false;
    int rc;

    if (!*want->name || strlen(want->name) >= NETLINK_NAME)
        return host_fail(err, -EINVAL,
            "tunnel device %s: a name has 1 to %d characters", want->name,
            NETLINK_NAME - 1);
    rc = netlink_each_link(n, vxlan_scan_link, &s, err);
    if (rc == 0)
        rc = vxlan_conflict(&s, err);
    if (rc < 0)
        return rc;
    *adopted = s.same_name.ifindex != 0;
    if (!*adopted || s.same_name.vxlan_learning) {
        rc = vxlan_create(n, want, *adopted);
        if (rc < 0)
            return host_fail(err, rc, "tunnel device %s: cannot %s: %m%s", want->name,
                *adopted ? "stop its learning" : "create", n->kernel_text);
        made = !*adopted;
    }
    rc = netlink_find(n, want->name, link, err);
    if (rc == 0 && want->mtu && link->mtu != want->mtu)
        rc = netlink_set_mtu(n, link->ifindex, want->mtu, err);
    if (rc == 0 && !link->up) {
        rc = set_flag(n, link->ifindex, IFF_UP, true);
        if (rc == -EADDRINUSE)
            host_fail(err, rc,
                "tunnel device %s: another program has UDP port %u (`ss -lunp`); "
                "configure "
                "another port",
                want->name, want->port);
        else if (rc < 0)
            host_fail(err, rc, "tunnel device %s: cannot set it up: %m%s", want->name,
                n->kernel_text);
    }
    if (rc == 0)
        rc = netlink_check_noqueue(n, link->ifindex, NULL, err);
    if (rc == 0)
        rc = netlink_find(n, want->name, link, err);
    if (rc < 0 && made && netlink_get(n, want->name, 0, link) == 0)
        netlink_delete(n, link->ifindex, NULL);
    return rc;
}

/* ---- VLAN filter (ethtool) ---- */

static int
ethtool(struct netlink *n, const char *name, void *cmd)
{
    struct ifreq ifr = {.ifr_data = cmd};
    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
    return ioctl(mnl_socket_get_fd(n->requests), SIOCETHTOOL, &ifr) < 0 ? -errno : 0;
}

/* Number of the feature, or -1: the strings of the kernel are the only stable names. */
static int
feature_find(struct netlink *n, const char *name, const char *feature, uint32_t *count)
{
    union {
        struct ethtool_sset_info info;
        uint8_t room[sizeof(struct ethtool_sset_info) + sizeof(uint32_t)];
    } sset = {
        .info = {.cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ull << ETH_SS_FEATURES}
    };
    struct ethtool_gstrings *strings;
    int at = -1;

    if (ethtool(n, name, &sset) < 0 || !sset.info.sset_mask)
        return -1;
    memcpy(count, sset.room + sizeof(sset.info), sizeof(*count));
    strings = mem_alloc(sizeof(*strings) + (size_t)*count * ETH_GSTRING_LEN);
    strings->cmd = ETHTOOL_GSTRINGS;
    strings->string_set = ETH_SS_FEATURES;
    strings->len = *count;
    if (ethtool(n, name, strings) == 0)
        for (uint32_t i = 0; i < strings->len && i < *count; i++)
            if (strncmp((char *)strings->data + i * ETH_GSTRING_LEN, feature,
                    ETH_GSTRING_LEN) == 0)
                at = (int)i;
    mem_free(strings);
    return at;
}

static bool
feature_active(struct netlink *n, const char *name, int at, uint32_t count)
{
    uint32_t blocks = (count + 31) / 32;
    struct ethtool_gfeatures *get =
        mem_alloc(sizeof(*get) + blocks * sizeof(get->features[0]));
    get->cmd = ETHTOOL_GFEATURES;
    get->size = blocks;
    bool on = ethtool(n, name, get) == 0 && (uint32_t)at / 32 < get->size &&
              (get->features[at / 32].active & 1u << at % 32);
    mem_free(get);
    return on;
}

int
netlink_vlan_filter(struct netlink *n, const char *name, bool off, struct host_err *err)
{
    struct netlink_link l;
    uint32_t count;
    int rc = netlink_find(n, name, &l, err);

    if (rc < 0)
        return rc;
    int at = feature_find(n, name, "rx-vlan-filter", &count);
    if (at < 0 || !feature_active(n, name, at, count))
        return 0;
    if (off) {
        uint32_t blocks = (count + 31) / 32;
        struct ethtool_sfeatures *set =
            mem_alloc(sizeof(*set) + blocks * sizeof(set->features[0]));
        set->cmd = ETHTOOL_SFEATURES;
        set->size = blocks;
        set->features[at / 32].valid = 1u << at % 32;
        ethtool(n, name, set); /* refused: the next line sees it */
        mem_free(set);
        if (!feature_active(n, name, at, count))
            return 0;
    }
    return host_fail(err, 1,
        "interface %s: its VLAN filter is on and may drop the tags of VMs; "
        "`ethtool -K %s rx-vlan-filter off`",
        name, name);
}
