"""Each test here runs on the real Nomad and on its double."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.nomad.worlds import World, double_world, real_world


@pytest.fixture(params=["double", "real"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A Nomad with the nodes of the fixture `stack`."""
    if request.param == "double":
        async with double_world() as (found, _double):
            yield found
    else:
        async with real_world(request.getfixturevalue("stack")) as found:
            yield found
