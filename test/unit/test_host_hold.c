/* SPDX-License-Identifier: Apache-2.0 */
/* The buffer of held frames alone: a pair of sockets stands for the TAP, an array for
 * the programs' slots. Time is what the test says it is. */
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/rng.h"
#include "host/hold.h"

#define N_SLOTS 12
#define HEAD    (HOLD_HEAD + 18)

static struct nve_hold slots[2 * N_SLOTS];
static struct hold *h;
static int tap; /* the kernel's end */
static uint64_t now;
static uint32_t drained[64], n_drained;
static const struct mac VM = {
    {2, 0, 0, 0, 0, 1}
};
static const struct hold_limits WIDE = {1000, 1 << 20, 1000000};

static void
on_drained(void *ctx, uint32_t slot)
{
    assert_ptr_equal(ctx, slots);
    drained[n_drained++] = slot;
}

static uint64_t linger;

static void
make(uint64_t octets_max)
{
    struct hold_conf conf = {.slots = slots,
        .n_slots = N_SLOTS,
        .octets_max = octets_max,
        .linger_us = linger,
        .drained = on_drained,
        .ctx = slots};
    int fd[2], size = 4 << 20;

    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fd), 0);
    for (int i = 0; i < 2; i++)
        setsockopt(fd[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
    tap = fd[0];
    conf.fd = fd[1];
    n_drained = 0;
    h = hold_new(&conf, now);
    assert_non_null(h);
}

static int
setup(void **state)
{
    (void)state;
    memset(slots, 0, sizeof(slots));
    now = 1000000;
    make(1 << 20);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    hold_free(h);
    close(tap);
    return 0;
}

/* What the programs do: count, tag, redirect. The frame's first word is its number. */
static void
send_n(uint32_t slot, uint32_t number, size_t payload)
{
    uint8_t b[HEAD + 70000] = {0};

    b[0] = 1; /* VIRTIO_NET_HDR_F_NEEDS_CSUM: the header must come back as it was */
    b[HOLD_HEAD + 12] = 0x81;
    b[HOLD_HEAD + 1] = 61; /* the way of the frame: ours to leave alone */
    b[HOLD_HEAD + 14] = (uint8_t)(slot >> 8);
    b[HOLD_HEAD + 15] = (uint8_t)slot;
    memcpy(b + HEAD, &number, 4);
    slots[slot].in++;
    slots[N_SLOTS + slots[slot].share].in++;
    assert_int_equal(write(tap, b, HEAD + payload), HEAD + payload);
}

/* Frames of this slot's network that the TAP holds, as the programs see it. */
static int64_t
queued(uint32_t slot)
{
    const struct nve_hold *q = &slots[N_SLOTS + slots[slot].share];

    return (int64_t)(q->in - q->out);
}

/* The number of the next frame that came back for this slot; -1: none. */
static int
back(uint32_t slot)
{
    static uint8_t b[HEAD + 70000];
    ssize_t n = read(tap, b, sizeof(b));
    uint32_t number;

    if (n < 0)
        return -1;
    assert_int_equal(b[0], 1);
    assert_int_equal(b[HOLD_HEAD + 1], 61);
    assert_int_equal(b[HOLD_HEAD + 15], slot);
    memcpy(&number, b + HEAD, 4);
    return (int)number;
}

static struct hold_view
view(uint32_t slot)
{
    struct hold_view v;
    uint32_t it = 0;

    while (hold_each(h, &it, &v, now))
        if (v.slot == slot)
            return v;
    fail_msg("slot %u is not in use", slot);
    return v;
}

static void
test_order(void **state)
{
    uint32_t a = hold_open(h, 5, &VM, &WIDE, now), b = hold_open(h, 6, &VM, &WIDE, now);

    (void)state;
    assert_true(a && b && a != b);
    assert_int_equal(slots[a].state, NVE_HOLD_KEEP);
    for (uint32_t i = 0; i < 100; i++) {
        send_n(a, i, 60);
        if (i % 3 == 0)
            hold_turn(h, now);
    }
    send_n(b, 7, 60);
    hold_turn(h, now);
    assert_int_equal(back(a), -1);
    assert_int_equal(view(a).frames, 100);
    assert_int_equal(view(a).octets, 100 * 78);
    now += 5;
    assert_int_equal(view(a).oldest_us, 5);
    hold_drain(h, a, now);
    send_n(a, 100, 60); /* behind them */
    hold_turn(h, now);
    for (int i = 0; i <= 100; i++)
        assert_int_equal(back(a), i);
    assert_int_equal(back(a), -1);
    assert_int_equal(slots[a].in, slots[a].out);
    assert_int_equal(n_drained, 1);
    assert_int_equal(drained[0], a);
    assert_int_equal(slots[a].state, NVE_HOLD_PASS);
    send_n(a, 101, 60); /* met the hold just before it ended */
    hold_turn(h, now);
    assert_int_equal(back(a), 101);
    assert_int_equal(view(b).frames, 1); /* the other one was left alone */
    assert_int_equal(hold_dropped(h), 0);
}

/* A drain is done in pieces, and what comes meanwhile stays behind. */
static void
test_pieces(void **state)
{
    struct hold_limits l = {5000, 1 << 20, 1000000};
    uint32_t a = hold_open(h, 5, &VM, &l, now);
    uint32_t sent = 0, turns = 0;
    int want = 0, got;

    (void)state;
    while (sent < 2000) {
        send_n(a, sent++, 60);
        if (sent % 100 == 0)
            hold_turn(h, now);
    }
    hold_drain(h, a, now);
    while (!n_drained) {
        assert_true(hold_turn(h, now) <= now || n_drained);
        for (int i = 0; i < 100 && sent < 3000; i++)
            send_n(a, sent++, 60);
        while ((got = back(a)) >= 0)
            assert_int_equal(got, want++);
        assert_true(++turns < 100);
    }
    hold_turn(h, now); /* those of the last round met the hold a moment before */
    while ((got = back(a)) >= 0)
        assert_int_equal(got, want++);
    assert_int_equal(want, sent);
    assert_true(turns >= 4);
}

/* Drained, a slot is its key's for a while yet, and can keep again at once. */
static void
test_linger(void **state)
{
    hold_free(h);
    close(tap);
    linger = 300000;
    make(1 << 20);
    linger = 0;
    uint32_t a = hold_open(h, 5, &VM, &WIDE, now);

    (void)state;
    send_n(a, 1, 60);
    hold_turn(h, now);
    hold_drain(h, a, now);
    assert_int_equal(hold_turn(h, now), now + 300000);
    assert_int_equal(back(a), 1);
    assert_int_equal(slots[a].state, NVE_HOLD_PASS);
    assert_int_equal(n_drained, 0);
    hold_set(h, a, &WIDE);
    assert_int_equal(slots[a].state, NVE_HOLD_KEEP);
    send_n(a, 2, 60);
    now += 400000;
    hold_turn(h, now);
    assert_int_equal(back(a), -1);
    hold_drain(h, a, now);
    assert_int_equal(hold_turn(h, now), now + 300000);
    assert_int_equal(back(a), 2);
    now += 300000;
    hold_turn(h, now);
    assert_int_equal(n_drained, 1);
}

static void
test_limits(void **state)
{
    struct hold_limits l = {10, 1 << 20, 1000000}, narrow = {10, 300, 1000000};
    struct hold_limits none = {0, 0, 0};
    uint32_t a = hold_open(h, 5, &VM, &l, now);

    (void)state;
    for (uint32_t i = 0; i < 25; i++)
        send_n(a, i, 60);
    hold_turn(h, now);
    assert_int_equal(view(a).frames, 10);
    assert_int_equal(view(a).dropped, 15);
    hold_set(h, a, &narrow); /* 78 octets each */
    assert_int_equal(view(a).frames, 3);
    assert_int_equal(view(a).octets, 234);
    hold_drain(h, a, now);
    hold_turn(h, now);
    for (int i = 22; i < 25; i++)
        assert_int_equal(back(a), i); /* the newest stayed */
    assert_int_equal(n_drained, 1);
    assert_int_equal(hold_dropped(h), 22);

    a = hold_open(h, 5, &VM, &none, now);
    assert_int_equal(slots[a].state, NVE_HOLD_REFUSE);
    send_n(a, 0, 60);
    hold_turn(h, now);
    assert_int_equal(view(a).frames, 0);
    assert_int_equal(view(a).dropped, 1);
}

static void
test_age(void **state)
{
    struct hold_limits l = {100, 1 << 20, 50000};
    uint32_t a = hold_open(h, 5, &VM, &l, now);

    (void)state;
    send_n(a, 0, 60);
    assert_int_equal(hold_turn(h, now), now + 50000);
    now += 30000;
    send_n(a, 1, 60);
    assert_int_equal(hold_turn(h, now), now + 20000);
    now += 20000;
    assert_int_equal(hold_turn(h, now), now + 30000);
    assert_int_equal(view(a).frames, 1);
    assert_int_equal(view(a).dropped, 1);
    hold_drain(h, a, now);
    now += 100000; /* a drain that is late gives away nothing more */
    hold_turn(h, now);
    assert_int_equal(back(a), 1);
    assert_int_equal(n_drained, 1);
}

/* Of all octets a network has a quarter; the queue in it that has most gives way, and
 * the network that has most where all have too much. */
static void
test_octets(void **state)
{
    uint32_t a, b, few, net[4];

    (void)state;
    teardown(NULL);
    make(100000);
    a = hold_open(h, 5, &VM, &WIDE, now);
    b = hold_open(h, 5, &VM, &WIDE, now);
    few = hold_open(h, 6, &VM, &WIDE, now);
    for (uint32_t i = 0; i < 5; i++)
        send_n(few, i, 700);
    for (uint32_t i = 0; i < 8; i++)
        send_n(b, i, 700);
    for (uint32_t i = 0; i < 200; i++) { /* a flood */
        send_n(a, i, 700);
        hold_turn(h, now);
    }
    assert_int_equal(view(b).frames, 8);
    assert_int_equal(view(few).frames, 5);
    assert_in_range(view(a).octets + view(b).octets, 22000, 25000);
    for (uint32_t i = 0; i < 4; i++) { /* and more who have all that they may */
        net[i] = hold_open(h, 10 + i, &VM, &WIDE, now);
        for (uint32_t k = 0; k < 200; k++) {
            send_n(net[i], k, 700);
            hold_turn(h, now);
        }
    }
    assert_int_equal(view(few).frames, 5);
    assert_int_equal(view(few).dropped, 0);
    assert_int_equal(view(b).frames, 8);
    for (uint32_t i = 0; i < 4; i++)
        assert_in_range(view(net[i]).octets, 15000, 25000);
    hold_drain(h, few, now);
    hold_turn(h, now);
    for (int i = 0; i < 5; i++)
        assert_int_equal(back(few), i);
}

/* Nor has a network more than a quarter of the slots, with those that it gave back a
 * moment ago; and the programs know what the TAP holds of it. */
static void
test_shares(void **state)
{
    uint32_t mine[3], other;

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_not_equal(mine[i] = hold_open(h, 5, &VM, &WIDE, now), 0);
    assert_int_equal(hold_open(h, 5, &VM, &WIDE, now), 0);
    for (int i = 0; i < 100; i++) { /* on and off again takes nobody's either */
        hold_drop(h, mine[2], now);
        mine[2] = hold_open(h, 5, &VM, &WIDE, now);
        assert_int_equal(mine[2], 0);
    }
    other = hold_open(h, 6, &VM, &WIDE, now);
    assert_int_not_equal(other, 0);
    hold_turn(h, now);
    now += 2000000;
    mine[2] = hold_open(h, 5, &VM, &WIDE, now);
    assert_int_not_equal(mine[2], 0);
    assert_int_equal(hold_open(h, 5, &VM, &WIDE, now), 0);

    for (uint32_t i = 0; i < 10; i++)
        send_n(mine[i % 3], i, 60);
    send_n(other, 0, 60);
    assert_int_equal(queued(mine[0]), 10);
    assert_int_equal(queued(mine[2]), 10);
    assert_int_equal(queued(other), 1);
    hold_turn(h, now);
    assert_int_equal(queued(mine[0]), 0);
    slots[mine[1]].in += 7; /* the TAP lost them */
    slots[N_SLOTS + slots[mine[1]].share].in += 7;
    assert_int_equal(queued(mine[0]), 7);
    hold_turn(h, now);
    assert_int_equal(queued(mine[0]), 0);
    for (uint32_t i = 0; i < 300; i++) /* more than one turn reads, and large ones */
        send_n(other, i, i < 200 ? 60 : 9000);
    slots[N_SLOTS + slots[other].share].in += 100 * NVE_HOLD_COST(9014) - 100;
    assert_int_equal(queued(other), 500);
    hold_turn(h, now);
    assert_int_equal(queued(other), 500 - 200 - 56 * 3);
    hold_turn(h, now);
    assert_int_equal(queued(other), 0);
}

/* A frame that the TAP cannot take whole comes in pieces, of which the programs have
 * counted one: none overtakes the others, and the sums agree. */
static void
test_cut(void **state)
{
    uint32_t a = hold_open(h, 5, &VM, &WIDE, now);
    int got, want = 0;

    (void)state;
    hold_drain(h, a, now);
    for (uint32_t i = 0; i < 700; i++)
        send_n(a, i, 60);
    slots[a].in -= 699;
    while (!n_drained) {
        hold_turn(h, now);
        while ((got = back(a)) >= 0)
            assert_int_equal(got, want++);
        assert_true(want == 700 || slots[a].in > slots[a].out + slots[a].dropped);
    }
    assert_int_equal(want, 700);
    assert_int_equal(slots[a].in, 700);
    assert_int_equal(slots[a].out, 700);
    assert_int_equal(queued(a), 0);
}

/* Frames that the TAP's queue lost must not stop a drain from ending. */
static void
test_lost(void **state)
{
    uint32_t a = hold_open(h, 5, &VM, &WIDE, now);
    uint64_t at;

    (void)state;
    send_n(a, 0, 60);
    slots[a].in += 3;
    hold_drain(h, a, now);
    at = hold_turn(h, now);
    assert_int_equal(back(a), 0);
    assert_int_equal(n_drained, 0);
    for (uint32_t i = 1; slots[a].dropped == 0; i++) {
        assert_true(at > now && i < 10);
        now = at;
        send_n(a, i, 60); /* traffic goes on, and some are just being sent */
        slots[a].in += i % 3;
        at = hold_turn(h, now);
        slots[a].in -= i % 3;
        assert_int_equal(back(a), i);
        assert_int_equal(n_drained, 0);
    }
    assert_int_equal(slots[a].dropped, 3);
    hold_turn(h, now);
    assert_int_equal(n_drained, 1);
    assert_int_equal(slots[a].in, slots[a].out + slots[a].dropped);
}

/* Frames come faster than they leave: order gives way in the end, nothing is lost. */
static void
test_flood(void **state)
{
    uint32_t a = hold_open(h, 5, &VM, &WIDE, now), sent = 0;
    int want = 0, got;

    (void)state;
    hold_drain(h, a, now);
    while (slots[a].state == NVE_HOLD_DRAIN) {
        for (int i = 0; i < 256; i++)
            send_n(a, sent++, 60);
        now += 1000000;
        hold_turn(h, now);
        while ((got = back(a)) >= 0)
            assert_int_equal(got, want++);
        assert_true(sent < 100000);
    }
    assert_int_equal(hold_unordered(h), 1);
    while (!n_drained)
        hold_turn(h, now);
    while ((got = back(a)) >= 0)
        assert_int_equal(got, want++);
    assert_int_equal(want, sent);
}

static void
test_again_and_drop(void **state)
{
    uint32_t a = hold_open(h, 5, &VM, &WIDE, now);

    (void)state;
    send_n(a, 0, 60);
    hold_turn(h, now);
    hold_drain(h, a, now);
    hold_set(h, a, &WIDE); /* it turned back before anything was sent */
    hold_turn(h, now);
    assert_int_equal(back(a), -1);
    send_n(a, 1, 60);
    hold_turn(h, now);
    send_n(a, 2, 60); /* still in the TAP */
    hold_drop(h, a, now);
    hold_turn(h, now);
    assert_int_equal(back(a), -1);
    assert_int_equal(slots[a].dropped, 3);
    assert_int_equal(n_drained, 0);
}

static void
test_slots(void **state)
{
    uint32_t first = 0, s;

    (void)state;
    for (uint32_t i = 1; i < N_SLOTS; i++) {
        s = hold_open(h, i, &VM, &WIDE, now);
        assert_int_not_equal(s, 0);
        first = first ? first : s;
    }
    assert_int_equal(hold_open(h, 99, &VM, &WIDE, now), 0);
    send_n(first, 0, 60);
    hold_drop(h, first, now);
    assert_int_equal(hold_open(h, 99, &VM, &WIDE, now), 0); /* it rests */
    hold_turn(h, now);
    now += 2000000;
    assert_int_equal(hold_open(h, 99, &VM, &WIDE, now), first);
    assert_int_equal(slots[first].vni, 99);
    assert_int_equal(slots[first].in, 0);
    assert_int_equal(hold_dropped(h), 1); /* the sums keep it */
}

/* Nobody looked for long: what still waits in the TAP is of the network that had the
 * number before, and comes out in no other. */
static void
test_slot_of_another(void **state)
{
    uint32_t a = hold_open(h, 5, &VM, &WIDE, now), b;

    (void)state;
    send_n(a, 1, 60);
    hold_drop(h, a, now);
    for (uint32_t i = 0; i < 300; i++) /* more than one look finds */
        send_n(a, 2 + i, 60);
    now += 10000000;
    b = hold_open(h, 6, &VM, &WIDE, now);
    assert_true(b && b != a);
    hold_drop(h, b, now);
    b = hold_open(h, 6, &VM, &WIDE, now); /* seen empty, so it may be given out */
    assert_int_equal(b, a);
    hold_turn(h, now);
    assert_int_equal(view(b).frames, 0);
    hold_drain(h, b, now);
    hold_turn(h, now);
    assert_int_equal(back(b), -1);
}

static void
test_put(void **state)
{
    uint32_t a = hold_open(h, 5, &VM, &WIDE, now);
    struct nve_held way = {.local = 2, .ttl = NVE_TTL};
    uint8_t f[60] = {1, 2, 3}, b[100];

    (void)state;
    f[6] = 4;
    f[12] = 8;
    f[59] = 9;
    assert_true(hold_put(h, a, f, sizeof(f), now));
    hold_drain(h, a, now);
    assert_true(hold_put(h, a, f, sizeof(f), now));
    hold_turn(h, now);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(read(tap, b, sizeof(b)), HOLD_HEAD + 64);
        assert_memory_equal(b + HOLD_HEAD, &way, 6);
        assert_memory_equal(b + HOLD_HEAD + 6, f + 6, 6);
        assert_int_equal(b[HOLD_HEAD + 12], 0x81);
        assert_int_equal(b[HOLD_HEAD + 15], a);
        assert_memory_equal(b + HOLD_HEAD + 16, f + 12, 48);
    }
    assert_int_equal(n_drained, 1);
    assert_false(hold_put(h, a, f, sizeof(f), now));
}

