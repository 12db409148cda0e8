"""Idempotency keys: of several requests with one key, one makes the call and the others find it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from yurt.domain.errors import FieldError, Invalid
from yurt.ports import Calls

MAX_KEY_CHARS = 255


@dataclass(frozen=True, slots=True)
class Named:
    """What makes a key unique: its caller, the function, and its text."""

    token_id: str
    function_id: str
    key: str


@dataclass(slots=True)
class Reservation:
    """A key that one request holds. `seq` is the call that it names: found, or to be set by the holder."""

    seq: int | None = None


class KeyDesk:
    """Lets one request at a time look a key up and make its call.

    The reservation is made in memory with no await between miss and insert, so that two requests cannot both miss; the
    key itself is written in the transaction that accepts the call.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._held: dict[Named, asyncio.Future[None]] = {}

    @asynccontextmanager
    async def reserve(self, name: Named, body_sha256: str) -> AsyncIterator[Reservation]:
        """Hold a key; waits while another request holds it.

        Raises:
            Invalid: the key names a call with another body.
        """
        while (holder := self._held.get(name)) is not None:
            await asyncio.shield(holder)
        free = self._held[name] = asyncio.get_running_loop().create_future()
        try:
            known = await self._calls.key(name.token_id, name.function_id, name.key)
            if known is not None and known.body_sha256 != body_sha256:
                message = "This Idempotency-Key was used before with another body. Use a new key for a new call."
                raise Invalid(message, code="idempotency_mismatch", errors=[FieldError("Idempotency-Key", message)])
            yield Reservation(None if known is None else known.seq)
        finally:
            del self._held[name]
            free.set_result(None)
