# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the net tests: real daemons in the lab's namespaces."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lab"))
import lab as labs  # noqa: E402
import moves  # noqa: E402


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs root: it makes network namespaces"))


@pytest.fixture
def lab2():
    """Two ToRs with a server each, the authority, VNs red 5000 and blue 5001; all started."""
    with labs.Lab(tors=2, servers_per_tor=1) as lab:
        lab.start()
        lab.nva.vn_add(5000, "red", arp="suppress", mtu=1450)
        lab.nva.vn_add(5001, "blue", arp="suppress", mtu=1450)
        yield lab


@pytest.fixture
def make_lab():
    """A function that builds labs of any shape and takes them down at the end."""
    made = []

    def make(**kw):
        lab = labs.Lab(**kw)
        made.append(lab)
        return lab.up()
    yield make
    for lab in made:
        lab.down()


@pytest.fixture(scope="module")
def standing():
    """The lab that tests leave to the next one, while it is sound."""
    held = []
    yield held
    for lab in held:
        lab.down()


@pytest.fixture
def three(standing):
    """A VM that moves between tor1 and tor2, its peer behind tor3."""
    if standing:
        try:
            moves.settled(standing[0], standing[0].vm, 2)
        except (labs.LabError, OSError):
            standing.pop().down()        # a test has failed in it
    if not standing:
        lab = moves.started(lambda **kw: labs.Lab(**kw).up(), tors=3)
        standing.append(lab)
        moves.ready(lab, lab.add_moving_vm(lab.servers[:2]), lab.add_vm(lab.servers[2]))
    return standing[0]
