"""The shapes of apps, functions, revisions and bundles.

Functions are answered as plain mappings, because a definition goes out byte by byte as it came; their models stand for
them in the document, and the tests hold answers against them.
"""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from pydantic import Field

from yurt.domain import records
from yurt.domain.classes import Parameter
from yurt.domain.endings import Ending
from yurt.domain.functions import Scaling
from yurt.domain.overrides import Override
from yurt.domain.records import AppState
from yurt.domain.times import rfc3339
from yurt.domain.web import Kind
from yurt.inbound.rest.models import Name, Query, Shown, Time
from yurt.usecases.functions import Autoscaling
from yurt.usecases.reading import Warned
from yurt.usecases.registry import FunctionView

APP_ID = "ap-01kag5vvn0c6c3xz2v1jqhd4rt"
FUNCTION_ID = "fu-01kag5vvn0f9jq2m7c4w8x0yzr"
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
NOW = "2026-11-22T10:15:30.125Z"

APP_EXAMPLE = {
    "app_id": APP_ID,
    "name": "thumbs",
    "state": "deployed",
    "environment": "main",
    "tags": {"team": "media"},
    "created_at": NOW,
    "containers_running": 0,
}
DEFINITION_EXAMPLE = {
    "entrypoint": "main:resize",
    "source": {"files": {"main.py": "def resize(width):\n    return width // 2\n"}},
    "memory": 1024,
    "timeout": 60,
}
FUNCTION_EXAMPLE = {
    "function_id": FUNCTION_ID,
    "app_id": APP_ID,
    "app": "thumbs",
    "name": "resize",
    "environment": "main",
    "kind": "function",
    "entrypoint": "main:resize",
    "revision": 1,
    "cpu": 0.125,
    "memory": 1024,
    "timeout": 60,
    "startup_timeout": 300,
    "retries": 0,
    "min_containers": 0,
    "max_containers": 10,
    "buffer_containers": 0,
    "scaledown_window": 60,
    "definition": DEFINITION_EXAMPLE,
    "created_at": NOW,
    "updated_at": NOW,
}


class PlaceQuery(Query):
    """Where a name is looked up."""

    environment: Name | None = Field(
        default=None, description="Where a name is looked up; else the token's environment, else `main`."
    )


class App(Shown):
    """A named bundle of functions."""

    app_id: str
    name: str
    state: AppState
    environment: str
    tags: dict[str, str]
    created_at: Time
    expires_at: Time | None = Field(None, description="Of an ephemeral app: when it is stopped unless renewed.")
    stopped_at: Time | None = None
    containers_running: int = Field(description="Containers of its functions that live, draining ones too.")


class DeployWarning(Shown):
    """Something accepted that will not do what its author may expect."""

    code: str
    function: str
    pointer: str = Field(description="Where it stands in the body, a JSON pointer.")
    message: str


class Function(Shown):
    """A function with its values in force: default, then definition, then the live override."""

    function_id: str
    app_id: str
    app: str
    name: str
    environment: str
    kind: Kind
    entrypoint: str
    revision: int
    image: str | None = None
    gpu: str | None = Field(None, description="The first choice, in canonical spelling.")
    cpu: float = Field(description="Cores.")
    memory: int = Field(description="MiB.")
    timeout: int = Field(description="Seconds.")
    startup_timeout: int = Field(description="Seconds.")
    retries: int
    min_containers: int
    max_containers: int
    buffer_containers: int
    scaledown_window: int = Field(description="Seconds.")
    methods: list[str] | None = Field(None, description="Of a class: what can be called.")
    parameters: list[Parameter] | None = Field(None, description="Of a class: what its objects are made with.")
    web_url: str | None = Field(None, description="Where a function that answers HTTP is reached.")
    web_urls: list[str] | None = Field(
        None, description="Every such place, `web_url` first: by a host name of its own, and by a path."
    )
    definition: dict[str, Any] | None = Field(None, description="What was sent. Left out of lists.")
    created_at: Time
    updated_at: Time
    deleted_at: Time | None = None
    deploy_error: dict[str, Any] | None = Field(
        None, description="Why the current revision does not start, while it does not."
    )
    warnings: list[DeployWarning] | None = Field(None, description="Of the definition just sent.")


class Updated(Shown):
    """A function that a deploy gave a new revision."""

    name: str
    changed: list[str] = Field(
        description="The keys that differ; `deploy_error` where the same definition is tried again after failed starts."
    )
    revision: int


class Deploy(Shown):
    """What a deploy did, or with `dry_run` would do."""

    app_id: str | None = Field(None, description="Left out by a dry run of an app that is not there yet.")
    created: list[str]
    updated: list[Updated]
    unchanged: list[str]
    removed: list[str]
    warnings: list[DeployWarning]
    web_urls: dict[str, str] | None = Field(None, description="By function: where those are reached that answer HTTP.")


