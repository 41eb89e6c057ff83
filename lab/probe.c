/* SPDX-License-Identifier: Apache-2.0 */
/* Packets with numbers and times at a steady pace, and what became of each:
 *   probe ping NETNS IP INTERVAL_US            ICMP echo requests and their replies
 *   probe stream NETNS NETNS2 IP PORT INTERVAL_US [SIZE]
 *                                              UDP from the one to the other
 *
 * It prints "ready" and runs until its standard input ends, waits until what is
 * under way has come, and prints one JSON object: sent, received, lost, duplicates,
 * reordered (came after one with a higher number), send_errors, delay_us (p50, p99,
 * max; of ping the round trip), gap_us (the longest time in which nothing came), and of
 * what went wrong the numbers and CLOCK_MONOTONIC times of sending: lost_at [[number,
 * sent_ns, delay_ns of the last one before it that came]], duplicates_at [[number,
 * sent_ns, received_ns]] and reordered_at, the same with how much later the first that
 * overtook it was sent: less than the interval where the sender itself was held up. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NUMBERS  4000000 /* most packets of a run */
#define TELL_MAX 20000   /* of each kind */
#define BATCH    32
#define QUIET_NS 700000000 /* at the end: as long as nothing comes ... */
#define ALL_NS   100000000 /* ... and when all have come: for duplicates */
#define BODY_MIN 16
#define BODY_MAX 1400

struct event {
    uint32_t number;
    uint64_t ns;
};
static struct run {
    int tx, rx;
    bool icmp;
    uint16_t id;
    uint64_t interval_ns;
    size_t size;                /* of the body: mark, number, padding */
    uint64_t *sent_ns, *got_ns; /* by number; 0: not (yet) */
    _Atomic uint32_t sent;
    _Atomic uint64_t last_ns; /* of the last arrival */
    atomic_bool stop, end;
    _Atomic uint32_t received;
    uint32_t highest, n_dup, n_late, n_errors;
    uint64_t gap_ns;
    struct event dup[TELL_MAX], late[TELL_MAX];
} r;

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
    fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int
socket_in(const char *netns, int type, int protocol)
{
    const int most = 16 << 20;
    char path[128];
    int there, s;
    snprintf(path, sizeof path, "/run/netns/%s", netns);
    there = open(path, O_RDONLY);
    if (there < 0 || setns(there, CLONE_NEWNET))
        die(path);
    close(there);
    s = socket(AF_INET, type, protocol);
    if (s < 0 || setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &most, sizeof most) ||
        setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &most, sizeof most))
        die("socket");
    return s;
}

