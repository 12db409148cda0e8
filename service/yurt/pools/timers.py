"""What is due later: inputs that start, or stop waiting, at a time of their own."""

from collections.abc import Callable, Iterator
from heapq import heappop, heappush

from yurt.domain.records import TimerKind
from yurt.ports import Clock


class Timers:
    """Times at which something is due, earliest first.

    They are kept on the monotonic clock: a step of the wall clock moves none of them. What was cancelled meanwhile
    stays until its time and is then found to be gone.

    Attributes:
        woken: called when a timer is earlier than all before it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, TimerKind]] = []
        self.woken: Callable[[], None] = lambda: None

    def arm(self, seq: int, kind: TimerKind, in_s: float) -> None:
        """Have the input `seq` looked at in so many seconds."""
        timer = (self._clock.monotonic() + in_s, seq, kind)
        heappush(self._heap, timer)
        if self._heap[0] is timer:
            self.woken()

    def due(self, limit: int) -> Iterator[tuple[int, TimerKind]]:
        """Take out what is due, at most `limit` of it."""
        now = self._clock.monotonic()
        while limit and self._heap and self._heap[0][0] <= now:
            _, seq, kind = heappop(self._heap)
            limit -= 1
            yield seq, kind

    def next(self) -> float | None:
        """When the next one is due, on the monotonic clock."""
        return self._heap[0][0] if self._heap else None
