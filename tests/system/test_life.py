# SPDX-License-Identifier: GPL-2.0-or-later
"""suntapd's own life: start, reload, limits, stop, kill -9 and what the kernel is left with."""
import shutil
import time

import pytest
from lab import *

PATTERN = bytes(range(251)) * 300
BOTH = pytest.mark.parametrize("cloud", [CLOUD, CLOUD6])


def through(lab, listener, cloud=CLOUD, text=b"hello", **options):
    """A new flow that works both ways; what the cloud sees as its source, and both ends."""
    device, conn, source = lab.pair(listener, cloud, **options)
    device.sendall(text)
    assert receive(conn, len(text)) == text
    conn.sendall(text[::-1])
    assert receive(device, len(text)) == text[::-1]
    return source, device, conn


def is_straight(source):
    return source in (INVERTER, INVERTER6)      # else it is the gateway's own


@BOTH
def test_taps_what_is_configured_and_nothing_else(lab, cloud):
    lab.start()
    assert not is_straight(through(lab, lab.listen(cloud), cloud)[0])
    assert is_straight(through(lab, lab.listen(cloud, 10001), cloud, port=10001)[0])


def test_another_source_goes_straight(lab):
    lab.start()
    run("ip", "addr", "add", "192.168.50.77/24", "dev", "eth0", host="inverter")
    listener = lab.listen()
    assert through(lab, listener, source=("192.168.50.77", 0))[0] == "192.168.50.77"
    assert through(lab, listener)[0] == "203.0.113.1"


@BOTH
def test_kill_9(lab, cloud):
    """The rule is gone in the instant of the death: a connection tried within 100 ms goes straight to the cloud."""
    daemon = lab.start()
    listener = lab.listen(cloud)
    for _ in range(5):
        assert not is_straight(through(lab, listener, cloud)[0])
        began = time.monotonic()
        daemon.process.kill()
        daemon.process.wait()
        source = through(lab, listener, cloud)[0]
        took = time.monotonic() - began
        assert is_straight(source)
        assert took < (1 if SANITIZED else 0.1), f"{took * 1000:.0f} ms"
        assert "tproxy" not in run("nft", "list", "ruleset")
        daemon = lab.start()        # … and takes over what is left


@BOTH
def test_connections_that_went_straight_stay_straight(lab, cloud):
    """Those that were opened while the daemon was away live on when it is back."""
    daemon = lab.start()
    listener = lab.listen(cloud)
    daemon.kill()
    source, device, conn = through(lab, listener, cloud)
    assert is_straight(source)
    lab.start()
    for i in range(5):
        device.sendall(b"x%d" % i)
        assert receive(conn, 2) == b"x%d" % i
        conn.sendall(b"y%d" % i)
        assert receive(device, 2) == b"y%d" % i
    assert not is_straight(through(lab, listener, cloud)[0])


def test_killed_again_and_again_under_traffic(lab):
    """With devices that keep connecting: each connection gets through, by suntapd or straight, or is reset; none hangs."""
    lab.start()
    server = lab.server("--timeout", 60)
    ends = {"good": 0, "bad": 0}
    stop = []

    def connect():
        while not stop:
            peer = lab.client("--flows", 5, "--bytes", 2000, "--timeout", 10)
            result = peer.result(good=False)
            ends["good"] += result["ok"]
            ends["bad"] += result["bad"]
            assert result["mismatches"] == 0
            assert "unfinished" not in result["errors"] and "refused" not in result["errors"], result

    clients = [Thread(connect) for _ in range(3)]
    for _ in range(6 * SOAK):
        time.sleep(0.3 * SLOWER)
        lab.daemons[-1].kill()
        lab.start()
    stop.append(True)
    for c in clients:
        c.join()
    server.result(good=False)
    # those that a suntapd had whose sockets nobody keeps
    assert ends["good"] > 5 * ends["bad"], ends
    assert sum(1 for e in lab.events("FLOW_CLOSED") if e["SUNTAP_END"] != "stopped") > 20


def test_flows_end_with_their_process(lab):
    """Nobody keeps its descriptors: after kill -9 both ends of a flow hear of its end at once."""
    daemon = lab.start()
    _, device, conn = through(lab, lab.listen())
    daemon.kill()
    assert end_of(device, 2) in ("fin", "reset") and end_of(conn, 2) in ("fin", "reset")


