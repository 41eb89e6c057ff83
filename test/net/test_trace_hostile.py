# SPDX-License-Identifier: Apache-2.0
"""berth trace, given what nobody should give it: files of anything, daemons that hang, names
that a terminal or a picture would obey. No namespaces, no privileges.
"""
import json
import os
import socket
import subprocess
import threading
import time
import xml.dom.minidom

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BERTH_BUILD") or os.environ.get("BUILD") or os.path.join(ROOT, "build")
BERTH = os.path.join(BUILD, "src", "cli", "berth")
UUID = "11111111-2222-4333-8444-555555555555"


def trace(*args, seconds=30, **more):
    return subprocess.run([BERTH, "trace", "vm", UUID, *args], capture_output=True, text=True,
                          timeout=seconds, check=False, **more)


def row(at=1.0, name="tor1", event="local", program="berth-nve", **more):
    return {"at_s": at, "event": event, "program": program, "name": name, "vsi": UUID,
            "vni": 5000, "mac": "52:54:00:00:00:01", **more}


@pytest.fixture
def given(tmp_path):
    def write(rows, name="rows.json"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
        return str(path)
    return write


class Silent:
    """Takes connections, and says what it was told to; then nothing more."""

    def __init__(self, path, lines=(), backlog=8, serves=True):
        self.path, self.lines = path, lines
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(backlog)
        self.open = []
        if serves:
            threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(client)
            client.recv(65536)
            client.sendall("".join(x + "\n" for x in self.lines).encode())


EVIL = "\x1b[2J\x07</text><script>alert(1)</script>&\u009b\ufffe\uffff" + "\U0001f600" * 200


def test_what_a_terminal_or_a_picture_would_obey(given, tmp_path):
    path = given([row(event=EVIL, word=EVIL, peer=EVIL, op=EVIL, code=EVIL, self=EVIL),
                  row(2.0, EVIL), row(3.0, "é" * 300, word="é" * 300)])
    done = trace("--all", "--from", path)
    assert done.returncode == 0, done.stderr
    for bad in ("\x1b", "\x07", "\u009b"):
        assert bad not in done.stdout
    assert "\\x1b[2J" in done.stdout
    svg = str(tmp_path / "x.svg")
    assert trace("--all", "--from", path, "-o", svg).returncode == 0
    picture = xml.dom.minidom.parse(svg)
    assert len(picture.getElementsByTagName("circle")) == 3
    assert not picture.getElementsByTagName("script")
    rows = subprocess.run([BERTH, "-j", "trace", "vm", UUID, "--all", "--from", path],
                          capture_output=True, timeout=30, check=True).stdout
    assert b"\x1b" not in rows and len(rows.splitlines()) == 3


def test_more_daemons_than_a_hand_has_fingers(given, tmp_path):
    """Each in a column of its own; and a program that is none of ours in none."""
    path = given([row(i / 1000, f"tor{i}") for i in range(300)] + [row(9.0, program="evil")])
    done = trace("--all", "--from", path)
    assert done.returncode == 0 and "nve tor299" in done.stdout and "evil" not in done.stdout
    svg = str(tmp_path / "x.svg")
    assert trace("--all", "--from", path, "-o", svg).returncode == 0
    assert len(xml.dom.minidom.parse(svg).getElementsByTagName("circle")) == 300


def test_many_rows_take_bounded_time(given, tmp_path):
    path = given([row(i / 1e4, f"tor{i % 20}", event="answer", op="associate", code="ok")
                  for i in range(20000)])
    start = time.monotonic()
    assert trace("--all", "--from", path, "-o", str(tmp_path / "x.svg")).returncode == 0
    assert time.monotonic() - start < 15
    path = given([row(i / 1e4) for i in range(100100)])
    done = trace("--all", "--from", path)
    assert done.returncode == 1 and "too much" in done.stderr


@pytest.mark.parametrize("content,why", [
    (b"\0" * 1000, "no row of a trace"),
    (b"x" * 70000, "too much"),
    (b"{}\n[]\n{\"at_s\":1}\nnull\n\xff\xfe\n", "no row of a trace"),
], ids=["zeros", "long", "json"])
def test_a_file_of_something_else(tmp_path, content, why):
    path = tmp_path / "it"
    path.write_bytes(content)
    done = trace("--from", str(path))
    assert done.returncode == 1 and str(path) in done.stderr and why in done.stderr
    assert "berth -j trace vm" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("path,why", [("/dev/zero", "too much"), ("/", "Is a directory"),
                                      ("/nonexistent", "No such file")])
def test_no_file_at_all(path, why):
    def limit():
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))
    done = trace("--from", path, preexec_fn=limit)
    assert done.returncode == 1 and path in done.stderr and why in done.stderr


