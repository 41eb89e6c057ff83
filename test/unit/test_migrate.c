/* SPDX-License-Identifier: Apache-2.0 */
/* Hot migration at the edge: single-phase senders, roll back at every step, and the
 * faults of 4.2 that an NVE answers for. The orders of 4.1 are test_orders.c. Four real
 * edges, a plain authority: move_rig.h. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "move_rig.h"

/* ---- senders of one phase ---- */

static void
test_single_phase_senders(void **state)
{
    (void)state;
    /* Emigrate or Terminate at once at the pause, Associate without a number at the new
     * place (a plain station): nothing is lost from then on (order 3, F20, E5). */
    for (int k = 0; k < 4; k++) {
        struct rig *g = rig_new();
        g->n[R].deaf = 1;
        rig_pause(g);
        RIG_OK(g, L, 1, k & 1 ? TNS_TERMINATE : TNS_EMIGRATE_COMMIT);
        uint16_t a = rig_send(g, R);
        assert_true(rig_held(g, a));
        rig_port_opens(g, M, 1);
        RIG_OK(g, M, 1, k & 2 ? TNS_ASSOC : TNS_IMMIGRATE_ASSO);
        uint16_t b = rig_send(g, R);
        rig_start(g, M, 1);
        assert_true(rig_got(g, a));
        assert_true(rig_got(g, b));
        assert_int_equal(rig_fdb(g, L), FDB_RELAY);
        rig_free(g);
    }
}

/* F20: nobody comes. The hold ends by itself; the place is forgotten after T_tomb. */
static void
test_terminate_without_owner_F20(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    g->n[R].deaf = 1;
    RIG_OK(g, L, 1, TNS_TERMINATE);
    assert_int_equal(g->n[L].n_hold, 1);
    rig_send(g, R);
    rig_time(g, edge_settings[SET_HOLD_US].def + 1);
    assert_int_equal(g->n[L].n_hold, 0);
    assert_non_null(strstr(g->ops, "L:hold-drop"));
    rig_time(g, edge_settings[SET_TOMB_US].def);
    assert_int_equal(rig_fdb(g, L), -1);
    assert_int_equal(rig_state(g, L, 1), ATT_NULL);
    rig_free(g);
}

/* ---- the order of things at one edge ---- */

/* At activation: FDB first, then what waited, then the mapping (D6, E7). */
static void
test_drain_after_activation_D6(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    g->n[R].deaf = 1;
    RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
    RIG_OK(g, L, 1, TNS_EMIGRATE_PREPARE);
    assert_int_equal(rig_fdb(g, L), FDB_LOCAL); /* A5: armed, nothing else */
    assert_int_equal(g->n[L].n_hold, 0);
    rig_pause(g);
    rig_forget_ops(g);
    RIG_OK(g, L, 1, TNS_SUSPEND);
    assert_int_equal(rig_state(g, L, 1), ATT_EMIG);
    assert_int_equal(rig_fdb(g, L), FDB_RELAY);
    uint16_t a = rig_send(g, R), b = rig_send(g, R);
    assert_true(rig_held(g, a) && rig_held(g, b));
    rig_port_opens(g, M, 1);
    RIG_OK(g, M, 1, TNS_IMMIGRATE_ASSO);
    rig_after(g, "M:hold-drain", "M:fdb-local");
    rig_start(g, M, 1);
    assert_true(rig_got(g, a) && rig_got(g, b));
    rig_free(g);
}

/* Without a target the old place keeps frames, and sends them on when it learns of one:
 * by reservation, or by the mapping (order 3). */
