/* SPDX-License-Identifier: Apache-2.0 */
/* Frames held by the data plane, with real devices: they wait for a VM that is not
 * there yet, come out in order where the FDB says by then, at a rate, as super-frames,
 * and over the life of the driver. */
#include <pthread.h>
#include "hold_pair.h"

static void
hold_set(struct nve *n, struct mac mac, uint32_t frames)
{
    go(n);
    OP(n->dp, DP_HOLD_SET, hold, .vni = VN, .mac = mac, .frames = frames,
        .octets = 64 << 20, .max_us = 5000000);
}

static void
hold_del(struct nve *n, struct mac mac, bool drain)
{
    go(n);
    OP(n->dp, DP_HOLD_DEL, hold, .vni = VN, .mac = mac, .drain = drain);
}

static uint64_t
count(struct nve *n, enum dp_counter c)
{
    uint64_t all[DPC_N];

    dp_bpf_counters(n->dp, all);
    return all[c];
}

/* n frames, numbered by their source ports from `first`. */
static void
send_many(const struct nve *from, struct mac src, struct mac dst, uint16_t first, int n)
{
    for (int i = 0; i < n; i++) {
        struct frame f = udp4(dst, src, (uint16_t)(first + i), 9, 100);

        raw_send(from->far, &f, from->vid);
    }
}

static void
expect_many(const struct nve *at, uint16_t vid, uint16_t first, int n)
{
    struct frame got;
    int tci = 0;

    for (int i = 0; i < n; i++) {
        if (!raw_recv(at->far, &got, &tci, WAIT))
            fail_msg("frame %d of %d is lost", i, n);
        assert_int_equal(got.b[34] << 8 | got.b[35], first + i);
        assert_int_equal(tci & 0xfff, vid);
    }
}

static void
expect_none(const struct nve *at)
{
    struct frame got;
    int tci = 0;

    assert_false(raw_recv(at->far, &got, &tci, 50));
}

static void
test_local(void **state)
{
    uint64_t held, released;

    NEED_ROOT();
    held = count(&b, DPC_HELD);
    released = count(&b, DPC_RELEASED);
    hold_set(&b, B, 1000);
    send_many(&a, A, B, 1, 50);
    TURN_UNTIL(loop, view(&b, B).frames == 50);
    expect_none(&b);
    send_many(&a, A, B, 51, 50);
    hold_del(&b, B, true);
    TURN_UNTIL(loop, view(&b, B).kept == 0);
    expect_many(&b, b.vid, 1, 100);
    send_many(&a, A, B, 101, 10); /* nobody turns the loop: direct */
    expect_many(&b, b.vid, 101, 10);
    assert_int_equal(count(&b, DPC_HELD) - held, 100);
    assert_int_equal(count(&b, DPC_RELEASED) - released, 100);
    assert_int_equal(count(&b, DPC_DROP_HELD), 0);
}

/* A VM that this NVE has never heard of, held, comes up elsewhere: the frames follow
 * it, and the outer TTL remembers that they were here (D3). */
static void
test_overlay(void **state)
{
    struct frame got;
    int under, tci = 0, seen = 0;

    NEED_ROOT();
    hold_set(&b, C, 1000);
    go(&a);
    under = raw_open("uA");
    OP(a.dp, DP_FDB_SET, fdb, .vni = VN, .mac = C, .kind = FDB_REMOTE,
        .vtep = b.conf.local);
    send_many(&a, A, C, 1, 20);
    TURN_UNTIL(loop, view(&b, C).frames == 20);
    go(&a);
    OP(a.dp, DP_FDB_SET, fdb, .vni = VN, .mac = C, .kind = FDB_LOCAL, .port = a.port,
        .vid = 111);
    go(&b);
    OP(b.dp, DP_FDB_SET, fdb, .vni = VN, .mac = C, .kind = FDB_RELAY,
        .vtep = a.conf.local);
    hold_del(&b, C, true);
    TURN_UNTIL(loop, view(&b, C).kept == 0);
    expect_many(&a, 111, 1, 20);
    while (raw_recv(under, &got, &tci, 0))
        if (got.b[12] == 8 && got.b[23] == 17 && ++seen)
            assert_int_equal(got.b[22], 63);
    assert_int_equal(seen, 20);
    close(under);
    go(&b);
    OP(b.dp, DP_FDB_DEL, fdb, .vni = VN, .mac = C);
    go(&a);
    OP(a.dp, DP_FDB_DEL, fdb, .vni = VN, .mac = C);
}

