"""A random walk through everything that can happen to a function, and the laws that must hold after every step."""

import asyncio
import sqlite3
from collections.abc import Callable
from functools import partial
from random import Random

from tests.component.pools.boxes import Box, Key
from tests.component.pools.rig import Rig, Talk
from yurt.domain.batches import Batches
from yurt.domain.errors import TooManyPending, Unavailable
from yurt.domain.functions import Scaling
from yurt.domain.records import CallKind, ContainerState, Result, Role
from yurt.domain.retry import NO_RETRIES, RetryPolicy
from yurt.pools.inputs import Input, NewCall
from yurt.pools.members import Member
from yurt.pools.pool import Pool
from yurt.ports import EngineRefused
from yurt.usecases.backlog import Backlog
from yurt.usecases.begun import Envelope
from yurt.usecases.principals import Principal

ROUNDS = 400
"""In which everything must have ended once containers behave: retries of starts back off up to 60 s."""


class Once(dict[int, Result]):
    """Outcomes as callers saw them."""

    def __setitem__(self, seq: int, result: Result) -> None:
        assert seq not in self, f"input {seq} has a second outcome: {self.get(seq)}, {result}"
        assert result.value is None or b"forged" not in (result.value.data or b""), f"input {seq} ended with a forgery"
        super().__setitem__(seq, result)


