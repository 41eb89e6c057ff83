# SPDX-License-Identifier: Apache-2.0
"""Map-Requests answered per second by one authority on one CPU; who asks has the other.

    core (bench_map_requests: 100,000 mappings over a session, then questions by UDP) ─── nva
"""
import json
import statistics

import lab as labs
from overlay import tool

VNI = 5000


def run(bench):
    answers, registrations, capacity = [], [], []
    n, seconds, rounds = (10000, 1, 1) if bench.quick else (100000, 2, 5)
    for i in range(rounds):
        with labs.Lab(tors=0, log_level="warning") as lab:
            lab.nva.start(wrapper=["taskset", "-c", "0"])
            lab.nva.vn_add(VNI, "red", arp="suppress", reply="centralised")
            out = lab.core.run(
                ["taskset", "-c", "1", tool("bench_map_requests"), labs.NVA_ADDRESS,
                 str(labs.SESSION_PORT), str(labs.LISP_PORT), lab.key, str(VNI),
                 str(seconds), str(n), "512", "router", str(lab.nva.daemon.process.pid)], check=False, timeout=120)
            if not out.stdout:
                raise labs.LabError(f"bench_map_requests: {out.stderr.strip()}")
            r = json.loads(out.stdout)
            if r["positive"] != r["answered"] or r["lost"] > r["sent"] / 1000:
                raise labs.LabError(f"questions without a good answer: {r}")
            answers.append(r["value"])
            registrations.append(r["registered_per_s"])
            capacity.append(r["answered"] / r["cpu_s"])
            bench.note(i, {"answers/s": answers[-1], "registrations/s": registrations[-1]})
    bench.row("map_requests_per_s", statistics.median(answers), "1/s", 100000)
    # what it would answer if nobody else wanted the CPU: tells a busy machine from a slow
    # authority
    bench.row("map_requests_per_cpu_s", statistics.median(capacity), "1/s", 100000)
    bench.row("map_registrations_per_s", statistics.median(registrations), "1/s")
