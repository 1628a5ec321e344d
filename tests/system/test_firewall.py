# SPDX-License-Identifier: GPL-2.0-or-later
"""Somebody else's firewall beside suntap: either it works, or the device goes straight to its cloud, and cause and remedy are told."""
import shutil
import time

import pytest
from lab import *

IPTABLES = shutil.which("iptables-nft-restore")
needs_iptables = pytest.mark.skipif(not IPTABLES, reason="iptables-nft is not installed")
BOTH = pytest.mark.parametrize("cloud", [CLOUD, CLOUD6])

# As on most home routers: what is not asked for from inside does not come in, what goes out is masqueraded.
ROUTER = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p ICMP -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan0 -o wan0 -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o wan0 -j MASQUERADE
COMMIT
"""
ROUTER6 = ROUTER.split("*nat")[0].replace("-p ICMP", "-p ipv6-icmp")

# The same in nft's language.
ROUTER_NFT = """
table inet fw {
	chain input {
		type filter hook input priority 0; policy drop;
		iif lo accept
		ct state established,related accept
		meta l4proto { icmp, ipv6-icmp } accept
	}
	chain forward { type filter hook forward priority 0; policy drop; ct state established,related accept; iifname lan0 oifname wan0 accept; }
	chain postrouting { type nat hook postrouting priority 100; meta nfproto ipv4 oifname wan0 masquerade; }
}
"""


def restore(text, six=False):
    subprocess.run([IPTABLES.replace("iptables", "ip6tables" if six else "iptables")], input=text, text=True, check=True)


def load(text):
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)


def talk(device, conn):
    device.sendall(b"there")
    assert receive(conn, 5) == b"there"
    conn.sendall(b"and back")
    assert receive(device, 8) == b"and back"


def is_tapped(lab, listener, cloud=CLOUD):
    """Whether a new connection goes through suntapd; where the router masquerades its source does not tell."""
    before = len(lab.daemons[-1].files())
    device, conn, _ = lab.pair(listener, cloud, timeout=30)
    talk(device, conn)
    tapped = len(lab.daemons[-1].files()) >= before + 2
    device.close()
    conn.close()
    until(lambda: lab.daemons[-1].flows() <= 0)
    return tapped


# ---------------------------------------------------------------- INPUT that drops
@pytest.mark.parametrize("firewall", [pytest.param("iptables", marks=needs_iptables), "nft"])
@BOTH
def test_input_that_drops(lab, firewall, cloud):
    """The device gets through at one of its next tries, the owner is told what to do, and that works."""
    if firewall == "nft":
        load(ROUTER_NFT)
        remedy, chain = "nft", "chain input of table inet fw"
    else:
        restore(ROUTER)
        restore(ROUTER6, six=True)
        remedy, chain = "ip6tables" if ":" in cloud else "iptables", f"chain INPUT of table {'ip6' if ':' in cloud else 'ip'} filter"
    daemon = lab.start()
    listener = lab.listen(cloud)
    listener.settimeout(30)
    began = time.monotonic()
    device, conn, _ = lab.pair(listener, cloud, timeout=30)
    print(f"{firewall}: through after {time.monotonic() - began:.1f} s")
    talk(device, conn)
    assert daemon.flows() <= 0
    entry = lab.wait_events("RULES_CONFLICT")[0]
    assert chain in entry["MESSAGE"] and entry["PRIORITY"] == "4"
    until(lambda: "straight" in daemon.status(), 10, "the status to tell it")
    began = time.monotonic()
    for _ in range(5):
        assert not is_tapped(lab, listener, cloud)
    assert time.monotonic() - began < 3
    # what the message says
    command = re.search(r"`(nft insert rule .*?)`" if remedy == "nft" else r"`(iptables .*?)`", entry["MESSAGE"]).group(1)
    if remedy == "nft":
        command = command.replace("FAMILY TABLE CHAIN", "inet fw input")
    run(*command.replace("iptables", remedy + "-nft" if remedy != "nft" else "").split())
    daemon.reload()
    until(lambda: is_tapped(lab, listener, cloud), 15, "to be tapped again")
    talk(device, conn)


@needs_iptables
def test_input_that_drops_one_family(lab):
    """IPv6 is dropped while IPv4 comes through all the time."""
    restore(ROUTER6, six=True)
    daemon = lab.start()
    steady, listener = lab.listen(), lab.listen(CLOUD6)
    listener.settimeout(30)
    waiting = Thread(lambda: lab.pair(listener, CLOUD6, timeout=30))
    while waiting.is_alive():
        is_tapped(lab, steady)
    device, conn, source = waiting.join()
    assert source == INVERTER6
    assert "ip6 filter" in lab.wait_events("RULES_CONFLICT")[0]["MESSAGE"]
    assert daemon.flows() <= 0


def test_mark_taken_away(lab):
    """A rule behind ours that sets the whole mark, as other users of tproxy do: what we took would be lost."""
    load("table ip other { chain pre { type filter hook prerouting priority -80; iifname lan0 meta mark set 1; }; }")
    lab.start()
    listener = lab.listen()
    listener.settimeout(30)
    device, conn, source = lab.pair(listener, timeout=30)
    talk(device, conn)
    assert source == INVERTER
    assert "mark" in lab.wait_events("RULES_CONFLICT")[0]["MESSAGE"]


def test_nobody_is_accused(lab):
    """Connections that come and go, a device that gives up, one that scans: no loss, no word."""
    daemon = lab.start()
    listener = lab.listen()
    for _ in range(50):
        assert is_tapped(lab, listener)
    for port in range(10001, 10100):
        with contextlib.suppress(OSError):
            lab.dial(port=port, timeout=1)
    with contextlib.suppress(OSError):
        lab.dial("203.0.113.99", timeout=6)         # nobody there
    assert daemon.flows() <= 1
    assert is_tapped(lab, listener)
    assert lab.events("RULES_CONFLICT") == [] and "straight" not in daemon.status()


# ---------------------------------------------------------------- others that may be there
DOCKER = """*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 192.168.50.0/24 -o wan0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 10000 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -i lan0 -o wan0 -j ACCEPT
-A DOCKER-USER -i wan0 -o lan0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
"""

# The shape of firewalld's table, with the zone of lan0 either letting all in or what its services need.
FIREWALLD = """
table inet firewalld {{
	chain mangle_PREROUTING {{ type filter hook prerouting priority -140; policy accept; jump mangle_PRE; }}
	chain mangle_PRE {{ }}
	chain nat_PREROUTING {{ type nat hook prerouting priority -90; policy accept; }}
	chain nat_POSTROUTING {{ type nat hook postrouting priority 110; policy accept;
		meta nfproto ipv4 oifname wan0 masquerade; }}
	chain filter_PREROUTING {{ type filter hook prerouting priority 10; policy accept;
		icmpv6 type {{ nd-router-advert, nd-neighbor-solicit }} accept
		{rpfilter}
	}}
	chain filter_INPUT {{ type filter hook input priority 10; policy accept;
		ct state {{ established, related }} accept
		ct status dnat accept
		iifname "lo" accept
		ct state invalid drop
		icmpv6 type {{ nd-neighbor-advert, nd-neighbor-solicit }} accept
		jump filter_INPUT_ZONES
		reject with icmpx admin-prohibited
	}}
	chain filter_INPUT_ZONES {{ iifname "lan0" goto filter_IN_zone; }}
	chain filter_IN_zone {{
		tcp dport 22 accept
		meta l4proto {{ icmp, ipv6-icmp }} accept
		{zone}
	}}
	chain filter_FORWARD {{ type filter hook forward priority 10; policy accept;
		ct state {{ established, related }} accept
		iifname lan0 oifname wan0 accept
		reject with icmpx admin-prohibited
	}}
	chain filter_OUTPUT {{ type filter hook output priority 10; policy accept; ct state {{ established, related }} accept; }}
}}
"""


@needs_iptables
def test_docker(lab):
    """Its chains do not touch what is not for this machine, even with a port of the same number published."""
    restore(DOCKER)
    lab.start()
    listener = lab.listen()
    for _ in range(3):
        assert is_tapped(lab, listener)
    restore(DOCKER)         # as when it is restarted
    assert is_tapped(lab, listener) and lab.events("RULES_CONFLICT") == []


@BOTH
def test_firewalld_with_the_lan_trusted(lab, cloud):
    load(FIREWALLD.format(rpfilter="", zone="accept"))
    lab.start()
    listener = lab.listen(cloud)
    for _ in range(3):
        assert is_tapped(lab, listener, cloud)
    assert lab.events("RULES_CONFLICT") == []


@pytest.mark.parametrize("cloud, rpfilter, zone", [
    (CLOUD, "", ""), (CLOUD6, "", ""), (CLOUD6, "meta nfproto ipv6 fib saddr . mark . iif oif missing drop", "accept")])
def test_firewalld_that_is_in_the_way(lab, cloud, rpfilter, zone):
    """It rejects where others drop; and its IPv6 reverse path filter looks at the mark: the device tries again, and is through."""
    load(FIREWALLD.format(rpfilter=rpfilter, zone=zone))
    lab.start()
    listener = lab.listen(cloud)

    def through():
        try:
            device = lab.dial(cloud, timeout=20)
        except OSError:
            return None
        conn, _ = listener.accept()
        talk(device, conn)
        return True

    until(through, 20, "the device to get through")
    assert "incoming" in lab.wait_events("RULES_CONFLICT")[0]["MESSAGE"]
    assert lab.daemons[-1].flows() <= 0


# ---------------------------------------------------------------- our mark
@pytest.mark.parametrize("where, rule", [
    ("nft", "meta mark set 0x20000000"),
    ("nft", "meta mark set meta mark | 0x20000001"),
    ("nft", "tcp dport 443 ct state new meta mark set 0xf0000000"),
    pytest.param("iptables", "-j MARK --set-mark 0x20000000", marks=needs_iptables),
    pytest.param("iptables", "-p tcp --dport 443 -j MARK --set-xmark 0x30000000/0x30000000", marks=needs_iptables)])
def test_others_that_set_our_mark(lab, where, rule):
    """Found at the start, with a mark that works."""
    if where == "nft":
        load(f"table ip vpn {{ chain out {{ type filter hook output priority -150; {rule}; }}; }}")
        chain = "chain out of table ip vpn"
    else:
        restore("*mangle\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n")
        run("iptables-nft", "-t", "mangle", "-A", "PREROUTING", "-i", "tun0", *rule.split())
        chain = "chain PREROUTING of table ip mangle"
    daemon = lab.start()
    message = lab.wait_events("RULES_CONFLICT")[0]["MESSAGE"]
    assert chain in message
    mark = re.search(r"`(mark = \S+)`", message).group(1)
    daemon.stop()
    lab.start(DEVICE + f"[suntapd]\n{mark}\n")
    assert is_tapped(lab, lab.listen())
    assert len(lab.events("RULES_CONFLICT")) == 1


def test_a_rule_with_our_mark_later(lab):
    """Between thousands that say nothing of marks, which the relay does not wait for."""
    lab.start()
    listener = lab.listen()
    device, conn, _ = lab.pair(listener)
    talk(device, conn)
    many = "".join(f"ip saddr 10.{i // 200}.{i % 200}.1 tcp dport {1000 + i} counter accept\n" for i in range(3500))
    load(f"table ip vpn {{ chain out {{ type filter hook output priority -150; {many} }}; }}")
    run("nft", "add rule ip vpn out meta mark set 0x20000000")
    slowest, deadline = 0, time.monotonic() + 20
    while not lab.entries(f"MESSAGE_ID={MESSAGE['RULES_CONFLICT']}"):
        for _ in range(20):
            began = time.monotonic()
            talk(device, conn)
            slowest = max(slowest, time.monotonic() - began)
        assert time.monotonic() < deadline
    print(f"slowest message {slowest * 1000:.1f} ms")
    assert "chain out of table ip vpn" in lab.events("RULES_CONFLICT")[0]["MESSAGE"] and slowest < 0.5


def test_marks_of_others_that_are_no_quarrel(lab):
    """WireGuard's, Tailscale's, mwan3's, Kubernetes' marks, those from conntrack; and rules that only look at ours."""
    load("""table inet others { chain pre { type filter hook prerouting priority -140;
        iifname tun0 meta mark set 0xca6c; iifname tun0 meta mark set meta mark & 0xff00ffff | 0x40000;
        iifname tun0 meta mark set meta mark & 0xffffc0ff | 0x100; iifname tun0 meta mark set meta mark | 0x4000;
        iifname tun0 meta mark set ct mark; meta mark & 0x20000000 == 0x20000000 accept; }; }""")
    lab.start()
    listener = lab.listen()
    assert is_tapped(lab, listener)
    assert lab.events("RULES_CONFLICT") == []


def test_policy_rule_with_our_mark_later(lab):
    """At the start it is refused; when it comes later it is told, and when it goes all is well again."""
    lab.start()
    # so that the changes of its own start are no reason to look
    run("ip", "rule", "del", "priority", 786)
    lab.wait_events("RULES_REPAIRED")
    run("ip", "rule", "add", "fwmark", "0x20000000/0x20000000", "lookup", 100, "priority", 700)
    entry = lab.wait_events("RULES_CONFLICT")[0]
    assert "fwmark 0x20000000" in entry["MESSAGE"] and "`mark = " in entry["MESSAGE"]
    run("ip", "rule", "del", "priority", 700)
    assert is_tapped(lab, lab.listen())


# ---------------------------------------------------------------- who gets a connection first
def test_redirect_of_the_owners(lab):
    """A connection that the owner sends to a program of his own on this machine is his."""
    load("table ip own { chain pre { type nat hook prerouting priority -100; iifname lan0 tcp dport 10000 redirect to :9999; }; }")
    lab.start()
    own = lab.listen(GATEWAY, 9999, host=None)
    device = lab.dial()
    conn, peer = own.accept()
    talk(device, conn)
    assert peer[0] == INVERTER and lab.events("FLOW_OPENED") == []


@pytest.mark.parametrize("cloud, other", [(CLOUD, "203.0.113.11"), (CLOUD6, "fd00:113::11")])
def test_dnat_to_another_host(lab, cloud, other):
    """A connection that the owner sends to another host is read on its way there."""
    six = "6" if ":" in cloud else ""
    run("ip", "addr", "add", other + ("/64" if six else "/24"), "dev", "eth0", *(["nodad"] if six else []), host="cloud")
    load(f"table inet own {{ chain pre {{ type nat hook prerouting priority -100; ip{six} daddr {cloud} tcp dport 10000"
         f" dnat ip{six} to {other}; }}; }}")
    lab.start()
    listener = lab.listen(other)
    device = lab.dial(cloud)
    conn, _ = listener.accept()
    talk(device, conn)
    assert other in lab.wait_events("FLOW_OPENED")[0]["SUNTAP_CLOUD"]


@pytest.mark.parametrize("order", ["before", "after"])
def test_another_tproxy(lab, order):
    """A transparent proxy for the same connection: whoever is first, the device is served, and ours does not hang."""
    load("table ip proxy { chain pre { type filter hook prerouting priority %d; iifname lan0 tcp dport 10000 "
         "tproxy to 127.0.0.1:9999 meta mark set 1 accept; }; }" % (-160 if order == "before" else -80))
    run("ip", "rule", "add", "fwmark", 1, "lookup", 100)
    run("ip", "route", "add", "local", "default", "dev", "lo", "table", 100)
    with socket.socket() as proxy:
        proxy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        proxy.setsockopt(socket.IPPROTO_IP, 19, 1)      # IP_TRANSPARENT
        proxy.bind(("127.0.0.1", 9999))
        proxy.listen()
        proxy.settimeout(5)
        lab.start()
        listener = lab.listen()
        device = lab.dial()
        device.sendall(b"there")
        conn, peer = (listener if order == "before" else proxy).accept()
        conn.settimeout(5)
        assert receive(conn, 5) == b"there"
        assert peer[0] == ("203.0.113.1" if order == "before" else INVERTER)
