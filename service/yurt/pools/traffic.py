"""Requests to a function that answers HTTP: which container takes which, and who waits for one.

They touch neither journal nor session. What is here is counted, so that the autoscaler sees it, and a container that
leaves is let go once its last request has ended.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from yurt.domain.errors import NotCallable
from yurt.domain.functions import LiveFunction
from yurt.pools.members import Member
from yurt.ports import Address

SHUN_S = 0.25
"""How long a container gets nothing after a connection to it failed, in seconds; doubling with each further one."""

MAX_FAILURES = 4
"""Connections that fail in a row before a container is given up: its server has gone, though its process lives."""


class Away(StrEnum):
    """Why a request is turned away that waited for a container."""

    GONE = "gone"
    """The function was deleted, or its app stopped."""

    BROKEN = "broken"
    """Its containers do not start."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Room for one request in a container. Give it back by `Traffic.leave`, once."""

    member: Member
    address: Address
    taken_at: float

    @property
    def function(self) -> LiveFunction:
        """The revision that the container runs."""
        return self.member.function


class Visitor(Protocol):
    """A request that waits."""

    def seated(self, seat: Seat) -> None:
        """It has its container."""

    def turned_away(self, why: Away) -> None:
        """It will get none."""


class Full(Exception):
    """So many requests wait already that no further one may."""


def not_callable(live: LiveFunction) -> NotCallable:
    """The error for a call of a function that answers HTTP."""
    return NotCallable(f"{live.address} answers HTTP and cannot be called: send a request to its web_url.")


def refuse_calls(live: LiveFunction) -> None:
    """Raise `NotCallable` for a function that answers HTTP."""
    if live.web is not None:
        raise not_callable(live)


class Traffic:
    """The requests of one function.

    Args:
        members: the containers of its pool, by id; those of an older revision among them.
        now: the monotonic clock, in seconds.
        scale: asks for a scaling decision soon.
        left: called with a container whose last request has ended.
        dead: called with a container whose server accepts no connections.
    """

    def __init__(
        self,
        members: dict[str, Member],
        *,
        now: Callable[[], float],
        scale: Callable[[], None],
        left: Callable[[Member], None],
        dead: Callable[[Member], None],
    ) -> None:
        self._members = members
        self._now = now
        self._scale = scale
        self._left = left
        self._dead = dead
        self._waiting: OrderedDict[int, tuple[Visitor, str | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, visitor: Visitor, *, most: int, not_in: str | None = None) -> Seat | None:
        """Room for a request at once, or None: then it waits until it hears.

        Args:
            most: so many requests may wait.
            not_in: a container that has failed this request.

        Raises:
            Full: so many wait already.
        """
        if not self._waiting:
            seat = self._seat(not_in)
            if seat is not None:
                return seat
        if len(self._waiting) >= most:
            raise Full
        self._waiting[id(visitor)] = (visitor, not_in)
        self._scale()
        return None

    def forget(self, visitor: Visitor) -> None:
        """A request waits no more: its client has gone, or its time is over."""
        self._waiting.pop(id(visitor), None)

    def leave(self, seat: Seat) -> None:
        """A request has ended, however."""
        member = seat.member
        member.requests -= 1
        if not member.requests:
            member.idle_since = self._now()
            self._left(member)
        if self._waiting:
            self.pump()

    def answered(self, seat: Seat) -> None:
        """The container's server has answered: it is well."""
        seat.member.failures = 0

    def failed(self, seat: Seat) -> None:
        """A connection to the container failed: others are tried first, for a while."""
        member = seat.member
        member.failures += 1
        member.shunned_until = self._now() + SHUN_S * 2 ** (member.failures - 1)
        if member.failures >= MAX_FAILURES:
            self._dead(member)

    def pump(self) -> None:
        """Seat those who wait, as far as there is room; ask for more containers if some are left."""
        for key, (visitor, not_in) in list(self._waiting.items()):
            seat = self._seat(not_in)
            if seat is None:
                if not_in is None:
                    break  # nor is there room for those behind it
                continue
            del self._waiting[key]
            visitor.seated(seat)
        if self._waiting:
            self._scale()

    def turn_away(self, why: Away) -> None:
        """Nobody who waits gets a container."""
        waiting = list(self._waiting.values())
        self._waiting.clear()
        for visitor, _ in waiting:
            visitor.turned_away(why)

    def _seat(self, not_in: str | None) -> Seat | None:
        """Room in the container with the fewest requests; of several such in the oldest, so that others become idle.

        One that has failed the request gets it again only where there is no other at all.
        """
        best: Member | None = None
        failed: Member | None = None
        others = False
        now = self._now()
        for member in self._members.values():
            if member.address is None or not member.works:
                continue
            if member.id == not_in:
                failed = member
                continue
            others = True
            if member.requests >= member.slots or member.shunned_until > now:
                continue
            if best is None or member.requests < best.requests:
                best = member
        if best is None and not others and failed is not None and failed.requests < failed.slots:
            best = failed if failed.shunned_until <= now else None
        if best is None or best.address is None:
            return None
        best.requests += 1
        return Seat(best, best.address, now)
