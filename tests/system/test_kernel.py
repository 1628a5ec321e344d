# SPDX-License-Identifier: GPL-2.0-or-later
"""What suntap takes for granted of the kernel, without suntap. Splice and tee: test_relay.c; seals and maps: test_ring.c."""
import time

import pytest
from lab import *

OWNED = "add table inet mine { flags owner; }\nadd chain inet mine c\n"


class Nft:
    """nft that stays alive: what it makes with the flag `owner` belongs to its socket."""

    def __init__(self):
        self.process = subprocess.Popen(["nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

    def __call__(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()


def tables():
    return run("nft", "list", "tables")


def test_owner_table_dies_with_its_process(lab):
    nft = Nft()
    nft(OWNED)
    until(lambda: "mine" in tables())
    run("nft", "flush", "ruleset")                      # leaves it alone
    assert "mine" in tables()
    for words in (["delete", "table", "inet", "mine"], ["add", "rule", "inet", "mine", "c", "accept"]):
        assert subprocess.run(["nft", *words], capture_output=True).returncode != 0
    nft.process.kill()
    nft.process.wait()
    assert "mine" not in tables()                       # at once, not soon


RULES = """
table inet tap {{
	chain pre {{
		type filter hook prerouting priority mangle;
		meta l4proto tcp socket transparent 1 meta mark set 1 accept
		iifname lan0 tcp dport 10000 tcp flags & (fin|syn|rst|ack) == syn tproxy {family} to {to}:17000 meta mark set 1 accept
	}}
}}
"""


def rules(family):
    return RULES.format(**{"family": "ip", "to": "127.0.0.1"} if family == socket.AF_INET else {"family": "ip6", "to": "[::1]"})


def transparent_listener(family):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.setsockopt(*((socket.IPPROTO_IP, 19) if family == socket.AF_INET else (socket.IPPROTO_IPV6, 75)), 1)
    s.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 17000))
    s.listen(10)
    s.settimeout(5)
    return s


def set_up(family):
    six = [] if family == socket.AF_INET else ["-6"]
    run("ip", *six, "rule", "add", "fwmark", 1, "lookup", 100)
    run("ip", *six, "route", "add", "local", "default", "dev", "lo", "table", 100)
    with open("/run/rules", "w") as f:
        f.write(rules(family))
    run("nft", "-f", "/run/rules")


@pytest.mark.parametrize("cloud", [CLOUD, CLOUD6])
def test_tproxy(lab, cloud):
    """The original destination is the accepted socket's name; established flows need only the rule `socket transparent`,
    also after a change of routes; without a listener the rule does not match; what went straight is left alone."""
    family = family_of(cloud)
    set_up(family)
    real = lab.listen(cloud)
    listener = transparent_listener(family)
    device = lab.dial(cloud)
    here, peer = listener.accept()
    here.settimeout(5)
    assert here.getsockname()[:2] == (cloud, 10000) and peer[0] in (INVERTER, INVERTER6)
    listener.close()

    straight, conn, source = lab.pair(real, cloud)      # no listener: not taken
    assert source in (INVERTER, INVERTER6)

    with open("/run/rules", "w") as f:                  # the interception goes, as with its owner; routes change
        f.write("flush chain inet tap pre\nadd rule inet tap pre meta l4proto tcp socket transparent 1 meta mark set 1 accept\n")
    run("nft", "-f", "/run/rules")
    run("ip", *([] if family == socket.AF_INET else ["-6"]), "route", "add", "192.0.2.0/24" if family == socket.AF_INET else
        "2001:db8::/32", "dev", "wan0")
    for i in range(3):
        device.sendall(b"up")
        assert receive(here, 2) == b"up"
        here.sendall(b"down")
        assert receive(device, 4) == b"down"

    listener = transparent_listener(family)             # … and it is back
    with open("/run/rules", "w") as f:
        f.write("delete table inet tap\n" + rules(family))
    run("nft", "-f", "/run/rules")
    straight.sendall(b"straight on")
    assert receive(conn, 11) == b"straight on"
    lab.dial(cloud)
    assert listener.accept()[0].getsockname()[0] == cloud


def test_words_before_a_reset_can_be_read(lab):
    """A RST does not take away what had arrived before it; a write that finds it takes the error from the read."""
    listener = lab.listen()
    device, conn, _ = lab.pair(listener)
    device.sendall(b"words")
    time.sleep(0.05)
    reset(device)
    time.sleep(0.05)
    assert conn.recv(100) == b"words"
    with pytest.raises(ConnectionResetError):
        conn.recv(100)
    device, conn, _ = lab.pair(listener)
    device.sendall(b"words")
    time.sleep(0.05)
    reset(device)
    time.sleep(0.05)
    with pytest.raises(ConnectionResetError):
        conn.send(b"x")
    assert conn.recv(100) == b"words" and conn.recv(100) == b""


def test_reset_after_fin_is_seen_by_epoll_alone(lab):
    device, conn, _ = lab.pair(lab.listen())
    device.shutdown(socket.SHUT_WR)
    assert conn.recv(10) == b""
    poll = select.epoll()
    poll.register(conn, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
    assert poll.poll(1)
    reset(device)
    assert poll.poll(2)[0][1] & select.EPOLLERR
    assert conn.recv(10) == b""


def test_refusal_is_told_from_a_reset(lab):
    """ECONNREFUSED: never connected; ECONNRESET from SO_ERROR of a connecting socket: it was."""
    s = lab.dial(wait=False)
    until(lambda: select.select([], [s], [], 0)[1])
    assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 111
    listener = lab.listen()
    s = lab.dial(wait=False)
    reset(listener.accept()[0])
    time.sleep(0.05)
    assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 104
