"""The lives of containers: begun, ready, drained, given up, ended."""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

import structlog

from yurt.domain import ids
from yurt.domain.changes import Change, Remove, Save
from yurt.domain.endings import Ending, without_start
from yurt.domain.reasons import Refusal
from yurt.domain.records import Container, ContainerState, Outcome
from yurt.domain.startup import REFUSED_RETRY_S, Startup
from yurt.domain.states import Event
from yurt.pools.background import Background
from yurt.pools.ledger import Ledger
from yurt.pools.members import LEASE_S, Member, new_member
from yurt.pools.pool import Pool
from yurt.pools.traffic import Away
from yurt.ports import Clock, ContainerSpec, Ended, Engine, EngineRefused, HeldUp, Placed, Report, StartFailed
from yurt_runner import wire

STOP_GRACE_S = 30.0
"""What exit hooks and running inputs get when their app is stopped, in seconds."""

EXIT_LEAST_S = 5.0
"""What exit hooks have at least, also where running inputs have used up the time of a drain, in seconds."""

LAST_WORDS_S = 1.0
"""How long the last messages of a container that has ended may take to be read, in seconds."""

CAME_TO_NOTHING_RETRY_S = 10.0
"""How soon a start is tried again that the engine took, and that came to nothing for want of an image or the like."""

CLAIM_AFTER_S = 1.0
SERVER_TIMEOUT_SLACK_S = 5.0
"""The runner enforces a timeout; the server steps in this much later, in seconds."""

log = structlog.get_logger(__name__)


