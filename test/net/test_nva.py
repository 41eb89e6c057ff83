# SPDX-License-Identifier: Apache-2.0
"""The authority as a daemon of its own: what it keeps over a restart, and what it refuses.

    core ── nva: berth-nva
"""
import contextlib
import socket
import struct
import subprocess

import pytest

from lab import Daemon, LabError, NVA_ADDRESS, LISP_PORT, SESSION_PORT, program, wait_for


@pytest.fixture
def nva(make_lab):
    lab = make_lab(tors=0)
    return lab.nva.start().node


def vns(nva):
    return {r["name"]: r for r in nva.daemon.rows("vn list")}


def refused(nva, cmd, **arguments):
    *_, last = nva.daemon.call({"cmd": cmd, **arguments})
    assert last["ok"] is False
    return last["error"]


def test_networks_survive_a_kill(nva):
    nva.vn_add(5000, "red", mtu=9000, arp="flood", reply="distributed", pull=True)
    nva.vn_add(5001, "blue")
    nva.vn_add(5002, "gone")
    nva.daemon.rows("vn del", name="gone")
    before = vns(nva)
    assert set(before) == {"red", "blue"}
    assert before["red"]["mtu"] == 9000 and before["red"]["pull"] is True
    nva.daemon.kill()
    nva.start()
    assert vns(nva) == before
    nva.daemon.stop()
    assert nva.daemon.process.returncode == 0
    nva.start()
    assert vns(nva) == before


def test_killed_at_any_moment_keeps_what_it_acknowledged(nva):
    acknowledged = []
    for round_ in range(3):
        for i in range(20):
            vni = 6000 + round_ * 100 + i
            nva.vn_add(vni, f"vn{vni}")
            acknowledged.append(f"vn{vni}")
        nva.daemon.kill()
        nva.start()
        assert set(acknowledged) <= set(vns(nva))


def test_refusals_say_what_to_do(nva):
    nva.vn_add(5000, "red")
    assert "is the VN red already" in refused(nva, "vn add", vni=5000, name="other")
    assert "belongs to VNI 5000 already" in refused(nva, "vn add", vni=5001, name="red")
    assert "from 1 to 16777215" in refused(nva, "vn add", vni=1 << 24, name="x")
    assert "mtu is a whole number" in refused(nva, "vn add", vni=7, name="x", mtu=100)
    assert "there is no VN nobody" in refused(nva, "vn del", name="nobody")


def map_request(vni, address):
    """A bare Map-Request of RFC 9301 for <VNI, address>, as a router would send it."""
    eid = struct.pack("!BBH", 0, 32, 16387) + struct.pack("!BBBBH", 0, 0, 2, 0x20, 10)
    eid += struct.pack("!IH", vni, 1) + socket.inet_aton(address)
    itr = struct.pack("!H", 1) + socket.inet_aton("127.0.0.1")
    return struct.pack("!BBBBQH", 0x10, 0, 0, 1, 0x0102030405060708, 0) + itr + eid


def ask(nva, vni, address):
    """The Map-Reply's octets, asked from inside the authority's namespace; b'' = silence."""
    code = ("import socket,sys; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);"
            "s.bind(('127.0.0.1',0)); s.settimeout(2);"
            f"s.sendto(bytes.fromhex(sys.argv[1]),('{NVA_ADDRESS}',{LISP_PORT}));\n"
            "try: print(s.recv(2000).hex())\n"
            "except TimeoutError: pass")
    out = nva.run(["python3", "-c", code, map_request(vni, address).hex()]).stdout
    return bytes.fromhex(out.strip())


def test_questions_by_udp(nva):
    nva.vn_add(5000, "red")
    reply = ask(nva, 5000, "10.0.0.1")
    assert reply[0] >> 4 == 2 and reply[4:12] == bytes(range(1, 9))
    ttl, locators, _, action = struct.unpack("!IBBH", reply[12:20])
    assert (ttl, locators, action >> 13) == (1, 0, 3)
    assert struct.unpack("!IBBH", ask(nva, 4711, "10.0.0.1")[12:20])[3] >> 13 == 4
    counters = nva.daemon.counters()
    assert counters["questions"] == 2 and counters["negative"] == 2


