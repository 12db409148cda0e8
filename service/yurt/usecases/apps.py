"""Apps: made, listed, renewed, stopped, and expired where they are ephemeral."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import structlog

from yurt.domain import ids
from yurt.domain.changes import Save
from yurt.domain.errors import AlreadyExists, FieldError, Invalid, NotEphemeral
from yurt.domain.naming import app_name_problem, pointer
from yurt.domain.records import App, AppState, Function
from yurt.usecases.principals import Principal
from yurt.usecases.registry import Registry

DEFAULT_TTL_S = 60
"""How long an ephemeral app lives without being renewed, where its maker does not say."""

TTL_S = (15, 86_400)
"""The bounds of what its maker may say, both included."""

MAX_TAGS = 64
MAX_TAG_CHARS = 63
"""Of a tag's key and of its value; Kubernetes' bound for labels, which many tools know."""

TAG_KEY_PATTERN = rf"^[^\x00]{{1,{MAX_TAG_CHARS}}}$"
TAG_VALUE_PATTERN = rf"^[^\x00]{{0,{MAX_TAG_CHARS}}}$"
"""Any text but NUL, which not every store can hold."""

_TAG_KEY = re.compile(TAG_KEY_PATTERN[:-1] + r"\Z")
_TAG_VALUE = re.compile(TAG_VALUE_PATTERN[:-1] + r"\Z")

EXPIRED = "expired"
"""Stands for a token id in `stopped_by` of an app whose time ran out."""

_log = structlog.get_logger(__name__)

_WHERE: Mapping[AppState, Mapping[str, int]] = {
    AppState.STOPPED: {"stopped_at__set": 1},
    AppState.DEPLOYED: {"stopped_at__set": 0, "ttl_s__set": 0},
    AppState.EPHEMERAL: {"stopped_at__set": 0, "ttl_s__set": 1},
}


class Apps:
    """What a caller can ask of apps, and what time asks of ephemeral ones."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def create(
        self,
        principal: Principal,
        *,
        name: str,
        environment: str | None = None,
        tags: Mapping[str, str] | None = None,
        ttl_s: int | None = None,
    ) -> App:
        """Make an app.

        Args:
            principal: who asks.
            name: must not be borne by a live app of the environment.
            environment: where; else the token's, else `main`.
            tags: for people and tools.
            ttl_s: makes it ephemeral: it is stopped unless it is renewed within so many seconds.

        Raises:
            Invalid: the name, a tag or the time is none.
            NotFound: there is no such environment.
            AlreadyExists: the name is taken; `extra` has the `app_id` of its bearer.
        """
        _check_new(name, tags or {}, ttl_s)
        registry = self._registry
        async with registry.changing():
            place = registry.environments.resolve(principal, environment)
            bearer = registry.catalog.named(place, name)
            if bearer is not None:
                raise AlreadyExists(
                    f"The environment {place} has a live app {name} already ({bearer.id}). Deploy into it, stop it, or "
                    "choose another name.",
                    extra={"app_id": bearer.id},
                )
            now = registry.clock.now()
            app = App(
                id=ids.ulid(ids.APP, now, registry.random_bytes),
                environment=place,
                name=name,
                tags_json=json.dumps(tags or {}, ensure_ascii=False),
                created_at=now,
                created_by=principal.token_id,
                ttl_s=ttl_s,
                expires_at=None if ttl_s is None else now + ttl_s,
            )
            await registry.commit([Save(app)], lambda: registry.catalog.put_app(app))
        _log.info("app_created", app_id=app.id, name=name, environment=place, state=app.state.value)
        return app

    async def find(
        self,
        principal: Principal,
        *,
        environment: str | None = None,
        state: AppState | None = None,
        name: str | None = None,
        before: str | None = None,
        limit: int,
    ) -> list[App]:
        """Apps that the caller may see, stopped ones too, newest first.

        Args:
            principal: who asks.
            environment: only of this one; else of all that the token sees.
            state: only in this one.
            name: only of this one.
            before: only apps made before the one with this id: the cursor of a page.
            limit: at most so many.

        Raises:
            NotFound: there is no such environment.
        """
        where: dict[str, str | int | float | None] = {}
        if environment is not None or principal.environment is not None:
            where["environment"] = self._registry.environments.resolve(principal, environment)
        if name is not None:
            where["name"] = name
        where |= _WHERE[state] if state is not None else {}
        key = None if before is None else (before,)
        return await self._registry.store.records.find(App, where, before=key, limit=limit)

    async def get(self, principal: Principal, ref: str, environment: str | None = None) -> App:
        """The app of an id, stopped or not, or the live one of a name.

        Raises:
            NotFound: there is none that the caller may see.
        """
        return await self._registry.any_app(principal, ref, environment)

    async def containers_running(self, app: App) -> int:
        """How many containers of the app live; those of a stopped one drain."""
        functions = await self._registry.store.records.find(Function, {"app_id": app.id})
        return sum(self._registry.deployments.containers_running(function.id) for function in functions)

    async def renew(self, principal: Principal, ref: str, environment: str | None = None) -> App:
        """Give an ephemeral app its time anew.

        Raises:
            AppStopped: it was addressed by id, and is stopped.
            NotFound: there is none that the caller may see.
            NotEphemeral: it lives until it is stopped.
        """
        registry = self._registry
        async with registry.changing():
            app = await registry.live_app(principal, ref, environment)
            if app.ttl_s is None:
                raise NotEphemeral(
                    f"The app {app.name} ({app.id}) is deployed, not ephemeral: it lives until it is stopped."
                )
            renewed = _renewed(app, registry.clock.now())
            await registry.commit([Save(renewed)], lambda: registry.catalog.put_app(renewed))
        return renewed

    async def stop(self, principal: Principal, ref: str, environment: str | None = None) -> None:
        """Stop an app: its queued and running inputs are cancelled, its containers drain, its name is free.

        By id, an app that is stopped already is no error.

        Raises:
            NotFound: there is none that the caller may see.
        """
        app = await self._registry.any_app(principal, ref, environment)
        async with self._registry.changing():
            await self._stop(app.id, principal.token_id)

    def due(self, now: float) -> list[App]:
        """Ephemeral apps whose time has run out at `now` (seconds since 1970)."""
        return [app for app in self._registry.catalog.apps() if app.expires_at is not None and app.expires_at <= now]

    async def expire(self, now: float) -> None:
        """Stop every app that is due; one that is renewed meanwhile lives on."""
        registry = self._registry
        for app in self.due(now):
            async with registry.changing():
                if registry.catalog.app_by_id(app.id) == app:
                    await self._stop(app.id, EXPIRED)

    async def renew_all(self, now: float) -> None:
        """Give every ephemeral app its whole time anew, after one in which nobody could renew it."""
        registry = self._registry
        async with registry.changing():
            renewed = [_renewed(app, now) for app in registry.catalog.apps() if app.ttl_s is not None]
            if renewed:
                await registry.commit(map(Save, renewed), lambda: _put_all(registry, renewed))

    async def _stop(self, app_id: str, by: str) -> None:
        registry = self._registry
        app = registry.catalog.app_by_id(app_id)
        if app is None:
            return
        stopped = replace(app, stopped_at=registry.clock.now(), stopped_by=by)
        gone = [live.function_id for live in registry.catalog.functions_of(app_id)]
        schedules, labels = registry.schedules.without(gone), registry.labels.without(gone)

        def then() -> None:
            schedules.apply()
            labels.apply()
            for live in registry.catalog.remove_app(app_id):
                registry.deployments.retire(live.function_id, by="app_stopped")

        await registry.commit([Save(stopped), *schedules.changes, *labels.changes], then)
        _log.info("app_stopped", app_id=app_id, name=app.name, environment=app.environment, by=by)


