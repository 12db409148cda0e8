"""When scheduled functions are called: what a definition may say about it, and from that to times.

A tick is one due time. Ticks follow from the schedule alone, so that each server computes the same ones.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from yurt.domain.naming import did_you_mean, shown
from yurt.domain.validation import broken_rule

MAX_CRON_CHARS = 200
MIN_PERIOD_S = 1.0
"""Below, a schedule would be a load generator."""
MAX_PERIOD_S = 321_408_000
"""Ten years, of months with 31 days."""

_CRON_FIELDS = 5
_SHORT_MONTH_S, _LONG_MONTH_S = 28 * 86_400.0, 31 * 86_400.0
_MINUTE = timedelta(minutes=1)


def _whole(value: object) -> object:
    """60.0 as 60: to JSON they are the same number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _cron(text: str) -> str:
    fields = text.split()
    if len(fields) != _CRON_FIELDS:
        raise broken_rule(
            f"must have the five fields minute, hour, day of month, month and day of week, has {len(fields)}"
        )
    try:
        next(CronSim(text, datetime(2000, 1, 1)))  # noqa: DTZ001  # any time of any zone: does it parse, does it end
    except CronSimError as error:
        raise broken_rule(f"cannot be read: {str(error).lower()}, in {shown(text)}") from error
    except StopIteration as error:
        raise broken_rule(f"never comes: no day is as {shown(text)} says") from error
    return " ".join(fields)


def _zone(name: str) -> str:
    try:
        zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        hint = did_you_mean(name, sorted(available_timezones()))
        raise broken_rule(f"must be a zone such as Europe/Berlin or UTC, got {shown(name)}.{hint}") from error
    return name


@lru_cache(64)
def zone(name: str) -> ZoneInfo:
    """A zone of the machine's database.

    Raises:
        ZoneInfoNotFoundError, ValueError, OSError: it has none of that name.
    """
    return ZoneInfo(name)


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


Count: TypeAlias = Annotated[int, Field(ge=0, le=MAX_PERIOD_S), BeforeValidator(_whole)]


class Period(_Strict):
    """The time from one tick to the next, the sum of its parts; months and years are those of the calendar, in UTC."""

    years: Count = 0
    months: Count = 0
    weeks: Count = 0
    days: Count = 0
    hours: Count = 0
    minutes: Count = 0
    seconds: float = Field(0.0, ge=0, le=MAX_PERIOD_S)

    @model_validator(mode="after")
    def _bounded(self) -> "Period":
        longest_s = self.calendar_months * _LONG_MONTH_S + self.fixed_s
        if not MIN_PERIOD_S <= longest_s <= MAX_PERIOD_S:
            raise broken_rule("must be from 1 second to 10 years in all")
        return self

    @property
    def calendar_months(self) -> int:
        """Its years and months."""
        return 12 * self.years + self.months

    @property
    def fixed_s(self) -> float:
        """All but its years and months, in seconds, to the millisecond."""
        days = 7 * self.weeks + self.days
        return round(86_400.0 * days + 3_600.0 * self.hours + 60.0 * self.minutes + self.seconds, 3)


class ScheduleSpec(_Strict):
    """When a function is called by itself: by a cron expression in a zone, or again after each period."""

    cron: Annotated[str, Field(max_length=MAX_CRON_CHARS), AfterValidator(_cron)] | None = None
    timezone: Annotated[str, Field(max_length=64), AfterValidator(_zone)] | None = None
    period: Period | None = None
    overlap: Literal["allow", "skip"] = "allow"

    @model_validator(mode="after")
    def _one_of_two(self) -> "ScheduleSpec":
        if (self.cron is None) == (self.period is None):
            raise broken_rule("must have either cron or period")
        if self.timezone is not None and self.cron is None:
            raise broken_rule("is for cron; a period is the same everywhere", "timezone")
        return self

    def ticks(self, anchor: float) -> "NextTick":
        """What gives its ticks.

        Args:
            anchor: what a period counts from, seconds since 1970.
        """
        if self.period is not None:
            return _period_ticks(self.period, anchor)
        return _cron_ticks(str(self.cron), zone(self.timezone or "UTC"))


_PERIOD_PART = {"type": "integer", "minimum": 0, "maximum": MAX_PERIOD_S, "default": 0}
_OVERLAP = {
    "enum": ["allow", "skip"],
    "default": "allow",
    "description": "What happens at a tick while a call of the schedule has not ended: another one, or none.",
}
SCHEDULE_SCHEMA = {
    "anyOf": [
        {
            "type": "object",
            "required": ["cron"],
            "additionalProperties": False,
            "properties": {
                "cron": {
                    "type": "string",
                    "maxLength": MAX_CRON_CHARS,
                    "description": "Minute, hour, day of month, month, day of week.",
                },
                "timezone": {"type": ["string", "null"], "maxLength": 64, "description": "`UTC` if absent."},
                "overlap": _OVERLAP,
                "period": {"type": "null"},
            },
        },
        {
            "type": "object",
            "required": ["period"],
            "additionalProperties": False,
            "properties": {
                "period": {
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": False,
                    "properties": {
                        **dict.fromkeys(("years", "months", "weeks", "days", "hours", "minutes"), _PERIOD_PART),
                        "seconds": {"type": "number", "minimum": 0, "maximum": MAX_PERIOD_S, "default": 0},
                    },
                },
                "overlap": _OVERLAP,
                "cron": {"type": "null"},
                "timezone": {"type": "null"},
            },
        },
        {"type": "null"},
    ],
    "description": "When the function is called by itself, without arguments.",
    "examples": [{"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"}, {"period": {"minutes": 5}}],
}
"""JSON Schema of `ScheduleSpec`, and of none."""


