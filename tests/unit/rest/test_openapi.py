"""The OpenAPI document: a valid 3.1 document whose parts fit together."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from yurt.inbound.rest import openapi
from yurt.inbound.rest.markup import reference
from yurt.inbound.rest.table import OPERATIONS

DOCUMENT = openapi.build(OPERATIONS, ["It does not isolate."])
METHODS = {"get", "put", "post", "patch", "delete", "head"}


def _operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS & set(item):
            yield path, method, item[method]


def _walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for one in value.values():
            yield from _walk(one)
    elif isinstance(value, list):
        for one in value:
            yield from _walk(one)


def _whole(schema: Any) -> Any:
    """A schema that can stand alone."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "components": DOCUMENT["components"], **schema}


def test_it_has_one_operation_for_each_row() -> None:
    assert {operation["operationId"] for _, _, operation in _operations()} == {row.operation_id for row in OPERATIONS}
    assert len(list(_operations())) == len(OPERATIONS)


def test_every_reference_leads_somewhere() -> None:
    for part in _walk(DOCUMENT):
        if isinstance(part.get("$ref"), str):
            target: Any = DOCUMENT
            for key in part["$ref"].removeprefix("#/").split("/"):
                target = target[key]


def test_every_operation_tells_its_answers_and_problems() -> None:
    for path, method, operation in _operations():
        where = f"{method} {path}"
        statuses = set(operation["responses"])
        assert any(status < "400" for status in statuses), where
        assert {"422", "500", "503"} <= statuses, where
        if operation.get("security") != []:
            assert {"401", "403"} <= statuses, where
        if "requestBody" in operation:
            assert {"400", "413", "415"} <= statuses, where
        if "{" in path:
            assert "404" in statuses, where
            assert {f"{{{one['name']}}}" for one in operation["parameters"] if one["in"] == "path"} == set(
                re.findall(r"{\w+}", path)
            ), where


def test_the_example_of_a_name_is_one_of_its_kind() -> None:
    examples = {
        path: one["example"]
        for path, _, operation in _operations()
        for one in operation["parameters"]
        if one["name"] == "name" and one["in"] == "path"
    }

    assert examples["/environments/{name}"] == "preview"
    assert examples["/secrets/{name}"] == "openai"
    assert examples["/apps/{app_id}/functions/{name}"] == "resize"


def test_every_schema_is_json_schema_2020_12_without_nullable() -> None:
    for part in _walk(DOCUMENT):
        assert "nullable" not in part
        if isinstance(part.get("schema"), dict):
            jsonschema_rs.validator_for(_whole(part["schema"]))
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.validator_for(_whole(schema))


def test_examples_fit_their_schemas() -> None:
    for part in _walk(DOCUMENT):
        if "example" in part and isinstance(part.get("schema"), dict):
            validator = jsonschema_rs.validator_for(_whole(part["schema"]), validate_formats=True)
            assert [error.message for error in validator.iter_errors(part["example"])] == [], part["example"]


def test_answers_never_show_null_for_what_is_absent() -> None:
    token = DOCUMENT["components"]["schemas"]["Token"]["properties"]

    assert token["environment"] == {"type": "string", "description": "Absent: all environments."}


def test_the_page_shows_every_operation_and_loads_nothing() -> None:
    page = reference(DOCUMENT, ["It does not isolate."])

    for _, _, operation in _operations():
        assert f"id='{operation['operationId']}'" in page.text
    assert "It does not isolate." in page.text
    assert "<script" not in page.text
    assert not re.search(r"(src|href)=['\"]?(https?:)?//", page.text)


def test_it_is_json() -> None:
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT
