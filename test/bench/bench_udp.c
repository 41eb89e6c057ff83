/* SPDX-License-Identifier: Apache-2.0 */
/* Packets per second of small UDP datagrams, burst by burst:
 *   bench_udp sink PORT         a line per burst: datagrams, and their rate from the
 *                               first to the last arrival
 *   bench_udp flood IP PORT SIZE MS
 *                               a burst of MS for each line on the standard input; a
 *                               line: datagrams, CPU seconds (softirqs in its place
 *                               included)
 * A burst has ended when nothing has come for 20 ms. */
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

static void
sink(int s, struct mmsghdr *m)
{
    struct timeval quiet = {.tv_usec = 20000}, never = {0};
    double first = 0, last = 0;
    long n = 0;
    puts("ready");
    fflush(stdout);
    for (;;) {
        int r = recvmmsg(s, m, BATCH, MSG_WAITFORONE, NULL);
        if (r > 0) {
            last = now();
            if (!n) {
                first = last;
                setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &quiet, sizeof quiet);
            }
            n += r;
        } else if (n) {
            printf("%ld %.0f\n", n, last > first ? (double)n / (last - first) : 0);
            fflush(stdout);
            n = 0;
            setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof never);
        }
    }
}

static double
cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int
flood(int s, struct mmsghdr *m, double seconds)
{
    char line[16];
    while (fgets(line, sizeof line, stdin)) {
        double end = now() + seconds, used = cpu();
        long n = 0;
        while (now() < end) {
            int r = sendmmsg(s, m, BATCH, 0);
            n += r > 0 ? r : 0;
        }
        printf("%ld %.6f\n", n, cpu() - used);
        fflush(stdout);
    }
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
        fprintf(stderr, "usage: bench_udp sink PORT | flood IP PORT SIZE MS\n");
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
        sink(s, m);
    }
    a.sin_port = htons((uint16_t)atoi(argv[3]));
    if (inet_pton(AF_INET, argv[2], &a.sin_addr) != 1 ||
        connect(s, (struct sockaddr *)&a, sizeof a)) {
        perror(argv[2]);
        return 1;
    }
    return flood(s, m, atof(argv[5]) / 1000);
}
