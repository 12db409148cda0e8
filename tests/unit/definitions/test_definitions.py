from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yurt.domain.definitions import FunctionDefinition, changed_keys, definition_schema, parse_definition
from yurt.domain.errors import Invalid
from yurt.domain.retry import RetryPolicy

PLAIN: dict[str, object] = {"entrypoint": "main:resize"}
SHA = "0" * 64


def refused(value: object, **options: Any) -> dict[str, str]:
    """The errors of a definition that must be refused, by pointer."""
    with pytest.raises(Invalid) as caught:
        parse_definition(value, **options)
    assert caught.value.errors
    assert len({(error.pointer, error.message) for error in caught.value.errors}) == len(caught.value.errors)
    return {error.pointer: error.message for error in caught.value.errors}


def test_absent_keys_are_defaults() -> None:
    found = parse_definition(PLAIN)
    assert (found.cpu, found.memory, found.timeout, found.startup_timeout) == (0.125, 512, 300, 300)
    assert (found.min_containers, found.max_containers, found.buffer_containers) == (0, None, 0)
    assert (found.scaledown_window, found.gpu, found.env, found.source, found.image) == (60, (), {}, None, None)


def test_an_explicit_default_is_no_change() -> None:
    spelled: dict[str, object] = PLAIN | {
        "memory": 512,
        "gpu": None,
        "env": {},
        "retries": 0,
        "kind": "function",
        "concurrency": {},
    }
    assert parse_definition(spelled) == parse_definition(PLAIN)
    assert changed_keys(parse_definition(spelled), parse_definition(PLAIN)) == []


def test_a_whole_number_may_be_written_with_a_point() -> None:
    numbers = ("memory", "timeout", "startup_timeout", "max_containers", "buffer_containers", "scaledown_window")
    found = parse_definition(PLAIN | dict.fromkeys(numbers, 60.0))
    assert [repr(getattr(found, key)) for key in numbers] == ["60"] * len(numbers)
    assert refused(PLAIN | {"min_containers": 3.0, "max_containers": 2.0})


def test_changed_keys_names_what_differs() -> None:
    other = parse_definition(PLAIN | {"memory": 1024, "gpu": "a10g"})
    assert changed_keys(parse_definition(PLAIN), other) == ["gpu", "memory"]


@pytest.mark.parametrize(
    ("value", "policy"),
    [
        (3, RetryPolicy(3)),
        (3.0, RetryPolicy(3)),
        ({"max_retries": 3}, RetryPolicy(3, 1.0, 2.0, 60.0)),
        ({"max_retries": 2, "initial_delay": 0, "backoff_coefficient": 1, "max_delay": 5}, RetryPolicy(2, 0, 1, 5)),
    ],
)
def test_retries_are_a_number_or_a_policy(value: object, policy: RetryPolicy) -> None:
    assert parse_definition(PLAIN | {"retries": value}).retries.policy() == policy


@pytest.mark.parametrize(
    ("value", "pointer", "says"),
    [
        (11, "/retries", "retries have to end"),
        (-1, "/retries", "retries have to end"),
        (True, "/retries", "a number of retries, or a policy"),
        (None, "/retries", "a number of retries, or a policy"),
        ({}, "/retries/max_retries", "is missing"),
        ({"max_retries": None}, "/retries/max_retries", "retries have to end"),
        ({"max_retries": 1000}, "/retries/max_retries", "retries have to end"),
        ({"max_retries": 1, "initial_delay": 61}, "/retries/initial_delay", "60"),
        ({"max_retries": 1, "backoff_coefficient": 0.5}, "/retries/backoff_coefficient", "1"),
        ({"max_retries": 1, "max_delay": 0}, "/retries/max_delay", "1"),
        ({"max_retries": 1, "jitter": 1}, "/retries/jitter", "unknown"),
    ],
)
def test_retries_that_never_end_or_make_no_sense(value: object, pointer: str, says: str) -> None:
    errors = refused(PLAIN | {"retries": value})
    assert list(errors) == [pointer]
    assert says in errors[pointer]


