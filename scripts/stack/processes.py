"""Processes by number and time of start, so that none is taken for another that got its number later."""

import os
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "HASHISTACK_HOME"
"""A variable that every process of a stack has, also those that Nomad starts and that outlive it."""

KILL_S = 15


@dataclass(frozen=True)
class Started:
    """A process that was started.

    Attributes:
        at: when, in seconds since the epoch.
    """

    pid: int
    at: float

    def process(self) -> psutil.Process | None:
        """The process, while it runs."""
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.at) < 0.05
            return found if same and found.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def spawn(command: list[str], home: Path, log: Path) -> tuple[Started, subprocess.Popen[bytes]]:
    """Start an agent that outlives its parent, with its output in a log."""
    # Go resolves what it listens on by itself; the developer's own tokens and addresses are not this cluster's.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NOMAD_", "CONSUL_", "YURT_"))}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=home,
            env=kept | {MARK: str(home)},
            start_new_session=True,
        )
    return Started(process.pid, psutil.Process(process.pid).create_time()), process


def of_stack(home: Path) -> list[psutil.Process]:
    """Every process that an agent of this stack started, and the agents."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def kill(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """End processes at once; those that are left after a while, which there should never be."""
    targets = [process for process in processes if process.pid != os.getpid()]
    for process in targets:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    _, left = psutil.wait_procs(targets, timeout=KILL_S)
    return [process for process in left if process.status() != psutil.STATUS_ZOMBIE]
