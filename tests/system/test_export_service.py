# SPDX-License-Identifier: GPL-2.0-or-later
"""suntap-export@.service under a real systemd: its sandbox, credentials, cursors, kills, and InfluxDB beside it."""
import os
import subprocess

import pytest

from export_lab import BUILD, MESSAGE_ID, TOP

LAB = f"{TOP}/tests/lab/systemd-lab"

LIVE = """
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for n in range(int(sys.argv[1]), int(sys.argv[2])):
    s.sendto(b"SYSLOG_IDENTIFIER=suntap\\nMESSAGE=x\\nMESSAGE_ID=%s\\nSUNTAP_SERIAL=R1\\nSUNTAP_TIME=2024-05-01T10:%%02d:%%02dZ\\n"
             b"SOLAR_AC_POWER=%%d\\n" %% (n // 60, n %% 60, n), "/run/systemd/journal/socket")
""" % MESSAGE_ID["READING"]

INI = """
[influxdb house]
url = http://127.0.0.1:8086
database = solar
user = root
password_file = influxdb.password

[json archive]
file = /var/lib/suntap-export/archive/readings.json
"""

SCRIPT = r"""
set -e
sed -i 's/^WatchdogSec=.*/WatchdogSec=4/; s/^RestartSec=.*/RestartSec=300ms/' /usr/lib/systemd/system/suntap-export@.service
mkdir -p /etc/suntap/secrets /var/log/journal /etc/systemd/system/suntap-export@house.service.d
systemd-tmpfiles --create --prefix /var/log/journal; journalctl --flush
printf 'pw\n' >/etc/suntap/secrets/influxdb.password; chmod -R go= /etc/suntap/secrets
printf '[Service]\nLoadCredential=influxdb.password:/etc/suntap/secrets/influxdb.password\n' \
    >/etc/systemd/system/suntap-export@house.service.d/secret.conf
cp /opt/suntap.ini /etc/suntap/suntap.ini
systemctl daemon-reload
q() { curl -sG http://127.0.0.1:8086/query -u root:pw --data-urlencode "db=solar" --data-urlencode "q=$1"; }
until_() { for i in $(seq 200); do "$@" && return 0; sleep 0.1; done; echo "in vain: $*"
    systemctl status -n 30 'suntap-export@*'; exit 1; }
count() { q 'SELECT count(ac_power) FROM solar' | grep -q ",$1]]"; }
status() { systemctl show -P StatusText suntap-export@$1 | grep -q "$2"; }

live="/usr/bin/python3 /opt/live.py"
$live 0 100
systemctl start suntap-export@house suntap-export@archive
echo "user: $(ps -o user= -p $(systemctl show -P MainPID suntap-export@house))"
echo "capabilities: $(grep CapEff /proc/$(systemctl show -P MainPID suntap-export@house)/status)"
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
    $live $((n * 100)) $((n * 100 + 100))
    systemctl kill -s KILL suntap-export@house suntap-export@archive; sleep 0.5
done
until_ count 600
kill -STOP $(systemctl show -P MainPID suntap-export@house)         # hangs: the watchdog's
$live 600 700
until_ count 700
echo "restarts: $(systemctl show -P NRestarts suntap-export@house)"
until_ systemctl is-active -q suntap-export@archive
until_ sh -c "[ \$(grep -o 'ac_power\":[0-9]*' /var/lib/suntap-export/archive/readings.json | sort -u | wc -l) = 700 ]"
systemctl reload suntap-export@archive
systemctl stop suntap-export@house suntap-export@archive
echo "result: $(systemctl show -P Result suntap-export@house suntap-export@archive | tr '\n' ' ')"
echo "state: $(ls /var/lib/suntap-export/house/)"
echo "nonsense = 1" >>/etc/suntap/suntap.ini
systemctl start suntap-export@archive 2>/dev/null || echo "refused: $(systemctl show -P ExecMainStatus suntap-export@archive)"
journalctl --no-pager -q | grep -c ' pw$' || true
journalctl --no-pager -q -t audit -t kernel | grep -i suntap || true
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    subprocess.run(["make", "-C", TOP, "--no-print-directory", "-o", "all", "-o", f"{BUILD}/settings", f"BUILD={BUILD}", "install",
                    f"DESTDIR={root}"], check=True, stdout=subprocess.PIPE)
    return root


def test_unit_is_exposed_little(installed, tmp_path):
    unit = tmp_path / "suntap-export@x.service"
    unit.write_bytes((installed / "usr/lib/systemd/system/suntap-export@.service").read_bytes())
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", unit],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


@pytest.mark.skipif(os.geteuid() != 0, reason="boots a systemd: needs root")
@pytest.mark.skipif("asan" in os.path.basename(BUILD), reason="timing of a real service")
def test_the_service(installed, tmp_path):
    (tmp_path / "live.py").write_text(LIVE)
    (tmp_path / "suntap.ini").write_text(INI)
    (tmp_path / "script").write_text(SCRIPT)
    done = subprocess.run(
        [LAB, "--timeout", "120", "--copy", f"{installed}/usr:/usr", "--copy", f"{tmp_path}/live.py:/opt/live.py",
         "--copy", f"{tmp_path}/suntap.ini:/opt/suntap.ini", "--copy", f"{tmp_path}/script:/opt/script", "--", "bash", "/opt/script"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout
    assert "user: suntap-e" in done.stdout and "CapEff:\t0000000000000000" in done.stdout
    assert "result: success  success \n" in done.stdout
    assert "state: house.cursors\nhouse.cursors.lock\n" in done.stdout
    assert "refused: 78\n0\n" in done.stdout, done.stdout
