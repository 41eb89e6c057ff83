/* SPDX-License-Identifier: Apache-2.0 */
/* What each NVE is told: streams, confirmations, pulled keys. */
#include "registry_rig.h"

static void
test_stream(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 5; n++)
        reg(1, rec_n(0, n, 0), true);
    subscribe(2, 0);
    subscribe(3, 0);
    run();
    check_sub(2, true);
    assert_int_equal(S[2].n_notify, 5);
    assert_int_equal(S[2].n_snapshots, 1);
    /* Its own are not told back. */
    S[1].n_notify = 0;
    subscribe(1, 0);
    run();
    assert_int_equal(S[1].n_notify, 0);
    /* A blocked one costs nothing: many changes of one key become one message. */
    registry_nve_blocked(R, S[2].nve, true);
    S[2].n_notify = S[3].n_notify = 0;
    for (uint32_t i = 0; i < 100; i++)
        reg(4, rec_n(0, 1, 0), true);
    run();
    assert_int_equal(S[2].n_notify, 0);
    assert_int_equal(S[3].n_notify, 100);
    registry_nve_blocked(R, S[2].nve, false);
    run();
    assert_int_equal(S[2].n_notify, 1);
    check_sub(2, true);
    check_sub(3, true);
    /* A window of unacknowledged pushes: no more are sent. */
    S[2].n_notify = 0;
    for (uint32_t n = 0; n < 40; n++) {
        struct mapping_rec r = rec_n(0, n % N_KEY, 0);
        registry_register(R, S[5].nve, 0, &r, true, false, now);
        run_some(UINT32_MAX, false);
    }
    assert_true(S[2].n_notify <= 32);
    run();
    check_sub(2, true);
    /* Withdrawn and forgotten while it did not listen: a new snapshot tells it. */
    registry_nve_blocked(R, S[3].nve, true);
    struct registry_map_view v;
    for (uint32_t it = 0; registry_each_mapping(R, &it, &v);)
        registry_withdraw(R, v.nve, 0, &v.rec, now);
    assert_int_equal(registry_count(R), 0);
    tick(101000000);
    S[3].n_snapshots = 0;
    registry_nve_blocked(R, S[3].nve, false);
    run();
    assert_int_equal(S[3].n_snapshots, 1);
    check_sub(3, true);
    check_sub(2, true);
    for (int k = 0; k < KEYS; k++)
        assert_false(disk.epochs[k].used); /* T_forget */
    registry_unsubscribe(R, S[3].nve, vni_n(0), now);
    S[3].subscribed[0] = false;
    S[3].n_notify = 0;
    reg(1, rec_n(0, 1, 0), true);
    assert_int_equal(S[3].n_notify, 0);
    check_sub(2, true);
}

/* K6 REMOTE: confirmed when the slowest subscriber has acknowledged. */
static void
test_confirm(void **state)
{
    (void)state;
    subscribe(1, 0);
    subscribe(2, 0);
    subscribe(3, 0);
    run();
    uint32_t before = S[1].n_confirm;
    struct mapping_rec r = rec_n(0, 1, 0);
    registry_register(R, S[1].nve, 9, &r, true, false, now);
    run_some(UINT32_MAX, false);
    assert_int_equal(S[1].n_confirm, before);
    registry_ack(R, S[2].nve, S[2].seq, now);
    registry_ack(R, S[2].nve, S[2].seq + 5, now); /* a lie */
    run_some(UINT32_MAX, false);
    assert_int_equal(S[1].n_confirm, before);
    registry_ack(R, S[3].nve, S[3].seq, now);
    run_some(UINT32_MAX, false);
    assert_int_equal(S[1].n_confirm, before + 1);
    assert_int_equal(S[1].confirmed.epoch, answers[n_answers - 1].rec.epoch);
    /* A subscriber that leaves is not waited for; one that comes later is not either.
     */
    S[2].acked = S[2].seq;
    S[3].acked = S[3].seq;
    registry_register(R, S[1].nve, 10, &r, true, false, now);
    run_some(UINT32_MAX, false);
    registry_ack(R, S[2].nve, S[2].seq, now);
    subscribe(4, 0);
    registry_nve_down(R, S[3].nve, now);
    S[3].nve = 0;
    run_some(UINT32_MAX, false);
    assert_int_equal(S[1].n_confirm, before + 2);
    /* Overtaken before it was sent: the one that took it over needs no word of it. */
    run();
    registry_nve_blocked(R, S[2].nve, true);
    registry_register(R, S[1].nve, 11, &r, true, false, now);
    run();
    assert_int_equal(S[1].n_confirm, before + 2);
    registry_register(R, S[2].nve, 12, &r, true, false, now);
    registry_nve_blocked(R, S[2].nve, false);
    run();
    assert_int_equal(S[1].n_confirm, before + 3);
    assert_int_equal(S[2].n_confirm, 1);
}

