"""Timers of which only the next ones are in memory: each is told of in time, in its order."""

from hypothesis import given
from hypothesis import strategies as st

from tests.clocks import FreeClock
from yurt.domain.records import Timer, TimerKind
from yurt.pools.timers import Timers

ROOM = 4


class Kept:
    """The store, as far as it is asked."""

    def __init__(self) -> None:
        self.timers: list[Timer] = []

    def after(self, key: tuple[float, int, str], limit: int) -> list[Timer]:
        found = sorted((timer.due_at, timer.seq, timer.kind) for timer in self.timers)
        return [Timer(seq, TimerKind(kind), due) for due, seq, kind in found if (due, seq, kind) > key][:limit]


def read(timers: Timers, store: Kept, late: list[Timer]) -> None:
    """A read, in which `late` ones are committed after it has begun and before it has ended."""
    after, wanted = timers.horizon, timers.begin()
    assert after is not None
    found = store.after(after, wanted)
    for timer in late:
        store.timers.append(timer)
        timers.keep(timer)
    timers.fill(found, over=len(found) < wanted)


delays = st.lists(st.integers(1, 50), min_size=1, max_size=40)


@given(delays, st.lists(st.integers(1, 50), max_size=6), st.booleans())
def test_each_is_told_of_in_time_and_few_are_in_memory(first: list[int], during: list[int], restart: bool) -> None:
    clock, store = FreeClock(), Kept()
    timers = Timers(clock, room=ROOM)
    read(timers, store, [])
    begun = timers.now()
    for seq, delay in enumerate(first):
        timer = Timer(seq, TimerKind.START, begun + delay)
        store.timers.append(timer)
        timers.keep(timer)
        assert len(timers) <= 2 * ROOM
    if restart:
        timers = Timers(clock, room=ROOM)
    late = [Timer(100 + seq, TimerKind.EXPIRE, begun + delay) for seq, delay in enumerate(during)]
    told: dict[int, int] = {}
    for second in range(52):
        while True:
            while timers.wants_more:
                read(timers, store, late)
                late = []
            due = list(timers.due(3))
            for seq, _ in due:
                told.setdefault(seq, second)
            if not due and not timers.wants_more:
                break
        for timer in late:
            store.timers.append(timer)
            timers.keep(timer)
        late = []
        clock.advance(1)
    assert told.keys() == {timer.seq for timer in store.timers}
    for timer in store.timers:
        early = told[timer.seq] - (timer.due_at - begun)
        assert -0.001 < early < 1.001, f"{timer} {told[timer.seq]} {first} {during} {restart}"


def test_one_that_only_memory_knows_is_never_left_to_the_store() -> None:
    clock, store = FreeClock(), Kept()
    timers = Timers(clock, room=1)
    read(timers, store, [])
    timers.arm(7, TimerKind.EXPIRE, 30)
    for seq in range(10):
        timer = Timer(seq, TimerKind.START, timers.now() + 10)
        store.timers.append(timer)
        timers.keep(timer)
    clock.advance(31)
    assert (7, TimerKind.EXPIRE) in list(timers.due(100))


def test_the_loop_is_woken_by_an_earlier_one() -> None:
    clock = FreeClock()
    timers = Timers(clock)
    read(timers, Kept(), [])
    woken: list[int] = []
    timers.woken = lambda: woken.append(1)
    timers.arm(1, TimerKind.START, 10)
    timers.arm(2, TimerKind.START, 20)
    timers.arm(3, TimerKind.START, 5)
    assert len(woken) == 2
    assert timers.next() == clock.monotonic() + 5
