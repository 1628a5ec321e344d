# SPDX-License-Identifier: GPL-2.0-or-later
"""What networks do: lose and reorder, go down and come up, change addresses, have one family only, come later."""
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
