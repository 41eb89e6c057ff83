/* SPDX-License-Identifier: Apache-2.0 */
/* The journal loses nothing that was committed and invents nothing: it is cut at every
 * length, flipped at every octet, killed while writing and while compacting. */
#include "host/journal.h"
#include "base/rng.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define LAYOUT 7
#define HEADER 48
#define HEAD   24

static char dir[64], path[96];

/* Record i of every test: type, size and octets follow from i and a salt. */
static size_t
record_make(uint32_t salt, uint32_t i, uint8_t *p, uint16_t *type)
{
    struct rng r;
    rng_seed(&r, (uint64_t)salt << 32 | i);
    size_t size = rng_below(&r, 60);
    *type = (uint16_t)(1 + rng_below(&r, 9));
    rng_bytes(&r, p, size);
    return size;
}

/* Replay that insists on records 0, 1, 2 ... of one salt. */
struct expect {
    uint32_t salt, n;
};

static void
expect_next(void *ctx, uint16_t type, const void *payload, size_t size)
{
    struct expect *e = ctx;
    uint8_t want[64];
    uint16_t want_type;
    size_t want_size = record_make(e->salt, e->n++, want, &want_type);
    assert_int_equal(size, want_size);
    assert_int_equal(type, want_type);
    if (size)
        assert_memory_equal(payload, want, size);
}

static void
append(struct journal *j, uint32_t salt, uint32_t i)
{
    uint8_t p[64];
    uint16_t type;
    size_t size = record_make(salt, i, p, &type);
    assert_true(journal_append(j, type, p, size));
}

static struct journal *
open_at(
    const char *file, uint64_t sync_us, struct expect *e, struct journal_report *rep)
{
    struct journal *j;
    struct host_err err;
    struct journal_conf conf = {.path = file, .layout = LAYOUT, .sync_us = sync_us};
    int rc = journal_open(&j, &conf, expect_next, e, rep, &err);
    if (rc < 0)
        print_message("%s\n", err.text);
    assert_int_equal(rc, 0);
    return j;
}

static size_t
file_read(const char *file, uint8_t *p, size_t cap)
{
    int fd = open(file, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, p, cap);
    assert_true(n >= 0);
    close(fd);
    return (size_t)n;
}

static void
file_write(const char *file, const uint8_t *p, size_t size)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, size), size);
    close(fd);
}

static bool
exists(const char *suffix)
{
    char name[128];
    snprintf(name, sizeof(name), "%s%s", path, suffix);
    return access(name, F_OK) == 0;
}

static void
drop(const char *suffix)
{
    char name[128];
    snprintf(name, sizeof(name), "%s%s", path, suffix);
    unlink(name);
}

static int
setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/berth-journal-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/j", dir);
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

/* n records of a salt, three to a commit; the file's octets go to p. */
static size_t
make_file(uint32_t salt, uint32_t n, uint8_t *p, size_t cap)
{
    struct expect e = {.salt = salt};
    struct journal_report rep;
    unlink(path);
    struct journal *j = open_at(path, 0, &e, &rep);
    assert_true(rep.created);
    for (uint32_t i = 0; i < n; i++) {
        append(j, salt, i);
        if (i % 3 == 2)
            assert_int_equal(journal_commit(j, NULL), 0);
    }
    assert_int_equal(journal_commit(j, NULL), 0);
    journal_close(j);
    return file_read(path, p, cap);
}

static uint8_t file[1 << 16], bad[1 << 16];

static void
test_round_trip(void **state)
{
    (void)state;
    struct journal_report rep;
    struct journal_stats st;
    static uint8_t big[JOURNAL_RECORD_MAX + 1];
    make_file(1, 100, file, sizeof(file));
    for (int round = 0; round < 3; round++) {
        struct expect e = {.salt = 1};
        struct journal *j = open_at(path, 0, &e, &rep);
        assert_int_equal(e.n, 100 + (uint32_t)round);
        assert_int_equal(rep.n_records, e.n);
        assert_false(rep.created || rep.corrupt || rep.torn);
        append(j, 1, e.n);
        assert_int_equal(journal_commit(j, NULL), 0);
        journal_stats(j, &st);
        assert_int_equal(st.n_records, e.n + 1);
        journal_close(j);
    }
    /* What is staged but not committed is not there; sizes are bounded. */
    struct expect e = {.salt = 1};
    struct journal *j = open_at(path, 0, &e, &rep);
    append(j, 1, e.n);
    assert_false(journal_append(j, 1, big, sizeof(big)));
    journal_close(j);
    e.n = 0;
    journal_close(open_at(path, 0, &e, &rep));
    assert_int_equal(e.n, 103);
}

