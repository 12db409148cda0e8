"""A real runner file in a real process, against a fake control plane."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.component.runner.fake_server import START_TOKEN, FakeServer
from yurt.outbound.runner_file import build_runner
from yurt_runner import wire


@pytest.fixture(scope="session")
def runner_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runner") / "runner.pyz"
    path.write_bytes(build_runner().data)
    return path


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    app = web.AppRunner(fake.application(), shutdown_timeout=1)
    await app.setup()
    site = web.TCPSite(app, "127.0.0.1", 0)
    await site.start()
    fake.port = app.addresses[0][1]
    yield fake
    await app.cleanup()


HELD = "import os, time\ndef f(gate=None):\n    while gate and not os.path.exists(gate):\n        time.sleep(0.001)"
"""A function that runs until there is a file of that name, if it gets one."""


class Container:
    """One runner process and its fake server."""

    def __init__(self, server: FakeServer, runner_file: Path, scratch: Path) -> None:
        self.server = server
        self.socket = ""
        self._runner_file, self._scratch = runner_file, scratch
        self.process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def spawn(self, *, python: str = sys.executable, grace_s: float = 10) -> None:
        """Start the runner, as an engine would."""
        line = {
            "url": self.server.url,
            "container_id": self.server.container_id,
            "start_token": START_TOKEN,
            "grace_s": grace_s,
            "scratch": str(self._scratch),
            "socket": self.socket,
        }
        await self.execute(json.dumps(line).encode() + b"\n", python=python)

    async def execute(
        self, line: bytes, *, python: str = sys.executable, environ: Mapping[str, str] | None = None
    ) -> asyncio.subprocess.Process:
        """Start the runner with that on standard input, and with more in its environment."""
        self.process = await asyncio.create_subprocess_exec(
            python,
            "-E",
            str(self._runner_file),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "YURT_CONTAINER_ID": self.server.container_id, **(environ or {})},
            start_new_session=True,
            cwd=self._scratch,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.close()
        return self.process

    async def start(
        self,
        source: str | Mapping[str, str] | None,
        entrypoint: str = "main:f",
        *,
        python: str = sys.executable,
        grace_s: float = 10,
        **welcome: Any,
    ) -> FakeServer:
        """Start and wait until the function is ready."""
        await self.begin(source, entrypoint, python=python, grace_s=grace_s, **welcome)
        await self.server.frame(wire.READY)
        return self.server

    async def begin(
        self,
        source: str | Mapping[str, str] | None,
        entrypoint: str = "main:f",
        *,
        python: str = sys.executable,
        grace_s: float = 10,
        **welcome: Any,
    ) -> FakeServer:
        """Start."""
        files = {"main.py": source} if isinstance(source, str) else source
        self.server.define(files, entrypoint, **welcome)
        await self.spawn(python=python, grace_s=grace_s)
        return self.server

    async def ended(self, within_s: float = 30) -> tuple[int, str]:
        """Wait for the end of the supervisor: exit status and standard error."""
        assert self.process is not None
        async with asyncio.timeout(within_s):
            _, errors = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, errors.decode()

    def worker_pid(self) -> int:
        """The supervisor's child."""
        return int(Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()[0])

    async def stop(self) -> None:
        """End whatever is left."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        await self.process.communicate()


@pytest.fixture
async def container(server: FakeServer, runner_file: Path, tmp_path: Path) -> AsyncIterator[Container]:
    one = Container(server, runner_file, tmp_path)
    yield one
    await one.stop()
