"""What a caller asks for beside the arguments of a call."""

import pytest

from tests.component.pools.rig import Rig
from yurt.domain.changes import Expire
from yurt.domain.errors import Invalid
from yurt.domain.records import CallKind, Role
from yurt.usecases.begun import Envelope
from yurt.usecases.principals import Principal

ANYBODY = Principal("tk-1", Role.ADMIN, None)


async def test_a_callers_urgent_input_overtakes_its_others_and_keeps_its_place_over_a_restart(rig: Rig) -> None:
    pool = await rig.deploy(max_containers=1)
    begun = [
        await rig.desk().begin(ANYBODY, pool.live, Envelope(b"{}", priority=priority), CallKind.SPAWN)
        for priority in (0, -10, 10)
    ]
    await rig.settle()
    await rig.reopen(pool)
    box = await rig.container()
    for _ in begun:
        box.answer(box.inputs[-1])
        await rig.settle()
    assert [frame.seq for frame in box.inputs] == [begun[2].seq, begun[0].seq, begun[1].seq]


async def test_the_same_key_with_another_priority_is_another_body(rig: Rig) -> None:
    pool, desk = await rig.deploy(), rig.desk()
    rig.clock.advance(1)
    first = await desk.begin(ANYBODY, pool.live, Envelope(b"{}", priority=1), CallKind.SPAWN, "key")
    again = await desk.begin(ANYBODY, pool.live, Envelope(b"{}", priority=1), CallKind.SPAWN, "key")
    assert (again.seq, again.replayed) == (first.seq, True)
    with pytest.raises(Invalid):
        await desk.begin(ANYBODY, pool.live, Envelope(b"{}", priority=2), CallKind.SPAWN, "key")


async def test_the_same_key_after_eight_days_makes_a_new_call(rig: Rig) -> None:
    pool, desk = await rig.deploy(), rig.desk()
    first = await desk.begin(ANYBODY, pool.live, Envelope(b"{}"), CallKind.INVOKE, "key")
    box = await rig.container()
    box.answer(box.inputs[0])
    await rig.settle()
    rig.clock.advance(8 * 86_400)
    kept = await desk.begin(ANYBODY, pool.live, Envelope(b"{}"), CallKind.INVOKE, "key")
    assert (kept.seq, kept.replayed) == (first.seq, True)
    await rig.store.journal.write(Expire((first.seq,)))
    again = await desk.begin(ANYBODY, pool.live, Envelope(b"{}"), CallKind.INVOKE, "key")
    assert (again.seq != first.seq, again.replayed) == (True, False)
