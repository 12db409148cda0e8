"""What holds over the lives of a store: identity, epochs, what was written, and its end."""

import pytest

from tests.contract.store.conftest import Stores
from tests.contract.store.making import LIFE, accept, app, complete, pending
from yurt.domain.changes import Save
from yurt.domain.errors import Unavailable
from yurt.domain.ids import Tags
from yurt.domain.records import App
from yurt.outbound.store import StoreRefused
from yurt.ports import Store


async def test_a_store_keeps_its_identity(stores: Stores) -> None:
    first = await stores.open()
    await first.close()
    second = await stores.open()
    assert (second.identity.installation, second.identity.key) == (first.identity.installation, first.identity.key)
    assert len(first.identity.key) == 32
    assert first.identity.key.hex() not in repr(first.identity)
    assert Tags(second.identity.key).call_id(7) == Tags(first.identity.key).call_id(7)


async def test_epochs_only_grow_also_when_the_clock_goes_back(stores: Stores) -> None:
    epochs = []
    for jump in (0, 100, -1_000_000, 0, -1_700_000_000, 5_000_000):
        stores.clock.time += jump
        store = await stores.open()
        epochs += [store.identity.epoch, await store.journal.next_epoch(), await store.journal.next_epoch()]
        await store.close()
    assert epochs == sorted(set(epochs))
    assert epochs[0] > 0
    assert epochs[-1] < 2**31


async def test_a_clock_far_ahead_is_refused_and_named(stores: Stores) -> None:
    stores.clock.time = 1_767_225_600 + 2**31
    with pytest.raises(StoreRefused, match=r"clock .* year 2094"):
        await stores.open()
    stores.clock.time -= 1_000_000_000
    await stores.open()


async def test_everything_committed_is_there_in_the_next_life(stores: Stores) -> None:
    store = await stores.open()
    calls = [accept(number) for number in range(100)]
    await store.journal.write(*calls, Save(app("ap-1")))
    await store.journal.write(*map(complete, calls[:50]))
    await store.close()
    store = await stores.open()
    assert [item.call.seq - LIFE for item in await pending(store)] == list(range(50, 100))
    assert await store.records.get(App, "ap-1") == app("ap-1")
    for call in calls[:50]:
        found = await store.calls.get(call.seq)
        assert found is not None
        assert found.result is not None


async def test_closing_twice_is_the_same_as_once(stores: Stores) -> None:
    store = await stores.open()
    await store.close()
    await store.close()
    with pytest.raises(Unavailable):
        await store.calls.get(1)
    assert await store.check() is not None


async def test_a_second_server_is_refused_while_the_first_lives(stores: Stores) -> None:
    first = await stores.open()
    with pytest.raises(StoreRefused, match="in use by another server"):
        await stores.open()
    await first.journal.write(accept(1))
    await first.close()
    await stores.open()


async def test_a_healthy_store_has_nothing_to_report(store: Store) -> None:
    assert await store.check() is None
