# SPDX-License-Identifier: Apache-2.0
"""A real guest under libvirt: it starts, moves between two edges while it is asked every
few milliseconds, its move is cancelled, its move fails, it pauses, it ends. Nobody tells
the agents anything: they follow libvirt's hooks and events.

    guest ─ br0 [srv1: libvirtd, berth-tes] ═ tor1 ═══ tor2 ═ [srv2: libvirtd, berth-tes]
                                                ╰═ tor3 ═ srv3 ─ asker
"""
import contextlib
import os
import re
import signal
import time

import pytest

import hypervisor as hv
from lab import LabError, wait_for

INTERVAL_US = 5000
LATE_S = 0.05      # one agent may hear of its event so much later than the other of its own


@pytest.fixture(scope="module")
def ml():
    """The lab of this file, with one machine that answers, first on srv1."""
    with hv.MachineLab() as m:
        machine = m.add_machine()
        wait_for("an answer of the guest", lambda: machine.ask(m.asker), 20, 0.05)
        yield m
        last = hv.Machine(m.lab, 9)      # the lab takes down what it finds, as after a crash
        last.create(m.hypervisors[0])
        pid = last.at.qemu_pid(last)
    wait_for("the end of QEMU", lambda: not ran_by(pid, hv.QEMU))


def ran_by(pid, program):
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/exe") == program
    return False


@pytest.fixture
def machine(ml):
    return ml.machines[0]


def attached(hypervisor, machine):
    """The agent's row of the machine, or None."""
    rows = hypervisor.server.daemon.rows("show vms")
    return next((r for r in rows if r["mac"] == machine.mac), None)


def residence(ml, machine):
    """(VTEP of the owner, epoch) that the authority has."""
    rows = ml.lab.nva.daemon.rows("show mappings", mac=machine.mac)
    return (rows[0]["owner"], int(rows[0]["epoch"])) if rows else (None, 0)


def wait_owner(ml, machine, hypervisor, above=0):
    """The authority has it at this server's edge with an epoch above; that epoch."""
    def there():
        owner, epoch = residence(ml, machine)
        return owner == hypervisor.server.nve.vtep and epoch > above and epoch
    return wait_for(f"{machine.name} at {hypervisor.server.nve.name}", there, 20)


def told_epoch(machine):
    """The epoch in the metadata of the running domain."""
    found = re.search(r"<[^>]*residence [^>]*epoch=['\"](\d+)['\"]", machine.at.virsh("dumpxml", machine.name))
    return int(found[1]) if found else 0


@contextlib.contextmanager
def asked(ml, machine, interval_us=INTERVAL_US):
    """Pings to the machine while the block runs (hypervisor.py, Watched)."""
    with hv.Watched(ml.asker, machine, interval_us) as w:
        yield w
        time.sleep(0.2)      # spacing: some pings after the last event, too
    assert w.out["sent"] > 10 and w.duplicated() == [], w.out


def marks(ml):
    return {h: e.mark() for h, e in ml.events.items()}


def test_it_starts(ml, machine):
    a = machine.at
    row = attached(a, machine)
    assert row["state"] == "associated" and row["if"] == machine.tap() and row["vn"] == ml.vn
    epoch = wait_owner(ml, machine, a)
    assert int(row["epoch"]) == epoch
    mapping = ml.lab.nva.daemon.rows("show mappings", mac=machine.mac)[0]
    assert {machine.ip4, machine.ip6} <= set(mapping["ips"])
    wait_for("its epoch in the domain", lambda: told_epoch(machine) == epoch)
    assert ml.asker.ping(machine.ip4) == (3, 3)
    assert ml.asker.ping(machine.ip6) == (3, 3)


POST_COPY = ("--postcopy", "--bandwidth", "4")


def qemu_says(word):
    """To find QEMU's word on a migration among the events."""
    return lambda e: e.get("qemu") == "MIGRATION" and e["data"]["status"] == word


def libvirt_says(event, detail):
    return lambda e: (e.get("event"), e.get("detail")) == (event, detail)


def begin(ml, machine, w, mark, *more):
    """A migration, in post-copy if it is one that can: (process of virsh, target)."""
    a, b = machine.at, ml.other(machine.at)
    process = machine.begin_migration(b, *more)
    ml.events[b].expect("the target", lambda e: e.get("event") == "STARTED", mark[b])
    w.tap(b)
    if "--postcopy" in more:
        ml.events[a].expect("the copy to begin", qemu_says("active"), mark[a])
        a.virsh("migrate-postcopy", machine.name)
        ml.events[b].expect("post-copy", libvirt_says("RESUMED", "POSTCOPY"), mark[b])
    return process, b


def commands(hypervisor, machine, since_s):
    """What the agent was told about the machine: {operation: when first}."""
    found = {}
    for row in hypervisor.server.daemon.rows("trace", vsi=machine.vsi):
        if row["event"] == "command" and row["at_s"] >= since_s:
            found.setdefault(row["op"], row["at_s"])
    return found


