"""A part of a queue that is in one order: the pending inputs of one caller and priority, or those of one map."""

from heapq import heapify, heappop, heappush

from yurt.domain.blame import runs_alone
from yurt.pools.inputs import Group, Input


class Stream:
    """The first inputs are in memory, as many as there is room for; the others are only in the store.

    While there is `more`, every pending input up to the number `cursor` is in memory, and one after it may be or not.
    What comes after the cursor is taken into memory by reads, in the order of the numbers. While a read is under way,
    whatever arrives up to the last number that it asks for stays in memory, for the read may have been too early to
    see it: there is never a hole before the cursor.

    Args:
        caller: whose inputs they are.
        rank: their negative priority.
        found: the map whose inputs they are, or None for calls of one input.
        number: tells it from other streams of its queue.

    Attributes:
        more: there may be inputs that are only in the store.
        beyond: about how many; exact again whenever the stream was read to its end. What waits goes by `more`.
        cursor: see above.
        reading: the last number that the read under way asks for, 0 while there is none.
        noted: where its caller's line has it, if it does.
    """

    __slots__ = (
        "_heap",
        "_left",
        "_top",
        "beyond",
        "caller",
        "cursor",
        "found",
        "more",
        "noted",
        "number",
        "rank",
        "reading",
    )

    def __init__(self, caller: str, rank: int, found: Group | None, number: int) -> None:
        self.caller = caller
        self.rank = rank
        self.found = found
        self.number = number
        self.more = False
        self.beyond = 0
        self.cursor = 0
        self.reading = 0
        self.noted: int | None = None
        self._top = 0
        self._left = False
        self._heap: list[tuple[int, Input]] = []

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def items(self) -> list[Input]:
        """What is in memory, in no order."""
        return [item for _, item in self._heap]

    @property
    def head(self) -> Input | None:
        """The first input in memory, or None."""
        return self._heap[0][1] if self._heap else None

    @property
    def next(self) -> int | None:
        """The number of the next input, or one before it while it is only in the store; None where nothing waits."""
        heap = self._heap
        if not self.more:
            return heap[0][0] if heap else None
        return heap[0][0] if heap and heap[0][0] <= self.cursor else self.cursor + 1

    @property
    def ready(self) -> bool:
        """Whether the next input is in memory."""
        heap = self._heap
        return bool(heap) and (not self.more or heap[0][0] <= self.cursor)

    def pop(self) -> Input:
        """Take the next input, which must be `ready`."""
        return heappop(self._heap)[1]

    def arrive(self, item: Input, room: int) -> bool:
        """A committed input comes; returns whether it stays in memory.

        Args:
            room: how many inputs the stream may have in memory.
        """
        seq = item.seq
        beyond = self.more and seq > self.cursor and seq > self.reading
        full = not self.more and len(self._heap) >= room and seq > self._top
        if (beyond or full) and leaves(item):
            self.leave(1, seq)
            return False
        self.push(item)
        return True

    def leave(self, count: int, first: int) -> None:
        """So many inputs from the number `first` on, which is above all before, stay in the store."""
        if not self.more:
            self.more, self.cursor = True, first - 1
        self.beyond += count
        self._left = True

    def push(self, item: Input) -> None:
        """Take an input into memory, wherever its place is."""
        heappush(self._heap, (item.seq, item))
        self._top = max(self._top, item.seq)

    def discard(self, item: Input) -> bool:
        """Take an input out; returns whether it was in memory."""
        try:
            self._heap.remove((item.seq, item))
        except ValueError:
            return False
        heapify(self._heap)
        return True

    def evict(self, room: int) -> list[Input]:
        """Leave all but the first `room` to the store, as far as it knows all of them; returns those.

        Nothing is done during a read, which would not find them.
        """
        if self.reading:
            return []
        self._heap.sort()
        last = self._heap[room - 1][0]
        sent = [item for seq, item in self._heap if seq > last and leaves(item)]
        if sent:
            self._heap = [entry for entry in self._heap if entry[0] <= last or not leaves(entry[1])]
            self.cursor = min(self.cursor, last) if self.more else last
            self.more, self.beyond = True, self.beyond + len(sent)
        return sent

    def begin(self, last: int) -> None:
        """A read of what comes after the cursor, up to the number `last`, is under way."""
        self.reading, self._left = last, False

    def fill(self, items: list[Input], reached: int, *, over: bool) -> None:
        """A read has ended.

        Args:
            items: what it found that was not in memory.
            reached: everything up to this number was read.
            over: that is all that the read asked for.
        """
        for item in items:
            self.push(item)
        self.cursor = max(self.cursor, reached)
        self.beyond = max(0, self.beyond - len(items))
        self.reading = 0
        if over and not self._left:
            self.more, self.beyond = False, 0

    def fail(self) -> None:
        """A read came to nothing."""
        self.reading = 0

    def taken(self, count: int = 1) -> None:
        """So many of those in the store were taken out of turn."""
        self.beyond = max(0, self.beyond - count)


def leaves(item: Input) -> bool:
    """Whether the store knows all of an input: no container was given it in this life of the server."""
    return item.token == 0 and not runs_alone(item.history)
