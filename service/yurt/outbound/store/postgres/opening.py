"""From a URL to an open store: locked, judged, created or migrated, with a new epoch."""

import io
import secrets
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import asyncpg
from alembic import command

from yurt.outbound.store.errors import StoreAway, StoreDeposed, StoreRefused
from yurt.outbound.store.identity import following_epoch
from yurt.outbound.store.migrations import run
from yurt.outbound.store.postgres.link import Link, identity_of
from yurt.outbound.store.postgres.writer import PostgresWriter, tracked_inputs
from yurt.outbound.store.schema import NEWEST
from yurt.ports import Clock, Identity


@dataclass(frozen=True, slots=True)
class OpenedDatabase:
    """An open store: its connection, which is its lock, and its writer."""

    link: Link
    writer: PostgresWriter


async def open_database(url: str, clock: Clock) -> OpenedDatabase:
    """Open the store at `url`, or make one there.

    Raises:
        StoreRefused: it cannot be opened, and is as it was.
    """
    following_epoch(0, clock.now())
    link = Link(url)
    try:
        db = await link.get()
        version = await _version(db, link.place)
        await _bring_up(db, version)
        link.ours = found = await _identity(db, link.place)
        writer = PostgresWriter(link, found, clock, await tracked_inputs(db))
        await writer.next_epoch()
    except (StoreAway, StoreDeposed, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        await link.drop()
        raise StoreRefused(
            f"The store cannot be opened: {error}. Check --store, that the server runs, and the rights of its user."
        ) from error
    except BaseException:
        await link.drop()
        raise
    return OpenedDatabase(link, writer)


async def _identity(db: "asyncpg.Connection[Any]", place: str) -> Identity:
    found = await identity_of(db)
    if found is None:
        raise StoreRefused(f"The store at {place} is damaged: it has no identity. Restore it from a copy.")
    return found


async def _version(db: "asyncpg.Connection[Any]", place: str) -> int:
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


def migration(version: int) -> str:
    """The statements that bring a schema from `version` to the newest."""
    settings = run.config()
    settings.attributes["dialect"] = "postgresql"
    text = io.StringIO()
    settings.output_buffer = text
    with redirect_stdout(text):
        command.upgrade(settings, f"{version:04}:head" if version else "head", sql=True)
    return text.getvalue()
