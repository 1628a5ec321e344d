# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo, run by tests/demo/demo on the gateway of net-lab, with a journald of its own."""
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

BUILD = sys.argv[1]
HERE = os.path.dirname(os.path.abspath(__file__))
VECTORS = os.path.join(HERE, "..", "vectors")
RUN = "/run/suntap-demo"        # ours alone, as all of /run is
PATIENCE = 15                   # s, for any one thing that has to happen

CLOUD = {4: "203.0.113.10", 6: "fd00:113::10"}
ROOF, BALCONY, GARAGE = "192.168.50.2", "192.168.50.3", "fd00:50::2"

CONFIG = f"""\
[device roof]
source = {ROOF}
preset = tsun

[device balcony]
source = {BALCONY}
preset = deye

[device garage]
source = {GARAGE}
preset = tsun
"""

# device, port of its cloud, captured conversation
SCENES = [
    (ROOF, 10000, "solarman-v5/4110-handshake-cloud-answer"),
    (ROOF, 10000, "solarman-v5/4210-data-02b0"),
    (ROOF, 10000, "solarman-v5/4510-modbus-write"),
    (BALCONY, 10000, "solarman-v5/4210-data-5408-deye-m80"),
    (BALCONY, 10000, "solarman-v5/malformed-checksum"),
    (BALCONY, 10000, "solarman-v5/5110-unknown"),
    (GARAGE, 5005, "tsun-gen3/00-contact-info"),
    (GARAGE, 5005, "tsun-gen3/04-inverter-ms600"),
]

# The other families, simulated: protocol, port of its cloud. Each is a device of its own by its port.
FAMILIES = [("growatt", 5279), ("alphaess", 7777), ("inteless", 51100), ("apsystems", 8995)]
CONFIG_FAMILIES = "".join(f"\n[device {name}]\nsource = {ROOF}\npreset = {name}\n" for name, _ in FAMILIES)

# What is measured, and what only explains a case: the vectors' own tool knows.
INFORMATIVE = runpy.run_path(os.path.join(VECTORS, "compare"))["INFORMATIVE"]

MESSAGE_ID = dict(re.findall(r'MESSAGE_ID_(\w+)\s+"([0-9a-f]{32})"', open(
    os.path.join(HERE, "..", "..", "src", "shared", "message_ids.h"), encoding="ascii").read()))

faults = []
children = []


# ---------------------------------------------------------------- saying
def bold(text):
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text


def heading(text):
    print(f"\n{bold(text)}", flush=True)


def check(good, text):
    """One thing that has to be so."""
    word = "ok" if good else "NOT SO"
    if sys.stdout.isatty():
        word = f"\033[{'32' if good else '1;31'}m{word}\033[0m"
    print(f"  {word}  {text}", flush=True)
    if not good:
        faults.append(text)


def table(rows, right=()):
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [str(c).rjust(w) if i in right else str(c).ljust(w) for i, (c, w) in enumerate(zip(row, widths))]
        print("  " + "  ".join(cells).rstrip())


# ---------------------------------------------------------------- doing
def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def start(*command, **options):
    child = subprocess.Popen(command, **options)
    children.append(child)
    return child


def end(child):
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
    child.wait()


def until(what, condition):
    """Waits for a condition, and returns what it gave."""
    deadline = time.monotonic() + PATIENCE
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {PATIENCE} s in vain for {what}")
        time.sleep(0.02)
    return result


class Suntapd:
    """The daemon, with a NOTIFY_SOCKET as systemd would give it."""

    def __init__(self):
        path = f"{RUN}/notify"
        if os.path.exists(path):
            os.unlink(path)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(path)
        os.chmod(path, 0o666)
        self.told = []
        threading.Thread(target=self.listen, daemon=True).start()
        with open(f"{RUN}/suntapd.log", "w", encoding="utf-8") as log:
            self.process = start(f"{BUILD}/suntapd", "--config", f"{RUN}/suntap.ini", stderr=log,
                                 env=os.environ | {"NOTIFY_SOCKET": path})
        until("suntapd", self.ready)

    def listen(self):
        """Descriptors that it wants to have stored come along; they are not received, and so closed."""
        while True:
            self.told += self.notify.recv(4096).decode().splitlines()

    def ready(self):
        if self.process.poll() is not None:
            with open(f"{RUN}/suntapd.log", encoding="utf-8") as log:
                raise RuntimeError("suntapd did not start:\n" + log.read())
        return "READY=1" in self.told

    def status(self):
        return next((line[7:] for line in reversed(self.told) if line.startswith("STATUS=")), "")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        return self.process.wait(PATIENCE)


