"""The file that holds the administrator's token."""

import asyncio
import os
import tempfile
from pathlib import Path

from yurt.outbound.disk import sync_directory

FILE_NAME = "admin-token"


async def write_admin_token(data_dir: Path, word: str) -> None:
    """Write `word` (`id:secret`) as the one line of `<data_dir>/admin-token`, readable by its owner alone.

    It appears whole or not at all, and is on the disk when this returns.

    Raises:
        OSError: it cannot be written.
    """
    await asyncio.to_thread(_write, data_dir, word)


def _write(data_dir: Path, word: str) -> None:
    handle, name = tempfile.mkstemp(dir=data_dir, prefix=f".{FILE_NAME}-")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(word + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(data_dir / FILE_NAME)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_directory(data_dir)
