/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets are bound to their ethertype and not to ETH_P_ALL: a tap on ETH_P_ALL runs
 * before the tc program for every data frame. The price: a frame's tag is already gone
 * when such a socket sees the frame, the kernel leaves only pkt_type = OTHERHOST (for a
 * VID other than 0) without the tag itself. So a group address, or our own, with
 * OTHERHOST means tagged (K22). .exact_tags takes ETH_P_ALL with the filter, where no
 * tc program guards the port. */
#include "host/packet.h"
#include "host/loop.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETRY_US 100000 /* between looks for a missing interface */

struct port_sock {
    int fd;
    uint16_t type;
    struct loop_watch *watch;
    struct packet *p;
};

struct packet {
    struct loop *loop;
    struct packet_conf conf;
    struct packet_calls calls;
    void *ctx;
    struct port_sock socks[PACKET_TYPES_MAX];
    bool open;
    int ifindex;
    struct mac mac;
    struct loop_timer *retry;
    struct packet_stats stats;
    uint8_t *buf; /* PACKET_BATCH x PACKET_SIZE_MAX */
};

static void on_readable(void *ctx, int events);

/* Accept: the ethertype, and not what this host sends. */
static int
set_filter(int fd, uint16_t type)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 3, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, type, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0x40000),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog prog = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) ? -errno
                                                                             : 0;
}

static int
join(int fd, int ifindex, int kind, const struct mac *m)
{
    struct packet_mreq mr = {.mr_ifindex = ifindex, .mr_type = (uint16_t)kind};
    if (m) {
        mr.mr_alen = 6;
        memcpy(mr.mr_address, m->b, 6);
    }
    return setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mr, sizeof(mr)) ? -errno
                                                                              : 0;
}

/* Memberships live as long as their socket: all are taken by the first one. */
static int
join_all(const struct packet *p, int fd, int ifindex)
{
    /* Nearest customer bridge (ECP, VDP), nearest non-TPMR bridge, nearest bridge. */
    static const struct mac std[] = {{{1, 0x80, 0xc2, 0, 0, 0x00}},
        {{1, 0x80, 0xc2, 0, 0, 0x03}}, {{1, 0x80, 0xc2, 0, 0, 0x0e}}};
    int rc = 0;
    for (size_t i = 0; !rc && i < sizeof(std) / sizeof(std[0]); i++)
        rc = join(fd, ifindex, PACKET_MR_MULTICAST, &std[i]);
    for (size_t i = 0; !rc && i < p->conf.n_groups; i++)
        rc = join(fd, ifindex, PACKET_MR_MULTICAST, &p->conf.groups[i]);
    if (!rc && p->conf.promisc)
        rc = join(fd, ifindex, PACKET_MR_PROMISC, NULL);
    return rc;
}

static void
close_socks(struct packet *p)
{
    for (int i = 0; i < p->conf.n_types; i++) {
        struct port_sock *s = &p->socks[i];
        if (s->fd < 0)
            continue;
        loop_unwatch(s->watch);
        close(s->fd);
        s->fd = -1;
        s->watch = NULL;
    }
    p->open = false;
    p->ifindex = 0;
}

static int
open_sock(struct packet *p, struct port_sock *s, int ifindex, bool first,
    struct host_err *err)
{
    const char *name = p->conf.ifname;
    struct sockaddr_ll sll = {.sll_family = AF_PACKET,
        .sll_ifindex = ifindex,
        .sll_protocol = htons(p->conf.exact_tags ? ETH_P_ALL : s->type)};
    int on = 1, rc;
    /* Protocol 0: nothing arrives before the filter is in place. */
    s->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0) {
        rc = -errno;
        return host_fail(err, rc, "%s: cannot open a packet socket: %m; %s", name,
            rc == -EPERM ? "CAP_NET_RAW is needed" : "raise the limit of open files");
    }
    rc = set_filter(s->fd, s->type);
    if (!rc && setsockopt(s->fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)))
        rc = -errno;
    if (rc)
        return host_fail(err, rc, "%s: cannot set up the packet socket: %m", name);
    setsockopt(
        s->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)); /* 4.20 on */
    if (bind(s->fd, (struct sockaddr *)&sll, sizeof(sll)))
        return host_fail(
            err, -errno, "%s: cannot bind to ethertype 0x%04x: %m", name, s->type);
    if (first) {
        rc = join_all(p, s->fd, ifindex);
        if (rc)
            return host_fail(err, rc,
                "%s: cannot join the signalling groups: %m; is it an Ethernet port?",
                name);
    }
    return loop_watch(p->loop, s->fd, LOOP_IN, on_readable, s, &s->watch, err);
}

