"""What containers print, kept and read."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a container, or the system about it, wrote.

    Args:
        time: seconds since 1970.
        stream: `stdout`, `stderr` or `system`.
        seq: the input it belongs to, or 0.
        number: the attempt's number, or 0.
    """

    time: float
    stream: str
    container_id: str
    function_id: str
    seq: int
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which lines to read; every field that is set must match. `tail`: only the last so many."""

    function_id: str | None = None
    container_id: str | None = None
    seq: int | None = None
    since: float | None = None
    until: float | None = None
    search: str | None = None
    tail: int | None = None


class Logs(Protocol):
    """What containers print. Bounded, never in the journal's database."""

    def append(self, lines: Sequence[LogLine]) -> None:
        """Take lines; never blocks. They are written soon; beyond the bounds the oldest segments go."""

    async def read(self, query: LogQuery) -> list[LogLine]:
        """Lines in order of time."""

    def follow(self, query: LogQuery) -> AsyncGenerator[LogLine, None]:
        """What `read` gives, then lines as they come, until the caller closes the iterator.

        A slow reader loses lines and is told so by a line of the stream `system`.
        """
