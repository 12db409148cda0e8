"""The loop that keeps what the engine holds of functions in step with what there is."""

from collections.abc import Callable, Iterable
from typing import NoReturn

import structlog

from yurt.domain.functions import LiveFunction
from yurt.ports import Clock, Engine, EngineRefused

EVERY_S = 60.0
log = structlog.get_logger(__name__)


async def tidy_engine(engine: Engine, functions: Callable[[], Iterable[LiveFunction]], clock: Clock) -> NoReturn:
    """Have the engine look after what it keeps, at once and then every minute, for ever.

    Args:
        functions: the current revisions of all that can be called.
    """
    while True:
        try:
            await engine.tidy(functions())
        except EngineRefused as refused:
            log.warning("engine_not_tidied", code=refused.code, reason=refused.message)
        await clock.sleep(EVERY_S)
