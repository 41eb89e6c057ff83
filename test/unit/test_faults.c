/* SPDX-License-Identifier: Apache-2.0 */
/* Faults of requirements 4.2 that a migration's other tests do not meet: what ages
 * while its sender is not told, a target that fails or is given up, a claim whose
 * number is late, an authority that has forgotten. tools/mutants takes their rules
 * away one by one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "move_rig.h"

/* M's server and that of the sender at R are well. */
static void
refresh(struct rig *g)
{
    struct tns_request rq = {
        .op = TNS_KEEPALIVE,
        .port = 1,
        .id = {.format = VSIID_UUID, .b = {9}},
        .berth_station = 1
    };
    edge_request(g->n[R].e, &rq, g->now);
    RIG_OK(g, M, 1, TNS_KEEPALIVE);
}

/* R hears of nothing for as long as the old place keeps anything: the relay carries on
 * through EMIG, though nobody terminates there, and through the tombstone. */
static void
test_relay_outlives_the_attachment_F1(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    g->n[R].deaf = 1;
    RIG_LEAVES(g, L, M);
    RIG_COMES(g, M);
    uint64_t step = edge_settings[SET_TOMB_US].def / 4, end = g->now;
    for (end += edge_settings[SET_EMIG_US].max;
         rig_state(g, L, 1) == ATT_EMIG && g->now < end;) {
        assert_true(rig_got(g, rig_send(g, R)));
        rig_time(g, step);
        refresh(g);
    }
    assert_int_equal(rig_state(g, L, 1), ATT_TERM); /* F7 */
    assert_true(rig_got(g, rig_send(g, R)));
    for (end = g->now + 8 * step; rig_state(g, L, 1) == ATT_TERM && g->now < end;) {
        rig_time(g, step);
        refresh(g);
    }
    assert_int_equal(rig_state(g, L, 1), ATT_NULL);
    assert_int_not_equal(rig_fdb(g, L), FDB_RELAY);
    rig_free(g);
}

/* The target was told, the old place was not: its resume counts all the same, and a
 * late activation of the target is stale. */
static void
test_resume_of_what_was_not_told_F6(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
    uint64_t reserved = g->answer.epoch;
    RIG_OK(g, L, 1, TNS_RESUME);
    assert_true(g->epoch > reserved);
    assert_true(ip_equal(&g->own.owner, &g->n[L].conf.vtep));
    struct tns_request late = {.has_epoch = 1, .epoch = reserved};
    assert_int_equal(rig_ask(g, M, 1, TNS_IMMIGRATE_ASSO, &late), TNS_MOVED);
    assert_int_equal(rig_state(g, L, 1), ATT_ASSOC);
    assert_true(rig_got(g, rig_send(g, R)));
    rig_free(g);
}

/* The target has claimed it, and the migration fails all the same: the old edge has
 * lost the VM by then. Its resume is a claim with a fresh number; an old one is refused
 * (A4). */
static void
test_resume_of_what_was_lost_F6(void **state)
{
    (void)state;
    for (int told = 0; told < 2; told++) {
        struct rig *g = rig_new();
        struct tns_request old = {.has_epoch = 1, .epoch = g->epoch};
        RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
        rig_pause(g);
        if (told)
            RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
        RIG_OK(g, M, 1, TNS_IMMIGRATE_ASSO);
        uint64_t lost = g->epoch;
        assert_int_equal(rig_state(g, L, 1), ATT_EMIG);
        assert_int_equal(rig_fdb(g, L), FDB_RELAY);
        assert_int_equal(rig_ask(g, L, 1, TNS_RESUME, &old), TNS_MOVED);
        RIG_OK(g, L, 1, TNS_RESUME);
        rig_start(g, L, 1);
        assert_int_equal(rig_state(g, L, 1), ATT_ASSOC);
        assert_true(g->epoch > lost && g->answer.epoch == g->epoch);
        assert_int_equal(rig_state(g, M, 1), ATT_EMIG);
        assert_int_equal(rig_fdb(g, M), FDB_RELAY);
        assert_true(rig_got(g, rig_send(g, R)));
        assert_true(rig_got(g, rig_send(g, M)));
        RIG_OK(g, M, 1, TNS_TERMINATE);
        assert_true(rig_got(g, rig_send(g, R)));
        rig_free(g);
    }
}

/* The target's edge cannot: before the pause nothing has happened. At the same edge
 * (F15) the port that the VM is at has it again. */