def moved(ml, machine, *more):
    """A migration to the other server under pings; True if the machine lives."""
    a, epoch, mark, since_s = machine.at, residence(ml, machine)[1], marks(ml), time.time()
    with asked(ml, machine) as w:
        process, b = begin(ml, machine, w, mark, *more)
        machine.finish(process, b)
        epoch = wait_owner(ml, machine, b, above=epoch)
    pause = hv.Pause(ml.events[a], ml.events[b], (mark[a], mark[b]))
    print(f"pause {pause.ms:.1f} ms, lost {w.out['lost']} of {w.out['sent']}")
    assert pause.beyond(w.out["lost_at"], w.taps) == [], (w.out, pause.ms)
    wait_for("the old server to forget it", lambda: attached(a, machine) is None)
    row = attached(b, machine)
    assert row["state"] == "associated" and int(row["epoch"]) == epoch
    wait_for("its epoch in the domain", lambda: told_epoch(machine) == epoch)
    old, new = commands(a, machine, since_s), commands(b, machine, since_s)
    assert list(old) == ["emigrate", "terminate"]
    assert list(new) == ["immigrate-prepare", "immigrate"]
    # reserved while it runs, let go in the pause, taken before it runs there
    print(f"emigrate {(old['emigrate'] - pause.stop_s) * 1e3:.1f}, immigrate "
          f"{(new['immigrate'] - pause.stop_s) * 1e3:.1f} ms after the pause began")
    assert new["immigrate-prepare"] < pause.stop_s <= old["emigrate"] < new["immigrate"] + LATE_S
    return ml.alive(machine)


@pytest.mark.parametrize("more", [(), POST_COPY], ids=["pre-copy", "post-copy"])
@pytest.mark.parametrize("way", ["there", "back"])
def test_live_migration(ml, machine, way, more):
    while not moved(ml, machine, *more):     # a machine that QEMU has broken tells nothing
        pass


def begun(ml, machine):
    """A migration that copies slowly: (process of virsh, target, marks), in pre-copy."""
    a, b, mark = machine.at, ml.other(machine.at), marks(ml)
    process = machine.begin_migration(b, "--bandwidth", "4")
    ml.events[a].expect("the copy to begin", qemu_says("active"), mark[a])
    wait_for("the reservation", lambda: attached(b, machine))
    return process, b, mark


def ended(process):
    """The output of a virsh that must have failed."""
    out = process.communicate(timeout=30)[0]
    assert process.returncode, out
    return out


def test_cancelled_while_it_copies(ml, machine):
    a = machine.at
    epoch = residence(ml, machine)[1]
    with asked(ml, machine) as w:
        process, b, mark = begun(ml, machine)
        a.virsh("domjobabort", machine.name)
        ended(process)
        wait_for("the target to forget it", lambda: attached(b, machine) is None, 20)
    assert w.out["lost"] == 0, w.out
    assert not ml.events[a].since(mark[a], event="SUSPENDED")
    assert residence(ml, machine)[0] == a.server.nve.vtep and residence(ml, machine)[1] >= epoch
    assert attached(a, machine)["state"] == "associated"
    assert a.domain_state(machine).startswith("running")


def dies_in_the_pause(ml, machine, mark):
    """The target's QEMU, before the machine's state is there."""
    a, b = machine.at, ml.other(machine.at)
    ml.events[a].expect("STOP", lambda e: e.get("qemu") == "STOP", mark[a])
    os.kill(b.qemu_pid(machine), signal.SIGKILL)


def dies_when_complete(ml, machine, mark):
    """The target's QEMU, when all of the state is there and its edge has the machine,
    before it runs: the source's libvirtd, which would say so, waits meanwhile."""
    a, b = machine.at, ml.other(machine.at)
    ml.events[a].expect("the switch", qemu_says("device"), mark[a])
    os.kill(a.process.pid, signal.SIGSTOP)
    try:
        ml.events[b].expect("completion", qemu_says("completed"), mark[b])
        wait_owner(ml, machine, b)
        wait_for("the agent's word", lambda: attached(b, machine)["state"] == "associated")
        os.kill(b.qemu_pid(machine), signal.SIGKILL)
    finally:
        os.kill(a.process.pid, signal.SIGCONT)


def known_at(ml, machine, vteps):
    """No ToR knows the machine elsewhere."""
    return all({m["owner"] for m in tor.daemon.rows("show mappings", mac=machine.mac)} <= vteps
               for tor in ml.lab.tors)


def failed(ml, machine, dies):
    """A migration whose target dies; True if the machine lives."""
    a, mark, epoch = machine.at, marks(ml), residence(ml, machine)[1]
    with asked(ml, machine) as w:
        process, b = begin(ml, machine, w, mark)
        dies(ml, machine, mark)
        wait_owner(ml, machine, a, above=epoch)      # E2: a target was told
        wait_for("every edge to know", lambda: known_at(ml, machine, {a.server.nve.vtep}))
        back_ns = time.monotonic_ns()
        ended(process)
    wait_for("the target to forget it", lambda: attached(b, machine) is None, 20)
    pause = hv.Pause(ml.events[a], ml.events[a], (mark[a], mark[a]))
    print(f"pause {pause.ms:.1f} ms, lost {w.out['lost']} of {w.out['sent']}, "
          f"{pause.said_on_return(w.out['lost_at'], w.taps)} of them answered on return")
    # what went to the target until the edges heard of the failure is lost with it, and so
    # is what the machine said until then
    assert pause.beyond(w.out["lost_at"], w.taps, back_ns) == [], (w.out, pause.ms)
    assert back_ns - pause.resume_ns < 1_000_000_000
    assert attached(a, machine)["state"] == "associated"
    wait_owner(ml, machine, a)
    return ml.alive(machine)


