"""What containers say in their sessions, and what they are told: the heart's side of the runner protocol."""

import hmac
import secrets
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import structlog

from yurt.domain.changes import Save
from yurt.domain.endings import Ending
from yurt.domain.errors import NotFound, Unauthenticated, Unavailable
from yurt.domain.functions import LiveFunction
from yurt.domain.items import no_retries
from yurt.domain.records import ContainerState, Outcome
from yurt.domain.secrets import SecretUnusable
from yurt.domain.web import Kind
from yurt.pools.lives import Lives, sha256_hex
from yurt.pools.members import Link, Member
from yurt.pools.outputs import read_error, read_meta, seconds
from yurt.pools.pool import Pool
from yurt.ports import Blobs, Clock, Identities, Journal, LogLine, Logs
from yurt_runner import wire

INLINE_SOURCE_BYTES = 1 << 20
"""Source up to this size travels in the welcome; larger is fetched by hash."""

BEAT_S = 3.0
SPENT = ""
"""In place of a start token's hash once the reconnect token was used: nothing fits it."""

SIGNALS = {one.name: int(one) for one in signal.Signals}
_log_lines = msgspec.json.Decoder(list[tuple[float, str, int, int, str]]).decode
log = structlog.get_logger(__name__)


class SessionRefused(Exception):
    """The session cannot be: another instance holds it, or the runner speaks another protocol.

    Only containers hear of it, in the close of their session; callers never do, so it is no `YurtError`.
    """


@dataclass(frozen=True, slots=True)
class Held:
    """What a reconnecting runner says of one input it holds."""

    seq: int
    token: int
    number: int
    for_s: float | None
    done: bool


