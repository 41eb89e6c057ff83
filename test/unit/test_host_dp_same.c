/* SPDX-License-Identifier: Apache-2.0 */
/* A held frame leaves as one that never waited: octets, tag and its priority, what is
 * left to offloading, the outer header where it goes on into the overlay. Frame by
 * frame, with real devices; and what hosts may forge. */
#include "hold_pair.h"
#include <linux/virtio_net.h>
#include <netinet/in.h>

static void
hold(struct nve *n, uint32_t vni, struct mac mac)
{
    go(n);
    OP(n->dp, DP_HOLD_SET, hold, .vni = vni, .mac = mac, .frames = 16384,
        .octets = 64 << 20, .max_us = 5000000);
}

static void
release(struct nve *n, uint32_t vni, struct mac mac)
{
    go(n);
    OP(n->dp, DP_HOLD_DEL, hold, .vni = vni, .mac = mac, .drain = 1);
    TURN_UNTIL(loop, view(n, mac).kept == 0);
}

static uint64_t
count(struct nve *n, enum dp_counter c)
{
    uint64_t all[DPC_N];

    dp_bpf_counters(n->dp, all);
    return all[c];
}

/* ---- frames with what is left to offloading ---- */

struct big {
    struct virtio_net_hdr v;
    uint8_t b[66000];
} __attribute__((packed));
struct seen {
    size_t size;
    int tci;
    struct big f;
};
static struct seen direct, held;
static struct big out;

static int
big_open(const char *dev)
{
    int fd = raw_open(dev), one = 1, size = 8 << 20;

    assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    return fd;
}

static bool
big_recv(int fd, struct seen *s, unsigned wait_ms)
{
    uint64_t end = now_ms() + wait_ms;

    memset(s, 0, sizeof(*s));
    for (;;) {
        struct sockaddr_ll from;
        char aux[256];
        struct iovec iov = {&s->f, sizeof(s->f)};
        struct msghdr msg = {&from, sizeof(from), &iov, 1, aux, sizeof(aux), 0};
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now = now_ms();
        ssize_t n;

        if (poll(&p, 1, now < end ? (int)(end - now) : 0) <= 0)
            return false;
        n = recvmsg(fd, &msg, 0);
        if (n < 0 || from.sll_pkttype == PACKET_OUTGOING)
            continue;
        s->size = (size_t)n;
        s->tci = -1;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
            struct tpacket_auxdata x;

            if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
                continue;
            memcpy(&x, CMSG_DATA(c), sizeof(x));
            if (x.tp_status & TP_STATUS_VLAN_VALID)
                s->tci = x.tp_vlan_tci;
        }
        return true;
    }
}

/* From A to B, with A's tag: IPv4 or IPv6 and this transport; the payload is counted
 * up. Returns its size. Segments of `gso` octets, or none. */
static size_t
build(uint8_t proto, bool six, size_t payload, uint8_t gso_type, uint16_t gso)
{
    size_t head = proto == IPPROTO_TCP ? 20 : 8, ip = six ? 40 : 20;
    uint8_t *p = out.b + 18, *l4 = p + ip;
    size_t len = head + payload;
    uint32_t sum = proto + (uint32_t)len;
    uint16_t c;

    memset(&out, 0, sizeof(out));
    memcpy(out.b, B.b, 6);
    memcpy(out.b + 6, A.b, 6);
    memcpy(out.b + 12, six ? "\x81\0\0\x64\x86\xdd" : "\x81\0\0\x64\x08\0", 6);
    if (six) {
        p[0] = 0x60;
        p[1] = 0x10; /* ECT(1) */
        p[4] = (uint8_t)(len >> 8);
        p[5] = (uint8_t)len;
        p[6] = proto;
        p[7] = 64;
        inet_pton(AF_INET6, "fd00::1", p + 8);
        inet_pton(AF_INET6, "fd00::2", p + 24);
        for (int i = 8; i < 40; i += 2)
            sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    } else {
        p[0] = 0x45;
        p[1] = 0x02; /* ECT(0) */
        p[2] = (uint8_t)((ip + len) >> 8);
        p[3] = (uint8_t)(ip + len);
        p[6] = 0x40;
        p[8] = 64;
        p[9] = proto;
        memcpy(p + 12, "\x0a\0\0\x01\x0a\0\0\x02", 8);
        c = csum(0, p, 20);
        p[10] = (uint8_t)(c >> 8);
        p[11] = (uint8_t)c;
        for (int i = 12; i < 20; i += 2)
            sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    }
    l4[0] = l4[2] = 0x10;
    if (proto == IPPROTO_TCP) {
        l4[12] = 0x50;
        l4[13] = 0x10;
    } else {
        l4[4] = (uint8_t)(len >> 8);
        l4[5] = (uint8_t)len;
    }
    for (size_t i = 0; i < payload; i++)
        l4[head + i] = (uint8_t)(i * 7);
    c = (uint16_t)~csum(sum, l4, 0); /* of the pseudo header: the rest is to be done */
    l4[head == 20 ? 16 : 6] = (uint8_t)(c >> 8);
    l4[head == 20 ? 17 : 7] = (uint8_t)c;
    out.v = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .csum_start = (uint16_t)(18 + ip),
        .csum_offset = head == 20 ? 16 : 6,
        .gso_type = gso_type,
        .gso_size = gso,
        .hdr_len = (uint16_t)(gso ? 18 + ip + head : 0)};
    return sizeof(out.v) + 18 + ip + len;
}

