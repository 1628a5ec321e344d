# SPDX-License-Identifier: GPL-2.0-or-later
"""From the tap to the journal; and a decoder that is stopped, killed, too slow or mad, which the relay does not notice."""
import random
import runpy
import time
from pathlib import Path

import pytest
from lab import *

COMPARE = runpy.run_path(f"{TOP}/tests/vectors/compare")
VECTORS = [COMPARE["Case"](p) for folder in ("solarman-v5", "tsun-gen3") for p in sorted(Path(f"{TOP}/tests/vectors/{folder}").glob("*.txt"))]
FRAME = bytes.fromhex(next(c for c in VECTORS if c.path.name == "4210-data-02b0.txt").segments[0][1])
SERIAL = "Y17E7A0F010B013E"


def row_of(entry):
    """A journal entry as `suntap decode --json` would print it."""
    values = {k[6:].lower(): float(v) if re.fullmatch(r"-?\d+(\.\d+)?", v) else v for k, v in entry.items() if k.startswith("SOLAR_")}
    row = {"type": "reading" if entry["MESSAGE_ID"] == MESSAGE["READING"] else "info", "values": values}
    for key, field in ("serial", "SUNTAP_SERIAL"), ("logger", "SUNTAP_LOGGER"), ("time", "SUNTAP_TIME"), ("time", "SUNTAP_TIME_RAW"):
        if field in entry:
            row[key] = entry[field]
    return row


def ring_tail(daemon):
    """How many bytes suntapd has ever put into the ring: struct ring_tail, read through its descriptor."""
    for fd in os.listdir(f"/proc/{daemon.pid}/fd"):
        if os.readlink(f"/proc/{daemon.pid}/fd/{fd}") == "/memfd:suntap-ring (deleted)":
            with open(f"/proc/{daemon.pid}/fd/{fd}", "rb") as f:
                f.seek(64)
                return struct.unpack("Q", f.read(8))[0]
    raise AssertionError("suntapd has no ring")


def readings(lab, count, seconds=15, **fields):
    return lab.wait_events("READING", count, seconds, **fields)


def test_large_ring(lab):
    """The limit on the decoder's memory is not used up by the ring, which is mapped twice."""
    daemon = lab.start("[suntapd]\nring_size = 1G\n" + DEVICE)
    listener = lab.listen()
    flows = []
    for _ in range(800):
        device, conn, _ = lab.pair(listener)
        device.sendall(FRAME[:50])       # its decoder has to remember the half of it
        flows.append((device, conn))
    device, conn, _ = lab.pair(listener)
    device.sendall(FRAME)
    readings(lab, 1)
    assert "memory" not in daemon.log()


CLOCK_SET_BACK = """
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *t)
{
	static time_t start;
	int (*real)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	struct timespec up;
	int r = real(clock, t);

	real(CLOCK_MONOTONIC, &up);
	if (!start)
		start = up.tv_sec;
	if (clock == CLOCK_REALTIME && up.tv_sec - start >= 2)
		t->tv_sec -= 86400;
	return r;
}
"""


