/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's life with real devices: restart, new layout, port made anew, watchdog,
 * reconciliation. */
#include "nve_pair.h"

/* One frame from the VM at `from` arrives, octet by octet, under the other's tag. */
static void
crosses_(const struct nve *from, const struct nve *to, struct mac src, struct mac dst,
    int line)
{
    struct frame f = udp4(dst, src, 7, 9, 100), got;
    int tci = 0;

    while (raw_recv(to->far, &got, &tci, 0))
        ;
    raw_send(from->far, &f, 7 << 13 | from->vid);
    while (raw_recv(to->far, &got, &tci, WAIT)) {
        if (got.size != f.size || memcmp(got.b, f.b, f.size))
            continue;
        assert_int_equal(tci, 5 << 13 | to->vid);
        return;
    }
    fail_msg("line %d: lost", line);
}
#define crosses(from, to, src, dst) crosses_(from, to, src, dst, __LINE__)

static void
test_cross(void **state)
{
    struct frame arp = arp_of(MAC_ALL, A, 1, A, 0x0a000001, 0x0a000002), got;
    struct frame bum = udp4(MAC_ALL, A, 7, 9, 60),
                 foreign = udp4(B, mac_n(3), 7, 9, 60);
    uint64_t n[DPC_N];
    int tci = 0;

    NEED_ROOT();
    crosses(&a, &b, A, B);
    crosses(&b, &a, B, A);
    raw_send(a.far, &bum, a.vid);
    assert_true(raw_recv(b.far, &got, &tci, WAIT));
    assert_memory_equal(got.b, bum.b, bum.size);
    assert_int_equal(tci & 0xfff, b.vid);

    go(&a);
    OP(a.dp, DP_NEIGH_SET, neigh, .vni = VN, .ip = ip_n("10.0.0.2"), .mac = B);
    raw_send(a.far, &arp, a.vid);
    assert_true(raw_recv(a.far, &got, &tci, WAIT));
    assert_int_equal(got.b[21], 2); /* the answer, under the tag of the question */
    assert_memory_equal(got.b + 22, B.b, 6);
    assert_int_equal(tci & 0xfff, a.vid);

    /* B does not know A's endpoint any more: nothing arrives, the reason is counted. */
    go(&b);
    OP(b.dp, DP_MEMBER_DEL, member, .vni = VN, .vtep = a.conf.local);
    raw_send(a.far, &bum, a.vid);
    raw_send(a.far, &foreign, a.vid);
    assert_false(raw_recv(b.far, &got, &tci, 200));
    dp_bpf_counters(b.dp, n);
    assert_int_equal(n[DPC_DROP_VTEP], 1);
    go(&a);
    dp_bpf_counters(a.dp, n);
    assert_int_equal(n[DPC_DROP_SPOOF], 1);
    go(&b);
    OP(b.dp, DP_MEMBER_SET, member, .vni = VN, .vtep = a.conf.local);
    crosses(&a, &b, A, B);
}

static void
test_frame_op(void **state)
{
    struct frame f = udp4(B, A, 1, 2, 80), all = udp4(MAC_ALL, A, 1, 2, 80), got;
    struct dp_op op = {
        .type = DP_FRAME, .u.frame = {.vni = VN, .p = f.b, .size = 122}
    };
    int tci = 0;

    NEED_ROOT();
    go(&a);
    assert_int_equal(dp_bpf_apply(a.dp, &op), 0);
    assert_true(raw_recv(b.far, &got, &tci, WAIT));
    assert_int_equal(tci, 5 << 13 | b.vid);
    assert_memory_equal(got.b, f.b, f.size);
    op.u.frame.p = all.b;
    assert_int_equal(dp_bpf_apply(a.dp, &op), 0);
    assert_true(raw_recv(b.far, &got, &tci, WAIT));
    assert_true(raw_recv(a.far, &got, &tci, WAIT));
    assert_int_equal(tci & 0xfff, a.vid);
    op.u.frame.port = a.port;
    op.u.frame.vid = 77;
    op.u.frame.pcp = 6;
    assert_int_equal(dp_bpf_apply(a.dp, &op), 0);
    assert_true(raw_recv(a.far, &got, &tci, WAIT));
    assert_int_equal(tci, 6 << 13 | 77);
    op.u.frame.port = 0;
    memcpy(f.b, mac_n(9).b, 6);
    op.u.frame.p = f.b;
    assert_int_equal(dp_bpf_apply(a.dp, &op), -EHOSTUNREACH);
}