/* A new life: what waited is gone and counted, what was wanted goes on. */
static void
test_restart(void **state)
{
    uint32_t a = hold_open(h, 5, &VM, &WIDE, now), b = hold_open(h, 6, &VM, &WIDE, now);
    struct hold_view v;
    uint32_t it = 0;

    (void)state;
    for (uint32_t i = 0; i < 5; i++) {
        send_n(a, i, 60);
        send_n(b, i, 60);
    }
    hold_turn(h, now);
    slots[a].in += 2; /* killed: nobody counted these */
    hold_drain(h, b, now);
    hold_free(h);
    close(tap);
    make(1 << 20);
    assert_true(hold_each(h, &it, &v, now));
    assert_int_equal(v.slot, a);
    assert_int_equal(v.vni, 5);
    assert_int_equal(v.dropped, 7);
    assert_false(hold_each(h, &it, &v, now));
    send_n(a, 9, 60);
    hold_turn(h, now);
    hold_drain(h, a, now);
    hold_turn(h, now);
    assert_int_equal(back(a), 9);
    assert_int_equal(n_drained, 1);
    assert_int_equal(hold_dropped(h), 12);
}

/* Whatever comes from the TAP: numbers out of range, no tags, too short; and any order
 * of calls. Every frame that had a slot is out, dropped, or waits. */