class Sessions:
    """Checks who a container is, welcomes it, and acts on its frames.

    Args:
        meet: brings what a reconnecting container holds into memory.
        adopt: what to do with it.
        variables: the environment variables of a function's containers, its secrets' values among them.
        calling: those with which a container calls other functions.
        heard: called when all frames of a message have been acted on.
        identities: knows what containers bring to their first session instead of a start token; None if nothing does.
    """

    def __init__(
        self,
        *,
        lives: Lives,
        journal: Journal,
        blobs: Blobs,
        logs: Logs,
        clock: Clock,
        meet: Callable[[Sequence[Held]], Awaitable[None]],
        adopt: Callable[[Pool, Member, Iterable[Held]], None],
        variables: Callable[[LiveFunction], Awaitable[Mapping[str, str]]],
        calling: Callable[[Member], Mapping[str, str]],
        heard: Callable[[], None],
        identities: Identities | None = None,
    ) -> None:
        self._lives = lives
        self._journal = journal
        self._blobs = blobs
        self._logs = logs
        self._clock = clock
        self._meet = meet
        self._adopt = adopt
        self._variables = variables
        self._calling = calling
        self._heard = heard
        self._identities = identities

    async def authenticate(self, container_id: str, credential: str) -> tuple[Pool, Member]:
        """The container that the credential belongs to.

        Raises:
            Unauthenticated: there is no such live container, it was given up, or the credential is not its own.
            Unavailable: whether it is its own cannot be found out now.
        """
        entry = self._live(container_id)
        record = entry[1].record
        known = (record.reconnect_token_sha256, record.start_token_sha256)
        offered = sha256_hex(credential)
        if any(kept and hmac.compare_digest(kept, offered) for kept in known):
            return entry
        if self._identities is None or record.start_token_sha256 == SPENT:
            raise Unauthenticated("The credential is not this container's.")
        await self._identities.vouch(container_id, credential)
        return self._live(container_id)

    def _live(self, container_id: str) -> tuple[Pool, Member]:
        entry = self._lives.get(container_id)
        if entry is None and container_id in self._lives.left_alone:
            raise Unavailable("This container is unknown here, and the operator has not said what is to become of it.")
        if entry is None or entry[1].record.fenced or entry[1].ended is not None:
            raise Unauthenticated("This container is not, or no longer, one of this server's.")
        return entry

    async def hello(self, pool: Pool, member: Member, said: Mapping[str, object], link: Link, credential: str) -> None:
        """Open a session: bind the runner's instance, welcome it, take over what it holds.

        Raises:
            SessionRefused: another protocol, a malformed hello, another instance while the lease lives, or a secret
                of the function that cannot be had.
        """
        instance = said.get("instance")
        if said.get("protocol") != wire.PROTOCOL:
            raise SessionRefused(f"This server speaks {wire.PROTOCOL}; the runner speaks {said.get('protocol')!r:.40}.")
        if not isinstance(instance, str) or not 16 <= len(instance) <= 64:
            raise SessionRefused("The hello names no instance.")
        holds = read_holds(said.get("holds"))
        if member.record.instance not in {None, instance}:
            raise SessionRefused("Another instance of this container holds the session.")
        token = await self._bind(member, instance, credential)
        try:
            welcome = await self._welcome(member, token)
        except SecretUnusable as error:
            told = {"type": "SecretUnusable", "message": str(error)}
            self._start_failed(pool, member, Ending(Outcome.INIT_FAILURE, error=told))
            raise SessionRefused(str(error)) from error
        await self._meet(holds)
        if member.record.fenced or member.ended is not None or member.state is ContainerState.ENDED:
            raise SessionRefused("This container was given up, or has ended.")
        # Nothing is awaited from here on: no input can be sent before the welcome, nor before it is known what is held.
        if member.link is not None:
            member.link.close("replaced")
        member.link = link
        member.greeted = True
        self._lives.placed(pool, member)
        member.last_seen = self._clock.monotonic()
        link.send(welcome)
        self._adopt(pool, member, holds)
        if member.state is ContainerState.DRAINING and not member.requests:
            grace_s = self._lives.drain_grace_s(member)
            link.send(wire.pack(wire.DRAIN, meta=wire.meta(grace_s=grace_s, reason="draining")))
        if member.recalled:
            pool.recall(member)
        pool.freed(member)

    async def _bind(self, member: Member, instance: str, credential: str) -> str:
        """Let this instance alone speak for the container; returns the token for its next dials.

        It holds at once in memory, so that of two that say hello together only the first is taken.
        """
        token, start = credential, SPENT
        if sha256_hex(credential) != member.record.reconnect_token_sha256:  # the one that it was started with
            token, start = secrets.token_urlsafe(32), member.record.start_token_sha256
        bound = replace(
            member.record, instance=instance, reconnect_token_sha256=sha256_hex(token), start_token_sha256=start
        )
        if bound != member.record:
            member.record = bound
            await self._journal.write(Save(bound))
        return token

    async def _welcome(self, member: Member, token: str) -> bytes:
        function = member.function
        source, payload = None, b""
        if function.source_bundle is not None:
            data = await self.source(member)
            source = {"sha256": function.source_bundle, "size": len(data)}
            if len(data) <= INLINE_SOURCE_BYTES and not member.ready:
                payload = data
        # A worker that is ready has its variables: secrets are sent only to one that starts.
        env = function.env if member.ready else {**await self._variables(function), **self._calling(member)}
        head = wire.meta(
            reconnect_token=token,
            environment=function.environment,
            app=function.app,
            function=function.name,
            function_id=function.function_id,
            revision=function.revision,
            entrypoint=function.entrypoint,
            kind=_kind(function),
            web=_web(function),
            **_of_class(function),
            timeout_s=function.timeout_s,
            startup_timeout_s=function.startup_timeout_s,
            memory_mib=function.memory_mib,
            gpu=bool(function.gpu),
            env=dict(env),
            source=source,
            slots=function.max_inputs,
            batching=None if function.batches is None else {"max_batch_size": function.batches.size},
            interpreter_hint="--python",
            cancel_grace_s=self._lives.cancel_grace_s,
            beat_s=BEAT_S,
        )
        return wire.pack(wire.WELCOME, payload=payload, meta=head)

    async def source(self, member: Member) -> bytes:
        """The source of a container's function, as a zip archive.

        Raises:
            NotFound: the function's code is in its image.
        """
        bundle = member.function.source_bundle
        if bundle is None:
            raise NotFound("The code of this function is in its image.")
        return await self._blobs.get(bundle)

    def frames(self, pool: Pool, member: Member, frames: Iterable[wire.Frame]) -> None:
        """Act on what a container said."""
        member.last_seen = self._clock.monotonic()
        for frame in frames:
            kind = frame.kind
            if kind == wire.OUTPUT:
                pool.endings.output(member, frame)
            elif kind == wire.ITEM:
                pool.items(member, frame)
            elif kind == wire.LOG:
                self._log(member, frame)
            elif kind == wire.BEAT:
                self._beat(member, frame)
            elif kind == wire.STARTED:
                for_s = seconds(read_meta(frame).get("for_s")) or 0.0
                pool.started(member, frame.seq, frame.token, for_s)
            elif kind == wire.RETURN:
                pool.returned(member, frame.seq, frame.token)
            elif kind == wire.READY:
                self._ready(pool, member, frame)
            elif kind == wire.FAILED:
                self._failed(pool, member, frame)
            elif kind == wire.BYE:
                self._bye(member, frame)
        self._heard()

    def _ready(self, pool: Pool, member: Member, frame: wire.Frame) -> None:
        said, function = read_meta(frame), member.function
        member.yields = said.get("generator") is True
        if member.yields and function.retries.max_retries:  # which the source did not show at its deploy
            told = {"type": "InvalidDefinition", "message": f"/retries: {no_retries(function.entrypoint)}"}
            self._start_failed(pool, member, Ending(Outcome.INIT_FAILURE, error=told))
        else:
            self._lives.ready(pool, member, seconds(said.get("startup_s")) or 0.0, read_port(said.get("port")))

    def _failed(self, pool: Pool, member: Member, frame: wire.Frame) -> None:
        said = read_meta(frame)
        error = read_error(frame.payload) or {"type": "Error", "message": "The container did not say why."}
        outcome = Outcome.TIMEOUT if said.get("outcome") == Outcome.TIMEOUT else Outcome.INIT_FAILURE
        self._start_failed(pool, member, Ending(outcome, error=error))

    def _start_failed(self, pool: Pool, member: Member, ending: Ending) -> None:
        error, now = ending.error, self._clock.now()
        told = [f"The container could not start: {error['type']}: {error['message']}"]
        told += str(error.get("traceback", "")).splitlines()
        self._logs.append([self._line(member, now, "system", 0, 0, line) for line in told])
        self._lives.start_failed(pool, member, ending)

    def _beat(self, member: Member, frame: wire.Frame) -> None:
        said = read_meta(frame)
        member.rss_mib = seconds(said.get("rss_mib"))
        member.cpu_s = seconds(said.get("cpu_s"))

    def _bye(self, member: Member, frame: wire.Frame) -> None:
        said = read_meta(frame)
        code, name = said.get("exit_code"), said.get("signal")
        exit_code = code if isinstance(code, int) else None
        number = SIGNALS.get(name) if isinstance(name, str) else None
        self._lives.left(member, str(said.get("reason", ""))[:200], exit_code, number)

    def _log(self, member: Member, frame: wire.Frame) -> None:
        try:
            said = _log_lines(frame.payload)
        except (msgspec.DecodeError, RecursionError):
            log.warning("log_lines_unreadable", container_id=member.id)
            return
        now = self._clock.now()
        dropped = read_meta(frame).get("dropped")
        lines = [self._line(member, now - age, stream, seq, token, text) for age, stream, seq, token, text in said]
        if isinstance(dropped, int) and dropped > 0:
            lines.append(self._line(member, now, "system", 0, 0, f"{dropped} lines were dropped: too many at once."))
        self._logs.append(lines)

    @staticmethod
    def _line(member: Member, time: float, stream: str, seq: int, token: int, text: str) -> LogLine:
        item = member.held.get(seq)
        number = item.history.number if item is not None and item.token == token else 0
        stream = stream if stream in {"stdout", "stderr"} else "system"
        return LogLine(time, stream, member.id, member.function.function_id, seq, number, text)


