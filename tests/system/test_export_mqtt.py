# SPDX-License-Identifier: GPL-2.0-or-later
"""suntap-export to MQTT and Home Assistant: Debian's mosquitto, and documents held to Home Assistant's own lists."""
import contextlib
import csv
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time

import jsonschema
import paho.mqtt.client as paho
import pytest

from export_lab import MESSAGE_ID, T0, TOP, Exporter, Journal, free_port, reading, utc, wait_for
from lab import SANITIZED, SOAK
from vocabulary_lab import every_name, value_of

SERIAL = "R170000000000001"
STATE = f"suntap/{SERIAL}/state"
DOCUMENT = f"homeassistant/device/suntap_{SERIAL}/config"

with open(os.path.join(TOP, "tests/homeassistant/discovery.schema.json"), encoding="utf-8") as schema:
    SCHEMA = jsonschema.Draft7Validator(json.load(schema))
with open(os.path.join(TOP, "tests/homeassistant/units.csv"), encoding="utf-8", newline="") as units:
    UNITS = {row["device_class"]: (row["allowed_units"].split("|"), [s for s in row["allowed_state_classes"].split("|") if s])
             for row in csv.DictReader(units)}


class Broker:
    """mosquitto on a loopback port; it keeps sessions and retained messages over a clean restart."""

    def __init__(self, folder, more=""):
        self.folder, self.port, self.process = str(folder), free_port(), None
        os.makedirs(self.folder, exist_ok=True)
        self.more = more or "allow_anonymous true"

    def start(self, wait=True):
        with open(f"{self.folder}/mosquitto.conf", "w", encoding="ascii") as out:
            out.write(f"user root\nlistener {self.port} 127.0.0.1\npersistence true\npersistence_location {self.folder}/\n"
                      f"max_queued_messages 0\nmax_inflight_messages 100\n{self.more}\n")
        with open(f"{self.folder}/broker.log", "ab") as log:
            self.process = subprocess.Popen(["mosquitto", "-v", "-c", f"{self.folder}/mosquitto.conf"], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        if wait:
            wait_for("mosquitto", self.answers)
        return self

    def answers(self):
        assert self.process.poll() is None, open(f"{self.folder}/broker.log", encoding="utf-8").read()[-1000:]
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process:
            self.process.kill()
            self.process.wait()


class Subscriber:
    """Everything that comes, in order: (topic, payload, retained)."""

    def __init__(self, port, **credentials):
        self.messages, self.lock = [], threading.Lock()
        self.client = paho.Client("subscriber", clean_session=False)
        self.client.on_message = self.on_message
        self.client.on_connect = lambda *_: self.client.subscribe("#", 1)
        self.client.reconnect_delay_set(1, 1)
        if credentials:
            self.client.username_pw_set(**credentials)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        time.sleep(0.2)

    def on_message(self, _client, _user, m):
        with self.lock:
            self.messages.append((m.topic, m.payload, m.retain))

    def of(self, topic):
        with self.lock:
            return [p for t, p, _ in self.messages if t == topic]

    def json_of(self, topic):
        return [json.loads(p) for p in self.of(topic)]

    def topics(self):
        with self.lock:
            return {t for t, _, _ in self.messages}

    def clear(self):
        with self.lock:
            self.messages.clear()

    def publish(self, topic, payload, **more):
        self.client.publish(topic, payload, 1, **more).wait_for_publish()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.loop_stop()
        self.client.disconnect()


def retained(port):
    """What a client that comes now is given."""
    with contextlib.closing(socket.socket()):
        got = {}
        client = paho.Client("late")
        client.on_message = lambda c, u, m: got.__setitem__(m.topic, m.payload.decode())
        client.connect("127.0.0.1", port)
        client.subscribe("#", 1)
        client.loop_start()
        time.sleep(0.7)
        client.loop_stop()
        client.disconnect()
        return {t: p for t, p in got.items() if p}


@pytest.fixture
def broker(tmp_path):
    with Broker(tmp_path / "broker") as b:
        yield b


@pytest.fixture
def subscriber(broker):
    with Subscriber(broker.port) as s:
        yield s


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal")


def config(broker, more=""):
    return f"[mqtt t]\nurl = mqtt://127.0.0.1:{broker.port}\n{more}"


def live(n, ago=0, **more):
    """A reading that was measured just now."""
    return reading(n, **{"SUNTAP_TIME": utc(round(time.time() - ago, 3)), **more})


def powers(states):
    return [s["ac_power"] for s in states if "ac_power" in s]


def once(values):
    """Without what came again at once."""
    return [v for i, v in enumerate(values) if i == 0 or values[i - 1] != v]


# ---------------------------------------------------------------- discovery
def check_component(c):
    """What Home Assistant checks after the schema, by its own table."""
    if c["platform"] != "sensor":
        return
    device_class, unit, state_class = c.get("device_class"), c.get("unit_of_measurement"), c.get("state_class")
    assert c.get("entity_category") in (None, "diagnostic")
    if device_class:
        allowed, classes = UNITS[device_class]
        if allowed == ["(no unit)"]:
            assert unit is None
        elif "(any)" not in allowed:
            assert (unit or "(none)") in allowed, (c["unique_id"], unit)
        assert state_class is None or state_class in classes, c
    if device_class == "energy":
        assert state_class in (None, "total_increasing")


def check_document(document):
    errors = [f"{list(e.absolute_path)}: {e.message[:200]}" for e in SCHEMA.iter_errors(document)]
    assert not errors, errors
    ids = [(c["platform"], c["unique_id"]) for c in document["components"].values()]
    assert len(ids) == len(set(ids))
    for c in document["components"].values():
        check_component(c)


def unit_of_vocabulary(name):
    """By src/protocols/vocabulary.c, the first row that fits."""
    with open(os.path.join(TOP, "src/protocols/vocabulary.c"), encoding="utf-8") as f:
        for ending, whole, unit in re.findall(r'\{ "(\w+)", (true|false), \{ "([^"]*)"', f.read()):
            if name == ending if whole == "true" else name.endswith(ending):
                return unit
    return ""


def every_quantity(**more):
    # Routed to the logger's device: logger_, wifi_, zigbee_
    return live(1, **{"SUNTAP_MODEL": "T800", **{"SOLAR_" + n.upper(): value_of(n) for n in every_name()}, **more})


def component_of(document, name):
    return document["components"].get(name)


def check_every_quantity(inverter, logger):
    numeric = re.compile(r"-?\d+(\.\d+)?")
    for name in every_name():
        if name in ("maker", "manufacturer"):
            continue        # left to the owner's own words in one of the tests
        c = component_of(logger if re.match("logger_|wifi_|zigbee_", name) else inverter, name)
        unit = unit_of_vocabulary(name)
        if unit and not numeric.fullmatch(value_of(name)):
            assert c is None
            continue
        assert c, name
        assert c.get("unit_of_measurement") == ({"MOhm": "MΩ"}.get(unit, unit) or None), name
        assert c["value_template"] == f"{{{{ value_json['{name}'] | default('') }}}}"
        if unit == "kWh" and not re.search("interval|yesterday|capacity", name):
            assert (c["device_class"], c["state_class"]) == ("energy", "total_increasing"), name
        if unit in ("V", "A", "W", "Hz") and not re.search("limit|rated|designed|start", name):
            assert c["state_class"] == "measurement" and "suggested_display_precision" in c, name
    assert inverter["components"]["last_seen"]["device_class"] == "timestamp"
    assert inverter["components"]["problem-fault_code_3"]["device_class"] == "problem"
    assert inverter["components"]["battery2_soc"]["device_class"] == "battery"
    assert "device_class" not in inverter["components"]["battery_soh"]
    assert inverter["components"]["pv1_voltage"]["name"] == "PV1 voltage"


def test_every_quantity_is_announced(tmp_path, broker, subscriber, journal):
    journal.write([every_quantity(SOLAR_LOGGER_MAC="80F3DAaabbcc", SOLAR_FIRMWARE_VERSION="V4.0.10", SOLAR_MAKER=None,
                                  SOLAR_MANUFACTURER=None, SOLAR_FAULT_CODE_3="0")], at=time.time())
    names = """[inverter R170000000000001]
        name = Garage "roof" ☀
        area = Garage
        manufacturer = TSUN
        model = TSOL-MS2000
        pv1 = Trina {{ 440 }} "W", {% 8 %} pieces
        [inverter 4100000001]
        name = Stick
        """.replace("        ", "")
    with Exporter(tmp_path, config(broker) + names, journal=journal) as e:
        e.start()
        wait_for(lambda: f"a document: {e.said()}", lambda: subscriber.of(DOCUMENT) and subscriber.of(STATE))
        topics = [t for t, _, _ in subscriber.messages if t.endswith("/config")]
        assert topics == ["homeassistant/device/suntap_4100000001/config", DOCUMENT]     # the logger first
        inverter, = subscriber.json_of(DOCUMENT)
        logger, = subscriber.json_of(topics[0])
        check_document(inverter)
        check_document(logger)
        check_every_quantity(inverter, logger)
        assert inverter["device"] == {
            "identifiers": [f"suntap_{SERIAL}"], "name": 'Garage "roof" ☀', "manufacturer": "TSUN", "model": "TSOL-MS2000",
            "serial_number": SERIAL, "sw_version": "V4.0.10", "hw_version": value_of("hardware_version"),
            "suggested_area": "Garage", "via_device": "suntap_4100000001"}
        assert logger["device"]["name"] == "Stick" and logger["device"]["connections"] == [["mac", "80:f3:da:aa:bb:cc"]]
        modules = inverter["components"]["pv1_power"]["json_attributes_template"]
        assert json.loads(modules) == {"modules": 'Trina (( 440 }} "W", (% 8 %} pieces'}
        assert "json_attributes_template" not in inverter["components"]["pv2_power"]
        # every component's value is in the state, and nothing else
        state = subscriber.json_of(STATE)[-1]
        assert set(state) == {k for k in inverter["components"] if not k.startswith("problem-")}
        assert state["pv1_voltage"] == float(value_of("pv1_voltage"))
        assert e.stop() == 0
    got = retained(broker.port)
    assert set(got) == {DOCUMENT, topics[0], STATE, f"suntap/{SERIAL}/availability", "suntap/4100000001/state",
                        "suntap/4100000001/availability", inverter["availability"][0]["topic"]}
    assert inverter["availability_mode"] == "all" and inverter["availability"][1]["topic"] == f"suntap/{SERIAL}/availability"
    assert inverter["state_topic"] == STATE


def test_every_quantity_as_entities(tmp_path, broker, subscriber, journal):
    journal.write([every_quantity(SOLAR_FAULT_CODE_3="7")], at=time.time())
    with Exporter(tmp_path, config(broker, "discovery = entity\nexpire_after = 26h\n"), journal=journal) as e:
        e.start()
        wait_for("the last of them", lambda: f"homeassistant/sensor/suntap_{SERIAL}/last_seen/config" in subscriber.topics())
        wait_for("the logger's", lambda: "homeassistant/sensor/suntap_4100000001/last_seen/config" in subscriber.topics())
        documents = {"4100000001": {}, SERIAL: {}}
        blocks = {}
        for topic in sorted(subscriber.topics()):
            m = re.fullmatch(r"homeassistant/(\w+)/suntap_(\w+)/([\w-]+)/config", topic)
            if not m:
                continue
            one, = subscriber.json_of(topic)
            shared = {k: one.pop(k) for k in ("device", "origin", "state_topic", "availability", "availability_mode", "qos")}
            assert blocks.setdefault(m[2], shared) == shared and one["expire_after"] == 26 * 3600
            documents[m[2]][m[3]] = {"platform": m[1], **one}
        for serial, components in documents.items():
            check_document({**blocks[serial], "components": components})
        check_every_quantity(*({"components": documents[s]} for s in (SERIAL, "4100000001")))
        assert not any("/device/" in t for t in subscriber.topics())


def test_a_document_changes_seldom_and_is_kept(tmp_path, broker, subscriber, journal):
    with Exporter(tmp_path, config(broker), journal=journal) as e:
        journal.write([live(1, SOLAR_MANY=None)], at=time.time())
        e.start()
        wait_for("a document", lambda: subscriber.of(DOCUMENT))
        for n in range(5):
            journal.write([live(n + 2, **{f"SOLAR_PV{n + 2}_POWER": "5"})], at=time.time())
            time.sleep(0.3)
        journal.write([live(9, SOLAR_FIRMWARE_VERSION="2")], at=time.time())
        wait_for("the second", lambda: len(subscriber.of(DOCUMENT)) == 2, 20)
        second = subscriber.json_of(DOCUMENT)[1]
        assert "pv6_power" in second["components"] and second["device"]["sw_version"] == "2"
        e.stop()
        # a restart at night: nothing new in the journal
        subscriber.clear()
        e.start()
        wait_for("the document again", lambda: subscriber.json_of(DOCUMENT) == [second])
        wait_for("the state again", lambda: powers(subscriber.json_of(STATE)) == [9])
        assert subscriber.json_of(STATE)[-1]["pv6_power"] == 5
        wait_for("online", lambda: subscriber.of(f"suntap/{SERIAL}/availability") == [b"online"])
        e.kill()
        # a file that makes no sense: told, and the rest works
        with open(f"{e.state}/t.devices/{SERIAL}.json", "w", encoding="ascii") as f:
            f.write('{"version":1,"serial":"\\u0000"')
        e.start()
        e.wait_said("makes no sense and is left out")
        journal.write([live(10)], at=time.time())
        wait_for("a state", lambda: 10 in powers(subscriber.json_of(STATE)))


# ---------------------------------------------------------------- readings
def test_one_message_a_reading_in_order(tmp_path, broker, subscriber, journal):
    journal.write([live(n, ago=100 - n, SOLAR_PV1_VOLTAGE=None if n else "31.5") for n in range(100)], at=time.time() - 100)
    with Exporter(tmp_path, config(broker), journal=journal) as e:
        e.start().wait_ready()
        wait_for("100 states", lambda: len(powers(subscriber.json_of(STATE))) >= 100)
        assert once(powers(subscriber.json_of(STATE))) == list(range(100))
        # a record without a key takes none away
        assert all(s["pv1_voltage"] == 31.5 and s["status"] == "normal" for s in subscriber.json_of(STATE))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", subscriber.json_of(STATE)[-1]["last_seen"])
        e.wait_status("100 records exported")
        assert e.stop() == 0
        assert "i=64;" in str(e.cursors())
        # only what is new after a restart; the last state once more
        subscriber.clear()
        journal.write([live(100)], at=time.time())
        e.start()
        wait_for("the next", lambda: 100 in powers(subscriber.json_of(STATE)))
        assert set(powers(subscriber.json_of(STATE))) <= {99, 100}


def test_history_is_no_state(tmp_path, broker, subscriber, journal):
    now = time.time()
    journal.write([live(1, ago=90000)], at=now - 90000)              # older than max_age
    journal.write([live(2, ago=60)], at=now - 60)
    journal.write([live(3, ago=7200, SUNTAP_HISTORIC="1"),           # kept by the device
                   live(4, ago=60, SUNTAP_REPEAT="1", SUNTAP_TIME=utc(int(now - 60))),
                   live(5, ago=4000, SUNTAP_TIME_SOURCE="device"),   # older than what it has said before
                   live(6, ago=5)], at=now - 30)
    with Exporter(tmp_path, config(broker), journal=journal) as e:
        e.start()
        wait_for("the last", lambda: 6 in powers(subscriber.json_of(STATE)))
        assert once(powers(subscriber.json_of(STATE))) == [2, 6]
        e.wait_said("older than max_age")
    with Exporter(tmp_path, config(broker), journal=journal, arguments=["--since", "2024-01-01"]) as e:
        assert e.run() == 2 and "--since is not for it" in e.said()


def test_counters_of_energy(tmp_path, broker, subscriber, journal):
    """Home Assistant adds a whole meter where one wrong 0 comes through."""
    now = int(time.time())
    midnight = now - now % 86400
    day = 23 * 3600 if now - midnight < 3600 else 0         # not over a midnight
    base = min(midnight + 1800, now - 100) - day if now - midnight > 3600 else now - 7200
    journal.write([live(n, SUNTAP_TIME=utc(base + 300 * n), SOLAR_ENERGY_TOTAL=total, SOLAR_ENERGY_TODAY=today)
                   for n, (total, today) in enumerate([("1000.5", "5.1"), ("0", "0"), ("1000.6", "5.2"), ("17", "999"), ("1000.7", "5.3"),
                                                      ("0.3", "5.4"), ("0.4", "5.5")])], at=now - 3000)
    with Exporter(tmp_path, config(broker), journal=journal) as e:
        e.environment["TZ"] = "UTC"
        e.start()
        wait_for("the last", lambda: 6 in powers(subscriber.json_of(STATE)))
        by_power = {s["ac_power"]: s for s in subscriber.json_of(STATE)}
        assert [by_power[n]["energy_total"] for n in range(7)] == [1000.5, 1000.5, 1000.6, 1000.6, 1000.7, 1000.7, 0.4]
        assert [by_power[n]["energy_today"] for n in range(7)] == [5.1, 5.1, 5.2, 5.2, 5.3, 5.4, 5.5]
        # what the counters stood at is known after a kill as well, also for records that come again
        wait_for("the file", lambda: os.path.exists(f"{e.state}/t.devices/{SERIAL}.json"))
        e.wait_status("7 records exported")
        e.kill()
        os.unlink(f"{e.state}/t.cursors")
        subscriber.clear()
        journal.write([live(7, SUNTAP_TIME=utc(now - 1), SOLAR_ENERGY_TOTAL="0", SOLAR_ENERGY_TODAY="5.6")], at=now - 1)
        e.start()
        wait_for("the last", lambda: 7 in powers(subscriber.json_of(STATE)))
        assert {s["energy_total"] for s in subscriber.json_of(STATE)} == {0.4}
        assert all(s["energy_today"] >= 5.5 for s in subscriber.json_of(STATE))


# ---------------------------------------------------------------- availability
def test_availability(tmp_path, broker, subscriber, journal):
    journal.write([live(1)], at=time.time())
    with Exporter(tmp_path, config(broker, "client_id = me\nsilence = 4s\n"), journal=journal) as e:
        service, device = "suntap/exporter/me/availability", f"suntap/{SERIAL}/availability"
        e.start()
        wait_for("online", lambda: subscriber.of(service) == [b"online"] and subscriber.of(device) == [b"online"])
        wait_for("silence", lambda: subscriber.of(device) == [b"online", b"offline"], 10)
        journal.write([live(2)], at=time.time())
        wait_for("back", lambda: subscriber.of(device)[-1] == b"online")
        e.kill()
        wait_for("the will", lambda: subscriber.of(service) == [b"online", b"offline"])
        e.start()
        wait_for("online again", lambda: subscriber.of(service)[-1] == b"online")
        assert e.stop() == 0
        wait_for("offline", lambda: subscriber.of(service)[-1] == b"offline")
        assert retained(broker.port)[service] == "offline"


def test_birth_message(tmp_path, broker, subscriber, journal):
    journal.write([live(1), live(2, serial="OTHER")], at=time.time())
    with Exporter(tmp_path, config(broker), journal=journal) as e:
        e.start()
        wait_for("documents", lambda: subscriber.of(DOCUMENT) and "homeassistant/device/suntap_OTHER/config" in subscriber.topics())
        time.sleep(1)
        subscriber.clear()
        for nonsense in (b"offline", b"", b"online ", b"\xff" * 100):
            subscriber.publish("homeassistant/status", nonsense)
        subscriber.publish("homeassistant/status", "online")
        begun = time.monotonic()
        wait_for("all again", lambda: all(subscriber.of(t) for t in (
            DOCUMENT, STATE, f"suntap/{SERIAL}/availability", "suntap/OTHER/state")), 25)
        assert time.monotonic() - begun > 0.9
        order = [t for t, _, _ in subscriber.messages if SERIAL in t or t.startswith("suntap/exporter")]
        assert order.index(DOCUMENT) < order.index(f"suntap/{SERIAL}/availability") < order.index(STATE)


# ---------------------------------------------------------------- nothing is lost
def test_the_broker_is_away_for_a_while(tmp_path, broker, subscriber, journal):
    with Exporter(tmp_path, config(broker), journal=journal) as e:
        journal.write([live(n) for n in range(12)], at=time.time())
        e.start()
        wait_for("the first", lambda: 11 in powers(subscriber.json_of(STATE)))
        broker.stop()
        for n in range(12, 612, 100):
            journal.write([live(i) for i in range(n, n + 100)], at=time.time())
            time.sleep(0.1)
        e.wait_status("127.0.0.1")
        e.wait_said("the connection is lost")
        assert 'i=d;' not in str(e.cursors())
        broker.start()
        wait_for("the rest", lambda: 611 in powers(subscriber.json_of(STATE)), 60)
        got = powers(subscriber.json_of(STATE))
        assert set(got) == set(range(612)) and once(got) == sorted(set(got)) or set(got) == set(range(612))
        e.wait_said("works again")
        wait_for("the cursor", lambda: "i=264;" in str(e.cursors()))
        assert json.loads(retained(broker.port)[STATE])["ac_power"] == 611


class Withholding(threading.Thread):
    """A broker that speaks just enough of MQTT 5, and acknowledges states only when it is told to."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.client, self.states = None, {}     # power: mids; the last state is said once more at a start

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                self.client, _ = self.socket.accept()
                with contextlib.suppress(OSError, EOFError):
                    while True:
                        self.packet(self.client)

    @staticmethod
    def exactly(s, n):
        data = b""
        while len(data) < n:
            more = s.recv(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def packet(self, s):
        kind, length, shift = self.exactly(s, 1)[0], 0, 0
        while True:
            byte = self.exactly(s, 1)[0]
            length, shift = length | (byte & 127) << shift, shift + 7
            if byte < 128:
                break
        body = self.exactly(s, length)
        if kind >> 4 == 1:
            s.sendall(b"\x20\x03\0\0\0")
        elif kind >> 4 == 8:
            s.sendall(b"\x90\x04" + body[:2] + b"\0\x01")
        elif kind >> 4 == 12:
            s.sendall(b"\xd0\0")
        elif kind >> 4 == 3:
            n = int.from_bytes(body[:2], "big")
            topic, mid, payload = body[2:2 + n].decode(), body[2 + n:4 + n], body[5 + n:]
            if topic == STATE:
                self.states.setdefault(json.loads(payload)["ac_power"], []).append(mid)
            else:
                s.sendall(b"\x40\x02" + mid)

    def acknowledge(self, *powers_):
        for power in powers_:
            for mid in self.states[power]:
                self.client.sendall(b"\x40\x02" + mid)


def test_the_cursor_moves_on_acknowledgement(tmp_path, journal):
    journal.write([live(n) for n in range(1, 11)], at=time.time())
    broker = Withholding()
    broker.start()
    with Exporter(tmp_path, config(broker), journal=journal) as e:
        def cursor():
            return re.search(r"i=([0-9a-f]+);|$", str(e.cursors()))[1]
        e.start()
        wait_for("the states", lambda: len(broker.states) == 10)
        time.sleep(2.5)
        assert cursor() is None and "exported" not in e.listen().status.replace("0 records exported", "")
        broker.acknowledge(2, 3, 5)             # not the first
        time.sleep(2.5)
        assert cursor() is None
        broker.acknowledge(1)
        wait_for("the first three", lambda: cursor() == "3")
        broker.acknowledge(4)
        wait_for("the first five", lambda: cursor() == "5")
        e.kill()
        broker.states.clear()
        e.start()
        wait_for("those that are left", lambda: set(broker.states) >= {6, 7, 8, 9, 10})
        time.sleep(0.5)
        assert set(broker.states) == {6, 7, 8, 9, 10}
        # the connection breaks: they come again
        broker.states.clear()
        broker.client.shutdown(socket.SHUT_RDWR)
        wait_for("again", lambda: set(broker.states) == {6, 7, 8, 9, 10})
        broker.acknowledge(6, 7, 8, 9, 10)
        wait_for("all", lambda: cursor() == "a")
    broker.socket.close()


@pytest.mark.skipif(SOAK < 2, reason="waits for more than a minute: make soak")
def test_a_broker_that_never_acknowledges(tmp_path, journal):
    """It answers pings, so the connection is fine; that nothing arrives has to be told all the same."""
    journal.write([live(n) for n in range(1, 1001)], at=time.time())
    broker = Withholding()
    broker.start()
    with Exporter(tmp_path, config(broker), journal=journal) as e:
        e.start()
        e.wait_said("the broker does not acknowledge what it is sent", 90)
        e.wait_status("does not acknowledge")
        assert e.memory_kib()[0] < 32 * 1024 and not any("i=" in c for c in e.cursors().values())
        first = set(broker.states)
        broker.states.clear()
        wait_for("a new connection", lambda: set(broker.states) >= first)
    broker.socket.close()


def test_what_is_sent_to_a_subscribed_topic(tmp_path, broker, subscriber, journal):
    """Whoever may publish to Home Assistant's topic: huge, retained, a flood, anything but online."""
    journal.write([live(1)], at=time.time())
    subscriber.publish("homeassistant/status", b"online" * 8_000_000, retain=True)
    with Exporter(tmp_path, config(broker), journal=journal) as e:
        e.start()
        e.wait_status("1 records exported")
        for n in range(300):
            subscriber.client.publish("homeassistant/status", bytes([n % 256]) * (n * 10), 1)
            subscriber.client.publish("homeassistant/status", "online", 1)
        said = len(subscriber.of(DOCUMENT))
        wait_for("the document once more", lambda: len(subscriber.of(DOCUMENT)) > said, 30)
        journal.write([live(2)], at=time.time())
        wait_for("a state", lambda: 2 in powers(subscriber.json_of(STATE)))
        assert e.memory_kib()[1] < 40 * 1024
        assert len(subscriber.of(DOCUMENT)) <= said + 4 and "lost" not in e.said()


class Rubbish(Withholding):
    """Answers what it is greeted with, takes one message, and sends what no broker would."""

    def __init__(self, rubbish):
        super().__init__()
        self.rubbish, self.times = rubbish, 0

    def packet(self, s):
        super().packet(s)
        if self.states:
            self.times += 1
            s.sendall(self.rubbish)


@pytest.mark.parametrize("rubbish", [bytes(range(256)) * 16, b"\x40\xff\xff\xff\xff\xff", b"\x30\xff\xff\xff\x7f" + b"x" * 100_000,
                                     b"\x40\x02\xff\xff" * 1000, b"\xd0\x00" * 5000])
def test_a_broker_that_sends_rubbish(tmp_path, journal, rubbish):
    """Told, tried again, and nothing is believed of it: what was not acknowledged is not over."""
    journal.write([live(n) for n in range(1, 11)], at=time.time())
    broker = Rubbish(rubbish)
    broker.start()
    with Exporter(tmp_path, config(broker), journal=journal) as e:
        e.start().wait_ready()
        wait_for("some of it", lambda: broker.times >= 2)
        broker.rubbish = b""
        wait_for("all states", lambda: set(broker.states) >= set(range(1, 11)), 60)
        assert e.process.poll() is None and e.memory_kib()[0] < 32 * 1024
        assert not any("i=" in c for c in e.cursors().values())
        assert e.stop() == 0
    broker.socket.close()


def test_killed_at_random_moments(tmp_path, broker, subscriber, journal):
    random.seed(11)
    total = 0
    with Exporter(tmp_path, config(broker), journal=journal) as e:
        for _ in range(12):
            journal.write([live(n) for n in range(total, total + 300)], at=time.time())
            total += 300
            e.start()
            time.sleep(random.uniform(0, 0.25))
            e.kill()
        e.start()
        wait_for("all of them", lambda: set(powers(subscriber.json_of(STATE))) == set(range(total)))
        wait_for("the last", lambda: powers(subscriber.json_of(STATE))[-1] == total - 1)
        e.wait_status("records exported")
        assert e.stop() == 0
    assert json.loads(retained(broker.port)[STATE])["ac_power"] == total - 1


def test_memory_with_many_readings_and_a_broker_that_is_away(tmp_path, journal):
    """The journal is the queue: 20,000 readings wait there, not here."""
    with Broker(tmp_path / "broker") as broker:
        journal.write([live(n, serial=f"S{n % 50}") for n in range(20000)], at=time.time() - 1000)
        with Exporter(tmp_path, config(broker), journal=journal) as e:
            e.start().wait_ready()
            wait_for("connected", lambda: e.listen().status)
            os.kill(broker.process.pid, signal.SIGSTOP)
            time.sleep(3)
            assert e.memory_kib()[0] < (128 if SANITIZED else 32) * 1024
            os.kill(broker.process.pid, signal.SIGCONT)
            e.wait_status("20000 records exported")
            assert e.memory_kib()[0] < (128 if SANITIZED else 32) * 1024


# ---------------------------------------------------------------- what goes wrong
def secret(tmp_path, text, name="secret"):
    path = tmp_path / name
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def test_credentials(tmp_path, journal):
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(tmp_path / "passwords"), "solar", "right"], check=True)
    journal.write([live(1)], at=time.time())
    file = secret(tmp_path, "wrong-secret")
    with Broker(tmp_path / "broker", f"allow_anonymous false\npassword_file {tmp_path}/passwords") as broker:
        for more, says in ((f"user = solar\npassword_file = {file}\n", "does not accept the user or the password"),
                           ("", "wants a user and a password"),
                           (f"version = 3.1.1\nuser = solar\npassword_file = {file}\n", "does not accept the user or the password")):
            with Exporter(tmp_path, config(broker, more), journal=journal) as e:
                e.start().wait_ready()
                e.wait_status(says)
                assert "wrong-secret" not in e.said() and "nothing is lost" in e.said()
                assert not any("i=" in c for c in e.cursors().values())
                if not more.startswith("user"):
                    continue
                # mended without a restart
                secret(tmp_path, "right")
                e.wait_said("works again", 20)
                e.wait_status("1 records exported")
                assert "right" not in open(f"/proc/{e.process.pid}/cmdline", encoding="utf-8").read()
                e.stop()
                os.unlink(f"{e.state}/t.cursors")
                secret(tmp_path, "wrong-secret")
        # a credential of the unit
        (tmp_path / "credentials").mkdir()
        secret(tmp_path / "credentials", "right", "mqtt.password")
        with Exporter(tmp_path, config(broker, "user = solar\npassword_file = mqtt.password\n"), journal=journal,
                      credentials=tmp_path / "credentials") as e:
            e.start()
            e.wait_status("1 records exported")


