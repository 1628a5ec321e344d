# SPDX-License-Identifier: GPL-2.0-or-later
"""suntap-export@.service under a real systemd: its sandbox, credentials, cursors, kills, and the destinations beside it."""
import os
import re
import subprocess

import pytest

from export_lab import BUILD, MESSAGE_ID, TOP
from lab import SLOWER
from test_service import INSIDE

LAB = f"{TOP}/tests/lab/systemd-lab"

# readings FIRST to LAST - 1, one a second since BEGIN
LIVE = """
import fcntl, socket, struct, sys, termios, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
first, last, begin = map(int, sys.argv[1:])
for n in range(first, last):
    s.sendto(b"SYSLOG_IDENTIFIER=suntap\\nMESSAGE=x\\nMESSAGE_ID=%s\\nSUNTAP_SERIAL=R1\\nSUNTAP_TIME=%%s\\nSOLAR_AC_POWER=%%d\\n" %%
             (time.strftime("%%Y-%%m-%%dT%%H:%%M:%%SZ", time.gmtime(begin + n)).encode(), n), "/run/systemd/journal/socket")
# journald can say whose an entry is only as long as its writer lives
while struct.unpack("i", fcntl.ioctl(s, termios.TIOCOUTQ, b"1234"))[0]:
    time.sleep(0.01)
""" % MESSAGE_ID["READING"]

# Splunk's HTTP Event Collector as in test_export_splunk.py: its port and what it has taken, in files.
SPLUNK = f"""
import sys, time
sys.path.insert(0, {TOP + "/tests/system"!r})
from test_export_splunk import Collector
with Collector() as c:
    open("/run/splunk.port", "w").write(str(c.port))
    while True:
        # what a kill has sent twice counts once
        open("/run/splunk.count", "w").write(f"{{len({{e['event']['cursor'] for e in list(c.events)}})}} events")
        time.sleep(0.1)
"""

INI = """
[influxdb house]
url = http://127.0.0.1:8086
database = solar
user = root
password_file = influxdb.password
unit = live.service

[json archive]
file = /var/lib/suntap-export/archive/readings.json
unit = live.service
"""

# What both scripts begin with.
TOOLS = r"""
set -e
until_() { for i in $(seq PATIENCE); do "$@" && return 0; sleep 0.1; done; echo "in vain: $*"
    systemctl status -n 30 'suntap-export@*'; exit 1; }
status() { systemctl show -P StatusText suntap-export@$1 | grep -q "$2"; }
""".replace("PATIENCE", str(200 * SLOWER))

