# SPDX-License-Identifier: GPL-2.0-or-later
"""suntap capture: what is private is gone from a masked file, and it decodes to the same measurements."""
import glob
import json
import os
import re
import struct
import subprocess
import time

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SUNTAP = os.path.join(TOP, os.environ.get("BUILD", "build"), "suntap")
VECTORS = os.path.join(TOP, "tests", "vectors")
CASES = sorted(os.path.relpath(path, VECTORS)[:-4] for path in glob.glob(f"{VECTORS}/*/*.txt")
               if "/modbus/" not in path)     # which have no carrier of their own
DEVICE, CLOUD = bytes([192, 168, 50, 2]), bytes([203, 0, 113, 10])
T0 = 1_711_880_000
# Texts that tell who somebody is; every other value has to be the same.
PRIVATE = re.compile(r"serial|logger_mac|logger_ip|contact_|ssid|_ip$|mac")


def packet(seq, ack, flags, from_device, data=b"", port=10000):
    a, b, sport, dport = (DEVICE, CLOUD, 40000, port) if from_device else (CLOUD, DEVICE, port, 40000)
    tcp = struct.pack(">HHIIBBHHH", sport, dport, seq, ack, 0x50, flags, 65535, 0, 0) + data
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, a, b) + tcp


def write_pcap(path, segments):
    """Segments: (from the device, bytes), or None for a hole."""
    seq = {True: 1000, False: 2000}
    packets = [packet(999, 0, 2, True), packet(1999, 1000, 0x12, False)]
    for segment in segments:
        if segment is None:
            seq = {side: n + 777 for side, n in seq.items()}
            continue
        side, data = segment
        packets.append(packet(seq[side], seq[not side], 0x18, side, data))
        seq[side] += len(data)
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 262144, 101))
        for i, data in enumerate(packets):
            f.write(struct.pack("<IIII", T0 + i, 0, len(data), len(data)) + data)


def vector(name):
    segments = []
    with open(f"{VECTORS}/{name}.txt", encoding="utf-8") as f:
        for line in f.read().split("\n---")[0].splitlines():
            if line[:2] in ("> ", "< "):
                segments += [(line[0] == ">", bytes.fromhex(line[2:]))]
            elif line == "# GAP":
                segments.append(None)
    return segments


def run(*arguments, check=True):
    return subprocess.run([SUNTAP, *arguments], capture_output=True, text=True, check=check, timeout=30)


def decoded(path):
    done = run("decode", "--json", "--frames", str(path), check=False)
    return [json.loads(line) for line in done.stdout.splitlines()]


def without_names(row):
    """What has to be the same."""
    row = {key: value for key, value in row.items() if key not in ("flow", "serial", "logger")}
    if "values" in row:
        row["values"] = {key: value for key, value in row["values"].items() if not PRIVATE.search(key)}
    if row["type"] == "note":
        del row["text"]
    return row


def payload(path):
    """All that is in the file's TCP segments, behind each other."""
    data, out, at = path.read_bytes(), b"", 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if kind == 6:
            out += data[at + 28 + 40:at + 28 + struct.unpack_from("<I", data, at + 20)[0]]
        at += size
    return out


def told(rows, *keys):
    found = {row[key] for row in rows for key in ("serial", "logger") if key in row}
    return found | {value for row in rows for key, value in row.get("values", {}).items()
                    if isinstance(value, str) and any(k in key for k in keys)}


@pytest.mark.parametrize("case", CASES)
def test_masked_vectors(tmp_path, case):
    before, after = tmp_path / "before.pcap", tmp_path / "after.pcapng"
    write_pcap(before, vector(case))
    done = run("capture", "--mask", "--from", str(before), str(after))
    assert "masked:" in done.stderr
    first, second = decoded(before), decoded(after)
    assert [without_names(row) for row in second] == [without_names(row) for row in first]
    assert len(payload(after)) == sum(len(s[1]) for s in vector(case) if s)
    secrets = {text for text in told(first, "serial", "contact_", "ssid") if len(text) >= 6}
    stayed = {text for text in secrets if text in told(second, "serial", "contact_", "ssid")}
    # a made-up serial number may be its own stand-in
    assert not {text for text in stayed if not re.fullmatch(r"\w{3}0*\d", text)}, stayed
    for text in secrets - stayed:
        assert text.encode() not in payload(after), text
        if text.isdigit() and int(text) < 1 << 32:
            assert struct.pack("<I", int(text)) not in payload(after), text
    assert DEVICE not in after.read_bytes() and CLOUD not in after.read_bytes()


