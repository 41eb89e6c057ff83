/* SPDX-License-Identifier: Apache-2.0 */
/* Both roles against each other and against captured frames. */
#include "test.h"
#include "proto/lldp_evb.h"
#include "wire/berth_tlv.h"

static const struct mac bridge_mac = {
    {2, 0, 0, 0, 2, 1}
};
static const struct mac station_mac = {
    {2, 0, 0, 0, 1, 1}
};
#define SECOND 1000000ull

struct side {
    struct lldp_evb *e;
    struct lldp_evb_state state;
    uint32_t n_frames, n_states, n_restarts;
};

static bool
pull(struct side *from, struct side *to, uint64_t now)
{
    struct lldp_evb_out o;
    if (!lldp_evb_output(from->e, now, &o))
        return false;
    if (o.event == LLDP_EVB_STATE) {
        from->state = o.state;
        from->n_states++;
        from->n_restarts += o.restarted;
    } else {
        from->n_frames++;
        assert_true(o.frame_size >= ETH_MIN_SIZE && o.frame_size <= LLDP_FRAME_MAX);
        if (to)
            lldp_evb_input(to->e, o.frame, o.frame_size, now);
    }
    return true;
}

static void
run(struct side *a, struct side *b, uint64_t *now, uint64_t until)
{
    for (;;) {
        while (pull(a, b, *now) || (b && pull(b, a, *now)))
            ;
        uint64_t due = lldp_evb_deadline(a->e), at = b ? lldp_evb_deadline(b->e) : due;
        due = at < due ? at : due;
        if (due > until)
            break;
        assert_true(due > *now);
        *now = due;
    }
    *now = until;
}

static void
negotiation(void **state)
{
    (void)state;
    struct lldp_evb_conf bc = lldp_evb_defaults(LLDP_EVB_BRIDGE, &bridge_mac);
    struct lldp_evb_conf sc = lldp_evb_defaults(LLDP_EVB_STATION, &station_mac);
    bc.timers = (struct evb_timers){2, 8, 22, 24};
    sc.timers = (struct evb_timers){3, 6, 17, 20};
    bc.boot = 1, sc.boot = 2;
    sc.reflective_relay = true;
    struct side b = {.e = lldp_evb_new(&bc, 0)}, s = {.e = lldp_evb_new(&sc, 0)};
    uint64_t now = 0;
    run(&b, &s, &now, 3 * SECOND);
    for (int i = 0; i < 2; i++) {
        const struct lldp_evb_state *x = lldp_evb_state(i ? s.e : b.e);
        assert_true(x->up && x->berth && x->reflective_relay && x->group_ids);
        assert_int_equal(x->timers.retries, 3);
        assert_int_equal(x->timers.rte, 8);
        assert_int_equal(x->timers.rwd, 22);
        assert_int_equal(x->timers.rka, 24);
        assert_int_equal(x->boot, i ? 1 : 2);
    }
    /* Quiet now: one frame each 30 s, and no events. */
    run(&b, &s, &now, 40 * SECOND);
    uint32_t n = b.n_frames, events = b.n_states;
    run(&b, &s, &now, 340 * SECOND);
    assert_int_equal(b.n_frames - n, 10);
    assert_int_equal(b.n_states, events);
    assert_int_equal(b.n_restarts, 0);
    /* The station starts anew, without a good-bye. */
    lldp_evb_free(s.e);
    sc.boot = 3;
    s.e = lldp_evb_new(&sc, now);
    run(&b, &s, &now, 345 * SECOND);
    assert_int_equal(b.n_restarts, 1);
    assert_true(b.state.up && b.state.boot == 3);
    /* Good-bye, and back. */
    lldp_evb_bye(s.e);
    run(&b, &s, &now, 346 * SECOND);
    assert_false(b.state.up);
    assert_int_equal(b.state.timers.rka, 24);
    lldp_evb_set_carrier(s.e, true, now);
    run(&b, &s, &now, 350 * SECOND);
    assert_true(b.state.up);
    /* Silence: aged after the TTL. */
    run(&b, NULL, &now, 600 * SECOND);
    assert_false(b.state.up);
    assert_int_equal(lldp_evb_counters(b.e)->aged, 1);
    /* Carrier loss takes it at once, and nothing is sent. */
    lldp_evb_set_carrier(s.e, false, now);
    n = s.n_frames;
    run(&s, NULL, &now, 700 * SECOND);
    assert_int_equal(s.n_frames, n);
    assert_false(lldp_evb_state(s.e)->up);
    lldp_evb_free(b.e);
    lldp_evb_free(s.e);
}

