/* SPDX-License-Identifier: Apache-2.0 */
/* Frames between core and the wire. Up: events of the ring, their frames with checksums
 * that offloading had left open filled in. Down: DP_FRAME, out of a port by a packet
 * socket with the tag in the frame; into the overlay by looking the FDB up here and
 * sending VXLAN, which is a UDP datagram like any other, from the NVE's own address. No
 * extra device is needed, and the receiving end cannot tell the difference. */
#include "host/dp_bpf_int.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#define ETH_HEAD  14
#define FRAME_MAX 65535

static uint32_t
sum16(uint32_t sum, const uint8_t *p, size_t size)
{
    for (size_t i = 0; i + 1 < size; i += 2)
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    if (size & 1)
        sum += (uint32_t)(p[size - 1] << 8);
    return sum;
}

static uint16_t
fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* A frame from a veth may have passed with its checksum left to hardware that was never
 * there: the field then holds the sum of the pseudo header alone. Such a field is
 * filled in; any other is the sender's business. */
void
dp_csum_complete(uint8_t *frame, size_t size)
{
    size_t at = ETH_HEAD, len, field;
    uint8_t *csum, proto;
    uint32_t pseudo;
    uint16_t type;

    if (size < ETH_HEAD + 20)
        return;
    type = (uint16_t)(frame[12] << 8 | frame[13]);
    if (type == 0x0800) {
        size_t head = (size_t)(frame[at] & 15) * 4;
        size_t total = (size_t)(frame[at + 2] << 8 | frame[at + 3]);

        if (frame[at] >> 4 != 4 || head < 20 || total < head || at + total > size ||
            (frame[at + 6] & 0x3f) ||
            frame[at + 7]) /* fragments have no field to fill */
            return;
        proto = frame[at + 9];
        pseudo = sum16(0, frame + at + 12, 8);
        len = total - head;
        at += head;
    } else if (type == 0x86dd && size >= ETH_HEAD + 40) {
        proto = frame[at + 6];
        len = (size_t)(frame[at + 4] << 8 | frame[at + 5]);
        pseudo = sum16(0, frame + at + 8, 32);
        at += 40;
        if (at + len > size)
            return;
    } else {
        return;
    }
    field = proto == IPPROTO_TCP ? 16 : proto == IPPROTO_UDP ? 6 : 0;
    if (!field || len < field + 2)
        return;
    pseudo += proto + (uint32_t)len;
    csum = frame + at + field;
    if ((csum[0] << 8 | csum[1]) != fold(pseudo))
        return;
    csum[0] = csum[1] = 0;
    pseudo = (uint16_t)~fold(sum16(pseudo, frame + at, len));
    if (!pseudo && proto == IPPROTO_UDP)
        pseudo = 0xffff; /* zero says "none" (RFC 768) */
    csum[0] = (uint8_t)(pseudo >> 8);
    csum[1] = (uint8_t)pseudo;
}

static int
on_sample(void *ctx, void *data, size_t size)
{
    struct dp_bpf *dp = ctx;
    const struct nve_event *in = data;
    struct dp_event ev = {0};
    uint8_t frame[NVE_FRAME_MAX];

    if (size < sizeof(*in) + ETH_HEAD || in->type >= DP_N_EVENTS)
        return 0;
    ev.type = in->type;
    ev.port = in->port;
    ev.vid = in->vid;
    ev.vni = in->vni;
    memcpy(ev.dst.b, in->frame, 6);
    memcpy(ev.src.b, in->frame + 6, 6);
    if (ev.type == DP_EV_MISS_IP || ev.type == DP_EV_SNOOP || ev.type == DP_EV_ND ||
        ev.type == DP_EV_RELAYED || ev.type == DP_EV_ASTRAY)
        memcpy(ev.ip.b, in->ip, 16);
    if (in->size <= NVE_FRAME_MAX && sizeof(*in) + in->size <= size) {
        memcpy(frame, in->frame, in->size); /* the ring is read-only here */
        dp_csum_complete(frame, in->size);
        ev.frame = frame;
        ev.size = in->size;
    }
    if (dp->fn)
        dp->fn(dp->ctx, &ev);
    return ++dp->events == dp->max_events ? -ECANCELED : 0;
}

int
dp_ring_open(struct dp_bpf *dp)
{
    dp->ring = ring_buffer__new(dp->fd.events, on_sample, dp, NULL);
    return dp->ring ? 0 : -errno;
}

int
dp_bpf_fd(const struct dp_bpf *dp)
{
    return ring_buffer__epoll_fd(dp->ring);
}

int
dp_bpf_poll(struct dp_bpf *dp, unsigned max, dp_bpf_event_fn fn, void *ctx)
{
    int rc;

    dp->fn = fn;
    dp->ctx = ctx;
    dp->events = 0;
    dp->max_events = max; /* 0 is never reached */
    rc = ring_buffer__consume(dp->ring);
    dp->fn = NULL;
    return rc < 0 && rc != -ECANCELED ? rc : (int)dp->events;
}

