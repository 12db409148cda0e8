"""Logs as segment files: `<directory>/<function>/<container>/<segment>`."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from yurt.outbound.logs import queries, segments
from yurt.outbound.logs.followers import Follower
from yurt.outbound.logs.limits import LINE_COST_BYTES, LogLimits
from yurt.outbound.logs.segments import Owner, Segment
from yurt.outbound.logs.shelf import Lost, Shelf
from yurt.ports import Clock, LogLine, LogQuery

P = ParamSpec("P")
T = TypeVar("T")


TOO_FAST = "they came faster than they could be written"


class FileLogs:
    """`yurt.ports.Logs` in a directory that belongs to the server.

    Lines wait in memory for at most `limits.flush_s` and are then written by a thread. One read gives at most
    `limits.read_lines` lines, the newest that match. What the bounds take is counted, and told by a line of the stream
    `system` of that container.

    Args:
        directory: made with mode 0700 by `open`.
        clock: dates the lines that tell of lost ones.
        limits: how much is kept.
    """

    def __init__(self, directory: Path, clock: Clock, limits: LogLimits | None = None) -> None:
        self._limits = limits or LogLimits()
        self._clock = clock
        self._shelf = Shelf(directory, self._limits)
        self._buffer: list[LogLine] = []
        self._buffered_bytes = 0
        self._missing: Lost = Counter()
        self._followers: set[Follower] = set()
        # One thread, so that what is handed to it happens in that order, also when the one who asked has gone.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="logs")
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """List the segments of earlier lives, and begin to write."""
        await self._submit(self._shelf.load)
        self._writer = asyncio.create_task(self._write_on(), name="logs-writer")

    async def close(self) -> None:
        """Write what waits, and let followers end. Safe to call twice."""
        self._closing.set()
        self._wake.set()
        for follower in self._followers:
            follower.close()
        if self._writer:
            await self._writer
        await asyncio.to_thread(self._thread.shutdown)

    def append(self, lines: Sequence[LogLine]) -> None:
        """See `Logs.append`. What comes after `close` has no one left to write it, and is dropped."""
        if self._closing.is_set():
            return
        for line in lines:
            if self._buffered_bytes >= self._limits.buffered_bytes:
                self._missing[Owner(line.function_id, line.container_id), TOO_FAST] += 1
                continue
            self._buffered_bytes += len(line.text) + LINE_COST_BYTES
            self._buffer.append(line)
        for follower in self._followers:
            follower.offer(lines)
        self._wake.set()

    async def read(self, query: LogQuery) -> list[LogLine]:
        """See `Logs.read`."""
        self._flush()
        return await self._read(await self._submit(self._shelf.snapshot, query), query)

    async def follow(self, query: LogQuery) -> AsyncGenerator[LogLine, None]:
        """See `Logs.follow`."""
        # Nothing is awaited between these three: a line is in the snapshot or offered to the follower, never both.
        self._flush()
        snapshot = self._submit(self._shelf.snapshot, query)
        follower = self._follower(query)
        try:
            for line in await self._read(await snapshot, query):
                yield line
            while lines := await follower.take():
                for line in lines:
                    yield line
        finally:
            self._followers.discard(follower)

    def _follower(self, query: LogQuery) -> Follower:
        follower = Follower(query, self._limits.follower_lines)
        self._followers.add(follower)
        if self._closing.is_set():
            follower.close()
        return follower

    async def expire(self, before: float) -> int:
        """Remove segments whose newest line is older than `before`, seconds since 1970; returns how many."""
        return await self._submit(self._shelf.expire, before)

    async def _read(self, held: list[Segment], query: LogQuery) -> list[LogLine]:
        limit = self._limits.read_lines if query.tail is None else min(query.tail, self._limits.read_lines)
        return await asyncio.to_thread(queries.newest, held, segments.read, query, limit)

    def _submit(self, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[T]":
        return asyncio.get_running_loop().run_in_executor(self._thread, lambda: do(*args, **kwargs))

    async def _write_on(self) -> None:
        while not self._closing.is_set():
            await self._wake.wait()
            self._wake.clear()
            await self._flush()
            await self._pause()
        await self._flush()

    async def _pause(self) -> None:
        """Let lines gather, unless it is time to go."""
        try:
            async with asyncio.timeout(self._limits.flush_s):
                await self._closing.wait()
        except TimeoutError:
            return

    def _flush(self) -> "asyncio.Future[Lost]":
        """Hand what waits to the thread. What is lost then is told with the next lines."""
        lines, self._buffer, self._buffered_bytes = self._buffer, [], 0
        missing, self._missing = self._missing, Counter()
        written = self._submit(self._shelf.write, lines, missing, self._clock.now())
        written.add_done_callback(self._on_written)
        return written

    def _on_written(self, written: "asyncio.Future[Lost]") -> None:
        if not written.cancelled():
            self._missing.update(written.result())
