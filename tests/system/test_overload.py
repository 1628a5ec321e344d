# SPDX-License-Identifier: GPL-2.0-or-later
"""More of everything than a house has: as many flows as the limit on open files allows, floods, silence."""
import re
import statistics
import time

import pytest
from lab import *


def limit_of(daemon):
    return int(re.search(r"of at most (\d+)", until(daemon.status, 10)).group(1))


def counts(daemon):
    return len(daemon.files()), daemon.memory()


@pytest.mark.limit(240)
def test_as_many_flows_as_files_allow(lab):
    """And those beyond: they go straight, and there is room for them when the others have gone."""
    daemon = lab.start(DEVICE.replace("10000", "10000, 10001") + "max_flows = 100000\n")
    flows = limit_of(daemon)
    files, memory = counts(daemon)
    server = Peer("cloud", "server", "--flows", 0, "--timeout", 200, address=CLOUD)
    beyond = lab.listen(port=10001)
    client = Peer("inverter", "client", "--flows", flows, "--barrier", "--hold", 5 * SLOWER, "--bytes", 3000, "--timeout", 200,
                  address=CLOUD)
    until(lambda: daemon.sockets() >= 2 * flows, 120, f"{flows} flows")
    # the listeners are closed when the one that is full has been told
    until(lambda: daemon.sockets() == daemon.at_rest - 2 + 2 * flows, 10, "the listeners to be closed")
    for _ in range(10):
        device, conn, source = lab.pair(beyond, port=10001)
        assert source == INVERTER
        device.sendall(b"one too many")
        assert receive(conn, 12) == b"one too many"
    full_files, full_memory = counts(daemon)
    assert full_files - files <= 2 * flows + 300        # and the pipes that are under way
    per_flow = (full_memory - memory) / flows
    print(f"{flows} flows, the limit: {per_flow:.0f} bytes of memory each; 10 beyond went straight")
    assert per_flow < 1024
    assert client.result()["ok"] == flows
    server.result()
    until(lambda: daemon.sockets() == daemon.at_rest, 30)
    closed = until(lambda: len(lab.events("FLOW_CLOSED")) >= flows or lab.events("GAP"), 60, "the flows' ends")
    assert closed


@pytest.mark.limit(240)
def test_as_many_flows_go_on_after_a_kill(lab):
    """The next suntapd gets the names of all that is kept as one string, which has a limit; it finds each of them quickly."""
    flows = 4850        # each of their sockets is twice in this process, which hands them over
    daemon = lab.start(f"[suntapd]\nmax_flows = {flows}\n" + DEVICE + "max_flows = 100000\n", keep=True)
    server = Peer("cloud", "server", "--flows", 0, "--timeout", 200, address=CLOUD)
    client = Peer("inverter", "client", "--flows", flows, "--barrier", "--hold", 10 * SLOWER, "--bytes", 3000, "--timeout", 200,
                  address=CLOUD)
    until(lambda: sum(name.startswith("f") for name in list(daemon.manager.kept)) == 2 * flows, 120, f"{flows} flows in the store")
    daemon.kill()
    began = time.monotonic()
    daemon = lab.start(None, keep=True, after=daemon)
    took = time.monotonic() - began
    names = sum(len(name) + 1 for name in daemon.manager.kept)
    print(f"{flows} flows, {names} bytes of names: the next suntapd is up after {took:.1f} s")
    assert client.result()["ok"] == flows
    server.result()
    assert took < 5 * SLOWER


@pytest.mark.limit(240)
def test_flood_of_connections(lab):
    """Short ones, one after the other: nothing grows, and a device that was there before is not disturbed."""
    daemon = lab.start(DEVICE + "max_flows = 100000\n\n[device other]\nsource = 192.168.50.9\nports = 10000\n")
    run("ip", "addr", "add", "192.168.50.9/24", "dev", "eth0", host="inverter")
    server = Peer("cloud", "server", "--flows", 0, "--timeout", 200, address=CLOUD)
    steady = Peer("inverter", "client", "--flows", 4, "--bytes", 2000000, "--read-rate", 400000, "--source", "192.168.50.9",
                  "--timeout", 200, address=CLOUD)
    warm = Peer("inverter", "client", "--flows", 500, "--parallel", 100, "--bytes", 200, "--timeout", 100, address=CLOUD)
    warm.result()
    files, memory = counts(daemon)
    flood = Peer("inverter", "client", "--flows", 10000 * SOAK, "--parallel", 200, "--bytes", 200, "--resets", 10, "--timeout",
                 200, address=CLOUD)
    assert flood.result()["ok"] == 10000 * SOAK
    assert steady.result()["ok"] == 4
    until(lambda: daemon.flows() == 0, 30)
    after_files, after_memory = counts(daemon)
    # pipes may have been made meanwhile, flows' slots were used already
    assert after_files <= files + 2 * 128
    assert after_memory - memory < (16 if SANITIZED else 2) << 20, f"{memory} → {after_memory}"
    server.result()


def test_devices_that_open_and_never_send(lab):
    daemon = lab.start(DEVICE + "max_flows = 700\n\n[device other]\nsource = 192.168.50.9\nports = 10000\n")
    run("ip", "addr", "add", "192.168.50.9/24", "dev", "eth0", host="inverter")
    listener = lab.listen()
    silent = [lab.pair(listener) for _ in range(300)]
    device, conn, _ = lab.pair(listener, source=("192.168.50.9", 0))
    device.sendall(b"x" * 100000)
    assert receive(conn, 100000) == b"x" * 100000
    assert daemon.flows() == 301
    for ends in silent:
        ends[0].close()
        ends[1].close()
    until(lambda: daemon.flows() == 1, 20)


