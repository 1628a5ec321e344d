# SPDX-License-Identifier: GPL-2.0-or-later
"""A journald that is late, gone for a while, or slow: the relay does not notice, and what can be kept is not lost."""
import time

import pytest
from lab import *
from test_decoder import FRAME

SOCKET, STDOUT = "/run/systemd/journal/socket", "/run/systemd/journal/stdout"


def sockets_of_systemd():
    """journald's sockets, made and held by somebody else, as by systemd: they are there while journald is not."""
    os.makedirs("/run/systemd/journal", exist_ok=True)
    datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    datagrams.bind(SOCKET)
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.bind(STDOUT)
    stream.listen(10)
    os.chmod(SOCKET, 0o666)
    return datagrams, stream


def relayed(device, conn, count):
    """Sends so many frames; the slowest one's time to the cloud."""
    slowest = 0
    for _ in range(count):
        began = time.monotonic()
        device.sendall(FRAME)
        assert receive(conn, len(FRAME)) == FRAME
        slowest = max(slowest, time.monotonic() - began)
    return slowest


def test_what_is_as_usual_is_no_news(lab):
    """A device that connects every minute is told of once: what comes and goes as the time before has priority debug (7)."""
    lab.start()
    listener = lab.listen()
    for reset_it in False, False, True, True, False:
        device, conn, _ = lab.pair(listener)
        reset(device) if reset_it else device.close()
        assert end_of(conn) == ("reset" if reset_it else "fin")
        conn.close()
    closed = lab.wait_events("FLOW_CLOSED", 5)
    assert [(e["SUNTAP_END"], e["PRIORITY"]) for e in closed] == [
        ("device-closed", "6"), ("device-closed", "7"), ("device-reset", "6"), ("device-reset", "7"), ("device-closed", "6")]
    assert [e["PRIORITY"] for e in lab.events("FLOW_OPENED")] == ["6", "7", "7", "7", "7"]


def test_absent_at_the_start(lab):
    lab.journald = 0
    daemon = lab.start()
    device, conn, _ = lab.pair(lab.listen())
    assert relayed(device, conn, 50) < 0.5
    until(lambda: "no journald" in daemon.status(), 10, "the status to tell it")
    lab.start_journald()
    entries = lab.wait_events("READING", 50)
    assert len(entries) == 50 and len(lab.events("FLOW_OPENED")) == 1
    until(lambda: "no journald" not in daemon.status(), 10, "the status")
    assert relayed(device, conn, 1) < 0.5
    lab.wait_events("READING", 51)


def test_absent_all_the_time(lab):
    """A stop does not wait for a journal that never comes."""
    lab.journald = 0
    daemon = lab.start()
    device, conn, _ = lab.pair(lab.listen())
    relayed(device, conn, 50)
    began = time.monotonic()
    assert daemon.stop() == 0 and lab.clean() == []
    assert time.monotonic() - began < 5


def test_away_while_systemd_holds_its_socket(lab):
    """As when systemd-journald.service is restarted: entries wait in the socket and in the ring; each is there once."""
    held = sockets_of_systemd()
    lab.start_journald(held)
    daemon = lab.start()
    device, conn, _ = lab.pair(lab.listen())
    relayed(device, conn, 20)
    lab.wait_events("READING", 20)
    for _ in range(2):
        lab.stop_journald()
        assert relayed(device, conn, 300) < 0.5
        lab.start_journald(held)
        time.sleep(0.3)
    assert len(lab.wait_events("READING", 620, 30)) == 620
    assert lab.events("GAP") == []
    assert daemon.decoder()


