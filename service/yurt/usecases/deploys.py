"""Deploys: from definitions as they came to committed revisions, one or many in one transaction.

Reading comes first and changes nothing; planning compares with what lives, one deploy at a time; applying is one
journal write, after which the catalog and the pools are told.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from yurt.domain import ids
from yurt.domain.changes import Change, Save
from yurt.domain.definitions import changed_keys, parse_stored, refusal
from yurt.domain.errors import FieldError, NotFound, RevisionMoved
from yurt.domain.functions import LiveFunction
from yurt.domain.naming import is_id, name_problem, pointer, shown
from yurt.domain.overrides import Override
from yurt.domain.records import App, Bundle, Function, Revision
from yurt.ports import EngineRefused
from yurt.usecases.catalog import Catalog
from yurt.usecases.labels import LabelPlan
from yurt.usecases.principals import Principal
from yurt.usecases.reading import Reading, Wanted, Warned
from yurt.usecases.registry import FunctionView, Registry

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """What a deploy does to one function: `changed` is None for a new one, and empty where nothing changes."""

    view: FunctionView
    changed: tuple[str, ...] | None

    @property
    def writes(self) -> bool:
        """Whether there is a new revision."""
        return self.changed is None or len(self.changed) > 0


@dataclass(frozen=True, slots=True)
class Deployed:
    """What a deploy did, or with a dry run would do. `app` is None where that was of one that is not there yet."""

    app: App | None
    steps: tuple[Step, ...]
    removed: tuple[str, ...]
    warnings: tuple[Warned, ...]


RETRIED = "deploy_error"
"""Stands among the changed keys where nothing but a failed start was a reason to make a new revision."""


class Deploys:
    """Registers and replaces functions."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._reading = Reading(registry)

    async def deploy(
        self,
        principal: Principal,
        app_ref: str,
        definitions: Mapping[str, object],
        *,
        at: Callable[[str], tuple[str, ...]],
        environment: str | None = None,
        prune: bool = False,
        dry_run: bool = False,
        if_match: Collection[str] | None = None,
    ) -> Deployed:
        """Make each name of `definitions` a function of the app with that definition: all of them, or none.

        A definition that equals the current one, with defaults filled in, makes no new revision, unless the current one
        does not start: then it is tried again.

        Args:
            principal: who asks.
            app_ref: an app's id or name.
            definitions: decoded JSON by function name.
            at: where the definition of a name stands in the body.
            environment: where a name of an app is looked up.
            prune: delete the app's other functions.
            dry_run: check and plan alone; by a name that no live app bears, as for an app that is made first.
            if_match: entity tags, of which one must be the current revision's number.

        Raises:
            AppStopped, NotFound: as `Registry.live_app`.
            Invalid: definitions are wrong; every bad field of all of them is named.
            RevisionMoved: the current revision is none of `if_match`.
        """
        registry = self._registry
        draft = self._draft(principal, app_ref, environment) if dry_run else None
        app = draft or await registry.live_app(principal, app_ref, environment)
        wanted, warnings = await self._reading.read(app, definitions, at)
        if not dry_run:
            for one in wanted:
                if one.packed is not None:
                    await registry.blobs.put(one.packed)
        async with registry.changing():
            if draft is None:
                app = await registry.live_app(principal, app.id, None)
            if errors := await self._reading.missing_secrets(app, {one.name: one.definition for one in wanted}, at):
                raise refusal(errors)  # deleted since they were read
            pruned = (
                [] if not prune else [f for f in registry.catalog.functions_of(app.id) if f.name not in definitions]
            )
            labels = LabelPlan(registry.labels, [live.function_id for live in pruned])
            steps = [await self._plan(principal, app, one, labels, if_match) for one in wanted]
            if errors := _kind_errors(steps, self._registry.catalog, at):
                raise refusal(errors)
            gone = [await self.deletion(principal, live.function_id) for live in pruned]
            if not dry_run:
                await self._apply(app, wanted, steps, gone, labels)
        warnings += await self._foreseen(steps, {warned.code for warned in warnings}, at)
        return Deployed(
            None if draft else app, tuple(steps), tuple(sorted(live.name for live in pruned)), tuple(warnings)
        )

    def _draft(self, principal: Principal, ref: str, environment: str | None) -> App | None:
        """The app that would be made first, or None where the name or the id is not one of an app still to be made.

        Raises:
            NotFound: there is no such environment.
            Invalid: no app can have that name.
        """
        registry = self._registry
        if is_id(ref) or registry.catalog.app(principal, ref, environment) is not None:
            return None
        if problem := name_problem(ref):
            raise refusal([FieldError("/name", problem)])
        place, now = registry.environments.resolve(principal, environment), registry.clock.now()
        return App(ids.ulid(ids.APP, now, registry.random_bytes), place, ref, "{}", now, principal.token_id)

    async def repeat(self, principal: Principal, view: FunctionView, number: int) -> FunctionView:
        """Make the definition of revision `number` the current one again, as a new revision. Only inside `changing`.

        Raises:
            NotFound: there is no such revision.
            Invalid: it names secrets that are not there any more.
        """
        old = await self._registry.store.records.get(Revision, view.function.id, number)
        if old is None:
            raise NotFound(f"{view.live.address} has no revision {number}; the latest is {view.function.revision}.")
        wanted = Wanted(view.function.name, parse_stored(old.definition_json), old.definition_json, old.bundle)
        gone = await self._reading.missing_secrets(view.app, {wanted.name: wanted.definition}, lambda _: ())
        if gone:
            message = f"needs what is gone: {gone[0].message}"
            raise refusal([FieldError("/revision", message)])
        labels = LabelPlan(self._registry.labels)
        step = Step(self._next(principal, view, wanted, labels, rollback_of=number), ("rollback",))
        await self._apply(view.app, [], [step], [], labels)
        return step.view

    async def deletion(self, principal: Principal, function_id: str) -> Function:
        """The record of a live function, marked as deleted by the caller."""
        function = await self._registry.store.records.get(Function, function_id)
        if function is None:
            raise RuntimeError(f"the catalog has a function that the store has not: {function_id}")
        return replace(function, deleted_at=self._registry.clock.now(), deleted_by=principal.token_id)

    async def delete(self, app: App, gone: Sequence[Function]) -> None:
        """Commit deletions. Only inside `changing`."""
        await self._apply(app, [], [], gone, LabelPlan(self._registry.labels, [one.id for one in gone]))

    # ------------------------------------------------------------------ plan

    async def _foreseen(
        self, steps: Sequence[Step], said: Collection[str], at: Callable[[str], tuple[str, ...]]
    ) -> list[Warned]:
        """What the engine knows to stand in the way of any container, but for what was said."""
        lives = [step.view.live for step in steps if step.writes]
        reasons = await asyncio.gather(*map(self._registry.foresee, lives))
        return [
            Warned(reason.code, live.name, pointer(*at(live.name), *_blamed(reason, live)), reason.message)
            for live, reason in zip(lives, reasons, strict=True)
            if reason is not None and reason.code not in said
        ]

    async def _plan(
        self, principal: Principal, app: App, wanted: Wanted, labels: LabelPlan, if_match: Collection[str] | None
    ) -> Step:
        live = self._registry.catalog.function(app.id, wanted.name)
        current = None if live is None else await self._registry.store.records.get(Function, live.function_id)
        _check_match(app, wanted.name, current, if_match)
        if current is None:
            return Step(self._first(principal, app, wanted, labels), None)
        view = await self._registry.view(app, current)
        changed = changed_keys(view.definition, wanted.definition)
        if view.revision.bundle != wanted.bundle:
            changed.append("source")
        if not changed and self._registry.deployments.deploy_error(current.id) is not None:
            changed.append(RETRIED)
        return Step(self._next(principal, view, wanted, labels) if changed else view, tuple(changed))

    def _first(self, principal: Principal, app: App, wanted: Wanted, labels: LabelPlan) -> FunctionView:
        now = self._registry.clock.now()
        function_id = ids.ulid(ids.FUNCTION, now, self._registry.random_bytes)
        function = Function(function_id, app.id, wanted.name, 1, now, now)
        label = labels.assign(app, function.id, function.name, wanted.definition)
        return self._registry.compose(app, function, _revision(principal, function, wanted, now), label)

    def _next(
        self,
        principal: Principal,
        view: FunctionView,
        wanted: Wanted,
        labels: LabelPlan,
        rollback_of: int | None = None,
    ) -> FunctionView:
        now = self._registry.clock.now()
        kept = view.function.override_json
        if kept is not None and not Override.model_validate_json(kept).sticky:
            kept = None
        function = replace(view.function, revision=view.function.revision + 1, updated_at=now, override_json=kept)
        revision = replace(_revision(principal, function, wanted, now), rollback_of=rollback_of)
        label = labels.assign(view.app, function.id, function.name, wanted.definition)
        return self._registry.compose(view.app, function, revision, label)

    # ------------------------------------------------------------------ apply

    async def _apply(
        self,
        app: App,
        wanted: Sequence[Wanted],
        steps: Sequence[Step],
        gone: Sequence[Function],
        labels: LabelPlan,
    ) -> None:
        registry = self._registry
        written = [step.view for step in steps if step.writes]
        changes: list[Change] = [Save(function) for function in gone]  # first: a name may pass to another function
        changes += [Save(record) for view in written for record in (view.function, view.revision)]
        changes += [Save(found) for found in await self._new_bundles(app, wanted)]
        if not changes:
            return
        schedules = registry.schedules.deployed(
            [(app, view.function.id, view.definition.schedule) for view in written],
            gone=[function.id for function in gone],
            now=registry.clock.now(),
            random_bytes=registry.random_bytes,
        )

        relabelled = labels.written(view.function.id for view in written)

        def then() -> None:
            relabelled.apply()
            for function in gone:
                live = registry.catalog.function(app.id, function.name)
                if live is not None:
                    registry.catalog.remove(live)
                registry.deployments.retire(function.id, by="function_deleted")
            for view in written:
                registry.catalog.put(view.live)
                registry.deployments.deploy(view.live)
            schedules.apply()

        await registry.commit((*changes, *schedules.changes, *relabelled.changes), then)
        for view in written:
            _log.info(
                "function_deployed",
                function_id=view.function.id,
                address=view.live.address,
                environment=app.environment,
                revision=view.revision.number,
            )
        for function in gone:
            _log.info("function_deleted", function_id=function.id, app_id=app.id, name=function.name)

    async def _new_bundles(self, app: App, wanted: Sequence[Wanted]) -> list[Bundle]:
        packed = {one.bundle: one.packed for one in wanted if one.bundle is not None and one.packed is not None}
        now = self._registry.clock.now()
        return [
            Bundle(app.environment, sha256, len(data), now)
            for sha256, data in packed.items()
            if await self._registry.store.records.get(Bundle, app.environment, sha256) is None
        ]


