/* SPDX-License-Identifier: Apache-2.0 */
/* The programs of nve.bpf.c by bpf_prog_test_run, on the maps that the driver fills.
 * Where a redirect goes cannot be seen there; copies made by replication are real and
 * are read from the far ends of the ports. */
#ifndef BERTH_TEST_NVE_PROGS_H
#define BERTH_TEST_NVE_PROGS_H
#include "nve_frames.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "host/dp_bpf_int.h"
#include "nve_test.skel.h"

#define VN_S         5000       /* suppress */
#define VN_F         6000       /* flood, BUM limit 3 at once */
#define V2           0xc0000202 /* known endpoints */
#define V3           0xc0000203
#define ACT_OK       0
#define ACT_SHOT     2
#define ACT_REDIRECT 7
#define ACT_UNSPEC   (-1)
#define TAGGED(tci)  0x8100, tci
#define UNTAGGED     0, 0

static const char *skip_why;
static char dir[] = "/tmp/nve-test-XXXXXX";
static struct dp_bpf *dp;
static struct nve_test_bpf *skel;
static int far1, far2;
static struct mac A, B, C, D, E, F, W;
static struct frame out;
static uint64_t before[DPC_N];
static struct dp_event events[64];
static uint8_t event_frames[64][2048];
static int n_events;
static bool keep_events; /* in the ring */

static inline void
on_event(void *ctx, const struct dp_event *ev)
{
    (void)ctx;
    if (n_events == 64)
        return;
    events[n_events] = *ev;
    if (ev->frame)
        memcpy(event_frames[n_events], ev->frame, ev->size);
    n_events++;
}

static struct __sk_buff after; /* the last run */

static inline int
run(const struct bpf_program *prog, const struct frame *f, struct __sk_buff *ctx)
{
    LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = f->b,
        .data_size_in = (uint32_t)f->size, .data_out = out.b,
        .data_size_out = sizeof(out.b), .ctx_in = ctx, .ctx_size_in = sizeof(*ctx),
        .ctx_out = &after, .ctx_size_out = sizeof(after), .repeat = 1);
    int rc;

    dp_bpf_counters(dp, before);
    rc = bpf_prog_test_run_opts(bpf_program__fd(prog), &o);
    if (rc)
        fail_msg("test run: %d", rc);
    out.size = o.data_size_out;
    n_events = 0;
    if (!keep_events)
        dp_bpf_poll(dp, 0, on_event, NULL);
    return (int)o.retval;
}

static inline int
port_in(const struct frame *f, uint32_t tpid, uint32_t tci)
{
    struct __sk_buff ctx = {
        .cb = {tpid, tci},
          .ifindex = if_nametoindex("s1")
    };

    return run(skel->progs.test_port, f, &ctx);
}

static uint32_t overlay_tos; /* of the outer header */

static inline int
overlay_in(
    const struct frame *f, uint32_t vni, uint32_t vtep, uint32_t ttl, uint32_t tpid)
{
    struct __sk_buff ctx = {
        .cb = {vni, vtep, ttl, tpid, overlay_tos},
          .ifindex = if_nametoindex("vx0")
    };

    return run(skel->progs.test_overlay, f, &ctx);
}

/* Exactly this one, of the counters that say what became of a frame. */
static inline void
expect_count_(enum dp_counter want, uint64_t n, int line)
{
    uint64_t now[DPC_N];

    dp_bpf_counters(dp, now);
    for (unsigned i = 0; i < DPC_N; i++) {
        uint64_t d = now[i] - before[i];

        if (i == (unsigned)want ? d != n : d && i >= DPC_DROP_NO_VAP)
            fail_msg("line %d: %s grew by %llu, looking for %s %llu", line,
                dp_counter_name(i), (unsigned long long)d, dp_counter_name(want),
                (unsigned long long)n);
    }
}
#define expect_count(want, n) expect_count_(want, n, __LINE__)
#define expect_drop(call, why)                                                         \
    do {                                                                               \
        assert_int_equal(call, ACT_SHOT);                                              \
        expect_count(why, 1);                                                          \
    } while (0)
#define expect_sent(call, how)                                                         \
    do {                                                                               \
        assert_int_equal(call, ACT_REDIRECT);                                          \
        expect_count(how, 1);                                                          \
    } while (0)