static uint32_t n_seen;
static size_t last_size;

static void
count_record(void *ctx, uint16_t type, const void *payload, size_t size)
{
    (void)ctx, (void)type, (void)payload;
    n_seen++;
    last_size = size;
}

/* Records of the greatest size, so many that the reading window moves. */
static void
test_large(void **state)
{
    (void)state;
    static uint8_t big[JOURNAL_RECORD_MAX];
    struct expect e = {0};
    struct journal_conf conf = {.path = path, .layout = LAYOUT};
    struct journal_report rep;
    unlink(path);
    struct journal *j = open_at(path, 0, &e, &rep);
    for (int i = 0; i < 40; i++) {
        memset(big, i, sizeof(big));
        assert_true(journal_append(j, 3, big, sizeof(big) - (size_t)i * 1000));
    }
    assert_int_equal(journal_commit(j, NULL), 0);
    journal_close(j);
    n_seen = 0;
    assert_int_equal(journal_open(&j, &conf, count_record, NULL, &rep, NULL), 0);
    assert_int_equal(n_seen, 40);
    assert_int_equal(last_size, JOURNAL_RECORD_MAX - 39 * 1000);
    assert_false(rep.corrupt || rep.torn);
    journal_close(j);
}

/* A kill may end the file at any octet: a prefix of the records, and nothing is called
 * damage; what is appended then follows on the prefix. */
static void
test_cut_everywhere(void **state)
{
    (void)state;
    uint32_t last = 0;
    size_t size = make_file(2, 24, file, sizeof(file));
    for (size_t len = HEADER; len <= size; len++) {
        struct journal_report rep;
        struct expect e = {.salt = 2};
        file_write(path, file, len);
        struct journal *j = open_at(path, 0, &e, &rep);
        assert_false(rep.corrupt);
        assert_true(e.n >= last && e.n <= last + 1);
        assert_int_equal(rep.size + rep.torn, len);
        last = e.n;
        append(j, 2, e.n);
        assert_int_equal(journal_commit(j, NULL), 0);
        journal_close(j);
        uint32_t n = e.n;
        e.n = 0;
        journal_close(open_at(path, 0, &e, &rep));
        assert_int_equal(e.n, n + 1);
        assert_int_equal(rep.torn, 0);
    }
    assert_int_equal(last, 24);
    assert_false(exists(".bad"));
    /* A machine that lost power may leave zeros after the last record. */
    struct journal_report rep;
    struct expect e = {.salt = 2};
    memset(file + size, 0, 5000);
    file_write(path, file, size + 5000);
    journal_close(open_at(path, 0, &e, &rep));
    assert_int_equal(e.n, 24);
    assert_int_equal(rep.torn, 5000);
    assert_false(rep.corrupt);
}

/* One flipped bit anywhere after the header: the records before it, and the rest, octet
 * by octet, in the .bad copy. */
static void
test_flip_everywhere(void **state)
{
    (void)state;
    size_t size = make_file(3, 24, file, sizeof(file));
    for (size_t at = HEADER; at < size; at++) {
        struct journal_report rep;
        struct expect e = {.salt = 3};
        file[at] ^= (uint8_t)(1 << at % 8);
        file_write(path, file, size);
        journal_close(open_at(path, 0, &e, &rep));
        assert_true(rep.corrupt);
        assert_int_equal(rep.torn, 0);
        assert_true(rep.corrupt_at <= at && rep.corrupt_at + HEAD + 64 > at);
        assert_int_equal(rep.n_records, e.n);
        assert_int_equal(rep.corrupt_size, size - rep.corrupt_at);
        assert_int_equal(file_read(rep.bad_path, bad, sizeof(bad)), rep.corrupt_size);
        assert_memory_equal(bad, file + rep.corrupt_at, rep.corrupt_size);
        unlink(rep.bad_path);
        file[at] ^= (uint8_t)(1 << at % 8);
    }
}

/* A damaged header: refused untouched where it may be another program's file, else all
 * set aside; never a record replayed under a doubtful header. */
