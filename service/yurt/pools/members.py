"""A container as a member of a pool: its session, its slots, what it holds."""

from collections.abc import Sequence
from itertools import islice
from typing import Protocol

from yurt.domain.functions import LiveFunction
from yurt.domain.records import Container, ContainerState
from yurt.domain.states import Event, move
from yurt.pools.inputs import Input
from yurt.ports import Address, Ended

MAX_PREFETCH = 128
"""Inputs a container may hold beyond its slots."""

PREFETCH_S = 0.002
"""How much work, in seconds, is handed out ahead: it hides the way to the container and back."""

LEASE_S = 15.0
"""How long after its last sign of life a container counts as alive, in seconds."""


class Link(Protocol):
    """The server's end of a container's session."""

    def send(self, frame: bytes) -> None:
        """Send a frame; those of one turn of the loop leave in one message. Never blocks, and is silent once closed."""

    def flush(self) -> None:
        """Send what waits now rather than with the rest of this turn, if that is possible."""

    def acknowledge(self, seq: int, token: int) -> None:
        """Tell the runner that an output is committed; rides with the next frames or leaves within 50 ms."""

    def close(self, reason: str) -> None:
        """End the session."""


class Member:
    """One container of a pool.

    Args:
        record: as committed last.
        function: the revision it runs.
        now: the monotonic clock, in seconds.

    Attributes:
        alone: it holds an input that must not share a container.
        used: it runs a single input, and has had it.
        held_up: the engine has no place for it yet.
        yields: it said that its function is a generator.
        ready: it has been ready, whatever it is now.
        stopping: it was told to end.
        stop_at: when it is made to end if it has not by then, on the monotonic clock.
        address: where its web server is reached, where it has one.
        requests: HTTP requests that it has.
        failures: connections to its server that failed since one did not.
        shunned_until: while others have room it gets no requests, on the monotonic clock.
    """

    __slots__ = (
        "address",
        "alone",
        "begun",
        "cpu_s",
        "ended",
        "failures",
        "fencing",
        "function",
        "greeted",
        "held",
        "held_up",
        "idle_since",
        "last_seen",
        "link",
        "ready",
        "recalled",
        "record",
        "requests",
        "rss_mib",
        "shunned_until",
        "slots",
        "startup_failed",
        "state",
        "stop_at",
        "stopping",
        "target",
        "used",
        "yields",
    )

    def __init__(self, record: Container, function: LiveFunction, now: float) -> None:
        self.record = record
        self.function = function
        self.state = ContainerState(record.state)
        self.link: Link | None = None
        self.slots = function.slots
        self.target = function.target
        self.held: dict[int, Input] = {}
        self.begun = now
        self.last_seen = now
        self.idle_since = now
        self.ready = self.state is ContainerState.READY or record.ready_at is not None
        self.greeted = False
        self.held_up = False
        self.recalled = False
        self.stopping = False
        self.stop_at: float | None = None
        self.fencing = False
        self.alone = False
        self.used = False
        self.yields = False
        self.startup_failed = False
        self.ended: Ended | None = None
        self.rss_mib: float | None = None
        self.cpu_s: float | None = None
        self.address: Address | None = None
        self.requests = 0
        self.failures = 0
        self.shunned_until = 0.0

    @property
    def id(self) -> str:
        """The container's id."""
        return self.record.id

    def move(self, event: Event) -> None:
        """Take note of what happened to the container.

        Raises:
            IllegalMove: it cannot have happened.
        """
        self.state = move(self.state, event)

    @property
    def works(self) -> bool:
        """Whether it takes inputs now."""
        return self.state is ContainerState.READY and self.link is not None and not self.fencing and not self.used

    @property
    def has_target_free(self) -> bool:
        """Whether it runs one more input at once, and is meant to."""
        return self.works and not self.alone and len(self.held) < self.target

    @property
    def has_slot_free(self) -> bool:
        """Whether it runs one more input at once."""
        return self.works and not self.alone and len(self.held) < self.slots

    @property
    def running(self) -> int:
        """Inputs and requests that it runs."""
        return min(len(self.held), self.slots) + self.requests

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do."""
        return not self.held and not self.requests

    @property
    def taken(self) -> int:
        """Slots in use."""
        return self.running

    @property
    def prefetched(self) -> int:
        """Inputs it holds beyond its slots."""
        return max(0, len(self.held) - self.slots)

    def has_slot(self, item: Input) -> bool:
        """Whether `item` is among those that the container runs: it takes them in the order they were given."""
        return item.seq in islice(self.held, self.slots)

    def take(self, item: Input) -> None:
        """It is given an input."""
        self.held[item.seq] = item

    def adopt(self, item: Input, for_s: float | None) -> None:  # noqa: ARG002 - batches are told apart by it
        """It says that it holds an input of an earlier life of the server, which it runs for so long, or not yet."""
        self.held[item.seq] = item

    def release(self, seq: int) -> Input | None:
        """It no longer has that input; returns it, if it had."""
        return self.held.pop(seq, None)

    def flush(self) -> None:
        """Send it at once what it is to be sent in this turn."""
        if self.link is not None:
            self.link.flush()

    def room(self, mean_run_s: float | None) -> int:
        """How many more inputs it may hold, with what is prefetched: the faster the function, the more.

        Nothing is handed out ahead to a container that lets an input run for longer, and nothing beside one that is
        to run alone. What is handed out ahead goes out many at a time, once half of it is used up: a message for each
        would cost more than the input.
        """
        if self.alone:
            return 0
        if len(self.held) < self.target < self.slots:
            return self.target - len(self.held)
        first = next(iter(self.held.values()), None)
        slow = first is not None and first.started_at is not None
        if mean_run_s is None or slow or self.function.single_use_containers:
            return self.slots - len(self.held)
        ahead = MAX_PREFETCH if mean_run_s * MAX_PREFETCH <= PREFETCH_S else int(PREFETCH_S / mean_run_s)
        held = len(self.held)
        return self.slots + ahead - held if held <= self.slots + ahead // 2 else 0


class BatchMember(Member):
    """One that runs batches: all that it is given at once is over at once, and only then its slots are free.

    Attributes:
        batches: how many members of each have not ended.
    """

    __slots__ = ("_batch_of", "_most", "batches")

    def __init__(self, record: Container, function: LiveFunction, now: float) -> None:
        super().__init__(record, function, now)
        self._most = function.max_inputs
        self.batches: dict[object, int] = {}
        self._batch_of: dict[int, object] = {}

    @property
    def has_target_free(self) -> bool:
        """See `Member`."""
        return self.has_slot_free

    @property
    def has_slot_free(self) -> bool:
        """See `Member`."""
        return self.works and not self.alone and len(self.batches) < self._most

    @property
    def running(self) -> int:
        """See `Member`."""
        return len(self.held)

    @property
    def taken(self) -> int:
        """See `Member`."""
        return self.slots // self._most * len(self.batches)

    @property
    def prefetched(self) -> int:
        """See `Member`: nothing is handed out ahead."""
        return 0

    def has_slot(self, item: Input) -> bool:
        """See `Member`."""
        return item.seq in self.held

    def room(self, mean_run_s: float | None) -> int:  # noqa: ARG002 - nothing is handed out ahead
        """See `Member`."""
        return self.slots // self._most if self.has_slot_free else 0

    def take_batch(self, items: Sequence[Input]) -> None:
        """It is given a batch."""
        self._hold(items, items[0].token)

    def take(self, item: Input) -> None:
        """See `Member`: a batch of one."""
        self._hold((item,), item.token)

    def adopt(self, item: Input, for_s: float | None) -> None:
        """See `Member`: what runs for as long is one batch."""
        self._hold((item,), ("adopted", for_s))

    def _hold(self, items: Sequence[Input], batch: object) -> None:
        self.batches[batch] = self.batches.get(batch, 0) + len(items)
        for item in items:
            self.held[item.seq] = item
            self._batch_of[item.seq] = batch

    def release(self, seq: int) -> Input | None:
        """See `Member`."""
        batch = self._batch_of.pop(seq, None)
        if batch is not None:
            self.batches[batch] -= 1
            if not self.batches[batch]:
                del self.batches[batch]
        return self.held.pop(seq, None)


def new_member(record: Container, function: LiveFunction, now: float) -> Member:
    """A container of a pool, of the kind that its revision needs; arguments as of `Member`."""
    return (Member if function.batches is None else BatchMember)(record, function, now)
