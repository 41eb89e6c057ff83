/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "base/mem.h"
#include "base/rng.h"

#define N_LIVE 3000

struct thing {
    uint64_t id;
    uint8_t pad[29];
};

static void
blocks(void **state)
{
    (void)state;
    uint8_t *p = mem_alloc(100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(p[i], 0);
    p[99] = 7;
    p = mem_grow(p, 10000);
    assert_int_equal(p[99], 7);
    mem_free(p);
    mem_free(mem_alloc(0));
    mem_free(NULL);
    char *s = mem_strdup("berth");
    assert_string_equal(s, "berth");
    mem_free(s);
}

/* Random get and put against an array of live handles: handles are unique, objects keep
 * their place and content, new ones are zeroed, the maximum holds. */
static void
pool_against_model(void **state)
{
    (void)state;
    struct pool p;
    struct rng g;
    static uint32_t handle[N_LIVE];
    static struct thing *place[N_LIVE];
    static uint64_t id[N_LIVE];
    uint32_t n = 0;
    uint64_t next = 1;
    rng_seed(&g, 3);
    pool_init(&p, sizeof(struct thing), N_LIVE);
    for (int step = 0; step < 60000; step++) {
        bool growing = step / 10000 % 2 == 0;
        if (rng_below(&g, 10) < (growing ? 7u : 3u)) {
            uint32_t h = pool_get(&p);
            assert_int_equal(h == 0, n == N_LIVE);
            if (!h)
                continue;
            struct thing *t = pool_at(&p, h);
            for (size_t i = 0; i < sizeof *t; i++)
                assert_int_equal(((uint8_t *)t)[i], 0);
            memset(t, 0xa5, sizeof *t);
            t->id = id[n] = next++;
            handle[n] = h;
            place[n++] = t;
        } else if (n > 0) {
            uint32_t i = rng_below(&g, n);
            assert_ptr_equal(pool_at(&p, handle[i]), place[i]);
            assert_true(place[i]->id == id[i]);
            pool_put(&p, handle[i]);
            n--;
            handle[i] = handle[n];
            place[i] = place[n];
            id[i] = id[n];
        }
        assert_int_equal(p.n, n);
    }
    for (uint32_t i = 0; i < n; i++)
        assert_true(place[i]->id == id[i]);
    pool_done(&p);
    assert_int_equal(p.n, 0);
    assert_int_equal(pool_get(&p), 1);
    pool_done(&p);
}

/* The slack of a pool is one chunk, whatever it holds. */
static void
pool_is_lean(void **state)
{
    (void)state;
    struct pool p;
    pool_init(&p, 200, 1000000);
    for (int i = 0; i < 100000; i++)
        assert_int_not_equal(pool_get(&p), 0);
    size_t bytes = pool_bytes(&p);
    assert_true(bytes < 200u * 100000 + 16384);
    pool_done(&p);
    pool_init(&p, 100000, 2); /* larger than a chunk */
    assert_int_equal(pool_get(&p), 1);
    assert_int_equal(pool_get(&p), 2);
    assert_int_equal(pool_get(&p), 0);
    memset(pool_at(&p, 2), 1, 100000);
    pool_done(&p);
    pool_init(&p, 1, 10); /* smaller than a link of the free list */
    uint32_t a = pool_get(&p);
    pool_put(&p, a);
    assert_int_equal(pool_get(&p), a);
    pool_done(&p);
    pool_init(&p, 8, 0);
    assert_int_equal(pool_get(&p), 0);
    pool_done(&p);
}

static void
fifo_against_counter(void **state)
{
    (void)state;
    struct fifo f;
    struct rng g;
    uint64_t in = 0, out = 0;
    rng_seed(&g, 5);
    fifo_init(&f, sizeof(struct thing));
    assert_null(fifo_peek(&f));
    for (int step = 0; step < 50000; step++) {
        struct thing t;
        if (rng_below(&g, 100) < (step / 5000 % 2 ? 40u : 60u)) {
            struct thing *slot = fifo_push(&f);
            for (size_t i = 0; i < sizeof *slot; i++)
                assert_int_equal(((uint8_t *)slot)[i], 0);
            memset(slot, 0x5a, sizeof *slot);
            slot->id = in++;
        } else if (fifo_pop(&f, &t)) {
            assert_true(t.id == out);
            out++;
        } else {
            assert_true(in == out);
        }
        assert_int_equal(f.n, in - out);
        if (f.n)
            assert_true(((struct thing *)fifo_peek(&f))->id == out);
    }
    fifo_done(&f);
}

static void
arena_blocks(void **state)
{
    (void)state;
    struct arena a = {0};
    struct rng g;
    rng_seed(&g, 7);
    for (int step = 0; step < 50; step++) {
        struct {
            uint8_t *p;
            size_t size;
        } got[200];
        for (int i = 0; i < 200; i++) {
            got[i].size = rng_below(&g, i % 50 ? 300 : 70000);
            got[i].p = arena_alloc(&a, got[i].size);
            assert_int_equal((uintptr_t)got[i].p % 16, 0);
            for (size_t k = 0; k < got[i].size; k++)
                assert_int_equal(got[i].p[k], 0);
            memset(got[i].p, i, got[i].size);
        }
        for (int i = 0; i < 200; i++)
            for (size_t k = 0; k < got[i].size; k++)
                assert_int_equal(got[i].p[k], i);
        arena_reset(&a);
        assert_int_equal(a.used, 0);
    }
    assert_string_equal(arena_copy(&a, "berth", 6), "berth");
    arena_alloc(&a, 10 << 20);
    assert_true(a.total > 10 << 20);
    arena_reset(&a);
    assert_true(a.total <= 256 * 1024); /* one huge step does not hold its memory */
    arena_done(&a);
    assert_null(a.head);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks),
        cmocka_unit_test(pool_against_model),
        cmocka_unit_test(pool_is_lean),
        cmocka_unit_test(fifo_against_counter),
        cmocka_unit_test(arena_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
