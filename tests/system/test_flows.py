# SPDX-License-Identifier: GPL-2.0-or-later
"""Flows begin and end, however they end, and leave nothing: no descriptor, no memory, no socket, no slot, no rule.

8,000 of each kind of test here; SUNTAP_SOAK=N does N times as many (100,000 and more with 13: `make soak SUNTAP_SOAK=13`)."""
import collections

import pytest
from lab import *
from test_decoder import FRAME
from test_survival import CLIENT, system  # noqa: F401

WARM, FLOWS = 5_000, 8_000 * SOAK
NOBODY = "203.0.113.66"         # not even refused
KILLS = 4                       # of the decoder; it is started again later each time
PIPES = 2 * 128                 # of the pool, made when they are wanted


def kinds(pid):
    """What its descriptors are, and how many of each; pipes apart, as the pool may grow to its limit at any time."""
    count = collections.Counter()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            count[re.sub(r":\[\d+\]", "", os.readlink(f"/proc/{pid}/fd/{fd}"))] += 1
    return count, count.pop("pipe", 0)


def memory(pid):
    """Its own, and that of its memfds."""
    own = int(re.search(r"RssAnon:\s+(\d+)", open(f"/proc/{pid}/status").read()).group(1)) * 1024
    shared = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"/proc/{pid}/fd/{fd}").startswith("/memfd:"):
                shared += os.stat(f"/proc/{pid}/fd/{fd}").st_blocks * 512
    return own, shared


def memfd(pid, name):
    for fd in os.listdir(f"/proc/{pid}/fd"):
        if os.readlink(f"/proc/{pid}/fd/{fd}") == f"/memfd:{name} (deleted)":
            return open(f"/proc/{pid}/fd/{fd}", "rb")
    raise AssertionError(f"no {name}")


def slots(pid):
    """How many slots of the flow table were ever used, and how many are in use."""
    with memfd(pid, "suntap-flows") as f:
        size = struct.unpack_from("I", f.read(4096), 12)[0]
        used = now = 0
        while (entry := f.read(size)) and (any(entry) or used == 0):
            used += 1
            now += struct.unpack_from("Q", entry)[0] != 0
    return used, now


def sockets_of(host):
    """States of its TCP sockets, but for those that the kernel keeps for a minute after each end."""
    lines = run("ss", "-Htan", host=host).splitlines()
    return collections.Counter(state for state in (line.split()[0] for line in lines) if state not in ("LISTEN", "TIME-WAIT"))


def kernel():
    return [run("nft", "--stateless", "list", "ruleset"), *(run("ip", family, *words) for family in ("-4", "-6")
                                              for words in (("rule",), ("route", "show", "table", "all")))]


def conntrack():
    """Living entries: the count of the kernel has dead ones, for up to a minute."""
    return [line for line in open("/proc/net/nf_conntrack") if " tcp " in line]


def like_a_gateway():
    """Conntrack, as a gateway has it; and ports that are used again sooner than after the minute of TIME_WAIT."""
    run("nft", "add table inet gateway; add chain inet gateway forward { type filter hook forward priority 0; }; "
               "add rule inet gateway forward ct state established accept")
    for name in "time_wait", "close", "fin_wait", "last_ack", "close_wait", "syn_sent":
        run("sysctl", "-w", f"net.netfilter.nf_conntrack_tcp_timeout_{name}=1")
    for host in None, "inverter", "cloud":
        run("sysctl", "-w", "net.ipv4.tcp_tw_reuse=1", "net.ipv4.ip_local_port_range=15000 65000", host=host)


def all_ends(flows):
    """So many flows, 100 and more at once: FIN of either side first, half-close, reset by either side, refused, no answer."""
    refused, unanswered = flows // 20, flows // 50
    options = "--timeout", 60 + flows // 50
    good = Peer("inverter", "client", "--flows", flows - refused - unanswered, "--parallel", 100, "--bytes", 3000, "--resets", 30,
                *options, address=CLOUD)
    others = [Peer("inverter", "client", "--flows", refused, "--parallel", 10, "--bytes", 3000, *options, address=CLOUD, port=10001),
              Peer("inverter", "client", "--flows", unanswered, "--parallel", 50, "--bytes", 3000, *options, address=NOBODY)]
    return good, others


def ended(good, others):
    result = good.result()
    assert result["ok"] == result["flows"]
    for other in others:
        got = other.result(good=False)
        assert got["ok"] == 0 and set(got["errors"]) <= {"unexpected_reset", "connect_reset"}, got
    return result