def _blamed(reason: EngineRefused, live: LiveFunction) -> tuple[str, ...]:
    """The key that a container cannot be had for."""
    if reason.code == "no_installer":
        return ("requirements",)
    return ("gpu",) if live.gpu else ()


def _revision(principal: Principal, function: Function, wanted: Wanted, now: float) -> Revision:
    return Revision(function.id, function.revision, wanted.definition_json, wanted.bundle, now, principal.token_id)


def _check_match(app: App, name: str, current: Function | None, if_match: Collection[str] | None) -> None:
    if if_match is None or (current is not None and ("*" in if_match or str(current.revision) in if_match)):
        return
    address = f"{app.name}:{name}"
    if current is None:
        raise RevisionMoved(f"There is no function {address} to replace. Leave If-Match out to create it.")
    raise RevisionMoved(
        f"{address} is at revision {current.revision} by now, not at {shown(', '.join(sorted(if_match)))}. Read it "
        "again, and send its ETag in If-Match.",
        extra={"revision": current.revision},
    )


def _kind_errors(steps: Sequence[Step], catalog: Catalog, at: Callable[[str], tuple[str, ...]]) -> list[FieldError]:
    """One error for each function that would become something of which its pending calls cannot be run.

    Functions that are called, classes, and those that answer HTTP are apart: nor could their containers be told apart.
    """
    errors = []
    for step in steps:
        new = step.view.live
        old = catalog.function(new.app_id, new.name)
        if old is not None and (was := _use_of(old)) != (will := _use_of(new)):
            message = f"{new.address} is {was}, and would be {will}: delete it first, or choose another name"
            errors.append(FieldError(pointer(*at(new.name), "kind"), message))
    return errors


def _use_of(live: LiveFunction) -> str:
    if live.web is not None:
        return "a function that answers HTTP"
    return "a function that is called" if live.of_class is None else "a class"
