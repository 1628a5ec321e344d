# SPDX-License-Identifier: GPL-2.0-or-later
"""What one side does to its connection, the other side sees: at any moment of the connection's life."""
import fcntl
import time

import pytest
from lab import *

BOTH = pytest.mark.parametrize("cloud", [CLOUD, CLOUD6])
SIDES = pytest.mark.parametrize("who", ["device", "cloud"])


def refused(lab, *where):
    """A connection that is accepted here before the cloud is asked: the reset may come before or after connect()."""
    try:
        return end_of(lab.dial(*where)) == "reset"
    except ConnectionResetError:
        return True


def ended(lab, end, count=1, **fields):
    found = lab.wait_events("FLOW_CLOSED", count, SUNTAP_END=end, **fields)
    return found[-1]


@BOTH
def test_refusal(lab, cloud):
    lab.start()
    assert refused(lab, cloud)
    entry = ended(lab, "refused")
    assert entry["SUNTAP_BYTES_DEVICE"] == "0" and entry["ERRNO"] == "111"


@BOTH
def test_refusal_after_words(lab, cloud):
    """The device speaks at once, as devices do; there is nobody to speak to."""
    lab.start()
    run("nft", "add table inet t; add chain inet t c { type filter hook forward priority 0; };"
        "add chain inet t o { type filter hook output priority 0; }; add rule inet t o oifname wan0 tcp dport 10000 drop")
    device = lab.dial(cloud)
    device.sendall(b"hello?")
    run("nft", "flush", "table", "inet", "t")
    assert end_of(device) == "reset"
    assert ended(lab, "refused")["SUNTAP_BYTES_DEVICE"] == "0"


@BOTH
def test_unreachable(lab, cloud):
    lab.start()
    run("ip", "route", "add", "unreachable", cloud)
    assert refused(lab, cloud)
    ended(lab, "unreachable")


def test_unreachable_by_icmp(lab):
    lab.start()
    run("nft", "add table ip t; add chain ip t c { type filter hook input priority 0; };"
        "add rule ip t c tcp dport 10000 reject with icmp type admin-prohibited", host="cloud")
    assert refused(lab)
    ended(lab, "unreachable")


def block_cloud(lab):
    """SYNs to the cloud get lost; what this returns ends that."""
    run("nft", "add table inet t; add chain inet t c { type filter hook input priority 0; };"
        "add rule inet t c tcp dport 10000 drop", host="cloud")
    return lambda: run("nft", "flush", "table", "inet", "t", host="cloud")


def test_too_late(lab):
    lab.start("[suntapd]\nconnect_timeout = 2s\n" + DEVICE)
    block_cloud(lab)
    began = time.monotonic()
    assert end_of(lab.dial()) == "reset"
    assert 1.5 < time.monotonic() - began < 4
    ended(lab, "connect-timeout")


@BOTH
def test_words_and_fin_while_connecting(lab, cloud):
    lab.start()
    listener = lab.listen(cloud)
    free = block_cloud(lab)
    device = lab.dial(cloud)
    device.sendall(b"early words")
    device.shutdown(socket.SHUT_WR)
    time.sleep(0.1)
    free()
    conn, _ = listener.accept()
    assert receive(conn, 100) == b"early words"
    conn.sendall(b"answer")
    conn.close()
    assert receive(device, 100) == b"answer"
    assert ended(lab, "device-closed")["SUNTAP_BYTES_CLOUD"] == "6"


def test_reset_while_connecting(lab):
    daemon = lab.start()
    listener = lab.listen()
    free = block_cloud(lab)
    device = lab.dial()
    until(lambda: daemon.flows() == 1)
    reset(device)
    ended(lab, "device-reset")
    free()
    listener.settimeout(3)
    with pytest.raises(TimeoutError):       # and the connection that was on its way was given up
        listener.accept()


def test_words_and_reset_while_connecting(lab):
    """Of the words sent before a reset the cloud gets what it would have got: all, or a prefix, and then the reset."""
    lab.start()
    listener = lab.listen()
    free = block_cloud(lab)
    device = lab.dial()
    device.sendall(b"early words")
    time.sleep(0.1)
    reset(device)
    free()
    listener.settimeout(5)
    conn, _ = listener.accept()
    got = b""
    with pytest.raises(ConnectionResetError):
        while True:
            piece = conn.recv(100)
            assert piece, "a FIN for a reset"
            got += piece
    assert got == b"early words"
    ended(lab, "device-reset")


