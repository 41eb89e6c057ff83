/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "base/map.h"
#include "base/rng.h"

#define N_HANDLES 800

/* Handle h holds keys[h]; many handles share few keys. */
static uint32_t keys[N_HANDLES + 1];
static bool live[N_HANDLES + 1];

static bool
key_eq(const void *ctx, uint32_t handle, const void *key)
{
    const uint32_t *table = ctx;
    return table[handle] == *(const uint32_t *)key;
}

/* few: hash values are squeezed into few, so that probe sequences are long and wrap. */
static uint32_t
hash_of(const struct map *m, uint32_t key, bool few)
{
    uint32_t hash = map_hash(m, &key, sizeof key);
    return few ? hash % 3 * 0x7fffffff : hash;
}

static void
check_key(const struct map *m, uint32_t key, bool few)
{
    uint32_t hash = hash_of(m, key, few), want = 0, got = 0;
    static bool seen[N_HANDLES + 1];
    memset(seen, 0, sizeof seen);
    for (uint32_t h = 1; h <= N_HANDLES; h++)
        want += live[h] && keys[h] == key;
    for (uint32_t h = map_find(m, hash, &key); h; h = map_next(m, hash, &key, h)) {
        assert_true(live[h] && keys[h] == key && !seen[h]);
        seen[h] = true;
        got++;
    }
    assert_int_equal(got, want);
}

static void
against_model(bool few, uint32_t n_keys, int steps)
{
    struct map m;
    struct rng g;
    uint32_t n = 0;
    rng_seed(&g, few + n_keys);
    memset(live, 0, sizeof live);
    map_init(&m, key_eq, keys, 42);
    uint32_t key = 1;
    assert_int_equal(map_find(&m, 5, &key), 0);
    assert_int_equal(map_next(&m, 5, &key, 1), 0);
    assert_false(map_del(&m, 5, 1));
    for (int step = 0; step < steps; step++) {
        uint32_t h = 1 + rng_below(&g, N_HANDLES);
        if (!live[h]) {
            keys[h] = rng_below(&g, n_keys);
            assert_false(map_del(&m, hash_of(&m, keys[h], few), h));
            map_add(&m, hash_of(&m, keys[h], few), h);
            n++;
        } else {
            assert_true(map_del(&m, hash_of(&m, keys[h], few), h));
            n--;
        }
        live[h] = !live[h];
        assert_int_equal(m.n, n);
        check_key(&m, keys[h], few);
        check_key(&m, rng_below(&g, n_keys + 5), few);
    }
    uint32_t it = 0, h, count = 0;
    while ((h = map_each(&m, &it)) != 0) {
        assert_true(live[h]);
        live[h] = false;
        count++;
    }
    assert_int_equal(count, n);
    map_done(&m);
    assert_int_equal(map_find(&m, 5, &key), 0);
}

static void
many_keys(void **state)
{
    (void)state;
    against_model(false, 100000, 8000);
}

static void
equal_keys(void **state)
{
    (void)state;
    against_model(false, 20, 8000);
}

static void
colliding_hashes(void **state)
{
    (void)state;
    against_model(true, 40, 6000);
}

/* Churn at constant size must not grow the table, nor leave marks that lengthen probes.
 */
static void
churn_is_free(void **state)
{
    (void)state;
    struct map m;
    struct rng g;
    rng_seed(&g, 9);
    map_init(&m, key_eq, keys, 1);
    for (uint32_t h = 1; h <= 100; h++) {
        keys[h] = h;
        map_add(&m, map_hash(&m, &keys[h], 4), h);
    }
    uint32_t cap = m.cap;
    for (int i = 0; i < 100000; i++) {
        uint32_t h = 1 + rng_below(&g, 100);
        assert_true(map_del(&m, map_hash(&m, &keys[h], 4), h));
        keys[h] = rng_next(&g);
        map_add(&m, map_hash(&m, &keys[h], 4), h);
    }
    assert_int_equal(m.cap, cap);
    for (uint32_t h = 1; h <= 100; h++)
        assert_int_equal(map_find(&m, map_hash(&m, &keys[h], 4), &keys[h]), h);
    map_done(&m);
}

static void
seed_matters(void **state)
{
    (void)state;
    struct map a, b;
    map_init(&a, key_eq, keys, 1);
    map_init(&b, key_eq, keys, 2);
    int same = 0;
    for (uint32_t k = 0; k < 1000; k++) {
        assert_int_equal(map_hash(&a, &k, 4), map_hash(&a, &k, 4));
        same += map_hash(&a, &k, 4) == map_hash(&b, &k, 4);
    }
    assert_true(same < 3);
}

/* Objects of four keys each: key k belongs to object 1 + k / 4. */
static bool
quad_eq(const void *ctx, uint32_t handle, const void *key)
{
    (void)ctx;
    return handle == 1 + *(const uint32_t *)key / 4;
}

static void
objects_of_many_keys(void **state)
{
    (void)state;
    for (uint32_t spread = 1; spread <= 4; spread++) {
        struct map m;
        map_init(&m, quad_eq, NULL, 1);
        /* Neighbouring or equal hashes: an object's slots lie in one run. */
        for (uint32_t k = 0; k < 64; k++)
            map_add(&m, k % 4 / spread, 1 + k / 4);
        for (uint32_t k = 0; k < 64; k++) {
            uint32_t n = 0, hash = k % 4 / spread;
            for (uint32_t h = map_find(&m, hash, &k); h; h = map_next(&m, hash, &k, h)) {
                assert_int_equal(h, 1 + k / 4);
                assert_true(++n <= 4);
            }
            assert_true(n >= 1);
        }
        for (uint32_t k = 0; k < 64; k++) {
            assert_true(map_del(&m, k % 4 / spread, 1 + k / 4));
            for (uint32_t i = k + 1; i < 64; i++)
                assert_int_equal(map_find(&m, i % 4 / spread, &i), 1 + i / 4);
        }
        assert_int_equal(m.n, 0);
        map_done(&m);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_keys),
        cmocka_unit_test(equal_keys),
        cmocka_unit_test(colliding_hashes),
        cmocka_unit_test(objects_of_many_keys),
        cmocka_unit_test(churn_is_free),
        cmocka_unit_test(seed_matters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
