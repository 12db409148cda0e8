"""Whether an attempt that failed is made again, and when."""

from dataclasses import dataclass

from yurt.domain.blame import History
from yurt.domain.records import Outcome

USES_A_RETRY = frozenset({Outcome.USER_ERROR, Outcome.TIMEOUT, Outcome.CRASHED, Outcome.OUT_OF_MEMORY})
"""Ways for an attempt to end that count as the function's own failure."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often an input is tried again, and after which pauses.

    Args:
        max_retries: attempts after the first one.
        initial_delay_s: before the first retry, in seconds.
        backoff_coefficient: by how much each further delay is longer.
        max_delay_s: no delay is longer, in seconds.
    """

    max_retries: int = 0
    initial_delay_s: float = 1.0
    backoff_coefficient: float = 1.0
    max_delay_s: float = 60.0

    def delay_s(self, retry: int) -> float:
        """The pause before a retry, in seconds.

        Args:
            retry: its number, from 1.
        """
        return min(self.max_delay_s, self.initial_delay_s * self.backoff_coefficient ** (retry - 1))


NO_RETRIES = RetryPolicy()


@dataclass(frozen=True, slots=True)
class Again:
    """An attempt is to be made again: with what is then behind the input, and after how many seconds."""

    history: History
    delay_s: float


def after_failure(policy: RetryPolicy, history: History, outcome: Outcome) -> Again | None:
    """What follows an attempt that a container reported as failed; None where it ends its input."""
    if outcome not in USES_A_RETRY or history.user_failures >= policy.max_retries:
        return None
    failures = history.user_failures + 1
    return Again(History(history.number + 1, failures, history.losses), policy.delay_s(failures))
