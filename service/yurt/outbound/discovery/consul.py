"""Consul as the registry of containers on other machines: two blocking queries, one after another, for ever."""

import asyncio
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import structlog

from yurt.domain.times import rfc3339
from yurt.ports import Address, Finding, Found

CONTAINER = "container_id"
"""The key of a service's meta that says which container it is."""

PREFIX = "yurt-"
"""What the names of services of functions begin with."""

WAIT_S = 50
ANSWER_MAY_TAKE_S = WAIT_S * 1.2 + 10
LOOK_MAY_TAKE_S = 10.0
PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
"""Between questions while Consul is away."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ConsulSettings:
    """Which Consul, and whose services.

    Args:
        address: of the agent's HTTP API.
        token: of its ACLs, or empty.
        ca_file: the certificate authority of its TLS; None for those of the machine.
        tag: what services of this installation are marked with.
    """

    address: str
    tag: str
    token: str = field(default="", repr=False)
    ca_file: Path | None = None


class ConsulDiscovery:
    """`yurt.ports.Discovery` of a cluster whose services Nomad registers.

    The address of a container never changes. So once its check has passed it is known until the container ends,
    whatever becomes of Consul: requests that fail are the gateway's to notice.
    """

    def __init__(self, settings: ConsulSettings) -> None:
        self._settings = settings
        self._known: dict[str, Address] = {}
        self._withdrawn: set[str] = set()
        self._found: Found | None = None
        self._away_since: float | None = None
        self._watched: dict[str, asyncio.Task[None]] = {}

    async def run(self, found: Found) -> None:
        """See `Discovery.run`."""
        self._found = found
        self._tell()
        try:
            async with _session(self._settings, ANSWER_MAY_TAKE_S) as session, asyncio.TaskGroup() as group:
                index = 0
                while True:
                    names, index = await self._ask(session, "/v1/catalog/services", index)
                    ours = {name for name, tags in names.items() if self._is_ours(name, tags)}
                    self._watch(group, session, ours)
        finally:
            self._found = None

    def announce(self, container_id: str, port: int) -> None:
        """See `Discovery.announce`: where it is, Consul says."""

    def withdraw(self, container_id: str) -> None:
        """See `Discovery.withdraw`."""
        if container_id in self._known:
            self._withdrawn.add(container_id)
            self._tell()

    def trouble(self) -> str | None:
        """See `Discovery.trouble`."""
        if self._away_since is None:
            return None
        since = rfc3339(self._away_since)
        return (
            f"Consul has not answered since {since}: what it said last is used on, and new web servers are not found."
        )

    def _is_ours(self, name: str, tags: list[str]) -> bool:
        return name.startswith(PREFIX) and self._settings.tag in tags

    def _watch(self, group: asyncio.TaskGroup, session: aiohttp.ClientSession, ours: set[str]) -> None:
        """Have a task for each service; those of services that are gone end."""
        for name in self._watched.keys() - ours:
            self._watched.pop(name).cancel()
        for name in ours - self._watched.keys():
            self._watched[name] = group.create_task(self._follow(session, name), name=f"consul-watch {name}")

    async def _follow(self, session: aiohttp.ClientSession, name: str) -> None:
        index = 0
        listed: set[str] = set()
        while True:
            places, index = await self._ask(session, f"/v1/health/service/{name}", index)
            before, listed = listed, self._take(places)
            for gone in (before - listed) & self._withdrawn:
                self._known.pop(gone, None)
                self._withdrawn.discard(gone)

    def _take(self, places: list[Mapping[str, Any]]) -> set[str]:
        """Take note of what passes its checks; returns every container that is listed."""
        listed = set()
        for place in places:
            service = place["Service"]
            container_id = (service.get("Meta") or {}).get(CONTAINER)
            if not container_id or self._settings.tag not in (service.get("Tags") or []):
                continue
            listed.add(container_id)
            if all(check["Status"] == "passing" for check in place["Checks"]):
                host = service.get("Address") or place["Node"]["Address"]
                self._known[container_id] = Address(host, int(service["Port"]))
        self._tell()
        return listed

    async def _ask(self, session: aiohttp.ClientSession, path: str, index: int) -> tuple[Any, int]:
        """A blocking query, asked until there is an answer; the answer and its index."""
        pause = PAUSE_S
        while True:
            try:
                found, after = await self._ask_once(session, path, index)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                self._missed(error)
                await asyncio.sleep(pause)
                pause, index = min(2 * pause, LONGEST_PAUSE_S), 0
                continue
            self._heard()
            if after == index:
                continue  # its time was over, and nothing has changed
            # An index that goes back is one of a Consul that began anew.
            return found, (after if after > index else 0)

    async def _ask_once(self, session: aiohttp.ClientSession, path: str, index: int) -> tuple[Any, int]:
        async with session.get(self._settings.address + path, params=_blocking(index)) as answer:
            if answer.status != 200:
                raise aiohttp.ClientError(f"{answer.status} {(await answer.text())[:200]}")
            return await answer.json(), int(answer.headers.get("X-Consul-Index", 0))

    def _missed(self, error: Exception) -> None:
        if self._away_since is None:
            self._away_since = time.time()
            log.warning("consul_away", reason=f"{type(error).__name__}: {error}", note="What it said last is used on.")

    def _heard(self) -> None:
        if self._away_since is not None:
            log.info("consul_back", away_s=round(time.time() - self._away_since, 1))
            self._away_since = None

    def _tell(self) -> None:
        if self._found is not None:
            self._found({name: at for name, at in self._known.items() if name not in self._withdrawn})


async def look_over(settings: ConsulSettings) -> Finding:
    """Whether the Consul of the settings answers, has a leader, and lists services to this token."""
    try:
        async with _session(settings, LOOK_MAY_TAKE_S) as session:
            leader = await _read(session, settings.address + "/v1/status/leader")
            names = await _read(session, settings.address + "/v1/catalog/services")
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        todo = f"Is it at {settings.address}? See --consul-address, --consul-token-file, --consul-ca-file."
        return Finding("Consul", f"{type(error).__name__}: {error}", todo)
    if not leader:
        return Finding("Consul", f"{settings.address} answers, and has no leader.", "See its own log.")
    if not names:
        todo = 'The token needs service_prefix "" and node_prefix "" with policy = "read".'
        return Finding("Consul", f"{settings.address} shows this token no service, not even its own.", todo)
    return Finding("Consul", f"{settings.address} answers; the leader is {leader}.")


async def _read(session: aiohttp.ClientSession, url: str) -> Any:
    async with session.get(url) as answer:
        if answer.status != 200:
            raise aiohttp.ClientError(f"{answer.status} {(await answer.text())[:200]}")
        return await answer.json()


def _session(settings: ConsulSettings, answer_may_take_s: float) -> aiohttp.ClientSession:
    """A session with the token and the certificate authority of the settings."""
    is_tls = settings.address.startswith("https://")
    connector = aiohttp.TCPConnector(
        limit=0, ssl=ssl.create_default_context(cafile=settings.ca_file) if is_tls else True
    )
    timeout = aiohttp.ClientTimeout(total=answer_may_take_s, sock_connect=5)
    headers = {"X-Consul-Token": settings.token} if settings.token else {}
    return aiohttp.ClientSession(timeout=timeout, headers=headers, connector=connector)


def _blocking(index: int) -> dict[str, str]:
    return {"index": str(index), "wait": f"{WAIT_S}s"} if index else {}
