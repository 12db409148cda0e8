"""Bad things that are done to processes, connections and disks, whoever decides on them."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence

import psutil

from tests.chaos.world import Member


def cut(port: int) -> None:
    """Reset every connection to a port of this machine, at both ends."""
    command = ["ss", "-K", "-H", "-t", "state", "established", f"sport = :{port}"]
    subprocess.run(command, capture_output=True, timeout=20, check=True)


def can_cut() -> bool:
    """Whether that can be done here: a kernel without it says nothing and leaves the connection."""
    if os.geteuid() != 0 or not shutil.which("ss"):
        return False
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        with socket.create_connection(listening.getsockname()) as client, listening.accept()[0]:
            cut(listening.getsockname()[1])
            client.setblocking(False)
            try:
                client.recv(1)
            except ConnectionResetError:
                return True
            except BlockingIOError:
                pass
            return False


def signal_to(process: psutil.Process, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return  # it ended meanwhile


async def thaw(members: Sequence[Member], seconds: float) -> None:
    """Let frozen processes go on after so many seconds."""
    try:
        await asyncio.sleep(seconds)
    finally:
        for member in members:
            signal_to(member.process, signal.SIGCONT)


def fill(path: os.PathLike[str]) -> None:
    """Write until there is no room."""
    with open(path, "wb", buffering=0) as file:  # noqa: PTH123 - unbuffered, so that the last block is small
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