def test_what_the_broker_does_not_allow(tmp_path, journal):
    (tmp_path / "acl").write_text(f"topic readwrite suntap/#\ntopic readwrite homeassistant/#\ntopic deny {STATE}\n")
    journal.write([live(1), live(2, serial="GOOD")], at=time.time())
    with Broker(tmp_path / "broker", f"allow_anonymous true\nacl_file {tmp_path}/acl") as broker:
        with Exporter(tmp_path, config(broker), journal=journal) as e:
            e.start()
            e.wait_said("the destination refuses a record, which is left out: not allowed to write to this topic (cursor s=")
            # 2.0.11 closes the connection when more comes behind what it has refused: it goes on after that
            wait_for("both", lambda: "2 records exported, 1 refused" in e.listen().status, 60)


def certificates(folder):
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
    for ca in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-subj", f"/CN={ca}", "-days", "9")
    for name, san in (("server", "IP:127.0.0.1"), ("wrong", "DNS:elsewhere.example"), ("client", "DNS:client")):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "ext").write_text(f"subjectAltName={san}\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", f"{name}.pem",
                "-days", "9", "-extfile", "ext")


def test_tls(tmp_path, journal):
    certificates(tmp_path)
    journal.write([live(1)], at=time.time())
    good = f"ca_file = {tmp_path}/ca.pem\ncertificate_file = {tmp_path}/client.pem\nkey_file = {tmp_path}/client.key\n"

    def tls_broker(server):
        return Broker(tmp_path / f"broker-{server}", f"cafile {tmp_path}/ca.pem\ncertfile {tmp_path}/{server}.pem\n"
                      f"keyfile {tmp_path}/{server}.key\nrequire_certificate true\nallow_anonymous true")

    def says(broker, more, text, scheme="mqtts"):
        with Exporter(tmp_path, f"[mqtt t]\nurl = {scheme}://127.0.0.1:{broker.port}\n{more}", journal=journal) as e:
            e.start().wait_ready()
            e.wait_status(text)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{e.state}/t.cursors")
            return e.said()

    with tls_broker("server") as broker:
        says(broker, good, "1 records exported")
        assert "certificate verify failed" in says(broker, good.replace("/ca.pem", "/other.pem"), "certificate")
        says(broker, f"ca_file = {tmp_path}/ca.pem\n", "127.0.0.1")             # we show none
        says(broker, good, "is it a port for TLS (mqtts://)?", "mqtt")
        says(broker, good.replace("/ca.pem", "/other.pem") + "verify = no\n", "1 records exported")
    with tls_broker("wrong") as broker:
        says(broker, good, "TLS")
        says(broker, good + "verify = no\n", "1 records exported")
    with Exporter(tmp_path, f"[mqtt t]\nurl = mqtts://127.0.0.1:1\nca_file = {tmp_path}/none.pem\n", journal=journal) as e:
        assert e.run() == 1 and "the files for TLS cannot be used" in e.said()