static void
test_pull(void **state)
{
    (void)state;
    struct mapping_rec r;
    uint32_t owner;
    struct mac m1 = mac_n(1), m2 = mac_n(2);
    struct ip i1 = ip_v4(0xc0a80001), i2 = ip_v4(0xc0a80002);
    reg(1, rec_n(0, 1, 0), true);
    assert_int_equal(
        registry_lookup(R, S[2].nve, vni_n(0), &m1, NULL, &r, &owner, now), REG_FOUND);
    assert_int_equal(owner, S[1].nve);
    assert_int_equal(
        registry_lookup(R, S[2].nve, vni_n(0), NULL, &i1, &r, &owner, now), REG_FOUND);
    assert_true(mac_equal(&r.mac, &m1));
    assert_int_equal(registry_lookup(R, S[2].nve, vni_n(7), NULL, &i1, &r, &owner, now),
        REG_UNKNOWN_VN);
    /* Negative subscribes too: it hears when the address appears, and when it goes
     * (K8). */
    assert_int_equal(
        registry_lookup(R, S[3].nve, vni_n(0), NULL, &i2, &r, &owner, now), REG_ABSENT);
    assert_int_equal(
        registry_lookup(R, 0, vni_n(0), &m2, NULL, &r, &owner, now), REG_ABSENT);
    S[2].n_notify = S[3].n_notify = 0;
    reg(4, rec_n(0, 2, 0), true);
    assert_int_equal(S[3].n_notify, 1);
    assert_int_equal(S[2].n_notify, 0);
    uint64_t e = reg(5, rec_n(0, 1, 0), true)->rec.epoch;
    assert_int_equal(S[2].n_notify, 2); /* it asked by MAC and by IP */
    r = rec_n(0, 1, e);
    withdraw(5, r);
    assert_int_equal(S[2].n_negative, 2);
    r = rec_n(0, 2, 0);
    r.n_ips = 0;
    reg(4, r, true); /* the address alone goes */
    assert_int_equal(S[3].n_negative, 1);
    assert_true(ip_equal(&S[3].negative.ips[0], &i2));
    /* Now a VSI of VN 0 has unknown addresses: those who hold such are asked (K8). */
    struct ip i9 = ip_v4(0xc0a80009);
    assert_int_equal(
        registry_lookup(R, S[3].nve, vni_n(0), NULL, &i9, &r, &owner, now), REG_LATER);
    run();
    assert_int_equal(S[4].n_who_has, 1);
    assert_int_equal(S[1].n_who_has, 0);
    assert_int_equal(
        registry_lookup(R, S[3].nve, vni_n(0), NULL, &i9, &r, &owner, now), REG_LATER);
    now += 400000;
    assert_int_equal(
        registry_lookup(R, S[3].nve, vni_n(0), NULL, &i9, &r, &owner, now), REG_ABSENT);
    run();
    assert_int_equal(S[4].n_who_has, 1);
    struct mapping_rec r2 = rec_n(0, 2, 0);
    r2.ips[0] = i9;
    S[3].n_notify = 0;
    reg(4, r2, true);
    assert_int_equal(S[3].n_notify, 1);
    /* Bounded: the oldest makes room and is forgotten at the asker. */
    for (uint32_t i = 0; i < 200; i++) {
        struct mac m = mac_n(1000 + i);
        registry_lookup(R, S[2].nve, vni_n(0), &m, NULL, &r, &owner, now);
    }
    run();
    struct registry_nve_view v;
    uint32_t total = 0;
    for (uint32_t it = 0; registry_each_nve(R, &it, &v);)
        total += v.n_key_subs;
    assert_true(total <= 64);
}

static void
test_talkers(void **state)
{
    (void)state;
    struct ip a = vtep_n(1), src = ip_v4(1), dst;
    for (uint32_t round = 0; round < 3; round++)
        for (uint32_t i = 0; i < 8; i++) {
            dst = ip_v4(0xc0a80000 + i);
            registry_talk(R, vni_n(0), &a, &src, &dst, NULL, now + i);
        }
    dst = ip_v4(0xc0a80000);
    registry_talk(R, vni_n(0), &a, &src, &dst, NULL, now + 100);
    dst = ip_v4(0xc0a80099);
    registry_talk(R, vni_n(0), &a, &src, &dst, NULL, now + 101); /* number 1 goes */
    struct registry_talk_view v;
    uint32_t n = 0, sum = 0;
    for (uint32_t it = 0; registry_each_talk(R, &it, &v); n++) {
        sum += (uint32_t)v.count;
        struct ip gone = ip_v4(0xc0a80001);
        assert_false(ip_equal(&v.dst, &gone));
    }
    assert_int_equal(n, 8);
    assert_int_equal(sum, 4 + 6 * 3 + 1);
}

