"""Turns changes into rows of PostgreSQL, one statement a group."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from yurt.domain.changes import Change
from yurt.domain.errors import AlreadyExists
from yurt.outbound.store import statements
from yurt.outbound.store.errors import StoreAway, StoreDeposed
from yurt.outbound.store.identity import following_epoch
from yurt.outbound.store.postgres.link import Link, is_away, reason_of
from yurt.outbound.store.postgres.parts import statement
from yurt.outbound.store.postgres.steps import Step, Steps
from yurt.ports import Clock, Identity


class PostgresWriter:
    """Writes groups of adds over one connection; one at a time.

    Args:
        link: the connection, with our identity.
        clock: bounds epochs from below.
        tracked: the inputs that have more to do at their end than to delete their pending row.
    """

    def __init__(self, link: Link, ours: Identity, clock: Clock, tracked: set[int]) -> None:
        self._link = link
        self._ours = ours
        self._clock = clock
        self._tracked = tracked
        self._again = False

    @property
    def identity(self) -> Identity:
        """What the store is, with the epoch committed last."""
        return self._ours

    async def commit(self, adds: Sequence[Sequence[Change]]) -> dict[int, Exception]:
        """Write all adds in one transaction; one that cannot be written takes no other with it.

        After a failure that left open whether they were written, the same adds may be given again.

        Raises:
            StoreAway: trying again makes sense.
            StoreDeposed: another server owns the store.
        """
        try:
            db = await self._link.get()
            try:
                refused = await self._together(db, adds)
            except Exception as error:  # whatever a value did to the driver: find out which add it was in
                if is_away(error) or isinstance(error, StoreAway | StoreDeposed):
                    raise
                refused = await self._one_by_one(db, adds)
        except StoreDeposed:
            raise
        except Exception as error:
            if not (isinstance(error, StoreAway) or is_away(error)):
                raise
            self._again = True
            await self._link.drop()
            raise StoreAway(reason_of(error)) from error
        except BaseException:  # cancelled in the middle: what the server made of it is unknown
            self._again = True
            raise
        self._again = False
        return refused

    async def next_epoch(self) -> int:
        """Commit the next epoch and return it.

        Raises:
            StoreAway: it could not be committed.
            StoreRefused: epochs are used up, or the clock says so.
        """
        db = await self._link.get()
        epoch = following_epoch(self._ours.epoch, self._clock.now())
        try:
            changed = await db.fetchval(
                "UPDATE meta SET epoch = $1 WHERE epoch = $2 RETURNING epoch", epoch, self._ours.epoch
            )
        except Exception as error:
            if not is_away(error):
                raise
            raise StoreAway(reason_of(error)) from error
        if changed is None:
            raise self._deposed()
        self._ours = Identity(installation=self._ours.installation, key=self._ours.key, epoch=epoch)
        self._link.ours = self._ours
        return epoch

    def _deposed(self) -> StoreDeposed:
        return StoreDeposed(f"Another server has opened the store at {self._link.place} since.")

    async def _together(self, db: "asyncpg.Connection[Any]", adds: Sequence[Sequence[Change]]) -> dict[int, Exception]:
        group = Steps(self._tracked)
        for changes in adds:
            group.take(changes)
        steps = group.done()
        if len(steps) == 1:
            await self._run(db, steps[0])
        elif steps:
            async with db.transaction():
                for step in steps:
                    await self._run(db, step)
        self._note(group)
        return {}

    async def _one_by_one(
        self, db: "asyncpg.Connection[Any]", adds: Sequence[Sequence[Change]]
    ) -> dict[int, Exception]:
        refused: dict[int, Exception] = {}
        written: list[Steps] = []
        async with db.transaction():
            for place, changes in enumerate(adds):
                try:
                    async with db.transaction():
                        group = Steps(self._tracked.union(*(before.opened for before in written)))
                        for step in group.take(changes).done():
                            await self._run(db, step)
                except Exception as error:  # the add's own, whatever it is
                    if is_away(error) or isinstance(error, StoreDeposed):
                        raise
                    refused[place] = refusal(error)
                else:
                    written.append(group)
        for group in written:
            self._note(group)
        return refused

    async def _run(self, db: "asyncpg.Connection[Any]", step: Step) -> None:
        parts = tuple(step)
        columns = (column for rows in step.values() for column in zip(*rows, strict=True))
        own = await db.fetchval(statement(parts, again=self._again), self._ours.epoch, *columns)
        if not own:
            raise self._deposed()

    def _note(self, group: Steps) -> None:
        self._tracked.update(group.opened)
        self._tracked.difference_update(group.ended)


def refusal(error: Exception) -> Exception:
    """The reason for refusing one add: `AlreadyExists` where a unique key is taken, anything else as it is."""
    if isinstance(error, asyncpg.UniqueViolationError):
        taken = AlreadyExists("Another live thing bears that name, or that id.")
        taken.__cause__ = error
        return taken
    return error


async def tracked_inputs(db: "asyncpg.Connection[Any]") -> set[int]:
    """The inputs that have more to do at their end than to delete their pending row."""
    return {row[0] for row in await db.fetch(statements.SELECT_TRACKED)}
