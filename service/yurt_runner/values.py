"""Values between Python and JSON, as callers see them.

Plain values take the C encoder's path alone. What it would let through and a caller could not read (keys that are
neither text nor int, too much depth, lone surrogates) is looked for afterwards in ways that cost little, and only a
value that failed is walked in Python, to say where.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

MAX_DEPTH = 512
"""Arrays and objects within each other; the server refuses more."""
MAX_BYTES = 64 << 20
"""The largest result, in bytes of JSON."""
BYTES_KEY = "$bytes"


class SerializationError(Exception):
    """A value has no JSON form. The message names its type and where it is."""


def encode(value: object) -> bytes:
    """The JSON of a result.

    Raises:
        SerializationError: it has none, is nested too deeply, or is larger than `MAX_BYTES`.
        MemoryError: there is not enough.
    """
    try:
        data = _encode(value).encode()
    except (SerializationError, ValueError, TypeError, RecursionError) as error:
        raise SerializationError(explain(value) or f"the result cannot be encoded as JSON: {error}") from None
    if b"{" in data and _has_odd_key(value):
        raise SerializationError(explain(value) or "the result has a key that is neither text nor int")
    if len(data) > MAX_BYTES:
        raise SerializationError(
            f"the result is {len(data)} bytes of JSON, more than the limit of {MAX_BYTES}: return a reference instead"
        )
    if depth_exceeds(data, MAX_DEPTH):
        raise SerializationError(explain(value) or f"the result is nested more than {MAX_DEPTH} deep")
    return data


def decode(payload: bytes) -> Tuple[List[Any], Dict[str, Any]]:
    """Positional and keyword arguments of an input.

    Raises:
        ValueError: it is not an object with `args` and `kwargs`, or a `$bytes` is not base64.
    """
    hook = _decode_bytes if b'"$bytes"' in payload else None
    call = json.loads(payload, object_hook=hook) if payload else {}
    if not isinstance(call, dict):
        raise ValueError("the arguments are not an object with args and kwargs")  # noqa: TRY004 - a bad value
    args, kwargs = call.get("args", []), call.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise ValueError("args is not an array, or kwargs is not an object")  # noqa: TRY004 - a bad value
    return args, kwargs


def _decode_bytes(value: Dict[str, Any]) -> object:
    text = value.get(BYTES_KEY)
    if len(value) != 1 or not isinstance(text, str):
        return value
    return base64.b64decode(text, validate=True)


def depth_exceeds(data: bytes, limit: int) -> bool:
    """Whether valid JSON is nested more than `limit` deep.

    Text is cut out, then everything but brackets; each round of removing empty pairs takes off one level.
    """
    if data.count(b"[") + data.count(b"{") <= limit:
        return False
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(data.split(b'"')[::2]).translate(_TO_SQUARE, _NO_BRACKETS)
    for _ in range(limit):
        if not brackets:
            break
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _has_odd_key(value: object) -> bool:
    """Whether a dict in `value` has a key that JSON would change beyond recognition (None, True, 1.5)."""
    todo: List[Any] = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            for key in one:
                if not _good_key(key):
                    return True
            todo += [item for item in one.values() if isinstance(item, (dict, list, tuple))]
        elif isinstance(one, (list, tuple)):
            todo += [item for item in one if isinstance(item, (dict, list, tuple))]
    return False


def _good_key(key: object) -> bool:
    return isinstance(key, str) or (isinstance(key, int) and not isinstance(key, bool))


# Types beyond JSON's own. They are known by name, so that none of their modules is imported for it.


def _of_bytes(value: Any) -> object:
    return {BYTES_KEY: base64.b64encode(value).decode()}


def _of_dataclass(value: Any) -> object:
    import dataclasses

    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


_BY_NAME: Dict[Tuple[str, str], Callable[[Any], object]] = {
    ("builtins", "bytes"): _of_bytes,
    ("builtins", "bytearray"): _of_bytes,
    ("builtins", "memoryview"): _of_bytes,
    ("builtins", "set"): list,
    ("builtins", "frozenset"): list,
    ("datetime", "date"): lambda value: value.isoformat(),  # datetime is one
    ("uuid", "UUID"): str,
    ("decimal", "Decimal"): str,
    ("_decimal", "Decimal"): str,
    ("_pydecimal", "Decimal"): str,
    ("enum", "Enum"): lambda value: value.value,
    ("numpy", "generic"): lambda value: value.item(),
    ("numpy", "ndarray"): lambda value: value.tolist(),
}


def convert(value: Any) -> object:
    """A value that JSON lacks, as one that it has (which may hold further such values).

    Raises:
        SerializationError: there is no form for its type.
    """
    kind = type(value)
    for base in kind.__mro__:
        by_name = _BY_NAME.get((base.__module__, base.__qualname__))
        if by_name:
            result = by_name(value)
            break
    else:
        if hasattr(kind, "__dataclass_fields__"):
            result = _of_dataclass(value)
        elif callable(getattr(kind, "model_dump", None)):
            result = value.model_dump()
        else:
            raise SerializationError(f"a value of type {name_of(kind)} cannot be encoded as JSON")
    if type(result) is kind and not isinstance(result, (str, int, float, list, dict)):
        raise SerializationError(f"a value of type {name_of(kind)} cannot be encoded as JSON")
    if isinstance(result, (dict, list)) and _has_odd_key(result):
        raise SerializationError("a key is neither text nor int")
    return result


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=convert).encode


def name_of(kind: type) -> str:
    """A type as people write it: without `builtins`."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def explain(value: object) -> Optional[str]:
    """Why `value` has no JSON form, with the path; None if nothing is found."""
    todo: List[Iterator[Tuple[str, Any]]] = [iter([("$", value)])]
    above: List[int] = []
    while todo:
        step = next(todo[-1], None)
        if step is None:
            todo.pop()
            if above:
                above.pop()
            continue
        path, item = step
        problem, inside, item = _look_at(item, len(todo))
        if id(item) in above:
            problem = "contains itself"
        if problem:
            return f"the result cannot be encoded as JSON: at {path}, {problem}"
        if inside is not None:
            above.append(id(item))
            todo.append(_paths(path, inside))
    return None