/* ---- a key that goes from one NVE to another ---- */

static const struct mapping_rec *
seen(uint32_t nve)
{
    return &S[nve].keys[1].rec;
}

static bool
knows(uint32_t nve, uint32_t owner)
{
    struct ip v = vtep_n(owner);
    return S[nve].keys[1].live && ip_equal(&seen(nve)->owner, &v);
}

/* NVE 1 has key 1 of VN 0; 2 and 3 subscribe, 4 has pulled its MAC, 5 its address. */
static void
one_key(void)
{
    struct mapping_rec r = rec_n(0, 1, 0), found;
    uint32_t owner;
    reg(1, r, true);
    subscribe(2, 0);
    subscribe(3, 0);
    registry_lookup(R, S[4].nve, r.vni, &r.mac, NULL, &found, &owner, now);
    registry_lookup(R, S[5].nve, r.vni, NULL, &r.ips[0], &found, &owner, now);
    run();
    assert_true(knows(2, 1) && knows(3, 1));
}

static void
take(uint32_t nve)
{
    struct mapping_rec r = rec_n(0, 1, 0);
    registry_register(R, S[nve].nve, 5, &r, true, false, now);
    run_some(UINT32_MAX, false);
}

static void
heard(uint32_t nve)
{
    registry_ack(R, S[nve].nve, S[nve].seq, now);
    run_some(UINT32_MAX, false);
}

static void
test_former_owner_first(void **state)
{
    (void)state;
    one_key();
    uint32_t others = S[4].n_notify + S[5].n_notify;
    take(2);
    assert_true(knows(1, 2) && knows(3, 1));
    assert_int_equal(S[4].n_notify + S[5].n_notify, others);
    assert_int_equal(registry_deadline(R), now + 20000);
    assert_true(view(1).unconfirmed);
    heard(3); /* not its word that is waited for */
    assert_true(knows(3, 1));
    /* Another key of the VN waits its turn behind it; a snapshot does not. */
    struct mapping_rec fresh = rec_n(0, 2, 0);
    registry_register(R, S[2].nve, 0, &fresh, true, false, now);
    subscribe(6, 0);
    run_some(UINT32_MAX, false);
    assert_true(knows(6, 2) && S[6].complete[0] && knows(3, 1));
    assert_false(S[3].keys[2].live);
    uint32_t confirms = S[2].n_confirm, once = S[1].n_notify;
    heard(6);
    heard(1);
    assert_true(knows(3, 2) && knows(4, 2) && knows(5, 2) && S[3].keys[2].live);
    assert_int_equal(S[1].n_notify, once); /* it has been told */
    assert_int_equal(S[4].n_notify + S[5].n_notify, others + 2);
    assert_true(registry_deadline(R) > now + 20000);
    assert_int_equal(S[2].n_confirm, confirms);
    heard(3); /* not before all the others have it */
    assert_int_equal(S[2].n_confirm, confirms + 1);
    assert_int_equal(S[2].confirmed.epoch, seen(3)->epoch);
    check_sub(3, true);
    check_sub(6, true);
}

static void
test_former_owner_late(void **state)
{
    (void)state;
    one_key();
    registry_nve_blocked(R, S[1].nve, true);
    take(2);
    now += 19999;
    registry_tick(R, now);
    run_some(UINT32_MAX, false);
    assert_true(knows(3, 1));
    now += 1;
    registry_tick(R, now);
    run_some(UINT32_MAX, false);
    assert_true(knows(3, 2) && knows(4, 2) && knows(5, 2));
    registry_nve_blocked(R, S[1].nve, false);
    run();
    assert_true(knows(1, 2));
    /* Gone: its session is not waited for, nor a fresh key or a refresh. */
    registry_nve_down(R, S[2].nve, now);
    S[2].nve = 0;
    take(1);
    assert_true(knows(3, 1));
    struct mapping_rec r = *seen(3);
    r.n_ips = 1;
    registry_register(R, S[1].nve, 0, &r, false, false, now);
    run_some(UINT32_MAX, false);
    assert_int_equal(seen(3)->n_ips, 1);
    /* Its session ends while it is waited for: the bound stands. */
    run();
    take(4);
    assert_true(knows(3, 1));
    registry_nve_bye(R, S[1].nve, now);
    S[1].nve = 0;
    now += 20000;
    registry_tick(R, now);
    run_some(UINT32_MAX, false);
    assert_true(knows(3, 4));
}

/* 1 -> 2 -> 6, -> 1: who had it hears each; the others the last one, within the first
 * bound. */
