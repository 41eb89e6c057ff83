/* SPDX-License-Identifier: Apache-2.0 */
/* Tagging of the VMs' frames on a server: loads bpf/tes.bpf.c, attaches it to uplinks
 * and VM interfaces, and keeps its maps. Maps and links are pinned: when the agent
 * goes, frames go on (K15, K21). Interfaces are matched by name; one that was made anew
 * is bound again. One thread, in the network and mount namespace of the caller. 0 or
 * -errno and a sentence.
 *
 * Order at start: open; uplink for each uplink; tag for each VM that is still wanted;
 * sweep. */
#ifndef BERTH_HOST_TES_BPF_H
#define BERTH_HOST_TES_BPF_H
#include "bpf/tes_maps.h"
#include "host/error.h"
#include "wire/addr.h"

struct tes_bpf_conf {
    const char *pin_dir; /* on a bpffs outside /sys, e.g. /run/berth/bpf */
    bool mount;          /* mount a bpffs there if there is none; else -ENODEV */
    bool no_tcx;         /* clsact filters even where tcx is there */
    uint64_t seed;       /* of the index over names */
};
struct tes_bpf_tag {
    const char *ifname; /* the VM's interface on this side */
    uint32_t uplink;    /* number from tes_bpf_uplink */
    struct mac mac;     /* the VM's; none: any source, and what no other VM has */
    uint16_t vid;       /* 0: no tag yet: nothing passes in either direction */
    uint8_t pcp;
    bool pass;    /* frames from the VM pass; frames to it pass as soon as vid is set */
    bool reflect; /* the edge switches between two VMs here (K10) */
    bool peer;    /* deliver by bpf_redirect_peer: a veth into another namespace */
    bool away;    /* it is on its way: frames for it from VMs here go to the edge (K12),
                   * and until it may send it gets no group frames */
};
struct tes_bpf_plane;
int tes_bpf_open(
    struct tes_bpf_plane **out, const struct tes_bpf_conf *conf, struct host_err *err);
/* Forwarding goes on; NULL is fine. */
void tes_bpf_close(struct tes_bpf_plane *p);
/* Detaches and unpins everything; then still close. */
void tes_bpf_remove(struct tes_bpf_plane *p);

/* Takes the uplink of this name; it may be missing for now (tes_bpf_link binds it
 * later). *number is the one it had before, or the lowest free one. */
int tes_bpf_uplink(
    struct tes_bpf_plane *p, const char *name, uint32_t *number, struct host_err *err);
/* New, or changed. -ENODEV: no such interface (the tag is kept for when it comes).
 * -EEXIST: another VM has this address on this tag. -ENOSPC: too many VMs, or on one
 * tag. */
int tes_bpf_tag(
    struct tes_bpf_plane *p, const struct tes_bpf_tag *tag, struct host_err *err);
/* Removes the tag and the program at once; harmless when there is none. */
void tes_bpf_untag(struct tes_bpf_plane *p, const char *ifname);
/* Removes what an earlier run left and this one has not taken again; pins of other
 * layouts too. Returns how many VM interfaces that were. */
uint32_t tes_bpf_sweep(struct tes_bpf_plane *p);

/* A link of this name has come, changed or gone (ifindex 0). 1: it is ours and was
 * bound anew, 0: nothing to do. */
int tes_bpf_link(
    struct tes_bpf_plane *p, const char *name, uint32_t ifindex, struct host_err *err);
/* Pinned links take milliseconds to make, so a thread makes them while filters do the
 * work. Poll the fd for reading, then call poll. settle: waits until all are made. */
int tes_bpf_fd(const struct tes_bpf_plane *p);
void tes_bpf_poll(struct tes_bpf_plane *p);
void tes_bpf_settle(struct tes_bpf_plane *p);
/* Every few seconds: are the programs still attached? Attaches what is not; how many.
 */
uint32_t tes_bpf_check(struct tes_bpf_plane *p);

uint32_t tes_bpf_n_vms(const struct tes_bpf_plane *p);
int tes_bpf_counters(struct tes_bpf_plane *p, uint64_t out[TESC_N]);
const char *tes_bpf_counter_name(unsigned c);
const char *tes_bpf_counter_help(unsigned c);
#endif
