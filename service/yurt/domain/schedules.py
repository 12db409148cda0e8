"""When scheduled functions are called: what a definition may say about it, read and checked."""

from datetime import datetime
from functools import lru_cache
from typing import Annotated, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from yurt.domain.naming import did_you_mean, shown
from yurt.domain.ticks import LONG_MONTH_S, NextTick, cron_ticks, period_ticks
from yurt.domain.validation import broken_rule

MAX_CRON_CHARS = 200
MIN_PERIOD_S = 1.0
"""Below, a schedule would be a load generator."""
MAX_PERIOD_S = 321_408_000
"""Ten years, of months with 31 days."""

_CRON_FIELDS = 5


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
        longest_s = self.calendar_months * LONG_MONTH_S + self.fixed_s
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

    def ticks(self, anchor: float) -> NextTick:
        """What gives its ticks.

        Args:
            anchor: what a period counts from, seconds since 1970.
        """
        if self.period is not None:
            return period_ticks(self.period.calendar_months, self.period.fixed_s, anchor)
        return cron_ticks(str(self.cron), zone(self.timezone or "UTC"))


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
