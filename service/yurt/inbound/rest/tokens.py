"""The operations on tokens."""

from datetime import datetime
from typing import Annotated

from aiohttp import web
from pydantic import AwareDatetime, Field

from yurt.domain import records
from yurt.domain.records import Role
from yurt.domain.times import rfc3339
from yurt.inbound.rest.answers import cursor, cursor_key, json_answer, nothing, page
from yurt.inbound.rest.context import Context
from yurt.inbound.rest.models import Body, Name, PageQuery, Shown, Time
from yurt.inbound.rest.operations import Answer, Header, JsonBody, Operation, PageOf

_TAG = "Tokens"
_ID = "tk-01kag5vvn0c6c3xz2v1jqhd4rt"
_EXAMPLE = {
    "token_id": _ID,
    "name": "ci",
    "role": "deploy",
    "environment": "staging",
    "created_at": "2026-11-22T10:15:30.125Z",
}
_SHOWN_ONCE = "0" * 43
_NEW_EXAMPLE = {**_EXAMPLE, "token_secret": _SHOWN_ONCE, "token": f"yurt_{_ID}_{_SHOWN_ONCE}"}


class TokenCreate(Body):
    """What a new token is to be."""

    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")] = Field(
        description="For people; need not be unique."
    )
    role: Role = Field(
        description="What it may do. Each role contains the ones before: `read`, `invoke`, `deploy`, `admin`."
    )
    environment: Name | None = Field(
        default=None, description="The only environment that it may see. Absent: all that the asking token may see."
    )
    expires_at: AwareDatetime | None = Field(
        default=None, description="When it ends, RFC 3339, in the future. Absent: never."
    )


class Token(Shown):
    """A token, without its secret, which only its owner has."""

    token_id: str
    name: str
    role: Role
    environment: str | None = Field(default=None, description="Absent: all environments.")
    created_at: Time
    expires_at: Time | None = None


class NewToken(Token):
    """A token just made. Its secret is shown this once and kept nowhere."""

    token_secret: str = Field(description="Use `Authorization: Bearer <token_id>:<token_secret>`.")
    token: str = Field(description="Both in one word, for `Authorization: Bearer <token>`.")


def _members(token: records.Token) -> dict[str, str | None]:
    return {
        "token_id": token.id,
        "name": token.name,
        "role": token.role,
        "environment": token.environment,
        "created_at": rfc3339(token.created_at),
        "expires_at": _time(token.expires_at),
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()


async def _create(ctx: Context[None, TokenCreate]) -> web.StreamResponse:
    new = await ctx.services.tokens.create(
        ctx.principal,
        name=ctx.body.name,
        role=ctx.body.role,
        environment=ctx.body.environment,
        expires_at=_seconds(ctx.body.expires_at),
    )
    word = f"yurt_{new.token.id}_{new.secret}"
    shown = NewToken.model_validate(_members(new.token) | {"token_secret": new.secret, "token": word})
    return json_answer(201, shown, {"Location": f"/v1/tokens/{new.token.id}", "Cache-Control": "no-store"})


async def _list(ctx: Context[PageQuery, None]) -> web.StreamResponse:
    before = cursor_key("tokens", ctx.query.cursor, str)
    found = await ctx.services.tokens.find(ctx.principal, before=before, limit=ctx.query.limit + 1)
    shown = found[: ctx.query.limit]
    following = cursor("tokens", shown[-1].id) if len(found) > len(shown) else None
    return page([Token.model_validate(_members(token)) for token in shown], following)


async def _get(ctx: Context[None, None]) -> web.StreamResponse:
    token = await ctx.services.tokens.get(ctx.principal, ctx.path["token_id"])
    return json_answer(200, Token.model_validate(_members(token)))


async def _revoke(ctx: Context[None, None]) -> web.StreamResponse:
    await ctx.services.tokens.revoke(ctx.principal, ctx.path["token_id"])
    return nothing()


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/v1/tokens",
        operation_id="listTokens",
        tag=_TAG,
        summary="List tokens",
        description=(
            "Tokens that are not revoked, newest first. A token bound to an environment sees those bound to the same."
        ),
        role=Role.ADMIN,
        handler=_list,
        query=PageQuery,
        answers=(Answer(200, "A page of tokens.", PageOf(Token), example={"data": [_EXAMPLE]}),),
    ),
    Operation(
        method="POST",
        path="/v1/tokens",
        operation_id="createToken",
        tag=_TAG,
        summary="Create a token",
        description="The secret is in this answer and nowhere else. A bound token makes tokens bound as itself.",
        role=Role.ADMIN,
        handler=_create,
        body=JsonBody(
            TokenCreate,
            empty='Send at least {"name": "…", "role": "invoke"}.',
            example={"name": "ci", "role": "deploy", "environment": "staging"},
        ),
        problems=(409,),
        answers=(
            Answer(
                201,
                "The token, with its secret.",
                NewToken,
                headers=(Header("Location", "Where the token is shown, without its secret."),),
                example=_NEW_EXAMPLE,
            ),
        ),
    ),
    Operation(
        method="GET",
        path="/v1/tokens/{token_id}",
        operation_id="getToken",
        tag=_TAG,
        summary="Get a token",
        description="Without its secret.",
        role=Role.ADMIN,
        handler=_get,
        answers=(Answer(200, "The token.", Token, example=_EXAMPLE),),
    ),
    Operation(
        method="DELETE",
        path="/v1/tokens/{token_id}",
        operation_id="revokeToken",
        tag=_TAG,
        summary="Revoke a token",
        description="Ends it at once; what it called goes on. The last administrator token for all environments stays.",
        role=Role.ADMIN,
        handler=_revoke,
        answers=(Answer(204, "It is revoked, now or before."),),
        problems=(409,),
    ),
)
"""Rows of the operation table."""