static int
try_open(struct packet *p, struct host_err *err)
{
    int ifindex = (int)if_nametoindex(p->conf.ifname), rc = 0;
    struct ifreq ifr = {0};
    if (!ifindex)
        return host_fail(err, -ENODEV,
            "%s: no such interface; check `port` and `ip link`", p->conf.ifname);
    for (int i = 0; !rc && i < p->conf.n_types; i++)
        rc = open_sock(p, &p->socks[i], ifindex, i == 0, err);
    if (rc) {
        close_socks(p);
        return rc;
    }
    memcpy(ifr.ifr_name, p->conf.ifname, sizeof(ifr.ifr_name));
    if (ioctl(p->socks[0].fd, SIOCGIFHWADDR, &ifr) == 0)
        memcpy(p->mac.b, ifr.ifr_hwaddr.sa_data, 6);
    p->ifindex = ifindex;
    p->open = true;
    return 0;
}

/* The socket of an interface that was deleted is bound to -1, even if a new interface
 * has come with the same name and number. */
static bool
still_bound(const struct packet *p)
{
    struct sockaddr_ll sll;
    socklen_t n = sizeof(sll);
    return p->open && getsockname(p->socks[0].fd, (struct sockaddr *)&sll, &n) == 0 &&
           sll.sll_ifindex == p->ifindex &&
           (int)if_nametoindex(p->conf.ifname) == p->ifindex;
}

void
packet_check(struct packet *p)
{
    bool was = p->open, replaced = false;
    if (still_bound(p))
        return;
    close_socks(p);
    if (try_open(p, NULL) == 0) {
        p->stats.reopened++;
        replaced = true;
    }
    loop_timer_set(p->retry, p->open ? LOOP_NEVER : loop_now_fresh(p->loop) + RETRY_US);
    if (p->calls.on_state && (was != p->open || replaced))
        p->calls.on_state(p->ctx, p, p->open);
}

static void
on_retry(void *ctx)
{
    packet_check(ctx);
}

/* The tag from the auxiliary data; without it, by what kind of packet the kernel says.
 */
static void
classify(
    const struct packet *p, struct msghdr *h, struct packet_frame *f, bool *foreign)
{
    const struct sockaddr_ll *from = h->msg_name;
    struct mac dst;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        struct tpacket_auxdata aux;
        if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
            continue;
        memcpy(&aux, CMSG_DATA(c), sizeof(aux));
        f->wire_size = aux.tp_len;
        if (aux.tp_status & TP_STATUS_VLAN_VALID) {
            f->tagged = true;
            f->tci = aux.tp_vlan_tci;
            f->tpid = aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid
                                                                : ETH_P_8021Q;
        }
    }
    f->truncated = f->wire_size > f->size;
    *foreign = false;
    if (f->tagged || from->sll_pkttype != PACKET_OTHERHOST)
        return;
    memcpy(dst.b, f->data, 6);
    if (mac_is_group(&dst) || mac_equal(&dst, &p->mac))
        f->tagged = true;
    else
        *foreign = true;
}

static void
on_readable(void *ctx, int events)
{
    struct port_sock *s = ctx;
    struct packet *p = s->p;
    struct mmsghdr hdrs[PACKET_BATCH];
    struct iovec iov[PACKET_BATCH];
    struct sockaddr_ll from[PACKET_BATCH];
    _Alignas(struct cmsghdr)
        uint8_t aux[PACKET_BATCH][CMSG_SPACE(sizeof(struct tpacket_auxdata))];
    struct packet_frame frames[PACKET_BATCH];
    uint32_t n_frames = 0;
    int n;
    (void)events;
    memset(hdrs, 0, sizeof(hdrs));
    for (int i = 0; i < PACKET_BATCH; i++) {
        iov[i].iov_base = p->buf + (size_t)i * PACKET_SIZE_MAX;
        iov[i].iov_len = PACKET_SIZE_MAX;
        hdrs[i].msg_hdr.msg_iov = &iov[i];
        hdrs[i].msg_hdr.msg_iovlen = 1;
        hdrs[i].msg_hdr.msg_name = &from[i];
        hdrs[i].msg_hdr.msg_namelen = sizeof(from[i]);
        hdrs[i].msg_hdr.msg_control = aux[i];
        hdrs[i].msg_hdr.msg_controllen = sizeof(aux[i]);
    }
    n = recvmmsg(s->fd, hdrs, PACKET_BATCH, MSG_DONTWAIT, NULL);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            packet_check(p); /* ENETDOWN: the interface is down or gone */
        return;
    }
    for (int i = 0; i < n; i++) {
        struct packet_frame *f = &frames[n_frames];
        bool foreign;
        *f = (struct packet_frame){.data = iov[i].iov_base,
            .size = hdrs[i].msg_len,
            .wire_size = hdrs[i].msg_len,
            .type = s->type};
        if (f->size < ETH_HLEN)
            continue;
        classify(p, &hdrs[i].msg_hdr, f, &foreign);
        p->stats.rx++;
        p->stats.rx_tagged += f->tagged;
        p->stats.rx_truncated += f->truncated;
        p->stats.rx_foreign += foreign;
        if (!foreign)
            n_frames++;
    }
    if (n_frames)
        p->calls.on_frames(p->ctx, p, frames, n_frames); /* may close p */
}

