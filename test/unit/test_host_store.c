/* SPDX-License-Identifier: Apache-2.0 */
/* The store: what completed is there after a kill, no epoch is given twice in any order
 * of kills, and a file that cannot be used is left as it was. */
#include "host/store.h"
#include "base/rng.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#define WAIT_US 10000000

static char dir[64], path[96];

struct seen {
    struct store_vn vns[8];
    char extra[8][32];
    uint32_t n_vns, n_epochs, n_resvs;
    struct store_epoch resv;
    struct ip target;
    struct store_epoch epoch; /* the last one */
};

static void
on_vn(void *ctx, const struct store_vn *vn)
{
    struct seen *s = ctx;
    assert_true(s->n_vns < 8);
    s->vns[s->n_vns] = *vn;
    snprintf(s->extra[s->n_vns], 32, "%s", vn->extra ? vn->extra : "(none)");
    s->n_vns++;
}

static void
on_epoch(void *ctx, const struct store_epoch *e)
{
    struct seen *s = ctx;
    s->epoch = *e;
    s->n_epochs++;
}

static void
on_resv(void *ctx, const struct store_epoch *e, const struct ip *target)
{
    struct seen *s = ctx;
    s->resv = *e;
    s->target = *target;
    s->n_resvs++;
}

static int
try_open(struct store **s, struct seen *seen, uint64_t block, struct host_err *err)
{
    struct store_conf conf = {.path = path, .epoch_block = block};
    struct store_load load = {
        .vn = on_vn, .epoch = on_epoch, .reservation = on_resv, .ctx = seen};
    memset(seen, 0, sizeof(*seen));
    return store_open(s, &conf, &load, err);
}

static struct store *
must_open(struct seen *seen, uint64_t block)
{
    struct store *s;
    struct host_err err;
    int rc = try_open(&s, seen, block, &err);
    if (rc < 0)
        print_message("%s\n", err.text);
    assert_int_equal(rc, 0);
    return s;
}

/* Waits for the completion of one operation; those before it must have come well. */
static int
result_of(struct store *s, uint64_t id, struct host_err *err)
{
    struct store_done done;
    assert_true(id != 0);
    for (;;) {
        while (store_next_done(s, &done)) {
            if (done.id == id) {
                if (err)
                    *err = done.err;
                return done.result;
            }
            assert_true(done.id < id);
        }
        assert_true(store_wait(s, WAIT_US));
    }
}

static void
fresh(void)
{
    char other[128];
    unlink(path);
    snprintf(other, sizeof(other), "%s-wal", path);
    unlink(other);
    snprintf(other, sizeof(other), "%s-shm", path);
    unlink(other);
}

static int
setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/berth-store-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/nva.db", dir);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    char cmd[128];
    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
    return system(cmd);
}

static struct store_vn
vn_of(uint32_t vni, const char *name)
{
    struct store_vn vn = {.vni = vni,
        .mtu = 1450,
        .arp_policy = 1,
        .reply_mode = 2,
        .flags = 0x80000001,
        .extra = vni % 2 ? "{\"a\":1}" : NULL};
    snprintf(vn.name, sizeof(vn.name), "%s", name);
    return vn;
}

