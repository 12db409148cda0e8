"""What happens to an input, made durable before anybody sees it."""

from collections import deque
from collections.abc import Callable, Sequence

import msgspec
import structlog
from msgspec import structs

from yurt.domain.blame import History
from yurt.domain.changes import Accept, AcceptCall, Change, Complete, HoldBack, Remove, Save
from yurt.domain.endings import Ending, describe
from yurt.domain.errors import Unavailable
from yurt.domain.records import AttemptRecord, Claim, Outcome, Payload, Progress, Result, Timer, TimerKind
from yurt.pools.background import Background
from yurt.pools.inputs import Input
from yurt.pools.unplaced import Unplaced, place_of
from yurt.pools.unwritten import Done, Unwritten
from yurt.ports import Blobs, Clock, Journal

BLOB_ABOVE_BYTES = 256 << 10
"""Larger payloads become files: measured, an inline MiB costs about 5 ms more of the loop than a file."""

BLOB_RETRY_S = 1.0
RETRY_S = 0.25
"""How soon what a full journal did not take is offered again, in seconds."""

WRITE_WITHIN_S = 0.02
"""How long the acceptance of a call may wait for its result, in seconds; twice as long at most."""

log = structlog.get_logger(__name__)


class Ledger:
    """Writes inputs to the journal: accepted, queued again, claimed, ended."""

    def __init__(self, journal: Journal, blobs: Blobs, clock: Clock, background: Background) -> None:
        self._journal = journal
        self._blobs = blobs
        self._clock = clock
        self._background = background
        self._late: deque[tuple[Sequence[Change], Done | None]] = deque()
        self._unplaced = Unplaced()
        self._unwritten = Unwritten()
        self._writes_soon = False

    def accept(self, item: Input, more: Sequence[Change], done: Done, *, at_once: bool, later: bool = False) -> None:
        """Write that the input is pending, or held back if it has a time to start, together with `more`.

        Args:
            at_once: a container has room for it, so it needs no place in the queue.
            later: it may be written with its result.

        Raises:
            Unavailable: the journal takes nothing now.
        """
        kind = AcceptCall if at_once or item.start_at is not None or item.target is not None else Accept
        row = kind(
            item.seq,
            item.function_id,
            item.app_id,
            item.kind,
            item.caller,
            item.priority,
            item.created_at,
            item.metadata_json,
            item.args,
            item.blob,
        )
        if item.target is not None:
            places = () if at_once or item.start_at is not None else (place_of(item),)
            more = (Save(item.target), *places, *more)
        if later:
            self._unwritten.add(item.seq, (row, *more), done)
            self._write_soon()
        else:
            self._journal.add((row, *more), done)
        self._unplaced.accepted(item, at_once=at_once)

    @property
    def prompt(self) -> bool:
        """Whether the journal commits now what it is given."""
        return self._journal.prompt

    def _write_soon(self) -> None:
        if not self._writes_soon:
            self._writes_soon = True
            self._background.run("write-acceptances", self._write_old())

    async def _write_old(self) -> None:
        """Write what does not end soon."""
        try:
            while self._unwritten:
                await self._clock.sleep(WRITE_WITHIN_S)
                for one in self._unwritten.due():
                    self.soon(*one)
        finally:
            self._writes_soon = False

    def write(self, seq: int) -> None:
        """Write the acceptance of an input, if it is not: something else of it is to be written."""
        one = self._unwritten.take(seq)
        if one is not None:
            self.soon(*one)

    def write_all(self) -> None:
        """Write every acceptance that is not written."""
        for one in self._unwritten.all():
            self.soon(*one)

    def refused(self, seq: int) -> None:
        """An input was not accepted after all."""
        self._unplaced.drop(seq)

    def place(self, item: Input, done: Done) -> bool:
        """Give the input its place in the queue, if it has none; returns whether `done` will be called for that."""
        if not self._unplaced.drop(item.seq):
            return False
        self.write(item.seq)
        self.soon((place_of(item),), done)
        return True

    def settle(self) -> None:
        """Now and then: see to it that a start has few calls to look for."""
        changes = self._unplaced.settle()
        if changes:
            self.write_all()
            self.soon(changes)

    def out_of_queue(self, item: Input) -> tuple[Change, ...]:
        """What is to be written with a timer that holds the input back from now on."""
        if item.group is not None or self._unplaced.drop(item.seq):
            return ()
        return (HoldBack(item.seq, item.queue, item.caller, item.priority),)

    def now(self, changes: Sequence[Change], done: Done) -> None:
        """Write `changes`.

        Raises:
            Unavailable: the journal takes nothing now.
        """
        self._journal.add(changes, done)

    async def flush(self) -> None:
        """Return when everything written so far is committed or refused."""
        self.write_all()
        await self._journal.flush()

    @property
    def away(self) -> str | None:
        """Why nothing can be written now, or None."""
        return self._journal.stats().away

    def hurry(self) -> None:
        """Commit at once what nobody else is about to join."""
        self._journal.hurry()

    def end(
        self, item: Input, ending: Ending, address: str, revision: int | None, seen: Callable[[Result], None]
    ) -> None:
        """Write how the input ended; `seen` is called with its result once that is committed.

        A large value is written to a blob file first.
        """
        item.ending = True
        value = ending.value
        if value is not None and len(value) > BLOB_ABOVE_BYTES:
            self._background.run("store-value", self._end_with_blob(item, ending, value, revision, seen))
            return
        self._write_end(item, self._result(item, ending, address, revision), seen)

    def _result(self, item: Input, ending: Ending, address: str, revision: int | None) -> Result:
        now = self._clock.now()
        started = now - ending.run_s if ending.run_s is not None else item.started_at
        container_id = item.member.id if item.member is not None else None
        error = None
        if ending.outcome is not Outcome.SUCCESS:
            told = describe(
                ending,
                call_id="fc-" + (item.suffix if item.group is None else item.group.suffix),
                input_id="in-" + item.suffix,
                index=item.index,
                attempt=item.history.number,
                container_id=container_id,
                address=address,
            )
            error = msgspec.json.encode(told)
        value = Payload(ending.value) if ending.value is not None else None
        attempts = item.history.number if item.member is not None else item.history.number - 1
        items = item.items.added.items if item.items is not None else 0 if ending.items is not None else None
        return Result(item.seq, ending.outcome, started, now, attempts, revision, container_id, value, error, items)

    async def _end_with_blob(
        self, item: Input, ending: Ending, value: bytes, revision: int | None, seen: Callable[[Result], None]
    ) -> None:
        result = self._result(item, structs.replace(ending, value=None), "", revision)
        while True:
            try:
                blob = await self._blobs.put(value)
                break
            except Unavailable as error:
                log.warning("value_not_stored", call_id="fc-" + item.suffix, reason=str(error))
                await self._clock.sleep(BLOB_RETRY_S)
        self._write_end(item, structs.replace(result, value=Payload(None, blob)), seen)

    def _write_end(self, item: Input, result: Result, seen: Callable[[Result], None]) -> None:
        value = result.value
        has_place = not self._unplaced.drop(item.seq) and item.group is None
        row = Complete(
            item.seq,
            item.queue if has_place else "",
            item.caller,
            item.priority,
            result.outcome,
            result.started_at,
            result.finished_at,
            result.attempts,
            result.revision,
            result.container_id,
            None if value is None else value.data,
            None if value is None else value.blob,
            result.error_json,
            result.items,
        )

        accepted = self._unwritten.take(item.seq)

        def done(error: Exception | None) -> None:
            if accepted is not None:
                accepted.done(error)
            if error is None:
                seen(result)
            else:
                log.error("result_refused", call_id="fc-" + item.suffix, error=str(error))

        rows: tuple[Change, ...] = (row,) if item.group is None else (row, *item.group.before_end(item, result))
        if item.timed:
            rows += tuple(Remove(Timer, (item.seq, kind)) for kind in TimerKind)
        if accepted is not None:
            rows = (*accepted.changes, *rows)
        self.soon(rows, done)

    def soon(self, changes: Sequence[Change], done: Done | None = None) -> None:
        """Write `changes`, also when the journal takes nothing right now: then they are offered again, in order."""
        if self._late:
            self._late.append((changes, done))
            return
        try:
            self._journal.add(changes, done)
        except Unavailable:
            self._late.append((changes, done))
            self._background.run("write-later", self._write_late())

    async def _write_late(self) -> None:
        while self._late:
            try:
                self._journal.add(*self._late[0])
            except Unavailable:
                await self._clock.sleep(RETRY_S)
            else:
                self._late.popleft()

    def again(
        self,
        items: Sequence[tuple[Input, History]],
        outcome: Outcome,
        message: str,
        first: Sequence[Change],
        done: Done,
    ) -> None:
        """Write that these inputs are to run once more, in one transaction with `first`.

        An input whose history did not change was only held, and has no attempt to tell of.
        """
        now = self._clock.now()
        changes: list[Change] = list(first)
        for item, history in items:
            self.write(item.seq)
            if history != item.history:
                container_id = item.member.id if item.member is not None else None
                number, started = item.history.number, item.started_at
                lost = AttemptRecord(item.seq, number, outcome, container_id, started, now, message)
                progress = Progress(item.seq, history.number, history.user_failures, history.losses, item.token + 1)
                changes += (Save(lost), Save(progress))
            if item.claimed:
                changes.append(Remove(Claim, (item.seq,)))
            if self._unplaced.drop(item.seq):
                changes.append(place_of(item))
        self.soon(changes, done)

    def unclaim(self, item: Input, done: Done) -> None:
        """Write that the input is queued again without blame."""
        self.soon((Remove(Claim, (item.seq,)),), done)

    def claim(self, item: Input) -> None:
        """Write, without waiting, that the input runs somewhere: after a restart it is not run a second time."""
        if item.claimed or item.member is None or item.started_at is None:
            return
        item.claimed = True
        self.write(item.seq)
        self.soon((Save(Claim(item.seq, item.member.id, item.token, item.started_at)),))
