"""The operations on apps."""

from typing import Annotated, Any

from aiohttp import web
from pydantic import BeforeValidator, ConfigDict, Field, JsonValue, WithJsonSchema

from yurt.domain import records
from yurt.domain.errors import FieldError, Invalid
from yurt.domain.records import AppState, Role
from yurt.domain.validation import whole
from yurt.inbound.rest import registry_shapes as shapes
from yurt.inbound.rest.answers import cursor, cursor_key, json_answer, nothing, page
from yurt.inbound.rest.context import Context
from yurt.inbound.rest.models import Body, Name, PageQuery
from yurt.inbound.rest.operations import Answer, Header, JsonBody, Operation, PageOf
from yurt.inbound.rest.registry_shapes import APP_EXAMPLE, App, PlaceQuery
from yurt.usecases.apps import DEFAULT_TTL_S, MAX_TAGS, TAG_KEY_PATTERN, TAG_VALUE_PATTERN, TTL_S

_TAG = "Apps"


_TAGS: dict[str, JsonValue] = {
    "type": ["object", "null"],
    "maxProperties": MAX_TAGS,
    "propertyNames": {"pattern": TAG_KEY_PATTERN},
    "additionalProperties": {"type": "string", "pattern": TAG_VALUE_PATTERN},
}
_TTL_OF_EPHEMERAL: dict[str, JsonValue] = {
    "anyOf": [
        {"properties": {"ttl": {"type": "null"}}},
        {"properties": {"ephemeral": {"const": True}}, "required": ["ephemeral"]},
    ]
}


class AppCreate(Body):
    """What a new app is to be."""

    model_config = ConfigDict(json_schema_extra=_TTL_OF_EPHEMERAL)

    name: Name = Field(
        description="1 to 64 letters, digits, dots, dashes and underscores, beginning with a letter or a digit; not "
        "beginning like an id (`ap-`, `fu-`)."
    )
    environment: Name | None = Field(None, description="Absent: the token's environment, else `main`.")
    tags: Annotated[dict[str, str] | None, WithJsonSchema(_TAGS)] = Field(
        None, max_length=MAX_TAGS, description="For people and tools; keys and values of at most 63 characters."
    )
    ephemeral: bool = Field(default=False, description="Stop it unless it is renewed within its `ttl`.")
    ttl: Annotated[int, Field(ge=TTL_S[0], le=TTL_S[1]), BeforeValidator(whole)] | None = Field(
        None, description=f"Of an ephemeral app, in seconds. Absent: {DEFAULT_TTL_S}."
    )


class AppsQuery(PageQuery):
    """Which apps."""

    environment: Name | None = Field(default=None, description="Only of this one. Absent: all that the token sees.")
    state: AppState | None = None
    name: Name | None = None


async def _shown(ctx: Context[Any, Any], app: records.App) -> App:
    return shapes.app(app, await ctx.services.apps.containers_running(app))


async def _create(ctx: Context[None, AppCreate]) -> web.StreamResponse:
    body = ctx.body
    if body.ttl is not None and not body.ephemeral:
        message = "is of ephemeral apps only: send ephemeral: true with it"
        raise Invalid(f"/ttl: {message}.", errors=[FieldError("/ttl", message)])
    ttl_s = (body.ttl or DEFAULT_TTL_S) if body.ephemeral else None
    app = await ctx.services.apps.create(
        ctx.principal, name=body.name, environment=body.environment, tags=body.tags, ttl_s=ttl_s
    )
    return json_answer(201, await _shown(ctx, app), {"Location": f"/v1/apps/{app.id}"})


async def _list(ctx: Context[AppsQuery, None]) -> web.StreamResponse:
    query = ctx.query
    key = cursor_key("apps", query.cursor, str)
    found = await ctx.services.apps.find(
        ctx.principal,
        environment=query.environment,
        state=query.state,
        name=query.name,
        before=key,
        limit=query.limit + 1,
    )
    shown = found[: query.limit]
    following = cursor("apps", shown[-1].id) if len(found) > len(shown) else None
    return page([await _shown(ctx, app) for app in shown], following)


async def _get(ctx: Context[PlaceQuery, None]) -> web.StreamResponse:
    app = await ctx.services.apps.get(ctx.principal, ctx.path["app_id"], ctx.query.environment)
    return json_answer(200, await _shown(ctx, app))


async def _stop(ctx: Context[PlaceQuery, None]) -> web.StreamResponse:
    await ctx.services.apps.stop(ctx.principal, ctx.path["app_id"], ctx.query.environment)
    return nothing()


async def _renew(ctx: Context[PlaceQuery, None]) -> web.StreamResponse:
    app = await ctx.services.apps.renew(ctx.principal, ctx.path["app_id"], ctx.query.environment)
    return json_answer(200, await _shown(ctx, app))


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/v1/apps",
        operation_id="listApps",
        tag=_TAG,
        summary="List apps",
        description="All apps that the token can see, stopped ones too, newest first.",
        role=Role.READ,
        handler=_list,
        query=AppsQuery,
        problems=(404,),
        answers=(Answer(200, "A page of apps.", PageOf(App), example={"data": [APP_EXAMPLE]}),),
    ),
    Operation(
        method="POST",
        path="/v1/apps",
        operation_id="createApp",
        tag=_TAG,
        summary="Create an app",
        description=(
            "An app lives until it is stopped, or, if it is ephemeral, until nobody renews it. Of the live apps of an "
            "environment one bears a name: the problem of a taken one has the bearer's `app_id`."
        ),
        role=Role.DEPLOY,
        handler=_create,
        body=JsonBody(
            AppCreate,
            empty='Send at least {"name": "…"}.',
            example={"name": "thumbs", "environment": "main", "tags": {"team": "media"}},
        ),
        problems=(404, 409),
        answers=(
            Answer(201, "The app.", App, headers=(Header("Location", "Where the app is shown."),), example=APP_EXAMPLE),
        ),
    ),
    Operation(
        method="GET",
        path="/v1/apps/{app_id}",
        operation_id="getApp",
        tag=_TAG,
        summary="Get an app",
        description="By id also a stopped one; by name the live one.",
        role=Role.READ,
        handler=_get,
        query=PlaceQuery,
        answers=(Answer(200, "The app.", App, example=APP_EXAMPLE),),
    ),
    Operation(
        method="DELETE",
        path="/v1/apps/{app_id}",
        operation_id="stopApp",
        tag=_TAG,
        summary="Stop an app",
        description=(
            "Its queued and running inputs end `terminated`, its containers drain (`containers_running` shows how many "
            "are left), its name is free. Calls stay readable. By id, again on a stopped app it is 204."
        ),
        role=Role.DEPLOY,
        handler=_stop,
        query=PlaceQuery,
        answers=(Answer(204, "It is stopped, now or before."),),
    ),
    Operation(
        method="POST",
        path="/v1/apps/{app_id}/renew",
        operation_id="renewApp",
        tag=_TAG,
        summary="Renew an ephemeral app",
        description="Gives it its `ttl` anew, from now.",
        role=Role.DEPLOY,
        handler=_renew,
        query=PlaceQuery,
        problems=(409,),
        answers=(
            Answer(
                200,
                "The app.",
                App,
                example={**APP_EXAMPLE, "state": "ephemeral", "expires_at": "2026-11-22T10:16:30.125Z"},
            ),
        ),
    ),
)
"""Rows of the operation table."""
