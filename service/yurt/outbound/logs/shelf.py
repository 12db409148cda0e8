"""All segments: where the next line goes, and which segment goes first."""

import contextlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import structlog

from yurt.outbound.logs import segments
from yurt.outbound.logs.limits import LINE_COST_BYTES, LogLimits
from yurt.outbound.logs.queries import may_hold
from yurt.outbound.logs.segments import Owner, Segment
from yurt.ports import LogLine, LogQuery

log = structlog.get_logger(__name__)

Lost: TypeAlias = Counter[tuple[Owner, str]]
"""How many lines of whom were lost, and why."""

BEYOND_CONTAINER = "the container's logs have reached their limit, and the oldest go first"
BEYOND_TOTAL = "all logs together have reached their limit, and the oldest go first"
NOT_WRITTEN = "the disk did not take them"


@dataclass(slots=True)
class _Row:
    """The segments of one container, oldest first. `open` is the one that takes lines, if one does."""

    segments: list[Segment] = field(default_factory=list)
    open: Segment | None = None


class Shelf:
    """The segments on disk and their list in memory. Every method blocks; for one thread at a time."""

    def __init__(self, directory: Path, limits: LogLimits) -> None:
        self._directory = directory
        self._limits = limits
        self._rows: dict[Owner, _Row] = {}
        self._size = 0

    def load(self) -> None:
        """List what is there. Segments of an earlier life take no more lines, so a torn end stays an end."""
        self._directory.mkdir(0o700, parents=True, exist_ok=True)
        for function in _folders(self._directory):
            for container in _folders(function.path):
                self._load(Owner(function.name, container.name), container.path)

    def _load(self, owner: Owner, path: str) -> None:
        found = []
        with os.scandir(path) as entries:
            for entry in entries:
                try:
                    found.append(segments.found(owner, entry))
                except ValueError:
                    log.warning("log_file_unknown", path=entry.path)
        self._rows[owner] = _Row(sorted(found, key=lambda segment: segment.number))
        self._size += sum(segment.size for segment in found)

    def snapshot(self, query: LogQuery) -> list[Segment]:
        """The segments that may hold wanted lines, as they are now: what is written later is not in them."""
        return [replace(segment) for row in self._rows.values() for segment in row.segments if may_hold(query, segment)]

    def write(self, lines: Sequence[LogLine], missing: Lost, now: float) -> Lost:
        """Write lines, and what is to be told of lost ones; returns what was lost meanwhile, to be told next time."""
        lost: Lost = Counter()
        by_owner: dict[Owner, list[LogLine]] = defaultdict(list)
        for line in lines:
            by_owner[Owner(line.function_id, line.container_id)].append(line)
        for owner, own in by_owner.items():
            for portion in _portions(sorted(own, key=lambda line: line.time), self._limits.segment_bytes):
                if not self._try_append(owner, portion):
                    lost[owner, NOT_WRITTEN] += len(portion)
                self._bound(owner, lost)
        for (owner, why), count in missing.items():
            if not self._try_append(owner, [_notice(owner, why, count, now)]):
                lost[owner, why] += count
        self._bound_total(lost)
        return lost

    def _try_append(self, owner: Owner, lines: list[LogLine]) -> bool:
        row = self._rows.setdefault(owner, _Row())
        try:
            self._append(owner, row, lines)
        except OSError as error:
            row.open = None  # its end may be torn
            log.warning("logs_not_written", container_id=owner.container_id, lines=len(lines), reason=str(error))
            return False
        return True

    def _bound(self, owner: Owner, lost: Lost) -> None:
        row = self._rows[owner]
        while len(row.segments) > 1 and sum(segment.size for segment in row.segments) > self._limits.container_bytes:
            lost[owner, BEYOND_CONTAINER] += self._drop(row, row.segments[0])

    def _append(self, owner: Owner, row: _Row, lines: list[LogLine]) -> None:
        if row.open is None or row.open.size >= self._limits.segment_bytes or lines[0].time < row.open.first:
            number = row.segments[-1].number + 1 if row.segments else 1
            row.open = segments.new(self._directory, owner, number, lines[0].time)
            for folder in (row.open.path.parent.parent, row.open.path.parent):
                folder.mkdir(0o700, exist_ok=True)
            row.segments.append(row.open)
        before = row.open.size
        segments.append(row.open, lines)
        self._size += row.open.size - before

    def _bound_total(self, lost: Lost) -> None:
        if self._size <= self._limits.total_bytes:
            return
        everything = [(segment.last, owner, segment) for owner, row in self._rows.items() for segment in row.segments]
        for _, owner, segment in sorted(everything, key=lambda entry: entry[0]):
            if self._size <= self._limits.total_bytes:
                break
            lost[owner, BEYOND_TOTAL] += self._drop(self._rows[owner], segment)
        self._forget_empty()

    def expire(self, before: float) -> int:
        """Remove segments whose newest line is older than `before` (seconds since 1970); returns how many."""
        old = [(row, segment) for row in self._rows.values() for segment in row.segments if segment.last < before]
        for row, segment in old:
            self._drop(row, segment)
        self._forget_empty()
        return len(old)

    def _drop(self, row: _Row, segment: Segment) -> int:
        """Remove a segment; returns how many lines it held."""
        count = segment.lines if segment.lines is not None else sum(1 for _ in segments.read(segment))
        segment.path.unlink(missing_ok=True)
        row.segments.remove(segment)
        if row.open is segment:
            row.open = None
        self._size -= segment.size
        return count

    def _forget_empty(self) -> None:
        for owner in [owner for owner, row in self._rows.items() if not row.segments]:
            del self._rows[owner]
            function = self._directory / owner.function_id
            for directory in (function / owner.container_id, function):
                with contextlib.suppress(OSError):  # it is gone, or another container's segments are in it
                    directory.rmdir()


def _notice(owner: Owner, why: str, count: int, now: float) -> LogLine:
    text = f"{count} lines were dropped: {why}."
    return LogLine(now, "system", owner.container_id, owner.function_id, 0, 0, text)


def _portions(lines: Sequence[LogLine], size: int) -> Iterator[list[LogLine]]:
    """Lines in portions of about `size` bytes."""
    portion: list[LogLine] = []
    room = size
    for line in lines:
        portion.append(line)
        room -= len(line.text) + LINE_COST_BYTES
        if room <= 0:
            yield portion
            portion, room = [], size
    if portion:
        yield portion


def _folders(path: Path | str) -> Iterable["os.DirEntry[str]"]:
    with os.scandir(path) as entries:
        return [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
