/* SPDX-License-Identifier: Apache-2.0 */
/* Where the VM is to go: a target that has reserved, or was named, takes frames of the
 * old place before it is the owner (D3, D4), and what becomes of them when it gives up
 * (K4). Four real edges, a plain authority: move_rig.h. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "move_rig.h"

static struct ip
target_at(struct rig *g, int i, uint32_t port)
{
    struct edge_att_view a;
    for (uint32_t it = 0; edge_each_attachment(g->n[i].e, &it, &a, g->now);)
        if (a.port == port)
            return a.target;
    return (struct ip){{0}};
}

/* The target is known by its reservation when the old place ends: frames go there, and
 * nobody is told to stop sending, unless nobody comes. */
static void
test_terminate_with_target_F20(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
    rig_pause(g);
    RIG_OK(g, L, 1, TNS_TERMINATE);
    assert_int_equal(rig_fdb(g, L), FDB_RELAY);
    uint16_t a = rig_send(g, R);
    rig_port_opens(g, M, 1);
    RIG_COMES(g, M);
    assert_true(rig_got(g, a));
    rig_time(g, edge_settings[SET_TOMB_US].def / 2);
    RIG_OK(g, M, 1, TNS_KEEPALIVE);
    rig_time(g, edge_settings[SET_TOMB_US].def / 2 + 1);
    assert_true(ip_equal(&g->own.owner, &g->n[M].conf.vtep));
    rig_free(g);

    g = rig_new();
    RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
    RIG_OK(g, L, 1, TNS_TERMINATE);
    assert_false(ip_is_none(&g->own.owner));
    RIG_OK(g, M, 1, TNS_TERMINATE); /* nobody comes: then nobody has it */
    assert_true(ip_is_none(&g->own.owner));
    assert_int_equal(rig_fdb(g, R), -1);
    assert_int_equal(g->n[L].n_hold, 1); /* it may come up elsewhere */
    rig_time(g, edge_settings[SET_HOLD_US].def + 1);
    assert_int_equal(g->n[L].n_hold, 0);
    rig_free(g);

    g = rig_new(); /* nobody says so: after T_tomb */
    RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
    RIG_OK(g, L, 1, TNS_TERMINATE);
    edge_session(g->n[M].e, false, g->now);
    RIG_OK(g, M, 1, TNS_TERMINATE);
    assert_false(ip_is_none(&g->own.owner));
    rig_time(g, edge_settings[SET_TOMB_US].def + 1);
    assert_true(ip_is_none(&g->own.owner));
    assert_int_equal(rig_fdb(g, R), -1);
    rig_free(g);
}

/* The VM is paused and its frames go to the new place, which gives up: they wait at the
 * old one again, and all reach the VM when it goes on. */
static void
test_reservation_void(void **state)
{
    (void)state;
    for (int k = 0; k < 4; k++) {
        struct rig *g = rig_new();
        g->n[R].deaf = 1;
        RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
        RIG_OK(g, L, 1, TNS_EMIGRATE_PREPARE);
        rig_pause(g);
        RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
        assert_int_equal(rig_fdb(g, L), FDB_RELAY);
        rig_forget_ops(g);
        if (k == 0)
            RIG_OK(g, M, 1, TNS_TERMINATE);
        else if (k == 1)
            for (int i = 0; i < 10; i++) {
                rig_time(g, edge_settings[SET_IMMIG_US].def / 10 + 1);
                RIG_OK(g, L, 1, TNS_KEEPALIVE);
            }
        else if (k == 2)
            edge_port_gone(g->n[M].e, 1, g->now);
        else
            RIG_OK(g, M, 1, TNS_PREASSOC); /* it may stay, but no VM comes */
        rig_run(g);
        assert_int_equal(rig_fdb(g, L), FDB_LOCAL);
        assert_int_equal(g->n[L].n_hold, 1);
        rig_after(g, "L:fdb-local", "L:hold-set");
        assert_int_equal(g->n[M].n_hold, 0);
        if (k == 1) {
            rig_free(g); /* nobody sends by then */
            continue;
        }
        uint16_t a = rig_send(g, R), b = rig_send(g, R);
        assert_true(rig_held(g, a) && rig_held(g, b));
        rig_restart(g, L); /* K7 */
        assert_int_equal(rig_fdb(g, L), FDB_LOCAL);
        rig_port_opens(g, L, 1);
        RIG_OK(g, L, 1, TNS_RESUME);
        rig_start(g, L, 1);
        assert_true(rig_got(g, a) && rig_got(g, b));
        assert_true(rig_got(g, rig_send(g, R)));
        rig_free(g);
    }
}

