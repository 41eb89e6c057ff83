/* SPDX-License-Identifier: Apache-2.0 */
/* Two NVEs with real devices, in two namespaces:
 *
 *   hA --(tag 100)-- sA [ NVE A ] vx0 == uA ---- uB == vx0 [ NVE B ] sB --(tag 200)--
 * hB
 */
#ifndef BERTH_TEST_NVE_PAIR_H
#define BERTH_TEST_NVE_PAIR_H
#include "nve_frames.h"
#include <bpf/bpf.h>
#include "host/dp_bpf_int.h"

#define VN   5000
#define VN2  6000
#define WAIT 3000

struct nve {
    int ns, far;
    char pins[64];
    struct dp_bpf_conf conf;
    struct dp_bpf *dp;
    uint32_t port;
    uint16_t vid;
    const char *dev, *far_dev;
};
static const char *skip_why;
static struct nve a = {.vid = 100, .dev = "sA", .far_dev = "hA"};
static struct nve b = {.vid = 200, .dev = "sB", .far_dev = "hB"};
static struct mac A, B;

#define NEED_ROOT()                                                                    \
    do {                                                                               \
        (void)state;                                                                   \
        if (skip_why) {                                                                \
            print_message("skipped: %s\n", skip_why);                                  \
            skip();                                                                    \
        }                                                                              \
    } while (0)

static inline void
go(const struct nve *n)
{
    assert_int_equal(setns(n->ns, CLONE_NEWNET), 0);
}

static inline void
nve_open(struct nve *n)
{
    struct host_err err = {{0}};

    go(n);
    if (dp_bpf_open(&n->conf, &n->dp, &err))
        fail_msg("%s", err.text);
    n->port = dp_bpf_port_number(n->dp, n->dev);
    if (dp_bpf_bind(n->dp, n->port, n->dev, &err))
        fail_msg("%s", err.text);
}

/* The wanted state; `peer` stands behind the other NVE. */
static inline void
nve_fill(struct nve *n, struct mac own, const struct nve *other, struct mac peer)
{
    go(n);
    OP(n->dp, DP_PORT_SET, port, .port = n->port, .native = NATIVE_DROP);
    OP(n->dp, DP_VN_SET, vn, .vni = VN, .arp = ARP_SUPPRESS, .mtu = 1500);
    OP(n->dp, DP_VAP_SET, vap, .port = n->port, .vni = VN, .vid = n->vid, .flood = 1);
    OP(n->dp, DP_VSI_SET, vsi, .port = n->port, .vni = VN, .vsi = 1, .vid = n->vid,
        .mac = own, .active = 1);
    OP(n->dp, DP_FDB_SET, fdb, .vni = VN, .mac = own, .kind = FDB_LOCAL,
        .port = n->port, .vid = n->vid, .pcp = 5);
    OP(n->dp, DP_FDB_SET, fdb, .vni = VN, .mac = peer, .kind = FDB_REMOTE,
        .vtep = other->conf.local);
    OP(n->dp, DP_MEMBER_SET, member, .vni = VN, .vtep = other->conf.local);
}

static inline int
setup(void **state)
{
    char cmd[256];

    (void)state;
    skip_why = enter_ns();
    if (skip_why)
        return 0;
    b.ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    sh("ip link set lo up; ip link add sB type veth peer name hB; ip link set sB up; "
       "ip link set hB up; ip addr add 10.8.0.2/32 dev lo; "
       "ip link add vx0 type vxlan external dstport 4789; ip link set vx0 up");
    skip_why = enter_ns();
    if (skip_why)
        return 0;
    a.ns = open("/proc/thread-self/ns/net", O_RDONLY);
    snprintf(cmd, sizeof(cmd),
        "ip link add uA mtu 1600 type veth peer name uB mtu 1600; "
        "ip link set uB netns /proc/%d/fd/%d",
        getpid(), b.ns);
    sh(cmd);
    sh("ip link set lo up; ip link add sA type veth peer name hA; ip link set sA up; "
       "ip link set hA up; ip addr add 10.8.0.1/32 dev lo; "
       "ip link add vx0 type vxlan external dstport 4789; ip link set vx0 up; "
       "ip addr add 10.9.0.1/24 dev uA; ip link set uA up; ip route add 10.8.0.2 via "
       "10.9.0.2");
    go(&b);
    sh("ip addr add 10.9.0.2/24 dev uB; ip link set uB up; ip route add 10.8.0.1 via "
       "10.9.0.1");

    A = mac_n(1), B = mac_n(2);
    for (struct nve *n = &a; n; n = n == &a ? &b : NULL) {
        go(n);
        strcpy(n->pins, "/tmp/nve-dp-XXXXXX");
        assert_non_null(mkdtemp(n->pins));
        n->far = raw_open(n->far_dev);
        n->conf = (struct dp_bpf_conf){.pin_dir = n->pins,
            .mount = true,
            .vxlan = "vx0",
            .max_fdb = 32768,
            .max_neigh = 1024,
            .max_vsis = 32768,
            .max_vaps = 1024,
            .loop = n->conf.loop};
    }
    a.conf.local = ip_n("10.8.0.1");
    b.conf.local = ip_n("10.8.0.2");
    nve_open(&a);
    nve_open(&b);
    nve_fill(&a, A, &b, B);
    nve_fill(&b, B, &a, A);
    return 0;
}

