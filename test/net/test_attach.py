# SPDX-License-Identifier: Apache-2.0
"""VMs attach, packets flow, networks stay apart.

    vm ─ srv1 ═(tagged)═ tor1 ═══ VXLAN ═══ tor2 ═(tagged)═ srv2 ─ vm
                               \\── nva ──/
"""
import re

import pytest

from lab import Lab, LabError, frame, wait_for


def test_two_vms_of_one_network_reach_each_other(lab2):
    a, b = (lab2.add_vm(s) for s in lab2.servers)
    for vm in (a, b):
        answer = vm.associate("red")
        assert 2 <= answer["vid"] <= 4094 and answer["vni"] == 5000
    lab2.wait_mappings(2)
    assert a.ping(b.ip4) == (3, 3)
    assert a.ping(b.ip6) == (3, 3)
    assert b.ping(a.ip4) == (3, 3)
    assert lab2.tors[0].counters()["arp_flooded"] == 0


def test_two_vms_on_one_server(lab2):
    a, b = lab2.add_vm(lab2.servers[0]), lab2.add_vm(lab2.servers[0])
    assert a.associate("red")["vid"] == b.associate("red")["vid"]
    assert a.ping(b.ip4) == (3, 3)
    assert a.ping(b.ip6) == (3, 3)


def test_overlapping_addresses_in_two_networks(lab2):
    red = [lab2.add_vm(s) for s in lab2.servers]
    blue = [lab2.add_vm(s, mac=r.mac, ip4=r.ip4, ip6=r.ip6)
            for s, r in zip(reversed(lab2.servers), red)]
    for vm in red:
        vm.associate("red")
    for vm in blue:
        vm.associate("blue")
    lab2.wait_mappings(4)
    assert red[0].ping(red[1].ip4) == (3, 3)
    assert blue[0].ping(blue[1].ip4) == (3, 3)
    # red goes: blue, with the same addresses, must not answer in its place
    red[1].terminate()
    assert red[0].ping(red[1].ip4, count=2, wait=1)[1] == 0
    assert blue[0].ping(blue[1].ip4) == (3, 3)


def test_nothing_passes_before_associate_and_after_terminate(lab2):
    a, b = (lab2.add_vm(s) for s in lab2.servers)
    a.associate("red")
    assert a.ping(b.ip4, count=2, wait=1)[1] == 0
    b.signal("preassociate", vn="red", mac=b.mac, ips=[b.ip4], **{"if": b.ifname})
    assert a.ping(b.ip4, count=2, wait=1)[1] == 0
    b.associate("red")
    lab2.wait_mappings(2)
    # a's own kernel may still be waiting for its last ARP request to time out
    wait_for("answer", lambda: a.ping(b.ip4, count=1, wait=1) == (1, 1))
    assert a.ping(b.ip4) == (3, 3)
    b.terminate()
    assert a.ping(b.ip4, count=2, wait=1)[1] == 0
    wait_for("no mapping of b", lambda: len(lab2.tors[0].daemon.rows("show mappings")) == 1)
    used = [t for t in lab2.tors[1].daemon.rows("show tags") if t["state"] == "USED"]
    assert used == []


def test_suspend_stops_and_resume_goes_on(lab2):
    a, b = (lab2.add_vm(s) for s in lab2.servers)
    a.associate("red")
    vid = b.associate("red")["vid"]
    lab2.wait_mappings(2)
    assert a.ping(b.ip4) == (3, 3)
    assert b.signal("suspend")["state"] == "suspended"
    assert a.ping(b.ip4, count=2, wait=1)[1] == 0
    assert b.signal("resume")["vid"] == vid
    wait_for("answer after resume", lambda: a.ping(b.ip4, count=1, wait=1)[1] == 1)


def test_refusals_name_the_reason_and_change_nothing(lab2):
    a, b = lab2.add_vm(lab2.servers[0]), lab2.add_vm(lab2.servers[0])
    with pytest.raises(LabError, match="(?i)vn|network"):
        a.associate("green")
    assert lab2.tors[0].daemon.rows("show attachments", state="ASSOC") == []
    a.associate("red")
    # another VSI with a's MAC in the same VN: conflict (K18), a stays
    with pytest.raises(LabError):
        b.associate("red", mac=a.mac)
    assert len(lab2.tors[0].daemon.rows("show attachments", state="ASSOC")) == 1


