"""Batched functions: lists in, a list out; an output for each member."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.component.runner.conftest import Container
from tests.component.runner.fake_server import FakeServer
from tests.waiting import until
from yurt_runner import wire

BATCHING = {"max_batch_size": 100}
DOUBLE = "def f(xs):\n    print(len(xs))\n    return [x * 2 for x in xs]"


def batch(*frames: bytes) -> bytes:
    """These inputs as one batch."""
    return b"".join([wire.with_more(frame) for frame in frames[:-1]] + [frames[-1]])


def of(*values: Any, first: int = 1) -> bytes:
    """A batch of inputs with one argument each."""
    return batch(*(FakeServer.input_frame(seq, value) for seq, value in enumerate(values, first)))


@pytest.mark.parametrize("source", [DOUBLE, "async " + DOUBLE])
@pytest.mark.parametrize("slots", [1, 4])
async def test_a_batch_is_one_call_and_each_member_gets_its_own(container: Container, source: str, slots: int) -> None:
    server = await container.start(source, batching=BATCHING, slots=slots)
    await server.send(of(1, 2, 3), of(10, first=10))

    assert [await server.result(seq) for seq in (1, 2, 3, 10)] == [("success", n) for n in (2, 4, 6, 20)]
    await until(lambda: len(server.lines()) == 2, "both lines")
    assert sorted(server.lines()) == [("stdout", 1, "3"), ("stdout", 10, "1")]


async def test_arguments_meet_by_name_however_they_came(container: Container) -> None:
    source = "def f(a, b=5, *, c='c'):\n    return [list(row) for row in zip(a, b, c)]"
    server = await container.start(source, batching=BATCHING)
    frame = server.input_frame
    await server.send(batch(frame(1, 1, 2, c="x"), frame(2, b=20, a=10), frame(3, 100)))

    results = [await server.result(seq) for seq in (1, 2, 3)]
    assert results == [("success", [1, 2, "x"]), ("success", [10, 20, "c"]), ("success", [100, 5, "c"])]


async def test_a_member_whose_arguments_do_not_fit_fails_alone(container: Container) -> None:
    server = await container.start(DOUBLE, batching=BATCHING)
    await server.send(batch(server.input_frame(1, 1), server.input_frame(2), server.input_frame(3, 3)))
    await server.send(batch(server.input_frame(4, 1, 2)))

    outcome, error = await server.result(2)
    assert (outcome, error["type"]) == ("user_error", "TypeError")
    assert error["message"] == "f(): missing a required argument: 'xs'. The function is f(xs)."
    assert (await server.result(4))[0] == "user_error"
    assert [await server.result(seq) for seq in (1, 3)] == [("success", 2), ("success", 6)]


async def test_an_exception_is_every_members(container: Container) -> None:
    source = "def f(xs):\n    raise ValueError(f'{len(xs)} are bad')"
    server = await container.start(source, batching=BATCHING)
    await server.send(of(1, 2))

    for seq in (1, 2):
        outcome, error = await server.result(seq)
        assert (outcome, error["type"], error["message"]) == ("user_error", "ValueError", "2 are bad")
        assert error["traceback"].count("File ") == 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("xs[:-1]", "main:f was given a batch of 3 inputs and returned a list of 2:"),
        ("xs * 2", "main:f was given a batch of 3 inputs and returned a list of 6:"),
        ("None", "main:f was given a batch of 3 inputs and returned a value of type NoneType:"),
        ("tuple(xs)", "main:f was given a batch of 3 inputs and returned a value of type tuple of length 3:"),
        ("dict(enumerate(xs))", "returned a value of type dict of length 3:"),
    ],
)
async def test_a_result_of_another_shape_names_both_lengths(container: Container, value: str, words: str) -> None:
    server = await container.start(f"def f(xs):\n    return {value}", batching=BATCHING)
    await server.send(of(1, 2, 3))

    for seq in (1, 2, 3):
        outcome, error = await server.result(seq)
        assert (outcome, error["type"]) == ("user_error", "BatchResultError")
        assert words in error["message"]


async def test_a_value_without_a_json_form_fails_its_member_alone(container: Container) -> None:
    server = await container.start("def f(xs):\n    return [x if x else object() for x in xs]", batching=BATCHING)
    await server.send(of(1, 0, 3))

    assert await server.result(1) == ("success", 1)
    outcome, error = await server.result(2)
    assert (outcome, error["type"]) == ("user_error", "SerializationError")
    assert await server.result(3) == ("success", 3)


@pytest.mark.parametrize(
    ("source", "words"),
    [("def f():\n    return []", "takes no argument"), ("def f(xs, *more):\n    return xs", "takes *more")],
)
async def test_functions_whose_arguments_make_no_lists_do_not_start(
    container: Container, source: str, words: str
) -> None:
    server = await container.begin(source, batching=BATCHING)

    head, error = await server.failure()

    assert (head["outcome"], error["type"]) == ("init_failure", "EntrypointError")
    assert words in error["message"]


SLOW = "import time\ndef f(xs):\n    end = time.monotonic() + 600\n    while time.monotonic() < end: time.sleep(0.01)"


async def test_a_timeout_is_the_whole_batchs(container: Container) -> None:
    server = await container.start(SLOW, batching=BATCHING, timeout_s=0.5)
    await server.send(of(1, 2))

    assert {(await server.result(seq))[0] for seq in (1, 2)} == {"timeout"}
    assert {frame.seq for frame in server.heard(wire.STARTED)} == {1, 2}


HELD = "import os, time\ndef f(gates):\n    while not os.path.exists(gates[0]): time.sleep(0.001)\n    return gates"


async def test_a_cancelled_member_does_not_stop_the_others(container: Container, tmp_path: Path) -> None:
    server, gate = await container.start(HELD, batching=BATCHING), str(tmp_path / "gate")
    await server.send(of(gate, gate))
    await server.frame(wire.STARTED, 2)
    await server.cancel(1)
    Path(gate).touch()

    assert await server.result(2) == ("success", gate)
    assert len(server.heard(wire.OUTPUT, 1)) == 1, "the slot of the cancelled one is free when its batch has ended"


async def test_a_batch_of_which_all_are_cancelled_is_interrupted(container: Container) -> None:
    server = await container.start(SLOW, batching=BATCHING)
    await server.send(of(1, 2))
    await server.frame(wire.STARTED, 2)
    await server.cancel(1)
    await server.cancel(2)

    assert {(await server.result(seq))[0] for seq in (1, 2)} == {"cancelled"}


async def test_a_member_that_waits_can_leave_its_batch(container: Container, tmp_path: Path) -> None:
    server, gate = await container.start(HELD, batching=BATCHING), str(tmp_path / "gate")
    await server.send(of(gate), of(gate, gate, gate, first=11))
    await server.frame(wire.STARTED, 1)
    await server.cancel(11)
    await server.cancel(13)

    assert (await server.result(11))[0] == (await server.result(13))[0] == "cancelled"
    Path(gate).touch()
    assert await server.result(1) == await server.result(12) == ("success", gate)


async def test_a_batch_that_has_not_begun_is_recalled_as_a_whole(container: Container, tmp_path: Path) -> None:
    server, gate = await container.start(HELD, batching=BATCHING), str(tmp_path / "gate")
    await server.send(of(gate), of(gate, gate, first=11))
    await server.frame(wire.STARTED, 1)
    await server.send(wire.pack(wire.RECALL))
    await until(lambda: len(server.heard(wire.RETURN)) == 2, "both are returned")

    assert {frame.seq for frame in server.heard(wire.RETURN)} == {11, 12}
    Path(gate).touch()
    assert await server.result(1) == ("success", gate)


async def test_half_a_batch_of_a_broken_session_runs_as_it_is(container: Container) -> None:
    server = await container.start(DOUBLE, batching=BATCHING)
    half = [wire.with_more(server.input_frame(seq, seq)) for seq in (1, 2)]
    await server.send(server.input_frame(50, 50), *half)
    await server.result(50)  # so the half came too: it was one message
    server.drop()
    await until(lambda: len(server.hellos) == 2, "the next hello")

    held = {seq for seq, *_ in server.hellos[1]["holds"]}
    assert held == {1, 2}
    await server.input(3, 3)
    assert [await server.result(seq) for seq in (1, 2, 3)] == [("success", 2), ("success", 4), ("success", 6)]


async def test_a_crash_is_blamed_on_a_batch_of_one_alone(container: Container) -> None:
    server = await container.start("import os\ndef f(xs):\n    os._exit(3)", batching=BATCHING)
    await server.send(of(1, 2))

    assert (await server.frame(wire.BYE)).header()["exit_code"] == 3
    assert not server.heard(wire.OUTPUT)
    assert not server.heard(wire.RETURN)


async def test_a_function_sees_its_batch(container: Container) -> None:
    source = (
        "import yurt_runner\ndef f(xs):\n"
        "    return [[yurt_runner.current().input_id, one.input_id] for one in yurt_runner.current_batch()]"
    )
    server = await container.start(source, batching=BATCHING)
    await server.send(of(1, 2))

    assert [await server.result(seq) for seq in (1, 2)] == [
        ("success", ["in-1", "in-1"]),
        ("success", ["in-1", "in-2"]),
    ]


async def test_a_function_that_is_not_batched_has_a_batch_of_one(container: Container) -> None:
    source = "import yurt_runner\ndef f():\n    return [one.input_id for one in yurt_runner.current_batch()]"
    server = await container.start(source)

    assert await server.call(7) == ("success", ["in-7"])


async def test_every_member_bears_the_time_of_the_batch(container: Container) -> None:
    server = await container.start(DOUBLE, batching=BATCHING)
    await server.send(of(1, 2))
    await server.result(2)

    times = {json.loads(frame.meta)["run_s"] for frame in server.heard(wire.OUTPUT)}
    assert len(times) == 1
