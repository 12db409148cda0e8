"""One server a data directory."""

import fcntl
import os
from pathlib import Path

from yurt.outbound.store.errors import DirectoryInUse, StoreRefused


class DirectoryLock:
    """An exclusive lock that ends with the process, however that ends. Use `take`."""

    def __init__(self, handle: int) -> None:
        self._handle: int | None = handle

    @classmethod
    def take(cls, directory: Path) -> "DirectoryLock":
        """Lock `directory` through its file `lock`, and leave the number of this process in it.

        Raises:
            DirectoryInUse: another server holds it.
            StoreRefused: the directory cannot be written.
        """
        try:
            handle = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreRefused(
                f"The data directory {directory} cannot be written: {error.strerror}. "
                "Give the user of this server the right to, or choose another with --data-dir."
            ) from error
        try:
            # flock, not POSIX locks: those do not keep a second store of the same process out, and end as soon as any
            # handle of the file is closed. Children do not inherit the handle over exec.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(handle)
            raise DirectoryInUse(
                f"The data directory {directory} is in use by another server (process {holder}). "
                "Stop that one first, or give this one its own with --data-dir."
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        return cls(handle)

    def release(self) -> None:
        """Let go. The file stays: removing it would race with the next holder."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
