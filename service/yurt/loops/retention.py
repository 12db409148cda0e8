"""The loop that deletes what is past its days."""

from typing import NoReturn

import structlog

from yurt.domain.errors import Unavailable
from yurt.ports import Clock
from yurt.usecases.retention import Retention

EVERY_S = 600.0
"""Between two passes, in seconds; or a tenth of the time for which things are kept."""

log = structlog.get_logger(__name__)


async def delete_old(retention: Retention, clock: Clock) -> NoReturn:
    """One pass after the other, for ever."""
    while True:
        try:
            await retention.sweep()
        except Unavailable as error:
            log.warning("retention_postponed", reason=str(error))
        await clock.sleep(min(EVERY_S, max(0.1, retention.kept_s / 10)))
