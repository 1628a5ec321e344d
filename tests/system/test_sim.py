# SPDX-License-Identifier: GPL-2.0-or-later
"""suntap sim: what a simulated device puts in is what the decoder finds, whatever goes wrong on the way."""
import contextlib
import json
import os
import re
import subprocess

import pytest
from lab import SLOWER

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SUNTAP = os.path.join(TOP, os.environ.get("BUILD", "build"), "suntap")
COMPARE = os.path.join(TOP, "tests", "vectors", "compare")
PATIENCE = 20 * SLOWER      # s

PROTOCOLS = re.findall(r"([\w-]+) \(\d{4,5}\)", subprocess.run(
    [SUNTAP, "sim", "--help"], capture_output=True, text=True, check=True).stdout)
KEEPS = [p for p in PROTOCOLS if subprocess.run(
    [SUNTAP, "sim", "device", p, "--transcript", "--backfill", "1"], capture_output=True, check=False).returncode == 0]
SUMS = [p for p in PROTOCOLS if subprocess.run(
    [SUNTAP, "sim", "device", p, "--transcript", "--bad-checksum"], capture_output=True, check=False).returncode == 0]


def test_protocols():
    assert {"solarman-v5", "tsun-gen3", "inteless", "growatt", "alphaess", "apsystems"} == set(PROTOCOLS)
    assert {"solarman-v5", "tsun-gen3", "growatt", "alphaess", "apsystems"} == set(KEEPS)
    assert "solarman-v5" in SUMS and "tsun-gen3" not in SUMS


# ---------------------------------------------------------------- transcripts
def transcript(tmp_path, protocol, *options):
    path = tmp_path / "case.txt"
    done = subprocess.run([SUNTAP, "sim", "device", protocol, "--transcript", *options], capture_output=True, text=True,
                          check=True, timeout=PATIENCE)
    path.write_text(done.stdout)
    return path


