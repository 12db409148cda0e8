"""The schedules of live functions, in memory: which there are, and which is due when.

It is loaded at the start and changed only after commits. What a deploy does to schedules is planned here and written
by the deploy, in its own transaction.
"""

import asyncio
import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from yurt.domain import ids
from yurt.domain.changes import Change, Remove, Save
from yurt.domain.records import App, AppState, Schedule, ScheduleMark
from yurt.domain.schedules import ScheduleSpec
from yurt.domain.ticks import NextTick

SET_BACK_S = 1.0
"""A clock that shows so much less than before was set back. Ticks are no closer together."""


@dataclass(eq=False, slots=True)
class Held:
    """A schedule with all that its ticks need.

    Args:
        deployed: its app is no ephemeral one; only then does it tick by itself.
        done: the last tick that was dealt with, or the time from which on ticks count.
        wake_at: when to look at it; None while it does not tick.
    """

    record: Schedule
    spec: ScheduleSpec
    ticks: NextTick
    deployed: bool
    mark: ScheduleMark
    done: float
    wake_at: float | None = None

    @property
    def active(self) -> bool:
        """Whether it ticks by itself."""
        return self.deployed and self.record.paused_at is None


@dataclass(frozen=True, slots=True)
class Rescheduled:
    """What becomes of schedules: the changes to write, and `apply` to call after their commit."""

    changes: tuple[Change, ...]
    apply: Callable[[], None]


Wanted = tuple[App, str, ScheduleSpec | None]
"""An app, a function's id, and what its new revision says."""


@dataclass(slots=True)
class ScheduleBook:
    """Schedules by id and by function, and the order in which they are due.

    Attributes:
        news: set when one may be due earlier than was known.
    """

    news: asyncio.Event = field(default_factory=asyncio.Event)
    _held: dict[str, Held] = field(default_factory=dict)
    _of_function: dict[str, Held] = field(default_factory=dict)
    _waiting: list[tuple[float, str]] = field(default_factory=list)
    _seen: float = 0.0

    def get(self, schedule_id: str) -> Held | None:
        """The schedule with that id, whoever asks."""
        return self._held.get(schedule_id)

    def all(self) -> Iterable[Held]:
        """Every schedule, later ones first."""
        return [self._held[schedule_id] for schedule_id in sorted(self._held, reverse=True)]

    # ------------------------------------------------------------------ changes

    def load(self, record: Schedule, state: AppState, mark: ScheduleMark | None, now: float) -> None:
        """Take one from the store."""
        held = self.put(record, deployed=state is AppState.DEPLOYED, mark=mark)
        if held.done > now:  # the clock was set back since
            held.done = now
            self.look_at(held, now)

    def put(self, record: Schedule, *, deployed: bool, mark: ScheduleMark | None = None) -> Held:
        """One was made, or changed in what it keeps."""
        spec = ScheduleSpec.model_validate_json(record.spec_json)
        ticks = spec.ticks(record.anchor_at)
        held = self._held.get(record.id)
        if held is None:
            mark = mark or ScheduleMark(record.id, 0.0, 0)
            held = Held(record, spec, ticks, deployed, mark, mark.done_at)
            self._held[record.id] = self._of_function[record.function_id] = held
        held.record, held.ticks = record, ticks
        held.done = max(record.after_at, held.done)
        self.look_at(held, held.done)
        return held

    def remove(self, function_id: str) -> None:
        """A function has none any more."""
        held = self._of_function.pop(function_id, None)
        if held is not None:
            del self._held[held.record.id]

    def deployed(
        self, wanted: Sequence[Wanted], *, gone: Sequence[str], now: float, random_bytes: Callable[[int], bytes]
    ) -> Rescheduled:
        """What new revisions mean for schedules, and functions that are gone.

        One that a new revision repeats stays, paused or not. Only a period then counts from now.
        """
        changes: list[Change] = []
        saved: list[tuple[Schedule, bool]] = []
        removed = list(gone)
        for app, function_id, spec in wanted:
            held = self._of_function.get(function_id)
            if held is None or held.spec != spec:
                removed.append(function_id)
            if spec is not None:
                record = _following(held, app, function_id, spec, now, random_bytes)
                saved.append((record, app.state is AppState.DEPLOYED))
                changes.append(Save(record))
        before = self.without(removed)

        def apply() -> None:
            before.apply()
            for record, deployed in saved:
                self.put(record, deployed=deployed)

        return Rescheduled((*before.changes, *changes), apply)

    def without(self, function_ids: Sequence[str]) -> Rescheduled:
        """What it means for schedules that functions are gone."""
        found = [held.record.id for one in function_ids if (held := self._of_function.get(one)) is not None]
        changes = [Remove(kind, (schedule_id,)) for schedule_id in found for kind in (Schedule, ScheduleMark)]

        def apply() -> None:
            for function_id in function_ids:
                self.remove(function_id)

        return Rescheduled(tuple(changes), apply)

    # ------------------------------------------------------------------ time

    def look_at(self, held: Held, at: float) -> None:
        """Look at a schedule at a time, seconds since 1970, unless it does not tick."""
        held.wake_at = at if held.active else None
        if held.wake_at is not None:
            heapq.heappush(self._waiting, (at, held.record.id))
            self.news.set()

    def due(self, now: float) -> list[Held]:
        """The schedules to look at now; each is to be looked at again at a time that the caller says."""
        if now < self._seen - SET_BACK_S:
            for held in self._held.values():
                held.done = min(held.done, now)  # what was run before is known by its row
                self.look_at(held, now)
        self._seen = now
        found: list[Held] = []
        while self._waiting and self._waiting[0][0] <= now:
            at, schedule_id = heapq.heappop(self._waiting)
            waiting = self._held.get(schedule_id)
            if waiting is not None and waiting.wake_at == at:
                waiting.wake_at = None
                found.append(waiting)
        return found

    def next_at(self) -> float | None:
        """When to look again, or None while nothing ticks."""
        return self._waiting[0][0] if self._waiting else None


def _following(
    held: Held | None, app: App, function_id: str, spec: ScheduleSpec, now: float, random_bytes: Callable[[int], bytes]
) -> Schedule:
    """The schedule of a function whose new revision says `spec`."""
    begun = round(now, 3)
    if held is not None and held.spec == spec:
        return held.record if spec.cron is not None else replace(held.record, anchor_at=begun, after_at=begun)
    text = spec.model_dump_json(exclude_none=True)
    schedule_id = ids.ulid(ids.SCHEDULE, now, random_bytes)
    return Schedule(schedule_id, function_id, app.id, app.environment, text, begun, begun, begun)