static uint16_t
checksum(const uint8_t *p, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < n; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static size_t
packet(uint8_t *p, uint32_t number)
{
    uint64_t wide = number;
    struct icmphdr h = {.type = ICMP_ECHO};
    size_t head = r.icmp ? sizeof h : 0;
    memset(p, 0, head + r.size);
    memcpy(p + head, "berthprb", 8);
    memcpy(p + head + 8, &wide, 8);
    if (r.icmp) {
        h.un.echo.id = htons(r.id);
        h.un.echo.sequence = htons((uint16_t)number);
        memcpy(p, &h, sizeof h);
        h.checksum = checksum(p, head + r.size);
        memcpy(p, &h, sizeof h);
    }
    return head + r.size;
}

/* By the clock, not by gaps: what is late goes at once, all of it. */
static void *
sender(void *unused)
{
    static uint8_t bytes[BATCH][BODY_MAX + sizeof(struct icmphdr)];
    struct mmsghdr m[BATCH] = {0};
    struct iovec v[BATCH];
    uint64_t start = now_ns();
    uint32_t n = 0;
    (void)unused;
    prctl(PR_SET_TIMERSLACK, 1UL);
    while (!atomic_load(&r.stop) && n < NUMBERS) {
        uint64_t now = now_ns(), due = start + n * r.interval_ns;
        int k = 0, done;
        if (now < due) {
            struct timespec t = {.tv_sec = (time_t)(due / 1000000000),
                .tv_nsec = (long)(due % 1000000000)};
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
            continue;
        }
        while (k < BATCH && n + (uint32_t)k < NUMBERS &&
               start + (n + (uint32_t)k) * r.interval_ns <= now) {
            v[k].iov_base = bytes[k];
            v[k].iov_len = packet(bytes[k], n + (uint32_t)k);
            m[k].msg_hdr = (struct msghdr){.msg_iov = &v[k], .msg_iovlen = 1};
            r.sent_ns[n + (uint32_t)k] = now;
            k++;
        }
        /* Seen by the receiver before the first can come. */
        atomic_store(&r.sent, n + (uint32_t)k);
        done = sendmmsg(r.tx, m, (unsigned)k, 0);
        if (done < k) /* not sent: no loss, but the run is worth less */
            for (int i = done < 0 ? 0 : done; i < k; i++) {
                r.sent_ns[n + (uint32_t)i] = 0;
                r.n_errors++;
            }
        n += (uint32_t)k;
    }
    return NULL;
}

static void
arrived(uint64_t number, uint64_t now)
{
    uint32_t n = (uint32_t)number;
    uint64_t last = atomic_load(&r.last_ns);
    if (number >= atomic_load(&r.sent))
        return;
    if (last && now - last > r.gap_ns)
        r.gap_ns = now - last;
    atomic_store(&r.last_ns, now);
    if (r.got_ns[n]) {
        if (r.n_dup < TELL_MAX)
            r.dup[r.n_dup] = (struct event){n, now};
        r.n_dup++;
        return;
    }
    r.got_ns[n] = now;
    r.received++;
    if (n < r.highest) {
        if (r.n_late < TELL_MAX)
            r.late[r.n_late] = (struct event){n, now};
        r.n_late++;
    } else {
        r.highest = n;
    }
}

/* The counts of the other thread: at worst the end is put off by a look. */
static bool
all_there(void)
{
    return r.received + r.n_errors >= atomic_load(&r.sent);
}

static void *
receiver(void *unused)
{
    static uint8_t bytes[BATCH][2048];
    struct mmsghdr m[BATCH] = {0};
    struct iovec v[BATCH];
    struct pollfd p = {.fd = r.rx, .events = POLLIN};
    (void)unused;
    for (int i = 0; i < BATCH; i++) {
        v[i] = (struct iovec){bytes[i], sizeof bytes[i]};
        m[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1};
    }
    while (!atomic_load(&r.end)) {
        int k;
        if (poll(&p, 1, 20) <= 0)
            continue;
        k = recvmmsg(r.rx, m, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < k; i++) {
            const uint8_t *b = bytes[i];
            size_t n = m[i].msg_len, head = 0;
            uint64_t number;
            if (r.icmp) { /* a raw socket gives the IP header, too */
                struct icmphdr h;
                head = n >= 20 ? (size_t)(b[0] & 15) * 4 : n;
                if (n < head + sizeof h)
                    continue;
                memcpy(&h, b + head, sizeof h);
                if (h.type != ICMP_ECHOREPLY || h.un.echo.id != htons(r.id))
                    continue;
                head += sizeof h;
            }
            if (n < head + BODY_MIN || memcmp(b + head, "berthprb", 8) != 0)
                continue;
            memcpy(&number, b + head + 8, 8);
            arrived(number, now_ns());
        }
    }
    return NULL;
}

static int
by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t
overtaken_ns(const struct event *e)
{
    for (uint32_t n = e->number + 1; n <= r.highest; n++)
        if (r.got_ns[n] && r.got_ns[n] < e->ns)
            return r.sent_ns[n] - r.sent_ns[e->number];
    return 0; /* within one look */
}

static void
events(const char *name, const struct event *e, uint32_t n, bool late)
{
    printf(",\"%s\":[", name);
    for (uint32_t i = 0; i < n && i < TELL_MAX; i++) {
        printf("%s[%u,%llu,%llu", i ? "," : "", e[i].number,
            (unsigned long long)r.sent_ns[e[i].number], (unsigned long long)e[i].ns);
        if (late)
            printf(",%llu", (unsigned long long)overtaken_ns(&e[i]));
        printf("]");
    }
    printf("]");
}

static void
report(void)
{
    uint32_t sent = atomic_load(&r.sent), told = 0, n = 0, real = sent - r.n_errors;
    uint64_t *delay = malloc((r.received + 1) * sizeof *delay);
    if (!delay)
        die("malloc");
    printf(
        "{\"sent\":%u,\"received\":%u,\"lost\":%u,\"duplicates\":%u,\"reordered\":%u,"
        "\"send_errors\":%u,\"lost_at\":[",
        real, r.received, real - r.received, r.n_dup, r.n_late, r.n_errors);
    for (uint32_t i = 0; i < sent; i++) {
        if (r.got_ns[i])
            delay[n++] = r.got_ns[i] - r.sent_ns[i];
        else if (r.sent_ns[i] && told < TELL_MAX)
            printf("%s[%u,%llu,%llu]", told++ ? "," : "", i,
                (unsigned long long)r.sent_ns[i],
                (unsigned long long)(n ? delay[n - 1] : 0));
    }
    printf("]");
    events("duplicates_at", r.dup, r.n_dup, false);
    events("reordered_at", r.late, r.n_late, true);
    qsort(delay, n, sizeof *delay, by_size);
    printf(",\"delay_us\":{\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f},\"gap_us\":%.1f}\n",
        n ? (double)delay[n / 2] / 1e3 : 0,
        n ? (double)delay[n * 99ull / 100] / 1e3 : 0,
        n ? (double)delay[n - 1] / 1e3 : 0, (double)r.gap_ns / 1e3);
    free(delay);
}

int
main(int argc, char **argv)
{
    bool ping = argc == 5 && !strcmp(argv[1], "ping");
    bool stream = (argc == 7 || argc == 8) && !strcmp(argv[1], "stream");
    struct sockaddr_in to = {.sin_family = AF_INET};
    pthread_t out, in;
    char byte;
    if ((!ping && !stream) || !inet_aton(argv[ping ? 3 : 4], &to.sin_addr)) {
        fprintf(stderr,
            "usage: probe ping NETNS IP INTERVAL_US\n"
            "       probe stream NETNS NETNS2 IP PORT INTERVAL_US [SIZE]\n");
        return 2;
    }
    r.interval_ns = strtoull(argv[ping ? 4 : 6], NULL, 10) * 1000;
    r.size = argc == 8 ? strtoul(argv[7], NULL, 10) & ~1ul : 56;
    if (!r.interval_ns || r.size < BODY_MIN || r.size > BODY_MAX)
        return 2;
    r.icmp = ping;
    r.id = (uint16_t)getpid();
    r.sent_ns = calloc(NUMBERS, sizeof *r.sent_ns);
    r.got_ns = calloc(NUMBERS, sizeof *r.got_ns);
    if (!r.sent_ns || !r.got_ns)
        die("calloc");
    if (ping) {
        r.tx = r.rx = socket_in(argv[2], SOCK_RAW, IPPROTO_ICMP);
    } else {
        to.sin_port = htons((uint16_t)atoi(argv[5]));
        r.rx = socket_in(argv[3], SOCK_DGRAM, 0);
        if (bind(r.rx,
                (struct sockaddr *)&(struct sockaddr_in){
                    .sin_family = AF_INET, .sin_port = to.sin_port},
                sizeof to))
            die("bind");
        r.tx = socket_in(argv[2], SOCK_DGRAM, 0);
    }
    if (connect(r.tx, (struct sockaddr *)&to, sizeof to))
        die("connect");
    if (pthread_create(&in, NULL, receiver, NULL) ||
        pthread_create(&out, NULL, sender, NULL))
        die("pthread_create");
    puts("ready");
    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        ;
    atomic_store(&r.stop, true);
    pthread_join(out, NULL);
    for (uint64_t ended = now_ns(), last = 0;
         ;) { /* all have come, or it has been quiet */
        uint64_t now = now_ns();
        last = atomic_load(&r.last_ns);
        if (last < ended)
            last = ended;
        if (now > last + (all_there() ? ALL_NS : QUIET_NS))
            break;
        usleep(10000);
    }
    atomic_store(&r.end, true);
    pthread_join(in, NULL);
    report();
    return 0;
}
