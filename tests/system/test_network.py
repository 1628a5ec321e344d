# SPDX-License-Identifier: GPL-2.0-or-later
"""What networks do: lose and reorder, go down and come up, change addresses, have one family only, come later."""
import random
import time

import pytest
from lab import *

LOSSY = """
table inet lossy {{
  chain in {{
    type filter hook input priority 0; policy accept;
    meta l4proto tcp numgen random mod 100 < {percent} drop
  }}
}}
"""


def sysctl(name, value, host=None):
    run("sysctl", "-qw", f"{name}={value}", host=host)


def works(lab, listener, address=CLOUD, **options):
    device, conn, source = lab.pair(listener, address, **options)
    device.sendall(b"there")
    assert receive(conn, 5) == b"there"
    conn.sendall(b"and back")
    assert receive(device, 8) == b"and back"
    return source, device, conn


@pytest.mark.limit(150)
@pytest.mark.parametrize("cloud", [CLOUD, CLOUD6])
def test_loss_on_both_sides(lab, cloud):
    lab.start()
    for host in "inverter", "cloud":
        subprocess.run(["ip", "netns", "exec", host, "nft", "-f", "-"], input=LOSSY.format(percent=3), text=True, check=True)
    server = Peer("cloud", "server", "--flows", 0, "--timeout", 120, address=cloud)
    client = Peer("inverter", "client", "--flows", 60, "--bytes", 100000, "--timeout", 120, address=cloud)
    assert client.result()["ok"] == 60
    server.result()


def test_link_down_and_up(lab):
    lab.start()
    listener = lab.listen()
    _, device, conn = works(lab, listener)
    for link in "lan0", "wan0":
        run("ip", "link", "set", link, "down")
        device.sendall(b"into the dark ")
        run("ip", "link", "set", link, "up")
        if link == "wan0":
            run("ip", "-6", "addr", "add", "fd00:113::1/64", "dev", "wan0", "nodad", check=False)
        conn.settimeout(30)
        assert receive(conn, 14) == b"into the dark "
    works(lab, listener)


def test_changed_wan_address(lab):
    """New flows use the new address; what hung on the old one is given up, on both sides, after user_timeout."""
    lab.start("[suntapd]\nuser_timeout = 2s\nkeepalive = 1s\n" + DEVICE)
    listener = lab.listen()
    source, device, conn = works(lab, listener)
    assert source == "203.0.113.1"
    run("ip", "addr", "del", "203.0.113.1/24", "dev", "wan0")
    run("ip", "addr", "add", "203.0.113.7/24", "dev", "wan0")
    run("ip", "route", "add", "default", "via", "203.0.113.7", host="cloud", check=False)
    assert works(lab, listener)[0] == "203.0.113.7"
    device.sendall(b"nobody hears this")
    device.settimeout(30)
    assert end_of(device, 30) == "reset"
    lab.wait_events("FLOW_CLOSED", 1, 10, SUNTAP_END="cloud-lost")
    conn.close()


def test_ipv6_alone(lab):
    for host, link, address in (("inverter", "eth0", "192.168.50.2/24"), ("cloud", "eth0", "203.0.113.10/24"),
                                (None, "lan0", "192.168.50.1/24"), (None, "wan0", "203.0.113.1/24")):
        run("ip", "addr", "del", address, "dev", link, host=host)
    lab.start()
    assert works(lab, lab.listen(CLOUD6), CLOUD6)[0] == "fd00:113::1"


def test_ipv4_alone(lab):
    for host in None, "inverter", "cloud":
        sysctl("net.ipv6.conf.all.disable_ipv6", 1, host)
    daemon = lab.start()
    assert "IPv6" in daemon.log()
    assert works(lab, lab.listen())[0] == "203.0.113.1"


