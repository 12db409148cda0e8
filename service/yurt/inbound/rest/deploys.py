"""The operations that deploy functions: from definitions to revisions."""

import re
from collections.abc import Mapping

from aiohttp import web
from pydantic import Field

from yurt.domain.definitions import definition_schema, refusal
from yurt.domain.errors import FieldError, Malformed
from yurt.domain.naming import NAME_PATTERN, did_you_mean, pointer, shown
from yurt.domain.records import Role
from yurt.domain.validation import type_name
from yurt.domain.web import WebPlaces
from yurt.inbound.rest import registry_shapes as shapes
from yurt.inbound.rest.answers import json_answer
from yurt.inbound.rest.bodies import decode_json
from yurt.inbound.rest.context import Context
from yurt.inbound.rest.functions import answer_function
from yurt.inbound.rest.operations import Answer, Header, Operation, RawJsonBody
from yurt.inbound.rest.registry_shapes import (
    APP_ID,
    DEFINITION_EXAMPLE,
    FUNCTION_EXAMPLE,
    Deploy,
    Function,
    PlaceQuery,
)
from yurt.usecases.deploys import Deployed

_TAG = "Functions"
_ONE_TAG = r'(?:W/)?"([!#-~]*)"|([0-9]+|\*)'
_ENTITY_TAG = re.compile(_ONE_TAG)
_ENTITY_TAGS = re.compile(rf"\s*(?:{_ONE_TAG})\s*(?:,\s*(?:{_ONE_TAG})\s*)*\Z")
"""RFC 9110, section 8.8.3. Proxies that compress make tags weak, people forget the quotes; the number says the same."""

_DEFINITION = definition_schema()
_DEPLOY = {
    "type": "object",
    "required": ["functions"],
    "properties": {
        "functions": {
            "type": "object",
            "description": "Definitions by name.",
            "propertyNames": {"pattern": NAME_PATTERN},
            "additionalProperties": _DEFINITION,
        },
        "prune": {
            "type": "boolean",
            "default": False,
            "description": "Delete the app's functions that are not named here.",
        },
    },
    "additionalProperties": False,
}


_ETAG = Header("ETag", "The revision's number; send it in `If-Match` to change this very one.")
_LOCATION = Header("Location", "Where the function is shown.")
_IF_MATCH = Header(
    "If-Match",
    "The `ETag` that you saw: replace only that revision, else 412. `*`: replace only what is there.",
    {"type": "string", "pattern": r'^((W/)?"[!#-~]*"|[0-9]+|\*)$'},
)


class DeployQuery(PlaceQuery):
    """Whether to do it."""

    dry_run: bool = Field(
        default=False,
        description="Check everything and say what would change, and change nothing; by a name that no live app bears, "
        "as for a new app.",
    )


async def _put_all(ctx: Context[DeployQuery, bytes]) -> web.StreamResponse:
    definitions, prune = _deploy(decode_json(ctx.body))
    done = await ctx.services.functions.put_all(
        ctx.principal,
        ctx.path["app_id"],
        definitions,
        environment=ctx.query.environment,
        prune=prune,
        dry_run=ctx.query.dry_run,
    )
    return json_answer(200, _deployed(done, ctx.services.web))


async def _put(ctx: Context[PlaceQuery, bytes]) -> web.StreamResponse:
    done = await ctx.services.functions.put(
        ctx.principal,
        ctx.path["app_id"],
        ctx.path["name"],
        decode_json(ctx.body),
        environment=ctx.query.environment,
        if_match=_tags(ctx.header("If-Match")),
    )
    return answer_function(ctx, done.view, 201 if done.created else 200, done.warnings)


