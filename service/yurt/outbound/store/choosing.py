"""Which store a server opens, and that its data directory goes with it."""

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from yurt.outbound.disk import sync_directory
from yurt.outbound.store import statements
from yurt.outbound.store.errors import StoreRefused
from yurt.outbound.store.lock import DirectoryLock
from yurt.outbound.store.opening import FILE, prepare
from yurt.outbound.store.readers import uri_of
from yurt.outbound.store.schema import inspect
from yurt.outbound.store.store import open_store
from yurt.ports import Clock, Store

MARK = "installation"
"""The file of a data directory that says to which store elsewhere its blobs and logs belong."""


@asynccontextmanager
async def open_chosen(directory: Path, url: str | None, *, clock: Clock, power: bool = False) -> AsyncIterator[Store]:
    """Open the store for as long as the context lasts.

    Args:
        directory: the data directory: its own lock keeps a second server out also where the store is elsewhere.
        url: of a PostgreSQL database; None for SQLite in the directory.
        clock: as `open_store` takes it.
        power: as `open_store` takes it.

    Raises:
        StoreRefused: it cannot be opened, or the directory belongs to another store.
    """
    if url is None:
        _refuse_moved(directory)
        store: Store = await open_store(directory, clock=clock, power=power)
        try:
            yield store
        finally:
            await store.close()
        return
    # Imported here: the driver and the migrations take longer than the rest of a start that needs neither.
    from yurt.outbound.store.postgres.store import open_postgres  # noqa: PLC0415

    prepare(directory)
    lock = DirectoryLock.take(directory)
    try:
        store = await open_postgres(url, clock=clock, installation=belongs_to(directory))
        try:
            mark(directory, store.identity.installation)
            yield store
        finally:
            await store.close()
    finally:
        lock.release()


def _refuse_moved(directory: Path) -> None:
    marked = mark_of(directory)
    if marked is not None:
        raise StoreRefused(
            f"The data directory {directory} belongs to a store in PostgreSQL (installation {marked}). Say where that"
            f" is with --store or YURT_STORE, or choose another --data-dir."
        )


def belongs_to(directory: Path) -> str | None:
    """The installation whose blobs are in a data directory; None where there is nothing yet."""
    marked = mark_of(directory)
    if marked is not None:
        return marked
    path = directory / FILE
    if not inspect(path):
        return None
    with closing(sqlite3.connect(uri_of(path), uri=True)) as db:
        ((installation, _, _),) = db.execute(statements.SELECT_IDENTITY).fetchall()
        return str(installation)


def mark_of(directory: Path) -> str | None:
    """The installation that the file `installation` of a data directory names, or None.

    Raises:
        StoreRefused: the file cannot be read.
    """
    try:
        return (directory / MARK).read_text("ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreRefused(f"{directory / MARK} cannot be read: {error}.") from error


def mark(directory: Path, installation: str) -> None:
    """Say durably to which store a data directory belongs."""
    if mark_of(directory) == installation:
        return
    unfinished = directory / f"{MARK}.new"
    with unfinished.open("w", encoding="ascii") as file:
        file.write(installation + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(directory / MARK)
    sync_directory(directory)
