"""Servers whose containers run on a real cluster."""

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.stack.stack import Stack
from tests.acceptance.served import Served
from tests.cluster import engine_flags

WORK = """
import os, time

def pid(s=0.0):
    time.sleep(s)
    return os.getpid()

def hold(gate):
    while not os.path.exists(gate):
        time.sleep(0.01)
    return os.getpid()

def square(x):
    return x * x

def environ():
    return dict(os.environ)
"""
"""Functions that tests deploy."""


class Cluster:
    """A stack, and what the servers of a test have there.

    Args:
        stack: the real programs.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def jobs(self, server: Served) -> list[dict[str, Any]]:
        """The jobs of a server, containers included."""
        found: list[dict[str, Any]] = []
        for installation in set(re.findall(r"yurt-([0-9a-f]{8,32})-", server.output)):
            found += self.stack.nomad("GET", f"/v1/jobs?prefix=yurt-{installation}-&meta=true")
        return found

    def containers(self, server: Served) -> list[dict[str, Any]]:
        """The allocations of a server's containers that have not ended."""
        ids = {job["ID"] for job in self.jobs(server) if job["ParentID"]}
        over = {"complete", "failed", "lost"}
        listed = self.stack.nomad("GET", "/v1/allocations")
        return [one for one in listed if one["JobID"] in ids and one["ClientStatus"] not in over]

    def purge(self, server: Served) -> None:
        """Forget all jobs of a server."""
        for job in sorted(self.jobs(server), key=lambda job: -len(job["ID"])):
            self.stack.nomad("DELETE", f"/v1/job/{job['ID'].replace('/', '%2F')}?purge=true")


@pytest.fixture
def cluster(stack: Stack) -> "Cluster":
    """The cluster that all tests share."""
    return Cluster(stack)


@pytest.fixture
async def serve(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Callable[..., Served]]:
    """Makes servers on the cluster; at the end they are stopped, and their jobs purged."""
    servers: list[Served] = []

    def make(*flags: str, name: str = "server") -> Served:
        place = tmp_path / name
        place.mkdir(exist_ok=True)
        servers.append(Served(place, (*engine_flags(cluster.stack), *flags)))
        return servers[-1]

    yield make
    for server in servers:
        await server.close()
        if (server.place / "log").exists():
            cluster.purge(server)
