# SPDX-License-Identifier: Apache-2.0
"""An unmodified lldpad as the VDP station of a server of the lab, and its control socket.

lldpad rewrites its configuration and keeps its state in /dev/shm: each one gets a copy and
a mount of its own. Its control socket is abstract, so the network namespace keeps it apart,
too. The socket is driven from here rather than by vdptool, one process per command, so
that many commands can be outstanding.
"""
import collections
import contextlib
import os
import select
import signal
import socket
import subprocess
import tempfile
import time

from lab import LabError, wait_for

SERVER = "\0/com/intel/lldpad"
MODULE = "000080c4"                      # VDP of 802.1Qbg-2012
GET, SET = 0x1d, 0x1c                    # options: which arguments follow, and how many
ONE_FILTER, ONE_OUI = 0x100, 0x10000
TLV = {"preassoc": 1, "preassoc-rr": 2, "assoc": 3, "deassoc": 4}
UNKNOWN_VSI = 0x05                       # "Invalid parameters"
CONF = """dcbx : {{ version = "1.0"; dcbx_version = 2; }};
nearest_customer_bridge : {{
  {ifname} : {{
    adminStatus = 3;
    tlvid0080c20d : {{
      enableTx = true; evbmode = "station"; evbrrreq = {reflect}; evbgpid = true;
      ecpretries = {retries}; ecprte = {rte}; vdprwd = {rwd}; vdprka = {rka};
    }};
  }};
}};
"""


def mac_filter(vid, mac):
    return f"{vid}-{mac}"


def group_filter(vid, vni):
    return f"{vid}--{vni}"


def group_mac_filter(vid, mac, vni):
    return f"{vid}-{mac}-{vni}"


class Vsi:
    """What lldpad says of a VSI: mode, filters (with the TCI that the bridge gave), hints.
    An event has but the first filter, and no GroupID; an answer to get() has all."""

    def __init__(self, pairs):
        self.pairs = pairs
        self.mode = self.get("mode")
        self.uuid = self.get("uuid")
        self.filters = [v for k, v in pairs if k == "filter"]
        self.text = " ".join(v for k, v in pairs if k not in (
            "mode", "uuid", "filter", "mgrid2", "typeid", "typeidver", "hints", "oui"))

    def get(self, key):
        return next((v for k, v in self.pairs if k == key), None)

    @property
    def tci(self):
        return int(self.filters[0].split("-")[0])

    @property
    def vid(self):
        return self.tci & 0xfff

    def __repr__(self):
        return f"Vsi({self.pairs})"


def _text(pairs):
    return "".join(f"{len(k):02x}{k}{len(v):04x}{v}" for k, v in pairs)


def _arguments(text):
    """{2 hex length, key, 4 hex length, value} repeated."""
    pairs = []
    while text:
        n = int(text[:2], 16)
        key, text = text[2:2 + n], text[2 + n:]
        m = int(text[:4], 16)
        pairs.append((key, text[4:4 + m]))
        text = text[4 + m:]
    return pairs


def _lists(text):
    """Each VSI: 4 hex length and its arguments."""
    while len(text) >= 4:
        n = int(text[:4], 16)
        yield Vsi(_arguments(text[4:4 + n]))
        text = text[4 + n:]


class Client:
    """One client of the control socket."""
    made = 0

    def __init__(self, node, ifname="up0", events=False):
        Client.made += 1
        self.ifname, self.events = ifname, collections.deque()
        with node.inside():              # abstract names belong to the namespace
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            # lldpad answers only to a name below its own
            self.sock.bind(f"{SERVER}/test-{os.getpid()}-{Client.made}")
            self.sock.connect(SERVER)
        except OSError as err:
            self.sock.close()
            raise LabError(f"{node.name}: no lldpad: {err}") from None
        if events:
            self.sock.send(b"A" + MODULE.encode())
            self._reply()

    def close(self):
        self.sock.close()

    def _receive(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.sock], [], [], left)[0]:
            return None
        return self.sock.recv(65536).decode()

    def _reply(self, wait=5.0):
        end = time.monotonic() + wait
        while True:
            text = self._receive(end)
            if text is None:
                raise LabError("lldpad does not answer its control socket")
            if text[0] == "R":
                return int(text[1:3], 16), text[3:]
            self._event(text)

    def _event(self, text):
        if text[0] == "M" and text[9] == "E":
            self.events.extend(_lists(text[12:]))
        elif text[0] == "M":
            raise LabError(f"lldpad: unknown message {text[:40]}")

    def _send(self, command, options, mode, pairs):
        head = f"M{MODULE}C3{command}{options:08x}{len(self.ifname):02x}{self.ifname}02{TLV[mode]:08x}"
        self.sock.send((head + _text(pairs)).encode())

    def set(self, mode, uuid, filters, hints="none", manager="mgr1", type_id=5, version=4,
            cisco=None):
        """Status of the command itself (0: taken); the bridge's word comes as an event.
        cisco: {"ipv4_addr": ..., "vm_name": ...}"""
        filters = [filters] if isinstance(filters, str) else filters
        pairs = [("mode", mode), ("mgrid2", manager), ("typeid", str(type_id)),
                 ("typeidver", str(version)), ("uuid", uuid), ("hints", hints)]
        pairs += [("filter", f) for f in filters]
        if cisco:
            pairs.append(("oui", "05cisco" + _text(cisco.items())))
        self._send("02", SET + ONE_FILTER * len(filters) + (ONE_OUI if cisco else 0), mode, pairs)
        return self._reply()[0]

    def get(self, uuid, mode="assoc"):
        """The VSI as lldpad has it, or None."""
        self._send("01", GET, mode, [("uuid", uuid)])
        status, text = self._reply()
        if status:
            return None
        text = text[12:]                                  # C3 01 and the options
        text = text[2 + int(text[:2], 16) + 8:]           # the interface, and the TLV
        return next((v for v in _lists(text) if v.uuid == uuid), None)

    def wait_event(self, uuid, mode=None, deadline_s=10.0):
        """The next event of that VSI, in that mode when given; earlier ones of others stay."""
        end = time.monotonic() + deadline_s
        while True:
            for i, e in enumerate(self.events):
                if e.uuid == uuid and mode in (None, e.mode):
                    del self.events[i]
                    return e
            text = self._receive(end)
            if text is None:
                raise LabError(f"lldpad: no event of {uuid} within {deadline_s} s")
            self._event(text)

    def poll_events(self):
        while (text := self._receive(time.monotonic() + 0.001)) is not None:
            self._event(text)
        events, self.events = list(self.events), collections.deque()
        return events


