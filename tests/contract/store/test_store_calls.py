"""The promises of `yurt.ports.Calls`."""

import json
from dataclasses import replace

import pytest

from tests.contract.store.conftest import Stores
from tests.contract.store.making import LIFE, accept, app, complete, pending
from yurt.domain.changes import Save
from yurt.domain.records import AttemptRecord, Call, Claim, IdempotencyKey, Outcome, Payload, Progress, Result
from yurt.ports import CallFilter, Store, StoredCall


async def numbers(store: Store, wanted: CallFilter, before: int | None = None, limit: int = 100) -> list[int]:
    found = await store.calls.find(wanted, before=None if before is None else LIFE + before, limit=limit, values=True)
    return [stored.call.seq - LIFE for stored in found]


async def test_a_call_and_its_result_come_back_as_they_were_written(store: Store) -> None:
    call = accept(1, priority=-3, metadata_json='{"a":"b"}', args=b"\x00[1]", kind="invoke")
    await store.journal.write(call)
    kept = Call(call.seq, "fu-1", "ap-1", "invoke", "tk-1", -3, 1.0, '{"a":"b"}', Payload(b"\x00[1]"))
    assert await store.calls.get(call.seq) == StoredCall(kept, None)
    await store.journal.write(complete(call, value=b"null"))
    result = Result(call.seq, "success", 2.0, 3.0, 1, 1, "co-1", Payload(b"null"), None)
    assert await store.calls.get(call.seq) == StoredCall(kept, result)


async def test_blobs_and_failures(store: Store) -> None:
    large, failed, never_ran = accept(1, args=None, args_blob="ab"), accept(2, args=b""), accept(3)
    await store.journal.write(large, failed, never_ran)
    await store.journal.write(
        complete(large, value=None, value_blob="cd"),
        complete(failed, outcome=Outcome.USER_ERROR, error_json=b'{"type":"ValueError"}'),
        complete(never_ran, outcome=Outcome.CANCELLED, started_at=None, revision=None, container_id=None, attempts=0),
    )
    first, second, third = [await store.calls.get(call.seq) for call in (large, failed, never_ran)]
    assert first is not None
    assert first.call.args == Payload(None, "ab")
    assert first.result is not None
    assert first.result.value == Payload(None, "cd")
    assert second is not None
    assert second.call.args == Payload(b"")
    assert second.result is not None
    assert (second.result.value, second.result.error_json) == (None, b'{"type":"ValueError"}')
    assert third is not None
    assert third.result == Result(never_ran.seq, "cancelled", None, 3.0, 0, None, None, None, b"{}")


async def test_an_unknown_call_is_none(store: Store) -> None:
    assert await store.calls.get(1) is None


async def test_a_listing_leaves_payloads_in_the_store_if_asked(store: Store) -> None:
    call = accept(1)
    await store.journal.write(call, complete(call))
    (found,) = await store.calls.find(CallFilter(), before=None, limit=5, values=False)
    assert found.call.args == Payload(None)
    assert found.result is not None
    assert found.result.value == Payload(None)
    (found,) = await store.calls.find(CallFilter(), before=None, limit=5, values=True)
    assert found == await store.calls.get(call.seq)


async def test_listings_come_in_pages_newest_first(store: Store) -> None:
    await store.journal.write(*map(accept, range(7)))
    assert await numbers(store, CallFilter(), limit=3) == [6, 5, 4]
    assert await numbers(store, CallFilter(), before=4, limit=3) == [3, 2, 1]
    assert await numbers(store, CallFilter(), before=0) == []


