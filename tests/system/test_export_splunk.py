# SPDX-License-Identifier: GPL-2.0-or-later
"""suntap-export to Splunk's HTTP Event Collector, played by a stand-in that holds requests to the documented protocol."""
import json
import re
import ssl
import subprocess
import time

import pytest

from export_lab import MESSAGE_ID, T0, Exporter, Journal, StandIn, reading, wait_for

TOKEN = "11111111-2222-3333-4444-555555555555"
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def code(number, text, status, **more):
    return status, {"Content-Type": "application/json"}, json.dumps({"text": text, "code": number, **more})


class Collector(StandIn):
    """POST /services/collector/event and /ack. faults: answers to give instead, one a request; "lost": index, no answer."""

    def __init__(self, context=None, ack=False, index="solar", refuse=None):
        self.events, self.faults, self.ack, self.index, self.refuse = [], [], ack, index, refuse
        self.batches, self.acks, self.asked, self.withhold = [], {}, [], 0
        super().__init__(self.answer, context)

    def answer(self, handler, body):
        path, _, query = handler.path.partition("?")
        header = handler.headers["Authorization"] or ""
        if not header:
            return code(2, "Token is required", 401)
        if not header.startswith("Splunk "):
            return code(3, "Invalid authorization", 401)
        if header != f"Splunk {TOKEN}":
            return code(4, "Invalid token", 403)
        if path == "/services/collector/ack":
            return self.answer_ack(handler, query, body)
        if path != "/services/collector/event" or query:
            return 404, {}, "<html>Not found</html>"
        fault = self.faults.pop(0) if self.faults else None
        if fault and fault != "lost":
            return fault
        channel = handler.headers["X-Splunk-Request-Channel"]
        if self.ack and not (channel and GUID.fullmatch(channel)):
            return code(10, "Data channel is missing", 400)
        if len(body) > 1_200_000:
            return 413, {}, ""
        return self.take(body, fault, channel)

    def take(self, body, fault, channel):
        events = []
        for n, event in enumerate(self.objects(body)):
            if event is None:
                return code(6, "Invalid data format", 400, **{"invalid-event-number": n})
            if event.get("event") in (None, "", {}):
                return code(12, "Event field is required", 400, **{"invalid-event-number": n})
            if event.get("index", self.index) != self.index:
                return code(7, "Incorrect index", 400, **{"invalid-event-number": n + 1})
            if self.refuse and self.refuse in json.dumps(event):
                self.events += events       # those before it are in
                return code(15, "Error in handling indexed fields", 400, **{"invalid-event-number": n})
            events.append(event)
        if not events:
            return code(5, "No data", 400)
        if not self.ack:
            self.events += events
            return None if fault == "lost" else code(0, "Success", 200)
        number = len(self.batches)
        self.batches.append(events)
        self.acks[number] = (channel, time.monotonic())
        return code(0, "Success", 200, ackId=number)

    @staticmethod
    def objects(body):
        """Objects one after the other, as Splunk's parser wants them; None for what is none."""
        text = body.decode("utf-8")
        decoder = json.JSONDecoder()
        at = 0
        while at < len(text):
            if text[at] in "\r\n\t ":
                at += 1
                continue
            try:
                event, at = decoder.raw_decode(text, at)
            except ValueError:
                yield None
                return
            fine = (isinstance(event, dict) and set(event) <= {"time", "host", "source", "sourcetype", "index", "event", "fields"}
                    and all(isinstance(v, str) for v in event.get("fields", {}).values())
                    and all(isinstance(event.get(k, ""), str) for k in ("host", "source", "sourcetype", "index")))
            yield event if fine else None

    def answer_ack(self, handler, query, body):
        assert handler.headers.get("Content-Encoding") is None
        numbers = json.loads(body)["acks"]
        self.asked += numbers
        out = {}
        for number in numbers:
            channel, _ = self.acks.get(number, (None, None))
            good = query == f"channel={channel}" and len(self.asked) > self.withhold
            out[str(number)] = good
            if good:        # told once
                self.events += self.batches[number]
                del self.acks[number]
        return 200, {}, json.dumps({"acks": out})


def config(server, tmp_path, token=TOKEN, **keys):
    secret = tmp_path / "token"
    secret.write_text(token + "\n")
    secret.chmod(0o600)
    keys = {"url": server.url, "token_file": secret, "index": "solar", **keys}
    return "[splunk t]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items())


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal")


def powers(server):
    return [e["event"]["values"]["ac_power"] for e in server.events if e["event"]["type"] == "reading"]


def test_events(tmp_path, journal):
    journal.write([reading(0, SUNTAP_TIME="2024-05-01T10:00:00.250Z", SUNTAP_MODEL="T 800", SUNTAP_HISTORIC="1"),
                   {"MESSAGE_ID": MESSAGE_ID["GAP"], "MESSAGE": 'a "gap"', "SYSLOG_IDENTIFIER": "suntap",
                    "SUNTAP_DEVICE": "roof", "SUNTAP_LOST": "7"}], at=T0)
    with Collector() as server, Exporter(tmp_path, config(server, tmp_path, gzip="yes"), journal=journal) as e:
        e.start()
        wait_for("2 events", lambda: len(server.events) == 2)
        assert b'"time":1714557600.250,' in server.requests[0][2]
        one, gap = server.events
        assert {k: one[k] for k in ("host", "source", "sourcetype", "index")} == {
            "host": journal.machine, "source": "suntap", "sourcetype": "suntap:reading", "index": "solar"}
        assert one["fields"] == {"serial": "R170000000000001", "logger": "4100000001", "model": "T 800", "device": "roof"}
        assert one["event"]["values"] == {"ac_power": 0, "pv1_voltage": 30.5, "status": "normal"}
        assert one["event"]["historic"] is True and one["event"]["cursor"].startswith("s=")
        assert gap["event"]["type"] == "event" and gap["event"]["fields"]["SUNTAP_LOST"] == "7"
        assert gap["event"]["fields"]["MESSAGE"] == 'a "gap"'
        assert e.stop() == 0
        assert TOKEN not in e.said()


