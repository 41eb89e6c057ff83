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


def test_usage():
    for args in ([], ["vm1"], ["-t", "0", "vm1", "start"], ["a", "b", "c", "d", "e"]):
        done = subprocess.run([HOOK, *args], input="", capture_output=True, text=True,
                              timeout=60, check=False)
        assert done.returncode == 64 and "Usage" in done.stderr or "--timeout" in done.stderr
