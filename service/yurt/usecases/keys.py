"""Idempotency keys: of several requests with one key, one makes the call and the others find it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from yurt.domain.errors import FieldError, Invalid, Unavailable
from yurt.ports import Calls

MAX_KEY_CHARS = 255
WAIT_S = 5.0
"""How long a request waits for another one with its key, in seconds."""


@dataclass(frozen=True, slots=True)
class Named:
    """What makes a key unique: its caller, the function, and its text."""

    token_id: str
    function_id: str
    key: str


@dataclass(slots=True)
class Reservation:
    """A key that one request holds.

    Attributes:
        seq: the call that it names, if one is known.
        body_sha256: what that call was asked with; empty where that is not known.
        undecided: a call with this key waits for its commit. The key stays held until that is decided, also when its
            holder has lost patience: another call with this key could otherwise be accepted beside it.
    """

    release: Callable[[], None]
    seq: int | None = None
    body_sha256: str = ""
    undecided: bool = False
    left: bool = False

    def decided(self) -> None:
        """The commit happened, or was refused."""
        self.undecided = False
        if self.left:
            self.release()

    def leave(self) -> None:
        """The holder goes."""
        self.left = True
        if not self.undecided:
            self.release()


class KeyDesk:
    """Lets one request at a time look a key up and make its call.

    The reservation is made in memory with no await between miss and insert, so that two requests cannot both miss; the
    key itself is written in the transaction that accepts the call.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._held: dict[Named, asyncio.Future[None]] = {}

    @asynccontextmanager
    async def reserve(self, name: Named, body_sha256: str | None) -> AsyncIterator[Reservation]:
        """Hold a key; waits while another request holds it.

        Args:
            body_sha256: of what is asked; None where that comes later, and `must_be_same` is left to the caller.

        Raises:
            Invalid: the key names a call with another body.
            Unavailable: the other request does not come to its end.
        """
        await self._free(name)
        free = self._held[name] = asyncio.get_running_loop().create_future()

        def release() -> None:
            del self._held[name]
            free.set_result(None)

        reservation = Reservation(release)
        try:
            known = await self._calls.key(name.token_id, name.function_id, name.key)
            if known is not None:
                if body_sha256 is not None:
                    must_be_same(known.body_sha256, body_sha256)
                reservation.seq, reservation.body_sha256 = known.seq, known.body_sha256
            yield reservation
        finally:
            reservation.leave()

    async def _free(self, name: Named) -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                while (holder := self._held.get(name)) is not None:
                    await asyncio.shield(holder)
        except TimeoutError as error:
            raise Unavailable(
                "A request with this Idempotency-Key is still waiting for the store. Ask again.",
                code="store_unavailable",
                retry_after_s=5,
            ) from error


def must_be_same(known_sha256: str, body_sha256: str) -> None:
    """Return if a request asks what the first one with its key asked.

    Raises:
        Invalid: it does not.
    """
    if known_sha256 != body_sha256:
        message = "This Idempotency-Key was used before with another body. Use a new key for a new call."
        raise Invalid(message, code="idempotency_mismatch", errors=[FieldError("Idempotency-Key", message)])
