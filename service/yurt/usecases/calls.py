"""Calls: begun, waited for, looked at, listed, cancelled."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TypeAlias

from msgspec import structs

from yurt.domain.changes import Change, Save
from yurt.domain.errors import NotCancellable, NotFound
from yurt.domain.functions import LiveFunction
from yurt.domain.ids import Tags
from yurt.domain.naming import shown
from yurt.domain.records import AttemptRecord, CallKind, IdempotencyKey, Outcome, Payload, Result
from yurt.domain.retention import KEYS_KEPT_S
from yurt.pools.heart import Heart
from yurt.pools.inputs import Input, NewCall, call_of
from yurt.pools.ledger import BLOB_ABOVE_BYTES
from yurt.ports import Blobs, CallFilter, Clock, Store, StoredCall
from yurt.usecases.alarms import Alarms
from yurt.usecases.begun import COMMIT_TIMEOUT_S, Begun, Envelope, not_committed
from yurt.usecases.callbacks import Callbacks
from yurt.usecases.items import ItemBook
from yurt.usecases.keys import KeyDesk, Named
from yurt.usecases.places import Place, Places
from yurt.usecases.principals import Principal
from yurt.usecases.targets import aimed, said_of
from yurt.usecases.views import View, Views, expired
from yurt.usecases.waiters import Waiters

More: TypeAlias = Callable[[int], tuple[Change, ...]]
"""Given a call's number, what to write in the transaction that accepts it."""


def _nothing_more(_seq: int) -> tuple[Change, ...]:
    return ()


def _both(one: More, other: More) -> More:
    return lambda seq: (*one(seq), *other(seq))