def test_goes_on_after_kill_9(lab):
    """With a manager that keeps its descriptors: killed in the middle of transfers, again and again, no byte is lost."""
    daemon = lab.start(keep=True)
    server = lab.server("--timeout", 100, "--flows", 40)
    client = lab.client("--flows", 40, "--bytes", 2000000, "--exact", "--pause", 6, "--chunk", 60000, "--timeout", 100)
    kills = 0
    until(lambda: daemon.flows() > 20)
    while client.process.poll() is None:
        time.sleep(0.3)
        daemon.kill()
        kills += 1
        daemon = lab.start(None, keep=True, after=daemon)
    result = client.result()
    served = server.result()
    assert result["ok"] == served["ok"] == 40 and kills >= 2, kills
    assert (result["sent"], result["received"]) == (served["received"], served["sent"])


def test_a_manager_that_does_not_listen(lab):
    """A systemd that is busy keeps nobody waiting, and has everything when it listens again: nothing too much, nothing too little."""
    daemon = lab.start(keep=True)
    listener = lab.listen()
    before = [through(lab, listener)[1:] for _ in range(10)]
    daemon.manager.hears.clear()
    meanwhile = [through(lab, listener)[1:] for _ in range(30)]     # more messages than a socket's queue holds
    ended = before[:5] + meanwhile[:5]
    for device, conn in ended:
        reset(device)
        assert end_of(conn) == "reset"
    left = before[5:] + meanwhile[5:]
    until(lambda: daemon.flows() == len(left), what="flows that ended")
    daemon.manager.hears.set()

    def stored():
        return sum(name.startswith("f") for name in daemon.manager.kept)

    until(lambda: stored() == 2 * len(left), what=f"{len(left)} flows in the store")
    daemon.kill()
    for device, conn in left:
        conn.sendall(b"meanwhile")
    daemon = lab.start(None, keep=True, after=daemon)
    for device, conn in left:
        assert receive(device, 9) == b"meanwhile"
        device.sendall(b"answer")
        assert receive(conn, 6) == b"answer"
    assert stored() == 2 * len(left)


def test_no_byte_before_the_manager_has_the_flow(lab):
    """Killed as soon as bytes have arrived: however busy the manager was when the flows opened, they go on."""
    daemon = lab.start(keep=True)
    listener = lab.listen()
    for _ in range(10):
        daemon.manager.hears.clear()
        devices = [lab.dial(wait=False) for _ in range(12)]
        for device in devices:
            until(lambda: select.select([], [device], [], 1)[1], what="a connection")
            device.sendall(b"first")
        daemon.manager.hears.set()
        conns = [listener.accept()[0] for _ in devices]
        for conn in conns:
            conn.settimeout(10)
            assert receive(conn, 5) == b"first"
        daemon.kill()
        daemon = lab.start(None, keep=True, after=daemon)
        for conn in conns:
            conn.sendall(b"answer")
        for device in devices:
            assert receive(device, 6) == b"answer"
            reset(device)
        for conn in conns:
            assert end_of(conn) == "reset"
        until(lambda: not any(name.startswith("f") for name in daemon.manager.kept), what="an empty store")


def test_what_came_while_the_manager_was_busy_outlives_a_kill(lab):
    """Connections that suntapd could not hand over yet wait in the listener's backlog, which the manager has."""
    daemon = lab.start(keep=True)
    listener = lab.listen(backlog=1000)
    for _ in range(10):
        since = time.monotonic()
        daemon.manager.hears.clear()
        devices = [lab.dial(wait=False) for _ in range(40)]     # more than the manager's socket holds
        for i, device in enumerate(devices):
            until(lambda: select.select([], [device], [], 1)[1], what="a connection")
            device.sendall(b"device %02d" % i)
        taken = -1
        while taken < 1 or daemon.flows() > taken:              # whatever it takes of them
            taken = daemon.flows()
            time.sleep(0.01)
        daemon.kill()
        patient = time.monotonic() - since < 0.15               # after 0.2 s it goes on without the manager
        daemon.manager.hears.set()
        until(lambda: not select.select([daemon.manager.socket], [], [], 0)[0], what="a manager that has read all")
        daemon = lab.start(None, keep=True, after=daemon)
        if patient:
            break
        for device in devices:
            device.close()
        for _ in range(len(devices)):
            try:
                listener.settimeout(1)
                listener.accept()[0].close()
            except TimeoutError:
                break
    assert patient, "this machine is too slow to be quick once in ten times"
    listener.settimeout(10)
    said = set()
    while len(said) < len(devices):
        conn = listener.accept()[0]
        conn.settimeout(10)
        words = receive(conn, 9)
        if words:                       # else it is one that was made anew: nobody depended on it
            said.add(words)
            conn.sendall(b"answer")
    assert said == {b"device %02d" % i for i in range(len(devices))}
    for device in devices:
        assert receive(device, 6) == b"answer"


