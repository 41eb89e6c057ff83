/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "base/fsm.h"
#include "base/log.h"

enum { OPEN, SHUT, LOCKED, N_STATES };
enum { PUSH, PULL, TURN, N_EVENTS };
enum { NONE, CREAK, N_ACTIONS };
static const char *const states[] = {"OPEN", "SHUT", "LOCKED"};
static const char *const events[] = {"PUSH", "PULL", "TURN"};
static const char *const actions[] = {"none", "creak"};
static const struct fsm_row rows[] = {
    {OPEN,   PUSH, SHUT,   CREAK, "D-1"},
    {SHUT,   PULL, OPEN,   CREAK, "D-2"},
    {SHUT,   TURN, LOCKED, NONE,  "D-3"},
    {LOCKED, TURN, SHUT,   NONE,  "D-4"},
    {LOCKED, PULL, LOCKED, NONE,  "D-5"},
};

static struct fsm_def
door(const struct fsm_row *r, uint16_t n)
{
    return (struct fsm_def){
        "door", states, events, actions, N_STATES, N_EVENTS, N_ACTIONS, r, n};
}

static char lines[1024];

static void
sink(void *ctx, enum log_level level, const char *module, const char *line)
{
    (void)ctx;
    size_t at = strlen(lines);
    snprintf(lines + at, sizeof lines - at, "%s %s %s\n", log_level_name(level), module,
        line);
}

static void
steps(void **state)
{
    (void)state;
    struct fsm_def def = door(rows, 5);
    struct fsm f;
    const char *why = NULL;
    assert_true(fsm_init(&f, &def, &why));
    lines[0] = 0;
    log_set_sink(sink, NULL);
    log_set_level("*", LOG_INF);
    uint8_t s = OPEN;
    assert_ptr_equal(fsm_step(&f, &s, PUSH, "d1"), &rows[0]);
    assert_int_equal(s, SHUT);
    assert_ptr_equal(fsm_step(&f, &s, TURN, "d1"), &rows[2]);
    assert_null(fsm_step(&f, &s, PUSH, "d1"));
    assert_int_equal(s, LOCKED);
    assert_ptr_equal(fsm_step(&f, &s, PULL, "d1"), &rows[4]);
    assert_null(fsm_step(&f, &s, N_EVENTS, "d1"));
    s = 200;
    assert_null(fsm_step(&f, &s, PUSH, "d1"));
    assert_int_equal(s, 200);
    assert_int_equal(f.illegal, 3);
    assert_int_equal(f.hits[0], 1);
    assert_int_equal(f.hits[1], 0);
    assert_string_equal(lines, "info door door d1: OPEN -> SHUT on PUSH\n"
                               "info door door d1: SHUT -> LOCKED on TURN\n"
                               "info door door d1: LOCKED refuses PUSH\n"
                               "info door door d1: LOCKED refuses ?\n"
                               "info door door d1: ? refuses PUSH\n");
    log_set_sink(NULL, NULL);
    log_set_level("*", LOG_NOTE);
    fsm_done(&f);
}

static void
bad_tables_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct fsm_row row;
        const char *why;
    } bad[] = {
        {{OPEN, PUSH, OPEN, NONE, ""},      "two rows for one state and event"},
        {{N_STATES, PUSH, OPEN, NONE, ""},  "state out of range"              },
        {{OPEN, TURN, N_STATES, NONE, ""},  "state out of range"              },
        {{OPEN, N_EVENTS, OPEN, NONE, ""},  "event out of range"              },
        {{OPEN, TURN, OPEN, N_ACTIONS, ""}, "action out of range"             },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fsm_row table[] = {rows[0], bad[i].row};
        struct fsm_def def = door(table, 2);
        struct fsm f;
        const char *why = NULL;
        assert_false(fsm_init(&f, &def, &why));
        assert_string_equal(why, bad[i].why);
    }
}

static void
dot_text(void **state)
{
    (void)state;
    struct fsm_def def = door(rows, 1);
    char text[512], cut[20];
    const char *want = "digraph \"door\" {\n  \"OPEN\";\n  \"SHUT\";\n  \"LOCKED\";\n"
                       "  \"OPEN\" -> \"SHUT\" [label=\"PUSH / creak\\nD-1\"];\n}\n";
    assert_int_equal(fsm_dot(&def, text, sizeof text), strlen(want));
    assert_string_equal(text, want);
    assert_int_equal(fsm_dot(&def, cut, sizeof cut), strlen(want));
    assert_memory_equal(cut, want, sizeof cut - 1);
    assert_int_equal(cut[sizeof cut - 1], 0);
    assert_int_equal(fsm_dot(&def, NULL, 0), strlen(want));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps),
        cmocka_unit_test(bad_tables_are_refused),
        cmocka_unit_test(dot_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