NextTick: TypeAlias = Callable[[float], float]
"""The first tick after a time; both in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What is to be done for a schedule.

    Args:
        due: the tick to run now, or None. Of several that were missed it is the last.
        next_at: the tick after that, seconds since 1970.
    """

    due: float | None
    next_at: float


def turn(ticks: NextTick, done: float, now: float) -> Turn:
    """Decide what is due.

    Args:
        ticks: of the schedule.
        done: the last tick that was dealt with.
        now: seconds since 1970.
    """
    following = ticks(done)
    if following > now:
        return Turn(None, following)
    # By halves: there may be a year of minutes between the first and the last one that were missed.
    due, end = following, now
    while (following := ticks(due)) <= now:
        later = ticks((due + end) / 2)
        if later <= now:
            due = later
        else:
            due, end = following, (due + end) / 2
    return Turn(due, following)


# ---------------------------------------------------------------------- cron


def _cron_ticks(cron: str, where: ZoneInfo) -> NextTick:
    """Cron's rules for the days on which clocks change, as Debian's cron has them.

    An expression whose minute or hour begins with `*` means an interval: it follows the time that passes, so that what
    the clock shows twice counts twice. Any other means times of day: each comes once a day. One that the clock skips
    comes at once when it has skipped it, one that it shows twice comes the first time.
    """
    minute, hour = cron.split()[:2]
    interval = minute.startswith("*") or hour.startswith("*")
    instants = _passing if interval else _once_a_day

    def following(after: float) -> float:
        begin = _local(after, where)
        best = math.inf
        for naive in CronSim(cron, begin - _seen_again(begin, where) if interval else begin):
            found = [at for at in instants(naive, where) if at > after]
            best = min([best, *found])
            if best < math.inf and _instant(naive, where) >= best:
                return best
        return math.inf  # in fifty years there is none

    return following


def _local(at: float, where: ZoneInfo) -> datetime:
    """What clocks show at a time; `fold` says which time it is of two that look the same."""
    return datetime.fromtimestamp(at, where).replace(tzinfo=None)


def _instant(naive: datetime, where: ZoneInfo, fold: int = 0) -> float:
    return naive.replace(tzinfo=where, fold=fold).timestamp()


def _exists(naive: datetime, where: ZoneInfo) -> bool:
    """Whether clocks ever show it."""
    return _local(_instant(naive, where), where).replace(fold=0) == naive.replace(fold=0)


def _seen_again(naive: datetime, where: ZoneInfo) -> timedelta:
    """How far clocks will go back, of what they show now for the first of two times."""
    if naive.fold or not _exists(naive, where):
        return timedelta()
    return timedelta(seconds=_instant(naive, where, 1) - _instant(naive, where))


def _passing(naive: datetime, where: ZoneInfo) -> Iterator[float]:
    """All times at which clocks show it: none, one or two."""
    if _exists(naive, where):
        yield from {_instant(naive, where), _instant(naive, where, 1)}


def _once_a_day(naive: datetime, where: ZoneInfo) -> Iterator[float]:
    """The first time at which clocks show it, or have skipped it."""
    while not _exists(naive, where):
        naive = naive.replace(second=0) + _MINUTE
    yield _instant(naive, where)


# ---------------------------------------------------------------------- periods


def _period_ticks(period: Period, anchor: float) -> NextTick:
    """Every tick is so many periods from the anchor, so that nothing adds up: a 31st stays one where there is one."""
    months, fixed_s = period.calendar_months, period.fixed_s
    shortest, longest = months * _SHORT_MONTH_S + fixed_s, months * _LONG_MONTH_S + fixed_s

    def tick(number: int) -> float:
        return round(_months_after(anchor, number * months) + number * fixed_s, 3)

    def following(after: float) -> float:
        bounds = sorted(((after - anchor) / shortest, (after - anchor) / longest))
        numbers = range(math.floor(bounds[0]) - 1, math.ceil(bounds[1]) + 2)
        return tick(numbers[bisect_right(numbers, after, key=tick)])

    return following


def _months_after(anchor: float, months: int) -> float:
    """The same time of the same day, so many months later; where that month is too short, its last day."""
    if not months:
        return anchor
    begin = datetime.fromtimestamp(anchor, UTC)
    years, month = divmod(begin.month - 1 + months, 12)
    first = begin.replace(year=begin.year + years, month=month + 1, day=1)
    last = (first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    return first.replace(day=min(begin.day, last.day)).timestamp()
