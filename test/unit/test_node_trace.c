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

/* What one VM, or one port with many of them, does pushes out nothing of a migration.
 */
static void
test_shares(void **state)
{
    (void)state;
    const uint32_t max = 1024;
    struct ctl_reader r = {
        .args = json_pack("{s:[s]}", "keys", "5000/02:00:00:00:00:09")};
    struct ctl_reader all = {.args = json_object()};
    for (uint32_t way = 0; way < 4; way++) {
        struct trace *t = trace_new(max, way);
        for (uint32_t i = 0; i < max; i++) { /* it is full before */
            struct trace_event *ev = trace_add(t, TRACE_LOCAL, i);
            ev->vni = 1;
            ev->mac = (struct mac){
                {2, 1, 0, 0, (uint8_t)(i >> 8), (uint8_t)i}
            };
        }
        for (uint32_t i = 0; i < 30; i++) { /* the migration */
            struct trace_event *ev =
                trace_add(t, i % 3 ? TRACE_HOLD : TRACE_REQUEST, i);
            ev->vni = 5000;
            ev->mac = (struct mac){
                {2, 0, 0, 0, 0, 9}
            };
            ev->source = i % 3 ? 0 : 1;
        }
        for (uint32_t i = 0; i < 100 * max; i++) {
            struct trace_event *ev = trace_add(t, TRACE_REQUEST, i);
            if (way == 0) { /* one VM */
                ev->vni = 5000;
                ev->mac = (struct mac){
                    {2, 0, 0, 0, 0, 10}
                };
            } else if (way == 1) { /* whose VN nobody knows */
                assert_true(vsiid_parse(uuid, &ev->id));
            } else { /* a port: VM after VM */
                ev->vni = 7;
                ev->mac = (struct mac){
                    {2, 3, 0, (uint8_t)(i / 3 >> 16), (uint8_t)(i / 3 >> 8),
                     (uint8_t)(i / 3)}
                };
                ev->source = way == 2 || i % 3 == 0 ? 2 : 0;
            }
        }
        r.it = all.it = 0;
        assert_int_equal(count(t, &r), 30);
        uint32_t n = count(t, &all);
        assert_true(n <= max && n > max / 2);
        trace_free(t);
    }
    json_decref(r.args);
    json_decref(all.args);
}

/* Many are told of one migration: how it began is remembered. */
static void
test_told_many(void **state)
{
    (void)state;
    struct trace *t = trace_new(TRACE_EVENTS, 0);
    struct mapping_rec rec = {.vni = 5000, .mac = {{2, 0, 0, 0, 0, 9}}, .epoch = 7};
    trace_rec(t, TRACE_GRANTED, &rec, 0);
    for (uint32_t i = 0; i < 4000; i++)
        trace_rec(t, TRACE_TOLD, &rec, 1 + i);
    struct ctl_reader r = {.args = json_object()};
    json_t *row = trace_row(t, &r, "berth-nva", "nva", NULL);
    assert_string_equal(json_string_value(json_object_get(row, "event")), "granted");
    json_decref(row);
    assert_true(count(t, &r) > 500);
    json_decref(r.args);
    trace_free(t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_told_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
