/* SPDX-License-Identifier: Apache-2.0 */
/* Frames over a veth pair in a namespace of our own: vt1 is the server port, a raw
 * socket on vt0 is the server. */
#include "test_host.h"
#include "host/packet.h"
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define ECP  0x8940
#define LLDP 0x88cc

static const char *skip_why;
static const uint8_t group[6] = {1, 0x80, 0xc2, 0, 0, 0};
static const uint8_t server_mac[6] = {2, 0, 0, 0, 0, 9};

struct seen {
    int n, n_tagged, n_truncated, states;
    bool open;
    struct packet_frame last;
    uint8_t bytes[64];
};

static void
on_frames(void *ctx, struct packet *p, const struct packet_frame *f, uint32_t n)
{
    struct seen *s = ctx;
    (void)p;
    for (uint32_t i = 0; i < n; i++) {
        s->n++;
        s->n_tagged += f[i].tagged;
        s->n_truncated += f[i].truncated;
        s->last = f[i];
        memcpy(s->bytes, f[i].data, f[i].size < 64 ? f[i].size : 64);
    }
}

static void
on_state(void *ctx, struct packet *p, bool open)
{
    struct seen *s = ctx;
    (void)p;
    s->states++;
    s->open = open;
}

static const struct packet_calls calls = {.on_frames = on_frames, .on_state = on_state};

static int
raw_socket(const char *ifname)
{
    struct sockaddr_ll sll = {.sll_family = AF_PACKET,
        .sll_protocol = 0,
        .sll_ifindex = (int)if_nametoindex(ifname)};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sll, sizeof(sll)), 0);
    return fd;
}

/* vid < 0: untagged. */
static void
send_raw(int fd, const uint8_t *dst, int vid, uint16_t type, size_t size)
{
    uint8_t f[16384] = {0};
    size_t at = 12;
    memcpy(f, dst, 6);
    memcpy(f + 6, server_mac, 6);
    if (vid >= 0) {
        f[at++] = 0x81;
        f[at++] = 0x00;
        f[at++] = (uint8_t)(0x60 | vid >> 8); /* priority 3 */
        f[at++] = (uint8_t)vid;
    }
    f[at++] = (uint8_t)(type >> 8);
    f[at++] = (uint8_t)type;
    memset(f + at, 0xab, sizeof(f) - at);
    assert_int_equal(send(fd, f, size, 0), size);
}

static struct packet *
open_port(struct loop *l, struct packet_conf conf, struct seen *s)
{
    struct packet *p;
    struct host_err err;
    strcpy(conf.ifname, "vt1");
    conf.types[0] = ECP;
    conf.types[1] = LLDP;
    conf.n_types = 2;
    if (packet_open(&p, l, &conf, &calls, s, &err))
        fail_msg("%s", err.text);
    return p;
}

/* A link that has just come up drops silently until the kernel has started its queue:
 * the first frame over it is sent until it arrives; how many did is set back to one. */
static void
first_frame(struct loop *l, int fd, struct seen *s)
{
    uint64_t end = loop_now_fresh(l) + 2000000;
    int had = s->n;
    while (s->n == had) {
        if (loop_now_fresh(l) > end)
            fail_msg("no frame within 2 s");
        send_raw(fd, group, -1, ECP, 60);
        loop_turn(l, loop_now_fresh(l) + 10000);
    }
    s->n = had + 1;
}

#define NEEDS_NETNS()                                                                  \
    do {                                                                               \
        if (skip_why) {                                                                \
            print_message("skipped: %s\n", skip_why);                                  \
            skip();                                                                    \
        }                                                                              \
    } while (0)

