"""Keeping the cluster as it should be: what is taken over at the start, and the look around every minute."""

import asyncio
import time
from collections.abc import Collection, Iterable

import structlog

from yurt.domain.functions import LiveFunction
from yurt.outbound.engines.nomad.allocations import read
from yurt.outbound.engines.nomad.book import Book, Held, jobs_of
from yurt.outbound.engines.nomad.client import NomadClient
from yurt.outbound.engines.nomad.reconcile import Actions, Job, reconcile
from yurt.outbound.engines.nomad.registrar import Registrar
from yurt.outbound.engines.nomad.spec import job_id, prefix_of, variants_of
from yurt.ports import EngineRefused

log = structlog.get_logger(__name__)


class House:
    """Compares jobs with what there should be, and acts on it.

    Args:
        starting: ids of containers that are being started.
    """

    def __init__(
        self, client: NomadClient, registrar: Registrar, book: Book, starting: Collection[str], installation: str
    ) -> None:
        self._client = client
        self._registrar = registrar
        self._book = book
        self._starting = starting
        self._installation = installation
        self._prefix = prefix_of(installation)
        self._functions: dict[str, LiveFunction] = {}
        self._over_since: dict[str, float] = {}

    def remember(self, function: LiveFunction) -> None:
        """A container of this revision is asked for."""
        for variant in variants_of(function):
            self._functions[job_id(variant, self._installation)] = function

    def function_of(self, job: str) -> LiveFunction | None:
        """The revision that a job is of, as far as that is known."""
        return self._functions.get(job)

    async def adopt(self) -> None:
        """Take over what an earlier server left.

        Raises:
            NomadError: it cannot be seen.
        """
        jobs = await self._look()
        self._registrar.learn_all({job.id: job.digest for job in jobs if not job.parent and not job.over})
        for job in jobs:
            if job.parent and not job.over and job.container_id:
                placed = self._book.allocation(job.id) is not None
                self._book.add(Held(job.container_id, job.id, placed=placed))

    async def tidy(self, functions: Iterable[LiveFunction]) -> list[Held]:
        """Register what is missing or changed, end what nobody knows, forget what is over for long.

        Returns containers without a place that will get none: somebody has stopped their jobs.

        Raises:
            NomadError: Nomad could not be asked, or refused.
        """
        current: dict[str, LiveFunction] = {}
        for function in functions:
            self.remember(function)
            current |= {job_id(variant, self._installation): variant for variant in variants_of(function)}
        before, starting = list(self._book.containers.values()), set(self._starting)
        jobs = await self._look()
        known = {*(held.container_id for held in before), *starting, *self._book.containers, *self._starting}
        self._registrar.learn_all({job.id: job.digest for job in jobs if not job.parent and not job.over})
        wanted = self._digests(current)
        actions = reconcile(jobs, wanted, known, self._ages(jobs))
        await self._act(actions, current)
        waiting = {job.id for job in jobs if job.parent and not job.over}
        return [
            one
            for one in before
            if not one.placed and self._book.allocation(one.job_id) is None and one.job_id not in waiting
        ]

    def _digests(self, functions: dict[str, LiveFunction]) -> dict[str, str]:
        """What the jobs of revisions should be made of; those that cannot be have no job."""
        found = {}
        for name, function in functions.items():
            try:
                found[name] = self._registrar.digest(function)
            except EngineRefused as refused:
                log.info("job_not_rendered", address=function.address, reason=refused.message)
        return found

    async def _look(self) -> list[Job]:
        """All jobs of this installation; the book is renewed on the way."""
        jobs, allocations = await asyncio.gather(
            self._client.jobs(self._prefix), self._client.allocations(self._prefix)
        )
        latest = {one.job_id: one for one in sorted(map(read, allocations.value), key=lambda one: one.index)}
        self._book.renew(latest.values(), allocations.index)
        return jobs_of(jobs.value, latest)

    def _ages(self, jobs: Iterable[Job]) -> dict[str, float]:
        now = time.monotonic()
        over = {job.id for job in jobs if job.parent and job.over}
        self._over_since = {name: self._over_since.get(name, now) for name in over}
        return {name: now - since for name, since in self._over_since.items()}

    async def _act(self, actions: Actions, functions: dict[str, LiveFunction]) -> None:
        if actions.spared:
            log.error("unknown_containers_spared", count=len(actions.spared), examples=actions.spared[:3])
        for name in actions.register:
            try:
                await self._registrar.ensure(functions[name])
            except EngineRefused as refused:
                log.warning("job_not_registered", job_id=name, code=refused.code, reason=refused.message)
        for name in actions.stop:
            log.warning("unknown_container_stopped", job_id=name)
            await self._client.delete(name)
        for name in actions.retire:
            self._registrar.forget(name)
            self._functions.pop(name, None)
            await self._client.delete(name, purge=True)
            log.info("job_removed", job_id=name)
        for name in actions.purge:
            await self._client.delete(name, purge=True)
            self._over_since.pop(name, None)
