"""Containers that were told to leave, and are not heard of any more."""

from tests.component.pools.rig import Rig
from yurt.pools.members import LEASE_S
from yurt_runner import wire


async def test_a_container_that_leaves_keeps_its_place_until_its_lease_ends_and_no_longer(rig: Rig) -> None:
    await rig.deploy(max_containers=1, timeout_s=3600)
    item = await rig.call()
    box = await rig.container()
    rig.lives.drain(box.pool, box.member, "its node is to be emptied")
    assert len(box.talk.of(wire.DRAIN)) == 1
    await rig.call()
    await rig.tick(LEASE_S - 0.5)
    assert (box.talk.closed, rig.engine.stopped) == (None, [])
    assert [spec.container_id for spec in rig.engine.started] == [box.member.id], "it may run still, and 1 is the most"
    await rig.tick(1)
    assert box.talk.closed == "fenced"
    assert rig.engine.stopped == [box.member.id]
    await rig.tick(1)
    assert item.seq in {frame.seq for frame in (await rig.boot()).inputs}
