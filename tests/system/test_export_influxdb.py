# SPDX-License-Identifier: GPL-2.0-or-later
"""suntap-export to InfluxDB 1.6 and VictoriaMetrics as Debian has them, and to a stand-in for InfluxDB 2 and for faults."""
import json
import os
import random
import re
import time

import pytest

from export_lab import (T0, Exporter, Influx, Journal, StandIn, Victoria, free_port, reading, wait_for)

TOKEN = "s3cret-token-of-the-test"


def config(url, **keys):
    return "[influxdb t]\n" + "".join(f"{k} = {v}\n" for k, v in {"url": url, **keys}.items())


@pytest.fixture
def influx(tmp_path):
    with Influx(tmp_path / "influx") as server:
        server.query("CREATE DATABASE solar")
        yield server


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal")


# ---------------------------------------------------------------- what arrives
def test_points_are_as_they_were_measured(tmp_path, influx, journal):
    journal.write([reading(0), reading(1, SUNTAP_TIME="2024-05-01T10:05:00.123Z", SOLAR_STATUS='odd, "quoted" \\ = text'),
                   reading(2, SUNTAP_SERIAL="odd, serial = \\"), reading(3, SUNTAP_SERIAL=None, SUNTAP_LOGGER=None)])
    with Exporter(tmp_path, config(influx.url, database="solar"), journal=journal) as e:
        e.start().wait_ready()
        wait_for("4 points", lambda: influx.count() == 4)
        assert e.stop() == 0
    rows = {}
    for series in influx.query("SELECT * FROM solar", db="solar"):
        for row in series["values"]:
            row = dict(zip(series["columns"], row))
            rows[row["ac_power"]] = row
    assert rows[0]["time"] == T0 * 10**9
    assert rows[0]["pv1_voltage"] == 30.5 and rows[0]["status_text"] == "normal"
    assert rows[0]["serial"] == "R170000000000001" and rows[0]["logger"] == "4100000001" and "device" in rows[0]
    assert rows[1]["time"] == (T0 + 300) * 10**9 + 123_000_000
    assert rows[1]["status_text"] == 'odd, "quoted" \\ = text'
    assert rows[2]["serial"] == "odd, serial = _"
    assert rows[3]["serial"] is None and rows[3]["device"] == "roof"
    types = {r[0]: r[1] for r in influx.query("SHOW FIELD KEYS FROM solar", db="solar")[0]["values"]}
    assert types == {"ac_power": "float", "pv1_voltage": "float", "status_text": "string"}


def test_new_readings_arrive_at_once(tmp_path, influx, journal):
    journal.write([reading(0)])
    with Exporter(tmp_path, config(influx.url, database="solar"), journal=journal) as e:
        e.start().wait_ready()
        wait_for("1 point", lambda: influx.count() == 1)
        for n in range(1, 6):
            journal.write([reading(n)])
            wait_for(f"point {n}", lambda n=n: influx.count() == n + 1, 5)
        wait_for("the cursor", lambda: len(e.cursors()) == 1)


def test_exporting_again_adds_nothing(tmp_path, influx, journal):
    journal.write([reading(n) for n in range(100)])
    with Exporter(tmp_path, config(influx.url, database="solar"), journal=journal, arguments=["--since", "2024-01-01"]) as e:
        for _ in range(3):
            assert e.run() == 0, e.said()
        assert influx.count() == 100
        assert not os.path.exists(e.state)
    with Exporter(tmp_path, config(influx.url, database="solar"), journal=journal,
                  arguments=["--since", "2024-01-01", "--until", "2024-05-01T10:00:00.050"]) as e:
        influx.query("DROP MEASUREMENT solar", db="solar")
        assert e.run() == 0, e.said()
        assert influx.count() == 51     # one entry a millisecond


def test_progress_is_shown_on_a_terminal(tmp_path, influx, journal):
    journal.write([reading(n) for n in range(100)])
    with Exporter(tmp_path, config(influx.url, database="solar"), journal=journal) as e:
        command = " ".join([*e.command[:-1], "--since", "2024-01-01", "t"])
        e.command = ["script", "-qefc", command, "/dev/null"]
        assert e.run() == 0, e.said()
        assert "100 records in" in e.said()


