# SPDX-License-Identifier: Apache-2.0
"""Ports, policies of networks, and the ways to a mapping, with real daemons in the lab."""

import pytest

from lab import LabError, Wire, arp, frame, ip_batch, mac_bytes, wait_for
from station import ASSOC, DEASSOC, Station, entry

RED, BLUE = 5000, 5001


def pings(a, address, deadline_s=10):
    wait_for(f"{a.name} reaches {address}", lambda: a.ping(address, count=1, wait=1) == (1, 1),
             deadline_s)


# ---- ports and devices

def test_another_vxlan_device_on_the_same_port_is_named(make_lab):
    """K11: refused with its name, and it goes on working."""
    lab = make_lab(tors=1, authority=False)
    tor = lab.tors[0]
    tor.mapping = "static"
    tor.ip(["link add vxother type vxlan id 7 dstport 4789 local 10.255.0.1",
            "link set vxother up", "addr add 192.168.9.1/24 dev vxother"])
    with pytest.raises(LabError) as refused:
        tor.start()
    assert "vxother" in str(refused.value) and "4789" in str(refused.value)
    shown = tor.run(["ip", "-d", "link", "show", "vxother"]).stdout
    assert "vxlan id 7" in shown and "UP" in shown.split("mtu")[0]
    assert tor.run(["ip", "link", "show", "berth0"], check=False).returncode != 0
    # another port: both live side by side
    tor.daemon.write_conf(tor.conf().replace('port = 4789', 'port = 4790'))
    tor.daemon.start()


def test_a_device_of_an_earlier_run_is_adopted(lab2):
    """K21: the external device is taken over, not made anew."""
    tor = lab2.tors[0]
    before = tor.run(["cat", "/sys/class/net/berth0/ifindex"], check=False).stdout or \
        tor.run(["ip", "-o", "link", "show", "berth0"]).stdout.split(":")[0]
    a, b = (lab2.add_vm(s) for s in lab2.servers)
    for vm in (a, b):
        vm.associate("red")
    lab2.wait_mappings(2)
    tor.daemon.stop()
    tor.daemon.start()
    after = tor.run(["ip", "-o", "link", "show", "berth0"]).stdout.split(":")[0]
    assert after == before or after.strip() == before.strip()
    assert a.ping(b.ip4) == (3, 3)


def test_a_server_port_that_is_made_anew(make_lab):
    """K15, K21: entries go by name; programs and sockets are attached again by themselves."""
    lab = make_lab(tors=2)
    lab.start()
    lab.nva.vn_add(RED, "red", mtu=1450)
    tor, server = lab.tors[0], lab.servers[0]
    a, b = (lab.add_vm(s) for s in lab.servers)
    vid = a.associate("red")["vid"]
    b.associate("red")
    lab.wait_mappings(2)
    assert a.ping(b.ip4) == (3, 3)
    for _ in range(2):
        tor.ip(["link del swp1"])
        ip_batch([f"link add up0 netns {server.ns} address {server.uplink_mac} type veth "
                  f"peer name swp1 netns {tor.ns}"])
        tor.ip(["link set swp1 up"])
        server.ip(["link set up0 up"])
        pings(a, b.ip4, 20)
        assert b.ping(a.ip4) == (3, 3)
    rows = tor.daemon.rows("show attachments", mac=a.mac)
    assert [(r["state"], r["vid"]) for r in rows] == [("ASSOC", vid)]
    # signalling works on the new port, too
    late = lab.add_vm(server)
    assert late.associate("red")["vid"] == vid
    pings(late, b.ip4)


