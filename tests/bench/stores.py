"""The stores that Yurt is measured on."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TypeAlias

from tests.bench.bars import FAST, SAFE, Bars
from tests.postgres import NOT_INSTALLED, InstalledServer, PostgresServer, binaries

Empty: TypeAlias = Callable[[], AbstractContextManager[tuple[str, ...]]]
"""Makes an empty store, gone at the end, and says which flags of `yurt serve` choose it."""

STORES: Mapping[str, Bars] = {"process": FAST, "power": SAFE, "postgres": SAFE}
"""By name, with what is promised on it: the two levels of SQLite, and PostgreSQL."""


@contextmanager
def store(name: str) -> Iterator[Empty]:
    """One of `STORES`.

    Raises:
        RuntimeError: there is no PostgreSQL to start.
    """
    if name == "postgres":
        with postgres() as server:
            yield partial(database, server)
    else:
        yield lambda: nullcontext(("--durability", name))


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """A server with the settings that it is installed with: it waits for the disk.

    Raises:
        RuntimeError: it is not installed.
    """
    found = binaries()
    if found is None:
        raise RuntimeError(NOT_INSTALLED)
    with tempfile.TemporaryDirectory(prefix="yurt-postgres-") as place:
        server = InstalledServer(Path(place), found, options="").make().start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def database(server: PostgresServer) -> Iterator[tuple[str, ...]]:
    """An empty one."""
    name = server.database()
    try:
        yield ("--store", server.url(name))
    finally:
        server.psql("postgres", f"DROP DATABASE {name} WITH (FORCE)")
