"""How many callers wait: each holds a connection, and their number has an end."""

from yurt.domain.errors import TooManyPending

MAX_WAITING = 25_000
"""Callers that may wait for results at once; each costs a connection and some 20 KiB."""


class Waiters:
    """Counts callers while they wait: `with waiters: …`. Beyond the limit entering raises `TooManyPending`."""

    __slots__ = ("_limit", "count")

    def __init__(self, limit: int = MAX_WAITING) -> None:
        self._limit = limit
        self.count = 0

    def __enter__(self) -> None:
        if self.count >= self._limit:
            raise TooManyPending(
                f"{self.count} callers wait for results, which is the limit. Ask again, or use spawn and come back.",
                code="too_many_waiting",
                retry_after_s=5,
            )
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1
