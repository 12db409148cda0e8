"""Moves what was committed from the log (`-wal`) into the database file, beside the writer."""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from yurt.outbound.store.journal import JournalBase
from yurt.ports import Clock

BEGIN_BYTES = 4 << 20
"""A log above this is worth a checkpoint."""
HOLD_BYTES = 64 << 20
"""A log above this must begin anew, which takes a moment without commits."""
LOOK_EVERY_S = 0.5

_log = structlog.stdlib.get_logger(__name__)


class Checkpoints:
    """Keeps the log short, in a thread with a connection of its own.

    A passive checkpoint never waits for the writer; but under a steady load there is always something newer in the log,
    so that it would grow for ever. Above `HOLD_BYTES` the journal is held while a second checkpoint copies the little
    that the first one could not; the next commit then begins at the log's start.

    Args:
        path: the database.
        journal: held when needed.
        clock: paces the looks at the log's size.
    """

    def __init__(self, path: Path, journal: JournalBase, clock: Clock) -> None:
        self._path = path
        self._log_path = path.with_name(path.name + "-wal")
        self._journal = journal
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-checkpoint")
        self._db: sqlite3.Connection | None = None
        self._seen_commits = -1
        self._task = asyncio.get_running_loop().create_task(self._watch(), name="store-checkpoints")

    def trouble(self) -> str | None:
        """Why there are no checkpoints any more, or None."""
        if self._task.done() and not self._task.cancelled():
            return f"The log is no longer moved into the database: {self._task.exception()!r}."
        return None

    async def close(self) -> None:
        """End the task, then the thread."""
        self._task.cancel()
        await asyncio.wait([self._task])
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        self._thread.shutdown()
        if self._db is not None:
            self._db.close()

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            commits = self._journal.stats().commits
            if commits != self._seen_commits and self._log_bytes() > BEGIN_BYTES:
                await self._shorten()
                self._seen_commits = commits

    def _log_bytes(self) -> int:
        try:
            return self._log_path.stat().st_size
        except FileNotFoundError:
            return 0

    async def _shorten(self) -> None:
        await self._checkpoint()
        if self._log_bytes() > HOLD_BYTES:
            self._journal.hold()
            try:
                await self._checkpoint()
            finally:
                self._journal.release()

    async def _checkpoint(self) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._run)
        except sqlite3.Error as error:
            # Full or failing disk: the journal reports that; the log keeps everything until a later one succeeds.
            _log.warning("store_checkpoint_failed", reason=str(error))

    def _run(self) -> None:
        if self._db is None:
            self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=1)
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
