"""The heart on a real store, with containers that the test plays by hand."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.clocks import FreeClock
from tests.fakes.blobs import FakeBlobs
from tests.fakes.engine import FakeEngine
from tests.fakes.logs import FakeLogs
from tests.waiting import until
from yurt.domain.changes import Save
from yurt.domain.functions import LiveFunction, Scaling
from yurt.domain.ids import Tags
from yurt.domain.records import App, CallKind, Container, Function, Result, Revision, Target
from yurt.domain.secrets import SecretUnusable
from yurt.domain.timing import Timing
from yurt.outbound.store import open_store
from yurt.outbound.store.store import SqliteStore
from yurt.pools.background import Background
from yurt.pools.heart import Heart, Limits
from yurt.pools.inputs import Input, NewCall
from yurt.pools.later import Later
from yurt.pools.ledger import Ledger
from yurt.pools.lives import Lives
from yurt.pools.members import Member, new_member
from yurt.pools.numbers import Numbers
from yurt.pools.pool import Pool
from yurt.pools.queue import Window
from yurt.pools.sessions import Sessions
from yurt.ports import CallFilter
from yurt.usecases.callbacks import Callbacks
from yurt.usecases.calls import Calls
from yurt.usecases.environments import Environments
from yurt.usecases.places import Places
from yurt.usecases.reopening import Reopening
from yurt_runner import wire


@dataclass
class Talk:
    """A session as its container sees it: the frames it was sent, and whether it was closed."""

    frames: list[wire.Frame] = field(default_factory=list)
    acked: list[tuple[int, int]] = field(default_factory=list)
    closed: str | None = None

    def send(self, frame: bytes) -> None:
        self.frames += wire.unpack(frame)

    def flush(self) -> None:
        """Nothing waits here."""

    def acknowledge(self, seq: int, token: int) -> None:
        self.acked.append((seq, token))

    def close(self, reason: str) -> None:
        self.closed = reason

    @property
    def is_open(self) -> bool:
        """Whether the server has left it open."""
        return self.closed is None

    def of(self, kind: int) -> list[wire.Frame]:
        return [frame for frame in self.frames if frame.kind == kind]


@dataclass
class Played:
    """A container that the test plays."""

    rig: "Rig"
    pool: Pool
    member: Member
    talk: Talk
    credential: str

    @property
    def inputs(self) -> list[wire.Frame]:
        """The inputs it was given, in order."""
        return self.talk.of(wire.INPUT)

    def say(
        self, kind: int, seq: int = 0, token: int = 0, payload: bytes = b"", *, flags: int = 0, **meta: Any
    ) -> None:
        """Send a frame to the server."""
        frame = wire.pack(kind, seq, token, payload, meta=wire.meta(**meta), flags=flags)
        self.rig.sessions.frames(self.pool, self.member, wire.unpack(frame))

    def answer(self, frame: wire.Frame, value: object = None, *, run_s: float = 0.5) -> None:
        """End an input with a value."""
        self.say(wire.OUTPUT, frame.seq, frame.token, json.dumps(value).encode(), run_s=run_s)

    def fail(self, frame: wire.Frame, outcome: str, **error: object) -> None:
        """End an input with an error."""
        payload = json.dumps({"type": "Oops", "message": "it broke", **error}).encode()
        self.say(wire.OUTPUT, frame.seq, frame.token, payload, flags=wire.OUTCOMES.index(outcome), run_s=0.1)

    def start_failed(self, message: str = "no module named nothing", outcome: str = "init_failure") -> None:
        """Say that the function could not be loaded."""
        error = json.dumps({"type": "ModuleNotFoundError", "message": message}).encode()
        self.say(wire.FAILED, payload=error, phase="import", outcome=outcome)

    def hang_up(self) -> None:
        """Break the session."""
        self.rig.lives.disconnected(self.pool, self.member)

    async def reconnect(self, holds: list[list[object]] | None = None) -> Talk:
        """Dial again, holding `holds`."""
        welcome = json.loads(self.talk.of(wire.WELCOME)[-1].meta)
        return await self.rig.greet(
            self.member.id, welcome["reconnect_token"], self.member.record.instance or "", holds
        )


class NoPost:
    """`yurt.ports.Post` of tests without callbacks."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        raise AssertionError(f"a callback to {url}")


