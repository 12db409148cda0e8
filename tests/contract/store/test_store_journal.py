"""The promises of `yurt.ports.Journal`."""

import asyncio
from functools import partial

import pytest
from structlog.testing import capture_logs

from tests.contract.store.conftest import Stores
from tests.contract.store.making import LIFE, accept, app, complete, function, pending
from yurt.domain.changes import Change, Remove, Save
from yurt.domain.errors import AlreadyExists, Unavailable
from yurt.domain.records import App, Claim, Environment, Outcome, Progress
from yurt.ports import Store


async def numbers(store: Store) -> list[int]:
    return [item.seq - LIFE for item in await pending(store)]


async def test_a_callback_runs_on_the_loop_once_the_rows_are_visible_to_others(store: Store, stores: Stores) -> None:
    seen: list[tuple[Exception | None, int]] = []
    before = stores.committed("calls")
    store.journal.add([accept(1)], lambda error: seen.append((error, stores.committed("calls"))))
    assert (seen, stores.committed("calls")) == ([], before)  # nothing happens within the turn that added it
    await store.journal.flush()
    assert seen == [(None, before + 1)]


async def test_all_adds_of_one_turn_are_one_transaction(store: Store, stores: Stores) -> None:
    seen: list[int] = []
    for number in range(1, 51):
        store.journal.add([accept(number)], lambda _: seen.append(stores.committed("calls")))
    await store.journal.flush()
    assert seen == [50] * 50


async def test_callbacks_come_in_the_order_of_the_adds(store: Store) -> None:
    order: list[int] = []

    def heard(number: int, _error: Exception | None) -> None:
        order.append(number)

    await store.journal.write(Save(app("ap-0")))
    for number in range(1, 6):
        change = Save(app(f"ap-{number}")) if number == 3 else accept(number)  # the third is refused: the name is taken
        store.journal.add([change], partial(heard, number))
    await store.journal.flush()
    assert order == [1, 2, 3, 4, 5]


async def test_what_callbacks_add_is_written_too(store: Store) -> None:
    store.journal.add([accept(1)], lambda _: store.journal.add([accept(2)]))
    await store.journal.flush()
    await store.journal.flush()
    assert await numbers(store) == [1, 2]


async def test_a_refused_add_takes_none_of_its_group_with_it(store: Store) -> None:
    heard: dict[int, Exception | None] = {}
    first, again = accept(1), accept(1)
    group: list[list[Change]] = [
        [first, Save(app("ap-1"))],
        [accept(2), Save(app("ap-2"))],  # the name is taken
        [Save(Environment("staging", 1.0)), again],  # so is the number
        [accept(3)],
    ]
    for place, changes in enumerate(group):
        store.journal.add(changes, partial(heard.__setitem__, place))
    await store.journal.flush()
    assert isinstance(heard[1], AlreadyExists)
    assert isinstance(heard[2], AlreadyExists)
    assert heard[0] is heard[3] is None
    assert await numbers(store) == [1, 3]
    assert await store.records.get(App, "ap-2") is None
    assert await store.records.get(Environment, "staging") is None, "an add is written whole or not at all"


@pytest.mark.parametrize("broken", [2**70, "\ud800", float("nan"), object()], ids=["big", "surrogate", "nan", "object"])
async def test_a_value_that_cannot_be_stored_refuses_its_add_alone(store: Store, broken: object) -> None:
    bad = Save(Environment(broken, 1.0) if not isinstance(broken, float) else Environment("x", broken))  # type: ignore[arg-type]
    store.journal.add([accept(1)])
    with pytest.raises(Exception, match=r".") as caught:
        await store.journal.write(bad)
    assert not isinstance(caught.value, AlreadyExists | Unavailable)
    assert await numbers(store) == [1]


async def test_changes_apply_in_their_order(store: Store) -> None:
    call = accept(1)
    claim = Claim(call.seq, "co-1", 7, 1.0)
    store.journal.add([Save(Environment("a", 1.0)), Save(Environment("a", 2.0)), Remove(Environment, ("a",))])
    store.journal.add([Remove(Environment, ("b",)), Save(Environment("b", 1.0)), Save(Environment("b", 2.0))])
    store.journal.add([call, Save(claim)])
    store.journal.add([Remove(Claim, (call.seq,)), Save(claim)])
    await store.journal.flush()
    assert await store.records.get(Environment, "a") is None
    assert await store.records.get(Environment, "b") == Environment("b", 2.0)
    assert await store.records.get(Claim, call.seq) == claim


async def test_a_name_may_change_hands_within_one_add(store: Store) -> None:
    await store.journal.write(Save(app("ap-1")), Save(function("fu-1")))
    await store.journal.write(
        Save(app("ap-1", stopped_at=5.0)),
        Save(app("ap-2")),
        Save(function("fu-1", deleted_at=5.0)),
        Save(function("fu-2")),
    )
    assert [found.id for found in await store.records.find(App, {"name": "thumbs", "stopped_at": None})] == ["ap-2"]
    with pytest.raises(AlreadyExists):
        await store.journal.write(Save(function("fu-3")))
    await store.journal.write(Save(function("fu-3", app_id="ap-2")), Save(app("ap-3", environment="staging")))


