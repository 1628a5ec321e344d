# SPDX-License-Identifier: GPL-2.0-or-later
"""A test with the argument `lab` runs in a lab of its own, see lab.py. @pytest.mark.limit(SECONDS) changes its time."""
import glob
import os
import re
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as the_lab  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "limit(seconds): how long the test may take at most")


# ---------------------------------------------------------------- sanitizers, Valgrind
# They write into files, so that no report is lost, whoever started the program, whatever became of its standard error and its
# exit status. Below /tmp: the decoder is another user, and BUILD may be in a folder that is closed to it. Elsewhere is looked
# for what is written by UBSan, which beside ASan knows no log_path and ends the program with SIGABRT (lab.py, export_lab.py),
# and by what runs under a systemd of its own (test_service.py).
def pytest_sessionstart(session):
    session.reports = None
    if not the_lab.SANITIZED:
        return
    session.reports = tempfile.mkdtemp(prefix="suntap-reports-")
    os.chmod(session.reports, 0o1777)
    where = f"log_path={session.reports}/report"
    for name in "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS":
        os.environ[name] = ":".join(filter(None, (os.environ.get(name), where)))
    os.environ["SUNTAP_VALGRIND_LOG"] = f"{session.reports}/report.valgrind"


def pytest_sessionfinish(session):
    if session.reports:
        shutil.rmtree(session.reports)


@pytest.fixture(autouse=True)
def no_reports(request):
    yield
    if request.session.reports:
        text = ""
        for path in glob.glob(f"{request.session.reports}/*"):
            with open(path, encoding="utf-8", errors="replace") as f:
                # what begins with dashes is Valgrind's talk of itself: a system call that it does not know is answered ENOSYS
                text += re.sub(r"^--\d+-- .*\n", "", f.read(), flags=re.MULTILINE)
            os.unlink(path)
        assert not text, text


@pytest.fixture
def lab():
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces, nftables, suntapd with CAP_NET_ADMIN")
    for program in ("suntapd", "suntap-decoder", "tests/peer"):
        if not os.path.exists(f"{the_lab.BUILD}/{program}"):
            pytest.fail(f"{the_lab.BUILD}/{program} is not built: make check-system", pytrace=False)
    return the_lab.Lab()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if "lab" not in pyfuncitem.fixturenames:
        return None
    marker = pyfuncitem.get_closest_marker("limit")
    seconds = (marker.args[0] if marker else 60) * the_lab.SOAK * the_lab.SLOWER
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    wrong = the_lab.in_lab(arguments["lab"], lambda: pyfuncitem.obj(**arguments), seconds)
    if wrong and wrong.startswith("skip "):
        pytest.skip(f"no namespaces on this machine: {wrong[5:]}")
    if wrong:
        pytest.fail(wrong, pytrace=False)
    return True
