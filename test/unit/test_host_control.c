/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket with a server in this thread's loop and clients in other processes
 * (the client side blocks) or as plain sockets. */
#include "test_host.h"
#include "host/control.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define MANY 100000

static char dir[64], path[96];

struct server {
    struct loop *l;
    struct control *c;
    uint64_t held;  /* conn of a request that is answered later */
    uint64_t lists; /* conn of a listing, of which row `at` is next */
    uint32_t at;
    int n_requests, n_gone, n_done;
};

static void
step(void *ctx, uint64_t now_us)
{
    struct server *sv = ctx;
    char text[CONTROL_LINE_MAX];
    uint64_t conn;
    size_t room;
    (void)now_us;
    while (control_turn(sv->c, &conn, &room)) {
        size_t used = 0;
        assert_int_equal(conn, sv->lists);
        assert_true(room >= sizeof(text));
        for (; sv->at < MANY && sizeof(text) - used > 128; sv->at++)
            used += (size_t)snprintf(text + used, sizeof(text) - used,
                "{\"row\":%u,\"text\":\"0123456789012345678901234567890123456789\"}\n",
                sv->at);
        assert_int_equal(control_piece(sv->c, conn, text, used), 0);
        if (sv->at < MANY) {
            control_wait(sv->c, conn);
        } else {
            assert_int_equal(control_end(sv->c, conn, NULL), 0);
            sv->n_done++;
        }
    }
}

static void
on_request(void *ctx, uint64_t conn, char *line, size_t size)
{
    struct server *sv = ctx;
    assert_int_equal(strlen(line), size);
    sv->n_requests++;
    if (strcmp(line, "{\"cmd\":\"rows\"}") == 0) {
        sv->lists = conn;
        sv->at = 0;
        control_wait(sv->c, conn);
    } else if (strcmp(line, "{\"cmd\":\"hold\"}") == 0) {
        sv->held = conn;
    } else if (strcmp(line, "{\"cmd\":\"bad\"}") == 0) {
        assert_int_equal(control_end(sv->c, conn, "no such \"command\"\n"), 0);
    } else {
        assert_int_equal(control_reply(sv->c, conn, "{\"ok\":true}"), -EINVAL);
        assert_int_equal(control_reply(sv->c, conn, "two\nlines"), -EINVAL);
        assert_int_equal(control_reply(sv->c, conn, line), 0);
        assert_int_equal(control_end(sv->c, conn, NULL), 0);
        assert_int_equal(control_end(sv->c, conn, NULL), -ENOENT);
    }
}

static void
on_gone(void *ctx, uint64_t conn)
{
    struct server *sv = ctx;
    if (conn == sv->lists) {
        sv->n_done++;
        return;
    }
    assert_int_equal(conn, sv->held);
    sv->n_gone++;
}

static const struct control_calls calls = {
    .on_request = on_request, .on_gone = on_gone};

static void
server_open(struct server *sv)
{
    struct control_conf conf = {.path = path};
    struct host_err err;
    *sv = (struct server){.l = make_loop()};
    if (control_open(&sv->c, sv->l, &conf, &calls, sv, &err))
        fail_msg("%s", err.text);
    loop_step(sv->l, step, sv);
}

static void
server_close(struct server *sv)
{
    control_close(sv->c);
    loop_free(sv->l);
    assert_int_not_equal(access(path, F_OK), 0);
}

static int
plain_client(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strcpy(un.sun_path, path);
    assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    return fd;
}

/* Runs fn in a child while the server's loop turns; returns what fn returned. */
static int
with_child(struct server *sv, int (*fn)(void))
{
    int status = -1;
    uint64_t end = loop_now_fresh(sv->l) + 5000000;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fn());
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (loop_now_fresh(sv->l) > end) {
            kill(pid, SIGKILL);
            fail_msg("client does not end");
        }
        loop_turn(sv->l, loop_now_fresh(sv->l) + 1000);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool
count_lines(void *ctx, char *line, size_t size)
{
    int *n = ctx;
    if (strlen(line) != size || line[0] != '{')
        *n = -1000000;
    ++*n;
    return true;
}

static int
thousand_requests(void)
{
    struct host_err err;
    int n = 0;
    for (int i = 0; i < 1000; i++)
        if (control_call(path, "{\"cmd\":\"echo\"}", count_lines, &n, 2000000, &err))
            return 2;
    return n == 1000 ? 0 : 3;
}

static int
all_rows(void)
{
    struct host_err err;
    int n = 0;
    if (control_call(path, "{\"cmd\":\"rows\"}", count_lines, &n, 2000000, &err))
        return 2;
    return n == MANY ? 0 : 3;
}

static bool
stop_after_ten(void *ctx, char *line, size_t size)
{
    (void)line;
    (void)size;
    return ++*(int *)ctx < 10;
}

