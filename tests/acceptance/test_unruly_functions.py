"""Functions that misbehave: each ends in a clear error for the right call, and the server stays well."""

import asyncio
from typing import Any

import pytest

from tests.acceptance.served import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOURCE = '''
import ctypes, os, signal, subprocess, sys, time

def fine(x=1):
    return x

def raises():
    raise ValueError("width must be positive, got -3")

def exits():
    sys.exit(7)

def exits_hard():
    os._exit(3)

def segfaults():
    ctypes.string_at(0)

def kills_itself():
    os.kill(os.getpid(), signal.SIGKILL)

def forks():
    if os.fork() == 0:
        time.sleep(300)
        os._exit(0)
    return "parent"

def closes_stdout():
    print("before")
    os.close(1)
    sys.stdout = None
    return "closed"

def unencodable():
    return {"items": [1, object()]}

def not_a_number():
    return float("nan")

def prints(mib):
    line = "x" * 1023 + "\\n"
    for _ in range(mib * 1024):
        sys.stdout.write(line)
    return "printed"

def blocks_sigterm():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return "blocked"

def holds_gil(seconds):
    libc = ctypes.PyDLL(None)
    libc.usleep(int(seconds * 1e6))
    return "held"

def eats_memory():
    block = []
    while True:
        block.append(bytearray(10 << 20))

def forges():
    return '1},"status":"failure"'

def scribbles():
    """Write into every descriptor that the runner left open."""
    for fd in range(3, 64):
        try:
            os.write(fd, b'1},"status":"failure"' * 50)
        except OSError:
            pass
    return "scribbled"

def sleeps(seconds):
    time.sleep(seconds)
    return seconds

def stubborn(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.05)
        except BaseException:
            pass
    return "survived"

async def waits(seconds):
    import asyncio
    await asyncio.sleep(seconds)
    return seconds

number = 5
'''  # fmt: skip

ENDINGS: list[tuple[str, tuple[object, ...], str, dict[str, Any]]] = [
    ("raises", (), "user_error", {"type": "ValueError", "message": "width must be positive, got -3"}),
    ("exits", (), "user_error", {"type": "SystemExit"}),
    ("exits_hard", (), "crashed", {"exit_code": 3}),
    ("segfaults", (), "crashed", {"signal": "SIGSEGV"}),
    ("unencodable", (), "user_error", {"type": "SerializationError"}),
    ("not_a_number", (), "user_error", {"type": "SerializationError"}),
    ("fine", (1, 2, 3), "user_error", {"type": "TypeError"}),
    ("eats_memory", (), "out_of_memory", {"limit_mib": 128}),
]


@pytest.mark.parametrize(("name", "args", "outcome", "error"), ENDINGS, ids=[one[0] for one in ENDINGS])
async def test_it_ends_in_a_clear_error(
    server: Served, name: str, args: tuple[object, ...], outcome: str, error: dict[str, Any]
) -> None:
    await server.deploy(name, SOURCE, name, "fine", memory=128)
    call = await server.call(f"{name}:{name}", *args)
    assert call["status"] == "failure"
    assert call["error"]["outcome"] == outcome, call["error"]
    assert {key: call["error"][key] for key in error} == error
    assert call["error"]["message"]
    assert (await server.call(f"{name}:fine", 2))["result"] == 2


async def test_a_container_that_kills_itself_is_nobodys_fault_eight_times(server: Served) -> None:
    await server.deploy("bad", SOURCE, "kills_itself")
    call = await server.call("bad:kills_itself")
    assert (call["error"]["outcome"], call["attempts"]) == ("internal_error", 8)
    history = await server.ask("GET", f"/v1/function-calls/{call['call_id']}?include=attempt_history")
    assert {one["outcome"] for one in history.json["attempt_history"]} == {"container_lost"}


