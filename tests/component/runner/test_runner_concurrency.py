"""Several inputs at once: threads for plain functions, tasks for coroutines; each has its time, cancel and log."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.component.runner.conftest import Container
from tests.waiting import until
from yurt_runner import wire

TOGETHER = """
import asyncio, threading, time
import yurt_runner

arrived = threading.Semaphore(0)

def f(n):
    arrived.release()
    end = time.monotonic() + 20
    while arrived._value < n and time.monotonic() < end:
        time.sleep(0.001)
    return arrived._value
"""
ASYNC_TOGETHER = """
import asyncio

arrived = []

async def f(n):
    arrived.append(1)
    async with asyncio.timeout(20) if hasattr(asyncio, 'timeout') else asyncio.Lock():
        while len(arrived) < n:
            await asyncio.sleep(0.001)
    return len(arrived)
"""
SLEEP = """
import os, time
def f(s=600, name=''):
    print('at work', name)
    end = time.monotonic() + s
    while time.monotonic() < end:
        time.sleep(0.01)
    return s
"""
ASYNC_SLEEP = """
import asyncio
async def f(s=600, name=''):
    print('at work', name); await asyncio.sleep(s)
    return s
"""
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
BOTH = pytest.mark.parametrize("source", [SLEEP, ASYNC_SLEEP])


@pytest.mark.parametrize("source", [TOGETHER, ASYNC_TOGETHER])
@pytest.mark.parametrize("slots", [2, 100])
async def test_so_many_run_at_once(container: Container, source: str, slots: int) -> None:
    server = await container.start(source, slots=slots)

    await server.send(*[server.input_frame(seq, slots) for seq in range(1, slots + 1)])

    assert (await server.frame(wire.READY)).header()["slots"] == slots
    assert [await server.result(seq) for seq in range(1, slots + 1)] == [("success", slots)] * slots


@BOTH
async def test_no_more_run_at_once_than_there_are_slots(container: Container, source: str) -> None:
    server = await container.start(source, slots=2)
    await server.send(*[server.input_frame(seq) for seq in (1, 2, 3)])
    await until(lambda: len(server.heard(wire.STARTED)) == 2, "two that started")
    await server.send(wire.pack(wire.RECALL))

    assert (await server.frame(wire.RETURN)).seq == 3
    assert {frame.seq for frame in server.heard(wire.STARTED)} == {1, 2}


@BOTH
async def test_each_has_a_timeout_of_its_own(container: Container, source: str) -> None:
    server = await container.start(source, slots=3, timeout_s=1.0)
    await server.input(1)
    await server.frame(wire.STARTED, 1)
    await server.input(2, 0.5)

    outcome, error = await server.result(1)

    assert outcome == "timeout"
    assert "sleep(" in error["traceback"]
    assert await server.result(2) == ("success", 0.5)
    assert await server.call(3, 0) == ("success", 0)


@BOTH
async def test_a_cancel_spares_the_neighbours(container: Container, source: str) -> None:
    server = await container.start(source, slots=3)
    await server.send(*[server.input_frame(seq, 600 if seq != 3 else 1) for seq in (1, 2, 3)])
    await until(lambda: len(server.heard(wire.STARTED)) == 3, "all three started")
    await server.cancel(2)

    outcome, error = await server.result(2)

    assert outcome == "cancelled"
    assert "sleep(" in error["traceback"]
    assert await server.result(3) == ("success", 1)
    assert not server.heard(wire.OUTPUT, 1)
    await server.cancel(1)
    assert (await server.result(1))[0] == "cancelled"


@BOTH
async def test_many_cancels_at_once_all_arrive(container: Container, source: str) -> None:
    server = await container.start(source, slots=20)
    await server.send(*[server.input_frame(seq) for seq in range(1, 21)])
    await until(lambda: len(server.heard(wire.STARTED)) == 20, "all started")
    for seq in range(1, 21):
        await server.cancel(seq)

    assert {(await server.result(seq))[0] for seq in range(1, 21)} == {"cancelled"}
    assert await server.call(99, 0) == ("success", 0)


@BOTH
async def test_cancels_at_any_moment_hit_nobody_else(container: Container, source: str) -> None:
    server = await container.start(source, slots=4)
    for seq in range(1, 200, 4):
        await server.send(*[server.input_frame(seq + more, 0.002 * more) for more in range(4)])
        await asyncio.sleep(0.0007 * (seq % 7))
        await server.cancel(seq + 2)

    for seq in range(1, 201):
        outcome, value = await server.result(seq)
        if (seq - 1) % 4 != 2:
            assert (outcome, value) == ("success", 0.002 * ((seq - 1) % 4))
    assert not server.heard(wire.BYE)


async def test_a_cancel_by_force_queues_the_neighbours_again(container: Container) -> None:
    server = await container.start(STUBBORN, slots=3)
    await server.send(*[server.input_frame(seq) for seq in (1, 2, 3)])
    await until(lambda: len(server.heard(wire.STARTED)) == 3, "all three started")
    await server.cancel(2, grace_s=0.2)

    assert (await server.result(2))[0] == "cancelled"
    assert (await server.frame(wire.BYE)).header()["reason"] == "cancel_forced"
    assert {frame.seq for frame in server.heard(wire.RETURN)} == {1, 3}
    assert len(server.heard(wire.OUTPUT)) == 1


async def test_what_blocks_in_a_call_is_ended_by_force(container: Container) -> None:
    server = await container.start(
        "import time\ndef f(s=600):\n    time.sleep(s)", slots=2, timeout_s=0.3, cancel_grace_s=0.3
    )
    await server.input(1)

    outcome, error = await server.result(1)

    assert outcome == "timeout"
    assert "did not end within 0.3 s" in error["message"]
    assert (await server.frame(wire.BYE)).header()["reason"] == "timeout_forced"


@BOTH
async def test_a_drain_finishes_what_runs_and_gives_back_the_rest(container: Container, source: str) -> None:
    server = await container.start(source, slots=2)
    await server.send(*[server.input_frame(seq, 0.5) for seq in (1, 2, 3)])
    await until(lambda: len(server.heard(wire.STARTED)) == 2, "two that started")
    await server.drain()

    assert (await server.frame(wire.RETURN)).seq == 3
    assert [await server.result(seq) for seq in (1, 2)] == [("success", 0.5)] * 2
    assert (await server.frame(wire.BYE)).header() == {"reason": "drained"}
    assert await container.ended() == (0, "")


@BOTH
async def test_the_end_of_a_drain_loses_what_still_runs(container: Container, source: str) -> None:
    server = await container.start(source, slots=2)
    await server.send(*[server.input_frame(seq) for seq in (1, 2)])
    await until(lambda: len(server.heard(wire.STARTED)) == 2, "both started")
    await server.drain(grace_s=0.2)

    assert (await server.frame(wire.BYE)).header()["reason"] == "drain_timeout"
    assert not server.heard(wire.OUTPUT)
    assert not server.heard(wire.RETURN)


async def test_memory_that_runs_out_in_one_thread_is_its_own_fault(container: Container) -> None:
    source = SLEEP + "\ndef g(mib, s):\n    return len(bytearray(mib << 20)) if mib else f(s)"
    server = await container.start(source, "main:g", slots=3, memory_mib=128)
    await server.send(server.input_frame(1, 0, 0.5), server.input_frame(2, 400, 0))

    assert (await server.result(2))[0] == "out_of_memory"
    assert await server.result(1) == ("success", 0.5)


DIES = "import os, time\ndef f(how=None):\n    time.sleep(0.2 if how else 600)\n    os._exit(how)"


async def test_nobody_is_blamed_for_a_crash_among_neighbours(container: Container) -> None:
    server = await container.start(DIES, slots=3)
    await server.send(server.input_frame(1), server.input_frame(2, 3))

    bye = (await server.frame(wire.BYE)).header()

    assert (bye["reason"], bye["exit_code"]) == ("worker_exited", 3)
    assert not server.heard(wire.OUTPUT)
    assert not server.heard(wire.RETURN), "a return would say that it had not begun"


async def test_an_input_that_ran_alone_is_blamed_for_a_crash(container: Container) -> None:
    server = await container.start(DIES, slots=3)
    await server.input(1, 3)

    outcome, error = await server.result(1)

    assert (outcome, error["exit_code"]) == ("crashed", 3)


TALKS = """
import threading, time, sys
import yurt_runner
def f(name, lines, s):
    for n in range(lines):
        print(name, end=' ')
        time.sleep(s)
        print(n)
        sys.stderr.write(f'{name} err {n}\\n')
    print('rest of', name, end='')
    return [yurt_runner.current().input_id, name]
