"""How inputs share a container: several at once, or many in one call of a batched function."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from yurt.domain.errors import FieldError
from yurt.domain.naming import pointer
from yurt.domain.validation import whole

MAX_INPUTS = 1000
"""Inputs, or batches, that one container runs at once: as many as the runner keeps apart."""

MAX_BATCH_SIZE = 1000
MAX_WAIT_MS = 600_000

MAX_SLOTS = 10_000
"""Inputs of one container in all, with several batches at once."""


class Concurrency(BaseModel):
    """How many inputs one container runs at once."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    max_inputs: Annotated[int, Field(ge=1, le=MAX_INPUTS), BeforeValidator(whole)] = 1
    target_inputs: Annotated[int, Field(ge=1, le=MAX_INPUTS), BeforeValidator(whole)] = 1


class Batching(BaseModel):
    """How inputs are put together to one call: a batch leaves when it is full, or its first member has waited."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    max_batch_size: Annotated[int, Field(ge=1, le=MAX_BATCH_SIZE), BeforeValidator(whole)]
    wait_ms: Annotated[int, Field(ge=0, le=MAX_WAIT_MS), BeforeValidator(whole)]


_AT_ONCE = {"type": "integer", "minimum": 1, "maximum": MAX_INPUTS}
CONCURRENCY_SCHEMA: dict[str, Any] = {
    "type": ["object", "null"],
    "additionalProperties": False,
    "properties": {
        "max_inputs": {**_AT_ONCE, "default": 1},
        "target_inputs": {"anyOf": [_AT_ONCE, {"type": "null"}]},
    },
    "description": "How many inputs one container runs at once: plain functions in threads, coroutines on one event "
    "loop. Containers are started for `target_inputs` each (default: `max_inputs`), and take up to `max_inputs` "
    "meanwhile. Of a batched function: how many batches.",
    "examples": [{"max_inputs": 64, "target_inputs": 48}],
}
BATCHING_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {
            "type": "object",
            "required": ["max_batch_size", "wait_ms"],
            "additionalProperties": False,
            "properties": {
                "max_batch_size": {"type": "integer", "minimum": 1, "maximum": MAX_BATCH_SIZE},
                "wait_ms": {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_MS},
            },
        },
        {"type": "null"},
    ],
    "description": "Inputs are put together: the function gets each argument as a list, and returns a list with one "
    "result for each, in their order. A batch leaves when it has `max_batch_size` members, or when `wait_ms` have "
    "passed since its first member became ready.",
    "examples": [{"max_batch_size": 32, "wait_ms": 20}],
}


def concurrency(value: object) -> object:
    """The value of the key with its defaults, so that those that mean the same are the same."""
    if value is None:
        return {}
    if not isinstance(value, dict) or value.get("target_inputs") is not None:
        return value
    most = _number(value.get("max_inputs"))
    return {**value, "target_inputs": most if 1 <= most <= MAX_INPUTS else 1}


def crossed(value: Mapping[str, Any], at: tuple[str | int, ...]) -> list[FieldError]:
    """Rules between keys, on the raw values of a definition, so that they are found together with the rest.

    Args:
        value: the definition.
        at: where it stands in the body.
    """
    shared, batching = value.get("concurrency"), value.get("batching")
    most, target, size = _of(shared, "max_inputs") or 1, _of(shared, "target_inputs"), _of(batching, "max_batch_size")
    errors = []
    if target > most:
        errors.append(("concurrency", "target_inputs", f"must not be above max_inputs: {target} > {most}"))
    if most * size > MAX_SLOTS:
        text = f"times max_batch_size must be at most {MAX_SLOTS}: {most} x {size}"
        errors.append(("concurrency", "max_inputs", text))
    if value.get("single_use_containers") is True and most > 1:
        text = f"must be 1 with single_use_containers, of which each runs one input, got {most}"
        errors.append(("concurrency", "max_inputs", text))
    found = [FieldError(pointer(*at, key, member), text) for key, member, text in errors]
    problem = None if batching is None else _unbatchable(value)
    return [*found, FieldError(pointer(*at, "batching"), problem)] if problem else found


def _unbatchable(value: Mapping[str, Any]) -> str | None:
    """Why the rest of a definition goes with no `batching`, or None."""
    methods = value.get("methods")
    if value.get("single_use_containers") is True:
        return "must be left out with single_use_containers: each of them runs one input"
    if isinstance(methods, list) and len(methods) > 1:
        return f"is of one method: the class has {len(methods)}, whose inputs cannot be in one batch"
    return None


def _of(value: object, key: str) -> int:
    """A number among the members of a key, 0 where it is none."""
    return _number(value.get(key)) if isinstance(value, dict) else 0


def _number(value: object) -> int:
    value = whole(value)
    return value if type(value) is int else 0
