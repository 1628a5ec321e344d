#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""make bench: suntap beside HAProxy (transparent, splice) and beside plain forwarding, in one run.

Runs on the gateway of tests/lab/net-lab, beside a journald of its own; every variant moves the same bytes between the same two programs
(tests/bench/load.c) in the namespaces `inverter` and `cloud`, over the same veth pairs. The variants take
turns, round after round, and the medians are set in relation, so that a machine whose speed drifts does not
decide. All figures are of this machine and of this run.
"""
import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", TOP / "build")).resolve()
LOAD = BUILD / "bench" / "load"
CLOUD = "203.0.113.10"
SINK, ECHO, HOLD = 5001, 5002, 5003
SECONDS = float(os.environ.get("BENCH_SECONDS", "3"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
FLOWS = 2
HAPROXY_PORT = 17999
CLOSED = re.search(r'FLOW_CLOSED\s+"(\w+)"', (TOP / "src/shared/message_ids.h").read_text()).group(1)

SUNTAP_INI = f"""
[suntapd]
ring_size = 16M
[device bench]
source = 192.168.50.0/24
interface = lan0
ports = {SINK} {ECHO} {HOLD}
max_flows = 100000
"""
HAPROXY_CFG = f"""
global
  maxconn MAXCONN
  maxpipes 128
defaults
  mode tcp
  timeout connect 5s
  timeout client 10m
  timeout server 10m
  option splice-auto
listen bench
  bind 127.0.0.1:{HAPROXY_PORT} transparent
  server cloud 0.0.0.0:0
"""
# What a user of HAProxy would write: the same rules as suntap's, by hand.
HAPROXY_RULES = f"""
table inet bench {{
  chain intercept {{
    type filter hook prerouting priority mangle; policy accept;
    iifname "lan0" tcp dport {{ {SINK}, {ECHO}, {HOLD} }} tcp flags & (fin|syn|rst|ack) == syn tproxy ip to 127.0.0.1:{HAPROXY_PORT} meta mark set 0x1 accept
  }}
  chain live {{
    type filter hook prerouting priority mangle - 1; policy accept;
    meta l4proto tcp socket transparent 1 meta mark set 0x1 accept
  }}
}}
"""


def run(*words, **options):
    return subprocess.run([str(w) for w in words], check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def inside(host, *words):
    return ["ip", "netns", "exec", host, *map(str, words)]


def wait_for(what, condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"bench: no {what} after {seconds} s")
        time.sleep(0.01)


def cpu_of(pid):
    """User and system seconds of a process (all its threads), from the scheduler's own clock."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def cpu_of_machine():
    with open("/proc/stat", encoding="ascii") as f:
        ticks = list(map(int, f.readline().split()[1:9]))
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def memory_of(pid):
    """Kilobytes that the process alone holds or shares with its helper: resident, without mapped files of programs."""
    fields = {}
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        key, value = line.split(":")
        fields[key] = int(value.split()[0])
    return fields["Rss"]


def children_of(pid):
    return [int(p) for t in pathlib.Path(f"/proc/{pid}/task").iterdir() for p in (t / "children").read_text().split()]


class Plain:
    name = "plain forwarding"
    pid = None

    def start(self, work):
        pass

    def stop(self):
        pass


class HAProxy:
    name = "HAProxy"

    def __init__(self, maxconn=4000):
        self.maxconn = maxconn

    def start(self, work):
        config = work / "haproxy.cfg"
        config.write_text(HAPROXY_CFG.replace("MAXCONN", str(self.maxconn)))
        run("nft", "-f", "-", input=HAPROXY_RULES)
        run("ip", "rule", "add", "fwmark", "1", "lookup", "100")
        run("ip", "route", "add", "local", "default", "dev", "lo", "table", "100")
        self.log = open(work / "haproxy.log", "w")
        self.process = subprocess.Popen(["haproxy", "-db", "-f", str(config)], stdout=self.log, stderr=self.log)
        self.pid = self.process.pid
        port = f":{HAPROXY_PORT:04X} "
        wait_for("haproxy", lambda: port in pathlib.Path("/proc/net/tcp").read_text() or self.process.poll() is not None)
        if self.process.poll() is not None:
            sys.exit("bench: haproxy ended: " + (work / "haproxy.log").read_text())

    def stop(self):
        self.process.terminate()
        self.process.wait()
        run("nft", "delete", "table", "inet", "bench")
        run("ip", "rule", "del", "fwmark", "1", "lookup", "100")
        run("ip", "route", "flush", "table", "100")


