# SPDX-License-Identifier: Apache-2.0
"""VMs that move between two edges under traffic from a third, and the same topology with
the kernel's bridges, which learn the new place from RARP as they do today.

    vm ─ srv1 ═══ tor1 ───╮
     ╰── srv2 ═══ tor2 ─── core ─── tor3 ═══ srv3 ─ peer

The VM is a namespace behind a card that pauses (lab/vnic.c). Every packet has a number;
`beyond` counts those lost that were neither sent while the VM was paused nor under way at
the pause (the card says which ones it found in the old server's interface).
"""
import contextlib
import json
import statistics
import subprocess
import time

import lab as labs
from lab import Probe, wait_for
from load import Station
from overlay import tool

VNI, OTHERS, SETTLE_S = 5000, 1000, 0.12
UNBUFFERED = "settings { hold_frames = 0 }"


@contextlib.contextmanager
def berth(settings="", others=0):
    """(vm, peer) in a lab with our daemons; others: more attachments at both edges."""
    with labs.Lab(tors=3, servers_per_tor=2 if others else 1, log_level="warning") as lab:
        for tor in lab.tors:
            tor.settings = settings
        homes = [next(s for s in lab.servers if s.nve is tor) for tor in lab.tors]
        lab.start(tes=False)
        for server in homes:
            server.start()
        lab.nva.vn_add(VNI, "red", arp="suppress", mtu=1450)
        vm, peer = lab.add_moving_vm(homes[:2]), lab.add_vm(homes[2])
        stations = [Station(lab, [s], others, first=(i + 1) << 20, vni=VNI, vns=1)
                    for i, s in enumerate(lab.servers[1:4:2])] if others else []
        vm.associate("red")
        peer.associate("red")
        lab.wait_mappings(2 + others * len(stations), (lab.tors[0], lab.tors[2]), 30)
        wait_for("ping", lambda: peer.ping(vm.ip4, 1) == (1, 1))
        yield vm, peer
        for station in stations:
            station.end()


@contextlib.contextmanager
def relearning():
    """The same with bridges and vxlan that learn; servers are a wire."""
    with labs.Lab(tors=3, authority=False) as lab:
        vm, peer = lab.add_moving_vm(lab.servers[:2]), lab.add_vm(lab.servers[2])
        for server, there in ((lab.servers[0], vm), (lab.servers[1], vm),
                              (lab.servers[2], peer)):
            pins, tor = f"{lab.bpf_dir}/{server.name}", server.nve
            subprocess.run(["mkdir", "-p", pins], check=True)
            server.run([tool("bench_tag"), "wire", pins, there.ifname, "up0"])
            # where br_netfilter is loaded, the bridge would take every frame through it, too
            tor.run(["sysctl", "-qew", "net.bridge.bridge-nf-call-iptables=0",
                     "net.bridge.bridge-nf-call-ip6tables=0",
                     "net.bridge.bridge-nf-call-arptables=0"], check=False)
            tor.ip([f"link add vx0 mtu 1450 type vxlan id {VNI} local {tor.vtep} dstport 4789",
                    "link add br0 type bridge", "link set vx0 master br0",
                    f"link set {server.port} master br0", "link set vx0 up", "link set br0 up"])
            for other in lab.tors:
                if other is not tor:
                    tor.run(["bridge", "fdb", "append", "00:00:00:00:00:00", "dev", "vx0",
                             "dst", other.vtep])
        wait_for("ping", lambda: peer.ping(vm.ip4, 1) == (1, 1))
        yield vm, peer


def relearn(vm, to, pause_s):
    """A move of today: nobody is told but by the RARP frames of the hypervisor."""
    move = labs.Move(vm.server, to)
    told = len(vm.card("stats")["lost_probes"])
    vm.card("prepare", to)
    move.paused_ns = vm.card("pause")["t_ns"]
    time.sleep(pause_s)                  # the modelled stop and copy
    move.resumed_ns = vm.card("resume", to, "announce")["t_ns"]
    vm.server = to
    move.lost_probes = vm.card("stats")["lost_probes"][told:]
    return move