/* Senders behind the same NVE: to a local place they wait, elsewhere they go on until
 * it drains; to nowhere is a miss as ever. */
static void
test_neighbours(void **state)
{
    uint64_t missed;

    NEED_ROOT();
    go(&a);
    OP(a.dp, DP_FDB_SET, fdb, .vni = VN, .mac = C, .kind = FDB_LOCAL, .port = a.port,
        .vid = 111);
    hold_set(&a, C, 1000);
    send_many(&a, A, C, 1, 20);
    TURN_UNTIL(loop, view(&a, C).frames == 20);
    go(&a);
    OP(a.dp, DP_FDB_SET, fdb, .vni = VN, .mac = C, .kind = FDB_REMOTE,
        .vtep = b.conf.local);
    go(&b);
    OP(b.dp, DP_FDB_SET, fdb, .vni = VN, .mac = C, .kind = FDB_LOCAL, .port = b.port,
        .vid = 222);
    send_many(&a, A, C, 901, 5); /* kept for the place here, so these do not wait */
    expect_many(&b, 222, 901, 5);
    hold_del(&a, C, true);
    send_many(&a, A, C, 21, 5); /* but now they come behind */
    expect_none(&b);
    TURN_UNTIL(loop, view(&a, C).kept == 0);
    expect_many(&b, 222, 1, 25);

    go(&a);
    OP(a.dp, DP_FDB_DEL, fdb, .vni = VN, .mac = C);
    hold_set(&a, C, 1000);
    missed = count(&a, DPC_DROP_UNKNOWN_MAC);
    send_many(&a, A, C, 1, 3);
    assert_int_equal(count(&a, DPC_DROP_UNKNOWN_MAC) - missed, 3);
    hold_del(&a, C, false);
    go(&b);
    OP(b.dp, DP_FDB_DEL, fdb, .vni = VN, .mac = C);
}

/* F21, and a VM that does not come. */
static void
test_overflow(void **state)
{
    uint64_t dropped;
    struct dp_op op = {
        .type = DP_HOLD_SET, .u.hold = {.vni = VN, .mac = MAC_ALL}
    };

    NEED_ROOT();
    dropped = count(&b, DPC_DROP_HELD);
    hold_set(&b, B, 30);
    send_many(&a, A, B, 1, 100);
    TURN_UNTIL(loop, view(&b, B).kept == 100 && view(&b, B).frames == 30);
    assert_int_equal(view(&b, B).dropped, 70);
    hold_del(&b, B, true);
    TURN_UNTIL(loop, view(&b, B).kept == 0);
    expect_many(&b, b.vid, 71, 30);
    assert_int_equal(count(&b, DPC_DROP_HELD) - dropped, 70);

    hold_set(&b, B, 100);
    send_many(&a, A, B, 1, 10);
    TURN_UNTIL(loop, view(&b, B).frames == 10);
    hold_del(&b, B, false);
    assert_int_equal(count(&b, DPC_DROP_HELD) - dropped, 80);
    send_many(&a, A, B, 11, 5);
    expect_many(&b, b.vid, 11, 5);

    hold_set(&b, B, 0); /* nothing may be kept */
    send_many(&a, A, B, 1, 10);
    expect_none(&b);
    assert_int_equal(count(&b, DPC_DROP_HELD) - dropped, 90);
    hold_del(&b, B, true);
    TURN_UNTIL(loop, !dp_bpf_holds(b.dp, &(uint32_t){0}, &(struct dp_bpf_hold){0}));
    go(&b);
    assert_int_equal(dp_bpf_apply(b.dp, &op), -EINVAL);
}

