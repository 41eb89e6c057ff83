#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Real machines on the servers of a lab: a libvirtd of its own on each, guests that QEMU
emulates (image.py), live migration over a management network, and what libvirt says of
it.

        machine ─ tap ─ br0 (no uplink)          machine's frames: tap <-> berth-tes
          [srv1: berth-tes, libvirtd] ── mgmt ── [srv2: berth-tes, libvirtd]
                 | up0                                  | up0
               tor1                                   tor2

A libvirtd here sees /etc/libvirt, /run and /var of its own, its server's network, and no
cgroups, message bus or KVM of this machine. Machines are emulated (TCG) everywhere, so
what is measured does not depend on what the machine below can do."""
import collections
import contextlib
import errno
import glob
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid

import image
import lab as labs
from lab import LabError, wait_for

LIBVIRTD, VIRSH = "/usr/sbin/libvirtd", "/usr/bin/virsh"
QEMU = "/usr/bin/qemu-system-x86_64"
METADATA = "urn:berth:1"
ECHO_PORT, COMMAND_PORT = 7007, 7008
SO_RCVBUFFORCE, SO_TIMESTAMPNS = 33, 35
SOL_PACKET, PACKET_AUXDATA, TP_STATUS_VLAN_VALID = 263, 8, 16
AUXDATA = struct.Struct("=IIIHHHH")
BOOT_S = 60
BROKEN_MAX = 3                           # machines that QEMU may break in one lab
# What a broken guest's kernel says of itself.
BROKEN = re.compile(rb"[^\n]*(Kernel panic|BUG:|Oops|general protection|is not a head|stall"
                    rb"|soft lockup|segfault|traps:|Bad page|corrupt|TX timeout)[^\n\r]*")
SILENT_S = 10                            # the console of a machine that lives says more often

# $1: the folder, $2: the lab's, $3: the build directory, $4: the name of the host. It
# becomes libvirtd, so the PID stays the one that was written down.
START = """
hostname "$4"
umount -l -R /sys
mount -t sysfs sysfs /sys
mount --bind "$1/etc" /etc/libvirt
if [ -e /dev/kvm ]; then
    mount --bind "$1/nothing" /dev/kvm
    mount -o remount,bind,ro /dev/kvm
