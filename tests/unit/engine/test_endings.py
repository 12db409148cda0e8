"""Which processes belong to a container, and how its end is told."""

from typing import Any

import pytest

from yurt.outbound.engines.local.endings import members, reason
from yurt.outbound.engines.local.processes import Process, Status

RUNNER = 100


def process(pid: int, **changes: Any) -> Process:
    fields: dict[str, Any] = {
        "parent": 1,
        "started": 1000 + pid,
        "session": pid,
        "alive": True,
        "installation": "",
        "container_id": "",
    }
    return Process(pid=pid, **fields | changes)


def marked(pid: int, **changes: Any) -> Process:
    return process(pid, **{"installation": "here", "container_id": "co-1"} | changes)


def pids(*found: Process) -> list[int]:
    return [one.pid for one in members(found, "here", {"co-1"}, {RUNNER: 1000 + RUNNER})]


def test_a_mark_is_enough_wherever_the_process_is() -> None:
    assert pids(process(7), marked(RUNNER), marked(101)) == [RUNNER, 101]


def test_the_runners_session_is_enough() -> None:
    assert pids(process(101, session=RUNNER)) == [101]


def test_children_and_sessions_of_members_belong_too() -> None:
    worker = marked(101)
    child = process(102, parent=101, session=101)
    orphan = process(103, session=101)
    daemon = process(104, parent=102)
    assert pids(daemon, orphan, child, worker, process(105)) == [104, 103, 102, 101]


@pytest.mark.parametrize("stranger", [{"container_id": "co-2"}, {"installation": "elsewhere"}])
def test_other_containers_and_installations_are_left_alone(stranger: dict[str, str]) -> None:
    assert pids(marked(101, **stranger)) == []


def test_a_session_whose_leaders_pid_was_used_again_is_left_alone() -> None:
    again = process(RUNNER, started=5000)
    assert pids(again, process(101, session=RUNNER, started=5001)) == []


def test_a_session_older_than_the_runner_is_left_alone() -> None:
    assert pids(process(50, session=RUNNER, started=900)) == []


@pytest.mark.parametrize(
    ("status", "output", "said"),
    [
        (Status(exit_code=3), "", "The runner exited with code 3."),
        (Status(exit_code=1), "no such file", "The runner exited with code 1. Its last output: no such file"),
        (Status(signal=11), "", "The runner was killed by SIGSEGV."),
        (Status(signal=35), "", "The runner was killed by signal 35."),
        (Status(), "", "The runner ended; how is not known, for an earlier server had started it."),
    ],
)
def test_reasons(status: Status, output: str, said: str) -> None:
    assert reason(status, output) == said
