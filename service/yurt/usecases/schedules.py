"""Schedules: shown, paused, resumed, run by hand, and run at their ticks."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import structlog

from yurt.domain.changes import Change, Insert, Save
from yurt.domain.errors import AlreadyExists, AppStopped, NotFound, TooManyPending, Unavailable
from yurt.domain.functions import LiveFunction
from yurt.domain.naming import shown
from yurt.domain.records import CallKind, Schedule, ScheduleMark, Tick
from yurt.domain.ticks import turn
from yurt.domain.times import rfc3339
from yurt.usecases.begun import Begun, Envelope
from yurt.usecases.calls import Calls
from yurt.usecases.principals import Principal
from yurt.usecases.registry import Registry
from yurt.usecases.schedule_book import Held

R = TypeVar("R")

RETRY_S = 5.0
"""After how long a tick is tried again whose call could not be accepted, in seconds."""

RECENT = 5
"""Calls that are shown with a schedule."""

_NO_ARGUMENTS = b"{}"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """A schedule as it stands.

    Args:
        next_at: when it ticks next by itself; None while it does not.
    """

    held: Held
    live: LiveFunction
    next_at: float | None


class Schedules:
    """What a caller can ask of schedules, and what time asks.

    Args:
        calls: takes the calls that they make.

    Attributes:
        news: set when one may be due earlier than was known.
    """

    def __init__(self, registry: Registry, calls: Calls) -> None:
        self.news = registry.schedules.news
        self._registry = registry
        self._book = registry.schedules
        self._calls = calls

    # ------------------------------------------------------------------ look

    def find(
        self,
        principal: Principal,
        *,
        environment: str | None = None,
        function_id: str | None = None,
        app_id: str | None = None,
        before: str | None = None,
        limit: int,
    ) -> list[ScheduleView]:
        """Schedules that the caller may see, later ones first.

        Args:
            principal: who asks.
            environment: only of this one.
            function_id: only of this function.
            app_id: only of this app.
            before: only those made before the one with this id: the cursor of a page.
            limit: at most so many.
        """
        found: list[ScheduleView] = []
        for held in self._book.all():
            record = held.record
            wanted = (
                environment in {None, record.environment}
                and function_id in {None, record.function_id}
                and app_id in {None, record.app_id}
            )
            if wanted and principal.sees(record.environment) and (before is None or record.id < before):
                found.append(self._view(held))
            if len(found) == limit:
                break
        return found

    def get(self, principal: Principal, schedule_id: str) -> ScheduleView:
        """One schedule.

        Raises:
            NotFound: there is none that the caller may see.
        """
        return self._view(self._known(principal, schedule_id))

    async def recent(self, schedule_id: str) -> list[Tick]:
        """The latest calls that a schedule made and that are kept, the latest first."""
        found = await self._registry.store.records.find(Tick, {"schedule_id": schedule_id}, limit=RECENT)
        return sorted(found, key=lambda tick: tick.seq, reverse=True)

    def _known(self, principal: Principal, schedule_id: str) -> Held:
        held = self._book.get(schedule_id)
        if held is None or not principal.sees(held.record.environment):
            raise NotFound(
                f"There is no schedule {shown(schedule_id)} that this token can see. A schedule goes with its "
                "function, and when the function is deployed with another one."
            )
        return held

    def _view(self, held: Held) -> ScheduleView:
        next_at = None
        if held.active:
            found = turn(held.ticks, held.done, self._registry.clock.now())
            next_at = found.next_at if found.due is None else found.due
        return ScheduleView(held, self._live(held), next_at)

    def _live(self, held: Held) -> LiveFunction:
        live = self._registry.catalog.lookup(_caller(held), held.record.function_id)
        if live is None:
            raise RuntimeError(f"the schedule {held.record.id} is of a function that does not live")
        return live

    # ------------------------------------------------------------------ change

    async def pause(self, principal: Principal, schedule_id: str) -> ScheduleView:
        """Let a schedule make no more calls by itself; what it has begun goes on. One that is paused stays so.

        Raises:
            NotFound: there is none that the caller may see.
        """
        now = self._registry.clock.now()
        return await self._change(principal, schedule_id, lambda record: replace(record, paused_at=now), paused=False)

    async def resume(self, principal: Principal, schedule_id: str) -> ScheduleView:
        """Let a schedule tick again, from now on: what it missed while it was paused is not made up for.

        Raises:
            NotFound: there is none that the caller may see.
        """
        now = self._registry.clock.now()
        return await self._change(
            principal, schedule_id, lambda record: replace(record, paused_at=None, after_at=now), paused=True
        )

    async def _change(
        self, principal: Principal, schedule_id: str, change: Callable[[Schedule], Schedule], *, paused: bool
    ) -> ScheduleView:
        """Change a schedule that is, or is not, paused, and leave others as they are."""
        async with self._registry.changing():
            held = self._known(principal, schedule_id)
            if (held.record.paused_at is not None) is paused:
                record = change(held.record)

                def then() -> None:
                    self._book.put(record, deployed=held.deployed)

                await self._registry.commit([Save(record)], then)
                event = "schedule_resumed" if paused else "schedule_paused"
                _log.info(event, schedule_id=schedule_id, function_id=record.function_id, by=principal.token_id)
            return self._view(held)

    # ------------------------------------------------------------------ run

    async def run(self, principal: Principal, schedule_id: str) -> Begun:
        """Make the schedule's call now, whatever its state and its overlap policy. Returns once it is accepted.

        Raises:
            NotFound: there is none that the caller may see.
            AppStopped, TooManyPending, Unavailable: the call cannot be accepted.
        """
        held = self._known(principal, schedule_id)
        asked = await self._ask(held, Tick(schedule_id, self._registry.clock.now(), manual=True, seq=0))
        await asked.begun.wait_accepted()
        held.mark = asked.mark
        _log.info("schedule_run", schedule_id=schedule_id, function_id=held.record.function_id, by=principal.token_id)
        return asked.begun

    async def fire_due(self) -> float | None:
        """Make the calls that are due. Returns once they are accepted.

        Returns:
            When to look again, in seconds since 1970; None while nothing ticks.
        """
        now = self._registry.clock.now()
        asked: list[_Asked] = []
        for held in self._book.due(now):
            found = turn(held.ticks, held.done, now)
            if found.due is None:
                self._book.look_at(held, found.next_at)
            elif (one := await self._unless_away(held, self._fire(held, found.due))) is not None:
                asked.append(one)
        for one in asked:
            await self._unless_away(one.held, self._accepted(one))
        return self._book.next_at()

    async def _unless_away(self, held: Held, work: Awaitable[R]) -> R | None:
        """Do something for a tick, or say that it is to be tried again."""
        try:
            return await work
        except AppStopped:
            return None
        except (Unavailable, TooManyPending) as error:
            _log.warning("schedule_postponed", schedule_id=held.record.id, reason=str(error))
            self._book.look_at(held, self._registry.clock.now() + RETRY_S)
            return None

    async def _fire(self, held: Held, due: float) -> "_Asked | None":
        """Ask for the call of a tick, unless it is to be skipped."""
        record = held.record
        skip = held.spec.overlap == "skip" and await self._has_open(held)
        if not held.active or self._book.get(record.id) is not held:
            return None  # it was changed meanwhile
        if skip:
            await self._skip(held, due)
            return None
        return await self._ask(held, Tick(record.id, due, manual=False, seq=0))

    async def _has_open(self, held: Held) -> bool:
        """Whether a call of the schedule has not ended."""
        function_id, caller = held.record.function_id, held.record.app_id
        live = self._registry.catalog.lookup(_caller(held), function_id)
        queue = function_id if live is None else live.usual_queue
        return await self._registry.store.calls.has_open(function_id, queue, caller)

    async def _skip(self, held: Held, due: float) -> None:
        mark = replace(held.mark, done_at=due, skipped_at=due)
        await self._registry.store.journal.write(Save(mark))
        held.mark = mark
        self._done(held, due)

    async def _ask(self, held: Held, tick: Tick) -> "_Asked":
        """Ask for the call of a tick. The tick, how far the schedule has come and the call are one transaction."""
        done_at = held.mark.done_at if tick.manual else tick.due_at
        mark = replace(held.mark, done_at=done_at, called_at=self._registry.clock.now())

        def beside(seq: int) -> tuple[Change, ...]:
            return Insert(replace(tick, seq=seq)), Save(replace(mark, seq=seq))

        about = {"schedule_id": held.record.id}
        if not tick.manual:
            about["scheduled_for"] = rfc3339(tick.due_at)
        envelope = Envelope(_NO_ARGUMENTS, json.dumps(about))
        begun = await self._calls.begin(_caller(held), self._live(held), envelope, CallKind.SCHEDULE, more=beside)
        return _Asked(held, tick.due_at, replace(mark, seq=begun.seq), begun)

    async def _accepted(self, asked: "_Asked") -> None:
        """Wait for the word of the store on a tick's call."""
        held = asked.held
        try:
            await asked.begun.wait_accepted()
            held.mark = asked.mark
        except AlreadyExists:  # it was run before: the clock was set back, or the store's word came too late
            held.mark = await self._registry.store.records.get(ScheduleMark, held.record.id) or held.mark
        self._done(held, asked.due)

    def _done(self, held: Held, due: float) -> None:
        held.done = max(held.done, due)
        self._book.look_at(held, held.done)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A call that was asked for, and what is kept with it once it is accepted."""

    held: Held
    due: float
    mark: ScheduleMark
    begun: Begun


def _caller(held: Held) -> Principal:
    """Who makes a schedule's calls: its app."""
    return Principal(held.record.app_id, None, held.record.environment)
