"""Tokens: who may ask, and for what."""

import asyncio
import base64
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from yurt.domain import ids
from yurt.domain.changes import Save
from yurt.domain.errors import FieldError, InUse, NotFound, TooLate, Unauthenticated
from yurt.domain.naming import shown
from yurt.domain.records import Role, Token
from yurt.ports import Clock, Store
from yurt.usecases.container_tokens import ContainerTokens
from yurt.usecases.environments import Environments
from yurt.usecases.principals import Principal

CACHED = 1024
"""How many credentials are remembered at most; each takes well under 1 KiB."""

_SECRET_BYTES = 32
_LATEST = 253_402_300_799
"""The last second of the year 9999, in seconds since 1970: RFC 3339 has four digits for the year."""

_OF_CONTAINER = f"{ids.CONTAINER}-"

_WRONG = "The token id or its secret is wrong, or the token was revoked or has expired."


def digest(secret: str) -> str:
    """What is kept of a secret: its sha256, in hex. Secrets are 256 random bits, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made, with the secret that is shown this once."""

    token: Token
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    expires_at: float | None


class Tokens:
    """What a caller can ask of tokens, and the check of credentials.

    Args:
        store: where they are kept; only hashes of secrets are.
        clock: for making and expiry.
        random_bytes: a source of secrets, such as `secrets.token_bytes`.
        environments: to tell which a token may be bound to.
        containers: knows the tokens of containers, where these have some.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        environments: Environments,
        containers: ContainerTokens | None = None,
    ) -> None:
        self._containers = containers
        self._store = store
        self._clock = clock
        self._random_bytes = random_bytes
        self._environments = environments
        self._cache: OrderedDict[bytes, _Known] = OrderedDict()
        self._revocations = 0
        self._revoking = asyncio.Lock()

    def recall(self, proof: bytes) -> Principal | None:
        """The caller whose credentials have this hash, if they were verified lately and still hold."""
        known = self._cache.get(proof)
        if known is None:
            return None
        if known.expires_at is not None and known.expires_at <= self._clock.now():
            del self._cache[proof]
            return None
        self._cache.move_to_end(proof)
        return known.principal

    async def verify(self, token_id: str, secret: str, proof: bytes) -> Principal:
        """Check credentials, and remember them under `proof`, a hash of theirs.

        Raises:
            Unauthenticated: unknown, wrong, revoked or expired; it does not say which.
        """
        if self._containers is not None and token_id.startswith(_OF_CONTAINER):
            return self._containers.verify(token_id, secret)  # not remembered: it may end at any moment
        revocations = self._revocations
        token = await self._store.records.get(Token, token_id)
        kept = token.secret_sha256 if token is not None else ""
        if not hmac.compare_digest(kept, digest(secret)) or token is None or not self._live(token):
            raise Unauthenticated(_WRONG)
        principal = Principal(token.id, Role(token.role), token.environment)
        if revocations == self._revocations:  # else this very token may have been revoked while it was read
            self._remember(proof, _Known(principal, token.expires_at))
        return principal

    async def create(
        self,
        principal: Principal,
        *,
        name: str,
        role: Role,
        environment: str | None = None,
        expires_at: float | None = None,
    ) -> NewToken:
        """Make a token. A bound caller's tokens are bound to the caller's environment.

        Args:
            principal: who asks.
            name: for people; need not be unique.
            role: what it may do.
            environment: the only one it may see; None for the caller's own binding, which may be all.
            expires_at: when it ends, in seconds since 1970, or None for never.

        Raises:
            NotFound: there is no such environment.
            TooLate: it would end in the past.
        """
        if environment is not None or principal.environment is not None:
            environment = self._environments.resolve(principal, environment)
        if expires_at is not None and expires_at <= self._clock.now():
            message = "must be in the future"
            raise TooLate(f"/expires_at: {message}", errors=[FieldError("/expires_at", message)])
        end = None if expires_at is None else min(expires_at, _LATEST)
        new = self._new(name, role, environment, end)
        await self._store.journal.write(Save(new.token))
        return new

    async def find(self, principal: Principal, *, before: str | None, limit: int) -> list[Token]:
        """Tokens that are not revoked, newest first, of those whose binding the caller's covers."""
        where: dict[str, str | int | float | None] = {"revoked_at": None}
        if principal.environment is not None:
            where["environment"] = principal.environment
        key = (before,) if before is not None else None
        return await self._store.records.find(Token, where, before=key, limit=limit)

    async def get(self, principal: Principal, token_id: str) -> Token:
        """One token that is not revoked.

        Raises:
            NotFound: there is none with that id, or the caller may not know of it.
        """
        token = await self._find(principal, token_id)
        if token.revoked_at is not None:
            raise NotFound(f"The token {token_id} was revoked.")
        return token

    async def revoke(self, principal: Principal, token_id: str) -> None:
        """End a token at once. One that is revoked already is no error.

        Raises:
            NotFound: as `get`.
            InUse: it is the last live administrator token for all environments.
        """
        async with self._revoking:  # two at once could each spare the other's token as the last one
            token = await self._find(principal, token_id)
            if token.revoked_at is not None:
                return
            if self._is_admin(token) and not await self._has_other_admin(token_id):
                raise InUse(
                    f"{token_id} is the last administrator token for all environments. Create another one first."
                )
            try:
                await self._store.journal.write(Save(replace(token, revoked_at=self._clock.now())))
            finally:
                self._forget(token_id)

    async def ensure_admin(self, publish: Callable[[str], Awaitable[None]]) -> None:
        """On the first start of a store, make the administrator's token.

        Args:
            publish: keeps `id:secret` where the operator finds it. It runs before the commit: a crash between the two
                leaves a word without a token, which the next start replaces, and never a token that nobody has.
        """
        if await self._store.records.find(Token, {}, limit=1):
            return
        new = self._new("administrator", Role.ADMIN, None, None)
        await publish(f"{new.token.id}:{new.secret}")
        await self._store.journal.write(Save(new.token))

    async def _find(self, principal: Principal, token_id: str) -> Token:
        token = await self._store.records.get(Token, token_id)
        if token is None or not _covers(principal, token):
            raise NotFound(f"There is no token {shown(token_id)} that this token can see.")
        return token

    def _new(self, name: str, role: Role, environment: str | None, expires_at: float | None) -> NewToken:
        now = self._clock.now()
        secret = base64.urlsafe_b64encode(self._random_bytes(_SECRET_BYTES)).rstrip(b"=").decode()
        token = Token(
            id=ids.ulid(ids.TOKEN, now, self._random_bytes),
            name=name,
            role=role.value,
            environment=environment,
            secret_sha256=digest(secret),
            created_at=now,
            expires_at=expires_at,
        )
        return NewToken(token, secret)

    def _live(self, token: Token) -> bool:
        return token.revoked_at is None and (token.expires_at is None or token.expires_at > self._clock.now())

    def _is_admin(self, token: Token) -> bool:
        return token.role == Role.ADMIN and token.environment is None and self._live(token)

    async def _has_other_admin(self, token_id: str) -> bool:
        where = {"role": Role.ADMIN.value, "environment": None, "revoked_at": None}
        admins = await self._store.records.find(Token, where)
        return any(token.id != token_id and self._is_admin(token) for token in admins)

    def _remember(self, proof: bytes, known: _Known) -> None:
        self._cache[proof] = known
        if len(self._cache) > CACHED:
            self._cache.popitem(last=False)

    def _forget(self, token_id: str) -> None:
        self._revocations += 1
        stale = [proof for proof, known in self._cache.items() if known.principal.token_id == token_id]
        for proof in stale:
            del self._cache[proof]


def _covers(principal: Principal, token: Token) -> bool:
    return principal.environment is None or principal.environment == token.environment
