"""What the adapters that write files share."""

import os
import tempfile
from pathlib import Path


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable: they are its own content, not that of the files.

    Raises:
        OSError: the disk fails.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_private(file: Path, text: str) -> None:
    """Make or replace a file of ASCII text that its owner alone can read.

    It appears whole or not at all, and is on the disk when this returns.

    Raises:
        OSError: it cannot be written; what was there before still is.
    """
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "w", encoding="ascii") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_directory(file.parent)