fi
for f in passwd group; do mount --bind "$1/$f" /etc/$f; done
mount --bind "$3" "$1/var/lib/berth"
mount --rbind "$2" "$1$2"
mount --rbind "$1/var" /var
mount --rbind "$1/run" /run
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin %s --listen --timeout 0
""" % LIBVIRTD
BUILD_THERE = "/var/lib/berth"           # what libvirtd and QEMU see of the build directory


def missing():
    """What this machine lacks, as a sentence; "" when all is there."""
    lacks = [p for p in (LIBVIRTD, VIRSH, QEMU, "/dev/net/tun") if not os.path.exists(p)]
    return f"not there: {' '.join(lacks)}: run tools/install-deps" if lacks else ""


def management(lab):
    """A network of its own between the servers, for libvirt and the copies of memory."""
    lab.core.ip(["link add mgmt type bridge forward_delay 0", "link set mgmt up"])
    labs.ip_batch([f"link add mg0 netns {s.ns} type veth peer name mg{s.index} "
                   f"netns {lab.core.ns}" for s in lab.servers])
    lab.core.ip([line for s in lab.servers for line in (
        f"link set mg{s.index} master mgmt", f"link set mg{s.index} up")])
    for s in lab.servers:
        s.ip([f"addr add {Hypervisor.address_of(s)}/24 dev mg0", "link set mg0 up"])


class Hypervisor:
    """libvirtd on a server of the lab, and the bridge that its machines' taps are put on."""

    def __init__(self, server):
        self.server, self.lab = server, server.lab
        self.folder = os.path.join(self.lab.dir, server.name + ".libvirt")
        self.address = self.address_of(server)
        self.socket = os.path.join(self.folder, "run", "libvirt", "libvirt-sock")
        self.uri = f"qemu:///system?socket={self.socket}"
        self.log_path = os.path.join(self.folder, "var", "log", "libvirt", "libvirtd.log")
        self.process = None
        server.settings += f'libvirt = "{self.uri}"\n'

    @staticmethod
    def address_of(server):
        return f"10.253.0.{server.index}"

    def _path(self, *parts):
        path = os.path.join(self.folder, *parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def _write(self, text, *parts, mode=0o644):
        path = self._path(*parts)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)

    def prepare(self):
        """Files and the bridge; before start, and once."""
        self._write(f"""host_uuid = "{uuid.uuid4()}"
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
listen_addr = "{self.address}"
auth_unix_rw = "none"
auth_unix_ro = "none"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
""", "etc", "libvirtd.conf")
        self._write(f"""user = "root"
group = "root"
security_driver = "none"
namespaces = [ ]
cgroup_controllers = [ ]
remember_owner = 0
dynamic_ownership = 0
stdio_handler = "file"
migration_host = "{self.address}"
""", "etc", "qemu.conf")
        hook = os.path.join(BUILD_THERE, "src", "cli", "berth-hook")
        control = os.path.join(self.lab.dir, self.server.name + ".sock")
        for name in ("qemu", "network"):            # looked up once, when libvirtd starts
            self._write(f'#!/bin/sh\nexec {hook} -s {control} "$@"\n', "etc", "hooks", name,
                        mode=0o755)
        self._write("", "nothing")
        for name, more in (("passwd", "libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin"),
                           ("group", "libvirt-qemu:x:64055:")):
            with open(f"/etc/{name}", encoding="utf-8") as f:    # libvirt asks for this one
                self._write(f.read().rstrip("\n") + f"\n{more}\n", name)
        for folder in ("run/libvirt", "var/lib/libvirt", "var/lib/berth", "var/tmp",
                       "var/cache/libvirt/qemu", "var/log/libvirt", self.lab.dir[1:]):
            os.makedirs(os.path.join(self.folder, folder), exist_ok=True)
        image.image(labs.BUILD)
        known = os.path.join(labs.BUILD, "guest", "capabilities")
        if os.path.isdir(known):
            shutil.copytree(known, self._path("var", "cache", "libvirt", "qemu", "capabilities"),
                            dirs_exist_ok=True)
        self.server.ip(["link add br0 type bridge forward_delay 0", "link set br0 up"])
        self.lab.note_pid_folder(self.server, os.path.join(self.folder, "run", "libvirt", "qemu"))

    def start(self, wait=True):
        """libvirtd; machines that run already are found again."""
        with contextlib.suppress(OSError):
            os.unlink(self.socket)
        log = open(os.path.join(self.folder, "out"), "a", encoding="utf-8")
        self.process = self.server.popen(
            ["unshare", "-m", "-u", "--propagation", "private", "sh", "-ec", START, "sh",
             self.folder, self.lab.dir, labs.BUILD, self.server.ns], stdin=subprocess.DEVNULL,
            stdout=log, stderr=log)
        log.close()
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        def there():
            if self.process.poll() is not None:
                raise LabError(f"libvirtd on {self.server.name} ended: {self.tail()}")
            with socket.socket(socket.AF_UNIX) as s, contextlib.suppress(OSError):
                s.connect(self.socket)
                return True
        wait_for(f"libvirtd on {self.server.name}", there, 30)

    def tail(self):
        out = ""
        for path in (os.path.join(self.folder, "out"), self.log_path):
            with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as f:
                out += "".join(f.readlines()[-8:])
        return out

    def virsh(self, *arguments, check=True, timeout=60):
        """One virsh command, never longer than timeout; its output."""
        try:
            done = subprocess.run([VIRSH, "-q", "-k", "5", "-c", self.uri, *arguments], text=True,
                                  capture_output=True, timeout=timeout, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.server.name}: virsh {' '.join(arguments)}: not within "
                           f"{timeout} s\n{self.tail()}") from None
        if check and done.returncode:
            raise LabError(f"{self.server.name}: virsh {' '.join(arguments)}: "
                           f"{done.stderr.strip()}\n{self.tail()}")
        return done.stdout.strip()

    def probe_capabilities(self):
        """Let libvirt find out what QEMU can: seconds, so the answer is kept for others."""
        self.virsh("domcapabilities", "--virttype", "qemu", "--emulatorbin", QEMU,
                   "--arch", "x86_64", timeout=120)
        found = os.path.join(self.folder, "var", "cache", "libvirt", "qemu", "capabilities")
        known = os.path.join(labs.BUILD, "guest", "capabilities")
        if glob.glob(os.path.join(found, "*.xml")):
            shutil.copytree(found, known, dirs_exist_ok=True)

    def network(self, vn):
        """A libvirt network that names the VN; its machines' taps are put on br0."""
        path = self._path("net", vn + ".xml")
        self._write(f"""<network><name>{vn}</name>
  <metadata><berth:vn xmlns:berth='{METADATA}' name='{vn}'/></metadata>
  <forward mode='bridge'/><bridge name='br0'/>
</network>""", "net", vn + ".xml")
        self.virsh("net-create", path)

    def qemu_pid(self, machine):
        path = os.path.join(self.folder, "run", "libvirt", "qemu", machine.name + ".pid")
        with open(path, encoding="ascii") as f:
            return int(f.read())

    def domain_state(self, machine):
        return self.virsh("domstate", machine.name, "--reason", check=False, timeout=20)