async def test_it_may_do_what_it_likes_and_still_answer(server: Served) -> None:
    await server.deploy("odd", SOURCE, "forks", "closes_stdout", "forges", "blocks_sigterm", "prints")
    assert (await server.call("odd:forks"))["result"] == "parent"
    assert (await server.call("odd:closes_stdout"))["result"] == "closed"
    assert (await server.call("odd:closes_stdout"))["result"] == "closed"
    assert (await server.call("odd:forges"))["result"] == '1},"status":"failure"'
    assert (await server.call("odd:blocks_sigterm"))["result"] == "blocked"
    assert (await server.call("odd:prints", 64))["result"] == "printed"
    assert (await server.ask("GET", "/readyz")).json["ready"] is True


async def test_scribbling_into_the_runners_own_descriptors_ends_in_an_error_of_that_call(server: Served) -> None:
    await server.deploy("scribbler", SOURCE, "scribbles", "fine")
    call = await server.call("scribbler:scribbles")
    assert call["status"] in {"failure", "success"}
    assert (await server.call("scribbler:fine", 3))["result"] == 3


async def test_a_held_gil_does_not_cost_the_container(server: Served) -> None:
    await server.deploy("slow", SOURCE, "holds_gil")
    call = await server.call("slow:holds_gil", 17)
    assert (call.get("result"), call["attempts"]) == ("held", 1)


@pytest.mark.parametrize("name", ["sleeps", "waits", "stubborn"])
async def test_a_timeout_ends_it(server: Served, name: str) -> None:
    await server.deploy(f"timed-{name}", SOURCE, name, timeout=1)
    call = await server.call(f"timed-{name}:{name}", 600)
    assert call["error"]["outcome"] == "timeout"
    assert (call["error"]["limit_s"], call["error"]["phase"]) == (1, "run")


@pytest.mark.parametrize("name", ["sleeps", "waits", "stubborn"])
async def test_a_cancel_ends_it(server: Served, name: str) -> None:
    app = f"cancelled-{name}"
    await server.deploy(app, SOURCE, name, max_containers=1)
    begun = await server.ask("POST", f"/v1/functions/{app}:{name}/spawn", {"args": [60]})
    path = f"/v1/function-calls/{begun.json['call_id']}"
    async with asyncio.timeout(60):
        while (await server.ask("GET", path)).json["status"] != "running":
            await asyncio.sleep(0.02)
    cancelled = await server.ask("POST", f"{path}/cancel", {})
    assert (cancelled.status, cancelled.json["status"]) == (200, "terminated")
    assert cancelled.json["error"]["by"] == "token"
    assert (await server.ask("POST", f"{path}/cancel", {})).status == 200
    after = await server.call(f"{app}:{name}", 0)
    assert after["status"] == "success"


BROKEN = [
    ("import nothing_like_this\ndef work(): pass\n", "work", "nothing_like_this"),
    ("def other(): pass\nglobals().update(x=1)\n", "work", "other"),
    ("work = 5\nglobals().update(x=1)\n", "work", "of type int"),
    ("raise RuntimeError('at import')\ndef work(): pass\n", "work", "at import"),
]


async def test_what_cannot_be_loaded_says_why(server: Served) -> None:
    async def call(number: int, source: str, name: str) -> Any:
        await server.deploy(f"broken-{number}", source, name)
        return await server.call(f"broken-{number}:{name}")

    # All at once: three starts of each, with their pauses, take their time.
    calls = await asyncio.gather(*(call(number, *broken[:2]) for number, broken in enumerate(BROKEN)))
    for (_, _, said), ended in zip(BROKEN, calls, strict=True):
        assert ended["error"]["outcome"] == "init_failure"
        assert said in ended["error"]["message"] + ended["error"].get("traceback", "")
    assert "--python" in calls[0]["error"]["message"], "a missing module: of which interpreter, and how to choose one"


async def test_an_import_that_hangs_ends_with_the_startup_timeout(server: Served) -> None:
    await server.deploy("hangs", "import time\ntime.sleep(600)\ndef work(): pass\n", "work", startup_timeout=1)
    call = await server.call("hangs:work")
    assert call["status"] == "failure"
    assert call["error"]["phase"] == "startup"