static void
test_target_that_cannot_F8(void **state)
{
    (void)state;
    for (int same = 0; same < 2; same++) {
        struct rig *g = rig_new();
        int to = same ? L : M;
        RIG_OK(g, L, 1, TNS_EMIGRATE_PREPARE);
        g->n[to].fail_journal = 1;
        assert_int_not_equal(rig_ask(g, to, 2, TNS_IMMIGRATE_PRE, NULL), TNS_OK);
        if (same)
            assert_int_not_equal(rig_ask(g, to, 2, TNS_ASSOC, NULL), TNS_OK);
        g->n[to].fail_journal = 0;
        rig_run(g);
        assert_int_equal(rig_state(g, to, 2), ATT_NULL);
        assert_int_equal(rig_state(g, L, 1), ATT_ASSOC);
        for (int i = 0; i < RIG_EDGES; i++)
            assert_int_equal(g->n[i].n_hold, 0);
        assert_int_equal(rig_fdb(g, L), FDB_LOCAL);
        assert_true(rig_got(g, rig_send(g, R)));
        RIG_OK(g, L, 1, TNS_RESUME);
        assert_int_equal(rig_state(g, L, 1), ATT_ASSOC);
        assert_true(rig_got(g, rig_send(g, L)));
        assert_true(rig_got(g, rig_send(g, R)));
        rig_free(g);
    }
}

/* A resume has asked for its number; the authority has granted and published it, and
 * the answer is on its way. What the edge hears meanwhile is older than its own claim:
 * would it relay to that owner, who relays to it, frames would go round (D4). */
static void
test_claim_under_way_relays_nothing_F10(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    struct edge_out asked = {0};
    g->n[L].deaf = 1;
    g->known += 3; /* the counter is of all keys */
    RIG_LEAVES(g, L, M);
    RIG_OK(g, M, 1, TNS_IMMIGRATE_ASSO);
    struct tns_request rq = {
        .op = TNS_RESUME,
        .port = 1,
        .berth_station = 1,
        .id = {.format = VSIID_UUID, .b = {1}}
    };
    edge_request(g->n[L].e, &rq, g->now);
    for (struct edge_out o; edge_output(g->n[L].e, &o);) {
        if (o.type == EDGE_REGISTER)
            asked = o;
        else
            rig_take(g, L, &o);
    }
    assert_int_equal(asked.type, EDGE_REGISTER);
    rig_forget_ops(g);
    g->n[L].deaf = 0;
    rig_run(g);
    assert_null(strstr(g->ops, "L:fdb-relay"));
    rig_send(g, R); /* to L, or to M and on: the rig fails when it goes round */
    rig_take(g, L, &asked);
    rig_run(g);
    rig_start(g, L, 1);
    assert_true(ip_equal(&g->own.owner, &g->n[L].conf.vtep));
    assert_int_equal(rig_fdb(g, L), FDB_LOCAL);
    assert_int_equal(rig_fdb(g, M), FDB_RELAY);
    assert_true(rig_got(g, rig_send(g, R)));
    rig_free(g);
}

/* The same while the VM leaves again: the authority did not answer in time (K17). A
 * reservation above the guess may be below the number that is on its way. */
static void
test_claim_under_way_has_no_target_F10(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    struct edge_out asked = {0};
    rig_pause(g);
    RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
    struct tns_request rq = {
        .op = TNS_RESUME,
        .port = 1,
        .berth_station = 1,
        .id = {.format = VSIID_UUID, .b = {1}}
    };
    edge_request(g->n[L].e, &rq, g->now);
    for (struct edge_out o; edge_output(g->n[L].e, &o);) {
        if (o.type == EDGE_REGISTER)
            asked = o;
        else
            rig_take(g, L, &o);
    }
    assert_int_equal(asked.type, EDGE_REGISTER);
    uint32_t answers = g->n_answers;
    rig_time(g, edge_settings[SET_PUBLISH_US].def);
    assert_int_equal(g->n_answers, answers + 1);
    RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
    struct mapping_rec rec = g->own;
    rec.owner = rig_ip(M);
    rec.epoch = g->known + 3;
    rec.migration_id = 77;
    edge_reserved(g->n[L].e, &rec, g->now);
    rig_run(g);
    assert_int_not_equal(rig_fdb(g, L), FDB_RELAY);
    uint16_t a = rig_send(g, R);
    assert_true(rig_held(g, a));
    g->known += 4;
    rig_take(g, L, &asked);
    rig_run(g);
    assert_true(g->epoch > rec.epoch);
    assert_int_not_equal(rig_fdb(g, L), FDB_RELAY); /* it is older than ours */
    assert_true(rig_held(g, a));
    rig_free(g);
}

