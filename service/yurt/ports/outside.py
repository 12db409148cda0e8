"""The clock, blobs, callbacks, and who is told of deployed functions."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from yurt.domain.endings import Ending
from yurt.domain.functions import LiveFunction, Scaling

Tell: TypeAlias = Callable[[str, int, int | None], None]
"""Hears how far a long piece of work is: of what, how much is done, of how much where that is known."""


class Clock(Protocol):
    """The time. Injected, so that tests may hold it."""

    def now(self) -> float:
        """Seconds since 1970, UTC."""

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds of that clock."""


class NotDelivered(Exception):
    """A callback did not reach its receiver.

    Args:
        message: why, for who asked for the callback: nothing of what the receiver answered but its status.
        final: the receiver wants no more.
    """

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.final = final


class Post(Protocol):
    """Sends callbacks."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """Send one; returns if the receiver took it.

        Raises:
            NotDelivered: it did not.
        """


class Blobs(Protocol):
    """Bytes by content."""

    async def put(self, data: bytes) -> str:
        """Store `data` durably; returns its sha256 (hex). Storing the same again is free."""

    async def get(self, sha256: str) -> bytes:
        """The bytes.

        Raises:
            NotFound: no such blob.
        """

    async def has(self, sha256: str) -> bool:
        """Whether it is there."""

    async def remove(self, sha256: str, *, before: float | None = None) -> None:
        """Delete it, if it is there.

        Args:
            sha256: its name.
            before: seconds since 1970; one that was stored, or stored again, since then stays.
        """

    async def older(self, before: float, *, after: str, limit: int) -> list[str]:
        """Names of blobs that were stored last before a time (seconds since 1970), in order, from behind `after` on."""


class Deployments(Protocol):
    """What the use cases for functions tell the heart, after their commit."""

    def deploy(self, function: LiveFunction) -> None:
        """This revision is now the function's current one; an older one serves until it is ready, then drains."""

    def rescale(self, function_id: str, scaling: Scaling) -> None:
        """The effective scaling of the function changed."""

    def retire(self, function_id: str, *, by: str) -> None:
        """The function is gone: `app_stopped` or `function_deleted`.

        Its inputs end `cancelled`, its containers drain.
        """

    def containers_running(self, function_id: str) -> int:
        """How many containers of the function live."""

    def deploy_error(self, function_id: str) -> Ending | None:
        """Why the current revision does not start, while it does not."""