static inline void
fill(void)
{
    struct ip c = ip_n("192.0.2.2");

    OP(dp, DP_PORT_SET, port, .port = 1, .native = NATIVE_DROP);
    OP(dp, DP_PORT_SET, port, .port = 2, .native = NATIVE_PASS);
    OP(dp, DP_VN_SET, vn, .vni = VN_S, .arp = ARP_SUPPRESS, .mtu = 1500);
    OP(dp, DP_VN_SET, vn, .vni = VN_F, .arp = ARP_FLOOD, .bum_pps = 1, .bum_burst = 3);
    OP(dp, DP_VAP_SET, vap, .port = 1, .vni = VN_S, .vid = 100, .flood = 1, .pcp = 3);
    OP(dp, DP_VAP_SET, vap, .port = 2, .vni = VN_S, .vid = 101, .flood = 1, .pcp = 4);
    OP(dp, DP_VAP_SET, vap, .port = 1, .vni = VN_F, .vid = 200, .flood = 1);
    OP(dp, DP_VAP_SET, vap, .port = 1, .vni = VN_S, .vid = 300, .wildcard = 1);
    OP(dp, DP_VSI_SET, vsi, .port = 1, .vni = VN_S, .vsi = 1, .vid = 100, .mac = A,
        .active = 1, .pcp = 5);
    OP(dp, DP_VSI_SET, vsi, .port = 1, .vni = VN_S, .vsi = 2, .vid = 100, .mac = B);
    OP(dp, DP_VSI_SET, vsi, .port = 1, .vni = VN_F, .vsi = 3, .vid = 200, .mac = F,
        .active = 1);
    OP(dp, DP_VSI_SET, vsi, .port = 2, .vni = VN_S, .vsi = 4, .vid = 101, .mac = D,
        .active = 1);
    OP(dp, DP_FDB_SET, fdb, .vni = VN_S, .mac = A, .kind = FDB_LOCAL, .port = 1,
        .vid = 100, .pcp = 5);
    OP(dp, DP_FDB_SET, fdb, .vni = VN_S, .mac = D, .kind = FDB_LOCAL, .port = 2,
        .vid = 101);
    OP(dp, DP_FDB_SET, fdb, .vni = VN_S, .mac = C, .kind = FDB_REMOTE, .vtep = c);
    OP(dp, DP_FDB_SET, fdb, .vni = VN_S, .mac = E, .kind = FDB_RELAY, .vtep = c);
    OP(dp, DP_NEIGH_SET, neigh, .vni = VN_S, .ip = ip_n("10.0.0.1"), .mac = A);
    OP(dp, DP_NEIGH_SET, neigh, .vni = VN_S, .ip = ip_n("10.0.0.2"), .mac = C);
    OP(dp, DP_NEIGH_SET, neigh, .vni = VN_S, .ip = ip_n("fd00::1"), .mac = A);
    OP(dp, DP_NEIGH_SET, neigh, .vni = VN_S, .ip = ip_n("fd00::2"), .mac = C);
    OP(dp, DP_NEIGH_SET, neigh, .vni = VN_S, .ip = ip_n("fd00::fe"), .mac = C,
        .router = 1);
    OP(dp, DP_MEMBER_SET, member, .vni = VN_S, .vtep = c);
    OP(dp, DP_MEMBER_SET, member, .vtep = ip_n("192.0.2.3"));
}

static inline int
setup(void **state)
{
    struct dp_bpf_conf conf = {.pin_dir = dir,
        .mount = true,
        .vxlan = "vx0",
        .max_fdb = 1024,
        .max_neigh = 1024,
        .max_vsis = 256,
        .max_vaps = 256,
        .local = ip_n("192.0.2.1")};
    struct host_err err = {{0}};
    uint32_t i;
    int fd;

    (void)state;
    skip_why = enter_ns();
    if (skip_why)
        return 0;
    sh("ip link set lo up && ip link add s1 type veth peer name h1 && "
       "ip link add s2 type veth peer name h2 && ip link set s1 up && ip link set h1 "
       "up && "
       "ip link set s2 up && ip link set h2 up && "
       "ip link add vx0 type vxlan external dstport 4789 && ip link set vx0 up");
    assert_non_null(mkdtemp(dir));
    if (dp_bpf_open(&conf, &dp, &err) || dp_bpf_bind(dp, 1, "s1", &err) ||
        dp_bpf_bind(dp, 2, "s2", &err))
        fail_msg("%s", err.text);
    A = mac_n(0xa), B = mac_n(0xb), C = mac_n(0xc), D = mac_n(0xd), E = mac_n(0xe);
    F = mac_n(0xf), W = mac_n(0x77);
    far1 = raw_open("h1");
    far2 = raw_open("h2");
    fill();

    skel = nve_test_bpf__open();
    assert_non_null(skel);
#define X(name) assert_int_equal(bpf_map__reuse_fd(skel->maps.name, dp->fd.name), 0);
    NVE_MAPS(X)
#undef X
    assert_int_equal(nve_test_bpf__load(skel), 0);
    i = NVE_JUMP_ANSWER, fd = bpf_program__fd(skel->progs.nve_answer);
    assert_int_equal(bpf_map_update_elem(bpf_map__fd(skel->maps.jumps), &i, &fd, 0), 0);
    i = NVE_JUMP_FLOOD, fd = bpf_program__fd(skel->progs.nve_flood);
    assert_int_equal(bpf_map_update_elem(bpf_map__fd(skel->maps.jumps), &i, &fd, 0), 0);
    i = NVE_JUMP_REMOTE, fd = bpf_program__fd(skel->progs.nve_remote);
    assert_int_equal(bpf_map_update_elem(bpf_map__fd(skel->maps.jumps), &i, &fd, 0), 0);
    return 0;
}

static inline int
teardown(void **state)
{
    (void)state;
    if (skip_why)
        return 0;
    nve_test_bpf__destroy(skel);
    dp_bpf_remove(dp);
    dp_bpf_close(dp);
    umount(dir);
    rmdir(dir);
    return 0;
}

#define NEED_ROOT()                                                                    \
    do {                                                                               \
        (void)state;                                                                   \
        if (skip_why) {                                                                \
            print_message("skipped: %s\n", skip_why);                                  \
            skip();                                                                    \
        }                                                                              \
    } while (0)
#endif
