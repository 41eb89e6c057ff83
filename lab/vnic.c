/* SPDX-License-Identifier: Apache-2.0 */
/* A virtual network card as a hypervisor has one, for VMs that are namespaces and move
 * between servers:
 *   vnic NETNS MAC MTU SERVER...        SERVER is NETNS:INTERFACE
 * makes eth0 in the VM's namespace and one interface on each server, all TAPs with
 * offloads, and carries frames between eth0 and the interface of the server where the
 * VM runs. Line by line on the standard input, each answered by a JSON object with t_ns
 * (CLOCK_MONOTONIC, which all namespaces share):
 *   prepare NETNS   a target is there: what arrives at its interface waits, as it does
 *                   before a hypervisor there has started the VM
 *   leave NETNS     it is given up
 *   pause           nothing passes from now on in either direction
 *   resume NETNS [announce]  the VM runs there; announce: RARP as QEMU sends them
 *   stats
 * What the guest has sent and nobody has taken is memory of the guest: it waits in
 * eth0's queue and leaves at the new place. What is unread in the old server's
 * interface is lost, and counted (lost); so is what arrives later where the VM is not
 * (late). The numbers of lost probe's frames are told by `stats`. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SERVERS_MAX 8
#define BATCH       64
#define GUEST_QUEUE 20000
#define QUEUE       1000 /* frames that a TAP holds, as it is made */
#define FRAME_MAX   (65536 + 64)
#define HEAD        sizeof(struct virtio_net_hdr)
#define TOLD_MAX    512
#define ROUNDS      5 /* of RARP: at 0, 50, 200, 450 and 800 ms */

enum place { AWAY, READY, HERE };
struct server {
    char netns[64], ifname[IFNAMSIZ];
    int fd;
    enum place place;
};
struct vnic {
    int guest;
    uint8_t mac[6];
    bool paused;
    int here; /* index of the server it runs on, or last ran on; -1: none yet */
    struct server servers[SERVERS_MAX];
    int n_servers;
    unsigned long to_guest, from_guest, lost, late, errors, announced;
    uint64_t told[TOLD_MAX]; /* numbers of lost frames of probe */
    unsigned n_told;
    int rounds;
    uint64_t next_round_ns;
};

static uint64_t
now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void
die(const char *what)
{
    fprintf(stderr, "vnic: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* A TAP lives where the device was opened, and its descriptor works from anywhere. */
static int
open_tap(const char *netns, const char *ifname, const uint8_t *mac, int mtu)
{
    const unsigned all = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    struct ifreq rq = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    char path[128];
    int own = open("/proc/self/ns/net", O_RDONLY), there, fd, s;
    snprintf(path, sizeof path, "/run/netns/%s", netns);
    there = open(path, O_RDONLY);
    if (own < 0 || there < 0 || setns(there, CLONE_NEWNET))
        die(path);
    fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    snprintf(rq.ifr_name, sizeof rq.ifr_name, "%s", ifname);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &rq))
        die(ifname);
    /* Segments of UDP where the kernel knows them (6.2): their bits are newer than the
     * headers of some systems. */
    if (ioctl(fd, TUNSETOFFLOAD, all | 0x20 | 0x40) && ioctl(fd, TUNSETOFFLOAD, all))
        die("TUNSETOFFLOAD");
    s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memset(&rq, 0, sizeof rq);
    snprintf(rq.ifr_name, sizeof rq.ifr_name, "%s", ifname);
    rq.ifr_mtu = mtu;
    if (s < 0 || ioctl(s, SIOCSIFMTU, &rq))
        die("SIOCSIFMTU");
    if (mac) { /* the guest's: it does not run while it is paused, so nothing is full */
        rq.ifr_qlen = GUEST_QUEUE;
        if (ioctl(s, SIOCSIFTXQLEN, &rq))
            die("SIOCSIFTXQLEN");
        memset(&rq.ifr_ifru, 0, sizeof rq.ifr_ifru);
        rq.ifr_hwaddr.sa_family = ARPHRD_ETHER;
        memcpy(rq.ifr_hwaddr.sa_data, mac, 6);
        if (ioctl(s, SIOCSIFHWADDR, &rq))
            die("SIOCSIFHWADDR");
    }
    close(s);
    if (setns(own, CLONE_NEWNET))
        die("setns");
    close(own);
    close(there);
    return fd;
}