# ---------------------------------------------------------------- nothing is lost
def test_killed_at_random_moments_while_the_database_comes_and_goes(tmp_path, influx, journal):
    random.seed(5)
    total = 0
    with Exporter(tmp_path, config(influx.url, database="solar", gzip="yes"), journal=journal) as e:
        for _ in range(8):
            journal.write([reading(n) for n in range(total, total + 500)])
            total += 500
            if random.random() < 0.4:
                influx.stop()
            e.start()
            time.sleep(random.uniform(0, 0.3))
            e.kill()
            if not influx.process:
                influx.start()
        e.start().wait_ready()
        wait_for(f"{total} points", lambda: influx.count() == total)
        assert e.stop() == 0


def test_an_hour_without_the_database(tmp_path, influx, journal):
    """Readings of an hour, one a second, while it is down; the exporter is running, and is restarted meanwhile."""
    influx.stop()
    with Exporter(tmp_path, config(influx.url, database="solar"), journal=journal) as e:
        e.start().wait_ready()
        for n in range(0, 3600, 600):
            journal.write([reading(i) for i in range(n, n + 600)])
            if n == 1800:
                assert e.stop() == 0
                e.start()
        e.wait_status("127.0.0.1")
        assert "onnect" in e.status and not any("i=" in c for c in e.cursors().values())
        assert e.memory_kib()[0] < 64 * 1024
        influx.start()
        wait_for("all points", lambda: influx.count() == 3600, 90)
        e.wait_said("works again")
        e.wait_status("3600 records exported")


def test_wrong_database_and_wrong_password_lose_nothing(tmp_path, journal):
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    secret.chmod(0o600)
    journal.write([reading(n) for n in range(10)])
    with Influx(tmp_path / "influx", auth=True) as influx:
        admin = {"u": "root", "p": "pw"}
        influx.query("CREATE USER root WITH PASSWORD 'pw' WITH ALL PRIVILEGES")
        with Exporter(tmp_path, config(influx.url, database="solar", user="root", password_file=secret), journal=journal) as e:
            e.start()
            e.wait_status("does not accept the user or the password")
            secret.write_text("pw\n")
            e.wait_status('does not know the database solar: {"error":"database not found')
            assert not any("i=" in c for c in e.cursors().values())
            influx.query("CREATE DATABASE solar", **admin)
            wait_for("10 points", lambda: influx.count(**admin) == 10, 70)
            assert "wrong" not in e.said().replace("wrong url", "") and "pw" not in e.said()


def test_a_refused_point_is_told_once_and_skipped(tmp_path, influx, journal):
    # A type conflict in one field (all are in the shard of one week); max-values-per-tag and such look the same.
    influx.get("/write", data=b'solar,serial=x pv9_power="text" 1714557600', db="solar", precision="s")
    journal.write([reading(n, SOLAR_PV9_POWER="1.5") if n in (100, 611) else reading(n) for n in range(900)])
    with Exporter(tmp_path, config(influx.url, database="solar"), journal=journal) as e:
        e.start().wait_ready()
        e.wait_status("2 refused")
        wait_for("the good ones", lambda: influx.count() >= 898)
        assert e.said().count("refuses a record") == 2 and "field type conflict" in e.said()
        e.wait_status("records exported, 2 refused")
        e.stop()
        e.start().wait_ready()
        time.sleep(1)
        assert e.said().count("refuses a record") == 2


# ---------------------------------------------------------------- VictoriaMetrics
def test_victoria_metrics(tmp_path, journal):
    journal.write([reading(n) for n in range(300)])
    with Victoria(tmp_path / "vm") as vm:
        with Exporter(tmp_path, config(vm.url, database="solar", texts="no"), journal=journal) as e:
            e.start().wait_ready()
            e.wait_status("300 records exported")
        series = vm.series('{__name__=~"solar_.*"}')
        assert set(series) == {("solar_ac_power", "R170000000000001"), ("solar_pv1_voltage", "R170000000000001")}
        power = series["solar_ac_power", "R170000000000001"]
        assert power == {(T0 + 300 * n) * 1000: n for n in range(300)}


