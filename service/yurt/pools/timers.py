"""What is due later: inputs that start, or stop waiting, at a time of their own."""

from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heappush

from yurt.domain.records import Timer, TimerKind
from yurt.ports import Clock, TimerKey

ROOM = 10_000
"""Stored timers that are in memory; half of them are left when more are read."""

FIRST: TimerKey = (float("-inf"), 0, "")


class Timers:
    """Times at which something is due, earliest first. Of those that are stored only the next ones are in memory.

    They are kept on the monotonic clock, as times of a clock that was right at the server's start and that nobody
    sets: a step of the wall clock moves none of them. What was cancelled meanwhile stays until its time, and is then
    found to be gone; what is due may be told of twice.

    Args:
        room: how many stored ones are in memory, about.

    Attributes:
        woken: called when a timer is earlier than all before it.
        horizon: stored timers behind it are only in the store; None where all are in memory.
    """

    def __init__(self, clock: Clock, *, room: int = ROOM) -> None:
        self._clock = clock
        self._room = room
        self._began = clock.now() - clock.monotonic()
        self._heap: list[tuple[float, int, TimerKind, bool]] = []
        self._stored = 0
        self._reading = False
        self.horizon: TimerKey | None = FIRST
        self.woken: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._heap)

    def now(self) -> float:
        """Seconds since 1970 by the clock that nobody sets: what `due_at` of timers is told in."""
        return self._clock.monotonic() + self._began

    def arm(self, seq: int, kind: TimerKind, in_s: float) -> None:
        """Have the input `seq` looked at in so many seconds, without the store's knowledge."""
        self._push((self.now() + in_s, seq, kind, False))

    def keep(self, timer: Timer) -> None:
        """A timer is committed."""
        key = (timer.due_at, timer.seq, timer.kind)
        if self.horizon is not None and key > self.horizon and not self._reading:
            return
        self._stored += 1
        self._push((timer.due_at, timer.seq, TimerKind(timer.kind), True))
        if self._stored > 2 * self._room and not self._reading:
            self._shorten()

    def _push(self, entry: tuple[float, int, TimerKind, bool]) -> None:
        heappush(self._heap, entry)
        if self._heap[0] is entry:
            self.woken()

    def _shorten(self) -> None:
        """Leave all but the next ones to the store."""
        stored = sorted(entry for entry in self._heap if entry[3])[: self._room]
        self._heap = stored + [entry for entry in self._heap if not entry[3]]
        heapify(self._heap)
        self._stored = len(stored)
        self.horizon = stored[-1][:3]

    @property
    def wants_more(self) -> bool:
        """Whether more timers are to be read from the store: those behind the `horizon`."""
        return self.horizon is not None and not self._reading and self._stored <= self._room // 2

    def begin(self) -> int:
        """A read of timers behind the horizon begins; returns how many are wanted."""
        self._reading = True
        return self._room - self._stored

    def fill(self, timers: Sequence[Timer], *, over: bool) -> None:
        """It has ended; `over` says that there are no more."""
        self._reading = False
        for timer in timers:
            heappush(self._heap, (timer.due_at, timer.seq, TimerKind(timer.kind), True))
        if over:
            self.horizon = None
        elif timers:
            self.horizon = (timers[-1].due_at, timers[-1].seq, timers[-1].kind)
            self._heap = [entry for entry in self._heap if not entry[3] or entry[:3] <= self.horizon]
            heapify(self._heap)
        self._stored = sum(1 for entry in self._heap if entry[3])

    def fail(self) -> None:
        """It came to nothing."""
        self._reading = False

    def due(self, limit: int) -> Iterator[tuple[int, TimerKind]]:
        """Take out what is due, at most `limit` of it."""
        now = self.now()
        while limit and self._heap and self._heap[0][0] <= now:
            _, seq, kind, stored = heappop(self._heap)
            self._stored -= stored
            limit -= 1
            yield seq, kind

    def next(self) -> float | None:
        """When there is something to do, on the monotonic clock."""
        if self.wants_more:
            return self._clock.monotonic()
        return self._heap[0][0] - self._began if self._heap else None