static void
test_untagged_and_tagged(void **state)
{
    struct loop *l;
    struct seen s = {0};
    struct packet *p;
    struct packet_stats st;
    int fd, before = count_fds();
    (void)state;
    NEEDS_NETNS();
    l = make_loop();
    fd = raw_socket("vt0");
    p = open_port(l, (struct packet_conf){.promisc = true}, &s);
    send_raw(fd, group, -1, ECP, 60);
    TURN_UNTIL(l, s.n == 1);
    assert_false(s.last.tagged);
    assert_int_equal(s.last.type, ECP);
    assert_int_equal(s.last.size, 60);
    assert_memory_equal(s.bytes, group, 6);
    assert_memory_equal(s.bytes + 6, server_mac, 6);
    send_raw(fd, group, -1, LLDP, 90);
    TURN_UNTIL(l, s.n == 2);
    assert_int_equal(s.last.type, LLDP);
    /* K22: the kernel takes the tag off before the socket sees the frame. */
    send_raw(fd, group, 100, ECP, 64);
    TURN_UNTIL(l, s.n == 3);
    assert_true(s.last.tagged);
    send_raw(fd, packet_mac(p).b, 100, ECP, 64);
    TURN_UNTIL(l, s.n == 4);
    assert_true(s.last.tagged);
    send_raw(fd, packet_mac(p).b, -1, ECP, 64);
    TURN_UNTIL(l, s.n == 5);
    assert_false(s.last.tagged);
    /* Another station's, and other ethertypes, are not ours. */
    send_raw(fd, (const uint8_t[]){2, 0, 0, 0, 0, 77}, -1, ECP, 64);
    send_raw(fd, group, -1, 0x0800, 64);
    send_raw(fd, group, -1, ECP, 64);
    TURN_UNTIL(l, s.n == 6);
    packet_stats_get(p, &st);
    assert_int_equal(st.rx_foreign, 1);
    assert_int_equal(st.rx_tagged, 2);
    assert_int_equal(st.rx_lost, 0);
    packet_close(p);
    close(fd);
    loop_free(l);
    assert_int_equal(count_fds(), before);
}

static void
test_exact_tags(void **state)
{
    struct loop *l;
    struct seen s = {0};
    struct packet *p;
    int fd;
    (void)state;
    NEEDS_NETNS();
    l = make_loop();
    fd = raw_socket("vt0");
    p = open_port(l, (struct packet_conf){.promisc = true, .exact_tags = true}, &s);
    send_raw(fd, group, 100, ECP, 64);
    TURN_UNTIL(l, s.n == 1);
    assert_true(s.last.tagged);
    assert_int_equal(s.last.tci, 0x6064);
    assert_int_equal(s.last.tpid, 0x8100);
    send_raw(fd, group, 0, ECP, 64); /* a priority tag is a tag */
    TURN_UNTIL(l, s.n == 2);
    assert_true(s.last.tagged);
    assert_int_equal(s.last.tci, 0x6000);
    send_raw(fd, group, -1, LLDP, 64);
    TURN_UNTIL(l, s.n == 3);
    assert_false(s.last.tagged);
    packet_close(p);
    close(fd);
    loop_free(l);
}

static void
test_truncated_and_batches(void **state)
{
    struct loop *l;
    struct seen s = {0};
    struct packet *p;
    int fd;
    (void)state;
    NEEDS_NETNS();
    assert_int_equal(
        system("ip link set vt0 mtu 16000 && ip link set vt1 mtu 16000"), 0);
    l = make_loop();
    fd = raw_socket("vt0");
    p = open_port(l, (struct packet_conf){.promisc = false}, &s);
    send_raw(fd, group, -1, ECP, 12000);
    TURN_UNTIL(l, s.n == 1);
    assert_true(s.last.truncated);
    assert_int_equal(s.last.size, PACKET_SIZE_MAX);
    assert_int_equal(s.last.wire_size, 12000);
    send_raw(fd, group, -1, ECP, 14); /* a header and nothing in it */
    TURN_UNTIL(l, s.n == 2);
    assert_int_equal(s.last.size, 14);
    for (int i = 0; i < 100; i++)
        send_raw(fd, group, -1, ECP, 60);
    loop_turn(l, 0);
    assert_int_equal(s.n, 2 + PACKET_BATCH); /* bounded work per turn */
    TURN_UNTIL(l, s.n == 102);
    packet_close(p);
    close(fd);
    loop_free(l);
}

