/* SPDX-License-Identifier: Apache-2.0 */
/* What the edge's programs do with frames for VMs that are on their way, and tell of
 * it. */
#include "nve_progs.h"
#include "base/rng.h"

/* A held frame comes back, with what it carries. */
static int
hold_in(struct frame f, uint32_t slot, uint8_t ttl, uint8_t tos)
{
    struct __sk_buff ctx = {.cb = {slot}, .ifindex = if_nametoindex("s1")};
    struct nve_held way = {.local = 2, .ttl = ttl, .tos = tos};

    memcpy(f.b, &way, sizeof(way));
    return run(skel->progs.test_hold, &f, &ctx);
}

/* K12, and what of a held frame cannot be seen with real devices: states, and what it
 * carries through the TAP. */
static void
test_hold(void **state)
{
    struct frame a = udp4(A, C, 1, 2, 20), w = udp4(W, C, 1, 2, 20);
    struct frame e = udp4(E, C, 1, 2, 20), local = udp4(E, A, 1, 2, 20);
    struct frame self = udp4(A, A, 1, 2, 20);
    struct nve_fdb_key key = {.vni = VN_S};
    struct ip to_c = ip_n("192.0.2.2");
    struct nve_fdb to;
    struct nve_hold *n, *q;

    NEED_ROOT();
    OP(dp, DP_HOLD_SET, hold, .vni = VN_S, .mac = A, .frames = 9, .octets = 9000,
        .max_us = 1000000);
    memcpy(key.mac, A.b, 6);
    assert_int_equal(bpf_map_lookup_elem(dp->fd.fdb, &key, &to), 0);
    assert_int_equal(to.kind, FDB_LOCAL | NVE_HELD);
    n = &dp->holds[to.hold];
    expect_sent(overlay_in(&a, VN_S, V2, 64, 0), DPC_HELD);
    assert_int_equal(out.b[1], 63); /* what it is sent with if it must go on (D3) */
    overlay_tos = 0xb9;
    expect_sent(overlay_in(&a, VN_S, V2, 1, 0), DPC_HELD);
    overlay_tos = 0;
    assert_memory_equal(out.b, "\2\0\xb9\0\0\0", 6);
    assert_memory_equal(out.b + 6, a.b + 6, a.size - 6);
    assert_int_equal(n->in, 2);
    q = &dp->holds[NVE_HOLDS + n->share];
    assert_int_equal(q->vni | q->out, 0);
    assert_int_equal(q->in, 2);
    q->in = NVE_HOLD_QUEUE / 4 + 2; /* the network's part of the TAP is full */
    q->out = 2;
    expect_drop(overlay_in(&a, VN_S, V2, 64, 0), DPC_DROP_HELD);
    q->out = 3;
    expect_sent(overlay_in(&a, VN_S, V2, 64, 0), DPC_HELD);
    q->in = q->out = 0;
    n->in--;
    n->state = NVE_HOLD_DRAIN;
    expect_sent(overlay_in(&a, VN_S, V2, 64, 0), DPC_HELD);
    expect_sent(hold_in(a, to.hold, 0, 0), DPC_RELEASED);
    assert_memory_equal(out.b, a.b, a.size);
    n->out = 1;
    n->dropped = 1;
    expect_sent(overlay_in(&a, VN_S, V2, 64, 0), DPC_HELD);
    n->out = 3;
    expect_sent(overlay_in(&a, VN_S, V2, 64, 0), DPC_TX_PORT); /* none is before it */
    assert_int_equal(n->in, 4);
    /* of its own server's VMs, which does not switch to it yet: kept, then sent back */
    n->state = NVE_HOLD_KEEP;
    expect_sent(port_in(&self, TAGGED(100)), DPC_HELD);
    assert_memory_equal(out.b, "\2\100\0\0\0\0", 6);
    n->state = NVE_HOLD_PASS;
    expect_sent(port_in(&self, TAGGED(100)), DPC_LOCAL);
    n->state = NVE_HOLD_REFUSE;
    expect_drop(overlay_in(&a, VN_S, V2, 64, 0), DPC_DROP_HELD);
    n->state = NVE_HOLD_KEEP;
    OP(dp, DP_HOLD_DEL, hold, .vni = VN_S, .mac = A);
    expect_sent(overlay_in(&a, VN_S, V2, 64, 0), DPC_TX_PORT);

    OP(dp, DP_HOLD_SET, hold, .vni = VN_S, .mac = E, .frames = 9, .octets = 9000,
        .max_us = 1000000);
    memcpy(key.mac, E.b, 6);
    assert_int_equal(bpf_map_lookup_elem(dp->fd.fdb, &key, &to), 0);
    assert_int_equal(to.kind, FDB_RELAY | NVE_HELD);
    expect_sent(overlay_in(&e, VN_S, V2, 64, 0), DPC_HELD);
    expect_sent(port_in(&local, TAGGED(100)), DPC_HELD); /* before it drains to there */
    OP(dp, DP_FDB_SET, fdb, .vni = VN_S, .mac = E, .kind = FDB_REMOTE, .vtep = to_c);
    expect_sent(port_in(&local, TAGGED(100)), DPC_TX_OVERLAY); /* where it still runs */
    expect_sent(overlay_in(&e, VN_S, V2, 64, 0), DPC_HELD);
    OP(dp, DP_FDB_SET, fdb, .vni = VN_S, .mac = E, .kind = FDB_RELAY, .vtep = to_c);
    expect_sent(hold_in(e, to.hold, 254, 0xb9), DPC_TX_OVERLAY);
    assert_int_equal(after.cb[0], 254);
    assert_int_equal(after.cb[1], 0xb9);
    assert_memory_equal(out.b, e.b, e.size);
    expect_sent(hold_in(e, to.hold, 1, 0), DPC_RELEASED);
    assert_int_equal(after.cb[0], 1);
    expect_drop(hold_in(e, to.hold, 0, 0), DPC_DROP_TTL); /* D3 */
    expect_sent(hold_in(e, 0xe000 | to.hold, 1, 0), DPC_RELEASED);
    OP(dp, DP_HOLD_DEL, hold, .vni = VN_S, .mac = E);
    overlay_tos = 0xb8;
    expect_sent(overlay_in(&e, VN_S, V2, 255, 0), DPC_RELAYED);
    overlay_tos = 0;
    assert_int_equal(after.cb[0], 254);
    assert_int_equal(after.cb[1], 0xb8);

    OP(dp, DP_HOLD_SET, hold, .vni = VN_S, .mac = W, .frames = 9, .octets = 9000,
        .max_us = 1000000);
    memcpy(key.mac, W.b, 6);
    assert_int_equal(bpf_map_lookup_elem(dp->fd.fdb, &key, &to), 0);
    assert_int_equal(to.kind, NVE_NOWHERE | NVE_HELD);
    expect_sent(overlay_in(&w, VN_S, V2, 64, 0), DPC_HELD);
    expect_drop(hold_in(w, to.hold, 9, 0), DPC_DROP_HELD);
    assert_int_equal(hold_in(w, 0, 9, 0), ACT_SHOT);
    assert_int_equal(hold_in(w, 0xfff, 9, 0), ACT_SHOT); /* a share is no slot */
    OP(dp, DP_HOLD_DEL, hold, .vni = VN_S, .mac = W);
    assert_int_not_equal(bpf_map_lookup_elem(dp->fd.fdb, &key, &to), 0);
    expect_drop(overlay_in(&w, VN_S, V2, 64, 0), DPC_DROP_SPLIT);
}

