"""Source code as a zip archive: made from files, always the same bytes for the same files, and checked before use."""

import hashlib
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping

from yurt.domain.errors import FieldError, Invalid
from yurt.domain.naming import shown

MAX_BUNDLE_BYTES = 64 << 20
"""The largest archive that is accepted: one request body."""

MAX_UNPACKED_BYTES = 512 << 20
"""The most that an archive may hold when unpacked."""

MAX_ENTRIES = 20_000

MAX_RATIO = 200
"""Unpacked to packed, for archives that unpack to more than `_RATIO_FROM_BYTES`; source code rarely passes 20."""

MAX_PATH_CHARS = 1024
MAX_PART_CHARS = 200
"""Of a file's path and of one part of it. Linux file systems take 255 bytes a part; a character may take several."""

_RATIO_FROM_BYTES = 32 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip archive can tell."""

_CHUNK = 1 << 18
_ENTRY_MARK = b"PK\x01\x02"
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    UnicodeDecodeError,
    ValueError,
)
"""All that zipfile raises on bytes that somebody made to hurt it."""


def path_problem(path: str) -> str | None:
    """Why `path` cannot be the place of a file of the source, or None: relative, POSIX, and inside."""
    parts = path.split("/")
    drive = len(path) > 1 and path[1] == ":" and path[0].isalpha()
    rules = (
        (not path.isprintable(), "has characters that cannot be printed"),
        ("\\" in path, "has a backslash; separate folders by /"),
        (path.startswith("/") or drive, "is absolute; it must be relative to the source's root"),
        (".." in parts, 'leaves the source: ".." is not allowed'),
        ("" in parts or "." in parts, "is empty, or has a part that is empty or a dot"),
        (len(path) > MAX_PATH_CHARS or any(len(part) > MAX_PART_CHARS for part in parts), "is too long"),
    )
    return next((f"the path {shown(path)} {problem}" for broken, problem in rules if broken), None)


def tree_problem(paths: Iterable[str]) -> str | None:
    """Why these files cannot stand beside each other, or None: one's path must not be another's folder."""
    files = set(paths)
    for path in files:
        parent = path
        while "/" in parent:
            parent = parent.rpartition("/")[0]
            if parent in files:
                return f"{shown(parent)} is a file and also the folder of {shown(path)}"
    return None


def pack(files: Mapping[str, bytes]) -> bytes:
    """A zip archive of `files` by path. The same files give the same bytes: sorted, with one time and one mode."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(path, _EPOCH)
            entry.create_system = 3  # Unix, on every machine
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[path])
    return out.getvalue()


def name_of(data: bytes) -> str:
    """What a bundle is known by: the sha256 of its bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


class Archive:
    """A checked archive, opened for reading.

    Attributes:
        sizes: bytes of each file, unpacked, by path.
    """

    def __init__(self, data: bytes) -> None:
        self._zip = zipfile.ZipFile(io.BytesIO(data))
        self.sizes = {entry.filename: entry.file_size for entry in self._zip.infolist() if not entry.is_dir()}

    def read(self, path: str) -> bytes:
        """One file, unpacked."""
        return self._zip.read(path)


def check_bundle(data: bytes) -> None:
    """Check that `data` is an archive that is safe to unpack. Takes CPU time in proportion to what it holds.

    Raises:
        Invalid: it is not; it says what is wrong, and with which entry.
    """
    if data.count(_ENTRY_MARK) > 5 * MAX_ENTRIES:  # before zipfile builds an object for each
        raise _refused(f"it has more than {MAX_ENTRIES} entries")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_names(entries)
            _check_contents(archive, entries, len(data))
    except _BROKEN as error:
        raise _refused(f"it is not a zip archive, or a damaged one ({error})") from error


def _check_names(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise _refused(f"it has {len(entries)} entries; {MAX_ENTRIES} are allowed")
    files, folders = set[str](), set[str]()
    for entry in entries:
        problem = _entry_problem(entry)
        name = entry.filename.removesuffix("/")
        if name in files or (name in folders and not entry.is_dir()):
            problem = problem or f"there are two entries {shown(name)}"
        if problem:
            raise _refused(problem)
        (folders if entry.is_dir() else files).add(name)
    clash = tree_problem(files) or next((f"{shown(name)} is a file and a folder" for name in files & folders), None)
    if clash:
        raise _refused(clash)


def _entry_problem(entry: zipfile.ZipInfo) -> str | None:
    name = entry.orig_filename  # zipfile cuts the other one at a NUL
    problem = path_problem(name.removesuffix("/"))
    if problem:
        return problem
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return f"{shown(name)} is a link; put the file itself into the archive"
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return f"{shown(name)} is neither a file nor a folder"
    if entry.flag_bits & 0x1:
        return f"{shown(name)} is encrypted"
    if entry.compress_type not in _METHODS:
        return f"{shown(name)} is neither stored nor deflated"
    return None


def _check_contents(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], packed: int) -> None:
    """Unpack everything, keeping nothing: sizes in the directory may lie, and zipfile compares checksums at the end."""
    total = 0
    for entry in entries:
        with archive.open(entry) as content:
            while chunk := content.read(_CHUNK):
                total += len(chunk)
                if total > MAX_UNPACKED_BYTES or (total > _RATIO_FROM_BYTES and total > MAX_RATIO * packed):
                    raise _refused(f"at {shown(entry.filename)} it unpacks to far more than source code does")


def _refused(problem: str) -> Invalid:
    return Invalid(f"The bundle is refused: {problem}.", errors=[FieldError("", problem)])
