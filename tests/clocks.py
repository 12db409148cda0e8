"""A clock that a test moves by hand."""

from dataclasses import dataclass


@dataclass
class FreeClock:
    """`yurt.ports.Clock`, standing still until told otherwise.

    Args:
        time: seconds since 1970.
        elapsed: seconds of the clock that never goes back.
    """

    time: float = 1_800_000_000.0
    elapsed: float = 1_000.0

    def now(self) -> float:
        """Seconds since 1970."""
        return self.time

    def monotonic(self) -> float:
        """Seconds of the clock that never goes back."""
        return self.elapsed

    def advance(self, seconds: float) -> None:
        """Let both clocks run on."""
        self.time += seconds
        self.elapsed += seconds
