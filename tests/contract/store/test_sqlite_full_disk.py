"""A full disk: nothing half-written, a reason, and going on by itself when there is room."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clocks import FreeClock
from tests.contract.store.making import LIFE, accept, app, complete, pending
from tests.waiting import until
from yurt.domain.changes import Save
from yurt.domain.errors import Unavailable
from yurt.domain.records import App
from yurt.outbound.store import open_store
from yurt.outbound.store.store import SqliteStore

LARGE = os.urandom(100_000)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False, timeout=10).returncode != 0:
        pytest.skip("only root may mount a small file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True, timeout=10)


async def fill(store: SqliteStore, heard: list[Exception | None]) -> int:
    """Accept large calls until one is not committed within its turn; returns how many there were in all."""
    number = 0
    while store.journal.stats().away is None:
        number += 1
        store.journal.add([accept(number, args=LARGE)], heard.append)
        await until(lambda n=number: len(heard) == n or store.journal.stats().away, "an answer")  # type: ignore[misc]
        assert number < 100
    return number


async def test_a_full_disk(small_disk: Path) -> None:
    clock = FreeClock()
    ballast = small_disk / "ballast"
    store = await open_store(small_disk / "data", clock=clock)
    try:
        ballast.write_bytes(b"x" * 500_000)
        heard: list[Exception | None] = []
        number = await fill(store, heard)
        assert number > 1
        assert heard == [None] * (number - 1), "the one that did not fit has not been answered yet"
        reason = await store.check()
        assert reason is not None
        assert "full" in reason

        late: list[Exception | None] = []
        store.journal.add([Save(app("ap-1"))], late.append)
        ended: list[Exception | None] = []
        store.journal.add([complete(accept(1))], ended.append)
        for _ in range(7):
            clock.advance(1)
            await until(lambda: clock.sleepers, "the next retry")
            await until(lambda: len(clock.sleepers) > 1, "both tasks asleep")
        assert (len(heard), late, ended) == (number - 1, [], []), "each hears how it ended, not before"
        assert len(await pending(store)) == number - 1, "reads go on"

        ballast.unlink()
        clock.advance(1)
        await until(lambda: ended, "the store to be back")
        assert ended == [None]
        assert heard == [None] * number
        assert late == [None]
        assert await store.check() is None
        assert await store.records.get(App, "ap-1") == app("ap-1")
        open_inputs = [item.call.seq - LIFE for item in await pending(store)]
        assert open_inputs == list(range(2, number + 1))
    finally:
        await store.close()


async def test_closing_on_a_full_disk_tells_those_who_wait(small_disk: Path) -> None:
    store = await open_store(small_disk / "data", clock=FreeClock())
    heard: list[Exception | None] = []
    number = await fill(store, heard)
    await store.close()
    assert isinstance(heard[-1], Unavailable)
    again = await open_store(small_disk / "data", clock=FreeClock())
    assert len(await pending(again)) == number - 1
    await again.close()
