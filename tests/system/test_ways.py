# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways in: tproxy by address, prefix, MAC and interface; redirect; direct with names; who is refused, and loops."""
import random

import pytest
from lab import *

BOTH = pytest.mark.parametrize("cloud", [CLOUD, CLOUD6])
NAMED = ("[device roof]\nway = direct\nlisten = :10000\nupstream = iot.example.com:10000\ndns_server = 203.0.113.10\n"
         "source = 192.168.50.2, fd00:50::2\n")
ELSEWHERE = "192.168.50.77"


def talk(device, conn, text=b"hello"):
    device.sendall(text)
    assert receive(conn, len(text)) == text
    conn.sendall(text[::-1])
    assert receive(device, len(text)) == text[::-1]


def tapped(lab, cloud=CLOUD, port=10000, **options):
    """Opens and closes a flow; whether the cloud saw the gateway instead of the device."""
    with lab.listen(cloud, port) as listener:
        device, conn, source = lab.pair(listener, cloud, port, **options)
        talk(device, conn)
        device.close()
        conn.close()
    return source in ("203.0.113.1", "fd00:113::1")


def reset_at_once(lab, *where, **options):
    try:
        device = lab.dial(*where, **options)
    except (ConnectionResetError, ConnectionRefusedError):
        return True
    return end_of(device, 30) == "reset"


