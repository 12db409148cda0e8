"""Containers that behave as the runner does, but for what a random walk makes them do."""

import json
from dataclasses import dataclass, field
from random import Random

from tests.component.pools.rig import Rig, Talk
from yurt.domain.errors import Unauthenticated
from yurt.pools.members import Member
from yurt.pools.pool import Pool
from yurt.pools.sessions import SessionRefused
from yurt.ports import ContainerSpec
from yurt_runner import wire

Key = tuple[int, int]


@dataclass
class Held:
    """One input as its container knows it."""

    number: int
    state: str = "waiting"
    items: int = 0
    output: bytes = b""
    cancelled: bool = False


@dataclass
class Box:
    """A container that is played: its process, its session, what it holds.

    Args:
        claims: (seq, token) of every output that the server took as the current attempt's.
    """

    rig: Rig
    spec: ContainerSpec
    claims: set[Key]
    talk: Talk | None = None
    pool: Pool | None = None
    member: Member | None = None
    read: int = 0
    credential: str = ""
    ready: bool = False
    draining: bool = False
    dead: bool = False
    frozen: bool = False
    dialling: bool = False
    startup: bytes = b""
    holds: dict[Key, Held] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Its container's id."""
        return self.spec.container_id

    @property
    def linked(self) -> bool:
        """Whether it has an open session."""
        return self.talk is not None and self.talk.is_open and not self.dead

    async def dial(self) -> None:
        """Say hello with what is held; refused, it ends."""
        self.dialling = True
        credential = self.credential or self.spec.start_token
        holds = [[seq, token, held.number, None, held.state == "done"] for (seq, token), held in self.holds.items()]
        talk = Talk()
        try:
            pool, member = await self.rig.sessions.authenticate(self.id, credential)
            said = {"protocol": wire.PROTOCOL, "instance": f"{self.id}-instance", "holds": holds}
            await self.rig.sessions.hello(pool, member, said, talk, credential)
        except (Unauthenticated, SessionRefused):
            self.die()
            return
        finally:
            self.dialling = False
        if self.dead:
            self.rig.lives.disconnected(pool, member)
            return
        self.talk, self.pool, self.member, self.read = talk, pool, member, 0
        self.credential = json.loads(talk.of(wire.WELCOME)[0].meta)["reconnect_token"]
        if self.startup:
            self._say(self.startup)
        for key, held in self.holds.items():
            for place in range(held.items):
                self._say(_item(key, place))
        for held in [held for held in self.holds.values() if held.state == "done"]:
            self._say(held.output)

    def _say(self, frame: bytes) -> None:
        if not self.linked or self.pool is None or self.member is None:
            return
        for one in wire.unpack(frame):
            item = self.member.held.get(one.seq)
            if one.kind == wire.OUTPUT and item is not None and item.token == one.token:
                self.claims.add((one.seq, one.token))
        if self.member.link is self.talk:  # a session that was replaced is not read any more
            self.rig.sessions.frames(self.pool, self.member, wire.unpack(frame))

    def hear(self) -> None:
        """Read what the server said, and obey."""
        if self.talk is None:
            return
        frames = self.talk.frames[self.read :]
        self.read += len(frames)
        for frame in frames:
            self._obey(frame)
        for key in self.talk.acked:
            self.holds.pop(key, None)
        if not self.talk.is_open:
            self.talk = None

    def _obey(self, frame: wire.Frame) -> None:
        key = (frame.seq, frame.token)
        held = self.holds.get(key)
        if frame.kind == wire.INPUT:
            self.holds[key] = Held(json.loads(frame.meta)["number"])
            if self.draining:
                self._give_back()
        elif frame.kind == wire.RECALL:
            self._give_back()
        elif frame.kind == wire.DRAIN:
            self.draining = True
            self._give_back()
        elif frame.kind == wire.CANCEL and held is not None and held.state != "done":
            held.cancelled = True
            if held.state == "waiting":
                self.answer(key)

    def _give_back(self) -> None:
        for key in [key for key, held in self.holds.items() if held.state == "waiting"]:
            del self.holds[key]
            self._say(wire.pack(wire.RETURN, *key))

    def begin(self) -> None:
        """Let user code of the first waiting inputs begin, as far as there are slots."""
        busy = sum(held.state == "running" for held in self.holds.values())
        for held in self.holds.values():
            if held.state == "waiting" and busy < self.spec.function.slots:
                held.state = "running"
                busy += 1

    def tell_started(self, key: Key, for_s: float) -> None:
        """Say that the input runs for so long."""
        self._say(wire.pack(wire.STARTED, *key, meta=wire.meta(for_s=for_s)))

    def give(self, key: Key) -> None:
        """Yield an item."""
        held = self.holds[key]
        held.items += 1
        self._say(_item(key, held.items - 1))

    def answer(self, key: Key, outcome: str = "success") -> None:
        """End an input."""
        held = self.holds[key]
        outcome = "cancelled" if held.cancelled else outcome
        error = b'{"type": "Oops", "message": "it broke"}'
        value = b'"%d/%d"' % key if outcome == "success" else error
        held.state = "done"
        told = {"items": held.items} if held.items else {}
        meta = wire.meta(run_s=0.00001, **told)
        held.output = wire.pack(wire.OUTPUT, *key, value, meta=meta, flags=wire.OUTCOMES.index(outcome))
        self._say(held.output)

    def repeat(self, rng: Random) -> None:
        """Say something again, or something that nobody asked for."""
        for held in list(self.holds.values()):
            if held.state == "done":
                self._say(held.output)
        for seq, token in list(self.holds):
            if rng.random() < 0.3:
                self._say(wire.pack(wire.OUTPUT, seq, token - 1, b'"forged"', meta=b"{}"))
                self._say(wire.pack(wire.RETURN, seq, token + 7))

    def get_ready(self) -> None:
        """Startup is over."""
        self.ready = True
        self.startup = wire.pack(wire.READY, meta=wire.meta(startup_s=0.1))
        self._say(self.startup)

    def fail(self) -> None:
        """Startup has failed; the process ends."""
        self._say(
            wire.pack(wire.FAILED, payload=b'{"type": "E", "message": "no"}', meta=wire.meta(outcome="init_failure"))
        )
        self.die()

    def beat(self) -> None:
        """Show life."""
        self._say(wire.pack(wire.BEAT, meta=wire.meta(rss_mib=1.0)))

    def hang_up(self) -> None:
        """The connection breaks; what was on its way to the container is lost."""
        talk, self.talk = self.talk, None
        if talk is not None and self.member is not None and self.pool is not None and self.member.link is talk:
            self.rig.lives.disconnected(self.pool, self.member)

    def leave(self) -> None:
        """Say BYE and end, once nothing runs and every output is acknowledged."""
        if self.draining and not self.holds:
            self._say(wire.pack(wire.BYE, meta=wire.meta(reason="drained")))
            self.die()

    def die(self, *, first_the_engine: bool = True) -> None:
        """The process ends."""
        if self.dead:
            return
        self.dead = True
        if first_the_engine:
            self.rig.engine.end(self.id, "died")
            self.hang_up()
        else:
            self.hang_up()
            self.rig.engine.end(self.id, "died")


def _item(key: Key, place: int) -> bytes:
    return wire.pack(wire.ITEM, *key, b"%d" % key[1], meta=wire.meta(first=place, count=1))
