# SPDX-License-Identifier: Apache-2.0
"""VMs that move under traffic: what is lost, doubled and out of order, packet by packet.

    vm ─ srv1 ═══ tor1 ───╮
     ╰── srv2 ═══ tor2 ─── core ─── tor3 ═══ srv3 ─ peer
                           nva

The VM's card (lab/vnic.c) pauses and runs on elsewhere; probe (lab/probe.c) numbers packets.
The twelve orders are test_migration_orders.py, crashes and partitions test_migration_faults.py.
"""
import json
import os
import signal
import subprocess
import time

import pytest

from lab import LabError, Probe, wait_for
from moves import UNBUFFERED, beyond, clean, counted, other, owner, ready, settled, started, total


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
    taken = total(three, "rx_overlay")
    wait_for("its rate", lambda: total(three, "rx_overlay") > taken + 2000)
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


def test_another_oui(make_lab):
    """Epochs travel under the OUI that is configured, on the wire to the edges and to the
    authority (K5, K20). Who was given another one speaks plain VDP: it cannot name a VN."""
    lab = make_lab(tors=3)
    stranger = lab.servers[2]
    for node in [lab.nva, *lab.tors, *lab.servers[:2]]:
        node.settings = "oui = 0x0a1b2c"
    lab.start()
    lab.nva.vn_add(5000, "red", arp="suppress", mtu=1450)
    vm, peer = lab.add_moving_vm(lab.servers[:2]), lab.add_vm(stranger)
    with pytest.raises(LabError):
        peer.associate("red")
    wait_for("the count", lambda: lab.tors[2].counters()["rx_unknown_orgs"])
    stranger.settings = lab.nva.settings
    stranger.daemon.stop()
    stranger.daemon.write_conf(stranger.conf())
    stranger.start()
    ready(lab, vm, peer)
    with counted(Probe.ping(peer, vm.ip4)) as reports:
        move = vm.move(other(vm), 0.05)
    clean(reports[0])
    assert int(move.answers["asso"]["epoch"]) == owner(lab, vm)[0][1] \
        > int(move.answers["prepare"]["epoch"])
    settled(lab, vm)