class Events:
    """What libvirt and QEMU on a server say (vmevents.c), as a list that grows."""

    def __init__(self, hypervisor):
        self.seen, self.changed = [], threading.Condition()
        self.process = hypervisor.server.popen(
            [os.path.join(labs.BUILD, "lab", "guest", "vmevents"), hypervisor.uri],
            stderr=subprocess.DEVNULL)
        threading.Thread(target=self._read, daemon=True).start()
        self.expect("the events of " + hypervisor.server.name, lambda e: e.get("ready"))

    def _read(self):
        for text in self.process.stdout:
            with self.changed:
                self.seen.append(json.loads(text))
                self.changed.notify_all()

    def mark(self):
        return len(self.seen)

    def since(self, mark=0, **wanted):
        return [e for e in self.seen[mark:] if all(e.get(k) == v for k, v in wanted.items())]

    def expect(self, what, match, mark=0, deadline_s=30):
        """The first event from the mark on for which match(event) is true."""
        end = time.monotonic() + deadline_s
        with self.changed:
            while True:
                found = next((e for e in self.seen[mark:] if match(e)), None)
                if found:
                    return found
                left = end - time.monotonic()
                if left <= 0:
                    raise LabError(f"{what}: not within {deadline_s} s; seen: {self.seen[mark:]}")
                self.changed.wait(left)

    def close(self):
        self.process.terminate()
        self.process.wait(5)


