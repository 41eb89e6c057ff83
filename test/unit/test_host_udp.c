/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams on loopback: batches, both address families on one socket, the local
 * address. */
#include "test_host.h"
#include "host/udp.h"

struct seen {
    struct udp *reply_by; /* echo with it */
    uint32_t n, calls, largest;
    uint64_t bytes;
    struct udp_msg last;
    uint8_t data[16];
    bool close_now;
};

static void
on_msgs(void *ctx, struct udp *u, const struct udp_msg *msgs, uint32_t n)
{
    struct seen *s = ctx;
    s->calls++;
    s->n += n;
    if (n > s->largest)
        s->largest = n;
    for (uint32_t i = 0; i < n; i++) {
        s->bytes += msgs[i].size;
        s->last = msgs[i];
        memcpy(s->data, msgs[i].data, msgs[i].size < 16 ? msgs[i].size : 16);
        if (s->reply_by)
            assert_int_equal(udp_send(s->reply_by, &msgs[i].local, &msgs[i].peer,
                                 msgs[i].peer_port, msgs[i].data, msgs[i].size),
                0);
    }
    if (s->close_now)
        udp_close(u);
}

static struct udp *
open_udp(struct loop *l, const char *address, struct seen *s)
{
    struct udp_conf conf = {.port = 0};
    struct udp *u;
    struct host_err err;
    if (address)
        assert_true(ip_parse(address, &conf.address));
    if (udp_open(&u, l, &conf, on_msgs, s, &err))
        fail_msg("%s", err.text);
    return u;
}

static void
echo(const char *server, const char *target, const char *client)
{
    struct loop *l = make_loop();
    struct seen ss = {0}, cs = {0};
    struct udp *sv = open_udp(l, server, &ss), *c = open_udp(l, client, &cs);
    struct ip to;
    ss.reply_by = sv;
    assert_true(ip_parse(target, &to));
    assert_int_equal(udp_send(c, NULL, &to, udp_port(sv), "hello", 5), 0);
    TURN_UNTIL(l, cs.n == 1);
    assert_true(ip_equal(&ss.last.local, &to));
    assert_true(ip_equal(&cs.last.peer, &to)); /* answered from where it was asked */
    assert_int_equal(cs.last.peer_port, udp_port(sv));
    assert_int_equal(ss.last.peer_port, udp_port(c));
    assert_memory_equal(cs.data, "hello", 5);
    udp_close(sv);
    udp_close(c);
    loop_free(l);
}

static void
test_addresses(void **state)
{
    int before = count_fds();
    (void)state;
    echo("127.0.0.1", "127.0.0.1", "127.0.0.1");
    echo("0.0.0.0", "127.0.0.7", NULL);
    echo(NULL, "127.0.0.7", "127.0.0.1"); /* v4 by a v6 socket */
    if (access("/proc/net/if_inet6", R_OK) == 0) {
        echo(NULL, "::1", NULL);
        echo("::1", "::1", "::1");
    }
    assert_int_equal(count_fds(), before);
}

static void
test_batches(void **state)
{
    struct loop *l = make_loop();
    struct seen ss = {0}, cs = {0};
    struct udp *sv = open_udp(l, "127.0.0.1", &ss), *c = open_udp(l, "127.0.0.1", &cs);
    struct udp_stats st;
    struct ip to = ip_v4(0x7f000001);
    uint8_t data[1000] = {0};
    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(udp_send(c, NULL, &to, udp_port(sv), data, (size_t)i), 0);
    TURN_UNTIL(l, ss.n == 1000);
    assert_int_equal(ss.bytes, 1000 * 999 / 2);
    assert_int_equal(ss.largest, UDP_BATCH);
    udp_stats_get(c, &st);
    assert_int_equal(st.tx, 1000);
    assert_int_equal(st.tx_dropped + st.tx_errors, 0);
    udp_stats_get(sv, &st);
    assert_int_equal(st.rx, 1000);
    assert_int_equal(st.rx_lost, 0);
    udp_close(c);
    udp_close(sv);
    loop_free(l);
}

static void
test_sizes_and_errors(void **state)
{
    struct loop *l = make_loop();
    struct seen ss = {0}, cs = {0};
    struct udp *sv = open_udp(l, "127.0.0.1", &ss), *c = open_udp(l, "127.0.0.1", &cs),
               *u;
    struct udp_conf conf = {.port = 0};
    struct host_err err;
    struct udp_stats st;
    struct ip to = ip_v4(0x7f000001), none = ip_v4(0), v6;
    static uint8_t data[UDP_SIZE_MAX + 1];
    (void)state;
    assert_int_equal(
        udp_send(c, NULL, &to, udp_port(sv), data, sizeof(data)), -EMSGSIZE);
    assert_int_equal(udp_send(c, NULL, &to, udp_port(sv), data, UDP_SIZE_MAX), 0);
    TURN_UNTIL(l, ss.n == 1);
    assert_int_equal(ss.last.size, UDP_SIZE_MAX);
    assert_true(ip_parse("::1", &v6));
    assert_int_equal(udp_send(c, NULL, &v6, 1, "x", 1), -EAFNOSUPPORT);
    /* One that cannot go does not stop those behind it. */
    assert_int_equal(udp_send(c, &none, &to, udp_port(sv), "a", 1), 0);
    assert_true(ip_parse("192.0.2.1", &none)); /* not an address of this host */
    assert_int_equal(udp_send(c, &none, &to, udp_port(sv), "b", 1), 0);
    assert_int_equal(udp_send(c, NULL, &to, udp_port(sv), "c", 1), 0);
    TURN_UNTIL(l, ss.n == 3);
    assert_int_equal(ss.data[0], 'c');
    udp_stats_get(c, &st);
    assert_int_equal(st.tx_errors, 1);
    conf.address = to;
    conf.port = udp_port(sv);
    assert_int_equal(udp_open(&u, l, &conf, on_msgs, &ss, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, "127.0.0.1"));
    udp_close(c);
    udp_close(sv);
    loop_free(l);
}

static void
test_close_in_callback(void **state)
{
    struct loop *l = make_loop();
    struct seen ss = {.close_now = true}, cs = {0};
    struct udp *sv = open_udp(l, "127.0.0.1", &ss), *c = open_udp(l, "127.0.0.1", &cs);
    struct ip to = ip_v4(0x7f000001);
    (void)state;
    udp_send(c, NULL, &to, udp_port(sv), "x", 1);
    TURN_UNTIL(l, ss.n == 1);
    loop_turn(l, 0);
    udp_close(c);
    loop_free(l);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_sizes_and_errors),
        cmocka_unit_test(test_close_in_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
