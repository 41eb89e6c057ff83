# SPDX-License-Identifier: Apache-2.0
"""An unmodified lldpad as the VDP station in front of berth-nve (S3-110 to S3-115).

    lldpad in srv1 ═(ECP, LLDP)═ tor1 ═══ VXLAN ═══ tor2 ═ lldpad in srv2
"""
import os
import signal
import struct
import time

import pytest

from lab import Lab, Wire, arp, mac_bytes, wait_for
from lldpad import UNKNOWN_VSI, Lldpad, group_filter, group_mac_filter, mac_filter

RED, BLUE = 5000, 5001
QUICK = "vdp { rka = 17 }"               # a keep-alive each 1.3 s; the larger side counts
PORT = f'vid_vns = "100={RED},101={RED}"'
PROFILES = f'profile "7/1" {{ vni = {BLUE} }}'


def uuid(n):
    return f"11223344-5566-4788-99aa-{n:012x}"


def mac(n):
    return f"02:ac:00:00:{n >> 8:02x}:{n & 255:02x}"


def up(lab, settings=""):
    """The lab's edges with the profile and VID tables of this file, and the two VNs."""
    for tor in lab.tors:
        for port in tor.ports:
            tor.port_settings[port] = PORT
        tor.settings = PROFILES + "\n" + settings
    lab.start(tes=False)
    lab.nva.vn_add(RED, "red", mtu=1450)
    lab.nva.vn_add(BLUE, "blue", mtu=1450)
    return lab


@pytest.fixture(scope="module")
def desk():
    """One lldpad before one edge, for the tests that leave nothing behind."""
    with Lab(tors=1) as lab:
        up(lab)
        with Lldpad(lab.servers[0]) as station:
            yield lab.tors[0].daemon, station


def attachment(edge, n):
    rows = edge.rows("show attachments", vsi=uuid(n))
    return rows[0] if rows else None


def state(edge, n):
    row = attachment(edge, n)
    return row["state"] if row else None


def gone(edge, n):
    wait_for("the attachment is gone", lambda: state(edge, n) in (None, "TERM"))


