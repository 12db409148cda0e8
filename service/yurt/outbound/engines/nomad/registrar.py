"""The jobs of revisions: rendered by Nomad's own parser, registered, and registered again where they changed."""

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog

from yurt.domain.functions import LiveFunction
from yurt.outbound.engines.nomad.client import NomadClient
from yurt.outbound.engines.nomad.errors import NomadError, as_refusal
from yurt.outbound.engines.nomad.settings import NomadSettings
from yurt.outbound.engines.nomad.spec import DIGEST, digest, job_id, spec_of, variables_of

log = structlog.get_logger(__name__)


class Registrar:
    """Keeps the jobs of revisions.

    Args:
        template: the job specification.
    """

    def __init__(self, client: NomadClient, settings: NomadSettings, template: str) -> None:
        self._client = client
        self._settings = settings
        self._template = template
        self._known: dict[str, str] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def learn_all(self, digests: Mapping[str, str]) -> None:
        """These jobs are there, each made of a document with that digest."""
        self._known = dict(digests)

    def forget(self, job: str) -> None:
        """A job is not, or may not be, there any more."""
        self._known.pop(job, None)
        self._locks.pop(job, None)

    def digest(self, function: LiveFunction) -> str:
        """The digest of a revision's document.

        Raises:
            EngineRefused: there can be none.
        """
        return str(self._spec(function)["meta"][DIGEST])

    async def ensure(self, function: LiveFunction) -> str:
        """Have the job of a revision registered as it should be; returns its id.

        Raises:
            EngineRefused: it cannot be, or not now.
        """
        name, digest = job_id(function, self._settings.installation), self.digest(function)
        if self._known.get(name) == digest:
            return name
        async with self._locks.setdefault(name, asyncio.Lock()):
            if self._known.get(name) != digest:
                await self.register(function)
        return name

    async def register(self, function: LiveFunction) -> None:
        """Register the job of a revision, whatever is known of it.

        Raises:
            EngineRefused: it cannot be, or not now.
        """
        try:
            job, variables = await self._render(function)
            await self._client.register(job, self._template, variables)
        except NomadError as error:
            raise as_refusal(error, f"register {function.address}") from error
        self._known[str(job["ID"])] = str(job["Meta"][DIGEST])
        log.info("job_registered", job_id=job["ID"], address=function.address, revision=function.revision)

    async def plan(self, function: LiveFunction) -> dict[str, Any]:
        """The metrics of a revision's container that cannot be placed now; none where it can.

        Raises:
            EngineRefused: there can be no such job.
            NomadError: Nomad could not be asked.
        """
        job, _ = await self._render(function)
        groups = (await self._client.plan(job)).get("FailedTGAllocs") or {}
        return next(iter(groups.values()), None) or {}

    async def _render(self, function: LiveFunction) -> tuple[dict[str, Any], str]:
        variables = variables_of(self._spec(function))
        return await self._client.parse(self._template, variables), variables

    def _spec(self, function: LiveFunction) -> dict[str, Any]:
        """The document of a revision, whose digest changes with the job specification, too."""
        spec = spec_of(function, self._settings)
        spec["meta"][DIGEST] = digest({"document": spec["meta"][DIGEST], "template": self._template})
        return spec
