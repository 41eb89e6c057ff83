# SPDX-License-Identifier: Apache-2.0
"""VMs that move under traffic: what is lost, doubled and out of order, packet by packet.

    vm ─ srv1 ═══ tor1 ───╮
     ╰── srv2 ═══ tor2 ─── core ─── tor3 ═══ srv3 ─ peer
                           nva

The VM's card (lab/vnic.c) pauses and runs on elsewhere; probe (lab/probe.c) numbers packets.
"""
import contextlib
import json
import os
import signal
import subprocess
import time

import pytest

from lab import Lab, LabError, Probe, wait_for

UNBUFFERED = "settings { hold_frames = 1 t_hold = 1ms }"


def ready(lab, *vms):
    """They are associated, every edge knows, and the first answers all others."""
    for vm in vms:
        vm.associate("red")
    for vm in vms[1:]:
        wait_for(f"ping {vm.name} {vms[0].name}", lambda v=vm: v.ping(vms[0].ip4, 1) == (1, 1))
    lab.vm, lab.peer = vms[:2]
    return lab


def started(make_lab, settings="", **kw):
    lab = make_lab(**kw)
    for tor in lab.tors:
        tor.settings = settings
    lab.start()
    lab.nva.vn_add(5000, "red", arp="suppress", mtu=1450)
    return lab


@pytest.fixture(scope="module")
def standing():
    """The lab that tests leave to the next one, while it is sound."""
    held = []
    yield held
    for lab in held:
        lab.down()


@pytest.fixture
def three(standing):
    """A VM that moves between tor1 and tor2, its peer behind tor3."""
    if standing:
        try:
            settled(standing[0], standing[0].vm, 2)
        except (LabError, OSError):
            standing.pop().down()        # a test has failed in it
    if not standing:
        lab = started(lambda **kw: Lab(**kw).up(), tors=3)
        standing.append(lab)
        ready(lab, lab.add_moving_vm(lab.servers[:2]), lab.add_vm(lab.servers[2]))
    return standing[0]


@contextlib.contextmanager
def counted(*probes, settle_s=0.15):
    """Packets run before, during and after the block; the list gets their reports."""
    time.sleep(settle_s)                 # traffic before what is looked at
    reports = []
    yield reports
    time.sleep(settle_s)
    reports += [p.end() for p in probes]


def beyond(report, moves):
    """Lost although neither sent while the VM was paused nor under way at the pause."""
    return [(n, [(t - m.paused_ns) / 1e6 for m in moves]) for n, t, d in report["lost_at"]
            if not any(m.missed(n, t, d) for m in moves)]


def clean(report):
    """Nothing lost, doubled or out of order."""
    assert report["send_errors"] == 0
    assert (report["lost"], report["duplicates"], report["reordered"]) == (0, 0, 0), \
        {k: v for k, v in report.items() if k != "lost_at"}


def other(vm):
    return next(s for s in vm.servers if s is not vm.server)


def owner(lab, vm):
    return [(m["owner"], int(m["epoch"])) for m in lab.nva.daemon.rows(
        "show mappings", mac=vm.mac)]


def settled(lab, vm, deadline_s=10):
    """The VM is owned where it runs, and by nobody else."""
    here = vm.server.nve

    def good():
        return [o for o, _ in owner(lab, vm)] == [here.vtep] and all(
            {m["owner"] for m in t.daemon.rows("show mappings", mac=vm.mac)} <= {here.vtep}
            for t in lab.tors) and [
                t for t in lab.tors if any(a["state"] == "ASSOC" for a in t.daemon.rows(
                    "show attachments", mac=vm.mac))] == [here]
    wait_for(f"{vm.name} belongs to {here.name} alone", good, deadline_s)
    wait_for(f"{vm.name} answers", lambda: lab.peer.ping(vm.ip4, 1) == (1, 1), deadline_s)


def total(lab, name):
    return sum(t.counters()[name] for t in lab.tors)


def test_nothing_is_lost_with_the_hold(three):
    vm = three.vm
    moves, before = [], {n: total(three, n) for n in ("held", "released", "drop_held")}
    with counted(Probe.ping(three.peer, vm.ip4)) as reports:
        for pause_s in (0, 0.05, 0.5):
            for _ in range(2):
                moves.append(vm.move(other(vm), pause_s))
                assert moves[-1].pause_s >= pause_s
                time.sleep(0.1)          # the spacing of moves
    clean(reports[0])
    assert reports[0]["delay_us"]["max"] >= 400e3      # they waited, and were not refused
    settled(three, vm)
    held, released, dropped = (total(three, n) - before[n] for n in before)
    assert held >= 450 and held == released and not dropped


