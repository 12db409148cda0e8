"""From pydantic's findings to what a caller reads: one `FieldError` for each field, all of them at once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from yurt.domain.errors import FieldError
from yurt.domain.naming import IMAGE_PATTERN, NAME_PATTERN, NAME_RULE, NO_NUL, did_you_mean, pointer, shown

_KEY_RULE = "key_rule"
_AT = "at"

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "a string",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}

_PATTERNS = {
    NAME_PATTERN: f"be a name: {NAME_RULE}",
    IMAGE_PATTERN: "be the name of an image, such as python:3.12: 1 to 512 characters of ASCII without blanks",
    NO_NUL: "have no NUL in it",
}

_BOUND: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than_equal": lambda ctx: f"must be at least {ctx['ge']}",
    "less_than_equal": lambda ctx: f"must be at most {ctx['le']}",
    "greater_than": lambda ctx: f"must be more than {ctx['gt']}",
    "less_than": lambda ctx: f"must be less than {ctx['lt']}",
    "string_too_short": lambda ctx: f"must have at least {ctx['min_length']} characters",
    "string_too_long": lambda ctx: f"must have at most {ctx['max_length']} characters",
    "too_long": lambda ctx: f"must have at most {ctx['max_length']} entries",
    "string_pattern_mismatch": lambda ctx: f"must {_PATTERNS.get(ctx['pattern'], 'match ' + ctx['pattern'])}",
    "literal_error": lambda ctx: f"must be {ctx['expected']}",
    "enum": lambda ctx: f"must be {ctx['expected']}",
    "finite_number": lambda _: "must be a finite number",
}


def whole(value: object) -> object:
    """60.0 as 60: to JSON they are the same number, and some languages cannot write the latter."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def broken_rule(message: str, *at: str | int) -> PydanticCustomError:
    """What a validator raises: `message` ends in no full stop; `at` leads from the field to the member at fault."""
    return PydanticCustomError("rule", "{message}", {"message": message, _AT: at})


def broken_key(message: str) -> PydanticCustomError:
    """What the validator of a mapping's keys raises; the error is shown at the member that bears the key."""
    return PydanticCustomError(_KEY_RULE, "{message}", {"message": message})


def field_errors(found: ValidationError, model: type[BaseModel], at: Sequence[str | int] = ()) -> list[FieldError]:
    """Every finding, with its pointer below `at`; an unknown key comes with the nearest right word of `model`."""
    return [_field_error(detail, model, at) for detail in found.errors(include_url=False)]


def type_name(value: object) -> str:
    """What JSON calls the type of `value`, with the value itself where it is short."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case dict():
            return "an object"
        case list() | tuple():
            return "a list"
        case _:
            return shown(value)


def _field_error(detail: ErrorDetails, model: type[BaseModel], at: Sequence[str | int]) -> FieldError:
    kind, loc = detail["type"], list(detail["loc"])
    context: Mapping[str, Any] = detail.get("ctx") or {}
    if kind == _KEY_RULE:
        loc.pop()  # pydantic marks a key by a further "[key]"
    where = pointer(*at, *loc, *context.get(_AT, ()))
    if kind == "extra_forbidden":
        known = _keys(model, loc[:-1])
        hint = did_you_mean(str(loc[-1]), known) or (f" Known are {', '.join(known)}." if known else "")
        return FieldError(where, f"unknown key {shown(str(loc[-1]))}.{hint}", "unknown_key")
    return FieldError(where, _message(kind, context, detail))


def _message(kind: str, context: Mapping[str, Any], detail: ErrorDetails) -> str:
    got = type_name(detail["input"])
    if kind == "missing":
        return "is missing"
    if kind in _EXPECTED:
        return f"must be {_EXPECTED[kind]}, got {got}"
    if kind in _BOUND:
        return f"{_BOUND[kind](context)}, got {got}"
    return detail["msg"]


def _keys(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The keys of the object at `loc` inside `model`, as far as the models tell."""
    for part in loc:
        if isinstance(part, int):
            continue  # into a list of such objects
        field = model.model_fields.get(part)
        inner = None if field is None else _model_of(field.annotation)
        if inner is None:
            return []
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_of(annotation: Any) -> type[BaseModel] | None:
    candidates = (annotation, *getattr(annotation, "__args__", ()))
    return next((one for one in candidates if isinstance(one, type) and issubclass(one, BaseModel)), None)
