"""Generators in a real runner: items as they come, credit, interrupts, broken connections."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.component.runner.conftest import Container
from tests.component.runner.test_runner_classes import call, frame, start
from tests.waiting import until
from yurt_runner import wire

COUNT = """
import asyncio
def f(n, size=0):
    for k in range(n):
        yield k if not size else str(k) * size
async def g(n, size=0):
    for k in range(n):
        yield k if not size else str(k) * size
"""
GATED = """
import asyncio, os, time
def f(gate, done=None):
    try:
        yield "first"
        while not os.path.exists(gate):
            time.sleep(0.001)
        yield "second"
    finally:
        if done:
            open(done, "w").close()
async def g(gate, done=None):
    try:
        yield "first"
        while not os.path.exists(gate):
            await asyncio.sleep(0.001)
        yield "second"
    finally:
        if done:
            await asyncio.sleep(0.01)
            open(done, "w").close()
"""
both = pytest.mark.parametrize("entrypoint", ["main:f", "main:g"])
ways = pytest.mark.parametrize(("entrypoint", "slots"), [("main:f", 1), ("main:f", 4), ("main:g", 1), ("main:g", 4)])


@ways
async def test_items_come_in_order_and_the_end_counts_them(container: Container, entrypoint: str, slots: int) -> None:
    server = await container.start(COUNT, entrypoint, slots=slots)
    assert (await server.frame(wire.READY)).header()["generator"] is True
    assert await server.call(1, 20_000) == ("success", None)
    assert server.items[1] == list(range(20_000))
    assert (await server.frame(wire.OUTPUT, 1)).header()["items"] == 20_000
    assert await server.call(2, 0) == ("success", None)
    assert (await server.frame(wire.OUTPUT, 2)).header()["items"] == 0


@ways
async def test_an_item_comes_before_the_next_one_is_made(
    container: Container, tmp_path: Path, entrypoint: str, slots: int
) -> None:
    server, gate = await container.start(GATED, entrypoint, slots=slots), tmp_path / "gate"
    await server.input(1, str(gate))
    await server.frame(wire.ITEM, 1)
    assert server.items[1] == ["first"]
    gate.touch()
    assert await server.result(1) == ("success", None)
    assert server.items[1] == ["first", "second"]


@ways
async def test_a_generator_stops_at_its_credit_and_goes_on_with_more(
    container: Container, entrypoint: str, slots: int
) -> None:
    server = await container.start(COUNT, entrypoint, slots=slots)
    server.most = wire.ITEM_WINDOW
    await server.input(1, 3 * wire.ITEM_WINDOW)
    await until(lambda: len(server.items.get(1, ())) == server.most, "all that the first credit allows")
    server.most = 2 * wire.ITEM_WINDOW
    await server.credit(1)
    await until(lambda: len(server.items[1]) == server.most, "all that the second one allows")
    assert not server.heard(wire.OUTPUT)
    server.most = sys.maxsize
    await server.credit(1)
    assert await server.result(1) == ("success", None)
    assert server.items[1] == list(range(3 * wire.ITEM_WINDOW))


@ways
async def test_large_items_are_counted_by_their_bytes(container: Container, entrypoint: str, slots: int) -> None:
    server = await container.start(COUNT, entrypoint, slots=slots)
    server.auto_credit = False
    await server.input(1, 10, 300_000)
    await server.frame(wire.ITEM, 1)
    await until(lambda: len(server.items[1]) == 4, "the items that the window holds")
    server.auto_credit = True
    await server.credit(1)
    assert await server.result(1) == ("success", None)
    assert [len(item) for item in server.items[1]] == [300_000] * 10


@ways
async def test_a_cancel_closes_the_generator(container: Container, tmp_path: Path, entrypoint: str, slots: int) -> None:
    server, done = await container.start(GATED, entrypoint, slots=slots), tmp_path / "done"
    await server.input(1, str(tmp_path / "never"), str(done))
    await server.frame(wire.ITEM, 1)
    await server.cancel(1)
    outcome, _ = await server.result(1)
    assert outcome == "cancelled"
    assert done.exists()
    assert (await server.frame(wire.OUTPUT, 1)).header()["items"] == 1
    (tmp_path / "never").touch()
    assert await server.call(2, str(tmp_path / "never")) == ("success", None)


@ways
async def test_a_cancel_reaches_a_generator_that_waits_for_credit(
    container: Container, tmp_path: Path, entrypoint: str, slots: int
) -> None:
    endless = """
import itertools
def f(done):
    try:
        for k in itertools.count():
            yield k
    except GeneratorExit:
        open(done, "w").close()
        raise
async def g(done):
    try:
        for k in itertools.count():
            yield k
    except GeneratorExit:
        open(done, "w").close()
        raise
"""
    server, done = await container.start(endless, entrypoint, slots=slots), tmp_path / "done"
    server.most = wire.ITEM_WINDOW
    await server.input(1, str(done))
    await until(lambda: len(server.items.get(1, ())) == wire.ITEM_WINDOW, "that it waits")
    await server.cancel(1)
    assert (await server.result(1))[0] == "cancelled"
    assert done.exists()


@both
async def test_the_timeout_covers_the_whole_generation(container: Container, entrypoint: str) -> None:
    steady = """
import asyncio, time
def f():
    while True:
        time.sleep(0.002)
        yield 1
async def g():
    while True:
        await asyncio.sleep(0.002)
        yield 1
"""
    server = await container.start(steady, entrypoint, timeout_s=0.9)
    outcome, error = await server.call(1)
    assert (outcome, error["limit_s"]) == ("timeout", 0.9)
    assert len(server.items[1]) > 10


@both
async def test_an_error_comes_behind_the_items(container: Container, entrypoint: str) -> None:
    source = """
