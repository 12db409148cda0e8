"""Cancelling what waits, and only that."""

import pytest

from tests.component.pools.rig import Rig
from yurt.domain.errors import Unavailable
from yurt.domain.retry import RetryPolicy
from yurt.usecases import backlog
from yurt.usecases.backlog import Backlog


async def test_what_waits_ends_and_what_runs_goes_on(rig: Rig) -> None:
    pool = await rig.deploy(max_containers=1, retries=RetryPolicy(1, initial_delay_s=60))
    retried = await rig.call()
    box = await rig.container()
    box.fail(box.inputs[0], "user_error")
    await rig.settle()
    running, *waiting = [await rig.call() for _ in range(4)]
    assert await Backlog(rig.heart, rig.clock).cancel("fu-1") == 4
    for item in (retried, *waiting):
        assert (await rig.result(item)).outcome == "cancelled"
    assert (len(pool.queue), pool.held_back) == (0, 0)
    box.answer(box.inputs[-1])
    assert (await rig.result(running)).outcome == "success"
    assert await Backlog(rig.heart, rig.clock).cancel("fu-1") == 0


async def test_only_what_came_before(rig: Rig) -> None:
    await rig.deploy(max_containers=0)
    old = await rig.call()
    rig.clock.advance(10)
    young = await rig.call()
    assert await Backlog(rig.heart, rig.clock).cancel("fu-1", rig.clock.now() - 5) == 1
    assert list(rig.heart.inputs) == [young.seq]
    assert (await rig.result(old)).outcome == "cancelled"


async def test_it_goes_in_batches(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "CANCEL_BATCH", 3)
    await rig.deploy(max_containers=0)
    items = [await rig.call() for _ in range(10)]
    assert await Backlog(rig.heart, rig.clock).cancel("fu-1") == 10
    assert rig.results.keys() == {item.seq for item in items}


async def test_it_is_not_answered_before_it_is_stored(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "COMMIT_TIMEOUT_S", 0.01)
    await rig.deploy(max_containers=0)
    await rig.call()
    rig.store.journal.hold()
    with pytest.raises(Unavailable):
        await Backlog(rig.heart, rig.clock).cancel("fu-1")
    rig.store.journal.release()
