/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the server's data plane; only host/tes_bpf*.c include this. tes_bpf.c has
 * VMs and uplinks, tes_bpf_life.c opening, closing and what an earlier run left. */
#ifndef BERTH_HOST_TES_BPF_INT_H
#define BERTH_HOST_TES_BPF_INT_H
#include "base/map.h"
#include "base/mem.h"
#include "host/tc_later.h"
#include "host/tc_link.h"
#include "host/tes_bpf.h"
#include "tes.skel.h"

struct tag_entry {
    struct tes_vm v;    /* as in the map, or as it will be */
    uint32_t ifindex;   /* 0: the interface is not there */
    bool attached, old; /* old: of an earlier run, not yet taken again */
};
struct uplink_entry {
    char name[16]; /* "" = free */
    uint32_t ifindex;
    bool old, taken;
};
struct tes_bpf_plane {
    struct tes_bpf *skel;
    struct tc_later *later;
    char dir[200], root[180];
    bool no_tcx;
    int vms, macs, groups, uplinks, ifindexes, counters;
    int prog_vm, prog_uplink;
    struct pool tags;
    struct map by_name;
    struct uplink_entry up[TES_UPLINKS];
};

uint32_t tes_bpf_tag_find(
    const struct tes_bpf_plane *p, const char *name); /* 0: none */
struct tag_entry *tes_bpf_tag_add(
    struct tes_bpf_plane *p, const char *name); /* NULL: the table is full */
void tes_bpf_tag_drop(struct tes_bpf_plane *p, uint32_t h);
/* `gone`: its interface is not there any more, or is another one now. */
void tes_bpf_unbind_vm(struct tes_bpf_plane *p, struct tag_entry *e, bool gone);
void tes_bpf_drop_uplink(struct tes_bpf_plane *p, uint32_t number);
#endif
