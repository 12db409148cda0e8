"""The level `power`: SQLite in one writing thread, with every commit on the disk before anybody hears of it."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from yurt.domain.changes import Change
from yurt.outbound.store.writer import SqliteWriter


class ThreadWriter:
    """`AsyncWriter` over a `SqliteWriter`: a group goes over whole, and its outcome comes back in one call.

    Args:
        writer: used by the thread alone from now on.
    """

    def __init__(self, writer: SqliteWriter) -> None:
        self._writer = writer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-writer")

    async def commit(self, adds: Sequence[Sequence[Change]]) -> dict[int, Exception]:
        """Write all adds in one transaction; returns the refused ones by place."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._writer.commit, adds)

    async def next_epoch(self) -> int:
        """Commit the next epoch."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._writer.next_epoch)

    def close(self) -> None:
        """End the thread. Blocks for a commit at most."""
        self._thread.shutdown()