# ---------------------------------------------------------------- InfluxDB 2, by its documented protocol; faults
class Bucket(StandIn):
    """/api/v2/write as documented. faults: list of answers to give instead, one for each request."""

    def __init__(self, bucket="solar", token=TOKEN, refuse=None):
        self.points, self.faults, self.bucket, self.token, self.refuse = {}, [], bucket, token, refuse
        self.times = []
        super().__init__(self.answer)

    def answer(self, handler, body):
        self.times.append(time.monotonic())
        if self.faults:
            fault = self.faults.pop(0)
            if fault != "written":
                return fault
        path, query = handler.path.split("?")
        if path != "/api/v2/write" or "precision=ns" not in query:
            return 404, {}, '{"code":"not found","message":"path not found"}'
        if handler.headers["Authorization"] != f"Token {self.token}":
            return 401, {}, '{"code":"unauthorized","message":"unauthorized access"}'
        if f"bucket={self.bucket}" not in query or "org=my%20home" not in query:
            return 404, {}, '{"code":"not found","message":"bucket \\"solar\\" not found"}'
        lines = body.decode().splitlines()
        for line in lines:
            assert re.fullmatch(r'solar(,\w+=(\\.|[^ ,=])+)+ (\w+=(-?\d+(\.\d+)?|"(\\.|[^"\\])*"),?)+ \d{19}', line), line
            if self.refuse and self.refuse in line:
                return 400, {}, json.dumps({"code": "invalid", "message": f"unable to parse '{line}': bad"})
        for line in lines:
            series, rest = re.match(r"((?:\\.|[^ ])+) (.*)", line).groups()
            fields, when = rest.rsplit(" ", 1)
            self.points[series, when] = fields
        if fault_after := (self.faults and self.faults[0] == "unanswered"):
            self.faults.pop(0)
            return None if fault_after else None
        return 204, {}, ""


def v2(server, tmp_path, token=TOKEN, **keys):
    secret = tmp_path / "token"
    secret.write_text(token + "\n")
    secret.chmod(0o600)
    return config(server.url, org="my home", bucket="solar", token_file=secret, **keys)


def test_version_2(tmp_path, journal):
    journal.write([reading(n) for n in range(12000)])
    with Bucket() as server, Exporter(tmp_path, v2(server, tmp_path, gzip="yes"), journal=journal) as e:
        e.start()
        wait_for("12000 points", lambda: len(server.points) == 12000)
        e.wait_status("12000 records exported")
        assert all(len(body) < 1.2e6 and h["Content-Encoding"] == "gzip" for _, h, body in server.requests)
        assert TOKEN not in e.said()


def test_retry_after_and_unanswered_requests(tmp_path, journal):
    journal.write([reading(n) for n in range(10)])
    with Bucket() as server, Exporter(tmp_path, v2(server, tmp_path), journal=journal) as e:
        server.faults = [(503, {"Retry-After": "3"}, '{"code":"unavailable"}'), (429, {"Retry-After": "2"}, "{}"),
                         (500, {}, '{"code":"internal error","message":"x"}'), None]
        e.start()
        e.wait_status("answers 503")
        wait_for("all points", lambda: len(server.points) == 10)
        gaps = [b - a for a, b in zip(server.times, server.times[1:])]
        assert gaps[0] >= 2.9 and gaps[1] >= 1.9
        e.wait_status("10 records exported")


def test_wrong_token_and_bucket_are_named(tmp_path, journal):
    journal.write([reading(0)])
    with Bucket() as server:
        with Exporter(tmp_path, v2(server, tmp_path, token="wrong-one"), journal=journal) as e:
            e.start()
            e.wait_status("does not accept the token")
            e.wait_said("does not accept the token")
            assert "nothing is lost" in e.said() and "wrong-one" not in e.said()
            # mended without a restart
            (tmp_path / "token").write_text(TOKEN)
            wait_for("the point", lambda: len(server.points) == 1, 70)
    with Bucket(bucket="other") as server:
        with Exporter(tmp_path, v2(server, tmp_path), journal=journal) as e:
            e.state += "2"
            e.command[e.command.index("--state") + 1] = e.state
            e.start()
            e.wait_status("does not know the organization or the bucket solar")


def test_version_2_refuses_whole_batches(tmp_path, journal):
    """One bad line among 3000: found by halves, told once, the others arrive."""
    journal.write([reading(n, SOLAR_STATUS="poison") if n == 1234 else reading(n) for n in range(3000)])
    with Bucket(refuse="poison") as server, Exporter(tmp_path, v2(server, tmp_path), journal=journal) as e:
        e.start()
        wait_for("2999 points", lambda: len(server.points) == 2999)
        e.wait_status("1 refused")
        assert e.said().count("refuses a record") == 1 and len(server.requests) < 60
        assert re.search(r"cursor s=[0-9a-f]{32};i=", e.said())