def test_gpus_are_canonical_and_keep_their_order() -> None:
    assert parse_definition(PLAIN | {"gpu": ["h100:2", "A10G"]}).gpu == ("H100:2", "A10")
    assert parse_definition(PLAIN | {"gpu": "h100"}).gpu == ("H100",)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("entrypoint", "main", "must be module:name"),
        ("entrypoint", "main:f\n", "must be module:name"),
        ("entrypoint", "../x:f", "must be module:name"),
        ("timeout", 0, "must be at least 1"),
        ("timeout", 86_401, "must be at most 86400"),
        ("timeout", 60.5, "must be a whole number, got 60.5"),
        ("timeout", True, "must be a whole number, got true"),
        ("timeout", None, "must be a whole number, got null"),
        ("startup_timeout", 0, "at least 1"),
        ("memory", "512", 'must be a whole number, got "512"'),
        ("memory", 31, "at least 32"),
        ("memory", 10**30, "at most 1048576"),
        ("cpu", 0, "at least 0.01"),
        ("cpu", "1", "must be a number"),
        ("min_containers", -1, "at least 0"),
        ("max_containers", 1001, "at most 1000"),
        ("buffer_containers", 1001, "at most 1000"),
        ("scaledown_window", 1, "at least 2"),
        ("scaledown_window", 1201, "at most 1200"),
        ("single_use_containers", 1, "must be true or false, got 1"),
        ("image", "two words", "must be the name of an image, such as python:3.12"),
        ("gpu", "H1OO", 'unknown type "H1OO". Did you mean H100?'),
        ("gpu", [], "got an empty list"),
        ("gpu", 3, "got 3"),
        ("gpu", {}, "got an object"),
        ("env", [], "must be an object, got a list"),
        ("env", {"A": "x" * 65_536}, "at most 64 KiB"),
        ("source", {}, "either files or bundle"),
        ("source", {"files": {"main.py": ""}, "bundle": SHA}, "either files or bundle"),
        ("source", "main.py", "must be an object"),
    ],
)
def test_a_bad_value_is_refused_at_its_pointer(key: str, value: object, says: str) -> None:
    errors = refused(PLAIN | {key: value})
    assert list(errors) == [f"/{key}"]
    assert says in errors[f"/{key}"]


@pytest.mark.parametrize(
    ("value", "pointer", "says"),
    [
        ({"gpu": ["H100", "x1"]}, "/gpu/1", "unknown type"),
        ({"gpu": ["H100", 3]}, "/gpu/1", "got 3"),
        ({"env": {"YURT_APP": "x"}}, "/env/YURT_APP", "the server's own"),
        ({"env": {"A=B": "x"}}, "/env/A=B", "contain ="),
        ({"env": {"": "x"}}, "/env/", "must not be empty"),
        ({"env": {"A": 1}}, "/env/A", "must be a string"),
        ({"env": {"A": "\0"}}, "/env/A", "NUL"),
        ({"source": {"files": {"data.txt": "a\0b"}}}, "/source/files/data.txt", "without NUL"),
        ({"source": {"bundle": "abc"}}, "/source/bundle", "must match"),
        ({"source": {"files": {}}}, "/source/files", "at least 1"),
        ({"source": {"files": {"a": "x" * (1 << 20)}}}, "/source/files", "at most 1 MiB"),
        ({"source": {"files": {"a": "", "a/b": ""}}}, "/source/files", "is a file and also the folder"),
        ({"source": {"files": {"../a": ""}}}, "/source/files/..~1a", '".." is not allowed'),
        ({"source": {"files": {"/a": ""}}}, "/source/files/~1a", "absolute"),
        ({"source": {"files": {"C:a": ""}}}, "/source/files/C:a", "absolute"),
        ({"source": {"files": {"a\\b": ""}}}, "/source/files/a\\b", "backslash"),
        ({"source": {"files": {"a//b": ""}}}, "/source/files/a~1~1b", "empty"),
        ({"source": {"files": {"./b": ""}}}, "/source/files/.~1b", "dot"),
        ({"source": {"files": {"a/": ""}}}, "/source/files/a~1", "empty"),
        ({"source": {"files": {"a~b\0": ""}}}, "/source/files/a~0b\0", "cannot be printed"),
        ({"source": {"files": {"m.py": 3}}}, "/source/files/m.py", "must be a string"),
        ({"source": {"file": {}, "bundle": SHA}}, "/source/file", "Did you mean files?"),
    ],
)
def test_a_bad_member_is_refused_at_its_own_pointer(value: dict[str, object], pointer: str, says: str) -> None:
    errors = refused(PLAIN | value)
    assert list(errors) == [pointer]
    assert says in errors[pointer]


