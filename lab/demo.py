#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`make demo`: two racks, one authority, six VMs in two virtual networks.

Shows each signal and its answer, the tags, the mappings, the pings, what isolation
refused, a daemon that dies under traffic, and a VM that moves under traffic. Writes
build/demo.json and build/move.svg; leaves nothing behind unless KEEP=1."""
import json
import os
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402
from lab import Lab, LabError, Probe, wait_for  # noqa: E402

TOPOLOGY = """
      red 5000: web1 web2      blue 5001: tiny          red: db      blue: shop  lone
                  \\    |      _____/                       |       ____/________/
                 +--srv1--------+                       +--srv2--------+
                 |  berth-tes   |                       |  berth-tes   |
                 +------+-------+                       +------+-------+
                        | VLAN-tagged link, tags chosen by the edge |
                 +--swp1+-------+      VXLAN over IP    +--swp1+-------+
                 |  tor1        |=======================|  tor2        |
                 |  berth-nve   |                       |  berth-nve   |
                 +------+-------+                       +------+-------+
                        |            mappings                  |
                        +-------------- nva -------------------+
                                     berth-nva
"""
COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def title(text):
    print("\n" + paint("1;34", f"== {text}"), flush=True)


def line(ok, text):
    mark = paint("32", "ok  ") if ok else paint("1;31", "FAIL")
    print(f"  {mark} {text}", flush=True)
    return ok


class Demo:
    def __init__(self, lab):
        self.lab = lab
        self.result = {"attached": 0, "pings_sent": 0, "pings_lost": 0, "isolation_probes": 0,
                       "isolation_leaks": 0, "arp_flooded": 0, "associate_ms_p50": None,
                       "restart_pings": 0, "restart_lost": 0, "move_pings": 0, "move_lost": 0,
                       "ok": False}
        self.times, self.good = [], True

    def check(self, ok, text):
        self.good &= bool(line(ok, text))
        return ok

    def vm(self, name, server, vn, **kw):
        vm = self.lab.add_vm(server, **kw)
        vm.label, vm.vn = name, vn
        return vm

    def attach(self, vm):
        print(f"  {vm.server.name} -> {vm.server.nve.name}  associate {vm.label}: "
              f"VN {vm.vn}, MAC {vm.mac}, {vm.ip4}, {vm.ip6}")
        answer = vm.associate(vm.vn)
        self.times.append(answer["answer_s"] * 1000)
        self.result["attached"] += 1
        self.check(answer["vid"], f"{vm.server.nve.name} -> {vm.server.name}  use VLAN "
                   f"{answer['vid']} (VNI {answer['vni']}, MTU {answer.get('mtu')}), confirmed in "
                   f"{answer['answer_s'] * 1000:.2f} ms")

    def ping(self, source, target, address, count=5):
        sent, got = source.ping(address, count=count, interval=0.05)
        self.result["pings_sent"] += sent
        self.result["pings_lost"] += sent - got
        self.check(sent and sent == got, f"{source.label} -> {target.label} {address}: {got}/{sent}")

    def probe(self, text, leaked):
        self.result["isolation_probes"] += 1
        self.result["isolation_leaks"] += 1 if leaked else 0
        self.check(not leaked, text)

    def run(self):
        lab = self.lab
        srv1, srv2 = lab.servers
        tor1, tor2 = lab.tors
        print(TOPOLOGY)
        title("An operator names two virtual networks at the authority; nobody touches a switch")
        for vni, name in ((5000, "red"), (5001, "blue")):
            lab.nva.vn_add(vni, name, arp="suppress", mtu=1450)
            line(True, f"berth vn add {vni} {name} --arp suppress --mtu 1450")
        title("VMs start: each server signals, its edge provisions itself and answers with a tag")
        web1 = self.vm("web1", srv1, "red")
        web2 = self.vm("web2", srv1, "red")
        db = self.vm("db", srv2, "red")
        # blue uses the very addresses of red: they must never meet
        tiny = self.vm("tiny", srv1, "blue", mac=db.mac, ip4=db.ip4, ip6=db.ip6)
        shop = self.vm("shop", srv2, "blue", mac=web1.mac, ip4=web1.ip4, ip6=web1.ip6)
        lone = self.vm("lone", srv2, "blue", ip4="10.0.9.9", ip6="fd00::99")
        for vm in (web1, web2, db, tiny, shop, lone):
            self.attach(vm)
        self.result["associate_ms_p50"] = round(statistics.median(self.times), 3)
        title("Local tags: the same VN may have another VLAN at another edge")
        for tor in lab.tors:
            for t in tor.daemon.rows("show tags"):
                if t["state"] != "FREE":
                    print(f"  {tor.name} {t['port']}: VLAN {t['vid']} <-> VN {t['vn']} ({t['vni']}), {t['refs']} VMs")
        title("Mappings that the authority pushed")
        lab.wait_mappings(6)
        for m in sorted(tor1.daemon.mappings(), key=lambda m: (m["vni"], m["mac"])):
            place = "here" if m["local"] else "at " + m["owner"]
            print(f"  tor1: {m['vn']:5} {m['mac']} {' '.join(m['ips'])} {place}, epoch {m['epoch']}")
        title("Packets flow: IPv4 and IPv6, on one server, between servers")
        for a, b in ((web1, web2), (web1, db), (web2, db), (tiny, shop), (tiny, lone)):
            self.ping(a, b, b.ip4)
            self.ping(a, b, b.ip6)
        title("What isolation refuses")
        sent, got = web1.ping(lone.ip4, count=2, interval=0.2, wait=1)
        self.probe(f"web1 (red) cannot reach lone (blue) at {lone.ip4}: {got}/{sent} answered", got)
        sent, got = web1.ping(lone.ip6, count=2, interval=0.2, wait=1)
        self.probe(f"web1 (red) cannot reach lone (blue) at {lone.ip6}: {got}/{sent} answered", got)
        before = tor1.counters()["drop_spoof"]
        vid = next(t["vid"] for t in tor1.daemon.rows("show tags") if t["vni"] == 5000)
        srv1.send_raw("up0", [labs.frame(db.mac, "02:66:66:66:66:66", vid)] * 5)
        dropped = wait_for("drops", lambda: tor1.counters()["drop_spoof"] - before)
        self.probe(f"a forged MAC from srv1 on VLAN {vid}: tor1 dropped {dropped} of 5 (drop_spoof)",
                   dropped != 5)
        before = tor1.counters()["drop_no_vap"]
        srv1.send_raw("up0", [labs.frame(db.mac, web1.mac, 4000)] * 5)
        dropped = wait_for("drops", lambda: tor1.counters()["drop_no_vap"] - before)
        self.probe(f"web1's MAC on VLAN 4000: tor1 dropped {dropped} of 5 (drop_no_vap)", dropped != 5)
        watch = lone.popen(["tcpdump", "-n", "-i", "eth0", "-l", "host", web1.ip4],
                           stderr=subprocess.DEVNULL)
        web1.ping(db.ip4, count=3, interval=0.05)
        web1.run(["ping", "-b", "-c", "3", "-i", "0.05", "-W", "1", "10.0.255.255"], check=False)
        watch.send_signal(signal.SIGINT)
        seen = [x for x in watch.communicate(timeout=5)[0].splitlines() if "IP " in x]
        self.probe(f"lone (blue) heard {len(seen)} frames of red's unicast and broadcast", seen)
        flooded = sum(t.counters()["arp_flooded"] for t in lab.tors)
        self.result["arp_flooded"] = flooded
        self.check(flooded == 0, f"ARP and neighbour requests flooded: {flooded} (answered at the edge)")
        title("berth-nve on tor1 is killed (-9) and started again under a 1 ms ping")
        tags = tor1.daemon.rows("show tags", state="USED")
        passed = tor1.counters()["tx_overlay"]
        probe = Probe.ping(web1, db.ip4)
        wait_for("traffic", lambda: tor1.counters()["tx_overlay"] >= passed + 200)
        tor1.daemon.kill()
        tor1.daemon.start()
        wait_for("what it knew", lambda: len(tor1.daemon.mappings()) == 6)
        seen = probe.end()
        self.result.update(restart_pings=seen["sent"], restart_lost=seen["lost"])
        self.check(seen["sent"] and not seen["lost"],
                   f"{seen['sent'] - seen['lost']}/{seen['sent']} pings answered while the daemon was away")
        same = sorted((t["port"], t["vid"], t["vni"]) for t in tags) == sorted(
            (t["port"], t["vid"], t["vni"]) for t in tor1.daemon.rows("show tags", state="USED"))
        self.check(same, "every tag is what it was")
        self.move(web1)
        if os.environ.get("KEEP") == "1":
            return
        title("VMs stop: nothing stays")
        for vm in lab.vms:
            vm.terminate()
        left = wait_for("empty tables", lambda: not any(
            a["state"] not in ("TERM", "NULL") for t in lab.tors
            for a in t.daemon.rows("show attachments")) and "empty")
        self.check(left, "attachments left at the edges: 0")

    def move(self, watcher):
        """Hot migration: what today's networks lose seconds by."""
        lab = self.lab
        source, target = lab.servers
        title("A running VM moves to the other rack, 100 ms of pause, under a 1 ms ping")
        roam = lab.add_moving_vm(lab.servers)
        roam.label, roam.vn = "roam", "red"
        self.attach(roam)
        wait_for("roam's first answer", lambda: watcher.ping(roam.ip4, count=1) == (1, 1))
        waited = sum(t.counters()["released"] for t in lab.tors)
        probe = Probe.ping(watcher, roam.ip4)
        move = roam.move(target, 0.1)
        wait_for("roam at its new place", lambda: any(
            m["mac"] == roam.mac and not m["local"]
            for m in source.nve.daemon.mappings()))
        wait_for("the end of what waited", lambda: not any(
            t.daemon.rows("show holds") for t in lab.tors))
        seen = probe.end()
        waited = sum(t.counters()["released"] for t in lab.tors) - waited
        self.result.update(move_pings=seen["sent"], move_lost=seen["lost"])
        self.check(seen["sent"] and not seen["lost"] and not seen["duplicates"],
                   f"{seen['sent'] - seen['lost']}/{seen['sent']} pings answered, none twice, while it moved "
                   f"({move.pause_s * 1000:.0f} ms paused); {waited} frames waited at the edges, the longest "
                   f"{seen['delay_us']['max'] / 1000:.0f} ms")
        where = sorted(m["owner"] for t in lab.tors for m in t.daemon.mappings(mac=roam.mac))
        self.check(where == [target.nve.vtep] * 2, f"both edges send to {target.nve.name}; roam was not asked to do anything")
        self.trace(roam)

    # of the time line, what a reader needs to follow the move
    TOLD = {"request", "granted", "reserved", "hold", "relay", "registered", "release", "held"}

    def trace(self, vm):
        asked = [x for n in [self.lab.nva, *self.lab.tors, *self.lab.servers] for x in ("--at", n.daemon.control)]

        def berth(*more):
            return subprocess.run([labs.program("berth"), *more, *asked], text=True, check=True,
                                  capture_output=True, timeout=10).stdout
        told = [json.loads(x) for x in berth("-j", "trace", "vm", vm.vsi).splitlines()]
        begin = next(r["at_s"] for r in told if r.get("op") == "immigrate-prepare")
        print(f"  berth trace vm {vm.vsi}, in short:")
        for r in told:
            if r["at_s"] < begin or r["event"] not in self.TOLD or r["program"] == "berth-tes":
                continue
            what = " ".join(str(w) for w in (
                r.get("op"), r.get("word"), r.get("peer"), r.get("epoch") and f"epoch {r['epoch']}",
                r.get("frames") and f"{r['frames']} frames") if w)
            print(f"  {(r['at_s'] - begin) * 1000:8.1f} ms  {r['name']:5} {r['event']:10} {what}")
        picture = os.path.join(labs.BUILD, "move.svg")
        berth("trace", "vm", vm.vsi, "-o", picture)
        self.check(os.path.getsize(picture), f"the same as a picture: {picture}")

    def finish(self):
        self.result["ok"] = bool(self.good and self.result["isolation_leaks"] == 0
                                 and self.result["pings_lost"] == 0
                                 and self.result["arp_flooded"] == 0)
        path = os.path.join(labs.BUILD, "demo.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(self.result, out, indent=1)
            out.write("\n")
        return path


def keep_hint(lab):
    web1, roam, tor1, srv1 = lab.vms[0], lab.vms[-1], lab.tors[0], lab.servers[0]
    everybody = " ".join(f"--at {n.daemon.control}" for n in [lab.nva, *lab.tors, *lab.servers])
    berth = labs.program("berth")
    print(f"""
The lab is up. Try (as root):
  {berth} -s {tor1.daemon.control} show attachments
  {berth} -s {tor1.daemon.control} show mappings
  {berth} -s {lab.nva.daemon.control} vn list
  {berth} -s {srv1.daemon.control} show vms
  {berth} trace vm {roam.vsi} {everybody}
  nsenter --net=/run/netns/{web1.ns} ping {roam.ip4}
Logs and configurations are in {lab.dir}. Take it down with:
  {os.path.join(labs.ROOT, 'lab', 'lab.py')} down {lab.prefix}""")


def main():
    if os.geteuid() != 0:
        print("make demo needs root: it makes network namespaces", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    keep = os.environ.get("KEEP") == "1"
    lab = Lab(tors=2, servers_per_tor=1)
    demo, status, started = Demo(lab), 1, time.monotonic()
    try:
        # where red and blue have other VLANs than at tor1
        lab.tors[1].port_settings["swp1"] = 'reserved_vids = "2-99"'
        lab.up()
        lab.start()
        demo.run()
        status = 0 if demo.good else 1
    except (LabError, subprocess.TimeoutExpired) as e:
        print(paint("1;31", f"\nThe demo stopped: {e}"), file=sys.stderr)
        demo.good = False
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        demo.good, status, keep = False, 130, False
    finally:
        path = demo.finish()
        if keep:
            keep_hint(lab)
        else:
            lab.down()
    verdict = "All as it should be" if demo.result["ok"] else \
        "Interrupted" if status == 130 else "Something is wrong"
    print(f"\n{verdict}: "
          f"{demo.result['attached']} VMs attached (p50 {demo.result['associate_ms_p50']} ms), "
          f"{demo.result['pings_lost']}/{demo.result['pings_sent']} pings lost, "
          f"{demo.result['isolation_leaks']} leaks in {demo.result['isolation_probes']} probes, "
          f"{time.monotonic() - started:.1f} s. Details: {path}")
    return status


if __name__ == "__main__":
    sys.exit(main())
