"""Encryption of secrets: AES-256-GCM with random nonces, and the file in which the server keeps a key of its own.

A nonce has 96 random bits, which allows for some 2^32 encryptions under one key; secrets are written by hand.
"""

import asyncio
import os
import secrets
from collections.abc import Collection, Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from yurt.domain.errors import Unavailable
from yurt.domain.secrets import KEY_BYTES, MasterKey, Sealed, SecretUnusable, read_keys, unreadable
from yurt.outbound.disk import write_private

FILE_NAME = "secret-key"
"""In the data directory."""

_NONCE_BYTES = 12


class SecretKeyRefused(Exception):
    """The server cannot start with these keys; the message says what to do."""


class KeyRing:
    """`yurt.usecases.secrets.Sealer` over keys in memory.

    Args:
        keys: the first one encrypts.
        file: where they are kept, if they are the server's own; None where the operator gave them.
    """

    def __init__(self, keys: Sequence[MasterKey], file: Path | None) -> None:
        self._keys = self._kept = tuple(keys)
        self._file = file

    @property
    def key_id(self) -> str:
        """The id of the first key."""
        return self._keys[0].id

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, the first one first."""
        return tuple(key.id for key in self._keys)

    def seal(self, plain: bytes, about: bytes) -> Sealed:
        """See `yurt.usecases.secrets.Sealer.seal`."""
        key, nonce = self._keys[0], os.urandom(_NONCE_BYTES)
        return Sealed(key.id, nonce + AESGCM(key.raw).encrypt(nonce, plain, about))

    def unseal(self, sealed: Sealed, about: bytes) -> bytes:
        """See `yurt.usecases.secrets.Sealer.unseal`."""
        key = next((key for key in self._keys if key.id == sealed.key_id), None)
        if key is None:
            raise SecretUnusable(f"it is encrypted with the key {sealed.key_id}, which this server does not have")
        nonce, data = sealed.data[:_NONCE_BYTES], sealed.data[_NONCE_BYTES:]
        try:
            return AESGCM(key.raw).decrypt(nonce, data, about)
        except (InvalidTag, ValueError) as error:
            raise SecretUnusable("what is stored of it is damaged, or belongs to another secret") from error

    async def renew(self) -> bool:
        """See `yurt.usecases.secrets.Sealer.renew`."""
        if self._file is None:
            return False
        made = new_key()
        await self._keep((made, *self._kept))
        self._keys = (made, *self._keys)
        return True

    async def forget(self) -> None:
        """See `yurt.usecases.secrets.Sealer.forget`.

        In memory they stay: a container that starts now may have read its secrets before.
        """
        if self._file is not None:
            await self._keep(self._kept[:1])

    async def _keep(self, keys: Sequence[MasterKey]) -> None:
        if self._file is None:
            raise RuntimeError("keys that were given are not kept")
        try:
            await asyncio.to_thread(write_keys, self._file, keys)
        except OSError as error:
            raise Unavailable(f"The file of the secret key cannot be written: {error.strerror}.") from error
        self._kept = tuple(keys)


def new_key() -> MasterKey:
    """A key of random bytes."""
    return MasterKey(secrets.token_bytes(KEY_BYTES))


def open_ring(data_dir: Path, *, given: str | None, file: Path | None, needed: Collection[str]) -> KeyRing:
    """The keys of this start.

    Args:
        data_dir: holds the server's own key where none is given; it is made unless secrets need an older one.
        given: keys as text, from the environment.
        file: a file of the operator with such text.
        needed: the ids of the keys that stored secrets were encrypted with.

    Raises:
        SecretKeyRefused: a key is missing or malformed, or the file cannot be used.
    """
    own = data_dir / FILE_NAME
    try:
        if given is not None:
            ring, source = KeyRing(read_keys(given), None), "YURT_SECRET_KEY"
        elif file is not None:
            ring, source = KeyRing(read_keys(file.read_text("ascii")), None), str(file)
        else:
            ring, source = _own_ring(own, needed), str(own)
    except (ValueError, OSError) as error:
        place = "YURT_SECRET_KEY" if given is not None else file or own
        reason = error.strerror if isinstance(error, OSError) else error
        if isinstance(error, UnicodeDecodeError):
            reason = "is not text"
        raise SecretKeyRefused(f"The secret key cannot be used: {place}: {reason}.") from error
    _refuse_unknown(ring, source, needed, own)
    return ring


def _own_ring(own: Path, needed: Collection[str]) -> KeyRing:
    if kept := read_own_keys(own.parent):
        return KeyRing(kept, own)
    if needed:
        raise SecretKeyRefused(
            f"The store has secrets, and the key that they are encrypted with is not there: {own}. Put that file back"
            " from a copy, or give its content by YURT_SECRET_KEY. A new key is made only where no secret exists."
        )
    made = new_key()
    write_keys(own, (made,))
    return KeyRing((made,), own)


def _refuse_unknown(ring: KeyRing, source: str, needed: Collection[str], own: Path) -> None:
    lost = unreadable(needed, ring.ids)
    if lost:
        older = f" An older one may be in {own}." if own.exists() and source != str(own) else ""
        raise SecretKeyRefused(
            f"The store has secrets that are encrypted with the key {', '.join(sorted(lost))}, and {source} has only"
            f" {', '.join(ring.ids)}. Add the missing key behind a comma, then replace it with: yurt secret"
            f" rotate-key.{older}"
        )


def read_own_keys(data_dir: Path) -> tuple[MasterKey, ...]:
    """The keys that the server of a data directory made for itself; none where it was given them.

    Raises:
        ValueError: the file holds something else.
        OSError: it cannot be read.
    """
    try:
        return read_keys((data_dir / FILE_NAME).read_text("ascii"))
    except FileNotFoundError:
        return ()


def write_keys(file: Path, keys: Sequence[MasterKey]) -> None:
    """Write keys, one a line, readable by the owner alone. The file is whole and on the disk when this returns.

    Raises:
        OSError: it cannot be written; what was there before still is.
    """
    write_private(file, "".join(f"{key.text}\n" for key in keys))
