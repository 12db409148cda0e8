"""The fork into supervisor and worker.

It happens once what both need is imported, and before any thread or secret exists: the worker's own imports run while
the supervisor dials, and nothing of the session is in the worker's memory.
"""

from __future__ import annotations

import os
import socket
from _thread import LockType, allocate_lock
from contextlib import suppress
from typing import NamedTuple, Tuple

from yurt_runner.logs import new_secret
from yurt_runner.page import Page


class Worker(NamedTuple):
    """The supervisor's ends of what joins it to its worker.

    Args:
        pid: of the worker, which leads a session and a process group of its own.
        sock: frames, both ways.
        permits: a packet goes in for each input that may begin (see `pipe`).
        credits: a `yields.GRANT` goes in for a generator that may go further.
        unused: the worker's own end of `permits`: what is read back here was not begun and never will be.
        stdout: the read end of its standard output; `stderr` likewise.
        life: as long as this is open, the worker lives.
        secret: begins a marker in the log pipes.
    """

    pid: int
    sock: socket.socket
    permits: socket.socket
    credits: socket.socket
    unused: socket.socket
    stdout: int
    stderr: int
    life: int
    page: Page
    secret: bytes


class Links(NamedTuple):
    """The worker's ends of the same.

    Args:
        unread: the supervisor's ends of `stdout` and `stderr`: they tell whether it has read everything.
        sending: held while a thread writes to `sock`, where there are several.
        crediting: held while one reads from `credits`.
    """

    sock: socket.socket
    permits: socket.socket
    credits: socket.socket
    stdout: int
    stderr: int
    unread: Tuple[int, int]
    page: Page
    secret: bytes
    sending: LockType
    crediting: LockType


def fork_worker() -> Worker:
    """Fork. Returns in the supervisor only; the worker runs `yurt_runner.worker.main` and ends."""
    page, secret = Page(), new_secret()
    sock, worker_sock = socket.socketpair()
    permits, worker_permits = socket.socketpair(type=socket.SOCK_SEQPACKET)
    granted, worker_granted = socket.socketpair(type=socket.SOCK_SEQPACKET)
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    life_read, life_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        for end in (sock, permits, granted):
            end.close()
        os.close(life_write)
        ends = (worker_sock, worker_permits, worker_granted, out_write, err_write, (out_read, err_read))
        _be_worker(Links(*ends, page, secret, allocate_lock(), allocate_lock()), life_read)
    worker_sock.close()
    worker_granted.close()
    for fd in (out_write, err_write, life_read):
        os.close(fd)
    for fd in (out_read, err_read):
        os.set_blocking(fd, False)
    sock.settimeout(0)
    permits.settimeout(0)
    granted.settimeout(0)
    return Worker(pid, sock, permits, granted, worker_permits, out_read, err_read, life_write, page, secret)


def _be_worker(links: Links, life: int) -> None:
    code = 1
    try:
        os.setsid()
        end_with_supervisor(life)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(links.stdout, 1)
        os.dup2(links.stderr, 2)
        prefer_for_oom()
        from yurt_runner.worker import main

        code = main(links)
    except BaseException:  # noqa: BLE001 - the last line of defence of a process: it is told, then the process ends
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def end_with_supervisor(life: int) -> None:
    """Have the kernel kill this process group as soon as the last write end of the pipe `life` is closed.

    If that has happened already, the process ends here, as silently: its standard error is still its supervisor's.

    Asynchronous I/O on the pipe with SIGKILL as its signal: it works while the GIL is held, and needs no thread and no
    ctypes (which `prctl` would).
    """
    import fcntl

    set_signal, sigkill = 10, 9  # F_SETSIG of Linux has no name in Python before 3.13
    fcntl.fcntl(life, fcntl.F_SETOWN, -os.getpid())
    fcntl.fcntl(life, set_signal, sigkill)
    fcntl.fcntl(life, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    try:
        gone = os.read(life, 1) == b""
    except BlockingIOError:
        gone = False
    if gone:  # it ended before the pipe was armed
        os._exit(1)


def prefer_for_oom() -> None:
    """Have the kernel take this process, not the supervisor, when memory runs out.

    Raising the score needs no right; where /proc is read-only or missing, the kernel chooses by itself.
    """
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("800")