static void
test_restart(void **state)
{
    uint32_t port = a.port;
    uint64_t before[DPC_N], after[DPC_N];

    NEED_ROOT();
    go(&a);
    dp_bpf_counters(a.dp, before);
    dp_bpf_close(a.dp);
    crosses(&a, &b, A, B); /* nobody at home */
    nve_open(&a);
    assert_int_equal(a.port, port);
    crosses(&b, &a, B, A);
    go(&a);
    OP(a.dp, DP_VSI_SET, vsi, .port = port, .vni = VN, .vsi = 2, .vid = 100,
        .mac = mac_n(8), .active = 1);
    OP(a.dp, DP_FDB_SET, fdb, .vni = VN2, .mac = B, .kind = FDB_REMOTE,
        .vtep = b.conf.local);
    OP(a.dp, DP_VAP_SET, vap, .port = port, .vni = VN2, .vid = 300, .flood = 1);
    OP(a.dp, DP_MEMBER_SET, member, .vni = VN2, .vtep = ip_n("10.8.0.77"));
    apply(a.dp, (struct dp_op){.type = DP_SYNC_BEGIN});
    nve_fill(&a, A, &b, B);
    apply(a.dp, (struct dp_op){.type = DP_SYNC_END});
    {
        struct nve_vsi_key k = {.port = (uint16_t)port, .vid = 100};
        struct nve_fdb_key fk = {.vni = VN2};
        struct nve_chunk_key ck = {VN2, 0};
        struct ip gone = ip_n("10.8.0.77");
        uint8_t v[2048];

        memcpy(k.mac, mac_n(8).b, 6);
        memcpy(fk.mac, B.b, 6);
        assert_int_not_equal(bpf_map_lookup_elem(a.dp->fd.vsis, &k, v), 0);
        memcpy(k.mac, A.b, 6);
        assert_int_equal(bpf_map_lookup_elem(a.dp->fd.vsis, &k, v), 0);
        assert_int_not_equal(bpf_map_lookup_elem(a.dp->fd.fdb, &fk, v), 0);
        assert_int_not_equal(bpf_map_lookup_elem(a.dp->fd.locals, &ck, v), 0);
        assert_int_not_equal(bpf_map_lookup_elem(a.dp->fd.remotes, &ck, v), 0);
        assert_int_not_equal(bpf_map_lookup_elem(a.dp->fd.vteps, &gone, v), 0);
        assert_int_equal(bpf_map_lookup_elem(a.dp->fd.vteps, &b.conf.local, v), 0);
        assert_int_equal(((struct nve_vtep *)v)->refs, 1);
    }
    dp_bpf_counters(a.dp, after);
    assert_true(after[DPC_RX_PORT] > before[DPC_RX_PORT]); /* they go on counting */
    crosses(&a, &b, A, B);
}

/* K15: another table size is another layout; the old programs forward until it is
 * filled. */