def moves(vm, n, pause_s, way, settle_s=SETTLE_S):
    """n moves, to and fro; a list of Move."""
    done = []
    for _ in range(n):
        to = next(s for s in vm.servers if s is not vm.server)
        done.append(way(vm, to, pause_s))
        time.sleep(settle_s)             # the spacing of moves, under traffic
    return done


def judge(out, done):
    """(lost, beyond) of a probe's report about these moves."""
    beyond = 0
    for lost in out["lost_at"]:
        beyond += not any(m.missed(*lost) for m in done)
    return out["lost"], beyond


def pinged(vm, peer, n, pause_s, way):
    probe = Probe.ping(peer, vm.ip4)
    time.sleep(SETTLE_S)                 # pacing: traffic before the first move
    done = moves(vm, n, pause_s, way)
    out = probe.end()
    if out["send_errors"] or out["sent"] < 100 * n:
        raise labs.LabError(f"the pinger sent {out['sent']}, {out['send_errors']} failed")
    lost, beyond = judge(out, done)
    return {"lost": lost, "beyond": beyond, "dup": out["duplicates"],
            "reordered": out["reordered"], "delay_ms": out["delay_us"]["max"] / 1e3,
            "pause_ms": statistics.median(m.pause_s for m in done) * 1e3}


def with_hold(vm, to, pause_s):
    return vm.move(to, pause_s)


def without_hold(vm, to, pause_s):
    return vm.move(to, pause_s, hold=False)


