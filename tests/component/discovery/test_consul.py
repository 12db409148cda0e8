"""Finding the servers of containers through Consul, which has bad days."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.certificates import certificate, tls_of
from tests.fakes.consul import LEAST, NODES, ConsulDouble, Instance
from tests.waiting import until
from yurt.outbound.discovery import ConsulDiscovery, ConsulSettings, look_over
from yurt.outbound.discovery.consul_awaited import Awaited
from yurt.outbound.token_file import TokenFile
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
def token_file(tmp_path: Path) -> Path:
    """The file of the token that discoveries use."""
    path = tmp_path / "consul.token"
    path.write_text("first\n")
    return path


@pytest.fixture
async def watched(token_file: Path) -> AsyncIterator[Watched]:
    """A discovery on a Consul that knows nobody."""
    consul = await ConsulDouble().start()
    found = Watched(consul, ConsulDiscovery(ConsulSettings(consul.address, TAG, TokenFile(token_file)), 0.02, 0.05))
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
    assert [finding async for finding in look_over(settings)] == [
        Finding("Consul", f"{settings.address} answers; the leader is 127.0.0.1:8300."),
        Finding("Consul token", "Consul has no ACLs: whoever reaches it can pass for a function."),
    ]
    watched.consul.knobs.leaderless = True
    (leaderless,) = [finding async for finding in look_over(settings)]
    assert "500 No cluster leader" in leaderless.said
    await watched.consul.stop()
    (away,) = [finding async for finding in look_over(settings)]
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


async def test_a_token_that_lacks_rights_is_told_and_once_it_has_them_all_is_found(watched: Watched) -> None:
    watched.consul.knobs.tokens = {"first": {NODES}}
    watched.consul.put("yurt-a", [place(1)])
    await until(watched.discovery.trouble, "the word that a right is missing")
    said = watched.discovery.trouble() or ""
    assert "lacks rights in Consul" in said
    assert 'Add to its policy: service_prefix "yurt-" { policy = "read" }' in said
    assert "node_prefix" not in said
    watched.consul.knobs.tokens = {"first": LEAST}  # which changes no index
    await watched.finds(1)
    await until(lambda: watched.discovery.trouble() is None, "the word that all is well")


async def test_a_token_that_loses_its_rights_takes_nothing_away(watched: Watched) -> None:
    watched.consul.knobs.tokens = {"first": LEAST}
    watched.consul.put("yurt-a", [place(1)])
    await watched.finds(1)
    watched.consul.knobs.tokens = {"first": ()}
    await until(watched.discovery.trouble, "the word that rights are missing")
    watched.consul.put("yurt-b", [place(2)])
    watched.discovery.withdraw("nobody")
    assert list(watched.told[-1]) == ["c-1"]
    watched.consul.knobs.tokens = {"first": LEAST}
    await watched.finds(1, 2)


async def test_a_new_token_in_the_file_is_used(watched: Watched, token_file: Path) -> None:
    watched.consul.knobs.tokens = {"first": LEAST}
    watched.consul.put("yurt-a", [place(1)])
    await watched.finds(1)
    watched.consul.knobs.tokens = {"second": LEAST}
    watched.consul.put("yurt-a", [place(1), place(2)])
    await until(watched.discovery.trouble, "the word that the token is unknown")
    assert f"does not know the token in {token_file}" in (watched.discovery.trouble() or "")
    token_file.write_text("second")
    watched.consul.put("yurt-b", [place(3)])
    await watched.finds(1, 2, 3)
    await until(lambda: watched.discovery.trouble() is None, "the word that all is well")


async def test_a_file_that_goes_away_is_told(watched: Watched, token_file: Path) -> None:
    watched.consul.knobs.tokens = {"first": LEAST}
    watched.consul.put("yurt-a", [place(1)])
    await watched.finds(1)
    token_file.unlink()
    watched.consul.put("yurt-b", [place(2)])
    await until(watched.discovery.trouble, "the word that the file is gone")
    said = watched.discovery.trouble() or ""
    assert f"The file of a token, {token_file}, cannot be read: [Errno 2]" in said
    assert said.endswith(" See --consul-token-file.")
    token_file.write_text("first")
    await watched.finds(1, 2)


async def test_without_a_token_it_says_that_there_is_none(watched: Watched, token_file: Path) -> None:
    token_file.write_text("")
    watched.consul.knobs.tokens = {}
    said = f"this server has nothing in the file of its token, {token_file}."
    await until(lambda: said in (watched.discovery.trouble() or ""), "the word that there is no token")


async def test_a_container_that_ended_is_not_found_again_on_a_consul_that_lists_it_still(watched: Watched) -> None:
    watched.consul.put("yurt-a", [place(1), place(2)])
    await watched.finds(1, 2)
    watched.discovery.withdraw("c-1")
    watched.consul.put("yurt-a", [place(1), place(2), place(3)])
    await watched.finds(2, 3)
    watched.consul.put("yurt-a", [place(2), place(3)])
    watched.consul.put("yurt-a", [])
    watched.discovery.withdraw("c-2")
    await watched.finds(3)


async def test_a_certificate_that_nobody_vouches_for_is_told_with_how_to_name_who_does(tmp_path: Path) -> None:
    own = certificate(tmp_path / "own")
    consul = await ConsulDouble().start(tls_of(own))
    (refused,) = [finding async for finding in look_over(ConsulSettings(consul.address, TAG))]
    assert "certificate verify failed" in refused.said
    assert "--consul-ca-file" in refused.todo
    found = [finding async for finding in look_over(ConsulSettings(consul.address, TAG, ca_file=own))]
    assert [finding.todo for finding in found] == ["", ""]
    await consul.stop()


async def test_a_server_that_listens_and_is_not_found_is_told_until_it_is(watched: Watched) -> None:
    await watched.finds()
    watched.discovery.announce("c-1", 20001)
    await until(watched.discovery.trouble, "the word that Consul does not show it")
    said = watched.discovery.trouble() or ""
    assert said.startswith("Consul does not show container c-1, though its server listens.")
    assert 'service_prefix "" { policy = "write" }' in said
    watched.consul.put("yurt-a", [place(1, status="critical")])
    await until(lambda: "check of container c-1 fails" in (watched.discovery.trouble() or ""), "the word of its check")
    watched.consul.put("yurt-a", [place(1)])
    await watched.finds(1)
    assert watched.discovery.trouble() is None
    watched.discovery.announce("c-1", 20001)  # as when the server was away from the container for a while
    watched.discovery.announce("c-2", 20002)
    watched.discovery.announce("c-3", 20003)
    await until(lambda: "c-2 (and of 1 more)" in (watched.discovery.trouble() or ""), "the word of those that are not")
    watched.discovery.withdraw("c-2")
    watched.discovery.withdraw("c-3")
    assert watched.discovery.trouble() is None


async def test_what_was_not_found_while_consul_was_away_has_its_time_once_it_is_back() -> None:
    now = 100.0
    awaited = Awaited(20, lambda: now)
    awaited.add("c-1")
    now = 119.9
    assert awaited.overdue() == []
    now = 120.0
    assert awaited.overdue() == ["c-1"]
    awaited.begin_anew()
    awaited.add("c-1")
    assert awaited.overdue() == []
    now = 140.0
    assert awaited.overdue() == ["c-1"]
