# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the interoperation tests: daemons of ours beside programs that are not."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lab"))
import lab as labs  # noqa: E402


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs root: it makes network namespaces"))


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
