/* SPDX-License-Identifier: Apache-2.0 */
/* The table of virtual networks, its look-ups, and the small tables beside it:
 * settings, the list of VNs of a port, the words of TNS. */
#include "test.h"

#include "core/timing.h"
#include "core/vn.h"
#include "edge_env.h"

static uint32_t
lookups(const struct env *v)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n_pending; i++)
        n += v->pending[i].type == EDGE_VN_LOOKUP;
    return n;
}

static void
test_one_question_for_many(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    struct tns_entry n[2];
    struct tns_request rq;
    for (uint32_t i = 1; i <= 5; i++) {
        rq = env_rq(TNS_ASSOC, 1, i, n, 40, i);
        env_send(v, &rq);
    }
    assert_int_equal(lookups(v), 1);
    rq = env_rq(TNS_ASSOC, 1, 6, n, 41, 6); /* two VNs: asked at the same time */
    n[1] = n[0];
    n[1].vni = 42;
    rq.n_entries = 2;
    env_send(v, &rq);
    assert_int_equal(lookups(v), 3);
    env_run(v);
    for (uint32_t i = 0; i < v->n_answers; i++)
        assert_int_equal(v->answers[i].r.code, TNS_OK);
    assert_true(v->subscribed[40] && v->subscribed[41] && v->subscribed[42]);
    env_quiet(v);
    env_free(v);
}

/* A refusal is remembered for T_retry, and forgotten when the VN appears. */
static void
test_negative(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    assert_int_equal(env_do(v, TNS_ASSOC, 1, 1, 200, 1)->r.code, TNS_UNKNOWN_VN);
    struct tns_entry n;
    struct tns_request rq = env_rq(TNS_ASSOC, 1, 1, &n, 200, 1);
    env_send(v, &rq);
    assert_int_equal(lookups(v), 0);
    env_tick(v, edge_settings[SET_RETRY_US].def);
    env_send(v, &rq);
    assert_int_equal(lookups(v), 1);
    env_run(v);
    struct vn_rec rec = {.vni = 200, .mtu = 1400, .name = "late"};
    edge_vn(v->e, &rec, 0, v->now);
    assert_int_equal(env_do(v, TNS_ASSOC, 1, 1, 200, 1)->r.code, TNS_OK);
    env_free(v);
}

static void
test_change_and_deletion(void **state)
{
    (void)state;
    struct env *v = env_new(true);
    env_do(v, TNS_ASSOC, 1, 1, 5, 1);
    env_do(v, TNS_ASSOC, 2, 2, 6, 2);
    struct vn_rec rec = {.vni = 5, .mtu = 1300, .name = "vn5"};
    uint32_t notices = v->n_notices;
    edge_vn(v->e, &rec, 0, v->now);
    env_run(v);
    assert_int_equal(v->n_notices, notices + 1);
    assert_int_equal(v->notice.type, NOTICE_LOCAL_CHANGE);
    edge_vn(v->e, &rec, 0, v->now); /* the same again: no news */
    env_run(v);
    assert_int_equal(v->n_notices, notices + 1);
    rec.deleted = 1;
    edge_vn(v->e, &rec, 0, v->now);
    env_run(v);
    assert_int_equal(v->notice.type, NOTICE_DISSOCIATED);
    assert_int_equal(env_state(v, 1, 1), ATT_TERM);
    assert_int_equal(env_state(v, 2, 2), ATT_ASSOC);
    env_tick(v, 100000000);
    assert_int_equal(vn_find(v->e, 5), 0);
    assert_false(v->subscribed[5]);
    env_free(v);
}

/* A VN that is only pulled is not subscribed (design: reply modes). */
static void
test_pull(void **state)
{
    (void)state;
    struct env *v = env_new(false);
    struct vn_rec rec = {.vni = 8, .name = "vn8", .pull = 1, .mtu = 1450};
    edge_vn(v->e, &rec, 0, v->now);
    env_do(v, TNS_ASSOC, 1, 1, 8, 1);
    assert_false(v->subscribed[8]);
    rec.pull = 0;
    edge_vn(v->e, &rec, 0, v->now);
    env_run(v);
    assert_true(v->subscribed[8]);
    env_do(v, TNS_TERMINATE, 1, 1, 0, 0);
    env_tick(v, 100000000);
    env_run(v);
    assert_false(v->subscribed[8]);
    env_empty(v);
    env_free(v);
}

static void
test_settings(void **state)
{
    (void)state;
    uint64_t s[SET_N] = {0};
    timing_fill(s);
    for (unsigned i = 0; i < SET_N; i++) {
        const struct setting *t = &edge_settings[i];
        assert_non_null(t->name);
        assert_non_null(t->clause);
        assert_non_null(t->help);
        bool zero = i == SET_HOLD_FRAMES || i == SET_HOLD_US; /* 0: no buffer */
        assert_true((t->min == 0) == zero && t->min <= t->def && t->def <= t->max);
        assert_true(s[i] == t->def);
        assert_int_equal(timing_find(t->name), i);
        assert_null(timing_fault(i, t->def));
        assert_non_null(timing_fault(i, t->max + 1));
        assert_true(zero || timing_fault(i, t->min - 1));
        s[i] = SETTING_ZERO;
    }
    timing_fill(s);
    for (unsigned i = 0; i < SET_N; i++)
        assert_true(s[i] == edge_settings[i].min); /* a real 0, and no default */
    memset(s, 0, sizeof s);
    timing_fill(s);
    assert_int_equal(timing_find("no"), -1);
    assert_true(timing_idle(s, ATT_ASSOC, 5000) == 5000);
    assert_true(timing_idle(s, ATT_EMIG, 5000) == s[SET_EMIG_US]);
    assert_true(timing_idle(s, ATT_TERM, UINT64_MAX) == s[SET_TOMB_US]);
    assert_true(timing_idle(s, ATT_NULL, 0) == TIMER_NEVER);
}

static void
test_authz(void **state)
{
    (void)state;
    struct authz a;
    static const uint32_t pairs[] = {50, 60, 10, 20, 15, 30, 99, 99, 61, 61};
    assert_true(authz_init(&a, pairs, 5));
    for (uint32_t vni = 0; vni < 120; vni++) {
        bool in = false;
        for (int i = 0; i < 5; i++)
            in |= vni >= pairs[2 * i] && vni <= pairs[2 * i + 1];
        assert_int_equal(authz_may_join(&a, vni), in);
    }
    authz_done(&a);
    assert_true(authz_init(&a, NULL, 0));
    assert_true(authz_may_join(&a, 77));
    authz_done(&a);
    static const uint32_t wrong[] = {5, 4};
    assert_false(authz_init(&a, wrong, 1));
}

static void
test_words(void **state)
{
    (void)state;
    for (uint8_t i = 0; i < TNS_N_OPS; i++) {
        uint8_t op;
        assert_true(tns_op_parse(tns_op_str(i), &op));
        assert_int_equal(op, i);
    }
    uint8_t op;
    assert_false(tns_op_parse("x", &op));
    assert_string_equal(tns_code_str(TNS_MOVED), "moved");
    assert_string_equal(tns_code_str(200), "?");
    assert_string_equal(att_state_str(ATT_EMIG), "EMIG");
    for (unsigned i = 0; i < EDGEC_N; i++)
        assert_true(strlen(edge_counter_name(i)) > 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_question_for_many),
        cmocka_unit_test(test_negative),
        cmocka_unit_test(test_change_and_deletion),
        cmocka_unit_test(test_pull),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_authz),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
