"""Keys of a definition that belong to features this server does not have yet.

A known key is never silently ignored: values that ask for nothing are accepted, any other is refused as not supported.
A feature that arrives takes its key out of here and into `FunctionDefinition`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yurt.domain.errors import FieldError
from yurt.domain.naming import pointer
from yurt.domain.validation import type_name

CALL_OPTIONS = ("priority", "delay", "queue_timeout", "callback_url", "metadata")
"""What belongs beside a call's arguments, and is easily taken for a key of a definition."""


@dataclass(frozen=True, slots=True)
class LaterKey:
    """A key of which only the values that ask for nothing are accepted.

    Args:
        accepted: those values, the plainest first.
        schema: JSON Schema of the same values.
    """

    accepted: tuple[object, ...]
    schema: Mapping[str, Any]


_NOTHING = LaterKey((None,), {"type": "null"})

LATER: Mapping[str, LaterKey] = {
    "callback": _NOTHING,
}


def refuse_later(definition: Mapping[str, Any], at: tuple[str | int, ...]) -> list[FieldError]:
    """One error for each key of `LATER` whose value asks for something.

    Args:
        definition: the definition as it came.
        at: where it stands in the body.
    """
    return [
        _refusal(key, definition[key], later, at)
        for key, later in LATER.items()
        if key in definition and not any(_same(definition[key], accepted) for accepted in later.accepted)
    ]


def _same(one: object, other: object) -> bool:
    """Equality as JSON has it: `false` is not 0."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _refusal(key: str, value: object, later: LaterKey, at: tuple[str | int, ...]) -> FieldError:
    where = pointer(*at, key)
    plain = json.dumps(later.accepted[0])
    got = f"{key} {type_name(value)}" if isinstance(value, str | int | float) else f"This value of {key}"
    return FieldError(where, f"{got} is not supported yet: leave {key} out, or send {plain}.", "not_supported")
