# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/fleet.md, tried on loopback: gateways' systemd-journal-upload, a central systemd-journal-remote, one exporter."""
import os
import subprocess

import pytest

from export_lab import REMOTE, T0, Exporter, Influx, Journal, free_port, reading, wait_for

UPLOAD = "/lib/systemd/systemd-journal-upload"


class Gatherer:
    """systemd-journal-remote as the central machine's service runs it."""

    def __init__(self, folder):
        self.folder, self.port, self.process = str(folder), free_port(), None
        os.makedirs(self.folder, exist_ok=True)

    def __enter__(self):
        self.process = subprocess.Popen([REMOTE, f"--listen-http=127.0.0.1:{self.port}", f"--output={self.folder}",
                                         "--split-mode=host"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("systemd-journal-remote", lambda: subprocess.run(
            ["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{self.port}"], stderr=subprocess.DEVNULL, check=False).returncode == 0)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)


def upload(gatherer, journal, state):
    return subprocess.run([UPLOAD, "--follow=no", f"--url=http://127.0.0.1:{gatherer.port}", f"--directory={journal.folder}",
                           f"--save-state={state}"], stderr=subprocess.PIPE, text=True, timeout=30, check=False)


@pytest.mark.skipif(not os.path.exists(UPLOAD), reason="systemd-journal-remote is not installed")
def test_from_two_gateways_to_one_database(tmp_path):
    gateways = [Journal(tmp_path / name, machine) for name, machine in (("one", "1" * 32), ("two", "2" * 32))]
    gathered = tmp_path / "remote"
    with Influx(tmp_path / "influx") as influx:
        influx.query("CREATE DATABASE solar")
        central = Journal(gathered)
        config = f"[influxdb t]\nurl = {influx.url}\ndatabase = solar\ntags = serial, machine\n"
        with Exporter(tmp_path, config, journal=central) as e:
            with Gatherer(gathered) as g:
                gateways[0].write([reading(n, serial="ONE") for n in range(100)], at=T0 + 10000)
                assert upload(g, gateways[0], tmp_path / "state1").returncode == 0
                e.start().wait_ready()
                wait_for("the first gateway's", lambda: influx.count() == 100)
                # The second was without a network: what it has is older than what was exported last.
                gateways[1].write([reading(n, serial="TWO") for n in range(100)], at=T0)
                assert upload(g, gateways[1], tmp_path / "state2").returncode == 0
                wait_for("the second gateway's", lambda: influx.count() == 200, 10)
            gateways[0].write([reading(n, serial="ONE") for n in range(100, 150)], at=T0 + 20000)
            assert upload(g, gateways[0], tmp_path / "state1").returncode != 0      # nobody listens
            e.stop()
            with Gatherer(gathered) as g:
                # --save-state of before: only what is new is uploaded
                assert upload(g, gateways[0], tmp_path / "state1").returncode == 0
                e.start().wait_ready()
                wait_for("the rest", lambda: influx.count() == 250, 10)
                gateways[1].write([reading(n, serial="TWO") for n in range(100, 150)], at=T0 + 100)
                assert upload(g, gateways[1], tmp_path / "state2").returncode == 0
                wait_for("all", lambda: influx.count() == 300, 10)
            assert len(e.cursors()) == 1        # both came by one address, into one file
        machines = influx.query('SELECT count("ac_power") FROM solar GROUP BY serial, machine', db="solar")
        assert {(s["tags"]["serial"], s["tags"]["machine"]): s["values"][0][1] for s in machines} == {
            ("ONE", "1" * 32): 150, ("TWO", "2" * 32): 150}