def udp(bench, vm, peer, n):
    """10,000 datagrams per second to the VM and, in turn, from it."""
    total = {"lost": 0, "dup": 0, "reordered": 0}
    for a, b in ((peer, vm), (vm, peer)):
        probe = Probe.stream(a, b, 100)
        time.sleep(SETTLE_S)             # pacing: the same
        done = moves(vm, n // 2, 0.05, with_hold)
        out = probe.end()
        for key, name in (("lost", "lost"), ("dup", "duplicates"), ("reordered", "reordered")):
            total[key] += out[name]
        bench.note(a.name, {"sent": out["sent"], "lost": out["lost"],
                            "reordered": out["reordered"],
                            "pause ms": statistics.median(m.pause_s for m in done) * 1e3})
    bench.row("migration_udp10k_lost", total["lost"], f"of {n} moves", 0, at_most=True)
    bench.row("migration_udp10k_reordered", total["reordered"], f"of {n} moves")


class Stream:
    """iperf3 between the VM and its peer; octets of each tenth of a second."""

    def __init__(self, vm, peer, seconds, reverse):
        self.server = peer.popen(["iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
        wait_for("iperf3", lambda: peer.run(
            ["ss", "-Hltn", "sport = :5201"]).stdout.strip())
        self.client = vm.popen(["iperf3", "-c", peer.ip4, "-t", str(seconds), "-i", "0.1", "-J"]
                               + (["-R"] if reverse else []), stderr=subprocess.PIPE)
        self.seconds = seconds

    def rates(self):
        """[(start and end, seconds from the session's start, bits per second)]"""
        out = json.loads(self.client.communicate(timeout=self.seconds + 20)[0])
        self.server.wait(10)
        if "error" in out:
            raise labs.LabError(f"iperf3: {out['error']}")
        self.again = out["end"]["sum_sent"]["retransmits"]
        return [(i["sum"]["start"], i["sum"]["end"], i["sum"]["bits_per_second"])
                for i in out["intervals"]]


def tcp(bench, vm, peer, n):
    """A session over n moves, once from the VM and once to it, through the hold: what it
    carries after the last move, and after each, against before the first."""
    quiet, gap = 2 if bench.quick else 4, 0.4
    ratios, befores, afters, next_to, again = [], [], [], [], 0
    for reverse in (False, True):
        begun = time.monotonic()
        stream = Stream(vm, peer, 2 * quiet + n * (gap + 0.06), reverse)
        time.sleep(quiet)                # what is measured before the first move
        done = moves(vm, n, 0.05, with_hold, gap)
        rates = stream.rates()

        def within(start, end):
            return [b for s, e, b in rates if start <= s and e <= end]
        at = [(m.paused_ns / 1e9 - begun, m.resumed_ns / 1e9 - begun) for m in done]
        before, after = within(0.5, at[0][0]), within(at[-1][1] + 0.3, stream.seconds)
        befores.append(statistics.median(before))
        afters.append(statistics.median(after))
        ratios.append(afters[-1] / befores[-1])
        # what follows each pause, while the next move has not begun
        soon = [b for _, t in at for b in within(t + 0.05, t + gap)]
        next_to.append(statistics.median(soon))
        again += stream.again
        bench.note("to the VM" if reverse else "from the VM", {
            "before": befores[-1], "after each": next_to[-1], "after all": afters[-1],
            "retransmitted": stream.again})
    bench.ratio("migration_tcp_ratio", statistics.mean(afters), statistics.mean(befores),
                min(ratios), 0.9)
    bench.ratio("migration_tcp_hold_ratio", next_to[1], befores[1], next_to[1] / befores[1], 0.9)
    bench.row("migration_tcp_retransmitted", again, f"of {2 * n} moves")


PAUSES = {"0": 0.0, "50": 0.05, "500": 0.5}


def run(bench):
    n = 4 if bench.quick else 30
    relearned = {}
    total = {"dup": 0, "reordered": 0}

    def measure(what, pair, pause_s, way):
        r = pinged(*pair, n, pause_s, way)
        bench.note(what, r)
        total["dup"] += r["dup"]
        total["reordered"] += r["reordered"]
        return r

    def some(*names):
        return any(map(bench.wanted, names))

    pings = [p for p in PAUSES if some(f"migration_lost_pause{p}", f"migration_beyond_pause{p}",
                                       "migration_dup", "migration_reordered")]
    if pings or bench.wanted("migration_relearn_lost"):
        with relearning() as pair:
            for p in pings or ["50"]:
                relearned[p] = pinged(*pair, n, PAUSES[p], relearn)
                bench.note(f"bridges, pause {p}", relearned[p])
    if "50" in relearned:
        bench.row("migration_relearn_lost", relearned["50"]["lost"], f"of {n} moves")
    with contextlib.ExitStack() as stack:
        pair = stack.enter_context(berth())
        for p in pings:
            r = measure(f"pause {p}", pair, PAUSES[p], with_hold)
            bench.row(f"migration_lost_pause{p}", r["lost"], f"of {n} moves", 0, at_most=True,
                      baseline=relearned[p]["lost"])
        if some("migration_udp10k_lost", "migration_udp10k_reordered"):
            udp(bench, *pair, n)
        if some("migration_tcp_ratio", "migration_tcp_hold_ratio", "migration_tcp_retransmitted"):
            tcp(bench, *pair, 4 if bench.quick else 20)
    if bench.wanted("migration_lost_1000_others"):
        with berth(others=OTHERS) as pair:
            lost = sum(measure(f"1,000 others, pause {p}", pair, pause_s, with_hold)["lost"]
                       for p, pause_s in PAUSES.items())
            bench.row("migration_lost_1000_others", lost, f"of {n} moves, each pause", 0,
                      at_most=True)
    if bench.wanted("migration_beyond_1000_others"):
        with berth(UNBUFFERED, OTHERS) as pair:
            lost = sum(measure(f"1,000 others, no buffer, pause {p}", pair, pause_s,
                               without_hold)["beyond"] for p, pause_s in PAUSES.items())
            bench.row("migration_beyond_1000_others", lost, f"of {n} moves, each pause", 0,
                      at_most=True)
    if pings:
        with berth(UNBUFFERED) as pair:
            for p in pings:
                r = measure(f"no buffer, pause {p}", pair, PAUSES[p], without_hold)
                bench.row(f"migration_beyond_pause{p}", r["beyond"], f"of {n} moves", 0,
                          at_most=True, baseline=relearned[p]["beyond"])
        bench.row("migration_dup", total["dup"], "packets", 0, at_most=True)
        bench.row("migration_reordered", total["reordered"], "packets", 0, at_most=True)
