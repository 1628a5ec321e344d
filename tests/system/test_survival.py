# SPDX-License-Identifier: GPL-2.0-or-later
"""No byte is lost when suntapd is killed, restarted or hangs in the middle of transfers: a real systemd with its file
descriptor store, the real rules, transfers both ways at once that are checked byte for byte at both ends.

SUNTAP_SOAK=N does N times the kills (500 and more with 25: `make soak SUNTAP_SOAK=25`)."""
import json
import os
import random
import re
import time

import pytest

from test_service import BUILD, INSIDE, SERVICE, System, make

SOAK = int(os.environ.get("SUNTAP_SOAK", "1"))
SLOW = 20 if INSIDE else 1      # an emulated processor
INI = "[device roof]\nsource = 192.168.50.0/24\nports = 5001\nmax_flows = 5000\n"
CLIENT = "ip netns exec inverter /opt/peer client --timeout 120 {options} 203.0.113.10 5001"


def bulk(size, rate):
    return f"--flows 8 --bytes {size // SLOW} --exact --read-rate {rate // SLOW}"


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    make("install", f"DESTDIR={root}")
    os.makedirs(root / "etc" / "suntap", exist_ok=True)
    s = System(root, {os.path.join(BUILD, "tests", "peer"): "/opt/peer"}, timeout=600 + 60 * SOAK)
    s.run("systemd-sysusers")
    # a test does not wait 30 s for the watchdog
    s.write("/etc/systemd/system/suntapd.service.d/test.conf", SERVICE + "WatchdogSec=2\nTimeoutAbortSec=1\n")
    s.write("/etc/suntap/suntap.ini", INI)
    s.run("systemctl daemon-reload && systemctl start suntapd")
    s.run("ip netns exec cloud /opt/peer server --flows 0 --timeout 100000 203.0.113.10 5001 >/run/server.json 2>&1 &")
    s.until("the cloud", lambda: ":5001" in s.run("ip netns exec cloud ss -Hltn"))
    yield s
    s.close()


def transfer(s, options, disturb, at_least):
    """Transfers, one set after the other, with disturb() in between until it was done so often; returns their reports."""
    done, reports = 0, []
    while done < at_least:
        s.run(f"rm -f /run/client.done; ({CLIENT.format(options=options)} >/run/client.json 2>&1; touch /run/client.done) "
              "</dev/null >/dev/null 2>&1 &")
        deadline = time.monotonic() + 120
        while s.run("test -e /run/client.done && echo done", check=False) != "done":
            assert time.monotonic() < deadline, "the transfer hangs: " + s.run("systemctl status suntapd", check=False)
            time.sleep(random.uniform(0, 0.08))
            disturb(s)
            done += 1
            s.run("for i in $(seq 200); do [ $(systemctl show -P SubState suntapd) = running ] && exit; sleep 0.02; done; exit 1")
        reports.append(json.loads(s.run("cat /run/client.json").splitlines()[-1]))
        if reports[-1]["ok"] != reports[-1]["flows"]:
            print(s.run("journalctl --sync; journalctl --no-pager -o short-monotonic -n 60 -u suntapd; cat /run/client.json"))
            break
    return done, reports


def check(done, reports, what):
    sent, received = (sum(r[k] for r in reports) for k in ("sent", "received"))
    print(f"{what}: {done} times, {sum(r['flows'] for r in reports)} flows, {sent} bytes up, {received} down")
    assert sum(r["mismatches"] for r in reports) == 0
    assert all(r["ok"] == r["flows"] for r in reports), reports
    assert sent > 200_000       # their lengths are random


def kill(s):
    # it may be between two lives
    s.run("systemctl kill --signal=KILL --kill-who=main suntapd", check=False)


def restart(s):
    s.run("systemctl restart suntapd")


def hang(s):
    pid = s.show("MainPID")
    s.run(f"[ {pid} = 0 ] || kill -STOP {pid}")
    s.until("the watchdog", lambda: s.show("MainPID") not in (pid, "0"))


