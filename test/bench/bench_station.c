/* SPDX-License-Identifier: Apache-2.0 */
/* A server with many VMs, on the real station machine: associates VSIs through one or
 * more uplinks, each in a network namespace of its own, and holds them.
 *
 *   bench_station NS[,NS..] IF N WINDOW FIRST VNI N-VNS
 *
 * N VSIs are spread over the uplinks and over the networks VNI .. VNI+N-VNS-1; at most
 * WINDOW of each uplink wait for an answer. VSI i has MAC 06-00-.. (FIRST + i), an IPv4
 * and an IPv6 address. When all are answered, one JSON object is printed; then
 * keep-alives go on until the standard input ends, and if that gives the line
 * "terminate", every VSI is de-associated first. */
#include "base/log.h"
#include "proto/lldp_evb.h"
#include "proto/vdp_station.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define UPLINKS_MAX 16
#define PARTS       4

struct uplink {
    int ecp, lldp;
    struct vdp_station *station;
    struct lldp_evb *evb;
    bool berth;
    uint32_t next, n, out; /* VSIs next, next + step .. of n; unanswered */
};
static struct uplink up[UPLINKS_MAX];
static uint32_t n_up, window, first, vni, n_vns;
static uint32_t n_vsis, n_good, n_bad, n_unpublished, n_lost;
static uint8_t type = VDP_ASSOC;
static uint64_t *stamps; /* of answer i */

static uint64_t
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void
die(const char *what)
{
    perror(what);
    exit(1);
}

static int
open_socket(const char *ifname, uint16_t ethertype, struct mac *mac)
{
    struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(ethertype)};
    struct packet_mreq promisc = {.mr_type = PACKET_MR_PROMISC};
    struct ifreq r = {0};
    int s = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0), one = 1;
    a.sll_ifindex = promisc.mr_ifindex = (int)if_nametoindex(ifname);
    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", ifname);
    if (s < 0 || bind(s, (struct sockaddr *)&a, sizeof a) ||
        ioctl(s, SIOCGIFHWADDR, &r))
        die(ifname);
    setsockopt(s, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promisc, sizeof promisc);
    setsockopt(s, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one);
    memcpy(mac->b, r.ifr_hwaddr.sa_data, 6);
    return s;
}

static void
open_uplink(struct uplink *u, const char *ns, const char *ifname, uint32_t max)
{
    char path[300];
    struct mac mac;
    snprintf(path, sizeof path, "/run/netns/%s", ns);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET))
        die(path);
    close(fd);
    u->ecp = open_socket(ifname, 0x8940, &mac);
    u->lldp = open_socket(ifname, 0x88cc, &mac);
    struct vdp_station_conf sc = vdp_station_defaults(&mac);
    struct lldp_evb_conf lc = lldp_evb_defaults(LLDP_EVB_STATION, &mac);
    sc.max_vsis = max;
    sc.seed = 1;
    sc.timers.rka = 24;
    lc.timers = sc.timers;
    lc.group_ids = lc.hello = true;
    lc.boot = (uint32_t)now() | 1;
    u->station = vdp_station_new(&sc, now());
    u->evb = lldp_evb_new(&lc, now());
    lldp_evb_set_carrier(u->evb, true, now());
}

static void
request(struct uplink *u, uint32_t i)
{
    uint32_t id = first + i;
    struct vdp_entry e = {.group = vni + i % n_vns,
        .mac = {{6, 0, (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8),
            (uint8_t)id}}};
    struct vdp_station_request r = {.cookie = i,
        .key = {.id = {.format = 5}},
        .type = type,
        .filter_format = VDP_FILTER_GROUP_MAC,
        .n_entries = 1,
        .entries = &e,
        .has_berth = true};
    r.key.id.b[0] = 0xbe;
    memcpy(r.key.id.b + 12, e.mac.b + 2, 4);
    vdp_station_op(&r, type == VDP_ASSOC ? BERTH_OP_ASSOC : BERTH_OP_TERMINATE, 0);
    if (type == VDP_ASSOC) {
        uint8_t b[16] = {0};
        r.berth.n_ips = 2;
        b[10] = b[11] = 0xff;
        b[12] = 11;
        memcpy(b + 13, e.mac.b + 3, 3);
        memcpy(&r.berth.ips[0].ip, b, 16);
        memset(b, 0, sizeof b);
        b[0] = 0xfd;
        memcpy(b + 10, e.mac.b, 6);
        memcpy(&r.berth.ips[1].ip, b, 16);
    }
    if (!vdp_station_request(u->station, &r, now())) {
        fprintf(stderr, "the station refused request %u\n", i);
        exit(1);
    }
    u->out++;
}

static void
refill(struct uplink *u)
{
    /* in lots: what becomes free one by one would leave as PDUs of one */
    if (!u->berth || u->out > window / 2)
        return;
    while (u->out < window && u->next < u->n) {
        request(u, u->next);
        u->next += n_up;
    }
}