@pytest.mark.parametrize("end", ["fin", "reset"])
def test_a_side_that_ended_while_nobody_was_there(lab, end):
    """The kernel counts a FIN as a byte received: it is none, and the decoder missed none."""
    daemon = lab.start(keep=True)
    _, device, conn = through(lab, lab.listen(), text=b"5 + 5")
    conn.shutdown(socket.SHUT_WR)
    assert end_of(device) == "fin"
    daemon.kill()
    if end == "fin":
        device.close()
    else:
        reset(device)
    daemon = lab.start(None, keep=True, after=daemon)
    closed, = lab.wait_events("FLOW_CLOSED")
    assert closed["SUNTAP_BYTES_DEVICE"] == closed["SUNTAP_BYTES_CLOUD"] == "5", closed
    assert lab.events("GAP") == []


def fill(device):
    """Sends until nothing more is taken; returns how many bytes."""
    sent, since = 0, time.monotonic()
    device.setblocking(False)
    while time.monotonic() - since < 0.5:
        try:
            sent += device.send(PATTERN[sent % 251:][:20000])
            since = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    return sent


def held_up(lab):
    """A flow whose cloud does not read: bytes wait in suntapd's pipe. Both ends, and how many the device has sent."""
    device, conn, _ = lab.pair(lab.listen())
    return device, conn, fill(device)


def read_on(conn, sent):
    """What of the stream arrives, and how it ends: "all" when there is nothing more to come."""
    got = 0
    while got < sent:
        try:
            piece = conn.recv(65536)
        except ConnectionResetError:
            return got, "reset"
        if not piece:
            return got, "fin"
        assert piece == PATTERN[got % 251:][:len(piece)], f"a hole in the stream at {got}"
        got += len(piece)
    return got, "all"


def test_pipes_that_were_not_kept(lab):
    """A stream with a hole in it is worse than a reset."""
    daemon = lab.start(keep=True)
    device, conn, sent = held_up(lab)
    daemon.kill()
    for name in [n for n in daemon.manager.kept if n.startswith("pipe-") and n.endswith("-r")]:
        os.close(daemon.manager.kept.pop(name))
    daemon = lab.start(None, keep=True, after=daemon)
    got, end = read_on(conn, sent)
    assert end == "reset" and got < sent
    assert end_of(device) == "reset"
    until(lambda: daemon.flows() == 0)


def test_start_that_fails_between(lab):
    """One that does not get its rules leaves to the next one what the one before has left."""
    daemon = lab.start(keep=True)
    device, conn, sent = held_up(lab)
    daemon.kill()
    run("nft", "add", "table", "inet", "suntap")
    failed = lab.start(None, keep=True, after=daemon, ready=False)
    assert failed.process.wait(10) == 1
    run("nft", "delete", "table", "inet", "suntap")
    lab.start(None, keep=True, after=failed)
    assert read_on(conn, sent) == (sent, "all")


