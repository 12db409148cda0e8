"""Looking a cluster over, before a server relies on it: what is right, what is not, and what to do."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

from yurt.domain.functions import LiveFunction, Scaling
from yurt.domain.web import Kind, Web
from yurt.outbound.engines.nomad.allocations import read
from yurt.outbound.engines.nomad.breaker import Breaker
from yurt.outbound.engines.nomad.capacity import capacity_of
from yurt.outbound.engines.nomad.client import NomadClient, Reply
from yurt.outbound.engines.nomad.clusters import check_acls, check_template, check_version, way_out
from yurt.outbound.engines.nomad.errors import Denied, Missing, NomadError
from yurt.outbound.engines.nomad.jobspecs import read_template
from yurt.outbound.engines.nomad.reasons import lacks_consul
from yurt.outbound.engines.nomad.settings import NomadSettings
from yurt.outbound.engines.nomad.spec import prefix_of, spec_of, variables_of
from yurt.ports import ClusterRefused, EngineRefused, Finding

NOBODY = "yurt-doctor"
"""The id of a job that is not there."""

GROUP = {"Name": "main", "Tasks": [{"Name": "main", "Driver": "raw_exec", "Config": {"command": "true"}}]}
"""Whatever Nomad takes: it looks at a job before it looks at who asks."""

CLOCK_MAY_BE_OFF_S = 10.0
TRIAL_MAY_TAKE_S = 60.0
LOOK_S = 0.2
TRIAL = "import sys, urllib.request\nurllib.request.urlopen(sys.argv[1], timeout=10)\nprint('reached')\n"
REACHED = "reached"
PROBE = LiveFunction("fu-0", "ap-0", "main", "yurt", "trial", 1, "main:f", None, Scaling(), memory_mib=32)


class Doctor:
    """Looks a cluster over with the token of the server.

    Args:
        settings: as the server would have them.
        callback: a path below the public URL that answers 200.
    """

    def __init__(self, settings: NomadSettings, callback: str) -> None:
        self._settings = settings
        self._callback = callback
        self._client = NomadClient(settings, Breaker())

    async def examine(self) -> AsyncGenerator[Finding, None]:
        """Everything, in order; what cannot be looked at because of an earlier finding is left out."""
        try:
            for look in (self._reach, self._acls, self._version, self._clock):
                finding = await look()
                yield finding
                if finding.todo and look in (self._reach, self._acls):
                    return
            async for finding in self._rights():
                yield finding
            nodes, jobspec = await self._nodes(), await self._jobspec()
            for finding in (nodes, await self._gpus(), jobspec):
                yield finding
            if self._settings.finds_servers and not nodes.todo and not jobspec.todo:
                yield await self._consul()
            if not nodes.todo and not jobspec.todo:
                yield await self._trial()
        finally:
            self._client.close()

    async def _reach(self) -> Finding:
        try:
            leader = await self._client.probe("GET", "status/leader")
        except NomadError as error:
            todo = way_out(error, f"Is it at {self._settings.address}? See --nomad-address.")
            return Finding("Nomad", error.message, todo)
        return Finding("Nomad", f"{self._settings.address} answers; the leader is {leader.value}.")

    async def _acls(self) -> Finding:
        try:
            await check_acls(self._client, self._settings)
        except ClusterRefused as refused:
            return Finding("Token", "It cannot be used.", str(refused))
        return Finding("Token", "Nomad knows it." if self._settings.token() else "The cluster has no ACLs.")

    async def _version(self) -> Finding:
        try:
            return Finding("Version", ", ".join(sorted(await check_version(self._client))) or "not told")
        except ClusterRefused as refused:
            return Finding("Version", "Too old.", str(refused))
        except NomadError as error:
            return _lacking("Version", error, 'node { policy = "read" }')

    async def _clock(self) -> Finding:
        reply: Reply = await self._client.probe("GET", "status/leader")
        if not reply.date:
            return Finding("Clock", "Nomad does not say what time it is.")
        off_s = abs(parsedate_to_datetime(reply.date).timestamp() - time.time())
        if off_s > CLOCK_MAY_BE_OFF_S:
            todo = "Have both machines keep the time (NTP): identities of containers are valid for a time."
            return Finding("Clock", f"Nomad's is {off_s:.0f} s off.", todo)
        return Finding("Clock", "as Nomad's, within a few seconds")

    async def _rights(self) -> AsyncIterator[Finding]:
        """Each right by something that needs it and changes nothing."""
        namespace = self._settings.namespace
        job = {"ID": NOBODY, "Name": NOBODY, "Type": "batch", "Namespace": namespace, "TaskGroups": [GROUP]}
        for right, method, path, body in (
            ("list-jobs", "GET", f"jobs?prefix={NOBODY}", None),
            ("read-job", "GET", f"job/{NOBODY}", None),
            ("submit-job", "POST", f"job/{NOBODY}/plan", {"Job": job}),
            ("dispatch-job", "POST", f"job/{NOBODY}/dispatch", {}),
        ):
            yield await self._right(right, method, path, body)

    async def _right(self, right: str, method: str, path: str, body: object) -> Finding:
        scope = f'namespace "{self._settings.namespace}" {{ capabilities = ["{right}", …] }}'
        try:
            await self._client.probe(method, path, body)
        except Denied as error:
            return _lacking(f"Right {right}", error, scope)
        except NomadError as error:
            if "namespace" in error.message and "exist" in error.message:
                return Finding(f"Right {right}", error.message, "See --nomad-namespace.")
        return Finding(f"Right {right}", "there")

    async def _nodes(self) -> Finding:
        settings = self._settings
        try:
            nodes = await self._client.nodes()
        except NomadError as error:
            return _lacking("Nodes", error, 'node { policy = "read" }')
        ready = [node for node in nodes if node.get("Status") == "ready" and node.get("NodePool") == settings.node_pool]
        able = [node for node in ready if _runs(node, settings.driver)]
        if not ready:
            return Finding("Nodes", f"None of {len(nodes)} is ready in node pool {settings.node_pool}.", _POOL)
        if not able:
            return Finding("Nodes", f"{len(ready)} are ready, and none runs {settings.driver}.", _DRIVER)
        return Finding("Nodes", f"{len(ready)} ready, {len(able)} of them with {settings.driver}")

    async def _gpus(self) -> Finding:
        settings = self._settings
        try:
            nodes, used = await asyncio.gather(self._client.nodes(), self._client.devices_in_use())
        except NomadError as error:
            return _lacking("GPUs", error, 'node { policy = "read" }')
        found = capacity_of(nodes, used, {}, settings.gpu_models, node_pool=settings.node_pool)
        has = ", ".join(f"{stock.total} {stock.type} ({stock.free} free)" for stock in found.gpus) or "none"
        odd = ", ".join(f"{count} {model}" for model, count in found.unmapped.items())
        return Finding("GPUs", has, f"No type stands for {odd}: see --gpu-models." if odd else "")

    async def _jobspec(self) -> Finding:
        try:
            template = await asyncio.to_thread(read_template, self._settings.jobspecs)
            await check_template(self._client, self._settings, template)
        except ClusterRefused as refused:
            return Finding("Job specification", "Nomad does not take it.", str(refused))
        return Finding("Job specification", "Nomad takes it.")

    async def _consul(self) -> Finding:
        """Whether there is a node whose Nomad can register servers, by Nomad's own plan."""
        try:
            job = await self._job_of(replace(PROBE, web=Web(Kind.ASGI, "trial")), NOBODY)
            groups = (await self._client.plan(job)).get("FailedTGAllocs") or {}
        except EngineRefused as refused:
            return Finding("Nodes with Consul", refused.message, "See --default-image.")
        except NomadError as error:
            return Finding("Nodes with Consul", error.message, "Nomad does not plan a job.")
        if any(map(lacks_consul, groups.values())):
            return Finding("Nodes with Consul", "No node has a Consul agent that Nomad may read.", _NO_CONSUL)
        return Finding("Nodes with Consul", "at least one")

    async def _trial(self) -> Finding:
        """A task that calls this server, as containers will."""
        name = f"{prefix_of(self._settings.installation)}trial-{secrets.token_hex(4)}"
        try:
            job = await self._trial_job(name)
            await self._client.register(job, "", "")
            async with asyncio.timeout(TRIAL_MAY_TAKE_S):
                return await self._trial_ended(name)
        except EngineRefused as refused:
            return Finding("Trial", refused.message, "See --default-image.")
        except TimeoutError:
            return Finding("Trial", f"No node has run a task within {TRIAL_MAY_TAKE_S:.0f} s.", _CALLBACK)
        except NomadError as error:
            return Finding("Trial", error.message, "Nomad does not let this server run a task.")
        finally:
            with suppress(NomadError):
                await self._client.delete(name, purge=True)

    async def _trial_job(self, name: str) -> dict[str, Any]:
        """The job of a function, but a plain one, whose task calls this server and ends."""
        job = await self._job_of(PROBE, name)
        task = job["TaskGroups"][0]["Tasks"][0]
        task.update(Artifacts=None, Identities=None, Env={})
        task["Config"]["args"] = ["-c", TRIAL, self._settings.public_url + self._callback]
        job.update(ParameterizedJob=None, Meta=None)
        return job

    async def _job_of(self, function: LiveFunction, name: str) -> dict[str, Any]:
        template = await asyncio.to_thread(read_template, self._settings.jobspecs)
        spec = spec_of(function, replace(self._settings, mhz_per_core=100))
        return await self._client.parse(template, variables_of({**spec, "id": name}))

    async def _trial_ended(self, name: str) -> Finding:
        url = self._settings.public_url
        while True:
            for one in map(read, await self._client.allocations_of(name)):
                if one.over:
                    said = await self._output(one.id)
                    if said.splitlines()[-1:] == [REACHED]:
                        return Finding("Trial", f"A task on {one.node} ran, and reached {url}.")
                    why = next((str(event.get("DisplayMessage")) for event in reversed(one.events)), "")
                    return Finding("Trial", f"A task on {one.node} did not reach {url}: {said or why}", _CALLBACK)
            await asyncio.sleep(LOOK_S)

    async def _output(self, allocation_id: str) -> str:
        try:
            return await self._client.last_output(allocation_id, "runner", "stdout") or await self._client.last_output(
                allocation_id, "runner"
            )
        except Missing:
            return ""


_POOL = "See --nomad-node-pool, and whether the nodes are up (nomad node status)."
_DRIVER = "See --nomad-driver, and the drivers of the nodes (nomad node status -self)."
_NO_CONSUL = (
    "Functions that answer HTTP need one on the node. Where it has ACLs, Nomad's agent there needs a token with"
    ' agent_prefix "" { policy = "read" } and service_prefix "" { policy = "write" }.'
)
_CALLBACK = "See --public-url: it must be an address of this server as the nodes reach it."


def _runs(node: Mapping[str, Any], driver: str) -> bool:
    return bool(((node.get("Drivers") or {}).get(driver) or {}).get("Healthy"))


def _lacking(what: str, error: NomadError, policy: str) -> Finding:
    return Finding(what, error.message, f"Give the policy of the token: {policy}")
