"""Functions in images, where this machine has Docker and an image for tests."""

import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scripts.stack.stack import Stack
from tests.acceptance.served import Served
from tests.e2e.yurts import SOURCE, call_when, serving_on, spawn, waits_for

IMAGE = os.environ.get("YURT_TEST_IMAGE")
"""With python3 on its path. Read here: later a test does not see the developer's settings."""

NO_IMAGE = "YURT_TEST_IMAGE names no image with python3; scripts/base-image makes one where Docker runs"

ISOLATED = """
import os


def who():
    try:
        open("/usr/bin/python3", "ab")
        writes = True
    except OSError:
        writes = False
    return {"uid": os.getuid(), "writes": writes, "docker": os.path.exists("/.dockerenv"), "home": os.environ["HOME"]}


def eat():
    return len(bytearray(600 << 20))
"""


@pytest.fixture
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Served]:
    """A server whose functions run in an image."""
    if IMAGE is None:
        pytest.skip(NO_IMAGE)
    stack: Stack = request.getfixturevalue("stack")
    flags = ("--nomad-driver", "docker", "--default-image", IMAGE, "--nomad-python", "python3")
    async with serving_on(stack, tmp_path, *flags) as served:
        await served.deploy("boxes", ISOLATED, "who", "eat", max_containers=1)
        yield served


async def test_a_function_without_an_image_runs_in_the_default_one_as_nobody(server: Served) -> None:
    who = (await server.call("boxes:who"))["result"]
    assert (who["docker"], who["uid"], who["writes"]) == (True, 65534, False)
    assert who["home"].startswith("/local")


async def test_a_function_runs_in_its_own_image(server: Served) -> None:
    assert IMAGE is not None
    digest = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Id}}", IMAGE],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    await server.deploy("own", ISOLATED, "who", image=digest.stdout.strip())
    assert (await server.call("own:who"))["result"]["docker"] is True


async def test_an_image_that_is_not_there_is_the_reason_to_wait(server: Served) -> None:
    await server.deploy("absent", ISOLATED, "who", image="127.0.0.1:9/nothing:1")
    call_id = await spawn(server, "absent:who")
    reason = await waits_for(server, call_id, "image_unavailable")
    assert "127.0.0.1:9/nothing" in reason["message"]


async def test_a_container_that_eats_too_much_is_said_to_have(server: Served) -> None:
    call_id = await spawn(server, "boxes:eat")
    call = await call_when(server, call_id, lambda call: call["status"] not in {"pending", "running"}, "at its end")
    assert call["status"] == "failure"
    assert "memory" in str(call["error"]).lower()


async def test_a_gpu_is_known_in_the_image(server: Served) -> None:
    await server.deploy("cards", SOURCE, "gpus", gpu="T4")
    (given,) = (await server.call("cards:gpus"))["result"]
    assert given.startswith("GPU-")


async def test_what_was_cancelled_ends(server: Served, tmp_path: Path) -> None:
    await server.deploy("long", SOURCE, "rest")
    call_id = await spawn(server, "long:rest", 600)
    await call_when(server, call_id, lambda call: call["status"] == "running", "running")
    await server.ask("POST", f"/v1/function-calls/{call_id}/cancel")
    call = await call_when(server, call_id, lambda call: call["status"] not in {"pending", "running"}, "at its end")
    assert call["status"] == "terminated"
