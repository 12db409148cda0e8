"""Who a container is: the workload identity that Nomad signed for it."""

import time
from collections.abc import Mapping
from typing import Any

import jwt
import structlog

from yurt.domain.errors import Unauthenticated, Unavailable
from yurt.outbound.engines.nomad.allocations import read
from yurt.outbound.engines.nomad.book import Book
from yurt.outbound.engines.nomad.client import NomadClient
from yurt.outbound.engines.nomad.errors import Missing, NomadError
from yurt.outbound.engines.nomad.spec import CONTAINER, IDENTITY

ALGORITHM = "RS256"
"""The one that Nomad signs with, and the only one that is taken."""

AGAIN_S = 10.0
"""Keys are fetched at most so often, in seconds: a token can name any key."""

LEEWAY_S = 30
"""How far the clocks of the servers and of this machine may be apart, in seconds."""

_REQUIRED = ["exp", "nbf", "iat", "aud", "nomad_allocation_id"]
log = structlog.get_logger(__name__)


class NomadIdentities:
    """`yurt.ports.Identities` of one cluster."""

    def __init__(self, client: NomadClient, book: Book, namespace: str) -> None:
        self._client = client
        self._book = book
        self._namespace = namespace
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None

    async def learn(self) -> None:
        """Fetch the keys before they are asked for: containers are known again also where Nomad is away by then.

        Raises:
            NomadError: they cannot be had.
        """
        found = _read_keys(await self._client.keys())
        if not found:  # a server that starts answers before it has read them
            raise NomadError(200, "Nomad names no keys of identities")
        self._keys = found

    async def vouch(self, container_id: str, credential: str) -> None:
        """See `Identities.vouch`."""
        claims = await self._verify(credential)
        allocation_id = str(claims["nomad_allocation_id"])
        if claims.get("nomad_namespace") != self._namespace:
            raise Unauthenticated("The identity is of another namespace.")
        if not await self._is(allocation_id, container_id):
            raise Unauthenticated("The identity is another container's, or its container is over.")

    async def _verify(self, credential: str) -> Mapping[str, Any]:
        try:
            header = jwt.get_unverified_header(credential)
        except jwt.InvalidTokenError as error:
            raise Unauthenticated("The credential is not this container's.") from error
        key = await self._key(str(header.get("kid", "")))
        try:
            claims: dict[str, Any] = jwt.decode(
                credential,
                key.key,
                algorithms=[ALGORITHM],
                audience=IDENTITY,
                leeway=LEEWAY_S,
                options={"require": _REQUIRED},
            )
        except jwt.InvalidTokenError as error:
            raise Unauthenticated(f"The identity is not valid: {error}.") from error
        return claims

    async def _key(self, key_id: str) -> jwt.PyJWK:
        """The key of that id; keys are fetched again where it is unknown, for they rotate."""
        now = time.monotonic()
        if key_id not in self._keys and (self._fetched_at is None or now - self._fetched_at >= AGAIN_S):
            try:
                await self.learn()
            except NomadError as error:
                raise Unavailable(f"The keys of identities cannot be had: {error.message}.") from error
            self._fetched_at = now
        try:
            return self._keys[key_id]
        except KeyError:
            raise Unauthenticated("The identity is signed with a key that is not Nomad's.") from None

    async def _is(self, allocation_id: str, container_id: str) -> bool:
        """Whether a live allocation is that container: by what is known, else by asking."""
        held = self._book.containers.get(container_id)
        known = self._book.allocation(held.job_id) if held is not None else None
        if known is not None and known.id == allocation_id:
            return not known.over
        try:
            found = await self._client.allocation(allocation_id)
        except Missing:
            return False
        except NomadError as error:  # one that starts takes every token for a wrong one: only a plain no is a no
            log.warning("allocation_not_told", allocation_id=allocation_id, reason=error.message)
            raise Unavailable(f"Nomad cannot be asked whose identity it is: {error.message}.") from error
        meta = (found.get("Job") or {}).get("Meta") or {}
        return meta.get(CONTAINER) == container_id and not read(found).over


def _read_keys(found: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    keys = {}
    for one in found.get("keys") or ():
        if one.get("kty") == "RSA" and one.get("kid"):
            keys[str(one["kid"])] = jwt.PyJWK(one, algorithm=ALGORITHM)
    return keys
