#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A small data centre in network namespaces: the demo, the net tests and the benchmarks
all use this one.

            vm1   vm2                  vm3       VMs: namespaces with a plain veth, or
             |     |                    |        with a card that moves between servers
           [srv1: berth-tes]        [srv2: berth-tes]
                 | tagged link          |
            swp1 |                 swp1 |
           [tor1: berth-nve]        [tor2: berth-nve] ...   VTEP on the loopback
                 |  \\________________ /  |
                 |         core          |          routed IP underlay (one namespace)
                 |___________|___________|
                             |
                      [nva: berth-nva]

Names carry the lab's prefix, so several labs can stand side by side. Everything a lab
makes (namespaces, processes, one bpffs, one directory) is written down in lab.json before
it is used, so that `down` finds it even when the process that made it is gone.
"""
import contextlib
import ctypes
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

from wire import LabError, Wire, arp, frame, mac_bytes, wait_for  # noqa: F401

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("BERTH_BUILD", os.path.join(ROOT, "build"))
RUN = "/run/berth-lab"
UNDERLAY_MTU = 1600
NVA_ADDRESS = "10.255.255.1"
SESSION_PORT, LISP_PORT = 4341, 4342


def ip_batch(lines):
    """Run many `ip` commands in one process."""
    done = subprocess.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n", text=True,
                          capture_output=True)
    if done.returncode:
        raise LabError(f"ip -batch failed: {done.stderr.strip()}")


LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
SEND = """import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
for line in sys.stdin:
    s.send(bytes.fromhex(line))
"""


def program(name):
    """Path of one of our programs in the build directory."""
    folder = {"berth-nve": "src/nve", "berth-tes": "src/tes", "berth-nva": "src/nva",
              "berth": "src/cli", "vnic": "lab", "probe": "lab", "sim": "test/sim"}[name]
    return os.path.join(BUILD, folder, name)


class Node:
    """A namespace of the lab."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.ns = lab.prefix + name

    def command(self, argv):
        # nsenter, not `ip netns exec`: the latter remounts /sys and hides pins
        return ["nsenter", f"--net=/run/netns/{self.ns}", "--"] + list(argv)

    @contextlib.contextmanager
    def inside(self):
        """Sockets made in the block by this thread belong to this namespace for ever."""
        with open("/proc/thread-self/ns/net", encoding="ascii") as own, \
                open(f"/run/netns/{self.ns}", encoding="ascii") as there:
            if LIBC.setns(there.fileno(), CLONE_NEWNET):
                raise LabError(f"{self.name}: setns: {os.strerror(ctypes.get_errno())}")
            try:
                yield
            finally:
                LIBC.setns(own.fileno(), CLONE_NEWNET)

    def run(self, argv, check=True, timeout=30, **kw):
        done = subprocess.run(self.command(argv), text=True, capture_output=True,
                              timeout=timeout, **kw)
        if check and done.returncode:
            raise LabError(f"{self.name}: {' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
        return done

    def popen(self, argv, **kw):
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.STDOUT)
        process = subprocess.Popen(self.command(argv), start_new_session=True, text=True, **kw)
        self.lab.note_process(process)
        return process

    def send_raw(self, interface, frames):
        """Send frames (bytes) just as they are out of an interface of this namespace."""
        self.run(["/usr/bin/python3", "-c", SEND, interface],
                 input="\n".join(f.hex() for f in frames))

    def ip(self, lines):
        """Run a list of `ip` commands in this namespace."""
        done = subprocess.run(["ip", "-n", self.ns, "-batch", "-"],
                              input="\n".join(lines) + "\n", text=True, capture_output=True)
        if done.returncode:
            raise LabError(f"{self.name}: ip: {done.stderr.strip()}")


