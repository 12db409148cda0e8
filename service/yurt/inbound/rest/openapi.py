"""The OpenAPI 3.1 document, made from the operation table and the models."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from yurt.inbound.rest import paths
from yurt.inbound.rest.operations import Answer, AnyBody, BinaryBody, Header, JsonBody, Operation, PageOf, Schema
from yurt.inbound.rest.problems import CATALOGUE, MEDIA

PREFIX = "/v1"
_REF = "#/components/schemas/{model}"

_DESCRIPTION = """\
Call plain Python functions on your own machines: register them, call them and wait, or spawn them and fetch the result.

* **Credentials**: `Authorization: Bearer <token_id>:<token_secret>`; the same pair as Basic; or the single word
  `yurt_<token_id>_<token_secret>` after `Bearer`. Each operation names the role that its token needs; a role contains
  the ones before it: `read`, `invoke`, `deploy`, `admin`.
* **Names instead of ids**: an app's name stands for its id, `app:function` for a function's.
* **Errors** are `application/problem+json`; [/docs/errors](/docs/errors) lists every code. `request_id` is also the
  header `X-Request-Id` of every answer.
* **Values**: what has no value is left out, not null. Times are RFC 3339 in UTC, durations are seconds, memory is MiB.
* **Lists** come in pages: send `next_cursor` back as `cursor` until none comes.
"""

_PROBLEM: Mapping[str, Any] = {
    "type": "object",
    "description": "What went wrong, as RFC 9457 has it.",
    "required": ["type", "title", "status", "detail", "instance", "code", "request_id", "retryable"],
    "properties": {
        "type": {"type": "string", "description": "A link to the page that explains the code."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened, to which thing, and what to do."},
        "instance": {"type": "string", "description": "The path that was asked for."},
        "code": {"type": "string", "description": "Stable, for programs."},
        "request_id": {"type": "string"},
        "retryable": {"type": "boolean", "description": "Whether the same request may succeed later."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "message", "code"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "A JSON pointer into the body; `?name` for a parameter, `{name}` in the path.",
                    },
                    "message": {"type": "string"},
                    "code": {"type": "string"},
                },
            },
        },
    },
}


def build(operations: Sequence[Operation], notes: Sequence[str] = ()) -> dict[str, Any]:
    """The whole document.

    Args:
        operations: the table.
        notes: what an operator should know of this server; stands in the description.
    """
    schemas = _Schemas(operations)
    out: dict[str, dict[str, Any]] = {}
    for row in operations:
        item = out.setdefault(row.path.removeprefix(PREFIX), {})
        if not row.path.startswith(PREFIX):
            item["servers"] = [{"url": "/"}]
        item[row.method.lower()] = _operation(row, schemas)
    tags = dict.fromkeys(row.tag for row in operations)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Yurt",
            "version": version("yurt"),
            "description": "\n".join([_DESCRIPTION, *(f"**Note**: {note}\n" for note in notes)]),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": PREFIX}],
        "tags": [{"name": tag} for tag in tags],
        "paths": out,
        "components": {
            "schemas": {"Problem": _PROBLEM, **schemas.definitions},
            "responses": _problem_responses(),
            "securitySchemes": {
                "Token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`<token_id>:<token_secret>`, or one word.",
                },
                "Basic": {"type": "http", "scheme": "basic", "description": "The id as user, the secret as password."},
            },
        },
        "security": [{"Token": []}, {"Basic": []}],
    }


class _Schemas:
    """The schemas of all models, by reference."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        wanted = list(dict.fromkeys(_models(operations)))
        refs, top = models_json_schema(wanted, ref_template=_REF)
        self._refs = refs
        found: dict[str, dict[str, Any]] = top.get("$defs", {})
        taken = _reachable(found, (_name(refs[one]) for one in wanted if one[1] == "validation"))
        self.definitions = {
            name: _tidy(schema) if name in taken else _without_nulls(_tidy(schema)) for name, schema in found.items()
        }

    def of(self, schema: Schema, mode: JsonSchemaMode) -> Mapping[str, Any]:
        """The schema as it stands in an operation."""
        if isinstance(schema, PageOf):
            return {
                "type": "object",
                "required": ["data"],
                "properties": {
                    "data": {"type": "array", "items": self.of(schema.item, mode)},
                    "next_cursor": {"type": "string", "description": "Absent on the last page."},
                },
            }
        return schema if isinstance(schema, Mapping) else self._refs[schema, mode]


def _models(operations: Iterable[Operation]) -> Iterator[tuple[type[BaseModel], JsonSchemaMode]]:
    for row in operations:
        if isinstance(row.body, JsonBody):
            yield row.body.model, "validation"
        elif row.body is not None and not isinstance(row.body, BinaryBody) and isinstance(row.body.schema, type):
            yield row.body.schema, "validation"
        for answer in row.answers:
            model = answer.model.item if isinstance(answer.model, PageOf) else answer.model
            if isinstance(model, type):
                yield model, "serialization"


