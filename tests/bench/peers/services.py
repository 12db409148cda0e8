"""What peers keep their calls in, and the environments that they are installed in."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from tests.bench.stores import postgres

ROOT = Path(__file__).parents[3]
BUILD = ROOT / "build" / "bench"
KEEPING: Mapping[str, tuple[str, ...]] = {
    "redis": ("--save", "", "--appendonly", "no"),
    "redis-fsync": ("--save", "", "--appendonly", "yes", "--appendfsync", "always"),
}
INSTALL_S = 900
PATIENCE_S = 180
APART = ["unshare", "--user", "--map-root-user", "--net", "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
"""Before a command: give it a network of its own, because Ray listens on every address of the machine."""


def interpreter(name: str) -> Path:
    """The `bin` of a peer's own environment, made and filled if need be.

    Raises:
        OSError, subprocess.SubprocessError: it cannot be.
    """
    place = BUILD / name
    wanted = Path(__file__).with_name(f"{name}.txt")
    stamp = place / "installed.txt"
    if not stamp.exists() or stamp.read_text() != wanted.read_text():
        venv.create(place, clear=True, with_pip=True)
        command = [str(place / "bin/python"), "-m", "pip", "install", "-q", "-r", str(wanted)]
        subprocess.run(command, check=True, timeout=INSTALL_S, stdout=sys.stderr)
        stamp.write_text(wanted.read_text())
    return place / "bin"


@contextmanager
def started(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[None]:
    """A program that is gone at the end; what it says goes to the end of a file."""
    with log.open("a") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def finished(command: Sequence[str], environment: Mapping[str, str], log: Path) -> str:
    """The last line that a program printed; what it says beside goes to the end of a file.

    Raises:
        subprocess.SubprocessError: it failed, or took too long.
    """
    with log.open("a") as output:
        done = subprocess.run(
            command, env={**os.environ, **environment}, cwd=ROOT, stdout=subprocess.PIPE, stderr=output, text=True,
            check=True, timeout=PATIENCE_S,
        )  # fmt: skip
    return (done.stdout.splitlines() or [""])[-1]


@contextmanager
def redis(keeping: str) -> Iterator[str]:
    """A Redis of its own on a free port.

    Raises:
        RuntimeError: it is not installed.
    """
    if shutil.which("redis-server") is None:
        raise RuntimeError("no redis-server: install it (Debian: apt-get install redis-server)")
    with tempfile.TemporaryDirectory(prefix="yurt-redis-") as place:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", place, *KEEPING[keeping]]
        with started(command, {}, Path(place, "log")):
            _until_open(port)
            yield f"redis://127.0.0.1:{port}/0"


def _until_open(port: int) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


@contextmanager
def _database() -> Iterator[str]:
    with postgres() as server:
        yield server.url(server.database())


@contextmanager
def _alone() -> Iterator[str]:
    done = subprocess.run([*APART, "true"], capture_output=True, text=True, timeout=10, check=False)
    if done.returncode:
        raise RuntimeError(f"it listens on every address, and cannot get a network of its own: {done.stderr.strip()}")
    yield ""


SERVICES: Mapping[str, Callable[[], AbstractContextManager[str]]] = {
    **{name: partial(redis, name) for name in KEEPING},
    "postgres": _database,
    "alone": _alone,
}
"""By name: starts a fresh one, gives its URL. `alone` is none: the peer keeps all in its own processes."""
