"""From what the store and the engine know to a heart that beats: the start of a server's life."""

from collections.abc import Callable, Iterable

import structlog

from yurt.domain.functions import LiveFunction
from yurt.domain.ids import Tags
from yurt.domain.records import App, Container, ContainerState, Function, Revision
from yurt.pools.heart import Heart
from yurt.pools.lives import Lives
from yurt.pools.members import new_member
from yurt.ports import Clock, Engine, Observed, Report, Store
from yurt.usecases.registry import Registry
from yurt.usecases.reopening import Reopening

GONE = "It was gone when the server started."

FEW = 10
"""Up to so many containers in all, unknown ones are stopped without asking."""

log = structlog.get_logger(__name__)


def are_suspiciously_many(unknown: int, alive: int) -> bool:
    """Whether so many of the containers that live are unknown that rather the store may be wrong: an old copy."""
    return alive > FEW and 2 * unknown > alive


class EarlyReports:
    """Keeps what an engine says of containers before they were taken over.

    An end that nobody heard would hold a container's place for ever.

    Args:
        report: who is to hear it.
    """

    def __init__(self, report: Callable[[Report], None]) -> None:
        self._report = report
        self._kept: list[Report] | None = []

    def __call__(self, report: Report) -> None:
        """The engine says something."""
        if self._kept is None:
            self._report(report)
        else:
            self._kept.append(report)

    def pass_on(self) -> None:
        """Everything was taken over: what was said is heard now, and what is said from now on at once."""
        kept, self._kept = self._kept or [], None
        for report in kept:
            self._report(report)


class Awakening:
    """Takes over what an earlier life of the server left: functions, containers, open inputs.

    Args:
        stop_unknown: containers that the store does not know are stopped, however many they are.

    Attributes:
        note: what the operator must know of what was found, if anything.
    """

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        heart: Heart,
        lives: Lives,
        engine: Engine,
        tags: Tags,
        clock: Clock,
        stop_unknown: bool = False,
    ) -> None:
        self._store = store
        self._registry = registry
        self._heart = heart
        self._lives = lives
        self._engine = engine
        self._tags = tags
        self._clock = clock
        self._stop_unknown = stop_unknown
        self.note: str | None = None

    async def run(self, observed: Iterable[Observed]) -> None:
        """Fill the heart, in this order: functions, containers, inputs."""
        for live in self._registry.catalog.all():
            self._heart.functions.deploy(live)
        alive = {seen.container_id for seen in observed}
        count = len(alive)
        for record in await self._open_containers():
            if record.id in alive:
                alive.discard(record.id)
                await self._take_over(record)
            else:
                await self._bury(record)
        await self._end_unknown(alive, count)
        await Reopening(self._store, self._heart, self._tags).run()

    async def _end_unknown(self, unknown: set[str], alive: int) -> None:
        if not self._stop_unknown and are_suspiciously_many(len(unknown), alive):
            self.note = (
                f"{len(unknown)} of the {alive} containers that live are unknown to the store, which may be an old"
                " copy. They were left alone, and end when their grace without a server is over. Start with"
                " --stop-unknown-containers to end them now."
            )
            log.error("unknown_containers_left_alone", unknown=len(unknown), alive=alive)
            self._lives.leave_alone(unknown)
            return
        for stranger in unknown:
            log.warning("unknown_container_stopped", container_id=stranger)
            await self._engine.stop(stranger, grace_s=0)

    async def _open_containers(self) -> list[Container]:
        found: list[Container] = []
        for state in (ContainerState.STARTING, ContainerState.READY, ContainerState.DRAINING):
            found += await self._store.records.find(Container, {"state": state})
        return found

    async def _take_over(self, record: Container) -> None:
        pool = self._heart.families.home(record.function_id, record.parameters_json)
        function = await self._revision(record)
        if pool is None or function is None or record.fenced or pool.retired_by is not None:
            await self._engine.stop(record.id, grace_s=0)
            await self._bury(record)
            return
        self._lives.adopt(pool, new_member(record, function.of(record.parameters_json), self._clock.monotonic()))

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
