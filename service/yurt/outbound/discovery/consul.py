"""Consul as the registry of containers on other machines: two blocking queries, one after another, for ever."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any

import structlog

from yurt.domain.times import rfc3339
from yurt.outbound.discovery.consul_access import PREFIX, Access, Shortfall, access_of, shortfall
from yurt.outbound.discovery.consul_api import ConsulApi, ConsulError, ConsulSettings, TokenUnknown
from yurt.outbound.discovery.consul_awaited import Awaited, why_unfound
from yurt.ports import Address, Found

CONTAINER = "container_id"
"""The key of a service's meta that says which container it is."""

WAIT_S = 50
ANSWER_MAY_TAKE_S = WAIT_S * 1.2 + 10
PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
"""Between questions while Consul is away."""

LOOK_AT_ACCESS_S = 10.0
"""Between two looks at what the token may do."""

FINDING_MAY_TAKE_S = 20.0
"""From a server that listens to Consul's word that its check has passed; with a check every second it is about two."""

log = structlog.get_logger(__name__)


class _AccessChanged(Exception):
    """The token may do something else than before: what Consul hid or showed is to be asked for anew."""


class ConsulDiscovery:
    """`yurt.ports.Discovery` of a cluster whose services Nomad registers.

    The address of a container never changes. So once its check has passed it is known until the container ends,
    whatever becomes of Consul: requests that fail are the gateway's to notice.

    Args:
        look_at_access_s: between two looks at what the token may do, in seconds.
        finding_may_take_s: from a server that listens to its address, in seconds.
    """

    def __init__(
        self,
        settings: ConsulSettings,
        look_at_access_s: float = LOOK_AT_ACCESS_S,
        finding_may_take_s: float = FINDING_MAY_TAKE_S,
    ) -> None:
        self._settings = settings
        self._look_at_access_s = look_at_access_s
        self._known: dict[str, Address] = {}
        self._listed: dict[str, set[str]] = {}
        self._withdrawn: set[str] = set()
        self._awaited = Awaited(finding_may_take_s)
        self._misses_some = False
        self._found: Found | None = None
        self._away: tuple[float, ConsulError] | None = None
        self._access: Access | None = None
        self._shortfall: Shortfall | None = None
        self._watched: dict[str, asyncio.Task[None]] = {}

    async def run(self, found: Found) -> None:
        """See `Discovery.run`."""
        self._found = found
        self._tell()
        try:
            async with ConsulApi(self._settings, ANSWER_MAY_TAKE_S) as consul:
                while True:
                    await self._run_until_access_changes(consul)
        finally:
            self._found = None

    def announce(self, container_id: str, port: int) -> None:  # noqa: ARG002 - where it is, Consul says
        """See `Discovery.announce`."""
        if container_id not in self._known:
            self._awaited.add(container_id)

    def withdraw(self, container_id: str) -> None:
        """See `Discovery.withdraw`."""
        self._awaited.remove([container_id])
        if container_id in self._known:
            self._withdrawn.add(container_id)
            self._forget([container_id])
            self._tell()

    def trouble(self) -> str | None:
        """See `Discovery.trouble`."""
        if self._away is not None:
            since, error = self._away
            said = f"Consul has not answered since {rfc3339(since)}: what it said last is used on, and new web servers"
            return f"{said} are not found. {error.todo}".strip()
        if self._shortfall is not None:
            return f"{self._shortfall.said} New web servers are not found. {self._shortfall.todo}"
        return self._unfound()

    async def _run_until_access_changes(self, consul: ConsulApi) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch_access(consul), name="consul-access")
                index = 0
                while True:
                    names, index = await self._ask(consul, "/v1/catalog/services", index)
                    ours = {name for name, tags in names.items() if self._is_ours(name, tags)}
                    self._watch(group, consul, ours)
        except* _AccessChanged:
            self._watched.clear()
            await asyncio.sleep(PAUSE_S)

    async def _watch_access(self, consul: ConsulApi) -> None:
        """Take note of what the token may do.

        Raises:
            _AccessChanged: it is something else than before.
        """
        while True:
            try:
                before, self._access = self._access, await access_of(consul)
                self._judge(shortfall(self._access, self._settings, given=bool(consul.token())))
                if before not in (None, self._access):
                    raise _AccessChanged
            except ConsulError as error:  # who asks for services takes note of that
                log.debug("consul_access_unknown", reason=str(error))
            self._warn()
            await asyncio.sleep(self._look_at_access_s)

    def _judge(self, found: Shortfall | None) -> None:
        before, self._shortfall = self._shortfall, found
        if found is not None and found != before:
            log.warning("consul_token_insufficient", reason=found.said, todo=found.todo)
        if found is None and before is not None:
            self._awaited.begin_anew()
            log.info("consul_token_sufficient")

    def _warn(self) -> None:
        """Say in the log that servers are not found, once until all are."""
        reason = None if self._away or self._shortfall else self._unfound()
        if reason and not self._misses_some:
            log.warning("web_server_not_found", reason=reason)
        self._misses_some = bool(reason)

    def _unfound(self) -> str | None:
        overdue = self._awaited.overdue()
        return why_unfound(overdue, set().union(*self._listed.values())) if overdue else None

    def _is_ours(self, name: str, tags: list[str]) -> bool:
        return name.startswith(PREFIX) and self._settings.tag in tags

    def _watch(self, group: asyncio.TaskGroup, consul: ConsulApi, ours: set[str]) -> None:
        """Have a task for each service; those of services that are gone end."""
        for name in self._watched.keys() - ours:
            self._watched.pop(name).cancel()
            self._list(name, set())
        for name in ours - self._watched.keys():
            self._watched[name] = group.create_task(self._follow(consul, name), name=f"consul-watch {name}")

    async def _follow(self, consul: ConsulApi, name: str) -> None:
        index = 0
        while True:
            places, index = await self._ask(consul, f"/v1/health/service/{name}", index)
            self._list(name, self._take(places))

    def _list(self, name: str, listed: set[str]) -> None:
        """A service is at the places of these containers, and no longer at those of others."""
        gone = self._listed.pop(name, set()) - listed
        if listed:
            self._listed[name] = listed
        self._forget(gone)

    def _forget(self, containers: Iterable[str]) -> None:
        """Forget those that have ended and that Consul lists no more: it would bring them back."""
        for gone in self._withdrawn.intersection(containers):
            if not any(gone in listed for listed in self._listed.values()):
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
        self._awaited.remove(listed & self._known.keys())
        self._tell()
        return listed

    async def _ask(self, consul: ConsulApi, path: str, index: int) -> tuple[Any, int]:
        """A blocking query, asked until there is an answer; the answer and its index."""
        pause = PAUSE_S
        while True:
            try:
                found, after = await consul.ask(path, **_blocking(index))
            except ConsulError as error:
                if isinstance(error, TokenUnknown):
                    self._heard()
                    self._judge(shortfall(Access(known=False), self._settings))
                else:
                    self._missed(error)
                await asyncio.sleep(pause)
                pause, index = min(2 * pause, LONGEST_PAUSE_S), 0
                continue
            self._heard()
            if after == index:
                continue  # its time was over, and nothing has changed
            # An index that goes back is one of a Consul that began anew.
            return found, (after if after > index else 0)

    def _missed(self, error: ConsulError) -> None:
        if self._away is None:
            self._away = time.time(), error
            log.warning("consul_away", reason=str(error), note="What it said last is used on.")

    def _heard(self) -> None:
        if self._away is not None:
            log.info("consul_back", away_s=round(time.time() - self._away[0], 1))
            self._away = None
            self._awaited.begin_anew()

    def _tell(self) -> None:
        if self._found is not None:
            self._found({name: at for name, at in self._known.items() if name not in self._withdrawn})


def _blocking(index: int) -> dict[str, str]:
    return {"index": str(index), "wait": f"{WAIT_S}s"} if index else {}
