# SPDX-License-Identifier: GPL-2.0-or-later
"""rules.c and route.c against the kernel, in namespaces: what is installed, survives, is repaired, is removed.

Each lab_… function runs on the gateway of a net-lab of its own, as `test_rules.py NAME BUILD`; suntapd is stood
in for by rules_holder.c, which is those two files and nothing else.
"""
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading

from lab import Manager

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(TOP, os.environ.get("BUILD", "build"))
IP_TRANSPARENT, IPV6_TRANSPARENT, SO_REUSEADDR = 19, 75, 2
INVERTER, CLOUD, CLOUD6, GATEWAY = "192.168.50.2", "203.0.113.10", "fd00:113::10", "192.168.50.1"
LOGGER = "[device logger]\nsource = 192.168.50.2, fd00:50::2\nports = 10000\n"
RICH = """
[device roof-east]
source = 192.168.50.2, 10.0.0.0/8, 10.1.0.0/16, 11.0.0.0/25, 11.0.0.128/25, fd00:50::2, fd00:51::/64,
 255.0.0.0/8, 02:00:00:00:00:01
interface = lan0
preset = tsun
[device any]
ports = 7777
[device everything]
ports = 3
source = 0.0.0.0/0 ::/0
[device mac]
ports = 4
source = 02:00:00:00:00:02 02:00:00:00:00:03
[device ip]    ; a word of nft's language
ports = 5
source = 10.0.0.1
"""


# ---------------------------------------------------------------- small tools
def run(command, check=True):
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def config(text):
    with tempfile.NamedTemporaryFile("w", suffix=".ini", delete=False, dir="/run") as f:
        f.write(text)
    return f.name


class Holder:
    """A rules_holder; self.result, self.why are what its install said. What one has stored, the next one gets."""

    manager = None

    def __init__(self, text, prefix=(), by_hand=False, **env):
        if not Holder.manager:
            Holder.manager = Manager(f"/run/notify-{os.getpid()}")
            Holder.manager.keep = True
        arrange, store, high = Holder.manager.hand_over() if not by_hand else (None, {}, [])
        self.process = subprocess.Popen(["sh", "-c", 'LISTEN_PID=$$ exec "$0" "$@"', *prefix, os.path.join(BUILD, "rules_holder"),
                                         config(text)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False,
                                        preexec_fn=arrange,
                                        env={**os.environ, "NOTIFY_SOCKET": Holder.manager.path, **store, **env})
        for fd in high:
            os.close(fd)
        self.result, self.why = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        assert line, "the holder is gone"
        number, text = line.rstrip("\n").split(" ", 1)
        return int(number), text

    def __call__(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answer()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self):
        self.process.stdin.close()
        assert self.process.wait() == (1 if self.result < 0 else 0)


def good(text, **env):
    holder = Holder(text, **env)
    assert (holder.result, holder.why) == (0, "")
    return holder


def tables():
    return sorted(re.findall(r"table (\S+ \S+)", run("nft list tables")))


def rules(family=""):
    return [line for line in run(f"ip {family} rule").splitlines() if "lookup 7860" in line]


def routes(family=""):
    return run(f"ip {family} route show table 7860 2>/dev/null", check=False).split("\n")[:-1]


def all_there():
    return (tables() == ["inet suntap", "inet suntap_live"] and
            all(len(rules(f)) == 1 and len(routes(f)) == 1 for f in ("-4", "-6")))


def nothing_there():
    return tables() == [] and not any(rules(f) or routes(f) for f in ("-4", "-6"))


def state():
    """All that anybody could change, for `nothing was changed`."""
    return run("nft -s list ruleset; ip rule; ip -6 rule; ip route show table all; ip -6 route show table all")


def listing():
    """The rules without handles, numbers of packets and the owner. Not as JSON: nft 1.0.6 has no word for a table's flag
    "owner" there, and prints what lies behind its words, which may end the output."""
    return re.sub(r" # progname \w+|\tflags owner\n\n?", "", run("nft -s list ruleset")).strip()


def bytecode():
    """What the kernel holds, below nft's words: the expressions of each rule."""
    lines = run("nft --debug=netlink list ruleset").splitlines()
    return [re.sub(r"pkts \d+ bytes \d+", "", line) for line in lines if line.startswith("  [ ")]


# ---------------------------------------------------------------- traffic
def transparent_listener(address, port=17860):
    family, level, option = ((socket.AF_INET6, socket.IPPROTO_IPV6, IPV6_TRANSPARENT) if ":" in address else
                             (socket.AF_INET, socket.IPPROTO_IP, IP_TRANSPARENT))
    s = socket.socket(family)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(level, option, 1)
    s.bind((address, port))
    s.listen()
    s.settimeout(3)
    return s


CLIENT = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)
print("connected", flush=True)
for line in sys.stdin:
    s.sendall(line.encode())
    print(s.recv(100).decode().strip(), flush=True)
