/* SPDX-License-Identifier: Apache-2.0 */
/* Local tags against requirements 1.6, and against a naive model under random use. */
#include "test.h"

#include "edge_env.h"

static uint16_t
get(struct env *v, uint32_t domain, uint32_t vni, uint16_t asked, enum tag_verdict want)
{
    uint16_t vid = 0;
    assert_int_equal(tag_get(v->e, tag_domain(v->e, domain), vni, asked, &vid), want);
    return vid;
}

static void
put(struct env *v, uint32_t domain, uint16_t vid)
{
    tag_put(v->e, tag_domain(v->e, domain), vid);
}

static void
pass(struct env *v, uint64_t us)
{
    env_pull(v);
    env_tick(v, us);
    v->e->now_us = v->now;
}

static struct edge_tag_view
see(const struct env *v, uint32_t domain, uint16_t vid)
{
    struct edge_tag_view t;
    for (uint32_t it = 0; edge_each_tag(v->e, &it, &t, v->now);)
        if (t.domain == domain && t.vid == vid)
            return t;
    return (struct edge_tag_view){.state = TAG_FREE};
}

static void
test_life_of_a_tag(void **state)
{
    (void)state;
    struct env *v = env_new(false);
    uint64_t hold_us = edge_settings[SET_TAG_HOLD_US].def;
    assert_int_equal(get(v, 1, 100, 0, TAG_OK), 2); /* 0 and 1 are never handed out */
    assert_int_equal(get(v, 1, 100, 0, TAG_OK), 2);
    assert_int_equal(get(v, 1, 200, 0, TAG_OK), 3);
    assert_int_equal(get(v, 3, 200, 0, TAG_OK), 2); /* another domain */
    assert_int_equal(see(v, 1, 2).state, TAG_HELD);
    assert_int_equal(see(v, 1, 2).refs, 2);
    tag_activate(v->e, tag_domain(v->e, 1), 2, true);
    assert_int_equal(see(v, 1, 2).state, TAG_USED);
    tag_activate(v->e, tag_domain(v->e, 1), 2, false);
    put(v, 1, 2);
    put(v, 1, 2);
    assert_int_equal(see(v, 1, 2).state, TAG_DRAIN);
    assert_true(see(v, 1, 2).hold_left_us == hold_us);
    get(v, 1, 300, 2, TAG_CONFLICT); /* late frames with 2 are still VN 100's (F16) */
    pass(v, hold_us / 2);
    assert_int_equal(get(v, 1, 100, 0, TAG_OK), 2); /* its own VN may have it back */
    put(v, 1, 2);
    pass(v, hold_us / 2 + 1);
    assert_int_equal(see(v, 1, 2).state, TAG_DRAIN); /* the hold began anew */
    pass(v, hold_us / 2);
    assert_int_equal(see(v, 1, 2).state, TAG_FREE);
    assert_int_equal(tag_vni(v->e, tag_domain(v->e, 1), 2), 0);
    assert_int_equal(get(v, 1, 300, 2, TAG_OK), 2);
    env_free(v);
}

static void
test_proposals_and_reserved(void **state)
{
    (void)state;
    struct env *v = env_new(false);
    assert_int_equal(get(v, 1, 100, 1234, TAG_OK), 1234);
    get(v, 1, 200, 1234, TAG_CONFLICT);
    assert_int_equal(
        get(v, 1, 100, 0, TAG_OK), 1234); /* the VN's VID, not a second one */
    assert_int_equal(get(v, 1, 100, 99, TAG_OK), 99); /* unless it is asked for */
    get(v, 1, 100, 1, TAG_RESERVED);
    get(v, 3, 100, 10, TAG_RESERVED);
    get(v, 3, 100, 19, TAG_RESERVED);
    get(v, 1, 100, 4095, TAG_RESERVED);
    assert_int_equal(get(v, 3, 100, 20, TAG_OK), 20);
    for (uint32_t vni = 500; vni < 508; vni++)
        get(v, 3, vni, 0, TAG_OK);                   /* 2 .. 9 */
    assert_int_equal(get(v, 3, 600, 0, TAG_OK), 21); /* 10 .. 19 reserved, 20 is held */
    env_free(v);
}