static void
test_flip_header(void **state)
{
    (void)state;
    size_t size = make_file(4, 5, file, sizeof(file));
    for (size_t at = 0; at < HEADER; at++) {
        struct journal_report rep;
        struct host_err err;
        struct journal *j;
        struct expect e = {.salt = 4};
        struct journal_conf conf = {.path = path, .layout = LAYOUT};
        file[at] ^= 0x10;
        file_write(path, file, size);
        int rc = journal_open(&j, &conf, expect_next, &e, &rep, &err);
        assert_int_equal(e.n, 0);
        if (at < 8) {
            assert_int_equal(rc, -EPROTO);
            assert_non_null(strstr(err.text, "not a journal"));
            assert_int_equal(file_read(path, bad, sizeof(bad)), size);
            assert_memory_equal(bad, file, size);
        } else {
            assert_int_equal(rc, 0);
            assert_true(rep.corrupt);
            assert_int_equal(file_read(rep.bad_path, bad, sizeof(bad)), size);
            assert_memory_equal(bad, file, size);
            unlink(rep.bad_path);
            journal_close(j);
        }
        file[at] ^= 0x10;
    }
}

/* A good record at a place where it was not written is not taken (re-used disk blocks).
 */
static void
test_misplaced(void **state)
{
    (void)state;
    size_t size = make_file(5, 6, file, sizeof(file)), body = size - HEADER;
    struct journal_report rep;
    struct expect e = {.salt = 5};
    memcpy(file + size, file + HEADER, body);
    file_write(path, file, size + body);
    journal_close(open_at(path, 0, &e, &rep));
    assert_int_equal(e.n, 6);
    assert_int_equal(rep.corrupt_at, size);
    /* The second damage goes to a file of its own. */
    file_write(path, file, size + body);
    e.n = 0;
    journal_close(open_at(path, 0, &e, &rep));
    assert_non_null(strstr(rep.bad_path, ".bad.1"));
    assert_true(exists(".bad") && exists(".bad.1"));
    drop(".bad");
    drop(".bad.1");
}

