# SPDX-License-Identifier: Apache-2.0
"""The same edge with an unmodified lldpad as the station, whose frames berth-tes tags.

    vmA ─ srv1 (lldpad, berth-tes --station=lldpad) ═══ tor1 ─── tor2 ═══ srv2 ─ vmB

lldpad's own floor shows here (it answers commands from a timer, one VSI per PDU), so there
are no targets: the edge's part is the time between the two frames on the wire.
"""
import os
import select
import socket
import statistics
import struct
import sys
import time

import lab as labs
from lab import wait_for

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))
import lldpad  # noqa: E402

VNI, PORT, SO_TIMESTAMPNS = 5000, 5304, 35


def stamped(s):
    """(octets, kernel's time stamp, address) of what has come, or None."""
    try:
        data, extra, _, address = s.recvmsg(2048, 256, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    sec, nsec = struct.unpack("qq", extra[0][2][:16])
    return data, sec + nsec / 1e9, address


def open_tap(node):
    with node.inside():
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        s.bind(("up0", 3))
    return s


def open_udp(node, port=None):
    with node.inside():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    if port:
        s.bind(("", port))
    return s


def signalling(tap, vsi):
    """Times of the first request and the first answer about a VSI on the tapped link."""
    request = answer = None
    while (got := stamped(tap)) is not None:
        frame, at, (_, _, kind, *_) = got
        if frame[12:14] != b"\x89\x40" or frame[14] & 0x0c or vsi not in frame:
            continue                     # not ECP, or an acknowledgement
        if kind == socket.PACKET_OUTGOING:
            request = request or at
        elif request:
            answer = answer or at
    return request, answer


def one(station, a, b, tap, source, sink):
    """Seconds from the request on the wire to its answer there, and to the datagram."""
    signalling(tap, b"")
    a.run(["ip", "neigh", "flush", "dev", "eth0"])
    while stamped(sink):
        pass
    # it waits in vmA for the answer to its ARP, which is asked again and again until
    # the edge lets vmA in
    source.sendto(b"first", (b.ip4, PORT))
    station.request("assoc", a.vsi, lldpad.group_mac_filter(0, a.mac, VNI),
                    cisco={"ipv4_addr": a.ip4})
    got = None
    if select.select([sink], [], [], 5)[0]:
        got = stamped(sink)
    request, answer = signalling(tap, bytes.fromhex(a.vsi.replace("-", "")))
    station.request("deassoc", a.vsi, station.client.get(a.vsi).filters[0])
    wait_for("the agent has let it go", lambda: not [
        v for v in a.server.daemon.rows("show vms") if v["state"] == "ASSOC"])
    if not request or not answer or not got:
        raise labs.LabError("lldpad: no answer, or no datagram came through")
    return answer - request, got[1] - request


def run(bench):
    rounds = 5 if bench.quick else 60
    with labs.Lab(tors=2, log_level="warning") as lab:
        near, far = lab.servers
        near.settings = 'station = "lldpad"\nlldpad_poll = 500ms'
        lab.start()
        lab.nva.vn_add(VNI, "red", arp="suppress", mtu=1450)
        a, b = lab.add_vm(near), lab.add_vm(far)
        b.associate("red")
        a.run(["sysctl", "-qw", "net.ipv4.neigh.eth0.retrans_time_ms=2",
               "net.ipv4.neigh.eth0.mcast_solicit=1000"])
        near.daemon.rows("vm follow", **{"if": a.ifname, "mac": a.mac})
        with lldpad.Lldpad(near) as station:
            tap, source, sink = open_tap(near), open_udp(a), open_udp(b, PORT)
            both = []
            for _ in range(rounds):
                time.sleep(0.02)         # pacing: the gap of K13 after the round before
                both.append(one(station, a, b, tap, source, sink))
    bench.row("assoc_lldpad_answer_ms_p50", 1000 * statistics.median(x for x, _ in both), "ms")
    bench.row("assoc_lldpad_answer_ms_p99",
              1000 * sorted(x for x, _ in both)[len(both) * 99 // 100], "ms")
    bench.row("assoc_lldpad_first_packet_ms_p50", 1000 * statistics.median(y for _, y in both),
              "ms")