/* Armed, it forgets the target and nothing else; a void that is late cancels nothing.
 */
static void
test_reservation_void_armed(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
    RIG_OK(g, L, 1, TNS_EMIGRATE_PREPARE);
    struct mapping_rec late = g->resv[M];
    RIG_OK(g, M, 1, TNS_TERMINATE);
    struct ip t = target_at(g, L, 1);
    assert_true(ip_is_none(&t));
    assert_int_equal(g->n[L].n_hold, 0);
    assert_int_equal(rig_fdb(g, L), FDB_LOCAL);
    assert_true(rig_got(g, rig_send(g, R)));
    RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
    edge_unreserved(g->n[L].e, &late, g->now);
    late = g->resv[M];
    late.owner = g->n[R].conf.vtep; /* another's */
    edge_unreserved(g->n[L].e, &late, g->now);
    rig_run(g);
    t = target_at(g, L, 1);
    assert_true(ip_equal(&t, &g->n[M].conf.vtep));
    RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
    assert_int_equal(rig_fdb(g, L), FDB_RELAY);
    rig_free(g);
}

/* Of two attempts the newer one ends: the frames go to the other. */
static void
test_reservation_void_of_two(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    g->n[R].deaf = 1;
    RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
    g->n[R].deaf = 0;
    RIG_OK(g, R, 1, TNS_IMMIGRATE_PRE);
    rig_pause(g);
    RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
    struct ip t = target_at(g, L, 1);
    assert_true(ip_equal(&t, &g->n[R].conf.vtep));
    RIG_OK(g, R, 1, TNS_TERMINATE);
    t = target_at(g, L, 1);
    assert_true(ip_equal(&t, &g->n[M].conf.vtep));
    assert_int_equal(rig_fdb(g, L), FDB_RELAY);
    uint16_t a = rig_send(g, R);
    assert_true(rig_held(g, a));
    rig_port_opens(g, M, 1);
    RIG_COMES(g, M);
    assert_true(rig_got(g, a));
    rig_free(g);
}

/* It ended while the old place was not connected: what a session does not repeat within
 * T_stale is void. What is reserved is asked for again, and is the same number. */
static void
test_reservation_void_unheard(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
    RIG_OK(g, L, 1, TNS_EMIGRATE_PREPARE);
    uint64_t epoch = g->resv[M].epoch;
    edge_session(g->n[M].e, false, g->now);
    edge_session(g->n[M].e, true, g->now);
    rig_run(g);
    assert_true(g->resv[M].epoch == epoch && g->known == epoch);
    rig_restart(g, M);
    assert_true(g->resv[M].epoch == epoch && g->known == epoch);
    g->resv[M].epoch = 0;
    rig_restart(g, L);
    struct ip t = target_at(g, L, 1);
    assert_false(ip_is_none(&t));
    rig_time(g, edge_settings[SET_STALE_US].def + 1);
    t = target_at(g, L, 1);
    assert_true(ip_is_none(&t));
    rig_free(g);
}

/* A server moves what is its own: not the frames of the VM that another port has, and
 * to nobody of whom the authority has never spoken. */
