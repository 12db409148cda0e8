"""The operations on environments."""

from aiohttp import web
from pydantic import Field

from yurt.domain import records
from yurt.domain.records import Role
from yurt.domain.times import rfc3339
from yurt.inbound.rest.answers import cursor, cursor_key, json_answer, nothing, page
from yurt.inbound.rest.callback_shapes import CallbackSecrets, secrets
from yurt.inbound.rest.context import Context
from yurt.inbound.rest.models import PageQuery, Shown, Time
from yurt.inbound.rest.operations import Answer, Operation, PageOf

_TAG = "Environments"
_EXAMPLE = {"name": "staging", "created_at": "2026-11-22T10:15:30.125Z"}


_NOT_STORED = {"Cache-Control": "no-store"}
_SECRETS_EXAMPLE = {
    "environment": "staging",
    "secrets": [{"secret": "whsec_" + "A" * 43 + "=", "created_at": "2026-11-22T10:15:30.125Z"}],
}


class Environment(Shown):
    """A named space of apps."""

    name: str = Field(description="What `environment` says elsewhere.")
    created_at: Time


def _shown(environment: records.Environment) -> Environment:
    return Environment(name=environment.name, created_at=rfc3339(environment.created_at))


async def _list(ctx: Context[PageQuery, None]) -> web.StreamResponse:
    after = cursor_key("environments", ctx.query.cursor, str)
    found = ctx.services.environments.visible(ctx.principal)
    rest = [environment for environment in found if after is None or environment.name > after]
    shown = rest[: ctx.query.limit]
    following = cursor("environments", shown[-1].name) if len(rest) > len(shown) else None
    return page([_shown(environment) for environment in shown], following)


async def _get(ctx: Context[None, None]) -> web.StreamResponse:
    return json_answer(200, _shown(ctx.services.environments.get(ctx.principal, ctx.path["name"])))


async def _put(ctx: Context[None, None]) -> web.StreamResponse:
    environment, new = await ctx.services.environments.put(ctx.principal, ctx.path["name"])
    return json_answer(201 if new else 200, _shown(environment))


async def _delete(ctx: Context[None, None]) -> web.StreamResponse:
    await ctx.services.environments.delete(ctx.principal, ctx.path["name"])
    return nothing()


async def _secrets(ctx: Context[None, None]) -> web.StreamResponse:
    name = ctx.path["name"]
    found = await ctx.services.callbacks.secrets(ctx.principal, name)
    return json_answer(200, secrets(name, found), _NOT_STORED)


async def _rotate(ctx: Context[None, None]) -> web.StreamResponse:
    name = ctx.path["name"]
    found = await ctx.services.callbacks.rotate(ctx.principal, name)
    return json_answer(200, secrets(name, found), _NOT_STORED)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/v1/environments",
        operation_id="listEnvironments",
        tag=_TAG,
        summary="List environments",
        description="All environments that the token can see, by name.",
        role=Role.READ,
        handler=_list,
        query=PageQuery,
        answers=(Answer(200, "A page of environments.", PageOf(Environment), example={"data": [_EXAMPLE]}),),
    ),
    Operation(
        method="GET",
        path="/v1/environments/{name}",
        operation_id="getEnvironment",
        tag=_TAG,
        summary="Get an environment",
        role=Role.READ,
        handler=_get,
        answers=(Answer(200, "The environment.", Environment, example=_EXAMPLE),),
    ),
    Operation(
        method="PUT",
        path="/v1/environments/{name}",
        operation_id="putEnvironment",
        tag=_TAG,
        summary="Make sure of an environment",
        description="Creates the environment unless it is there. Needs a token for all environments to create one.",
        role=Role.ADMIN,
        handler=_put,
        answers=(
            Answer(200, "It was there already.", Environment, example=_EXAMPLE),
            Answer(201, "It was created.", Environment, example=_EXAMPLE),
        ),
    ),
    Operation(
        method="DELETE",
        path="/v1/environments/{name}",
        operation_id="deleteEnvironment",
        tag=_TAG,
        summary="Delete an environment",
        description=(
            "Removes an environment without live apps and secrets. `main` is always there. Needs a token for all "
            "environments."
        ),
        role=Role.ADMIN,
        handler=_delete,
        answers=(Answer(204, "It is gone."),),
        problems=(409,),
    ),
    Operation(
        method="GET",
        path="/v1/environments/{name}/callback-secrets",
        operation_id="getCallbackSecrets",
        tag=_TAG,
        summary="Show the secrets of callbacks",
        description="What callbacks of the environment's functions are signed with; made when it is first needed.",
        role=Role.DEPLOY,
        handler=_secrets,
        answers=(Answer(200, "The secrets in use.", CallbackSecrets, example=_SECRETS_EXAMPLE),),
    ),
    Operation(
        method="POST",
        path="/v1/environments/{name}/callback-secrets",
        operation_id="rotateCallbackSecret",
        tag=_TAG,
        summary="Replace the secret of callbacks",
        description=(
            "Makes a new secret. The one before is used beside it for 24 h: callbacks bear a signature of each "
            "meanwhile, so that receivers can change over at any moment of it."
        ),
        role=Role.ADMIN,
        handler=_rotate,
        answers=(Answer(200, "The secrets now in use, the new one first.", CallbackSecrets, example=_SECRETS_EXAMPLE),),
        problems=(409,),
    ),
)
"""Rows of the operation table."""
