"""The durable store: one journal that writes, and reads of what is committed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, Protocol, TypeAlias, TypeVar

from yurt.domain.changes import Change, MapInput, Record
from yurt.domain.records import (
    AttemptRecord,
    Block,
    Call,
    Callback,
    Claim,
    IdempotencyKey,
    ItemBlock,
    Map,
    Payload,
    Progress,
    Result,
    Timer,
)
from yurt.domain.retention import OldCall

R = TypeVar("R", bound=Record)
TimerKey: TypeAlias = tuple[float, int, str]
"""When a timer is due, of which input, and its kind."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a store is and which life of it this is.

    Args:
        installation: the random id made with the store.
        key: its secret, 32 bytes; call ids are tagged with it.
        epoch: committed at this start; larger than in every earlier life.
    """

    installation: str
    key: bytes = field(repr=False)
    epoch: int


@dataclass(frozen=True, slots=True)
class JournalStats:
    """What the journal has done since the store was opened.

    Args:
        commits: transactions.
        changes: changes in them.
        waiting: adds that wait for their commit now.
        last_commit_s: how long the last transaction took, in seconds.
        peak_commit_s: the longest so far, in seconds.
        away: why the store cannot be written now, or None.
    """

    commits: int
    changes: int
    waiting: int
    last_commit_s: float
    peak_commit_s: float
    away: str | None


class Journal(Protocol):
    """Durable writes in groups. Everything added within one turn of the loop is one transaction."""

    def add(self, changes: Sequence[Change], done: Callable[[Exception | None], None] | None = None) -> None:
        """Write `changes`, all or none of them, in the order of all adds.

        Args:
            changes: what to write.
            done: called once on the loop, after the commit with None, or with the reason of the refusal: a
                `YurtError` (a unique name is taken: `AlreadyExists`; the store is away or full: `Unavailable`). It must
                not raise and not block.

        Raises:
            Unavailable: the journal is closed, or has 10,000 adds waiting.
        """

    def hurry(self) -> None:
        """Begin at once rather than at the end of the turn, if one add waits and nothing is expected to join it.

        Callbacks may be called before it returns.
        """

    async def write(self, *changes: Change) -> None:
        """`add`, awaited: returns after the commit and raises what refused it."""

    async def next_epoch(self) -> int:
        """Commit and return a further epoch of this life, for when the counter of the last one is used up."""

    async def flush(self) -> None:
        """Return when everything added so far is committed or refused."""

    def stats(self) -> JournalStats:
        """What it has done, and what waits."""

    @property
    def prompt(self) -> bool:
        """Whether it commits now what is added, as far as it knows."""


class Records(Protocol):
    """Reads of records, always as committed."""

    async def get(self, kind: type[R], *key: str | int) -> R | None:
        """The record with that key (in the key's order), or None."""

    async def find(
        self,
        kind: type[R],
        where: Mapping[str, str | int | float | None],
        *,
        before: tuple[str | int, ...] | None = None,
        limit: int | None = None,
    ) -> list[R]:
        """Records whose fields equal `where` (None: is not set), by key downwards: ids of things made later first.

        Args:
            kind: the record class.
            where: field name to value. A name with the suffix `__set` tests whether the field is set (value 1 or 0).
            before: only records whose key is below this one: the cursor of a page.
            limit: at most so many; None for all.
        """


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls to list; every field that is set must match.

    Args:
        environment: of the call's app.
        statuses: of the contract's words; `pending` and `running` both mean "has no result".
        since: accepted at or after, seconds since 1970.
        metadata: each pair must be in the call's metadata.
    """

    function_id: str | None = None
    app_id: str | None = None
    environment: str | None = None
    kinds: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    since: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredCall:
    """A call and its result, if it has ended."""

    call: Call
    result: Result | None


@dataclass(frozen=True, slots=True)
class PendingInput:
    """A call of one input that has not ended, with what is known of its attempts.

    Args:
        timed: the store has timers of it.
        start_at: until when it is held back, seconds since 1970, where it is.
        items: how many items of it are stored, where it has a claim: the first item is written with one.
        item_bytes: their bytes.
    """

    call: Call
    progress: Progress | None
    claim: Claim | None
    timed: bool = False
    start_at: float | None = None
    items: int = 0
    item_bytes: int = 0

    @property
    def seq(self) -> int:
        """Its number."""
        return self.call.seq


class Calls(Protocol):
    """Reads of calls, always as committed."""

    async def get(self, seq: int) -> StoredCall | None:
        """One call, or None."""

    async def find(self, wanted: CallFilter, *, before: int | None, limit: int, values: bool) -> list[StoredCall]:
        """Calls by seq downwards, below `before`.

        Without `values`, arguments and values stay in the store (the payloads are empty).
        """

    async def key(self, token_id: str, function_id: str, key: str) -> IdempotencyKey | None:
        """The call that a caller named so, or None. A key holds until it expires, and as long as its call is kept."""

    async def has_open(self, function_id: str, queue: str, caller: str) -> bool:
        """Whether a call of one input that this caller made of the function has not ended.

        Args:
            queue: where such calls wait.
        """

    async def attempts(self, seq: int) -> list[AttemptRecord]:
        """The attempts that did not end their input, by number upwards."""


@dataclass(frozen=True, slots=True)
class OpenMap:
    """A map that has not ended, and its blocks in order, each with how its inputs have ended so far.

    Args:
        blocks: each with how many of its inputs ended as success, failure and terminated.
    """

    call: Call
    map: Map
    blocks: list[tuple[Block, int, int, int]]


@dataclass(frozen=True, slots=True)
class PendingRange:
    """Pending inputs of one caller and priority, without reading them.

    Args:
        queue: of the function, and of parameters where it has some (`yurt.domain.classes.queue_of`).
        rank: the negative priority.
        first, last: every one has a number between these.
    """

    queue: str
    caller: str
    rank: int
    first: int
    last: int
    count: int


@dataclass(frozen=True, slots=True)
class HeldBack:
    """How many calls of a queue wait for a time of their own."""

    queue: str
    function_id: str
    parameters_json: str | None
    count: int


@dataclass(frozen=True, slots=True)
class WaitingInput:
    """An input of a map that has no result.

    Args:
        args, args_blob: what it is called with; one of the two.
        timed: the store has timers of it.
        start_at: until when it is held back, seconds since 1970, where it is.
    """

    seq: int
    args: bytes | None
    args_blob: str | None
    progress: Progress | None
    claim: Claim | None
    timed: bool = False
    start_at: float | None = None


class Maps(Protocol):
    """Reads of maps, and of what waits, a range at a time; always as committed."""

    async def get(self, seq: int) -> tuple[Map, list[Block]] | None:
        """A map and its blocks in order, or None."""

    async def opened(self) -> list[OpenMap]:
        """The maps that have not ended."""

    async def inputs(self, call_seq: int, first: int, last: int, *, limit: int) -> list[WaitingInput]:
        """Inputs of a map without a result, by seq, from `first` to `last`; those that are held back too."""

    async def arguments(self, seq: int) -> Payload | None:
        """What an input of a map is called with, or None where there is none of that number."""

    async def results(self, first: int, last: int, *, limit: int) -> list[Result]:
        """Results by seq, from `first` to `last`."""

    async def ranges(self) -> list[PendingRange]:
        """What waits, but for maps."""

    async def waiting(self, where: PendingRange, *, limit: int) -> list[PendingInput]:
        """Inputs of a range, by seq."""

    async def started(self) -> list[PendingInput]:
        """Pending inputs that have begun before, but for maps."""

    async def pending(self, seqs: Sequence[int]) -> list[PendingInput]:
        """Those of `seqs` that have not ended, but for maps; those that are held back too."""

    async def timers(self, after: TimerKey, *, limit: int) -> list[Timer]:
        """Timers in the order in which they are due, from behind `after` on."""

    async def held_back(self, queue: str, *, after: int, limit: int) -> list[PendingInput]:
        """Calls of one input that wait for a time of their own, by seq, from behind `after` on."""

    async def count_held_back(self) -> list[HeldBack]:
        """How many those are, by queue."""


class Items(Protocol):
    """Reads of what generators yielded, always as committed."""

    async def blocks(self, seq: int, start: int, *, limit: int) -> list[ItemBlock]:
        """Blocks of an input in order, from the one on that holds the item `start`; at most `limit`."""

    async def firsts(self, seq: int, *, limit: int) -> list[int]:
        """The first numbers of the first blocks of an input: with `seq` they are the keys of its blocks."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Which calls of a function are to be repeated: those that nobody has repeated yet, and that ended so.

    Args:
        outcomes: of `yurt.domain.records.Outcome`.
        since: accepted at or after, seconds since 1970.
    """

    function_id: str
    outcomes: tuple[str, ...]
    since: float


class Redrives(Protocol):
    """Reads of what can be repeated: in its order, and no more of it at once than `limit_bytes` and one row more."""

    async def inputs(self, block: Block, *, after: int, limit_bytes: int) -> list[MapInput]:
        """Inputs of a block, behind the number `after`, that failed or were cancelled."""

    async def calls(self, wanted: Failed, *, after: int, until: int, limit_bytes: int) -> tuple[list[Call], int]:
        """Calls to repeat, behind the number `after` and up to `until`, and the number behind which to go on."""


class Callbacks(Protocol):
    """Reads of callbacks, always as committed."""

    async def due(self, now: float, *, busy: Sequence[str], limit: int) -> list[Callback]:
        """Those whose time has come, the longest due first, but for those to the hosts `busy`."""


@dataclass(frozen=True, slots=True)
class OldKey:
    """An idempotency key, and whether it holds no longer: its time is over, and its call is not kept."""

    key: tuple[str, str, str]
    over: bool


class Retention(Protocol):
    """Reads of what may be deleted, a page at a time."""

    async def calls(self, *, after: int, limit: int) -> list[OldCall]:
        """Calls by number upwards, from behind `after` on."""

    async def keys(self, now: float, *, after: tuple[str, str, str], limit: int) -> list[OldKey]:
        """Idempotency keys by their own order, from behind `after` on."""

    async def known_blobs(self, names: Sequence[str]) -> set[str]:
        """Those of `names` that a row knows."""


class Store(Protocol):
    """The open store: one writer and its readers."""

    @property
    def identity(self) -> Identity:
        """What the store is and which life of it this is."""

    @property
    def journal(self) -> Journal:
        """Its one writer."""

    @property
    def records(self) -> Records:
        """Reads of records."""

    @property
    def calls(self) -> Calls:
        """Reads of calls."""

    @property
    def maps(self) -> Maps:
        """Reads of maps."""

    @property
    def items(self) -> Items:
        """Reads of what generators yielded."""

    @property
    def redrives(self) -> Redrives:
        """Reads of what can be repeated."""

    @property
    def callbacks(self) -> Callbacks:
        """Reads of callbacks."""

    @property
    def retention(self) -> Retention:
        """Reads of what may be deleted."""

    async def check(self) -> str | None:
        """None while reads and writes work, else the reason, for `/readyz`."""

    async def watch(self) -> NoReturn:
        """Raise, with the reason, when this server may never write to the store again."""

    async def close(self) -> None:
        """Commit what waits, and let go of the store. Safe to call twice."""
