"""What keeps the store small and quick: checkpoints, bounded reads, a start without the migrations' machinery."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import suppress

import pytest

from tests.contract.store.conftest import SqliteStores
from tests.contract.store.making import accept, pending
from tests.waiting import until
from yurt.domain.errors import Unavailable
from yurt.outbound.store import checkpoints
from yurt.outbound.store.opening import LOG_KEPT_BYTES
from yurt.outbound.store.readers import Readers

FOREVER = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"


def log_bytes(stores: SqliteStores) -> int:
    return (stores.directory / "yurt.db-wal").stat().st_size


async def test_the_log_does_not_outgrow_a_steady_load(
    sqlite_stores: SqliteStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "HOLD_BYTES", 2 * checkpoints.BEGIN_BYTES)
    store = await sqlite_stores.open()
    peak = number = 0
    for _ in range(12):
        await until(lambda: sqlite_stores.clock.sleepers, "the next look")
        sqlite_stores.clock.advance(checkpoints.LOOK_EVERY_S)
        for _ in range(40):  # 4 MiB, while the checkpoint is under way
            number += 1
            await store.journal.write(accept(number, args=os.urandom(100_000)))
            peak = max(peak, log_bytes(sqlite_stores))
    assert number * 100_000 > 2 * peak, "the log began anew at least once"
    sqlite_stores.clock.advance(checkpoints.LOOK_EVERY_S)
    await until(lambda: sqlite_stores.clock.sleepers, "the last look")
    await store.journal.write(accept(number + 1))
    await store.journal.write(accept(number + 2))
    assert log_bytes(sqlite_stores) <= LOG_KEPT_BYTES + 100_000
    assert len(await pending(store)) == number + 2


async def test_a_closed_store_is_one_file(sqlite_stores: SqliteStores) -> None:
    store = await sqlite_stores.open()
    await store.journal.write(accept(1))
    await store.close()
    assert {path.name for path in sqlite_stores.directory.iterdir()} == {"yurt.db", "lock"}


async def test_a_read_that_takes_too_long_is_stopped(sqlite_stores: SqliteStores) -> None:
    await sqlite_stores.open()
    readers = Readers(sqlite_stores.directory / "yurt.db", timeout_s=0.05)
    try:
        for _ in range(8):  # more than there are threads: they are free again
            with pytest.raises(Unavailable, match=r"within 0\.05 s"):
                await readers.rows(FOREVER)
        assert await answer(readers) == [(1,)]
    finally:
        readers.close()


async def answer(readers: Readers) -> list[tuple[object, ...]]:
    """What the readers say, once a busy machine lets them say it in their time."""
    async with asyncio.timeout(30):
        while True:
            with suppress(Unavailable):
                return await readers.rows("SELECT 1")


async def test_a_read_that_nobody_waits_for_is_stopped(sqlite_stores: SqliteStores) -> None:
    await sqlite_stores.open()
    readers = Readers(sqlite_stores.directory / "yurt.db", timeout_s=60)
    tasks = [asyncio.create_task(readers.rows(FOREVER)) for _ in range(4)]
    await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    async with asyncio.timeout(30):
        assert await readers.rows("SELECT 1") == [(1,)]
    await asyncio.to_thread(readers.close)


async def test_readers_cannot_write(sqlite_stores: SqliteStores) -> None:
    store = await sqlite_stores.open()
    readers = Readers(sqlite_stores.directory / "yurt.db")
    with pytest.raises(Unavailable):
        await readers.rows("DELETE FROM calls")
    readers.close()
    assert await store.check() is None


async def test_a_stranger_who_holds_the_database_is_waited_for(sqlite_stores: SqliteStores) -> None:
    store = await sqlite_stores.open()
    stranger = sqlite3.connect(sqlite_stores.directory / "yurt.db", isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    heard: list[Exception | None] = []
    store.journal.add([accept(1)], heard.append)
    await asyncio.sleep(0)
    reason = await store.check()
    assert reason is not None
    assert "locked" in reason
    stranger.execute("ROLLBACK")
    stranger.close()
    await until(lambda: len(sqlite_stores.clock.sleepers) > 1, "the pause before the next try")
    sqlite_stores.clock.advance(1)
    await until(lambda: heard, "the commit")
    assert heard == [None]


START = """
import asyncio, sys
from pathlib import Path
from tests.clocks import FreeClock
from yurt.outbound.store import open_store
async def start():
    store = await open_store(Path(sys.argv[1]), clock=FreeClock())
    await store.close()
asyncio.run(start())
print("alembic" in sys.modules)
"""


async def test_a_start_on_the_newest_schema_does_without_alembic(sqlite_stores: SqliteStores) -> None:
    store = await sqlite_stores.open()
    await store.close()
    command = [sys.executable, "-c", START, str(sqlite_stores.directory)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["False"]
