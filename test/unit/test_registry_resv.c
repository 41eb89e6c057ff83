/* SPDX-License-Identifier: Apache-2.0 */
/* What is reserved, by whom, and who is told of it (K4). */
#include "registry_rig.h"

/* K4: reserved at the start of a migration; the carried, known and reserved ones count.
 */
static void
test_reserve(void **state)
{
    (void)state;
    uint64_t e1 = reg(1, rec_n(0, 1, 0), true)->rec.epoch;
    struct mapping_rec m = rec_n(0, 1, e1);
    m.migration_id = 4711;
    registry_reserve(R, S[2].nve, 5, &m, now);
    const struct registry_out *o = answer();
    assert_int_equal(o->type, REG_GRANT);
    uint64_t e2 = o->rec.epoch;
    assert_true(e2 > e1);
    registry_reserve(R, S[2].nve, 6, &m, now); /* repeated: the same number */
    assert_int_equal(answer()->rec.epoch, e2);
    m.migration_id = 4712;
    registry_reserve(R, S[3].nve, 7, &m, now);
    uint64_t e3 = answer()->rec.epoch;
    assert_true(e3 > e2);
    /* The owner goes on as it is; the targets come in any order, the newest wins (E1).
     */
    struct mapping_rec own = rec_n(0, 1, e1);
    own.migration_id = 0;
    struct registry_map_view v;
    uint32_t it = 0;
    assert_true(registry_each_mapping(R, &it, &v));
    own.migration_id = v.rec.migration_id;
    assert_int_equal(reg(1, own, false)->type, REG_REGISTERED);
    m.epoch = e3;
    m.migration_id = 999;
    assert_int_equal(
        reg(3, m, false)->reason, REG_CONFLICT); /* not the one that reserved it */
    m.migration_id = 4712;
    assert_int_equal(reg(3, m, false)->type, REG_REGISTERED);
    m.epoch = e2;
    m.migration_id = 4711;
    assert_int_equal(reg(2, m, false)->reason, REG_STALE);
    /* A number beyond ours, chosen while we were away (E5): the next one is above it.
     */
    m.epoch = e3 + 1000000;
    assert_int_equal(reg(2, m, false)->type, REG_REGISTERED);
    o = reg(3, rec_n(0, 1, 0), true);
    assert_true(o->rec.epoch > m.epoch);
    assert_true(disk.hwm > o->rec.epoch);
    for (uint32_t i = 0; i < 20; i++) { /* bounded */
        m = rec_n(1, i, 0);
        registry_reserve(R, S[2 + i / 4].nve, 100 + i, &m, now);
    }
    run();
    assert_int_equal(n_answers, 20);
    assert_int_equal(answers[15].type, REG_GRANT);
    assert_int_equal(answers[19].reason, REG_FULL);
    n_answers = 0;
    tick(101000000); /* reservations end */
    m = rec_n(1, 19, 0);
    registry_reserve(R, S[2].nve, 100, &m, now);
    assert_int_equal(answer()->type, REG_GRANT);
}

