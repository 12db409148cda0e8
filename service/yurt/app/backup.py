"""A copy of a data directory, made while its server runs."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from yurt.domain.secrets import MasterKey, unreadable
from yurt.outbound.admin_token import FILE_NAME
from yurt.outbound.blobs.copying import BlobCopies
from yurt.outbound.disk import sync_directory
from yurt.outbound.sealing import FILE_NAME as KEY_FILE
from yurt.outbound.sealing import read_own_keys, write_keys
from yurt.outbound.store.backup import SqliteRows
from yurt.outbound.store.choosing import mark_of
from yurt.outbound.store.opening import FILE
from yurt.ports import Tell
from yurt.usecases.backup import BackupFailed, back_up


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy has.

    Args:
        installation: the random id that was made with the store.
        rows_bytes: of the database.
        blobs: how many.
        blobs_bytes: of all of them.
        secret_key: whether it has the key of its secrets; None where it has no secrets.
        lost: blobs that rows name, and that the data directory itself has no longer, or not whole.
    """

    installation: str
    rows_bytes: int
    blobs: int
    blobs_bytes: int
    secret_key: bool | None
    lost: frozenset[str]


def copy_directory(source: Path, destination: Path, *, logs: bool, tell: Tell) -> Copied:
    """Copy all that a server needs to go on from what `source` is now: rows, blobs, its key, the administrator's token.

    Args:
        source: a data directory, whether its server runs or not.
        destination: must not exist; it appears when the copy is whole.
        logs: copy what functions printed, too.
        tell: hears how far it is.

    Raises:
        BackupFailed: there is no copy, and nothing is left of it.
        StoreRefused: there is no store that can be used.
    """
    _refuse_elsewhere(source)
    try:
        with _appearing(destination) as place:
            rows = SqliteRows(source / FILE, place / FILE, tell)
            blobs = BlobCopies(source / "blobs", place / "blobs", tell)
            keys = read_own_keys(source)
            lost = back_up(rows, blobs)
            keys = tuple(dict.fromkeys((*read_own_keys(source), *keys)))  # one may have taken over meanwhile
            if keys:
                write_keys(place / KEY_FILE, keys)
            _copy_file(source / FILE_NAME, place / FILE_NAME)
            if logs:
                _copy_tree(source / "logs", place / "logs")
            return Copied(
                installation=rows.installation(),
                rows_bytes=rows.size_bytes,
                blobs=blobs.count,
                blobs_bytes=blobs.size_bytes,
                secret_key=_fits(rows.secret_keys(), keys),
                lost=lost,
            )
    except ValueError as error:
        raise BackupFailed(f"{source / KEY_FILE} {error}", "Put the file back from an earlier copy.") from error
    except OSError as error:
        raise BackupFailed(
            f"the copy could not be made: {error}",
            "Make room, or run this as the user of the server, with a destination that this user may write to.",
        ) from error


def _fits(needed: frozenset[str], keys: Sequence[MasterKey]) -> bool | None:
    return not unreadable(needed, [key.id for key in keys]) if needed else None


def _refuse_elsewhere(source: Path) -> None:
    installation = mark_of(source)
    if installation is not None:
        raise BackupFailed(
            f"the store of {source} is in PostgreSQL (installation {installation}), which this command does not copy",
            f"Copy {source / 'blobs'}, then run pg_dump, then copy the blobs again, within one hour: those that the"
            f" dump names are then in the copy. Copy {KEY_FILE}, too. See docs/stores.md.",
        )


@contextmanager
def _appearing(destination: Path) -> Iterator[Path]:
    """A directory that gets its name, durably, when the context ends without an error, and is removed otherwise."""
    place = Path(tempfile.mkdtemp(prefix=f"{destination.name}.unfinished-", dir=destination.parent))  # 0700
    try:
        yield place
        for directory in [place, *(path for path in place.rglob("*") if path.is_dir())]:
            sync_directory(directory)
        place.rename(destination)
    except BaseException:
        shutil.rmtree(place)
        raise
    sync_directory(destination.parent)


def _copy_file(source: Path, target: Path) -> None:
    """Copy a file with its times; one that is gone is left out."""
    try:
        shutil.copy2(source, target)
    except FileNotFoundError:
        return
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _copy_tree(source: Path, target: Path) -> None:
    """Copy files that are written on, or removed, meanwhile: the last line of one may be torn."""
    for folder, _, names in os.walk(source, onerror=_unless_gone):
        place = target / Path(folder).relative_to(source)
        place.mkdir(0o700, parents=True, exist_ok=True)
        for name in names:
            _copy_file(Path(folder) / name, place / name)


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
