"""Times that callers write: RFC 3339, or an age."""

import re
from datetime import datetime

from yurt.domain.errors import FieldError, Invalid
from yurt.domain.naming import shown

_AGE = re.compile(r"(\d{1,9})([smhd])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)\Z")


def read_since(name: str, text: str | None, now: float) -> float | None:
    """The time (seconds since 1970) that `text` means, or None where there is none.

    Args:
        name: of the parameter, for the message.
        text: `2026-11-22T10:15:30Z`, or an age: `90s`, `10m`, `2h`, `7d`.
        now: what ages count from.

    Raises:
        Invalid: it is neither.
    """
    if text is None:
        return None
    if age := _AGE.match(text):
        return now - int(age[1]) * _SECONDS[age[2]]
    if _RFC3339.match(text):
        try:
            return datetime.fromisoformat(text.upper().replace(" ", "T")).timestamp()
        except (ValueError, OverflowError):
            pass
    message = f"must be RFC 3339 with a zone, or an age such as 10m, 2h or 7d, got {shown(text)}"
    raise Invalid(f"?{name}: {message}", errors=[FieldError(f"?{name}", message)])
