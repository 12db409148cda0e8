"""What Yurt relies on in Consul's API, and what its double promises in its place."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from tests.fakes.consul import ConsulDouble, Instance
from yurt.outbound.discovery import ConsulSettings, look_over

ANSWER_S = 90


@dataclass
class Catalog:
    """A Consul, and whoever registers with it."""

    address: str
    http: aiohttp.ClientSession
    double: ConsulDouble | None = None
    service: str = field(default_factory=lambda: f"yurt-{uuid.uuid4().hex[:8]}")
    places: dict[str, Instance] = field(default_factory=dict)

    async def ask(self, path: str, method: str = "GET", body: Any = None) -> tuple[Any, int]:
        """One request; the body of the answer and its index."""
        async with self.http.request(method, self.address + path, json=body) as answer:
            assert answer.status == 200, await answer.text()
            text = await answer.text()
            return (await answer.json() if text else None), int(answer.headers.get("X-Consul-Index", 0))

    async def register(self, place: Instance) -> None:
        """Have the service at a place, as a Nomad client would."""
        self.places[place.id] = place
        if self.double:
            self.double.put(self.service, self.places.values())
            return
        check = {"CheckID": f"service:{place.id}", "Name": "alive", "TTL": "600s", "Status": place.status}
        registration = {
            "ID": place.id,
            "Name": self.service,
            "Address": place.address,
            "Port": place.port,
            "Meta": place.meta,
            "Tags": list(place.tags),
            "Check": check,
        }
        await self.ask("/v1/agent/service/register", "PUT", registration)

    async def deregister(self, place_id: str) -> None:
        """Have it there no more."""
        del self.places[place_id]
        if self.double:
            self.double.put(self.service, self.places.values())
            return
        await self.ask(f"/v1/agent/service/deregister/{place_id}", "PUT")

    async def find(self, query: str = "passing=1") -> tuple[Any, int]:
        """Where the service is."""
        return await self.ask(f"/v1/health/service/{self.service}?{query}")


@pytest.fixture(params=["double", "real"])
async def catalog(request: pytest.FixtureRequest) -> AsyncIterator[Catalog]:
    """A Consul that knows nothing of the test's service."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as http:
        if request.param == "double":
            double = await ConsulDouble().start()
            yield Catalog(double.address, http, double)
            await double.stop()
        else:
            found = Catalog(request.getfixturevalue("stack").plan.consul_address, http)
            yield found
            for place_id in list(found.places):
                await found.deregister(place_id)


def place(number: int = 1, **keys: Any) -> Instance:
    """A place that nobody else has."""
    return Instance(f"p{number}-{uuid.uuid4().hex[:6]}", "127.0.0.1", 9000 + number, **keys)


async def test_a_service_that_nobody_registered_is_nowhere(catalog: Catalog) -> None:
    found, index = await catalog.find()
    assert found == []
    assert index > 0


async def test_it_is_as_it_should_be(catalog: Catalog) -> None:
    of_consul, of_token = [each async for each in look_over(ConsulSettings(catalog.address, "0123abcd"))]
    assert "answers; the leader is 127.0.0.1:" in of_consul.said
    assert (of_consul.todo, of_token.todo) == ("", "")


async def test_a_place_is_found_with_all_that_was_said_of_it(catalog: Catalog) -> None:
    put = place(meta={"container_id": "c-1"}, tags=("yurt",))
    await catalog.register(put)
    (found,), _ = await catalog.find()
    service = found["Service"]
    assert (service["ID"], service["Address"], service["Port"]) == (put.id, put.address, put.port)
    assert service["Meta"] == {"container_id": "c-1"}
    assert service["Tags"] == ["yurt"]
    assert {check["Status"] for check in found["Checks"]} == {"passing"}
    names, _ = await catalog.ask("/v1/catalog/services")
    assert names[catalog.service] == ["yurt"]


async def test_a_place_that_fails_its_check_is_not_among_the_passing(catalog: Catalog) -> None:
    good, bad = place(1), place(2, status="critical")
    await catalog.register(good)
    await catalog.register(bad)
    passing, _ = await catalog.find()
    every, _ = await catalog.find("")
    assert {each["Service"]["ID"] for each in passing} == {good.id}
    assert {each["Service"]["ID"] for each in every} == {good.id, bad.id}


async def test_a_question_with_an_index_is_answered_at_the_next_change(catalog: Catalog) -> None:
    _, known = await catalog.find()
    waiting = asyncio.create_task(catalog.find(f"passing=1&index={known}&wait=60s"))
    put = place()
    await catalog.register(put)
    found, index = await waiting
    while not found:  # an answer may come early, with nothing new
        found, index = await catalog.find(f"passing=1&index={index}&wait=10s")
    assert index > known
    waiting = asyncio.create_task(catalog.find(f"passing=1&index={index}&wait=60s"))
    await catalog.deregister(put.id)
    found, _ = await waiting
    assert found == []


async def test_a_question_with_an_index_is_answered_after_its_time(catalog: Catalog) -> None:
    await catalog.register(place())
    _, known = await catalog.find()
    began = time.monotonic()
    found, index = await catalog.find(f"passing=1&index={known}&wait=1s")
    assert time.monotonic() - began >= 1
    assert len(found) == 1
    assert index == known


async def test_an_index_that_was_never_given_out_is_no_reason_to_wait_for_ever(catalog: Catalog) -> None:
    await catalog.register(place())
    _, known = await catalog.find()
    found, index = await catalog.find(f"passing=1&index={known + 1_000_000}&wait=1s")
    assert len(found) == 1
    assert index <= known


async def test_a_new_service_answers_who_waits_for_the_catalog(catalog: Catalog) -> None:
    names, index = await catalog.ask("/v1/catalog/services")
    assert catalog.service not in names
    await catalog.register(place(tags=("mine",)))
    async with asyncio.timeout(ANSWER_S):
        while catalog.service not in names:
            names, index = await catalog.ask(f"/v1/catalog/services?index={index}&wait=60s")
    assert names[catalog.service] == ["mine"]


async def test_the_leader_is_known(catalog: Catalog) -> None:
    leader, _ = await catalog.ask("/v1/status/leader")
    assert leader.startswith("127.0.0.1:")
    agent, _ = await catalog.ask("/v1/agent/self")
    assert agent["Config"]["Version"].count(".") == 2
