"""How much memory the bodies of requests may take at once."""

import asyncio
from collections import deque

from yurt.domain.errors import Unavailable

FREE_BYTES = 1 << 20
"""Bodies up to this size need no room: aiohttp holds a part of every body that comes anyway."""

WAIT_S = 30.0
"""How long a large body waits for room before its sender is asked to come again, in seconds."""


class Room:
    """Bytes that large bodies share, first come first served. Who waits is not read from: the sender's socket fills.

    Args:
        capacity_bytes: at once; a larger body gets all of it.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity = self._left = capacity_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._held: dict[int, int] = {}  # by identity: requests of aiohttp cannot be hashed

    @property
    def held_bytes(self) -> int:
        """What is taken now."""
        return self._capacity - self._left

    async def enter(self, holder: object, size: int) -> None:
        """Take `size` bytes for a request, which must `leave` at the end.

        Raises:
            Unavailable: there is none for so long that the caller had better come again.
        """
        size = min(size, self._capacity)
        if self._waiting or size > self._left:
            await self._wait(size)
        else:
            self._left -= size
        self._held[id(holder)] = size

    def leave(self, holder: object) -> None:
        """Give back what a request took, if anything. Safe to call twice."""
        size = self._held.pop(id(holder), 0)
        if size:
            self._give(size)

    async def _wait(self, size: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            async with asyncio.timeout(WAIT_S):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._give(size)
            else:
                self._waiting.remove((size, turn))
                self._admit()
            if isinstance(error, TimeoutError):
                raise Unavailable(
                    f"Large requests have filled the {self._capacity >> 20} MiB that are kept for them. Try again.",
                    code="too_much_at_once",
                    retry_after_s=5,
                ) from error
            raise

    def _give(self, size: int) -> None:
        self._left += size
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._left:
            size, turn = self._waiting.popleft()
            self._left -= size
            turn.set_result(None)
