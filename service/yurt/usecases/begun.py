"""A call that is asked for: what its caller sends, and what becomes of it."""

import asyncio
from collections.abc import Mapping

import msgspec

from yurt.domain.errors import Unavailable
from yurt.domain.records import Result, Target
from yurt.domain.timing import Timing
from yurt.pools.inputs import Input
from yurt.usecases.alarms import Alarms

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


def not_committed() -> Unavailable:
    """The store did not take a write in time."""
    return Unavailable(
        "The store did not commit this within 5 s. It may still happen: look before you ask again, or send an "
        "Idempotency-Key, which makes asking again safe.",
        code="store_unavailable",
        retry_after_s=5,
    )