/* A resume asks for its number while the authority recovers, and is not answered in
 * time; what comes next names one and is taken at once. The answer to the claim comes
 * after another edge has claimed: it is the newest number, and L has it. */
static void
test_claim_outlives_a_number_F13(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    struct tns_request by_number = {.has_epoch = 1, .epoch = g->epoch + 1};
    RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
    g->n[L].slow = 1;
    rig_ask(g, L, 1, TNS_RESUME, NULL);
    rig_time(g, edge_settings[SET_PUBLISH_US].def);
    assert_int_equal(rig_state(g, L, 1), ATT_ASSOC);
    rig_ask(g, L, 1, TNS_IMMIGRATE_ASSO, &by_number);
    assert_int_equal(g->n[L].n_said, 2);
    struct edge_out claim = g->n[L].said[0];
    g->n[L].said[0] = g->n[L].said[1];
    g->n[L].said[1] = claim;
    uint32_t answers = g->n_answers;
    assert_true(rig_arrives(g, L));
    assert_int_equal(g->n_answers, answers + 1);
    assert_int_equal(g->epoch, by_number.epoch);
    RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
    RIG_OK(g, M, 1, TNS_IMMIGRATE_ASSO);
    assert_int_equal(rig_state(g, L, 1), ATT_ASSOC); /* its claim is under way */
    rig_send(g, R);
    assert_true(rig_arrives(g, L));
    assert_true(ip_equal(&g->own.owner, &g->n[L].conf.vtep));
    assert_int_equal(rig_state(g, L, 1), ATT_ASSOC);
    assert_int_equal(rig_state(g, M, 1), ATT_EMIG);
    assert_int_equal(mapping_epoch(g->n[L].e, RIG_VNI, &g->mac), g->epoch);
    assert_true(rig_got(g, rig_send(g, R)));
    rig_free(g);
}

/* L could not register a claim, lost the VM, and claims it again: what was to be tried
 * again comes due while the data plane still relays to the other place. Nobody hears of
 * the claim before it stands there (E7): frames would go round. */
static void
test_retry_waits_for_the_data_plane_F10(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
    g->n[L].slow = 1;
    rig_ask(g, L, 1, TNS_RESUME, NULL);
    assert_int_equal(g->n[L].n_said, 1);
    g->n[L].n_said = g->n[L].slow = 0;
    edge_registered(g->n[L].e, g->n[L].said[0].id, 0, 0, -EAGAIN, g->now);
    rig_time(g, edge_settings[SET_PUBLISH_US].def);
    assert_int_equal(rig_state(g, L, 1), ATT_ASSOC);
    RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
    RIG_OK(g, M, 1, TNS_IMMIGRATE_ASSO);
    assert_int_equal(rig_state(g, L, 1), ATT_EMIG);
    struct tns_request rq = {
        .op = TNS_RESUME,
        .port = 1,
        .berth_station = 1,
        .id = {.format = VSIID_UUID, .b = {1}}
    };
    edge_request(g->n[L].e, &rq, g->now);
    struct edge_out dp[32];
    uint32_t n = 0;
    for (int late = 0; late < 2; late++) {
        for (struct edge_out o; edge_output(g->n[L].e, &o);) {
            assert_int_not_equal(o.type, EDGE_REGISTER);
            assert_true(n < 32);
            if (o.type == EDGE_DP)
                dp[n++] = o;
            else
                rig_take(g, L, &o);
        }
        g->now += edge_settings[SET_RETRY_US].def;
        edge_tick(g->n[L].e, g->now);
    }
    for (uint32_t i = 0; i < n; i++)
        rig_take(g, L, &dp[i]);
    rig_run(g);
    rig_start(g, L, 1);
    assert_true(ip_equal(&g->own.owner, &g->n[L].conf.vtep));
    assert_true(rig_got(g, rig_send(g, R)));
    rig_free(g);
}

/* What M says is slow: it asks for a number and is not answered in time, the VM ends
 * there, begins at another port by an old number that the authority never took, and
 * ends again. Should that leave a tombstone, then M relays to L, and L to M by what M
 * had asked for (D1). */
