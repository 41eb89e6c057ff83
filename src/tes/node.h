/* SPDX-License-Identifier: Apache-2.0 */
/* The agent of one server (TES) as a pure machine: proto/vdp_station and lldp_evb per
 * uplink, the table of the server's VMs, and the tags their frames get. main.c joins it
 * with host (tes_bpf, packet, control), the simulator with a seeded network. With
 * follow=1 it does not signal: an lldpad on the same host does, and what main reads
 * from it comes in as TES_IN_FOLLOW. Borrowed pointers: an input's for the call, an
 * output's until the next call. */
#ifndef BERTH_TES_NODE_H
#define BERTH_TES_NODE_H
#include "core/tns.h"

#define TES_UPLINKS_MAX 64
#define TES_VMS_LIMIT   (1u << 20) /* top of max_vms */

struct tes_conf {
    const char *name;
    uint32_t oui; /* of Berth's TLVs (K20); 0: the default */
    uint8_t evb_rte, evb_retries, evb_rwd, evb_rka;
    uint8_t follow;             /* 1: lldpad signals, we only tag */
    uint8_t virt;               /* a hypervisor is followed */
    uint8_t reflective_relay;   /* asked for (K10); follow: until LLDP has told */
    uint8_t tries;              /* response waits before a request has failed; 0: 2 */
    uint8_t manager[16];        /* VSI manager id in our PDUs */
    uint64_t pace_us;           /* K13; 0: the default */
    uint64_t retry_us;          /* first delay before associating again; 0: 200 ms */
    uint64_t retry_max_us;      /* the delay doubles up to this; 0: 30 s */
    const char *const *uplinks; /* uplink i has number i */
    uint32_t n_uplinks;
    uint32_t max_vms;
    uint64_t seed;
    uint32_t trace_events; /* kept for `trace`; 0: the default */
    uint64_t wall_us;      /* time of day minus the clock of now_us, for `trace` */
};
/* Tagging of one VM interface, what tes.bpf needs: frames of `ifname` leave on the
 * uplink with (vid, pcp), frames for (mac, vid) come back. pass=0: frames from the VM
 * are dropped; vid=0: those to it too. */
struct tes_tag {
    uint32_t vm; /* the VM's number here: not kept over a restart */
    uint32_t uplink;
    char ifname[16];
    struct mac mac; /* none: any */
    uint16_t vid;
    uint8_t pcp, pass, reflect; /* reflect: the NVE switches, we do not (K10) */
    uint8_t away; /* it runs elsewhere, or its pause follows: the NVE has its frames
                     (K12) */
};
enum tes_in_type {
    TES_IN_TICK,         /* the deadline has come */
    TES_IN_FRAME,        /* untagged ECP or LLDP frame from an uplink */
    TES_IN_UPLINK,       /* carrier and address of an uplink */
    TES_IN_TAGGED,       /* a TAG output is done: id, status 0 or -errno */
    TES_IN_CONTROL,      /* one request line */
    TES_IN_CONTROL_MORE, /* after an output with more=1: the client can take more */
    TES_IN_CONTROL_GONE,
    TES_IN_RESTORE,      /* a live journal record */
    TES_IN_RESTORED,     /* that was all: associate again what is wanted */
    TES_IN_JOURNAL_DONE, /* id, status */
    TES_IN_FOLLOW,       /* lldpad has a VSI (or not any more: gone) */
    TES_IN_DOMAIN,       /* a line of JSON: what libvirt says (host/libvirt.h) */
    TES_IN_COUNTERS      /* answer to TES_OUT_COUNTERS: names, helps, values */
};
struct tes_in {
    uint8_t type;
    uint8_t up;
    uint8_t gone;
    uint32_t uplink, id;
    uint64_t conn;
    int status;
    struct mac mac;   /* UPLINK: its address; FOLLOW: the VM's */
    struct vsiid vsi; /* FOLLOW */
    uint16_t tci;     /* FOLLOW: PS, PCP, VID as lldpad lists them */
    uint32_t group;   /* FOLLOW */
    const uint8_t *p;
    uint32_t size;
    const char *const *names, *const *helps; /* COUNTERS: n_values of each */
    const uint64_t *values;
    uint32_t n_values;
};
enum tes_out_type {
    TES_OUT_FRAME,   /* send untagged on the uplink */
    TES_OUT_TAG,     /* answered by TAGGED with the id */
    TES_OUT_UNTAG,   /* tag.ifname: remove tag and program */
    TES_OUT_CONTROL, /* one JSON line, NUL after it; last=1 ends this reply; more=1: see
                        CONTROL_MORE */
    TES_OUT_JOURNAL, /* size > 0: put p under the key; 0: delete the key */
    TES_OUT_DOMAIN_LOOK,  /* describe the domain with the UUID `key` (text) */
    TES_OUT_DOMAIN_WRITE, /* the text p into its metadata */
    TES_OUT_COUNTERS      /* please read the data plane's counters */
};
struct tes_out {
    uint8_t type, last, more;
    uint32_t uplink, id;
    uint64_t conn;
    struct tes_tag tag;
    const uint8_t *key;
    uint16_t key_size;
    const uint8_t *p;
    uint32_t size;
};
struct tes;
struct tes *tes_new(const struct tes_conf *conf, uint64_t now_us); /* conf is copied */
void tes_free(struct tes *t);
void tes_input(struct tes *t, const struct tes_in *in, uint64_t now_us);
uint64_t tes_deadline(const struct tes *t);
bool tes_output(struct tes *t, struct tes_out *out);

uint32_t tes_n_vms(const struct tes *t);
#endif