def _name(reference: Mapping[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _reachable(definitions: Mapping[str, Any], names: Iterable[str]) -> set[str]:
    """`names` and what their schemas refer to."""
    out: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in out:
            out.add(name)
            waiting += _references(definitions[name])
    return out


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for one in schema:
            yield from _references(one)
    elif isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield _name(schema)
        for one in schema.values():
            yield from _references(one)


def _tidy(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Without the titles that pydantic makes of names."""
    out = {key: value for key, value in schema.items() if key != "title"}
    if "properties" in out:
        out["properties"] = {
            name: {key: value for key, value in one.items() if key != "title"}
            for name, one in out["properties"].items()
        }
    return out


def _without_nulls(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What is None stays out of answers: `X | None = None` shows as an optional X."""
    out = dict(schema)
    if "properties" in out:
        out["properties"] = {name: _optional(one) for name, one in out["properties"].items()}
    return out


def _optional(schema: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(schema)
    if "default" in out and out["default"] is None:
        del out["default"]
        rest = [one for one in out.pop("anyOf", []) if one != {"type": "null"}]
        if len(rest) == 1:
            out = {**rest[0], **out}
        elif rest:
            out["anyOf"] = rest
    return out


def _operation(row: Operation, schemas: _Schemas) -> dict[str, Any]:
    role = f"Role: `{row.role}`." if row.role else "Open: needs no token."
    out: dict[str, Any] = {
        "operationId": row.operation_id,
        "tags": [row.tag],
        "summary": row.summary,
        "description": f"{row.description}\n\n{role}".strip(),
        "parameters": [*_path_parameters(row), *_query_parameters(row), *map(_header_parameter, row.headers)],
        "responses": _responses(row, schemas),
    }
    if row.role is None:
        out["security"] = []
    if row.body is not None:
        out["requestBody"] = _body(row.body, schemas)
    return out


def _path_parameters(row: Operation) -> Iterator[dict[str, Any]]:
    for name in paths.names_in(row.path):
        parameter = paths.PARAMETERS[name]
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": f"{parameter.syntax[0].upper()}{parameter.syntax[1:]}.",
            "schema": {"type": "string", "pattern": parameter.pattern},
            "example": paths.example_in(row.path, name),
        }


def _query_parameters(row: Operation) -> Iterator[dict[str, Any]]:
    if row.query is None:
        return
    schema = row.query.model_json_schema(ref_template=_REF)
    definitions = schema.get("$defs", {})
    for name, property_ in schema.get("properties", {}).items():
        one = _resolved(_optional(property_), definitions)
        if one.get("type") == "object" or "x-endless" in one:
            continue  # the operation's description tells of it: name.KEY has no form in OpenAPI
        one.pop("title", None)
        yield {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", []),
            "description": one.pop("description", ""),
            "schema": one,
        }


def _resolved(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """`schema` with references to `definitions` written out: parameters are small."""
    if isinstance(schema, list):
        return [_resolved(one, definitions) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    target = schema.get("$ref")
    rest = {key: _resolved(one, definitions) for key, one in schema.items() if key != "$ref"}
    return {**definitions[target.rpartition("/")[2]], **rest} if isinstance(target, str) else rest


def _header_parameter(header: Header) -> dict[str, Any]:
    return {
        "name": header.name,
        "in": "header",
        "required": header.required,
        "description": header.description,
        "schema": header.schema,
    }


def _body(body: AnyBody, schemas: _Schemas) -> dict[str, Any]:
    if isinstance(body, BinaryBody):
        return {
            "required": True,
            "content": {body.media: {"schema": {"type": "string", "format": "binary", "minLength": 1}}},
        }
    if isinstance(body, JsonBody):
        content: dict[str, Any] = {"schema": schemas.of(body.model, "validation")}
        required, more = not body.optional, {}
    else:
        content = {"schema": schemas.of(body.schema, "validation")}
        required, more = True, {media: {"schema": schema} for media, schema in body.more.items()}
    if body.example is not None:
        content["example"] = body.example
    return {"required": required, "content": {"application/json": content, **more}}


def _responses(row: Operation, schemas: _Schemas) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for answer in sorted(row.answers, key=lambda answer: answer.status):
        found = out.setdefault(str(answer.status), _answer(answer))
        if answer.model is not None or answer.media != "application/json":
            content: dict[str, Any] = {"schema": schemas.of(answer.model or {}, "serialization")}
            if answer.example is not None:
                content["example"] = answer.example
            found.setdefault("content", {})[answer.media] = content
    for status in sorted(_problem_statuses(row)):
        out[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    return out


def _answer(answer: Answer) -> dict[str, Any]:
    headers = (Header("X-Request-Id", "Names the request in the server's log."), *answer.headers)
    return {
        "description": answer.description,
        "headers": {one.name: {"description": one.description, "schema": one.schema} for one in headers},
    }


def _problem_statuses(row: Operation) -> set[int]:
    """What every operation of the kind can refuse with, and what it adds itself."""
    out = {*row.problems, 422, 500, 503}
    if row.role is not None:
        out |= {400, 401, 403, 404}
    if paths.names_in(row.path):
        out.add(404)
    if row.body is not None:
        out |= {400, 408, 413, 415}
    return out - {answer.status for answer in row.answers}


def _problem_responses() -> dict[str, Any]:
    out: dict[str, Any] = {}
    for entry in CATALOGUE:
        found = out.setdefault(
            f"Problem{entry.status}",
            {
                "description": "",
                "headers": {"X-Request-Id": {"schema": {"type": "string"}}},
                "content": {MEDIA: {"schema": {"$ref": _REF.format(model="Problem")}}},
            },
        )
        found["description"] = f"{found['description']} `{entry.kind.code}`: {entry.meaning}".strip()
    for status, header in ((401, "WWW-Authenticate"), (405, "Allow"), (429, "Retry-After"), (503, "Retry-After")):
        out[f"Problem{status}"]["headers"][header] = {"schema": {"type": "string"}}
    return out