class Dns:
    """A name server on the cloud; names: {"iot.example.com": ["203.0.113.10"]}, or what answer() makes of a question."""

    def __init__(self, names, address=CLOUD):
        self.names, self.asked, self.silent, self.spoil = names, 0, False, None
        with on("cloud"):
            self.socket = socket.socket(family_of(address), socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            question, peer = self.socket.recvfrom(4096)
            self.asked += 1
            if self.silent:
                continue
            answer = self.answer(question)
            self.socket.sendto(self.spoil(answer) if self.spoil else answer, peer)

    def answer(self, question):
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        kind = struct.unpack("!H", question[at + 1:at + 3])[0]
        name, records = ".".join(labels).lower(), b""
        found = [a for a in self.names.get(name, []) if (":" in a) == (kind == 28)]
        for a in found:
            data = socket.inet_pton(family_of(a), a)
            records += struct.pack("!HHHIH", 0xc00c, kind, 1, 1, len(data)) + data
        flags = 0x8180 if name in self.names else 0x8183
        return question[:2] + struct.pack("!HHHHH", flags, 1, len(found), 0, 0) + question[12:at + 5] + records


# ---------------------------------------------------------------- tproxy
@pytest.mark.parametrize("source", ["192.168.50.2", "192.168.50.0/24", "0.0.0.0/0", "MAC", ""])
def test_selected(lab, source):
    mac = json.loads(run("ip", "-j", "link", "show", "eth0", host="inverter"))[0]["address"]
    lab.start(DEVICE.replace("192.168.50.2, fd00:50::2", source.replace("MAC", mac)) if source else
              DEVICE.replace("source = 192.168.50.2, fd00:50::2\n", ""))
    assert tapped(lab)
    assert tapped(lab, CLOUD6) == (source in ("MAC", ""))
    assert not tapped(lab, port=10001)


@pytest.mark.parametrize("source", ["192.168.50.3", "192.168.50.4/30", "02:00:00:00:00:07", "fd00:50::/64"])
def test_not_selected(lab, source):
    lab.start(DEVICE.replace("192.168.50.2, fd00:50::2", source))
    assert not tapped(lab)
    assert tapped(lab, CLOUD6) == (source == "fd00:50::/64")


@pytest.mark.parametrize("interface", ["lan0", "wan0"])
def test_interface(lab, interface):
    lab.start(DEVICE + f"interface = {interface}\n")
    assert tapped(lab) == tapped(lab, CLOUD6) == (interface == "lan0")


@pytest.mark.parametrize("cloud, address", [(CLOUD, INVERTER), (CLOUD6, INVERTER6)])
def test_which_device_by_interface(lab, cloud, address):
    """What its source says of a device that is on another interface does not count."""
    prefix = "fd00:50::/64" if ":" in address else "192.168.50.0/24"
    lab.start(f"[device lan]\nsource = {prefix}\ninterface = lan0\nports = 10000\n"
              f"[device wan]\nsource = {address}\ninterface = wan0\nports = 10000\n")
    lab.pair(lab.listen(cloud), cloud)
    assert lab.wait_events("FLOW_OPENED")[0]["SUNTAP_DEVICE"] == "lan"


def test_which_device(lab):
    """Of two sections the one with the longer prefix has the flow."""
    lab.start("[device lan]\nsource = 192.168.50.0/24\nports = 10000\n[device roof]\nsource = 192.168.50.2\nports = 10000\n")
    run("ip", "addr", "add", f"{ELSEWHERE}/24", "dev", "eth0", host="inverter")
    assert tapped(lab) and tapped(lab, source=(ELSEWHERE, 0))
    assert [e["SUNTAP_DEVICE"] for e in lab.wait_events("FLOW_OPENED", 2)] == ["roof", "lan"]


@BOTH
def test_keep_source(lab, cloud):
    """The cloud sees the device's address, as if nobody was between; also where the gateway masquerades."""
    lab.start(DEVICE + "keep_source = yes\n")
    with lab.listen(cloud) as listener:
        device, conn, source = lab.pair(listener, cloud)
        talk(device, conn)
    assert source == (INVERTER if cloud == CLOUD else INVERTER6)
    assert lab.wait_events("FLOW_OPENED")
    server = lab.server(address=cloud)
    result = lab.client("--flows", 50, "--bytes", 100000, "--resets", 20, address=cloud).result()
    server.result()
    assert result["ok"] == 50
    run("nft", "add table inet nat; add chain inet nat post { type nat hook postrouting priority 100; };"
        "add rule inet nat post oifname wan0 masquerade")
    with lab.listen(cloud) as listener:
        device, conn, source = lab.pair(listener, cloud)
        talk(device, conn)
    assert source == ("203.0.113.1" if cloud == CLOUD else "fd00:113::1")
    assert len(lab.wait_events("FLOW_OPENED", 52)) == 52


def test_destination_is_ourselves(lab):
    daemon = lab.start(DEVICE.replace("10000", "17860"))
    for gateway in GATEWAY, GATEWAY6, "203.0.113.1":
        assert reset_at_once(lab, gateway, 17860)
    assert daemon.flows() == 0


# ---------------------------------------------------------------- redirect
REDIRECT = "[device roof]\nway = redirect\nlisten = :17861\nports = 10000\nsource = 192.168.50.2, fd00:50::2\n"


def nat(rule, hook="prerouting"):
    run("nft", f"add table inet nat; add chain inet nat {hook} {{ type nat hook {hook} priority -100; }};"
        f"add rule inet nat {hook} {rule}")


@BOTH
def test_redirect(lab, cloud):
    lab.start(REDIRECT)
    nat("iifname lan0 tcp dport 10000 redirect to :17861")
    assert tapped(lab, cloud)
    assert lab.wait_events("FLOW_OPENED")[0]["SUNTAP_CLOUD"] == (f"[{cloud}]:10000" if ":" in cloud else f"{cloud}:10000")
    server = lab.server(address=cloud)
    lab.client("--flows", 100, "--bytes", 100000, "--resets", 30, address=cloud).result()
    server.result()


def test_dnat(lab):
    lab.start(REDIRECT)
    nat("iifname lan0 tcp dport 10000 dnat ip to 192.168.50.1:17861")
    assert tapped(lab)


def test_straight_to_the_redirect_port(lab):
    lab.start(REDIRECT)
    assert reset_at_once(lab, GATEWAY, 17861)
    assert "REDIRECT" in lab.wait_events("FLOW_REFUSED")[0]["MESSAGE"]


def test_redirect_from_nobody_configured(lab):
    lab.start(REDIRECT)
    nat("iifname lan0 tcp dport 10000 redirect to :17861")
    run("ip", "addr", "add", f"{ELSEWHERE}/24", "dev", "eth0", host="inverter")
    assert reset_at_once(lab, source=(ELSEWHERE, 0))
    assert "no [device] section" in lab.wait_events("FLOW_REFUSED")[0]["MESSAGE"]


def test_redirect_of_our_own_connections(lab):
    """The owner's rule catches suntapd's way out too: refused at the second turn, not gone round for ever."""
    daemon = lab.start(REDIRECT.replace("source = 192.168.50.2, fd00:50::2\n", ""))
    nat("iifname lan0 tcp dport 10000 redirect to :17861")
    nat("tcp dport 10000 redirect to :17861", "output")
    assert reset_at_once(lab)
    assert "loop" in lab.wait_events("FLOW_REFUSED")[0]["MESSAGE"]
    until(lambda: daemon.flows() == 0)
    lab.wait_events("FLOW_CLOSED")      # the decoder may be up later than the loop was seen
    assert len(lab.events("FLOW_OPENED")) == 1


# ---------------------------------------------------------------- direct
def direct(lab, gateway=GATEWAY, address=CLOUD, listener=None):
    """A flow of a device that was pointed here; the listener of the cloud stays open if it was given."""
    with contextlib.ExitStack() as stack:
        listener = listener or stack.enter_context(lab.listen(address))
        device = lab.dial(gateway)
        conn, _ = listener.accept()
        conn.settimeout(10)
        talk(device, conn)
        device.close()
        conn.close()


def test_direct_to_an_address(lab):
    lab.start(NAMED.replace("iot.example.com", CLOUD).replace("dns_server = 203.0.113.10\n", ""))
    direct(lab)
    direct(lab, GATEWAY6)
    assert lab.wait_events("FLOW_OPENED", 2)[1]["SUNTAP_CLOUD"] == "203.0.113.10:10000"
    assert "dport" not in run("nft", "list", "ruleset")      # nothing to intercept


@pytest.mark.parametrize("answer", [["203.0.113.10"], ["fd00:113::10"], ["203.0.113.77", "203.0.113.10"],
                                    ["203.0.113.77", "203.0.113.78", "203.0.113.79", "fd00:113::10"]])
def test_direct_by_name(lab, answer):
    """The first connection waits for the answer; addresses are tried one after the other, of both families."""
    dns = Dns({"iot.example.com": answer})
    run("ip", "route", "add", "unreachable", "203.0.113.76/30")
    lab.start(NAMED)
    with lab.listen(answer[-1]) as listener:
        for gateway in GATEWAY, GATEWAY6:
            direct(lab, gateway, listener=listener)
    assert dns.asked >= 2


@pytest.mark.parametrize("old", ["refuses", "is silent"])
def test_name_that_moves(lab, old):
    """The cloud is somewhere else now and the old place refuses or is gone: found again without anybody's help."""
    dns = Dns({"iot.example.com": [CLOUD]})
    lab.start(NAMED + "[suntapd]\nconnect_timeout = 1s\n")
    direct(lab)
    run("ip", "addr", "add", "203.0.113.11/24", "dev", "eth0", host="cloud")
    if old == "is silent":
        run("nft", "add table ip gone; add chain ip gone in { type filter hook input priority 0; }; "
            f"add rule ip gone in ip daddr {CLOUD} tcp dport 10000 drop", host="cloud")
    dns.names["iot.example.com"] = ["203.0.113.11"]
    assert reset_at_once(lab, GATEWAY)
    with lab.listen("203.0.113.11") as listener:
        until(lambda: not reset_at_once_or_through(lab, listener), 5, "the new address")


def test_name_is_known_over_a_reload(lab):
    """A reload while no DNS answers does not forget where the cloud is."""
    dns = Dns({"iot.example.com": [CLOUD]})
    daemon = lab.start(NAMED)
    direct(lab)
    dns.silent = True
    daemon.reload()
    began = time.monotonic()
    direct(lab)
    assert time.monotonic() - began < 2


def reset_at_once_or_through(lab, listener):
    try:
        device = lab.dial(GATEWAY)
        device.sendall(b"x")
        listener.settimeout(0.5)
        conn, _ = listener.accept()
        return receive(conn, 1) != b"x"
    except (ConnectionResetError, TimeoutError):
        return True


def test_dns_server_comes_late(lab):
    lab.start(NAMED)
    with lab.listen() as listener:
        assert reset_at_once_or_through(lab, listener)
        dns = Dns({"iot.example.com": [CLOUD]})
        until(lambda: not reset_at_once_or_through(lab, listener), 40, "the name")
        assert dns.asked


def test_dns_server_that_is_silent(lab):
    """Nobody waits for ever for a name, and nobody else waits at all."""
    dns = Dns({"iot.example.com": [CLOUD]})
    dns.silent = True
    daemon = lab.start(NAMED + DEVICE.replace("roof", "shed").replace("10000", "10005"))
    devices = [Thread(reset_at_once, lab, GATEWAY) for _ in range(80)]        # more than may wait
    assert tapped(lab, port=10005)
    assert [d.join() for d in devices] == [True] * 80
    until(lambda: daemon.flows() == 0, 5)
    dns.silent = False
    with lab.listen() as listener:
        until(lambda: not reset_at_once_or_through(lab, listener), 30, "the name")


def test_dns_server_that_lies_and_babbles(lab):
    """Answers that are cut, garbled, of other questions: no crash, and no connection to anywhere."""
    rng = random.Random(1)

    def garble(answer):
        kind = rng.randrange(5)
        if kind == 0:
            return answer[:rng.randrange(len(answer))]
        if kind == 1:
            return rng.randbytes(2) + answer[2:]
        if kind == 2:
            at = rng.randrange(2, len(answer))
            return answer[:at] + rng.randbytes(1) + answer[at + 1:]
        if kind == 3:
            return answer[:12] + b"\xc0\x0c" * 100
        return answer[:2] + rng.randbytes(300)

    dns = Dns({"iot.example.com": [CLOUD]})
    dns.spoil = garble
    lab.start(NAMED)
    for _ in range(2 * SOAK):
        assert reset_at_once(lab, GATEWAY)
    dns.spoil = None
    with lab.listen() as listener:
        until(lambda: not reset_at_once_or_through(lab, listener), 30, "the name")


def test_faked_name_leads_back(lab):
    """The local DNS says that the cloud is here, which is how the device came: seen, refused, and the remedy told."""
    with open("/run/hosts", "w") as f:
        f.write(f"{GATEWAY} iot.example.com\n127.0.0.1 localhost\n")
    mount("/run/hosts", "/etc/hosts", flags=MS_BIND)
    daemon = lab.start(NAMED.replace("dns_server = 203.0.113.10\n", ""))
    assert reset_at_once(lab, GATEWAY)
    assert "dns_server" in lab.wait_events("FLOW_REFUSED")[0]["MESSAGE"]
    assert daemon.flows() == 0
    Dns({"iot.example.com": [CLOUD]})
    daemon.write(NAMED)
    daemon.reload()
    direct(lab)


def test_no_loop_where_any_address_can_be_bound(lab):
    """net.ipv4.ip_nonlocal_bind, as load balancers have it, does not make the whole world local."""
    run("sysctl", "-w", "net.ipv4.ip_nonlocal_bind=1")
    run("sysctl", "-w", "net.ipv6.ip_nonlocal_bind=1")
    lab.start(NAMED.replace("iot.example.com", CLOUD).replace("dns_server = 203.0.113.10\n", ""))
    direct(lab)


def test_nobody_is_refused_and_logged_with_measure(lab):
    lab.start(NAMED.replace("iot.example.com", CLOUD).replace("dns_server = 203.0.113.10\n", ""))
    run("ip", "addr", "add", f"{ELSEWHERE}/24", "dev", "eth0", host="inverter")
    for _ in range(100):
        assert reset_at_once(lab, GATEWAY, source=(ELSEWHERE, 0))
    entries = lab.wait_events("FLOW_REFUSED")
    assert 5 <= len(entries) <= 15
    assert entries[0]["SUNTAP_PEER"].startswith(ELSEWHERE) and entries[0]["PRIORITY"] == "4"
    direct(lab)
    lab.wait_events("FLOW_OPENED", SUNTAP_DEVICE="roof")


def test_direct_by_mac(lab):
    mac = json.loads(run("ip", "-j", "link", "show", "eth0", host="inverter"))[0]["address"]
    text = NAMED.replace("iot.example.com", CLOUD).replace("dns_server = 203.0.113.10\n", "")
    lab.start(text.replace("192.168.50.2, fd00:50::2", mac))
    direct(lab)
    direct(lab, GATEWAY6)


def test_all_ways_at_once(lab):
    lab.start(DEVICE + "[device shed]\nway = redirect\nlisten = :17861\nports = 10001\n"
              "[device barn]\nway = direct\nlisten = :10002\nupstream = 203.0.113.10:10002\n")
    nat("iifname lan0 tcp dport 10001 redirect to :17861")
    assert tapped(lab, port=10000) and tapped(lab, port=10001)
    with lab.listen(port=10002) as listener:
        device = lab.dial(GATEWAY, 10002)
        talk(device, listener.accept()[0])
    assert [e["SUNTAP_DEVICE"] for e in lab.wait_events("FLOW_OPENED", 3)] == ["roof", "shed", "barn"]
