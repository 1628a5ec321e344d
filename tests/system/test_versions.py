# SPDX-License-Identifier: GPL-2.0-or-later
"""A suntapd of another version takes over: the flow table says its version and sizes (src/shared/flow_entry.h)."""
import struct

import pytest
from lab import *

HEADER = struct.Struct("<QIIII")        # struct flow_table_header
PAGE = 4096


def name_of(daemon):
    """A table that is made anew has the other name: at any moment one of them is there."""
    name, = [name for name in daemon.manager.kept if name in ("table", "table-2")]
    return name


def table_of(daemon):
    fd = daemon.manager.kept[name_of(daemon)]
    data = os.pread(fd, os.fstat(fd).st_size, 0)
    return data, HEADER.unpack_from(data)


def replace_table(daemon, data):
    """As the other version would have left it."""
    fd = os.memfd_create("suntap-flows", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    name = name_of(daemon)
    os.close(daemon.manager.kept[name])
    daemon.manager.kept[name] = fd


def killed_with_a_flow(lab):
    daemon = lab.start(keep=True)
    listener = lab.listen()
    device, conn, _ = lab.pair(listener)
    device.sendall(b"before")
    assert receive(conn, 6) == b"before"
    # a half-closed flow and one whose bytes wait, besides
    daemon.kill()
    device.sendall(b" and meanwhile")
    return daemon, device, conn, listener


def goes_on(device, conn):
    assert receive(conn, 14) == b" and meanwhile"
    conn.sendall(b"answer")
    assert receive(device, 6) == b"answer"
    device.shutdown(socket.SHUT_WR)
    assert end_of(conn) == "fin"


@pytest.mark.parametrize("entry_size, slots", [(160, None), (128, 700), (256, 50)])
def test_larger_entries_and_another_limit(lab, entry_size, slots):
    daemon, device, conn, listener = killed_with_a_flow(lab)
    data, (magic, version, size, count, _) = table_of(daemon)
    slots = slots or count
    entries = [data[PAGE + i * size:PAGE + (i + 1) * size] for i in range(min(slots, count))]
    new = HEADER.pack(magic, version, entry_size, slots, 0).ljust(PAGE, b"\0")
    new += b"".join(e.ljust(entry_size, b"\xaa") for e in entries)
    replace_table(daemon, new.ljust(PAGE + entry_size * slots, b"\0"))
    daemon = lab.start(None, keep=True, after=daemon)
    goes_on(device, conn)
    assert table_of(daemon)[1][2:4] == (size, count)


@pytest.mark.parametrize("wrong", ["version", "magic", "size", "cut", "empty", "garbage"])
def test_a_table_that_can_not_be_taken_over(lab, wrong):
    """The flows end, everything else works; nothing is believed of it."""
    daemon, device, conn, listener = killed_with_a_flow(lab)
    data, (magic, version, size, count, _) = table_of(daemon)
    body = data[PAGE:]
    header = {"version": (magic, version + 1, size, count), "magic": (1, version, size, count),
              "size": (magic, version, 8, count)}.get(wrong, (magic, version, size, count))
    new = HEADER.pack(*header, 0).ljust(PAGE, b"\0") + body
    if wrong == "cut":
        new = new[:PAGE + 1000]
    elif wrong == "empty":
        new = b""
    elif wrong == "garbage":
        new = new[:PAGE] + os.urandom(64 * 1024) + new[PAGE + 64 * 1024:]
    replace_table(daemon, new)
    daemon = lab.start(None, keep=True, after=daemon)
    assert end_of(device) in ("fin", "reset")
    device, conn, _ = lab.pair(listener)
    device.sendall(b"new")
    assert receive(conn, 3) == b"new"
