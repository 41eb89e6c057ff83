/* SPDX-License-Identifier: Apache-2.0 */
/* Streams on loopback and unix paths: echo, batching, the peer that does not read,
 * refusals, time-outs, closing inside callbacks. */
#include "test_host.h"
#include "host/stream.h"
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

struct end {
    struct stream *s;
    bool open, closed, echo, close_on_data, refuse;
    int code, chunks, rooms;
    size_t size;
    const char *why;
    uint8_t first[16];
};

static void
on_open(void *ctx, struct stream *s)
{
    struct end *e = ctx;
    assert_ptr_equal(e->s, s);
    e->open = true;
}

static void *
on_accept(void *ctx, struct stream *s)
{
    struct end *e = ctx;
    if (e->refuse)
        return NULL;
    e->s = s;
    e->open = true;
    return e;
}

static void
on_data(void *ctx, struct stream *s, const uint8_t *data, size_t size)
{
    struct end *e = ctx;
    assert_in_range(size, 1, STREAM_CHUNK);
    if (!e->size)
        memcpy(e->first, data, size < 16 ? size : 16);
    e->size += size;
    e->chunks++;
    if (e->echo)
        stream_write(s, data, size);
    if (e->close_on_data) {
        stream_close(s);
        e->s = NULL;
    }
}

static void
on_room(void *ctx, struct stream *s)
{
    struct end *e = ctx;
    (void)s;
    e->rooms++;
}

static void
on_close(void *ctx, struct stream *s, int code, const char *why)
{
    struct end *e = ctx;
    assert_ptr_equal(e->s, s);
    assert_false(e->closed);
    e->closed = true;
    e->code = code;
    e->why = why;
    e->s = NULL;
}

static const struct stream_calls calls = {.on_accept = on_accept,
    .on_open = on_open,
    .on_data = on_data,
    .on_room = on_room,
    .on_close = on_close};

static struct stream_server *
listen_at(struct loop *l, struct stream_addr *a, const struct stream_conf *conf,
    struct end *e)
{
    struct stream_server *sv;
    struct host_err err;
    if (stream_listen(&sv, l, a, conf, &calls, e, &err))
        fail_msg("%s", err.text);
    if (!a->path[0])
        a->port = stream_server_port(sv);
    return sv;
}

static void
connect_to(struct loop *l, const struct stream_addr *a, const struct stream_conf *conf,
    struct end *e)
{
    struct host_err err;
    if (stream_connect(&e->s, l, a, conf, &calls, e, &err))
        fail_msg("%s", err.text);
}

static struct stream_addr
address(const char *text)
{
    struct stream_addr a;
    if (!stream_addr_parse(text, &a))
        fail_msg("address %s", text);
    return a;
}

