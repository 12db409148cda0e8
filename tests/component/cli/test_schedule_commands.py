import json

import pytest

from tests.commands import Yurt
from tests.component.cli.fake_api import FakeApi

DAILY = {"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin", "next_at": "2026-11-23T08:00:00.000Z"}
OFTEN = {"period": {"minutes": 5, "seconds": 0.5}, "last_call_id": "fc-1", "last_call_at": "2026-11-22T10:15:30.000Z"}


@pytest.fixture(autouse=True)
def scheduled(api: FakeApi) -> None:
    for schedule_id, function, when in (("sc-1", "a:work", DAILY), ("sc-2", "a:sweep", OFTEN), ("sc-3", "b:f", DAILY)):
        api.schedules[schedule_id] = {"schedule_id": schedule_id, "function": function, "state": "active", **when}


def test_schedules_are_listed_with_when_they_run(yurt: Yurt) -> None:
    lines = [" ".join(line.split()) for line in yurt("schedules").out.splitlines()]

    assert lines[0] == "SCHEDULE FUNCTION WHEN STATE NEXT LAST CALL"
    assert lines[1] == "sc-2 a:sweep every 5 minutes 0.5 seconds active 2026-11-22T10:15:30.000Z fc-1"
    assert lines[2] == "sc-1 a:work 0 9 * * 1-5 Europe/Berlin active 2026-11-23T08:00:00.000Z"
    assert len(lines) == 4


def test_schedules_of_one_function_or_app(api: FakeApi, yurt: Yurt) -> None:
    found = json.loads(yurt("schedules", "--function", "a:work", "--json").out)
    yurt("schedules", "--app", "a", "-e", "staging")
    yurt("schedules", "-e", "staging")

    assert [one["schedule_id"] for one in found] == ["sc-1"]
    assert [query for _, path, query in api.requests if path == "/v1/schedules" and "cursor" not in query] == [
        {"function_id": "a:work"},
        {"app_id": "a", "environment": "staging"},
        {"environment": "staging"},
    ]


def test_pause_and_resume_say_what_is(api: FakeApi, yurt: Yurt) -> None:
    paused = yurt("schedule", "pause", "sc-1")

    assert (paused.code, paused.out) == (0, "")
    assert "sc-1 of a:work is paused" in paused.err
    assert api.schedules["sc-1"]["state"] == "paused"
    assert json.loads(yurt("schedule", "resume", "sc-1", "--json").out)["state"] == "active"


def test_run_prints_the_call_alone(yurt: Yurt) -> None:
    assert yurt("schedule", "run", "sc-2").out == "fc-9\n"
    assert json.loads(yurt("schedule", "run", "sc-2", "--json").out)["kind"] == "schedule"


def test_a_schedule_that_is_not_there(yurt: Yurt) -> None:
    for what in ("pause", "resume", "run"):
        ran = yurt("schedule", what, "sc-9")
        assert (ran.code, ran.out) == (3, "")
        assert "no such schedule" in ran.err
