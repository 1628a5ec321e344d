# SPDX-License-Identifier: GPL-2.0-or-later
"""Plays one side of captured conversations: the device, or the cloud.

    player.py device|cloud PLAN     PLAN: JSON, a list of conversations (see demo.py)

The device connects and sends its own segments; where the cloud's turn comes it waits until that many bytes have come. The
cloud does the same the other way round. One JSON line for each conversation says what was sent and what arrived.
"""
import hashlib
import json
import socket
import sys

PATIENCE = 10       # s


class Tally:
    def __init__(self):
        self.sha256, self.bytes = hashlib.sha256(), 0

    def add(self, data):
        self.sha256.update(data)
        self.bytes += len(data)

    def told(self):
        return {"sha256": self.sha256.hexdigest(), "bytes": self.bytes}


def play(sock, conversation, mine):
    """Sends the segments of `mine`, takes as many bytes as the others have, then all that still comes."""
    sent, received = Tally(), Tally()
    awaited = 0
    for who, text in conversation["segments"]:
        data = bytes.fromhex(text)
        if who == mine:
            sock.sendall(data)
            sent.add(data)
            continue
        awaited += len(data)
        while received.bytes < awaited:
            got = sock.recv(awaited - received.bytes)
            if not got:
                break
            received.add(got)
    if mine == ">":
        sock.shutdown(socket.SHUT_WR)       # the cloud closes when it has seen this
    while got := sock.recv(65536):
        received.add(got)
    return {"sent": sent.told(), "received": received.told()}


def tell(conversation, **what):
    print(json.dumps({"case": conversation["case"], **what}), flush=True)


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def device(plan):
    for c in plan:
        with socket.socket(family(c["cloud"]), socket.SOCK_STREAM) as sock:
            sock.settimeout(PATIENCE)
            sock.bind((c["device"], 0))
            sock.connect((c["cloud"], c["port"]))
            name = sock.getsockname()
            tell(c, address=name[0], port=name[1], **play(sock, c, ">"))


def cloud(plan):
    listeners = {}
    for c in plan:
        at = c["cloud"], c["port"]
        if at not in listeners:
            listeners[at] = socket.create_server(at, family=family(c["cloud"]), backlog=64)
            listeners[at].settimeout(PATIENCE)
    print("ready", flush=True)
    for c in plan:
        sock, peer = listeners[c["cloud"], c["port"]].accept()
        with sock:
            sock.settimeout(PATIENCE)
            tell(c, peer=peer[0], **play(sock, c, "<"))


if __name__ == "__main__":
    with open(sys.argv[2], encoding="ascii") as f:
        conversations = json.load(f)
    {"device": device, "cloud": cloud}[sys.argv[1]](conversations)