class Machine:
    """A guest: a transient domain whose metadata name its VN and addresses."""

    def __init__(self, lab, index, vn="red", mtu=1450):
        self.lab, self.vn, self.mtu = lab, vn, mtu
        self.name = f"{lab.prefix}g{index}"
        self.vsi = f"00000000-0000-4000-a000-{index:012x}"
        self.mac = f"52:54:00:00:{index >> 8:02x}:{index & 255:02x}"
        self.ip4, self.ip6 = f"10.0.200.{index}", f"fd00::c8:{index:x}"
        self.memory_mib = 96
        self.at = None

    def console(self, hypervisor):
        return os.path.join(hypervisor.folder, "var", "log", "libvirt", self.name + ".console")

    def metadata(self):
        return (f"<berth:vn xmlns:berth='{METADATA}' name='{self.vn}'>"
                f"<berth:interface mac='{self.mac}'><berth:ip>{self.ip4}</berth:ip>"
                f"<berth:ip>{self.ip6}</berth:ip></berth:interface></berth:vn>")

    def xml(self):
        return f"""<domain type='qemu'>
  <name>{self.name}</name><uuid>{self.vsi}</uuid>
  <metadata>{self.metadata()}</metadata>
  <memory unit='MiB'>{self.memory_mib}</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{BUILD_THERE}/guest/vmlinuz</kernel><initrd>{BUILD_THERE}/guest/initrd</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 berth.ip={self.ip4}/16 berth.ip6={self.ip6}/64</cmdline></os>
  <features><acpi/></features>
  <on_poweroff>destroy</on_poweroff><on_crash>destroy</on_crash>
  <devices>
    <emulator>{QEMU}</emulator>
    <controller type='usb' model='none'/>
    <interface type='network'><mac address='{self.mac}'/><source network='{self.vn}'/>
      <model type='virtio'/><driver name='qemu' rx_queue_size='1024'/><mtu size='{self.mtu}'/>
      <port isolated='yes'/><rom enabled='no'/></interface>
    <serial type='file'><source path='/var/log/libvirt/{self.name}.console'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
"""

    def create(self, hypervisor, timeout=60):
        path = os.path.join(hypervisor.folder, self.name + ".xml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(self.xml())
        with contextlib.suppress(OSError):
            os.unlink(self.console(hypervisor))
        hypervisor.virsh("create", path, timeout=timeout)
        self.at = hypervisor

    def said(self):
        """Its console, where it runs."""
        with contextlib.suppress(OSError), open(self.console(self.at), "rb") as f:
            return f.read()
        return b""

    def wait_booted(self):
        wait_for(f"{self.name} to boot (console {self.console(self.at)})",
                 lambda: b"guest: ready" in self.said(), BOOT_S, 0.05)

    def taken(self):
        """Number of frames that QEMU has taken out of its tap: those that wait do not count."""
        out = self.at.server.run(["ip", "-j", "-s", "link", "show", "dev", self.tap()])
        return json.loads(out.stdout)[0]["stats64"]["tx"]["packets"]

    def tap(self, hypervisor=None):
        """Name of its interface on the server."""
        rows = (hypervisor or self.at).virsh("domiflist", self.name).splitlines()
        return rows[0].split()[0]

    def migrate(self, to, *more, timeout=60):
        """A live migration."""
        self.finish(self.begin_migration(to, *more), to, timeout)

    def begin_migration(self, to, *more):
        """The same, not waited for: finish(process, to) later."""
        process = subprocess.Popen(
            [VIRSH, "-q", "-c", self.at.uri, "migrate", "--live", "--p2p", *more, self.name,
             f"qemu+tcp://{to.address}/system"], text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self.lab.note_process(process)
        return process

    def finish(self, process, to, timeout=60):
        try:
            out = process.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            raise LabError(f"{self.name} to {to.server.name}: not within {timeout} s\n"
                           f"{self.at.tail()}\n{to.tail()}") from None
        if process.returncode:
            raise LabError(f"{self.name} to {to.server.name}: {out.strip()}")
        self.at = to

    def ask(self, vm, port=ECHO_PORT, text=b"12345678", wait_s=0.3):
        """One question to the guest from a namespace VM; the answer, or None."""
        with vm.inside():
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with s, contextlib.suppress(OSError):
            s.settimeout(wait_s)
            s.connect((self.ip4, port))
            s.send(text)
            return s.recv(2048)


class Watched:
    """What pings to a machine become while the block runs, and its interfaces on both
    servers: `with Watched(asker, machine) as w:`, then w.out (see probe.c) and w.taps."""

    def __init__(self, asker, machine, interval_us):
        self.asker, self.machine, self.interval_us = asker, machine, interval_us
        self.taps, self.out, self.probe = [], None, None

    def tap(self, hypervisor):
        """Watches the interface there, too: as soon as it is there."""
        self.taps.append(Tap(self.machine, hypervisor))

    def __enter__(self):
        self.tap(self.machine.at)
        self.probe = labs.Probe.ping(self.asker, self.machine.ip4, self.interval_us)
        return self

    def __exit__(self, kind, *more):
        self.out = self.probe.end()
        for tap in self.taps:
            tap.read()
            tap.close()

    def duplicated(self):
        """Answers that came twice and left the machine once. (A machine that QEMU has
        broken may say things twice itself.)"""
        return [d for d in self.out["duplicates_at"]
                if sum(t.answers[d[0]] for t in self.taps) < 2]


class MachineLab:
    """Three ToRs; srv1 and srv2 run libvirtd, a namespace VM behind tor3 asks. All are in
    the VN red. `with MachineLab() as ml:`"""

    def __init__(self, vn="red", vni=5000, **kw):
        self.lab = labs.Lab(tors=3, **kw)
        self.vn, self.vni = vn, vni
        self.hypervisors = [Hypervisor(s) for s in self.lab.servers[:2]]
        self.events, self.machines, self.asker = {}, [], None
        self.booted = {}                 # machine: marks of the events then
        self.broken = 0                  # machines that QEMU broke (alive)

    def up(self):
        lack = missing()
        if lack:
            raise LabError(lack)
        self.lab.up()
        management(self.lab)
        for h in self.hypervisors:
            h.prepare()
            h.start(wait=False)
        self.lab.start()
        self.lab.nva.vn_add(self.vni, self.vn, arp="suppress", mtu=1450)
        for h in self.hypervisors:
            h.wait_ready()
            h.probe_capabilities()
            h.network(self.vn)
            self.events[h] = Events(h)
        for h in self.hypervisors:
            wait_for(f"the agent of {h.server.name} to follow libvirt", lambda at=h.server.daemon:
                     at.rows("ping")[0].get("libvirt"), 20)
        self.asker = self.lab.add_vm(self.lab.servers[2])
        self.asker.associate(self.vn)
        return self

    def add_machine(self, hypervisor=None):
        """A machine that has booted and answers."""
        m = Machine(self.lab, len(self.machines) + 1, self.vn)
        self.machines.append(m)
        self.boot(m, hypervisor or self.hypervisors[0])
        return m

    def boot(self, machine, hypervisor):
        machine.create(hypervisor)
        machine.wait_booted()
        self.booted[machine] = {h: e.mark() for h, e in self.events.items()}

    def alive(self, machine, deadline_s=10):
        """Does it answer? False: it does not, has shown itself that it is broken, and has
        been made anew on its server. Emulation (TCG) loses a store of the guest when its
        CPU's thread is preempted at the wrong moment of a migration; the guest then finds
        its rings inconsistent, or panics. On a busy machine that is one migration in some
        fifty; more than BROKEN_MAX in one lab are an error, and so is a machine that is
        silent and shows nothing: then the network is at fault."""
        with contextlib.suppress(LabError):
            wait_for("an answer", lambda: machine.ask(self.asker), deadline_s)
            return True
        where = f"{machine.name} on {machine.at.server.name}"
        why = self.broken_by_itself(machine)
        if not why:
            raise LabError(f"{where}: silent, and nothing is wrong with it")
        self.broken += 1
        print(f"{where}: broken by QEMU ({self.broken} of {BROKEN_MAX} at most): {why}")
        if self.broken > BROKEN_MAX:
            raise LabError(f"{where}: QEMU has broken {self.broken} machines")
        machine.at.virsh("destroy", machine.name)
        self.boot(machine, machine.at)
        wait_for("an answer of the new machine", lambda: machine.ask(self.asker), 20)
        return False

    def broken_by_itself(self, machine):
        """How a silent machine shows that it is broken, not by way of our network: by its
        console, by its reset, or by taking none of the frames that wait in its tap. ""
        when it does not."""
        said = BROKEN.search(machine.said())
        if said:
            return said[0].decode(errors="replace")
        if any(e.since(self.booted[machine][h], domain=machine.name, qemu="RESET")
               for h, e in self.events.items()):
            return "it was reset"
        count, taken = len(machine.said()), machine.taken()
        with Watched(self.asker, machine, 10000) as w:
            with contextlib.suppress(LabError):
                wait_for("its console", lambda: len(machine.said()) > count, SILENT_S)
        if len(machine.said()) == count:
            return f"its console has been silent for {SILENT_S} s"
        if w.taps[0].asked and machine.taken() == taken:
            return f"it took none of {len(w.taps[0].asked)} frames"
        return ""

    def other(self, hypervisor):
        return next(h for h in self.hypervisors if h is not hypervisor)

    def down(self):
        self.lab.down()

    def __enter__(self):
        try:
            return self.up()
        except BaseException:
            self.down()
            raise

    def __exit__(self, *exc):
        self.lab.__exit__(*exc)


class Pause:
    """When a machine did not run, by QEMU's own stamps: from STOP to RESUME. Times are
    CLOCK_MONOTONIC in ns, as the probe's."""

    def __init__(self, source, target, marks):
        stop = source.expect("STOP", lambda e: e.get("qemu") == "STOP", marks[0])
        start = target.expect("RESUME", lambda e: e.get("qemu") == "RESUME", marks[1])
        self.shift_ns = time.time_ns() - time.monotonic_ns()
        self.stop_ns, self.resume_ns = (e["at_us"] * 1000 - self.shift_ns for e in (stop, start))

    @property
    def ms(self):
        return (self.resume_ns - self.stop_ns) / 1e6

    @property
    def stop_s(self):
        """Its beginning by the time of day."""
        return (self.stop_ns + self.shift_ns) / 1e9

    def said_on_return(self, lost_at, taps):
        """How many of those that were lost it answered after the pause."""
        return sum(t.answered.get(number, 0) > self.resume_ns for number, *_ in lost_at for t in taps)

    def beyond(self, lost_at, taps, until_ns=0):
        """Of the packets that were lost, those that neither the pause explains (sent after
        it and after until_ns, or before it) nor the machine: it got them and was silent.
        Until until_ns, when its edge admits it again, what it answers is not taken, either.
        With the times at which the machine's interfaces saw them and their answers, all
        in ms after STOP."""
        def ms(ns):
            return round((ns - self.stop_ns) / 1e6, 3)
        found = []
        for number, sent, _ in lost_at:
            asked = [t.asked[number] for t in taps if number in t.asked]
            answered = [t.answered[number] for t in taps if number in t.answered]
            early = [ns for ns in answered if self.resume_ns <= ns <= until_ns]
            if not self.stop_ns <= sent <= max(self.resume_ns, until_ns) \
                    and not early and (answered or not asked):
                found.append((number, ms(sent), [ms(x) for x in asked], [ms(x) for x in answered]))
        return found


class Tap:
    """The probe's questions that reached a machine's interface on its server, fit to be
    taken by it, and the answers that came out of it, by number. It is watched from now on,
    read at the end."""

    MARK = b"berthprb"
    ALL, REQUEST, REPLY = 3, 8, 0        # ETH_P_ALL; ICMP types

    def __init__(self, machine, hypervisor):
        self.asked, self.answered = {}, {}           # number: first at CLOCK_MONOTONIC in ns
        self.answers = collections.Counter()         # by number
        self.mac = labs.mac_bytes(machine.mac)
        name = machine.tap(hypervisor)
        with hypervisor.server.inside():
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            # nobody reads until the end: a migration's worth of packets waits here
            self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
            self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            self.sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            self.sock.bind((name, self.ALL))
        self.sock.setblocking(False)

    def _next(self):
        """(frame, time), or None: all have been read. Tagged frames are left out: the
        kernel keeps the tag apart, and the machine takes none."""
        while True:
            try:
                data, extra, _, _ = self.sock.recvmsg(
                    256, socket.CMSG_SPACE(16) + socket.CMSG_SPACE(AUXDATA.size))
            except BlockingIOError:
                return None
            except OSError as e:
                if e.errno != errno.ENETDOWN:        # said once when the tap has gone
                    raise
                continue
            said = {kind: d for _, kind, d in extra}
            if AUXDATA.unpack(said[PACKET_AUXDATA])[0] & TP_STATUS_VLAN_VALID:
                continue
            s, ns = struct.unpack("=qq", said[SO_TIMESTAMPNS])
            return data, s * 10 ** 9 + ns

    def read(self):
        """What has come until now; asked and answered grow."""
        shift = time.time_ns() - time.monotonic_ns()
        for data, ns in iter(self._next, None):
            if data[12:14] == b"\x08\x00" and data[23] == 1 and data[42:50] == self.MARK:
                number = int.from_bytes(data[50:58], sys.byteorder)
                seen = {self.REQUEST: self.asked, self.REPLY: self.answered}[data[34]]
                if data[:6] != self.mac and seen is self.asked:
                    continue
                seen.setdefault(number, ns - shift)
                self.answers[number] += seen is self.answered

    def close(self):
        self.sock.close()


def main():
    """A lab that stays, with one machine in it, and what to try."""
    if os.geteuid() != 0:
        print("this needs root: it makes network namespaces", file=sys.stderr)
        return 2
    ml = MachineLab()
    try:
        ml.up()
        m = ml.add_machine()
        wait_for("an answer of the guest", lambda: m.ask(ml.asker), 30, 0.05)
    except BaseException as e:
        ml.down()
        if isinstance(e, (LabError, image.ImageError, subprocess.TimeoutExpired)):
            print(f"the lab did not come up: {e}", file=sys.stderr)
            return 1
        raise
    a, b = ml.hypervisors
    berth, tes = labs.program("berth"), a.server.daemon.control
    print(f"""{m.name} ({m.ip4}, {m.mac}) runs on {a.server.name}, behind {a.server.nve.name}. Try (as root):
  nsenter --net=/run/netns/{ml.asker.ns} ping -i 0.01 {m.ip4}
  virsh -c '{a.uri}' list
  virsh -c '{a.uri}' migrate --live --p2p {m.name} qemu+tcp://{b.address}/system
  virsh -c '{b.uri}' dumpxml {m.name}
  {berth} -s {tes} show vms
  {berth} -s {ml.lab.nva.daemon.control} show mappings
Logs are in {ml.lab.dir}. Take all of it down with:
  {os.path.join(labs.ROOT, 'lab', 'lab.py')} down {ml.lab.prefix}""")
    return 0


if __name__ == "__main__":
    sys.exit(main())
