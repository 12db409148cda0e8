"""The Nomad engine against a double that has bad days."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.nomad import Gpus, Node, NomadDouble
from tests.unit.nomad.cases import function, settings
from tests.waiting import until
from yurt.domain.errors import Unauthenticated
from yurt.domain.functions import LiveFunction
from yurt.outbound.engines.nomad import NomadEngine
from yurt.outbound.engines.nomad.jobspecs import FUNCTION, read_template
from yurt.ports import ClusterRefused, ContainerSpec, Ended, EngineRefused, HeldUp, Leaving, Observed, Placed, Report

PLAIN = function(image=None)


@dataclass
class Rig:
    """An engine on a double."""

    nomad: NomadDouble
    engine: NomadEngine
    observed: list[Observed] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)

    async def start(self, container_id: str, wanted: LiveFunction = PLAIN) -> str:
        """Start a container; the job it is."""
        spec = ContainerSpec(container_id, "0123abcd", wanted, "http://yurt.example:7600", "")
        return await self.engine.start(spec)

    def told(self, kind: type[Report], container_id: str) -> list[Any]:
        """What was reported of a container."""
        return [one for one in self.reports if isinstance(one, kind) and one.container_id == container_id]

    async def report(self, kind: type[Report], container_id: str) -> Any:
        """The first such report."""
        await until(lambda: self.told(kind, container_id), f"{kind.__name__} of {container_id}")
        return self.told(kind, container_id)[0]

    def allocation(self, job_id: str) -> Any:
        """Of a job."""
        return next(one for one in self.nomad.cluster.allocations.values() if one["JobID"] == job_id)

    @property
    def children(self) -> list[Any]:
        """The containers that Nomad has."""
        return [job for job in self.nomad.cluster.jobs.values() if job["ParentID"]]


@asynccontextmanager
async def engine_on(nomad: NomadDouble, **changes: Any) -> AsyncIterator[Rig]:
    """An engine that has been opened."""
    chosen = {"address": nomad.address, "token": "yurts-token", "driver": "raw_exec", **changes}
    engine = NomadEngine(settings(**chosen))
    rig = Rig(nomad, engine)
    try:
        rig.observed = await engine.open(rig.reports.append)
        yield rig
    finally:
        await engine.close(stop_all=False)


@pytest.fixture
async def nomad() -> AsyncIterator[NomadDouble]:
    """Two nodes, one with an H100."""
    double = await NomadDouble(
        [Node("n-1", "node-1", [Gpus("NVIDIA H100 80GB HBM3", 81559, ["GPU-1"])]), Node("n-2", "node-2")]
    ).start()
    yield double
    await double.stop()


@pytest.fixture
async def rig(nomad: NomadDouble) -> AsyncIterator[Rig]:
    """An engine on it."""
    async with engine_on(nomad) as opened:
        yield opened


async def test_a_dispatch_whose_answer_is_lost_is_one_container(rig: Rig) -> None:
    rig.nomad.knobs.loses_dispatches = 1
    await rig.start("c-1")
    await rig.report(Placed, "c-1")
    assert [child["Meta"]["container_id"] for child in rig.children] == ["c-1"]


async def test_a_dispatch_that_is_lost_is_made_again(rig: Rig) -> None:
    rig.nomad.knobs.drops_dispatches = 1
    await rig.start("c-1")
    await rig.report(Placed, "c-1")
    assert len(rig.children) == 1


async def test_a_job_that_somebody_purged_is_registered_again(rig: Rig) -> None:
    parent = (await rig.start("c-1")).partition("/")[0]
    rig.nomad.cluster.deregister(parent, purge=True)
    await rig.start("c-2")
    await rig.report(Placed, "c-2")


async def test_an_allocation_that_vanishes_is_a_container_that_ended(rig: Rig) -> None:
    job_id = await rig.start("c-1")
    await rig.report(Placed, "c-1")
    rig.nomad.cluster.vanish(job_id)
    rig.nomad.cut_streams()
    assert "does not know it any more" in (await rig.report(Ended, "c-1")).reason


async def test_what_happens_while_the_stream_is_down_is_seen_afterwards(rig: Rig) -> None:
    job_id = await rig.start("c-1")
    await rig.report(Placed, "c-1")
    await rig.nomad.stop()
    async with asyncio.timeout(30):
        while await rig.engine.check() is None:
            await asyncio.sleep(0.01)
    with pytest.raises(EngineRefused) as refused:
        await rig.start("c-2")
    assert refused.value.code == "engine_unreachable"
    assert "not reachable since" in str(await rig.engine.check())
    rig.nomad.cluster.finish(rig.allocation(job_id)["ID"], 3)
    await rig.nomad.start()
    assert (await rig.report(Ended, "c-1")).exit_code == 3
    assert await rig.engine.check() is None


async def test_without_a_leader_starts_are_refused_until_there_is_one(rig: Rig) -> None:
    rig.nomad.knobs.leaderless = True
    with pytest.raises(EngineRefused, match="No cluster leader") as refused:
        await rig.start("c-1")
    assert refused.value.code == "engine_unreachable"
    rig.nomad.knobs.leaderless = False

    async def started() -> None:
        while True:
            try:
                await rig.start("c-2")
            except EngineRefused:
                await asyncio.sleep(0.05)
            else:
                return

    async with asyncio.timeout(30):
        await started()
    await rig.report(Placed, "c-2")


async def test_a_slow_nomad_holds_nobody_else_up(rig: Rig) -> None:
    rig.nomad.knobs.slow_s = 0.3
    starts = [asyncio.create_task(rig.start(f"c-{number}")) for number in range(4)]
    turns = 0
    while not all(start.done() for start in starts):
        turns += 1
        await asyncio.sleep(0.005)
    assert turns > 10  # the loop went on meanwhile
    assert len(rig.children) == 4


async def test_a_busy_gpu_holds_a_container_up_until_it_is_free(rig: Rig) -> None:
    wanted = function(image=None, gpu=("H100",))
    holder = await rig.start("c-1", wanted)
    await rig.report(Placed, "c-1")
    await rig.start("c-2", wanted)
    assert (await rig.report(HeldUp, "c-2")).why.code == "no_capacity"
    await rig.engine.stop("c-1", grace_s=1)
    await rig.report(Ended, "c-1")
    await rig.report(Placed, "c-2")
    assert holder in rig.nomad.cluster.jobs


async def test_a_node_that_is_drained_is_left(rig: Rig) -> None:
    job_id = await rig.start("c-1")
    await rig.report(Placed, "c-1")
    rig.nomad.cluster.drain(rig.allocation(job_id)["NodeID"], 60)
    assert "emptied" in (await rig.report(Leaving, "c-1")).reason


async def test_a_node_that_is_lost_takes_its_containers(rig: Rig) -> None:
    job_id = await rig.start("c-1")
    await rig.report(Placed, "c-1")
    rig.nomad.cluster.lose(rig.allocation(job_id)["ID"])
    assert "was lost" in (await rig.report(Ended, "c-1")).reason


async def test_the_next_engine_takes_over_what_runs(nomad: NomadDouble) -> None:
    async with engine_on(nomad) as first:
        job_id = await first.start("c-1")
        await first.report(Placed, "c-1")
    async with engine_on(nomad) as second:
        assert second.observed == [Observed("c-1", job_id)]
        nomad.cluster.finish(second.allocation(job_id)["ID"], 0)
        await second.report(Ended, "c-1")


async def test_a_changed_job_specification_reaches_the_jobs_that_are_there(nomad: NomadDouble, tmp_path: Path) -> None:
    own = tmp_path / FUNCTION
    own.write_text(read_template(None))
    versions = []
    for change in ("", "", "# changed\n"):
        own.write_text(own.read_text() + change)
        async with engine_on(nomad, jobspecs=tmp_path) as rig:
            await rig.engine.tidy([PLAIN])
        (job,) = nomad.cluster.jobs.values()
        versions.append(job["Version"])
    assert versions == [0, 0, 1]


async def test_what_another_installation_has_is_left_alone(nomad: NomadDouble) -> None:
    async with engine_on(nomad, installation="other") as theirs:
        await theirs.start("c-1")
        async with engine_on(nomad) as ours:
            assert ours.observed == []
            await ours.engine.tidy([PLAIN])
            assert [child["Stop"] for child in ours.children] == [False]


async def test_only_the_container_itself_is_vouched_for(rig: Rig) -> None:
    jobs = [await rig.start("c-1"), await rig.start("c-2")]
    for container_id in ("c-1", "c-2"):
        await rig.report(Placed, container_id)
    own, other = (rig.nomad.identity(rig.allocation(job_id)["ID"]) for job_id in jobs)
    identities = rig.engine.identities
    await identities.vouch("c-1", own)
    foreign = await NomadDouble().start()
    foreign.cluster.allocations = rig.nomad.cluster.allocations
    forged = foreign.identity(rig.allocation(jobs[0])["ID"])
    await foreign.stop()
    alien = rig.nomad.identity(rig.allocation(jobs[0])["ID"], audience="vault.io")
    stale = rig.nomad.identity(rig.allocation(jobs[0])["ID"], ttl_s=-3600)
    elsewhere = rig.nomad.identity(rig.allocation(jobs[0])["ID"], nomad_namespace="other")
    for credential in (other, forged, alien, stale, elsewhere, "no.token.at-all", ""):
        with pytest.raises(Unauthenticated):
            await identities.vouch("c-1", credential)
    await rig.engine.stop("c-1", grace_s=1)
    await rig.report(Ended, "c-1")
    with pytest.raises(Unauthenticated):
        await identities.vouch("c-1", own)


def no_acls(double: NomadDouble) -> None:
    double.tokens = {}


def old(double: NomadDouble) -> None:
    double.version = "1.9.7"


def strange_token(double: NomadDouble) -> None:
    double.tokens = {"another": frozenset()}


def leaderless(double: NomadDouble) -> None:
    double.knobs.leaderless = True


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_acls, "has no ACLs"),
        (old, "is of version 1.9.7; Yurt needs 1.10"),
        (strange_token, "does not know this server's token"),
        (leaderless, "does not answer: No cluster leader"),
    ],
)
async def test_a_cluster_that_is_of_no_use_is_refused_at_the_start(
    nomad: NomadDouble, spoil: Callable[[NomadDouble], None], said: str
) -> None:
    spoil(nomad)
    with pytest.raises(ClusterRefused, match=said):
        async with engine_on(nomad):
            pass
