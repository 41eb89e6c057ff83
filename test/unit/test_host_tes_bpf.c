/* SPDX-License-Identifier: Apache-2.0 */
/* The tagging of VM frames in the kernel: programs on veth pairs in a namespace of
 * one's own, frames by AF_PACKET on the far ends. What must not arrive is awaited by
 * its drop counter. */
#include "test.h"
#include "host/tes_bpf.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define N_VMS 70
static char pins[64];
static struct tes_bpf_plane *plane;
static uint32_t up;
static const char *why;
static bool no_tcx;

static void
run(const char *cmd)
{
    if (system(cmd))
        fail_msg("%s", cmd);
}

static struct mac
vm_mac(unsigned n)
{
    return (struct mac){
        {2, 0, 0, 0, (uint8_t)(n >> 8), (uint8_t)n}
    };
}

static int
open_port(const char *name)
{
    struct sockaddr_ll a = {.sll_family = AF_PACKET,
        .sll_protocol = htons(0x0003),
        .sll_ifindex = (int)if_nametoindex(name)};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(0x0003));
    int one = 1;
    assert_true(fd >= 0 && a.sll_ifindex > 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one));
    one = 1;
    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
    return fd;
}

struct frame {
    uint8_t b[256];
    int size;
    int tci; /* -1: untagged */
};

static bool
receive(int fd, struct frame *f, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char aux[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
    struct iovec iov = {f->b, sizeof(f->b)};
    struct msghdr m = {.msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = aux,
        .msg_controllen = sizeof(aux)};
    f->tci = -1;
    if (poll(&p, 1, ms) <= 0)
        return false;
    f->size = (int)recvmsg(fd, &m, 0);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        struct tpacket_auxdata *d = (struct tpacket_auxdata *)CMSG_DATA(c);
        if (c->cmsg_type == PACKET_AUXDATA && d->tp_status & TP_STATUS_VLAN_VALID)
            f->tci = d->tp_vlan_tci;
    }
    return f->size > 0;
}

/* tci -1: untagged; the mark tells frames apart. */
static void
send_frame(int fd, struct mac dst, struct mac src, int tci, uint16_t type, uint8_t mark)
{
    uint8_t b[80] = {0};
    int n = 12;
    memcpy(b, dst.b, 6);
    memcpy(b + 6, src.b, 6);
    if (tci >= 0) {
        b[n++] = 0x81;
        b[n++] = 0x00;
        b[n++] = (uint8_t)(tci >> 8);
        b[n++] = (uint8_t)tci;
    }
    b[n++] = (uint8_t)(type >> 8);
    b[n++] = (uint8_t)type;
    b[n] = mark;
    assert_int_equal(send(fd, b, 64, 0), 64);
}

static uint64_t
counter(enum tes_counter c)
{
    uint64_t v[TESC_N];
    assert_int_equal(tes_bpf_counters(plane, v), 0);
    return v[c];
}

static void
counter_reaches(enum tes_counter c, uint64_t want)
{
    for (int i = 0; i < 2000 && counter(c) < want; i++)
        poll(NULL, 0, 1);
    if (counter(c) != want)
        fail_msg("%s is %lu, not %lu", tes_bpf_counter_name(c),
            (unsigned long)counter(c), (unsigned long)want);
}

static int
tag(unsigned n, uint16_t vid, bool pass, bool reflect)
{
    char name[16];
    struct host_err err;
    struct tes_bpf_tag t = {.ifname = name,
        .uplink = up,
        .mac = vm_mac(n),
        .vid = vid,
        .pcp = 5,
        .pass = pass,
        .reflect = reflect};
    int rc;
    snprintf(name, sizeof(name), "vm%u", n);
    rc = tes_bpf_tag(plane, &t, &err);
    if (rc)
        print_message("%s\n", err.text);
    return rc;
}

static void
open_plane(void)
{
    struct tes_bpf_conf c = {
        .pin_dir = pins, .mount = true, .no_tcx = no_tcx, .seed = 1};
    struct host_err err;
    if (tes_bpf_open(&plane, &c, &err) || tes_bpf_uplink(plane, "up0", &up, &err))
        fail_msg("%s", err.text);
}