def test_a_server_that_refuses_everything_does_not_empty_the_journal(tmp_path, journal):
    """A proxy that answers 400 to all, say: it need not be the records' fault."""
    journal.write([reading(n) for n in range(3000)])
    with Bucket() as server, Exporter(tmp_path, v2(server, tmp_path), journal=journal) as e:
        server.faults = [(400, {}, "no")] * 10_000
        e.start()
        e.wait_status("nothing is taken any more: 400 no; nothing is lost")
        server.faults.clear()
        e.wait_said("works again", 70)
        e.wait_status("3000 records exported")
        refused = int(re.search(r"(\d+) refused", e.listen().status)[1])
        assert 16 <= refused <= 19 and len(server.points) == 3000 - refused


def test_many_bad_records_in_a_row_do_not_block_for_ever(tmp_path, journal):
    journal.write([reading(n, SOLAR_STATUS="poison") if n < 18 else reading(n) for n in range(100)])
    with Bucket(refuse="poison") as server, Exporter(tmp_path, v2(server, tmp_path), journal=journal) as e:
        e.start()
        wait_for("the good ones", lambda: len(server.points) == 82)
        e.wait_status("100 records exported, 18 refused")


def test_a_version_1_is_recognised(tmp_path, influx, journal):
    journal.write([reading(0)])
    with Exporter(tmp_path, v2(influx, tmp_path), journal=journal) as e:
        e.start()
        e.wait_status("has no /api/v2/write")


@pytest.mark.parametrize("url, says", [
    ("http://127.0.0.1:{port}", "Failed to connect"),
    ("http://no-such-host.invalid:8086", "Could not resolve host"),
    ("https://127.0.0.1:{standin}", "SSL"),
])
def test_unreachable(tmp_path, journal, url, says):
    journal.write([reading(0)])
    with StandIn(lambda h, b: (204, {}, "")) as server:
        url = url.format(port=free_port(), standin=server.port)
        with Exporter(tmp_path, config(url, database="solar"), journal=journal) as e:
            e.start().wait_ready()
            e.wait_status(says)
            e.wait_said(url)
            assert e.stop() == 0 and not any("i=" in c for c in e.cursors().values())


# ---------------------------------------------------------------- hostile entries
def test_nothing_can_be_injected(tmp_path, influx, journal):
    evil = 'x"\nsolar,serial=EVIL ac_power=666 1\n\\'
    journal.write([
        reading(0, SUNTAP_SERIAL=evil, SOLAR_STATUS=evil, SUNTAP_LOGGER="a\\"),
        reading(1, SOLAR_STATUS="y" * 1_000_000, SOLAR_LONG_TEXT="\\" * 4000),
        reading(2, SUNTAP_SERIAL="z" * 1_000_000),
        reading(3, SOLAR_AC_POWER="3", SOLAR_PV1_VOLTAGE="NaN", SOLAR_PV2_VOLTAGE="1e400", SOLAR_PV3_VOLTAGE="+5",
                SOLAR_PV4_VOLTAGE="5i", SOLAR_TIME="7", SOLAR_STATUS=b"\xff\xfe\x00\x01"),
        reading(4, SUNTAP_TIME="0000-99-99T99:99:99Z\nx", SUNTAP_HISTORIC="1\n"),
    ])
    with Exporter(tmp_path, config(influx.url, database="solar"), journal=journal) as e:
        e.start().wait_ready()
        e.wait_status("5 records exported")
        assert "refused" not in e.status, e.said()
        assert e.memory_kib()[0] < 64 * 1024
    assert influx.count() == 5
    keys = {row[0] for s in influx.query("SHOW TAG VALUES FROM solar WITH KEY = serial", db="solar") for row in s["values"]}
    serials = {row[1] for s in influx.query("SHOW TAG VALUES FROM solar WITH KEY = serial", db="solar") for row in s["values"]}
    assert keys == {"serial"} and "EVIL" not in serials and 'x"?solar,serial=EVIL ac_power=666 1?_' in serials
    types = {r[0]: r[1] for r in influx.query("SHOW FIELD KEYS FROM solar", db="solar")[0]["values"]}
    assert types["pv1_voltage_text"] == "string" and "time" not in types
