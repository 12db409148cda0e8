"""Which lines a query wants."""

from collections.abc import Callable, Iterable

from yurt.outbound.logs.segments import Segment
from yurt.ports import LogLine, LogQuery


def matches(query: LogQuery, line: LogLine) -> bool:
    """Whether a line is wanted. `since` and `until` are included; `search` is exact, letter case and all."""
    return (
        (query.function_id is None or line.function_id == query.function_id)
        and (query.container_id is None or line.container_id == query.container_id)
        and (query.seq is None or line.seq == query.seq)
        and (query.since is None or line.time >= query.since)
        and (query.until is None or line.time <= query.until)
        and (query.search is None or query.search in line.text)
    )


def may_hold(query: LogQuery, segment: Segment) -> bool:
    """Whether a segment can hold a wanted line, as far as its name tells."""
    return (
        (query.function_id is None or segment.owner.function_id == query.function_id)
        and (query.container_id is None or segment.owner.container_id == query.container_id)
        and (query.since is None or segment.last >= query.since)
        and (query.until is None or segment.first <= query.until)
    )


def newest(
    segments: Iterable[Segment], read: Callable[[Segment], Iterable[LogLine]], query: LogQuery, limit: int
) -> list[LogLine]:
    """The newest `limit` wanted lines, in order of time; of one container and time, in the order they came.

    Segments are read from the newest back, and no further than needed.
    """
    kept: list[tuple[float, str, int, int, LogLine]] = []
    for segment in sorted(segments, key=lambda segment: segment.last, reverse=True):
        if limit == 0 or (len(kept) == limit and segment.last < kept[0][0]):
            break
        kept.extend(
            (line.time, line.container_id, segment.number, place, line)
            for place, line in enumerate(read(segment))
            if matches(query, line)
        )
        kept.sort(key=lambda entry: entry[:4])
        kept = kept[-limit:]
    return [entry[4] for entry in kept]
