/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the BPF data plane share: frames, operations, a namespace with
 * ports. */
#ifndef BERTH_TEST_NVE_FRAMES_H
#define BERTH_TEST_NVE_FRAMES_H
#include "test.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "host/dp_bpf.h"

static inline void
sh(const char *cmd)
{
    if (system(cmd))
        fail_msg("%s", cmd);
}

static inline struct mac
mac_n(unsigned n)
{
    return (struct mac){
        {2, 0, 0, 0, (uint8_t)(n >> 8), (uint8_t)n}
    };
}

static inline struct ip
ip_n(const char *text)
{
    struct ip ip;

    if (!ip_parse(text, &ip))
        fail_msg("%s", text);
    return ip;
}

struct frame {
    uint8_t b[4096];
    size_t size;
};

static inline struct frame
frame_of(struct mac dst, struct mac src, uint16_t type, size_t payload)
{
    struct frame f = {.size = 14 + payload};

    memcpy(f.b, dst.b, 6);
    memcpy(f.b + 6, src.b, 6);
    f.b[12] = (uint8_t)(type >> 8);
    f.b[13] = (uint8_t)type;
    return f;
}

static const struct mac MAC_ALL = {
    {255, 255, 255, 255, 255, 255}
};

static inline uint16_t
csum(uint32_t sum, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i += 2)
        sum += (uint32_t)(p[i] << 8 | (i + 1 < n ? p[i + 1] : 0));
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* An IPv4 UDP frame of this many octets of payload, checksums right. */
static inline struct frame
udp4(struct mac dst, struct mac src, uint16_t sport, uint16_t dport, size_t payload)
{
    struct frame f = frame_of(dst, src, 0x0800, 28 + payload);
    uint8_t *ip = f.b + 14, *udp = ip + 20;
    uint16_t c, total = (uint16_t)(28 + payload), len = (uint16_t)(8 + payload);

    ip[0] = 0x45;
    ip[2] = (uint8_t)(total >> 8);
    ip[3] = (uint8_t)total;
    ip[8] = 64;
    ip[9] = 17;
    memcpy(ip + 12, "\x0a\0\0\x01\x0a\0\0\x02", 8);
    c = csum(0, ip, 20);
    ip[10] = (uint8_t)(c >> 8);
    ip[11] = (uint8_t)c;
    udp[0] = (uint8_t)(sport >> 8);
    udp[1] = (uint8_t)sport;
    udp[2] = (uint8_t)(dport >> 8);
    udp[3] = (uint8_t)dport;
    udp[4] = (uint8_t)(len >> 8);
    udp[5] = (uint8_t)len;
    for (size_t i = 0; i < payload; i++)
        udp[8 + i] = (uint8_t)i;
    c = csum((uint32_t)(0x0a00 + 1 + 0x0a00 + 2 + 17 + len), udp, len);
    udp[6] = (uint8_t)(c >> 8);
    udp[7] = (uint8_t)c;
    return f;
}

static inline struct frame
arp_of(struct mac dst, struct mac src, uint16_t op, struct mac sha, uint32_t spa,
    uint32_t tpa)
{
    struct frame f = frame_of(dst, src, 0x0806, 46);
    static const uint8_t head[6] = {0, 1, 8, 0, 6, 4};
    uint8_t *a = f.b + 14;

    memcpy(a, head, 6);
    a[7] = (uint8_t)op;
    memcpy(a + 8, sha.b, 6);
    spa = htonl(spa);
    tpa = htonl(tpa);
    memcpy(a + 14, &spa, 4);
    memcpy(a + 24, &tpa, 4);
    return f;
}

