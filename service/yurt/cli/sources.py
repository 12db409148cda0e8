"""Which files of a folder are an app's source, and how they travel."""

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pathspec

from yurt.cli.failures import CommandError, ExitCode

INLINE_BYTES = 1024 * 1024
"""The most source that travels inside a definition; more goes as a bundle."""

NEVER = (".git/", "__pycache__/", ".venv/", "*.pyc")
"""Left out whatever the patterns say."""

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The first moment a zip archive can name; with one time for all files, equal files make equal bundles."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Source as a zip archive, known by its content."""

    sha256: str
    content: bytes


def collect(root: Path, include: Sequence[str], exclude: Sequence[str]) -> dict[str, bytes]:
    """The files of an app, by their path below `root` with slashes, in order.

    Args:
        root: the folder of the app.
        include: patterns as in a .gitignore file; what none matches is left out.
        exclude: patterns of what is left out again. What git ignores is left out too.

    Raises:
        CommandError: a file cannot be read, is a pipe or a socket, or is a link that leaves the folder.
    """
    wanted = pathspec.GitIgnoreSpec.from_lines(include)
    unwanted = pathspec.GitIgnoreSpec.from_lines([*exclude, *NEVER])
    found = {}
    for path in sorted(_walk(root, unwanted)):
        name = path.relative_to(root).as_posix()
        if wanted.match_file(name):
            found[name] = _read(path, root)
    return found


def _walk(root: Path, unwanted: pathspec.GitIgnoreSpec) -> Iterator[Path]:
    """Every file that is neither excluded nor ignored; folders that are, are not entered."""
    ignores = _ignores_above(root)
    for folder, names, files in os.walk(root):
        here = Path(folder)
        ignores[here] = _read_ignore(here)

        def left_out(path: Path, mark: str = "") -> bool:
            return unwanted.match_file(path.relative_to(root).as_posix() + mark) or _ignored(path, mark, ignores)

        names[:] = sorted(name for name in names if not left_out(here / name, "/"))
        yield from (here / name for name in files if not left_out(here / name))


def _ignores_above(root: Path) -> dict[Path, pathspec.GitIgnoreSpec | None]:
    """The .gitignore files of the folders around `root`, up to that of its repository; none without one."""
    around = list(root.parents)
    top = next((n for n, folder in enumerate([root, *around]) if (folder / ".git").exists()), 0)
    return {folder: _read_ignore(folder) for folder in reversed(around[:top])}


def _read_ignore(folder: Path) -> pathspec.GitIgnoreSpec | None:
    path = folder / ".gitignore"
    return pathspec.GitIgnoreSpec.from_lines(path.read_text(errors="replace").splitlines()) if path.is_file() else None


def _ignored(path: Path, mark: str, ignores: Mapping[Path, pathspec.GitIgnoreSpec | None]) -> bool:
    """As git decides: of the .gitignore files above a path, the nearest one that has an opinion counts."""
    for folder in path.parents:
        spec = ignores.get(folder)
        opinion = spec.check_file(path.relative_to(folder).as_posix() + mark).include if spec else None
        if opinion is not None:
            return opinion
    return False


def _read(path: Path, root: Path) -> bytes:
    if not path.resolve().is_relative_to(root.resolve()):
        raise CommandError(
            f"{path} is a link to a file outside {root}", "Copy the file, or exclude the link.", ExitCode.USAGE
        )
    if path.exists() and not path.is_file():  # who reads a pipe may wait for ever
        raise CommandError(f"{path} is no file", "Exclude it, or put it elsewhere.", ExitCode.USAGE)
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}", code=ExitCode.USAGE) from error


def inline(files: Mapping[str, bytes]) -> dict[str, str] | None:
    """The files as text for a definition, or None where they are too large or not all text."""
    if sum(map(len, files.values())) > INLINE_BYTES:
        return None
    try:
        return {name: content.decode() for name, content in files.items()}
    except UnicodeDecodeError:
        return None


def bundle(files: Mapping[str, bytes]) -> Bundle:
    """The files as a zip archive whose bytes depend on nothing but their names and contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _ZIP_EPOCH)
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])
    content = buffer.getvalue()
    return Bundle(hashlib.sha256(content).hexdigest(), content)
