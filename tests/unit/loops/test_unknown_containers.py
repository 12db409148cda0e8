"""When a server that finds containers it does not know had better ask."""

from hypothesis import given
from hypothesis import strategies as st

from yurt.usecases.awakening import FEW, are_suspiciously_many


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_few_or_a_smaller_part_are_stopped_without_asking(unknown: int, known: int) -> None:
    alive = unknown + known
    assert are_suspiciously_many(unknown, alive) == (alive > FEW and unknown > known)