"""
SERVER = """
import socket, sys, threading
def serve(s):
    while (data := s.recv(100)):
        s.sendall(b"cloud " + data)
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("::", int(sys.argv[1])))
s.listen()
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""


def in_host(host, program, *args):
    return subprocess.Popen(["ip", "netns", "exec", host, sys.executable, "-c", program, *map(str, args)], text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def cloud(port):
    server = in_host("cloud", SERVER, port)
    assert server.stdout.readline() == "ready\n"


def connect(to, port):
    client = in_host("inverter", CLIENT, to, port)
    assert client.stdout.readline() == "connected\n"
    return client


def exchange(client, text):
    client.stdin.write(text + "\n")
    client.stdin.flush()
    return client.stdout.readline().strip()


def echo(sock):
    def serve():
        while data := sock.recv(100):
            sock.sendall(b"suntap " + data)
    sock.settimeout(None)
    threading.Thread(target=serve, daemon=True).start()


# ---------------------------------------------------------------- what is installed
def lab_printed_is_installed():
    """The text of --print-rules and the messages of libnftnl make the same of the kernel."""
    with open(f"{TOP}/config.example.ini", encoding="utf8") as f:
        example = f.read()
    for text in (RICH, example, LOGGER, RICH + "[suntapd]\nmark = 0x10\ntproxy_port = 999\n",
                 LOGGER + "[suntapd]\nmark = 0x120/0xff0\n"):
        holder = good(text)
        installed, installed_code = listing(), bytecode()
        holder.end()
        with open("/run/printed.nft", "w", encoding="utf8") as f:
            f.write(run(f"{BUILD}/rules_holder --print {config(text)}"))
        assert nothing_there()
        for _ in range(2):      # it may be loaded again
            run("nft -f /run/printed.nft")
            again = listing()
            assert again == installed, f"{again}\n{installed}"
            assert bytecode() == installed_code
        run("nft flush ruleset")


def lab_example_file():
    """nft/suntap.nft is what --print-rules says of config.example.ini, and its commands make the policy route."""
    with open(f"{TOP}/nft/suntap.nft", encoding="utf8") as f:
        text = f.read()
    assert text == run(f"{BUILD}/rules_holder --print {TOP}/config.example.ini")
    run(f"nft -c -f {TOP}/nft/suntap.nft")
    for command in re.findall(r"^#\t(ip .*)$", text, re.M):
        run(command)
    assert all(len(rules(f)) == 1 and len(routes(f)) == 1 for f in ("-4", "-6"))


def lab_traffic():
    """New connections come to the listener with their destination; what is not asked for does not."""
    mac = json.loads(run("ip -n inverter -j link show eth0"))[0]["address"]
    listeners = [transparent_listener("127.0.0.1"), transparent_listener("::1")]
    run("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.lan0.rp_filter=1")
    cloud(10000)
    cloud(10001)
    for source in ("192.168.50.2 fd00:50::2", "192.168.50.0/24 fd00:50::/64", mac, "0.0.0.0/0 ::/0", None):
        holder = good(f"[device x]\nports = 9999 10000\ninterface = lan0\n{f'source = {source}' if source else ''}\n")
        for listener, to in zip(listeners, (CLOUD, CLOUD6)):
            client = connect(to, 10000)
            flow, peer = listener.accept()
            assert flow.getsockname()[:2] == (to, 10000)
            assert peer[0] in (INVERTER, "fd00:50::2")
            echo(flow)
            assert exchange(client, "hello") == "suntap hello"
            flow.shutdown(socket.SHUT_RDWR)
            client.kill()
            other = connect(to, 10001)
            assert exchange(other, "hello") == "cloud hello"
            other.kill()
        holder.end()
    # other interface, other source; and the gateway's own port 10000 is nobody's cloud
    for text in ("source = 192.168.50.2\ninterface = wan0", "source = 192.168.50.3, 02:00:00:00:00:01"):
        holder = good(f"[device x]\nports = 10000\n{text}\n")
        client = connect(CLOUD, 10000)
        assert exchange(client, "hello") == "cloud hello"
        holder.end()
    holder = good(LOGGER)
    own = socket.create_server((GATEWAY, 10000))
    own.settimeout(3)
    client = connect(GATEWAY, 10000)
    own.accept()
    holder.end()


def lab_untouched_marks():
    """Only the bits of the mask are changed."""
    run("""nft 'table inet other { chain a { type filter hook prerouting priority -200; meta mark set 0x12345678; }
           chain b { type filter hook prerouting priority -50; meta mark 0x12345f78 counter accept; }; }'""")
    listener = transparent_listener("127.0.0.1")
    holder = good(LOGGER + "[suntapd]\nmark = 0xf00/0xf00\n")
    connect(CLOUD, 10000)
    listener.accept()
    assert re.search(r"0x12345f78 counter packets [1-9]", run("nft list table inet other"))
    holder.end()


# ---------------------------------------------------------------- dying and coming back
def lab_killed():
    """kill -9: no new connection is intercepted, those that exist live; the next start takes over."""
    cloud(10000)
    listener = transparent_listener("127.0.0.1")
    holder = good(LOGGER)
    client = connect(CLOUD, 10000)
    flow, _ = listener.accept()
    echo(flow)
    assert exchange(client, "a") == "suntap a"
    holder.kill()
    assert tables() == ["inet suntap_live"]
    # A changed route empties the caches by which a flow could live without the table.
    run("ip route add 198.51.100.0/24 dev lo; sysctl -qw net.ipv4.ip_early_demux=0")
    assert exchange(client, "b") == "suntap b"
    straight = connect(CLOUD, 10000)
    assert exchange(straight, "c") == "cloud c"

    holder = good(LOGGER)
    assert all_there()
    assert exchange(client, "d") == "suntap d"
    assert exchange(straight, "e") == "cloud e"
    again = connect(CLOUD, 10000)
    flow2, _ = listener.accept()
    assert flow2.getsockname() == (CLOUD, 10000)
    again.kill()
    holder.end()
    assert nothing_there()


def lab_started_by_hand_meanwhile():
    """Beside a systemd that keeps the flows of one that was killed: refused, and nothing is taken from it."""
    good(LOGGER).kill()
    before = state()
    holder = Holder(LOGGER, by_hand=True)
    assert holder.result == -16 and "systemctl stop suntapd" in holder.why, holder.why
    holder.end()
    assert state() == before
    holder = good(LOGGER)
    assert all_there()
    holder.end()
    assert nothing_there()


def lab_other_leftovers():
    """Leftovers of another configuration of ours are recognised by the protocol number."""
    holder = good(LOGGER + "[suntapd]\nmark = 0x8/0x8\nroute_table = 1234\nrule_priority = 99\n")
    holder.kill()
    assert "lookup 1234" in run("ip rule") and "0x00000008" in run("nft list ruleset")
    holder = good(LOGGER)
    assert all_there()
    assert "1234" not in run("ip rule; ip -6 rule; ip route show table all; ip -6 route show table all")
    assert "0x00000008" not in run("nft list ruleset")
    holder.end()
    assert nothing_there()


def lab_removed():
    """Everything is removed; or all but what existing flows need."""
    before = state()
    holder = good(RICH)
    assert all_there()
    assert holder("remove") == (0, "")
    assert state() == before
    holder.end()
    holder = good(RICH)
    assert holder("keep") == (0, "")
    assert tables() == ["inet suntap_live"] and len(rules()) == 1 and len(routes("-6")) == 1
    holder.end()
    # a configuration that needs no rules cleans up behind one that did
    holder = good("[device x]\nway = redirect\nlisten = :5\n")
    assert state() == before
    holder.end()


def lab_not_needed():
    """Where no device needs rules there is nothing to install, and no capability to have."""
    before = state()
    holder = Holder("[device x]\nway = redirect\nlisten = :5\n", prefix=WITHOUT_CAPABILITY)
    assert (holder.result, holder.why) == (0, "")
    assert state() == before
    assert holder("wait 0") == (0, "") and holder("repair") == (0, "")
    holder.end()
    # and a reload may bring the first that does
    holder = good("[device x]\nway = redirect\nlisten = :5\n")
    assert holder("update " + config(LOGGER)) == (0, "")
    assert all_there()
    holder("repair")
    run("ip rule del priority 786")
    assert holder("wait 1000") == (1, "") and holder("repair")[0] == 1
    holder.end()
    assert state() == before
    # the cloud's answers to the device's own address need the live table, however the device came
    holder = good("[device x]\nway = redirect\nlisten = :5\nkeep_source = yes\n")
    assert all_there()
    holder.end()


# ---------------------------------------------------------------- others at work
def lab_repaired():
    """What others remove is put back, once, and our own doing is not taken for theirs."""
    holder = good(LOGGER)
    holder("repair")
    assert holder("wait 100") == (0, "")
    for damage, what in (
            ("ip rule del fwmark 0x20000000/0x20000000", "the policy route (IPv4)"),
            ("ip -6 rule del priority 786", "the policy route (IPv6)"),
            ("ip route flush table 7860", "the policy route (IPv4)"),
            ("ip -6 route flush table 7860", "the policy route (IPv6)"),
            ("ip link set lo down; ip link set lo up", "the policy route (IPv6)"),
            ("ip rule del priority 786; ip -6 route flush table 7860", "the policy route (IPv4), the policy route (IPv6)")):
        intact = state()
        run(damage)
        assert state() != intact or "lo down" in damage, damage
        assert holder("wait 1000") == (1, ""), damage
        assert holder("repair") == (1, what), damage
        assert re.sub(r"table inet suntap \{.*?\n\}\n", "", state(), flags=re.S) == \
            re.sub(r"table inet suntap \{.*?\n\}\n", "", intact, flags=re.S), damage
        assert all_there(), damage
        assert holder("wait 100") == (0, ""), damage
        assert holder("repair") == (0, "")
    holder.end()
    assert nothing_there()


def lab_foreign_changes():
    """Other people's rules and routes are not touched, and not taken for ours."""
    foreign = ("nft add table inet other; nft add chain inet other prerouting; ip rule add fwmark 1/1 lookup 100 priority 77; "
               "ip route add 10.9.0.0/16 dev lan0 table 100; ip route add 10.9.0.0/16 dev lan0")
    run(foreign)
    before = state()
    holder = good(LOGGER)
    holder("repair")
    run("nft delete table inet other; ip rule del fwmark 1/1; ip route del 10.9.0.0/16 dev lan0; "
        "ip route flush table 100")
    assert holder("wait 1000")[0] == 1      # looked at …
    assert holder("repair") == (0, "")      # … and left
    assert holder("wait 100") == (0, "")
    run(foreign)
    holder.end()
    assert state() == before


def lab_contested():
    """A program that removes our rule again at once is not fought without end, but we do not give up for good."""
    holder = good(LOGGER, **PRELOAD)
    holder("repair")
    with open("/run/adversary", "w", encoding="utf8") as f:
        f.write("#!/bin/sh\nip rule del priority 786\n")
    os.chmod("/run/adversary", 0o755)
    for _ in range(3):
        run("ip rule del priority 786; ip rule add lookup main priority 787", check=False)
        assert holder("wait 1000") == (1, "")
        result, why = holder("repair")
        assert result == -11 and "gone again at once" in why
        assert holder("wait 100") == (0, "")
        run("ip rule add fwmark 0x20000000/0x20000000 lookup 7860 priority 786 protocol 78; ip rule del priority 787")
    os.unlink("/run/adversary")
    run("ip rule del priority 786")
    assert holder("wait 1000") == (1, "")
    assert holder("repair") == (1, "the policy route (IPv4)")
    assert all_there()
    holder.end()


def lab_protected():
    """Others can not change our tables."""
    holder = good(LOGGER)
    intact = state()
    for command in ("nft delete table inet suntap", "nft flush chain inet suntap prerouting",
                    "nft add rule inet suntap prerouting drop", "nft flush set inet suntap logger_ports",
                    "nft delete table inet suntap_live", "nft flush chain inet suntap_live prerouting",
                    "nft insert rule inet suntap_live prerouting drop", "nft 'add table inet suntap_live { flags dormant; }'"):
        run(f"! {command}")
    run("nft flush ruleset")
    assert state() == intact and "tproxy" in run("nft list table inet suntap")
    holder.end()


# ---------------------------------------------------------------- changes
def lab_updated():
    """A reload changes the device rules at once; flows go on."""
    listener = transparent_listener("127.0.0.1")
    cloud(10000)
    cloud(10001)
    holder = good(LOGGER)
    holder("repair")
    client = connect(CLOUD, 10000)
    flow, _ = listener.accept()
    echo(flow)
    assert exchange(client, "a") == "suntap a"
    for text in (RICH, LOGGER.replace("10000", "10001"), LOGGER, RICH, "[device x]\nway = redirect\nlisten = :5\n",
                 LOGGER.replace("10000", "10001")):
        assert holder("update " + config(text)) == (0, "")
        assert exchange(client, "b") == "suntap b"
        assert all_there()
    updated = listing()
    straight = connect(CLOUD, 10000)
    assert exchange(straight, "c") == "cloud c"
    connect(CLOUD, 10001)
    assert listener.accept()[0].getsockname() == (CLOUD, 10001)
    assert holder("repair") == (0, "")
    before = state()
    for key in ("mark = 0x8/0x8", "route_table = 55", "rule_priority = 55", "tproxy_port = 55", "rules = manual"):
        assert holder("update " + config(f"{LOGGER}[suntapd]\n{key}\n")) == \
            (-22, f"{key.split()[0]} is another one now: that takes a restart")
    assert state() == before
    # what an update leaves is what a start makes
    holder.end()
    holder = good(LOGGER.replace("10000", "10001"))
    assert listing() == updated
    holder.end()


def lab_failed_update():
    """A kernel that refuses the new rules keeps the old ones."""
    holder = good("[device x]\nway = redirect\nlisten = :5\nkeep_source = yes\n", **lacking("tproxy"))
    before = state()
    result, why = holder("update " + config(LOGGER))
    assert result == -2 and "this kernel has no TPROXY" in why
    assert state() == before
    holder.kill()


# ---------------------------------------------------------------- refusals
WITHOUT_CAPABILITY = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "--")


