"""What the server knows of its own state, and the gate that new work passes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum

from yurt.domain.errors import Unavailable

CHECK_S = 2
"""How long one check may take, in seconds, before its part counts as not ready."""

Check = Callable[[], Awaitable[str | None]]
"""Returns None while a part works, else the reason."""

_READS = frozenset({"GET", "HEAD"})


class Phase(StrEnum):
    """Where the process is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    STOPPING = "stopping"


class Health:
    """What the server knows of its own state.

    Args:
        checks: by the part's name, such as `store`.
        notes: sentences for people, such as what the engine does not isolate.
        troubles: each says what an operator should know now though the server does its work, or None.
    """

    def __init__(
        self,
        checks: Mapping[str, Check],
        notes: Sequence[str] = (),
        troubles: Sequence[Callable[[], str | None]] = (),
    ) -> None:
        self._checks = dict(checks)
        self._troubles = tuple(troubles)
        self.notes = tuple(notes)
        self.phase = Phase.STARTING

    def admit(self, method: str) -> None:
        """Let a request pass, or say when to come again.

        Raises:
            Unavailable: the server is not there yet, or is shutting down and this asks for something new.
        """
        if self.phase is Phase.STARTING:
            raise Unavailable("The server is starting. Come again in a moment.")
        if self.phase is Phase.STOPPING and method not in _READS:
            raise Unavailable("The server is shutting down and takes no new work.")

    def remarks(self) -> list[str]:
        """The notes, and what is the trouble now."""
        return [*self.notes, *(said for trouble in self._troubles if (said := trouble()) is not None)]

    async def parts(self) -> dict[str, str | None]:
        """Each part's reason for not being ready, None for none. The checks run side by side."""
        reasons = await asyncio.gather(*map(_ask, self._checks.values()))
        return dict(zip(self._checks, reasons, strict=True))


async def _ask(check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_S):
            return await check()
    except TimeoutError:
        return f"It did not answer within {CHECK_S} s."
