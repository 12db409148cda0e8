"""Joins the traffic of functions that answer HTTP with their pools, the lives of containers, and discovery."""

from collections.abc import Mapping
from functools import partial

from yurt.domain.records import ContainerState
from yurt.pools.heart import Heart
from yurt.pools.lives import Lives
from yurt.pools.members import Member
from yurt.pools.pool import Pool
from yurt.pools.traffic import Traffic
from yurt.ports import Address, Clock, Discovery

SERVER_GONE = "its web server accepts no connections"


class Visits:
    """Opens a `Traffic` for each pool that takes requests, and keeps what it goes by.

    Args:
        discovery: tells where containers are reached.
    """

    def __init__(self, heart: Heart, lives: Lives, clock: Clock, discovery: Discovery) -> None:
        self._heart = heart
        self._lives = lives
        self._clock = clock
        self._discovery = discovery
        self._found: Mapping[str, Address] = {}
        heart.traffic_of = self._open
        lives.served = self.served
        lives.gone = discovery.withdraw

    def _open(self, pool: Pool) -> Traffic:
        return Traffic(
            pool.members,
            now=self._clock.monotonic,
            scale=partial(pool.desk.scale, pool),
            left=partial(self._left, pool),
            dead=partial(self._dead, pool),
        )

    def _left(self, pool: Pool, member: Member) -> None:
        pool.active_at = self._clock.monotonic()
        if member.state is ContainerState.DRAINING:
            self._lives.let_go(member)

    def _dead(self, pool: Pool, member: Member) -> None:
        self._lives.drain(pool, member, SERVER_GONE, grace_s=0)

    def served(self, pool: Pool, member: Member, port: int | None) -> None:
        """A container is ready, and says where its server listens."""
        if pool.traffic is None:
            return
        if port is not None:
            self._discovery.announce(member.id, port)
        member.address = self._found.get(member.id)
        pool.traffic.pump()

    def found(self, found: Mapping[str, Address]) -> None:
        """What discovery knows now; see `yurt.ports.Found`."""
        self._found = found
        for pool in self._heart.pools.values():
            if pool.traffic is not None:
                for member in pool.members.values():
                    member.address = found.get(member.id)
                pool.traffic.pump()

    def tick(self) -> None:
        """Look again at those who wait: a container that was shunned may be well."""
        for pool in self._heart.pools.values():
            if pool.traffic is not None and len(pool.traffic):
                pool.traffic.pump()