def test_port_list_of_networks(make_lab):
    lab = make_lab(tors=1)
    lab.tors[0].port_settings["swp1"] = 'vns = "5000"'
    lab.start()
    lab.nva.vn_add(5000, "red")
    lab.nva.vn_add(5001, "blue")
    vm = lab.add_vm(lab.servers[0])
    with pytest.raises(LabError):
        vm.associate("blue")
    assert lab.tors[0].daemon.rows("show counters") and \
        lab.tors[0].counters()["unauthorised"] == 1
    vm.associate("red")


def test_static_mapping_without_an_authority(make_lab):
    lab = make_lab(tors=2, authority=False)
    vms = [lab.add_vm(s) for s in lab.servers]
    for tor, other, vm in zip(lab.tors, reversed(lab.tors), reversed(vms)):
        tor.mapping = "static"
        tor.settings = f'''vn "red" {{ vni = 5000 mtu = 1450 }}
map "other" {{ vni = 5000 mac = "{vm.mac}" vtep = "{other.vtep}" ips = "{vm.ip4},{vm.ip6}" }}'''
    lab.start()
    for vm in vms:
        vm.associate("red")
    assert vms[0].ping(vms[1].ip4) == (3, 3)
    assert vms[0].ping(vms[1].ip6) == (3, 3)


def test_spoofed_source_is_dropped_and_counted(lab2):
    """At the server's own agent, and at the edge if a poisoned server lets it through."""
    a, b = (lab2.add_vm(s) for s in lab2.servers)
    vid = a.associate("red")["vid"]
    b.associate("red")
    lab2.wait_mappings(2)
    assert a.ping(b.ip4) == (3, 3)
    before = lab2.tors[0].counters()["drop_spoof"]
    lab2.servers[0].send_raw("up0", [frame(b.mac, "02:66:66:66:66:66", vid)] * 10)
    wait_for("10 drops", lambda: lab2.tors[0].counters()["drop_spoof"] == before + 10)
    # the same from the VM itself
    a.ip(["link set eth0 down", "link set eth0 address 02:66:66:66:66:66", "link set eth0 up"])
    assert a.ping(b.ip4, count=2, wait=1)[1] == 0


def _ping_stream(vm, address, seconds):
    return vm.popen(["ping", "-n", "-i", "0.001", "-q", "-w", str(seconds), address])


def _lost(process):
    out = process.communicate(timeout=30)[0]
    sent, got = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", out).groups())
    return sent, sent - got


def test_kill_and_restart_of_the_edge_loses_no_packet_and_no_tag(lab2):
    a, b = (lab2.add_vm(s) for s in lab2.servers)
    a.associate("red")
    b.associate("red")
    lab2.wait_mappings(2)
    tags = lab2.tors[0].daemon.rows("show tags", state="USED")
    epochs = [m["epoch"] for m in lab2.tors[0].daemon.rows("show mappings")]
    stream = _ping_stream(a, b.ip4, 4)
    for _ in range(3):
        lab2.tors[0].daemon.kill()
        lab2.tors[0].daemon.start()
    sent, lost = _lost(stream)
    assert sent > 500 and lost <= 1      # the last one may still be under way
    after = lab2.tors[0].daemon.rows("show tags", state="USED")
    assert [(t["port"], t["vid"], t["vni"]) for t in tags] == \
        [(t["port"], t["vid"], t["vni"]) for t in after]
    wait_for("the same mappings", lambda: [
        m["epoch"] for m in lab2.tors[0].daemon.rows("show mappings")] == epochs)


