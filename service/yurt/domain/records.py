"""What the store keeps, as frozen values: one class is one table, one field one column.

Times are seconds since 1970 (UTC) as floats; `None` stands for "not (yet)". Text that is JSON says so in its name. What
is made with every call is a msgspec struct: it takes a tenth of the time of a frozen dataclass.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import msgspec


class AppState(StrEnum):
    """The states of an app that the contract names."""

    EPHEMERAL = "ephemeral"
    DEPLOYED = "deployed"
    STOPPED = "stopped"


class Role(StrEnum):
    """What a token may do; each contains the one before it."""

    READ = "read"
    INVOKE = "invoke"
    DEPLOY = "deploy"
    ADMIN = "admin"


class ContainerState(StrEnum):
    """What was last seen of a container (`yurt.domain.states` has the moves)."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    ENDED = "ended"


class Outcome(StrEnum):
    """How an attempt or an input ended; `CONTAINER_LOST` is of attempts only."""

    SUCCESS = "success"
    USER_ERROR = "user_error"
    TIMEOUT = "timeout"
    INIT_FAILURE = "init_failure"
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"
    INTERNAL_ERROR = "internal_error"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    CONTAINER_LOST = "container_lost"


class TimerKind(StrEnum):
    """What is due at a time of its own: an input may start, or has waited too long for that."""

    START = "start"
    EXPIRE = "expire"


class CallKind(StrEnum):
    """How a call came to be."""

    INVOKE = "invoke"
    SPAWN = "spawn"
    MAP = "map"
    SCHEDULE = "schedule"


class CallStatus(StrEnum):
    """The contract's five words for a call."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"
    TERMINATED = "terminated"


def status_of(outcome: str) -> CallStatus:
    """The contract's word for an outcome (the table "Outcomes" of the REST reference)."""
    if outcome == Outcome.SUCCESS:
        return CallStatus.SUCCESS
    return CallStatus.TERMINATED if outcome == Outcome.CANCELLED else CallStatus.FAILURE


@dataclass(frozen=True, slots=True)
class Environment:
    """A named space of apps. Key: name."""

    name: str
    created_at: float


@dataclass(frozen=True, slots=True)
class App:
    """A named bundle of functions. Key: id. Of the live apps of an environment, one bears a name.

    `ttl_s` and `expires_at` are set for ephemeral apps; `stopped_at` ends the life of any app.
    """

    id: str
    environment: str
    name: str
    tags_json: str
    created_at: float
    created_by: str
    ttl_s: float | None = None
    expires_at: float | None = None
    stopped_at: float | None = None
    stopped_by: str | None = None

    @property
    def state(self) -> AppState:
        """The contract's state, derived."""
        if self.stopped_at is not None:
            return AppState.STOPPED
        return AppState.EPHEMERAL if self.ttl_s is not None else AppState.DEPLOYED


@dataclass(frozen=True, slots=True)
class Function:
    """One callable of an app. Key: id. Of the live functions of an app, one bears a name.

    `revision` is the number of the current revision; `override_json` is the live autoscaler override, or None.
    """

    id: str
    app_id: str
    name: str
    revision: int
    created_at: float
    updated_at: float
    override_json: str | None = None
    deleted_at: float | None = None
    deleted_by: str | None = None


@dataclass(frozen=True, slots=True)
class Label:
    """The name of a live function in URLs. Key: label. It goes with the function."""

    label: str
    function_id: str