def test_faults_lose_nothing(tmp_path, journal):
    journal.write([reading(n) for n in range(3000)])
    with Collector() as server, Exporter(tmp_path, config(server, tmp_path), journal=journal) as e:
        server.faults = [code(9, "Server is busy", 503), code(8, "Internal server error", 500),
                         code(26, "Queue at capacity", 429), (503, {"Retry-After": "1"}, ""), None]
        e.start()
        e.wait_status("3000 records exported")
        assert powers(server) == list(range(3000))


def test_a_lost_answer_doubles_events_that_can_be_told(tmp_path, journal):
    journal.write([reading(n) for n in range(10)])
    with Collector() as server, Exporter(tmp_path, config(server, tmp_path), journal=journal) as e:
        server.faults = ["lost"]
        e.start()
        e.wait_status("10 records exported")
        assert len(server.events) == 20
        assert len({e["event"]["cursor"] for e in server.events}) == 10


def test_killed_at_random_moments(tmp_path, journal):
    with Collector() as server, Exporter(tmp_path, config(server, tmp_path), journal=journal) as e:
        for n in range(6):
            journal.write([reading(i) for i in range(n * 500, n * 500 + 500)])
            e.start()
            time.sleep(0.03 * n)
            e.kill()
        e.start().wait_ready()
        wait_for("3000 readings", lambda: len(set(powers(server))) == 3000)
        by_cursor = {ev["event"]["cursor"]: ev["event"]["values"]["ac_power"] for ev in server.events}
        assert len(by_cursor) == 3000
        assert e.stop() == 0


@pytest.mark.parametrize("keys, says", [
    ({"token": "wrong"}, "does not accept the token"),
    ({"index": "secret"}, "does not accept the index secret"),
    ({"acknowledge": "yes"}, "gives no ackId"),
])
def test_what_only_the_owner_can_mend(tmp_path, journal, keys, says):
    journal.write([reading(n) for n in range(3)])
    with Collector() as server, Exporter(tmp_path, config(server, tmp_path, **keys), journal=journal) as e:
        e.start()
        e.wait_status(says)
        e.wait_said(says)
        assert "wrong" not in e.said() and not any("i=" in c for c in e.cursors().values())


def test_a_token_with_acknowledgement(tmp_path, journal):
    journal.write([reading(n) for n in range(100)])
    with Collector(ack=True) as server:
        with Exporter(tmp_path, config(server, tmp_path), journal=journal) as e:
            e.start()
            e.wait_status("would be acknowledge = yes")
        server.withhold = 3
        with Exporter(tmp_path, config(server, tmp_path, acknowledge="yes", gzip="yes"), journal=journal) as e:
            e.start()
            wait_for("questions", lambda: len(server.asked) >= 2)
            assert not any("i=" in c for c in e.cursors().values())
            e.wait_status("100 records exported")
            assert powers(server) == list(range(100))
            wait_for("the cursor", lambda: any("i=" in c for c in e.cursors().values()))


def test_a_refused_event_is_told_and_skipped(tmp_path, journal):
    journal.write([reading(n, SOLAR_STATUS="poison") if n in (5, 700) else reading(n) for n in range(1000)])
    with Collector(refuse="poison") as server, Exporter(tmp_path, config(server, tmp_path), journal=journal) as e:
        e.start()
        e.wait_status("1000 records exported, 2 refused")
        assert set(powers(server)) == set(range(1000)) - {5, 700}
        assert e.said().count("refuses a record") == 2 and "indexed fields" in e.said()


def test_tls(tmp_path, journal):
    journal.write([reading(0)])
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=splunk",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
                   check=True, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with Collector(context) as server:
        with Exporter(tmp_path, config(server, tmp_path), journal=journal) as e:
            e.start()
            e.wait_status("certificate")
            assert not server.requests
        for n, keys in enumerate([{"ca_file": tmp_path / "cert.pem"}, {"verify": "no"}]):
            with Exporter(tmp_path, config(server, tmp_path, **keys), journal=journal) as e:
                e.command[e.command.index("--state") + 1] = f"{tmp_path}/state{n}"
                e.start()
                wait_for("the event", lambda n=n: len(server.events) == n + 1)


def test_nothing_can_be_injected(tmp_path, journal):
    evil = '"},"index":"other"}\n{"event":"EVIL"}\\'
    journal.write([reading(0, SUNTAP_SERIAL=evil, SUNTAP_DEVICE=evil, SOLAR_STATUS=evil, SUNTAP_MODEL=b"\xff\x00\x1b[31m"),
                   reading(1, SOLAR_STATUS="x" * 1_000_000),
                   {"MESSAGE_ID": MESSAGE_ID["GAP"], "MESSAGE": evil * 20, "SYSLOG_IDENTIFIER": "suntap", "SUNTAP_HEX": "f" * 1_000_000}])
    with Collector() as server, Exporter(tmp_path, config(server, tmp_path), journal=journal) as e:
        e.start()
        e.wait_status("3 records exported")
        assert "refused" not in e.status and len(server.events) == 3
        assert server.events[0]["fields"]["serial"] == evil.replace("\n", "?")
        assert server.events[0]["event"]["values"]["status"] == evil.replace("\n", "?")