def test_kill_of_the_authority_during_attaches(lab2):
    vms = [lab2.add_vm(lab2.servers[i % 2]) for i in range(8)]
    for i, vm in enumerate(vms):
        if i == 3:
            lab2.nva.daemon.kill()
        if i == 6:
            lab2.nva.daemon.start()
        vm.associate("red")              # without the authority: ok, unpublished (K17)
    lab2.wait_mappings(8)
    epochs = [m["epoch"] for m in lab2.nva.daemon.rows("show mappings")]
    assert len(epochs) == 8
    wait_for("published", lambda: not any(
        r["unpublished"] for t in lab2.tors for r in t.daemon.rows("show attachments")))
    for vm in vms[1:]:
        assert wait_for("ping", lambda v=vm: vms[0].ping(v.ip4, count=1, wait=1) == (1, 1))


def test_the_same_vm_attached_twice_is_a_move(lab2):
    """K18: the same VSI attached elsewhere: the newer claim wins, the old one is told."""
    a = lab2.add_vm(lab2.servers[0])
    b = lab2.add_vm(lab2.servers[1])
    watcher = lab2.add_vm(lab2.servers[0])
    watcher.associate("red")
    a.associate("red")
    first = lab2.tors[0].daemon.rows("show mappings", mac=a.mac)[0]
    b.signal("associate", vn="red", mac=a.mac, ips=[a.ip4], vsi=a.vsi, **{"if": b.ifname})
    wait_for("mapping at tor2", lambda: any(
        m["owner"] == lab2.tors[1].vtep and int(m["epoch"]) > int(first["epoch"])
        for m in lab2.nva.daemon.rows("show mappings", mac=a.mac)))
    wait_for("one place", lambda: not lab2.tors[0].daemon.rows(
        "show attachments", mac=a.mac, state="ASSOC"))
    assert len(lab2.nva.daemon.rows("show mappings", mac=a.mac)) == 1


def test_host_traffic_on_the_server_port_passes(lab2):
    """K9: the server's own untagged traffic reaches the switch's host, and only that."""
    tor, srv = lab2.tors[0], lab2.servers[0]
    tor.ip(["addr add 192.168.77.1/24 dev swp1"])
    srv.ip(["addr add 192.168.77.2/24 dev up0"])
    out = srv.run(["ping", "-c", "2", "-i", "0.2", "-W", "1", "192.168.77.1"], check=False).stdout
    assert " 2 received" in out


def test_flapping_port_keeps_its_tag(make_lab):
    lab = make_lab(tors=2)
    for t in lab.tors:
        t.settings = "settings { t_flap = 300ms }"
    lab.start()
    lab.nva.vn_add(5000, "red", mtu=1450)
    a, b = (lab.add_vm(s) for s in lab.servers)
    a.associate("red")
    vid = b.associate("red")["vid"]
    lab.wait_mappings(2)
    assert a.ping(b.ip4) == (3, 3)
    lab.servers[1].ip(["link set up0 down"])
    wait_for("withdrawn", lambda: len(lab.tors[0].daemon.rows("show mappings")) == 1)
    lab.servers[1].ip(["link set up0 up"])
    wait_for("back", lambda: a.ping(b.ip4, count=1, wait=1) == (1, 1), 20)
    assert lab.tors[1].daemon.rows("show attachments", mac=b.mac)[0]["vid"] == vid


def test_tag_exhaustion_is_refused_with_a_reason(make_lab):
    lab = make_lab(tors=1)
    lab.tors[0].port_settings["swp1"] = 'reserved_vids = "4-4094"'   # 2 and 3 are left
    lab.start()
    for i in range(3):
        lab.nva.vn_add(6000 + i, f"n{i}")
    vms = [lab.add_vm(lab.servers[0]) for _ in range(3)]
    assert {vms[0].associate("n0")["vid"], vms[1].associate("n1")["vid"]} == {2, 3}
    with pytest.raises(LabError, match="(?i)tag|vlan|resource"):
        vms[2].associate("n2")
    assert lab.tors[0].counters()["tags_exhausted"] == 1


def test_two_labs_at_once():
    with Lab(tors=1) as one, Lab(tors=1) as two:
        one.start()
        two.start()
        for lab in (one, two):
            lab.nva.vn_add(5000, "red")
            assert lab.add_vm(lab.servers[0]).associate("red")["vid"]
