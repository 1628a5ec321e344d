# SPDX-License-Identifier: GPL-2.0-or-later
"""What is written agrees with what is built: ids, fields, options."""
import os
import re
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, os.environ.get("BUILD", "build"))


def text(*path):
    with open(os.path.join(TOP, *path), encoding="utf-8") as f:
        return f.read()


def sources(folder):
    at = os.path.join(TOP, "src", folder)
    return "".join(text("src", folder, name) for name in sorted(os.listdir(at)) if name.endswith(".c"))


IDS = dict(re.findall(r'#define MESSAGE_ID_(\w+)\s+"([0-9a-f]{32})"', text("src/shared/message_ids.h")))
PAGE = text("man/suntap.journal-fields.7")


LIBRARIES = {"seccomp.h": "libseccomp", "cap-ng.h": "libcap-ng", "ini.h": "inih", "jansson.h": "jansson", "zlib.h": "zlib",
             "microhttpd.h": "libmicrohttpd", "mosquitto.h": "libmosquitto", "resolv.h": "libresolv"}


def folders_of_the_table():
    return re.findall(r"^\| `src/(\w+)` \| .* \| (.*) \|$", text("docs/architecture.md"), re.M)


def test_what_each_folder_may_use():
    """The table in docs/architecture.md against the includes: no more is used, and no more is allowed than is used."""
    assert sorted(name for name, _ in folders_of_the_table()) == sorted(os.listdir(os.path.join(TOP, "src")))
    for folder, may in folders_of_the_table():
        at = os.path.join(TOP, "src", folder)
        code = "".join(text("src", folder, name) for name in os.listdir(at))
        used = set(re.findall(r'^#include "(\w+)/', code, re.M)) - {folder}
        for header in re.findall(r"^#include <(.*)>", code, re.M):
            found = re.match(r"systemd/(sd-\w+)\.h|(lib\w+)/|(curl|pcap)/", header)
            if found:
                used.add(found[1] or found[2] or f"lib{found[3]}")
            elif header in LIBRARIES:
                used.add(LIBRARIES[header])
        assert set(re.sub(r"[`]|\([^)]*\)", "", may).replace(" ", "").split(",")) == used, folder


def test_ids_in_the_manual():
    told = {name: number for number, name in re.findall(r"\.It Li ([0-9a-f]{32})\n\.Dv (\w+)", PAGE)}
    assert told == IDS and len(set(IDS.values())) == len(IDS)


def test_ids_in_the_catalog():
    told = re.findall(r"^-- ([0-9a-f]{32})$", text("systemd/suntap.catalog"), re.M)
    assert sorted(told) == sorted(IDS.values())


def test_every_id_is_used():
    code = sources("decoder") + sources("suntapd")
    assert not [name for name in IDS if f"MESSAGE_ID_{name}" not in code]


def test_marks_of_the_daemon_in_the_manual():
    """(d): the entry is suntapd's."""
    marked = set(re.findall(r"\.Dv (\w+)\n\(d\)", PAGE))
    assert marked == set(re.findall(r"MESSAGE_ID_(\w+)", sources("suntapd")))


def test_fields_in_the_manual():
    code = sources("decoder") + sources("suntapd")
    written = set(re.findall(r'"(SUNTAP_[A-Z_]+)(?==|")', code))
    items = " ".join(re.findall(r"^\.It Va (.*)$", PAGE, re.M))
    assert set(re.findall(r"\bSUNTAP_[A-Z_]+", items)) == written


def test_fields_in_the_catalog_exist():
    asked = set(re.findall(r"@(\w+)@", text("systemd/suntap.catalog")))
    assert not [f for f in asked if f"Va {f}" not in PAGE]


def test_ends_of_flows_in_the_manual():
    words = re.findall(r'\[FLOW_END_\w+\] = \{ "([a-z-]+)"', text("src/shared/flow_entry.c"))
    assert words and not [w for w in words if f".Ql {w}" not in PAGE]


def test_options_in_the_manuals():
    for program, *words, page in ("suntapd", "man/suntapd.8"), ("suntap", "man/suntap.1"), ("suntap", "decode", "man/suntap.1"), \
            ("suntap", "maps", "man/suntap.1"), \
            ("suntap", "sim", "man/suntap.1"), ("suntap", "capture", "man/suntap.1"):
        said = subprocess.run([os.path.join(BUILD, program), *words, "--help"], capture_output=True, text=True,
                              check=True).stdout
        told = set(re.findall(r"--([a-z]+(?:-[a-z]+)*)", said))
        assert "help" in told
        assert not [o for o in told if f"Fl Fl {o}" not in text(page)], program


def test_versions_agree():
    version = re.search(r"^VERSION\s*:=\s*(\S+)", text("Makefile"), re.M)[1]
    said = subprocess.run([os.path.join(BUILD, "suntapd"), "--version"], capture_output=True, text=True, check=True).stdout
    assert said == f"suntapd {version}\n"
    assert f"## {version}" in text("CHANGELOG.md")


def test_manuals_are_without_fault():
    """Manuals of other packages need not be installed here; ours find each other."""
    pages = sorted(os.listdir(os.path.join(TOP, "man")))
    assert {"suntapd.8", "suntap.1", "suntap.ini.5", "suntap.journal-fields.7"} <= set(pages)
    done = subprocess.run(["mandoc", "-Tlint", *pages], cwd=os.path.join(TOP, "man"), stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=False)
    ours = [line for line in done.stdout.splitlines()
            if "referenced manual not found" not in line or re.search(r"Xr suntap", line)]
    assert ours == []
