"""The loop that ends ephemeral apps whose time is over."""

from typing import NoReturn, Protocol

import structlog

from yurt.domain.errors import Unavailable
from yurt.ports import Clock

EVERY_S = 1.0
GAP_S = 1.0
"""A turn that comes so much later than planned, or a wall clock that has moved so much by itself: nobody could renew
meanwhile, or it says nothing about time that has passed."""

log = structlog.get_logger(__name__)


class Ephemeral(Protocol):
    """The apps that live until their time is over. Both methods raise `Unavailable` while the store is away."""

    async def expire(self, now: float) -> None:
        """Stop every app that is due."""

    async def renew_all(self, now: float) -> None:
        """Give every ephemeral app its whole time anew."""


async def expire(clock: Clock, apps: Ephemeral) -> NoReturn:
    """End ephemeral apps on time. A machine that slept, or whose clock was set, ends none."""
    wall, steady, away = clock.now(), clock.monotonic(), False
    while True:
        await clock.sleep(EVERY_S)
        before, passed = wall, clock.monotonic() - steady
        wall, steady = clock.now(), clock.monotonic()
        away = away or passed > EVERY_S + GAP_S or abs(wall - before - passed) > GAP_S
        try:
            if away:
                await apps.renew_all(wall)
                away = False
            await apps.expire(wall)
        except Unavailable as error:
            log.warning("expiry_postponed", reason=str(error))