def systemd_anew(s):
    """systemd itself starts again, or reads its units again, and keeps what it keeps for us."""
    s.run(random.choice(["systemctl daemon-reexec", "systemctl daemon-reload"]))
    kill(s)


def test_kill_9_in_the_middle_of_transfers(system):
    done, reports = transfer(system, bulk(60_000_000, 15_000_000), kill, 20 * SOAK)
    check(done, reports, "kill -9")


def test_restart_in_the_middle_of_transfers(system):
    done, reports = transfer(system, bulk(60_000_000, 15_000_000), restart, 10 * SOAK)
    check(done, reports, "systemctl restart")


def test_watchdog_in_the_middle_of_transfers(system):
    done, reports = transfer(system, bulk(40_000_000, 8_000_000), hang, 1 * SOAK)
    check(done, reports, "hang")


def test_kills_while_systemd_itself_starts_again(system):
    done, reports = transfer(system, bulk(40_000_000, 8_000_000), systemd_anew, 3 * SOAK)
    check(done, reports, "daemon-reexec or daemon-reload, and kill -9")


# What Debian's /etc/nftables.conf begins with, and what a router has in it; suntap's mark is let in.
NFTABLES_CONF = """#!/usr/sbin/nft -f
flush ruleset
table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		iif lo accept
		ct state established,related accept
		meta mark and 0x20000000 == 0x20000000 accept
	}
	chain forward { type filter hook forward priority filter; policy drop; iifname lan0 accept; ct state established,related accept; }
}
table ip nat {
	chain postrouting { type nat hook postrouting priority srcnat; oifname wan0 masquerade; }
}
"""


def restart_nftables(s):
    s.run("systemctl reset-failed nftables; systemctl restart nftables")


def test_nftables_restarted_in_the_middle_of_transfers(system):
    """systemctl restart nftables, with a file that flushes the ruleset: it does not touch what is ours, and no flow notices."""
    system.write("/etc/nftables.conf", NFTABLES_CONF)
    # a connection that goes straight is the kernel's, and reset when a firewall begins to translate its address in the middle
    system.until("a suntapd that takes connections", lambda: system.run(
        "kill -0 $(systemctl show -P MainPID suntapd) && nft list table inet suntap | grep -c tproxy", check=False) not in ("", "0"))
    done, reports = transfer(system, bulk(20_000_000, 5_000_000), restart_nftables, 10 * SOAK)
    check(done, reports, "systemctl restart nftables")
    assert system.of_kind("RULES_REPAIRED") == system.of_kind("RULES_CONFLICT") == []
    # and new connections are taken
    taken = int(re.search(r"chain arrived.*?packets (\d+)", system.run("nft list table inet suntap"), re.S).group(1))
    system.run("ip netns exec inverter /opt/peer client --flows 3 --bytes 1000 203.0.113.10 5001")
    assert int(re.search(r"chain arrived.*?packets (\d+)", system.run("nft list table inet suntap"), re.S).group(1)) == taken + 3
    system.run("systemctl stop nftables; nft flush ruleset")


def test_half_closed_flows_live_on(system):
    """Half-closes at random points, small writes with pauses, while suntapd dies again and again."""
    done, reports = transfer(system, "--flows 40 --bytes 200000 --chunk 2000 --pause 20", kill, 5 * SOAK)
    check(done, reports, "kill -9 with half-closes")


def test_a_stop_leaves_nothing(system):
    # one that was killed last, and not started again yet, could not take anything away
    system.until("a living suntapd", lambda: system.run(
        "systemctl start suntapd; grep -qx suntapd /proc/$(systemctl show -P MainPID suntapd)/comm && echo yes", check=False) == "yes")
    system.run("systemctl stop suntapd")
    assert "suntap" not in system.run("nft list ruleset; ip rule; ip -6 rule; ip route show table all")
    assert system.show("NFileDescriptorStore") == "0"