@pytest.mark.parametrize("lan, wan", [(1500, 576), (576, 1500), (1280, 1400)])
def test_mtus_that_differ(lab, lan, wan):
    for host, link, mtu in ((None, "lan0", lan), ("inverter", "eth0", lan), (None, "wan0", wan), ("cloud", "eth0", wan)):
        run("ip", "link", "set", link, "mtu", mtu, host=host)
    lab.start()
    server = Peer("cloud", "server", "--flows", 0, "--timeout", 50, address=CLOUD)
    assert Peer("inverter", "client", "--flows", 20, "--bytes", 300000, "--timeout", 50, address=CLOUD).result()["ok"] == 20
    server.result()


@pytest.mark.parametrize("keep_source", ["no", "yes"])
def test_strict_reverse_path_filter(lab, keep_source):
    for name in "all", "lan0", "wan0", "lo":
        sysctl(f"net.ipv4.conf.{name}.rp_filter", 1)
    lab.start(DEVICE + f"keep_source = {keep_source}\n")
    assert works(lab, lab.listen())[0] == (INVERTER if keep_source == "yes" else "203.0.113.1")


def test_without_early_demux(lab):
    for name in "ip_early_demux", "tcp_early_demux":
        sysctl(f"net.ipv4.{name}", 0)
    lab.start()
    assert works(lab, lab.listen())[0] == "203.0.113.1"


def test_flushed_rulesets_without_early_demux(lab):
    """The kernel looks at the rules for each packet then: a flow would be reset by its cloud as soon as one went straight."""
    for name in "ip_early_demux", "tcp_early_demux":
        sysctl(f"net.ipv4.{name}", 0)
    lab.start()
    server = lab.server("--flows", 30, "--timeout", 60)
    client = lab.client("--flows", 30, "--bytes", 500000, "--exact", "--pause", 60, "--timeout", 60)
    flushes = 0
    while client.process.poll() is None:
        run("nft", "flush", "ruleset")
        flushes += 1
        time.sleep(0.05)
    assert client.result()["ok"] == server.result()["ok"] == 30 and flushes > 3, flushes


def test_interface_that_comes_later(lab):
    lab.start("[device roof]\nsource = 192.168.60.2\ninterface = lan9\nports = 10000\n")
    run("ip", "link", "add", "lan9", "type", "veth", "peer", "name", "eth9", "netns", "inverter")
    run("ip", "addr", "add", "192.168.60.1/24", "dev", "lan9")
    run("ip", "addr", "add", "192.168.60.2/24", "dev", "eth9", host="inverter")
    run("ip", "link", "set", "lan9", "up")
    run("ip", "link", "set", "eth9", "up", host="inverter")
    run("ip", "route", "replace", "default", "via", "192.168.60.1", host="inverter")
    listener = lab.listen()
    assert works(lab, listener, source=("192.168.60.2", 0))[0] == "203.0.113.1"


def test_interface_that_is_renamed(lab):
    """While it has another name the device goes straight; when it has its own again it is tapped."""
    lab.start(DEVICE + "interface = lan0\n")
    listener = lab.listen()
    for name, source in ("lan7", INVERTER), ("lan0", "203.0.113.1"):
        old = "lan0" if name == "lan7" else "lan7"
        assert works(lab, listener)[0] == ("203.0.113.1" if old == "lan0" else INVERTER)
        run("ip", "link", "set", old, "down")
        run("ip", "link", "set", old, "name", name)
        run("ip", "link", "set", name, "up")
        assert works(lab, listener)[0] == source


# ---------------------------------------------------------------- in the middle of transfers
@pytest.mark.limit(120)
@pytest.mark.parametrize("link", ["lan0", "wan0"])
def test_link_that_flaps_under_traffic(lab, link):
    lab.start()
    server = lab.server("--flows", 0, "--timeout", 110)
    client = lab.client("--flows", 10, "--bytes", 3_000_000, "--exact", "--read-rate", 600_000, "--timeout", 110)
    flaps = 0
    until(lambda: int(re.search(r"wan0: *(\d+)", open("/proc/net/dev").read()).group(1)) > 1_000_000, what="bytes from the cloud")
    while client.process.poll() is None:
        run("ip", "link", "set", link, "down")
        time.sleep(0.1)         # for so long it is down
        run("ip", "link", "set", link, "up")
        flaps += 1
        with contextlib.suppress(subprocess.TimeoutExpired):
            client.process.wait(1)
    print(f"{link} was down {flaps} times")
    assert client.result()["ok"] == 10 and flaps >= 3
    server.result()