/* The old NVE hears where a VM is going to, whatever its station says (K4, X5). */
static void
test_reserved_notice(void **state)
{
    (void)state;
    reserve(2, 0, 1, 11); /* nobody has it */
    assert_int_equal(answer()->type, REG_GRANT);
    for (uint32_t i = 1; i <= N_NVE; i++)
        assert_int_equal(S[i].n_reserved, 0);
    struct mapping_rec r1 = reg(1, rec_n(0, 1, 0), true)->rec; /* newer than that */
    assert_int_equal(S[1].n_reserved, 0);
    reserve(1, 0, 1, 12); /* its own: both servers on one NVE (F15) */
    answer();
    assert_int_equal(S[1].n_reserved, 0);
    reserve(2, 0, 1, 13);
    uint64_t e2 = answer()->rec.epoch;
    told(1, 1, 2, e2, 13);
    reserve(2, 0, 1, 13); /* repeated */
    assert_int_equal(answer()->rec.epoch, e2);
    assert_int_equal(S[1].n_reserved, 1);
    reserve(3, 0, 1, 13); /* another NVE never gets the same number */
    uint64_t e3 = answer()->rec.epoch;
    assert_true(e3 > e2);
    told(1, 2, 3, e3, 13);
    /* The owner's session is lost: told when it has registered again, not before. */
    registry_nve_down(R, S[1].nve, now);
    reserve(4, 0, 1, 14);
    uint64_t e4 = answer()->rec.epoch;
    up(1);
    run();
    registry_register(R, S[1].nve, 77, &r1, false, true, now);
    assert_int_equal(answer()->type, REG_REGISTERED);
    assert_int_equal(S[1].n_reserved, 0);
    registry_register_end(R, S[1].nve, now);
    run();
    told(1, 1, 4, e4, 14);
    /* An older migration ends while a newer one is under way. */
    struct mapping_rec r3 = rec_n(0, 1, e3);
    r3.migration_id = 13;
    assert_int_equal(reg(3, r3, false)->type, REG_REGISTERED);
    told(3, 1, 4, e4, 14);
    assert_int_equal(S[1].n_reserved, 1);
    /* It ends, too: nothing more to say. */
    struct mapping_rec r4 = rec_n(0, 1, e4);
    r4.migration_id = 14;
    assert_int_equal(reg(4, r4, false)->type, REG_REGISTERED);
    uint32_t it = 0;
    struct registry_resv_view v;
    assert_false(registry_each_reservation(R, &it, &v));
    up(4);
    registry_register(R, S[4].nve, 77, &r4, false, true, now);
    answer();
    registry_register_end(R, S[4].nve, now);
    run();
    assert_int_equal(S[4].n_reserved, 0);
    /* Given up by who reserved, and by nobody else. */
    reserve(5, 0, 1, 15);
    uint64_t e5 = answer()->rec.epoch;
    told(4, 1, 5, e5, 15);
    struct mapping_rec w = rec_n(0, 1, e5);
    assert_int_equal(withdraw(3, w)->reason, REG_NOT_OWNER);
    tick(1000);
    it = 0;
    assert_true(registry_each_reservation(R, &it, &v));
    struct ip v4 = vtep_n(4), v5 = vtep_n(5);
    assert_true(v.epoch == e5 && v.migration_id == 15 && v.vni == vni_n(0) &&
                ip_equal(&v.target, &v5) && ip_equal(&v.owner, &v4) &&
                v.age_us == 1000);
    assert_int_equal(withdraw(5, w)->reason, REG_NOT_OWNER);
    it = 0;
    assert_false(registry_each_reservation(R, &it, &v));
    /* The NVE that reserved is gone for good; a roll back is newer. */
    reserve(5, 0, 1, 16);
    answer();
    registry_nve_down(R, S[5].nve, now);
    tick(19000000);
    it = 0;
    assert_true(registry_each_reservation(R, &it, &v));
    tick(2000000);
    it = 0;
    assert_false(registry_each_reservation(R, &it, &v));
    reserve(6, 0, 1, 17);
    answer();
    told(4, 5, 6, S[4].reserved.rec.epoch, 17); /* two of them were void */
    reg(4, rec_n(0, 1, 0), true);
    it = 0;
    assert_false(registry_each_reservation(R, &it, &v));
}

/* A foreign router keeps no tombstone: it is told nothing. */
static void
test_reserved_foreign(void **state)
{
    (void)state;
    struct ip vtep = vtep_n(100);
    uint32_t f = registry_nve_up(R, "router", &vtep, true, now);
    struct mapping_rec m = rec_n(0, 1, 5);
    registry_register(R, f, 77, &m, false, false, now);
    struct registry_out o;
    while (registry_output(R, &o))
        assert_true(o.nve != f || o.type == REG_REGISTERED || o.type == REG_CONFIRM);
    reserve(2, 0, 1, 11);
    while (registry_output(R, &o))
        assert_true(o.type == REG_GRANT || o.type == REG_STORE);
}

/* The authority restarts between reservation and registration (K4, K7): the number
 * holds, its id is still asked for, and the owner is told again. */