/* The number in a frame of probe (probe.c), which stands behind two marks in an IPv4
 * datagram without options, UDP or ICMP: both have a header of 8 octets. */
static void
note_lost(struct vnic *v, const uint8_t *frame, ssize_t size)
{
    uint64_t number;
    const uint8_t *body = frame + HEAD + 14 + 20 + 8;
    v->lost++;
    if (size < (ssize_t)HEAD + 14 + 20 + 8 + 16 || memcmp(body, "berthprb", 8) != 0 ||
        v->n_told == TOLD_MAX)
        return;
    memcpy(&number, body + 8, sizeof number);
    v->told[v->n_told++] = number;
}

static void
throw_away(struct vnic *v, struct server *s, bool late)
{
    static uint8_t frame[FRAME_MAX];
    ssize_t n;
    while ((n = read(s->fd, frame, sizeof frame)) > 0) {
        if (late)
            v->late++;
        else
            note_lost(v, frame, n);
    }
}

static void
carry(struct vnic *v, int from, int to, int most, unsigned long *count)
{
    static uint8_t frame[FRAME_MAX];
    for (int i = 0; i < most; i++) {
        ssize_t n = read(from, frame, sizeof frame);
        if (n <= 0)
            return;
        if (write(to, frame, (size_t)n) == n)
            (*count)++;
        else
            v->errors++;
    }
}

static void
announce(struct vnic *v)
{
    uint8_t f[HEAD + 60] = {0}, *eth = f + HEAD;
    int done = ROUNDS - v->rounds--;
    memset(eth, 0xff, 6);
    memcpy(eth + 6, v->mac, 6);
    memcpy(eth + 12, "\x80\x35\0\1\x08\0\6\4\0\3", 10);
    memcpy(eth + 22, v->mac, 6); /* sender's and wanted hardware address; no IP */
    memcpy(eth + 32, v->mac, 6);
    if (write(v->servers[v->here].fd, f, sizeof f) == (ssize_t)sizeof f)
        v->announced++;
    v->next_round_ns = now_ns() + (uint64_t)(50 + 100 * done) * 1000000;
}

static struct server *
find(struct vnic *v, const char *netns)
{
    for (int i = 0; i < v->n_servers; i++)
        if (strcmp(v->servers[i].netns, netns) == 0)
            return &v->servers[i];
    return NULL;
}

static void
answer(const char *error)
{
    printf("{\"ok\":%s,\"t_ns\":%llu%s%s%s}\n", error ? "false" : "true",
        (unsigned long long)now_ns(), error ? ",\"error\":\"" : "", error ? error : "",
        error ? "\"" : "");
    fflush(stdout);
}

static void
stats(struct vnic *v)
{
    printf("{\"ok\":true,\"t_ns\":%llu,\"paused\":%s,\"here\":\"%s\",\"to_guest\":%lu,"
           "\"from_guest\":%lu,\"lost\":%lu,\"late\":%lu,\"errors\":%lu,"
           "\"announced\":%lu,\"lost_probes\":[",
        (unsigned long long)now_ns(), v->paused ? "true" : "false",
        v->here < 0 ? "" : v->servers[v->here].netns, v->to_guest, v->from_guest,
        v->lost, v->late, v->errors, v->announced);
    for (unsigned i = 0; i < v->n_told; i++)
        printf("%s%llu", i ? "," : "", (unsigned long long)v->told[i]);
    printf("]}\n");
    fflush(stdout);
}

static void
resume(struct vnic *v, struct server *s, bool rarp)
{
    struct server *old = v->here < 0 ? NULL : &v->servers[v->here];
    if (old && old != s) {
        throw_away(v, old, false);
        old->place = AWAY;
    }
    if (s->place == AWAY)
        throw_away(v, s, true);
    s->place = HERE;
    v->here = (int)(s - v->servers);
    v->paused = false;
    v->rounds = rarp ? ROUNDS : 0;
    v->next_round_ns = now_ns();
}

