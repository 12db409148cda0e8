"""Finding the servers of containers through Consul, which has bad days."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from tests.fakes.consul import ConsulDouble, Instance
from tests.waiting import until
from yurt.outbound.discovery import ConsulDiscovery, ConsulSettings, look_over
from yurt.ports import Address, Finding

TAG = "0123abcd"


def place(number: int, tag: str = TAG, status: str = "passing") -> Instance:
    """Where a container is."""
    meta = {"container_id": f"c-{number}"}
    return Instance(f"_nomad-{number}", "10.0.0.1", 20000 + number, meta, (tag,), status)


@dataclass
class Watched:
    """A discovery that runs, and what it has found."""

    consul: ConsulDouble
    discovery: ConsulDiscovery
    told: list[dict[str, Address]] = field(default_factory=list)

    async def finds(self, *numbers: int) -> None:
        """Return once it knows these containers and no others."""
        wanted = {f"c-{number}": Address("10.0.0.1", 20000 + number) for number in numbers}
        await until(lambda: self.told and self.told[-1] == wanted, f"containers {numbers}")


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    """A discovery on a Consul that knows nobody."""
    consul = await ConsulDouble().start()
    found = Watched(consul, ConsulDiscovery(ConsulSettings(consul.address, TAG)))
    task = asyncio.create_task(found.discovery.run(lambda addresses: found.told.append(dict(addresses))))
    yield found
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await consul.stop()


async def test_containers_are_found_as_they_come_and_go(watched: Watched) -> None:
    await watched.finds()
    watched.consul.put("yurt-a", [place(1)])
    await watched.finds(1)
    watched.consul.put("yurt-a", [place(1), place(2)])
    watched.consul.put("yurt-b", [place(3)])
    await watched.finds(1, 2, 3)
    watched.discovery.withdraw("c-1")
    await watched.finds(2, 3)
    watched.consul.put("yurt-a", [place(2)])
    watched.discovery.withdraw("c-3")
    watched.consul.put("yurt-b", [])
    await watched.finds(2)


async def test_a_container_counts_from_its_first_passed_check(watched: Watched) -> None:
    watched.consul.put("yurt-a", [place(1, status="critical"), place(2)])
    await watched.finds(2)
    watched.consul.put("yurt-a", [place(1), place(2)])
    await watched.finds(1, 2)


async def test_what_is_of_others_is_not_found(watched: Watched) -> None:
    watched.consul.put("yurt-a", [place(1), place(2, tag="another")])
    watched.consul.put("postgres", [place(3)])
    watched.consul.put("yurt-b", [Instance("x", "10.0.0.1", 1, {}, (TAG,))])
    await watched.finds(1)


async def test_what_was_known_stays_known_while_consul_is_away(watched: Watched) -> None:
    watched.consul.put("yurt-a", [place(1)])
    await watched.finds(1)
    assert watched.discovery.trouble() is None
    await watched.consul.stop()
    watched.discovery.withdraw("nobody")
    await until(watched.discovery.trouble, "the word that Consul is away")
    assert "Consul has not answered since 20" in (watched.discovery.trouble() or "")
    assert list(watched.told[-1]) == ["c-1"]
    await watched.consul.start()
    watched.consul.put("yurt-a", [place(1), place(2)])
    await watched.finds(1, 2)
    await until(lambda: watched.discovery.trouble() is None, "the word that it is back")


async def test_what_a_doctor_says_of_it(watched: Watched) -> None:
    settings = ConsulSettings(watched.consul.address, TAG)
    assert await look_over(settings) == Finding("Consul", f"{settings.address} answers; the leader is 127.0.0.1:8300.")
    watched.consul.knobs.leaderless = True
    leaderless = await look_over(settings)
    assert "500 No cluster leader" in leaderless.said
    await watched.consul.stop()
    away = await look_over(settings)
    assert "--consul-address" in away.todo


async def test_a_consul_that_begins_anew_is_followed_and_takes_nothing_away(watched: Watched) -> None:
    watched.consul.index = 1000
    watched.consul.put("yurt-a", [place(1)])
    await watched.finds(1)
    watched.consul.services = {}
    watched.consul.forget_indexes()
    watched.consul.put("yurt-b", [place(2)])
    await watched.finds(1, 2)


async def test_without_a_leader_it_asks_again(watched: Watched) -> None:
    watched.consul.knobs.leaderless = True
    watched.consul.put("yurt-a", [place(1)])
    await until(lambda: len(watched.consul.requests) > 1, "questions")
    watched.consul.knobs.leaderless = False
    await watched.finds(1)
