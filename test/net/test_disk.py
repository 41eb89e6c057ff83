# SPDX-License-Identifier: Apache-2.0
"""The disk of an edge is full: what cannot be written is not promised (K7)."""
import os
import subprocess

import pytest

from lab import LabError, wait_for


@pytest.fixture
def small_disk(lab2):
    """The first ToR restarted on a state directory of 256 kB."""
    tor = lab2.tors[0]
    tor.daemon.kill()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", tor.daemon.state_dir],
                   check=True)
    try:
        tor.start()
        yield lab2, tor
    finally:
        tor.daemon.kill()
        subprocess.run(["umount", "-l", tor.daemon.state_dir], check=True)


def fill(path):
    with open(path, "wb", buffering=0) as f:
        try:
            while True:
                f.write(bytes(4096))
        except OSError:
            pass


def test_what_the_journal_cannot_take_is_refused(small_disk):
    lab, tor = small_disk
    vms = [lab.add_vm(lab.servers[0]) for _ in range(40)]
    vms[0].associate("red")
    ballast = os.path.join(tor.daemon.state_dir, "ballast")
    fill(ballast)
    refused = []
    for vm in vms[1:]:
        try:
            vm.associate("red")
        except LabError as why:
            assert "journal" in str(why)
            refused.append(vm)
            break
    assert refused, "forty attachments fit into a page of journal"
    names = {r["mac"] for r in tor.daemon.rows("show attachments")}
    assert refused[0].mac not in names
    assert vms[0].mac in names
    # What was answered survives, what was refused does not come back.
    tor.daemon.kill()
    os.unlink(ballast)
    tor.start()
    assert {r["mac"] for r in tor.daemon.rows("show attachments")} == names
    refused[0].associate("red")
    wait_for("its mapping", lambda: refused[0].mac in {
        r["mac"] for r in lab.nva.daemon.rows("show mappings")})
