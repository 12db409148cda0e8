"""Every way to wait has its reason, on the call and in its events, and so has a map that waits so."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from tests.component.pools.rig import Rig
from tests.waiting import until
from yurt.domain.batches import Batches
from yurt.domain.changes import Save
from yurt.domain.functions import Scaling
from yurt.domain.records import CallKind, Role, Timer
from yurt.domain.retry import RetryPolicy
from yurt.domain.timing import Timing
from yurt.inbound.rest.call_shapes import Shaper
from yurt.pools.live_map import NewMap
from yurt.ports import EngineRefused
from yurt.usecases import events
from yurt.usecases.begun import Envelope
from yurt.usecases.events import Events
from yurt.usecases.maps import MapDesk
from yurt.usecases.principals import Principal

ANYBODY = Principal("tk-1", Role.ADMIN, None)
RETRIES = RetryPolicy(1, initial_delay_s=60)


class Stranger:
    """Another program that writes to the store, and so takes it away."""

    def __init__(self, rig: Rig) -> None:
        (path,) = rig.path.glob("*.db")
        self._db = sqlite3.connect(path, isolation_level=None)

    def lock(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def close(self) -> None:
        self._db.close()


@pytest.fixture
def stranger(rig: Rig) -> Iterator[Stranger]:
    """It goes before the store is closed."""
    stranger = Stranger(rig)
    yield stranger
    stranger.close()


@dataclass
class Waits:
    """Begins what is to wait: a call, or a map of one input."""

    rig: Rig
    stranger: Stranger
    as_map: bool

    async def __call__(self) -> int:
        pool, desk = self.rig.heart.pools["fu-1"], self.rig.desk()
        if not self.as_map:
            begun = await desk.begin(ANYBODY, pool.live, Envelope(b"{}"), CallKind.SPAWN)
            await begun.wait_accepted()
            return begun.seq
        maps = MapDesk(self.rig.heart, self.rig.store, self.rig.tags, self.rig.clock, desk._callbacks)
        upload = maps.upload(ANYBODY, pool.live, NewMap("tk-1"))
        await upload.run(_one_input())
        return upload.map.seq

    async def take_store_away(self) -> None:
        """From now on nothing is written, which the journal knows."""
        self.stranger.lock()
        self.rig.store.journal.add([Save(Timer(1, "start", 1.0))])
        await until(lambda: self.rig.store.journal.stats().away, "the store to be away")


async def _one_input() -> AsyncIterator[Sequence[bytes]]:
    yield [b"{}"]


Scene = Callable[[Rig, Waits], Awaitable[int]]


async def queued(rig: Rig, waits: Waits) -> int:
    await rig.deploy(max_containers=2)
    await rig.call()
    await rig.container()
    await rig.call()
    return await waits()


async def container_starting(rig: Rig, waits: Waits) -> int:
    await rig.deploy(max_containers=1)
    seq = await waits()
    await rig.scale()
    return seq


async def max_containers(rig: Rig, waits: Waits) -> int:
    await rig.deploy(max_containers=1)
    await rig.call()
    await rig.container()
    return await waits()


async def filling_batch(rig: Rig, waits: Waits) -> int:
    await rig.deploy(max_containers=2, batches=Batches(3, 60.0))
    seq = await waits()
    await rig.container()
    return seq


def refused(code: str, message: str) -> Scene:
    async def scene(rig: Rig, waits: Waits) -> int:
        rig.engine.refusal = EngineRefused(code, message)
        await rig.deploy()
        seq = await waits()
        await rig.scale()
        await rig.settle()
        return seq

    return scene


async def crash_backoff(rig: Rig, waits: Waits) -> int:
    await rig.deploy()
    seq = await waits()
    await rig.scale()
    (await rig.boot(ready=False)).start_failed()
    await rig.settle()
    return seq


async def retry_backoff(rig: Rig, waits: Waits) -> int:
    await rig.deploy(retries=RETRIES)
    seq = await waits()
    box = await rig.container()
    box.fail(box.inputs[0], "user_error")
    await rig.settle()
    return seq


async def delayed(rig: Rig, waits: Waits) -> int:
    pool = await rig.deploy(max_containers=0)
    begun = await rig.desk().begin(ANYBODY, pool.live, Envelope(b"{}", timing=Timing(30)), CallKind.SPAWN)
    await begun.wait_accepted()
    return begun.seq


async def paused(rig: Rig, waits: Waits) -> int:
    await rig.deploy(max_containers=0)
    return await waits()


async def recovering(rig: Rig, waits: Waits) -> int:
    pool = await rig.deploy()
    seq = await waits()
    await rig.container()
    await rig.reopen(pool)
    return seq


async def store_away_before_a_start(rig: Rig, waits: Waits) -> int:
    await rig.deploy()
    seq = await waits()
    await waits.take_store_away()
    return seq


async def store_away_after_an_attempt(rig: Rig, waits: Waits) -> int:
    await rig.deploy(retries=RETRIES, max_containers=1)
    seq = await waits()
    box = await rig.container()
    await waits.take_store_away()
    box.fail(box.inputs[0], "user_error")
    return seq


SCENES: dict[str, tuple[Scene, str]] = {
    "queued": (queued, "free slot. 1 input of this function is ahead"),
    "container_starting": (container_starting, "A container of demo:work is starting."),
    "max_containers": (max_containers, "demo:work runs 1 of at most 1 containers, and all are busy."),
    "filling_batch": (filling_batch, "a batch of 3 to fill: 1 input is here. It leaves at 2027-01-15T08:01:00"),
    "no_capacity": (refused("no_capacity", "All 8 H100 are in use."), "All 8 H100 are in use."),
    "no_such_gpu": (refused("no_such_gpu", "No node has a T4."), "No node has a T4."),
    "engine_unreachable": (refused("engine_unreachable", "No answer."), "No answer."),
    "crash_backoff": (crash_backoff, "The last start of demo:work failed: ModuleNotFoundError"),
    "retry_backoff": (retry_backoff, "Retrying at 2027-01-15T08:0.*: attempt 1 failed."),
    "delayed": (delayed, "The caller asked to wait until 2027-01-15T08:0"),
    "paused": (paused, "demo:work is paused"),
    "recovering": (recovering, "has just started and is asking"),
    "store_unavailable": (store_away_before_a_start, "The store cannot be written: .*locked.* goes on once it can."),
    "store_unavailable, after an attempt": (store_away_after_an_attempt, "The store cannot be written: .*locked"),
}
HAS_RETRY_AT = {"no_capacity", "no_such_gpu", "engine_unreachable", "crash_backoff", "retry_backoff", "delayed"} | {
    "filling_batch"
}
NOT_OF_MAPS = {"delayed", "recovering"}
"""Maps have no such option; the rig brings none of them into its next life."""


@pytest.mark.parametrize(
    ("name", "as_map"),
    [*((name, False) for name in SCENES), *((name, True) for name in SCENES if name not in NOT_OF_MAPS)],
)
async def test_every_way_to_wait_has_its_reason(rig: Rig, stranger: Stranger, name: str, as_map: bool) -> None:
    scene, message = SCENES[name]
    code = name.partition(",")[0]
    seq = await scene(rig, Waits(rig, stranger, as_map=as_map))
    view, _ = await rig.desk().get(ANYBODY, rig.tags.call_id(seq))
    shown = Shaper(rig.tags).open(view)
    assert (shown["status"], view.call.kind) == ("pending", "map" if as_map else view.call.kind)
    reason = shown["pending_reason"]
    assert isinstance(reason, dict)
    assert (reason["code"], "retry_at" in reason) == (code, code in HAS_RETRY_AT)
    assert re.search(message, reason["message"]), reason["message"]
    async with Events(rig.desk(), rig.logs).follow(ANYBODY, rig.tags.call_id(seq), seq) as following:
        first = await anext(following)
    assert first.view is not None
    assert first.view.pending_reason is not None
    assert (first.kind, first.view.pending_reason.code) == ("pending", code)


@pytest.mark.parametrize("as_map", [False, True])
async def test_a_result_that_waits_for_the_store_is_of_a_running_call(
    rig: Rig, stranger: Stranger, as_map: bool
) -> None:
    await rig.deploy(max_containers=1)
    waits = Waits(rig, stranger, as_map=as_map)
    one, whole = await rig.call(), await waits()
    box = await rig.container()
    box.answer(box.inputs[0])
    await rig.result(one)
    await waits.take_store_away()
    box.answer(box.inputs[1])
    view, _ = await rig.desk().get(ANYBODY, rig.tags.call_id(whole))
    assert (view.status, view.pending_reason) == ("running", None)


async def test_events_tell_each_new_reason(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LOOK_AGAIN_S", 0.01)
    await rig.deploy(max_containers=0, retries=RETRIES)
    item = await rig.call()
    async with Events(rig.desk(), rig.logs).follow(ANYBODY, rig.tags.call_id(item.seq), item.seq) as following:

        async def told() -> str:
            event = await asyncio.wait_for(anext(following), 10)
            reason = event.view.pending_reason if event.view is not None else None
            return reason.code if reason is not None else event.kind

        assert await told() == "paused"
        rig.heart.functions.rescale("fu-1", Scaling(max_containers=1))
        assert await told() == "queued"
        await rig.scale()
        assert await told() == "container_starting"
        box = await rig.boot()
        assert await told() == "state"
        box.fail(box.inputs[0], "user_error")
        await rig.settle()
        assert await told() == "retry_backoff"
        rig.heart.cancel(item, "token")
        assert await told() == "end"


async def test_what_is_only_in_the_store_tells_its_times(rig: Rig) -> None:
    """As after a restart with a long queue, of which only the next ones are in memory."""
    pool = await rig.deploy(retries=RETRIES)
    begun = await rig.desk().begin(ANYBODY, pool.live, Envelope(b"{}", timing=Timing(30)), CallKind.SPAWN)
    await begun.wait_accepted()
    retried = await rig.call()
    box = await rig.container()
    box.fail(box.inputs[0], "user_error")
    await rig.settle()
    rig.heart.inputs.clear()
    codes = []
    for seq in (begun.seq, retried.seq):
        view, _ = await rig.desk().get(ANYBODY, rig.tags.call_id(seq))
        assert view.pending_reason is not None
        codes.append((view.pending_reason.code, view.attempts))
    assert codes == [("delayed", 0), ("retry_backoff", 1)]
