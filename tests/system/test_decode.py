# SPDX-License-Identifier: GPL-2.0-or-later
"""suntap decode: captures of every kind, and how it answers to misuse."""
import json
import os
import pathlib
import random
import struct
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SUNTAP = ROOT / os.environ.get("SUNTAP_BUILD", os.environ.get("BUILD", "build")) / "suntap"
VECTORS = ROOT / "tests" / "vectors"


def segments(case):
    out = []
    for line in (VECTORS / case).read_text().splitlines():
        if line == "---":
            break
        if line[:1] in "<>" and line:
            out.append((line[0], bytes.fromhex(line[1:].strip())))
    return out


HANDSHAKE = segments("solarman-v5/4110-handshake-02b0.txt")[0][1]
DATA = segments("solarman-v5/4210-data-02b0.txt")[0][1]
HEARTBEAT = segments("solarman-v5/4710-heartbeat.txt")[0][1]


def record(number):
    """The data record with another packet number, so that none is a repetition."""
    f = bytearray(DATA)
    f[11 + 17:11 + 21] = struct.pack("<I", number)
    f[-2] = sum(f[1:-2]) & 255
    return bytes(f)


def run(*words, stdin=None):
    return subprocess.run([SUNTAP, *words], input=stdin, capture_output=True, timeout=120, check=False)


def decode(path, *words):
    p = run("decode", "--json", "--frames", *words, path)
    return p, [json.loads(line) for line in p.stdout.decode("utf-8").splitlines()]


def readings(rows):
    return [r for r in rows if r["type"] == "reading"]


# ---------------------------------------------------------------- making captures
class Capture:
    def __init__(self, link=1, magic=0xa1b2c3d4, order="<"):
        self.order, self.link, self.time, self.packets = order, link, 1_700_000_000.0, []
        self.head = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link)

    def add(self, packet, seconds=0.01, caplen=None):
        self.time += seconds
        whole = len(packet)
        self.packets.append((self.time, packet[:caplen], whole))

    def pcap(self):
        out = self.head
        for t, p, whole in self.packets:
            out += struct.pack(self.order + "IIII", int(t), int(t % 1 * 1e6), len(p), whole) + p
        return out

    def pcapng(self):
        def block(kind, body):
            body += b"\0" * (-len(body) % 4)
            return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)
        out = block(0x0a0d0d0a, struct.pack("<IHHq", 0x1a2b3c4d, 1, 0, -1))
        out += block(1, struct.pack("<HHI", self.link, 0, 0))
        for t, p, whole in self.packets:
            us = int(t * 1e6)
            out += block(6, struct.pack("<IIIII", 0, us >> 32, us & 0xffffffff, len(p), whole) + p)
        return out


def tcp(seq, data=b"", flags=0x18, sport=40000, dport=10000, ack=0, options=b""):
    return struct.pack(">HHIIBBHHH", sport, dport, seq & 0xffffffff, ack, (20 + len(options)) << 2, flags, 1024, 0, 0) \
        + options + data