class Lldpad:
    """lldpad on a server of the lab: `with Lldpad(server) as station:`."""

    def __init__(self, server, ifname="up0", rte=8, retries=3, rwd=17, rka=20, reflect=True):
        self.server, self.ifname = server, ifname
        self.dir = tempfile.mkdtemp(prefix="lldpad.", dir=server.lab.dir)
        self.conf, self.log = os.path.join(self.dir, "conf"), os.path.join(self.dir, "log")
        with open(self.conf, "w", encoding="ascii") as out:
            out.write(CONF.format(ifname=ifname, rte=rte, retries=retries, rwd=rwd, rka=rka,
                                  reflect="true" if reflect else "false"))
        self.process = self.client = None
        self.clients = []

    def start(self):
        with open(self.log, "a", encoding="ascii") as log:
            self.process = self.server.popen(
                ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /dev/shm && exec "
                 f"/usr/sbin/lldpad -p -t -V 4 -f {self.conf}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(f"lldpad on {self.server.name} (log {self.log})", self._listens, 10)
        self.client = self.open(events=True)
        # A neighbour that is seen is not enough: VDP runs when it refuses an unknown VSI.
        wait_for(f"VDP on {self.server.name} (log {self.log})", lambda: self.client.set(
            "deassoc", "00000000-0000-0000-0000-0000000000ff", "2", manager="probe") ==
            UNKNOWN_VSI, 30, 0.1)
        return self

    def _listens(self):
        if self.process.poll() is not None:
            with open(self.log, encoding="ascii", errors="replace") as f:
                raise LabError(f"lldpad ended with {self.process.returncode}: {f.read()[-500:]}")
        with contextlib.suppress(LabError):
            self.open().close()
            return True
        return False

    def open(self, **kw):
        client = Client(self.server, self.ifname, **kw)
        self.clients.append(client)
        return client

    def stop(self):
        for client in self.clients:
            with contextlib.suppress(OSError):
                client.close()
        if self.process and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGTERM)     # says goodbye by LLDP: some 2 s
            try:
                self.process.wait(8)
            except subprocess.TimeoutExpired:
                os.kill(self.process.pid, signal.SIGKILL)
                self.process.wait(5)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *exc):
        self.stop()

    # -- as a person would use it

    def vdptool(self, mode, uuid, filters, hints="none", timeout=10):
        """vdptool itself, waiting for the bridge: (exit status, its text on one line)."""
        argv = ["vdptool", "-i", self.ifname, "-T", "-W", "-V", mode, "-c", f"mode={mode}",
                "-c", "mgrid2=mgr1", "-c", "typeid=5", "-c", "typeidver=4",
                "-c", f"uuid={uuid}", "-c", f"hints={hints}"]
        for f in [filters] if isinstance(filters, str) else filters:
            argv += ["-c", f"filter={f}"]
        done = self.server.run(argv, check=False, timeout=timeout)
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    def request(self, mode, uuid, filters, deadline_s=10.0, **kw):
        """A command and its event."""
        self.client.events.clear()
        status = self.client.set(mode, uuid, filters, **kw)
        if status:
            raise LabError(f"lldpad refused {mode} {filters}: status {status:#x}")
        return self.client.wait_event(uuid, deadline_s=deadline_s)