static void
test_layout(void **state)
{
    struct frame bum = udp4(MAC_ALL, A, 7, 9, 60), got;
    int tci = 0;

    NEED_ROOT();
    go(&a);
    dp_bpf_close(a.dp);
    a.conf.max_fdb += 100;
    nve_open(&a);
    assert_true(a.dp->waiting);
    crosses(&a, &b, A, B);
    raw_send(a.far, &bum, a.vid); /* the old jump table is still held */
    assert_true(raw_recv(b.far, &got, &tci, WAIT));
    go(&a);
    apply(a.dp, (struct dp_op){.type = DP_SYNC_BEGIN});
    nve_fill(&a, A, &b, B);
    crosses(&a, &b, A, B);
    go(&a);
    apply(a.dp, (struct dp_op){.type = DP_SYNC_END});
    assert_false(a.dp->waiting);
    crosses(&a, &b, A, B);
    crosses(&b, &a, B, A);
    raw_send(a.far, &bum, a.vid);
    assert_true(raw_recv(b.far, &got, &tci, WAIT));
    {
        char cmd[160];

        snprintf(cmd, sizeof(cmd), "test $(ls -d %s/nve-v* | wc -l) = 1", a.pins);
        sh(cmd);
        snprintf(cmd, sizeof(cmd), "test $(ls -d %s/jumps-* | wc -l) = 1", a.pins);
        sh(cmd);
    }
}

/* K21: the device of a port goes and comes back; nothing is programmed again but the
 * port. */
static void
test_port_anew(void **state)
{
    struct host_err err = {{0}};
    int rc;

    NEED_ROOT();
    go(&a);
    close(a.far);
    sh("ip link del sA");
    assert_true(dp_bpf_check(a.dp, &err) >= 0);
    sh("ip link add sA type veth peer name hA && ip link set sA up && ip link set hA "
       "up");
    a.far = raw_open("hA");
    rc = dp_bpf_check(a.dp, &err);
    if (rc != 1)
        fail_msg("%d %s", rc, err.text);
    crosses(&a, &b, A, B);
    crosses(&b, &a, B, A);
    go(&a);
    assert_int_equal(dp_bpf_check(a.dp, &err), 0);
}

static void
test_watchdog(void **state)
{
    struct host_err err = {{0}};
    char cmd[160];

    NEED_ROOT();
    go(&a);
    snprintf(cmd, sizeof(cmd), "rm %s/links/sA", a.pins);
    sh(cmd);
    assert_int_equal(dp_bpf_check(a.dp, &err), 1);
    crosses(&a, &b, A, B);
    go(&a);
    sh("tc qdisc replace dev vx0 root pfifo");
    assert_int_equal(dp_bpf_check(a.dp, &err), 1);
    crosses(&a, &b, A, B);
    go(&a);
    assert_int_equal(dp_bpf_check(a.dp, &err), 0);
    sh("ip link del vx0");
    assert_int_equal(dp_bpf_check(a.dp, &err), -ENODEV);
    sh("ip link add vx0 type vxlan external dstport 4789 && ip link set vx0 up");
    assert_true(dp_bpf_check(a.dp, &err) > 0);
    crosses(&a, &b, A, B);
    crosses(&b, &a, B, A);
}

static void
test_clsact(void **state)
{
    struct host_err err = {{0}};

    NEED_ROOT();
    go(&a);
    dp_bpf_close(a.dp);
    a.conf.no_tcx = true;
    nve_open(&a);
    crosses(&a, &b, A, B);
    crosses(&b, &a, B, A);
    go(&a);
    sh("tc qdisc del dev sA clsact");
    assert_int_equal(dp_bpf_check(a.dp, &err), 1);
    crosses(&a, &b, A, B);
    go(&a);
    dp_bpf_close(a.dp);
    a.conf.no_tcx = false;
    nve_open(&a);
    crosses(&a, &b, A, B);
}

