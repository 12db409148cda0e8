"""From a path to an open database: judged, locked, created or migrated, with a new epoch."""

import os
import secrets
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from yurt.outbound.store import statements
from yurt.outbound.store.errors import StoreAway, StoreRefused
from yurt.outbound.store.identity import following_epoch
from yurt.outbound.store.lock import DirectoryLock
from yurt.outbound.store.schema import NEWEST, inspect, migrate, refuse_if_newer
from yurt.outbound.store.writer import SqliteWriter
from yurt.ports import Clock

FILE = "yurt.db"
CACHE_KIB = 8192
"""Pages that the writer keeps in memory: a million accepts needed no more."""
PAGE_BYTES = 2048
"""A commit writes each page that it touches whole, so half the usual size makes a call that commits alone quicker
(measured: a tenth of it); groups of many do not mind."""
LOG_KEPT_BYTES = 4 << 20
"""The log's file is cut to this when it begins anew after a burst."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An open store: its file, its writer, and the lock that keeps other servers out."""

    path: Path
    writer: SqliteWriter
    lock: DirectoryLock


def open_directory(directory: Path, clock: Clock, *, power: bool = False) -> Opened:
    """Open the store in `directory`, or make one there. Blocks.

    Args:
        power: every commit waits for the disk.

    Raises:
        StoreRefused: it cannot be opened, and is as it was.
    """
    path = directory / FILE
    inspect(path)
    following_epoch(0, clock.now())
    prepare(directory)
    lock = DirectoryLock.take(directory)
    try:
        version = inspect(path)  # another server may have made or changed it before the lock was ours
        if version == 0:
            _create(path)
        _refuse_read_only(path)
        return Opened(path, _open(path, clock, power=power), lock)
    except BaseException:
        lock.release()
        raise


def prepare(directory: Path) -> None:
    """Make the data directory, for its owner alone.

    Raises:
        StoreRefused: it cannot be made or used.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if directory.stat().st_uid == os.geteuid():
            directory.chmod(0o700)
    except OSError as error:
        raise StoreRefused(
            f"The data directory {directory} cannot be used: {error.strerror}. "
            "Give the user of this server the right to, or choose another with --data-dir."
        ) from error


def _create(path: Path) -> None:
    """Make an empty store under another name first, so that there is a whole one or none."""
    unfinished = path.with_name(path.name + ".new")
    for leftover in (unfinished, unfinished.with_name(unfinished.name + "-journal")):
        leftover.unlink(missing_ok=True)
    try:
        os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        db = sqlite3.connect(unfinished, isolation_level=None)
        try:
            db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            migrate(db)
            db.execute(statements.INSERT_IDENTITY, (secrets.token_hex(8), secrets.token_bytes(32)))
        finally:
            db.close()
        unfinished.rename(path)
    except (sqlite3.Error, OSError) as error:
        raise StoreRefused(f"No store could be made at {path}: {error}.") from error


def _refuse_read_only(path: Path) -> None:
    """SQLite would open a file that it may not write, and complain at the first write."""
    for file in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))):
        try:
            os.close(os.open(file, os.O_RDWR | os.O_CLOEXEC))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreRefused(
                f"The store's file {file} cannot be written: {error.strerror}. "
                "Give the user of this server the right to, or choose another with --data-dir."
            ) from error


def _open(path: Path, clock: Clock, *, power: bool) -> SqliteWriter:
    # A writer never waits on the loop for a lock: whoever holds one is a stranger, and the journal tries again.
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0, cached_statements=256)
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        refuse_if_newer(path, version)
        _configure(db, path)
        if version < NEWEST:
            migrate(db)
        writer = SqliteWriter(db, clock, power=power)
        writer.next_epoch()
        writer.place()
    except (sqlite3.Error, StoreAway, ValueError) as error:
        db.close()
        raise StoreRefused(
            f"The store {path} is damaged or cannot be used: {error}. Restore it from a copy, or repair the cause."
        ) from error
    except BaseException:
        db.close()
        raise
    return writer


def _configure(db: sqlite3.Connection, path: Path) -> None:
    (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreRefused(f"The file system of {path} cannot hold a store (no shared memory). Choose a local one.")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")  # it would make some commit wait for the disk; see `checkpoints`
    db.execute(f"PRAGMA journal_size_limit = {LOG_KEPT_BYTES}")
    db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    db.execute("PRAGMA temp_store = MEMORY")
