/* SPDX-License-Identifier: Apache-2.0 */
/* What the edge's programs admit, answer, forward and replicate. */
#include "nve_progs.h"
#include "base/rng.h"

static struct mac NONE;

static void
test_signalling(void **state)
{
    static const struct mac nearest = {
        {1, 0x80, 0xc2, 0, 0, 0xe}
    };
    struct frame ecp = frame_of(nearest, W, 0x8940, 50);
    struct frame lldp = frame_of(nearest, W, 0x88cc, 50);
    struct frame lacp = frame_of(nearest, W, 0x8809, 50);

    NEED_ROOT();
    assert_int_equal(port_in(&ecp, UNTAGGED), ACT_OK);
    expect_count(DPC_SIGNALLING, 1);
    assert_int_equal(port_in(&lldp, UNTAGGED), ACT_OK);
    expect_drop(port_in(&ecp, TAGGED(100)), DPC_DROP_SIGNALLING);
    expect_drop(port_in(&lldp, TAGGED(0)), DPC_DROP_SIGNALLING); /* priority-tagged */
    expect_drop(port_in(&lacp, UNTAGGED), DPC_DROP_RESERVED);
    expect_drop(port_in(&lacp, TAGGED(100)), DPC_DROP_RESERVED);
}

static void
test_admission(void **state)
{
    struct frame ok = udp4(C, A, 1, 2, 20), spoof = udp4(C, W, 1, 2, 20);
    struct frame idle = udp4(C, B, 1, 2, 20), twice = frame_of(C, A, 0x8100, 50);
    struct frame qinq = frame_of(C, A, 0x88a8, 50);
    struct dp_bpf_vsi n;

    NEED_ROOT();
    expect_sent(port_in(&ok, TAGGED(100)), DPC_TX_OVERLAY);
    expect_sent(port_in(&ok, TAGGED(7 << 13 | 100)), DPC_TX_OVERLAY);
    assert_int_equal(dp_bpf_vsi_counters(dp, 1, &n), 0);
    assert_int_equal(n.rx_frames, 2);
    assert_int_equal(n.rx_octets, 2 * ok.size);
    expect_drop(port_in(&spoof, TAGGED(100)), DPC_DROP_SPOOF);
    expect_drop(port_in(&ok, TAGGED(200)), DPC_DROP_SPOOF);
    expect_drop(port_in(&ok, TAGGED(999)), DPC_DROP_NO_VAP);
    expect_drop(port_in(&ok, 0x88a8, 100), DPC_DROP_NO_VAP);
    expect_drop(port_in(&idle, TAGGED(100)), DPC_DROP_INACTIVE);
    expect_drop(port_in(&twice, TAGGED(100)), DPC_DROP_SECOND_TAG);
    expect_drop(port_in(&qinq, TAGGED(100)), DPC_DROP_SECOND_TAG);
    expect_drop(port_in(&twice, TAGGED(0)), DPC_DROP_SECOND_TAG);
}

static void
test_native(void **state)
{
    struct frame f = udp4(C, A, 1, 2, 20);
    struct frame twice = frame_of(C, A, 0x8100, 50);

    NEED_ROOT();
    expect_drop(port_in(&f, UNTAGGED), DPC_DROP_NATIVE);
    expect_drop(port_in(&f, TAGGED(0)), DPC_DROP_NATIVE);
    OP(dp, DP_PORT_SET, port, .port = 1, .native = NATIVE_PASS);
    assert_int_equal(port_in(&f, UNTAGGED), ACT_UNSPEC);
    expect_count(DPC_NATIVE_PASSED, 1);
    assert_int_equal(port_in(&f, TAGGED(5 << 13)), ACT_UNSPEC);
    expect_drop(port_in(&twice, TAGGED(0)), DPC_DROP_SECOND_TAG);
    OP(dp, DP_PORT_SET, port, .port = 1, .native = NATIVE_VN, .native_vni = VN_S);
    expect_drop(port_in(&f, UNTAGGED), DPC_DROP_NO_VAP);
    OP(dp, DP_VSI_SET, vsi, .port = 1, .vni = VN_S, .vsi = 9, .mac = A, .active = 1);
    expect_sent(port_in(&f, UNTAGGED), DPC_TX_OVERLAY);
    expect_sent(port_in(&f, TAGGED(3 << 13)), DPC_TX_OVERLAY);
    OP(dp, DP_VSI_DEL, vsi, .port = 1, .mac = A);
    OP(dp, DP_PORT_DEL, port, .port = 1);
    assert_int_equal(port_in(&f, UNTAGGED), ACT_UNSPEC);
    assert_int_equal(port_in(&f, TAGGED(100)), ACT_SHOT);
    OP(dp, DP_PORT_SET, port, .port = 1, .native = NATIVE_DROP);
}