SCRIPT = TOOLS + r"""
sed -i 's/^WatchdogSec=.*/WatchdogSec=4/; s/^RestartSec=.*/RestartSec=300ms/' /usr/lib/systemd/system/suntap-export@.service
mkdir -p /etc/suntap/secrets /var/log/journal /etc/systemd/system/suntap-export@house.service.d
systemd-tmpfiles --create --prefix /var/log/journal; journalctl --flush
printf 'pw\n' >/etc/suntap/secrets/influxdb.password; chmod -R go= /etc/suntap/secrets
printf '[Service]\nLoadCredential=influxdb.password:/etc/suntap/secrets/influxdb.password\n' \
    >/etc/systemd/system/suntap-export@house.service.d/secret.conf
cp /opt/suntap.ini /etc/suntap/suntap.ini
systemctl daemon-reload
q() { curl -sG http://127.0.0.1:8086/query -u root:pw --data-urlencode "db=solar" --data-urlencode "q=$1"; }
count() { q 'SELECT count(ac_power) FROM solar' | grep -q ",$1]]"; }

live() { systemd-run -q --wait --collect --unit=live /usr/bin/python3 /opt/live.py $1 $2 1714557600; }
/usr/bin/python3 /opt/live.py 9000 9100 1714557600       # not from live.service, and so none of the counts below
live 0 100
systemctl start suntap-export@house suntap-export@archive
echo "user: $(ps -o user= -p $(systemctl show -P MainPID suntap-export@house))"
echo "capabilities: $(grep CapEff /proc/$(systemctl show -P MainPID suntap-export@house)/status)"
echo "exposure: $(systemd-analyze security --no-pager --threshold=12 suntap-export@house | tail -n 1)"
group=/sys/fs/cgroup$(systemctl show -P ControlGroup suntap-export@house)
[ ! -e $group/memory.max ] || echo "limits: $(cat $group/memory.max $group/pids.max | tr '\n' ' ')"
until_ status house 'Failed to connect'

printf '[meta]\ndir="/tmp/i/m"\n[data]\ndir="/tmp/i/d"\nwal-dir="/tmp/i/w"\n[http]\nbind-address="127.0.0.1:8086"\nauth-enabled=true\n' >/tmp/i.conf
systemd-run -q --unit=influx influxd -config /tmp/i.conf
until_ curl -s http://127.0.0.1:8086/ping
q "CREATE USER root WITH PASSWORD 'pw' WITH ALL PRIVILEGES" >/dev/null
until_ status house 'does not know the database solar'
q "CREATE DATABASE solar" >/dev/null
systemctl restart suntap-export@house
until_ count 100

for n in 1 2 3 4 5; do
    live $((n * 100)) $((n * 100 + 100))
    systemctl kill -s KILL suntap-export@house suntap-export@archive; sleep 0.5
done
until_ count 600
until_ systemctl is-active -q suntap-export@house                    # not one that is about to become it
kill -STOP $(systemctl show -P MainPID suntap-export@house)         # hangs: the watchdog's
live 600 700
until_ count 700
echo "restarts: $(systemctl show -P NRestarts suntap-export@house)"
until_ systemctl is-active -q suntap-export@archive
until_ sh -c "[ \$(grep -o 'ac_power\":[0-9]*' /var/lib/suntap-export/archive/readings.json | sort -u | wc -l) = 700 ]"
systemctl reload suntap-export@archive
systemctl stop suntap-export@house suntap-export@archive
echo "result: $(systemctl show -P Result suntap-export@house suntap-export@archive | tr '\n' ' ')"
echo "state: $(ls /var/lib/suntap-export/house/)"
echo "told: $(journalctl -q -u suntap-export@house | grep -c 'not written by live.service but by')"
echo "nonsense = 1" >>/etc/suntap/suntap.ini
systemctl start suntap-export@archive 2>/dev/null || echo "refused: $(systemctl show -P ExecMainStatus suntap-export@archive)"
journalctl --no-pager -q | grep -c ' pw$' || true
journalctl --no-pager -q -t audit -t kernel | grep -i suntap || true
"""


