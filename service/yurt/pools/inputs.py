"""An accepted input while it has not ended: what the heart holds of it in memory."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from yurt.domain.blame import History
from yurt.domain.changes import Change
from yurt.domain.items import Amount
from yurt.domain.records import Call, Claim, Payload, Result, Target, Timer, TimerKind
from yurt.domain.timing import Timing
from yurt.pools.live_items import LiveItems
from yurt.ports import PendingInput, WaitingInput

UNTRIED = History()
"""Of an input whose first attempt has not ended."""


class NewCall(msgspec.Struct, frozen=True):
    """A call to accept. `args` or `blob` holds the envelope `{"args": […], "kwargs": {…}}`.

    `target` is set for classes; its number is still to be. `waits` says that its caller waits for its end, and is told
    nothing of it before.
    """

    kind: str
    caller: str
    args: bytes | None
    blob: str | None = None
    metadata_json: str | None = None
    priority: int = 0
    timing: Timing | None = None
    target: Target | None = None
    waits: bool = False


class Holder(Protocol):
    """The container that holds an input."""

    @property
    def id(self) -> str:
        """The container's id."""

    def has_slot(self, item: "Input") -> bool:
        """Whether it runs the input, rather than holding it ahead of its turn."""

    def flush(self) -> None:
        """Send it at once what it is to be sent in this turn."""


class Group(Protocol):
    """The map that an input belongs to."""

    @property
    def seq(self) -> int:
        """The number of the map's call."""

    @property
    def suffix(self) -> str:
        """The part of the call's visible id after the prefix."""

    def left(self, item: "Input") -> None:
        """An input is only in the store from now on."""

    def before_end(self, item: "Input", result: Result) -> Sequence[Change]:
        """What is to be written with the end of an input."""

    def after_end(self, item: "Input", result: Result) -> None:
        """The end of an input is committed."""


class Input:
    """One input. It is queued, or held by one container under one token; it ends once.

    Args:
        seq: its sequence number, which is also its call's unless it is one of a map.
        suffix: the part of its visible ids after the prefix.
        caller: whose turn it takes in the queue: the id of a token.
        args: the envelope `{"args": […], "kwargs": {…}}` as JSON, or None where it is a blob.
        blob: the sha256 of the envelope, or None.
        group: the map that it belongs to, or None.
        index: its place in the map.
        target: what it is for, where its function is a class.

    Attributes:
        queue: the id of the queue that it waits in.
        ending: how it ends is decided; nothing can change that.
        over: its end is committed.
        queued: it is in the queue of its function, and in memory.
        items: what it yielded, once that is anything: from then on it is never run again.
        timed: the store may have timers of it.
        start_at: when it may run, seconds since 1970, while it is held back until then.
        runs_since: since when its attempt runs, on the monotonic clock; it means something where `started_at` is set.
    """

    __slots__ = (
        "app_id",
        "args",
        "blob",
        "caller",
        "claim",
        "claimed",
        "created_at",
        "dispatched_at",
        "ending",
        "function_id",
        "group",
        "history",
        "index",
        "items",
        "kind",
        "member",
        "metadata_json",
        "min_token",
        "over",
        "priority",
        "queue",
        "queued",
        "queued_at",
        "runs_since",
        "seq",
        "start_at",
        "started_at",
        "suffix",
        "target",
        "timed",
        "token",
    )

    def __init__(
        self,
        *,
        seq: int,
        suffix: str,
        function_id: str,
        app_id: str,
        kind: str,
        caller: str,
        priority: int,
        created_at: float,
        metadata_json: str | None,
        args: bytes | None,
        blob: str | None,
        group: Group | None = None,
        index: int = 0,
        target: Target | None = None,
    ) -> None:
        self.seq = seq
        self.suffix = suffix
        self.function_id = function_id
        self.app_id = app_id
        self.kind = kind
        self.caller = caller
        self.priority = priority
        self.created_at = created_at
        self.metadata_json = metadata_json
        self.args = args
        self.blob = blob
        self.group = group
        self.index = index
        self.target = target
        self.queue = function_id if target is None else target.queue
        self.history = UNTRIED
        self.min_token = 0
        self.token = 0
        self.member: Holder | None = None
        self.queued_at = created_at
        self.dispatched_at: float | None = None
        self.started_at: float | None = None
        self.runs_since = 0.0
        self.start_at: float | None = None
        self.timed = False
        self.queued = False
        self.claim: Claim | None = None
        self.claimed = False
        self.items: LiveItems | None = None
        self.ending = False
        self.over = False

    @property
    def rank(self) -> tuple[int, int]:
        """Its place among its caller's inputs, lowest first."""
        return (-self.priority, self.seq)

    @property
    def running(self) -> bool:
        """Whether it has a slot, as far as the server can tell, or had one and its end is being stored."""
        member = self.member
        return member is not None and (self.ending or self.started_at is not None or member.has_slot(self))


def call_of(item: Input) -> Call:
    """The call that an open input is."""
    return Call(
        item.seq,
        item.function_id,
        item.app_id,
        item.kind,
        item.caller,
        item.priority,
        item.created_at,
        item.metadata_json,
        Payload(item.args, item.blob),
        item.target,
    )


def restore(pending: PendingInput, suffix: str) -> Input:
    """An input of an earlier life, as the store knows it."""
    call = pending.call
    item = Input(
        seq=call.seq,
        suffix=suffix,
        function_id=call.function_id,
        app_id=call.app_id,
        kind=call.kind,
        caller=call.caller,
        priority=call.priority,
        created_at=call.created_at,
        metadata_json=call.metadata_json,
        args=call.args.data,
        blob=call.args.blob,
        target=call.target,
    )
    resumed(item, pending)
    return item


def resumed(item: Input, row: PendingInput | WaitingInput) -> None:
    """Give an input from the store what is known there of its attempts and its times."""
    if row.progress is not None:
        item.history = History(row.progress.number, row.progress.user_failures, row.progress.losses)
        item.min_token = row.progress.min_token
    item.claim = row.claim
    item.claimed = row.claim is not None
    item.timed = row.timed
    item.start_at = row.start_at
    if isinstance(row, PendingInput) and row.items:
        item.items = LiveItems(Amount(row.items, row.item_bytes))


def timers_of(item: Input, timing: Timing, now: float) -> list[Timer]:
    """The timers of a new input, which is told when it may start."""
    timers = []
    item.timed = True
    eligible = now + timing.delay_s
    if timing.delay_s:
        item.start_at = eligible
        timers.append(Timer(item.seq, TimerKind.START, eligible))
    if timing.queue_timeout_s is not None:
        timers.append(Timer(item.seq, TimerKind.EXPIRE, eligible + timing.queue_timeout_s))
    return timers
