# SPDX-License-Identifier: Apache-2.0
"""What else libvirt does with a real guest, followed: an interface comes and goes while
the guest runs, and moves with it; a guest that its user has paused moves; the agent and
libvirtd are restarted under a running guest.

    guest ─ [srv1: libvirtd, berth-tes] ═ tor1 ═══ tor2 ═ [srv2: libvirtd, berth-tes]
                                            ╰═ tor3 ═ srv3 ─ asker
"""
import json
import os
import socket
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lab"))
import hypervisor as hv  # noqa: E402
from lab import LabError, wait_for  # noqa: E402

SECOND = "52:54:00:00:99:01"
FLOOD = 5000


@pytest.fixture(scope="module")
def ml():
    with hv.MachineLab() as m:
        machine = m.add_machine()
        wait_for("an answer of the guest", lambda: machine.ask(m.asker), 20, 0.05)
        yield m


@pytest.fixture
def machine(ml):
    return ml.machines[0]


def row(hypervisor, mac):
    rows = hypervisor.server.daemon.rows("show vms")
    return next((r for r in rows if r["mac"] == mac), None)


def wait_state(hypervisor, mac, state):
    def there():
        r = row(hypervisor, mac)
        return r and r["state"] == state and r["if"] and r
    return wait_for(f"{mac} {state} on {hypervisor.server.name}", there, 20)


def wait_gone(hypervisor, mac):
    wait_for(f"{mac} gone from {hypervisor.server.name}", lambda: row(hypervisor, mac) is None, 20)


def test_an_interface_comes_moves_and_goes(ml, machine, tmp_path):
    a, b = machine.at, ml.other(machine.at)
    xml = tmp_path / "nic.xml"
    xml.write_text(f"<interface type='network'><mac address='{SECOND}'/>"
                   f"<source network='{ml.vn}'/><model type='virtio'/></interface>")
    first = row(a, machine.mac)
    a.virsh("attach-device", machine.name, str(xml), "--live")
    second = wait_state(a, SECOND, "associated")
    # the domain lists its interfaces, so this one is in the network's VN
    assert second["vn"] == ml.vn and second["domain"] == first["domain"] == machine.name
    assert first["vsi"] == machine.vsi
    assert second["vsi"] == machine.vsi[:-12] + SECOND.replace(":", "")
    machine.migrate(b)
    for mac, old in ((machine.mac, first), (SECOND, second)):
        new = wait_state(b, mac, "associated")
        assert new["vsi"] == old["vsi"] and int(new["epoch"]) > int(old["epoch"])
        wait_gone(a, mac)
    b.virsh("detach-device", machine.name, str(xml), "--live")
    wait_gone(b, SECOND)
    assert row(b, machine.mac)["state"] == "associated"


def test_a_paused_guest_moves_and_stays_paused(ml, machine):
    a, b = machine.at, ml.other(machine.at)
    a.virsh("suspend", machine.name)
    wait_state(a, machine.mac, "suspended")
    machine.migrate(b)
    wait_state(b, machine.mac, "suspended")
    wait_gone(a, machine.mac)
    with hv.Watched(ml.asker, machine, 20000) as w:
        assert machine.ask(ml.asker) is None
        b.virsh("resume", machine.name)
        wait_state(b, machine.mac, "associated")
        wait_for("an answer of the guest", lambda: machine.ask(ml.asker), 20, 0.05)
    assert w.out["sent"] > 10 and w.out["lost"] == 0, w.out      # A14: they have waited


def tap_counts(hypervisor, machine):
    """Frames that QEMU has taken out of the machine's tap, and that found no room in it."""
    out = hypervisor.server.run(["ip", "-j", "-s", "link", "show", "dev", machine.tap(hypervisor)])
    counts = json.loads(out.stdout)[0]["stats64"]["tx"]
    return counts["packets"], counts["dropped"]


def test_all_that_waited_finds_room(ml, machine):
    """More frames than a tap has places wait at the edge, and come at once (K12)."""
    a, b = machine.at, ml.other(machine.at)
    a.virsh("suspend", machine.name)
    wait_state(a, machine.mac, "suspended")
    machine.migrate(b)
    wait_state(b, machine.mac, "suspended")
    edge, (taken, dropped) = b.server.nve, tap_counts(b, machine)
    before = edge.counters()
    with ml.asker.inside():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with s:
        for number in range(FLOOD):
            s.sendto(number.to_bytes(8, "big"), (machine.ip4, 9))
            if number % 50 == 0:
                time.sleep(0.002)        # spacing: some 20,000 a second
    held = edge.counters()["held"] - before["held"]
    assert held > FLOOD / 2, held
    b.virsh("resume", machine.name)
    wait_state(b, machine.mac, "associated")
    wait_for("QEMU to take what waited", lambda: tap_counts(b, machine)[0] - taken >= held, 20, 0.05)
    after = edge.counters()
    assert after["released"] - before["released"] == held
    assert after["drop_held"] == before["drop_held"]
    assert tap_counts(b, machine)[1] == dropped
    assert machine.ask(ml.asker, wait_s=2)


