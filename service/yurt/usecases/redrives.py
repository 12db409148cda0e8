"""Redrives: what failed is repeated by new calls, and stays as it is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from yurt.domain.changes import Change, Save
from yurt.domain.errors import CallExpired, NotRedrivable
from yurt.domain.functions import LiveFunction
from yurt.domain.ids import Tags
from yurt.domain.records import Block, Call, CallKind, CallStatus, Payload, Redrive
from yurt.pools.live_map import NewMap
from yurt.ports import CallFilter, Failed, Store
from yurt.usecases.begun import Begun, Envelope
from yurt.usecases.calls import Calls
from yurt.usecases.maps import MapDesk, Upload
from yurt.usecases.principals import Principal
from yurt.usecases.views import View

PORTION_BYTES = 4 << 20
"""Arguments that are in memory at once; a larger one is there alone."""

NAMED = 100
"""New calls of a backlog that are named in the answer."""


@dataclass(slots=True)
class Redriven:
    """What became of a backlog of failed calls.

    Attributes:
        count: of the calls that were repeated.
        seqs: of the first new ones.
        maps_left: failed maps, which are repeated one by one.
    """

    count: int = 0
    seqs: list[int] = field(default_factory=list)
    maps_left: int = 0


class Redrives:
    """Repeats calls, maps, and whole backlogs."""

    def __init__(self, calls: Calls, maps: MapDesk, store: Store, tags: Tags) -> None:
        self._calls = calls
        self._maps = maps
        self._store = store
        self._tags = tags
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def of(self, seq: int) -> int | None:
        """The number of the call that this one repeats, or None."""
        redrive = await self._store.records.get(Redrive, seq)
        return None if redrive is None else redrive.of_seq

    async def latest(self, seq: int) -> int | None:
        """The number of the latest call that repeats this one, or None."""
        found = await self._store.records.find(Redrive, {"of_seq": seq}, limit=1)
        return found[0].seq if found else None

    # ------------------------------------------------------------------ one call

    async def call(self, principal: Principal, live: LiveFunction, failed: View) -> Begun:
        """Begin a new call with what a failed one was given.

        Raises:
            NotRedrivable: it has not ended, or succeeded.
            AppStopped, TooManyPending, Unavailable: it cannot be accepted.
        """
        if failed.status not in (CallStatus.FAILURE, CallStatus.TERMINATED):
            raise self._nothing_to_repeat(failed)
        begun = await self._again(principal, live, failed.call)
        await begun.wait_accepted()
        return begun

    async def _again(self, principal: Principal, live: LiveFunction, call: Call) -> Begun:
        data = await self._calls.bytes_of(call.args)
        envelope = Envelope(data, call.metadata_json, priority=call.priority, target=call.target)

        def note(seq: int) -> tuple[Change, ...]:
            return (Save(Redrive(seq, call.seq)),)

        return await self._calls.begin(principal, live, envelope, CallKind.SPAWN, more=note)

    def _nothing_to_repeat(self, call: View) -> NotRedrivable:
        status = call.status.value
        return NotRedrivable(
            f"{self._tags.call_id(call.call.seq)} is {status}: there is nothing to repeat.",
            extra={"status_of_call": status},
        )

    # ------------------------------------------------------------------ a map

    async def map(self, principal: Principal, live: LiveFunction, failed: View) -> Upload:
        """Accept a new map of the inputs of an ended one that failed or were cancelled, in their order.

        Returns:
            The upload, which is over; its `refusal` says what broke it off.

        Raises:
            NotRedrivable: the map has not ended, or all of its inputs succeeded.
            AppStopped, Unavailable: nothing can be accepted.
        """
        found = failed.inputs
        count = 0 if found is None else found.counts.failure + found.counts.terminated
        if found is None or failed.result is None or not count:
            raise self._nothing_to_repeat(failed)
        call = failed.call
        new = NewMap(principal.token_id, found.record.return_exceptions, call.priority, call.metadata_json, call.target)
        upload = self._maps.upload(principal, live, new)
        upload.map.beside = (Save(Redrive(upload.map.seq, call.seq)),)
        await upload.run(self._failed_inputs(call.seq, count))
        return upload

    async def _failed_inputs(self, seq: int, count: int) -> AsyncIterator[Sequence[bytes]]:
        """The arguments of a map's inputs that did not succeed, a portion at a time.

        Raises:
            CallExpired: some of the `count` inputs are not kept any more.
        """
        known = await self._store.maps.get(seq)
        for block in known[1] if known is not None else ():
            async for portion in self._portions(block):
                yield portion
                count -= len(portion)
        if count:
            raise CallExpired(f"{count} inputs of {self._tags.call_id(seq)} are not kept any more.")

    async def _portions(self, block: Block) -> AsyncIterator[Sequence[bytes]]:
        after = 0
        while rows := await self._store.redrives.inputs(block, after=after, limit_bytes=PORTION_BYTES):
            after = rows[-1].seq
            portion, size = list[bytes](), 0
            for row in rows:
                data = await self._calls.bytes_of(Payload(row.args, row.args_blob))
                if portion and size + len(data) > PORTION_BYTES:
                    yield portion
                    portion, size = [], 0
                portion.append(data)
                size += len(data)
            yield portion

    # ------------------------------------------------------------------ a backlog

    async def backlog(
        self, principal: Principal, live: LiveFunction, outcomes: Sequence[str], since: float
    ) -> Redriven:
        """Repeat the calls of a function that ended so, oldest first; not those that were repeated before, nor maps.

        Of several that ask at once each waits for the one before it, and finds what that has left.

        Args:
            outcomes: of `yurt.domain.records.Outcome`.
            since: accepted at or after, seconds since 1970.

        Raises:
            AppStopped, TooManyPending, Unavailable: no more can be accepted; asking again goes on with the rest.
        """
        turn = self._turns.setdefault(live.function_id, asyncio.Lock())
        async with turn:
            return await self._backlog(principal, live, Failed(live.function_id, tuple(outcomes), since))

    async def _backlog(self, principal: Principal, live: LiveFunction, wanted: Failed) -> Redriven:
        newest = await self._store.calls.find(
            CallFilter(function_id=wanted.function_id), before=None, limit=1, values=False
        )
        after, until, told = 0, newest[0].call.seq if newest else 0, Redriven()
        while after < until:
            rows, after = await self._store.redrives.calls(wanted, after=after, until=until, limit_bytes=PORTION_BYTES)
            begun = [await self._again(principal, live, call) for call in rows if call.kind != CallKind.MAP]
            for one in begun:
                await one.wait_accepted()
            told.count += len(begun)
            told.seqs += [one.seq for one in begun[: NAMED - len(told.seqs)]]
            told.maps_left += len(rows) - len(begun)
        return told