/* D5: told once a second for each sender and VM, however many frames are relayed. */
static void
test_relayed(void **state)
{
    struct mac other = mac_n(0x1e);
    struct frame f = udp4(other, C, 1, 2, 20);
    struct ip from = ip_n("192.0.2.2");

    NEED_ROOT();
    OP(dp, DP_FDB_SET, fdb, .vni = VN_S, .mac = other, .kind = FDB_RELAY,
        .vtep = ip_n("192.0.2.2"));
    expect_sent(overlay_in(&f, VN_S, V2, 64, 0), DPC_RELAYED);
    assert_int_equal(n_events, 1);
    assert_int_equal(events[0].type, DP_EV_RELAYED);
    assert_int_equal(events[0].vni, VN_S);
    assert_true(mac_equal(&events[0].dst, &other));
    assert_true(ip_equal(&events[0].ip, &from));
    assert_null(events[0].frame);
    for (int i = 0; i < 50; i++) {
        expect_sent(overlay_in(&f, VN_S, V2, 64, 0), DPC_RELAYED);
        assert_int_equal(n_events, 0);
    }
    expect_sent(overlay_in(&f, VN_S, V3, 64, 0), DPC_RELAYED);
    assert_int_equal(n_events, 1); /* another sender */
    OP(dp, DP_FDB_DEL, fdb, .vni = VN_S, .mac = other);
}

static void
event_seen(void *ctx, const struct dp_event *ev)
{
    unsigned *seen = ctx;

    seen[ev->type]++;
}

/* Nobody's events drown those of others: an endpoint that sends where nothing is, and
 * VMs that ask for addresses that nobody has, in long frames. */