# Each kind with its counterpart, and the secrets as credentials.
KINDS = TOOLS + r"""
mkdir -p /etc/suntap/secrets /var/log/journal
systemd-tmpfiles --create --prefix /var/log/journal; journalctl --flush
printf 'pw\n' >/etc/suntap/secrets/mqtt.password
printf '11111111-2222-3333-4444-555555555555\n' >/etc/suntap/secrets/splunk.token
chmod -R go= /etc/suntap/secrets
for i in broker:mqtt.password collector:splunk.token; do
    mkdir -p /etc/systemd/system/suntap-export@${i%:*}.service.d
    printf "[Service]\nLoadCredential=${i#*:}:/etc/suntap/secrets/${i#*:}\n" \
        >/etc/systemd/system/suntap-export@${i%:*}.service.d/secret.conf
done
# as suntap-export(8) says for a destination with a fixed address
printf 'IPAddressDeny=any\nIPAddressAllow=localhost\n' >>/etc/systemd/system/suntap-export@collector.service.d/secret.conf
systemd-run -q --unit=splunk /usr/bin/python3 -B /opt/splunk.py
mosquitto_passwd -c -b /tmp/m.passwd solar pw; chmod 644 /tmp/m.passwd
printf 'listener 1883 127.0.0.1\npassword_file /tmp/m.passwd\nallow_anonymous false\n' >/tmp/m.conf
systemd-run -q --unit=broker mosquitto -c /tmp/m.conf
until_ test -s /run/splunk.port
printf '[mqtt broker]\nurl = mqtt://127.0.0.1:1883\nuser = solar\npassword_file = mqtt.password\nunit = live.service\n
[splunk collector]\nurl = http://127.0.0.1:%s\ntoken_file = splunk.token\nindex = solar\nunit = live.service\n
[metrics scrape]\nlisten = 127.0.0.1:9560\nunit = live.service\n' $(cat /run/splunk.port) >/etc/suntap/suntap.ini
systemctl daemon-reload
systemctl start suntap-export@broker suntap-export@collector suntap-export@scrape
live() { systemd-run -q --wait --collect --unit=live /usr/bin/python3 /opt/live.py $1 $2 $(($(date +%s) - $2)); }
subscribed() { mosquitto_sub -u solar -P pw -W 5 -C 1 -t 'suntap/R1/state' 2>/dev/null | grep -q "\"ac_power\":$1[,}]"; }
scraped() { curl -s http://127.0.0.1:9560/metrics | grep -q "^solar_ac_power_watts{.*} $1\$"; }
collected() { grep -q "^$1 events" /run/splunk.count; }
live 0 100
for i in "subscribed 99" "scraped 99" "collected 100"; do until_ $i; done
systemctl kill -s KILL suntap-export@broker suntap-export@collector suntap-export@scrape
live 100 200
for i in "subscribed 199" "scraped 199" "collected 200"; do until_ $i; done
for i in broker collector scrape; do
    echo "$i: $(systemctl show -P NRestarts suntap-export@$i)"
    grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/$(systemctl show -P MainPID suntap-export@$i)/status
done
systemctl stop suntap-export@broker suntap-export@collector suntap-export@scrape
echo "result: $(systemctl show -P Result suntap-export@broker suntap-export@collector suntap-export@scrape | tr '\n' ' ')"
"""


def boot(installed, tmp_path, script, files, seconds):
    """What a script prints that runs in a booted system with what is installed."""
    for name, text in {**files, "script": script}.items():
        (tmp_path / name).write_text(text)
    copies = [(f"{installed}/usr", "/usr"), *((f"{tmp_path}/{name}", f"/opt/{name}") for name in [*files, "script"])]
    command = ["bash", "/opt/script"]
    if INSIDE:
        for source, target in copies:
            subprocess.run(["cp", "-a", "-T", source, target], check=True)
    else:
        command = [LAB, "--timeout", str(seconds * SLOWER), *[a for c in copies for a in ("--copy", ":".join(c))], "--", *command]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          timeout=(seconds + 30) * SLOWER)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    subprocess.run(["make", "-C", TOP, "--no-print-directory", "-o", "all", "-o", f"{BUILD}/settings", f"BUILD={BUILD}", "install",
                    f"DESTDIR={root}"], check=True, stdout=subprocess.PIPE)
    return root


needs_a_system = pytest.mark.skipif(os.geteuid() != 0, reason="boots a systemd: needs root")
not_slowed = pytest.mark.skipif("asan" in os.path.basename(BUILD), reason="timing of a real service")


@needs_a_system
@not_slowed
def test_the_service(installed, tmp_path):
    said = boot(installed, tmp_path, SCRIPT, {"live.py": LIVE, "suntap.ini": INI}, 120)
    assert "user: suntap-e" in said and "CapEff:\t0000000000000000" in said
    assert "exposure: → Overall exposure level for suntap-export@house.service: 1." in said
    assert "limits: 134217728 16 \n" in said or not INSIDE
    assert "result: success  success \n" in said
    assert "state: house.cursors\nhouse.cursors.lock\n" in said
    assert 3 <= int(re.search(r"told: (\d+)", said)[1]) <= 9, said         # of 100, three at each start
    assert "refused: 78\n0\n" in said, said


@needs_a_system
@not_slowed
def test_the_other_kinds(installed, tmp_path):
    """MQTT with a real broker, Splunk, metrics: in the unit's sandbox, and after a kill in it."""
    said = boot(installed, tmp_path, KINDS, {"live.py": LIVE, "splunk.py": SPLUNK}, 120)
    for kind in "broker", "collector", "scrape":
        assert f"{kind}: 1\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n" in said, said
    assert "result: success  success  success \n" in said, said
