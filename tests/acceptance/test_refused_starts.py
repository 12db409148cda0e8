"""Stores that a server must not touch: `yurt serve` ends with 1 and the reason, and leaves everything as it was."""

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance.served import Served, serving

ENDS_S = 60


def everything(directory: Path) -> dict[str, bytes]:
    """All files below a directory, with what is in them."""
    return {os.fspath(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a server that ran and was stopped."""
    async with serving(tmp_path_factory.mktemp("kept")) as served:
        await served.ask("POST", "/v1/apps", {"name": "kept"})
        return served.data


@pytest.fixture
def stored(kept: Path, tmp_path: Path) -> Path:
    """A copy of it, for a server at `tmp_path`."""
    return Path(shutil.copytree(kept, tmp_path / "data"))


async def refused(served: Served) -> str:
    """Start a server that will not; what it says. The data directory stays as it is."""
    before = everything(served.data)
    process = await served.launch()
    async with asyncio.timeout(ENDS_S):
        assert await process.wait() == 1
    assert everything(served.data) == before
    said = served.output.strip().splitlines()
    assert said[-1].startswith("yurt cannot start: ")
    assert "Traceback" not in served.output
    return said[-1]


async def test_a_store_that_another_server_holds(tmp_path: Path) -> None:
    async with serving(tmp_path) as first:
        assert first.process is not None
        (tmp_path / "second").mkdir()
        second = Served(tmp_path / "second", ("--data-dir", os.fspath(first.data)))
        process = await second.launch()
        async with asyncio.timeout(ENDS_S):
            assert await process.wait() == 1
        assert f"process {first.process.pid}" in second.output
        assert (await first.ask("POST", "/v1/apps", {"name": "kept"})).status == 201


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5000])


def _noise(file: Path) -> None:
    file.write_bytes(b"this is no database" * 1000)


def _newer(file: Path) -> None:
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version = 9999")
    db.close()


@pytest.mark.parametrize(("harm", "said"), [(_cut, "damaged"), (_noise, "not a SQLite database"), (_newer, "newer")])
async def test_a_store_that_cannot_be_used(stored: Path, harm: Callable[[Path], None], said: str) -> None:
    harm(stored / "yurt.db")
    reason = await refused(Served(stored.parent))
    assert said in reason
    assert os.fspath(stored) in reason


def _may_mount() -> bool:
    tool = shutil.which("unshare")
    return tool is not None and subprocess.run([tool, "-m", "true"], check=False).returncode == 0


class ReadOnly(Served):
    """A server whose data directory lies on a file system that may not be written: rights do not bind root."""

    def command(self) -> list[str]:
        data = os.fspath(self.data)
        script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
        return ["unshare", "-m", "sh", "-c", script, data, *super().command()]


@pytest.mark.skipif(not _may_mount(), reason="needs the right to mount; the store's own tests use file rights")
async def test_a_store_on_a_read_only_file_system(stored: Path) -> None:
    assert os.fspath(stored) in await refused(ReadOnly(stored.parent))


async def test_an_address_that_is_taken(tmp_path: Path) -> None:
    async with serving(tmp_path) as first:
        (tmp_path / "second").mkdir()
        second = Served(tmp_path / "second", port=first.port)
        process = await second.launch()
        async with asyncio.timeout(ENDS_S):
            assert await process.wait() == 1
        assert f"127.0.0.1:{first.port}" in second.output
        assert not second.data.exists()


async def test_a_server_that_shuts_down_takes_nothing_new(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        source = "import os, time\ndef nap(until):\n    while not os.path.exists(until): time.sleep(0.01)\n"
        await served.deploy("busy", source, "nap")
        path, over = "/v1/functions/busy:nap/invocations", tmp_path / "over"
        running = asyncio.create_task(served.ask("POST", path, {"args": [os.fspath(over)]}))
        async with asyncio.timeout(60):
            while not (await served.ask("GET", f"{path}?status=running")).json["data"]:
                await asyncio.sleep(0.02)
        assert served.process is not None
        served.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            while (await served.ask("GET", "/readyz")).status == 200:  # a call taken before would wait for a container
                await asyncio.sleep(0.02)
        answer = await served.ask("POST", path, {"args": ["/"]})
        assert (answer.status, answer.json["code"], answer.json["retryable"]) == (503, "unavailable", True)
        assert int(answer.headers["Retry-After"]) > 0
        over.touch()
        assert (await running).json["status"] == "success"
