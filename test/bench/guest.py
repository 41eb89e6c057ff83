# SPDX-License-Identifier: Apache-2.0
"""A real guest under libvirt, live-migrated between two edges while another VM pings it.

The pause is QEMU's: from its STOP at the one server to its RESUME at the other. A packet
is lost beyond it when it was sent before STOP or after RESUME and never reached the
interface of the machine, or its answer left there (of these, `early`: within 50 ms after
RESUME, when the new edge may not have taken it for running yet). One that
the machine got and was silent about is `unanswered`: it waited in QEMU at STOP.
"""
import statistics
import time

import hypervisor as hv
from lab import LabError, wait_for

MIGRATIONS, QUICK = 12, 2
INTERVAL_US = 1000
EARLY_MS = 50
AFTER_S = 0.3      # pings go on so long after the old server has forgotten the VM


def one(ml, machine):
    """One migration under traffic; what it was like, and whether the machine lives."""
    a, b = machine.at, ml.other(machine.at)
    marks = ml.events[a].mark(), ml.events[b].mark()
    with hv.Watched(ml.asker, machine, INTERVAL_US) as w:
        started = time.monotonic()
        process = machine.begin_migration(b)
        ml.events[b].expect("the target", lambda e: e.get("event") == "STARTED", marks[1])
        w.tap(b)
        machine.finish(process, b)
        took_s = time.monotonic() - started
        wait_for("the old server to forget it",
                 lambda: not a.server.daemon.rows("show vms"), 20)
        time.sleep(AFTER_S)              # pacing: traffic after the move, too
    pause, out = hv.Pause(ml.events[a], ml.events[b], marks), w.out
    outside = pause.beyond(out["lost_at"], [])
    beyond = pause.beyond(out["lost_at"], w.taps)
    early = [x for x in beyond if any(pause.ms <= at < pause.ms + EARLY_MS for at in x[3])]
    if out["sent"] * INTERVAL_US < took_s * 1e6 / 2:
        raise LabError(f"the pinger sent {out['sent']} in {took_s:.1f} s")
    return {"pause_ms": pause.ms, "took_s": took_s, "sent": out["sent"], "lost": out["lost"],
            "beyond": len(beyond), "early": len(early),
            "unanswered": len(outside) - len(beyond), "dup": len(w.duplicated()),
            "alive": ml.alive(machine)}


def run(bench):
    with hv.MachineLab(log_level="warning") as ml:
        machine = ml.add_machine()
        wait_for("an answer of the guest", lambda: machine.ask(ml.asker), 20, 0.05)
        every, rows = [], []
        while len(rows) < (QUICK if bench.quick else MIGRATIONS):
            every.append(one(ml, machine))
            if every[-1]["alive"]:       # one that QEMU has broken: BROKEN_MAX in all
                rows.append(every[-1])
            bench.note(len(every) - 1, every[-1])
    bench.row("migration_vm_lost_beyond_pause", sum(r["beyond"] for r in every),
              f"in {len(every)} moves", target=0, at_most=True)
    bench.row("migration_vm_dup", sum(r["dup"] for r in every), f"in {len(every)} moves",
              target=0, at_most=True)
    bench.row("migration_vm_early", sum(r["early"] for r in rows), f"in {len(rows)} moves")
    bench.row("migration_vm_unanswered", sum(r["unanswered"] for r in rows),
              f"in {len(rows)} moves")
    bench.row("migration_vm_broken", ml.broken, "machines that QEMU broke: beyond and dup count, the rest does not")
    bench.row("migration_vm_lost_p50", statistics.median(r["lost"] for r in rows), "pings of 1 ms")
    bench.row("migration_vm_pause_ms_p50", statistics.median(r["pause_ms"] for r in rows), "ms")