def ipv4(payload, back=False, options=b""):
    a, b = bytes([192, 0, 2, 7]), bytes([198, 51, 100, 1])
    if back:
        a, b = b, a
    return struct.pack(">BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), 0, 0, 64, 6, 0) \
        + a + b + options + payload


def ipv6(payload, back=False, extension=False):
    a, b = b"\x20\x01\x0d\xb8" + bytes(11) + b"\x07", b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01"
    if back:
        a, b = b, a
    if extension:
        payload = struct.pack(">BB6x", 6, 0) + payload
    return struct.pack(">IHBB", 6 << 28, len(payload), 0 if extension else 6, 64) + a + b + payload


def ethernet(packet, kind=0x0800, tags=()):
    head = bytes(12)
    for tag in tags:
        head += struct.pack(">HH", tag, 5)
    frame = head + struct.pack(">H", kind) + packet
    return frame + b"\0" * max(0, 60 - len(frame))


WRAPS = {
    "ethernet": (1, lambda p: ethernet(ipv4(p))),
    "vlan": (1, lambda p: ethernet(ipv4(p), tags=(0x8100,))),
    "qinq": (1, lambda p: ethernet(ipv4(p), tags=(0x88a8, 0x8100))),
    "ipv4-options": (1, lambda p: ethernet(ipv4(p, options=b"\1" * 8))),
    "ipv6": (1, lambda p: ethernet(ipv6(p), 0x86dd)),
    "ipv6-extension": (1, lambda p: ethernet(ipv6(p, extension=True), 0x86dd)),
    "pppoe": (1, lambda p: ethernet(b"\x11\0\0\1" + struct.pack(">HH", len(ipv4(p)) + 2, 0x21) + ipv4(p), 0x8864)),
    "cooked": (113, lambda p: struct.pack(">HHH8xH", 0, 1, 6, 0x0800) + ipv4(p)),
    "cooked2": (276, lambda p: struct.pack(">HHIHBB8x", 0x0800, 0, 3, 1, 0, 6) + ipv4(p)),
    "raw": (101, ipv4),
    "null": (0, lambda p: struct.pack("<I", 2) + ipv4(p)),
}


@pytest.mark.parametrize("kind", WRAPS)
@pytest.mark.parametrize("form", ["pcap", "pcapng"])
def test_link_types(kind, form, tmp_path):
    link, wrap = WRAPS[kind]
    c = Capture(link)
    c.add(wrap(tcp(99, flags=2)))
    c.add(wrap(tcp(100, HANDSHAKE + DATA[:50], options=b"\1\1\x08\x0a" + bytes(8))))
    c.add(wrap(tcp(100 + len(HANDSHAKE) + 50, DATA[50:])))
    c.add(wrap(tcp(100 + len(HANDSHAKE + DATA), HEARTBEAT)))
    (tmp_path / "x").write_bytes(getattr(c, form)())
    p, rows = decode(tmp_path / "x")
    assert p.returncode == 0 and not p.stderr
    assert [r["opcode"] for r in rows if r["type"] == "frame"] == ["0x4110", "0x4210", "0x4710"]
    assert readings(rows)[0]["values"]["ac_voltage"] == 224.8
    assert not [r for r in rows if r["type"] in ("skip", "partial")]


@pytest.mark.parametrize("magic,order", [(0xa1b2c3d4, ">"), (0xa1b23c4d, "<"), (0xa1b23c4d, ">")])
def test_byte_orders(magic, order, tmp_path):
    c = Capture(magic=magic, order=order)
    c.add(ethernet(ipv4(tcp(1, DATA))))
    (tmp_path / "x").write_bytes(c.pcap())
    assert len(readings(decode(tmp_path / "x")[1])) == 1


def stream_of(n, seq):
    data = HANDSHAKE + b"".join(record(i) for i in range(n)) + HEARTBEAT
    parts, at, r = [], 0, random.Random(n)
    while at < len(data):
        size = r.randint(1, 1400)
        parts.append((seq + at, data[at:at + size]))
        at += size
    return data, parts


@pytest.mark.parametrize("seq", [1000, 0xfffffff0, 0x7ffffff0])
@pytest.mark.parametrize("syn", [True, False])
def test_disorder(seq, syn, tmp_path):
    """Out of order, repeated, overlapping: the same as in order."""
    _, parts = stream_of(60, seq)
    r, c = random.Random(seq), Capture()
    if syn:
        c.add(ethernet(ipv4(tcp(seq - 1, flags=2))))
    mixed = [parts[0]]
    for i in range(1, len(parts), 5):
        group = parts[i:i + 5]
        r.shuffle(group)
        mixed += group
        again = r.choice(group)
        mixed.append((again[0] - min(7, again[0] - seq) if again[0] > seq + 7 else again[0], again[1]))
        if again[0] > seq + 7:	# the seven bytes before it once more
            whole = b"".join(p[1] for p in parts)
            at = again[0] - seq
            mixed[-1] = (again[0] - 7, whole[at - 7:at + len(again[1])])
    for s, data in mixed:
        c.add(ethernet(ipv4(tcp(s, data))))
    (tmp_path / "x").write_bytes(c.pcap())
    _, rows = decode(tmp_path / "x")
    assert [r["values"]["packet_number"] for r in readings(rows)] == list(range(60))
    assert not [r for r in rows if r["type"] in ("skip", "partial")]


def test_lost_segments(tmp_path):
    """What was not captured costs the frames it was in, and nothing else."""
    c, seq = Capture(), 500
    c.add(ethernet(ipv4(tcp(seq - 1, flags=2))))
    for i in range(400):
        f = record(i)
        for at in (0, 300):
            if (i, at) not in ((50, 300), (51, 0), (200, 0), (399, 0)):
                c.add(ethernet(ipv4(tcp(seq + at, f[at:at + 300]))), seconds=0.2)
        seq += len(f)
    (tmp_path / "x").write_bytes(c.pcap())
    _, rows = decode(tmp_path / "x")
    assert [r["values"]["packet_number"] for r in readings(rows)] == \
        [i for i in range(400) if i not in (50, 51, 200, 399)]


def test_two_directions_and_their_request(tmp_path):
    c, seq = Capture(), {">": 100, "<": 900}
    for mark, data in segments("solarman-v5/1510-modbus-02b0-3008.txt"):
        back = mark == "<"
        c.add(ethernet(ipv4(tcp(seq[mark], data, sport=10000 if back else 40000, dport=40000 if back else 10000), back)))
        seq[mark] += len(data)
    (tmp_path / "x").write_bytes(c.pcap())
    assert readings(decode(tmp_path / "x")[1])[0]["values"]["ac_voltage"] == 226.4


def test_logger_that_listens(tmp_path):
    """On 8899 the client asks and the logger, the server, is the device."""
    c, seq = Capture(), {">": 100, "<": 900}
    for mark, data in segments("solarman-v5/8899-deye-string-double-crc.txt"):
        back = mark == ">"
        c.add(ethernet(ipv4(tcp(seq[mark], data, sport=8899 if back else 40000, dport=40000 if back else 8899), back)))
        seq[mark] += len(data)
    (tmp_path / "x").write_bytes(c.pcap())
    _, rows = decode(tmp_path / "x")
    assert [r["dir"] for r in rows if r["type"] == "frame"] == ["cloud", "device"]
    assert readings(rows)[0]["values"]["energy_total"] == 380.3


def test_many_flows(tmp_path):
    c = Capture()
    for port in range(20000, 26000):
        c.add(ethernet(ipv4(tcp(7, record(port), sport=port))), seconds=0.0001)
    (tmp_path / "x").write_bytes(c.pcap())
    assert len(readings(decode(tmp_path / "x")[1])) == 6000


def test_reused_ports(tmp_path):
    c = Capture()
    for isn in (100, 70_000_000, 3_000_000_000):
        c.add(ethernet(ipv4(tcp(isn, flags=2))))
        c.add(ethernet(ipv4(tcp(isn + 1, DATA))))
        c.add(ethernet(ipv4(tcp(isn + 1 + len(DATA), flags=0x11))))
    (tmp_path / "x").write_bytes(c.pcap())
    assert len(readings(decode(tmp_path / "x")[1])) == 3


def test_cut_off_capture(tmp_path):
    c = Capture()
    for i in range(3):
        c.add(ethernet(ipv4(tcp(1 + i * len(DATA), record(i)))))
    (tmp_path / "x").write_bytes(c.pcap()[:-20])
    p, rows = decode(tmp_path / "x")
    assert len(readings(rows)) == 2 and p.returncode == 0
    assert b"truncated" in p.stderr


def test_short_snapshot(tmp_path):
    c = Capture()
    c.add(ethernet(ipv4(tcp(1, record(1)))), caplen=100)
    c.add(ethernet(ipv4(tcp(1 + len(DATA), record(2)))), caplen=None)
    c.add(ethernet(ipv4(tcp(1 + 2 * len(DATA), record(3)))), seconds=10)
    (tmp_path / "x").write_bytes(c.pcap())
    assert [r["values"]["packet_number"] for r in readings(decode(tmp_path / "x")[1])] == [2, 3]


def test_capture_of_rubbish(tmp_path):
    r = random.Random(5)
    for n in range(40):
        c = Capture(link=r.choice([1, 113, 276, 101, 0]))
        for _ in range(50):
            c.add(r.randbytes(r.randint(0, 120)))
        data = bytearray(c.pcap())
        for _ in range(r.randint(0, 20)):
            data[r.randrange(24, len(data))] = r.randrange(256)
        (tmp_path / "x").write_bytes(data)
        p, rows = decode(tmp_path / "x")
        assert p.returncode in (1, 2) and not readings(rows)


def client_hello(host):
    name = host.encode()
    sni = struct.pack(">HBH", len(name) + 3, 0, len(name)) + name
    ext = struct.pack(">HH", 10, 2) + b"\0\0" + struct.pack(">HH", 0, len(sni)) + sni
    body = b"\3\3" + bytes(32) + b"\0" + struct.pack(">H", 2) + b"\x13\1" + b"\1\0" + struct.pack(">H", len(ext)) + ext
    return b"\x01" + struct.pack(">I", len(body))[1:] + body


@pytest.mark.parametrize("records", [1, 3])
@pytest.mark.parametrize("step", [1, 7, 2000])
def test_tls_is_named(records, step, tmp_path):
    hello = client_hello("logger.example.net")
    size = -(-len(hello) // records)
    data = b"".join(b"\x16\3\1" + struct.pack(">H", len(hello[i:i + size])) + hello[i:i + size]
                    for i in range(0, len(hello), size))
    lines = [f"> {data[i:i + step].hex()}" for i in range(0, len(data), step)]
    (tmp_path / "x").write_text("\n".join(lines))
    p, rows = decode(tmp_path / "x")
    assert {"type": "verdict", "verdict": "tls", "text": "logger.example.net"} in rows
    assert p.returncode == 1
    assert sum(r["length"] for r in rows if r["type"] == "skip") == len(data)


def test_stored_and_repeated_records_say_so():
    rows = readings(decode(VECTORS / "solarman-v5/4210-data-02b0-historic.txt")[1])
    assert [r.get("historic") for r in rows] == [None, True]
    assert [r.get("repeat") for r in rows] == [None, True]
    assert rows[0]["time"] == rows[1]["time"] == "2024-03-31T07:27:24Z"
    p = run("decode", VECTORS / "solarman-v5/4210-data-02b0-historic.txt")
    assert b", stored, repeated" in p.stdout


# ---------------------------------------------------------------- the command
@pytest.mark.parametrize("words", [[], ["nonsense"], ["decode"], ["decode", "--nonsense", "x"],
                                   ["decode", "--protocol", "nonsense", "x"], ["decode", "/nonexistent/x"]])
def test_misuse(words):
    p = run(*words)
    assert p.returncode == 2 and p.stderr and not p.stdout


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["decode", "--help"], ["decode", "--version"]])
def test_help(words):
    p = run(*words)
    assert p.returncode == 0 and p.stdout and not p.stderr