static void
test_wildcard(void **state)
{
    struct frame f = udp4(C, W, 1, 2, 20), group = udp4(C, mac_n(1), 1, 2, 20);

    NEED_ROOT();
    group.b[6] |= 1;
    expect_sent(port_in(&f, TAGGED(300)), DPC_TX_OVERLAY);
    assert_int_equal(n_events, 1);
    assert_int_equal(events[0].type, DP_EV_LEARN);
    assert_int_equal(events[0].port, 1);
    assert_int_equal(events[0].vid, 300);
    assert_int_equal(events[0].vni, VN_S);
    assert_true(mac_equal(&events[0].src, &W));
    expect_sent(port_in(&f, TAGGED(300)), DPC_TX_OVERLAY);
    assert_int_equal(n_events, 0); /* told once */
    expect_drop(port_in(&group, TAGGED(300)), DPC_DROP_SPOOF);
    assert_int_equal(n_events, 0);
}

static void
test_unicast(void **state)
{
    struct frame local = udp4(D, A, 1, 2, 20), self = udp4(A, A, 1, 2, 20);
    struct frame miss = udp4(mac_n(0x99), A, 1, 2, 20), relay = udp4(E, A, 1, 2, 20);
    struct dp_bpf_vsi n;
    int seen = 0;

    NEED_ROOT();
    expect_sent(port_in(&local, TAGGED(100)), DPC_LOCAL);
    dp_bpf_vsi_counters(dp, 4, &n);
    assert_int_equal(n.tx_frames, 1);
    expect_sent(port_in(&relay, TAGGED(100)), DPC_TX_OVERLAY);
    expect_drop(port_in(&self, TAGGED(100)), DPC_DROP_HAIRPIN);
    OP(dp, DP_VAP_SET, vap, .port = 1, .vni = VN_S, .vid = 100, .flood = 1,
        .reflect = 1);
    expect_sent(port_in(&self, TAGGED(100)), DPC_REFLECTED);
    OP(dp, DP_VAP_SET, vap, .port = 1, .vni = VN_S, .vid = 100, .flood = 1, .pcp = 3);

    for (int i = 0; i < 6; i++) {
        expect_drop(port_in(&miss, TAGGED(100)), DPC_DROP_UNKNOWN_MAC);
        seen += n_events;
        if (n_events) {
            assert_int_equal(events[0].type, DP_EV_MISS_MAC);
            assert_int_equal(events[0].size, miss.size);
            assert_memory_equal(event_frames[0], miss.b, miss.size);
        }
    }
    assert_in_range(seen, 3, 4); /* three at once, then ten a second */
    OP(dp, DP_NEG_SET, neg, .vni = VN_S, .mac = mac_n(0x99), .hold_us = 10000000);
    expect_drop(port_in(&miss, TAGGED(100)), DPC_DROP_NEGATIVE);
    OP(dp, DP_NEG_SET, neg, .vni = VN_S, .mac = mac_n(0x99), .hold_us = 0);
    expect_drop(port_in(&miss, TAGGED(100)), DPC_DROP_UNKNOWN_MAC);
    OP(dp, DP_NEG_SET, neg, .vni = VN_S, .mac = mac_n(0x99), .hold_us = 10000000);
    OP(dp, DP_NEG_DEL, neg, .vni = VN_S, .mac = mac_n(0x99));
    expect_drop(port_in(&miss, TAGGED(100)), DPC_DROP_UNKNOWN_MAC);
}

