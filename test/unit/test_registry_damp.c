/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that are claimed in turns (E5). */
#include "registry_rig.h"

/* E5: claims in turns without a migration are stopped, and only they. */
static void
test_damping(void **state)
{
    (void)state;
    const uint64_t M = 180000000;
    struct mapping_rec r = rec_n(0, 1, 0);
    reg(1, r, true);
    /* Five moves are a busy day, one more is two stations. */
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(reg(2 - i % 2, r, true)->type, REG_REGISTERED);
        assert_false(view(1).frozen);
        tick(1000000);
    }
    uint64_t told_at = registry_counter(R, REGC_DAMPED);
    const struct registry_out *o = reg(1, r, true);
    struct ip v2 = vtep_n(2);
    assert_true(o->type == REG_REJECT && o->reason == REG_CONFLICT);
    assert_true(ip_equal(&o->rec.owner, &v2)); /* who has it */
    assert_true(view(1).frozen);
    assert_int_equal(registry_counter(R, REGC_DAMPED), told_at + 1);
    assert_int_equal(reg(2, r, true)->type, REG_REGISTERED); /* the owner's own */
    assert_int_equal(reg(3, r, true)->reason, REG_CONFLICT);
    assert_int_equal(
        reg(3, rec_n(0, 2, 0), true)->type, REG_REGISTERED); /* another key */
    /* Every attempt prolongs it; silence ends it. */
    tick(M - 1000000);
    assert_int_equal(reg(1, r, true)->reason, REG_CONFLICT);
    tick(M - 1000000);
    assert_true(view(1).frozen);
    assert_int_equal(reg(1, r, true)->reason, REG_CONFLICT);
    tick(M);
    assert_false(view(1).frozen);
    assert_int_equal(reg(1, r, true)->type, REG_REGISTERED);
    /* Slow moves are none of it. */
    for (uint32_t i = 0; i < 20; i++) {
        tick(M / 4);
        assert_int_equal(reg(2 - i % 2, r, true)->type, REG_REGISTERED);
    }
    /* A migration is somebody's intent: never refused, and it ends the count. */
    tick(M);
    for (uint32_t i = 0; i < 8; i++)
        reg(1 + i % 2, r, true);
    assert_true(view(1).frozen);
    for (uint32_t i = 0; i < 20; i++) {
        reserve(3 + i % 2, 0, 1, 100 + i);
        struct mapping_rec m = rec_n(0, 1, answer()->rec.epoch);
        m.migration_id = 100 + i;
        assert_int_equal(reg(3 + i % 2, m, false)->type, REG_REGISTERED);
        assert_false(view(1).frozen);
        if (i % 4 == 3) { /* taken back (E2) */
            assert_int_equal(reg(3, r, true)->type, REG_REGISTERED);
            assert_int_equal(reg(3, r, true)->type, REG_REGISTERED);
        }
    }
    /* Nor is a VM that ends here and begins there. */
    for (uint32_t i = 0; i < 20; i++) {
        struct mapping_rec m = reg(1 + i % 2, rec_n(0, 3, 0), true)->rec;
        assert_int_equal(withdraw(1 + i % 2, m)->type, REG_REGISTERED);
    }
    /* Off. */
    struct registry_conf conf = conf_of();
    conf.damp_moves = 255;
    registry_free(R);
    memset(&disk, 0, sizeof disk);
    R = registry_new(&conf, now);
    registry_loaded(R, now);
    put_vns(true);
    up(1);
    up(2);
    run();
    n_answers = 0;
    for (uint32_t i = 0; i < 400; i++)
        assert_int_equal(reg(1 + i % 2, r, true)->type, REG_REGISTERED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_damping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