async def test_an_input_has_one_end_and_it_never_changes(store: Store) -> None:
    call = accept(1)
    await store.journal.write(call)
    await store.journal.write(complete(call, value=b'"first"'))
    await store.journal.write(complete(call, outcome=Outcome.CANCELLED))
    found = await store.calls.get(call.seq)
    assert found is not None
    assert found.result is not None
    assert found.result.value is not None
    assert (found.result.outcome, found.result.value.data) == ("success", b'"first"')


async def test_the_end_of_an_input_clears_all_that_is_kept_of_open_ones(store: Store) -> None:
    calls = [accept(number, priority=number) for number in range(4)]
    await store.journal.write(*calls)
    await store.journal.write(*(Save(Claim(call.seq, "co-1", 7, 1.0)) for call in calls))
    await store.journal.write(*(Save(Progress(call.seq, 2, 1, 0, 8)) for call in calls))
    await store.journal.write(*map(complete, calls[:3]))
    assert await numbers(store) == [3]
    assert [claim.seq for claim in await store.records.find(Claim, {})] == [calls[3].seq]
    assert [item.seq for item in await store.records.find(Progress, {})] == [calls[3].seq]


async def test_a_claim_that_comes_with_the_end_goes_with_it(store: Store) -> None:
    call = accept(1)
    await store.journal.write(call)
    await store.journal.write(complete(call), Save(Claim(call.seq, "co-1", 7, 1.0)))
    assert await store.records.find(Claim, {}) == []


async def test_it_clears_what_an_earlier_life_left(stores: Stores) -> None:
    call = accept(1)
    first = await stores.open()
    await first.journal.write(call, Save(Claim(call.seq, "co-1", 7, 1.0)), Save(Progress(call.seq, 2, 1, 0, 8)))
    await first.close()
    second = await stores.open()
    await second.journal.write(complete(call))
    assert await second.records.find(Claim, {}) == []
    assert await second.records.find(Progress, {}) == []


async def test_it_clears_also_when_the_group_had_to_be_tried_again(store: Store) -> None:
    call = accept(1)
    await store.journal.write(call, Save(Claim(call.seq, "co-1", 7, 1.0)))
    store.journal.add([complete(call), accept(2), accept(2)])  # refused as a whole
    await store.journal.flush()
    assert [claim.seq for claim in await store.records.find(Claim, {})] == [call.seq]
    store.journal.add([complete(call)])
    store.journal.add([accept(3), accept(3)])
    await store.journal.flush()
    assert await store.records.find(Claim, {}) == []


async def test_accepted_and_ended_within_one_turn(store: Store) -> None:
    call = accept(1)
    store.journal.add([call])
    store.journal.add([complete(call)])
    await store.journal.flush()
    found = await store.calls.get(call.seq)
    assert found is not None
    assert found.result is not None
    assert await numbers(store) == []


async def test_a_callback_that_raises_is_logged_and_keeps_nobody_from_hearing(store: Store) -> None:
    heard: list[Exception | None] = []

    def broken(_: Exception | None) -> None:
        raise RuntimeError("on purpose")

    with capture_logs() as logs:
        store.journal.add([accept(1)], broken)
        store.journal.add([accept(2)], heard.append)
        await store.journal.flush()
    assert heard == [None]
    assert [line["event"] for line in logs] == ["journal_callback_failed"]


async def test_ten_thousand_may_wait_and_no_more(store: Store) -> None:
    for number in range(10_000):
        store.journal.add([accept(number)])
    with pytest.raises(Unavailable) as caught:
        store.journal.add([accept(10_000)])
    assert caught.value.reason == "store_unavailable"
    await store.journal.flush()
    store.journal.add([accept(10_000)])


async def test_a_writer_who_goes_away_takes_nothing_back(store: Store) -> None:
    task = asyncio.create_task(store.journal.write(accept(1)))
    await asyncio.sleep(0)
    task.cancel()
    await store.journal.flush()
    assert await numbers(store) == [1]
    assert task.cancelled()


async def test_flush_of_nothing_returns(store: Store) -> None:
    await store.journal.flush()


async def test_an_empty_add_is_called_back(store: Store) -> None:
    heard: list[Exception | None] = []
    store.journal.add([], heard.append)
    await store.journal.flush()
    assert heard == [None]


async def test_closing_commits_what_waits_and_refuses_what_comes(stores: Stores) -> None:
    store = await stores.open()
    heard: list[Exception | None] = []
    store.journal.add([accept(1)], heard.append)
    await store.close()
    assert heard == [None]
    with pytest.raises(Unavailable):
        store.journal.add([accept(2)])
    assert await numbers(await stores.open()) == [1]