def lacking(expression):
    return {"LACKING": expression, **PRELOAD}


def refused(text, prefix=(), **env):
    """Nothing is changed, and what is said."""
    before = state()
    holder = Holder(text, prefix, **env)
    assert holder.result < 0
    holder.end()
    assert state() == before
    return holder.why


def lab_mark_in_use():
    for command, text in (
            ("ip rule add fwmark 0x20000000/0x20000000 lookup 100 priority 700", "700: fwmark 0x20000000/0x20000000 lookup 100"),
            ("ip rule add fwmark 0x20000001 lookup 100 priority 700", "700: fwmark 0x20000001/0xffffffff lookup 100"),
            ("ip -6 rule add fwmark 0x60000000/0x60000000 lookup 100 priority 700",
             "700: fwmark 0x60000000/0x60000000 lookup 100"),
            ("ip rule add not fwmark 0x20000000/0x20000000 lookup 100 priority 700",
             "700: not fwmark 0x20000000/0x20000000 lookup 100")):
        run(command)
        why = refused(LOGGER)
        assert "the packet mark 0x20000000/0x20000000 is in use by another program" in why and f'"{text}"' in why
        # the remedy is a mark that works
        remedy = re.search(r"`(mark = \S+)`", why).group(1)
        good(f"{LOGGER}[suntapd]\n{remedy}\n").end()
        run(command.replace("add", "del"))
    # wg-quick's, Tailscale's, mwan3's: no quarrel
    run("ip rule add not fwmark 0xca6c lookup 51820; ip rule add fwmark 0x80000/0xff0000 lookup main priority 5210; "
        "ip rule add fwmark 0x100/0x3f00 lookup 1")
    good(LOGGER).end()


