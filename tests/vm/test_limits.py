# SPDX-License-Identifier: GPL-2.0-or-later
"""suntapd.service on a stock kernel: what its unit limits is limited, and the relay does not feel it."""
import json
import os
import re

import pytest

from test_service import BUILD, INSIDE, System, make

pytestmark = pytest.mark.skipif(not INSIDE, reason="needs a kernel with cgroup controllers and modules: make check-vm")

CGROUP = "/sys/fs/cgroup/system.slice/suntapd.service"
INI = "[device roof]\nsource = 192.168.50.0/24\nports = 5001, 5002\nmax_flows = 10000\n"
PEER = "/opt/peer"
MIB = 1 << 20


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    make("install", f"DESTDIR={root}")
    s = System(root, {os.path.join(BUILD, "tests", tool): f"/opt/{tool}" for tool in ("peer", "glutton")})
    s.run("pkill -x peer; systemd-sysusers; rm -rf /etc/systemd/system/suntapd.service.d /var/lib/suntap")
    s.write("/etc/suntap/suntap.ini", INI)
    s.run("systemctl daemon-reload && systemctl restart suntapd")
    # a cloud that reads, and one that hardly does
    s.run(f"ip netns exec cloud {PEER} server --flows 0 --timeout 100000 203.0.113.10 5001 >/run/server.json 2>&1 &")
    s.run(f"ip netns exec cloud {PEER} server --flows 0 --timeout 100000 --read-rate 30000 --rcvbuf 4096 203.0.113.10 5002 "
          ">/run/slow.json 2>&1 &")
    yield s
    s.run("systemctl stop suntapd; rm -rf /etc/systemd/system/suntapd.service.d; systemctl daemon-reload; pkill -x peer")
    s.close()


def with_settings(s, *lines):
    s.write("/etc/systemd/system/suntapd.service.d/test.conf", "\n".join(["[Service]", *lines, ""]))
    s.run("systemctl daemon-reload && systemctl stop suntapd && systemctl start suntapd")


def put_decoder(s, program):
    """Also in the place of one that runs."""
    s.run(f"cp {program} /usr/lib/suntap/new && mv /usr/lib/suntap/new /usr/lib/suntap/suntap-decoder")


@pytest.fixture
def glutton(system):
    """suntapd with a decoder that takes all it can get: tasks or memory."""
    system.run("cp /usr/lib/suntap/suntap-decoder /run/honest")
    put_decoder(system, "/opt/glutton")
    yield lambda what: with_settings(system, f"Environment=GLUTTON={what}")
    put_decoder(system, "/run/honest")
    with_settings(system)


def counted(s, file):
    """A file of the unit's cgroup that has a name and a number in each line."""
    return {name: int(n) for name, n in (line.split() for line in s.run(f"cat {CGROUP}/{file}").splitlines())}


def number(s, file):
    text = s.run(f"cat {CGROUP}/{file}")
    return None if text == "max" else int(text)


def transfer(s, options, port=5001):
    text = s.run(f"ip netns exec inverter {PEER} client --timeout 300 {options} 203.0.113.10 {port}", check=False)
    got = json.loads(text.splitlines()[-1])
    assert got["ok"] == got["flows"] and got["mismatches"] == 0, text
    return got


def adjusted(s, pid):
    return int(s.run(f"cat /proc/{pid}/oom_score_adj"))


# ---------------------------------------------------------------- the kernel
def test_kernel_is_an_ordinary_one(system):
    assert "-amd64" in system.run("uname -r")
    assert {"memory", "pids"} <= set(system.run("cat /sys/fs/cgroup/system.slice/cgroup.controllers").split())
    assert system.run("cat /sys/module/apparmor/parameters/enabled") == "Y"


def test_modules_come_by_themselves(system):
    """Although the service may load none: it is the kernel that asks for what a rule needs."""
    assert system.show("ProtectKernelModules") == "yes"
    system.run("systemctl stop suntapd")
    # what rules used goes a moment after them
    system.until("no modules", lambda: not re.search(r"^nft?_", system.run(
        "for m in $(lsmod | grep -o '^nft_[a-z0-9_]*') nf_tables; do modprobe -r $m; done; lsmod"), re.M))
    system.run("systemctl start suntapd")
    assert {"nft_tproxy", "nft_socket"} <= set(re.findall(r"^nft_\w+", system.run("lsmod"), re.M))
    transfer(system, "--flows 4 --bytes 20000")


