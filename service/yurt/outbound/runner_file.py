"""The runner as one file that any Python from 3.9 on can run."""

import hashlib
import importlib.util
import io
import marshal
import zipfile
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable

MAIN = "import sys\n\nfrom yurt_runner.__main__ import main\n\nsys.exit(main())\n"
TIMESTAMP = (2020, 1, 1, 0, 0, 0)
"""Of every member: the same sources give the same bytes."""


@dataclass(frozen=True, slots=True)
class RunnerFile:
    """The file and its name.

    Args:
        data: a zip archive that `python` runs.
        sha256: of `data`, in hex.
    """

    data: bytes = field(repr=False)
    sha256: str


def build_runner() -> RunnerFile:
    """Pack the installed `yurt_runner`.

    Its bytecode for this interpreter is packed beside the source: that saves a container of the same version the
    compilation (20 ms); others skip it, by its magic number, and take the source.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "__main__.py", MAIN.encode())
        for module in sorted(_modules(files("yurt_runner")), key=lambda one: one.name):
            path = f"yurt_runner/{module.name}"
            source = module.read_bytes()
            _add(archive, path, source)
            _add(archive, path + "c", _bytecode(source, path))
    data = buffer.getvalue()
    return RunnerFile(data, hashlib.sha256(data).hexdigest())


def _modules(package: Traversable) -> list[Traversable]:
    return [one for one in package.iterdir() if one.name.endswith(".py")]


def _bytecode(source: bytes, path: str) -> bytes:
    """An unchecked hash-based .pyc (PEP 552): nothing in it depends on a time of change."""
    code = compile(source, path, "exec", dont_inherit=True)
    unchecked = (1).to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + unchecked + importlib.util.source_hash(source) + marshal.dumps(code)


def _add(archive: zipfile.ZipFile, path: str, data: bytes) -> None:
    member = zipfile.ZipInfo(path, TIMESTAMP)
    member.external_attr = 0o644 << 16
    archive.writestr(member, data)