static void
test_refusals(void **state)
{
    (void)state;
    struct journal_report rep;
    struct host_err err;
    struct journal *j, *second;
    struct expect e = {.salt = 6};
    struct journal_conf conf = {.path = path, .layout = LAYOUT};
    char want[32];
    make_file(6, 5, file, sizeof(file));
    j = open_at(path, 0, &e, &rep);
    snprintf(want, sizeof(want), "process %d", (int)getpid());
    assert_int_equal(journal_open(&second, &conf, NULL, NULL, NULL, &err), -EBUSY);
    assert_non_null(strstr(err.text, want));
    assert_null(second);
    journal_close(j);
    conf.layout = LAYOUT + 1;
    assert_int_equal(journal_open(&j, &conf, NULL, NULL, NULL, &err), -EPROTO);
    assert_non_null(strstr(err.text, "layout 7"));
    conf.path = "/nowhere/at/all/j";
    assert_int_equal(journal_open(&j, &conf, NULL, NULL, NULL, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
    conf.path = dir;
    assert_true(journal_open(&j, &conf, NULL, NULL, NULL, &err) < 0);
    e.n = 0;
    journal_close(open_at(path, 0, &e, &rep));
    assert_int_equal(e.n, 5);
}

struct live {
    uint32_t salt, n, i;
    uint8_t p[64];
};

static bool
live_next(void *ctx, struct journal_record *rec)
{
    struct live *l = ctx;
    if (l->i == l->n)
        return false;
    rec->size = record_make(l->salt, l->i++, l->p, &rec->type);
    rec->payload = l->p;
    return true;
}

static void
test_compact(void **state)
{
    (void)state;
    struct journal_report rep;
    struct journal_stats st;
    struct expect e = {.salt = 7};
    struct live live = {.salt = 8, .n = 50};
    make_file(7, 200, file, sizeof(file));
    struct journal *j = open_at(path, 1000, &e, &rep);
    append(j, 8, 50);
    assert_int_equal(journal_compact(j, live_next, &live, NULL), -EBUSY);
    journal_discard(j);
    assert_int_equal(journal_compact(j, live_next, &live, NULL), 0);
    journal_stats(j, &st);
    assert_int_equal(st.generation, 2);
    assert_int_equal(st.n_records, 50);
    assert_int_equal(st.size, st.base_size);
    append(j, 8, 50);
    assert_int_equal(journal_commit(j, NULL), 0);
    journal_close(j);
    e = (struct expect){.salt = 8};
    j = open_at(path, 0, &e, &rep);
    assert_int_equal(e.n, 51);
    journal_stats(j, &st);
    assert_int_equal(st.generation, 2);
    journal_close(j);
    assert_false(exists(".new"));
}

/* The process dies (SIGXFSZ, at a file size that rises) in the middle of a compaction:
 * the old generation or the new one is there, whole. */
static void
test_compact_crash(void **state)
{
    (void)state;
    size_t size = make_file(9, 60, file, sizeof(file));
    bool old_seen = false, new_seen = false;
    for (size_t limit = 1; !new_seen; limit += 61) {
        struct journal_report rep;
        struct expect e = {.salt = 9};
        file_write(path, file, size);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct live live = {.salt = 10, .n = 40};
            struct rlimit none = {0, 0}, at = {limit, limit};
            struct journal *j = open_at(path, 0, &e, &rep);
            signal(SIGXFSZ, SIG_DFL);
            setrlimit(RLIMIT_CORE, &none);
            setrlimit(RLIMIT_FSIZE, &at);
            _exit(journal_compact(j, live_next, &live, NULL) == 0 ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        new_seen = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (!new_seen)
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
        old_seen |= !new_seen && exists(".new");
        e = (struct expect){.salt = new_seen ? 10 : 9};
        journal_close(open_at(path, 0, &e, &rep));
        assert_int_equal(e.n, new_seen ? 40 : 60);
        assert_false(rep.torn || rep.corrupt);
        assert_false(exists(".new"));
    }
    assert_true(old_seen);
}

/* A full disk: the commit fails, the file is as before, the records stay staged. */
static void
test_disk_full(void **state)
{
    (void)state;
    struct journal_report rep;
    struct host_err err;
    struct expect e = {.salt = 11};
    struct live live = {.salt = 12, .n = 500};
    size_t size = make_file(11, 30, file, sizeof(file));
    struct rlimit old, small;
    struct journal *j = open_at(path, 0, &e, &rep);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){.rlim_cur = size + 30, .rlim_max = old.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    for (uint32_t i = 30; i < 40; i++)
        append(j, 11, i);
    int rc = journal_commit(j, &err);
    int rc_compact = -1;
    struct stat st;
    stat(path, &st);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(rc, -EFBIG);
    assert_non_null(strstr(err.text, "cannot write"));
    assert_int_equal(st.st_size, size);
    assert_int_equal(journal_commit(j, &err), 0);
    setrlimit(RLIMIT_FSIZE, &small);
    rc_compact = journal_compact(j, live_next, &live, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    assert_int_equal(rc_compact, -EFBIG);
    append(j, 11, 40);
    assert_int_equal(journal_commit(j, &err), 0);
    journal_close(j);
    e.n = 0;
    journal_close(open_at(path, 0, &e, &rep));
    assert_int_equal(e.n, 41);
}

/* SIGKILL while it commits: everything acknowledged is there. */
static void
test_kill(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 13);
    for (int round = 0; round < 10; round++) {
        struct journal_report rep;
        struct expect e = {.salt = 13};
        uint32_t acked = 0, n;
        int fds[2];
        unlink(path);
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct journal *j = open_at(path, 500, &e, &rep);
            for (n = 0;;) {
                for (int k = 0; k < 5; k++)
                    append(j, 13, n++);
                if (journal_commit(j, NULL) < 0 || write(fds[1], &n, sizeof(n)) < 0)
                    _exit(1);
            }
        }
        close(fds[1]);
        uint32_t until = 5 + rng_below(&r, 2000);
        while (acked < until && read(fds[0], &n, sizeof(n)) == sizeof(n))
            acked = n;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        while (read(fds[0], &n, sizeof(n)) == sizeof(n))
            acked = n;
        close(fds[0]);
        journal_close(open_at(path, 0, &e, &rep));
        assert_true(e.n >= acked && e.n <= acked + 5);
        assert_false(rep.corrupt);
    }
}

static void
test_background_flush(void **state)
{
    (void)state;
    struct journal_report rep;
    struct journal_stats st;
    struct expect e = {.salt = 14};
    struct timespec tick = {0, 1000000};
    unlink(path);
    struct journal *j = open_at(path, 2000, &e, &rep);
    for (uint32_t i = 0; i < 50; i++) {
        append(j, 14, i);
        assert_int_equal(journal_commit(j, NULL), 0);
    }
    int waited = 0;
    do {
        nanosleep(&tick, NULL);
        journal_stats(j, &st);
    } while (st.n_flushes == 0 && ++waited < 5000);
    assert_true(st.n_flushes > 0 && st.n_flushes < 50);
    assert_int_equal(st.n_commits, 50);
    assert_int_equal(journal_sync(j, NULL), 0);
    journal_close(j);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_cut_everywhere),
        cmocka_unit_test(test_flip_everywhere),
        cmocka_unit_test(test_flip_header),
        cmocka_unit_test(test_misplaced),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_compact),
        cmocka_unit_test(test_compact_crash),
        cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_background_flush),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