class Suntap:
    """decoder: "drain" (every byte copied, thrown away) or "real"."""

    def __init__(self, name, decoder, sends=None):
        self.name, self.decoder, self.sends = name, decoder, sends

    def start(self, work):
        home = work / self.decoder
        if not home.exists():
            home.mkdir()
            (home / "suntapd").write_bytes((BUILD / "suntapd").read_bytes())
            (home / "suntapd").chmod(0o755)
            source = BUILD / ("bench/drain" if self.decoder == "drain" else "suntap-decoder")
            (home / "suntap-decoder").write_bytes(source.read_bytes())
            (home / "suntap-decoder").chmod(0o755)
            (home.parent / "Makefile").touch()     # the decoder looks for maps as in a source tree
            if not (home.parent / "maps").exists():
                (home.parent / "maps").symlink_to(TOP / "maps")
        config = work / "suntap.ini"
        config.write_text(SUNTAP_INI)
        self.log = open(work / "suntap.log", "w+")
        self.process = subprocess.Popen([home / "suntapd", "--config", config], stdout=self.log, stderr=self.log)
        self.pid = self.process.pid
        wait_for("suntapd", lambda: " is up: " in (work / "suntap.log").read_text() or self.process.poll() is not None)
        if self.process.poll() is not None:
            sys.exit("bench: suntapd ended: " + (work / "suntap.log").read_text())

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.seek(0)
        self.said = self.log.read()


class Ends:
    """The programs at both ends."""

    def __enter__(self):
        self.servers = []
        for mode, port in ("sink", SINK), ("echo", ECHO), ("hold", HOLD):
            p = subprocess.Popen(inside("cloud", LOAD, mode, CLOUD, port), stdout=subprocess.PIPE, text=True)
            p.stdout.readline()
            self.servers.append(p)
        return self

    def __exit__(self, *_):
        for p in self.servers:
            p.kill()
            p.wait()


def bulk(variant, sends):
    mine = [variant.pid] if variant.pid else []
    helpers = children_of(variant.pid) if variant.pid else []
    before = sum(map(cpu_of, mine)), sum(map(cpu_of, helpers)), cpu_of_machine()
    words = [LOAD, "source", CLOUD, SINK, SECONDS, FLOWS] + ([sends] if sends else [])
    count, seconds = run(*inside("inverter", *words)).split()
    after = sum(map(cpu_of, mine)), sum(map(cpu_of, helpers)), cpu_of_machine()
    gb = int(count) / 1e9
    return {
        "GB/s": gb / float(seconds), "CPU s/GB": (after[0] - before[0]) / gb, "helper CPU s/GB": (after[1] - before[1]) / gb,
        "machine CPU s/GB": (after[2] - before[2]) / gb,
    }


def decoded(since):
    """Of the bytes of the flows that ended since then: how many the decoder read, and how many it was told it missed."""
    subprocess.run(["journalctl", "--sync"], check=True)
    out = run("journalctl", f"--directory={os.environ['JOURNAL_DIRECTORY']}", f"--since=@{since:.6f}", "-o", "json", "-a",
              "-t", "suntap", f"MESSAGE_ID={CLOSED}")
    closed = [json.loads(line) for line in out.splitlines()]
    moved, missed = (sum(int(e.get(k, 0)) for e in closed) for k in ("SUNTAP_BYTES_DEVICE", "SUNTAP_LOST"))
    return {"decoded": moved - missed, "missed": missed}


def ping():
    p50, p90, p99 = map(float, run(*inside("inverter", LOAD, "ping", CLOUD, ECHO, 4000, 1024)).split())
    return {"RTT us": p50, "RTT p99 us": p99}


def connections(variant):
    """How many connections a second: opened, 64 bytes there and back, reset; eight at a time."""
    mine = cpu_of(variant.pid) if variant.pid else 0
    rate = float(run(*inside("inverter", LOAD, "rate", CLOUD, ECHO, 1.5, 8)))
    used = cpu_of(variant.pid) - mine if variant.pid else 0
    return {"connections/s": rate, "CPU us/connection": used * 1e6 / (1.5 * rate)}


