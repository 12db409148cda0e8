"""Calls: begun, waited for, looked at, listed, cancelled."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TypeAlias

import msgspec
from msgspec import structs

from yurt.domain.changes import Change, Save
from yurt.domain.errors import CallExpired, NotCancellable, NotFound, Unavailable
from yurt.domain.functions import LiveFunction
from yurt.domain.ids import Tags
from yurt.domain.maps import Counts
from yurt.domain.reasons import PendingReason
from yurt.domain.records import (
    AttemptRecord,
    Call,
    CallKind,
    CallStatus,
    IdempotencyKey,
    Map,
    Outcome,
    Payload,
    Result,
    Target,
    status_of,
)
from yurt.domain.retention import KEYS_KEPT_S
from yurt.domain.timing import Timing
from yurt.pools.heart import Heart
from yurt.pools.inputs import Input, NewCall, call_of, restore
from yurt.pools.ledger import BLOB_ABOVE_BYTES
from yurt.pools.live_map import LiveMap
from yurt.pools.span import Span
from yurt.ports import Blobs, CallFilter, Clock, PendingInput, Store, StoredCall
from yurt.usecases.alarms import Alarms
from yurt.usecases.callbacks import Callbacks
from yurt.usecases.items import ItemBook
from yurt.usecases.keys import KeyDesk, Named
from yurt.usecases.places import Place, Places
from yurt.usecases.principals import Principal
from yurt.usecases.targets import aimed, said_of
from yurt.usecases.waiters import Waiters

COMMIT_TIMEOUT_S = 5.0
"""How long a caller waits for a commit before it is told that the store is away, in seconds."""


class Envelope(msgspec.Struct, frozen=True):
    """What a caller sends: the arguments as one JSON object, and the options that are served.

    Args:
        payload: `{"args": […], "kwargs": {…}}`, either may be missing.
        metadata_json: a JSON object of strings, or None.
        callback_url: who is told of the call's end, or None.
        priority: from -10 to 10, higher first among the caller's own inputs.
        timing: when it is to begin; None for at once, however long that takes.
        method, parameters: of a class.
        target: what those would make, where it is known already.
    """

    payload: bytes
    metadata_json: str | None = None
    callback_url: str | None = None
    priority: int = 0
    timing: Timing | None = None
    method: str | None = None
    parameters: Mapping[str, object] | None = None
    target: Target | None = None


class MapView(msgspec.Struct, frozen=True):
    """What a call of several inputs has beside other calls.

    Args:
        size: inputs accepted so far.
        counts: of those that have ended.
        running: of the others, how many run.
    """

    record: Map
    size: int
    counts: Counts
    running: int = 0


class View(msgspec.Struct, frozen=True):
    """A call as it stands.

    Args:
        result: how it ended, or None while it has not.
        running: whether it runs; False means that it waits.
        started_at: of the running attempt, seconds since 1970.
        attempts: begun so far.
        pending_reason: why it waits.
        inputs: of a map alone.
        items: of a generator alone, how many there are so far.
    """

    call: Call
    result: Result | None
    running: bool = False
    started_at: float | None = None
    attempts: int = 0
    pending_reason: PendingReason | None = None
    inputs: MapView | None = None
    items: int | None = None

    @property
    def status(self) -> CallStatus:
        """The contract's word for it."""
        if self.result is not None:
            return status_of(self.result.outcome)
        return CallStatus.RUNNING if self.running else CallStatus.PENDING


More: TypeAlias = Callable[[int], tuple[Change, ...]]
"""Given a call's number, what to write in the transaction that accepts it."""


def _nothing_more(_seq: int) -> tuple[Change, ...]:
    return ()


def _both(one: More, other: More) -> More:
    return lambda seq: (*one(seq), *other(seq))