def test_octets_that_are_no_session(nva):
    code = ("import os,socket\n"
            "for i in range(50):\n"
            f"    s=socket.create_connection(('{NVA_ADDRESS}',{SESSION_PORT}),timeout=2)\n"
            "    s.sendall(os.urandom(300) if i%2 else b'\\xfb\\x01\\x00\\x80'+os.urandom(300))\n"
            "    s.close()\n"
            "u=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
            f"[u.sendto(bytes([i%256])+os.urandom(i%500),('{NVA_ADDRESS}',{LISP_PORT})) for i in range(2000)]\n")
    nva.run(["python3", "-c", code])
    wait_for("all streams closed", lambda: not nva.daemon.rows("show sessions"))
    assert nva.daemon.process.poll() is None


def test_privileges_are_gone(nva):
    with open(f"/proc/{nva.daemon.process.pid}/status", encoding="ascii") as f:
        status = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
    assert int(status["CapEff"], 16) == 0 and int(status["CapBnd"], 16) == 0
    assert status["Seccomp"].strip() == "2" and status["NoNewPrivs"].strip() == "1"


def test_bad_configuration_is_refused_by_line(nva, tmp_path):
    conf = tmp_path / "nva.conf"
    for text, why in (("prot = 1\nkey \"*\" { secret = \"abcdefgh\" }\n", "port"),
                      ("key \"*\" { secret = \"short\" }\n", "secret"),
                      ("log = \"loud\"\nkey \"*\" { secret = \"abcdefgh\" }\n", "loud"),
                      ("name = \"a\"\n", "key")):
        conf.write_text(text)
        done = subprocess.run([program("berth-nva"), "--check-config", "--config", str(conf)],
                              capture_output=True, text=True, timeout=10, check=False)
        assert done.returncode == 2
        assert str(conf) in done.stderr and why in done.stderr
    example = subprocess.run([program("berth-nva"), "--print-example-config"],
                             capture_output=True, text=True, timeout=10, check=True).stdout
    conf.write_text(example)
    subprocess.run([program("berth-nva"), "-C", "-c", str(conf)], check=True, timeout=10,
                   capture_output=True)


def test_a_second_daemon_does_not_take_the_database(nva):
    other = Daemon(nva, "berth-nva", nva.conf())
    other.process = nva.popen([program("berth-nva"), "--config", other.conf_path],
                              stderr=subprocess.PIPE)
    _, err = other.process.communicate(timeout=10)
    assert other.process.returncode == 1
    assert "another process has it open" in err
    assert nva.daemon.rows("ping")


def test_killed_while_machines_attach(lab2):
    """Edges come back by themselves and register again; no epoch is given twice."""
    vms = [lab2.add_vm(lab2.servers[i % 2]) for i in range(8)]
    seen = {}

    def mappings():
        with contextlib.suppress(OSError, LabError):
            return lab2.nva.daemon.rows("show mappings")
        return []

    def note():
        for row in mappings():
            seen.setdefault(row["epoch"], set()).add((row["vni"], row["mac"]))

    for i, vm in enumerate(vms):
        if i in (2, 5):
            note()
            lab2.nva.daemon.kill()
        if i in (4, 6):
            lab2.nva.start()
        vm.associate("red")             # answered all the same (K17)
    wait_for("all registered", lambda: len(mappings()) == len(vms), 40)
    note()
    rows = mappings()
    assert {r["mac"] for r in rows} == {vm.mac for vm in vms}
    assert len({r["epoch"] for r in rows}) == len(vms)
    assert all(len(keys) == 1 for keys in seen.values())
    assert set(vns(lab2.nva)) == {"red", "blue"}
    wait_for("every edge knows all", lambda: all(
        len(t.daemon.rows("show mappings")) == len(vms) for t in lab2.tors), 20)
    sent, got = vms[0].ping(vms[7].ip4, count=5)
    assert got == sent
