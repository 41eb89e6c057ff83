/* SPDX-License-Identifier: Apache-2.0 */
/* Who owns what, at which number; virtual networks, sessions, recovery. */
#include <time.h>

#include "registry_rig.h"

static uint64_t granted[KEYS][20000];
static uint32_t n_granted[KEYS];

static void
test_register(void **state)
{
    (void)state;
    const struct registry_out *o = reg(1, rec_n(0, 1, 0), true);
    assert_int_equal(o->type, REG_REGISTERED);
    assert_int_equal(o->ref, 77);
    uint64_t e = o->rec.epoch, id = o->rec.migration_id;
    assert_true(e > 0 && id > 0);
    assert_int_equal(S[1].n_confirm, 1); /* nobody subscribes: everybody has heard it */
    struct mapping_rec r = rec_n(0, 1, e);
    r.migration_id = id;
    assert_int_equal(reg(1, r, false)->type, REG_REGISTERED); /* E6 */
    o = reg(2, r, false);
    assert_int_equal(o->reason, REG_CONFLICT);
    r.migration_id++;
    o = reg(1, r, false);
    assert_int_equal(o->reason, REG_CONFLICT);
    o = reg(2, rec_n(0, 1, e - 1), false);
    assert_int_equal(o->type, REG_REJECT);
    assert_int_equal(o->reason, REG_STALE);
    struct ip v1 = vtep_n(1);
    assert_true(ip_equal(&o->rec.owner, &v1)); /* where it MOVED to */
    assert_int_equal(o->rec.epoch, e);
    o = reg(2, rec_n(0, 1, 0), true); /* a newer claim */
    assert_int_equal(o->type, REG_REGISTERED);
    assert_true(o->rec.epoch > e);
    e = o->rec.epoch;
    id = o->rec.migration_id;
    assert_int_equal(
        S[1].n_notify, 1); /* the old owner is told, without subscription */
    r = rec_n(0, 1, e);
    assert_int_equal(withdraw(1, r)->reason, REG_NOT_OWNER); /* E4 */
    r.epoch--; /* the owner speaks in order: it has not heard of its grant yet */
    assert_int_equal(withdraw(2, r)->type, REG_REGISTERED);
    r.epoch++;
    assert_int_equal(registry_count(R), 0);
    assert_int_equal(disk.epochs[key_of(&r)].epoch, e);
    assert_int_equal(reg(1, r, false)->reason, REG_STALE); /* remembered */
    assert_int_equal(reg(2, r, false)->reason, REG_STALE); /* another migration's */
    r.migration_id = id;
    assert_int_equal(
        reg(2, r, false)->type, REG_REGISTERED); /* but its owner may return */
    /* What is refused. */
    assert_int_equal(reg(1, rec_n(7, 1, 0), true)->reason, REG_NO_VN);
    r = rec_n(0, 1, 0);
    r.mac.b[0] |= 1;
    assert_int_equal(reg(1, r, true)->reason, REG_POLICY);
    assert_int_equal(reg(1, rec_n(0, 1, (uint64_t)1 << 60), true)->reason, REG_POLICY);
    assert_int_equal(reg(1, rec_n(0, 1, UINT64_MAX), false)->reason, REG_POLICY);
    registry_register(R, 999, 1, &r, false, false, now);
    registry_register(R, 0, 1, &r, false, false, now);
    run();
    assert_int_equal(n_answers, 0);
}

