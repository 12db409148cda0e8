"""What a caller sends to make a call: checked, with the arguments left as they came."""

import math
from collections.abc import Callable, Mapping

import msgspec

from yurt.domain.callbacks import MAX_URL_CHARS, url_problem
from yurt.domain.errors import FieldError, Invalid
from yurt.domain.json_value import MAX_DEPTH, too_deep
from yurt.domain.naming import NO_NUL, did_you_mean, pointer, shown
from yurt.domain.timing import MAX_WAIT_S, Timing
from yurt.domain.validation import whole
from yurt.inbound.rest.bodies import check_json
from yurt.usecases.begun import Envelope

MAX_METADATA = 64
MAX_PRIORITY = 10
_KNOWN = ("args", "kwargs", "metadata", "priority", "delay", "queue_timeout", "callback_url", "method", "parameters")


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    """The usual body; anything else takes the careful way."""

    args: msgspec.Raw = msgspec.Raw(b"[]")
    kwargs: msgspec.Raw = msgspec.Raw(b"{}")


class _OfClass(msgspec.Struct, forbid_unknown_fields=True):
    """The usual body of a call of a class."""

    args: msgspec.Raw = msgspec.Raw(b"[]")
    kwargs: msgspec.Raw = msgspec.Raw(b"{}")
    method: str | None = None
    parameters: dict[str, str | int | float | bool | None] | None = None


_plain = msgspec.json.Decoder(_Plain).decode
_of_class = msgspec.json.Decoder(_OfClass).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

METHOD: Mapping[str, object] = {
    "type": ["string", "null"],
    "description": "Of a class: which of its methods. It may be left out where there is only one.",
}
PARAMETERS: Mapping[str, object] = {
    "type": ["object", "null"],
    "additionalProperties": {"type": ["string", "integer", "boolean"]},
    "description": "Of a class: what its object is made with, by name; absent ones have their defaults. Bytes are "
    "strings in base64. At most 16 KiB in all.",
    "examples": [{"model": "small"}],
}
SCHEMA: Mapping[str, object] = {
    "title": "InvocationRequest",
    "type": "object",
    "description": "The arguments of a call, and its options. `{}` calls without arguments.",
    "additionalProperties": False,
    "properties": {
        "args": {"type": "array", "items": {}, "description": "Positional arguments."},
        "kwargs": {"type": "object", "additionalProperties": True, "description": "Arguments by name."},
        "metadata": {
            "type": "object",
            "propertyNames": {"pattern": NO_NUL},
            "additionalProperties": {"type": "string", "maxLength": 1024, "pattern": NO_NUL},
            "maxProperties": MAX_METADATA,
            "description": "Labels of the call: shown with it, given to the function, and a filter of lists.",
        },
        "priority": {
            "type": ["integer", "null"],
            "minimum": -MAX_PRIORITY,
            "maximum": MAX_PRIORITY,
            "default": 0,
            "description": "Higher first among the caller's own inputs; callers take turns whatever theirs is.",
        },
        "delay": {
            "type": ["number", "null"],
            "minimum": 0,
            "maximum": MAX_WAIT_S,
            "default": 0,
            "description": "Seconds before which the call does not begin.",
        },
        "queue_timeout": {
            "type": ["number", "null"],
            "exclusiveMinimum": 0,
            "maximum": MAX_WAIT_S,
            "description": "Seconds, after the delay, in which the call must begin; else it ends with the outcome "
            "`expired`.",
        },
        "callback_url": {
            "type": ["string", "null"],
            "format": "uri",
            "pattern": "^https?://",
            "maxLength": MAX_URL_CHARS,
            "description": "Who is told of the call's end, by a signed POST (see docs/callbacks.md).",
        },
        "method": METHOD,
        "parameters": PARAMETERS,
    },
}


def read_envelope(body: bytes) -> Envelope:
    """Check a body and take it apart, without decoding the arguments.

    Raises:
        Malformed: it is not JSON.
        Invalid: a field is wrong; every one is named.
    """
    try:
        plain = _plain(body)
        args, kwargs = bytes(plain.args), bytes(plain.kwargs)
        body.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _for_class(body)
    if args[:1] == b"[" and kwargs[:1] == b"{" and not too_deep(body):
        return Envelope(body)
    return _carefully(body)


def _for_class(body: bytes) -> Envelope:
    try:
        found = _of_class(body)
        args, kwargs = bytes(found.args), bytes(found.kwargs)
        body.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _carefully(body)
    if args[:1] != b"[" or kwargs[:1] != b"{" or too_deep(body):
        return _carefully(body)
    payload = b'{"args":' + args + b',"kwargs":' + kwargs + b"}"
    return Envelope(payload, method=found.method, parameters=found.parameters)


def _carefully(body: bytes) -> Envelope:
    check_json(body)
    try:
        members = _members(body)
    except msgspec.MsgspecError as error:
        message = 'must be a JSON object, such as {} or {"args": [3]}'
        raise Invalid(f"The body {message}.", errors=[FieldError("", message)]) from error
    errors = [*_check(members)]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise Invalid(f"{errors[0].pointer}: {errors[0].message}{more}", errors=errors)
    args, kwargs = bytes(members.get("args", b"[]")), bytes(members.get("kwargs", b"{}"))
    metadata = msgspec.json.decode(members["metadata"], type=dict[str, str]) if "metadata" in members else {}
    callback_url = msgspec.json.decode(members["callback_url"]) if "callback_url" in members else None
    return Envelope(
        b'{"args":' + args + b',"kwargs":' + kwargs + b"}",
        msgspec.json.encode(metadata).decode() if metadata else None,
        callback_url,
        int(msgspec.json.decode(members["priority"]) or 0) if "priority" in members else 0,
        _timing(members),
        msgspec.json.decode(members["method"]) if "method" in members else None,
        msgspec.json.decode(members["parameters"]) if "parameters" in members else None,
    )


def _timing(members: Mapping[str, msgspec.Raw]) -> Timing | None:
    delay, limit = (msgspec.json.decode(members.get(name, b"null")) for name in ("delay", "queue_timeout"))
    return Timing(float(delay or 0), None if limit is None else float(limit)) if delay or limit else None


def _check(members: Mapping[str, msgspec.Raw]) -> list[FieldError]:
    errors = []
    for name, raw in members.items():
        where = pointer(name)
        if name not in _KNOWN:
            hint = did_you_mean(name, _KNOWN) or " Arguments by name belong into kwargs."
            errors.append(FieldError(where, f"unknown key {shown(name)}.{hint}", "unknown_key"))
        elif message := _CHECKS[name](raw):
            errors.append(FieldError(where, message))
    return errors


def _value(raw: msgspec.Raw) -> object:
    """The value of an option; infinity where there is a number in it that is too large for any."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.ValidationError:
        return math.inf


def _args(raw: msgspec.Raw) -> str | None:
    if bytes(raw)[:1] != b"[":
        return "must be a list of positional arguments"
    return f"is nested deeper than {MAX_DEPTH}" if too_deep(bytes(raw)) else None


def _kwargs(raw: msgspec.Raw) -> str | None:
    if bytes(raw)[:1] != b"{":
        return "must be an object of arguments by name"
    return f"is nested deeper than {MAX_DEPTH}" if too_deep(bytes(raw)) else None


def _metadata(raw: msgspec.Raw) -> str | None:
    try:
        metadata = msgspec.json.decode(raw, type=dict[str, str])
    except msgspec.MsgspecError:
        return "must be an object whose values are strings"
    if len(metadata) > MAX_METADATA or any(len(value) > 1024 for value in metadata.values()):
        return f"must have at most {MAX_METADATA} entries of at most 1024 characters each"
    if any("\0" in text for entry in metadata.items() for text in entry):
        return "must not contain NUL, which not every store can hold"
    return None


def _callback_url(raw: msgspec.Raw) -> str | None:
    url = _value(raw)
    if url is None:
        return None
    return url_problem(url) if isinstance(url, str) else "must be a URL such as https://example.com/done"


def _priority(raw: msgspec.Raw) -> str | None:
    value = whole(_value(raw))
    if value is None or (type(value) is int and abs(value) <= MAX_PRIORITY):
        return None
    return f"must be a whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}, higher first"


def _delay(raw: msgspec.Raw) -> str | None:
    value = _value(raw)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_WAIT_S):
        return None
    return f"must be seconds from 0 to {MAX_WAIT_S}, which is 7 days"


def _queue_timeout(raw: msgspec.Raw) -> str | None:
    value = _value(raw)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MAX_WAIT_S):
        return None
    return f"must be seconds above 0, and at most {MAX_WAIT_S}, which is 7 days"


def _method(raw: msgspec.Raw) -> str | None:
    value = _value(raw)
    return None if value is None or isinstance(value, str) else "must be the name of a method, a string"


def _parameters(raw: msgspec.Raw) -> str | None:
    value = _value(raw)
    return None if value is None or isinstance(value, dict) else "must be an object of parameters by name"


_CHECKS: Mapping[str, Callable[[msgspec.Raw], str | None]] = {
    "args": _args,
    "kwargs": _kwargs,
    "metadata": _metadata,
    "callback_url": _callback_url,
    "priority": _priority,
    "delay": _delay,
    "queue_timeout": _queue_timeout,
    "method": _method,
    "parameters": _parameters,
}