static void
test_addresses(void **state)
{
    static const char *const good[][2] = {
        {"127.0.0.1:80", "127.0.0.1:80"},
        {"[::1]:443",    "[::1]:443"   },
        {"*:5",          "*:5"         },
        {":5",           "*:5"         },
        {"unix:/run/x",  "/run/x"      },
        {"/run/x",       "/run/x"      }
    };
    static const char *const bad[] = {"", "1.2.3.4", "::1:80",
        "1.2.3.4:", "1.2.3.4:70000", "1.2.3.4:5x", "host:1", "unix:1.2.3.4:80",
        "1.2.3.4:-1", "[1.2.3.4:5",
        "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    char text[STREAM_ADDR_STR];
    struct stream_addr a;
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        a = address(good[i][0]);
        assert_string_equal(stream_addr_str(&a, text), good[i][1]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (stream_addr_parse(bad[i], &a))
            fail_msg("accepted '%s'", bad[i]);
}

static void
echo_at(const char *text, const char *server_text)
{
    struct loop *l = make_loop();
    struct end sv_end = {.echo = true}, c = {0};
    struct stream_addr at = address(server_text), to = address(text);
    struct stream_server *sv = listen_at(l, &at, NULL, &sv_end);
    static uint8_t big[300000];
    to.port = at.port;
    memset(big, 7, sizeof(big));
    connect_to(l, &to, NULL, &c);
    assert_int_equal(stream_write(c.s, "early", 5), 0); /* before it is open */
    TURN_UNTIL(l, c.size == 5);
    assert_true(c.open);
    assert_memory_equal(c.first, "early", 5);
    for (int i = 0; i < 100; i++)
        stream_write(c.s, "0123456789", 10);
    c.chunks = 0;
    TURN_UNTIL(l, c.size == 1005);
    assert_int_equal(c.chunks, 1); /* a hundred writes, one packet each way */
    assert_int_equal(stream_write(c.s, big, sizeof(big)), 0);
    TURN_UNTIL(l, c.size == 1005 + sizeof(big));
    assert_int_equal(stream_server_count(sv), 1);
    stream_close(c.s);
    TURN_UNTIL(l, sv_end.closed);
    assert_int_equal(sv_end.code, 0);
    assert_false(c.closed);
    assert_int_equal(stream_server_count(sv), 0);
    stream_server_close(sv);
    loop_free(l);
}

static char dir[64], path[96];

static void
test_echo(void **state)
{
    int before = count_fds();
    struct stat st;
    (void)state;
    echo_at("127.0.0.1:0", "127.0.0.1:0");
    echo_at("127.0.0.1:0", "*:0");
    if (access("/proc/net/if_inet6", R_OK) == 0)
        echo_at("[::1]:0", "[::1]:0");
    echo_at(path, path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    unlink(path);
    assert_int_equal(count_fds(), before);
}

static void
test_slow_reader_is_closed(void **state)
{
    struct loop *l = make_loop();
    struct end e = {0}, c = {0};
    struct stream_addr at = address("127.0.0.1:0");
    struct stream_conf conf = {.write_max = 100000};
    struct stream_server *sv = listen_at(l, &at, &conf, &e);
    static uint8_t data[50000];
    size_t most = 0;
    int rc = 0;
    (void)state;
    connect_to(l, &at, NULL, &c);
    TURN_UNTIL(l, c.open && e.open);
    stream_pause(c.s, true);
    for (int i = 0; rc == 0 && i < 1000; i++) {
        rc = stream_write(e.s, data, sizeof(data));
        if (e.s && stream_waiting(e.s) > most)
            most = stream_waiting(e.s);
        loop_turn(l, 0);
    }
    assert_int_equal(rc, -ENOBUFS);
    assert_true(most <= conf.write_max);
    TURN_UNTIL(l, e.closed);
    assert_int_equal(e.code, -ENOBUFS);
    stream_pause(c.s, false);
    TURN_UNTIL(l, c.closed);
    stream_server_close(sv);
    loop_free(l);
}

static void
test_room(void **state)
{
    struct loop *l = make_loop();
    struct end e = {0}, c = {0};
    struct stream_addr at = address(path);
    struct stream_conf conf = {.write_max = 100000};
    struct stream_server *sv = listen_at(l, &at, &conf, &e);
    static uint8_t data[10000];
    size_t sent = 0;
    (void)state;
    connect_to(l, &at, NULL, &c);
    TURN_UNTIL(l, c.open && e.open);
    stream_pause(c.s, true);
    while (stream_room(e.s) >= sizeof(data) && sent < 50000000) {
        assert_int_equal(stream_write(e.s, data, sizeof(data)), 0);
        sent += sizeof(data);
        loop_turn(l, 0);
    }
    assert_int_equal(e.rooms, 0);
    stream_pause(c.s, false);
    TURN_UNTIL(l, c.size == sent);
    assert_int_equal(e.rooms, 1);
    stream_close(e.s);
    TURN_UNTIL(l, c.closed);
    stream_server_close(sv);
    unlink(path);
    loop_free(l);
}

static void
test_refused_and_timeout(void **state)
{
    struct loop *l = make_loop();
    struct end c = {0}, d = {0}, e = {0};
    struct stream_addr at = address("127.0.0.1:0");
    struct stream_conf conf = {.connect_us = 30000};
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t n = sizeof(in);
    struct stream_server *sv = listen_at(l, &at, NULL, &e);
    int fd;
    (void)state;
    stream_server_close(sv);
    connect_to(l, &at, NULL, &c);
    TURN_UNTIL(l, c.closed);
    assert_int_equal(c.code, -ECONNREFUSED);
    at = address(path);
    connect_to(l, &at, NULL, &d); /* no such path */
    TURN_UNTIL(l, d.closed);
    assert_int_equal(d.code, -ENOENT);
    /* A full listen queue swallows the SYN: the third connection never opens. */
    fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &n), 0);
    at = address("127.0.0.1:0");
    at.port = ntohs(in.sin_port);
    struct end q[4] = {0};
    for (int i = 0; i < 4; i++)
        connect_to(l, &at, &conf, &q[i]);
    TURN_UNTIL(l, q[3].closed);
    assert_int_equal(q[3].code, -ETIMEDOUT);
    for (int i = 0; i < 4; i++)
        stream_close(q[i].s);
    close(fd);
    loop_free(l);
}

static void
test_close_in_callbacks(void **state)
{
    struct loop *l = make_loop();
    struct end e = {.close_on_data = true}, c = {0}, d = {0};
    struct stream_addr at = address("127.0.0.1:0");
    struct stream_server *sv = listen_at(l, &at, NULL, &e);
    (void)state;
    connect_to(l, &at, NULL, &c);
    stream_write(c.s, "x", 1);
    TURN_UNTIL(l, c.closed);
    assert_false(e.closed);
    e.refuse = true;
    connect_to(l, &at, NULL, &d);
    TURN_UNTIL(l, d.closed);
    assert_int_equal(stream_server_count(sv), 0);
    /* The server goes before its stream. */
    e = (struct end){.echo = true};
    c = (struct end){0};
    connect_to(l, &at, NULL, &c);
    TURN_UNTIL(l, e.open);
    stream_server_close(sv);
    stream_write(c.s, "y", 1);
    TURN_UNTIL(l, c.size == 1);
    stream_close(c.s);
    TURN_UNTIL(l, e.closed);
    loop_free(l);
}

struct crowd {
    struct end ends[4];
    int n;
};

static void *
on_crowd_accept(void *ctx, struct stream *s)
{
    struct crowd *w = ctx;
    assert_in_range(w->n, 0, 3);
    w->ends[w->n].s = s;
    return &w->ends[w->n++];
}

static void
test_too_many(void **state)
{
    struct loop *l = make_loop();
    struct crowd w = {0};
    struct end c[5] = {0};
    struct stream_addr at = address("127.0.0.1:0");
    struct stream_conf conf = {.accept_max = 3};
    struct stream_calls crowd_calls = calls;
    struct stream_server *sv;
    (void)state;
    crowd_calls.on_accept = on_crowd_accept;
    assert_int_equal(stream_listen(&sv, l, &at, &conf, &crowd_calls, &w, NULL), 0);
    at.port = stream_server_port(sv);
    for (int i = 0; i < 5; i++)
        connect_to(l, &at, NULL, &c[i]);
    TURN_UNTIL(l, c[3].closed && c[4].closed);
    assert_false(c[0].closed || c[1].closed || c[2].closed);
    assert_int_equal(stream_server_count(sv), 3);
    for (int i = 0; i < 3; i++)
        stream_close(c[i].s);
    TURN_UNTIL(l, stream_server_count(sv) == 0);
    stream_server_close(sv);
    loop_free(l);
}

/* Without a free descriptor the caller is refused and the loop does not spin. */
static void
test_no_descriptors(void **state)
{
    struct loop *l = make_loop();
    struct end e = {0}, c = {0}, d = {0};
    struct stream_addr at = address("127.0.0.1:0");
    struct stream_server *sv = listen_at(l, &at, NULL, &e);
    struct rlimit old, few;
    int next;
    (void)state;
    connect_to(l, &at, NULL, &c);
    next = dup(0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    few = old;
    few.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    TURN_UNTIL(l, c.closed);
    assert_false(e.open);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    connect_to(l, &at, NULL, &d);
    TURN_UNTIL(l, d.open && e.open);
    stream_close(d.s);
    TURN_UNTIL(l, e.closed);
    stream_server_close(sv);
    loop_free(l);
}

static int
set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/berth-stream-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/sock", dir);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_slow_reader_is_closed),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_refused_and_timeout),
        cmocka_unit_test(test_close_in_callbacks),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_no_descriptors),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
