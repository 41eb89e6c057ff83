# SPDX-License-Identifier: Apache-2.0
"""berth trace: one migration between real daemons, told by all of them on one time line."""
import json
import os
import subprocess
import xml.dom.minidom

import pytest

import lab as labs
from lab import Probe, wait_for


@pytest.fixture(scope="module")
def moved():
    with labs.Lab(tors=3) as lab:
        lab.start()
        lab.nva.vn_add(5000, "red", mtu=1450)
        vm, peer = lab.add_moving_vm(lab.servers[:2]), lab.add_vm(lab.servers[2])
        vm.associate("red")
        peer.associate("red")
        wait_for("ping", lambda: peer.ping(vm.ip4, 1) == (1, 1))
        probe = Probe.ping(peer, vm.ip4)
        vm.move(lab.servers[1], 0.05)
        wait_for("the last step", lambda: any(
            r["event"] == "redirected" or r["event"] == "remote" for r in rows(lab, vm)[-40:]))
        probe.end()
        wait_for("the end of the hold", lambda: any(      # it lingers until the server has switched
            r["event"] == "held" and r["name"] == lab.tors[1].name for r in rows(lab, vm)))
        yield lab, vm


def berth(lab, *args):
    daemons = [n.daemon for n in [lab.nva, *lab.tors, *lab.servers]]
    at = [x for d in daemons for x in ("--at", d.control)]
    done = subprocess.run([labs.program("berth"), *args, *at], text=True, capture_output=True,
                          timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(lab, vm):
    return [json.loads(x) for x in berth(lab, "-j", "trace", "vm", vm.vsi).splitlines()]


def test_who_said_what_when(moved):
    lab, vm = moved
    told = rows(lab, vm)
    assert [r["at_s"] for r in told] == sorted(r["at_s"] for r in told)
    tor1, tor2, tor3 = (t.name for t in lab.tors)

    def when(name, event, **more):
        found = [r for r in told if r["name"].endswith(name) and r["event"] == event
                 and all(r.get(k) == v for k, v in more.items())]
        assert found, (name, event, more, [(r["name"], r["event"]) for r in told])
        return found[0]["at_s"], found[0]

    order = [when(tor2, "request", op="immigrate-prepare"), when(tor2, "hold"), when(tor2, "reserve"),
             when("nva", "granted"), when(tor1, "reserved"),
             when(tor1, "request", op="emigrate-prepare"),
             when(tor1, "request", op="emigrate"),
             when(tor2, "request", op="immigrate"), when(tor2, "local"),
             when(tor2, "register"), when(tor2, "registered"), when(tor2, "release")]
    assert [t for t, _ in order[:5]] == sorted(t for t, _ in order[:5])
    assert [t for t, _ in order[7:]] == sorted(t for t, _ in order[7:])
    epoch = when("nva", "granted")[1]["epoch"]
    assert when(tor1, "reserved")[1]["epoch"] == epoch
    assert when("nva", "registered", epoch=epoch)
    assert when(tor1, "relay")[1]["peer"] == when(tor2, "hold")[1]["self"]
    when(tor3, "mapped", epoch=epoch)
    when(lab.servers[0].name, "command", op="emigrate")
    when(lab.servers[1].name, "result")
    when(lab.servers[1].name, "frames")


def test_frames_are_counted(moved):
    """50 ms of pings every millisecond, and what came before the mapping did."""
    lab, vm = moved
    told = rows(lab, vm)
    kept = [r for r in told if r["event"] == "held" and r["name"] == lab.tors[1].name]
    assert kept and kept[-1]["frames"] >= 30 and not kept[-1].get("dropped")
    late = [r for r in told if r.get("word") == "so far"]
    assert [r["name"] for r in late] == [lab.tors[0].name] and late[0]["frames"] >= 30
    assert "relayed     so far, frames" in berth(lab, "trace", "vm", vm.vsi)


def test_picture(moved, tmp_path):
    lab, vm = moved
    path = str(tmp_path / "move.svg")
    assert berth(lab, "trace", "vm", vm.vsi, "-o", path) == ""
    picture = xml.dom.minidom.parse(path)
    assert len(picture.getElementsByTagName("circle")) == len(rows(lab, vm))
    arrows = [x for x in picture.getElementsByTagName("line") if x.getAttribute("marker-end")]
    assert len(arrows) >= 10
    assert os.path.getsize(path) < 1 << 20


def test_dropped_frames_are_told(make_lab):
    """A hold of five frames: of those of a pause the oldest are lost, and the trace says it."""
    lab = make_lab(tors=3)
    for tor in lab.tors:
        tor.settings = "settings { hold_frames = 5 }"
    lab.start()
    lab.nva.vn_add(5000, "red", mtu=1450)
    vm, peer = lab.add_moving_vm(lab.servers[:2]), lab.add_vm(lab.servers[2])
    vm.associate("red")
    peer.associate("red")
    wait_for("ping", lambda: peer.ping(vm.ip4, 1) == (1, 1))
    probe = Probe.ping(peer, vm.ip4)
    vm.move(lab.servers[1], 0.05)
    wait_for("the end of the hold", lambda: any(
        r["event"] == "held" and r["name"] == lab.tors[1].name for r in rows(lab, vm)))
    report = probe.end()
    told = [r for r in rows(lab, vm) if r["event"] == "held"]
    lost = sum(r.get("dropped", 0) for r in told)
    assert report["lost"] == lost >= 30, told
    assert f"dropped {told[-1]['dropped']}" in berth(lab, "trace", "vm", vm.vsi)