static void
test_mtu(void **state)
{
    struct frame fits = udp4(C, A, 1, 2, 1472), over = udp4(C, A, 1, 2, 1473);
    struct frame big = udp4(C, A, 1, 2, 3000), huge = udp4(mac_n(0x98), A, 1, 2, 3000);
    struct __sk_buff gso = {
        .cb = {0x8100, 100},
        .ifindex = if_nametoindex("s1"),
        .gso_segs = 3,
        .gso_size = 1472
    };

    NEED_ROOT();
    expect_sent(port_in(&fits, TAGGED(100)), DPC_TX_OVERLAY);
    expect_drop(port_in(&over, TAGGED(100)), DPC_DROP_MTU);
    expect_drop(port_in(&big, TAGGED(100)), DPC_DROP_MTU);
    expect_sent(run(skel->progs.test_port, &big, &gso), DPC_TX_OVERLAY);
    gso.gso_size = 1473;
    expect_drop(run(skel->progs.test_port, &big, &gso), DPC_DROP_MTU);
    gso.gso_size = 1460; /* TCP: 1460 + 20 + 20 */
    big.b[14 + 9] = 6;
    big.b[14 + 20 + 12] = 5 << 4;
    expect_sent(run(skel->progs.test_port, &big, &gso), DPC_TX_OVERLAY);
    big.b[14 + 20 + 12] = 8 << 4; /* with options */
    expect_drop(run(skel->progs.test_port, &big, &gso), DPC_DROP_MTU);
    /* What is too large for the ring goes up without the frame. */
    gso.gso_size = 1400;
    expect_drop(run(skel->progs.test_port, &huge, &gso), DPC_DROP_UNKNOWN_MAC);
    assert_int_equal(n_events, 1);
    assert_null(events[0].frame);
    assert_int_equal(events[0].dst.b[5], 0x98);
}

static void
test_arp(void **state)
{
    struct frame ask = arp_of(MAC_ALL, A, 1, A, 0x0a000001, 0x0a000002);
    struct frame want = arp_of(A, C, 2, C, 0x0a000002, 0x0a000001);
    struct frame probe = arp_of(MAC_ALL, A, 1, A, 0, 0x0a000002);
    struct frame own = arp_of(MAC_ALL, A, 1, A, 0, 0x0a000001);
    struct frame grat = arp_of(MAC_ALL, A, 1, A, 0x0a000009, 0x0a000009);
    struct frame miss = arp_of(MAC_ALL, A, 1, A, 0x0a000001, 0x0a000063);
    struct frame spoof = arp_of(MAC_ALL, A, 1, C, 0x0a000002, 0x0a000063);
    struct frame bad = ask, to_c = arp_of(C, A, 1, A, 0x0a000001, 0x0a000002);

    NEED_ROOT();
    memcpy(want.b + 14 + 18, A.b, 6);
    expect_sent(port_in(&ask, TAGGED(100)), DPC_ARP_ANSWERED);
    assert_int_equal(out.size, want.size);
    assert_memory_equal(out.b, want.b, want.size);
    memcpy(want.b + 14 + 24, "\0\0\0\0", 4);
    expect_sent(port_in(&probe, TAGGED(100)), DPC_ARP_ANSWERED);
    assert_memory_equal(out.b, want.b, want.size);
    expect_sent(
        port_in(&to_c, TAGGED(100)), DPC_TX_OVERLAY); /* unicast is no question to us */

    assert_int_equal(port_in(&own, TAGGED(100)), ACT_SHOT);
    expect_count(DPC_ABSORBED, 1);
    assert_int_equal(n_events, 0);
    assert_int_equal(port_in(&grat, TAGGED(100)), ACT_SHOT);
    expect_count(DPC_ABSORBED, 1);
    assert_int_equal(n_events, 1);
    assert_int_equal(events[0].type, DP_EV_SNOOP);
    assert_memory_equal(events[0].ip.b + 12, "\x0a\0\0\x09", 4);
    assert_memory_equal(event_frames[0], grat.b, grat.size);
    assert_int_equal(port_in(&grat, TAGGED(100)), ACT_SHOT);
    assert_int_equal(n_events, 0);

    expect_drop(port_in(&miss, TAGGED(100)), DPC_DROP_UNKNOWN_IP);
    assert_int_equal(n_events, 1);
    assert_int_equal(events[0].type, DP_EV_MISS_IP);
    assert_memory_equal(events[0].ip.b + 12, "\x0a\0\0\x63", 4);
    OP(dp, DP_NEG_SET, neg, .vni = VN_S, .ip = ip_n("10.0.0.99"), .hold_us = 10000000);
    expect_drop(port_in(&miss, TAGGED(100)), DPC_DROP_NEGATIVE);
    expect_drop(port_in(&spoof, TAGGED(100)), DPC_DROP_SPOOF);
    bad.b[14 + 4] = 8;
    expect_drop(port_in(&bad, TAGGED(100)), DPC_DROP_BAD_FRAME);
    bad = ask;
    bad.size = 30;
    expect_drop(port_in(&bad, TAGGED(100)), DPC_DROP_BAD_FRAME);

    /* The target stands behind the asker's own VAP: it hears for itself, but for K10.
     */
    OP(dp, DP_FDB_SET, fdb, .vni = VN_S, .mac = C, .kind = FDB_LOCAL, .port = 1,
        .vid = 100);
    expect_drop(port_in(&ask, TAGGED(100)), DPC_DROP_HAIRPIN);
    OP(dp, DP_VAP_SET, vap, .port = 1, .vni = VN_S, .vid = 100, .flood = 1,
        .reflect = 1);
    expect_sent(port_in(&ask, TAGGED(100)), DPC_ARP_ANSWERED);
    OP(dp, DP_VAP_SET, vap, .port = 1, .vni = VN_S, .vid = 100, .flood = 1, .pcp = 3);
    OP(dp, DP_FDB_SET, fdb, .vni = VN_S, .mac = C, .kind = FDB_REMOTE,
        .vtep = ip_n("192.0.2.2"));
}

