/* SPDX-License-Identifier: Apache-2.0 */
/* The log sink's shape and rate limit; what is left of a process that gave up its
 * rights (each in a child); the service manager's datagrams; the pid file. */
#include "test_host.h"
#include "host/daemon.h"
#include "host/packet.h"
#include "host/stream.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sqlite3.h>

static char dir[64];

static size_t
slurp(int fd, char *text, size_t size)
{
    ssize_t n = pread(fd, text, size - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

static int
count_of(const char *text, const char *word)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, word)); p++)
        n++;
    return n;
}

static void
test_log(void **state)
{
    static char text[200000];
    char path[96], env[64];
    struct daemon_log *log;
    struct stat st;
    int fd;
    (void)state;
    snprintf(path, sizeof(path), "%s/log", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    unsetenv("JOURNAL_STREAM");
    log = daemon_log_open(fd, 10);
    for (int i = 0; i < 100; i++)
        daemon_log_sink(log, LOG_INF, "noisy", "x=1");
    daemon_log_sink(log, LOG_INF, "quiet", "y=2");
    daemon_log_sink(log, LOG_ERR_, "noisy", "bad=1"); /* errors always */
    slurp(fd, text, sizeof(text));
    assert_in_range(count_of(text, " noisy: x=1\n"), 40, 60);
    assert_int_equal(count_of(text, " quiet: y=2\n"), 1);
    assert_int_equal(count_of(text, " noisy: bad=1\n"), 1);
    assert_int_equal(count_of(text, "lines_dropped="), 1);
    assert_in_range(daemon_log_dropped(log), 40, 60);
    assert_null(strchr(text, '\033'));
    daemon_log_close(log);
    /* The journal's stream is known by its inode. */
    assert_int_equal(ftruncate(fd, 0), 0);
    lseek(fd, 0, SEEK_SET);
    fstat(fd, &st);
    snprintf(env, sizeof(env), "%llu:%llu", (unsigned long long)st.st_dev,
        (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", env, 1);
    log = daemon_log_open(fd, 0);
    daemon_log_sink(log, LOG_WARN, "m", "k=v");
    slurp(fd, text, sizeof(text));
    assert_string_equal(text, "<4>m: k=v\n");
    unsetenv("JOURNAL_STREAM");
    daemon_log_close(log);
    close(fd);
    unlink(path);
}

static int
in_child(int (*fn)(void))
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fn());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

#define CHECK(cond)                                                                    \
    do {                                                                               \
        if (!(cond))                                                                   \
            return __LINE__ % 200 + 1;                                                 \
    } while (0)

static uint64_t
cap_word(const char *key)
{
    char line[256];
    unsigned long long v = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, key, strlen(key)) == 0)
            v = strtoull(line + strlen(key), NULL, 16);
    if (f)
        fclose(f);
    return v;
}

static int
keeps_two(void)
{
    static const int keep[] = {CAP_NET_ADMIN, CAP_NET_RAW},
                     more[] = {CAP_NET_RAW, CAP_BPF};
    uint64_t want = 1ull << CAP_NET_ADMIN | 1ull << CAP_NET_RAW;
    struct host_err err;
    CHECK(daemon_caps(keep, 2, &err) == 0);
    CHECK(cap_word("CapEff:") == want);
    CHECK(cap_word("CapPrm:") == want);
    CHECK(cap_word("CapBnd:") == want);
    CHECK(socket(AF_PACKET, SOCK_RAW, 0) >= 0);
    CHECK(mount("none", dir, "tmpfs", 0, NULL) < 0 && errno == EPERM);
    CHECK(daemon_caps(more, 2, &err) == -EPERM);
    CHECK(strstr(err.text, "bpf") || strstr(err.text, "BPF"));
    CHECK(daemon_caps(NULL, 0, &err) == 0);
    CHECK(cap_word("CapEff:") == 0);
    return 0;
}