static void
test_named_target_of_others(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    struct tns_request rq = {
        .has_epoch = 1, .epoch = 1000000, .peer_nve = ip_v4(0xcb007101)};
    RIG_OK(g, L, 1, TNS_EMIGRATE_PREPARE);
    assert_int_equal(rig_ask(g, L, 1, TNS_EMIGRATE_PREPARE, &rq), TNS_OK);
    struct ip t = target_at(g, L, 1);
    assert_true(ip_is_none(&t));
    RIG_OK(g, L, 2, TNS_PREASSOC); /* another server, the same address */
    rq.peer_nve = g->n[M].conf.vtep;
    rig_ask(g, L, 2, TNS_EMIGRATE_COMMIT, &rq);
    t = target_at(g, L, 1);
    assert_true(ip_is_none(&t));
    /* a number out of the air stands in nobody's way but until the authority speaks */
    assert_int_equal(rig_ask(g, L, 1, TNS_EMIGRATE_COMMIT, &rq), TNS_OK);
    assert_int_equal(rig_fdb(g, L), FDB_RELAY);
    g->n[R].deaf = 0;
    RIG_OK(g, R, 1, TNS_IMMIGRATE_PRE);
    t = target_at(g, L, 1);
    assert_true(ip_equal(&t, &g->n[R].conf.vtep));
    rig_free(g);
}

/* D4: the old tombstone is gone and frames wait before the reservation leaves. */
static void
test_reserve_after_hold_D4(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    RIG_OK(g, M, 1, TNS_IMMIGRATE_ASSO); /* L has a tombstone and relays */
    rig_pause(g);
    assert_int_equal(rig_fdb(g, L), FDB_RELAY);
    rig_forget_ops(g);
    struct tns_entry n = {
        .vn_ref = VN_BY_VNI, .vni = RIG_VNI, .has_mac = 1, .mac = g->mac};
    struct tns_request rq = {
        .op = TNS_IMMIGRATE_PRE,
        .port = 2,
        .id = {.format = VSIID_UUID, .b = {1}},
        .berth_station = 1,
        .n_entries = 1,
        .entries = &n
    };
    edge_request(g->n[L].e, &rq, g->now);
    bool reserved = false, after = false;
    for (struct edge_out o; edge_output(g->n[L].e, &o); rig_take(g, L, &o))
        if (o.type == EDGE_RESERVE) {
            reserved = true;
            after = rig_fdb(g, L) == FDB_REMOTE && g->n[L].n_hold == 1;
        }
    assert_true(reserved && after);
    rig_run(g);
    rig_free(g);
}

/* D1: a claim that was never granted did not own it, and relays nothing. */
static void
test_asked_is_no_owner_D1(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    g->n[M].deaf = 1;
    struct mapping_rec rec = g->own;
    struct tns_entry n = {
        .vn_ref = VN_BY_VNI, .vni = RIG_VNI, .has_mac = 1, .mac = g->mac};
    struct tns_request rq = {
        .op = TNS_ASSOC,
        .port = 1,
        .id = {.format = VSIID_UUID, .b = {1}},
        .berth_station = 1,
        .n_entries = 1,
        .entries = &n
    };
    edge_request(g->n[M].e, &rq, g->now);
    edge_map_set(g->n[M].e, &rec, 0, g->now); /* before the data plane is done */
    struct vn_rec vn = {.vni = RIG_VNI, .name = "red", .mtu = 1400};
    edge_vn(g->n[M].e, &vn, 0, g->now);
    rec.epoch += 5;
    edge_map_set(g->n[M].e, &rec, 0, g->now);
    rig_run(g);
    assert_null(strstr(g->ops, "M:fdb-relay"));
    rig_free(g);
}