def test_everything_wrong_is_named_at_once_below_the_given_place() -> None:
    bad = {"gpu": "x", "memory": 1, "retrys": 3, "retries": 11, "min_containers": 3, "max_containers": 2}
    errors = refused(bad, at=("functions", "a/b"))
    assert set(errors) == {
        f"/functions/a~1b/{key}" for key in ("entrypoint", "gpu", "memory", "retrys", "retries", "min_containers")
    }
    assert errors["/functions/a~1b/entrypoint"] == "is missing"


def test_an_unknown_key_comes_with_the_right_word() -> None:
    with pytest.raises(Invalid) as caught:
        parse_definition(PLAIN | {"memroy": 5, "priority": 3})
    errors = caught.value.errors
    assert [error.code for error in errors] == ["unknown_key", "unknown_key"]
    assert "Did you mean memory?" in errors[0].message
    assert "option of a call" in errors[1].message


def test_min_above_max_is_refused_with_either_maximum() -> None:
    assert "max_containers: 3 > 2" in refused(PLAIN | {"min_containers": 3, "max_containers": 2})["/min_containers"]
    assert "default of max_containers: 11 > 10" in refused(PLAIN | {"min_containers": 11})["/min_containers"]
    assert parse_definition(PLAIN | {"min_containers": 11}, default_max=20).min_containers == 11


def test_every_wrong_requirement_is_named() -> None:
    wrong = refused(PLAIN | {"requirements": ["pillow", "-r x", 3, "two words"]})
    assert list(wrong) == ["/requirements/1", "/requirements/2", "/requirements/3"]
    assert list(refused(PLAIN | {"requirements": "pillow"})) == ["/requirements"]
    assert "at most 500 entries" in refused(PLAIN | {"requirements": ["pillow"] * 501})["/requirements"]
    assert parse_definition(PLAIN | {"requirements": ["Pillow == 11.*"]}).requirements == ["Pillow == 11.*"]


@pytest.mark.parametrize(
    ("secrets", "at"),
    [
        ("openai", "/secrets"),
        (None, "/secrets"),
        ([7], "/secrets/0"),
        (["openai", "a/b"], "/secrets/1"),
        (["openai", "aws", "openai"], "/secrets/2"),
        ([f"s{number}" for number in range(17)], "/secrets"),
    ],
)
def test_secrets_are_a_short_list_of_names(secrets: object, at: str) -> None:
    assert list(refused(PLAIN | {"secrets": secrets})) == [at]
    assert parse_definition(PLAIN | {"secrets": ["openai", "aws"]}).secrets == ["openai", "aws"]


def test_an_unknown_kind_is_invalid_rather_than_not_supported() -> None:
    assert refused(PLAIN | {"kind": "klass"}) == {
        "/kind": 'must be one of function, class, asgi, wsgi, web_server, got "klass". Did you mean class?'
    }


@pytest.mark.parametrize(
    "value", [None, 3, "x", [], {"entrypoint": "\ud800:f"}, {"cpu": float("inf")}, {"env": {"\udfff": ""}}]
)
def test_what_is_no_definition_at_all_is_refused(value: object) -> None:
    errors = refused(value)
    for pointer, message in errors.items():
        (pointer + message).encode()


def test_deep_nesting_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert refused({"entrypoint": deep}) == {"": "is nested too deeply"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from([*FunctionDefinition.model_fields, "other"])


@given(st.dictionaries(KEYS, JSON, max_size=6) | JSON)
def test_anything_is_either_read_or_refused_with_pointers(value: object) -> None:
    try:
        found = parse_definition(value)
    except Invalid as error:
        pointers = [one.pointer for one in error.errors]
    else:
        pointers = [""]
        assert parse_definition(value) == found
    assert pointers
    assert all(pointer == "" or pointer.startswith("/") for pointer in pointers)


def test_the_schema_has_every_key_and_no_reference() -> None:
    schema = definition_schema()
    assert set(schema["properties"]) == {*FunctionDefinition.model_fields}
    assert "$ref" not in str(schema)
    assert schema["additionalProperties"] is False
