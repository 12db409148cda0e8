"""A store that lives in memory: the ports that the REST door's own use cases need, with knobs for faults."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, NoReturn, TypeVar, cast

from yurt.domain.changes import Change, Record, Remove, Save
from yurt.domain.errors import Unavailable
from yurt.domain.records import Environment
from yurt.ports import Callbacks, Calls, Identity, Items, Journal, JournalStats, Maps, Records, Redrives, Retention

R = TypeVar("R", bound=Record)


class MemoryStore:
    """`yurt.ports.Store` without calls. `away` makes every write fail as if the store could not be reached."""

    def __init__(self) -> None:
        self.identity = Identity("test", b"k" * 32, 1)
        self.kept: dict[tuple[type[Any], tuple[Any, ...]], Any] = {}
        self.away = False
        self.journal: Journal = self
        self.records: Records = self
        self.calls: Calls = cast("Calls", None)
        self.maps: Maps = cast("Maps", None)
        self.items: Items = cast("Items", None)
        self.redrives: Redrives = cast("Redrives", None)
        self.callbacks: Callbacks = cast("Callbacks", None)
        self.retention: Retention = cast("Retention", None)

    def add(self, changes: Sequence[Change], done: Callable[[Exception | None], None] | None = None) -> None:
        raise NotImplementedError

    def hurry(self) -> None:
        raise NotImplementedError

    @property
    def prompt(self) -> bool:
        return not self.away

    async def write(self, *changes: Change) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("The store cannot be reached.", retry_after_s=7)
        for change in changes:
            if isinstance(change, Save):
                self.kept[type(change.record), _key(change.record)] = change.record
            elif isinstance(change, Remove):
                self.kept.pop((change.kind, change.key), None)

    async def next_epoch(self) -> int:
        raise NotImplementedError

    async def flush(self) -> None:
        """Everything is committed at once here."""

    def stats(self) -> JournalStats:
        raise NotImplementedError

    async def get(self, kind: type[R], *key: str | int) -> R | None:
        return cast("R | None", self.kept.get((kind, key)))

    async def find(
        self,
        kind: type[R],
        where: Mapping[str, str | int | float | None],
        *,
        before: tuple[str | int, ...] | None = None,
        limit: int | None = None,
    ) -> list[R]:
        await asyncio.sleep(0)
        found = [
            record
            for (stored, key), record in sorted(self.kept.items(), key=lambda item: item[0][1], reverse=True)
            if stored is kind
            and (before is None or key < before)
            and all(getattr(record, name) == value for name, value in where.items())
        ]
        return found[:limit]

    async def check(self) -> str | None:
        return "It cannot be reached." if self.away else None

    async def watch(self) -> NoReturn:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing to let go of."""


def _key(record: Record) -> tuple[Any, ...]:
    return (record.name,) if isinstance(record, Environment) else (getattr(record, fields(record)[0].name),)
