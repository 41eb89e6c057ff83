/* SPDX-License-Identifier: Apache-2.0 */
/* Holds of the data plane (K12): the key's FDB entry names a slot, the slot's frames go
 * through the TAP to host/hold. The entry is the only place where key and slot are
 * tied, so it is written last when a hold begins and first when it ends; a daemon that
 * dies between leaves a slot that no entry names, which the next one frees. */
#include "host/dp_bpf_int.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "base/log.h"
#include "host/hold.h"
#include "host/loop.h"
#include "host/netlink.h"

#define HOLDS_SIZE (2 * (size_t)NVE_HOLDS * sizeof(struct nve_hold))
#define OCTETS_MAX (256u << 20)
#define LINGER_US  300000 /* a station switches to its VM again by then */
_Static_assert(sizeof(struct nve_hold) == 64, "as the kernel lays the array out");

static uint64_t
now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static bool
place_of(struct dp_bpf *dp, const struct nve_fdb_key *key, struct nve_fdb *to)
{
    return !bpf_map_lookup_elem(dp->fd.fdb, key, to);
}

/* The key is held no more; an entry that was there for that alone goes. */
static int
let_go(struct dp_bpf *dp, const struct nve_fdb_key *key, uint32_t slot)
{
    struct nve_fdb to;

    if (!place_of(dp, key, &to) || !(to.kind & NVE_HELD) || to.hold != slot)
        return 0;
    to.kind &= (uint8_t)~NVE_HELD;
    to.hold = 0;
    if (to.kind == NVE_NOWHERE)
        return dp_del(dp->fd.fdb, key);
    return dp_put(dp->fd.fdb, key, &to, sizeof(to));
}

static struct nve_fdb_key
key_of(const struct nve_hold *n)
{
    struct nve_fdb_key key = {.vni = n->vni};

    memcpy(key.mac, n->mac, sizeof(key.mac));
    return key;
}

static void
ended(struct dp_bpf *dp, const struct nve_hold *n)
{
    struct dp_event *ev;

    if (!dp->held_fn)
        return;
    ev = fifo_push(&dp->held);
    ev->type = DP_EV_HELD;
    ev->vni = n->vni;
    memcpy(ev->dst.b, n->mac, sizeof(ev->dst.b));
    ev->frames = n->out;
    ev->dropped = n->dropped;
}

static void
on_drained(void *ctx, uint32_t slot)
{
    struct dp_bpf *dp = ctx;
    const struct nve_hold *n = &dp->holds[slot];
    struct nve_fdb_key key = key_of(n);
    char mac[MAC_STR];
    int rc = let_go(dp, &key, slot);

    ended(dp, n);
    log_inf("dp", "vni=%u mac=%s drained kept=%llu released=%llu dropped=%llu rc=%d",
        n->vni, mac_str((const struct mac *)n->mac, mac), (unsigned long long)n->in,
        (unsigned long long)n->out, (unsigned long long)n->dropped, rc);
}

/* ---- the loop ---- */

/* Outside of operations: whoever is told may ask for more of them. */
static uint64_t
turn(struct dp_bpf *dp, uint64_t now)
{
    uint64_t next = hold_turn(dp->hold, now);
    struct dp_event ev;

    while (fifo_pop(&dp->held, &ev))
        dp->held_fn(dp->held_ctx, &ev);
    return next;
}

uint64_t
dp_bpf_hold_turn(struct dp_bpf *dp)
{
    return dp->hold ? turn(dp, now_us()) : HOLD_NEVER;
}

static void
run(void *ctx)
{
    struct dp_bpf *dp = ctx;
    uint64_t now = now_us(), next = turn(dp, now);

    if (next <= now)
        loop_later(dp->loop, &dp->hold_call);
    else
        loop_timer_set(dp->hold_timer, next);
}

static void
on_tap(void *ctx, int events)
{
    (void)events;
    run(ctx);
}

/* Not within an operation: those that follow it may say where the frames go. */
static void
soon(struct dp_bpf *dp)
{
    if (dp->loop)
        loop_later(dp->loop, &dp->hold_call);
}

static int
watch(struct dp_bpf *dp, struct host_err *err)
{
    if (!dp->loop)
        return 0;
    loop_unwatch(dp->hold_watch);
    dp->hold_watch = NULL;
    return loop_watch(
        dp->loop, hold_fd(dp->hold), LOOP_IN, on_tap, dp, &dp->hold_watch, err);
}

/* ---- operations ---- */

static struct nve_fdb_key
op_key(const struct dp_op *op)
{
    struct nve_fdb_key key = {.vni = op->u.hold.vni};

    memcpy(key.mac, op->u.hold.mac.b, sizeof(key.mac));
    return key;
}

