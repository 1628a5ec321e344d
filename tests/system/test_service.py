# SPDX-License-Identifier: GPL-2.0-or-later
"""The service under a real systemd: what `make install` puts down, booted in tests/lab/systemd-lab --net."""
import json
import os
import re
import shlex
import subprocess
import time

import pytest
from lab import REPORT, SANITIZED, SLOWER

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(TOP, os.environ.get("BUILD", "build"))
LAB = os.path.join(TOP, "tests", "lab", "systemd-lab")
INSIDE = "SUNTAP_VM" in os.environ      # `make check-vm`: pytest itself runs in the booted system
PATIENCE = 20 * SLOWER      # s

CLOUD = "203.0.113.10"
SERIAL = "Y17E7A0F010B013E"
GOOD = "[device roof]\nsource = 192.168.50.2\npreset = solarman\n"
BETTER = GOOD + "\n[device balcony]\nsource = 192.168.50.3\npreset = deye\n"
BAD = GOOD + "prots = 10000\n"

with open(os.path.join(TOP, "src/shared/message_ids.h"), encoding="ascii") as header:
    MESSAGE_ID = dict(re.findall(r'MESSAGE_ID_(\w+)\s+"([0-9a-f]{32})"', header.read()))

# What differs from the shipped unit: a test does not wait 30 s for the watchdog. Under ASan, leaks are looked for with
# ptrace(), which the filter does not have; and a SIGSEGV that a test sends is no fault.
SERVICE = "[Service]\n" + ("Environment=ASAN_OPTIONS=detect_leaks=0:handle_segv=0\n" if SANITIZED else "")
DROP_IN = SERVICE + "WatchdogSec=3\nTimeoutAbortSec=2\n"


def make(*arguments):
    """install and uninstall what is built, as it is (-o: not made anew, with other settings)."""
    subprocess.run(["make", "-C", TOP, "--no-print-directory", "-o", "all", "-o", f"{BUILD}/settings", f"BUILD={BUILD}",
                    *arguments], check=True, stdout=subprocess.PIPE)


def files_below(folder):
    return sorted(os.path.relpath(os.path.join(at, f), folder) for at, _, names in os.walk(folder) for f in names)