def _look_at(item: Any, depth: int) -> Tuple[Optional[str], Optional[Any], Any]:
    """(what is wrong, the dict or list to look into, the item itself)."""
    if item is None or isinstance(item, (bool, int, float, str)):
        return _scalar_problem(item), None, item
    if not isinstance(item, (dict, list, tuple)):
        try:
            inside = convert(item)
        except SerializationError as error:
            return str(error), None, item
        return _look_at(inside, depth)[0], inside if isinstance(inside, (dict, list)) else None, item
    if depth > MAX_DEPTH:
        return f"it is nested more than {MAX_DEPTH} deep", None, item
    if isinstance(item, dict):
        for key in item:
            if not _good_key(key):
                return f"the key {key!r} is of type {name_of(type(key))}; keys must be text or int", None, item
            if isinstance(key, str) and _scalar_problem(key):
                return f"a key has {_scalar_problem(key)}", None, item
    return None, item, item


def _scalar_problem(item: object) -> Optional[str]:
    if isinstance(item, float) and (math.isnan(item) or math.isinf(item)):
        return f"{item!r} (type {name_of(type(item))}) is not a JSON number"
    if isinstance(item, int) and not isinstance(item, bool):
        try:
            int.__repr__(item)
        except ValueError:
            return "an int has too many digits"
    if isinstance(item, str):
        try:
            item.encode()
        except UnicodeEncodeError:
            return "a lone surrogate, which no UTF-8 text can hold (type str)"
    return None


def _paths(path: str, inside: Any) -> Iterator[Tuple[str, Any]]:
    if isinstance(inside, dict):
        for key, item in inside.items():
            yield (f"{path}.{key}" if str(key).isidentifier() else f"{path}[{json.dumps(str(key))}]"), item
    else:
        for index, item in enumerate(inside):
            yield f"{path}[{index}]", item