static void
test_event_floods(void **state)
{
    struct mac other = mac_n(0x1f);
    struct frame late = udp4(other, C, 1, 2, 20);
    unsigned seen[DP_N_EVENTS] = {0};
    uint64_t long_ones, start_ms = now_ms();

    NEED_ROOT();
    for (unsigned i = 0; i < 2000; i++) { /* astray: 50 at once, and 100 a second */
        struct frame f = udp4(mac_n(0x9000 + i), C, 1, 2, 20);

        expect_drop(overlay_in(&f, VN_S, V3, 64, 0), DPC_DROP_SPLIT);
        seen[DP_EV_ASTRAY] += (unsigned)n_events;
        assert_true(!n_events || events[0].type == DP_EV_ASTRAY);
    }
    assert_in_range(seen[DP_EV_ASTRAY], 1, 60 + (now_ms() - start_ms) / 10);
    keep_events = true; /* the daemon is busy */
    for (unsigned v = 0; v < 64; v++) {
        struct mac m = mac_n(0x7000 + v);

        OP(dp, DP_VSI_SET, vsi, .port = 1, .vni = VN_S, .vsi = 100 + v, .vid = 100,
            .mac = m, .active = 1);
        for (unsigned i = 0; i < 40; i++) {
            struct frame f = udp4(mac_n(0xa000 + v * 64 + i), m, 1, 2, 1400);

            expect_drop(port_in(&f, TAGGED(100)), DPC_DROP_UNKNOWN_MAC);
        }
        OP(dp, DP_VSI_DEL, vsi, .port = 1, .vid = 100, .mac = m);
    }
    OP(dp, DP_FDB_SET, fdb, .vni = VN_S, .mac = other, .kind = FDB_RELAY,
        .vtep = ip_n("192.0.2.2"));
    expect_sent(overlay_in(&late, VN_S, V2, 64, 0), DPC_RELAYED);
    keep_events = false;
    memset(seen, 0, sizeof(seen));
    dp_bpf_poll(dp, 0, event_seen, seen);
    long_ones = seen[DP_EV_MISS_MAC];
    print_message("%llu of 2560\n", (unsigned long long)long_ones);
    assert_in_range(long_ones, 1000, 2560); /* without the frames there is room */
    assert_int_equal(seen[DP_EV_RELAYED], 1);
    OP(dp, DP_FDB_DEL, fdb, .vni = VN_S, .mac = other);
}

/* What is refused of any VM is refused of one on its way; a hold tells nobody. */
static void
test_held_hostile(void **state)
{
    struct mac held = mac_n(0x2e);
    struct frame f = udp4(held, C, 1, 2, 20), two = f;
    struct nve_fdb_key key = {.vni = VN_S};
    struct nve_fdb to;
    struct rng r;

    NEED_ROOT();
    OP(dp, DP_HOLD_SET, hold, .vni = VN_S, .mac = held, .frames = 9, .octets = 9000,
        .max_us = 1000000);
    memcpy(key.mac, held.b, 6);
    assert_int_equal(bpf_map_lookup_elem(dp->fd.fdb, &key, &to), 0);
    memcpy(two.b + 12, "\x81\0\0\5", 4);
    expect_drop(overlay_in(&f, VN_S, V2, 64, 0x8100), DPC_DROP_SECOND_TAG);
    expect_drop(overlay_in(&two, VN_S, V2, 64, 0), DPC_DROP_SECOND_TAG);
    expect_drop(overlay_in(&f, VN_S, 0x01020304, 64, 0), DPC_DROP_VTEP);
    expect_drop(overlay_in(&f, VN_S + 1, V2, 64, 0), DPC_DROP_NO_VN);
    rng_seed(&r, 29);
    for (int i = 0; i < 5000; i++) { /* any octets: kept whole but for the first six */
        struct frame g = f;
        int rc;

        for (uint32_t n = rng_below(&r, 20); n; n--)
            g.b[14 + rng_below(&r, (uint32_t)g.size - 14)] = (uint8_t)rng_next(&r);
        g.b[11] = (uint8_t)rng_next(&r);
        g.size = 34 + rng_below(&r, (uint32_t)g.size - 33);
        dp->holds[NVE_HOLDS + dp->holds[to.hold].share].in = 0;
        rc = overlay_in(&g, VN_S, V2, 1 + rng_below(&r, 255), 0);
        assert_int_equal(n_events, 0);
        if (rc == ACT_SHOT)
            continue;
        expect_count(DPC_HELD, 1);
        assert_int_equal(out.b[0], 2);
        assert_memory_equal(out.b + 6, g.b + 6, g.size - 6);
    }
    OP(dp, DP_HOLD_DEL, hold, .vni = VN_S, .mac = held);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_relayed),
        cmocka_unit_test(test_held_hostile),
        cmocka_unit_test(test_event_floods),
    };
    return cmocka_run_group_tests_name("host_bpf_move", tests, setup, teardown);
}
