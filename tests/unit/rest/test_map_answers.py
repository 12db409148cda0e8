"""The last lines of a map's answer that a failure ends."""

import pytest

from yurt.domain.records import Outcome, Result
from yurt.inbound.rest.maps import ended_by

S, F, T = Outcome.SUCCESS, Outcome.USER_ERROR, Outcome.CANCELLED


def result(index: int, outcome: str) -> Result:
    return Result(100 + index, outcome, 1.0, 2.0, 1, 1, "co-1", None, None)


@pytest.mark.parametrize(
    ("rows", "failed", "shown"),
    [
        ([(0, S), (1, F)], 1, [0, 1]),
        ([(0, F), (1, F), (2, S)], 0, [0]),  # both failed in one commit: the first one ends it
        ([(0, S), (1, T), (2, S)], 5, [0, 2, 5]),  # its own turn has not come
        ([(3, S), (1, F), (2, T)], 1, [3, 1]),
        ([], 4, [4]),
    ],
)
def test_it_ends_with_the_failure(rows: list[tuple[int, str]], failed: int, shown: list[int]) -> None:
    found = [(index, result(index, outcome)) for index, outcome in rows]
    assert [index for index, _ in ended_by(failed, result(failed, F), found)] == shown