@pytest.mark.skipif(SANITIZED, reason="a preloaded clock and a sanitizer do not go together")
def test_clock_set_back(lab):
    """A day, in the middle of its life: what is learnt is kept all the same, and nothing lasts less than no time."""
    os.mkdir("/run/state", 0o777)
    with open("/run/clock.c", "w") as f:
        f.write(CLOCK_SET_BACK)
    run("cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "/run/clock.c", "-o", "/run/clock.so")
    lab.start(env={"LD_PRELOAD": "/run/clock.so", "STATE_DIRECTORY": "/run/state"})
    device, conn, _ = lab.pair(lab.listen())
    time.sleep(3)
    device.sendall(FRAME)
    readings(lab, 1)
    kept = lambda: any(open("/run/state/decoder.state", "rb").read())      # noqa: E731
    until(kept, 25, "the file with what is known of devices")
    device.close()
    conn.close()
    assert float(lab.wait_events("FLOW_CLOSED")[0]["SUNTAP_DURATION"]) >= 0


# ---------------------------------------------------------------- what it understands
def play(lab, listener, case):
    """A conversation between a device and a cloud: byte-equal at both ends. Returns the device's address."""
    device, conn, _ = lab.pair(listener)
    peer = f"{INVERTER}:{device.getsockname()[1]}"
    for mark, text in case.segments:
        data = bytes.fromhex(text)
        sender, receiver = (device, conn) if mark == ">" else (conn, device)
        sender.sendall(data)
        assert receive(receiver, len(data)) == data
    device.close()
    conn.close()
    return peer


def test_vectors_through_the_tap(lab):
    """Each captured conversation through a suntapd of its own (what is known of a logger from one case would change how
    another one is read): what it means is in the journal."""
    cases = [c for c in VECTORS if all(mark != "#" for mark, _ in c.segments) and "lookalike" not in c.path.stem]
    listener = lab.listen()
    faults = []
    for case in cases:
        daemon = lab.start()
        case.peer = play(lab, listener, case)
        assert daemon.stop() == 0
    lab.wait_events("FLOW_CLOSED", len(cases), 30)
    entries = lab.entries(f"MESSAGE_ID={MESSAGE['READING']}", f"MESSAGE_ID={MESSAGE['INFO']}")
    for case in cases:
        rows = [row_of(e) for e in entries if e["SUNTAP_PEER"] == case.peer]
        if not case.blocks and any(f["ok"] for f in case.frames):
            continue        # one of the cases that are only about frames
        faults += [f"{case.path.stem}: {f}" for f in COMPARE["compare_blocks"](case, rows)]
    assert not faults, "\n".join(faults)
    assert len(cases) > 50 and len([e for e in entries if e["MESSAGE_ID"] == MESSAGE["READING"]]) > 15


def test_question_to_the_journal(lab):
    """journalctl -t suntap SUNTAP_SERIAL=… answers, with numbers in plain fields."""
    daemon = lab.start()
    device, conn, _ = lab.pair(lab.listen())
    device.sendall(FRAME)
    assert receive(conn, len(FRAME)) == FRAME
    entry = readings(lab, 1, SUNTAP_SERIAL=SERIAL)[0]
    assert (entry["SOLAR_AC_POWER"], entry["SOLAR_PV1_VOLTAGE"], entry["SOLAR_ENERGY_TOTAL"]) == ("165.8", "35.3", "101.36")
    assert entry["SUNTAP_TIME_RAW"] == "2024-03-31T07:27:24Z" and entry["SUNTAP_PROTOCOL"] == "solarman-v5"
    assert entry["SUNTAP_DEVICE"] == "roof"
    out = run("journalctl", f"--directory={lab.journal_directory}", "-t", "suntap", f"SUNTAP_SERIAL={SERIAL}", "--no-pager")
    assert "165.8 W" in out
    until(lambda: ", 1 reading" in daemon.status(), 10, "the status line")


def client_hello(name):
    sni = b"\0" + struct.pack("!H", len(name)) + name
    sni = struct.pack("!HH", 0, len(sni) + 2) + struct.pack("!H", len(sni)) + sni
    other = struct.pack("!HHH", 0x1234, 500, 0)[:4] + bytes(500)
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\x02\x13\x01" + b"\x01\0" + struct.pack("!H", len(sni + other)) + other + sni
    hello = b"\x01" + struct.pack("!I", len(body))[1:] + body
    return b"\x16\x03\x01" + struct.pack("!H", len(hello)) + hello


@pytest.mark.parametrize("piece", [10000, 1])
def test_tls(lab, piece):
    """TLS is relayed, told once with its SNI, and from then on not even copied."""
    daemon = lab.start()
    device, conn, _ = lab.pair(lab.listen())
    hello = client_hello(b"iot.example.com")
    for at in range(0, len(hello), piece):
        device.sendall(hello[at:at + piece])
    assert receive(conn, len(hello)) == hello
    entry = lab.wait_events("TLS_SEEN")[0]
    assert entry["SUNTAP_SNI"] == "iot.example.com" and entry["SUNTAP_DEVICE"] == "roof"
    pushed_through(daemon, device, conn)
    device.close()
    conn.close()
    closed = lab.wait_events("FLOW_CLOSED")[0]
    assert closed["SUNTAP_BYTES_DEVICE"] == str(len(hello) + 4000000)
    assert len(lab.events("TLS_SEEN")) == 1 and lab.events("GAP") == [] and lab.events("READING") == []


def pushed_through(daemon, device, conn):
    """4 MB each way, of which nothing is copied."""
    def nothing_new():
        before = ring_tail(daemon)
        device.sendall(b"probe")
        receive(conn, 5)
        conn.sendall(b"probe")
        receive(device, 5)
        return ring_tail(daemon) == before

    probes = 0
    while not nothing_new():
        probes += 1
        assert probes < 200, "it is copied on and on"
        time.sleep(0.01)
    before = ring_tail(daemon)
    data = bytes(range(256)) * 100
    left = 4000000 - 5 * (probes + 1)
    reader = Thread(receive, conn, left)
    device.sendall((data * 200)[:left])
    assert len(reader.join()) == left
    reader = Thread(receive, device, 4000000)
    conn.sendall((data * 200)[:4000000])
    assert len(reader.join()) == 4000000
    assert ring_tail(daemon) == before


def test_unknown(lab):
    """What nobody knows is relayed, told once with its first bytes, and from then on not even copied."""
    daemon = lab.start()
    device, conn, _ = lab.pair(lab.listen())
    rubbish = random.Random(3).randbytes(20000)
    device.sendall(rubbish)
    assert receive(conn, len(rubbish)) == rubbish
    entry = lab.wait_events("UNKNOWN_FRAME")[0]
    assert entry["SUNTAP_HEX"] and rubbish.startswith(bytes.fromhex(entry["SUNTAP_HEX"]))
    pushed_through(daemon, device, conn)
    device.close()
    conn.close()
    lab.wait_events("FLOW_CLOSED")
    assert len(lab.events("UNKNOWN_FRAME")) == 1


@pytest.mark.skipif(SANITIZED, reason="under a sanitizer the decoder is not locked in")
def test_locked_in(lab):
    """No capability, no way to gain one, a filter, not root, nothing open but what it was given."""
    daemon = lab.start()
    until(lambda: any("locks itself in" in e["MESSAGE"] for e in lab.entries("SYSLOG_IDENTIFIER=suntap")))
    pid = daemon.decoder()
    status = dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status").read().splitlines() if ":\t" in line)
    until(lambda: "Seccomp:\t2" in open(f"/proc/{pid}/status").read())
    for line in "CapInh", "CapPrm", "CapEff", "CapAmb":
        assert int(status[line], 16) == 0, line
    assert status["NoNewPrivs"].strip() == "1" and "0" not in status["Uid"].split() and status["Groups"].strip() == ""
    fds = [os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")]
    others = [f for f in fds if not re.match(r"/memfd:suntap-|socket:|anon_inode:\[eventfd\]|/dev/null|/run/suntapd-0.log", f)]
    assert others == [] and len(fds) <= 11, fds
    assert "rw" not in [line.split()[1][:2] for line in open(f"/proc/{pid}/maps") if "suntap-ring (deleted)" in line]


# ---------------------------------------------------------------- stopped, killed, mad
def test_stopped(lab):
    """SIGSTOP: the relay loses and delays nothing; afterwards the readings are there."""
    daemon = lab.start()
    listener = lab.listen()
    device, conn, _ = lab.pair(listener)
    device.sendall(FRAME)
    assert receive(conn, len(FRAME)) == FRAME
    readings(lab, 1)
    os.kill(daemon.decoder(), signal.SIGSTOP)
    slowest = 0
    for _ in range(100):
        began = time.monotonic()
        device.sendall(FRAME)
        assert receive(conn, len(FRAME)) == FRAME
        slowest = max(slowest, time.monotonic() - began)
    server = lab.server("--timeout", 40, address=CLOUD6)        # more than the ring holds
    assert lab.client("--flows", 300, "--bytes", 100000, "--resets", 20, address=CLOUD6).result()["ok"] == 300
    server.result()
    assert slowest < 0.5
    assert len(lab.events("READING")) == 1
    os.kill(daemon.decoder(), signal.SIGCONT)
    readings(lab, 101)
    lab.wait_events("FLOW_CLOSED", 300)
    assert len(lab.events("FLOW_OPENED")) == 301
    assert lab.events("GAP", SUNTAP_FLOW=lab.events("READING")[0]["SUNTAP_FLOW"]) == []


@pytest.mark.parametrize("rounds", [1, 3])
def test_gap_is_told_exactly(lab, rounds):
    """A ring of 64 KiB and a decoder that does not read: the gap is where the bytes are missing, to the byte, and all
    frames that are whole outside it are readings."""
    daemon = lab.start("[suntapd]\nring_size = 64K\n" + DEVICE)
    device, conn, _ = lab.pair(lab.listen())
    rng = random.Random(rounds)
    frames = 0

    def send(count):
        nonlocal frames
        data, at = FRAME * count, 0
        while at < len(data):
            n = rng.randrange(1, 3000)
            device.sendall(data[at:at + n])
            at += n
        assert receive(conn, len(data)) == data
        frames += count

    send(1)
    readings(lab, 1)
    for i in range(rounds):
        os.kill(daemon.decoder(), signal.SIGSTOP)
        send(700)
        os.kill(daemon.decoder(), signal.SIGCONT)
        until(lambda: len(lab.events("READING")) > 100 * (i + 1))
        send(5)
        lab.wait_events("GAP", i + 1)
    device.close()
    conn.close()
    assert lab.wait_events("FLOW_CLOSED")[0]["SUNTAP_BYTES_DEVICE"] == str(frames * len(FRAME))
    gaps = [(int(e["SUNTAP_OFFSET"]), int(e["SUNTAP_LOST"])) for e in lab.events("GAP")]
    assert len(gaps) == rounds and all(lost > 100000 for _, lost in gaps)
    whole = [i for i in range(frames) if all((i + 1) * len(FRAME) <= at or i * len(FRAME) >= at + lost for at, lost in gaps)]
    assert len(lab.events("READING")) == len(whole)
    assert lab.events("BAD_FRAME") == []


def test_many_gaps_add_up(lab):
    """More gaps than are logged one by one: the entry of the flow's end has the sum of all."""
    daemon = lab.start("[suntapd]\nring_size = 64K\n" + DEVICE)
    device, conn, _ = lab.pair(lab.listen())
    device.sendall(FRAME)
    receive(conn, len(FRAME))
    readings(lab, 1)
    sent = 1
    for _ in range(15):
        decoder = daemon.decoder()
        os.kill(decoder, signal.SIGSTOP)
        until(lambda: "T (stopped)" in open(f"/proc/{decoder}/status").read())
        device.sendall(FRAME * 200)
        assert len(receive(conn, 200 * len(FRAME))) == 200 * len(FRAME)
        sent += 200
        os.kill(decoder, signal.SIGCONT)
        seen = 0
        while seen != (seen := len(lab.events("READING"))):
            time.sleep(0.1)
    device.close()
    conn.close()
    closed = lab.wait_events("FLOW_CLOSED")[0]
    read = len(lab.events("READING"))
    lost = int(closed["SUNTAP_LOST"])
    # of each gap, up to a frame at either side of it is cut
    assert lost <= (sent - read) * len(FRAME) <= lost + 15 * 2 * len(FRAME)
    assert 10 <= len(lab.events("GAP")) < 15


def test_killed_again_and_again(lab):
    """kill -9 under traffic: the relay loses nothing; a decoder that joins a flow in the middle goes on with it, and calls
    nothing a gap that its predecessor has read."""
    daemon = lab.start("[suntapd]\nring_size = 128M\n" + DEVICE)
    device, conn, _ = lab.pair(lab.listen())
    server = lab.server("--timeout", 40, address=CLOUD6)
    client = lab.client("--flows", 300, "--parallel", 30, "--bytes", 200000, "--pause", 5, address=CLOUD6)
    sent = 0
    for _ in range(5):
        old = daemon.decoder()
        for _ in range(20):
            device.sendall(FRAME)
            assert receive(conn, len(FRAME)) == FRAME
            sent += 1
        readings(lab, sent)
        os.kill(old, signal.SIGKILL)
        daemon.new_decoder(old)
    assert client.result()["ok"] == 300
    server.result()
    device.close()
    conn.close()
    closed = until(lambda: lab.events("FLOW_CLOSED", SUNTAP_BYTES_DEVICE=sent * len(FRAME)))[0]
    assert closed["SUNTAP_DEVICE"] == "roof" and closed["SUNTAP_CLOUD"] == "203.0.113.10:10000"
    assert sent <= len(lab.events("READING")) <= sent + 5
    assert lab.events("GAP") == [] and "SUNTAP_LOST" not in closed
    assert all("signal 9" in e["MESSAGE"] for e in lab.wait_events("DECODER_RESTARTED", 5))


def test_killed_while_a_flow_ended(lab):
    """What its successor reads of a flow that ended meanwhile is of the same device; the next flow in that slot is another one."""
    daemon = lab.start("[device roof]\nsource = 192.168.50.2\nports = 10000\n[device shed]\nsource = 192.168.50.2\nports = 10001\n")
    device, conn, _ = lab.pair(lab.listen())
    device.sendall(FRAME)
    readings(lab, 1)
    old = daemon.decoder()
    os.kill(old, signal.SIGSTOP)
    device.sendall(FRAME)
    assert receive(conn, 2 * len(FRAME)) == 2 * FRAME
    device.close()
    conn.close()
    until(lambda: daemon.flows() == 0, 10, "the end of the first flow")
    device, conn, _ = lab.pair(lab.listen(port=10001), port=10001)
    device.sendall(FRAME)
    receive(conn, len(FRAME))
    device.close()
    until(lambda: end_of(conn) == "fin", 10)
    conn.close()
    until(lambda: daemon.flows() == 0, 10, "the end of the second flow")
    os.kill(old, signal.SIGKILL)
    found = readings(lab, 3)
    assert [e["SUNTAP_DEVICE"] for e in found] == ["roof", "roof", "shed"]
    assert found[0]["SUNTAP_FLOW"] == found[1]["SUNTAP_FLOW"] and found[1]["SUNTAP_PEER"] == found[0]["SUNTAP_PEER"]
    assert [e["SUNTAP_DEVICE"] for e in lab.wait_events("FLOW_CLOSED", 2)] == ["roof", "shed"]


def test_killed_with_a_full_ring(lab):
    """What waits in the ring when it dies is read by the next one: nothing of it is lost."""
    daemon = lab.start()
    device, conn, _ = lab.pair(lab.listen())
    device.sendall(FRAME)
    receive(conn, len(FRAME))
    readings(lab, 1)
    decoder = daemon.decoder()
    os.kill(decoder, signal.SIGSTOP)
    device.sendall(FRAME * 500)
    assert len(receive(conn, 500 * len(FRAME))) == 500 * len(FRAME)
    os.kill(decoder, signal.SIGKILL)
    # those that straddle two records may be cut where the first one had begun to read
    assert 499 <= len(readings(lab, 500)) <= 502
    assert lab.events("GAP") == []


def test_flow_that_ends_while_there_is_no_decoder(lab):
    """The entry of its end has all its fields, though the decoder that saw it open is dead."""
    daemon = lab.start()
    device, conn, _ = lab.pair(lab.listen())
    device.sendall(FRAME)
    assert receive(conn, len(FRAME)) == FRAME
    opened = lab.wait_events("FLOW_OPENED")[0]
    readings(lab, 1)
    os.kill(daemon.decoder(), signal.SIGKILL)
    device.close()
    conn.close()
    closed = lab.wait_events("FLOW_CLOSED")[0]
    for field in "SUNTAP_FLOW", "SUNTAP_DEVICE", "SUNTAP_PEER", "SUNTAP_CLOUD":
        assert closed[field] == opened[field], field
    assert closed["SUNTAP_BYTES_DEVICE"] == str(len(FRAME)) and closed["SUNTAP_END"] in ("device-closed", "cloud-closed")


def test_idle_flow_that_ends_after_a_restart(lab):
    daemon = lab.start()
    device, conn, _ = lab.pair(lab.listen())
    opened = lab.wait_events("FLOW_OPENED")[0]
    old = daemon.decoder()
    os.kill(old, signal.SIGKILL)
    daemon.new_decoder(old)
    until(lambda: len([e for e in lab.entries("SYSLOG_IDENTIFIER=suntap") if "locks itself in" in e["MESSAGE"]]) == 2)
    device.close()
    conn.close()
    closed = lab.wait_events("FLOW_CLOSED")[0]
    assert closed["SUNTAP_PEER"] == opened["SUNTAP_PEER"] and closed["SUNTAP_DEVICE"] == "roof"


def test_mad(lab):
    """A decoder that writes nonsense into the page that it may write: ended, replaced, and no byte of a flow is touched."""
    daemon = lab.start()
    device, conn, _ = lab.pair(lab.listen())
    page = next(f"/proc/{daemon.pid}/fd/{fd}" for fd in os.listdir(f"/proc/{daemon.pid}/fd")
                if os.readlink(f"/proc/{daemon.pid}/fd/{fd}") == "/memfd:suntap-ring-reader (deleted)")
    rng = random.Random(5)
    for head in (1 << 63, 1 << 40, 2**64 - (1 << 30))[:max(SOAK, 2)]:
        old = daemon.decoder()
        os.kill(old, signal.SIGSTOP)
        with open(page, "r+b") as f:
            f.write(struct.pack("Q", head) + rng.randbytes(100))
        for _ in range(20):
            device.sendall(FRAME)
            assert receive(conn, len(FRAME)) == FRAME
        daemon.new_decoder(old, 15)
    count = len(lab.events("READING"))
    device.sendall(FRAME)
    assert receive(conn, len(FRAME)) == FRAME
    until(lambda: len(lab.events("READING")) > count, 10, "a reading")


def test_ring_full_of_events(lab):
    """Thousands of flows come and go while nobody reads the ring: what could not be told is counted."""
    daemon = lab.start("[suntapd]\nring_size = 64K\n" + DEVICE)
    os.kill(daemon.decoder(), signal.SIGSTOP)
    server = lab.server("--timeout", 40)
    lab.client("--flows", 1000, "--parallel", 50, "--bytes", 100).result()
    server.result()
    os.kill(daemon.decoder(), signal.SIGCONT)
    sums = []

    def add_up():
        sums[:] = [len(lab.events("FLOW_OPENED")), len(lab.events("FLOW_CLOSED")),
                   sum(int(e.get("SUNTAP_LOST_EVENTS", 0)) for e in lab.events("GAP"))]
        return sum(sums) == 2000

    until(add_up, 60 if SANITIZED else 10, f"opened, closed and lost events to be 2,000 together: {sums}")
    assert sums[2] > 1000


@pytest.mark.skipif(SOAK < 2, reason="takes 40 s: make soak")
@pytest.mark.limit(100)
def test_hanging(lab):
    """Not dead, not reading: after 30 s it is ended and replaced."""
    daemon = lab.start()
    device, conn, _ = lab.pair(lab.listen())
    old = daemon.decoder()
    os.kill(old, signal.SIGSTOP)
    device.sendall(FRAME)
    assert receive(conn, len(FRAME)) == FRAME
    daemon.new_decoder(old, 50)
    readings(lab, 1)
    assert "hung" in lab.wait_events("DECODER_RESTARTED")[0]["MESSAGE"]
