# SPDX-License-Identifier: Apache-2.0
"""The berth command against a daemon of its own that answers what the test tells it.

    berth ── unix socket ── Fake (this process): notes the request, plays the answer

No namespaces, no privileges: what is tested is the request, the table, the words.
"""
import contextlib
import glob
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BERTH_BUILD") or os.environ.get("BUILD") or os.path.join(ROOT, "build")
BERTH = os.path.join(BUILD, "src", "cli", "berth")
UUID = "6b2f3a52-1c84-4e4b-9d5e-0a4f7c1e2d33"
OK = '{"ok":true}'


class Fake:
    """Listens until the test ends; `lines` may be a generator: a long or slow answer."""

    def __init__(self, path):
        self.path, self.lines, self.requests, self.release = path, [OK], [], threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(4)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                text = b""
                while not text.endswith(b"\n"):
                    got = client.recv(65536)
                    if not got:
                        break
                    text += got
                self.requests.append(text.decode().rstrip("\n"))
                piece = []
                for line in self.lines:
                    piece.append(line)
                    if len(piece) == 500:
                        client.sendall(("\n".join(piece) + "\n").encode())
                        piece = []
                if piece:
                    client.sendall(("\n".join(piece) + "\n").encode())

    def close(self):
        self.release.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)


@pytest.fixture
def fake(tmp_path):
    daemon = Fake(str(tmp_path / "fake.sock"))
    yield daemon
    daemon.close()


def berth(*args, **env):
    plain = {k: v for k, v in os.environ.items() if k not in ("BERTH_SOCKET", "NO_COLOR")}
    return subprocess.run([BERTH, *args], text=True, capture_output=True, timeout=60,
                          env=dict(plain, **env), stdin=subprocess.DEVNULL)


def asked(fake, *args):
    """The request that these words make."""
    done = berth("-s", fake.path, *args)
    assert done.returncode == 0, done.stderr
    return fake.requests[-1]


VM = ["--vn", "red", "--mac", "02:00:00:00:00:0A", "--ip", "10.0.0.1", "--ip", "FD00::1",
      "--if", "vnet0", "--uplink", "eth1", "--vid", "100", "--pcp", "3"]
VM_JSON = ('"vsi":"%s","vn":"red","mac":"02:00:00:00:00:0a","ips":["10.0.0.1","fd00::1"],'
           '"if":"vnet0","uplink":"eth1","vid":100,"pcp":3' % UUID)