static void
test_send_is_not_heard(void **state)
{
    struct loop *l;
    struct seen s = {0};
    struct packet *p;
    uint8_t f[60] = {1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0x89, 0x40}, got[128];
    struct sockaddr_ll sll = {.sll_family = AF_PACKET, .sll_protocol = htons(ECP)};
    int fd;
    (void)state;
    NEEDS_NETNS();
    l = make_loop();
    fd = raw_socket("vt0");
    sll.sll_ifindex = (int)if_nametoindex("vt0");
    assert_int_equal(bind(fd, (struct sockaddr *)&sll, sizeof(sll)), 0);
    p = open_port(l, (struct packet_conf){.promisc = true, .exact_tags = true}, &s);
    assert_int_equal(packet_send(p, f, sizeof(f)), 0);
    assert_int_equal(recv(fd, got, sizeof(got), 0), sizeof(f));
    assert_memory_equal(got, f, sizeof(f));
    loop_turn(l, 0);
    assert_int_equal(s.n, 0);
    assert_int_equal(packet_send(p, f, 13), -EINVAL);
    packet_close(p);
    close(fd);
    loop_free(l);
}

static void
test_interface_comes_back(void **state)
{
    struct loop *l;
    struct seen s = {0};
    struct packet *p;
    struct packet_stats st;
    uint8_t f[60] = {1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0x89, 0x40};
    int fd;
    (void)state;
    NEEDS_NETNS();
    l = make_loop();
    p = open_port(l, (struct packet_conf){.promisc = true}, &s);
    assert_int_equal(system("ip link del vt0"), 0);
    TURN_UNTIL(l, s.states == 1 && !s.open);
    assert_int_equal(packet_send(p, f, sizeof(f)), -ENETDOWN);
    assert_int_equal(packet_ifindex(p), 0);
    assert_int_equal(system("ip link add vt0 type veth peer name vt1 && "
                            "ip link set vt0 up && ip link set vt1 up"),
        0);
    TURN_UNTIL(l, s.open);
    fd = raw_socket("vt0");
    first_frame(l, fd, &s);
    /* Replaced between two looks: the link event asks for one. */
    close(fd);
    assert_int_equal(
        system("ip link del vt0 && ip link add vt0 type veth peer name vt1 && "
               "ip link set vt0 up && ip link set vt1 up"),
        0);
    packet_check(p);
    fd = raw_socket("vt0");
    first_frame(l, fd, &s);
    send_raw(fd, group, -1, LLDP, 60); /* the second socket too */
    TURN_UNTIL(l, s.last.type == LLDP);
    packet_stats_get(p, &st);
    assert_int_equal(st.reopened, 2);
    /* Down and up again: the same socket goes on. */
    assert_int_equal(system("ip link set vt1 down && ip link set vt1 up"), 0);
    loop_turn(l, 0);
    first_frame(l, fd, &s);
    packet_stats_get(p, &st);
    assert_int_equal(st.reopened, 2);
    packet_close(p);
    close(fd);
    loop_free(l);
}

static void
test_no_interface(void **state)
{
    struct loop *l;
    struct packet_conf conf = {.ifname = "nowhere0", .types = {ECP}, .n_types = 1};
    struct packet *p;
    struct host_err err;
    struct seen s = {0};
    (void)state;
    NEEDS_NETNS();
    l = make_loop();
    assert_int_equal(packet_open(&p, l, &conf, &calls, &s, &err), -ENODEV);
    assert_non_null(strstr(err.text, "nowhere0"));
    conf.may_wait = true;
    assert_int_equal(packet_open(&p, l, &conf, &calls, &s, &err), 0);
    assert_int_equal(system("ip link add nowhere0 type veth peer name nowhere1"), 0);
    TURN_UNTIL(l, s.open);
    packet_close(p);
    loop_free(l);
}

static int
set_up(void **state)
{
    struct loop *l;
    struct seen s = {0};
    struct packet *p;
    int fd;
    (void)state;
    skip_why = enter_netns();
    if (skip_why)
        return 0;
    l = make_loop();
    fd = raw_socket("vt0");
    p = open_port(l, (struct packet_conf){.promisc = true}, &s);
    first_frame(l, fd, &s);
    packet_close(p);
    close(fd);
    loop_free(l);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_untagged_and_tagged),
        cmocka_unit_test(test_exact_tags),
        cmocka_unit_test(test_truncated_and_batches),
        cmocka_unit_test(test_send_is_not_heard),
        cmocka_unit_test(test_interface_comes_back),
        cmocka_unit_test(test_no_interface),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