/* As many at once as the kernel's own queues take. */
static void
flood_of(struct mac dst, int n)
{
    for (int i = 0; i < n; i += 200) {
        uint64_t end = now_ms() + WAIT, want = count(&b, DPC_RX_OVERLAY);
        int some = n - i < 200 ? n - i : 200;

        send_many(&a, A, dst, 1, some);
        while (count(&b, DPC_RX_OVERLAY) < want + (uint64_t)some) {
            assert_true(now_ms() < end);
            poll(NULL, 0, 1);
        }
    }
}

/* A flood for one network's VM, while nobody reads the TAP: the programs refuse what is
 * above its share, and what another network's VM waits for is all there. Nor does it
 * gain by a hold more, and when it is over it is served again. */
static void
test_flood(void **state)
{
    const int flood = NVE_HOLD_QUEUE / 4 + 3000;
    uint64_t dropped, kept;
    struct mac D = mac_n(4);

    NEED_ROOT();
    go(&a);
    OP(a.dp, DP_VN_SET, vn, .vni = VN2, .mtu = 1500);
    OP(a.dp, DP_VAP_SET, vap, .port = a.port, .vni = VN2, .vid = 101);
    OP(a.dp, DP_VSI_SET, vsi, .port = a.port, .vni = VN2, .vsi = 3, .vid = 101,
        .mac = A, .active = 1);
    OP(a.dp, DP_FDB_SET, fdb, .vni = VN2, .mac = D, .kind = FDB_REMOTE,
        .vtep = b.conf.local);
    OP(a.dp, DP_FDB_SET, fdb, .vni = VN, .mac = C, .kind = FDB_REMOTE,
        .vtep = b.conf.local);
    go(&b);
    OP(b.dp, DP_VN_SET, vn, .vni = VN2, .mtu = 1500);
    OP(b.dp, DP_FDB_SET, fdb, .vni = VN2, .mac = D, .kind = FDB_LOCAL, .port = b.port,
        .vid = 202);
    OP(b.dp, DP_HOLD_SET, hold, .vni = VN2, .mac = D, .frames = 1000, .octets = 1 << 20,
        .max_us = 60000000);
    hold_set(&b, B, 1 << 20);
    hold_set(&b, C, 1 << 20);
    dropped = count(&b, DPC_DROP_HELD);
    kept = count(&b, DPC_HELD);
    flood_of(B, flood / 2);
    flood_of(C, flood - flood / 2);
    for (int i = 0; i < 50; i++) {
        struct frame f = udp4(D, A, (uint16_t)(1 + i), 9, 100);

        raw_send(a.far, &f, 101);
    }
    assert_int_equal(count(&b, DPC_HELD) - kept, NVE_HOLD_QUEUE / 4 + 50);
    assert_int_equal(count(&b, DPC_DROP_HELD) - dropped, 3000);
    TURN_UNTIL(loop, view(&b, D).frames == 50 &&
                         view(&b, B).kept == view(&b, B).frames &&
                         view(&b, C).kept == view(&b, C).frames);
    assert_int_equal(view(&b, B).frames + view(&b, C).frames, NVE_HOLD_QUEUE / 4);
    hold_del(&b, B, false);
    hold_del(&b, C, false);
    go(&b);
    OP(b.dp, DP_HOLD_DEL, hold, .vni = VN2, .mac = D, .drain = 1);
    TURN_UNTIL(loop, view(&b, D).kept == 0);
    expect_many(&b, 202, 1, 50);
    hold_set(&b, B, 1000);
    send_many(&a, A, B, 1, 20);
    TURN_UNTIL(loop, view(&b, B).frames == 20);
    hold_del(&b, B, true);
    TURN_UNTIL(loop, view(&b, B).kept == 0);
    expect_many(&b, b.vid, 1, 20);
}

