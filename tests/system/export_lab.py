# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of suntap-export share: journals made by systemd-journal-remote, exporters, servers on loopback.

Nothing here needs root. Every process is ended by its own id, also when a test fails.
"""
import contextlib
import gzip
import http.server
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from lab import REPORT, SLOWER

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(TOP, os.environ.get("BUILD", "build"))
EXPORT = f"{BUILD}/suntap-export"
REMOTE = "/lib/systemd/systemd-journal-remote"
PATIENCE = 30 * SLOWER      # s
T0 = 1714557600     # 2024-05-01T10:00:00Z

with open(os.path.join(TOP, "src/shared/message_ids.h"), encoding="ascii") as header:
    MESSAGE_ID = dict(re.findall(r'MESSAGE_ID_(\w+)\s+"([0-9a-f]{32})"', header.read()))


def wait_for(what, condition, patience=PATIENCE):
    """The first true answer of condition()."""
    end = time.monotonic() + patience
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < end, f"waited {patience} s for {what() if callable(what) else what}"
        time.sleep(0.05)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def utc(seconds):
    whole, part = int(seconds), seconds - int(seconds)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + (f".{round(part * 1000):03d}" if part else "") + "Z"


# ---------------------------------------------------------------- journals
MACHINE = "0123456789abcdef0123456789abcdef"


def reading(n, serial="R170000000000001", **more):
    """Entry n of a series: one every 300 s, each with a power of its own."""
    entry = {
        "MESSAGE_ID": MESSAGE_ID["READING"], "MESSAGE": f"reading {n}", "SYSLOG_IDENTIFIER": "suntap", "PRIORITY": "6",
        "SUNTAP_SERIAL": serial, "SUNTAP_LOGGER": "4100000001", "SUNTAP_PROTOCOL": "tsun-gen3", "SUNTAP_DEVICE": "roof",
        "SUNTAP_TIME": utc(T0 + 300 * n), "SOLAR_AC_POWER": str(n), "SOLAR_PV1_VOLTAGE": f"{30 + n % 10}.5",
        "SOLAR_STATUS": "normal",
    }
    entry.update(more)
    return {k: v for k, v in entry.items() if v is not None}


class Journal:
    """A folder of journal files, written as a gateway's systemd-journal-upload would have it written."""

    def __init__(self, folder, machine=MACHINE, file="a.journal"):
        self.folder, self.machine, self.boot, self.file, self.n = str(folder), machine, machine[::-1], file, 0
        os.makedirs(self.folder, exist_ok=True)

    @staticmethod
    def field(name, value):
        value = value if isinstance(value, bytes) else value.encode()
        if b"\n" in value:
            return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
        return name.encode() + b"=" + value + b"\n"

    def export_form(self, entries, at=None):
        """at: realtime of the first in seconds; else the entries go on from those before."""
        out = []
        for entry in entries:
            us = int((T0 if at is None else at) * 1_000_000) + self.n * 1000
            self.n += 1
            fields = {"__REALTIME_TIMESTAMP": str(us), "__MONOTONIC_TIMESTAMP": str(1_000_000 + self.n * 1000),
                      "_BOOT_ID": self.boot, "_MACHINE_ID": self.machine, "_PID": "1", "_UID": "990",
                      "_SYSTEMD_UNIT": "suntapd.service", **entry}
            out.append(b"".join(self.field(k, v) for k, v in fields.items() if v is not None) + b"\n")
        return b"".join(out)

    def write(self, entries, at=None):
        subprocess.run([REMOTE, f"--output={self.folder}/{self.file}", "--split-mode=none", "-"], check=True,
                       input=self.export_form(entries, at), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


# ---------------------------------------------------------------- the exporter
class Exporter:
    """suntap-export SECTION in the background, with systemd's socket for READY and STATUS."""

    def __init__(self, folder, config, section="t", journal=None, arguments=(), wrapper=(), credentials=None):
        self.folder = str(folder)
        self.config = f"{self.folder}/suntap.ini"
        self.state = f"{self.folder}/state"
        self.log = f"{self.folder}/log"
        self.status = ""
        self.ready = False
        self.process = None
        with open(self.config, "w", encoding="utf-8") as out:
            out.write(config)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = f"{self.folder}/notify"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.notify.bind(path)
        self.notify.setblocking(False)
        self.environment = {**os.environ, "NOTIFY_SOCKET": path}
        if credentials:
            self.environment["CREDENTIALS_DIRECTORY"] = str(credentials)
        self.command = [*wrapper, EXPORT, "-c", self.config, "--state", self.state, *arguments]
        if journal:
            self.command += ["-D", journal.folder]
        self.command.append(section)

    def start(self):
        self.listen()       # what one before has left unread
        self.ready, self.status = False, ""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, env=self.environment, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        return self

    def listen(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                for line in self.notify.recv(4096).decode().splitlines():
                    if line.startswith("STATUS="):
                        self.status = line[7:]
                    self.ready |= line == "READY=1"
        return self

    def wait_ready(self):
        wait_for(lambda: "READY=1: " + self.said(), lambda: self.listen().ready)
        return self

    def wait_status(self, text):
        wait_for(lambda: f"{text} in the status, not {self.status}\n{self.said()}", lambda: text in self.listen().status)

    def wait_said(self, text, patience=PATIENCE):
        # listening all the while: sd_notify() waits where nobody does
        wait_for(lambda: f"{text} in the log: {self.said()}", lambda: text in self.listen().said(), patience)

    def said(self):
        with contextlib.suppress(FileNotFoundError):
            with open(self.log, encoding="utf-8", errors="replace") as log:
                return log.read()
        return ""

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
        if self.process:
            try:
                code = self.process.wait(15 * SLOWER)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
            self.process = None
            return code
        return None

    def kill(self):
        self.stop(signal.SIGKILL)

    def run(self, timeout=120 * SLOWER):
        """To its end, for --since."""
        with open(self.log, "ab") as log:
            return subprocess.run(self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  timeout=timeout, check=False).returncode

    def memory_kib(self):
        """(anonymous, files and all) of the running process, at their peak for the second."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            text = f.read()
        return int(re.search(r"RssAnon:\s+(\d+)", text)[1]), int(re.search(r"VmHWM:\s+(\d+)", text)[1])

    def cursors(self, section="t"):
        """{sequence id: cursor}"""
        with contextlib.suppress(FileNotFoundError):
            with open(f"{self.state}/{section}.cursors", encoding="ascii") as f:
                return dict(line.split(" ", 1) for line in f.read().splitlines() if not line.startswith("#"))
        return {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.notify.close()
        assert not re.search(REPORT, self.said()), self.said()


# ---------------------------------------------------------------- servers of others
class Server:
    """A program that answers HTTP on a loopback port."""

    def __init__(self, folder):
        self.folder, self.port, self.process = str(folder), free_port(), None
        os.makedirs(self.folder, exist_ok=True)

    url = property(lambda self: f"http://127.0.0.1:{self.port}")

    def command(self):
        raise NotImplementedError

    def start(self, ping="/ping"):
        with open(f"{self.folder}/server.log", "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.folder, env={**os.environ, "HOME": self.folder})
        wait_for(f"{type(self).__name__} on port {self.port}", lambda: self.answers(ping))
        return self

    def answers(self, path):
        assert self.process.poll() is None, open(f"{self.folder}/server.log", encoding="utf-8", errors="replace").read()[-2000:]
        try:
            with urllib.request.urlopen(self.url + path, timeout=2):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def get(self, path, data=None, **query):
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, data=data, timeout=30) as answer:
            return answer.read().decode()

    def stop(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


class Influx(Server):
    """Debian's InfluxDB 1.6."""

    def __init__(self, folder, auth=False, more=""):
        super().__init__(folder)
        self.auth, self.more = auth, more
        self.rpc = free_port()

    def command(self):
        with open(f"{self.folder}/influxdb.conf", "w", encoding="ascii") as out:
            out.write(f'reporting-disabled = true\nbind-address = "127.0.0.1:{self.rpc}"\n'
                      f'[meta]\n dir = "{self.folder}/meta"\n[data]\n dir = "{self.folder}/data"\n'
                      f' wal-dir = "{self.folder}/wal"\n query-log-enabled = false\n{self.more}\n'
                      f'[monitor]\n store-enabled = false\n[http]\n bind-address = "127.0.0.1:{self.port}"\n'
                      f' auth-enabled = {str(self.auth).lower()}\n log-enabled = false\n')
        return ["influxd", "-config", f"{self.folder}/influxdb.conf"]

    def query(self, text, **more):
        answer = json.loads(self.get("/query", data=urllib.parse.urlencode({"q": text}).encode(), epoch="ns", **more))
        result = answer["results"][0]
        assert "error" not in result, result
        return result.get("series", [])

    def count(self, field="ac_power", db="solar", **more):
        series = self.query(f'SELECT count("{field}") FROM solar', db=db, **more)
        return series[0]["values"][0][1] if series else 0


class Victoria(Server):
    def command(self):
        return ["victoria-metrics", f"-httpListenAddr=127.0.0.1:{self.port}", f"-storageDataPath={self.folder}/data",
                "-retentionPeriod=100y", "-memory.allowedBytes=200MB", "-search.latencyOffset=0s"]

    def series(self, match):
        """{(metric, serial): {ms: value}}"""
        self.get("/internal/force_flush")
        out = {}
        for line in self.get("/api/v1/export", **{"match[]": match}).splitlines():
            o = json.loads(line)
            out.setdefault((o["metric"]["__name__"], o["metric"].get("serial")), {}).update(zip(o["timestamps"], o["values"]))
        return out


class StandIn:
    """An HTTP server of ours: answer(handler, body) -> (status, headers, text), or None to close without an answer."""

    def __init__(self, answer, context=None):
        stand_in = self
        self.requests = []
        self.lock = threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                with stand_in.lock:
                    stand_in.requests.append((self.path, dict(self.headers), body))
                    reply = answer(self, body)
                if reply is None:
                    self.close_connection = True
                    return
                status, headers, text = reply
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_POST

            def log_message(self, *_):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Quiet(("127.0.0.1", 0), Handler)
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
