"""What a process holds at a moment: children and handles. Read from /proc, so that asking takes 0.2 ms."""

import gc
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")

MAY_TAKE_S = 5.0
"""How long what a test has ended may take to vanish, on a busy machine."""

PIDFD = "anon_inode:[pidfd]"


def child_pids() -> set[int]:
    """The direct children of this process, zombies included."""
    found: set[int] = set()
    for thread in Path("/proc/self/task").iterdir():
        try:
            found.update(map(int, (thread / "children").read_bytes().split()))
        except (FileNotFoundError, ProcessLookupError):
            continue  # the thread has ended; its children are another's now
    return found


def handles() -> set[str]:
    """Open sockets (by inode) and process handles (by number) of this process."""
    found: set[str] = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = os.fspath(link.readlink())
        except FileNotFoundError:
            continue  # the handle of the listing itself
        if target.startswith("socket:"):
            found.add(target)
        elif target == PIDFD:
            found.add(f"fd {link.name} {target}")
    return found


def settle(left: Callable[[], set[T]]) -> set[T]:
    """What is still left after a short wait, in which garbage is collected too."""
    remaining = left()
    deadline = time.monotonic() + MAY_TAKE_S
    while remaining and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
        remaining = left()
    return remaining


def describe_process(pid: int) -> str:
    """Number, state and command line, for a person."""
    try:
        process = psutil.Process(pid)
        return f"{pid} ({process.status()}: {' '.join(process.cmdline())[:200]})"
    except psutil.NoSuchProcess:
        return f"{pid} (gone meanwhile)"


def end_processes(pids: Iterable[int]) -> None:
    """Kill and reap children that a test left, so that the next test starts clean."""
    for pid in pids:
        try:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue  # ended or reaped meanwhile
