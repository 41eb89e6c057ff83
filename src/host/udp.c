/* SPDX-License-Identifier: Apache-2.0 */
/* One recvmmsg of 128 per turn, one sendmmsg of up to 128 per flush. A v6 socket speaks
 * v4 in mapped addresses, which is how struct ip keeps them: a copy of 16 octets either
 * way. When the socket is full the queue stays as it is until the socket takes it;
 * meanwhile new datagrams are dropped, as the network would do. */
#include "host/udp.h"
#include "host/loop.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_DEFAULT (4 << 20)
#define QUEUE_BYTES    (256 * 1024)
#define CTRL_SIZE      CMSG_SPACE(sizeof(struct in6_pktinfo))

union sock_addr {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

struct batch { /* what one mmsg call works on */
    struct mmsghdr hdr[UDP_BATCH];
    struct iovec iov[UDP_BATCH];
    union sock_addr addr[UDP_BATCH];
    _Alignas(struct cmsghdr) uint8_t ctrl[UDP_BATCH][CTRL_SIZE];
    uint8_t *bytes;
};

struct udp {
    struct loop *loop;
    int fd, family;
    struct loop_watch *watch;
    struct loop_call flush;
    udp_recv_fn fn;
    void *ctx;
    struct batch rx, tx;
    uint32_t tx_head, tx_n; /* queued: [tx_head, tx_n) of tx */
    size_t tx_bytes;
    struct udp_stats stats;
};

static socklen_t
addr_set(int family, union sock_addr *a, const struct ip *ip, uint16_t port)
{
    memset(a, 0, sizeof(*a));
    if (family == AF_INET) {
        a->in.sin_family = AF_INET;
        a->in.sin_port = htons(port);
        a->in.sin_addr.s_addr = htonl(ip_is_v4(ip) ? ip_to_v4(ip) : INADDR_ANY);
        return sizeof(a->in);
    }
    a->in6.sin6_family = AF_INET6;
    a->in6.sin6_port = htons(port);
    memcpy(&a->in6.sin6_addr, ip->b, 16);
    return sizeof(a->in6);
}

static void
addr_get(const union sock_addr *a, struct ip *ip, uint16_t *port)
{
    if (a->sa.sa_family == AF_INET) {
        *ip = ip_v4(ntohl(a->in.sin_addr.s_addr));
        *port = ntohs(a->in.sin_port);
    } else {
        memcpy(ip->b, &a->in6.sin6_addr, 16);
        *port = ntohs(a->in6.sin6_port);
    }
}

static struct ip
local_get(struct msghdr *h)
{
    struct ip ip = {{0}};
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo pi;
            memcpy(&pi, CMSG_DATA(c), sizeof(pi));
            ip = ip_v4(ntohl(pi.ipi_addr.s_addr));
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo pi;
            memcpy(&pi, CMSG_DATA(c), sizeof(pi));
            memcpy(ip.b, &pi.ipi6_addr, 16);
        }
    }
    return ip;
}

static void
local_set(int family, struct msghdr *h, uint8_t *ctrl, const struct ip *local)
{
    struct cmsghdr *c;
    memset(ctrl, 0, CTRL_SIZE);
    h->msg_control = ctrl;
    h->msg_controllen = CTRL_SIZE; /* CMSG_FIRSTHDR looks at it */
    c = CMSG_FIRSTHDR(h);
    if (family == AF_INET) {
        struct in_pktinfo pi = {.ipi_spec_dst.s_addr = htonl(ip_to_v4(local))};
        c->cmsg_level = IPPROTO_IP;
        c->cmsg_type = IP_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof(pi));
        memcpy(CMSG_DATA(c), &pi, sizeof(pi));
        h->msg_controllen = CMSG_SPACE(sizeof(pi));
    } else {
        struct in6_pktinfo pi = {0};
        memcpy(&pi.ipi6_addr, local->b, 16);
        c->cmsg_level = IPPROTO_IPV6;
        c->cmsg_type = IPV6_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof(pi));
        memcpy(CMSG_DATA(c), &pi, sizeof(pi));
        h->msg_controllen = CMSG_SPACE(sizeof(pi));
    }
}

/* Sends what the socket takes. A datagram that it refuses is dropped: the first of what
 * is left is always the refused one, since the call ends before it. */
