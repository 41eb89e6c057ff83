/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of events: bounded, the oldest goes, a reader in the middle of a listing
 * skips what was overwritten; who is looked for is found by its VSI, by the fingerprint
 * that travels with a mapping, and by (VN, MAC). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "node/trace.h"

static const char *const uuid = "11111111-2222-3333-4444-000000000001";

static uint32_t
count(struct trace *t, struct ctl_reader *r)
{
    json_t *row;
    uint32_t n = 0;
    while ((row = trace_row(t, r, "berth-nve", "tor1", NULL))) {
        json_decref(row);
        n++;
    }
    return n;
}

static void
test_bounded(void **state)
{
    (void)state;
    struct trace *t = trace_new(8, 1000000);
    struct ctl_reader all = {.args = json_object()}, slow = {.args = json_object()};
    json_t *row;
    for (uint32_t i = 0; i < 5; i++)
        trace_add(t, TRACE_LOCAL, i)->vni = i + 1;
    row = trace_row(t, &slow, "berth-nve", "tor1", NULL);
    assert_int_equal(json_integer_value(json_object_get(row, "vni")), 1);
    json_decref(row);
    for (uint32_t i = 5; i < 20; i++)
        trace_add(t, TRACE_LOCAL, i)->vni = i + 1;
    row = trace_row(t, &slow, "berth-nve", "tor1", NULL);
    assert_int_equal(json_integer_value(json_object_get(row, "vni")), 13);
    assert_true(json_real_value(json_object_get(row, "at_s")) > 1.0000119);
    assert_string_equal(json_string_value(json_object_get(row, "event")), "local");
    assert_string_equal(json_string_value(json_object_get(row, "name")), "tor1");
    json_decref(row);
    assert_int_equal(count(t, &slow), 7);
    assert_int_equal(count(t, &all), 8);
    assert_null(trace_row(t, &all, "berth-nve", "tor1", NULL));
    json_decref(all.args);
    json_decref(slow.args);
    trace_free(t);
}

static void
test_found(void **state)
{
    (void)state;
    struct trace *t = trace_new(TRACE_EVENTS, 0);
    struct trace_event *ev = trace_add(t, TRACE_REQUEST, 1);
    struct mapping_rec rec = {.vni = 5000, .mac = {{2, 0, 0, 0, 0, 9}}, .epoch = 7};
    struct vsiid other;
    assert_true(vsiid_parse(uuid, &ev->id));
    rec.vsi = vsiid_print(&ev->id);
    trace_rec(t, TRACE_TOLD, &rec, 2);
    rec.vsi = 0;
    trace_rec(t, TRACE_REMOTE, &rec, 3);
    rec.mac.b[5] = 10;
    trace_rec(t, TRACE_REMOTE, &rec, 4);
    assert_true(vsiid_parse("11111111-2222-3333-4444-000000000002", &other));
    trace_add(t, TRACE_REQUEST, 5)->id = other;

    struct ctl_reader r = {.args = json_pack("{s:s}", "vsi", uuid)};
    assert_int_equal(count(t, &r), 2);
    json_decref(r.args);
    r = (struct ctl_reader){.args = json_pack("{s:s,s:[s]}", "vsi", uuid, "keys",
                                "5000/02:00:00:00:00:09")};
    assert_int_equal(count(t, &r), 3);
    json_decref(r.args);
    r = (struct ctl_reader){.args = json_pack("{s:[i,s]}", "keys", 5, "5000/xx")};
    assert_int_equal(count(t, &r), 0);
    json_decref(r.args);
    trace_free(t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
