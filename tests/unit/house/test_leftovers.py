"""The fixture that fails a test for what it leaves behind does so."""

import os
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[3]

CONFTEST = """
from tests import conftest, leftovers
from tests.conftest import *

conftest.TASKS_MAY_TAKE_S = leftovers.MAY_TAKE_S = 0.2
"""

CASES = """
import asyncio, os, socket, subprocess

kept = []

async def test_leaves_a_task():
    kept.append(asyncio.create_task(asyncio.sleep(60), name="forgotten"))

def test_leaves_a_process():
    kept.append(subprocess.Popen(["sleep", "60"]))

def test_leaves_a_socket():
    kept.append(socket.socket())

def test_leaves_a_process_handle():
    os.pidfd_open(os.getpid())

async def test_ends_its_task():
    asyncio.create_task(asyncio.sleep(60)).cancel()

def test_ends_its_process():
    assert subprocess.Popen(["sleep", "0.05"]).wait() == 0

async def test_closes_its_socket():
    socket.socket().close()

def test_has_a_clean_environment():
    assert "YURT_URL" not in os.environ
    assert "yurt-home-" in os.environ["HOME"]
"""


def test_a_test_fails_for_what_it_leaves_and_for_nothing_else(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.fspath(ROOT))
    monkeypatch.setenv("YURT_URL", "http://elsewhere")
    monkeypatch.delenv("CI", raising=False)  # with it pytest repeats each message, whole, in its summary
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(CASES)
    plugins = [word for name in ("cacheprovider", "schemathesis", "xdist") for word in ("-p", f"no:{name}")]
    result = pytester.runpytest_subprocess(*plugins, "--asyncio-mode=auto", "-W", "ignore")
    result.assert_outcomes(passed=8, errors=4)
    shown = result.stdout.str()
    assert "forgotten" in shown
    assert "left child processes running" in shown
    assert shown.count("left handles open") == 2
