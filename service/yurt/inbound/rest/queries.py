"""Query parameters: from text to a validated model."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import msgspec
from multidict import MultiMapping
from pydantic import BaseModel, ValidationError
from yarl import URL

from yurt.domain.errors import FieldError, Invalid
from yurt.domain.naming import did_you_mean, shown
from yurt.domain.validation import field_errors

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})\Z")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?\Z")
_BOOLEANS = {"true": True, "false": False}


def read_query(model: type[BaseModel] | None, url: URL) -> BaseModel | None:
    """Validate the parameters of a request.

    Numbers and booleans are written as in JSON: `5`, `0.5`, `true`. A field that is a list may be repeated; a field
    that is an object takes `name.KEY=value`.

    Raises:
        Invalid: unknown, repeated or unfit parameters, all named at once.
    """
    if not url.raw_query_string:
        return _default(model) if model else None
    query = url.query
    known = _kinds(model) if model else {}
    errors = list(_unknown_and_repeated(known, query))
    if model and not errors:
        values = {name: _value(kind, name, query) for name, kind in known.items() if _given(kind, name, query)}
        try:
            return model.model_validate_json(msgspec.json.encode(values), strict=True)
        except ValidationError as error:
            errors = [
                FieldError("?" + found.pointer.removeprefix("/"), found.message, found.code)
                for found in field_errors(error, model)
            ]
    raise Invalid(_sentence(errors), errors=errors)


def _sentence(errors: list[FieldError]) -> str:
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{first.pointer}: {first.message}{more}"


@cache
def _default(model: type[BaseModel]) -> BaseModel | None:
    return model.model_validate({})


@cache
def _kinds(model: type[BaseModel]) -> Mapping[str, str]:
    """The JSON type of each field, by its name in the query."""
    properties: Mapping[str, Mapping[str, Any]] = model.model_json_schema()["properties"]
    return {name: next(_types(schema), "string") for name, schema in properties.items()}


def _types(schema: Mapping[str, Any]) -> Iterator[str]:
    for one in (schema, *schema.get("anyOf", ())):
        kind = one.get("type")
        if kind not in {None, "null"}:
            yield kind


def _given(kind: str, name: str, query: MultiMapping[str]) -> bool:
    return any(key.startswith(name + ".") for key in query) if kind == "object" else name in query


def _value(kind: str, name: str, query: MultiMapping[str]) -> object:
    if kind == "object":
        return {key.removeprefix(name + "."): value for key, value in query.items() if key.startswith(name + ".")}
    return query.getall(name) if kind == "array" else _scalar(kind, query[name])


def _scalar(kind: str, text: str) -> object:
    """As JSON where the text is what the kind needs; else the text itself, which validation then names."""
    if kind == "integer" and _INTEGER.match(text):
        return int(text)
    if kind == "number" and _NUMBER.match(text):
        return float(text)
    return _BOOLEANS.get(text, text) if kind == "boolean" else text


def _unknown_and_repeated(known: Mapping[str, str], query: MultiMapping[str]) -> Iterator[FieldError]:
    for name in dict.fromkeys(query):
        head, dot, rest = name.partition(".")
        if known.get(head) == "object" and dot and rest:
            if len(query.getall(name)) > 1:
                yield FieldError(f"?{name}", "is given more than once")
        elif name not in known or known[name] == "object":
            usable = [f"{key}.KEY" if kind == "object" else key for key, kind in known.items()]
            hint = did_you_mean(name, usable) or (f" Known are {', '.join(usable)}." if usable else " There are none.")
            yield FieldError("?" + name, f"unknown parameter {shown(name)}.{hint}", "unknown_key")
        elif known[name] != "array" and len(query.getall(name)) > 1:
            yield FieldError("?" + name, "is given more than once")
