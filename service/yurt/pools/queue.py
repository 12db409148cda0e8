"""The pending inputs of one function: its callers take turns, priority orders a caller's own inputs.

Most of a long queue is only in the store (see `yurt.pools.stream`): its length costs no memory.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush, heapreplace
from itertools import count
from typing import TypeAlias

from yurt.domain.blame import runs_alone
from yurt.pools.inputs import Group, Input
from yurt.pools.live_map import LiveMap
from yurt.pools.stream import Stream

EXACT_UP_TO = 100
"""Above so many inputs the number of those ahead is an estimate. Every spawn is answered with it: counting 2,000 took
nearly half of the time of one."""

Key: TypeAlias = tuple[str, int, int]
"""Caller, rank and map (0 for none)."""


@dataclass(frozen=True, slots=True)
class Window:
    """How many of the pending inputs are in memory.

    Args:
        stream: of one stream; half of them are left when it is refilled.
        queue: of one queue in all, about: many streams have smaller windows.
        least: of one stream, however many there are.
    """

    stream: int = 512
    queue: int = 4096
    least: int = 16

    def room(self, streams: int) -> int:
        """Of each of so many streams."""
        return max(self.least, min(self.stream, self.queue // max(1, streams)))

    def holding(self, at_once: int) -> "Window":
        """A window in which so many inputs of one stream are there to be taken at once."""
        return Window(max(self.stream, 2 * at_once), max(self.queue, 4 * at_once), self.least)


WINDOW = Window()


def _key(caller: str, rank: int, found: Group | None) -> Key:
    return (caller, rank, 0 if found is None else found.seq)


class _Line:
    """The streams of one caller, by their next inputs.

    Args:
        caller: the id of a token.

    Attributes:
        order: a heap of (rank, number, stream's number, stream). Each stream with an input has an entry at or before
            its next one, which `noted` tells; entries that have become wrong are put right when they come up.
    """

    __slots__ = ("caller", "order")

    def __init__(self, caller: str) -> None:
        self.caller = caller
        self.order: list[tuple[int, int, int, Stream]] = []

    def note(self, stream: Stream) -> None:
        """The stream may have an earlier next input, or its first."""
        seq = stream.next
        if seq is not None and (stream.noted is None or seq < stream.noted):
            stream.noted = seq
            heappush(self.order, (stream.rank, seq, stream.number, stream))

    def first(self, over: Callable[[Stream], None]) -> Stream | None:
        """The stream whose input is the caller's next, or None; `over` is told of those that have none."""
        order = self.order
        while order:
            rank, known, number, stream = order[0]
            seq = stream.next if known == stream.noted else None
            if seq == known:
                return stream
            if seq is not None:
                stream.noted = seq
                heapreplace(order, (rank, seq, number, stream))
                continue
            heappop(order)
            if known == stream.noted:
                stream.noted = None
                over(stream)
        return None


class Queue:
    """A line for each caller, and the order in which callers have their turn.

    Args:
        refill: called when a stream has few inputs in memory and more in the store. It leads to `fill`, or to `retry`.
        left: called with inputs that were in memory, and are left to the store.
        window: how many may be there.

    Attributes:
        window: see above.
        held: nothing is read from the store.
    """

    def __init__(
        self,
        refill: Callable[[Stream], None] = lambda _: None,
        left: Callable[[Sequence[Input]], None] = lambda _: None,
        window: Window = WINDOW,
    ) -> None:
        self.window = window
        self._refill = refill
        self._left = left
        self._streams: dict[Key, Stream] = {}
        self._lines: dict[str, _Line] = {}
        self._turns: deque[_Line] = deque()
        self._alone: deque[Input] = deque()
        self._numbers = count()
        self._size = 0
        self.held = False

    def __len__(self) -> int:
        """How many inputs wait, in memory and in the store."""
        return self._size

    def __contains__(self, item: Input) -> bool:
        return item.queued

    def __iter__(self) -> Iterator[Input]:
        """What is in memory, in no order."""
        for stream in self._streams.values():
            yield from stream.items
        yield from self._alone

    @property
    def streams(self) -> list[Stream]:
        """Those in which something waits."""
        return list(self._streams.values())

    @property
    def has_alone(self) -> bool:
        """Whether an input waits for a container of its own."""
        return bool(self._alone)

    # ------------------------------------------------------------------ in

    def push(self, item: Input) -> bool:
        """Put an input at its place, before younger ones of its caller; returns whether it stays in memory."""
        self._size += 1
        if runs_alone(item.history):
            item.queued = True
            self._alone.append(item)
            return True
        stream = self.stream(item.caller, -item.priority, item.group)
        item.queued = stream.arrive(item, self._room())
        self._note(stream)
        self._bound(stream)
        return item.queued

    def leave(self, found: LiveMap, count: int, first: int) -> None:
        """So many inputs of a map, from the number `first` on, stay in the store. They come after all before."""
        stream = self.stream(found.accepted.caller, -found.accepted.priority, found)
        stream.leave(count, first)
        self._size += count
        self._note(stream)
        self.look(stream)

    def takes(self, found: LiveMap) -> bool:
        """Whether the next input of a map would stay in memory."""
        stream = self._streams.get(_key(found.accepted.caller, -found.accepted.priority, found))
        return stream is None or (not stream.more and len(stream) < self._room())

    def seed(self, caller: str, rank: int, found: Group | None, *, cursor: int, count: int) -> None:
        """So many inputs of a stream are in the store, all after the number `cursor`."""
        if count > 0:
            stream = self.stream(caller, rank, found)
            stream.cursor = min(cursor, stream.cursor) if stream.more else cursor
            stream.more, stream.beyond = True, stream.beyond + count
            self._size += count
            self._note(stream)
            self.look(stream)

    def stream(self, caller: str, rank: int, found: Group | None) -> Stream:
        """A stream, which is made where there is none."""
        key = _key(caller, rank, found)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = Stream(caller, rank, found, next(self._numbers))
        return stream

    def _room(self) -> int:
        return self.window.room(len(self._streams))

    def _bound(self, stream: Stream) -> None:
        room = self._room()
        if len(stream) > 2 * room:
            sent = stream.evict(room)
            for item in sent:
                item.queued = False
            self._left(sent)

    def _note(self, stream: Stream) -> None:
        """The stream may have another next input; its caller takes part in the turns."""
        line = self._lines.get(stream.caller)
        if line is None:
            line = self._lines[stream.caller] = _Line(stream.caller)
            self._turns.append(line)
        line.note(stream)

    # ------------------------------------------------------------------ out

    def pop_alone(self) -> Input | None:
        """The next of the inputs that must not share a container, or None."""
        if not self._alone:
            return None
        item = self._alone.popleft()
        item.queued = False
        self._size -= 1
        return item

    def pop(self) -> Input | None:
        """The next of the others that is in memory, or None. Its caller goes to the end of the line.

        A caller whose next input is on its way from the store is passed over.
        """
        turns = self._turns
        for _ in range(len(turns)):
            line = turns[0]
            stream = line.first(self._over)
            if stream is None:
                turns.popleft()
                del self._lines[line.caller]
                continue
            if len(turns) > 1:
                turns.rotate(-1)
            if stream.ready:
                return self._take(stream)
            self.look(stream)
        return None

    def _take(self, stream: Stream) -> Input:
        item = stream.pop()
        item.queued = False
        self._size -= 1
        if stream.more:
            self.look(stream)
        return item

    def _over(self, stream: Stream) -> None:
        key = _key(stream.caller, stream.rank, stream.found)
        if self._streams.get(key) is stream:
            del self._streams[key]

    def discard(self, item: Input) -> bool:
        """Take an input out of memory; returns whether it was there."""
        if not item.queued:
            return False
        item.queued = False
        self._size -= 1
        if runs_alone(item.history):
            self._alone.remove(item)
        else:
            stream = self.stream(item.caller, -item.priority, item.group)
            stream.discard(item)
            self.look(stream)
        return True

    def taken(self, item: Input) -> None:
        """An input was taken from the store out of its turn."""
        stream = self._streams.get(_key(item.caller, -item.priority, item.group))
        if stream is not None and stream.beyond:
            stream.taken()
            self._size -= 1

    def close(self, found: LiveMap) -> None:
        """Nothing of a map waits any more: it has been ended as a whole."""
        stream = self._streams.pop(_key(found.accepted.caller, -found.accepted.priority, found), None)
        if stream is None:
            return
        self._size -= len(stream) + stream.beyond
        for item in stream.items:
            item.queued = False
            stream.discard(item)
        stream.more, stream.beyond = False, 0
        stream.fail()

    # ------------------------------------------------------------------ the store

    def look(self, stream: Stream) -> None:
        """Ask for more of a stream, if little of it is left in memory, or its next input is not there."""
        if not stream.more or stream.reading or self.held:
            return
        if not stream.ready or len(stream) <= self._room() // 2:
            self._refill(stream)

    def fill(self, stream: Stream, items: list[Input], reached: int, *, over: bool) -> None:
        """A read has ended: see `Stream.fill`. Nothing happens where the stream was closed meanwhile."""
        if not stream.reading:
            return
        waited = len(stream) + stream.beyond
        apart = [item for item in items if runs_alone(item.history)]
        for item in items:
            item.queued = True
        self._alone.extend(apart)
        stream.taken(len(apart))
        stream.fill([item for item in items if not runs_alone(item.history)], reached, over=over)
        self._size += len(stream) + stream.beyond + len(apart) - waited
        self._bound(stream)
        self._note(stream)
        self.look(stream)

    def retry(self, stream: Stream) -> None:
        """A read came to nothing: ask again, if it is still wanted."""
        stream.fail()
        self._bound(stream)
        self.look(stream)

    def hold(self) -> None:
        """Read nothing more from the store, until `release`."""
        self.held = True

    def release(self) -> None:
        """End a `hold`."""
        if self.held:
            self.held = False
            for stream in self.streams:
                self.look(stream)

    # ------------------------------------------------------------------ figures

    def oldest(self) -> float | None:
        """When the input that waits longest was queued, as far as memory tells."""
        if len(self) > EXACT_UP_TO:
            heads = [head.queued_at for stream in self._streams.values() if (head := stream.head) is not None]
            return min(heads, default=None)
        return min((item.queued_at for item in self), default=None)

    def ahead(self, item: Input) -> tuple[int, bool]:
        """How many inputs come before `item`, and whether that is exact."""
        if len(self) > EXACT_UP_TO:
            return len(self) - 1, False
        exact = len(self._lines) <= 1
        return sum(1 for other in self if other.rank < item.rank), exact