/* A frame that core kept (K18) joins the queue. */
static void
test_frame_op(void **state)
{
    struct frame f = udp4(B, A, 21, 9, 100);
    struct dp_op op = {
        .type = DP_FRAME, .u.frame = {.vni = VN, .p = f.b, .size = (uint16_t)f.size}
    };

    NEED_ROOT();
    hold_set(&b, B, 1000);
    send_many(&a, A, B, 1, 20);
    TURN_UNTIL(loop, view(&b, B).frames == 20);
    go(&b);
    assert_int_equal(dp_bpf_apply(b.dp, &op), 0);
    hold_del(&b, B, true);
    TURN_UNTIL(loop, view(&b, B).kept == 0);
    expect_many(&b, b.vid, 1, 21);
}

/* What is not named again goes; what is keeps its frames; an entry that is there for
 * its hold alone is no stale one (K15). */
static void
test_sync(void **state)
{
    NEED_ROOT();
    hold_set(&b, B, 1000);
    hold_set(&b, C, 1000);
    send_many(&a, A, B, 1, 10);
    TURN_UNTIL(loop, view(&b, B).frames == 10);
    go(&b);
    apply(b.dp, (struct dp_op){.type = DP_SYNC_BEGIN});
    nve_fill(&b, B, &a, A);
    hold_set(&b, B, 1000);
    apply(b.dp, (struct dp_op){.type = DP_SYNC_END});
    assert_int_equal(view(&b, B).frames, 10);
    assert_int_equal(view(&b, C).vni, 0);
    hold_set(&b, C, 1000);
    go(&b);
    apply(b.dp, (struct dp_op){.type = DP_SYNC_BEGIN});
    nve_fill(&b, B, &a, A);
    hold_set(&b, C, 1000);
    apply(b.dp, (struct dp_op){.type = DP_SYNC_END});
    assert_int_equal(view(&b, B).vni, 0);
    assert_int_equal(view(&b, C).vni, VN);
    send_many(&a, A, B, 11, 5);
    expect_many(&b, b.vid, 11, 5);
    hold_del(&b, C, false);
    {
        struct nve_fdb_key key = {.vni = VN};
        struct nve_fdb to;

        memcpy(key.mac, C.b, 6);
        assert_int_not_equal(bpf_map_lookup_elem(b.dp->fd.fdb, &key, &to), 0);
    }
}

/* The TAP goes with the daemon; the hold does not. */
static void
test_restart(void **state)
{
    uint64_t dropped, lost;

    NEED_ROOT();
    dropped = count(&b, DPC_DROP_HELD);
    hold_set(&b, B, 1000);
    send_many(&a, A, B, 1, 10);
    TURN_UNTIL(loop, view(&b, B).frames == 10);
    go(&b);
    dp_bpf_close(b.dp);
    send_many(&a, A, B, 11, 7); /* counted by the programs */
    nve_open(&b);
    lost = count(&b, DPC_DROP_HELD);
    assert_int_equal(lost - dropped, 17);
    assert_int_equal(view(&b, B).vni, VN);
    hold_set(&b, B, 1000);
    send_many(&a, A, B, 18, 10);
    TURN_UNTIL(loop, view(&b, B).frames == 10);
    hold_del(&b, B, true);
    TURN_UNTIL(loop, view(&b, B).kept == 0);
    expect_many(&b, b.vid, 18, 10);
    hold_set(&b, B, 1000);
    send_many(&a, A, B, 1, 3);
    TURN_UNTIL(loop, view(&b, B).frames == 3);
    hold_del(&b, B, true);
    go(&b);
    dp_bpf_close(b.dp); /* before it could drain: the next life frees it */
    send_many(&a, A, B, 28, 5);
    expect_many(&b, b.vid, 28, 5);
    nve_open(&b);
    assert_int_equal(view(&b, B).vni, 0);
    assert_int_equal(count(&b, DPC_DROP_HELD) - lost, 3);
    send_many(&a, A, B, 33, 5);
    expect_many(&b, b.vid, 33, 5);
}

