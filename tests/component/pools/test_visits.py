"""The pool of a function that answers HTTP: its containers, its requests, its scaling."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.component.pools.rig import Played, Rig
from yurt.domain.errors import NotCallable
from yurt.domain.records import ContainerState
from yurt.domain.web import Kind, Web
from yurt.outbound.discovery import LocalDiscovery
from yurt.pools.pool import Pool
from yurt.pools.scaling import sample_of
from yurt.pools.traffic import MAX_FAILURES, Away, Full, Seat, Traffic
from yurt.pools.visits import Visits
from yurt.ports import Address
from yurt_runner import wire

WEB = Web(Kind.ASGI, "label", port=None)


@dataclass
class Visitor:
    """A request."""

    seats: list[Seat] = field(default_factory=list)
    away: list[Away] = field(default_factory=list)

    def seated(self, seat: Seat) -> None:
        self.seats.append(seat)

    def turned_away(self, why: Away) -> None:
        self.away.append(why)


class House:
    """A heart with traffic."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.discovery = LocalDiscovery()
        self.visits = Visits(rig.heart, rig.lives, rig.clock, self.discovery)
        self.discovery._found = self.visits.found

    async def deploy(self, revision: int = 1, **values: Any) -> tuple[Pool, Traffic]:
        pool = await self.rig.deploy(revision, web=WEB, **values)
        assert pool.traffic is not None
        return pool, pool.traffic

    async def ready(self, index: int = -1, port: int = 5000) -> Played:
        """The container that was asked for, whose server listens."""
        played = await self.rig.boot(index, ready=False)
        played.say(wire.READY, slots=1, startup_s=0.1, port=port)
        await self.rig.settle()
        return played

    def ask(self, traffic: Traffic, **options: Any) -> tuple[Visitor, Seat | None]:
        visitor = Visitor()
        return visitor, traffic.enter(visitor, **{"most": 10, **options})


@pytest.fixture
def house(rig: Rig) -> House:
    return House(rig)


async def test_from_zero_a_request_has_a_container_started_and_gets_it(house: House) -> None:
    pool, traffic = await house.deploy()
    visitor, seat = house.ask(traffic)
    assert (seat, sample_of(pool, 0).waiting) == (None, 1)
    await house.rig.scale()
    played = await house.ready(port=5123)
    assert [one.address for one in visitor.seats] == [Address("127.0.0.1", 5123)]
    sample = sample_of(pool, house.rig.clock.monotonic())
    assert (sample.waiting, sample.running, sample.busy, sample.idle) == (0, 1, 1, ())
    assert house.rig.heart.running() == 1
    traffic.leave(visitor.seats[0])
    assert sample_of(pool, house.rig.clock.monotonic()).idle[0].container_id == played.member.id


async def test_it_is_scaled_by_what_is_in_flight_and_only_idle_containers_go(house: House) -> None:
    pool, traffic = await house.deploy(max_inputs=2, max_containers=3, scaledown_window_s=10)
    asked = [house.ask(traffic)[0] for _ in range(5)]
    await house.rig.scale()
    assert len(house.rig.engine.started) == 3
    for index in range(3):
        await house.ready(index, 5000 + index)
    assert [len(one.seats) for one in asked] == [1] * 5
    busy = asked[0].seats[0]
    for one in asked[1:]:
        traffic.leave(one.seats[0])
    await house.rig.tick(11)
    draining = [m.id for m in pool.members.values() if m.state is ContainerState.DRAINING]
    assert len(draining) == 2
    assert busy.member.id not in draining


async def test_a_container_that_drains_is_told_so_after_its_last_request(house: House) -> None:
    pool, traffic = await house.deploy()
    visitor, _ = house.ask(traffic)
    await house.rig.scale()
    played = await house.ready()
    house.rig.lives.drain(pool, played.member, "a reason")
    assert played.talk.of(wire.DRAIN) == []
    other, seat = house.ask(traffic)
    assert seat is None, "it gets nothing new"
    traffic.leave(visitor.seats[0])
    assert len(played.talk.of(wire.DRAIN)) == 1
    await house.rig.scale()
    await house.ready()
    assert len(other.seats) == 1


async def test_a_drain_without_requests_is_told_at_once(house: House) -> None:
    pool, _ = await house.deploy(min_containers=1)
    await house.rig.scale()
    played = await house.ready()
    house.rig.lives.drain(pool, played.member, "a reason")
    assert len(played.talk.of(wire.DRAIN)) == 1


async def test_a_redeploy_moves_new_requests_and_lets_old_ones_end(house: House) -> None:
    _, traffic = await house.deploy(max_containers=1)
    old, _ = house.ask(traffic)
    await house.rig.scale()
    first = await house.ready()
    await house.deploy(2, max_containers=1)
    during, _ = house.ask(traffic)
    await house.rig.scale()
    second = await house.ready(port=5001)
    assert [one.function.revision for one in during.seats] == [2]
    assert first.member.state is ContainerState.DRAINING
    assert first.talk.of(wire.DRAIN) == []
    traffic.leave(old.seats[0])
    assert len(first.talk.of(wire.DRAIN)) == 1
    assert second.talk.of(wire.DRAIN) == []


async def test_a_function_that_goes_turns_those_away_who_wait(house: House) -> None:
    _, traffic = await house.deploy()
    visitor, _ = house.ask(traffic)
    house.rig.heart.functions.retire("fu-1", by="app_stopped")
    assert visitor.away == [Away.GONE]
    await house.rig.settle()


async def test_starts_that_fail_turn_those_away_who_wait(house: House) -> None:
    _, traffic = await house.deploy()
    visitor, _ = house.ask(traffic)
    for _ in range(3):
        await house.rig.tick(30)
        played = await house.rig.boot(ready=False)
        assert visitor.away == []
        played.start_failed()
        house.rig.engine.end(played.member.id, "failed")
        await house.rig.settle()
    assert visitor.away == [Away.BROKEN]


async def test_a_container_whose_server_is_gone_is_replaced(house: House) -> None:
    _, traffic = await house.deploy(min_containers=1)
    await house.rig.scale()
    played = await house.ready()
    for _ in range(MAX_FAILURES):
        _, seat = house.ask(traffic)
        assert seat is not None
        traffic.failed(seat)
        traffic.leave(seat)
        played.member.shunned_until = 0.0
    assert played.member.state is ContainerState.DRAINING
    await house.rig.scale()
    assert len(house.rig.engine.started) == 2


async def test_no_more_wait_than_may(house: House) -> None:
    _, traffic = await house.deploy()
    for _ in range(3):
        house.ask(traffic, most=3)
    with pytest.raises(Full):
        house.ask(traffic, most=3)


async def test_it_cannot_be_called(house: House) -> None:
    await house.deploy()
    with pytest.raises(NotCallable):
        await house.rig.call()


async def test_a_container_that_comes_back_is_reached_again(house: House) -> None:
    _, traffic = await house.deploy(min_containers=1)
    await house.rig.scale()
    played = await house.ready()
    played.hang_up()
    waiting, seat = house.ask(traffic)
    assert seat is None, "nothing is given to a container that is not heard of"
    talk = await played.reconnect()
    played.talk = talk
    played.say(wire.READY, slots=1, startup_s=0.1, port=5000)
    assert [one.address for one in waiting.seats] == [Address("127.0.0.1", 5000)]