static void
command(struct vnic *v, char *line)
{
    char *word = strtok(line, " \n"), *netns = strtok(NULL, " \n");
    char *more = strtok(NULL, " \n");
    struct server *s = netns ? find(v, netns) : NULL;
    if (!word) {
        answer("no command");
    } else if (!strcmp(word, "pause")) {
        if (!v->paused && v->here >= 0) /* it has served what came before this moment */
            carry(v, v->servers[v->here].fd, v->guest, QUEUE, &v->to_guest);
        v->paused = true;
        v->rounds = 0;
        answer(NULL);
    } else if (!strcmp(word, "stats")) {
        stats(v);
    } else if (!s) {
        answer("no such command or server");
    } else if (!strcmp(word, "prepare")) {
        if (s->place == AWAY) {
            throw_away(v, s, true);
            s->place = READY;
        }
        answer(NULL);
    } else if (!strcmp(word, "leave")) {
        if (s->place == READY)
            s->place = AWAY;
        answer(NULL);
    } else if (!strcmp(word, "resume")) {
        resume(v, s, more && !strcmp(more, "announce"));
        answer(NULL);
    } else {
        answer("no such command");
    }
}

/* Whole lines only: a command that is cut waits for its rest. False at the end. */
static bool
commands(struct vnic *v)
{
    static char text[1024];
    static size_t have;
    char *end;
    ssize_t n = read(0, text + have, sizeof text - 1 - have);
    if (n <= 0)
        return n < 0 && (errno == EINTR || errno == EAGAIN);
    have += (size_t)n;
    text[have] = 0;
    while ((end = strchr(text, '\n'))) {
        size_t used = (size_t)(end + 1 - text);
        *end = 0;
        command(v, text);
        memmove(text, text + used, have - used + 1);
        have -= used;
    }
    return have < sizeof text - 1;
}

/* What is polled: commands always; eth0 and the server's interface while the VM runs;
 * and where it is not, to count what still comes. */
static void
serve(struct vnic *v)
{
    struct pollfd p[2 + SERVERS_MAX];
    for (;;) {
        int wait = -1;
        bool runs = !v->paused && v->here >= 0;
        p[0] = (struct pollfd){.fd = 0, .events = POLLIN};
        p[1] = (struct pollfd){.fd = runs ? v->guest : -1, .events = POLLIN};
        for (int i = 0; i < v->n_servers; i++) {
            struct server *s = &v->servers[i];
            bool reads = s->place == AWAY || (s->place == HERE && runs);
            p[2 + i] = (struct pollfd){.fd = reads ? s->fd : -1, .events = POLLIN};
        }
        if (runs && v->rounds) {
            uint64_t now = now_ns();
            wait = v->next_round_ns > now
                       ? (int)((v->next_round_ns - now) / 1000000) + 1
                       : 0;
        }
        if (poll(p, (nfds_t)(2 + v->n_servers), wait) < 0 && errno != EINTR)
            die("poll");
        if (p[0].revents) {
            if (!commands(v))
                return;
            continue; /* it may have changed who is to be read */
        }
        if (runs && v->rounds && now_ns() >= v->next_round_ns)
            announce(v);
        if (p[1].revents)
            carry(v, v->guest, v->servers[v->here].fd, BATCH, &v->from_guest);
        for (int i = 0; i < v->n_servers; i++) {
            if (!p[2 + i].revents)
                continue;
            if (v->servers[i].place == AWAY)
                throw_away(v, &v->servers[i], true);
            else
                carry(v, v->servers[i].fd, v->guest, BATCH, &v->to_guest);
        }
    }
}

int
main(int argc, char **argv)
{
    static struct vnic v = {.here = -1};
    unsigned m[6];
    int mtu = argc > 3 ? atoi(argv[3]) : 0;
    if (argc < 5 || argc > 4 + SERVERS_MAX || mtu < 68 ||
        sscanf(argv[2], "%x:%x:%x:%x:%x:%x", &m[0], &m[1], &m[2], &m[3], &m[4],
            &m[5]) != 6) {
        fprintf(stderr, "usage: vnic NETNS MAC MTU NETNS:INTERFACE...\n");
        return 2;
    }
    for (int i = 0; i < 6; i++)
        v.mac[i] = (uint8_t)m[i];
    v.guest = open_tap(argv[1], "eth0", v.mac, mtu);
    for (int i = 4; i < argc; i++) {
        struct server *s = &v.servers[v.n_servers++];
        char *colon = strchr(argv[i], ':');
        if (!colon)
            return 2;
        snprintf(s->netns, sizeof s->netns, "%.*s", (int)(colon - argv[i]), argv[i]);
        snprintf(s->ifname, sizeof s->ifname, "%s", colon + 1);
        s->fd = open_tap(s->netns, s->ifname, NULL, mtu);
    }
    answer(NULL);
    serve(&v);
    return 0;
}