class World:
    """A heart, its containers and its callers.

    Args:
        rig: open, with nothing deployed.
        rng: every choice comes from it.
    """

    def __init__(self, rig: Rig, rng: Random) -> None:
        self.rig, self.rng = rig, rng
        self.rig.results = Once()
        self.boxes: dict[str, Box] = {}
        self.accepted: set[int] = set()
        self.open: set[int] = set()
        self.claims: set[Key] = set()
        self.named: dict[str, set[int]] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.held = False
        self.revision = 1
        self.options: dict[str, object] = {}
        self.retries = NO_RETRIES
        self.yields = 0.0
        self.steps: list[str] = []
        self.database = sqlite3.connect(f"file:{self._file()}?mode=ro", uri=True)

    def _file(self) -> str:
        (found,) = self.rig.path.glob("*.db")
        return str(found)

    async def begin(self) -> None:
        """Deploy the first revision."""
        slots = self.rng.choice([1, 1, 2, 4])
        self.retries = RetryPolicy(self.rng.choice([0, 2]), self.rng.choice([0, 0.5, 5]))
        single_use = self.rng.random() < 0.15
        self.yields = self.rng.choice([0.0, 0.0, 0.5])
        self.options = {
            "max_inputs": slots,
            "target_inputs": self.rng.choice([None, 1]),
            "batches": None if single_use else self.rng.choice([None, None, Batches(3, 0.0), Batches(2, 4.0)]),
            "single_use_containers": single_use,
            "timeout_s": 36000,
            "retries": self.retries,
        }
        await self.rig.deploy(1, max_containers=3, scaledown_window_s=20, **self.options)
        self._born()

    def _born(self) -> None:
        """What is watched in each life of the server."""
        rig = self.rig
        self.calls = rig.desk()
        start = rig.lives.start

        def checked(pool: Pool) -> None:
            older = [m for m in pool.members.values() if m.function.revision < pool.live.revision]
            most = pool.live.scaling.max_containers + any(m.state is ContainerState.READY for m in older)
            assert len(pool.members) < most, f"{len(pool.members) + 1} containers, and {most} are allowed"
            start(pool)

        rig.lives.start = checked  # type: ignore[method-assign]

    @property
    def pool(self) -> Pool:
        """The function's pool."""
        return self.rig.heart.pools["fu-1"]

    # ------------------------------------------------------------------ the walk

    async def step(self) -> None:
        """Do one thing, let it take effect, and look at the laws."""
        if self.rng.random() < 0.1:
            self.heal()
        action = self.rng.choices(list(ACTIONS), weights=list(ACTIONS.values()))[0]
        self.steps.append(action)
        result = getattr(self, action)()
        if result is not None:
            await result
        await self.settle()
        self.check()

    async def settle(self) -> None:
        """Let commits and short tasks happen, those too that follow from them, unless the journal is held."""
        journal, rounds = self.rig.store.journal, 0
        while rounds < 2 or (journal.stats().waiting and not self.held):
            rounds += 1
            if not self.held:
                await journal.flush()
            for _ in range(4):
                await asyncio.sleep(0)
        for spec in self.rig.engine.started:
            if spec.container_id not in self.boxes:
                self.boxes[spec.container_id] = Box(self.rig, spec, self.claims)

    def _some(self, fits: Callable[[Box], bool]) -> Box | None:
        found = [box for box in self.boxes.values() if not box.dead and fits(box)]
        return self.rng.choice(found) if found else None

    def call(self) -> None:
        for _ in range(self.rng.randrange(1, 5)):
            self._one_call()

    def _one_call(self) -> None:
        args: bytes | None = b"{}"
        blob = None
        if self.rng.random() < 0.2:
            args, blob = None, "0" * 64
            self.rig.blobs.kept[blob] = b"{}"
        caller, priority = f"tk-{self.rng.randrange(3)}", self.rng.choice([0, 0, 0, 5])
        new = NewCall("invoke", caller, args, blob, priority=priority, waits=self.rng.random() < 0.5)

        def done(error: Exception | None) -> None:
            if error is None:
                self.accepted.add(item.seq)
                self.open.add(item.seq)

        try:
            item = self.rig.heart.accept(self.pool.live, new, lambda _: (), done)
        except TooManyPending:
            return
        self.rig.heart.followers.wait(item.seq, partial(self.rig.results.__setitem__, item.seq))

    def named_call(self) -> None:
        key = f"key-{self.rng.randrange(6)}"
        self._run(self._named_call(key))

    async def _named_call(self, key: str) -> None:
        principal = Principal(token_id="tk-named", role=Role.ADMIN, environment=None)
        try:
            begun = await self.calls.begin(principal, self.pool.live, Envelope(b"{}"), CallKind.SPAWN, key)
        except (Unavailable, TooManyPending):
            return
        self.accepted.add(begun.seq)
        self.named.setdefault(key, set()).add(begun.seq)

    def _run(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self.tasks.add(task)

    def dial(self) -> None:
        for box in list(self.boxes.values()):
            idle = not box.linked and not box.frozen and not box.dialling and not box.dead
            if idle and self.rng.random() < 0.7:
                self._run(box.dial())

    def get_ready(self) -> None:
        for box in self.boxes.values():
            if box.linked and not box.ready and not box.frozen:
                box.get_ready()

    def fail_to_start(self) -> None:
        box = self._some(lambda box: box.linked and not box.ready)
        if box is not None:
            box.fail()

    def work(self) -> None:
        for box in self.boxes.values():
            if not box.dead and not box.frozen and self.rng.random() < 0.5:
                self._work(box)

    def _work(self, box: Box) -> None:
        box.hear()
        box.begin()
        for key in [key for key, held in box.holds.items() if held.state == "running"]:
            if self.yields and self.rng.random() < self.yields:
                box.give(key)
            if self.rng.random() < 0.6:
                box.answer(key, self.rng.choice(["success", "success", "user_error", "crashed"]))
        box.hear()
        box.leave()

    def run_long(self) -> None:
        box = self._some(lambda box: box.linked and not box.frozen)
        if box is not None:
            box.hear()
            box.begin()
            for key in [key for key, held in box.holds.items() if held.state == "running"]:
                box.tell_started(key, self.rng.choice([0.02, 2.0]))
            box.hear()

    def repeat(self) -> None:
        box = self._some(lambda box: box.linked and not box.frozen)
        if box is not None:
            box.repeat(self.rng)

    def hang_up(self) -> None:
        box = self._some(lambda box: box.linked)
        if box is not None:
            box.hang_up()

    def die(self) -> None:
        box = self._some(lambda box: True)
        if box is not None:
            box.die(first_the_engine=self.rng.random() < 0.5)

    def freeze(self) -> None:
        box = self._some(lambda box: not box.frozen)
        if box is not None:
            box.frozen = True

    def thaw(self) -> None:
        box = self._some(lambda box: box.frozen)
        if box is not None:
            box.frozen = False

    def heal(self) -> None:
        """End what would keep everything else from happening."""
        self.rig.engine.refusal, self.rig.engine.deaf = None, False
        self.let_go()
        if self.pool.live.scaling.max_containers < 2:
            self.rig.heart.functions.rescale("fu-1", Scaling(max_containers=3, scaledown_window_s=20))

    def refuse(self) -> None:
        refused = EngineRefused("no_capacity", "No room.")
        self.rig.engine.refusal = None if self.rig.engine.refusal else refused

    def deafen(self) -> None:
        self.rig.engine.deaf = not self.rig.engine.deaf

    async def cancel(self) -> None:
        open_now = sorted(self.open - self.rig.results.keys())
        if open_now:
            await self.rig.heart.reach.cancel(self.rng.choice(open_now), "token")

    async def cancel_waiting(self) -> None:
        self.let_go()
        await Backlog(self.rig.heart, self.rig.clock).cancel("fu-1")

    def hold(self) -> None:
        self.held = not self.held
        journal = self.rig.store.journal
        journal.hold() if self.held else journal.release()

    def let_go(self) -> None:
        """Commit again, as far as the journal is held."""
        if self.held:
            self.hold()

    async def redeploy(self) -> None:
        self.let_go()
        self.revision += 1
        scaling = self.pool.live.scaling
        maximum, window = scaling.max_containers, scaling.scaledown_window_s
        await self.rig.deploy(self.revision, max_containers=maximum, scaledown_window_s=window, **self.options)

    def rescale(self) -> None:
        most = self.rng.choice([0, 1, 2, 4])
        self.rig.heart.functions.rescale("fu-1", Scaling(max_containers=most, scaledown_window_s=20))

    async def restart(self) -> None:
        """Kill the server; what was not committed is gone, as are all connections."""
        pool = self.pool
        if self.held:
            self.rig.store.journal._waiting.clear()
            self.let_go()
        await self.settle_tasks(cancel=True)
        for box in list(self.boxes.values()):
            box.talk = None
        self.claims.clear()  # what the server took and did not commit is void with it
        await self.rig.reopen(pool)
        self.open &= set(await self.rig.open_calls())  # what ended unseen is looked for in the store at the end
        self._born()

    async def settle_tasks(self, *, cancel: bool = False) -> None:
        """Wait for what was begun."""
        for task in self.tasks:
            if cancel:
                task.cancel()
        for outcome in await asyncio.gather(*self.tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
        self.tasks.clear()

    async def tick(self) -> None:
        """Let some seconds pass, in which healthy containers show life."""
        for _ in range(self.rng.choice([1, 1, 2, 5, 18])):
            await self._second()
            await self.settle()

    async def _second(self) -> None:
        for box in list(self.boxes.values()):
            if not box.frozen and not box.dead:
                box.beat()
        rig = self.rig
        rig.clock.advance(1.0)
        rig.lives.tick(rig.clock.monotonic(), renew=False)
        for pool in list(rig.heart.pools.values()):
            rig.heart.recovery.release(pool)
        await rig.later.fire()
        rig.heart.functions.scale(list(rig.heart.pools.values()))
        rig.heart.settle()

    # ------------------------------------------------------------------ the laws

    def check(self) -> None:
        """What must hold after every step."""
        members = [member for _, member in self.rig.lives]
        for item in self.rig.heart.inputs.values():
            self._check_input(item, [member for member in members if item.seq in member.held])
        for pool in self.rig.heart.pools.values():
            for member in pool.free.values():
                assert not member.works or member.alone or member.has_target_free, "a full container counts as free"
            for member in pool.members.values():
                self._check_member(member)
        self._check_items()
        self._check_stored(self.open - self.rig.heart.inputs.keys() - self.rig.results.keys())
        if not self.held:
            self._check_places()
        for key, seqs in self.named.items():
            assert len(seqs) == 1, f"the key {key} names the calls {seqs}"
        for box in list(self.boxes.values()):
            if box.talk is not None:
                self._check_acknowledged(box.talk)

    def _check_input(self, item: Input, holders: list[Member]) -> None:
        assert len(holders) <= 1, f"input {item.seq} is in {len(holders)} containers"
        parked = item.seq in self.pool.parked
        queued = item in self.pool.queue
        assert not (parked and (queued or holders)), f"input {item.seq} is held back, and queued or held"
        assert item.history.user_failures <= self.retries.max_retries, f"input {item.seq} failed too often"
        if holders:
            assert item.member is holders[0], f"input {item.seq} is held by one container and belongs to another"
            assert not queued, f"input {item.seq} is queued and held"
        assert not (queued and item.ending), f"input {item.seq} has ended and is queued"
        if not self.held:
            known = item.ending or queued or parked or holders or item.seq in self.pool.recovering
            assert known, f"input {item.seq} is nowhere: {vars_of(item)}"
            if item.seq in self.rig.results:
                raise AssertionError(f"input {item.seq} has ended and is still open")

    def _check_items(self) -> None:
        """Items of an input are all of one attempt, without a gap; once any are stored no other attempt follows."""
        told = "SELECT seq, count(*), min(first), max(first), min(data), max(data) FROM items GROUP BY seq"
        for seq, count, first, last, one, other in self.database.execute(told):
            assert (first, last) == (0, count - 1), f"the items {first} to {last} of {seq} are {count}"
            assert one == other, f"the items of {seq} are of the attempts {one} and {other}"
            item = self.rig.heart.inputs.get(seq)
            if item is not None and not item.ending:
                assert item not in self.pool.queue, f"input {seq} was shown, and is queued"
                assert item.member is None or item.token == int(one), f"input {seq} was shown, and runs again"

    def _check_stored(self, absent: set[int]) -> None:
        """What is open and not in memory will be read from the store."""
        rows = self.database.execute("SELECT seq, caller, rank FROM pending WHERE queue = 'fu-1'").fetchall()
        streams = {(stream.caller, stream.rank): stream for stream in self.pool.queue.streams}
        there = {seq: streams.get((caller, rank)) for seq, caller, rank in rows}
        held_back = {seq for (seq,) in self.database.execute("SELECT seq FROM timers WHERE kind = 'start'")}
        for seq in absent - held_back:
            stream = there.get(seq)
            assert stream is not None, f"the input {seq} is open and in no stream"
            assert stream.more, f"the input {seq} is open and forgotten"
            assert seq > stream.cursor, f"the input {seq} is open, and before {stream.cursor}"

    def _check_places(self) -> None:
        """Whatever waits has its place in the store, and what has ended has none; the next start finds the rest."""
        places = {seq for (seq,) in self.database.execute("SELECT seq FROM pending")}
        timers = {seq for (seq,) in self.database.execute("SELECT seq FROM timers WHERE kind = 'start'")}
        ((before,),) = self.database.execute("SELECT before FROM placed")
        ended = self.database.execute("SELECT seq FROM pending WHERE seq IN (SELECT seq FROM results)").fetchall()
        assert not ended, f"the inputs {ended} have ended and have places"
        assert not places & timers, f"the inputs {places & timers} wait for a time, and have places"
        told = "SELECT seq FROM calls WHERE kind <> 'map' AND seq NOT IN (SELECT seq FROM results)"
        for (seq,) in self.database.execute(told):
            assert seq in places or seq in timers or seq >= before, f"no start would find the input {seq}"
            item = self.rig.heart.inputs.get(seq)
            waits = item is not None and (item in self.pool.queue or seq in self.pool.parked)
            assert not waits or seq in places or seq in timers, f"the input {seq} waits without a place"

    @staticmethod
    def _check_member(member: Member) -> None:
        if member.alone:
            assert len(member.held) <= 1, f"{member.id} is to run one input alone and holds {len(member.held)}"

    def _check_acknowledged(self, talk: Talk) -> None:
        for seq, token in talk.acked:
            if (seq, token) in self.claims:
                self.claims.discard((seq, token))
                told = "SELECT 1 FROM results WHERE seq = ?1 UNION SELECT 1 FROM attempts WHERE seq = ?1"
                row = self.database.execute(told, (seq,)).fetchone()
                assert row, f"the output of {seq} was acknowledged before its commit"

    # ------------------------------------------------------------------ the end

    async def close(self) -> None:
        """Let go of what a failed walk may have left."""
        self.let_go()
        await self.settle_tasks(cancel=True)
        self.database.close()

    async def run_out(self) -> None:
        """Let everything that was accepted come to its end, with containers that behave."""
        self.let_go()
        self.rig.engine.refusal, self.rig.engine.deaf = None, False
        self.rig.heart.functions.rescale("fu-1", Scaling(max_containers=2, scaledown_window_s=5))
        await self.settle_tasks()
        for _ in range(ROUNDS):
            if not (self.rig.heart.inputs or len(self.pool.queue) or self.pool.held_back):
                break
            await self._good_round()
        left = {seq: vars_of(item) for seq, item in self.rig.heart.inputs.items()}
        assert not left, f"never ended: {left}"
        assert (len(self.pool.queue), self.pool.held_back) == (0, 0), "what is in the store is miscounted at the end"
        for seq in sorted(self.accepted):
            await self._check_kept(seq)

    async def _check_kept(self, seq: int) -> None:
        stored = await self.rig.store.calls.get(seq)
        assert stored is not None, f"the accepted call {seq} is gone"
        assert stored.result is not None, f"the accepted call {seq} has no result"
        ((items,),) = self.database.execute("SELECT count(*) FROM items WHERE seq = ?", (seq,))
        assert (stored.result.items or 0) == items, f"{seq} ended with {stored.result.items} items, and has {items}"
        seen = self.rig.results.get(seq)
        if seen is not None:
            assert stored.result == seen, f"the outcome of {seq} has changed"

    async def _good_round(self) -> None:
        for box in list(self.boxes.values()):
            if box.dead:
                continue
            box.frozen = False
            if not box.linked and box.id in self.rig.engine.alive:
                await box.dial()
            elif box.id not in self.rig.engine.alive:
                box.die()
            if box.linked and not box.ready and not box.draining:
                box.get_ready()
            box.hear()
            box.begin()
            for key in [key for key, held in box.holds.items() if held.state == "running"]:
                box.answer(key)
            await self.settle()
            box.hear()
            box.leave()
        await self._second()
        await self.settle()
        self.check()

    async def retire(self) -> None:
        """Delete the function: nothing of it is left."""
        self.rig.heart.functions.retire("fu-1", by="function_deleted")
        for _ in range(ROUNDS):
            await self.settle()
            if not self.rig.heart.pools:
                break
            for box in list(self.boxes.values()):
                box.hear()
                if not box.dead:
                    box.leave()
            await self._second()
        assert self.rig.heart.pools == {}
        assert list(self.rig.lives) == []
        assert not self.rig.engine.alive


def vars_of(item: Input) -> dict[str, object]:
    """What is known of an input, for a failure's message."""
    return {name: getattr(item, name) for name in Input.__slots__}


ACTIONS = {
    "call": 14, "named_call": 4, "dial": 14, "get_ready": 14, "work": 25, "run_long": 5, "tick": 12, "repeat": 4,
    "hang_up": 5, "die": 2, "freeze": 1.5, "thaw": 4, "fail_to_start": 0.5, "refuse": 1, "deafen": 1, "cancel": 2,
    "cancel_waiting": 0.3,
    "hold": 3, "redeploy": 1, "rescale": 1, "restart": 1,
}  # fmt: skip
"""What may happen next, and how often."""
