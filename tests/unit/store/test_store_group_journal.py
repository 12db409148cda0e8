"""What the journal does while its writer cannot write."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from structlog.testing import capture_logs

from tests.clocks import FreeClock
from tests.waiting import until
from yurt.domain.changes import Change, Save
from yurt.domain.errors import Unavailable
from yurt.domain.records import Environment
from yurt.outbound.store.errors import StoreAway
from yurt.outbound.store.journal import GroupJournal


class FakeWriter:
    """Keeps what it is given; can be away, and can refuse."""

    def __init__(self) -> None:
        self.away = False
        self.refuses: list[Sequence[Change]] = []
        self.groups: list[list[Sequence[Change]]] = []
        self.tries = 0

    def commit(self, adds: Sequence[Sequence[Change]]) -> dict[int, Exception]:
        self.tries += 1
        if self.away:
            raise StoreAway("disk full")
        refused = {place: ValueError("no") for place, changes in enumerate(adds) if changes in self.refuses}
        self.groups.append([changes for place, changes in enumerate(adds) if place not in refused])
        return dict(refused)

    def next_epoch(self) -> int:
        if self.away:
            raise StoreAway("disk full")
        return 7


class House:
    def __init__(self) -> None:
        self.clock, self.writer = FreeClock(), FakeWriter()
        self.journal = GroupJournal(self.writer, self.clock)

    async def pass_seconds(self, seconds: int) -> None:
        """Let time go by while the store is away: each second the writer is tried again."""
        for _ in range(seconds):
            await until(lambda: self.clock.sleepers, "the pause before a try")
            tries = self.writer.tries
            self.clock.advance(1)
            await until(lambda seen=tries: self.writer.tries > seen, "a further try")  # type: ignore[misc]

    async def be_back(self) -> None:
        self.writer.away = False
        await self.pass_seconds(1)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    built = House()
    yield built
    built.writer.away = False
    await built.journal.close()


def record(name: str) -> list[Change]:
    return [Save(Environment(name, 1.0))]


async def test_what_waited_is_written_once_and_in_order(house: House) -> None:
    heard: list[str] = []
    house.writer.away = True
    house.journal.add(record("a"), lambda _: heard.append("a"))
    await asyncio.sleep(0)
    house.journal.add(record("b"), lambda _: heard.append("b"))
    await house.pass_seconds(2)
    assert heard == []
    await house.be_back()
    assert heard == ["a", "b"]
    assert house.writer.groups == [[record("a"), record("b")]]


async def test_retries_come_after_a_quarter_and_at_most_every_second(house: House) -> None:
    house.writer.away = True
    house.journal.add(record("a"))
    await until(lambda: house.clock.sleepers, "the first pause")
    pauses = []
    for _ in range(5):
        tries = house.writer.tries
        until_, _ = house.clock.sleepers[0]
        pauses.append(until_ - house.clock.elapsed)
        house.clock.advance(pauses[-1])
        await until(lambda seen=tries: house.writer.tries > seen and house.clock.sleepers, "a try")  # type: ignore[misc]
    assert pauses == [0.25, 0.5, 1.0, 1.0, 1.0]


async def test_a_callback_hears_how_it_ended_however_late(house: House) -> None:
    heard: list[Exception | None] = []
    house.writer.away = True
    house.journal.add(record("a"), heard.append)
    await asyncio.sleep(0)
    await house.pass_seconds(20)
    assert heard == []
    await house.be_back()
    assert heard == [None]


async def test_one_that_is_refused_late_hears_that(house: House) -> None:
    heard: list[Exception | None] = []
    house.writer.away = True
    house.writer.refuses.append(record("a"))
    house.journal.add(record("a"), heard.append)
    await asyncio.sleep(0)
    await house.pass_seconds(6)
    await house.be_back()
    assert [type(error) for error in heard] == [ValueError]


async def test_a_write_is_refused_for_lack_of_time_and_still_made(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yurt.outbound.store.journal.PATIENCE_S", 0.02)
    house.writer.away = True
    with pytest.raises(Unavailable, match="may still be written") as caught:
        await house.journal.write(*record("a"))
    assert (caught.value.reason, caught.value.retryable) == ("store_unavailable", True)
    await house.be_back()
    assert house.writer.groups == [[tuple(record("a"))]]


async def test_flush_waits_until_the_store_is_back(house: House) -> None:
    house.writer.away = True
    house.journal.add(record("a"))
    flushed = asyncio.create_task(house.journal.flush())
    await asyncio.sleep(0)
    await house.pass_seconds(7)
    assert not flushed.done()
    await house.be_back()
    await asyncio.wait_for(flushed, 30)


async def test_the_store_may_go_away_again(house: House) -> None:
    for name in ("a", "b"):
        house.writer.away = True
        house.journal.add(record(name))
        await until(lambda: house.journal.stats().away, "trouble")
        await house.be_back()
        assert house.journal.stats().away is None
    assert house.writer.groups == [[record("a")], [record("b")]]


async def test_a_callback_may_add_while_the_store_comes_back(house: House) -> None:
    house.writer.away = True
    house.journal.add(record("a"), lambda _: house.journal.add(record("b")))
    await until(lambda: house.clock.sleepers, "the first pause")
    await house.be_back()
    await until(lambda: len(house.writer.groups) == 2, "the second group")


async def test_nothing_is_committed_while_held(house: House) -> None:
    house.journal.hold()
    house.journal.add(record("a"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert house.writer.tries == 0
    house.journal.release()
    await house.journal.flush()
    assert house.writer.groups[0][0] == record("a")


async def test_next_epoch_says_that_the_store_is_away(house: House) -> None:
    assert await house.journal.next_epoch() == 7
    house.writer.away = True
    with pytest.raises(Unavailable):
        await house.journal.next_epoch()


async def test_closing_while_away_tells_everybody(house: House) -> None:
    heard: list[Exception | None] = []
    house.writer.away = True
    house.journal.add(record("a"), heard.append)
    await until(lambda: house.clock.sleepers, "the first pause")
    with capture_logs() as logs:
        await house.journal.close()
    assert [type(error) for error in heard] == [Unavailable]
    assert [(line["event"], line["adds"]) for line in logs] == [("store_closed_unwritten", 1)]
    await house.journal.close()


async def test_figures(house: House) -> None:
    house.journal.add([*record("a"), *record("b")])
    house.journal.add(record("c"))
    assert house.journal.stats().waiting == 2
    await house.journal.flush()
    stats = house.journal.stats()
    assert (stats.commits, stats.changes, stats.waiting, stats.away) == (1, 3, 0, None)
    assert stats.peak_commit_s >= stats.last_commit_s >= 0


async def test_a_lone_add_may_be_hurried(house: House) -> None:
    heard: list[Exception | None] = []
    house.journal.add(record("a"), heard.append)
    house.journal.hurry()
    assert (house.writer.groups, heard) == ([[record("a")]], [None])
    house.journal.add(record("b"))
    house.journal.add(record("c"))
    house.journal.hurry()
    assert house.writer.tries == 1, "two go together"
    await house.journal.flush()
    assert house.writer.groups[1:] == [[record("b"), record("c"), ()]]


async def test_nothing_is_hurried_while_the_store_is_away(house: House) -> None:
    house.writer.away = True
    house.journal.add(record("a"))
    house.journal.hurry()
    house.journal.hurry()
    assert house.writer.tries == 1
    await house.be_back()
    assert house.writer.groups == [[record("a")]]
