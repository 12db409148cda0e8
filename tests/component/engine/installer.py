"""A stand-in for uv, on PATH: it makes real environments, and installs packages that are nothing but names."""

import os
from pathlib import Path

import pytest

INSTALL = 'while read -r one; do echo "NAME = \'$one\'" > "$(echo $place/lib/py*/site-packages)/$one.py"; done < "$7"'
"""What it does when all goes well: a module for each requirement."""


class Installer:
    """What was asked of it stands in `asked`, a line each; `does` is what installing means, in shell.

    `$place` is the environment, and `$board` a folder for notes.
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch, python: Path) -> None:
        self.board = root / "board"
        self._folder = root / "tools"
        self._folder.mkdir()
        self._python = python
        patch.setenv("PATH", f"{self._folder}:{os.environ['PATH']}")
        self.does(INSTALL)

    def does(self, script: str) -> None:
        """Say what installing means from now on."""
        program = self._folder / "uv"
        program.unlink(missing_ok=True)
        program.write_text(
            "#!/bin/bash\n"
            f"board={self.board}\n"
            'case "$1" in\n'
            "--version) exit 0;;\n"
            f'venv) place="${{@: -1}}"; {self._python} -m venv --without-pip "$place";;\n'
            f'pip) echo "$7" >> $board/asked; place="${{5%/bin/python}}"; {script};;\n'
            "esac\n"
        )
        program.chmod(0o755)

    @property
    def asked(self) -> int:
        """How often something was to be installed."""
        file = self.board / "asked"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def noted(self, name: str) -> bool:
        """Whether a script has left that note on the board."""
        return (self.board / name).exists()