static void
test_nd(void **state)
{
    struct frame ask =
        nd_of(NONE, A, 135, "fd00::1", "ff02::1:ff00:2", "fd00::2", 1, A);
    struct frame want = nd_of(A, C, 136, "fd00::2", "fd00::1", "fd00::2", 2, C);
    struct frame dad = nd_of(NONE, A, 135, "::", "ff02::1:ff00:2", "fd00::2", 0, NONE);
    struct frame nonce = nd_of(NONE, A, 135, "::", "ff02::1:ff00:2", "fd00::2", 14, W);
    struct frame own = nd_of(NONE, A, 135, "::", "ff02::1:ff00:1", "fd00::1", 14, W);
    struct frame dad_ans = nd_of(NONE, C, 136, "fd00::2", "ff02::1", "fd00::2", 2, C);
    struct frame gw =
        nd_of(NONE, A, 135, "fd00::1", "ff02::1:ff00:fe", "fd00::fe", 1, A);
    struct frame bare =
        nd_of(NONE, A, 135, "fd00::1", "ff02::1:ff00:2", "fd00::2", 0, NONE);
    struct frame miss =
        nd_of(NONE, A, 135, "fd00::1", "ff02::1:ff00:63", "fd00::63", 1, A);
    struct frame na = nd_of(NONE, A, 136, "fd00::9", "ff02::1", "fd00::9", 2, A);
    struct frame other = ask, lie = nd_of(NONE, A, 135, "fd00::1", "ff02::1:ff00:2",
                                  "fd00::2", 1, W);

    NEED_ROOT();
    want.b[14 + 40 + 4] = 0x60; /* solicited, override */
    expect_sent(port_in(&ask, TAGGED(100)), DPC_ND_ANSWERED);
    assert_int_equal(out.size, 86);
    {
        uint32_t sum = 32 + 58;

        for (int i = 22; i < 54; i += 2)
            sum += (uint32_t)(out.b[i] << 8 | out.b[i + 1]);
        assert_int_equal(csum(sum, out.b + 54, 32), 0);
    }
    memcpy(want.b + 56, out.b + 56, 2); /* proved just now */
    assert_memory_equal(out.b, want.b, 86);

    dad_ans.b[58] = 0x20;
    expect_sent(port_in(&dad, TAGGED(100)), DPC_ND_ANSWERED);
    assert_int_equal(out.size, 86);
    memcpy(dad_ans.b + 56, out.b + 56, 2);
    assert_memory_equal(out.b, dad_ans.b, 86);
    {
        uint32_t sum = 32 + 58;

        for (int i = 22; i < 54; i += 2)
            sum += (uint32_t)(out.b[i] << 8 | out.b[i + 1]);
        assert_int_equal(csum(sum, out.b + 54, 32), 0);
    }
    expect_sent(port_in(&nonce, TAGGED(100)), DPC_ND_ANSWERED);
    assert_memory_equal(out.b, dad_ans.b, 86);
    assert_int_equal(port_in(&own, TAGGED(100)), ACT_SHOT);
    expect_count(DPC_ABSORBED, 1);
    expect_sent(port_in(&gw, TAGGED(100)), DPC_ND_ANSWERED);
    assert_int_equal(out.b[58], 0xe0);

    assert_int_equal(port_in(&bare, TAGGED(100)), ACT_SHOT);
    expect_count(DPC_ABSORBED, 1);
    assert_int_equal(n_events, 1);
    assert_int_equal(events[0].type, DP_EV_ND);
    expect_drop(port_in(&lie, TAGGED(100)), DPC_DROP_SPOOF);
    other.b[14 + 7] = 254;
    expect_drop(port_in(&other, TAGGED(100)), DPC_DROP_BAD_FRAME);
    other = ask;
    other.b[57] ^= 1; /* checksum */
    expect_drop(port_in(&other, TAGGED(100)), DPC_DROP_BAD_FRAME);
    other = ask;
    other.b[14 + 6] = 0; /* behind an extension header */
    assert_int_equal(port_in(&other, TAGGED(100)), ACT_SHOT);
    expect_count(DPC_ABSORBED, 1);
    assert_int_equal(events[0].type, DP_EV_ND);

    expect_drop(port_in(&miss, TAGGED(100)), DPC_DROP_UNKNOWN_IP);
    assert_int_equal(events[0].type, DP_EV_MISS_IP);
    assert_int_equal(events[0].ip.b[15], 0x63);
    assert_int_equal(port_in(&na, TAGGED(100)), ACT_SHOT);
    expect_count(DPC_ABSORBED, 1);
    assert_int_equal(events[0].type, DP_EV_SNOOP);
    assert_int_equal(events[0].ip.b[15], 9);
    assert_int_equal(events[0].ip.b[0], 0xfd);
}