def lab_table_in_use():
    run("ip route add 10.0.0.0/8 dev lan0 table 7860")
    why = refused(LOGGER)
    assert "routing table 7860 is in use by another program" in why and "`route_table =`" in why
    run("ip route flush table 7860; ip -6 rule add from fd00::/64 lookup 7860 priority 44")
    why = refused(LOGGER)
    assert "routing table 7860 is in use by another program" in why and '"44:' in why and "ip -6 rule" in why
    good(LOGGER + "[suntapd]\nroute_table = 7861\n").end()


def lab_two_of_us():
    holder = good(LOGGER)
    why = refused(LOGGER)
    assert re.search(rf"another suntapd is running \(process {holder.process.pid} owns the nftables table", why)
    assert holder("repair") == (0, "") and all_there()
    holder.end()


def lab_loaded_by_hand():
    run(f"nft -f {TOP}/nft/suntap.nft")
    why = refused(LOGGER)
    assert "was loaded by hand" in why and "`rules = manual`" in why and "nft delete table inet suntap" in why
    run("nft delete table inet suntap")
    good(LOGGER).end()


def lab_no_capability():
    why = refused(LOGGER, WITHOUT_CAPABILITY)
    assert "CAP_NET_ADMIN is missing" in why and "AmbientCapabilities=CAP_NET_ADMIN" in why and "as root" in why