class Request:
    """A request on a control socket that is under way."""

    def __init__(self, daemon, request, timeout=10):
        self.who = f"{daemon.program} on {daemon.node.name}"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        try:
            self.sock.connect(daemon.control)
            self.sock.sendall((json.dumps(request) + "\n").encode())
        except BaseException:
            self.sock.close()
            raise

    def finish(self):
        """The rows and, last, the closing object."""
        with self.sock:
            rows, pending = [], b""
            while True:
                data = self.sock.recv(65536)
                if not data:
                    raise LabError(f"{self.who} closed its control socket")
                pending += data
                *lines, pending = pending.split(b"\n")
                for line in lines:
                    row = json.loads(line)
                    rows.append(row)
                    if "ok" in row:
                        return rows


class Daemon:
    """One of our daemons in a namespace, with its configuration, log and control socket."""

    def __init__(self, node, program_name, conf):
        self.node, self.program = node, program_name
        base = os.path.join(node.lab.dir, node.name)
        self.conf_path, self.log_path = base + ".conf", base + ".log"
        self.control = base + ".sock"
        self.state_dir = base + ".state"
        self.pins = os.path.join(node.lab.bpf_dir, node.name)
        self.process = None
        os.makedirs(self.state_dir, exist_ok=True)
        self.write_conf(conf)

    def write_conf(self, conf):
        with open(self.conf_path, "w", encoding="utf-8") as out:
            out.write(conf)

    def start(self, wait=True, wrapper=(), env=None):
        log = open(self.log_path, "a", encoding="utf-8")
        argv = list(wrapper) + [program(self.program), "--config", self.conf_path]
        self.process = self.node.popen(argv, stdout=log, stderr=log,
                                       env=dict(os.environ, **(env or {})))
        log.close()
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, deadline_s=15):
        def ready():
            if self.process.poll() is not None:
                raise LabError(f"{self.program} on {self.node.name} ended with "
                               f"{self.process.returncode}:\n{self.log_tail()}")
            with contextlib.suppress(OSError, ValueError, LabError):
                return self.call({"cmd": "ping"}, timeout=2)
            return None
        wait_for(f"{self.program} on {self.node.name} (log {self.log_path})", ready, deadline_s)

    def log_tail(self, n=15):
        with contextlib.suppress(OSError), open(self.log_path, encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-n:])
        return ""

    def call(self, request, timeout=10):
        """One request of the control socket; the rows and, last, the closing object."""
        return Request(self, request, timeout).finish()

    def rows(self, cmd, **arguments):
        """Rows of a listing; raises when the daemon refused."""
        *rows, last = self.call({"cmd": cmd, **arguments})
        if not last.get("ok"):
            raise LabError(f"{self.node.name}: {cmd}: {last.get('error')}")
        return rows

    def counters(self):
        return {r["name"]: r["value"] for r in self.rows("show counters")}

    def mappings(self, **by):
        return self.rows("show mappings", **by)

    def stop(self, sig=signal.SIGTERM, deadline_s=10):
        if self.process is None or self.process.poll() is not None:
            return
        os.kill(self.process.pid, sig)
        try:
            self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(5)
            raise LabError(f"{self.program} on {self.node.name} did not end on signal {sig}") from None

    def kill(self):
        self.stop(signal.SIGKILL)


class Nva(Node):
    def __init__(self, lab, name="nva", settings=""):
        super().__init__(lab, name)
        self.settings = settings
        self.daemon = None

    def conf(self):
        d = os.path.join(self.lab.dir, self.name)
        return f"""name = "{self.name}"
address = "{NVA_ADDRESS}"
port = {SESSION_PORT}
udp_port = {LISP_PORT}
control = "{d}.sock"
store = "{d}.state/nva.db"
log = "{self.lab.log_level}"
key "*" {{ secret = "{self.lab.key}" }}
{self.settings}
"""

    def start(self, **kw):
        self.daemon = self.daemon or Daemon(self, "berth-nva", self.conf())
        return self.daemon.start(**kw)

    def vn_add(self, vni, name, **more):
        self.daemon.rows("vn add", vni=vni, name=name, **more)


