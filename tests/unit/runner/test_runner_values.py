"""Values between Python and JSON."""

import base64
import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import uuid
from collections.abc import Callable
from typing import Any

import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from yurt_runner.values import MAX_BYTES, MAX_DEPTH, SerializationError, decode, depth_exceeds, encode

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=30,
)


@given(plain)
@example({"$bytes": "not base64"})
def test_plain_values_come_back_as_they_were(value: object) -> None:
    assert json.loads(encode(value)) == value


@given(plain, st.dictionaries(st.text(min_size=1).filter(lambda key: key != "$bytes"), plain))
def test_arguments_come_as_they_were_sent(value: object, named: dict[str, object]) -> None:
    payload = json.dumps({"args": [[value]], "kwargs": named}).encode()
    if b'"$bytes"' not in payload:
        assert decode(payload) == ([[value]], named)


@given(st.binary())
def test_bytes_come_back(value: bytes) -> None:
    payload = b'{"args":[' + encode({"deep": [value]}) + b"]}"

    assert decode(payload) == ([{"deep": [value]}], {})


def test_bytes_beside_other_keys_are_an_object() -> None:
    assert decode(b'{"kwargs":{"a":{"$bytes":"AA==","b":1}}}') == ([], {"a": {"$bytes": "AA==", "b": 1}})


def test_bytes_that_are_not_base64_are_refused() -> None:
    with pytest.raises(ValueError, match="base64"):
        decode(b'{"args":[{"$bytes":"!"}]}')


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    tags: set[str]
    limit: dataclasses.InitVar[int] = 0


class Model(pydantic.BaseModel):
    name: str
    when: datetime.date


class Array:
    """What numpy's array looks like from outside."""

    def tolist(self) -> list[float]:
        return [1.5, 2.0]


Array.__module__, Array.__qualname__ = "numpy", "ndarray"
Pair = collections.namedtuple("Pair", "left right")  # noqa: PYI024 - the plain kind is what is tested

UTC_NOON = datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, 2), [1, 2]),
        ({7}, [7]),
        (frozenset({7}), [7]),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (UTC_NOON, "2026-01-02T12:00:00+00:00"),
        (UTC_NOON.replace(tzinfo=None), "2026-01-02T12:00:00"),
        (UTC_NOON.date(), "2026-01-02"),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (decimal.Decimal("1.50"), "1.50"),
        (Point(1, {"a"}), {"x": 1, "tags": ["a"]}),
        (Model(name="n", when=UTC_NOON.date()), {"name": "n", "when": "2026-01-02"}),
        (Array(), [1.5, 2.0]),
        (Pair(1, {2}), [1, [2]]),
        (b"\0", {"$bytes": base64.b64encode(b"\0").decode()}),
        (bytearray(b"\0"), {"$bytes": "AA=="}),
        (memoryview(b"\0"), {"$bytes": "AA=="}),
        (collections.OrderedDict(a=1), {"a": 1}),
        ({1: "int key"}, {"1": "int key"}),
        ("ünïcode \u2028", "ünïcode \u2028"),
        (10**30, 10**30),
    ],
)
def test_forms_of_other_types(value: object, expected: object) -> None:
    assert json.loads(encode({"at": [value]})) == {"at": [expected]}


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def cycle() -> list[Any]:
    value: list[Any] = [1]
    value.append({"again": value})
    return value


class Plain:
    pass


@pytest.mark.parametrize(
    ("make", "path", "words"),
    [
        (lambda: {"items": [0, 1, 2, {"model": Plain()}]}, "$.items[3].model", "Plain"),
        (lambda: [math.nan], "$[0]", "nan (type float)"),
        (lambda: {"a": -math.inf}, "$.a", "-inf (type float)"),
        (lambda: {"a b": object()}, '$["a b"]', "type object"),
        (lambda: [{None: 1}], "$[0]", "None is of type NoneType"),
        (lambda: [{True: 1}], "$[0]", "True is of type bool"),
        (lambda: [{1.5: 1}], "$[0]", "1.5 is of type float"),
        (lambda: [{(1, 2): 1}], "$[0]", "(1, 2) is of type tuple"),
        (lambda: ["fine", "\ud800"], "$[1]", "lone surrogate"),
        (lambda: {"k": {"\ud800": 1}}, "$.k", "lone surrogate"),
        (cycle, "$[1].again", "contains itself"),
        (lambda: {"deep": nested(MAX_DEPTH)}, "$.deep[0]", "more than 512 deep"),
        (lambda: [10**5000], "$[0]", "too many digits"),
        (lambda: {"point": Point(1, {complex(1)})}, "$.point.tags[0]", "complex"),  # type: ignore[arg-type]
        (lambda: [datetime.timedelta(1)], "$[0]", "datetime.timedelta"),
        (lambda: [datetime.time(1)], "$[0]", "datetime.time"),
        (lambda: [Plain], "$[0]", "type"),
        (lambda: [Model], "$[0]", "ModelMetaclass"),
        (lambda: {"e": Colour}, "$.e", "Enum"),
        (lambda: iter([]), "$", "list_iterator"),
    ],
)
def test_what_has_no_form_is_named_with_its_path(make: Callable[[], object], path: str, words: str) -> None:
    with pytest.raises(SerializationError) as caught:
        encode(make())

    assert f"at {path}" in str(caught.value)
    assert words in str(caught.value)


def test_the_greatest_depth_is_allowed() -> None:
    assert encode(nested(MAX_DEPTH)) == b"[" * MAX_DEPTH + b"]" * MAX_DEPTH


@example('"[', 0)
@given(plain, st.integers(0, 40))
def test_depth_is_counted_as_a_reader_would(value: object, wrap: int) -> None:
    for _ in range(wrap):
        value = {'"[{\\': value}
    depth = depth_of(value)
    data = encode(value)

    assert not depth_exceeds(data, depth)
    assert depth == 0 or depth_exceeds(data, depth - 1)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


def test_a_result_above_the_limit_says_so() -> None:
    with pytest.raises(SerializationError, match="more than the limit"):
        encode("x" * MAX_BYTES)
    assert len(encode("x" * (MAX_BYTES - 2))) == MAX_BYTES


@pytest.mark.parametrize("payload", [b"[]", b'"x"', b'{"args":{}}', b'{"kwargs":[1]}', b"{", b"\xff"])
def test_arguments_of_another_shape_are_refused(payload: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of the message nothing is promised
        decode(payload)
