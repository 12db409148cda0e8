"""What the use cases of apps, functions and bundles share: the store, the catalog, one order of changes."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from yurt.domain.capacity import Capacity
from yurt.domain.changes import Change, Remove
from yurt.domain.definitions import FunctionDefinition, parse_stored
from yurt.domain.errors import AppStopped, NotFound, Unavailable, YurtError
from yurt.domain.functions import LiveFunction
from yurt.domain.naming import did_you_mean, shown, split_address
from yurt.domain.overrides import Override, defined_batches, defined_scaling, effective_scaling
from yurt.domain.records import App, Function, Label, Revision, Schedule, ScheduleMark
from yurt.domain.requirements import normalized
from yurt.domain.web import Web, WebPlaces
from yurt.ports import Blobs, Clock, Deployments, EngineRefused, Store
from yurt.usecases.catalog import Catalog
from yurt.usecases.environments import Environments
from yurt.usecases.labels import LabelBook
from yurt.usecases.principals import Principal
from yurt.usecases.schedule_book import ScheduleBook

_LISTED = 8


async def _nothing_foreseen(_: LiveFunction) -> EngineRefused | None:
    return None


_STORE_WAIT_S = 5
"""As long as the journal itself lets a caller wait for a store that is away, in seconds."""


@dataclass(frozen=True, slots=True)
class FunctionView:
    """A function with its current revision: everything there is to show of it."""

    app: App
    function: Function
    revision: Revision
    definition: FunctionDefinition
    live: LiveFunction


@dataclass(slots=True, kw_only=True)
class Registry:
    """The ground that the registry's use cases stand on.

    Args:
        random_bytes: a source of ids, such as `secrets.token_bytes`.
        deployments: told of every change after its commit.
        capacity: tells what the engine has to give.
        schedules: those of live functions.
        labels: those of live functions.
        default_max: `max_containers` of functions whose definition names none.
        honours_image: whether the engine runs the image that a definition names.
        isolates: whether containers of the engine have networks of their own.
        web: where functions are reached that answer HTTP.
        requirements: whether the engine gives containers the packages that a definition names.
        finds_servers: whether the servers of the engine's containers are found, which answer HTTP.
        python: tells the version of Python that runs functions, or None where nobody knows.
        foresee: asks the engine why a function's containers could never start; None if nothing stands in the way.
    """

    store: Store
    blobs: Blobs
    clock: Clock
    random_bytes: Callable[[int], bytes]
    environments: Environments
    catalog: Catalog
    deployments: Deployments
    capacity: Callable[[], Awaitable[Capacity]]
    schedules: ScheduleBook = field(default_factory=ScheduleBook)
    labels: LabelBook = field(default_factory=LabelBook)
    default_max: int = 10
    honours_image: bool = False
    isolates: bool = False
    web: WebPlaces = field(default_factory=WebPlaces)
    requirements: bool = True
    finds_servers: bool = True
    python: Callable[[], tuple[int, int] | None] = lambda: sys.version_info[:2]
    foresee: Callable[[LiveFunction], Awaitable[EngineRefused | None]] = _nothing_foreseen
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _unsettled: "asyncio.Future[Exception | None] | None" = None

    async def load(self) -> None:
        """Fill the catalog from the store. Call it once, before anything else; nobody is told of what it finds."""
        for label in await self.store.records.find(Label, {}):
            self.labels.put(label)
        for app in await self.store.records.find(App, {"stopped_at": None}):
            self.catalog.put_app(app)
            for function in await self.store.records.find(Function, {"app_id": app.id, "deleted_at": None}):
                self.catalog.put((await self.view(app, function)).live)
        await self._load_schedules()

    async def _load_schedules(self) -> None:
        """Those of live functions; an older release may have left others."""
        live = {function.function_id for function in self.catalog.all()}
        marks = {mark.schedule_id: mark for mark in await self.store.records.find(ScheduleMark, {})}
        left: list[Change] = []
        for schedule in await self.store.records.find(Schedule, {}):
            app = self.catalog.app_by_id(schedule.app_id)
            if app is not None and schedule.function_id in live:
                self.schedules.load(schedule, app.state, marks.pop(schedule.id, None), self.clock.now())
            else:
                left.append(Remove(Schedule, (schedule.id,)))
        left += [Remove(ScheduleMark, (schedule_id,)) for schedule_id in marks]
        if left:
            await self.store.journal.write(*left)

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Hold it from reading what a change depends on until the change is committed. Deploys are rare: one at a time.

        Raises:
            Unavailable: an earlier change still waits for the store, so that nobody knows what to build upon.
        """
        async with self._lock:
            if self._unsettled is not None and not await _settles(self._unsettled):
                raise _away("An earlier change still waits for the store. Try again when it is back.")
            yield

    async def commit(self, changes: Iterable[Change], then: Callable[[], None]) -> None:
        """Write `changes` and, once they are committed, run `then`, which must not raise. Only inside `changing`.

        `then` runs whenever the commit comes, also when the caller was cancelled or refused meanwhile, so that the
        catalog never lags behind the store.

        Raises:
            YurtError: the store refused the changes, and `then` was not run.
            Unavailable: the store is away. The changes may still be made, and until that is known no others are.
        """
        settled: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

        def done(error: Exception | None) -> None:
            if error is None:
                then()
            settled.set_result(error)

        self.store.journal.add(tuple(changes), done)
        self._unsettled = settled
        if not await _settles(settled):
            raise _away("The store cannot be written now. The change may still be made: look before you ask again.")
        error = settled.result()
        if error is not None:
            raise error

    async def view(self, app: App, function: Function) -> FunctionView:
        """A function with its current revision, live or not."""
        revision = await self.store.records.get(Revision, function.id, function.revision)
        if revision is None:
            raise RuntimeError(f"the store has no revision {function.revision} of {function.id}")
        return self.compose(app, function, revision)

    def compose(self, app: App, function: Function, revision: Revision, label: str | None = None) -> FunctionView:
        """Put records together into what is in force. `label` is the function's, where it gets a new one."""
        definition = parse_stored(revision.definition_json)
        override = Override.model_validate_json(function.override_json) if function.override_json else None
        live = LiveFunction(
            function_id=function.id,
            app_id=app.id,
            environment=app.environment,
            app=app.name,
            name=function.name,
            revision=revision.number,
            entrypoint=definition.entrypoint,
            source_bundle=revision.bundle,
            scaling=effective_scaling(defined_scaling(definition, self.default_max), override),
            timeout_s=definition.timeout,
            startup_timeout_s=definition.startup_timeout,
            memory_mib=definition.memory,
            cpu=definition.cpu,
            gpu=definition.gpu,
            image=definition.image,
            env=definition.env,
            secrets=tuple(definition.secrets),
            requirements=normalized(definition.requirements),
            may_call=bool(definition.may_call),
            single_use_containers=definition.single_use_containers,
            max_inputs=definition.concurrency.max_inputs,
            target_inputs=definition.concurrency.target_inputs,
            batches=defined_batches(definition),
            retries=definition.retries.policy(),
            web=_web(definition, label or self.labels.of(function.id)),
            of_class=definition.of_class,
        )
        return FunctionView(app, function, revision, definition, live)

    async def live_app(self, principal: Principal, ref: str, environment: str | None) -> App:
        """The live app that an id or a name means.

        Raises:
            AppStopped: it was addressed by id, and is stopped.
            NotFound: there is none that the caller may see.
        """
        app = self.catalog.app(principal, ref, environment)
        if app is not None:
            return app
        stopped = await self.store.records.get(App, ref)
        if stopped is None or not principal.sees(stopped.environment):
            raise await self._missing_app(principal, ref, environment)
        raise AppStopped(_stopped(stopped), extra={"app_id": stopped.id})

    async def any_app(self, principal: Principal, ref: str, environment: str | None) -> App:
        """The app of that id, stopped or not, or the live one of that name.

        Raises:
            NotFound: there is none that the caller may see.
        """
        app = self.catalog.app(principal, ref, environment) or await self.store.records.get(App, ref)
        if app is None or not principal.sees(app.environment):
            raise await self._missing_app(principal, ref, environment)
        return app

    async def missing(self, principal: Principal, ref: str, environment: str | None = None) -> YurtError:
        """The error for a function that `Catalog.lookup` did not find.

        Returns:
            `AppStopped` for an id whose function or app is gone; else `NotFound`, which says where the function does
            exist, what is near, or when it went, of what the caller may know.
        """
        if principal.app_id is not None:
            return NotFound(
                f"There is no live function {shown(ref)} in the app of this container; it can call no other."
            )
        address = split_address(ref)
        if address is None:
            return await self._missing_id(principal, ref)
        try:
            place = self.environments.resolve(principal, environment)
        except NotFound as unknown:
            return unknown
        app = self.catalog.named(place, address[0])
        if app is None:
            return await self._missing_app(principal, address[0], place, ref)
        return await self.missing_in(app, address[1], elsewhere=self._elsewhere(principal, place, ref))

    async def missing_in(self, app: App, name: str, *, elsewhere: str = "") -> NotFound:
        """The error for a function that an app does not have."""
        gone = await self.store.records.find(Function, {"app_id": app.id, "name": name, "deleted_at__set": 1}, limit=1)
        known = sorted(live.name for live in self.catalog.functions_of(app.id))
        when = f" It was deleted at {utc(gone[0].deleted_at)}." if gone else ""
        hint = did_you_mean(name, known) or _has("It has", known)
        return NotFound(
            f"The app {app.name} in environment {app.environment} has no function {shown(name)}.{when}{elsewhere}{hint}"
        )

    async def _missing_id(self, principal: Principal, ref: str) -> YurtError:
        function = await self.store.records.get(Function, ref)
        app = await self.store.records.get(App, function.app_id) if function is not None else None
        if function is None or app is None or not principal.sees(app.environment):
            hint = "" if ref.startswith("fu-") else " The name of a function is app:function, such as thumbs:resize."
            return NotFound(f"There is no function {shown(ref)} that this token can see.{hint}")
        address = f"{app.name}:{function.name}"
        if function.deleted_at is not None:
            what = f"The function {address} ({function.id}) was deleted at {utc(function.deleted_at)}."
            return AppStopped(f"{what} Deploy it again and call it by name: {address}.")
        return AppStopped(f"{_stopped(app)} Deploy it again and call the function by name: {address}.")

    async def _missing_app(
        self, principal: Principal, ref: str, environment: str | None, address: str | None = None
    ) -> NotFound:
        try:
            place = self.environments.resolve(principal, environment)
        except NotFound as unknown:
            return unknown
        if ref.startswith("ap-"):
            return NotFound(f"There is no app {shown(ref)} that this token can see.")
        gone = await self.store.records.find(App, {"environment": place, "name": ref, "stopped_at__set": 1}, limit=1)
        when = f" {_stopped(gone[0])}" if gone else ""
        known = sorted(app.name for app in self.catalog.apps() if app.environment == place)
        hint = self._elsewhere(principal, place, address or ref) or did_you_mean(ref, known) or _has("There are", known)
        return NotFound(f"There is no live app {shown(ref)} in environment {place}.{when}{hint}")

    def _elsewhere(self, principal: Principal, place: str, ref: str) -> str:
        """Where else an app's name or a function's address does exist, as a sentence, or nothing."""
        others = [e.name for e in self.environments.visible(principal) if e.name != place]
        look = self.catalog.lookup if ":" in ref else self.catalog.app
        found = [name for name in others if look(principal, ref, name) is not None]
        if not found:
            return ""
        return f" {ref} does exist in environment {', '.join(found[:_LISTED])}: send ?environment={found[0]}."


def _web(definition: FunctionDefinition, label: str | None) -> Web | None:
    if not definition.answers_http:
        return None
    return Web(
        kind=definition.kind,
        label=label or "",
        method=definition.web.method if definition.web is not None else None,
        port=definition.port,
        factory=definition.factory,
        requires_auth=definition.requires_auth,
    )


async def _settles(settled: "asyncio.Future[Exception | None]") -> bool:
    """Whether it is known in time how a commit ended."""
    if not settled.done():
        await asyncio.wait({settled}, timeout=_STORE_WAIT_S)
    return settled.done()


def _away(detail: str) -> Unavailable:
    return Unavailable(detail, code="store_unavailable", retry_after_s=int(_STORE_WAIT_S) or 1)


def utc(seconds: float | None) -> str:
    """A time in a sentence, to the second."""
    return datetime.fromtimestamp(seconds or 0, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _stopped(app: App) -> str:
    return f"The app {app.name} ({app.id}) was stopped at {utc(app.stopped_at)}."


def _has(begin: str, names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f" {begin} {', '.join(names[:_LISTED])}{more}." if names else ""