"""
ASYNC_TALKS = """
import asyncio, sys
import yurt_runner
async def part(name, n):
    await asyncio.sleep(0)
    print(name, end=' ')
    await asyncio.sleep(0.001)
    print(n)
async def f(name, lines, s):
    for n in range(lines):
        await asyncio.create_task(part(name, n))
        sys.stderr.write(f'{name} err {n}\\n')
        await asyncio.sleep(s)
    print('rest of', name, end='')
    return [yurt_runner.current().input_id, name]
"""


@pytest.mark.parametrize("source", [TALKS, ASYNC_TALKS])
async def test_lines_and_contexts_are_each_inputs_own(container: Container, source: str) -> None:
    server = await container.start(source, slots=8)
    await server.send(*[server.input_frame(seq, f"n{seq}", 20, 0.001) for seq in range(1, 9)])

    for seq in range(1, 9):
        assert await server.result(seq) == ("success", [f"in-{seq}", f"n{seq}"])
    await until(lambda: len(server.lines()) == 8 * 41, "all lines")
    for seq in range(1, 9):
        name = f"n{seq}"
        mine = [(stream, text) for stream, owner, text in server.lines() if owner == seq]
        assert [text for stream, text in mine if stream == "stdout"] == [
            *(f"{name} {n}" for n in range(20)),
            f"rest of {name}",
        ]
        assert [text for stream, text in mine if stream == "stderr"] == [f"{name} err {n}" for n in range(20)]


async def test_lines_above_what_a_pipe_takes_at_once_stay_whole(container: Container) -> None:
    source = "def f(letter):\n    for _ in range(12):\n        print(letter * 15000)"
    server = await container.start(source, slots=4)
    await server.send(*[server.input_frame(seq, "abcd"[seq - 1]) for seq in range(1, 5)])
    await until(lambda: len(server.lines()) == 48, "all lines")

    assert {(seq, text) for _, seq, text in server.lines()} == {(n, "abcd"[n - 1] * 15000) for n in range(1, 5)}


async def test_children_and_closed_streams_are_survived(container: Container) -> None:
    source = """