class Nve(Node):
    """A ToR: server ports swp1.., an uplink to the core, the VTEP on its loopback."""

    def __init__(self, lab, index):
        super().__init__(lab, f"tor{index}")
        self.index, self.vtep = index, f"10.255.0.{index}"
        self.ports, self.port_settings, self.settings = [], {}, ""
        self.mapping, self.daemon = "session", None

    def conf(self):
        d = os.path.join(self.lab.dir, self.name)
        ports = "\n".join(
            f'port "{p}" {{ {self.port_settings.get(p, "")} }}' for p in self.ports)
        authority = "" if self.mapping == "static" else f"""authority "nva" {{
    address = "{NVA_ADDRESS}"
    port = {SESSION_PORT}
    udp_port = {LISP_PORT}
    key = "{self.lab.key}"
}}"""
        return f"""name = "{self.name}"
vtep = "{self.vtep}"
control = "{d}.sock"
state = "{d}.state"
pins = "{os.path.join(self.lab.bpf_dir, self.name)}"
log = "{self.lab.log_level}"
mapping = "{self.mapping}"
overlay {{ device = "berth0" port = 4789 }}
{authority}
{ports}
{self.settings}
"""

    def start(self, **kw):
        if self.daemon is None:
            self.daemon = Daemon(self, "berth-nve", self.conf())
        return self.daemon.start(**kw)

    def counters(self):
        return self.daemon.counters()


class Server(Node):
    """A hypervisor: one uplink up0 to a ToR port, VMs behind vm<N> interfaces."""

    def __init__(self, lab, index, nve):
        super().__init__(lab, f"srv{index}")
        self.index, self.nve = index, nve
        self.port = f"swp{len(nve.ports) + 1}"
        nve.ports.append(self.port)
        self.uplink_mac = f"02:be:00:00:{index:02x}:01"
        self.settings, self.vms, self.daemon = "", [], None

    def conf(self):
        d = os.path.join(self.lab.dir, self.name)
        return f"""name = "{self.name}"
control = "{d}.sock"
state = "{d}.state"
pins = "{os.path.join(self.lab.bpf_dir, self.name)}"
log = "{self.lab.log_level}"
uplink "up0" {{ }}
{self.settings}
"""

    def start(self, **kw):
        if self.daemon is None:
            self.daemon = Daemon(self, "berth-tes", self.conf())
        return self.daemon.start(**kw)


class Vm(Node):
    """A virtual machine: a namespace with eth0, whose other end is vm<N> in a server."""

    def __init__(self, lab, index, server, mac=None, ip4=None, ip6=None):
        super().__init__(lab, f"vm{index}")
        self.index, self.server = index, server
        self.mac = mac or f"02:00:00:00:{index >> 8:02x}:{index & 255:02x}"
        self.ip4 = ip4 or f"10.0.{index >> 8}.{index & 255}"
        self.ip6 = ip6 or f"fd00::{index:x}"
        self.ifname = f"vm{index}"
        self.vsi = f"00000000-0000-4000-8000-{index:012x}"
        server.vms.append(self)

    def signal(self, op, **more):
        """`vm <op>` through the server's agent; returns the answer's row."""
        *rows, last = self.server.daemon.call(
            {"cmd": f"vm {op}", "vsi": self.vsi, **more}, timeout=15)
        if not last.get("ok"):
            raise LabError(f"{self.name}: {op}: {last.get('error')}")
        return rows[0] if rows else last

    def associate(self, vn, **more):
        more.setdefault("mac", self.mac)
        more.setdefault("ips", [self.ip4, self.ip6])
        return self.signal("associate", **{"vn": vn, "if": self.ifname, **more})

    def terminate(self):
        return self.signal("terminate")

    def ping(self, address, count=3, interval=0.2, wait=1, size=None, more=()):
        """(sent, received) of a ping; IPv6 when the address has a colon."""
        argv = ["ping", "-6" if ":" in address else "-4", "-n", "-q", "-c", str(count),
                "-i", str(interval), "-W", str(wait)]
        argv += ["-s", str(size)] if size else []
        out = self.run(argv + list(more) + [address], check=False,
                       timeout=count * max(interval, wait) + 15).stdout
        for line in out.splitlines():
            if "packets transmitted" in line:
                words = line.split()
                return int(words[0]), int(words[3])
        return 0, 0


