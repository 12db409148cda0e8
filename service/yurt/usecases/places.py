"""Where a function lives: its app and environment, also when it is long gone."""

from collections import OrderedDict
from dataclasses import dataclass

from yurt.domain.records import App, Function
from yurt.ports import Records

_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """The names around a function; none of them ever changes."""

    environment: str
    app_id: str
    app: str
    function: str

    @property
    def address(self) -> str:
        """`app:function`."""
        return f"{self.app}:{self.function}"


class Places:
    """Looks places up once and keeps the latest few thousand."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._known: OrderedDict[str, Place] = OrderedDict()

    async def of(self, function_id: str) -> Place | None:
        """Where the function lives or lived, or None for an unknown id."""
        place = self._known.get(function_id)
        if place is not None:
            self._known.move_to_end(function_id)
            return place
        function = await self._records.get(Function, function_id)
        app = await self._records.get(App, function.app_id) if function is not None else None
        if function is None or app is None:
            return None
        place = self._known[function_id] = Place(app.environment, app.id, app.name, function.name)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return place