def test_a_network_larger_than_the_underlay(lab2):
    """K18: refused with "no resources" and the reason; what fits is not touched."""
    lab2.nva.vn_add(6000, "jumbo", mtu=9000)
    vm = lab2.add_vm(lab2.servers[0])
    with pytest.raises(LabError, match="(?i)mtu 9000"):
        vm.associate("jumbo")
    assert lab2.tors[0].daemon.rows("show attachments", vni=6000, state="ASSOC") == []
    with Station(lab2.servers[1], mac="02:be:00:00:99:01") as plain:
        assert plain.request(ASSOC, 1, entry("02:aa:00:00:00:01", 6000)).code == 2
    assert vm.associate("red")["mtu"] == 1450


def test_native_drop(make_lab):
    """K9: untagged frames are refused and counted, signalling goes on."""
    lab = make_lab(tors=1)
    tor, server = lab.tors[0], lab.servers[0]
    tor.port_settings["swp1"] = 'native = "drop"'
    lab.start(tes=False)
    lab.nva.vn_add(RED, "red", mtu=1450)
    tor.ip(["addr add 192.168.77.1/24 dev swp1"])
    server.ip(["addr add 192.168.77.2/24 dev up0"])
    out = server.run(["ping", "-c", "2", "-i", "0.2", "-W", "1", "192.168.77.1"], check=False).stdout
    assert " 0 received" in out
    assert tor.counters()["drop_native"] >= 2 and tor.counters()["native_passed"] == 0
    with Station(server) as station:
        assert station.request(ASSOC, 1, entry("02:aa:00:00:00:01", RED)).ok


def test_native_vn(make_lab):
    """K9, K18: VID 0 is the untagged traffic of the port, here a VN; others stay tagged."""
    lab = make_lab(tors=2)
    lab.tors[0].port_settings["swp1"] = f'native = "vn" native_vni = {RED}'
    lab.start(tes=False)
    lab.servers[1].start()
    lab.nva.vn_add(RED, "red", mtu=1450)
    lab.nva.vn_add(BLUE, "blue", mtu=1450)
    server, mac = lab.servers[0], "02:aa:00:00:00:01"
    far = lab.add_vm(lab.servers[1])
    far.associate("red")
    with Station(server) as station:
        assert station.request(ASSOC, 1, entry(mac, RED)).vid == 0
        assert station.request(ASSOC, 2, entry("02:aa:00:00:00:02", BLUE)).vid >= 2
        everywhere_red = wait_for("the mapping", lambda: lab.tors[1].daemon.mappings(mac=mac))
        assert everywhere_red[0]["vni"] == RED
        with Wire(far, "eth0") as wire:
            station.wire.send(frame(far.mac, mac, None, 0x88b5, b"untagged".ljust(46)))
            got = wire.expect("the untagged frame", lambda f: b"untagged" in f)
            assert got[6:12] == mac_bytes(mac)
            wire.send(frame(mac, far.mac, None, 0x88b5, b"and back".ljust(46)))
            back = station.wire.expect("the way back", lambda f: b"and back" in f)
            assert back[12:14] == b"\x88\xb5"


# ---- two VMs behind one port

@pytest.mark.parametrize("reflect", [True, False])
def test_two_vms_of_one_server(make_lab, reflect):
    """K10: reflective relay: the edge switches; without it the server does, and nothing is
    sent back out of its own port."""
    lab = make_lab(tors=1)
    server, tor = lab.servers[0], lab.tors[0]
    server.settings = f'reflective_relay = {"true" if reflect else "false"}'
    lab.start()
    lab.nva.vn_add(RED, "red", mtu=1450, arp="flood")
    a, b = lab.add_vm(server), lab.add_vm(server)
    for vm in (a, b):
        vm.associate("red")
    wait_for("the station's wish", lambda: tor.daemon.rows("show ports")[0]["reflective_relay"] == reflect)
    assert a.ping(b.ip4) == (3, 3)
    assert b.ping(a.ip6) == (3, 3)
    counters = tor.counters()
    assert (counters["reflected"] > 0) == reflect
    if not reflect:
        vid = tor.daemon.rows("show tags", state="USED")[0]["vid"]
        before = counters["drop_hairpin"]
        server.send_raw("up0", [frame(b.mac, a.mac, vid)])
        wait_for("the drop", lambda: tor.counters()["drop_hairpin"] == before + 1)


