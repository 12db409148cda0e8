"""The loop that starts delayed inputs and retries on time."""

import asyncio
from typing import NoReturn

from yurt.pools.heart import Heart
from yurt.ports import Clock


async def run_timers(heart: Heart, clock: Clock) -> NoReturn:
    """Let what is due happen, for ever."""
    woken = asyncio.Event()
    heart.timers.woken = woken.set
    while True:
        woken.clear()
        due = await heart.fire_timers()
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - clock.monotonic())):
                await woken.wait()
        except TimeoutError:
            continue
