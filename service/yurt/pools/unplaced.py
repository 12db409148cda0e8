"""Inputs without a place in the queue of the store, for a container takes them at once."""

from collections.abc import Sequence

from yurt.domain.changes import Change, Ready, Save
from yurt.domain.records import Placed
from yurt.pools.inputs import Input


class Unplaced:
    """Which inputs have no place, and from which number on the store has calls of that kind.

    A call is two rows at least: itself and its result. A place in the queue, written and deleted within a millisecond,
    would be two more. So an input that a container has room for is accepted without one. It is always in memory; it is
    given a place before it waits there, when its attempt failed, and when it takes long. A start gives one to all that
    are left: they are among the calls behind the last mark, few of which are older than two seconds.
    """

    def __init__(self) -> None:
        self._items: dict[int, Input] = {}  # in the order of their numbers
        self._newest = self._settled = 0

    def accepted(self, item: Input, *, at_once: bool) -> None:
        """An input was accepted, with a place unless it goes `at_once`. Its number is larger than those before."""
        self._newest = item.seq
        if at_once:
            self._items[item.seq] = item

    def drop(self, seq: int) -> bool:
        """It has ended, or is given a place; returns whether it had none."""
        return self._items.pop(seq, None) is not None

    def settle(self) -> Sequence[Change]:
        """What is to be written now and then: places for those that were here the last time, and a newer mark."""
        if self._newest == self._settled and not self._items:
            return ()
        changes: list[Change] = []
        for item in list(self._items.values()):
            if item.seq > self._settled:
                break
            del self._items[item.seq]
            changes.append(place_of(item))
        before = next(iter(self._items), self._newest + 1)
        self._settled = self._newest
        return (*changes, Save(Placed(1, before)))


def place_of(item: Input) -> Ready:
    """The place of an input in the queue of the store."""
    return Ready(item.seq, item.queue, item.caller, item.priority)