def test_the_agent_restarts(ml, machine):
    at = machine.at
    daemon, epoch = at.server.daemon, row(at, machine.mac)["epoch"]
    daemon.kill()
    assert wait_for("an answer without an agent", lambda: machine.ask(ml.asker), 20, 0.05)
    daemon.start()
    wait_for("libvirt to be followed", lambda: daemon.rows("ping")[0].get("libvirt"), 20)
    assert row(at, machine.mac)["state"] == "associated"
    assert row(at, machine.mac)["epoch"] == epoch
    assert machine.ask(ml.asker, wait_s=2)


def test_libvirtd_restarts(ml, machine):
    at = machine.at
    daemon = at.server.daemon
    at.process.terminate()
    at.process.wait(20)
    wait_for("the loss to be seen", lambda: not daemon.rows("ping")[0]["libvirt"], 20)
    assert machine.ask(ml.asker, wait_s=2)
    at.start()
    wait_for("libvirt to be followed", lambda: daemon.rows("ping")[0]["libvirt"], 60)
    assert row(at, machine.mac)["state"] == "associated"
    assert machine.ask(ml.asker, wait_s=2)


def test_a_vm_of_ours_does_not_start_without_an_agent(ml):
    at = ml.hypervisors[0]
    daemon = at.server.daemon
    other = hv.Machine(ml.lab, 8)
    daemon.stop()
    with pytest.raises(LabError, match="berth: "):
        other.create(at)
    daemon.start()
    wait_for("libvirt to be followed", lambda: daemon.rows("ping")[0].get("libvirt"), 20)
    assert row(at, other.mac) is None


def test_who_is_silent_must_show_why(ml, machine):
    """What the tests take for QEMU's fault is shown by the machine itself."""
    agent = machine.at.server.daemon
    agent.rows("vm suspend", vsi=machine.vsi)
    with pytest.raises(LabError, match="nothing is wrong with it"):
        ml.alive(machine, deadline_s=1)
    agent.rows("vm resume", vsi=machine.vsi)
    assert ml.alive(machine) and ml.broken == 0
    machine.ask(ml.asker, port=hv.COMMAND_PORT, text=b"crash")
    assert not ml.alive(machine, deadline_s=1) and ml.broken == 1
    assert ml.alive(machine)


def vn_element(vn, machine, ip):
    return (f"<vn {vn}><interface mac='{machine.mac}'><ip>{ip}</ip></interface></vn>")


def set_metadata(hypervisor, machine, element):
    hypervisor.virsh("metadata", machine.name, hv.METADATA, "--live", "--key", "berth",
                     "--set", element)


def test_its_network_changes_while_it_runs(ml, machine):
    """virsh metadata: out of the one network and into another; nonsense changes nothing."""
    at = machine.at
    ml.lab.nva.vn_add(5001, "blue", arp="suppress", mtu=1450)
    blue = ml.lab.add_vm(ml.lab.servers[2])
    blue.associate("blue")
    assert machine.ask(ml.asker) and machine.ask(blue) is None
    set_metadata(at, machine, vn_element("name='blue'", machine, machine.ip4))
    wait_for("an answer in blue", lambda: machine.ask(blue), 20, 0.05)
    assert machine.ask(ml.asker) is None
    assert row(at, machine.mac)["vn"] == "blue"
    known = ml.lab.nva.daemon.rows("show mappings", mac=machine.mac)
    assert [m["vn"] for m in known] == ["blue"]
    for wrong, ip, why in (("vni='0'", machine.ip4, f"<interface mac='{machine.mac}'>: vni '0'"),
                           ("name='red'", "10.0.0.999", "<ip> '10.0.0.999' is no IP address"),
                           ("name='green'", machine.ip4, "no such network")):
        set_metadata(at, machine, vn_element(wrong, machine, ip))
        wait_for(f"the agent to say {why}", lambda w=why: any(
            f"domain={machine.name}" in t and w in t
            for t in at.server.daemon.log_tail(200).splitlines()))
        assert row(at, machine.mac)["vn"] == "blue" and machine.ask(blue, wait_s=2)
    set_metadata(at, machine, vn_element(f"name='{ml.vn}'", machine, machine.ip4))
    wait_for("an answer in red", lambda: machine.ask(ml.asker), 20, 0.05)
    assert machine.ask(blue) is None
    wait_state(at, machine.mac, "associated")