/* Twice, once through the hold of B: the same but for where the header ends that lies
 * in one piece, which is the receiver's own matter. */
static void
same(int from, int at, size_t size, const char *what)
{
    assert_int_equal(send(from, &out, size, 0), size);
    if (!big_recv(at, &direct, WAIT))
        fail_msg("%s: lost", what);
    hold(&b, VN, B);
    assert_int_equal(send(from, &out, size, 0), size);
    TURN_UNTIL(loop, view(&b, B).frames == 1);
    assert_false(big_recv(at, &held, 0));
    release(&b, VN, B);
    if (!big_recv(at, &held, WAIT))
        fail_msg("%s: lost in the hold", what);
    direct.f.v.hdr_len = held.f.v.hdr_len = 0;
    if (direct.size != held.size || direct.tci != held.tci ||
        memcmp(&direct.f, &held.f, direct.size))
        fail_msg("%s: %zu octets, tag %x, flags %x gso %x %u; held %zu, %x, %x %x %u",
            what, direct.size, direct.tci, direct.f.v.flags, direct.f.v.gso_type,
            direct.f.v.gso_size, held.size, held.tci, held.f.v.flags, held.f.v.gso_type,
            held.f.v.gso_size);
}

static void
test_offload(void **state)
{
    static const struct {
        const char *what;
        size_t payload;
        uint8_t proto, six, gso_type;
        uint16_t gso;
    } cases[] = {
        {"UDP, checksum left open", 100,   IPPROTO_UDP, 0, 0,                        0   },
        {"UDP over IPv6",           100,   IPPROTO_UDP, 1, 0,                        0   },
        {"TCP",                     1400,  IPPROTO_TCP, 0, 0,                        0   },
        {"TCP without payload",     0,     IPPROTO_TCP, 0, 0,                        0   },
        {"TCP super-frame",         40000, IPPROTO_TCP, 0, VIRTIO_NET_HDR_GSO_TCPV4, 1400},
        {"... over IPv6",           40000, IPPROTO_TCP, 1, VIRTIO_NET_HDR_GSO_TCPV6, 1400},
        {"... with CWR",            40000, IPPROTO_TCP, 0,
         VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN,                          1400},
        {"... a large one",         65400, IPPROTO_TCP, 0, VIRTIO_NET_HDR_GSO_TCPV4, 1400},
        {"UDP super-frame",         30000, IPPROTO_UDP, 0, 5,                        1400},
        {"... over IPv6",           30000, IPPROTO_UDP, 1, 5,                        1400},
    };
    uint64_t dropped;
    int from, at;

    NEED_ROOT();
    go(&a);
    from = big_open(a.far_dev);
    go(&b);
    at = big_open(b.far_dev);
    dropped = count(&b, DPC_DROP_HELD);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t size = build(cases[i].proto, cases[i].six, cases[i].payload,
            cases[i].gso_type, cases[i].gso);

        same(from, at, size, cases[i].what);
        assert_int_equal(direct.tci, 5 << 13 | b.vid);
        assert_int_equal(direct.f.v.gso_size, cases[i].gso); /* it did come whole */
    }
    assert_int_equal(count(&b, DPC_DROP_HELD), dropped);
    close(from);
    close(at);
}

/* Fragments, no IP at all, a length for a type, nothing inside, padding behind; octets
 * that only look like a tag. */