@pytest.mark.parametrize("words,request_line", [
    ("vn add 5000 red --arp suppress --mtu 1450 --reply distributed --pull",
     '{"cmd":"vn add","vni":5000,"name":"red","arp":"suppress","mtu":1450,'
     '"reply":"distributed","pull":true}'),
    ("vn add red 5000", '{"cmd":"vn add","vni":5000,"name":"red"}'),
    ("vn add --name=77 vni=5000", '{"cmd":"vn add","vni":5000,"name":"77"}'),
    ("vn list", '{"cmd":"vn list"}'),
    ("vn del 5000", '{"cmd":"vn del","vni":5000}'),
    ("mapping clear 5000 52:54:00:00:00:0A",
     '{"cmd":"mapping clear","vni":5000,"mac":"52:54:00:00:00:0a"}'),
    ("vn del red", '{"cmd":"vn del","name":"red"}'),
    ("show attachments", '{"cmd":"show attachments"}'),
    (f"show attachments --port swp1 vni=5000 --mac=02:00:00:00:00:0A --vsi {UUID.upper()} "
     "--state ASSOC",
     '{"cmd":"show attachments","port":"swp1","vni":5000,"mac":"02:00:00:00:00:0a",'
     f'"vsi":"{UUID}","state":"ASSOC"}}'),
    ("show tags --port swp1 --vni 5 --vid 7 --state USED",
     '{"cmd":"show tags","port":"swp1","vni":5,"vid":7,"state":"USED"}'),
    ("show mappings vni=5 mac=02:00:00:00:00:0a ip=10.0.0.1 owner=192.0.2.1",
     '{"cmd":"show mappings","vni":5,"mac":"02:00:00:00:00:0a","ip":"10.0.0.1",'
     '"owner":"192.0.2.1"}'),
    ("show mappings --ip FD00:0::1 --daemon nva", '{"cmd":"show mappings","ip":"fd00::1"}'),
    ("show vns", '{"cmd":"show vns"}'),
    ("show ports", '{"cmd":"show ports"}'),
    ("show counters --all --daemon tes", '{"cmd":"show counters"}'),
    ("show sessions --daemon nva", '{"cmd":"show sessions"}'),
    ("show timers", '{"cmd":"show timers"}'),
    ("show talkers --vni 5000", '{"cmd":"show talkers","vni":5000}'),
    ("show holds", '{"cmd":"show holds"}'),
    ("show reservations --vni 5000", '{"cmd":"show reservations","vni":5000}'),
    ("show reservations --mac 52:54:00:00:00:01 --owner 10.0.0.1 --target 10.0.0.2",
     '{"cmd":"show reservations","mac":"52:54:00:00:00:01","owner":"10.0.0.1",'
     '"target":"10.0.0.2"}'),
    ("show vms", '{"cmd":"show vms"}'),
    ("vm list", '{"cmd":"show vms"}'),
    ("show uplinks", '{"cmd":"show uplinks"}'),
    (["vm", "preassociate", UUID, *VM], '{"cmd":"vm preassociate",%s}' % VM_JSON),
    (["vm", "associate", UUID, *VM, "--epoch", "18446744073709551615", "--migration", "0x10",
      "--format", "4", "--type", "5", "--type-version", "2", "--confirm"],
     '{"cmd":"vm associate",%s,"format":4,"type":5,"type_version":2,"confirm":true,'
     '"epoch":"18446744073709551615","migration":"16"}' % VM_JSON),
    (f"vm suspend {UUID}", '{"cmd":"vm suspend","vsi":"%s"}' % UUID),
    (f"vm resume --vsi {UUID}", '{"cmd":"vm resume","vsi":"%s"}' % UUID),
    (f"vm emigrate {UUID} --phase commit --target 192.0.2.2 --epoch 9 --migration 7",
     '{"cmd":"vm emigrate","vsi":"%s","phase":"commit","target":"192.0.2.2","epoch":"9",'
     '"migration":"7"}' % UUID),
    (["vm", "immigrate", UUID, *VM, "--phase", "pre", "--source", "192.0.2.1"],
     '{"cmd":"vm immigrate",%s,"phase":"pre","source":"192.0.2.1"}' % VM_JSON),
    (f"vm terminate {UUID}", '{"cmd":"vm terminate","vsi":"%s"}' % UUID),
    ("vm follow --if vnet0 --mac 02:00:00:00:00:0a",
     '{"cmd":"vm follow","if":"vnet0","mac":"02:00:00:00:00:0a"}'),
    ("log vdp debug", '{"cmd":"log","module":"vdp","level":"debug"}'),
    ("log * notice --daemon nva", '{"cmd":"log","module":"*","level":"notice"}'),
    ("ping", '{"cmd":"ping"}'),
])
def test_request(fake, words, request_line):
    assert asked(fake, *(words.split() if isinstance(words, str) else words)) == request_line


def commands():
    """(noun verb) of every command that the overview names."""
    text = berth("help").stdout
    return re.findall(r"^  ([a-z]+(?: [a-z]+)?)  +\S", text, re.M)


def test_every_command_has_a_request_test():
    rows = next(m for m in test_request.pytestmark if m.name == "parametrize").args[1]
    tested = {" ".join(w.split()[:2] if isinstance(w, str) else w[:2]) for w, _ in rows}
    for name in commands():
        if name not in ("help", "completion", "trace vm"):   # of its own: test_trace
            assert any(t.startswith(name) for t in tested), name