def _put_all(registry: Registry, apps: Iterable[App]) -> None:
    for app in apps:
        registry.catalog.put_app(app)


def _renewed(app: App, now: float) -> App:
    return replace(app, expires_at=now + (app.ttl_s or 0))


def _check_new(name: str, tags: Mapping[str, str], ttl_s: int | None) -> None:
    errors = []
    if problem := app_name_problem(name):
        errors.append(FieldError("/name", problem))
    if ttl_s is not None and not TTL_S[0] <= ttl_s <= TTL_S[1]:
        errors.append(FieldError("/ttl", f"must be {TTL_S[0]} to {TTL_S[1]} seconds, got {ttl_s}"))
    errors += _tag_errors(tags)
    if errors:
        raise Invalid(f"{errors[0].pointer}: {errors[0].message}", errors=errors)


def _tag_errors(tags: Mapping[str, str]) -> Sequence[FieldError]:
    if len(tags) > MAX_TAGS:
        return [FieldError("/tags", f"must be at most {MAX_TAGS} tags, are {len(tags)}")]
    wrong = [key for key, value in tags.items() if not (_TAG_KEY.match(key) and _TAG_VALUE.match(value))]
    message = f"the key must have 1 to {MAX_TAG_CHARS} characters, the value at most {MAX_TAG_CHARS}, none of them NUL"
    return [FieldError(pointer("tags", key), message) for key in wrong]