static void
test_reopen(void **state)
{
    (void)state;
    struct seen seen;
    struct host_err err;
    struct mac mac = {
        {2, 0, 0, 0, 0, 9}
    };
    struct store_vn red = vn_of(5001, "red"), blue = vn_of(16777215, "blue");
    struct store_epoch e = {5001, mac, 77, 0xfedcba9876543210, 1234567};
    fresh();
    struct store *s = must_open(&seen, 0);
    assert_int_equal(seen.n_vns + seen.n_epochs, 0);
    assert_true(store_put_vn(s, &red, &err) && store_put_vn(s, &blue, &err));
    assert_int_equal(result_of(s, store_put_epoch(s, &e, &err), NULL), 0);
    struct ip target = ip_v4(0xc0000207);
    struct store_epoch v = {5001, mac, 79, 12, 1234568}, gone = v;
    gone.vni = 5002;
    assert_true(store_put_reservation(s, &gone, &target, &err) != 0);
    assert_true(store_del_reservation(s, 5002, &mac, &target, &err) != 0);
    assert_int_equal(
        result_of(s, store_put_reservation(s, &v, &target, &err), NULL), 0);
    v.epoch = 78; /* one per key and target, whichever came last */
    assert_int_equal(
        result_of(s, store_put_reservation(s, &v, &target, &err), NULL), 0);
    /* A maximum never falls. */
    e.epoch = 76;
    assert_int_equal(result_of(s, store_put_epoch(s, &e, &err), NULL), 0);
    /* Names are unique; the others of the batch are not harmed. */
    struct store_vn twin = vn_of(5002, "red"), green = vn_of(5003, "green");
    uint64_t twin_id = store_put_vn(s, &twin, &err);
    uint64_t green_id = store_put_vn(s, &green, &err);
    assert_int_equal(result_of(s, twin_id, &err), -EEXIST);
    assert_string_equal(
        err.text, "VN 5002: the name red belongs to another VNI; names are unique");
    assert_int_equal(result_of(s, green_id, NULL), 0);
    blue.mtu = 9000;
    assert_int_equal(result_of(s, store_put_vn(s, &blue, &err), NULL), 0);
    assert_int_equal(result_of(s, store_del_vn(s, 5003, &err), NULL), 0);
    assert_int_equal(result_of(s, store_del_vn(s, 5003, &err), &err), -ENOENT);
    struct store_vn wrong = vn_of(VNI_MAX + 1, "big"), nameless = vn_of(1, "");
    assert_int_equal(store_put_vn(s, &wrong, &err), 0);
    assert_int_equal(store_put_vn(s, &nameless, &err), 0);
    store_close(s);

    s = must_open(&seen, 0);
    assert_int_equal(seen.n_vns, 2);
    assert_int_equal(seen.vns[0].vni, 5001);
    assert_string_equal(seen.vns[0].name, "red");
    assert_string_equal(seen.extra[0], "{\"a\":1}");
    assert_int_equal(seen.vns[0].flags, 0x80000001);
    assert_int_equal(seen.vns[0].arp_policy, 1);
    assert_int_equal(seen.vns[0].reply_mode, 2);
    assert_int_equal(seen.vns[1].mtu, 9000);
    assert_int_equal(seen.n_epochs, 1);
    assert_int_equal(seen.n_resvs, 1);
    assert_true(seen.resv.vni == 5001 && mac_equal(&seen.resv.mac, &mac) &&
                seen.resv.epoch == 78 && seen.resv.migration == 12 &&
                seen.resv.t_us == 1234568 && ip_equal(&seen.target, &target));
    assert_int_equal(seen.epoch.epoch, 77);
    assert_true(seen.epoch.migration == 0xfedcba9876543210);
    assert_int_equal(seen.epoch.t_us, 1234567);
    assert_true(mac_equal(&seen.epoch.mac, &mac));
    /* Closing commits what is queued. */
    assert_true(store_del_epoch(s, 5001, &mac, &err));
    store_close(s);
    s = must_open(&seen, 0);
    assert_int_equal(seen.n_epochs, 0);
    store_close(s);
}

/* 10,000 operations, one wait: the disk is asked a few times, not once each. */
static void
test_group_commit(void **state)
{
    (void)state;
    struct seen seen;
    struct store_done done;
    uint64_t last = 0, expect = 1;
    fresh();
    struct store *s = must_open(&seen, 0);
    for (uint32_t i = 0; i < 10000; i++) {
        struct store_epoch e = {
            i % 50, {{2, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i}}, i + 1, i, i};
        last = store_put_epoch(s, &e, NULL);
    }
    last = store_flush(s, NULL);
    while (expect <= last) {
        while (store_next_done(s, &done)) {
            assert_int_equal(done.id, expect++);
            assert_int_equal(done.result, 0);
        }
        assert_true(expect > last || store_wait(s, WAIT_US));
    }
    store_close(s);
    s = must_open(&seen, 0);
    assert_int_equal(seen.n_epochs, 10000);
    store_close(s);
}