def lab_lacking_kernel():
    for expression, what, remedy in (
            ("tproxy", "no TPROXY", "CONFIG_NFT_TPROXY"), ("socket", "no socket matching", "CONFIG_NFT_SOCKET"),
            ("fib", "no route lookups", "CONFIG_NFT_FIB_INET"), ("filter", "no nf_tables for inet", "CONFIG_NF_TABLES_INET")):
        why = refused(LOGGER, **lacking(expression))
        assert what in why and remedy in why and "`way = redirect`" in why, why
    # leftovers that flows live by are not taken away by a start that fails
    good(LOGGER).kill()
    refused(LOGGER, **lacking("tproxy"))
    assert tables() == ["inet suntap_live"] and len(rules()) == 1
    good(LOGGER).end()


# ---------------------------------------------------------------- the rest
def lab_without_ip6():
    run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1")
    before = state()
    holder = Holder(RICH)
    assert holder.result == 0 and "no IPv6" in holder.why
    text = run("nft list ruleset")
    assert "tproxy ip to" in text and "tproxy ip6" not in text
    assert len(rules("-4")) == 1 and not rules("-6")
    holder("repair")
    run("ip rule del priority 786")
    assert holder("wait 1000")[0] == 1 and holder("repair") == (1, "the policy route (IPv4)")
    holder.end()
    assert state() == before


