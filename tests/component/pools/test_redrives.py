"""Repeating what failed: one call, a map, a backlog."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import pytest

from tests.component.pools.rig import Rig
from yurt.domain.changes import Remove
from yurt.domain.errors import CallExpired, NotRedrivable, Unavailable
from yurt.domain.records import Block, CallKind, Redrive, Role
from yurt.pools.live_map import NewMap
from yurt.pools.pool import Pool
from yurt.usecases import redrives
from yurt.usecases.begun import Envelope
from yurt.usecases.calls import Calls
from yurt.usecases.maps import MapDesk
from yurt.usecases.principals import Principal
from yurt.usecases.redrives import Redrives
from yurt.usecases.views import View

ANYBODY = Principal("tk-1", Role.ADMIN, None)
SINCE_EVER = 0.0


class Desks:
    """What callers ask of one life of the server."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.calls: Calls = rig.desk()
        self.maps = MapDesk(rig.heart, rig.store, rig.tags, rig.clock, self.calls._callbacks)
        self.redrives = Redrives(self.calls, self.maps, rig.store, rig.tags)

    async def view(self, seq: int) -> View:
        """A call as it stands."""
        return (await self.calls.get(ANYBODY, self.rig.tags.call_id(seq)))[0]

    async def spawn(self, pool: Pool, envelope: bytes) -> int:
        """A call."""
        begun = await self.calls.begin(ANYBODY, pool.live, Envelope(envelope), CallKind.SPAWN)
        await begun.wait_accepted()
        return begun.seq

    async def map(self, pool: Pool, envelopes: Sequence[bytes], new: NewMap) -> int:
        """A map."""
        upload = self.maps.upload(ANYBODY, pool.live, new)
        await upload.run(in_blocks(envelopes))
        return upload.map.seq


async def in_blocks(envelopes: Sequence[bytes], size: int = 3) -> AsyncIterator[Sequence[bytes]]:
    for start in range(0, len(envelopes), size):
        yield envelopes[start : start + size]


def numbered(count: int) -> list[bytes]:
    return [b'{"args":[%d]}' % n for n in range(count)]


async def run(rig: Rig, good: set[int] | None = None) -> list[object]:
    """Let one container run all that waits; those whose first argument is in `good` succeed. Returns the arguments."""
    box = await rig.container()
    ran: list[object] = []
    while len(box.inputs) > len(ran):
        frame = box.inputs[len(ran)]
        (said,) = json.loads(frame.payload)["args"]
        ran.append(said)
        if good is None or said in good:
            box.answer(frame)
        else:
            box.fail(frame, "user_error")
        await rig.settle()
    box.hang_up()
    rig.lives.close()
    return ran


async def ended_map(rig: Rig, desks: Desks, pool: Pool, envelopes: Sequence[bytes], new: NewMap, good: set[int]) -> int:
    """A map of which only `good` inputs succeeded."""
    seq = await desks.map(pool, envelopes, new)
    await run(rig, good)
    assert seq not in rig.heart.maps.open
    return seq


KEEPS_GOING = NewMap("tk-1", return_exceptions=True, priority=3, metadata_json='{"job":"a"}')


async def test_a_map_is_repeated_by_a_map_of_what_failed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redrives, "PORTION_BYTES", 30)
    pool, desks = await rig.deploy(max_containers=1), Desks(rig)
    seq = await ended_map(rig, desks, pool, numbered(10), KEEPS_GOING, {0, 4, 5})
    view = await desks.view(seq)
    assert view.status == "success"
    upload = await desks.redrives.map(ANYBODY, pool.live, view)
    found = upload.map
    assert (found.span.size, found.sealed, found.record.truncated, upload.refusal) == (7, True, False, None)
    assert (found.record.return_exceptions, found.accepted.priority) == (True, 3)
    assert found.accepted.metadata_json == '{"job":"a"}'
    assert await desks.redrives.of(found.seq) == seq
    assert await desks.redrives.latest(seq) == found.seq
    waiting = await rig.store.maps.inputs(found.seq, found.span.blocks[0].first_seq, found.span.last_seq, limit=99)
    assert [json.loads(row.args or b"")["args"][0] for row in waiting] == [1, 2, 3, 6, 7, 8, 9]
    assert (await desks.view(seq)).inputs == view.inputs


async def test_what_the_first_failure_cancelled_is_repeated_too(rig: Rig) -> None:
    pool, desks = await rig.deploy(max_containers=1), Desks(rig)
    seq = await ended_map(rig, desks, pool, numbered(8), NewMap("tk-1"), {0, 1})
    upload = await desks.redrives.map(ANYBODY, pool.live, await desks.view(seq))
    assert (upload.map.span.size, upload.map.record.return_exceptions) == (6, False)