static void
test_vns(void **state)
{
    (void)state;
    struct vn_rec vn = {.vni = 6000, .mtu = 1400, .name = "vn1"};
    uint8_t reason;
    assert_false(registry_vn_put(R, &vn, &reason, now)); /* the name is taken */
    assert_int_equal(reason, REG_CONFLICT);
    strcpy(vn.name, "blue");
    assert_true(registry_vn_put(R, &vn, &reason, now));
    run();
    assert_int_equal(n_answers, N_NVE);
    n_answers = 0;
    assert_int_equal(registry_vn(R, 0, "blue")->vni, 6000);
    strcpy(vn.name, "red");
    assert_true(registry_vn_put(R, &vn, &reason, now));
    assert_null(registry_vn(R, 0, "blue"));
    run();
    n_answers = 0;
    registry_vn_lookup(R, S[1].nve, 5, 0, "red");
    const struct registry_out *o = answer();
    assert_int_equal(o->ref, 5);
    assert_int_equal(o->vn.vni, 6000);
    registry_vn_lookup(R, S[1].nve, 6, 0, "blue");
    assert_int_equal(answer()->reason, REG_NO_VN);
    for (uint32_t i = 0; i < 10; i++) {
        vn.vni = 7000 + i;
        snprintf(vn.name, sizeof vn.name, "x%u", i);
        assert_int_equal(registry_vn_put(R, &vn, &reason, now), i < 4);
    }
    assert_int_equal(reason, REG_FULL);
    run();
    n_answers = 0;
    /* Deleted: the mappings go, the epochs are remembered, it may come again. */
    subscribe(2, 0);
    uint64_t e = reg(1, rec_n(0, 1, 0), true)->rec.epoch;
    assert_true(registry_vn_del(R, vni_n(0), now));
    assert_false(registry_vn_del(R, vni_n(0), now));
    run();
    n_answers = 0;
    assert_int_equal(registry_count(R), 0);
    assert_int_equal(reg(1, rec_n(0, 1, 0), true)->reason, REG_NO_VN);
    S[2].subscribed[0] = false;
    vn = (struct vn_rec){.vni = vni_n(0), .name = "vn0"};
    assert_true(registry_vn_put(R, &vn, &reason, now));
    run();
    n_answers = 0;
    assert_int_equal(reg(2, rec_n(0, 1, e), false)->reason, REG_STALE);
    assert_true(registry_vn_del(R, vni_n(0), now));
    tick(101000000);
    uint32_t it = 0, n = 0;
    while (registry_each_vn(R, &it))
        n++;
    assert_int_equal(n, 7);
}

/* K11: a lost session leaves its mappings for T_stale; what it does not name again
 * goes. */
static void
test_session_lost(void **state)
{
    (void)state;
    subscribe(2, 0);
    struct mapping_rec r1 = reg(1, rec_n(0, 1, 0), true)->rec;
    reg(1, rec_n(0, 2, 0), true);
    registry_nve_down(R, S[1].nve, now);
    S[1].nve = 0;
    tick(10000000);
    struct registry_map_view v;
    uint32_t it = 0;
    assert_true(registry_each_mapping(R, &it, &v) && v.stale);
    up(1);
    registry_register(
        R, S[1].nve, 5, &r1, true, true, now); /* refresh claims nothing */
    assert_int_equal(answer()->rec.epoch, r1.epoch);
    S[2].n_notify = 0;
    registry_register_end(R, S[1].nve, now);
    run();
    assert_int_equal(registry_count(R), 1);
    assert_int_equal(S[2].n_notify, 1); /* only of the one that went */
    check_sub(2, true);
    registry_nve_down(R, S[1].nve, now);
    S[1].nve = 0;
    tick(19000000);
    assert_int_equal(registry_count(R), 1);
    tick(2000000);
    assert_int_equal(registry_count(R), 0);
    check_sub(2, true);
    /* A second session of the same name replaces; another at the same place is refused.
     */
    up(1);
    struct ip vtep = vtep_n(1);
    assert_int_equal(registry_nve_up(R, "thief", &vtep, false, now), 0);
    reg(1, rec_n(0, 1, 0), true);
    registry_nve_bye(R, S[1].nve, now);
    S[1].nve = 0;
    run();
    assert_int_equal(registry_count(R), 0);
    check_sub(2, true);
}

/* K11: an endpoint is known to every session from the first thing it is told until its
 * NVE is gone, in no VN at all; a lost session is not gone yet. */
