"""Waiting for a condition, with a deadline, instead of sleeping and hoping."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], what: str = "the condition", *, within_s: float = 30) -> None:
    """Return as soon as `condition()` is true.

    Raises:
        AssertionError: it was not true within `within_s` seconds.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while not condition():
        assert loop.time() < deadline, f"{what} did not come true within {within_s} s"
        await asyncio.sleep(0.002)
