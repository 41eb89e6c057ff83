/* SPDX-License-Identifier: Apache-2.0 */
/* The keyed journal against a naive table, over restarts and compactions. */
#include "test.h"
#include "base/rng.h"
#include "host/keylog.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

/* A disk that takes nothing: what is staged is bounded, stays, and is written later. */
static void
full_disk(void **state)
{
    char dir[] = "/tmp/berth-keylog-XXXXXX", path[64], extra[80];
    struct host_err err;
    struct rlimit was, none = {0, 0};
    uint8_t bytes[200] = {0};
    uint32_t refused = 0;
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/j", dir);
    struct keylog *k = reopen(path);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    none.rlim_max = was.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    bytes[0] = 7;
    bytes[1] = 42;
    assert_int_equal(keylog_put(k, 1, "\7", 1, bytes, 2), 0);
    bool failed = keylog_commit(k, &err) != 0, staged = keylog_staged(k);
    bytes[0] = 9;
    for (int i = 0; i < 4000; i++)
        refused += keylog_put(k, 2, "\11", 1, bytes, sizeof bytes) == -ENOSPC;
    failed &= keylog_commit(k, &err) != 0;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_true(failed && staged);
    assert_in_range(refused, 2000, 3999);
    assert_int_equal(keylog_commit(k, &err), 0);
    assert_false(keylog_staged(k));
    bytes[0] = 11;
    bytes[1] = 3;
    assert_int_equal(keylog_put(k, 3, "\13", 1, bytes, 2), 0);
    assert_int_equal(keylog_commit(k, &err), 0);
    keylog_close(k);
    k = reopen(path);
    assert_int_equal(seen.seed[1][7], 42);
    assert_int_equal(seen.size[2][9], sizeof bytes);
    assert_int_equal(seen.seed[3][11], 3);
    keylog_close(k);
    unlink(path);
    snprintf(extra, sizeof extra, "%s.lock", path);
    unlink(extra);
    rmdir(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(latest_counts), cmocka_unit_test(full_disk)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
