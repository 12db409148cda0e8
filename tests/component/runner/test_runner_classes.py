"""Classes in a container: the object, its methods, its hooks, and the end."""

from pathlib import Path
from typing import Any

import pytest

from tests.component.runner.conftest import Container
from tests.component.runner.fake_server import FakeServer
from tests.waiting import until
from yurt_runner import wire

COUNTER = """
import os, sys, time
class C:
    def load(self):
        self.count, self.order = 0, ["load"]
    def warm(self):
        self.order.append("warm")
    def add(self, by=1):
        self.count += by
        return self.count
    def told(self):
        return [self.order, self.word, self.data.hex()]
    def wait(self, gate):
        while not os.path.exists(gate):
            time.sleep(0.001)
        return "done"
    def close(self):
        print("closing at", self.count)
"""
PARAMETERS = [("word", "str", "a"), ("data", "bytes", "/wA=")]


async def start(
    container: Container, source: str = COUNTER, *, slots: int = 1, welcome: dict[str, Any] | None = None, **spec: Any
) -> FakeServer:
    of_class = {"methods": ["add", "told", "wait"], "enter": ["load", "warm"], "exit": ["close"]}
    of_class |= {"parameters": PARAMETERS} | spec
    more: dict[str, Any] = {"kind": "class", "class": of_class, "slots": slots} | (welcome or {})
    return await container.start(source, "main:C", **more)