static void
test_shapes(void **state)
{
    static const uint8_t shapes[][8] = {
        {0x08,  0x00,   0x45, 0, 0, 40, 0, 1},
        {0x86,    0xdd,         0x60, 0, 0, 0, 0, 8},
        {0x00,    0x2e,         0x42, 0x42, 3},
        {0x88,  0x47, 0, 0, 1, 64},
        {0x88,    0xb5        },
        {0x88,    0x6d,         0x81, 0, 0, 5},
        {0x00,  0x00},
        {0xff, 0xff     },
    };
    static const size_t sizes[] = {20, 21, 64, 700, 1518};
    int from, at;

    NEED_ROOT();
    go(&a);
    from = big_open(a.far_dev);
    go(&b);
    at = big_open(b.far_dev);
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        for (size_t k = i < 2 ? 2 : 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
            char what[40]; /* IP must have its header: the kernel looks */

            build(IPPROTO_UDP, false, 1500, 0, 0);
            out.v = (struct virtio_net_hdr){0};
            memcpy(out.b + 16, shapes[i], sizes[k] < 24 ? 2 : 8);
            if (!i)
                out.b[18 + 6] = 0x20, out.b[18 + 7] = (uint8_t)k; /* fragments */
            snprintf(what, sizeof(what), "type %02x%02x of %zu octets", shapes[i][0],
                shapes[i][1], sizes[k]);
            same(from, at, sizeof(out.v) + sizes[k], what);
        }
    close(from);
    close(at);
}

/* What a host may say of checksums and segments and the kernel let pass: it arrives the
 * same or not at all, and the hold's books are balanced. */
static void
test_forged(void **state)
{
    uint32_t seed = 1, sent = 0, got = 0;
    uint64_t in, kept = 0;
    int from, at;

    NEED_ROOT();
    go(&a);
    from = big_open(a.far_dev);
    go(&b);
    at = big_open(b.far_dev);
    in = count(&b, DPC_HELD);
    hold(&b, VN, B);
    for (int i = 0; i < 3000; i++) {
        size_t size = build(i & 1 ? IPPROTO_TCP : IPPROTO_UDP, i & 2,
            (size_t)(rand_r(&seed) % 9000), (uint8_t)(i & 1 ? i & 2 ? 4 : 1 : 5), 700);
        int n = rand_r(&seed) % 4;

        for (int k = 0; k < n; k++) {
            uint8_t *v = (uint8_t *)&out.v;
            int j = rand_r(&seed) % (int)(sizeof(out.v) + 60);

            if (j < (int)sizeof(out.v) || j >= (int)sizeof(out.v) + 18)
                v[j] = (uint8_t)rand_r(&seed);
        }
        sent += send(from, &out, size, 0) == (ssize_t)size;
        if (i % 64 == 0)
            loop_turn(loop, 0);
    }
    TURN_UNTIL(loop, view(&b, B).kept >= count(&b, DPC_HELD) - in &&
                         view(&b, B).kept == view(&b, B).frames + view(&b, B).dropped);
    kept = view(&b, B).kept;
    assert_true(sent > 1000 && kept > 500);
    release(&b, VN, B);
    while (big_recv(at, &held, got ? 20 : WAIT))
        got++;
    assert_true(got > 500);
    /* and honest ones go on */
    same(from, at, build(IPPROTO_TCP, false, 9000, VIRTIO_NET_HDR_GSO_TCPV4, 1400),
        "after those");
    close(from);
    close(at);
}

/* ---- into the overlay ---- */

static int
vxlan_open(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    int fd;

    go(&a);
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    inet_pton(AF_INET, "10.8.0.1", &at.sin_addr);
    assert_int_equal(bind(fd, (void *)&at, sizeof(at)), 0);
    inet_pton(AF_INET, "10.8.0.2", &at.sin_addr);
    at.sin_port = htons(4789);
    assert_int_equal(connect(fd, (void *)&at, sizeof(at)), 0);
    return fd;
}

static void
vxlan_send(int fd, int tos, int ttl, const struct frame *f)
{
    uint8_t head[8] = {8, 0, 0, 0, 0, VN >> 8, VN & 255, 0};
    struct iovec iov[2] = {
        {head,         8      },
        {(void *)f->b, f->size}
    };
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

    setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
    setsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
    assert_int_equal(sendmsg(fd, &msg, 0), 8 + f->size);
}

/* The next VXLAN packet that comes back on the underlay, without what differs from
 * packet to packet. */
static bool
vxlan_recv(int under, struct frame *f, unsigned wait_ms)
{
    int tci;

    while (raw_recv(under, f, &tci, wait_ms)) {
        if (f->size < 50 || f->b[12] != 8 || f->b[23] != 17 || f->b[36] != 0x12)
            continue;
        memset(f->b + 18, 0, 2); /* identification */
        memset(f->b + 24, 0, 2); /* checksum of the header */
        memset(f->b + 34, 0, 2); /* source port: entropy of the flow */
        memset(f->b + 40, 0, 2); /* checksum */
        return true;
    }
    return false;
}

