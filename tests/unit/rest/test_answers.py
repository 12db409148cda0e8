"""Cursors and times."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yurt.domain.errors import NotFound
from yurt.inbound.rest.answers import cursor, cursor_key, rfc3339

KEYS = st.lists(st.text() | st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4).map(tuple)


@given(KEYS)
def test_a_cursor_gives_back_its_key(key: tuple[str | int, ...]) -> None:
    text = cursor("apps", key)

    assert cursor_key("apps", text) == key
    assert text.isascii()
    assert not set(text) & set("+/=&? ")


@given(KEYS)
def test_a_cursor_is_good_for_its_own_list_alone(key: tuple[str | int, ...]) -> None:
    with pytest.raises(NotFound, match="not one of tokens"):
        cursor_key("tokens", cursor("apps", key))


@given(st.text())
def test_no_text_breaks_the_reading_of_a_cursor(text: str) -> None:
    with contextlib.suppress(NotFound):
        cursor_key("apps", text)


def test_no_cursor_is_the_first_page() -> None:
    assert cursor_key("apps", None) is None


def test_times_are_utc_with_milliseconds() -> None:
    assert rfc3339(1_800_000_000.1256) == "2027-01-15T08:00:00.125Z"
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