async def many(store: Store) -> None:
    """Calls 0 to 5: of two functions, apps and environments, of several kinds, ended in every way."""
    await store.journal.write(Save(app("ap-1")), Save(app("ap-2", environment="staging")))
    calls = [
        accept(0, kind="invoke", created_at=10.0, metadata_json='{"user":"ann","n":"1"}'),
        accept(1, kind="map", created_at=11.0, metadata_json='{"user":"bob"}'),
        accept(2, created_at=12.0, metadata_json='{"user":"ann","n":"2"}'),
        accept(3, function_id="fu-2", app_id="ap-2", created_at=13.0),
        accept(4, function_id="fu-2", app_id="ap-2", created_at=14.0),
        accept(5, created_at=15.0),
    ]
    await store.journal.write(*calls)
    outcomes = [Outcome.SUCCESS, Outcome.USER_ERROR, Outcome.CANCELLED, Outcome.CRASHED]
    await store.journal.write(*(complete(call, outcome=end) for call, end in zip(calls, outcomes, strict=False)))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (CallFilter(), [5, 4, 3, 2, 1, 0]),
        (CallFilter(function_id="fu-2"), [4, 3]),
        (CallFilter(app_id="ap-1"), [5, 2, 1, 0]),
        (CallFilter(environment="staging"), [4, 3]),
        (CallFilter(environment="nowhere"), []),
        (CallFilter(kinds=("invoke", "map")), [1, 0]),
        (CallFilter(statuses=("pending",)), [5, 4]),
        (CallFilter(statuses=("running",)), [5, 4]),
        (CallFilter(statuses=("success",)), [0]),
        (CallFilter(statuses=("failure",)), [3, 1]),
        (CallFilter(statuses=("terminated",)), [2]),
        (CallFilter(statuses=("success", "pending")), [5, 4, 0]),
        (CallFilter(since=13.0), [5, 4, 3]),
        (CallFilter(metadata={"user": "ann"}), [2, 0]),
        (CallFilter(metadata={"user": "ann", "n": "2"}), [2]),
        (CallFilter(metadata={"user": "an"}), []),
        (CallFilter(function_id="fu-2", environment="main"), []),
        (CallFilter(app_id="ap-1", kinds=("spawn",), statuses=("pending", "terminated"), since=13.0), [5]),
    ],
    ids=str,
)
async def test_every_filter_that_is_set_must_match(store: Store, wanted: CallFilter, found: list[int]) -> None:
    await many(store)
    assert await numbers(store, wanted) == found


ODD = ['"', "$", "$.a", "a.b", "%", "_", "'", "\\", "[0]", "", "é", "💡", "a b"]


async def test_metadata_is_compared_character_by_character(store: Store) -> None:
    for number, text in enumerate(ODD):
        await store.journal.write(accept(number, metadata_json=json.dumps({text: text, "same": "x"})))
    for number, text in enumerate(ODD):
        assert await numbers(store, CallFilter(metadata={text: text, "same": "x"})) == [number]
        assert await numbers(store, CallFilter(metadata={text: "other"})) == []


async def test_pending_inputs_come_by_queue_and_urgent_ones_first(store: Store) -> None:
    calls = [accept(number, function_id=f"fu-{number % 3}", priority=number % 5 - 2) for number in range(20)]
    await store.journal.write(*calls)
    ended = [call for call in calls if call.seq % 4 == 0]
    await store.journal.write(*map(complete, ended))
    found = await pending(store, page=4)
    order = sorted(set(calls) - set(ended), key=lambda call: (call.function_id, call.caller, -call.priority, call.seq))
    assert [item.call.seq for item in found] == [call.seq for call in order]


async def test_pending_inputs_tell_what_is_known_of_their_attempts(store: Store) -> None:
    plain, tried, running = map(accept, range(3))
    progress, claim = Progress(tried.seq, 3, 1, 1, 99), Claim(running.seq, "co-1", 7, 5.0)
    await store.journal.write(plain, tried, running, Save(progress), Save(claim))
    known = [(item.progress, item.claim) for item in await pending(store)]
    assert known == [(None, None), (progress, None), (None, claim)]


async def test_attempts_come_by_number(store: Store) -> None:
    attempts = [AttemptRecord(LIFE, number, "container_lost", "co-1", 1.0, 2.0, "gone") for number in (2, 1, 10)]
    other = AttemptRecord(LIFE + 1, 1, "user_error", None, None, 2.0, "")
    await store.journal.write(*map(Save, [*attempts, other]))
    assert [attempt.number for attempt in await store.calls.attempts(LIFE)] == [1, 2, 10]
    assert await store.calls.attempts(LIFE + 1) == [other]


async def test_a_key_is_found_until_it_expires_and_may_then_be_used_again(store: Store, stores: Stores) -> None:
    first = IdempotencyKey("tk-1", "fu-1", "k", 5, "00", expires_at=stores.clock.now() + 10)
    await store.journal.write(Save(first))
    assert await store.calls.key("tk-1", "fu-1", "k") == first
    assert await store.calls.key("tk-2", "fu-1", "k") is None
    assert await store.calls.key("tk-1", "fu-1", "K") is None
    stores.clock.advance(10)
    assert await store.calls.key("tk-1", "fu-1", "k") is None
    second = replace(first, seq=6, expires_at=stores.clock.now() + 10)
    await store.journal.write(Save(second))
    assert await store.calls.key("tk-1", "fu-1", "k") == second
