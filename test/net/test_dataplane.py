# SPDX-License-Identifier: Apache-2.0
"""What the data plane does to VMs in daily life: neighbours, thieves of addresses, silence,
restarts in a VN that is pulled."""
import signal
import socket
import struct

import pytest

from lab import Wire, arp, frame, mac_bytes, wait_for

RED = 5000


def csum(data):
    data += b"\0" * (len(data) & 1)
    s = sum(struct.unpack(f"!{len(data) // 2}H", data))
    s = (s & 0xffff) + (s >> 16)
    return ~(s + (s >> 16)) & 0xffff


def icmp6(dst_mac, src_mac, src, dst, body, ahead=b"", hops=255):
    """An ICMPv6 message (body: type, code, checksum 0, ...), `ahead`: extension headers,
    the last of which must name ICMPv6."""
    s, d = socket.inet_pton(socket.AF_INET6, src), socket.inet_pton(socket.AF_INET6, dst)
    c = csum(s + d + struct.pack("!II", len(body), 58) + body)
    body = body[:2] + struct.pack("!H", c) + body[4:]
    first = ahead[0] if ahead else 58
    ahead = ahead[1:]
    head = struct.pack("!IHBB", 0x60000000, len(ahead) + len(body), first, hops) + s + d
    return frame(dst_mac, src_mac, None, 0x86dd, head + ahead + body)


def na(mac, target, dst_mac, dst, flags=0x60000000, **more):
    body = struct.pack("!BBHI", 136, 0, 0, flags) + socket.inet_pton(socket.AF_INET6, target) \
        + b"\2\1" + mac_bytes(mac)
    return icmp6(dst_mac, mac, target, dst, body, **more)


def ns(mac, src, target, dst_mac, dst):
    body = struct.pack("!BBHI", 135, 0, 0, 0) + socket.inet_pton(socket.AF_INET6, target) \
        + b"\1\1" + mac_bytes(mac)
    return icmp6(dst_mac, mac, src, dst, body)


def neighbour(vm, address):
    return vm.run(["ip", "neigh", "show", address, "dev", "eth0"]).stdout


def test_a_vm_cannot_take_the_address_of_another(lab2):
    """K8, K18: in a suppress VN a claim that contradicts what is known reaches nobody."""
    a, b = (lab2.add_vm(s) for s in lab2.servers)
    thief = lab2.add_vm(lab2.servers[1])
    for vm in (a, b, thief):
        vm.associate("red")
    lab2.wait_mappings(3)
    assert a.ping(b.ip4) == (3, 3) and a.ping(b.ip6) == (3, 3)
    assert b.mac in neighbour(a, b.ip4) and b.mac in neighbour(a, b.ip6)
    tor = lab2.tors[1]
    before = tor.counters()["drop_spoof"]
    with Wire(a, "eth0") as heard, Wire(thief, "eth0") as wire:
        wire.send(arp(2, thief.mac, b.ip4, a.ip4, a.mac, dst=a.mac),
                  arp(1, thief.mac, b.ip4, a.ip4, dst=a.mac),
                  arp(1, thief.mac, b.ip4, b.ip4),
                  arp(2, thief.mac, b.ip4, b.ip4, dst="ff:ff:ff:ff:ff:ff"),
                  na(thief.mac, b.ip6, a.mac, a.ip6),
                  na(thief.mac, b.ip6, "33:33:00:00:00:01", "ff02::1", flags=0x20000000),
                  ns(thief.mac, b.ip6, a.ip6, a.mac, a.ip6),
                  na(thief.mac, b.ip6, a.mac, a.ip6, ahead=bytes([60, 58, 0]) + bytes(6)),
                  na(thief.mac, b.ip6, "33:33:00:00:00:01", "ff02::1", flags=0x20000000,
                     ahead=bytes([0, 44, 0, 5, 2, 0, 0, 1, 0, 58, 0, 0, 1, 0, 0, 0, 7])))
        wire.send(frame(a.mac, thief.mac, payload=b"the last one".ljust(46)))
        last = []

        def listen():
            last.extend(heard.frames())
            return any(b"the last one" in f for f in last)
        wait_for("what was sent last", listen)
        stolen = [f for f in last if f[6:12] == mac_bytes(thief.mac) and b"the last" not in f]
        assert stolen == []
    assert tor.counters()["drop_spoof"] == before + 6
    assert b.mac in neighbour(a, b.ip4) and b.mac in neighbour(a, b.ip6)
    assert a.ping(b.ip4) == (3, 3) and a.ping(b.ip6) == (3, 3)
    # its own address it may tell, unicast too
    assert thief.ping(a.ip4) == (3, 3) and a.ping(thief.ip6) == (3, 3)


