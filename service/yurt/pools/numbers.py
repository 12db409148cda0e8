"""Sequence numbers and tokens: never used twice, whatever happens to the store's rows."""

from collections.abc import Awaitable, Callable

from yurt.domain.errors import Unavailable

COUNTER_BITS = 32
RENEW_AT = 1 << 31
"""How far the counter may go before the next epoch is asked for: half of what there is."""


class Numbers:
    """Hands out `epoch << 32 | counter`.

    Args:
        epoch: committed for this life of the server.
        next_epoch: commits and returns a further one.
    """

    def __init__(self, epoch: int, next_epoch: Callable[[], Awaitable[int]]) -> None:
        self._next_epoch = next_epoch
        self._base = epoch << COUNTER_BITS
        self._used = 0

    def next(self) -> int:
        """A number larger than every one before it."""
        self._used += 1
        return self._base | self._used

    def take(self, count: int) -> int:
        """The first of so many numbers in a row, each larger than every one before."""
        first = self.next()
        self._used += count - 1
        return first

    async def renew(self) -> None:
        """Go on to a further epoch once the counter is half used up; called now and then by a loop."""
        if self._used < RENEW_AT:
            return
        try:
            epoch = await self._next_epoch()
        except Unavailable:
            return  # half of the counter is left; the loop comes again
        self._base, self._used = epoch << COUNTER_BITS, 0
