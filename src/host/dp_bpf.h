/* SPDX-License-Identifier: Apache-2.0 */
/* The BPF data plane: carries out struct dp_op (core/dp.h) on the maps of
 * bpf/nve.bpf.c. The maps are the only copy of the state: they are pinned, outlive the
 * daemon, and are read back instead of being mirrored (K15, K21). Everything happens in
 * the network namespace and mount namespace of the caller. One thread. Errors: 0 or
 * -errno; `err` gets a sentence for the operator.
 *
 * Order at start: open; dp_bpf_port_number() for each configured port; dp_bpf_bind();
 * then operations, with a replay of the wanted state between SYNC_BEGIN and SYNC_END.
 */
#ifndef BERTH_HOST_DP_BPF_H
#define BERTH_HOST_DP_BPF_H
#include <stdbool.h>
#include <stddef.h>
#include "core/dp.h"
#include "host/error.h"

struct dp_bpf;
struct loop;
typedef void (*dp_bpf_event_fn)(void *ctx, const struct dp_event *ev);
struct dp_bpf_conf {
    const char *pin_dir; /* a bpffs outside /sys, e.g. /run/berth/bpf (K21) */
    bool mount;          /* mount a bpffs there if there is none; else -ENODEV */
    const char *vxlan;   /* name of the external vxlan device, already made and up */
    uint16_t udp_port;   /* of that device; 0: 4789 */
    struct ip local;     /* source of outer packets (K11); none: routing decides */
    bool zero_csum;      /* outer UDP checksum off; default on, see the man page */
    bool no_tcx;         /* use clsact filters even where tcx is there */
    /* Sizes of tables; 0 = default. A changed size is a new layout (K15). */
    uint32_t max_ports, max_vsis, max_vaps, max_fdb, max_neigh, max_vns, max_chunks,
        max_vteps, max_neg;
    uint32_t events_size; /* octets of the event ring, a power of two */
    /* Held frames (K12): from this loop; NULL: the caller calls dp_bpf_hold_turn. */
    struct loop *loop;
    const char
        *hold_dev; /* name of their TAP; NULL: that of the vxlan device and "h" */
    uint64_t hold_octets; /* kept for all VMs together; 0: 256 MiB */
    /* DP_EV_HELD, from a turn of the loop (or dp_bpf_hold_turn); NULL: nobody asks. */
    dp_bpf_event_fn held;
    void *held_ctx;
};
/* Loads the programs, reuses pinned maps of the same layout. With another layout found,
 * the old programs go on forwarding until SYNC_END, then all are swapped (K15).
 * -EBUSY: a queueing qdisc on the vxlan device (it would mix tenants). */
int dp_bpf_open(
    const struct dp_bpf_conf *conf, struct dp_bpf **dp, struct host_err *err);
void dp_bpf_close(struct dp_bpf *dp); /* forwarding goes on; NULL is fine */
int dp_bpf_remove(struct dp_bpf *dp); /* detach, unpin; then still close */

/* The number that a port of this name had before, or the lowest free one, remembered
 * with the pins; 0: no number is free. Numbers outlive a re-created device (K15). */
uint32_t dp_bpf_port_number(struct dp_bpf *dp, const char *name);
/* Attach the programs to the device of this name, which may have been made anew (K21),
 * and set it promiscuous (K9). Call at start and when a link of this name appears. */
int dp_bpf_bind(
    struct dp_bpf *dp, uint32_t port, const char *name, struct host_err *err);
int dp_bpf_unbind(struct dp_bpf *dp, uint32_t port, const char *name);
/* Watchdog, every few seconds: attachments and qdisc still there? Repairs what it can;
 * the number of repairs, or -errno with a sentence. */
int dp_bpf_check(struct dp_bpf *dp, struct host_err *err);

/* One operation, done when it returns: 0 or -errno (-ENOSPC: table full, K6 status).
 * What already stands in the maps is not written again. */
int dp_bpf_apply(struct dp_bpf *dp, const struct dp_op *op);

/* How often a key was relayed since it began to be: *it zeroed for the
 * first, then as it was. */
struct dp_bpf_relay {
    uint32_t vni;
    struct mac mac;
    uint64_t frames;
};
bool dp_bpf_relays(const struct dp_bpf *dp, struct dp_bpf_relay *it);

/* Events: poll dp_bpf_fd() for reading, then drain. The event and its frame are
 * borrowed for the call. Returns the number of events, or -errno. `max`: 0 = until
 * empty. */
int dp_bpf_fd(const struct dp_bpf *dp);
int dp_bpf_poll(struct dp_bpf *dp, unsigned max, dp_bpf_event_fn fn, void *ctx);

/* Counters since the pins were made. By port: what became of frames that this port
 * sent; port 0: of frames from the overlay. */
int dp_bpf_counters(struct dp_bpf *dp, uint64_t out[DPC_N]);
int dp_bpf_port_counters(struct dp_bpf *dp, uint32_t port, uint64_t out[DPC_N]);
struct dp_bpf_vsi {
    uint64_t rx_frames, rx_octets; /* from the VSI, admitted */
    uint64_t tx_frames, tx_octets; /* unicast to the VSI; GSO frames count once */
};
int dp_bpf_vsi_counters(struct dp_bpf *dp, uint32_t vsi, struct dp_bpf_vsi *out);

/* Holds now, for people: *it from 0; false: no more. kept = released + dropped + those
 * on their way, of which `frames` wait. */
struct dp_bpf_hold {
    uint32_t vni;
    struct mac mac;
    bool draining;
    uint32_t frames;
    uint64_t octets, oldest_us; /* waiting; the age of the first */
    uint64_t kept, released, dropped;
};
bool dp_bpf_holds(const struct dp_bpf *dp, uint32_t *it, struct dp_bpf_hold *out);
/* Without a loop: reads, drops, writes back what is due; when to call again (see
 * host/hold.h), at the latest. */
uint64_t dp_bpf_hold_turn(struct dp_bpf *dp);
#endif
