/* SPDX-License-Identifier: Apache-2.0 */
/* Puts programs on interfaces of the baseline, pinned so that they stay:
 *   bench_tag server PINS VM-IF UPLINK VID MAC   Berth's own tagging program
 *   bench_tag wire PINS VM-IF UPLINK             a server without tags
 *   bench_tag port PINS PORT VID                 pop and push around a bridge port */
#include "bench_pop.skel.h"
#include "host/tes_bpf.h"
#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TCX_INGRESS 46 /* not in the headers of older libbpf */
#define TCX_EGRESS  47

static int
attach(const char *pins, const char *name, const char *ifname, int prog, int type)
{
    char path[300];
    int link = bpf_link_create(
        prog, (int)if_nametoindex(ifname), (enum bpf_attach_type)type, NULL);
    snprintf(path, sizeof path, "%s/%s-%s", pins, name, ifname);
    if (link < 0 || bpf_obj_pin(link, path)) {
        fprintf(stderr, "%s on %s: %s\n", name, ifname, strerror(errno));
        return 1;
    }
    return 0;
}

static struct bench_pop_bpf *
load(const char *to, int vid)
{
    struct bench_pop_bpf *s = bench_pop_bpf__open();
    if (!s)
        return NULL;
    s->rodata->bench_vid = (__u16)vid;
    s->rodata->bench_ifindex = to ? if_nametoindex(to) : 0;
    return bench_pop_bpf__load(s) ? NULL : s;
}

static int
server(const char *pins, const char *vm, const char *uplink, int vid, const char *mac)
{
    struct tes_bpf_conf conf = {.pin_dir = pins};
    struct tes_bpf_tag tag = {.ifname = vm, .vid = (uint16_t)vid, .pass = true};
    struct tes_bpf_plane *p;
    struct host_err err = {0};
    int rc = !mac_parse(mac, &tag.mac);
    if (!rc)
        rc = tes_bpf_open(&p, &conf, &err);
    if (!rc)
        rc = tes_bpf_uplink(p, uplink, &tag.uplink, &err);
    if (!rc)
        rc = tes_bpf_tag(p, &tag, &err);
    if (rc)
        fprintf(stderr, "%s\n", err.text);
    return !!rc;
}

int
main(int argc, char **argv)
{
    struct bench_pop_bpf *a, *b;
    if (argc == 7 && !strcmp(argv[1], "server"))
        return server(argv[2], argv[3], argv[4], atoi(argv[5]), argv[6]);
    if (argc == 5 && !strcmp(argv[1], "wire")) {
        a = load(argv[4], 0);
        b = load(argv[3], 0);
        return !a || !b ||
               attach(argv[2], "wire", argv[3], bpf_program__fd(a->progs.bench_wire),
                   TCX_INGRESS) ||
               attach(argv[2], "wire", argv[4], bpf_program__fd(b->progs.bench_wire),
                   TCX_INGRESS);
    }
    if (argc == 5 && !strcmp(argv[1], "port")) {
        a = load(NULL, atoi(argv[4]));
        return !a ||
               attach(argv[2], "in", argv[3], bpf_program__fd(a->progs.bench_in),
                   TCX_INGRESS) ||
               attach(argv[2], "out", argv[3], bpf_program__fd(a->progs.bench_out),
                   TCX_EGRESS);
    }
    fprintf(stderr, "usage: see the top of bench_tag.c\n");
    return 2;
}
