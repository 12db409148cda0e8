"""Classes: their methods, hooks and parameters, and the queue in which a call of one waits."""

import base64
import binascii
import hashlib
import json
import keyword
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from yurt.domain.errors import FieldError
from yurt.domain.naming import did_you_mean, pointer, shown
from yurt.domain.records import Target
from yurt.domain.validation import broken_rule, type_name

PARAMETERS_BYTES = 16 << 10
"""All parameters of one call together, as JSON. Modal's."""

MAX_METHODS = 100
MAX_PARAMETERS = 64
MAX_QUEUES = 10_000
"""Combinations of parameters of one function that have inputs or containers at once: each is a pool of its own."""

IDENTIFIER = r"^[A-Za-z_][A-Za-z0-9_]*$"
_INT_BITS = 63
_WHOLE = re.compile(r"-?[0-9]{1,19}\Z")

At: TypeAlias = Sequence[str | int]


def _name(text: str) -> str:
    if not text.isascii() or not text.isidentifier() or keyword.iskeyword(text):
        raise broken_rule(f"must be a name of Python, such as load, got {shown(text)}")
    return text


def _once(names: list[str]) -> list[str]:
    for place, name in enumerate(names):
        if name in names[:place]:
            raise broken_rule(f"names {name} twice", place)
    return names


_SHAPE = Field(max_length=255, json_schema_extra={"pattern": IDENTIFIER})
Name: TypeAlias = Annotated[str, AfterValidator(_name), _SHAPE]
Names: TypeAlias = Annotated[list[Name], Field(max_length=MAX_METHODS), AfterValidator(_once)]


class Parameter(BaseModel):
    """A value that an object of the class is made with; callers that leave it out get the default, if there is one."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    name: Name
    type: Literal["str", "int", "bool", "bytes"]
    default: str | int | bool | None = Field(
        None, description="Absent: every call must give it. Of `bytes`: base64.", examples=["small"]
    )

    @model_validator(mode="after")
    def _default_fits(self) -> "Parameter":
        if self.default is not None and (problem := type_problem(self.type, self.default)):
            raise broken_rule(problem, "default")
        return self


def _parameters(found: list[Parameter]) -> list[Parameter]:
    for place, one in enumerate(found):
        if any(one.name == other.name for other in found[:place]):
            raise broken_rule(f"names {one.name} twice", place, "name")
    if (size := len(_text({one.name: one.default for one in found}).encode())) > PARAMETERS_BYTES:
        raise broken_rule(f"defaults must be at most {PARAMETERS_BYTES >> 10} KiB in all, are {size} bytes")
    return found


Parameters: TypeAlias = Annotated[list[Parameter], Field(max_length=MAX_PARAMETERS), AfterValidator(_parameters)]


@dataclass(frozen=True, slots=True)
class ClassSpec:
    """What makes a function a class.

    Args:
        methods: what can be called.
        enter: called in this order before the first input.
        exit: called in this order when the container ends.
        parameters: what its objects are made with.
    """

    methods: tuple[str, ...]
    enter: tuple[str, ...] = ()
    exit: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()

    @property
    def required(self) -> list[str]:
        """The parameters that every call must give."""
        return [one.name for one in self.parameters if one.default is None]

    @property
    def defaults_json(self) -> str | None:
        """The parameters of a call that gives none; None where there are none, or some must be given."""
        if not self.parameters or self.required:
            return None
        return _text({one.name: one.default for one in self.parameters})


def queue_of(function_id: str, parameters_json: str | None) -> str:
    """The queue of a function, or of one combination of parameters of a class."""
    if parameters_json is None:
        return function_id
    return f"{function_id}.{hashlib.sha256(parameters_json.encode()).hexdigest()[:20]}"


def type_problem(kind: str, value: object) -> str | None:
    """Why `value` is no value of a type of parameters, or None."""
    match kind:
        case "str":
            return None if isinstance(value, str) else f"must be a string, got {type_name(value)}"
        case "bool":
            return None if isinstance(value, bool) else f"must be true or false, got {type_name(value)}"
        case "int":
            if type(value) is not int:
                return f"must be a whole number, got {type_name(value)}"
            return None if -(1 << _INT_BITS) <= value < 1 << _INT_BITS else "must fit into 64 bits"
        case _:
            return None if _is_base64(value) else f"must be bytes as a string in base64, got {type_name(value)}"


def _is_base64(value: object) -> bool:
    try:
        return isinstance(value, str) and base64.b64encode(base64.b64decode(value, validate=True)).decode() == value
    except (binascii.Error, ValueError):
        return False


def _text(values: Mapping[str, object]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


# ------------------------------------------------------------------ definitions


def class_errors(value: Mapping[str, Any], at: At) -> Iterator[FieldError]:
    """Rules between the keys of a definition, on the raw values."""
    if value.get("kind", "function") != "class":
        for key in ("methods", "enter", "exit", "parameters"):
            if value.get(key):
                yield FieldError(pointer(*at, key), 'is of classes: send kind "class" with it, or leave it out')
        return
    methods, parameters = value.get("methods"), value.get("parameters")
    if methods is None or methods == []:
        yield FieldError(pointer(*at, "methods"), 'must name what can be called, such as ["run"]')
    listed = parameters if isinstance(parameters, list) else ()
    required = [one.get("name") for one in listed if isinstance(one, dict) and one.get("default") is None]
    needy = ", ".join(str(name) for name in required[:8])
    if required and value.get("min_containers"):
        message = f"is for calls without parameters, and there can be none: give a default to {needy}"
        yield FieldError(pointer(*at, "min_containers"), message)
    if value.get("schedule") is None:
        return
    if required:
        yield FieldError(pointer(*at, "schedule"), f"calls without parameters: give a default to {needy}")
    if isinstance(methods, list) and len(methods) > 1:
        yield FieldError(pointer(*at, "schedule"), f"needs a class with one method, this one has {len(methods)}")


# ------------------------------------------------------------------ calls


def read_texts(spec: ClassSpec | None, texts: Mapping[str, str]) -> dict[str, object]:
    """Parameters that came as texts, as in a query or on a command line: numbers and booleans are those of JSON."""
    kinds = {one.name: one.type for one in spec.parameters} if spec is not None else {}
    return {name: _read(kinds.get(name, "str"), text) for name, text in texts.items()}


def _read(kind: str, text: str) -> object:
    if kind == "int" and _WHOLE.match(text):
        return int(text)
    return {"true": True, "false": False}.get(text, text) if kind == "bool" else text


class Misaimed(Exception):
    """A call that does not fit what it is for; `errors` names every field at fault."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__(errors[0].message)
        self.errors = tuple(errors)