static void
test_hold_at_old_place(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct rig *g = rig_new();
        g->n[R].deaf = 1;
        rig_pause(g);
        RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
        uint16_t a = rig_send(g, R);
        assert_true(rig_held(g, a));
        assert_int_equal(rig_fdb(g, L), FDB_LOCAL);
        rig_forget_ops(g);
        if (k) {
            RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
            rig_after(g, "L:hold-drain", "L:fdb-relay");
            assert_int_equal(g->n[L].n_hold, 0);
            assert_true(rig_held(g, a)); /* now at the new one */
        }
        rig_port_opens(g, M, 1);
        RIG_COMES(g, M);
        rig_after(g, "L:hold-drain", "L:fdb-relay");
        assert_true(rig_got(g, a));
        rig_free(g);
    }
}

/* Emigrate(hold): frames for the VM are away already, its own still pass; repeating the
 * plain prepare takes nothing back, and Resume does, with a fresh epoch (E2). */
static void
test_hold_before_pause_K12(void **state)
{
    (void)state;
    struct tns_request hold = {.hold = 1};
    struct rig *g = rig_new();
    assert_int_equal(rig_ask(g, L, 1, TNS_EMIGRATE_PREPARE, &hold), TNS_OK);
    assert_int_equal(rig_state(g, L, 1), ATT_ASSOC);
    assert_true(g->n[L].vsi[0].u.vsi.active);
    uint16_t a = rig_send(g, R);
    assert_true(rig_held(g, a));
    RIG_OK(g, L, 1, TNS_EMIGRATE_PREPARE);
    assert_true(rig_held(g, a));
    rig_restart(g, L); /* K7 */
    assert_true(rig_held(g, a));
    uint64_t before = g->epoch;
    RIG_OK(g, L, 1, TNS_RESUME);
    assert_true(g->epoch > before);
    assert_true(rig_got(g, a));
    assert_int_equal(g->n[L].n_hold, 0);
    assert_true(rig_got(g, rig_send(g, R)));
    /* No pause follows: it ends by itself, over a restart, too. */
    for (int k = 0; k < 2; k++) {
        assert_int_equal(rig_ask(g, L, 1, TNS_EMIGRATE_PREPARE, &hold), TNS_OK);
        a = rig_send(g, R);
        if (k)
            rig_restart(g, L);
        assert_true(rig_held(g, a));
        rig_time(g, edge_settings[SET_HOLD_US].def + 1);
        assert_true(rig_got(g, a));
        assert_int_equal(g->n[L].n_hold, 0);
    }
    rig_pause(g);
    RIG_OK(g, L, 1, TNS_SUSPEND); /* still armed */
    assert_int_equal(rig_state(g, L, 1), ATT_EMIG);
    rig_free(g);
}

/* A14: it immigrates suspended. Frames wait until it is resumed, over a restart, too.
 */
static void
test_immigrates_suspended_A14(void **state)
{
    (void)state;
    for (int pre = 0; pre < 2; pre++) {
        struct rig *g = rig_new();
        struct tns_request susp = {.suspended = 1};
        if (pre)
            RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
        rig_pause(g);
        RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
        uint16_t a = rig_send(g, R);
        assert_int_equal(rig_ask(g, M, 1, TNS_IMMIGRATE_ASSO, &susp), TNS_OK);
        assert_int_equal(rig_state(g, M, 1), ATT_SUSP);
        uint16_t b = rig_send(g, R);
        assert_true(rig_held(g, a) && rig_held(g, b));
        rig_restart(g, M);
        assert_true(rig_held(g, a) && rig_held(g, b));
        rig_port_opens(g, M, 1);
        RIG_OK(g, M, 1, TNS_RESUME);
        rig_start(g, M, 1);
        assert_true(rig_got(g, a) && rig_got(g, b));
        rig_free(g);
    }
}

/* virsh suspend: nothing waits, nothing is relayed, the VSI is only inactive. */
static void
test_plain_suspend_S3_30(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE); /* a target is known, but nobody armed */
    RIG_OK(g, L, 1, TNS_SUSPEND);
    assert_int_equal(rig_state(g, L, 1), ATT_SUSP);
    assert_int_equal(g->n[L].n_hold, 0);
    assert_int_equal(rig_fdb(g, L), FDB_LOCAL);
    rig_free(g);
}

