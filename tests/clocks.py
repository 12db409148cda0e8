"""A clock that a test moves by hand."""

import asyncio
from dataclasses import dataclass, field


@dataclass
class FreeClock:
    """`yurt.ports.Clock`, standing still until told otherwise.

    Args:
        time: seconds since 1970.
        elapsed: seconds of the clock that never goes back.
    """

    time: float = 1_800_000_000.0
    elapsed: float = 1_000.0
    sleepers: list[tuple[float, asyncio.Future[None]]] = field(default_factory=list, repr=False)

    def now(self) -> float:
        """Seconds since 1970."""
        return self.time

    def monotonic(self) -> float:
        """Seconds of the clock that never goes back."""
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        """Return once `advance` has moved the clock so far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.elapsed + seconds, waiting))
        await waiting

    def advance(self, seconds: float) -> None:
        """Let both clocks run on, and wake those whose sleep is over."""
        self.time += seconds
        self.elapsed += seconds
        due = [waiting for until, waiting in self.sleepers if until <= self.elapsed]
        self.sleepers = [sleeper for sleeper in self.sleepers if sleeper[0] > self.elapsed]
        for waiting in due:
            if not waiting.done():
                waiting.set_result(None)
