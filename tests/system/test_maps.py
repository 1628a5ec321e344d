# SPDX-License-Identifier: GPL-2.0-or-later
"""suntap maps: the shipped ones are listed and good; a bad one is told by line."""
import json
import os
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SUNTAP = os.path.join(TOP, os.environ.get("BUILD", "build"), "suntap")
MAPS = os.path.join(TOP, "maps")
SHIPPED = sorted(name for name in os.listdir(MAPS) if name.endswith(".ini"))


def suntap(*arguments):
    return subprocess.run([SUNTAP, "maps", *arguments], capture_output=True, text=True, check=False)


def test_all_are_listed():
    done = suntap("--json", "--maps", MAPS)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and done.stderr == ""
    assert [row["name"] for row in rows] == SHIPPED
    for row in rows:
        assert row["fields"] > 0 and row["chosen"] and row["source"] and row["protocol"], row["name"]
        assert row["path"] == os.path.join(MAPS, row["name"])
    tsun = next(row for row in rows if row["name"] == "tsun-02b0.ini")
    assert tsun["protocol"] == "solarman-v5" and "sensor_list 0x02b0" in tsun["chosen"]


def test_a_later_folder_replaces(tmp_path):
    (tmp_path / "tsun-02b0.ini").write_text("[map]\nsource = mine\nprotocol = solarman-v5\nsensor_list = 0x02b0\n"
                                            "[ac_power]\nat = 40\n")
    done = suntap("--json", "--maps", MAPS, "--maps", str(tmp_path))
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["name"] for row in rows] == SHIPPED
    assert [row["fields"] for row in rows if row["source"] == "mine"] == [1]


def test_shipped_maps_are_good():
    done = suntap("--check", *[os.path.join(MAPS, name) for name in SHIPPED])
    assert done.returncode == 0 and done.stderr == ""
    assert len(done.stdout.splitlines()) == len(SHIPPED)


def test_faults_by_line(tmp_path):
    bad = tmp_path / "bad.ini"
    bad.write_text("""[map]
protocol = solarman-v5
sensor_list = 0x9999
length = 21..100

[ac_power]
at = 20
type = u17

[pv1_voltage]
at = 99
type = u32

[ac_power]
at = 2
""")
    done = suntap("--check", str(bad), os.path.join(MAPS, "tsun-02b0.ini"))
    assert done.returncode == 1
    lines = sorted({int(line.split(":")[1]) for line in done.stderr.splitlines()})
    assert lines == [8, 10, 14]
    assert 'unknown type "u17"' in done.stderr and "beyond the record" in done.stderr and "there already" in done.stderr
    assert "tsun-02b0.ini: good" in done.stdout


def test_a_bad_one_does_not_hide_the_others(tmp_path):
    (tmp_path / "aaa.ini").write_text("[map]\nprotocol = solarman-v5\n")
    done = suntap("--json", "--maps", MAPS, "--maps", str(tmp_path))
    assert done.returncode == 1 and "aaa.ini:" in done.stderr
    assert len(done.stdout.splitlines()) == len(SHIPPED)


def test_what_is_no_map(tmp_path):
    rubbish = tmp_path / "rubbish.ini"
    rubbish.write_bytes(bytes(range(256)) * 20)
    for name in str(rubbish), str(tmp_path), str(tmp_path / "absent.ini"), "/dev/null":
        done = suntap("--check", name)
        assert done.returncode == 1 and done.stderr and done.stdout == "", name
        assert not any(c < " " for c in done.stderr.replace("\n", "")), name


def test_misuse():
    for arguments in ["--check"], ["file.ini"], ["--nonsense"], ["--check", "--json", "file.ini"]:
        assert suntap(*arguments).returncode == 2
