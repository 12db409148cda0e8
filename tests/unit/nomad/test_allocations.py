"""What the end of an allocation means."""

from typing import Any

import pytest

from yurt.outbound.engines.nomad.allocations import Allocation, end_of, read


def event(kind: str, **details: str) -> dict[str, Any]:
    return {"Type": kind, "Details": details, "DisplayMessage": details.get("driver_error", "")}


def ended(status: str = "failed", wanted: str = "run", *events: dict[str, Any]) -> Allocation:
    found = {
        "ID": "al-1",
        "JobID": "yurt-x-main/dispatch-1-a",
        "NodeID": "n-1",
        "NodeName": "rack-7",
        "ClientStatus": status,
        "DesiredStatus": wanted,
        "TaskStates": {"runner": {"Events": list(events)}},
        "ModifyIndex": 7,
    }
    return read(found)


@pytest.mark.parametrize(
    ("details", "exit_code", "signal", "word"),
    [
        ({"exit_code": "0", "signal": "0"}, 0, None, "code 0"),
        ({"exit_code": "3", "signal": "0"}, 3, None, "code 3"),
        ({"exit_code": "139", "signal": "11"}, None, 11, "SIGSEGV"),
        ({"exit_code": "137", "signal": "0"}, None, 9, "SIGKILL"),
        ({"exit_code": "255", "signal": "0"}, 255, None, "code 255"),
    ],
)
def test_how_a_runner_ended(details: dict[str, str], exit_code: int | None, signal: int | None, word: str) -> None:
    end = end_of("co-1", ended("failed", "run", event("Terminated", **details)), "last words")
    assert (end.exit_code, end.signal, end.oom, end.refused) == (exit_code, signal, False, None)
    assert word in end.reason
    assert "last words" in end.reason


def test_an_end_for_want_of_memory_is_told_where_nomad_can_prove_it() -> None:
    end = end_of("co-1", ended("failed", "run", event("Terminated", exit_code="137", signal="9", oom_killed="true")))
    assert end.oom
    assert "memory" in end.reason


@pytest.mark.parametrize(
    ("events", "code", "words"),
    [
        ([event("Driver Failure", driver_error="Failed to pull `x:1`: manifest unknown")], "image_unavailable", "x:1"),
        ([event("Driver Failure", driver_error="fork/exec python3: no such file")], "start_refused", "python3"),
        ([event("Failed Artifact Download", download_error="bad response code: 404")], "start_refused", "public_url"),
        ([event("Setup Failure", setup_error="no space left")], "start_refused", "no space left"),
    ],
)
def test_what_never_ran_is_nobodys_fault(events: list[dict[str, Any]], code: str, words: str) -> None:
    end = end_of("co-1", ended("failed", "run", *events))
    assert end.refused is not None
    assert end.refused.code == code
    assert words in end.refused.message
    assert "rack-7" in end.refused.message


def test_a_stop_before_it_ran_is_no_refusal() -> None:
    assert end_of("co-1", ended("complete", "stop")).refused is None


@pytest.mark.parametrize(
    ("end", "taken_away"),
    [
        (ended("complete", "stop"), True),
        (ended("complete", "stop", event("Terminated", exit_code="143", signal="15")), True),
        (ended("failed", "evict", event("Terminated", exit_code="0")), True),
        (ended("lost", "stop"), True),
        (ended("failed", "run", event("Terminated", exit_code="1")), False),
        (ended("failed", "run", event("Driver Failure", driver_error="no such file")), False),
        (ended("complete", "run", event("Terminated", exit_code="0")), False),
    ],
)
def test_whether_it_was_taken_away(end: Allocation, *, taken_away: bool) -> None:
    assert end_of("co-1", end).taken_away is taken_away


def test_a_lost_node_is_named() -> None:
    end = end_of("co-1", ended("lost", "stop", event("Terminated", exit_code="0")))
    assert "rack-7" in end.reason
    assert end.exit_code is None


@pytest.mark.parametrize(
    ("status", "over"), [("pending", False), ("running", False), ("unknown", False), ("lost", True)]
)
def test_what_is_over(status: str, *, over: bool) -> None:
    assert ended(status).over is over


def test_only_a_bad_end_of_its_own_is_a_crash() -> None:
    bad, good = event("Terminated", exit_code="1"), event("Terminated", exit_code="0")
    assert ended("failed", "run", bad).crashed
    assert not ended("complete", "run", good).crashed
    assert not ended("complete", "stop", bad).crashed
    assert not ended("running", "run", bad).crashed
