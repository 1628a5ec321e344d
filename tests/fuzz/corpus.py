# SPDX-License-Identifier: GPL-2.0-or-later
"""Seeds for a fuzzer: python3 corpus.py NAME FOLDER

config, settings: the example. map: the maps. transcript: the vectors as they are. streams: those as captures. json,
influxdb …: journal entries, see fuzz.h. Files and memory of other kinds: nothing. All others: the bytes of each vector, as one
stream. For all: tests/fuzz/corpus/NAME/, and NAME.b64 beside it, what a long run found beyond these, a seed a line, made small
by `fuzz_NAME -merge=1 -use_counters=0 -max_len=600`.
"""
import base64
import glob
import os
import re
import shutil
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))


def vectors():
    for path in sorted(glob.glob(os.path.join(TOP, "tests", "vectors", "*", "*.txt"))):
        with open(path, encoding="utf-8") as f:
            yield os.path.splitext("-".join(path.split(os.sep)[-2:]))[0], f.read()


def stream(text):
    lines = text.split("\n---")[0].splitlines()
    return b"".join(bytes.fromhex(line[2:]) for line in lines if line[:2] in ("> ", "< "))


def captures():
    """Each vector as a pcap: packets with IPv4 and TCP heads (link type 101), from the device and back."""
    for case, text in vectors():
        packets, at = [], [1000, 5000]
        for line in text.split("\n---")[0].splitlines():
            if line[:2] not in ("> ", "< "):
                continue
            back, data = line[0] == "<", bytes.fromhex(line[2:])
            ends, ports = [bytes([192, 168, 1, 2]), bytes([203, 0, 113, 10])], [40000, 10000]
            tcp = struct.pack(">HHIIBBHHH", ports[back], ports[not back], at[back], at[not back], 0x50, 0x18, 8192, 0, 0)
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40 + len(data), 0, 0, 64, 6, 0, ends[back], ends[not back])
            packets.append(struct.pack("<IIII", 1714557600 + len(packets), 0, 40 + len(data), 40 + len(data)) + ip + tcp + data)
            at[back] += len(data)
        yield case, struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 262144, 101) + b"".join(packets)


def message_ids():
    with open(os.path.join(TOP, "src", "shared", "message_ids.h"), encoding="utf-8") as f:
        return re.findall(r'"([0-9a-f]{32})"', f.read())


def entries(head):
    """One entry for each kind of message, and all of them together; `head`: bytes that the fuzzer has before them."""
    who = ["SUNTAP_SERIAL=R170000000000001", "SUNTAP_LOGGER=2700000001", "SUNTAP_DEVICE=roof", "SUNTAP_PROTOCOL=solarman-v5",
           "SUNTAP_MODEL=4 inputs, \u00b0", "SUNTAP_TIME=2024-05-01T10:00:00.25Z", "SUNTAP_TIME_SOURCE=device"]
    values = ["SOLAR_PV1_VOLTAGE=31.2", "SOLAR_AC_L1_L2_VOLTAGE=400.1", "SOLAR_ENERGY_TOTAL=1180.4", "SOLAR_ENERGY_TODAY=1.5",
              "SOLAR_FAULT_CODE_3=0", "SOLAR_ALARM_BITS=4", "SOLAR_BATTERY2_SOC=55", "SOLAR_STATUS=a \"b\\\u00df", "SOLAR_GRID_POWER=-12",
              "SOLAR_FIRMWARE_VERSION=V1.0", "SOLAR_LOGGER_MAC=80-F3-DA-00-00-01", "SOLAR_WIFI_SIGNAL=80", "SOLAR_OPERATING_TIME=4711"]
    events = ["MESSAGE=what happened", "SUNTAP_LOST=4711", "SUNTAP_BYTES_DEVICE=100", "SUNTAP_BYTES_CLOUD=200", "SUNTAP_FLOW=1"]
    every = b""
    for n, message in enumerate(message_ids()):
        fields = ["MESSAGE_ID=" + message] + who + (values if n < 2 else events)
        entry = b"\x1e".join(field.encode() for field in fields)
        every += entry + b"\x1d"
        yield message, head + entry
    yield "all", head + every
    yield "flags", head + b"\x1e".join(f.encode() for f in ["MESSAGE_ID=" + message_ids()[0], "SUNTAP_HISTORIC=1", "SUNTAP_REPEAT=1"])


ENTRIES = {"json": b"", "influxdb": b"\x43\x01", "splunk": b"\x01", "metrics": b"\x01", "mqtt": b"\x01"}


def seeds(name):
    if name in ("config", "settings"):
        with open(os.path.join(TOP, "config.example.ini"), "rb") as f:
            yield "example", f.read()
    elif name in ENTRIES:
        yield from entries(ENTRIES[name])
    elif name == "cursors":
        with open(os.path.join(TOP, "src", "export", "cursors.c"), encoding="utf-8") as f:
            head = re.search(r'head\[\] = "(.*)\\n"', f.read()).group(1)
        one = "0123456789abcdef" * 2
        lines = [head, f"{one} s={one};i=1b;b={one};m=1;t=5f;x=3", "1" * 32 + " -", "# end", ""]
        yield "two", "\n".join(lines).encode()
    elif name in ("at", "devices", "dns", "flows", "ring", "state"):
        return
    elif name == "map":
        for path in glob.glob(os.path.join(TOP, "maps", "*.ini")):
            with open(path, "rb") as f:
                yield os.path.basename(path), f.read()
    elif name == "transcript":
        for case, text in vectors():
            yield case, text.encode()
    elif name == "streams":
        yield from captures()
    elif name == "sim":
        protocols = ["solarman-", "tsun-gen3", "inteless", "growatt", "alphaess", "apsystems"]
        for case, text in vectors():
            for number, protocol in enumerate(protocols):
                if case.startswith(protocol):
                    yield case, bytes([number]) + stream(text)
    else:
        for case, text in vectors():
            yield case, stream(text)


def main():
    name, folder = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    for case, data in seeds(name):
        with open(os.path.join(folder, case), "wb") as f:
            f.write(data)
    own = os.path.join(HERE, "corpus", name)
    if os.path.exists(own + ".b64"):
        with open(own + ".b64", encoding="ascii") as f:
            for number, line in enumerate(f):
                with open(os.path.join(folder, f"kept-{number}"), "wb") as seed:
                    seed.write(base64.b64decode(line))
    if os.path.isdir(own):
        shutil.copytree(own, folder, dirs_exist_ok=True)


main()
