# SPDX-License-Identifier: Apache-2.0
"""The overlay against the kernel's bridge and vxlan, in three labs of one shape.

    vmA ─ srv1 ═══ tor1 ─── core ─── tor2 ═══ srv2 ─ vmB

`berth`: our daemons. `tagged`: bridge + vxlan, with a BPF pop and push around the bridge's
server port, and Berth's own program on the servers. `untagged`: bridge + vxlan and nothing
else; servers are a wire. Sender and receiver have a CPU each: what is compared is the cost
of the whole way, which the sender's CPU bears.
"""
import contextlib
import json
import os
import select
import statistics
import subprocess

import lab as labs
from lab import wait_for

VID, VNI, PORT = 100, 5000, 5302


def tool(name):
    return os.path.join(labs.BUILD, "test", "bench", name)


def berth(lab):
    lab.start()
    lab.nva.vn_add(VNI, "red", arp="suppress", mtu=1450)
    a, b = (lab.add_vm(s) for s in lab.servers)
    for vm in (a, b):
        vm.associate("red")
    lab.wait_mappings(2)
    return a, b


def bridge(lab, tagged):
    a, b = (lab.add_vm(s) for s in lab.servers)
    for vm, other in ((a, b), (b, a)):
        server, tor = vm.server, vm.server.nve
        pins = os.path.join(lab.bpf_dir, server.name)
        os.makedirs(pins, exist_ok=True)
        if tagged:
            server.run([tool("bench_tag"), "server", pins, vm.ifname, "up0", str(VID), vm.mac])
            tor.run([tool("bench_tag"), "port", pins, server.port, str(VID)])
        else:
            server.run([tool("bench_tag"), "wire", pins, vm.ifname, "up0"])
        # where br_netfilter is loaded, the bridge would take every frame through it, too
        tor.run(["sysctl", "-qew", "net.bridge.bridge-nf-call-iptables=0",
                 "net.bridge.bridge-nf-call-ip6tables=0",
                 "net.bridge.bridge-nf-call-arptables=0"], check=False)
        tor.ip([f"link add vx0 mtu 1450 type vxlan id {VNI} local {tor.vtep} dstport 4789 nolearning",
                "link add br0 type bridge", "link set vx0 master br0",
                f"link set {server.port} master br0", "link set vx0 up", "link set br0 up"])
        far = other.server.nve.vtep
        for line in ("link set dev vx0 learning off", f"link set dev {server.port} learning off",
                     f"fdb append 00:00:00:00:00:00 dev vx0 dst {far}",
                     f"fdb replace {other.mac} dev vx0 master static",
                     f"fdb replace {other.mac} dev vx0 self dst {far}",
                     f"fdb replace {vm.mac} dev {server.port} master static"):
            tor.run(["bridge"] + line.split())
    return a, b


@contextlib.contextmanager
def topologies(names):
    """{name: (vmA, vmB)}, each reached by ping."""
    with contextlib.ExitStack() as stack:
        pairs = {}
        for name in names:
            lab = stack.enter_context(labs.Lab(tors=2, authority=name == "berth"))
            a, b = berth(lab) if name == "berth" else bridge(lab, name == "tagged")
            wait_for(f"ping through {name}", lambda a=a, b=b: a.ping(b.ip4, 1) == (1, 1))
            b.popen(["taskset", "-c", "1", "iperf3", "-s"], stdout=subprocess.DEVNULL)
            pairs[name] = (a, b)
        yield pairs


def ksoftirqd():
    """CPU seconds that ksoftirqd of CPU 0 has had."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/comm", encoding="ascii") as f:
                if f.read().strip() != "ksoftirqd/0":
                    continue
            with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
                return int(f.read().split()[0]) / 1e9
    return 0.0


def line(process):
    """The next line of a tool; a tool that says nothing for 10 s has failed."""
    if not select.select([process.stdout], [], [], 10)[0]:
        raise labs.LabError("a tool of the overlay benchmark says nothing")
    text = process.stdout.readline()
    if not text:
        raise labs.LabError(f"a tool of the overlay benchmark ended with {process.wait()}")
    return text


class Flood:
    """Bursts of 64-octet frames (22 octets of payload) from vmA to vmB."""

    def __init__(self, a, b, ms):
        self.sink = b.popen(["taskset", "-c", "1", tool("bench_udp"), "sink", str(PORT)])
        line(self.sink)
        self.flood = a.popen(["taskset", "-c", "0", tool("bench_udp"), "flood", b.ip4,
                              str(PORT), "22", str(ms)], stdin=subprocess.PIPE)
        self.costs = []                  # nanoseconds of CPU 0 per frame received

    def burst(self):
        """Frames per second received in one burst."""
        before = ksoftirqd()
        self.flood.stdin.write("go\n")
        self.flood.stdin.flush()
        cpu = float(line(self.flood).split()[1])
        used = cpu + ksoftirqd() - before
        # on a busy machine a burst may have a hole: then it comes in parts
        parts = [tuple(map(float, line(self.sink).split()))]
        while select.select([self.sink.stdout], [], [], 0.05)[0]:
            parts.append(tuple(map(float, line(self.sink).split())))
        self.costs.append(1e9 * used / sum(n for n, _ in parts))
        return max(parts)[1]


def tcp(a, b, octets):
    """Bits per second that iperf3 received."""
    out = a.run(["taskset", "-c", "0", "iperf3", "-c", b.ip4, "-n", octets, "-J"]).stdout
    return json.loads(out)["end"]["sum_received"]["bits_per_second"]


def alternate(measures, rounds, note):
    """Medians per topology, and of the ratios berth / other of each round. The order turns
    round by round: whoever comes first may find a colder or a warmer machine."""
    values = {name: [] for name in measures}
    names = list(measures)
    for i in range(rounds):
        for name in names if i % 2 == 0 else reversed(names):
            values[name].append(measures[name]())
        note(i, {name: values[name][-1] for name in names})
    return ({n: statistics.median(v) for n, v in values.items()},
            {n: middle(values["berth"], values[n]) for n in names if n != "berth"})


def middle(over, under):
    return statistics.median(x / y for x, y in zip(over, under))


def frames(bench, pairs, rounds):
    floods = {n: Flood(*pairs[n], 200) for n in pairs}
    for f in floods.values():
        f.burst()
        f.costs.clear()
    m, r = alternate({n: f.burst for n, f in floods.items()}, rounds, bench.note)
    bench.ratio("overlay_pps_ratio", m["berth"], m["tagged"], r["tagged"], 0.95)
    bench.ratio("overlay_pps_untagged_ratio", m["berth"], m["untagged"], r["untagged"], 0.9)
    costs = {n: f.costs for n, f in floods.items()}
    bench.ratio("overlay_cpu_ratio", statistics.median(costs["berth"]),
                statistics.median(costs["tagged"]), middle(costs["berth"], costs["tagged"]),
                1.05, unit="ns/frame", at_most=True)


def run(bench):
    rounds = 5 if bench.quick else 61
    others = any(map(bench.wanted, (
        "overlay_pps_ratio", "overlay_pps_untagged_ratio", "overlay_cpu_ratio")))
    with topologies(["berth", "tagged"] + (["untagged"] if others else [])) as pairs:
        if others:
            frames(bench, pairs, rounds)
        if bench.wanted("overlay_tcp_ratio"):
            m, r = alternate({n: lambda n=n: tcp(*pairs[n], "256M") for n in (
                "berth", "tagged")}, rounds // 2, bench.note)
            bench.ratio("overlay_tcp_ratio", m["berth"], m["tagged"], r["tagged"], 0.95)