static void
test_overlay(void **state)
{
    struct frame in = udp4(A, C, 1, 2, 20), relay = udp4(E, C, 1, 2, 20);
    struct frame to_c = udp4(C, D, 1, 2, 20), none = udp4(mac_n(0x55), C, 1, 2, 20);
    static const struct mac nearest = {
        {1, 0x80, 0xc2, 0, 0, 0}
    };
    struct frame ecp = frame_of(nearest, C, 0x8940, 50);
    const uint32_t vtep = 0xc0000202;

    NEED_ROOT();
    expect_sent(overlay_in(&in, VN_S, vtep, 64, 0), DPC_TX_PORT);
    expect_sent(
        overlay_in(&in, VN_S, 0xc0000203, 64, 0), DPC_TX_PORT); /* known, no member */
    expect_drop(overlay_in(&in, VN_S, 0xc0000209, 64, 0), DPC_DROP_VTEP);
    expect_drop(overlay_in(&in, VN_S, 0, 64, 0), DPC_DROP_VTEP);
    OP(dp, DP_MEMBER_SET, member, .vtep = ip_n("2001:db8::1"));
    expect_sent(overlay_in(&in, VN_S, 0, 64, 0), DPC_TX_PORT);
    OP(dp, DP_MEMBER_DEL, member, .vtep = ip_n("2001:db8::1"));
    expect_drop(overlay_in(&in, VN_S, 0, 64, 0), DPC_DROP_VTEP);

    expect_drop(overlay_in(&in, 7777, vtep, 64, 0), DPC_DROP_NO_VN);
    expect_drop(
        overlay_in(&in, VN_F, vtep, 64, 0), DPC_DROP_SPLIT); /* A is in another VN */
    expect_drop(overlay_in(&to_c, VN_S, vtep, 64, 0), DPC_DROP_SPLIT);
    assert_int_equal(n_events, 1); /* F11: its sender is to ask, once a second */
    assert_int_equal(events[0].type, DP_EV_ASTRAY);
    expect_drop(overlay_in(&to_c, VN_S, vtep, 64, 0), DPC_DROP_SPLIT);
    assert_int_equal(n_events, 0);
    expect_drop(overlay_in(&none, VN_S, vtep, 64, 0), DPC_DROP_SPLIT);
    expect_sent(overlay_in(&relay, VN_S, vtep, 64, 0), DPC_RELAYED);
    assert_int_equal(after.cb[0], 63); /* D3 */
    expect_sent(overlay_in(&relay, VN_S, vtep, 2, 0), DPC_RELAYED);
    assert_int_equal(after.cb[0], 1);
    expect_drop(overlay_in(&relay, VN_S, vtep, 1, 0), DPC_DROP_TTL);
    expect_drop(overlay_in(&in, VN_S, vtep, 64, 0x8100), DPC_DROP_SECOND_TAG);
    expect_drop(overlay_in(&ecp, VN_S, vtep, 64, 0), DPC_DROP_RESERVED);
}

