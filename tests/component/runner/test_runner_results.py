"""What a function returns, raises and sees."""

from tests.component.runner.conftest import Container
from yurt_runner import wire


async def test_a_value_comes_back(container: Container) -> None:
    server = await container.start("def f(a, *, b): return {'sum': a + b}")

    assert await server.call(1, 2, b=3) == ("success", {"sum": 5})


async def test_hello_says_who_speaks(container: Container) -> None:
    server = await container.start("def f(): return 1")

    hello = server.hellos[0]
    assert hello["protocol"] == "yurt.1"
    assert len(bytes.fromhex(hello["instance"])) == 16
    assert hello["holds"] == []
    assert hello["pid"] == container.pid


async def test_an_exception_has_a_traceback_of_user_code_alone(container: Container) -> None:
    source = "def inner(x):\n    raise ValueError('width must be positive')\n\ndef f(x):\n    return inner(x)\n"
    server = await container.start(source)

    outcome, error = await server.call(1, 5)

    assert outcome == "user_error"
    assert (error["type"], error["module"]) == ("ValueError", "builtins")
    assert error["message"] == "width must be positive"
    assert error["traceback"].startswith('Traceback (most recent call last):\n  File "main.py", line 5, in f\n')
    assert "yurt_runner" not in error["traceback"]


async def test_wrong_arguments_name_the_signature(container: Container) -> None:
    server = await container.start("def f(width: int, height: int = 1): return width")

    outcome, error = await server.call(1)

    assert outcome == "user_error"
    assert "f(width: int, height: int = 1)" in error["message"]
    assert "missing 1 required positional argument: 'width'" in error["message"]


async def test_what_cannot_be_encoded_is_named_with_its_path(container: Container) -> None:
    server = await container.start("def f(): return {'items': [1, {'model': object()}]}")

    outcome, error = await server.call(1)

    assert (outcome, error["type"]) == ("user_error", "SerializationError")
    assert "$.items[1].model" in error["message"]
    assert "object" in error["message"]


async def test_sys_exit_is_the_functions_error_and_the_worker_goes_on(container: Container) -> None:
    server = await container.start("import sys\ndef f(n):\n    if n: sys.exit(n)\n    return 'still here'")

    outcome, error = await server.call(1, 3)

    assert (outcome, error["type"], error["message"]) == ("user_error", "SystemExit", "sys.exit(3)")
    assert await server.call(2, 0) == ("success", "still here")


async def test_forged_frames_of_a_result_stay_text(container: Container) -> None:
    server = await container.start("def f(x): return x")
    forged = '1},"status":"failure"'

    assert await server.call(1, forged) == ("success", forged)


async def test_bytes_travel_both_ways(container: Container) -> None:
    server = await container.start("def f(x): return [x, type(x).__name__]")

    assert await server.call(1, {"$bytes": "AAH/"}) == ("success", [{"$bytes": "AAH/"}, "bytes"])


async def test_the_function_sees_its_input_and_environment(container: Container) -> None:
    source = """
import os, time, yurt_runner
def f():
    one = yurt_runner.current()
    left = one.deadline - time.time()
    names = ["ENVIRONMENT", "APP", "FUNCTION", "REVISION", "CONTAINER_ID"]
    return [one.call_id, one.input_id, one.attempt, one.metadata, 290 < left <= 300,
            [os.environ["YURT_" + name] for name in names], os.environ["COLOUR"], os.path.basename(os.getcwd())]
"""
    server = await container.start(source, env={"COLOUR": "blue"})

    outcome, value = await server.call(1)

    assert outcome == "success"
    facts = ["main", "demo", "f", "7", server.container_id]
    assert value == ["fc-1", "in-1", 1, {"who": "test"}, True, facts, "blue", "src"]


async def test_current_outside_of_an_input_says_so(container: Container) -> None:
    server = await container.begin("import yurt_runner\nyurt_runner.current()\ndef f(): pass")

    _, error = await server.failure()

    assert (error["type"], "outside of an input" in error["message"]) == ("RuntimeError", True)


async def test_async_functions_run_on_one_loop(container: Container) -> None:
    source = """
import asyncio
loops = set()
async def f(x):
    loops.add(id(asyncio.get_running_loop()))
    await asyncio.sleep(0.001)
    if x is None: raise KeyError("nothing")
    return [x, len(loops)]
"""
    server = await container.start(source)

    assert await server.call(1, "a") == ("success", ["a", 1])
    assert await server.call(2, "b") == ("success", ["b", 1])
    outcome, error = await server.call(3, None)
    assert (outcome, error["type"]) == ("user_error", "KeyError")
    assert error["traceback"].startswith('Traceback (most recent call last):\n  File "main.py", line 7, in f\n')


async def test_many_inputs_at_once_keep_their_order(container: Container) -> None:
    server = await container.start("def f(x): return x")
    await server.send(*(server.input_frame(seq, seq) for seq in range(1, 2001)))

    await server.frame(wire.OUTPUT, 2000)

    assert [frame.seq for frame in server.heard(wire.OUTPUT)] == list(range(1, 2001))
    assert [int(frame.payload) for frame in server.heard(wire.OUTPUT)] == list(range(1, 2001))


async def test_large_values_travel(container: Container) -> None:
    server = await container.start("def f(text, n): return [len(text), 'x' * n]")

    outcome, value = await server.call(1, "y" * 3_000_000, 5_000_000)

    assert outcome == "success"
    assert value == [3_000_000, "x" * 5_000_000]


async def test_a_duplicate_input_runs_once(container: Container) -> None:
    server = await container.start("n = 0\ndef f():\n    global n\n    n += 1\n    return n")
    server.auto_ack = False
    await server.send(server.input_frame(1), server.input_frame(1))
    await server.frame(wire.OUTPUT, 1)
    await server.input(1)

    assert await server.call(2) == ("success", 2)


async def test_started_is_said_of_long_runs_alone(container: Container) -> None:
    server = await container.start("import time\ndef f(s): time.sleep(s)")

    for seq in range(1, 31):
        await server.call(seq, 0)
    await server.call(31, 0.2)

    started = [frame.seq for frame in server.heard(wire.STARTED)]
    assert started[-1] == 31
    assert len(started) < 20, "a busy machine makes some short runs long, not most of them"


async def test_unknown_frames_are_ignored(container: Container) -> None:
    server = await container.start("def f(): return 1")
    await server.send(wire.pack(250, 1, 2, b"x", meta=b'{"a":1}'), server.input_frame(1))

    assert await server.result(1) == ("success", 1)


async def test_beats_go_on_while_c_code_holds_the_gil(container: Container) -> None:
    source = """
import re
def f():
    re.match(r"(a+)+$", "a" * 24 + "b")
    return "done"
"""
    server = await container.start(source, beat_s=0.05)
    await server.input(1)
    outcome, value = await server.result(1, within_s=60)

    beats = [frame.header() for frame in server.heard(wire.BEAT)]
    assert (outcome, value) == ("success", "done")
    assert any(beat["busy"] and beat["busy"][0][0] == 1 and beat["silent_s"] > 0.05 for beat in beats)
    assert all(beat["silent_s"] <= beat["busy"][0][1] for beat in beats if beat["busy"])
    assert all(beat["rss_mib"] > 1 for beat in beats)