static void
test_number_never_taken_leaves_no_tombstone_F10(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    uint64_t wait = edge_settings[SET_PUBLISH_US].def;
    struct tns_request old = {.has_epoch = 1, .epoch = 1};
    RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT); /* for a number above the old one */
    RIG_OK(g, L, 1, TNS_RESUME);
    g->n[M].slow = 1;
    rig_ask(g, M, 1, TNS_IMMIGRATE_PRE, NULL);
    rig_time(g, wait);
    assert_int_equal(rig_state(g, M, 1), ATT_IMMIG);
    RIG_OK(g, M, 1, TNS_TERMINATE);
    rig_ask(g, M, 2, TNS_ASSOC, &old);
    rig_time(g, wait);
    assert_int_equal(rig_state(g, M, 2), ATT_ASSOC);
    RIG_OK(g, M, 2, TNS_TERMINATE);
    rig_pause(g);
    RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
    for (bool more = true; more; more = rig_arrives(g, M))
        rig_send(g, R); /* the rig fails when it goes round */
    assert_int_not_equal(rig_fdb(g, M), FDB_RELAY);
    rig_free(g);
}

/* The old edge has died for the authority, but not for those who send to it: nobody
 * owns the VM when what waited for it is let go, after the FDB entry that says where
 * (D6). */
static void
test_drain_where_nobody_owns_F7(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    g->n[R].deaf = 1;
    RIG_LEAVES(g, L, M);
    struct mapping_rec rec = g->own;
    g->own = (struct mapping_rec){0};
    edge_map_del(g->n[M].e, &rec, 0, g->now);
    rig_run(g);
    uint16_t a = rig_send(g, R), b = rig_send(g, R);
    assert_true(rig_held(g, a) && rig_held(g, b));
    rig_port_opens(g, M, 1);
    RIG_COMES(g, M);
    assert_true(rig_got(g, a) && rig_got(g, b));
    assert_int_equal(g->n[M].n_hold, 0);
    rig_free(g);
}

/* L to M and back to L: what was said to L in the first migration, and comes now, takes
 * nothing off the air. Without a number nobody can tell, and it is obeyed. */
static void
test_words_of_the_past_F4(void **state)
{
    (void)state;
    static const uint8_t ops[] = {TNS_EMIGRATE_PREPARE, TNS_EMIGRATE_COMMIT,
        TNS_SUSPEND, TNS_TERMINATE, TNS_RESUME};
    struct rig *g = rig_new();
    RIG_OK(g, M, 1, TNS_IMMIGRATE_PRE);
    struct tns_request late = {.has_epoch = 1, .epoch = g->known, .hold = 1};
    rig_pause(g);
    RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
    RIG_COMES(g, M);
    RIG_LEAVES(g, M, L);
    RIG_COMES(g, L);
    for (size_t i = 0; i < sizeof ops; i++) {
        assert_int_equal(rig_ask(g, L, 1, ops[i], &late), TNS_MOVED);
        assert_int_equal(rig_state(g, L, 1), ATT_ASSOC);
        assert_int_equal(rig_fdb(g, L), FDB_LOCAL);
        assert_true(rig_got(g, rig_send(g, R)));
    }
    late.epoch = g->known; /* and its own number is no word of the past */
    assert_int_equal(rig_ask(g, L, 1, TNS_TERMINATE, &late), TNS_OK);
    assert_int_equal(rig_state(g, L, 1), ATT_TERM);
    rig_free(g);
}

/* In one phase a station learns its tag by the answer. What the old place has kept
 * comes before it, and waits, also behind the other port of one edge (F15, K12). */
static void
test_one_phase_waits_for_its_tag_F20(void **state)
{
    (void)state;
    for (int other_port = 0; other_port < 2; other_port++) {
        struct rig *g = rig_new();
        int to = other_port ? L : M;
        uint32_t port = other_port ? 2 : 1;
        g->n[R].deaf = 1;
        rig_pause(g);
        RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
        uint16_t a = rig_send(g, R), b;
        assert_true(rig_held(g, a));
        RIG_OK(g, to, port, TNS_IMMIGRATE_ASSO);
        assert_int_equal(rig_fdb(g, to), FDB_LOCAL);
        b = rig_send(g, R);
        assert_true(rig_held(g, a) && rig_held(g, b));
        rig_port_opens(g, to, (int)port);
        rig_tagged(g);
        rig_start(g, to, (int)port);
        assert_true(rig_got(g, a) && rig_got(g, b));
        assert_int_equal(g->n[to].n_hold, 0);
        rig_free(g);
    }
}

/* An agent that was away when its VM was lost, and an edge that was as well: what the
 * agent repeats says that the VM runs here. The word that it has gone is always good. */
