# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast and how small suntap-export catches up, beside the bare rate of walking over the same journal.

    export.py [ENTRIES]     1,000,000 readings of 20 inverters, 12 values each; the journal takes minutes to make

In turns, three rounds each: walk (every entry with its fields, nothing done with them), suntap-export into a sink that
only counts bytes, into VictoriaMetrics. Each round of the latter has a new database, so that its indexes are made within.
VictoriaMetrics' own time of CPU is shown beside: on two cores it decides the rate.
"""
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, f"{TOP}/tests/system")
from export_lab import BUILD, EXPORT, REMOTE, T0, Journal, Victoria, reading, utc  # noqa: E402

ENTRIES = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
ROUNDS = 3
INVERTERS = 20


def make_journal(folder):
    journal = Journal(folder)
    with subprocess.Popen([REMOTE, f"--output={folder}/a.journal", "--split-mode=none", "-"], stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as remote:
        for first in range(0, ENTRIES, 1000):
            entries = []
            for n in range(first, min(first + 1000, ENTRIES)):
                more = {f"SOLAR_PV{i}_CURRENT": f"{(n * 7 + i * 13) % 1500 / 100:.2f}" for i in range(1, 7)}
                entries.append(reading(n, f"R17{n % INVERTERS:04}", SUNTAP_TIME=utc(T0 + 300 * (n // INVERTERS)),
                                       SOLAR_AC_POWER=f"{n % 4000 / 10:.1f}", SOLAR_ENERGY_TODAY=f"{n % 900 / 100:.2f}",
                                       SOLAR_ENERGY_TOTAL=f"{n / 100:.2f}", SOLAR_HEATSINK_TEMPERATURE=f"{20 + n % 40}", **more))
            remote.stdin.write(journal.export_form(entries))
    size = sum(os.path.getsize(f"{folder}/{f}") for f in os.listdir(folder))
    print(f"{ENTRIES} entries, {size / 1e6:.0f} MB of journal", file=sys.stderr)


class Sink:
    """Answers 204 to every POST."""

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.run, daemon=True).start()
        return self

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self.serve(connection)

    @staticmethod
    def serve(connection):
        while True:
            head = b""
            while b"\r\n\r\n" not in head:
                part = connection.recv(1 << 16)
                if not part:
                    return
                head += part
            head, body = head.split(b"\r\n\r\n", 1)
            left = int(re.search(rb"Content-Length: (\d+)", head)[1]) - len(body)
            while left > 0:
                left -= len(connection.recv(min(left, 1 << 20)))
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    def __exit__(self, *_):
        self.listener.close()


def cpu(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def walk(journal):
    out = json.loads(subprocess.run([f"{BUILD}/bench/walk", journal], check=True, stdout=subprocess.PIPE).stdout)
    assert out["entries"] == ENTRIES
    return ENTRIES / out["seconds"]


def export(folder, journal, url):
    """(rate, peak of anonymous memory, peak of all in KiB)"""
    with open(f"{folder}/suntap.ini", "w", encoding="ascii") as f:
        f.write(f"[influxdb t]\nurl = {url}\ndatabase = solar\ntexts = no\n")
    begun, anonymous, peak = time.monotonic(), 0, 0
    with subprocess.Popen([EXPORT, "-c", f"{folder}/suntap.ini", "-D", journal, "--since", "2024-01-01", "t"]) as process:
        while process.poll() is None:
            try:
                with open(f"/proc/{process.pid}/status", encoding="ascii") as f:
                    text = f.read()
                anonymous = max(anonymous, int(re.search(r"RssAnon:\s+(\d+)", text)[1]))
                peak = max(peak, int(re.search(r"VmHWM:\s+(\d+)", text)[1]))
            except (OSError, TypeError):
                pass        # it has just ended
            time.sleep(0.02)
    assert process.returncode == 0
    return ENTRIES / (time.monotonic() - begun), anonymous, peak


def main():
    folder = tempfile.mkdtemp(prefix="suntap-bench-export-")
    try:
        journal = f"{folder}/journal"
        os.mkdir(journal)
        make_journal(journal)
        walk(journal)       # into the page cache
        rates, memory, database = {"walk": [], "sink": [], "victoria-metrics": []}, [], []
        for n in range(ROUNDS):
            rates["walk"].append(walk(journal))
            with Sink() as sink:
                rate, *used = export(folder, journal, sink.url)
                rates["sink"].append(rate)
                memory.append(used)
            with Victoria(f"{folder}/vm{n}") as vm:
                before = cpu(vm.process.pid)
                rate, *used = export(folder, journal, vm.url)
                rates["victoria-metrics"].append(rate)
                memory.append(used)
                database.append(cpu(vm.process.pid) - before)
                vm.get("/internal/force_flush")
                there = sum(len(v) for v in vm.series("solar_ac_power").values())
                assert there == ENTRIES, there
            shutil.rmtree(f"{folder}/vm{n}")
            print(f"round {n + 1}: " + ", ".join(f"{k} {v[-1]:.0f}/s" for k, v in rates.items()), file=sys.stderr)
        median = {k: statistics.median(v) for k, v in rates.items()}
        print(f"| suntap-export, {ENTRIES} readings of 12 values | entries/s | of the bare rate |\n| --- | --- | --- |")
        for k, v in median.items():
            print(f"| {k} | {v:.0f} | {v / median['walk']:.2f} |")
        print(f"\nmemory at its peak: {max(m[0] for m in memory) / 1024:.0f} MiB anonymous, {max(m[1] for m in memory) / 1024:.0f} "
              f"MiB with mapped journal; VictoriaMetrics used {statistics.median(database):.1f} s of CPU")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
