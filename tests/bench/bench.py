"""What every row is given."""

import statistics
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.bench.servers import Server, yurt_server
from tests.bench.stores import Empty


@dataclass(frozen=True)
class Bench:
    """How to measure.

    Args:
        empty: makes the stores.
        rounds: of each load; figures are medians.
        seconds: the length of a round.
        inputs: how many inputs a long queue has.
    """

    empty: Empty
    rounds: int
    seconds: float
    inputs: int

    @contextmanager
    def yurt(self) -> Iterator[Server]:
        """A server with an empty store."""
        with self.empty() as flags, yurt_server(*flags) as server:
            yield server


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
