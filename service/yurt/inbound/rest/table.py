"""The whole operation table."""

from yurt.inbound.rest import docs, environments, health, tokens
from yurt.inbound.rest.operations import Operation

OPERATIONS: tuple[Operation, ...] = (
    *environments.OPERATIONS,
    *tokens.OPERATIONS,
    *health.OPERATIONS,
    *docs.OPERATIONS,
)
"""Every operation of the REST door; each handler file adds its own. The order is that of the pages."""
