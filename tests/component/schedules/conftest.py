"""Schedules on a real store and a real heart, with a clock that the test sets and containers that it plays."""

import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.component.pools.rig import Rig
from yurt.domain.records import Role
from yurt.pools.queue import Window
from yurt.ports import CallFilter, StoredCall
from yurt.usecases.apps import Apps
from yurt.usecases.catalog import Catalog
from yurt.usecases.environments import Environments
from yurt.usecases.functions import Functions
from yurt.usecases.principals import Principal
from yurt.usecases.registry import Registry
from yurt.usecases.schedules import Schedules, ScheduleView

ROOT = Principal("tk-root", Role.ADMIN, None)
CODE = "def work(): return 1\ndef needs(x, *, y, z=1): return x\n"
EVERY_MINUTE = {"cron": "* * * * *"}
NOON = datetime.fromisoformat("2027-01-15T12:00:00+00:00").timestamp()


def plain(**more: object) -> dict[str, object]:
    """A right definition, with more keys."""
    return {"entrypoint": "main:work", "source": {"files": {"main.py": CODE}}, **more}


@dataclass
class Server:
    """One life of a server without doors."""

    rig: Rig
    registry: Registry
    apps: Apps
    functions: Functions
    schedules: Schedules

    async def deploy(self, schedule: object, app: str = "demo", **keys: object) -> None:
        """Deploy `demo:work` with a schedule, or without one."""
        await self.functions.put_all(ROOT, app, {"work": plain(schedule=schedule, **keys)})

    def only(self) -> ScheduleView:
        """The one schedule that there is."""
        (view,) = self.schedules.find(ROOT, limit=9)
        return view

    async def pass_time(self, seconds: float, *, step: float = 1.0) -> None:
        """Let time pass, with the looks of the loop in it."""
        end = self.rig.clock.now() + seconds
        while self.rig.clock.now() < end:
            self.rig.clock.advance(min(step, end - self.rig.clock.now()))
            await self.look()

    async def look(self) -> None:
        """Look at what is due until nothing is, as the loop does."""
        while (at := await self.schedules.fire_due()) is not None and at <= self.rig.clock.now():
            pass

    async def calls(self) -> list[StoredCall]:
        """The calls that schedules made, the first one first."""
        await self.rig.store.journal.flush()
        wanted = CallFilter(kinds=("schedule",))
        return (await self.rig.store.calls.find(wanted, before=None, limit=1000, values=True))[::-1]

    async def ticks(self) -> list[str | None]:
        """For which ticks calls were made, as times of a day; None for those made by hand."""
        said: list[dict[str, Any]] = [json.loads(one.call.metadata_json or "") for one in await self.calls()]
        return [one["scheduled_for"][11:19] if "scheduled_for" in one else None for one in said]


async def wake(rig: Rig) -> Server:
    """The part of a start that is about apps, functions and schedules."""
    environments = Environments(rig.store, rig.clock)
    await environments.open()
    registry = Registry(
        store=rig.store,
        blobs=rig.blobs,
        clock=rig.clock,
        random_bytes=os.urandom,
        environments=environments,
        catalog=Catalog(),
        deployments=rig.heart.functions,
        capacity=rig.engine.capacity,
    )
    await registry.load()
    for live in registry.catalog.all():
        rig.heart.functions.deploy(live)
    return Server(rig, registry, Apps(registry), Functions(registry), Schedules(registry, rig.desk()))


async def restart(server: Server, down_s: float = 0.0) -> Server:
    """Kill it, and begin again after a time."""
    clock = server.rig.clock
    now, elapsed = clock.time, clock.elapsed
    await server.rig.close()
    clock.time, clock.elapsed = now + down_s, elapsed + down_s
    await server.rig.open()
    return await wake(server.rig)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server with the app `demo`, at noon."""
    rig = Rig(tmp_path / "data")
    rig.clock.time = NOON
    rig.limits = type(rig.limits)(pending=5, window=Window())
    await rig.open()
    server = await wake(rig)
    await server.apps.create(ROOT, name="demo")
    yield server
    await rig.close()
