"""Calls with an idempotency key, and how many callers may wait."""

import pytest

from tests.component.pools.rig import Rig
from yurt.domain.errors import TooManyPending, Unavailable
from yurt.domain.records import CallKind, Role
from yurt.usecases import calls, keys
from yurt.usecases.begun import Envelope
from yurt.usecases.principals import Principal
from yurt.usecases.waiters import Waiters

ANYBODY = Principal("tk-1", Role.ADMIN, None)


async def test_a_key_stays_held_until_its_call_is_decided(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "COMMIT_TIMEOUT_S", 0.01)
    monkeypatch.setattr(keys, "WAIT_S", 0.01)
    pool = await rig.deploy()
    desk = rig.desk()
    rig.store.journal.hold()
    for _ in range(2):
        with pytest.raises(Unavailable):
            await desk.begin(ANYBODY, pool.live, Envelope(b"{}"), CallKind.SPAWN, "my-key")
    rig.store.journal.release()
    await rig.settle()
    assert len(rig.heart.inputs) == 1
    begun = await desk.begin(ANYBODY, pool.live, Envelope(b"{}"), CallKind.SPAWN, "my-key")
    assert begun.replayed
    assert list(rig.heart.inputs) == [begun.seq]


def test_the_waiting_have_a_limit() -> None:
    waiters = Waiters(1)
    with waiters:
        with pytest.raises(TooManyPending) as refused:
            waiters.__enter__()
        assert (refused.value.reason, refused.value.retry_after_s) == ("too_many_waiting", 5)
    with waiters:
        assert waiters.count == 1
