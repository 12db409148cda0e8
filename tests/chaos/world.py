"""What chaos happens to: a server with directories of its own, and the processes of its containers."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.acceptance.served import Served
from tests.chaos.fleet import NODES, Fleet
from tests.cluster import a_stack
from tests.postgres import InstalledServer, installed_server

STORES = ("sqlite", "power", "postgres")
"""What a server may keep its calls in: `power` is SQLite with every commit on the disk."""

MHZ_PER_CORE = "800"
"""Of what a definition asks for: a small machine has room for all containers at once."""

DISK_MIB = 96
"""Room for the store of ten minutes; small enough to be filled at once."""


@dataclass(frozen=True)
class Member:
    """One process of a container."""

    process: psutil.Process
    container_id: str
    supervisor: bool


@dataclass
class World:
    """A place on this machine.

    Args:
        served: the server.
        records: where functions write what they did.
        small_disk: whether the data directory is a file system of its own, which may be filled.
        postgres: the server of its database, where it has one.
        fleet: the cluster that its containers are on, where they are on one.
    """

    served: Served
    records: Path
    small_disk: bool
    postgres: InstalledServer | None = None
    fleet: Fleet | None = None

    @property
    def run_dir(self) -> Path:
        """Where the containers' directories are."""
        return self.served.place / "run"

    def members(self) -> list[Member]:
        """The living processes of its containers."""
        found: dict[int, tuple[psutil.Process, str]] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                container_id = self._container_of((entry / "environ").read_bytes().split(b"\0"))
                process = psutil.Process(int(entry.name)) if container_id else None
                if container_id and process and process.status() != psutil.STATUS_ZOMBIE:
                    found[process.pid] = (process, container_id)
            except (OSError, psutil.NoSuchProcess):
                continue  # it ended meanwhile, or is not ours to look at
        members = []
        for process, container_id in found.values():
            try:
                members.append(Member(process, container_id, process.ppid() not in found))
            except psutil.NoSuchProcess:
                continue
        return sorted(members, key=lambda member: (member.container_id, member.process.pid))

    def _container_of(self, environ: Sequence[bytes]) -> str | None:
        """Which container a process is of, by the variables that it was started with: above all its home directory."""
        if self.fleet is not None:
            return self.fleet.container_of(environ)
        marker = f"HOME={self.run_dir}/containers/".encode()
        home = next((one for one in environ if one.startswith(marker)), None)
        return home.decode().rpartition("/")[2] if home else None

    def directories(self) -> set[str]:
        """The containers that have a directory of the server's."""
        places = self.run_dir / "containers"
        return {path.name for path in places.iterdir()} if places.exists() else set()


@contextmanager
def world(store: str, engine: str) -> Iterator[World]:
    """A world of its own, whose database, cluster and small disk are taken away at the end.

    Args:
        store: one of `STORES`.
        engine: one of `ENGINES`.
    """
    flags: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    with ExitStack() as kept:
        fleet = Fleet(kept.enter_context(a_stack(*NODES))) if engine == "nomad" else None
        if fleet is not None:
            environment = {**fleet.stack.environment(), "NOMAD_TOKEN": ""}
        postgres = kept.enter_context(installed_server()) if store == "postgres" else None
        # In a place with a long name sessions go through the server's port, where they are cut; else through a socket.
        prefix = "yurt-chaos-" + ("through-the-port-" * 6 if postgres is not None else "")
        place = Path(kept.enter_context(tempfile.TemporaryDirectory(prefix=prefix)))
        if postgres is not None:
            flags = ("--store", postgres.url(postgres.database()))
        elif store == "power":
            flags = ("--durability", "power")
        if fleet is not None:
            flags += ("--engine", "nomad", "--nomad-mhz-per-core", MHZ_PER_CORE)
        place.chmod(0o711)
        records = place / "records"
        records.mkdir()
        records.chmod(0o1777)
        data = place / "data"
        data.mkdir(mode=0o700)
        mounted = _mount(data)
        try:
            yield World(Served(place, flags, environment), records, mounted, postgres, fleet)
        finally:
            if mounted:
                subprocess.run(["umount", "--lazy", data], check=True, timeout=20)


def _mount(directory: Path) -> bool:
    """Put a small file system there, where this user may do that."""
    if os.geteuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=0700", "tmpfs", os.fspath(directory)]
    return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
