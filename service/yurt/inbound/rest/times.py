"""Times that callers write: RFC 3339, or an age."""

import re
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field

from yurt.domain.errors import FieldError, Invalid
from yurt.domain.naming import shown

_AGE = r"[0-9]{1,9}[smhd]"
_DATE = r"(?:19|2[0-9])[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?"
_ZONE = r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_PATTERN = f"^(?:{_AGE}|{_DATE}T{_CLOCK}{_ZONE})$"
_COMPILED = re.compile(_PATTERN[:-1] + r"\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

TimeOrAge = Annotated[
    str,
    Field(
        description="RFC 3339 with a zone, or an age such as `10m`, `2h`, `7d`.",
        json_schema_extra={"pattern": _PATTERN},
    ),
]
"""A query parameter that `read_since` reads, and refuses in words. Every text that the pattern allows is a time."""


def read_since(name: str, text: str | None, now: float, *, at: str = "?") -> float | None:
    """The time (seconds since 1970) that `text` means, or None where there is none.

    Args:
        name: of the parameter, for the message.
        text: `2026-11-22T10:15:30Z`, or an age: `90s`, `10m`, `2h`, `7d`. A 30th of February is in March.
        now: what ages count from.
        at: what precedes the name where it stands: `?` in a query, `/` in a body.

    Raises:
        Invalid: it is neither.
    """
    if text is None:
        return None
    if not _COMPILED.match(text):
        message = f"must be RFC 3339 with a zone, or an age such as 10m, 2h or 7d, got {shown(text)}"
        raise Invalid(f"{at}{name}: {message}", errors=[FieldError(at + name, message)])
    if text[-1] in _SECONDS:
        return now - int(text[:-1]) * _SECONDS[text[-1]]
    first_of_month = datetime.fromisoformat(f"{text[:8]}01{text[10:]}")
    return (first_of_month + timedelta(days=int(text[8:10]) - 1)).timestamp()
