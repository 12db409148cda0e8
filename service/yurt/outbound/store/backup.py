"""The rows of a store in SQLite, copied while a server goes on writing them."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from yurt.outbound.store import statements
from yurt.outbound.store.errors import StoreMissing, StoreRefused
from yurt.outbound.store.readers import uri_of
from yurt.outbound.store.retention import BLOBS
from yurt.outbound.store.schema import inspect
from yurt.outbound.store.shapes import compile_query
from yurt.outbound.store.tables import secrets
from yurt.ports import Tell
from yurt.usecases.backup import BackupFailed

PAGES = 4096
"""Pages that are copied between two words on how far it is: 8 MiB."""
LOCKED_S = 5.0
"""How long a connection waits for a server that opens or closes the store at this moment."""


class SqliteRows:
    """`yurt.usecases.backup.Rows` over a database file, whether a server has it open or not.

    Args:
        source: the store's file.
        target: the copy's.
        tell: hears how much is copied, in MiB.

    Raises:
        StoreRefused: there is no store, or one that cannot be used.
    """

    def __init__(self, source: Path, target: Path, tell: Tell) -> None:
        if not inspect(source):
            raise StoreMissing(f"There is no store in {source.parent}.")
        self._source = source
        self._target = target
        self._tell = tell

    @property
    def size_bytes(self) -> int:
        """Of the copy."""
        return self._target.stat().st_size

    def take(self) -> Iterator[str]:
        """See `yurt.usecases.backup.Rows.take`.

        Raises:
            BackupFailed: the store cannot be read, the copy cannot be written, or is not sound.
        """
        try:
            self._copy()
            self._check()
        except (sqlite3.Error, StoreRefused) as error:
            raise BackupFailed(
                f"the rows of {self._source} could not be copied: {error}",
                "If the store is damaged, restore an earlier copy; if a disk is full, make room.",
            ) from error
        return self._named()

    def installation(self) -> str:
        """Whose copy it is."""
        with closing(_connect(self._target, "immutable=1")) as db:
            return str(db.execute(statements.SELECT_IDENTITY).fetchone()[0])

    def secret_keys(self) -> frozenset[str]:
        """The ids of the keys that the secrets of the copy are encrypted with."""
        with closing(_connect(self._target, "immutable=1")) as db:
            if not _has(db, secrets.c.key_id):
                return frozenset()
            sql = compile_query(sa.select(secrets.c.key_id).distinct()).sql
            return frozenset(str(key_id) for (key_id,) in db.execute(sql))

    def _copy(self) -> None:
        self._target.unlink(missing_ok=True)
        os.close(os.open(self._target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(_connect(self._source, "mode=ro")) as db, closing(sqlite3.connect(self._target)) as copy:
            # One transaction around it all: without it every commit of the server would begin the copy anew.
            db.execute("BEGIN")
            db.execute(statements.PROBE)
            (page_bytes,) = db.execute("PRAGMA page_size").fetchone()

            def progress(_: int, remaining: int, total: int) -> None:
                self._tell("MiB of rows", (total - remaining) * page_bytes >> 20, total * page_bytes >> 20)

            db.backup(copy, pages=PAGES, progress=progress)

    def _check(self) -> None:
        """The store's own checks, as a start makes them, and SQLite's."""
        if not inspect(self._target):
            raise StoreRefused("the copy is empty")
        with closing(_connect(self._target, "immutable=1")) as db:
            (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise StoreRefused(f"the store is damaged: {found}")

    def _named(self) -> Iterator[str]:
        with closing(_connect(self._target, "immutable=1")) as db:
            for column in BLOBS:
                if _has(db, column):  # an older release's store may not
                    sql = compile_query(sa.select(column).where(column.is_not(None))).sql
                    yield from (str(name) for (name,) in db.execute(sql))


def _connect(path: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(uri_of(path, how), uri=True, isolation_level=None, timeout=LOCKED_S)


def _has(db: sqlite3.Connection, column: "sa.Column[Any]") -> bool:
    found = db.execute("SELECT 1 FROM pragma_table_info(?) WHERE name = ?", (column.table.name, column.name))
    return found.fetchone() is not None