/* ---- roll back ---- */

/* F5, F6, F8, E2: the migration fails after each of its steps; the VM goes on at S.
 * What waited at the old place comes; what went to the new one is dropped there. */
static void
test_roll_back_at_every_step(void **state)
{
    (void)state;
    for (int steps = 0; steps <= 5; steps++)
        for (int assoc = 0; assoc < 2; assoc++) {
            struct rig *g = rig_new();
            struct tns_request hold = {.hold = 1};
            uint64_t before = g->known;
            if (steps >= 1)
                RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
            if (steps >= 2)
                RIG_OK(g, L, 1, TNS_EMIGRATE_PREPARE);
            if (steps >= 3)
                assert_int_equal(rig_ask(g, L, 1, TNS_EMIGRATE_PREPARE, &hold), TNS_OK);
            if (steps >= 4) {
                rig_pause(g);
                RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
            }
            if (steps >= 5)
                RIG_OK(g, M, 1, TNS_IMMIGRATE_ASSO);
            RIG_OK(g, L, 1, assoc ? TNS_ASSOC : TNS_RESUME);
            if (steps >= 2)
                assert_true(g->epoch > before + 1); /* above the one given to M */
            rig_start(g, L, 1);
            assert_true(rig_got(g, rig_send(g, R)));
            rig_ask(g, M, 1, TNS_TERMINATE, NULL);
            assert_int_equal(rig_state(g, L, 1), ATT_ASSOC);
            assert_int_equal(rig_fdb(g, L), FDB_LOCAL);
            assert_true(rig_got(g, rig_send(g, R)));
            for (int i = 0; i < RIG_EDGES; i++)
                assert_int_equal(g->n[i].n_hold, 0);
            assert_true(ip_equal(&g->own.owner, &g->n[L].conf.vtep));
            /* F5: a late activation by the number of the failed attempt is stale. */
            struct tns_request late = {.has_epoch = 1, .epoch = before + 1};
            if (steps >= 2)
                assert_int_equal(
                    rig_ask(g, M, 1, TNS_IMMIGRATE_ASSO, &late), TNS_MOVED);
            rig_free(g);
        }
}

/* What waited at L while no target was known comes to the VM when it goes on there. */
static void
test_roll_back_drains(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    rig_pause(g);
    RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
    uint16_t a = rig_send(g, R);
    rig_port_opens(g, L, 1);
    RIG_OK(g, L, 1, TNS_RESUME);
    rig_start(g, L, 1);
    assert_true(rig_got(g, a));
    rig_free(g);
}

/* A9: a refused or failed request leaves the frames where they were. */
static void
test_undo_restores_A9(void **state)
{
    (void)state;
    struct tns_request hold = {.hold = 1};
    struct rig *g = rig_new();
    g->refuse = 1;
    assert_int_equal(rig_ask(g, M, 1, TNS_IMMIGRATE_PRE, NULL), TNS_NOT_AUTHORISED);
    assert_int_equal(g->n[M].n_hold, 0);
    g->refuse = 0;
    g->n[M].fail_journal = 1;
    assert_int_not_equal(rig_ask(g, M, 1, TNS_IMMIGRATE_PRE, NULL), TNS_OK);
    assert_int_equal(g->n[M].n_hold, 0);
    g->n[M].fail_journal = 0;
    g->n[L].fail_journal = 1;
    assert_int_not_equal(rig_ask(g, L, 1, TNS_EMIGRATE_PREPARE, &hold), TNS_OK);
    assert_int_equal(g->n[L].n_hold, 0);
    assert_int_not_equal(rig_ask(g, L, 1, TNS_EMIGRATE_COMMIT, NULL), TNS_OK);
    assert_int_equal(rig_state(g, L, 1), ATT_ASSOC);
    assert_int_equal(g->n[L].n_hold, 0);
    assert_int_equal(rig_fdb(g, L), FDB_LOCAL);
    assert_true(rig_got(g, rig_send(g, R)));
    g->n[L].fail_journal = 0;
    rig_free(g);
    /* The pause is taken, Resume fails: frames go on waiting. */
    g = rig_new();
    rig_pause(g);
    RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
    g->n[L].fail_journal = 1;
    uint16_t a = rig_send(g, R);
    assert_int_not_equal(rig_ask(g, L, 1, TNS_RESUME, NULL), TNS_OK);
    assert_int_equal(rig_state(g, L, 1), ATT_EMIG);
    assert_true(rig_held(g, a));
    g->n[L].fail_journal = 0;
    rig_port_opens(g, L, 1);
    RIG_OK(g, L, 1, TNS_RESUME);
    rig_start(g, L, 1);
    assert_true(rig_got(g, a));
    rig_free(g);
}

