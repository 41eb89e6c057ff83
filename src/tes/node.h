/* SPDX-License-Identifier: Apache-2.0 */
/* The agent of one server (TES) as a pure machine: proto/vdp_station and lldp_evb per
 * uplink, the table of the server's VMs, and the tags their frames get. main.c joins it
 * with host (tes_bpf, packet, control), the simulator with a seeded network. With
 * follow=1 it does not signal: an lldpad on the same host does, and what main reads from
 * it comes in as TES_IN_FOLLOW. Same rules for borrowed pointers as nve/node.h. */
#ifndef BERTH_TES_NODE_H
#define BERTH_TES_NODE_H
#include "core/tns.h"

struct tes_conf {
    const char *name;
    uint32_t oui;
    uint8_t evb_rte, evb_retries, evb_rwd, evb_rka;
    uint8_t follow;                      /* 1: lldpad signals, we only tag */
    uint8_t reflective_relay;            /* asked for (K10) */
    uint8_t manager[16];                 /* VSI manager id in our PDUs */
    const char *const *uplinks;          /* uplink i has number i */
    uint32_t n_uplinks;
    uint32_t max_vms;
    uint64_t seed;
};
/* Tagging of one VM interface, what tes.bpf needs: frames of `ifname` leave on the uplink
 * with (vid, pcp), frames for (mac, vid) come back. pass=0: frames are dropped. */
struct tes_tag {
    uint32_t vm;                         /* number of the VM interface */
    uint32_t uplink;
    char ifname[16];
    struct mac mac;
    uint16_t vid;
    uint8_t pcp, pass, reflect;          /* reflect: the NVE switches, we do not (K10) */
};
enum tes_in_type {
    TES_IN_TICK, TES_IN_FRAME, TES_IN_UPLINK, TES_IN_TAGGED, TES_IN_CONTROL,
    TES_IN_CONTROL_MORE, TES_IN_CONTROL_GONE, TES_IN_RESTORE, TES_IN_RESTORED,
    TES_IN_JOURNAL_DONE, TES_IN_FOLLOW
};
struct tes_in {
    uint8_t type;
    uint8_t up;
    uint8_t gone;                        /* FOLLOW: lldpad dropped the VSI */
    uint32_t uplink, id, conn;
    int status;
    struct mac mac;                      /* UPLINK: its address; FOLLOW: the VM's */
    struct vsiid vsi;                    /* FOLLOW */
    uint16_t tci;                        /* FOLLOW: PS, PCP, VID as lldpad lists them */
    uint32_t group;                      /* FOLLOW */
    const uint8_t *p;
    uint32_t size;
};
enum tes_out_type {
    TES_OUT_FRAME, TES_OUT_TAG, TES_OUT_UNTAG, TES_OUT_CONTROL, TES_OUT_JOURNAL
};
struct tes_out {
    uint8_t type, last;
    uint32_t uplink, id, conn;           /* TAG: answered by TES_IN_TAGGED with the id */
    struct tes_tag tag;
    const uint8_t *key;
    uint16_t key_size;
    const uint8_t *p;
    uint32_t size;
};
struct tes;
struct tes *tes_new(const struct tes_conf *conf, uint64_t now_us);
void tes_free(struct tes *t);
void tes_input(struct tes *t, const struct tes_in *in, uint64_t now_us);
uint64_t tes_deadline(const struct tes *t);
bool tes_output(struct tes *t, struct tes_out *out);
#endif