def lab_manual():
    """rules = manual: nothing is installed or removed, and what is missing is said with its commands."""
    text = LOGGER + "[suntapd]\nrules = manual\n"
    before = state()
    for _ in range(2):
        holder = Holder(text)
        assert holder.result == 0 and "there is no policy route for the mark" in holder.why
        assert state() == before
        commands = holder.why.split(": ", 1)[1]
        holder.end()
        run(commands)
        before = state()
    run(f"nft -f {TOP}/nft/suntap.nft")
    before = state()
    holder = Holder(text, prefix=WITHOUT_CAPABILITY)
    assert (holder.result, holder.why) == (0, "")
    holder.end()
    assert state() == before


def lab_by_hand():
    """Rules that stay when suntapd is gone let new connections through, and serve it when it is back."""
    cloud(10000)
    with open("/run/printed.nft", "w", encoding="utf8") as f:
        f.write(run(f"{BUILD}/rules_holder --print {config(LOGGER)}"))
    run("nft -f /run/printed.nft; " + "; ".join(re.findall(r"^#\t(ip .*)$", run("cat /run/printed.nft"), re.M)))
    straight = connect(CLOUD, 10000)
    assert exchange(straight, "a") == "cloud a"
    listener = transparent_listener("127.0.0.1")
    assert exchange(straight, "b") == "cloud b"
    client = connect(CLOUD, 10000)
    flow, _ = listener.accept()
    echo(flow)
    assert exchange(client, "c") == "suntap c"