# ---------------------------------------------------------------- captured conversations
def answer(pattern):
    """The cloud's answer as the case expects it; ** is any byte: the time, and with Solarman the interval and checksum."""
    raw = bytearray.fromhex(pattern.replace("**", "00"))
    if raw[0] == 0xa5:
        raw[13:17] = int(time.time()).to_bytes(4, "little")
        raw[17:21] = (120).to_bytes(4, "little")
        raw[-2] = sum(raw[1:-2]) & 0xff
    return raw.hex()


def read_case(name):
    """Segments, and what has to come out: a list of {journal field: (number, half of its last digit) or text}."""
    segments, replies, blocks = [], [], [{}]
    above = True
    for line in open(os.path.join(VECTORS, name + ".txt"), encoding="utf-8"):
        line = line.strip()
        if line == "---":
            above = False
        elif above and line[:2] in ("> ", "< "):
            segments.append([line[0], line[2:]])
        elif line.startswith("reply "):
            replies.append(["<", answer(line[6:])])
        elif not above and not line:
            blocks.append({})
        elif not above and (m := re.match(r"([a-z]\w*) = (.*)", line)):
            if m[1] == "time" or INFORMATIVE.match(m[1]):
                continue
            field = f"SUNTAP_{m[1].upper()}" if m[1] in ("serial", "logger") else f"SOLAR_{m[1].upper()}"
            number = re.match(r"(-?\d+(?:\.(\d+))?)(?: \S+)?$", m[2])
            blocks[-1][field] = (float(number[1]), 0.5 * 10 ** -len(number[2] or "")) if number else m[2]
    if not any(who == "<" for who, _ in segments):
        segments += replies
    return segments, [b for b in blocks if any(k.startswith("SOLAR_") for k in b)]


def agrees(expected, entry):
    for field, value in expected.items():
        told = entry.get(field, "")
        if isinstance(value, str):
            good = told == value
        else:
            good = re.fullmatch(r"-?[\d.]+", told) and abs(float(told) - value[0]) <= value[1] + 1e-9
        if not good:
            return False
    return True


# ---------------------------------------------------------------- the journal
def journal():
    run("journalctl", "--sync")
    lines = run("journalctl", "-t", "suntap", "-o", "json", "--all", "--no-pager").splitlines()
    return [json.loads(line) for line in lines]


def of_kind(entries, kind):
    return [e for e in entries if e.get("MESSAGE_ID") == MESSAGE_ID[kind]]


UNITS = [
    (r"(APPARENT_POWER)$", "VA"), (r"(REACTIVE_POWER)$", "var"), (r"(POWER_FACTOR)$", ""),
    (r"VOLTAGE(_MIN|_MAX)?$", "V"), (r"CURRENT$", "A"), (r"POWER(_LIMIT)?$", "W"), (r"ENERGY_\w+$", "kWh"),
    (r"FREQUENCY$", "Hz"), (r"TEMPERATURE$", "°C"), (r"(PERCENT|SIGNAL|OUTPUT_LIMIT|INPUT_LIMIT)$", "%"),
]


def unit(name):
    return next((u for pattern, u in UNITS if re.search(pattern, name)), None)


def measurements(readings):
    """A row for each quantity that has a unit, a column for each device."""
    names = []
    for r in readings:
        names += [f for f in sorted(r) if f.startswith("SOLAR_") and unit(f) is not None and f not in names]
    groups = ["SOLAR_AC_", "SOLAR_GRID_", "SOLAR_PV", "SOLAR_ENERGY", "SOLAR_"]
    names.sort(key=lambda n: (next(i for i, g in enumerate(groups) if n.startswith(g)), n))
    rows = [["measurement"] + [r["SUNTAP_DEVICE"] for r in readings] + [""],
            ["serial number"] + [r.get("SUNTAP_SERIAL", "-") for r in readings] + [""],
            ["time by its clock"] + [r.get("SUNTAP_TIME_RAW", "") for r in readings] + [""]]
    for n in names:
        rows.append([n[6:].lower()] + [r.get(n, "") for r in readings] + [unit(n)])
    table(rows, right=range(1, len(readings) + 1))