/* D3: a target counts only with a number above ours, and no longer than that. */
static void
test_target_needs_newer_epoch_D3(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    struct tns_request rq = {.peer_nve = rig_ip(M)};
    rig_pause(g);
    assert_int_equal(rig_ask(g, L, 1, TNS_EMIGRATE_COMMIT, &rq), TNS_OK);
    assert_int_equal(rig_fdb(g, L), FDB_LOCAL);
    RIG_OK(g, L, 1, TNS_RESUME);
    rq.has_epoch = 1;
    rq.epoch = g->epoch; /* our own */
    assert_int_equal(rig_ask(g, L, 1, TNS_EMIGRATE_COMMIT, &rq), TNS_OK);
    assert_int_equal(rig_fdb(g, L), FDB_LOCAL);
    RIG_OK(g, L, 1, TNS_RESUME);
    assert_true(edge_counter(g->n[L].e, EDGEC_TARGETS_IGNORED) == 2);
    /* M reserves while L cannot be told; the station names it (X5). */
    g->n[L].deaf = 1;
    RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
    rq.epoch = g->answer.epoch;
    rq.migration_id = g->answer.migration_id;
    assert_true(ip_equal(&g->answer.nve, &rq.peer_nve));
    assert_int_equal(rig_ask(g, L, 1, TNS_EMIGRATE_COMMIT, &rq), TNS_OK);
    assert_int_equal(rig_fdb(g, L), FDB_RELAY);
    assert_true(edge_counter(g->n[L].e, EDGEC_TARGETS) == 1);
    uint16_t a = rig_send(g, R);
    assert_true(rig_held(g, a));
    rig_restart(g, L); /* K7: the target, too */
    assert_int_equal(rig_fdb(g, L), FDB_RELAY);
    /* Back here by a newer number: the target's is void, also when it is told now. */
    RIG_OK(g, L, 1, TNS_RESUME);
    g->n[L].deaf = 0;
    rig_run(g);
    assert_int_equal(rig_ask(g, L, 1, TNS_EMIGRATE_COMMIT, NULL), TNS_OK);
    assert_int_equal(rig_fdb(g, L), FDB_LOCAL);
    assert_int_equal(g->n[L].n_hold, 1);
    rig_free(g);
}

/* D3, D4: the VM is to come back to L before M has published. L relays to M no longer,
 * for M may be about to relay to L. */
static void
test_pre_ends_provisional_relay_D4(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    RIG_LEAVES(g, L, M);
    assert_int_equal(rig_fdb(g, L), FDB_RELAY);
    uint16_t a = rig_send(g, R);
    RIG_OK(g, L, 1, TNS_IMMIGRATE_PRE);
    assert_int_equal(rig_state(g, L, 1), ATT_IMMIG);
    assert_int_equal(rig_fdb(g, L), FDB_LOCAL);
    uint16_t b = rig_send(g, R);
    assert_true(rig_held(g, a) && rig_held(g, b));
    /* A mapping of M now makes no tombstone of it either. */
    struct mapping_rec rec = {.vni = RIG_VNI,
        .mac = g->mac,
        .owner = rig_ip(M),
        .epoch = g->epoch + 1,
        .migration_id = 77};
    edge_map_set(g->n[L].e, &rec, 0, g->now);
    rig_run(g);
    assert_int_equal(rig_fdb(g, L), FDB_REMOTE);
    assert_true(rig_held(g, b));
    rig_port_opens(g, L, 1);
    RIG_COMES(g, L);
    assert_true(rig_got(g, b));
    rig_free(g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_terminate_with_target_F20),
        cmocka_unit_test(test_reservation_void),
        cmocka_unit_test(test_reservation_void_armed),
        cmocka_unit_test(test_reservation_void_of_two),
        cmocka_unit_test(test_reservation_void_unheard),
        cmocka_unit_test(test_named_target_of_others),
        cmocka_unit_test(test_reserve_after_hold_D4),
        cmocka_unit_test(test_asked_is_no_owner_D1),
        cmocka_unit_test(test_target_needs_newer_epoch_D3),
        cmocka_unit_test(test_pre_ends_provisional_relay_D4),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
