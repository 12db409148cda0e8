"""Looking at calls that end while they are looked at."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.component.pools.rig import Rig
from yurt.domain.records import CallStatus, Role
from yurt.inbound.rest.lines import blocks_of_list
from yurt.pools.live_map import NewMap
from yurt.ports import CallFilter
from yurt.usecases.maps import MapDesk
from yurt.usecases.principals import Principal

ANYBODY = Principal("tk-1", Role.ADMIN, None)


def after_a_read(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, method: str, happens: Callable[[], Awaitable[None]]
) -> None:
    """Let something happen once after calls were read from the store, and before what was read is used."""
    read = getattr(rig.store.calls, method)

    async def reading(*values: Any, **named: Any) -> Any:
        found = await read(*values, **named)
        monkeypatch.undo()
        await happens()
        return found

    monkeypatch.setattr(rig.store.calls, method, reading)


async def test_a_map_that_ends_as_it_is_looked_at_is_told_as_it_ended(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, calls = await rig.deploy(), rig.desk()
    upload = MapDesk(rig.heart, rig.store, rig.tags, rig.clock, calls._callbacks).upload(
        ANYBODY, pool.live, NewMap("tk-1")
    )
    await upload.run(blocks_of_list([b"{}"]))
    box = await rig.container()

    async def ends() -> None:
        box.answer(box.inputs[0])
        await rig.settle()
        assert not rig.heart.maps.open

    after_a_read(rig, monkeypatch, "get", ends)
    view, _ = await calls.get(ANYBODY, rig.tags.call_id(upload.map.seq))
    assert view.inputs is not None
    assert (view.status, view.inputs.counts.success) == (CallStatus.SUCCESS, 1)


async def test_a_call_that_ends_as_calls_are_listed_is_told_as_it_ended(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.deploy()
    await rig.call()
    box = await rig.container()

    async def ends() -> None:
        box.answer(box.inputs[0])
        await rig.settle()

    after_a_read(rig, monkeypatch, "find", ends)
    (view,) = await rig.desk().find(ANYBODY, CallFilter(), before=None, limit=10, values=False)
    assert view.status is CallStatus.SUCCESS
