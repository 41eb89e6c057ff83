/* SPDX-License-Identifier: Apache-2.0 */
/* The netlink module against the kernel, in a network namespace of its own; ip(8) and
 * tc(8) prepare, so that the module does not check itself. */
#include "host/netlink.h"
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <cmocka.h>

static struct netlink *n;

static void
run(const char *cmd)
{
    int rc = system(cmd);
    if (rc)
        print_message("%s: %d\n", cmd, rc);
    assert_int_equal(rc, 0);
}

#define need(call)                                                                     \
    do {                                                                               \
        int need_rc = (call);                                                          \
        if (need_rc < 0)                                                               \
            print_message("%s: %s\n", #call, err.text);                                \
        assert_true(need_rc >= 0);                                                     \
    } while (0)

/* Each test has a namespace of its own: nothing to clean, nothing to disturb. */
static int
setup(void **state)
{
    (void)state;
    struct host_err err;
    if (unshare(CLONE_NEWNET) < 0 || netlink_open(&n, &err) < 0)
        return -1;
    run("ip link set lo up");
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    netlink_close(n);
    n = NULL;
    return 0;
}

static struct ip
ip_of(const char *text)
{
    struct ip ip;
    assert_true(ip_parse(text, &ip));
    return ip;
}

static bool
count_link(void *ctx, const struct netlink_link *l)
{
    (void)l;
    return ++*(int *)ctx < 3;
}

static bool
find_br(void *ctx, const struct netlink_link *l)
{
    if (strcmp(l->name, "br0") == 0)
        *(struct netlink_link *)ctx = *l;
    return true;
}

static void
test_links(void **state)
{
    (void)state;
    struct host_err err;
    struct netlink_link a, b, br = {0};
    struct mac mac;
    run("ip link add v0 type veth peer name v1 && ip link add br0 type bridge &&"
        " ip link set v0 address 02:00:00:00:00:01 mtu 1400 master br0 up");
    need(netlink_find(n, "v0", &a, &err));
    need(netlink_find(n, "v1", &b, &err));
    need(netlink_each_link(n, find_br, &br, &err));
    mac_parse("02:00:00:00:00:01", &mac);
    assert_true(mac_equal(&a.mac, &mac));
    assert_string_equal(a.kind, "veth");
    assert_int_equal(a.mtu, 1400);
    assert_int_equal(a.master, br.ifindex);
    assert_string_equal(br.kind, "bridge");
    assert_int_equal(a.lower, b.ifindex);
    assert_int_equal(a.netnsid, -1);
    assert_true(a.up && !a.carrier && !b.up);
    need(netlink_set_up(n, b.ifindex, true, &err));
    need(netlink_set_mtu(n, b.ifindex, 1300, &err));
    need(netlink_set_queue(n, b.ifindex, 5000, &err));
    need(netlink_set_promisc(n, b.ifindex, true, &err));
    need(netlink_find_index(n, b.ifindex, &b, &err));
    assert_true(b.up && b.carrier);
    assert_int_equal(b.mtu, 1300);
    assert_int_equal(b.queue, 5000);
    assert_int_equal(b.promiscuity, 1);
    need(netlink_set_promisc(n, b.ifindex, false, &err));
    need(netlink_find(n, "v1", &b, &err));
    assert_int_equal(b.promiscuity, 0);
    int seen = 0;
    need(netlink_each_link(n, count_link, &seen, &err));
    assert_int_equal(seen, 3);
    need(netlink_delete(n, a.ifindex, &err));
    assert_int_equal(netlink_find(n, "v1", &b, &err), -ENODEV);
    assert_non_null(strstr(err.text, "interface v1: No such device"));
    assert_int_equal(netlink_find(n, "", &b, &err), -ENODEV);
    assert_int_equal(netlink_find(n, "longer-than-a-name-is", &b, &err), -ENODEV);
    assert_int_equal(netlink_find_index(n, 0, &b, &err), -ENODEV);
    assert_true(netlink_set_mtu(n, br.ifindex, 1, &err) < 0);
    assert_non_null(strstr(err.text, "interface br0: cannot set MTU 1"));
    assert_int_equal(netlink_vlan_filter(n, "br0", true, &err), 0);
    assert_int_equal(netlink_vlan_filter(n, "nope", false, &err), -ENODEV);
    /* The peer in another namespace is told by its id: a child has one for a moment. */
    int ready[2], done[2];
    char cmd[128], c;
    assert_int_equal(pipe(ready) | pipe(done), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(done[1]);
        if (unshare(CLONE_NEWNET) < 0 || write(ready[1], "r", 1) != 1)
            _exit(1);
        _exit(read(done[0], &c, 1) != 0);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    run("ip link add p0 type veth peer name p1");
    snprintf(cmd, sizeof(cmd), "ip link set p1 netns %d", (int)pid);
    run(cmd);
    need(netlink_find(n, "p0", &a, &err));
    assert_true(a.netnsid >= 0);
    close(done[1]);
    close(done[0]);
    close(ready[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void
test_vxlan(void **state)
{
    (void)state;
    struct host_err err;
    struct netlink_link l, again;
    struct netlink_vxlan want = {.name = "bth0", .port = 4789, .mtu = 1450};
    char kind[NETLINK_NAME];
    bool adopted;
    need(netlink_vxlan_ensure(n, &want, &l, &adopted, &err));
    assert_false(adopted);
    assert_true(l.up && l.vxlan_external && !l.vxlan_learning);
    assert_int_equal(l.vxlan_port, 4789);
    assert_int_equal(l.mtu, 1450);
    assert_string_equal(l.kind, "vxlan");
    assert_string_equal(l.qdisc, "noqueue");
    need(netlink_check_noqueue(n, l.ifindex, kind, &err));
    assert_string_equal(kind, "noqueue");
    /* K21: what a killed daemon left is adopted; its MTU follows the configuration. */
    want.mtu = 1400;
    need(netlink_vxlan_ensure(n, &want, &again, &adopted, &err));
    assert_true(adopted);
    assert_int_equal(again.ifindex, l.ifindex);
    assert_int_equal(again.mtu, 1400);
    /* A stale one that is down and learns. */
    need(netlink_delete(n, l.ifindex, &err));
    run("ip link add bth0 type vxlan external dstport 4789 learning");
    need(netlink_vxlan_ensure(n, &want, &l, &adopted, &err));
    assert_true(adopted && l.up && !l.vxlan_learning && l.vxlan_external);
    assert_int_equal(l.mtu, 1400);
}

/* K11: who is in the way has a name. */
static void
test_vxlan_conflict(void **state)
{
    (void)state;
    struct host_err err;
    struct netlink_link l;
    struct netlink_vxlan want = {.name = "bth0", .port = 4789};
    bool adopted;
    run("ip link add theirs type vxlan external dstport 4789");
    assert_int_equal(netlink_vxlan_ensure(n, &want, &l, &adopted, &err), -EADDRINUSE);
    assert_non_null(
        strstr(err.text, "UDP port 4789 belongs to the external vxlan device theirs"));
    assert_non_null(strstr(err.text, "configure that name to adopt it"));
    run("ip link del theirs && ip link add vx77 type vxlan id 77 dstport 4789 dev lo");
    assert_int_equal(netlink_vxlan_ensure(n, &want, &l, &adopted, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, "vxlan device vx77 (VNI 77)"));
    want.port = 4790;
    need(netlink_vxlan_ensure(n, &want, &l, &adopted, &err));
    /* Ours is up and has the port: a latecomer does not hinder the next start. */
    run("ip link add late type vxlan id 78 dstport 4790 dev lo");
    need(netlink_vxlan_ensure(n, &want, &l, &adopted, &err));
    assert_true(adopted);
    want.port = 4791;
    assert_int_equal(netlink_vxlan_ensure(n, &want, &l, &adopted, &err), -EEXIST);
    assert_non_null(
        strstr(err.text, "external on UDP port 4790, wanted external on 4791"));
    want.name = "lo";
    assert_int_equal(netlink_vxlan_ensure(n, &want, &l, &adopted, &err), -EEXIST);
    want.name = "a-name-too-long-for-it";
    assert_int_equal(netlink_vxlan_ensure(n, &want, &l, &adopted, &err), -EINVAL);
    /* A program has the port: said, and nothing is left behind. */
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(4800)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
    want.name = "bth1";
    want.port = 4800;
    assert_int_equal(netlink_vxlan_ensure(n, &want, &l, &adopted, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, "another program has UDP port 4800"));
    assert_int_equal(netlink_find(n, "bth1", &l, &err), -ENODEV);
    close(fd);
}

static void
test_qdisc(void **state)
{
    (void)state;
    struct host_err err;
    struct netlink_link l;
    struct netlink_vxlan want = {.name = "bth0", .port = 4789};
    char kind[NETLINK_NAME];
    bool adopted;
    need(netlink_vxlan_ensure(n, &want, &l, &adopted, &err));
    run("tc qdisc replace dev bth0 root pfifo limit 10");
    assert_int_equal(netlink_check_noqueue(n, l.ifindex, kind, &err), -EBUSY);
    assert_string_equal(kind, "pfifo");
    assert_non_null(strstr(err.text, "interface bth0: queueing discipline pfifo"));
    assert_int_equal(netlink_vxlan_ensure(n, &want, &l, &adopted, &err), -EBUSY);
    /* What the text tells to do. */
    run("tc qdisc replace dev bth0 root noqueue");
    need(netlink_vxlan_ensure(n, &want, &l, &adopted, &err));
    assert_true(adopted);
}

static bool
has_addr(void *ctx, const struct netlink_addr *a)
{
    struct netlink_addr *want = ctx;
    if (ip_equal(&a->ip, &want->ip))
        *want = *a;
    return true;
}

static void
test_addresses_and_routes(void **state)
{
    (void)state;
    struct host_err err;
    struct netlink_link l;
    struct netlink_route r;
    uint32_t ifindex = 0;
    struct ip mine = ip_of("192.0.2.1"), other = ip_of("192.0.2.2");
    struct ip far = ip_of("198.51.100.7"), mine6 = ip_of("2001:db8::1");
    struct ip far6 = ip_of("2001:db8:ffff::9"), gw = ip_of("192.0.2.254");
    run("ip link add u0 mtu 9000 type veth peer name u1 && ip link set u0 up &&"
        " ip link set u1 up && ip addr add 192.0.2.1/24 dev u0 &&"
        " ip addr add 2001:db8::1/64 dev u0 nodad &&"
        " ip route add 198.51.100.0/24 via 192.0.2.254 mtu 1600 &&"
        " ip -6 route add 2001:db8:ffff::/48 via 2001:db8::fe &&"
        " ip route add unreachable 203.0.113.0/24 &&"
        " ip -6 route add unreachable 2001:db8:eeee::/48");
    need(netlink_find(n, "u0", &l, &err));
    assert_int_equal(netlink_is_local(n, &mine, &ifindex, &err), 1);
    assert_int_equal(ifindex, l.ifindex);
    assert_int_equal(netlink_is_local(n, &mine6, NULL, &err), 1);
    assert_int_equal(netlink_is_local(n, &other, NULL, &err), 0);
    struct netlink_addr a = {.ip = mine6};
    need(netlink_each_addr(n, has_addr, &a, &err));
    assert_int_equal(a.prefix_len, 64);
    assert_int_equal(a.ifindex, l.ifindex);
    need(netlink_route_to(n, &other, &r, &err));
    assert_int_equal(r.ifindex, l.ifindex);
    assert_int_equal(r.mtu, 9000);
    assert_true(ip_equal(&r.source, &mine) && ip_is_none(&r.gateway) && !r.local);
    need(netlink_route_to(n, &far, &r, &err));
    assert_int_equal(r.mtu, 1600);
    assert_true(ip_equal(&r.gateway, &gw));
    need(netlink_route_to(n, &far6, &r, &err));
    assert_int_equal(r.ifindex, l.ifindex);
    assert_int_equal(r.mtu, 9000);
    need(netlink_route_to(n, &mine, &r, &err));
    assert_true(r.local);
    struct ip blocked = ip_of("203.0.113.5"), blocked6 = ip_of("2001:db8:eeee::1");
    struct ip nowhere = ip_of("10.9.8.7");
    assert_int_equal(netlink_route_to(n, &blocked, &r, &err), -EHOSTUNREACH);
    assert_true(netlink_route_to(n, &blocked6, &r, &err) < 0);
    assert_int_equal(netlink_route_to(n, &nowhere, &r, &err), -ENETUNREACH);
    assert_non_null(strstr(err.text, "no route to 10.9.8.7: Network is unreachable"));
}

/* The next event for which `type` and name fit, within five seconds. */
static bool
await(enum netlink_event_type type, const char *name, struct netlink_event *ev)
{
    struct pollfd p = {.fd = netlink_monitor_fd(n), .events = POLLIN};
    for (;;) {
        int rc = netlink_monitor_next(n, ev, NULL);
        assert_true(rc >= 0);
        if (rc == 1 && ev->type == type && (!name || strcmp(ev->link.name, name) == 0))
            return true;
        if (rc == 0 && poll(&p, 1, 5000) <= 0)
            return false;
    }
}

static void
test_monitor(void **state)
{
    (void)state;
    struct netlink_event ev;
    struct ip mine = ip_of("192.0.2.1");
    run("ip link add m0 type veth peer name m1");
    assert_true(await(NETLINK_LINK_SET, "m0", &ev));
    uint32_t ifindex = ev.link.ifindex;
    run("ip link set m0 up && ip link set m1 up");
    do
        assert_true(await(NETLINK_LINK_SET, "m0", &ev));
    while (!ev.link.carrier);
    run("ip addr add 192.0.2.1/24 dev m0");
    do
        assert_true(await(NETLINK_ADDR_ADDED, NULL, &ev));
    while (!ip_equal(&ev.addr.ip, &mine));
    assert_int_equal(ev.addr.ifindex, ifindex);
    run("ip addr del 192.0.2.1/24 dev m0");
    do
        assert_true(await(NETLINK_ADDR_GONE, NULL, &ev));
    while (!ip_equal(&ev.addr.ip, &mine));
    run("ip link set m1 down");
    do
        assert_true(await(NETLINK_LINK_SET, "m0", &ev));
    while (ev.link.carrier);
    /* Leaving a bridge is told as a DELLINK of another family: not the end of the
     * device. */
    run("ip link add b0 type bridge && ip link set m0 master b0 && ip link set m0 "
        "nomaster"
        " && ip link set m0 mtu 1234");
    struct pollfd p = {.fd = netlink_monitor_fd(n), .events = POLLIN};
    for (memset(&ev, 0, sizeof(ev)); ev.link.mtu != 1234;) {
        int rc = netlink_monitor_next(n, &ev, NULL);
        assert_true(rc > 0 || (rc == 0 && poll(&p, 1, 5000) == 1));
        assert_true(rc == 0 || ev.type != NETLINK_LINK_GONE);
    }
    run("ip link del m0");
    assert_true(await(NETLINK_LINK_GONE, "m0", &ev));
    assert_int_equal(ev.link.ifindex, ifindex);
}

/* More events than the socket holds: the reader is told to look anew. */
static void
test_overrun(void **state)
{
    (void)state;
    struct netlink_event ev;
    struct host_err err;
    struct netlink_link l;
    int size = 1;
    setsockopt(netlink_monitor_fd(n), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    run("ip link add o0 type dummy 2>/dev/null || ip link add o0 type veth peer name "
        "o1");
    need(netlink_find(n, "o0", &l, &err));
    for (uint32_t i = 0; i < 200; i++)
        need(netlink_set_mtu(n, l.ifindex, 1300 + i, &err));
    assert_true(await(NETLINK_RESYNC, NULL, &ev));
    /* It goes on after that. */
    while (netlink_monitor_next(n, &ev, NULL) > 0)
        ;
    need(netlink_set_mtu(n, l.ifindex, 1222, &err));
    do
        assert_true(await(NETLINK_LINK_SET, "o0", &ev));
    while (ev.link.mtu != 1222);
}

#define in_netns(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        in_netns(test_links),
        in_netns(test_vxlan),
        in_netns(test_vxlan_conflict),
        in_netns(test_qdisc),
        in_netns(test_addresses_and_routes),
        in_netns(test_monitor),
        in_netns(test_overrun),
    };
    if (geteuid() != 0) {
        fprintf(stderr, "skipped: needs root to make a network namespace\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
