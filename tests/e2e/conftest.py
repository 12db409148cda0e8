"""One cluster for all tests here that do not break it; under pytest-xdist each worker has its own."""

from collections.abc import Iterator

import pytest

from scripts.stack.stack import Stack
from tests.e2e.cluster import a_stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A node with two H100 and two T4, and one with an L4: simulated. Tests leave agents running and jobs purged."""
    with a_stack("h100:2,t4:2", "l4:1") as running:
        yield running
