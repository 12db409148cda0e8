"""The local engine with the real runner, and no server that it could reach."""

import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.contract.engine.harness import Site, running
from tests.waiting import until
from yurt.outbound.engines.local import LocalEngine, LocalSettings
from yurt.outbound.engines.local.processes import scan
from yurt.outbound.runner_file import build_runner
from yurt.ports import Ended

CONTAINER = f"co-{os.urandom(8).hex()}"
"""Nobody else's: a runner ends whatever bears its id, be it of other tests on this machine."""

NOWHERE = "http://127.0.0.1:9"
"""The port of discard, on which nothing listens."""


@pytest.fixture
def ended() -> list[Ended]:
    return []


@pytest.fixture
async def engine(settings: Callable[..., LocalSettings], ended: list[Ended]) -> AsyncIterator[LocalEngine]:
    runner = build_runner()
    engine = LocalEngine(settings("", runner=runner.data, runner_sha256=runner.sha256))
    await engine.open(lambda report: ended.append(report) if isinstance(report, Ended) else None)
    yield engine
    await engine.close(stop_all=True)


def processes_of(site: Site) -> list[int]:
    return [process.pid for process in scan() if process.installation == site.installation and process.alive]


async def start(engine: LocalEngine, site: Site, *, grace_s: float) -> int:
    """Start the runner; returns its pid once it has its worker and minds SIGTERM."""
    reference = await engine.start(replace(site.spec(CONTAINER), url=NOWHERE, grace_s=grace_s))
    pid = int(reference.partition(":")[0])
    await until(lambda: len(processes_of(site)) >= 2, "supervisor and worker")
    await until(lambda: minds_sigterm(pid), "the supervisor's handler of SIGTERM")
    return pid


def minds_sigterm(pid: int) -> bool:
    """Whether SIGTERM is handled, not deadly: a runner that has only begun is ended by it at once."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt:")).split()[1], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


async def test_without_a_server_a_container_ends_by_itself_after_its_grace(
    engine: LocalEngine, site: Site, ended: list[Ended]
) -> None:
    await engine.start(replace(site.spec(CONTAINER), url=NOWHERE, grace_s=0.5))
    await until(lambda: ended, "the end")
    assert ended[0].signal is None
    assert processes_of(site) == []


async def test_a_container_that_is_asked_to_stop_is_gone_with_its_worker_after_its_grace(
    engine: LocalEngine, site: Site, ended: list[Ended]
) -> None:
    await start(engine, site, grace_s=60)
    await engine.stop(CONTAINER, grace_s=0.5)
    await until(lambda: ended, "the end")
    assert processes_of(site) == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_runner_that_is_killed_or_frozen_takes_its_worker_along(
    engine: LocalEngine, site: Site, ended: list[Ended], root: Path, how: signal.Signals
) -> None:
    pid = await start(engine, site, grace_s=60)
    workers = [child.pid for child in psutil.Process(pid).children(recursive=True)]
    os.kill(pid, how)
    if how == signal.SIGSTOP:
        await until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, "the stop")
        await engine.stop(CONTAINER, grace_s=0.1)
    await until(lambda: ended, "the end")
    assert ended[0].signal == signal.SIGKILL
    await until(lambda: not any(running(worker) for worker in workers), "the end of the worker")
    assert list((root / "run" / "containers").iterdir()) == []