@dataclass(frozen=True, slots=True)
class Revision:
    """An immutable, numbered definition of a function. Key: (function_id, number).

    `definition_json` is what was sent; `bundle` is the sha256 of its source as a zip archive in the blobs, or None
    where the code is in the image; `rollback_of` is the number whose definition a rollback repeats.
    """

    function_id: str
    number: int
    definition_json: str
    bundle: str | None
    created_at: float
    created_by: str
    rollback_of: int | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A credential. Key: id. Only the sha256 of its secret is kept (hex). `environment` None means all."""

    id: str
    name: str
    role: str
    environment: str | None
    secret_sha256: str
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """Source code as a zip archive, known by content. Key: (environment, sha256)."""

    environment: str
    sha256: str
    size_bytes: int
    created_at: float


@dataclass(frozen=True, slots=True)
class Target:
    """What a call of a class is for. Key: seq, the call's; calls of plain functions have none.

    Args:
        queue: where its inputs wait (see `yurt.domain.classes.queue_of`).
        parameters_json: every parameter of the class, as one JSON object; None where it has none.
    """

    seq: int
    queue: str
    method: str
    parameters_json: str | None = None


@dataclass(frozen=True, slots=True)
class Container:
    """One running worker, wanted and seen. Key: id.

    `fenced` is committed before a container is given up: what it says afterwards is refused. `engine_ref` is the
    engine's own name for it, opaque here. The two hashes are the sha256 (hex) of its credentials, the first one
    empty once it is spent; `instance` is the random id that its runner chose. `parameters_json` is what its class was
    made with (see `Target`).
    """

    id: str
    function_id: str
    revision: int
    engine: str
    state: str
    created_at: float
    start_token_sha256: str
    reconnect_token_sha256: str | None = None
    instance: str | None = None
    engine_ref: str | None = None
    fenced: bool = False
    ready_at: float | None = None
    ended_at: float | None = None
    end_reason: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    parameters_json: str | None = None


class Payload(msgspec.Struct, frozen=True):
    """User bytes: inline, or in a blob file named by sha256. Exactly one of the two is set."""

    data: bytes | None
    blob: str | None = None


class Call(msgspec.Struct, frozen=True):
    """An accepted call, as it never changes again. Key: seq."""

    seq: int
    function_id: str
    app_id: str
    kind: str
    caller: str
    priority: int
    created_at: float
    metadata_json: str | None
    args: Payload
    target: Target | None = None


class Result(msgspec.Struct, frozen=True):
    """The visible end of an input. Key: seq.

    `value` is set on success (a JSON text), `error_json` otherwise. `started_at` is None where no attempt began. Of a
    generator `items` says how many items it has, however it ended, and `value` is never set.
    """

    seq: int
    outcome: str
    started_at: float | None
    finished_at: float
    attempts: int
    revision: int | None
    container_id: str | None
    value: Payload | None
    error_json: bytes | None
    items: int | None = None


@dataclass(frozen=True, slots=True)
class ItemBlock:
    """Items of a generator with numbers in a row. Key: (seq, first). Inserted once; there is no gap between two.

    Args:
        seq: of the input.
        first: the number of the first of them; an input's items are numbered from 0.
        count: how many they are.
        total_bytes: of all items of the input up to the last one here.
        data: the items, one a line, each of them one JSON value; None where they are in the blob.
    """

    seq: int
    first: int
    count: int
    total_bytes: int
    data: bytes | None
    blob: str | None = None

    @property
    def end(self) -> int:
        """The number behind the last one."""
        return self.first + self.count


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """An attempt that ended without ending its input. Key: (seq, number)."""

    seq: int
    number: int
    outcome: str
    container_id: str | None
    started_at: float | None
    ended_at: float
    message: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an input that was queued more than once has come. Key: seq; deleted with its end.

    Args:
        number: the number of the next attempt.
        user_failures: attempts that used a retry.
        losses: attempts whose container was lost.
        min_token: attempts with a token below it can no longer be adopted.
    """

    seq: int
    number: int
    user_failures: int
    losses: int
    min_token: int


@dataclass(frozen=True, slots=True)
class Claim:
    """An input known to run somewhere, written once it has run for over a second. Key: seq; deleted with its end."""

    seq: int
    container_id: str
    token: int
    started_at: float


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's name for a call. Key: (token_id, function_id, key)."""

    token_id: str
    function_id: str
    key: str
    seq: int
    body_sha256: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class Timer:
    """Something that is due for an input. Key: (seq, kind). It may be past; it goes with the input's end."""

    seq: int
    kind: str
    due_at: float


@dataclass(frozen=True, slots=True)
class Placed:
    """How far it is known that whatever waits has a place. Key: one, which is 1.

    Args:
        before: every call with a smaller number that has not ended is in `pending`, or held back by a timer. From it
            on there may be calls that a container was given at once, without a place in the queue.
    """

    one: int
    before: int


