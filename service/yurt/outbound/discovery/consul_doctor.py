"""Looking Consul over, before a server relies on it."""

from collections.abc import AsyncGenerator

from yurt.outbound.discovery.consul_access import Access, access_of, shortfall
from yurt.outbound.discovery.consul_api import ConsulApi, ConsulError, ConsulSettings
from yurt.ports import Finding

LOOK_MAY_TAKE_S = 10.0


async def look_over(settings: ConsulSettings) -> AsyncGenerator[Finding, None]:
    """Whether Consul answers and has a leader, and then, whether the token is good enough."""
    async with ConsulApi(settings, LOOK_MAY_TAKE_S) as consul:
        try:
            leader, _ = await consul.ask("/v1/status/leader")
        except ConsulError as error:
            todo = error.todo or f"Is it at {settings.address}? See --consul-address."
            yield Finding("Consul", str(error), todo)
            return
        if not leader:
            yield Finding("Consul", f"{settings.address} answers, and has no leader.", "See its own log.")
            return
        yield Finding("Consul", f"{settings.address} answers; the leader is {leader}.")
        try:
            access = await access_of(consul)
            yield _of_token(access, settings, given=bool(consul.token()))
        except ConsulError as error:
            yield Finding("Consul token", str(error), error.todo or "Consul does not say what it may: see its own log.")


def _of_token(access: Access, settings: ConsulSettings, *, given: bool) -> Finding:
    if short := shortfall(access, settings, given=given):
        return Finding("Consul token", short.said, short.todo)
    if not access.enforced:
        return Finding("Consul token", "Consul has no ACLs: whoever reaches it can pass for a function.")
    return Finding("Consul token", "It may read the services of functions, and where they are.")
