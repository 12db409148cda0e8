"""Who wants to know of inputs: of their ends, and of every change. By number, for an input may be only in the store."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

from yurt.domain.records import Result

Waiter: TypeAlias = Callable[[Result], None]
Watcher: TypeAlias = Callable[[], None]
F = TypeVar("F")


class Followers:
    """Those who are called when an input ends, or its state is another one.

    Attributes:
        waiters: by sequence number, each called once with the result, when that is committed.
        watchers: by sequence number, each called at every change until it leaves.
    """

    __slots__ = ("waiters", "watchers")

    def __init__(self) -> None:
        self.waiters: dict[int, list[Waiter]] = {}
        self.watchers: dict[int, list[Watcher]] = {}

    def wait(self, seq: int, waiter: Waiter) -> None:
        """Call `waiter` when the input ends. Whoever comes after its end waits in vain."""
        self.waiters.setdefault(seq, []).append(waiter)

    def leave(self, seq: int, waiter: Waiter) -> None:
        """Wait no longer; nothing happens where the waiter was called already."""
        _remove(self.waiters, seq, waiter)

    def forget(self, seq: int) -> None:
        """The input will never be: its acceptance was refused."""
        self.waiters.pop(seq, None)

    def ended(self, seq: int, result: Result) -> None:
        """Tell of the end of an input."""
        for waiter in self.waiters.pop(seq, ()):
            waiter(result)
        self.changed(seq)

    @contextmanager
    def watching(self, seq: int, watcher: Watcher) -> Iterator[None]:
        """Have `watcher` called at every change of the input."""
        self.watchers.setdefault(seq, []).append(watcher)
        try:
            yield
        finally:
            _remove(self.watchers, seq, watcher)

    def changed(self, seq: int) -> None:
        """Tell of a change of an input."""
        for watcher in list(self.watchers.get(seq, ())):
            watcher()


def _remove(lists: dict[int, list[F]], seq: int, one: F) -> None:
    found = lists.get(seq, [])
    if one in found:
        found.remove(one)
        if not found:
            del lists[seq]