# name, filter by VID and number of the VSI, VN that it ends in
FORMATS = {
    "VID": lambda vid, n: str(vid),
    "MAC/VID": lambda vid, n: mac_filter(vid, mac(n)),
    "GRP/VID": lambda vid, n: group_filter(vid, RED),
    "GRP/MAC/VID": lambda vid, n: group_mac_filter(vid, mac(n), RED),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_mode_in_every_filter_format(desk, name):
    """S3-110, S3-112: a VSI goes up from pre-associate to associate, and away."""
    edge, station = desk
    n = 0x100 + list(FORMATS).index(name)
    f = FORMATS[name](100, n)
    for mode, there in (("preassoc", "PREASSOC"), ("preassoc-rr", "PREASSOC"), ("assoc", "ASSOC")):
        answer = station.request(mode, uuid(n), f)
        assert (answer.mode, answer.vid) == (mode, 100)
        row = attachment(edge, n)
        assert (row["state"], row["vni"], row["vid"]) == (there, RED, 100)
        assert row["wildcard"] == ("MAC" not in name)
        assert station.client.get(uuid(n), mode).mode == mode
    station.request("deassoc", uuid(n), f)
    gone(edge, n)
    assert station.client.get(uuid(n)) is None


NULL = {
    "VID": ("0", BLUE), "MAC/VID": (None, BLUE), "GRP/VID": (group_filter(0, RED), RED),
    "GRP/MAC/VID": (None, RED),
}


@pytest.mark.parametrize("name", NULL)
def test_null_vid_is_filled_in(desk, name):
    """S3-113, K2: the bridge gives the VID; where no GroupID names the VN, the profile does."""
    edge, station = desk
    n = 0x200 + list(NULL).index(name)
    text, vni = NULL[name]
    text = text or (mac_filter(0, mac(n)) if name == "MAC/VID" else group_mac_filter(0, mac(n), RED))
    kw = {"type_id": 7, "version": 1} if vni == BLUE else {}
    answer = station.request("assoc", uuid(n), text, **kw)
    assert answer.mode == "assoc" and 2 <= answer.vid <= 4094
    row = attachment(edge, n)
    assert (row["state"], row["vni"], row["vid"]) == ("ASSOC", vni, answer.vid)
    assert (answer.vid, vni) in [(t["vid"], t["vni"]) for t in edge.rows("show tags", state="USED")]
    # lldpad now has the TCI that was filled in, and takes no other one
    filled = str(answer.tci) + text[1:]
    assert station.client.get(uuid(n)).filters[0] == filled.replace("--", "-")
    assert station.client.set("deassoc", uuid(n), text, **kw) == UNKNOWN_VSI
    station.request("deassoc", uuid(n), filled, **kw)
    gone(edge, n)


def test_null_vid_by_the_table_of_profiles_only(desk):
    """K2: no GroupID, a profile that no table names, no VID: code 5, and nothing is kept."""
    edge, station = desk
    answer = station.request("assoc", uuid(0x210), mac_filter(0, mac(0x210)))
    assert answer.mode == "deassoc" and answer.get("hints") == "5"
    assert attachment(edge, 0x210) is None


def test_several_filters_of_one_vsi(desk):
    """S3-112: as many entries as the TLV names, all or nothing (A20)."""
    edge, station = desk
    filters = [group_mac_filter(0, mac(0x300 + i), RED) for i in range(8)]
    answer = station.request("assoc", uuid(0x300), filters)
    assert answer.mode == "assoc" and answer.vid
    assert len(station.client.get(uuid(0x300)).filters) == 8
    assert len(edge.rows("show attachments", vsi=uuid(0x300), state="ASSOC")) == 8
    station.request("deassoc", uuid(0x300), station.client.get(uuid(0x300)).filters)
    gone(edge, 0x300)
    bad = [group_mac_filter(0, mac(0x310), RED), group_mac_filter(0, mac(0x311), 5999)]
    assert station.request("assoc", uuid(0x310), bad).mode == "deassoc"
    assert attachment(edge, 0x310) is None


def test_hints_of_a_migration(desk):
    """S3-110, A18: M announces an immigration; S of a plain station only marks."""
    edge, station = desk
    for n, mode, hint, there in ((0x400, "preassoc", "to", "IMMIG"), (0x401, "assoc", "to", "ASSOC"),
                                 (0x402, "assoc", "from", "ASSOC")):
        f = group_mac_filter(0, mac(n), RED)
        answer = station.request(mode, uuid(n), f, hints=hint)
        assert answer.mode == mode and answer.vid
        assert state(edge, n) == there
        station.request("deassoc", uuid(n), station.client.get(uuid(n), mode).filters[0], hints=hint)
        gone(edge, n)


def test_refusals_are_shown_and_the_vsi_removed(desk):
    """S3-12, K18: lldpad prints the text of our code, and keeps nothing."""
    edge, station = desk
    before = edge.counters()["refused"]
    code, text = station.vdptool("assoc", uuid(0x500), group_mac_filter(0, mac(0x500), 5999))
    assert "Invalid VID, GroupID or MAC address" in text, (code, text)
    assert attachment(edge, 0x500) is None and station.client.get(uuid(0x500)) is None
    # a VID that another VN holds here (K18): refused, never another one than asked
    red = station.request("assoc", uuid(0x501), group_mac_filter(0, mac(0x501), RED))
    blue = station.request("assoc", uuid(0x502), group_mac_filter(red.vid, mac(0x502), BLUE))
    assert blue.mode == "deassoc" and blue.get("hints") == "5"
    assert edge.counters()["refused"] == before + 2
    station.request("deassoc", uuid(0x501), station.client.get(uuid(0x501)).filters[0])
    gone(edge, 0x501)


def test_priority_asked_for_is_kept(desk):
    """S3-105: PS and PCP travel in the TCI, both ways."""
    edge, station = desk
    f = group_mac_filter(0x8000 | 5 << 12 | 103, mac(0x600), RED)
    answer = station.request("assoc", uuid(0x600), f)
    assert answer.mode == "assoc" and answer.vid == 103
    assert attachment(edge, 0x600)["pcp"] == 5
    station.request("deassoc", uuid(0x600), station.client.get(uuid(0x600)).filters[0])
    gone(edge, 0x600)


# ---- time

def requests(wire):
    """VSI TLVs that a station sent: (type, status, filter octets), of ECP requests."""
    for f in wire.frames():
        if f[12:14] == b"\x89\x40" and f[14] >> 2 & 3 == 0:
            at = 18
            while at + 2 <= len(f) and f[at] >> 1:
                kind, size = f[at] >> 1, (f[at] & 1) << 8 | f[at + 1]
                if 1 <= kind <= 4:
                    yield kind, f[at + 2], f[at + 27:at + 2 + size]
                at += 2 + size


def test_keep_alives_keep_and_never_claim(make_lab):
    """K3, S3-80: a keep-alive carries the TCI that was filled in, renews the timer, and takes
    no new epoch, whatever its hints."""
    lab = up(make_lab(tors=1), QUICK)
    edge = lab.tors[0].daemon
    with Lldpad(lab.servers[0], rka=17) as station, Wire(lab.tors[0], "swp1") as wire:
        plain = station.request("assoc", uuid(1), group_mac_filter(0, mac(1), RED))
        station.request("assoc", uuid(2), group_mac_filter(0, mac(2), RED), hints="to")
        epochs = {n: attachment(edge, n)["epoch"] for n in (1, 2)}
        list(requests(wire))
        before = edge.counters()
        wait_for("8 keep-alives", lambda: edge.counters()["keepalives"] >= before["keepalives"] + 8, 15)
        seen = list(requests(wire))
        assert {s for _, s, _ in seen} == {0x00, 0x10}
        for kind, _, filters in seen:
            assert kind == 3
            assert struct.unpack("!H", filters[10:12])[0] == plain.tci
        after = edge.counters()
        assert after["answered_ok"] - before["answered_ok"] <= after["keepalives"] - before["keepalives"]
        for n in (1, 2):
            row = attachment(edge, n)
            assert row["state"] == "ASSOC" and row["epoch"] == epochs[n]
            assert station.client.get(uuid(n)).mode == "assoc"


def test_a_station_that_falls_silent_ages_out_and_is_told(make_lab):
    """S3-80, S3-90: after its time the VSI goes, and the station hears of it."""
    lab = up(make_lab(tors=1), QUICK)
    edge = lab.tors[0].daemon
    with Lldpad(lab.servers[0], rka=17) as station:
        station.request("assoc", uuid(1), group_mac_filter(0, mac(1), RED))
        left = attachment(edge, 1)["idle_left_s"]
        pids = [int(p) for p in open(f"/proc/{station.process.pid}/task/{station.process.pid}/children",
                                     encoding="ascii").read().split()] or [station.process.pid]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            wait_for("aged out", lambda: state(edge, 1) != "ASSOC", left + 5)
            assert edge.counters()["aged_out"] == 1
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        wait_for("lldpad lets it go", lambda: station.client.get(uuid(1)) is None)


def test_a_move_tells_the_old_station_and_its_keep_alive_claims_nothing(make_lab):
    """K3, K18: the newer claim wins, the old station hears a de-association."""
    lab = up(make_lab(tors=2), QUICK)
    old, new = (t.daemon for t in lab.tors)
    with Lldpad(lab.servers[0], rka=17) as one, Lldpad(lab.servers[1], rka=17) as two:
        one.request("assoc", uuid(1), group_mac_filter(0, mac(1), RED))
        epoch = int(attachment(old, 1)["epoch"])
        two.request("assoc", uuid(1), group_mac_filter(0, mac(1), RED))
        wait_for("lldpad of the old place lets it go", lambda: one.client.get(uuid(1)) is None)
        row = attachment(new, 1)
        assert row["state"] == "ASSOC" and int(row["epoch"]) > epoch
        assert state(old, 1) != "ASSOC"
        mappings = lab.nva.daemon.rows("show mappings", mac=mac(1))
        assert [m["owner"] for m in mappings] == [lab.tors[1].vtep]
        # and back again: the first request of a VM that returns is a claim, not a repetition
        assert one.request("assoc", uuid(1), group_mac_filter(0, mac(1), RED)).mode == "assoc"
        assert state(old, 1) == "ASSOC"
        wait_for("lldpad of the other place lets it go", lambda: two.client.get(uuid(1)) is None)
        wait_for("the owner", lambda: [m["owner"] for m in lab.nva.daemon.rows(
            "show mappings", mac=mac(1))] == [lab.tors[0].vtep])


def test_addresses_of_ciscos_tlv_answer_arp(make_lab):
    """K8: the only deployed way of an IP in VDP; the edge then answers ARP for it."""
    lab = up(make_lab(tors=2))
    with Lldpad(lab.servers[0]) as one, Lldpad(lab.servers[1]) as two:
        a = one.request("assoc", uuid(1), group_mac_filter(0, mac(1), RED),
                        cisco={"ipv4_addr": "10.0.0.1"})
        two.request("assoc", uuid(2), group_mac_filter(0, mac(2), RED),
                    cisco={"vm_name": "web", "ipv4_addr": "10.0.0.2"})
        wait_for("the mapping", lambda: any(
            m["ips"] == ["10.0.0.2"] for m in lab.tors[0].daemon.rows("show mappings", mac=mac(2))))
        with Wire(lab.servers[0], "up0") as wire:
            wire.send(arp(1, mac(1), "10.0.0.1", "10.0.0.2", vid=a.vid))
            answer = wire.expect("an ARP answer", lambda f: f[16:18] == b"\x08\x06")
        assert answer[14:16] == struct.pack("!H", a.vid)
        assert answer[24:32] == b"\0\2" + mac_bytes(mac(2))
        assert lab.tors[0].counters()["arp_answered"] == 1


# ---- many

def test_300_vsis_with_16_outstanding_none_lost(make_lab):
    """K13: lldpad has one input buffer; answers come aggregated and paced."""
    lab = up(make_lab(tors=1))
    edge = lab.tors[0].daemon
    with Lldpad(lab.servers[0]) as station:
        client, left, out, answers = station.client, list(range(300)), {}, {}
        end = time.monotonic() + 60
        while (left or out) and time.monotonic() < end:
            while left and len(out) < 16:
                n = left.pop(0)
                assert client.set("assoc", uuid(n), group_mac_filter(0, mac(n), RED)) == 0
                out[uuid(n)] = n
            for event in client.poll_events():
                if event.uuid in out:
                    answers[out.pop(event.uuid)] = event.mode
        assert len(answers) == 300 and set(answers.values()) == {"assoc"}
        rows = edge.rows("show attachments", state="ASSOC")
        assert len({r["vsi"] for r in rows}) == 300
        assert len(edge.rows("show tags", state="USED")) == 1
        assert all(client.get(uuid(n)).mode == "assoc" for n in range(300))


def test_kill_and_restart_of_the_edge_under_lldpad(make_lab):
    """K3, K7: after a restart no VSI is lost and the next keep-alive is not a claim."""
    lab = up(make_lab(tors=1), QUICK)
    tor = lab.tors[0]
    with Lldpad(lab.servers[0], rka=17) as station:
        for n in range(20):
            station.request("assoc", uuid(n), group_mac_filter(0, mac(n), RED))
        before = {r["vsi"]: (r["vid"], r["epoch"]) for r in tor.daemon.rows("show attachments")}
        tor.daemon.kill()
        tor.daemon.start()
        wait_for("a keep-alive of each", lambda: tor.counters()["keepalives"] >= 20, 15)
        after = {r["vsi"]: (r["vid"], r["epoch"]) for r in
                 tor.daemon.rows("show attachments", state="ASSOC")}
        assert after == before
        assert all(station.client.get(uuid(n)).mode == "assoc" for n in range(20))


# ---- with Berth's agent beside it

def follow(server, vms, reflect=False):
    """The agent in follow mode; the VMs stand in its configuration."""
    server.settings = 'station = "lldpad"\nlldpad_poll = 500ms\n' + "\n".join(
        f'vm "{vm.ifname}" {{ mac = "{vm.mac}" }}' for vm in vms)
    if reflect:
        server.settings += "\nreflective_relay = true"
    server.start()


def tags(server):
    return [r["vid"] for r in server.daemon.rows("show vms") if r["state"] == "associated"]


def test_the_agent_tags_the_vms_that_lldpad_signals(make_lab):
    """berth-tes --station=lldpad (S0-17): two VMs behind two servers over tags that
    lldpad obtained."""
    lab = up(make_lab(tors=2))
    one, two = lab.servers
    with Lldpad(one) as left, Lldpad(two) as right:
        vms = [lab.add_vm(s) for s in lab.servers]
        follow(one, vms[:1])
        follow(two, [])
        two.daemon.rows("vm follow", **{"if": vms[1].ifname, "mac": vms[1].mac})
        for station, vm in zip((left, right), vms):
            answer = station.request("assoc", vm.vsi, group_mac_filter(0, vm.mac, RED),
                                     cisco={"ipv4_addr": vm.ip4})
            assert answer.mode == "assoc" and answer.vid
            wait_for("the agent has the tag", lambda: tags(vm.server) == [answer.vid])
        lab.wait_mappings(2)
        assert vms[0].ping(vms[1].ip4) == (3, 3)
        # a restart of the agent changes nothing
        one.daemon.kill()
        one.daemon.start()
        assert vms[0].ping(vms[1].ip4) == (3, 3)
        # and what lldpad lets go is tagged no more
        left.request("deassoc", vms[0].vsi, left.client.get(vms[0].vsi).filters[0])
        wait_for("no tag", lambda: not tags(one))
        assert vms[0].ping(vms[1].ip4, count=2, wait=1)[1] == 0


@pytest.mark.parametrize("reflect", [True, False])
def test_two_followed_vms_behind_one_server(make_lab, reflect):
    """K10: with reflective relay the edge switches between them, without it the agent."""
    lab = make_lab(tors=1)
    up(lab, "" if reflect else "vdp { reflective_relay = false }")
    server = lab.servers[0]
    with Lldpad(server) as station:
        vms = [lab.add_vm(server) for _ in range(2)]
        follow(server, vms, reflect)
        for vm in vms:
            station.request("assoc", vm.vsi, group_mac_filter(0, vm.mac, RED),
                            cisco={"ipv4_addr": vm.ip4})
        wait_for("two tags", lambda: len(tags(server)) == 2)
        assert vms[0].ping(vms[1].ip4) == (3, 3), f"reflective relay {reflect}"
        assert (lab.tors[0].counters()["reflected"] > 0) == reflect
