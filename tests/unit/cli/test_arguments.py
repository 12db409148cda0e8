import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yurt.cli.arguments import parse_arguments
from yurt.cli.failures import CommandError

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("3", 3),
        ("-5", -5),
        ("1e3", 1000.0),
        ("true", True),
        ("null", None),
        ('{"a": "x=y"}', {"a": "x=y"}),
        ("[1, 2]", [1, 2]),
        ('"a=b"', "a=b"),
        ('"@file"', "@file"),
        ("hello", "hello"),
        ("True", "True"),
        ("NaN", "NaN"),
        ("", ""),
        ("https://example.org/?q=1", "https://example.org/?q=1"),
        ("2=3", "2=3"),
    ],
)
def test_a_word_is_json_where_it_parses_and_text_elsewhere(word: str, value: object) -> None:
    assert parse_arguments([word]) == {"args": [value], "kwargs": {}}


def test_a_word_with_an_identifier_before_the_equals_sign_has_a_name() -> None:
    parsed = parse_arguments(["width=200", "name=a=b", 'q="7"', "empty="])

    assert parsed == {"args": [], "kwargs": {"width": 200, "name": "a=b", "q": "7", "empty": ""}}


def test_files_are_sent_as_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\0\xff")
    sent = {"$bytes": base64.b64encode(b"\0\xff").decode()}

    assert parse_arguments([f"@{tmp_path}/x", f"data=@{tmp_path}/x"]) == {"args": [sent], "kwargs": {"data": sent}}


def test_literal_words_are_neither_names_nor_files() -> None:
    assert parse_arguments(["1"], ["a=b", "@x", "2"]) == {"args": [1, "a=b", "@x", 2], "kwargs": {}}


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(CommandError, match="a is given twice"):
        parse_arguments(["a=1", "a=2"])


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(CommandError, match="no-such cannot be read"):
        parse_arguments(["@no-such"])


@given(
    st.lists(JSON_VALUES, max_size=4),
    st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]*", fullmatch=True), JSON_VALUES, max_size=4),
)
def test_every_json_value_arrives_as_it_was_written(args: list[Any], kwargs: dict[str, Any]) -> None:
    words = [*map(json.dumps, args), *(f"{name}={json.dumps(value)}" for name, value in kwargs.items())]

    assert parse_arguments(words) == {"args": args, "kwargs": kwargs}
