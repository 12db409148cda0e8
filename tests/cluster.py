"""A cluster of the real programs for tests."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.stack.gpus import parse_gpus
from scripts.stack.plan import Plan
from scripts.stack.ports import free_ports
from scripts.stack.programs import CONSUL, NOMAD, cache_folder, found
from scripts.stack.stack import Stack

CACHE = cache_folder()
"""Read here: later a test does not see the developer's settings."""

MISSING = "{} is neither on the PATH nor in {}: scripts/hashistack obtain gets it"


def missing_programs() -> str:
    """Why there can be no cluster here, or nothing."""
    missing = [program.name for program in (CONSUL, NOMAD) if found(program, CACHE) is None]
    return MISSING.format(" and ".join(missing), CACHE) if missing else ""


def need_programs() -> None:
    """Skip the test where Nomad or Consul is missing; where continuous integration runs it fails."""
    if reason := missing_programs():
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def engine_flags(stack: Stack) -> tuple[str, ...]:
    """What makes a server use a stack."""
    kept = {name: value for name, value in stack.environment().items() if name.startswith("YURT_NOMAD_")}
    pairs = [("--" + name.removeprefix("YURT_").lower().replace("_", "-"), value) for name, value in kept.items()]
    return ("--engine", "nomad", *(part for pair in pairs for part in pair), "--nomad-mhz-per-core", "800")


@contextmanager
def a_stack(*nodes: str) -> Iterator[Stack]:
    """A stack with these GPUs in its nodes, gone at the end.

    Args:
        nodes: one for each, as `scripts/hashistack --node` takes them.
    """
    need_programs()
    with free_ports() as first_port:
        # Short, because Nomad makes sockets deep in it, and their paths must fit 107 characters.
        home = Path(tempfile.mkdtemp(prefix="yurt-e2e-"))
        stack = Stack(Plan(home=home, first_port=first_port, nodes=tuple(map(parse_gpus, nodes))))
        try:
            stack.up(cache=CACHE)
            yield stack
        finally:
            if home.exists():
                stack.down()
