# SPDX-License-Identifier: GPL-2.0-or-later
"""Seeds for a fuzzer: python3 corpus.py NAME FOLDER

config: the example and what the tests use. transcript: the vectors as they are. pcap: nothing, it starts from libFuzzer's own.
All others: the bytes of each vector, as one stream. tests/fuzz/corpus/NAME/ is added where it exists.
"""
import glob
import os
import shutil
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


def seeds(name):
    if name == "config":
        with open(os.path.join(TOP, "config.example.ini"), "rb") as f:
            yield "example", f.read()
    elif name == "map":
        for path in glob.glob(os.path.join(TOP, "maps", "*.ini")):
            with open(path, "rb") as f:
                yield os.path.basename(path), f.read()
    elif name in ("transcript", "decode"):
        for case, text in vectors():
            yield case, text.encode()
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
    if os.path.isdir(own):
        shutil.copytree(own, folder, dirs_exist_ok=True)


main()
