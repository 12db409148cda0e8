"""The whole operation table."""

from yurt.inbound.rest import (
    apps,
    bundles,
    calls,
    capacity,
    containers,
    deploys,
    docs,
    environments,
    functions,
    health,
    invocations,
    logs,
    maps,
    redrives,
    schedules,
    secrets,
    stats,
    tokens,
)
from yurt.inbound.rest.operations import Operation

OPERATIONS: tuple[Operation, ...] = (
    *invocations.OPERATIONS,
    *maps.OPERATIONS,
    *calls.OPERATIONS,
    *redrives.OPERATIONS,
    *apps.OPERATIONS,
    *functions.OPERATIONS,
    *deploys.OPERATIONS,
    *bundles.OPERATIONS,
    *schedules.OPERATIONS,
    *secrets.OPERATIONS,
    *stats.OPERATIONS,
    *containers.OPERATIONS,
    *capacity.OPERATIONS,
    *logs.OPERATIONS,
    *environments.OPERATIONS,
    *tokens.OPERATIONS,
    *health.OPERATIONS,
    *docs.OPERATIONS,
)
"""Every operation of the REST door; each handler file adds its own. The order is that of the pages, and of the router:
what is called most stands first."""