/* NS or NA; opt: option type, 0 = none. The group MAC is derived where dst is none. */
static inline struct frame
nd_of(struct mac dst, struct mac src, uint8_t type, const char *from, const char *to,
    const char *target, uint8_t opt, struct mac lla)
{
    size_t len = opt ? 32 : 24;
    struct frame f = frame_of(dst, src, 0x86dd, 40 + len);
    uint8_t *ip = f.b + 14, *nd = ip + 40;
    uint16_t c;

    if (mac_is_none(&dst)) {
        struct ip t = ip_n(to);

        memcpy(f.b, "\x33\x33", 2);
        memcpy(f.b + 2, t.b + 12, 4);
    }
    ip[0] = 0x60;
    ip[5] = (uint8_t)len;
    ip[6] = 58;
    ip[7] = 255;
    inet_pton(AF_INET6, from, ip + 8);
    inet_pton(AF_INET6, to, ip + 24);
    nd[0] = type;
    inet_pton(AF_INET6, target, nd + 8);
    if (opt) {
        nd[24] = opt;
        nd[25] = 1;
        memcpy(nd + 26, lla.b, 6);
    }
    {
        uint32_t sum = (uint32_t)len + 58;

        for (int i = 8; i < 40; i += 2)
            sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
        c = csum(sum, nd, len);
    }
    nd[2] = (uint8_t)(c >> 8);
    nd[3] = (uint8_t)c;
    return f;
}

static inline void
apply(struct dp_bpf *dp, struct dp_op op)
{
    int rc = dp_bpf_apply(dp, &op);

    if (rc)
        fail_msg("%s: %d", dp_op_str(op.type), rc);
}
#define OP(dp, what, field, ...)                                                       \
    apply(dp, (struct dp_op){.type = (what), .u.field = {__VA_ARGS__}})

/* Raw socket on a device; frames go out with the tag inside. */
static inline int
raw_open(const char *dev)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(0x0003)), one = 1;
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
        .sll_protocol = htons(0x0003),
        .sll_ifindex = (int)if_nametoindex(dev)};

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)))
        fail_msg("raw socket on %s", dev);
    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one));
    return fd;
}

static inline void
raw_send(int fd, const struct frame *f, int tci)
{
    uint8_t b[sizeof(f->b) + 4];
    size_t n = 12;

    memcpy(b, f->b, 12);
    if (tci >= 0) {
        b[n++] = 0x81;
        b[n++] = 0;
        b[n++] = (uint8_t)(tci >> 8);
        b[n++] = (uint8_t)tci;
    }
    memcpy(b + n, f->b + 12, f->size - 12);
    n += f->size - 12;
    assert_int_equal(send(fd, b, n, 0), n);
}

static inline uint64_t
now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Next frame that came in (not what was sent here); false when none comes in time. */
static inline bool
raw_recv(int fd, struct frame *f, int *tci, unsigned wait_ms)
{
    uint64_t end = now_ms() + wait_ms;

    for (;;) {
        struct sockaddr_ll from;
        char aux[256];
        struct iovec iov = {f->b, sizeof(f->b)};
        struct msghdr msg = {.msg_name = &from,
            .msg_namelen = sizeof(from),
            .msg_iov = &iov,
            .msg_iovlen = 1,
            .msg_control = aux,
            .msg_controllen = sizeof(aux)};
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now = now_ms();
        ssize_t n;

        if (poll(&p, 1, now < end ? (int)(end - now) : 0) <= 0)
            return false;
        n = recvmsg(fd, &msg, 0);
        if (n < 0 || from.sll_pkttype == PACKET_OUTGOING)
            continue;
        f->size = (size_t)n;
        *tci = -1;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
            struct tpacket_auxdata a;

            if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
                continue;
            memcpy(&a, CMSG_DATA(c), sizeof(a));
            if (a.tp_status & TP_STATUS_VLAN_VALID)
                *tci = a.tp_vlan_tci;
        }
        return true;
    }
}

/* A namespace of our own, silent: no IPv6 addresses that would talk by themselves. */
static inline const char *
enter_ns(void)
{
    int fd;

    if (geteuid())
        return "needs root";
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return "needs network and mount namespaces";
    fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY);
    if (fd >= 0) {
        if (write(fd, "1", 1) != 1)
            return "cannot silence IPv6";
        close(fd);
    }
    return NULL;
}
#endif
