import contextlib
import http.client
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.commands import Yurt, in_process

YURT = [sys.executable, "-c", "from yurt.cli.main import main; main()"]


@dataclass(frozen=True)
class Server:
    """A running server; `home` is a directory that its containers can reach."""

    url: str
    token: str
    home: Path


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """`yurt serve` with directories of its own, on a free port."""
    with tempfile.TemporaryDirectory(prefix="yurt-acceptance-") as folder:
        home = Path(folder)
        home.chmod(0o711)  # containers may be of another user
        log = home / "log"
        places = ["--data-dir", str(home / "data"), "--run-dir", str(home / "run"), "--listen", "127.0.0.1:0"]
        with log.open("wb") as output:
            process = subprocess.Popen([*YURT, "serve", *places, "--log-format", "json"], stderr=output)
        try:
            url = wait_ready(log, process)
            yield Server(url, (home / "data/admin-token").read_text().strip(), home)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def wait_ready(log: Path, process: subprocess.Popen[bytes]) -> str:
    """The address, once `/readyz` answers 200 there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        told = [word for word in log.read_text().replace('"', " ").split() if word.startswith("http://")]
        if told and ready(told[0].removeprefix("http://")):
            return told[0]
        time.sleep(0.02)
    raise AssertionError(f"the server did not start: {log.read_text()}")


def ready(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def yurt(server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Yurt:
    monkeypatch.setenv("YURT_URL", server.url)
    monkeypatch.setenv("YURT_TOKEN", server.token)
    return in_process(capsys)
