"""The file that holds the administrator's token."""

import asyncio
from pathlib import Path

from yurt.outbound.disk import write_private

FILE_NAME = "admin-token"


async def write_admin_token(data_dir: Path, word: str) -> None:
    """Write `word` (`id:secret`) as the one line of `<data_dir>/admin-token`, readable by its owner alone.

    It appears whole or not at all, and is on the disk when this returns.

    Raises:
        OSError: it cannot be written.
    """
    await asyncio.to_thread(write_private, data_dir / FILE_NAME, word + "\n")
