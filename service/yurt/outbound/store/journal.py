"""Group commit: everything added within one turn of the loop is one transaction, and callbacks run after it.

This part knows nothing of SQL. It needs a writer that commits a group at once or says that the store is away.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeAlias

import msgspec
import structlog

from yurt.domain.changes import Change
from yurt.outbound.store.errors import StoreAway, unavailable
from yurt.ports import Clock, JournalStats

Done: TypeAlias = Callable[[Exception | None], None]

MAX_WAITING = 10_000
"""Adds that may wait for a commit; beyond, the doors answer 503."""
PATIENCE_S = 5.0
"""How long `write` waits for a store that is away."""
FIRST_RETRY_S = 0.25
LAST_RETRY_S = 1.0


_log = structlog.stdlib.get_logger(__name__)


class Writer(Protocol):
    """What commits a group; `yurt.outbound.store.writer` has the words of the methods."""

    def commit(self, adds: Sequence[Sequence[Change]]) -> dict[int, Exception]:
        """Write all adds in one transaction; returns the refused ones by place."""

    def next_epoch(self) -> int:
        """Commit the next epoch."""


class Add(msgspec.Struct, frozen=True):
    """One add, and who hears of it."""

    changes: Sequence[Change]
    done: Done | None


class JournalBase:
    """What journals share: the waiting, the telling, and the trying again while the store is away.

    While the store is away (disk full, I/O error, locked by another program, connection lost) everything is kept in
    order and tried again, after 0.25 s at first and then up to every second, by one task. A callback hears how its add
    ended, however late that is: what is in memory follows what is committed. Whoever waits has a limit of his own, as
    `write` has.

    Args:
        clock: measures the waiting.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Add] = []
        self._armed = self._held = self._closed = False
        self._away: str | None = None
        self._retry: asyncio.Task[None] | None = None
        self._commits = self._changes = 0
        self._last_s = self._peak_s = 0.0

    def _turn(self) -> None:
        """Commit, or begin to; called at the end of a turn of the loop in which something was added."""
        raise NotImplementedError

    async def _try(self) -> bool:
        """Commit all that waits; False while the store is away."""
        raise NotImplementedError

    async def next_epoch(self) -> int:
        """Commit and return a further epoch of this life."""
        raise NotImplementedError

    async def flush(self) -> None:
        """Return when everything added so far is committed or refused."""
        raise NotImplementedError

    async def close(self) -> None:
        """Refuse further adds, and commit what waits, or tell who waits that it could not be done."""
        raise NotImplementedError

    def add(self, changes: Sequence[Change], done: Done | None = None) -> None:
        """Write `changes`, all or none of them, in the order of all adds.

        Args:
            changes: what to write; not to be changed afterwards.
            done: called once on the loop, after the commit with None, or with the reason of the refusal.

        Raises:
            Unavailable: the journal is closed, or has 10,000 adds waiting.
        """
        if self._closed:
            raise unavailable("The server is shutting down.")
        if len(self._waiting) >= MAX_WAITING:
            raise unavailable(f"{MAX_WAITING} writes wait for the store. Try again when it has caught up.")
        self._waiting.append(Add(changes, done))
        if not self._armed:
            self._arm()

    def hurry(self) -> None:
        """Begin at once, if one add waits: a turn of the loop is a twentieth of a lone call's time."""
        if len(self._waiting) == 1:
            self._turn()

    async def write(self, *changes: Change) -> None:
        """`add`, awaited. A caller that is cancelled or refused for lack of time takes nothing back.

        Raises:
            YurtError: the changes were refused.
            Unavailable: they are not committed within `PATIENCE_S`. They may still be.
        """
        future = self._loop.create_future()
        self.add(changes, partial(settle, future))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await future
        except TimeoutError as error:
            raise unavailable(
                f"The store cannot be written now ({self._away}). It may still be written later."
            ) from error

    @property
    def prompt(self) -> bool:
        """Whether it commits now what is added, as far as it knows."""
        return self._away is None and not (self._held or self._closed) and len(self._waiting) < MAX_WAITING

    def stats(self) -> JournalStats:
        """Figures for the metrics."""
        waiting = len(self._waiting)
        return JournalStats(self._commits, self._changes, waiting, self._last_s, self._peak_s, self._away)

    def hold(self) -> None:
        """Commit nothing until `release`; adds wait."""
        self._held = True

    def release(self) -> None:
        """End a `hold`."""
        self._held = False
        self._arm()

    def _take(self, add: Add) -> None:
        self._waiting.append(add)
        if not self._armed:
            self._arm()

    def _arm(self) -> None:
        if self._waiting and not (self._armed or self._held or self._away):
            self._armed = True
            self._loop.call_soon(self._turn)

    def _settled(self, group: Sequence[Add], refused: Mapping[int, Exception], seconds: float) -> None:
        """Tell everybody of a group how it ended."""
        self._count(group, seconds)
        self._back()
        if refused:
            for place, add in enumerate(group):
                self._tell(add, refused.get(place))
        else:
            for add in group:
                self._tell(add, None)

    def _abandon(self, detail: str) -> None:
        """Tell those who still wait that it will not be done."""
        lost, self._waiting = self._waiting, []
        if lost:
            _log.error("store_closed_unwritten", adds=len(lost), reason=self._away)
        error = unavailable(detail)
        for add in lost:
            self._tell(add, error)

    async def _end_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            await asyncio.wait([self._retry])

    def _count(self, group: Sequence[Add], seconds: float) -> None:
        self._commits += 1
        for add in group:
            self._changes += len(add.changes)
        self._last_s = seconds
        self._peak_s = max(seconds, self._peak_s)

    def _tell(self, add: Add, error: Exception | None) -> None:
        try:
            if add.done is not None:
                add.done(error)
            elif error is not None:
                _log.error("journal_add_refused", kinds=_kinds(add), reason=str(error))
        except Exception:  # noqa: BLE001  # one that raises must not keep the others of its group from hearing
            _log.exception("journal_callback_failed", kinds=_kinds(add))

    def _gone(self, reason: str) -> None:
        if self._away is None:
            _log.error("store_away", reason=reason, waiting=len(self._waiting))
        self._away = reason
        if self._retry is None and not self._closed:
            self._retry = self._loop.create_task(self._retry_until_back(), name="store-retry")

    def _back(self) -> None:
        if self._away is not None:
            _log.info("store_back", reason=self._away)
            self._away = None

    async def _retry_until_back(self) -> None:
        pause = FIRST_RETRY_S
        while True:
            await self._clock.sleep(pause)
            pause = min(2 * pause, LAST_RETRY_S)
            if not self._held and await self._try():
                break
        self._retry = None
        self._arm()


