# SPDX-License-Identifier: GPL-2.0-or-later
"""A test with the argument `lab` runs in a lab of its own, see lab.py. @pytest.mark.limit(SECONDS) changes its time."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as the_lab  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "limit(seconds): how long the test may take at most")


@pytest.fixture
def lab():
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces, nftables, suntapd with CAP_NET_ADMIN")
    for program in ("suntapd", "suntap-decoder", "tests/peer"):
        if not os.path.exists(f"{the_lab.BUILD}/{program}"):
            pytest.fail(f"{the_lab.BUILD}/{program} is not built: make check-system", pytrace=False)
    return the_lab.Lab()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if "lab" not in pyfuncitem.fixturenames:
        return None
    marker = pyfuncitem.get_closest_marker("limit")
    seconds = (marker.args[0] if marker else 60) * (the_lab.SOAK if the_lab.SOAK > 1 else 1)
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    wrong = the_lab.in_lab(arguments["lab"], lambda: pyfuncitem.obj(**arguments), seconds)
    if wrong and wrong.startswith("skip "):
        pytest.skip(f"no namespaces on this machine: {wrong[5:]}")
    if wrong:
        pytest.fail(wrong, pytrace=False)
    return True
