"""Callbacks leave a few at once for each host, survive what fails, and are never lost."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.clocks import FreeClock
from tests.waiting import until
from yurt.domain.callbacks import GIVE_UP_AFTER_S
from yurt.domain.changes import Save
from yurt.domain.errors import InUse, Unavailable
from yurt.domain.records import Callback, CallbackSecret, Role
from yurt.loops.callbacks import AT_ONCE, PER_HOST, Deliveries
from yurt.outbound.store import open_store
from yurt.outbound.store.store import SqliteStore
from yurt.ports import NotDelivered
from yurt.usecases.callbacks import Callbacks
from yurt.usecases.environments import Environments
from yurt.usecases.principals import Principal

ROOT = Principal("tk-1", Role.ADMIN, None)


@dataclass
class HeldPost:
    """`yurt.ports.Post` that answers when told to, unless `open`."""

    open: bool = False
    failure: NotDelivered | None = None
    held: list[tuple[str, "asyncio.Future[None]"]] = field(default_factory=list)
    peaks: Counter[str] = field(default_factory=Counter)
    sent: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        self.sent.append((url, headers, body))
        if not self.open:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.held.append((url, waiting))
            self.peaks[url] = max(self.peaks[url], sum(held == url for held, _ in self.held))
            try:
                await waiting
            finally:
                self.held.remove((url, waiting))
        if self.failure is not None:
            raise self.failure


@dataclass
class House:
    """Deliveries over a real store."""

    store: SqliteStore
    clock: FreeClock
    post: HeldPost
    callbacks: Callbacks
    task: "asyncio.Task[None] | None" = None
    bodies: dict[int, bytes | None] = field(default_factory=dict)

    async def tell(self, seq: int) -> tuple[str, bytes | None]:
        return f"fc-{seq}", self.bodies.get(seq, b"{}")

    async def due(self, *seqs: int, host: str = "a") -> None:
        """Callbacks of calls that have ended."""
        now = self.clock.now()
        await self.store.journal.write(
            *(Save(Callback(seq, "main", f"https://{host}/", host, ended_at=now, due_at=now)) for seq in seqs)
        )
        self.callbacks.used = True
        self.callbacks.news.set()

    def start(self) -> None:
        deliveries = Deliveries(self.callbacks, self.tell, self.clock)
        self.task = asyncio.create_task(deliveries.run(), name="callbacks")

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task

    async def kept(self, seq: int) -> Callback:
        found = await self.store.records.get(Callback, seq)
        assert found is not None
        return found

    async def settled(self, seq: int, attempts: int = 1) -> Callback:
        """A callback, once so many attempts were written down."""
        async with asyncio.timeout(30):
            while (found := await self.kept(seq)).attempts < attempts:
                await asyncio.sleep(0.002)
        return found


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    clock, post = FreeClock(), HeldPost()
    store = await open_store(tmp_path / "data", clock=clock)
    environments = Environments(store, clock)
    await environments.open()
    callbacks = Callbacks(store, post, clock, environments, lambda count: b"r" * count)
    house = House(store, clock, post, callbacks)
    yield house
    await house.stop()
    await store.close()


async def test_a_slow_host_holds_up_nobody_else(house: House) -> None:
    await house.due(*range(1, 3 * AT_ONCE), host="slow")
    await house.due(1000, host="quick")
    house.start()
    await until(lambda: house.post.peaks["https://quick/"], "the other host's turn")
    await until(lambda: house.post.peaks["https://slow/"] >= PER_HOST, "the slow host's own share")
    assert house.post.peaks["https://slow/"] == PER_HOST
    assert len(house.post.held) <= AT_ONCE


async def test_everything_due_is_sent_once(house: House) -> None:
    house.post.open = True
    await house.due(*range(1, 101), host="a")
    await house.due(*range(101, 201), host="b")
    house.start()
    for seq in (*range(1, 201),):
        assert (await house.settled(seq)).delivered_at is not None
    assert Counter(headers["webhook-id"] for _, headers, _ in house.post.sent) == {
        f"fc-{seq}": 1 for seq in range(1, 201)
    }


async def test_a_failure_is_tried_again_later_and_given_up_after_a_day(house: House) -> None:
    house.post.open, house.post.failure = True, NotDelivered("The receiver answered 500.")
    await house.due(1)
    house.start()
    attempts, begun = 1, house.clock.now()
    while (kept := await house.settled(1, attempts)).due_at is not None:
        assert kept.last_error == "The receiver answered 500."
        assert len(house.post.sent) == attempts, "not before its time"
        house.clock.advance(kept.due_at - house.clock.now())
        house.callbacks.news.set()
        attempts += 1
    assert kept.failed_at is not None
    assert kept.failed_at - begun <= GIVE_UP_AFTER_S
    assert attempts > 20


async def test_what_was_under_way_when_the_server_stopped_is_sent_again(house: House) -> None:
    await house.due(1)
    house.start()
    await until(lambda: house.post.held, "the first attempt")
    await house.stop()
    assert (await house.kept(1)).due_at is not None
    house.post.open = True
    house.callbacks.news.set()
    house.start()
    assert (await house.settled(1)).delivered_at is not None


async def test_a_store_that_is_away_makes_no_receiver_hear_it_twice(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.callbacks.secrets(ROOT, "main")
    await house.due(1)
    house.start()
    await until(lambda: house.post.held, "the attempt")
    keep, refused = house.callbacks.keep, []

    async def away(callback: Callback) -> None:
        refused.append(callback)
        raise Unavailable("The store is away.")

    monkeypatch.setattr(house.callbacks, "keep", away)
    house.post.open = True
    house.post.held[0][1].set_result(None)
    await until(lambda: refused, "the refused write")
    for _ in range(5):
        house.callbacks.news.set()
        await asyncio.sleep(0.01)
    monkeypatch.setattr(house.callbacks, "keep", keep)
    house.clock.advance(1)
    assert (await house.settled(1)).delivered_at is not None
    assert len(house.post.sent) == 1


async def test_a_call_that_is_no_longer_kept_is_given_up(house: House) -> None:
    house.bodies[1] = None
    await house.due(1)
    house.start()
    assert (await house.settled(1)).failed_at is not None
    assert not house.post.sent


async def test_a_fault_of_the_loop_is_its_end(house: House) -> None:
    async def broken(seq: int) -> tuple[str, bytes | None]:
        raise KeyError(seq)

    house.tell = broken  # type: ignore[method-assign]
    await house.due(1)
    house.start()
    assert house.task is not None
    with pytest.raises(KeyError):
        await asyncio.wait_for(house.task, 30)
    house.task = None


async def test_replaced_secrets_sign_for_a_day(house: House) -> None:
    (first,) = await house.callbacks.secrets(ROOT, "main")
    now = await house.callbacks.rotate(ROOT, "main")
    assert [secret.number for secret in now] == [2, 1]
    assert now[0].expires_at is None
    house.clock.advance(86_399)
    assert len(await house.callbacks.secrets(ROOT, "main")) == 2
    house.clock.advance(1)
    assert [secret.number for secret in await house.callbacks.secrets(ROOT, "main")] == [2]
    await house.callbacks.rotate(ROOT, "main")
    assert await house.store.records.get(CallbackSecret, "main", first.number) is None


async def test_there_is_an_end_to_rotating(house: House) -> None:
    await house.callbacks.secrets(ROOT, "main")
    for _ in range(4):
        await house.callbacks.rotate(ROOT, "main")
    with pytest.raises(InUse):
        await house.callbacks.rotate(ROOT, "main")


async def test_two_first_uses_make_one_secret(house: House) -> None:
    one, other = await asyncio.gather(*(house.callbacks.secrets(ROOT, "main") for _ in range(2)))
    assert one == other
