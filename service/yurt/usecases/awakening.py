"""From what the store and the engine know to a heart that beats: the start of a server's life."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import structlog

from yurt.domain.changes import AcceptMap
from yurt.domain.functions import LiveFunction
from yurt.domain.ids import Tags
from yurt.domain.maps import Counts
from yurt.domain.records import App, Block, Container, ContainerState, Function, Revision, Timer
from yurt.pools.heart import Heart
from yurt.pools.inputs import restore, resumed
from yurt.pools.live_map import LiveMap
from yurt.pools.lives import Lives
from yurt.pools.members import Member
from yurt.ports import Clock, Engine, Observed, OpenMap, PendingInput, Store
from yurt.usecases.registry import Registry

BATCH = 1000
GONE = "It was gone when the server started."
_Timers: TypeAlias = Mapping[int, Sequence[Timer]]
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
        timers = await self._timers()
        await self._inputs(timers)
        await self._maps(timers)

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

    async def _timers(self) -> _Timers:
        timers: defaultdict[int, list[Timer]] = defaultdict(list)
        for timer in await self._store.records.find(Timer, {}):
            timers[timer.seq].append(timer)
        return timers

    async def _inputs(self, timers: _Timers) -> None:
        """Put back every input that has not ended; those of functions that are gone end as cancelled."""
        after: PendingInput | None = None
        count = 0
        while rows := await self._store.calls.pending(after=after, limit=BATCH):
            for row in rows:
                self._heart.restore(restore(row, self._tags.suffix(row.call.seq), timers.get(row.call.seq, ())))
            after, count = rows[-1], count + len(rows)
        if count:
            log.info("inputs_restored", count=count)

    async def _maps(self, timers: _Timers) -> None:
        """Put back every map that has not ended, with its inputs that have not."""
        for opened in await self._store.maps.opened():
            await self._map(opened, timers)

    async def _map(self, opened: OpenMap, timers: _Timers) -> None:
        call = opened.call
        row = AcceptMap(
            call.seq,
            call.function_id,
            call.app_id,
            call.kind,
            call.caller,
            call.priority,
            call.created_at,
            call.metadata_json,
        )
        found = self._heart.maps.restore(row, opened.map)
        counts = [0, 0, 0]
        for block, *ended in opened.blocks:
            found.span.add(block)
            counts = [a + b for a, b in zip(counts, ended, strict=True)]
        found.counts = Counts(*counts)
        if opened.map.failed_seq is not None:
            failed = await self._store.maps.results(opened.map.failed_seq, opened.map.failed_seq, limit=1)
            found.failed = failed[0] if failed else None
        for block, *ended in opened.blocks:
            if sum(ended) < block.size:
                await self._block(found, block, timers)
        self._heart.maps.resume(found)

    async def _block(self, found: LiveMap, block: Block, timers: _Timers) -> None:
        last = block.first_seq + block.size - 1
        for row in await self._store.maps.inputs(block.first_seq, last, limit=block.size):
            index = block.first_idx + row.seq - block.first_seq
            item = self._heart.input_of(found, row.seq, index, row.args, row.args_blob)
            resumed(item, row.progress, row.claim, timers.get(row.seq, ()))
            self._heart.restore(item)
