"""An endless task that ends is the end of the process, with its reason."""

import asyncio

from tests.waiting import until
from yurt.loops.supervisor import Supervisor


async def test_the_first_task_that_fails_is_the_reason_to_end() -> None:
    supervisor = Supervisor()

    async def breaks() -> None:
        raise LookupError("no such thing")

    async def goes_on() -> None:
        await asyncio.Event().wait()

    supervisor.run("goes-on", goes_on())
    supervisor.run("breaks", breaks())
    await asyncio.wait_for(supervisor.failed.wait(), 30)
    assert supervisor.failure == "the task breaks ended: LookupError('no such thing')"
    await supervisor.stop()


async def test_stopping_is_no_failure() -> None:
    supervisor = Supervisor()
    seen = asyncio.Event()

    async def goes_on() -> None:
        seen.set()
        await asyncio.Event().wait()

    supervisor.run("goes-on", goes_on())
    await until(seen.is_set)
    await supervisor.stop()
    assert supervisor.failure is None
    assert not supervisor.failed.is_set()