def test_not_there(tmp_path, journal):
    journal.write([live(1)], at=time.time())
    for url, says in ((f"mqtt://127.0.0.1:{free_port()}", "Connection refused"), ("mqtt://nowhere.invalid", "its name has no address")):
        with Exporter(tmp_path, f"[mqtt t]\nurl = {url}\n", journal=journal) as e:
            e.start().wait_ready()
            e.wait_status(says)
            assert e.stop() == 0
    # takes connections, and says nothing: the loop goes on, and the end is at once
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        with Exporter(tmp_path, f"[mqtt t]\nurl = mqtt://127.0.0.1:{s.getsockname()[1]}\n", journal=journal) as e:
            e.start().wait_ready()
            wait_for("a status", lambda: e.listen().status)
            begun = time.monotonic()
            assert e.stop() == 0 and time.monotonic() - begun < 3


class Old(threading.Thread):
    """A broker without MQTT 5, in front of one that has it: refuses it as 3.1.1 has it, or closes without a word."""

    def __init__(self, port, answer):
        super().__init__(daemon=True)
        self.behind, self.answer, self.levels = port, answer, []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.socket.accept()
                threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        data = s.recv(4096)
        level = data[data.index(b"MQTT") + 4]
        self.levels.append(level)
        if level != 4:
            s.sendall(self.answer)
            s.close()
            return
        to = socket.create_connection(("127.0.0.1", self.behind))
        to.sendall(data)
        threading.Thread(target=self.copy, args=(to, s), daemon=True).start()
        self.copy(s, to)

    @staticmethod
    def copy(a, b):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                b.sendall(data)
        a.close()
        b.close()


