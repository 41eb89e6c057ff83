# SPDX-License-Identifier: Apache-2.0
"""How long an associate takes, in an empty lab and in one with 4,000 attachments.

    vmA ─ srv1 ═══ tor1 ─── core ─── tor2 ═══ srv3 ─ vmB
          srv2 ═══╯ (4,000 VSIs of the same network)

vmA associates through berth-tes, learns of the answer, asks for vmB by ARP and sends it a
datagram. Times run from the request on the wire (kernel time stamps on srv1's uplink).
"""
import contextlib
import json
import statistics
import subprocess

import lab as labs
from lab import wait_for
from load import Station
from overlay import tool

VNI, PRESENT = 5000, 4000


@contextlib.contextmanager
def edge(present):
    with labs.Lab(tors=2, servers_per_tor=2, log_level="warning") as lab:
        lab.start(tes=False)
        near, other, far = lab.servers[:3]
        near.start()
        far.start()
        lab.nva.vn_add(VNI, "red", arp="suppress", mtu=1450)
        a, b = lab.add_vm(near), lab.add_vm(far)
        b.associate("red")
        station = Station(lab, [other], present, vni=VNI, vns=1) if present else None
        wait_for("mappings at the far edge", lambda: sum(
            v["mappings"] for v in lab.nva.daemon.rows("vn list")) == 1 + present)
        wait_for("LLDP with the edge", lambda: near.daemon.rows("show uplinks")[0]["berth"])
        yield a, b
        if station:
            station.end()


def rounds(a, b, n):
    """Milliseconds from request to answer and to the datagram at the far VM, n of each."""
    associate = {"cmd": "vm associate", "vsi": a.vsi, "vn": "red", "mac": a.mac,
                 "ips": [a.ip4, a.ip6], "if": a.ifname}
    terminate = {"cmd": "vm terminate", "vsi": a.vsi}
    done = subprocess.run(
        [tool("bench_first"), a.server.ns, "up0", a.ns, b.ns, b.ip4, a.vsi.replace("-", ""),
         a.server.daemon.control, str(n), json.dumps(associate), json.dumps(terminate)],
        capture_output=True, text=True, timeout=10 + 2 * n, check=False)
    pairs = [[float(x) / 1000 for x in line.split()] for line in done.stdout.splitlines()]
    if done.returncode or len(pairs) != n:
        raise labs.LabError(f"bench_first: {done.stderr.strip()}")
    return [p[0] for p in pairs], [p[1] for p in pairs]


def p99(values):
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)]


def run(bench):
    chunk, chunks = (10, 2) if bench.quick else (40, 11)
    answers, firsts, lost = {0: [], PRESENT: []}, {0: [], PRESENT: []}, 0
    ratios = []
    with edge(0) as empty, edge(PRESENT) as full:
        for pair in (empty, full):
            rounds(*pair, 5)             # warm: the first has page faults and cold caches
        for i in range(chunks):
            medians = {}
            for present in (0, PRESENT) if i % 2 == 0 else (PRESENT, 0):
                ans, first = rounds(*(full if present else empty), chunk)
                lost += sum(x < 0 for x in ans + first)
                answers[present] += [x for x in ans if x >= 0]
                firsts[present] += [x for x in first if x >= 0]
                medians[present] = statistics.median(first)
            ratios.append(medians[PRESENT] / medians[0])
            bench.note(i, {"first packet ms": medians[0], f"with {PRESENT}": medians[PRESENT]})
    bench.row("assoc_answer_ms_p50", statistics.median(answers[0]), "ms", 1, at_most=True)
    bench.row("assoc_answer_ms_p99", p99(answers[0]), "ms")
    bench.row("assoc_answer_4000_ms_p50", statistics.median(answers[PRESENT]), "ms", 1,
              at_most=True)
    bench.row("assoc_first_packet_ms_p50", statistics.median(firsts[0]), "ms", 5, at_most=True)
    bench.row("assoc_first_packet_ms_p99", p99(firsts[0]), "ms")
    # an answer says that the authority knows, not that every far edge does (far ends confirm
    # only where asked to): what is lost so shows here
    bench.row("assoc_first_packet_lost", lost, f"of {2 * chunk * chunks}")
    bench.ratio("assoc_first_packet_4000_ratio", statistics.median(firsts[PRESENT]),
                statistics.median(firsts[0]), statistics.median(ratios), 1.3, unit="ms",
                at_most=True)
