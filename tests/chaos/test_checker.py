"""The checker itself: a good history breaks no law, and each broken one breaks the law that it should."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.checker import CANCEL_MAY_TAKE_S, LAWS, check
from tests.chaos.history import Deed, History, Limits, MapEnd, Reading, Request, Run, Sight, runs_of, shown
from tests.chaos.story import needless_reruns, story

QUICK = Run("r1", "chaos:quick", 7, "fc-1", "in-1", 1, "co-1", begun_at=10, ended_at=11)
SENT = Request(0, "spawn", "chaos:quick", 7, 9.0, key="k", answered_at=9.5, status=202, call_id="fc-1")
RESULT = {"double": 14, "run": "r1", "attempt": 1, "container_id": "co-1"}


def seen(
    at: float = 12, observer: str = "get", call_id: str = "fc-1", index: int = -1, /, asked_at: float = 0, **call: Any
) -> Sight:
    whole = {"status": "success", "result": RESULT, "attempts": 1, **call}
    kept = {name: value for name, value in whole.items() if value is not None}
    return Sight(call_id, observer, asked_at or at - 0.1, at, shown(kept), index)


def pending(at: float, asked_at: float = 0) -> Sight:
    return seen(at, asked_at=asked_at, status="pending", result=None, attempts=0)


GOOD = History(
    runs=(QUICK, dataclasses.replace(QUICK, run="r2", input_id="in-2", call_id="fc-2", begun_at=11, ended_at=12)),
    requests=(SENT, dataclasses.replace(SENT, sent_at=13, status=200)),
    sights=(
        *(pending(9.5), seen(12), seen(13, "list"), pending(12.5, asked_at=11.9)),
        seen(13, "get", "fc-16", result=[], num_items=3),
    ),
    deeds=(Deed("kill server", 9, 9.2),),
    maps=(
        MapEnd("fc-3", 3, ordered=True, indexes=(0, 1, 2)),
        MapEnd("fc-4", 3, ordered=False, indexes=(2, 0, 1)),
        MapEnd("fc-5", 9, ordered=True, indexes=(0, 1), whole=False),
    ),
    readings=(
        Reading("fc-16", "stream", 0, (("r6", 0, 3), ("r6", 1, 3))),
        Reading("fc-16", "outputs", 1, (("r6", 1, 3), ("r6", 2, 3)), whole=True),
    ),
    limits={"chaos:quick": Limits(1), "chaos:flaky": Limits(1, max_retries=2)},
    cancelled={"fc-1": 12.0},
)


def with_runs(*runs: Run) -> Callable[[History], History]:
    return lambda good: dataclasses.replace(good, runs=(*good.runs, *runs))


def with_readings(*readings: Reading) -> Callable[[History], History]:
    return lambda good: dataclasses.replace(good, readings=(*good.readings, *readings))


def with_sights(*sights: Sight) -> Callable[[History], History]:
    return lambda good: dataclasses.replace(good, sights=(*good.sights, *sights))


def with_requests(*requests: Request) -> Callable[[History], History]:
    return lambda good: dataclasses.replace(good, requests=(*good.requests, *requests))


TALLY = dataclasses.replace(
    QUICK, run="t1", container_id="co-9", begun_at=40, ended_at=41, instance="o1", kind=1, count=1
)
FLAKY = dataclasses.replace(QUICK, function="chaos:flaky", raised=True, input_id="in-5", call_id="fc-5")
ERROR = {"outcome": "user_error", "attempt": 2, "input_id": "in-7"}

BROKEN: dict[str, tuple[str, Callable[[History], History]]] = {
    "lost": ("accepted calls end", with_requests(dataclasses.replace(SENT, call_id="fc-9", key=""))),
    "lost, seen in a list only": (
        "accepted calls end",
        with_sights(seen(12, "list", "fc-9", status="running", result=None)),
    ),
    "two results": ("one visible outcome", with_sights(seen(14, attempts=2))),
    "a result, then a failure": (
        "one visible outcome",
        with_sights(seen(14, status="failure", result=None, error={"outcome": "crashed"})),
    ),
    "an end that was taken back": ("one visible outcome", with_sights(pending(14))),
    "another time of the end": ("one visible outcome", with_sights(seen(14, finished_at="2026-11-24T00:00:00Z"))),
    "two results of an input of a map": (
        "one visible outcome",
        with_sights(seen(14, "outputs", "fc-3", 0), seen(15, "outputs", "fc-3", 0, attempts=2)),
    ),
    "nobody's result": ("results are of runs", with_sights(seen(12, result={**RESULT, "run": "r9"}))),
    "another call's result": ("results are of runs", with_sights(seen(12, result={**RESULT, "run": "r2"}))),
    "a result of a run that was killed": (
        "results are of runs",
        lambda good: dataclasses.replace(good, runs=(dataclasses.replace(QUICK, ended_at=None),)),
    ),
    "a wrong result": ("results are of runs", with_sights(seen(12, result={**RESULT, "double": 15}))),
    "a fenced attempt spoke": ("no outcome of a fenced attempt", with_sights(seen(12, attempts=2))),
    "an error that nobody raised": (
        "errors are of runs",
        with_sights(seen(12, "get", "fc-7", status="failure", result=None, error=ERROR)),
    ),
    "a failure for want of a container": (
        "starts are not blamed",
        with_sights(seen(12, "get", "fc-7", status="failure", result=None, error={"outcome": "init_failure"})),
    ),
    "two calls of a key": ("one call of a key", with_requests(dataclasses.replace(SENT, call_id="fc-8"))),
    "one call for two requests": (
        "one call of a key",
        with_requests(*2 * [dataclasses.replace(SENT, call_id="fc-8", key="")]),
    ),
    "two runs in one slot": ("slots hold", with_runs(dataclasses.replace(QUICK, run="r3", begun_at=10.5))),
    "too many containers": (
        "slots hold",
        with_runs(dataclasses.replace(QUICK, run="r3", container_id="co-2", begun_at=10.5)),
    ),
    "two objects in a container": (
        "objects stay",
        with_runs(TALLY, dataclasses.replace(TALLY, run="t2", instance="o2", count=2, begun_at=41, ended_at=42)),
    ),
    "an object that forgot": (
        "objects stay",
        with_runs(TALLY, dataclasses.replace(TALLY, run="t2", begun_at=41, ended_at=42)),
    ),
    "an object of other parameters": ("objects stay", with_runs(dataclasses.replace(TALLY, kind=2))),
    "too many retries": (
        "retries hold",
        with_runs(
            *(dataclasses.replace(FLAKY, run=f"f{n}", attempt=n, begun_at=20 + n, ended_at=21 + n) for n in range(4))
        ),
    ),
    "too few retries": (
        "retries hold",
        lambda good: with_sights(
            seen(22, "get", "fc-5", status="failure", result=None, error={**ERROR, "input_id": "in-5", "attempt": 1})
        )(with_runs(FLAKY)(good)),
    ),
    "a delayed call that begins early": (
        "delays hold",
        lambda good: dataclasses.replace(
            with_requests(dataclasses.replace(SENT, call_id="fc-2", key="", delay_s=5))(good), sights=good.sights
        ),
    ),
    "a call that expires unasked": (
        "delays hold",
        with_sights(seen(12, status="failure", result=None, error={"outcome": "expired"})),
    ),
    "a cancelled call that comes back": (
        "cancelled stays away",
        with_runs(dataclasses.replace(QUICK, run="r3", begun_at=12.1 + CANCEL_MAY_TAKE_S, ended_at=99)),
    ),
    "a call that runs after its end": (
        "nothing runs after its end",
        with_runs(dataclasses.replace(QUICK, run="r3", begun_at=12.1 + CANCEL_MAY_TAKE_S, ended_at=99)),
    ),
    "a map with a hole": (
        "maps are whole",
        lambda good: dataclasses.replace(good, maps=(MapEnd("fc-3", 3, ordered=False, indexes=(0, 2)),)),
    ),
    "a map that says a line twice": (
        "maps are whole",
        lambda good: dataclasses.replace(good, maps=(MapEnd("fc-3", 2, ordered=False, indexes=(0, 1, 1)),)),
    ),
    "an ordered map out of order": (
        "maps are in order",
        lambda good: dataclasses.replace(good, maps=(MapEnd("fc-3", 3, ordered=True, indexes=(0, 2, 1)),)),
    ),
    "a result of another input": (
        "results are of runs",
        lambda good: dataclasses.replace(good, requests=(dataclasses.replace(SENT, number=8),)),
    ),
    "an ordered map out of order before it broke off": (
        "maps are in order",
        lambda good: dataclasses.replace(good, maps=(MapEnd("fc-3", 9, ordered=True, indexes=(0, 2), whole=False),)),
    ),
    "a map that says a line twice before it broke off": (
        "maps are whole",
        lambda good: dataclasses.replace(good, maps=(MapEnd("fc-3", 9, ordered=False, indexes=(2, 2), whole=False),)),
    ),
    "a map whose counts are not its lines": (
        "maps add up",
        with_sights(seen(12, "get", "fc-3", result=None, num_inputs=3, counts={"success": 3, "failure": 0})),
    ),
    "a map that lost inputs": (
        "maps add up",
        lambda good: dataclasses.replace(
            with_sights(seen(12, "get", "fc-6", result=None, num_inputs=2, counts={"success": 2}))(good),
            requests=(dataclasses.replace(SENT, verb="map", size=3, call_id="fc-6", key="", status=202),),
        ),
    ),
    "items with a gap": (
        "items are whole",
        with_readings(Reading("fc-16", "stream", 0, (("r6", 0, 3), ("r6", 2, 3)))),
    ),
    "items that come twice": (
        "items are whole",
        with_readings(Reading("fc-16", "stream", 1, (("r6", 1, 3), ("r6", 1, 3)))),
    ),
    "a success without its last item": (
        "items are whole",
        lambda good: dataclasses.replace(
            good,
            sights=(*good.sights, seen(13, "get", "fc-7", result=[], num_items=1)),
            readings=(Reading("fc-7", "stream", 0, (("r7", 0, 2),)),),
        ),
    ),
    "an item that was shown and is gone": (
        "items are kept",
        with_readings(Reading("fc-16", "stream", 3, (("r6", 3, 3),))),
    ),
    "an end without the last item": (
        "items are kept",
        with_readings(Reading("fc-16", "outputs", 0, (("r6", 0, 3),), whole=True)),
    ),
    "items of two runs": (
        "items are of one run",
        with_readings(Reading("fc-16", "stream", 0, (("r7", 0, 3),))),
    ),
    "a generator that was shown and ran again": (
        "what was shown is not run again",
        with_runs(
            dataclasses.replace(QUICK, run="r6", input_id="in-6", call_id="fc-16", begun_at=20, ended_at=None),
            dataclasses.replace(
                QUICK, run="r8", input_id="in-6", call_id="fc-16", begun_at=22, ended_at=None, attempt=2
            ),
        ),
    ),
    "a process without a row": (
        "nothing is left",
        lambda good: dataclasses.replace(good, leftovers=("co-5 has processes, and no row",)),
    ),
    "an internal error": (
        "answers are clean",
        lambda good: dataclasses.replace(good, refusals=("POST /v1/functions: 500",)),
    ),
}


def test_a_good_history_breaks_no_law() -> None:
    assert check(GOOD) == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_history_breaks_its_law(name: str) -> None:
    law, breaking = BROKEN[name]
    found = check(breaking(GOOD))
    assert law in {violation.law for violation in found}, found
    assert all(violation.subject and violation.text for violation in found)


def test_every_law_is_seen_to_fail() -> None:
    broken = {violation.law for _, breaking in BROKEN.values() for violation in check(breaking(GOOD))}
    assert broken == {law for law, _ in BROKEN.values()}
    several = 1 + 3  # maps are whole, and in order, is one function, and so are the four of items
    assert len(broken) == len(LAWS) + several


def test_runs_whose_container_was_killed_or_frozen_may_overlap_their_followers() -> None:
    cut = dataclasses.replace(QUICK, run="r3", container_id="co-2", begun_at=10.5, ended_at=None)
    late = dataclasses.replace(cut, run="r4", container_id="co-3", ended_at=40)
    history = with_runs(cut, late)(GOOD)
    assert check(dataclasses.replace(history, deeds=(Deed("freeze container", 10, 30, "co-3"),))) == []


def test_a_map_that_failed_need_not_have_read_all_its_lines() -> None:
    end = seen(12, "get", "fc-6", status="failure", result=None, num_inputs=2, counts={"failure": 2})
    sent = dataclasses.replace(SENT, verb="map", size=3, call_id="fc-6", key="", status=202)
    assert check(with_requests(sent)(with_sights(end)(GOOD))) == []


def test_a_second_run_that_nothing_explains_is_told() -> None:
    again = dataclasses.replace(QUICK, run="r3", container_id="co-2", begun_at=20, ended_at=21, attempt=2)
    assert needless_reruns(GOOD) == []
    assert needless_reruns(with_runs(again)(GOOD)) == ["in-1"]
    killed = dataclasses.replace(with_runs(again)(GOOD), deeds=(Deed("kill worker", 10.5, 10.5, "co-1"),))
    assert needless_reruns(killed) == []


def test_the_story_of_a_call_has_everything_about_it_in_order() -> None:
    told = story(GOOD, "fc-1").splitlines()
    assert [line.split()[0] for line in told] == sorted((line.split()[0] for line in told), key=float)
    for fact in ("client 0 sends spawn", "run r1 begins: attempt 1 in co-1", "run r1 returns", "NEMESIS kill server"):
        assert any(fact in line for line in told), fact


def test_runs_are_read_from_lines_of_which_the_last_may_be_torn() -> None:
    begin = {name: getattr(QUICK, name) for name in QUICK.__slots__ if name not in {"ended_at", "raised"}}
    lines = [
        json.dumps({"event": "begin", **begin}),
        json.dumps({"event": "begin", **begin, "run": "r2"}),
        json.dumps({"event": "end", "run": "r1", "at": 11.0, "raised": False}),
        '{"event": "end", "run": "r2',
    ]
    assert runs_of(lines) == (QUICK, dataclasses.replace(QUICK, run="r2", ended_at=None))
