# SPDX-License-Identifier: Apache-2.0
"""berth-hook between a libvirt and an agent that this file plays.

    stdin (XML) ── berth-hook ── unix socket ── Agent (this process)

No namespaces, no privileges, no libvirt: what is told, what stops a VM and what does not.
"""
import json
import os
import socket
import subprocess
import threading
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BERTH_BUILD") or os.environ.get("BUILD") or os.path.join(ROOT, "build")
HOOK = os.path.join(BUILD, "src", "cli", "berth-hook")
UUID = "11111111-2222-4333-8444-555555555555"
MAC = "52:54:00:00:00:11"
METADATA = ("<metadata><berth:vn xmlns:berth='urn:berth:1' name='red'>"
            f"<berth:interface mac='{MAC}'><berth:ip>10.7.0.1</berth:ip></berth:interface>"
            "</berth:vn></metadata>")
STOPS = ["migrate", "prepare", "start"]
GOES_ON = ["stopped", "release"]

pytestmark = pytest.mark.skipif(not os.path.exists(HOOK),
                                reason="built without libvirt: there is no berth-hook")


def domain(metadata=METADATA, more=""):
    return (f"<domain type='kvm'><name>vm1</name><uuid>{UUID}</uuid>{metadata}<devices>"
            f"<interface type='bridge'><mac address='{MAC}'/><target dev='vnet0'/></interface>"
            f"{more}</devices></domain>")


def port(vn="<metadata><vn xmlns='urn:berth:1' name='red' vni='5000'/></metadata>"):
    return (f"<hookData>\n<network><name>lan</name>{vn}</network>\n<networkport><owner>"
            f"<name>vm1</name><uuid>{UUID}</uuid></owner><mac address='{MAC}'/>"
            "</networkport></hookData>")


class Agent:
    """Answers every request with `answer`; None: never."""

    def __init__(self, path):
        self.path, self.answer, self.requests = path, '{"ok":true}', []
        self.over = threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(8)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client:
                text = b""
                while not text.endswith(b"\n"):
                    got = client.recv(65536)
                    if not got:
                        break
                    text += got
                self.requests.append(json.loads(text))
                if self.answer is None:
                    self.over.wait(30)
                elif callable(self.answer):
                    self.answer(client)
                else:
                    client.sendall(self.answer.encode() + b"\n")

    def close(self):
        self.over.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def agent(tmp_path):
    it = Agent(str(tmp_path / "tes.sock"))
    yield it
    it.close()


def hook(path, op, text, *options, name="vm1"):
    return subprocess.run([HOOK, "-s", path, *options, name, op, "begin", "-"], input=text,
                          capture_output=True, text=True, timeout=60, check=False)


def test_a_domain_is_told(agent):
    done = hook(agent.path, "start", domain())
    assert done.returncode == 0 and done.stdout == done.stderr == ""
    assert agent.requests == [{
        "cmd": "hook", "op": "start",
        "domain": {"uuid": UUID, "name": "vm1", "interfaces": [
            {"mac": MAC, "if": "vnet0", "vn": "red", "ips": ["10.7.0.1"]}]}}]


def test_a_port_is_told(agent):
    assert hook(agent.path, "port-created", port(), name="lan").returncode == 0
    assert agent.requests == [{
        "cmd": "hook", "op": "port-created",
        "network": {"name": "lan", "vn": "red", "vni": "5000"},
        "port": {"uuid": UUID, "name": "vm1", "mac": MAC}}]


@pytest.mark.parametrize("op,text", [(op, domain()) for op in STOPS] + [("port-created", port())])
def test_a_refusal_stops_it(agent, op, text):
    agent.answer = '{"ok":false,"error":"the edge knows no such network","code":"unknown_vn"}'
    done = hook(agent.path, op, text)
    assert done.returncode == 1
    assert "the edge knows no such network" in done.stderr and op in done.stderr


@pytest.mark.parametrize("op,text", [(op, domain()) for op in GOES_ON] + [("port-deleted", port())])
def test_what_ends_is_never_stopped(agent, op, text):
    agent.answer = '{"ok":false,"error":"no","code":"busy"}'
    assert hook(agent.path, op, text).returncode == 0
    assert hook(agent.path + ".none", op, text).returncode == 0
    assert hook(agent.path, op, "<domain").returncode == 0
    assert len(agent.requests) == 1


@pytest.mark.parametrize("op", ["reconnect", "started", "restore", "attach", "plugged", "nonsense"])
def test_other_operations_are_not_asked_about(agent, op):
    assert hook(agent.path, op, domain()).returncode == 0
    assert hook(agent.path, op, "no xml").returncode == 0
    assert agent.requests == []


def test_no_agent_stops_only_vms_of_ours(tmp_path):
    none = str(tmp_path / "none.sock")
    for op in STOPS:
        done = hook(none, op, domain())
        assert done.returncode == 1 and "none.sock" in done.stderr
        assert hook(none, op, domain(metadata="")).returncode == 0
    assert hook(none, "port-created", port()).returncode == 1
    assert hook(none, "port-created", port(vn="")).returncode == 0


def test_an_agent_that_does_not_answer(agent):
    agent.answer = None
    start = time.monotonic()
    done = hook(agent.path, "prepare", domain(), "-t", "1")
    assert done.returncode == 1 and "no answer" in done.stderr
    assert 0.9 < time.monotonic() - start < 10