static void
test_former_owner_superseded(void **state)
{
    (void)state;
    one_key();
    take(2);
    uint64_t old = S[1].seq;
    now += 15000;
    uint32_t n = S[3].n_notify;
    take(6);
    assert_true(knows(1, 6) && knows(2, 6) && knows(3, 1));
    registry_ack(R, S[1].nve, old, now); /* of the first move */
    heard(1);
    assert_true(knows(3, 1));
    heard(2);
    assert_true(knows(3, 6));
    assert_int_equal(S[3].n_notify, n + 1);
    run();
    take(2);
    now += 15000;
    take(1);
    assert_true(knows(6, 1) && knows(3, 6));
    now += 5000;
    registry_tick(R, now);
    run_some(UINT32_MAX, false);
    assert_true(knows(3, 1));
    run();
    /* Withdrawn meanwhile: told at once, once. */
    take(2);
    n = S[3].n_notify;
    struct mapping_rec r = view(1).rec;
    registry_withdraw(R, S[2].nve, 0, &r, now);
    run_some(UINT32_MAX, false);
    assert_false(S[3].keys[1].live);
    assert_int_equal(S[3].n_notify, n + 1);
    run();
    for (uint32_t i = 1; i <= N_NVE; i++)
        check_sub(i, true);
}

/* Whatever happens, a subscriber that applied its stream to the end knows the table. */
static void
test_property_stream(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        teardown(NULL);
        setup(NULL);
        for (uint32_t step = 0; step < 600; step++) {
            uint32_t i = 1 + rng_below(&rng, N_NVE), vn = rng_below(&rng, N_VN);
            struct mapping_rec r = rec_n(vn, rng_below(&rng, N_KEY), 0);
            r.n_ips = (uint8_t)rng_below(&rng, 5);
            for (uint32_t j = 0; j < r.n_ips; j++)
                r.ips[j] = ip_v4(0xc0a80000 + rng_below(&rng, 30));
            if (!S[i].nve) {
                up(i);
                if (rng_below(&rng, 2))
                    registry_register_end(R, S[i].nve, now);
            }
            struct mapping_rec found;
            uint32_t owner = 0;
            switch (rng_below(&rng, 12)) {
            case 0:
            case 1:
            case 2:
            case 3:
                registry_register(R, S[i].nve, step, &r, true, false, now);
                break;
            case 4:
            case 5:
                if (registry_peek(R, r.vni, &r.mac, NULL, &found, &owner) == REG_FOUND)
                    registry_withdraw(R, owner, 0, &found, now);
                break;
            case 6:
                subscribe(i, vn);
                break;
            case 7:
                registry_unsubscribe(R, S[i].nve, vni_n(vn), now);
                S[i].subscribed[vn] = S[i].complete[vn] = S[i].began[vn] = false;
                memset(&S[i].keys[vn * N_KEY], 0, N_KEY * sizeof S[i].keys[0]);
                memset(S[i].member[vn], 0, sizeof S[i].member[vn]);
                break;
            case 8:
                registry_nve_blocked(R, S[i].nve, rng_below(&rng, 2));
                break;
            case 9:
                if (rng_below(&rng, 4) == 0) {
                    run_some(UINT32_MAX, false); /* what was said is said */
                    if (rng_below(&rng, 2))
                        registry_nve_down(R, S[i].nve, now);
                    else
                        registry_nve_bye(R, S[i].nve, now);
                    memset(&S[i], 0, sizeof S[i]);
                }
                break;
            case 10:
                registry_lookup(R, S[i].nve, r.vni, rng_below(&rng, 2) ? &r.mac : NULL,
                    &r.ips[0], &found, &owner, now);
                break;
            default:
                now += rng_below(&rng, 8000000);
                registry_tick(R, now);
            }
            run_some(rng_below(&rng, 12), rng_below(&rng, 3) == 0);
            n_answers = 0;
        }
        for (uint32_t i = 1; i <= N_NVE; i++)
            if (S[i].nve)
                registry_nve_blocked(R, S[i].nve, false);
        run();
        /* Lingering memberships end, all cursors come to the end. */
        for (uint32_t i = 1; i <= N_NVE; i++)
            if (!S[i].nve)
                up(i);
        for (uint32_t i = 1; i <= N_NVE; i++)
            registry_register_end(R, S[i].nve, now);
        tick(25000000);
        run();
        for (uint32_t i = 1; i <= N_NVE; i++)
            check_sub(i, true);
        struct registry_nve_view v;
        for (uint32_t it = 0; registry_each_nve(R, &it, &v);)
            assert_int_equal(v.n_unacked, 0);
        struct registry_map_view m;
        for (uint32_t it = 0; registry_each_mapping(R, &it, &m);)
            assert_false(m.unconfirmed);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_stream),
        T(test_confirm),
        T(test_pull),
        T(test_former_owner_first),
        T(test_former_owner_late),
        T(test_former_owner_superseded),
        T(test_talkers),
        T(test_property_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