def test_standard_input():
    case = VECTORS / "solarman-v5/4210-data-02b0.txt"
    assert run("decode", "-", stdin=case.read_bytes()).stdout == run("decode", case).stdout
    c = Capture()
    c.add(ethernet(ipv4(tcp(1, DATA))))
    assert b"224.8 V" in run("decode", "-", stdin=c.pcap()).stdout
    assert b"224.8 V" in run("decode", "-", stdin=c.pcapng()).stdout


def test_not_a_capture(tmp_path):
    (tmp_path / "x").write_bytes(b"%PDF-1.4\nnothing\n")
    p = run("decode", tmp_path / "x")
    assert p.returncode == 2 and b"neither a capture" in p.stderr
    (tmp_path / "x").write_text("> a50100104710842143657b003015\n> zz\n")
    p = run("decode", tmp_path / "x")
    assert p.returncode == 0 and b"line 2" in p.stderr
    (tmp_path / "x").write_text("# nothing\n")
    assert run("decode", tmp_path / "x").returncode == 1


def test_elsewhere_and_other_maps(tmp_path):
    case = VECTORS / "solarman-v5/4210-data-02b0.txt"
    p = subprocess.run([SUNTAP.resolve(), "decode", case.resolve()], cwd="/", capture_output=True, check=False)
    assert b"224.8 V" in p.stdout
    (tmp_path / "mine.ini").write_text("[map]\nprotocol = solarman-v5\nsensor_list = 0x02b0\n\n"
                                       "[ac_voltage]\nat = 199\norder = big\nscale = 0.01\n")
    p, rows = decode(case, "--maps", tmp_path)
    assert readings(rows)[0]["values"]["ac_voltage"] == 22.48
    (tmp_path / "mine.ini").write_text("[map]\nprotocol = solarman-v5\n[ac_voltage]\nat = 199\nscale = abc\n")
    p, rows = decode(case, "--maps", tmp_path)
    assert b"mine.ini:5: [ac_voltage] scale" in p.stderr


