# SPDX-License-Identifier: Apache-2.0
"""kill -9 and start of berth-nve with 500 attachments, under a ping each millisecond.

    vmA ─ srv1 ═══ tor1 ─── tor2 ═══ srv3 ─ vmB
          srv2 ═══╯ (500 VSIs)
"""
import re
import statistics
import time

import lab as labs
from lab import wait_for
from load import Station

VNI, PRESENT = 5000, 500


def run(bench):
    rounds = 1 if bench.quick else 5
    with labs.Lab(tors=2, servers_per_tor=2, log_level="warning") as lab:
        lab.start(tes=False)
        near, other, far = lab.servers[:3]
        near.start()
        far.start()
        lab.nva.vn_add(VNI, "red", arp="suppress", mtu=1450)
        a, b = lab.add_vm(near), lab.add_vm(far)
        for vm in (a, b):
            vm.associate("red")
        station = Station(lab, [other], PRESENT, vni=VNI, vns=1)
        edge, lost, away = lab.tors[0].daemon, 0, []
        wait_for("a ping", lambda: a.ping(b.ip4, 1) == (1, 1))

        def tags():
            return sorted((t["port"], t["vid"], t["vni"]) for t in edge.rows("show tags"))
        before = tags()
        for i in range(rounds):
            seen = edge.counters()["rx_overlay"]
            pinger = a.popen(["ping", "-n", "-q", "-c", "3000", "-i", "0.001", "-W", "2", b.ip4])
            wait_for("pings to flow", 
                     lambda seen=seen: edge.counters()["rx_overlay"] > seen + 200)
            begun = time.monotonic()
            edge.kill()
            edge.start()
            away.append(1000 * (time.monotonic() - begun))
            wait_for("every attachment", lambda: len(edge.rows(
                "show attachments", state="ASSOC")) == PRESENT + 1)
            out = pinger.communicate(timeout=60)[0]
            sent, got = map(int, re.search(
                r"(\d+) packets transmitted, (\d+) received", out).groups())
            lost += sent - got
            bench.note(i, {"sent": sent, "lost": sent - got, "back after ms": away[-1]})
        if tags() != before:
            raise labs.LabError(f"tags have changed: {before} to {tags()}")
        station.end()
    bench.row("nve_restart_lost", lost, f"of {rounds * 3000}", 0, at_most=True)
    bench.row("nve_restart_ms", statistics.median(away), "ms")