static void
test_endpoints(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= N_NVE; i++)
        for (uint32_t j = 1; j <= N_NVE; j++)
            assert_int_equal(S[i].known[j], i != j);
    uint32_t it = 0;
    struct registry_nve_view v;
    while (registry_each_nve(R, &it, &v))
        assert_int_equal(v.n_vns, 0);
    /* Lost, and back: nobody is told anything. */
    uint64_t seq = S[2].seq;
    registry_nve_down(R, S[1].nve, now);
    S[1].nve = 0;
    tick(19000000);
    up(1);
    run();
    assert_int_equal(S[2].seq, seq);
    assert_true(S[2].known[1] && S[1].known[2]);
    assert_int_equal(S[1].n_snapshots, 0); /* of VNs */
    /* Lost for too long, and ended cleanly. */
    registry_nve_down(R, S[1].nve, now);
    S[1].nve = 0;
    tick(19000000);
    assert_true(S[2].known[1]);
    tick(2000000);
    assert_false(S[2].known[1]);
    up(1);
    run();
    assert_true(S[2].known[1]);
    registry_nve_bye(R, S[1].nve, now);
    S[1].nve = 0;
    run();
    assert_false(S[2].known[1]);
    /* Another endpoint of the same NVE, which also is in a VN: the old one is
     * forgotten. */
    up(1);
    subscribe(1, 0);
    subscribe(2, 0);
    run();
    assert_true(S[2].known[1] && S[2].member[0][1]);
    struct ip moved = vtep_n(99);
    uint32_t again = registry_nve_up(R, "nve1", &moved, false, now);
    assert_int_equal(again, S[1].nve);
    memset(&S[1], 0, sizeof S[1]);
    S[1].nve = again;
    run();
    assert_false(S[2].known[1] || S[2].member[0][1]);
    /* Nobody may name that network. */
    struct mapping_rec rec = rec_n(0, 1, 0);
    rec.vni = 0;
    assert_int_equal(reg(2, rec, true)->reason, REG_NO_VN);
    seq = S[2].seq;
    registry_subscribe(R, S[2].nve, 0, now);
    registry_unsubscribe(R, S[2].nve, 0, now);
    assert_false(registry_vn_del(R, 0, now));
    assert_null(registry_vn(R, 0, NULL));
    run();
    assert_int_equal(S[2].seq, seq);
    up(1);
    run();
    assert_true(S[2].known[1]);
}

static void
test_recovery(void **state)
{
    (void)state;
    struct mapping_rec r1 = reg(1, rec_n(0, 1, 0), true)->rec, rec;
    struct mac m1 = mac_n(1), m2 = mac_n(2);
    restart();
    assert_true(registry_recovering(R));
    up(2);
    up(3);
    rec = rec_n(0, 2, 0);
    registry_register(R, S[2].nve, 50, &rec, true, false, now);
    run();
    assert_int_equal(n_answers, 0); /* nothing is granted */
    assert_int_equal(
        registry_lookup(R, S[3].nve, vni_n(0), &m1, NULL, &rec, NULL, now), REG_LATER);
    assert_int_equal(
        registry_lookup(R, S[3].nve, vni_n(0), &m2, NULL, &rec, NULL, now), REG_LATER);
    struct mac m3 = mac_n(3);
    registry_lookup(R, S[3].nve, vni_n(0), &m3, NULL, &rec, NULL, now);
    up(1);
    registry_register(R, S[1].nve, 51, &r1, true, true, now);
    assert_int_equal(answer()->type, REG_REGISTERED);
    assert_int_equal(S[3].n_notify, 1);
    for (uint32_t i = 4; i <= N_NVE; i++)
        up(i);
    for (uint32_t i = 1; i <= N_NVE; i++) {
        assert_true(registry_recovering(R));
        registry_register_end(R, S[i].nve, now);
        registry_register_end(R, S[i].nve, now);
    }
    assert_false(registry_recovering(R));
    const struct registry_out *o = answer();
    assert_int_equal(o->ref, 50);
    assert_true(o->rec.epoch > r1.epoch);
    assert_int_equal(S[3].n_notify, 2);
    assert_int_equal(S[3].n_negative, 1); /* the one owed and now known not to be */
    /* One that does not come back holds us up for T_recover at most. */
    restart();
    up(1);
    rec = rec_n(0, 4, 0);
    registry_register(R, S[1].nve, 52, &rec, true, false, now);
    tick(9000000);
    assert_int_equal(n_answers, 0);
    tick(2000000);
    assert_int_equal(answer()->ref, 52);
    /* The disk is slow, then full, then well: grants wait, none is lost. */
    disk.fail = true;
    for (uint32_t i = 0; i < 150000; i++) {
        rec = rec_n(0, 1 + i % 2, 0);
        registry_register(R, S[1].nve, 1, &rec, true, false, now);
        struct registry_out out;
        while (registry_output(R, &out))
            if (out.type == REG_STORE)
                store(&out);
    }
    assert_true(registry_counter(R, REGC_GRANTS) < 101000);
    disk.fail = false;
    n_answers = 0;
    tick(1000000);
    assert_int_equal(n_answers, 512); /* max_waiting */
}