static void
test_relay(void **state)
{
    static const struct {
        int tos, ttl, inner; /* inner: ECN */
        bool gone;           /* the kernel drops it, as RFC 6040 asks */
    } cases[] = {
        {0,    64,  0, false},
        {0xb8, 64,  0, false}, /* EF */
        {0xba, 63,  2, false}, /* and ECT(0) */
        {0x2b, 62,  2, false}, /* congestion was met */
        {0xbb, 62,  3, false},
        {0x29, 20,  1, false},
        {0x03, 64,  0, true },
        {0xe0, 255, 0, false},
        {0x48, 2,   0, false},
    };
    struct frame d, h;
    int fd, under;

    NEED_ROOT();
    fd = vxlan_open();
    under = raw_open("uA");
    go(&b);
    OP(b.dp, DP_FDB_SET, fdb, .vni = VN, .mac = C, .kind = FDB_RELAY,
        .vtep = a.conf.local);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct frame f = udp4(C, A, 5, 6, 100);
        uint16_t c;

        f.b[15] = (uint8_t)cases[i].inner;
        memset(f.b + 24, 0, 2);
        c = csum(0, f.b + 14, 20);
        f.b[24] = (uint8_t)(c >> 8);
        f.b[25] = (uint8_t)c;
        vxlan_send(fd, cases[i].tos, cases[i].ttl, &f);
        assert_int_equal(
            vxlan_recv(under, &d, cases[i].gone ? 50 : WAIT), !cases[i].gone);
        hold(&b, VN, C);
        vxlan_send(fd, cases[i].tos, cases[i].ttl, &f);
        if (cases[i].gone) {
            release(&b, VN, C);
            assert_false(vxlan_recv(under, &h, 50));
            continue;
        }
        TURN_UNTIL(loop, view(&b, C).frames == 1);
        assert_false(vxlan_recv(under, &h, 0));
        release(&b, VN, C);
        assert_true(vxlan_recv(under, &h, WAIT));
        assert_int_equal(d.size, h.size);
        assert_memory_equal(d.b, h.b, d.size);
        assert_int_equal(h.b[22], cases[i].ttl - 1);
        assert_int_equal(h.b[15] & 0xfc, cases[i].tos & 0xfc);
    }
    go(&b); /* no further than this (D3), held or not */
    for (int k = 0; k < 2; k++) {
        struct frame f = udp4(C, A, 5, 6, 100);
        uint64_t was = count(&b, DPC_DROP_TTL);

        if (k)
            hold(&b, VN, C);
        vxlan_send(fd, 0, 1, &f);
        if (k) {
            TURN_UNTIL(loop, view(&b, C).frames == 1);
            release(&b, VN, C);
        }
        assert_int_equal(count(&b, DPC_DROP_TTL) - was, 1);
        assert_false(vxlan_recv(under, &h, 20));
    }
    OP(b.dp, DP_FDB_DEL, fdb, .vni = VN, .mac = C);
    close(fd);
    close(under);
}

/* ECN of the outer header reaches the VM the same way (RFC 6040 section 4.2), also in a
 * frame that waited; the tag's priority is the VM's own. */
static void
test_local_ecn(void **state)
{
    struct frame d, h, f = udp4(B, A, 5, 6, 100);
    int fd, tci = 0;
    uint16_t c;

    NEED_ROOT();
    fd = vxlan_open();
    f.b[15] = 2;
    memset(f.b + 24, 0, 2);
    c = csum(0, f.b + 14, 20);
    f.b[24] = (uint8_t)(c >> 8);
    f.b[25] = (uint8_t)c;
    while (raw_recv(b.far, &d, &tci, 0))
        ;
    vxlan_send(fd, 3, 64, &f);
    assert_true(raw_recv(b.far, &d, &tci, WAIT));
    assert_int_equal(d.b[15], 3);
    hold(&b, VN, B);
    vxlan_send(fd, 3, 64, &f);
    TURN_UNTIL(loop, view(&b, B).frames == 1);
    release(&b, VN, B);
    assert_true(raw_recv(b.far, &h, &tci, WAIT));
    assert_int_equal(tci, 5 << 13 | b.vid);
    assert_int_equal(d.size, h.size);
    assert_memory_equal(d.b, h.b, d.size);
    close(fd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offload),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_forged),
        cmocka_unit_test(test_relay),
        cmocka_unit_test(test_local_ecn),
    };
    return cmocka_run_group_tests_name(
        "host_dp_same", tests, hold_setup, hold_teardown);
}
