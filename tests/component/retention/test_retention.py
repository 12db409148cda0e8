"""What is past its days goes, in small portions, and nothing else does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clocks import FreeClock
from tests.contract.store.making import accept, app, complete, function
from tests.fakes.blobs import FakeBlobs
from yurt.domain.changes import AcceptCall, AcceptInputs, Change, Complete, Expire, Insert, MapInput, Remove, Save
from yurt.domain.ids import ulid
from yurt.domain.records import App, Block, Callback, Container, Function, IdempotencyKey, ItemBlock, Map, Revision
from yurt.domain.retention import ROWS, SLICE_BYTES
from yurt.outbound.store import open_store
from yurt.outbound.store.store import SqliteStore
from yurt.usecases.retention import BUSY_PAUSE_S, ITEM_BLOCKS, PAUSE_S, Retention

KEPT_S = 1000.0
HOUR_S = 3600.0


class HastyClock(FreeClock):
    """A clock whose sleepers need not wait; it notes how long they would have."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)


@dataclass
class House:
    """A store, its retention, and what was written at once."""

    store: SqliteStore
    blobs: FakeBlobs
    clock: HastyClock
    retention: Retention
    adds: list[int]
    logs_before: list[float]

    @property
    def old(self) -> float:
        """A time past which nothing is kept."""
        return self.clock.now() - KEPT_S - 10

    async def calls(self, count: int, *, first: int = 1, at: float, **more: Any) -> list[int]:
        """Calls that ended at a time."""
        rows = [accept(first + n, created_at=at, **more) for n in range(count)]
        for start in range(0, count, 1000):
            await self.store.journal.write(*rows[start : start + 1000])
            await self.store.journal.write(*(complete(row, finished_at=at) for row in rows[start : start + 1000]))
        return [row.seq for row in rows]


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    clock, blobs = HastyClock(), FakeBlobs()
    store = await open_store(tmp_path / "data", clock=FreeClock())  # its own tasks must not hurry this one
    adds: list[int] = []
    logs: list[float] = []
    add = store.journal.add

    def counted(changes: Sequence[Change], done: Callable[[Exception | None], None] | None = None) -> None:
        if any(isinstance(change, Expire | Remove) for change in changes):
            adds.append(sum(len(change.seqs) if isinstance(change, Expire) else 1 for change in changes))
        add(changes, done)

    async def expire_logs(before: float) -> None:
        logs.append(before)

    monkeypatch.setattr(store.journal, "add", counted)
    retention = Retention(
        store,
        blobs,
        clock,
        kept_s=KEPT_S,
        written=lambda: store.journal.stats().changes,
        expire_logs=expire_logs,
    )
    yield House(store, blobs, clock, retention, adds, logs)
    await store.close()


async def test_calls_go_when_their_time_is_over(house: House) -> None:
    old = await house.calls(3, at=house.old)
    young = await house.calls(2, first=10, at=house.clock.now())
    await house.retention.sweep()
    assert [await house.store.calls.get(seq) for seq in old] == [None] * 3
    assert all([await house.store.calls.get(seq) for seq in young])
    assert house.logs_before == [house.clock.now() - sum(house.clock.slept) - KEPT_S]


async def test_much_goes_in_small_portions_with_pauses_between_them(house: House) -> None:
    await house.calls(4 * ROWS + 7, at=house.old)
    await house.retention.sweep()
    assert sum(house.adds) == 4 * ROWS + 7
    assert max(house.adds) <= ROWS
    assert len(house.clock.slept) >= len(house.adds)
    assert all(pause >= PAUSE_S for pause in house.clock.slept)


