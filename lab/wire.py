# SPDX-License-Identifier: Apache-2.0
"""Beneath the lab: waiting for a condition, and frames as they are on a wire."""
import socket
import struct
import time

SOL_PACKET, PACKET_AUXDATA = 263, 8
TCI_VALID = 0x10                         # TP_STATUS_VLAN_VALID


class LabError(Exception):
    """Something in the lab did not come up; the message names what and where to look."""


def wait_for(what, condition, deadline_s=10.0, step_s=0.01):
    """Return the first true value of condition(), or raise LabError naming `what`."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise LabError(f"{what}: not within {deadline_s} s")
        time.sleep(step_s)


def frame(dst, src, vid=None, ethertype=0x88b5, payload=bytes(46)):
    """An Ethernet frame as bytes, with an 802.1Q tag when vid is given."""
    tag = b"" if vid is None else struct.pack("!HH", 0x8100, vid)
    return (bytes.fromhex(dst.replace(":", "")) + bytes.fromhex(src.replace(":", "")) + tag
            + struct.pack("!H", ethertype) + payload)


def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


def arp(op, mac, ip, target_ip, target_mac="00:00:00:00:00:00", vid=None, dst=None):
    """An ARP frame; op 1 asks (to all, unless dst says otherwise), 2 answers."""
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, op) + mac_bytes(mac) + socket.inet_aton(ip) \
        + mac_bytes(target_mac) + socket.inet_aton(target_ip)
    return frame(dst or ("ff:ff:ff:ff:ff:ff" if op == 1 else target_mac), mac, vid, 0x0806,
                 body.ljust(46, b"\0"))


class Wire:
    """Frames just as they are, out of and into an interface of a namespace. What other
    programs there do with them (tc, sockets) goes on beside it."""

    def __init__(self, node, interface, ethertype=3):
        with node.inside():
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        with node.inside():              # names of interfaces are looked up at bind
            self.sock.bind((interface, ethertype))

    def send(self, *frames):
        for f in frames:
            self.sock.send(f)

    def frames(self, wait_s=0.0):
        """The frames that came in, tags put back, until none comes for wait_s."""
        while True:
            self.sock.settimeout(max(wait_s, 0.0005))
            try:
                data, extra, _, (_, _, kind, _, _) = self.sock.recvmsg(
                    65536, socket.CMSG_SPACE(20))
            except TimeoutError:
                return
            if kind == socket.PACKET_OUTGOING:
                continue
            for level, what, aux in extra:
                status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", aux[:20])
                if (level, what) == (SOL_PACKET, PACKET_AUXDATA) and status & TCI_VALID:
                    data = data[:12] + struct.pack("!HH", tpid or 0x8100, tci) + data[12:]
            yield data

    def expect(self, what, match, deadline_s=5.0):
        """The first frame for which match(frame) is true; others are thrown away."""
        return wait_for(what, lambda: next(filter(match, self.frames()), None), deadline_s)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
