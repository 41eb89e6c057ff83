/* SPDX-License-Identifier: Apache-2.0 */
/* Packets per second of small UDP datagrams:
 *   bench_udp sink PORT              counts until 100 ms without any, prints "frames
 * pps" bench_udp flood IP PORT SIZE S   sends S seconds as fast as it can, prints the
 * same The rate of a sink is over first to last arrival, so starting up does not count.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 64

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int
sink(int s, struct mmsghdr *m)
{
    struct timeval wait = {.tv_usec = 100000};
    double first = 0, last = 0;
    long n = 0;
    puts("ready");
    fflush(stdout);
    for (;;) {
        int r = recvmmsg(s, m, BATCH, MSG_WAITFORONE, NULL);
        if (r > 0) {
            last = now();
            if (!first)
                first = last;
            n += r;
            setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
        } else if (n) {
            break;
        }
    }
    printf("%ld %.0f\n", n, last > first ? (double)n / (last - first) : 0);
    return 0;
}

static int
flood(int s, struct mmsghdr *m, double seconds)
{
    double from = now(), end = from + seconds;
    long n = 0;
    while (now() < end) {
        int r = sendmmsg(s, m, BATCH, 0);
        n += r > 0 ? r : 0;
    }
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf("%ld %.0f %.6f\n", n, (double)n / (now() - from),
        (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
    return 0;
}

int
main(int argc, char **argv)
{
    static char bytes[BATCH][2048];
    static struct mmsghdr m[BATCH];
    static struct iovec io[BATCH];
    struct sockaddr_in a = {.sin_family = AF_INET};
    int big = 8 << 20, s = socket(AF_INET, SOCK_DGRAM, 0);
    int is_sink = argc == 3 && !strcmp(argv[1], "sink");
    if (!is_sink && (argc != 6 || strcmp(argv[1], "flood") != 0)) {
        fprintf(stderr, "usage: bench_udp sink PORT | flood IP PORT SIZE SECONDS\n");
        return 2;
    }
    setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof big);
    setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof big);
    for (int i = 0; i < BATCH; i++) {
        io[i] = (struct iovec){bytes[i], is_sink ? 2048 : (size_t)atoi(argv[4]) % 2048};
        m[i].msg_hdr.msg_iov = &io[i];
        m[i].msg_hdr.msg_iovlen = 1;
    }
    if (is_sink) {
        a.sin_port = htons((uint16_t)atoi(argv[2]));
        if (bind(s, (struct sockaddr *)&a, sizeof a)) {
            perror("bind");
            return 1;
        }
        return sink(s, m);
    }
    a.sin_port = htons((uint16_t)atoi(argv[3]));
    if (inet_pton(AF_INET, argv[2], &a.sin_addr) != 1 ||
        connect(s, (struct sockaddr *)&a, sizeof a)) {
        perror(argv[2]);
        return 1;
    }
    return flood(s, m, atof(argv[5]));
}
