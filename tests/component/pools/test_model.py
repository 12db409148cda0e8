"""A random walk over the heart: whatever happens, in whatever order, the laws hold and everything ends."""

from random import Random

import pytest

from tests.component.pools.rig import Rig
from tests.component.pools.world import World

STEPS = 400


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_everything_accepted_ends_once(rig: Rig, seed: int) -> None:
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
