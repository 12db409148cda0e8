"""Copies of blobs in another directory."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from yurt.outbound.blobs.files import place_of
from yurt.ports import Tell

CHUNK_BYTES = 1 << 20


class BlobCopies:
    """`yurt.usecases.backup.Blobs` between two directories of blobs, whether a server uses the first or not.

    Args:
        source: what is copied.
        target: made when it is needed, with mode 0700.
        tell: hears how many there are in the copy.
    """

    def __init__(self, source: Path, target: Path, tell: Tell) -> None:
        self._source = source
        self._target = target
        self._tell = tell
        self.count = 0
        self.size_bytes = 0

    def bring(self, names: Iterable[str]) -> set[str]:
        """See `yurt.usecases.backup.Blobs.bring`.

        Raises:
            OSError: the one cannot be read, or the other not be written.
        """
        return {name for name in names if not self._bring(name)}

    def _bring(self, name: str) -> bool:
        target = place_of(self._target, name)
        if target.exists():
            return True
        target.parent.mkdir(0o700, parents=True, exist_ok=True)
        try:
            source = os.open(place_of(self._source, name), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        if _copy(source, target) != name:
            target.unlink()
            return False
        self.count += 1
        self.size_bytes += target.stat().st_size
        self._tell("blobs", self.count, None)
        return True


def _copy(source: int, target: Path) -> str:
    """Copy what is open into a new file, durably, and return its sha256: the name says what it must be."""
    sha256 = hashlib.sha256()
    target.touch(0o600, exist_ok=False)
    with os.fdopen(source, "rb") as old, target.open("wb") as new:
        while chunk := old.read(CHUNK_BYTES):
            sha256.update(chunk)
            new.write(chunk)
        new.flush()
        os.fsync(new.fileno())
    return sha256.hexdigest()