@pytest.mark.limit(100)
def test_flows_leave_nothing(lab):
    like_a_gateway()
    daemon = lab.start("[suntapd]\nconnect_timeout = 1\n" + DEVICE.replace("10000", "10000 10001") + "max_flows = 5000\n")
    server = Peer("cloud", "server", "--flows", 0, "--timeout", 10_000, address=CLOUD)
    before = kernel()
    ended(*all_ends(WARM))
    until(lambda: daemon.flows() == 0)
    descriptors, _ = kinds(daemon.pid)
    own, shared = memory(daemon.pid)
    used, _ = slots(daemon.pid)

    running = all_ends(FLOWS)
    for _ in range(KILLS):
        decoder = until(daemon.decoder, 20)
        assert running[0].process.poll() is None        # or there are too few flows for that
        assert conntrack()
        os.kill(decoder, signal.SIGKILL)
        daemon.new_decoder(decoder)
    result = ended(*running)

    until(lambda: daemon.flows() == 0)
    after, pipes = kinds(daemon.pid)
    own_after, shared_after = memory(daemon.pid)
    used_after, in_use = slots(daemon.pid)
    print(f"{FLOWS} flows ({result['resets_sent']} reset by the device, {result['resets_seen']} by the cloud) after {WARM}: own memory {own} → {own_after}, memfds {shared} → {shared_after}, {pipes} pipe ends, "
          f"slots used {used} → {used_after}")
    assert after == descriptors and pipes <= 2 * PIPES
    assert in_use == 0 and used_after <= 500
    if not SANITIZED:
        assert own_after - own < 256 << 10 and shared_after - shared < 256 << 10
    assert kernel() == before
    server.result()
    for host in None, "inverter", "cloud":
        until(lambda: not sockets_of(host), 20, f"{host}'s sockets to be gone")
    until(lambda: not conntrack(), 20, "conntrack to be empty")


@pytest.mark.limit(100)
def test_sessions_leave_nothing(lab):
    """The decoder, with flows that each bring a few frames: what it keeps of a flow ends with the flow."""
    like_a_gateway()
    daemon = lab.start("[suntapd]\nring_size = 64M\n" + DEVICE + "max_flows = 5000\n")
    decoder = until(daemon.decoder)
    listener = lab.listen(backlog=1000)
    stop = []

    def cloud():
        listener.settimeout(0.2)
        while not stop:
            with contextlib.suppress(TimeoutError):
                conn, _ = listener.accept()
                conn.settimeout(10)
                while conn.recv(65536):
                    pass
                conn.close()

    def decoded():
        with memfd(daemon.pid, "suntap-ring-reader") as f:
            return struct.unpack_from("QIIQ", f.read(64))[3]

    def sessions(count, sent):
        for i in range(count):
            device = lab.dial()
            device.sendall(FRAME * 3)
            device.shutdown(socket.SHUT_WR)
            assert end_of(device) == "fin"
            device.close()
            if i % 1000 == 999:
                until(lambda: decoded() >= sent + 3 * i, 60, f"the decoder to follow: {decoded()}")
        return 3 * count + sent

    clouds = [Thread(cloud) for _ in range(2)]
    sent = sessions(WARM, 0)
    until(lambda: decoded() == sent, 60)
    descriptors = kinds(decoder)
    own, _ = memory(decoder)
    sent = sessions(FLOWS, sent)
    until(lambda: decoded() == sent, 60)
    own_after, _ = memory(decoder)
    print(f"{FLOWS} sessions, {sent} readings: own memory of the decoder {own} → {own_after}")
    assert daemon.decoder() == decoder and kinds(decoder) == descriptors
    if not SANITIZED:
        assert own_after - own < 256 << 10
    stop.append(True)
    for c in clouds:
        c.join()


def test_flows_leave_nothing_with_systemd(system):  # noqa: F811
    """Each flow puts two sockets into the store of a real systemd, and takes them out again; that one does not grow either."""
    def measure():
        pid = system.show("MainPID")
        text = system.run(f"ls -l /proc/{pid}/fd | grep -c socket:; ls -l /proc/{pid}/fd | grep -c pipe:; ls /proc/1/fd | wc -l; "
                          f"sed -n 's/RssAnon: *//p' /proc/{pid}/status /proc/1/status | tr -dc '0-9\\n'").split()
        return dict(zip(("sockets", "pipes", "manager", "own", "managers_own"), map(int, text)),
                    stored=int(system.show("NFileDescriptorStore")))

    def flows(count):
        options = f"--flows {count} --parallel 50 --bytes 3000 --resets 30"
        result = json.loads(system.run(CLIENT.format(options=options).replace("120", str(60 + count // 50))).splitlines()[-1])
        assert result["ok"] == result["flows"] == count

        def at_rest():
            """The pool may grow at any time: its pipes are kept, both ends."""
            now = measure()
            return now["sockets"] == rest["sockets"] and now["stored"] - now["pipes"] == rest["stored"] - rest["pipes"] and now

        return system.until("suntapd and the store to be as before the flows", at_rest)

    system.run("sysctl -w net.ipv4.tcp_tw_reuse=1; for h in inverter cloud; do ip netns exec $h sysctl -w net.ipv4.tcp_tw_reuse=1; done")
    rest = measure()
    before, after = flows(WARM), flows(FLOWS)
    print(f"{FLOWS} flows with systemd, memory in KiB: {rest}, {before} → {after}")
    assert after["manager"] - after["stored"] == rest["manager"] - rest["stored"]
    if not SANITIZED:
        assert after["own"] - before["own"] < 256 and after["managers_own"] - before["managers_own"] < 1024