class Revision(Shown):
    """An immutable, numbered definition of a function."""

    function_id: str
    revision: int
    current: bool
    definition: dict[str, Any] = Field(description="What was sent, without the text of inline files.")
    bundle: str | None = Field(None, description="The sha256 of its source as a zip archive.")
    rollback_of: int | None = Field(None, description="The revision whose definition it repeats.")
    created_at: Time
    created_by: str = Field(description="The id of the token.")


class ScalingKeys(Shown):
    """How many containers a function may have; `max_containers` 0 is paused."""

    min_containers: int | None = None
    max_containers: int | None = None
    buffer_containers: int | None = None
    scaledown_window: int | None = None


class OverrideKeys(ScalingKeys):
    """What is overridden now, and whether a redeploy keeps it."""

    sticky: bool


class AutoscalerPatch(Override):
    """What to override; an absent key leaves what was, null takes its override away."""


class Autoscaler(Shown):
    """Where the scaling of a function comes from; `effective` is what holds."""

    function_id: str
    default: ScalingKeys
    defined: ScalingKeys
    override: OverrideKeys
    effective: ScalingKeys


class Bundle(Shown):
    """Source code as a zip archive, known by content."""

    sha256: str
    environment: str
    size_bytes: int
    created_at: Time


def app(found: records.App, containers_running: int) -> App:
    """An app as it is shown."""
    return App(
        app_id=found.id,
        name=found.name,
        state=found.state,
        environment=found.environment,
        tags=json.loads(found.tags_json),
        created_at=rfc3339(found.created_at),
        expires_at=_time(found.expires_at) if found.stopped_at is None else None,
        stopped_at=_time(found.stopped_at),
        containers_running=containers_running,
    )


def function(
    view: FunctionView,
    error: Ending | None,
    *,
    whole: bool = True,
    warnings: Sequence[Warned] = (),
    urls: Sequence[str] = (),
) -> dict[str, Any]:
    """A function as it is shown; with its definition where `whole`. `urls` are where it answers HTTP."""
    live, record, definition = view.live, view.function, view.definition
    shown: dict[str, Any] = {
        "function_id": record.id,
        "app_id": view.app.id,
        "app": view.app.name,
        "name": record.name,
        "environment": view.app.environment,
        "kind": definition.kind,
        "entrypoint": definition.entrypoint,
        "revision": record.revision,
        "image": definition.image,
        "gpu": definition.gpu[0] if definition.gpu else None,
        "cpu": definition.cpu,
        "memory": definition.memory,
        "timeout": definition.timeout,
        "startup_timeout": definition.startup_timeout,
        "retries": definition.retries.max_retries,
        **_scaling(live.scaling),
        "methods": definition.methods or None,
        "parameters": [one.model_dump(exclude_none=True) for one in definition.parameters] or None,
        "web_url": urls[0] if urls else None,
        "web_urls": urls or None,
        "definition": msgspec.Raw(view.revision.definition_json.encode()) if whole else None,
        "created_at": rfc3339(record.created_at),
        "updated_at": rfc3339(record.updated_at),
        "deleted_at": _time(record.deleted_at),
        "deploy_error": None if error is None else {"outcome": error.outcome.value, **error.error},
        "warnings": [warning(one).model_dump() for one in warnings] or None,
    }
    return {key: value for key, value in shown.items() if value is not None}


def warning(found: Warned) -> DeployWarning:
    """A warning as it is shown."""
    return DeployWarning(code=found.code, function=found.function, pointer=found.pointer, message=found.message)


def revision(found: records.Revision, current: int) -> Revision:
    """A revision as it is shown; a list of them does not repeat whole sources."""
    definition = json.loads(found.definition_json)
    if found.bundle is not None:
        definition["source"] = {"bundle": found.bundle}
    return Revision(
        function_id=found.function_id,
        revision=found.number,
        current=found.number == current,
        definition=definition,
        bundle=found.bundle,
        rollback_of=found.rollback_of,
        created_at=rfc3339(found.created_at),
        created_by=found.created_by,
    )


def autoscaler(found: Autoscaling) -> Autoscaler:
    """The scaling of a function, from default to effective."""
    return Autoscaler(
        function_id=found.function_id,
        default=ScalingKeys(**_scaling(found.default)),
        defined=ScalingKeys(**found.defined),
        override=OverrideKeys(**found.override.model_dump()),
        effective=ScalingKeys(**_scaling(found.effective)),
    )


def bundle(found: records.Bundle) -> Bundle:
    """A bundle as it is shown."""
    return Bundle(
        sha256=found.sha256,
        environment=found.environment,
        size_bytes=found.size_bytes,
        created_at=rfc3339(found.created_at),
    )


def _scaling(scaling: Scaling) -> dict[str, int]:
    return {
        "min_containers": scaling.min_containers,
        "max_containers": scaling.max_containers,
        "buffer_containers": scaling.buffer_containers,
        "scaledown_window": int(scaling.scaledown_window_s),
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)
