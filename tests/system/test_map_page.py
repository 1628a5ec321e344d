# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/maps.md followed to the letter: its files are written, its commands run, its output must come."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("SUNTAP_BUILD", os.environ.get("BUILD", "build"))
PAGE = (ROOT / "docs" / "maps.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", PAGE, re.M | re.S)
CONSOLE = [(text.split("\n")[0].removeprefix("$ "), text.split("\n", 1)[1]) for kind, _, text in BLOCKS if kind == "console"]


@pytest.fixture(name="folder")
def files_of_the_page(tmp_path):
    (tmp_path / "maps").mkdir()
    for kind, name, text in BLOCKS:
        if kind == "transcript":
            (tmp_path / name).write_text(text, encoding="utf-8")
        elif kind == "ini":
            (tmp_path / "maps" / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_page_has_it_all():
    assert len(CONSOLE) == 5
    assert {name for kind, name, _ in BLOCKS if kind == "ini"} == {"helio-duo.ini", "helio-duo-modbus.ini"}


@pytest.mark.parametrize("command,output", CONSOLE, ids=[command for command, _ in CONSOLE])
def test_command(command, output, folder):
    if "xxd" in command and not shutil.which("xxd"):
        pytest.skip("no xxd here")
    p = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, timeout=60, check=False,
                       env={**os.environ, "PATH": f"{BUILD}:{os.environ['PATH']}"})
    assert p.returncode == 0, p.stderr
    assert p.stderr == ""
    # Of two reports the page shows the first.
    assert p.stdout.startswith(output), p.stdout


def test_maps_to_learn_from_exist():
    section = PAGE.split("## 7.")[1].split("## 8.")[0]
    named = re.findall(r"`([\w-]+\.ini)`", section)
    assert named and not [n for n in named if not (ROOT / "maps" / n).exists()]


def test_faults_are_told_by_line(folder):
    bad = folder / "helio-duo.ini"
    text = (folder / "maps" / "helio-duo.ini").read_text(encoding="utf-8")
    bad.write_text(text.replace("[ac_voltage]\nat = 47\nscale = 0.1", "[ac_voltage]\nat = 47\nscale = 0,1"), encoding="utf-8")
    line = bad.read_text(encoding="utf-8").split("\n").index("scale = 0,1") + 1
    p = subprocess.run([BUILD / "suntap", "maps", "--check", bad], capture_output=True, text=True, check=False)
    assert p.returncode == 1
    assert f'helio-duo.ini:{line}: [ac_voltage] scale: "0,1" is no number; write e.g. 0.1, -0.01 or 100/1024' in \
        p.stdout + p.stderr