def aim(
    spec: ClassSpec | None, function_id: str, address: str, method: str | None, given: Mapping[str, object]
) -> Target | None:
    """What a call is for: the method, every parameter, and the queue that they make. Its number is still to be set.

    Args:
        spec: None for a plain function.
        address: `app:function`, for messages.
        given: parameters, as JSON values.

    Raises:
        Misaimed: there is no such method, or a parameter is unknown, missing, or of the wrong type.
    """
    if spec is None:
        if errors := list(_of_no_class(address, method, given)):
            raise Misaimed(errors)
        return None
    errors = list(_method_errors(spec, address, method))
    values: dict[str, object] = {}
    for one in spec.parameters:
        value = given.get(one.name, one.default)
        value = int(value) if one.type == "int" and isinstance(value, float) and value.is_integer() else value
        values[one.name] = value
        if value is None and one.name not in given:
            errors.append(FieldError(pointer("parameters", one.name), f"is missing: {address} has no default for it"))
        elif problem := type_problem(one.type, value):
            errors.append(FieldError(pointer("parameters", one.name), problem))
    errors += _unknown(spec, address, given)
    if errors:
        raise Misaimed(errors)
    text = _text(values) if values else None
    if text is not None and (size := len(text.encode())) > PARAMETERS_BYTES:
        message = f"must be at most {PARAMETERS_BYTES >> 10} KiB in all, are {size} bytes"
        raise Misaimed([FieldError("/parameters", message)])
    return Target(0, queue_of(function_id, text), method or spec.methods[0], text)


def _of_no_class(address: str, method: str | None, given: Mapping[str, object]) -> Iterator[FieldError]:
    if method is not None:
        yield FieldError("/method", f"{address} is a function, not a class: leave method out")
    if given:
        yield FieldError("/parameters", f"{address} is a function, not a class: its arguments belong into kwargs")


def _method_errors(spec: ClassSpec, address: str, method: str | None) -> Iterator[FieldError]:
    names = ", ".join(spec.methods[:12]) + (", …" if len(spec.methods) > 12 else "")
    if method is None and len(spec.methods) > 1:
        yield FieldError("/method", f"is missing: {address} has {names}")
    elif method is not None and method not in spec.methods:
        hint = did_you_mean(method, spec.methods)
        yield FieldError("/method", f"{address} has no method {shown(method)}; it has {names}.{hint}")


def _unknown(spec: ClassSpec, address: str, given: Mapping[str, object]) -> list[FieldError]:
    known = [one.name for one in spec.parameters]
    has = f"it has {', '.join(known)}." if known else "it has none."
    return [
        FieldError(
            pointer("parameters", name),
            f"{address} has no parameter {shown(name)}; {has}{did_you_mean(name, known)}",
            "unknown_key",
        )
        for name in given
        if name not in known
    ]
