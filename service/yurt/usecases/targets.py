"""What calls of classes are for, as the caller says it."""

from collections.abc import Mapping

from yurt.domain.classes import Misaimed, aim
from yurt.domain.errors import Invalid
from yurt.domain.functions import LiveFunction
from yurt.domain.records import Target


def aimed(live: LiveFunction, method: str | None, parameters: Mapping[str, object] | None) -> Target | None:
    """The target of a call, without its number; None for a plain function.

    Raises:
        Invalid: there is no such method, or a parameter is unknown, missing, or of the wrong type; all are named.
    """
    try:
        return aim(live.of_class, live.function_id, live.address, method, parameters or {})
    except Misaimed as error:
        first = error.errors[0]
        more = f" (and {len(error.errors) - 1} more)" if len(error.errors) > 1 else ""
        raise Invalid(f"{first.pointer}: {first.message}{more}", errors=error.errors) from error


def said_of(target: Target | None) -> str:
    """What two requests with one idempotency key must have in common."""
    return "" if target is None else f"\n{target.method} {target.parameters_json or ''}"
