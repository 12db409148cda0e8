"""A copy of the store that is whole, although the server goes on writing and deleting meanwhile.

A blob is written before the first row that names it and deleted after the last one. So rows are copied first: every
blob that they name was there at that moment. One that has gone before it could be copied went with its call, which has
expired since; then the rows are copied once more. That is quicker each time: the blobs that stayed are there already.
"""

from collections.abc import Iterable
from typing import Protocol

TRIES = 10
"""How often rows are copied; the second time nearly always suffices."""


class BackupFailed(Exception):
    """There is no copy.

    Args:
        what: what happened, to which thing.
        todo: what the operator can do about it.
    """

    def __init__(self, what: str, todo: str) -> None:
        super().__init__(what)
        self.what = what
        self.todo = todo


class Rows(Protocol):
    """The rows of a store, and their copy."""

    def take(self) -> Iterable[str]:
        """Copy the rows as they are at this moment, in place of an earlier copy; the blobs that the copy names.

        Raises:
            BackupFailed: it cannot be done.
        """


class Blobs(Protocol):
    """The blobs of a store, and their copies."""

    def bring(self, names: Iterable[str]) -> set[str]:
        """Copy those that were not copied yet; returns those that the store does not have, or not whole.

        Raises:
            BackupFailed: it cannot be done.
        """


def back_up(rows: Rows, blobs: Blobs) -> frozenset[str]:
    """Copy rows and blobs so that they belong together.

    Returns:
        The blobs that the store itself has lost: its rows name them still, or again, after they were missed.

    Raises:
        BackupFailed: they cannot be copied, or calls expire faster than they are copied.
    """
    missed: set[str] = set()
    for _ in range(TRIES):
        missing = blobs.bring(rows.take())
        if missing <= missed:
            return frozenset(missing)
        missed = missing
    raise BackupFailed(
        f"calls expire faster than they are copied: after {TRIES} tries there were still some without their blobs",
        "Copy to a quicker disk, or keep calls for longer (yurt serve --retention).",
    )
