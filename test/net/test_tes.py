# SPDX-License-Identifier: Apache-2.0
"""The agent of a server: what its VMs may send, its restart, VMs whose interface comes anew.

    vm1 vm2 ─ srv1: berth-tes ═(tagged)═ tor1 ═══ VXLAN ═══ tor2 ═(tagged)═ srv2 ─ vm3
"""
import json
import socket
import time

from lab import ip_batch, wait_for


def attached(lab, server, vn="red"):
    vm = lab.add_vm(server)
    vm.associate(vn)
    return vm


def row(vm):
    rows = vm.server.daemon.rows("show vms")
    return next(r for r in rows if r["vsi"] == vm.vsi)


def send(vm, frames):
    """Raw frames out of the VM's eth0."""
    code = ("import socket,sys\ns=socket.socket(socket.AF_PACKET,socket.SOCK_RAW)\n"
            "s.bind(('eth0',0))\n"
            "for f in sys.argv[1:]: s.send(bytes.fromhex(f).ljust(60,b'\\0'))")
    vm.run(["python3", "-c", code] + frames)


def test_nothing_passes_before_and_after(lab2):
    a, b = lab2.add_vm(lab2.servers[0]), attached(lab2, lab2.servers[1])
    assert a.ping(b.ip4) == (3, 0)
    a.associate("red")
    assert a.ping(b.ip4) == (3, 3)
    a.signal("suspend")
    assert a.ping(b.ip4)[1] == 0
    a.signal("resume")
    assert a.ping(b.ip4) == (3, 3)
    a.terminate()
    assert a.ping(b.ip4)[1] == 0
    assert lab2.servers[0].daemon.rows("show vms") == []


def test_a_vm_cannot_signal(lab2):
    a = attached(lab2, lab2.servers[0])
    tor = lab2.tors[0]
    before, drops = tor.counters(), a.server.daemon.counters()
    group, mac = "0180c2000000", a.mac.replace(":", "")
    tag = f"8100{row(a)['vid']:04x}"
    send(a, [group + mac + "8940" + "10010001", group + mac + "88cc" + "0207",
             group + mac + tag + "8940" + "10010001", group + mac + tag + "88cc",
             group + mac + "81000000" + "8940", "ffffffffffff" + mac + tag + "0800",
             "0180c200000e" + mac + "88f7", "ffffffffffff" + "06" + mac[2:] + "0800"])

    def counted():
        now = a.server.daemon.counters()
        return all(now[k] - drops[k] >= n for k, n in (
            ("drop_signalling", 2), ("drop_tagged", 4), ("drop_reserved", 1), ("drop_spoof", 1)))
    wait_for("eight drops", counted)
    after = tor.counters()
    assert after["drop_signalling"] == before["drop_signalling"]
    assert after["drop_spoof"] == before["drop_spoof"]


def test_restart_of_the_agent_loses_nothing(lab2):
    a, b = attached(lab2, lab2.servers[0]), attached(lab2, lab2.servers[1])
    assert a.ping(b.ip4) == (3, 3)
    was = row(a)
    ping = a.popen(["ping", "-n", "-q", "-i", "0.002", "-c", "1000", b.ip4])
    for _ in range(3):
        lab2.servers[0].daemon.kill()
        lab2.servers[0].start()
    out = ping.communicate(timeout=30)[0]
    assert "1000 packets transmitted, 1000 received" in out, out
    wait_for("the edge's word", lambda: "unconfirmed" not in row(a))
    now = row(a)
    assert (now["vid"], now["epoch"], now["state"]) == (was["vid"], was["epoch"], "associated")


def test_an_interface_that_comes_anew_is_tagged_again(lab2):
    a, b = attached(lab2, lab2.servers[0]), attached(lab2, lab2.servers[1])
    assert a.ping(b.ip4) == (3, 3)
    a.run(["ip", "link", "del", "eth0"])
    ip_batch([f"link add eth0 netns {a.ns} address {a.mac} mtu 1450 type veth peer name "
              f"{a.ifname} netns {a.server.ns} mtu 1450"])
    a.server.ip([f"link set {a.ifname} up"])
    a.ip(["link set eth0 up", f"addr add {a.ip4}/16 dev eth0"])
    wait_for("packets again", lambda: a.ping(b.ip4, count=1)[1] == 1)


def test_errors_say_what_to_do(lab2):
    server = lab2.servers[0]
    vm = lab2.add_vm(server)
    call = server.daemon.call

    def refused(request):
        last = call(request, timeout=15)[-1]
        assert last["ok"] is False and last["error"]
        return last["code"]
    base = {"cmd": "vm associate", "vsi": vm.vsi, "mac": vm.mac}
    assert refused({**base, "vn": "green", "if": vm.ifname}) == "unknown_vn"
    assert refused({**base, "vn": "red", "if": "nope"}) == "no_interface"
    assert refused({"cmd": "vm resume", "vsi": vm.vsi}) == "unknown_vm"
    vm.associate("red")
    assert refused({"cmd": "vm preassociate", "vsi": vm.vsi}) == "invalid_state"
    server.ip(["link set up0 down"])
    wait_for("carrier lost", lambda: not server.daemon.rows("show uplinks")[0]["up"])
    assert refused({**base, "vn": "red", "vsi": vm.vsi[:-1] + "f"}) == "no_uplink"


def test_many_requests_at_once(lab2):
    server, n = lab2.servers[0], 500
    wait_for("LLDP", lambda: server.daemon.rows("show uplinks")[0]["berth"])
    lines = "".join(json.dumps({
        "cmd": "vm associate", "vsi": f"00000000-0000-4000-9000-{i:012x}", "vni": 5000,
        "mac": f"06:00:00:00:{i >> 8:02x}:{i & 255:02x}", "id": i}) + "\n" for i in range(n))
    answered, pending, end = set(), b"", time.monotonic() + 20
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(5)
        s.connect(server.daemon.control)
        s.sendall(lines.encode())
        while len(answered) < n and time.monotonic() < end:
            *full, pending = (pending + s.recv(1 << 20)).split(b"\n")
            for line in map(json.loads, full):
                if "ok" in line:
                    assert line["ok"], line
                    answered.add(line["id"])
    assert len(answered) == n
    assert len(server.daemon.rows("show vms")) == n
