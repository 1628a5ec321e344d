# SPDX-License-Identifier: GPL-2.0-or-later
"""suntap-export's endpoint for Prometheus: what it shows, in both formats, and what it must not show."""
import http.client
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from export_lab import MESSAGE_ID, Exporter, Journal, free_port, reading, utc, wait_for
from vocabulary_lab import every_name, value_of

OPEN = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal")


class Metrics(Exporter):
    def __init__(self, tmp_path, journal, more=""):
        self.port = free_port()
        super().__init__(tmp_path, f"[metrics t]\nlisten = 127.0.0.1:{self.port}\n{more}", journal=journal)

    def get(self, accept=None, path="/metrics", method="GET"):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        if accept:
            request.add_header("Accept", accept)
        with urllib.request.urlopen(request, timeout=10) as answer:
            self.type = answer.headers["Content-Type"]
            return answer.read().decode()

    def sample(self, name, accept=None):
        return samples(self.get(accept)).get(name)


def samples(text):
    """{name{labels}: value}; nothing is there twice."""
    out = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, value = line.rsplit(" ", 1)
        assert name not in out, f"twice: {name}"
        out[name] = float(value)
    return out


def promtool(text):
    return subprocess.run(["promtool", "check", "metrics"], input=text, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)


def check_open(text):
    """What OpenMetrics asks for beyond the classic format: https://prometheus.io/docs/specs/om/open_metrics_spec/"""
    assert text.endswith("# EOF\n") and "\r" not in text and text.count("# EOF") == 1
    family, kind, seen = None, None, set()
    for line in text.splitlines()[:-1]:
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert family not in seen, f"{family} is there twice"
            seen.add(family)
            assert not family.endswith("_total")
        elif line.startswith("# UNIT "):
            assert line.split(" ")[2] == family and family.endswith("_" + line.split(" ")[3])
        elif line.startswith("# HELP "):
            assert line.split(" ")[2] == family
        else:
            name = re.match(r"[a-z_0-9]+", line)[0]
            assert name == family + {"counter": "_total", "gauge": "", "info": "_info"}[kind], line
            assert re.fullmatch(r'[a-z_0-9]+(\{[a-z_]+="(\\.|[^"\\])*"(,[a-z_]+="(\\.|[^"\\])*")*\})? -?[0-9][0-9.e+-]*', line), line


def now_reading(n=1, **more):
    return reading(n, **{"SUNTAP_TIME": utc(int(time.time())), **more})


# ---------------------------------------------------------------- values
def test_every_quantity(tmp_path, journal):
    names = every_name()
    assert len(names) > 350
    journal.write([now_reading(**{"SUNTAP_MODEL": "T800", **{"SOLAR_" + n.upper(): value_of(n) for n in names}})], at=time.time())
    with Metrics(tmp_path, journal) as e:
        e.start().wait_ready()
        wait_for("the values", lambda: "solar_ac_power_watts" in e.get())
        classic = e.get()
        assert e.type == "text/plain; version=0.0.4; charset=utf-8"
        got = samples(classic)
        check = promtool(classic)
        assert check.returncode == 0 and check.stdout == "", check.stdout
        text = e.get(OPEN)
        assert e.type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        check_open(text)
        numbers = [n for n in names if re.fullmatch(r"-?\d+(\.\d+)?", value_of(n))]
        device = [k for k in got if 'serial="R170000000000001"' in k and "_info" not in k and "timestamp" not in k]
        assert len(device) == len(numbers)
        s = 'serial="R170000000000001"'
        assert got[f'solar_pv_voltage_volts{{{s},pv="2"}}'] == float(value_of("pv2_voltage"))
        assert got[f'solar_ac_voltage_volts{{{s},phase="l1_l2"}}'] == float(value_of("ac_l1_l2_voltage"))
        assert got[f'solar_battery_soc_ratio{{{s},battery="2"}}'] == pytest.approx(float(value_of("battery2_soc")) / 100)
        assert got[f'solar_energy_joules_total{{{s}}}'] == pytest.approx(float(value_of("energy_total")) * 3.6e6)
        assert got[f'solar_energy_today_joules{{{s}}}'] == pytest.approx(float(value_of("energy_today")) * 3.6e6)
        assert got[f'solar_operating_time_seconds_total{{{s}}}'] == float(value_of("operating_time")) * 3600
        assert got[f'solar_battery_cell_voltage_volts{{{s},cell="16"}}'] == float(value_of("battery_cell16_voltage"))
        assert f'solar_device_info{{{s},logger="4100000001",model="T800",firmware="{value_of("firmware_version")}",device="roof"}}' \
            in got
    with Metrics(tmp_path, journal, "units = vocabulary\n") as e:
        e.start().wait_ready()
        wait_for("the values", lambda: "solar_ac_power_watts" in e.get())
        check = promtool(e.get())
        assert check.returncode == 0 and check.stdout == "", check.stdout
        check_open(e.get(OPEN))
        assert e.sample(f'solar_energy_kwh_total{{{s}}}') == float(value_of("energy_total"))
        assert e.sample(f'solar_battery_soc_percent{{{s},battery="2"}}') == float(value_of("battery2_soc"))