def _deployed(done: Deployed, places: WebPlaces) -> Deploy:
    lives = [step.view.live for step in done.steps]
    urls = {live.name: places.urls(live.web.label)[:1] for live in lives if live.web is not None}
    return Deploy(
        app_id=None if done.app is None else done.app.id,
        created=[step.view.function.name for step in done.steps if step.changed is None],
        updated=[
            shapes.Updated(
                name=step.view.function.name, changed=list(step.changed), revision=step.view.function.revision
            )
            for step in done.steps
            if step.changed
        ],
        unchanged=[step.view.function.name for step in done.steps if step.changed == ()],
        removed=list(done.removed),
        warnings=[shapes.warning(found) for found in done.warnings],
        web_urls={name: found[0] for name, found in urls.items() if found} or None,
    )


def _deploy(body: object) -> tuple[Mapping[str, object], bool]:
    """The definitions and `prune` of a deploy's body."""
    if not isinstance(body, dict):
        raise refusal([FieldError("", f"must be an object, got {type_name(body)}")])
    known = ("functions", "prune")
    errors = [
        FieldError(pointer(key), f"unknown key {shown(key)}.{did_you_mean(key, known)}", "unknown_key")
        for key in body
        if key not in known
    ]
    functions, prune = body.get("functions"), body.get("prune", False)
    if not isinstance(functions, dict):
        got = "is missing" if "functions" not in body else f"must be an object, got {type_name(functions)}"
        errors.append(FieldError("/functions", got))
    if not isinstance(prune, bool):
        errors.append(FieldError("/prune", f"must be true or false, got {type_name(prune)}"))
    if errors or not isinstance(functions, dict):
        raise refusal(errors)
    return functions, prune is True


def _tags(header: str | None) -> list[str] | None:
    """What `If-Match` lists: entity tags without their quotes, or `*`."""
    if header is None:
        return None
    if not _ENTITY_TAGS.match(header):
        raise Malformed(f'If-Match must be an entity tag such as "7", or *, got {shown(header)}.')
    return [quoted or bare for quoted, bare in _ENTITY_TAG.findall(header)]


_EMPTY_DEFINITION = 'Send a definition: at least {"entrypoint": "module:name"} and, unless an image has it, the source.'

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="PUT",
        path="/v1/apps/{app_id}/functions",
        operation_id="putFunctions",
        tag=_TAG,
        summary="Deploy functions",
        description=(
            "Registers or replaces all of them in one transaction, or none: every bad field of every definition is "
            "named at once. A definition that says nothing new makes no revision."
        ),
        role=Role.DEPLOY,
        handler=_put_all,
        query=DeployQuery,
        body=RawJsonBody(
            _DEPLOY,
            empty='Send {"functions": {name: definition}}.',
            example={"functions": {"resize": DEFINITION_EXAMPLE}, "prune": True},
        ),
        problems=(409,),
        answers=(
            Answer(
                200,
                "What was done.",
                Deploy,
                example={
                    "app_id": APP_ID,
                    "created": ["crop"],
                    "updated": [{"name": "resize", "changed": ["memory"], "revision": 2}],
                    "unchanged": [],
                    "removed": ["old"],
                    "warnings": [],
                },
            ),
        ),
    ),
    Operation(
        method="PUT",
        path="/v1/apps/{app_id}/functions/{name}",
        operation_id="putFunction",
        tag=_TAG,
        summary="Register or replace a function",
        description=(
            "From a definition; absent keys are defaults. An older revision serves until a container of the new one is "
            "ready, then drains. A definition that says nothing new makes no revision."
        ),
        role=Role.DEPLOY,
        handler=_put,
        query=PlaceQuery,
        body=RawJsonBody(_DEFINITION, empty=_EMPTY_DEFINITION, example=DEFINITION_EXAMPLE),
        headers=(_IF_MATCH,),
        problems=(409, 412),
        answers=(
            Answer(
                200,
                "The function, at a new revision, or unchanged.",
                Function,
                headers=(_ETAG,),
                example=FUNCTION_EXAMPLE,
            ),
            Answer(201, "It is new.", Function, headers=(_ETAG, _LOCATION), example=FUNCTION_EXAMPLE),
        ),
    ),
)
"""Rows of the operation table."""
