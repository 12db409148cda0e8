"""Fixtures of the gateway's tests."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.component.gateway.rig import GatewayRig

Make = Callable[..., Awaitable[GatewayRig]]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes rigs, with fields of `GatewayRig`, that are closed at the end."""
    rigs: list[GatewayRig] = []

    async def made(**fields: Any) -> GatewayRig:
        rigs.append(rig := await GatewayRig(**fields).open())
        return rig

    yield made
    for rig in rigs:
        await rig.close()


@pytest.fixture
async def rig(make: Make) -> GatewayRig:
    """A gateway with everything as it usually is."""
    return await make()
