"""Small decisions: failing starts, blame, reasons, endings, the depth of JSON."""

import json

from hypothesis import given
from hypothesis import strategies as st

from yurt.domain.blame import MAX_LOSSES, History, container_lost, runs_alone
from yurt.domain.endings import MAX_TEXT, Ending, cancelled, describe, from_container
from yurt.domain.json_value import MAX_DEPTH, is_json_value
from yurt.domain.reasons import Refusal, Waiting, explain
from yurt.domain.records import Outcome, status_of
from yurt.domain.startup import MAX_BACKOFF_S, Startup


def test_a_failing_start_is_tried_after_one_second_then_two_then_gives_up() -> None:
    startup = Startup()
    waits = []
    for _ in range(3):
        startup = startup.failed(100.0)
        waits.append(startup.not_before - 100.0)
    assert waits == [1, 2, 4]
    assert startup.gives_up
    assert not startup.may_start(103.9)
    assert startup.may_start(104.0)


@given(st.integers(1, 5000))
def test_the_back_off_has_an_end(failures: int) -> None:
    startup = Startup(failures - 1).failed(0.0)
    assert 1 <= startup.not_before <= MAX_BACKOFF_S


def test_a_refusal_is_no_failure() -> None:
    assert Startup().refused(10.0) == Startup(0, 11.0)


def test_the_eighth_loss_is_the_last() -> None:
    history = History()
    for loss in range(1, MAX_LOSSES + 1):
        verdict = container_lost(history)
        history = verdict.history
        assert runs_alone(history)
        assert verdict.final == (Outcome.INTERNAL_ERROR if loss == MAX_LOSSES else None)
    assert (history.number, history.user_failures) == (MAX_LOSSES + 1, 0)


def waiting(**values: object) -> Waiting:
    base: dict[str, object] = {
        "address": "demo:work",
        "ahead": 0,
        "ahead_exact": True,
        "since": 5.0,
        "ready": 0,
        "starting": 0,
        "starting_since": None,
        "max_containers": 10,
    }
    return Waiting(**{**base, **values})  # type: ignore[arg-type]


def test_the_reason_is_what_stands_in_the_way_most() -> None:
    cases = {
        "recovering": waiting(recovering=True, max_containers=0),
        "delayed": waiting(start_at=9.0, max_containers=0),
        "retry_backoff": waiting(start_at=9.0, attempts=1, store_away="disk full"),
        "paused": waiting(max_containers=0, refusal=Refusal("no_capacity", "none", 5.0), store_away="disk full"),
        "store_unavailable": waiting(store_away="disk full", refusal=Refusal("no_capacity", "none", 5.0), starting=1),
        "no_capacity": waiting(refusal=Refusal("no_capacity", "none", 5.0), start_failures=1),
        "no_such_gpu": waiting(refusal=Refusal("no_such_gpu", "none", 5.0), ready=2, starting=1, held_up=1),
        "crash_backoff": waiting(start_failures=2, start_error="ImportError: x", starting=1, starting_since=1.0),
        "container_starting": waiting(
            starting=2, starting_since=7.0, ahead=2, ready=1, held_up=1, refusal=Refusal("no_capacity", "none", 5.0)
        ),
        "filling_batch": waiting(ready=10, starting=1, filling=(3, 32, 9.0)),
        "max_containers": waiting(ready=10, ahead=1),
        "queued": waiting(ready=3),
    }
    for code, case in cases.items():
        reason = explain(case)
        assert reason.code == code
        assert reason.message
    assert explain(cases["container_starting"]).since == 7.0
    assert "2 inputs of this function are ahead" in explain(cases["container_starting"]).message
    assert "1 input of this function is ahead" in explain(cases["max_containers"]).message


def test_statuses_follow_from_outcomes() -> None:
    assert status_of(Outcome.SUCCESS) == "success"
    assert status_of(Outcome.CANCELLED) == "terminated"
    assert {status_of(one) for one in Outcome} == {"success", "terminated", "failure"}


def test_a_container_says_only_what_it_may() -> None:
    said = {"type": "T", "message": "m" * (MAX_TEXT + 5), "outcome": "success", "exit_code": True, "limit_s": 2.5}
    kept = from_container(said)
    assert set(kept) == {"type", "message", "limit_s"}
    assert len(str(kept["message"])) == MAX_TEXT + 1


def test_an_error_tells_where_and_what_next() -> None:
    error = describe(
        Ending(Outcome.TIMEOUT, error={"type": "FunctionTimeout", "message": "too long"}),
        call_id="fc-1",
        input_id="in-1",
        index=3,
        attempt=2,
        container_id="co-1",
        address="demo:work",
    )
    assert error["outcome"] == "timeout"
    assert (error["input_id"], error["attempt"], error["container_id"]) == ("in-1", 2, "co-1")
    assert "fc-1" in str(error["hint"])


def test_a_cancelled_one_says_by_whom() -> None:
    assert cancelled("app_stopped").error["by"] == "app_stopped"
    assert "deleted" in str(cancelled("function_deleted").error["message"])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_json_is_json(value: object) -> None:
    assert is_json_value(json.dumps(value).encode())
    assert not is_json_value(json.dumps(value).encode() + b'},"status":"failure"')


@given(st.integers(1, 1500), st.sampled_from(["[]", "{}"]))
def test_depth_is_counted_and_brackets_in_strings_are_not(depth: int, kind: str) -> None:
    opening = "[" if kind == "[]" else '{"a":'
    text = opening * depth + ("1" if kind == "{}" else "") + kind[1] * depth
    assert is_json_value(text.encode()) == (depth <= MAX_DEPTH)
    assert is_json_value(json.dumps('[{"\\' * depth).encode())