def lab_neighbours():
    holder = good(LOGGER)
    assert holder("mac 192.168.50.99") == (-2, "")
    run("ip netns exec inverter ping -c1 -W1 192.168.50.1; ip netns exec inverter ping -6 -c1 -W1 fd00:50::1")
    mac = json.loads(run("ip -n inverter -j link show eth0"))[0]["address"]
    for address in (INVERTER, "fd00:50::2", f"::ffff:{INVERTER}"):
        assert holder(f"mac {address}") == (0, mac)
    assert holder("mac 203.0.113.77") == (-2, "")
    holder.end()


def lab_many():
    """As much as a configuration may hold, in one transaction."""
    text = "".join(f"[device device-number-{i:017}]\nports = {' '.join(map(str, range(1, 17)))}\nsource =\n" +
                   "".join(f" 10.{i}.{j}.1 fd00:{i:x}:{j}::/64 02:00:00:00:{i:02x}:{j:02x}\n" for j in range(5))
                   for i in range(256))
    holder = good(text)
    assert run("nft list table inet suntap").count("tproxy") == 4 * 256
    assert holder("update " + config(text)) == (0, "")
    holder.end()
    assert nothing_there()


LABS = [name for name in list(globals()) if name.startswith("lab_")]

if __name__ == "__main__":
    BUILD = sys.argv[2]
    PRELOAD = {"LD_PRELOAD": os.path.join(BUILD, "lacking_kernel.so"),
               "ASAN_OPTIONS": "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")}
    globals()[sys.argv[1]]()
    sys.exit()

import pytest  # noqa: E402  (not needed, and not loaded, inside the lab)


@pytest.fixture(scope="session")
def holder_built():
    sanitize = [f"-fsanitize={os.environ['SANITIZE']}"] if os.environ.get("SANITIZE") else []
    cc = os.environ.get("CC", "gcc")
    subprocess.run(["make", "-s", "-C", TOP, f"{BUILD}/suntapd.a", f"{BUILD}/shared.a", f"BUILD={BUILD}",
                    *(f"SANITIZE={os.environ['SANITIZE']}" for _ in sanitize)], check=True)
    subprocess.run([cc, "-g", "-Wall", "-Wextra", "-D_GNU_SOURCE", f"-I{TOP}/src", *sanitize, f"{HERE}/rules_holder.c",
                    f"{BUILD}/suntapd.a", f"{BUILD}/shared.a", "-lnftnl", "-lmnl", "-lsystemd", "-linih", "-lresolv",
                    "-o", f"{BUILD}/rules_holder"], check=True)
    subprocess.run([cc, "-shared", "-fPIC", "-D_GNU_SOURCE", f"{HERE}/lacking_kernel.c", "-o",
                    f"{BUILD}/lacking_kernel.so"], check=True)


@pytest.mark.parametrize("name", [name[4:] for name in LABS])
def test_rules(holder_built, name):
    done = subprocess.run([f"{TOP}/tests/lab/net-lab", sys.executable, os.path.abspath(__file__), f"lab_{name}", BUILD],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