def test_secrets_stay_inside(tmp_path):
    """SSID and passwords pass through handshakes, Wi-Fi records and AT commands, and are not told."""
    handshake, wifi = bytearray(HANDSHAKE), bytearray(segments("solarman-v5/4310-wifi.txt")[0][1])
    handshake[11 + 172:11 + 172 + 12] = b"my-own-ssid!"
    wifi[11 + 15:11 + 15 + 12] = b"my-own-ssid!"
    body = b"\1\2\0" + bytes(12) + b"AT+WSKEY=WPA2PSK,AES,my-own-key\r"
    command = b"\xa5" + struct.pack("<H", len(body)) + b"\x10\x45\1\1\x21\x43\x65\x7b" + body
    answer = b"\1\1" + bytes(12) + b"+ok=WPA2PSK,AES,my-own-key"
    answer = b"\xa5" + struct.pack("<H", len(answer)) + b"\x10\x15\1\2\x21\x43\x65\x7b" + answer
    lines = []
    for mark, f in ((">", handshake[:-2]), (">", wifi[:-2]), ("<", command), (">", answer)):
        lines.append(f"{mark} {bytes(f).hex()}{sum(f[1:]) & 255:02x}15")
    (tmp_path / "x").write_text("\n".join(lines))
    for form in ("--json", "--table"):
        p = run("decode", form, "--frames", tmp_path / "x")
        assert p.returncode == 0 and b"AT+WSKEY" in p.stdout
        assert b"my-own" not in p.stdout