class Move:
    """What one move of a VM was like; times are CLOCK_MONOTONIC in ns."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self.paused_ns = self.resumed_ns = None
        self.held_ns = None              # from when on the source's edge keeps its frames
        self.answers, self.lost_probes = {}, []

    @property
    def pause_s(self):
        return (self.resumed_ns - self.paused_ns) / 1e9

    def missed(self, number, sent_ns, delay_ns):
        """Was this lost packet of a probe sent while the VM was paused (or said to be about
        to), or under way at the pause: found by the card, or no earlier than twice what
        the packet before it took?"""
        since = self.held_ns or self.paused_ns
        return since - 2 * delay_ns <= sent_ns <= self.resumed_ns or (
            sent_ns < since and number in self.lost_probes)


class MovingVm(Vm):
    """A VM whose eth0 is a card of the program vnic: it can be paused, and run elsewhere.
    What the guest sends while it is paused stays in the guest."""

    # pause before start, always; what stands in a tuple goes out side by side. copy: the
    # modelled stop and copy, after which the target is about to start the VM. commit and
    # asso side by side save half a millisecond, but then what the source's edge releases
    # may race what remote edges already send to the target's.
    STEPS = ("pre", "prepare", "hold", "pause", "commit", "copy", "asso", "start", "terminate")

    def __init__(self, lab, index, servers, vn="red", **kw):
        super().__init__(lab, index, servers[0], **kw)
        self.servers, self.vn, self.process = list(servers), vn, None

    def plug(self, mtu):
        self.process = subprocess.Popen(
            [program("vnic"), self.ns, self.mac, str(mtu)]
            + [f"{s.ns}:{self.ifname}" for s in self.servers],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.lab.note_process(self.process)
        self._answer("open")

    def _answer(self, what):
        if not select.select([self.process.stdout], [], [], 10)[0]:
            raise LabError(f"{self.name}: vnic says nothing to {what}")
        line = self.process.stdout.readline()
        if not line:
            raise LabError(f"{self.name}: vnic ended with {self.process.wait()}")
        answer = json.loads(line)
        if not answer["ok"]:
            raise LabError(f"{self.name}: vnic: {what}: {answer['error']}")
        return answer

    def card(self, what, server=None, *more):
        """A command to the card; its answer."""
        words = [what] + ([server.ns] if server else []) + list(more)
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        return self._answer(" ".join(words))

    def begin(self, server, op, **more):
        """`vm <op>` to a server's agent, without waiting for the answer."""
        return Request(server.daemon, {"cmd": f"vm {op}", "vsi": self.vsi, **more}, 15)

    def end(self, request, what):
        *rows, last = request.finish()
        if not last.get("ok"):
            raise LabError(f"{self.name}: {what}: {last.get('error')}")
        return rows[0] if rows else last

    def at(self, server, op, **more):
        return self.end(self.begin(server, op, **more), op)

    def step(self, name, move, **more):
        """A step of a migration that speaks to an agent, under way."""
        what = {"vn": self.vn, "mac": self.mac, "ips": [self.ip4, self.ip6],
                "if": self.ifname}
        server, op, arguments = {
            "pre": (move.target, "immigrate", {"phase": "pre", **what}),
            "asso": (move.target, "immigrate", {"phase": "asso", **what}),
            "associate": (move.target, "associate", what),
            "prepare": (move.source, "emigrate", {"phase": "prepare"}),
            "hold": (move.source, "emigrate", {"phase": "hold"}),
            "commit": (move.source, "emigrate", {"phase": "commit"}),
            "suspend": (move.source, "suspend", {}),
            "terminate": (move.source, "terminate", {}),
            "resume": (move.source, "resume", {}),
            "reclaim": (move.source, "associate", what),
            "cancel": (move.target, "terminate", {}),
        }[name]
        return self.begin(server, op, **{**arguments, **more.get(name, {})})

    def take_back(self, move):
        """The migration has failed: the source has the VM again, and the target none of it.
        Where the target had claimed it, the source's agent has let it go."""
        try:
            self.tell(move, "resume")
        except LabError as error:
            if "is lost" not in str(error):
                raise
            self.tell(move, "reclaim")
        self.card("leave", move.target)
        if move.paused_ns:
            move.resumed_ns = self.card("resume", move.source)["t_ns"]
            move.lost_probes = self.card("stats")["lost_probes"][move.told:]
        self.tell(move, "cancel")

    def migration(self, to):
        """A move that begins: the target's interface is there from now on."""
        move = Move(self.server, to)
        self.card("prepare", to)
        move.told = len(self.card("stats")["lost_probes"])
        return move

    def pause(self, move):
        move.paused_ns = self.card("pause")["t_ns"]

    def start(self, move):
        """The VM runs on at the target."""
        move.resumed_ns = self.card("resume", move.target)["t_ns"]
        move.lost_probes = self.card("stats")["lost_probes"][move.told:]
        self.server = move.target

    def tell(self, move, *names, **more):
        """Steps that speak to agents, side by side."""
        if "hold" in names:
            move.held_ns = time.monotonic_ns()
        asked = [(n, self.step(n, move, **more)) for n in names]
        for n, request in asked:
            move.answers[n] = self.end(request, n)

    def move(self, to, pause_s=0.0, steps=None, between=None, hold=True, **more):
        """Moves to another server, step by step. between(step) is called after each; `more`
        adds arguments to a step: commit={"target": ...}. hold: the source's edge is told
        that the pause follows."""
        move = self.migration(to)
        if not steps:
            steps = [s for s in self.STEPS if hold or s != "hold"]
        for group in steps:
            group = group if isinstance(group, tuple) else (group,)
            if group == ("pause",):
                self.pause(move)
            elif group == ("copy",):
                left = pause_s - (time.monotonic_ns() - move.paused_ns) / 1e9
                time.sleep(max(left, 0))
            elif group == ("start",):
                self.start(move)
            else:
                self.tell(move, *group, **more)
            if between:
                between(group[0])
        return move


