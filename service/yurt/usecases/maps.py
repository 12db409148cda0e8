"""Maps: inputs taken as they come, and results shown as they end."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from yurt.domain.changes import AcceptCall, Save
from yurt.domain.errors import Invalid, YurtError
from yurt.domain.functions import LiveFunction
from yurt.domain.ids import Tags
from yurt.domain.items import ONE_BY_ONE
from yurt.domain.records import IdempotencyKey, Result
from yurt.domain.retention import KEYS_KEPT_S
from yurt.pools.heart import Heart
from yurt.pools.live_map import LiveMap, NewMap, Reader
from yurt.pools.span import Span
from yurt.ports import Clock, Store
from yurt.usecases.callbacks import Callbacks
from yurt.usecases.keys import KeyDesk, Named, must_be_same
from yurt.usecases.outputs import AsTheyCome, InOrder, Output
from yurt.usecases.principals import Principal
from yurt.usecases.targets import said_of
from yurt.usecases.views import expired


class Upload:
    """The inputs of one map on their way in. `run` has one owner; the others look at it.

    Attributes:
        map: what becomes of it.
        begun: its first inputs are committed, or it is over, or an earlier call was found by its key.
        replayed: a key found an earlier call, which `map` now is.
        refusal: what ended the upload before its end, if some inputs had been accepted by then.
    """

    def __init__(self, desk: "MapDesk", found: LiveMap, name: Named | None, said: str) -> None:
        self.map = found
        self.begun = asyncio.Event()
        self.replayed = False
        self.refusal: YurtError | None = None
        self._desk = desk
        self._name = name
        self._sha256 = hashlib.sha256(said.encode())

    async def run(self, blocks: AsyncIterator[Sequence[bytes]]) -> None:
        """Accept every block of envelopes, then seal the map; a broken upload seals it with what was accepted.

        Raises:
            YurtError: nothing was accepted, for this reason.
            ConnectionError: nothing was accepted: the client went away.
        """
        mine = self.map
        try:
            if self._name is None:
                await self._take(blocks, None)
                return
            async with self._desk.keys.reserve(self._name, None) as reservation:
                if reservation.seq is None:
                    await self._take(blocks, self._name)
                else:
                    await self._replay(blocks, reservation.seq, reservation.body_sha256)
        finally:
            if not mine.committed:
                self._desk.forget(mine)
            self.begun.set()

    async def _take(self, blocks: AsyncIterator[Sequence[bytes]], name: Named | None) -> None:
        """Accept the inputs. The key is written with the first ones, and what it stands for with the last ones."""
        desk = self._desk
        if name is not None:
            self.map.beside = (*self.map.beside, Save(desk.key(name, self.map.seq, "")))
        await self._accept(blocks)
        known = () if name is None or self.refusal else (Save(desk.key(name, self.map.seq, self._sha256.hexdigest())),)
        await desk.maps.seal(self.map, *known, truncated=self.refusal is not None)

    async def _accept(self, blocks: AsyncIterator[Sequence[bytes]]) -> None:
        try:
            async for block in blocks:
                if self._name is not None:
                    self._hash(block)
                await self._desk.maps.add(self.map, block)
                self.begun.set()
                if self.map.sealed:
                    return
        except YurtError as error:
            if not self.map.committed:
                raise
            self.refusal = error
        except ConnectionError as error:
            if not self.map.committed:
                raise
            self.refusal = YurtError(f"The upload broke off: {error}")

    def _hash(self, block: Sequence[bytes]) -> None:
        for envelope in block:
            self._sha256.update(envelope)
            self._sha256.update(b"\n")

    async def _replay(self, blocks: AsyncIterator[Sequence[bytes]], seq: int, known_sha256: str) -> None:
        """Find the earlier call. An upload of that one that never came to its end cannot be compared."""
        async for block in blocks:
            self._hash(block)
        if known_sha256:
            must_be_same(known_sha256, self._sha256.hexdigest())
        self.map = await self._desk.find(seq)
        self.replayed = True


class MapDesk:
    """What callers ask of maps beyond what they ask of every call."""

    def __init__(self, heart: Heart, store: Store, tags: Tags, clock: Clock, callbacks: Callbacks) -> None:
        self.maps = heart.maps
        self.keys = KeyDesk(store.calls)
        self._heart = heart
        self._store = store
        self._tags = tags
        self._clock = clock
        self._callbacks = callbacks

    def upload(
        self,
        principal: Principal,
        live: LiveFunction,
        new: NewMap,
        *,
        callback_url: str | None = None,
        key: str | None = None,
    ) -> Upload:
        """Begin a map; nothing is written before its first inputs.

        Raises:
            AppStopped: the function has just been retired.
            Invalid: callbacks do not go to that address; the function is known to be a generator.
            Unavailable: the server is stopping.
        """
        if self._heart.functions.yields(live):
            raise Invalid(f"{live.address} is a generator, and a map takes a function that returns: {ONE_BY_ONE}.")
        found = self.maps.begin(live, new)
        if callback_url is not None:
            found.beside = self._callbacks.order(callback_url, live.environment)(found.seq)
            self._heart.followers.wait(found.seq, self._callbacks.ended)
        name = None if key is None else Named(principal.token_id, live.function_id, key)
        said = f"{new.return_exceptions} {new.priority} {new.metadata_json} {callback_url}{said_of(new.target)}\n"
        return Upload(self, found, name, said)

    def forget(self, found: LiveMap) -> None:
        """A map will never be: nothing of it was written."""
        self._heart.followers.forget(found.seq)

    def key(self, name: Named, seq: int, sha256: str) -> IdempotencyKey:
        """The row of a key."""
        expires = self._clock.now() + KEYS_KEPT_S
        return IdempotencyKey(name.token_id, name.function_id, name.key, seq, sha256, expires)

    async def find(self, seq: int) -> LiveMap:
        """A map by its call's number, open or as it ended.

        Raises:
            CallExpired: it is no longer kept.
        """
        found = self.maps.open.get(seq)
        if found is not None:
            return found
        stored, known = await self._store.calls.get(seq), await self._store.maps.get(seq)
        if stored is None or known is None:
            raise expired(self._tags.call_id(seq))
        (record, blocks), call = known, stored.call
        row = AcceptCall(
            seq,
            call.function_id,
            call.app_id,
            call.kind,
            call.caller,
            call.priority,
            call.created_at,
            call.metadata_json,
        )
        found = LiveMap(row, self._tags.suffix(seq), record, self.maps, call.target)
        found.committed, found.span = True, Span(blocks, sealed=True)
        if record.failed_seq is not None:
            found.failed = next(
                iter(await self._store.maps.results(record.failed_seq, record.failed_seq, limit=1)), None
            )
        return found

    @contextmanager
    def reading(self, found: LiveMap, *, in_order: bool, unseen: bool = False) -> Iterator[Output]:
        """Read a map from its first result on.

        Args:
            in_order: of the inputs, rather than as they end; so it always is where some have ended `unseen`.
        """
        output: Output = InOrder(self._store.maps, found.span, unseen=unseen)
        if not in_order and not unseen:
            output = AsTheyCome(self._store.maps, found.span)
        with _told(found, output):
            yield output

    async def page(self, seq: int, start: int, *, limit: int, wait_s: float) -> tuple[list[tuple[int, Result]], bool]:
        """Results in the order of the inputs from an index on, and whether more can follow.

        Args:
            seq: of the call, which is a map that the caller may see.
            wait_s: how long to wait for the first of them, in seconds.

        Raises:
            CallExpired: it is no longer kept.
        """
        found = await self.find(seq)
        output = InOrder(self._store.maps, found.span, start, unseen=True)
        with _told(found, output):
            rows, more = await _gather(output, found.span, limit)
            try:
                async with asyncio.timeout(wait_s):
                    while not rows and more and wait_s > 0:
                        await output.news()
                        rows, more = await _gather(output, found.span, limit)
            except TimeoutError:
                return [], True
            return rows, more


@contextmanager
def _told(found: LiveMap, reader: Reader) -> Iterator[None]:
    found.readers.append(reader)
    try:
        yield
    finally:
        found.readers.remove(reader)


async def _gather(output: InOrder, span: Span, limit: int) -> tuple[list[tuple[int, Result]], bool]:
    rows: list[tuple[int, Result]] = []
    while len(rows) < limit and (some := await output.ready()):
        rows += some
    rows = rows[:limit]
    last = rows[-1][0] + 1 if rows else output.next
    return rows, not span.sealed or last < span.size
