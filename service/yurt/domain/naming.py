"""Names that people choose, the addresses made of them, and what to say when one is wrong."""

import difflib
import re
from collections.abc import Iterable

MAIN = "main"
"""The environment that is always there, and is meant where none is named."""

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""Of apps, functions, environments and secrets."""

NAME_RULE = "1 to 64 letters, digits, dashes, underscores and dots, beginning with a letter or a digit"
"""The same in words."""

IMAGE_PATTERN = r"^[!-~]{1,512}$"
"""Of images, as far as every registry goes."""

NO_NUL = r"^[^\x00]*$"
"""Text that every store can hold: PostgreSQL has no NUL in text."""

_NAME = re.compile(NAME_PATTERN[:-1] + r"\Z")
_ID_PREFIXES = ("ap-", "fu-")
_SHOWN_CHARS = 60


def name_problem(name: str) -> str | None:
    """Why `name` cannot be a name, as a sentence, or None."""
    if _NAME.match(name):
        return None
    return f"{shown(name)} is not a name: use {NAME_RULE}."


def is_id(ref: str) -> bool:
    """Whether an app or a function is meant by its id."""
    return ref.startswith(_ID_PREFIXES)


def app_name_problem(name: str) -> str | None:
    """Why an app cannot bear `name`: as `name_problem`, and it must not read like an id."""
    if is_id(name):
        return f"{shown(name)} begins like an id; choose a name that does not begin with {' or '.join(_ID_PREFIXES)}."
    return name_problem(name)


def split_address(address: str) -> tuple[str, str] | None:
    """The app and the function of an address `app:function`, or None for anything else."""
    app, colon, function = address.partition(":")
    return (app, function) if colon and app and function else None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was most likely meant to be, or None where none is near."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question to put behind a message, with a space before it, or nothing."""
    near = nearest(word, known)
    return f" Did you mean {near}?" if near else ""


def shown(value: object) -> str:
    """A value from outside as a message may quote it: on one line, of bounded length, always encodable."""
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    if len(text) > _SHOWN_CHARS:
        text = text[: _SHOWN_CHARS - 1] + "…"
    return "".join(char if char.isprintable() else "�" for char in text)


def pointer(*parts: str | int) -> str:
    """An RFC 6901 JSON pointer to the member that `parts` lead to."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