/* A megabyte by TCP; connecting is tried again until DAD has let go of the address. */
static void
tcp_carries(int from, int to, int family, const char *addr)
{
    static uint8_t buf[65536];
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(4000)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(4000)};
    struct sockaddr *at = family == AF_INET ? (void *)&in4 : (void *)&in6;
    socklen_t size = family == AF_INET ? sizeof(in4) : sizeof(in6);
    struct timeval wait = {.tv_sec = 3};
    size_t sent = 0, got = 0;
    int l, c = -1, s;
    uint64_t end = now_ms() + 8000;

    assert_int_equal(setns(to, CLONE_NEWNET), 0);
    l = socket(family, SOCK_STREAM, 0);
    assert_int_equal(bind(l, at, size), 0);
    assert_int_equal(listen(l, 1), 0);
    inet_pton(family, addr, family == AF_INET ? (void *)&in4.sin_addr : &in6.sin6_addr);
    assert_int_equal(setns(from, CLONE_NEWNET), 0);
    for (;;) {
        c = socket(family, SOCK_STREAM, 0);
        setsockopt(c, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
        if (!connect(c, at, size))
            break;
        close(c);
        if (now_ms() > end)
            fail_msg("%s: no connection", addr);
        poll(NULL, 0, 20);
    }
    s = accept(l, NULL, NULL);
    assert_true(s >= 0);
    fcntl(c, F_SETFL, O_NONBLOCK);
    fcntl(s, F_SETFL, O_NONBLOCK);
    while (got < 1 << 20) {
        struct pollfd p[2] = {
            {c, sent < 1 << 20 ? POLLOUT : 0, 0},
            {s, POLLIN,                       0}
        };
        ssize_t n;

        assert_true(poll(p, 2, 3000) > 0);
        n = sent < 1 << 20 ? send(c, buf, sizeof(buf), MSG_NOSIGNAL) : 0;
        sent += n > 0 ? (size_t)n : 0;
        n = recv(s, buf, sizeof(buf), 0);
        got += n > 0 ? (size_t)n : 0;
    }
    close(c);
    close(s);
    close(l);
}

static void
test_stacks(void **state)
{
    struct mac m1 =
                   {
                       {2, 0, 0, 0, 1, 1}
    },
               m2 = {{2, 0, 0, 0, 1, 2}};
    uint64_t n0[DPC_N], n1[DPC_N];
    int v1, v2;

    NEED_ROOT();
    go(&a);
    OP(a.dp, DP_MEMBER_SET, member, .vni = VN2, .vtep = b.conf.local);
    dp_bpf_counters(a.dp, n0);
    v1 = vm_make(&a, "sC", "hC", "02:00:00:00:01:01", 1);
    v2 = vm_make(&b, "sC", "hC", "02:00:00:00:01:02", 2);
    vm_admit(&a, "sC", m1, &b, m2, "10.1.0.1", "fd01::1", "10.1.0.2", "fd01::2");
    vm_admit(&b, "sC", m2, &a, m1, "10.1.0.2", "fd01::2", "10.1.0.1", "fd01::1");
    tcp_carries(v1, v2, AF_INET, "10.1.0.2");
    tcp_carries(v2, v1, AF_INET6, "fd01::1");
    /* Taking the other one's address: DAD is defended here, the kernel gives it up
     * (K14). */
    assert_int_equal(setns(v2, CLONE_NEWNET), 0);
    sh("ip addr add fd01::1/64 dev hC; for i in $(seq 100); do "
       "ip -6 addr show dev hC dadfailed | grep -q fd01::1 && exit 0; sleep 0.05; "
       "done; exit 1");
    go(&a);
    dp_bpf_counters(a.dp, n1);
    assert_true(n1[DPC_ARP_ANSWERED] > n0[DPC_ARP_ANSWERED]);
    assert_true(n1[DPC_ND_ANSWERED] > n0[DPC_ND_ANSWERED]);
    assert_int_equal(n1[DPC_ARP_FLOODED], n0[DPC_ARP_FLOODED]);
    assert_int_equal(n1[DPC_DROP_MTU], n0[DPC_DROP_MTU]);
    assert_int_equal(n1[DPC_DROP_BAD_FRAME], n0[DPC_DROP_BAD_FRAME]);
    dp_bpf_unbind(a.dp, dp_bpf_port_number(a.dp, "sC"), "sC");
    close(v1);
    close(v2);
}