static void
send_queue(struct udp *u)
{
    while (u->tx_head < u->tx_n) {
        int n = sendmmsg(u->fd, u->tx.hdr + u->tx_head, u->tx_n - u->tx_head,
            MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            u->tx_head += (uint32_t)n;
            u->stats.tx += (uint64_t)n;
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            u->tx_head++;
            u->stats.tx_errors++;
        }
    }
    if (u->tx_head == u->tx_n) {
        u->tx_head = u->tx_n = 0;
        u->tx_bytes = 0;
    }
    loop_watch_events(u->watch, u->tx_n ? LOOP_IN | LOOP_OUT : LOOP_IN);
}

static void
on_flush(void *ctx)
{
    send_queue(ctx);
}

static void
receive(struct udp *u)
{
    struct udp_msg msgs[UDP_BATCH];
    uint32_t n_msgs = 0;
    int n;
    for (int i = 0; i < UDP_BATCH; i++) {
        struct msghdr *h = &u->rx.hdr[i].msg_hdr;
        h->msg_namelen = sizeof(u->rx.addr[i]);
        h->msg_controllen = CTRL_SIZE;
        h->msg_flags = 0;
    }
    n = recvmmsg(u->fd, u->rx.hdr, UDP_BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++) {
        struct udp_msg *m = &msgs[n_msgs];
        struct msghdr *h = &u->rx.hdr[i].msg_hdr;
        u->stats.rx++;
        if (h->msg_flags & MSG_TRUNC) {
            u->stats.rx_truncated++;
            continue;
        }
        addr_get(&u->rx.addr[i], &m->peer, &m->peer_port);
        m->local = local_get(h);
        m->size = u->rx.hdr[i].msg_len;
        m->data = u->rx.iov[i].iov_base;
        n_msgs++;
    }
    if (n_msgs)
        u->fn(u->ctx, u, msgs, n_msgs); /* may close u */
}

static void
on_event(void *ctx, int events)
{
    struct udp *u = ctx;
    if (events & LOOP_OUT)
        send_queue(u);
    if (events & LOOP_IN)
        receive(u);
}

