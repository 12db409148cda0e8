"""The promises of `yurt.ports.Retention` and `yurt.ports.Callbacks`, and the changes that serve them."""

from dataclasses import replace

from tests.contract.store.conftest import Stores
from tests.contract.store.making import LIFE, accept, complete
from tests.contract.store.test_store_maps import CALL, a_map, end
from yurt.domain.changes import AcceptInputs, Expire, MapInput, Remove, Save
from yurt.domain.records import (
    AttemptRecord,
    Block,
    Bundle,
    Callback,
    IdempotencyKey,
    Redrive,
    Revision,
    Timer,
    TimerKind,
)
from yurt.domain.retention import OldCall
from yurt.ports import Store


def callback(number: int, host: str = "example.com") -> Callback:
    return Callback(LIFE + number, "main", f"https://{host}/", host)


async def test_a_result_makes_its_callback_due_in_the_same_transaction(store: Store) -> None:
    first, second = accept(1), accept(2)
    await store.journal.write(first, second, Save(callback(1)))
    assert await store.callbacks.due(1e12, busy=(), limit=5) == []
    await store.journal.write(complete(first, finished_at=7.0), complete(second))
    due = replace(callback(1), ended_at=7.0, due_at=7.0)
    assert await store.callbacks.due(7.0, busy=(), limit=5) == [due]
    assert await store.callbacks.due(6.9, busy=(), limit=5) == []


async def test_a_call_that_ends_in_the_group_that_accepts_it_is_told_too(store: Store) -> None:
    call = accept(1)
    await store.journal.write(call, Save(callback(1)), complete(call))
    assert len(await store.callbacks.due(1e12, busy=(), limit=5)) == 1


async def test_callbacks_are_told_also_when_the_server_was_started_again(stores: Stores) -> None:
    store = await stores.open()
    call = accept(1)
    await store.journal.write(call, Save(callback(1)))
    await store.close()
    store = await stores.open()
    await store.journal.write(complete(call, finished_at=9.0))
    (due,) = await store.callbacks.due(9.0, busy=(), limit=5)
    assert due.ended_at == 9.0


async def test_a_second_result_changes_no_callback(store: Store) -> None:
    call = accept(1)
    await store.journal.write(call, Save(callback(1)))
    await store.journal.write(complete(call, finished_at=7.0))
    settled = replace(callback(1), ended_at=7.0, delivered_at=8.0, attempts=1)
    await store.journal.write(Save(settled))
    await store.journal.write(complete(call, finished_at=9.0))
    assert await store.records.get(Callback, call.seq) == settled


async def test_due_callbacks_come_in_order_and_leave_busy_hosts_out(store: Store) -> None:
    hosts = ["a", "b", "a", "c", "b"]
    for number, host in enumerate(hosts):
        await store.journal.write(Save(replace(callback(number, host), ended_at=1.0, due_at=10.0 - number)))

    async def due(*busy: str, limit: int = 10) -> list[int]:
        return [found.seq - LIFE for found in await store.callbacks.due(20.0, busy=busy, limit=limit)]

    assert await due() == [4, 3, 2, 1, 0]
    assert await due(limit=2) == [4, 3]
    assert await due("b") == [3, 2, 0]
    assert await due("a", "b") == [3]
    assert await due("a", "b", "c") == []


async def test_old_calls_come_by_number_with_what_decides(store: Store) -> None:
    ended, open_, told = accept(1, args=b"[12345]"), accept(2, created_at=4.0), accept(3)
    await store.journal.write(ended, open_, told, Save(callback(3)))
    await store.journal.write(complete(ended, value=b"123"), complete(told, finished_at=8.0))
    found = await store.retention.calls(after=0, limit=10)
    assert found == [
        OldCall(LIFE + 1, 1.0, 3.0, undelivered=False, size_bytes=10),
        OldCall(LIFE + 2, 4.0, None, undelivered=False, size_bytes=2),
        OldCall(LIFE + 3, 1.0, 8.0, undelivered=True, size_bytes=3),
    ]
    assert await store.retention.calls(after=LIFE + 1, limit=1) == [found[1]]