def test_nothing_is_lost_beyond_the_pause_without_a_buffer(make_lab):
    lab = started(make_lab, UNBUFFERED, tors=3)
    ready(lab, lab.add_moving_vm(lab.servers[:2]), lab.add_vm(lab.servers[2]))
    moves, refused = [], total(lab, "drop_inactive")
    with counted(Probe.ping(lab.peer, lab.vm.ip4)) as reports:
        for pause_s in (0, 0.05, 0.3):
            for _ in range(2):
                moves.append(lab.vm.move(other(lab.vm), pause_s, hold=False))
                time.sleep(0.1)          # the spacing of moves
    assert reports[0]["lost"] > 300
    # an answer that was still on its way to the edge when the pause was told there is
    # refused, and counted: nothing else may be lost, and nothing that is older
    refused = total(lab, "drop_inactive") - refused
    late = beyond(reports[0], moves)
    assert len(late) <= refused and all(any(-10 < t < 0 for t in ago) for _, ago in late), \
        (late, refused)
    assert (reports[0]["duplicates"], reports[0]["reordered"]) == (0, 0)
    settled(lab, lab.vm)


def test_peers_everywhere_and_in_both_directions(make_lab):
    """Behind the old edge, behind the new one, behind a third; and from the VM."""
    lab = started(make_lab, tors=3)
    vm = lab.add_moving_vm(lab.servers[:2])
    peers = [lab.add_vm(s) for s in lab.servers]
    ready(lab, vm, *peers)
    with counted(*[Probe.ping(p, vm.ip4) for p in peers],
                 *[Probe.stream(vm, p, 1000) for p in peers]) as reports:
        for _ in range(4):
            vm.move(other(vm), 0.03)
            time.sleep(0.05)             # the spacing of moves
    for report in reports:
        clean(report)
    settled(lab, vm)


def test_ping_pong(three):
    """Back before anything has settled (F10)."""
    with counted(Probe.ping(three.peer, three.vm.ip4)) as reports:
        for _ in range(10):
            three.vm.move(other(three.vm), 0.005)
    clean(reports[0])
    epochs = owner(three, three.vm)
    three.vm.move(other(three.vm), 0)
    settled(three, three.vm)
    assert owner(three, three.vm)[0][1] > epochs[0][1]


def test_two_servers_of_one_edge(make_lab):
    """F15: both halves of the move stand side by side; the port changes."""
    lab = started(make_lab, tors=2, servers_per_tor=2)
    vm, peer, near = lab.add_moving_vm(lab.servers[:2]), lab.add_vm(lab.servers[2]), \
        lab.add_vm(lab.servers[0])
    ready(lab, vm, peer, near)
    with counted(Probe.ping(peer, vm.ip4), Probe.ping(near, vm.ip4)) as reports:
        for _ in range(4):
            vm.move(other(vm), 0.05)
            time.sleep(0.05)             # the spacing of moves
    for report in reports:
        clean(report)
    settled(lab, vm)


def test_the_old_edge_relays_while_a_remote_one_has_not_heard(three):
    vm, far = three.vm, three.tors[2].daemon
    old = vm.server.nve
    with counted(Probe.ping(three.peer, vm.ip4)) as reports:
        os.kill(far.process.pid, signal.SIGSTOP)       # its data plane goes on
        try:
            vm.move(other(vm), 0.02)
            before = old.counters()["relayed"]
            wait_for("relayed frames", lambda: old.counters()["relayed"] > before + 100)
        finally:
            os.kill(far.process.pid, signal.SIGCONT)
        wait_for("the remote edge sends to the new one", lambda: [
            m["owner"] for m in far.rows("show mappings", mac=vm.mac)] == [vm.server.nve.vtep])
    clean(reports[0])
    settled(three, vm)


