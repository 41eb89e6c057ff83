# SPDX-License-Identifier: Apache-2.0
"""Crashes and partitions while a VM moves (requirements 4.2): who dies, at every step; who
is cut off from the authority, from when on; roll back where both servers are at one edge."""
import contextlib
import time

import pytest

from lab import Probe, wait_for
from moves import beyond, clean, counted, other, owner, ready, settled, started, total

STEPS = ("pre", "prepare", "hold", "pause", "commit", "copy", "asso", "start")


def judge(report, move, at, loses):
    """loses: an edge in whose memory frames waited has died; they are lost, and no more.
    What waits at the old edge as long as a daemon is away leaves it all at once, and may
    then race what comes directly."""
    if loses:
        assert beyond(report, [move]) == [], at
    else:
        assert report["lost"] == 0, (at, report["lost_at"][:3], move.paused_ns)
    assert report["duplicates"] == 0, at
    if at not in ("hold", "pause"):
        assert report["reordered"] == 0, at


@pytest.mark.parametrize("who", ["old", "new", "remote", "authority", "old agent",
                                 "new agent"])
def test_kill_at_every_step(three, who):
    vm = three.vm
    for at in STEPS:
        source, target = vm.server, other(vm)
        daemon = {"old": source.nve, "new": target.nve, "remote": three.tors[2],
                  "authority": three.nva, "old agent": source, "new agent": target}[who].daemon
        before = total(three, "held")

        def between(step):
            if step != at:
                return
            if step == "commit":
                wait_for("frames that wait", lambda: total(three, "held") > before + 10)
            daemon.kill()
            daemon.start()
        with counted(Probe.ping(three.peer, vm.ip4)) as reports:
            move = vm.move(target, 0.05, between=between)
        judge(reports[0], move, at,
              who == "new" or who == "old" and at in ("hold", "pause"))
        settled(three, vm)
    with counted(Probe.ping(three.peer, vm.ip4)) as reports:
        vm.move(other(vm), 0.02)
    clean(reports[0])
    settled(three, vm)


@contextlib.contextmanager
def cut_off(lab, *nodes):
    """The nodes and the authority do not hear each other; what is between edges passes."""
    def rules(what):
        lab.core.ip([f"rule {what} from {a} to {b} blackhole" for n in nodes
                     for a, b in ((n.address, lab.nva.address), (lab.nva.address, n.address))])
    rules("add")
    try:
        yield
    finally:
        rules("del")


@pytest.mark.parametrize("since", ["begin", "pre", "commit", "asso"])
@pytest.mark.parametrize("who", ["old", "new", "remote", "all"])
def test_partition(three, who, since):
    """An edge, or all, cut off from the authority from some step on, until the VM runs at
    its new place (F1, F14). What the old edge knew by then is enough for it to relay, and
    all ends where the VM is."""
    vm, cut = three.vm, contextlib.ExitStack()
    source, target = vm.server, other(vm)
    nodes = {"old": [source.nve], "new": [target.nve], "remote": [three.tors[2]],
             "all": three.tors}[who]

    def between(step):
        if step == since:
            cut.enter_context(cut_off(three, *nodes))
    with counted(Probe.ping(three.peer, vm.ip4)) as reports:
        with cut:
            between("begin")
            move = vm.move(target, 0.05, between=between)
        settled(three, vm, 20)
        healed_ns = time.monotonic_ns()
    report = reports[0]
    assert report["duplicates"] == 0
    if since != "begin":
        clean(report)
    elif who in ("old", "remote"):       # an old edge that knows of no target keeps them
        assert report["lost"] == 0
    else:                                # nobody can know where it is until all is well again
        assert all(sent < healed_ns for _, sent, _ in report["lost_at"])


# What was told before the source takes the VM back.
ROLL_BACKS = {
    "pre": ("pre",),
    "prepare": ("pre", "prepare"),
    "hold": ("pre", "prepare", "hold"),
    "commit": ("pre", "prepare", "hold", "pause", "commit"),
    "asso": ("pre", "prepare", "hold", "pause", "commit", "asso"),
}


def test_roll_back_on_one_edge(make_lab):
    """F15: the target that failed is another port of the same edge."""
    lab = started(make_lab, tors=2, servers_per_tor=2)
    vm = lab.add_moving_vm(lab.servers[:2])
    ready(lab, vm, lab.add_vm(lab.servers[2]))
    for at, steps in ROLL_BACKS.items():
        source, epoch = vm.server, owner(lab, vm)[0][1]
        with counted(Probe.ping(lab.peer, vm.ip4)) as reports:
            move = vm.move(other(vm), steps=steps)
            vm.take_back(move)
            settled(lab, vm)
        assert vm.server is source
        assert owner(lab, vm)[0][1] >= epoch, at
        assert beyond(reports[0], [move] if move.paused_ns else []) == [], at
        assert (reports[0]["duplicates"], reports[0]["reordered"]) == (0, 0), at
        with counted(Probe.ping(lab.peer, vm.ip4)) as reports:
            vm.move(other(vm), 0.02)
        clean(reports[0])
        settled(lab, vm)