@dataclass(frozen=True, slots=True)
class Redrive:
    """A call that repeats another one, which had failed. Key: seq, of the new call."""

    seq: int
    of_seq: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a live function is called by itself. Key: id; it goes when the function does, or has another schedule.

    Args:
        spec_json: a `yurt.domain.schedules.ScheduleSpec`.
        anchor_at: what a period counts from.
        after_at: ticks up to then are not run: when it was made, or resumed last.
        paused_at: since when it is paused, if it is.
    """

    id: str
    function_id: str
    app_id: str
    environment: str
    spec_json: str
    created_at: float
    anchor_at: float
    after_at: float
    paused_at: float | None = None


@dataclass(frozen=True, slots=True)
class ScheduleMark:
    """How far a schedule has come. Key: schedule_id. Written with each tick, and so apart from the schedule.

    Args:
        done_at: the last tick that was dealt with; 0 where there was none.
        seq: of the last call that was made; 0 where there was none.
        called_at: when.
        skipped_at: the last tick at which a call was left out because of an earlier one.
    """

    schedule_id: str
    done_at: float
    seq: int
    called_at: float | None = None
    skipped_at: float | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """A call that a schedule made. Key: (schedule_id, due_at, manual); inserted once, and so the tick is run once.

    Args:
        due_at: the tick; of a call that somebody asked for, when that was.
        manual: somebody asked for it.
        seq: of the call.
    """

    schedule_id: str
    due_at: float
    manual: bool
    seq: int


@dataclass(frozen=True, slots=True)
class Callback:
    """Somebody to be told of a call's end. Key: seq. Written with the call; its end makes it due.

    Args:
        seq: of the call.
        host: of the URL, in lower case.
        ended_at: when the call ended; set in the transaction of its result.
        due_at: when the next attempt may begin; None while the call runs, and once this one is settled.
        attempts: made so far.
        last_error: why the latest attempt failed.
        failed_at: when the last attempt was given up.
    """

    seq: int
    environment: str
    url: str
    host: str
    ended_at: float | None = None
    due_at: float | None = None
    attempts: int = 0
    last_error: str | None = None
    delivered_at: float | None = None
    failed_at: float | None = None


@dataclass(frozen=True, slots=True)
class CallbackSecret:
    """What callbacks of an environment are signed with. Key: (environment, number).

    Args:
        secret: `whsec_` and the bytes in base64.
        expires_at: when a replaced one stops being used; None for the current one.
    """

    environment: str
    number: int
    secret: str = field(repr=False)
    created_at: float
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Secret:
    """Variables that functions of an environment may ask for. Key: id. In an environment one bears a name.

    Args:
        keys_json: the names of the variables; what they say is in `sealed` alone.
        key_id: tells which key sealed it (`yurt.domain.secrets.MasterKey.id`).
        sealed: the encrypted names and values.
    """

    id: str
    environment: str
    name: str
    keys_json: str
    key_id: str
    sealed: bytes = field(repr=False)
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class Map:
    """What a call of several inputs has beside its call. Key: seq, the call's.

    Args:
        return_exceptions: a failed input does not end the others.
        sealed_at: when the last input was accepted; None while more may come.
        truncated: the upload broke off, or had a line that could not be read.
        cancelled_by: who cancelled it (see `yurt.domain.endings.cancelled`); its inputs follow in batches.
        failed_seq: the input whose failure, the first one committed, ended the others.
        success, failure, terminated: how many inputs ended so; counted once the call has ended.
    """

    seq: int
    return_exceptions: bool
    sealed_at: float | None = None
    truncated: bool = False
    cancelled_by: str | None = None
    failed_seq: int | None = None
    success: int = 0
    failure: int = 0
    terminated: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """Inputs of a map with numbers in a row: index `first_idx + n` has seq `first_seq + n`. Key: (call_seq, first_idx).

    An input of a block is pending while it has no result: it needs no row that says so, nor an index.
    """

    call_seq: int
    first_idx: int
    first_seq: int
    size: int
