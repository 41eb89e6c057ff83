/* SPDX-License-Identifier: Apache-2.0 */
/* The name tables have no hole, no double and no overrun. */
#include "test.h"
#include "core/dp.h"

static void
test_counters(void **state)
{
    (void)state;
    for (unsigned i = 0; i < DPC_N; i++) {
        assert_non_null(dp_counter_name(i));
        assert_true(strlen(dp_counter_help(i)) > 4);
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(dp_counter_name(i), dp_counter_name(j));
    }
    assert_string_equal(dp_counter_name(DPC_DROP_VTEP), "drop_vtep");
    assert_string_equal(dp_counter_name(DPC_N), "?");
    assert_string_equal(dp_counter_help(DPC_N), "?");
}

static void
test_ops(void **state)
{
    (void)state;
    for (unsigned i = 0; i < DP_N_OPS; i++) {
        assert_non_null(dp_op_str((uint8_t)i));
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(dp_op_str((uint8_t)i), dp_op_str((uint8_t)j));
    }
    assert_string_equal(dp_op_str(DP_FRAME), "frame");
    assert_string_equal(dp_op_str(DP_N_OPS), "?");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_ops),
    };
    return cmocka_run_group_tests_name("dp", tests, NULL, NULL);
}