# ---- wildcard VSIs

def test_wildcard_vsis_learn_within_limits(make_lab):
    """K2: formats 1 and 3: MACs are learned from frames, at most N, published, and aged."""
    lab = make_lab(tors=2)
    lab.tors[0].settings = "settings { max_learned = 4 t_learn_age = 1s }"
    lab.tors[0].port_settings["swp1"] = f'vid_vns = "77={BLUE}"'
    lab.start(tes=False)
    lab.nva.vn_add(RED, "red", mtu=1450)
    lab.nva.vn_add(BLUE, "blue", mtu=1450)
    tor = lab.tors[0]
    with Station(lab.servers[0]) as station, Station(lab.servers[1]) as far:
        vid = station.request(ASSOC, 1, entry(None, RED), filter_format=3).vid
        assert station.request(ASSOC, 2, entry(tci=77), filter_format=1).vid == 77
        tag = far.request(ASSOC, 3, entry("02:aa:00:00:00:99", RED)).vid
        macs = [f"02:ab:00:00:00:{i:02x}" for i in range(7)]

        def learned(vni=RED):
            return {m["mac"] for m in lab.nva.daemon.mappings(vni=vni)} & set(macs)
        for m in macs:
            station.wire.send(frame("ff:ff:ff:ff:ff:ff", m, vid))
        wait_for("four are learned", lambda: len(learned()) == 4)
        # reported while the VAP still stood open, or dropped as it had closed
        wait_for("three are not", lambda: sum(
            tor.counters()[c] for c in ("learn_refused", "drop_spoof")) >= 3)
        station.wire.send(frame("ff:ff:ff:ff:ff:ff", macs[0], 77))
        wait_for("the other VN has its own", lambda: learned(BLUE) == {macs[0]})
        assert {m["vni"] for m in lab.nva.daemon.mappings(mac=macs[0])} == {RED, BLUE}
        # frames come back to where a MAC was learned
        one = sorted(learned())[0]
        wait_for("known at the far edge", lambda: lab.tors[1].daemon.mappings(mac=one))
        far.wire.send(frame(one, "02:aa:00:00:00:99", tag, 0x88b5, b"to a learned MAC".ljust(46)))
        station.wire.expect("the frame", lambda f: b"to a learned MAC" in f)
        # silent ones are forgotten, and make room
        wait_for("aged", lambda: not learned() & set(macs[1:]), 15)
        station.wire.send(frame("ff:ff:ff:ff:ff:ff", macs[6], vid))
        wait_for("room again", lambda: macs[6] in learned())
        # and all go with the VSI
        assert station.request(DEASSOC, 1, entry(None, RED, vid), filter_format=3).code == 0
        wait_for("none left", lambda: not learned())


def test_a_wildcard_does_not_take_what_is_signalled(make_lab):
    """Design: signalled state always wins over learned, at one edge."""
    lab = make_lab(tors=1, servers_per_tor=2)
    lab.start(tes=False)
    lab.nva.vn_add(RED, "red", mtu=1450)
    tor, mac = lab.tors[0], "02:aa:00:00:00:01"
    with Station(lab.servers[0]) as thief, Station(lab.servers[1]) as owner:
        vid = thief.request(ASSOC, 1, entry(None, RED), filter_format=3).vid
        assert owner.request(ASSOC, 2, entry(mac, RED)).ok
        for _ in range(5):
            thief.wire.send(frame("ff:ff:ff:ff:ff:ff", mac, vid))
        wait_for("refused", lambda: tor.counters()["learn_refused"] >= 1)
        rows = tor.daemon.rows("show attachments", mac=mac)
        assert [(r["port"], r["state"]) for r in rows] == [("swp2", "ASSOC")]