async def test_expired_inputs_leave_nothing(store: Store, stores: Stores) -> None:
    gone, kept = accept(1), accept(2)
    await store.journal.write(gone, kept, Save(callback(1)), Save(callback(2)))
    await store.journal.write(complete(gone), complete(kept))
    lost = [Save(AttemptRecord(call.seq, 1, "container_lost", None, None, 2.0, "gone")) for call in (gone, kept)]
    await store.journal.write(*lost)
    await store.journal.write(Expire((gone.seq, LIFE + 99)))
    assert await store.calls.get(gone.seq) is None
    assert await store.calls.get(kept.seq) is not None
    for table in ("calls", "results", "attempts", "callbacks"):
        assert stores.committed(table) == 1, table


async def test_an_expired_map_leaves_nothing(store: Store, stores: Stores) -> None:
    await a_map(store)
    known = await store.maps.get(CALL.seq)
    assert known is not None
    seqs = [block.first_seq + at for block in known[1] for at in range(block.size)]
    await store.journal.write(*map(end, seqs), end(CALL.seq))
    await store.journal.write(Expire((*seqs, CALL.seq)), *(Remove(Block, (CALL.seq, b.first_idx)) for b in known[1]))
    assert await store.maps.get(CALL.seq) is None
    for table in ("calls", "results", "inputs", "maps", "blocks"):
        assert stores.committed(table) == 0, table


async def test_a_key_holds_as_long_as_its_call_is_kept(store: Store, stores: Stores) -> None:
    call = accept(1)
    named = IdempotencyKey("tk-1", "fu-1", "k", call.seq, "00", expires_at=stores.clock.now() + 10)
    await store.journal.write(call, complete(call), Save(named))
    stores.clock.advance(10)
    assert await store.calls.key("tk-1", "fu-1", "k") == named
    await store.journal.write(Expire((call.seq,)))
    assert await store.calls.key("tk-1", "fu-1", "k") is None


async def test_keys_are_over_when_their_time_and_their_call_are_gone(store: Store) -> None:
    call = accept(1)
    rows = [("a", call.seq, 5.0), ("b", LIFE + 7, 5.0), ("c", LIFE + 7, 50.0), ("d", LIFE + 8, 6.0)]
    keys = [IdempotencyKey("tk-1", "fu-1", name, seq, "00", expires) for name, seq, expires in rows]
    await store.journal.write(call, *map(Save, keys))
    found = await store.retention.keys(6.0, after=("", "", ""), limit=10)
    assert [(key.key[2], key.over) for key in found] == [("a", False), ("b", True), ("c", False), ("d", True)]
    assert await store.retention.keys(6.0, after=found[1].key, limit=1) == [found[2]]
    await store.journal.write(*(Remove(IdempotencyKey, key.key) for key in found if key.over))
    assert len(await store.retention.keys(6.0, after=("", "", ""), limit=10)) == 2


async def test_blobs_are_known_by_every_row_that_names_one(store: Store) -> None:
    call, other = accept(1, args=None, args_blob="aa"), accept(2)
    await store.journal.write(call, other)
    await store.journal.write(complete(other, value=None, value_blob="bb"))
    await store.journal.write(Save(Revision("fu-1", 1, "{}", "cc", 1.0, "tk-1")), Save(Bundle("main", "dd", 1, 1.0)))
    await store.journal.write(AcceptInputs((MapInput(LIFE + 3, LIFE + 9, None, "ff"),)))
    found = await store.retention.known_blobs(["aa", "bb", "cc", "dd", "ee", "ff"])
    assert found == {"aa", "bb", "cc", "dd", "ff"}


async def test_what_a_call_repeats_is_forgotten_with_it(store: Store) -> None:
    first, second = accept(1), accept(2)
    await store.journal.write(first, second, complete(first), complete(second))
    await store.journal.write(Save(Redrive(first.seq, 3)), Save(Redrive(second.seq, 4)))
    await store.journal.write(Expire((first.seq,)))
    assert await store.records.find(Redrive, {}) == [Redrive(second.seq, 4)]


async def test_the_timers_of_an_input_go_in_the_transaction_that_ends_it(store: Store) -> None:
    call = accept(1)
    timers = [Timer(call.seq, TimerKind.START, 5.0), Timer(call.seq, TimerKind.EXPIRE, 6.0)]
    await store.journal.write(call, *map(Save, timers))
    await store.journal.write(complete(call), *(Remove(Timer, (call.seq, one.kind)) for one in timers))
    assert await store.records.find(Timer, {}) == []
