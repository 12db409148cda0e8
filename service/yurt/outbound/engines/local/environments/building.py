"""The making of one environment: it appears whole, closed to writers, or not at all."""

import os
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from yurt.domain.requirements import headline, may_pass
from yurt.outbound.engines.local.endings import members
from yurt.outbound.engines.local.environments.tools import VARIABLES, Tool
from yurt.outbound.engines.local.launch import Launcher
from yurt.outbound.engines.local.processes import CONTAINER, INSTALLATION, Process, end
from yurt.outbound.engines.local.trees import close_tree, remove_tree

LINE_BYTES = 4096
TAIL_LINES = 400
"""What is kept of an installer's output to tell why it failed."""

KILL_MAY_TAKE_S = 5.0


class Unprepared(Exception):
    """An environment could not be made, and its requirements are to blame.

    Args:
        message: what went wrong, for people.
        output: the last of what the installer printed.
        final: it would go wrong again.
    """

    def __init__(self, message: str, output: str = "", *, final: bool) -> None:
        super().__init__(message)
        self.message = message
        self.output = output
        self.final = final


@dataclass(slots=True, eq=False)
class Making:
    """One environment on its way. `run` blocks, in a thread of its own, and fails once `stopped` says why.

    Args:
        place: where it is made, and stays; whoever runs containers owns it meanwhile.
        scratch: home and temporary files of the installer; gone afterwards.
        say: takes each line that the installer prints.
        variables: the operator's, for the installer.
    """

    key: str
    requirements: Sequence[str]
    place: Path
    scratch: Path
    tool: Tool
    launcher: Launcher
    installation: str
    variables: Mapping[str, str]
    say: Callable[[str], None]
    stopped: str | None = None
    tail: "deque[str]" = field(default_factory=lambda: deque(maxlen=TAIL_LINES))

    @property
    def mark(self) -> str:
        """What marks the installer's processes, in the place of a container's id."""
        return f"environment-{self.key}"

    def run(self) -> None:
        """Make it.

        Raises:
            Unprepared: the installer failed, or was stopped.
            OSError: this machine has no room for it, or does not let us.
        """
        whole = False
        try:
            listing = self._lay_out()
            for command in self.tool.steps(self.launcher.python, self.place, listing):
                self._step(command)
            self.end_processes()
            self._check()
            close_tree(self.place, (os.geteuid(), os.getegid()) if self.launcher.owner else None)
            os.sync()  # whoever finds it after the machine's death takes it for whole
            whole = self.stopped is None
        finally:
            self.end_processes()
            remove_tree(self.scratch)
            if not whole and self.place.exists():
                remove_tree(self.place)
        if self.stopped is not None:
            raise self._failure(self.stopped)

    def _lay_out(self) -> Path:
        temporary = self.scratch / "tmp"
        for directory in (self.place, self.scratch, temporary):
            directory.mkdir(0o700)
        self.place.chmod(0o755)
        listing = self.scratch / "requirements.txt"
        listing.write_text("".join(f"{one}\n" for one in self.requirements))
        if owner := self.launcher.owner:
            for path in (temporary, self.scratch, self.place, listing):
                os.chown(path, *owner)
        return listing

    def _step(self, command: Sequence[str]) -> None:
        if self.stopped is not None:
            raise self._failure(self.stopped)
        process = self.launcher.open(command, self.scratch, self._environment())
        with process:
            for line in _lines(process):
                self.tail.append(line)
                self.say(line)
        if process.returncode != 0:
            raise self._failure(f"{self.tool.name} ended with {process.returncode}")

    def _environment(self) -> Mapping[str, str]:
        home, temporary = os.fspath(self.scratch), os.fspath(self.scratch / "tmp")
        marks = {INSTALLATION: self.installation, CONTAINER: self.mark}
        return {**VARIABLES, **self.variables, "HOME": home, "TMPDIR": temporary, **marks}

    def _failure(self, why: str) -> Unprepared:
        why, said = self.stopped or why, headline(self.tail)
        final = self.stopped is not None or not may_pass(self.tail)
        return Unprepared(f"{why}{': ' if said else ''}{said}", "\n".join(self.tail)[-LINE_BYTES:], final=final)

    def _check(self) -> None:
        """It runs the runner, as a container will."""
        problem = replace(self.launcher, python=self.place / "bin" / "python").probe()
        if problem is not None:
            raise Unprepared(f"the interpreter of the new environment does not run: {problem}", final=True)

    def end_processes(self) -> None:
        """End the installer and all that it began, so that a step that runs fails. Blocks: for threads."""

        def wanted(found: list[Process]) -> list[Process]:
            return members(found, self.installation, {self.mark}, {})

        end(wanted, within_s=KILL_MAY_TAKE_S)


def _lines(process: "subprocess.Popen[bytes]") -> Iterator[str]:
    """What it prints, cut into lines, the longest of them into several."""
    stdout = process.stdout
    if stdout is None:
        return
    for raw in iter(lambda: stdout.readline(LINE_BYTES), b""):
        line = raw.decode(errors="replace").rstrip()
        if line:
            yield line
