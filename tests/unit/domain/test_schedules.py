"""Ticks: which times a schedule means, on the days when clocks change most of all."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yurt.domain.definitions import parse_definition
from yurt.domain.errors import Invalid
from yurt.domain.schedules import SCHEDULE_SCHEMA, ScheduleSpec
from yurt.domain.ticks import turn

PLAIN = {"entrypoint": "main:work"}
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")


def read(**schedule: Any) -> ScheduleSpec:
    found = parse_definition(PLAIN | {"schedule": schedule}).schedule
    assert found is not None
    return found


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def shown(ticks: list[float], zone: str) -> list[str]:
    return [f"{datetime.fromtimestamp(tick, ZoneInfo(zone)):%d %H:%M %z}" for tick in ticks]


def ticks(schedule: ScheduleSpec, begin: float, end: float, anchor: float = 0.0) -> list[float]:
    following, found = schedule.ticks(anchor), [begin]
    while (tick := following(found[-1])) < end:
        found.append(tick)
    return found[1:]


GAPS_AND_OVERLAPS = [
    # Berlin: on the 28th of March 02:00 is 03:00, on the 31st of October 03:00 is 02:00.
    ("Europe/Berlin", "2027-03-28", "30 2 * * *", ["28 03:00 +0200"]),
    ("Europe/Berlin", "2027-03-28", "0,30 2 * * *", ["28 03:00 +0200"]),
    ("Europe/Berlin", "2027-03-28", "0 2,3 * * *", ["28 03:00 +0200"]),
    ("Europe/Berlin", "2027-03-28", "30 2,3 * * *", ["28 03:00 +0200", "28 03:30 +0200"]),
    ("Europe/Berlin", "2027-03-28", "30 1-3 * * 7", ["28 01:30 +0100", "28 03:00 +0200", "28 03:30 +0200"]),
    ("Europe/Berlin", "2027-03-28", "*/30 2 * * *", []),
    (
        "Europe/Berlin",
        "2027-03-28",
        "*/30 1-3 * * *",
        ["28 01:00 +0100", "28 01:30 +0100", "28 03:00 +0200", "28 03:30 +0200"],
    ),
    ("Europe/Berlin", "2027-10-31", "30 2 * * *", ["31 02:30 +0200"]),
    ("Europe/Berlin", "2027-10-31", "0 1-3 * * *", ["31 01:00 +0200", "31 02:00 +0200", "31 03:00 +0100"]),
    (
        "Europe/Berlin",
        "2027-10-31",
        "*/30 2 * * *",
        ["31 02:00 +0200", "31 02:30 +0200", "31 02:00 +0100", "31 02:30 +0100"],
    ),
    (
        "Europe/Berlin",
        "2027-10-31",
        "15 */2 31 10 *",
        ["31 00:15 +0200", "31 02:15 +0200", "31 02:15 +0100", "31 04:15 +0100"],
    ),
    # New York: on the 14th of March 02:00 is 03:00, on the 7th of November 02:00 is 01:00.
    ("America/New_York", "2027-03-14", "15 2 * * *", ["14 03:00 -0400"]),
    ("America/New_York", "2027-03-14", "* 2 * * *", []),
    ("America/New_York", "2027-11-07", "59 1 * * *", ["07 01:59 -0400"]),
    (
        "America/New_York",
        "2027-11-07",
        "*/20 1 * * *",
        ["07 01:00 -0400", "07 01:20 -0400", "07 01:40 -0400", "07 01:00 -0500", "07 01:20 -0500", "07 01:40 -0500"],
    ),
    # Lord Howe changes by half an hour: on the 3rd of October 02:00 is 02:30, on the 4th of April 02:00 is 01:30.
    ("Australia/Lord_Howe", "2027-10-03", "15 2 * * *", ["03 02:30 +1100"]),
    ("Australia/Lord_Howe", "2027-10-03", "*/15 2 * * *", ["03 02:30 +1100", "03 02:45 +1100"]),
    ("Australia/Lord_Howe", "2027-04-04", "45 1 * * *", ["04 01:45 +1100"]),
    (
        "Australia/Lord_Howe",
        "2027-04-04",
        "*/15 1-2 * * *",
        [
            "04 01:00 +1100",
            "04 01:15 +1100",
            "04 01:30 +1100",
            "04 01:45 +1100",
            "04 01:30 +1030",
            "04 01:45 +1030",
            "04 02:00 +1030",
            "04 02:15 +1030",
            "04 02:30 +1030",
            "04 02:45 +1030",
        ],
    ),
]


@pytest.mark.parametrize(("zone", "day", "cron", "expected"), GAPS_AND_OVERLAPS)
def test_the_days_on_which_clocks_change(zone: str, day: str, cron: str, expected: list[str]) -> None:
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    begin, end = midnight.timestamp() - 1, (midnight + timedelta(hours=5)).timestamp()
    assert shown(ticks(read(cron=cron, timezone=zone), begin, end), zone) == expected


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 9 * * 1-5", ["01 09:00 +0200", "04 09:00 +0200"]),
        ("0 0 L * *", ["31 00:00 +0200"]),
        ("0 0 * * FRI#1", ["01 00:00 +0200"]),
        ("59 23 31 12 *", ["31 23:59 +0100"]),
    ],
)
def test_what_cron_means_on_any_other_day(cron: str, expected: list[str]) -> None:
    found = ticks(
        read(cron=cron, timezone="Europe/Berlin"), at("2027-09-30T22:00:00+00:00") - 1, at("2029-01-01T00:00:00+00:00")
    )
    assert shown(found, "Europe/Berlin")[: len(expected)] == expected


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ({"months": 1}, ["2028-02-29T10:00", "2028-03-31T10:00", "2028-04-30T10:00"]),
        ({"years": 1, "days": 1}, ["2029-02-01T10:00", "2030-02-02T10:00", "2031-02-03T10:00"]),
        ({"weeks": 1, "hours": 2}, ["2028-02-07T12:00", "2028-02-14T14:00", "2028-02-21T16:00"]),
        ({"minutes": 5.0, "seconds": 30}, ["2028-01-31T10:05", "2028-01-31T10:11", "2028-01-31T10:16"]),
    ],
)
def test_periods_count_from_their_anchor(period: dict[str, float], expected: list[str]) -> None:
    anchor = at("2028-01-31T10:00:00+00:00")
    following = read(period=period).ticks(anchor)
    found = [anchor]
    for _ in expected:
        found.append(following(found[-1]))
    assert [f"{datetime.fromtimestamp(tick, UTC):%Y-%m-%dT%H:%M}" for tick in found[1:]] == expected


FIELDS = [
    st.sampled_from(["*", "*/7", "0", "30", "5,35", "10-50/20", "59"]),
    st.sampled_from(["*", "*/2", "0", "1", "2", "1,2,3", "22-23"]),
    st.sampled_from(["*", "1", "28-31", "L", "*/5"]),
    st.sampled_from(["*", "3,4", "10", "11", "1-12/2"]),
    st.sampled_from(["*", "0", "7", "1-5", "SUN"]),
]
CRONS = st.builds(
    lambda fields, zone: ScheduleSpec(cron=" ".join(fields), timezone=zone), st.tuples(*FIELDS), st.sampled_from(ZONES)
)
PERIODS = st.builds(
    lambda **parts: ScheduleSpec.model_validate({"period": parts}),
    months=st.integers(0, 30),
    days=st.integers(0, 40),
    hours=st.integers(0, 30),
    seconds=st.floats(1, 5000),
)
SCHEDULES = CRONS | PERIODS
NOW = at("2027-01-01T00:00:00+00:00")
TIMES = st.floats(NOW, NOW + 2 * 366 * 86_400)
CHANGES = [
    at("2027-03-28T01:00:00+00:00"),
    at("2027-10-31T01:00:00+00:00"),
    at("2027-03-14T07:00:00+00:00"),
    at("2027-11-07T06:00:00+00:00"),
    at("2027-10-02T15:30:00+00:00"),
    at("2027-04-03T15:00:00+00:00"),
]
NEAR_CHANGES = st.builds(lambda change, off: change + off, st.sampled_from(CHANGES), st.integers(-9_000, 9_000))


@given(SCHEDULES, TIMES | NEAR_CHANGES)
def test_ticks_increase_and_none_is_left_out(schedule: ScheduleSpec, begin: float) -> None:
    following = schedule.ticks(NOW)
    first = following(begin)
    assert first > begin
    middle = following((begin + first) / 2)
    assert middle == first, "asked from in between, the same tick follows"
    second = following(first)
    assert second > first
    assert following((first + second) / 2) == second


@given(CRONS, TIMES | NEAR_CHANGES)
def test_clocks_show_what_cron_says_or_have_just_skipped_it(schedule: ScheduleSpec, begin: float) -> None:
    """The expression read again without zones, by walking over minutes, agrees."""
    tick = schedule.ticks(0.0)(begin)
    local = datetime.fromtimestamp(tick, ZoneInfo(schedule.timezone or "UTC"))
    naive = local.replace(tzinfo=None)
    plain = ScheduleSpec(cron=schedule.cron).ticks(0.0)
    as_utc = naive.replace(tzinfo=UTC, fold=0).timestamp()
    skipped = datetime.fromtimestamp(tick - 1, local.tzinfo).utcoffset() != local.utcoffset()
    assert plain(as_utc - 1) == as_utc or skipped


@given(SCHEDULES, TIMES, st.lists(st.floats(0, 40 * 86_400), max_size=6))
def test_each_tick_is_due_at_most_once_and_the_last_missed_one_is(
    schedule: ScheduleSpec, begin: float, waits: list[float]
) -> None:
    following = schedule.ticks(begin)
    done, now, ran = begin, begin, []
    for wait in waits:
        now += wait
        found = turn(following, done, now)
        assert found.next_at > now
        if found.due is None:
            assert following(done) > now
        else:
            assert done < found.due <= now
            assert following(found.due) == found.next_at, "a later tick was due, too"
            done = found.due
            ran.append(done)
    assert ran == sorted(set(ran))


@pytest.mark.parametrize(
    ("schedule", "pointer", "message"),
    [
        ({}, "/schedule", "either cron or period"),
        ({"cron": "* * * * *", "period": {"days": 1}}, "/schedule", "either cron or period"),
        ({"cron": "* * * *"}, "/schedule/cron", "has 4"),
        ({"cron": "* * * * * *"}, "/schedule/cron", "has 6"),
        ({"cron": "61 * * * *"}, "/schedule/cron", "bad minute"),
        ({"cron": "0 0 31 2 *"}, "/schedule/cron", "bad day-of-month"),
        ({"cron": "0 0 */31 * 1#5"}, "/schedule/cron", "never comes"),
        ({"cron": "@daily"}, "/schedule/cron", "has 1"),
        ({"cron": "9" * 5000 + " * * * *"}, "/schedule/cron", "at most 200"),
        ({"cron": 5}, "/schedule/cron", "a string"),
        ({"cron": "* * * * *", "timezone": "Europe/Berln"}, "/schedule/timezone", "Did you mean Europe/Berlin?"),
        ({"cron": "* * * * *", "timezone": "../etc/passwd"}, "/schedule/timezone", "a zone such as"),
        ({"cron": "* * * * *", "timezone": ""}, "/schedule/timezone", "a zone such as"),
        ({"period": {"days": 1}, "timezone": "UTC"}, "/schedule/timezone", "is for cron"),
        ({"period": {}}, "/schedule/period", "from 1 second to 10 years"),
        ({"period": {"seconds": 0.5}}, "/schedule/period", "from 1 second to 10 years"),
        ({"period": {"years": 9, "months": 13}}, "/schedule/period", "from 1 second to 10 years"),
        ({"period": {"days": -1}}, "/schedule/period/days", "at least 0"),
        ({"period": {"days": 1.5}}, "/schedule/period/days", "a whole number"),
        ({"period": {"minute": 1}}, "/schedule/period/minute", "Did you mean minutes?"),
        ({"period": 5}, "/schedule/period", "an object"),
        ({"cron": "* * * * *", "overlap": "queue"}, "/schedule/overlap", "'allow' or 'skip'"),
        ({"cron": "* * * * *", "tz": "UTC"}, "/schedule/tz", "unknown key"),
        ("* * * * *", "/schedule", "an object"),
    ],
)
def test_what_no_schedule_can_be_is_refused(schedule: object, pointer: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_definition(PLAIN | {"schedule": schedule})
    assert [error.pointer for error in caught.value.errors] == [pointer]
    assert message in caught.value.errors[0].message


def test_a_schedule_is_the_same_however_it_is_spelt() -> None:
    assert read(cron="0  9 * *  1-5") == read(cron="0 9 * * 1-5")
    assert read(period={"minutes": 5.0}) == read(period={"minutes": 5})
    assert parse_definition(PLAIN | {"schedule": None}).schedule is None


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "cron": st.sampled_from(["* * * * *", None, 5]),
            "timezone": st.sampled_from(["UTC", None, 5]),
            "period": st.sampled_from([{"days": 1}, {"days": 1.0, "seconds": 0.5}, {"days": -1}, {}, {"day": 1}, None]),
            "overlap": st.sampled_from(["allow", "skip", None, "other"]),
        },
    )
)
def test_the_schema_and_the_reader_agree(schedule: dict[str, object]) -> None:
    fits = jsonschema_rs.is_valid(SCHEDULE_SCHEMA, schedule)
    try:
        parse_definition(PLAIN | {"schedule": schedule})
    except Invalid:
        assert not fits
    else:
        assert fits
