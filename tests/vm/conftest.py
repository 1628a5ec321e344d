# SPDX-License-Identifier: GPL-2.0-or-later
"""These tests are run by `make check-vm`, inside the booted system (tests/lab/vm-lab): an ordinary kernel of Debian's."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "system"))