class Calls:
    """What a caller can ask of calls.

    Args:
        heart: what is open, in memory.
        store: what has ended.

    Attributes:
        waiters: counts those who wait for a call's end.
        items: what generators yielded.
    """

    def __init__(
        self,
        heart: Heart,
        store: Store,
        blobs: Blobs,
        tags: Tags,
        clock: Clock,
        places: Places,
        callbacks: Callbacks,
    ) -> None:
        self.waiters = Waiters()
        self._alarms = Alarms()
        self._callbacks = callbacks
        self._heart = heart
        self._store = store
        self._blobs = blobs
        self._tags = tags
        self._clock = clock
        self._places = places
        self._keys = KeyDesk(store.calls)
        self._views = Views(heart, store, tags, clock)
        self.items = ItemBook(heart.items, store.items, blobs)

    # ------------------------------------------------------------------ begin

    async def begin(
        self,
        principal: Principal,
        live: LiveFunction,
        envelope: Envelope,
        kind: CallKind,
        key: str | None = None,
        *,
        more: More = _nothing_more,
        waits: bool = False,
    ) -> Begun:
        """Ask for a call. `Begun.wait_accepted` and `Begun.wait` tell what became of it.

        Args:
            key: the caller's name for the call.
            more: what to write with a call that has no key.
            waits: the caller is told nothing before the call's end.

        Raises:
            Invalid: the key was used with another body, or it does not fit the function, which is a class or is not.
            AppStopped, TooManyPending, Unavailable: it cannot be accepted.
        """
        begun = Begun(self._alarms)
        if live.of_class is not None or envelope.method is not None or envelope.parameters:
            target = envelope.target or aimed(live, envelope.method, envelope.parameters)
            envelope = structs.replace(envelope, target=target)
        if key is None:
            await self._accept(principal, live, envelope, kind, begun, more, waits=waits)
            self._heart.hurry()
            return begun
        name = Named(principal.token_id, live.function_id, key)
        said = (envelope.metadata_json or "") + (envelope.callback_url or "") + said_of(envelope.target)
        if envelope.priority:
            said += f"\npriority={envelope.priority}"
        if envelope.timing is not None:
            said += f"\ndelay={envelope.timing.delay_s},queue_timeout={envelope.timing.queue_timeout_s}"
        digest = hashlib.sha256(envelope.payload + said.encode()).hexdigest()
        async with self._keys.reserve(name, digest) as reservation:
            if reservation.seq is not None:
                return await self._replay(reservation.seq, begun)
            expires = self._clock.now() + KEYS_KEPT_S

            def keep(seq: int) -> tuple[Change, ...]:
                return (Save(IdempotencyKey(name.token_id, name.function_id, key, seq, digest, expires)),)

            def decided(error: Exception | None) -> None:
                begun.committed(error)
                reservation.decided()

            await self._accept(principal, live, envelope, kind, begun, keep, decided)
            reservation.undecided = True
            await begun.wait_accepted()
        return begun

    async def _accept(
        self,
        principal: Principal,
        live: LiveFunction,
        envelope: Envelope,
        kind: CallKind,
        begun: Begun,
        more: More = _nothing_more,
        decided: Callable[[Exception | None], None] | None = None,
        *,
        waits: bool = False,
    ) -> None:
        args: bytes | None = envelope.payload
        blob = None
        if len(envelope.payload) > BLOB_ABOVE_BYTES:
            args, blob = None, await self._blobs.put(envelope.payload)
        call = NewCall(
            kind,
            principal.token_id,
            args,
            blob,
            envelope.metadata_json,
            envelope.priority,
            envelope.timing,
            envelope.target,
            waits,
        )
        if envelope.callback_url is not None:
            more = _both(more, self._callbacks.order(envelope.callback_url, live.environment))
        item = self._heart.accept(live, call, more, decided or begun.committed)
        begun.item, begun.seq = item, item.seq
        if kind is CallKind.INVOKE:  # nobody waits for a spawned one, and there may be a million of them
            self._heart.followers.wait(item.seq, begun.ended)
        if envelope.callback_url is not None:
            self._heart.followers.wait(item.seq, self._callbacks.ended)

    async def _replay(self, seq: int, begun: Begun) -> Begun:
        """Join the call that the key found."""
        begun.seq, begun.replayed = seq, True
        begun.accepted = True
        self._heart.followers.wait(seq, begun.ended)
        begun.item = self._heart.inputs.get(seq)
        if begun.item is not None:
            return begun
        stored = await self._store.calls.get(seq)
        if stored is None or stored.result is not None:
            self._heart.followers.leave(seq, begun.ended)
        if stored is None:
            raise expired(self._tags.call_id(seq))
        if stored.result is not None:
            begun.ended(stored.result)
        return begun

    # ------------------------------------------------------------------ look

    async def get(self, principal: Principal, call_id: str, *, wait_s: float = 0.0) -> tuple[View, Place]:
        """A call as it stands, at the latest `wait_s` seconds from now; sooner if it ends.

        Raises:
            NotFound: there is none, or the caller may not know of it.
        """
        seq = self._tags.seq(call_id)
        if seq is None:
            raise _no_call(call_id)
        item = self._heart.inputs.get(seq)
        if item is not None:
            place = await self._visible(principal, item.function_id, call_id)
            if wait_s > 0:
                await self.wait(seq, wait_s)
            if item.seq in self._heart.inputs:
                return self._views.of_input(item), place
        stored = await self._stored(seq)
        place = await self._visible(principal, stored.call.function_id, call_id)
        if stored.result is None and wait_s > 0 and item is None and await self.wait(seq, wait_s) is not None:
            stored = await self._stored(seq)
        return await self._views.of_stored(stored), place

    async def _stored(self, seq: int) -> StoredCall:
        stored = await self._store.calls.get(seq)
        if stored is None:
            raise expired(self._tags.call_id(seq))
        return stored

    async def _visible(self, principal: Principal, function_id: str, call_id: str) -> Place:
        place = await self._places.of(function_id)
        if place is None or not principal.reaches(place.environment, place.app_id):
            raise _no_call(call_id)
        return place

    async def wait(self, seq: int, seconds: float) -> Result | None:
        """The result of an input that had not ended, or None if it does not end within `seconds`."""
        ended: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        def tell(result: Result) -> None:
            if not ended.done():
                ended.set_result(result)

        self._heart.followers.wait(seq, tell)
        try:
            async with asyncio.timeout(seconds):
                if seq not in self._heart.inputs:
                    stored = await self._stored(seq)
                    if stored.result is not None:
                        return stored.result
                return await ended
        except TimeoutError:
            return None
        finally:
            self._heart.followers.leave(seq, tell)

    @contextmanager
    def told(self, seq: int, waiter: Callable[[Result], None]) -> Iterator[None]:
        """Have `waiter` told of the end of an open call."""
        self._heart.followers.wait(seq, waiter)
        try:
            yield
        finally:
            self._heart.followers.leave(seq, waiter)

    def watching(self, seq: int, watcher: Callable[[], None]) -> AbstractContextManager[None]:
        """Have `watcher` called at every change of an open call."""
        return self._heart.followers.watching(seq, watcher)

    async def find(
        self, principal: Principal, wanted: CallFilter, *, before: int | None, limit: int, values: bool
    ) -> list[View]:
        """Calls that the caller may know of, newest first."""
        if principal.environment is not None:
            wanted = replace(wanted, environment=principal.environment)
        found: list[View] = []
        while len(found) < limit:
            rows = await self._store.calls.find(wanted, before=before, limit=limit, values=values)
            for row in rows:
                view = await self._views.of_stored(row)
                if not wanted.statuses or view.status in wanted.statuses:
                    found.append(view)
            if len(rows) < limit:
                break
            before = rows[-1].call.seq
        return found[:limit]

    async def view_of(self, begun: Begun) -> View:
        """A call that was just accepted, as it stands: without a look into the store if it is open."""
        if begun.item is None or (begun.item.over and begun.outcome is None):
            return await self._views.of_stored(await self._stored(begun.seq))
        return self._views.of_input(begun.item) if begun.outcome is None else View(call_of(begun.item), begun.outcome)

    async def kept(self, seq: int) -> View | None:
        """A call that has ended, while it is kept."""
        stored = await self._store.calls.get(seq)
        return None if stored is None or stored.result is None else await self._views.of_stored(stored)

    async def attempts(self, seq: int) -> list[AttemptRecord]:
        """The attempts of an input that did not end it."""
        return await self._store.calls.attempts(seq)

    async def value_of(self, result: Result) -> bytes | None:
        """What a call returned, as JSON; of a generator the list of its items. None where it did not succeed.

        Raises:
            NotAcceptable: they are more than one list may have.
        """
        if result.items is not None and result.outcome == Outcome.SUCCESS:
            return await self.items.as_list(result.seq, result.items)
        return None if result.value is None else await self.bytes_of(result.value)

    async def bytes_of(self, payload: Payload) -> bytes:
        """The bytes of a payload, wherever they are."""
        if payload.data is not None:
            return payload.data
        return await self._blobs.get(payload.blob) if payload.blob is not None else b""

    # ------------------------------------------------------------------ cancel

    async def cancel(
        self, principal: Principal, call_id: str, *, terminate: Callable[[Input], None] | None = None
    ) -> tuple[View, Place]:
        """End a call as cancelled; a cancelled one stays so.

        Args:
            terminate: what to do to the container that runs it, beyond telling it to stop.

        Raises:
            NotFound: there is none, or the caller may not know of it.
            NotCancellable: it has ended otherwise.
        """
        view, place = await self.get(principal, call_id)
        seq = view.call.seq
        if (found := self._heart.maps.open.get(seq)) is not None:
            self._heart.maps.cancel(found, "token")
            await self.wait(seq, COMMIT_TIMEOUT_S)  # a large backlog takes longer to end; the flag is committed
        elif view.result is None:
            await self._cancel_input(seq, terminate)
        view, place = await self.get(principal, call_id)
        if view.result is not None and view.result.outcome != Outcome.CANCELLED:
            status = view.status.value
            raise NotCancellable(f"{call_id} has already ended: {status}.", extra={"status_of_call": status})
        return view, place

    async def _cancel_input(self, seq: int, terminate: Callable[[Input], None] | None) -> None:
        item = self._heart.inputs.get(seq)
        if item is not None and terminate is not None and item.running:
            terminate(item)
        if await self._heart.reach.cancel(seq, "token") is None:
            return  # it has ended
        if seq in self._heart.inputs and await self.wait(seq, COMMIT_TIMEOUT_S) is None:
            raise not_committed()

    async def disconnected(self, seq: int) -> None:
        """The caller of an invocation went away and had asked that this cancels it."""
        await self._heart.reach.cancel(seq, "disconnect")


def _no_call(call_id: str) -> NotFound:
    return NotFound(f"There is no call {shown(call_id)} that this token can see.")
