"""Who gets which container: a walk through everything that may happen, held to what must hold."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from tests.component.gateway.rig import NoLink
from yurt.domain.functions import LiveFunction, Scaling
from yurt.domain.records import Container, ContainerState
from yurt.pools.members import Member
from yurt.pools.traffic import Away, Full, Seat, Traffic
from yurt.ports import Address

MOST = 4
LIVE = LiveFunction("fu-1", "ap-1", "main", "app", "fn", 1, "m:f", None, Scaling())


@dataclass(eq=False)
class Visitor:
    """A request of the walk."""

    seat: Seat | None = None
    waits: bool = False
    gone: bool = False

    def seated(self, seat: Seat) -> None:
        assert self.waits, "who does not wait gets nothing"
        self.seat, self.waits = seat, False

    def turned_away(self, why: Away) -> None:
        assert self.waits
        self.waits, self.gone = False, True


@dataclass
class Walk:
    """The state of the walk."""

    slots: int
    time: float = 0.0
    members: dict[str, Member] = field(default_factory=dict)
    visitors: list[Visitor] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    made: int = 0

    def __post_init__(self) -> None:
        self.traffic = Traffic(
            self.members,
            now=lambda: self.time,
            scale=lambda: None,
            left=lambda member: self.left.append(member.id),
            dead=lambda member: None,
        )

    def container(self) -> None:
        self.made += 1
        record = Container(f"co-{self.made}", "fu-1", 1, "local", ContainerState.READY, 1.0, "00", ready_at=1.0)
        member = Member(record, LIVE, 0.0)
        member.slots, member.link, member.address = self.slots, NoLink(), Address("h", self.made)
        self.members[member.id] = member
        self.traffic.pump()

    def ask(self) -> None:
        visitor = Visitor(waits=True)
        try:
            seat = self.traffic.enter(visitor, most=MOST)
        except Full:
            assert sum(one.waits for one in self.visitors) == MOST
            return
        if seat is not None:
            visitor.seated(seat)
        self.visitors.append(visitor)

    def end(self, index: int, *, failed: bool) -> None:
        seated = [one for one in self.visitors if one.seat is not None]
        if seated:
            visitor = seated[index % len(seated)]
            seat, visitor.seat = visitor.seat, None
            assert seat is not None
            if failed:
                self.traffic.failed(seat)
            self.traffic.leave(seat)

    def give_up(self, index: int) -> None:
        waiting = [one for one in self.visitors if one.waits]
        if waiting:
            visitor = waiting[index % len(waiting)]
            visitor.waits = False
            self.traffic.forget(visitor)

    def drain(self, index: int) -> None:
        ready = [one for one in self.members.values() if one.state is ContainerState.READY]
        if ready:
            ready[index % len(ready)].state = ContainerState.DRAINING

    def lose(self, index: int) -> None:
        if self.members:
            self.members.pop(list(self.members)[index % len(self.members)])

    def check(self) -> None:
        counted = dict.fromkeys(self.members, 0)
        for visitor in self.visitors:
            if visitor.seat is not None and visitor.seat.member.id in counted:
                counted[visitor.seat.member.id] += 1
        assert {key: member.requests for key, member in self.members.items()} == counted
        assert all(member.requests <= self.slots for member in self.members.values())
        waiting = sum(one.waits for one in self.visitors)
        assert len(self.traffic) == waiting <= MOST
        room = any(
            member.works and member.requests < self.slots and member.shunned_until <= self.time
            for member in self.members.values()
        )
        assert not (room and waiting), "nobody waits while there is room"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["container", "ask", "ask", "ask", "end", "fail", "give_up", "drain", "lose"]),
        st.integers(0, 9),
    ),
    min_size=20,  # shorter walks seldom come anywhere
    max_size=60,
)


@given(st.integers(1, 3), STEPS)
def test_no_request_is_lost_and_no_container_has_too_many(slots: int, steps: list[tuple[str, int]]) -> None:
    walk = Walk(slots)
    for step, index in steps:
        walk.time += 10  # past every shun
        walk.traffic.pump()
        if step == "container":
            walk.container()
        elif step == "ask":
            walk.ask()
        elif step in {"end", "fail"}:
            walk.end(index, failed=step == "fail")
        elif step == "give_up":
            walk.give_up(index)
        elif step == "drain":
            walk.drain(index)
        else:
            walk.lose(index)
        walk.check()
    walk.traffic.turn_away(Away.GONE)
    assert not any(visitor.waits for visitor in walk.visitors)
