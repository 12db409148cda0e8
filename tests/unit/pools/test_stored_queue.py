"""A queue of which only a part is in memory: nothing is passed over, nothing comes twice, every caller's order holds.

The store is a set of numbers, and a read of it shows what was there when it began, as late as the test likes.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.unit.pools.test_queue import make
from yurt.pools.inputs import Input
from yurt.pools.queue import Queue, Window
from yurt.pools.stream import Stream

SMALL = Window(stream=3, queue=8, least=1)
PAGE = 2


class Read:
    """A read under way: what the store had when it began."""

    def __init__(self, stream: Stream, stored: list[Input], last: int) -> None:
        found = [item for item in stored if stream.cursor < item.seq <= last and _is_of(item, stream)]
        self.stream = stream
        self.rows = sorted(found, key=lambda item: item.seq)[:PAGE]
        self.reached = self.rows[-1].seq if len(self.rows) == PAGE else last
        self.over = self.reached >= last
        self.gone: set[int] = set()


class StoredQueue(RuleBasedStateMachine):
    """Inputs come, are handed out, come back, end, and are cancelled, before, in and after every read."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue(self.begin_read, self.leave, SMALL)
        self.stored: dict[int, Input] = {}
        self.memory: dict[int, Input] = {}
        self.running: list[Input] = []
        self.reads: list[Read] = []
        self.delayed: list[Input] = []
        self.number = 0

    # what the pool and `Stored` do

    def begin_read(self, stream: Stream) -> None:
        stream.begin(self.number)
        self.reads.append(Read(stream, list(self.stored.values()), self.number))

    def leave(self, items: object) -> None:
        for item in items:  # type: ignore[attr-defined]
            self.memory.pop(item.seq, None)

    def push(self, item: Input) -> None:
        self.memory[item.seq] = item
        if not self.queue.push(item):
            self.memory.pop(item.seq, None)

    def end(self, item: Input) -> None:
        del self.stored[item.seq]
        self.memory.pop(item.seq, None)
        for read in self.reads:
            read.gone.add(item.seq)

    # what may happen

    @rule(caller=st.sampled_from("ab"), priority=st.sampled_from([0, 0, 0, 1]), count=st.integers(1, 6))
    def arrive(self, caller: str, priority: int, count: int) -> None:
        for _ in range(count):
            self.number += 1
            self.stored[self.number] = make(self.number, caller, priority)
            self.push(make(self.number, caller, priority))

    @rule(caller=st.sampled_from("ab"), count=st.integers(1, 12))
    def come_early(self, caller: str, count: int) -> None:
        """Inputs are accepted that are to wait for a time of their own."""
        for _ in range(count):
            self.number += 1
            self.delayed.append(make(self.number, caller))

    @precondition(lambda self: self.delayed)
    @rule(data=st.data())
    def begin_late(self, data: st.DataObject) -> None:
        """Some of those may run from now on."""
        count = data.draw(st.integers(1, len(self.delayed)))
        due, self.delayed = self.delayed[:count], self.delayed[count:]
        for item in due:
            self.stored[item.seq] = item
            self.push(make(item.seq, item.caller))

    @rule()
    def hand_out(self) -> None:
        first = self._firsts()
        item = self.queue.pop()
        if item is not None:
            assert (item.rank, item.seq) == first[item.caller], "another one was first"
            assert item.seq in self.stored, "it has ended"
            item.token = 1
            self.running.append(item)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def come_back(self, data: st.DataObject) -> None:
        self.push(self.running.pop(data.draw(st.integers(0, len(self.running) - 1))))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.end(self.running.pop(data.draw(st.integers(0, len(self.running) - 1))))

    @precondition(lambda self: self.stored)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(sorted(self.stored)))
        item = self.memory.get(seq)
        if item is None:
            item = self.stored[seq]
            self.queue.taken(item)
        else:
            self.queue.discard(item)
        self.running = [one for one in self.running if one.seq != seq]
        self.end(item)

    @precondition(lambda self: self.reads)
    @rule(data=st.data(), fails=st.booleans())
    def end_read(self, data: st.DataObject, *, fails: bool) -> None:
        read = self.reads.pop(data.draw(st.integers(0, len(self.reads) - 1)))
        if fails:
            self.queue.retry(read.stream)
            return
        absent = [row for row in read.rows if row.seq not in self.memory and row.seq not in read.gone]
        fresh = [make(row.seq, row.caller, row.priority) for row in absent]
        self.memory |= {item.seq: item for item in fresh}
        self.queue.fill(read.stream, fresh, read.reached, over=read.over)

    # what must hold

    def _firsts(self) -> dict[str, tuple[tuple[int, int], int]]:
        """By caller, the first of those that wait."""
        running = {item.seq for item in self.running}
        waiting = [item for seq, item in self.stored.items() if seq not in running]
        callers = {item.caller for item in waiting}
        return {name: min((item.rank, item.seq) for item in waiting if item.caller == name) for name in callers}

    @invariant()
    def nothing_is_lost(self) -> None:
        running = {item.seq for item in self.running}
        streams = {(stream.caller, stream.rank): stream for stream in self.queue.streams}
        for seq, item in self.stored.items():
            if seq not in running and seq not in self.memory:
                stream = streams[item.caller, -item.priority]
                assert stream.more, f"{seq} is forgotten"
                assert seq > stream.cursor, f"{seq} is a hole before {stream.cursor}"

    @invariant()
    def those_that_wait_are_counted(self) -> None:
        if not self.reads:
            assert len(self.queue) == len(self.stored) - len(self.running)

    @invariant()
    def memory_is_bounded(self) -> None:
        back = sum(item.token for item in self.memory.values())
        if not self.reads:
            assert len(self.memory) - back <= 4 * 2 * SMALL.stream

    def teardown(self) -> None:
        """Everything comes out."""
        for _ in range(10 * len(self.stored) + 10):
            while self.reads:
                read = self.reads.pop()
                absent = [row for row in read.rows if row.seq not in self.memory and row.seq not in read.gone]
                fresh = [make(row.seq, row.caller, row.priority) for row in absent]
                self.memory |= {item.seq: item for item in fresh}
                self.queue.fill(read.stream, fresh, read.reached, over=read.over)
            self.hand_out()
            while self.running:
                self.end(self.running.pop())
        assert (self.stored, len(self.queue)) == ({}, 0)


def _is_of(item: Input, stream: Stream) -> bool:
    return (item.caller, -item.priority) == (stream.caller, stream.rank)


TestStoredQueue = StoredQueue.TestCase
TestStoredQueue.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
