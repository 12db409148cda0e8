"""What waits in a function's queue, as a whole."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from yurt.domain.records import Result
from yurt.pools.functions import CANCEL_BATCH
from yurt.pools.heart import Heart
from yurt.pools.inputs import Input
from yurt.ports import Clock
from yurt.usecases.begun import COMMIT_TIMEOUT_S, not_committed


class Backlog:
    """Cancels what waits, and leaves what runs."""

    def __init__(self, heart: Heart, clock: Clock) -> None:
        self._heart = heart
        self._clock = clock

    async def cancel(self, function_id: str, before: float | None = None) -> int:
        """End the calls of a function that wait, delayed ones and retries too; not those that run, nor maps.

        Args:
            before: only those accepted earlier, in seconds since 1970; None for all that there are now.

        Returns:
            How many were ended; that is committed.

        Raises:
            Unavailable: the store did not take all of it in time; asking again goes on with the rest.
        """
        until = self._clock.now() if before is None else before
        count = 0
        async with aclosing(self._heart.reach.waiting(function_id)) as batches:
            async for items in batches:
                wanted = [item for item in items if item.created_at <= until]
                for start in range(0, len(wanted), CANCEL_BATCH):
                    count += await self._cancel(wanted[start : start + CANCEL_BATCH])
        return count

    async def _cancel(self, items: Sequence[Input]) -> int:
        """End those that still wait; returns how many, once that is committed."""
        ended = [item for item in items if item.member is None and self._heart.cancel(item, "token")]
        if ended:
            await self._committed(ended[-1])
        return len(ended)

    async def _committed(self, last: Input) -> None:
        """Return once the end of `last` is committed, and with it those that were written before."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def tell(_: Result) -> None:
            if not done.done():
                done.set_result(None)

        self._heart.followers.wait(last.seq, tell)
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                await done
        except TimeoutError as error:
            raise not_committed() from error
        finally:
            self._heart.followers.leave(last.seq, tell)
