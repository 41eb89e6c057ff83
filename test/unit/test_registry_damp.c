/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that are claimed in turns (E5). */
#include "registry_rig.h"

static const uint64_t M = 180000000;

static struct mapping_rec
of_vsi(struct mapping_rec r, uint64_t vsi)
{
    r.vsi = vsi;
    return r;
}

static uint32_t
owner_of(uint32_t n)
{
    struct registry_map_view v = view(n);
    for (uint32_t i = 1; i <= N_NVE; i++) {
        struct ip ip = vtep_n(i);
        if (ip_equal(&v.rec.owner, &ip))
            return i;
    }
    return 0;
}

static bool
rival_is(uint32_t n, uint32_t nve)
{
    struct registry_map_view v = view(n);
    struct ip ip = vtep_n(nve);
    return v.frozen_s && ip_equal(&v.rival, &ip);
}

/* E5: claims in turns without a migration are stopped, and only they. */
static void
test_damping(void **state)
{
    (void)state;
    struct mapping_rec r = rec_n(0, 1, 0);
    reg(1, r, true);
    /* Five moves are a busy day, one more is two stations. */
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(reg(2 - i % 2, r, true)->type, REG_REGISTERED);
        assert_false(view(1).frozen_s);
        tick(1000000);
    }
    uint64_t told_at = registry_counter(R, REGC_DAMPED);
    const struct registry_out *o = reg(3, r, true);
    struct ip v2 = vtep_n(2);
    assert_true(o->type == REG_REJECT && o->reason == REG_CONFLICT);
    assert_true(ip_equal(&o->rec.owner, &v2)); /* who has it */
    assert_int_equal(view(1).frozen_s, 180);
    assert_true(rival_is(1, 1)); /* not yet at home */
    assert_int_equal(registry_counter(R, REGC_DAMPED), told_at + 1);
    assert_int_equal(reg(2, r, true)->type, REG_REGISTERED); /* the owner's own */
    assert_int_equal(
        reg(3, rec_n(0, 2, 0), true)->type, REG_REGISTERED); /* another key */
    /* Who had it before the turns gets it back, and nobody else. */
    assert_int_equal(reg(1, r, true)->type, REG_REGISTERED);
    assert_int_equal(reg(2, r, true)->reason, REG_CONFLICT);
    assert_int_equal(owner_of(1), 1);
    assert_true(rival_is(1, 2));
    /* To try again prolongs nothing. */
    for (uint32_t i = 0; i < 179; i++) {
        tick(1000000);
        assert_int_equal(reg(2, r, true)->reason, REG_CONFLICT);
    }
    tick(1000000);
    assert_int_equal(view(1).frozen_s, 0);
    assert_int_equal(reg(2, r, true)->type, REG_REGISTERED);
    /* Slow moves are none of it. */
    for (uint32_t i = 0; i < 20; i++) {
        tick(M / 4);
        assert_int_equal(reg(1 + i % 2, r, true)->type, REG_REGISTERED);
    }
    /* A migration is somebody's intent: never refused, and it ends the count. */
    tick(M);
    for (uint32_t i = 0; i < 8; i++)
        reg(1 + i % 2, r, true);
    assert_true(view(1).frozen_s);
    for (uint32_t i = 0; i < 20; i++) {
        reserve(3 + i % 2, 0, 1, 100 + i);
        struct mapping_rec m = rec_n(0, 1, answer()->rec.epoch);
        m.migration_id = 100 + i;
        assert_int_equal(reg(3 + i % 2, m, false)->type, REG_REGISTERED);
        assert_false(view(1).frozen_s);
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
    damp_moves = 255;
    struct registry_conf conf = conf_of();
    damp_moves = 0;
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

/* Somebody knows a VM's VSI id and MAC and claims it, however he goes about it: after
 * the turns it is at its own place, and stays there while he tries. */
static void
test_stolen_by_turns(void **state)
{
    (void)state;
    enum { PLAIN, NUMBERED, LETS_GO, N_WAYS };
    for (uint32_t way = 0; way < N_WAYS; way++) {
        uint32_t n = 1 + way, refused = 0;
        struct mapping_rec r = of_vsi(rec_n(0, n, 0), 77), m;
        assert_int_equal(reg(1, r, true)->type, REG_REGISTERED);
        for (uint32_t i = 0; i < 40; i++) {
            m = r;
            m.epoch = way == NUMBERED ? view(n).rec.epoch + 1000 : 0;
            m.migration_id = 5000 + i;
            bool took = reg(2, m, way != NUMBERED)->type == REG_REGISTERED;
            refused += !took;
            if (took && way == LETS_GO)
                withdraw(2, r);
            tick(1000000);
            assert_int_equal(reg(1, r, true)->type, REG_REGISTERED);
            tick(1000000);
        }
        assert_int_equal(refused, way == LETS_GO ? 35 : 37); /* both count */
        assert_int_equal(owner_of(n), 1);
        assert_true(rival_is(n, 2));
    }
}

/* Two places take turns with a MAC that will be another's: who is signalled with it
 * gets it (K18), and they get it no more. */
static void
test_frozen_before_it_came(void **state)
{
    (void)state;
    struct mapping_rec r = rec_n(0, 1, 0);
    for (uint32_t i = 0; i < 10; i++)
        reg(1 + i % 2, r, true);
    assert_true(view(1).frozen_s);
    assert_int_equal(reg(3, of_vsi(r, 77), true)->type, REG_REGISTERED);
    assert_int_equal(owner_of(1), 3);
    assert_int_equal(reg(1, r, true)->reason, REG_CONFLICT);
    assert_int_equal(view(1).frozen_s, 0);
}

/* A number out of the air: no better than a claim (K18), but edges that say again what
 * they have are believed. */
static void
test_number_out_of_the_air(void **state)
{
    (void)state;
    struct mapping_rec r = of_vsi(rec_n(0, 1, 0), 77), m;
    uint64_t e = reg(1, r, true)->rec.epoch;
    m = of_vsi(rec_n(0, 1, e + 1000), 66);
    assert_int_equal(reg(2, m, false)->reason, REG_CONFLICT);
    m.vsi = 0;
    assert_int_equal(reg(2, m, false)->reason, REG_CONFLICT);
    registry_register(R, S[2].nve, 77, &m, false, true, now);
    assert_int_equal(answer()->reason, REG_CONFLICT);
    assert_int_equal(owner_of(1), 1);
    m.vsi = 66;
    up(2);
    assert_int_equal(reg(2, m, false)->type, REG_REGISTERED);
    registry_register_end(R, S[2].nve, now);
    assert_int_equal(owner_of(1), 2);
}

static void
test_cleared(void **state)
{
    (void)state;
    struct mapping_rec r = rec_n(0, 1, 0);
    assert_false(registry_thaw(R, vni_n(0), &r.mac, now));
    for (uint32_t i = 0; i < 10; i++)
        reg(1 + i % 2, r, true);
    assert_int_equal(owner_of(1), 1);
    assert_int_equal(reg(2, r, true)->reason, REG_CONFLICT);
    assert_false(registry_thaw(R, vni_n(1), &r.mac, now));
    assert_true(registry_thaw(R, vni_n(0), &r.mac, now));
    assert_int_equal(view(1).frozen_s, 0);
    assert_false(registry_thaw(R, vni_n(0), &r.mac, now));
    assert_int_equal(reg(2, r, true)->type, REG_REGISTERED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_damping),
        T(test_stolen_by_turns),
        T(test_frozen_before_it_came),
        T(test_number_out_of_the_air),
        T(test_cleared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
