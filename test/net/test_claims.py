# SPDX-License-Identifier: Apache-2.0
"""Whose address it is, seen from two edges, and answers that wait for the far ends.

    a ─ srv1 ═══ tor1 ═══ VXLAN ═══ tor2 ═══ srv2 ─ b
                    \\───── nva ─────/
"""
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from lab import LabError, arp, frame, program, wait_for
from station import ASSOC, Station, entry


def mappings(tor, **what):
    return [r for r in tor.daemon.rows("show mappings")
            if all(r[k] == v for k, v in what.items())]


def test_another_vm_may_not_take_an_address(lab2):
    """K18: refused at the other edge with the holder's name; nothing of it is left."""
    here, there = lab2.tors
    a, thief = (lab2.add_vm(s) for s in lab2.servers)
    witness = lab2.add_vm(lab2.servers[1])
    a.associate("red")
    witness.associate("red")
    wait_for("a's mapping at tor2", lambda: mappings(there, mac=a.mac))
    tags, attachments = there.daemon.rows("show tags"), there.daemon.rows("show attachments")
    with pytest.raises(LabError) as refused:
        thief.associate("red", mac=a.mac)
    assert here.vtep in str(refused.value) and a.mac in str(refused.value)
    assert there.counters()["conflicts"] == 1
    assert len(there.daemon.rows("show attachments")) == len(attachments)
    assert [(t["vid"], t["refs"]) for t in there.daemon.rows("show tags")] == \
        [(t["vid"], t["refs"]) for t in tags]
    assert [m["owner"] for m in lab2.nva.daemon.rows("show mappings", mac=a.mac)] == [here.vtep]
    # the one that has it is reached from the very edge that refused, as before
    wait_for("a's mapping at tor2", lambda: mappings(there, mac=a.mac, owner=here.vtep))
    assert witness.ping(a.ip4) == (3, 3)
    # the same VM there is a move
    moved = lab2.add_vm(lab2.servers[1], mac=a.mac, ip4=a.ip4, ip6=a.ip6)
    moved.vsi = a.vsi
    assert moved.associate("red")["state"] == "associated"
    wait_for("the move", lambda: [m["owner"] for m in lab2.nva.daemon.rows(
        "show mappings", mac=a.mac)] == [there.vtep])
    # when it is gone, the address is free
    moved.terminate()
    wait_for("a gone", lambda: not lab2.nva.daemon.rows("show mappings", mac=a.mac))
    assert thief.associate("red", mac=a.mac)["state"] == "associated"


def test_who_claims_in_turns_wins_nothing(lab2):
    """E5: another server knows the VM's VSI and MAC. It is frozen where it was before, both are
    shown, to try again prolongs nothing, and an operator lets it move again."""
    here, there = lab2.tors
    a, peer = lab2.add_vm(lab2.servers[0]), lab2.add_vm(lab2.servers[0])
    thief = lab2.add_vm(lab2.servers[1], mac=a.mac, ip4=a.ip4, ip6=a.ip6)
    thief.vsi = a.vsi
    a.associate("red")
    peer.associate("red")

    def row():
        found, = lab2.nva.daemon.rows("show mappings", mac=a.mac)
        return found
    refused = []

    def held_by(edge):                       # each edge knows, and the one that lost it gave way
        return [mappings(t, mac=a.mac, owner=edge.vtep) for t in lab2.tors]
    for _ in range(6):
        try:
            thief.associate("red")
            assert row()["owner"] == there.vtep
            wait_for("heard", lambda: all(held_by(there)))
        except LabError as error:
            refused.append(str(error))
            continue
        a.associate("red")
        wait_for("heard", lambda: all(held_by(here)))
    assert len(refused) == 3 and here.vtep in refused[0]
    assert row()["owner"] == here.vtep and row()["frozen"] and row()["rival"] == there.vtep
    assert 170 < row()["frozen_left_s"] <= 180
    assert [c["value"] for c in lab2.nva.daemon.rows("show counters") if c["name"] == "damped"] == [3]
    assert peer.ping(a.ip4) == (3, 3)

    def berth(*args):
        return subprocess.run([program("berth"), "-s", lab2.nva.daemon.control, *args], text=True,
                              capture_output=True, timeout=30, check=False)
    shown = berth("show", "mappings", "--daemon", "nva").stdout
    assert there.vtep in shown and "RIVAL" in shown and "FROZEN-LEFT" in shown
    wrong = berth("mapping", "clear", "5000", peer.mac)
    assert wrong.returncode == 1 and f"{peer.mac} in VN 5000 is not frozen" in wrong.stderr
    done = berth("mapping", "clear", "5000", a.mac)
    assert done.returncode == 0 and done.stdout == done.stderr == ""
    assert not row()["frozen"] and row()["rival"] is None
    assert thief.associate("red")["state"] == "associated"
    assert row()["owner"] == there.vtep