static int
setup_with(unsigned n_vms)
{
    FILE *f;
    if (unshare(CLONE_NEWNET | CLONE_NEWNS)) {
        why = "needs root for namespaces";
        return 0;
    }
    run("mount --make-rprivate /");
    snprintf(pins, sizeof(pins), "/tmp/test-tes-bpf-%d", (int)getpid());
    mkdir(pins, 0700);
    run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 "
        "net.ipv6.conf.default.disable_ipv6=1");
    f = popen("ip -batch -", "w");
    fprintf(f, "link set lo up\nlink add up0 type veth peer name up1\n"
               "link set up0 up\nlink set up1 up\n");
    for (unsigned i = 1; i <= n_vms; i++)
        fprintf(f,
            "link add vm%u type veth peer name p%u\nlink set vm%u up\nlink set p%u "
            "up\n",
            i, i, i, i);
    assert_int_equal(pclose(f), 0);
    open_plane();
    return 0;
}

static int
setup(void **state)
{
    (void)state;
    return setup_with(3);
}

static int
teardown(void **state)
{
    (void)state;
    if (why)
        return 0;
    tes_bpf_remove(plane);
    tes_bpf_close(plane);
    plane = NULL;
    umount(pins);
    rmdir(pins);
    return 0;
}

#define root_only()                                                                    \
    do {                                                                               \
        if (why) {                                                                     \
            print_message("skipped: %s\n", why);                                       \
            skip();                                                                    \
        }                                                                              \
    } while (0)

static const struct mac bcast = {
    {255, 255, 255, 255, 255, 255}
};
static const struct mac far = {
    {2, 0xfa, 0, 0, 0, 1}
};

static void
test_from_vm(void **state)
{
    static const struct {
        uint8_t dst[6];
        int tci;
        uint16_t type;
        uint8_t src;
        enum tes_counter why;
    } bad[] = {
        {{2, 0xfa, 0, 0, 0, 1},       100,    0x0800, 1, TESC_DROP_TAGGED    },
        {{2, 0xfa, 0, 0, 0, 1},       0x2000, 0x0800, 1, TESC_DROP_TAGGED    },
        {{1, 0x80, 0xc2, 0, 0, 0},    100,    0x8940, 1, TESC_DROP_TAGGED    },
        {{1, 0x80, 0xc2, 0, 0, 0},    -1,     0x8940, 1, TESC_DROP_SIGNALLING},
        {{2, 0xfa, 0, 0, 0, 1},       -1,     0x8940, 1, TESC_DROP_SIGNALLING},
        {{1, 0x80, 0xc2, 0, 0, 0x0e}, -1,     0x88cc, 1, TESC_DROP_SIGNALLING},
        {{1, 0x80, 0xc2, 0, 0, 3},    -1,     0x888e, 1, TESC_DROP_RESERVED  },
        {{2, 0xfa, 0, 0, 0, 1},       -1,     0x0800, 9, TESC_DROP_SPOOF     },
    };
    int vm, out;
    struct frame f;
    (void)state;
    root_only();
    vm = open_port("p1");
    out = open_port("up1");
    assert_int_equal(tag(1, 0, false, false), 0);
    send_frame(vm, far, vm_mac(1), -1, 0x0800, 1);
    counter_reaches(TESC_DROP_CLOSED, 1);
    assert_int_equal(tag(1, 100, false, false), 0); /* tag known, not yet open */
    send_frame(vm, far, vm_mac(1), -1, 0x0800, 1);
    counter_reaches(TESC_DROP_CLOSED, 2);
    assert_false(receive(out, &f, 0));
    assert_int_equal(tag(1, 100, true, false), 0);
    send_frame(vm, far, vm_mac(1), -1, 0x0800, 2);
    assert_true(receive(out, &f, 1000));
    assert_int_equal(f.tci, 100 | 5 << 13);
    assert_int_equal(f.b[14], 2);
    send_frame(vm, bcast, vm_mac(1), -1, 0x0806, 3);
    assert_true(receive(out, &f, 1000));
    assert_int_equal(f.tci, 100 | 5 << 13);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct mac dst;
        uint64_t before = counter(bad[i].why);
        memcpy(dst.b, bad[i].dst, 6);
        send_frame(vm, dst, vm_mac(bad[i].src), bad[i].tci, bad[i].type, 9);
        counter_reaches(bad[i].why, before + 1);
    }
    assert_false(receive(out, &f, 0));
    tes_bpf_untag(plane, "vm1"); /* while its link is being made */
    assert_int_equal(tes_bpf_n_vms(plane), 0);
    tes_bpf_settle(plane);
    send_frame(vm, far, vm_mac(1), -1, 0x0800, 4);
    send_frame(vm, far, vm_mac(1), -1, 0x8940, 4);
    assert_false(receive(out, &f, 0));
    close(vm);
    close(out);
}

