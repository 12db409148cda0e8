"""What the engine has to give, as a caller may see it."""

from collections.abc import Mapping
from dataclasses import dataclass

from yurt.domain.capacity import Capacity
from yurt.domain.functions import LiveFunction
from yurt.pools.lives import Lives
from yurt.ports import Engine
from yurt.usecases.principals import Principal


@dataclass(frozen=True, slots=True)
class Seen:
    """What the engine has.

    Args:
        engine: its name.
        holders: whose container it is, by the ids of those containers that the caller may know of.
    """

    engine: str
    capacity: Capacity
    holders: Mapping[str, LiveFunction]


class Supply:
    """What a caller can ask of the engine."""

    def __init__(self, engine: Engine, lives: Lives) -> None:
        self._engine = engine
        self._lives = lives

    async def look(self, principal: Principal) -> Seen:
        """What it has, and who holds it, as far as the caller may know of them."""
        capacity = await self._engine.capacity()
        holders = {}
        for container_id in {holder for stock in capacity.gpus for holder in stock.held}:
            entry = self._lives.get(container_id)
            if entry is not None and principal.sees(entry[1].function.environment):
                holders[container_id] = entry[1].function
        return Seen(self._engine.capabilities.name, capacity, holders)
