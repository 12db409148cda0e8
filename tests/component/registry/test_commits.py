"""What the registry does while the store commits late, or not at all."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import pytest

from tests.component.registry.conftest import ROOT, House
from tests.waiting import until
from yurt.domain.changes import Change
from yurt.domain.errors import AlreadyExists, Unavailable
from yurt.ports import (
    Callbacks,
    Calls,
    Identity,
    Items,
    Journal,
    JournalStats,
    Maps,
    Records,
    Redrives,
    Retention,
    Store,
)


class HeldJournal:
    """A journal in front of a real one: it keeps adds until the test lets them go, or says that it is away."""

    def __init__(self, inner: Journal) -> None:
        self._inner = inner
        self.held: list[tuple[Sequence[Change], Callable[[Exception | None], None] | None]] = []

    def add(self, changes: Sequence[Change], done: Callable[[Exception | None], None] | None = None) -> None:
        self.held.append((changes, done))

    def hurry(self) -> None:
        raise AssertionError("the registry has time")

    async def write(self, *changes: Change) -> None:
        raise AssertionError("the registry writes by add")

    async def next_epoch(self) -> int:
        raise AssertionError("the registry needs no numbers")

    async def flush(self) -> None:
        await until(lambda: not self.held, "an empty journal")

    def stats(self) -> JournalStats:
        return self._inner.stats()

    @property
    def prompt(self) -> bool:
        return False

    def let_go(self) -> None:
        """Commit what was held."""
        while self.held:
            self._inner.add(*self.held.pop(0))

    def refuse(self) -> None:
        """Refuse what was held."""
        while self.held:
            _, done = self.held.pop(0)
            assert done is not None
            done(AlreadyExists("The name is taken."))


class HeldStore:
    """A store with that journal."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.held = HeldJournal(inner.journal)

    @property
    def identity(self) -> Identity:
        return self._inner.identity

    @property
    def journal(self) -> Journal:
        return self.held

    @property
    def records(self) -> Records:
        return self._inner.records

    @property
    def calls(self) -> Calls:
        return self._inner.calls

    @property
    def maps(self) -> Maps:
        return self._inner.maps

    @property
    def items(self) -> Items:
        return self._inner.items

    @property
    def redrives(self) -> Redrives:
        return self._inner.redrives

    @property
    def callbacks(self) -> Callbacks:
        return self._inner.callbacks

    @property
    def retention(self) -> Retention:
        return self._inner.retention

    async def check(self) -> str | None:
        return await self._inner.check()

    async def watch(self) -> NoReturn:
        await self._inner.watch()

    async def close(self) -> None:
        await self._inner.close()


@pytest.fixture
def journal(house: House) -> HeldJournal:
    store = HeldStore(house.registry.store)
    house.registry.store = store
    return store.held


def start(house: House, name: str = "thumbs") -> "asyncio.Task[Any]":
    return asyncio.create_task(house.apps.create(ROOT, name=name))


async def test_nothing_is_visible_before_its_commit(house: House, journal: HeldJournal) -> None:
    creating = start(house)
    await until(lambda: journal.held)
    assert house.catalog.app(ROOT, "thumbs") is None
    journal.let_go()
    app = await creating
    assert house.catalog.app(ROOT, "thumbs") == app


async def test_a_caller_that_is_cancelled_leaves_no_half_change(house: House, journal: HeldJournal) -> None:
    creating = start(house)
    await until(lambda: journal.held)
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    second = start(house)
    await asyncio.sleep(0)
    assert house.catalog.app(ROOT, "thumbs") is None
    journal.let_go()
    with pytest.raises(AlreadyExists):
        await second
    assert house.catalog.app(ROOT, "thumbs") is not None


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yurt.usecases.registry._STORE_WAIT_S", 0.05)


async def test_a_late_commit_becomes_visible_after_all(house: House, journal: HeldJournal, impatient: None) -> None:
    with pytest.raises(Unavailable, match="may still be made"):
        await start(house)
    assert house.catalog.app(ROOT, "thumbs") is None
    with pytest.raises(Unavailable, match="earlier change"):
        await start(house, "other")
    assert len(journal.held) == 1, "a change waits while nobody knows whether the one before it was made"
    journal.let_go()
    await until(lambda: house.catalog.app(ROOT, "thumbs"))


async def test_a_late_refusal_is_forgotten(
    house: House, journal: HeldJournal, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unavailable):
        await start(house)
    monkeypatch.setattr("yurt.usecases.registry._STORE_WAIT_S", 30)  # not one for what a busy machine delays
    journal.refuse()
    again = start(house)
    await until(lambda: journal.held)
    journal.let_go()
    app = await again
    assert house.catalog.app(ROOT, "thumbs") == app