static void
test_prepares_what_is_lost_F9(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    RIG_OK(g, L, 1, TNS_EMIGRATE_PREPARE);
    RIG_OK(g, M, 1, TNS_ASSOC);
    assert_int_equal(rig_state(g, L, 1), ATT_EMIG);
    assert_int_equal(rig_ask(g, L, 1, TNS_EMIGRATE_PREPARE, NULL), TNS_MOVED);
    RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
    RIG_OK(g, L, 1, TNS_KEEPALIVE);
    rig_free(g);
}

/* The authority has forgotten who owns what: the edges forward on, and say it again
 * with the numbers that they have. */
static void
test_authority_that_forgot_F13(void **state)
{
    (void)state;
    struct rig *g = rig_new();
    RIG_LEAVES(g, L, M);
    RIG_COMES(g, M);
    uint64_t was = g->epoch;
    for (int i = 0; i < RIG_EDGES; i++)
        edge_session(g->n[i].e, false, g->now);
    rig_run(g);
    assert_true(rig_got(g, rig_send(g, R)));
    g->own = (struct mapping_rec){0};
    g->epoch = 0;
    for (int i = 0; i < RIG_EDGES; i++) /* the old place first: it must not win */
        edge_session(g->n[i].e, true, g->now);
    rig_run(g);
    assert_true(ip_equal(&g->own.owner, &g->n[M].conf.vtep));
    assert_int_equal(g->epoch, was);
    assert_int_equal(rig_state(g, M, 1), ATT_ASSOC);
    assert_int_not_equal(rig_state(g, L, 1), ATT_ASSOC);
    assert_true(rig_got(g, rig_send(g, R)));
    rig_free(g);
}

/* M has asked for its number, hears of a newer one of L's, and loses the session before
 * it is answered: the claim stands, whether L has left meanwhile or not, and is said
 * again (K17). */
static void
test_claim_outlives_its_session_F14(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        bool early = way & 1, leaves = way & 2;
        struct rig *g = rig_new();
        rig_pause(g);
        RIG_OK(g, L, 1, TNS_EMIGRATE_COMMIT);
        g->n[M].slow = 1;
        rig_ask(g, M, 1, TNS_ASSOC, NULL);
        g->known += 3; /* the counter is of all keys */
        RIG_OK(g, L, 1, TNS_RESUME);
        assert_int_equal(rig_fdb(g, M), FDB_REMOTE);
        if (leaves)
            RIG_OK(g, L, 1, TNS_TERMINATE);
        if (early)
            edge_session(g->n[M].e, false, g->now);
        rig_time(g, edge_settings[SET_PUBLISH_US].def);
        assert_int_equal(g->answer.code, TNS_OK);
        assert_int_equal(g->answer.unpublished, 1);
        if (!early)
            edge_session(g->n[M].e, false, g->now);
        assert_int_equal(rig_state(g, M, 1), ATT_ASSOC);
        g->n[M].slow = 0;
        g->n[M].n_said = 0;
        edge_session(g->n[M].e, true, g->now);
        rig_run(g);
        assert_int_equal(rig_state(g, M, 1), ATT_ASSOC);
        assert_true(ip_equal(&g->own.owner, &g->n[M].conf.vtep));
        assert_int_equal(rig_fdb(g, M), FDB_LOCAL);
        rig_start(g, M, 1);
        assert_true(rig_got(g, rig_send(g, R)));
        rig_free(g);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_relay_outlives_the_attachment_F1),
        cmocka_unit_test(test_words_of_the_past_F4),
        cmocka_unit_test(test_resume_of_what_was_not_told_F6),
        cmocka_unit_test(test_resume_of_what_was_lost_F6),
        cmocka_unit_test(test_target_that_cannot_F8),
        cmocka_unit_test(test_claim_under_way_relays_nothing_F10),
        cmocka_unit_test(test_claim_under_way_has_no_target_F10),
        cmocka_unit_test(test_claim_outlives_a_number_F13),
        cmocka_unit_test(test_retry_waits_for_the_data_plane_F10),
        cmocka_unit_test(test_number_never_taken_leaves_no_tombstone_F10),
        cmocka_unit_test(test_drain_where_nobody_owns_F7),
        cmocka_unit_test(test_one_phase_waits_for_its_tag_F20),
        cmocka_unit_test(test_prepares_what_is_lost_F9),
        cmocka_unit_test(test_authority_that_forgot_F13),
        cmocka_unit_test(test_claim_outlives_its_session_F14),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