int
dp_hold_set(struct dp_bpf *dp, const struct dp_op *op)
{
    struct hold_limits l = {op->u.hold.frames, op->u.hold.octets, op->u.hold.max_us};
    struct nve_fdb_key key = op_key(op);
    struct nve_fdb to = {.kind = NVE_NOWHERE};
    uint32_t slot;
    int rc;

    if (!dp->hold)
        return -EOPNOTSUPP;
    if (!key.vni || op->u.hold.mac.b[0] & 1)
        return -EINVAL;
    dp_sync_note(dp, DP_T_HOLD, &key, true);
    if (place_of(dp, &key, &to) && to.kind & NVE_HELD) {
        hold_set(dp->hold, to.hold, &l);
        return 0;
    }
    slot = hold_open(dp->hold, key.vni, &op->u.hold.mac, &l, now_us());
    if (!slot)
        return -ENOSPC;
    to.kind |= NVE_HELD;
    to.hold = (uint16_t)slot;
    rc = dp_put(dp->fd.fdb, &key, &to, sizeof(to));
    if (rc)
        hold_drop(dp->hold, slot, now_us());
    return rc;
}

int
dp_hold_del(struct dp_bpf *dp, const struct dp_op *op)
{
    struct nve_fdb_key key = op_key(op);
    struct nve_fdb to;
    int rc;

    dp_sync_note(dp, DP_T_HOLD, &key, false);
    if (!dp->hold || !place_of(dp, &key, &to) || !(to.kind & NVE_HELD))
        return 0;
    if (op->u.hold.drain) {
        hold_drain(dp->hold, to.hold, now_us());
        soon(dp);
        return 0;
    }
    rc = let_go(dp, &key, to.hold);
    hold_drop(dp->hold, to.hold, now_us());
    ended(dp, &dp->holds[to.hold]);
    soon(dp);
    return rc;
}

int
dp_fdb_put(struct dp_bpf *dp, const struct nve_fdb_key *key, const struct nve_fdb *val)
{
    struct nve_fdb to = {.kind = NVE_NOWHERE}, put = *val;

    if (place_of(dp, key, &to) && to.kind & NVE_HELD) {
        put.kind |= NVE_HELD;
        put.hold = to.hold;
    }
    if (val->kind == FDB_RELAY && (to.kind & (uint8_t)~NVE_HELD) != FDB_RELAY)
        bpf_map_delete_elem(dp->fd.relays, key); /* counted anew */
    return dp_put(dp->fd.fdb, key, &put, sizeof(put));
}

int
dp_fdb_del(struct dp_bpf *dp, const struct nve_fdb_key *key)
{
    struct nve_fdb to, put = {.kind = NVE_NOWHERE};

    if (place_of(dp, key, &to) && to.kind & NVE_HELD)
        return dp_fdb_put(dp, key, &put);
    return dp_del(dp->fd.fdb, key);
}

/* A frame of core's for a held VM joins the queue: true. */
bool
dp_hold_frame(
    struct dp_bpf *dp, const struct nve_fdb *to, const uint8_t *p, size_t size)
{
    uint8_t kind = to->kind & (uint8_t)~NVE_HELD;

    if (!(to->kind & NVE_HELD) || !dp->hold || to->hold >= NVE_HOLDS)
        return false;
    if (kind == NVE_NOWHERE ||
        (kind == FDB_REMOTE && dp->holds[to->hold].state != NVE_HOLD_DRAIN))
        return false;
    return hold_put(dp->hold, to->hold, p, size, now_us());
}

/* Those that drain are on their way out already, and core does not name them. */
int
dp_hold_prune(struct dp_bpf *dp, uint32_t *gone)
{
    struct hold_view v;
    uint32_t it = 0;
    int rc = 0;

    while (!rc && dp->hold && hold_each(dp->hold, &it, &v, 0)) {
        struct nve_fdb_key key = key_of(&dp->holds[v.slot]);

        if (v.draining || dp_sync_noted(dp, DP_T_HOLD, &key))
            continue;
        (*gone)++;
        rc = let_go(dp, &key, v.slot);
        hold_drop(dp->hold, v.slot, now_us());
    }
    return rc;
}

/* ---- life ---- */

static int
tap_open(struct dp_bpf *dp, int *fd, struct host_err *err)
{
    int rc;

    *fd = hold_tap(dp->hold_dev, err);
    if (*fd < 0)
        return *fd;
    dp->hold_ifindex = if_nametoindex(dp->hold_dev);
    rc = dp_attach(dp, dp->hold_dev, dp->hold_ifindex, dp->prog_hold, err);
    if (!rc)
        rc = dp_floor_write(dp, dp->mtu_floor);
    if (rc) {
        dp->hold_ifindex = 0;
        close(*fd);
    }
    return rc;
}

/* What an earlier life began and did not end. */
static void
tidy(struct dp_bpf *dp)
{
    for (uint32_t i = 1; i < NVE_HOLDS; i++) {
        struct nve_hold *n = &dp->holds[i];
        struct nve_fdb_key key = key_of(n);
        struct nve_fdb to;

        if (!n->vni)
            continue;
        if (n->state == NVE_HOLD_FREE)
            let_go(dp, &key, i);
        else if (!place_of(dp, &key, &to) || !(to.kind & NVE_HELD) || to.hold != i)
            hold_drop(dp->hold, i, now_us());
    }
}

