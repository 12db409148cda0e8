"""The loop that scales pools, watches leases and lets recovered inputs go: every second, and when a pool asks."""

import asyncio
from typing import NoReturn

import structlog

from yurt.pools.heart import Heart
from yurt.pools.lives import Lives
from yurt.pools.numbers import Numbers
from yurt.ports import Clock

EVERY_S = 1.0
GAP_S = 1.0
"""A turn that comes so much later than planned means that the server itself was away: all leases start anew."""

SLOW_S = 0.25
log = structlog.get_logger(__name__)


async def watch_containers(heart: Heart, lives: Lives, numbers: Numbers, clock: Clock) -> NoReturn:
    """Observe, decide, apply, for ever."""
    wanted = asyncio.Event()
    heart.functions.scale_wanted = wanted.set
    due = clock.monotonic()
    lives.tick(due, renew=True)  # what came before took its time, and no container could be heard in it
    while True:
        try:
            async with asyncio.timeout(max(0.0, due - clock.monotonic())):
                await wanted.wait()
            wanted.clear()
            heart.functions.scale()
        except TimeoutError:
            now = clock.monotonic()
            late = now - due
            due = now + EVERY_S
            lives.tick(now, renew=late > GAP_S)
            for pool in list(heart.pools.values()):
                heart.recovery.release(pool)
            heart.functions.scale(list(heart.pools.values()))
            heart.settle()
            await numbers.renew()
            if late > SLOW_S:
                log.info("loop_was_late", late_s=round(late, 3))
