"""Which Python runs functions, as the engine finds it out."""

import sys
from pathlib import Path

import pytest

from yurt.outbound.engines.local.launch import Launcher


def test_the_servers_own_interpreter_is_known(tmp_path: Path) -> None:
    assert Launcher(Path(sys.executable), tmp_path / "runner").version() == sys.version_info[:2]


@pytest.mark.parametrize(("says", "version"), [("3 99", (3, 99)), ("nothing of use", None), ("", None)])
def test_another_interpreter_is_asked(tmp_path: Path, says: str, version: tuple[int, int] | None) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho {says}\n")
    python.chmod(0o755)
    assert Launcher(python, tmp_path / "runner").version() == version


def test_an_interpreter_that_is_gone_tells_nothing(tmp_path: Path) -> None:
    assert Launcher(tmp_path / "python", tmp_path / "runner").version() is None