ATTACHMENTS = [
    {"port": "swp10", "vsi": UUID, "state": "ASSOC", "vn": "red", "vni": 5000,
     "mac": "02:00:00:00:00:0a", "ips": ["10.0.0.1", "fd00::1"], "vid": 100, "pcp": 0,
     "epoch": "3", "wildcard": False, "unpublished": False, "waiting": 0, "age_s": 3725.0,
     "idle_left_s": 12.345},
    {"port": "swp2", "vsi": "local:01", "state": "PREASSOC", "vn": None, "vni": 5001,
     "mac": None, "ips": [], "vid": 7, "pcp": 5, "epoch": "0", "wildcard": True,
     "unpublished": False, "waiting": 20, "age_s": 0.0004, "idle_left_s": 0.25},
]
ATTACHMENTS_TEXT = """\
PORT   VSI                                   STATE     VN    VNI  MAC                IPS               VID  PCP  EPOCH  WILDCARD  WAITING           AGE  IDLE-LEFT
swp2   local:01                              PREASSOC  -    5001  -                  -                   7    5      0  yes       datapath,publish  400us      250ms
swp10  6b2f3a52-1c84-4e4b-9d5e-0a4f7c1e2d33  ASSOC     red  5000  02:00:00:00:00:0a  10.0.0.1,fd00::1  100    0      3  no        -                 1h02m      12.3s
"""


def play(fake, rows, last=OK):
    fake.lines = [json.dumps(r, separators=(",", ":")) for r in rows] + [last]


def test_table(fake):
    play(fake, ATTACHMENTS)
    done = berth("-s", fake.path, "show", "attachments")
    want = [re.sub("  +", "  ", x) for x in ATTACHMENTS_TEXT.splitlines()]
    assert [re.sub("  +", "  ", x) for x in done.stdout.splitlines()] == want
    lines = done.stdout.splitlines()
    assert len({x.index(w) for x, w in zip(lines[1:], ("PREASSOC", "ASSOC"))}
               | {lines[0].index("STATE")}) == 1
    assert all(x == x.rstrip() for x in lines)
    ends = [m.end() for m in (re.search(r"\bVNI", lines[0]), re.search("5001", lines[1]),
                              re.search("5000", lines[2]))]
    assert len(set(ends)) == 1          # numbers stand at the right
    assert done.stderr == ""


def test_json_lines_are_the_daemons(fake):
    fake.lines = ['{"b":1,  "a":[]}', '{"x":"\\u00e4"}', OK]
    done = berth("-j", "-s", fake.path, "show", "tags")
    assert done.stdout == '{"b":1,  "a":[]}\n{"x":"\\u00e4"}\n'
    assert berth("show", "tags", "-js", fake.path).stdout == done.stdout


def test_counters(fake):
    play(fake, [{"group": "vdp", "name": "zero", "value": 0},
                {"group": "vdp", "name": "rx", "value": 12, "help": "PDUs received"},
                {"group": "edge", "name": "associates", "value": 3}])
    done = berth("-s", fake.path, "show", "counters")
    assert done.stdout == ("GROUP  NAME        VALUE  MEANING\n"
                           "edge   associates      3  -\n"
                           "vdp    rx             12  PDUs received\n")
    assert done.stderr == "berth: 1 more are zero; --all shows them\n"
    done = berth("-s", fake.path, "show", "counters", "--all")
    assert done.stdout.splitlines()[-1].split() == ["vdp", "zero", "0", "-"]
    assert done.stderr == ""


def test_timers_show_times_and_counts(fake):
    play(fake, [{"name": "t_flap", "value_s": 3.0, "default_s": 3.0, "min_s": 0.001,
                 "max_s": 86400.0, "clause": "K9", "help": "carrier"},
                {"name": "bum_pps", "value": 1000, "default": 1000, "min": 1,
                 "max": 10000000, "clause": "d", "help": "frames"}])
    rows = berth("-s", fake.path, "show", "timers").stdout.splitlines()
    assert rows[1].split() == ["t_flap", "3s", "3s", "1ms", "1d", "K9", "carrier"]
    assert rows[2].split() == ["bum_pps", "1000", "1000", "1", "10000000", "d", "frames"]


def test_columns_follow_the_daemon(fake):
    """The authority's sessions have other keys than an edge's."""
    play(fake, [{"nve": "tor1", "address": "192.0.2.1", "state": "up", "since_s": 90.0,
                 "mappings": 2, "subscriptions": 1, "behind": 0}])
    done = berth("-s", fake.path, "show", "sessions", "--daemon", "nva")
    assert done.stdout == (
        "NVE   ADDRESS    STATE  SINCE  MAPPINGS  SUBSCRIPTIONS  BEHIND\n"
        "tor1  192.0.2.1  up     1m30s         2              1       0\n")


def test_a_vms_answer_is_a_row(fake):
    play(fake, [{"vsi": UUID, "vid": 2, "pcp": 0, "vni": 5000, "mtu": 1450, "epoch": "1",
                 "state": "associated", "answer_s": 0.000912}])
    done = berth("-s", fake.path, "vm", "associate", UUID)
    assert done.stdout.splitlines()[0].split() == [
        "VSI", "VNI", "VID", "PCP", "MTU", "STATE", "EPOCH", "ANSWER"]
    assert done.stdout.splitlines()[1].split()[-1] == "912us"


def test_nothing_to_show(fake):
    assert berth("-s", fake.path, "show", "tags").stderr == "berth: no tags\n"
    assert berth("-s", fake.path, "vn", "list").stderr == "berth: no virtual networks\n"
    done = berth("-s", fake.path, "show", "tags", "--vid", "7")
    assert (done.stderr, done.stdout, done.returncode) == ("berth: no tags match\n", "", 0)
    assert berth("-j", "-s", fake.path, "show", "tags").stderr == ""
    assert berth("-s", fake.path, "vn", "del", "5000").stderr == ""


def test_what_a_terminal_obeys_is_not_printed(fake):
    play(fake, [{"vni": 5, "name": "a\033[2Jb\n\u009bc\u00e4" + "x" * 3000}])
    text = berth("-s", fake.path, "show", "vns").stdout
    assert "a\\x1b[2Jb\\x0a\\xc2\\x9bc\u00e4xxx" in text and "\033" not in text
    assert "..." in text and max(map(len, text.splitlines())) < 600
    play(fake, [{"vni": 5, "mac": "m", "ips": ["\u00e4" * 3000] * 300}])
    assert berth("-s", fake.path, "show", "mappings").returncode == 0


def peak_kb(fake, rows):
    def answer():
        row = dict(ATTACHMENTS[0], wildcard=True)
        for i in range(rows):
            row["port"] = f"swp{rows - i}"
            yield json.dumps(row)
        yield OK
    fake.lines = answer()
    read, write = os.pipe()
    child = subprocess.Popen([BERTH, "-s", fake.path, "show", "attachments"], stdout=write)
    os.close(write)
    n = 0
    with open(read, "rb") as f:
        for n, _ in enumerate(f):
            pass
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = status
    assert status == 0
    return n, usage.ru_maxrss


def test_a_huge_listing_takes_bounded_memory(fake):
    small, base = peak_kb(fake, 2000)
    assert small == 2000                # and the header
    many, peak = peak_kb(fake, 100000)
    assert many == 100000
    assert peak < base + 2048, f"{base} kB for 2,000 rows, {peak} kB for 100,000"


def test_a_huge_listing_shows_every_column(fake):
    """A row that comes late may say what none of the first ones said."""
    row = {"port": "swp1", "vid": 1, "vni": 5, "vn": "red", "state": "USED", "refs": 1,
           "hold_left_s": 0.0}
    play(fake, [row] * 1500 + [dict(row, hold_left_s=9.5, vn="a-long-name")])
    lines = berth("-s", fake.path, "show", "tags").stdout.splitlines()
    assert lines[0].endswith("HOLD-LEFT") and lines[-1].endswith("9.5s")
    assert lines[-1].split()[3] == "a-long-name"


def test_refused(fake):
    fake.lines = ['{"ok":false,"error":"vni 5000 is there already: see `berth vn list`"}']
    done = berth("-s", fake.path, "vn", "add", "5000", "red")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "berth: vni 5000 is there already: see `berth vn list`\n"


