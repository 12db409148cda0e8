"""The registry on a real store, with pools that only take notes."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.clocks import FreeClock
from tests.fakes.blobs import FakeBlobs
from tests.fakes.deployments import FakeDeployments
from tests.fakes.engine import FakeEngine
from yurt.domain.records import Role
from yurt.outbound.sealing import open_ring
from yurt.outbound.store import open_store
from yurt.usecases.apps import Apps
from yurt.usecases.bundles import Bundles
from yurt.usecases.catalog import Catalog
from yurt.usecases.environments import Environments
from yurt.usecases.functions import Functions
from yurt.usecases.principals import Principal
from yurt.usecases.registry import Registry
from yurt.usecases.secrets import Secrets

ROOT = Principal("tk-root", Role.ADMIN, None)
"""Sees everything."""

STAGING = Principal("tk-staging", Role.DEPLOY, "staging")
"""Sees one environment."""

CODE = "def resize(x): return x\ndef crop(x): return x\n"


def plain(**more: object) -> dict[str, object]:
    """A right definition, with more keys."""
    return {"entrypoint": "main:resize", "source": {"files": {"main.py": CODE}}, **more}


@dataclass
class House:
    """Everything that a test of the registry needs."""

    registry: Registry
    apps: Apps
    functions: Functions
    bundles: Bundles
    secrets: Secrets
    catalog: Catalog
    blobs: FakeBlobs
    pools: FakeDeployments
    clock: FreeClock


Open: TypeAlias = Callable[[], AbstractAsyncContextManager[House]]


@pytest.fixture
def open_house(tmp_path: Path) -> Open:
    """Opens the registry of this test's data directory; again after it was closed: a restart."""
    blobs, clock = FakeBlobs(), FreeClock()

    @asynccontextmanager
    async def opened() -> AsyncIterator[House]:
        store = await open_store(tmp_path / "data", clock=clock)
        try:
            environments = Environments(store, clock)
            await environments.open()
            registry = Registry(
                store=store,
                blobs=blobs,
                clock=clock,
                random_bytes=os.urandom,
                environments=environments,
                catalog=Catalog(),
                deployments=FakeDeployments(),
                capacity=FakeEngine().capacity,
            )
            await registry.load()
            pools = registry.deployments
            assert isinstance(pools, FakeDeployments)
            house = House(
                registry,
                Apps(registry),
                Functions(registry),
                Bundles(registry),
                Secrets(registry, open_ring(tmp_path, given=None, file=None, needed=())),
                registry.catalog,
                blobs,
                pools,
                clock,
            )
            await environments.put(ROOT, "staging")
            yield house
        finally:
            await store.close()

    return opened


@pytest.fixture
async def house(open_house: Open) -> AsyncIterator[House]:
    async with open_house() as opened:
        yield opened


Make: TypeAlias = Callable[..., Awaitable[str]]


@pytest.fixture
def deployed(house: House) -> Make:
    """Makes an app with functions of the given names; returns its id."""

    async def make(app: str, *names: str, environment: str = "main") -> str:
        made = await house.apps.create(ROOT, name=app, environment=environment)
        if names:
            await house.functions.put_all(ROOT, made.id, {name: plain() for name in names})
        house.pools.told.clear()
        house.clock.advance(1)
        return made.id

    return make
