"""Definitions as they came: what each says, whether its source has it, and what this server makes of it."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from yurt.domain.capacity import Shortage, choose
from yurt.domain.definitions import FunctionDefinition, check_definition, refusal
from yurt.domain.errors import FieldError
from yurt.domain.modules import SourceError
from yurt.domain.naming import name_problem, pointer
from yurt.domain.records import App, AppState, Secret
from yurt.domain.secrets import missing
from yurt.domain.source_tree import SourceErrors, SourceTree
from yurt.usecases.registry import Registry
from yurt.usecases.sources import Sources, source_error


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that was accepted and will not do what its author may expect.

    Args:
        code: for machines, such as `image_ignored`.
        pointer: the field, as in errors.
    """

    code: str
    function: str
    pointer: str
    message: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A definition that was read and found right. `packed` are the bytes of inline files, still to be kept."""

    name: str
    definition: FunctionDefinition
    definition_json: str
    bundle: str | None
    packed: bytes | None = None


class Reading:
    """Reads the definitions of a deploy; nothing is changed."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._sources = Sources(registry)

    async def read(
        self, app: App, definitions: Mapping[str, object], at: Callable[[str], tuple[str, ...]]
    ) -> tuple[list[Wanted], list[Warned]]:
        """Definitions by the names of their functions, each found right, and what will not be as they say.

        Args:
            definitions: decoded JSON by function name.
            at: where the definition of a name stands in the body.

        Raises:
            Invalid: some are wrong; every bad field of all of them is named.
        """
        errors: list[FieldError] = []
        read: dict[str, FunctionDefinition] = {}
        for name, value in definitions.items():
            if problem := name_problem(name):
                errors.append(FieldError(pointer(*at(name)), problem))
            found = check_definition(value, at=at(name), default_max=self._registry.default_max)
            if isinstance(found, FunctionDefinition):
                read[name] = found
                errors += self._beyond_engine(found, at(name))
            else:
                errors += found
        trees: dict[str, SourceTree] = {}
        bundles: dict[str, tuple[str | None, bytes | None]] = {}
        for name, definition in read.items():
            try:
                bundles[name] = await self._sources.of(app, definition, trees)
            except SourceErrors as found_errors:
                errors += [source_error(error, definition, at(name)) for error in found_errors.errors]
            except SourceError as error:
                errors.append(source_error(error, definition, at(name)))
        errors += await self.missing_secrets(app, read, at)
        if errors:
            raise refusal(errors)
        wanted = [
            Wanted(name, definition, json.dumps(definitions[name], ensure_ascii=False), *bundles[name])
            for name, definition in read.items()
        ]
        warnings = [warned for name, one in read.items() for warned in self._warnings(app, name, one, at(name))]
        return wanted, warnings + await self._gpu_warnings(read, at)

    async def missing_secrets(
        self, app: App, definitions: Mapping[str, FunctionDefinition], at: Callable[[str], tuple[str, ...]]
    ) -> list[FieldError]:
        """One error for each secret that a definition names and the app's environment does not have."""
        if not any(definition.secrets for definition in definitions.values()):
            return []
        found = await self._registry.store.records.find(Secret, {"environment": app.environment})
        known = {secret.name for secret in found}
        return [
            error
            for name, definition in definitions.items()
            for error in missing(definition.secrets, known, app.environment, (*at(name), "secrets"))
        ]

    def _beyond_engine(self, definition: FunctionDefinition, at: tuple[str, ...]) -> Iterator[FieldError]:
        """What a definition asks for and this server's engine cannot give."""
        if definition.requirements and not self._registry.requirements:
            message = "is not supported by this engine yet: put the packages into the function's image"
            yield FieldError(pointer(*at, "requirements"), message, "not_supported")
        if definition.answers_http and not self._registry.finds_servers:
            key = "kind" if definition.web is None else "web"
            message = "is not supported by this engine yet: it does not find the servers of its containers"
            yield FieldError(pointer(*at, key), message, "not_supported")

    async def _gpu_warnings(
        self, read: Mapping[str, FunctionDefinition], at: Callable[[str], tuple[str, ...]]
    ) -> list[Warned]:
        """One for each function whose GPUs the engine does not have, whoever else asks."""
        asking = {name: one.gpu for name, one in read.items() if one.gpu}
        if not asking:
            return []
        capacity = await self._registry.capacity()
        if capacity.reason is not None and not capacity.gpus:
            return []  # not known now
        lacking = {name: choose(gpus, capacity) for name, gpus in asking.items()}
        return [
            Warned(found.code, name, pointer(*at(name), "gpu"), f"{found.message} Calls of the function will wait.")
            for name, found in lacking.items()
            if isinstance(found, Shortage) and found.code == "no_such_gpu"
        ]

    def _warnings(self, app: App, name: str, definition: FunctionDefinition, at: tuple[str, ...]) -> Iterator[Warned]:
        """What is accepted, and will not be as the definition says on this engine, or in this app."""
        if definition.image is not None and not self._registry.honours_image:
            message = "This engine ignores images: the function runs with the interpreter of its containers."
            yield Warned("image_ignored", name, pointer(*at, "image"), message)
        if definition.schedule is not None and app.state is AppState.EPHEMERAL:
            message = "The app is ephemeral: its schedules run only when they are told to, with yurt schedule run."
            yield Warned("schedule_inactive", name, pointer(*at, "schedule"), message)
        if definition.answers_http:
            for code, key, message in self._web_warnings(definition):
                yield Warned(code, name, pointer(*at, *key), message)

    def _web_warnings(self, definition: FunctionDefinition) -> Iterator[tuple[str, tuple[str, ...], str]]:
        """Of a function that answers HTTP: code, key and message of each."""
        if not self._registry.web.urls("label"):
            message = "Nobody can reach it: start the server with --web-url or --gateway-listen."
            yield "web_unreachable", ("kind",), message
        if "concurrency" not in definition.model_fields_set:
            message = "Each container answers one request at a time: say with concurrency.max_inputs how many it can."
            yield "one_at_a_time", ("concurrency",), message
        if definition.port is not None and not self._registry.isolates:
            message = (
                "The containers of this engine share the ports of their machine: one alone can listen on this one, and "
                "a new revision cannot start beside it. Leave port out, and listen on the port that PORT names."
            )
            yield "port_shared", ("port",), message