static void
test_reserved_restart(void **state)
{
    (void)state;
    struct mapping_rec r1 = reg(1, rec_n(0, 1, 0), true)->rec;
    reserve(2, 0, 1, 11);
    struct mapping_rec r2 = rec_n(0, 1, answer()->rec.epoch);
    reserve(3, 0, 1, 12);
    struct mapping_rec r3 = rec_n(0, 1, answer()->rec.epoch);
    r2.migration_id = 11;
    for (int late = 0; late < 2; late++) {
        restart();
        for (uint32_t i = 1; i <= N_NVE; i++)
            up(i);
        run();
        n_answers = 0;
        if (late) { /* the target is quicker than the old owner */
            r3.migration_id = 13;
            assert_int_equal(reg(3, r3, false)->reason, REG_CONFLICT);
            r3.migration_id = 12;
            assert_int_equal(reg(3, r3, false)->type, REG_REGISTERED);
            assert_int_equal(reg(1, r1, false)->reason, REG_STALE);
            break;
        }
        registry_register(R, S[1].nve, 77, &r1, false, true, now);
        assert_int_equal(answer()->type, REG_REGISTERED);
        for (uint32_t i = 1; i <= N_NVE; i++) {
            if (i == 2 || i == 3) { /* asked again, as what is owned is said again */
                reserve(i, 0, 1, 9 + i);
                assert_int_equal(answer()->rec.epoch, i == 2 ? r2.epoch : r3.epoch);
            }
            registry_register_end(R, S[i].nve, now);
        }
        run();
        told(1, 1, 3, r3.epoch, 12);
        reserve(3, 0, 1, 12); /* asked again: its answer was lost */
        assert_int_equal(answer()->rec.epoch, r3.epoch);
    }
    assert_int_equal(disk.resvs[key_of(&r3)][2].epoch, 0); /* done with */
    assert_int_equal(disk.resvs[key_of(&r3)][3].epoch, 0);
    for (uint32_t i = 1; i <= N_NVE; i++)
        registry_register_end(R, S[i].nve, now);
    run();
    n_answers = 0;
    assert_int_equal(reg(2, r2, false)->reason, REG_STALE); /* the older attempt */
    assert_true(reg(1, rec_n(0, 1, 0), true)->rec.epoch > r3.epoch);
}

/* K4: it ends without a move. The owner hears so, and what counts instead. */
static void
test_reservation_ends(void **state)
{
    (void)state;
    struct mapping_rec all = rec_n(0, 1, EPOCH_RESERVED);
    reg(1, rec_n(0, 1, 0), true);
    reserve(2, 0, 1, 11);
    uint64_t e2 = answer()->rec.epoch;
    reserve(3, 0, 1, 12);
    uint64_t e3 = answer()->rec.epoch;
    reserve(4, 0, 1, 13);
    uint64_t e4 = answer()->rec.epoch;
    told(1, 3, 4, e4, 13);
    /* An older attempt: nobody had to do with it. Another's word ends nothing. */
    assert_int_equal(withdraw(3, all)->type, REG_REGISTERED);
    assert_int_equal(withdraw(5, all)->type, REG_REGISTERED);
    assert_int_equal(S[1].n_reserved, 3);
    assert_int_equal(n_reservations(), 2);
    assert_true(
        disk.resvs[key_of(&all)][4].epoch && !disk.resvs[key_of(&all)][3].epoch);
    /* The one that counts: void, and the first attempt instead. */
    S[1].n_reserved = 0;
    withdraw(4, all);
    told(1, 2, 2, e2, 11);
    withdraw(2, all);
    told_void(1, 3, 2, e2);
    assert_int_equal(n_reservations(), 0);
    /* Its own mapping an NVE keeps, whatever it has reserved besides (F15). */
    reserve(1, 0, 1, 14);
    answer();
    assert_int_equal(withdraw(1, all)->type, REG_REGISTERED);
    assert_int_equal(withdraw(1, all)->type, REG_REGISTERED);
    assert_int_equal(n_reservations(), 0);
    assert_int_equal(view(1).nve, S[1].nve);
    assert_int_equal(S[1].n_reserved, 3);
    (void)e3;
    /* By time. */
    reserve(2, 0, 1, 15);
    uint64_t e5 = answer()->rec.epoch;
    told(1, 4, 2, e5, 15);
    tick(101000000);
    told_void(1, 5, 2, e5);
    /* The NVE that reserved is gone for good, or came back and says it no more. */
    for (int k = 0; k < 2; k++) {
        S[1].n_reserved = 0;
        reserve(2, 0, 1, 16);
        uint64_t e6 = answer()->rec.epoch;
        reserve(5, 0, 1, 17);
        answer();
        told(1, 2, 5, S[1].reserved.rec.epoch, 17);
        registry_nve_down(R, S[5].nve, now);
        tick(k ? 1000000 : 21000000);
        up(5);
        run();
        registry_register_end(R, S[5].nve, now);
        run();
        told(1, 4, 2, e6, 16);
        withdraw(2, all);
    }
    /* What is said again in a new session stays. */
    reserve(5, 0, 1, 18);
    uint64_t e8 = answer()->rec.epoch;
    registry_nve_down(R, S[5].nve, now);
    up(5);
    registry_reserve(R, S[5].nve, 8, &all, now);
    assert_true(answer()->type == REG_GRANT && answers[0].rec.epoch == e8);
    registry_reserve(R, S[3].nve, 8, &all, now); /* that has none */
    assert_int_equal(answer()->reason, REG_STALE);
    registry_register_end(R, S[5].nve, now);
    run();
    assert_int_equal(n_reservations(), 1);
    told(1, 6, 5, e8, 18);
}