static int
make_socket(struct udp *u, const struct udp_conf *conf, struct host_err *err)
{
    int on = 1, off = 0,
        size = (int)(conf->buffer_bytes ? conf->buffer_bytes : BUFFER_DEFAULT);
    union sock_addr a;
    socklen_t n;
    char text[IP_STR];
    u->family =
        !ip_is_none(&conf->address) && ip_is_v4(&conf->address) ? AF_INET : AF_INET6;
    u->fd = socket(u->family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (u->fd < 0 && errno == EAFNOSUPPORT && ip_is_none(&conf->address)) {
        u->family = AF_INET;
        u->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    }
    if (u->fd < 0)
        return host_fail(
            err, -errno, "cannot open a UDP socket: %m; raise the limit of open files");
    if (u->family == AF_INET6) {
        setsockopt(u->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
        setsockopt(u->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
    } else {
        setsockopt(u->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
    }
    /* FORCE passes the system's limit, where CAP_NET_ADMIN is at hand. */
    if (setsockopt(u->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
        setsockopt(u->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    if (setsockopt(u->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
        setsockopt(u->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    if (conf->device && setsockopt(u->fd, SOL_SOCKET, SO_BINDTODEVICE, conf->device,
                            (socklen_t)strlen(conf->device) + 1))
        return host_fail(
            err, -errno, "cannot bind a UDP socket to interface %s: %m", conf->device);
    n = addr_set(u->family, &a, &conf->address, conf->port);
    if (bind(u->fd, &a.sa, n)) {
        int rc = -errno;
        return host_fail(err, rc, "cannot bind UDP %s port %u: %m; %s",
            ip_is_none(&conf->address) ? "*" : ip_str(&conf->address, text), conf->port,
            rc == -EADDRINUSE      ? "another program has it (ss -ulnp)"
            : rc == -EADDRNOTAVAIL ? "give this host the address first"
                                   : "check address and port");
    }
    return 0;
}

static void
set_up_batches(struct udp *u)
{
    for (int i = 0; i < UDP_BATCH; i++) {
        struct msghdr *r = &u->rx.hdr[i].msg_hdr, *t = &u->tx.hdr[i].msg_hdr;
        u->rx.iov[i].iov_base = u->rx.bytes + (size_t)i * UDP_SIZE_MAX;
        u->rx.iov[i].iov_len = UDP_SIZE_MAX;
        r->msg_iov = &u->rx.iov[i];
        r->msg_iovlen = 1;
        r->msg_name = &u->rx.addr[i];
        r->msg_control = u->rx.ctrl[i];
        t->msg_iov = &u->tx.iov[i];
        t->msg_iovlen = 1;
        t->msg_name = &u->tx.addr[i];
    }
}

int
udp_open(struct udp **out, struct loop *l, const struct udp_conf *conf, udp_recv_fn fn,
    void *ctx, struct host_err *err)
{
    struct udp *u = calloc(1, sizeof(*u));
    int rc;
    *out = NULL;
    if (u) {
        u->rx.bytes = malloc((size_t)UDP_BATCH * UDP_SIZE_MAX);
        u->tx.bytes = malloc(QUEUE_BYTES);
    }
    if (!u || !u->rx.bytes || !u->tx.bytes) {
        if (u) {
            free(u->rx.bytes);
            free(u->tx.bytes);
        }
        free(u);
        return host_fail(err, -ENOMEM, "UDP socket: %m");
    }
    u->loop = l;
    u->fn = fn;
    u->ctx = ctx;
    u->flush = (struct loop_call){.fn = on_flush, .ctx = u};
    set_up_batches(u);
    rc = make_socket(u, conf, err);
    if (!rc)
        rc = loop_watch(l, u->fd, LOOP_IN, on_event, u, &u->watch, err);
    if (rc) {
        udp_close(u);
        return rc;
    }
    *out = u;
    return 0;
}

uint16_t
udp_port(const struct udp *u)
{
    union sock_addr a;
    socklen_t n = sizeof(a);
    struct ip ip;
    uint16_t port = 0;
    if (getsockname(u->fd, &a.sa, &n) == 0)
        addr_get(&a, &ip, &port);
    return port;
}

int
udp_send(struct udp *u, const struct ip *local, const struct ip *peer, uint16_t port,
    const void *data, size_t size)
{
    struct msghdr *h;
    if (size > UDP_SIZE_MAX)
        return -EMSGSIZE;
    if (u->family == AF_INET && !ip_is_v4(peer))
        return -EAFNOSUPPORT;
    if (u->tx_n == UDP_BATCH || u->tx_bytes + size > QUEUE_BYTES) {
        send_queue(u);
        if (u->tx_n) {
            u->stats.tx_dropped++;
            return -ENOBUFS;
        }
    }
    h = &u->tx.hdr[u->tx_n].msg_hdr;
    h->msg_namelen = addr_set(u->family, &u->tx.addr[u->tx_n], peer, port);
    if (local && !ip_is_none(local) && ip_is_v4(local) == ip_is_v4(peer)) {
        local_set(u->family, h, u->tx.ctrl[u->tx_n], local);
    } else {
        h->msg_control = NULL;
        h->msg_controllen = 0;
    }
    u->tx.iov[u->tx_n].iov_base = u->tx.bytes + u->tx_bytes;
    u->tx.iov[u->tx_n].iov_len = size;
    memcpy(u->tx.bytes + u->tx_bytes, data, size);
    u->tx_bytes += size;
    u->tx_n++;
    loop_flush(u->loop, &u->flush);
    return 0;
}

void
udp_stats_get(struct udp *u, struct udp_stats *s)
{
    uint32_t mem[SK_MEMINFO_VARS];
    socklen_t n = sizeof(mem);
    if (getsockopt(u->fd, SOL_SOCKET, SO_MEMINFO, mem, &n) == 0)
        u->stats.rx_lost = mem[SK_MEMINFO_DROPS];
    *s = u->stats;
}

void
udp_close(struct udp *u)
{
    if (!u)
        return;
    if (u->tx_n)
        send_queue(u);
    loop_call_cancel(&u->flush);
    loop_unwatch(u->watch);
    if (u->fd >= 0)
        close(u->fd);
    free(u->rx.bytes);
    free(u->tx.bytes);
    free(u);
}
