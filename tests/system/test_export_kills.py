# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 of each kind of exporter at random moments, while readings are written, files rotated, and the destination comes and
goes. SUNTAP_SOAK=N does N times the kills: more than 100 of each kind with 25."""
import os
import random
import threading
import time

import pytest

from export_lab import Exporter, Influx, Journal, Victoria, reading, utc, wait_for
from lab import SOAK
from test_export_core import lines_of
from test_export_mqtt import STATE, Broker, Subscriber
from test_export_mqtt import config as mqtt_config
from test_export_splunk import Collector
from test_export_splunk import config as splunk_config

KILLS = 5 * SOAK


class Feeder(threading.Thread):
    """Writes readings until it is told to stop; now and then the file is put aside, as journald does it."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.journal, self.total, self.files, self.end = Journal(folder), 0, 1, threading.Event()

    def run(self):
        while not self.end.is_set():
            now = time.time()
            self.journal.write([reading(n, SUNTAP_TIME=utc(round(now + (n - self.total) / 1000, 3)))
                                for n in range(self.total, self.total + 20)], at=now - self.journal.n / 1000)
            self.total += 20
            if self.total % 600 == 0:
                os.rename(f"{self.journal.folder}/a.journal", f"{self.journal.folder}/a@{self.files}.journal")
                self.files += 1
            time.sleep(0.05)

    def stop(self):
        self.end.set()
        self.join()
        return self.total


class ToJson:
    """What may be there twice has the same cursor."""

    def __init__(self, folder):
        self.file = folder / "out.json"
        self.config = f"[json t]\nfile = {self.file}\n"

    def start(self):
        pass

    stop = start

    def got(self):
        return [line["values"]["ac_power"] for line in lines_of(self.file)]


class ToInflux:
    def __init__(self, folder):
        self.server = Influx(folder / "influx").start()
        self.server.query("CREATE DATABASE solar")
        self.config = f"[influxdb t]\nurl = {self.server.url}\ndatabase = solar\n"

    def start(self):
        self.server.start()

    def stop(self):
        self.server.stop()

    def got(self):
        series = self.server.query("SELECT ac_power FROM solar", db="solar")
        return [row[1] for row in series[0]["values"]] if series else []


class ToVictoria(ToInflux):
    def __init__(self, folder):
        self.server = Victoria(folder / "victoria").start()
        self.config = f"[influxdb t]\nurl = {self.server.url}\ndatabase = solar\ntexts = no\n"

    def got(self):
        return [v for values in self.server.series("solar_ac_power").values() for v in values.values()]


class ToSplunk:
    def __init__(self, folder):
        self.server = Collector()
        self.server.__enter__()
        self.config = splunk_config(self.server, folder)

    def start(self):
        self.server.faults.clear()

    def stop(self):
        self.server.faults += [(503, {}, "")] * 1000

    def got(self):
        return [e["event"]["values"]["ac_power"] for e in list(self.server.events)]


class ToMqtt:
    def __init__(self, folder):
        self.server = Broker(folder / "broker").start()
        self.subscriber = Subscriber(self.server.port)
        self.config = mqtt_config(self.server)

    def start(self):
        self.server.start()

    def stop(self):
        self.server.stop()

    def got(self):
        return [s["ac_power"] for s in self.subscriber.json_of(STATE)]


@pytest.mark.parametrize("kind", [ToJson, ToInflux, ToVictoria, ToSplunk, ToMqtt])
def test_killed_while_readings_flow_and_the_destination_comes_and_goes(tmp_path, kind):
    random.seed(KILLS)
    feeder, to, outages = Feeder(tmp_path / "journal"), kind(tmp_path), 0
    feeder.start()
    try:
        with Exporter(tmp_path, to.config, journal=feeder.journal) as e:
            for n in range(KILLS):
                away = n % 6 == 3
                if away:
                    to.stop()
                    outages += 1
                e.start()
                time.sleep(random.uniform(0, 0.6))
                e.kill()
                if away:
                    to.start()
            total = feeder.stop()
            e.start()
            wait_for(lambda: f"readings {sorted(set(range(total)) - set(to.got()))[:50]} of {total}; {e.listen().status}",
                     lambda: len(set(to.got())) == total, 90)
            wait_for("all confirmed", lambda: "exported, the last from" in e.listen().status and "; " not in e.status)
            assert e.stop() == 0
        got = to.got()
        assert set(got) == set(range(total))
        # What was under way, or came since a cursor was saved, comes again; these know it as what they have.
        again = len(got) - total
        if kind in (ToInflux, ToVictoria):
            assert again == 0
        print(f"\n{kind.__name__}: {KILLS} kills, {outages} outages, {feeder.files} files: {total} readings, each there; {again} twice")
    finally:
        feeder.end.set()
        to.stop()
        if kind is ToSplunk:
            to.server.__exit__()
        if kind is ToMqtt:
            to.subscriber.__exit__()