# ---------------------------------------------------------------- the booted system
class System:
    """Runs shell commands in the lab, one after the other, as root on the gateway."""

    def __init__(self, root, more=None, timeout=600):
        copies = [f"{root}/usr:/usr", f"{root}/etc:/etc", f"{TOP}/tests/demo/player.py:/opt/player.py"]
        copies += [f"{source}:{target}" for source, target in (more or {}).items()]
        shell = ["bash", "--norc"]
        if INSIDE:
            for source, target in (c.split(":") for c in copies):
                subprocess.run(["cp", "-a", "-T", source, target], check=True)
        else:
            shell = [LAB, "--net", "--timeout", str(timeout), *[a for c in copies for a in ("--copy", c)], "--", *shell]
        self.process = subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")

    def run(self, command, check=True):
        self.process.stdin.write(f"( {command}\n) </dev/null 2>&1; set -- $?; echo; echo =-= $1\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line.startswith("=-= "):
                text = "\n".join(lines).rstrip("\n")
                assert not check or line == "=-= 0\n", f"{command}\n{text}"
                return text
            lines.append(line.rstrip("\n"))
        raise AssertionError(f"the system is gone, at: {command}\n" + "\n".join(lines))

    def write(self, path, text):
        self.run(f"mkdir -p {os.path.dirname(path)}; printf %s {shlex.quote(text)} >{path}")

    def until(self, what, condition):
        deadline = time.monotonic() + PATIENCE
        while not (result := condition()):
            assert time.monotonic() < deadline, f"in vain: {what}\n" + self.run("systemctl status suntapd; journalctl -n 30 "
                                                                               "--no-pager", check=False)
            time.sleep(0.1)
        return result

    def show(self, name):
        return self.run(f"systemctl show -P {name} suntapd")

    def status(self, pattern):
        return self.until(f"status {pattern}", lambda: re.search(pattern, self.show("StatusText")))

    def journal(self, *matches):
        self.run("journalctl --sync")
        text = self.run("journalctl -o json --all --no-pager -q " + " ".join(matches), check=False)
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def of_kind(self, kind):
        return self.journal(f"MESSAGE_ID={MESSAGE_ID[kind]}")

    def converse(self, segments, port=10000):
        """A device and a cloud play this conversation through the gateway; each side's account of it."""
        plan = [{"case": "-", "device": "192.168.50.2", "cloud": CLOUD, "port": port, "segments": segments}]
        self.write("/run/plan.json", json.dumps(plan))
        text = self.run(
            "coproc cloud { ip netns exec cloud /usr/bin/python3 -B /opt/player.py cloud /run/plan.json; }\n"
            "read -r ready <&${cloud[0]}; exec 5<&${cloud[0]}\n"
            "ip netns exec inverter /usr/bin/python3 -B /opt/player.py device /run/plan.json && cat <&5")
        device, cloud = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return device, cloud

    def close(self):
        reports = [e["MESSAGE"] for e in self.journal() if re.search(REPORT, str(e.get("MESSAGE")))]
        self.process.stdin.close()
        self.process.wait(30)
        assert not reports, "\n".join(reports)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    make("install", f"DESTDIR={root}")
    return root


@pytest.fixture(scope="module")
def system(installed):
    s = System(installed)
    s.run("systemd-sysusers && journalctl --update-catalog && mkdir -p /var/log/journal")
    s.write("/etc/systemd/system/suntapd.service.d/test.conf", DROP_IN)
    s.write("/etc/suntap/suntap.ini", GOOD)
    s.run("systemctl daemon-reload && systemctl start suntapd")
    yield s
    s.close()


def vector(name):
    with open(os.path.join(TOP, "tests/vectors", name + ".txt"), encoding="utf-8") as f:
        lines = f.read().split("\n---")[0].splitlines()
    return [[line[0], line[2:]] for line in lines if line[:2] in ("> ", "< ")]


# ---------------------------------------------------------------- the tests
def test_unit_is_exposed_little(system):
    """At most 1.5: where it is more, the command fails."""
    print(system.run("systemd-analyze security --no-pager --threshold=15 suntapd | tail -n 1; exit ${PIPESTATUS[0]}"))


def test_unit_is_without_fault(system):
    assert "suntapd.service" not in system.run("systemd-analyze verify --man=no suntapd.service", check=False)


def test_runs_with_one_capability_and_the_decoder_with_none(system):
    assert system.show("ActiveState") == "active"
    assert system.status(r"^0 flows of at most \d+, 0 readings$")
    main = system.show("MainPID")
    child = system.run(f"cat /proc/{main}/task/{main}/children").split()[0]
    of = {}
    for pid in main, child:
        of[pid] = dict(line.split(":\t", 1) for line in system.run(f"cat /proc/{pid}/status").splitlines() if ":\t" in line)
        assert of[pid]["Uid"].split()[0] == system.run("id -u suntap")
        assert of[pid]["NoNewPrivs"] == "1"
    assert int(of[main]["CapEff"], 16) == int(of[main]["CapBnd"], 16) == 1 << 12      # CAP_NET_ADMIN
    assert [int(of[child][c], 16) for c in ("CapEff", "CapPrm", "CapAmb")] == [0, 0, 0]
    assert of[child]["Seccomp"] == "2"
    assert system.run(f"cat /proc/{child}/oom_score_adj") == "1000"


def test_reading_of_a_captured_frame(system):
    device, cloud = system.converse(vector("solarman-v5/4210-data-02b0"))
    assert device["sent"] == cloud["received"] and cloud["peer"] == "203.0.113.1"
    entry = system.until("a reading", lambda: system.journal("-t suntap", f"SUNTAP_SERIAL={SERIAL}"))[-1]
    assert entry["MESSAGE_ID"] == MESSAGE_ID["READING"]
    assert (entry["SUNTAP_DEVICE"], entry["SUNTAP_PROTOCOL"], entry["SOLAR_AC_POWER"]) == ("roof", "solarman-v5", "165.8")
    assert entry["_SYSTEMD_UNIT"] == "suntapd.service"
    assert system.status(", 1 reading$")


def test_journalctl_explains(system):
    system.until("the end of the flow", lambda: system.of_kind("FLOW_CLOSED"))
    text = system.run("journalctl -x -t suntap --no-pager")
    for subject in ("roof has opened a connection", "A reading of roof", "A connection of roof has ended"):
        assert f"Subject: {subject}" in text
    assert "suntap.journal-fields(7)" in text and not re.search(r"@SUNTAP_\w+@", text)


def test_reload_with_a_good_configuration(system):
    system.write("/etc/suntap/suntap.ini", BETTER)
    system.run("systemctl reload suntapd")
    system.until("the reload", lambda: system.of_kind("CONFIG_RELOADED"))
    assert "192.168.50.3" in system.run("nft list table inet suntap")


def test_reload_with_a_bad_configuration(system):
    before = system.run("nft -s list table inet suntap")
    pid = system.show("MainPID")
    system.write("/etc/suntap/suntap.ini", BAD)
    system.run("systemctl reload suntapd")
    entry = system.until("the refusal", lambda: system.of_kind("CONFIG_REFUSED"))[-1]
    assert re.search(r"suntap\.ini:4: prots: .*ports", entry["MESSAGE"]) and entry["PRIORITY"] == "3"
    assert system.run("nft -s list table inet suntap") == before
    assert (system.show("ActiveState"), system.show("MainPID")) == ("active", pid)
    system.write("/etc/suntap/suntap.ini", GOOD)


def test_decoder_killed(system):
    system.run("kill -SEGV $(pgrep -x suntap-decoder)")
    entry = system.until("a new decoder", lambda: system.of_kind("DECODER_RESTARTED"))[-1]
    assert entry["SUNTAP_RESTARTS"] == "1" and entry["SYSLOG_IDENTIFIER"] == "suntap"
    system.until("it", lambda: system.run("pgrep -x suntap-decoder", check=False))
    count = len(system.of_kind("READING"))
    system.converse(vector("solarman-v5/4210-data-02b0"))
    system.until("its reading", lambda: len(system.of_kind("READING")) > count)


def simulate(system, *options):
    """A simulated device to its simulated cloud, through the gateway; the journal's readings of it."""
    serial = "Y17E000000000009"
    command = " ".join(["ip netns exec inverter suntap sim device solarman-v5 --interval 0.2 --to", CLOUD, "--serial", serial,
                        *options])
    system.run(f"ip netns exec cloud timeout 60 suntap sim cloud solarman-v5 --listen {CLOUD} --count 1 >/dev/null 2>&1 & "
               f"sleep 0.5; timeout 30 {command} && wait")
    return lambda: system.journal("-t suntap", f"SUNTAP_SERIAL={serial}")


def seconds(text):
    return time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))