int
dp_hold_start(struct dp_bpf *dp, const struct dp_bpf_conf *conf, struct host_err *err)
{
    struct hold_conf h = {.n_slots = NVE_HOLDS,
        .octets_max = conf->hold_octets ? conf->hold_octets : OCTETS_MAX,
        .linger_us = LINGER_US,
        .drained = on_drained,
        .ctx = dp};
    void *at =
        mmap(NULL, HOLDS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, dp->fd.holds, 0);
    int rc;

    if (at == MAP_FAILED)
        return host_fail(err, -errno, "data plane: mapping the slots of holds: %m");
    dp->holds = h.slots = at;
    dp->loop = conf->loop;
    dp->held_fn = conf->held;
    dp->held_ctx = conf->held_ctx;
    fifo_init(&dp->held, sizeof(struct dp_event));
    if (conf->hold_dev)
        snprintf(dp->hold_dev, sizeof(dp->hold_dev), "%s", conf->hold_dev);
    else
        snprintf(dp->hold_dev, sizeof(dp->hold_dev), "%.14sh", dp->vxlan);
    rc = tap_open(dp, &h.fd, err);
    if (rc == -ENOENT || rc == -EACCES || rc == -EPERM || rc == -ENODEV ||
        rc == -ENXIO) {
        log_warn("dp", "frames for a VM on its way cannot be kept: %s", err->text);
        return 0;
    }
    if (rc)
        return rc;
    dp->hold = hold_new(&h, now_us());
    if (!dp->hold) {
        close(h.fd);
        return -ENOMEM;
    }
    tidy(dp);
    if (dp->loop) {
        dp->hold_call = (struct loop_call){.fn = run, .ctx = dp};
        dp->hold_timer = loop_timer_new(dp->loop, run, dp);
    }
    return watch(dp, err);
}

/* Without the daemon nobody reads the TAP: the programs count what is dropped then. */
void
dp_hold_stop(struct dp_bpf *dp)
{
    if (dp->loop) {
        loop_call_cancel(&dp->hold_call);
        loop_timer_free(dp->hold_timer);
        loop_unwatch(dp->hold_watch);
    }
    if (dp->hold) {
        dp->hold_ifindex = 0;
        dp_floor_write(dp, dp->mtu_floor);
        dp_detach(dp, dp->hold_dev, if_nametoindex(dp->hold_dev));
    }
    hold_free(dp->hold);
    fifo_done(&dp->held);
    if (dp->holds)
        munmap(dp->holds, HOLDS_SIZE);
}

int
dp_hold_check(struct dp_bpf *dp, struct host_err *err)
{
    uint32_t ifindex = if_nametoindex(dp->hold_dev);
    struct netlink_link l;
    int fd, rc;

    if (!dp->hold)
        return 0;
    if (ifindex && ifindex == dp->hold_ifindex) {
        rc = netlink_find_index(dp->nl, ifindex, &l, err);
        if (rc)
            return rc;
        if (l.up && dp_attached(dp, dp->hold_dev, ifindex))
            return 0;
        rc = netlink_set_up(dp->nl, ifindex, true, err);
        if (!rc)
            rc = dp_attach(dp, dp->hold_dev, ifindex, dp->prog_hold, err);
        return rc ? rc : 1;
    }
    if (dp->loop)
        loop_unwatch(dp->hold_watch);
    dp->hold_watch = NULL;
    hold_fd_set(dp->hold, -1);
    rc = tap_open(dp, &fd, err);
    if (rc)
        return rc;
    hold_fd_set(dp->hold, fd);
    rc = watch(dp, err);
    log_warn("dp", "dev=%s made anew rc=%d", dp->hold_dev, rc);
    return rc ? rc : 1;
}

uint64_t
dp_hold_dropped(const struct dp_bpf *dp)
{
    return dp->hold ? hold_dropped(dp->hold) : 0;
}

bool
dp_bpf_holds(const struct dp_bpf *dp, uint32_t *it, struct dp_bpf_hold *out)
{
    struct hold_view v;

    if (!dp->hold || !hold_each(dp->hold, it, &v, now_us()))
        return false;
    *out = (struct dp_bpf_hold){.vni = v.vni,
        .mac = v.mac,
        .draining = v.draining,
        .frames = v.frames,
        .octets = v.octets,
        .oldest_us = v.oldest_us,
        .kept = v.kept,
        .released = v.released,
        .dropped = v.dropped};
    return true;
}

bool
dp_bpf_relays(const struct dp_bpf *dp, struct dp_bpf_relay *it)
{
    struct nve_fdb_key prev = {.vni = it->vni}, key;

    memcpy(prev.mac, it->mac.b, sizeof(prev.mac));
    do {
        if (bpf_map_get_next_key(dp->fd.relays, it->vni ? &prev : NULL, &key))
            return false;
        it->vni = key.vni;
        memcpy(it->mac.b, key.mac, sizeof(it->mac.b));
        prev = key;
    } while (bpf_map_lookup_elem(dp->fd.relays, &key, &it->frames));
    return true;
}
