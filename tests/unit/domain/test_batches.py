"""When a batch leaves."""

from hypothesis import given
from hypothesis import strategies as st

from yurt.domain.batches import Batches, Leave, leave

BATCHES = st.builds(Batches, st.integers(1, 1000), st.floats(0, 600))


@given(BATCHES, st.integers(0, 3000), st.floats(-10, 1000))
def test_it_leaves_when_it_is_full_or_its_first_member_has_waited(
    batches: Batches, waiting: int, waited_s: float
) -> None:
    due = leave(batches, waiting, waited_s)
    full, over = waiting >= batches.size, waiting > 0 and waited_s >= batches.wait_s
    assert due.size == (min(waiting, batches.size) if full or over else 0)


@given(BATCHES, st.integers(1, 3000), st.floats(0, 1000))
def test_what_does_not_leave_now_leaves_when_it_is_looked_at_again(
    batches: Batches, waiting: int, waited_s: float
) -> None:
    due = leave(batches, waiting, waited_s)
    if not due.size:
        assert 0 < due.in_s <= batches.wait_s
        assert leave(batches, waiting, batches.wait_s).size == waiting


def test_a_clock_that_was_set_back_keeps_nobody_waiting_for_longer() -> None:
    assert leave(Batches(10, 0.5), 1, -3600) == Leave(0, 0.5)


def test_without_a_wait_whatever_is_there_leaves() -> None:
    assert leave(Batches(10, 0), 1, 0) == Leave(1)
    assert leave(Batches(10, 0), 0, 0).size == 0