def f():
    yield 1
    yield 2
    raise ValueError("no third")
async def g():
    yield 1
    yield 2
    raise ValueError("no third")
"""
    server = await container.start(source, entrypoint)
    outcome, error = await server.call(1)
    assert (outcome, error["type"], error["message"]) == ("user_error", "ValueError", "no third")
    assert 'raise ValueError("no third")' in error["traceback"]
    assert server.items[1] == [1, 2]
    assert (await server.frame(wire.OUTPUT, 1)).header()["items"] == 2


@both
async def test_what_is_no_json_is_named_by_its_number(container: Container, entrypoint: str) -> None:
    source = """
def f():
    yield 1
    yield {"a": [object()]}
async def g():
    yield 1
    yield {"a": [object()]}
"""
    server = await container.start(source, entrypoint)
    outcome, error = await server.call(1)
    assert (outcome, error["type"]) == ("user_error", "SerializationError")
    assert "item 1 cannot be encoded as JSON: at $.a[0]" in error["message"]
    assert server.items[1] == [1]


@both
async def test_wrong_arguments_are_told_with_the_signature(container: Container, entrypoint: str) -> None:
    server = await container.start(COUNT, entrypoint)
    outcome, error = await server.call(1, m=3)
    assert (outcome, error["type"]) == ("user_error", "TypeError")
    assert "(n, size=0)" in error["message"]


@both
async def test_after_a_broken_connection_what_is_not_stored_comes_again(
    container: Container, tmp_path: Path, entrypoint: str
) -> None:
    server, gate = await container.start(GATED, entrypoint), tmp_path / "gate"
    server.auto_credit = False
    await server.input(1, str(gate))
    await server.frame(wire.ITEM, 1)
    server.drop()
    gate.touch()
    await until(lambda: server.connections == 2, "a second connection")
    await until(lambda: len(server.heard(wire.ITEM, 1)) >= 2, "the item again")
    first, again = server.heard(wire.ITEM, 1)[:2]
    assert first.payload == again.payload
    assert await server.result(1) == ("success", None)
    assert server.items[1] == ["first", "second"]


async def test_items_of_a_worker_that_crashes_are_not_lost(container: Container) -> None:
    server = await container.start(
        "import os\ndef f():\n    for k in range(100):\n        yield k\n    os.kill(os.getpid(), 11)"
    )
    outcome, _ = await server.call(1)
    assert outcome == "crashed"
    assert server.items[1] == list(range(100))


async def test_a_child_that_goes_on_with_the_generator_yields_nothing(container: Container) -> None:
    server = await container.start("import os\ndef f():\n    yield 1\n    os.fork()\n    yield 2\n    yield 3")
    assert await server.call(1) == ("success", None)
    assert server.items[1] == [1, 2, 3]
    assert await server.call(2) == ("success", None)


async def test_several_generators_run_at_once(container: Container) -> None:
    server = await container.start(COUNT, slots=4)
    for seq in range(1, 9):
        await server.input(seq, 9000)
    for seq in range(1, 9):
        assert await server.result(seq) == ("success", None)
        assert server.items[seq] == list(range(9000))


async def test_a_batched_generator_is_refused_at_the_start(container: Container) -> None:
    server = await container.begin(COUNT, batching={"max_batch_size": 4, "wait_ms": 0})
    head, error = await server.failure()
    assert head["outcome"] == "init_failure"
    assert "is a generator" in error["message"]


METHODS = """
import asyncio
class C:
    def load(self):
        self.calls = 0
    def each(self, n):
        self.calls += 1
        yield from range(n)
    async def aeach(self, n):
        self.calls += 1
        for k in range(n):
            yield k
    def plain(self):
        return self.calls
"""


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("methods", [["each", "plain"], ["each", "aeach", "plain"]])
async def test_methods_may_be_generators(container: Container, methods: list[str], slots: int) -> None:
    spec: dict[str, Any] = {"methods": methods, "enter": ["load"], "exit": [], "parameters": []}
    server = await start(container, METHODS, slots=slots, **spec)
    seqs = list(range(1, 9))
    names = {seq: methods[seq % (len(methods) - 1)] for seq in seqs}
    for seq, name in names.items():
        await server.send(frame(seq, name, 6000))
    for seq in seqs:
        assert await server.result(seq) == ("success", None)
        assert server.items[seq] == list(range(6000))
        assert (await server.frame(wire.OUTPUT, seq)).header()["items"] == 6000
    assert await call(server, 99, "plain") == ("success", len(seqs))
    assert "items" not in (await server.frame(wire.OUTPUT, 99)).header()
    outcome, error = await call(server, 100, "each")
    assert (outcome, "each(n)" in error["message"]) == ("user_error", True)


async def test_a_cancel_closes_a_method_that_is_a_generator(container: Container, tmp_path: Path) -> None:
    source = """
class C:
    def each(self, done):
        try:
            while True:
                yield 1
        finally:
            open(done, "w").close()
    async def other(self):
        return 1
"""
    spec: dict[str, Any] = {"methods": ["each", "other"], "enter": [], "exit": [], "parameters": []}
    server, done = await start(container, source, **spec), tmp_path / "done"
    server.most = wire.ITEM_WINDOW
    await server.send(frame(1, "each", str(done)))
    await until(lambda: len(server.items.get(1, ())) == wire.ITEM_WINDOW, "that it waits")
    await server.cancel(1)
    assert (await server.result(1))[0] == "cancelled"
    assert done.exists()
    assert await call(server, 2, "other") == ("success", 1)
