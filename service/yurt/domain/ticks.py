"""The due times of schedules. They follow from the schedule alone, so that each server computes the same ones."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

from cronsim import CronSim

LONG_MONTH_S = 31 * 86_400.0
_SHORT_MONTH_S = 28 * 86_400.0
_MINUTE = timedelta(minutes=1)

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


def cron_ticks(cron: str, where: ZoneInfo) -> NextTick:
    """What gives the ticks of an expression of five fields, with the rules of Debian's cron for when clocks change.

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


def period_ticks(months: int, fixed_s: float, anchor: float) -> NextTick:
    """What gives the ticks of a period: each is so many periods from the anchor.

    So nothing adds up, and a 31st stays one where there is one.

    Args:
        months: of the calendar, in UTC.
        fixed_s: what comes on top of them, in seconds. One of the two is not 0.
        anchor: seconds since 1970.
    """
    shortest, longest = months * _SHORT_MONTH_S + fixed_s, months * LONG_MONTH_S + fixed_s

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
