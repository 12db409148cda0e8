"""What follows when containers of a revision fail to start."""

from dataclasses import dataclass, replace

FAILURES_THAT_END_INPUTS = 3
"""Starts in a row that fail before what is queued ends as `init_failure`."""

MAX_BACKOFF_S = 60.0
REFUSED_RETRY_S = 1.0
"""How soon an engine that refused a start is asked again, in seconds."""


@dataclass(frozen=True, slots=True)
class Startup:
    """How the starts of a revision went lately.

    Args:
        failures: in a row, without a success.
        not_before: when the next start may be tried, on the monotonic clock.
    """

    failures: int = 0
    not_before: float = 0.0

    def failed(self, now: float, *, final: bool = False) -> "Startup":
        """After one more failure: again after 1 s and 2 s, then doubling up to `MAX_BACKOFF_S`.

        One that is `final` counts for as many as end what is queued: it would only happen again.
        """
        failures = max(self.failures + 1, FAILURES_THAT_END_INPUTS * final)
        return Startup(failures, now + min(MAX_BACKOFF_S, 2.0 ** min(failures - 1, 10)))

    def refused(self, now: float, again_s: float = REFUSED_RETRY_S) -> "Startup":
        """After the engine could not start one: nobody's failure, tried again in `again_s` seconds."""
        return replace(self, not_before=now + again_s)

    @property
    def gives_up(self) -> bool:
        """Whether what is queued ends with the last failure: on the third one and on each that follows."""
        return self.failures >= FAILURES_THAT_END_INPUTS

    def may_start(self, now: float) -> bool:
        """Whether a start may be tried now."""
        return now >= self.not_before