class Probe:
    """Numbered packets at a steady pace, and what became of each (program probe)."""

    def __init__(self, lab, *arguments):
        self.process = subprocess.Popen(
            [program("probe")] + [str(a) for a in arguments], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, start_new_session=True)
        lab.note_process(self.process)
        if self.process.stdout.readline().strip() != "ready":
            raise LabError(f"probe {arguments}: ended with {self.process.wait()}")

    @classmethod
    def ping(cls, vm, address, interval_us=1000):
        return cls(vm.lab, "ping", vm.ns, address, interval_us)

    @classmethod
    def stream(cls, vm, other, interval_us=100, port=5400, size=56):
        """One way, from the one VM to the other."""
        return cls(vm.lab, "stream", vm.ns, other.ns, other.ip4, port, interval_us, size)

    def end(self):
        """Ends it, when all is there that comes; a dictionary (see probe.c)."""
        out = self.process.communicate(timeout=60)[0]
        if self.process.returncode:
            raise LabError(f"probe ended with {self.process.returncode}")
        return json.loads(out)


class Lab:
    """`with Lab(...) as lab:` builds the topology; leaving the block takes all of it down."""

    def __init__(self, tors=2, servers_per_tor=1, prefix=None, authority=True,
                 log_level="info", underlay_mtu=UNDERLAY_MTU):
        self.prefix = prefix or "b" + secrets.token_hex(2)
        self.dir = os.path.join(RUN, self.prefix)
        self.bpf_dir = os.path.join(self.dir, "bpf")
        self.key = secrets.token_hex(16)
        self.log_level, self.underlay_mtu = log_level, underlay_mtu
        self.processes, self.namespaces = [], []
        self.pid_folders = []            # [namespace, folder]: PID files of others there
        self.core = Node(self, "core")
        self.nva = Nva(self) if authority else None
        self.tors = [Nve(self, i + 1) for i in range(tors)]
        self.servers, self.vms = [], []
        for tor in self.tors:
            for _ in range(servers_per_tor):
                self.servers.append(Server(self, len(self.servers) + 1, tor))

    # -- what exists is written down before it is made
    def _save(self):
        with open(os.path.join(self.dir, "lab.json.new"), "w", encoding="utf-8") as out:
            json.dump({"prefix": self.prefix, "namespaces": self.namespaces,
                       "pid_folders": self.pid_folders,
                       "pids": [[p.pid, _start_time(p.pid)] for p in self.processes if p.poll() is None]}, out)
        os.rename(os.path.join(self.dir, "lab.json.new"), os.path.join(self.dir, "lab.json"))

    def note_process(self, process):
        self.processes.append(process)
        self.processes = [p for p in self.processes if p.poll() is None]
        self._save()

    def note_pid_folder(self, node, folder):
        """Processes in the namespace of the node whose PID files will be in the folder."""
        self.pid_folders.append([node.ns, folder])
        self._save()

    def _netns(self, nodes):
        self.namespaces += [n.ns for n in nodes]
        self._save()
        ip_batch([f"netns add {n.ns}" for n in nodes])
        for n in nodes:
            n.run(["sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0",
                   "net.ipv6.conf.default.accept_dad=0",
                   "net.ipv6.conf.default.router_solicitations=0"])

    def up(self):
        os.makedirs(self.bpf_dir, exist_ok=True)
        subprocess.run(["mount", "-t", "bpf", "bpf", self.bpf_dir], check=True)
        hosts = ([self.nva] if self.nva else []) + self.tors
        self._netns([self.core] + hosts + self.servers)
        self.core.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
        c, lines = self.core.ns, []
        for i, host in enumerate(hosts):
            address = NVA_ADDRESS if host is self.nva else host.vtep
            lines += [
                f"link add fab0 netns {host.ns} mtu {self.underlay_mtu} type veth peer name {host.name} netns {c} mtu {self.underlay_mtu}",
            ]
            host.address, host.link = address, i
        for server in self.servers:
            lines += [
                f"link add up0 netns {server.ns} address {server.uplink_mac} type veth peer name {server.port} netns {server.nve.ns}",
            ]
        ip_batch(lines)
        core_lines = ["link set lo up"]
        for host in hosts:
            net = f"10.254.{host.link}"
            core_lines += [f"addr add {net}.1/30 dev {host.name}", f"link set {host.name} up",
                           f"route add {host.address}/32 via {net}.2"]
            host.ip(["link set lo up", f"addr add {host.address}/32 dev lo",
                      f"addr add {net}.2/30 dev fab0", "link set fab0 up",
                      f"route add default via {net}.1 src {host.address}"]
                     + [f"link set {p} up" for p in getattr(host, "ports", [])])
        self.core.ip(core_lines)
        for server in self.servers:
            server.ip(["link set lo up", "link set up0 up"])
        return self

    def add_vm(self, server, mtu=1450, **kw):
        vm = Vm(self, len(self.vms) + 1, server, **kw)
        self.vms.append(vm)
        self._netns([vm])
        ip_batch([f"link add eth0 netns {vm.ns} address {vm.mac} mtu {mtu} type veth peer name {vm.ifname} netns {server.ns} mtu {mtu}"])
        server.ip([f"link set {vm.ifname} up"])
        vm.ip(["link set lo up", "link set eth0 up", f"addr add {vm.ip4}/16 dev eth0",
                f"addr add {vm.ip6}/64 dev eth0 nodad"])
        return vm

    def add_moving_vm(self, servers, mtu=1450, vn="red", **kw):
        """A VM with an interface on each of the servers; it runs on the first."""
        vm = MovingVm(self, len(self.vms) + 1, servers, vn, **kw)
        self.vms.append(vm)
        self._netns([vm])
        vm.plug(mtu)
        for server in servers:
            server.ip([f"link set {vm.ifname} up"])
        vm.ip(["link set lo up", "link set eth0 up", f"addr add {vm.ip4}/16 dev eth0",
               f"addr add {vm.ip6}/64 dev eth0 nodad"])
        vm.card("resume", servers[0])
        return vm

    def start(self, tes=True):
        """Start every daemon: authority first, then edges, then agents."""
        if self.nva:
            self.nva.start()
        for nve in self.tors:
            nve.start(wait=False)
        for nve in self.tors:
            nve.daemon.wait_ready()
        if tes:
            for server in self.servers:
                server.start(wait=False)
            for server in self.servers:
                server.daemon.wait_ready()
        return self

    def wait_mappings(self, n, tors=None, deadline_s=10):
        """Until every edge, or each of those named, knows n mappings."""
        wait_for(f"{n} mappings at every edge", lambda: all(
            len(t.daemon.mappings()) == n for t in tors or self.tors), deadline_s)

    def down(self):
        self._save()
        take_down(self.prefix)

    def __enter__(self):
        try:
            return self.up()
        except BaseException:
            self.down()
            raise

    def __exit__(self, *exc):
        if exc[0] is not None and os.environ.get("KEEP_FAILED"):
            print(f"lab {self.prefix} kept; logs in {self.dir}", file=sys.stderr)
            return
        self.down()