/* One NVE does not reserve so much that others cannot. */
static void
test_reservation_share(void **state)
{
    (void)state;
    uint32_t grants = 0;
    for (uint32_t i = 0; i < 12; i++) {
        reserve(2, 1, i, 100 + i);
        grants += answer()->type == REG_GRANT;
    }
    assert_int_equal(grants, 4); /* a quarter of 16 */
    reserve(3, 1, 0, 200);
    assert_int_equal(answer()->type, REG_GRANT);
    struct mapping_rec all = rec_n(1, 2, EPOCH_RESERVED);
    withdraw(2, all);
    reserve(2, 1, 7, 300);
    assert_int_equal(answer()->type, REG_GRANT);
}

/* A number belongs to who reserved it: another NVE that has overheard number and id
 * does not get the key, and cannot keep it from who may have it. */
static void
test_number_of_another(void **state)
{
    (void)state;
    reg(1, rec_n(0, 1, 0), true);
    reserve(2, 0, 1, 11);
    struct mapping_rec m = rec_n(0, 1, answer()->rec.epoch);
    m.migration_id = 11;
    assert_int_equal(reg(3, m, false)->reason, REG_CONFLICT);
    assert_int_equal(reg(1, m, false)->reason, REG_CONFLICT);
    assert_int_equal(reg(2, m, false)->type, REG_REGISTERED);
}

/* After a restart of the authority: who reserved and never comes back has reserved
 * nothing, and the owner hears of it as it would have without the restart. */
static void
test_reserved_by_the_dead(void **state)
{
    (void)state;
    struct mapping_rec own = reg(1, rec_n(0, 1, 0), true)->rec;
    reserve(2, 0, 1, 11);
    uint64_t e2 = answer()->rec.epoch;
    reserve(3, 0, 2, 12);
    answer();
    restart();
    up(1);
    up(3);
    run();
    n_answers = 0;
    assert_int_equal(reg(1, own, false)->type, REG_REGISTERED);
    struct mapping_rec m = rec_n(0, 2, EPOCH_RESERVED);
    m.migration_id = 12;
    registry_reserve(R, S[3].nve, 9, &m, now);
    assert_int_equal(answer()->type, REG_GRANT);
    registry_register_end(R, S[1].nve, now);
    registry_register_end(R, S[3].nve, now);
    run();
    told(1, 1, 2, e2, 11);
    tick(31000000);
    told_void(1, 2, 2, e2);
    assert_int_equal(n_reservations(), 1);
    tick(60000000);
    assert_int_equal(n_reservations(), 1); /* that stands as long as any */
    tick(40000000);
    assert_int_equal(n_reservations(), 0);
}

/* Numbers are not used up by who makes them up: a server behind an edge carries the
 * highest that is taken, again and again, in every way there is. */
static void
test_numbers_last(void **state)
{
    (void)state;
    uint64_t first = reg(1, rec_n(0, 1, 0), true)->rec.epoch, top = 0;
    for (uint32_t i = 0; i < 2000; i++) {
        struct mapping_rec m = rec_n(0, 1, 0);
        m.migration_id = 5000 + i;
        for (uint32_t bit = 62; bit > 0; bit--) {
            m.epoch = ((uint64_t)1 << bit) - 1;
            registry_register(R, S[2].nve, 0, &m, false, false, now);
            registry_reserve(R, S[2].nve, 0, &m, now);
            m.epoch = EPOCH_RESERVED;
            registry_register(R, S[2].nve, 0, &m, false, false, now);
            m.epoch = EPOCH_RESERVED - 1;
            registry_reserve(R, S[2].nve, 0, &m, now);
        }
        run();
        tick(10000);
    }
    n_answers = 0;
    top = reg(1, rec_n(0, 1, 0), true)->rec.epoch;
    assert_true(top > first && top < first + ((uint64_t)2 << 32));
    assert_int_equal(reg(2, rec_n(0, 2, 0), true)->type, REG_REGISTERED);
    /* What edges have chosen while they were alone is taken an hour later. */
    assert_int_equal(
        reg(3, rec_n(0, 3, top + ((uint64_t)1 << 31)), false)->reason, REG_POLICY);
    tick(3600000000ull);
    for (uint32_t i = 1; i <= N_NVE; i++)
        up(i);
    assert_int_equal(
        reg(3, rec_n(0, 3, top + ((uint64_t)1 << 31)), false)->type, REG_REGISTERED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_reserve),
        T(test_reserved_notice),
        T(test_reserved_foreign),
        T(test_reserved_restart),
        T(test_reservation_ends),
        T(test_reservation_share),
        T(test_number_of_another),
        T(test_numbers_last),
        T(test_reserved_by_the_dead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