def test_masked_twice_is_the_same(tmp_path):
    before, once, twice = tmp_path / "a.pcap", tmp_path / "b.pcapng", tmp_path / "c.pcapng"
    write_pcap(before, vector("solarman-v5/4110-handshake-cloud-answer") + vector("solarman-v5/4210-data-02b0"))
    run("capture", "--mask", "--from", str(before), str(once))
    run("capture", "--mask", "--from", str(once), str(twice))
    assert payload(once) == payload(twice)


def test_what_is_private_in_a_handshake(tmp_path):
    before, after = tmp_path / "a.pcap", tmp_path / "b.pcapng"
    segments = vector("solarman-v5/4110-handshake-cloud-answer")
    frame = bytearray(segments[0][1])
    frame[11 + 59:11 + 65] = bytes.fromhex("34eae7a1b2c3")
    frame[11 + 65:11 + 81] = b"192.168.178.123\0"
    frame[11 + 172:11 + 212] = b"Familie Beispiel 5GHz".ljust(40, b"\0")
    frame[-2] = sum(frame[1:-2]) & 255
    write_pcap(before, [(True, bytes(frame)), *segments[1:]])
    run("capture", "--mask", "--from", str(before), str(after))
    data = payload(after)
    for secret in b"\x34\xea\xe7", b"192.168.178.123", b"Familie", b"Beispiel", struct.pack("<I", 2070233889):
        assert secret not in data
    info = next(row for row in decoded(after) if row["type"] == "info")
    assert info["values"]["logger_mac"] == "02:00:00:00:00:01"
    assert info["values"]["logger_ip"] == "192.168.000.001"
    assert info["logger"] == "2070000001"
    assert all(row["ok"] for row in decoded(after) if row["type"] == "frame")


def test_one_stand_in_for_one_thing(tmp_path):
    """Over streams, directions and kinds of records."""
    before, after = tmp_path / "a.pcap", tmp_path / "b.pcapng"
    names = ["solarman-v5/4110-handshake-cloud-answer", "solarman-v5/4210-data-02b0", "solarman-v5/4510-modbus-write"]
    write_pcap(before, [segment for name in names for segment in vector(name)])
    run("capture", "--mask", "--from", str(before), str(after))
    first, second = decoded(before), decoded(after)
    pairs = {(a.get(key), b.get(key)) for a, b in zip(first, second, strict=True) for key in ("serial", "logger") if key in a}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def test_passwords_in_commands(tmp_path):
    before, after = tmp_path / "a.pcap", tmp_path / "b.pcapng"

    def v5(kind, payload_bytes):
        frame = b"\xa5" + struct.pack("<HBBBBI", len(payload_bytes), 0x10, kind, 1, 1, 2070233889) + payload_bytes
        return frame + bytes([sum(frame[1:]) & 255, 0x15])

    write_pcap(before, [
        (False, v5(0x45, b"\1\2\0" + bytes(12) + b"AT+WSKEY=WPA2PSK,AES,kirschkuchen\r")),
        (True, v5(0x15, b"\1\1" + bytes(12) + b"+ok")),
        (False, v5(0x45, b"\1\2\0" + bytes(12) + b"AT+WSSSID\r")),
        (True, v5(0x15, b"\1\1" + bytes(12) + b"+ok=Gartenlaube")),
        (False, v5(0x45, b"\1\2\0" + bytes(12) + b"AT+ASWD=abc\r")),
        (False, v5(0x45, b"\1\2\0" + bytes(12) + b"AT+VER\r")),
        (True, v5(0x15, b"\1\1" + bytes(12) + b"+ok=V1.1.00")),
    ])
    run("capture", "--mask", "--from", str(before), str(after))
    data = payload(after)
    for secret in b"kirschkuchen", b"Gartenlaube", b"=abc":
        assert secret not in data
    assert b"+ok=V1.1.00" in data and b"AT+WSKEY=" in data
    assert all(row["ok"] for row in decoded(after) if row["type"] == "frame")