@BOTH
@SIDES
def test_reset(lab, who, cloud):
    lab.start()
    device, conn, _ = lab.pair(lab.listen(cloud), cloud)
    mine, other = (device, conn) if who == "device" else (conn, device)
    mine.sendall(b"last words")
    assert receive(other, 10) == b"last words"
    reset(mine)
    assert end_of(other) == "reset"
    ended(lab, f"{who}-reset")


@SIDES
def test_reset_after_half_close(lab, who):
    lab.start()
    device, conn, _ = lab.pair(lab.listen())
    mine, other = (device, conn) if who == "device" else (conn, device)
    mine.shutdown(socket.SHUT_WR)
    assert end_of(other) == "fin"
    reset(mine)
    ended(lab, f"{who}-reset")
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        other.send(b"x")


@SIDES
def test_words_before_a_reset(lab, who):
    """1 MB sent and acknowledged, then a reset at once: the other side gets every byte of it, then the reset."""
    lab.start()
    listener = lab.listen()
    for size in 1, 1000, 100000, 1000000:
        device, conn, _ = lab.pair(listener)
        mine, other = (device, conn) if who == "device" else (conn, device)
        text = bytes(i * 7 & 255 for i in range(size))
        reader = Thread(receive, other, size)
        mine.sendall(text)
        until(lambda: struct.unpack("i", fcntl.ioctl(mine, 0x5411, b"\0" * 4))[0] == 0, what="SIOCOUTQ = 0")
        reset(mine)
        assert reader.join() == text
        assert end_of(other) == "reset"
    ended(lab, f"{who}-reset", 4)


def test_half_close_for_long(lab):
    """A device that has said all and waits: its answer comes much later, in pieces, and ends when the cloud says so."""
    lab.start()
    device, conn, _ = lab.pair(lab.listen())
    device.sendall(b"question")
    device.shutdown(socket.SHUT_WR)
    assert receive(conn, 100) == b"question"
    for i in range(5):
        time.sleep(0.3)
        conn.sendall(b"piece %d" % i)
        assert receive(device, 7) == b"piece %d" % i
    assert lab.events("FLOW_CLOSED") == []
    conn.close()
    assert end_of(device) == "fin"
    assert ended(lab, "device-closed")["SUNTAP_BYTES_CLOUD"] == "35"


@SIDES
def test_silent_death(lab, who):
    """A side that vanishes without a word is found out by keepalive, and the other side is told with a reset."""
    lab.start("[suntapd]\nkeepalive = 1s\nuser_timeout = 2s\n" + DEVICE)
    device, conn, _ = lab.pair(lab.listen())
    device.sendall(b"x")
    assert receive(conn, 1) == b"x"
    run("ip", "link", "set", "eth0", "down", host="inverter" if who == "device" else "cloud")
    assert end_of(conn if who == "device" else device, 15) == "reset"
    ended(lab, f"{who}-lost")


def close_the_window(device, seconds):
    """Sends until nothing more is taken for so long, or the connection is reset; how much was sent, and whether it was."""
    sent, quiet = 0, time.monotonic()
    device.setblocking(False)
    while time.monotonic() - quiet < seconds:
        try:
            sent += device.send(bytes(65536))
            quiet = time.monotonic()
        except BlockingIOError:
            time.sleep(0.02)
        except ConnectionResetError:
            return sent, True
    device.setblocking(True)
    return sent, False


def test_closed_window(lab):
    """A reader that does not read but answers probes is alive: nobody gives it up, however long it takes, as nobody does without
    suntap; nor one that reads later, and then vanishes."""
    lab.start("[suntapd]\nuser_timeout = 2s\nkeepalive = 1s\n" + DEVICE)
    device, conn, _ = lab.pair(lab.listen())
    sent, was_reset = close_the_window(device, 9)
    assert not was_reset
    assert len(receive(conn, sent)) == sent
    device.sendall(b"more")
    assert receive(conn, 4) == b"more"
    run("ip", "link", "set", "eth0", "down", host="cloud")
    device.sendall(b"and more")
    assert end_of(device, 15) == "reset"
    ended(lab, "cloud-lost")


@SIDES
def test_reset_behind_a_closed_window(lab, who):
    """Who was reset waits for nothing any more: what the other side does not take is given up after two seconds."""
    daemon = lab.start()
    device, conn, _ = lab.pair(lab.listen())
    sender, reader = (device, conn) if who == "device" else (conn, device)
    _, was_reset = close_the_window(sender, 1)
    assert not was_reset
    reset(sender)
    until(lambda: daemon.flows() == 0, 8, what="the end of the flow")
    ended(lab, f"{who}-reset")
    reader.setblocking(True)
    with pytest.raises(ConnectionResetError):
        while reader.recv(1 << 20):
            pass