/* F7: nobody says how it ended. The old place ages, and tells its server. */
static void
test_emigrated_ages_F7(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    rig_pause(g);
    RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
    RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
    uint32_t notices = g->n[L].n_notices;
    rig_time(g, edge_settings[SET_EMIG_US].max);
    assert_true(g->n[L].n_notices > notices);
    assert_int_equal(rig_state(g, L, 1), ATT_NULL);
    assert_int_equal(rig_state(g, M, 1), ATT_NULL);
    for (int i = 0; i < RIG_EDGES; i++)
        assert_int_equal(g->n[i].n_hold, 0);
    rig_free(g);
}

/* ---- many moves ---- */

/* F10, D2, D3: there and back while updates are late. Hops are bounded by the moves, a
 * frame never comes back to where it was, and all ends at the newest place. */
static void
test_ping_pong_F10(void **state)
{
    (void)state;
    static const int places[] = {L, M, L, M, N, L};
    for (int late = 0; late < 8; late++) {
        struct rig *g = rig_new();
        for (int i = 0; i < 3; i++)
            g->n[i].deaf = late >> i & 1;
        g->n[R].deaf = 1;
        for (size_t k = 1; k < sizeof places / sizeof *places; k++) {
            int from = places[k - 1], to = places[k];
            RIG_OK(g, to, 1, TNS_IMMIGRATE_PRE);
            rig_send(g, R);
            rig_ask(g, from, 1, TNS_EMIGRATE_PREPARE, NULL);
            rig_pause(g);
            rig_ask(g, from, 1, TNS_SUSPEND, NULL);
            rig_send(g, R);
            rig_port_opens(g, to, 1);
            RIG_OK(g, to, 1, TNS_IMMIGRATE_ASSO);
            rig_start(g, to, 1);
            rig_send(g, R);
            assert_true(g->hops_max <= k + 1);
        }
        for (int i = 0; i < RIG_EDGES; i++)
            g->n[i].deaf = 0;
        rig_run(g);
        for (int i = 0; i < RIG_EDGES; i++)
            assert_true(rig_got(g, rig_send(g, i)));
        assert_int_equal(rig_state(g, M, 1), ATT_EMIG);
        assert_int_equal(rig_fdb(g, M), FDB_RELAY);
        assert_int_equal(rig_state(g, L, 1), ATT_ASSOC);
        assert_true(ip_equal(&g->own.owner, &g->n[L].conf.vtep));
        for (uint32_t i = 1; i < g->n_got; i++) { /* late ones race (K12), none twice */
            assert_true(late || g->got[i] > g->got[i - 1]);
            for (uint32_t k = 0; k < i; k++)
                assert_int_not_equal(g->got[i], g->got[k]);
        }
        rig_free(g);
    }
}

/* F15: both servers on one NVE. Frames come to the old port until the pause, wait, and
 * go to the new one; no mapping changes its owner. */