def test_clock_that_is_wrong(system):
    """Kept records carry the time by a right clock, and what is known of the clock outlives a restart."""
    began = seconds(system.run("date -u +%FT%TZ"))
    readings = simulate(system, "--clock-error -4000 --backfill 3 --count 2")
    rows = system.until("five readings", lambda: readings() if len(readings()) == 5 else None)
    for row in rows:
        told, true = seconds(row["SUNTAP_TIME_RAW"]), seconds(row["SUNTAP_TIME"])
        assert abs(true - told - 4000) <= 3 and row["SUNTAP_TIME_SOURCE"] in ("corrected", "arrival")
        assert abs(float(row["SUNTAP_CLOCK_OFFSET"]) + 4000) <= 3
        assert (row.get("SUNTAP_HISTORIC") == "1") == (true < began - 1000)
    assert [row.get("SUNTAP_HISTORIC", "0") for row in rows] == ["0", "1", "1", "1", "0"]
    assert system.run("stat -c '%U %a %s' /var/lib/suntap/decoder.state") == f"suntap 600 {512 * 1024}"
    for how in "kill -SEGV $(pgrep -x suntap-decoder)", "systemctl restart suntapd":
        told = "'MESSAGE=2 devices are known from before'"      # the captured one and this
        count = len(system.journal("-t suntap", told))
        system.run(how)
        system.until("what was known", lambda n=count, t=told: len(system.journal("-t suntap", t)) > n)
    system.run("systemctl stop suntapd; printf x | dd of=/var/lib/suntap/decoder.state bs=1 seek=1500 conv=notrunc status=none; "
               "systemctl start suntapd")
    system.until("a complaint", lambda: [e for e in system.journal("-t suntap") if "makes no sense: ignoring" in e["MESSAGE"]])
    assert system.show("ActiveState") == "active"


