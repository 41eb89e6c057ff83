/* SPDX-License-Identifier: Apache-2.0 */
/* Map-Requests answered per second by one authority: registers mappings over a session
 * as an NVE would, then keeps a window of questions open over UDP and counts the
 * answers.
 *
 *   bench_map_requests ADDRESS TCP_PORT UDP_PORT SECRET VNI [seconds [mappings [window
 * [nve|router [pid]]]]]
 *
 * The VN must exist, centralised. With `nve` the asker is the NVE itself, whose
 * questions subscribe it (K8); else a router without a session. One line of JSON: name,
 * value, what was lost, and the CPU seconds of process `pid` while it answered. Pin the
 * authority to one core and this to another. */
#include "base/mem.h"
#include "base/rng.h"
#include "node/lisp_record.h"
#include "proto/lisp_session.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH     64
#define SIZE_MAX_ 256

static uint64_t
now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void
die(const char *what)
{
    fprintf(stderr, "bench_map_requests: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* CPU seconds that a process has had so far; 0: no such process. */
static double
cpu_of(const char *pid)
{
    char path[64];
    unsigned long long ns = 0;
    snprintf(path, sizeof path, "/proc/%s/schedstat", pid);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%llu", &ns) != 1)
        ns = 0;
    if (f)
        fclose(f);
    return (double)ns / 1e9;
}

static struct mac
mac_of(uint32_t i)
{
    return (struct mac){
        {2, 0, (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}
    };
}

struct client {
    struct lisp_session *s;
    int fd;
    struct sockaddr_in to;
    uint32_t acked;
    bool up;
};

static void
send_all(int fd, const uint8_t *p, size_t n)
{
    while (n) {
        ssize_t got = send(fd, p, n, MSG_NOSIGNAL);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            die("session: send");
        p += got;
        n -= (size_t)got;
    }
}

static void
session_pull(struct client *c)
{
    static struct lisp_session_out o;
    uint8_t nonce[LISP_RT_NONCE];
    while (lisp_session_output(c->s, &o)) {
        switch ((enum lisp_session_out_type)o.type) {
        case LISP_SOUT_CONNECT:
            c->fd = socket(AF_INET, SOCK_STREAM, 0);
            if (connect(c->fd, (struct sockaddr *)&c->to, sizeof c->to) < 0)
                die("session: connect");
            if (getrandom(nonce, sizeof nonce, 0) != sizeof nonce)
                die("getrandom");
            lisp_session_connected(c->s, nonce, now_us());
            break;
        case LISP_SOUT_SEND: {
            size_t n = o.size;
            send_all(c->fd, o.bytes, n);
            lisp_session_written(c->s, n, now_us());
            break;
        }
        case LISP_SOUT_CLOSE:
            errno = ECONNRESET;
            die("session: refused");
            break;
        case LISP_SOUT_EVENT:
            c->up |= o.event.type == LISP_SEV_UP;
            if (o.event.type == LISP_SEV_SNAPSHOT_BEGIN ||
                o.event.type == LISP_SEV_SNAPSHOT_END ||
                o.event.type == LISP_SEV_NOTIFY || o.event.type == LISP_SEV_MEMBER)
                lisp_session_seq_ack(c->s, o.event.seq);
            c->acked += o.event.type == LISP_SEV_ACK;
            if (o.event.type == LISP_SEV_REJECT) {
                fprintf(stderr, "bench_map_requests: registration refused: %s\n",
                    lisp_rt_reason_str(o.event.reason));
                exit(1);
            }
            break;
        }
    }
}

static void
session_wait(struct client *c)
{
    static uint8_t b[65536];
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    session_pull(c);
    if (poll(&p, 1, 10000) <= 0)
        die("session: no answer for 10 s");
    ssize_t n = recv(c->fd, b, sizeof b, 0);
    if (n <= 0)
        die("session: receive");
    lisp_session_input(c->s, b, (size_t)n, now_us());
    session_pull(c);
}

static void
register_all(struct client *c, uint32_t vni, const struct ip *vtep, uint32_t n)
{
    while (!c->up)
        session_wait(c);
    for (uint32_t i = 1, sent = 0; i <= n; i++) {
        struct mapping_rec m = {.vni = vni,
            .mac = mac_of(i),
            .owner = *vtep,
            .n_ips = 1,
            .ips = {ip_v4(0x0a000000 + i)}};
        struct lisp_record rec;
        lisp_record_of(&m, NULL, &rec);
        if (!lisp_session_register(c->s, i, LISP_RT_F_CLAIM, &rec))
            die("session: register");
        if (++sent - c->acked >= 2000)
            while (sent - c->acked >= 1000)
                session_wait(c);
    }
    lisp_session_register_end(c->s);
    while (c->acked < n)
        session_wait(c);
}

static uint32_t
question(uint8_t *p, uint32_t vni, uint32_t i, const struct ip *itr, uint16_t port)
{
    uint8_t bare[SIZE_MAX_];
    struct ip ip = ip_v4(0x0a000000 + i);
    struct lisp_request m = {.nonce = i,
        .n_itrs = 1,
        .itrs = {*itr},
        .n_eids = 1,
        .eids = {lisp_eid_ip(vni, &ip)}};
    size_t n = lisp_request_encode(&m, &lisp_dialect_default, bare, sizeof bare);
    struct lisp_ecm e = {.src = *itr,
        .dst = ip,
        .sport = port,
        .dport = LISP_PORT,
        .payload = bare,
        .size = n};
    return (uint32_t)lisp_ecm_encode(&e, p, SIZE_MAX_);
}

int
main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr,
            "usage: bench_map_requests ADDRESS TCP_PORT UDP_PORT SECRET VNI "
            "[seconds [mappings [window [nve|router [pid]]]]]\n");
        return 2;
    }
    uint32_t vni = (uint32_t)atoi(argv[5]),
             n = argc > 7 ? (uint32_t)atoi(argv[7]) : 100000;
    double seconds = argc > 6 ? atof(argv[6]) : 5;
    uint32_t window = argc > 8 ? (uint32_t)atoi(argv[8]) : 512;
    bool nve = argc > 9 && !strcmp(argv[9], "nve");
    struct client c = {
        .to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))}
    };
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[3]))};
    if (inet_pton(AF_INET, argv[1], &c.to.sin_addr) != 1)
        die(argv[1]);
    to.sin_addr = c.to.sin_addr;

    int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 4 << 20;
    struct sockaddr_in self;
    socklen_t len = sizeof self;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 ||
        getsockname(fd, (struct sockaddr *)&self, &len) < 0)
        die("udp");
    struct ip itr = ip_v4(ntohl(self.sin_addr.s_addr));
    struct ip vtep = nve ? itr : ip_v4(0xc6336401);

    struct lisp_session_conf conf = {.id = "bench",
        .vtep = vtep,
        .key = (const uint8_t *)argv[4],
        .key_size = strlen(argv[4]),
        .seed = 1};
    c.s = lisp_session_new_client(&conf, now_us());
    session_pull(&c);
    uint64_t began = now_us();
    register_all(&c, vni, &vtep, n);
    double registered_s = (double)(now_us() - began) / 1e6;

    uint8_t(*out)[SIZE_MAX_] = malloc((size_t)n * SIZE_MAX_);
    uint16_t *sizes = malloc(n * sizeof *sizes);
    for (uint32_t i = 0; i < n; i++)
        sizes[i] = (uint16_t)question(out[i], vni, i + 1, &itr, ntohs(self.sin_port));
    static uint8_t in[BATCH][1500];
    struct mmsghdr tx[BATCH] = {0}, rx[BATCH] = {0};
    struct iovec txv[BATCH], rxv[BATCH];
    for (int i = 0; i < BATCH; i++) {
        rxv[i] = (struct iovec){in[i], sizeof in[i]};
        rx[i].msg_hdr = (struct msghdr){.msg_iov = &rxv[i], .msg_iovlen = 1};
        tx[i].msg_hdr = (struct msghdr){.msg_iov = &txv[i], .msg_iovlen = 1};
    }
    struct rng rng;
    rng_seed(&rng, 5);
    uint64_t sent = 0, answered = 0, positive = 0, lost = 0, open = 0, quiet = 0;
    double cpu = argc > 10 ? cpu_of(argv[10]) : 0;
    began = now_us();
    uint64_t end = began + (uint64_t)(seconds * 1e6), now = began;
    while ((now = now_us()) < end) {
        while (open + BATCH <= window) {
            for (int i = 0; i < BATCH; i++) {
                uint32_t k = rng_below(&rng, n);
                txv[i] = (struct iovec){out[k], sizes[k]};
            }
            int got = sendmmsg(fd, tx, BATCH, 0);
            if (got <= 0)
                break;
            sent += (uint64_t)got;
            open += (uint64_t)got;
        }
        int got = recvmmsg(fd, rx, BATCH, MSG_DONTWAIT, NULL);
        if (got <= 0) {
            struct pollfd p = {.fd = fd, .events = POLLIN};
            if (poll(&p, 1, 20) == 0 && ++quiet) { /* what is out is lost: open anew */
                lost += open;
                open = 0;
            }
            continue;
        }
        for (int i = 0; i < got; i++) {
            struct lisp_reply r;
            if (lisp_type_of(in[i], rx[i].msg_len) == LISP_MAP_REPLY &&
                rx[i].msg_len > 40)
                positive += i || !lisp_reply_decode(
                                     in[i], rx[i].msg_len, &lisp_dialect_default, &r);
        }
        answered += (uint64_t)got;
        open -= (uint64_t)got < open ? (uint64_t)got : open;
    }
    cpu = argc > 10 ? cpu_of(argv[10]) - cpu : 0;
    double took = (double)(now - began) / 1e6;
    printf("{\"name\":\"map_requests_per_s\",\"value\":%.0f,\"unit\":\"1/"
           "s\",\"sent\":%llu,"
           "\"answered\":%llu,\"positive\":%llu,\"lost\":%llu,\"registered_per_s\":%."
           "0f,\"cpu_s\":%.6f}\n",
        (double)answered / took, (unsigned long long)sent, (unsigned long long)answered,
        (unsigned long long)positive, (unsigned long long)lost, n / registered_s, cpu);
    lisp_session_stop(c.s, LISP_RT_R_SHUTDOWN, now_us());
    static struct lisp_session_out o;
    while (lisp_session_output(c.s, &o))
        if (o.type == LISP_SOUT_SEND) {
            size_t left = o.size;
            send_all(c.fd, o.bytes, left);
            lisp_session_written(c.s, left, now_us());
        }
    lisp_session_free(c.s);
    close(c.fd);
    close(fd);
    free(out);
    free(sizes);
    return positive && positive == answered ? 0 : 1;
}
