"""What holds for every test: a clean environment, and nothing left behind.

A test that leaves an asyncio task, a child process, a socket or a process handle fails at its teardown, with the name
of what it left. What was there before the test (fixtures of a wider scope) does not count.
"""

import asyncio
import inspect
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator

import psutil
import pytest
from hypothesis import HealthCheck, settings

from scripts.stack.stack import Stack
from tests.cluster import a_stack
from tests.leftovers import child_pids, describe_process, end_processes, handles, settle
from tests.postgres import PostgresServer, any_server

settings.register_profile("any machine", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")  # no test measures time, nor does one of properties

TASKS_MAY_TAKE_S = 5.0
"""A task that was cancelled at the very end of a test needs a few turns of the loop, and a busy machine its time."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL for all tests; each makes databases of its own."""
    with any_server() as server:
        yield server


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A cluster of the real programs for all tests that do not break it: `node-1` with two H100 and two T4, `node-2`
    with an L4, all simulated. Tests leave its agents running and their jobs purged."""
    with a_stack("h100:2,t4:2", "l4:1") as running:
        yield running


@pytest.fixture(scope="session", autouse=True)
def interrupts_arrive() -> None:
    """Heed SIGINT: where a script runs the tests in the background it is ignored, and what they start inherits that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide the developer's own settings and home directory from the test."""
    for name in list(os.environ):
        if name.startswith(("YURT_", "XDG_")):
            monkeypatch.delenv(name)
    with tempfile.TemporaryDirectory(prefix="yurt-home-") as home:
        monkeypatch.setenv("HOME", home)
        yield


@pytest.fixture(autouse=True)
def nothing_left_open(clean_environment: None) -> Iterator[None]:
    """Fail a test that leaves child processes, sockets or process handles."""
    children, open_before = child_pids(), handles()
    yield
    left_children = settle(lambda: child_pids() - children)
    left_handles = settle(lambda: handles() - open_before)
    if left_children:
        described = ", ".join(describe_process(pid) for pid in sorted(left_children))
        end_processes(left_children)
        pytest.fail(f"the test left child processes running: {described}", pytrace=False)
    if left_handles:
        sockets = [str(connection) for connection in psutil.Process().net_connections("all")]
        pytest.fail(f"the test left handles open: {sorted(left_handles)}; all sockets: {sockets}", pytrace=False)


@pytest.fixture(autouse=True)
def no_task_left(nothing_left_open: None, request: pytest.FixtureRequest) -> None:
    """Watch the tasks of tests that have a loop; the loop itself is closed before `nothing_left_open` looks."""
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("watched_loop")


@pytest.fixture
async def watched_loop() -> AsyncIterator[None]:
    """Fail a test that leaves asyncio tasks on its loop."""
    yield
    loop = asyncio.get_running_loop()
    deadline = loop.time() + TASKS_MAY_TAKE_S
    while (left := asyncio.all_tasks() - {asyncio.current_task()}) and loop.time() < deadline:
        await asyncio.sleep(0.001)
    if left:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=1)
        pytest.fail(f"the test left asyncio tasks: {sorted(map(repr, left))}", pytrace=False)
