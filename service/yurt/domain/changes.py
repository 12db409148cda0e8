"""What the journal is asked to write, as values. One `Journal.add` of several changes is atomic.

`Accept` and `Complete` are the hot ones and are plain tuples in column order; everything else is a `Save`, an
`Insert` or a `Remove` of a record.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from yurt.domain import records

Record: TypeAlias = (
    records.Environment
    | records.App
    | records.Function
    | records.Label
    | records.Revision
    | records.Token
    | records.Bundle
    | records.Container
    | records.AttemptRecord
    | records.Progress
    | records.Claim
    | records.IdempotencyKey
    | records.Callback
    | records.CallbackSecret
    | records.Secret
    | records.Map
    | records.Block
    | records.ItemBlock
    | records.Timer
    | records.Placed
    | records.Redrive
    | records.Target
    | records.Schedule
    | records.ScheduleMark
    | records.Tick
)
"""The records that are written one at a time; calls and results have changes of their own."""


class Accept(NamedTuple):
    """A call is accepted and its input pending: a row in `calls` and one in `pending`."""

    seq: int
    function_id: str
    app_id: str
    kind: str
    caller: str
    priority: int
    created_at: float
    metadata_json: str | None
    args: bytes | None
    args_blob: str | None


class Complete(NamedTuple):
    """An input has ended: out of `pending`, `claims` and `progress`, a row into `results` unless it has one.

    `queue`, `caller` and `priority` are the key of its pending row; the queue is its function's, unless it has a
    `Target`. Where it has no such row, as an input of a map, `queue` is empty here.
    """

    seq: int
    queue: str
    caller: str
    priority: int
    outcome: str
    started_at: float | None
    finished_at: float
    attempts: int
    revision: int | None
    container_id: str | None
    value: bytes | None
    value_blob: str | None
    error_json: bytes | None
    items: int | None = None


class AcceptCall(NamedTuple):
    """A call is accepted: a row in `calls` alone.

    The inputs of a map come by `AcceptInputs`, those of other calls by `Ready`: of a class at once, with its `Target`,
    of one with a delay when that is over, and not at all where a container takes it at once (see `records.Placed`).
    """

    seq: int
    function_id: str
    app_id: str
    kind: str
    caller: str
    priority: int
    created_at: float
    metadata_json: str | None
    args: bytes | None = None
    args_blob: str | None = None


class Ready(NamedTuple):
    """An input may run whose call was accepted without: a row in `pending`. Inputs of maps have none."""

    seq: int
    queue: str
    caller: str
    priority: int


class HoldBack(NamedTuple):
    """An input is to wait for a time of its own, which a timer has: out of `pending`."""

    seq: int
    queue: str
    caller: str
    priority: int


class MapInput(NamedTuple):
    """An input of a map: a row in `inputs`. Its index is in its block."""

    seq: int
    call_seq: int
    args: bytes | None
    args_blob: str | None


@dataclass(frozen=True, slots=True)
class AcceptInputs:
    """Inputs of a map are accepted, and pending: what their block says is saved with them."""

    rows: tuple[MapInput, ...]


@dataclass(frozen=True, slots=True)
class Save:
    """Write a record whole: insert it, or replace the one with its key."""

    record: Record


@dataclass(frozen=True, slots=True)
class Insert:
    """Write a record that must be new: where there is one with its key, the whole add is refused (`AlreadyExists`)."""

    record: Record


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete the record of `kind` with that key, if it is there. `key` is in the order of the record's key."""

    kind: type[Record]
    key: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Expire:
    """Delete inputs that ended long ago, and all that is known of them: call, arguments, result, attempts, tick.

    Of a map this is the call's own part: its inputs and its blocks are deleted before it.
    """

    seqs: tuple[int, ...]


Change: TypeAlias = Accept | AcceptCall | AcceptInputs | Ready | HoldBack | Complete | Save | Insert | Remove | Expire
