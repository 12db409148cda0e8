"""While Nomad does not answer it is asked only now and then, and what needs it learns at once since when."""

LONGEST_PAUSE_S = 10.0
_FIRST_PAUSE_S = 0.5


class Breaker:
    """Counts failures in a row. Times are seconds of a clock that never goes back, but for `since`."""

    def __init__(self) -> None:
        self._failures = 0
        self._not_before = 0.0
        self.reason = ""
        self.since = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the last request failed."""
        return self._failures > 0

    def may_ask(self, now: float) -> bool:
        """Whether a request may be tried now."""
        return now >= self._not_before

    def failed(self, now: float, wall: float, reason: str) -> None:
        """A request found nobody who could answer it.

        Args:
            now: on the clock that never goes back.
            wall: seconds since 1970.
            reason: for people.
        """
        if not self._failures:
            self.since = wall
        self.reason = reason
        self._not_before = now + min(LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self._failures, 10))
        self._failures += 1

    def succeeded(self) -> None:
        """Nomad answered."""
        self._failures, self._not_before = 0, 0.0
