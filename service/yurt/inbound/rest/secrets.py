"""The operations on secrets. None of them answers a value, and no message repeats one."""

import json

from aiohttp import web
from pydantic import Field

from yurt.domain import records
from yurt.domain.errors import FieldError, Invalid
from yurt.domain.naming import did_you_mean, pointer, shown
from yurt.domain.records import Role
from yurt.domain.times import rfc3339
from yurt.domain.variables import ENV_BYTES
from yurt.inbound.rest.answers import cursor, cursor_key, json_answer, nothing, page
from yurt.inbound.rest.bodies import decode_json
from yurt.inbound.rest.context import Context
from yurt.inbound.rest.models import Name, PageQuery, Shown, Time
from yurt.inbound.rest.operations import Answer, Operation, PageOf, RawJsonBody
from yurt.inbound.rest.registry_shapes import NOW, PlaceQuery

_TAG = "Secrets"
_EXAMPLE = {
    "secret_id": "st-01kag5vvn0c6c3xz2v1jqhd4rt",
    "name": "openai",
    "environment": "main",
    "keys": ["OPENAI_API_KEY"],
    "created_at": NOW,
    "updated_at": NOW,
}
_ROTATED_EXAMPLE = {"key_id": "5f0c1d2e3a4b5968", "made": True, "secrets": 3}
_VALUES = {
    "type": "object",
    "required": ["values"],
    "properties": {
        "values": {
            "type": "object",
            "description": f"Texts by the names of the variables, {ENV_BYTES >> 10} KiB in all.",
            "minProperties": 1,
            "propertyNames": {"pattern": r"^(?!YURT_)[^=\x00]+$"},
            "additionalProperties": {"type": "string", "pattern": r"^[^\x00]*$"},
        }
    },
    "additionalProperties": False,
}


class Secret(Shown):
    """A secret: which variables it holds, and never what they say."""

    secret_id: str
    name: str
    environment: str
    keys: list[str] = Field(description="The names of its variables.")
    created_at: Time
    updated_at: Time = Field(description="When its values were set last.")


class Rotated(Shown):
    """What a rotation did."""

    key_id: str = Field(description="Names the key that all secrets are encrypted with now.")
    made: bool = Field(
        description="Whether the server made this key. It does not where keys are given by `YURT_SECRET_KEY` or "
        "`--secret-key-file`: then it is the first one of them."
    )
    secrets: int = Field(description="How many were encrypted anew.")


class SecretsQuery(PageQuery):
    """Which secrets."""

    environment: Name | None = Field(default=None, description="Only of this one. Absent: all that the token sees.")


def _shown(secret: records.Secret) -> Secret:
    return Secret(
        secret_id=secret.id,
        name=secret.name,
        environment=secret.environment,
        keys=json.loads(secret.keys_json),
        created_at=rfc3339(secret.created_at),
        updated_at=rfc3339(secret.updated_at),
    )


async def _list(ctx: Context[SecretsQuery, None]) -> web.StreamResponse:
    query = ctx.query
    before = cursor_key("secrets", query.cursor, str)
    found = await ctx.services.secrets.find(
        ctx.principal, environment=query.environment, before=before, limit=query.limit + 1
    )
    rows = found[: query.limit]
    following = cursor("secrets", rows[-1].id) if len(found) > len(rows) else None
    return page([_shown(secret) for secret in rows], following)


async def _get(ctx: Context[PlaceQuery, None]) -> web.StreamResponse:
    found = await ctx.services.secrets.get(ctx.principal, ctx.path["name"], ctx.query.environment)
    return json_answer(200, _shown(found))


async def _put(ctx: Context[PlaceQuery, bytes]) -> web.StreamResponse:
    values = _read_values(ctx.body)
    secret, new = await ctx.services.secrets.put(ctx.principal, ctx.path["name"], values, ctx.query.environment)
    return json_answer(201 if new else 200, _shown(secret))


async def _delete(ctx: Context[PlaceQuery, None]) -> web.StreamResponse:
    await ctx.services.secrets.delete(ctx.principal, ctx.path["name"], ctx.query.environment)
    return nothing()


async def _rotate(ctx: Context[None, None]) -> web.StreamResponse:
    done = await ctx.services.secrets.rotate(ctx.principal)
    return json_answer(200, Rotated(key_id=done.key_id, made=done.made, secrets=done.secrets))


def _read_values(data: bytes) -> object:
    """The member `values`. A model would repeat what is wrong in its messages; here that may be a value."""
    body = decode_json(data)
    if not isinstance(body, dict):
        raise Invalid('The body must be an object: {"values": {"API_KEY": "…"}}.')
    unknown = [key for key in body if key != "values"]
    errors = [
        FieldError(pointer(key), f"unknown key {shown(key)}.{did_you_mean(key, ['values'])}", "unknown_key")
        for key in unknown
    ]
    if "values" not in body:
        errors.append(FieldError("/values", "is missing"))
    if errors:
        raise Invalid(f"{errors[0].pointer}: {errors[0].message}", errors=errors)
    return body["values"]


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/v1/secrets",
        operation_id="listSecrets",
        tag=_TAG,
        summary="List secrets",
        description="Those that the token sees, the newest first, with the names of their variables.",
        role=Role.READ,
        handler=_list,
        query=SecretsQuery,
        answers=(Answer(200, "A page of secrets.", PageOf(Secret), example={"data": [_EXAMPLE]}),),
        problems=(404,),
    ),
    Operation(
        method="GET",
        path="/v1/secrets/{name}",
        operation_id="getSecret",
        tag=_TAG,
        summary="Get a secret",
        description="With the names of its variables. What they say cannot be read back.",
        role=Role.READ,
        handler=_get,
        query=PlaceQuery,
        answers=(Answer(200, "The secret.", Secret, example=_EXAMPLE),),
    ),
    Operation(
        method="PUT",
        path="/v1/secrets/{name}",
        operation_id="putSecret",
        tag=_TAG,
        summary="Set a secret",
        description=(
            "Makes it, or replaces it as a whole. Functions of the environment whose definition names it under "
            "`secrets` have its values as environment variables, in containers that start from now on."
        ),
        role=Role.DEPLOY,
        handler=_put,
        query=PlaceQuery,
        body=RawJsonBody(
            _VALUES,
            empty='Send {"values": {"API_KEY": "…"}}.',
            example={"values": {"OPENAI_API_KEY": "sk-…"}},
        ),
        answers=(
            Answer(200, "It was replaced.", Secret, example=_EXAMPLE),
            Answer(201, "It was made.", Secret, example=_EXAMPLE),
        ),
        problems=(404,),
    ),
    Operation(
        method="DELETE",
        path="/v1/secrets/{name}",
        operation_id="deleteSecret",
        tag=_TAG,
        summary="Delete a secret",
        description="Refused while a live function names it.",
        role=Role.DEPLOY,
        handler=_delete,
        query=PlaceQuery,
        answers=(Answer(204, "It is gone."),),
        problems=(409,),
    ),
    Operation(
        method="POST",
        path="/v1/secret-key/rotate",
        operation_id="rotateSecretKey",
        tag=_TAG,
        summary="Rotate the key of secrets",
        description=(
            "Encrypts all secrets anew: with a new key where the server keeps its own, else with the first of those "
            "that it was given. Needs a token for all environments."
        ),
        role=Role.ADMIN,
        handler=_rotate,
        answers=(Answer(200, "Everything is encrypted with that key.", Rotated, example=_ROTATED_EXAMPLE),),
        problems=(409,),
    ),
)
"""Rows of the operation table."""
