"""Timeouts and cancels: first by an exception, then by force."""

import asyncio
from pathlib import Path

import pytest

from tests.component.runner.conftest import HELD, Container
from tests.waiting import until
from yurt_runner import wire

SLEEP = "import time\ndef f(s=600):\n    print('at work'); time.sleep(s)\n    return s"
ASYNC_SLEEP = "import asyncio\nasync def f(s=600):\n    print('at work'); await asyncio.sleep(s)\n    return s"
STUBBORN = """
import time
def f(s=600):
    end = time.monotonic() + s
    while time.monotonic() < end:
        try:
            time.sleep(0.05)
        except BaseException:
            pass
    return s
"""


@pytest.mark.parametrize("source", [SLEEP, ASYNC_SLEEP])
async def test_a_timeout_is_raised_where_the_function_is(container: Container, source: str) -> None:
    server = await container.start(source, timeout_s=0.9)

    outcome, error = await server.call(1)

    assert outcome == "timeout"
    assert (error["limit_s"], error["phase"]) == (0.9, "run")
    assert "0.9 s" in error["message"]
    assert "sleep(s)" in error["traceback"]
    assert await server.call(2, 0) == ("success", 0)


async def test_a_function_that_swallows_the_timeout_has_timed_out_all_the_same(container: Container) -> None:
    server = await container.start(STUBBORN, timeout_s=0.9)

    outcome, _ = await server.call(1, 1.2)

    assert outcome == "timeout"
    assert await server.call(2, 0) == ("success", 0)


async def test_a_function_that_does_not_end_is_ended_by_force(container: Container) -> None:
    server = await container.start(STUBBORN, timeout_s=0.2, cancel_grace_s=0.3)
    await server.send(server.input_frame(1), server.input_frame(2))

    outcome, error = await server.result(1)

    assert outcome == "timeout"
    assert "0.3 s" in error["message"]
    assert (await server.frame(wire.BYE)).header()["reason"] == "timeout_forced"
    assert [frame.seq for frame in server.heard(wire.RETURN)] == [2]
    assert (await container.ended())[0] == 1


@pytest.mark.parametrize("source", [SLEEP, ASYNC_SLEEP])
async def test_a_cancel_is_raised_where_the_function_is(container: Container, source: str) -> None:
    server = await container.start(source)
    await server.input(1)
    await server.line(lambda line: line[2] == "at work")
    await server.cancel(1)

    outcome, error = await server.result(1)

    assert outcome == "cancelled"
    assert "sleep(s)" in error["traceback"]
    assert await server.call(2, 0) == ("success", 0)


async def test_a_cancel_that_is_swallowed_is_carried_out_by_force(container: Container) -> None:
    server = await container.start(STUBBORN)
    await server.send(server.input_frame(1), server.input_frame(2))
    await server.frame(wire.STARTED, 1)
    await server.cancel(1, grace_s=0.2)

    assert (await server.result(1))[0] == "cancelled"
    assert (await server.frame(wire.BYE)).header()["reason"] == "cancel_forced"
    assert [frame.seq for frame in server.heard(wire.RETURN)] == [2]
    await container.ended()


async def test_a_cancel_of_a_waiting_input_spares_its_neighbours(container: Container, tmp_path: Path) -> None:
    server, gate = await container.start(HELD), tmp_path / "gate"
    await server.send(server.input_frame(1, str(gate)), *(server.input_frame(seq) for seq in (2, 3, 4)))
    await server.frame(wire.STARTED, 1)
    await server.cancel(3)

    assert (await server.result(3))[0] == "cancelled"
    gate.touch()
    assert await server.result(1) == ("success", None)
    assert await server.result(2) == ("success", None)
    assert await server.result(4) == ("success", None)


async def test_a_cancel_of_what_is_not_here_does_nothing(container: Container) -> None:
    server = await container.start(SLEEP)
    await server.call(1, 0)
    await server.cancel(1)
    await server.cancel(99)

    assert await server.call(2, 0) == ("success", 0)
    assert len(server.heard(wire.OUTPUT, 1)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import time\ndef f(n):\n    time.sleep(0.0005)\n    return n",
        "import asyncio\nasync def f(n):\n    await asyncio.sleep(0.0005)\n    return n",
    ],
)
async def test_cancels_never_hit_a_neighbour(container: Container, source: str) -> None:
    server = await container.start(source)
    for seq in range(1, 201):
        await server.send(
            server.input_frame(seq, seq),
            server.input_frame(seq + 1000, seq),
            wire.pack(wire.CANCEL, seq, seq + 1000, meta=wire.meta(grace_s=5)),
        )
        await asyncio.sleep(seq % 3 * 0.0004)
    await until(lambda: len(server.heard(wire.OUTPUT)) == 400, "all outputs")

    outcomes = {frame.seq: wire.OUTCOMES[frame.flags] for frame in server.heard(wire.OUTPUT)}
    assert {outcomes[seq + 1000] for seq in range(1, 201)} == {"success"}
    assert {outcomes[seq] for seq in range(1, 201)} <= {"success", "cancelled"}
    assert "cancelled" in outcomes.values()


