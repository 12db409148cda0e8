"""What every row is given."""

import statistics
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.bench.servers import Server, yurt_server


@dataclass(frozen=True)
class Bench:
    """How to measure.

    Args:
        flags: of `yurt serve`, which choose the store.
        rounds: of each load; figures are medians.
        seconds: the length of a round.
        inputs: how many inputs a long queue has.
    """

    flags: tuple[str, ...]
    rounds: int
    seconds: float
    inputs: int

    def yurt(self, *more: str) -> AbstractContextManager[Server]:
        """A server with an empty store."""
        return yurt_server(*self.flags, *more)


class Figures:
    """Values by name, gathered over rounds."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def note(self, **values: float) -> None:
        """One round's."""
        for name, value in values.items():
            self._values.setdefault(name, []).append(value)

    def medians(self) -> Mapping[str, float]:
        """Of all rounds."""
        return {name: statistics.median(values) for name, values in self._values.items()}