async def failed(container: Container, source: str, **spec: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    of_class = {"methods": ["add"], "enter": ["load"], "exit": [], "parameters": []} | spec
    more: dict[str, Any] = {"kind": "class", "class": of_class}
    server = await container.begin(source, "main:C", **more)
    return await server.failure()


async def call(server: FakeServer, seq: int, method: str | None, *args: Any) -> tuple[str, Any]:
    await server.send(frame(seq, method, *args))
    return await server.result(seq)


def frame(seq: int, method: str | None, *args: Any) -> bytes:
    sent = wire.unpack(FakeServer.input_frame(seq, *args))[0]
    head = sent.header() | ({"method": method} if method is not None else {})
    return wire.pack(wire.INPUT, sent.seq, sent.token, sent.payload, meta=wire.meta(**head))


async def test_the_object_stays_and_its_hooks_ran_in_their_order(container: Container) -> None:
    server = await start(container)
    assert await call(server, 1, "add") == ("success", 1)
    assert await call(server, 2, "add", 5) == ("success", 6)
    assert await call(server, 3, "told") == ("success", [["load", "warm"], "a", "ff00"])


async def test_init_takes_the_parameters_by_name(container: Container) -> None:
    source = "class C:\n    def __init__(self, word, *, data=b''): self.said = (word, len(data))\n"
    source += "    def told(self): return self.said"
    server = await start(container, source, methods=["told"], enter=[], exit=[])
    assert await call(server, 1, None) == ("success", ["a", 2]), "the only method needs no name"


async def test_a_dataclass_is_a_class(container: Container) -> None:
    source = "import dataclasses\n@dataclasses.dataclass\nclass C:\n    word: str\n    data: bytes = b''\n"
    source += "    def told(self): return self.word"
    server = await start(container, source, methods=["told"], enter=[], exit=[])
    assert await call(server, 1, "told") == ("success", "a")


async def test_a_call_of_a_method_that_is_not_there_fails_alone(container: Container) -> None:
    server = await start(container)
    for seq, method in ((1, "gone"), (2, None), (3, "close")):
        outcome, error = await call(server, seq, method)
        assert (outcome, error["type"]) == ("user_error", "NoSuchMethod")
        assert "has add, told, wait" in error["message"]
    assert await call(server, 4, "add") == ("success", 1)


async def test_wrong_arguments_are_answered_with_the_method(container: Container) -> None:
    server = await start(container)
    outcome, error = await call(server, 1, "add", 1, 2)
    assert outcome == "user_error"
    assert "The function is add(by=1)." in error["message"]


@pytest.mark.parametrize(
    ("source", "spec", "says"),
    [
        ("class C:\n    def load(self): raise ValueError('no model')\n    def add(self): 0", {}, "no model"),
        ("class C:\n    async def load(self): raise ValueError('no model')\n    def add(self): 0", {}, "no model"),
        ("class C:\n    def load(self): raise SystemExit(3)\n    def add(self): 0", {}, "sys.exit(3)"),
        ("class C:\n    def load(self): 0", {}, "methods: main:C has no method 'add'; it has load."),
        ("class C:\n    load = 3\n    def add(self): 0", {}, "enter: main:C.load is of type int, not a method"),
        ("class C:\n    def load(self): yield\n    def add(self): 0", {}, "enter: main:C.load is a generator"),
        ("def C(): 0", {}, 'kind is "class": name a class'),
        (
            "class C:\n    def __init__(self): 0\n    def load(self): 0\n    def add(self): 0",
            {"parameters": [("word", "str", "a")]},
            "main:C cannot be made with word",
        ),
        (
            "class C:\n    def __init__(self): 1 / 0\n    def load(self): 0\n    def add(self): 0",
            {},
            "division by zero",
        ),
    ],
)
async def test_what_cannot_be_made_ready_is_told(
    container: Container, source: str, spec: dict[str, Any], says: str
) -> None:
    head, error = await failed(container, source, **spec)
    assert head["outcome"] == "init_failure"
    assert says in error["message"]


async def test_a_failed_enter_shows_where(container: Container) -> None:
    _, error = await failed(container, "class C:\n    def load(self):\n        self.x = missing\n    def add(self): 0")
    assert 'File "main.py", line 3, in load' in error["traceback"]
    assert "yurt_runner" not in error["traceback"]


async def test_an_enter_that_takes_too_long_is_over_at_the_startup_timeout(container: Container) -> None:
    source = "import time\nclass C:\n    def load(self): time.sleep(60)\n    def add(self): 0"
    of_class = {"methods": ["add"], "enter": ["load"]}
    more: dict[str, Any] = {"kind": "class", "class": of_class, "startup_timeout_s": 0.5}
    server = await container.begin(source, "main:C", **more)
    head, error = await server.failure()
    assert (head["outcome"], error["phase"], error["limit_s"]) == ("timeout", "startup", 0.5)


# ------------------------------------------------------------------ the end


async def test_exit_hooks_run_at_a_drain_and_are_heard(container: Container) -> None:
    server = await start(container)
    await call(server, 1, "add", 3)
    await server.drain()
    assert await server.line(lambda line: line[2] == "closing at 3") == ("stdout", 0, "closing at 3")
    assert (await container.ended())[0] == 0
    assert server.heard(wire.BYE)[0].header()["reason"] == "drained"


async def test_exit_hooks_run_once_what_runs_has_ended(container: Container, tmp_path: Path) -> None:
    server = await start(container)
    gate = tmp_path / "gate"
    await server.send(frame(1, "wait", str(gate)))
    await server.frame(wire.STARTED, 1)
    await server.drain()
    assert not any("closing" in line[2] for line in server.lines())
    gate.touch()
    assert await server.result(1) == ("success", "done")
    await server.line(lambda line: line[2] == "closing at 0")
    assert (await container.ended())[0] == 0


async def test_exit_hooks_run_where_the_engine_stops_the_container(container: Container) -> None:
    server = await start(container)
    assert container.process is not None
    container.process.terminate()
    await server.line(lambda line: line[2] == "closing at 0")
    assert (await container.ended())[0] == 0


async def test_an_exit_that_raises_is_told_and_the_next_one_runs(container: Container) -> None:
    source = COUNTER + "    def burst(self): raise ValueError('in exit')\n"
    server = await start(container, source, exit=["burst", "close"])
    assert await call(server, 1, "add") == ("success", 1)
    await server.drain()
    await server.line(lambda line: "the exit hook burst raised ValueError: in exit" in line[2])
    await server.line(lambda line: line[2] == "closing at 1")
    assert (await container.ended())[0] == 0


async def test_an_exit_that_hangs_is_ended_and_told(container: Container) -> None:
    source = COUNTER + "    def hang(self):\n        time.sleep(600)\n"
    server = await start(container, source, exit=["hang"])
    assert await call(server, 1, "add") == ("success", 1)
    await server.drain(grace_s=0.1)
    stream, seq, text = await server.line(lambda line: "exit hooks did not end within 5 s" in line[2])
    assert (stream, seq) == ("system", 0)
    assert (await container.ended())[0] == 0
    assert [one.flags for one in server.heard(wire.OUTPUT)] == [0], "nobody's input is to blame"
    assert text


async def test_a_sigterm_of_its_own_ends_the_process_as_it_would_any(container: Container) -> None:
    source = COUNTER + "    def die(self):\n        os.kill(os.getpid(), 15); time.sleep(10)\n"
    server = await start(container, source, methods=["die"])
    outcome, error = await call(server, 1, "die")
    assert (outcome, error["signal"]) == ("crashed", "SIGTERM")
    assert not any("closing" in line[2] for line in server.lines())


# ------------------------------------------------------------------ coroutines, and both


MIXED = """
import asyncio, os, time, threading
class C:
    async def load(self):
        self.loop, self.log = asyncio.get_running_loop(), []
    async def same_loop(self):
        return asyncio.get_running_loop() is self.loop
    def plain(self, s=0.0):
        end = time.monotonic() + s
        while time.monotonic() < end:
            time.sleep(0.001)
        return threading.current_thread() is threading.main_thread()
    async def wait(self, gate):
        while not os.path.exists(gate):
            await asyncio.sleep(0.001)
        return "done"
    async def close(self):
        print("closed", asyncio.get_running_loop() is self.loop)
"""
METHODS = ["same_loop", "plain", "wait"]


async def test_hooks_and_coroutine_methods_share_a_loop(container: Container) -> None:
    server = await start(container, MIXED, methods=METHODS, enter=["load"])
    assert await call(server, 1, "same_loop") == ("success", True)
    assert await call(server, 2, "plain") == ("success", True), "alone, a plain method has the main thread"
    outcome, error = await call(server, 3, "same_loop", 1)
    assert (outcome, error["type"]) == ("user_error", "TypeError")
    assert "The function is same_loop()." in error["message"]
    await server.drain()
    await server.line(lambda line: line[2] == "closed True")
    assert (await container.ended())[0] == 0


async def test_a_plain_method_beside_coroutines_keeps_its_timeout(container: Container) -> None:
    server = await start(container, MIXED, methods=METHODS, enter=["load"], welcome={"timeout_s": 0.3})
    outcome, error = await call(server, 1, "plain", 30)
    assert (outcome, error["type"]) == ("timeout", "InputTimeout")
    assert "killed" not in error["message"]
    assert await call(server, 2, "same_loop") == ("success", True), "the object is still there"


async def test_plain_methods_run_in_threads_where_several_run_at_once(container: Container, tmp_path: Path) -> None:
    server = await start(container, MIXED, methods=METHODS, enter=["load"], slots=3)
    gate = tmp_path / "gate"
    await server.send(frame(1, "wait", str(gate)), frame(2, "plain", 30))
    await server.frame(wire.STARTED, 2)
    assert await call(server, 3, "plain") == ("success", False)
    await server.cancel(2)
    assert (await server.result(2))[0] == "cancelled"
    gate.touch()
    assert await server.result(1) == ("success", "done"), "its neighbour goes on"
    await until(lambda: container.process is not None and container.process.returncode is None, "the container lives")


async def test_plain_methods_run_at_once_in_threads(container: Container, tmp_path: Path) -> None:
    server = await start(container, slots=2)
    gate = tmp_path / "gate"
    await server.send(frame(1, "wait", str(gate)))
    assert await call(server, 2, "add") == ("success", 1)
    gate.touch()
    assert await server.result(1) == ("success", "done")
    await server.drain()
    await server.line(lambda line: line[2] == "closing at 1")
    assert (await container.ended())[0] == 0


async def test_a_method_may_be_batched_and_its_hooks_be_coroutines(container: Container) -> None:
    source = "import asyncio\nclass C:\n    async def load(self): self.loop = asyncio.get_running_loop()\n"
    source += "    def twice(self, n): return [one * 2 for one in n]\n"
    source += "    async def close(self): print('closed', asyncio.get_running_loop() is self.loop)"
    batching = {"batching": {"max_batch_size": 2, "wait_ms": 60_000}}
    server = await start(container, source, methods=["twice"], enter=["load"], welcome=batching)
    one, two = frame(1, "twice", 4), frame(2, "twice", 5)
    await server.send(wire.with_more(one), two)
    assert [await server.result(seq) for seq in (1, 2)] == [("success", 8), ("success", 10)]
    await server.drain()
    await server.line(lambda line: line[2] == "closed True")
    assert (await container.ended())[0] == 0