/* Two claims of one NVE wait, and another NVE comes with a number: each has its own. */
static void
test_claims_wait_apart(void **state)
{
    (void)state;
    struct mapping_rec rec = rec_n(0, 1, 0), other = rec_n(0, 1, 9);
    restart();
    up(1);
    up(2);
    for (uint32_t i = 0; i < 2; i++) {
        rec.migration_id = 100 + i;
        registry_register(R, S[1].nve, 50 + i, &rec, true, false, now);
    }
    registry_register(R, S[2].nve, 52, &other, false, false, now);
    tick(11000000);
    assert_int_equal(n_answers, 3);
    assert_int_equal(answers[0].ref, 52);
    assert_int_equal(answers[0].rec.epoch, 9);
    for (uint32_t i = 1; i < 3; i++) {
        assert_int_equal(answers[i].ref, 49 + i);
        assert_int_equal(answers[i].type, REG_REGISTERED);
        assert_int_equal(answers[i].rec.migration_id, 99 + i);
        assert_true(answers[i].rec.epoch > answers[i - 1].rec.epoch);
    }
}

/* Never the same number twice for a key, whatever is lost: restarts at random points,
 * with a disk that lags. */
static void
test_property_grants(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        teardown(NULL);
        setup(NULL);
        memset(n_granted, 0, sizeof n_granted);
        uint64_t highest[KEYS] = {0};
        for (uint32_t step = 0; step < 3000; step++) {
            uint32_t i = 1 + rng_below(&rng, N_NVE), vn = rng_below(&rng, N_VN);
            struct mapping_rec r = rec_n(vn, rng_below(&rng, N_KEY), 0);
            int k = key_of(&r);
            if (rng_below(&rng, 400) == 0) {
                run_some(rng_below(&rng, 5), false);
                n_answers = 0; /* answers on their way are lost */
                restart();
                for (uint32_t j = 1; j <= N_NVE; j++)
                    up(j);
                for (uint32_t j = 1; j <= N_NVE; j++)
                    registry_register_end(R, S[j].nve, now);
            }
            r.epoch = rng_below(&rng, 3) == 0
                          ? highest[k] + rng_below(&rng, 3) * rng_below(&rng, 200000)
                          : 0;
            r.migration_id = seed << 32 | step << 1 | 1;
            disk.stall = rng_below(&rng, 3) == 0;
            if (rng_below(&rng, 2))
                registry_reserve(R, S[i].nve, 1 + step, &r, now);
            else
                registry_register(R, S[i].nve, 1 + step, &r, true, false, now);
            run_some(rng_below(&rng, 20), true);
            if (disk.n_stalled && rng_below(&rng, 2)) {
                disk.hwm = disk.stall_hwm[0];
                disk.n_stalled = 0;
                registry_stored(R, disk.stall_id[0], 0, now);
            }
            if (rng_below(&rng, 10) == 0)
                tick(rng_below(&rng, 3000000));
            for (uint32_t a = 0; a < n_answers; a++) {
                const struct registry_out *o = &answers[a];
                if (o->type != REG_GRANT && o->type != REG_REGISTERED)
                    continue;
                int g = key_of(&o->rec);
                bool twice = false;
                for (uint32_t j = 0; j < n_granted[g]; j++)
                    twice |= granted[g][j] == o->rec.epoch;
                assert_false(twice);
                assert_true(o->rec.epoch > highest[g] || o->type == REG_GRANT);
                assert_true(o->rec.epoch > highest[g]);
                assert_true(o->rec.epoch < disk.hwm);
                highest[g] = o->rec.epoch;
                granted[g][n_granted[g]++] = o->rec.epoch;
            }
            n_answers = 0;
        }
    }
}

/* E3, E4, F2, F3: epochs in any order, duplicated, from anybody; withdrawals late. */
static void
test_property_owner(void **state)
{
    (void)state;
    damp_moves = 255;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        teardown(NULL);
        setup(NULL);
        uint64_t best = 0;
        uint32_t owner = 0;
        bool live = false;
        for (uint32_t step = 0; step < 60; step++) {
            uint64_t e = 1 + rng_below(&rng, 20);
            uint32_t i =
                1 + (uint32_t)(e * 2654435761u % N_NVE); /* one owner per epoch */
            if (rng_below(&rng, 4)) {
                const struct registry_out *o = reg(i, rec_n(0, 1, e), false);
                bool behind = live && i == owner; /* is told the number that stands */
                assert_int_equal(
                    o->type, e >= best || behind ? REG_REGISTERED : REG_REJECT);
                assert_true(!behind || o->rec.epoch == (e > best ? e : best));
                if (e >= best) {
                    best = e;
                    owner = i;
                    live = true;
                }
            } else {
                const struct registry_out *o = withdraw(i, rec_n(0, 1, e));
                bool ends = live && i == owner;
                assert_int_equal(o->type, !live || ends ? REG_REGISTERED : REG_REJECT);
                live = live && !ends;
            }
        }
        struct mapping_rec r;
        struct mac mac = mac_n(1);
        uint32_t nve = 0;
        assert_int_equal(registry_peek(R, vni_n(0), &mac, NULL, &r, &nve),
            live ? REG_FOUND : REG_ABSENT);
        if (live) {
            assert_int_equal(r.epoch, best);
            assert_int_equal(nve, S[owner].nve);
        }
    }
    damp_moves = 0;
}

