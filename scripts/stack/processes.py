"""Processes by number and time of start, so that none is taken for another that got its number later."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "HASHISTACK_HOME"
"""A variable that every process of a stack has, also those that Nomad starts and that outlive it."""

KILL_S = 15
SPAWN_S = 15


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
            return found if abs(found.create_time() - self.at) < 0.05 and not ended(found) else None
        except psutil.NoSuchProcess:
            return None


def ended(process: psutil.Process) -> bool:
    """Whether it has ended, be it that nobody has taken note yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def spawn(command: list[str], home: Path, log: Path) -> Started:
    """Start an agent that is nobody's child, with its output in a log."""
    # The developer's own tokens and addresses are not this cluster's.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NOMAD_", "CONSUL_", "YURT_"))}
    script = 'log=$1; shift; "$@" >>"$log" 2>&1 </dev/null & echo $!'
    ran = subprocess.run(
        ["sh", "-c", script, "sh", str(log), *command],
        cwd=home,
        env=kept | {MARK: str(home)},
        start_new_session=True,
        stdout=subprocess.PIPE,
        timeout=SPAWN_S,
        check=True,
    )
    pid = int(ran.stdout)
    return Started(pid, psutil.Process(pid).create_time())


def of_stack(home: Path) -> list[psutil.Process]:
    """Every process that an agent of this stack started, and the agents."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(home) and not ended(process):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def kill(processes: Iterable[psutil.Process]) -> None:
    """End processes at once.

    Raises:
        TimeoutError: one does not end, which should never be.
    """
    left = list(processes)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + KILL_S
    while left := [process for process in left if not ended(process)]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"these processes do not end: {', '.join(map(str, left))}")
        time.sleep(0.01)