# ---------------------------------------------------------------- the limits
def test_limits_are_in_force(system):
    memory = int(re.search(r"MemTotal:\s+(\d+)", system.run("cat /proc/meminfo"))[1]) * 1024
    assert abs(number(system, "memory.max") - memory / 2) < 2 * MIB
    assert number(system, "memory.swap.max") == 0
    assert number(system, "memory.high") is None        # it would make the relay wait
    assert number(system, "pids.max") == 16
    main = system.show("MainPID")
    assert adjusted(system, main) == -1000
    assert adjusted(system, system.run(f"cat /proc/{main}/task/{main}/children").split()[0]) == 1000


def test_decoder_that_fills_the_memory(system, glutton):
    """It is what dies, again and again, and never suntapd; of the bytes beside it none is missing."""
    glutton("memory")
    pid = system.show("MainPID")
    got = transfer(system, "--flows 40 --parallel 8 --bytes 200000")
    kills = system.until("two deaths", lambda: (n := counted(system, "memory.events")["oom_kill"]) >= 2 and n)
    got2 = transfer(system, "--flows 40 --parallel 8 --bytes 200000 --resets 20")
    assert (system.show("MainPID"), system.show("NRestarts"), system.show("ActiveState")) == (pid, "0", "active")
    assert "killed by signal 9" in system.of_kind("DECODER_RESTARTED")[-1]["MESSAGE"]
    print(f"decoders killed: {kills} of {number(system, 'memory.max') / MIB:.0f} MiB; {got['sent'] + got2['sent']} bytes up")


def test_decoder_that_takes_all_tasks(system, glutton):
    glutton("tasks")
    pid = system.show("MainPID")
    told = system.until("no more tasks", lambda: re.search(r"glutton: \d+ more, then: Resource temporarily unavailable", system.run(
        "journalctl --no-pager -o cat -u suntapd -n 20")))
    assert counted(system, "pids.events")["max"] >= 1 and number(system, "pids.current") == 16
    transfer(system, "--flows 40 --parallel 8 --bytes 200000")
    print(told[0], system.run(f"ps -o pid,cputimes,args --sort=-cputimes $(sed 's/^/-p /' {CGROUP}/cgroup.procs)"), sep="\n")
    # with them gone all is well again
    put_decoder(system, "/run/honest")
    system.run("pkill -KILL -x suntap-decoder")
    system.until("an honest decoder", lambda: "locks itself in" in system.run(
        "journalctl --no-pager -o cat -q _PID=$(pgrep -x suntap-decoder)", check=False))
    assert (system.show("MainPID"), system.show("NRestarts")) == (pid, "0")


def test_slow_readers(system, glutton):
    """Socket buffers grow with what a cloud does not read, while the decoder fills the memory again and again."""
    glutton("memory")
    pid, idle = system.show("MainPID"), counted(system, "memory.stat")
    system.run(f"(ip netns exec inverter {PEER} client --flows 300 --bytes 200000 --exact --barrier --timeout 600 "
               "203.0.113.10 5002 >/run/client.json 2>&1; touch /run/client.done) </dev/null >/dev/null 2>&1 &")
    system.status("^300 flows")
    stats = []

    def done():
        stats.append(counted(system, "memory.stat"))
        return system.run("test -e /run/client.done && cat /run/client.json", check=False)
    got = json.loads(system.until("the transfers", done).splitlines()[-1])
    events = counted(system, "memory.events")
    sockets, kernel = (max(s[kind] for s in stats) for kind in ("sock", "kernel"))
    print(f"300 flows: sockets {sockets / MIB:.1f} MiB, kernel {(kernel - idle['kernel']) / 300:.0f} bytes a flow, peak "
          f"{number(system, 'memory.peak') / MIB:.0f} of {number(system, 'memory.max') / MIB:.0f} MiB, {events}, {got}")
    assert got["ok"] == got["flows"] == 300 and got["mismatches"] == 0
    assert events["oom_kill"] >= 1
    assert (system.show("MainPID"), system.show("NRestarts")) == (pid, "0")
