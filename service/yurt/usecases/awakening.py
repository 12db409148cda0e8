"""From what the store and the engine know to a heart that beats: the start of a server's life."""

from collections.abc import Iterable

import structlog

from yurt.domain.functions import LiveFunction
from yurt.domain.ids import Tags
from yurt.domain.records import App, Container, ContainerState, Function, Revision
from yurt.pools.heart import Heart
from yurt.pools.lives import Lives
from yurt.pools.members import Member
from yurt.ports import Clock, Engine, Observed, Store
from yurt.usecases.registry import Registry
from yurt.usecases.reopening import Reopening

GONE = "It was gone when the server started."
log = structlog.get_logger(__name__)


class Awakening:
    """Takes over what an earlier life of the server left: functions, containers, open inputs."""

    def __init__(
        self, *, store: Store, registry: Registry, heart: Heart, lives: Lives, engine: Engine, tags: Tags, clock: Clock
    ) -> None:
        self._store = store
        self._registry = registry
        self._heart = heart
        self._lives = lives
        self._engine = engine
        self._tags = tags
        self._clock = clock

    async def run(self, observed: Iterable[Observed]) -> None:
        """Fill the heart, in this order: functions, containers, inputs."""
        for live in self._registry.catalog.all():
            self._heart.deploy(live)
        alive = {seen.container_id for seen in observed}
        for record in await self._open_containers():
            if record.id in alive:
                alive.discard(record.id)
                await self._take_over(record)
            else:
                await self._bury(record)
        for stranger in alive:
            log.warning("unknown_container_stopped", container_id=stranger)
            await self._engine.stop(stranger, grace_s=0)
        await Reopening(self._store, self._heart, self._tags).run()

    async def _open_containers(self) -> list[Container]:
        found: list[Container] = []
        for state in (ContainerState.STARTING, ContainerState.READY, ContainerState.DRAINING):
            found += await self._store.records.find(Container, {"state": state})
        return found

    async def _take_over(self, record: Container) -> None:
        pool = self._heart.pools.get(record.function_id)
        function = await self._revision(record)
        if pool is None or function is None or record.fenced or pool.retired_by is not None:
            await self._engine.stop(record.id, grace_s=0)
            await self._bury(record)
            return
        self._lives.adopt(pool, Member(record, function, self._clock.monotonic()))

    async def _bury(self, record: Container) -> None:
        self._lives.save_record(
            record, state=ContainerState.ENDED, ended_at=self._clock.now(), end_reason=record.end_reason or GONE
        )

    async def _revision(self, record: Container) -> LiveFunction | None:
        function = await self._store.records.get(Function, record.function_id)
        revision = await self._store.records.get(Revision, record.function_id, record.revision)
        app = await self._store.records.get(App, function.app_id) if function is not None else None
        if function is None or revision is None or app is None:
            return None
        return self._registry.compose(app, function, revision).live