static void
drain(int fd)
{
    struct frame f;
    int tci;

    while (raw_recv(fd, &f, &tci, 0))
        ;
}

static void
test_replication(void **state)
{
    struct frame bum = udp4(MAC_ALL, A, 1, 2, 20), got;
    struct frame flood = arp_of(MAC_ALL, F, 1, F, 0x0a000001, 0x0a000002);
    struct frame dhcp = udp4(MAC_ALL, A, 68, 67, 300);
    int tci, passed = 0;

    NEED_ROOT();
    drain(far1);
    drain(far2);
    assert_int_equal(port_in(&bum, TAGGED(100)), ACT_SHOT); /* the original ends here */
    expect_count(DPC_BUM, 1);
    assert_true(raw_recv(far2, &got, &tci, 1000));
    assert_int_equal(tci, 4 << 13 | 101);
    assert_int_equal(got.size, bum.size);
    assert_memory_equal(got.b, bum.b, bum.size);
    assert_false(raw_recv(far1, &got, &tci, 0)); /* not back to where it came from */
    expect_count(DPC_TX_OVERLAY, 1);
    expect_count(DPC_BUM_COPIES, 2);

    OP(dp, DP_VAP_SET, vap, .port = 1, .vni = VN_S, .vid = 100, .flood = 1,
        .reflect = 1, .pcp = 3);
    assert_int_equal(port_in(&bum, TAGGED(100)), ACT_SHOT);
    assert_true(raw_recv(far1, &got, &tci, 1000));
    assert_int_equal(tci, 3 << 13 | 100);
    assert_true(raw_recv(far2, &got, &tci, 1000));
    OP(dp, DP_VAP_SET, vap, .port = 1, .vni = VN_S, .vid = 100, .flood = 1, .pcp = 3);

    /* From the overlay: to the locals, all of them, and to no remote. */
    assert_int_equal(overlay_in(&bum, VN_S, 0xc0000202, 64, 0), ACT_SHOT);
    expect_count(DPC_TX_PORT, 2);
    expect_count(DPC_TX_OVERLAY, 0);
    assert_true(raw_recv(far1, &got, &tci, 1000));
    assert_true(raw_recv(far2, &got, &tci, 1000));

    /* The limit of the VSI in a flood VN: three at once. */
    for (int i = 0; i < 5; i++) {
        uint64_t now[DPC_N];

        assert_int_equal(port_in(&flood, TAGGED(200)), ACT_SHOT);
        dp_bpf_counters(dp, now);
        passed += (int)(now[DPC_ARP_FLOODED] - before[DPC_ARP_FLOODED]);
    }
    assert_int_equal(passed, 3);
    expect_count(DPC_DROP_RATE, 1);

    port_in(&dhcp, TAGGED(100));
    assert_int_equal(n_events, 1);
    assert_int_equal(events[0].type, DP_EV_SNOOP);
    assert_int_equal(events[0].size, dhcp.size);
}

