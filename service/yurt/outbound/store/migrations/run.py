"""Runs Alembic over a connection of `sqlite3`."""

import sqlite3
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

from yurt.outbound.store.schema import APPLICATION_ID


def config() -> Config:
    """Where the migrations are."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    return settings


def migrate(db: sqlite3.Connection, revision: str) -> None:
    """Upgrade or downgrade to `revision`; all of it happens, the marks in the file's header included, or nothing."""
    engine = sa.create_engine("sqlite://", creator=lambda: db, poolclass=sa.StaticPool)
    # The driver would commit before each CREATE; with a BEGIN of our own it leaves transactions alone.
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.begin() as connection:
        settings = config()
        settings.attributes["connection"] = connection
        move = command.downgrade if revision == "base" else command.upgrade
        move(settings, revision)
        reached = MigrationContext.configure(connection).get_current_revision()
        connection.exec_driver_sql(f"PRAGMA user_version = {int(reached or 0)}")
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
