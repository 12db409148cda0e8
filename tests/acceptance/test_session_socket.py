"""Containers of this machine reach their server at a path, whatever port it listens on."""

from pathlib import Path

import pytest

from tests.acceptance.served import Served

SOURCE = "import os\n\ndef f(x):\n    return [x, os.getppid()]\n"


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s")


async def test_they_come_back_to_a_server_that_has_moved_to_another_port(short: Path) -> None:
    server = await Served(short).start()
    try:
        await server.deploy("demo", SOURCE, "f")
        first = (await server.call("demo:f", 1))["result"]
        await server.kill()
        server.port = 0
        await server.start()
        assert (await server.call("demo:f", 1))["result"] == first
    finally:
        await server.close()


async def test_with_a_path_too_long_for_that_they_use_the_port(short: Path) -> None:
    place = short / ("d" * 100)
    place.mkdir()
    server = await Served(place).start()
    try:
        await server.deploy("demo", SOURCE, "f")
        assert (await server.call("demo:f", 1))["result"][0] == 1
        assert not list((server.place / "run").glob("*.sock"))
    finally:
        await server.close()
