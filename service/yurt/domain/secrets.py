"""Secrets: what their values and the keys that encrypt them must be, and in which order variables win.

No message here, nor any `repr`, repeats a value or a key.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from yurt.domain.errors import FieldError
from yurt.domain.naming import did_you_mean, pointer, shown
from yurt.domain.variables import ENV_BYTES, size_bytes, variable_problem

KEY_BYTES = 32
"""Of a master key: AES-256."""

MAKE_A_KEY = "openssl rand -base64 32"
_BETWEEN_KEYS = re.compile(r"[\s,]+")


@dataclass(frozen=True, slots=True)
class MasterKey:
    """What secrets are encrypted with. `id` names it without giving it away: its 256 bits are random."""

    raw: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """The beginning of its hash."""
        return hashlib.sha256(b"yurt secret key\0" + self.raw).hexdigest()[:16]

    @property
    def text(self) -> str:
        """As `read_keys` reads it."""
        return base64.b64encode(self.raw).decode()


@dataclass(frozen=True, slots=True)
class Sealed:
    """Something encrypted, and the id of the key that it takes."""

    key_id: str
    data: bytes = field(repr=False)


class SecretUnusable(Exception):
    """A secret is gone, or cannot be decrypted; the message says which and why, and never what it holds."""


def read_keys(text: str) -> tuple[MasterKey, ...]:
    """Read master keys: 32 bytes each in base64, with commas or line breaks between; the first one encrypts.

    Raises:
        ValueError: there is none, or one is malformed; the message does not repeat it.
    """
    words = [word for word in _BETWEEN_KEYS.split(text) if word]
    if not words:
        raise ValueError(f"holds no key. Make one with: {MAKE_A_KEY}")
    return tuple(_read_key(word) for word in words)


def _read_key(word: str) -> MasterKey:
    try:
        raw = base64.b64decode(word.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise ValueError(
            f"must be {KEY_BYTES} random bytes in base64; several with commas between, the current one first. "
            f"Make one with: {MAKE_A_KEY}"
        )
    return MasterKey(raw)


def check_values(values: object) -> list[FieldError]:
    """What is wrong with the variables of a secret: an object of names and texts, 64 KiB in all, at least one."""
    at = ("values",)
    if not isinstance(values, dict):
        return [FieldError(pointer(*at), 'must be an object of names and texts, such as {"API_KEY": "…"}')]
    if not values:
        return [FieldError(pointer(*at), "must have at least one variable")]
    errors = [FieldError(pointer(*at, name), told) for name in values if (told := variable_problem(name))]
    errors += [
        FieldError(pointer(*at, name), told) for name, value in values.items() if (told := _value_problem(value))
    ]
    if not errors and size_bytes(values) > ENV_BYTES:
        errors.append(FieldError(pointer(*at), f"must be at most {ENV_BYTES >> 10} KiB in all"))
    return errors


def _value_problem(value: object) -> str | None:
    if not isinstance(value, str):
        return "must be a string"
    return "must not contain NUL" if "\0" in value else None


def merged(secrets: Iterable[Mapping[str, str]], env: Mapping[str, str]) -> dict[str, str]:
    """The variables of a container: of secrets the later ones win, and `env` wins over all of them."""
    found: dict[str, str] = {}
    for values in secrets:
        found |= values
    return found | dict(env)


def missing(
    wanted: Sequence[str], known: Collection[str], environment: str, at: tuple[str | int, ...]
) -> list[FieldError]:
    """One error for each name in a definition that no secret of the environment bears.

    Args:
        wanted: the names in their order.
        known: the names of the environment's secrets.
        environment: where they are looked up.
        at: where the list stands in the body.
    """
    return [
        FieldError(
            pointer(*at, place),
            f"there is no secret {shown(name)} in environment {environment}."
            + (did_you_mean(name, known) or f" Make it first: yurt secret set {name} KEY=VALUE"),
        )
        for place, name in enumerate(wanted)
        if name not in known
    ]


def unreadable(needed: Collection[str], known: Collection[str]) -> frozenset[str]:
    """The ids of keys that secrets were encrypted with and that nobody has."""
    return frozenset(needed) - frozenset(known)
