"""What can go wrong with a store, and which of SQLite's errors means which."""

import sqlite3

from yurt.domain.errors import AlreadyExists, Unavailable

_AWAY = frozenset({
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
})  # fmt: skip
"""Primary result codes (https://www.sqlite.org/rescode.html) that blame the store's surroundings, not the row."""

_NAME_TAKEN = frozenset({
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_ROWID,
})  # fmt: skip


class StoreRefused(Exception):
    """The store cannot be opened, and was left as it was found.

    Args:
        message: for the operator: which store, what is wrong with it, what to do.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class StoreMissing(StoreRefused):
    """There is no store where one was expected."""


class DirectoryInUse(StoreRefused):
    """A server holds the data directory."""


class StoreAway(Exception):
    """Nothing of a transaction was written, and the same may well work later: disk full, I/O error, locked."""


class StoreInUse(StoreAway):
    """Another server holds the store's lock."""


class StoreDeposed(Exception):
    """Another server owns the store now: this one may never write to it again, and stops with this reason."""


def is_away(error: BaseException) -> bool:
    """Whether the store, rather than what was asked of it, is the cause."""
    return isinstance(error, sqlite3.Error) and (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _AWAY


def refusal(error: Exception) -> Exception:
    """The reason for refusing one add: `AlreadyExists` where a unique key is taken, anything else (a bug) as it is."""
    if getattr(error, "sqlite_errorcode", 0) in _NAME_TAKEN:
        taken = AlreadyExists("Another live thing bears that name, or that id.")
        taken.__cause__ = error
        return taken
    return error


def unavailable(detail: str) -> Unavailable:
    """The error that callers get while the store is away."""
    return Unavailable(detail, code="store_unavailable", retry_after_s=5)