static void
pump(struct uplink *u)
{
    struct lldp_evb_out l;
    struct vdp_station_out o;
    while (lldp_evb_output(u->evb, now(), &l)) {
        if (l.event == LLDP_EVB_FRAME) {
            if (send(u->lldp, l.frame, l.frame_size, 0) < 0)
                die("LLDP");
            continue;
        }
        u->berth = l.state.up && l.state.berth;
        vdp_station_set_peer(
            u->station, &l.state.timers, l.state.berth, l.restarted, now());
    }
    refill(u);
    while (vdp_station_output(u->station, now(), &o)) {
        if (o.event == VDP_STATION_FRAME) {
            if (send(u->ecp, o.frame, o.frame_size, 0) < 0 && errno != ENOBUFS)
                die("ECP");
        } else if (o.event == VDP_STATION_RESULT || o.event == VDP_STATION_TIMEOUT) {
            bool good = o.event == VDP_STATION_RESULT && !o.code;
            if (!good && !n_bad)
                fprintf(stderr, "VSI %u: %s code %u %s\n", (uint32_t)o.cookie,
                    o.event == VDP_STATION_TIMEOUT ? "no answer," : "refused,", o.code,
                    o.has_berth ? o.berth.reason_text : "");
            stamps[n_good + n_bad] = now();
            n_good += good;
            n_bad += !good;
            n_unpublished +=
                good && o.has_berth && o.berth.flags & BERTH_FLAG_UNPUBLISHED;
            u->out--;
            refill(u);
        } else {
            n_lost++;
        }
    }
}

static void
take(struct uplink *u, int s, bool lldp)
{
    static uint8_t b[9216];
    ssize_t n;
    for (int i = 0; i < 16 && (n = recv(s, b, sizeof b, 0)) > 0; i++) {
        if (lldp)
            lldp_evb_input(u->evb, b, (size_t)n, now());
        else
            vdp_station_input(u->station, b, (size_t)n, now());
    }
}

/* One turn; false when the standard input has ended. */
static bool
turn(bool watch_stdin)
{
    struct pollfd p[2 * UPLINKS_MAX + 1];
    uint64_t at = UINT64_MAX, t = now();
    for (uint32_t i = 0; i < n_up; i++) {
        uint64_t a = vdp_station_deadline(up[i].station),
                 b = lldp_evb_deadline(up[i].evb);
        at = a < at ? a : at;
        at = b < at ? b : at;
        p[2 * i] = (struct pollfd){.fd = up[i].ecp, .events = POLLIN};
        p[2 * i + 1] = (struct pollfd){.fd = up[i].lldp, .events = POLLIN};
    }
    p[2 * n_up] = (struct pollfd){.fd = watch_stdin ? 0 : -1, .events = POLLIN};
    int64_t ns = at <= t ? 0 : at - t > 1000000 ? 1000000000 : (int64_t)(at - t) * 1000;
    struct timespec wait = {ns / 1000000000, ns % 1000000000};
    if (ppoll(p, 2 * n_up + 1, &wait, NULL) < 0 && errno != EINTR)
        die("poll");
    for (uint32_t i = 0; i < n_up; i++) {
        if (p[2 * i].revents)
            take(&up[i], up[i].ecp, false);
        if (p[2 * i + 1].revents)
            take(&up[i], up[i].lldp, true);
        pump(&up[i]);
    }
    return !p[2 * n_up].revents;
}

static void
run_all(void)
{
    n_good = n_bad = n_unpublished = 0;
    for (uint32_t i = 0; i < n_up; i++) {
        up[i].next = i;
        up[i].n = n_vsis;
        pump(&up[i]);
    }
    while (n_good + n_bad < n_vsis)
        turn(false);
}

static void
report(uint64_t from)
{
    double s = (double)(stamps[n_vsis - 1] - from) / 1e6;
    uint32_t part = n_vsis / PARTS;
    printf("{\"n\":%u,\"good\":%u,\"bad\":%u,\"unpublished\":%u,\"lost\":%u,\"s\":%.6f,"
           "\"per_s\":%.1f,\"parts_per_s\":[",
        n_vsis, n_good, n_bad, n_unpublished, n_lost, s, n_vsis / s);
    for (uint32_t i = 0; i < PARTS && part; i++) {
        uint64_t a = i ? stamps[i * part - 1] : from, b = stamps[(i + 1) * part - 1];
        printf("%s%.1f", i ? "," : "", b > a ? part * 1e6 / (double)(b - a) : 0);
    }
    printf("],\"pdus\":%llu}\n",
        (unsigned long long)vdp_station_counters(up[0].station)->tx_pdus);
    fflush(stdout);
}

int
main(int argc, char **argv)
{
    char line[64] = "", *at, *ns;
    uint64_t from;
    if (argc != 8) {
        fprintf(stderr, "usage: bench_station NS[,NS..] IF N WINDOW FIRST VNI N-VNS\n");
        return 2;
    }
    n_vsis = (uint32_t)atoi(argv[3]);
    window = (uint32_t)atoi(argv[4]);
    first = (uint32_t)atoi(argv[5]);
    vni = (uint32_t)atoi(argv[6]);
    n_vns = (uint32_t)atoi(argv[7]);
    stamps = calloc(n_vsis + 1, sizeof *stamps);
    for (at = argv[1]; (ns = strsep(&at, ",")) && n_up < UPLINKS_MAX; n_up++)
        open_uplink(&up[n_up], ns, argv[2], n_vsis);
    for (bool all = false; !all;) { /* the edges know us, pacing is off */
        turn(false);
        all = true;
        for (uint32_t i = 0; i < n_up; i++)
            all &= up[i].berth;
    }
    from = now();
    run_all();
    report(from);
    while (turn(true))
        ;
    if (read(0, line, sizeof line - 1) > 0 && !strncmp(line, "terminate", 9)) {
        type = VDP_DEASSOC;
        from = now();
        run_all();
        report(from);
    }
    return 0;
}