class Rig:
    """A server's heart without doors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = FreeClock()
        self.engine = FakeEngine()
        self.blobs = FakeBlobs()
        self.logs = FakeLogs()
        self.results: dict[int, Result] = {}
        self.limits = Limits(pending=100)
        self.no_secret: str | None = None

    async def open(self) -> "Rig":
        """Begin a life of the server, the first or a further one."""
        self.store: SqliteStore = await open_store(self.path, clock=self.clock)
        identity = self.store.identity
        self.tags = Tags(identity.key)
        self.background = Background()
        ledger = Ledger(self.store.journal, self.blobs, self.clock, self.background)
        self.heart = Heart(
            ledger=ledger,
            blobs=self.blobs,
            clock=self.clock,
            numbers=Numbers(identity.epoch, self.store.journal.next_epoch),
            tags=self.tags,
            background=self.background,
            reads=self.store.maps,
            limits=self.limits,
        )
        self.lives = Lives(
            engine=self.engine,
            ledger=ledger,
            clock=self.clock,
            background=self.background,
            url="http://127.0.0.1:1",
            installation=identity.installation,
            grace_s=60,
            cancel_grace_s=5,
        )
        self.heart.attach(self.lives)
        self.later = Later(self.heart, ledger, self.store.maps)
        self.heart.functions.scale_wanted = lambda: None
        await self.engine.open(self.lives.reported)
        self.sessions = Sessions(
            lives=self.lives,
            journal=self.store.journal,
            blobs=self.blobs,
            logs=self.logs,
            clock=self.clock,
            meet=self.heart.reach.meet,
            adopt=self.heart.recovery.adopt,
            heard=self.heart.hurry,
            variables=self.variables,
            calling=lambda _: {},
        )
        return self

    async def variables(self, function: LiveFunction) -> Mapping[str, str]:
        """The variables of a container; a test may forbid it a secret."""
        if self.no_secret is not None:
            raise SecretUnusable(self.no_secret)
        return dict.fromkeys(function.secrets, "hush") | dict(function.env)

    async def close(self) -> None:
        """End this life, as a kill would: nothing is drained."""
        self.lives.close()
        self.engine._report = None
        for _ in range(3):
            self.clock.advance(10)
            await self.store.journal.flush()
        await self.background.close(grace_s=0.01)
        await self.store.close()

    async def resize(self, window: Window) -> None:
        """Begin again with another part of each queue in memory."""
        await self.close()
        self.limits = Limits(self.limits.pending, window)
        await self.open()

    async def deploy(self, revision: int = 1, **values: Any) -> Pool:
        """Make a revision of `demo:work` current."""
        scaling = Scaling(**{key: values.pop(key) for key in list(values) if key in Scaling.__dataclass_fields__})
        live = LiveFunction(
            function_id="fu-1",
            app_id="ap-1",
            environment=values.pop("environment", "main"),
            app="demo",
            name="work",
            revision=revision,
            entrypoint="main:work",
            source_bundle=None,
            scaling=scaling,
            **values,
        )
        now = self.clock.now()
        await self.store.journal.write(
            Save(App("ap-1", live.environment, "demo", "{}", now, "tk-1")),
            Save(Function("fu-1", "ap-1", "work", revision, now, now)),
            Save(Revision("fu-1", revision, "{}", None, now, "tk-1")),
        )
        self.heart.functions.deploy(live)
        return self.heart.pools["fu-1"]

    async def call(
        self,
        caller: str = "tk-1",
        args: bytes = b"{}",
        *,
        target: Target | None = None,
        timing: Timing | None = None,
        waits: bool = False,
    ) -> Input:
        """Have a call accepted; its result will be in `results`."""
        pool = self.heart.pools["fu-1"]
        new = NewCall("invoke", caller, args, target=target, timing=timing, waits=waits)
        item = self.heart.accept(pool.live, new, lambda _: (), lambda error: None)
        self.heart.followers.wait(item.seq, partial(self.results.__setitem__, item.seq))
        await self.store.journal.flush()
        return item

    def desk(self) -> Calls:
        """What callers ask; no callback leaves it."""
        environments = Environments(self.store, self.clock)
        callbacks = Callbacks(self.store, NoPost(), self.clock, environments, os.urandom)
        places = Places(self.store.records)
        return Calls(self.heart, self.store, self.blobs, self.tags, self.clock, places, callbacks)

    async def scale(self) -> None:
        """Let the autoscaler decide once, and its starts happen."""
        self.heart.functions.scale(list(self.heart.pools.values()))
        await self.settle()

    async def settle(self) -> None:
        """Let commits and short tasks happen."""
        for _ in range(3):
            await self.store.journal.flush()
            for _ in range(5):
                await self.clock.sleep(0)

    async def tick(self, seconds: float = 1.0, *, renew: bool = False) -> None:
        """Let time pass, in one go, and the loop look once."""
        self.clock.advance(seconds)
        await self.settle()
        await self.later.fire()
        await self.settle()
        self.lives.tick(self.clock.monotonic(), renew=renew)
        for pool in list(self.heart.pools.values()):
            self.heart.recovery.release(pool)
        await self.scale()
        self.heart.settle()
        await self.settle()

    async def greet(
        self, container_id: str, credential: str, instance: str, holds: list[list[object]] | None = None
    ) -> Talk:
        """Open a session for a container."""
        talk = Talk()
        pool, member = await self.sessions.authenticate(container_id, credential)
        said = {"protocol": wire.PROTOCOL, "instance": instance, "holds": holds or []}
        await self.sessions.hello(pool, member, said, talk, credential)
        return talk

    async def boot(self, index: int = -1, *, ready: bool = True) -> Played:
        """Play the container that was asked for, up to its hello, or to ready."""
        spec = self.engine.started[index]
        talk = await self.greet(spec.container_id, spec.start_token, f"{spec.container_id}-instance")
        entry = self.lives.get(spec.container_id)
        assert entry is not None
        played = Played(self, *entry, talk, spec.start_token)
        if ready:
            played.say(wire.READY, slots=1, startup_s=0.1)
            await self.settle()
        return played

    async def container(self) -> Played:
        """Scale once and play the one container that this asks for."""
        before = len(self.engine.started)
        await self.scale()
        assert len(self.engine.started) == before + 1
        return await self.boot()

    async def row(self, container_id: str) -> Container:
        """A container's row, as committed."""
        await self.store.journal.flush()
        row = await self.store.records.get(Container, container_id)
        assert row is not None
        return row

    async def result(self, item: Input) -> Result:
        """The result of an input, once it is committed."""
        await until(lambda: item.seq in self.results, f"the result of {item.seq}")
        return self.results[item.seq]

    async def reopen(self, pool: Pool) -> Pool:
        """Kill this life and begin the next one with what the store and the engine have."""
        live = pool.live
        await self.close()
        await self.open()
        self.heart.functions.deploy(live)
        again = self.heart.pools[live.function_id]
        for state in ("starting", "ready", "draining"):
            for record in await self.store.records.find(Container, {"state": state}):
                home = self.heart.families.home(record.function_id, record.parameters_json)
                if record.id in self.engine.alive and home is not None:
                    self.lives.adopt(home, new_member(record, home.live, self.clock.monotonic()))
        before = set(self.results)
        await Reopening(self.store, self.heart, self.tags).run()
        for seq in await self.open_calls():
            if seq not in before:
                self.heart.followers.wait(seq, partial(self.results.__setitem__, seq))
        return again

    async def open_calls(self) -> list[int]:
        """The numbers of the calls of one input that have not ended, as the store knows them."""
        wanted = CallFilter(statuses=("pending",))
        rows = await self.store.calls.find(wanted, before=None, limit=10_000, values=False)
        return [row.call.seq for row in rows if row.call.kind != CallKind.MAP]