@pytest.mark.parametrize("words,program,path", [
    ("vn list", "berth-nva", "/run/berth/nva.sock"),
    ("show talkers", "berth-nva", "/run/berth/nva.sock"),
    ("vm list", "berth-tes", "/run/berth/tes.sock"),
    ("show uplinks", "berth-tes", "/run/berth/tes.sock"),
    ("show attachments", "berth-nve", "/run/berth/nve.sock"),
    ("show counters", "berth-nve", "/run/berth/nve.sock"),
    ("show counters --daemon tes", "berth-tes", "/run/berth/tes.sock"),
    ("ping --daemon nva", "berth-nva", "/run/berth/nva.sock"),
])
def test_nobody_there(words, program, path):
    if os.path.exists(path):
        pytest.skip(f"a daemon of this host has {path}")
    done = berth(*words.split())
    assert done.returncode == 3 and done.stdout == ""
    assert path in done.stderr and f"systemctl start {program}" in done.stderr


def test_which_socket(fake, tmp_path):
    assert berth("ping", BERTH_SOCKET=fake.path).returncode == 0
    none = str(tmp_path / "none.sock")
    assert berth("-s", fake.path, "ping", BERTH_SOCKET=none).returncode == 0
    done = berth("vn", "list", BERTH_SOCKET=none)
    assert done.returncode == 3 and none in done.stderr
    assert len(fake.requests) == 2


def test_a_daemon_that_dies_or_babbles(fake):
    fake.lines = ['{"vni":5,"name":"red"}']
    done = berth("-s", fake.path, "show", "vns")
    assert done.returncode == 3 and "ended before its answer" in done.stderr
    fake.lines = ["HTTP/1.1 400 Bad Request", OK]
    done = berth("-s", fake.path, "show", "vns")
    assert done.returncode == 3 and "right socket" in done.stderr


def silent(fake):
    fake.release.wait(30)
    yield OK


def test_timeout(fake):
    fake.lines = silent(fake)
    done = berth("-s", fake.path, "--timeout", "1", "vn", "del", "5000")
    assert done.returncode == 3 and "look before asking again" in done.stderr


def read_until(fd, word, deadline_s):
    os.set_blocking(fd, False)
    text, end = b"", time.monotonic() + deadline_s
    while word not in text and time.monotonic() < end:
        with contextlib.suppress(BlockingIOError):
            text += os.read(fd, 4096)
        time.sleep(0.01)
    return text


def test_a_person_is_told_that_it_takes_long(fake):
    fake.lines = silent(fake)
    terminal, end = pty.openpty()
    child = subprocess.Popen([BERTH, "-s", fake.path, "ping"], stderr=end,
                             stdout=subprocess.PIPE)
    try:
        note = read_until(terminal, b"goes on)", 10)
        assert b"waiting for berth-nve at " + fake.path.encode() in note
        fake.release.set()
        assert child.wait(10) == 0
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
        os.close(terminal)
        os.close(end)


def on_terminal(fake, **env):
    terminal, end = pty.openpty()
    plain = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    subprocess.run([BERTH, "-s", fake.path, "show", "vns"], stdout=end, timeout=10,
                   env=dict(plain, **env))
    text = read_until(terminal, b"red", 5)
    os.close(terminal)
    os.close(end)
    return text


def test_bold_only_on_a_terminal_that_may(fake):
    play(fake, [{"vni": 5, "name": "red"}])
    assert on_terminal(fake).startswith(b"\033[1mVNI  NAME\033[0m")
    assert b"\033" not in on_terminal(fake, NO_COLOR="1")
    assert "\033" not in berth("-s", fake.path, "show", "vns").stdout


def test_a_closed_pipe_ends_it(fake):
    fake.lines = (json.dumps({"vni": i, "name": "x" * 100}) for i in range(10**7))
    child = subprocess.Popen([BERTH, "-s", fake.path, "show", "vns"], stdout=subprocess.PIPE,
                             preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_DFL))
    child.stdout.readline()
    child.stdout.close()
    assert child.wait(20) == -signal.SIGPIPE


def test_a_full_disk_is_no_success(fake):
    play(fake, [{"vni": 5, "name": "red"}])
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([BERTH, "-s", fake.path, "show", "vns"], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=10)
    assert done.returncode == 1 and "cannot write" in done.stderr