# ---- addresses and ARP

def test_vms_without_known_addresses(lab2):
    """K8: plain VDP says no IP: it is learned from the VM itself; a miss is asked, not flooded."""
    a, b = (lab2.add_vm(s) for s in lab2.servers)
    for vm in (a, b):
        vm.associate("red", ips=[])
    lab2.wait_mappings(2)
    assert all(m["ips"] == [] for m in lab2.nva.daemon.mappings())
    pings(a, b.ip4)
    pings(b, a.ip6)
    assert all(t.counters()["arp_flooded"] == 0 for t in lab2.tors)
    wait_for("learned addresses are published", lambda: b.ip4 in lab2.nva.daemon.mappings(
        mac=b.mac)[0]["ips"])


def test_an_address_of_another_is_not_learned(lab2):
    """K8: low trust: what contradicts signalled state is refused."""
    a, b = (lab2.add_vm(s) for s in lab2.servers)
    thief = lab2.add_vm(lab2.servers[1])
    a.associate("red")
    b.associate("red")
    thief.associate("red", ips=[])
    lab2.wait_mappings(3)
    with Wire(thief, "eth0") as wire:
        wire.send(*[arp(2, thief.mac, b.ip4, a.ip4, a.mac, dst=a.mac),
                    arp(1, thief.mac, b.ip4, b.ip4)] * 3)
    wait_for("refused", lambda: lab2.tors[1].counters()["learn_refused"] >= 1)
    assert lab2.nva.daemon.mappings(mac=thief.mac)[0]["ips"] == []
    assert a.ping(b.ip4) == (3, 3)


def test_a_network_that_floods(make_lab):
    """S4 policy `flood`: ARP is replicated within its VN, and nowhere else."""
    lab = make_lab(tors=2)
    lab.start()
    lab.nva.vn_add(RED, "red", mtu=1450, arp="flood")
    lab.nva.vn_add(BLUE, "blue", mtu=1450, arp="flood")
    a, b = (lab.add_vm(s) for s in lab.servers)
    other = lab.add_vm(lab.servers[1])
    for vm in (a, b):
        vm.associate("red", ips=[])
    other.associate("blue", ips=[])
    with Wire(other, "eth0") as wire:
        pings(a, b.ip4)
        assert lab.tors[0].counters()["arp_flooded"] > 0
        assert not [f for f in wire.frames(0.2) if f[12:14] == b"\x08\x06"]


def test_a_network_deleted_while_used(make_lab):
    """K5: its VMs are let go and told, nothing passes, the tag drains; others go on."""
    lab2 = make_lab(tors=2)
    for tor in lab2.tors:
        tor.settings = "settings { t_tomb = 1s }"
    lab2.start()
    lab2.nva.vn_add(RED, "red", mtu=1450)
    lab2.nva.vn_add(BLUE, "blue", mtu=1450)
    a, b = (lab2.add_vm(s) for s in lab2.servers)
    c, d = (lab2.add_vm(s) for s in lab2.servers)
    for vm in (a, b):
        vm.associate("red")
    for vm in (c, d):
        vm.associate("blue")
    lab2.wait_mappings(4)
    assert a.ping(b.ip4) == (3, 3)
    with Station(lab2.servers[0], mac="02:be:00:00:99:01") as plain:
        assert plain.request(ASSOC, 1, entry("02:aa:00:00:00:01", RED)).ok
        lab2.nva.daemon.rows("vn del", name="red")
        told = plain.answer(1)
        assert (told.kind, told.status) == (DEASSOC, 0)
    wait_for("no attachment of it", lambda: not any(
        t.daemon.rows("show attachments", vni=RED, state="ASSOC") for t in lab2.tors))
    assert a.ping(b.ip4, count=2, wait=1)[1] == 0
    wait_for("no mapping of it", lambda: not any(
        d.daemon.mappings(vni=RED) for d in lab2.tors + [lab2.nva]))
    assert c.ping(d.ip4) == (3, 3)
    with pytest.raises(LabError):
        lab2.add_vm(lab2.servers[0]).associate("red")
    # a new one by that name is a new one
    lab2.nva.vn_add(RED, "red", mtu=1450)
    wait_for("the VMs come back by themselves", lambda: a.ping(b.ip4, count=1, wait=1) == (1, 1), 40)


