"""What secrets and their keys must be, and that no message gives one away."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yurt.domain.secrets import MasterKey, check_values, merged, missing, read_keys, unreadable

KEYS = st.binary(min_size=32, max_size=32).map(MasterKey)
VARIABLES = st.dictionaries(st.sampled_from("ABCD"), st.text(max_size=3), max_size=4)
HUSH = "hush-hush-hush"


@given(st.lists(KEYS, min_size=1, max_size=4), st.sampled_from([",", " , ", "\n", "\r\n"]))
def test_keys_are_read_as_they_are_written_in_their_order(keys: list[MasterKey], between: str) -> None:
    assert list(read_keys(between.join(key.text for key in keys) + "\n")) == keys


@given(KEYS)
def test_a_key_is_known_by_an_id_and_shows_nothing_else(key: MasterKey) -> None:
    assert len(key.id) == 16
    for shown in (repr(key), key.id):
        assert key.text not in shown
        assert key.raw.hex() not in shown


def test_the_alphabet_for_urls_is_read_too() -> None:
    raw = b"\xff" * 32
    assert read_keys(base64.urlsafe_b64encode(raw).decode()) == (MasterKey(raw),)


@pytest.mark.parametrize("text", ["", " , ", HUSH, "A" * 42 + "==", MasterKey(b"x" * 32).text + "," + HUSH, "ü" * 44])
def test_what_is_no_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="openssl rand -base64 32") as refused:
        read_keys(text)
    assert HUSH not in str(refused.value)


@pytest.mark.parametrize(
    ("values", "at"),
    [
        (HUSH, ["/values"]),
        ([HUSH], ["/values"]),
        (None, ["/values"]),
        ({}, ["/values"]),
        ({"A": 1, "B": HUSH, "C": None, "D": [HUSH]}, ["/values/A", "/values/C", "/values/D"]),
        ({"": HUSH, "A=B": HUSH, "YURT_X": HUSH}, ["/values/", "/values/A=B", "/values/YURT_X"]),
        ({"A": HUSH + "\0"}, ["/values/A"]),
        ({"A": HUSH * 5000}, ["/values"]),
    ],
)
def test_wrong_values_are_named_by_their_places_alone(values: object, at: list[str]) -> None:
    errors = check_values(values)
    assert [error.pointer for error in errors] == at
    assert HUSH not in repr(errors)


def test_64_kib_are_enough() -> None:
    assert check_values({"A": "x" * (65536 - 3)}) == []
    assert check_values({"A": "x" * (65536 - 2)}) != []


@given(st.lists(VARIABLES, max_size=4), VARIABLES)
def test_the_definition_wins_and_then_the_later_secret(secrets: list[dict[str, str]], env: dict[str, str]) -> None:
    found = merged(secrets, env)
    assert found.keys() == env.keys() | {name for values in secrets for name in values}
    for name, value in found.items():
        assert value == next(values[name] for values in (env, *reversed(secrets)) if name in values)


def test_a_missing_secret_comes_with_its_place_and_the_nearest_name() -> None:
    (near, far) = missing(["opnai", "aws", "xyz"], {"openai", "aws"}, "main", ("functions", "f", "secrets"))
    assert near.pointer == "/functions/f/secrets/0"
    assert near.message == 'there is no secret "opnai" in environment main. Did you mean openai?'
    assert far.pointer == "/functions/f/secrets/2"
    assert "yurt secret set xyz" in far.message


@given(st.sets(st.sampled_from("abc")), st.sets(st.sampled_from("abc")))
def test_a_key_that_nobody_has_is_missed(needed: set[str], known: set[str]) -> None:
    assert bool(unreadable(needed, known)) == (not needed <= known)