def test_stale_ones_drop_out_and_history_is_not_shown(tmp_path, journal):
    now = time.time()
    journal.write([now_reading(1, serial="OLD"), now_reading(2, serial="A")], at=now - 3000)
    journal.write([now_reading(3, serial="A")], at=now)
    journal.write([now_reading(4, serial="A", SUNTAP_HISTORIC="1")], at=now + 1)
    with Metrics(tmp_path, journal, "stale = 10s\n") as e:
        e.start().wait_ready()
        wait_for("A", lambda: e.sample('solar_ac_power_watts{serial="A"}') == 3)
        text = e.get()
        # A's period is 3000 s, so it stays; OLD has none
        assert 'solar_ac_power_watts{serial="OLD"}' not in text
        assert 'solar_last_reading_timestamp_seconds{serial="OLD"}' in text
        journal.write([now_reading(5, serial="B")], at=time.time())
        wait_for("B", lambda: e.sample('solar_ac_power_watts{serial="B"}') == 5)
        wait_for("B gone", lambda: 'solar_ac_power_watts{serial="B"}' not in e.get(), 20)
        assert 'solar_ac_power_watts{serial="A"}' in e.get()
        # only what another scrape would show as well: no timestamps of their own
        assert all(len(line.rsplit("}", 1)[-1].split()) == 1 for line in e.get().splitlines() if "}" in line and line[0] != "#")


def test_a_counter_does_not_fall_by_a_bad_frame(tmp_path, journal):
    now = time.time()
    for i, v in enumerate(["1000.5", "0", "1000.6", "17", "1000.7"]):
        journal.write([now_reading(SOLAR_ENERGY_TOTAL=v, SUNTAP_TIME=utc(int(now) - 500 + 100 * i))], at=now - 500 + 100 * i)
        with Metrics(tmp_path, journal) as e:
            e.start().wait_ready()
            wait_for("a value", lambda e=e: "solar_energy_joules_total{" in e.get())
            assert e.sample('solar_energy_joules_total{serial="R170000000000001"}') >= 1000.5 * 3.6e6


def test_counts_of_the_service(tmp_path, journal):
    base = {"SYSLOG_IDENTIFIER": "suntap", "SUNTAP_DEVICE": "roof", "SUNTAP_PROTOCOL": "tsun-gen3", "MESSAGE": "x"}
    journal.write([{**base, "MESSAGE_ID": MESSAGE_ID["FLOW_OPENED"]}], at=time.time() - 100)      # before the start
    with Metrics(tmp_path, journal) as e:
        e.start().wait_ready()
        now = time.time()
        journal.write([now_reading(1), now_reading(2)], at=now)
        journal.write([{**base, "MESSAGE_ID": MESSAGE_ID[i], **more} for i, more in (
            ("FLOW_OPENED", {}), ("FLOW_CLOSED", {"SUNTAP_BYTES_DEVICE": "1234", "SUNTAP_BYTES_CLOUD": "55"}),
            ("FLOW_CLOSED", {"SUNTAP_BYTES_DEVICE": "nonsense", "SUNTAP_BYTES_CLOUD": "5"}), ("GAP", {"SUNTAP_LOST": "77"}),
            ("BAD_FRAME", {"SUNTAP_ERROR": "checksum"}), ("UNKNOWN_FRAME", {}), ("TLS_SEEN", {}), ("FLOW_REFUSED", {}),
            ("COMMAND", {}), ("DECODER_RESTARTED", {"SUNTAP_RESTARTS": "9"}), ("RULES_REPAIRED", {}), ("SILENT", {}))], at=now + 1)
        wait_for("the last", lambda: 'suntap_flows_silent_total{device="roof"}' in e.get())
        got = samples(e.get())
        assert got['suntap_flows_opened_total{device="roof"}'] == 1
        assert got['suntap_flows_closed_total{device="roof"}'] == 2
        assert got['suntap_flow_bytes_total{device="roof",direction="device"}'] == 1234
        assert got['suntap_flow_bytes_total{device="roof",direction="cloud"}'] == 60
        assert got['suntap_gaps_total{device="roof"}'] == 1 and got['suntap_gap_bytes_total{device="roof"}'] == 77
        assert got['suntap_frames_good_total{protocol="tsun-gen3"}'] == 2
        assert got['suntap_frames_bad_total{protocol="tsun-gen3"}'] == 1
        assert got['suntap_frames_unknown_total{protocol="tsun-gen3"}'] == 1
        assert got['suntap_decoder_restarts_total'] == 1 and got['suntap_rules_repaired_total'] == 1
        assert got['suntap_commands_total{protocol="tsun-gen3"}'] == 1 and got["suntap_exporter_up"] == 1
        assert 0 <= got["suntap_exporter_lag_seconds"] < 60 and got["suntap_exporter_entries_total"] == 15
        check = promtool(e.get())
        assert check.returncode == 0 and check.stdout == "", check.stdout
        check_open(e.get(OPEN))
        assert not e.cursors()