class Lives:
    """Starts containers through the engine and follows each to its end.

    Args:
        engine: where containers come from.
        url: where runners dial, without path.
        installation: marks what is ours.
        grace_s: how long a runner lives without a server, in seconds.
        cancel_grace_s: how long user code may go on after it was told to stop, in seconds.

    Attributes:
        left_alone: ids of containers that nobody knows and nobody ends.
        served: called with a container that is ready and the port of its web server, if it has one.
        gone: called with the id of a container that has ended.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        ledger: Ledger,
        clock: Clock,
        background: Background,
        url: str,
        installation: str,
        grace_s: float,
        cancel_grace_s: float,
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._clock = clock
        self._background = background
        self._url = url
        self._installation = installation
        self._grace_s = grace_s
        self.cancel_grace_s = cancel_grace_s
        self._members: dict[str, tuple[Pool, Member]] = {}
        self.left_alone: frozenset[str] = frozenset()
        self._closed = False
        self._turn = asyncio.Lock()
        self.served: Callable[[Pool, Member, int | None], None] = lambda *_: None
        self.gone: Callable[[str], None] = lambda _: None

    def close(self) -> None:
        """The server is stopping: containers that end now are not made up for, and their inputs stay pending."""
        self._closed = True

    def leave_alone(self, container_ids: Iterable[str]) -> None:
        """These are not known, and are not to be told so: they look for a server until their grace is over."""
        self.left_alone = frozenset(container_ids)

    def get(self, container_id: str) -> tuple[Pool, Member] | None:
        """A container that has not ended, and its pool."""
        return self._members.get(container_id)

    def __iter__(self) -> Iterator[tuple[Pool, Member]]:
        return iter(list(self._members.values()))

    def running(self, function_id: str) -> int:
        """How many containers of a function live."""
        return sum(1 for pool, _ in self._members.values() if pool.live.function_id == function_id)

    def adopt(self, pool: Pool, member: Member) -> None:
        """Take over a container of an earlier life of the server."""
        if member.state is ContainerState.DRAINING:
            member.stop_at = self._clock.monotonic() + member.function.timeout_s + 2 * self.cancel_grace_s
        self._members[member.id] = (pool, member)
        pool.members[member.id] = member

    # ------------------------------------------------------------------ begin

    def start(self, pool: Pool) -> None:
        """Begin a container of the pool's current revision: first its row, then the engine.

        An engine that is away is not asked, and no row is written for it: it would be one a second for hours.
        """
        if (away := self._engine.away()) is not None:
            self._put_off(pool, away)
            return
        token = secrets.token_urlsafe(32)
        record = Container(
            id=ids.ulid(ids.CONTAINER, self._clock.now(), secrets.token_bytes),
            function_id=pool.live.function_id,
            revision=pool.live.revision,
            engine=self._engine.capabilities.name,
            state=ContainerState.STARTING,
            created_at=self._clock.now(),
            start_token_sha256=sha256_hex(token),
            parameters_json=pool.live.parameters_json,
        )
        member = new_member(record, pool.live, self._clock.monotonic())
        self.adopt(pool, member)
        self._ledger.soon((Save(record),), partial(self._recorded, pool, member, token))

    def _recorded(self, pool: Pool, member: Member, token: str, error: Exception | None) -> None:
        if error is None:
            self._background.run("start-container", self._launch(pool, member, token))
        else:
            self._refused(pool, member, EngineRefused("engine_unreachable", f"The store did not take it: {error}"))

    async def _launch(self, pool: Pool, member: Member, token: str) -> None:
        spec = ContainerSpec(member.id, self._installation, member.function, self._url, token, self._grace_s)
        async with self._turn:  # making a process holds the loop for a moment: calls go on between two of many
            await self._clock.sleep(0)
        try:
            ref = await self._engine.start(spec)
        except EngineRefused as refused:
            if member.stopping:
                self._withdrawn(pool, member, refused)
            else:
                self._refused(pool, member, refused)
            return
        except StartFailed as failed:
            self.placed(pool, member)
            self.start_failed(pool, member, Ending(Outcome.INIT_FAILURE, error=dict(failed.error)), final=failed.final)
            self._finish(pool, member, Ended(member.id, str(failed)))
            return
        self._explained(pool)
        self.save(member, engine_ref=ref)
        if member.stopping:
            self.stop(pool, member, grace_s=0)

    def _refused(self, pool: Pool, member: Member, refused: EngineRefused, *, again_s: float = REFUSED_RETRY_S) -> None:
        self._put_off(pool, refused, again_s=again_s)
        member.startup_failed = True  # though nobody failed: it was never begun, and leaves no row
        self._finish(pool, member, Ended(member.id, refused.message), Remove(Container, (member.id,)))

    def _put_off(self, pool: Pool, why: EngineRefused, *, again_s: float = REFUSED_RETRY_S) -> None:
        """Try again later, and say so once: an engine may be away for hours."""
        told = pool.refusal is not None and pool.refusal.message == why.message
        self._explain(pool, why)
        pool.startup = pool.startup.refused(self._clock.monotonic(), again_s)
        if not told:
            log.warning("container_refused", function_id=pool.live.function_id, code=why.code, reason=why.message)

    def _withdrawn(self, pool: Pool, member: Member, refused: EngineRefused) -> None:
        """The container was to end before it began; it leaves no row."""
        self.placed(pool, member)
        self._finish(pool, member, Ended(member.id, refused.message), Remove(Container, (member.id,)))

    def _explain(self, pool: Pool, why: EngineRefused) -> None:
        """Note why the pool does not get the container that it wants."""
        since = pool.refusal.since if pool.refusal is not None else self._clock.now()
        pool.refusal = Refusal(why.code, why.message, since, why.details)

    @staticmethod
    def _explained(pool: Pool) -> None:
        """Nothing stands in the way any more, but of those that have no place."""
        if not any(member.held_up for member in pool.members.values()):
            pool.refusal = None

    def _held_up(self, pool: Pool, member: Member, report: HeldUp) -> None:
        if member.state is ContainerState.STARTING and not member.greeted:
            member.held_up = True
            self._explain(pool, report.why)
            log.info("container_held_up", container_id=member.id, code=report.why.code, reason=report.why.message)

    def placed(self, pool: Pool, member: Member) -> None:
        """The container has its place: if it had to wait for that, the time in which it must get ready begins now."""
        if member.held_up:
            member.held_up = False
            member.begun = self._clock.monotonic()
            self._explained(pool)

    def save(self, member: Member, **changes: object) -> None:
        """Write changed fields of a container's row, without waiting."""
        member.record = replace(member.record, **changes)  # type: ignore[arg-type]  # names are the record's own
        self._ledger.soon((Save(member.record),))

    def save_record(self, record: Container, **changes: object) -> None:
        """Write changed fields of the row of a container that is not followed."""
        self._ledger.soon((Save(replace(record, **changes)),))  # type: ignore[arg-type]  # as above

    def ready(self, pool: Pool, member: Member, startup_s: float, port: int | None = None) -> None:
        """The runner has loaded the function: the container takes inputs, and relieves an older revision.

        Args:
            port: where its web server listens, if it has one.
        """
        if member.state is not ContainerState.STARTING:
            self.served(pool, member, port)
            return
        member.ready = True
        member.move(Event.READY)
        now = self._clock.monotonic()
        member.idle_since = pool.active_at = now
        pool.startup, pool.start_error, pool.startup_s = Startup(), None, now - member.begun
        pool.stats.started(now, now - member.begun)
        self.save(member, state=ContainerState.READY, ready_at=self._clock.now())
        log.info("container_ready", container_id=member.id, function_id=pool.live.function_id, startup_s=startup_s)
        self.served(pool, member, port)
        self.relieve(pool)
        pool.freed(member)

    def relieve(self, pool: Pool) -> None:
        """Let the containers of older revisions go, if the current one serves."""
        members = list(pool.members.values())
        if any(m.state is ContainerState.READY and m.function.revision == pool.live.revision for m in members):
            for member in members:
                if member.function.revision < pool.live.revision:
                    self.drain(pool, member, "a newer revision serves")

    def start_failed(self, pool: Pool, member: Member, ending: Ending, *, final: bool = False) -> None:
        """The container could not load the function.

        The third failure in a row ends what is queued, unless an older revision serves; so does one that is `final`.
        """
        if member.startup_failed or member.stopping or member.ready:
            return
        member.startup_failed = True
        log.info("container_start_failed", container_id=member.id, function_id=pool.live.function_id)
        if member.function.revision == pool.live.revision:
            pool.startup = pool.startup.failed(self._clock.monotonic(), final=final)
            pool.start_error = ending = without_start(ending, pool.live.address, pool.live.environment)
            serves = any(other.state is ContainerState.READY for other in pool.members.values())
            if pool.startup.gives_up and not serves:
                pool.endings.fail_queued(ending)
                if pool.traffic is not None:
                    pool.traffic.turn_away(Away.BROKEN)
        if member.state is not ContainerState.ENDED:
            self.stop(pool, member, grace_s=0)

    # ------------------------------------------------------------------ end

    def drain(self, pool: Pool, member: Member, why: str, *, grace_s: float | None = None) -> None:
        """Let a container finish what it runs, within `grace_s` (default: the function's own timeout), then end."""
        if member.state is ContainerState.DRAINING and grace_s is None:
            return
        grace = grace_s if grace_s is not None else member.function.timeout_s + self.cancel_grace_s
        self._leave(pool, member, why)
        if not member.ready:
            self.stop(pool, member, grace_s=min(grace, self.cancel_grace_s))
            return
        self._end_by(member, grace + self.cancel_grace_s + (EXIT_LEAST_S if member.function.exits else 0.0))
        if member.link is not None and not member.requests:
            member.link.send(wire.pack(wire.DRAIN, meta=wire.meta(grace_s=grace, reason=why)))

    def let_go(self, member: Member) -> None:
        """The last HTTP request of a container that drains has ended: it may end too."""
        if member.link is not None:
            frame = wire.pack(wire.DRAIN, meta=wire.meta(grace_s=self.drain_grace_s(member), reason="drained"))
            member.link.send(frame)

    def part(self, grace_s: float) -> int:
        """Let go of the containers that have exit hooks to call; returns how many of them have not ended."""
        leaving = [(pool, member) for pool, member in self if member.function.exits]
        for pool, member in leaving:
            self.drain(pool, member, "the server stops", grace_s=grace_s if not member.stopping else None)
        return len(leaving)

    def stop(self, pool: Pool, member: Member, *, grace_s: float) -> None:
        """Make a container end, through the engine, which is asked again if nothing comes of it."""
        self._leave(pool, member, None)
        member.stop_at = self._clock.monotonic() + grace_s + STOP_GRACE_S
        self._background.run("stop-container", self._engine.stop(member.id, grace_s=grace_s))

    def _leave(self, pool: Pool, member: Member, why: str | None) -> None:
        """It gets no more inputs."""
        member.stopping = True
        pool.free.pop(member.id, None)
        if member.state in {ContainerState.STARTING, ContainerState.READY}:
            member.move(Event.LEAVE)
            self.save(member, state=ContainerState.DRAINING, end_reason=member.record.end_reason or why)

    def _end_by(self, member: Member, seconds: float) -> None:
        """Make it end in so many seconds, unless that is to happen sooner."""
        then = self._clock.monotonic() + seconds
        member.stop_at = then if member.stop_at is None else min(then, member.stop_at)

    def left(self, member: Member, reason: str, exit_code: int | None, signal: int | None) -> None:
        """The runner said that it leaves: its end follows soon."""
        if member.state is ContainerState.ENDED:
            return
        member.move(Event.LEAVE)
        self._end_by(member, STOP_GRACE_S)
        why = member.record.end_reason or reason or None
        self.save(member, state=member.state, end_reason=why, exit_code=exit_code, signal=signal)

    def drain_grace_s(self, member: Member) -> float:
        """What is left of the time in which a draining container is to finish, in seconds."""
        if member.stop_at is None:
            return member.function.timeout_s
        return max(0.0, member.stop_at - self._clock.monotonic() - self.cancel_grace_s)

    def fence(self, pool: Pool, member: Member, message: str) -> None:
        """Give a container up: what it says from now on is refused, and its inputs run elsewhere."""
        if member.fencing:
            return
        member.fencing = True
        member.record = replace(member.record, fenced=True, end_reason=message)
        log.warning("container_fenced", container_id=member.id, reason=message)
        pool.lost(member, message, (Save(member.record),))
        if member.link is not None:
            member.link.close("fenced")
            member.link = None
        self.stop(pool, member, grace_s=0)

    def reported(self, report: Report) -> None:
        """The engine says something of a container."""
        entry = self._members.get(report.container_id)
        if entry is None or self._closed:
            return
        pool, member = entry
        if isinstance(report, Ended):
            self._ended(pool, member, report)
        elif isinstance(report, HeldUp):
            self._held_up(pool, member, report)
        elif isinstance(report, Placed):
            self.placed(pool, member)
        else:
            self.drain(pool, member, report.reason)

    def _ended(self, pool: Pool, member: Member, ended: Ended) -> None:
        """A container is gone. What it had sent before is read first."""
        if ended.refused is not None and not member.greeted:
            self._refused(pool, member, ended.refused, again_s=CAME_TO_NOTHING_RETRY_S)
            return
        member.ended = ended
        if member.link is None:
            self._finish(pool, member, ended)
        else:
            self._background.run("last-words", self._after_last_words(pool, member, ended))

    async def _after_last_words(self, pool: Pool, member: Member, ended: Ended) -> None:
        await self._clock.sleep(LAST_WORDS_S)
        self._finish(pool, member, ended)

    def disconnected(self, pool: Pool, member: Member) -> None:
        """The session is broken: the lease goes on, unless the container is known to have ended."""
        member.link = None
        if member.ended is not None:
            self._finish(pool, member, member.ended)

    def _finish(self, pool: Pool, member: Member, ended: Ended, row: Change | None = None) -> None:
        if self._members.pop(member.id, None) is None:
            return
        self.gone(member.id)
        if member.link is not None:
            member.link.close("ended")
            member.link = None
        reason = member.record.end_reason or ended.reason
        record = replace(
            member.record,
            state=ContainerState.ENDED,
            ended_at=self._clock.now(),
            end_reason=reason,
            exit_code=ended.exit_code if member.record.exit_code is None else member.record.exit_code,
            signal=ended.signal if member.record.signal is None else member.record.signal,
        )
        member.record = record
        member.move(Event.END)
        if row is None:  # else it never began
            log.info(
                "container_ended",
                container_id=member.id,
                function_id=record.function_id,
                reason=reason,
                exit_code=record.exit_code,
                signal=record.signal,
            )
        if not ended.taken_away:
            self.start_failed(pool, member, _ended_in_startup(ended))
        pool.lost(member, f"Container {member.id} ended: {reason}.", (row or Save(record),))

    # ------------------------------------------------------------------ watch

    def tick(self, now: float, *, renew: bool) -> None:
        """Look after every container, once a second.

        With `renew` the server itself was away: all leases start anew, and what the containers said meanwhile is heard
        before any of them is found to be late.
        """
        if self._closed:
            return
        for pool, member in self:
            if renew:
                member.last_seen = now
            elif member.ended is None:
                self._watch(pool, member, now)

    def _watch(self, pool: Pool, member: Member, now: float) -> None:
        if member.stop_at is not None and now >= member.stop_at:
            self.stop(pool, member, grace_s=self.cancel_grace_s)
        elif member.state is ContainerState.STARTING:
            self._watch_start(pool, member, now)
        elif member.ready and not member.fencing:
            # Also one that leaves, whatever the engine says of its node: an agent that is away says nothing of what
            # runs there, and what it is to finish would else run twice, and beyond max_containers.
            if now - member.last_seen > LEASE_S:
                self.fence(pool, member, f"Nothing was heard of the container for {LEASE_S:.0f} s.")
            else:
                self._watch_inputs(pool, member, now)

    def _watch_start(self, pool: Pool, member: Member, now: float) -> None:
        limit = member.function.startup_timeout_s
        if not member.held_up and now - member.begun > limit + SERVER_TIMEOUT_SLACK_S + self.cancel_grace_s:
            self.start_failed(pool, member, start_timeout(limit))

    def _watch_inputs(self, pool: Pool, member: Member, now: float) -> None:
        limit = member.function.timeout_s
        for item in list(member.held.values()):
            if item.started_at is None:
                continue
            ran_s = now - item.runs_since
            if ran_s > CLAIM_AFTER_S and not item.claimed and not item.ending:
                pool.desk.ledger.claim(item)
            if ran_s > limit + SERVER_TIMEOUT_SLACK_S + self.cancel_grace_s and not item.ending:
                pool.endings.overran(item, member)
                self.fence(pool, member, "Its input ran over the timeout and could not be stopped.")
                return


def sha256_hex(token: str) -> str:
    """How a credential is kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def start_timeout(limit_s: float) -> Ending:
    """The ending of inputs whose container did not get ready in time."""
    message = f"The container was not ready within startup_timeout, {limit_s:g} s."
    error = {"type": "StartupTimeout", "message": message, "limit_s": limit_s, "phase": "startup"}
    return Ending(Outcome.TIMEOUT, error=error)


def _ended_in_startup(ended: Ended) -> Ending:
    message = f"The container ended before it was ready: {ended.reason}"
    error: dict[str, object] = {"type": "ContainerEnded", "message": message}
    if ended.exit_code is not None:
        error["exit_code"] = ended.exit_code
    if ended.signal is not None:
        error["signal"] = ended.signal
    return Ending(Outcome.INIT_FAILURE, error=error)
