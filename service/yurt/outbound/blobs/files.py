"""Blobs as files: `<directory>/<first 2 of the sha256>/<sha256>`."""

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from yurt.domain.errors import NotFound, Unavailable
from yurt.outbound.disk import sync_directory

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4
"""Enough to keep a disk busy; more would only queue in the kernel."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


def place_of(directory: Path, sha256: str) -> Path:
    """Where a blob lies below a directory of blobs."""
    return directory / sha256[:2] / sha256


class FileBlobs:
    """`yurt.ports.Blobs` in a directory that belongs to the server.

    A blob is written beside its place, made durable and renamed: a file that bears a name is whole. Storing
    the same content again makes it young again.

    Args:
        directory: made with mode 0700 by `open`.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._unfinished = directory / "unfinished"
        self._deciding = threading.Lock()  # between renewing a blob and removing it for its age
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")

    async def open(self) -> None:
        """Make the directory, and remove what a crash has left half-written."""
        await self._in_thread(self._prepare)

    async def close(self) -> None:
        """Finish what is under way, and let go of the threads. Safe to call twice."""
        await asyncio.to_thread(self._threads.shutdown)

    async def put(self, data: bytes) -> str:
        """See `Blobs.put`.

        Raises:
            Unavailable: there is no room, or the disk fails.
        """
        return await self._in_thread(self._put, data)

    async def get(self, sha256: str) -> bytes:
        """See `Blobs.get`.

        Raises:
            Unavailable: the disk fails, or too many files are open.
        """
        path = self._path(sha256)
        try:
            return await self._in_thread(path.read_bytes)
        except FileNotFoundError:
            raise NotFound(f"There is no blob {sha256}.") from None
        except OSError as error:
            raise Unavailable(f"The server could not read a blob: {error.strerror}. Try again later.") from error

    async def has(self, sha256: str) -> bool:
        """See `Blobs.has`."""
        return bool(_SHA256.fullmatch(sha256)) and await self._in_thread(self._path(sha256).is_file)

    async def remove(self, sha256: str, *, before: float | None = None) -> None:
        """See `Blobs.remove`."""
        if _SHA256.fullmatch(sha256):
            await self._in_thread(self._remove, self._path(sha256), before)

    async def older(self, before: float, *, after: str, limit: int) -> list[str]:
        """See `Blobs.older`."""
        return await self._in_thread(self._older, before, after, limit)

    async def _in_thread(self, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: do(*args, **kwargs))

    def _path(self, sha256: str) -> Path:
        """Where a blob lies. What is no hash names no file, so that a name from outside cannot lead elsewhere."""
        if not _SHA256.fullmatch(sha256):
            raise NotFound("A blob is named by 64 hexadecimal digits.")
        return place_of(self._directory, sha256)

    def _prepare(self) -> None:
        self._directory.mkdir(0o700, parents=True, exist_ok=True)
        self._unfinished.mkdir(0o700, exist_ok=True)
        for path in self._unfinished.iterdir():
            path.unlink()

    def _older(self, before: float, after: str, limit: int) -> list[str]:
        found: list[str] = []
        for folder in sorted(path for path in self._directory.iterdir() if len(path.name) == 2):
            if folder.name < after[:2]:
                continue
            with os.scandir(folder) as entries:
                names = sorted(e.name for e in entries if e.name > after and e.stat().st_mtime < before)
            found += names[: limit - len(found)]
            if len(found) >= limit:
                break
        return found

    def _remove(self, path: Path, before: float | None) -> None:
        with self._deciding, contextlib.suppress(FileNotFoundError):
            if before is None or path.stat().st_mtime < before:
                path.unlink()

    def _renew(self, path: Path) -> bool:
        """Make a blob that is there as young as one just stored; False where there is none."""
        with self._deciding:
            try:
                os.utime(path)
            except FileNotFoundError:
                return False
            return True

    def _put(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._path(sha256)
        if self._renew(path):
            return sha256
        unfinished = self._unfinished / secrets.token_hex(8)
        try:
            self._write(unfinished, data)
            self._place(unfinished, path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise Unavailable(
                f"The server could not store {len(data)} bytes: {error.strerror}. Try again later.", retry_after_s=5
            ) from error
        return sha256

    def _write(self, path: Path, data: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)

    def _place(self, unfinished: Path, path: Path) -> None:
        """Give a finished file its name, durably: the name is an entry of its directory."""
        try:
            path.parent.mkdir(0o700)
        except FileExistsError:
            pass
        else:
            sync_directory(self._directory)
        unfinished.replace(path)
        sync_directory(path.parent)
