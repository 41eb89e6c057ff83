/* SPDX-License-Identifier: Apache-2.0 */
#include "edge_fake.h"

#include "base/rng.h"
#include "wire/arp.h"
#include "wire/eth.h"
#include "wire/nd.h"

enum { VN = 5000 };
static const struct mac broadcast = {
    {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
};

static int
setup(void **state)
{
    (void)state;
    fake_open(4096);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    fake_close();
    return 0;
}

static struct ip
v4_n(uint32_t n)
{
    return ip_v4(0xc0a80000 + n);
}

/* VM n at (port, vid); with its addresses or without (plain VDP). */
static void
local(uint32_t n, uint32_t port, uint16_t vid, bool ips)
{
    struct ip a[2] = {v4_n(n), ip6_n(n)};
    struct mapping_local l = {.vni = VN,
        .att = n,
        .port = port,
        .vid = vid,
        .pcp = 3,
        .mac = mac_n(n),
        .n_ips = ips ? 2 : 0,
        .ips = a,
        .epoch = 5,
        .migration_id = n};
    assert_int_equal(mapping_local_set(&F.e, &l, TICKET_ATT_DP, 1), MAPPING_ACCEPTED);
    struct mapping_rec rec;
    assert_true(mapping_find(&F.e, VN, &l.mac, NULL, &rec, NULL));
    arp_known(&F.e, &rec);
    fake_run();
}

static void
remote(uint32_t n)
{
    struct mapping_rec rec = rec_n(VN, n, 2, 5);
    assert_int_equal(mapping_remote_set(&F.e, &rec, 0, NULL), MAPPING_ACCEPTED);
    arp_known(&F.e, &rec);
    fake_run();
}

static uint16_t
frame_arp(uint8_t *p, const struct mac *dst, uint32_t from, uint16_t op, struct ip spa,
    struct ip tpa)
{
    struct wr w = wr_of(p, 128);
    struct eth eth = {.dst = *dst, .src = mac_n(from), .type = ETH_TYPE_ARP};
    struct arp arp = {
        .op = op, .sender_mac = eth.src, .sender_ip = spa, .target_ip = tpa};
    eth_encode(&w, &eth);
    arp_encode(&w, &arp);
    eth_pad(&w);
    return (uint16_t)w.pos;
}

static uint16_t
frame_nd(uint8_t *p, uint32_t from, struct nd nd)
{
    struct wr w = wr_of(p, 128);
    struct eth eth = {
        .dst = nd_multicast_mac(&nd.dst), .src = mac_n(from), .type = ETH_TYPE_IPV6};
    nd.hop_limit = 255;
    eth_encode(&w, &eth);
    nd_encode(&w, &nd);
    return (uint16_t)w.pos;
}

static struct nd
ns(uint32_t from, struct ip target, bool dad)
{
    struct nd nd = {.type = ND_NS, .target = target, .dst = nd_solicited_node(&target)};
    if (!dad) {
        nd.src = ip6_n(from);
        nd.n_slla = 1;
        nd.slla = mac_n(from);
    }
    return nd;
}

static bool
event(uint8_t type, uint32_t from, uint32_t port, uint16_t vid, const uint8_t *p,
    uint16_t size, struct arp_learned *l)
{
    struct dp_event ev = {.type = type,
        .vni = VN,
        .port = port,
        .vid = vid,
        .src = mac_n(from),
        .frame = p,
        .size = size};
    if (size >= 6)
        memcpy(ev.dst.b, p, 6);
    struct arp_learned none;
    bool learned = arp_event(&F.e, &ev, l ? l : &none);
    fake_run();
    return learned;
}

static void
ask_arp(uint32_t from, uint32_t port, uint16_t vid, struct ip target)
{
    uint8_t p[128];
    uint16_t size = frame_arp(p, &broadcast, from, ARP_REQUEST, v4_n(from), target);
    event(DP_EV_MISS_IP, from, port, vid, p, size, NULL);
}

static void
waiting(uint32_t keys, uint32_t frames)
{
    uint32_t k, f, b;
    arp_waiting(&F.e, &k, &f, &b);
    assert_int_equal(k, keys);
    assert_int_equal(f, frames);
    assert_true(b <= ARP_HELD_BYTES && (b == 0) == (f == 0));
}

static void
expect_arp_reply(uint32_t i, uint32_t port, uint16_t vid, uint32_t to, uint32_t target)
{
    struct rd r = rd_of(F.frames[i].bytes, F.frames[i].size);
    struct eth eth;
    struct arp arp;
    assert_int_equal(F.frames[i].port, port);
    assert_int_equal(F.frames[i].vid, vid);
    assert_true(eth_decode(&r, &eth) && eth.type == ETH_TYPE_ARP);
    assert_true(arp_decode(&r, &arp));
    struct mac mac = mac_n(target), asker = mac_n(to);
    struct ip ip = v4_n(target), asker_ip = v4_n(to);
    assert_int_equal(arp.op, ARP_REPLY);
    assert_true(mac_equal(&eth.dst, &asker) && mac_equal(&eth.src, &mac));
    assert_true(mac_equal(&arp.sender_mac, &mac) && ip_equal(&arp.sender_ip, &ip));
    assert_true(
        mac_equal(&arp.target_mac, &asker) && ip_equal(&arp.target_ip, &asker_ip));
}

/* S4-30 to S4-34: held, asked once, answered when the mapping comes. */
static void
test_arp(void **state)
{
    (void)state;
    local(1, 3, 100, true);
    fake_clear();
    for (int i = 0; i < 10; i++)
        ask_arp(1, 3, 100, v4_n(9));
    waiting(1, ARP_HELD_FRAMES);
    assert_int_equal(F.n_queries, 1);
    struct ip want = v4_n(9);
    assert_true(ip_equal(&F.last_query.u.query.ip, &want));
    assert_true(mac_is_none(&F.last_query.u.query.mac));
    assert_int_equal(F.n_frames, 0); /* who asks is not asked */
    remote(9);
    waiting(0, 0);
    assert_int_equal(F.n_frames, 3);
    expect_arp_reply(0, 3, 100, 1, 9);
    assert_int_equal(F.frames[0].pcp, 3);
    fake_clear();
    ask_arp(1, 3, 100, v4_n(9)); /* the report was overtaken */
    assert_int_equal(F.n_frames, 1);
    expect_arp_reply(0, 3, 100, 1, 9);
    /* Never about its own address, never to an announcement, never by lies (K18). */
    fake_clear();
    ask_arp(1, 3, 100, v4_n(1));
    uint8_t p[128];
    uint16_t size = frame_arp(p, &broadcast, 1, ARP_REQUEST, v4_n(9), v4_n(9));
    event(DP_EV_MISS_IP, 1, 3, 100, p, size, NULL);
    size = frame_arp(p, &broadcast, 1, ARP_REQUEST, v4_n(1), v4_n(9));
    p[6 + 5] ^= 1; /* Ethernet source */
    event(DP_EV_MISS_IP, 1, 3, 100, p, size, NULL);
    size = frame_arp(p, &broadcast, 1, ARP_REPLY, v4_n(1), v4_n(9));
    event(DP_EV_MISS_IP, 1, 3, 100, p, size, NULL);
    assert_int_equal(F.n_frames, 0);
    waiting(0, 0);
    /* Refused, and silence. */
    ask_arp(1, 3, 100, v4_n(10));
    waiting(1, 1);
    want = v4_n(10);
    mapping_negative(&F.e, VN, NULL, &want, 0);
    arp_unknown(&F.e, VN, NULL, &want);
    waiting(1, 1); /* its question is kept, in case the VM comes */
    fake_time(F.e.now_us + 5000001);
    waiting(0, 0);
    ask_arp(1, 3, 100, v4_n(14));
    want = v4_n(14);
    arp_unknown(&F.e, VN, NULL, &want);
    fake_clear();
    remote(14);
    assert_int_equal(F.n_frames, 1);
    expect_arp_reply(0, 3, 100, 1, 14);
    waiting(0, 0);
    ask_arp(1, 3, 100, v4_n(11));
    ask_arp(1, 3, 100, v4_n(12));
    fake_clear();
    arp_session(&F.e, true); /* asked again of whoever is there now */
    fake_run();
    assert_int_equal(F.n_queries, 2);
    fake_time(F.e.now_us + 2000000);
    waiting(0, 0);
    assert_int_equal(F.n_frames, 0);
}

static void
test_same_link(void **state)
{
    (void)state;
    local(1, 1, 100, true);
    local(2, 1, 100, true);
    local(3, 1, 200, true);
    fake_clear();
    ask_arp(1, 1, 100, v4_n(2)); /* they hear each other */
    assert_int_equal(F.n_frames, 0);
    ask_arp(1, 1, 100, v4_n(3));
    assert_int_equal(F.n_frames, 1);
    F.port.reflect = 1; /* K10: all is left to us */
    ask_arp(1, 1, 100, v4_n(2));
    assert_int_equal(F.n_frames, 2);
}

static void
expect_na(uint32_t i, struct ip dst, struct ip target, uint32_t owner, uint8_t flags)
{
    struct rd r = rd_of(F.frames[i].bytes, F.frames[i].size);
    struct eth eth;
    struct nd nd;
    struct mac mac = mac_n(owner);
    assert_true(eth_decode(&r, &eth) && eth.type == ETH_TYPE_IPV6);
    assert_int_equal(nd_decode(&r, &nd), ND_OK); /* checksum, hop limit */
    assert_int_equal(nd.type, ND_NA);
    assert_int_equal(nd.flags, flags | ND_NA_ROUTER);
    assert_true(ip_equal(&nd.dst, &dst) && ip_equal(&nd.target, &target));
    assert_true(ip_equal(&nd.src, &target));
    assert_int_equal(nd.n_tlla, 1);
    assert_true(mac_equal(&nd.tlla, &mac) && mac_equal(&eth.src, &mac));
}

/* K14: what the data plane does not answer, and duplicate address detection. */
static void
test_nd(void **state)
{
    (void)state;
    uint8_t p[128];
    struct ip all_nodes = {
        {0xff, 2, [15] = 1}
    };
    local(1, 3, 100, true);
    remote(9);
    fake_clear();
    event(DP_EV_ND, 1, 3, 100, p, frame_nd(p, 1, ns(1, ip6_n(9), false)), NULL);
    assert_int_equal(F.n_frames, 1);
    expect_na(0, ip6_n(1), ip6_n(9), 9, ND_NA_SOLICITED | ND_NA_OVERRIDE);
    event(DP_EV_ND, 1, 3, 100, p, frame_nd(p, 1, ns(1, ip6_n(9), true)), NULL);
    assert_int_equal(F.n_frames, 2);
    expect_na(1, all_nodes, ip6_n(9), 9, ND_NA_OVERRIDE); /* defended */
    event(DP_EV_ND, 1, 3, 100, p, frame_nd(p, 1, ns(1, ip6_n(1), true)), NULL);
    assert_int_equal(F.n_frames, 2); /* its own: no answer, or it would give it up */
    struct nd bad = ns(1, ip6_n(9), false);
    bad.slla = mac_n(77);
    event(DP_EV_ND, 1, 3, 100, p, frame_nd(p, 1, bad), NULL);
    uint16_t size = frame_nd(p, 1, ns(1, ip6_n(9), false));
    p[size - 1] ^= 1;
    event(DP_EV_ND, 1, 3, 100, p, size, NULL);
    assert_int_equal(F.n_frames, 2);
    waiting(0, 0);
    event(DP_EV_MISS_IP, 1, 3, 100, p, frame_nd(p, 1, ns(1, ip6_n(10), false)), NULL);
    waiting(1, 1);
    remote(10);
    assert_int_equal(F.n_frames, 3);
    expect_na(2, ip6_n(1), ip6_n(10), 10, ND_NA_SOLICITED | ND_NA_OVERRIDE);
    assert_int_equal(F.e.counters[EDGEC_ND_ANSWERED], 3);
}

/* K18: in pull mode the first frames wait and leave in order. */
static void
test_miss_mac(void **state)
{
    (void)state;
    uint8_t p[1500] = {0};
    struct mac dst = mac_n(9), src = mac_n(1);
    memcpy(p, dst.b, 6);
    memcpy(p + 6, src.b, 6);
    for (uint8_t i = 0; i < 10; i++) {
        p[20] = i;
        event(DP_EV_MISS_MAC, 1, 3, 100, p, sizeof p, NULL);
    }
    waiting(1, 3);
    assert_int_equal(F.n_queries, 1);
    assert_true(mac_equal(&F.last_query.u.query.mac, &dst));
    remote(9);
    assert_int_equal(F.n_frames, 3);
    for (uint8_t i = 0; i < 3; i++) {
        assert_int_equal(F.frames[i].port, 0);
        assert_int_equal(F.frames[i].vni, VN);
        assert_int_equal(F.frames[i].size, sizeof p);
        assert_int_equal(F.frames[i].bytes[20], i);
    }
    p[20] = 99;
    event(DP_EV_MISS_MAC, 1, 3, 100, p, sizeof p, NULL);
    assert_int_equal(F.n_frames, 4);
    event(DP_EV_MISS_MAC, 1, 3, 100, NULL, 0, NULL); /* a report without its frame */
    memcpy(p, broadcast.b, 6);
    event(DP_EV_MISS_MAC, 1, 3, 100, p, sizeof p, NULL);
    waiting(0, 0);
}

static void
test_bounds(void **state)
{
    (void)state;
    static uint8_t p[9000];
    struct mac src = mac_n(1);
    memcpy(p + 6, src.b, 6);
    for (uint32_t i = 0; i < 10000; i++) {
        struct mac dst = mac_n(1000 + i);
        memcpy(p, dst.b, 6);
        event(DP_EV_MISS_MAC, 1, 3, 100, p, i % 2 ? 9000 : 64, NULL);
    }
    uint32_t k, f, b;
    arp_waiting(&F.e, &k, &f, &b);
    assert_int_equal(k, ARP_PENDING_MAX);
    assert_true(b <= ARP_HELD_BYTES && f > 100);
    assert_int_equal(F.n_queries, ARP_PENDING_MAX);
    arp_vn_gone(&F.e, VN);
    waiting(0, 0);
}

/* K8: addresses from the VSI's own ARP, ND and DHCP. */
static void
test_snoop(void **state)
{
    (void)state;
    uint8_t p[400];
    struct arp_learned l;
    local(1, 3, 100, false);
    local(2, 3, 100, false);
    struct mac m1 = mac_n(1);
    struct ip want = v4_n(1);
    uint16_t size = frame_arp(p, &broadcast, 1, ARP_REQUEST, v4_n(1), v4_n(9));
    assert_true(event(DP_EV_SNOOP, 1, 3, 100, p, size, &l));
    assert_int_equal(l.att, 1);
    assert_true(mac_equal(&l.mac, &m1) && ip_equal(&l.ip, &want));
    assert_true(mac_equal(fake_neigh(VN, &want), &m1));
    assert_false(event(DP_EV_SNOOP, 1, 3, 100, p, size, &l)); /* known */
    assert_false(event(DP_EV_SNOOP, 1, 4, 100, p, size, &l)); /* not where it stands */
    size = frame_arp(p, &broadcast, 7, ARP_REQUEST, v4_n(7), v4_n(9));
    assert_false(event(DP_EV_SNOOP, 7, 3, 100, p, size, &l)); /* nobody we know */
    size = frame_arp(p, &broadcast, 1, ARP_REQUEST, ip_v4(0), v4_n(55));
    assert_false(
        event(DP_EV_SNOOP, 1, 3, 100, p, size, &l)); /* a probe claims nothing */
    struct nd na = {.type = ND_NA,
        .src = ip6_n(1),
        .dst = {{0xff, 2, [15] = 1}},
        .target = ip6_n(1),
        .n_tlla = 1,
        .tlla = m1};
    assert_true(event(DP_EV_SNOOP, 1, 3, 100, p, frame_nd(p, 1, na), &l));
    want = ip6_n(1);
    assert_true(mac_equal(fake_neigh(VN, &want), &m1));
    na.target = ip6_n(50);
    na.tlla = mac_n(2);
    assert_false(event(DP_EV_SNOOP, 1, 3, 100, p, frame_nd(p, 1, na), &l));
    assert_false(event(DP_EV_SNOOP, 1, 3, 100, p,
        frame_nd(p, 1, ns(1, ip6_n(60), true)), &l)); /* DAD: not yet its own */
    assert_true(
        event(DP_EV_SNOOP, 2, 3, 100, p, frame_nd(p, 2, ns(2, ip6_n(60), false)), &l));
    want = ip6_n(2);
    assert_true(ip_equal(&l.ip, &want));
    /* DHCP renewal: IPv4, UDP 68 -> 67, BOOTREQUEST with ciaddr and its own chaddr. */
    static const uint8_t udp[] = {0, 68, 0, 67};
    memset(p, 0, sizeof p);
    struct wr w = wr_of(p, sizeof p);
    struct eth eth = {.dst = broadcast, .src = mac_n(2), .type = ETH_TYPE_IPV4};
    eth_encode(&w, &eth);
    p[14] = 0x45;
    p[14 + 9] = 17;
    memcpy(p + 34, udp, sizeof udp);
    p[42] = 1;
    p[43] = 1;
    p[44] = 6;
    memcpy(p + 54, (uint8_t[]){192, 168, 0, 2}, 4);
    memcpy(p + 70, eth.src.b, 6);
    want = v4_n(2);
    assert_true(event(DP_EV_SNOOP, 2, 3, 100, p, 300, &l));
    assert_true(ip_equal(&l.ip, &want));
    p[75] ^= 1;
    p[57] = 77;
    assert_false(
        event(DP_EV_SNOOP, 2, 3, 100, p, 300, &l)); /* for another's hardware */
    assert_false(event(DP_EV_SNOOP, 2, 3, 100, p, 60, &l));
    assert_false(event(DP_EV_SNOOP, 2, 3, 100, NULL, 0, &l));
}

/* K8: in a VN whose VSIs told no addresses they are asked, and the asker gets its
 * answer. */
static void
test_probe(void **state)
{
    (void)state;
    uint8_t p[128];
    struct arp_learned l;
    local(1, 3, 100, true);
    local(2, 4, 200, false);
    local(3, 4, 200, false);
    local(4, 5, 100, false);
    fake_clear();
    ask_arp(1, 3, 100, v4_n(2));
    assert_int_equal(F.n_queries, 1);
    assert_int_equal(F.n_frames, 2); /* once per (port, tag) with unknown addresses */
    struct rd r = rd_of(F.frames[0].bytes, F.frames[0].size);
    struct eth eth;
    struct arp arp;
    struct ip want = v4_n(2);
    assert_true(eth_decode(&r, &eth) && arp_decode(&r, &arp) && arp_is_probe(&arp));
    assert_true(mac_equal(&eth.dst, &broadcast) && ip_equal(&arp.target_ip, &want));
    assert_true(mac_equal(&eth.src, &arp.sender_mac) && !mac_is_group(&eth.src));
    fake_clear();
    ask_arp(1, 3, 100, v4_n(2));
    arp_probe(&F.e, VN, &want);
    fake_run();
    assert_int_equal(F.n_frames, 0); /* not again at once */
    uint16_t size = frame_arp(p, &eth.src, 2, ARP_REPLY, v4_n(2), ip_v4(0));
    assert_true(event(DP_EV_SNOOP, 2, 4, 200, p, size, &l));
    assert_int_equal(F.n_frames, 2);
    expect_arp_reply(0, 3, 100, 1, 2);
    event(DP_EV_MISS_MAC, 2, 4, 200, p, size, NULL); /* the same frame, to nobody */
    waiting(0, 0);
    fake_clear();
    want = ip6_n(4);
    arp_probe(&F.e, VN, &want);
    fake_run();
    assert_int_equal(F.n_frames, 2);
    r = rd_of(F.frames[1].bytes, F.frames[1].size);
    struct nd nd;
    assert_true(eth_decode(&r, &eth));
    assert_int_equal(nd_decode(&r, &nd), ND_OK);
    assert_true(nd_is_plain_ns(&nd) && ip_equal(&nd.target, &want));
    fake_clear();
    want = v4_n(2);
    arp_probe(&F.e, VN, &want);           /* known by now */
    for (uint32_t i = 0; i < 1000; i++) { /* the budget of frames holds */
        want = v4_n(1000 + i);
        arp_probe(&F.e, VN, &want);
    }
    uint32_t n = F.n;
    assert_true(n <= 200);
    fake_run();
}

/* F18: the MAC behind an address changed: VMs that were told the old one are told. */
static void
test_announce(void **state)
{
    (void)state;
    local(1, 3, 100, true);
    local(2, 4, 200, true);
    struct mapping_rec a = rec_n(VN, 9, 2, 5), b = rec_n(VN, 10, 3, 5);
    mapping_remote_set(&F.e, &a, 0, NULL);
    fake_clear();
    b.ips[0] = a.ips[0];
    mapping_remote_set(&F.e, &b, 0, NULL);
    fake_run();
    assert_int_equal(F.n_frames, 2);
    struct rd r = rd_of(F.frames[0].bytes, F.frames[0].size);
    struct eth eth;
    struct arp arp;
    assert_true(eth_decode(&r, &eth) && arp_decode(&r, &arp) && arp_is_announce(&arp));
    assert_true(
        mac_equal(&arp.sender_mac, &b.mac) && ip_equal(&arp.sender_ip, &a.ips[0]));
    b.ips[1] = a.ips[1];
    mapping_remote_set(&F.e, &b, 0, NULL);
    fake_run();
    assert_int_equal(F.n_frames, 4);
    struct ip all_nodes = {
        {0xff, 2, [15] = 1}
    };
    expect_na(2, all_nodes, a.ips[1], 10, ND_NA_OVERRIDE);
}

static void
test_noise(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 1);
    local(1, 3, 100, false);
    for (int i = 0; i < 20000; i++) {
        uint8_t p[128];
        uint16_t size = (uint16_t)rng_below(&rng, sizeof p);
        rng_bytes(&rng, p, sizeof p);
        if (rng_below(&rng, 2)) {
            size =
                frame_nd(p, 1, ns(1, ip6_n(rng_below(&rng, 20)), rng_below(&rng, 2)));
            p[rng_below(&rng, size)] ^= (uint8_t)rng_next(&rng);
        }
        event((uint8_t)rng_below(&rng, DP_N_EVENTS + 1), 1, 3, 100, p, size, NULL);
        if (i % 100 == 0)
            fake_time(F.e.now_us + 3000000);
        fake_clear();
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_arp),
        T(test_same_link),
        T(test_nd),
        T(test_miss_mac),
        T(test_bounds),
        T(test_snoop),
        T(test_probe),
        T(test_announce),
        T(test_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