static void
test_bounds(void **state)
{
    (void)state;
    struct registry_out out;
    for (uint32_t i = 0; i < 6000; i++) {
        struct mapping_rec r = rec_n(0, 0, 0);
        r.mac = mac_n(1 + i);
        r.n_ips = 8;
        for (uint32_t j = 0; j < 8; j++)
            r.ips[j] = ip_v4(0x0b000000 + i * 8 + j);
        registry_register(R, S[1].nve, 1, &r, true, false, now);
        if (i >= 1000) { /* full; what was withdrawn is remembered as long as there is
                            room */
            assert_int_equal(registry_count(R), 1000);
            r.mac = mac_n(1 + i - 1000);
        }
        while (registry_output(R, &out)) {
            if (i >= 1000 && out.type == REG_REJECT)
                assert_int_equal(out.reason, REG_FULL);
            if (out.type == REG_STORE && out.store == REG_STORE_HWM)
                store(&out);
        }
        if (i >= 1000 && i < 5000) {
            struct mapping_rec found;
            if (registry_peek(R, r.vni, &r.mac, NULL, &found, NULL) == REG_FOUND)
                registry_withdraw(R, S[1].nve, 0, &found, now);
            r.mac = mac_n(1 + i);
            registry_register(R, S[1].nve, 1, &r, true, false, now);
        }
    }
    assert_int_equal(registry_count(R), 1000);
    assert_true(registry_counter(R, REGC_EVICTED) > 0);
}

/* K19, and the cost of one Map-Request's look-up. */
static void
test_memory(void **state)
{
    (void)state;
    struct registry_conf conf = {.seed = 9, .max_mappings = 1000000};
    struct registry_out out;
    struct vn_rec vn = {.vni = vni_n(0)};
    uint8_t reason;
    struct registry *r = registry_new(&conf, now);
    registry_loaded(r, now);
    assert_true(registry_vn_put(r, &vn, &reason, now));
    struct ip vtep = vtep_n(1);
    uint32_t nve = registry_nve_up(r, "one", &vtep, false, now);
    for (uint32_t i = 0; i < 100000; i++) {
        struct mapping_rec m = {
            .vni = vni_n(0), .mac = mac_n(i), .n_ips = 2, .epoch = 1};
        m.ips[0] = ip_v4(0x0a000000 + i);
        m.ips[1] = (struct ip){
            {0x20, 1, [12] = (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8),
             (uint8_t)i}
        };
        registry_register(r, nve, 0, &m, false, false, now);
        while (registry_output(r, &out))
            continue;
    }
    assert_int_equal(registry_count(r), 100000);
    double each = (double)registry_bytes(r) / 100000;
    struct timespec t0, t1;
    struct mapping_rec rec;
    uint32_t found = 0, owner;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    for (uint32_t i = 0; i < 200000; i++) {
        struct ip ip = ip_v4(0x0a000000 + i * 7919u % 100000);
        found += registry_peek(r, vni_n(0), NULL, &ip, &rec, &owner) == REG_FOUND;
    }
    clock_gettime(CLOCK_MONOTONIC, &t1);
    assert_int_equal(found, 200000);
    double ns =
        ((double)(t1.tv_sec - t0.tv_sec) * 1e9 + (double)(t1.tv_nsec - t0.tv_nsec)) /
        200000;
    print_message("authority: %.1f octets per mapping, look-up %.0f ns\n", each, ns);
    assert_true(each <= 160);
    registry_free(r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_register),
        T(test_vns),
        T(test_session_lost),
        T(test_endpoints),
        T(test_recovery),
        T(test_claims_wait_apart),
        T(test_property_grants),
        T(test_property_owner),
        T(test_bounds),
        T(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
