/* SPDX-License-Identifier: Apache-2.0 */
/* How long a VM waits: associates it ROUNDS times through the server's agent and, once
 * the agent says that the answer has come, sends one datagram to a VM elsewhere, which
 * takes ARP first. Times are the kernel's time stamps of frames on the server's uplink
 * and of the datagram at its socket.
 *
 *   bench_first SRV-NS UPLINK VM-NS FAR-NS FAR-IP VSI(32 hex) SOCKET ROUNDS
 *               ASSOCIATE TERMINATE
 *
 * SOCKET is the agent's; the last two are requests for it. With SOCKET "-" they are
 * shell commands instead, run in the server's namespace, whose end means nothing: what
 * counts is the answer on the wire. A line per round: microseconds from the request to
 * the answer, to the datagram (-1: no answer, or none within a second). */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
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
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PORT 5303

static uint8_t vsi[16];
static double t_request, t_answer;

static void
die(const char *what)
{
    perror(what);
    exit(1);
}

static void
enter(const char *ns)
{
    char path[300];
    snprintf(path, sizeof path, "/run/netns/%s", ns);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET))
        die(path);
    close(fd);
}

/* What came, with its time stamp in seconds; -1: nothing. */
static ssize_t
receive(int s, void *p, size_t size, struct sockaddr_ll *from, double *at)
{
    union {
        struct cmsghdr align;
        uint8_t b[256];
    } control;
    struct iovec io = {p, size};
    struct msghdr m = {.msg_iov = &io,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control,
        .msg_name = from,
        .msg_namelen = from ? sizeof *from : 0};
    ssize_t n = recvmsg(s, &m, MSG_DONTWAIT);
    *at = 0;
    for (struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&m); c;
         c = CMSG_NXTHDR(&m, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(c), sizeof t);
            *at = (double)t.tv_sec + (double)t.tv_nsec / 1e9;
        }
    return n;
}

/* A tap for ECP in both directions: only a socket for everything sees what leaves. */
static int
open_tap(const char *ifname)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x8940, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 65535),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog filter = {4, code};
    struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    int s = socket(AF_PACKET, SOCK_RAW, 0), one = 1;
    a.sll_ifindex = (int)if_nametoindex(ifname);
    if (s < 0 || setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) ||
        setsockopt(s, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one) ||
        bind(s, (struct sockaddr *)&a, sizeof a))
        die(ifname);
    return s;
}

static int
open_udp(bool sink)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int s = socket(AF_INET, SOCK_DGRAM, 0), one = 1;
    if (s < 0 || setsockopt(s, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one) ||
        (sink && bind(s, (struct sockaddr *)&a, sizeof a)))
        die("UDP");
    return s;
}

static int
open_agent(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    if (s < 0 || connect(s, (struct sockaddr *)&a, sizeof a))
        die(path);
    return s;
}

/* One request; true: "ok". */
static bool
ask(int agent, const char *request)
{
    static char b[65536];
    size_t n = 0;
    if (agent < 0)
        return system(request) == 0;
    if (dprintf(agent, "%s\n", request) < 0)
        die("agent");
    for (;;) {
        ssize_t got = read(agent, b + n, sizeof b - 1 - n);
        if (got <= 0)
            die("agent");
        b[n += (size_t)got] = 0;
        if (strstr(b, "\"ok\":") && b[n - 1] == '\n')
            break;
    }
    if (!strstr(b, "\"ok\":true"))
        fprintf(stderr, "%s", b);
    return strstr(b, "\"ok\":true") != NULL;
}

static void
drain_tap(int tap)
{
    uint8_t b[2048];
    struct sockaddr_ll from;
    double at;
    ssize_t n;
    while ((n = receive(tap, b, sizeof b, &from, &at)) > 0) {
        if (n < 20 || b[14] & 0x0c || !memmem(b, (size_t)n, vsi, sizeof vsi))
            continue; /* an ECP acknowledgement, or another VSI */
        if (from.sll_pkttype == PACKET_OUTGOING)
            t_request = t_request ? t_request : at;
        else if (t_request && !t_answer)
            t_answer = at;
    }
}

static void
wait_answer(int tap)
{
    struct pollfd p = {.fd = tap, .events = POLLIN};
    for (int i = 0; i < 100 && !t_answer && poll(&p, 1, 2000) > 0; i++)
        drain_tap(tap);
}

int
main(int argc, char **argv)
{
    struct sockaddr_in far = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct arpreq arp = {.arp_dev = "eth0"};
    if (argc != 11) {
        fprintf(stderr, "usage: see the top of bench_first.c\n");
        return 2;
    }
    for (int i = 0; i < 16; i++) {
        unsigned x;
        sscanf(argv[6] + 2 * i, "%2x", &x);
        vsi[i] = (uint8_t)x;
    }
    inet_pton(AF_INET, argv[5], &far.sin_addr);
    memcpy(&arp.arp_pa, &far, sizeof far);
    int agent = strcmp(argv[7], "-") ? open_agent(argv[7]) : -1;
    enter(argv[3]);
    int from = open_udp(false);
    enter(argv[4]);
    int to = open_udp(true);
    enter(argv[1]);
    int tap = open_tap(argv[2]);
    for (int i = 0, rounds = atoi(argv[8]); i < rounds; i++) {
        struct pollfd p = {.fd = to, .events = POLLIN};
        double at = 0;
        int got;
        drain_tap(tap);
        t_request = t_answer = 0;
        ioctl(from, SIOCDARP, &arp);
        if (!ask(agent, argv[9]) && agent >= 0)
            return 1;
        if (agent < 0)
            wait_answer(tap);
        sendto(from, &i, sizeof i, 0, (struct sockaddr *)&far, sizeof far);
        if (poll(&p, 1, 1000) <= 0 || receive(to, &got, sizeof got, NULL, &at) < 0 ||
            got != i)
            at = 0;
        wait_answer(tap);
        printf("%.1f %.1f\n", t_answer ? 1e6 * (t_answer - t_request) : -1,
            at && t_request ? 1e6 * (at - t_request) : -1);
        fflush(stdout);
        drain_tap(tap);
        t_request = t_answer = 0;
        if (!ask(agent, argv[10]) && agent >= 0)
            return 1;
        if (agent < 0)
            wait_answer(tap);
    }
    return 0;
}
