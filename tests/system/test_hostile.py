# SPDX-License-Identifier: GPL-2.0-or-later
"""The decoder taken over (tests/tools/hostile.c), stopped, spinning: suntapd, its relay and the kernel do not care."""
import os
import re
import shutil
import signal
from unittest import mock

import pytest
from lab import *


GROUP = 5       # after more deaths in a row suntapd waits for long before it tries again


def start_with(lab, decoder, **options):
    """suntapd from a folder in which it finds another program in its decoder's place."""
    home = "/run/home"
    os.makedirs(home, exist_ok=True)
    shutil.copy(f"{BUILD}/suntapd", f"{home}/suntapd")
    shutil.copy(decoder, f"{home}/suntap-decoder")
    with mock.patch("lab.BUILD", home):
        return lab.start(**options)


def names_of_attempts():
    text = open(f"{TOP}/tests/tools/hostile.c", encoding="utf-8").read()
    return re.findall(r'\{ "([^"]+)", \w+ \}', text)


@pytest.mark.skipif(SANITIZED, reason="under a sanitizer the filter lets more pass")
@pytest.mark.parametrize("first", range(0, len(names_of_attempts()), GROUP))
def test_a_decoder_that_was_taken_over_gets_nowhere(lab, first):
    attempts = names_of_attempts()[first:first + GROUP]
    server = Peer("cloud", "server", "--flows", 0, "--timeout", 60, address=CLOUD)
    daemon = start_with(lab, f"{BUILD}/tests/hostile", env={"HOSTILE_FIRST": str(first), "HOSTILE_COUNT": str(GROUP)})
    client = Peer("inverter", "client", "--flows", 40, "--parallel", 10, "--bytes", 1000000, "--timeout", 60, address=CLOUD)
    until(lambda: "hostile: end" in daemon.log(), 50, "the last attempt")
    log = daemon.log()
    assert "DONE" not in log
    for name in attempts:
        assert f"hostile: try {name}\n" in log, name
    # each was refused, or was its end: by the sandbox (SIGSYS), by suntapd (SIGKILL), by itself (SIGSEGV)
    deaths = [int(n) for n in re.findall(r"was killed by signal (\d+)", log)]
    assert set(deaths) <= {signal.SIGSYS, signal.SIGKILL, signal.SIGSEGV}
    assert log.count("hostile: refused") + len(deaths) == len(attempts), log
    assert client.result()["ok"] == 40
    server.result()
    assert not os.path.exists("/run/owned")
    assert daemon.stop() == 0


def test_a_decoder_that_never_starts(lab):
    """It ends at once, again and again: the ring fills, the flows do not notice, the status says so, the journal once."""
    with open("/run/ends-at-once", "w") as f:
        f.write("#!/bin/sh\necho started >>/run/starts\nexit 3\n")
    os.chmod("/run/ends-at-once", 0o755)
    server = Peer("cloud", "server", "--flows", 0, "--timeout", 60, address=CLOUD)
    daemon = start_with(lab, "/run/ends-at-once")
    client = Peer("inverter", "client", "--flows", 100, "--bytes", 1000000, "--timeout", 50, address=CLOUD)
    assert client.result()["ok"] == 100
    server.result()
    assert "being started again" in until(lambda: daemon.status() if "again" in daemon.status() else "", 10)
    until(lambda: len(open("/run/starts").readlines()) >= 8, 30, "one start after the other")
    told = lab.events("DECODER_RESTARTED")
    assert [e["PRIORITY"] for e in told] == ["4"] * 5 + ["3"]
    assert "ended with status 3" in told[-1]["MESSAGE"] and "_COMM=suntap-decoder" in told[-1]["MESSAGE"]
    assert daemon.stop() == 0
