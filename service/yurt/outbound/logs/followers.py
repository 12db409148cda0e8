"""Readers that wait for lines to come."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from yurt.outbound.logs.queries import matches
from yurt.ports import LogLine, LogQuery


class Follower:
    """The lines that wait for one reader, at most `limit` of them."""

    def __init__(self, query: LogQuery, limit: int) -> None:
        self._query = query
        self._limit = limit
        self._waiting: deque[LogLine] = deque()
        self._missed: list[LogLine] = []
        self._missed_count = 0
        self._wake = asyncio.Event()
        self._closed = False

    def offer(self, lines: Sequence[LogLine]) -> None:
        """Take those lines that are wanted. Beyond the limit they are counted, and the reader will be told."""
        for line in lines:
            if not matches(self._query, line):
                continue
            if len(self._waiting) < self._limit and not self._missed_count:
                self._waiting.append(line)
            else:
                self._missed_count += 1
                self._missed = [line]
            self._wake.set()

    def close(self) -> None:
        """Let the reader end, once it has what waits."""
        self._closed = True
        self._wake.set()

    async def take(self) -> list[LogLine]:
        """What waits, as soon as something does; nothing after `close`."""
        while not self._waiting and not self._closed:
            await self._wake.wait()
            self._wake.clear()
        taken = list(self._waiting)
        self._waiting.clear()
        if self._missed_count:
            last = self._missed[0]
            text = f"{self._missed_count} lines are left out here: they came faster than they were read."
            taken.append(replace(last, stream="system", seq=0, number=0, text=text))
            self._missed_count, self._missed = 0, []
        return taken
