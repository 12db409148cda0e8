"""What functions print, and whose it is."""

import asyncio

from tests.component.runner.conftest import Container
from tests.waiting import until
from yurt_runner import wire


async def test_lines_bear_their_input_and_stream(container: Container) -> None:
    source = """
import sys
print("importing")
def f(n):
    print("to stdout", n)
    print("to stderr", n, file=sys.stderr)
    print("no newline", n, end="")
"""
    server = await container.start(source)
    await server.send(*(server.input_frame(seq, seq) for seq in range(1, 101)))
    await server.frame(wire.OUTPUT, 100)
    await until(lambda: len(server.lines()) >= 301, "all lines")

    lines = server.lines()
    assert lines.count(("stdout", 0, "importing")) == 1
    for seq in range(1, 101):
        own = sorted((stream, text) for stream, owner, text in lines if owner == seq)
        assert own == [("stderr", f"to stderr {seq}"), ("stdout", f"no newline {seq}"), ("stdout", f"to stdout {seq}")]


async def test_output_of_the_import_is_not_the_first_inputs(container: Container) -> None:
    source = "import sys\nfor n in range(20_000): print('import', n)\nprint('no newline', end='')\ndef f(): return 1"
    server = container.server
    await container.begin(source)
    await server.frame(wire.READY)
    await server.call(1)

    assert {seq for _, seq, _ in server.lines()} == {0}


async def test_lines_precede_the_output_of_their_input(container: Container) -> None:
    server = await container.start("def f(n): print('line of', n)")
    for seq in range(1, 51):
        await server.call(seq, seq)

        assert ("stdout", seq, f"line of {seq}") in server.lines()


async def test_lines_of_a_long_run_come_while_it_runs(container: Container) -> None:
    server = await container.start("import time\ndef f():\n    print('at work')\n    time.sleep(600)")
    await server.input(1)

    assert await server.line(lambda line: "at work" in line[2]) == ("stdout", 1, "at work")
    assert server.heard(wire.OUTPUT) == []


async def test_children_and_c_code_are_heard(container: Container) -> None:
    source = """
import ctypes, os, subprocess
def f():
    subprocess.run(["echo", "from a child"])
    os.write(2, b"from a descriptor\\n")
    ctypes.CDLL(None).puts(b"from C")
    ctypes.CDLL(None).fflush(None)
"""
    server = await container.start(source)
    await server.call(1)

    for stream, text in (("stdout", "from a child"), ("stderr", "from a descriptor"), ("stdout", "from C")):
        line = (stream, 1, text)
        assert await server.line(line.__eq__) == line


async def test_a_long_line_is_cut_and_says_so(container: Container) -> None:
    server = await container.start("def f():\n    print('x' * 100_000)\n    print('next')")
    await server.call(1)

    cut, following = [text for _, _, text in server.lines()]
    assert cut == "x" * 16384 + " … (line cut at 16 KiB)"
    assert following == "next"


async def test_a_flood_is_dropped_counted_and_stalls_nothing(container: Container) -> None:
    source = """
import sys
def f(mib):
    block = ("0123456789abcdef" * 4 + "\\n") * 16384
    written = 0
    while written < mib << 20:
        written += sys.stdout.write(block)
    return written // 65
"""
    server = await container.start(source, beat_s=0.1)
    await server.input(1, 200)
    outcome, count = await server.result(1, within_s=60)
    await server.call(2, 0)

    logs = server.heard(wire.LOG)
    dropped = sum(frame.header()["dropped"] for frame in logs)
    assert outcome == "success"
    assert len(server.lines()) + dropped == count
    assert dropped > 0
    assert max(len(frame.payload) for frame in logs) < 2 << 20
    assert len(server.heard(wire.BEAT)) > 1


async def test_closed_streams_are_survived(container: Container) -> None:
    source = """
import os, sys
def f(how):
    if how == "descriptor": os.close(1)
    if how == "object": sys.stdout.close()
    if how == "none": sys.stdout = None
    if how == "print": print("still heard")
    return how
"""
    server = await container.start(source)
    for seq, how in enumerate(("descriptor", "print", "object", "print", "none", "print"), 1):
        assert await server.call(seq, how) == ("success", how)

    heard = [seq for _, seq, text in server.lines() if text == "still heard"]
    assert heard == [2, 4, 6]


async def test_background_output_belongs_to_no_input(container: Container) -> None:
    source = """
import threading
def f():
    threading.Timer(1, print, ["much later"]).start()
"""
    server = await container.start(source)
    await server.call(1)

    assert await server.line(lambda line: line[2] == "much later") == ("stdout", 0, "much later")


async def test_lines_wait_for_a_session(container: Container) -> None:
    source = "import time\ndef f():\n    time.sleep(0.3)\n    print('spoken into the void')\n    return 1"
    server = await container.start(source)
    await server.input(1)
    await server.frame(wire.STARTED, 1)
    server.answer = 503
    server.drop()
    await asyncio.sleep(0.6)
    server.answer = None

    assert await server.result(1) == ("success", 1)
    assert await server.line(lambda line: "void" in line[2]) == ("stdout", 1, "spoken into the void")