static uint64_t
grant(struct store *s, uint64_t above)
{
    uint64_t epoch;
    struct store_done done;
    int rc;
    while ((rc = store_epoch_grant(s, above, &epoch)) == -EAGAIN) {
        assert_true(store_wait(s, WAIT_US));
        while (store_next_done(s, &done))
            ;
    }
    assert_int_equal(rc, 0);
    assert_true(epoch > above);
    return epoch;
}

/* Runs that end by SIGKILL at any point, with small blocks and leaps: every number that
 * a run has given (it tells by a pipe) is above every number of the runs before. */
static void
test_never_twice(void **state)
{
    (void)state;
    struct rng r;
    uint64_t highest = 0, n_total = 0;
    fresh();
    rng_seed(&r, 21);
    for (int round = 0; round < 12; round++) {
        int fds[2];
        uint64_t e, n = 0, until = 1 + rng_below(&r, 400), before = highest;
        bool leap = rng_chance(&r, 300000);
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct seen seen;
            struct store *s = must_open(&seen, 50);
            for (;;) {
                e = grant(s, leap && n == 7 ? before + 5000 : 0);
                n++;
                if (write(fds[1], &e, sizeof(e)) != sizeof(e))
                    _exit(1);
            }
        }
        close(fds[1]);
        while (read(fds[0], &e, sizeof(e)) == sizeof(e)) {
            assert_true(e > highest);
            highest = e;
            if (++n == until)
                kill(pid, SIGKILL);
        }
        close(fds[0]);
        int status;
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status));
        assert_true(n >= until);
        n_total += n;
    }
    /* An orderly end costs no more numbers than the blocks. */
    struct seen seen;
    struct store *s = must_open(&seen, 50);
    uint64_t first = grant(s, 0);
    assert_true(first > highest && first <= highest + 200);
    store_close(s);
    assert_true(n_total > 12);
}

/* A grant waits for no disk: a whole block is there at once, and the next is fetched
 * while the first half is used. */
static void
test_grant_range(void **state)
{
    (void)state;
    struct seen seen;
    struct host_err err;
    uint64_t e, next, limit;
    fresh();
    struct store *s = must_open(&seen, 1000);
    store_epoch_range(s, &next, &limit);
    assert_int_equal(next, 1);
    assert_int_equal(limit, 1001);
    for (uint64_t i = 1; i <= 1000; i++) {
        assert_int_equal(store_epoch_grant(s, 0, &e), 0);
        assert_int_equal(e, i);
    }
    assert_int_equal(grant(s, 0), 1001);
    /* A carried epoch leaps ahead: never below it, and then onwards. */
    assert_int_equal(grant(s, 500000), 500001);
    assert_int_equal(grant(s, 3), 500002);
    /* A liar does not use up the numbers of all. */
    assert_int_equal(store_epoch_grant(s, UINT64_MAX, &e), -ERANGE);
    assert_int_equal(store_epoch_grant(s, STORE_EPOCH_MAX, &e), -ERANGE);
    assert_int_equal(store_epoch_grant(s, 500000 + 2 * STORE_EPOCH_LEAP, &e), -ERANGE);
    assert_int_equal(grant(s, 0), 500003);
    struct store_epoch wild = {.vni = 1, .epoch = UINT64_MAX};
    assert_int_equal(store_put_epoch(s, &wild, &err), 0);
    /* The owner that counts itself. */
    store_epoch_range(s, &next, &limit);
    assert_int_equal(next, 500004);
    assert_int_equal(result_of(s, store_epoch_raise(s, limit + 77, &err), NULL), 0);
    uint64_t raised;
    store_epoch_range(s, &next, &raised);
    assert_true(raised >= limit + 77);
    assert_int_equal(store_epoch_raise(s, UINT64_MAX, &err), 0);
    store_close(s);
    s = must_open(&seen, 1000);
    store_epoch_range(s, &next, &limit);
    assert_true(next >= raised);
    store_close(s);
}

