"""The loop that ends what has had its time: ephemeral apps, and logs past their days."""

from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from yurt.domain.errors import Unavailable
from yurt.ports import Clock

EVERY_S = 1.0
LOGS_EVERY_S = 3600.0
log = structlog.get_logger(__name__)


async def expire(
    clock: Clock, apps: Callable[[float], Awaitable[None]], logs: Callable[[float], Awaitable[object]], kept_s: float
) -> NoReturn:
    """End ephemeral apps on time, and once an hour what is older than `kept_s` of the logs."""
    logs_due = clock.monotonic()
    while True:
        try:
            await apps(clock.now())
            if clock.monotonic() >= logs_due:
                logs_due = clock.monotonic() + LOGS_EVERY_S
                await logs(clock.now() - kept_s)
        except Unavailable as error:
            log.warning("expiry_postponed", reason=str(error))
        await clock.sleep(EVERY_S)