@pytest.mark.limit(100)
def test_away_for_a_minute(lab):
    """What comes while journald is stopped waits in its socket and in the ring: all of it is there afterwards."""
    held = sockets_of_systemd()
    lab.start_journald(held)
    daemon = lab.start()
    device, conn, _ = lab.pair(lab.listen())
    relayed(device, conn, 20)
    lab.wait_events("READING", 20)
    lab.stop_journald()
    slowest, sent, back = 0, 20, time.monotonic() + (60 if SOAK > 1 else 6)
    while time.monotonic() < back:
        slowest = max(slowest, relayed(device, conn, 1))
        sent += 1
        time.sleep(0.02)
    lab.start_journald(held)
    relayed(device, conn, 20)
    assert len(lab.wait_events("READING", sent + 20, 30)) == sent + 20
    print(f"{sent - 20} readings while journald was away: all arrived; slowest message {slowest * 1000:.1f} ms")
    assert slowest < 0.5 and lab.events("GAP") == [] and daemon.decoder()


def test_away_until_the_ring_is_full(lab):
    """More than socket and ring can keep: the rest is told as a gap, and what comes after is complete."""
    held = sockets_of_systemd()
    lab.start_journald(held)
    lab.start("[suntapd]\nring_size = 64K\n" + DEVICE)
    device, conn, _ = lab.pair(lab.listen())
    relayed(device, conn, 20)
    lab.wait_events("READING", 20)
    lab.stop_journald()
    slowest = relayed(device, conn, 3000)
    lab.start_journald(held)
    lab.wait_events("GAP")
    relayed(device, conn, 20)
    device.close()
    conn.close()
    closed = lab.wait_events("FLOW_CLOSED")[0]
    read, lost = len(lab.events("READING")), int(closed["SUNTAP_LOST"])
    print(f"3,040 readings: {read} arrived, {lost} bytes told as lost; slowest message {slowest * 1000:.1f} ms")
    assert int(closed["SUNTAP_BYTES_DEVICE"]) == 3040 * len(FRAME)
    # of a gap, up to a frame at either side of it is cut
    assert 0 < lost <= (3040 - read) * len(FRAME) <= lost + 2 * len(FRAME) * len(lab.events("GAP"))
    assert slowest < 0.5


def test_stuck(lab):
    """journald hangs: the status says so, suntapd stops nothing, and afterwards all is there."""
    lab.start_journald()
    daemon = lab.start()
    device, conn, _ = lab.pair(lab.listen())
    relayed(device, conn, 1)
    lab.wait_events("READING", 1)
    os.kill(lab.journald, signal.SIGSTOP)
    assert relayed(device, conn, 500) < 0.5
    for _ in range(30):         # and suntapd's own events do not wait for it either
        with pytest.raises((ConnectionResetError, TimeoutError, BrokenPipeError)):
            bad = lab.dial(port=10000, source=None, timeout=5)
            reset(bad)
            raise ConnectionResetError
    until(lambda: "journald does not take" in daemon.status(), 20, "the status to tell it")
    os.kill(lab.journald, signal.SIGCONT)
    assert len(lab.wait_events("READING", 501, 30)) == 501


@pytest.mark.parametrize("leaves", ["stale socket", "nothing"])
def test_stopped_while_data_flows(lab, leaves):
    """Without systemd nobody holds its socket: what is understood while it is away waits in the ring."""
    lab.start_journald()
    lab.start()
    device, conn, _ = lab.pair(lab.listen())
    relayed(device, conn, 20)
    lab.wait_events("READING", 20)
    lab.stop_journald()
    if leaves == "nothing":
        for path in SOCKET, STDOUT:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    assert relayed(device, conn, 100) < 0.5
    time.sleep(1.2)
    assert relayed(device, conn, 100) < 0.5
    lab.start_journald()
    assert len(lab.wait_events("READING", 220)) == 220


def test_flood(lab):
    """10,000 readings as fast as they come: none is lost while the ring has room, and the relay does not wait for them."""
    lab.start("[suntapd]\nring_size = 16M\n" + DEVICE)
    device, conn, _ = lab.pair(lab.listen())
    reader = Thread(receive, conn, 10000 * len(FRAME))
    began = time.monotonic()
    device.sendall(FRAME * 10000)
    assert len(reader.join()) == 10000 * len(FRAME)
    assert time.monotonic() - began < 5
    until(lambda: len(lab.entries(f"MESSAGE_ID={MESSAGE['READING']}", "-q", "--output-fields=MESSAGE")) == 10000, 40, "10,000")
