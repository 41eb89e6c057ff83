# SPDX-License-Identifier: Apache-2.0
"""The simulator: how fast it steps, and how large a world it holds."""
import re
import subprocess

import lab as labs

NVES, VMS = 100, 10000                   # what is run here
GOAL = 1000                              # what a world should hold


def closing(*arguments, timeout):
    """(numbers of the closing line, megabytes) of a run; raises when a property broke."""
    done = subprocess.run([labs.program("sim"), "--stats", "--out", "/tmp", *arguments],
                          text=True, capture_output=True, timeout=timeout)
    last = re.search(r"sim: (\d+) seeds passed, (\d+) failed, .*; ([\d.]+) s, "
                     r"([\d.]+) seeds/s, (\d+) steps/s", done.stdout)
    memory = re.search(r"most memory of one process: (\d+) MB", done.stdout)
    if done.returncode or not last or last.group(2) != "0":
        raise RuntimeError(f"sim {' '.join(arguments)}: {done.stdout[-400:]}{done.stderr[-200:]}")
    return [float(x) for x in last.groups()], int(memory.group(1)) if memory else 0


def run(bench):
    seeds = "100" if bench.quick else "1000"
    (_, _, _, seeds_per_s, steps), _ = closing("--profile", "migrate", "--seeds", seeds, "--first",
                                               "1", "--jobs", "2", timeout=240)
    bench.row("sim_steps_per_s", steps, "steps/s")
    bench.row("sim_seeds_per_s", seeds_per_s, "worlds/s", target=17)
    nves, vms = (20, 1900) if bench.quick else (NVES, VMS)
    (_, _, _, _, steps), megabytes = closing("--seeds", "1", "--first", "1", "--nves", str(nves),
                                             "--vms", str(vms), "--jobs", "1", timeout=240)
    bench.row("sim_nves", nves, "edges", target=GOAL)
    bench.row("sim_nves_steps_per_s", steps, "steps/s")
    bench.row("sim_nves_memory", megabytes, "MB")