static void
test_both_on_one_nve_F15(void **state)
{
    (void)state;
    for (int back = 0; back < 2; back++) {
        struct rig *g = rig_new();
        RIG_OK(g, L, 2, TNS_IMMIGRATE_PRE);
        uint16_t a = rig_send(g, R), local = rig_send(g, L);
        assert_true(rig_got(g, a) && rig_got(g, local));
        RIG_OK(g, L, 1, TNS_EMIGRATE_PREPARE);
        rig_pause(g);
        RIG_OK(g, L, 1, TNS_SUSPEND);
        uint16_t b = rig_send(g, R), c = rig_send(g, L);
        assert_true(rig_held(g, b) && rig_held(g, c));
        int port = back ? 1 : 2;
        rig_port_opens(g, L, port);
        if (back) {
            RIG_OK(g, L, 2, TNS_TERMINATE);
            assert_true(rig_held(g, b));
            RIG_OK(g, L, 1, TNS_RESUME);
        } else {
            RIG_OK(g, L, 2, TNS_IMMIGRATE_ASSO);
        }
        rig_start(g, L, port);
        assert_true(rig_got(g, b) && rig_got(g, c));
        assert_true(rig_got(g, rig_send(g, R)));
        if (!back) {
            assert_int_equal(rig_state(g, L, 1), ATT_EMIG);
            RIG_OK(g, L, 1, TNS_TERMINATE);
        }
        assert_true(rig_got(g, rig_send(g, L)));
        assert_int_equal(g->n[L].n_hold, 0);
        rig_free(g);
    }
}

/* An Immigrate(pre) for a VM that is here already, said again or late: it is answered
 * with what stands, and reserves nothing. */
static void
test_late_pre_changes_nothing_K3(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    for (uint64_t number = 0; number <= g->epoch; number++) {
        struct tns_request rq = {.has_epoch = number > 0, .epoch = number};
        assert_int_equal(rig_ask(g, L, 1, TNS_IMMIGRATE_PRE, &rq), TNS_OK);
        assert_int_equal(g->answer.epoch, g->epoch);
        assert_int_equal(rig_state(g, L, 1), ATT_ASSOC);
        assert_int_equal(g->resv[L].epoch, 0);
        assert_true(rig_got(g, rig_send(g, R)));
    }
    rig_free(g);
}

/* One that carries a number above ours: the VM was elsewhere since, we have not heard
 * of it, and it comes back (E3). The number that is reserved is above both (K4), so the
 * place that it comes from knows where it goes, and nothing is lost. */
static void
test_pre_of_what_was_elsewhere_E3(void **state)
{
    (void)state;
    for (int paused = 0; paused < 2; paused++) {
        struct rig *g = rig_new();
        if (paused)
            RIG_OK(g, L, 1, TNS_SUSPEND);
        g->n[L].deaf = 1;
        RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
        rig_pause(g);
        RIG_COMES(g, M);
        struct tns_request rq = {.has_epoch = 1, .epoch = g->epoch};
        assert_int_equal(rig_ask(g, L, 1, TNS_IMMIGRATE_PRE, &rq), TNS_OK);
        assert_int_equal(rig_state(g, L, 1), ATT_IMMIG);
        assert_true(g->answer.epoch > g->epoch);
        assert_int_equal(g->n[L].n_notices, 0); /* its station has said it itself */
        assert_true(rig_got(g, rig_send(g, R)));
        rig_pause(g);
        RIG_OK(g, M, 1, TNS_EMIGRATE_COMMIT);
        uint16_t a = rig_send(g, R);
        assert_true(rig_held(g, a));
        g->n[L].deaf = 0;
        rig_run(g);
        assert_true(rig_held(g, a));
        rig_port_opens(g, L, 1);
        RIG_COMES(g, L);
        assert_true(rig_got(g, a) && rig_got(g, rig_send(g, R)));
        assert_int_equal(rig_fdb(g, M), FDB_RELAY);
        rig_free(g);
    }
}

/* F16: the tag of the VM that left is kept from other VNs while late frames may come.
 */
