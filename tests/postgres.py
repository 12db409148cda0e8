"""A PostgreSQL for tests: one a session, in a container where Docker is there, else from the installed binaries."""

import asyncio
import getpass
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from tests.containers import NoContainer, NoDocker, postgres_container

START_S = 30
STATEMENT_S = 30
IMAGE = "YURT_TEST_POSTGRES_IMAGE"
CHOSEN_IMAGE = os.environ.get(IMAGE)
"""Read here: later a test does not see the developer's settings."""
USUAL_IMAGE = "postgres:17"
BARE = "-c max_wal_senders=0 -c wal_level=minimal"
"""Options of a server that nothing follows: it writes less."""
NOT_INSTALLED = "no PostgreSQL is installed: install its binaries (Debian: apt-get install postgresql)"


def binaries() -> Path | None:
    """Where the newest installed server is."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


class PostgresServer:
    """A running server.

    Args:
        address: `user[:password]@host:port`.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    def url(self, database: str = "postgres") -> str:
        """Of a database."""
        return f"postgresql://{self._address}/{database}"

    def psql(self, database: str, sql: str) -> str:
        """The first value of what a SELECT finds, as text; of other statements nothing."""

        async def run() -> Any:
            db = await asyncpg.connect(self.url(database), timeout=START_S, command_timeout=STATEMENT_S)
            try:
                return await (db.fetchval(sql) if sql.startswith("SELECT") else db.execute(sql))
            finally:
                await db.close()

        with ThreadPoolExecutor(1) as thread:  # the test may have a loop of its own
            found = thread.submit(asyncio.run, run()).result()
        return str(found)

    def database(self) -> str:
        """The name of a new, empty database."""
        name = f"t{uuid.uuid4().hex[:12]}"
        self.psql("postgres", f"CREATE DATABASE {name}")
        return name


class InstalledServer(PostgresServer):
    """A server from the installed binaries, to be killed and started again.

    Args:
        place: an empty directory, for as long as the server is wanted.
        binaries: where its programs are.
        options: of the server, beside where it listens.
    """

    def __init__(self, place: Path, binaries: Path, options: str = BARE) -> None:
        self.place = place
        self.bin = binaries
        self.options = options
        self.user = "nobody" if os.getuid() == 0 else getpass.getuser()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        super().__init__(f"yurt@127.0.0.1:{self.port}")

    def as_user(self, *command: str) -> list[str]:
        """A command as the user that the server runs as: it refuses to be root."""
        if os.getuid() != 0:
            return list(command)
        group = pwd.getpwnam(self.user).pw_gid
        return ["setpriv", f"--reuid={self.user}", f"--regid={group}", "--clear-groups", *command]

    def make(self) -> "InstalledServer":
        """Make its files."""
        if os.getuid() == 0:
            os.chown(self.place, pwd.getpwnam(self.user).pw_uid, -1)
        init = [str(self.bin / "initdb"), "-D", str(self.data), "-U", "yurt", "--auth=trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(self.as_user(*init, "--locale=C.UTF-8"), check=True, capture_output=True, timeout=60)
        return self

    @property
    def data(self) -> Path:
        """Its directory."""
        return self.place / "data"

    def start(self) -> "InstalledServer":
        """Start it, as nobody's child, and wait until it takes connections."""
        options = f"-h 127.0.0.1 -p {self.port} -k {self.place} {self.options}"
        self._control("start", "-l", str(self.place / "log"), "-o", options)
        return self

    def processes(self) -> list[psutil.Process]:
        """Those of the running server, the one that started the others first."""
        server = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
        return [server, *server.children(recursive=True)]

    def kill(self) -> None:
        """End it and its children at once, as a power switch would."""
        processes = self.processes()
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=10)

    def stop(self) -> None:
        """End it without waiting for its clients."""
        if (self.data / "postmaster.pid").exists():
            self._control("stop", "-m", "immediate")

    def _control(self, *words: str) -> None:
        command = [str(self.bin / "pg_ctl"), "-D", str(self.data), "-w", "-t", f"{START_S}", *words]
        subprocess.run(self.as_user(*command), check=True, stdout=subprocess.DEVNULL, timeout=2 * START_S, cwd="/")


@contextmanager
def installed_server(reason: str = NOT_INSTALLED) -> Iterator[InstalledServer]:
    """A server of its own, gone at the end.

    Args:
        reason: why a test is skipped where no binaries are installed.
    """
    found = binaries()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="yurt-postgres-") as place:
        server = InstalledServer(Path(place), found).make().start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def any_server() -> Iterator[PostgresServer]:
    """A server in a container where Docker is there and has its image, else from the installed binaries."""
    with ExitStack() as kept:
        try:
            address = kept.enter_context(postgres_container(CHOSEN_IMAGE or USUAL_IMAGE))
        except NoDocker as error:
            server: PostgresServer = kept.enter_context(installed_server(f"{NOT_INSTALLED}, or run Docker ({error})"))
        except NoContainer as error:
            if CHOSEN_IMAGE:
                pytest.fail(f"{error}; it was chosen with {IMAGE}")
            server = kept.enter_context(installed_server(f"{NOT_INSTALLED}, or choose an image with {IMAGE} ({error})"))
        else:
            server = PostgresServer(address)
        yield server
