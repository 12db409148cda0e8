"""The session: refused, broken, spoken nonsense on, and taken up again."""

import asyncio
import json
import sys
from pathlib import Path

import psutil
import pytest
from aiohttp import web

from tests.component.runner.conftest import HELD, Container
from tests.component.runner.fake_server import RECONNECT_TOKEN, START_TOKEN
from tests.waiting import until
from yurt_runner import wire

LATE_WORKER = """
import os, time
from yurt_runner.fork import fork_worker

supervisor, setsid = os.getpid(), os.setsid
def wait_for_its_end():
    while os.getppid() == supervisor:
        time.sleep(0.001)
    setsid()
os.setsid = wait_for_its_end
fork_worker()
"""
"""A supervisor that ends at once, and a worker that the machine does not run before that."""

SLEEP = "import time\ndef f(s):\n    time.sleep(s)\n    return s"


async def test_a_broken_session_is_taken_up_with_everything_held(container: Container, tmp_path: Path) -> None:
    server, gate = await container.start(HELD), tmp_path / "gate"
    server.auto_ack = False
    await server.send(server.input_frame(1), server.input_frame(2, str(gate)), server.input_frame(3))
    await server.frame(wire.OUTPUT, 1)
    await server.frame(wire.STARTED, 2)
    server.drop()
    await until(lambda: len(server.hellos) == 2, "a second HELLO")

    done, running, waiting = server.hellos[1]["holds"]
    assert done == [1, 1001, 1, None, True]
    assert running[:3] == [2, 1002, 1]
    assert running[3] > 0
    assert waiting == [3, 1003, 1, None, False]
    assert server.hellos[0]["instance"] == server.hellos[1]["instance"]
    assert server.credentials == [START_TOKEN, RECONNECT_TOKEN]
    gate.touch()
    assert await server.result(2) == ("success", None)
    assert await server.result(3) == ("success", None)
    assert len(server.heard(wire.OUTPUT, 1)) == 2
    assert len(server.heard(wire.READY)) == 2


async def test_acknowledged_outputs_are_forgotten(container: Container) -> None:
    server = await container.start(SLEEP)
    await server.call(1, 0)
    await server.call(2, 0)
    server.drop()
    await until(lambda: len(server.hellos) == 2, "a second HELLO")

    assert server.hellos[1]["holds"] in ([], [[2, 1002, 1, None, True]])
    assert [1, 1001, 1, None, True] not in server.hellos[1]["holds"]


async def test_a_welcome_that_was_lost_is_asked_for_again_with_the_start_token(container: Container) -> None:
    server = container.server
    server.mute = True
    await container.begin("def f(): return 1")
    await server.frame(wire.HELLO)
    server.mute = False
    server.drop()

    await server.frame(wire.READY)
    assert server.credentials == [START_TOKEN, START_TOKEN]
    assert await server.call(1) == ("success", 1)


async def test_401_ends_the_runner(container: Container) -> None:
    container.server.answer = 401
    await container.begin("def f(): return 1")

    status, errors = await container.ended()

    assert status == 2
    assert "401" in errors
    assert "a reason in words" in errors
    assert START_TOKEN not in errors


async def test_401_on_a_reconnect_ends_runner_and_worker(container: Container) -> None:
    server = await container.start(SLEEP)
    await server.input(1, 600)
    await server.frame(wire.STARTED, 1)
    server.tokens.clear()
    server.drop()

    assert (await container.ended())[0] == 2


async def test_a_server_that_is_not_ready_is_dialled_again(container: Container) -> None:
    server = container.server
    server.answer = 503
    await container.begin("def f(): return 1")
    await until(lambda: len(server.credentials) >= 3, "three dials")
    server.answer = None

    await server.frame(wire.READY)
    assert await server.call(1) == ("success", 1)


async def test_the_runner_ends_when_no_server_comes_within_its_grace(container: Container) -> None:
    container.server.answer = 503
    await container.begin("def f(): return 1", grace_s=0.5)

    status, errors = await container.ended()

    assert status == 2
    assert "no control plane for 0.5 s" in errors


async def test_runner_and_worker_end_when_a_lost_server_stays_away(container: Container) -> None:
    server = await container.start(SLEEP, grace_s=0.5)
    await server.input(1, 600)
    await server.frame(wire.STARTED, 1)
    worker = container.worker_pid()
    server.answer = 503
    server.drop()

    status, errors = await container.ended()

    assert status == 2
    assert "no control plane for 0.5 s" in errors
    assert not psutil.pid_exists(worker)