static void
test_device(void **state)
{
    struct host_err err = {{0}};
    char cmd[160];

    NEED_ROOT();
    go(&b);
    sh("test \"$(ip -o link show vx0h | grep -c 'qdisc noqueue')\" = 1 && "
       "test \"$(ip -o -6 addr show dev vx0h)\" = ''");
    assert_int_equal(dp_bpf_check(b.dp, &err), 0);
    hold_set(&b, B, 1000);
    send_many(&a, A, B, 1, 10);
    TURN_UNTIL(loop, view(&b, B).frames == 10);
    go(&b);
    sh("ip link del vx0h");
    assert_int_equal(dp_bpf_check(b.dp, &err), 1);
    assert_int_equal(dp_bpf_check(b.dp, &err), 0);
    send_many(&a, A, B, 11, 10);
    TURN_UNTIL(loop, view(&b, B).frames == 20);
    go(&b);
    snprintf(cmd, sizeof(cmd), "rm %s/links/vx0h; ip link set vx0h down", b.pins);
    sh(cmd);
    assert_int_equal(dp_bpf_check(b.dp, &err), 1);
    hold_del(&b, B, true);
    TURN_UNTIL(loop, view(&b, B).kept == 0);
    expect_many(&b, b.vid, 1, 20);
}

/* K15: the first hold in a layout that is being filled works from the swap on. */
static void
test_layout(void **state)
{
    NEED_ROOT();
    go(&b);
    dp_bpf_close(b.dp);
    b.conf.max_fdb += 100;
    nve_open(&b);
    assert_true(b.dp->waiting);
    apply(b.dp, (struct dp_op){.type = DP_SYNC_BEGIN});
    nve_fill(&b, B, &a, A);
    hold_set(&b, B, 1000);
    send_many(&a, A, B, 1, 3); /* the old programs */
    expect_many(&b, b.vid, 1, 3);
    apply(b.dp, (struct dp_op){.type = DP_SYNC_END});
    assert_false(b.dp->waiting);
    send_many(&a, A, B, 4, 3);
    TURN_UNTIL(loop, view(&b, B).frames == 3);
    hold_del(&b, B, true);
    TURN_UNTIL(loop, view(&b, B).kept == 0);
    expect_many(&b, b.vid, 4, 3);
}

/* ---- at a rate ---- */

struct sender {
    int fd;
    uint16_t vid;
    volatile bool stop;
    uint32_t sent, late;
};

static uint64_t
now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* 10,000 a second by absolute times, in bursts of what is due. */
static void *
sender_run(void *arg)
{
    struct sender *s = arg;
    struct frame f = udp4(B, A, 7, 9, 100);
    uint64_t start = now_ns();
    cpu_set_t one;

    CPU_ZERO(&one); /* frames of one flow that come from two CPUs have no order */
    CPU_SET((unsigned)sched_getcpu(), &one);
    pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
    while (!s->stop) {
        uint64_t due = (now_ns() - start) / 100000;
        struct timespec nap = {0, 100000};

        for (; s->sent < due; s->sent++) {
            memcpy(f.b + 42, &s->sent, 4);
            memset(f.b + 40, 0, 2); /* no checksum */
            raw_send(s->fd, &f, s->vid);
        }
        nanosleep(&nap, NULL);
    }
    return NULL;
}

struct receiver {
    int fd;
    uint32_t next, got, lost, reordered, doubled;
    uint8_t *seen;
};

#define SEQ_MAX 200000
static void
receive(struct receiver *r)
{
    struct frame f;
    uint32_t seq;
    int tci;

    while (raw_recv(r->fd, &f, &tci, 0)) {
        if (f.size != 142 || f.b[37] != 9)
            continue;
        memcpy(&seq, f.b + 42, 4);
        if (seq >= SEQ_MAX)
            continue;
        if (r->seen[seq])
            r->doubled++;
        else
            r->got++;
        r->seen[seq] = 1;
        if (seq < r->next)
            r->reordered++;
        else
            r->next = seq + 1;
    }
}

static void
turn_for(struct receiver *r, uint64_t us)
{
    uint64_t end = loop_now_fresh(loop) + us;

    while (loop_now_fresh(loop) < end) {
        uint64_t slice = loop_now_fresh(loop) + 2000;

        loop_turn(loop, slice < end ? slice : end);
        receive(r);
    }
}

