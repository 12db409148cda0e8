"""Calls whose acceptance is not written yet: their callers hear nothing before the end."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from yurt.domain.changes import Change

Done: TypeAlias = Callable[[Exception | None], None]
"""Hears of a commit, or of what refused it."""


class Acceptance(NamedTuple):
    """What is to be written of a new call, and who hears of it."""

    changes: Sequence[Change]
    done: Done


class Unwritten:
    """Which calls are not written yet.

    Somebody who waits for the end of a call, and was told nothing of it before, cannot tell one that was never
    accepted from one that was forgotten. So a call that a container takes at once is written together with its result,
    in one transaction instead of two, if that comes soon; else it is written alone, and in any case before anything
    else that concerns it.
    """

    def __init__(self) -> None:
        self._acceptances: dict[int, Acceptance] = {}  # in the order of their numbers
        self._seen = 0

    def __len__(self) -> int:
        return len(self._acceptances)

    def add(self, seq: int, changes: Sequence[Change], done: Done) -> None:
        """A call may wait. Its number is larger than those before."""
        self._acceptances[seq] = Acceptance(changes, done)

    def take(self, seq: int) -> Acceptance | None:
        """What is to be written now of that call, if it is not."""
        return self._acceptances.pop(seq, None)

    def due(self) -> Iterator[Acceptance]:
        """What has waited since the last time that this was asked."""
        due = [seq for seq in self._acceptances if seq <= self._seen]
        self._seen = next(reversed(self._acceptances), self._seen)
        yield from (self._acceptances.pop(seq) for seq in due)

    def all(self) -> Iterator[Acceptance]:
        """Everything."""
        acceptances, self._acceptances = self._acceptances, {}
        yield from acceptances.values()
