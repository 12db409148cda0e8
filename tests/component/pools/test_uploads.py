"""Uploads of maps that come to no good end."""

from collections.abc import AsyncIterator, Sequence

import pytest

from tests.component.pools.rig import Rig
from yurt.domain.errors import YurtError
from yurt.domain.records import Role
from yurt.inbound.rest import bodies
from yurt.inbound.rest.lines import blocks_of_lines
from yurt.inbound.rest.problems import RequestTimeout
from yurt.pools.live_map import NewMap
from yurt.usecases.maps import MapDesk, Upload
from yurt.usecases.principals import Principal

ANYBODY = Principal("tk-1", Role.ADMIN, None)


async def stalls(*chunks: bytes) -> AsyncIterator[bytes]:
    """The body of a client that sends so much and then waits: what the door makes of it."""
    for chunk in chunks:
        yield chunk
    raise RequestTimeout(f"Nothing of the body came for {bodies.IDLE_S} seconds.")


async def upload(rig: Rig, blocks: AsyncIterator[Sequence[bytes]]) -> Upload:
    pool, desk = await rig.deploy(max_containers=0), rig.desk()
    maps = MapDesk(rig.heart, rig.store, rig.tags, rig.clock, desk._callbacks)
    begun = maps.upload(ANYBODY, pool.live, NewMap("tk-1"))
    await begun.run(blocks)
    return begun


async def test_half_a_body_keeps_its_whole_lines(rig: Rig) -> None:
    found = await upload(rig, blocks_of_lines(stalls(b'{"args":[1]}\n{"args":[2]}\n{"ar'), 1 << 20))
    assert isinstance(found.refusal, RequestTimeout)
    assert (found.map.span.size, found.map.sealed, found.map.record.truncated) == (2, True, True)


@pytest.mark.parametrize("chunks", [(), (b'{"args":',)])
async def test_half_a_line_is_no_call(rig: Rig, chunks: tuple[bytes, ...]) -> None:
    with pytest.raises(YurtError) as refused:
        await upload(rig, blocks_of_lines(stalls(*chunks), 1 << 20))
    assert isinstance(refused.value, RequestTimeout)
    assert rig.heart.maps.open == {}