def _start_time(pid):
    """Start time of a process: a pid alone may have been given to another one since."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[19]
    except OSError:
        return None


def labs():
    """Prefixes of the labs that stand on this machine."""
    with contextlib.suppress(OSError):
        return sorted(d for d in os.listdir(RUN) if os.path.isdir(os.path.join(RUN, d)))
    return []


def _noted(namespace, folder):
    """PIDs of the files in a folder, as far as the process is in the namespace."""
    with contextlib.suppress(OSError):
        ours = os.stat(f"/run/netns/{namespace}").st_ino
        for name in os.listdir(folder):
            with contextlib.suppress(OSError, ValueError):
                with open(os.path.join(folder, name), encoding="ascii") as f:
                    pid = int(f.read()) if name.endswith(".pid") else 0
                if pid > 1 and os.stat(f"/proc/{pid}/ns/net").st_ino == ours:
                    yield pid


def take_down(prefix):
    """Remove a lab by name: its processes by pid and start time, namespaces, pins, files."""
    path = os.path.join(RUN, prefix)
    known = {"pids": [], "namespaces": []}
    with contextlib.suppress(OSError, ValueError), open(os.path.join(path, "lab.json"), encoding="utf-8") as f:
        known = json.load(f)
    alive = [pid for pid, started in known["pids"] if started and _start_time(pid) == started]
    for pid in alive:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 3
    while alive and time.monotonic() < end:
        for pid in list(alive):
            with contextlib.suppress(ChildProcessError, OSError):
                os.waitpid(pid, os.WNOHANG)
            state = _state(pid)
            if state in (None, "Z"):
                alive.remove(pid)
        time.sleep(0.01)
    for pid in alive:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    for namespace, folder in known.get("pid_folders", []):
        for pid in _noted(namespace, folder):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    for ns in known["namespaces"]:
        subprocess.run(["ip", "netns", "del", ns], capture_output=True, check=False)
    bpf = os.path.join(path, "bpf")
    if os.path.ismount(bpf):
        subprocess.run(["umount", "-l", bpf], check=False)
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir(RUN)


def _state(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return None


def main(argv):
    if argv[1:2] == ["down"] and len(argv) == 3:
        take_down(argv[2])
        return 0
    if argv[1:] == ["list"]:
        print("\n".join(labs()))
        return 0
    print("usage: lab.py list | lab.py down PREFIX", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv))
