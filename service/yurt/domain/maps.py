"""When a map ends, and how: decided from what is committed of it."""

from typing import NamedTuple

from yurt.domain.records import CallStatus, Map, Outcome, status_of


class Counts(NamedTuple):
    """How many inputs of a map have ended, by how."""

    success: int = 0
    failure: int = 0
    terminated: int = 0

    @property
    def total(self) -> int:
        """All that have ended."""
        return self.success + self.failure + self.terminated


def counted(counts: Counts, outcome: str) -> Counts:
    """The counts once one more input has ended."""
    status = status_of(outcome)
    return Counts(
        counts.success + (status is CallStatus.SUCCESS),
        counts.failure + (status is CallStatus.FAILURE),
        counts.terminated + (status is CallStatus.TERMINATED),
    )


def ends_the_rest(record: Map, outcome: str) -> bool:
    """Whether an input that ends so is the first failure of a map that one failure ends."""
    untouched = record.failed_seq is None and record.cancelled_by is None
    return untouched and not record.return_exceptions and status_of(outcome) is CallStatus.FAILURE


def end_of(record: Map, accepted: int, counts: Counts) -> CallStatus | None:
    """How the map ends, or None while more may come of it.

    Args:
        record: as it is committed.
        accepted: its inputs.
        counts: those of them that have ended.
    """
    if record.sealed_at is None or counts.total < accepted:
        return None
    if record.cancelled_by is not None:
        return CallStatus.TERMINATED
    return CallStatus.SUCCESS if record.failed_seq is None else CallStatus.FAILURE


def stopped_by(record: Map) -> str | None:
    """Who ends the inputs that are left, as `yurt.domain.endings.cancelled` names it, or None where nobody does."""
    if record.cancelled_by is not None:
        return record.cancelled_by
    return "map_failed" if record.failed_seq is not None else None


def outcome_of(status: CallStatus, failed: str | None) -> Outcome:
    """The finer word for a map's end; a failed one ends as its first failed input did."""
    if status is CallStatus.SUCCESS:
        return Outcome.SUCCESS
    if status is CallStatus.TERMINATED:
        return Outcome.CANCELLED
    return Outcome(failed) if failed is not None else Outcome.INTERNAL_ERROR