static int
lives_with_filter(void)
{
    char path[96], *argv[] = {"/bin/true", NULL};
    struct stream_addr a = {0};
    struct stream_server *sv;
    static const struct stream_calls calls = {0};
    struct host_err err;
    struct loop *l;
    sqlite3 *db;
    CHECK(daemon_seccomp(&err) == 0);
    execv(argv[0], argv);
    CHECK(errno == EPERM);
    CHECK(unshare(CLONE_NEWNET) < 0 && errno == EPERM);
    CHECK(mount("none", dir, "tmpfs", 0, NULL) < 0 && errno == EPERM);
    /* What the daemons do goes on: loop, sockets, SQLite with its write-ahead log. */
    CHECK(loop_new(&l, &err) == 0);
    CHECK(stream_addr_parse("127.0.0.1:0", &a));
    CHECK(stream_listen(&sv, l, &a, NULL, &calls, NULL, &err) == 0);
    loop_turn(l, 0);
    stream_server_close(sv);
    loop_free(l);
    snprintf(path, sizeof(path), "%s/db", dir);
    CHECK(sqlite3_open(path, &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db,
              "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
              "CREATE TABLE t(x); INSERT INTO t VALUES (1);",
              NULL, NULL, NULL) == SQLITE_OK);
    CHECK(sqlite3_close(db) == SQLITE_OK);
    unlink(path);
    return 0;
}

static void
test_privileges(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: needs root, to have something to give up\n");
        skip();
    }
    assert_int_equal(in_child(keeps_two), 0);
    assert_int_equal(in_child(lives_with_filter), 0);
}

static int
limits(void)
{
    struct host_err err;
    close(0);
    CHECK(daemon_limits(512, &err) == 0);
    CHECK(fcntl(0, F_GETFD) == 0); /* open again, and kept over exec */
    return 0;
}

static void
test_limits(void **state)
{
    (void)state;
    assert_int_equal(in_child(limits), 0);
}

static void
test_service_manager(void **state)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct loop *l = make_loop();
    struct daemon_watchdog *w;
    char text[256], pid[16];
    ssize_t n = -1;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)state;
    snprintf(un.sun_path, sizeof(un.sun_path), "%s/notify", dir);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    setenv("NOTIFY_SOCKET", un.sun_path, 1);
    daemon_ready("serving");
    n = recv(fd, text, sizeof(text) - 1, 0);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "READY=1\nSTATUS=serving"));
    assert_null(daemon_watchdog_new(l));
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("WATCHDOG_USEC", "30000", 1);
    setenv("WATCHDOG_PID", pid, 1);
    w = daemon_watchdog_new(l);
    assert_non_null(w);
    for (int i = 0; i < 3; i++) { /* again and again */
        n = -1;
        TURN_UNTIL(l, n > 0 || (n = recv(fd, text, sizeof(text), 0)) > 0);
        assert_memory_equal(text, "WATCHDOG=1", 10);
    }
    daemon_watchdog_free(w);
    unsetenv("WATCHDOG_USEC");
    unsetenv("NOTIFY_SOCKET");
    daemon_stopping(); /* nobody listens: nothing happens */
    close(fd);
    unlink(un.sun_path);
    loop_free(l);
}

static void
test_pidfile(void **state)
{
    char path[96], text[32], want[32];
    struct host_err err;
    int fd, fd2;
    (void)state;
    snprintf(path, sizeof(path), "%s/pid", dir);
    assert_int_equal(daemon_pidfile(path, &fd, &err), 0);
    slurp(fd, text, sizeof(text));
    snprintf(want, sizeof(want), "%d\n", (int)getpid());
    assert_string_equal(text, want);
    assert_int_equal(daemon_pidfile(path, &fd2, &err), -EEXIST);
    assert_non_null(strstr(err.text, path));
    daemon_pidfile_remove(path, fd);
    assert_int_not_equal(access(path, F_OK), 0);
}

static int
set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/berth-daemon-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int
tear_down(void **state)
{
    (void)state;
    return rmdir(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_privileges),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_service_manager),
        cmocka_unit_test(test_pidfile),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
