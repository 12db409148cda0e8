"""From a URL to an open store: locked, judged, created or migrated, with a new epoch."""

import asyncio
import io
import secrets
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import asyncpg

from yurt.outbound.store import statements
from yurt.outbound.store.errors import StoreAway, StoreDeposed, StoreInUse, StoreRefused
from yurt.outbound.store.identity import following_epoch
from yurt.outbound.store.postgres.link import Link, identity_of
from yurt.outbound.store.postgres.writer import PostgresWriter, tracked_inputs
from yurt.outbound.store.schema import NEWEST
from yurt.ports import Clock, Identity

LOCK_WITHIN_S = 1.0
"""How long a start waits for the lock of a server that has just died."""
LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class OpenedDatabase:
    """An open store: its connection, which is its lock, and its writer."""

    link: Link
    writer: PostgresWriter


async def open_database(url: str, clock: Clock, installation: str | None = None) -> OpenedDatabase:
    """Open the store at `url`, or make one there.

    Args:
        installation: which store it must be; None takes any, and makes one in an empty database.

    Raises:
        StoreRefused: it cannot be opened, and is as it was.
    """
    following_epoch(0, clock.now())
    link = Link(url)
    try:
        db = await _first_connection(link)
        version = await version_of(db, link.place)
        if installation is not None:
            _refuse_other(link.place, await identity_of(db), installation)
        await _bring_up(db, version)
        link.ours = found = await _identity(db, link.place)
        writer = PostgresWriter(link, found, clock, await tracked_inputs(db))
        await writer.next_epoch()
        await _place(db)
    except StoreInUse as error:
        await link.drop()
        raise StoreRefused(f"{error} Stop that one first, or give this one a database of its own.") from error
    except (StoreAway, StoreDeposed, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        await link.drop()
        raise StoreRefused(
            f"The store cannot be opened: {error}. Check --store, that the server runs, and the rights of its user."
        ) from error
    except BaseException:
        await link.drop()
        raise
    return OpenedDatabase(link, writer)


async def _first_connection(link: Link) -> "asyncpg.Connection[Any]":
    """A server that was just killed has its lock until the database has noticed."""
    end = time.monotonic() + LOCK_WITHIN_S
    while True:
        try:
            return await link.get()
        except StoreInUse:
            if time.monotonic() > end:
                raise
        await asyncio.sleep(LOOK_S)


def _refuse_other(place: str, found: Identity | None, installation: str) -> None:
    what = "is empty" if found is None else f"holds the store of another installation ({found.installation})"
    if found is None or found.installation != installation:
        raise StoreRefused(
            f"The database {place} {what}, and this data directory belongs to installation {installation}."
            " Check --store; restore the database from its copy; or, to begin anew, choose another --data-dir."
        )


async def _identity(db: "asyncpg.Connection[Any]", place: str) -> Identity:
    found = await identity_of(db)
    if found is None:
        raise StoreRefused(f"The store at {place} is damaged: it has no identity. Restore it from a copy.")
    return found


async def version_of(db: "asyncpg.Connection[Any]", place: str) -> int:
    """The number of the schema's newest migration, 0 for an empty schema.

    Raises:
        StoreRefused: it is not Yurt's, or from a newer release.
    """
    tables = {row[0] for row in await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")}
    if not tables:
        return 0
    if not {"alembic_version", "meta"} <= tables:
        raise StoreRefused(
            f"The database {place} holds tables of another program. Give Yurt a database of its own: createdb yurt"
        )
    version = int(await db.fetchval("SELECT version_num FROM alembic_version"))
    if version > NEWEST:
        raise StoreRefused(
            f"The store at {place} was written by a newer release of Yurt (schema {version}; this one knows {NEWEST})."
            " Start that release, or restore a copy made before the upgrade."
        )
    return version


async def _bring_up(db: "asyncpg.Connection[Any]", version: int) -> None:
    """Create or migrate the schema, all of it or nothing."""
    if version == NEWEST:
        return
    async with db.transaction():
        await db.execute(migration(version))
        if version == 0:
            await db.execute(
                "INSERT INTO meta (one, installation, key, epoch) VALUES (1, $1, $2, 0)",
                secrets.token_hex(8),
                secrets.token_bytes(32),
            )


async def _place(db: "asyncpg.Connection[Any]") -> None:
    """Give a place to what earlier lives left without one."""
    async with db.transaction():
        await db.execute(statements.PLACE)
        await db.execute(statements.MARK_PLACED)


def migration(version: int) -> str:
    """The statements that bring a schema from `version` to the newest."""
    # Imported here: most starts find the newest schema.
    from alembic import command  # noqa: PLC0415

    from yurt.outbound.store.migrations import run  # noqa: PLC0415

    settings = run.config()
    settings.attributes["dialect"] = "postgresql"
    text = io.StringIO()
    settings.output_buffer = text
    with redirect_stdout(text):
        command.upgrade(settings, f"{version:04}:head" if version else "head", sql=True)
    return text.getvalue()