class GroupJournal(JournalBase):
    """`yurt.ports.Journal`, committing on the loop at the end of the turn.

    Args:
        writer: commits; called on the loop only.
        clock: measures the waiting.
    """

    def __init__(self, writer: Writer, clock: Clock) -> None:
        super().__init__(clock)
        self._writer = writer

    async def next_epoch(self) -> int:
        """Commit and return a further epoch of this life. It waits for the disk on the loop, some milliseconds.

        Raises:
            Unavailable: the store is away.
        """
        try:
            return self._writer.next_epoch()
        except StoreAway as error:
            raise unavailable(f"The store cannot be written: {error}.") from error

    async def flush(self) -> None:
        """Return when everything added so far is committed or refused."""
        if self._waiting:
            future = self._loop.create_future()
            self._take(Add((), partial(settle, future)))
            await future

    async def close(self) -> None:
        """Refuse further adds, try once more to commit what waits, and tell those that it could not be done."""
        self._closed = True
        await self._end_retry()
        if not self._commit():
            self._abandon("The server is shutting down, and could not write this.")

    def _turn(self) -> None:
        self._armed = False
        if not (self._held or self._away or self._closed):
            self._commit()

    async def _try(self) -> bool:
        return self._commit()

    def _commit(self) -> bool:
        """Commit all that waits; False while the store is away."""
        group = self._waiting
        if not group:
            return True
        begun = time.perf_counter()
        try:
            refused = self._writer.commit([add.changes for add in group])
        except StoreAway as reason:
            self._gone(str(reason))
            return False
        self._waiting = []
        self._settled(group, refused, time.perf_counter() - begun)
        return True


def _kinds(add: Add) -> list[str]:
    return [type(change).__name__ for change in add.changes]


def settle(future: "asyncio.Future[None]", error: Exception | None) -> None:
    """End a future as an add ended."""
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
