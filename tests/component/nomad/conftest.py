"""A Nomad engine on the double of a cluster."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.nomad.placing import Gpus, Node
from tests.fakes.nomad.server import NomadDouble
from tests.unit.nomad.cases import function, settings
from tests.waiting import until
from yurt.outbound.engines.nomad import NomadEngine
from yurt.ports import ContainerSpec, Ended, HeldUp, Report

TOKEN = "yurts-token"
H100 = "NVIDIA H100 80GB HBM3"


def parse(_: str, variables: str) -> dict[str, Any]:
    """The job of a document, as far as the double cares."""
    literal = variables.removeprefix("spec = ").strip().replace("$${", "${").replace("%%{", "%{")
    spec = json.loads(json.loads(literal))
    devices = [
        {
            "Name": device["name"],
            "Count": device["count"],
            "Constraints": [
                {"LTarget": one["attribute"], "Operand": one["operator"], "RTarget": one["value"]}
                for one in device["constraints"]
            ],
        }
        for device in spec["devices"]
    ]
    task = {
        "Name": "runner",
        "Driver": spec["driver"],
        "Config": {"command": spec["command"]},
        "Resources": {"CPU": spec["cpu_mhz"], "MemoryMB": spec["memory_mib"], "Devices": devices},
    }
    return {
        "ID": spec["id"],
        "Name": spec["id"],
        "Type": "batch",
        "Namespace": spec["namespace"],
        "Meta": spec["meta"],
        "ParameterizedJob": {"MetaRequired": ["container_id"], "Payload": "forbidden"},
        "TaskGroups": [{"Name": "container", "Count": 1, "Tasks": [task]}],
    }


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
        await until(lambda: any("event/stream" in path for path in self.double.requests), "the stream")
        return self.engine

    def spec(self, container_id: str = "co-1", **changes: Any) -> ContainerSpec:
        """What is asked for."""
        return ContainerSpec(container_id, "0123abcd", function(**changes), "http://unused", "start-token")

    def allocation_of(self, container_id: str = "co-1") -> str:
        """The id of a container's allocation."""
        cluster = self.double.cluster
        jobs = {
            name for name, job in cluster.jobs.items() if (job.get("Meta") or {}).get("container_id") == container_id
        }
        return next(str(one["ID"]) for one in cluster.allocations.values() if one["JobID"] in jobs)

    def children(self) -> list[str]:
        """The ids of all dispatched jobs."""
        return [name for name, job in self.double.cluster.jobs.items() if job.get("ParentID")]

    async def end_of(self, container_id: str = "co-1") -> Ended:
        """The word that a container is gone."""

        def found() -> list[Ended]:
            return [one for one in self.reports if isinstance(one, Ended) and one.container_id == container_id]

        await until(found, f"the end of {container_id}")
        assert len(found()) == 1
        return found()[0]

    async def held_up(self, container_id: str = "co-1") -> HeldUp:
        """The word that a container has no place."""

        def found() -> list[HeldUp]:
            return [one for one in self.reports if isinstance(one, HeldUp) and one.container_id == container_id]

        await until(found, f"the reason of {container_id}")
        return found()[-1]


@pytest.fixture
async def double() -> AsyncIterator[NomadDouble]:
    nodes = [Node("n-1", "rack-1", [Gpus(H100, 81559, ["GPU-1", "GPU-2"])]), Node("n-2", "rack-2")]
    served = await NomadDouble(nodes, parse=parse).start()
    yield served
    await served.stop()


@pytest.fixture
async def rig(double: NomadDouble) -> AsyncIterator[Rig]:
    made = Rig(double)
    yield made
    double.knobs.leaderless = False
    await made.engine.close(stop_all=False)