@pytest.mark.parametrize("dies", [dies_in_the_pause, dies_when_complete])
def test_target_dies_after_the_pause_began(ml, machine, dies):
    while not failed(ml, machine, dies):     # a machine that QEMU has broken tells nothing
        pass


def in_post_copy(ml, machine, mark):
    """It runs at the other server, and lacks most of its memory. That server."""
    a, b = machine.at, ml.other(machine.at)
    process = machine.begin_migration(b, *POST_COPY, "--postcopy-bandwidth", "20")
    ml.events[a].expect("the copy to begin", qemu_says("active"), mark[a])
    a.virsh("migrate-postcopy", machine.name)
    ml.events[b].expect("post-copy", libvirt_says("RESUMED", "POSTCOPY"), mark[b])
    wait_owner(ml, machine, b)
    return process, b


def test_post_copy_breaks_and_is_repaired(ml, machine):
    """The machine stays where it runs, whether its memory comes or not."""
    a, mark = machine.at, marks(ml)
    process, b = in_post_copy(ml, machine, mark)
    time.sleep(1)            # what QEMU itself works on must be there, or it stops in the break
    epoch = residence(ml, machine)[1]
    a.virsh("domjobabort", machine.name, "--postcopy")
    ended(process)
    for h, event in ((a, "SUSPENDED"), (b, "RESUMED")):
        ml.events[h].expect("the break", qemu_says("postcopy-paused"), mark[h])
        ml.events[h].expect("the break", libvirt_says(event, "POSTCOPY_FAILED"), mark[h])
    assert residence(ml, machine) == (b.server.nve.vtep, epoch)
    assert attached(b, machine)["state"] == "associated"
    assert attached(a, machine)["state"] in ("emigrated", "lost")
    # libvirt 9.0 may say that a repair has failed which has just begun, and sees its end
    machine.begin_migration(b, "--postcopy", "--postcopy-resume").communicate(timeout=60)
    ml.events[b].expect("the repair", libvirt_says("RESUMED", "MIGRATED"), mark[b], 60)
    machine.at = b
    wait_for("the old server to forget it", lambda: attached(a, machine) is None, 20)
    assert residence(ml, machine) == (b.server.nve.vtep, epoch)
    assert attached(b, machine)["state"] == "associated"
    ml.alive(machine)


def test_target_dies_in_post_copy(ml, machine):
    """Nobody has all of the machine: it is gone on both sides, and comes again by a claim."""
    a, mark = machine.at, marks(ml)
    process, b = in_post_copy(ml, machine, mark)
    epoch = residence(ml, machine)[1]
    os.kill(b.qemu_pid(machine), signal.SIGKILL)
    ended(process)
    wait_for("the target to forget it", lambda: attached(b, machine) is None, 20)
    wait_for("the authority, too", lambda: residence(ml, machine) == (None, 0))
    ml.events[a].expect("the end", libvirt_says("SUSPENDED", "POSTCOPY_FAILED"), mark[a])
    assert a.domain_state(machine).startswith("paused")
    assert attached(a, machine)["state"] in ("emigrated", "lost")
    a.virsh("destroy", machine.name)
    wait_for("the source to forget it", lambda: attached(a, machine) is None)
    ml.boot(machine, a)
    wait_for("an answer of the new machine", lambda: machine.ask(ml.asker), 20)
    wait_owner(ml, machine, a, above=epoch)


def test_suspended_and_resumed(ml, machine):
    a = machine.at
    a.virsh("suspend", machine.name)
    wait_for("the agent's word", lambda: attached(a, machine)["state"] == "suspended")
    assert residence(ml, machine)[0] == a.server.nve.vtep
    assert machine.ask(ml.asker) is None
    a.virsh("resume", machine.name)
    wait_for("the agent's word", lambda: attached(a, machine)["state"] == "associated")
    wait_for("an answer of the guest", lambda: machine.ask(ml.asker))


def test_a_machine_that_may_not_come_stays(ml, machine):
    """The hook on the target says no when its agent is away: nothing happens to the VM."""
    a, b = machine.at, ml.other(machine.at)
    b.server.daemon.stop()
    try:
        with asked(ml, machine) as w:
            with pytest.raises(LabError, match="berth"):
                machine.migrate(b)
    finally:
        b.server.start()
    assert machine.at is a and w.out["lost"] == 0, w.out
    assert a.domain_state(machine).startswith("running")


def test_it_ends(ml, machine):
    a = machine.at
    a.virsh("destroy", machine.name)
    wait_for("the agent to forget it", lambda: attached(a, machine) is None)
    wait_for("the authority, too", lambda: residence(ml, machine) == (None, 0))