class Begun:
    """A call that was asked for: first accepted, later ended.

    Args:
        alarms: end waits that take too long.

    Attributes:
        accepted: its acceptance is committed.
        outcome: its result, once that is committed.
        replayed: an idempotency key found it; nothing new was accepted.
    """

    __slots__ = ("_alarms", "_error", "_wake", "_wake_at_accept", "accepted", "item", "outcome", "replayed", "seq")

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self.accepted = False
        self.outcome: Result | None = None
        self.item: Input | None = None
        self.seq = 0
        self.replayed = False
        self._error: Exception | None = None
        self._wake: asyncio.Future[None] | None = None
        self._wake_at_accept = False

    def committed(self, error: Exception | None) -> None:
        """The journal's word on the acceptance."""
        self.accepted, self._error = error is None, error
        if error is not None or self._wake_at_accept:
            self._notify()

    def ended(self, result: Result) -> None:
        """The result is committed."""
        self.outcome = result
        self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _sleep(self, seconds: float) -> None:
        self._wake = wake = asyncio.get_running_loop().create_future()
        self._alarms.set(wake, seconds)
        try:
            await wake
        finally:
            self._alarms.drop(wake)

    async def wait(self, seconds: float) -> Result | None:
        """The result, or None if there is none within `seconds`.

        Raises:
            YurtError: the call was not accepted.
        """
        if self.outcome is None and self._error is None:
            await self._sleep(seconds)
        if self._error is not None:
            raise self._error
        return self.outcome

    async def wait_accepted(self) -> None:
        """Return when the call is accepted.

        Raises:
            YurtError: it was refused.
            Unavailable: the store did not commit it in time. It may still appear.
        """
        if not self.accepted and self._error is None:
            self._wake_at_accept = True
            await self._sleep(COMMIT_TIMEOUT_S)
            self._wake_at_accept = False
        if self._error is not None:
            raise self._error
        self.must_be_accepted()

    def must_be_accepted(self) -> None:
        """Return if the call is accepted.

        Raises:
            Unavailable: it is not yet. It may still appear.
        """
        if not self.accepted:
            raise not_committed()


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
    ) -> Begun:
        """Ask for a call. `Begun.wait_accepted` and `Begun.wait` tell what became of it.

        Args:
            key: the caller's name for the call.
            more: what to write with a call that has no key.

        Raises:
            Invalid: the key was used with another body, or it does not fit the function, which is a class or is not.
            AppStopped, TooManyPending, Unavailable: it cannot be accepted.
        """
        begun = Begun(self._alarms)
        if live.of_class is not None or envelope.method is not None or envelope.parameters:
            target = envelope.target or aimed(live, envelope.method, envelope.parameters)
            envelope = structs.replace(envelope, target=target)
        if key is None:
            await self._accept(principal, live, envelope, kind, begun, more)
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
            raise _expired(self._tags.call_id(seq))
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
                return self.view(item), place
        stored = await self._stored(seq)
        place = await self._visible(principal, stored.call.function_id, call_id)
        if stored.result is None and wait_s > 0 and item is None and await self.wait(seq, wait_s) is not None:
            stored = await self._stored(seq)
        return await self._view_of_stored(stored), place

    async def _stored(self, seq: int) -> StoredCall:
        stored = await self._store.calls.get(seq)
        if stored is None:
            # The id's tag shows that this store gave it out, which it does once a call is accepted.
            raise _expired(self._tags.call_id(seq))
        return stored

    async def _view_of_stored(self, stored: StoredCall) -> View:
        """A call as the store has it; what waits need not be in memory."""
        if stored.call.kind == CallKind.MAP:
            return await self._view_of_map(stored)
        if stored.result is not None:
            return View(stored.call, stored.result)
        seq = stored.call.seq
        item = self._heart.inputs.get(seq)
        return self.view(item or await self._left_in_store(stored.call))

    async def _left_in_store(self, call: Call) -> Input:
        """An input that waits and is not in memory, with its place in time."""
        found = await self._store.maps.pending([call.seq])
        item = restore(found[0] if found else PendingInput(call, None, None), self._tags.suffix(call.seq))
        if item.start_at is not None and item.start_at <= self._clock.now():
            item.start_at = None
        return item

    async def _view_of_map(self, stored: StoredCall) -> View:
        found = self._heart.maps.open.get(stored.call.seq)
        if found is not None:
            view = self.view_of_map(found)
            return view if found.open else structs.replace(view, pending_reason=await self._reason_of(found))
        known = await self._store.maps.get(stored.call.seq)
        if known is None:
            raise _expired(self._tags.call_id(stored.call.seq))
        record, blocks = known
        counts = Counts(record.success, record.failure, record.terminated)
        inputs = MapView(record, Span(blocks).size, counts)
        return View(stored.call, stored.result, inputs=inputs)

    async def _reason_of(self, found: LiveMap) -> PendingReason | None:
        """Why the first open input of a map waits, of which nothing is in memory."""
        place, last = 0, found.span.last_seq
        while place < last:
            page = await self._heart.stored.page_of_map(found, place, last, 1)
            if page.rows:
                return self._heart.pending_reason(self._heart.seen_of_row(found, page.rows[0]))
            place = page.reached
        return None

    def view_of_map(self, found: LiveMap) -> View:
        """An open map as it stands."""
        running, reason = self._heart.state_of_map(found)
        inputs = MapView(found.record, found.span.size, found.counts, running)
        begun = bool(running or found.counts.total)
        return View(found.call, None, begun, found.accepted.created_at if begun else None, 0, reason, inputs)

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

    def view(self, item: Input) -> View:
        """An open input as it stands."""
        call = call_of(item)
        running = item.running
        started = (item.started_at or item.dispatched_at) if running else None
        attempts = item.history.number if running else item.history.number - 1
        reason = None if running else self._heart.pending_reason(item)
        items = item.items.stored.items if item.items is not None else None
        return View(call, None, running, started, attempts, reason, None, items)

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
                view = await self._view_of_stored(row)
                if not wanted.statuses or view.status in wanted.statuses:
                    found.append(view)
            if len(rows) < limit:
                break
            before = rows[-1].call.seq
        return found[:limit]

    async def view_of(self, begun: Begun) -> View:
        """A call that was just accepted, as it stands: without a look into the store if it is open."""
        if begun.item is None or (begun.item.over and begun.outcome is None):
            return await self._view_of_stored(await self._stored(begun.seq))
        return self.view(begun.item) if begun.outcome is None else View(call_of(begun.item), begun.outcome)

    async def kept(self, seq: int) -> View | None:
        """A call that has ended, while it is kept."""
        stored = await self._store.calls.get(seq)
        return None if stored is None or stored.result is None else await self._view_of_stored(stored)

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


def not_committed() -> Unavailable:
    """The store did not take a write in time."""
    return Unavailable(
        "The store did not commit this within 5 s. It may still happen: look before you ask again, or send an "
        "Idempotency-Key, which makes asking again safe.",
        code="store_unavailable",
        retry_after_s=5,
    )


def _expired(call_id: str) -> CallExpired:
    return CallExpired(f"{call_id} has ended, and its results were kept as long as this server keeps them.")


def _no_call(call_id: str) -> NotFound:
    return NotFound(f"There is no call {call_id[:80]!r} that this token can see.")