# ---------------------------------------------------------------- hostile
def test_hostile_fields_and_requests(tmp_path, journal):
    evil = 'S"} 1\nevil_metric{a="\\'
    now = time.time()
    journal.write([now_reading(1, serial=evil, SUNTAP_DEVICE=evil, SUNTAP_PROTOCOL=evil, SUNTAP_MODEL=evil, SOLAR_FIRMWARE_VERSION=evil,
                               SOLAR_FOO_TOTAL="1", SOLAR_FOO_COUNT="2", SOLAR_L1_AC_VOLTAGE="3", SOLAR_AC_L1_VOLTAGE="4",
                               SOLAR_AC_POWER_WATTS="5", SOLAR_A__B="6", SOLAR_A_B="7", SOLAR_1="8", SOLAR_L1="9",
                               SOLAR_PV1_PV2_POWER="9", SOLAR_ENERGY_TOTAL_JOULES="10", SOLAR_ENERGY_TOTAL="11",
                               SOLAR_X_GAUGE="12", SOLAR_ENERGY_JOULES_TOTAL="13", SOLAR_BIG_POWER="9" * 24)], at=now)
    with Metrics(tmp_path, journal) as e:
        e.start().wait_ready()
        wait_for("the values", lambda: "solar_ac_power_watts" in e.get())
        assert not re.search("^evil", e.get(), re.M)
        check_open(e.get(OPEN))
        samples(e.get())
        assert promtool(e.get()).returncode in (0, 3), promtool(e.get()).stdout      # 3: remarks on such names
        # many devices and names: bounded
        journal.write([now_reading(n, serial=f"S{n}", SUNTAP_DEVICE=f"d{n}", SUNTAP_PROTOCOL=f"p{n}") for n in range(3000)],
                      at=time.time())
        wait_for("1024 devices", lambda: e.sample("suntap_exporter_devices") == 1024)
        e.wait_said("what is beyond has no metrics")
        wait_for("all read", lambda: e.sample("suntap_exporter_entries_total") == 3001)
        assert 'suntap_frames_good_total{protocol="other"}' in e.get()
        assert len(e.get().splitlines()) < 12000
        for method, path, status in (("POST", "/metrics", 405), ("GET", "/", 404), ("GET", "/metrics/../etc", 404), ("PUT", "/", 405)):
            with pytest.raises(urllib.error.HTTPError) as error:
                e.get(path=path, method=method)
            assert error.value.code == status
        c = http.client.HTTPConnection("127.0.0.1", e.port, timeout=5)
        c.request("HEAD", "/metrics")
        answer = c.getresponse()
        assert answer.status == 200 and int(answer.headers["Content-Length"]) > 100 and answer.read() == b""
        # half a request from many, and nonsense: the next scrape is answered
        held = []
        for i in range(50):
            s = socket.create_connection(("127.0.0.1", e.port), timeout=5)
            s.sendall(b"GET /metr" if i % 2 else b"\x16\x03\x01\x00\xff\r\n\r\n")
            held.append(s)
        assert "suntap_exporter_up 1" in e.get()
        for s in held:
            s.close()
        assert e.memory_kib()[0] < 64 * 1024


def test_complaints(tmp_path, journal):
    journal.write([reading(0)])
    for bad in ("localhost:1", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", "[::1:5", "1.2.3.4:x"):
        with Exporter(tmp_path, f"[metrics t]\nlisten = {bad}\n", journal=journal) as e:
            assert e.run() == 78 and f':2: listen: "{bad}" is not understood; would be address:port' in e.said()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        with Exporter(tmp_path, f"[metrics t]\nlisten = 127.0.0.1:{port}\n", journal=journal) as e:
            assert e.run() == 1 and f"127.0.0.1:{port} cannot be listened at: Address already in use" in e.said()
    with Exporter(tmp_path, "[metrics t]\n", journal=journal, arguments=["--since", "2024-01-01"]) as e:
        assert e.run() == 2 and "has no place for what was" in e.said()


def test_only_loopback_unless_configured(tmp_path, journal):
    journal.write([reading(0)])
    port = free_port()
    for listen, other, answers in (("127.0.0.1", "127.0.0.2", False), ("", "127.0.0.2", True), ("[::1]", "127.0.0.1", False)):
        with Exporter(tmp_path, f"[metrics t]\nlisten = {listen}:{port}\n", journal=journal) as e:
            e.start().wait_ready()
            try:
                socket.create_connection((other, port), timeout=2).close()
                assert answers
            except ConnectionRefusedError:
                assert not answers
            e.stop()
