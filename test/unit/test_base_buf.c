/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "base/buf.h"
#include "base/rng.h"

static void
values_round_trip(void **state)
{
    (void)state;
    uint8_t b[64];
    struct wr w = wr_of(b, sizeof b);
    wr_u8(&w, 0x12);
    wr_u16(&w, 0x3456);
    wr_u24(&w, 0x789abc);
    wr_u32(&w, 0xdef01234);
    wr_u64(&w, 0x56789abcdef01234);
    wr_zero(&w, 2);
    wr_bytes(&w, "abc", 3);
    wr_patch_u8(&w, 0, 0x13);
    wr_patch_u16(&w, 1, 0x3457);
    wr_patch_u32(&w, 6, 0xdef01235);
    assert_false(w.err);
    const uint8_t want[] = {0x13, 0x34, 0x57, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x12, 0x35,
        0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x12, 0x34, 0, 0, 'a', 'b', 'c'};
    assert_int_equal(w.pos, sizeof want);
    assert_memory_equal(b, want, sizeof want);

    struct rd r = rd_of(b, w.pos);
    char abc[3];
    assert_int_equal(rd_u8(&r), 0x13);
    assert_int_equal(rd_u16(&r), 0x3457);
    assert_int_equal(rd_u24(&r), 0x789abc);
    assert_int_equal(rd_u32(&r), 0xdef01235);
    assert_true(rd_u64(&r) == 0x56789abcdef01234);
    rd_skip(&r, 2);
    rd_bytes(&r, abc, 3);
    assert_memory_equal(abc, "abc", 3);
    assert_int_equal(rd_left(&r), 0);
    assert_false(r.err);
}

static void
read_error_sticks(void **state)
{
    (void)state;
    const uint8_t b[3] = {1, 2, 3};
    uint8_t dst[4] = {9, 9, 9, 9};
    struct rd r = rd_of(b, 3);
    assert_int_equal(rd_u32(&r), 0);
    assert_true(r.err);
    assert_int_equal(rd_left(&r), 0);
    assert_int_equal(rd_u8(&r), 0);
    rd_bytes(&r, dst, 4);
    assert_memory_equal(dst, "\0\0\0\0", 4);
    assert_null(rd_ptr(&r, 1));
    struct rd sub = rd_sub(&r, 0);
    assert_true(sub.err);
    struct rd huge = rd_of(b, 3);
    rd_u8(&huge);
    rd_skip(&huge, SIZE_MAX); /* pos + n would wrap */
    assert_true(huge.err);
    struct rd none = rd_of(NULL, 0);
    assert_int_equal(rd_left(&none), 0);
    rd_bytes(&none, NULL, 0);
    assert_false(none.err);
}

static void
sub_is_bounded(void **state)
{
    (void)state;
    const uint8_t b[4] = {1, 2, 3, 4};
    struct rd r = rd_of(b, 4), sub = rd_sub(&r, 2);
    assert_int_equal(rd_u16(&sub), 0x0102);
    assert_int_equal(rd_u8(&sub), 0);
    assert_true(sub.err);
    assert_false(r.err); /* the error of a part is not the whole's */
    assert_int_equal(rd_u16(&r), 0x0304);
    struct rd over = rd_of(b, 4);
    sub = rd_sub(&over, 5);
    assert_true(sub.err && over.err);
}

static void
write_error_sticks(void **state)
{
    (void)state;
    uint8_t b[4] = {0xee, 0xee, 0xee, 0xee};
    struct wr w = wr_of(b, 3);
    wr_u8(&w, 1);
    wr_u32(&w, 0xffffffff);
    assert_true(w.err);
    wr_u8(&w, 2);
    wr_patch_u8(&w, 0, 7);
    assert_int_equal(w.pos, 1);
    const uint8_t want[] = {1, 0xee, 0xee, 0xee};
    assert_memory_equal(b, want, 4);
    w = wr_of(b, 4);
    wr_u16(&w, 5);
    wr_patch_u16(&w, 1, 5); /* beyond what was written */
    assert_true(w.err);
    w = wr_of(b, 4);
    wr_u24(&w, 0x1000000);
    assert_true(w.err);
}

/* Random programs of writes against a plain array, read back at random cuts. */
static void
random_programs(void **state)
{
    (void)state;
    struct rng g;
    rng_seed(&g, 11);
    for (int run = 0; run < 5000; run++) {
        uint8_t b[40], model[80];
        size_t cap = rng_below(&g, sizeof b + 1), want = 0;
        bool err = false;
        struct wr w = wr_of(b, cap);
        for (int i = 0; i < 10; i++) {
            uint64_t v = rng_next(&g);
            static const uint8_t sizes[] = {1, 2, 3, 4, 8};
            uint32_t pick = rng_below(&g, 5), n = sizes[pick];
            if (n == 3)
                v &= 0xffffff;
            switch (n) {
            case 1:
                wr_u8(&w, v);
                break;
            case 2:
                wr_u16(&w, v);
                break;
            case 3:
                wr_u24(&w, v);
                break;
            case 4:
                wr_u32(&w, v);
                break;
            case 8:
                wr_u64(&w, v);
                break;
            }
            err = err || want + n > cap;
            for (uint32_t k = 0; !err && k < n; k++)
                model[want++] = v >> 8 * (n - 1 - k) & 0xff;
        }
        assert_int_equal(w.err, err);
        assert_int_equal(w.pos, want);
        assert_memory_equal(b, model, want);
        struct rd r = rd_of(b, want);
        size_t at = 0;
        while (!r.err) {
            size_t n = 1 + rng_below(&g, 7);
            const uint8_t *p = rd_ptr(&r, n);
            assert_int_equal(r.err, at + n > want);
            if (p)
                assert_memory_equal(p, model + at, n);
            at += n;
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_round_trip),
        cmocka_unit_test(read_error_sticks),
        cmocka_unit_test(sub_is_bounded),
        cmocka_unit_test(write_error_sticks),
        cmocka_unit_test(random_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
