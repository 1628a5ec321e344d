# SPDX-License-Identifier: GPL-2.0-or-later
"""Every transcript of tests/vectors through `suntap decode`: as captured, cut at each byte, joined into as few
segments as possible, and after rubbish. What must be found does not depend on any of this."""
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests" / "vectors"
SUNTAP = ROOT / os.environ.get("SUNTAP_BUILD", os.environ.get("BUILD", "build")) / "suntap"

loader = importlib.machinery.SourceFileLoader("compare", str(VECTORS / "compare"))
spec = importlib.util.spec_from_loader("compare", loader)
compare = importlib.util.module_from_spec(spec)
loader.exec_module(compare)

CASES = sorted(p for p in VECTORS.rglob("*.txt"))
# bytes of a frame beside what its length counts
HEADS = {"solarman-v5": 13, "solarman-more-maps": 13, "tsun-gen3": 23, "inteless": 0, "growatt": 0, "alphaess": 0,
         "apsystems": 0}

# Cases that list their frames only: what the same frames give is listed in others.
FRAMES_ONLY = {
    "solarman-v5/malformed-two-in-one-segment.txt": ["solarman-v5/4210-data-02b0.txt"],
    "alphaess/session-start.txt": ["alphaess/eventlog-a.txt", "alphaess/backfill-1.txt", "alphaess/push-a.txt"],
}

# Byte for byte the packet of inteless/report-292.txt, as a decoder of V5 alone meets it: to skip.
LOOKALIKE = "solarman-v5/lookalike-inteless-292.txt"

# What only the first bytes of a flow may be: a bad checksum that is believed, bodies without a serial.
AT_START = {"growatt/bad-checksum.txt", "growatt/v06-encrypted-session.txt"}

# No a5, and no length that GEN3 could believe: skipped in any protocol.
RUBBISH = {">": b"\xff\x13ping\xfe", "<": b"\xfepong\x07\xff"}


def name(path):
    return str(path.relative_to(VECTORS))


def protocol(path):
    if name(path) == LOOKALIKE:
        return ["--protocol", "solarman-v5"]
    if path.parent.name != "modbus":
        return []
    kind = path.name.split("-")[0]
    return ["--protocol", {"mbap": "modbus-tcp", "at": "solarman-at"}.get(kind, "modbus-rtu")]


def as_captured(segments):
    return segments


def cut(segments):
    out = []
    for mark, data in segments:
        out += [(mark, data)] if mark == "#" else [(mark, data[i:i + 2]) for i in range(0, len(data), 2)]
    return out


def joined(segments):
    out = []
    for mark, data in segments:
        if out and mark != "#" and out[-1][0] == mark:
            out[-1] = (mark, out[-1][1] + data)
        else:
            out.append((mark, data))
    return out


def after_rubbish(segments):
    out, seen = [], set()
    for mark, data in segments:
        if mark in RUBBISH and mark not in seen:
            data = RUBBISH[mark].hex() + data
            seen.add(mark)
        out.append((mark, data))
    return out


def decode(segments, words, tmp_path):
    feed = tmp_path / "case.txt"
    lines = ["# GAP" if mark == "#" else f"{mark} {data}" for mark, data in segments]
    feed.write_text("\n".join(lines) + "\n---\n")
    p = subprocess.run([SUNTAP, "decode", "--json", "--frames", *words, feed], capture_output=True, timeout=60,
                       check=False)
    assert p.returncode in (0, 1), p.stderr.decode(errors="replace")
    rows = [json.loads(line) for line in p.stdout.decode("utf-8").splitlines()]
    assert p.returncode == (0 if any(r["type"] in ("reading", "info") or r.get("ok") for r in rows) else 1)
    return rows


def values(rows):
    return [r["values"] for r in rows if r["type"] == "reading"]


@pytest.mark.parametrize("way", [as_captured, cut, joined, after_rubbish])
@pytest.mark.parametrize("path", CASES, ids=name)
def test_vector(path, way, tmp_path):
    words = protocol(path)
    if words and words[1] == "solarman-at" and way is not as_captured:
        return	# datagrams: cutting or joining makes other messages of them
    if way is after_rubbish and name(path) in AT_START:
        return
    case = compare.Case(path)
    segments = way(case.segments)
    rows = decode(segments, words, tmp_path)
    faults = compare.compare_frames(case, rows)
    if name(path) in FRAMES_ONLY:
        others = [compare.Case(VECTORS / other) for other in FRAMES_ONLY[name(path)]]
        assert values(rows) == [v for other in others for v in values(decode(other.segments, [], tmp_path))]
    elif name(path) == LOOKALIKE:
        assert not values(rows)
    else:
        faults += compare.compare_blocks(case, rows)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("way", [as_captured, cut, joined, after_rubbish])
@pytest.mark.parametrize("path", [p for p in CASES if p.parent.name in HEADS], ids=name)
def test_every_byte_is_told_once(path, way, tmp_path):
    segments = way(compare.Case(path).segments)
    rows = decode(segments, protocol(path), tmp_path)
    for mark, direction in ((">", "device"), ("<", "cloud")):
        came = sum(len(data) // 2 for m, data in segments if m == mark)
        told = 0
        for r in rows:
            if r.get("dir") != direction or r["type"] not in ("frame", "skip", "partial"):
                continue
            told += r["length"] + (HEADS[path.parent.name] if r["type"] == "frame" else 0)
        assert told == came


def test_there_are_vectors():
    assert len([p for p in CASES if p.parent.name == "solarman-v5"]) >= 52
    assert len([p for p in CASES if p.parent.name == "tsun-gen3"]) >= 30
    assert len([p for p in CASES if p.parent.name == "inteless"]) >= 17
    assert len([p for p in CASES if p.parent.name == "solarman-more-maps"]) >= 14
    assert len([p for p in CASES if p.parent.name == "alphaess"]) >= 25
    assert len([p for p in CASES if p.parent.name == "apsystems"]) >= 31


def test_look_alike():
    """The two cases of one packet contradict each other; which of them a flow is, no byte could tell."""
    ours = VECTORS / "inteless" / "report-292.txt"
    assert compare.Case(VECTORS / LOOKALIKE).segments == compare.Case(ours).segments