static void
test_to_vm(void **state)
{
    int vm1, vm2, out, ecp;
    struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(0x8940)};
    struct frame f;
    (void)state;
    root_only();
    vm1 = open_port("p1");
    vm2 = open_port("p2");
    out = open_port("up1");
    ecp = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(0x8940));
    a.sll_ifindex = (int)if_nametoindex("up0");
    assert_int_equal(bind(ecp, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(tag(1, 100, true, false), 0);
    assert_int_equal(tag(2, 200, true, false), 0);
    send_frame(out, vm_mac(1), far, 100, 0x0800, 1);
    assert_true(receive(vm1, &f, 1000));
    assert_int_equal(f.tci, -1);
    assert_int_equal(f.b[14], 1);
    send_frame(out, vm_mac(1), far, 200, 0x0800, 2); /* its address, another network */
    counter_reaches(TESC_DROP_UNKNOWN, 1);
    send_frame(out, bcast, far, 200, 0x0806, 3);
    assert_true(receive(vm2, &f, 1000));
    assert_int_equal(f.b[14], 3);
    assert_false(receive(vm1, &f, 0));
    send_frame(out, far, far, 300, 0x0800, 4);
    counter_reaches(TESC_DROP_UNKNOWN, 2);
    /* signalling: untagged reaches its socket, tagged does not (K22) */
    send_frame(out,
        (struct mac){
            {1, 0x80, 0xc2}
    },
        far, -1, 0x8940, 5);
    assert_true(receive(ecp, &f, 1000));
    send_frame(out,
        (struct mac){
            {1, 0x80, 0xc2}
    },
        far, 100, 0x8940, 6);
    send_frame(out,
        (struct mac){
            {1, 0x80, 0xc2}
    },
        far, 0, 0x8940, 6);
    counter_reaches(TESC_DROP_TAGGED_SIGNALLING, 2);
    assert_false(receive(ecp, &f, 0));
    close(vm1);
    close(vm2);
    close(out);
    close(ecp);
}

static void
test_switching(void **state)
{
    int vm[4], out;
    struct frame f;
    (void)state;
    root_only();
    out = open_port("up1");
    for (unsigned i = 1; i <= 3; i++) {
        char name[8];
        snprintf(name, sizeof(name), "p%u", i);
        vm[i] = open_port(name);
        assert_int_equal(tag(i, i == 3 ? 200 : 100, true, false), 0);
    }
    send_frame(vm[1], vm_mac(2), vm_mac(1), -1, 0x0800, 1); /* here */
    assert_true(receive(vm[2], &f, 1000));
    assert_int_equal(f.tci, -1);
    assert_false(receive(out, &f, 0));
    send_frame(vm[1], vm_mac(3), vm_mac(1), -1, 0x0800, 2); /* another network */
    assert_true(receive(out, &f, 1000));
    assert_false(receive(vm[3], &f, 0));
    send_frame(vm[1], bcast, vm_mac(1), -1, 0x0806, 3);
    assert_true(receive(vm[2], &f, 1000));
    assert_int_equal(f.tci, -1);
    assert_true(receive(out, &f, 1000));
    assert_int_equal(f.tci, 100 | 5 << 13);
    assert_false(receive(vm[1], &f, 0));
    assert_false(receive(vm[3], &f, 0));
    /* K10: the edge switches, and sends the VM's own broadcast back */
    assert_int_equal(tag(1, 100, true, true), 0);
    assert_int_equal(tag(2, 100, true, true), 0);
    send_frame(vm[1], vm_mac(2), vm_mac(1), -1, 0x0800, 4);
    assert_true(receive(out, &f, 1000));
    assert_false(receive(vm[2], &f, 0));
    send_frame(out, vm_mac(2), vm_mac(1), 100, 0x0800, 5);
    assert_true(receive(vm[2], &f, 1000));
    send_frame(out, bcast, vm_mac(1), 100, 0x0806, 6);
    assert_true(receive(vm[2], &f, 1000));
    counter_reaches(TESC_OWN, 1);
    assert_false(receive(vm[1], &f, 0));
    /* K12: one that is on its way has its frames at the edge; group frames when it
     * sends */
    {
        struct tes_bpf_tag t = {
            .ifname = "vm2", .uplink = up, .mac = vm_mac(2), .vid = 100, .away = true};
        struct host_err err;
        assert_int_equal(tag(1, 100, true, false), 0);
        assert_int_equal(tes_bpf_tag(plane, &t, &err), 0);
        send_frame(vm[1], vm_mac(2), vm_mac(1), -1, 0x0800, 20);
        assert_true(receive(out, &f, 1000));
        send_frame(vm[1], bcast, vm_mac(1), -1, 0x0806, 21);
        assert_true(receive(out, &f, 1000));
        assert_false(receive(vm[2], &f, 0));
        send_frame(out, vm_mac(2), vm_mac(1), 100, 0x0800, 22);
        assert_true(receive(vm[2], &f, 1000));
        t.pass = true;
        assert_int_equal(tes_bpf_tag(plane, &t, &err), 0);
        send_frame(vm[1], bcast, vm_mac(1), -1, 0x0806, 23);
        assert_true(receive(vm[2], &f, 1000));
        assert_true(receive(out, &f, 1000));
        t.away = false;
        assert_int_equal(tes_bpf_tag(plane, &t, &err), 0);
        send_frame(vm[1], vm_mac(2), vm_mac(1), -1, 0x0800, 24);
        assert_true(receive(vm[2], &f, 1000));
        assert_false(receive(out, &f, 0));
    }
    /* a second VM with the same address on the same tag is refused, and stays closed */
    {
        struct tes_bpf_tag t = {
            .ifname = "vm3", .uplink = up, .mac = vm_mac(1), .vid = 100, .pass = true};
        struct host_err err;
        assert_int_equal(tes_bpf_tag(plane, &t, &err), -EEXIST);
    }
    send_frame(out, vm_mac(1), far, 100, 0x0800, 7);
    assert_true(receive(vm[1], &f, 1000));
    for (unsigned i = 1; i <= 3; i++)
        close(vm[i]);
    close(out);
}

/* A VLAN's list over several chunks, with holes made and filled. */
static void
test_many(void **state)
{
    int out, p[N_VMS + 1];
    struct frame f;
    bool in[N_VMS + 1];
    unsigned n = N_VMS;
    char name[16];
    (void)state;
    root_only();
    out = open_port("up1");
    for (unsigned i = 1; i <= N_VMS; i++) {
        assert_int_equal(tag(i, 100, true, false), 0);
        snprintf(name, sizeof(name), "p%u", i);
        p[i] = open_port(name);
        in[i] = true;
    }
    for (unsigned round = 0; round < 40; round++) {
        unsigned k = 1 + round * 29 % N_VMS;
        uint64_t copies = counter(TESC_BUM_COPIES);
        snprintf(name, sizeof(name), "vm%u", k);
        if (in[k])
            tes_bpf_untag(plane, name);
        else
            assert_int_equal(tag(k, 100, true, false), 0);
        in[k] = !in[k];
        n += in[k] ? 1 : -1u;
        send_frame(out, bcast, far, 100, 0x0806, (uint8_t)round);
        counter_reaches(TESC_BUM_COPIES, copies + n);
        for (unsigned i = 1; i <= N_VMS; i++) {
            assert_int_equal(receive(p[i], &f, in[i] ? 1000 : 0), in[i]);
            assert_false(receive(p[i], &f, 0));
        }
    }
    for (unsigned i = 1; i <= N_VMS; i++) {
        snprintf(name, sizeof(name), "vm%u", i);
        tes_bpf_untag(plane, name);
        close(p[i]);
    }
    close(out);
}

static void
test_restart(void **state)
{
    int vm1, vm2, out;
    struct frame f;
    struct host_err err;
    uint32_t was = up;
    (void)state;
    root_only();
    vm1 = open_port("p1");
    vm2 = open_port("p2");
    out = open_port("up1");
    assert_int_equal(tag(1, 100, true, false), 0);
    assert_int_equal(tag(2, 100, true, false), 0);
    if (!no_tcx) { /* its filter has gone again */
        tes_bpf_settle(plane);
        run("! tc filter show dev vm1 ingress | grep -q bpf");
    }
    tes_bpf_close(plane);
    send_frame(vm1, far, vm_mac(1), -1, 0x0800, 1); /* nobody is there */
    assert_true(receive(out, &f, 1000));
    open_plane();
    assert_int_equal(up, was);
    assert_int_equal(tes_bpf_n_vms(plane), 2);
    assert_int_equal(tag(1, 100, true, false), 0);
    assert_int_equal(tes_bpf_sweep(plane), 1);
    assert_int_equal(tes_bpf_n_vms(plane), 1);
    send_frame(out, vm_mac(2), far, 100, 0x0800, 2);
    counter_reaches(TESC_DROP_UNKNOWN, 1);
    send_frame(out, vm_mac(1), far, 100, 0x0800, 3);
    assert_true(receive(vm1, &f, 1000));
    close(vm1);
    /* made anew (K21): bound again by its name */
    run("ip link del vm1 && ip link add vm1 type veth peer name p1 && ip link set vm1 "
        "up "
        "&& ip link set p1 up");
    vm1 = open_port("p1");
    assert_int_equal(tes_bpf_link(plane, "vm1", if_nametoindex("vm1"), &err), 1);
    assert_int_equal(tes_bpf_link(plane, "vm1", if_nametoindex("vm1"), &err), 0);
    assert_int_equal(tes_bpf_link(plane, "lo", 1, &err), 0);
    send_frame(vm1, far, vm_mac(1), -1, 0x0800, 4);
    assert_true(receive(out, &f, 1000));
    send_frame(out, vm_mac(1), far, 100, 0x0800, 5);
    assert_true(receive(vm1, &f, 1000));
    close(out);
    run("ip link del up0 && ip link add up0 type veth peer name up1 && ip link set up0 "
        "up "
        "&& ip link set up1 up");
    out = open_port("up1");
    assert_int_equal(tes_bpf_link(plane, "up0", if_nametoindex("up0"), &err), 1);
    send_frame(vm1, far, vm_mac(1), -1, 0x0800, 6);
    assert_true(receive(out, &f, 1000));
    /* made anew while nobody was there */
    tes_bpf_close(plane);
    close(vm1);
    run("ip link del vm1 && ip link add vm1 type veth peer name p1 && ip link set vm1 "
        "up "
        "&& ip link set p1 up");
    vm1 = open_port("p1");
    open_plane();
    assert_int_equal(tag(1, 100, true, false), 0);
    tes_bpf_sweep(plane);
    send_frame(vm1, far, vm_mac(1), -1, 0x0800, 7);
    assert_true(receive(out, &f, 1000));
    assert_int_equal(tes_bpf_check(plane), 0);
    if (no_tcx) { /* somebody else's hand */
        run("tc qdisc del dev vm1 clsact");
        assert_int_equal(tes_bpf_check(plane), 1);
        send_frame(vm1, far, vm_mac(1), -1, 0x0800, 8);
        assert_true(receive(out, &f, 1000));
    }
    close(vm1);
    close(vm2);
    close(out);
}

static void
test_errors(void **state)
{
    struct tes_bpf_conf c = {.pin_dir = "/sys/fs/bpf/x", .mount = true};
    struct tes_bpf_tag t = {.ifname = "nothere", .vid = 5, .pass = true};
    struct tes_bpf_plane *p;
    struct host_err err;
    (void)state;
    root_only();
    assert_int_equal(tes_bpf_open(&p, &c, &err), -EINVAL);
    c.pin_dir = "relative";
    assert_int_equal(tes_bpf_open(&p, &c, &err), -EINVAL);
    c.pin_dir = "/tmp";
    c.mount = false;
    assert_int_equal(tes_bpf_open(&p, &c, &err), -ENODEV);
    assert_int_equal(tes_bpf_tag(plane, &t, &err), -ENODEV);
    assert_non_null(strstr(err.text, "nothere"));
    run("ip link add nothere type veth peer name nothere1"); /* it comes: tagged then */
    assert_int_equal(
        tes_bpf_link(plane, "nothere", if_nametoindex("nothere"), &err), 1);
    tes_bpf_untag(plane, "nothere");
    tes_bpf_untag(plane, "nothere");
}

static int
setup_many(void **state)
{
    (void)state;
    return setup_with(N_VMS);
}

static int
setup_clsact(void **state)
{
    no_tcx = true;
    return setup(state);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_from_vm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_to_vm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_switching, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup_many, teardown),
        cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_from_vm, setup_clsact, teardown),
        cmocka_unit_test_setup_teardown(test_restart, setup_clsact, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