@pytest.mark.parametrize("text", ["", "<domain>", "\0\1\2", "<html/>", "<domain/>"])
def test_what_is_no_description_stops_it(agent, text):
    done = hook(agent.path, "start", text)
    assert done.returncode == 1 and done.stderr.startswith("berth: vm1 start: ")
    assert agent.requests == []


def test_a_huge_description_is_bounded(agent):
    more = f"<hostdev>{'x' * 200}</hostdev>" * 10000
    assert hook(agent.path, "start", domain(more=more)).returncode == 0
    assert len(json.dumps(agent.requests[0])) < 1000
    done = hook(agent.path, "start", domain(more=more * 20))
    assert done.returncode == 1 and "longer than" in done.stderr
    assert len(agent.requests) == 1


def bomb(of, deep):
    """Entities that become 30 * 10**deep octets where they are used, and one that is a file."""
    names = "".join(f"<!ENTITY e{i} '{f'&e{i - 1};' * 10}'>" for i in range(1, deep + 1))
    text = (f"<!DOCTYPE domain [<!ENTITY e0 '{'x' * 30}'>{names}"
            "<!ENTITY file SYSTEM 'file:///etc/hostname'>]>" + domain())
    return text.replace(UUID if of == "uuid" else "vm1", f"&e{deep};&file;")


@pytest.mark.parametrize("of", ["uuid", "name"])
@pytest.mark.parametrize("deep,why", [(0, "document type"), (8, "the description")])
def test_entities_are_not_expanded(agent, of, deep, why):
    start = time.monotonic()
    done = hook(agent.path, "start", bomb(of, deep))
    assert done.returncode == 1 and time.monotonic() - start < 5
    assert agent.requests == [] and why in done.stderr


@pytest.mark.parametrize("name", ["a\nberth: ok", "\x1b[2J", "'; reboot #$(reboot)`reboot`", "ü" * 50,
                                  "x" * 100000], ids=["lines", "terminal", "shell", "utf8", "long"])
def test_names_of_tenants(agent, name):
    """libvirt takes nearly any name: it is said as one line, bounded and visible, and run nowhere."""
    agent.answer = '{"ok":false,"error":"no \\u001b[2J\\n\\u009b of ' + "y" * 3000 + '","code":"busy"}'
    done = hook(agent.path, "start", domain().replace("vm1", "a&#10;b"), name=name)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("berth: ")
    assert done.stderr.isascii() and done.stderr[:-1].isprintable() and len(done.stderr) < 600
    assert agent.requests[0]["domain"]["name"] == "a\nb"


def raw(path, op, data, *options, seconds=30):
    return subprocess.run([HOOK, "-s", path, *options, "vm1", op, "begin", "-"], input=data,
                          capture_output=True, timeout=seconds, check=False)


def test_octets_that_are_no_text(agent):
    assert raw(agent.path, "start", domain().replace("red", "r\udcff").encode(
        "utf-8", "surrogateescape")).returncode == 1
    assert agent.requests == []


def test_arguments_of_any_octets(agent):
    done = subprocess.run([HOOK, "-s", agent.path, b"\xff\xfe\n", "prepare"], input=b"<x",
                          capture_output=True, timeout=30, check=False)
    assert done.returncode == 1 and done.stderr.startswith(b"berth: \\xff\\xfe\\x0a prepare: ")


@pytest.mark.parametrize("op", ["start", "release", "reconnect"])
def test_a_description_that_does_not_end(agent, op):
    """libvirtd is blocked meanwhile: what would stop is stopped, what ends goes on."""
    start = time.monotonic()
    with subprocess.Popen([HOOK, "-s", agent.path, "-t", "1", "vm1", op], stdin=subprocess.PIPE,
                          stderr=subprocess.PIPE) as it:
        it.stdin.write(b"<domain>")
        it.stdin.flush()
        assert it.wait(20) == (1 if op == "start" else 0)
        assert b"given up" in it.stderr.read()
    assert time.monotonic() - start < 10


def test_an_agent_that_says_a_little_now_and_then(agent):
    def drip(client):
        try:
            while not agent.over.wait(0.2):
                client.sendall(b"{}\n")
        except OSError:
            pass
    agent.answer = drip
    start = time.monotonic()
    assert hook(agent.path, "start", domain(), "-t", "1").returncode == 1
    assert hook(agent.path, "start", domain(metadata=""), "-t", "1").returncode == 0
    assert time.monotonic() - start < 15


def test_an_agent_that_is_stopped(tmp_path):
    """Its kernel takes a few that wait, and lets the others hang."""
    path, waits = str(tmp_path / "s"), []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(0)
    for _ in range(3):
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        if s.connect_ex(path):
            break
        waits.append(s)
    start = time.monotonic()
    done = hook(path, "start", domain(), "-t", "1")
    assert done.returncode == 1 and "no answer" in done.stderr
    assert hook(path, "start", domain(metadata=""), "-t", "1").returncode == 0
    assert hook(path, "release", domain(), "-t", "1").returncode == 0
    assert time.monotonic() - start < 15


def test_usage():
    for args in ([], ["vm1"], ["-t", "0", "vm1", "start"], ["a", "b", "c", "d", "e"]):
        done = subprocess.run([HOOK, *args], input="", capture_output=True, text=True,
                              timeout=60, check=False)
        assert done.returncode == 64 and "Usage" in done.stderr or "--timeout" in done.stderr