static void
test_random(void **state)
{
    struct rng r;

    (void)state;
    rng_seed(&r, 7);
    for (int i = 0; i < 20000; i++) {
        uint32_t slot = rng_below(&r, N_SLOTS);
        struct hold_limits l = {
            rng_below(&r, 40), rng_below(&r, 5000), rng_below(&r, 100000)};
        uint8_t junk[64];
        struct hold_view v;
        uint32_t it = 0;

        now += rng_below(&r, 20000);
        switch (rng_below(&r, 9)) {
        case 0:
            hold_open(h, 1 + rng_below(&r, 5), &VM, &l, now);
            break;
        case 1:
            hold_set(h, slot, &l);
            break;
        case 2:
            hold_drain(h, slot, now);
            break;
        case 3:
            hold_drop(h, slot, now);
            break;
        case 4:
            for (size_t k = 0; k < sizeof(junk); k++)
                junk[k] = (uint8_t)rng_below(&r, 256);
            junk[HOLD_HEAD + 12] = (uint8_t)(rng_below(&r, 2) ? 0x88 : 0x81);
            junk[HOLD_HEAD + 14] = 0x0f;
            assert_true(write(tap, junk, 1 + rng_below(&r, 63)) > 0);
            break;
        default:
            if (slot && slots[slot].vni && slots[slot].state != NVE_HOLD_REFUSE)
                send_n(slot, 1, 60);
        }
        n_drained = 0;
        hold_turn(h, now);
        while (read(tap, junk, sizeof(junk)) >= 0)
            ;
        while (hold_each(h, &it, &v, now))
            assert_int_equal(v.kept, v.released + v.dropped + v.frames);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_order),
        T(test_pieces),
        T(test_linger),
        T(test_limits),
        T(test_age),
        T(test_octets),
        T(test_shares),
        T(test_cut),
        T(test_lost),
        T(test_flood),
        T(test_again_and_drop),
        T(test_slots),
        T(test_slot_of_another),
        T(test_put),
        T(test_restart),
        T(test_random),
    };
    return cmocka_run_group_tests_name("host_hold", tests, NULL, NULL);
}