def test_device_that_starts_again(lab):
    """It loses power and comes back with the same address and the same port: the old flow ends, the new one works."""
    daemon = lab.start()
    listener = lab.listen()
    device, conn, _ = lab.pair(listener, source=(INVERTER, 40000))
    device.sendall(b"old")
    assert receive(conn, 3) == b"old"
    run("nft", "add table inet t; add chain inet t c { type filter hook output priority 0; };"
        "add rule inet t c tcp sport 40000 drop", host="inverter")
    reset(device)
    time.sleep(0.1)
    run("nft", "flush", "table", "inet", "t", host="inverter")
    device, again, _ = lab.pair(listener, source=(INVERTER, 40000))
    device.sendall(b"new")
    assert receive(again, 3) == b"new"
    assert end_of(conn) == "reset"
    ended(lab, "device-reset")
    assert daemon.flows() == 1


def test_urgent_data(lab):
    """An urgent byte (a broken logger's, or an attacker's) stops nothing: what is sent before and after it arrives."""
    lab.start()
    device, conn, _ = lab.pair(lab.listen())
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    device.sendall(b"before ")
    device.send(b"!", socket.MSG_OOB)
    device.sendall(b" after")
    time.sleep(0.2)
    device.sendall(b", and more")
    device.shutdown(socket.SHUT_WR)
    assert receive(conn, 100) == b"before ! after, and more"


def test_simultaneous_close(lab):
    lab.start()
    listener = lab.listen()
    for _ in range(50):
        device, conn, _ = lab.pair(listener)
        device.sendall(b"x")
        conn.sendall(b"y")
        device.shutdown(socket.SHUT_WR)
        conn.shutdown(socket.SHUT_WR)
        assert receive(device, 10) == b"y" and receive(conn, 10) == b"x"
        device.close()
        conn.close()
    entries = lab.wait_events("FLOW_CLOSED", 50)
    assert {e["SUNTAP_END"] for e in entries} <= {"device-closed", "cloud-closed"}
    assert all(e["SUNTAP_BYTES_DEVICE"] == e["SUNTAP_BYTES_CLOUD"] == "1" for e in entries)


def test_cloud_speaks_first_and_leaves(lab):
    """The cloud greets and closes, or resets, right after accept(): the greeting arrives."""
    daemon = lab.start()
    listener = lab.listen()
    for how in "fin", "reset":
        free = block_cloud(lab)
        device = lab.dial()
        until(lambda: daemon.sockets() == daemon.at_rest + 2)
        daemon.process.send_signal(signal.SIGSTOP)      # so that all of it is there when it looks
        free()
        conn, _ = listener.accept()
        conn.sendall(b"greetings")
        time.sleep(0.1)
        (reset if how == "reset" else socket.socket.close)(conn)
        time.sleep(0.1)
        daemon.process.send_signal(signal.SIGCONT)
        assert receive(device, 9) == b"greetings"
        assert end_of(device) == how
        device.close()
        until(lambda: daemon.flows() == 0)
    ended(lab, "cloud-reset")
    ended(lab, "cloud-closed")


def test_what_the_entry_says(lab):
    lab.start()
    device, conn, _ = lab.pair(lab.listen())
    device.sendall(b"12345")
    assert receive(conn, 5) == b"12345"
    conn.sendall(b"123")
    assert receive(device, 3) == b"123"
    time.sleep(0.5)
    port = device.getsockname()[1]
    conn.close()
    device.close()
    opened = lab.wait_events("FLOW_OPENED")[0]
    closed = ended(lab, "cloud-closed")
    for e in opened, closed:
        assert e["SUNTAP_PEER"] == f"192.168.50.2:{port}" and e["SUNTAP_CLOUD"] == "203.0.113.10:10000"
        assert e["SUNTAP_DEVICE"] == "roof" and e["SYSLOG_IDENTIFIER"] == "suntap"
        assert e["_COMM"] == "suntap-decoder"
    assert opened["SUNTAP_FLOW"] == closed["SUNTAP_FLOW"]
    assert (closed["SUNTAP_BYTES_DEVICE"], closed["SUNTAP_BYTES_CLOUD"]) == ("5", "3")
    assert 0.5 <= float(closed["SUNTAP_DURATION"]) < 3
    assert "ERRNO" not in closed
