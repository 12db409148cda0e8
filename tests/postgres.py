"""A PostgreSQL server for tests: one a session, in a container or from the installed binaries."""

import getpass
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

START_S = 30
IMAGE = "YURT_TEST_POSTGRES_IMAGE"
MISSING = (
    f"no PostgreSQL to test against: install its binaries (Debian: apt-get install postgresql), or run Docker and set"
    f" {IMAGE}"
)


def binaries() -> Path | None:
    """Where the newest installed server is."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


@dataclass
class PostgresServer:
    """A server from the installed binaries, to be killed and started again."""

    place: Path
    bin: Path
    port: int
    user: str

    def as_user(self, *command: str) -> list[str]:
        """A command as the user that the server runs as: it refuses to be root."""
        if os.getuid() != 0:
            return list(command)
        group = pwd.getpwnam(self.user).pw_gid
        return ["setpriv", f"--reuid={self.user}", f"--regid={group}", "--clear-groups", *command]

    def make(self) -> "PostgresServer":
        """Make its files."""
        init = [str(self.bin / "initdb"), "-D", str(self.data), "-U", "yurt", "--auth=trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(self.as_user(*init, "--locale=C.UTF-8"), check=True, capture_output=True, timeout=60)
        return self

    @property
    def data(self) -> Path:
        """Its directory."""
        return self.place / "data"

    def url(self, database: str = "postgres") -> str:
        """Of a database."""
        return f"postgresql://yurt@127.0.0.1:{self.port}/{database}"

    def start(self) -> "PostgresServer":
        """Start it, as nobody's child, and wait until it takes connections."""
        options = f"-h 127.0.0.1 -p {self.port} -k {self.place} -c max_wal_senders=0 -c wal_level=minimal"
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

    def psql(self, database: str, sql: str, *, check: bool = True) -> str:
        """The output of one statement."""
        done = subprocess.run(
            [str(self.bin / "psql"), "-XAtq", "-d", self.url(database), "-c", sql],
            capture_output=True, text=True, check=check, timeout=30,
        )  # fmt: skip
        return done.stdout.strip()

    def database(self) -> str:
        """The name of a new, empty database."""
        name = f"t{uuid.uuid4().hex[:12]}"
        self.psql("postgres", f"CREATE DATABASE {name}")
        return name


@contextmanager
def installed_server() -> Iterator[PostgresServer]:
    """A server of its own, gone at the end."""
    found = binaries()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with tempfile.TemporaryDirectory(prefix="yurt-postgres-") as place:
        user = "nobody" if os.getuid() == 0 else getpass.getuser()
        if os.getuid() == 0:
            os.chown(place, pwd.getpwnam(user).pw_uid, -1)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = PostgresServer(Path(place), found, port, user).make().start()
        try:
            yield server
        finally:
            server.stop()