# ---------------------------------------------------------------- conversations through the gateway
def converse(scenes):
    """Plays them, cloud and device each in its namespace; returns what both say of each."""
    plan = []
    for source, port, name in scenes:
        plan.append({"case": name, "device": source, "cloud": CLOUD[6 if ":" in source else 4], "port": port,
                     "segments": read_case(name)[0]})
    with open(f"{RUN}/plan.json", "w", encoding="ascii") as f:
        json.dump(plan, f)
    player = [sys.executable, "-B", os.path.join(HERE, "player.py")]
    cloud = start("ip", "netns", "exec", "cloud", *player, "cloud", f"{RUN}/plan.json", stdout=subprocess.PIPE, text=True)
    if cloud.stdout.readline() != "ready\n":
        raise RuntimeError("the cloud did not start")
    device = start("ip", "netns", "exec", "inverter", *player, "device", f"{RUN}/plan.json", stdout=subprocess.PIPE,
                   text=True)
    told = device.communicate(timeout=60)[0], cloud.communicate(timeout=60)[0]
    if device.returncode or cloud.returncode:
        raise RuntimeError("a conversation broke off")
    return [list(map(json.loads, t.splitlines())) for t in told]


def leftovers():
    left = [t for t in run("nft", "list", "tables").splitlines() if "suntap" in t]
    for family in "-4", "-6":
        left += [r for r in run("ip", family, "rule").splitlines() if "fwmark" in r]
    return left


# ---------------------------------------------------------------- the demo
def show_rules():
    heading("The kernel's rules, as long as suntapd lives")
    lines = run("nft", "list", "table", "inet", "suntap_live").splitlines()
    lines += run("nft", "list", "table", "inet", "suntap").splitlines()
    for line in lines:
        if "tproxy" in line or "socket transparent" in line:
            line = re.sub(r"counter packets \d+ bytes \d+ ", "", line.strip())
            print(textwrap.fill(line, 116, initial_indent="  ", subsequent_indent="      "))
    print("  ip rule:", next(r for r in run("ip", "rule").splitlines() if "fwmark" in r).replace("\t", " "))


def show_equality(device, cloud):
    heading("Did every byte arrive as it was sent?  (first digits of SHA-256, sent = received)")
    rows = [["captured conversation", "device → cloud", "", "cloud → device", ""]]
    for d, c in zip(device, cloud):
        rows.append([d["case"],
                     f"{d['sent']['bytes']} bytes", f"{d['sent']['sha256'][:10]} = {c['received']['sha256'][:10]}",
                     f"{c['sent']['bytes']} bytes", f"{c['sent']['sha256'][:10]} = {d['received']['sha256'][:10]}"])
    table(rows, right=(1, 3))
    same = all(d["sent"] == c["received"] and c["sent"] == d["received"] for d, c in zip(device, cloud))
    check(same and len(device) == len(cloud) == len(SCENES), "the cloud received exactly what the devices sent, and they what it sent")


def show_journal(entries):
    heading("What came out: journalctl -t suntap")
    shown = run("journalctl", "-t", "suntap", "-p", "info", "-o", "short", "--no-hostname", "--no-pager", "-q")
    for line in shown.splitlines():
        print(textwrap.fill(line, 116, initial_indent="  ", subsequent_indent=" " * 18))


def check_readings(entries, device):
    missing, expected = [], 0
    for (_, _, name), d in zip(SCENES, device):
        address = f"[{d['address']}]" if ":" in d["address"] else d["address"]
        mine = [e for e in entries if e.get("SUNTAP_PEER") == f"{address}:{d['port']}"]
        for block in read_case(name)[1]:
            expected += len(block)
            if not any(agrees(block, e) for e in mine):
                missing.append(name)
    check(not missing, f"all {expected} values that are known of these captures are there" if not missing else
          f"values are missing or wrong: {', '.join(missing)}")
    check(of_kind(entries, "BAD_FRAME") and of_kind(entries, "UNKNOWN_FRAME") and of_kind(entries, "COMMAND"),
          "the damaged frame, the unknown frame and the cloud's command were told")