int
packet_open(struct packet **out, struct loop *l, const struct packet_conf *conf,
    const struct packet_calls *calls, void *ctx, struct host_err *err)
{
    struct packet *p;
    int rc;
    *out = NULL;
    if (!conf->n_types || conf->n_types > PACKET_TYPES_MAX ||
        conf->n_groups > PACKET_GROUPS_MAX)
        return host_fail(err, -EINVAL, "%s: 1 to %d ethertypes and at most %d groups",
            conf->ifname, PACKET_TYPES_MAX, PACKET_GROUPS_MAX);
    p = calloc(1, sizeof(*p));
    if (p)
        p->buf = malloc((size_t)PACKET_BATCH * PACKET_SIZE_MAX);
    if (!p || !p->buf) {
        free(p);
        return host_fail(err, -ENOMEM, "%s: packet socket: %m", conf->ifname);
    }
    p->loop = l;
    p->conf = *conf;
    p->calls = *calls;
    p->ctx = ctx;
    for (int i = 0; i < conf->n_types; i++)
        p->socks[i] = (struct port_sock){.fd = -1, .type = conf->types[i], .p = p};
    p->retry = loop_timer_new(l, on_retry, p);
    rc = try_open(p, err);
    if (rc == -ENODEV && conf->may_wait) {
        loop_timer_set(p->retry, loop_now_fresh(l) + RETRY_US);
        rc = 0;
    }
    if (rc) {
        packet_close(p);
        return rc;
    }
    *out = p;
    return 0;
}

int
packet_send(struct packet *p, const void *frame, size_t size)
{
    const struct port_sock *s = &p->socks[0];
    uint16_t type;
    int rc;
    if (!p->open)
        return -ENETDOWN;
    if (size < ETH_HLEN)
        return -EINVAL;
    memcpy(&type, (const uint8_t *)frame + 12, 2);
    for (int i = 1; i < p->conf.n_types;
         i++) /* the socket's type becomes the frame's */
        if (p->socks[i].type == ntohs(type))
            s = &p->socks[i];
    if (send(s->fd, frame, size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
        p->stats.tx++;
        return 0;
    }
    rc = errno == EAGAIN ? -ENOBUFS : -errno;
    if (rc == -ENOBUFS)
        p->stats.tx_nobufs++;
    else
        p->stats.tx_errors++;
    if (rc == -ENXIO || rc == -ENODEV) /* gone; the socket's own error follows */
        rc = -ENETDOWN;
    return rc;
}

int
packet_ifindex(const struct packet *p)
{
    return p->ifindex;
}

struct mac
packet_mac(const struct packet *p)
{
    return p->mac;
}

void
packet_stats_get(struct packet *p, struct packet_stats *stats)
{
    for (int i = 0; p->open && i < p->conf.n_types; i++) {
        struct tpacket_stats ts; /* reading sets them to zero */
        socklen_t n = sizeof(ts);
        if (getsockopt(p->socks[i].fd, SOL_PACKET, PACKET_STATISTICS, &ts, &n) == 0)
            p->stats.rx_lost += ts.tp_drops;
    }
    *stats = p->stats;
}

void
packet_close(struct packet *p)
{
    if (!p)
        return;
    close_socks(p);
    loop_timer_free(p->retry);
    free(p->buf);
    free(p);
}