@pytest.mark.parametrize("words,sentence", [
    ("", "a command is missing; `berth help` lists the commands"),
    ("shwo tags", '"shwo" is not a command; did you mean "show"?'),
    ("attachments", '"attachments" is not a command; did you mean "show attachments"?'),
    ("frobnicate", '"frobnicate" is not a command; `berth help` lists the commands'),
    ("show attachmnets", '"attachmnets" is not something to show; did you mean '
                         '"attachments"?'),
    ("show attach", '"attach" is not something to show; did you mean "attachments"?'),
    ("vm migrate x", '"migrate" is not a command of vm; did you mean "emigrate"?'),
    ("vn", "vn: a word is missing; it is one of add, list, del"),
    ("vn zzzzzz", '"zzzzzz" is not a command of vn; it is one of add, list, del'),
    ("show tags --vnii 5", 'show tags: "vnii" is not an argument of it; did you mean '
                           '"--vni"?'),
    ("show tags prot=x", 'show tags: "prot" is not an argument of it; did you mean '
                         '"--port"?'),
    ("show tags --mac 02:00:00:00:00:01",
     'show tags: "mac" is not an argument of it; see `berth help show tags`'),
    ("show tags --vni", "--vni: a VNI is missing"),
    ("show tags --vni 16777216", '--vni: "16777216" is not a number from 1 to 16777215'),
    ("show tags --vni -5", '--vni: "-5" is not a number from 1 to 16777215'),
    ("show tags --vni 5 --vni 6", "--vni is given twice; give it once"),
    ("show tags now", 'show tags: "now" is one word too many; see `berth help show tags`'),
    ("show mappings --mac 1", '--mac: "1" is not a MAC; it is like 02:00:00:00:00:01'),
    ("show mappings --ip 1", '--ip: "1" is not an IP; it is like 10.0.0.1 or fd00::1'),
    ("show counters --all=1", "--all takes no value"),
    ("show counters all=1", "all takes no value; write --all"),
    ("vn add 5000 red --arp supress", '"supress" is not a value of --arp; did you mean '
                                      '"suppress"?'),
    ("vn add 5000 red --arp x", '"x" is not a value of --arp; it is one of suppress, flood'),
    ("vn add 5000", "vn add: NAME is missing (globally unique name); see `berth help vn add`"),
    ("mapping clear", "mapping clear: VNI is missing (identifier of its virtual network); see "
     "`berth help mapping clear`"),
    ("vn del", "vn del: VNI or NAME is missing; see `berth help vn del`"),
    ("vm suspend 12", '"12" is not a station interface; it is a UUID, an IP, a MAC or '
                      'local:HEX'),
    ("vm suspend", "vm suspend: UUID is missing (virtual station interface: its UUID, or an "
                   "IP, MAC or local:HEX); see `berth help vm suspend`"),
    (f"vm associate {UUID} --epoch 18446744073709551616",
     '--epoch: "18446744073709551616" is not a number of at most 64 bits, decimal or 0x...'),
    ("-x ping", "-x is not an option; see `berth help`"),
    ("--sockt x ping", 'berth: "sockt" is not an argument of it; did you mean "--socket"?'),
    ("ping -s", "-s: a SOCKET is missing"),
    ("-t soon ping", '--timeout: "soon" is not a number from 0 to 4294967295'),
    ("help shwo", '"shwo" is not a command; did you mean "show"?'),
    ("log vdp loud", '"loud" is not a value of --level; it is one of error, warning, notice, '
                     'info, debug'),
])
def test_usage_errors_say_what_to_do(words, sentence):
    done = berth(*words.split())
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == f"berth: {sentence}\n"


def test_help():
    overview = berth("help")
    assert overview.returncode == 0 and berth("--help").stdout == overview.stdout
    for name in commands():
        one = berth("help", *name.split())
        assert one.returncode == 0 and f"berth {name}" in one.stdout
        if name != "help":
            assert berth(*name.split(), "--help").stdout == one.stdout
    assert berth("--version").stdout.startswith("berth ")
    assert berth("help", "vn").stdout.count("  berth vn ") == 3


def test_completion_is_the_one_that_is_shipped():
    made = berth("completion", "bash")
    assert made.returncode == 0
    with open(os.path.join(ROOT, "dist", "completion", "berth.bash"), encoding="utf-8") as f:
        assert f.read() == made.stdout, "write dist/completion/berth.bash anew with it"