static int
some_rows(void)
{
    int n = 0;
    return control_call(
               path, "{\"cmd\":\"rows\"}", stop_after_ten, &n, 2000000, NULL) == 0 &&
                   n == 10
               ? 0
               : 3;
}

static int
bad_request(void)
{
    struct host_err err;
    int rc = control_call(path, "{\"cmd\":\"bad\"}", NULL, NULL, 2000000, &err);
    return rc == -EREMOTEIO && strcmp(err.text, "no such \"command\"\n") == 0 ? 0 : 3;
}

static int
no_answer(void)
{
    struct host_err err;
    return control_call(path, "{\"cmd\":\"hold\"}", NULL, NULL, 20000, &err) ==
                   -ETIMEDOUT
               ? 0
               : 3;
}

static void
test_calls(void **state)
{
    struct server sv;
    struct stat st;
    int before = count_fds();
    (void)state;
    server_open(&sv);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(with_child(&sv, thousand_requests), 0);
    assert_int_equal(sv.n_requests, 1000);
    assert_int_equal(with_child(&sv, bad_request), 0);
    assert_int_equal(with_child(&sv, no_answer), 0);
    TURN_UNTIL(sv.l, sv.n_gone == 1);
    assert_int_equal(control_end(sv.c, sv.held, NULL), -ENOENT);
    TURN_UNTIL(sv.l, control_clients(sv.c) == 0);
    server_close(&sv);
    assert_int_equal(count_fds(), before);
}

static void
test_long_answer(void **state)
{
    struct server sv;
    struct rusage a, b;
    (void)state;
    server_open(&sv);
    getrusage(RUSAGE_SELF, &a);
    assert_int_equal(with_child(&sv, all_rows), 0);
    getrusage(RUSAGE_SELF, &b);
#ifndef __SANITIZE_ADDRESS__ /* it keeps what was freed, and so counts it */
    assert_true(b.ru_maxrss - a.ru_maxrss < 4096); /* of 6 MB */
#endif
    assert_int_equal(sv.n_done, 1);
    assert_int_equal(with_child(&sv, some_rows), 0);
    TURN_UNTIL(sv.l, sv.n_done == 2); /* the client left in the middle */
    server_close(&sv);
}

static void
test_reader_that_stops(void **state)
{
    struct server sv;
    int fd;
    (void)state;
    server_open(&sv);
    fd = plain_client();
    assert_int_equal(write(fd, "{\"cmd\":\"rows\"}\n", 15), 15);
    TURN_UNTIL(sv.l, sv.n_requests == 1);
    for (int i = 0; i < 200; i++)
        loop_turn(sv.l, 0);
    assert_int_equal(sv.n_done, 0); /* waits for the reader, in bounded memory */
    assert_int_equal(control_clients(sv.c), 1);
    close(fd);
    TURN_UNTIL(sv.l, sv.n_done == 1 && control_clients(sv.c) == 0);
    /* Lines that nobody takes: dropped with -ENOBUFS. */
    fd = plain_client();
    assert_int_equal(write(fd, "{\"cmd\":\"hold\"}\n", 15), 15);
    TURN_UNTIL(sv.l, sv.held);
    int rc = 0;
    for (int i = 0; rc == 0 && i < 1000; i++)
        rc = control_reply(sv.c, sv.held,
            "{\"event\":"
            "\"0123456789012345678901234567890123456789012345678901234567890123456789"
            "0123456789012345678901234567890123456789012345678901234567890123456789\""
            "}");
    for (int i = 0; rc == 0 && i < 20000; i++)
        rc = control_reply(
            sv.c, sv.held, "{\"event\":\"0123456789012345678901234567890\"}");
    assert_int_equal(rc, -ENOBUFS);
    TURN_UNTIL(sv.l, sv.n_gone == 1);
    close(fd);
    server_close(&sv);
}

