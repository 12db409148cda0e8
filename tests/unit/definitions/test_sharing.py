"""The keys `concurrency` and `batching`."""

from typing import Any

import pytest

from tests.unit.definitions.test_definitions import PLAIN, refused
from yurt.domain.definitions import changed_keys, definition_schema, parse_definition
from yurt.domain.sharing import Batching, Concurrency

BATCH = {"max_batch_size": 32, "wait_ms": 20}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, (1, 1)),
        ({}, (1, 1)),
        ({"target_inputs": 1}, (1, 1)),
        ({"max_inputs": 64}, (64, 64)),
        ({"max_inputs": 64, "target_inputs": None}, (64, 64)),
        ({"max_inputs": 64.0, "target_inputs": 48}, (64, 48)),
        ({"max_inputs": 1000, "target_inputs": 1}, (1000, 1)),
    ],
)
def test_the_target_is_the_maximum_unless_it_is_said(value: object, expected: tuple[int, int]) -> None:
    found = parse_definition(PLAIN | {"concurrency": value}).concurrency
    assert (found.max_inputs, found.target_inputs) == expected


def test_what_means_the_same_is_no_change() -> None:
    one, other = ({"concurrency": {"max_inputs": 2}}, {"concurrency": {"max_inputs": 2, "target_inputs": 2}})
    assert changed_keys(parse_definition(PLAIN | one), parse_definition(PLAIN | other)) == []


def test_batching_is_read() -> None:
    assert parse_definition(PLAIN | {"batching": BATCH}).batching == Batching(max_batch_size=32, wait_ms=20)
    assert parse_definition(PLAIN | {"batching": None}).batching is None


@pytest.mark.parametrize(
    ("value", "pointer", "says"),
    [
        ({"concurrency": 5}, "/concurrency", "must be an object, got 5"),
        ({"concurrency": {"max_inputs": 0}}, "/concurrency/max_inputs", "must be at least 1, got 0"),
        ({"concurrency": {"max_inputs": 1001}}, "/concurrency/max_inputs", "must be at most 1000, got 1001"),
        ({"concurrency": {"max_inputs": True}}, "/concurrency/max_inputs", "must be a whole number, got true"),
        ({"concurrency": {"max_inputs": "64"}}, "/concurrency/max_inputs", "must be a whole number"),
        ({"concurrency": {"target_inputs": 2}}, "/concurrency/target_inputs", "not be above max_inputs: 2 > 1"),
        (
            {"concurrency": {"max_inputs": 4, "target_inputs": 5}},
            "/concurrency/target_inputs",
            "must not be above max_inputs: 5 > 4",
        ),
        ({"concurrency": {"max_input": 4}}, "/concurrency/max_input", "Did you mean max_inputs?"),
        (
            {"concurrency": {"max_inputs": 2}, "single_use_containers": True},
            "/concurrency/max_inputs",
            "must be 1 with single_use_containers",
        ),
        ({"batching": []}, "/batching", "must be an object, got a list"),
        ({"batching": {"wait_ms": 1}}, "/batching/max_batch_size", "is missing"),
        ({"batching": {"max_batch_size": 1}}, "/batching/wait_ms", "is missing"),
        ({"batching": BATCH | {"max_batch_size": 0}}, "/batching/max_batch_size", "must be at least 1"),
        ({"batching": BATCH | {"max_batch_size": 1001}}, "/batching/max_batch_size", "must be at most 1000"),
        ({"batching": BATCH | {"wait_ms": -1}}, "/batching/wait_ms", "must be at least 0"),
        ({"batching": BATCH | {"wait_ms": 600_001}}, "/batching/wait_ms", "must be at most 600000"),
        ({"batching": BATCH | {"wait_ms": 0.5}}, "/batching/wait_ms", "must be a whole number"),
        ({"batching": BATCH | {"wait_s": 1}}, "/batching/wait_s", "Did you mean wait_ms?"),
        ({"batching": BATCH, "single_use_containers": True}, "/batching", "left out with single_use_containers"),
        (
            {"batching": BATCH | {"max_batch_size": 1000}, "concurrency": {"max_inputs": 11}},
            "/concurrency/max_inputs",
            "must be at most 10000: 11 x 1000",
        ),
    ],
)
def test_what_cannot_be_is_refused_at_its_pointer(value: dict[str, Any], pointer: str, says: str) -> None:
    errors = refused(PLAIN | value)
    assert list(errors) == [pointer]
    assert says in errors[pointer]


@pytest.mark.parametrize("kind", ["asgi", "wsgi", "web_server"])
def test_web_endpoints_are_not_batched(kind: str) -> None:
    assert "a request is answered by itself" in refused(PLAIN | {"kind": kind, "batching": BATCH})["/batching"]
    assert "/batching" in refused(PLAIN | {"web": {"method": "GET"}, "batching": BATCH})


def test_a_class_with_batching_has_one_method() -> None:
    two = PLAIN | {"kind": "class", "methods": ["embed", "size"], "batching": BATCH}
    assert "the class has 2" in refused(two)["/batching"]


def test_defaults_say_what_they_are() -> None:
    schema = definition_schema()["properties"]
    assert schema["concurrency"]["properties"]["max_inputs"]["default"] == Concurrency().max_inputs
    assert set(schema["batching"]["anyOf"][0]["required"]) == set(BATCH)
