"""The engines under test. A further engine joins by a further parameter of `site`."""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.engine.harness import Site
from tests.contract.engine.nomad_site import nomad_site
from tests.contract.engine.stand_ins import packed
from yurt.outbound.engines.local import LocalEngine, LocalSettings
from yurt.outbound.engines.local.processes import scan

SYSTEM_PYTHON = Path("/usr/bin/python3")


def local_site(root: Path, python: Path) -> Site:
    """A site of local engines in `root`, which every user can pass through."""
    installation = "inst-" + root.name
    board = root / "board"
    board.mkdir()
    board.chmod(0o777)

    def make(program: str) -> LocalEngine:
        runner = packed(program)
        return LocalEngine(
            LocalSettings(
                installation=installation,
                run_dir=root / "run",
                python=python,
                runner=runner,
                runner_sha256=hashlib.sha256(runner).hexdigest(),
            )
        )

    return Site(board, installation, make)


@pytest.fixture(params=["local", "nomad"])
async def site(request: pytest.FixtureRequest, python: Path) -> AsyncIterator[Site]:
    """A site whose containers are all gone when the test is over."""
    if request.param == "nomad":
        async with nomad_site(request.getfixturevalue("stack"), python) as site:
            yield site
        return
    root = Path(tempfile.mkdtemp(prefix="yurt-site-"))
    root.chmod(0o711)
    site = local_site(root, python)
    yield site
    for engine in site.opened:
        await engine.close(stop_all=True)
    assert [process for process in scan() if process.installation == site.installation] == []
    for folder in (root / "run" / "containers", root / "run" / "trash" / site.installation):
        assert not folder.exists() or list(folder.iterdir()) == []
    shutil.rmtree(root)


@pytest.fixture
def python() -> Path:
    """The interpreter that containers run: one that every user can run, if the machine has it."""
    return SYSTEM_PYTHON if SYSTEM_PYTHON.exists() else Path(sys.executable)
