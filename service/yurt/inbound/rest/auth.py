"""Credentials of a request: from the `Authorization` header to a `Principal`."""

import base64
import binascii
import hashlib

from aiohttp import web

from yurt.domain.errors import Forbidden, Unauthenticated
from yurt.domain.records import Role
from yurt.inbound.rest import paths
from yurt.usecases.principals import Principal
from yurt.usecases.tokens import Tokens

_MISSING = "Send credentials: -H 'Authorization: Bearer <token_id>:<token_secret>'."
_UNREADABLE = (
    "The Authorization header cannot be read. Send Bearer <token_id>:<token_secret>, Bearer "
    "yurt_<token_id>_<token_secret>, or Basic with the id as the user and the secret as the password."
)


def read_credentials(header: str) -> tuple[str, str]:
    """The token's id and secret in any of the three forms.

    Raises:
        Unauthenticated: it is none of them.
    """
    scheme, _, value = header.partition(" ")
    value = value.strip()
    if scheme.lower() == "basic":
        value = _basic(value)
    elif scheme.lower() != "bearer":
        value = ""
    if value.startswith("yurt_"):
        token_id, _, secret = value.removeprefix("yurt_").partition("_")
    else:
        token_id, _, secret = value.partition(":")
    if not (token_id and secret and value.isascii()):
        raise Unauthenticated(_UNREADABLE)
    return token_id, secret


def _basic(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ""


def recognize(request: web.BaseRequest, tokens: Tokens) -> Principal | None:
    """Who sent this request, if the credentials were verified lately; else `authenticate` tells."""
    header = request.headers.get("Authorization")
    return tokens.recall(_proof(header)) if header is not None else None


async def authenticate(request: web.BaseRequest, tokens: Tokens) -> Principal:
    """Who sent this request.

    Raises:
        Unauthenticated: no credentials, or wrong ones.
    """
    return await identify(request.headers.get("Authorization"), tokens)


async def identify(header: str | None, tokens: Tokens) -> Principal:
    """Who the credentials of such a header belong to.

    Raises:
        Unauthenticated: there are none, or wrong ones.
    """
    if header is None:
        raise Unauthenticated(_MISSING)
    proof = _proof(header)
    return tokens.recall(proof) or await _verify(header, tokens, proof)


def _proof(header: str) -> bytes:
    # BLAKE2 is the interpreter's own: that of OpenSSL has a library to wake.
    return hashlib.blake2b(header.encode("utf-8", "surrogateescape"), digest_size=32).digest()


async def _verify(header: str, tokens: Tokens, proof: bytes) -> Principal:
    token_id, secret = read_credentials(header)
    if not paths.fits("token_id", token_id) and not paths.fits("container_id", token_id):
        raise Unauthenticated(_UNREADABLE)
    return await tokens.verify(token_id, secret, proof)


def require(principal: Principal, role: Role, *, for_containers: bool) -> None:
    """Return if the caller may ask for what needs `role`, and is open to containers or not.

    Raises:
        Forbidden: its role does not contain `role`, or it is a container.
    """
    if principal.app_id is not None and not for_containers:
        raise Forbidden(
            "This is the token of a container, which can call functions of its own app and look at those calls."
        )
    if not principal.allows(role):
        raise Forbidden(f"This needs the role {role}; the token {principal.token_id} has {principal.role}.")