def test_wan_address_that_changes_under_traffic(lab):
    """Transfers from the old address end in a reset, not in silence and not in a FIN; new ones go from the new address."""
    lab.start("[suntapd]\nuser_timeout = 2s\nkeepalive = 1s\n" + DEVICE)
    listener = lab.listen()
    flows = [lab.pair(listener)[:2] for _ in range(5)]
    for device, conn in flows:
        threading.Thread(target=lambda c=conn: end_of(c, 60), daemon=True).start()
    began = threading.Event()

    def pour(device):
        try:
            for _ in range(100000):
                device.sendall(b"x" * 10000)
                began.set()
        except (ConnectionResetError, BrokenPipeError):
            return "reset"
        except TimeoutError:
            return "nothing"
        return "all sent"

    senders = [Thread(pour, device) for device, _ in flows]
    began.wait(10)
    run("ip", "addr", "del", "203.0.113.1/24", "dev", "wan0")
    run("ip", "addr", "add", "203.0.113.7/24", "dev", "wan0")
    assert [s.join() for s in senders] == ["reset"] * 5
    assert works(lab, listener)[0] == "203.0.113.7"
    assert len(lab.wait_events("FLOW_CLOSED", 5, 10, SUNTAP_END="cloud-lost")) == 5


class Shuffler:
    """A link between gateway (198.51.100.1) and cloud (198.51.100.10) that lets packets overtake each other."""

    def __init__(self):
        self.ends = []
        for host, address in (None, "198.51.100.1/24"), ("cloud", "198.51.100.10/24"):
            with on(host):
                fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
                fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", b"tun9", 0x1001))    # TUNSETIFF, IFF_TUN | IFF_NO_PI
            run("ip", "addr", "add", address, "dev", "tun9", host=host)
            run("ip", "link", "set", "tun9", "up", host=host)
            self.ends.append(fd)
        run("ip", "route", "add", "192.168.50.0/24", "via", "198.51.100.1", host="cloud")
        self.overtaken = 0
        for i in range(2):
            threading.Thread(target=self.pass_on, args=(self.ends[i], self.ends[1 - i], random.Random(i)), daemon=True).start()

    def pass_on(self, source, target, rng):
        held = []           # [packets that still overtake it, packet]
        while True:
            ready, _, _ = select.select([source], [], [], 0.005 if held else None)
            if ready:
                packet = os.read(source, 65536)
                if rng.random() < 0.2:
                    held.append([rng.randrange(1, 6), packet])
                    continue
                os.write(target, packet)
                for h in held:
                    h[0] -= 1
                self.overtaken += len(held)
            for h in [h for h in held if h[0] <= 0 or not ready]:
                held.remove(h)
                os.write(target, h[1])


@pytest.mark.limit(120)
@pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="no /dev/net/tun")
def test_reordering(lab):
    lab.start()
    link = Shuffler()
    server = lab.server("--flows", 0, "--timeout", 110, address="198.51.100.10")
    client = lab.client("--flows", 30, "--bytes", 300_000, "--timeout", 110, address="198.51.100.10")
    assert client.result()["ok"] == 30
    server.result()
    names, values = open("/proc/net/netstat").read().splitlines()[:2]
    late = dict(zip(names.split(), values.split()))["TCPOFOQueue"]
    print(f"{link.overtaken} packets overtook others; suntapd's kernel sorted {late}")
    assert link.overtaken > 100 and int(late) > 10
    assert len(lab.wait_events("FLOW_OPENED", 30)) == 30
