# SPDX-License-Identifier: GPL-2.0-or-later
"""suntap-export itself: cursors, many machines, rotation, JSON lines, bad configurations."""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time

import pytest

from export_lab import (BUILD, EXPORT, MESSAGE_ID, T0, TOP, Exporter, Journal, reading, utc, wait_for)


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal")


def lines_of(path):
    try:
        with open(path, encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.endswith("\n")]      # the last may just be being written
    except FileNotFoundError:
        return []


def powers(path):
    return [line["values"]["ac_power"] for line in lines_of(path) if line["type"] == "reading"]


def to_file(tmp_path, more="", **arguments):
    out = tmp_path / "out.json"
    return out, Exporter(tmp_path, f"[json t]\nfile = {out}\n{more}", **arguments)


def stdout(*arguments, **more):
    return subprocess.run([EXPORT, "--stdout", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60, check=False, **more)


# ---------------------------------------------------------------- JSON lines
def test_stdout(journal):
    journal.write([reading(0, SUNTAP_HISTORIC="1", SUNTAP_REPEAT="1", SUNTAP_MODEL="T 800", SOLAR_FIRMWARE_VERSION="007"),
                   {"MESSAGE_ID": MESSAGE_ID["FLOW_OPENED"], "MESSAGE": "a flow", "SYSLOG_IDENTIFIER": "suntap",
                    "SUNTAP_DEVICE": "roof", "SUNTAP_FLOW": "7"},
                   {"MESSAGE": "somebody else's", "SYSLOG_IDENTIFIER": "sshd"}], at=T0)
    answer = stdout("-D", journal.folder)
    assert answer.returncode == 0 and answer.stderr == ""
    one, two = [json.loads(line) for line in answer.stdout.splitlines()]
    assert re.fullmatch(r"s=[0-9a-f]{32};i=1;.*", one.pop("cursor"))
    assert one == {"type": "reading", "protocol": "tsun-gen3", "serial": "R170000000000001", "logger": "4100000001",
                   "model": "T 800", "device": "roof", "time": "2024-05-01T10:00:00Z", "historic": True, "repeat": True,
                   "values": {"ac_power": 0, "pv1_voltage": 30.5, "status": "normal", "firmware_version": "007"},
                   "machine": journal.machine}
    assert two["type"] == "event" and two["fields"] == {"MESSAGE": "a flow", "SUNTAP_FLOW": "7"}
    assert two["message_id"] == MESSAGE_ID["FLOW_OPENED"]


def test_stdout_from_a_date_and_into_a_pipe_that_closes(journal):
    journal.write([reading(n) for n in range(5000)])
    assert len(stdout("-D", journal.folder, "--since", "2024-05-01T10:00:03").stdout.splitlines()) == 2000
    assert len(stdout("-D", journal.folder, "--until", "2024-05-01T10:00:01").stdout.splitlines()) == 1001
    answer = subprocess.run(["bash", "-c", f"set -o pipefail; {EXPORT} --stdout -D {journal.folder} | head -n 3"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert len(answer.stdout.splitlines()) == 3 and answer.returncode == 0 and answer.stderr == ""


def test_a_file_that_is_rotated(tmp_path, journal):
    journal.write([reading(n) for n in range(10)])
    out, exporter = to_file(tmp_path, journal=journal)
    with exporter as e:
        e.start().wait_ready()
        wait_for("10 lines", lambda: len(powers(out)) == 10)
        os.rename(out, tmp_path / "old.json")
        e.process.send_signal(signal.SIGHUP)
        wait_for("a new file", out.exists)
        journal.write([reading(n) for n in range(10, 20)])
        wait_for("10 more", lambda: powers(out) == list(range(10, 20)))
        assert len(powers(tmp_path / "old.json")) == 10 and e.stop() == 0


def test_a_full_disk_leaves_no_half_lines(tmp_path, journal):
    """A tmpfs of 64 kB in a mount namespace; then room is made."""
    journal.write([reading(n, SOLAR_NOTE="x" * 500) for n in range(200)])
    folder = tmp_path / "small"
    folder.mkdir()
    _, exporter = to_file(tmp_path, journal=journal, wrapper=["unshare", "-rm", "sh", "-c",
        f'mount -t tmpfs -o size=64k small {folder} && head -c 40000 /dev/zero >{folder}/ballast && exec "$@"', "sh"])
    with open(exporter.config, "w", encoding="ascii") as f:
        f.write(f"[json t]\nfile = {folder}/out.json\n")
    with exporter as e:
        if subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
            pytest.skip("no user namespaces")
        e.start()
        e.wait_status("No space left on device")
        inside = f"/proc/{e.process.pid}/root{folder}"
        assert os.path.getsize(f"{inside}/out.json") == 0
        assert not any("i=" in c for c in e.cursors().values())
        os.unlink(f"{inside}/ballast")
        # still too small for all of it; whole lines, or nothing
        subprocess.run(["nsenter", "-U", "-m", "-t", str(e.process.pid), "--preserve-credentials", "mount", "-o",
                        "remount,size=10m", str(folder)], check=True)
        wait_for("all lines", lambda: len(powers(f"{inside}/out.json")) == 200)
        e.wait_said("works again")


def test_a_kill_in_the_middle_of_a_write_leaves_no_half_line(tmp_path, journal):
    """The kernel stops a write at a page when the process is killed: what is half there is cut off at the next start."""
    journal.write([reading(n) for n in range(5)])
    out, exporter = to_file(tmp_path, journal=journal)
    good = '{"type":"reading","values":{"ac_power":-1}}\n'
    with exporter as e:
        for left in ('{"type":"reading","serial":"R1', "{", '{"type":"reading","values":{"note":"' + "x" * 300_000):
            for before in ("", good):
                out.write_text(before + left)
                shutil.rmtree(e.state, ignore_errors=True)
                e.start()
                wait_for("the lines", lambda: out.read_text().count('"cursor":') == 5 and out.read_text().endswith("\n"))
                e.kill()
                assert powers(out) == [-1] * bool(before) + list(range(5))
        # what is not ours is not touched
        for text in ("dear diary", good + "dear diary", "x" * 2_000_000):
            out.write_text(text)
            assert e.run() == 1 and "does not end in a line of ours" in e.said()
            assert out.read_text() == text


# ---------------------------------------------------------------- cursors
def test_every_line_once_over_restarts_and_none_lost_over_kills(tmp_path, journal):
    random.seed(7)
    out, exporter = to_file(tmp_path, journal=journal)
    total = 0
    with exporter as e:
        for _ in range(3):
            journal.write([reading(n) for n in range(total, total + 1000)])
            total += 1000
            e.start().wait_ready()
            wait_for("the lines", lambda: len(powers(out)) >= total)
            assert e.stop() == 0
        assert powers(out) == list(range(total))
        for _ in range(10):
            journal.write([reading(n) for n in range(total, total + 1000)])
            total += 1000
            e.start()
            time.sleep(random.uniform(0, 0.06))
            e.kill()
        e.start().wait_ready()
        wait_for("the lines", lambda: set(powers(out)) == set(range(total)))
        assert e.stop() == 0
    lines = lines_of(out)
    assert len({line["cursor"] for line in lines}) == total


def test_start_at_the_end(tmp_path, journal):
    journal.write([reading(n) for n in range(10)])
    out, exporter = to_file(tmp_path, "start = end\n", journal=journal)
    with exporter as e:
        e.start().wait_ready()
        assert e.stop() == 0
        journal.write([reading(n) for n in range(10, 20)])     # while it is away
        e.start().wait_ready()
        wait_for("what came after", lambda: powers(out) == list(range(10, 20)))


def test_a_cursor_file_that_makes_no_sense(tmp_path, journal):
    journal.write([reading(n) for n in range(10)])
    out, exporter = to_file(tmp_path, journal=journal)
    with exporter as e:
        e.start()
        wait_for("10 lines", lambda: len(powers(out)) == 10)
        e.stop()
        path = f"{e.state}/t.cursors"
        with open(path, encoding="ascii") as f:
            good = f.read()
        for n, bad in enumerate([good[:-9], "garbage\n", "", good.replace("s=", "s=\x1b[31m"), good.replace(";", "\n"),
                                 good.replace("# end", f"{'f' * 32} s=zz;i=1\n# end"), good + "more\n"]):
            with open(path, "w", encoding="ascii") as f:
                f.write(bad)
            e.start()
            wait_for("everything again", lambda n=n: len(powers(out)) == 10 * (n + 2))
            e.stop()
            assert os.path.exists(path + ".bad") and "makes no sense" in e.said()
            assert "\x1b" not in e.said()
        # well-formed, but of no journal: libsystemd refuses it or does not find it
        with open(path, "w", encoding="ascii") as f:
            f.write(re.sub(r"s=\S+", "s=;;;;;;;;i=", good))
        e.start()
        wait_for("everything again", lambda: len(powers(out)) == 90)


def test_the_cursor_can_not_be_saved(tmp_path, journal):
    journal.write([reading(0)])
    out, exporter = to_file(tmp_path, journal=journal)
    with exporter as e:
        e.start().wait_ready()
        wait_for("the cursor", lambda: any("i=" in c for c in e.cursors().values()))
        shutil.rmtree(e.state)
        journal.write([reading(1)])
        e.wait_said("cannot be written")
        e.wait_status("cursors cannot be saved")
        wait_for("it goes on", lambda: powers(out) == [0, 1])
        os.mkdir(e.state)
        journal.write([reading(2)])
        e.wait_said("can be written again")
        assert "i=" in next(iter(e.cursors().values()))


def test_disk_full_for_the_cursor(tmp_path, journal):
    journal.write([reading(n) for n in range(10)])
    out, exporter = to_file(tmp_path, journal=journal)
    os.mkdir(exporter.state)
    exporter.command = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=8k small {exporter.state} && '
                        f'head -c 8192 /dev/zero >{exporter.state}/ballast; exec "$@"', "sh", *exporter.command]
    with exporter as e:
        if subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
            pytest.skip("no user namespaces")
        e.start()
        e.wait_said("No space left on device")
        wait_for("the lines all the same", lambda: powers(out) == list(range(10)))
        os.unlink(f"/proc/{e.process.pid}/root{e.state}/ballast")
        e.wait_said("can be written again")


def test_one_exporter_of_a_section(tmp_path, journal):
    journal.write([reading(0)])
    out, exporter = to_file(tmp_path, journal=journal)
    with exporter as e:
        e.start().wait_ready()
        assert e.run() == 1
        assert "another suntap-export runs for this section" in e.said()
        wait_for("the line", lambda: powers(out) == [0])


def test_entries_that_were_rotated_away(tmp_path, journal):
    journal.write([reading(n) for n in range(100)])
    out, exporter = to_file(tmp_path, journal=journal)
    with exporter as e:
        e.start()
        wait_for("100 lines", lambda: len(powers(out)) == 100)
        e.stop()
        os.unlink(f"{journal.folder}/a.journal")
        journal.file = "b.journal"
        journal.write([reading(n) for n in range(150, 160)])
        e.start()
        wait_for("what is left", lambda: powers(out)[100:] == list(range(150, 160)))
        e.wait_said("may have been rotated away")
        assert "2024-05-01T10:00:00" in e.said()


def test_rotation_while_it_runs(tmp_path, journal):
    out, exporter = to_file(tmp_path, journal=journal)
    journal.write([reading(0)])
    with exporter as e:
        e.start().wait_ready()
        for n in range(1, 8):
            journal.file = f"{n}.journal"
            journal.write([reading(n)])
            wait_for(f"line {n}", lambda n=n: powers(out) == list(range(n + 1)), 5)
        for n in range(1, 5):
            os.unlink(f"{journal.folder}/{n}.journal")
        journal.write([reading(8)])
        wait_for("line 8", lambda: powers(out) == list(range(9)), 5)
        maps = open(f"/proc/{e.process.pid}/maps", encoding="utf-8").read()
        assert "/1.journal (deleted)" not in maps
        assert "rotated away" not in e.said()


@pytest.mark.parametrize("running", [True, False])
def test_a_clock_that_is_behind_after_a_power_cut(tmp_path, journal, running):
    """journald begins another file with another sequence; until the clock is set its entries are older than what was exported."""
    out, exporter = to_file(tmp_path, journal=journal)
    journal.write([reading(n) for n in range(10)], at=T0 + 5000)
    with exporter as e:
        e.start().wait_ready()
        wait_for("10 lines", lambda: len(powers(out)) == 10)
        if not running:
            e.stop()
        os.rename(f"{journal.folder}/a.journal", f"{journal.folder}/a@1.journal~")
        journal.boot = "9" * 32
        journal.write([reading(n) for n in range(10, 20)], at=T0 + 3000)
        journal.write([reading(n) for n in range(20, 30)], at=T0 + 6000)
        if not running:
            e.start()
        wait_for("30 lines", lambda: powers(out) == list(range(30)))
        assert e.stop() == 0 and "rotated away" not in e.said()
        e.start().wait_ready()
        journal.write([reading(30)], at=T0 + 6000)
        wait_for("one more", lambda: powers(out) == list(range(31)))


def test_sequences_of_one_journal_one_after_the_other(tmp_path, journal):
    """Readings of three boots; what MQTT shows last must be the latest."""
    for n, file in enumerate(("a@1.journal", "a@2.journal", "a.journal")):
        journal.file = file
        journal.write([reading(i) for i in range(n * 600, n * 600 + 600)])
    out, exporter = to_file(tmp_path, journal=journal)
    with exporter as e:
        e.start()
        wait_for("the lines", lambda: len(powers(out)) == 1800)
        assert powers(out) == list(range(1800))
        # journald is done with two of them: closed, and opened again for nothing
        assert e.stop() == 0
        e.start().wait_ready()
        journal.write([reading(1800)])
        wait_for("one more", lambda: powers(out) == list(range(1801)))
        maps = open(f"/proc/{e.process.pid}/maps", encoding="utf-8").read()
        assert maps.count("a@1.journal") == maps.count("a@2.journal") and maps.count("a.journal") > maps.count("a@1.journal")


@pytest.mark.parametrize("running", [True, False])
def test_a_journal_that_is_copied(tmp_path, journal, running):
    """journalctl --flush copies what was in memory to a file with a sequence of its own."""
    out, exporter = to_file(tmp_path, journal=journal)
    journal.write([reading(n) for n in range(10)])
    with exporter as e:
        e.start()
        wait_for("10 lines", lambda: len(powers(out)) == 10)
        if not running:
            e.stop()
        copy = Journal(tmp_path)
        copy.write([reading(n) for n in range(15)])
        os.rename(tmp_path / "a.journal", f"{journal.folder}/a@2.journal")
        os.unlink(f"{journal.folder}/a.journal")
        if not running:
            e.start()
        wait_for("15 lines", lambda: len(powers(out)) >= 15)
        assert e.stop() == 0
        assert powers(out) == list(range(15))


# ---------------------------------------------------------------- who wrote it
def test_what_others_log_is_no_reading(tmp_path, journal):
    """Any user may log with SYSLOG_IDENTIFIER=suntap; who it was is journald's word."""
    forged = {"_SYSTEMD_UNIT": "user@1000.service", "_UID": "1000", "SOLAR_AC_POWER": "666"}
    journal.write([reading(0), reading(1, **forged), reading(2, **{**forged, "_SYSTEMD_UNIT": ""}),
                   reading(3, **{**forged, "_SYSTEMD_UNIT": "suntapd.service" + "x" * 100}),
                   reading(4, **{**forged, "_SYSTEMD_UNIT": "session-1.scope", "_SYSTEMD_USER_UNIT": "suntapd.service"}),
                   {"MESSAGE_ID": MESSAGE_ID["GAP"], "MESSAGE": "x", "SYSLOG_IDENTIFIER": "suntap", **forged},
                   {"MESSAGE": "no MESSAGE_ID: nothing to tell", "SYSLOG_IDENTIFIER": "suntap", **forged}, reading(5)])
    out, exporter = to_file(tmp_path, journal=journal)
    with exporter as e:
        e.start()
        wait_for("the last", lambda: 5 in powers(out))
        assert powers(out) == [0, 5] and len(lines_of(out)) == 2
        assert "not written by suntapd.service but by user@1000.service, user id 1000, and is left out" in e.said()
        assert "but by no unit, user id 1000" in e.said()
        assert e.said().count("is left out") == 3       # 5 of them; told at a limited rate
        e.stop()
    for arguments, more in ((["--unit", "any"], ""), ([], "unit = any\n"), (["--unit", "user@1000.service"], "")):
        with Exporter(tmp_path, f"[json t]\nfile = {out}2\n{more}", journal=journal, arguments=[*arguments, "--since", "2024-01-01"]) as e:
            assert e.run() == 0 and 666 in powers(f"{out}2")
            os.unlink(f"{out}2")
    assert len(stdout("-D", journal.folder).stdout.splitlines()) == 2
    assert len(stdout("-D", journal.folder, "--unit", "any").stdout.splitlines()) == 7


# ---------------------------------------------------------------- many machines
def test_entries_that_come_late(tmp_path):
    """Machine B uploads entries that are older than where A's cursor stands."""
    a = Journal(tmp_path / "journal", "a" * 32, "a.journal")
    b = Journal(tmp_path / "journal", "b" * 32, "b.journal")
    out, exporter = to_file(tmp_path, journal=a)
    a.write([reading(n, serial="A") for n in range(10)], at=T0 + 5000)
    with exporter as e:
        e.start().wait_ready()
        wait_for("A's", lambda: len(powers(out)) == 10)
        b.write([reading(n, serial="B") for n in range(10)], at=T0)      # a machine that was not there
        wait_for("B's", lambda: len(powers(out)) == 20, 5)
        a.write([reading(n, serial="A") for n in range(10, 20)], at=T0 + 6000)
        wait_for("A's", lambda: len(powers(out)) == 30, 5)
        e.stop()
        b.write([reading(n, serial="B") for n in range(10, 20)], at=T0 + 100)
        e.start()
        wait_for("B's", lambda: len(powers(out)) == 40, 5)
        wait_for("two cursors", lambda: len(e.cursors()) == 2)
    for serial in "AB":
        assert [line["values"]["ac_power"] for line in lines_of(out) if line["serial"] == serial] == list(range(20))


def test_a_hundred_machines(tmp_path):
    journals = [Journal(tmp_path / "journal", f"{n:032x}", f"remote-{n}.journal") for n in range(1, 101)]
    for n, j in enumerate(journals):
        j.write([reading(i, serial=f"S{n}") for i in range(3)], at=T0 + 1000 * n)
    out, exporter = to_file(tmp_path, journal=journals[0])
    with exporter as e:
        e.start().wait_ready()
        wait_for("300 lines", lambda: len(powers(out)) == 300)
        journals[50].write([reading(3, serial="S50")], at=T0)
        wait_for("one more", lambda: len(powers(out)) == 301, 5)
        assert e.memory_kib()[0] < 64 * 1024
        assert e.stop() == 0
        assert len(e.cursors()) == 100


# ---------------------------------------------------------------- configuration
@pytest.mark.parametrize("text, says", [
    ("[influxdb t]\nurl = http://x\ndatabase = d\nurls = 1\n", ":4: urls: unknown key; did you mean url?"),
    ("[influxdb t]\nurl = http://x\n", ":1: database: is missing"),
    ("[influxdb t]\nurl = ftp://x\ndatabase = d\n", ':2: url: "ftp://x" is not understood; would be http://'),
    ("[influxdb t]\nurl = http://me:pw@x\ndatabase = d\n", ":2: url: has a user or a password in it"),
    ("[influxdb t]\nurl = http://x\norg = o\nbucket = b\ntoken = abc\n", ":5: token: a secret does not belong in this file; "
     "would be token_file"),
    ("[influxdb t]\nurl = http://x\ndatabase = d\nbucket = b\norg=o\ntoken_file=/x\n", ":1: bucket: stands beside database"),
    ("[influxdb t]\nurl = http://x\ndatabase = d\ntags = serial, colour\n", ':4: tags: "colour" is not understood'),
    ("[splunk t]\nurl = https://x\n", ":1: token_file: is missing"),
    ("[json t]\nfile = out.json\n", ':2: file: "out.json" is not understood'),
    ("[json t]\nstart = now\nmatch = lower=1\njournal = elsewhere\n", ':4: journal: "elsewhere" is not understood'),
    ("[json t]\nunit = suntapd\n", ':2: unit: "suntapd" is not understood; would be the name of a unit'),
    ("[json u]\n", 'no section is called "t"; would be one of '),
    ("[json t]\n[influxdb t]\n", ":2: [influxdb t] has the name of [json t] in line 1"),
    ("[json t]\nfile = -\nfile = -\n", ":3: file: is there twice in this section, first in line 2"),
    ("[json t]\n[inverter ]\n", ":2: [inverter ]: would be the serial number"),
])
def test_complaints(tmp_path, text, says):
    with Exporter(tmp_path, text) as e:
        assert e.run() == 78
        assert f"{e.config}{says}" in e.said() or says in e.said(), e.said()
        assert "pw" not in e.said() and "abc" not in e.said()


def test_other_sections_do_not_matter(tmp_path, journal):
    journal.write([reading(0)])
    out, exporter = to_file(tmp_path, "[device roof]\nnonsense = 1\n[influxdb u]\nnonsense = 1\n[what]\n[splunk]\n", journal=journal)
    with exporter as e:
        e.start()
        wait_for("the line", lambda: powers(out) == [0])


def test_what_was_understood_reads_back(tmp_path):
    text = ("[influxdb a]\nurl = http://h:1/\ndatabase = d\ntags = machine serial\nmatch = _UID=1, _PID=2\n"
            "[splunk]\nurl = https://h\ntoken_file = cred\nacknowledge = on\n[json b]\nstart = end\njournal = all\n"
            "[inverter R17]\nname = Garage roof\npv1 = 8 modules\n")
    path = tmp_path / "a.ini"
    for _ in range(2):
        path.write_text(text)
        text = subprocess.run([EXPORT, "--check", path], check=True, stdout=subprocess.PIPE, text=True).stdout
        assert "url = http://h:1\n" in text and "tags = serial, machine\n" in text and "match = _UID=1, _PID=2\n" in text
        assert "[splunk]\n" in text and "acknowledge = yes\n" in text and "[inverter R17]\nname = Garage roof\n" in text
    assert path.read_text() == text


def test_secrets(tmp_path, journal):
    """As credentials of the unit; missing, empty, of two lines: said, and never shown."""
    journal.write([reading(0)])
    folder = tmp_path / "credentials"
    folder.mkdir()
    text = "[influxdb t]\nurl = http://127.0.0.1:1\norg = o\nbucket = b\ntoken_file = token\n"
    with Exporter(tmp_path, text, journal=journal) as e:
        assert e.run() == 1 and "LoadCredential=token:" in e.said()
    for content, says in ((None, "cannot be opened"), ("", "has to hold one line"), ("geheim\nX-Header: 1\n", "has to hold"),
                          ("geheim" * 1000, "has to hold")):
        (folder / "token").unlink(missing_ok=True)
        if content is not None:
            (folder / "token").write_text(content)
        with Exporter(tmp_path, text, journal=journal, credentials=folder) as e:
            os.unlink(e.log)
            assert e.run() == 1 and says in e.said() and "geheim" not in e.said()
    (folder / "token").write_text("geheim\n")
    (folder / "token").chmod(0o644)
    with Exporter(tmp_path, text, journal=journal, credentials=folder) as e:
        e.start().wait_ready()
        e.wait_said("can be read by everybody")
        with open(f"/proc/{e.process.pid}/cmdline", encoding="utf-8") as f:
            assert "geheim" not in f.read() + e.said()


@pytest.mark.parametrize("arguments", [[], ["--since", "yesterday", "t"], ["--bad"], ["a", "b"], ["-D", "relative", "t"],
                                       ["--since", "2024-13-01", "t"], ["--until", "2024-01-01", "t"], ["--unit", "", "t"]])
def test_misuse(arguments):
    assert subprocess.run([EXPORT, *arguments], stderr=subprocess.DEVNULL, check=False, timeout=10).returncode == 2


def test_a_journal_that_is_not_there(tmp_path):
    with Exporter(tmp_path, "[json t]\njournal = /nonexistent/journal\n") as e:
        assert e.run() == 1 and "/nonexistent/journal cannot be opened: No such file" in e.said()


# ---------------------------------------------------------------- the manual
def test_every_key_is_in_the_manual(tmp_path):
    with open(f"{TOP}/man/suntap-export.8", encoding="utf-8") as f:
        manual = f.read()
    named = set(re.findall(r"^\.It Ic (.*?)(?: No .*)?$", manual, re.M))
    named = {key for line in named for key in line.split(" , ")}
    for kind in re.findall(r"&destination_(\w+)", open(f"{TOP}/src/export/destinations.c", encoding="utf-8").read()):
        path = tmp_path / "x.ini"
        path.write_text(f"[{kind}]\nqqqqqqqqqqqqqq = 1\n")
        said = subprocess.run([EXPORT, "--check", path], stderr=subprocess.PIPE, text=True, check=False).stderr
        keys = re.search(r"would be one of (.*)", said)[1].split(", ")
        assert len(keys) > 3
        assert not [key for key in keys if key not in named], kind
        assert f"[{kind} Ar NAME" in manual


# ---------------------------------------------------------------- this machine's journal, live
LIVE = """
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for n in range(int(sys.argv[1]), int(sys.argv[2])):
    s.sendto(b"SYSLOG_IDENTIFIER=suntap\\nMESSAGE=x\\nMESSAGE_ID=%s\\nSUNTAP_SERIAL=R1\\nSUNTAP_TIME=2024-05-01T10:00:00Z\\n"
             b"SOLAR_AC_POWER=%d\\n" % (sys.argv[3].encode(), n), "/run/systemd/journal/socket")
"""


def test_this_machines_journal(tmp_path):
    """A real journald in a lab: entries arrive while it runs, and over rotation and vacuuming."""
    out = tmp_path / "out.json"
    (tmp_path / "suntap.ini").write_text(f"[json t]\nfile = {out}\nunit = any\n")
    (tmp_path / "live.py").write_text(LIVE)
    live = f"/usr/bin/python3 {tmp_path}/live.py"
    script = f"""set -e
        {live} 0 50 {MESSAGE_ID['READING']}; journalctl --sync
        {EXPORT} -c {tmp_path}/suntap.ini --state {tmp_path}/state t 2>{tmp_path}/log & pid=$!
        lines() {{ for i in $(seq 100); do [ "$(wc -l <{out})" = $1 ] && return; sleep 0.05; done; echo "no $1"; exit 1; }}
        sleep 0.3; lines 50
        for n in 1 2 3 4 5; do
            {live} $((n * 50)) $((n * 50 + 50)) {MESSAGE_ID['READING']}; lines $((n * 50 + 50))
            journalctl --rotate; [ $n != 3 ] || journalctl -q --vacuum-files=2
        done
        {live} 300 350 {MESSAGE_ID['READING']}; lines 350
        kill $pid; wait $pid"""
    lab = [f"{TOP}/tests/lab/journal-lab", "bash", "-c", script]
    done = subprocess.run(lab, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    if done.returncode == 1 and "Operation not permitted" in done.stdout:
        pytest.skip("no namespaces on this machine")
    assert done.returncode == 0, done.stdout + (tmp_path / "log").read_text()
    assert powers(out) == list(range(350))
    assert "memory" in (tmp_path / "log").read_text() or os.path.exists("/var/log/journal")


def test_the_journal_is_soon_full_of_what_waits(tmp_path):
    """A journald that may take 24 MB, and a database that is away: told before anything is lost, once."""
    (tmp_path / "suntap.ini").write_text("[influxdb t]\nurl = http://127.0.0.1:1\ndatabase = solar\nunit = any\nstart = end\n")
    (tmp_path / "live.py").write_text(
        "import os" + LIVE.replace("MESSAGE=x", "MESSAGE=%s").replace("(sys.argv[3]", "(os.urandom(4000).hex().encode(), sys.argv[3]"))
    script = f"""set -e
        printf '[Journal]\\nRuntimeMaxUse=24M\\nRuntimeMaxFileSize=4M\\n' >/run/systemd/journald.conf.d/z.conf
        kill $(pgrep -x -P $PPID systemd-journal); while pgrep -x -P $PPID systemd-journal >/dev/null; do sleep 0.05; done
        /lib/systemd/systemd-journald & journald=$!
        until journalctl -q MESSAGE_ID=ec387f577b844b8fa948f33cad9a75e6 | grep -q 'max 24'; do sleep 0.05; done
        said() {{ for i in $(seq 200); do grep -q "$1" {tmp_path}/log && return; sleep 0.1; done; cat {tmp_path}/log; exit 1; }}
        n=0; fill() {{ /usr/bin/python3 {tmp_path}/live.py $n $((n + 500)) {MESSAGE_ID['READING']}; n=$((n + 500)); journalctl --sync; }}
        while [ $(du -sm /run/log/journal | cut -f1) -lt 14 ]; do fill; done       # does not wait: start = end
        {EXPORT} -c {tmp_path}/suntap.ini --state {tmp_path}/state t 2>{tmp_path}/log & pid=$!
        until [ -s {tmp_path}/state/t.cursors ]; do sleep 0.05; done
        fill; said 'Failed to connect'; sleep 2
        if grep 'what waits fills' {tmp_path}/log; then exit 1; fi
        kill $pid; wait $pid
        waits() {{ find /run/log/journal -newer {tmp_path}/state/t.cursors -name '*.journal' -printf '%b\\n' | awk '{{ n += $1 }} END {{ print n + 0 }}'; }}
        while [ $(waits) -lt 34000 ]; do fill; done        # blocks of 512: 17 MB
        {EXPORT} -c {tmp_path}/suntap.ini --state {tmp_path}/state t 2>>{tmp_path}/log & pid=$!
        said 'what waits fills 1[0-9] of the [12][0-9] MB'
        kill $pid; wait $pid; kill $journald; wait $journald"""
    done = subprocess.run([f"{TOP}/tests/lab/journal-lab", "bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=90, check=False)
    if done.returncode == 1 and "Operation not permitted" in done.stdout:
        pytest.skip("no namespaces on this machine")
    said = (tmp_path / "log").read_text()
    assert done.returncode == 0, done.stdout + said
    assert said.count("what waits fills") == 1 and "SystemMaxUse=" in said
