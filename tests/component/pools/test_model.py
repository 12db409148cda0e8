"""A random walk over the heart: whatever happens, in whatever order, the laws hold and everything ends."""

from random import Random

import pytest

from tests.component.pools.rig import Rig
from tests.component.pools.world import World
from yurt.pools.queue import Window

STEPS = 400


SMALL = Window(stream=3, queue=6, least=1)
"""Nearly all that waits is only in the store."""


@pytest.mark.parametrize("seed", range(40))
async def test_whatever_happens_everything_accepted_ends_once(rig: Rig, seed: int) -> None:
    if seed % 2:
        await rig.resize(SMALL)
    world = World(rig, Random(seed))
    await world.begin()
    try:
        for _ in range(STEPS):
            await world.step()
        world.steps.append("run out")
        await world.run_out()
        await world.retire()
    except AssertionError as error:
        raise AssertionError(f"{error}\nseed {seed}, after {' '.join(world.steps[-40:])}") from error
    finally:
        await world.close()