async def test_a_startup_over_its_limit_fails(container: Container) -> None:
    server = await container.begin("import time\ntime.sleep(600)", startup_timeout_s=0.3)

    head, error = await server.failure()

    assert (head["phase"], head["outcome"]) == ("startup", "timeout")
    assert (error["limit_s"], error["phase"]) == (0.3, "startup")
    await container.ended()


async def test_recall_gives_back_exactly_what_has_not_begun(container: Container, tmp_path: Path) -> None:
    server, gate = await container.start(HELD), tmp_path / "gate"
    await server.send(*(server.input_frame(seq, str(gate)) for seq in range(1, 101)))
    await server.frame(wire.STARTED, 1)
    await server.send(wire.pack(wire.RECALL))
    await until(lambda: len(server.heard(wire.RETURN)) == 99, "99 returned inputs")

    assert [frame.seq for frame in server.heard(wire.RETURN)] == list(range(2, 101))
    gate.touch()
    assert await server.result(1) == ("success", None)
    await server.send(server.input_frame(2, token=9))
    assert await server.result(2) == ("success", None)
    assert len(server.heard(wire.OUTPUT)) == 2


async def test_recall_of_fast_inputs_loses_and_doubles_nothing(container: Container) -> None:
    server = await container.start("def f(n): return n")
    for block in range(20):
        first, recall = block * 100 + 1, wire.pack(wire.RECALL)
        inputs = [server.input_frame(seq, seq) for seq in range(first, first + 100)]
        if block == 10:
            await server.send(*inputs, recall)  # before one of them can begin, however busy the machine is
            continue
        await server.send(*inputs)
        await asyncio.sleep(0.001)
        await server.send(recall)

    def answered() -> list[int]:
        return [frame.seq for frame in server.frames if frame.kind in {wire.OUTPUT, wire.RETURN}]

    await until(lambda: len(answered()) >= 2000, "an answer for every input")
    assert sorted(answered()) == list(range(1, 2001))
    assert server.heard(wire.RETURN)


async def test_drain_returns_what_waits_and_finishes_what_runs(container: Container, tmp_path: Path) -> None:
    server, gate = await container.start(HELD), tmp_path / "gate"
    await server.send(server.input_frame(1, str(gate)), server.input_frame(2))
    await server.frame(wire.STARTED, 1)
    await server.drain()
    await server.frame(wire.RETURN, 2)
    await server.input(3)
    await server.frame(wire.RETURN, 3)

    gate.touch()
    assert await server.result(1) == ("success", None)
    assert (await server.frame(wire.BYE)).header() == {"reason": "drained"}
    assert await container.ended() == (0, "")


async def test_drain_ends_by_force_when_its_grace_is_over(container: Container) -> None:
    server = await container.start(STUBBORN)
    await server.input(1)
    await server.frame(wire.STARTED, 1)
    await server.drain(grace_s=0.3)

    assert (await server.frame(wire.BYE)).header()["reason"] == "drain_timeout"
    assert server.heard(wire.OUTPUT) == []
    assert (await container.ended())[0] == 1


async def test_sigterm_drains_even_where_user_code_blocks_it(container: Container) -> None:
    source = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
def f(): return 1
"""
    server = await container.start(source)
    await server.call(1)
    assert container.process is not None
    container.process.terminate()

    assert (await server.frame(wire.BYE)).header() == {"reason": "drained"}
    assert (await container.ended())[0] == 0


async def test_drain_during_startup_ends_at_once(container: Container) -> None:
    server = await container.begin("import time\nprint('importing')\ntime.sleep(600)")
    await server.line(lambda line: "importing" in line[2])
    await server.drain()

    assert (await server.frame(wire.BYE)).header() == {"reason": "drained"}
    assert (await container.ended())[0] == 0