static uint64_t
one_hold(struct receiver *r, uint64_t us)
{
    struct dp_bpf_hold v;
    uint64_t t0;

    hold_set(&b, B, 16384);
    turn_for(r, us);
    t0 = loop_now_fresh(loop);
    hold_del(&b, B, true);
    do {
        turn_for(r, 1000);
        v = view(&b, B);
        assert_true(loop_now_fresh(loop) < t0 + 4000000);
    } while (v.kept != v.released + v.dropped);
    t0 = loop_now_fresh(loop) - t0;
    turn_for(r, 30000);
    return t0;
}

static void
test_rate(void **state)
{
    struct sender s = {.fd = a.far, .vid = a.vid};
    struct receiver r = {.fd = b.far};
    uint64_t drain, longest = 0, end, held;
    int size = 64 << 20;
    pthread_t thread;

    NEED_ROOT();
    r.seen = calloc(SEQ_MAX, 1);
    setsockopt(b.far, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    held = count(&b, DPC_HELD);
    assert_int_equal(pthread_create(&thread, NULL, sender_run, &s), 0);
    for (int i = 0; i < 10; i++) {
        turn_for(&r, 20000);
        drain = one_hold(&r, 50000);
        longest = drain > longest ? drain : longest;
    }
    print_message("10 holds of 50 ms: longest drain %llu ms\n",
        (unsigned long long)longest / 1000);
    for (int i = 0; i < 2; i++) {
        turn_for(&r, 20000);
        drain = one_hold(&r, 500000);
        print_message(
            "hold of 500 ms: drained in %llu ms\n", (unsigned long long)drain / 1000);
    }
    s.stop = true;
    pthread_join(thread, NULL);
    end = loop_now_fresh(loop) + 1000000;
    while (r.got < s.sent && loop_now_fresh(loop) < end)
        turn_for(&r, 5000);
    print_message("sent %u got %u reordered %u doubled %u, through the hold %llu\n",
        s.sent, r.got, r.reordered, r.doubled,
        (unsigned long long)(count(&b, DPC_HELD) - held));
    assert_int_equal(r.got, s.sent);
    assert_int_equal(r.reordered, 0);
    assert_int_equal(r.doubled, 0);
    assert_true(count(&b, DPC_HELD) - held > s.sent / 3);
    free(r.seen);
}

/* ---- TCP between real stacks: super-frames and open checksums ---- */

struct stream {
    int c, s;
    volatile bool stop;
    uint64_t got;
    bool broken;
};

static void *
stream_run(void *arg)
{
    static uint8_t out[65536], in[65536];
    struct stream *t = arg;
    uint64_t sent = 0;

    while (!t->stop) {
        struct pollfd p[2] = {
            {t->c, POLLOUT, 0},
            {t->s, POLLIN,  0}
        };
        ssize_t n;

        poll(p, 2, 10);
        for (size_t i = 0; i < sizeof(out); i++)
            out[i] = (uint8_t)((sent + i) * 7 % 251);
        n = send(t->c, out, sizeof(out), MSG_NOSIGNAL);
        sent += n > 0 ? (uint64_t)n : 0;
        n = recv(t->s, in, sizeof(in), 0);
        for (ssize_t i = 0; i < n; i++)
            t->broken |= in[i] != (uint8_t)((t->got + (uint64_t)i) * 7 % 251);
        t->got += n > 0 ? (uint64_t)n : 0;
    }
    return NULL;
}

static void
stream_open(struct stream *t, int from, int to)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(4000)};
    uint64_t end = now_ms() + 8000;
    int l;

    assert_int_equal(setns(to, CLONE_NEWNET), 0);
    l = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(l, (void *)&at, sizeof(at)), 0);
    assert_int_equal(listen(l, 1), 0);
    inet_pton(AF_INET, "10.1.0.2", &at.sin_addr);
    assert_int_equal(setns(from, CLONE_NEWNET), 0);
    for (;;) {
        t->c = socket(AF_INET, SOCK_STREAM, 0);
        if (!connect(t->c, (void *)&at, sizeof(at)))
            break;
        close(t->c);
        assert_true(now_ms() < end);
        poll(NULL, 0, 20);
    }
    t->s = accept(l, NULL, NULL);
    close(l);
    fcntl(t->c, F_SETFL, O_NONBLOCK);
    fcntl(t->s, F_SETFL, O_NONBLOCK);
}

