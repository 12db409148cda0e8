"""What Yurt relies on in Consul's API, and what its double promises in its place."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from scripts.stack.access import YURT_POLICY
from tests.fakes.consul import EVERYTHING, LEAST, NODES, SERVICES, ConsulDouble, Instance
from yurt.outbound.discovery import ConsulSettings, look_over
from yurt.outbound.token_file import TokenFile
from yurt.ports import Finding

ANSWER_S = 90
NODES_RULE = 'node_prefix "" { policy = "read" }'
SERVICES_RULE = 'service_prefix "yurt-" { policy = "read" }'
POLICIES = {LEAST: YURT_POLICY, frozenset({NODES}): NODES_RULE, frozenset({SERVICES}): SERVICES_RULE, frozenset(): ""}
"""What gives the real one's tokens what the double's may."""


@dataclass
class Catalog:
    """A Consul with ACLs, and whoever registers with it.

    Args:
        management: the token that may do everything.
    """

    address: str
    http: aiohttp.ClientSession
    management: str
    double: ConsulDouble | None = None
    service: str = field(default_factory=lambda: f"yurt-{uuid.uuid4().hex[:8]}")
    places: dict[str, Instance] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)

    async def ask(
        self, path: str, method: str = "GET", body: Any = None, token: str | None = None, status: int = 200
    ) -> tuple[Any, int]:
        """One request, with every right unless another token is given; the body of the answer and its index."""
        headers = {"X-Consul-Token": self.management if token is None else token}
        async with self.http.request(method, self.address + path, json=body, headers=headers) as answer:
            text = await answer.text()
            assert answer.status == status, text
            said = await answer.json() if "json" in answer.content_type and text else text
            return said, int(answer.headers.get("X-Consul-Index", 0))

    async def token_for(self, rights: frozenset[str]) -> str:
        """A new token with these rights."""
        secret = str(uuid.uuid4())
        if self.double:
            assert self.double.knobs.tokens is not None
            self.double.knobs.tokens[secret] = rights
            return secret
        policy, _ = await self.ask("/v1/acl/policy", "PUT", {"Name": f"test-{secret}", "Rules": POLICIES[rights]})
        made, _ = await self.ask("/v1/acl/token", "PUT", {"SecretID": secret, "Policies": [{"ID": policy["ID"]}]})
        self.tokens += [f"token/{made['AccessorID']}", f"policy/{policy['ID']}"]
        return secret

    async def clear(self) -> None:
        """Remove what the test made."""
        for place_id in list(self.places):
            await self.deregister(place_id)
        for made in self.tokens:
            await self.ask(f"/v1/acl/{made}", "DELETE")

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
            double.knobs.tokens = {"all": EVERYTHING}
            yield Catalog(double.address, http, "all", double)
            await double.stop()
        else:
            stack = request.getfixturevalue("stack")
            found = Catalog(stack.plan.consul_address, http, stack.consul_tokens().management)
            yield found
            await found.clear()


def place(number: int = 1, **keys: Any) -> Instance:
    """A place that nobody else has."""
    return Instance(f"p{number}-{uuid.uuid4().hex[:6]}", "127.0.0.1", 9000 + number, **keys)


async def test_a_service_that_nobody_registered_is_nowhere(catalog: Catalog) -> None:
    found, index = await catalog.find()
    assert found == []
    assert index > 0


async def looked_over(catalog: Catalog, token_file: Path | None) -> tuple[Finding, Finding]:
    """What a doctor says of Consul, and of the token."""
    settings = ConsulSettings(catalog.address, "0123abcd", TokenFile(token_file))
    of_consul, of_token = [each async for each in look_over(settings)]
    assert "answers; the leader is 127.0.0.1:" in of_consul.said
    assert of_consul.todo == ""
    return of_consul, of_token


async def test_the_least_token_is_good_enough(catalog: Catalog, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(await catalog.token_for(LEAST) + "\n")
    _, found = await looked_over(catalog, file)
    assert found == Finding("Consul token", "It may read the services of functions, and where they are.")


@pytest.mark.parametrize(
    ("rights", "lacking"),
    [
        (frozenset({NODES}), SERVICES_RULE),
        (frozenset({SERVICES}), NODES_RULE),
        (frozenset(), f"{SERVICES_RULE} {NODES_RULE}"),
    ],
)
async def test_the_right_that_a_token_lacks_is_named(
    catalog: Catalog, tmp_path: Path, rights: frozenset[str], lacking: str
) -> None:
    file = tmp_path / "token"
    file.write_text(await catalog.token_for(rights))
    _, found = await looked_over(catalog, file)
    assert found.said == f"The token in {file} lacks rights in Consul at {catalog.address}."
    assert found.todo == f"Add to its policy: {lacking}"


async def test_a_token_that_is_unknown_or_missing_is_told(catalog: Catalog, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(str(uuid.uuid4()))
    _, unknown = await looked_over(catalog, file)
    assert unknown.said == f"Consul at {catalog.address} does not know the token in {file}."
    assert SERVICES_RULE in unknown.todo
    file.write_text("")
    _, empty = await looked_over(catalog, file)
    assert empty.said.endswith(f"this server has nothing in the file of its token, {file}.")
    _, none = await looked_over(catalog, None)
    assert none.said.endswith("this server was given no token.")
    assert "--consul-token-file" in none.todo


async def test_what_a_token_may_not_read_is_hidden_without_a_word(catalog: Catalog) -> None:
    await catalog.register(place(tags=("mine",)))
    least = await catalog.token_for(LEAST)
    paths = ("/v1/catalog/services", f"/v1/health/service/{catalog.service}")
    names, places = [(await catalog.ask(path, token=least))[0] for path in paths]
    assert names[catalog.service] == ["mine"]
    assert "consul" not in names
    assert len(places) == 1
    for weak in ("", await catalog.token_for(frozenset({NODES})), await catalog.token_for(frozenset({SERVICES}))):
        names, places = [(await catalog.ask(path, token=weak))[0] for path in paths]
        assert catalog.service not in names
        assert places == []


async def test_a_token_that_nobody_made_is_refused(catalog: Catalog) -> None:
    for path in ("/v1/catalog/services", f"/v1/health/service/{catalog.service}", "/v1/acl/token/self"):
        said, _ = await catalog.ask(path, token=str(uuid.uuid4()), status=403)
        assert "ACL not found" in said
    assert (await catalog.ask("/v1/acl/token/self"))[0]["SecretID"] == catalog.management


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
