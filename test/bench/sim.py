# SPDX-License-Identifier: Apache-2.0
"""The simulator: how many migrations it makes in a second, and how large a world it holds."""
import re
import subprocess

import lab as labs

NVES, VMS = 1000, 100000
SMALL = 50, 5000                         # with QUICK
LAST = re.compile(r"sim: (\d+) seeds passed, (\d+) failed, .*; ([\d.]+) s, ([\d.]+) seeds/s, "
                  r"(\d+) steps/s, at most (\d+) MB")


def closing(*arguments, timeout):
    """(seconds, seeds/s, steps/s, megabytes, migrations begun) of a run; raises when a property
    broke. It says on our stderr how far it is."""
    done = subprocess.run([labs.program("sim"), "--stats", "--out", "/tmp", *arguments],
                          text=True, stdout=subprocess.PIPE, timeout=timeout)
    last = LAST.search(done.stdout)
    moves = re.search(r"^migrate +(\d+)", done.stdout, re.M)
    if done.returncode or not last or not moves or last.group(2) != "0":
        raise RuntimeError(f"sim {' '.join(arguments)}: {done.stdout[-400:]}")
    return [float(x) for x in (*last.groups()[2:], moves.group(1))]


def run(bench):
    seeds = "100" if bench.quick else "1000"
    seconds, seeds_per_s, steps, _, moves = closing(
        "--profile", "migrate", "--seeds", seeds, "--first", "1", "--jobs", "2", timeout=240)
    bench.row("sim_steps_per_s", steps, "steps/s")
    bench.row("sim_seeds_per_s", seeds_per_s, "worlds/s", target=17)
    bench.row("sim_migrations_per_s", moves / seconds, "migrations/s", target=2000)
    nves, vms = SMALL if bench.quick else (NVES, VMS)
    seconds, _, steps, megabytes, _ = closing(
        "--seeds", "1", "--first", "1", "--nves", str(nves), "--vms", str(vms), "--jobs", "1",
        timeout=1200)
    full = not bench.quick
    bench.row("sim_nves", nves, "edges", target=NVES if full else None)
    bench.row("sim_vms", vms, "VMs", target=VMS if full else None)
    bench.row("sim_nves_steps_per_s", steps, "steps/s")
    bench.row("sim_nves_seconds", seconds, "s", target=600, at_most=True)
    bench.row("sim_nves_memory", megabytes, "MB", target=12000, at_most=True)
