# SPDX-License-Identifier: GPL-2.0-or-later
"""Every byte through the real TPROXY path: both ways at once, half-closed, reset, slow, a thousand at once."""
import time

import pytest
from lab import *

PLAN = 56       # bytes of the plan that the client of peer.c sends first
BOTH = pytest.mark.parametrize("cloud", [CLOUD, CLOUD6])


def totals(lab, flows, **fields):
    """Sums of what the journal says of so many closed flows."""
    closed = lab.wait_events("FLOW_CLOSED", flows, 30, **fields)
    assert len(closed) == flows
    ends = {}
    for e in closed:
        ends[e["SUNTAP_END"]] = ends.get(e["SUNTAP_END"], 0) + 1
    return (sum(int(e["SUNTAP_BYTES_DEVICE"]) for e in closed), sum(int(e["SUNTAP_BYTES_CLOUD"]) for e in closed), ends)


@BOTH
def test_both_ways_at_once(lab, cloud):
    lab.start()
    flows = 200 * SOAK
    server = lab.server(address=cloud)
    client = lab.client("--flows", flows, "--parallel", 200, "--bytes", 300000, "--pause", 3, address=cloud).result()
    served = server.result()
    assert (client["sent"], client["received"]) == (served["received"], served["sent"])
    assert client["ok"] == served["ok"] == flows
    up, down, ends = totals(lab, flows)
    assert (up, down) == (client["sent"] + PLAN * flows, client["received"])
    assert set(ends) <= {"device-closed", "cloud-closed"} and len(ends) == 2


@BOTH
def test_resets_at_any_byte(lab, cloud):
    lab.start()
    flows = 400 * SOAK
    server = lab.server(address=cloud)
    client = lab.client("--flows", flows, "--parallel", 100, "--bytes", 200000, "--resets", 70, "--pause", 2, "--seed", 7,
                        address=cloud).result()
    served = server.result()
    assert client["resets_sent"] > 50 and served["resets_sent"] > 50
    _, _, ends = totals(lab, flows)
    assert ends["device-reset"] == client["resets_sent"]
    assert ends["cloud-reset"] == served["resets_sent"]
    assert sum(ends.values()) == flows


def test_thousand_at_once(lab):
    daemon = lab.start()
    server = lab.server("--timeout", 50)
    client = lab.client("--flows", 1000, "--bytes", 50000, "--barrier", "--hold", 1, "--timeout", 50)
    client.line("connected 1000")
    until(lambda: daemon.flows() >= 1000, 10, "1,000 flows")
    result = client.result()
    served = server.result()
    assert result["ok"] == served["ok"] == 1000
    assert sum(totals(lab, 1000)[2].values()) == 1000
    until(lambda: daemon.flows() == 0, 5, "the sockets to be closed")


@pytest.mark.parametrize("slow", ["cloud", "device"])
def test_slow_reader(lab, slow):
    """One end reads slowly and everything still arrives; the daemon does not keep what the other end sends."""
    daemon = lab.start()
    before = daemon.memory()
    slowly = ["--read-rate", 300000, "--rcvbuf", 20000]
    server = lab.server("--flows", 20, *(slowly if slow == "cloud" else []))
    up, down = (1500000, 1000) if slow == "cloud" else (1000, 1500000)
    client = lab.client("--flows", 20, "--exact", "--plain", "--up", up, "--down", down, *(slowly if slow == "device" else []))
    most = 0
    while client.process.poll() is None or server.process.poll() is None:
        most = max(most, daemon.memory())
        time.sleep(0.05)
    assert max(client.result()["seconds"], server.result()["seconds"]) > 4
    assert most - before < (32 if SANITIZED else 1) << 20, f"{most - before} bytes for 20 slow flows"


@pytest.mark.parametrize("reader", ["cloud", "device"])
def test_sender_is_held_back(lab, reader):
    """A reader that reads nothing: the sender can send so much and no more, for as long as it takes; then all arrives."""
    daemon = lab.start()
    device, cloud, _ = lab.pair(lab.listen())
    source, sink = (device, cloud) if reader == "cloud" else (cloud, device)
    source.setblocking(False)
    piece, sent, quiet = bytes(range(256)) * 256, 0, time.monotonic()
    while time.monotonic() - quiet < 1:
        try:
            n = source.send(piece[sent % 256:])
            sent += n
            quiet = time.monotonic()
        except BlockingIOError:
            time.sleep(0.02)
    assert sent < 40 << 20, "nobody holds the sender back"
    cpu = daemon.cpu()
    time.sleep(1)
    assert daemon.cpu() - cpu < 0.1, "busy with a flow that is stuck"
    got = 0
    while got < sent:
        data = sink.recv(1 << 20)
        assert data == (piece * (len(data) // 65536 + 2))[got % 256:][:len(data)]
        got += len(data)
    source.setblocking(True)
    source.sendall(b"more")
    assert receive(sink, 4) == b"more"


def test_stuck_flows_do_not_starve_others(lab):
    """More flows that are stuck than there are pipes: a healthy one still gets on, and the stuck ones recover."""
    daemon = lab.start()
    listener = lab.listen()
    stuck = [lab.pair(listener) for _ in range(200)]
    sent = [0] * len(stuck)
    for _ in range(60):
        moved = False
        for i, (device, _, _) in enumerate(stuck):
            device.setblocking(False)
            try:
                sent[i] += device.send(bytes(65536))
                moved = True
            except BlockingIOError:
                pass
        if not moved:
            time.sleep(0.05)
    device, cloud, _ = lab.pair(listener)
    for i in range(200):
        word = f"word {i}".encode()
        device.sendall(word)
        assert receive(cloud, len(word)) == word
        cloud.sendall(word)
        assert receive(device, len(word)) == word
    pipes = sum(1 for f in daemon.files() if f.startswith("pipe:"))
    assert pipes <= 2 * 128 + 8, f"{pipes} ends of pipes"
    assert daemon.memory() < 30 << 20
    for (_, cloud, _), total in zip(stuck, sent):
        assert len(receive(cloud, total)) == total


def test_slow_both_ways_and_resets(lab):
    """All at once: slow readers at both ends, small buffers, pauses, resets."""
    lab.start()
    server = lab.server("--read-rate", 2000000, "--rcvbuf", 8000, "--sndbuf", 8000, "--pause", 5, "--timeout", 50)
    client = lab.client("--flows", 300, "--bytes", 400000, "--resets", 30, "--read-rate", 2000000, "--rcvbuf", 8000,
                        "--pause", 5, "--seed", 11, "--timeout", 50).result()
    server.result()
    assert client["resets_sent"] > 10 and client["resets_seen"] > 10
    assert sum(totals(lab, 300)[2].values()) == 300


def test_one_byte_segments(lab):
    """A device that sends byte by byte: slots of pipes, not their bytes, are what runs out first."""
    lab.start()
    server = lab.server()
    client = lab.client("--flows", 20, "--bytes", 15000, "--exact", "--chunk", 1, "--plain", "--timeout", 50).result()
    server.result()
    assert client["sent"] == client["received"] == 300000