def show_families():
    heading("One of each other family: suntap sim, a device and its cloud, through the same gateway")
    rows, agreed = [["device", "protocol", "serial number", "power", "its cloud"]], 0
    for name, port in FAMILIES:
        to = f"{CLOUD[4]}:{port}"
        cloud = start("ip", "netns", "exec", "cloud", f"{BUILD}/suntap", "sim", "cloud", name, "--listen", to, "--count", "1",
                      "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        cloud.stderr.readline()
        said = run("ip", "netns", "exec", "inverter", f"{BUILD}/suntap", "sim", "device", name, "--to", to, "--count", "1",
                   "--json").splitlines()
        understood = [e for e in map(json.loads, cloud.communicate(timeout=PATIENCE)[0].splitlines()) if e["type"] == "reading"]
        put_in = json.loads(said[0])
        entry = until(f"the journal's reading of {name}", lambda n=name, p=put_in: next((
            e for e in of_kind(journal(), "READING") if e["SUNTAP_DEVICE"] == n and e["SUNTAP_SERIAL"] == p["serial"]), None))
        agreed += len(understood) == len(said) and all(
            agrees({f"SOLAR_{key.upper()}": v if isinstance(v, str) else (float(v), 0)}, entry)
            for key, v in put_in["values"].items())
        rows.append([name, entry["SUNTAP_PROTOCOL"], entry["SUNTAP_SERIAL"], entry["SOLAR_AC_POWER"] + " W", to])
    table(rows, right=(3,))
    check(agreed == len(FAMILIES), "the journal has what each device put in, and each cloud understood it")


def demo():
    os.makedirs(RUN, exist_ok=True)
    run("ip", "-n", "inverter", "addr", "add", f"{BALCONY}/24", "dev", "eth0")
    with open(f"{RUN}/suntap.ini", "w", encoding="ascii") as f:
        f.write(CONFIG + CONFIG_FAMILIES)

    heading("A gateway between three inverters and their clouds, in network namespaces; its suntap.ini")
    print(textwrap.indent(CONFIG.rstrip(), "  "))
    suntapd = Suntapd()
    show_rules()

    device, cloud = converse(SCENES)
    show_equality(device, cloud)
    entries = until("the journal entries", lambda: (e := journal()) and
                    len(of_kind(e, "FLOW_CLOSED")) >= len(SCENES) and e)
    show_journal(entries)
    heading("What was measured  (all fields: journalctl -t suntap -o verbose)")
    measurements(of_kind(entries, "READING"))
    print()
    check_readings(entries, device)
    count = len(of_kind(entries, "READING"))
    status = until("the status", lambda: re.search(f"^0 flows.*, {count} reading.*", suntapd.status()))
    print(f"  its status: {status[0]}")
    show_families()

    heading("And when suntapd is killed?")
    suntapd.kill()
    _, direct = converse(SCENES[:1])
    check(direct[0]["peer"] == ROOF, f"kill -9: the next connection goes straight, the cloud sees {direct[0]['peer']}")
    suntapd = Suntapd()
    _, tapped = converse(SCENES[:1])
    check(tapped[0]["peer"] != ROOF, f"started again: it is tapped, the cloud sees the gateway, {tapped[0]['peer']}")
    status = suntapd.stop()
    left = leftovers()
    check(status == 0 and not left, "stopped: no rule, table or route is left" if not left else f"left behind: {left}")


def main():
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        demo()
    except (RuntimeError, OSError, subprocess.SubprocessError) as e:
        check(False, str(e))
    finally:
        for child in reversed(children):
            end(child)
    print()
    if faults:
        print(bold(f"Not as it should be: {len(faults)}"))
        return 1
    print(bold(f"All as it should be, in {time.monotonic() - began:.1f} s. Next: README.md, make install"))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