static size_t
file_read(uint8_t *p, size_t cap)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, p, cap);
    close(fd);
    assert_true(n >= 0);
    return (size_t)n;
}

static void
file_write(const uint8_t *p, size_t size)
{
    fresh();
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0 && write(fd, p, size) == (ssize_t)size);
    close(fd);
}

static uint8_t before[1 << 20], after[1 << 20];

/* Opening is refused with `code`, the text has `words`, the file is as it was. */
static void
expect_refused(int code, const char *words)
{
    struct seen seen;
    struct store *s;
    struct host_err err;
    size_t size = file_read(before, sizeof(before));
    int rc = try_open(&s, &seen, 0, &err);
    if (rc != code || !strstr(err.text, words))
        print_message("%d %s\n", rc, err.text);
    assert_int_equal(rc, code);
    assert_non_null(strstr(err.text, words));
    assert_non_null(strstr(err.text, path));
    assert_null(s);
    assert_int_equal(file_read(after, sizeof(after)), size);
    assert_memory_equal(before, after, size);
}

static void
sql(const char *text)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void
test_refusals(void **state)
{
    (void)state;
    struct seen seen;
    struct host_err err;
    struct store *s;
    char keep[96];
    fresh();
    s = must_open(&seen, 0);
    for (uint32_t i = 0; i < 2000; i++) {
        struct store_epoch e = {i, {{2, 0, 0, 0, 0, 1}}, i + 1, i, i};
        assert_true(store_put_epoch(s, &e, NULL));
    }
    assert_int_equal(result_of(s, store_flush(s, NULL), NULL), 0);
    /* Two authorities on one file would grant alike. */
    struct store *second;
    assert_int_equal(try_open(&second, &seen, 0, &err), -EBUSY);
    assert_non_null(strstr(err.text, "another process has it open"));
    store_close(s);

    size_t size = file_read(before, sizeof(before));
    uint8_t *copy = malloc(size);
    memcpy(copy, before, size);
    memset(copy + size / 2, 0x5a, 4096);
    file_write(copy, size);
    expect_refused(-EUCLEAN, "restore a copy");
    file_write(
        (const uint8_t *)"This is a text file that somebody put here, in good faith.",
        58);
    expect_refused(-EUCLEAN, "restore a copy");
    free(copy);

    fresh();
    sql("CREATE TABLE recipes(name)");
    expect_refused(-EPROTO, "another program");
    fresh();
    store_close(must_open(&seen, 0));
    sql("UPDATE meta SET value=2 WHERE key='schema'; PRAGMA journal_mode=DELETE;");
    expect_refused(-EPROTO, "schema 2, this program knows 1");
    sql("UPDATE meta SET value=1 WHERE key='schema'");
    store_close(must_open(&seen, 0));

    memcpy(keep, path, sizeof(keep));
    snprintf(path, sizeof(path), "/nowhere/at/all/nva.db");
    assert_true(try_open(&s, &seen, 0, &err) < 0);
    assert_non_null(strstr(err.text, "/nowhere/at/all/nva.db"));
    memcpy(path, keep, sizeof(keep));
}

/* A file system of 256 kB in a mount namespace of this process: full, then read-only.
 */
