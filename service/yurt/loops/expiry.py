"""The loop that ends ephemeral apps whose time is over."""

from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from yurt.domain.errors import Unavailable
from yurt.ports import Clock

EVERY_S = 1.0
log = structlog.get_logger(__name__)


async def expire(clock: Clock, apps: Callable[[float], Awaitable[None]]) -> NoReturn:
    """End ephemeral apps on time."""
    while True:
        try:
            await apps(clock.now())
        except Unavailable as error:
            log.warning("expiry_postponed", reason=str(error))
        await clock.sleep(EVERY_S)