import os, subprocess, sys
def f(what):
    if what == 'close':
        sys.stdout.close(); return 1
    if what == 'child':
        return subprocess.run(['echo', 'of a child'], check=True).returncode
    if what == 'fork':
        pid = os.fork()
        if not pid:
            print('of a fork'); os._exit(3)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print('still here'); sys.stdout.buffer.write(b'as bytes\\n')
"""
    server = await container.start(source, slots=4)

    assert await server.call(1, "close") == ("success", 1)
    assert await server.call(2, "child") == ("success", 0)
    assert await server.call(3, "fork") == ("success", 3)
    assert await server.call(4, "print") == ("success", None)
    await until(lambda: len(server.lines()) == 4, "all lines")
    assert sorted(server.lines()) == [
        ("stdout", 2, "of a child"),
        ("stdout", 3, "of a fork"),
        ("stdout", 4, "as bytes"),
        ("stdout", 4, "still here"),
    ]


async def test_a_reconnect_tells_what_runs_and_since_when(container: Container, tmp_path: Path) -> None:
    source = (
        "import os, time\ndef f(gate):\n    while not os.path.exists(gate):\n        time.sleep(0.001)\n    return gate"
    )
    server = await container.start(source, slots=2)
    gates = [str(tmp_path / f"gate{n}") for n in (1, 2, 3)]
    await server.send(*[server.input_frame(seq, gates[seq - 1]) for seq in (1, 2, 3)])
    await until(lambda: len(server.heard(wire.STARTED)) == 2, "two that started")
    server.drop()
    await until(lambda: len(server.hellos) == 2, "the next hello")

    holds = {seq: (for_s is not None, done) for seq, _, _, for_s, done in server.hellos[1]["holds"]}
    assert holds == {1: (True, False), 2: (True, False), 3: (False, False)}
    for gate in gates:
        Path(gate).touch()
    assert [await server.result(seq) for seq in (1, 2, 3)] == [("success", gate) for gate in gates]


async def test_threads_need_no_memory_of_the_function(container: Container) -> None:
    """Stacks are counted by the kernel, though hardly any of them is used."""
    server = await container.start(TOGETHER, slots=200, memory_mib=128)
    await server.send(*[server.input_frame(seq, 200) for seq in range(1, 201)])

    assert await server.result(200) == ("success", 200)


async def test_beats_tell_all_that_run(container: Container) -> None:
    server = await container.start(SLEEP, slots=3, beat_s=0.05)
    await server.send(*[server.input_frame(seq) for seq in (1, 2)])
    await until(lambda: any(len(f.header()["busy"]) == 2 for f in server.heard(wire.BEAT)), "a beat")

    frame = next(f for f in server.heard(wire.BEAT) if len(json.loads(f.meta)["busy"]) == 2)
    assert {seq for seq, _ in frame.header()["busy"]} == {1, 2}
