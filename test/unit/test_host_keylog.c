/* SPDX-License-Identifier: Apache-2.0 */
/* The keyed journal against a naive table, over restarts and compactions. */
#include "test.h"
#include "base/rng.h"
#include "host/keylog.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEYS 200
struct model {
    uint8_t size[4][KEYS];               /* by kind and key; 0 = none */
    uint8_t seed[4][KEYS];
};
static struct model seen;
static uint8_t last_kind;
static const uint8_t kinds[] = {3, 1, 2, 0};

static void
take(void *ctx, uint8_t kind, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    (void)ctx;
    assert_true(kind >= 1 && kind <= 3 && size >= 2);
    if (last_kind && kind != last_kind)  /* 3, then 1, then 2 */
        assert_true((last_kind == 3 && kind != 3) || (last_kind == 1 && kind == 2));
    last_kind = kind;
    assert_int_equal(seen.size[kind][p[0]], 0);
    seen.size[kind][p[0]] = (uint8_t)size;
    seen.seed[kind][p[0]] = p[1];
}

static struct keylog *
reopen(const char *path)
{
    struct journal_conf conf = {.path = path, .layout = 1};
    struct journal_report report;
    struct host_err err;
    struct keylog *k;
    memset(&seen, 0, sizeof seen);
    last_kind = 0;
    assert_int_equal(keylog_open(&k, &conf, kinds, take, NULL, &report, &err), 0);
    assert_false(report.corrupt);
    return k;
}

static void
latest_counts(void **state)
{
    char dir[] = "/tmp/berth-keylog-XXXXXX", path[64], extra[80];
    struct model m = {0};
    struct rng r;
    struct host_err err;
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/j", dir);
    rng_seed(&r, 7);
    struct keylog *k = reopen(path);
    for (int step = 0; step < 60000; step++) {
        uint8_t kind = (uint8_t)(1 + rng_below(&r, 3)), key = (uint8_t)rng_below(&r, KEYS);
        uint8_t bytes[250];
        size_t size = rng_below(&r, 4) ? 2 + rng_below(&r, 200) : 0;
        memset(bytes, step, sizeof bytes);
        bytes[0] = key;
        bytes[1] = (uint8_t)rng_next(&r);
        assert_int_equal(keylog_put(k, kind, &key, 1, bytes, size), 0);
        m.size[kind][key] = (uint8_t)size;
        m.seed[kind][key] = size ? bytes[1] : 0;
        if (rng_below(&r, 8) == 0)
            assert_int_equal(keylog_commit(k, &err), 0);
        if (rng_below(&r, 6000) == 0) {
            keylog_close(k);
            k = reopen(path);
            assert_memory_equal(&seen, &m, sizeof m);
        }
    }
    keylog_close(k);
    k = reopen(path);
    assert_memory_equal(&seen, &m, sizeof m);
    keylog_close(k);
    unlink(path);
    snprintf(extra, sizeof extra, "%s.lock", path);
    unlink(extra);
    assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(latest_counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