async def test_large_inputs_of_a_map_are_repeated_one_by_one(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    large = [b'{"args":["%b"]}' % (letter * 300_000) for letter in (b"a", b"b")]
    pool, desks = await rig.deploy(max_containers=0), Desks(rig)
    seq = await desks.map(pool, [*large, b'{"args":[1]}'], KEEPS_GOING)
    await desks.calls.cancel(ANYBODY, rig.tags.call_id(seq))
    sizes: list[int] = []
    add = rig.heart.maps.add

    async def seen(found: object, envelopes: Sequence[bytes]) -> None:
        sizes.append(len(envelopes))
        await add(found, envelopes)  # type: ignore[arg-type]

    monkeypatch.setattr(rig.heart.maps, "add", seen)
    monkeypatch.setattr(redrives, "PORTION_BYTES", 100_000)
    upload = await desks.redrives.map(ANYBODY, pool.live, await desks.view(seq))
    assert (upload.map.span.size, sizes) == (3, [1, 1, 1])


async def test_maps_that_go_on_or_went_well_are_not_repeated(rig: Rig) -> None:
    pool, desks = await rig.deploy(max_containers=1), Desks(rig)
    seq = await desks.map(pool, numbered(2), KEEPS_GOING)
    with pytest.raises(NotRedrivable) as refused:
        await desks.redrives.map(ANYBODY, pool.live, await desks.view(seq))
    assert refused.value.extra == {"status_of_call": "pending"}
    await run(rig)
    with pytest.raises(NotRedrivable) as refused:
        await desks.redrives.map(ANYBODY, pool.live, await desks.view(seq))
    assert refused.value.extra == {"status_of_call": "success"}


async def test_a_redrive_that_the_store_breaks_off_says_so(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, desks = await rig.deploy(max_containers=1), Desks(rig)
    seq = await ended_map(rig, desks, pool, numbered(8), KEEPS_GOING, set())
    read, reads = rig.store.redrives.inputs, 0

    async def breaks(block: Block, *, after: int, limit_bytes: int) -> object:
        nonlocal reads
        reads += 1
        if reads == 2:
            raise Unavailable("The store cannot be read.")
        return await read(block, after=after, limit_bytes=limit_bytes)

    monkeypatch.setattr(rig.store.redrives, "inputs", breaks)
    monkeypatch.setattr(redrives, "PORTION_BYTES", 1)
    upload = await desks.redrives.map(ANYBODY, pool.live, await desks.view(seq))
    assert upload.refusal is not None
    assert (upload.map.span.size, upload.map.record.truncated) == (1, True)


async def test_inputs_that_are_deleted_meanwhile_are_missed(rig: Rig) -> None:
    pool, desks = await rig.deploy(max_containers=0), Desks(rig)
    seq = await desks.map(pool, numbered(3), KEEPS_GOING)
    await desks.calls.cancel(ANYBODY, rig.tags.call_id(seq))
    view = await desks.view(seq)
    known = await rig.store.maps.get(seq)
    assert known is not None
    await rig.store.journal.write(*(Remove(Block, (seq, block.first_idx)) for block in known[1]))
    with pytest.raises(CallExpired):
        await desks.redrives.map(ANYBODY, pool.live, view)
    assert not rig.heart.maps.open


async def backlog(rig: Rig, pool: Pool, desks: Desks, count: int) -> list[int]:
    """Calls of which those with an even argument failed, and one that is cancelled."""
    seqs = [await desks.spawn(pool, envelope) for envelope in numbered(count)]
    gone = await desks.spawn(pool, b'{"args":[99]}')
    await desks.calls.cancel(ANYBODY, rig.tags.call_id(gone))
    await run(rig, {n for n in range(count) if n % 2})
    return [*seqs, gone]


async def test_a_backlog_is_repeated_once_and_in_order(rig: Rig) -> None:
    pool, desks = await rig.deploy(max_containers=1), Desks(rig)
    seqs = await backlog(rig, pool, desks, 8)
    first, second = await asyncio.gather(
        *(desks.redrives.backlog(ANYBODY, pool.live, ["user_error"], SINCE_EVER) for _ in range(2))
    )
    assert (first.count, second.count) == (4, 0)
    assert [await desks.redrives.of(seq) for seq in first.seqs] == seqs[:8:2]
    cancelled = await desks.redrives.backlog(ANYBODY, pool.live, ["user_error", "cancelled"], SINCE_EVER)
    assert [await desks.redrives.of(seq) for seq in cancelled.seqs] == seqs[8:]
    assert len(await rig.store.records.find(Redrive, {})) == 5


async def test_what_fails_once_more_is_not_repeated_by_the_same_request(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redrives, "PORTION_BYTES", 1)
    pool, desks = await rig.deploy(max_containers=1), Desks(rig)
    await backlog(rig, pool, desks, 4)
    find = rig.store.redrives.calls

    async def failing(*args: object, **options: object) -> object:
        found = await find(*args, **options)  # type: ignore[arg-type]
        for item in list(rig.heart.inputs.values()):
            rig.heart.cancel(item, "token")
        await rig.store.journal.flush()
        return found

    monkeypatch.setattr(rig.store.redrives, "calls", failing)
    for expected in (3, 3):
        told = await desks.redrives.backlog(ANYBODY, pool.live, ["user_error", "cancelled"], SINCE_EVER)
        assert told.count == expected


async def test_a_backlog_is_named_in_bounds_and_leaves_maps(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redrives, "NAMED", 2)
    pool, desks = await rig.deploy(max_containers=0), Desks(rig)
    seqs = [await desks.spawn(pool, envelope) for envelope in numbered(3)]
    seqs.append(await desks.map(pool, numbered(3), KEEPS_GOING))
    for seq in seqs:
        await desks.calls.cancel(ANYBODY, rig.tags.call_id(seq))
    rig.clock.advance(100)
    now = rig.clock.now()
    young = await desks.redrives.backlog(ANYBODY, pool.live, ["cancelled"], now - 50)
    assert (young.count, young.maps_left) == (0, 0)
    told = await desks.redrives.backlog(ANYBODY, pool.live, ["cancelled"], now - 150)
    assert (told.count, len(told.seqs), told.maps_left) == (3, 2, 1)


async def test_a_backlog_without_calls(rig: Rig) -> None:
    pool, desks = await rig.deploy(), Desks(rig)
    assert (await desks.redrives.backlog(ANYBODY, pool.live, ["timeout"], SINCE_EVER)).count == 0
