"""`yurt store`."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from yurt.app.backup import copy_directory
from yurt.cli import output
from yurt.cli.command import json_option
from yurt.cli.failures import CommandError, ExitCode
from yurt.cli.progress import telling
from yurt.clock import SystemClock
from yurt.outbound.store.errors import StoreMissing, StoreRefused
from yurt.settings import check_store_url
from yurt.usecases.backup import BackupFailed


def _directory(_context: click.Context, _option: click.Parameter, value: str) -> Path:
    return Path(value).expanduser().absolute()


_data_dir: Callable[[Callable[..., None]], Callable[..., None]] = click.option(
    "--data-dir",
    envvar="YURT_DATA_DIR",
    default="~/.local/share/yurt",
    show_default=True,
    metavar="DIR",
    callback=_directory,
    help="The server's data directory (YURT_DATA_DIR).",
)


_KEY_TOLD = {None: "", True: ", with the key of secrets", False: ", without the key of secrets"}


@click.group()
def store() -> None:
    """Back the server's data up, or move it to PostgreSQL.

    These work on the data directory, on its machine and as its user, not over the network.
    """


@store.command()
@click.argument("destination", callback=_directory)
@_data_dir
@click.option("--logs", is_flag=True, help="Copy what functions printed, too.")
@json_option
def backup(destination: Path, data_dir: Path, *, logs: bool, as_json: bool) -> None:
    """Copy a server's data while it runs.

    DESTINATION must not exist. The copy holds every call that was accepted before the command began. It is a data
    directory itself: to restore it, start a server on it (yurt serve --data-dir DESTINATION) in place of the one that
    was lost, never beside it. The key that encrypts secrets is in it, unless the server was given that key by
    YURT_SECRET_KEY or --secret-key-file.
    """
    _refuse_destination(destination, data_dir)
    try:
        with telling() as tell:
            copied = copy_directory(data_dir, destination, logs=logs, tell=tell)
    except BackupFailed as error:
        raise CommandError(error.what, error.todo) from error
    except StoreRefused as error:
        raise _refused(error) from error
    for name in sorted(copied.lost):
        output.notice(f"Warning: blob {name} is named by the rows, and the server itself has lost it")
    if copied.secret_key is False:
        output.notice(
            "The copy has secrets and not the key that they are encrypted with: start a server on it with the"
            " YURT_SECRET_KEY or --secret-key-file of this one"
        )
    facts: dict[str, Any] = {
        "destination": str(destination),
        "installation": copied.installation,
        "rows_bytes": copied.rows_bytes,
        "blobs": copied.blobs,
        "blobs_bytes": copied.blobs_bytes,
        "secret_key": copied.secret_key,
        "lost_blobs": sorted(copied.lost),
        "logs": logs,
    }
    if as_json:
        output.print_json(facts)
    else:
        click.echo(
            f"{destination}: {copied.rows_bytes / 2**20:,.1f} MiB of rows, {copied.blobs:,} blobs of"
            f" {copied.blobs_bytes / 2**20:,.1f} MiB, {'with' if logs else 'without'} logs"
            f"{_KEY_TOLD[copied.secret_key]}"
        )


def _refuse_destination(destination: Path, data_dir: Path) -> None:
    if destination.exists():
        raise CommandError(
            f"{destination} exists already", f"Name a new directory, such as {destination}/1.", ExitCode.USAGE
        )
    if destination.is_relative_to(data_dir):
        raise CommandError(f"{destination} is inside the data directory", "Choose a place outside it.", ExitCode.USAGE)
    if not destination.parent.is_dir():
        raise CommandError(f"{destination.parent} is no directory", "Make it first.", ExitCode.USAGE)


@store.command("copy")
@_data_dir
@click.option(
    "--to",
    required=True,
    envvar="YURT_STORE",
    metavar="URL",
    help="An empty database: postgresql://user@host:port/database. With a password, YURT_STORE is more discreet.",
)
@json_option
def copy_(data_dir: Path, *, to: str, as_json: bool) -> None:
    """Move a store from SQLite into PostgreSQL.

    The server must be stopped. All rows are there afterwards, or none; blobs, logs and tokens stay where they are. From
    then on the data directory belongs to that database.
    """
    try:
        check_store_url(to)
    except ValueError as error:
        raise CommandError(f"--to {error}", None, ExitCode.USAGE) from error
    # Imported here: a backup needs no driver.
    from yurt.outbound.store.moving import move  # noqa: PLC0415

    try:
        with telling() as tell:
            moved = asyncio.run(move(data_dir, to, clock=SystemClock(), tell=tell))
    except StoreRefused as error:
        raise _refused(error) from error
    if as_json:
        output.print_json({"installation": moved.installation, "database": moved.place, "rows": moved.rows})
    else:
        output.print_table(("TABLE", "ROWS"), ((name, f"{rows:,}") for name, rows in sorted(moved.rows.items())))
    output.notice(f"The store is in {moved.place} now. Start the server with --store, and this --data-dir.")


def _refused(error: StoreRefused) -> CommandError:
    missing = isinstance(error, StoreMissing)
    return CommandError(error.message, None, ExitCode.NOT_FOUND if missing else ExitCode.FAILED)