static void
test_full_and_read_only(void **state)
{
    (void)state;
    struct seen seen;
    struct host_err err;
    struct store *s;
    struct store_vn red = vn_of(5001, "red");
    char fill[96], block[4096] = {1}, keep[96];
    uint64_t e;
    if (unshare(CLONE_NEWNS) < 0) {
        print_message("needs root for a small file system\n");
        skip();
    }
    char mnt[80];
    snprintf(mnt, sizeof(mnt), "%s/mnt", dir);
    memcpy(keep, path, sizeof(keep));
    assert_int_equal(mkdir(mnt, 0700), 0);
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    assert_int_equal(mount("tmpfs", mnt, "tmpfs", 0, "size=256k"), 0);
    snprintf(path, sizeof(path), "%s/nva.db", mnt);
    snprintf(fill, sizeof(fill), "%s/fill", mnt);
    s = must_open(&seen, 100);
    assert_int_equal(result_of(s, store_put_vn(s, &red, &err), NULL), 0);
    int fd = open(fill, O_WRONLY | O_CREAT, 0600);
    while (write(fd, block, sizeof(block)) > 0)
        ;
    struct store_vn blue = vn_of(5002, "blue");
    assert_int_equal(result_of(s, store_put_vn(s, &blue, &err), &err), -ENOSPC);
    assert_non_null(strstr(err.text, "free space on the disk"));
    /* Grants stop at the mark that is on the disk, whatever the disk says. */
    int rc;
    uint32_t n = 0;
    struct store_done done;
    while ((rc = store_epoch_grant(s, 0, &e)) == 0 || rc == -EAGAIN) {
        n += rc == 0;
        if (rc == -EAGAIN) {
            assert_true(store_wait(s, WAIT_US));
            while (store_next_done(s, &done))
                ;
        }
    }
    assert_int_equal(rc, -ENOSPC);
    assert_int_equal(n, 100);
    assert_int_equal(e, 100);
    /* Space comes back: so does everything else. */
    assert_int_equal(ftruncate(fd, 0), 0);
    close(fd);
    assert_int_equal(result_of(s, store_put_vn(s, &blue, &err), NULL), 0);
    /* The refused grant asked the disk once more, maybe while it was still full: that
     * failure is told once. */
    rc = store_epoch_grant(s, 0, &e);
    assert_true(rc == 0 || rc == -EAGAIN || rc == -ENOSPC);
    if (rc)
        e = grant(s, 0);
    assert_int_equal(e, 101);
    store_close(s);
    s = must_open(&seen, 100);
    assert_int_equal(seen.n_vns, 2);
    assert_true(grant(s, 0) > 101);
    store_close(s);
    assert_int_equal(mount(NULL, mnt, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    expect_refused(-EROFS, "read-only");
    assert_int_equal(umount(mnt), 0);
    memcpy(path, keep, sizeof(keep));
}

/* SIGKILL in the middle of writes: whatever was completed is there. */
static void
test_kill(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 22);
    for (int round = 0; round < 5; round++) {
        struct seen seen;
        int fds[2];
        uint64_t acked = 0, until = 20 + rng_below(&r, 500), id;
        fresh();
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct store *s = must_open(&seen, 0);
            struct store_done done;
            for (uint32_t i = 0;; i++) {
                struct store_epoch e = {
                    i >> 8, {{2, 0, 0, 0, 0, (uint8_t)i}}, i + 1, 0, 0};
                store_put_epoch(s, &e, NULL);
                while (store_next_done(s, &done))
                    if (write(fds[1], &done.id, sizeof(done.id)) < 0)
                        _exit(1);
            }
        }
        close(fds[1]);
        while (read(fds[0], &id, sizeof(id)) == sizeof(id)) {
            acked = id;
            if (acked == until)
                kill(pid, SIGKILL);
        }
        close(fds[0]);
        waitpid(pid, NULL, 0);
        struct store *s = must_open(&seen, 0);
        assert_true(seen.n_epochs >= acked);
        store_close(s);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reopen),
        cmocka_unit_test(test_group_commit),
        cmocka_unit_test(test_never_twice),
        cmocka_unit_test(test_grant_range),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_full_and_read_only),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