def compared(path, *options):
    done = subprocess.run([COMPARE, "--suntap", SUNTAP, *options, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("options", [[], ["--split"], ["--rubbish"], ["--count", "30"], ["--sun", "5"], ["--sun", "19"],
                                     ["--clock-error", "-7200"]], ids=" ".join)
def test_what_is_put_in_is_found(tmp_path, protocol, options):
    compared(transcript(tmp_path, protocol, *options))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_another_one(tmp_path, protocol):
    """Several can be told apart."""
    first = decoded(transcript(tmp_path, protocol))[0]
    others = {key: first[key][:-1] + "7" for key in ("serial", "logger") if key in first}
    path = transcript(tmp_path, protocol, *(word for key, text in others.items() for word in (f"--{key}", text)))
    compared(path)
    assert others and {key: decoded(path)[0][key] for key in others} == others


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_cut_at_each_byte(tmp_path, protocol):
    compared(transcript(tmp_path, protocol, "--count", "3"), "--cut", "1")


@pytest.mark.parametrize("protocol", KEEPS)
def test_kept_records(tmp_path, protocol):
    path = transcript(tmp_path, protocol, "--backfill", "5", "--count", "2")
    compared(path)
    rows = decoded(path)
    records = {row["time"]: row.get("historic", False) for row in rows}     # one may make several readings
    assert len(records) == 7
    if protocol != "apsystems":     # which has no mark for them: they are told by their age, and a transcript has no now
        assert list(records.values()) == [False, True, True, True, True, True, False]


def decoded(path):
    out = subprocess.run([SUNTAP, "decode", "--json", str(path)], capture_output=True, text=True, check=True).stdout
    return [row for row in map(json.loads, out.splitlines()) if row["type"] == "reading"]


@pytest.mark.parametrize("protocol", SUMS)
def test_wrong_checksums(tmp_path, protocol):
    path = transcript(tmp_path, protocol, "--bad-checksum", "--count", "3")
    compared(path)
    assert path.read_text().count("bad checksum") == 3


# ---------------------------------------------------------------- sockets
@contextlib.contextmanager
def cloud(protocol, *options, address="127.0.0.1"):
    with subprocess.Popen([SUNTAP, "sim", "cloud", protocol, "--listen", f"{address}:0", "--json", *options],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            port = re.search(r"port (\d+)", process.stderr.readline())[1]
            yield process, f"{address}:{port}"
        finally:
            process.kill()


def device(protocol, to, *options, check=True):
    done = subprocess.run([SUNTAP, "sim", "device", protocol, "--to", to, "--json", "--interval", "0.02", *options],
                          capture_output=True, text=True, check=check, timeout=PATIENCE)
    return [json.loads(line) for line in done.stdout.splitlines()]


def told(process):
    rows = [json.loads(line) for line in process.communicate(timeout=PATIENCE)[0].splitlines()]
    return [row for row in rows if row["type"] == "reading"]


def agree(put_in, found):
    """All that was put in is there; the decoder may know more."""
    for said, row in zip(put_in, found, strict=True):
        for key in ("serial", "logger", "time"):
            assert key not in said or row.get(key) == said[key], key
        for name, value in said["values"].items():
            have = row["values"].get(name)
            assert have == value if isinstance(value, str) else have == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("options", [[], ["--split"], ["--rubbish"]], ids=" ".join)
@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_over_a_connection(protocol, options, address):
    with cloud(protocol, "--count", "1", address=address) as (process, to):
        put_in = device(protocol, to, "--count", "4", *options)
        assert len(put_in) >= 4
        agree(put_in, told(process))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_cloud_with_faults(protocol):
    """Answers in pieces and behind rubbish are answers."""
    with cloud(protocol, "--count", "1", "--split", "--rubbish") as (process, to):
        put_in = device(protocol, to, "--count", "3", "--timeout", "5")
        agree(put_in, told(process))


@pytest.mark.parametrize("protocol", KEEPS)
def test_reset_and_sent_again(protocol):
    """What was on its way when the connection broke comes later, as a stored record."""
    with cloud(protocol) as (process, to):
        put_in = device(protocol, to, "--count", "12", "--reset-after", "9")
        process.terminate()
        found = told(process)
    assert len(put_in) >= 12
    powers = {row["values"]["ac_power"] for row in found}
    assert {row["values"]["ac_power"] for row in put_in if not row.get("historic")} >= powers
    live = [row for row in put_in if not row.get("historic")]
    assert len(powers) >= 12 and len(live) >= 12


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_silent_cloud(protocol):
    """Nothing is answered: the device repeats, then reconnects."""
    with cloud(protocol, "--silence", "--count", "2") as (process, to):
        with subprocess.Popen([SUNTAP, "sim", "device", protocol, "--to", to, "--timeout", "0.05"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as sim:
            assert process.wait(PATIENCE) == 0
            sim.kill()
            assert "no answer" in sim.stderr.read()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_silent_device(protocol):
    with cloud(protocol) as (process, to):
        with subprocess.Popen([SUNTAP, "sim", "device", protocol, "--to", to, "--silence"]) as sim:
            with pytest.raises(subprocess.TimeoutExpired):
                sim.wait(0.5)
            sim.kill()
        process.terminate()
        assert told(process) == []


@pytest.mark.parametrize("arguments", [
    [], ["device"], ["device", "nonsense"], ["device", "tsun-gen3"], ["cloud", "tsun-gen3"], ["moon", "tsun-gen3"],
    ["cloud", "tsun-gen3", "--to", "127.0.0.1:1"], ["device", "tsun-gen3", "--to", "127.0.0.1:1", "--count", "0"],
    ["device", "tsun-gen3", "--to", "127.0.0.1:1", "--interval", "soon"],
    ["device", "tsun-gen3", "--transcript", "--bad-checksum"],
    ["device", "tsun-gen3", "--transcript", "--serial", "with blank"],
    ["cloud", "tsun-gen3", "--transcript"]], ids=" ".join)
def test_misuse(arguments):
    done = subprocess.run([SUNTAP, "sim", *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 2 and done.stderr and not done.stdout