/* Free VIDs come back in the order they were freed, after all that were never used. */
static void
test_least_recently_used(void **state)
{
    (void)state;
    struct env *v = env_new(false);
    for (uint32_t vni = 1; vni <= 4093; vni++)
        get(v, 1, vni, 0, TAG_OK);
    get(v, 1, 5000, 0, TAG_EXHAUSTED);
    static const uint16_t order[] = {700, 3, 4094, 12};
    for (int i = 0; i < 4; i++) {
        put(v, 1, order[i]);
        pass(v, 1000);
    }
    get(v, 1, 5000, 0, TAG_EXHAUSTED); /* they drain */
    pass(v, edge_settings[SET_TAG_HOLD_US].def);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(get(v, 1, 5000 + i, 0, TAG_OK), order[i]);
    get(v, 1, 6000, 0, TAG_EXHAUSTED);
    env_free(v);
}

static void
test_cancel(void **state)
{
    (void)state;
    struct env *v = env_new(false);
    uint32_t d = tag_domain(v->e, 1);
    get(v, 1, 100, 0, TAG_OK);
    tag_cancel(v->e, d, 2);
    assert_int_equal(see(v, 1, 2).state, TAG_FREE); /* nobody was told */
    get(v, 1, 100, 2, TAG_OK);
    put(v, 1, 2);
    get(v, 1, 100, 2, TAG_OK);
    tag_cancel(v->e, d, 2);
    assert_int_equal(see(v, 1, 2).state, TAG_DRAIN); /* somebody was, before */
    env_free(v);
}

/* The journal's records give the same VIDs, DRAIN included. */
static void
test_restart(void **state)
{
    (void)state;
    struct env *v = env_new(false);
    env_do(v, TNS_ASSOC, 1, 1, 11, 1);
    env_do(v, TNS_ASSOC, 1, 2, 12, 2);
    env_do(v, TNS_ASSOC, 2, 3, 13, 3);
    env_do(v, TNS_TERMINATE, 1, 1, 0, 0);
    env_restart(v);
    env_run(v);
    assert_int_equal(see(v, 1, 2).state, TAG_DRAIN);
    assert_int_equal(see(v, 1, 2).vni, 11);
    assert_int_equal(see(v, 1, 3).state, TAG_USED);
    assert_int_equal(see(v, 1, 4).vni, 13);
    assert_int_equal(env_do(v, TNS_ASSOC, 1, 4, 14, 4)->entries[0].vid, 5);
    env_quiet(v);
    env_free(v);
}

/* A naive model: per VID the VN, references and the time of the last put. */
static void
test_random_use(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct {
            uint32_t vni, refs;
            uint64_t free_at;
        } m[64] = {0};
        struct rng r;
        struct env *v = env_new(false);
        uint64_t hold_us = edge_settings[SET_TAG_HOLD_US].def;
        rng_seed(&r, seed);
        uint32_t d = tag_domain(v->e, 9);
        tag_reserve(v->e, d, 64, VID_MAX);
        for (int i = 0; i < 3000; i++) {
            uint16_t vid = (uint16_t)(2 + rng_below(&r, 62));
            uint32_t vni = 1 + rng_below(&r, 80);
            v->e->now_us = v->now;
            for (int k = 0; k < 64; k++)
                if (m[k].vni && m[k].refs == 0 && m[k].free_at <= v->now)
                    m[k].vni = 0;
            uint16_t got = 0;
            switch (rng_below(&r, 4)) {
            case 0:
                if (tag_get(v->e, d, vni, vid, &got) == TAG_OK) {
                    assert_true(m[vid].vni == 0 || m[vid].vni == vni);
                    m[vid].vni = vni;
                    m[vid].refs++;
                } else {
                    assert_true(m[vid].vni != 0 && m[vid].vni != vni);
                }
                break;
            case 1:
                if (tag_get(v->e, d, vni, 0, &got) == TAG_OK) {
                    assert_true(got >= 2 && got < 64);
                    assert_true(m[got].vni == 0 || m[got].vni == vni);
                    m[got].vni = vni;
                    m[got].refs++;
                } else {
                    for (int k = 2; k < 64; k++)
                        assert_true(m[k].vni != 0 && m[k].vni != vni);
                }
                break;
            case 2:
                if (m[vid].refs) {
                    tag_put(v->e, d, vid);
                    if (--m[vid].refs == 0)
                        m[vid].free_at = v->now + hold_us;
                }
                break;
            default:
                pass(v, rng_below(&r, 3) ? rng_below(&r, 2000000) : 0);
                break;
            }
            env_pull(v);
        }
        for (uint16_t k = 2; k < 64; k++) {
            struct edge_tag_view t = see(v, 9, k);
            assert_int_equal(t.refs, m[k].refs);
            if (m[k].refs)
                assert_int_equal(t.vni, m[k].vni);
        }
        env_free(v);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life_of_a_tag),
        cmocka_unit_test(test_proposals_and_reserved),
        cmocka_unit_test(test_least_recently_used),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_random_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