def _web(function: LiveFunction) -> dict[str, object] | None:
    """What the runner must know to serve HTTP."""
    web = function.web
    if web is None:
        return None
    return {"kind": web.kind, "factory": web.factory, "port": web.port, "method": web.method}


def read_port(said: object) -> int | None:
    """The port that a runner tells, or None for none."""
    return said if isinstance(said, int) and 0 < said < 65_536 else None


def _kind(function: LiveFunction) -> str:
    if function.web is not None:
        return function.web.kind
    return Kind.FUNCTION if function.of_class is None else Kind.CLASS


def _of_class(function: LiveFunction) -> dict[str, object]:
    """What a container of a class is told beside the rest; nothing of a plain function."""
    spec = function.of_class
    if spec is None:
        return {}
    given = msgspec.json.decode(function.parameters_json or spec.defaults_json or "{}", type=dict[str, object])
    kinds = {one.name: one.type for one in spec.parameters}
    parameters = [(name, kinds.get(name, "str"), value) for name, value in given.items()]
    return {"class": {"methods": spec.methods, "enter": spec.enter, "exit": spec.exit, "parameters": parameters}}


def read_holds(said: object) -> list[Held]:
    """What a runner says that it holds; entries that make no sense are left out."""
    holds = []
    for entry in said if isinstance(said, list) else ():
        if not isinstance(entry, list) or len(entry) != 5:
            continue
        seq, token, number, for_s, done = entry
        if all(isinstance(value, int) and value >= 0 for value in (seq, token, number)):
            holds.append(Held(seq, token, number, seconds(for_s), bool(done)))
    return holds
