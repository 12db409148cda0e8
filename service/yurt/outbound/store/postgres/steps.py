"""How a group becomes statements: one, unless it touches a row twice."""

from collections.abc import Iterable
from typing import Any

from yurt.domain.changes import Accept, Change, Complete, Insert, Ready, Record, Remove, Save
from yurt.domain.records import Callback, Claim, Progress
from yurt.outbound.store.postgres.parts import PARTS, TRACKED, Part, Rows
from yurt.outbound.store.shapes import shape_of

Step = dict[Part, list[Any]]


def opens(change: Change) -> int | None:
    """The input of which `change` writes what its end must clear, or None."""
    if isinstance(change, Save):
        record = change.record
        if isinstance(record, Claim | Progress) or (isinstance(record, Callback) and record.ended_at is None):
            return record.seq
    return None


class Steps:
    """The statements of one group, in their order.

    A statement does not see what it writes itself, and may not write a row twice. So a change goes into the first step
    behind those that touched its row; the ends of inputs come last, and behind what was written of them.
    """

    def __init__(self, tracked: set[int]) -> None:
        self._tracked = tracked
        self._steps: list[Step] = []
        self._seen: dict[tuple[object, ...], int] = {}
        self._order: dict[object, tuple[int, type]] = {}
        self._ends: list[Complete] = []
        self._written: set[int] = set()
        self.opened: list[int] = []
        self.ended: list[int] = []

    def take(self, changes: Iterable[Change]) -> "Steps":
        """Add changes, in their order."""
        for change in changes:
            if isinstance(change, Complete):
                self._ends.append(change)
                continue
            part = PARTS[type(change)](change)
            if isinstance(change, Accept):
                self._written.add(change.seq)
                self._put(0, part, (change,))
                continue
            rows = part.rows(change)
            self._put(self._place(change, rows), part, rows)
            if isinstance(change, Ready):
                self._written.add(change.seq)
            seq = opens(change)
            if seq is not None:
                self._written.add(seq)
                self.opened.append(seq)
        return self

    def _place(self, change: Change, rows: Rows) -> int:
        """Behind the step that touched the row, and not before a step of its table that does something else."""
        if isinstance(change, Save | Insert):
            kind: type[Record] = type(change.record)
        elif isinstance(change, Remove):
            kind = change.kind
        else:
            return 0
        width = len(shape_of(kind).table.primary_key.columns)
        row = (kind, *rows[0][:width])
        at, before = self._order.get(kind, (0, type(change)))
        place = max(self._seen.get(row, -1) + 1, at if before is type(change) else at + 1)
        self._seen[row] = place
        self._order[kind] = place, type(change)
        return place

    def _put(self, place: int, part: Part, rows: Rows) -> None:
        while len(self._steps) <= place:
            self._steps.append({})
        self._steps[place].setdefault(part, []).extend(rows)

    def done(self) -> list[Step]:
        """All steps."""
        if self._ends:
            behind = len(self._steps) > 1 or any(end.seq in self._written for end in self._ends)
            place = len(self._steps) if behind else 0
            for end in self._ends:
                self._put(place, PARTS[Complete](end), (end,))
            known = self._tracked.union(self.opened)
            tracked = [end for end in self._ends if end.seq in known]
            for end in tracked:
                self._put(place, TRACKED, TRACKED.rows(end))
            self.ended += [end.seq for end in tracked]
        return self._steps