@pytest.mark.limit(120)
def test_a_device_that_sends_as_fast_as_it_can(lab):
    """The ring overflows again and again; the bytes arrive, the memory stays, what the decoder missed is told."""
    daemon = lab.start("[suntapd]\nring_size = 64K\n" + DEVICE)
    server = Peer("cloud", "server", "--flows", 0, "--timeout", 100, address=CLOUD)
    memory = daemon.memory()
    client = Peer("inverter", "client", "--flows", 2, "--bytes", 150_000_000 * SOAK, "--exact", "--timeout", 100 * SOAK, address=CLOUD)
    assert client.result()["ok"] == 2
    server.result()
    assert daemon.memory() - memory < (16 if SANITIZED else 8) << 20
    closed = lab.wait_events("FLOW_CLOSED", 2)
    assert all(int(e["SUNTAP_BYTES_DEVICE"]) > 150_000_000 * SOAK for e in closed)


# ---------------------------------------------------------------- the others
class Steady:
    """Another device's flow: how long a message of 100 bytes takes to the cloud and back, in ms."""

    def __init__(self, lab):
        run("ip", "addr", "add", "192.168.50.9/24", "dev", "eth0", host="inverter")
        self.device, self.conn, _ = lab.pair(lab.listen(port=10009), port=10009, source=("192.168.50.9", 0))
        threading.Thread(target=self.echo, daemon=True).start()

    def echo(self):
        self.conn.settimeout(None)
        with contextlib.suppress(OSError):
            while data := self.conn.recv(100):
                self.conn.sendall(data)

    def times(self, seconds):
        found, until_then = [], time.monotonic() + seconds
        while time.monotonic() < until_then:
            began = time.monotonic()
            self.device.sendall(b"x" * 100)
            assert len(receive(self.device, 100)) == 100
            found.append((time.monotonic() - began) * 1000)
            time.sleep(0.002)
        return statistics.median(found), statistics.quantiles(found, n=100)[98]


STEADY = "\n[device other]\nsource = 192.168.50.9\nports = 10009\n"


def load_full_table(lab, _):
    """As many flows as are allowed, and a burst of others behind them."""
    lab.load = [lab.client("--flows", 400, "--barrier", "--hold", 60 * SOAK, "--timeout", 60 * SOAK, "--bytes", 100)]
    until(lambda: lab.daemons[-1].flows() >= 400, 20)
    lab.load.append(lab.client("--flows", 3000, "--parallel", 50, "--bytes", 300, "--timeout", 60 * SOAK))


def load_connections(lab, _):
    lab.load = [lab.client("--flows", 1000000, "--parallel", 100, "--bytes", 200, "--resets", 20, "--timeout", 60 * SOAK)]


def load_fast_sender(lab, _):
    lab.load = [lab.client("--flows", 2, "--up", 1 << 40, "--down", 0, "--exact", "--timeout", 60 * SOAK)]


def load_slow_cloud(lab, _):
    """A cloud that reads a byte a second, of more devices than there are pipes."""
    lab.load = [lab.server("--flows", 0, "--timeout", 60 * SOAK, "--read-rate", 1, "--rcvbuf", 4096, port=10001),
                lab.client("--flows", 200, "--up", 10_000_000, "--down", 0, "--exact", "--timeout", 60 * SOAK, port=10001)]


def load_full_ring(lab, daemon):
    """The decoder stands still, and the ring is full all the time."""
    os.kill(daemon.decoder(), signal.SIGSTOP)
    load_fast_sender(lab, daemon)


@pytest.mark.limit(90)
@pytest.mark.parametrize("load", [load_full_table, load_connections, load_fast_sender, load_slow_cloud, load_full_ring],
                         ids=lambda load: load.__name__[5:])
def test_others_are_hardly_disturbed(lab, load):
    """Another device's messages beside a device that does its worst: how much longer they take, and what memory it costs."""
    limit = "max_flows = 401\n" if load is load_full_table else ""
    daemon = lab.start(f"[suntapd]\nring_size = 64K\n{limit}" + DEVICE.replace("10000", "10000, 10001") + STEADY)
    steady = Steady(lab)
    server = lab.server("--flows", 0, "--timeout", 60 * SOAK)
    alone, alone_worst = steady.times(1)
    memory = daemon.memory()
    load(lab, daemon)
    median, worst = steady.times(3 * SOAK)
    more = daemon.memory() - memory
    assert any(peer.process.poll() is None for peer in lab.load), "the load was over too early"
    print(f"{load.__name__[5:]}: median {alone:.2f} → {median:.2f} ms ({median / alone:.1f}), "
          f"99 % {alone_worst:.2f} → {worst:.2f} ms; {more >> 10} KiB more memory")
    # two processors do the load and both ends of it as well; a relay that waits for anybody waits for seconds
    assert median < max(20 * alone, 20) and worst < max(50 * alone_worst, 500)
    assert more < (16 if SANITIZED else 4) << 20
    for peer in lab.load + [server]:
        peer.process.kill()
