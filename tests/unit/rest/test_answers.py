"""Cursors and times."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yurt.domain.errors import NotFound
from yurt.domain.times import rfc3339
from yurt.inbound.rest.answers import cursor, cursor_key

TEXTS = st.text().filter(str.isprintable)
NUMBERS = st.integers(0, 2**63 - 1)


@given(TEXTS, NUMBERS)
def test_a_cursor_gives_back_its_key(text: str, number: int) -> None:
    assert cursor_key("apps", cursor("apps", text), str) == text
    assert cursor_key("apps", cursor("apps", number), int) == number
    for made in (cursor("apps", text), cursor("apps", number)):
        assert made.isascii()
        assert not set(made) & set("+/=&? ")


@given(TEXTS)
def test_a_cursor_is_good_for_its_own_list_alone(key: str) -> None:
    with pytest.raises(NotFound, match="not one of tokens"):
        cursor_key("tokens", cursor("apps", key), str)


@pytest.mark.parametrize("key", ["a", -1, 2**63, 10**40])
def test_a_number_that_no_store_can_look_for_is_refused(key: str | int) -> None:
    with pytest.raises(NotFound):
        cursor_key("apps", cursor("apps", key), int)


@pytest.mark.parametrize("key", [5, "\0", "a\nb"])
def test_a_text_that_no_store_can_look_for_is_refused(key: str | int) -> None:
    with pytest.raises(NotFound):
        cursor_key("apps", cursor("apps", key), str)


@given(st.text())
def test_no_text_breaks_the_reading_of_a_cursor(text: str) -> None:
    with contextlib.suppress(NotFound):
        cursor_key("apps", text, int)


def test_no_cursor_is_the_first_page() -> None:
    assert cursor_key("apps", None, str) is None


def test_times_are_utc_with_milliseconds() -> None:
    assert rfc3339(1_800_000_000.1256) == "2027-01-15T08:00:00.125Z"
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
