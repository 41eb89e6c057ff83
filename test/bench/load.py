# SPDX-License-Identifier: Apache-2.0
"""Many attachments through the whole path, and what they weigh.

    bench_station (one process, a namespace per server) ═══ tor1 ─── nva
    bench_station                                     ═══ tor2 ──┘

The station packs many VSIs per ECPDU; an answer is counted when the edge has confirmed:
maps set, journal written, registration acknowledged by the authority. tor2 has a VSI in
every network, so each mapping is pushed to it and set in its maps, too.
"""
import contextlib
import json
import statistics
import subprocess
import time

import lab as labs
from lab import wait_for
from overlay import tool

VNI, VNS, WINDOW = 5000, 64, 256
TABLES = "tables { attachments = 131072 mappings = 262144 }"


def rss(daemon):
    """Resident octets of a daemon."""
    with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as f:
        return 1024 * next(int(x.split()[1]) for x in f if x.startswith("VmRSS"))


class Station:
    """bench_station over some servers: associates at once and holds until `end`."""

    def __init__(self, lab, servers, n, first=1, vni=VNI, vns=VNS, window=WINDOW):
        self.process = subprocess.Popen(
            [tool("bench_station"), ",".join(s.ns for s in servers), "up0", str(n),
             str(window), str(first), str(vni), str(vns)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        lab.note_process(self.process)
        self.result = self._line()
        if self.result["bad"] or self.result["unpublished"]:
            raise labs.LabError(f"not all confirmed: {self.result}")

    def _line(self):
        line = self.process.stdout.readline()
        if not line:
            raise labs.LabError(f"bench_station ended with {self.process.wait()}")
        return json.loads(line)

    def end(self, terminate=False):
        with contextlib.suppress(OSError):
            self.process.stdin.write("terminate\n" if terminate else "")
            self.process.stdin.close()
        result = self._line() if terminate else None
        self.process.wait(10)
        return result


@contextlib.contextmanager
def edges(ports, settings=TABLES, **kw):
    with labs.Lab(tors=2, servers_per_tor=ports, log_level="warning", **kw) as lab:
        for tor in lab.tors:
            tor.settings = settings
        lab.start(tes=False)
        for i in range(VNS):
            lab.nva.vn_add(VNI + i, f"n{i}", arp="suppress", mtu=1450)
        yield lab


def associations(bench):
    rates, lines, behind = [], [], []
    n, ports = (2000, 2) if bench.quick else (20000, 4)
    for i in range(1 if bench.quick else 5):
        with edges(ports) as lab:
            far = Station(lab, [lab.servers[ports]], VNS, first=1 << 24)
            station = Station(lab, lab.servers[:ports], n)
            r = station.result
            mappings = sum(v["mappings"] for v in lab.nva.daemon.rows("vn list"))
            if mappings != n + VNS:
                raise labs.LabError(f"{n} confirmed, but the authority has {mappings}")
            begun = time.monotonic()
            wait_for("every mapping at the far edge", lambda: int(next(
                x["behind"] for x in lab.nva.daemon.rows("show sessions")
                if x["nve"] == "tor2")) == 0, 30)
            behind.append(time.monotonic() - begun)
            rates.append(r["per_s"])
            lines.append(r["parts_per_s"][-1] / r["parts_per_s"][0])
            bench.note(i, {"associations/s": r["per_s"], "last quarter/first": lines[-1]})
            station.end()
            far.end()
    bench.row("assoc_far_behind_s", statistics.median(behind), "s")
    bench.row("assoc_confirmed_per_s", statistics.median(rates), "1/s", 5000)
    bench.row("assoc_linearity", statistics.median(lines), "last/first", 0.7)


def memory(bench):
    n, ports = (10000, 2) if bench.quick else (100000, 8)
    with edges(ports) as lab:
        before = rss(lab.tors[0].daemon), rss(lab.nva.daemon)
        station = Station(lab, lab.servers[:ports], n)
        after = rss(lab.tors[0].daemon), rss(lab.nva.daemon)
        bench.row("nve_bytes_per_attachment", (after[0] - before[0]) / n, "B", 1024,
                  at_most=True)
        bench.row("nva_bytes_per_mapping", (after[1] - before[1]) / n, "B", 250,
                  at_most=True)
        station.end()


def run(bench):
    if any(map(bench.wanted, ("assoc_confirmed_per_s", "assoc_linearity", "assoc_far_behind_s"))):
        associations(bench)
    if bench.wanted("nve_bytes_per_attachment") or bench.wanted("nva_bytes_per_mapping"):
        memory(bench)
