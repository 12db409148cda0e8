"""The two servers under load, as processes of their own, and what they use."""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

START_S = 60.0
SOURCE = "def noop(*args, **kwargs):\n    return None\n\n\ndef echo(value):\n    return value\n"


@dataclass
class Server:
    """A running server. `token` is empty for the echo."""

    process: subprocess.Popen[str]
    port: int
    token: str = ""

    def cpu_s(self) -> float:
        """Processor time of the server process alone."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def rss_mib(self) -> float:
        """Resident memory of the server process alone."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / (1 << 20)

    def ask(self, method: str, path: str, body: object = None) -> Mapping[str, object]:
        """One request, answered in JSON."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data=data, method=method, headers=headers
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        found: Mapping[str, object] = json.loads(text) if text else {}
        return found


def end_in_order() -> None:
    """Let SIGTERM end this process as ^C does: with all servers that it started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


@contextmanager
def echo_server() -> Iterator[Server]:
    """The bare aiohttp server."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.echo"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    if process.stdout is None or process.stdin is None:
        raise RuntimeError("the echo server has no pipes")
    try:
        yield Server(process, int(process.stdout.readline()))
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


@contextmanager
def yurt_server(*flags: str) -> Iterator[Server]:
    """Yurt on its local engine and a store of its own."""
    with tempfile.TemporaryDirectory(prefix="yurt-bench-") as place:
        server = start(Path(place), flags)
        try:
            yield server
        finally:
            server.process.terminate()
            server.process.wait(60)


def start(place: Path, flags: Sequence[str], listen: str = "127.0.0.1:0") -> Server:
    """Start Yurt in a directory of its own, for the first time or a further one."""
    data, run, log = place / "data", place / "run", place / f"log-{secrets.token_hex(4)}"
    command = [sys.executable, "-m", "yurt", "serve", "--listen", listen, "--log-format", "json"]
    command += ["--data-dir", str(data), "--run-dir", str(run), *flags]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("YURT_")}
    with log.open("w") as output:
        process = subprocess.Popen(command, stderr=output, stdout=output, text=True, env=plain)
    port = _port_of(process, log)
    return Server(process, port, (data / "admin-token").read_text().strip())


def _port_of(process: subprocess.Popen[str], path: Path) -> int:
    end = time.monotonic() + START_S
    while True:
        for line in path.read_text().splitlines():
            if '"serving"' in line:
                return int(json.loads(line)["url"].rpartition(":")[2])
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the server did not start:\n{path.read_text()}")
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue


def deploy(server: Server, app: str, functions: int, **keys: object) -> None:
    """Deploy an app with so many functions that do nothing: f0, f1, …"""
    server.ask("POST", "/v1/apps", {"name": app})
    definition = {"entrypoint": "main:noop", "source": {"files": {"main.py": SOURCE}}, **keys}
    server.ask("PUT", f"/v1/apps/{app}/functions", {"functions": {f"f{n}": definition for n in range(functions)}})
