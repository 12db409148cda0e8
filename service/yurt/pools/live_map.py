"""A map that has not ended: what the heart holds of it in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from yurt.domain.changes import AcceptCall, Change, Save
from yurt.domain.maps import Counts
from yurt.domain.records import Call, Map, Payload, Result, Target
from yurt.pools.inputs import Input
from yurt.pools.span import Span


class Reader(Protocol):
    """Somebody who is told of results as they are committed."""

    def ended(self, index: int, result: Result) -> None:
        """An input has ended. Must not raise and not block."""

    def changed(self) -> None:
        """The map was sealed, failed or ended."""


class Keeper(Protocol):
    """Who decides what the end of an input means for its map."""

    def before_end(self, found: "LiveMap", item: Input, result: Result) -> Sequence[Change]:
        """What is to be written with the end of an input."""

    def after_end(self, found: "LiveMap", item: Input, result: Result) -> None:
        """The end of an input is committed."""


@dataclass(frozen=True, slots=True)
class NewMap:
    """A map to begin.

    Args:
        caller: whose turn its inputs take: the id of a token.
        return_exceptions: a failed input does not end the others.
        target: what it is for, where its function is a class; its number is still to be set.
    """

    caller: str
    return_exceptions: bool = False
    priority: int = 0
    metadata_json: str | None = None
    target: Target | None = None


class LiveMap:
    """A map while it has not ended.

    Args:
        accepted: its row in `calls`.
        suffix: the part of its visible id after the prefix.
        record: what the store is to know of it, beside its call.
        target: what it is for, where its function is a class.

    Attributes:
        span: its inputs, as far as they are committed.
        counts: how those that have ended ended.
        open: its inputs that have not and are in memory, by seq.
        failed: the result of the first one that failed, where that ended the others.
        committed: its row is in the store.
        beside: what is written with its row.
        adding: a block of inputs is on its way into the store.
        ending: its own end is.
        readers: who is told of results.
    """

    __slots__ = (
        "_keeper",
        "accepted",
        "adding",
        "beside",
        "committed",
        "counts",
        "ending",
        "failed",
        "open",
        "readers",
        "record",
        "span",
        "suffix",
        "target",
    )

    def __init__(
        self, accepted: AcceptCall, suffix: str, record: Map, keeper: Keeper, target: Target | None = None
    ) -> None:
        self.accepted = accepted
        self.suffix = suffix
        self.record = record
        self.target = target
        self.span = Span()
        self.counts = Counts()
        self.open: dict[int, Input] = {}
        self.failed: Result | None = None
        self.committed = False
        self.beside: tuple[Change, ...] = ()
        self.adding = False
        self.ending = False
        self.readers: list[Reader] = []
        self._keeper = keeper

    @property
    def seq(self) -> int:
        """Its call's number."""
        return self.accepted.seq

    @property
    def call(self) -> Call:
        """Its call."""
        row = self.accepted
        return Call(*row[:8], Payload(None), self.target)

    @property
    def queue(self) -> str:
        """The id of the queue that its inputs wait in."""
        return self.accepted.function_id if self.target is None else self.target.queue

    @property
    def head(self) -> tuple[Change, ...]:
        """What is written first of it."""
        of_class = () if self.target is None else (Save(self.target),)
        return (self.accepted, Save(self.record), *of_class, *self.beside)

    @property
    def sealed(self) -> bool:
        """Whether no more inputs are taken."""
        return self.record.sealed_at is not None

    def left(self, item: Input) -> None:
        """An input is only in the store from now on."""
        self.open.pop(item.seq, None)

    def before_end(self, item: Input, result: Result) -> Sequence[Change]:
        """What is to be written with the end of an input."""
        return self._keeper.before_end(self, item, result)

    def after_end(self, item: Input, result: Result) -> None:
        """The end of an input is committed."""
        self._keeper.after_end(self, item, result)

    def tell(self) -> None:
        """Tell the readers that it is another one now."""
        for reader in list(self.readers):
            reader.changed()