def test_the_old_place_ends(make_lab):
    lab = started(make_lab, "settings { t_tomb = 500ms t_tag_hold = 500ms }", tors=3)
    ready(lab, lab.add_moving_vm(lab.servers[:2]), lab.add_vm(lab.servers[2]))
    old = lab.vm.server.nve.daemon
    lab.vm.move(other(lab.vm), 0.05)
    wait_for("no tombstone", lambda: not any(
        m["tombstone"] for m in old.rows("show mappings", mac=lab.vm.mac)))
    wait_for("no attachment", lambda: not old.rows("show attachments", mac=lab.vm.mac))
    wait_for("no tag in use", lambda: not old.rows("show tags", state="USED"))
    settled(lab, lab.vm)


# What was told before the source takes the VM back. "asso": the target had even published.
ROLL_BACKS = {
    "pre": ("pre",),
    "prepare": ("pre", "prepare"),
    "hold": ("pre", "prepare", "hold"),
    "pause": ("pre", "prepare", "hold", "pause"),
    "commit": ("pre", "prepare", "hold", "pause", "commit"),
    "asso": ("pre", "prepare", "hold", "pause", ("commit", "asso")),
    "target only": ("pre", "pause", "asso"),
}


@pytest.mark.parametrize("at", ROLL_BACKS)
def test_roll_back(three, at):
    vm, target = three.vm, other(three.vm)
    source, epoch = vm.server, owner(three, vm)[0][1]
    paused = "pause" in ROLL_BACKS[at]
    with counted(Probe.ping(three.peer, vm.ip4)) as reports:
        move = vm.move(target, steps=ROLL_BACKS[at])
        time.sleep(0.03)                 # the migration makes no progress, and fails
        vm.take_back(move)
    assert beyond(reports[0], [move] if paused else []) == []
    assert (reports[0]["duplicates"], reports[0]["reordered"]) == (0, 0)
    if at in ("pre", "prepare", "hold"):
        clean(reports[0])
    settled(three, vm)
    assert vm.server is source
    assert owner(three, vm)[0][1] > epoch
    # and the next attempt succeeds, from the state that this one left
    with counted(Probe.ping(three.peer, vm.ip4)) as reports:
        vm.move(target, 0.02)
    clean(reports[0])
    settled(three, vm)


@pytest.mark.parametrize("who", ["old", "new", "remote", "authority", "old agent",
                                 "new agent"])
def test_kill_during_the_pause(three, who):
    """What waits in the new edge is lost with it, and no more; of others nothing is lost."""
    vm, target = three.vm, other(three.vm)
    daemon = {"old": vm.server.nve, "new": target.nve, "remote": three.tors[2],
              "authority": three.nva, "old agent": vm.server, "new agent": target}[who].daemon

    def between(step):
        if step == "commit":
            time.sleep(0.02)             # something waits by now
            daemon.kill()
            daemon.start()
    with counted(Probe.ping(three.peer, vm.ip4), settle_s=0.3) as reports:
        move = vm.move(target, 0.1, between=between)
    report = reports[0]
    if who == "new":
        assert beyond(report, [move]) == []
        assert (report["duplicates"], report["reordered"]) == (0, 0)
    else:
        clean(report)
    settled(three, vm)
    with counted(Probe.ping(three.peer, vm.ip4)) as reports:
        vm.move(other(vm), 0.02)
    clean(reports[0])
    settled(three, vm)


# The orders of the four events, and where packets to the VM may be lost: one letter per
# interval before, between and after them. x: while the VM is paused; X: although it runs.
# p paused, s started, l the old edge told, L the new one told.
ORDERS = {
    "p s l L": "DxXBR", "p s L l": "DxXXR", "p l s L": "DxBBR", "p l L s": "DxBBR",
    "p L s l": "DxxXR", "p L l s": "DxxBR", "l p s L": "DDBBR", "l p L s": "DDBBR",
    "l L p s": "DDDBR", "L p s l": "DDxXR", "L p l s": "DDxBR", "L l p s": "DDDBR",
}