static void
relay_needs_both(void **state)
{
    (void)state;
    for (int can = 0; can < 2; can++)
        for (int wants = 0; wants < 2; wants++) {
            struct lldp_evb_conf bc = lldp_evb_defaults(LLDP_EVB_BRIDGE, &bridge_mac);
            struct lldp_evb_conf sc = lldp_evb_defaults(LLDP_EVB_STATION, &station_mac);
            bc.reflective_relay = can;
            sc.reflective_relay = wants;
            sc.hello = wants;
            sc.group_ids = can;
            struct side b = {.e = lldp_evb_new(&bc, 0)},
                        s = {.e = lldp_evb_new(&sc, 0)};
            uint64_t now = 0;
            run(&b, &s, &now, 5 * SECOND);
            assert_int_equal(b.state.reflective_relay, can && wants);
            assert_int_equal(s.state.reflective_relay, can && wants);
            assert_int_equal(b.state.berth, wants);
            assert_int_equal(b.state.group_ids, can);
            lldp_evb_free(b.e);
            lldp_evb_free(s.e);
        }
}

/* Each second until somebody is there (lldpad needs it to start). */
static void
alone(void **state)
{
    (void)state;
    struct lldp_evb_conf bc = lldp_evb_defaults(LLDP_EVB_BRIDGE, &bridge_mac);
    struct side b = {.e = lldp_evb_new(&bc, 0)};
    uint64_t now = 0;
    run(&b, NULL, &now, 10 * SECOND - 1);
    assert_int_equal(b.n_frames, 10);
    assert_int_equal(b.n_states, 0);
    lldp_evb_free(b.e);
}

/* The frames of an lldpad station, the first and the second, and its shutdown. */
static void
captured_station(void **state)
{
    (void)state;
    static const uint8_t head[] = {0x01, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 1, 1, 0x88,
        0xcc, 2, 7, 4, 2, 0, 0, 0, 1, 1, 4, 7, 3, 2, 0, 0, 0, 1, 1, 6, 2};
    static const uint8_t evb[2][16] = {
        {0, 120, 0xfe, 9, 0, 0x80, 0xc2, 0x0d, 0, 0x0f, 0x68, 0x94, 0x12},
        {0, 120, 0xfe, 9, 0, 0x80, 0xc2, 0x0d, 7, 0x0d, 0x68, 0xb4, 0x32}
    };
    struct lldp_evb_conf bc = lldp_evb_defaults(LLDP_EVB_BRIDGE, &bridge_mac);
    struct side b = {.e = lldp_evb_new(&bc, 0)};
    uint8_t frame[60] = {0};
    for (int i = 0; i < 3; i++) {
        memcpy(frame, head, sizeof head);
        memcpy(frame + sizeof head, evb[i & 1], 15);
        if (i == 2) /* it has forgotten us: a restart */
            assert_int_equal(b.n_restarts, 0);
        lldp_evb_input(b.e, frame, sizeof frame, 1000);
        while (pull(&b, NULL, 1000))
            ;
        assert_true(b.state.up && !b.state.berth && b.state.reflective_relay);
        assert_true(b.state.group_ids);
        assert_int_equal(b.state.timers.rka, 24);
        assert_true(mac_equal(&b.state.neighbour, &station_mac));
    }
    assert_int_equal(b.n_restarts, 1);
    memset(frame + sizeof head, 0, 16); /* TTL 0 */
    lldp_evb_input(b.e, frame, sizeof frame, 2000);
    while (pull(&b, NULL, 2000))
        ;
    assert_false(b.state.up);
    /* Not ours to hear: another bridge, our own frame, tagged, cut. */
    memcpy(frame + sizeof head, evb[1], 15);
    frame[sizeof head + 11] = 0x74; /* mode 1 */
    lldp_evb_input(b.e, frame, sizeof frame, 3000);
    memcpy(frame + 6, bridge_mac.b, 6);
    lldp_evb_input(b.e, frame, sizeof frame, 3000);
    for (size_t n = 0; n < sizeof frame; n++)
        lldp_evb_input(b.e, frame, n, 3000);
    assert_false(lldp_evb_state(b.e)->up);
    lldp_evb_free(b.e);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(negotiation),
        cmocka_unit_test(relay_needs_both), cmocka_unit_test(alone),
        cmocka_unit_test(captured_station)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