def ping_beside_bulk(variant):
    """Round trips of one device while another sends as fast as it can."""
    other = subprocess.Popen(inside("inverter", LOAD, "source", CLOUD, SINK, 1.5, FLOWS), stdout=subprocess.DEVNULL)
    p50, _, p99 = map(float, run(*inside("inverter", LOAD, "ping", CLOUD, ECHO, 1000, 1024)).split())
    other.wait()
    return {"RTT beside bulk us": p50, "RTT beside bulk p99 us": p99}


def decoding():
    """Frames a second from memory to readings, a row for each protocol: a captured record of it, again and again."""
    cases = [
        "solarman-v5/4210-data-02b0", "solarman-v5/4210-data-5408-deye-m80", "tsun-gen3/04-inverter-ms600",
        "alphaess/push-a", "inteless/report-306-a", "apsystems/aps18-captured", "growatt/v06-mic-data",
    ]
    rows, first = [], None
    for case in cases:
        path = TOP / f"tests/vectors/{case}.txt"
        name, frames, mbytes, readings, values = run(BUILD / "bench/decode", TOP / "maps", 1, path).split()
        first = first or float(frames)
        rows.append(f"| {path.parent.name}/{name[:-4]} | {float(frames):,.0f} | {mbytes} | {float(readings):,.0f} | {values} |")
    return first, ["", "From memory to readings, on one core, without journal:", "",
                   "| record | frames/s | MB/s | readings/s | values each |", "| --- | --- | --- | --- | --- |", *rows]


def journal():
    """Readings a second of so many fields into a real journald: ours, and with sd_journal_sendv() alone."""
    fields, ours, bare = map(float, run(
        TOP / "tests/lab/journal-lab", BUILD / "bench/journal", TOP / "maps",
        TOP / "tests/vectors/solarman-v5/4210-data-02b0.txt", 2 * ROUNDS + 1, 2000).split())
    return ours, bare, fields


def idle(variant, work, flows):
    """Resident memory of each of so many idle flows, against none."""
    with Ends():
        variant.start(work)
        warm = subprocess.run(inside("inverter", LOAD, "ping", CLOUD, ECHO, 10, 1024), stdout=subprocess.DEVNULL, check=True)
        assert warm.returncode == 0
        before = memory_of(variant.pid)
        p = subprocess.Popen(inside("inverter", LOAD, "idle", CLOUD, HOLD, flows), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)
        assert int(p.stdout.readline()) == flows
        wait_for("flows", lambda: len(os.listdir(f"/proc/{variant.pid}/fd")) > 2 * flows, 60)
        after = memory_of(variant.pid)
        p.stdin.close()
        p.wait()
        variant.stop()
    return (after - before) * 1024 / flows


