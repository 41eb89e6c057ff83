# SPDX-License-Identifier: Apache-2.0
"""A VDP station made of octets, for what no honest station would send."""
import struct
import time

from lab import Wire, mac_bytes, wait_for

NCB = bytes.fromhex("0180c2000000")
ECP, LLDP = b"\x89\x40", b"\x88\xcc"
PREASSOC, PREASSOC_RR, ASSOC, DEASSOC = 1, 2, 3, 4
RTE_S = 0.05
ACK, KEEP, HARD = 0x40, 0x20, 0x10


def uuid_bytes(n):
    return bytes.fromhex("0badcafe00004000") + n.to_bytes(8, "big")


def uuid(n):
    text = uuid_bytes(n).hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def tlv(kind, body):
    return struct.pack("!H", kind << 9 | len(body)) + body


def manager(text=b"mgr1"):
    return tlv(5, text.ljust(16, b"\0"))


def entry(mac=None, vni=None, tci=0):
    return (b"" if vni is None else struct.pack("!I", vni)) + \
        (b"" if mac is None else mac_bytes(mac)) + struct.pack("!H", tci)


def vsi(kind, n, entries, filter_format=4, status=0, type_id=5, version=1):
    entries = [entries] if isinstance(entries, bytes) else entries
    return tlv(kind, struct.pack("!B", status) + type_id.to_bytes(3, "big") + bytes([version, 5])
               + uuid_bytes(n) + struct.pack("!BH", filter_format, len(entries)) + b"".join(entries))


def ecp(mac, seq, body, op=0, subtype=1, version=1, dst=NCB, tag=b""):
    return dst + mac_bytes(mac) + tag + ECP + \
        struct.pack("!HH", version << 12 | op << 10 | subtype, seq & 0xffff) + body


class Answer:
    def __init__(self, kind, body):
        self.kind, self.status = kind, body[0]
        self.number = int.from_bytes(body[14:22], "big")
        self.filters = body[25:]
        self.tci = struct.unpack("!H", body[-2:])[0] if len(self.filters) >= 2 else 0
        self.vid, self.code = self.tci & 0xfff, self.status & 0xf
        self.ok = bool(self.status & ACK) and not self.code


class Station:
    """Sends requests as it likes on a server's uplink; acknowledges unless told not to."""

    def __init__(self, server, mac=None, interface="up0"):
        self.mac = mac or server.uplink_mac
        self.wire, self.seq, self.sent = Wire(server, interface), 0, []
        self.answers, self.acked = [], True

    def post(self, *vsis, manager_id=b"mgr1", end=True):
        """One ECPDU; what was sent is kept for replays."""
        self.seq = self.seq % 0xffff + 1
        body = manager(manager_id) + b"".join(vsis) + (b"\0\0" if end else b"")
        self.sent.append(ecp(self.mac, self.seq, body))
        self.acked = False
        self.wire.send(self.sent[-1])

    def poll(self):
        """Takes in what came: acknowledges requests, keeps the VSI TLVs in them."""
        for f in self.wire.frames():
            if f[12:14] != ECP or len(f) < 18:
                continue
            head, seq = struct.unpack("!HH", f[14:18])
            if head >> 10 & 3:
                self.acked = self.acked or seq == self.seq
                continue
            self.wire.send(ecp(self.mac, seq, b"", op=1))
            at = 18
            while at + 2 <= len(f) and f[at] >> 1:
                kind, size = f[at] >> 1, (f[at] & 1) << 8 | f[at + 1]
                if 1 <= kind <= 4:
                    self.answers.append(Answer(kind, f[at + 2:at + 2 + size]))
                at += 2 + size
        return self.answers

    def answer(self, n, deadline_s=5.0):
        """The next answer for VSI n; the last PDU is sent again until its acknowledgement."""
        again = time.monotonic() + RTE_S

        def mine():
            nonlocal again
            found = next((a for a in self.poll() if a.number == n), None)
            if found:
                self.answers.remove(found)
            elif not self.acked and time.monotonic() > again:
                self.wire.send(self.sent[-1])
                again = time.monotonic() + RTE_S
            return found
        return wait_for(f"an answer for VSI {n}", mine, deadline_s, 0.002)

    def request(self, kind, n, entries, **kw):
        self.answers = [a for a in self.poll() if a.number != n]
        self.post(vsi(kind, n, entries, **kw))
        return self.answer(n)

    def close(self):
        self.wire.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
