"""Logs in memory."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from yurt.ports import LogLine, LogQuery


class FakeLogs:
    """`yurt.ports.Logs` in a list, `lines`; filters by container, function and input. `followers` counts readers."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.followers = 0
        self._news = asyncio.Event()

    def append(self, lines: Sequence[LogLine]) -> None:
        """Take lines."""
        self.lines += lines
        self._news.set()

    async def read(self, query: LogQuery) -> list[LogLine]:
        """The lines that fit."""
        return [line for line in self.lines if self._fits(line, query)]

    async def follow(self, query: LogQuery) -> AsyncGenerator[LogLine, None]:
        """The lines that fit, and those to come."""
        at = 0
        self.followers += 1
        try:
            while True:
                self._news.clear()
                for line in self.lines[at:]:
                    if self._fits(line, query):
                        yield line
                at = len(self.lines)
                await self._news.wait()
        finally:
            self.followers -= 1

    @staticmethod
    def _fits(line: LogLine, query: LogQuery) -> bool:
        wanted = ((query.container_id, line.container_id), (query.function_id, line.function_id), (query.seq, line.seq))
        return all(want is None or want == has for want, has in wanted)