def frames_file(work):
    """A stream of valid frames: a captured data record, again and again."""
    case = (TOP / "tests/vectors/solarman-v5/4210-data-02b0.txt").read_text()
    frame = bytes.fromhex(next(line[2:] for line in case.splitlines() if line.startswith("> ")))
    path = work / "frames.bin"
    path.write_bytes(frame * (128 * 1024 // len(frame)))
    return path


def measure(work):
    frames = frames_file(work)
    variants = [
        Plain(), HAProxy(), Suntap("suntap, every byte copied", "drain"),
        Suntap("suntap, decoding frames", "real", frames), Suntap("suntap, flow not tapped any more", "real"),
    ]
    rows = {v.name: [] for v in variants}
    for number in range(ROUNDS):
        for v in variants:
            with Ends():
                started = time.time()
                v.start(work)
                row = bulk(v, getattr(v, "sends", None))
                if not getattr(v, "sends", None):
                    row.update(ping())
                    row.update(ping_beside_bulk(v))
                    row.update(connections(v))
                v.stop()
            if getattr(v, "sends", None):
                row.update(decoded(started))
            if getattr(v, "decoder", "") == "drain":
                words = v.said.split("drained ")[1].split()
                row["copied"], row["not copied"] = int(words[0]), int(words[2])
            rows[v.name].append(row)
            print(f"round {number + 1}: {v.name}: {row['GB/s']:.2f} GB/s", file=sys.stderr)
    return {name: {key: statistics.median(r[key] for r in rounds) for key in rounds[0]} for name, rounds in rows.items()}


def ratio(a, b):
    return f"{a / b:.2f}" if b else "-"


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # HAProxy's side of a connection may have to wait in TIME_WAIT
    for key, value in ("ip_local_port_range", "1024 65535"), ("tcp_tw_reuse", "1"):
        pathlib.Path("/proc/sys/net/ipv4", key).write_text(value)
    with tempfile.TemporaryDirectory() as tmp:
        work = pathlib.Path(tmp)
        result = measure(work)
        plain, peer = result["plain forwarding"], result["HAProxy"]
        out = [f"{ROUNDS} rounds of {SECONDS:g} s, {FLOWS} flows, medians; {os.cpu_count()} processors for everything, both ends included.",
               "", "| path | GB/s | to HAProxy | to plain | its CPU s/GB | to HAProxy | its helper's CPU s/GB | machine's CPU s/GB | RTT of 1 KB, us | p99 | beside bulk | p99 | connections/s | to HAProxy | its CPU us each |",
               "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
        for name, r in result.items():
            out.append(f"| {name} | {r['GB/s']:.2f} | {ratio(r['GB/s'], peer['GB/s'])} | {ratio(r['GB/s'], plain['GB/s'])} | "
                       f"{r['CPU s/GB']:.3f} | {ratio(r['CPU s/GB'], peer['CPU s/GB'])} | {r['helper CPU s/GB']:.3f} | "
                       f"{r['machine CPU s/GB']:.3f} | "
                       + " | ".join(f"{r[key]:.0f}" if key in r else "-" for key in ("RTT us", "RTT p99 us", "RTT beside bulk us",
                                                                              "RTT beside bulk p99 us", "connections/s"))
                       + (f" | {ratio(r['connections/s'], peer['connections/s'])} | {r['CPU us/connection']:.0f} |"
                          if "connections/s" in r else " | - | - |"))
        drained = result["suntap, every byte copied"]
        out += ["", f"Copied into the ring in the third row (median of a round): {drained['copied'] / 1e9:.2f} GB, "
                f"not copied for want of room: {drained['not copied'] / 1e9:.3f} GB."]
        real = result["suntap, decoding frames"]
        out += ["", f"In the fourth row the decoder read {real['decoded'] / 1e6:.0f} MB of a round, every frame a reading in the "
                f"journal; of {real['missed'] / 1e6:.0f} MB it was told that it missed them."]
        flows = min(9500, (hard - 500) // 2)
        mine = idle(Suntap("suntap", "drain"), work, flows)
        theirs = idle(HAProxy(flows + 50), work, flows)
        frames, table = decoding()
        ours, bare, fields = journal()
        rows = [("throughput, every byte copied, GB/s", drained["GB/s"], "HAProxy", peer["GB/s"], "1.5"),
                ("the same", drained["GB/s"], "plain forwarding", plain["GB/s"], "0.8"),
                ("CPU s for a GB", drained["CPU s/GB"], "HAProxy", peer["CPU s/GB"], "at most 0.45"),
                ("round trip of 1 KB, us", drained["RTT us"], "HAProxy", peer["RTT us"], "about 1"),
                ("the same beside two bulk flows, us", drained["RTT beside bulk us"], "HAProxy", peer["RTT beside bulk us"], ""),
                ("connections a second", drained["connections/s"], "HAProxy", peer["connections/s"], ""),
                ("CPU us for a connection", drained["CPU us/connection"], "HAProxy", peer["CPU us/connection"], ""),
                (f"memory of an idle flow ({flows}), bytes", mine, "HAProxy", theirs, ""),
                ("0x4210 frames decoded a second", frames, "", 0, "400,000"),
                (f"readings of {fields:.0f} fields into journald a second", ours, "sd_journal_sendv()", bare, "0.9")]
        summary = ["| what | suntap | beside | its figure | ratio | goal |", "| --- | --- | --- | --- | --- | --- |"]
        for what, value, beside, other, goal in rows:
            digits = 2 if value < 10 else 0
            summary.append(f"| {what} | {value:,.{digits}f} | {beside or '-'} | {f'{other:,.{digits}f}' if other else '-'} | "
                           f"{ratio(value, other)} | {goal or '-'} |")
        out = summary + [""] + out + table
        print("\n".join(out))
        (BUILD / "bench.md").write_text("\n".join(out) + "\n")
        (BUILD / "bench.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