static size_t
read_all(struct server *sv, int fd, char *text, size_t size, int n_lines)
{
    size_t used = 0;
    uint64_t end = loop_now_fresh(sv->l) + 2000000;
    text[0] = '\0';
    while (n_lines > 0 && loop_now_fresh(sv->l) < end) {
        ssize_t n = recv(fd, text + used, size - used - 1, MSG_DONTWAIT);
        if (n == 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            n_lines -= text[used + (size_t)i] == '\n';
        if (n > 0)
            used += (size_t)n;
        text[used] = '\0';
        loop_turn(sv->l, loop_now_fresh(sv->l) + 1000);
    }
    return used;
}

static void
test_pipelined_and_split(void **state)
{
    struct server sv;
    char text[4096];
    static char longest[70000];
    int fd;
    (void)state;
    server_open(&sv);
    fd = plain_client();
    assert_int_equal(write(fd, "{\"a\":1}\n\n{\"a\":2}\r\n{\"a\"", 22), 22);
    assert_int_equal(read_all(&sv, fd, text, sizeof(text), 4), 8 + 12 + 9 + 12);
    assert_int_equal(write(fd, ":3}\n", 4), 4);
    read_all(&sv, fd, text, sizeof(text), 2);
    assert_string_equal(text, "{\"a\":3}\n{\"ok\":true}\n");
    /* While one is held, the next waits. */
    assert_int_equal(write(fd, "{\"cmd\":\"hold\"}\n{\"a\":4}\n", 23), 23);
    TURN_UNTIL(sv.l, sv.held);
    loop_turn(sv.l, 0);
    assert_int_equal(sv.n_requests, 4);
    assert_int_equal(control_end(sv.c, sv.held, NULL), 0);
    read_all(&sv, fd, text, sizeof(text), 3);
    assert_string_equal(text, "{\"ok\":true}\n{\"a\":4}\n{\"ok\":true}\n");
    close(fd);
    /* The longest line passes, a longer one is refused. */
    memset(longest, 'x', sizeof(longest));
    fd = plain_client();
    assert_int_equal(send(fd, longest, sizeof(longest), MSG_DONTWAIT), sizeof(longest));
    read_all(&sv, fd, text, sizeof(text), 1);
    assert_non_null(strstr(text, "longer than 64 kB"));
    close(fd);
    server_close(&sv);
}

static void
test_takeover_and_refusal(void **state)
{
    struct server sv;
    struct loop *l2 = make_loop();
    struct control *c2;
    struct control_conf conf = {.path = path};
    struct host_err err;
    char lock[112];
    int fd, status;
    pid_t pid;
    (void)state;
    snprintf(lock, sizeof(lock), "%s.lock", path);
    pid = fork();
    if (pid == 0) { /* a daemon that dies without a word */
        control_open(&c2, l2, &conf, &calls, NULL, NULL);
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(
        control_call(path, "{}", NULL, NULL, 1000000, &err), -ECONNREFUSED);
    assert_non_null(strstr(err.text, "running"));
    server_open(&sv);
    assert_int_equal(with_child(&sv, bad_request), 0);
    assert_int_equal(control_open(&c2, l2, &conf, &calls, NULL, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(with_child(&sv, bad_request), 0); /* the live one is untouched */
    server_close(&sv);
    assert_int_not_equal(access(lock, F_OK), 0);
    /* A file that is no socket is left alone. */
    fd = creat(path, 0600);
    close(fd);
    assert_int_equal(control_open(&c2, l2, &conf, &calls, NULL, &err), -EEXIST);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
    assert_int_equal(control_call(path, "{}", NULL, NULL, 1000000, &err), -ENOENT);
    conf.path = "relative";
    assert_int_equal(control_open(&c2, l2, &conf, &calls, NULL, &err), -EINVAL);
    loop_free(l2);
}

static int
ask_as_nobody(void)
{
    int rc;
    if (setresuid(65534, 65534, 65534))
        return 2;
    rc = control_call(path, "{}", NULL, NULL, 1000000, NULL);
    return rc == -ECONNRESET || rc == -EPIPE ? 0 : 3;
}

static void
test_other_user_is_refused(void **state)
{
    struct server sv;
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: needs root to become another user\n");
        skip();
    }
    server_open(&sv);
    assert_int_equal(chmod(dir, 0755), 0);
    assert_int_equal(chmod(path, 0666), 0); /* the mode alone would let it in */
    assert_int_equal(with_child(&sv, ask_as_nobody), 0);
    assert_int_equal(sv.n_requests, 0);
    server_close(&sv);
}

static void
test_many_clients(void **state)
{
    struct server sv;
    int fds[80], before = count_fds();
    char text[256];
    (void)state;
    server_open(&sv);
    for (int i = 0; i < 80; i++)
        fds[i] = plain_client();
    TURN_UNTIL(sv.l, control_clients(sv.c) == 64);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(write(fds[i], "{}\n", 3), 3);
        read_all(&sv, fds[i], text, sizeof(text), 2);
        assert_string_equal(text, "{}\n{\"ok\":true}\n");
    }
    for (int i = 0; i < 80; i++)
        close(fds[i]);
    TURN_UNTIL(sv.l, control_clients(sv.c) == 0);
    server_close(&sv);
    assert_int_equal(count_fds(), before);
}

/* A directory for each test: what one leaves behind does not fail the next. */
static int
set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/berth-control-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/run/sock", dir); /* run is made by control_open */
    return 0;
}

static int
tear_down(void **state)
{
    char sub[80], lock[112];
    bool left;
    (void)state;
    snprintf(sub, sizeof(sub), "%s/run", dir);
    snprintf(lock, sizeof(lock), "%s.lock", path);
    left = unlink(path) == 0;
    left = unlink(lock) == 0 || left;
    if (rmdir(sub) && errno != ENOENT) /* a skipped test has made none */
        left = true;
    return rmdir(dir) || left ? -1 : 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_calls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reader_that_stops, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pipelined_and_split, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_takeover_and_refusal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_user_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_clients, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
