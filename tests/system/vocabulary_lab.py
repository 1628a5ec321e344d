# SPDX-License-Identifier: GPL-2.0-or-later
"""Every name that a reading may have: of the maps, of the vocabulary's document and of the decoders."""
import glob
import os
import re

from export_lab import TOP


def expand(name):
    m = re.search(r"\{(\d+)\.\.(\d+)\}", name)
    if m:
        return [x for i in range(int(m[1]), int(m[2]) + 1) for x in expand(name[:m.start()] + str(i) + name[m.end():])]
    return expand(name.replace("{n}", "1")) + expand(name.replace("{n}", "3")) if "{n}" in name else [name]


def every_name():
    names = set()
    for path in glob.glob(os.path.join(TOP, "maps/*.ini")):
        with open(path, encoding="utf-8") as f:
            for line in f:
                m = re.match(r"\[([a-z][a-z0-9_]*(\{\d+\.\.\d+\}[a-z0-9_]*)?)(\.\w+)?\]", line)
                if m and m[1] != "map":
                    names.update(expand(m[1]))
    with open(os.path.join(TOP, "docs/vocabulary.md"), encoding="utf-8") as f:
        for word in re.findall(r"`([a-z][a-z0-9_{}]*[a-z0-9}])`", f.read()):
            names.update(expand(word))
    with open(os.path.join(TOP, "src/protocols/vocabulary.c"), encoding="utf-8") as f:
        for ending, whole in re.findall(r'\{ "(\w+)", (true|false),', f.read()):
            names.add(ending if whole == "true" else ("load" if ending[0] == "_" else "load_") + ending)
    # what outputs know, or the exporters' own
    return sorted(n for n in names - {"last_seen"} if re.fullmatch(r"[a-z][a-z0-9_]{0,59}", n) and len(n) > 2)


TEXT = re.compile(r"(_version|_model|^model|manufacturer|maker|_name|_mail|_host|_mac|_ip|firmware|sensor_list|data_id|link_type|"
                  r"^serial|_type|device_time)")


def value_of(name):
    """Text for what is text, else a number that differs from name to name, within the limits of every unit."""
    if TEXT.search(name):
        return f"V{sum(map(ord, name))}"
    n = sum(ord(c) * (i + 1) for i, c in enumerate(name))
    return f"0.{n % 100:02d}" if "factor" in name else f"{n % 60}.{n % 9 + 1}" if vocabulary_unit_fits(name) else str(n % 60)


def vocabulary_unit_fits(name):
    return not re.search(r"(status|code|bits|mode|count|cycles|number|online|uptime|time|interval|^has_)", name)
