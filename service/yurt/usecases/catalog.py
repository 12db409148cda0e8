"""Which apps and functions live, in memory: what every call looks at before anything else.

It is loaded at the start and changed only after commits, by the use cases of the registry. Looking up is dictionary
work: no await, no parsing.
"""

from collections.abc import Iterable

from yurt.domain.functions import LiveFunction
from yurt.domain.naming import MAIN
from yurt.domain.records import App
from yurt.usecases.principals import Principal


class Catalog:
    """Live apps by id and by name, and their functions by id and by address."""

    def __init__(self) -> None:
        self._apps: dict[str, App] = {}
        self._app_ids: dict[tuple[str, str], str] = {}
        self._functions: dict[str, LiveFunction] = {}
        self._addresses: dict[tuple[str, str], str] = {}
        self._of_app: dict[str, dict[str, LiveFunction]] = {}

    def lookup(self, principal: Principal, ref: str, environment: str | None = None) -> LiveFunction | None:
        """The live function that `ref` means to `principal`, or None where there is none that it may see.

        Args:
            principal: who asks.
            ref: an id (`fu-…`) or an address (`app:function`).
            environment: where the address is looked up; else the token's, else `main`. Ids need none.
        """
        function_id = self._addresses.get((environment or principal.environment or MAIN, ref), ref)
        live = self._functions.get(function_id)
        return live if live is not None and principal.reaches(live.environment, live.app_id) else None

    def app(self, principal: Principal, ref: str, environment: str | None = None) -> App | None:
        """The live app that an id or a name means to `principal`, or None."""
        app_id = self._app_ids.get((environment or principal.environment or MAIN, ref), ref)
        app = self._apps.get(app_id)
        return app if app is not None and principal.reaches(app.environment, app.id) else None

    def app_by_id(self, app_id: str) -> App | None:
        """The live app with that id, whoever asks."""
        return self._apps.get(app_id)

    def named(self, environment: str, name: str) -> App | None:
        """The live app of that name, whoever asks."""
        return self._apps.get(self._app_ids.get((environment, name), ""))

    def function(self, app_id: str, name: str) -> LiveFunction | None:
        """A live function of an app, by name."""
        return self._of_app.get(app_id, {}).get(name)

    def by_id(self, function_id: str) -> LiveFunction | None:
        """The live function with that id, whoever asks."""
        return self._functions.get(function_id)

    def functions_of(self, app_id: str) -> list[LiveFunction]:
        """The live functions of an app."""
        return list(self._of_app.get(app_id, {}).values())

    def all(self) -> Iterable[LiveFunction]:
        """Every live function."""
        return list(self._functions.values())

    def apps(self) -> Iterable[App]:
        """Every live app."""
        return list(self._apps.values())

    def put_app(self, app: App) -> None:
        """An app was made or changed."""
        self._apps[app.id] = app
        self._app_ids[app.environment, app.name] = app.id
        self._of_app.setdefault(app.id, {})

    def remove_app(self, app_id: str) -> list[LiveFunction]:
        """An app was stopped; returns the functions that went with it."""
        app = self._apps.pop(app_id)
        del self._app_ids[app.environment, app.name]
        gone = list(self._of_app[app_id].values())
        for live in gone:
            self.remove(live)
        del self._of_app[app_id]
        return gone

    def put(self, live: LiveFunction) -> None:
        """A function of a live app was made or changed."""
        self._functions[live.function_id] = live
        self._addresses[live.environment, live.address] = live.function_id
        self._of_app[live.app_id][live.name] = live

    def remove(self, live: LiveFunction) -> None:
        """A function was deleted."""
        del self._functions[live.function_id]
        del self._addresses[live.environment, live.address]
        del self._of_app[live.app_id][live.name]