static int
send_port(
    struct dp_bpf *dp, const struct dp_op *op, uint32_t port, uint16_t vid, uint8_t pcp)
{
    uint8_t tag[4] = {0x81, 0x00, (uint8_t)(pcp << 5 | vid >> 8), (uint8_t)vid};
    const uint8_t *p = op->u.frame.p;
    struct iovec iov[3] = {
        {(void *)p,        12                    },
        {tag,              vid ? 4 : 0           },
        {(void *)(p + 12), op->u.frame.size - 12u},
    };
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_halen = 6};
    struct msghdr msg = {
        .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = iov, .msg_iovlen = 3};
    uint32_t ifindex = 0;

    if (port >= dp->max_ports ||
        bpf_map_lookup_elem(dp->fd.ifindexes, &port, &ifindex) || !ifindex)
        return -ENXIO;
    if (dp->packet_sock < 0) {
        dp->packet_sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (dp->packet_sock < 0)
            return -errno;
    }
    to.sll_ifindex = (int)ifindex;
    to.sll_protocol = vid ? htons(0x8100) : htons((uint16_t)(p[12] << 8 | p[13]));
    memcpy(to.sll_addr, p, 6);
    return sendmsg(dp->packet_sock, &msg, 0) < 0 ? -errno : 0;
}

static int
udp_open(const struct dp_bpf *dp, bool v4)
{
    int one = 1, off = IP_PMTUDISC_DONT;
    int fd =
        socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in in4 = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    bool ours = !ip_is_none(&dp->local) && ip_is_v4(&dp->local) == v4;
    int rc;

    if (fd < 0)
        return -errno;
    if (v4) {
        setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &off, sizeof(off));
        if (dp->zero_csum)
            setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &one, sizeof(one));
    }
    if (!ours)
        return fd;
    in4.sin_addr.s_addr = htonl(ip_to_v4(&dp->local));
    memcpy(&in6.sin6_addr, dp->local.b, 16);
    if (v4 ? bind(fd, (struct sockaddr *)&in4, sizeof(in4))
           : bind(fd, (struct sockaddr *)&in6, sizeof(in6))) {
        rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

static int
send_vtep(struct dp_bpf *dp, const struct dp_op *op, const uint8_t *vtep)
{
    uint32_t vni = op->u.frame.vni;
    uint8_t head[8] = {0x08, 0, 0, 0, (uint8_t)(vni >> 16), (uint8_t)(vni >> 8),
        (uint8_t)vni, 0}; /* RFC 7348 section 5 */
    struct iovec iov[2] = {
        {head,                  8               },
        {(void *)op->u.frame.p, op->u.frame.size}
    };
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(dp->udp_port)};
    struct sockaddr_in6 in6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(dp->udp_port)};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    struct ip ip;
    bool v4;
    int *fd;

    memcpy(ip.b, vtep, 16);
    v4 = ip_is_v4(&ip);
    fd = v4 ? &dp->udp4_sock : &dp->udp6_sock;
    if (*fd < 0) {
        *fd = udp_open(dp, v4);
        if (*fd < 0)
            return *fd;
    }
    in4.sin_addr.s_addr = v4 ? htonl(ip_to_v4(&ip)) : 0;
    memcpy(&in6.sin6_addr, vtep, 16);
    msg.msg_name = v4 ? (void *)&in4 : (void *)&in6;
    msg.msg_namelen = v4 ? sizeof(in4) : sizeof(in6);
    return sendmsg(*fd, &msg, 0) < 0 ? -errno : 0;
}

static int
send_group(struct dp_bpf *dp, const struct dp_op *op)
{
    struct dp_list locals = dp_list_locals(dp), remotes = dp_list_remotes(dp);
    uint32_t vni = op->u.frame.vni, chunk;
    struct nve_remotes r;
    struct nve_locals l;
    int rc = 0, one;

    for (chunk = 0; chunk < NVE_CHUNKS; chunk++) {
        if (!dp_list_chunk(&locals, vni, chunk, &l))
            break;
        for (uint32_t i = 0; i < l.n && i < NVE_LOCALS; i++) {
            one = send_port(dp, op, l.e[i].port, l.e[i].vid, l.e[i].pcp);
            rc = rc ? rc : one;
        }
        if (!l.more)
            break;
    }
    for (chunk = 0; chunk < NVE_CHUNKS; chunk++) {
        if (!dp_list_chunk(&remotes, vni, chunk, &r))
            break;
        for (uint32_t i = 0; i < r.n && i < NVE_REMOTES; i++) {
            one = send_vtep(dp, op, r.e[i]);
            rc = rc ? rc : one;
        }
        if (!r.more)
            break;
    }
    return rc;
}

int
dp_frame_send(struct dp_bpf *dp, const struct dp_op *op)
{
    struct nve_fdb_key key = {.vni = op->u.frame.vni};
    const uint8_t *p = op->u.frame.p;
    struct nve_fdb to;

    if (!p || op->u.frame.size < ETH_HEAD)
        return -EINVAL;
    if (op->u.frame.port)
        return send_port(
            dp, op, op->u.frame.port, op->u.frame.vid, op->u.frame.pcp & 7);
    if (p[0] & 1)
        return send_group(dp, op);
    memcpy(key.mac, p, 6);
    if (bpf_map_lookup_elem(dp->fd.fdb, &key, &to))
        return -EHOSTUNREACH;
    if (dp_hold_frame(dp, &to, p, op->u.frame.size))
        return 0;
    to.kind &= (uint8_t)~NVE_HELD;
    if (to.kind == NVE_NOWHERE)
        return -EHOSTUNREACH;
    if (to.kind == FDB_LOCAL)
        return send_port(dp, op, to.port, to.vid, to.pcp);
    return send_vtep(dp, op, to.vtep);
}
