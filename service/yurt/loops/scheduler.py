"""The loop that runs schedules at their ticks."""

import asyncio
from typing import NoReturn

from yurt.ports import Clock
from yurt.usecases.schedules import Schedules

LOOK_EVERY_S = 1.0
"""The longest wait, in seconds: ticks are times of the wall clock, which may be set meanwhile."""


async def run_schedules(schedules: Schedules, clock: Clock) -> NoReturn:
    """Make the calls that are due, for ever."""
    while True:
        next_at = await schedules.fire_due()
        schedules.news.clear()
        wait_s = LOOK_EVERY_S if next_at is None else min(LOOK_EVERY_S, max(0.0, next_at - clock.now()))
        try:
            async with asyncio.timeout(wait_s):
                await schedules.news.wait()
        except TimeoutError:
            continue