static void
test_tag_drains_F16(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    RIG_LEAVES(g, L, M);
    RIG_OK(g, M, 1, TNS_IMMIGRATE_ASSO);
    RIG_OK(g, L, 1, TNS_TERMINATE);
    assert_int_equal(rig_fdb(g, L), FDB_RELAY);
    assert_int_equal(g->n[L].n_vap, 0); /* late frames of S are refused */
    struct edge_tag_view t;
    uint32_t it = 0;
    assert_true(edge_each_tag(g->n[L].e, &it, &t, g->now));
    assert_string_equal(tag_state_str(t.state), "DRAIN");
    rig_time(g, edge_settings[SET_TAG_HOLD_US].def + 1);
    it = 0;
    assert_false(edge_each_tag(g->n[L].e, &it, &t, g->now));
    rig_free(g);
}

/* F17: the old port gets no BUM frames any more, the new one only when active. */
static void
test_bum_is_not_relayed_F17(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    assert_true(g->n[L].vap[0].u.vap.flood);
    RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
    assert_false(g->n[M].vap[0].u.vap.flood);
    rig_pause(g);
    RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
    assert_false(g->n[L].vap[0].u.vap.flood);
    assert_false(g->n[L].vsi[0].u.vsi.active); /* late frames of S */
    RIG_OK(g, M, 1, TNS_IMMIGRATE_ASSO);
    assert_true(g->n[M].vap[0].u.vap.flood);
    rig_free(g);
}

/* ---- redirects (D5) ---- */

/* Crash of the old edge after the move: neither relay nor flood, but whoever sends
 * learns. */
static void
test_astray_F11(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    g->n[R].deaf = 1;
    struct dp_event ev = {
        .type = DP_EV_ASTRAY, .vni = RIG_VNI, .dst = g->mac, .ip = rig_ip(R)};
    edge_dp_event(g->n[L].e, &ev, g->now);
    rig_run(g);
    assert_int_equal(g->n[L].n_smrs, 0); /* it is here */
    RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
    edge_dp_event(g->n[M].e, &ev, g->now);
    rig_run(g);
    assert_int_equal(g->n[M].n_smrs, 0); /* it is on its way here */
    rig_pause(g);
    RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
    RIG_OK(g, M, 1, TNS_IMMIGRATE_ASSO);
    uint32_t asked = g->n[R].n_queries;
    edge_dp_event(g->n[L].e, &ev, g->now);
    rig_run(g);
    assert_int_equal(g->n[L].n_smrs, 1);
    assert_int_equal(g->n[R].n_queries, asked + 1);
    ev.ip = ip_v4(0x0a0000ff); /* nobody's endpoint */
    edge_dp_event(g->n[L].e, &ev, g->now);
    rig_run(g);
    assert_int_equal(g->n[L].n_smrs, 1);
    rig_free(g);
}

static void
test_redirect_D5(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    g->n[R].deaf = 1;
    struct dp_event ev = {
        .type = DP_EV_RELAYED, .vni = RIG_VNI, .dst = g->mac, .ip = rig_ip(R)};
    RIG_LEAVES(g, L, M);
    edge_dp_event(g->n[L].e, &ev, g->now);
    rig_run(g);
    assert_int_equal(
        g->n[L].n_smrs, 0); /* nobody has published: the answer would be L */
    RIG_OK(g, M, 1, TNS_IMMIGRATE_ASSO);
    uint32_t asked = g->n[R].n_queries;
    edge_dp_event(g->n[L].e, &ev, g->now);
    rig_run(g);
    assert_int_equal(g->n[L].n_smrs, 1);
    assert_int_equal(g->n[R].n_queries, asked + 1);
    struct mapping_rec rec = {0};
    struct edge_map_view v;
    for (uint32_t it = 0; edge_each_mapping(g->n[R].e, &it, &v);)
        rec = v.rec;
    assert_true(ip_equal(&rec.owner, &g->n[M].conf.vtep)); /* the answer is taken */
    /* Only those whom we send to are believed, and each at most once a second. */
    edge_smr(g->n[R].e, RIG_VNI, &g->mac, &g->n[L].conf.vtep, g->now);
    edge_smr(g->n[R].e, RIG_VNI, &g->mac, &g->n[M].conf.vtep, g->now);
    rig_run(g);
    assert_int_equal(g->n[R].n_queries, asked + 1);
    rig_time(g, 1000000);
    for (int i = 0; i < 5; i++)
        edge_smr(g->n[R].e, RIG_VNI, &g->mac, &g->n[M].conf.vtep, g->now);
    rig_run(g);
    assert_int_equal(g->n[R].n_queries, asked + 2);
    /* Never to ourselves, never to an endpoint that nobody knows. */
    ev.ip = g->n[L].conf.vtep;
    edge_dp_event(g->n[L].e, &ev, g->now);
    ev.ip = ip_v4(0x0a0000ff);
    edge_dp_event(g->n[L].e, &ev, g->now);
    rig_run(g);
    assert_int_equal(g->n[L].n_smrs, 1);
    rig_free(g);
}

