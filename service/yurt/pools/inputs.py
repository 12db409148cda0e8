"""An accepted input while it has not ended: what the heart holds of it in memory."""

from typing import Protocol

from yurt.domain.blame import History
from yurt.domain.records import Claim
from yurt.ports import PendingInput


class Holder(Protocol):
    """The container that holds an input."""

    @property
    def id(self) -> str:
        """The container's id."""

    def has_slot(self, item: "Input") -> bool:
        """Whether it runs the input, rather than holding it ahead of its turn."""


class Input:
    """One input. It is queued, or held by one container under one token; it ends once.

    Args:
        seq: its sequence number, which is also its call's.
        suffix: the part of its visible ids after the prefix.
        caller: whose turn it takes in the queue: the id of a token.
        args: the envelope `{"args": […], "kwargs": {…}}` as JSON, or None where it is a blob.
        blob: the sha256 of the envelope, or None.

    Attributes:
        ending: how it ends is decided; nothing can change that.
        over: its end is committed.
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
        "history",
        "kind",
        "member",
        "metadata_json",
        "min_token",
        "over",
        "priority",
        "queued_at",
        "seq",
        "started_at",
        "suffix",
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
        self.history = History()
        self.min_token = 0
        self.token = 0
        self.member: Holder | None = None
        self.queued_at = created_at
        self.dispatched_at: float | None = None
        self.started_at: float | None = None
        self.claim: Claim | None = None
        self.claimed = False
        self.ending = False
        self.over = False

    @property
    def rank(self) -> tuple[int, int]:
        """Its place among its caller's inputs, lowest first."""
        return (-self.priority, self.seq)

    @property
    def running(self) -> bool:
        """Whether it has a slot, as far as the server can tell."""
        return self.member is not None and (self.started_at is not None or self.member.has_slot(self))


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
    )
    if pending.progress is not None:
        progress = pending.progress
        item.history = History(progress.number, progress.user_failures, progress.losses)
        item.min_token = progress.min_token
    item.claim = pending.claim
    item.claimed = pending.claim is not None
    return item