static inline int
teardown(void **state)
{
    (void)state;
    for (struct nve *n = &a; n && !skip_why; n = n == &a ? &b : NULL) {
        go(n);
        dp_bpf_remove(n->dp);
        dp_bpf_close(n->dp);
        umount(n->pins);
        rmdir(n->pins);
    }
    return 0;
}

/* Real stacks behind ports whose untagged frames belong to a VN: they ask by ARP and
 * ND, do DAD (a wrong answer would cost them the address), and send large segments. */
static inline int
vm_make(
    const struct nve *n, const char *port, const char *own, const char *mac, int host)
{
    char cmd[512];
    int ns;

    assert_int_equal(unshare(CLONE_NEWNET), 0);
    ns = open("/proc/thread-self/ns/net", O_RDONLY);
    go(n);
    snprintf(cmd, sizeof(cmd),
        "ip link add %s type veth peer name %s && ip link set %s up && "
        "ip link set %s netns /proc/%d/fd/%d",
        port, own, port, own, getpid(), ns);
    sh(cmd);
    assert_int_equal(setns(ns, CLONE_NEWNET), 0);
    snprintf(cmd, sizeof(cmd),
        "ip link set %s address %s && ip addr add 10.1.0.%d/24 dev %s && "
        "ip addr add fd01::%d/64 dev %s && ip link set %s up",
        own, mac, host, own, host, own, own);
    sh(cmd);
    return ns;
}

static inline void
vm_admit(struct nve *n, const char *dev, struct mac own, const struct nve *other,
    struct mac peer, const char *own4, const char *own6, const char *peer4,
    const char *peer6)
{
    struct host_err err = {{0}};
    uint32_t port;

    go(n);
    port = dp_bpf_port_number(n->dp, dev);
    OP(n->dp, DP_PORT_SET, port, .port = port, .native = NATIVE_VN, .native_vni = VN2);
    OP(n->dp, DP_VN_SET, vn, .vni = VN2, .arp = ARP_SUPPRESS, .mtu = 1500);
    OP(n->dp, DP_VAP_SET, vap, .port = port, .vni = VN2, .flood = 1);
    OP(n->dp, DP_VSI_SET, vsi, .port = port, .vni = VN2, .vsi = 7, .mac = own,
        .active = 1);
    OP(n->dp, DP_FDB_SET, fdb, .vni = VN2, .mac = own, .kind = FDB_LOCAL, .port = port);
    OP(n->dp, DP_FDB_SET, fdb, .vni = VN2, .mac = peer, .kind = FDB_REMOTE,
        .vtep = other->conf.local);
    OP(n->dp, DP_NEIGH_SET, neigh, .vni = VN2, .ip = ip_n(own4), .mac = own);
    OP(n->dp, DP_NEIGH_SET, neigh, .vni = VN2, .ip = ip_n(own6), .mac = own);
    OP(n->dp, DP_NEIGH_SET, neigh, .vni = VN2, .ip = ip_n(peer4), .mac = peer);
    OP(n->dp, DP_NEIGH_SET, neigh, .vni = VN2, .ip = ip_n(peer6), .mac = peer);
    if (dp_bpf_bind(n->dp, port, dev, &err))
        fail_msg("%s", err.text);
}
#endif
