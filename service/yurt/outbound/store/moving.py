"""Moves a store from SQLite into PostgreSQL.

The data directory is marked as belonging to PostgreSQL after everything was copied and before it is committed. So at no
moment can two servers go on from the same state: before the mark nobody takes the database, which is empty; after it
nobody takes the file. Whatever breaks off, the same command does it again, or finds that it was done.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from yurt.outbound.store.choosing import MARK, mark, mark_of
from yurt.outbound.store.errors import DirectoryInUse, StoreAway, StoreMissing, StoreRefused
from yurt.outbound.store.opening import FILE, Opened, open_directory
from yurt.outbound.store.postgres.filling import count, fill
from yurt.outbound.store.postgres.link import Link, identity_of, reason_of
from yurt.outbound.store.postgres.opening import version_of
from yurt.outbound.store.readers import uri_of
from yurt.outbound.store.schema import inspect
from yurt.outbound.store.tables import METADATA
from yurt.ports import Clock, Identity, Tell

MOVED = FILE + ".moved"
"""What the database in SQLite is called afterwards."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved.

    Args:
        installation: the random id of the store, here and there.
        place: the database, for people.
        rows: how many each of its tables has.
    """

    installation: str
    place: str
    rows: dict[str, int]


async def move(directory: Path, url: str, *, clock: Clock, tell: Tell) -> Moved:
    """Move the store of a data directory into an empty database.

    Args:
        directory: its server must not run; blobs, logs and the administrator's token stay there.
        url: `postgresql://user@host:port/database`.
        clock: tells the epoch.
        tell: hears how many rows of which table are there.

    Raises:
        StoreRefused: it cannot be done; the message says what has become of it.
    """
    _refuse_without_store(directory)
    try:
        opened = open_directory(directory, clock)
    except DirectoryInUse as error:
        raise StoreRefused(
            f"A server, or another copy, uses the data directory {directory}. Stop it, then run this again: what it"
            " accepted meanwhile would be missing."
        ) from error
    try:
        link = Link(url)
        try:
            moved = await _move(directory, opened, link, tell)
        finally:
            await link.drop()
            opened.writer.close()
        opened.path.rename(directory / MOVED)
    finally:
        opened.lock.release()
    return moved


def _refuse_without_store(directory: Path) -> None:
    if inspect(directory / FILE):
        return
    installation = mark_of(directory)
    if installation is None:
        raise StoreMissing(f"There is no store in {directory}. Say where the server keeps its data with --data-dir.")
    raise StoreRefused(f"The store of {directory} is in PostgreSQL already (installation {installation}).")


async def _move(directory: Path, opened: Opened, link: Link, tell: Tell) -> Moved:
    ours = opened.writer.identity()
    marked = mark_of(directory)
    if marked not in {None, ours.installation}:
        raise StoreRefused(
            f"The data directory {directory} belongs to another installation ({marked}) than the store in it"
            f" ({ours.installation}). Move {opened.path} into the directory that it came from."
        )
    try:
        db = await link.get()
        if not await version_of(db, link.place):
            rows = await _fill(db, opened.path, directory, ours, tell)
        elif marked and await _is(db, ours):  # the last try ended between the commit and its answer
            rows = {table.name: await count(db, table) for table in METADATA.sorted_tables}
        else:
            raise StoreRefused(
                f"The database {link.place} is not empty: it holds a store already. Nothing was changed. Give this one"
                " an empty database: createdb NAME"
            )
    except (StoreAway, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise StoreRefused(_broken_off(directory, link.place, error)) from error
    return Moved(ours.installation, link.place, rows)


async def _fill(
    db: "asyncpg.Connection[Any]", path: Path, directory: Path, ours: Identity, tell: Tell
) -> dict[str, int]:
    with closing(sqlite3.connect(uri_of(path), uri=True, isolation_level=None)) as source:
        return await fill(db, source, tell=tell, ready=partial(mark, directory, ours.installation))


async def _is(db: "asyncpg.Connection[Any]", ours: Identity) -> bool:
    found = await identity_of(db)
    return found is not None and found.installation == ours.installation


def _broken_off(directory: Path, place: str, error: BaseException) -> str:
    if mark_of(directory) is None:
        return (
            f"The store could not be copied into {place}: {reason_of(error)}. Nothing was changed, and the server can"
            " be started as before."
        )
    return (
        f"Everything was sent to {place}, and whether it was committed is not known: {reason_of(error)}. Run the same"
        f" command again: it finds out, and does what is left. Should that database be gone for good, delete"
        f" {directory / MARK}, and the server can be started as before."
    )