@pytest.mark.parametrize("order", ORDERS)
def test_orders(three, order):
    """Told early, the old edge is only armed, and hears of the pause when it comes; the new
    one is told early by `pre`, and activated before the start or, told late, at once."""
    vm, target, events = three.vm, other(three.vm), order.split()
    move, times = vm.migration(target), []
    with counted(Probe.stream(three.peer, vm, 1000)) as reports:
        for i, event in enumerate(events):
            before = time.monotonic_ns()
            if event == "p":
                if "l" in events[:i]:
                    vm.tell(move, "hold")
                vm.pause(move)
                if "l" in events[:i]:
                    vm.tell(move, "commit")
            elif event == "s":
                if "L" in events[:i]:
                    vm.tell(move, "asso")
                vm.start(move)
            elif event == "l":
                vm.tell(move, "commit" if "p" in events[:i] else "prepare")
            else:
                vm.tell(move, "pre")
                if "s" in events[:i]:
                    vm.tell(move, "asso")
            times.append((before, time.monotonic_ns()))
            time.sleep(0.04)             # the interval
        vm.tell(move, "terminate")
    bad = []
    for _, sent, _ in reports[0]["lost_at"]:
        # an interval ends when its event is done, the next begins when it starts
        fates = {fate for i, fate in enumerate(ORDERS[order])
                 if (i == 0 or sent >= times[i - 1][0] - 2e6)
                 and (i == len(times) or sent <= times[i][1])}
        if not fates & set("xX"):
            bad.append(sum(sent >= t[0] for t in times))
    # of packets that should not have been lost: the interval of each
    assert bad == []
    assert reports[0]["duplicates"] == 0
    settled(three, vm)


def test_a_sender_without_phases(three):
    """A hypervisor that only associates anew and takes the old place away (F20)."""
    vm, target = three.vm, other(three.vm)
    with counted(Probe.ping(three.peer, vm.ip4)) as reports:
        move = vm.move(target, 0.02, steps=("pause", "copy", "associate", "start", "terminate"))
    assert beyond(reports[0], [move]) == []
    assert (reports[0]["duplicates"], reports[0]["reordered"]) == (0, 0)
    settled(three, vm)
    with counted(Probe.ping(three.peer, vm.ip4)) as reports:
        move = vm.move(other(vm), 0.02, steps=("pause", "terminate", "copy", "associate", "start"))
    assert beyond(reports[0], [move]) == []
    settled(three, vm)


def test_two_hypervisors_run_the_same_vm(three):
    """F9: the newest claim wins everywhere, and the other's agent is told."""
    vm, source, target = three.vm, three.vm.server, other(three.vm)
    epoch = owner(three, vm)[0][1]
    answer = vm.at(target, "associate", vn="red", mac=vm.mac, ips=[vm.ip4, vm.ip6],
                   **{"if": vm.ifname})
    assert int(answer["epoch"]) > epoch
    told = wait_for("the other is told", lambda: next(
        (v for v in source.daemon.rows("show vms") if v["vsi"] == vm.vsi and v["state"] == "lost"),
        None))
    assert told["reason"] == "moved"
    assert [o for o, _ in owner(three, vm)] == [target.nve.vtep]
    vm.card("pause")
    vm.card("resume", target)
    vm.server = target
    settled(three, vm)


def test_a_tcp_session_survives(three):
    vm, peer, dropped = three.vm, three.peer, total(three, "drop_held")
    server = peer.popen(["iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
    wait_for("iperf3", lambda: peer.run(["ss", "-Hltn", "sport = :5201"]).stdout.strip())
    client = vm.popen(["iperf3", "-c", peer.ip4, "-R", "-t", "3", "-J", "-i", "0.1"],
                      stderr=subprocess.PIPE)
    time.sleep(0.8)                      # it has found its rate
    for _ in range(2):
        vm.move(other(vm), 0.05)
        time.sleep(0.2)                  # the spacing of moves
    out = json.loads(client.communicate(timeout=20)[0])
    server.wait(10)
    assert "error" not in out
    assert min(i["sum"]["bytes"] for i in out["intervals"][-5:]) > 0
    assert total(three, "drop_held") == dropped
    settled(three, vm)


def test_a_refused_target_changes_nothing(three):
    """F8: before the pause nothing has happened; the VM stays where it is."""
    vm, target = three.vm, other(three.vm)
    thief = three.add_vm(target)
    row = owner(three, vm)
    with counted(Probe.ping(three.peer, vm.ip4)) as reports:
        with pytest.raises(LabError, match="(?i)network|vn"):
            vm.move(target, steps=("pre",), pre={"vn": "green"})
        with pytest.raises(LabError):
            vm.move(target, steps=("pre",), pre={"vsi": thief.vsi})
    clean(reports[0])
    assert owner(three, vm) == row
    settled(three, vm)
