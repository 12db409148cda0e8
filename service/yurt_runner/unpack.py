"""Unpacking of the source archive. The server has checked it on upload; what is unsafe is refused here all the same."""

from __future__ import annotations

import os
import stat
import zipfile
from typing import BinaryIO, Union

MAX_SOURCE_BYTES = 1 << 30
"""Unpacked. A worker's scratch must not be filled by one upload."""


class BadSource(Exception):
    """The archive is not one that may be unpacked; the message says why."""


def unpack(archive: Union[str, BinaryIO], folder: str) -> None:
    """Unpack into `folder`, which is made.

    Raises:
        BadSource: it is no zip, holds a name outside of `folder` or a link, or is too large.
    """
    os.makedirs(folder, mode=0o700, exist_ok=True)
    try:
        with zipfile.ZipFile(archive) as file:
            members = file.infolist()
            if sum(member.file_size for member in members) > MAX_SOURCE_BYTES:
                raise BadSource(f"the source is larger than {MAX_SOURCE_BYTES >> 20} MiB when unpacked")
            for member in members:
                _check(member)
            file.extractall(folder, members)
    except zipfile.BadZipFile as error:
        raise BadSource(f"the source is not a zip archive: {error}") from None


def _check(member: zipfile.ZipInfo) -> None:
    name = member.filename
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or "\\" in name or "\0" in name or any(part in {"", ".", ".."} for part in parts):
        raise BadSource(f"the source holds a file with the unsafe name {name!r}")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise BadSource(f"the source holds a link, {name!r}: only files and folders are allowed")
