"""The local engine, from close up."""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.engine.conftest import SYSTEM_PYTHON, local_site
from tests.contract.engine.harness import Site
from tests.contract.engine.stand_ins import packed
from yurt.outbound.engines.local import LocalSettings


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder that every user can pass through."""
    path = Path(tempfile.mkdtemp(prefix="yurt-local-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def python(root: Path) -> Path:
    """A path to an interpreter that every user can run, which the test may take away."""
    path = root / "python"
    path.symlink_to(SYSTEM_PYTHON if SYSTEM_PYTHON.exists() else sys.executable)
    return path


@pytest.fixture
def site(root: Path, python: Path) -> Site:
    """A site of local engines; the test closes what it opens."""
    return local_site(root, python)


@pytest.fixture
def settings(root: Path, python: Path) -> Callable[..., LocalSettings]:
    """Settings of an engine in `root`, whose runner is a given program."""

    def make(program: str, **changes: object) -> LocalSettings:
        runner = packed(program)
        made = LocalSettings("inst-" + root.name, root / "run", python, runner, hashlib.sha256(runner).hexdigest())
        return replace(made, **changes)  # type: ignore[arg-type]

    return make