def link_local(vm):
    shown = wait_for("a link-local address", lambda: vm.run(
        ["ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link"]).stdout)
    return shown.split("inet6 ")[1].split("/")[0]


def test_a_router_stays_a_router(lab2):
    """RFC 4861 7.2.5: an answer without the R flag would take the default route away."""
    host, router = (lab2.add_vm(s) for s in lab2.servers)
    host.run(["sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=2"])
    for vm in (host, router):
        vm.associate("red")
    lab2.wait_mappings(2)
    ll = link_local(router)
    ra = icmp6("33:33:00:00:00:01", router.mac, ll, "ff02::1",
               struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
               + b"\1\1" + mac_bytes(router.mac))
    router.send_raw("eth0", [ra])

    def default():
        return ll in host.run(["ip", "-6", "route", "show", "default"]).stdout
    wait_for("the default route", default)
    own = link_local(host)
    # the router tells its address, the edges learn it
    router.run(["ping", "-6", "-c", "1", "-W", "2", f"{own}%eth0"], check=False)
    wait_for("its link-local address", lambda: any(
        ll in m["ips"] for m in lab2.tors[0].daemon.mappings(mac=router.mac)))
    answered = lab2.tors[0].counters()["nd_answered"]
    low = socket.inet_pton(socket.AF_INET6, ll)[-3:]
    with Wire(host, "eth0") as wire:
        # by multicast, as after unicast probes that were lost
        wire.send(ns(host.mac, own, ll, "33:33:ff:" + low.hex(":"),
                     f"ff02::1:ff{low[0]:02x}:{low[1]:02x}{low[2]:02x}"))
        wire.expect("the answer", lambda f: f[12:14] == b"\x86\xdd" and f[54] == 136 and
                    f[62:78] == socket.inet_pton(socket.AF_INET6, ll))
    assert default(), neighbour(host, ll)
    assert lab2.tors[0].counters()["nd_answered"] > answered


def test_a_silent_vm_whose_address_was_asked_before_it_came(lab2):
    """K8: plain VDP says no address: what was denied before is asked again."""
    a = lab2.add_vm(lab2.servers[0])
    b = lab2.add_vm(lab2.servers[1])
    a.associate("red", ips=[a.ip4])
    assert a.ping(b.ip4, count=2, wait=1)[1] == 0
    wait_for("a negative", lambda: lab2.tors[0].counters()["negatives"] >= 1)
    b.associate("red", ips=[])
    a.ip(["neigh flush dev eth0"])
    wait_for("it answers", lambda: a.ping(b.ip4, count=1, wait=1) == (1, 1), 4)


@pytest.mark.parametrize("reply", ["centralised", "distributed"])
def test_negative_answers_do_not_survive_a_restart(make_lab, reply):
    lab = make_lab(tors=2)
    lab.tors[0].settings = "settings { t_negative = 60s }"
    lab.start()
    lab.nva.vn_add(RED, "red", mtu=1450, pull=True, reply=reply)
    a = lab.add_vm(lab.servers[0])
    b = lab.add_vm(lab.servers[1])
    tor = lab.tors[0]
    a.associate("red")
    assert a.ping(b.ip4, count=2, wait=1)[1] == 0
    wait_for("remembered", lambda: tor.counters()["negatives"] >= 1)
    tor.daemon.kill()
    b.associate("red")
    tor.daemon.start()
    a.ip(["neigh flush dev eth0"])
    wait_for("it answers", lambda: a.ping(b.ip4, count=1, wait=1) == (1, 1), 5)


