"""The Nomad engine: a container is one dispatch of its revision's parameterized job."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import structlog

from yurt.domain.capacity import Capacity
from yurt.domain.functions import LiveFunction
from yurt.domain.times import rfc3339
from yurt.outbound.engines.nomad.allocations import TASK, Allocation, end_of, read
from yurt.outbound.engines.nomad.book import Book, Held
from yurt.outbound.engines.nomad.breaker import Breaker
from yurt.outbound.engines.nomad.client import NomadClient
from yurt.outbound.engines.nomad.clusters import check_cluster, check_template
from yurt.outbound.engines.nomad.errors import NomadError, Unreachable, as_refusal
from yurt.outbound.engines.nomad.house import House
from yurt.outbound.engines.nomad.identity import NomadIdentities
from yurt.outbound.engines.nomad.jobspecs import read_template
from yurt.outbound.engines.nomad.reasons import is_for_ever, why_not
from yurt.outbound.engines.nomad.registrar import Registrar
from yurt.outbound.engines.nomad.settings import NomadSettings
from yurt.outbound.engines.nomad.spec import CONTAINER, prefix_of, variant_for, variants_of
from yurt.outbound.engines.nomad.stock import Stock
from yurt.outbound.engines.nomad.stream import Stream
from yurt.outbound.engines.nomad.watch import Watch
from yurt.pools.background import Background
from yurt.ports import (
    Capabilities,
    ClusterRefused,
    ContainerSpec,
    Ended,
    EngineRefused,
    HeldUp,
    Leaving,
    Observed,
    Placed,
    Report,
)

FORESIGHT_MAY_TAKE_S = 3.0
OUTPUT_MAY_TAKE_S = 3.0
CLOSE_MAY_TAKE_S = 60.0
AGAIN_S = 0.2

VANISHED = "Nomad does not know it any more: somebody purged it, or it was collected."
NOT_PLACED = "It was stopped before it had a place."
GIVEN_UP = "Its node is away, and it was told to end."
UNISOLATED = (
    "Functions without an image are plain processes of the nodes (raw_exec), not isolated from them; unless nomad_user"
    " says otherwise, they run as the user of the nodes' agents."
)
_NO_PARENT = ("parameterized job not found", "is stopped")
log = structlog.get_logger(__name__)


class NomadEngine:
    """`yurt.ports.Engine` for a Nomad cluster.

    Attributes:
        identities: knows its containers by what Nomad gives them.
    """

    def __init__(self, settings: NomadSettings) -> None:
        self.capabilities = Capabilities(
            name="nomad",
            isolates=settings.driver == "docker",
            honours_image=True,
            memory_limit=True,
            notes=() if settings.driver == "docker" else (UNISOLATED,),
            outlives=True,
            kill_after_s=settings.kill_timeout_s,
            web=settings.finds_servers,
        )
        self._settings = settings
        self._breaker = Breaker()
        self._client = NomadClient(settings, self._breaker)
        self._book = Book()
        self._stock = Stock(self._client, self._book, settings)
        self.identities = NomadIdentities(self._client, self._book, settings.namespace)
        self._starting: set[str] = set()
        self._background = Background()
        self._report: Callable[[Report], None] = lambda _: None
        self._fewer = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[NoReturn] | None = None

    # ------------------------------------------------------------------ life

    async def open(self, report: Callable[[Report], None]) -> list[Observed]:
        """See `Engine.open`.

        Raises:
            ClusterRefused: the cluster cannot be reached, or not be used as it is.
        """
        settings, prefix = self._settings, prefix_of(self._settings.installation)
        template = await asyncio.to_thread(read_template, settings.jobspecs)
        await check_cluster(self._client, settings)
        await check_template(self._client, settings, template)
        self._report = report
        self._registrar = Registrar(self._client, settings, template)
        self._house = House(self._client, self._registrar, self._book, self._starting, settings.installation)
        try:
            await self._house.adopt()
            await self.identities.learn()
        except NomadError as error:
            raise ClusterRefused(
                f"Nomad does not say what runs, and who that is: {error.message}. Run yurt doctor."
            ) from error
        observed = [Observed(held.container_id, held.job_id) for held in self._book.containers.values()]
        watch = Watch(
            self._client,
            Stream(settings),
            self._book,
            self._breaker,
            prefix,
            changed=self._consider,
            vanished=self._vanished,
            draining=self._draining,
        )
        self._task = asyncio.create_task(watch.run(), name="nomad-watch")
        return observed

    async def check(self) -> str | None:
        """See `Engine.check`."""
        if self._task is not None and self._task.done():
            return "The Nomad engine has stopped: containers that end are not noticed. Restart the server."
        return self._away_since() if self._breaker.is_open else None

    def _away_since(self) -> str:
        return f"Nomad is not reachable since {rfc3339(self._breaker.since)}: {self._breaker.reason}."

    async def close(self, *, stop_all: bool) -> None:
        """See `Engine.close`.

        Raises:
            TimeoutError: with `stop_all`, a container would not end.
        """
        if self._closing:
            return
        self._closing = True
        try:
            if stop_all and self._task is not None:
                await self._end_all()
        finally:
            self._report = lambda _: None
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
            await self._background.close(grace_s=1)
            self._client.close()

    async def _end_all(self) -> None:
        await asyncio.gather(*(self.stop(name, grace_s=0) for name in list(self._book.containers)))
        async with asyncio.timeout(CLOSE_MAY_TAKE_S):
            while self._book.containers:
                self._fewer.clear()
                await self._fewer.wait()

    # ------------------------------------------------------------------ start and stop

    async def start(self, spec: ContainerSpec) -> str:
        """See `Engine.start`: the reference is the id of the dispatched job."""
        if self._closing or self._task is None:
            raise EngineRefused("engine_unreachable", "The Nomad engine is not open.")
        if spec.container_id in self._book.containers or spec.container_id in self._starting:
            raise ValueError(f"container {spec.container_id} was started before")
        if (away := self.away()) is not None:
            raise away
        self._starting.add(spec.container_id)
        try:
            self._house.remember(spec.function)
            function = await self._variant(spec.function)
            parent = await self._registrar.ensure(function)
            job_id = await self._dispatch(parent, function, spec.container_id)
            self._book.add(Held(spec.container_id, job_id))
        finally:
            self._starting.discard(spec.container_id)
        self._consider(job_id)
        return job_id

    def away(self) -> EngineRefused | None:
        """See `Engine.away`: now and then a start is what finds out whether Nomad is back."""
        if self._breaker.is_open and not self._breaker.may_ask(time.monotonic()):
            return EngineRefused("engine_unreachable", self._away_since())
        return None

    async def _variant(self, function: LiveFunction) -> LiveFunction:
        """The one of a function's variants that can be placed soonest."""
        if len(variants_of(function)) == 1:
            return function
        return variant_for(function, await self._stock.capacity(since=time.monotonic()))

    async def _dispatch(self, parent: str, function: LiveFunction, container_id: str) -> str:
        """Dispatch, once more where that may help; the token keeps it to one container."""
        meta, again = {CONTAINER: container_id}, False
        while True:
            try:
                return await self._client.dispatch(parent, meta, container_id)
            except NomadError as error:
                lost = any(words in error.message for words in _NO_PARENT)
                if again or not (lost or isinstance(error, Unreachable)):
                    raise as_refusal(error, f"start a container of {function.address}") from error
                if lost:
                    await self._registrar.register(function)
                else:
                    await asyncio.sleep(AGAIN_S)
            again = True

    async def stop(self, container_id: str, *, grace_s: float) -> None:  # noqa: ARG002 - Nomad has one time-out per job
        """See `Engine.stop`. It is asked to end, and ended by force after the kill timeout of its job."""
        held = self._book.containers.get(container_id)
        if held is None or held.ending:
            return
        held.stopping, held.unheard = True, False
        try:
            await self._client.delete(held.job_id)
            await self._look_for_allocation(held)
        except NomadError as error:
            log.warning("container_not_stopped", container_id=container_id, reason=error.message)
            held.unheard = True
            return
        self._consider(held.job_id)

    async def _look_for_allocation(self, held: Held) -> None:
        """A stopped container without an allocation has ended: it gets none any more, or what it had was purged."""
        found = await self._client.allocations_of(held.job_id)
        for one in found:
            self._book.see(read(one))
        if found:
            return
        if held.placed:
            self._vanished(held)
        else:
            self._end(held, Ended(held.container_id, NOT_PLACED))

    # ------------------------------------------------------------------ what is seen

    def _consider(self, job_id: str) -> None:
        """Something new is known of a job: report what follows of it."""
        held = self._book.of_job(job_id)
        if held is None or held.ending:
            return
        if held.unheard:
            self._background.run("stop-container", self.stop(held.container_id, grace_s=0))
        allocation = self._book.allocation(job_id)
        if allocation is None:
            metrics = self._book.metrics(job_id)
            if metrics is not None and not held.stopping:
                self._background.run("tell-why-held-up", self._tell_why(held, metrics))
            return
        if not held.placed:
            held.placed = True
            self._report(Placed(held.container_id))
        if allocation.over:
            held.ending = True
            self._background.run("bury-container", self._bury(held, allocation))
        elif held.stopping and allocation.away:
            self._end(held, Ended(held.container_id, GIVEN_UP))

    async def _tell_why(self, held: Held, metrics: Mapping[str, Any]) -> None:
        function = self._house.function_of(held.parent)
        if function is None:
            return
        why = why_not(metrics, function, await self._stock.capacity(since=time.monotonic()))
        if held.placed or held.ending or held.told == why.message:
            return
        held.told = why.message
        self._report(HeldUp(held.container_id, why))

    async def _bury(self, held: Held, allocation: Allocation) -> None:
        output = await self._last_output(allocation) if allocation.crashed else ""
        held.ending = False
        self._end(held, end_of(held.container_id, allocation, output))

    async def _last_output(self, allocation: Allocation) -> str:
        try:
            async with asyncio.timeout(OUTPUT_MAY_TAKE_S):
                return await self._client.last_output(allocation.id, TASK)
        except (NomadError, TimeoutError) as error:
            log.info("last_output_not_read", allocation_id=allocation.id, reason=str(error))
            return ""

    def _vanished(self, held: Held) -> None:
        self._end(held, Ended(held.container_id, VANISHED, taken_away=True))

    def _end(self, held: Held, ended: Ended) -> None:
        if not held.ending:
            held.ending = True
            self._book.remove(held)
            self._fewer.set()
            self._report(ended)

    def _draining(self, node_id: str) -> None:
        for held in self._book.on_node(node_id):
            if not held.stopping:
                self._report(Leaving(held.container_id, "its node is to be emptied"))

    # ------------------------------------------------------------------ what is kept

    async def capacity(self) -> Capacity:
        """See `Engine.capacity`."""
        return await self._stock.capacity()

    async def foresee(self, function: LiveFunction) -> EngineRefused | None:
        """See `Engine.foresee`: by Nomad's own plan. GPUs are left to `capacity`."""
        try:
            async with asyncio.timeout(FORESIGHT_MAY_TAKE_S):
                metrics = await self._registrar.plan(variants_of(function)[0])
        except EngineRefused as refused:
            return refused
        except (NomadError, TimeoutError) as error:
            log.info("deploy_not_foreseen", address=function.address, reason=str(error))
            return None
        if not metrics or not is_for_ever(metrics):
            return None
        return why_not(metrics, function, await self._stock.capacity())

    async def tidy(self, functions: Iterable[LiveFunction]) -> None:
        """See `Engine.tidy`."""
        try:
            stopped = await self._house.tidy(functions)
        except NomadError as error:
            raise as_refusal(error, "compare its jobs with what there should be") from error
        for held in stopped:
            self._end(held, Ended(held.container_id, NOT_PLACED, taken_away=True))
        for job_id in self._book.jobs():
            self._consider(job_id)
