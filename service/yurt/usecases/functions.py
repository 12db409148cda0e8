"""Functions: read, registered, replaced, deleted, rolled back, and scaled by hand."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import structlog

from yurt.domain.changes import Save
from yurt.domain.definitions import FunctionDefinition, refusal
from yurt.domain.endings import Ending
from yurt.domain.errors import FieldError, YurtError
from yurt.domain.functions import LiveFunction, Scaling
from yurt.domain.overrides import Override, defined_scaling, effective_scaling, override_problem
from yurt.domain.records import App, Function, Revision
from yurt.usecases.deploys import Deployed, Deploys
from yurt.usecases.principals import Principal
from yurt.usecases.reading import Warned
from yurt.usecases.registry import FunctionView, Registry

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Put:
    """What registering one function did.

    Args:
        created: whether it is new; else it was replaced, or nothing changed.
    """

    view: FunctionView
    created: bool
    warnings: tuple[Warned, ...]


@dataclass(frozen=True, slots=True)
class Autoscaling:
    """Where a function's scaling comes from. `defined` and `override` have only what was said."""

    function_id: str
    default: Scaling
    defined: Mapping[str, int]
    override: Override
    effective: Scaling


class Functions:
    """What a caller can ask of functions. `ref` is an id or `app:function`, `app_ref` an app's id or name."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._deploys = Deploys(registry)

    # ------------------------------------------------------------------ read

    def lookup(self, principal: Principal, ref: str, environment: str | None = None) -> LiveFunction | None:
        """The live function that `ref` means, or None; see `Catalog.lookup`."""
        return self._registry.catalog.lookup(principal, ref, environment)

    async def missing(self, principal: Principal, ref: str, environment: str | None = None) -> YurtError:
        """The error for a function that `lookup` did not find; see `Registry.missing`."""
        return await self._registry.missing(principal, ref, environment)

    async def get(self, principal: Principal, ref: str, environment: str | None = None) -> FunctionView:
        """A function. By id it is found also when it was deleted or its app was stopped.

        Raises:
            NotFound: there is none that the caller may see.
        """
        live = self._registry.catalog.lookup(principal, ref, environment)
        function = await self._registry.store.records.get(Function, ref if live is None else live.function_id)
        app = None if function is None else await self._registry.store.records.get(App, function.app_id)
        if function is None or app is None or not principal.sees(app.environment):
            raise await self.missing(principal, ref, environment)
        return await self._registry.view(app, function)

    async def get_in(
        self, principal: Principal, app_ref: str, name: str, environment: str | None = None
    ) -> FunctionView:
        """A function of an app, by name.

        Raises:
            NotFound: there is no such app or function that the caller may see.
        """
        app = await self._registry.any_app(principal, app_ref, environment)
        where = {"app_id": app.id, "name": name, "deleted_at": None}
        found = await self._registry.store.records.find(Function, where, limit=1)
        if not found:
            raise await self._registry.missing_in(app, name)
        return await self._registry.view(app, found[0])

    async def find(
        self,
        principal: Principal,
        app_ref: str,
        *,
        environment: str | None = None,
        before: str | None = None,
        limit: int,
    ) -> list[FunctionView]:
        """The functions of an app, newest first, at most `limit` of those made before the one with the id `before`.

        Raises:
            NotFound: there is no such app that the caller may see.
        """
        app = await self._registry.any_app(principal, app_ref, environment)
        key = None if before is None else (before,)
        where = {"app_id": app.id, "deleted_at": None}
        found = await self._registry.store.records.find(Function, where, before=key, limit=limit)
        return [await self._registry.view(app, function) for function in found]

    def deploy_error(self, function_id: str) -> Ending | None:
        """Why the function's current revision does not start, while it does not."""
        return self._registry.deployments.deploy_error(function_id)

    async def revisions(
        self, principal: Principal, ref: str, *, environment: str | None = None, before: int | None = None, limit: int
    ) -> tuple[Function, list[Revision]]:
        """A function and its revisions, the latest first, at most `limit` of those below the number `before`.

        Raises:
            NotFound: there is no such function that the caller may see.
        """
        function = (await self.get(principal, ref, environment)).function
        key = None if before is None else (function.id, before)
        where = {"function_id": function.id}
        return function, await self._registry.store.records.find(Revision, where, before=key, limit=limit)

    # ------------------------------------------------------------------ change

    async def put(
        self,
        principal: Principal,
        app_ref: str,
        name: str,
        definition: object,
        *,
        environment: str | None = None,
        if_match: Collection[str] | None = None,
    ) -> Put:
        """Register or replace one function; see `Deploys.deploy`."""
        done = await self._deploys.deploy(
            principal, app_ref, {name: definition}, at=lambda _: (), environment=environment, if_match=if_match
        )
        return Put(done.steps[0].view, done.steps[0].changed is None, done.warnings)

    async def put_all(
        self,
        principal: Principal,
        app_ref: str,
        definitions: Mapping[str, object],
        *,
        environment: str | None = None,
        prune: bool = False,
        dry_run: bool = False,
    ) -> Deployed:
        """Register or replace functions in one transaction; pointers begin with `/functions`. See `Deploys.deploy`."""
        return await self._deploys.deploy(
            principal,
            app_ref,
            definitions,
            at=lambda name: ("functions", name),
            environment=environment,
            prune=prune,
            dry_run=dry_run,
        )

    async def delete(self, principal: Principal, ref: str, environment: str | None = None) -> None:
        """Delete a function: its inputs are cancelled, its containers drain.

        By id, one that is deleted already, or whose app is stopped, is no error.

        Raises:
            NotFound: there is none that the caller may see.
        """
        view = await self.get(principal, ref, environment)
        await self._delete(principal, view)

    async def delete_in(self, principal: Principal, app_ref: str, name: str, environment: str | None = None) -> None:
        """Delete a function of an app, by name.

        Raises:
            NotFound: there is no such app or function that the caller may see.
        """
        await self._delete(principal, await self.get_in(principal, app_ref, name, environment))

    async def _delete(self, principal: Principal, view: FunctionView) -> None:
        registry = self._registry
        async with registry.changing():
            if registry.catalog.lookup(principal, view.function.id) is not None:
                gone = await self._deploys.deletion(principal, view.function.id)
                await self._deploys.delete(view.app, [gone])

    async def rollback(
        self, principal: Principal, ref: str, number: int, environment: str | None = None
    ) -> FunctionView:
        """Make the definition of revision `number` the current one again, as a new revision.

        Raises:
            AppStopped, NotFound: there is no such live function, or no such revision of it.
        """
        async with self._registry.changing():
            return await self._deploys.repeat(principal, await self._live(principal, ref, environment), number)

    async def rescale(
        self, principal: Principal, ref: str, patch: Override, environment: str | None = None
    ) -> Autoscaling:
        """Override how many containers a function has, at once and until the next revision, or for good (`sticky`).

        Raises:
            AppStopped, NotFound: there is no such live function.
            Invalid: a minimum would be above its maximum.
        """
        registry = self._registry
        async with registry.changing():
            view = await self._live(principal, ref, environment)
            override = _override(view.function).patched(patch)
            defined = defined_scaling(view.definition, registry.default_max)
            if problem := override_problem(defined, override) or _floor_problem(view.live, override):
                raise refusal([problem])
            effective = effective_scaling(defined, override)
            if override != _override(view.function):
                await self._save_override(view, override, effective)
        default = Scaling(max_containers=registry.default_max)
        return Autoscaling(view.function.id, default, _said(view.definition), override, effective)

    async def _save_override(self, view: FunctionView, override: Override, effective: Scaling) -> None:
        registry = self._registry
        text = None if override.empty else override.model_dump_json(exclude_none=True)
        function = replace(view.function, override_json=text)
        live = replace(view.live, scaling=effective)

        def then() -> None:
            registry.catalog.put(live)
            registry.deployments.rescale(live.function_id, effective)

        await registry.commit([Save(function)], then)
        _log.info("function_rescaled", function_id=function.id, address=live.address, override=text)

    async def _live(self, principal: Principal, ref: str, environment: str | None) -> FunctionView:
        live = self._registry.catalog.lookup(principal, ref, environment)
        if live is None:
            raise await self.missing(principal, ref, environment)
        return await self.get(principal, live.function_id)


def _floor_problem(live: LiveFunction, override: Override) -> FieldError | None:
    """Containers that are kept warm are those of calls without parameters."""
    required = live.of_class.required if live.of_class is not None else []
    if not required or not override.min_containers:
        return None
    message = f"is for calls without parameters, and there can be none: {required[0]} has no default"
    return FieldError("/min_containers", message)


def _override(function: Function) -> Override:
    return Override.model_validate_json(function.override_json) if function.override_json else Override()


def _said(definition: FunctionDefinition) -> Mapping[str, int]:
    """The scaling keys that a definition was sent with."""
    keys = definition.model_fields_set & set(Override.model_fields)
    said = {key: getattr(definition, key) for key in sorted(keys)}
    return {key: value for key, value in said.items() if value is not None}