@pytest.mark.parametrize("line,want", [
    ("berth s", ["show"]),
    ("berth vn ", ["add", "list", "del"]),
    ("berth -s /x show at", ["attachments"]),
    ("berth help sh", ["show"]),
    ("berth help vm ter", ["terminate"]),
    ("berth vn add 5 red --arp ", ["suppress", "flood"]),
    ("berth vm immigrate x --phase a", ["asso"]),
    ("berth show tags --v", ["--vni", "--vid", "--version"]),
    ("berth log vdp de", ["debug"]),
    ("berth ping --da", ["--daemon"]),
    ("berth ping --daemon t", ["tes"]),
])
def test_completion_works(line, want):
    words = line.split(" ")
    script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _berth; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-uc", script, "bash",
                           os.path.join(ROOT, "dist", "completion", "berth.bash"), *words],
                          text=True, capture_output=True, timeout=10)
    assert done.stderr == "" and done.stdout.split() == want


def man(name):
    with open(os.path.join(ROOT, "doc", "man", name), encoding="utf-8") as f:
        return f.read()


def test_man_page_has_the_command_table():
    made = berth("completion", "mdoc").stdout
    part = re.search(r"BEGIN made by: berth completion mdoc\n(.*)\.\\\" END\n", man("berth.1"),
                     re.S).group(1)
    assert part == made, "replace the part of doc/man/berth.1 with `berth completion mdoc`"
    for name in commands():
        assert f".Cm {name}\n" in part


@pytest.mark.parametrize("page", sorted(
    os.path.basename(p) for p in glob.glob(os.path.join(ROOT, "doc", "man", "*.[1-8]"))))
def test_man_pages_are_clean(page):
    done = subprocess.run(["mandoc", "-Tlint", "-Wstyle", os.path.join(ROOT, "doc", "man", page)],
                          text=True, capture_output=True, timeout=10)
    # which pages this machine has installed is no matter
    said = [x for x in (done.stdout + done.stderr).splitlines()
            if "referenced manual not found" not in x]
    assert said == []


@pytest.mark.parametrize("program", ["nve"])
def test_man_page_has_every_key_of_the_configuration(program):
    path = os.path.join(BUILD, "src", program, f"berth-{program}")
    text = subprocess.run([path, "--print-example-config"], text=True, capture_output=True,
                          check=True, timeout=10).stdout
    keys = set(re.findall(r"^[# \t]*([a-z][a-z0-9_]*) = ", text, re.M))
    page = man(f"berth-{program}.conf.5")
    assert len(keys) > 20
    missing = sorted(k for k in keys if not re.search(rf"^\.It Cm {k}\b", page, re.M))
    assert missing == []


@pytest.mark.parametrize("word", ["nve", "tes", "nva"])
def test_the_daemons_listen_where_berth_looks(word):
    path = os.path.join(BUILD, "src", word, f"berth-{word}")
    text = subprocess.run([path, "--print-example-config"], text=True, capture_output=True,
                          check=True, timeout=10).stdout
    assert re.search(rf'^#?control = "/run/berth/{word}\.sock"', text, re.M)


@pytest.mark.parametrize("word", ["nve", "tes", "nva"])
def test_the_daemons_take_the_same_options(word, tmp_path):
    path = os.path.join(BUILD, "src", word, f"berth-{word}")

    def run(*args):
        return subprocess.run([path, *args], text=True, capture_output=True, timeout=10)

    assert run("-V").stdout == run("--version").stdout != ""
    example = run("--print-example-config").stdout
    assert example == run("-P").stdout
    conf, again = tmp_path / "conf", tmp_path / "again"
    conf.write_text(example)             # as printed, it is a good configuration
    values = run("-C", "-c", conf)
    assert (values.returncode, values.stderr) == (0, "")
    assert "change-me" not in values.stdout
    again.write_text(values.stdout)
    assert run("--check-config", "--config", again).stdout == values.stdout
    loud = run("-C", "-c", conf, "-l", "notice,vdp=loud")
    assert loud.returncode == 2 and "loud" in loud.stderr
    assert run("-C", "-c", tmp_path / "none").returncode == 2