@pytest.mark.parametrize("reply", ["centralised", "distributed"])
def test_restart_of_an_edge_that_pulls(make_lab, reply):
    """K15 in a VN that is pulled: neither edge stops sending or taking."""
    lab = make_lab(tors=2)
    lab.start()
    lab.nva.vn_add(RED, "red", mtu=1450, pull=True, reply=reply)
    a, b = (lab.add_vm(s) for s in lab.servers)
    for vm in (a, b):
        vm.associate("red")
    assert a.ping(b.ip4, count=1, wait=2) == (1, 1)
    for tor in lab.tors:
        flow = a.popen(["ping", "-q", "-n", "-i", "0.002", "-c", "1500", b.ip4])
        wait_for("traffic", lambda: tor.counters()["rx_overlay"] > 50)
        tor.daemon.kill()
        tor.daemon.start()
        out = flow.communicate(timeout=30)[0]
        assert "1500 received" in out, out


def test_a_queue_before_the_tunnel(lab2):
    """Design, data plane: a queueing discipline there would mix tenants."""
    a, b = (lab2.add_vm(s) for s in lab2.servers)
    for vm in (a, b):
        vm.associate("red")
    lab2.wait_mappings(2)
    tor = lab2.tors[0]
    tor.run(["tc", "qdisc", "add", "dev", "berth0", "root", "pfifo"])
    wait_for("it is gone", lambda: "pfifo" not in tor.run(
        ["tc", "qdisc", "show", "dev", "berth0"]).stdout, 6)
    assert a.ping(b.ip4) == (3, 3)


def test_the_tunnel_device_is_deleted(lab2):
    a, b = (lab2.add_vm(s) for s in lab2.servers)
    for vm in (a, b):
        vm.associate("red")
    lab2.wait_mappings(2)
    tor = lab2.tors[0]
    tor.ip(["link del berth0"])
    wait_for("said so", lambda: "was deleted" in tor.daemon.log_tail(30))
    tor.daemon.stop(signal.SIGTERM)
    tor.daemon.start()
    wait_for("again", lambda: a.ping(b.ip4, count=1) == (1, 1), 10)
    assert b.ping(a.ip6) == (3, 3)


def test_a_second_address_of_a_silent_vm(lab2):
    """K8: that one address was learned does not say that it is the only one."""
    a, b = (lab2.add_vm(s) for s in lab2.servers)
    for vm in (a, b):
        vm.associate("red", ips=[])
    lab2.wait_mappings(2)
    assert a.ping(b.ip6) == (3, 3) and a.ping(b.ip4) == (3, 3)
    wait_for("learned", lambda: {b.ip4, b.ip6} <= set(
        lab2.tors[0].daemon.mappings(mac=b.mac)[0]["ips"]))
    b.ip(["addr add 10.0.9.9/16 dev eth0", "addr add fd00::9999/64 dev eth0 nodad"])
    assert a.ping("10.0.9.9") == (3, 3) and a.ping("fd00::9999") == (3, 3)


def test_what_was_signalled_stays_signalled_far_away(lab2):
    """K8: a link-local address that was learned takes no trust from those that were told."""
    b = lab2.add_vm(lab2.servers[1])
    thief = lab2.add_vm(lab2.servers[0])
    b.associate("red")
    thief.associate("red", ips=[])
    lab2.wait_mappings(2)
    ll = link_local(b)
    b.run(["ping", "-6", "-c", "1", "-W", "1", f"{link_local(thief)}%eth0"], check=False)
    wait_for("learned", lambda: ll in lab2.tors[0].daemon.mappings(mac=b.mac)[0]["ips"])
    with Wire(thief, "eth0") as wire:
        wire.send(*[arp(1, thief.mac, b.ip4, b.ip4)] * 3)
    wait_for("refused", lambda: lab2.tors[0].counters()["learn_refused"] >= 1)
    assert b.ip4 not in lab2.nva.daemon.mappings(mac=thief.mac)[0]["ips"]
