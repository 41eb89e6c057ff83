/* SPDX-License-Identifier: Apache-2.0 */
/* The buffer of frames for VMs that are on their way (K12, D6, F21). The programs send
 * them, tagged with the number of a slot, to a TAP; from there they come here, wait in
 * one queue per slot, and go back to the TAP just as they came: with the header that
 * says of checksums and segmentation, so that a super-frame stays one. The array of
 * slots is shared with the programs: they add to `in`, this module writes the rest
 * (bpf/nve_maps.h). A frame counts as out when the TAP has taken it back, which is
 * after the programs have sent it on; so who finds in = out + dropped overtakes nobody.
 *
 * Bounded by frames, octets and age per slot and by octets over all, of which, as of
 * the slots and of the TAP's queue, each network has its share; what is too much drops
 * the oldest, counted. Nothing here blocks; a turn does a bounded piece of work. Times
 * are CLOCK_MONOTONIC microseconds. One thread. */
#ifndef BERTH_HOST_HOLD_H
#define BERTH_HOST_HOLD_H
#include <stdbool.h>
#include "bpf/nve_maps.h"
#include "host/error.h"
#include "wire/addr.h"

#define HOLD_HEAD  10 /* octets of struct virtio_net_hdr before each frame */
#define HOLD_NEVER UINT64_MAX

/* Makes the TAP of this name, up and silent, in the caller's network namespace; it goes
 * with its fd. The fd or -errno; -ENOENT, -EACCES, -EPERM: there is no TUN driver for
 * us. */
int hold_tap(const char *name, struct host_err *err);

struct hold;
struct hold_conf {
    int fd; /* a TAP or any other fd of whole frames, not blocking; hold closes it */
    struct nve_hold *slots; /* 2 * n_slots rows, see bpf/nve_maps.h */
    uint32_t n_slots;       /* number 0 is none: it keeps the sums */
    uint64_t octets_max;
    uint64_t linger_us; /* how long after its drain a slot is in use still */
    /* A slot was drained: from here on the programs send its frames direct, so its key
     * needs it no more. Called within hold_turn. */
    void (*drained)(void *ctx, uint32_t slot);
    void *ctx;
};
struct hold_limits {
    uint32_t frames, octets;
    uint64_t max_us; /* any of them 0: none are kept */
};
/* Slots that an earlier life left in use stay so, empty; those that were draining are
 * freed. What was on its way is counted as dropped. */
struct hold *hold_new(const struct hold_conf *conf, uint64_t now_us);
void hold_free(struct hold *h); /* slots in use stay so; draining ones end */
int hold_fd(const struct hold *h);
void hold_fd_set(struct hold *h, int fd); /* the TAP was made anew; the old one goes */

/* A slot for the key: its number, or 0: none is free, or its network has its share.
 * Until hold_drain its frames wait. */
uint32_t hold_open(struct hold *h, uint32_t vni, const struct mac *mac,
    const struct hold_limits *l, uint64_t now_us);
/* Other limits; one that was draining keeps again. */
void hold_set(struct hold *h, uint32_t slot, const struct hold_limits *l);
void hold_drain(struct hold *h, uint32_t slot, uint64_t now_us);
/* What waits is dropped, the slot is freed (its key must not name it any more). */
void hold_drop(struct hold *h, uint32_t slot, uint64_t now_us);
/* A frame without tag from elsewhere joins the queue. False: it goes on by itself. */
bool hold_put(
    struct hold *h, uint32_t slot, const uint8_t *frame, size_t size, uint64_t now_us);

/* Reads what has come, drops what is too old, writes back what drains. Call when the fd
 * can be read, after hold_drain, and at the time that it returned (now or earlier: at
 * once, after others had their turn). */
uint64_t hold_turn(struct hold *h, uint64_t now_us);

struct hold_view {
    uint32_t slot, vni;
    struct mac mac;
    bool draining;
    uint32_t frames;                  /* waiting */
    uint64_t octets, oldest_us;       /* waiting; age of the first, 0 = none */
    uint64_t kept, released, dropped; /* since the slot was opened */
};
/* Slots in use; *it from 0. False: no more. */
bool hold_each(
    const struct hold *h, uint32_t *it, struct hold_view *v, uint64_t now_us);
uint64_t hold_dropped(const struct hold *h);   /* ever */
uint64_t hold_unordered(const struct hold *h); /* drains that were cut short */
#endif
