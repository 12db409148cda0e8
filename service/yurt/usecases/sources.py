"""Where the source of a function comes from, and whether it is what its definition says."""

import asyncio
from collections.abc import Callable, Mapping

from yurt.domain import bundle
from yurt.domain.definitions import FunctionDefinition
from yurt.domain.errors import FieldError
from yurt.domain.items import no_retries
from yurt.domain.modules import SourceError
from yurt.domain.naming import pointer
from yurt.domain.records import App, Bundle
from yurt.domain.source_tree import SourceErrors, SourceTree
from yurt.domain.web import Kind
from yurt.usecases.registry import Registry


class Sources:
    """Finds the source of definitions, and holds them to it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def of(
        self, app: App, definition: FunctionDefinition, trees: dict[str, SourceTree]
    ) -> tuple[str | None, bytes | None]:
        """The sha256 of a definition's source and, where it is inline, its archive, with the entrypoint checked.

        Raises:
            SourceError, SourceErrors: the source does not have what the definition names, or was not uploaded.
        """
        source = definition.source
        if source is None:
            return None, None
        if source.bundle is not None:
            if source.bundle not in trees:
                trees[source.bundle] = await self._uploaded(app, source.bundle)
            _check_entrypoint(trees[source.bundle], definition)
            return source.bundle, None
        files = {path: text.encode() for path, text in (source.files or {}).items()}
        packed = await asyncio.to_thread(bundle.pack, files)
        sha256 = bundle.name_of(packed)
        if sha256 not in trees:
            trees[sha256] = self._tree({path: len(text) for path, text in files.items()}, files.__getitem__)
        _check_entrypoint(trees[sha256], definition)
        return sha256, packed

    async def _uploaded(self, app: App, sha256: str) -> SourceTree:
        if await self._registry.store.records.get(Bundle, app.environment, sha256) is None:
            message = f"was not uploaded to environment {app.environment}: send it with PUT /v1/bundles/{sha256} first"
            raise SourceError(message, path="")
        archive = await asyncio.to_thread(bundle.Archive, await self._registry.blobs.get(sha256))
        return self._tree(archive.sizes, archive.read)

    def _tree(self, sizes: Mapping[str, int], read: Callable[[str], bytes]) -> SourceTree:
        return SourceTree(sizes, read, self._registry.python())


def source_error(error: SourceError, definition: FunctionDefinition, at: tuple[str, ...]) -> FieldError:
    """What is wrong with a source, at its place in the definition."""
    inline = definition.source is not None and definition.source.files is not None
    where: tuple[str | int, ...] = error.key
    if error.path is not None:
        where = ("source", "files", error.path) if inline else ("source", "bundle")
    return FieldError(pointer(*at, *where), error.message)


def _check_entrypoint(tree: SourceTree, definition: FunctionDefinition) -> None:
    entrypoint, kind = definition.entrypoint, definition.kind
    if (spec := definition.of_class) is not None:
        scheduled, batched = definition.schedule is not None, definition.batching is not None
        errors = tree.check_class(entrypoint, spec, scheduled=scheduled, batched=batched)
        if errors:
            raise SourceErrors(errors)
        for name in tree.generators(entrypoint, spec):
            _check_generator(definition, f"{entrypoint}.{name}")
        return
    if kind in {Kind.ASGI, Kind.WSGI}:
        tree.check_app(entrypoint)
    else:
        tree.check(entrypoint)
    if definition.factory:
        tree.check_alone(entrypoint, "factory")
    if kind is Kind.WEB_SERVER:
        tree.check_alone(entrypoint, "kind")
    if definition.schedule is not None:
        tree.check_alone(entrypoint, "schedule")
    if definition.batching is not None:
        tree.check_batched(entrypoint)
    if tree.is_generator(entrypoint):
        _check_generator(definition, entrypoint)


def _check_generator(definition: FunctionDefinition, name: str) -> None:
    if definition.retries.max_retries:
        raise SourceError(no_retries(name), key="retries")
    if definition.batching is not None:
        raise SourceError(f"{name} is a generator; a batched function returns a list", key="batching")
    if definition.web is not None:
        message = f"{name} is a generator, and an endpoint returns its answer: to stream, use kind asgi"
        raise SourceError(message, key="web")