async def test_the_grace_begins_anew_with_each_break(container: Container) -> None:
    server = await container.start(SLEEP, grace_s=2.0)
    server.answer = 503
    server.drop()
    dials = len(server.credentials)
    await until(lambda: len(server.credentials) >= dials + 2, "two dials")
    server.answer = None
    await until(lambda: len(server.hellos) == 2, "a second HELLO")

    assert await server.call(1, 2.2) == ("success", 2.2)


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"garbage", id="no head"),
        pytest.param(wire.HEAD.pack(0, 500, wire.INPUT, 0, 0, 1, 1), id="cut short"),
        pytest.param(wire.pack(wire.CANCEL, 1, 1, meta=b"no json"), id="meta"),
        pytest.param(wire.pack(wire.CANCEL, 1, 1, meta=b"[1]"), id="meta of another type"),
        pytest.param(wire.pack(wire.ACK, payload=b"123"), id="half a pair"),
        pytest.param(wire.pack(wire.CANCEL, 1, 1, meta=b'{"grace_s":"soon"}'), id="grace"),
        pytest.param(wire.pack(wire.WELCOME, meta=b"{}"), id="welcome without a token"),
    ],
)
async def test_garbage_closes_the_connection_and_is_survived(container: Container, garbage: bytes) -> None:
    server = await container.start(SLEEP)
    await server.send(garbage)
    await until(lambda: len(server.hellos) == 2, "a second HELLO")

    assert await server.call(5, 0) == ("success", 0)


async def test_text_is_garbage(container: Container) -> None:
    server = await container.start(SLEEP)
    assert server.socket is not None
    await server.socket.send_str("hello")
    await until(lambda: len(server.hellos) == 2, "a second HELLO")

    assert await server.call(5, 0) == ("success", 0)


async def test_another_subprotocol_is_not_spoken(container: Container) -> None:
    server = container.server
    server.subprotocols = ("yurt.2",)
    await container.begin("def f(): return 1", grace_s=0.5)

    status, errors = await container.ended()

    assert status == 2
    assert "did not agree to yurt.1" in errors
    assert server.hellos == []


async def test_pings_are_answered(container: Container) -> None:
    server = await container.start(SLEEP)
    assert server.socket is not None
    await server.socket.ping(b"are you there")

    assert await server.call(1, 0) == ("success", 0)


async def test_a_large_source_is_fetched_and_checked(container: Container) -> None:
    server = container.server
    server.inline = False
    await container.start(
        {"main.py": "from big import X\ndef f(): return len(X)", "big.py": f"X = '{'x' * 2_000_000}'"}
    )

    assert await server.call(1) == ("success", 2_000_000)


async def test_a_source_that_is_not_what_was_announced_is_not_run(container: Container) -> None:
    server = container.server
    server.inline = False
    server.define({"main.py": "def f(): return 1"}, "main:f")
    server.archive += b"x"
    await container.spawn()

    assert (await server.frame(wire.BYE)).header()["reason"] == "source_unavailable"
    status, errors = await container.ended()
    assert status == 1
    assert "sha256" in errors


@pytest.mark.parametrize("line", ["", "nonsense", "[]", json.dumps({"url": "http://127.0.0.1:1"})])
async def test_a_bad_start_line_is_refused_in_words(container: Container, line: str) -> None:
    process = await container.execute(line.encode())

    output, errors = await asyncio.wait_for(process.communicate(), 30)

    assert process.returncode == 2
    assert output == b""
    assert b"standard input" in errors
    assert b"Traceback" not in errors


async def test_a_worker_whose_supervisor_ended_before_it_was_set_up_ends_without_a_word() -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", LATE_WORKER, stdout=pipe, stderr=pipe)

    assert await asyncio.wait_for(process.communicate(), 30) == (b"", b"")
    assert process.returncode == 0


async def test_a_runner_can_be_told_by_its_environment_where_to_dial(container: Container, tmp_path: Path) -> None:
    (tmp_path / "credential").write_text(START_TOKEN)
    line = {
        "url": container.server.url,
        "container_id": container.server.container_id,
        "token_file": str(tmp_path / "credential"),
        "scratch": str(tmp_path),
    }
    source = "import os\ndef f():\n    return {name: os.environ.get(name) for name in ('YURT_START', 'SECRET', 'KEPT')}"
    container.server.define({"main.py": source}, "main:f")
    await container.execute(
        b"", environ={"YURT_START": json.dumps(line), "YURT_HIDDEN": "SECRET", "SECRET": "s", "KEPT": "k"}
    )
    await container.server.frame(wire.READY)
    assert container.server.credentials == [START_TOKEN]
    assert await container.server.call(1) == ("success", {"YURT_START": None, "SECRET": None, "KEPT": "k"})


async def test_a_session_goes_through_a_socket_of_its_own_and_finds_it_again(
    container: Container, tmp_path: Path
) -> None:
    server, path = container.server, tmp_path / "server.sock"
    server.port, container.socket = 1, str(path)  # nobody listens on that port
    await container.begin("def f(x):\n    return x")
    for connection in (1, 2):
        await asyncio.sleep(0.05)  # it dials meanwhile, and finds nobody
        app = web.AppRunner(server.application(), shutdown_timeout=1)
        await app.setup()
        await web.UnixSite(app, path).start()
        await until(lambda: server.connections == connection, "a session")  # noqa: B023
        await server.frame(wire.READY)
        await server.send(server.input_frame(connection, "x" * 300_000))
        assert len((await server.frame(wire.OUTPUT, connection)).payload) == 300_002
        await app.cleanup()
        path.unlink(missing_ok=True)
