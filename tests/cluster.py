"""A cluster of the real programs for tests."""

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.stack.gpus import parse_gpus
from scripts.stack.plan import PORTS, Plan
from scripts.stack.programs import CONSUL, NOMAD, cache_folder, found
from scripts.stack.stack import Stack

FIRST_PORTS = range(15000, 19900, PORTS)
CACHE = cache_folder()
"""Read here: later a test does not see the developer's settings."""

MISSING = "{} is neither on the PATH nor in {}: scripts/hashistack obtain gets it"


def need_programs() -> None:
    """Skip the test where Nomad or Consul is missing; where continuous integration runs it fails."""
    missing = [program.name for program in (CONSUL, NOMAD) if found(program, CACHE) is None]
    if missing:
        reason = MISSING.format(" and ".join(missing), CACHE)
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@contextmanager
def _ports() -> Iterator[int]:
    """The first of ports in a row that nobody uses, nor another test until the end."""
    for first in FIRST_PORTS:
        with (Path(tempfile.gettempdir()) / f"yurt-ports-{first}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if all(map(_free, range(first, first + PORTS))):
                yield first
                Path(lock.name).unlink()
                return
    pytest.fail(f"no {PORTS} ports in a row are free from {FIRST_PORTS.start} to {FIRST_PORTS.stop}")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@contextmanager
def a_stack(*nodes: str) -> Iterator[Stack]:
    """A stack with these GPUs in its nodes, gone at the end.

    Args:
        nodes: one for each, as `scripts/hashistack --node` takes them.
    """
    need_programs()
    with _ports() as first_port:
        # Short, because Nomad makes sockets deep in it, and their paths must fit 107 characters.
        home = Path(tempfile.mkdtemp(prefix="yurt-e2e-"))
        stack = Stack(Plan(home=home, first_port=first_port, nodes=tuple(map(parse_gpus, nodes))))
        try:
            stack.up(cache=CACHE)
            yield stack
        finally:
            if home.exists():
                stack.down()
