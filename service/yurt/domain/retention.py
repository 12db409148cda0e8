"""What is deleted when, and how much at once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

ROWS = 250
"""Rows of one kind that are deleted in one transaction: about 2 ms of the loop."""
SLICE_BYTES = 4 << 20
"""Payload bytes that are deleted in one transaction: a store takes its time with large rows."""
KEYS_KEPT_S = 86_400.0
"""How long an idempotency key holds at least, in seconds; it holds as long as its call is kept."""
ORPHAN_GRACE_S = 3600.0
"""How old a blob is that may be deleted, in seconds: it is written before the row that knows it."""


@dataclass(frozen=True, slots=True)
class OldCall:
    """What decides whether a call is deleted.

    Args:
        ended_at: None while it has not ended.
        undelivered: its callback has not been settled.
        size_bytes: of arguments and result, as far as they are in the store.
        several: it is a map, and has inputs of its own.
        items: it is a generator's, and has items.
    """

    seq: int
    created_at: float
    ended_at: float | None
    undelivered: bool
    size_bytes: int
    several: bool = False
    items: bool = False


def slices(calls: Iterable[OldCall], before: float) -> Iterator[tuple[int, ...]]:
    """The numbers of those calls that ended before a time and are to go, in portions for one transaction each."""
    portion: list[int] = []
    size = 0
    for call in calls:
        if call.ended_at is None or call.ended_at >= before or call.undelivered:
            continue
        if portion and (len(portion) >= ROWS or size + call.size_bytes > SLICE_BYTES):
            yield tuple(portion)
            portion, size = [], 0
        portion.append(call.seq)
        size += call.size_bytes
    if portion:
        yield tuple(portion)