def test_unknown_streams_are_told(tmp_path):
    before, after = tmp_path / "a.pcap", tmp_path / "b.pcapng"
    write_pcap(before, [(True, b"\x42\x17nobody knows this 192.168.1.77 aa:bb:cc:dd:ee:ff" + bytes(range(200)))])
    done = run("capture", "--mask", "--from", str(before), str(after))
    assert "1 streams and 0 frames are of kinds that nobody has described" in done.stderr
    assert b"192.168.1.77" not in payload(after) and b"aa:bb:cc" not in payload(after)
    assert b"nobody knows this" in payload(after)


def test_a_capture_that_is_cut(tmp_path):
    before, cut, after = tmp_path / "a.pcap", tmp_path / "cut.pcap", tmp_path / "b.pcapng"
    write_pcap(before, vector("solarman-v5/4110-handshake-cloud-answer") + vector("solarman-v5/4210-data-02b0"))
    cut.write_bytes(before.read_bytes()[:-100])
    done = run("capture", "--mask", "--from", str(cut), str(after))
    assert "what stands before that is taken" in done.stderr
    assert [row["type"] for row in decoded(after)].count("frame") == 2


def test_files_that_are_there_stay(tmp_path):
    before, after = tmp_path / "a.pcap", tmp_path / "b.pcapng"
    write_pcap(before, vector("solarman-v5/4210-data-02b0"))
    after.write_text("mine")
    done = run("capture", "--mask", "--from", str(before), str(after), check=False)
    assert done.returncode == 1 and "File exists" in done.stderr and after.read_text() == "mine"


@pytest.mark.parametrize("arguments", [[], ["roof"], ["--from", "x"], ["--seconds", "soon", "roof", "x"], ["a", "b", "c"]],
                         ids=" ".join)
def test_misuse(arguments):
    assert run("capture", *arguments, check=False).returncode == 2


def test_no_capture(tmp_path):
    for content in b"", b"nonsense" * 100:
        (tmp_path / "in").write_bytes(content)
        done = run("capture", "--mask", "--from", str(tmp_path / "in"), str(tmp_path / "out"), check=False)
        assert done.returncode == 1 and done.stderr and not (tmp_path / "out").exists()


def test_from_an_interface(tmp_path):
    """A device of suntap.ini, heard on the loopback while it speaks."""
    out = tmp_path / "live.pcapng"
    (tmp_path / "suntap.ini").write_text("[device roof]\nsource = 127.0.0.1\nports = 17000\n")
    with subprocess.Popen([SUNTAP, "sim", "cloud", "solarman-v5", "--listen", "127.0.0.1:17000", "--count", "1"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as cloud, \
            subprocess.Popen([SUNTAP, "capture", "--mask", "--config", str(tmp_path / "suntap.ini"), "--interface", "lo",
                              "roof", str(out)], stderr=subprocess.PIPE, text=True) as capture:
        try:
            assert "listening" in cloud.stderr.readline()
            line = capture.stderr.readline()
            if "root" in line or "permitted" in line:
                pytest.skip("needs root")
            assert "listening on lo for roof" in line
            said = run("sim", "device", "solarman-v5", "--to", "127.0.0.1:17000", "--count", "3", "--interval", "0.02", "--json")
            time.sleep(0.5)
            capture.terminate()
            assert capture.wait(10) == 0, capture.stderr.read()
        finally:
            cloud.kill()
            capture.kill()
    put_in = [json.loads(line)["values"]["ac_power"] for line in said.stdout.splitlines()]
    assert [row["values"]["ac_power"] for row in decoded(out) if row["type"] == "reading"] == put_in