def test_a_wildcard_does_not_take_what_is_signalled_elsewhere(make_lab):
    """Signalled beats learned across edges: frames with its address move nothing. The edge
    asks whoever sends them first (E5), and an answer that lies is refused by the authority."""
    lab = make_lab(tors=2)
    lab.start(tes=False)
    lab.servers[0].start()
    lab.nva.vn_add(5000, "red", mtu=1450)
    here, there = lab.tors
    a, b = (lab.add_vm(lab.servers[0]) for _ in range(2))
    a.associate("red")
    b.associate("red")

    def owners(mac):
        return [m["owner"] for m in lab.nva.daemon.rows("show mappings", mac=mac)]
    with Station(lab.servers[1]) as thief:
        vid = thief.request(ASSOC, 1, entry(None, 5000), filter_format=3).vid
        wait_for("a's mapping at tor2", lambda: mappings(there, mac=a.mac))
        epoch = mappings(here, mac=a.mac)[0]["epoch"]
        asks = bytes.fromhex(a.mac.replace(":", "")), socket.inet_aton(a.ip4)

        def is_probe(f):                 # ARP request to a's MAC for a's address, tagged
            return f[:6] == asks[0] and f[16:18] == b"\x08\x06" and f[24:26] == b"\0\1" \
                and f[42:46] == asks[1]
        for _ in range(5):
            thief.wire.send(frame(b.mac, a.mac, vid))
        probe = thief.wire.expect("a probe", is_probe)
        assert there.counters()["conflicts"] == 0 and owners(a.mac) == [here.vtep]
        thief.wire.send(arp(2, a.mac, a.ip4, "0.0.0.0", probe[26:32].hex(":"), vid))
        wait_for("refused", lambda: there.counters()["conflicts"] >= 1)
        assert there.counters()["learn_refused"] >= 1
        assert owners(a.mac) == [here.vtep]
        row, = here.daemon.rows("show attachments", mac=a.mac)
        assert row["state"] == "ASSOC"
        assert mappings(here, mac=a.mac)[0]["epoch"] == epoch
        assert not there.daemon.rows("show attachments", mac=a.mac)
        # tor2 knows where it is, again, and does not ask for it a second time
        wait_for("a's mapping at tor2", lambda: mappings(there, mac=a.mac, owner=here.vtep))
        for _ in range(5):
            thief.wire.send(frame(b.mac, a.mac, vid))
        own = "02:ab:00:00:00:01"
        thief.wire.send(frame("ff:ff:ff:ff:ff:ff", own, vid))
        wait_for("its own address is learned", lambda: owners(own) == [there.vtep])
        assert there.counters()["conflicts"] == 1
        assert owners(a.mac) == [here.vtep]
        # the other way round: what is signalled takes what was learned
        late = lab.add_vm(lab.servers[0], mac=own)
        assert late.associate("red")["state"] == "associated"
        wait_for("taken", lambda: owners(own) == [here.vtep])
        wait_for("not learned any more", lambda: not there.daemon.rows(
            "show attachments", mac=own))
    assert a.ping(b.ip4) == (3, 3)


def test_held_while_the_session_is_lost_until_t_stale(make_lab):
    lab = make_lab(tors=2)
    lab.nva.settings = "settings { t_stale = 3s }"
    lab.start()
    lab.nva.vn_add(5000, "red")
    a, other = (lab.add_vm(s) for s in lab.servers)
    a.associate("red")
    lab.tors[0].daemon.kill()
    wait_for("stale", lambda: [m for m in lab.nva.daemon.rows("show mappings") if m["stale"]])
    with pytest.raises(LabError, match=lab.tors[0].vtep):
        other.associate("red", mac=a.mac)
    wait_for("expired", lambda: not lab.nva.daemon.rows("show mappings"))
    assert other.associate("red", mac=a.mac)["state"] == "associated"


class Asking(threading.Thread):
    """An associate that may take its time."""

    def __init__(self, vm, **more):
        super().__init__()
        self.vm, self.more, self.answer, self.error = vm, more, None, None
        self.start()

    def run(self):
        try:
            self.answer = self.vm.associate("red", **self.more)
        except LabError as error:
            self.error = error


def waiting(tor, vm):
    return [r for r in tor.daemon.rows("show attachments") if r["vsi"] == vm.vsi and r["waiting"] & 32]


def test_confirmed_when_the_far_end_forwards(make_lab):
    lab = make_lab(tors=2)
    for tor in lab.tors:
        tor.settings = "settings { t_confirm = 8s }"
    lab.start()
    lab.nva.vn_add(5000, "red", arp="suppress", mtu=1450)
    near, far = lab.tors
    plain, careful = lab.add_vm(lab.servers[0]), lab.add_vm(lab.servers[0])
    b = lab.add_vm(lab.servers[1])
    b.associate("red")
    first = lab.add_vm(lab.servers[0]).associate("red", confirm=True)
    assert first["confirmed"] is True and first["done_s"] < 1
    os.kill(far.daemon.process.pid, signal.SIGSTOP)
    try:
        answer = plain.associate("red")
        assert answer["done_s"] < 1 and "confirmed" not in answer
        asking = Asking(careful, confirm=True)
        wait_for("waiting for the far end", lambda: waiting(near, careful))
        # the authority has acknowledged, and everything stands here
        row, = waiting(near, careful)
        assert row["state"] == "ASSOC" and not row["unpublished"] and row["waiting"] == 32
        assert asking.is_alive()
    finally:
        os.kill(far.daemon.process.pid, signal.SIGCONT)
    stopped = time.monotonic()
    asking.join(6)
    assert asking.error is None and asking.answer["confirmed"] is True
    assert time.monotonic() - stopped < 5
    # what was promised: b's edge has the mapping at this moment
    assert mappings(far, mac=careful.mac, owner=near.vtep)
    assert b.ping(careful.ip4) == (3, 3)


def test_confirmation_is_bounded(make_lab):
    lab = make_lab(tors=2)
    lab.tors[0].settings = "settings { t_confirm = 400ms }"
    lab.start()
    lab.nva.vn_add(5000, "red")
    a, b = (lab.add_vm(s) for s in lab.servers)
    b.associate("red")
    far = lab.tors[1].daemon.process.pid
    os.kill(far, signal.SIGSTOP)
    try:
        answer = a.associate("red", confirm=True)
        assert answer["confirmed"] is False and "unpublished" not in answer
        assert 0.4 <= answer["done_s"] < 3
    finally:
        os.kill(far, signal.SIGCONT)
