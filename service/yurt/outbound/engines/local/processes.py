"""Processes by identity: what /proc tells of them, their ends, and signals that cannot hit a stranger.

A pid is used again after its process has ended; pid and start time together are not. A process handle (pidfd) stands
for one process, whatever becomes of its pid.
"""

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

INSTALLATION = "YURT_INSTALLATION"
"""The variable that marks the processes of a server's containers, to be found when that server is gone."""

CONTAINER = "YURT_CONTAINER_ID"
"""The variable that says which container a process belongs to; its children inherit it."""

LONGEST_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Process:
    """One process at a moment.

    Args:
        parent: the pid of its parent.
        started: when, in clock ticks since the machine's start.
        session: the pid of its session's leader.
        alive: False for one that has ended and whose parent has not asked for its status.
        installation: the mark in its environment, or empty.
        container_id: the other mark, or empty.
    """

    pid: int
    parent: int
    started: int
    session: int
    alive: bool
    installation: str
    container_id: str


@dataclass(frozen=True, slots=True)
class Status:
    """How a process ended. Both are None where that cannot be known: it was not this server's child."""

    exit_code: int | None = None
    signal: int | None = None


def look(pid: int) -> Process | None:
    """What is known of a process, or None if there is none.

    The fields are those of https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html; the name in parentheses may
    hold anything, so the fields are counted from the last parenthesis.
    """
    place = f"/proc/{pid}"
    try:
        fields = Path(place, "stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        environment = Path(place, "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        environment = b""  # it ended meanwhile, or it is another user's and no container of ours
    return Process(
        pid=pid,
        parent=int(fields[1]),
        started=int(fields[19]),
        session=int(fields[3]),
        alive=fields[0] not in {b"Z", b"X"},
        installation=_variable(environment, INSTALLATION),
        container_id=_variable(environment, CONTAINER),
    )


def _variable(environment: bytes, name: str) -> str:
    start = (b"\0" + environment).find(f"\0{name}=".encode())
    if start < 0:
        return ""
    return environment[start + len(name) + 1 :].split(b"\0", 1)[0].decode(errors="replace")


def scan() -> Iterator[Process]:
    """Every process of the machine but this one."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - names, not paths: this runs over hundreds
        if name.isdigit() and int(name) != os.getpid() and (process := look(int(name))):
            yield process


def child(pid: int) -> tuple[int, int]:
    """Handle and start time of a child that nobody has waited for, so that its pid cannot be another's.

    Raises:
        OSError: no handle can be opened.
    """
    handle = os.pidfd_open(pid)
    found = look(pid)
    if found is None:
        os.close(handle)
        raise ProcessLookupError(errno.ESRCH, f"child {pid} was waited for by somebody else")
    return handle, found.started


def handle_of(pid: int, started: int) -> int | None:
    """A handle of exactly that process, or None if it is gone. The caller closes it."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    found = look(pid)
    if found and found.started == started:
        return handle
    os.close(handle)
    return None


def send(handle: int, number: signal.Signals) -> None:
    """Send a signal to the process of `handle`; nothing happens if it has ended."""
    try:
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return


def status_of(handle: int, *, reap: bool) -> Status:
    """How the process of `handle`, which has ended, ended.

    Args:
        handle: a process handle that has become readable.
        reap: let go of its pid. Until then no other process can get it, nor the session that it led.
    """
    options = os.WEXITED | os.WNOHANG | (0 if reap else os.WNOWAIT)
    try:
        result = os.waitid(os.P_PIDFD, handle, options)
    except ChildProcessError:
        return Status()
    if result is None:
        return Status()
    if result.si_code == os.CLD_EXITED:
        return Status(exit_code=result.si_status)
    return Status(signal=result.si_status)


def end(wanted: Callable[[list[Process]], list[Process]], *, within_s: float) -> list[Process]:
    """Kill processes until none is left, those included that they start meanwhile. Blocks: for threads.

    Args:
        wanted: picks those to kill, of all there are.
        within_s: give up after so many seconds.

    Returns:
        Those that are still alive at the end.
    """
    deadline, pause = time.monotonic() + within_s, 0.001
    while left := [process for process in wanted(list(scan())) if process.alive]:
        if time.monotonic() > deadline:
            return left
        for process in left:
            _kill(process)
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_S)
    return []


def _kill(process: Process) -> None:
    handle = handle_of(process.pid, process.started)
    if handle is None:
        return
    try:
        send(handle, signal.SIGKILL)
    except PermissionError:
        return  # it became another user's; the caller learns that it is left
    finally:
        os.close(handle)
