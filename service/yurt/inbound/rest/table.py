"""The whole operation table."""

from yurt.inbound.rest import environments
from yurt.inbound.rest.operations import Operation

OPERATIONS: tuple[Operation, ...] = (*environments.OPERATIONS,)
"""Every operation of the REST door; each handler file adds its own."""