def test_a_line_that_is_no_row_is_left_out_and_said(given, tmp_path):
    path = given([row(), row(2.0)])
    with open(path, "a", encoding="utf-8") as f:
        f.write("berth: 3 more are zero\n")
    done = trace("--all", "--from", path)
    assert done.returncode == 0 and done.stdout.count("local") == 2
    assert "1 lines that are no rows, the first is line 3" in done.stderr


def test_another_vm_is_left_out(given):
    path = given([row(), row(2.0, event="hold", vsi="99999999-2222-4333-8444-555555555555")])
    done = trace("--all", "--from", path)
    assert done.returncode == 0 and "local" in done.stdout and "hold" not in done.stdout


def test_a_pipe_is_read_once(given, tmp_path):
    daemon = Silent(str(tmp_path / "s"), [json.dumps(row(5.0, "tor2")), '{"ok":true}'])
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)

    def fill():
        with open(pipe, "w", encoding="utf-8") as f:
            f.write(json.dumps(row()) + "\n")
    threading.Thread(target=fill, daemon=True).start()
    done = trace("--all", "--from", pipe, "--at", daemon.path, seconds=10)
    assert done.returncode == 0 and "nve tor1" in done.stdout and "nve tor2" in done.stdout


def test_a_daemon_that_hangs_hides_no_other(tmp_path):
    good = Silent(str(tmp_path / "good"), [json.dumps(row()), '{"ok":true}'])
    mute = Silent(str(tmp_path / "mute"))
    half = Silent(str(tmp_path / "half"), [json.dumps(row(2.0, "tor2"))])
    full = Silent(str(tmp_path / "full"), backlog=0, serves=False)
    waits = []
    for _ in range(3):                         # until nobody else may connect
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        if s.connect_ex(full.path):
            break
        waits.append(s)
    start = time.monotonic()
    done = trace("--all", "-t", "1", *(x for d in (mute, good, half, full) for x in ("--at", d.path)))
    assert time.monotonic() - start < 10
    assert done.returncode == 3 and "nve tor1" in done.stdout
    for d in (mute, half, full):
        assert f"{d.path}: no answer" in done.stderr, done.stderr
    assert good.path not in done.stderr


def test_a_daemon_that_never_ends(tmp_path):
    """Rows without end are cut."""
    path = str(tmp_path / "s")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(4)

    def serve():
        while True:
            client, _ = listener.accept()
            client.recv(65536)
            try:
                while True:
                    client.sendall((json.dumps(row()) + "\n").encode() * 100)
            except OSError:
                client.close()
    threading.Thread(target=serve, daemon=True).start()
    done = trace("--all", "--at", path, seconds=60)
    assert "more than 100000 events" in done.stderr and done.returncode == 0


def test_a_refusal_is_said_as_text(tmp_path):
    daemon = Silent(str(tmp_path / "s"), ['{"ok":false,"error":"no \\u001b[2J\\nok: yes"}'])
    done = trace("--at", daemon.path)
    assert done.returncode == 1 and "no \\x1b[2J\\x0aok: yes" in done.stderr
