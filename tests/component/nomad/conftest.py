"""A Nomad engine on the double of a cluster."""

from collections.abc import AsyncIterator
from typing import Any, TypeVar

import pytest

from tests.fakes.nomad import Gpus, Node, NomadDouble
from tests.unit.nomad.cases import function, settings
from tests.waiting import until
from yurt.outbound.engines.nomad import NomadEngine
from yurt.ports import ContainerSpec, Ended, HeldUp, Leaving, Observed, Placed, Report

TOKEN = "yurts-token"
H100 = "NVIDIA H100 80GB HBM3"
R = TypeVar("R", Ended, HeldUp, Placed, Leaving)


class Rig:
    """An engine and its cluster."""

    def __init__(self, double: NomadDouble) -> None:
        self.double = double
        self.engine = self.make()
        self.reports: list[Report] = []

    def make(self, **changes: Any) -> NomadEngine:
        """An engine on the cluster, not open yet."""
        return NomadEngine(settings(**{"address": self.double.address, "token": TOKEN, **changes}))

    async def open(self) -> NomadEngine:
        """The engine, open."""
        assert await self.engine.open(self.reports.append) == []
        await until(lambda: self.double.streams, "the stream")  # one that only was asked for is not cut
        return self.engine

    async def reopen(self, **changes: Any) -> list[Observed]:
        """Close the engine and open another one, with other settings; returns what that found."""
        await self.engine.close(stop_all=False)
        self.engine = self.make(**changes)
        return await self.engine.open(self.reports.append)

    def spec(self, container_id: str = "co-1", **changes: Any) -> ContainerSpec:
        """What is asked for."""
        return ContainerSpec(container_id, "0123abcd", function(**changes), "http://unused", "start-token")

    async def run(self, container_id: str = "co-1", **changes: Any) -> str:
        """Start a container, and wait until it has its place; returns its job."""
        job_id = await self.engine.start(self.spec(container_id, **changes))
        await self.report(Placed, container_id)
        return job_id

    def allocation_of(self, container_id: str = "co-1") -> str:
        """The id of a container's allocation."""
        cluster = self.double.cluster
        jobs = {
            name for name, job in cluster.jobs.items() if (job.get("Meta") or {}).get("container_id") == container_id
        }
        return next(str(one["ID"]) for one in cluster.allocations.values() if one["JobID"] in jobs)

    def node_of(self, container_id: str = "co-1") -> str:
        """The id of a container's node."""
        return str(self.double.cluster.allocations[self.allocation_of(container_id)]["NodeID"])

    def parents(self) -> list[str]:
        """The ids of the jobs of revisions."""
        return [name for name, job in self.double.cluster.jobs.items() if not job.get("ParentID")]

    def children(self) -> list[str]:
        """The ids of all dispatched jobs."""
        return [name for name, job in self.double.cluster.jobs.items() if job.get("ParentID")]

    def told(self, kind: type[R], container_id: str = "co-1") -> list[R]:
        """What was reported of a container."""
        return [one for one in self.reports if isinstance(one, kind) and one.container_id == container_id]

    async def report(self, kind: type[R], container_id: str = "co-1") -> R:
        """The last such report, once there is one."""
        await until(lambda: self.told(kind, container_id), f"{kind.__name__} of {container_id}")
        return self.told(kind, container_id)[-1]

    async def end_of(self, container_id: str = "co-1") -> Ended:
        """The word that a container is gone, which is said once."""
        end = await self.report(Ended, container_id)
        assert self.told(Ended, container_id) == [end]
        return end


@pytest.fixture
async def double() -> AsyncIterator[NomadDouble]:
    nodes = [Node("n-1", "rack-1", [Gpus(H100, 81559, ["GPU-1", "GPU-2"])]), Node("n-2", "rack-2")]
    served = await NomadDouble(nodes).start()
    yield served
    await served.stop()


@pytest.fixture
async def rig(double: NomadDouble) -> AsyncIterator[Rig]:
    made = Rig(double)
    yield made
    double.knobs.leaderless = False
    await made.engine.close(stop_all=False)