async def test_large_calls_go_in_smaller_portions(house: House) -> None:
    await house.calls(40, at=house.old, args=b"x" * (SLICE_BYTES // 8))
    await house.retention.sweep()
    assert sum(house.adds) == 40
    assert max(house.adds) <= 8


async def test_a_busy_journal_is_left_more_room(house: House) -> None:
    await house.calls(2 * ROWS, at=house.old)
    house.retention._written = iter(range(0, 10**9, 10_000)).__next__
    await house.retention.sweep()
    assert BUSY_PAUSE_S in house.clock.slept


async def test_what_has_not_ended_or_was_not_told_stays(house: House) -> None:
    waiting = accept(1, created_at=house.old)
    (told,) = await house.calls(1, first=2, at=house.old)
    await house.store.journal.write(waiting)
    await house.store.journal.write(Save(Callback(told, "main", "http://x", "x", house.old, house.clock.now() + 60)))
    await house.retention.sweep()
    assert await house.store.calls.get(waiting.seq)
    assert await house.store.calls.get(told)
    await house.store.journal.write(Save(Callback(told, "main", "http://x", "x", house.old, None, 9, failed_at=1.0)))
    await house.retention.sweep()
    assert await house.store.calls.get(told) is None
    assert await house.store.records.get(Callback, told) is None


async def test_keys_go_after_their_call_and_their_day(house: House) -> None:
    (seq,) = await house.calls(1, at=house.old)
    await house.store.journal.write(Save(IdempotencyKey("tk-1", "fu-1", "k", seq, "00", house.clock.now() + 60)))
    await house.retention.sweep()
    assert await house.store.records.get(IdempotencyKey, "tk-1", "fu-1", "k")
    house.clock.advance(60)
    await house.retention.sweep()
    assert await house.store.records.get(IdempotencyKey, "tk-1", "fu-1", "k") is None


def container(at: float, state: str, ended_at: float | None) -> Container:
    return Container(ulid("co", at, bytes), "fu-1", 1, "local", state, at, "00", ended_at=ended_at)


async def test_containers_go_when_they_ended_long_ago(house: House) -> None:
    now = house.clock.now()
    gone = container(house.old, "ended", house.old)
    lately = container(house.old - 5, "ended", now)
    alive = container(house.old - 6, "ready", None)
    await house.store.journal.write(*map(Save, (gone, lately, alive)))
    await house.retention.sweep()
    assert await house.store.records.get(Container, gone.id) is None
    assert await house.store.records.get(Container, lately.id)
    assert await house.store.records.get(Container, alive.id)


async def test_names_stay_as_long_as_calls_bear_them(house: House) -> None:
    (seq,) = await house.calls(1, at=house.clock.now())
    stopped, deleted = app("ap-1", stopped_at=house.old), function("fu-1", deleted_at=house.old)
    await house.store.journal.write(
        Save(stopped), Save(deleted), Save(Revision("fu-1", 1, "{}", None, 1.0, "tk-1")), Save(app("ap-2", "live"))
    )
    await house.retention.sweep()
    assert await house.store.records.get(Function, "fu-1")
    assert await house.store.records.get(App, "ap-1")
    house.clock.advance(KEPT_S + 1)
    await house.retention.sweep()
    assert await house.store.calls.get(seq) is None
    assert await house.store.records.get(Function, "fu-1") is None
    assert await house.store.records.get(Revision, "fu-1", 1) is None
    assert await house.store.records.get(App, "ap-1") is None
    assert await house.store.records.get(App, "ap-2")


async def test_blobs_go_when_no_row_knows_them_for_an_hour(house: House) -> None:
    used, orphan, fresh = [await house.blobs.put(data) for data in (b"used", b"orphan", b"fresh")]
    house.blobs.stored_at = {used: 1.0, orphan: 1.0, fresh: house.clock.now() - HOUR_S / 2}
    (seq,) = await house.calls(1, at=house.clock.now(), args=None, args_blob=used)
    await house.retention.sweep()
    assert set(house.blobs.kept) == {used, fresh}
    house.clock.advance(HOUR_S)
    await house.retention.sweep()
    assert await house.store.calls.get(seq) is None
    assert not house.blobs.kept


async def test_a_map_goes_with_its_inputs_and_their_blobs(house: House) -> None:
    call = AcceptCall(100, "fu-1", "ap-1", "map", "tk-1", 0, house.old, None)
    blob = await house.blobs.put(b"large")
    rows = (MapInput(101, 100, b"{}", None), MapInput(102, 100, None, blob))
    await house.store.journal.write(call, Save(Map(100, True)), AcceptInputs(rows), Save(Block(100, 0, 101, 2)))
    ends = (Complete(n, "", "", 0, "success", None, house.old, 1, 1, None, b"1", None, None) for n in (101, 102, 100))
    await house.store.journal.write(*ends)
    await house.retention.sweep()
    assert await house.store.maps.get(100) is None
    assert await house.store.maps.arguments(101) is None
    assert await house.store.maps.results(101, 102, limit=5) == []
    assert await house.store.retention.known_blobs([blob]) == set()


async def test_items_of_a_generator_go_some_at_a_time_before_their_call(house: House) -> None:
    call, blob = accept(1, created_at=house.old), await house.blobs.put(b"large")
    blocks = [ItemBlock(call.seq, n, 1, n + 1, b"1") for n in range(2 * ITEM_BLOCKS)]
    large = ItemBlock(call.seq, len(blocks), 1, 9, None, blob)
    await house.store.journal.write(call, *map(Insert, blocks), Insert(large))
    await house.store.journal.write(complete(call, value=None, finished_at=house.old, items=len(blocks) + 1))
    await house.retention.sweep()
    assert await house.store.calls.get(call.seq) is None
    assert await house.store.items.firsts(call.seq, limit=5) == []
    assert await house.store.retention.known_blobs([blob]) == set()
    assert house.adds == [ITEM_BLOCKS, ITEM_BLOCKS, 1, 1]
