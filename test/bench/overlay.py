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
    wait_for("mappings", lambda: all(
        len(t.daemon.rows("show mappings")) == 2 for t in lab.tors))
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
        tor.ip([f"link add vx0 mtu 1450 type vxlan id {VNI} local {tor.vtep} dstport 4789 nolearning",
                "link add br0 type bridge", "link set vx0 master br0",
                f"link set {server.port} master br0", "link set vx0 up", "link set br0 up"])
        far = other.server.nve.vtep
        for line in (f"link set dev vx0 learning off", f"link set dev {server.port} learning off",
                     f"fdb append 00:00:00:00:00:00 dev vx0 dst {far}",
                     f"fdb add {other.mac} dev vx0 master static",
                     f"fdb add {other.mac} dev vx0 self dst {far}",
                     f"fdb add {vm.mac} dev {server.port} master static"):
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


COSTS = {}                               # lab -> nanoseconds of CPU 0 per frame received


def pps(a, b, seconds, size=22):
    """Frames per second received; 22 octets of payload make a frame of 64."""
    sink = b.popen(["taskset", "-c", "1", tool("bench_udp"), "sink", str(PORT)])
    sink.stdout.readline()
    before = ksoftirqd()
    flood = a.run(["taskset", "-c", "0", tool("bench_udp"), "flood", b.ip4, str(PORT),
                   str(size), str(seconds)]).stdout.split()
    frames, rate = map(float, sink.communicate(timeout=10)[0].split())
    cost = 1e9 * (float(flood[2]) + ksoftirqd() - before) / frames
    COSTS.setdefault(a.lab.prefix, []).append(cost)
    return rate


def tcp(a, b, seconds):
    """Octets per second that iperf3 received."""
    out = a.run(["taskset", "-c", "0", "iperf3", "-c", b.ip4, "-t", str(seconds), "-J"],
                timeout=seconds + 20).stdout
    return json.loads(out)["end"]["sum_received"]["bits_per_second"]


def alternate(pairs, measure, seconds, rounds, note):
    """Medians per topology, and of the ratios berth / other of each round. The order turns
    round by round: whoever comes first may find a colder or a warmer machine."""
    values = {name: [] for name in pairs}
    names = list(pairs)
    for i in range(rounds):
        for name in names if i % 2 == 0 else reversed(names):
            values[name].append(measure(*pairs[name], seconds))
        note(i, {name: values[name][-1] for name in names})
    medians = {n: statistics.median(v) for n, v in values.items()}
    ratios = {n: statistics.median(x / y for x, y in zip(values["berth"], values[n]))
              for n in names if n != "berth"}
    return medians, ratios


def run(bench):
    rounds, seconds = (3, 0.3) if bench.quick else (25, 0.5)
    wanted = bench.wanted
    names = ["berth", "tagged"] + (["untagged"] if wanted("overlay_pps_untagged_ratio") else [])
    with topologies(names) as pairs:
        if wanted("overlay_pps_ratio") or wanted("overlay_pps_untagged_ratio"):
            m, r = alternate(pairs, pps, seconds, rounds, bench.note)
            bench.ratio("overlay_pps_ratio", m["berth"], m["tagged"], r["tagged"], 0.95)
            if "untagged" in r:
                bench.ratio("overlay_pps_untagged_ratio", m["berth"], m["untagged"],
                            r["untagged"], 0.9)
            costs = {n: COSTS[pairs[n][0].lab.prefix] for n in names}
            bench.ratio("overlay_cpu_ratio", statistics.median(costs["berth"]),
                        statistics.median(costs["tagged"]), statistics.median(
                            x / y for x, y in zip(costs["berth"], costs["tagged"])),
                        1.05, unit="ns/frame", at_most=True)
        if wanted("overlay_tcp_ratio"):
            two = {n: pairs[n] for n in ("berth", "tagged")}
            m, r = alternate(two, tcp, 1, min(rounds, 15), bench.note)
            bench.ratio("overlay_tcp_ratio", m["berth"], m["tagged"], r["tagged"], 0.95)