/* 600 remotes: ten chunks, nine tail calls; taken away again in another order. */
static void
test_many_remotes(void **state)
{
    struct frame bum = udp4(MAC_ALL, A, 1, 2, 20);
    struct dp_list l;

    NEED_ROOT();
    l = dp_list_remotes(dp);
    for (uint32_t i = 0; i < 600; i++)
        OP(dp, DP_MEMBER_SET, member, .vni = VN_S, .vtep = ip_v4(0x0a630000 + i));
    port_in(&bum, TAGGED(100));
    expect_count(DPC_TX_OVERLAY, 601);
    for (uint32_t i = 0; i < 600; i++) {
        uint32_t k = i * 7 % 600; /* no common factor: every one once */
        struct ip ip = ip_v4(0x0a630000 + k);

        assert_true(dp_list_has(&l, VN_S, ip.b));
        OP(dp, DP_MEMBER_DEL, member, .vni = VN_S, .vtep = ip);
        assert_false(dp_list_has(&l, VN_S, ip.b));
    }
    port_in(&bum, TAGGED(100));
    expect_count(DPC_TX_OVERLAY, 1);
}

/* Octets flipped and frames cut at random: whatever it is, nothing passes but what its
 * sender may send, and nothing reaches the daemon's socket but untagged signalling. */
static void
test_hostile(void **state)
{
    struct frame seeds[4] = {
        udp4(C, A, 1, 2, 60),
        arp_of(MAC_ALL, A, 1, A, 0x0a000001, 0x0a000002),
        nd_of(NONE, A, 135, "fd00::1", "ff02::1:ff00:2", "fd00::2", 1, A),
        nd_of(NONE, A, 135, "::", "ff02::1:ff00:2", "fd00::2", 14, W),
    };
    struct rng r;

    NEED_ROOT();
    rng_seed(&r, 22);
    for (int i = 0; i < 20000; i++) {
        struct frame f = seeds[rng_below(&r, 4)];
        uint32_t tpid = rng_below(&r, 8) ? 0x8100 : 0;
        uint32_t tci = rng_below(&r, 8) ? 100 : rng_below(&r, 65536);
        LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = f.b);
        struct __sk_buff ctx = {
            .cb = {tpid, tci},
              .ifindex = if_nametoindex("s1")
        };
        uint16_t type;
        int rc;

        for (uint32_t n = rng_below(&r, 4); n; n--)
            f.b[rng_below(&r, (uint32_t)f.size)] = (uint8_t)rng_next(&r);
        if (!rng_below(&r, 4))
            f.size = 14 + rng_below(&r, (uint32_t)f.size - 13);
        type = (uint16_t)(f.b[12] << 8 | f.b[13]);
        o.data_size_in = (uint32_t)f.size;
        o.ctx_in = &ctx;
        o.ctx_size_in = sizeof(ctx);
        rc = bpf_prog_test_run_opts(bpf_program__fd(skel->progs.test_port), &o);
        if (rc)
            continue; /* the kernel itself refuses the frame */
        if (o.retval == ACT_OK)
            assert_true(!tpid && (type == 0x8940 || type == 0x88cc));
        else if (o.retval == ACT_REDIRECT)
            assert_true(
                tpid && ((tci & 0xfff) == 300 || /* the wildcard */
                            ((tci & 0xfff) == 100 && !memcmp(f.b + 6, A.b, 6))));
        else
            assert_int_equal(o.retval, ACT_SHOT);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signalling),
        cmocka_unit_test(test_admission),
        cmocka_unit_test(test_native),
        cmocka_unit_test(test_wildcard),
        cmocka_unit_test(test_unicast),
        cmocka_unit_test(test_mtu),
        cmocka_unit_test(test_arp),
        cmocka_unit_test(test_nd),
        cmocka_unit_test(test_overlay),
        cmocka_unit_test(test_replication),
        cmocka_unit_test(test_many_remotes),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests_name("host_bpf", tests, setup, teardown);
}