@pytest.mark.parametrize("answer", [b"\x20\x02\x00\x01", b""])
def test_a_broker_without_mqtt_5(tmp_path, broker, subscriber, journal, answer):
    journal.write([live(1)], at=time.time())
    old = Old(broker.port, answer)
    old.start()
    with Exporter(tmp_path, f"[mqtt t]\nurl = mqtt://127.0.0.1:{old.port}\n", journal=journal) as e:
        e.start()
        wait_for(lambda: f"a state: {old.levels} {e.said()}", lambda: powers(subscriber.json_of(STATE)))
        e.wait_status("1 records exported")
        assert old.levels[0] == 5 and old.levels[-1] == 4
        e.stop()
        if answer:      # 5 again at the next start
            old.levels.clear()
            e.start()
            wait_for("5, then 4", lambda: old.levels == [5, 4])
        e.stop()
    with Exporter(tmp_path, f"[mqtt t]\nurl = mqtt://127.0.0.1:{old.port}\nversion = 5\n", journal=journal) as e:
        e.start()
        e.wait_said("would be version = auto" if answer else "closed before it said anything")
    old.socket.close()


# ---------------------------------------------------------------- hostile
def test_hostile_contents(tmp_path, broker, subscriber, journal):
    evil = 'S/../#+"\n{{ states }}\\'
    journal.write([
        live(1, serial=evil, SUNTAP_LOGGER=evil + "l", SUNTAP_MODEL=evil, SOLAR_FIRMWARE_VERSION=evil, SOLAR_STATUS='"}\n{"x":' + "é" * 400,
             SOLAR_LAST_SEEN="never", SOLAR_ITEMS="5", SOLAR_AC_POWER="text in a number", SOLAR_PV1_VOLTAGE="1e400",
             SOLAR_FAULT_CODE="3", SOLAR_BIG_POWER="9" * 24),
        live(2, serial="S_____", SUNTAP_LOGGER=None), live(3, serial="homeassistant", SUNTAP_LOGGER="exporter"),
        live(4, serial="", SUNTAP_LOGGER=None, SUNTAP_DEVICE="exporter"),
        {"MESSAGE_ID": MESSAGE_ID["READING"], "SYSLOG_IDENTIFIER": "suntap", "MESSAGE": "nobody"},
        live(5, serial="LAST", SOLAR_TEXT="y" * 1_000_000, SOLAR_NUL=b"a\x00b\xff\x1b[31m")], at=time.time())
    with Exporter(tmp_path, config(broker), journal=journal) as e:
        e.start()
        wait_for("the last", lambda: subscriber.of("suntap/LAST/state"))
        wait_for("documents", lambda: "homeassistant/device/suntap_LAST/config" in subscriber.topics())
        odd = {t for t in subscriber.topics() if not re.fullmatch(
            r"(suntap/([A-Za-z0-9_-]+)/(state|availability)|suntap/exporter/[\w-]+/availability|homeassistant/device/suntap_[\w-]+/config)", t)}
        assert not odd
        mine = next(t for t in subscriber.topics() if re.fullmatch(r"suntap/S_[A-Za-z0-9_]*states[A-Za-z0-9_]*_[0-9a-f]{8}/state", t)
                    and "_l_" not in t and not t.endswith("l/state") and b"fault_code" in subscriber.of(t)[-1])
        state = subscriber.json_of(mine)[-1]
        assert "ac_power" not in state and "pv1_voltage" not in state and state["last_seen"] != "never"
        assert state["status"].startswith('"}?{"x":') and len(state["status"].encode()) <= 255
        for topic in subscriber.topics():
            if topic.endswith("config"):
                for document in subscriber.json_of(topic):
                    check_document(document)
                    assert "\n" not in json.dumps(document, ensure_ascii=False)
        assert subscriber.json_of("suntap/LAST/state")[-1]["nul"] == "a?b??[31m"
        assert len(subscriber.of("suntap/LAST/state")[-1]) < 2000
        # many of them: bounded
        journal.write([live(n, serial=f"M{n}", SUNTAP_LOGGER=None) for n in range(1500)], at=time.time())
        e.wait_said("what is beyond is not published")
        e.wait_status("records exported")
        assert e.memory_kib()[0] < 48 * 1024
        assert len(os.listdir(f"{e.state}/t.devices")) <= 1024