# ---- pull

@pytest.mark.parametrize("reply", ["centralised", "distributed"])
def test_pull(make_lab, reply):
    """S4-30 to S4-33, K18: nobody subscribes; the first frame waits for the answer and arrives;
    the authority tells who asked for whom (S4-13)."""
    lab = make_lab(tors=3)
    lab.start()
    lab.nva.vn_add(RED, "red", mtu=1450, pull=True, reply=reply)
    a, b, c = (lab.add_vm(s) for s in lab.servers)
    for vm in (a, b, c):
        vm.associate("red")
    wait_for("registered", lambda: len(lab.nva.daemon.mappings()) == 3)
    assert [len(t.daemon.mappings()) for t in lab.tors] == [1, 1, 1]
    # with the MAC known to the VM, the very first frame is data
    a.ip([f"neigh replace {b.ip4} lladdr {b.mac} dev eth0"])
    assert a.ping(b.ip4) == (3, 3)
    assert lab.tors[0].counters()["held_frames"] >= 1
    # by ARP: the question is answered with what was pulled
    assert a.ping(c.ip4) == (3, 3)
    assert c.ping(a.ip6) == (3, 3)
    assert sum(t.counters()["arp_flooded"] for t in lab.tors) == 0
    assert {m["mac"] for m in lab.tors[0].daemon.mappings()} == {a.mac, b.mac, c.mac}
    assert lab.tors[0].counters()["queries"] >= 2
    talkers = {(r["asker"], r["mac"]) for r in lab.nva.daemon.rows("show talkers", vni=RED)}
    assert (lab.tors[0].vtep, b.mac) in talkers
    assert any(asker == lab.tors[0].vtep and mac == c.mac for asker, mac in talkers)


@pytest.mark.parametrize("reply", ["centralised", "distributed"])
def test_pull_negative_is_remembered_until_the_vm_comes(make_lab, reply):
    """K18, K8: an unknown address is asked for once, then dropped; an answer subscribes the
    asker, so no time to live delays the VM when it comes, or when it moves."""
    lab = make_lab(tors=2)
    for tor in lab.tors:
        tor.settings = "settings { t_negative = 60s }"
    lab.start()
    lab.nva.vn_add(RED, "red", mtu=1450, pull=True, reply=reply)
    a = lab.add_vm(lab.servers[0])
    b = lab.add_vm(lab.servers[1])
    tor = lab.tors[0]
    a.associate("red")
    assert a.ping(b.ip4, count=3, wait=1)[1] == 0
    wait_for("remembered", lambda: tor.counters()["negatives"] >= 1)
    asked, dropped = tor.counters()["queries"], tor.counters()["drop_negative"]
    a.ip(["neigh flush dev eth0"])
    assert a.ping(b.ip4, count=2, wait=1)[1] == 0
    assert tor.counters()["queries"] == asked
    assert tor.counters()["drop_negative"] > dropped
    b.associate("red")
    a.ip(["neigh flush dev eth0"])
    pings(a, b.ip4, 5)
    # a move: the one who had pulled hears of it
    late = lab.add_vm(lab.servers[0], ip4=b.ip4, ip6=b.ip6)
    late.signal("associate", vn="red", mac=b.mac, ips=[b.ip4], vsi=b.vsi, **{"if": late.ifname})
    wait_for("the asker knows", lambda: [m["owner"] for m in tor.daemon.mappings(mac=b.mac)] ==
             [tor.vtep])