static void
turn_ms(uint64_t ms)
{
    uint64_t end = loop_now_fresh(loop) + ms * 1000;

    while (loop_now_fresh(loop) < end)
        loop_turn(loop, end);
}

static void
test_tcp(void **state)
{
    struct mac m1 = {
        {2, 0, 0, 0, 1, 1}
    };
    struct mac m2 = {
        {2, 0, 0, 0, 1, 2}
    };
    struct stream t = {0};
    pthread_t thread;
    uint64_t t0, plain, held, dropped;
    uint32_t largest = 0;
    int v1, v2;

    NEED_ROOT();
    go(&a);
    OP(a.dp, DP_MEMBER_SET, member, .vni = VN2, .vtep = b.conf.local);
    go(&b);
    OP(b.dp, DP_MEMBER_SET, member, .vni = VN2, .vtep = a.conf.local);
    v1 = vm_make(&a, "sC", "hC", "02:00:00:00:01:01", 1);
    v2 = vm_make(&b, "sC", "hC", "02:00:00:00:01:02", 2);
    vm_admit(&a, "sC", m1, &b, m2, "10.1.0.1", "fd01::1", "10.1.0.2", "fd01::2");
    vm_admit(&b, "sC", m2, &a, m1, "10.1.0.2", "fd01::2", "10.1.0.1", "fd01::1");
    stream_open(&t, v1, v2);
    go(&b);
    dropped = count(&b, DPC_DROP_HELD);
    assert_int_equal(pthread_create(&thread, NULL, stream_run, &t), 0);
    turn_ms(200);
    plain = t.got;
    turn_ms(500);
    plain = t.got - plain;
    held = t.got;
    t0 = now_ms();
    for (int i = 0; i < 10; i++) {
        struct dp_bpf_hold v;

        OP(b.dp, DP_HOLD_SET, hold, .vni = VN2, .mac = m2, .frames = 16384,
            .octets = 64 << 20, .max_us = 5000000);
        turn_ms(20);
        v = view(&b, m2);
        if (v.frames && v.octets / v.frames > largest)
            largest = (uint32_t)(v.octets / v.frames);
        OP(b.dp, DP_HOLD_DEL, hold, .vni = VN2, .mac = m2, .drain = 1);
        TURN_UNTIL(loop, view(&b, m2).kept == 0);
        turn_ms(50);
    }
    t0 = now_ms() - t0;
    held = t.got - held;
    print_message(
        "TCP %llu Mb/s, with 10 holds of 20 ms in %llu ms %llu Mb/s, mean frame "
        "of a hold up to %u octets\n",
        (unsigned long long)plain * 8 / 500000, (unsigned long long)t0,
        (unsigned long long)(held * 8 / (t0 * 1000)), largest);
    t.stop = true;
    pthread_join(thread, NULL);
    assert_false(t.broken);
    assert_true(held > 1 << 20);
    assert_true(largest > 3000); /* super-frames stayed what they are */
    assert_int_equal(count(&b, DPC_DROP_HELD), dropped);
    close(t.c);
    close(t.s);
    dp_bpf_unbind(b.dp, dp_bpf_port_number(b.dp, "sC"), "sC");
    go(&a);
    dp_bpf_unbind(a.dp, dp_bpf_port_number(a.dp, "sC"), "sC");
    close(v1);
    close(v2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_local),
        cmocka_unit_test(test_overlay),
        cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_frame_op),
        cmocka_unit_test(test_sync),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_device),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_tcp),
    };
    return cmocka_run_group_tests_name(
        "host_dp_hold", tests, hold_setup, hold_teardown);
}
