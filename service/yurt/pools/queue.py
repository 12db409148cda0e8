"""The pending inputs of one function: its callers take turns, priority orders a caller's own inputs."""

from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush

from yurt.domain.blame import runs_alone
from yurt.pools.inputs import Input

EXACT_UP_TO = 100
"""Above so many inputs the number of those ahead is an estimate. Every spawn is answered with it: counting 2,000 took
nearly half of the time of one."""


class Queue:
    """A heap for each caller, and the order in which callers have their turn.

    An input that was taken out by `discard` stays in its heap and is skipped when its turn comes. Every push has a
    number of its own, so that what it left behind is not taken for the same input when that is queued again.
    """

    def __init__(self) -> None:
        self._heaps: dict[str, list[tuple[int, int, int, Input]]] = {}
        self._turns: deque[str] = deque()
        self._members: dict[int, int] = {}
        self._pushes = 0
        self._alone: deque[Input] = deque()

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, item: Input) -> bool:
        return item.seq in self._members

    def __iter__(self) -> Iterator[Input]:
        for heap in self._heaps.values():
            for _, seq, push, item in heap:
                if self._members.get(seq) == push:
                    yield item
        yield from self._alone

    @property
    def has_alone(self) -> bool:
        """Whether an input waits for a container of its own."""
        return bool(self._alone)

    def push(self, item: Input) -> None:
        """Put an input at its place; an older one comes before younger ones of its caller again."""
        self._pushes += 1
        self._members[item.seq] = self._pushes
        if runs_alone(item.history):
            self._alone.append(item)
            return
        heap = self._heaps.get(item.caller)
        if heap is None:
            heap = self._heaps[item.caller] = []
            self._turns.append(item.caller)
        heappush(heap, (*item.rank, self._pushes, item))

    def pop_alone(self) -> Input | None:
        """The next of the inputs that must not share a container, or None."""
        if not self._alone:
            return None
        item = self._alone.popleft()
        del self._members[item.seq]
        return item

    def pop(self) -> Input | None:
        """The next of the others, or None. Its caller goes to the end of the line."""
        turns, heaps = self._turns, self._heaps
        while turns:
            caller = turns[0]
            heap = heaps[caller]
            item = self._pop_of(heap)
            if not heap:
                turns.popleft()
                del heaps[caller]
            elif len(turns) > 1:
                turns.rotate(-1)
            if item is not None:
                return item
        return None

    def _pop_of(self, heap: list[tuple[int, int, int, Input]]) -> Input | None:
        while heap:
            _, seq, push, item = heappop(heap)
            if self._members.get(seq) == push:
                del self._members[seq]
                return item
        return None

    def discard(self, item: Input) -> bool:
        """Take an input out; returns whether it was in."""
        if self._members.pop(item.seq, None) is None:
            return False
        if runs_alone(item.history):
            self._alone.remove(item)
        return True

    def clear(self) -> list[Input]:
        """Take everything out."""
        items = list(self)
        self._heaps.clear()
        self._turns.clear()
        self._alone.clear()
        self._members.clear()
        return items

    def oldest(self) -> float | None:
        """When the input that waits longest was queued."""
        if len(self) > EXACT_UP_TO:
            heads = [heap[0][3].queued_at for heap in self._heaps.values() if heap]
            return min(heads, default=None)
        return min((item.queued_at for item in self), default=None)

    def ahead(self, item: Input) -> tuple[int, bool]:
        """How many inputs come before `item`, and whether that is exact."""
        if len(self) > EXACT_UP_TO:
            return len(self) - 1, False
        exact = len(self._heaps) <= 1
        return sum(1 for other in self if other.rank < item.rank), exact
