"""Who is to blame when an attempt ends, and what follows for its input."""

from dataclasses import dataclass

from yurt.domain.records import Outcome

MAX_LOSSES = 8
"""Containers that an input may lose; the last of them ends it as `internal_error`."""


@dataclass(frozen=True, slots=True)
class History:
    """What an input has behind it: attempts begun, attempts that used a retry, containers lost."""

    number: int = 1
    user_failures: int = 0
    losses: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows: `final` is the outcome that ends the input, or None where it is queued again with `history`."""

    final: Outcome | None
    history: History


def container_lost(history: History) -> Verdict:
    """The container went without the input's fault: it runs again, unless that happened too often."""
    losses = history.losses + 1
    after = History(history.number + 1, history.user_failures, losses)
    return Verdict(Outcome.INTERNAL_ERROR if losses >= MAX_LOSSES else None, after)


def runs_alone(history: History) -> bool:
    """Whether the input must not share a container: one that it may have taken down is enough."""
    return history.losses > 0
