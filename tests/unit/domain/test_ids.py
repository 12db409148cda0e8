"""Identifiers: readable back, sortable, and not guessable."""

from hypothesis import given
from hypothesis import strategies as st

from yurt.domain import ids

TAGS = ids.Tags(b"k" * 32)


@given(st.integers(0, (1 << 128) - 1))
def test_a_number_survives_writing_and_reading(number: int) -> None:
    assert ids.decode(ids.encode(number, 26)) == number


@given(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1))
def test_texts_sort_like_their_numbers(one: int, other: int) -> None:
    assert (ids.encode(one, 13) < ids.encode(other, 13)) == (one < other)


@given(st.integers(0, (1 << 63) - 1))
def test_a_call_id_leads_back_to_its_number(seq: int) -> None:
    assert TAGS.seq(TAGS.call_id(seq)) == seq
    assert TAGS.seq(TAGS.input_id(seq)) == seq


@given(st.integers(0, (1 << 63) - 2), st.integers(3, 28))
def test_a_changed_id_leads_nowhere(seq: int, place: int) -> None:
    visible = TAGS.call_id(seq)
    other = "0" if visible[place] != "0" else "1"
    assert TAGS.seq(visible[:place] + other + visible[place + 1 :]) is None


def test_ids_of_another_store_are_unknown() -> None:
    assert ids.Tags(b"o" * 32).seq(TAGS.call_id(5)) is None


@given(st.text(max_size=40))
def test_nonsense_leads_nowhere(text: str) -> None:
    assert TAGS.seq(text) is None
    assert TAGS.seq(f"fc-{text}") is None


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_ulids_sort_by_time(one: float, other: float) -> None:
    first, second = (ids.ulid("ap", when, lambda size: b"\0" * size) for when in (one, other))
    assert (first < second) == (int(one * 1000) < int(other * 1000))
