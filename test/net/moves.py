# SPDX-License-Identifier: Apache-2.0
"""Labs whose VM moves under traffic, and how packets are judged. The fixture `three` of
conftest.py is such a lab."""
import contextlib
import time

from lab import wait_for

UNBUFFERED = "settings { hold_frames = 0 }"


def ready(lab, *vms):
    """They are associated, every edge knows, and the first answers all others."""
    for vm in vms:
        vm.associate("red")
    for vm in vms[1:]:
        wait_for(f"ping {vm.name} {vms[0].name}", lambda v=vm: v.ping(vms[0].ip4, 1) == (1, 1))
    lab.vm, lab.peer = vms[:2]
    return lab


def started(make_lab, settings="", **kw):
    lab = make_lab(**kw)
    for tor in lab.tors:
        tor.settings = settings
    lab.start()
    lab.nva.vn_add(5000, "red", arp="suppress", mtu=1450)
    return lab


@contextlib.contextmanager
def counted(*probes, settle_s=0.15):
    """Packets run before, during and after the block; the list gets their reports."""
    time.sleep(settle_s)                 # pacing: traffic before what is looked at
    reports = []
    try:
        yield reports
        time.sleep(settle_s)             # and after it
    finally:
        reports += [p.end() for p in probes]


def beyond(report, moves):
    """Lost although neither sent while the VM was paused nor under way at the pause."""
    return [(n, [(t - m.paused_ns) / 1e6 for m in moves]) for n, t, d in report["lost_at"]
            if not any(m.missed(n, t, d) for m in moves)]


def clean(report):
    """Nothing lost, doubled or out of order."""
    assert report["send_errors"] == 0
    assert (report["lost"], report["duplicates"], report["reordered"]) == (0, 0, 0), \
        {k: v for k, v in report.items() if k != "lost_at"}


def other(vm):
    return next(s for s in vm.servers if s is not vm.server)


def owner(lab, vm):
    return [(m["owner"], int(m["epoch"])) for m in lab.nva.daemon.mappings(mac=vm.mac)]


def settled(lab, vm, deadline_s=10):
    """The VM is owned where it runs, and by nobody else."""
    here = vm.server.nve

    def good():
        return [o for o, _ in owner(lab, vm)] == [here.vtep] and all(
            {m["owner"] for m in t.daemon.mappings(mac=vm.mac)} <= {here.vtep}
            for t in lab.tors) and [
                t for t in lab.tors if any(a["state"] == "ASSOC" for a in t.daemon.rows(
                    "show attachments", mac=vm.mac))] == [here]
    wait_for(f"{vm.name} belongs to {here.name} alone", good, deadline_s)
    wait_for(f"{vm.name} answers", lambda: lab.peer.ping(vm.ip4, 1) == (1, 1), deadline_s)


def total(lab, name):
    return sum(t.counters()[name] for t in lab.tors)
