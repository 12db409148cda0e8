"""What a stack leaves outside its folder, and the ending of it: processes, containers, mounts, control groups."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from scripts.stack.processes import kill, of_stack

CGROUPS = Path("/sys/fs/cgroup")
PARENTS = ("nomad", "nomad.slice")
ALLOCATION_LABEL = "com.hashicorp.nomad.alloc_id"
CLEAR_S = 15


def allocations(home: Path) -> set[str]:
    """The ids of the allocations that nodes of this stack have folders of."""
    return {path.name for path in home.glob("node-*/data/alloc/*") if path.is_dir()}


def clear(home: Path) -> None:
    """End whatever runs for a stack, and remove its folder.

    Raises:
        TimeoutError: something is left, which the message names.
    """
    known = allocations(home)
    while processes := of_stack(home):  # one may have started another meanwhile
        kill(processes)
    _remove_containers(known)
    _remove_cgroups(known)
    _unmount(home)
    shutil.rmtree(home)


def _remove_containers(known: set[str]) -> None:
    docker = shutil.which("docker")
    if docker is None or not known:
        return
    listed = subprocess.run(
        [
            docker,
            "ps",
            "-a",
            "--filter",
            f"label={ALLOCATION_LABEL}",
            "--format",
            f'{{{{.ID}}}} {{{{.Label "{ALLOCATION_LABEL}"}}}}',
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ours = [line.split()[0] for line in listed.stdout.splitlines() if line.split()[1] in known]
    if ours:
        subprocess.run([docker, "rm", "-f", *ours], capture_output=True, timeout=120, check=True)


def _unmount(home: Path) -> None:
    """Unmount what Nomad mounted for tasks: their secrets are in memory."""
    mounts = [partition.mountpoint for partition in psutil.disk_partitions(all=True)]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{home}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=True, capture_output=True, timeout=30)


def _scopes() -> Iterator[Path]:
    """Control groups below Nomad's, the deepest first."""
    for parent in (*CGROUPS.glob("*/nomad"), CGROUPS / "nomad.slice"):
        for folder, _, _ in os.walk(parent, topdown=False):
            if Path(folder) != parent:
                yield Path(folder)


def _remove_cgroups(known: set[str]) -> None:
    """Remove the control groups of our allocations, and Nomad's own unless another Nomad runs here."""
    for scope in _scopes():
        if scope.name[:36] in known:
            _remove_cgroup(scope)
    if not _another_nomad():
        for scope in [*_scopes(), *CGROUPS.glob("*/nomad"), CGROUPS / "nomad.slice"]:
            with contextlib.suppress(OSError):  # absent, or in use
                scope.rmdir()


def _remove_cgroup(scope: Path) -> None:
    """Kill who is in it, and remove it."""
    deadline = time.monotonic() + CLEAR_S
    while scope.exists():
        try:
            members = scope / "cgroup.procs"
            if members.exists():  # else a node without control groups made a plain folder
                kill([psutil.Process(int(pid)) for pid in members.read_text().split()])
            scope.rmdir()
        except (OSError, psutil.NoSuchProcess):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)  # the kernel lets go of ended processes a little later


def _another_nomad() -> bool:
    """Whether some Nomad agent runs on this machine; it may need the control groups that all of them share."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            words = process.cmdline()
            if len(words) > 1 and Path(words[0]).name.startswith("nomad") and words[1] == "agent":
                return True
    return False
