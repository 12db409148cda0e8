"""The loop that starts delayed inputs and retries on time."""

import asyncio
from typing import NoReturn

import structlog

from yurt.domain.errors import Unavailable
from yurt.pools.later import Later
from yurt.pools.timers import Timers
from yurt.ports import Clock

RETRY_S = 1.0
"""How soon a store that cannot be read is asked again, in seconds."""

log = structlog.get_logger(__name__)


async def run_timers(later: Later, timers: Timers, clock: Clock) -> NoReturn:
    """Let what is due happen, for ever."""
    woken = asyncio.Event()
    timers.woken = woken.set
    while True:
        woken.clear()
        try:
            due = await later.fire()
        except Unavailable as error:
            log.warning("timers_not_read", reason=str(error))
            await clock.sleep(RETRY_S)
            continue
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - clock.monotonic())):
                await woken.wait()
        except TimeoutError:
            continue