/* ---- restart (K7, K15) ---- */

static void
test_restart_at_every_step_K7(void **state)
{
    (void)state;
    for (int at = 0; at < 5; at++)
        for (int who = L; who <= M; who++) {
            struct rig *g = rig_new();
            uint16_t a = 0;
            RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
            if (at == 0)
                rig_restart(g, who);
            RIG_OK(g, L, 1, TNS_EMIGRATE_PREPARE);
            if (at == 1)
                rig_restart(g, who);
            rig_pause(g);
            RIG_OK(g, L, 1, TNS_SUSPEND);
            assert_int_equal(rig_state(g, L, 1), ATT_EMIG);
            a = rig_send(g, R);
            if (at == 2)
                rig_restart(g, who);
            assert_int_equal(rig_fdb(g, L), FDB_RELAY);
            assert_true(rig_held(g, a));
            rig_port_opens(g, M, 1);
            RIG_COMES(g, M);
            if (at == 3)
                rig_restart(g, who);
            assert_true(rig_got(g, a));
            RIG_OK(g, L, 1, TNS_TERMINATE);
            if (at == 4)
                rig_restart(g, who);
            for (int i = 0; i < RIG_EDGES; i++) {
                assert_int_equal(g->n[i].n_hold, 0);
                assert_true(rig_got(g, rig_send(g, i)));
            }
            rig_free(g);
        }
    /* Nothing known of a target: what waits at L goes on waiting there. */
    struct rig *g = rig_new();
    rig_pause(g);
    RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
    uint16_t a = rig_send(g, R);
    rig_restart(g, L);
    assert_true(rig_held(g, a));
    rig_port_opens(g, M, 1);
    RIG_COMES(g, M);
    assert_true(rig_got(g, a));
    rig_free(g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_phase_senders),
        cmocka_unit_test(test_terminate_without_owner_F20),
        cmocka_unit_test(test_drain_after_activation_D6),
        cmocka_unit_test(test_hold_at_old_place),
        cmocka_unit_test(test_hold_before_pause_K12),
        cmocka_unit_test(test_immigrates_suspended_A14),
        cmocka_unit_test(test_plain_suspend_S3_30),
        cmocka_unit_test(test_roll_back_at_every_step),
        cmocka_unit_test(test_roll_back_drains),
        cmocka_unit_test(test_undo_restores_A9),
        cmocka_unit_test(test_emigrated_ages_F7),
        cmocka_unit_test(test_ping_pong_F10),
        cmocka_unit_test(test_both_on_one_nve_F15),
        cmocka_unit_test(test_late_pre_changes_nothing_K3),
        cmocka_unit_test(test_pre_of_what_was_elsewhere_E3),
        cmocka_unit_test(test_tag_drains_F16),
        cmocka_unit_test(test_bum_is_not_relayed_F17),
        cmocka_unit_test(test_astray_F11),
        cmocka_unit_test(test_redirect_D5),
        cmocka_unit_test(test_restart_at_every_step_K7),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
