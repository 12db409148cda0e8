"""The real server as a process, and its users."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.commands import Ran

START_S = 60.0
ANSWER_S = 60.0


@dataclass
class Answer:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.text)


@dataclass
class Served:
    """A server that runs, or ran.

    Args:
        place: holds its data and run directories.
        flags: further arguments of `yurt serve`.
    """

    place: Path
    flags: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    process: asyncio.subprocess.Process | None = None
    _http: aiohttp.ClientSession | None = None

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.place / "data"

    @property
    def output(self) -> str:
        """Everything it has written so far."""
        return (self.place / "log").read_text()

    @property
    def token(self) -> str:
        """The administrator's."""
        return (self.data / "admin-token").read_text().strip()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """What starts it; a server that ran before listens on its port again."""
        own = ["--data-dir", str(self.data), "--run-dir", str(self.place / "run"), "--log-format", "json"]
        return [sys.executable, "-m", "yurt", "serve", "--listen", f"127.0.0.1:{self.port}", *own, *self.flags]

    async def launch(self) -> asyncio.subprocess.Process:
        """Start it, ready or not."""
        with (self.place / "log").open("a") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command(), stdout=log, stderr=log, env={**os.environ, **self.environment}
            )
        return self.process

    async def start(self) -> "Served":
        """Start it and wait until it serves."""
        said = len(self.output) if (self.place / "log").exists() else 0
        process = await self.launch()
        async with asyncio.timeout(START_S):
            while '"event": "serving"' not in (new := self.output[said:]):
                assert process.returncode is None, f"the server did not start:\n{new}"
                await asyncio.sleep(0.02)
        line = next(line for line in new.splitlines() if '"event": "serving"' in line)
        self.port = int(json.loads(line)["url"].rpartition(":")[2])
        return self

    async def kill(self) -> None:
        """End it as a power switch would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> int:
        """End it as an operator would; returns its exit status."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            return await self.process.wait()

    async def close(self) -> None:
        """Stop it and hang up."""
        if self._http is not None:
            await self._http.close()
            await asyncio.sleep(0)
        if self.process is not None:
            await self.stop()

    async def ask(self, method: str, path: str, body: object = None, **options: Any) -> Answer:
        """One request, as the administrator unless `headers` say otherwise."""
        if self._http is None:
            timeout = aiohttp.ClientTimeout(total=ANSWER_S)
            self._http = aiohttp.ClientSession(
                timeout=timeout, connector=aiohttp.TCPConnector(limit=0, force_close=True)
            )
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        if body is not None:
            options["json"] = body
        async with self._http.request(method, self.url + path, headers=headers, **options) as answer:
            return Answer(answer.status, answer.headers, await answer.text())

    async def deploy(self, app: str, source: str, *functions: str, **keys: object) -> None:
        """Make an app with functions of one file."""
        made = await self.ask("POST", "/v1/apps", {"name": app})
        assert made.status in {201, 409}, made.text
        definitions = {
            name: {"entrypoint": f"main:{name}", "source": {"files": {"main.py": source}}, **keys} for name in functions
        }
        put = await self.ask("PUT", f"/v1/apps/{app}/functions", {"functions": definitions})
        assert put.status == 200, put.text

    async def call(self, address: str, *args: object, **kwargs: object) -> Any:
        """Invoke a function; the call with its outcome."""
        answer = await self.ask("POST", f"/v1/functions/{address}/invocations", {"args": args, "kwargs": kwargs})
        assert answer.status == 200, answer.text
        return answer.json

    async def waits_with(self, call_id: str, code: str) -> Any:
        """What a call waits for, once that is `code`."""
        async with asyncio.timeout(60):
            while True:
                found = (await self.ask("GET", f"/v1/function-calls/{call_id}")).json.get("pending_reason", {})
                if found.get("code") == code:
                    return found
                await asyncio.sleep(0.05)

    async def logs(self, path: str, wanted: str) -> list[Any]:
        """The log lines below `path`, once one contains `wanted`."""
        async with asyncio.timeout(60):
            while True:
                lines: list[Any] = (await self.ask("GET", f"{path}/logs")).json["data"]
                if any(wanted in line["text"] for line in lines):
                    return lines
                await asyncio.sleep(0.05)


async def command(*words: object) -> Ran:
    """Run one command line of `yurt` as a process of its own, beside a server."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "yurt", *map(str, words), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(ANSWER_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def serving(place: Path, *flags: str) -> AsyncIterator[Served]:
    """A server that is stopped at the end, containers and all."""
    served = Served(place, flags)
    try:
        yield await served.start()
    finally:
        await served.close()
