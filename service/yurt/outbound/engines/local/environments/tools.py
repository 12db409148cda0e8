"""The programs that make environments: uv where it is there, else the interpreter's own venv and pip."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from yurt.outbound.engines.local.launch import Launcher

VARIABLES = {
    "NO_COLOR": "1",
    "PYTHONUNBUFFERED": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "PIP_PROGRESS_BAR": "off",
    "UV_LINK_MODE": "copy",  # a link into a cache would let whoever may write there change the environment
    "UV_NO_PROGRESS": "1",
    "UV_PYTHON_DOWNLOADS": "never",
}
"""What makes them work without a person; the operator's own variables come after these."""

Steps = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Tool:
    """One way to make an environment. `uv` is the program's path, or None for venv and pip."""

    uv: str | None

    @property
    def name(self) -> str:
        """What people call it."""
        return "uv" if self.uv else "pip"

    def steps(self, python: Path, place: Path, listing: Path) -> Steps:
        """The command lines, one after the other.

        Args:
            python: the interpreter that the environment is for.
            place: where it is made; nothing is there yet.
            listing: a file with the requirements.
        """
        inner, wanted = os.fspath(place / "bin" / "python"), os.fspath(listing)
        if self.uv:
            return (
                (self.uv, "venv", "--quiet", "--no-project", "--python", os.fspath(python), os.fspath(place)),
                (self.uv, "pip", "install", "--compile-bytecode", "--python", inner, "-r", wanted),
            )
        return (
            (os.fspath(python), "-m", "venv", os.fspath(place)),
            (inner, "-m", "pip", "install", "--no-color", "-r", wanted),
        )


def find(launcher: Launcher) -> Tool | None:
    """The best one that whoever runs containers can run. Blocks: for threads."""
    uv = shutil.which("uv")
    if uv is not None and _works(launcher, uv, "--version"):
        return Tool(uv)
    works = _works(launcher, os.fspath(launcher.python), "-c", "import venv, ensurepip")
    return Tool(None) if works else None


def missing(python: Path) -> str:
    """What to do where there is none."""
    return (
        f"Functions with requirements cannot run: the user that containers run as has neither uv, nor {python} with the"
        " modules venv and ensurepip. Install uv for all users, or the system's package for the modules, such as"
        " python3-venv, and restart the server."
    )


def _works(launcher: Launcher, *command: str) -> bool:
    try:
        return launcher.run(*command).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
