"""Times that callers write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from yurt.domain.errors import Invalid
from yurt.inbound.rest.times import TimeOrAge, read_since

PATTERN = TypeAdapter(TimeOrAge).json_schema()["pattern"]
NOW = 1_800_000_000.0


@given(st.from_regex(PATTERN.removesuffix("$") + r"\Z"))
def test_whatever_the_pattern_allows_is_a_time(text: str) -> None:
    assert isinstance(read_since("since", text, NOW), float)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", NOW - 90),
        ("10m", NOW - 600),
        ("2h", NOW - 7200),
        ("7d", NOW - 604_800),
        ("2027-01-15T08:00:00Z", NOW),
        ("2027-01-15T09:00:00.5+01:00", NOW + 0.5),
        ("2027-02-30T00:00:00Z", NOW - 8 * 3600 + 46 * 86_400),
    ],
)
def test_what_is_meant(text: str, seconds: float) -> None:
    assert read_since("since", text, NOW) == seconds


@pytest.mark.parametrize("text", ["", "m", "-1m", "10", "10 m", "2027-01-15", "2027-01-15T08:00:00", "yesterday"])
def test_anything_else_is_named(text: str) -> None:
    with pytest.raises(Invalid) as found:
        read_since("since", text, NOW)

    assert found.value.errors[0].pointer == "?since"


def test_none_is_none() -> None:
    assert read_since("since", None, NOW) is None