@pytest.mark.parametrize("text, says", [
    ("", ":1: url: is missing"),
    ("url = http://x\n", ':2: url: "http://x" is not understood; would be mqtt://'),
    ("url = mqtt://me:pw@x\n", ":2: url: has a user or a password in it"),
    ("url = mqtt://x:99999\n", "is not understood"), ("url = mqtt://x/path\n", "is not understood"),
    ("url = mqtt://x\npassword = abc\n", ":3: password: a secret does not belong in this file; would be password_file"),
    ("url = mqtt://x\npassword_file = /x\n", ":1: user: is missing beside password_file"),
    ("url = mqtt://x\ntopic = homeassistant/solar\n", ":1: topic: is below discovery_prefix"),
    ("url = mqtt://x\ntopic = a/#\n", ':3: topic: "a/#" is not understood'),
    ("url = mqtt://x\nkey_file = /k\n", ":1: certificate_file: is missing"),
    ("url = mqtt://x\nversion = 4\n", ':3: version: "4" is not understood'),
    ("url = mqtt://x\ndiscovery = yes\n", ':3: discovery: "yes" is not understood'),
])
def test_complaints(tmp_path, text, says):
    with Exporter(tmp_path, "[mqtt t]\n" + text) as e:
        assert e.run() == 78 and says in e.said(), e.said()
        assert "pw" not in e.said() and "abc" not in e.said()
