"""The worker's process tree, through /proc: its memory, its CPU time, and making an end of all of it."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import List, Set

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")

END_WITHIN_S = 2.0
"""How long processes that were killed may take to go (one in an uninterruptible wait takes longer)."""


def descendants(pid: int) -> List[int]:
    """`pid` and the live processes below it. Those whose parent has died are not below it any more."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        try:
            threads = os.listdir(f"/proc/{one}/task")
        except OSError:
            continue
        for thread in threads:
            todo += [int(child) for child in _read(f"/proc/{one}/task/{thread}/children").split()]
    return found


def resident_bytes(pids: List[int], *, enough: int) -> int:
    """Resident memory of processes, in bytes.

    The plain sum counts pages that forks share once for each; where it exceeds `enough`, the slower proportional sizes
    (PSS) decide.
    """
    total = sum(_resident(pid) for pid in pids)
    if total <= enough or len(pids) == 1:
        return total
    return sum(_proportional(pid) for pid in pids)


def _resident(pid: int) -> int:
    words = _read(f"/proc/{pid}/statm").split()
    return int(words[1]) * _PAGE if len(words) > 1 else 0


def _proportional(pid: int) -> int:
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    return 0


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and of its children that have ended, in seconds."""
    words = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return sum(map(int, words[11:15])) / _TICKS if len(words) > 15 else 0.0


def kill_all(worker: int, container_id: str) -> None:
    """SIGKILL to the worker's group, and to everything that came from this container and left the group.

    What left is known by its session, or by the container's id in the environment it was started with (which the engine
    sets for the runner, and children inherit). Repeated, since a process may fork meanwhile.
    """
    deadline = time.monotonic() + END_WITHIN_S
    while True:
        kill_group(worker)
        left = _leftovers(worker, container_id)
        for pid in left:
            _kill(pid)
        reap_orphans()
        if not left or time.monotonic() > deadline:
            return
        time.sleep(0.002)


def _leftovers(worker: int, container_id: str) -> Set[int]:
    marker = b"YURT_CONTAINER_ID=" + container_id.encode()
    mine = {os.getpid(), os.getppid(), worker}
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in mine and _belongs(int(name), worker, marker):
            found.add(int(name))
    return found


def _belongs(pid: int, worker: int, marker: bytes) -> bool:
    words = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if len(words) < 4 or words[0] in "ZX":
        return False
    if int(words[3]) == worker:
        return True
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return marker in file.read().split(b"\0")
    except OSError:  # another user's process, or gone
        return False


def reap_orphans(spare: int = 0) -> None:
    """Take the exit statuses of orphans that were handed to this process, as happens to process 1 of a container.

    Args:
        spare: a child whose status somebody else waits for.
    """
    try:
        while True:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None or ended.si_pid == spare:
                return
            os.waitpid(ended.si_pid, 0)
    except ChildProcessError:
        pass


def kill_group(group: int) -> None:
    """SIGKILL to a process group."""
    with suppress(ProcessLookupError, PermissionError):  # gone, or another user's: then it is not ours to end
        os.killpg(group, signal.SIGKILL)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _read(path: str) -> str:
    """A file of /proc; empty where its process is gone."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