def test_units_are_valid():
    tool = shutil.which("systemd-analyze")
    if not tool:
        pytest.skip("systemd-analyze is not installed")
    units = sorted(glob.glob(os.path.join(ROOT, "dist", "systemd", "*")))
    assert len(units) == 4
    done = subprocess.run([tool, "verify", *units], text=True, capture_output=True, timeout=60)
    said = [x for x in (done.stdout + done.stderr).splitlines()
            if "is not executable" not in x and "Command 'man " not in x]
    assert said == []


# ---- trace: several daemons, one time line ----

def event(program, name, at, what, **more):
    return {"at_s": 1000.0 + at, "event": what, "program": program, "name": name, **more}


TOR1 = [event("berth-nve", "tor1", 0.010, "reserved", vni=5000, mac="02:00:00:00:00:0a",
              peer="10.0.0.2", epoch="8", self="10.0.0.1"),
        event("berth-nve", "tor1", 0.020, "relay", vni=5000, mac="02:00:00:00:00:0a",
              peer="10.0.0.2", self="10.0.0.1")]
TOR2 = [event("berth-nve", "tor2", -9.0, "request", op="assoc", code="ok", self="10.0.0.2"),
        event("berth-nve", "tor2", 0.005, "request", op="immigrate-prepare", code="ok",
              self="10.0.0.2"),
        event("berth-nve", "tor2", 0.006, "hold", vni=5000, mac="02:00:00:00:00:0a",
              self="10.0.0.2", word="<b>&")]


def test_trace_of_two_edges(tmp_path):
    a, b = Fake(str(tmp_path / "a.sock")), Fake(str(tmp_path / "b.sock"))
    play(a, TOR1)
    play(b, TOR2)
    try:
        done = berth("trace", "vm", UUID, "--at", a.path, "--at", b.path)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert [x.split()[4] for x in lines[1:]] == ["request", "hold", "reserved", "relay"]
        assert "immigrate-prepare" in lines[1] and "tor2" in lines[1] and "0.000 ms" in lines[1]
        assert "10.0.0.2, epoch 8" in lines[3] and "5.000 ms" in lines[3]
        # asked again by where the VM is known
        assert json.loads(a.requests[0]) == {"cmd": "trace", "vsi": UUID}
        assert json.loads(a.requests[1])["keys"] == ["5000/02:00:00:00:00:0a"]
        everything = berth("trace", "vm", UUID, "--all", "--at", a.path, "--at", b.path)
        assert len(everything.stdout.splitlines()) == 6
        # a host's part in a file, and the picture
        rows = berth("-j", "trace", "vm", UUID, "--all", "--at", b.path).stdout
        assert [json.loads(x) for x in rows.splitlines()] == TOR2
        (tmp_path / "tor2.json").write_text(rows)
        svg = tmp_path / "m.svg"
        done = berth("trace", "vm", UUID, "--at", a.path, "--from", str(tmp_path / "tor2.json"),
                     "-o", str(svg))
        assert done.returncode == 0 and done.stdout == "", done.stderr
        import xml.dom.minidom
        picture = xml.dom.minidom.parse(str(svg))
        assert len(picture.getElementsByTagName("circle")) == 4
        assert "&lt;b&gt;&amp;" in svg.read_text() and "<b>" not in svg.read_text()
    finally:
        a.close()
        b.close()


def test_trace_says_what_is_wrong(tmp_path, fake):
    assert berth("trace", "vm", UUID, "--at", str(tmp_path / "none")).returncode == 3
    assert berth("trace", "vm", UUID, "--from", str(tmp_path / "none")).returncode == 1
    assert berth("trace", "vm", "xx").returncode == 2
    done = berth("trace", "vm", UUID, "--at", fake.path)
    assert done.returncode == 0 and "no daemon remembers" in done.stderr
    fake.lines = ['{"ok":false,"error":"berth-nve does not know \\"trace\\""}']
    assert berth("trace", "vm", UUID, "--at", fake.path).returncode == 1
    play(fake, TOR1)
    done = berth("trace", "vm", UUID, "--at", fake.path, "-o", "/nonexistent/x.svg")
    assert done.returncode == 1 and "/nonexistent/x.svg" in done.stderr
