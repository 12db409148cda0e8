"""The version of a store's schema: reading it, and bringing it to this release's.

The number of the newest migration stands in the header of the database file (`user_version`), beside a number that
marks the file as Yurt's (`application_id`), so that a store can be judged from its first bytes, without opening it.
Format: https://www.sqlite.org/fileformat2.html#the_database_header
"""

import sqlite3
from pathlib import Path

from yurt.outbound.store.errors import StoreRefused

APPLICATION_ID = int.from_bytes(b"YURT", "big")
NEWEST = 14
"""The number of the newest migration; its revision is this number in four digits."""

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100


def inspect(path: Path) -> int:
    """Judge the database at `path` by its header alone.

    Returns:
        The version of its schema; 0 where there is no store yet.

    Raises:
        StoreRefused: it is damaged, not Yurt's, from a newer release, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
        size = path.stat().st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise StoreRefused(f"The store {path} cannot be read: {error.strerror}.") from error
    if not header.startswith(_MAGIC) or len(header) < _HEADER_BYTES:
        raise StoreRefused(f"The store {path} is damaged: it is not a SQLite database. {_RESTORE}")
    if _number(header, 68) != APPLICATION_ID:
        raise StoreRefused(
            f"{path} is a SQLite database, but not a store of Yurt. Move it away, or choose another --data-dir."
        )
    _refuse_if_cut(path, header, size)
    version = _number(header, 60)
    refuse_if_newer(path, version)
    return version


_RESTORE = "Restore it from a copy, or move it away to begin with an empty one."


def _number(header: bytes, offset: int) -> int:
    return int.from_bytes(header[offset : offset + 4], "big")


def _refuse_if_cut(path: Path, header: bytes, size: int) -> None:
    """Without a log beside it, a short file is cut; with one, a server may have been killed in a checkpoint."""
    page_bytes = int.from_bytes(header[16:18], "big")
    whole = _number(header, 28) * (65_536 if page_bytes == 1 else page_bytes)
    log = path.with_name(path.name + "-wal")
    if size < whole and not (log.exists() and log.stat().st_size):
        raise StoreRefused(f"The store {path} is damaged: it has {size} of its {whole} bytes. {_RESTORE}")


def refuse_if_newer(path: Path, version: int) -> None:
    """Raise `StoreRefused` for a schema that this release does not know."""
    if version > NEWEST:
        raise StoreRefused(
            f"The store {path} was written by a newer release of Yurt (schema {version}; this one knows {NEWEST}). "
            "Start that release, or restore a copy made before the upgrade."
        )


def migrate(db: sqlite3.Connection, revision: str = "head") -> None:
    """Bring the schema of `db` to `revision`, upwards or downwards, in one transaction.

    Args:
        db: a connection in autocommit mode.
        revision: a revision such as `0001`, `head`, or `base` for none.
    """
    # Imported here: together they take longer than the rest of a start, and most starts find the newest schema.
    from yurt.outbound.store.migrations import run  # noqa: PLC0415

    run.migrate(db, revision)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # into the header of the file itself
