"""Bundles: source code as a zip archive, uploaded once and known by its sha256."""

import asyncio

from yurt.domain.bundle import MAX_BUNDLE_BYTES, check_bundle, name_of
from yurt.domain.changes import Save
from yurt.domain.errors import FieldError, Invalid, NotFound, TooLarge
from yurt.domain.records import Bundle
from yurt.usecases.principals import Principal
from yurt.usecases.registry import Registry


class Bundles:
    """What a caller can ask of bundles. Each environment has its own; the bytes are kept once."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def put(
        self, principal: Principal, sha256: str, data: bytes, environment: str | None = None
    ) -> tuple[Bundle, bool]:
        """Keep a bundle; True where it is new. Hashing and checking happen in a thread.

        Args:
            principal: who asks.
            sha256: what the bytes must hash to, in hex.
            data: the archive.
            environment: where; else the token's, else `main`.

        Raises:
            Invalid: the bytes hash to something else, or are not a safe archive.
            TooLarge: there are too many of them.
            NotFound: there is no such environment.
        """
        registry = self._registry
        place = registry.environments.resolve(principal, environment)
        if len(data) > MAX_BUNDLE_BYTES:
            raise TooLarge(f"A bundle may have {MAX_BUNDLE_BYTES >> 20} MiB; this one has {len(data)} bytes.")
        await asyncio.to_thread(_check, sha256, data)
        found = await registry.store.records.get(Bundle, place, sha256)
        if found is not None and await registry.blobs.has(sha256):
            return found, False
        await registry.blobs.put(data)
        place = registry.environments.resolve(principal, environment)  # it may have been deleted meanwhile
        bundle = Bundle(place, sha256, len(data), registry.clock.now())
        await registry.store.journal.write(Save(bundle))
        return bundle, True

    async def get(self, principal: Principal, sha256: str, environment: str | None = None) -> Bundle:
        """A bundle that was uploaded.

        Raises:
            NotFound: it was not, to that environment.
        """
        place = self._registry.environments.resolve(principal, environment)
        found = await self._registry.store.records.get(Bundle, place, sha256)
        if found is None:
            raise NotFound(f"The environment {place} has no bundle {sha256}. Upload it with PUT.")
        return found


def _check(sha256: str, data: bytes) -> None:
    actual = name_of(data)
    if actual != sha256:
        message = f"the body hashes to {actual}"
        raise Invalid(f"This is not the bundle {sha256}: {message}.", errors=[FieldError("{sha256}", message)])
    check_bundle(data)
