/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "base/log.h"

static char last[1024];
static int n_lines;

static void
sink(void *ctx, enum log_level level, const char *module, const char *line)
{
    assert_ptr_equal(ctx, last);
    snprintf(last, sizeof last, "%s/%s/%s", log_level_name(level), module, line);
    n_lines++;
}

static int
setup(void **state)
{
    (void)state;
    last[0] = 0;
    n_lines = 0;
    log_set_sink(sink, last);
    log_set_level("*", LOG_NOTE);
    return 0;
}

static void
levels_per_module(void **state)
{
    (void)state;
    log_note("attach", "vsi=%d", 7);
    assert_string_equal(last, "notice/attach/vsi=7");
    log_inf("attach", "hidden");
    assert_int_equal(n_lines, 1);
    assert_true(log_set_level("attach", LOG_DBG));
    log_dbg("attach", "seen");
    assert_string_equal(last, "debug/attach/seen");
    assert_false(log_on(LOG_INF, "tag"));
    assert_true(log_set_level("attach", LOG_ERR_));
    log_warn("attach", "hidden");
    log_err("attach", "seen");
    assert_string_equal(last, "error/attach/seen");
    log_set_level("*", LOG_INF);
    assert_true(log_on(LOG_INF, "attach"));
    log_set_sink(NULL, NULL);
    assert_false(log_on(LOG_ERR_, "attach"));
    log_err("attach", "nowhere");
    assert_int_equal(n_lines, 3);
}

static void
table_is_bounded(void **state)
{
    (void)state;
    int taken = 0;
    for (int i = 0; i < 1000; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%d", i);
        taken += log_set_level(name, LOG_DBG);
    }
    assert_in_range(taken, 16, 100);
    assert_true(log_set_level("m0", LOG_INF)); /* a known one still changes */
    log_set_level("*", LOG_NOTE);
    assert_false(log_set_level("a_name_that_is_longer_than_the_row", LOG_DBG));
}

static void
lines_cannot_be_forged(void **state)
{
    (void)state;
    log_note("m", "name=%s", "a\nerror b\033[1m\177");
    assert_string_equal(last, "notice/m/name=a?error b?[1m?");
    char big[2000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    log_note("m", "%s", big);
    assert_int_equal(strlen(last), strlen("notice/m/") + 511);
    assert_string_equal(last + strlen(last) - 4, "x...");
}

static void
names_of_levels(void **state)
{
    (void)state;
    enum log_level level;
    for (int i = LOG_ERR_; i <= LOG_DBG; i++) {
        assert_true(log_level_parse(log_level_name(i), &level));
        assert_int_equal(level, i);
    }
    assert_false(log_level_parse("loud", &level));
    assert_false(log_level_parse("", &level));
    assert_string_equal(log_level_name(99), "?");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(levels_per_module, setup),
        cmocka_unit_test_setup(table_is_bounded, setup),
        cmocka_unit_test_setup(lines_cannot_be_forged, setup),
        cmocka_unit_test_setup(names_of_levels, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
