"""The header `Prefer` (RFC 7240): whether and how long a caller waits."""

import re
from dataclasses import dataclass

from yurt.domain.errors import FieldError, Invalid

MAX_WAIT_S = 86_400
_WAIT = re.compile(r"wait\s*=\s*\"?(\d{1,9})\"?\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Preference:
    """What a caller prefers.

    Args:
        wait_s: after so many seconds the answer is 202; None waits to the end.
        applied: what `Preference-Applied` says.
    """

    wait_s: int | None = None
    applied: str = ""


def read_prefer(header: str | None) -> Preference:
    """Read `respond-async` and `wait=N`; other preferences are ignored, as the RFC wants it.

    Raises:
        Invalid: the wait is above a day.
    """
    if not header:
        return Preference()
    words = [word.strip() for part in header.split(",") for word in part.split(";")]
    waits = [int(found[1]) for word in words if (found := _WAIT.match(word))]
    at_once = any(word.lower() == "respond-async" for word in words)
    if waits and waits[0] > MAX_WAIT_S:
        message = f"wait must be at most {MAX_WAIT_S} seconds"
        raise Invalid(f"Prefer: {message}.", errors=[FieldError("Prefer", message)])
    applied = (["respond-async"] if at_once else []) + [f"wait={seconds}" for seconds in waits[:1]]
    if not applied:
        return Preference()
    return Preference(waits[0] if waits else 0, ", ".join(applied))