@pytest.mark.parametrize("how", ["watchdog", "killed"])
def test_comes_back(system, how):
    pid = system.show("MainPID")
    system.run(f"kill -{'STOP' if how == 'watchdog' else 'KILL'} {pid}")
    system.until("another process", lambda: system.show("MainPID") not in (pid, "0") and
                 system.show("ActiveState") == "active")
    lines = system.run("journalctl -u suntapd _PID=1 --no-pager -o cat")
    assert ("watchdog" if how == "watchdog" else "status=9/KILL") in lines
    system.status("^0 flows")
    _, cloud = system.converse(vector("solarman-v5/4710-heartbeat"))
    assert cloud["peer"] == "203.0.113.1"


def test_stop_leaves_nothing(system):
    system.run("systemctl stop suntapd")
    assert system.show("Result") == "success"
    assert "suntap" not in system.run("nft list ruleset")
    assert "fwmark" not in system.run("ip rule; ip -6 rule")
    assert system.run("pgrep -f suntap", check=False) == ""
    _, cloud = system.converse(vector("solarman-v5/4710-heartbeat"))
    assert cloud["peer"] == "192.168.50.2"


@pytest.mark.parametrize("text", [BAD, None])
def test_does_not_start_with_a_bad_configuration(system, text):
    system.run("systemctl stop suntapd; systemctl reset-failed suntapd", check=False)
    if text:
        system.write("/etc/suntap/suntap.ini", text)
    else:
        system.run("rm /etc/suntap/suntap.ini")
    since = system.run("date +%s.%N")
    assert "suntapd" in system.run("systemctl start suntapd", check=False)
    assert (system.show("ActiveState"), system.show("ExecMainStatus")) == ("failed", "78")
    assert "suntap" not in system.run("nft list ruleset")
    # of a process that has ended journald may not have learnt the name: the unit has to do
    assert "/etc/suntap/suntap.ini" in system.run(f"journalctl --sync; journalctl -u suntapd --since @{since} --no-pager -o cat")


# ---------------------------------------------------------------- install, without a system
def test_uninstall_leaves_nothing(tmp_path):
    make("install", f"DESTDIR={tmp_path}")
    assert "usr/sbin/suntapd" in files_below(tmp_path)
    assert os.path.isdir(tmp_path / "etc/suntap/maps")
    make("uninstall", f"DESTDIR={tmp_path}")
    assert files_below(tmp_path) == []
    assert not [at for at, _, _ in os.walk(tmp_path) if "suntap" in os.path.relpath(at, tmp_path)]


def test_uninstall_leaves_what_is_the_owners(tmp_path):
    make("install", f"DESTDIR={tmp_path}")
    (tmp_path / "etc/suntap/suntap.ini").write_text(GOOD)
    make("uninstall", f"DESTDIR={tmp_path}")
    assert files_below(tmp_path) == ["etc/suntap/suntap.ini"]
