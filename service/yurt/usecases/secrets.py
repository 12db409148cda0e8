"""Secrets: values that functions have as variables, and that nobody can read back."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from yurt.domain import ids
from yurt.domain.changes import Change, Remove, Save
from yurt.domain.definitions import refusal
from yurt.domain.errors import FieldError, Forbidden, InUse, Invalid, NotFound
from yurt.domain.functions import LiveFunction
from yurt.domain.naming import did_you_mean, name_problem, shown
from yurt.domain.records import Secret
from yurt.domain.secrets import Sealed, SecretUnusable, check_values, merged
from yurt.usecases.principals import Principal
from yurt.usecases.registry import Registry

_log = structlog.get_logger(__name__)


class Sealer(Protocol):
    """Encrypts what is to stay secret, under the first of its keys, and decrypts it under any of them."""

    def seal(self, plain: bytes, about: bytes) -> Sealed:
        """Encrypt. `about` is what it belongs to: decrypting needs the same."""

    def unseal(self, sealed: Sealed, about: bytes) -> bytes:
        """Decrypt.

        Raises:
            SecretUnusable: the key is unknown, the data is damaged, or belongs to something else.
        """

    async def renew(self) -> bool:
        """Make a new first key, durably, and keep the others; False where keys are given and not ours to make.

        Raises:
            Unavailable: it cannot be kept.
        """

    async def forget(self) -> None:
        """Nothing is encrypted under the other keys any more: keep none of those that are ours.

        Raises:
            Unavailable: the file cannot be written; they are kept.
        """

    @property
    def key_id(self) -> str:
        """The id of the first key."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did.

    Args:
        key_id: of the key that everything is encrypted with now.
        made: whether this key was made for it; else it was given by the operator.
        secrets: how many were encrypted anew.
    """

    key_id: str
    made: bool
    secrets: int


class Secrets:
    """What a caller can ask of secrets. Changes wait for each other and for deploys: who uses what stays true."""

    def __init__(self, registry: Registry, sealer: Sealer) -> None:
        self._registry = registry
        self._sealer = sealer

    # ------------------------------------------------------------------ read

    async def get(self, principal: Principal, name: str, environment: str | None = None) -> Secret:
        """A secret of an environment.

        Raises:
            NotFound: there is none that the caller may see.
        """
        place = self._registry.environments.resolve(principal, environment)
        found = await self._named(place, name)
        if found is None:
            known = [secret.name for secret in await self._of(place)]
            raise NotFound(f"There is no secret {shown(name)} in environment {place}.{did_you_mean(name, known)}")
        return found

    async def find(
        self, principal: Principal, *, environment: str | None = None, before: str | None, limit: int
    ) -> list[Secret]:
        """Secrets that the caller may see, newest first, at most `limit` of those made before the one with id `before`.

        Raises:
            NotFound: there is no such environment.
        """
        place = environment if environment is not None else principal.environment
        where = {} if place is None else {"environment": self._registry.environments.resolve(principal, place)}
        key = None if before is None else (before,)
        return await self._registry.store.records.find(Secret, where, before=key, limit=limit)

    async def variables(self, function: LiveFunction) -> Mapping[str, str]:
        """The environment variables of a container of the function: its secrets' values, and its `env` over them.

        Raises:
            SecretUnusable: one of its secrets is gone or cannot be decrypted.
            Unavailable: the store is away.
        """
        found = []
        for name in function.secrets:
            secret = await self._named(function.environment, name)
            if secret is None:
                raise SecretUnusable(f"There is no secret {name} in environment {function.environment} any more.")
            found.append(self._open(secret))
        return merged(found, function.env)

    # ------------------------------------------------------------------ change

    async def put(
        self, principal: Principal, name: str, values: object, environment: str | None = None
    ) -> tuple[Secret, bool]:
        """Make a secret, or replace it as a whole; True where it is new. New containers will have the values.

        Args:
            principal: who asks.
            name: of the secret.
            values: texts by the names of the variables.
            environment: where; else the token's, else `main`.

        Raises:
            Invalid: the name is none, or values are wrong; each is named, and none repeated.
            NotFound: there is no such environment.
        """
        if problem := name_problem(name):
            raise Invalid(problem, errors=[FieldError("{name}", problem)])
        errors = check_values(values)
        if errors or not isinstance(values, dict):
            raise refusal(errors)
        registry = self._registry
        async with registry.changing():
            place = registry.environments.resolve(principal, environment)
            old = await self._named(place, name)
            place = registry.environments.resolve(principal, place)  # it may have been deleted meanwhile
            now = registry.clock.now()
            secret = self._sealed(old or self._new(place, name, now), values, now)
            await registry.commit((Save(secret),), lambda: None)
        _log.info("secret_set", secret_id=secret.id, name=name, environment=place, replaced=old is not None)
        return secret, old is None

    async def delete(self, principal: Principal, name: str, environment: str | None = None) -> None:
        """Delete a secret that no live function uses.

        Raises:
            NotFound: there is none that the caller may see.
            InUse: live functions use it.
        """
        registry = self._registry
        async with registry.changing():
            secret = await self.get(principal, name, environment)
            users = sorted(
                live.address
                for live in registry.catalog.all()
                if live.environment == secret.environment and name in live.secrets
            )
            if users:
                raise InUse(
                    f"The secret {name} of environment {secret.environment} is used by {_listed(users)}. Deploy without"
                    " it first, or give it other values with PUT."
                )
            await registry.commit((Remove(Secret, (secret.id,)),), lambda: None)
        _log.info("secret_deleted", secret_id=secret.id, name=name, environment=secret.environment)

    async def rotate(self, principal: Principal) -> Rotated:
        """Encrypt all secrets anew: under a new key where the key is the server's own, else under the first one given.

        Whatever breaks off, every secret can still be decrypted, and another rotation finishes the work.

        Raises:
            Forbidden: the caller's token is bound to an environment.
            InUse: a secret is damaged, so that it cannot be encrypted anew.
            Unavailable: the store or the file of the key cannot be written.
        """
        if principal.environment is not None:
            raise Forbidden("The key is that of all environments: rotating it needs a token for all of them.")
        registry = self._registry
        async with registry.changing():
            found = await registry.store.records.find(Secret, {})
            plain = {secret: self._readable(secret) for secret in found}  # first: no key is made that does not help
            made = await self._sealer.renew()
            current = self._sealer.key_id
            changes: list[Change] = [
                Save(self._resealed(secret, plain[secret])) for secret in found if secret.key_id != current
            ]
            if changes:
                await registry.commit(changes, lambda: None)
            await self._sealer.forget()
        _log.info("secret_key_rotated", key_id=current, made=made, secrets=len(changes))
        return Rotated(current, made, len(changes))

    # ------------------------------------------------------------------ seal

    def _new(self, place: str, name: str, now: float) -> Secret:
        secret_id = ids.ulid(ids.SECRET, now, self._registry.random_bytes)
        return Secret(secret_id, place, name, "[]", "", b"", now, now)

    def _sealed(self, secret: Secret, values: Mapping[str, str], now: float) -> Secret:
        sealed = self._sealer.seal(json.dumps(values).encode(), _about(secret))
        keys_json = json.dumps(sorted(values))
        return replace(secret, keys_json=keys_json, key_id=sealed.key_id, sealed=sealed.data, updated_at=now)

    def _readable(self, secret: Secret) -> bytes:
        try:
            return self._plain(secret)
        except SecretUnusable as error:
            raise InUse(f"{error} Set it again, or delete it, and rotate once more.") from error

    def _resealed(self, secret: Secret, plain: bytes) -> Secret:
        sealed = self._sealer.seal(plain, _about(secret))
        return replace(secret, key_id=sealed.key_id, sealed=sealed.data)

    def _open(self, secret: Secret) -> dict[str, str]:
        values: dict[str, str] = json.loads(self._plain(secret))
        return values

    def _plain(self, secret: Secret) -> bytes:
        try:
            return self._sealer.unseal(Sealed(secret.key_id, secret.sealed), _about(secret))
        except SecretUnusable as error:
            place = f"secret {secret.name} of environment {secret.environment}"
            raise SecretUnusable(f"The {place} cannot be decrypted: {error}.") from error

    async def _named(self, place: str, name: str) -> Secret | None:
        found = await self._registry.store.records.find(Secret, {"environment": place, "name": name}, limit=1)
        return found[0] if found else None

    async def _of(self, place: str) -> Sequence[Secret]:
        return await self._registry.store.records.find(Secret, {"environment": place})


def _about(secret: Secret) -> bytes:
    """What the ciphertext belongs to: a row that was moved to another name or environment cannot be decrypted."""
    return json.dumps(["yurt secret", secret.id, secret.environment, secret.name]).encode()


def _listed(names: Collection[str], most: int = 3) -> str:
    first = list(names)[:most]
    return ", ".join(first) + (f" and {len(names) - most} more" if len(names) > most else "")