static void
test_sync_size(void **state)
{
    enum { N = 20000 };
    uint64_t t0, t1, t2, t3;

    NEED_ROOT();
    go(&a);
    for (int pass = 0; pass < 2; pass++) {
        t0 = now_ms();
        apply(a.dp, (struct dp_op){.type = DP_SYNC_BEGIN});
        nve_fill(&a, A, &b, B);
        for (unsigned i = 0; i < N; i++) {
            OP(a.dp, DP_VSI_SET, vsi, .port = a.port, .vni = VN, .vsi = i + 1,
                .vid = 100, .mac = mac_n(1000 + i), .active = 1);
            OP(a.dp, DP_FDB_SET, fdb, .vni = VN, .mac = mac_n(1000 + i),
                .kind = FDB_LOCAL, .port = a.port, .vid = 100);
        }
        t1 = now_ms();
        apply(a.dp, (struct dp_op){.type = DP_SYNC_END});
        print_message("sync of %d VSIs, pass %d: %llu ms to name, %llu ms to end\n", N,
            pass, (unsigned long long)(t1 - t0), (unsigned long long)(now_ms() - t1));
    }
    crosses(&a, &b, A, B);
    go(&a);
    t2 = now_ms();
    apply(a.dp, (struct dp_op){.type = DP_SYNC_BEGIN});
    nve_fill(&a, A, &b, B);
    apply(a.dp, (struct dp_op){.type = DP_SYNC_END});
    t3 = now_ms();
    print_message("deleting them: %llu ms\n", (unsigned long long)(t3 - t2));
    assert_true(t3 - t2 < 5000);
    crosses(&a, &b, A, B);
}

static void
test_limits(void **state)
{
    struct dp_op op = {.type = DP_VSI_SET};
    int rc = 0;

    NEED_ROOT();
    go(&a);
    op.u.vsi.port = a.conf.max_ports ? a.conf.max_ports : 256;
    assert_int_equal(dp_bpf_apply(a.dp, &op), -EINVAL);
    op = (struct dp_op){.type = DP_NEIGH_SET, .u.neigh = {.vni = VN}};
    for (uint32_t i = 0; i < 1100 && !rc; i++) {
        op.u.neigh.ip = ip_v4(0x0b000000 + i);
        rc = dp_bpf_apply(a.dp, &op);
    }
    assert_int_equal(rc, -ENOSPC);
    assert_int_equal(dp_bpf_port_number(a.dp, "sA"), a.port);
    assert_int_not_equal(dp_bpf_port_number(a.dp, "other"), a.port);
}

static void
test_csum(void **state)
{
    struct frame f = udp4(A, B, 1, 2, 33), g = f;
    uint32_t pseudo = 0x0a00 + 1 + 0x0a00 + 2 + 17 + 41;

    (void)state;
    g.b[40] = (uint8_t)(pseudo >> 8); /* what checksum offload leaves behind */
    g.b[41] = (uint8_t)pseudo;
    dp_csum_complete(g.b, g.size);
    assert_memory_equal(g.b, f.b, f.size);
    dp_csum_complete(g.b, g.size); /* a right one stays */
    assert_memory_equal(g.b, f.b, f.size);
    g.b[41] ^= 1; /* a wrong one too */
    f = g;
    dp_csum_complete(g.b, g.size);
    assert_memory_equal(g.b, f.b, f.size);
    for (size_t n = 0; n <= f.size; n++)
        dp_csum_complete(g.b, n);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_csum),
        cmocka_unit_test(test_cross),
        cmocka_unit_test(test_frame_op),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_port_anew),
        cmocka_unit_test(test_watchdog),
        cmocka_unit_test(test_clsact),
        cmocka_unit_test(test_stacks),
        cmocka_unit_test(test_sync_size),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests_name("host_dp", tests, setup, teardown);
}
