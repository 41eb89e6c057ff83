# SPDX-License-Identifier: Apache-2.0
"""The twelve legal orders of requirements 4.1 between real daemons and kernels: the fate of
packets in each of the five intervals, while the remote edge hears of nothing. What is told
apart from frame to frame is test/unit/test_orders.c."""
import os
import signal
import time

import pytest

from lab import Probe, frame, wait_for
from moves import counted, other, owner, settled, total

# p paused, s started, l the old edge told, L the new one told. D to the old place, R
# relayed, B waits and comes; x may be lost: the VM is paused; X: it runs, and nobody has
# been told.
ORDERS = {
    "p s l L": "DxXBR", "p s L l": "DxXXR", "p l s L": "DxBBR", "p l L s": "DxBBR",
    "p L s l": "DxxXR", "p L l s": "DxxBR", "l p s L": "DDBBR", "l p L s": "DDBBR",
    "l L p s": "DDDBR", "L p s l": "DDxXR", "L p l s": "DDxBR", "L l p s": "DDDBR",
}
INTERVAL_S = 0.04


class Sender:
    """Two phases: told early, the old edge is only armed, and hears of the pause when it
    comes; the new one is told early by `pre`, and activated before the start."""

    def __init__(self, vm, pause_word="commit"):
        self.vm, self.pause_word, self.told = vm, pause_word, set()
        self.move = vm.migration(other(vm))

    def tell(self, *steps):
        self.vm.tell(self.move, *steps)

    def p(self):
        if "l" in self.told:
            self.tell("hold")
        self.vm.pause(self.move)
        if "l" in self.told:
            self.tell(self.pause_word)

    def s(self):
        if "L" in self.told:
            self.tell("asso")
        self.vm.start(self.move)

    def l(self):                         # noqa: E743
        if "p" not in self.told:
            self.tell("prepare")
            return
        if self.pause_word == "suspend" and "L" not in self.told:
            self.tell("prepare")         # else it is no migration (S3-30)
            self.tell("suspend")
        else:
            self.tell("commit")

    def L(self):
        self.tell("pre")
        if "s" in self.told:
            self.tell("asso")


class OnePhase(Sender):
    """One word for each, obeyed at once (A5). The new server learns its tag with the answer
    to a claim."""

    def p(self):
        self.vm.pause(self.move)

    def s(self):
        self.vm.start(self.move)

    def l(self):                         # noqa: E743
        self.tell("commit")

    def L(self):
        self.tell("asso")


SENDERS = {
    "two phases": Sender,
    "suspend": lambda vm: Sender(vm, "suspend"),
    "one phase": OnePhase,
}


def walked(lab, sender, order):
    """Steps in this order, one each interval; (the probe's report, when each step was)."""
    times, far = [], lab.tors[2].daemon.process
    with counted(Probe.stream(lab.peer, lab.vm, 1000)) as reports:
        os.kill(far.pid, signal.SIGSTOP) # not yet updated; its data plane goes on
        try:
            for event in order.split():
                before = time.monotonic_ns()
                getattr(sender, event)()
                sender.told.add(event)
                times.append((before, time.monotonic_ns()))
                time.sleep(INTERVAL_S)   # the interval
        finally:
            os.kill(far.pid, signal.SIGCONT)
        sender.tell("terminate")
    return reports[0], times


@pytest.mark.parametrize("who", SENDERS)
@pytest.mark.parametrize("order", ORDERS)
def test_order(three, order, who):
    before = {n: total(three, n) for n in ("relayed", "held", "released", "drop_held")}
    report, times = walked(three, SENDERS[who](three.vm), order)
    bad = []
    for _, sent, _ in report["lost_at"]:
        # an interval ends when its event is done, the next begins when it starts
        fates = {fate for i, fate in enumerate(ORDERS[order])
                 if (i == 0 or sent >= times[i - 1][0] - 2e6)
                 and (i == len(times) or sent <= times[i][1])}
        if not fates & set("xX"):
            bad.append(sum(sent >= t[0] for t in times))
    # of packets that should not have been lost: the interval of each
    assert bad == []
    assert (report["duplicates"], report["reordered"]) == (0, 0)
    settled(three, three.vm)
    count = {n: total(three, n) - was for n, was in before.items()}
    assert count["relayed"] > 10, count  # R: the remote edge has heard of nothing
    if "B" in ORDERS[order]:
        assert count["held"] > 10, count
    assert count["held"] == count["released"] and not count["drop_held"]


def test_what_the_old_port_sends_after_the_pause_is_refused(three):
    """Late frames of the old server must not teach anybody the old place (4.1)."""
    vm, peer, source = three.vm, three.peer, three.vm.server
    old, target = source.nve, other(vm)
    vid = next(a["vid"] for a in old.daemon.rows("show attachments", mac=vm.mac))
    late = [frame(peer.mac, vm.mac, vid)] * 5

    def refused(counter):
        before, taken = old.counters()[counter], three.tors[2].counters()["rx_overlay"]
        source.send_raw("up0", late)
        wait_for(counter, lambda: old.counters()[counter] == before + len(late))
        assert three.tors[2].counters()["rx_overlay"] == taken
    move = vm.migration(target)
    vm.tell(move, "pre")
    vm.tell(move, "prepare")
    vm.pause(move)
    vm.tell(move, "commit")
    refused("drop_inactive")
    vm.tell(move, "asso")
    vm.start(move)
    refused("drop_inactive")
    vm.tell(move, "terminate")
    settled(three, vm)
    assert [o for o, _ in owner(three, vm)] == [target.nve.vtep]
    refused("drop_no_vap")               # the tag drains (F16)
