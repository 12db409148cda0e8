"""Ports that nobody uses, for stacks that are started without a person to choose."""

import fcntl
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.stack.plan import PORTS

FIRST_PORTS = range(15000, 19900, PORTS)


@contextmanager
def free_ports() -> Iterator[int]:
    """The first of ports in a row that nobody uses, nor anybody else who asks here until the end.

    Raises:
        OSError: there are none.
    """
    for first in FIRST_PORTS:
        path = Path(tempfile.gettempdir()) / f"yurt-ports-{first}.lock"
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            try:
                if all(map(is_free, range(first, first + PORTS))):
                    yield first
                    return
            finally:
                path.unlink(missing_ok=True)
    raise OSError(f"no {PORTS} ports in a row are free from {FIRST_PORTS.start} to {FIRST_PORTS.stop}")


def is_free(port: int) -> bool:
    """Whether one could listen on it, on the loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