@pytest.mark.skipif(not shutil.which("strace"), reason="strace, which kills at a system call, is not installed")
@pytest.mark.parametrize("call", ["epoll_ctl", "getsockopt", "ioctl"])
def test_killed_in_the_middle_of_a_restore(lab, call):
    """At each of the calls with which a flow is taken over: what is in its pipe is there for the next suntapd."""
    daemon = lab.start(keep=True)
    device, conn, sent = held_up(lab)
    daemon.kill()
    for when in range(1, 1000):
        daemon = lab.start(None, keep=True, after=daemon, ready=False, prefix=[
            "strace", "-D", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={when}"])
        until(lambda: daemon.told("READY") or daemon.process.poll() is not None, 15)
        if daemon.told("READY"):
            break
        assert daemon.process.poll() == -signal.SIGKILL, daemon.log()
    assert when > 2
    daemon.kill()
    lab.start(None, keep=True, after=daemon)
    assert read_on(conn, sent) == (sent, "all")


def test_a_pipe_whose_bytes_nobody_wants(lab):
    """What is left of a flow that was reset gets into no other one, also if systemd has read nothing since, and a kill follows."""
    daemon = lab.start(keep=True)
    listener = lab.listen()
    device, conn, _ = lab.pair(listener)
    other = lab.pair(listener)
    fill(other[0])
    daemon.manager.hears.clear()
    idle = [through(lab, listener)[1:] for _ in range(30)]      # more messages than a socket's queue holds
    reset(other[1])
    until(lambda: daemon.flows() == 1 + len(idle), what="the end of the flow that nobody reads")
    sent = fill(device)
    daemon.kill()
    daemon.manager.hears.set()
    lab.start(None, keep=True, after=daemon)
    assert read_on(conn, sent) == (sent, "all")


def test_bad_configuration_after_a_kill(lab):
    """systemd does not try again, and drops what it kept; beside a suntapd that runs, nothing is taken away."""
    daemon = lab.start(keep=True)
    through(lab, lab.listen())
    bad = "/run/bad.ini"
    with open(bad, "w") as f:
        f.write("[suntapd]\nno_such_key = 1\n")
    assert subprocess.run([f"{BUILD}/suntapd", "--config", bad], capture_output=True).returncode == 78
    assert "table inet suntap_live" in run("nft", "list", "tables")
    assert not is_straight(through(lab, lab.listen(port=10000, address=CLOUD6), CLOUD6)[0])
    daemon.kill()
    assert lab.clean() != []
    daemon.write("[suntapd]\nno_such_key = 1\n")
    assert lab.start(None, keep=True, after=daemon, ready=False).process.wait(10) == 78
    assert lab.clean() == []


def test_stop_in_the_middle(lab):
    """What was cut off does not end like what is whole; an idle flow ends with a FIN."""
    daemon = lab.start()
    device, conn, sent = held_up(lab)
    _, idle, other = through(lab, lab.listen(CLOUD6), CLOUD6)
    assert daemon.stop() == 0
    got, end = read_on(conn, sent)
    assert end == "reset" and got < sent
    assert end_of(device) == "reset"
    assert end_of(idle) == end_of(other) == "fin"


def test_stop_while_the_bus_does_not_answer(lab):
    """Whether it is for a restart is asked, but not waited for."""
    bus = socket.socket(socket.AF_UNIX)
    bus.bind("/run/bus")
    bus.listen(5)
    daemon = lab.start(env={"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/run/bus"})
    began = time.monotonic()
    assert daemon.stop() == 0
    took = time.monotonic() - began
    assert 0.5 <= took < 5 * SLOWER, took
    assert lab.clean() == []


def test_clean_stop(lab):
    """Every rule, route and flow is gone; both ends of a flow are told."""
    daemon = lab.start()
    assert len(lab.clean()) > 4
    listener = lab.listen()
    _, device, conn = through(lab, listener)
    assert daemon.stop() == 0
    assert lab.clean() == []
    assert end_of(device) in ("fin", "reset") and end_of(conn) in ("fin", "reset")
    assert is_straight(through(lab, listener)[0])
    assert daemon.told("STOPPING")
    assert len(lab.wait_events("FLOW_CLOSED", SUNTAP_END="stopped")) == 1     # the decoder had time for its last words


def test_interrupt_is_a_clean_stop_too(lab):
    daemon = lab.start()
    daemon.process.send_signal(signal.SIGINT)
    assert daemon.process.wait(10) == 0
    assert lab.clean() == []


def test_leftovers_are_taken_over(lab):
    """After a crash, with other numbers in the new configuration: the old ones are gone, the new ones work."""
    lab.start().kill()
    assert lab.clean() != []
    lab.start("[suntapd]\nmark = 0x40/0x40\nroute_table = 4711\nrule_priority = 99\n" + DEVICE)
    assert "0x20000000" not in run("ip", "rule") and "7860" not in run("ip", "rule")
    assert "lookup 4711" in run("ip", "rule")
    assert not is_straight(through(lab, lab.listen())[0])
    assert lab.daemons[-1].stop() == 0
    assert "4711" not in run("ip", "rule") + run("ip", "-6", "rule") and lab.clean() == []


def test_flush_ruleset(lab):
    """Somebody flushes nftables, and the routes: running flows live, and what is gone is put back and told."""
    lab.start()
    listener = lab.listen()
    _, device, conn = through(lab, listener)
    before = lab.clean()
    run("nft", "flush", "ruleset")
    run("ip", "rule", "del", "fwmark", "0x20000000/0x20000000")
    run("ip", "-6", "route", "flush", "table", 7860)
    until(lambda: sorted(lab.clean()) == sorted(before), 5, "the rules to be put back")
    device.sendall(b"still")
    assert receive(conn, 5) == b"still"
    assert not is_straight(through(lab, listener)[0])
    assert lab.wait_events("RULES_REPAIRED")


def test_second_instance(lab):
    """A second suntapd is refused with a reason, and does no harm to the first one."""
    lab.start()
    second = lab.start(ready=False)
    assert second.process.wait(10) not in (0, 78)
    assert "17860" in second.log() or "suntap" in second.log()
    assert not is_straight(through(lab, lab.listen())[0])


@pytest.mark.parametrize("dropped", ["net_admin", "all"])
def test_without_the_capability(lab, dropped):
    daemon = lab.start(ready=False, prefix=["setpriv", f"--bounding-set=-{dropped}", f"--inh-caps=-{dropped}"])
    assert daemon.process.wait(10) == 1
    assert "CAP_NET_ADMIN" in daemon.log()
    assert lab.clean() == []


# ---------------------------------------------------------------- limits
def test_max_flows(lab):
    """Full: new connections go straight to the cloud, those there are not disturbed; with room again they are tapped."""
    daemon = lab.start("[suntapd]\nmax_flows = 20\n" + DEVICE)
    listener = lab.listen()
    flows = [through(lab, listener) for _ in range(20)]
    assert not any(is_straight(f[0]) for f in flows)
    until(lambda: is_straight(through(lab, listener)[0]), 5, "a connection that goes straight")
    beyond = [through(lab, listener) for _ in range(5)]
    assert all(is_straight(f[0]) for f in beyond)
    for _, device, conn in flows:
        device.sendall(b"here")
        assert receive(conn, 4) == b"here"
    until(lambda: daemon.sockets() == daemon.at_rest - 2 + 2 * 20, 10, "the listeners to be closed")
    for _, device, conn in flows[:10]:
        device.close()
        conn.close()
    until(lambda: not is_straight(through(lab, listener)[0]), 5, "to be tapped again")
    for _, device, conn in flows[10:] + beyond:
        device.sendall(b"here")
        assert receive(conn, 4) == b"here"


@pytest.mark.parametrize("cloud, limit", [(CLOUD, "max_flows"), (CLOUD6, "max_flows"), (CLOUD, "files")])
def test_limit_in_a_burst(lab, cloud, limit):
    """More at once than there is room for: those that the kernel had taken already are served, the others go straight."""
    as_a_service = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"]
    if limit == "files":
        daemon = lab.start(prefix=[*as_a_service, "prlimit", "--nofile=400:400"])
    else:
        daemon = lab.start("[suntapd]\nmax_flows = 20\n" + DEVICE, prefix=as_a_service)
    server = lab.server("--flows", 0, address=cloud)
    client = lab.client("--flows", 600, "--bytes", 1000, "--barrier", "--timeout", 40, address=cloud)
    result = client.result(good=False)
    assert result["ok"] == 600, result
    server.result()
    print(f"{len(lab.wait_events('FLOW_OPENED', 20))} of 600 were tapped")
    listener = lab.listen(cloud)
    until(lambda: not is_straight(through(lab, listener, cloud)[0]), 10, "to be tapped again")
    until(lambda: daemon.flows() <= 1)


def tapped_again(lab, listener):
    until(lambda: not is_straight(through(lab, listener)[0]), 5, "to be tapped again")


def test_max_flows_lowered_below_what_there_is(lab):
    """The flows there are go on, new ones go straight; when there is room under the new limit they are tapped again."""
    daemon = lab.start()
    listener = lab.listen()
    flows = [through(lab, listener) for _ in range(6)]
    daemon.write("[suntapd]\nmax_flows = 3\n" + DEVICE)
    daemon.reload()
    assert is_straight(through(lab, listener)[0])
    for _, device, conn in flows:
        device.sendall(b"here")
        assert receive(conn, 4) == b"here"
        device.close()
        conn.close()
    tapped_again(lab, listener)


def test_max_flows_raised(lab):
    """A reload is enough, also while every flow is idle."""
    daemon = lab.start("[suntapd]\nmax_flows = 3\n" + DEVICE)
    listener = lab.listen()
    flows = [through(lab, listener) for _ in range(3)]
    until(lambda: is_straight(through(lab, listener)[0]), 5, "a connection that goes straight")
    daemon.write("[suntapd]\nmax_flows = 30\n" + DEVICE)
    daemon.reload()
    tapped_again(lab, listener)
    assert len(flows) == 3


def test_max_flows_lowered_by_a_restart(lab):
    """The same with flows that the manager kept."""
    daemon = lab.start(keep=True)
    listener = lab.listen()
    flows = [through(lab, listener) for _ in range(6)]
    daemon.kill()
    daemon.write("[suntapd]\nmax_flows = 3\n" + DEVICE)
    daemon = lab.start(None, keep=True, after=daemon)
    assert is_straight(through(lab, listener)[0])
    for _, device, conn in flows:
        device.sendall(b"here")
        assert receive(conn, 4) == b"here"
        device.close()
        conn.close()
    tapped_again(lab, listener)


def test_limit_of_a_device(lab):
    lab.start(DEVICE + "max_flows = 3\n" + DEVICE.replace("roof", "shed").replace("10000", "10001"))
    listener = lab.listen()
    flows = [through(lab, listener) for _ in range(3)]
    for _ in range(3):
        try:
            assert end_of(lab.dial()) == "reset"
        except ConnectionResetError:
            pass
    entry = lab.wait_events("FLOW_REFUSED")[0]
    assert entry["SUNTAP_DEVICE"] == "roof" and "max_flows" in entry["MESSAGE"]
    assert not is_straight(through(lab, lab.listen(port=10001), port=10001)[0])       # the other one has room
    flows[0][1].close()
    flows[0][2].close()
    until(lambda: lab.events("FLOW_CLOSED"))
    assert not is_straight(through(lab, listener)[0])


def test_no_descriptors_left(lab):
    """EMFILE: running flows go on, new ones are reset or go straight, and all is well when there are some again."""
    daemon = lab.start()
    listener = lab.listen()
    flows = [through(lab, listener) for _ in range(5)]
    used = len(daemon.files())
    for spare in range(5):
        run("prlimit", "--pid", daemon.pid, f"--nofile={used + spare}:20000")
        for _ in range(5):
            try:
                device = lab.dial(timeout=3)
                device.sendall(b"hi")
                end_of(device, 0.05)
                device.close()
            except (ConnectionResetError, BrokenPipeError):
                pass
        for i, (_, device, conn) in enumerate(flows):
            device.sendall(b"on %d" % i)
            assert receive(conn, 4) == b"on %d" % i
    cpu = daemon.cpu()
    time.sleep(1)
    assert daemon.cpu() - cpu < 0.3, "busy with accepting in vain"
    run("prlimit", "--pid", daemon.pid, "--nofile=20000:20000")
    listener.close()
    listener = lab.listen()
    until(lambda: not is_straight(through(lab, listener)[0]), 5, "to be tapped again")
    for i, (_, device, conn) in enumerate(flows):
        device.sendall(b"on %d" % i)
        assert receive(conn, 4) == b"on %d" % i


def test_no_descriptor_for_a_pipe(lab):
    """Bytes wait, and suntapd does not spin, until there is one."""
    daemon = lab.start()
    listener = lab.listen()
    flows = [lab.pair(listener) for _ in range(3)]
    until(lambda: daemon.flows() == 3)
    run("prlimit", "--pid", daemon.pid, f"--nofile={len(daemon.files())}:20000")
    before = daemon.cpu()
    for device, _, _ in flows:
        device.sendall(b"hello")
    time.sleep(1.5)
    assert daemon.cpu() - before < 0.5
    run("prlimit", "--pid", daemon.pid, "--nofile=1000:20000")
    for _, conn, _ in flows:
        assert receive(conn, 5) == b"hello"


def test_few_descriptors_from_the_start(lab):
    """What the limit on open files allows is the limit on flows; the rest goes straight."""
    daemon = lab.start(prefix=["prlimit", "--nofile=380:380"])
    limit = int(re.search(r"of at most (\d+)", until(daemon.status)).group(1))
    assert 1 <= limit < 30
    listener = lab.listen()
    flows = [through(lab, listener) for _ in range(limit + 5)]
    assert sum(is_straight(f[0]) for f in flows) >= 4
    for _, device, conn in flows:
        device.sendall(b"here")
        assert receive(conn, 4) == b"here"


# ---------------------------------------------------------------- configuration
def test_reload(lab):
    daemon = lab.start()
    listener, other = lab.listen(), lab.listen(port=10005)
    flow = through(lab, listener)
    assert is_straight(through(lab, other, port=10005)[0])
    daemon.write(DEVICE.replace("10000", "10005"))
    daemon.reload()
    assert daemon.told("RELOADING") == ["1"]
    assert not is_straight(through(lab, other, port=10005)[0])
    assert is_straight(through(lab, listener)[0])
    flow[1].sendall(b"still")
    assert receive(flow[2], 5) == b"still"
    assert lab.wait_events("CONFIG_RELOADED")


@pytest.mark.parametrize("bad", ["[device roof]\nsource = 192.168.50.2\nprots = 10000\n", "", "[device", DEVICE + DEVICE,
                                 DEVICE.replace("10000", "0"), None])
def test_bad_reload(lab, bad):
    """The old one stays in force, and the journal says why."""
    daemon = lab.start()
    if bad is None:
        os.unlink(daemon.config)
    else:
        daemon.write(bad)
    rules = run("nft", "list", "ruleset")
    daemon.reload()
    entry = lab.wait_events("CONFIG_REFUSED")[0]
    assert "stays in force" in entry["MESSAGE"] and daemon.config in entry["MESSAGE"]
    assert re.sub(r"packets \d+ bytes \d+", "", run("nft", "list", "ruleset")) == re.sub(r"packets \d+ bytes \d+", "", rules)
    assert not is_straight(through(lab, lab.listen())[0])


def test_reload_that_fails_half_way(lab):
    """A good file whose listener can not be had: nothing of it is in force."""
    daemon = lab.start()
    taken = lab.listen("0.0.0.0", 18000, host=None)
    daemon.write(DEVICE.replace("10000", "10005") + "[device shed]\nway = direct\nlisten = :18000\nupstream = 203.0.113.10:10000\n")
    daemon.reload()
    assert "18000" in lab.wait_events("CONFIG_REFUSED")[0]["MESSAGE"]
    assert not is_straight(through(lab, lab.listen())[0])
    taken.close()
    daemon.reload()
    assert is_straight(through(lab, lab.listen())[0])
    assert not is_straight(through(lab, lab.listen(port=10005), port=10005)[0])


DIRECT = "way = direct\nlisten = {}\nupstream = 203.0.113.10:10000\n"


@pytest.mark.parametrize("new", [DIRECT.format("192.168.50.1:18000"), "way = redirect\nlisten = :18000\n"])
def test_reload_that_changes_a_listener(lab, new):
    """Another address or another way with the same port: what is in the way is suntapd's own, and not "another program"."""
    old = "[device roof]\n" + DIRECT.format(":18000")
    daemon = lab.start(old)
    daemon.write("[device roof]\n" + new)
    daemon.reload()
    assert [e["MESSAGE"] for e in lab.events("CONFIG_REFUSED")] == []
    daemon.write("[device roof]\n" + new + DEVICE.replace("roof", "shed"))
    daemon.reload()
    # … and when a later one can not be had, the old one is there as before
    with lab.listen("0.0.0.0", 18001, host=None):
        daemon.write(old + "[device shed]\n" + DIRECT.format(":18001"))
        daemon.reload()
    assert "18001" in lab.wait_events("CONFIG_REFUSED")[0]["MESSAGE"]
    daemon.write(old)
    daemon.reload()
    through(lab, lab.listen(), GATEWAY, port=18000)


def test_reload_of_what_takes_a_restart(lab):
    """Told, and the listeners of the new file are gone again as well."""
    daemon = lab.start()
    daemon.write("[suntapd]\nmark = 0x40/0x40\n" + DEVICE + "[device shed]\nway = direct\nlisten = :18000\n"
                 "upstream = 203.0.113.10:10000\n")
    daemon.reload()
    assert "restart" in lab.wait_events("CONFIG_REFUSED")[0]["MESSAGE"]
    with pytest.raises(ConnectionRefusedError):
        lab.dial(GATEWAY, 18000)
    assert not is_straight(through(lab, lab.listen())[0])


def test_reload_under_traffic(lab):
    daemon = lab.start()
    server = lab.server("--timeout", 50)
    client = lab.client("--flows", 600, "--parallel", 30, "--bytes", 100000, "--pause", 5, "--timeout", 50)
    count = 0
    while client.process.poll() is None:
        daemon.write(DEVICE + (f"[device d{count}]\nports = {20000 + count}\n" if count % 2 else ""))
        daemon.reload()
        count += 1
    assert client.result()["ok"] == 600 and count > 3
    server.result()


def test_start_with_a_bad_file(lab):
    """Nothing is started and nothing changed; every mistake is told at once with file, line, key and what would be right."""
    daemon = lab.start("[suntapd]\nmark = 0\n[device roof]\nsource = 192.168.50.2/33\nprots = 10000\n", ready=False)
    assert daemon.process.wait(5) == 78
    lines = daemon.log().splitlines()
    assert [re.match(r"(.*?:\d+: \w+): .*would be|(.*?:\d+: \w+): .*did you mean ports", line) is not None
            for line in lines[:3]] == [True] * 3, lines
    assert lines[0].startswith(f"{daemon.config}:2: mark") and ":4: source" in lines[1] and ":5: prots" in lines[2]
    assert lab.clean() == [] and run("nft", "list", "ruleset") == ""


def test_check(lab):
    daemon = lab.start(ready=False, words=["--check", "/run/suntap-0.ini"])
    assert daemon.process.wait(5) == 0
    printed = daemon.log()
    assert "[device roof]" in printed and "ports = 10000" in printed and lab.clean() == []
    daemon = lab.start(printed, ready=False, words=["--check", "/run/suntap-1.ini"])
    assert daemon.process.wait(5) == 0 and daemon.log() == printed
    daemon = lab.start("[device roof]\npresett = tsun\n", ready=False, words=["--check", "/run/suntap-2.ini"])
    assert daemon.process.wait(5) == 78 and "did you mean preset" in daemon.log()
    for words, status in (["--check", "/nowhere"], 78), (["--nonsense"], 2), (["--version"], 0), (["--help"], 0):
        assert lab.start(ready=False, words=words).process.wait(5) == status
    for what in "--check", "--print-rules":
        with open("/dev/full", "w") as full:
            assert subprocess.run([f"{BUILD}/suntapd", what, "/run/suntap-1.ini"], stdout=full, stderr=subprocess.DEVNULL).returncode == 1


def test_manual_rules(lab):
    """rules = manual: the printed rules, loaded with nft and ip by the owner, do the same; suntapd touches nothing."""
    text = "[suntapd]\nrules = manual\n" + DEVICE
    printer = lab.start(text, ready=False, words=["--print-rules", "/run/suntap-0.ini"])
    assert printer.process.wait(5) == 0
    rules = printer.log()
    with open("/run/rules.nft", "w") as f:
        f.write(rules)
    for family in [], ["-6"]:
        run("ip", *family, "rule", "add", "fwmark", "0x20000000/0x20000000", "lookup", 7860, "priority", 786)
        run("ip", *family, "route", "add", "local", "default", "dev", "lo", "table", 7860)
    run("nft", "-f", "/run/rules.nft")
    before = run("nft", "list", "ruleset")
    daemon = lab.start(text)
    assert not is_straight(through(lab, lab.listen())[0])
    assert not is_straight(through(lab, lab.listen(CLOUD6), CLOUD6)[0])
    assert daemon.stop() == 0
    strip = lambda t: re.sub(r"packets \d+ bytes \d+", "", t)       # noqa: E731
    assert strip(run("nft", "list", "ruleset")) == strip(before)
    assert "0x20000000" in run("ip", "rule")


def test_watchdog(lab):
    daemon = lab.start(env={"WATCHDOG_USEC": "300000"})
    until(lambda: len(daemon.told("WATCHDOG")) >= 3, 5, "WATCHDOG=1")
